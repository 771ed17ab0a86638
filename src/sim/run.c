/* SPDX-License-Identifier: BSD-2-Clause */
/* The event loop of a run, its phases, and the faults that happen at a time.
 *
 * Phases. PLAN: the work requests of the plan are posted and faults happen; it ends when all is done, or
 * (safety) when everything has had its bounded time, or (liveness) after the faults were healed and
 * everything has had its time since. AFTER, twice, in liveness runs: a few requests that show whether
 * anything stayed broken; the first round may still find out about restarted peers, the second must
 * succeed. QUIET: nobody wants anything; then nothing may be left in use. CLOSING: all engines are closed
 * in order, under whatever faults there are. */
#include "sim/run.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

#define EVENTS_MAX 4000000u
#define TICK       WEFT_US(500)

enum {
	PHASE_PLAN,
	PHASE_AFTER_1,
	PHASE_AFTER_2,
	PHASE_QUIET,
	PHASE_CLOSING
};

static const struct weft_srd_cfg *engine_cfg(const struct weft_run *run)
{
	return &run->s->host[0].srd;
}

/* For the files beside */

void weft_run_trace(struct weft_run *run, struct weft_trace_rec rec)
{
	rec.at = run->evq.now;
	weft_trace_add(run->trace, &rec);
}

void weft_run_stuck(struct weft_run *run, uint8_t host, uint32_t how)
{
	if (!run->stuck)
		weft_run_trace(run, (struct weft_trace_rec){
					    .kind = WEFT_TRACE_STUCK, .host = host, .value = how });
	run->stuck = true;
}

static void trace_lost(struct weft_run *run, const struct weft_lossy_frame *f, uint32_t fault)
{
	weft_run_trace(run, (struct weft_trace_rec){ .kind = WEFT_TRACE_LOST,
						     .host = (uint8_t)f->from,
						     .peer = (uint8_t)f->to,
						     .id = f->id,
						     .path = f->path,
						     .len = f->len,
						     .flags = f->class,
						     .imm = fault });
}

void weft_run_lost(struct weft_run *run, const struct weft_lossy_frame *f, uint32_t fault)
{
	run->hits[fault]++;
	trace_lost(run, f, fault);
}

static void on_net_fault(void *user, const struct weft_lossy_frame *f, enum weft_lossy_fault fault,
			 bool lost)
{
	if (lost)
		trace_lost(user, f, fault);
}

static void mark(struct weft_run *run, enum weft_trace_mark what)
{
	weft_run_trace(run, (struct weft_trace_rec){ .kind = WEFT_TRACE_MARK, .imm = what });
}

static void trace_fault(struct weft_run *run, const struct weft_sim_action *a)
{
	weft_run_trace(run, (struct weft_trace_rec){ .kind = WEFT_TRACE_FAULT,
						     .imm = a->fault,
						     .host = a->host,
						     .peer = a->peer,
						     .path = a->path,
						     .value = a->value,
						     .addr = a->span });
}

/* Work requests */

/* Start what waited for `wr`. */
static void release_dependents(struct weft_run *run, uint32_t wr, bool delivery)
{
	for (uint32_t i = run->wr[wr].first_dependent; i != WEFT_SIM_NO_DEP;
	     i = run->wr[i].next_dependent) {
		const struct weft_sim_wr_plan *p = weft_run_plan(run, i);

		if (p->after_delivery != delivery || run->wr[i].state != WEFT_RUN_WR_PLANNED)
			continue;
		run->timed++;
		weft_evq_push(&run->evq, run->evq.now + p->at, WEFT_RUN_EV_POST, i, 0, NULL);
	}
}

void weft_run_delivered(struct weft_run *run, uint32_t wr)
{
	release_dependents(run, wr, true);
}

/* "Fair shares": bytes that each sender got through between the time when all were well under way and the
 * time when the first had nothing left to send. */
static void watch_shares(struct weft_run *run, uint8_t host)
{
	struct weft_run_host *sink = &run->host[0];
	uint64_t got = 0, window = 0;

	if (run->s->flavour != WEFT_FLAVOUR_FAIR || run->fair.done)
		return;
	for (uint32_t i = 0; i < run->s->hosts; i++)
		got += sink->got_from[i];
	if (!run->fair.started && got >= run->s->plan_bytes / 4) {
		run->fair.started = true;
		memcpy(run->fair.at_start, sink->got_from, sizeof(run->fair.at_start));
	}
	if (--run->fair.left[host])
		return;
	run->fair.done = true;
	for (uint32_t i = 0; i < run->s->hosts; i++)
		window += sink->got_from[i] - run->fair.at_start[i];
	for (uint32_t i = 1; i < run->s->hosts && run->fair.started; i++)
		if (window >= run->s->plan_bytes / 3)
			weft_run_trace(run,
				       (struct weft_trace_rec){ .kind = WEFT_TRACE_GOODPUT,
								.host = 0,
								.peer = (uint8_t)i,
								.addr = sink->got_from[i] -
									run->fair.at_start[i] });
}

