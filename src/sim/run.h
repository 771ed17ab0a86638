/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_SIM_RUN_H
#define WEFT_SIM_RUN_H

/* One simulated run: a scenario carried out in virtual time. run.c owns the event loop, the phases and the
 * faults; host.c is one host around its engine, hostmem.c what that engine may touch. */
#include "sim/oracle.h"
#include "sim/scenario.h"

#define WEFT_RUN_EXTRA_WRS 64u /* Posted after healing, beyond the plan. */
#define WEFT_RUN_RING      64u

enum weft_run_event {
	WEFT_RUN_EV_POST, /* a: work request. */
	WEFT_RUN_EV_SERVICE, /* a: host. */
	WEFT_RUN_EV_ACTION, /* a: index. */
	WEFT_RUN_EV_REFILL, /* a: host, b: QP. */
	WEFT_RUN_EV_RESTART, /* a: host. */
	WEFT_RUN_EV_CANCEL, /* a: work request. */
	WEFT_RUN_EV_NOBODY, /* a: host, b: of whom it is told. */
	WEFT_RUN_EV_PHASE, /* a: enum of run.c. */
	WEFT_RUN_EV_NET, /* And the next one: the network's. */
};

struct weft_run_wr {
	uint8_t *local; /* owns; READ: where the answer goes */
	uint64_t addr;
	uint32_t key;
	uint32_t first_dependent, next_dependent;
	uint32_t inc; /* Incarnation of the host that posted it. */
	enum {
		WEFT_RUN_WR_PLANNED,
		WEFT_RUN_WR_WAITING, /* Due, but not accepted yet. */
		WEFT_RUN_WR_POSTED,
		WEFT_RUN_WR_DONE,
		WEFT_RUN_WR_ORPHAN,
	} state;
};

struct weft_run_recv {
	uint8_t *buf; /* owns; while claimed by a SEND */
	uint32_t len, wr, inc;
	uint8_t host, qp;
	bool claimed;
};

struct weft_run_qp {
	uint16_t qpn;
	bool gone, error, refill_pending;
	bool doomed; /* Goes away when a message for it has come in part. */
	uint32_t posted; /* Receives in the ring. */
	uint32_t head;
	uint64_t ring[WEFT_RUN_RING];
};

struct weft_run_mr {
	uint64_t addr;
	uint32_t key, len;
	bool valid;
	uint8_t access; /* enum weft_trace_access */
	uint8_t *mem; /* owns; NULL for READ regions, whose content is a function */
};

struct weft_run_host {
	struct weft_run *run; /* ref */
	struct weft_srd *srd; /* in mem */
	void *mem; /* owns */
	const struct weft_sim_host_cfg *cfg;
	uint8_t index;
	bool up, closing, recvs_on;
	uint32_t inc;
	weft_ns clock_offset;
	int32_t drift_ppm;
	weft_ns wake_at; /* Time of the valid service event. */
	weft_ns stalled_until, tx_blocked_until;
	weft_ns poll;
	uint32_t socket_frames, short_gso_ppm;
	bool doomed, crash_now;
	uint8_t qp_now; /* 1 + the QP that goes away before the next frame; 0: none. */
	weft_ns restart_span; /* After a close or a doom; NEVER: none. */
	struct weft_run_qp qp[WEFT_SIM_QPS];
	struct weft_run_mr mr[WEFT_SIM_MRS];
	bool peer_held[WEFT_SIM_HOSTS];
	uint32_t peer[WEFT_SIM_HOSTS];
	uint32_t peer_open[WEFT_SIM_HOSTS]; /* Outstanding requests. */
	struct weft_lossy_frame **socket; /* owns: frames not read yet */
	uint32_t socket_len, socket_cap;
	uint32_t *waiting; /* owns: requests not accepted yet, in order */
	uint32_t waiting_len, waiting_cap;
	uint64_t got_from[WEFT_SIM_HOSTS]; /* Bytes delivered, by sender. */
	uint32_t cancels_due; /* Requests to give up when a part of them arrives. */
	uint64_t nobody_due; /* Bit per peer of whom it is about to be told. */
	uint32_t timer_spins;
	weft_ns timer_spun_at;
};

