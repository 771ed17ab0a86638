/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages: work requests from post to completion, and the READs of peers that we answer.
 *
 * What a message still has to send is its list of pieces (ranges that a peer dropped with an answer, to
 * go out under new PSNs) and then its fresh bytes. A message that has ended for its owner but still has
 * packets in flight stays as a remainder: lost packets go out again as VOID, so that the peer's window
 * closes, and if the peer may hold a receive for it, a CANCEL follows once nothing else is in flight
 * (earlier, and a late packet could claim a receive again after it).
 *
 * Receiver not ready. The first message between two QPs that gets this answer becomes their leader: it
 * moves to queue `rnr` and tries again after a growing delay. Other messages between the same QPs, once
 * their turn to send comes, follow it there and wait until it has been accepted or has failed, so that
 * one idle receiver costs one packet per attempt and nothing else of the context is held up. Leaders
 * stand before followers in the queue, so a search for a leader ends at the first follower. */
#include "srd/engine.h"

#include <string.h>

/* Queues */

static void q_remove(struct weft_srd *srd, struct weft_msgq *q, struct weft_msg *msg)
{
	if (msg->prev == WEFT_NIL)
		q->head = msg->next;
	else
		srd->msgs[msg->prev].next = msg->next;
	if (msg->next == WEFT_NIL)
		q->tail = msg->prev;
	else
		srd->msgs[msg->next].prev = msg->prev;
}

/* Before the message with index `before`; NIL: at the end. */
static void q_insert(struct weft_srd *srd, struct weft_msgq *q, struct weft_msg *msg,
		     uint32_t before)
{
	uint32_t i = (uint32_t)(msg - srd->msgs);

	msg->next = before;
	msg->prev = before == WEFT_NIL ? q->tail : srd->msgs[before].prev;
	if (msg->prev == WEFT_NIL)
		q->head = i;
	else
		srd->msgs[msg->prev].next = i;
	if (before == WEFT_NIL)
		q->tail = i;
	else
		srd->msgs[before].prev = i;
}

static void unqueue(struct weft_srd *srd, struct weft_active *act, struct weft_msg *msg)
{
	switch ((enum weft_msg_where)msg->where) {
	case WEFT_MSG_SENDQ:
		q_remove(srd, &act->tx.sendq, msg);
		break;
	case WEFT_MSG_LEADER:
	case WEFT_MSG_FOLLOWS:
		q_remove(srd, &act->tx.rnr, msg);
		break;
	case WEFT_MSG_FREE:
	case WEFT_MSG_WAITS:
		break;
	}
	msg->where = WEFT_MSG_WAITS;
}

static struct weft_active *active_of(struct weft_srd *srd, const struct weft_msg *msg)
{
	return weft_ctx_active(srd, &srd->ctxs[msg->ctx]);
}

static bool is_read_answer(const struct weft_msg *msg)
{
	return msg->kind == WEFT_WIRE_RESP;
}

/* Claims a receive, hence can be told that there is none. */
static bool is_claiming(const struct weft_msg *msg)
{
	return msg->kind == WEFT_WIRE_SEND || msg->kind == WEFT_WIRE_SEND_IMM ||
	       msg->kind == WEFT_WIRE_WRITE_IMM;
}

struct weft_msg *weft_msg_alloc(struct weft_srd *srd, struct weft_ctx *ctx, bool read)
{
	uint32_t *head = read ? &srd->read_free : &srd->msg_free, i = *head, id;
	struct weft_active *act = weft_ctx_active(srd, ctx);
	struct weft_msg *msg;

	if (i == WEFT_NIL)
		return NULL;
	msg = &srd->msgs[i];
	*head = msg->next;
	*(read ? &srd->reads_used : &srd->msgs_used) += 1;
	/* The upper bits count the uses of this slot, so that a late answer for an earlier use is told
	 * apart from one for this. */
	id = msg->id + (1u << srd->msg_gen_shift);
	*msg = (struct weft_msg){
		.ctx = act->ctx,
		.id = id,
		.rnr_at = WEFT_NS_NEVER,
		.pieces = WEFT_NIL,
		.all_next = act->tx.all_head,
		.all_prev = WEFT_NIL,
		.where = WEFT_MSG_WAITS,
	};
	if (act->tx.all_head != WEFT_NIL)
		srd->msgs[act->tx.all_head].all_prev = i;
	act->tx.all_head = i;
	return msg;
}

struct weft_msg *weft_msg_by_id(struct weft_srd *srd, const struct weft_ctx *ctx, uint32_t id)
{
	uint32_t i = id & ((1u << srd->msg_gen_shift) - 1);
	struct weft_msg *msg;

