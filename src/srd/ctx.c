/* SPDX-License-Identifier: BSD-2-Clause */
/* Contexts: finding them by address, giving them an active block when traffic begins and taking it back
 * when it has ended, and the one deadline each of them has in the engine's heap.
 *
 * Deadlines are lazy: most of them move later with every packet, and the heap is told only when one
 * moves earlier. When the time of an entry comes, the true deadline is computed again and the entry
 * sinks to its place. So the usual packet does not touch the heap at all. */
#include "srd/engine.h"

#include "base/gid.h"

#include <string.h>

uint32_t weft_ctx_find(struct weft_srd *srd, const struct weft_gid *gid)
{
	uint32_t i = srd->ctx_hash[weft_gid_hash(gid) & srd->ctx_hash_mask];

	while (i != WEFT_NIL && memcmp(&srd->ctxs[i].gid, gid, sizeof(*gid)))
		i = srd->ctxs[i].hash_next;
	return i;
}

static void unhash(struct weft_srd *srd, struct weft_ctx *ctx)
{
	uint32_t *link = &srd->ctx_hash[weft_gid_hash(&ctx->gid) & srd->ctx_hash_mask];

	while (*link != weft_ctx_index(srd, ctx))
		link = &srd->ctxs[*link].hash_next;
	*link = ctx->hash_next;
}

/* A stub that nobody holds and that has no open context may make room for a new peer. If there is none,
 * the open one that has rested longest goes, but not before dead_after: a peer that still exists will
 * see its next message aborted, but without this, the stubs of peers that vanished would fill the table
 * for ever. (While a context is open, hs_at is the time of its last rest.) */
static uint32_t evict(struct weft_srd *srd)
{
	uint32_t now = weft_coarse_ts(srd->now), best = WEFT_NIL, best_age = 0;

	for (uint32_t n = 0; n < srd->ctx_len; n++) {
		uint32_t i = srd->ctx_hand++ % srd->ctx_len;
		const struct weft_ctx *ctx = &srd->ctxs[i];

		if (ctx->refs || ctx->active != WEFT_NIL || ctx->flags & WEFT_CTX_F_READY)
			continue;
		if (ctx->state == WEFT_CTX_CLOSED) {
			best = i;
			break;
		}
		if (ctx->state == WEFT_CTX_OPEN && now - ctx->hs_at > best_age &&
		    now - ctx->hs_at >= srd->cfg.dead_after >> 10) {
			best = i;
			best_age = now - ctx->hs_at;
		}
	}
	if (best == WEFT_NIL)
		return WEFT_NIL;
	weft_heap_remove(srd, &srd->ctxs[best]);
	unhash(srd, &srd->ctxs[best]);
	return best;
}

uint32_t weft_ctx_create(struct weft_srd *srd, const struct weft_gid *gid)
{
	uint32_t i, *bucket;

	if (srd->ctx_len < srd->cfg.contexts_max)
		i = srd->ctx_len++;
	else
		i = evict(srd);
	if (i == WEFT_NIL)
		return WEFT_NIL;
	bucket = &srd->ctx_hash[weft_gid_hash(gid) & srd->ctx_hash_mask];
	srd->ctxs[i] = (struct weft_ctx){
		.gid = *gid,
		.heap_pos = WEFT_NIL,
		.active = WEFT_NIL,
		.hash_next = *bucket,
		.ready_next = WEFT_NIL,
		.payload = (uint16_t)srd->cfg.payload_max,
		.agreed = (uint16_t)srd->cfg.payload_max,
		.state = WEFT_CTX_CLOSED,
	};
	*bucket = i;
	return i;
}

/* Active blocks */

