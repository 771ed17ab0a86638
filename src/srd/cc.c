/* SPDX-License-Identifier: BSD-2-Clause */
/* Congestion control (docs/protocol.md section 9): how many bytes may be in flight to one peer.
 *
 * The aim is the smallest window that keeps the bottleneck busy. Delay is the signal, measured without
 * the time that the receiver held its answer. A slow path alone is no congestion: path choice goes round
 * it. The window is cut only when most of the paths sampled in a round trip lie above the target, or when
 * what arrives falls clearly short of what is sent; then once per round trip, in proportion to the
 * excess, by half at most. Below the target it grows, faster the emptier the queues are. At full window
 * and low delay there is nothing to compute.
 *
 * The undisturbed round trip is the minimum over the last ten to twenty seconds, so that a route that
 * became longer for good is not taken for congestion for ever. */
#include "srd/engine.h"

#define BASE_WINDOW WEFT_S(10)

/* Bandwidth times delay, in percent of it. The window must cover the coalescing of ACKs and uneven
 * paths, hence 140 at most; what is sent on suspicion at the start is a little less, because in an
 * incast all of it meets in one queue. Both values are the best of a sweep over permutations and
 * incasts in a fat tree; neither is critical to five points. */
#define MAX_PERCENT  140u
#define INIT_PERCENT 130u

static uint32_t bdp_share(const struct weft_srd *srd, uint32_t percent)
{
	uint64_t bdp = srd->cfg.link_bps / 8 * srd->cfg.rtt_hint / 1000000000u * percent / 100;

	return (uint32_t)WEFT_MAX(WEFT_MIN(bdp, UINT32_MAX / 2), 131072u);
}

static uint32_t cwnd_max(const struct weft_srd *srd)
{
	return srd->cfg.cwnd_max ? srd->cfg.cwnd_max : bdp_share(srd, MAX_PERCENT);
}

static uint32_t cwnd_min(const struct weft_srd *srd, const struct weft_active *act)
{
	return WEFT_MAX(srd->cfg.payload_max, srd->ctxs[act->ctx].payload) + WEFT_SRD_DATA_HEAD;
}

static void zero_round(struct weft_srd *srd, struct weft_active *act)
{
	act->cc.round_peak = 0;
	act->cc.round_at = srd->now;
	act->cc.round_acked = act->cc.round_sent = act->cc.round_lost = 0;
	act->cc.round_seen = act->cc.round_above = 0;
}

void weft_cc_reset(struct weft_srd *srd, struct weft_active *act, uint32_t srtt_ns)
{
	uint32_t init = srd->cfg.cwnd_init ? srd->cfg.cwnd_init : bdp_share(srd, INIT_PERCENT);

	act->cc.srtt = srtt_ns ? srtt_ns : srd->cfg.rtt_hint;
	act->cc.rttvar = act->cc.srtt / 2;
	act->cc.peak_rtt = 0;
	act->cc.base_rtt = srd->cfg.rtt_hint;
	act->cc.base_next = WEFT_NS_NEVER;
	act->cc.base_at = srd->now;
	act->cc.base_known = false;
	act->cc.cwnd = WEFT_MAX(WEFT_MIN(init, cwnd_max(srd)), cwnd_min(srd, act));
	act->cc.avg_delay = 0;
	zero_round(srd, act);
	act->cc.credit_mode = false;
	act->cc.credit_used = 0;
}

/* Delay that is still fine. */
weft_ns weft_cc_target(const struct weft_srd *srd, const struct weft_active *act)
{
	return WEFT_MAX(act->cc.base_rtt, srd->cfg.delay_target);
}

/* Bytes that may be sent before the next grant; negative when the last packet overdrew it. */
int32_t weft_cc_credit(const struct weft_ctx *ctx, const struct weft_active *act)
{
	uint16_t used = (uint16_t)(act->cc.credit_used / WEFT_PROTO_QUANTUM);
	int16_t quanta = (int16_t)(ctx->credit_got - used);

	return quanta * (int32_t)WEFT_PROTO_QUANTUM -
	       (int32_t)(act->cc.credit_used % WEFT_PROTO_QUANTUM);
}

/* Credit that was not used while the mode was on is void when it changes: kept, it would hide as much
 * demand from the receiver, and leave in one burst at the next incast. */
void weft_cc_on_grant(struct weft_ctx *ctx, struct weft_active *act, uint16_t grant,
		      bool credit_mode)
{
	if (credit_mode != act->cc.credit_mode)
		act->cc.credit_used = grant * WEFT_PROTO_QUANTUM;
	act->cc.credit_mode = credit_mode;
	ctx->credit_got = grant;
}

bool weft_cc_may_send(const struct weft_srd *srd, const struct weft_ctx *ctx,
		      const struct weft_active *act, uint32_t bytes)
{
	(void)srd;
	if (act->cc.credit_mode && weft_cc_credit(ctx, act) <= 0)
		return false;
	/* One packet may always be under way, else nothing would ever come back. */
	return !act->tx.fly_pkts || act->tx.inflight_bytes + bytes <= act->cc.cwnd;
}

void weft_cc_on_sent(struct weft_srd *srd, struct weft_active *act, uint32_t bytes)
{
	(void)srd;
	act->cc.round_sent += bytes;
	if (act->cc.credit_mode)
		act->cc.credit_used += bytes;
}

