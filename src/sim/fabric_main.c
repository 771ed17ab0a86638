/* SPDX-License-Identifier: BSD-2-Clause */
/* `weft sim fabric`: read the options, run each seed, print. */
#include "sim/sim.h"

#include "base/assert.h"
#include "sim/fabric_opts.h"
#include "sim/fabric_print.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int run_row(const struct weft_sim_fabric_opts *o, uint64_t seed,
		   struct weft_sim_fabric_row *row_out)
{
	struct weft_sim_fabric_cfg cfg = o->run;
	bool progress = isatty(STDERR_FILENO);
	const char *why;
	int err;

	*row_out = (struct weft_sim_fabric_row){ 0 };
	cfg.seed = seed;
	err = weft_sim_fabric_run(&cfg, progress, &row_out->result, &why);
	if (!err && cfg.net.loss_ppm && !row_out->result.failure) {
		cfg.net.loss_ppm = 0;
		row_out->has_lossless = true;
		err = weft_sim_fabric_run(&cfg, progress, &row_out->lossless, &why);
	}
	if (err)
		fprintf(stderr, "weft sim fabric: the engine refuses this configuration: %s\n",
			why);
	return err;
}

int weft_sim_fabric_main(int argc, char **argv)
{
	struct weft_sim_fabric_opts o;
	struct weft_sim_fabric_row *rows;
	uint32_t n, i;
	int status = 0;

	if (weft_sim_fabric_opts_parse(&o, argc, argv))
		return 2;
	if (o.help) {
		weft_sim_fabric_help();
		return 0;
	}
	n = (uint32_t)(o.seed_last - o.seed_first) + 1;
	rows = calloc(n, sizeof(*rows));
	weft_assert(rows);
	if (!o.json)
		weft_sim_fabric_print_head(&o);
	for (i = 0; i < n; i++) {
		if (run_row(&o, o.seed_first + i, &rows[i])) {
			status = 2;
			break;
		}
		if (rows[i].result.failure || (rows[i].has_lossless && rows[i].lossless.failure))
			status = 1;
		if (!o.json)
			weft_sim_fabric_print_row(&o, &rows[i]);
	}
	if (status != 2 && o.json)
		weft_sim_fabric_print_json(&o, rows, n);
	else if (status != 2 && o.is_range)
		weft_sim_fabric_print_tail(&o, rows, n);
	free(rows);
	return status;
}