static void deactivate(struct weft_srd *srd, struct weft_ctx *ctx)
{
	struct weft_active *act = &srd->actives[ctx->active];

	weft_txw_drop_all(srd, act);
	ctx->tx_next = act->tx.next;
	ctx->srtt_ns = (uint32_t)WEFT_MIN(act->cc.srtt, UINT32_MAX);
	ctx->payload = weft_ctx_payload(ctx); /* The way may be wide again. */
	if (ctx->state == WEFT_CTX_OPEN)
		ctx->hs_at = weft_coarse_ts(srd->now);
	ctx->credit_used =
		(uint16_t)((act->cc.credit_used + WEFT_PROTO_QUANTUM - 1) / WEFT_PROTO_QUANTUM);
	act->ctx = WEFT_NIL;
	act->next_free = srd->active_free;
	srd->active_free = ctx->active;
	ctx->active = WEFT_NIL;
	srd->actives_used--;
}

/* Something is expected of the peer, but nothing of ours is in flight whose acknowledgement would show
 * that it lives: so it is asked from time to time. */
static bool waits_for_peer(const struct weft_srd *srd, const struct weft_ctx *ctx,
			   const struct weft_active *act)
{
	return act->tx.reads_waiting || act->rx.msgs || weft_ack_has_refusals(act) ||
	       act->rx.top > ctx->rx_cum || weft_txw_has_work(srd, act);
}

static bool is_idle(const struct weft_srd *srd, const struct weft_ctx *ctx,
		    const struct weft_active *act)
{
	return act->tx.all_head == WEFT_NIL && !act->tx.fly_pkts && !act->tx.lost_pkts &&
	       !act->rx.ack_pkts && !act->rx.ack_now && !waits_for_peer(srd, ctx, act);
}

/* Take the block of a context that merely rests. The hand moves on, as in evict(). */
static void reclaim(struct weft_srd *srd)
{
	for (uint32_t n = 0; n < srd->cfg.active_max; n++) {
		const struct weft_active *act =
			&srd->actives[srd->active_hand++ % srd->cfg.active_max];
		struct weft_ctx *ctx;

		if (act->ctx == WEFT_NIL)
			continue;
		ctx = &srd->ctxs[act->ctx];
		if (ctx->state == WEFT_CTX_OPEN && is_idle(srd, ctx, act)) {
			deactivate(srd, ctx);
			return;
		}
	}
}

bool weft_ctx_may_activate(struct weft_srd *srd, const struct weft_ctx *ctx)
{
	uint32_t all = srd->cfg.active_max, most = all > 1 ? all - WEFT_MAX(all / 4, 1) : 1;

	if (ctx->active == WEFT_NIL && srd->actives_used >= most)
		reclaim(srd);
	return ctx->active != WEFT_NIL || srd->actives_used < most;
}

struct weft_active *weft_ctx_activate(struct weft_srd *srd, struct weft_ctx *ctx)
{
	struct weft_active *act;

	if (ctx->active != WEFT_NIL)
		return &srd->actives[ctx->active];
	if (srd->active_free == WEFT_NIL)
		reclaim(srd);
	if (srd->active_free == WEFT_NIL)
		return NULL;
	ctx->active = srd->active_free;
	act = &srd->actives[ctx->active];
	srd->active_free = act->next_free;
	srd->actives_used++;
	srd->crowded |= srd->actives_used > WEFT_CROWD;
	*act = (struct weft_active){
		.ctx = weft_ctx_index(srd, ctx),
		.next_free = WEFT_NIL,
		.tx = { .next = ctx->tx_next,
			.una = ctx->tx_next,
			.fly = { WEFT_SLOT_NIL, WEFT_SLOT_NIL },
			.lost = { WEFT_SLOT_NIL, WEFT_SLOT_NIL },
			.sendq = { WEFT_NIL, WEFT_NIL },
			.rnr = { WEFT_NIL, WEFT_NIL },
			.all_head = WEFT_NIL,
			.single = ctx->agreed,
			.ack_seq_bits =
				UINT64_MAX }, /* What was used before the rest stays used. */
		.rx = { .top = ctx->rx_cum,
			.peer_una = ctx->rx_cum,
			.refused_top = ctx->rx_cum,
			.newest_at = srd->now - WEFT_MIN(srd->now, WEFT_TS_MEMORY) },
		.at = { WEFT_NS_NEVER, WEFT_NS_NEVER, WEFT_NS_NEVER, WEFT_NS_NEVER, WEFT_NS_NEVER,
			WEFT_NS_NEVER },
		.last_heard = srd->now,
		.last_progress = srd->now,
		.last_tx = srd->now,
		.last_probe = srd->now,
		.reo_mult = 1,
	};
	for (unsigned int i = 0; i < WEFT_CHUNKS; i++)
		act->tx.chunk[i] = WEFT_SLOT_NIL;
	weft_cc_reset(srd, act, ctx->srtt_ns);
	act->cc.credit_used = ctx->credit_used * WEFT_PROTO_QUANTUM;
	weft_path_reset(srd, act);
	return act;
}

