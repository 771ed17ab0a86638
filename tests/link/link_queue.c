/* SPDX-License-Identifier: BSD-2-Clause */
/* Queue pairs and completion queues: places in them, their life, their limits. */
#include "link.h"

#include <stdio.h>

/* A completion without a peer: its key is wrong. */
static struct weft_wr failing(const struct duo_end *e, uint64_t id)
{
	struct weft_wr wr = duo_wr(e, id, WEFT_OP_SEND, 0, 1, 0);

	wr.sge[0].lkey = 0;
	return wr;
}

static void meet_self(struct duo_end *e, const struct duo_opts *opts)
{
	struct duo_addr addr;

	duo_open(e, opts);
	addr = duo_addr_of(e, e->qp);
	duo_target(e, &addr);
}

/* A place in the send queue is free when its completion has been polled, not before. */
static void sq_full(void)
{
	struct duo_end e;
	struct weft_wr wr[3];

	duo_open(&e, &(struct duo_opts){ .sq = 33 });
	duo_meet(&e, !duo_side);
	if (duo_side == 0) {
		for (uint32_t i = 0; i < 3; i++)
			wr[i] = duo_wr(&e, i, WEFT_OP_WRITE, 0, 100, 0);
		for (uint32_t i = 0; i < 64; i++) {
			need_eq(64 - i, weft_qp_send_room(e.qp));
			duo_post(e.qp, &wr[0]);
		}
		need_eq(-ENOMEM, weft_qp_post_send(e.qp, wr, 1));
		for (uint32_t i = 0; i < 1000; i++) /* They complete, but nobody takes them. */
			weft_card_progress(e.card);
		need_eq(-ENOMEM, weft_qp_post_send(e.qp, wr, 1));
		duo_done(e.scq, 0, 0);
		duo_done(e.scq, 0, 0);
		need_eq(2, weft_qp_send_room(e.qp));
		need_eq(-ENOMEM, weft_qp_post_send(e.qp, wr, 3)); /* All or none. */
		need_eq(2, weft_qp_send_room(e.qp));
		need_ok(weft_qp_post_send(e.qp, wr, 2));
		need_eq(0, weft_qp_send_room(e.qp));
		for (uint32_t i = 0; i < 63; i++)
			duo_done(e.scq, 0, 0);
		duo_done(e.scq, 1, 0);
		need_eq(64, weft_qp_send_room(e.qp));
		duo_none(e.scq);
	}
	duo_sync();
	duo_close(&e);
}

static void rq_full(void)
{
	struct duo_end e;
	struct weft_recv_wr recv = { .wr_id = 0 };
	struct weft_wr wr;

	duo_open(&e, &(struct duo_opts){ .rq = 10 }); /* 10 x 3 pieces: 32 / 3. */
	duo_meet(&e, !duo_side);
	if (duo_side == 1) {
		for (uint32_t i = 0; i < 10; i++)
			need_ok(weft_qp_post_recv(e.qp, &recv, 1));
		need_eq(-ENOMEM, weft_qp_post_recv(e.qp, &recv, 1));
		duo_sync();
		duo_sync(); /* Ten messages have come. */
		need_eq(-ENOMEM, weft_qp_post_recv(e.qp, &recv, 1));
		duo_done(e.rcq, 0, 0);
		need_ok(weft_qp_post_recv(e.qp, &recv, 1));
		need_eq(-ENOMEM, weft_qp_post_recv(e.qp, &recv, 1));
		recv.sge_len = 4;
		duo_done(e.rcq, 0, 0);
		need_eq(-EINVAL, weft_qp_post_recv(e.qp, &recv, 1));
		for (uint32_t i = 0; i < 8; i++)
			duo_done(e.rcq, 0, 0);
		duo_none(e.rcq);
	} else {
		duo_sync();
		for (uint32_t i = 0; i < 10; i++) {
			wr = duo_wr(&e, i, WEFT_OP_SEND, 0, 0, 0);
			duo_do(&e, &wr, 0);
		}
		duo_sync();
	}
	duo_sync();
	duo_close(&e);
}

