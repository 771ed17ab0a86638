/* SPDX-License-Identifier: BSD-2-Clause */
/* Many at once: threads, queue pairs, processes, addresses. */
#include "link.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

/* Two threads post on one QP while two take from its CQs, at both ends. */

#define THREAD_MSGS 1000u

static struct duo_end shared;
static _Atomic uint32_t sent_done, recv_done;
static _Atomic uint8_t seen[2 * THREAD_MSGS];

static void *post_some(void *arg)
{
	uint32_t first = *(uint32_t *)arg;

	for (uint32_t i = first; i < first + THREAD_MSGS; i++) {
		struct weft_wr wr = duo_wr(&shared, i, WEFT_OP_SEND_IMM, i % 64 * 64, 64, 0);
		int err;

		while ((err = weft_qp_post_send(shared.qp, &wr, 1)) == -ENOMEM)
			weft_card_progress(shared.card);
		need_eq(0, err);
	}
	return NULL;
}

static void *poll_some(void *arg)
{
	struct weft_cqe c;

	(void)arg;
	while (atomic_load(&sent_done) < 2 * THREAD_MSGS ||
	       atomic_load(&recv_done) < 2 * THREAD_MSGS) {
		if (duo_try(shared.scq, &c)) {
			need_eq(0, c.status);
			atomic_fetch_add(&sent_done, 1);
		}
		if (duo_try(shared.rcq, &c)) {
			need_eq(0, c.status);
			need(!atomic_fetch_add(&seen[c.imm >> 24 | (c.imm >> 8 & 0xff00)], 1));
			atomic_fetch_add(&recv_done, 1);
			duo_recv(&shared, c.wr_id, 65536 + c.wr_id * 64, 64);
		}
	}
	return NULL;
}

