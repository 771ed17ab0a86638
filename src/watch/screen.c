/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines of `weft top`.
 *
 * 80 columns hold everything that matters; a wider terminal gets a bar for each card. Rates are bits per second,
 * as link speeds are; percentages are of the line. Where there are more rows than lines the list scrolls, and
 * the alarms and both sums stay. */
#include "watch/screen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ALARMS_MAX 3u
#define BAR        12u
#define WIDE       (80u + BAR + 1)

static const char *const sorts[WEFT_SORT_COUNT] = {
	"name", "line", "tx", "rx", "retrans", "drops"
};

const char *weft_sort_name(uint32_t sort)
{
	return sort < WEFT_SORT_COUNT ? sorts[sort] : NULL;
}

void weft_screen_push(struct weft_screen *screen, const struct weft_rates *rates)
{
	if (screen->history == WEFT_SCREEN_HISTORY) {
		screen->history--;
		memmove(screen->efa, screen->efa + 1, screen->history * sizeof(double));
		memmove(screen->net, screen->net + 1, screen->history * sizeof(double));
	}
	screen->efa[screen->history] = WEFT_MAX(rates->tx, 0) + WEFT_MAX(rates->rx, 0);
	screen->net[screen->history++] = WEFT_MAX(rates->net_tx, 0) + WEFT_MAX(rates->net_rx, 0);
}

struct page {
	struct weft_screen *screen;
	const struct weft_sample *sample;
	const struct weft_rates *rates;
	struct weft_screen_lines *lines;
	bool failed;
};

#define put(p, style, ...) weft_screen_put((p)->lines, (p)->screen->width, style, __VA_ARGS__)

/* Bits per second. */
static const char *bits(double bytes, char buf[16])
{
	return weft_rate_text(bytes < 0 ? bytes : bytes * 8, buf, 16);
}

static const char *percent(double value, char buf[16])
{
	if (value < 0)
		snprintf(buf, 16, "-");
	else if (value > 0 && value < 0.05)
		snprintf(buf, 16, "<0.1");
	else
		snprintf(buf, 16, value < 99.95 ? "%.1f" : "%.0f", WEFT_MIN(value, 9999.0));
	return buf;
}

/* Blocks */

static const char *const levels[] = { " ",
				      "\xe2\x96\x81",
				      "\xe2\x96\x82",
				      "\xe2\x96\x83",
				      "\xe2\x96\x84",
				      "\xe2\x96\x85",
				      "\xe2\x96\x86",
				      "\xe2\x96\x87",
				      "\xe2\x96\x88" };
static const char ascii_levels[] = " .:-=+*#@";

static void spark(const struct weft_screen *s, const double *history, uint32_t columns, char *to,
		  size_t len)
{
	uint32_t count = WEFT_MIN(s->history, columns), at = s->history - count;
	double most = 0;

	*to = '\0';
	for (uint32_t i = at; i < s->history; i++)
		most = WEFT_MAX(most, history[i]);
	for (uint32_t i = at; i < s->history; i++) {
		uint32_t level = most > 0 ? (uint32_t)(history[i] / most * 8 + 0.5) : 0;
		int n;

		/* Little is not nothing. */
		level = history[i] > 0 ? WEFT_MAX(level, 1u) : level;
		n = s->utf8 ? snprintf(to, len, "%s", levels[level])
			    : snprintf(to, len, "%c", ascii_levels[level]);
		if (n < 0 || (size_t)n >= len)
			return;
		to += n;
		len -= (size_t)n;
	}
}

/* The head */

static void put_sums(struct page *p)
{
	const struct weft_rates *r = p->rates;
	uint32_t room = p->screen->width > 62 ? p->screen->width - 62 : 0;
	char tx[16], rx[16], line[16], graph[WEFT_SCREEN_HISTORY * 4], names[32] = "";

	spark(p->screen, p->screen->efa, room, graph, sizeof(graph));
	if (r->gbps)
		snprintf(names, sizeof(names), "%s%% of %luG", percent(r->line, line),
			 (unsigned long)r->gbps);
	put(p, WEFT_SCREEN_PLAIN, "EFA      tx %6s  rx %6s  b/s  %-22s  %s", bits(r->tx, tx),
	    bits(r->rx, rx), names, graph);
	names[0] = '\0';
	for (uint32_t i = 0; i < p->sample->nets; i++) {
		size_t have = strlen(names);

		if (have + strlen(p->sample->net[i].name) + 2 > 18) {
			snprintf(names + have, sizeof(names) - have, " +%u", p->sample->nets - i);
			break;
		}
		snprintf(names + have, sizeof(names) - have, "%s%s", i ? " " : "",
			 p->sample->net[i].name);
	}
	spark(p->screen, p->screen->net, room, graph, sizeof(graph));
	put(p, WEFT_SCREEN_PLAIN, "network  tx %6s  rx %6s  b/s  %-22s  %s", bits(r->net_tx, tx),
	    bits(r->net_rx, rx), names, graph);
}

