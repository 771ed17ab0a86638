/* SPDX-License-Identifier: BSD-2-Clause */
/* Data packets received. Most tests forge packets of A, so that B meets what A would never send, and in
 * orders in which no wire would bring it. */
#include "pair.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>

struct rig {
	struct pair *p;
	struct weft_ctx *ctx; /* B's, for A. */
	uint64_t base; /* Next PSN that B has not seen. */
	uint64_t una; /* What A's probes say about its oldest open PSN. */
};

static void open_rig(struct rig *r, pair_tune *tune)
{
	r->p = pair_open(2, tune);
	pair_warm_up(r->p);
	r->ctx = pair_ctx(r->p, PAIR_B, PAIR_A);
	r->base = r->una = r->ctx->rx_cum;
}

static void close_rig(struct rig *r)
{
	pair_close(r->p);
}

static struct pair_end *b_end(struct rig *r)
{
	return &r->p->end[PAIR_B];
}

static uint64_t dropped(struct rig *r, enum weft_srd_drop why)
{
	return pair_stats(r->p, PAIR_B)->rx_drops[why];
}

/* Bytes [off, off + len) of the message, as A would send them. */
static void send_psn(struct rig *r, uint64_t psn, const struct weft_op *op, uint32_t len)
{
	struct weft_hdr hdr = pair_hdr(r->p, PAIR_A, PAIR_B, WEFT_PKT_DATA);
	uint8_t *bytes = malloc(len + 1);

	assert_non_null(bytes);
	for (uint32_t i = 0; i < len; i++)
		bytes[i] = pair_byte(op->imm, op->off + i);
	hdr.psn = psn;
	pair_forge_data(r->p, PAIR_B, hdr, op, bytes, len);
	free(bytes);
}

static struct weft_op send_op(uint32_t id, uint32_t msg_len, uint32_t off)
{
	return (struct weft_op){
		.op = WEFT_WIRE_SEND,
		.msg_id = id,
		.msg_len = msg_len,
		.off = off,
		.src_qpn = 1,
		.dst_qpn = 2,
		.key = PAIR_QKEY,
		.imm = id,
	};
}

static struct weft_op write_op(uint8_t op, uint32_t id, uint32_t msg_len, uint32_t off)
{
	return (struct weft_op){
		.op = op,
		.msg_id = id,
		.msg_len = msg_len,
		.off = off,
		.src_qpn = 1,
		.dst_qpn = 2,
		.key = PAIR_RKEY,
		.imm = id,
		.addr = PAIR_BASE,
	};
}

/* Is this PSN told as received, and with which code? -1: not received. */
static int told(const struct weft_ack *ack, uint64_t psn)
{
	uint64_t start = ack->cum & ~(uint64_t)63;

	if (psn >= ack->cum && (psn >= start + 64u * ack->words ||
				!(ack->word[(psn - start) / 64] >> (psn - start) % 64 & 1)))
		return -1;
	for (unsigned int i = 0; i < ack->drops; i++)
		if (ack->drop[i].psn == (uint32_t)psn)
			return ack->drop[i].code;
	return 0;
}

/* What B says about a PSN when it is asked: -1 not received, 0 accepted, else the code. */
static int verdict(struct rig *r, uint64_t psn)
{
	static const struct pair_rule acks = { .from = PAIR_BIT(PAIR_B), .types = PAIR_T(ACK) };
	struct weft_hdr probe = pair_hdr(r->p, PAIR_A, PAIR_B, WEFT_PKT_PROBE);
	const struct pair_pkt *pkt;

	probe.psn = r->una;
	pair_forge(r->p, PAIR_B, probe, NULL, 0, NULL, 0);
	pair_drain(r->p);
	pkt = pair_find(r->p, acks, pair_count(r->p, acks) - 1);
	assert_true(pkt->sent == r->p->now);
	return told(&pkt->ack, psn);
}

/* Once and only once */

static void weft_rx_on_data__dedup_at_every_distance(void **state)
{
	struct rig r;

	(void)state;
	for (uint32_t d = 0; d < WEFT_SPAN; d += d < 70 || d > 890 ? 1 : 13) {
		struct weft_op op = send_op(d + 1, 10, 0);

		open_rig(&r, NULL);
		for (int i = 0; i < 3; i++)
			send_psn(&r, r.base + d, &op, 10);
		assert_int_equal(b_end(&r)->recv_done, 2);
		assert_int_equal(dropped(&r, WEFT_SRD_DROP_DUPLICATE), 2);
		assert_int_equal(r.ctx->rx_cum, r.base + !d);
		close_rig(&r);
	}
}

