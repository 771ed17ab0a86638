/* SPDX-License-Identifier: BSD-2-Clause */
/* `weft perf`: what a network can do, measured over libfabric, and so with EFA cards, weft's and TCP alike. It finds out
 * who takes part, lets them measure (perf/group.h), and prints. */
#define _GNU_SOURCE
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/outfile.h"
#include "cli/perf_opts.h"
#include "perf/chart.h"
#include "perf/compare.h"
#include "perf/group.h"
#include "perf/judge.h"
#include "perf/launch.h"
#include "perf/rank.h"
#include "perf/report.h"
#include "perf/serve.h"
#include "perf/talk.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CMD "weft perf"

const char weft_cmd_perf_usage[] =
	"usage: weft perf serve [--port P] [--bind ADDRESS] [--once] [--soft]\n"
	"       weft perf pingpong|bw|bibw|rate HOST [OPTION...]\n"
	"       weft perf allreduce|alltoall --hosts A,B,... | --local N [OPTION...]\n"
	"       weft perf nccl [OPTION...]\n"
	"\n"
	"Measure the network over libfabric: EFA, weft's cards, TCP, shared memory. Each\n"
	"HOST runs `weft perf serve`, which listens on all addresses of the host unless\n"
	"--bind names one, and serves everybody who reaches it. Started\n"
	"by mpirun, srun, SkyPilot or torchrun, the tests need no hosts and no server.\n"
	"\n"
	"  pingpong    time of a message, half of there and back; fi_pingpong's columns\n"
	"  bw, bibw    a window of messages at a time, one way or both; perftest's\n"
	"  rate        the same with small messages\n"
	"  allreduce, alltoall    among all hosts, with checked data; nccl-tests' columns\n"
	"  nccl        NCCL's collectives between GPUs; `weft perf nccl --help`\n"
	"\n"
	"  -p PROVIDER         of libfabric: efa, tcp, shm... (efa if there is any, else tcp)\n"
	"  --soft              with weft's cards: the same as `weft run -- weft perf ...`\n"
	"  -b, -e SIZE         from, to; units are powers of 1024: 8, 64k, 1G\n"
	"  -f N | -i SIZE      each size N times the last one (2), or SIZE more\n"
	"  -S SIZE|all         that size only\n"
	"  -n N                iterations of each size (as many as fit into half a second)\n"
	"  -w N                iterations before, which do not count (5)\n"
	"  -c 0|1              check what arrives (collectives: 1)\n"
	"  -W N                messages of a window (64)\n"
	"  --cards N           cards of each host (all of them; pingpong: 1)\n"
	"  --local N           N processes of this host, each one a host with weft's cards\n"
	"  -T TIME             give up when nothing moves for so long (20s)\n"
	"  --port P            of the server (47590)\n"
	"  --compare PROVIDER  the same over PROVIDER (tcp) in turn, and both in one table\n"
	"  --expect INSTANCE   judge by what is known of an EC2 instance type\n"
	"  --tolerance N%      so far below is good enough (10%)\n"
	"  --report F.html     a page with verdict, plots, figures and configuration\n"
	"  --plot F.svg        the curve: bandwidth, or time of a ping-pong\n"
	"  --all-pairs         pingpong, bw, bibw, rate: between all of --hosts A,B,..., as\n"
	"                      a matrix, and which pairs are slow\n"
	"  --style osu         OSU's columns; --csv, --json: for programs\n"
	"\n"
	"Exit status: 0 measured; 1 wrong data, below what --expect expects, or a slow\n"
	"pair; 2 could not be measured or judged.\n";

/* Does weft's preload library stand in for libibverbs here? */
static bool is_soft(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload && strstr(preload, "libweft-preload");
}

/* --soft: once more, by `weft run`. Returns only if that cannot be. */
static int run_soft(const struct weft_perf_opts *opts, int argc, char **argv)
{
	char *self = realpath("/proc/self/exe", NULL);
	char **args = calloc((size_t)argc + 8, sizeof(*args));
	int n = 0;

	if (!self || !args) {
		perror(CMD);
		free(self);
		free(args);
		return 2;
	}
	args[n++] = "weft";
	args[n++] = "run";
	/* Processes of one host get addresses of their own later, and this one is not used. */
	if (opts->is_local && !getenv("WEFT_ADDR"))
		args[n++] = "--addr=127.0.0.1";
	args[n++] = "--";
	args[n++] = self;
	args[n++] = "perf";
	for (int i = 0; i < argc; i++)
		if (strcmp(argv[i], "--soft") != 0)
			args[n++] = argv[i];
	execv(self, args);
	perror(CMD);
	free(self);
	free(args);
	return 2;
}

static uint16_t serve_port;

