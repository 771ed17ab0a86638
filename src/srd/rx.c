/* SPDX-License-Identifier: BSD-2-Clause */
/* Data packets received (docs/protocol.md section 5): each PSN has its effect once.
 *
 * A packet ends in one of three ways. Accepted: its bytes are where they belong. Refused: its PSN is
 * used up, the code goes into every ACK until the sender has noted it. Ignored: as if it had never
 * arrived, the sender will send it again; this is for lack of memory and for what nobody should send.
 *
 * A message in one packet needs no memory. Of a SEND in several packets the first to arrive claims the
 * receive, whichever it is. A WRITE places itself and a plain one is not even counted; a WRITE_IMM in
 * several packets is counted and claims its receive when the last missing byte arrives, so that only
 * that one packet can meet a receiver that is not ready. */
#include "srd/engine.h"

#include <errno.h>

#define IGNORE 255u /* Not a code of the wire: leave the PSN open. */

static bool is_psn_seen(const struct weft_ctx *ctx, const struct weft_active *act, uint64_t psn)
{
	return psn < ctx->rx_cum || (psn < act->rx.top && weft_bit(act->rx.bits, psn));
}

static void mark_psn(struct weft_ctx *ctx, struct weft_active *act, uint64_t psn)
{
	weft_bit_set(act->rx.bits, psn);
	act->rx.top = WEFT_MAX(act->rx.top, psn + 1);
	while (ctx->rx_cum < act->rx.top && weft_bit(act->rx.bits, ctx->rx_cum))
		weft_bit_clear(act->rx.bits, ctx->rx_cum++);
}

/* Partly received messages */

static uint32_t *rxm_bucket(struct weft_srd *srd, uint32_t ctx, uint32_t msg_id)
{
	uint32_t h = (msg_id ^ ctx * 0x9e3779b9u) * 0x85ebca6bu;

	return &srd->rxm_hash[(h ^ h >> 15) & srd->rxm_hash_mask];
}

static struct weft_rxm *rxm_find(struct weft_srd *srd, uint32_t ctx, uint32_t msg_id)
{
	uint32_t i = *rxm_bucket(srd, ctx, msg_id);

	while (i != WEFT_NIL && (srd->rxms[i].ctx != ctx || srd->rxms[i].msg_id != msg_id))
		i = srd->rxms[i].next;
	return i == WEFT_NIL ? NULL : &srd->rxms[i];
}

static struct weft_rxm *rxm_create(struct weft_srd *srd, struct weft_active *act,
				   const struct weft_op *op)
{
	uint32_t i = srd->rxm_free, *bucket = rxm_bucket(srd, act->ctx, op->msg_id);

	/* One peer may not hold them all: messages to a QP without receives could, for as long as it has
	 * none. */
	if (i == WEFT_NIL || act->rx.msgs >= WEFT_MAX(srd->cfg.rx_msgs_max / 4, 8))
		return NULL;
	srd->rxm_free = srd->rxms[i].next;
	srd->rxms[i] = (struct weft_rxm){
		.ctx = act->ctx,
		.msg_id = op->msg_id,
		.next = *bucket,
		.len = op->msg_len,
		.key = op->key,
		.imm = op->imm,
		.addr = op->addr,
		.src_qpn = op->src_qpn,
		.dst_qpn = op->dst_qpn,
		.op = op->op,
		.used = true,
	};
	*bucket = i;
	srd->rxms_used++;
	act->rx.msgs++;
	return &srd->rxms[i];
}

static void rxm_destroy(struct weft_srd *srd, struct weft_rxm *rxm)
{
	uint32_t i = (uint32_t)(rxm - srd->rxms), *link = rxm_bucket(srd, rxm->ctx, rxm->msg_id);
	struct weft_active *act = weft_ctx_active(srd, &srd->ctxs[rxm->ctx]);

	while (*link != i)
		link = &srd->rxms[*link].next;
	*link = rxm->next;
	*rxm = (struct weft_rxm){ .next = srd->rxm_free };
	srd->rxm_free = i;
	srd->rxms_used--;
	act->rx.msgs--;
}