/* All the window, in a shuffled order, each twice; what lies below is a duplicate for ever. */
static void weft_rx_on_data__shuffled_window(void **state)
{
	struct rig r;
	uint64_t order[2 * WEFT_SPAN];
	struct weft_prng rnd;

	(void)state;
	weft_prng_init(&rnd, 9);
	open_rig(&r, NULL);
	for (int round = 0; round < 5; round++) {
		for (uint32_t i = 0; i < 2 * WEFT_SPAN; i++)
			order[i] = r.base + i / 2;
		for (uint32_t i = 2 * WEFT_SPAN - 1; i; i--) {
			uint32_t k = weft_prng_below(&rnd, i + 1);
			uint64_t t = order[i];

			order[i] = order[k];
			order[k] = t;
		}
		for (uint32_t i = 0; i < 2 * WEFT_SPAN; i++) {
			struct weft_op op = send_op((uint32_t)order[i], 10, 0);

			send_psn(&r, order[i], &op, 10);
		}
		assert_int_equal(b_end(&r)->recv_done, 1 + (round + 1) * WEFT_SPAN);
		r.base += WEFT_SPAN;
		assert_true(r.ctx->rx_cum == r.base);
	}
	assert_int_equal(dropped(&r, WEFT_SRD_DROP_DUPLICATE), 5 * WEFT_SPAN);
	for (uint64_t psn = r.base - 2000; psn < r.base; psn++) {
		struct weft_op op = send_op((uint32_t)psn, 10, 0);

		send_psn(&r, psn, &op, 10);
	}
	assert_int_equal(b_end(&r)->recv_done, 1 + 5 * WEFT_SPAN);
	assert_int_equal(dropped(&r, WEFT_SRD_DROP_WINDOW), 0);
	close_rig(&r);
}

static void weft_rx_on_data__window_edge(void **state)
{
	static const struct {
		int id;
		uint64_t at;
		bool in;
	} rows[] = {
		{ 1, 0, true },
		{ 2, WEFT_SPAN - 1, true },
		{ 3, WEFT_SPAN, false },
		{ 4, WEFT_SPAN + 1, false },
		{ 5, WEFT_SRD_WINDOW, false },
		{ 6, (uint64_t)1 << 32, false },
		{ 7, UINT64_MAX / 2, false },
	};
	struct rig r;

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct weft_op op = send_op(1, 10, 0);

		open_rig(&r, NULL);
		send_psn(&r, r.base + rows[i].at, &op, 10);
		if (b_end(&r)->recv_done != 1u + rows[i].in)
			fail_msg("row %d", rows[i].id);
		assert_int_equal(dropped(&r, WEFT_SRD_DROP_WINDOW), !rows[i].in);
		close_rig(&r);
	}
}

/* The last PSNs of all: arithmetic on them must not go round. */
static void weft_rx_on_data__psn_at_the_end_of_numbers(void **state)
{
	static const uint64_t psns[] = {
		UINT64_MAX, UINT64_MAX - 1, UINT64_MAX - 959, UINT64_MAX - 1024, 0, 1
	};
	struct rig r;

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(psns); i++) {
		struct weft_op op = send_op(1, 10, 0);

		open_rig(&r, NULL);
		op.una = 0xffff;
		send_psn(&r, psns[i], &op, 10);
		assert_int_equal(b_end(&r)->recv_done, 1);
		close_rig(&r);
	}
}

/* Bounds */

static void weft_rx_on_data__bounds(void **state)
{
	static const struct {
		int id;
		uint8_t op;
		uint32_t msg_len, off, len;
		uint64_t addr;
	} rows[] = {
		{ 1, WEFT_WIRE_SEND, 100, 101, 0, 0 },
		{ 2, WEFT_WIRE_SEND, 100, 50, 51, 0 },
		{ 3, WEFT_WIRE_SEND, 100, 0, 101, 0 },
		{ 4, WEFT_WIRE_SEND, 0, 0, 1, 0 },
		{ 5, WEFT_WIRE_SEND, 100, UINT32_MAX, 10, 0 },
		{ 6, WEFT_WIRE_SEND, 8929, 0, 100, 0 },
		{ 7, WEFT_WIRE_SEND, UINT32_MAX, 0, 100, 0 },
		{ 8, WEFT_WIRE_SEND, 2000, 0, 0, 0 }, /* A part without bytes. */
		{ 9, WEFT_WIRE_SEND_IMM, 2000, 2000, 0, 0 },
		{ 10, WEFT_WIRE_WRITE, 100, 50, 51, PAIR_BASE },
		{ 11, WEFT_WIRE_WRITE, 100, 101, 0, PAIR_BASE },
		{ 12, WEFT_WIRE_WRITE, (1u << 30) + 1, 0, 100, PAIR_BASE },
		{ 13, WEFT_WIRE_WRITE_IMM, 100, 60, 60, PAIR_BASE },
		{ 14, WEFT_WIRE_WRITE_IMM, 2000, 0, 0, PAIR_BASE },
		{ 15, WEFT_WIRE_READ, 100, 0, 1, PAIR_BASE },
		{ 16, WEFT_WIRE_READ, (1u << 30) + 1, 0, 0, PAIR_BASE },
		{ 17, WEFT_WIRE_READ, 100, 101, 0, PAIR_BASE },
		{ 18, WEFT_WIRE_VOID, 100, 0, 1, 0 },
		{ 19, WEFT_WIRE_CANCEL, 100, 0, 1, 0 },
		{ 20, WEFT_WIRE_RESP, 100, 101, 0, 0 },
	};
	struct rig r;
	uint64_t wrote;

	(void)state;
	open_rig(&r, NULL);
	wrote = b_end(&r)->write_bytes;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct weft_op op = write_op(rows[i].op, 5, rows[i].msg_len, rows[i].off);

		op.addr = rows[i].addr;
		op.key = rows[i].op <= WEFT_WIRE_SEND_IMM ? PAIR_QKEY : PAIR_RKEY;
		send_psn(&r, r.base, &op, rows[i].len);
		if (dropped(&r, WEFT_SRD_DROP_BOUNDS) != i + 1)
			fail_msg("row %d", rows[i].id);
		/* As if it had not arrived: its PSN is still open. */
		assert_int_equal(verdict(&r, r.base), -1);
	}
	assert_int_equal(b_end(&r)->recv_n, 1);
	assert_int_equal(b_end(&r)->write_bytes, wrote);
	assert_int_equal(r.p->end[PAIR_B].srd->rxms_used, 0);
	close_rig(&r);
}

