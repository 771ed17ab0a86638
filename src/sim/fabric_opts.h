/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_SIM_FABRIC_OPTS_H
#define WEFT_SIM_FABRIC_OPTS_H

/* The command line of `weft sim fabric`. */
#include "sim/fabric_run.h"

struct weft_sim_fabric_opts {
	struct weft_sim_fabric_cfg run; /* Complete but for its seed. */
	uint64_t seed_first, seed_last;
	bool is_range; /* --seeds, not --seed. */
	bool json, help;
	bool ecmp;
	uint32_t queue_mbdp; /* Thousandths of a BDP. */
	uint32_t ecn_low_ppm, ecn_high_ppm;
};

/* 0, or -EINVAL after one line on standard error. */
int weft_sim_fabric_opts_parse(struct weft_sim_fabric_opts *o, int argc, char **argv);

void weft_sim_fabric_help(void);

#endif