static void put_head(struct page *p)
{
	time_t seconds = (time_t)(p->sample->time_ns / 1000000000u);
	uint32_t told = 0;
	char when[32] = "?", text[512];
	struct tm tm;

	if (gmtime_r(&seconds, &tm))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	put(p, WEFT_SCREEN_TITLE, "weft top: %.32s  %s UTC  %u card%s  %s%s", p->sample->host, when,
	    p->sample->cards, p->sample->cards == 1 ? "" : "s", p->screen->mode,
	    p->screen->paused ? "  PAUSED" : "");
	put_sums(p);
	for (uint32_t i = 0; i < p->sample->procs && told < ALARMS_MAX; i++) {
		if (!p->rates->proc[i].alarm)
			continue;
		put(p, WEFT_SCREEN_ALARM, "! %s",
		    weft_alarm_text(p->sample, p->rates, i, text, sizeof(text)));
		told++;
	}
	if (p->rates->alarms > told)
		put(p, WEFT_SCREEN_ALARM, "! and %u more", p->rates->alarms - told);
	if (p->sample->left_out)
		put(p, WEFT_SCREEN_DIM, "%u cards or programs are not shown: too many",
		    p->sample->left_out);
}

/* Rows in order */

struct order {
	uint32_t index;
	double key;
};

static int by_key(const void *a, const void *b)
{
	const struct order *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? 1 : -1;
	return (x->index > y->index) - (x->index < y->index);
}

static double card_key(const struct page *p, uint32_t i)
{
	const struct weft_card_rate *r = &p->rates->card[i];

	switch (p->screen->sort) {
	case WEFT_SORT_LINE:
		return r->line;
	case WEFT_SORT_TX:
		return r->tx;
	case WEFT_SORT_RX:
		return r->rx;
	case WEFT_SORT_RETRANS:
		return r->retrans;
	case WEFT_SORT_DROPS:
		return r->drops;
	case WEFT_SORT_NAME:
	case WEFT_SORT_COUNT:
		break;
	}
	return 0;
}

static double proc_key(const struct page *p, uint32_t i)
{
	const struct weft_proc_rate *r = &p->rates->proc[i];

	if (r->alarm)
		return 1e30;
	switch (p->screen->sort) {
	case WEFT_SORT_TX:
		return WEFT_MAX(r->efa_tx, r->tcp_tx);
	case WEFT_SORT_RX:
		return WEFT_MAX(r->efa_rx, r->tcp_rx);
	case WEFT_SORT_NAME:
		return 0;
	case WEFT_SORT_LINE:
	case WEFT_SORT_RETRANS:
	case WEFT_SORT_DROPS:
	case WEFT_SORT_COUNT:
		break;
	}
	return WEFT_MAX(r->efa_tx + r->efa_rx, r->tcp_tx + r->tcp_rx);
}

/* NULL: no memory. The caller frees. */
static struct order *in_order(const struct page *p, uint32_t count,
			      double (*key)(const struct page *, uint32_t))
{
	struct order *order = calloc(count + 1, sizeof(*order));

	for (uint32_t i = 0; order && i < count; i++)
		order[i] = (struct order){ i, key(p, i) };
	if (order)
		qsort(order, count, sizeof(*order), by_key);
	return order;
}

/* Which rows of a list are seen: from *first on, at most `room`; room 0: all. The result says how many. */
static uint32_t window(struct page *p, uint32_t count, uint32_t room, bool scrolls,
		       uint32_t *first_out)
{
	*first_out = 0;
	if (!p->screen->height || count <= room)
		return count;
	if (scrolls) {
		p->screen->scroll = WEFT_MIN(p->screen->scroll, count - room);
		*first_out = p->screen->scroll;
	}
	return room;
}

