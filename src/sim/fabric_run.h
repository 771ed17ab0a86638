/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_SIM_FABRIC_RUN_H
#define WEFT_SIM_FABRIC_RUN_H

/* One run of `weft sim fabric`: engines on the hosts of a simulated fabric, a workload, and what came of it. */
#include "sim/fabric_load.h"
#include "srd/srd.h"

/* Ethernet, IPv4 and UDP around what the engine builds. */
#define WEFT_SIM_FRAME_OVERHEAD (14u + 20u + 8u)

struct weft_sim_fabric_cfg {
	struct weft_fabric_cfg net; /* Complete but for its seed. */
	enum weft_sim_workload workload;
	uint32_t size; /* See weft_sim_load_init(). */
	uint32_t senders;
	uint32_t mtu; /* Longest frame on the wire. */
	uint32_t paths;
	enum weft_srd_lb lb;
	uint32_t burst_bytes;
	bool credits;
	bool cold; /* Contexts are not opened before the start. */
	uint32_t blackhole_links;
	weft_ns blackhole_at; /* After the start. */
	uint64_t seed;
};

struct weft_sim_spread {
	weft_ns min, p50, p99, max, mean;
};

/* How long blackholes were fed, over those that lost data packets to one. */
struct weft_sim_left {
	uint32_t count;
	weft_ns p50, max;
};

struct weft_sim_fabric_result {
	uint64_t seed;
	const char *failure; /* NULL: all work was done. Otherwise why not; no times then. */
	uint32_t flows, flows_failed, flows_unfinished;
	/* From the start to the last acknowledgement at the sender, and to the last byte at the receiver. */
	struct weft_sim_spread fct, fct_rcvd;
	weft_ns ideal, base_rtt;
	double jain; /* Of the rates that tasks had from start to end. */
	struct weft_srd_stats srd; /* All engines together, from the start on. */
	struct weft_fabric_stats net; /* From the start on. */
	/* By pair of hosts: from the breaking of the links to the sending of the last data packet into one. By
	 * path (pair and entropy): from the first to the last such packet. */
	struct weft_sim_left left_pair, left_path;
	uint64_t blackhole_data,
		blackhole_control; /* Frames sent after the breaking and lost to it. */
	uint64_t trace_hash;
	weft_ns wall; /* How long the run itself took. */
};

/* Bytes of memory that a run needs, roughly. */
uint64_t weft_sim_fabric_memory(const struct weft_sim_fabric_cfg *cfg);

/* The unloaded round trip of a full frame between the hosts farthest apart. */
weft_ns weft_sim_fabric_base_rtt(const struct weft_fabric_cfg *net, uint32_t mtu);

/* 0, or -EINVAL when the engine refuses the configuration; *why_out then says why. With `progress` a
 * line on standard error tells how far a long run is. */
int weft_sim_fabric_run(const struct weft_sim_fabric_cfg *cfg, bool progress,
			struct weft_sim_fabric_result *result_out, const char **why_out);

#endif