struct weft_run {
	struct weft_scenario *s; /* borrows */
	struct weft_trace *trace; /* borrows */
	struct weft_evq evq;
	struct weft_lossy net;
	struct weft_prng prng;
	struct weft_run_host host[WEFT_SIM_HOSTS];
	struct weft_run_wr *wr; /* owns: plan_len + extra */
	uint32_t wrs, wrs_cap;
	struct weft_run_recv *recv; /* owns */
	uint64_t recvs, recvs_cap;
	uint32_t next_key;
	uint32_t open, waiting; /* Requests accepted and not completed; due and not accepted. */
	uint32_t timed; /* Requests of the plan whose time has not come. */
	uint64_t hits[WEFT_FAULT_COUNT]; /* Host faults; the network counts its own. */
	uint64_t events;
	bool stuck, quiet, healed;
	uint32_t phase;
	weft_ns deadline; /* Of the phase. */
	struct {
		bool started, done;
		uint64_t at_start[WEFT_SIM_HOSTS];
		uint64_t left[WEFT_SIM_HOSTS];
	} fair;
};

struct weft_run_result {
	struct weft_oracle_report report;
	uint64_t hash;
	uint64_t hits[WEFT_FAULT_COUNT];
	bool chosen[WEFT_FAULT_COUNT];
	uint64_t events;
	weft_ns virtual_time;
};

/* Run one seed and judge it. */
void weft_run_seed(uint64_t seed, bool liveness, const bool *only, FILE *trace_out,
		   struct weft_run_result *result_out);

/* host.c */
weft_ns weft_host_clock(const struct weft_run_host *h);
void weft_host_up(struct weft_run_host *h);
void weft_host_down(struct weft_run_host *h);
void weft_host_close(struct weft_run_host *h);
void weft_host_service(struct weft_run_host *h);
void weft_host_on_frame(struct weft_run_host *h, struct weft_lossy_frame *f);
void weft_host_wake(struct weft_run_host *h, weft_ns at);
void weft_host_want(struct weft_run_host *h, uint32_t wr);
void weft_host_usage(struct weft_run_host *h);
void weft_host_fini(struct weft_run_host *h);

/* hostmem.c */
extern const struct weft_srd_ops weft_hostmem_ops;
void weft_hostmem_up(struct weft_run_host *h);
void weft_hostmem_down(struct weft_run_host *h);
void weft_hostmem_refill(struct weft_run_host *h, uint32_t qp);
void weft_hostmem_qp_gone(struct weft_run_host *h, uint32_t qp);
void weft_hostmem_payload(struct weft_run_host *h, const struct weft_srd_payload *p, uint8_t *buf);
uint64_t weft_hostmem_target_hash(struct weft_run *run, uint32_t wr);
void weft_hostmem_check_guards(struct weft_run_host *h);

/* run.c, for the other two. */
void weft_run_trace(struct weft_run *run, struct weft_trace_rec rec);
void weft_run_stuck(struct weft_run *run, uint8_t host, uint32_t how);
void weft_run_extend(struct weft_run *run);
void weft_run_completed(struct weft_run *run, uint32_t wr);
void weft_run_delivered(struct weft_run *run, uint32_t wr);
void weft_run_qp_gone(struct weft_run *run, struct weft_run_host *h, uint32_t qp);
/* A part of it arrived, here or at its target: the moment to give it up, if its host means to. */
void weft_run_partly(struct weft_run *run, uint32_t wr);
/* A frame of `from` met nobody at h. */
void weft_run_nobody(struct weft_run *run, uint8_t from, const struct weft_run_host *h);
void weft_run_crash(struct weft_run *run, struct weft_run_host *h, weft_ns span, uint32_t fault);
void weft_run_lost(struct weft_run *run, const struct weft_lossy_frame *f, uint32_t fault);

static inline const struct weft_sim_wr_plan *weft_run_plan(const struct weft_run *run, uint32_t wr)
{
	return &run->s->plan[wr];
}

#endif
