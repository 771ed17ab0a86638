/* SPDX-License-Identifier: BSD-2-Clause */
/* The send window: which PSNs are open, where each of them is, and the next data packet.
 *
 * A PSN is given out once, when a packet is first sent, and stays with that packet through every
 * retransmission until the peer has resolved it. Entries lie in chunks of 32 from a pool that all
 * contexts share; a directory maps the window (PSN modulo 1024) to chunks, so that an entry is found
 * without a search and costs nothing while its part of the window is empty. Entries are chained by slot
 * in the order of transmission (`fly`) or of being found lost (`lost`). */
#include "srd/engine.h"

#include <string.h>

struct weft_entry *weft_txw_slot(struct weft_srd *srd, struct weft_active *act, uint16_t slot)
{
	uint16_t chunk = act->tx.chunk[slot / WEFT_CHUNK];

	return chunk == WEFT_SLOT_NIL ? NULL : &srd->chunks[chunk].e[slot % WEFT_CHUNK];
}

struct weft_entry *weft_txw_entry(struct weft_srd *srd, struct weft_active *act, uint64_t psn)
{
	return weft_txw_slot(srd, act, psn % WEFT_SRD_WINDOW);
}

uint64_t weft_txw_psn(const struct weft_active *act, uint16_t slot)
{
	return act->tx.una + ((slot - act->tx.una) & (WEFT_SRD_WINDOW - 1));
}

static void list_push(struct weft_srd *srd, struct weft_active *act, struct weft_slots *list,
		      uint16_t slot)
{
	struct weft_entry *e = weft_txw_slot(srd, act, slot);

	e->next = WEFT_SLOT_NIL;
	e->prev = list->tail;
	if (list->tail == WEFT_SLOT_NIL)
		list->head = slot;
	else
		weft_txw_slot(srd, act, list->tail)->next = slot;
	list->tail = slot;
}

static void list_remove(struct weft_srd *srd, struct weft_active *act, struct weft_slots *list,
			struct weft_entry *e)
{
	if (e->prev == WEFT_SLOT_NIL)
		list->head = e->next;
	else
		weft_txw_slot(srd, act, e->prev)->next = e->next;
	if (e->next == WEFT_SLOT_NIL)
		list->tail = e->prev;
	else
		weft_txw_slot(srd, act, e->next)->prev = e->prev;
}

static void leave_list(struct weft_srd *srd, struct weft_active *act, struct weft_entry *e)
{
	if (e->state == WEFT_ENTRY_FLYING) {
		struct weft_path *path = weft_path_at(srd, act, e->ev);

		list_remove(srd, act, &act->tx.fly, e);
		act->tx.fly_pkts--;
		act->tx.inflight_bytes -= e->len + WEFT_SRD_DATA_HEAD;
		path->inflight--;
	} else if (e->state == WEFT_ENTRY_LOST) {
		list_remove(srd, act, &act->tx.lost, e);
		act->tx.lost_pkts--;
		act->tx.lost_bytes -= e->len;
	}
}

void weft_txw_mark_lost(struct weft_srd *srd, struct weft_active *act, uint16_t slot)
{
	struct weft_entry *e = weft_txw_slot(srd, act, slot);

	weft_assert(e->state == WEFT_ENTRY_FLYING);
	leave_list(srd, act, e);
	e->state = WEFT_ENTRY_LOST;
	list_push(srd, act, &act->tx.lost, slot);
	act->tx.lost_pkts++;
	act->tx.lost_bytes += e->len;
}

/* The oldest open PSN is the one that holds everything up: it goes before the other lost ones. */
void weft_txw_oldest_first(struct weft_srd *srd, struct weft_active *act)
{
	uint16_t slot = act->tx.una % WEFT_SRD_WINDOW;
	struct weft_entry *e = weft_txw_slot(srd, act, slot);

	if (!e || e->state != WEFT_ENTRY_LOST || act->tx.lost.head == slot)
		return;
	list_remove(srd, act, &act->tx.lost, e);
	e->prev = WEFT_SLOT_NIL;
	e->next = act->tx.lost.head;
	weft_txw_slot(srd, act, act->tx.lost.head)->prev = slot;
	act->tx.lost.head = slot;
}

