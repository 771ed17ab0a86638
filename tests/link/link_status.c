/* SPDX-License-Identifier: BSD-2-Clause */
/* The status of a completion: each row of EFA's table, with what provokes it, seen at the end where it belongs.
 *
 *	1	flush__*
 *	2	no memory for another peer: cannot be provoked from outside
 *	3	unsupported__*
 *	4	invalid_ah
 *	5	lkey__*
 *	6	length; link_ops.c has those of a GiB
 *	7	rkey__*
 *	8, 9	qpn__*, and link_kill.c
 *	10	rnr__*
 *	11	too_short
 *	12	an answer without sense: tests of the engine
 *	13, 15	silent__*
 *	14	a card refuses operations of peers that it has no address handle of; weft does not
 *	18	the settings of two QPs need not agree
 */
#include "link.h"

#include <stdio.h>
#include <sys/mman.h>

#define BIG (64u << 20)

static void wait_all(struct weft_cq *cq, uint32_t n, uint32_t status)
{
	uint64_t ids = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct weft_cqe c = duo_next(cq);

		need_eq(status, c.status);
		need(c.wr_id < 64 && !(ids >> c.wr_id & 1));
		ids |= 1ull << c.wr_id;
	}
	duo_none(cq);
}

static void opens_small(struct duo_end *e)
{
	duo_open(e, NULL);
	duo_meet(e, !duo_side);
}

/* The QP at the other end is alive and takes messages. */
static void proof(struct duo_end *e)
{
	duo_sync();
	if (duo_side == 1) {
		duo_none(
			e->scq); /* What was given up may still arrive: it must not take the receive. */
		duo_recv(e, 77, 0, 8928);
		duo_sync();
		duo_done(e->rcq, 77, 0);
	} else {
		struct weft_wr wr = duo_wr(e, 78, WEFT_OP_SEND, 0, 100, 0);

		duo_sync();
		duo_do(e, &wr, 0);
		duo_none(e->scq);
	}
	duo_sync();
}

/* 1 */

static void flush_err(void)
{
	struct duo_end e;
	struct weft_wr wr;

	opens_small(&e);
	if (duo_side == 0) {
		for (uint32_t i = 0; i < 3; i++) {
			wr = duo_wr(&e, i, WEFT_OP_SEND, 0, 100, 0); /* Waits for a receive. */
			duo_post(e.qp, &wr);
		}
		for (uint32_t i = 0; i < 5; i++)
			duo_recv(&e, i, 0, 100);
		duo_none(e.scq);
		need_ok(weft_qp_set_state(e.qp, WEFT_QPS_ERR));
		need_eq(-EINVAL, weft_qp_post_send(e.qp, &wr, 1));
		wait_all(e.scq, 3, 1);
		for (uint32_t i = 0; i < 5; i++)
			duo_done(e.rcq, i, 1);
		duo_none(e.rcq);
		need_eq(256, weft_qp_send_room(e.qp));
		need_ok(weft_qp_set_state(e.qp, WEFT_QPS_RESET));
		duo_qp_to(e.qp, WEFT_QPS_RTS);
	}
	proof(&e);
	if (duo_side == 1)
		duo_none(e.rcq); /* None of the three. */
	duo_close(&e);
}

/* In the middle of long ones, at the initiator. */
static void flush_err_long(void)
{
	struct duo_end e;
	struct weft_wr wr;

	duo_open(&e, &(struct duo_opts){ .len = BIG });
	duo_meet(&e, !duo_side);
	if (duo_side == 0) {
		for (uint32_t i = 0; i < 8; i++) {
			wr = duo_wr(&e, i, i & 1 ? WEFT_OP_WRITE : WEFT_OP_READ, 0, BIG, 0);
			duo_post(e.qp, &wr);
		}
		duo_none(e.scq);
		need_ok(weft_qp_set_state(e.qp, WEFT_QPS_ERR));
		wait_all(e.scq, 8, 1);
		need_ok(weft_qp_set_state(e.qp, WEFT_QPS_RESET));
		duo_qp_to(e.qp, WEFT_QPS_RTS);
	}
	proof(&e);
	duo_close(&e);
}

/* Completions that were there remain, marked; no others come. */
static void flush_destroy(void)
{
	struct duo_end e;
	struct weft_qp *qp;
	struct weft_wr wr, bad;
	struct weft_cqe c;

	opens_small(&e);
	if (duo_side == 0) {
		qp = duo_qp(&e, WEFT_QPS_RTS);
		bad = duo_wr(&e, 40, WEFT_OP_SEND, 0, 1, 0);
		bad.sge[0].lkey ^= 2;
		duo_post(qp, &bad);
		duo_post(qp, &bad);
		duo_post(e.qp, &bad);
		for (uint32_t i = 0; i < 3; i++) {
			wr = duo_wr(&e, i, WEFT_OP_SEND, 0, 100, 0);
			duo_post(qp, &wr);
			duo_recv_(DUO_AT, &e, qp, i, 0, 100);
		}
		need_ok(weft_qp_destroy(qp));
		for (uint32_t i = 0; i < 3; i++) {
			c = duo_next(e.scq);
			need_eq(40, c.wr_id);
			need_eq(i < 2 ? WEFT_CQE_F_STALE : 0, c.flags);
		}
		duo_none(e.scq);
		duo_none(e.rcq);
	}
	proof(&e);
	if (duo_side == 1)
		duo_none(e.rcq);
	duo_close(&e);
}