/* How long to wait before asking. A sender that starves for credit asks after a timeout; one that
 * merely waits for a peer to go on working asks seldom. */
static weft_ns quiet_interval(const struct weft_srd *srd, const struct weft_active *act)
{
	weft_ns rto = weft_loss_rto(srd, act);
	weft_ns base = weft_txw_has_work(srd, act) ? rto : WEFT_MAX(rto, srd->cfg.rto_max / 4);

	return WEFT_MIN(base << WEFT_MIN(act->quiet_probes, 16), WEFT_MAX(srd->cfg.rto_max, rto));
}

static weft_ns misc_deadline(const struct weft_srd *srd, const struct weft_ctx *ctx,
			     const struct weft_active *act)
{
	if (ctx->state != WEFT_CTX_OPEN)
		return act->tx.all_head == WEFT_NIL ? srd->now : WEFT_NS_NEVER;
	if (act->tx.fly_pkts)
		return WEFT_NS_NEVER;
	if (waits_for_peer(srd, ctx, act))
		return WEFT_MAX(act->last_heard, act->last_probe) + quiet_interval(srd, act);
	if (is_idle(srd, ctx, act))
		return WEFT_MAX(act->last_heard, act->last_tx) + srd->cfg.idle_after;
	return WEFT_NS_NEVER;
}

static weft_ns hs_deadline(const struct weft_srd *srd, const struct weft_ctx *ctx)
{
	int32_t left = (int32_t)(ctx->hs_at - weft_coarse_ts(srd->now));

	if (ctx->state != WEFT_CTX_HELLO && ctx->state != WEFT_CTX_FIN)
		return WEFT_NS_NEVER;
	return left <= 0 ? srd->now : srd->now + ((weft_ns)(uint32_t)left << 10);
}

/* What is due is the business of next_packet: the context is ready, and if its window is full, an
 * acknowledgement makes it ready again. Waking for it once more would only turn in circles. */
static weft_ns unless_due(const struct weft_srd *srd, weft_ns at)
{
	return at > srd->now ? at : WEFT_NS_NEVER;
}

/* The earliest of the deadlines that lies before `limit`; later ones need not be looked for. */
static weft_ns true_deadline(struct weft_srd *srd, const struct weft_ctx *ctx, weft_ns limit)
{
	const struct weft_active *act = weft_ctx_active(srd, ctx);
	weft_ns at, misc_least;

	if (!act)
		return hs_deadline(srd, ctx);
	if (ctx->state != WEFT_CTX_OPEN) {
		at = hs_deadline(srd, ctx);
		return WEFT_MIN(at, misc_deadline(srd, ctx, act));
	}
	/* What misc_deadline() never comes before. It takes some time, and this is asked for each packet. */
	misc_least = act->last_heard + WEFT_MIN(srd->cfg.rto_min, srd->cfg.idle_after);
	at = limit <= misc_least ? WEFT_NS_NEVER : misc_deadline(srd, ctx, act);
	at = WEFT_MIN(at, act->at.ack);
	at = WEFT_MIN(at, act->at.loss);
	at = WEFT_MIN(at, act->at.tail);
	at = WEFT_MIN(at, act->at.retry);
	at = WEFT_MIN(at, unless_due(srd, act->at.rnr));
	return WEFT_MIN(at, unless_due(srd, act->at.probe));
}

/* The heap */