void weft_txw_resolve(struct weft_srd *srd, struct weft_active *act, uint64_t psn)
{
	struct weft_entry *e = weft_txw_entry(srd, act, psn);

	leave_list(srd, act, e);
	e->state = WEFT_ENTRY_FREE;
	weft_bit_set(act->tx.acked, psn);
}

static bool chunk_get(struct weft_srd *srd, struct weft_active *act, uint64_t psn)
{
	uint16_t *dir = &act->tx.chunk[psn % WEFT_SRD_WINDOW / WEFT_CHUNK];

	if (*dir != WEFT_SLOT_NIL)
		return true;
	if (srd->chunk_free == WEFT_SLOT_NIL)
		return false;
	*dir = srd->chunk_free;
	srd->chunk_free = srd->chunk_next[*dir];
	srd->chunks_used++;
	memset(&srd->chunks[*dir], 0, sizeof(srd->chunks[*dir]));
	return true;
}

static void chunk_put(struct weft_srd *srd, struct weft_active *act, uint32_t dir)
{
	uint16_t chunk = act->tx.chunk[dir];

	if (chunk == WEFT_SLOT_NIL)
		return;
	srd->chunk_next[chunk] = srd->chunk_free;
	srd->chunk_free = chunk;
	srd->chunks_used--;
	act->tx.chunk[dir] = WEFT_SLOT_NIL;
}

void weft_txw_advance(struct weft_srd *srd, struct weft_active *act)
{
	while (act->tx.una < act->tx.next && weft_bit(act->tx.acked, act->tx.una)) {
		weft_bit_clear(act->tx.acked, act->tx.una);
		act->tx.una++;
		if (act->tx.una % WEFT_CHUNK == 0 || act->tx.una == act->tx.next)
			chunk_put(srd, act, (act->tx.una - 1) % WEFT_SRD_WINDOW / WEFT_CHUNK);
	}
}

/* The incarnation is over: forget every packet. The messages were dealt with before. */
void weft_txw_drop_all(struct weft_srd *srd, struct weft_active *act)
{
	for (uint32_t i = 0; i < WEFT_CHUNKS; i++)
		chunk_put(srd, act, i);
	memset(act->tx.acked, 0, sizeof(act->tx.acked));
	act->tx.fly = act->tx.lost = (struct weft_slots){ WEFT_SLOT_NIL, WEFT_SLOT_NIL };
	act->tx.inflight_bytes = act->tx.lost_bytes = 0;
	act->tx.fly_pkts = act->tx.lost_pkts = 0;
	act->tx.una = act->tx.next;
}

uint64_t weft_txw_backlog(const struct weft_active *act)
{
	return act->tx.unsent + act->tx.lost_bytes;
}

bool weft_txw_has_work(const struct weft_srd *srd, const struct weft_active *act)
{
	return act->tx.sendq.head != WEFT_NIL || act->tx.lost_pkts || act->at.rnr <= srd->now;
}

/* Building packets */

void weft_txw_fill_hdr(struct weft_srd *srd, const struct weft_ctx *ctx, uint8_t type, uint16_t ev,
		       struct weft_hdr *hdr_out)
{
	const struct weft_active *act = weft_ctx_active(srd, ctx);
	uint64_t want = 0;

	if (act) {
		want = WEFT_MIN(weft_txw_backlog(act), 16000u * WEFT_PROTO_QUANTUM);
		want = (act->cc.credit_used + want + WEFT_PROTO_QUANTUM - 1) / WEFT_PROTO_QUANTUM;
	}
	*hdr_out = (struct weft_hdr){
		.type = type,
		.ev = ev,
		.dst_ctx = ctx->peer_ctx,
		.dst_epoch = ctx->peer_epoch,
		.src_ctx = weft_ctx_index(srd, ctx),
		.tx_ts = weft_ts(srd->now),
		.pull = (uint16_t)want,
	};
}

