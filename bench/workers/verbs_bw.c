/* SPDX-License-Identifier: BSD-2-Clause */
/* Streams of SENDs, WRITEs or READs with a window of requests under way, from one queue pair to one. What counts are
 * completions at the client; each says that the bytes are there. Requests go through `span` bytes of memory
 * at both ends, one after the other.
 *
 * The time is read once for each poll that brought something: that gives bins of 10 ms, and the longest time that
 * passed without a completion. A stream notes errors and goes on; otherwise an error ends the program. */
#include "verbs.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "work.h"

#define POLL_MAX 32u
#define BIN_NS   10000000u
#define BINS_MAX 6000u

struct stream {
	struct verbs *v;
	uint64_t next; /* Which piece of the span. */
	uint32_t pieces, busy;
	uint64_t done, errors, status;
	uint64_t begin, last, gap, gap_at;
	uint32_t bins[BINS_MAX];
};

static void fill_in(struct stream *s, uint64_t piece)
{
	struct verbs *v = s->v;
	struct ibv_qp_ex *ex = v->card.ex;
	uint64_t at = piece % s->pieces * v->plan.size;

	switch (v->plan.op) {
	case VERBS_SEND:
		ibv_wr_send(ex);
		break;
	case VERBS_WRITE:
		ibv_wr_rdma_write(ex, v->to.rkey, v->to.addr + at);
		break;
	case VERBS_READ:
		ibv_wr_rdma_read(ex, v->to.rkey, v->to.addr + at);
		break;
	}
	if (v->plan.op == VERBS_SEND && v->plan.size <= v->card.inline_max && !v->no_inline)
		ibv_wr_set_inline_data(ex, v->card.mem + at, v->plan.size);
	else
		ibv_wr_set_sge(ex, v->card.mr->lkey, (uintptr_t)v->card.mem + at, v->plan.size);
	ibv_wr_set_ud_addr(ex, v->ah, v->to.qpn, CARD_QKEY);
}

static void post_batch(struct stream *s, uint32_t n)
{
	struct ibv_qp_ex *ex = s->v->card.ex;

	ibv_wr_start(ex);
	for (uint32_t i = 0; i < n; i++) {
		ex->wr_id = UINT64_MAX;
		fill_in(s, s->next++);
	}
	errno = ibv_wr_complete(ex);
	if (errno)
		work_fail("posting");
	s->busy += n;
}

/* The way of programs that are older than ibv_wr_start(); SEND only, the others came with it. */
static void post_old(struct stream *s)
{
	struct verbs *v = s->v;
	uint64_t at = s->next++ % s->pieces * v->plan.size;
	struct ibv_sge sge = { (uintptr_t)v->card.mem + at, v->plan.size, v->card.mr->lkey };
	struct ibv_send_wr wr = {
		.wr_id = UINT64_MAX,
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IBV_WR_SEND,
		.send_flags = IBV_SEND_SIGNALED,
		.wr.ud = { .ah = v->ah, .remote_qpn = v->to.qpn, .remote_qkey = CARD_QKEY },
	}, *bad;

	if (v->plan.size <= v->card.inline_max && !v->no_inline)
		wr.send_flags |= IBV_SEND_INLINE;
	errno = ibv_post_send(v->card.qp, &wr, &bad);
	if (errno)
		work_fail("ibv_post_send");
	s->busy++;
}

static void post(struct stream *s)
{
	const struct verbs_plan *plan = &s->v->plan;

	while (plan->window - s->busy >= plan->batch) {
		if (s->v->one_by_one)
			post_old(s);
		else
			post_batch(s, plan->batch);
	}
}

static void note(struct stream *s, uint64_t now, uint32_t good)
{
	uint64_t bin = (now - s->begin) / BIN_NS;

	if (now - s->last > s->gap && s->last - s->begin >= s->v->plan.ramp_ns) {
		s->gap = now - s->last;
		s->gap_at = s->last - s->begin;
	}
	s->last = now;
	s->done += good;
	if (bin < BINS_MAX)
		s->bins[bin] += good;
}

