/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_SIM_FABRIC_STAT_H
#define WEFT_SIM_FABRIC_STAT_H

/* The arithmetic of results. */
#include "sim/fabric_run.h"

/* Percentiles are by nearest rank. Sorts `v`. */
void weft_sim_spread(weft_ns *v, uint32_t n, struct weft_sim_spread *spread_out);

/* Jain's index of the rates 1 / v[i]: 1 when all are equal, 1 / n when one has everything. */
double weft_sim_jain(const weft_ns *v, uint32_t n);

void weft_sim_stats_add(struct weft_srd_stats *sum, const struct weft_srd_stats *more);
void weft_sim_stats_sub(struct weft_srd_stats *from, const struct weft_srd_stats *less);
/* The peaks stay as they are. */
void weft_sim_net_stats_sub(struct weft_fabric_stats *from, const struct weft_fabric_stats *less);

/* When data packets were sent that a blackhole swallowed, by path. */
struct weft_sim_lost_path {
	uint32_t src, dst;
	weft_ns first, last;
	uint16_t entropy;
	bool used;
};

struct weft_sim_losses {
	struct weft_sim_lost_path *paths; /* owns; a hash table */
	uint32_t cap, len;
	uint64_t data, control; /* Frames. */
};

void weft_sim_losses_add(struct weft_sim_losses *l, uint32_t src, uint32_t dst, uint16_t entropy,
			 weft_ns sent_at);
void weft_sim_losses_fini(struct weft_sim_losses *l);

/* See struct weft_sim_fabric_result. Nothing is to be added afterwards. */
void weft_sim_losses_left(struct weft_sim_losses *l, weft_ns broken_at,
			  struct weft_sim_left *pair_out, struct weft_sim_left *path_out);

#endif
