/* SPDX-License-Identifier: BSD-2-Clause */
/* Loss detection (docs/protocol.md section 7).
 *
 * A path is first-in first-out, so a packet is lost if one sent later on the same path is known to
 * have arrived and the path has had its usual time. Thin paths see few packets, so there is a second
 * rule across paths: something sent later has arrived, and the packet is older than any path should
 * take (smoothed round trip plus four times its deviation, and some; doubled for a while when
 * receivers report that we were wrong). Both rules need evidence. Silence is handled by time: after
 * two round trips without news the oldest packet is sent again (tail probe), after the retransmission
 * timeout everything that old is. While news keep coming there is no timeout: one packet that is late
 * says nothing about the peer.
 *
 * While a receiver hands out credits (incast) queues are long and uneven and there is other work to
 * do with each credit, so the second rule waits for twice the time there. */
#include "srd/engine.h"

/* How late an ACK may be on purpose: our peers are set up like us. */
static weft_ns ack_patience(const struct weft_srd *srd)
{
	return WEFT_MAX(srd->cfg.ack_delay, srd->cfg.ack_hold);
}

weft_ns weft_loss_rto(const struct weft_srd *srd, const struct weft_active *act)
{
	weft_ns rto = act->cc.srtt + 4 * act->cc.rttvar + ack_patience(srd);

	/* Queues may be filling faster than averages follow; but one stray sample must not paralyse us. */
	rto = WEFT_MAX(rto, WEFT_MIN(act->cc.peak_rtt * 3 / 2, 4 * rto));
	return WEFT_MIN(WEFT_MAX(rto, srd->cfg.rto_min), srd->cfg.rto_max);
}

static weft_ns rto_now(const struct weft_srd *srd, const struct weft_active *act)
{
	return WEFT_MIN(weft_loss_rto(srd, act) << WEFT_MIN(act->rto_count, 16), srd->cfg.rto_max);
}

/* How old a packet must be for the rule across paths: 5/4 of what a slow path should take, but
 * clearly less than a timeout, which would cost more than the packet. */
static weft_ns patience(const struct weft_srd *srd, const struct weft_active *act)
{
	weft_ns spread = WEFT_MAX(4 * act->cc.rttvar, act->cc.base_rtt / 4);
	weft_ns wait = (act->cc.srtt + spread) * act->reo_mult * 5 / 4;

	wait = WEFT_MAX(wait, WEFT_MIN(act->cc.peak_rtt * 5 / 4, 4 * wait));
	if (act->cc.credit_mode)
		wait *= 2;
	return WEFT_MIN(wait, weft_loss_rto(srd, act) * 4 / 5);
}

/* When does this packet count as lost? NEVER: there is no evidence yet. One that was lost more than
 * three times waits twice as long each time: perhaps it is the packet, not the path (see "Shrinking"). */
static weft_ns lost_at(struct weft_srd *srd, struct weft_active *act, uint16_t slot)
{
	const struct weft_entry *e = weft_txw_slot(srd, act, slot);
	const struct weft_path *path = weft_path_at(srd, act, e->ev);
	uint32_t ts = weft_ts(e->tx_ns), again = e->tries > 3 ? WEFT_MIN(e->tries - 3u, 16u) : 0;
	weft_ns wait;

	if (weft_path_has_overtaken(srd, path, ts, weft_txw_psn(act, slot)))
		wait = (weft_ns)path->srtt_ns + path->srtt_ns / 4 + WEFT_US(2);
	else if (act->tx.rack_valid && weft_ts_is_younger(srd->now, act->tx.rack_ts, ts))
		wait = patience(srd, act);
	else
		return WEFT_NS_NEVER;
	return e->tx_ns + WEFT_MIN(wait << again, WEFT_MAX(wait, srd->cfg.rto_max));
}

static void lose(struct weft_srd *srd, struct weft_active *act, uint16_t slot)
{
	const struct weft_entry *e = weft_txw_slot(srd, act, slot);

	weft_cc_on_lost(srd, act, e->len + WEFT_SRD_DATA_HEAD);
	weft_path_take_out(srd, act, e->ev);
	weft_txw_mark_lost(srd, act, slot);
	if (act->reo_left && !--act->reo_left)
		act->reo_mult = 1;
}

