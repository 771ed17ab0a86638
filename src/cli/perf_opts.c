/* SPDX-License-Identifier: BSD-2-Clause */
/* Options have the names that they have in nccl-tests and fi_pingpong, so that a command line can be taken over: sizes are
 * powers of 1024 as they are there, and what asks for GPUs is refused with the name of the command that has them. */
#include "cli/perf_opts.h"

#include "base/units.h"
#include "cli/args.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind {
	SIZE,
	COUNT,
	NAME,
	TEXT,
	FLAG,
	TIME,
	PERCENT,
	PORT,
	STYLE,
	HOSTS,
	LOCAL,
	ALL_SIZES, /* fi_pingpong's -S */
	ONE, /* What can only be 1 here. */
	SWITCH, /* 0: off. */
};

struct option {
	const char *short_, *long_;
	enum kind kind;
	size_t place;
};

#define JOB(field)  offsetof(struct weft_perf_opts, job.field)
#define OPTS(field) offsetof(struct weft_perf_opts, field)

static const struct option options[] = {
	{ "-b", "--minbytes", SIZE, JOB(bytes_min) },
	{ "-e", "--maxbytes", SIZE, JOB(bytes_max) },
	{ "-f", "--stepfactor", COUNT, JOB(factor) },
	{ "-i", "--stepbytes", SIZE, JOB(step_bytes) },
	{ "-n", "--iters", COUNT, JOB(iterations) },
	{ "-I", "--iterations", COUNT, JOB(iterations) },
	{ "-w", "--warmup_iters", COUNT, JOB(warmup) },
	{ "-c", "--check", SWITCH, JOB(is_checked) },
	{ "-S", "--size", ALL_SIZES, 0 },
	{ "-p", "--provider", NAME, JOB(provider) },
	{ "-g", "--ngpus", ONE, 0 },
	{ "-t", "--nthreads", ONE, 0 },
	{ "-W", "--window", COUNT, JOB(window) },
	{ NULL, "--cards", COUNT, JOB(cards_max) },
	{ NULL, "--source", NAME, JOB(source) },
	{ "-T", "--timeout", TIME, JOB(timeout_ns) },
	{ NULL, "--port", PORT, OPTS(port) },
	{ NULL, "--style", STYLE, OPTS(style) },
	{ NULL, "--csv", STYLE, OPTS(style) },
	{ NULL, "--json", FLAG, OPTS(json) },
	{ NULL, "--soft", FLAG, OPTS(is_soft) },
	{ NULL, "--all-pairs", FLAG, OPTS(all_pairs) },
	{ NULL, "--hosts", HOSTS, 0 },
	{ NULL, "--local", LOCAL, 0 },
	{ NULL, "--compare", TEXT, OPTS(compare) },
	{ NULL, "--expect", TEXT, OPTS(expect) },
	{ NULL, "--tolerance", PERCENT, OPTS(tolerance) },
	{ NULL, "--report", TEXT, OPTS(report) },
	{ NULL, "--plot", TEXT, OPTS(plot) },
};

static const struct option serve_options[] = {
	{ NULL, "--port", PORT, OPTS(port) },
	{ NULL, "--bind", TEXT, OPTS(bind) },
	{ NULL, "--once", FLAG, OPTS(is_once) },
	{ NULL, "--soft", FLAG, OPTS(is_soft) },
};

static bool set_hosts(struct weft_perf_opts *opts, const char *value)
{
	char *save = NULL;

	/* The list lives as long as the program. */
	opts->host_text = strdup(value);
	for (char *h = opts->host_text ? strtok_r(opts->host_text, ",", &save) : NULL; h;
	     h = strtok_r(NULL, ",", &save)) {
		if (opts->hosts == WEFT_PERF_RANKS_MAX)
			return false;
		opts->host[opts->hosts++] = h;
	}
	return opts->hosts > 0;
}