static void weft_rx_on_data__unknown_operation(void **state)
{
	struct rig r;

	(void)state;
	open_rig(&r, NULL);
	for (unsigned int v = WEFT_WIRE_OP_COUNT; v < 256; v++) {
		struct weft_op op = { .op = (uint8_t)v };

		send_psn(&r, r.base, &op, 0);
	}
	assert_int_equal(dropped(&r, WEFT_SRD_DROP_TYPE), 256 - WEFT_WIRE_OP_COUNT);
	close_rig(&r);
}

/* A message of several packets whose packets do not agree about it. */
static void weft_rx_on_data__parts_disagree(void **state)
{
	static const struct {
		int id;
		struct weft_op second;
		uint32_t len;
	} rows[] = {
		{ 1,
		  { .op = WEFT_WIRE_SEND,
		    .msg_len = 2001,
		    .off = 1000,
		    .src_qpn = 1,
		    .dst_qpn = 2 },
		  1000 },
		{ 2,
		  { .op = WEFT_WIRE_SEND,
		    .msg_len = 1999,
		    .off = 1000,
		    .src_qpn = 1,
		    .dst_qpn = 2 },
		  999 },
		{ 3,
		  { .op = WEFT_WIRE_SEND_IMM,
		    .msg_len = 2000,
		    .off = 1000,
		    .src_qpn = 1,
		    .dst_qpn = 2 },
		  1000 },
		{ 4,
		  { .op = WEFT_WIRE_SEND,
		    .msg_len = 2000,
		    .off = 1000,
		    .src_qpn = 3,
		    .dst_qpn = 2 },
		  1000 },
		{ 5,
		  { .op = WEFT_WIRE_SEND,
		    .msg_len = 2000,
		    .off = 1000,
		    .src_qpn = 1,
		    .dst_qpn = 3 },
		  1000 },
		{ 6,
		  { .op = WEFT_WIRE_SEND, .msg_len = 2000, .off = 976, .src_qpn = 1, .dst_qpn = 2 },
		  1024 },
	};
	struct rig r;

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct weft_op op = send_op(7, 2000, 0), bad = rows[i].second;

		open_rig(&r, NULL);
		send_psn(&r, r.base, &op, 1000);
		bad.msg_id = bad.imm = 7;
		bad.key = PAIR_QKEY;
		send_psn(&r, r.base + 1, &bad, rows[i].len);
		if (dropped(&r, WEFT_SRD_DROP_BOUNDS) != 1)
			fail_msg("row %d", rows[i].id);
		op.off = 1000;
		send_psn(&r, r.base + 1, &op, 1000);
		assert_int_equal(b_end(&r)->recv_done, 2);
		close_rig(&r);
	}
}

/* SEND in several packets */

/* Whichever comes first claims, and there is one claim. */
static void weft_rx__first_packet_claims(void **state)
{
	static const uint32_t orders[][4] = {
		{ 0, 1, 2, 3 },
		{ 3, 2, 1, 0 },
		{ 2, 0, 3, 1 },
		{ 1, 3, 0, 2 },
	};
	struct rig r;

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(orders); i++) {
		open_rig(&r, NULL);
		for (uint32_t k = 0; k < 4; k++) {
			struct weft_op op = send_op(7, 3500, orders[i][k] * 1000);

			send_psn(&r, r.base + orders[i][k], &op, orders[i][k] == 3 ? 500 : 1000);
			assert_int_equal(b_end(&r)->recv_n, 2);
			assert_int_equal(b_end(&r)->recv_done, k < 3 ? 1 : 2);
		}
		assert_int_equal(r.p->end[PAIR_B].srd->rxms_used, 0);
		close_rig(&r);
	}
}

/* Two messages under way at once, from two contexts with the same message id. */
static void weft_rx__same_id_from_two_peers(void **state)
{
	struct pair *p = pair_open(3, NULL);

	(void)state;
	p->end[PAIR_B].cfg.rx_msgs_max = 64;
	for (int i = 0; i < 10; i++) {
		pair_post_wr(
			p, PAIR_A,
			(struct weft_srd_wr){ .op = WEFT_SRD_SEND, .len = 5000, .peer = PAIR_B });
		pair_post_wr(
			p, PAIR_C,
			(struct weft_srd_wr){ .op = WEFT_SRD_SEND, .len = 5000, .peer = PAIR_B });
	}
	pair_settle(p);
	assert_int_equal(p->end[PAIR_B].recv_done, 20);
	pair_close_idle(p);
}

