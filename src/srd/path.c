/* SPDX-License-Identifier: BSD-2-Clause */
/* Path choice (docs/protocol.md section 8): which entropy the next packet carries.
 *
 * "Mixed": an entropy whose last acknowledgement came back unmarked and fast is used again at once
 * (a small stack of them is kept); when there is none, paths take turns in an order that changes with
 * every lap, so that two senders do not stay in step. A path that showed congestion is skipped for some
 * laps, as many as it has penalty points. A path that lost a packet, or is far slower than the others, is
 * out: it gets no data until a probe sent over it has come back in time, because a dead path and a
 * crowded one look alike to their sender, and a probe costs forty bytes where a packet costs a timeout.
 * After a retransmission timeout only paths that have proved good are used for a while.
 *
 * A retransmission never takes the path of the lost packet while there is another. */
#include "srd/engine.h"

#include <string.h>

struct weft_path *weft_path_at(struct weft_srd *srd, const struct weft_active *act, uint16_t ev)
{
	return &srd->paths[(size_t)(act - srd->actives) * srd->cfg.paths + ev];
}

void weft_path_reset(struct weft_srd *srd, struct weft_active *act)
{
	memset(weft_path_at(srd, act, 0), 0, srd->cfg.paths * sizeof(struct weft_path));
	memset(&act->lb, 0, sizeof(act->lb));
	act->lb.mask = (uint32_t)weft_prng_next(&srd->prng);
	act->lb.turn = weft_prng_below(&srd->prng, srd->cfg.paths);
}

/* Next path of the lap, whatever its state. Laps run over the next power of two; positions beyond the
 * number of paths are passed over. */
static uint16_t turn(struct weft_srd *srd, struct weft_active *act)
{
	uint32_t lap = 1;

	while (lap < srd->cfg.paths)
		lap *= 2;
	for (;;) {
		uint32_t ev;

		if (++act->lb.turn >= lap) {
			act->lb.turn = 0;
			act->lb.mask = (uint32_t)weft_prng_next(&srd->prng);
		}
		ev = (act->lb.turn ^ act->lb.mask) & (lap - 1);
		if (ev < srd->cfg.paths)
			return (uint16_t)ev;
	}
}

static uint16_t turn_but(struct weft_srd *srd, struct weft_active *act, uint16_t avoid)
{
	uint16_t ev;

	do
		ev = turn(srd, act);
	while (ev == avoid && srd->cfg.paths > 1);
	return ev;
}

/* A path should not hold much more than its share of the window: max(2 packets, 2 cwnd / paths). */
static bool is_full(const struct weft_srd *srd, const struct weft_active *act,
		    const struct weft_path *path, uint32_t bytes)
{
	uint64_t held = (uint64_t)path->inflight * bytes;

	return path->inflight >= 2 && held * srd->cfg.paths >= 2u * (uint64_t)act->cc.cwnd &&
	       !srd->cfg.burst_bytes;
}

static bool is_frozen_out(const struct weft_srd *srd, const struct weft_active *act,
			  const struct weft_path *path)
{
	return srd->now < act->lb.frozen_until && !(path->flags & WEFT_PATH_GOOD);
}

static bool pop_recycled(struct weft_srd *srd, struct weft_active *act, uint32_t bytes,
			 uint16_t avoid, uint16_t *ev_out)
{
	while (act->lb.recycled_len) {
		uint16_t ev = act->lb.recycled[--act->lb.recycled_len];
		const struct weft_path *path = weft_path_at(srd, act, ev);

		if (ev == avoid || path->flags & WEFT_PATH_OUT || path->penalty ||
		    is_full(srd, act, path, bytes) || is_frozen_out(srd, act, path))
			continue;
		*ev_out = ev;
		return true;
	}
	return false;
}

