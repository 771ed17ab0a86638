/* SPDX-License-Identifier: BSD-2-Clause */
/* `weft logs`: what a job's logs say about its network.
 *
 * Reads files of any size, or a pipe for as long as somebody writes into it. An interrupt ends the reading and not the
 * program: the verdict over what came so far is what somebody wants who stops a hanging job. */
#define _GNU_SOURCE
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/logs.h"
#include "cli/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CMD        "weft logs"
#define PIECE_SIZE (1u << 18) /* Stays in the cache between the reading and the search. */
#define AGAIN_NS   200000000L /* How often a file that ends is asked for more, with --follow. */

const char weft_cmd_logs_usage[] =
	"usage: weft logs [--json] [--require efa] [--expect INSTANCE] [FILE...]\n"
	"       ... | weft logs [--follow] [-]\n"
	"\n"
	"Read logs of NCCL, aws-ofi-nccl, libfabric, Open MPI and UCX, bare or as mpirun,\n"
	"srun, torchrun and kubectl print them, and say for each rank which network it\n"
	"used, which rank failed first, and what the messages mean and ask for.\n"
	"\n"
	"  FILE               a log; - or nothing: standard input, to its end or to Ctrl-C\n"
	"  --require efa      a gate: a rank that is not proved to be on EFA is a failure\n"
	"  --expect INSTANCE  the instance type, if the log does not name it: that many cards\n"
	"                     and GPUDirect are expected\n"
	"  --follow           print what is new as it comes; wait for more at the file's end\n"
	"  --json             as JSON\n"
	"\n"
	"Ends with 0: nothing failed; 1: something did, a fall back to TCP is enough;\n"
	"2: an input could not be read. NCCL_DEBUG=INFO is the setting that makes NCCL's\n"
	"logs say which network it is. `weft check --explain ID` says more about a finding.\n";

struct options {
	bool json, follow, require_efa;
	const struct weft_instance *expect;
	const char **file;
	int files;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
	(void)sig;
	interrupted = 1;
}

/* A second interrupt ends the program as usual. */
static void catch_interrupts(void)
{
	struct sigaction act = { .sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND };

	sigaction(SIGINT, &act, NULL);
}

static void print_new(void *arg, const struct weft_logs *logs, uint32_t source, uint32_t msg)
{
	(void)arg;
	weft_logs_print_event(logs, source, msg);
}

/* Compressed files hold no lines, and a verdict over none would be wrong. */
static const char *compressed_with(const char *data, ssize_t len)
{
	static const struct {
		const char *magic, *tool;
	} kinds[] = { { "\x1f\x8b", "zcat" },
		      { "\x28\xb5\x2f\xfd", "zstdcat" },
		      { "\xfd"
			"7zXZ",
			"xzcat" },
		      { "BZh", "bzcat" } };

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(kinds); i++)
		if (len >= (ssize_t)strlen(kinds[i].magic) &&
		    !memcmp(data, kinds[i].magic, strlen(kinds[i].magic)))
			return kinds[i].tool;
	return NULL;
}

static bool read_all(struct weft_logs *logs, int fd, const char *name, bool follow, char *piece)
{
	static const struct timespec again = { 0, AGAIN_NS };
	bool first = true;

	while (!interrupted) {
		ssize_t n = read(fd, piece, PIECE_SIZE);
		const char *tool;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			fprintf(stderr, CMD ": cannot read %s: %s\n", name, strerror(errno));
			return false;
		}
		if (!n && !follow)
			return true;
		if (!n) {
			nanosleep(&again, NULL);
			continue;
		}
		tool = first ? compressed_with(piece, n) : NULL;
		if (tool) {
			fprintf(stderr, CMD ": %s is compressed: %s FILE | weft logs\n", name,
				tool);
			return false;
		}
		first = false;
		weft_logs_feed(logs, piece, (size_t)n);
	}
	return true;
}

static bool read_file(struct weft_logs *logs, const char *name, bool follow, char *piece)
{
	bool is_stdin = !strcmp(name, "-"), good;
	int fd = is_stdin ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		fprintf(stderr, CMD ": cannot open %s: %s\n", name, strerror(errno));
		return false;
	}
	if (weft_logs_file(logs, is_stdin ? "standard input" : name)) {
		fputs(CMD ": out of memory\n", stderr);
		good = false;
	} else {
		/* A pipe has an end when everybody has closed it: nothing to be waited for. */
		good = read_all(logs, fd, name, follow && lseek(fd, 0, SEEK_CUR) >= 0, piece);
	}
	if (!is_stdin)
		close(fd);
	weft_logs_end(logs);
	return good;
}