static void weft_rx__cancel_gives_the_receive_back(void **state)
{
	struct rig r;
	struct weft_op op = send_op(7, 2000, 0),
		       cancel = { .op = WEFT_WIRE_CANCEL, .msg_id = 7, .msg_len = 2000 };

	(void)state;
	open_rig(&r, NULL);
	b_end(&r)->recvs = 1;
	send_psn(&r, r.base, &op, 1000);
	assert_int_equal(b_end(&r)->recvs, 0);
	send_psn(&r, r.base + 1, &cancel, 0);
	assert_int_equal(b_end(&r)->recvs, 1);
	assert_int_equal(b_end(&r)->recv_released, 1);
	assert_int_equal(verdict(&r, r.base + 1), 0);
	/* Once more, and for a message that never came. */
	send_psn(&r, r.base + 1, &cancel, 0);
	cancel.msg_id = 99;
	send_psn(&r, r.base + 2, &cancel, 0);
	assert_int_equal(b_end(&r)->recv_released, 1);
	assert_int_equal(r.p->end[PAIR_B].srd->rxms_used, 0);
	close_rig(&r);
}

static void weft_rx__reset_gives_the_receive_back(void **state)
{
	struct rig r;
	struct weft_op op = send_op(7, 2000, 0);
	struct weft_hdr hdr;

	(void)state;
	open_rig(&r, NULL);
	b_end(&r)->recvs = 1;
	send_psn(&r, r.base, &op, 1000);
	hdr = (struct weft_hdr){ .type = WEFT_PKT_RESET,
				 .dst_ctx = weft_ctx_index(b_end(&r)->srd, r.ctx),
				 .src_ctx = r.ctx->peer_ctx,
				 .psn = r.ctx->peer_epoch };
	pair_forge(r.p, PAIR_B, hdr, NULL, 0, NULL, 0);
	assert_int_equal(b_end(&r)->recvs, 1);
	assert_int_equal(b_end(&r)->recv_released, 1);
	assert_int_equal(r.p->end[PAIR_B].srd->rxms_used, 0);
	close_rig(&r);
}

/* The QP that claimed is gone. What else comes of its messages is refused, also when another QP has its
 * number by now; that QP's own messages are taken. */
static void weft_rx_on_qp_gone__late_packets(void **state)
{
	struct rig r;
	struct weft_op old = send_op(7, 2000, 0), fresh = send_op(8, 2000, 0);
	struct weft_op cancel = { .op = WEFT_WIRE_CANCEL, .msg_id = 7, .msg_len = 2000 };

	(void)state;
	open_rig(&r, NULL);
	send_psn(&r, r.base, &old, 1000);
	weft_srd_on_qp_gone(b_end(&r)->srd, 2, r.p->now);
	assert_int_equal(b_end(&r)->recv_released, 1);
	old.off = 1000;
	send_psn(&r, r.base + 1, &old, 1000);
	assert_int_equal(verdict(&r, r.base + 1), WEFT_SRD_REMOTE_QPN);
	assert_int_equal(b_end(&r)->recv_n, 2);
	send_psn(&r, r.base + 2, &fresh, 1000);
	fresh.off = 1000;
	send_psn(&r, r.base + 3, &fresh, 1000);
	assert_int_equal(b_end(&r)->recv_done, 2);
	send_psn(&r, r.base + 4, &cancel, 0);
	assert_int_equal(r.p->end[PAIR_B].srd->rxms_used, 0);
	assert_int_equal(b_end(&r)->recv_released, 1);
	close_rig(&r);
}

static void weft_rx_on_qp_gone__other_qps_stay(void **state)
{
	struct rig r;
	struct weft_op op = send_op(7, 2000, 0);

	(void)state;
	open_rig(&r, NULL);
	send_psn(&r, r.base, &op, 1000);
	weft_srd_on_qp_gone(b_end(&r)->srd, 3, r.p->now);
	weft_srd_on_qp_gone(b_end(&r)->srd, 1, r.p->now); /* The sender's number, not ours. */
	op.off = 1000;
	send_psn(&r, r.base + 1, &op, 1000);
	assert_int_equal(b_end(&r)->recv_done, 2);
	assert_int_equal(b_end(&r)->recv_released, 0);
	close_rig(&r);
}

/* End to end: the receiver's QP goes while messages arrive. The sender's requests end with 9, receives go
 * back, nothing is left over. */
