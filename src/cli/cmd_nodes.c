/* SPDX-License-Identifier: BSD-2-Clause */
/* `weft nodes`: the fleet in one screen.
 *
 * On a terminal the cluster is asked every few seconds, and while kubectl works the screen takes keys and shows what
 * was read before. What cannot be read the first time ends the command; later it is said on the screen, since a
 * network that stumbles must not take away what somebody looks at. */
#include "base/units.h"
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/fleet_source.h"
#include "cli/nodes.h"
#include "cli/tty.h"
#include "fleet/price.h"

#include <ctype.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define CMD "weft nodes"

const char weft_cmd_nodes_usage[] =
	"usage: weft nodes [OPTION...]\n"
	"       weft nodes --k8s-json FILE... [OPTION...]\n"
	"\n"
	"Show the nodes of a Kubernetes cluster on one screen, refreshed every few\n"
	"seconds: CPU, GPUs and EFAs that pods request, of what is allocatable, and of\n"
	"the EFAs that the instance type has; pods, price, capacity type; the EFA device\n"
	"plugin on each node, what is wrong there, and what to do. The cluster is the one\n"
	"that kubectl asks. Where stdout is no terminal it is printed once.\n"
	"\n"
	"  --once               print it once, as lines\n"
	"  --json, --csv        for programs, once\n"
	"  -i, --interval TIME  between two readings (5s)\n"
	"  --check, --strict    exit 1 if a node has fewer EFAs than its type\n"
	"  --by-type            a row for each instance type\n"
	"  --sort KEY           name, type, cpu, gpu, efa, pods, price or status\n"
	"  --filter TEXT        only nodes with this in name, type, zone, capacity type,\n"
	"                       status, plugin or trouble\n"
	"  --trouble            only nodes with trouble, or that are not ready\n"
	"  --resources LIST     instead of cpu,gpu,efa: names as Kubernetes has them, too\n"
	"                       (cpu,memory,nvidia.com/gpu)\n"
	"  --price TYPE=USD     of an hour; TYPE/spot=USD of a spot instance\n"
	"  --prices FILE        such lines\n"
	"  -n, --namespace NS   pods of this namespace only\n"
	"  --no-pods            leave pods out\n" WEFT_FLEET_SOURCE_USAGE "\n"
	"Exit: 0 done, 1 --check found a node with fewer EFAs, 2 could not be done.\n";

struct options {
	bool once, json, csv, check, no_pods, by_type, trouble;
	weft_ns interval;
	const char *resources;
	struct weft_fleet_source source;
};

struct nodes {
	struct options o;
	struct weft_prices prices;
	struct weft_nodes_screen screen;
	struct weft_fleet *shown, *loading; /* own, or NULL */
	struct weft_kubectl *kubectl; /* owns; NULL: it does not run. Fills `loading`. */
	weft_ns next, read_at; /* When to read again; when `shown` was. */
	bool paused, stale; /* stale: the screen is to be drawn again. */
	char failed[800]; /* What ended it, or "". */
};

static weft_ns now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (weft_ns)now.tv_sec * 1000000000u + (weft_ns)now.tv_nsec;
}

/* Fleets */

static void free_fleet(struct weft_fleet **fleet)
{
	if (*fleet) {
		weft_fleet_fini(*fleet);
		free(*fleet);
	}
	*fleet = NULL;
}

