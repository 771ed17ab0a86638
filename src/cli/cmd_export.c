/* SPDX-License-Identifier: BSD-2-Clause */
/* `weft export`: the same samples for Prometheus, over HTTP or as a file for the textfile collector.
 *
 * A sample is taken when somebody asks, at most once a second, so that an exporter nobody scrapes costs nothing and
 * two servers that scrape see the same. The alarm compares samples that are some seconds apart: the last one
 * and the one before, whoever asked for them. */
#define _GNU_SOURCE
#include "base/units.h"
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/outfile.h"
#include "watch/http.h"
#include "watch/metrics.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CMD "weft export"

const char weft_cmd_export_usage[] =
	"usage: weft export [--listen ADDRESS:PORT] [OPTION...] [SETTING...]\n"
	"       weft export --textfile FILE [-i TIME | --once] [OPTION...] [SETTING...]\n"
	"\n"
	"Give the counters of every EFA card, real ones and weft's, to Prometheus: at\n"
	"http://127.0.0.1:9410/metrics, or in a file for the textfile collector, replaced as\n"
	"a whole each time. Metrics of cards are node_amazonefa_*; others are weft_*.\n"
	"\n"
	"  --listen A:P      another address: 127.0.0.1:9999, [::1]:9410, *:9410 (all)\n"
	"  --textfile FILE   write FILE (*.prom) instead of listening; - is stdout, once\n"
	"  -i, --interval T  between two writes (default 15s, at least 1s)\n"
	"  --once            write once and end\n"
	"  --programs        also counters of each program (many series)\n"
	"  --details         also what only weft's cards count (30 series a card)\n"
	"  --no-procs        do not look at programs: no pods, no alarm\n"
	"  --vendor ID       cards of the kernel by that PCI vendor (0x15b3), or all\n"
	"  --root DIR        read /sys and /proc below DIR (a container: /host)\n"
	"  --alarm RATE      bits per second over TCP from which on it is an alarm (80m)\n"
	"  SETTING           as for `weft run`: --instance, --cards, --addr, --wire, --env\n"
	"\n"
	"It answers whoever can reach the address: anything but loopback is for a network\n"
	"that you trust. Ends with SIGTERM or SIGINT.\n";

struct options {
	const char *listen, *textfile, *root;
	bool once, programs, no_procs, details;
	weft_ns interval;
	uint32_t vendor;
	uint64_t alarm_bps;
};

struct exporter {
	struct options o;
	struct weft_watch *watch; /* owns */
	struct weft_sample *before, *now; /* own */
	weft_ns taken; /* When `now` was. */
};

static volatile sig_atomic_t told_to_end;
static sigset_t waiting; /* What is blocked while we wait. Else SIGINT and SIGTERM are, too. */

static void on_signal(int number)
{
	(void)number;
	told_to_end = 1;
}

static void catch_signals(void)
{
	struct sigaction action;
	sigset_t ours;

	memset(&action, 0, sizeof(action));
	action.sa_handler = on_signal;
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	sigemptyset(&ours);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &ours, &waiting);
	sigdelset(&waiting, SIGINT);
	sigdelset(&waiting, SIGTERM);
}

static weft_ns now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (weft_ns)now.tv_sec * 1000000000u + (weft_ns)now.tv_nsec;
}

static bool take(struct exporter *e)
{
	weft_ns now = now_ns();
	struct weft_sample *sample;

	if (e->now && now < e->taken + WEFT_S(1))
		return true;
	sample = weft_watch_take(e->watch);
	if (!sample)
		return false;
	weft_sample_free(e->before);
	e->before = e->now;
	e->now = sample;
	e->taken = now;
	return true;
}

static bool text_of(void *arg, bool openmetrics, char **body_out, size_t *len_out)
{
	struct exporter *e = arg;
	struct weft_metrics_options options = { openmetrics, e->o.details, e->o.programs };
	struct weft_rates rates;
	FILE *to;

	if (!take(e) || !weft_rates_init(e->before, e->now, (double)e->o.alarm_bps / 8, &rates))
		return false;
	*body_out = NULL;
	to = open_memstream(body_out, len_out);
	if (to)
		weft_metrics_write(to, e->now, &rates, &options);
	weft_rates_fini(&rates);
	if (to && !fclose(to))
		return true;
	free(*body_out);
	return false;
}

/* Files */

static int write_once(struct exporter *e)
{
	char *body;
	size_t len;
	int status = 0;

	if (!text_of(e, false, &body, &len)) {
		fputs(CMD ": no memory for a sample\n", stderr);
		return 2;
	}
	if (!strcmp(e->o.textfile, "-")) {
		/* main() says what is wrong with stdout. */
		(void)fwrite(body, 1, len, stdout);
	} else if (!weft_outfile_write(e->o.textfile, 0666, body, len)) {
		fprintf(stderr, CMD ": cannot write %.200s: %s\n", e->o.textfile,
			weft_outfile_error());
		status = 2;
	}
	free(body);
	return status;
}

