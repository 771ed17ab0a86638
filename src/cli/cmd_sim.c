/* SPDX-License-Identifier: BSD-2-Clause */
/* `weft sim`: a second table below the first one. The work is in src/sim. */
#include "cli/cli.h"

#include "sim/sim.h"

#include <stdio.h>

const char weft_cmd_sim_usage[] =
	"usage: weft sim faults --seeds A..B [ARGUMENT...]\n"
	"       weft sim fabric --topology T --workload W [ARGUMENT...]\n"
	"\n"
	"  faults     random workloads under random faults, judged by an oracle\n"
	"  fabric     flow completion times in a leaf-spine network or a fat tree\n"
	"\n"
	"`weft sim faults --help` and `weft sim fabric --help` list the arguments.\n";

static const struct weft_cmd subcommands[] = {
	{ "faults", weft_sim_faults_main, NULL, NULL },
	{ "fabric", weft_sim_fabric_main, NULL, NULL },
	{ NULL, NULL, NULL, NULL },
};

int weft_cmd_sim(int argc, char **argv)
{
	const struct weft_cmd *c;

	if (argc < 2) {
		fputs(weft_cmd_sim_usage, stderr);
		return 2;
	}
	c = weft_cli_find(subcommands, argv[1]);
	if (!c) {
		weft_cli_unknown(subcommands, "weft sim", argv[1]);
		return 2;
	}
	return c->run(argc - 1, argv + 1);
}