static void qp_attr(void)
{
	struct duo_end e;
	struct weft_qp *qp;
	struct weft_qp_attr good, a;

	duo_open(&e, NULL);
	good = (struct weft_qp_attr){ .send_cq = e.scq,
				      .recv_cq = e.rcq,
				      .max_send_wr = 40,
				      .max_recv_wr = 100,
				      .max_send_sge = 2,
				      .max_recv_sge = 3,
				      .max_inline = 32 };
	a = good;
	need_ok(weft_qp_create(e.pd, &a, &qp));
	need_eq(64, a.max_send_wr);
	need_eq(170, a.max_recv_wr); /* 512 pieces. */
	need_ok(weft_qp_destroy(qp));
	a = good;
	a.max_send_wr = a.max_recv_wr = 0; /* Sends only, as few as there are. */
	need_ok(weft_qp_create(e.pd, &a, &qp));
	need_eq(WEFT_DEV_SQ_MIN, a.max_send_wr);
	need_eq(0, a.max_recv_wr);
	duo_qp_to(qp, WEFT_QPS_RTS);
	need_eq(-ENOMEM, weft_qp_post_recv(qp, &(struct weft_recv_wr){ .wr_id = 1 }, 1));
	need_ok(weft_qp_destroy(qp));
	a = good;
	a.max_send_wr = WEFT_DEV_SQ_MAX + 1;
	need_eq(-EINVAL, weft_qp_create(e.pd, &a, &qp));
	a = good;
	a.max_recv_wr = WEFT_DEV_RQ_MAX / 3 + 1;
	need_eq(-EINVAL, weft_qp_create(e.pd, &a, &qp));
	a.max_recv_wr = UINT32_MAX / 2;
	need_eq(-EINVAL, weft_qp_create(e.pd, &a, &qp));
	a = good;
	a.max_send_sge = 3;
	need_eq(-EINVAL, weft_qp_create(e.pd, &a, &qp));
	a = good;
	a.max_recv_sge = 4;
	need_eq(-EINVAL, weft_qp_create(e.pd, &a, &qp));
	a = good;
	a.max_inline = 33;
	need_eq(-EINVAL, weft_qp_create(e.pd, &a, &qp));
	a = good;
	a.send_cq = NULL;
	need_eq(-EINVAL, weft_qp_create(e.pd, &a, &qp));
	need_eq(-EBUSY, weft_cq_destroy(e.scq));
	need_eq(-EBUSY, weft_pd_destroy(e.pd));
	duo_close(&e);
}

/* Every transition, and what may be posted where. */
static void qp_states(void)
{
	static const char *const legal[] = { /* To R I r S D E; from the row. */
					     "110000", "111001", "100101",
					     "100111", "100111", "100001"
	};
	struct duo_end e;
	struct weft_qp *qp;
	struct weft_wr wr;
	struct weft_recv_wr recv = { .wr_id = 7 };

	meet_self(&e, NULL);
	for (int from = WEFT_QPS_RESET; from <= WEFT_QPS_ERR; from++) {
		for (int to = WEFT_QPS_RESET; to <= WEFT_QPS_ERR; to++) {
			bool is_legal = legal[from][to] == '1';

			qp = duo_qp(&e, (enum weft_qp_state)WEFT_MIN(from, (int)WEFT_QPS_SQD));
			if (from == WEFT_QPS_ERR)
				need_ok(weft_qp_set_state(qp, WEFT_QPS_ERR));
			need_eq(is_legal ? 0 : -EINVAL,
				weft_qp_set_state(qp, (enum weft_qp_state)to));
			need_eq(is_legal ? to : from, weft_qp_state(qp));
			need_ok(weft_qp_destroy(qp));
		}
		qp = duo_qp(&e, (enum weft_qp_state)WEFT_MIN(from, (int)WEFT_QPS_SQD));
		if (from == WEFT_QPS_ERR)
			need_ok(weft_qp_set_state(qp, WEFT_QPS_ERR));
		wr = failing(&e, 1);
		need_eq(from == WEFT_QPS_RTS || from == WEFT_QPS_SQD ? 0 : -EINVAL,
			weft_qp_post_send(qp, &wr, 1));
		need_eq(from == WEFT_QPS_RESET || from == WEFT_QPS_ERR ? -EINVAL : 0,
			weft_qp_post_recv(qp, &recv, 1));
		need_ok(weft_qp_destroy(qp));
	}
	wr = failing(&e, 1);
	wr.sge_len = 3;
	need_eq(-EINVAL, weft_qp_post_send(e.qp, &wr, 1));
	wr.is_inline = true;
	wr.inline_len = 33;
	need_eq(-EINVAL, weft_qp_post_send(e.qp, &wr, 1));
	duo_close(&e);
}