/* "CARD 11-20/32", if not all are seen. */
static void place(char *buf, size_t len, const char *what, uint32_t count, uint32_t first,
		  uint32_t shown)
{
	if (shown == count)
		snprintf(buf, len, "%s", what);
	else
		snprintf(buf, len, "%s %u-%u/%u", what, first + 1, first + shown, count);
}

static void card_name(const struct weft_watch_card *card, char *buf, size_t len)
{
	snprintf(buf, len, "%s%s%s", card->name, card->where[0] ? "@" : "", card->where);
}

static void put_card(struct page *p, uint32_t index)
{
	const struct weft_watch_card *card = &p->sample->card[index];
	const struct weft_card_rate *r = &p->rates->card[index];
	char t[9][16], name[130], blocks[BAR * 4 + 1] = "";
	bool down = card->state[0] && strcmp(card->state, "ACTIVE") != 0;
	bool wide = p->screen->width >= WIDE;

	card_name(card, name, sizeof(name));
	if (wide)
		weft_screen_bar(r->line / 100, BAR, p->screen->utf8, blocks);
	put(p,
	    down                       ? WEFT_SCREEN_ALARM
	    : r->tx <= 0 && r->rx <= 0 ? WEFT_SCREEN_DIM
				       : WEFT_SCREEN_PLAIN,
	    "%-20.20s %6s %6s %5.5s%s%s %6s %6s %6s %5s %5s %5s", name, bits(r->tx, t[0]),
	    bits(r->rx, t[1]), down ? card->state : percent(r->line, t[2]), wide ? " " : "", blocks,
	    bits(r->send, t[3]), bits(r->read, t[4]), bits(r->write, t[5]),
	    percent(r->retrans, t[6]), weft_rate_text(r->drops, t[7], 16),
	    weft_rate_text(r->rnr, t[8], 16));
}

static void put_cards(struct page *p, uint32_t room)
{
	struct order *order = in_order(p, p->sample->cards, card_key);
	uint32_t first, shown = window(p, p->sample->cards, room, true, &first);
	char name[48];

	place(name, sizeof(name), "CARD", p->sample->cards, first, shown);
	put(p, WEFT_SCREEN_HEAD, "%-20s %6s %6s %5s%*s %6s %6s %6s %5s %5s %5s", name, "TX", "RX",
	    "LINE%", p->screen->width >= WIDE ? (int)BAR + 1 : 0, "", "SEND", "READ", "WRITE",
	    "RETR%", "DROPS", "RNR");
	for (uint32_t i = 0; order && i < shown; i++)
		put_card(p, order[first + i].index);
	if (!p->sample->cards)
		put(p, WEFT_SCREEN_DIM, "no EFA card here");
	p->failed |= !order;
	free(order);
}

static void proc_cards(const struct weft_sample *sample, const struct weft_watch_proc *proc,
		       char *buf, size_t len)
{
	uint32_t count = 0;

	snprintf(buf, len, "-");
	for (uint32_t i = 0; i < sample->cards; i++)
		if (weft_proc_has_card(proc, i) && !count++)
			snprintf(buf, len, "%s", sample->card[i].name);
	if (count > 1)
		snprintf(buf, len, "%u cards", count);
}

/* Names of programs may have any bytes. */
static const char *plain(const char *from, char *buf, size_t len)
{
	snprintf(buf, len, "%s", from);
	for (char *c = buf; *c; c++)
		if ((unsigned char)*c >= 0x7f)
			*c = '?';
	return buf;
}

static void put_proc(struct page *p, uint32_t index)
{
	const struct weft_watch_proc *proc = &p->sample->proc[index];
	const struct weft_proc_rate *r = &p->rates->proc[index];
	char t[4][16], cards[64], comm[32];

	proc_cards(p->sample, proc, cards, sizeof(cards));
	put(p,
	    r->alarm                                             ? WEFT_SCREEN_ALARM
	    : r->efa_tx + r->efa_rx + r->tcp_tx + r->tcp_rx <= 0 ? WEFT_SCREEN_DIM
								 : WEFT_SCREEN_PLAIN,
	    "%7u %-15.15s %-11.11s%c %6s %6s %6s %6s  %s", proc->pid,
	    plain(proc->comm, comm, sizeof(comm)), cards, proc->shared ? '*' : ' ',
	    bits(r->efa_tx, t[0]), bits(r->efa_rx, t[1]), bits(r->tcp_tx, t[2]),
	    bits(r->tcp_rx, t[3]), proc->pod[0] ? proc->pod : proc->why);
}