static void threads(void)
{
	uint32_t first[2] = { 0, THREAD_MSGS };
	pthread_t t[4];

	duo_open(&shared, &(struct duo_opts){ .sq = 64, .rq = 64 });
	for (uint32_t i = 0; i < 64; i++)
		duo_recv(&shared, i, 65536 + i * 64, 64);
	duo_meet(&shared, !duo_side);
	for (uint32_t i = 0; i < 2; i++) {
		need(!pthread_create(&t[i], NULL, post_some, &first[i]));
		need(!pthread_create(&t[2 + i], NULL, poll_some, NULL));
	}
	for (uint32_t i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	need_eq(64, weft_qp_send_room(shared.qp));
	duo_sync();
	duo_none(shared.rcq);
	duo_close(&shared);
}

/* Threads that make and destroy objects beside one that works. */

static _Atomic bool stop;

static void *churn(void *arg)
{
	struct duo_end *e = arg;

	while (!atomic_load(&stop)) {
		struct weft_qp_attr attr = {
			.send_cq = e->scq, .recv_cq = e->rcq, .max_recv_wr = 4, .max_recv_sge = 1
		};
		struct weft_mr *mr;
		struct weft_ah *ah;
		struct weft_cq *cq;
		struct weft_qp *qp;
		uint32_t depth = 8;

		need_ok(weft_mr_create(e->pd, e->buf, 4096, (uintptr_t)e->buf, 7, &mr));
		need_ok(weft_ah_create(e->pd, &e->peer.gid, &ah));
		need_ok(weft_cq_create(e->card, &depth, NULL, NULL, &cq));
		attr.recv_cq = cq;
		need_ok(weft_qp_create(e->pd, &attr, &qp));
		duo_qp_to(qp, WEFT_QPS_RTS);
		need_ok(weft_qp_destroy(qp));
		need_ok(weft_cq_destroy(cq));
		need_ok(weft_ah_destroy(ah));
		need_ok(weft_mr_destroy(mr));
	}
	return NULL;
}

static void threads_churn(void)
{
	struct duo_end e;
	struct weft_wr wr;
	pthread_t t;

	duo_open(&e, NULL);
	duo_meet(&e, !duo_side);
	need(!pthread_create(&t, NULL, churn, &e));
	for (uint32_t i = 0; i < 500; i++) {
		wr = duo_wr(&e, i, i % 2 ? WEFT_OP_READ : WEFT_OP_WRITE, 0, 10000, 0);
		duo_do(&e, &wr, 0);
	}
	atomic_store(&stop, true);
	pthread_join(t, NULL);
	duo_sync();
	duo_close(&e);
}

/* 4 processes x 4 QPs, each to each and to itself. */

#define PROCS 4u
#define QPS   4u
#define EACH  20u

struct all {
	struct duo_end e;
	struct weft_qp *qp[QPS];
	struct weft_ah *ah[PROCS];
	struct duo_addr addr[PROCS][QPS];
	uint32_t sent[QPS], done, got;
	uint8_t seen[PROCS * QPS * QPS * EACH];
};

static void all_take(struct all *a)
{
	struct weft_cqe c;

	while (duo_try(a->e.scq, &c)) {
		need_eq(0, c.status);
		a->done++;
	}
	while (duo_try(a->e.rcq, &c)) {
		uint32_t id[4], q;
		uint8_t *p = a->e.buf + (c.wr_id & 0xffff) * 512;

		need_eq(0, c.status);
		memcpy(id, p, sizeof(id)); /* From process and QP, to QP, number. */
		need(id[0] < PROCS && id[1] < QPS && id[2] < QPS && id[3] < EACH);
		q = (uint32_t)(c.wr_id >> 16);
		need_eq(weft_qp_number(a->qp[q]), c.qpn);
		need_eq(q, id[2]);
		need_eq(a->addr[id[0]][id[1]].qpn, c.src_qpn);
		need_eq(weft_ah_number(a->ah[id[0]]), c.ahn);
		duo_check(p + 16, c.byte_len - 16, id[3]);
		need(!a->seen[((id[0] * QPS + id[1]) * QPS + id[2]) * EACH + id[3]]++);
		a->got++;
		duo_recv_(DUO_AT, &a->e, a->qp[q], c.wr_id, (c.wr_id & 0xffff) * 512, 512);
	}
}

static void all_post(struct all *a, uint32_t q)
{
	uint32_t i = a->sent[q], to = i % (PROCS * QPS);
	uint32_t id[4] = { duo_side, q, to % QPS, i / (PROCS * QPS) };
	size_t at = (1u << 20) +
		    (q * PROCS * QPS * EACH + i) * 512u; /* Each its own: they end in any order. */
	struct weft_wr wr;
	int err;

	memcpy(a->e.buf + at, id, sizeof(id));
	duo_fill(a->e.buf + at + 16, 400, id[3]);
	a->e.peer = a->addr[to / QPS][to % QPS];
	wr = duo_wr(&a->e, i, WEFT_OP_SEND, at, 16 + i % 400, 0);
	wr.ah = a->ah[to / QPS];
	err = weft_qp_post_send(a->qp[q], &wr, 1);
	need(err == 0 || err == -ENOMEM);
	a->sent[q] += !err;
}

static void all_to_all(void)
{
	static struct all a;
	bool more = true;

	duo_open(&a.e, &(struct duo_opts){ .sq = 32, .rq = 32, .len = 2u << 20 });
	for (uint32_t q = 0; q < QPS; q++) {
		struct duo_addr addr;

		a.qp[q] = duo_qp(&a.e, WEFT_QPS_RTS);
		addr = duo_addr_of(&a.e, a.qp[q]);
		duo_publish(q, &addr);
		for (uint32_t i = 0; i < 32; i++)
			duo_recv_(DUO_AT, &a.e, a.qp[q], q << 16 | (q * 32 + i), (q * 32 + i) * 512,
				  512);
	}
	duo_sync();
	for (uint32_t p = 0; p < PROCS; p++) {
		for (uint32_t q = 0; q < QPS; q++)
			a.addr[p][q] = duo_look(p, q);
		need_ok(weft_ah_create(a.e.pd, &a.addr[p][0].gid, &a.ah[p]));
	}
	duo_sync(); /* All know all: receives name handles. */
	while (more || a.done < QPS * PROCS * QPS * EACH || a.got < PROCS * QPS * QPS * EACH) {
		more = false;
		for (uint32_t q = 0; q < QPS; q++) {
			if (a.sent[q] == PROCS * QPS * EACH)
				continue;
			more = true;
			all_post(&a, q);
		}
		all_take(&a);
		duo_at(DUO_AT);
	}
	duo_sync();
	duo_none(a.e.rcq);
	for (uint32_t q = 0; q < QPS; q++)
		need_ok(weft_qp_destroy(a.qp[q]));
	for (uint32_t p = 0; p < PROCS; p++)
		need_ok(weft_ah_destroy(a.ah[p]));
	duo_close(&a.e);
}

/* Thousands of addresses at which nobody is, and one at which somebody is. */

#define ADDRS 4096u

static void many_addresses(void)
{
	static struct weft_ah *ah[ADDRS];
	struct duo_end e;
	struct weft_wr wr;
	struct weft_cqe c;
	uint32_t posted = 0, failed = 0, good = 0;

	duo_open(&e, &(struct duo_opts){ .sq = 4096, .depth = 16384 });
	duo_meet(&e, !duo_side);
	for (uint32_t i = 0; i < ADDRS && duo_side == 0; i++) {
		struct weft_ip ip = { .raw = { 127, 7, (uint8_t)(i >> 8), (uint8_t)i } };
		struct weft_gid gid;

		if (!weft_ip_is_host(&ip))
			continue;
		weft_gid_encode(&ip, 0, duo_port_base(), &gid);
		need_ok(weft_ah_create(e.pd, &gid, &ah[i]));
	}
	while (duo_side == 0 && failed < ADDRS) {
		while (posted < ADDRS && weft_qp_send_room(e.qp) > 2) {
			wr = duo_wr(&e, posted, WEFT_OP_SEND, 0, 100, 0);
			wr.ah = ah[posted] ? ah[posted] : ah[posted + 1];
			wr.qpn = (uint16_t)(0x8100 + posted % 7 * 256);
			duo_post(e.qp, &wr);
			if (posted++ % 16 == 0) {
				wr = duo_wr(&e, ADDRS, WEFT_OP_READ, 0, 100, 0);
				duo_post(e.qp, &wr);
				good++;
			}
		}
		c = duo_next(e.scq);
		if (c.wr_id < ADDRS) {
			if (c.status != 9 && c.status != 15)
				duo_die(DUO_AT, "status %u of address %llu, after %u", c.status,
					(unsigned long long)c.wr_id, failed);
			failed++;
		} else {
			need_eq(0, c.status);
			good--;
		}
	}
	for (; good; good--)
		duo_done(e.scq, ADDRS, 0);
	duo_none(e.scq);
	for (uint32_t i = 0; i < 100 && duo_side == 0; i++) {
		wr = duo_wr(&e, i, WEFT_OP_WRITE, 0, 10000, 0);
		duo_do(&e, &wr, 0);
	}
	for (uint32_t i = 0; i < ADDRS; i++)
		if (ah[i])
			need_ok(weft_ah_destroy(ah[i]));
	/* A new acquaintance works after all these. */
	duo_sync();
	if (duo_side == 2) {
		struct duo_addr first = duo_look(0, 0);

		duo_target(&e, &first);
		wr = duo_wr(&e, 1, WEFT_OP_READ, 0, 10000, 0);
		duo_do(&e, &wr, 0);
	}
	if (duo_side == 0) {
		struct duo_addr third = duo_look(2, 0);

		duo_target(&e, &third);
		wr = duo_wr(&e, 1, WEFT_OP_READ, 0, 10000, 0);
		duo_do(&e, &wr, 0);
	}
	duo_sync();
	duo_close(&e);
}

const struct duo_case link_many_cases[] = {
	{ .name = "many__threads", .side = { threads, threads } },
	{ .name = "many__threads_churn", .side = { threads_churn, threads_churn } },
	{ .name = "many__all_to_all", .side = { all_to_all, all_to_all, all_to_all, all_to_all } },
	{ .name = "many__addresses",
	  .side = { many_addresses, many_addresses, many_addresses },
	  .env = "WEFT_DEAD_AFTER=1s" },
	{ .name = NULL },
};