/* RESET empties both queues without a word, and the QP is as good as new. */
static void qp_reset(void)
{
	struct duo_end e;
	struct weft_wr wr;

	duo_open(&e, NULL);
	duo_meet(&e, !duo_side);
	for (uint32_t round = 0; round < 5; round++) {
		if (duo_side == 1) {
			/* The other end's sends of the last round are flushed, but their packets are here:
			 * look at them while there is nothing to receive them. */
			duo_none(e.rcq);
			for (uint32_t i = 0; i < 256; i++)
				duo_recv(&e, i, 0, 100);
			need_ok(weft_qp_set_state(e.qp, WEFT_QPS_RESET));
			duo_sync();
			duo_sync();
			duo_qp_to(e.qp, WEFT_QPS_RTS);
			duo_none(e.rcq);
			duo_recv(&e, 500 + round, 1000, 100); /* There is room. */
			duo_sync();
			duo_done(e.rcq, 500 + round, 0);
			duo_check_zero(e.buf, 1000);
			duo_check(e.buf + 1000, 100, round);
		} else {
			duo_sync();
			wr = duo_wr(&e, 1, WEFT_OP_SEND, 0, 100, 0);
			duo_do(&e, &wr, 9);
			duo_sync();
			duo_sync();
			duo_fill(e.buf, 100, round);
			duo_do(&e, &wr, 0);
			/* The same here, with sends that wait. */
			for (uint32_t i = 0; i < 256; i++)
				duo_post(e.qp, &wr);
			duo_none(e.scq);
			need_ok(weft_qp_set_state(e.qp, WEFT_QPS_RESET));
			duo_none(e.scq);
			duo_qp_to(e.qp, WEFT_QPS_RTS);
			need_eq(256, weft_qp_send_room(e.qp));
		}
		duo_sync();
	}
	if (duo_side == 1)
		duo_none(e.rcq);
	duo_close(&e);
}

/* Completions from before a RESET do not count as places of after it. */
static void qp_reset_unpolled(void)
{
	struct duo_end e;
	struct weft_wr wr;
	struct weft_cqe c;

	meet_self(&e, &(struct duo_opts){ .sq = 32, .rq = 4 });
	for (uint32_t round = 0; round < 5; round++) {
		wr = failing(&e, round);
		for (uint32_t i = 0; i < 20; i++)
			duo_post(e.qp, &wr);
		need_ok(weft_qp_set_state(e.qp, WEFT_QPS_RESET));
		duo_qp_to(e.qp, WEFT_QPS_RTS);
		need_eq(32, weft_qp_send_room(e.qp));
	}
	for (uint32_t i = 0; i < 100; i++) {
		c = duo_next(e.scq);
		need_eq(WEFT_CQE_F_STALE, c.flags);
		need_eq(i / 20, c.wr_id);
	}
	need_eq(32, weft_qp_send_room(e.qp));
	duo_close(&e);
}