static void heap_place(struct weft_srd *srd, uint32_t pos, struct weft_alarm alarm)
{
	srd->heap[pos] = alarm;
	srd->ctxs[alarm.ctx].heap_pos = pos;
}

static void heap_up(struct weft_srd *srd, uint32_t pos)
{
	struct weft_alarm alarm = srd->heap[pos];

	while (pos && alarm.at < srd->heap[(pos - 1) / 2].at) {
		heap_place(srd, pos, srd->heap[(pos - 1) / 2]);
		pos = (pos - 1) / 2;
	}
	heap_place(srd, pos, alarm);
}

static void heap_down(struct weft_srd *srd, uint32_t pos)
{
	struct weft_alarm alarm = srd->heap[pos];

	for (;;) {
		uint32_t child = 2 * pos + 1;

		if (child >= srd->heap_len)
			break;
		if (child + 1 < srd->heap_len && srd->heap[child + 1].at < srd->heap[child].at)
			child++;
		if (srd->heap[child].at >= alarm.at)
			break;
		heap_place(srd, pos, srd->heap[child]);
		pos = child;
	}
	heap_place(srd, pos, alarm);
}

void weft_heap_remove(struct weft_srd *srd, struct weft_ctx *ctx)
{
	uint32_t pos = ctx->heap_pos;
	struct weft_alarm last;

	if (pos == WEFT_NIL)
		return;
	ctx->heap_pos = WEFT_NIL;
	last = srd->heap[--srd->heap_len];
	if (pos == srd->heap_len)
		return;
	heap_place(srd, pos, last);
	heap_up(srd, pos);
	heap_down(srd, srd->ctxs[last.ctx].heap_pos);
}

void weft_ctx_arm(struct weft_srd *srd, struct weft_ctx *ctx)
{
	weft_ns armed = weft_ctx_deadline(srd, ctx), at = true_deadline(srd, ctx, armed);

	if (at >= armed)
		return;
	if (ctx->heap_pos == WEFT_NIL)
		ctx->heap_pos = srd->heap_len++;
	srd->heap[ctx->heap_pos] = (struct weft_alarm){ at, weft_ctx_index(srd, ctx) };
	heap_up(srd, ctx->heap_pos);
}

void weft_ctx_ready(struct weft_srd *srd, struct weft_ctx *ctx)
{
	uint32_t i = weft_ctx_index(srd, ctx);

	if (ctx->flags & WEFT_CTX_F_READY)
		return;
	ctx->flags |= WEFT_CTX_F_READY;
	ctx->ready_next = WEFT_NIL;
	if (srd->ready_head == WEFT_NIL)
		srd->ready_head = i;
	else
		srd->ctxs[srd->ready_tail].ready_next = i;
	srd->ready_tail = i;
}

static void on_misc(struct weft_srd *srd, struct weft_ctx *ctx, struct weft_active *act)
{
	if (ctx->state != WEFT_CTX_OPEN || is_idle(srd, ctx, act)) {
		deactivate(srd, ctx);
		return;
	}
	if (act->quiet_probes >= 8 && srd->now - act->last_heard >= srd->cfg.dead_after) {
		weft_ctx_fail(srd, ctx, weft_ctx_death(ctx), false);
		return;
	}
	if (act->quiet_probes < UINT8_MAX)
		act->quiet_probes++;
	act->last_probe = srd->now;
	act->probe_now = true;
	weft_ctx_ready(srd, ctx);
}

/* We were called late: for that long it was not the peer that was silent, but we that did not listen. */
static void forgive(struct weft_srd *srd, struct weft_active *act, weft_ns late)
{
	act->last_progress = WEFT_MIN(act->last_progress + late, srd->now);
	act->last_heard = WEFT_MIN(act->last_heard + late, srd->now);
}

/* The time in the heap has come. Each true deadline that lies behind us is served; a handler may close
 * the context, so the next one looks again. */