static int write_again_and_again(struct exporter *e)
{
	bool once = e->o.once || !strcmp(e->o.textfile, "-");
	weft_ns next = now_ns();
	int status;

	for (;;) {
		struct timespec ts;
		weft_ns now;

		status = write_once(e);
		if (status || once)
			return status;
		next = WEFT_MAX(next + e->o.interval, now_ns());
		while (!told_to_end && (now = now_ns()) < next) {
			ts.tv_sec = (time_t)((next - now) / 1000000000u);
			ts.tv_nsec = (long)((next - now) % 1000000000u);
			(void)ppoll(NULL, 0, &ts, &waiting);
		}
		if (told_to_end)
			return 0;
	}
}

static int serve(struct exporter *e)
{
	struct weft_http *http;
	char why[200];

	if (weft_http_open(e->o.listen, text_of, e, &http, why, sizeof(why))) {
		fprintf(stderr, CMD ": --listen: %s\n", why);
		return 2;
	}
	fprintf(stderr, CMD ": http://%s/metrics\n", weft_http_where(http));
	while (!told_to_end)
		weft_http_serve(http, now_ns() + WEFT_S(60), &waiting);
	weft_http_close(http);
	return 0;
}

/* Arguments */

static int bad(const char *option, const char *value, const char *want)
{
	fprintf(stderr, CMD ": %s: %s, not %.64s\n", option, want, value);
	return -1;
}

static int parse_value(int argc, char **argv, int *i, struct options *o)
{
	static const char *const names[] = { "--listen", "--textfile", "--interval", "-i",
					     "--vendor", "--root",     "--alarm" };
	const char *name = NULL, *v = NULL;
	int got = 0;

	for (size_t k = 0; k < WEFT_ARRAY_SIZE(names) && !got; k++) {
		name = names[k];
		got = weft_args_value(CMD, argc, argv, i, name, &v);
	}
	if (got <= 0)
		return got;
	if (!strcmp(name, "--listen")) {
		o->listen = v;
	} else if (!strcmp(name, "--textfile")) {
		o->textfile = v;
	} else if (!strcmp(name, "--root")) {
		o->root = v;
	} else if (!strcmp(name, "--vendor")) {
		if (!weft_args_vendor(v, &o->vendor))
			return bad(name, v, "a PCI vendor (0x15b3) or all");
	} else if (!strcmp(name, "--alarm")) {
		if (!weft_parse_rate(v, &o->alarm_bps) || !o->alarm_bps)
			return bad(name, v, "bits per second (80m)");
	} else if (!weft_parse_time(v, &o->interval) || o->interval < WEFT_S(1) ||
		   o->interval > WEFT_S(86400)) {
		return bad(name, v, "a time of 1s to 86400s");
	}
	return 1;
}

static bool parse(int argc, char **argv, struct options *o)
{
	const struct weft_args_flag flags[] = { { "--once", &o->once },
						{ "--details", &o->details },
						{ "--programs", &o->programs },
						{ "--no-procs", &o->no_procs } };

	*o = (struct options){ .root = "/", .alarm_bps = (uint64_t)WEFT_ALARM_BYTES * 8 };
	for (int i = 1; i < argc; i++) {
		int got = weft_args_setting(CMD, argc, argv, &i);

		if (!got)
			got = weft_args_take_flag(argv[i], flags, WEFT_ARRAY_SIZE(flags));
		if (!got)
			got = parse_value(argc, argv, &i, o);
		if (!got)
			fprintf(stderr, CMD ": no such argument: %.64s\n", argv[i]);
		if (got <= 0)
			return false;
	}
	if (o->listen && o->textfile) {
		fputs(CMD ": --listen or --textfile, not both\n", stderr);
		return false;
	}
	if (!o->textfile && (o->once || o->interval)) {
		fputs(CMD ": --once and --interval go with --textfile\n", stderr);
		return false;
	}
	if (o->programs && o->no_procs) {
		fputs(CMD ": --programs or --no-procs, not both\n", stderr);
		return false;
	}
	o->interval = o->interval ? o->interval : WEFT_S(15);
	o->listen = o->listen ? o->listen : "127.0.0.1:9410";
	return weft_args_check_settings(CMD);
}

int weft_cmd_export(int argc, char **argv)
{
	struct exporter e = { 0 };
	struct weft_watch_options options;
	char why[300];
	int status;

	if (!parse(argc, argv, &e.o))
		return 2;
	options = (struct weft_watch_options){
		.root = e.o.root, .vendor = e.o.vendor, .soft = true, .procs = !e.o.no_procs
	};
	if (weft_watch_open(&options, &e.watch, why, sizeof(why))) {
		fprintf(stderr, CMD ": %s\n", why);
		return 2;
	}
	catch_signals();
	status = e.o.textfile ? write_again_and_again(&e) : serve(&e);
	weft_sample_free(e.before);
	weft_sample_free(e.now);
	weft_watch_close(e.watch);
	return status;
}