static void put_procs(struct page *p, uint32_t room, bool scrolls)
{
	struct order *order = in_order(p, p->sample->procs, proc_key);
	uint32_t first, shown = window(p, p->sample->procs, room, scrolls, &first);
	char name[48];

	place(name, sizeof(name), "PROGRAM", p->sample->procs, first, shown);
	put(p, WEFT_SCREEN_HEAD, "%7s %-15s %-12s %6s %6s %6s %6s  %s", "PID", name, "CARDS",
	    "EFA TX", "EFA RX", "TCP TX", "TCP RX", "POD, OR WHY IT IS HERE");
	for (uint32_t i = 0; order && i < shown; i++)
		put_proc(p, order[first + i].index);
	if (!p->sample->procs && scrolls)
		put(p, WEFT_SCREEN_DIM, "no program here that uses EFA, or should");
	p->failed |= !order;
	free(order);
}

/* Pods */

struct pod {
	const struct weft_watch_proc *first;
	struct weft_watch_proc all; /* Its cards. */
	struct weft_proc_rate rate;
	uint32_t programs;
};

static double plus(double a, double b)
{
	return a < 0 ? b : b < 0 ? a : a + b;
}

static const char *pod_of(const struct weft_watch_proc *proc)
{
	return proc->pod_uid[0] ? proc->pod_uid : proc->container;
}

/* A card that several programs of a pod have open counts once: then its own rate is the pod's. */
static void sum_pod(const struct page *p, struct pod *pod)
{
	const struct weft_sample *s = p->sample;

	pod->rate = (struct weft_proc_rate){ -1, -1, -1, -1, false };
	for (uint32_t i = 0; i < s->procs; i++) {
		const struct weft_watch_proc *proc = &s->proc[i];
		const struct weft_proc_rate *r = &p->rates->proc[i];
		bool soft = true;

		if (strcmp(pod_of(proc), pod_of(pod->first)) != 0)
			continue;
		pod->programs++;
		pod->rate.alarm |= r->alarm;
		pod->rate.tcp_tx = plus(pod->rate.tcp_tx, r->tcp_tx);
		pod->rate.tcp_rx = plus(pod->rate.tcp_rx, r->tcp_rx);
		for (uint32_t c = 0; c < s->cards; c++) {
			if (!weft_proc_has_card(proc, c))
				continue;
			soft &= s->card[c].kind == WEFT_WATCH_SOFT;
			if (s->card[c].kind != WEFT_WATCH_SOFT &&
			    !weft_proc_has_card(&pod->all, c)) {
				pod->rate.efa_tx = plus(pod->rate.efa_tx, p->rates->card[c].tx);
				pod->rate.efa_rx = plus(pod->rate.efa_rx, p->rates->card[c].rx);
			}
			weft_proc_set_card(&pod->all, c);
		}
		if (soft) {
			pod->rate.efa_tx = plus(pod->rate.efa_tx, r->efa_tx);
			pod->rate.efa_rx = plus(pod->rate.efa_rx, r->efa_rx);
		}
		pod->all.shared |= proc->shared;
	}
}

static bool is_first_of_pod(const struct weft_sample *s, uint32_t index)
{
	if (!pod_of(&s->proc[index])[0])
		return false;
	for (uint32_t i = 0; i < index; i++)
		if (!strcmp(pod_of(&s->proc[i]), pod_of(&s->proc[index])))
			return false;
	return true;
}

static void put_pod(struct page *p, const struct pod *pod)
{
	char t[4][16], cards[64], name[200];
	const struct weft_watch_proc *f = pod->first;

	proc_cards(p->sample, &pod->all, cards, sizeof(cards));
	if (f->pod[0])
		snprintf(name, sizeof(name), "%s%s%s", f->ns, f->ns[0] ? "/" : "", f->pod);
	else
		snprintf(name, sizeof(name), "%s%s", f->pod_uid[0] ? "pod " : "container ",
			 pod_of(f));
	put(p, pod->rate.alarm ? WEFT_SCREEN_ALARM : WEFT_SCREEN_PLAIN,
	    "%-34.34s %4u %-10.10s %6s %6s %6s %6s", name, pod->programs, cards,
	    bits(pod->rate.efa_tx, t[0]), bits(pod->rate.efa_rx, t[1]),
	    bits(pod->rate.tcp_tx, t[2]), bits(pod->rate.tcp_rx, t[3]));
}