	if (i >= srd->cfg.msgs_max)
		return NULL;
	msg = &srd->msgs[i];
	if (msg->where == WEFT_MSG_FREE || msg->id != id || msg->ctx != weft_ctx_index(srd, ctx))
		return NULL;
	return msg;
}

void weft_msg_enqueue(struct weft_srd *srd, struct weft_active *act, struct weft_msg *msg)
{
	if (msg->where == WEFT_MSG_SENDQ)
		return;
	unqueue(srd, act, msg);
	q_insert(srd, &act->tx.sendq, msg, WEFT_NIL);
	msg->where = WEFT_MSG_SENDQ;
	weft_ctx_ready(srd, &srd->ctxs[msg->ctx]);
}

void weft_msg_requeue(struct weft_srd *srd, struct weft_active *act, struct weft_msg *msg)
{
	unqueue(srd, act, msg);
	if (weft_msg_has_more(msg))
		weft_msg_enqueue(srd, act, msg);
}

/* Ranges to send */

static bool has_fresh(const struct weft_msg *msg)
{
	if (msg->completed)
		return false;
	if (msg->kind == WEFT_WIRE_READ)
		return !msg->started;
	return msg->next_off < msg->len || !msg->started;
}

/* A WRITE_IMM that was complete but for a receive is no longer counted by the peer: what is left of it
 * goes out as plain WRITEs, one at a time, and the last packet says that it is the last (REST). That is
 * one packet, unless the payload has shrunk meanwhile. */
uint8_t weft_msg_next_kind(const struct weft_msg *msg, uint32_t len)
{
	if (msg->completed)
		return WEFT_WIRE_CANCEL;
	return msg->rest && msg->acked + len < msg->len ? WEFT_WIRE_WRITE : msg->kind;
}

bool weft_msg_has_more(const struct weft_msg *msg)
{
	if (msg->rest && msg->inflight)
		return false;
	return msg->pieces != WEFT_NIL || has_fresh(msg) || (msg->cancel && !msg->inflight) ||
	       (msg->end_code && !msg->end_sent && !msg->completed);
}

static uint32_t fresh_len(const struct weft_msg *msg)
{
	return msg->kind == WEFT_WIRE_READ ? 0 : msg->len - msg->next_off;
}

void weft_msg_peek(const struct weft_srd *srd, const struct weft_ctx *ctx,
		   const struct weft_msg *msg, uint32_t *off_out, uint32_t *len_out)
{
	uint32_t len;

	if (msg->pieces != WEFT_NIL) {
		*off_out = srd->pieces[msg->pieces].off;
		len = srd->pieces[msg->pieces].len;
	} else if (has_fresh(msg)) {
		*off_out = msg->next_off;
		len = fresh_len(msg);
	} else { /* A CANCEL, or the code that ends a READ. */
		*off_out = 0;
		len = 0;
	}
	*len_out = WEFT_MIN(len, ctx->payload);
}

static void piece_free(struct weft_srd *srd, uint32_t i)
{
	srd->pieces[i].next = srd->piece_free;
	srd->piece_free = i;
	srd->pieces_used--;
}

void weft_msg_take(struct weft_srd *srd, struct weft_active *act, struct weft_msg *msg,
		   uint32_t len)
{
	act->tx.unsent -= len;
	if (msg->pieces != WEFT_NIL) {
		struct weft_piece *piece = &srd->pieces[msg->pieces];

		piece->off += len;
		piece->len -= len;
		msg->split |= piece->len > 0;
		if (!piece->len) {
			uint32_t i = msg->pieces;

			msg->pieces = piece->next;
			piece_free(srd, i);
		}
		return;
	}
	if (msg->completed) {
		msg->cancel = false;
		return;
	}
	if (msg->end_code) {
		msg->end_sent = true;
		return;
	}
	if (!msg->started)
		msg->split = len < fresh_len(msg);
	msg->started = true;
	msg->next_off += len;
}

/* Pieces are kept in order and joined with their neighbours: a message that was refused as a whole is one
 * piece again, whatever the order in which its packets were. */
