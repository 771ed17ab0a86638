/* SPDX-License-Identifier: BSD-2-Clause */
/* A naive second opinion on the engine's bookkeeping. The engine keeps lists and sums up to date step by
 * step; here each of them is computed anew from what it is about, and the two have to agree. Slow and
 * simple on purpose: no step here looks at how the engine does it. */
#include "check.h"

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

static uint32_t ctx_no(const struct weft_srd *srd, const struct weft_active *act)
{
	FUZZ_CHECK(act->ctx < srd->ctx_len, "active block of no context");
	return act->ctx;
}

/* Pools: every element is free or owned, and by one owner. */

static void check_chunks(struct weft_srd *srd)
{
	uint8_t *seen = calloc(srd->chunks_len, 1);
	uint32_t owned = 0, free_len = 0;

	for (uint32_t i = 0; i < srd->ctx_len; i++) {
		const struct weft_active *act = weft_ctx_active(srd, &srd->ctxs[i]);

		for (uint32_t k = 0; act && k < WEFT_CHUNKS; k++) {
			uint16_t chunk = act->tx.chunk[k];

			if (chunk == WEFT_SLOT_NIL)
				continue;
			FUZZ_CHECK(chunk < srd->chunks_len && !seen[chunk], "chunk %u owned twice",
				   chunk);
			seen[chunk] = 1;
			owned++;
		}
	}
	for (uint16_t i = srd->chunk_free; i != WEFT_SLOT_NIL; i = srd->chunk_next[i]) {
		FUZZ_CHECK(i < srd->chunks_len && !seen[i], "chunk %u free and owned", i);
		seen[i] = 1;
		free_len++;
	}
	free(seen);
	FUZZ_CHECK(owned == srd->chunks_used && owned + free_len == srd->chunks_len,
		   "chunks: %u owned, %u free, %u used of %u", owned, free_len, srd->chunks_used,
		   srd->chunks_len);
}

static void check_pieces(struct weft_srd *srd)
{
	uint8_t *seen = calloc(srd->pieces_len, 1);
	uint32_t msgs = srd->cfg.msgs_max + srd->cfg.reads_max, owned = 0, free_len = 0;

	for (uint32_t m = 0; m < msgs; m++) {
		const struct weft_msg *msg = &srd->msgs[m];

		if (msg->where == WEFT_MSG_FREE)
			continue;
		for (uint32_t i = msg->pieces; i != WEFT_NIL; i = srd->pieces[i].next, owned++) {
			const struct weft_piece *piece = &srd->pieces[i];

			FUZZ_CHECK(i < srd->pieces_len && !seen[i], "piece %u owned twice", i);
			FUZZ_CHECK(piece->off <= msg->len && piece->len <= msg->len - piece->off,
				   "piece [%u, +%u) outside a message of %u", piece->off,
				   piece->len, msg->len);
			seen[i] = 1;
		}
	}
	for (uint32_t i = srd->piece_free; i != WEFT_NIL; i = srd->pieces[i].next, free_len++) {
		FUZZ_CHECK(i < srd->pieces_len && !seen[i], "piece %u free and owned", i);
		seen[i] = 1;
	}
	free(seen);
	FUZZ_CHECK(owned == srd->pieces_used && owned + free_len == srd->pieces_len,
		   "pieces: %u owned, %u free, %u used", owned, free_len, srd->pieces_used);
}

static uint32_t free_msgs(const struct weft_srd *srd, uint32_t head, uint32_t lo, uint32_t hi)
{
	uint32_t n = 0;

	for (uint32_t i = head; i != WEFT_NIL; i = srd->msgs[i].next, n++) {
		FUZZ_CHECK(i >= lo && i < hi && n < hi - lo, "list of free messages leads to %u",
			   i);
		FUZZ_CHECK(srd->msgs[i].where == WEFT_MSG_FREE,
			   "message %u on the free list in use", i);
	}
	return n;
}