void weft_ctx_on_deadline(struct weft_srd *srd, struct weft_ctx *ctx)
{
	struct weft_active *act = weft_ctx_active(srd, ctx);

	if (act)
		forgive(srd, act, srd->now - weft_ctx_deadline(srd, ctx));
	weft_heap_remove(srd, ctx);
	if (hs_deadline(srd, ctx) <= srd->now)
		weft_hs_on_deadline(srd, ctx);
	act = weft_ctx_active(srd, ctx);
	if (act && ctx->state == WEFT_CTX_OPEN) {
		if (act->at.ack <= srd->now)
			weft_ack_on_deadline(act);
		if (act->at.retry <= srd->now) {
			act->at.retry = WEFT_NS_NEVER;
			weft_ctx_ready(srd, ctx);
		}
		if (act->rx.ack_now || act->at.rnr <= srd->now || act->at.probe <= srd->now)
			weft_ctx_ready(srd, ctx);
		if (act->at.loss <= srd->now)
			weft_loss_scan(srd, act);
		if (act->at.tail <= srd->now)
			weft_loss_on_tail(srd, ctx, act);
	}
	act = weft_ctx_active(srd, ctx);
	if (act && misc_deadline(srd, ctx, act) <= srd->now)
		on_misc(srd, ctx, act);
	weft_ctx_arm(srd, ctx);
}

enum weft_srd_status weft_ctx_death(const struct weft_ctx *ctx)
{
	return ctx->flags & WEFT_CTX_F_ANSWERED ? WEFT_SRD_UNRESPONSIVE : WEFT_SRD_UNREACHABLE;
}

void weft_ctx_fail(struct weft_srd *srd, struct weft_ctx *ctx, enum weft_srd_status status,
		   bool spare_unsent)
{
	struct weft_active *act = weft_ctx_active(srd, ctx);

	if (status == WEFT_SRD_UNRESPONSIVE || status == WEFT_SRD_UNREACHABLE)
		srd->stats.unresponsive_remote_events++;
	else if (status == WEFT_SRD_ABORT)
		srd->stats.contexts_reset++;
	weft_credit_forget(srd, ctx);
	ctx->state = WEFT_CTX_CLOSED;
	ctx->epoch = ctx->peer_epoch = ctx->peer_ctx = 0;
	ctx->flags &= (uint8_t) ~(WEFT_CTX_F_HELLO | WEFT_CTX_F_FIN);
	ctx->granted = ctx->peer_pull = ctx->credit_got = ctx->credit_used = 0;
	ctx->ack_seq = ctx->ack_seq_seen = 0;
	ctx->payload = ctx->agreed = (uint16_t)srd->cfg.payload_max;
	ctx->trains &= (uint8_t)~WEFT_TRAINS_ON;
	if (!act)
		return;
	act->cc.credit_used = 0;
	weft_rx_release_ctx(srd, act->ctx);
	for (uint32_t i = act->tx.all_head; i != WEFT_NIL;) {
		struct weft_msg *msg = &srd->msgs[i];

		i = msg->all_next;
		if (spare_unsent && !msg->started && msg->kind != WEFT_WIRE_RESP)
			continue;
		msg->cancel = false;
		weft_msg_fail(srd, msg, status);
		msg->cancel = false;
		msg->inflight = 0;
		weft_msg_destroy(srd, msg);
	}
	if (act->tx.all_head == WEFT_NIL) {
		deactivate(srd, ctx);
		return;
	}
	weft_txw_drop_all(srd, act);
	memset(&act->rx, 0, sizeof(act->rx));
	act->at.ack = act->at.loss = act->at.tail = act->at.probe = act->at.rnr = act->at.retry =
		WEFT_NS_NEVER;
	act->tx.owe_una = act->tx.rack_valid = act->tx.dups_valid = false;
	act->tx.ack_seq_bits = 0;
	act->rto_count = act->tlp_done = act->quiet_probes = 0;
	act->probe_now = false;
	act->last_progress = srd->now;
	weft_cc_reset(srd, act, (uint32_t)WEFT_MIN(act->cc.srtt, UINT32_MAX));
	weft_path_reset(srd, act);
}
