/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_SIM_SCENARIO_H
#define WEFT_SIM_SCENARIO_H

/* What a seed means: the hosts, the network between them, what they want of each other, what goes wrong
 * and when. A scenario is fixed before the run begins; it is carried out by run.c and host.c. */
#include "sim/fault.h"
#include "sim/trace.h"
#include "srd/srd.h"

#define WEFT_SIM_HOSTS       WEFT_LOSSY_HOSTS_MAX
#define WEFT_SIM_QPS         4u
#define WEFT_SIM_MRS         4u /* Per host: half of them for WRITEs, half for READs. */
#define WEFT_SIM_READ_REGION (8u << 20)
#define WEFT_SIM_GUARD       32u /* Bytes between the targets of two WRITEs that nobody may touch. */
#define WEFT_SIM_NO_DEP      UINT32_MAX

/* One work request of the plan. */
struct weft_sim_wr_plan {
	weft_ns at; /* From the start; with a dependency: after that. */
	uint32_t after; /* Work request to wait for, or NO_DEP. */
	bool after_delivery; /* Wait for its delivery rather than its completion. */
	uint8_t host, peer, qp, peer_qp;
	uint8_t op; /* enum weft_srd_op. */
	uint8_t rnr_retry;
	uint8_t mr; /* Of the target. */
	uint16_t flags; /* enum weft_trace_wr_flags. */
	uint32_t len;
	uint32_t mr_off;
};

enum weft_sim_action_kind {
	WEFT_ACT_PATH_DOWN, /* value: 1 on, 0 off. */
	WEFT_ACT_PATH_GREY, /* value: ppm. */
	WEFT_ACT_PATH_SLOW, /* value: divisor. */
	WEFT_ACT_BLOCK, /* value: 1 on, 0 off. */
	WEFT_ACT_REMAP,
	WEFT_ACT_MTU, /* value: bytes. */
	WEFT_ACT_CLOCK_JUMP, /* span: how far. */
	WEFT_ACT_STALL, /* span: how long. */
	WEFT_ACT_TX_BLOCK, /* span: how long the socket refuses. */
	WEFT_ACT_QP_ERROR, /* path: QP; value: 1 on, 0 off. */
	WEFT_ACT_QP_GONE, /* path: QP. */
	WEFT_ACT_DEREG, /* path: MR. */
	WEFT_ACT_CRASH, /* span: until the restart; NEVER: none. */
	WEFT_ACT_DOOM, /* Crash as soon as it has answered a HELLO; span as above. */
	WEFT_ACT_CLOSE, /* span: from closed to restart; NEVER: none. */
	WEFT_ACT_RECVS, /* Receives are posted from now on. */
	WEFT_ACT_CANCEL, /* value: enum weft_sim_cancel; path: which of the requests. */
	WEFT_ACT_NOBODY, /* host is told that peer is not there. */
};

enum weft_sim_cancel {
	WEFT_CANCEL_ONE, /* One that is open. */
	WEFT_CANCEL_DONE, /* One that is done: nothing may happen. */
	WEFT_CANCEL_PEER, /* All that are open to the same peer. */
	WEFT_CANCEL_PARTLY, /* The next one of which a part arrives. */
	WEFT_CANCELS,
};

struct weft_sim_action {
	weft_ns at;
	weft_ns span;
	uint32_t value;
	uint16_t path;
	uint8_t kind; /* enum weft_sim_action_kind. */
	uint8_t fault; /* enum weft_sim_fault, for the trace. */
	uint8_t host, peer;
};

enum weft_sim_shape {
	WEFT_SHAPE_MIXED, /* Anything to anyone at any time. */
	WEFT_SHAPE_BURSTS, /* The same, with gaps in which contexts go idle. */
	WEFT_SHAPE_INCAST, /* Many to one, at once. */
	WEFT_SHAPE_RPC, /* Requests whose delivery triggers an answer. */
	WEFT_SHAPE_STREAMS, /* Closed loops between pairs, both ways. */
	WEFT_SHAPE_SMALL, /* Many tiny messages. */
	WEFT_SHAPE_WRITES, /* Large WRITEs. */
	WEFT_SHAPE_READS,
	WEFT_SHAPE_ALL_TO_ALL,
	WEFT_SHAPES,
};