static void check_msg_pools(const struct weft_srd *srd)
{
	uint32_t msgs = srd->cfg.msgs_max, reads = srd->cfg.reads_max;

	FUZZ_CHECK(free_msgs(srd, srd->msg_free, 0, msgs) + srd->msgs_used == msgs,
		   "messages leaked");
	FUZZ_CHECK(free_msgs(srd, srd->read_free, msgs, msgs + reads) + srd->reads_used == reads,
		   "answers leaked");
}

static void check_actives(const struct weft_srd *srd)
{
	uint32_t used = 0, free_len = 0;

	for (uint32_t i = 0; i < srd->ctx_len; i++) {
		const struct weft_ctx *ctx = &srd->ctxs[i];

		if (ctx->active == WEFT_NIL)
			continue;
		FUZZ_CHECK(ctx->active < srd->cfg.active_max && srd->actives[ctx->active].ctx == i,
			   "context %u and its active block disagree", i);
		used++;
	}
	for (uint32_t i = srd->active_free; i != WEFT_NIL; i = srd->actives[i].next_free)
		FUZZ_CHECK(i < srd->cfg.active_max && free_len++ < srd->cfg.active_max,
			   "list of free active blocks leads to %u", i);
	FUZZ_CHECK(used == srd->actives_used && used + free_len == srd->cfg.active_max,
		   "active blocks: %u used, %u free, count %u", used, free_len, srd->actives_used);
}

static void check_rxms(const struct weft_srd *srd)
{
	uint32_t *per_ctx = calloc(srd->cfg.contexts_max, sizeof(*per_ctx)), used = 0, free_len = 0;

	for (uint32_t i = 0; i < srd->cfg.rx_msgs_max; i++) {
		const struct weft_rxm *rxm = &srd->rxms[i];

		if (!rxm->used)
			continue;
		used++;
		FUZZ_CHECK(rxm->ctx < srd->ctx_len && srd->ctxs[rxm->ctx].active != WEFT_NIL,
			   "partly received message without a context");
		FUZZ_CHECK(rxm->dead || rxm->got < rxm->len, "received message of %u not finished",
			   rxm->len);
		FUZZ_CHECK(!rxm->dead || !rxm->claimed, "receive of a dead QP not released");
		per_ctx[rxm->ctx]++;
	}
	for (uint32_t i = srd->rxm_free; i != WEFT_NIL; i = srd->rxms[i].next)
		FUZZ_CHECK(!srd->rxms[i].used && free_len++ < srd->cfg.rx_msgs_max,
			   "list of free received messages leads to %u", i);
	FUZZ_CHECK(used == srd->rxms_used && used + free_len == srd->cfg.rx_msgs_max,
		   "received messages: %u used, %u free, count %u", used, free_len, srd->rxms_used);
	for (uint32_t i = 0; i < srd->ctx_len; i++) {
		const struct weft_active *act = weft_ctx_active(srd, &srd->ctxs[i]);

		FUZZ_CHECK(!act || act->rx.msgs == per_ctx[i],
			   "context %u counts %u partly received, has %u", i,
			   act ? act->rx.msgs : 0, per_ctx[i]);
	}
	free(per_ctx);
}

/* The send window of one context */

struct recount {
	uint32_t fly, lost, inflight_bytes, lost_bytes;
	uint32_t per_path[WEFT_SRD_PATHS_MAX];
	uint32_t *per_msg; /* owns */
	uint64_t *msg_bytes; /* owns */
};

static void recount_entry(struct weft_srd *srd, const struct weft_active *act, uint64_t psn,
			  struct recount *sum)
{
	const struct weft_entry *e = weft_txw_entry(srd, (struct weft_active *)act, psn);
	bool acked = weft_bit(act->tx.acked, psn);