static int report(struct weft_logs *logs, const struct options *o)
{
	struct weft_logs_report r;
	int status;

	if (weft_logs_report_make(logs, o->expect, o->require_efa, &r)) {
		fputs(CMD ": out of memory\n", stderr);
		return 2;
	}
	if (o->json)
		weft_logs_print_json(logs, &r);
	else
		weft_logs_print(logs, &r);
	status = weft_findings_worst(&r.findings) == WEFT_SEV_FAIL;
	weft_logs_report_fini(&r);
	return status;
}

/* 1: an option, 0: a file, -1: a mistake that has been told. */
static int parse_option(int argc, char **argv, int *i, struct options *o)
{
	const char *value;
	int rc;

	if (!strcmp(argv[*i], "--json"))
		return o->json = true;
	if (!strcmp(argv[*i], "--follow") || !strcmp(argv[*i], "-f"))
		return o->follow = true;
	rc = weft_args_value(CMD, argc, argv, i, "--require", &value);
	if (rc > 0 && strcmp(value, "efa") != 0) {
		fprintf(stderr, CMD ": --require knows efa, not \"%.64s\"\n", value);
		return -1;
	}
	o->require_efa |= rc > 0;
	if (rc)
		return rc;
	rc = weft_args_value(CMD, argc, argv, i, "--expect", &value);
	if (rc > 0 && !(o->expect = weft_plan_find(CMD, value)))
		return -1;
	if (rc)
		return rc;
	if (argv[*i][0] != '-' || !argv[*i][1])
		return 0;
	fprintf(stderr, CMD ": unknown option %.64s; see `weft help logs`\n", argv[*i]);
	return -1;
}

static bool parse(int argc, char **argv, struct options *o)
{
	bool only_files = false;

	for (int i = 1; i < argc; i++) {
		int rc = 0;

		if (!only_files && !strcmp(argv[i], "--")) {
			only_files = true;
			continue;
		}
		if (!only_files)
			rc = parse_option(argc, argv, &i, o);
		if (rc < 0)
			return false;
		if (!rc)
			o->file[o->files++] = argv[i];
	}
	if (o->follow && o->json) {
		fputs(CMD ": --follow prints lines as they come, --json one document at the end: "
			  "not both\n",
		      stderr);
		return false;
	}
	if (o->follow && o->files > 1) {
		fputs(CMD ": --follow waits at the end of one file, not of several\n", stderr);
		return false;
	}
	if (!o->files)
		o->file[o->files++] = "-";
	if (!strcmp(o->file[0], "-") && o->files == 1 && isatty(STDIN_FILENO))
		fputs(CMD ": reading from the terminal; Ctrl-D ends it\n", stderr);
	return true;
}

static int run(const struct options *o, struct weft_logs *logs, char *piece)
{
	bool good = true;
	int status;

	if (!logs || !piece) {
		fputs(CMD ": out of memory\n", stderr);
		return 2;
	}
	if (o->follow)
		logs->on_new = print_new;
	catch_interrupts();
	for (int i = 0; i < o->files && !interrupted; i++)
		good &= read_file(logs, o->file[i], o->follow, piece);
	/* With nothing read at all there is nothing to report on. */
	if (!good && !logs->bytes)
		return 2;
	status = report(logs, o);
	return good ? status : 2;
}

int weft_cmd_logs(int argc, char **argv)
{
	struct options o = { .file = calloc((size_t)argc + 1, sizeof(*o.file)) };
	struct weft_logs *logs = NULL;
	char *piece = NULL;
	int status = 2;

	if (!o.file) {
		fputs(CMD ": out of memory\n", stderr);
		return 2;
	}
	if (parse(argc, argv, &o)) {
		logs = weft_logs_create();
		piece = malloc(PIECE_SIZE);
		status = run(&o, logs, piece);
	}
	free(piece);
	weft_logs_destroy(logs);
	free(o.file);
	return status;
}