static bool piece_add(struct weft_srd *srd, struct weft_active *act, struct weft_msg *msg,
		      uint32_t off, uint32_t len)
{
	struct weft_piece *prev = NULL, *next;
	uint32_t *link = &msg->pieces, i = srd->piece_free;

	while (*link != WEFT_NIL && srd->pieces[*link].off < off) {
		prev = &srd->pieces[*link];
		link = &prev->next;
	}
	next = *link == WEFT_NIL ? NULL : &srd->pieces[*link];
	if (prev && prev->off + prev->len == off) {
		prev->len += len;
		if (next && prev->off + prev->len == next->off) {
			uint32_t gone = *link;

			prev->len += next->len;
			*link = next->next;
			piece_free(srd, gone);
		}
	} else if (next && off + len == next->off) {
		next->off = off;
		next->len += len;
	} else {
		if (i == WEFT_NIL)
			return false;
		srd->piece_free = srd->pieces[i].next;
		srd->pieces_used++;
		srd->pieces[i] = (struct weft_piece){ .off = off, .len = len, .next = *link };
		*link = i;
	}
	act->tx.unsent += len;
	return true;
}

uint64_t weft_msg_unsent(const struct weft_srd *srd, const struct weft_msg *msg)
{
	uint64_t bytes = has_fresh(msg) ? fresh_len(msg) : 0;

	for (uint32_t i = msg->pieces; i != WEFT_NIL; i = srd->pieces[i].next)
		bytes += srd->pieces[i].len;
	return bytes;
}

/* Nothing of it will be sent any more. */
void weft_msg_drop_rest(struct weft_srd *srd, struct weft_active *act, struct weft_msg *msg)
{
	act->tx.unsent -= weft_msg_unsent(srd, msg);
	while (msg->pieces != WEFT_NIL) {
		uint32_t i = msg->pieces;

		msg->pieces = srd->pieces[i].next;
		piece_free(srd, i);
	}
	msg->next_off = msg->len;
}

/* Receiver not ready */

static bool is_same_pair(const struct weft_msg *a, const struct weft_msg *b)
{
	return a->src_qpn == b->src_qpn && a->dst_qpn == b->dst_qpn;
}

/* Another one than itself. */
static bool has_leader(const struct weft_srd *srd, const struct weft_active *act,
		       const struct weft_msg *msg)
{
	for (uint32_t i = act->tx.rnr.head; i != WEFT_NIL; i = srd->msgs[i].next) {
		if (srd->msgs[i].where != WEFT_MSG_LEADER)
			return false;
		if (&srd->msgs[i] != msg && is_same_pair(&srd->msgs[i], msg))
			return true;
	}
	return false;
}

static void rnr_follow(struct weft_srd *srd, struct weft_active *act, struct weft_msg *msg)
{
	unqueue(srd, act, msg);
	q_insert(srd, &act->tx.rnr, msg, WEFT_NIL);
	msg->where = WEFT_MSG_FOLLOWS;
}

static void rnr_arm(struct weft_srd *srd, struct weft_active *act)
{
	act->at.rnr = WEFT_NS_NEVER;
	for (uint32_t i = act->tx.rnr.head; i != WEFT_NIL; i = srd->msgs[i].next) {
		if (srd->msgs[i].where != WEFT_MSG_LEADER)
			break;
		act->at.rnr = WEFT_MIN(act->at.rnr, srd->msgs[i].rnr_at);
	}
}

/* The leader is done with waiting: its followers compete again. */
static void rnr_dissolve(struct weft_srd *srd, struct weft_active *act, struct weft_msg *leader)
{
	unqueue(srd, act, leader);
	leader->rnr_at = WEFT_NS_NEVER;
	for (uint32_t i = act->tx.rnr.head; i != WEFT_NIL;) {
		struct weft_msg *msg = &srd->msgs[i];

		i = msg->next;
		if (msg->where == WEFT_MSG_FOLLOWS && is_same_pair(msg, leader))
			weft_msg_enqueue(srd, act, msg);
	}
	rnr_arm(srd, act);
}

/* First retry at once, then 40 to 120 us, doubling, up to a second; up to ten milliseconds when it is
 * only the peer's memory that is short, since that comes and goes with its traffic. */
static weft_ns rnr_delay(struct weft_srd *srd, struct weft_msg *msg, uint8_t code)
{
	weft_ns most = code == WEFT_CODE_BUSY ? WEFT_MS(10) : WEFT_S(1);
	weft_ns base = WEFT_US(40) + weft_prng_below(&srd->prng, 80000);
	uint32_t stage = msg->rnr_stage;

	if (msg->rnr_stage < 15)
		msg->rnr_stage++;
	return stage ? WEFT_MIN(base << (stage - 1), most) : 0;
}

static void rnr_again_at(struct weft_srd *srd, struct weft_active *act, struct weft_msg *leader,
			 weft_ns at)
{
	leader->rnr_at = at;
	rnr_arm(srd, act);
	weft_ctx_ready(srd, &srd->ctxs[leader->ctx]);
}

