/* SPDX-License-Identifier: BSD-2-Clause */
/* `weft top`: what cards, the ordinary network and programs do, every second.
 *
 * Samples come from this machine or from a recording, and go to the terminal, or as lines, JSON or CSV to stdout,
 * and into a recording beside that. Whatever ends it (a full disk, a broken recording) is said once, in one
 * line, after the terminal is back as it was. */
#include "base/units.h"
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/tty.h"
#include "watch/record.h"
#include "watch/screen.h"

#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define CMD            "weft top"
#define LINE_MAX_BYTES (64u << 20) /* Of a recording. */

const char weft_cmd_top_usage[] =
	"usage: weft top [OPTION...] [SETTING...]\n"
	"\n"
	"Show what every EFA card does: real ones and weft's, beside the ordinary network,\n"
	"and which programs and pods do it. Warns when a program that should be on EFA\n"
	"moves its bytes over TCP. On a terminal: h helps, q quits.\n"
	"\n"
	"  --once            one sample (of one interval), as lines\n"
	"  --json            a JSON object for each sample\n"
	"  --csv             a line for each card and sample\n"
	"  -i, --interval T  between samples: 500ms, 2s (default 1s, at least 50ms)\n"
	"  -n, --count N     end after N samples\n"
	"  --record FILE     write the samples into FILE, too (JSON lines)\n"
	"  --replay FILE     show a recording instead of this machine; - is stdin\n"
	"  --sort KEY        name, line, tx, rx, retrans or drops\n"
	"  --vendor ID       cards of the kernel by that PCI vendor (0x15b3), or all\n"
	"  --root DIR        read /sys and /proc below DIR\n"
	"  --alarm RATE      bits per second over TCP from which on it is an alarm (80m)\n"
	"  --no-procs        leave programs out\n"
	"  SETTING           as for `weft run`: --instance, --cards, --addr, --wire, --env\n"
	"\n"
	"Exit: 0 done, 1 the last sample had an alarm (with --once), 2 could not be done.\n";

struct options {
	bool once, json, csv, no_procs;
	weft_ns interval;
	uint64_t count; /* 0: no end. */
	const char *record, *replay, *root;
	uint32_t vendor;
	uint64_t alarm_bps;
	enum weft_screen_sort sort;
};

struct top {
	struct options o;
	struct weft_watch *watch; /* owns, or NULL */
	FILE *replay, *record; /* own, or NULL */
	uint64_t replay_line;
	struct weft_sample *before, *now; /* own */
	struct weft_rates rates; /* Of `now`. */
	struct weft_screen screen;
	char failed[512]; /* What ended it, or "". */
};

/* Samples */

/* A whole line without its newline. NULL: the end, or *failed says what. The caller frees. */
static char *read_line(FILE *from, size_t *len_out, const char **failed)
{
	size_t len = 0, room = 65536;
	char *line = malloc(room);
	int c;

	*failed = line ? NULL : "no memory";
	if (!line)
		return NULL;
	while ((c = getc_unlocked(from)) != EOF && c != '\n') {
		if (len + 1 == room) {
			char *more = room < LINE_MAX_BYTES ? realloc(line, room *= 2) : NULL;

			if (!more) {
				free(line);
				*failed = "a line that is too long";
				return NULL;
			}
			line = more;
		}
		line[len++] = (char)c;
	}
	if (ferror(from)) {
		*failed = strerror(errno);
		free(line);
		return NULL;
	}
	if (!len && feof(from)) {
		free(line);
		return NULL;
	}
	line[len] = '\0';
	*len_out = len;
	return line;
}

static struct weft_sample *next_recorded(struct top *t)
{
	struct weft_sample *sample;
	char why[300], *line;
	const char *failed;
	size_t len;

	line = read_line(t->replay, &len, &failed);
	t->replay_line++;
	if (!line) {
		if (failed)
			snprintf(t->failed, sizeof(t->failed), "%s: %s", t->o.replay, failed);
		return NULL;
	}
	sample = weft_record_parse(line, len, why, sizeof(why));
	free(line);
	if (!sample)
		snprintf(t->failed, sizeof(t->failed), "%.200s: line %" PRIu64 ": %.200s",
			 t->o.replay, t->replay_line, why);
	return sample;
}