static uint16_t pick_mixed(struct weft_srd *srd, struct weft_active *act, uint32_t bytes,
			   uint16_t avoid)
{
	uint16_t ev, fallback = srd->cfg.paths > 1 ? UINT16_MAX : 0;

	if (pop_recycled(srd, act, bytes, avoid, &ev))
		return ev;
	for (uint32_t tries = 0; tries < 2 * srd->cfg.paths; tries++) {
		struct weft_path *path;

		ev = turn(srd, act);
		path = weft_path_at(srd, act, ev);
		if (ev == avoid || path->flags & WEFT_PATH_OUT)
			continue;
		if (fallback == UINT16_MAX)
			fallback = ev;
		if (is_frozen_out(srd, act, path) || is_full(srd, act, path, bytes))
			continue;
		if (path->penalty) {
			path->penalty--;
			continue;
		}
		return ev;
	}
	if (fallback != UINT16_MAX)
		return fallback;
	/* Every path is out: the next in turn will do, as long as it is another one. */
	return turn_but(srd, act, avoid);
}

/* A rest that does not hold another such packet ends the burst here, so that the context's turn ends
 * with it. */
static void shorten_burst(struct weft_active *act, uint32_t bytes)
{
	act->lb.burst_left -= bytes;
	if (act->lb.burst_left < bytes)
		act->lb.burst_left = 0;
}

uint16_t weft_path_pick(struct weft_srd *srd, struct weft_active *act, uint32_t bytes,
			uint16_t avoid)
{
	uint16_t ev;

	if (srd->cfg.paths == 1)
		return 0;
	if (act->lb.burst_left >= bytes && act->lb.burst_ev != avoid &&
	    !(weft_path_at(srd, act, act->lb.burst_ev)->flags & WEFT_PATH_OUT)) {
		shorten_burst(act, bytes);
		return act->lb.burst_ev;
	}
	if (srd->cfg.lb == WEFT_SRD_LB_OBLIVIOUS) {
		ev = turn_but(srd, act, avoid);
	} else {
		ev = pick_mixed(srd, act, bytes, avoid);
	}
	if (srd->cfg.burst_bytes > bytes) {
		act->lb.burst_ev = ev;
		act->lb.burst_left = srd->cfg.burst_bytes;
		shorten_burst(act, bytes);
	}
	return ev;
}

/* Control packets rotate too, over paths that are not known to be bad. */
uint16_t weft_path_pick_control(struct weft_srd *srd, struct weft_active *act)
{
	for (uint32_t tries = 0; tries < srd->cfg.paths; tries++) {
		act->rx.ack_path = (uint16_t)((act->rx.ack_path + 1) % srd->cfg.paths);
		if (!(weft_path_at(srd, act, act->rx.ack_path)->flags & WEFT_PATH_OUT))
			break;
	}
	return act->rx.ack_path;
}

static bool is_slow(const struct weft_srd *srd, const struct weft_active *act, weft_ns rtt)
{
	return rtt > act->cc.srtt + weft_cc_target(srd, act);
}

/* The order on a path. All packets of a burst may carry the same time stamp; those then left in the order of their
 * PSNs. (Packets sent again may be an exception to that, and are only found lost a little early by it.) */
bool weft_path_has_overtaken(const struct weft_srd *srd, const struct weft_path *path, uint32_t ts,
			     uint64_t psn)
{
	uint32_t ahead = (path->acked_psn - (uint32_t)psn) & ((1u << WEFT_PATH_PSN_BITS) - 1);

	if (!(path->flags & WEFT_PATH_SEEN))
		return false;
	if (path->acked_ts == ts)
		return ahead && ahead < 1u << (WEFT_PATH_PSN_BITS - 1);
	return weft_ts_is_younger(srd->now, path->acked_ts, ts);
}

void weft_path_on_arrived(struct weft_srd *srd, struct weft_path *path, uint32_t ts, uint16_t psn)
{
	if (weft_path_has_overtaken(srd, path, ts, psn))
		return;
	path->acked_ts = ts;
	path->acked_psn = psn & ((1u << WEFT_PATH_PSN_BITS) - 1);
	path->flags |= WEFT_PATH_SEEN;
}

/* A probe came back over a path that is out. It queued like data, so its time is that of the path. */
void weft_path_on_probe(struct weft_srd *srd, struct weft_active *act, uint16_t ev, weft_ns rtt)
{
	struct weft_path *path = weft_path_at(srd, act, ev);

	if (!(path->flags & WEFT_PATH_OUT) || is_slow(srd, act, rtt))
		return;
	path->flags &= (uint8_t)~WEFT_PATH_OUT;
	act->lb.out--;
	srd->stats.path_in++;
}