static void weft_rx_on_qp_gone__end_to_end(void **state)
{
	(void)state;
	for (weft_ns at = 0; at < WEFT_US(30); at += 1000) {
		struct pair *p = pair_open_warm(NULL);

		pair_rule(p, (struct pair_rule){ .types = PAIR_T(DATA),
						 .skip = 3,
						 .count = 3,
						 .fate = PAIR_DROP });
		for (int i = 0; i < 4; i++)
			pair_post(p, PAIR_A, i % 2 ? WEFT_SRD_WRITE_IMM : WEFT_SRD_SEND, 8000);
		pair_run(p, at);
		weft_srd_on_qp_gone(p->end[PAIR_B].srd, 2, p->now);
		p->end[PAIR_B].bad_qpn = 2;
		pair_settle(p);
		for (uint32_t i = 1; i < p->end[PAIR_A].wrs; i++)
			assert_true(p->end[PAIR_A].wr[i].status == WEFT_SRD_OK ||
				    p->end[PAIR_A].wr[i].status == WEFT_SRD_REMOTE_QPN);
		pair_expect_idle(p);
		assert_int_equal(p->end[PAIR_B].recv_n,
				 p->end[PAIR_B].recv_done + p->end[PAIR_B].recv_released);
		pair_close(p);
	}
}

/* WRITE_IMM */

static void weft_rx__write_imm_claims_last(void **state)
{
	struct rig r;

	(void)state;
	open_rig(&r, NULL);
	b_end(&r)->recvs = 0;
	for (uint32_t k = 0; k < 3; k++) {
		struct weft_op op = write_op(WEFT_WIRE_WRITE_IMM, 7, 3000, (k + 1) % 3 * 1000);

		send_psn(&r, r.base + k, &op, 1000);
		assert_int_equal(verdict(&r, r.base + k), k < 2 ? 0 : WEFT_SRD_RNR);
	}
	assert_int_equal(b_end(&r)->claims_refused, 1);
	/* It holds nothing while it waits: its sender says that this is the rest. */
	assert_int_equal(r.p->end[PAIR_B].srd->rxms_used, 0);
	b_end(&r)->recvs = 1;
	for (uint32_t k = 3; k < 4; k++) {
		struct weft_op op = write_op(WEFT_WIRE_WRITE_IMM, 7, 3000, 0);

		op.code = WEFT_CODE_REST;
		send_psn(&r, r.base + k, &op, 1000);
		assert_int_equal(verdict(&r, r.base + k), 0);
	}
	assert_int_equal(b_end(&r)->recv_done, 2);
	assert_int_equal(b_end(&r)->recv[1].info.op, WEFT_SRD_WRITE_IMM);
	assert_int_equal(r.p->end[PAIR_B].srd->rxms_used, 0);
	close_rig(&r);
}

/* Nothing is written for a bad key, a bad range or a QP that is not there. */
static void weft_rx__write_is_checked(void **state)
{
	struct rig r;
	struct weft_op op = write_op(WEFT_WIRE_WRITE, 7, 1000, 0);

	(void)state;
	open_rig(&r, NULL);
	b_end(&r)->bad_qpn = 99;
	op.key = 1;
	send_psn(&r, r.base, &op, 1000);
	assert_int_equal(verdict(&r, r.base), WEFT_SRD_REMOTE_ADDRESS);
	op.key = PAIR_RKEY;
	op.addr = PAIR_BASE + PAIR_MEM - 999;
	send_psn(&r, r.base + 1, &op, 1000);
	assert_int_equal(verdict(&r, r.base + 1), WEFT_SRD_REMOTE_ADDRESS);
	/* The whole range counts, not only the part in this packet. */
	op.msg_len = 2000;
	op.addr = PAIR_BASE + PAIR_MEM - 1000;
	send_psn(&r, r.base + 2, &op, 1000);
	assert_int_equal(verdict(&r, r.base + 2), WEFT_SRD_REMOTE_ADDRESS);
	op = write_op(WEFT_WIRE_WRITE, 7, 1000, 0);
	op.dst_qpn = 99;
	send_psn(&r, r.base + 3, &op, 1000);
	assert_int_equal(verdict(&r, r.base + 3), WEFT_SRD_REMOTE_QPN);
	/* A range that goes round the end of all addresses. */
	op.dst_qpn = 2;
	op.addr = UINT64_MAX - 500;
	send_psn(&r, r.base + 4, &op, 1000);
	assert_int_equal(verdict(&r, r.base + 4), WEFT_SRD_REMOTE_ADDRESS);
	op.op = WEFT_WIRE_READ;
	send_psn(&r, r.base + 5, &op, 0);
	assert_int_equal(verdict(&r, r.base + 5), WEFT_SRD_REMOTE_ADDRESS);
	assert_int_equal(b_end(&r)->write_bytes, 0);
	close_rig(&r);
}

/* VOID, RESP */

static void weft_rx__void_is_reported(void **state)
{
	struct rig r;
	struct weft_op op = { .op = WEFT_WIRE_VOID };

	(void)state;
	open_rig(&r, NULL);
	send_psn(&r, r.base, &op, 0);
	assert_int_equal(verdict(&r, r.base), WEFT_CODE_VOID);
	/* After an original that was accepted it is a duplicate, and the PSN stays accepted. */
	op = send_op(7, 10, 0);
	send_psn(&r, r.base + 1, &op, 10);
	op = (struct weft_op){ .op = WEFT_WIRE_VOID };
	send_psn(&r, r.base + 1, &op, 0);
	assert_int_equal(verdict(&r, r.base + 1), 0);
	close_rig(&r);
}