static struct weft_srd_msg_info info_of_op(const struct weft_srd *srd,
					   const struct weft_active *act, const struct weft_op *op)
{
	static const uint8_t ops[WEFT_WIRE_OP_COUNT] = {
		[WEFT_WIRE_SEND] = WEFT_SRD_SEND,   [WEFT_WIRE_SEND_IMM] = WEFT_SRD_SEND_IMM,
		[WEFT_WIRE_WRITE] = WEFT_SRD_WRITE, [WEFT_WIRE_WRITE_IMM] = WEFT_SRD_WRITE_IMM,
		[WEFT_WIRE_READ] = WEFT_SRD_READ,
	};

	return (struct weft_srd_msg_info){
		.peer = act->ctx,
		.gid = &srd->ctxs[act->ctx].gid,
		.op = (enum weft_srd_op)ops[op->op],
		.src_qpn = op->src_qpn,
		.dst_qpn = op->dst_qpn,
		.key = op->key,
		.addr = op->addr,
		.imm = op->imm,
		.len = op->msg_len,
	};
}

static void rxm_release(struct weft_srd *srd, struct weft_rxm *rxm)
{
	struct weft_op op = {
		.op = rxm->op,
		.dst_qpn = rxm->dst_qpn,
		.src_qpn = rxm->src_qpn,
		.msg_len = rxm->len,
		.key = rxm->key,
		.addr = rxm->addr,
		.imm = rxm->imm,
	};
	struct weft_srd_msg_info info =
		info_of_op(srd, weft_ctx_active(srd, &srd->ctxs[rxm->ctx]), &op);

	if (rxm->claimed)
		srd->ops->recv_release(srd->owner, rxm->recv, &info);
	rxm->claimed = false;
}

void weft_rx_release_ctx(struct weft_srd *srd, uint32_t ctx)
{
	if (!weft_ctx_active(srd, &srd->ctxs[ctx])->rx.msgs)
		return;
	for (uint32_t i = 0; i < srd->cfg.rx_msgs_max; i++) {
		if (!srd->rxms[i].used || srd->rxms[i].ctx != ctx)
			continue;
		rxm_release(srd, &srd->rxms[i]);
		rxm_destroy(srd, &srd->rxms[i]);
	}
}

/* The QP is gone, but more packets of its messages may come, perhaps after another QP has taken its
 * number: remember until the sender gives the message up. */
void weft_rx_on_qp_gone(struct weft_srd *srd, uint16_t qpn)
{
	for (uint32_t i = 0; i < srd->cfg.rx_msgs_max; i++) {
		struct weft_rxm *rxm = &srd->rxms[i];

		if (!rxm->used || rxm->dst_qpn != qpn || rxm->dead)
			continue;
		rxm_release(srd, rxm);
		rxm->dead = true;
	}
}

/* Operations. Each returns 0, a code, or IGNORE. */

static uint8_t code_of(enum weft_srd_status status)
{
	return (uint8_t)status;
}

static void count_recv(struct weft_srd *srd, uint32_t len)
{
	srd->stats.recv_wrs++;
	srd->stats.recv_bytes += len;
}

static uint8_t send_whole(struct weft_srd *srd, const struct weft_srd_msg_info *info,
			  const uint8_t *payload)
{
	uint64_t recv;
	enum weft_srd_status st = srd->ops->recv_claim(srd->owner, info, &recv);

	if (st)
		return code_of(st);
	if (info->len)
		srd->ops->recv_place(srd->owner, recv, 0, payload, info->len);
	count_recv(srd, info->len);
	srd->ops->recv_done(srd->owner, recv, info);
	return 0;
}

