/* SPDX-License-Identifier: BSD-2-Clause */
/* The program: a table of commands and what is common to all of them.
 *
 * Results go to stdout and everything else to stderr, so that `weft ... --json | jq` sees only JSON.
 * Nobody downstream checks printf(): a full disk or a closed pipe shows when stdout is flushed at the end,
 * and turns any success into exit 2, because half a result must not look like a whole one. */
#include "cli/cli.h"

#include "base/spell.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int cmd_help(int argc, char **argv);
static int cmd_version(int argc, char **argv);

static const struct weft_cmd commands[] = {
	{ "check", weft_cmd_check, "find what keeps programs off EFA, or makes them slow",
	  weft_cmd_check_usage },
	{ "config", weft_cmd_config, "print the settings in force, and their origin",
	  weft_cmd_config_usage },
	{ "export", weft_cmd_export, "give the counters of cards to Prometheus",
	  weft_cmd_export_usage },
	{ "help", cmd_help, "say what the commands do", "usage: weft help [COMMAND]\n" },
	{ "info", weft_cmd_info, "print the cards that programs see here, and who uses them",
	  weft_cmd_info_usage },
	{ "lint", weft_cmd_lint, "say what is wrong with configuration for EFA",
	  weft_cmd_lint_usage },
	{ "logs", weft_cmd_logs, "say what a job's logs say about its network",
	  weft_cmd_logs_usage },
	{ "manifest", weft_cmd_manifest,
	  "write configuration of other programs for an instance type", weft_cmd_manifest_usage },
	{ "nodes", weft_cmd_nodes, "show the nodes of a Kubernetes cluster, and their EFAs",
	  weft_cmd_nodes_usage },
	{ "perf", weft_cmd_perf, "measure the network: latency, bandwidth, collectives",
	  weft_cmd_perf_usage },
	{ "plan", weft_cmd_plan, "say what instance types have, and what follows from it",
	  weft_cmd_plan_usage },
	{ "run", weft_cmd_run, "run a program with weft's cards", weft_cmd_run_usage },
	{ "sim", weft_cmd_sim, "run the transport in a simulated network", weft_cmd_sim_usage },
	{ "top", weft_cmd_top, "show what cards, the network and programs do, every second",
	  weft_cmd_top_usage },
	{ "version", cmd_version, "print the version", "usage: weft version [--json]\n" },
	{ NULL, NULL, NULL, NULL },
};

const struct weft_cmd *weft_cli_find(const struct weft_cmd *table, const char *name)
{
	for (; table->name; table++)
		if (!strcmp(table->name, name))
			return table;
	return NULL;
}

void weft_cli_unknown(const struct weft_cmd *table, const char *prefix, const char *name)
{
	const char *close = NULL;
	size_t best = SIZE_MAX;

	for (const struct weft_cmd *c = table; c->name; c++)
		if (weft_spell_is_closer(name, c->name, &best))
			close = c->name;
	fprintf(stderr, "%s: no such command: %.64s", prefix, name);
	if (close)
		fprintf(stderr, "; did you mean %s?\n", close);
	else
		fprintf(stderr, "; see `weft help`\n");
}

static void print_commands(FILE *to)
{
	fputs("usage: weft COMMAND [ARGUMENT...]\n\n", to);
	for (const struct weft_cmd *c = commands; c->name; c++)
		fprintf(to, "  %-10s %s\n", c->name, c->what);
	fputs("\n`weft help COMMAND` says more about one of them.\n", to);
}

/* The spellings that every program is expected to know. */
static const char *canonical(const char *name)
{
	if (!strcmp(name, "--help") || !strcmp(name, "-h"))
		return "help";
	if (!strcmp(name, "--version") || !strcmp(name, "-V"))
		return "version";
	return name;
}

static int cmd_help(int argc, char **argv)
{
	const struct weft_cmd *c;

	if (argc > 2) {
		fputs("weft help: at most one command\n", stderr);
		return 2;
	}
	if (argc < 2) {
		print_commands(stdout);
		return 0;
	}
	c = weft_cli_find(commands, canonical(argv[1]));
	if (!c) {
		weft_cli_unknown(commands, "weft help", argv[1]);
		return 2;
	}
	printf("weft %s: %s\n\n%s", c->name, c->what, c->usage);
	return 0;
}

static int cmd_version(int argc, char **argv)
{
	bool json = argc == 2 && !strcmp(argv[1], "--json");

	if (argc > 1 && !json) {
		fprintf(stderr, "weft version: only --json may follow, not %.64s\n",
			argv[argc - 1]);
		return 2;
	}
	printf(json ? "{\"name\": \"weft\", \"version\": \"%s\"}\n" : "weft %s\n", WEFT_VERSION);
	return 0;
}

/* The exit status for what could not be done. `weft check` has a table of its own, where 2 are failures. */
static int could_not(const struct weft_cmd *c)
{
	return c->run == weft_cmd_check ? 3 : 2;
}

int main(int argc, char **argv)
{
	const struct weft_cmd *c;
	int status;

	if (argc < 2) {
		print_commands(stderr);
		return 2;
	}
	c = weft_cli_find(commands, canonical(argv[1]));
	if (!c) {
		weft_cli_unknown(commands, "weft", argv[1]);
		return 2;
	}
	/* `weft CMD --help` is what people try first. */
	if (argc == 3 && c->run != cmd_help && !strcmp(canonical(argv[2]), "help")) {
		status = cmd_help(2, argv);
	} else {
		status = c->run(argc - 1, argv + 1);
	}
	if (fflush(stdout) != 0) {
		fprintf(stderr, "weft: cannot write the output: %s\n", strerror(errno));
		return could_not(c);
	}
	/* A write that failed in the middle has lost its errno, and the flush had nothing left to do. */
	if (ferror(stdout)) {
		fputs("weft: cannot write all of the output\n", stderr);
		return could_not(c);
	}
	return status;
}