static bool set_size(struct weft_perf_opts *opts, const char *value)
{
	if (!strcmp(value, "all"))
		return true; /* It is what happens anyway. */
	if (!weft_perf_parse_size(value, &opts->job.bytes_min))
		return false;
	opts->job.bytes_max = opts->job.bytes_min;
	return true;
}

static bool set_style(struct weft_perf_opts *opts, const char *value)
{
	static const struct {
		const char *name;
		enum weft_perf_style style;
	} styles[] = {
		{ "own", WEFT_PERF_STYLE_OWN },
		{ "osu", WEFT_PERF_STYLE_OSU },
		{ "csv", WEFT_PERF_STYLE_CSV },
	};

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(styles); i++)
		if (!strcmp(value, styles[i].name)) {
			opts->style = styles[i].style;
			return true;
		}
	return false;
}

static bool set_number(const struct option *o, void *place, const char *value)
{
	uint64_t n;
	uint32_t ppm;

	switch ((int)o->kind) {
	case SIZE:
		return weft_perf_parse_size(value, place);
	case TIME:
		return weft_parse_time(value, place);
	case PERCENT:
		if (!weft_parse_percent(value, &ppm))
			return false;
		*(double *)place = ppm / 1e6;
		return true;
	case PORT:
		if (!weft_parse_u64(value, &n) || !n || n > UINT16_MAX)
			return false;
		*(uint16_t *)place = (uint16_t)n;
		return true;
	case ONE:
		return !strcmp(value, "1");
	default:
		if (!weft_parse_u64(value, &n) || n > UINT32_MAX)
			return false;
		*(uint32_t *)place = o->kind == SWITCH ? n != 0 : (uint32_t)n;
		return true;
	}
}

static bool set(struct weft_perf_opts *opts, const struct option *o, const char *value)
{
	void *place = (char *)opts + o->place;
	uint64_t n;

	switch ((int)o->kind) {
	case NAME:
		return *value && strlen(value) < WEFT_PERF_NAME_MAX &&
		       snprintf(place, WEFT_PERF_NAME_MAX, "%s", value) > 0;
	case TEXT:
		*(const char **)place = value;
		return *value;
	case STYLE:
		return set_style(opts, value);
	case HOSTS:
		return !opts->hosts && set_hosts(opts, value);
	case ALL_SIZES:
		return set_size(opts, value);
	case LOCAL:
		if (!weft_parse_u64(value, &n) || n < 2 || n > WEFT_PERF_RANKS_MAX)
			return false;
		opts->is_local = true;
		opts->job.ranks = (uint32_t)n;
		return true;
	default:
		if (!set_number(o, place, value))
			return false;
		if (o->kind == SIZE && !strcmp(o->long_, "--stepbytes"))
			opts->job.factor = 0;
		return true;
	}
}

/* 1: taken, 0: no option, -1: said why not. */
static int take(struct weft_perf_opts *opts, const char *cmd, const struct option *table, size_t n,
		int argc, char **argv, int *i)
{
	for (size_t k = 0; k < n; k++) {
		const struct option *o = &table[k];
		const char *value = NULL;
		int got = 0;

		if (o->kind == FLAG && !strcmp(argv[*i], o->long_)) {
			*((bool *)((char *)opts + o->place)) = true;
			return 1;
		}
		if (!strcmp(argv[*i], "--csv")) {
			opts->style = WEFT_PERF_STYLE_CSV;
			return 1;
		}
		if (o->kind == FLAG)
			continue;
		if (o->short_ && !strcmp(argv[*i], o->short_))
			got = weft_args_value(cmd, argc, argv, i, o->short_, &value);
		if (!got)
			got = weft_args_value(cmd, argc, argv, i, o->long_, &value);
		if (got < 0)
			return -1;
		if (!got)
			continue;
		if (set(opts, o, value))
			return 1;
		fprintf(stderr, "%s: %s cannot be %.64s%s\n", cmd, o->long_, value,
			o->kind == ONE ? ": nothing but 1 here; `weft perf nccl` is for GPUs" : "");
		return -1;
	}
	return 0;
}

static bool complain(const char *cmd, const char *what)
{
	fprintf(stderr, "%s: %s\n", cmd, what);
	return false;
}