/* The list is in order of transmission, so the scan may end at the first packet that is too young for
 * every rule. `at.loss` becomes the time at which the next one will be ripe. */
void weft_loss_scan(struct weft_srd *srd, struct weft_active *act)
{
	weft_ns young = act->cc.base_rtt;

	act->at.loss = WEFT_NS_NEVER;
	for (uint16_t slot = act->tx.fly.head; slot != WEFT_SLOT_NIL;) {
		struct weft_entry *e = weft_txw_slot(srd, act, slot);
		uint16_t next = e->next;
		weft_ns at;

		if (srd->now - e->tx_ns < young)
			break;
		at = lost_at(srd, act, slot);
		if (at <= srd->now)
			lose(srd, act, slot);
		else
			act->at.loss = WEFT_MIN(act->at.loss, at);
		slot = next;
	}
	if (act->tx.lost_pkts)
		weft_ctx_ready(srd, &srd->ctxs[act->ctx]);
}

static weft_ns timeout_at(const struct weft_srd *srd, const struct weft_active *act)
{
	return act->rto_from + rto_now(srd, act);
}

static weft_ns tail_probe_at(const struct weft_srd *srd, const struct weft_active *act)
{
	if (act->tlp_done || act->rto_count)
		return WEFT_NS_NEVER;
	return WEFT_MAX(act->last_tx, act->last_progress) + 2 * act->cc.srtt * act->reo_mult +
	       ack_patience(srd);
}

void weft_loss_arm(struct weft_srd *srd, struct weft_active *act)
{
	act->at.tail = WEFT_NS_NEVER;
	if (act->tx.fly_pkts)
		act->at.tail = WEFT_MIN(timeout_at(srd, act), tail_probe_at(srd, act));
}

/* Shrinking. Probes come back but data does not: the way may have become too narrow for our packets. Try
 * the payload of the next usual link; what is in flight and too big goes out again as VOID, and the
 * answer to that tells whether the original had arrived. If it had not, its bytes are sent anew in
 * smaller packets. */
static uint16_t next_smaller(uint16_t payload)
{
	/* What fits into 9000, 4096, 1500 and 1280 bytes behind IPv6 and UDP headers and our head. */
	static const uint16_t usual[] = { 8872, 3968, 1372, 1152 };

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(usual); i++)
		if (usual[i] < payload)
			return usual[i];
	return WEFT_SRD_PAYLOAD_MIN;
}

static void void_long(struct weft_srd *srd, struct weft_active *act, uint32_t payload)
{
	for (uint64_t psn = act->tx.una; psn < act->tx.next; psn++) {
		struct weft_entry *e = weft_txw_entry(srd, act, psn);

		if (e && e->state != WEFT_ENTRY_FREE && e->len > payload)
			e->voided = true;
	}
}

static void maybe_shrink(struct weft_srd *srd, struct weft_ctx *ctx, struct weft_active *act)
{
	/* Twice, because after an outage the first answer may come just before data is tried again. */
	if (act->heard_rtos < 2 || ctx->payload <= WEFT_SRD_PAYLOAD_MIN)
		return;
	ctx->payload = next_smaller(WEFT_MIN(ctx->payload, act->tx.single));
	srd->stats.payload_shrinks++;
	void_long(srd, act, ctx->payload);
}

/* The way takes no such datagrams, so what is in flight in them is lost, and no path is to blame. Where there are trains
 * the same packets go out again in shorter ones; but once the payload was lowered by trial, there are none. */
void weft_loss_too_long(struct weft_srd *srd, struct weft_ctx *ctx, struct weft_active *act,
			uint32_t single)
{
	bool trains = ctx->trains & WEFT_TRAINS_ON && ctx->payload >= act->tx.single;

	act->tx.single = (uint16_t)single;
	ctx->payload = trains ? weft_train_payload(single) : act->tx.single;
	void_long(srd, act, trains ? WEFT_SRD_TRAIN_MAX : ctx->payload);
	for (uint16_t slot = act->tx.fly.head; slot != WEFT_SLOT_NIL;) {
		const struct weft_entry *e = weft_txw_slot(srd, act, slot);
		uint16_t next = e->next;

		if (e->len > single)
			weft_txw_mark_lost(srd, act, slot);
		slot = next;
	}
	if (act->tx.lost_pkts)
		weft_ctx_ready(srd, ctx);
}