static void flush_ah(void)
{
	struct duo_end e;
	struct weft_wr wr;
	struct weft_ah *second;

	opens_small(&e);
	if (duo_side == 0) {
		need_ok(weft_ah_create(e.pd, &e.peer.gid, &second));
		need(weft_ah_number(second) == weft_ah_number(e.ah));
		for (uint32_t i = 0; i < 3; i++) {
			wr = duo_wr(&e, i, WEFT_OP_SEND, 0, 100, 0);
			duo_post(e.qp, &wr);
		}
		duo_none(e.scq);
		need_ok(weft_ah_destroy(second)); /* One of two users: no effect. */
		duo_none(e.scq);
		need_ok(weft_ah_destroy(e.ah));
		e.ah = NULL;
		wait_all(e.scq, 3, 1);
		need_eq(WEFT_QPS_RTS, weft_qp_state(e.qp));
		need_ok(weft_ah_create(e.pd, &e.peer.gid, &e.ah));
	}
	proof(&e);
	if (duo_side == 1)
		duo_none(e.rcq);
	duo_close(&e);
}

/* 3, 4 */

static void unsupported_ud(void)
{
	struct duo_end e;
	struct weft_wr wr;

	duo_open(&e, &(struct duo_opts){ .type = WEFT_QP_UD });
	duo_meet(&e, !duo_side);
	if (duo_side == 0) {
		wr = duo_wr(&e, 1, WEFT_OP_WRITE, 0, 10, 0);
		duo_do(&e, &wr, 3);
		wr = duo_wr(&e, 2, WEFT_OP_WRITE_IMM, 0, 10, 0);
		duo_do(&e, &wr, 3);
		wr = duo_wr(&e, 3, WEFT_OP_READ, 0, 10, 0);
		duo_do(&e, &wr, 3);
		wr.op = WEFT_OP_READ + 1;
		need_eq(-EINVAL, weft_qp_post_send(e.qp, &wr, 1));
	}
	proof(&e);
	duo_close(&e);
}

static void unsupported_caps(void)
{
	struct duo_end e;
	struct weft_mr *mr;
	struct weft_wr wr;
	struct weft_qp_attr attr;
	struct weft_qp *qp;

	duo_open(&e, &(struct duo_opts){ .access = WEFT_ACCESS_LOCAL_WRITE });
	duo_meet(&e, !duo_side);
	if (duo_side == 0) {
		need_eq(-EOPNOTSUPP, weft_mr_create(e.pd, e.buf, 4096, (uintptr_t)e.buf,
						    WEFT_ACCESS_REMOTE_READ, &mr));
		need_eq(-EOPNOTSUPP,
			weft_mr_create(e.pd, e.buf, 4096, (uintptr_t)e.buf,
				       WEFT_ACCESS_LOCAL_WRITE | WEFT_ACCESS_REMOTE_WRITE, &mr));
		wr = duo_wr(&e, 1, WEFT_OP_WRITE, 0, 10, 0);
		duo_do(&e, &wr, 3);
		wr = duo_wr(&e, 2, WEFT_OP_WRITE_IMM, 0, 10, 0);
		duo_do(&e, &wr, 3);
		wr = duo_wr(&e, 3, WEFT_OP_READ, 0, 10, 0);
		duo_do(&e, &wr, 3);
		attr = (struct weft_qp_attr){ .send_cq = e.scq,
					      .recv_cq = e.rcq,
					      .max_send_wr = 1,
					      .unsolicited_write_recv = true };
		need_eq(-EOPNOTSUPP, weft_qp_create(e.pd, &attr, &qp));
	}
	proof(&e);
	duo_close(&e);
}

static void invalid_ah(void)
{
	struct duo_end e;
	struct weft_wr wr;
	struct weft_pd *pd;
	struct weft_ah *ah;

	opens_small(&e);
	if (duo_side == 0) {
		need_ok(weft_pd_create(e.card, &pd));
		need_ok(weft_ah_create(pd, &e.peer.gid, &ah));
		wr = duo_wr(&e, 1, WEFT_OP_SEND, 0, 10, 0);
		wr.ah = ah;
		duo_do(&e, &wr, 4);
		wr.ah = NULL;
		need_eq(-EINVAL, weft_qp_post_send(e.qp, &wr, 1));
		need_ok(weft_ah_destroy(ah));
		need_ok(weft_pd_destroy(pd));
	}
	proof(&e);
	duo_close(&e);
}

/* 5 */