static void weft_rx__answer_nobody_asked_for(void **state)
{
	struct rig r;
	struct weft_op op = { .op = WEFT_WIRE_RESP, .msg_len = 1000 };

	(void)state;
	open_rig(&r, NULL);
	for (uint32_t id = 0; id < 3; id++) {
		op.msg_id = id == 2 ? UINT32_MAX : id;
		send_psn(&r, r.base + id, &op, 500);
		assert_int_equal(verdict(&r, r.base + id), WEFT_SRD_ABORT);
	}
	close_rig(&r);
}

/* Answers to a READ that is under way, with other lengths than it asked for. */
static void weft_rx__answer_of_wrong_length(void **state)
{
	struct rig r;
	uint64_t c;
	const struct pair_pkt *ask;
	struct weft_op op = { .op = WEFT_WIRE_RESP, .msg_len = 1000 };

	(void)state;
	open_rig(&r, NULL);
	pair_rule(r.p, (struct pair_rule){ .from = PAIR_BIT(PAIR_A),
					   .types = PAIR_T(DATA),
					   .fate = PAIR_DROP });
	c = pair_post_wr(r.p, PAIR_B,
			 (struct weft_srd_wr){ .op = WEFT_SRD_READ, .len = 1000, .peer = PAIR_A });
	pair_drain(r.p);
	ask = pair_find(r.p, (struct pair_rule){ .ops = PAIR_O(READ) }, 0);
	op.msg_id = ask->op.msg_id;
	op.msg_len = 999;
	send_psn(&r, r.base, &op, 999);
	op.msg_len = 2000;
	send_psn(&r, r.base, &op, 1000);
	op.msg_len = 1000;
	op.off = 500;
	send_psn(&r, r.base, &op, 501);
	op.off = 0;
	send_psn(&r, r.base, &op, 0);
	assert_int_equal(dropped(&r, WEFT_SRD_DROP_BOUNDS), 4);
	pair_expect_open(r.p, PAIR_B, c);
	close_rig(&r);
}

/* A code in an answer that no responder gives. */
static void weft_rx__answer_with_senseless_code(void **state)
{
	static const struct {
		int id;
		uint8_t code;
		enum weft_srd_status want;
	} rows[] = {
		{ 1, WEFT_SRD_REMOTE_ADDRESS, WEFT_SRD_REMOTE_ADDRESS },
		{ 2, WEFT_SRD_REMOTE_QPN, WEFT_SRD_REMOTE_QPN },
		{ 3, WEFT_SRD_FLUSHED, WEFT_SRD_REMOTE_STATUS },
		{ 4, WEFT_SRD_INVALID_LKEY, WEFT_SRD_REMOTE_STATUS },
		{ 5, WEFT_CODE_VOID, WEFT_SRD_REMOTE_STATUS },
		{ 6, 255, WEFT_SRD_REMOTE_STATUS },
	};
	struct rig r;

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct weft_op op = { .op = WEFT_WIRE_RESP, .msg_len = 1000, .code = rows[i].code };
		uint64_t c;

		open_rig(&r, NULL);
		pair_rule(r.p, (struct pair_rule){ .fate = PAIR_DROP });
		c = pair_post_wr(
			r.p, PAIR_B,
			(struct weft_srd_wr){ .op = WEFT_SRD_READ, .len = 1000, .peer = PAIR_A });
		pair_drain(r.p);
		op.msg_id = pair_find(r.p, (struct pair_rule){ .ops = PAIR_O(READ) }, 0)->op.msg_id;
		send_psn(&r, r.base, &op, 0);
		pair_expect(r.p, PAIR_B, c, rows[i].want);
		close_rig(&r);
	}
}

/* Drop codes */

/* Repeated in every ACK until the sender's oldest open PSN has passed them. */
static void weft_rx__codes_stay_until_noted(void **state)
{
	struct rig r;
	struct weft_op op = send_op(7, 10, 0);

	(void)state;
	open_rig(&r, NULL);
	b_end(&r)->recvs = 0;
	for (uint32_t i = 0; i < 10; i++) {
		op.msg_id = op.imm = i + 1;
		op.una = (uint16_t)i;
		send_psn(&r, r.base + i, &op, 10);
		for (uint32_t k = 0; k <= i; k++)
			assert_int_equal(verdict(&r, r.base + k), WEFT_SRD_RNR);
	}
	b_end(&r)->recvs = UINT32_MAX;
	op.una = 5; /* PSN base + 10: everything below base + 5 is noted. */
	send_psn(&r, r.base + 10, &op, 10);
	for (uint32_t k = 0; k < 10; k++)
		assert_int_equal(verdict(&r, r.base + k), k < 5 ? 0 : WEFT_SRD_RNR);
	/* An older packet that comes late does not turn that back, nor does a senseless una. */
	op.una = 0xffff;
	send_psn(&r, r.base + 11, &op, 10);
	assert_int_equal(verdict(&r, r.base + 4), 0);
	assert_int_equal(verdict(&r, r.base + 5), WEFT_SRD_RNR);
	close_rig(&r);
}