void weft_run_completed(struct weft_run *run, uint32_t wr)
{
	const struct weft_sim_wr_plan *p = weft_run_plan(run, wr);

	run->wr[wr].state = WEFT_RUN_WR_DONE;
	run->open--;
	run->host[p->host].peer_open[p->peer]--;
	watch_shares(run, p->host);
	release_dependents(run, wr, false);
}

/* Every request gets its full time, even the last of a long chain. */
void weft_run_extend(struct weft_run *run)
{
	weft_ns span = run->healed ? run->s->heal_bound : run->s->bound;

	run->deadline = WEFT_MAX(run->deadline, run->evq.now + span);
}

/* Faults at a time */

void weft_run_crash(struct weft_run *run, struct weft_run_host *h, weft_ns span, uint32_t fault)
{
	if (!h->up)
		return;
	run->hits[fault]++;
	weft_run_trace(run,
		       (struct weft_trace_rec){ .kind = WEFT_TRACE_HOST_DOWN, .host = h->index });
	weft_host_down(h);
	if (span != WEFT_NS_NEVER)
		weft_evq_push(&run->evq, run->evq.now + span, WEFT_RUN_EV_RESTART, h->index, 0,
			      NULL);
}

static void restart(struct weft_run *run, struct weft_run_host *h)
{
	if (h->up || run->phase >= PHASE_CLOSING)
		return;
	weft_host_up(h);
	if (run->net.recording)
		weft_lossy_replay(&run->net, h->index, run->evq.now);
}

static void qp_error(struct weft_run *run, struct weft_run_host *h, uint32_t qp, bool on)
{
	if (!h->up || h->qp[qp].gone || h->qp[qp].error == on)
		return;
	h->qp[qp].error = on;
	run->hits[WEFT_FAULT_QP_ERROR] += on;
	weft_run_trace(run, (struct weft_trace_rec){ .kind = WEFT_TRACE_QP_ERROR,
						     .host = h->index,
						     .qpn = h->qp[qp].qpn,
						     .value = on });
}

void weft_run_qp_gone(struct weft_run *run, struct weft_run_host *h, uint32_t qp)
{
	if (!h->up || h->closing || h->qp[qp].gone)
		return;
	run->hits[WEFT_FAULT_QP_GONE]++;
	weft_run_trace(run, (struct weft_trace_rec){ .kind = WEFT_TRACE_QP_GONE,
						     .host = h->index,
						     .qpn = h->qp[qp].qpn });
	weft_hostmem_qp_gone(h, qp);
	weft_srd_on_qp_gone(h->srd, h->qp[qp].qpn, weft_host_clock(h));
	weft_host_wake(h, run->evq.now);
}

static void dereg(struct weft_run *run, struct weft_run_host *h, uint32_t mr)
{
	if (!h->up || !h->mr[mr].valid)
		return;
	run->hits[WEFT_FAULT_DEREG]++;
	h->mr[mr].valid = false;
	weft_run_trace(run, (struct weft_trace_rec){ .kind = WEFT_TRACE_MR_DEREG,
						     .host = h->index,
						     .key = h->mr[mr].key });
}

static void post_receives(struct weft_run_host *h)
{
	h->recvs_on = true;
	for (uint32_t i = 0; i < h->run->s->qps; i++) {
		/* Healed: receives that are too short are flushed with the rest and posted anew. */
		if (h->run->healed && h->cfg->short_recv_ppm)
			h->qp[i].posted = 0;
		weft_hostmem_refill(h, i);
	}
}

static void close_host(struct weft_run *run, struct weft_run_host *h, weft_ns span)
{
	if (!h->up || h->closing)
		return;
	run->hits[WEFT_FAULT_CLOSE]++;
	h->restart_span = span;
	weft_host_close(h);
}

/* Requests given up */

static bool is_in_state(const struct weft_run *run, uint32_t wr, const struct weft_run_host *h,
			int state)
{
	return weft_run_plan(run, wr)->host == h->index && run->wr[wr].inc == h->inc &&
	       (int)run->wr[wr].state == state;
}

