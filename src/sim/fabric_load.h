/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_SIM_FABRIC_LOAD_H
#define WEFT_SIM_FABRIC_LOAD_H

/* Who sends what to whom in `weft sim fabric`, and how fast that could be at best. */
#include "wire/sim/fabric.h"

#define WEFT_SIM_NONE UINT32_MAX

enum weft_sim_workload {
	WEFT_SIM_PERMUTATION, /* Every host sends to one other and receives from one other. */
	WEFT_SIM_INCAST, /* Some hosts send to one. */
	WEFT_SIM_RING_ALLREDUCE, /* Every host passes on to the next one what it got from the last. */
	WEFT_SIM_ALLTOALL, /* Every host sends to every other. */
};

/* One message. */
struct weft_sim_flow {
	uint32_t src, dst; /* Hosts. */
	uint32_t pair; /* Index of (src, dst) in the load's pairs. */
	uint32_t bytes;
	uint32_t next; /* The flow that dst begins when this one has arrived, or NONE. */
	bool waits; /* It is the next one of another flow; else it begins at the start. */
	/* The tasks that end no earlier than this flow is acknowledged, and has arrived; or NONE. */
	uint32_t task_src, task_dst;

	bool is_posted, is_done, has_failed;
	uint32_t rcvd; /* Bytes that have arrived. */
	weft_ns posted_at, arrived_at, acked_at;
};

struct weft_sim_pair {
	uint32_t src, dst;
	uint32_t peer; /* Handle of dst in the engine of src. */
};

struct weft_sim_load {
	struct weft_sim_flow *flows; /* owns */
	uint32_t flows_len;
	struct weft_sim_pair *pairs; /* owns; sorted, each one once */
	uint32_t pairs_len;
	uint32_t tasks; /* What completion times are told of: a message, or a rank of the ring. */
	weft_ns ideal; /* When the last task could end on an empty network. */
};

/* What the ideal must know about frames. */
struct weft_sim_framing {
	uint32_t mtu; /* Whole frame. */
	uint32_t overhead; /* Of it, everything but payload. */
	uint32_t ack_bytes; /* A frame that only acknowledges. */
};

/* `size` is per message, for the ring the buffer that is reduced. `senders` is for the incast. The
 * arguments must fit: senders < hosts, size at least hosts for the ring. */
void weft_sim_load_init(struct weft_sim_load *load, enum weft_sim_workload workload, uint32_t size,
			uint32_t senders, const struct weft_fabric_cfg *net,
			const struct weft_sim_framing *framing, uint64_t seed);
void weft_sim_load_fini(struct weft_sim_load *load);

#endif