/* Header, length and tag; the body stands behind the header already. `ctx` is NULL when `to` is set. */
void weft_txw_finish(struct weft_srd *srd, const struct weft_ctx *ctx, const struct weft_hdr *hdr,
		     uint32_t body_len, bool control, struct weft_srd_tx *tx)
{
	const struct weft_active *act = ctx ? weft_ctx_active(srd, ctx) : NULL;
	struct weft_hdr final = *hdr;

	if (control)
		tx->payload = (struct weft_srd_payload){ .kind = WEFT_SRD_PAYLOAD_NONE };
	tx->seg_max = 0;
	if (ctx) {
		tx->to = ctx->gid;
		if (ctx->trains & WEFT_TRAINS_ON)
			tx->seg_max = (uint16_t)((act ? act->tx.single : ctx->agreed) +
						 WEFT_SRD_DATA_HEAD);
	}
	tx->path = hdr->ev;
	tx->control = control;
	tx->probe = false;
	tx->head_len = WEFT_PROTO_HDR + body_len;
	final.len = (uint16_t)(body_len + tx->payload.len);
	weft_hdr_encode(tx->head, &final);
	if (weft_has_tag(srd, hdr->type))
		weft_head_seal(srd->cfg.key, tx->head, tx->head_len);
	else
		weft_put64(tx->head + WEFT_PROTO_TAG_AT, 0);
	srd->stats.tx_pkts++;
	srd->stats.tx_bytes += tx->head_len + tx->payload.len;
}

static void fill_payload(const struct weft_msg *msg, uint32_t off, uint32_t len,
			 struct weft_srd_payload *p)
{
	*p = (struct weft_srd_payload){
		.kind = WEFT_SRD_PAYLOAD_NONE,
		.off = off,
		.len = len,
		.cookie = msg->cookie,
		.addr = msg->addr,
		.key = msg->key,
		.qpn = msg->src_qpn,
	};
	if (len)
		p->kind =
			msg->kind == WEFT_WIRE_RESP ? WEFT_SRD_PAYLOAD_TARGET : WEFT_SRD_PAYLOAD_WR;
}

/* An answer to a READ is checked anew for each packet: the region may be gone by now. The first refusal
 * ends the answer: its code goes out, in a packet of its own. (Not under a PSN that carried bytes: the
 * peer may have them, and would take the code for a duplicate.) */
static void check_answer(struct weft_srd *srd, struct weft_active *act, struct weft_msg *msg)
{
	struct weft_srd_msg_info info = {
		.peer = msg->ctx,
		.gid = &srd->ctxs[msg->ctx].gid,
		.op = WEFT_SRD_READ,
		.src_qpn = msg->dst_qpn,
		.dst_qpn = msg->src_qpn,
		.key = msg->key,
		.addr = msg->addr,
		.len = msg->len,
	};

	if (msg->end_code)
		return;
	msg->end_code = (uint8_t)srd->ops->read_check(srd->owner, &info);
	if (!msg->end_code)
		return;
	weft_msg_drop_rest(srd, act, msg);
	msg->started = true;
	weft_msg_enqueue(srd, act, msg);
}

/* Nothing can follow this packet before something comes back, so its answer should not be delayed. */
static bool is_last_for_now(const struct weft_srd *srd, const struct weft_ctx *ctx,
			    const struct weft_active *act, const struct weft_entry *e)
{
	uint32_t with_another =
		act->tx.inflight_bytes + e->len + ctx->payload + 2 * WEFT_SRD_DATA_HEAD;

	return !weft_txw_has_work(srd, act) || act->tx.next - act->tx.una >= WEFT_SPAN ||
	       with_another > act->cc.cwnd;
}

/* What goes out under this PSN: the operation as it stands in the message, or a VOID in its place when
 * the message has ended or the bytes are to be cut smaller. */
