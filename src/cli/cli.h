/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_CLI_CLI_H
#define WEFT_CLI_CLI_H

/* One row of a table of commands. `run` gets the command's own arguments, argv[0] being its name, and
 * returns the exit status: 0 done, 1 done and the answer is no, 2 could not be done as asked. It need
 * not check its writes to stdout: main() flushes and checks once for all of them. */
#include "base/types.h"

struct weft_cmd {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *what; /* One line of `weft help`. */
	const char *usage; /* The body of `weft help NAME`, with its newlines. */
};

/* The table ends with a row whose name is NULL. NULL when there is no such command. */
const struct weft_cmd *weft_cli_find(const struct weft_cmd *table, const char *name);

/* Tell stderr, in one line, that `name` is not one of `table`, and which one may have been meant. */
void weft_cli_unknown(const struct weft_cmd *table, const char *prefix, const char *name);

int weft_cmd_check(int argc, char **argv);
int weft_cmd_config(int argc, char **argv);
int weft_cmd_export(int argc, char **argv);
int weft_cmd_info(int argc, char **argv);
int weft_cmd_lint(int argc, char **argv);
int weft_cmd_manifest(int argc, char **argv);
int weft_cmd_logs(int argc, char **argv);
int weft_cmd_nodes(int argc, char **argv);
int weft_cmd_perf(int argc, char **argv);
int weft_cmd_perf_nccl(int argc, char **argv); /* Of weft_cmd_perf. */
int weft_cmd_plan(int argc, char **argv);
int weft_cmd_run(int argc, char **argv);
int weft_cmd_sim(int argc, char **argv);
int weft_cmd_top(int argc, char **argv);
extern const char weft_cmd_check_usage[];
extern const char weft_cmd_config_usage[];
extern const char weft_cmd_export_usage[];
extern const char weft_cmd_info_usage[];
extern const char weft_cmd_lint_usage[];
extern const char weft_cmd_manifest_usage[];
extern const char weft_cmd_logs_usage[];
extern const char weft_cmd_nodes_usage[];
extern const char weft_cmd_perf_usage[];
extern const char weft_cmd_plan_usage[];
extern const char weft_cmd_run_usage[];
extern const char weft_cmd_sim_usage[];
extern const char weft_cmd_top_usage[];

#endif