static void qp_limit(void)
{
	static struct weft_qp *qp[WEFT_DEV_QP_MAX];
	static uint32_t used[256];
	struct weft_qp_attr attr;
	struct duo_end e;
	uint32_t n = 0;
	int err;

	duo_open(&e, NULL);
	for (;;) {
		attr = (struct weft_qp_attr){ .send_cq = e.scq, .recv_cq = e.rcq };
		err = weft_qp_create(e.pd, &attr, &qp[n]);
		if (err)
			break;
		need(!used[weft_qp_number(qp[n]) & 255]++);
		need(weft_qp_number(qp[n]) > 255);
		need_eq(weft_qp_number(e.qp) >> 8, weft_qp_number(qp[n]) >> 8);
		n++;
	}
	need_eq(-ENOMEM, err);
	need_eq(WEFT_DEV_QP_MAX - 1, n);
	for (uint32_t i = 0; i < n; i += 2)
		need_ok(weft_qp_destroy(qp[i]));
	for (uint32_t i = 0; i < n; i += 2) {
		attr = (struct weft_qp_attr){ .send_cq = e.scq, .recv_cq = e.rcq };
		need_ok(weft_qp_create(e.pd, &attr, &qp[i]));
	}
	while (n)
		need_ok(weft_qp_destroy(qp[--n]));
	/* One at a time: numbers take turns. */
	memset(used, 0, sizeof(used));
	for (uint32_t i = 0; i < 1000; i++) {
		attr = (struct weft_qp_attr){ .send_cq = e.scq, .recv_cq = e.rcq };
		need_ok(weft_qp_create(e.pd, &attr, &qp[0]));
		need(!used[weft_qp_number(qp[0]) & 255] ||
		     i + 1 - used[weft_qp_number(qp[0]) & 255] > 200);
		used[weft_qp_number(qp[0]) & 255] = i + 1;
		need_ok(weft_qp_destroy(qp[0]));
	}
	duo_close(&e);
}

/* Completion queues */

static void cq_rules(void)
{
	static struct weft_cq *cq[WEFT_DEV_CQ_MAX];
	struct duo_end e;
	uint32_t n = 0, depth = 0;
	int err;

	duo_open(&e, NULL);
	need_eq(-EINVAL, weft_cq_create(e.card, &depth, NULL, NULL, &cq[0]));
	depth = WEFT_DEV_CQE_MAX + 1;
	need_eq(-EINVAL, weft_cq_create(e.card, &depth, NULL, NULL, &cq[0]));
	for (;;) {
		depth = 5;
		err = weft_cq_create(e.card, &depth, NULL, &cq[n], &cq[n]);
		if (err)
			break;
		need_eq(8, depth);
		need(weft_cq_user(cq[n]) == &cq[n]);
		need(++n < WEFT_DEV_CQ_MAX);
	}
	need_eq(-ENOMEM, err);
	need_eq(WEFT_DEV_CQ_MAX - 2, n);
	while (n)
		need_ok(weft_cq_destroy(cq[--n]));
	duo_close(&e);
}

/* More completions than the CQ holds: late, but all of them, once, in their order. */
static void cq_overflow(void)
{
	struct duo_end e;
	struct weft_wr wr;

	meet_self(&e, &(struct duo_opts){ .sq = 256, .rq = 256, .depth = 16 });
	for (uint32_t round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < 256; i++) {
			wr = failing(&e, i);
			duo_post(e.qp, &wr);
			duo_recv(&e, i, 0, 10);
		}
		for (uint32_t i = 0; i < 100; i++)
			duo_done(e.scq, i, 5);
		for (uint32_t i = 256; i < 300; i++) {
			wr = failing(&e, i);
			duo_post(e.qp, &wr);
		}
		for (uint32_t i = 100; i < 300; i++)
			duo_done(e.scq, i, 5);
		duo_none(e.scq);
		need_ok(weft_qp_set_state(e.qp, WEFT_QPS_ERR));
		for (uint32_t i = 0; i < 256; i++)
			duo_done(e.rcq, i, 1);
		duo_none(e.rcq);
		need_ok(weft_qp_set_state(e.qp, WEFT_QPS_RESET));
		duo_qp_to(e.qp, WEFT_QPS_RTS);
	}
	duo_close(&e);
}