static uint64_t poll_some(struct stream *s)
{
	struct ibv_wc wc[POLL_MAX];
	int n = ibv_poll_cq(s->v->card.cq, POLL_MAX, wc);
	uint32_t good = 0;
	uint64_t now;

	if (n < 0)
		work_fatal("ibv_poll_cq failed");
	now = work_now();
	if (!n)
		return now;
	for (int i = 0; i < n; i++) {
		if (wc[i].status == IBV_WC_SUCCESS) {
			good++;
			continue;
		}
		s->errors++;
		s->status = wc[i].vendor_err;
		if (s->v->plan.mode != VERBS_STREAM)
			work_fatal("completed with %s (vendor error %u)",
				   ibv_wc_status_str(wc[i].status), wc[i].vendor_err);
	}
	s->busy -= (uint32_t)n;
	note(s, now, good);
	return now;
}

static void show(const struct stream *s, uint64_t ns)
{
	const struct verbs_plan *plan = &s->v->plan;

	printf("{\"size\": %u, \"window\": %u, \"batch\": %u, \"seconds\": %.6f, \"done\": %llu, "
	       "\"errors\": %llu, \"status\": %llu, \"per_second\": %.1f, \"gbytes\": %.4f, "
	       "\"begin\": %.6f, \"gap_ms\": %.3f, \"gap_at\": %.6f",
	       plan->size, plan->window, plan->batch, (double)ns / 1e9, (unsigned long long)s->done,
	       (unsigned long long)s->errors, (unsigned long long)s->status,
	       (double)s->done * 1e9 / (double)ns, (double)s->done * plan->size / (double)ns,
	       (double)s->begin / 1e9, (double)s->gap / 1e6, (double)s->gap_at / 1e9);
	if (plan->mode == VERBS_STREAM) {
		printf(", \"bins\": [");
		for (uint32_t i = 0; i < ns / BIN_NS && i < BINS_MAX; i++)
			printf("%s%u", i ? ", " : "", s->bins[i]);
		printf("]");
	}
	printf("}\n");
}

static void start(struct stream *s, uint64_t now)
{
	*s = (struct stream){ .v = s->v,
			      .next = s->next,
			      .pieces = s->pieces,
			      .busy = s->busy,
			      .begin = now,
			      .last = now };
}

void verbs_bw_client(struct verbs *v)
{
	static struct stream s;
	uint64_t now, measured;
	char done = 'd';

	s.v = v;
	s.pieces = (uint32_t)(v->plan.span / v->plan.size);
	work_meet(v->side);
	now = work_now();
	start(&s, now);
	while (v->plan.warmup_ns && now - s.begin < v->plan.warmup_ns) {
		post(&s);
		now = poll_some(&s);
	}
	start(&s, now);
	while (now - s.begin < v->plan.ns) {
		post(&s);
		now = poll_some(&s);
	}
	measured = now - s.begin;
	show(&s, measured);
	while (s.busy)
		poll_some(&s);
	work_put(v->side, &done, 1);
}

/* Receives, or only polls, or only waits, until the client says that it is done. */
void verbs_bw_server(struct verbs *v)
{
	const struct verbs_plan *plan = &v->plan;
	bool sends = plan->op == VERBS_SEND;
	uint32_t empty[POLL_MAX], empties = 0;
	struct ibv_wc wc[POLL_MAX];
	uint64_t received = 0, idle = 0, looked = work_now();
	int n;

	if (sends)
		card_post_first(&v->card, verbs_recv_base(v), plan->recvs, plan->size);
	work_meet(v->side);
	while (plan->sleepy && !sends && !work_is_told(v->side))
		usleep(1000);
	for (;;) {
		n = ibv_poll_cq(v->card.cq, POLL_MAX, wc);
		if (n < 0)
			work_fatal("ibv_poll_cq failed");
		for (int i = 0; i < n; i++) {
			if (wc[i].status)
				work_fatal("received with %s", ibv_wc_status_str(wc[i].status));
			empty[empties++] = (uint32_t)wc[i].wr_id;
			if (empties == POLL_MAX) {
				card_post_recvs(&v->card, verbs_recv_base(v), empty, empties,
						plan->size);
				empties = 0;
			}
		}
		received += (uint32_t)(n > 0 ? n : 0);
		if (n || ++idle % 256 || work_now() - looked < 1000000)
			continue;
		looked = work_now();
		if (work_is_told(v->side))
			break;
	}
	printf("{\"received\": %llu}\n", (unsigned long long)received);
}