static void on_peer(const char *address, const char *what)
{
	/* The program's own address, before anybody has come. */
	if (!what)
		fprintf(stderr, CMD " serve: ready, port %u of %s\n", serve_port,
			!strcmp(address, "::") || !strcmp(address, "0.0.0.0")
				? "all addresses (--bind names one)"
				: address);
	else
		fprintf(stderr, CMD " serve: %s %s\n", address, what);
}

static int serve(int argc, char **argv)
{
	struct weft_perf_opts opts;
	char why[256];

	if (!weft_perf_opts_parse_serve(&opts, CMD " serve", argc, argv))
		return 2;
	if (opts.is_soft && !is_soft())
		return run_soft(&opts, argc, argv);
	serve_port = opts.port ? opts.port : WEFT_PERF_PORT;
	if (weft_perf_serve(opts.bind, serve_port, opts.is_once, on_peer, why, sizeof(why)))
		return 0;
	fprintf(stderr, CMD " serve: %s\n", why);
	return 2;
}

/* A process that a group started (perf/group.c): its standard input is its connection. */
static int be_rank(int argc, char **argv)
{
	int type;
	socklen_t len = sizeof(type);

	(void)argv;
	if (argc != 1 || getsockopt(0, SOL_SOCKET, SO_TYPE, &type, &len)) {
		fputs(CMD " rank: is started by other commands only\n", stderr);
		return 2;
	}
	weft_rank_main(0, NULL);
}

/* What is seen while it runs. */
struct show {
	const struct weft_perf_opts *opts;
	bool is_quiet; /* Results come at the end. */
	bool is_terminal;
	uint64_t began, sizes, done;
	const char *what; /* Of several runs: which. */
};

static void wipe(const struct show *show)
{
	if (show->is_terminal)
		fputs("\r\033[K", stderr);
}

static void on_begin(void *arg, const struct weft_perf_run *run)
{
	struct show *show = arg;

	if (!run->job.provider[0] && strncmp(run->members[0].provider, "efa", 3) != 0)
		fprintf(stderr,
			CMD ": note: there is no EFA card here; this measures %s (-p says "
			    "what to measure, --soft brings weft's cards)\n",
			run->members[0].provider);
	if (!show->is_quiet)
		weft_perf_print_begin(stdout, show->opts->style, run);
	fflush(stdout);
}

static void on_step(void *arg, uint64_t bytes, uint32_t pass)
{
	struct show *show = arg;
	char size[32];

	if (!show->is_terminal || weft_talk_now() - show->began < 2000000000ull)
		return;
	fprintf(stderr, "\r\033[K%s%s%s, %s, %llu of %llu sizes", show->what ? show->what : "",
		show->what ? ": " : "", weft_perf_size_text(bytes, size, sizeof(size)),
		pass ? "in place" : "out of place", (unsigned long long)show->done + 1,
		(unsigned long long)show->sizes);
}

static void on_row(void *arg, const struct weft_perf_run *run, const struct weft_perf_row *row)
{
	struct show *show = arg;

	show->done++;
	wipe(show);
	if (!show->is_quiet)
		weft_perf_print_row(stdout, show->opts->style, run, row);
	fflush(stdout);
}

/* Somebody else started this process as one of several ranks. The first one is the group; each other one takes part, and
 * is done then (*status_out). False: said why not. */