static void base_sample(struct weft_srd *srd, struct weft_active *act, weft_ns rtt)
{
	if (!act->cc.base_known) {
		act->cc.base_rtt = rtt;
		act->cc.base_known = true;
	}
	act->cc.base_next = WEFT_MIN(act->cc.base_next, rtt);
	if (srd->now - act->cc.base_at >= BASE_WINDOW) {
		act->cc.base_rtt = act->cc.base_next;
		act->cc.base_next = rtt;
		act->cc.base_at = srd->now;
	}
	act->cc.base_rtt = WEFT_MIN(act->cc.base_rtt, rtt);
}

/* Each path has one voice in a round, its latest. */
static void count_path(struct weft_active *act, struct weft_path *path, bool above)
{
	if (!(path->flags & WEFT_PATH_ROUND))
		act->cc.round_seen++;
	if (path->flags & WEFT_PATH_ABOVE)
		act->cc.round_above--;
	path->flags |= WEFT_PATH_ROUND;
	path->flags &= (uint8_t)~WEFT_PATH_ABOVE;
	if (!above)
		return;
	path->flags |= WEFT_PATH_ABOVE;
	act->cc.round_above++;
}

static void begin_round(struct weft_srd *srd, struct weft_active *act)
{
	for (uint32_t ev = 0; ev < srd->cfg.paths; ev++)
		weft_path_at(srd, act, (uint16_t)ev)->flags &=
			(uint8_t) ~(WEFT_PATH_ROUND | WEFT_PATH_ABOVE);
	act->cc.peak_rtt = WEFT_MAX(act->cc.round_peak, act->cc.peak_rtt / 2);
	zero_round(srd, act);
}

void weft_cc_on_sample(struct weft_srd *srd, struct weft_active *act, struct weft_path *path,
		       weft_ns rtt)
{
	int64_t diff;
	uint32_t delay;

	base_sample(srd, act, rtt);
	diff = (int64_t)rtt - (int64_t)act->cc.srtt;
	act->cc.srtt = (weft_ns)((int64_t)act->cc.srtt + diff / 8);
	diff = diff < 0 ? -diff : diff;
	act->cc.rttvar = (weft_ns)((int64_t)act->cc.rttvar + (diff - (int64_t)act->cc.rttvar) / 4);
	act->cc.round_peak = WEFT_MAX(act->cc.round_peak, rtt);
	act->cc.peak_rtt = WEFT_MAX(act->cc.peak_rtt, rtt);
	path->srtt_ns =
		path->srtt_ns ? (uint32_t)((3 * (uint64_t)path->srtt_ns + rtt) / 4) : (uint32_t)rtt;
	delay = (uint32_t)WEFT_MIN(rtt - act->cc.base_rtt, UINT32_MAX / 16);
	act->cc.avg_delay = (uint32_t)((7 * (uint64_t)act->cc.avg_delay + delay) / 8);
	count_path(act, path, delay > weft_cc_target(srd, act));
}

static void cut_to(struct weft_srd *srd, struct weft_active *act, uint64_t bytes)
{
	bytes = WEFT_MAX(bytes, cwnd_min(srd, act));
	if (bytes >= act->cc.cwnd)
		return;
	act->cc.cwnd = (uint32_t)bytes;
	srd->stats.cwnd_cuts++;
}

/* Once per round trip: is this congestion, and how much of it? */
static void end_round(struct weft_srd *srd, struct weft_active *act)
{
	uint64_t cwnd = act->cc.cwnd, target = weft_cc_target(srd, act), avg = act->cc.avg_delay;
	bool majority = act->cc.round_seen >= WEFT_MIN(4, srd->cfg.paths) &&
			2 * act->cc.round_above > act->cc.round_seen;
	bool short_of = act->cc.round_lost * (uint64_t)10 > act->cc.round_sent;

	if (majority && avg > target && !act->cc.credit_mode)
		cut_to(srd, act, WEFT_MAX(cwnd - cwnd * 4 / 5 * (avg - target) / avg, cwnd / 2));
	if (short_of && !act->cc.credit_mode)
		cut_to(srd, act, WEFT_MAX(act->cc.round_acked, cwnd / 2));
	begin_round(srd, act);
}

static void grow(struct weft_srd *srd, struct weft_active *act, uint32_t bytes)
{
	uint64_t target = weft_cc_target(srd, act), avg = act->cc.avg_delay, more;
	uint32_t max = cwnd_max(srd);

	if (act->cc.cwnd >= max || 2 * act->cc.round_above > act->cc.round_seen)
		return;
	if (avg < target / 8)
		more = bytes / 2;
	else if (avg < target)
		more = (uint64_t)bytes * 4 * cwnd_min(srd, act) / act->cc.cwnd * (target - avg) /
		       target;
	else
		more = (uint64_t)bytes * cwnd_min(srd, act) / act->cc.cwnd / 8;
	act->cc.cwnd = (uint32_t)WEFT_MIN(act->cc.cwnd + more, max);
}

void weft_cc_on_acked(struct weft_srd *srd, struct weft_active *act, uint32_t bytes)
{
	act->cc.round_acked += bytes;
	grow(srd, act, bytes);
	if (srd->now - act->cc.round_at >= act->cc.srtt)
		end_round(srd, act);
}

void weft_cc_on_lost(struct weft_srd *srd, struct weft_active *act, uint32_t bytes)
{
	(void)srd;
	act->cc.round_lost += bytes;
}

void weft_cc_on_timeout(struct weft_srd *srd, struct weft_active *act)
{
	cut_to(srd, act, act->cc.cwnd / 2);
}