static bool make_sense(const struct weft_perf_opts *opts, const char *cmd)
{
	char why[128];

	if (!weft_perf_is_collective(opts->test) && !opts->all_pairs && opts->hosts > 1)
		return complain(cmd, "one host, or --all-pairs for all pairs of a list");
	if (opts->all_pairs && (weft_perf_is_collective(opts->test) || opts->hosts < 2))
		return complain(
			cmd, "--all-pairs wants pingpong, bw, bibw or rate, and --hosts a,b,...");
	if (opts->all_pairs && (opts->compare || opts->expect || opts->report || opts->plot))
		return complain(cmd, "--all-pairs goes with --json and --csv, not with --compare, "
				     "--expect, --report or --plot");
	if (opts->is_local && opts->hosts)
		return complain(cmd, "--local is instead of hosts");
	if (opts->is_local && !weft_perf_is_collective(opts->test) && opts->job.ranks != 2)
		return complain(cmd, "this test is between two: --local 2");
	if (opts->json && opts->style != WEFT_PERF_STYLE_OWN)
		return complain(cmd, "--json is a style of its own");
	if (!weft_perf_job_check(&opts->job, why, sizeof(why)))
		return complain(cmd, why);
	return true;
}

bool weft_perf_opts_parse(struct weft_perf_opts *opts, const char *cmd, int argc, char **argv)
{
	*opts = (struct weft_perf_opts){ .tolerance = 0.1 };
	while (opts->test < WEFT_PERF_TESTS &&
	       strcmp(argv[0], weft_perf_test_name(opts->test)) != 0)
		opts->test++;
	weft_perf_job_init(&opts->job, opts->test);
	for (int i = 1; i < argc; i++) {
		int got = take(opts, cmd, options, WEFT_ARRAY_SIZE(options), argc, argv, &i);

		if (got < 0)
			return false;
		if (got)
			continue;
		if (argv[i][0] == '-' || !argv[i][0] || weft_perf_is_collective(opts->test) ||
		    opts->hosts) {
			fprintf(stderr, "%s: what is %.64s? See `weft help perf`\n", cmd, argv[i]);
			return false;
		}
		opts->host[opts->hosts++] = argv[i];
	}
	/* A matrix is of one size. */
	if (opts->all_pairs) {
		struct weft_perf_job usual;

		weft_perf_job_init(&usual, opts->test);
		if (opts->job.bytes_min == usual.bytes_min &&
		    opts->job.bytes_max == usual.bytes_max)
			opts->job.bytes_min = opts->job.bytes_max =
				opts->test == WEFT_PERF_BW || opts->test == WEFT_PERF_BIBW
					? 1 << 20
					: usual.bytes_min;
		if (opts->job.bytes_min != opts->job.bytes_max)
			return complain(cmd, "--all-pairs measures one size: -S says which");
	}
	/* One size above the usual ones, or below. */
	if (opts->job.bytes_max < opts->job.bytes_min)
		for (int i = 1; i < argc; i++)
			if (!strcmp(argv[i], "-e") || !strncmp(argv[i], "--maxbytes", 10))
				return complain(cmd, "-e is less than -b");
	if (opts->job.bytes_max < opts->job.bytes_min)
		opts->job.bytes_max = opts->job.bytes_min;
	if (weft_perf_is_collective(opts->test) && opts->hosts)
		opts->job.ranks = opts->hosts;
	return make_sense(opts, cmd);
}

bool weft_perf_opts_parse_serve(struct weft_perf_opts *opts, const char *cmd, int argc, char **argv)
{
	*opts = (struct weft_perf_opts){ 0 };
	for (int i = 1; i < argc; i++) {
		int got = take(opts, cmd, serve_options, WEFT_ARRAY_SIZE(serve_options), argc, argv,
			       &i);

		if (!got)
			fprintf(stderr, "%s: what is %.64s? See `weft help perf`\n", cmd, argv[i]);
		if (got <= 0)
			return false;
	}
	return true;
}