/* Behind the other leaders, before the followers: the one that was refused last tries last. */
static void rnr_wait(struct weft_srd *srd, struct weft_active *act, struct weft_msg *msg,
		     uint8_t code)
{
	uint32_t at;

	/* It was under way already when the first one was refused. Of a message that was accepted in part
	 * the peer holds something; that one must not wait for another. */
	if (is_claiming(msg) && !msg->acked && has_leader(srd, act, msg)) {
		rnr_follow(srd, act, msg);
		return;
	}
	unqueue(srd, act, msg);
	at = act->tx.rnr.head;
	while (at != WEFT_NIL && srd->msgs[at].where == WEFT_MSG_LEADER)
		at = srd->msgs[at].next;
	q_insert(srd, &act->tx.rnr, msg, at);
	msg->where = WEFT_MSG_LEADER;
	rnr_again_at(srd, act, msg, srd->now + rnr_delay(srd, msg, code));
}

static struct weft_msg *rnr_due(struct weft_srd *srd, struct weft_active *act)
{
	for (uint32_t i = act->tx.rnr.head; i != WEFT_NIL; i = srd->msgs[i].next) {
		struct weft_msg *msg = &srd->msgs[i];

		if (msg->where != WEFT_MSG_LEADER)
			break;
		if (msg->rnr_at > srd->now)
			continue;
		if (weft_msg_has_more(msg))
			return msg;
		msg->rnr_at = WEFT_NS_NEVER; /* All of this attempt is in flight. */
	}
	rnr_arm(srd, act);
	return NULL;
}

static struct weft_msg *sendq_next(struct weft_srd *srd, struct weft_active *act)
{
	while (act->tx.sendq.head != WEFT_NIL) {
		struct weft_msg *msg = &srd->msgs[act->tx.sendq.head];

		if (!weft_msg_has_more(msg)) {
			unqueue(srd, act, msg);
			continue;
		}
		/* One that has begun may hold what the leader waits for: it goes on. */
		if (act->tx.rnr.head == WEFT_NIL || !is_claiming(msg) || msg->started ||
		    !has_leader(srd, act, msg))
			return msg;
		rnr_follow(srd, act, msg);
	}
	return NULL;
}

/* Leaders whose time has come and the send queue take turns: neither may starve the other, since each
 * may wait for memory at the peer that the other holds. */
struct weft_msg *weft_msg_next(struct weft_srd *srd, struct weft_active *act)
{
	struct weft_msg *msg;

	if (act->at.rnr > srd->now)
		return sendq_next(srd, act);
	act->tx.rnr_turn = !act->tx.rnr_turn;
	msg = act->tx.rnr_turn ? rnr_due(srd, act) : sendq_next(srd, act);
	if (!msg)
		msg = act->tx.rnr_turn ? sendq_next(srd, act) : rnr_due(srd, act);
	return msg;
}

/* Ends */

void weft_msg_destroy(struct weft_srd *srd, struct weft_msg *msg)
{
	struct weft_active *act = active_of(srd, msg);
	uint32_t i = (uint32_t)(msg - srd->msgs);
	bool read = i >= srd->cfg.msgs_max;

	weft_assert(!msg->inflight);
	weft_msg_drop_rest(srd, act, msg);
	unqueue(srd, act, msg);
	if (msg->all_prev == WEFT_NIL)
		act->tx.all_head = msg->all_next;
	else
		srd->msgs[msg->all_prev].all_next = msg->all_next;
	if (msg->all_next != WEFT_NIL)
		srd->msgs[msg->all_next].all_prev = msg->all_prev;
	msg->where = WEFT_MSG_FREE;
	if (read) {
		msg->next = srd->read_free;
		srd->read_free = i;
		srd->reads_used--;
	} else {
		msg->next = srd->msg_free;
		srd->msg_free = i;
		srd->msgs_used--;
	}
}

static void complete(struct weft_srd *srd, struct weft_active *act, struct weft_msg *msg,
		     enum weft_srd_status status)
{
	msg->completed = true;
	if (is_read_answer(msg))
		return;
	if (msg->kind == WEFT_WIRE_READ) {
		act->tx.reads_waiting--;
		if (status != WEFT_SRD_OK)
			srd->stats.rdma_read_wr_err++;
	} else if (status != WEFT_SRD_OK && msg->kind >= WEFT_WIRE_WRITE) {
		srd->stats.rdma_write_wr_err++;
	}
	srd->ops->complete(srd->owner, msg->cookie, status);
}