/* The n-th one, counting round and round; wrs if there is none. */
static uint32_t nth_in_state(const struct weft_run *run, const struct weft_run_host *h, int state,
			     uint32_t n)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < run->wrs; i++)
		count += is_in_state(run, i, h, state);
	for (uint32_t i = 0; count && i < run->wrs; i++)
		if (is_in_state(run, i, h, state) && n-- % count == 0)
			return i;
	return run->wrs;
}

/* As when a QP's memory, or its address handle, is gone. */
static void cancel(struct weft_run *run, struct weft_run_host *h, uint32_t wr)
{
	uint8_t status = wr % 2 ? WEFT_SRD_INVALID_LKEY : WEFT_SRD_FLUSHED;

	if (wr == run->wrs || !h->up || run->wr[wr].inc != h->inc)
		return;
	run->hits[WEFT_FAULT_CANCEL] += run->wr[wr].state == WEFT_RUN_WR_POSTED;
	weft_run_trace(run, (struct weft_trace_rec){ .kind = WEFT_TRACE_CANCEL,
						     .host = h->index,
						     .peer = weft_run_plan(run, wr)->peer,
						     .wr = wr,
						     .status = status });
	weft_srd_cancel(h->srd, wr, (enum weft_srd_status)status, weft_host_clock(h));
	weft_host_wake(h, run->evq.now);
}

static void cancel_some(struct weft_run *run, struct weft_run_host *h, uint32_t how, uint32_t which)
{
	uint32_t wr = nth_in_state(run, h, WEFT_RUN_WR_POSTED, which);

	switch ((enum weft_sim_cancel)how) {
	case WEFT_CANCEL_ONE:
		cancel(run, h, wr);
		return;
	case WEFT_CANCEL_DONE:
		cancel(run, h, nth_in_state(run, h, WEFT_RUN_WR_DONE, which));
		return;
	case WEFT_CANCEL_PEER:
		for (uint32_t i = 0; wr < run->wrs && i < run->wrs; i++)
			if (is_in_state(run, i, h, WEFT_RUN_WR_POSTED) &&
			    weft_run_plan(run, i)->peer == weft_run_plan(run, wr)->peer)
				cancel(run, h, i);
		return;
	case WEFT_CANCEL_PARTLY:
		h->cancels_due++;
		return;
	case WEFT_CANCELS:
		return;
	}
}

/* We are called from inside an engine, so it has to wait until that is out of the way. */
void weft_run_partly(struct weft_run *run, uint32_t wr)
{
	struct weft_run_host *h = &run->host[weft_run_plan(run, wr)->host];

	if (!h->cancels_due || run->healed || run->wr[wr].state != WEFT_RUN_WR_POSTED)
		return;
	h->cancels_due--;
	weft_evq_push(&run->evq, run->evq.now, WEFT_RUN_EV_CANCEL, wr, 0, NULL);
}

/* Nobody there */

static void tell(struct weft_run *run, struct weft_run_host *h, uint8_t about, uint32_t fault)
{
	if (!h->up)
		return;
	run->hits[fault]++;
	weft_run_trace(run, (struct weft_trace_rec){
				    .kind = WEFT_TRACE_NOBODY, .host = h->index, .peer = about });
	weft_srd_on_unreachable(h->srd, &run->host[about].cfg->srd.gid, weft_host_clock(h));
	weft_host_wake(h, run->evq.now);
}

/* The host's kernel answers, most of the time and not to each frame; that takes its time, and when the
 * answer is there, the host may be back. */
void weft_run_nobody(struct weft_run *run, uint8_t from, const struct weft_run_host *h)
{
	struct weft_run_host *told = &run->host[from];
	weft_ns wait = run->net.cfg.latency_max;

	if (!run->s->on[WEFT_FAULT_NOBODY] || told->nobody_due >> h->index & 1 ||
	    weft_prng_below(&run->s->extra_prng, 4) == 0)
		return;
	told->nobody_due |= (uint64_t)1 << h->index;
	if (weft_prng_below(&run->s->extra_prng, 8) == 0)
		wait += weft_prng_below(&run->s->extra_prng, (uint32_t)WEFT_MS(1));
	weft_evq_push(&run->evq, run->evq.now + wait, WEFT_RUN_EV_NOBODY, from, h->index, NULL);
}

static void on_nobody(struct weft_run *run, uint32_t host, uint32_t about)
{
	run->host[host].nobody_due &= ~((uint64_t)1 << about);
	/* Healed means that nobody is told lies any more, and by now it could be one. */
	if (!run->healed || !run->host[about].up)
		tell(run, &run->host[host], (uint8_t)about, WEFT_FAULT_NOBODY);
}