static bool is_same_msg(const struct weft_rxm *rxm, const struct weft_op *op)
{
	return rxm->len == op->msg_len && rxm->op == op->op && rxm->dst_qpn == op->dst_qpn &&
	       rxm->src_qpn == op->src_qpn;
}

static uint8_t send_part(struct weft_srd *srd, struct weft_active *act, const struct weft_op *op,
			 const struct weft_srd_msg_info *info, const uint8_t *payload, uint32_t len)
{
	struct weft_rxm *rxm = rxm_find(srd, act->ctx, op->msg_id);

	if (!rxm) {
		enum weft_srd_status st;

		rxm = rxm_create(srd, act, op);
		if (!rxm)
			return WEFT_CODE_BUSY;
		st = srd->ops->recv_claim(srd->owner, info, &rxm->recv);
		if (st) {
			rxm_destroy(srd, rxm);
			return code_of(st);
		}
		rxm->claimed = true;
	}
	if (rxm->dead)
		return WEFT_SRD_REMOTE_QPN;
	if (!is_same_msg(rxm, op) || len > rxm->len - rxm->got)
		return IGNORE;
	srd->ops->recv_place(srd->owner, rxm->recv, op->off, payload, len);
	rxm->got += len;
	if (rxm->got == rxm->len) {
		count_recv(srd, rxm->len);
		srd->ops->recv_done(srd->owner, rxm->recv, info);
		rxm_destroy(srd, rxm);
	}
	return 0;
}

static uint8_t on_send(struct weft_srd *srd, struct weft_active *act, const struct weft_op *op,
		       const uint8_t *payload, uint32_t len)
{
	struct weft_srd_msg_info info = info_of_op(srd, act, op);

	if (op->msg_len > WEFT_SRD_SEND_MAX)
		return IGNORE;
	if (len == op->msg_len)
		return send_whole(srd, &info, payload);
	return len ? send_part(srd, act, op, &info, payload, len) : IGNORE;
}

/* The last byte is there: now the immediate value wants a receive. */
static uint8_t finish_imm(struct weft_srd *srd, const struct weft_srd_msg_info *info)
{
	uint64_t recv;
	enum weft_srd_status st = srd->ops->recv_claim(srd->owner, info, &recv);

	if (st)
		return code_of(st);
	count_recv(srd, info->len);
	srd->ops->recv_done(srd->owner, recv, info);
	return 0;
}

/* A message of several packets is counted until it is complete. If there is no receive for it then, the
 * count is given up: its sender has all but this packet acknowledged, and says so when it tries again
 * (REST). So messages to a QP without receives hold no memory while they wait. A message whose bytes did not come by
 * this link at all is such a rest, of no bytes. */
static uint8_t write_imm_part(struct weft_srd *srd, struct weft_active *act,
			      const struct weft_op *op, const struct weft_srd_msg_info *info,
			      uint32_t len)
{
	struct weft_rxm *rxm = rxm_find(srd, act->ctx, op->msg_id);
	uint8_t code;

	if (!len && op->code != WEFT_CODE_REST)
		return IGNORE;
	if (rxm && rxm->dead)
		return WEFT_SRD_REMOTE_QPN;
	if (rxm && (!is_same_msg(rxm, op) || len > rxm->len - rxm->got))
		return IGNORE;
	if (op->code != WEFT_CODE_REST) {
		if (!rxm)
			rxm = rxm_create(srd, act, op);
		if (!rxm)
			return WEFT_CODE_BUSY;
		if (rxm->got + len < rxm->len) {
			rxm->got += len;
			return 0;
		}
	}
	code = finish_imm(srd, info);
	if (rxm && (!code || code == WEFT_SRD_RNR))
		rxm_destroy(srd, rxm);
	return code;
}