void weft_msg_fail(struct weft_srd *srd, struct weft_msg *msg, enum weft_srd_status status)
{
	struct weft_active *act = active_of(srd, msg);

	if (msg->completed)
		return;
	weft_msg_drop_rest(srd, act, msg);
	if (msg->where == WEFT_MSG_LEADER)
		rnr_dissolve(srd, act, msg);
	unqueue(srd, act, msg);
	msg->cancel = is_claiming(msg) && msg->started && msg->split;
	complete(srd, act, msg, status);
}

void weft_msg_check_done(struct weft_srd *srd, struct weft_msg *msg)
{
	struct weft_active *act = active_of(srd, msg);

	if (!msg->completed && msg->kind == WEFT_WIRE_READ && msg->started &&
	    msg->placed == msg->len && msg->answered)
		complete(srd, act, msg, WEFT_SRD_OK);
	if (msg->inflight || weft_msg_has_more(msg)) {
		/* The last of a message that was given up is resolved: now the CANCEL may go. */
		if (msg->cancel && !msg->inflight)
			weft_msg_enqueue(srd, act, msg);
		return;
	}
	if (!msg->completed) {
		if (msg->kind == WEFT_WIRE_READ)
			return; /* The request is there; the answer is the responder's to send. */
		weft_assert(is_read_answer(msg) || msg->acked == msg->len);
		if (msg->where == WEFT_MSG_LEADER)
			rnr_dissolve(srd, act, msg);
		complete(srd, act, msg, WEFT_SRD_OK);
	}
	weft_msg_destroy(srd, msg);
}

/* The peer did not take this packet. True when that is dealt with. */
static bool on_refused(struct weft_srd *srd, struct weft_active *act, struct weft_msg *msg,
		       const struct weft_entry *e, uint8_t code)
{
	if (code != WEFT_CODE_VOID && code != WEFT_CODE_BUSY && code != WEFT_SRD_RNR) {
		weft_msg_fail(srd, msg, (enum weft_srd_status)code);
		return true;
	}
	/* Of an answer to a READ that ended with a code, nothing more is to be sent. */
	if (msg->end_code)
		return true;
	if (!piece_add(srd, act, msg, e->off, e->len))
		return false;
	if (code == WEFT_SRD_RNR) {
		srd->stats.rnr_rx++;
		msg->rest |= msg->kind == WEFT_WIRE_WRITE_IMM && msg->split;
	}
	/* Several packets of one attempt may be refused; that is one refusal and one wait. */
	if (code == WEFT_CODE_VOID || e->attempt != msg->attempt) {
		if (msg->where == WEFT_MSG_WAITS)
			weft_msg_enqueue(srd, act, msg);
		else if (msg->where == WEFT_MSG_LEADER && msg->rnr_at == WEFT_NS_NEVER &&
			 msg->inflight == 1)
			rnr_again_at(srd, act, msg, srd->now); /* Else what is in flight decides. */
	} else if (code == WEFT_SRD_RNR && msg->rnr_retry < 7 &&
		   msg->rnr_tries++ >= msg->rnr_retry) {
		weft_msg_fail(srd, msg, WEFT_SRD_RNR);
	} else {
		msg->attempt++;
		rnr_wait(srd, act, msg, code);
	}
	return true;
}

static bool is_final_code(uint8_t code)
{
	switch (code) {
	case WEFT_SRD_REMOTE_ADDRESS:
	case WEFT_SRD_ABORT:
	case WEFT_SRD_REMOTE_QPN:
	case WEFT_SRD_RNR:
	case WEFT_SRD_REMOTE_LENGTH:
	case WEFT_SRD_FEATURE_MISMATCH:
	case WEFT_CODE_VOID:
	case WEFT_CODE_BUSY:
		return true;
	default:
		return false;
	}
}

bool weft_msg_on_resolved(struct weft_srd *srd, struct weft_active *act, const struct weft_entry *e,
			  uint8_t code)
{
	struct weft_msg *msg = &srd->msgs[e->msg];

	if (code && !is_final_code(code))
		code = WEFT_SRD_REMOTE_STATUS;
	if (code && !msg->completed && e->kind != WEFT_WIRE_CANCEL &&
	    !on_refused(srd, act, msg, e, code))
		return false;
	msg->inflight--;
	if (!code) {
		msg->acked += e->len;
		if (msg->where == WEFT_MSG_LEADER) {
			rnr_dissolve(srd, act, msg);
			if (weft_msg_has_more(msg))
				weft_msg_enqueue(srd, act, msg);
		} else if (msg->where == WEFT_MSG_FOLLOWS ||
			   (msg->rest && weft_msg_has_more(msg))) {
			weft_msg_enqueue(srd, act, msg);
		}
	}
	weft_msg_check_done(srd, msg);
	return true;
}