	if (!e || e->state == WEFT_ENTRY_FREE) {
		FUZZ_CHECK(acked, "psn una+%u is neither resolved nor in flight",
			   (unsigned int)(psn - act->tx.una));
		return;
	}
	FUZZ_CHECK(!acked, "psn una+%u is resolved and in flight",
		   (unsigned int)(psn - act->tx.una));
	FUZZ_CHECK(e->msg < srd->cfg.msgs_max + srd->cfg.reads_max, "packet of no message");
	FUZZ_CHECK(srd->msgs[e->msg].where != WEFT_MSG_FREE && srd->msgs[e->msg].ctx == act->ctx,
		   "packet of a message that is gone");
	FUZZ_CHECK(e->off + (uint64_t)e->len <= srd->msgs[e->msg].len,
		   "packet outside its message");
	FUZZ_CHECK(e->ev < srd->cfg.paths, "packet on path %u", e->ev);
	sum->per_msg[e->msg]++;
	sum->msg_bytes[e->msg] += e->len;
	if (e->state == WEFT_ENTRY_FLYING) {
		sum->fly++;
		sum->inflight_bytes += e->len + WEFT_SRD_DATA_HEAD;
		sum->per_path[e->ev]++;
	} else {
		sum->lost++;
		sum->lost_bytes += e->len;
	}
}

static uint32_t walk_slots(struct weft_srd *srd, struct weft_active *act,
			   const struct weft_slots *list, uint8_t state)
{
	uint16_t slot = list->head, prev = WEFT_SLOT_NIL;
	weft_ns tx_ns = 0;
	uint32_t n = 0;

	while (slot != WEFT_SLOT_NIL) {
		const struct weft_entry *e =
			slot < WEFT_SRD_WINDOW ? weft_txw_slot(srd, act, slot) : NULL;

		FUZZ_CHECK(e && n++ < WEFT_SRD_WINDOW, "list leads to slot %u, which is not there",
			   slot);
		FUZZ_CHECK(e->state == state && e->prev == prev, "slot %u on the wrong list", slot);
		FUZZ_CHECK(weft_txw_psn(act, slot) < act->tx.next, "slot %u beyond the window",
			   slot);
		FUZZ_CHECK(state != WEFT_ENTRY_FLYING || e->tx_ns >= tx_ns,
			   "flying list out of order");
		tx_ns = e->tx_ns;
		prev = slot;
		slot = e->next;
	}
	FUZZ_CHECK(list->tail == prev, "list ends at slot %u, its tail says %u", prev, list->tail);
	return n;
}

static void check_resolved_bits(const struct weft_active *act)
{
	uint32_t inside = 0, all = 0;

	for (uint64_t psn = act->tx.una; psn < act->tx.next; psn++)
		inside += weft_bit(act->tx.acked, psn);
	for (uint32_t i = 0; i < WEFT_WORDS; i++)
		all += (uint32_t)__builtin_popcountll(act->tx.acked[i]);
	FUZZ_CHECK(inside == all, "%u resolved bits, %u of them inside the window", all, inside);
	FUZZ_CHECK(act->tx.una == act->tx.next || !weft_bit(act->tx.acked, act->tx.una),
		   "the oldest open psn is resolved");
}

static void check_window(struct weft_srd *srd, struct weft_active *act, struct recount *sum)
{
	FUZZ_CHECK(act->tx.una <= act->tx.next && act->tx.next - act->tx.una <= WEFT_SPAN,
		   "window of %lld packets", (long long)(act->tx.next - act->tx.una));
	check_resolved_bits(act);
	for (uint64_t psn = act->tx.una; psn < act->tx.next; psn++)
		recount_entry(srd, act, psn, sum);
	FUZZ_CHECK(walk_slots(srd, act, &act->tx.fly, WEFT_ENTRY_FLYING) == sum->fly,
		   "flying list incomplete");
	FUZZ_CHECK(walk_slots(srd, act, &act->tx.lost, WEFT_ENTRY_LOST) == sum->lost,
		   "lost list incomplete");
	FUZZ_CHECK(act->tx.fly_pkts == sum->fly && act->tx.inflight_bytes == sum->inflight_bytes,
		   "in flight %u packets, %u bytes; counted %u, %u", sum->fly, sum->inflight_bytes,
		   act->tx.fly_pkts, act->tx.inflight_bytes);
	FUZZ_CHECK(act->tx.lost_pkts == sum->lost && act->tx.lost_bytes == sum->lost_bytes,
		   "lost %u packets, %u bytes; counted %u, %u", sum->lost, sum->lost_bytes,
		   act->tx.lost_pkts, act->tx.lost_bytes);
}