static uint8_t on_write(struct weft_srd *srd, struct weft_active *act, const struct weft_op *op,
			const uint8_t *payload, uint32_t len)
{
	struct weft_srd_msg_info info = info_of_op(srd, act, op);
	enum weft_srd_status st;
	uint8_t code;

	if (op->msg_len > WEFT_SRD_RDMA_MAX)
		return IGNORE;
	if (op->addr + op->msg_len < op->addr)
		return WEFT_SRD_REMOTE_ADDRESS;
	st = srd->ops->write(srd->owner, &info, op->off, payload, len);
	if (st)
		return code_of(st);
	code = op->op == WEFT_WIRE_WRITE ? 0
	       : len == op->msg_len      ? finish_imm(srd, &info)
					 : write_imm_part(srd, act, op, &info, len);
	if (!code)
		srd->stats.rdma_write_recv_bytes += len;
	return code;
}

static uint8_t on_read(struct weft_srd *srd, struct weft_ctx *ctx, struct weft_active *act,
		       const struct weft_op *op)
{
	struct weft_srd_msg_info info = info_of_op(srd, act, op);
	enum weft_srd_status st;
	struct weft_msg *msg;

	if (op->msg_len > WEFT_SRD_RDMA_MAX)
		return IGNORE;
	if (op->addr + op->msg_len < op->addr)
		return WEFT_SRD_REMOTE_ADDRESS;
	st = srd->ops->read_check(srd->owner, &info);
	if (st)
		return code_of(st);
	msg = weft_msg_alloc(srd, ctx, true);
	if (!msg)
		return WEFT_CODE_BUSY;
	msg->kind = WEFT_WIRE_RESP;
	msg->id = op->msg_id;
	msg->addr = op->addr;
	msg->key = op->key;
	msg->len = op->msg_len;
	msg->src_qpn = op->dst_qpn;
	msg->dst_qpn = op->src_qpn;
	act->tx.unsent += msg->len;
	weft_msg_enqueue(srd, act, msg);
	return 0;
}

static uint8_t on_resp(struct weft_srd *srd, struct weft_ctx *ctx, const struct weft_op *op,
		       const uint8_t *payload, uint32_t len)
{
	struct weft_msg *msg = weft_msg_by_id(srd, ctx, op->msg_id);
	enum weft_srd_status st = WEFT_SRD_OK;

	/* Not waiting any more: the responder may stop. */
	if (!msg || msg->kind != WEFT_WIRE_READ || msg->completed)
		return WEFT_SRD_ABORT;
	if (op->code) {
		weft_msg_fail(srd, msg,
			      op->code == WEFT_SRD_REMOTE_ADDRESS || op->code == WEFT_SRD_REMOTE_QPN
				      ? (enum weft_srd_status)op->code
				      : WEFT_SRD_REMOTE_STATUS);
		weft_msg_check_done(srd, msg);
		return 0;
	}
	if (op->msg_len != msg->len || len > msg->len - msg->placed || (!len && msg->len))
		return IGNORE;
	if (len)
		st = srd->ops->read_place(srd->owner, msg->cookie, op->off, payload, len);
	if (st) {
		weft_msg_fail(srd, msg, st);
		weft_msg_check_done(srd, msg);
		return WEFT_SRD_ABORT;
	}
	msg->placed += len;
	msg->answered = true;
	srd->stats.rdma_read_bytes += len;
	weft_msg_check_done(srd, msg);
	return 0;
}

static uint8_t on_cancel(struct weft_srd *srd, struct weft_active *act, const struct weft_op *op)
{
	struct weft_rxm *rxm = rxm_find(srd, act->ctx, op->msg_id);

	if (rxm) {
		rxm_release(srd, rxm);
		rxm_destroy(srd, rxm);
	}
	return 0;
}