#define MANY 900u

/* Two of three messages meet no receive. Returns when all ACKs about them are in the log. */
static void refuse_many(struct rig *r)
{
	struct weft_op op = send_op(7, 10, 0);

	pair_rule(r->p, (struct pair_rule){ .fate = PAIR_DROP });
	b_end(r)->dry_qpn = 2;
	for (uint32_t i = 0; i < MANY; i++) {
		op.msg_id = op.imm = i + 1;
		op.dst_qpn = i % 3 ? 2 : 3;
		op.una = (uint16_t)i;
		send_psn(r, r->base + i, &op, 10);
	}
	pair_run(r->p, 30 * b_end(r)->cfg.ack_delay);
}

/* More refusals than an ACK can list: they take turns. None of them ever looks accepted, each is listed
 * before long, and what was accepted beside them is told, too. */
static void weft_rx__more_codes_than_places(void **state)
{
	static const struct pair_rule acks = { .from = PAIR_BIT(PAIR_B), .types = PAIR_T(ACK) };
	bool known[MANY] = { false };
	struct rig r;
	uint32_t first;

	(void)state;
	open_rig(&r, NULL);
	first = pair_count(r.p, acks);
	refuse_many(&r);
	assert_int_equal(b_end(&r)->recv_done, 1 + MANY / 3);
	assert_int_equal(b_end(&r)->claims_refused, MANY * 2 / 3);
	for (uint32_t n = first; n < pair_count(r.p, acks); n++) {
		const struct pair_pkt *pkt = pair_find(r.p, acks, n);

		for (uint32_t k = 0; k < MANY; k++) {
			int code = told(&pkt->ack, r.base + k);

			if (code == (k % 3 ? WEFT_SRD_RNR : 0))
				known[k] = true;
			else
				assert_int_equal(code, -1);
		}
	}
	for (uint32_t k = 0; k < MANY; k++)
		assert_true(known[k]);
	/* All of it is noted, and forgotten. */
	r.una = r.base + MANY;
	for (uint32_t k = 0; k < MANY; k += 50)
		assert_int_equal(verdict(&r, r.base + k), 0);
	close_rig(&r);
}

/* Pools */

static void tune_scarce(struct weft_srd_cfg *cfg, unsigned int id)
{
	(void)id;
	cfg->rx_msgs_max = 2;
	cfg->reads_max = 1;
}

static void weft_rx__pools_are_empty(void **state)
{
	struct rig r;
	struct weft_op op;

	(void)state;
	open_rig(&r, tune_scarce);
	for (uint32_t i = 0; i < 4; i++) {
		op = send_op(i + 1, 2000, 0);
		send_psn(&r, r.base + i, &op, 1000);
		assert_int_equal(verdict(&r, r.base + i), i < 2 ? 0 : WEFT_CODE_BUSY);
	}
	op = write_op(WEFT_WIRE_WRITE_IMM, 9, 2000, 0);
	send_psn(&r, r.base + 4, &op, 1000);
	assert_int_equal(verdict(&r, r.base + 4), WEFT_CODE_BUSY);
	op = write_op(WEFT_WIRE_READ, 10, 2000, 0);
	send_psn(&r, r.base + 5, &op, 0);
	send_psn(&r, r.base + 6, &op, 0);
	assert_int_equal(verdict(&r, r.base + 5), 0);
	assert_int_equal(verdict(&r, r.base + 6), WEFT_CODE_BUSY);
	/* One of one packet needs none of it. */
	op = send_op(11, 100, 0);
	send_psn(&r, r.base + 7, &op, 100);
	assert_int_equal(verdict(&r, r.base + 7), 0);
	/* Refusing has claimed nothing. */
	assert_int_equal(b_end(&r)->recv_n, 1 + 2 + 1);
	close_rig(&r);
}

/* Trimmed */

static void weft_rx__trimmed_is_asked_for(void **state)
{
	struct rig r;
	struct weft_op op = send_op(7, 1000, 0);
	struct weft_hdr hdr;
	uint8_t frame[WEFT_SRD_DATA_HEAD];
	struct weft_srd_rx rx = { .data = frame, .len = sizeof(frame), .trimmed = true };

	(void)state;
	open_rig(&r, NULL);
	hdr = pair_hdr(r.p, PAIR_A, PAIR_B, WEFT_PKT_DATA);
	hdr.psn = r.base;
	hdr.len = 40 + 1000;
	hdr.ev = 5;
	weft_hdr_encode(frame, &hdr);
	weft_op_encode(frame + WEFT_PROTO_HDR, &op);
	weft_head_seal(b_end(&r)->cfg.key, frame, sizeof(frame));
	weft_srd_on_packet(b_end(&r)->srd, &rx, r.p->now);
	assert_int_equal(dropped(&r, WEFT_SRD_DROP_TRIMMED), 1);
	assert_int_equal(verdict(&r, r.base), -1);
	pair_drain(r.p);
	assert_int_equal(r.p->log[r.p->logged - 1]->hdr.type, WEFT_PKT_ACK);
	assert_true(r.p->log[r.p->logged - 1]->ack.echo[0].trimmed);
	assert_int_equal(r.p->log[r.p->logged - 1]->ack.echo[0].ev, 5);
	/* One that had no payload lost nothing. */
	op.msg_len = 0;
	hdr.len = 40;
	weft_hdr_encode(frame, &hdr);
	weft_op_encode(frame + WEFT_PROTO_HDR, &op);
	weft_head_seal(b_end(&r)->cfg.key, frame, sizeof(frame));
	weft_srd_on_packet(b_end(&r)->srd, &rx, r.p->now);
	assert_int_equal(verdict(&r, r.base), 0);
	assert_int_equal(dropped(&r, WEFT_SRD_DROP_TRIMMED), 1);
	close_rig(&r);
}