static void build(struct weft_srd *srd, struct weft_ctx *ctx, struct weft_active *act,
		  struct weft_entry *e, uint64_t psn, uint16_t ev, struct weft_srd_tx *tx)
{
	struct weft_msg *msg = &srd->msgs[e->msg];
	bool crc = srd->cfg.payload_crc || ctx->flags & WEFT_CTX_F_PEER_CRC;
	bool is_void = e->voided || (msg->completed && e->kind != WEFT_WIRE_CANCEL);
	struct weft_hdr hdr;
	struct weft_op op = {
		.op = is_void ? WEFT_WIRE_VOID : e->kind,
		.una = (uint16_t)(psn - act->tx.una),
		.dst_qpn = msg->dst_qpn,
		.src_qpn = msg->src_qpn,
		.msg_id = msg->id,
		.msg_len = msg->len,
		.off = e->off,
		.key = msg->key,
		.addr = msg->addr,
		.imm = msg->imm,
	};

	weft_txw_fill_hdr(srd, ctx, WEFT_PKT_DATA, ev, &hdr);
	hdr.psn = psn;
	fill_payload(msg, e->off, is_void ? 0 : e->len, &tx->payload);
	if (is_void) {
		e->voided = true;
		op = (struct weft_op){ .op = WEFT_WIRE_VOID, .una = op.una };
	} else {
		op.code = e->code;
		if (e->kind == WEFT_WIRE_WRITE_IMM && msg->rest)
			op.code = WEFT_CODE_REST;
	}
	if (e->off + e->len == msg->len)
		hdr.flags |= WEFT_PKT_F_LAST;
	if (e->tries)
		hdr.flags |= WEFT_PKT_F_RTX;
	if (is_last_for_now(srd, ctx, act, e))
		hdr.flags |= WEFT_PKT_F_ACKREQ;
	if (crc && !is_void) {
		hdr.flags |= WEFT_PKT_F_CRC;
		if (tx->payload.len)
			op.crc = srd->ops->payload_crc(srd->owner, &tx->payload);
	}
	weft_op_encode(tx->head + WEFT_PROTO_HDR, &op);
	weft_txw_finish(srd, ctx, &hdr, WEFT_PROTO_OP, false, tx);
}

static void count_sent(struct weft_srd *srd, const struct weft_entry *e,
		       const struct weft_srd_tx *tx)
{
	srd->stats.data_tx_pkts++;
	srd->stats.data_tx_bytes += tx->payload.len;
	if (e->tries) {
		srd->stats.retrans_pkts++;
		srd->stats.retrans_bytes += tx->payload.len;
	}
	if (e->kind == WEFT_WIRE_RESP)
		srd->stats.rdma_read_resp_bytes += tx->payload.len;
}

static void fly(struct weft_srd *srd, struct weft_active *act, struct weft_entry *e, uint16_t slot)
{
	e->state = WEFT_ENTRY_FLYING;
	e->tx_ns = srd->now;
	list_push(srd, act, &act->tx.fly, slot);
	act->tx.fly_pkts++;
	act->tx.inflight_bytes += e->len + WEFT_SRD_DATA_HEAD;
	weft_path_at(srd, act, e->ev)->inflight++;
}

/* As if it had been sent just now: in a timeout it will be, and by then there may be memory. Sent at
 * once, it would go back and forth and keep out what could free the memory. */
void weft_txw_reopen(struct weft_srd *srd, struct weft_active *act, uint64_t psn,
		     const struct weft_entry *was)
{
	struct weft_entry *e = weft_txw_entry(srd, act, psn);

	weft_bit_clear(act->tx.acked, psn);
	*e = *was;
	fly(srd, act, e, psn % WEFT_SRD_WINDOW);
}

/* Put the entry into the air: build its packet for `ev` and account for it. */
static void launch(struct weft_srd *srd, struct weft_ctx *ctx, struct weft_active *act,
		   uint64_t psn, uint16_t ev, struct weft_srd_tx *tx)
{
	struct weft_entry *e = weft_txw_entry(srd, act, psn);
	uint32_t bytes = e->len + WEFT_SRD_DATA_HEAD;

	e->ev = ev;
	weft_cc_on_sent(srd, act, bytes);
	build(srd, ctx, act, e, psn, ev, tx);
	count_sent(srd, e, tx);
	if (e->tries < UINT8_MAX)
		e->tries++;
	fly(srd, act, e, psn % WEFT_SRD_WINDOW);
	act->last_tx = srd->now;
	weft_ack_on_data_sent(srd, ctx, act, e->len);
	if (act->tx.fly_pkts + act->tx.lost_pkts ==
	    1) /* Patience begins anew with a first packet. */
		act->rto_from = act->last_progress = srd->now;
	if (act->lb.out && act->at.probe == WEFT_NS_NEVER)
		act->at.probe = srd->now;
	weft_loss_arm(srd, act);
}