static uint8_t execute(struct weft_srd *srd, struct weft_ctx *ctx, struct weft_active *act,
		       const struct weft_op *op, const uint8_t *payload, uint32_t len)
{
	if (op->off > op->msg_len || len > op->msg_len - op->off)
		return IGNORE;
	switch ((enum weft_wire_op)op->op) {
	case WEFT_WIRE_SEND:
	case WEFT_WIRE_SEND_IMM:
		return on_send(srd, act, op, payload, len);
	case WEFT_WIRE_WRITE:
	case WEFT_WIRE_WRITE_IMM:
		return on_write(srd, act, op, payload, len);
	case WEFT_WIRE_READ:
		return len ? IGNORE : on_read(srd, ctx, act, op);
	case WEFT_WIRE_RESP:
		return on_resp(srd, ctx, op, payload, len);
	case WEFT_WIRE_CANCEL:
		return len ? IGNORE : on_cancel(srd, act, op);
	case WEFT_WIRE_VOID:
		return len ? IGNORE : WEFT_CODE_VOID;
	case WEFT_WIRE_OP_COUNT:
		break;
	}
	return IGNORE;
}

/* Was this sent after everything that has arrived so far? Then what it says of the peer's needs is news. */
bool weft_rx_note_time(struct weft_srd *srd, struct weft_ctx *ctx, struct weft_active *act,
		       const struct weft_hdr *hdr)
{
	if (srd->now - act->rx.newest_at < WEFT_TS_MEMORY &&
	    !weft_ts_after(hdr->tx_ts, act->rx.newest_ts))
		return false;
	act->rx.newest_ts = hdr->tx_ts;
	act->rx.newest_at = srd->now;
	weft_credit_on_pull(srd, ctx, hdr->pull);
	return true;
}

void weft_rx_on_data(struct weft_srd *srd, struct weft_ctx *ctx, const struct weft_hdr *hdr,
		     const struct weft_op *op, const uint8_t *payload, const struct weft_srd_rx *rx)
{
	struct weft_active *act = weft_ctx_activate(srd, ctx);
	uint32_t len = hdr->len - WEFT_PROTO_OP;
	bool was_gap;
	uint8_t code;

	if (!act) {
		weft_drop_count(srd, WEFT_SRD_DROP_NO_MEMORY);
		return;
	}
	if (hdr->psn >= ctx->rx_cum + WEFT_SPAN) {
		weft_drop_count(srd, WEFT_SRD_DROP_WINDOW);
		return;
	}
	if (op->una >= WEFT_SPAN || op->una > hdr->psn) {
		weft_drop_count(srd, WEFT_SRD_DROP_BOUNDS);
		return;
	}
	weft_ack_peer_una(act, hdr->psn - op->una);
	if (is_psn_seen(ctx, act, hdr->psn)) {
		weft_drop_count(srd, WEFT_SRD_DROP_DUPLICATE);
		act->rx.dups++;
		/* An old copy is acknowledged, but its time would tell nothing about its path. */
		if (weft_rx_note_time(srd, ctx, act, hdr))
			weft_ack_owe(srd, ctx, act, hdr, rx->ce, false, true);
		act->rx.ack_now = true;
		weft_ctx_ready(srd, ctx);
		return;
	}
	(void)weft_rx_note_time(srd, ctx, act, hdr);
	if (rx->trimmed) {
		weft_drop_count(srd, WEFT_SRD_DROP_TRIMMED);
		weft_ack_owe(srd, ctx, act, hdr, rx->ce, true, true);
		return;
	}
	code = execute(srd, ctx, act, op, payload, len);
	if (code == IGNORE) {
		weft_drop_count(srd, WEFT_SRD_DROP_BOUNDS);
		return;
	}
	if (code == WEFT_SRD_RNR)
		srd->stats.rnr_tx++;
	weft_ack_note(act, hdr->psn, code);
	was_gap = act->rx.top > ctx->rx_cum;
	mark_psn(ctx, act, hdr->psn);
	/* The packet that closes the last gap is often the last of a transfer, overtaken on its way by the
	 * one that asked for an answer. */
	weft_ack_owe(srd, ctx, act, hdr, rx->ce, false,
		     code || (was_gap && act->rx.top == ctx->rx_cum));
}