static void act_on_host(struct weft_run *run, const struct weft_sim_action *a)
{
	struct weft_run_host *h = &run->host[a->host];
	weft_ns now = run->evq.now;

	switch (a->kind) {
	case WEFT_ACT_CLOCK_JUMP:
		run->hits[a->fault]++;
		h->clock_offset += a->span;
		weft_host_wake(h, now);
		return;
	case WEFT_ACT_STALL:
		run->hits[a->fault]++;
		h->stalled_until = WEFT_MAX(h->stalled_until, now + a->span);
		weft_host_wake(h, h->stalled_until);
		return;
	case WEFT_ACT_TX_BLOCK:
		run->hits[a->fault]++;
		h->tx_blocked_until = WEFT_MAX(h->tx_blocked_until, now + a->span);
		return;
	case WEFT_ACT_QP_ERROR:
		qp_error(run, h, a->path, a->value);
		return;
	case WEFT_ACT_QP_GONE:
		if (a->value == 1)
			weft_run_qp_gone(run, h, a->path);
		else
			h->qp[a->path].doomed = true;
		return;
	case WEFT_ACT_DEREG:
		dereg(run, h, a->path);
		return;
	case WEFT_ACT_CRASH:
		weft_run_crash(run, h, a->span, a->fault);
		return;
	case WEFT_ACT_CLOSE:
		close_host(run, h, a->span);
		return;
	case WEFT_ACT_RECVS:
		post_receives(h);
		return;
	case WEFT_ACT_CANCEL:
		cancel_some(run, h, a->value, a->path);
		return;
	case WEFT_ACT_NOBODY:
		tell(run, h, a->peer, a->fault);
		return;
	default:
		return;
	}
}

static void act(struct weft_run *run, const struct weft_sim_action *a)
{
	struct weft_lossy *net = &run->net;
	enum weft_lossy_fault fault = (enum weft_lossy_fault)a->fault;

	if (run->healed || run->phase >= PHASE_QUIET)
		return;
	trace_fault(run, a);
	switch (a->kind) {
	case WEFT_ACT_PATH_DOWN:
		weft_lossy_set_path_down(net, a->host, a->peer, a->path, fault, a->value);
		return;
	case WEFT_ACT_PATH_GREY:
		weft_lossy_set_path_grey(net, a->host, a->peer, a->path, a->value);
		return;
	case WEFT_ACT_PATH_SLOW:
		weft_lossy_set_path_slow(net, a->host, a->peer, a->path, (uint16_t)a->value);
		return;
	case WEFT_ACT_BLOCK:
		weft_lossy_set_blocked(net, a->host, a->peer, fault, a->value);
		return;
	case WEFT_ACT_REMAP:
		weft_lossy_remap(net, a->host, a->peer);
		return;
	case WEFT_ACT_MTU:
		weft_lossy_set_mtu(net, a->value);
		return;
	default:
		act_on_host(run, a);
		return;
	}
}

static void heal_host(struct weft_run *run, struct weft_run_host *h)
{
	h->stalled_until = h->tx_blocked_until = 0;
	h->poll = 0;
	h->socket_frames = 65536;
	h->short_gso_ppm = 0;
	h->doomed = false;
	h->restart_span = 0;
	for (uint32_t i = 0; i < run->s->qps; i++) {
		qp_error(run, h, i, false);
		h->qp[i].doomed = false;
	}
	h->recvs_on = true;
	if (!h->up && !h->closing)
		weft_host_up(h);
	else
		post_receives(h);
	/* Frames may lie in its socket, and timers may be over-due. */
	h->wake_at = WEFT_NS_NEVER;
	weft_host_wake(h, run->evq.now);
}

static void heal(struct weft_run *run)
{
	run->healed = true;
	mark(run, WEFT_MARK_HEALED);
	weft_lossy_heal(&run->net);
	for (uint32_t i = 0; i < run->s->hosts; i++)
		heal_host(run, &run->host[i]);
}

/* Phases */

static void enter(struct weft_run *run, uint32_t phase, weft_ns span)
{
	run->phase = phase;
	run->deadline = run->evq.now + span;
}

static int live_qp(const struct weft_run_host *h)
{
	for (uint32_t i = 0; i < h->run->s->qps; i++)
		if (h->up && !h->qp[i].gone)
			return (int)i;
	return -1;
}