/* The first timeout in a row may be a queue that grew faster than we learnt of it. It sends only the
 * oldest two again: what comes back for them tells whether the others are lost. */
#define FIRST_TIMEOUT_PACKETS 2u

static void lose_old(struct weft_srd *srd, struct weft_active *act, weft_ns age)
{
	uint32_t most = act->rto_count > 1 ? UINT32_MAX : FIRST_TIMEOUT_PACKETS;

	for (uint16_t slot = act->tx.fly.head; slot != WEFT_SLOT_NIL && most; most--) {
		struct weft_entry *e = weft_txw_slot(srd, act, slot);
		uint16_t next = e->next;

		if (srd->now - e->tx_ns < age)
			break;
		weft_path_penalise(srd, act, e->ev, 15);
		lose(srd, act, slot);
		slot = next;
	}
}

/* No progress for long, and silence; or no progress for very long, though something answers. */
bool weft_loss_is_dead(const struct weft_srd *srd, const struct weft_active *act)
{
	weft_ns stuck = srd->now - act->last_progress, silent = srd->now - act->last_heard;

	return stuck >= srd->cfg.dead_after &&
	       (silent >= srd->cfg.dead_after || stuck / 4 >= srd->cfg.dead_after);
}

static void on_timeout(struct weft_srd *srd, struct weft_ctx *ctx, struct weft_active *act)
{
	weft_ns rto = weft_loss_rto(srd, act);

	srd->stats.retrans_timeout_events++;
	act->heard_rtos = act->probe_echoed ? (uint8_t)WEFT_MIN(act->heard_rtos + 1, 99) : 0;
	act->probe_echoed = false;
	act->rto_from = srd->now;
	if (act->rto_count < UINT8_MAX)
		act->rto_count++;
	if (act->rto_count >= 8 && weft_loss_is_dead(srd, act)) {
		weft_ctx_fail(srd, ctx, weft_ctx_death(ctx), false);
		return;
	}
	if (act->rto_count == 3)
		srd->stats.impaired_remote_events++;
	weft_path_freeze(srd, act);
	lose_old(srd, act, rto);
	weft_txw_oldest_first(srd, act);
	weft_cc_on_timeout(srd, act);
	maybe_shrink(srd, ctx, act);
	act->probe_now = true;
	weft_ctx_ready(srd, ctx);
}

/* Silence: no news for two round trips, or for a whole timeout. */
void weft_loss_on_tail(struct weft_srd *srd, struct weft_ctx *ctx, struct weft_active *act)
{
	if (!act->tx.fly_pkts) {
		act->at.tail = WEFT_NS_NEVER;
		return;
	}
	if (timeout_at(srd, act) <= srd->now) {
		on_timeout(srd, ctx, act);
		if (ctx->state != WEFT_CTX_OPEN)
			return;
	} else if (tail_probe_at(srd, act) <= srd->now) {
		act->tlp_done = 1;
		srd->stats.tail_probes++;
		/* If the path is sound, its probe will say so. */
		weft_path_take_out(srd, act, weft_txw_slot(srd, act, act->tx.fly.head)->ev);
		weft_txw_mark_lost(srd, act, act->tx.fly.head);
		weft_ctx_ready(srd, ctx);
	}
	weft_loss_arm(srd, act);
}

/* The receiver saw `count` packets twice: be more patient for the next sixteen losses. */
void weft_loss_on_spurious(struct weft_srd *srd, struct weft_active *act, uint32_t count)
{
	if (!count || count > INT16_MAX)
		return;
	srd->stats.retrans_spurious += count;
	if (act->reo_mult < 8)
		act->reo_mult *= 2;
	act->reo_left = 16;
}