static void check_paths(struct weft_srd *srd, const struct weft_active *act,
			const struct recount *sum)
{
	uint32_t out = 0;

	for (uint16_t ev = 0; ev < srd->cfg.paths; ev++) {
		const struct weft_path *path = weft_path_at(srd, act, ev);

		FUZZ_CHECK(path->inflight == sum->per_path[ev],
			   "path %u holds %u packets, counted %u", ev, sum->per_path[ev],
			   path->inflight);
		FUZZ_CHECK(path->penalty <= 15, "path %u has %u penalty points", ev, path->penalty);
		out += !!(path->flags & WEFT_PATH_OUT);
	}
	FUZZ_CHECK(out == act->lb.out, "%u paths out, counted %u", out, act->lb.out);
	FUZZ_CHECK(act->lb.recycled_len <= WEFT_RECYCLE, "%u recycled paths", act->lb.recycled_len);
}

/* Messages */

static uint32_t walk_queue(const struct weft_srd *srd, const struct weft_msgq *q, uint32_t ctx)
{
	uint32_t i = q->head, prev = WEFT_NIL, n = 0;

	while (i != WEFT_NIL) {
		FUZZ_CHECK(i < srd->cfg.msgs_max + srd->cfg.reads_max &&
				   n++ < srd->msgs_used + srd->reads_used,
			   "queue leads to message %u", i);
		FUZZ_CHECK(srd->msgs[i].ctx == ctx && srd->msgs[i].prev == prev,
			   "message %u on a wrong queue", i);
		prev = i;
		i = srd->msgs[i].next;
	}
	FUZZ_CHECK(q->tail == prev, "queue ends at message %u, its tail says %u", prev, q->tail);
	return n;
}

static void check_queues(const struct weft_srd *srd, const struct weft_active *act)
{
	uint32_t in_sendq = 0, in_rnr = 0;
	bool followers = false;

	for (uint32_t i = act->tx.all_head; i != WEFT_NIL; i = srd->msgs[i].all_next) {
		in_sendq += srd->msgs[i].where == WEFT_MSG_SENDQ;
		in_rnr += srd->msgs[i].where == WEFT_MSG_LEADER ||
			  srd->msgs[i].where == WEFT_MSG_FOLLOWS;
	}
	FUZZ_CHECK(walk_queue(srd, &act->tx.sendq, act->ctx) == in_sendq,
		   "a message to send is not queued");
	FUZZ_CHECK(walk_queue(srd, &act->tx.rnr, act->ctx) == in_rnr,
		   "a message that waits is not queued");
	for (uint32_t i = act->tx.rnr.head; i != WEFT_NIL; i = srd->msgs[i].next) {
		const struct weft_msg *msg = &srd->msgs[i];
		bool led = msg->where == WEFT_MSG_LEADER;

		FUZZ_CHECK(!led || !followers, "a leader behind a follower");
		followers |= !led;
		for (uint32_t k = act->tx.rnr.head; !led && k != WEFT_NIL; k = srd->msgs[k].next)
			led = srd->msgs[k].where == WEFT_MSG_LEADER &&
			      srd->msgs[k].src_qpn == msg->src_qpn &&
			      srd->msgs[k].dst_qpn == msg->dst_qpn;
		FUZZ_CHECK(led, "message %u follows nobody", i);
	}
}

static uint64_t unsent_of(const struct weft_srd *srd, const struct weft_msg *msg)
{
	uint64_t bytes = 0;

	if (msg->kind != WEFT_WIRE_READ && !msg->completed)
		bytes = msg->len - msg->next_off;
	for (uint32_t i = msg->pieces; i != WEFT_NIL; i = srd->pieces[i].next)
		bytes += srd->pieces[i].len;
	return bytes;
}