static uint32_t add_wr(struct weft_run *run, struct weft_sim_wr_plan plan)
{
	struct weft_scenario *s = run->s;

	weft_assert(run->wrs < run->wrs_cap);
	s->plan[run->wrs] = plan;
	run->wr[run->wrs] = (struct weft_run_wr){
		.first_dependent = WEFT_SIM_NO_DEP,
		.next_dependent = WEFT_SIM_NO_DEP,
		.state = WEFT_RUN_WR_PLANNED,
	};
	return run->wrs++;
}

/* One small SEND from each host to some other, by QPs that still exist. Both rounds use the same pairs:
 * the first may find that the peer has forgotten us, the second must not. */
static void post_after(struct weft_run *run, bool must)
{
	uint8_t n = (uint8_t)run->s->hosts;
	uint8_t step = (uint8_t)(1 + run->s->seed % (n - 1u));

	for (uint8_t i = 0; i < n; i++) {
		uint8_t peer = (uint8_t)((i + step) % n);
		int qp = live_qp(&run->host[i]), peer_qp = live_qp(&run->host[peer]);

		if (qp < 0 || peer_qp < 0)
			continue;
		weft_host_want(&run->host[i],
			       add_wr(run, (struct weft_sim_wr_plan){
						   .after = WEFT_SIM_NO_DEP,
						   .host = i,
						   .peer = peer,
						   .qp = (uint8_t)qp,
						   .peer_qp = (uint8_t)peer_qp,
						   .op = WEFT_SRD_SEND,
						   .rnr_retry = 7,
						   .flags = must ? WEFT_WR_MUST : 0,
						   .len = weft_prng_below(&run->prng, 2000) }));
	}
}

static weft_ns quiet_span(const struct weft_run *run)
{
	const struct weft_srd_cfg *cfg = engine_cfg(run);

	weft_ns wait = run->s->on[WEFT_LOSSY_DUP_LATE] ? run->s->net.late_max : 0;

	for (uint32_t i = 0; i < run->s->hosts; i++)
		if (run->host[i].stalled_until > run->evq.now)
			wait = WEFT_MAX(wait, run->host[i].stalled_until - run->evq.now);
	return 2 * cfg->dead_after + 4 * cfg->idle_after + 4 * cfg->rto_max + WEFT_MS(20) + wait;
}

static void settle(struct weft_run *run)
{
	if (run->healed && run->waiting)
		weft_run_stuck(run, 0, WEFT_STUCK_REFUSED);
	mark(run, WEFT_MARK_SETTLED);
	if (run->s->liveness && run->phase < PHASE_AFTER_2) {
		bool must = run->phase == PHASE_AFTER_1;

		enter(run, run->phase + 1, run->s->heal_bound);
		post_after(run, must);
		return;
	}
	/* A ghost from the past wakes a context up; the last of them has to have come by the end. */
	run->net.cfg.dose[WEFT_LOSSY_DUP_LATE] = run->net.cfg.dose[WEFT_LOSSY_REPLAY] = 0;
	enter(run, PHASE_QUIET, quiet_span(run));
}

static void begin_closing(struct weft_run *run)
{
	mark(run, WEFT_MARK_QUIET);
	for (uint32_t i = 0; i < run->s->hosts; i++) {
		weft_host_usage(&run->host[i]);
		weft_hostmem_check_guards(&run->host[i]);
	}
	mark(run, WEFT_MARK_CLOSING);
	for (uint32_t i = 0; i < run->s->hosts; i++) {
		run->host[i].restart_span = WEFT_NS_NEVER;
		weft_host_close(&run->host[i]);
	}
	enter(run, PHASE_CLOSING, 2 * engine_cfg(run)->dead_after + WEFT_S(1));
}

static bool all_down(const struct weft_run *run)
{
	for (uint32_t i = 0; i < run->s->hosts; i++)
		if (run->host[i].up)
			return false;
	return true;
}

/* False when the run is over. */
static bool on_tick(struct weft_run *run)
{
	weft_ns now = run->evq.now;
	bool idle = !run->open && !run->waiting && !run->timed;

	switch (run->phase) {
	case PHASE_PLAN:
		if (run->s->liveness && !run->healed)
			break;
		if (now >= run->deadline || (idle && now >= run->s->horizon))
			settle(run);
		break;
	case PHASE_AFTER_1:
	case PHASE_AFTER_2:
		if (now >= run->deadline || idle)
			settle(run);
		break;
	case PHASE_QUIET:
		if (now >= run->deadline)
			begin_closing(run);
		break;
	default:
		if (now >= run->deadline || all_down(run))
			return false;
		break;
	}
	weft_evq_push(&run->evq, now + TICK, WEFT_RUN_EV_PHASE, 0, 0, NULL);
	return true;
}