static void put_pods(struct page *p, uint32_t room)
{
	uint32_t count = 0, first, shown, at = 0;
	char name[48];

	for (uint32_t i = 0; i < p->sample->procs; i++)
		count += is_first_of_pod(p->sample, i);
	shown = window(p, count, room, true, &first);
	place(name, sizeof(name), "POD", count, first, shown);
	put(p, WEFT_SCREEN_HEAD, "%-34s %4s %-10s %6s %6s %6s %6s", name, "PROG", "CARDS", "EFA TX",
	    "EFA RX", "TCP TX", "TCP RX");
	for (uint32_t i = 0; i < p->sample->procs; i++) {
		struct pod pod = { .first = &p->sample->proc[i] };

		if (!is_first_of_pod(p->sample, i))
			continue;
		if (at >= first && at < first + shown) {
			sum_pod(p, &pod);
			put_pod(p, &pod);
		}
		at++;
	}
	if (!count)
		put(p, WEFT_SCREEN_DIM,
		    "no program in a pod or container that uses EFA, or should");
}

/* The whole */

static void put_help(struct page *p)
{
	static const char *const text[] = {
		"TX, RX        bits per second on the wire; LINE%: of the card's speed",
		"SEND READ     bits per second of requests of that kind, both directions",
		"WRITE         together",
		"RETR%         packets that were sent again, of all that were sent",
		"DROPS, RNR    a second; RNR (no receive posted) only weft's cards count",
		"EFA TX, RX    of a program: all that its cards move; * others use them, too",
		"TCP TX, RX    of its connections; a program that should be on EFA and moves",
		"              its bytes over TCP is an alarm (!)",
		"",
		"s  next sort order        c  cards              q  quit",
		"space  pause              p  programs           h  this help",
		"up down PgUp PgDn Home    o  pods               b  cards and programs",
	};

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(text); i++)
		put(p, WEFT_SCREEN_PLAIN, "%s", text[i]);
}

static void put_body(struct page *p, uint32_t room)
{
	uint32_t procs = 0;

	switch (p->screen->view) {
	case WEFT_SCREEN_BOTH:
		/* Programs get a third at most, and a line for their heading and one to set it off. */
		if (p->sample->procs && (!p->screen->height || room > 8))
			procs = WEFT_MIN(p->sample->procs, WEFT_MAX(room / 3, 2u));
		put_cards(p, procs ? room - procs - 2 : room);
		if (procs) {
			put(p, WEFT_SCREEN_PLAIN, " ");
			put_procs(p, procs, false);
		}
		break;
	case WEFT_SCREEN_CARDS:
		put_cards(p, room);
		break;
	case WEFT_SCREEN_PROCS:
		put_procs(p, room, true);
		break;
	case WEFT_SCREEN_PODS:
		put_pods(p, room);
		break;
	}
}

bool weft_screen_compose(struct weft_screen *screen, const struct weft_sample *sample,
			 const struct weft_rates *rates, struct weft_screen_lines *lines_out)
{
	struct page p = { screen, sample, rates, lines_out, false };
	uint32_t used;

	*lines_out = (struct weft_screen_lines){ NULL, 0, false };
	put_head(&p);
	/* The heading of the list, and the foot. */
	used = lines_out->count + 2;
	if (screen->help)
		put_help(&p);
	else
		put_body(&p, screen->height > used ? screen->height - used : 1);
	if (screen->height) {
		while (lines_out->count + 1 < screen->height && !lines_out->failed)
			put(&p, WEFT_SCREEN_PLAIN, " ");
		if (lines_out->count >= screen->height)
			lines_out->count = screen->height ? screen->height - 1 : 0;
		put(&p, WEFT_SCREEN_FOOT,
		    "q quit  h help  s sort: %s  space %s  c cards  p programs  o pods  b both",
		    weft_sort_name(screen->sort), screen->paused ? "go on" : "pause");
	}
	p.failed |= lines_out->failed;
	if (p.failed)
		weft_screen_free(lines_out);
	return !p.failed;
}