static void check_msg(const struct weft_srd *srd, const struct weft_msg *msg, uint32_t i,
		      const struct recount *sum)
{
	bool open = !msg->completed && !msg->end_code;

	FUZZ_CHECK(msg->inflight == sum->per_msg[i], "message %u has %u packets out, counted %u", i,
		   sum->per_msg[i], msg->inflight);
	FUZZ_CHECK(!msg->completed || msg->inflight || msg->cancel,
		   "message %u is done and still there", i);
	/* Each byte of it is acknowledged, in flight or to be sent, and only one of these. */
	if (open && msg->kind != WEFT_WIRE_READ)
		FUZZ_CHECK(msg->acked + sum->msg_bytes[i] + unsent_of(srd, msg) == msg->len,
			   "message %u of %u: %u acknowledged, %llu in flight, %llu to be sent", i,
			   msg->len, msg->acked, (unsigned long long)sum->msg_bytes[i],
			   (unsigned long long)unsent_of(srd, msg));
	/* Nothing may be forgotten: what has something to send is on a queue. */
	if (open && !(msg->rest && msg->inflight) &&
	    (unsent_of(srd, msg) || msg->pieces != WEFT_NIL || !msg->started))
		FUZZ_CHECK(msg->where != WEFT_MSG_WAITS,
			   "message %u has something to send and no queue", i);
	if (msg->where == WEFT_MSG_LEADER && !msg->inflight)
		FUZZ_CHECK(msg->rnr_at != WEFT_NS_NEVER, "leader %u never tries again", i);
}

static void check_msgs(const struct weft_srd *srd, const struct weft_active *act,
		       const struct recount *sum)
{
	uint32_t n = 0, reads = 0, prev = WEFT_NIL;
	uint64_t unsent = 0;

	for (uint32_t i = act->tx.all_head; i != WEFT_NIL;
	     prev = i, i = srd->msgs[i].all_next, n++) {
		const struct weft_msg *msg = &srd->msgs[i];

		FUZZ_CHECK(i < srd->cfg.msgs_max + srd->cfg.reads_max &&
				   n <= srd->msgs_used + srd->reads_used,
			   "list of messages leads to %u", i);
		FUZZ_CHECK(msg->where != WEFT_MSG_FREE && msg->ctx == act->ctx &&
				   msg->all_prev == prev,
			   "message %u on the list of another context", i);
		check_msg(srd, msg, i, sum);
		reads += msg->kind == WEFT_WIRE_READ && !msg->completed;
		unsent += unsent_of(srd, msg);
	}
	FUZZ_CHECK(reads == act->tx.reads_waiting, "%u reads, counted %u", reads,
		   act->tx.reads_waiting);
	FUZZ_CHECK(unsent == act->tx.unsent, "%llu bytes to be sent, counted %llu",
		   (unsigned long long)unsent, (unsigned long long)act->tx.unsent);
}

/* The receiving side of one context */

static void check_receiver(const struct weft_ctx *ctx, const struct weft_active *act)
{
	uint32_t inside = 0, all = 0;

	FUZZ_CHECK(ctx->state != WEFT_CTX_OPEN || act->rx.top >= ctx->rx_cum,
		   "received less than everything");
	for (uint64_t psn = ctx->rx_cum; psn < act->rx.top; psn++)
		inside += weft_bit(act->rx.bits, psn);
	for (uint32_t i = 0; i < WEFT_WORDS; i++)
		all += (uint32_t)__builtin_popcountll(act->rx.bits[i]);
	FUZZ_CHECK(inside == all, "%u received bits, %u of them inside the window", all, inside);
	FUZZ_CHECK(!weft_bit(act->rx.bits, ctx->rx_cum), "the first missing psn is there");
	FUZZ_CHECK(act->rx.echoes <= WEFT_PROTO_ECHOES, "%u echoes", act->rx.echoes);
}

/* Deadlines and rings */