static void lkey_send(void)
{
	struct duo_end e;
	struct weft_wr wr;
	struct weft_pd *pd;
	struct weft_mr *mr, *alien;
	uint64_t end;

	opens_small(&e);
	if (duo_side == 0) {
		end = (uintptr_t)e.buf + e.opts.len;
		need_ok(weft_pd_create(e.card, &pd));
		need_ok(weft_mr_create(pd, e.buf, 4096, (uintptr_t)e.buf, 1, &alien));
		need_ok(weft_mr_create(e.pd, e.buf, 4096, (uintptr_t)e.buf, 0, &mr));
		for (uint32_t i = 0; i < 11; i++) {
			wr = duo_wr(&e, i, i % 2 ? WEFT_OP_SEND : WEFT_OP_WRITE, 0, 10, 0);
			switch (i) {
			case 0:
				wr.sge[0].lkey = 0;
				break;
			case 1:
				wr.sge[0].lkey = e.mr->rkey;
				break;
			case 2:
				wr.sge[0].lkey = e.mr->lkey | 1u << 24;
				break;
			case 3:
				wr.sge[0].addr = end - 9;
				break;
			case 4:
				wr.sge[0].addr = (uintptr_t)e.buf - 1;
				break;
			case 5:
				wr.sge[0].addr = UINT64_MAX - 4;
				break;
			case 6:
				wr.sge[0].len = UINT32_MAX;
				break;
			case 7:
				wr.sge[0].lkey = alien->lkey;
				break;
			case 8: /* May be read, not written. */
				wr.op = WEFT_OP_READ;
				wr.sge[0].lkey = mr->lkey;
				break;
			case 9:
				wr.sge_len = 2;
				wr.sge[1] = wr.sge[0];
				wr.sge[1].lkey |= 0x700000;
				break;
			default:
				need_ok(weft_mr_destroy(mr));
				wr.sge[0].lkey = mr->lkey;
				break;
			}
			duo_do(&e, &wr, 5);
		}
		need_ok(weft_mr_destroy(alien));
		need_ok(weft_pd_destroy(pd));
	}
	proof(&e);
	duo_close(&e);
}