static bool join(struct weft_group *group, const struct weft_perf_opts *opts, bool *is_done_out,
		 char *why, size_t len)
{
	struct weft_launch launch;
	int found = weft_launch_find(&launch, why, len), fd, status;
	uint16_t port;
	pid_t pid;

	if (!found)
		snprintf(why, len, "with whom? %s, or --local N",
			 weft_perf_is_collective(opts->test) ? "--hosts A,B" : "A host");
	if (found <= 0)
		return false;
	/* Of a list of hosts for mpirun the first is where rank 0 is. */
	if (opts->hosts)
		snprintf(launch.host, sizeof(launch.host), "%s", opts->host[0]);
	if (!launch.host[0]) {
		snprintf(why, len, "%s does not say where rank 0 is: --hosts does (its first)",
			 launch.by);
		return false;
	}
	port = opts->port ? opts->port : weft_launch_port(&launch);
	group->job.ranks = launch.ranks;
	group->job.is_crowded = launch.ranks_here > (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
	if (!launch.rank)
		return weft_launch_gather(&launch, port, group->fd, why, len);
	*is_done_out = true;
	fd = weft_launch_join(&launch, port, why, len);
	if (fd < 0)
		return false;
	pid = fork();
	if (!pid)
		weft_rank_main(fd, NULL);
	close(fd);
	if (pid > 0 && waitpid(pid, &status, 0) == pid && !status)
		return true;
	snprintf(why, len, "rank %u ended early; rank 0 says why", launch.rank);
	return false;
}

static bool is_launched(void)
{
	struct weft_launch launch;
	char why[256];

	return weft_launch_find(&launch, why, sizeof(why)) != 0;
}

/* Where the ranks come from. */
static bool place_ranks(struct weft_group *group, const struct weft_perf_opts *opts,
			bool *is_done_out, char *why, size_t len)
{
	bool collective = weft_perf_is_collective(opts->test);

	*is_done_out = false;
	if (opts->is_local) {
		group->is_spread = is_soft();
		return true;
	}
	if (!opts->hosts || is_launched())
		return join(group, opts, is_done_out, why, len);
	for (uint32_t i = 0; i < opts->hosts; i++)
		group->host[collective ? i : i + 1] = opts->host[i];
	return true;
}

enum outcome {
	MEASURED,
	ELSEWHERE, /* This process was a rank, and the group was in another. */
	FAILED, /* Said why. */
};

static enum outcome measure(const struct weft_perf_opts *opts, const char *provider,
			    struct show *show, struct weft_perf_run *run)
{
	static struct weft_group group;
	static char *const rank_argv[] = { "/proc/self/exe", "perf", "rank", NULL };
	bool is_done, ok;
	char why[800];

	weft_group_init(&group, &opts->job);
	if (provider)
		snprintf(group.job.provider, sizeof(group.job.provider), "%s", provider);
	if (getrandom(&group.job.group, sizeof(group.job.group), 0) < 0 || !group.job.group)
		group.job.group = (uint64_t)getpid() << 32 | 1;
	if (opts->port)
		group.port = opts->port;
	group.rank_argv = rank_argv;
	group.on_begin = on_begin;
	group.on_step = on_step;
	group.on_row = on_row;
	group.arg = show;
	show->done = show->sizes = 0;
	show->began = weft_talk_now();
	for (uint64_t b = 0; (b = weft_perf_next_size(&opts->job, b));)
		show->sizes++;
	ok = place_ranks(&group, opts, &is_done, why, sizeof(why)) &&
	     (is_done || weft_group_run(&group, run, why, sizeof(why)));
	wipe(show);
	if (ok)
		return is_done ? ELSEWHERE : MEASURED;
	fflush(stdout);
	fprintf(stderr, CMD " %s: %s\n", weft_perf_test_name(opts->test), why);
	return FAILED;
}

/* Hosts that took part: with --local each process stands for one. */
static uint32_t count_hosts(const struct weft_perf_opts *opts, const struct weft_perf_run *run)
{
	return opts->is_local ? run->job.ranks : weft_perf_hosts(run);
}

static void put_range(void *arg, const char *sentence)
{
	bool *is_first = arg;

	fputs(*is_first ? "\n  " : ",\n  ", stdout);
	weft_json_string(sentence);
	*is_first = false;
}

/* Everything that was asked for, in one object; a plain run is an object of its own. */
static void print_json(const struct weft_perf_run *run, const struct weft_perf_run *other,
		       const struct weft_perf_verdict *verdict)
{
	bool is_first = true;

	if (!other && !verdict) {
		weft_perf_print_json(stdout, run);
		putchar('\n');
		return;
	}
	fputs("{\"runs\": [\n", stdout);
	weft_perf_print_json(stdout, run);
	if (other) {
		fputs(",\n", stdout);
		weft_perf_print_json(stdout, other);
	}
	fputs("]", stdout);
	if (other) {
		fputs(",\n\"speedup\": [", stdout);
		for (uint32_t i = 0; i < run->rows && i < other->rows; i++)
			printf("%s\n  {\"bytes\": %llu, \"speedup\": %.4f}", i ? "," : "",
			       (unsigned long long)run->row[i].bytes,
			       run->row[i].pass[0].mean_ns > 0
				       ? other->row[i].pass[0].mean_ns / run->row[i].pass[0].mean_ns
				       : 0);
		fputs("],\n\"ranges\": [", stdout);
		weft_perf_ranges(run, other, put_range, &is_first);
		fputs("]", stdout);
	}
	if (verdict) {
		fputs(",\n\"expectation\": ", stdout);
		weft_perf_verdict_print_json(stdout, verdict);
	}
	fputs("}\n", stdout);
}

static void print_end(const struct weft_perf_opts *opts, const struct weft_perf_run *run,
		      const struct weft_perf_run *other, const struct weft_perf_verdict *verdict)
{
	if (opts->json) {
		print_json(run, other, verdict);
		return;
	}
	if (!other)
		weft_perf_print_end(stdout, opts->style, run);
	/* Figures in CSV have nothing else among them. */
	if (other && opts->style != WEFT_PERF_STYLE_CSV) {
		putchar('\n');
		weft_perf_compare_print(stdout, run, other);
	}
	if (verdict)
		weft_perf_verdict_print(opts->style == WEFT_PERF_STYLE_CSV ? stderr : stdout,
					verdict);
}

/* Into a file of that name, whole or not at all. */
static bool save(const char *path, char *text, size_t len)
{
	bool ok = weft_outfile_write(path, 0666, text, len);

	if (!ok)
		fprintf(stderr, CMD ": cannot write %.256s: %s\n", path, weft_outfile_error());
	free(text);
	return ok;
}

static bool write_files(const struct weft_perf_opts *opts, const struct weft_perf_run *run,
			const struct weft_perf_run *other, const struct weft_perf_verdict *verdict)
{
	static struct weft_chart chart;
	bool ok = true;
	size_t len;
	char *text;
	FILE *f;

	for (int is_plot = 0; is_plot < 2; is_plot++) {
		const char *path = is_plot ? opts->plot : opts->report;

		if (!path)
			continue;
		f = open_memstream(&text, &len);
		if (!f) {
			perror(CMD);
			return false;
		}
		if (is_plot) {
			weft_chart_make(&chart, run, other, run->job.test == WEFT_PERF_PINGPONG);
			weft_chart_print(f, &chart, true);
		} else {
			weft_perf_report(f, run, other, verdict);
		}
		if (fclose(f)) {
			perror(CMD);
			return false;
		}
		ok &= save(path, text, len);
	}
	return ok;
}

static bool find_instance(const struct weft_perf_opts *opts, const struct weft_instance **out)
{
	const struct weft_instance *close;

	*out = opts->expect ? weft_catalogue_find(opts->expect) : NULL;
	if (*out || !opts->expect)
		return true;
	close = weft_catalogue_suggest(opts->expect);
	fprintf(stderr,
		CMD ": --expect: %.64s is no instance type with EFA that is known here%s%s%s\n",
		opts->expect, close ? "; did you mean " : "", close ? close->name : "",
		close ? "?" : "");
	return false;
}

static int run_test(int argc, char **argv)
{
	static struct weft_perf_run run, other;
	static struct weft_perf_opts opts;
	static struct weft_perf_verdict verdict;
	const struct weft_instance *instance;
	static struct show show = { .opts = &opts };
	enum outcome outcome;
	int status;

	show.is_terminal = isatty(2);
	if (!weft_perf_opts_parse(&opts, CMD, argc, argv) || !find_instance(&opts, &instance))
		return 2;
	if (opts.is_soft && !is_soft())
		return run_soft(&opts, argc, argv);
	if (opts.all_pairs)
		return weft_perf_all_pairs(&opts);
	show.is_quiet = opts.json;
	outcome = measure(&opts, NULL, &show, &run);
	if (outcome == MEASURED && opts.compare && !opts.json)
		weft_perf_print_end(stdout, opts.style, &run);
	show.what = opts.compare;
	if (outcome != FAILED && opts.compare)
		outcome = measure(&opts, opts.compare, &show, &other);
	if (outcome != MEASURED)
		return outcome == ELSEWHERE ? 0 : 2;
	if (opts.compare && !opts.json)
		weft_perf_print_end(stdout, opts.style, &other);
	if (instance)
		weft_perf_judge(&run, instance, count_hosts(&opts, &run), opts.tolerance, &verdict);
	print_end(&opts, &run, opts.compare ? &other : NULL, instance ? &verdict : NULL);
	if (!write_files(&opts, &run, opts.compare ? &other : NULL, instance ? &verdict : NULL))
		return 2;
	status = weft_perf_wrong(&run) || weft_perf_wrong(&other);
	return status || !instance ? status : weft_perf_verdict_status(&verdict);
}

static const struct weft_cmd commands[] = {
	{ "allreduce", run_test, NULL, NULL },
	{ "alltoall", run_test, NULL, NULL },
	{ "bibw", run_test, NULL, NULL },
	{ "bw", run_test, NULL, NULL },
	{ "nccl", weft_cmd_perf_nccl, NULL, NULL },
	{ "pingpong", run_test, NULL, NULL },
	{ "rank", be_rank, NULL, NULL },
	{ "rate", run_test, NULL, NULL },
	{ "serve", serve, NULL, NULL },
	{ NULL, NULL, NULL, NULL },
};

int weft_cmd_perf(int argc, char **argv)
{
	const struct weft_cmd *c;

	if (argc < 2) {
		fputs(CMD ": which test? See `weft help perf`\n", stderr);
		return 2;
	}
	c = weft_cli_find(commands, argv[1]);
	if (!c) {
		weft_cli_unknown(commands, CMD, argv[1]);
		return 2;
	}
	for (int i = 2; i < argc && c->run != weft_cmd_perf_nccl; i++)
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			fputs(weft_cmd_perf_usage, stdout);
			return 0;
		}
	signal(SIGPIPE, SIG_IGN); /* Peers go; and main() finds out when stdout is gone. */
	return c->run(argc - 1, argv + 1);
}