static void check_heap(const struct weft_srd *srd)
{
	uint32_t armed = 0;

	for (uint32_t i = 0; i < srd->heap_len; i++) {
		const struct weft_alarm *alarm = &srd->heap[i];

		FUZZ_CHECK(srd->ctxs[alarm->ctx].heap_pos == i, "heap position %u", i);
		FUZZ_CHECK(!i || srd->heap[(i - 1) / 2].at <= alarm->at, "heap order");
	}
	for (uint32_t i = 0; i < srd->ctx_len; i++)
		armed += srd->ctxs[i].heap_pos != WEFT_NIL;
	FUZZ_CHECK(armed == srd->heap_len, "%u contexts armed, %u in the heap", armed,
		   srd->heap_len);
}

static void check_deadline(const struct weft_srd *srd, const struct weft_ctx *ctx,
			   const struct weft_active *act)
{
	weft_ns at = WEFT_MIN(act->at.ack, WEFT_MIN(act->at.loss, act->at.tail));
	weft_ns armed = weft_ctx_deadline(srd, ctx);

	/* What waits for a receiver and is due already waits to be drained, not to be woken. */
	if (act->at.rnr > srd->now)
		at = WEFT_MIN(at, act->at.rnr);
	if (ctx->state == WEFT_CTX_OPEN)
		FUZZ_CHECK(armed <= at, "armed %lld ns late%s%s%s%s", (long long)(armed - at),
			   at == act->at.ack ? ", ack" : "", at == act->at.loss ? ", loss" : "",
			   at == act->at.tail ? ", tail" : "", at == act->at.rnr ? ", rnr" : "");
}

static void check_rings(struct weft_srd *srd)
{
	uint32_t ready = 0, n = 0;

	for (uint32_t i = srd->ready_head; i != WEFT_NIL; i = srd->ctxs[i].ready_next, n++)
		FUZZ_CHECK(n < srd->ctx_len && srd->ctxs[i].flags & WEFT_CTX_F_READY,
			   "ready ring leads to %u", i);
	for (uint32_t i = 0; i < srd->ctx_len; i++) {
		ready += !!(srd->ctxs[i].flags & WEFT_CTX_F_READY);
		FUZZ_CHECK(weft_ctx_find(srd, &srd->ctxs[i].gid) == i,
			   "context %u not found by its address", i);
	}
	FUZZ_CHECK(ready == n, "%u contexts ready, %u on the ring", ready, n);
	for (uint32_t i = 0; i < srd->credit.len; i++)
		FUZZ_CHECK(srd->credit.list[i] < srd->ctx_len &&
				   srd->ctxs[srd->credit.list[i]].flags & WEFT_CTX_F_DEMAND,
			   "credit list leads to a context without demand");
}

static void check_active(struct weft_srd *srd, struct weft_active *act)
{
	uint32_t msgs = srd->cfg.msgs_max + srd->cfg.reads_max;
	const struct weft_ctx *ctx = &srd->ctxs[ctx_no(srd, act)];
	struct recount sum = { 0 };

	sum.per_msg = calloc(msgs, sizeof(*sum.per_msg));
	sum.msg_bytes = calloc(msgs, sizeof(*sum.msg_bytes));
	check_window(srd, act, &sum);
	check_paths(srd, act, &sum);
	check_queues(srd, act);
	check_msgs(srd, act, &sum);
	check_receiver(ctx, act);
	check_deadline(srd, ctx, act);
	free(sum.per_msg);
	free(sum.msg_bytes);
}

void fuzz_check_engine(struct weft_srd *srd)
{
	check_msg_pools(srd);
	check_actives(srd);
	check_chunks(srd);
	check_pieces(srd);
	check_rxms(srd);
	check_heap(srd);
	check_rings(srd);
	for (uint32_t i = 0; i < srd->ctx_len; i++) {
		const struct weft_ctx *ctx = &srd->ctxs[i];

		FUZZ_CHECK((ctx->state == WEFT_CTX_CLOSED) == !ctx->epoch,
			   "context %u in state %u has epoch %x", i, ctx->state, ctx->epoch);
		if (ctx->active != WEFT_NIL)
			check_active(srd, &srd->actives[ctx->active]);
	}
}
