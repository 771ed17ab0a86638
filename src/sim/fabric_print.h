/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_SIM_FABRIC_PRINT_H
#define WEFT_SIM_FABRIC_PRINT_H

/* What `weft sim fabric` writes to standard output, for people and for programs. */
#include "sim/fabric_opts.h"

/* One run, and with --loss the same one without it (NULL otherwise). */
struct weft_sim_fabric_row {
	struct weft_sim_fabric_result result;
	bool has_lossless;
	struct weft_sim_fabric_result lossless;
};

void weft_sim_fabric_print_head(const struct weft_sim_fabric_opts *o);
void weft_sim_fabric_print_row(const struct weft_sim_fabric_opts *o,
			       const struct weft_sim_fabric_row *row);
/* After several rows. */
void weft_sim_fabric_print_tail(const struct weft_sim_fabric_opts *o,
				const struct weft_sim_fabric_row *rows, uint32_t n);

void weft_sim_fabric_print_json(const struct weft_sim_fabric_opts *o,
				const struct weft_sim_fabric_row *rows, uint32_t n);

#endif