/* `before` and `now` move on by one. False: there is no more, or `failed` says why. */
static bool next_sample(struct top *t)
{
	struct weft_sample *sample;

	if (t->replay) {
		sample = next_recorded(t);
	} else {
		sample = weft_watch_take(t->watch);
		if (!sample)
			snprintf(t->failed, sizeof(t->failed), "no memory for a sample");
	}
	if (!sample)
		return false;
	weft_sample_free(t->before);
	t->before = t->now;
	t->now = sample;
	weft_rates_fini(&t->rates);
	if (!weft_rates_init(t->before, t->now, (double)t->o.alarm_bps / 8, &t->rates)) {
		memset(&t->rates, 0, sizeof(t->rates));
		snprintf(t->failed, sizeof(t->failed), "no memory for a sample");
		return false;
	}
	if (t->before)
		weft_screen_push(&t->screen, &t->rates);
	if (t->record) {
		weft_record_write(t->record, t->now, &t->rates);
		if (fflush(t->record) || ferror(t->record)) {
			snprintf(t->failed, sizeof(t->failed), "cannot write %.200s: %s",
				 t->o.record, strerror(errno));
			return false;
		}
	}
	return true;
}

/* Lines */

static void print_csv_head(void)
{
	fputs("time_ns,host,name,address,kind,gbps,state,tx_bytes_per_s,rx_bytes_per_s,"
	      "line_percent,send_bytes_per_s,read_bytes_per_s,write_bytes_per_s,"
	      "retrans_percent,drops_per_s,rnr_per_s",
	      stdout);
	for (uint32_t i = 0; i < WEFT_COUNTER_COUNT; i++)
		printf(",%s", weft_watch_counter_name(i));
	putchar('\n');
}

static void print_csv_rate(double value)
{
	if (value < 0)
		putchar(',');
	else
		printf(",%.6g", value);
}

/* Names with a comma or a quote are quoted. */
static void print_csv_text(const char *text)
{
	if (!text[strcspn(text, ",\"\r\n")]) {
		printf(",%s", text);
		return;
	}
	fputs(",\"", stdout);
	for (; *text; text++) {
		if (*text == '"')
			putchar('"');
		putchar(*text);
	}
	putchar('"');
}

static void print_csv(const struct top *t)
{
	static const char *const kinds[] = { "efa", "other", "weft" };

	for (uint32_t i = 0; i < t->now->cards; i++) {
		const struct weft_watch_card *card = &t->now->card[i];
		const struct weft_card_rate *r = &t->rates.card[i];
		const double rates[] = { r->tx,    r->rx,      r->line,  r->send, r->read,
					 r->write, r->retrans, r->drops, r->rnr };

		printf("%" PRIu64, t->now->time_ns);
		print_csv_text(t->now->host);
		print_csv_text(card->name);
		print_csv_text(card->where);
		printf(",%s,%" PRIu64, kinds[card->kind], card->gbps);
		print_csv_text(card->state);
		for (size_t k = 0; k < WEFT_ARRAY_SIZE(rates); k++)
			print_csv_rate(rates[k]);
		for (uint32_t k = 0; k < WEFT_COUNTER_COUNT; k++) {
			putchar(',');
			if (card->value[k] != WEFT_WATCH_NONE)
				printf("%" PRIu64, card->value[k]);
		}
		putchar('\n');
	}
}

static void print_lines(struct top *t, bool first)
{
	struct weft_screen_lines lines = { NULL, 0, false };

	if (!first)
		putchar('\n');
	if (!weft_screen_compose(&t->screen, t->now, &t->rates, &lines))
		return;
	for (uint32_t i = 0; i < lines.count; i++)
		puts(lines.line[i].text);
	weft_screen_free(&lines);
}

static void sleep_until(weft_ns when)
{
	struct timespec ts = { .tv_sec = (time_t)(when / 1000000000u),
			       .tv_nsec = (long)(when % 1000000000u) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

static weft_ns now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (weft_ns)now.tv_sec * 1000000000u + (weft_ns)now.tv_nsec;
}

/* One sample after the other to stdout. The first has no rates, so people do not get to see it; a program does, since
 * counters are exact from the start. */
static void stream(struct top *t)
{
	uint64_t printed = 0, wanted = t->o.once ? 1 : t->o.count;
	weft_ns next = now_ns();

	if (t->o.csv)
		print_csv_head();
	while (!wanted || printed < wanted) {
		if (!next_sample(t)) {
			/* Who asked for an alarm must not take nothing for none. */
			if (t->o.once && !t->failed[0])
				snprintf(t->failed, sizeof(t->failed),
					 "%.200s: needs two samples, and has fewer", t->o.replay);
			return;
		}
		if (t->before || (!t->o.once && (t->o.json || t->o.csv))) {
			if (t->o.json)
				weft_record_write(stdout, t->now, &t->rates);
			else if (t->o.csv)
				print_csv(t);
			else
				print_lines(t, !printed);
			printed++;
			/* main() says what is wrong with stdout. */
			if (fflush(stdout) || ferror(stdout))
				return;
		}
		next = WEFT_MAX(next + t->o.interval, now_ns() + WEFT_MS(10));
		if (!t->replay && (!wanted || printed < wanted))
			sleep_until(next);
	}
}

/* A terminal */

/* False: quit. */
static bool on_letter(struct weft_screen *s, char letter)
{
	static const struct {
		char letter;
		enum weft_screen_view view;
	} views[] = { { 'b', WEFT_SCREEN_BOTH },
		      { 'c', WEFT_SCREEN_CARDS },
		      { 'p', WEFT_SCREEN_PROCS },
		      { 'o', WEFT_SCREEN_PODS } };

	if (letter == 'q')
		return false;
	if (letter == 'h' || letter == '?')
		s->help = !s->help;
	else if (letter == ' ')
		s->paused = !s->paused;
	else if (letter == 's')
		s->sort = (enum weft_screen_sort)((s->sort + 1) % WEFT_SORT_COUNT);
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(views); i++) {
		if (views[i].letter != letter)
			continue;
		s->view = views[i].view;
		s->help = false;
		s->scroll = 0;
	}
	return true;
}