void weft_path_on_sample(struct weft_srd *srd, struct weft_active *act, uint16_t ev, weft_ns rtt,
			 bool ce)
{
	struct weft_path *path = weft_path_at(srd, act, ev);
	weft_ns delay = rtt - WEFT_MIN(rtt, act->cc.base_rtt);

	path->flags |= WEFT_PATH_GOOD;
	if (srd->cfg.lb != WEFT_SRD_LB_MIXED)
		return;
	/* When half of the paths look slow, it is not the paths. */
	if (is_slow(srd, act, rtt) && 2 * act->lb.out < srd->cfg.paths)
		weft_path_take_out(srd, act, ev);
	else if (ce)
		weft_path_penalise(srd, act, ev, 1);
	else if (delay < weft_cc_target(srd, act) * 3 / 8 && !path->penalty &&
		 act->lb.recycled_len < WEFT_RECYCLE)
		act->lb.recycled[act->lb.recycled_len++] = ev;
}

void weft_path_penalise(struct weft_srd *srd, struct weft_active *act, uint16_t ev, uint32_t points)
{
	struct weft_path *path;

	if (ev >= srd->cfg.paths || srd->cfg.lb != WEFT_SRD_LB_MIXED)
		return;
	path = weft_path_at(srd, act, ev);
	path->penalty = (uint8_t)WEFT_MIN(path->penalty + points, 15);
}

void weft_path_take_out(struct weft_srd *srd, struct weft_active *act, uint16_t ev)
{
	struct weft_path *path = weft_path_at(srd, act, ev);

	weft_path_penalise(srd, act, ev, 4);
	if (path->flags & WEFT_PATH_OUT || srd->cfg.paths == 1 || srd->cfg.lb != WEFT_SRD_LB_MIXED)
		return;
	path->flags |= WEFT_PATH_OUT;
	path->flags &= (uint8_t)~WEFT_PATH_GOOD;
	/* Long ago, so that its first probe is due. */
	path->probe_ts = weft_coarse_ts(srd->now) - (1u << 24);
	act->lb.out++;
	act->at.probe = srd->now;
	srd->stats.path_out++;
}

void weft_path_freeze(struct weft_srd *srd, struct weft_active *act)
{
	act->lb.frozen_until = srd->now + 10 * act->cc.srtt;
	act->lb.recycled_len = 0;
	act->lb.burst_left = 0;
}

/* Seldom enough that probes stay far below one percent of the packets. */
static uint32_t probe_interval(const struct weft_srd *srd, const struct weft_active *act)
{
	weft_ns wait = WEFT_MAX(10 * act->cc.srtt, weft_loss_rto(srd, act));

	wait = WEFT_MIN(wait << WEFT_MIN(act->rto_count, 16), srd->cfg.rto_max);
	return (uint32_t)(wait >> 10) + 1;
}

bool weft_path_next_probe(struct weft_srd *srd, struct weft_active *act, uint16_t *ev_out)
{
	uint32_t now = weft_coarse_ts(srd->now), wait = probe_interval(srd, act),
		 soonest = UINT32_MAX;

	if (act->at.probe > srd->now)
		return false;
	act->at.probe = WEFT_NS_NEVER;
	/* A context with nothing to send does not care; it probes when it goes on. */
	if (!act->lb.out || (!act->tx.fly_pkts && !weft_txw_has_work(srd, act)))
		return false;
	for (uint32_t ev = 0; ev < srd->cfg.paths; ev++) {
		struct weft_path *path = weft_path_at(srd, act, (uint16_t)ev);
		uint32_t age = now - path->probe_ts;

		if (!(path->flags & WEFT_PATH_OUT))
			continue;
		if (age >= wait) {
			path->probe_ts = now;
			act->at.probe = srd->now; /* Perhaps another one. */
			*ev_out = (uint16_t)ev;
			return true;
		}
		soonest = WEFT_MIN(soonest, wait - age);
	}
	if (soonest != UINT32_MAX)
		act->at.probe = srd->now + ((weft_ns)soonest << 10);
	return false;
}