/* What was not posted when the time is up will not be posted any more. */
static void on_post_time(struct weft_run *run, uint32_t wr)
{
	const struct weft_sim_wr_plan *p = weft_run_plan(run, wr);

	run->timed--;
	if (run->phase != PHASE_PLAN)
		return;
	weft_run_extend(run);
	weft_host_want(&run->host[p->host], wr);
}

/* The loop */

static void on_event(struct weft_run *run, const struct weft_ev *ev)
{
	struct weft_lossy_frame *f;

	switch (ev->kind) {
	case WEFT_RUN_EV_POST:
		on_post_time(run, ev->a);
		return;
	case WEFT_RUN_EV_SERVICE:
		/* An event that was overtaken by an earlier one is stale. */
		if (run->host[ev->a].wake_at == ev->at)
			weft_host_service(&run->host[ev->a]);
		return;
	case WEFT_RUN_EV_ACTION:
		act(run, &run->s->actions[ev->a]);
		return;
	case WEFT_RUN_EV_REFILL:
		weft_hostmem_refill(&run->host[ev->a], ev->b);
		return;
	case WEFT_RUN_EV_RESTART:
		restart(run, &run->host[ev->a]);
		return;
	case WEFT_RUN_EV_CANCEL:
		cancel(run, &run->host[weft_run_plan(run, ev->a)->host], ev->a);
		return;
	case WEFT_RUN_EV_NOBODY:
		on_nobody(run, ev->a, ev->b);
		return;
	default:
		f = weft_lossy_on_event(&run->net, ev);
		if (f)
			weft_host_on_frame(&run->host[f->to], f);
		return;
	}
}

static void loop(struct weft_run *run)
{
	struct weft_ev ev;

	while (!run->stuck && weft_evq_pop(&run->evq, &ev)) {
		if (++run->events > EVENTS_MAX)
			weft_run_stuck(run, 0, WEFT_STUCK_EVENTS);
		if (ev.kind != WEFT_RUN_EV_PHASE) {
			on_event(run, &ev);
			continue;
		}
		if (ev.a)
			heal(run);
		else if (!on_tick(run))
			break;
	}
	mark(run, WEFT_MARK_END);
}

static void param(struct weft_run *run, enum weft_trace_param which, uint64_t value)
{
	weft_run_trace(run, (struct weft_trace_rec){
				    .kind = WEFT_TRACE_PARAM, .imm = which, .addr = value });
}

/* Faults after which each retransmission answers a loss that the trace shows. */
static bool losses_are_visible(const struct weft_scenario *s)
{
	static const uint32_t visible[] = {
		WEFT_LOSSY_LOSS,          WEFT_LOSSY_BURST,
		WEFT_LOSSY_LOSS_RTX,      WEFT_LOSSY_LOSS_FIRST,
		WEFT_LOSSY_LOSS_LAST,     WEFT_LOSSY_CORRUPT_HEAD,
		WEFT_LOSSY_CORRUPT_TAG,   WEFT_LOSSY_TRUNCATE,
		WEFT_LOSSY_OVERSIZE,      WEFT_LOSSY_CORRUPT_PAYLOAD,
		WEFT_LOSSY_GARBAGE,       WEFT_LOSSY_SPOOF,
		WEFT_LOSSY_GREY,          WEFT_LOSSY_BLACKHOLE,
		WEFT_LOSSY_PORT_OVERFLOW, WEFT_LOSSY_TRIM,
		WEFT_LOSSY_ECN_OFF,       WEFT_LOSSY_ECN_ALWAYS,
		WEFT_LOSSY_ECN_BLEACH,    WEFT_FAULT_CLOCK_OFFSET,
		WEFT_FAULT_CLOCK_WRAP,    WEFT_FAULT_CLOCK_DRIFT,
		WEFT_FAULT_BAD_KEY,       WEFT_FAULT_BAD_QPN,
		WEFT_LOSSY_DUP,           WEFT_LOSSY_REPLAY,
	};
	bool ok[WEFT_FAULT_COUNT] = { false };

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(visible); i++)
		ok[visible[i]] = true;
	for (uint32_t f = 0; f < WEFT_FAULT_COUNT; f++)
		if (s->on[f] && !ok[f])
			return false;
	return s->flavour != WEFT_FLAVOUR_CLEAN && !s->varied;
}