enum weft_sim_flavour {
	WEFT_FLAVOUR_CLEAN, /* Nothing goes wrong: the yardstick. */
	WEFT_FLAVOUR_FAIR, /* A long, clean incast. */
	WEFT_FLAVOUR_DARK, /* One path of many goes dark. */
	WEFT_FLAVOUR_ISOLATE, /* Faults touch one host; the others must not notice. */
	WEFT_FLAVOUR_SINGLE, /* One fault of the list. */
	WEFT_FLAVOUR_MIX,
};

struct weft_sim_host_cfg {
	struct weft_srd_cfg srd;
	weft_ns clock_offset;
	int32_t drift_ppm;
	weft_ns poll; /* The socket is looked at this often; 0: at once. */
	uint32_t socket_frames;
	uint32_t short_gso_ppm;
	uint32_t recv_depth;
	weft_ns refill_max; /* A used receive is replaced after up to this long. */
	uint32_t short_recv_ppm;
	weft_ns recvs_from; /* No receives before; NEVER: none at all until healed. */
	bool doomed; /* Crashes after its first answer to a HELLO, once. */
	weft_ns doom_span;
};

struct weft_scenario {
	uint64_t seed;
	bool liveness;
	enum weft_sim_flavour flavour;
	enum weft_sim_shape shape;
	bool varied; /* The engines are not set as they should be. */
	uint32_t scale; /* How much traffic, in units of a small run. */
	struct weft_prng prng;
	struct weft_prng late_prng; /* For what was added when the seeds already meant something. */
	struct weft_prng
		extra_prng; /* For extra faults: whether, how, and the run's dice for them. */
	uint8_t hosts, qps;
	struct weft_lossy_cfg net;
	struct weft_sim_host_cfg host[WEFT_SIM_HOSTS];
	bool on[WEFT_FAULT_COUNT];
	uint8_t victim; /* ISOLATE: the host that faults touch. */
	uint64_t faulty_hosts;
	weft_ns rtt; /* Longest undisturbed round trip. */
	weft_ns horizon; /* The plan and the faults begin within this time. */
	weft_ns bound; /* Then everything is done after this time, or when healed. */
	weft_ns heal_bound;
	uint32_t mtu;
	uint32_t read_refused_ppm, bad_key_ppm, bad_qpn_ppm;
	uint8_t rnr_retry_mode; /* 0: always 7; 1: any. */

	struct weft_sim_wr_plan *plan; /* owns */
	uint32_t plan_len, plan_cap;
	uint64_t plan_bytes;
	uint32_t mr_len[WEFT_SIM_HOSTS][WEFT_SIM_MRS];
	struct weft_sim_action *actions; /* owns */
	uint32_t actions_len, actions_cap;
};

/* `only`: NULL, or which faults may be chosen (WEFT_FAULT_COUNT flags). */
void weft_scenario_make(struct weft_scenario *s, uint64_t seed, bool liveness, const bool *only);
void weft_scenario_fini(struct weft_scenario *s);

const char *weft_sim_shape_name(enum weft_sim_shape shape);
const char *weft_sim_flavour_name(enum weft_sim_flavour flavour);

/* Private to scenario*.c. */
void weft_scenario_apply(struct weft_scenario *s, uint32_t fault);
void weft_scenario_apply_extra(struct weft_scenario *s, uint32_t fault);
void weft_workload_plan(struct weft_scenario *s);

static inline weft_ns weft_sim_between(struct weft_prng *p, weft_ns lo, weft_ns hi)
{
	return lo + weft_prng_next(p) % (hi - lo + 1);
}

/* Between lo and hi with equal weight for each doubling, so that small values are not rare. */
uint64_t weft_sim_log_between(struct weft_prng *p, uint64_t lo, uint64_t hi);

#endif