/* Its memory goes while it waits for the peer. */
static void lkey_dereg(void)
{
	struct duo_end e;
	struct weft_wr wr;
	struct weft_mr *mr;
	uint8_t *mem = mmap(NULL, BIG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	duo_open(&e, &(struct duo_opts){ .len = BIG });
	memset(e.buf, 1, BIG);
	duo_meet(&e, !duo_side);
	if (duo_side == 0) {
		need_ok(weft_mr_create(e.pd, mem, BIG, (uintptr_t)mem, 1, &mr));
		for (uint32_t i = 0; i < 3; i++) {
			wr = duo_wr(&e, i, WEFT_OP_SEND, 0, 10, 0);
			wr.sge[0] = (struct weft_sge){ (uintptr_t)mem, 10, mr->lkey };
			duo_post(e.qp, &wr);
		}
		wr = duo_wr(&e, 3, WEFT_OP_WRITE, 0, BIG, 0);
		wr.sge[0] = (struct weft_sge){ (uintptr_t)mem, BIG / 2, mr->lkey };
		duo_post(e.qp, &wr);
		wr.wr_id = 4;
		wr.op = WEFT_OP_READ;
		wr.raddr += BIG / 2;
		duo_post(e.qp, &wr);
		while (!((volatile uint8_t *)mem)[0]) /* The READ has begun. */
			weft_card_progress(e.card);
		need_ok(weft_mr_destroy(mr));
		munmap(mem, BIG); /* Nobody may touch it any more. */
		for (uint32_t i = 0; i < 5; i++) {
			struct weft_cqe c = duo_next(e.scq);

			/* What the kernel copies (link_haul.c) comes one after the other, and may have ended. */
			need(c.status == 5 || (!c.status && c.wr_id >= 3 && c.wr_id <= 4));
		}
		duo_none(e.scq);
	}
	proof(&e);
	duo_close(&e);
}

/* More than the engine takes: some wait in the queue, and have to go as well. */
static void lkey_dereg_waiting(void)
{
	struct duo_end e;
	struct weft_qp *qp[6];
	struct weft_wr wr;
	struct weft_mr *mr;
	uint8_t *mem = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint32_t n = 0, failed = 0;
	struct weft_cqe c;

	duo_open(&e, &(struct duo_opts){ .sq = 4096, .depth = 65536 });
	duo_meet(&e, !duo_side);
	if (duo_side == 0) {
		need_ok(weft_mr_create(e.pd, mem, 4096, (uintptr_t)mem, 1, &mr));
		for (uint32_t k = 0; k < 6; k++) {
			qp[k] = duo_qp(&e, WEFT_QPS_RTS);
			for (uint32_t i = 0; i < 4096; i++, n++) {
				wr = duo_wr(&e, n, WEFT_OP_SEND, 0, 4096, 0);
				if (i % 2) /* Every other one lives on. */
					wr.sge[0] =
						(struct weft_sge){ (uintptr_t)mem, 4096, mr->lkey };
				duo_post(qp[k], &wr);
			}
		}
		need_ok(weft_mr_destroy(mr));
		munmap(mem, 4096);
		while (failed < n / 2) {
			c = duo_next(e.scq);
			need_eq(5, c.status);
			need_eq(1, c.wr_id % 2);
			failed++;
		}
		duo_none(e.scq);
		for (uint32_t k = 0; k < 6; k++)
			need_ok(weft_qp_set_state(qp[k], WEFT_QPS_ERR));
		for (uint32_t i = 0; i < n / 2; i++) {
			c = duo_next(e.scq);
			need_eq(1, c.status);
			need_eq(0, c.wr_id % 2);
		}
		duo_none(e.scq);
		for (uint32_t k = 0; k < 6; k++)
			need_ok(weft_qp_destroy(qp[k]));
	}
	proof(&e);
	duo_close(&e);
}

/* A receive that cannot be used completes with 5 when its turn comes, and the message takes the next. */
static void lkey_recv(void)
{
	struct duo_end e;
	struct weft_wr wr;
	struct weft_mr *gone, *readonly;
	uint32_t lkey;

	opens_small(&e);
	if (duo_side == 1) {
		need_ok(weft_mr_create(e.pd, e.buf, 4096, (uintptr_t)e.buf, 1, &gone));
		need_ok(weft_mr_create(e.pd, e.buf, 4096, (uintptr_t)e.buf, 0, &readonly));
		for (uint32_t i = 0; i < 4; i++) {
			static const uint32_t len[] = { 100, 100, 100, 5000 };
			struct weft_recv_wr recv = { .wr_id = i, .sge_len = 1 };

			lkey = i == 0 ? e.mr->lkey ^ 8 : i == 1 ? gone->lkey : readonly->lkey;
			if (i == 3)
				lkey = readonly->lkey; /* And longer than its region. */
			recv.sge[0] = (struct weft_sge){ (uintptr_t)e.buf, len[i], lkey };
			need_ok(weft_qp_post_recv(e.qp, &recv, 1));
		}
		duo_recv(&e, 4, 0, 100);
		need_ok(weft_mr_destroy(gone));
	}
	duo_sync();
	if (duo_side == 0) {
		duo_fill(e.buf, 100, 1);
		wr = duo_wr(&e, 1, WEFT_OP_SEND, 0, 100, 0);
		duo_do(&e, &wr, 0);
	} else {
		for (uint32_t i = 0; i < 4; i++)
			duo_done(e.rcq, i, 5);
		duo_done(e.rcq, 4, 0);
		duo_check(e.buf, 100, 1);
		need_ok(weft_mr_destroy(readonly));
	}
	proof(&e);
	duo_close(&e);
}

/* 6 */

static void length(void)
{
	struct duo_end e;
	struct weft_wr wr;
	enum weft_qp_type type[] = { WEFT_QP_SRD, WEFT_QP_UD };

	for (uint32_t k = 0; k < 2; k++) {
		duo_open(&e, &(struct duo_opts){ .type = type[k] });
		duo_meet(&e, !duo_side);
		if (duo_side == 0) {
			wr = duo_wr(&e, 1, WEFT_OP_SEND, 0, 8929, 0);
			duo_do(&e, &wr, 6);
			wr.op = WEFT_OP_SEND_IMM;
			duo_do(&e, &wr, 6);
			wr.sge[0].len = 8928;
			wr.sge[1] = wr.sge[0];
			wr.sge[1].len = 1;
			wr.sge_len = 2;
			duo_do(&e, &wr, 6);
		}
		proof(&e);
		duo_close(&e);
	}
}

/* 7 */

#define RKEYS 12u

static void spoil(struct weft_wr *wr, uint32_t i, const struct duo_addr *second)
{
	switch (i) {
	case 0:
		wr->rkey = 0;
		break;
	case 1:
		wr->rkey ^= 2;
		break;
	case 2:
		wr->rkey ^= 1; /* The lkey. */
		break;
	case 3:
		wr->rkey |= 1u << 24;
		break;
	case 4:
		wr->raddr -= 1;
		break;
	case 5:
		wr->raddr += (1u << 20) - wr->sge[0].len + 1;
		break;
	case 6:
		wr->raddr = UINT64_MAX - 10;
		break;
	case 7:
		wr->raddr += 1u << 20;
		break;
	case 8: /* Without the permission. */
		wr->rkey = wr->op == WEFT_OP_READ ? second[1].rkey : second[0].rkey;
		break;
	case 9: /* Of another PD. */
		wr->rkey = second[2].rkey;
		break;
	case 10: /* Deregistered. */
		wr->rkey = second[3].rkey;
		break;
	default:
		wr->rkey = UINT32_MAX;
		break;
	}
}

static void rkey_target(struct duo_end *e)
{
	static const uint32_t access[] = { 1 | 4, 1 | 2, 7, 7 };
	struct weft_mr *mr[4];
	struct weft_pd *pd;
	struct duo_addr addr = duo_addr_of(e, e->qp);

	need_ok(weft_pd_create(e->card, &pd));
	for (uint32_t i = 0; i < 4; i++) {
		need_ok(weft_mr_create(i == 2 ? pd : e->pd, e->buf, e->opts.len, (uintptr_t)e->buf,
				       access[i], &mr[i]));
		addr.rkey = mr[i]->rkey;
		duo_publish(1 + i, &addr);
	}
	need_ok(weft_mr_destroy(mr[3]));
	for (uint32_t i = 0; i < 3; i++)
		duo_recv(e, i, 0, 100);
	duo_sync();
	duo_sync(); /* While they try. */
	duo_check_zero(e->buf, e->opts.len);
	duo_none(e->rcq);
	/* No receive was taken. */
	need_ok(weft_qp_set_state(e->qp, WEFT_QPS_ERR));
	for (uint32_t i = 0; i < 3; i++)
		duo_done(e->rcq, i, 1);
	need_ok(weft_qp_set_state(e->qp, WEFT_QPS_RESET));
	duo_qp_to(e->qp, WEFT_QPS_RTS);
	for (uint32_t i = 0; i < 3; i++)
		need_ok(weft_mr_destroy(mr[i]));
	need_ok(weft_pd_destroy(pd));
}

static void rkey_rules(void)
{
	static const enum weft_op op[] = { WEFT_OP_WRITE, WEFT_OP_WRITE_IMM, WEFT_OP_READ };
	static const uint32_t len[] = { 100, 20000, 0 };
	struct duo_end e;
	struct duo_addr second[4];
	struct weft_wr wr;

	opens_small(&e);
	if (duo_side == 1) {
		rkey_target(&e);
	} else {
		memset(e.buf, 0xaa, e.opts.len);
		duo_sync();
		for (uint32_t i = 0; i < 4; i++)
			second[i] = duo_look(1, 1 + i);
		for (uint32_t i = 0; i < RKEYS * 9; i++) {
			wr = duo_wr(&e, i, op[i / RKEYS % 3], 0, len[i / RKEYS / 3], 0);
			spoil(&wr, i % RKEYS, second);
			if (!wr.sge[0].len && (i % RKEYS == 5 || i % RKEYS == 7))
				wr.raddr += 2; /* Its end is still an address of it. */
			duo_do(&e, &wr, 7);
		}
		for (size_t i = 0; i < e.opts.len; i++)
			need_eq(0xaa, e.buf[i]);
		duo_sync();
	}
	proof(&e);
	duo_close(&e);
}

/* While a stream of operations uses it. */
static void rkey_dereg(void)
{
	struct duo_end e;
	struct weft_mr *mr = NULL;
	struct duo_addr addr;
	struct weft_wr wr;
	struct weft_cqe c;
	uint32_t good = 0, bad = 0;

	duo_open(&e, &(struct duo_opts){ .len = BIG });
	if (duo_side == 1)
		need_ok(weft_mr_create(e.pd, e.buf, BIG, (uintptr_t)e.buf, 7, &mr));
	addr = duo_addr_of(&e, e.qp);
	addr.rkey = mr ? mr->rkey : 0;
	duo_publish(0, &addr);
	duo_sync();
	addr = duo_look(!duo_side, 0);
	duo_target(&e, &addr);
	if (duo_side == 1) {
		duo_wait_step(0, 1);
		need_ok(weft_mr_destroy(mr));
		duo_sync();
	} else {
		for (uint32_t i = 0; i < 8; i++) {
			wr = duo_wr(&e, i, i % 2 ? WEFT_OP_WRITE : WEFT_OP_READ, 0, 1u << 22, 0);
			duo_post(e.qp, &wr);
		}
		while (bad < 8) {
			c = duo_next(e.scq);
			need(c.status == 0 || c.status == 7);
			if (c.status) {
				bad++;
				continue;
			}
			if (++good == 4)
				duo_step(1);
			wr = duo_wr(&e, c.wr_id, c.wr_id % 2 ? WEFT_OP_WRITE : WEFT_OP_READ, 0,
				    1u << 22, 0);
			duo_post(e.qp, &wr);
		}
		duo_sync();
	}
	proof(&e);
	duo_close(&e);
}

/* 9 */

static void qpn_fails(struct duo_end *e, const char *what, uint16_t qpn, uint32_t qkey, bool rdma)
{
	for (int op = WEFT_OP_SEND; op <= (rdma ? WEFT_OP_READ : WEFT_OP_SEND_IMM); op++) {
		struct weft_wr wr = duo_wr(e, (uint64_t)op, (enum weft_op)op, 0, 10, 0);
		struct weft_cqe c;

		wr.qpn = qpn;
		wr.qkey = qkey;
		duo_post(e->qp, &wr);
		c = duo_next(e->scq);
		if (c.status != 9)
			duo_die(DUO_AT, "%s, operation %d: status %u", what, op, c.status);
	}
}

static void qpn_rules(void)
{
	struct duo_end e;
	struct weft_qp *qp;
	struct duo_addr addr;

	opens_small(&e);
	if (duo_side == 0) {
		qpn_fails(&e, "no such QPN", e.peer.qpn ^ 0x40, DUO_QKEY, true);
		qpn_fails(&e, "QPN 0", 0, DUO_QKEY, true);
		qpn_fails(&e, "QPN 65535", 65535, DUO_QKEY, true);
		qpn_fails(&e, "no such process", e.peer.qpn ^ 0x2a00, DUO_QKEY, true);
		qpn_fails(&e, "wrong qkey", e.peer.qpn, DUO_QKEY + 1, false);
		qpn_fails(&e, "UD's qkey", e.peer.qpn, DUO_QKEY ^ 0x55440000, false);
	}
	for (int s = WEFT_QPS_RESET; s < WEFT_QPS_RTR; s++) {
		duo_sync();
		if (duo_side == 1) {
			qp = duo_qp(&e, (enum weft_qp_state)s);
			addr = duo_addr_of(&e, qp);
			duo_publish(1, &addr);
			duo_sync();
			duo_sync();
			need_ok(weft_qp_destroy(qp));
		} else {
			duo_sync();
			qpn_fails(&e, "not ready", duo_look(1, 1).qpn, DUO_QKEY, true);
			duo_sync();
		}
		duo_sync();
		if (duo_side == 0)
			qpn_fails(&e, "destroyed", duo_look(1, 1).qpn, DUO_QKEY, true);
	}
	duo_sync();
	if (duo_side == 1) {
		duo_none(e.rcq);
		need_ok(weft_qp_set_state(e.qp, WEFT_QPS_ERR));
	}
	duo_sync();
	if (duo_side == 0)
		qpn_fails(&e, "in error", e.peer.qpn, DUO_QKEY, true);
	duo_sync();
	if (duo_side == 1) {
		need_ok(weft_qp_set_state(e.qp, WEFT_QPS_RESET));
		duo_qp_to(e.qp, WEFT_QPS_RTR); /* That is enough to receive. */
	}
	proof(&e);
	duo_close(&e);
}

/* An SRD QP sends to a UD QP (9), and the other way round (nobody hears of it). */
static void qpn_type(void)
{
	struct duo_end e;
	struct weft_wr wr;

	for (uint32_t k = 0; k < 2; k++) {
		duo_open(&e,
			 &(struct duo_opts){ .type = k == duo_side ? WEFT_QP_SRD : WEFT_QP_UD });
		if (duo_side == 1)
			duo_recv(&e, 1, 0, 8928);
		duo_meet(&e, !duo_side);
		if (duo_side == 0 && k == 0) {
			qpn_fails(&e, "a UD QP", e.peer.qpn, DUO_QKEY, true);
		} else if (duo_side == 0) {
			wr = duo_wr(&e, 1, WEFT_OP_SEND, 0, 10, 0);
			duo_do(&e, &wr, 0);
		}
		duo_sync();
		duo_none(e.rcq);
		duo_close(&e);
	}
}

/* A receiver goes away while messages wait for a receive of its. */
static void qpn_gone(void)
{
	struct duo_end e;
	struct weft_qp *qp = NULL;
	struct duo_addr addr;
	struct weft_wr wr;

	opens_small(&e);
	for (uint32_t k = 0; k < 2; k++) {
		if (duo_side == 1) {
			qp = duo_qp(&e, WEFT_QPS_RTS);
			addr = duo_addr_of(&e, qp);
			duo_publish(1, &addr);
		}
		duo_sync();
		for (uint32_t i = 0; i < 5 && duo_side == 0; i++) {
			wr = duo_wr(&e, i, WEFT_OP_SEND, 0, 5000, 0);
			wr.qpn = duo_look(1, 1).qpn;
			duo_post(e.qp, &wr);
		}
		if (duo_side == 0)
			duo_none(e.scq);
		duo_sync();
		if (duo_side == 1) {
			need_ok(k ? weft_qp_set_state(qp, WEFT_QPS_ERR) : weft_qp_destroy(qp));
		} else {
			wait_all(e.scq, 5, 9);
		}
		duo_sync();
	}
	if (duo_side == 1)
		need_ok(weft_qp_destroy(qp));
	proof(&e);
	duo_close(&e);
}

/* 10 */

static void rnr_retries(void)
{
	struct duo_end e;
	struct weft_wr wr;

	opens_small(&e);
	for (uint8_t r = 0; r < 7 && duo_side == 0; r++) {
		weft_qp_set_rnr_retry(e.qp, r);
		wr = duo_wr(&e, r, WEFT_OP_SEND, 0, 8928, 0);
		duo_do(&e, &wr, 10);
		wr = duo_wr(&e, r, WEFT_OP_WRITE_IMM, 0, 100, 0);
		duo_do(&e, &wr, 10);
		need_eq(WEFT_QPS_RTS, weft_qp_state(e.qp));
		/* What takes no receive is not held up. */
		wr = duo_wr(&e, r, WEFT_OP_WRITE, 0, 100, 0);
		duo_do(&e, &wr, 0);
	}
	proof(&e);
	if (duo_side == 1)
		duo_none(e.rcq); /* What has failed does not come later. */
	duo_close(&e);
}

static void rnr_for_ever(void)
{
	struct duo_end e;
	struct weft_wr wr;
	uint64_t seen = 0;

	opens_small(&e);
	if (duo_side == 0) {
		for (uint32_t i = 0; i < 20; i++) {
			wr = duo_wr(&e, i, i % 4 == 3 ? WEFT_OP_WRITE_IMM : WEFT_OP_SEND_IMM, 0,
				    3000, 0);
			duo_post(e.qp, &wr);
		}
		for (uint32_t i = 0; i < 20; i++)
			duo_none(e.scq);
		wr = duo_wr(&e, 30, WEFT_OP_READ, 4096, 100, 0);
		duo_do(&e, &wr, 0); /* Goes past them. */
		duo_sync();
		wait_all(e.scq, 20, 0);
	} else {
		duo_sync();
		for (uint32_t i = 0; i < 20; i++) { /* One at a time. */
			struct weft_cqe c;

			duo_recv(&e, i, 8192, 8928);
			c = duo_next(e.rcq);
			need_eq(0, c.status);
			need_eq(i, c.wr_id);
			need_eq(3000, c.byte_len);
			need(!(seen >> (c.imm >> 24) & 1));
			seen |= 1ull << (c.imm >> 24);
		}
		need_eq((1 << 20) - 1, seen);
	}
	duo_sync();
	proof(&e);
	duo_close(&e);
}

/* 11 */

static void too_short(void)
{
	static const uint32_t len[] = { 101, 8928 };
	struct duo_end e;
	struct weft_wr wr;

	opens_small(&e);
	if (duo_side == 1) {
		duo_recv(&e, 5, 100, 100);
		duo_recv(&e, 6, 300, 100);
		duo_sync();
		duo_sync();
		duo_check_zero(e.buf, 1000);
		duo_none(e.rcq);
		duo_sync();
		duo_done(e.rcq, 5, 0); /* Both receives are still there, in their order. */
		duo_done(e.rcq, 6, 0);
		duo_check(e.buf + 100, 100, 1);
		duo_check(e.buf + 300, 100, 1);
	} else {
		duo_fill(e.buf, 8928, 1);
		duo_sync();
		for (uint32_t i = 0; i < 2; i++) {
			wr = duo_wr(&e, i, WEFT_OP_SEND, 0, len[i], 0);
			duo_do(&e, &wr, 11);
		}
		duo_sync();
		duo_sync();
		wr = duo_wr(&e, 9, WEFT_OP_SEND, 0, 100, 0);
		duo_do(&e, &wr, 0);
		duo_do(&e, &wr, 0);
	}
	proof(&e);
	duo_close(&e);
}

/* 13, 15 */

/* A stopped process: silent, but there. A third host must not notice. Afterwards it is there again. */
static void silent_stopped(void)
{
	struct duo_end e;
	struct weft_wr wr;
	struct weft_cqe c;
	struct duo_addr third;

	duo_open(&e, NULL);
	for (uint32_t i = 0; i < 100; i++)
		duo_recv(&e, i, 8192, 8928);
	duo_meet(&e, duo_side ? 0 : 1);
	if (duo_side) {
		duo_wait_step(0, 1);
	} else {
		wr = duo_wr(&e, 1, WEFT_OP_SEND, 0, 100, 0);
		duo_do(&e, &wr, 0);
		duo_kill(1, SIGSTOP);
		for (uint32_t i = 0; i < 3; i++) {
			wr = duo_wr(&e, i, i ? i == 1 ? WEFT_OP_READ : WEFT_OP_WRITE : WEFT_OP_SEND,
				    0, 8000, 16384);
			duo_post(e.qp, &wr);
		}
		third = duo_look(2, 0);
		for (uint32_t done = 0; done < 3;) {
			struct weft_ah *ah;

			need_ok(weft_ah_create(e.pd, &third.gid, &ah));
			wr = duo_wr(&e, 50, WEFT_OP_WRITE, 0, 1000, 0);
			wr.ah = ah;
			wr.qpn = third.qpn;
			wr.rkey = third.rkey;
			wr.raddr = third.addr;
			duo_post(e.qp, &wr);
			do {
				c = duo_next(e.scq);
				need_eq(c.wr_id == 50 ? 0 : 13, c.status);
				done += c.wr_id != 50;
			} while (c.wr_id != 50);
			need_ok(weft_ah_destroy(ah));
		}
		duo_kill(1, SIGCONT);
		wr = duo_wr(&e, 60, WEFT_OP_READ, 0, 8000, 16384);
		duo_do(&e, &wr, 0);
		duo_step(1);
	}
	duo_sync();
	duo_close(&e);
}

/* The other way round: who slept speaks first, to a peer that has given it up meanwhile. */
static void silent_wakes_up(void)
{
	struct duo_end e;
	struct weft_wr wr;
	struct weft_cqe c;

	duo_open(&e, NULL);
	duo_meet(&e, !duo_side);
	wr = duo_wr(&e, 1, WEFT_OP_READ, 0, 100, 0);
	duo_do(&e, &wr, 0);
	duo_sync();
	if (duo_side == 0) {
		duo_kill(1, SIGSTOP);
		duo_do(&e, &wr, 13);
		duo_step(1);
		duo_kill(1, SIGCONT);
	} else {
		duo_wait_step(0, 1);
		duo_post(e.qp, &wr);
		c = duo_next(e.scq);
		/* The context is gone at the other end, which says so whatever way this came. */
		need(c.status == 0 || c.status == 8);
		duo_do(&e, &wr, 0);
	}
	duo_sync();
	duo_close(&e);
}

/* Nobody has ever answered: stopped before the first packet. */
static void silent_from_the_start(void)
{
	struct duo_end e;
	struct weft_wr wr;

	duo_open(&e, NULL);
	duo_meet(&e, !duo_side);
	if (duo_side == 1) {
		duo_wait_step(0, 1);
	} else {
		duo_kill(1, SIGSTOP);
		wr = duo_wr(&e, 1, WEFT_OP_SEND, 0, 100, 0);
		duo_do(&e, &wr, 15);
		wr = duo_wr(&e, 2, WEFT_OP_READ, 0, 100, 0);
		duo_do(&e, &wr, 15);
		duo_kill(1, SIGCONT);
		wr = duo_wr(&e, 3, WEFT_OP_READ, 0, 100, 0);
		duo_do(&e, &wr, 0);
		duo_step(1);
	}
	duo_sync();
	duo_close(&e);
}

/* A host that swallows everything. */
static void silent_host(void)
{
	struct weft_ip ip;
	struct duo_end e;
	struct duo_addr addr = { .qkey = DUO_QKEY };
	struct weft_wr wr;
	uint32_t slot = 100;

	while (duo_bind(9, (uint16_t)(duo_port_base() + slot)) < 0)
		slot++;
	duo_open(&e, NULL);
	need(weft_ip_parse("127.0.0.9", &ip));
	weft_gid_encode(&ip, 0, duo_port_base(), &addr.gid);
	addr.qpn = (uint16_t)(slot << 8 | 3);
	duo_target(&e, &addr);
	for (int op = WEFT_OP_SEND; op <= WEFT_OP_READ; op++) {
		wr = duo_wr(&e, (uint64_t)op, (enum weft_op)op, 0, 100, 0);
		duo_post(e.qp, &wr);
	}
	/* Over shared memory it is known that nobody is there. */
	wait_all(e.scq, 5, duo_wire() == DUO_LOCAL ? 9 : 15);
	duo_close(&e);
}

#define DEAD_SOON "WEFT_DEAD_AFTER=500ms"

const struct duo_case link_status_cases[] = {
	{ .name = "flush__by_err", .side = { flush_err, flush_err } },
	{ .name = "flush__by_err_in_the_middle", .side = { flush_err_long, flush_err_long } },
	{ .name = "flush__by_destroy", .side = { flush_destroy, flush_destroy } },
	{ .name = "flush__by_ah", .side = { flush_ah, flush_ah } },
	{ .name = "unsupported__ud", .side = { unsupported_ud, unsupported_ud } },
	{ .name = "unsupported__caps",
	  .side = { unsupported_caps, unsupported_caps },
	  .env = "WEFT_CAPS=none" },
	{ .name = "invalid_ah", .side = { invalid_ah, invalid_ah } },
	{ .name = "lkey__send", .side = { lkey_send, lkey_send } },
	{ .name = "lkey__recv", .side = { lkey_recv, lkey_recv } },
	{ .name = "lkey__deregistered", .side = { lkey_dereg, lkey_dereg } },
	{ .name = "lkey__deregistered_waiting",
	  .side = { lkey_dereg_waiting, lkey_dereg_waiting } },
	{ .name = "length", .side = { length, length } },
	{ .name = "rkey__rules", .side = { rkey_rules, rkey_rules } },
	{ .name = "rkey__deregistered", .side = { rkey_dereg, rkey_dereg } },
	{ .name = "qpn__rules", .side = { qpn_rules, qpn_rules } },
	{ .name = "qpn__type", .side = { qpn_type, qpn_type } },
	{ .name = "qpn__gone", .side = { qpn_gone, qpn_gone } },
	{ .name = "rnr__retries", .side = { rnr_retries, rnr_retries } },
	{ .name = "rnr__for_ever", .side = { rnr_for_ever, rnr_for_ever } },
	{ .name = "too_short", .side = { too_short, too_short } },
	{ .name = "too_short__small_packets",
	  .side = { too_short, too_short },
	  .env = "WEFT_MTU=1500",
	  .wires = DUO_UDP },
	{ .name = "silent__stopped",
	  .side = { silent_stopped, silent_stopped, silent_stopped },
	  .env = DEAD_SOON },
	{ .name = "silent__wakes_up",
	  .side = { silent_wakes_up, silent_wakes_up },
	  .env = DEAD_SOON },
	{ .name = "silent__wakes_up_many_paths",
	  .side = { silent_wakes_up, silent_wakes_up },
	  .env = DEAD_SOON " WEFT_PATHS=64",
	  .wires = DUO_UDP },
	{ .name = "silent__from_the_start",
	  .side = { silent_from_the_start, silent_from_the_start },
	  .env = DEAD_SOON },
	{ .name = "silent__host", .side = { silent_host }, .env = DEAD_SOON },
	{ .name = NULL },
};