/* The same with messages: a receiver that does not poll holds its senders up, and loses nothing. */
static void cq_overflow_receiver(void)
{
	static bool seen[250];
	struct duo_end e;
	struct weft_wr wr;
	struct weft_cqe c;

	duo_open(&e, &(struct duo_opts){ .depth = 16 });
	for (uint32_t i = 0; i < 250; i++)
		duo_recv(&e, i, 8 * i, 8);
	duo_meet(&e, !duo_side);
	if (duo_side == 0) {
		for (uint32_t i = 0; i < 250; i++) {
			wr = duo_wr(&e, i, WEFT_OP_SEND_IMM, 0, 8, 0);
			duo_post(e.qp, &wr);
		}
		for (uint32_t i = 0; i < 5000; i++)
			weft_card_progress(e.card);
		duo_step(1);
		for (uint32_t i = 0; i < 250; i++)
			need_eq(0, duo_next(e.scq).status);
	} else {
		duo_wait_step(0, 1);
		for (uint32_t i = 0; i < 250; i++) {
			c = duo_next(e.rcq);
			need_eq(0, c.status);
			need(c.imm >> 24 < 250 && !seen[c.imm >> 24]);
			seen[c.imm >> 24] = true;
		}
	}
	duo_sync();
	duo_none(e.rcq);
	duo_close(&e);
}

/* A session that stays open holds up neither the card nor what is posted meanwhile. */
static void cq_session(void)
{
	struct duo_end e;
	const struct weft_cqe *c;
	struct weft_wr wr;

	duo_open(&e, NULL);
	duo_meet(&e, !duo_side);
	if (duo_side == 0) {
		wr = duo_wr(&e, 0, WEFT_OP_WRITE, 0, 5000, 0);
		duo_post(e.qp, &wr);
		for (;;) {
			weft_cq_begin(e.scq);
			c = weft_cq_next(e.scq);
			if (c)
				break;
			weft_cq_end(e.scq);
		}
		for (uint32_t i = 1; i < 200; i++) {
			need_eq(i - 1, c->wr_id);
			need_eq(0, c->status);
			wr.wr_id = i;
			duo_post(e.qp, &wr);
			while (!(c = weft_cq_next(e.scq)))
				weft_card_progress(e.card);
		}
		weft_cq_end(e.scq);
	}
	duo_sync();
	duo_close(&e);
}

static void cq_single_threaded(void)
{
	struct duo_end e;
	struct weft_wr wr;

	meet_self(&e, NULL);
	weft_cq_set_single_threaded(e.scq);
	for (uint32_t i = 0; i < 100; i++) {
		wr = duo_wr(&e, i, WEFT_OP_WRITE, 0, 100, 200);
		duo_do(&e, &wr, 0);
	}
	duo_close(&e);
}

/* The card comes and goes with its objects. */
static void card_again(void)
{
	struct duo_end e;
	struct weft_card *second, *none;
	struct weft_wr wr;

	need_eq(-ENODEV, weft_card_open(1, &none));
	for (uint32_t i = 0; i < 5; i++) {
		duo_open(&e, NULL);
		need_ok(weft_card_open(0, &second));
		need(second == e.card);
		weft_card_close(second);
		duo_meet(&e, !duo_side);
		wr = duo_wr(&e, i, WEFT_OP_READ, 0, 100000, 0);
		duo_do(&e, &wr, 0);
		duo_sync();
		duo_close(&e);
		duo_sync();
	}
}

const struct duo_case link_queue_cases[] = {
	{ .name = "sq__full", .side = { sq_full, sq_full } },
	{ .name = "rq__full", .side = { rq_full, rq_full } },
	{ .name = "qp__attributes", .side = { qp_attr } },
	{ .name = "qp__states", .side = { qp_states } },
	{ .name = "qp__reset", .side = { qp_reset, qp_reset } },
	{ .name = "qp__reset_unpolled", .side = { qp_reset_unpolled } },
	{ .name = "qp__limit", .side = { qp_limit } },
	{ .name = "cq__rules", .side = { cq_rules } },
	{ .name = "cq__overflow", .side = { cq_overflow } },
	{ .name = "cq__overflow_receiver", .side = { cq_overflow_receiver, cq_overflow_receiver } },
	{ .name = "cq__session", .side = { cq_session, cq_session } },
	{ .name = "cq__single_threaded", .side = { cq_single_threaded } },
	{ .name = "card__again", .side = { card_again, card_again } },
	{ .name = NULL },
};