static bool relaunch_lost(struct weft_srd *srd, struct weft_ctx *ctx, struct weft_active *act,
			  struct weft_srd_tx *tx)
{
	uint16_t slot = act->tx.lost.head;
	struct weft_entry *e = weft_txw_slot(srd, act, slot);
	struct weft_msg *msg = &srd->msgs[e->msg];

	if (!weft_cc_may_send(srd, ctx, act, e->len + WEFT_SRD_DATA_HEAD))
		return false;
	if (e->kind == WEFT_WIRE_RESP && !msg->completed) {
		check_answer(srd, act, msg);
		e->voided |= msg->end_code && !e->code;
	}
	leave_list(srd, act, e);
	launch(srd, ctx, act, weft_txw_psn(act, slot),
	       weft_path_pick(srd, act, e->len + WEFT_SRD_DATA_HEAD, e->ev), tx);
	return true;
}

/* A message keeps its turn for a while, so that its packets travel as bursts; then the next one. */
#define TURN_BYTES 65536u

static void end_turn(struct weft_srd *srd, struct weft_active *act, struct weft_msg *msg,
		     uint32_t bytes)
{
	if (msg->where != WEFT_MSG_SENDQ)
		return;
	act->tx.quantum -= WEFT_MIN(bytes, act->tx.quantum);
	if (weft_msg_has_more(msg) && act->tx.quantum)
		return;
	act->tx.quantum = TURN_BYTES;
	if (srd->msgs[act->tx.sendq.head].next == WEFT_NIL && weft_msg_has_more(msg))
		return;
	/* To the end of the queue, or out of it. */
	weft_msg_requeue(srd, act, msg);
}

static bool launch_fresh(struct weft_srd *srd, struct weft_ctx *ctx, struct weft_active *act,
			 struct weft_srd_tx *tx)
{
	struct weft_msg *msg;
	struct weft_entry *e;
	uint64_t psn = act->tx.next;
	uint32_t off, len;

	if (psn - act->tx.una >= WEFT_SPAN)
		return false;
	msg = weft_msg_next(srd, act);
	if (!msg)
		return false;
	if (msg->kind == WEFT_WIRE_RESP && !msg->completed)
		check_answer(srd, act, msg);
	weft_msg_peek(srd, ctx, msg, &off, &len);
	if (!weft_cc_may_send(srd, ctx, act, len + WEFT_SRD_DATA_HEAD))
		return false;
	if (!chunk_get(srd, act, psn)) {
		/* Another context holds them all; nothing of ours may be in flight to wake us. */
		act->at.retry = srd->now + srd->cfg.rto_min;
		return false;
	}
	e = weft_txw_entry(srd, act, psn);
	*e = (struct weft_entry){
		.msg = (uint32_t)(msg - srd->msgs),
		.kind = weft_msg_next_kind(msg, len),
		.off = off,
		.len = (uint16_t)len,
		.attempt = msg->attempt,
		.code = msg->end_code,
	};
	weft_msg_take(srd, act, msg, len);
	act->tx.next++;
	msg->inflight++;
	end_turn(srd, act, msg, len);
	launch(srd, ctx, act, psn,
	       weft_path_pick(srd, act, len + WEFT_SRD_DATA_HEAD, WEFT_PATH_NONE), tx);
	return true;
}

bool weft_txw_next_packet(struct weft_srd *srd, struct weft_ctx *ctx, struct weft_active *act,
			  struct weft_srd_tx *tx)
{
	if (act->tx.lost_pkts)
		return relaunch_lost(srd, ctx, act, tx);
	return launch_fresh(srd, ctx, act, tx);
}