static bool on_key(struct weft_screen *s, enum weft_tty_key key, char letter)
{
	uint32_t page = s->height > 10 ? s->height - 10 : 1;

	switch (key) {
	case WEFT_TTY_END:
		return false;
	case WEFT_TTY_LETTER:
		return on_letter(s, letter);
	case WEFT_TTY_UP:
		s->scroll -= s->scroll ? 1 : 0;
		break;
	case WEFT_TTY_DOWN:
		s->scroll++; /* Composing keeps it within the list. */
		break;
	case WEFT_TTY_PAGE_UP:
		s->scroll -= WEFT_MIN(page, s->scroll);
		break;
	case WEFT_TTY_PAGE_DOWN:
		s->scroll += page;
		break;
	case WEFT_TTY_HOME:
		s->scroll = 0;
		break;
	case WEFT_TTY_LEFT:
	case WEFT_TTY_RIGHT:
	case WEFT_TTY_BACKSPACE:
	case WEFT_TTY_NONE:
	case WEFT_TTY_RESIZED:
		break;
	}
	return true;
}

static bool draw(struct top *t)
{
	struct weft_screen_lines lines = { NULL, 0, false };

	weft_tty_size(&t->screen.width, &t->screen.height);
	if (!weft_screen_compose(&t->screen, t->now, &t->rates, &lines)) {
		snprintf(t->failed, sizeof(t->failed), "no memory for a screen");
		return false;
	}
	weft_tty_draw(&lines);
	weft_screen_free(&lines);
	return true;
}

/* How long the sample that is shown stays: a recording goes at its own pace, but pauses in it are shortened. */
static weft_ns stays(const struct top *t)
{
	if (!t->replay || !t->before || t->now->time_ns <= t->before->time_ns)
		return t->o.interval;
	return WEFT_MIN(t->now->time_ns - t->before->time_ns, WEFT_S(5));
}

static void interact(struct top *t)
{
	weft_ns next = now_ns();
	uint64_t shown = 0;
	bool ended = false; /* The recording: its last sample stays. */

	for (;;) {
		enum weft_tty_key key;
		weft_ns now = now_ns();
		char letter = 0;

		if (now >= next && !t->screen.paused && !ended) {
			if (t->o.count && shown == t->o.count)
				return;
			ended = !next_sample(t);
			if (t->failed[0] || !t->now)
				return;
			shown++;
			now = now_ns();
			next = WEFT_MAX(next + stays(t), now + WEFT_MS(10));
		}
		if (!draw(t))
			return;
		/* Paused, or at its end, nothing changes by itself; but a signal may come just before the wait. */
		key = weft_tty_wait(t->screen.paused || ended ? WEFT_S(1) : next - now, &letter);
		if (!on_key(&t->screen, key, letter))
			return;
		if (t->screen.paused)
			next = now_ns();
	}
}

/* Arguments */

static bool parse_sort(const char *text, enum weft_screen_sort *sort_out)
{
	for (uint32_t i = 0; i < WEFT_SORT_COUNT; i++) {
		if (strcmp(text, weft_sort_name(i)) != 0)
			continue;
		*sort_out = (enum weft_screen_sort)i;
		return true;
	}
	return false;
}

static int bad(const char *option, const char *value, const char *want)
{
	fprintf(stderr, CMD ": %s: %s, not %.64s\n", option, want, value);
	return -1;
}