static void trace_params(struct weft_run *run)
{
	const struct weft_scenario *s = run->s;
	const struct weft_srd_cfg *cfg = engine_cfg(run);
	uint32_t payload = 0;
	uint64_t crc = 0;

	for (uint32_t i = 0; i < s->hosts; i++) {
		payload = WEFT_MAX(payload, s->host[i].srd.payload_max);
		crc |= (uint64_t)s->host[i].srd.payload_crc << i;
	}
	param(run, WEFT_PARAM_SEED, s->seed);
	param(run, WEFT_PARAM_HOSTS, s->hosts);
	param(run, WEFT_PARAM_PATHS, s->net.paths);
	param(run, WEFT_PARAM_DEAD_AFTER, cfg->dead_after);
	param(run, WEFT_PARAM_RTT, s->rtt);
	param(run, WEFT_PARAM_RTO_MIN, cfg->rto_min);
	param(run, WEFT_PARAM_RTO_MAX, cfg->rto_max);
	param(run, WEFT_PARAM_WR_BOUND, s->bound);
	param(run, WEFT_PARAM_HEAL_BOUND, s->heal_bound);
	param(run, WEFT_PARAM_FAULTY_HOSTS, s->faulty_hosts);
	param(run, WEFT_PARAM_CHECK_RTX, losses_are_visible(s));
	param(run, WEFT_PARAM_CHECK_SPURIOUS, s->flavour == WEFT_FLAVOUR_CLEAN);
	param(run, WEFT_PARAM_CHECK_LATENCY,
	      s->flavour == WEFT_FLAVOUR_CLEAN && !s->on[WEFT_LOSSY_REORDER_CROSS]);
	param(run, WEFT_PARAM_CHECK_JAIN, s->flavour == WEFT_FLAVOUR_FAIR);
	param(run, WEFT_PARAM_CHECK_PATH, s->flavour == WEFT_FLAVOUR_DARK);
	param(run, WEFT_PARAM_FORGETFUL,
	      s->on[WEFT_FAULT_POOL_CONTEXTS] || s->on[WEFT_FAULT_POOL_ACTIVE]);
	param(run, WEFT_PARAM_SCARCE, s->on[WEFT_FAULT_POOL_RX_MSGS]);
	param(run, WEFT_PARAM_PAYLOAD_MAX, payload);
	/* An engine may take losses for a smaller MTU at any time. */
	param(run, WEFT_PARAM_PAYLOAD_MIN, WEFT_SRD_PAYLOAD_MIN);
	param(run, WEFT_PARAM_CRC_HOSTS, crc);
	param(run, WEFT_PARAM_MTU, s->mtu);
}

static void limit_scope(struct weft_run *run)
{
	const struct weft_scenario *s = run->s;

	for (uint16_t i = 0; i < s->hosts && s->flavour == WEFT_FLAVOUR_ISOLATE; i++)
		for (uint16_t k = 0; k < s->hosts; k++)
			if (i != k && i != s->victim && k != s->victim)
				weft_lossy_set_scope(&run->net, i, k, false);
}

static void init_wrs(struct weft_run *run)
{
	struct weft_scenario *s = run->s;

	run->wrs_cap = s->plan_len + WEFT_RUN_EXTRA_WRS;
	run->wr = calloc(run->wrs_cap, sizeof(*run->wr));
	s->plan = realloc(s->plan, run->wrs_cap * sizeof(*s->plan));
	weft_assert(run->wr && s->plan);
	for (uint32_t i = 0; i < s->plan_len; i++)
		add_wr(run, s->plan[i]);
	for (uint32_t i = s->plan_len; i-- > 0;) {
		const struct weft_sim_wr_plan *p = &s->plan[i];

		run->fair.left[p->host]++;
		if (p->after == WEFT_SIM_NO_DEP) {
			run->timed++;
			weft_evq_push(&run->evq, p->at, WEFT_RUN_EV_POST, i, 0, NULL);
			continue;
		}
		run->wr[i].next_dependent = run->wr[p->after].first_dependent;
		run->wr[p->after].first_dependent = i;
	}
}

static void count_clock_faults(struct weft_run *run, const struct weft_run_host *h)
{
	run->hits[WEFT_FAULT_CLOCK_OFFSET] += run->s->on[WEFT_FAULT_CLOCK_OFFSET];
	run->hits[WEFT_FAULT_CLOCK_DRIFT] += h->drift_ppm != 0;
	run->hits[WEFT_FAULT_LATE_POLL] += h->cfg->poll != 0;
	run->hits[WEFT_FAULT_CLOCK_WRAP] += h->clock_offset >> 36 != weft_host_clock(h) >> 36;
}