/* Only what the command line said is known of a resource that no node has. */
static bool take_resources(struct nodes *n, struct weft_fleet *f)
{
	char list[512], *save = NULL;

	snprintf(list, sizeof(list), "%s", n->o.resources);
	n->screen.resources = 0;
	for (char *name = strtok_r(list, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
		uint32_t is = !strcmp(name, "vpc.amazonaws.com/efa") ? (uint32_t)WEFT_FLEET_EFA
								     : weft_fleet_resource(f, name);

		if (is == UINT32_MAX)
			return false;
		n->screen.resource[n->screen.resources++] = is;
	}
	return true;
}

static struct weft_fleet *new_fleet(struct nodes *n)
{
	struct weft_fleet *f = malloc(sizeof(*f));

	if (!f || !weft_fleet_init(f)) {
		free(f);
		snprintf(n->failed, sizeof(n->failed), "no memory");
		return NULL;
	}
	f->namespace = n->o.source.kubectl.namespace;
	/* kubectl gives the plugin's pods only if asked for all namespaces; a file may hold them. */
	f->all_namespaces = !f->namespace || n->o.source.files;
	if (!take_resources(n, f)) {
		snprintf(n->failed, sizeof(n->failed), "--resources: too many");
		weft_fleet_fini(f);
		free(f);
		return NULL;
	}
	return f;
}

/* `loading` is complete. */
static void take(struct nodes *n)
{
	weft_fleet_finish(n->loading, &n->prices);
	free_fleet(&n->shown);
	n->shown = n->loading;
	n->loading = NULL;
	n->read_at = now_ns();
	n->screen.wrong = false;
	n->stale = true;
}

/* All at once, and waiting for it. */
static bool read_now(struct nodes *n)
{
	n->loading = new_fleet(n);
	if (!n->loading)
		return false;
	if (!weft_fleet_source_read(&n->o.source, n->loading, n->failed, sizeof(n->failed)))
		return false;
	if (n->o.no_pods)
		n->loading->pods_given = false;
	take(n);
	return true;
}

/* Lines */

static bool print(struct nodes *n)
{
	struct weft_screen_lines lines = { NULL, 0, false };
	bool ok;

	if (n->o.json)
		return weft_nodes_json(&n->screen, n->shown);
	if (n->o.csv)
		return weft_nodes_csv(&n->screen, n->shown);
	ok = weft_nodes_compose(&n->screen, n->shown, &lines);
	for (uint32_t i = 0; ok && i < lines.count; i++)
		puts(lines.line[i].text);
	if (ok)
		weft_screen_free(&lines);
	return ok;
}

static void print_once(struct nodes *n)
{
	struct winsize size;

	/* A pipe has room for everything. */
	n->screen.width = WEFT_SCREEN_TEXT / 2;
	if (isatty(STDOUT_FILENO) && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col)
		n->screen.width = size.ws_col;
	if (read_now(n) && !print(n))
		snprintf(n->failed, sizeof(n->failed), "no memory");
}

/* A terminal */

static void on_filter_key(struct nodes *n, enum weft_tty_key key, char letter)
{
	struct weft_nodes_screen *s = &n->screen;
	size_t len = strlen(s->filter);

	if (key == WEFT_TTY_BACKSPACE && len) {
		s->filter[len - 1] = '\0';
	} else if (key == WEFT_TTY_LETTER && letter == '\x1b') {
		s->filter[0] = '\0';
		s->typing = false;
	} else if (key == WEFT_TTY_LETTER && (letter == '\n' || letter == '\r')) {
		s->typing = false;
	} else if (key == WEFT_TTY_LETTER && letter >= ' ' && len + 1 < sizeof(s->filter)) {
		s->filter[len] = letter;
		s->filter[len + 1] = '\0';
	}
	s->page = 0;
}

/* False: quit. */
static bool on_letter(struct nodes *n, char letter)
{
	struct weft_nodes_screen *s = &n->screen;

	switch (letter) {
	case 'q':
		return false;
	case 'h':
	case '?':
		s->help = !s->help;
		break;
	case 's':
		s->view.sort =
			(enum weft_fleet_sort)(((uint32_t)s->view.sort + 1) % WEFT_FLEET_SORTS);
		break;
	case 't':
		s->view.by_type = !s->view.by_type;
		s->page = 0;
		break;
	case 'e':
		s->view.troubled = !s->view.troubled;
		s->page = 0;
		break;
	case 'w':
		s->why = !s->why;
		break;
	case '/':
		s->typing = true;
		break;
	case 'r':
		n->next = 0;
		break;
	case ' ':
		n->paused = !n->paused;
		break;
	case '\x1b':
		s->help = s->why = false;
		break;
	default:
		break;
	}
	return true;
}

static bool on_key(struct nodes *n, enum weft_tty_key key, char letter)
{
	if (key != WEFT_TTY_NONE)
		n->stale = true;
	if (key == WEFT_TTY_END)
		return false;
	if (n->screen.typing) {
		on_filter_key(n, key, letter);
		return true;
	}
	switch (key) {
	case WEFT_TTY_LETTER:
		return on_letter(n, letter);
	case WEFT_TTY_LEFT:
	case WEFT_TTY_UP:
	case WEFT_TTY_PAGE_UP:
		n->screen.page -= n->screen.page ? 1 : 0;
		break;
	case WEFT_TTY_RIGHT:
	case WEFT_TTY_DOWN:
	case WEFT_TTY_PAGE_DOWN:
		n->screen.page++; /* Composing keeps it within those there are. */
		break;
	case WEFT_TTY_HOME:
		n->screen.page = 0;
		break;
	case WEFT_TTY_END:
	case WEFT_TTY_BACKSPACE:
	case WEFT_TTY_NONE:
	case WEFT_TTY_RESIZED:
		break;
	}
	return true;
}

static bool draw(struct nodes *n)
{
	struct weft_screen_lines lines = { NULL, 0, false };

	weft_tty_size(&n->screen.width, &n->screen.height);
	if (!n->shown)
		snprintf(n->screen.state, sizeof(n->screen.state),
			 "asking the cluster with kubectl ...");
	else if (!n->screen.wrong && n->paused)
		snprintf(n->screen.state, sizeof(n->screen.state), "STOPPED");
	else if (!n->screen.wrong)
		n->screen.state[0] = '\0';
	if (!weft_nodes_compose(&n->screen, n->shown, &lines)) {
		snprintf(n->failed, sizeof(n->failed), "no memory for a screen");
		return false;
	}
	weft_tty_draw(&lines);
	weft_screen_free(&lines);
	n->stale = false;
	return true;
}

static void on_trouble(struct nodes *n, const char *why)
{
	free_fleet(&n->loading);
	if (!n->shown) {
		snprintf(n->failed, sizeof(n->failed), "%s", why);
		return;
	}
	n->screen.wrong = n->stale = true;
	snprintf(n->screen.state, sizeof(n->screen.state), "%s", why);
}

/* Begins to read, or goes on with it. */
static void read_on(struct nodes *n)
{
	char why[800];

	if (!n->kubectl) {
		if (n->paused || now_ns() < n->next)
			return;
		n->loading = new_fleet(n);
		if (!n->loading)
			return;
		n->kubectl = weft_kubectl_start(&n->o.source.kubectl, n->loading, why, sizeof(why));
		n->next = now_ns() + n->o.interval;
		if (!n->kubectl)
			on_trouble(n, why);
		return;
	}
	switch (weft_kubectl_step(n->kubectl, WEFT_MS(30))) {
	case WEFT_KUBECTL_RUNNING:
		return;
	case WEFT_KUBECTL_DONE:
		if (n->o.no_pods)
			n->loading->pods_given = false;
		take(n);
		break;
	case WEFT_KUBECTL_FAILED:
		on_trouble(n, weft_kubectl_why(n->kubectl));
		break;
	}
	weft_kubectl_close(n->kubectl);
	n->kubectl = NULL;
	n->next = now_ns() + n->o.interval;
}

static void interact(struct nodes *n)
{
	bool files = n->o.source.files > 0;

	n->stale = true;
	while (!n->failed[0]) {
		enum weft_tty_key key;
		weft_ns now = now_ns(), wait = WEFT_S(1);
		char letter = 0;

		if (!files)
			read_on(n);
		if (n->failed[0] || (n->stale && !draw(n)))
			return;
		if (n->kubectl)
			wait = WEFT_MS(1);
		else if (!files && !n->paused)
			wait = WEFT_MIN(n->next > now ? n->next - now : WEFT_MS(1), WEFT_S(1));
		key = weft_tty_wait(wait, &letter);
		if (!on_key(n, key, letter))
			return;
	}
}

/* Arguments */

static int bad(const char *option, const char *value, const char *want)
{
	fprintf(stderr, CMD ": %s: %s, not %.64s\n", option, want, value);
	return -1;
}

static bool parse_sort(const char *text, enum weft_fleet_sort *sort_out)
{
	for (uint32_t i = 0; i < WEFT_FLEET_SORTS; i++) {
		if (strcmp(text, weft_fleet_sort_name(i)) != 0)
			continue;
		*sort_out = (enum weft_fleet_sort)i;
		return true;
	}
	return false;
}

/* Names with nothing in them that a terminal or a CSV could take amiss. */
static bool are_resources(const char *list)
{
	uint32_t count = 1;

	for (const char *c = list; *c; c++) {
		if (!isalnum((unsigned char)*c) && !strchr("./-_,", *c))
			return false;
		if (*c == ',' && (c == list || c[1] == ',' || !c[1]))
			return false;
		count += *c == ',';
	}
	return *list && strlen(list) < 512 && count <= WEFT_FLEET_RESOURCES_MAX - WEFT_FLEET_FIXED;
}

static int take_price(struct nodes *n, const char *name, const char *value)
{
	char why[300];
	bool ok = !strcmp(name, "--prices") ? weft_prices_load(&n->prices, value, why, sizeof(why))
					    : weft_prices_add(&n->prices, value, why, sizeof(why));

	n->screen.prices = true;
	if (!ok)
		fprintf(stderr, CMD ": %s: %s\n", name, why);
	return ok ? 1 : -1;
}

/* Options with a value. 1: taken, 0: another argument, -1: wrong. */
static int parse_value(int argc, char **argv, int *i, struct nodes *n)
{
	static const char *const names[] = { "--interval", "-i",          "--sort",
					     "--filter",   "--resources", "--prices",
					     "--price",    "--namespace", "-n" };
	const char *name = NULL, *v = NULL;
	int got = 0;

	for (size_t k = 0; k < WEFT_ARRAY_SIZE(names) && !got; k++) {
		name = names[k];
		got = weft_args_value(CMD, argc, argv, i, name, &v);
	}
	if (got <= 0)
		return got;
	if (!strcmp(name, "--interval") || !strcmp(name, "-i")) {
		if (!weft_parse_time(v, &n->o.interval) || n->o.interval < WEFT_MS(100) ||
		    n->o.interval > WEFT_S(86400))
			return bad(name, v, "a time of 100ms to 86400s");
	} else if (!strcmp(name, "--sort")) {
		if (!parse_sort(v, &n->screen.view.sort))
			return bad(name, v, "name, type, cpu, gpu, efa, pods, price or status");
	} else if (!strcmp(name, "--filter")) {
		if (strlen(v) >= sizeof(n->screen.filter))
			return bad(name, v, "at most 63 letters");
		snprintf(n->screen.filter, sizeof(n->screen.filter), "%s", v);
		for (char *c = n->screen.filter; *c; c++)
			if (*c < 0x20 || *c >= 0x7f)
				return bad(name, "that", "plain letters");
	} else if (!strcmp(name, "--resources")) {
		if (!are_resources(v))
			return bad(name, v, "up to 9 names with commas between them (cpu,gpu,efa)");
		n->o.resources = v;
	} else if (!strncmp(name, "--price", 7)) {
		return take_price(n, name, v);
	} else {
		n->o.source.kubectl.namespace = v;
		if (!*v)
			return bad(name, v, "a namespace");
	}
	return 1;
}

static bool parse(int argc, char **argv, struct nodes *n)
{
	struct options *o = &n->o;
	const struct weft_args_flag flags[] = {
		{ "--once", &o->once },       { "--json", &o->json },
		{ "--csv", &o->csv },         { "--check", &o->check },
		{ "--strict", &o->check },    { "--no-pods", &o->no_pods },
		{ "--by-type", &o->by_type }, { "--trouble", &o->trouble }
	};

	*o = (struct options){ .interval = WEFT_S(5),
			       .resources = "cpu,gpu,efa",
			       .source.kubectl.timeout = WEFT_S(60) };
	for (int i = 1; i < argc; i++) {
		int got = weft_args_take_flag(argv[i], flags, WEFT_ARRAY_SIZE(flags));

		if (!got)
			got = parse_value(argc, argv, &i, n);
		if (!got)
			got = weft_fleet_source_arg(CMD, argc, argv, &i, &o->source);
		if (!got)
			fprintf(stderr, CMD ": no such argument: %.64s\n", argv[i]);
		if (got <= 0)
			return false;
	}
	if (o->json && o->csv) {
		fputs(CMD ": --json or --csv, not both\n", stderr);
		return false;
	}
	if (o->no_pods && o->source.kubectl.namespace) {
		fputs(CMD ": --no-pods or --namespace, not both\n", stderr);
		return false;
	}
	o->source.kubectl.pods = !o->no_pods;
	n->screen.view.by_type = o->by_type;
	n->screen.view.troubled = o->trouble;
	n->screen.view.filter = n->screen.filter;
	return weft_fleet_source_check(CMD, &o->source);
}

/* The whole */

/* Lines, or a terminal. */
static void show(struct nodes *n)
{
	(void)setlocale(LC_CTYPE, "");
	n->screen.utf8 = weft_tty_is_utf8();
	if (n->o.once || n->o.json || n->o.csv || !isatty(STDOUT_FILENO)) {
		print_once(n);
		return;
	}
	/* Before the terminal is taken: what is wrong with a file is for stderr. */
	if (n->o.source.files && !read_now(n))
		return;
	if (weft_tty_open()) {
		interact(n);
		weft_tty_close();
	} else if (n->shown) {
		n->screen.width = 80;
		if (!print(n))
			snprintf(n->failed, sizeof(n->failed), "no memory");
	} else {
		print_once(n);
	}
}

int weft_cmd_nodes(int argc, char **argv)
{
	struct nodes *n = calloc(1, sizeof(*n));
	int status = 2;

	if (!n) {
		perror(CMD);
		return 2;
	}
	if (parse(argc, argv, n)) {
		show(n);
		status = n->shown && n->o.check && n->shown->short_of ? 1 : 0;
		if (n->failed[0]) {
			fprintf(stderr, CMD ": %s\n", n->failed);
			status = 2;
		}
	}
	weft_kubectl_close(n->kubectl);
	free_fleet(&n->loading);
	free_fleet(&n->shown);
	weft_prices_fini(&n->prices);
	free(n);
	return status;
}