/* Options with a value. 1: taken, 0: another argument, -1: wrong. */
static int parse_value(int argc, char **argv, int *i, struct options *o)
{
	static const char *const names[] = { "--interval", "--count", "--record", "--replay",
					     "--root",     "--sort",  "--vendor", "--alarm",
					     "-i",         "-n" };
	const char *name = NULL, *v = NULL;
	int got = 0;

	for (size_t k = 0; k < WEFT_ARRAY_SIZE(names) && !got; k++) {
		name = names[k];
		got = weft_args_value(CMD, argc, argv, i, name, &v);
	}
	if (got <= 0)
		return got;
	if (!strcmp(name, "--interval") || !strcmp(name, "-i")) {
		if (!weft_parse_time(v, &o->interval) || o->interval < WEFT_MS(50) ||
		    o->interval > WEFT_S(86400))
			return bad(name, v, "a time of 50ms to 86400s");
	} else if (!strcmp(name, "--count") || !strcmp(name, "-n")) {
		if (!weft_parse_u64(v, &o->count) || !o->count)
			return bad(name, v, "a number of samples");
	} else if (!strcmp(name, "--record")) {
		o->record = v;
	} else if (!strcmp(name, "--replay")) {
		o->replay = v;
	} else if (!strcmp(name, "--root")) {
		o->root = v;
	} else if (!strcmp(name, "--sort")) {
		if (!parse_sort(v, &o->sort))
			return bad(name, v, "name, line, tx, rx, retrans or drops");
	} else if (!strcmp(name, "--vendor")) {
		if (!weft_args_vendor(v, &o->vendor))
			return bad(name, v, "a PCI vendor (0x15b3) or all");
	} else if (!weft_parse_rate(v, &o->alarm_bps) || !o->alarm_bps) {
		return bad(name, v, "bits per second (80m)");
	}
	return 1;
}

static bool parse(int argc, char **argv, struct options *o)
{
	const struct weft_args_flag flags[] = { { "--once", &o->once },
						{ "--json", &o->json },
						{ "--csv", &o->csv },
						{ "--no-procs", &o->no_procs } };

	*o = (struct options){ .interval = WEFT_S(1),
			       .root = "/",
			       .alarm_bps = (uint64_t)WEFT_ALARM_BYTES * 8 };
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
	if (o->json && o->csv) {
		fputs(CMD ": --json or --csv, not both\n", stderr);
		return false;
	}
	if (o->replay && (o->record || strcmp(o->root, "/") != 0)) {
		fputs(CMD ": --replay goes with neither --record nor --root\n", stderr);
		return false;
	}
	return true;
}

/* The whole */

static bool open_top(struct top *t)
{
	struct weft_watch_options options = {
		.root = t->o.root, .vendor = t->o.vendor, .soft = true, .procs = !t->o.no_procs
	};
	char why[300];

	if (t->o.replay) {
		t->replay = strcmp(t->o.replay, "-") ? fopen(t->o.replay, "re") : stdin;
		if (!t->replay) {
			fprintf(stderr, CMD ": %.200s: %s\n", t->o.replay, strerror(errno));
			return false;
		}
	} else {
		if (!weft_args_check_settings(CMD))
			return false;
		if (weft_watch_open(&options, &t->watch, why, sizeof(why))) {
			fprintf(stderr, CMD ": %s\n", why);
			return false;
		}
	}
	if (t->o.record) {
		t->record = fopen(t->o.record, "we");
		if (!t->record) {
			fprintf(stderr, CMD ": %.200s: %s\n", t->o.record, strerror(errno));
			return false;
		}
	}
	return true;
}

/* Lines, or a terminal. */
static void show(struct top *t)
{
	struct winsize size;

	(void)setlocale(LC_CTYPE, "");
	t->screen.sort = t->o.sort;
	t->screen.mode = t->o.replay ? "a recording" : "";
	t->screen.utf8 = weft_tty_is_utf8();
	if (!t->o.once && !t->o.json && !t->o.csv && weft_tty_open()) {
		interact(t);
		weft_tty_close();
		return;
	}
	t->screen.width = 100;
	if (isatty(STDOUT_FILENO) && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col)
		t->screen.width = size.ws_col;
	stream(t);
}

static void close_top(struct top *t)
{
	weft_sample_free(t->before);
	weft_sample_free(t->now);
	weft_rates_fini(&t->rates);
	if (t->watch)
		weft_watch_close(t->watch);
	if (t->replay && t->replay != stdin)
		fclose(t->replay);
	if (t->record && fclose(t->record) && !t->failed[0])
		snprintf(t->failed, sizeof(t->failed), "cannot write %.200s: %s", t->o.record,
			 strerror(errno));
}

int weft_cmd_top(int argc, char **argv)
{
	struct top *t = calloc(1, sizeof(*t));
	bool ok = false;
	int status = 2;

	if (!t) {
		perror(CMD);
		return 2;
	}
	if (parse(argc, argv, &t->o) && open_top(t)) {
		show(t);
		ok = true;
	}
	if (ok)
		status = t->o.once && t->rates.alarms ? 1 : 0;
	close_top(t);
	if (t->failed[0]) {
		fprintf(stderr, CMD ": %s\n", t->failed);
		status = 2;
	}
	free(t);
	return status;
}