static void init_hosts(struct weft_run *run)
{
	for (uint32_t i = 0; i < run->s->hosts; i++) {
		struct weft_run_host *h = &run->host[i];
		const struct weft_sim_host_cfg *cfg = &run->s->host[i];

		h->run = run;
		h->cfg = cfg;
		h->index = (uint8_t)i;
		h->clock_offset = cfg->clock_offset;
		h->drift_ppm = cfg->drift_ppm;
		h->poll = cfg->poll;
		h->socket_frames = cfg->socket_frames;
		h->short_gso_ppm = cfg->short_gso_ppm;
		h->doomed = cfg->doomed;
		h->recvs_on = cfg->recvs_from == 0;
		weft_host_up(h);
	}
}

static void init(struct weft_run *run, struct weft_scenario *s, struct weft_trace *trace)
{
	*run = (struct weft_run){ .s = s, .trace = trace, .next_key = 0x100 };
	weft_evq_init(&run->evq);
	weft_prng_init(&run->prng, weft_prng_next(&s->prng));
	s->net.event_base = WEFT_RUN_EV_NET;
	weft_lossy_init(&run->net, &s->net, &run->evq);
	run->net.on_fault = on_net_fault;
	run->net.user = run;
	limit_scope(run);
	trace_params(run);
	init_hosts(run);
	init_wrs(run);
	for (uint32_t i = 0; i < s->actions_len; i++)
		weft_evq_push(&run->evq, s->actions[i].at, WEFT_RUN_EV_ACTION, i, 0, NULL);
	run->deadline = s->horizon + s->bound;
	if (s->liveness) {
		weft_ns at = s->horizon + weft_sim_between(&s->prng, 0, WEFT_MS(20));

		weft_evq_push(&run->evq, at, WEFT_RUN_EV_PHASE, 1, 0, NULL);
		run->deadline = at + s->heal_bound;
	}
	weft_evq_push(&run->evq, TICK, WEFT_RUN_EV_PHASE, 0, 0, NULL);
}

static void fini(struct weft_run *run)
{
	struct weft_ev ev;

	while (weft_evq_pop(&run->evq, &ev))
		if (ev.kind >= WEFT_RUN_EV_NET)
			weft_lossy_frame_free(ev.ptr);
	for (uint32_t i = 0; i < run->s->hosts; i++)
		weft_host_fini(&run->host[i]);
	for (uint64_t i = 0; i < run->recvs; i++)
		free(run->recv[i].buf);
	for (uint32_t i = 0; i < run->wrs; i++)
		free(run->wr[i].local);
	free(run->recv);
	free(run->wr);
	weft_lossy_fini(&run->net);
	weft_evq_fini(&run->evq);
}

static void print_header(FILE *out, const struct weft_scenario *s)
{
	fprintf(out,
		"# seed %llu %s: %u hosts, %u paths, flavour %s, shape %s, %u requests, %llu "
		"bytes; faults:",
		(unsigned long long)s->seed, s->liveness ? "liveness" : "safety", s->hosts,
		s->net.paths, weft_sim_flavour_name(s->flavour), weft_sim_shape_name(s->shape),
		s->plan_len, (unsigned long long)s->plan_bytes);
	for (uint32_t f = 0; f < WEFT_FAULT_COUNT; f++)
		if (s->on[f])
			fprintf(out, " %s", weft_sim_fault_name(f));
	fprintf(out, "\n");
}

void weft_run_seed(uint64_t seed, bool liveness, const bool *only, FILE *trace_out,
		   struct weft_run_result *result_out)
{
	struct weft_scenario s;
	struct weft_trace trace;
	struct weft_run run;

	*result_out = (struct weft_run_result){ 0 };
	weft_scenario_make(&s, seed, liveness, only);
	if (trace_out)
		print_header(trace_out, &s);
	weft_trace_init(&trace, trace_out);
	init(&run, &s, &trace);
	loop(&run);
	for (uint32_t i = 0; i < s.hosts; i++)
		count_clock_faults(&run, &run.host[i]);
	memcpy(result_out->hits, run.hits, sizeof(result_out->hits));
	memcpy(result_out->hits, run.net.hits, sizeof(run.net.hits));
	memcpy(result_out->chosen, s.on, sizeof(s.on));
	result_out->hash = trace.hash;
	result_out->events = run.events;
	result_out->virtual_time = run.evq.now;
	weft_oracle_check(&trace, &result_out->report);
	fini(&run);
	weft_trace_fini(&trace);
	weft_scenario_fini(&s);
}