static enum pair_fate trim_some(struct pair *p, struct pair_pkt *pkt)
{
	pkt->trimmed = pkt->hdr.type == WEFT_PKT_DATA && p->logged % 3 == 0;
	return PAIR_PASS;
}

/* A network that trims instead of dropping costs round trips, not timeouts. */
static void weft_rx__trimming_network(void **state)
{
	struct pair *p = pair_open(2, NULL);

	(void)state;
	p->hook = trim_some;
	for (int i = 0; i < 20; i++) {
		pair_post(p, PAIR_A, WEFT_SRD_SEND, 8000);
		pair_post(p, PAIR_A, WEFT_SRD_READ, 20000);
	}
	pair_settle_ok(p);
	assert_int_equal(p->end[PAIR_B].recv_done, 20);
	assert_int_equal(pair_stats(p, PAIR_A)->retrans_timeout_events, 0);
	assert_int_equal(pair_stats(p, PAIR_B)->retrans_timeout_events, 0);
	pair_close_idle(p);
}

/* A peer that never moves its oldest open PSN: what it says may not reach back further than a window, or
 * each ACK would look through all refusals since the beginning. */
static void weft_rx_on_data__una_stays_behind(void **state)
{
	struct rig r;
	struct weft_op op = { .op = WEFT_WIRE_VOID };
	const struct weft_active *act;

	(void)state;
	open_rig(&r, NULL);
	pair_rule(r.p, (struct pair_rule){ .fate = PAIR_DROP });
	for (uint32_t i = 0; i < 3 * WEFT_SPAN; i++) {
		op.una = (uint16_t)i;
		send_psn(&r, r.base + i, &op, 0);
		pair_drain(r.p);
		act = pair_active(r.p, PAIR_B, PAIR_A);
		assert_in_range(act->rx.refused_top - act->rx.peer_una, 0, WEFT_SPAN);
	}
	assert_int_equal(r.ctx->rx_cum, r.base + WEFT_SPAN);
	assert_int_equal(dropped(&r, WEFT_SRD_DROP_BOUNDS) + dropped(&r, WEFT_SRD_DROP_WINDOW),
			 2 * WEFT_SPAN);
	assert_true(dropped(&r, WEFT_SRD_DROP_BOUNDS));
	close_rig(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_rx_on_data__dedup_at_every_distance),
		cmocka_unit_test(weft_rx_on_data__shuffled_window),
		cmocka_unit_test(weft_rx_on_data__window_edge),
		cmocka_unit_test(weft_rx_on_data__psn_at_the_end_of_numbers),
		cmocka_unit_test(weft_rx_on_data__bounds),
		cmocka_unit_test(weft_rx_on_data__unknown_operation),
		cmocka_unit_test(weft_rx_on_data__parts_disagree),
		cmocka_unit_test(weft_rx__first_packet_claims),
		cmocka_unit_test(weft_rx__same_id_from_two_peers),
		cmocka_unit_test(weft_rx__cancel_gives_the_receive_back),
		cmocka_unit_test(weft_rx__reset_gives_the_receive_back),
		cmocka_unit_test(weft_rx_on_qp_gone__late_packets),
		cmocka_unit_test(weft_rx_on_qp_gone__other_qps_stay),
		cmocka_unit_test(weft_rx_on_qp_gone__end_to_end),
		cmocka_unit_test(weft_rx__write_imm_claims_last),
		cmocka_unit_test(weft_rx__write_is_checked),
		cmocka_unit_test(weft_rx__void_is_reported),
		cmocka_unit_test(weft_rx__answer_nobody_asked_for),
		cmocka_unit_test(weft_rx__answer_of_wrong_length),
		cmocka_unit_test(weft_rx__answer_with_senseless_code),
		cmocka_unit_test(weft_rx__codes_stay_until_noted),
		cmocka_unit_test(weft_rx__more_codes_than_places),
		cmocka_unit_test(weft_rx__pools_are_empty),
		cmocka_unit_test(weft_rx__trimmed_is_asked_for),
		cmocka_unit_test(weft_rx__trimming_network),
		cmocka_unit_test(weft_rx_on_data__una_stays_behind),
	};

	return cmocka_run_group_tests_name("srd_rx", tests, NULL, NULL);
}
