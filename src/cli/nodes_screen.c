/* SPDX-License-Identifier: BSD-2-Clause */
/* The screen of `weft nodes`: eks-node-viewer's, with EFA in it.
 *
 * Columns are as wide as what is in them. Where the terminal is too narrow for all, it gets what matters first: the
 * name without its domain, numbers, then bars, then the rest in the order of `wishes`; what room is left makes bars
 * longer. A node with trouble is marked in its EFA column, so that it is seen without colours, too. */
#include "cli/nodes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CELL       96u
#define BAR_MIN    3u
#define BAR_MAX    10u
#define HOURS      730 /* Of a month. */
#define HEAD_BAR   40u
#define NAMES_SEEN 6u

enum {
	COL_NAME,
	COL_PODS,
	COL_NODES, /* Of a type. */
	COL_TYPE,
	COL_STATUS,
	COL_PLUGIN,
	COL_CAPACITY,
	COL_PRICE,
	COL_RESOURCE, /* The first of them. */
	COL_MAX = COL_RESOURCE + WEFT_FLEET_RESOURCES_MAX,
};

struct layout {
	uint32_t width[COL_MAX]; /* 0: not shown. Of a resource: without its bar. */
	uint32_t bar, gap;
	bool short_names;
};

struct page {
	struct weft_nodes_screen *s;
	const struct weft_fleet *f;
	const struct weft_fleet_rows *rows;
	struct weft_screen_lines *lines;
	struct layout at;
};

#define put(p, style, ...) weft_screen_put((p)->lines, (p)->s->width, style, __VA_ARGS__)

const char *weft_nodes_resource_name(const struct weft_fleet *f, uint32_t resource)
{
	return resource == WEFT_FLEET_EFA ? "vpc.amazonaws.com/efa" : f->resource[resource];
}

/* Amounts */

static bool is_bytes(const char *resource)
{
	return !strcmp(resource, "memory") || !strcmp(resource, "ephemeral-storage") ||
	       !strncmp(resource, "hugepages-", 10);
}

static const char *amount(const char *resource, uint64_t milli, char buf[32])
{
	static const char units[] = " KMGTPE";
	uint64_t n = milli / 1000;
	int unit = 0;

	if (!strcmp(resource, "cpu")) {
		snprintf(buf, 32, "%" PRIu64 "m", milli);
		return buf;
	}
	for (; is_bytes(resource) && n >= 10240 && unit < 6; unit++)
		n /= 1024;
	if (unit)
		snprintf(buf, 32, "%" PRIu64 "%ci", n, units[unit]);
	else
		snprintf(buf, 32, "%" PRIu64, n);
	return buf;
}

static const char *dollars(uint64_t micro, int digits, char buf[32])
{
	snprintf(buf, 32, "$%.*f", digits, (double)micro / 1e6);
	return buf;
}

/* Cells */

static void resource_cell(const struct page *p, const struct weft_fleet_row *r, uint32_t i,
			  char *cell)
{
	uint64_t req = r->sum.requested[i], has = r->sum.allocatable[i];
	const char *mark = i == WEFT_FLEET_EFA && r->sum.troubled ? "!" : "";
	char a[32], b[32];

	if (!p->f->pods_given)
		snprintf(a, sizeof(a), "-");
	else
		amount(p->f->resource[i], req, a);
	if (i == WEFT_FLEET_CPU)
		snprintf(cell, CELL, p->f->pods_given ? "%3.0f%%" : "-",
			 100 * weft_fleet_share(req, has));
	else if (i == WEFT_FLEET_EFA && (r->sum.expected || has))
		snprintf(cell, CELL, "%s/%" PRIu64 "/%" PRIu64 "%s", a, has / 1000, r->sum.expected,
			 mark);
	else if (has || req)
		snprintf(cell, CELL, "%s/%s%s", a, amount(p->f->resource[i], has, b), mark);
	else
		snprintf(cell, CELL, "-%s", mark);
}

static void price_cell(const struct weft_fleet_row *r, char *cell)
{
	char buf[32];

	if (r->sum.unpriced == r->sum.nodes)
		snprintf(cell, CELL, "?");
	else
		snprintf(cell, CELL, "%s%s", dollars(r->sum.price, 4, buf),
			 r->sum.unpriced ? "+?" : "");
}

/* What is in a column of a row. */
static void fill(const struct page *p, const struct weft_fleet_row *r, uint32_t col, char *cell)
{
	const char *text = "";

	*cell = '\0';
	switch (col) {
	case COL_NAME:
		snprintf(cell, CELL, "%.*s",
			 p->at.short_names ? (int)strcspn(r->name, ".") : (int)CELL - 1, r->name);
		return;
	case COL_PODS:
		snprintf(cell, CELL, p->f->pods_given ? "%u" : "-", r->sum.pods);
		return;
	case COL_NODES:
		snprintf(cell, CELL, "%u", r->sum.nodes);
		return;
	case COL_TYPE:
		text = *r->node->type ? r->node->type : "?";
		break;
	case COL_STATUS:
		text = weft_fleet_status(r->node);
		if (p->s->view.by_type)
			snprintf(cell, CELL, "%u ready", r->sum.ready);
		break;
	case COL_PLUGIN:
		text = weft_fleet_plugin_name(p->f, r->node);
		if (p->s->view.by_type)
			snprintf(cell, CELL, r->sum.troubled ? "%u with trouble" : "-",
				 r->sum.troubled);
		break;
	case COL_CAPACITY:
		text = weft_fleet_capacity_name(r->node->capacity);
		break;
	case COL_PRICE:
		price_cell(r, cell);
		return;
	default:
		resource_cell(p, r, p->s->resource[col - COL_RESOURCE], cell);
		return;
	}
	if (!*cell)
		snprintf(cell, CELL, "%s", *text ? text : "-");
}

static const char *heading(const struct page *p, uint32_t col)
{
	static const char *const heads[] = { "NAME",   "PODS",   "NODES",    "TYPE",
					     "STATUS", "PLUGIN", "CAPACITY", "PRICE/H" };
	const char *name, *slash;
	uint32_t i;

	if (col == COL_NAME && p->s->view.by_type)
		return "TYPE";
	if (col < COL_RESOURCE)
		return heads[col];
	i = p->s->resource[col - COL_RESOURCE];
	if (i < WEFT_FLEET_FIXED)
		return i == WEFT_FLEET_CPU ? "CPU" : i == WEFT_FLEET_GPU ? "GPU" : "EFA";
	name = p->f->resource[i];
	slash = strrchr(name, '/');
	return slash ? slash + 1 : name;
}

/* Layout */

static bool is_there(const struct page *p, uint32_t col)
{
	bool types = p->s->view.by_type;

	if (col == COL_NODES)
		return types;
	if (col == COL_TYPE || col == COL_CAPACITY)
		return !types;
	return col != COL_PRICE || p->s->prices;
}

/* Of its widest cell. */
static uint32_t content(struct page *p, uint32_t col, bool short_names)
{
	uint32_t width = (uint32_t)strlen(heading(p, col));
	char cell[CELL];

	p->at.short_names = short_names;
	for (uint32_t i = 0; i < p->rows->count; i++) {
		fill(p, &p->rows->row[i], col, cell);
		width = WEFT_MAX(width, (uint32_t)strlen(cell));
	}
	return width;
}

static uint32_t used(const struct page *p)
{
	uint32_t sum = p->at.gap * (p->s->resources - 1);

	for (uint32_t i = 0; i < COL_RESOURCE; i++)
		sum += p->at.width[i] ? p->at.width[i] + p->at.gap : 0;
	for (uint32_t i = 0; i < p->s->resources; i++)
		sum += p->at.width[COL_RESOURCE + i] + (p->at.bar ? p->at.bar + 1 : 0);
	return sum;
}

/* As long a bar as fits, up to so many columns. */
static void grow_bars(struct page *p, uint32_t longest)
{
	while (p->at.bar < longest) {
		p->at.bar++;
		if (used(p) > p->s->width) {
			p->at.bar--;
			break;
		}
	}
	if (p->at.bar < BAR_MIN)
		p->at.bar = 0;
}

static void lay_out(struct page *p)
{
	static const uint32_t needs[] = { COL_PODS, COL_NODES, COL_TYPE, COL_STATUS };
	static const uint32_t wishes[] = { COL_PLUGIN, COL_CAPACITY, COL_PRICE };
	uint32_t whole;

	p->at = (struct layout){ .gap = p->s->width < 100 ? 1 : 2 };
	for (uint32_t i = 0; i < p->s->resources; i++)
		p->at.width[COL_RESOURCE + i] = content(p, COL_RESOURCE + i, false);
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(needs); i++)
		if (is_there(p, needs[i]))
			p->at.width[needs[i]] = content(p, needs[i], false);
	whole = content(p, COL_NAME, false);
	p->at.width[COL_NAME] = content(p, COL_NAME, !p->s->view.by_type);
	grow_bars(p, BAR_MIN);
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(wishes); i++) {
		if (!is_there(p, wishes[i]))
			continue;
		p->at.width[wishes[i]] = content(p, wishes[i], !p->s->view.by_type);
		if (used(p) > p->s->width)
			p->at.width[wishes[i]] = 0;
	}
	if (used(p) - p->at.width[COL_NAME] + whole <= p->s->width) {
		p->at.width[COL_NAME] = whole;
		p->at.short_names = false;
	}
	grow_bars(p, BAR_MAX);
	/* Names are what may be cut. */
	whole = used(p);
	if (whole > p->s->width)
		p->at.width[COL_NAME] -= WEFT_MIN(whole - p->s->width, p->at.width[COL_NAME] - 1);
}

/* Rows */

static const uint32_t order[] = { COL_NAME,  COL_RESOURCE, COL_PODS,   COL_NODES, COL_TYPE,
				  COL_PRICE, COL_CAPACITY, COL_STATUS, COL_PLUGIN };

struct text {
	char bytes[WEFT_SCREEN_TEXT];
	size_t len;
};

static void append(struct text *t, const char *more, uint32_t width, bool right)
{
	int n = snprintf(t->bytes + t->len, sizeof(t->bytes) - t->len, right ? "%*.*s" : "%-*.*s",
			 (int)width, (int)width, more);

	t->len = WEFT_MIN(t->len + (size_t)WEFT_MAX(n, 0), sizeof(t->bytes) - 1);
}

/* NULL: the headings. */
static void put_resources(const struct page *p, const struct weft_fleet_row *r, struct text *t)
{
	char cell[CELL], bar[3 * BAR_MAX + 1];

	for (uint32_t i = 0; i < p->s->resources; i++) {
		uint32_t k = p->s->resource[i], width = p->at.width[COL_RESOURCE + i];

		if (i)
			append(t, "", p->at.gap, false);
		if (!r) {
			append(t, heading(p, COL_RESOURCE + i),
			       width + (p->at.bar ? p->at.bar + 1 : 0), false);
			continue;
		}
		if (p->at.bar) {
			weft_screen_bar(
				weft_fleet_share(r->sum.requested[k], r->sum.allocatable[k]),
				p->at.bar, p->s->utf8, bar);
			if (!r->sum.allocatable[k])
				snprintf(bar, sizeof(bar), "%*s", (int)p->at.bar, "");
			append(t, bar, (uint32_t)strlen(bar), false);
			append(t, "", 1, false);
		}
		fill(p, r, COL_RESOURCE + i, cell);
		append(t, cell, width, true);
	}
}

static void put_row(const struct page *p, const struct weft_fleet_row *r)
{
	bool bad = r && r->sum.troubled;
	struct text t = { .len = 0 };
	char cell[CELL];

	t.bytes[0] = '\0';
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(order); i++) {
		uint32_t col = order[i], width = p->at.width[col];
		bool number = col == COL_PODS || col == COL_NODES || col == COL_PRICE;

		if (!width)
			continue;
		if (i)
			append(&t, "", p->at.gap, false);
		if (col == COL_RESOURCE) {
			put_resources(p, r, &t);
			continue;
		}
		if (r)
			fill(p, r, col, cell);
		append(&t, r ? cell : heading(p, col), width, number);
	}
	put(p,
	    !r                            ? WEFT_SCREEN_HEAD
	    : bad                         ? WEFT_SCREEN_ALARM
	    : r->sum.ready < r->sum.nodes ? WEFT_SCREEN_DIM
					  : WEFT_SCREEN_PLAIN,
	    "%s", t.bytes);
}

/* The head */

/* "$82.272/hour | $60058.195/month" */
static void price_text(const struct page *p, char *buf, size_t len)
{
	const struct weft_fleet_sum *sum = &p->f->sum;
	char hour[32], month[32], more[32] = "";

	*buf = '\0';
	if (!p->s->prices)
		return;
	if (sum->unpriced)
		snprintf(more, sizeof(more), " + %u without price", sum->unpriced);
	snprintf(buf, len, "%s/hour | %s/month%s", dollars(sum->price, 3, hour),
		 dollars(sum->price * HOURS, 3, month), more);
}

/* "(650m/199290m)" */
static void sum_text(const struct page *p, uint32_t i, char *buf, size_t len)
{
	const struct weft_fleet_sum *sum = &p->f->sum;
	uint64_t has = sum->allocatable[i];
	char a[32], b[32], want[48] = "";

	if (i == WEFT_FLEET_EFA && sum->expected != has / 1000)
		snprintf(want, sizeof(want), ", %" PRIu64 " expected", sum->expected);
	snprintf(buf, len, "(%s/%s%s)",
		 p->f->pods_given ? amount(p->f->resource[i], sum->requested[i], a) : "-",
		 amount(p->f->resource[i], has, b), want);
}

static void put_sums(const struct page *p, const char *price)
{
	char amounts[WEFT_FLEET_RESOURCES_MAX][128], bar[3 * HEAD_BAR + 1], count[32];
	size_t width = 0, name = 3, room;
	uint32_t columns;

	snprintf(count, sizeof(count), "%u nodes ", p->f->sum.nodes);
	for (uint32_t i = 0; i < p->s->resources; i++) {
		uint32_t k = p->s->resource[i];

		sum_text(p, k, amounts[i], sizeof(amounts[i]));
		width = WEFT_MAX(width, strlen(amounts[i]));
		name = WEFT_MAX(name, WEFT_MIN(strlen(p->f->resource[k]), (size_t)40));
	}
	/* Bars are of one length, or one could not compare them. */
	room = strlen(count) + width + 8 + name + 2 + strlen(price);
	columns = p->s->width > room ? (uint32_t)WEFT_MIN(p->s->width - room, (size_t)HEAD_BAR) : 0;
	for (uint32_t i = 0; i < p->s->resources; i++) {
		uint32_t k = p->s->resource[i];
		double share = weft_fleet_share(p->f->sum.requested[k], p->f->sum.allocatable[k]);

		weft_screen_bar(share, columns, p->s->utf8, bar);
		put(p, i ? WEFT_SCREEN_PLAIN : WEFT_SCREEN_TITLE, "%*s%-*s %5.1f%% %-*.40s %s %s",
		    (int)strlen(count), i ? "" : count, (int)width, amounts[i], 100 * share,
		    (int)name, p->f->resource[k], bar, i ? "" : price);
	}
}

static void put_head(const struct page *p)
{
	const struct weft_fleet *f = p->f;
	char price[128], waits[64] = "";

	price_text(p, price, sizeof(price));
	put_sums(p, price);
	if (f->pending_efas)
		snprintf(waits, sizeof(waits), ", waiting for %" PRIu64 " efa",
			 f->pending_efas / 1000);
	if (f->pods_given)
		put(p, WEFT_SCREEN_PLAIN, "%u pods (%u pending %u running %u bound)%s%s%s", f->pods,
		    f->pending, f->running, f->bound, waits, *p->s->state ? "   " : "",
		    p->s->state);
	else
		put(p, WEFT_SCREEN_PLAIN, "no pods were read%s%s", *p->s->state ? "   " : "",
		    p->s->state);
}

/* What is wrong */

/* Words in lines of the screen's width, all but the first set in. */
static void put_wrapped(const struct page *p, enum weft_screen_style style, const char *first,
			const char *text)
{
	uint32_t width = WEFT_MAX(WEFT_MIN(p->s->width, 100u), 30u), in = (uint32_t)strlen(first);
	const char *lead = first;

	while (*text) {
		size_t room = width - in, len = strlen(text);

		if (len > room) {
			for (len = room; len && text[len] != ' '; len--)
				;
			len = len ? len : room;
		}
		put(p, style, "%-*s%.*s", (int)in, lead, (int)len, text);
		lead = "";
		text += len;
		text += strspn(text, " ");
	}
}

/* "2 nodes: no EFA device plugin (a, b, ...)" */
static uint32_t trouble_text(const struct weft_fleet *f, enum weft_fleet_trouble trouble,
			     uint32_t names, char *buf, size_t len)
{
	uint32_t count = 0;
	size_t at = 0;

	*buf = '\0';
	for (uint32_t i = 0; i < f->nodes; i++) {
		const struct weft_fleet_node *n = &f->node[i];
		int more;

		if (n->trouble != trouble || count++ >= names)
			continue;
		more = snprintf(buf + at, len - at, "%s%.*s", count > 1 ? ", " : "",
				(int)WEFT_MIN(strcspn(n->name, "."), (size_t)60), n->name);
		at = WEFT_MIN(at + (size_t)more, len - 1);
	}
	if (count > names)
		snprintf(buf + at, len - at, ", and %u more", count - names);
	return count;
}

/* One line for each kind of trouble; the rest is told where there is room for it. */
static void put_alarms(const struct page *p)
{
	char names[600];

	if (p->s->wrong)
		put(p, WEFT_SCREEN_ALARM, "! not refreshed: %s", p->s->state);
	for (int t = WEFT_TROUBLE_NONE + 1; t < WEFT_TROUBLE_COUNT; t++) {
		enum weft_fleet_trouble trouble = (enum weft_fleet_trouble)t;
		uint32_t count = trouble_text(p->f, trouble, NAMES_SEEN, names, sizeof(names));

		if (count)
			put(p, WEFT_SCREEN_ALARM, "! %u node%s: %s: %s", count,
			    count == 1 ? "" : "s", weft_fleet_trouble_title(trouble), names);
	}
	if (p->f->stuck_pods)
		put(p, WEFT_SCREEN_ALARM, "! %u pod%s for EFA cannot be placed: %s%s",
		    p->f->stuck_pods, p->f->stuck_pods == 1 ? "" : "s", p->f->stuck[0].name,
		    p->f->stuck_pods == 1 ? "" : ", ...");
}

static void put_why(const struct page *p)
{
	uint32_t found = p->f->stuck_pods;
	char names[2000], line[2400];

	for (int t = WEFT_TROUBLE_NONE + 1; t < WEFT_TROUBLE_COUNT; t++) {
		enum weft_fleet_trouble trouble = (enum weft_fleet_trouble)t;
		const struct weft_finding_info *info =
			weft_finding_info(weft_fleet_trouble_finding(trouble));
		uint32_t count = trouble_text(p->f, trouble, 20, names, sizeof(names));

		if (!count)
			continue;
		found += count;
		snprintf(line, sizeof(line), "%s (%s): %s", weft_fleet_trouble_title(trouble),
			 info->id, names);
		put_wrapped(p, WEFT_SCREEN_ALARM, "! ", line);
		put_wrapped(p, WEFT_SCREEN_PLAIN, "  why  ", info->reason);
		put_wrapped(p, WEFT_SCREEN_PLAIN, "  fix  ", info->fix);
	}
	for (uint32_t i = 0; i < WEFT_MIN(p->f->stuck_pods, WEFT_FLEET_STUCK_MAX); i++) {
		snprintf(line, sizeof(line), "%s: %s", p->f->stuck[i].name, p->f->stuck[i].why);
		put_wrapped(p, WEFT_SCREEN_ALARM, "! pod ", line);
	}
	if (p->f->stuck_pods)
		put_wrapped(p, WEFT_SCREEN_PLAIN, "  fix  ",
			    weft_finding_info(WEFT_FINDING_POD_PENDING)->fix);
	if (!found)
		put(p, WEFT_SCREEN_PLAIN, "every node offers the EFAs of its type");
}

static void put_help(const struct page *p)
{
	static const char *const text[] = {
		"CPU           requested by pods, of what is allocatable",
		"GPU           requested/allocatable; accelerators of any maker",
		"EFA           requested/allocatable/expected of the instance type; ! trouble",
		"PLUGIN        the pod of the EFA device plugin, or dra: a DRA driver's",
		"",
		"left right    pages (also PgUp PgDn Home)",
		"s  next sort order     t  by type or node     /  filter (Enter, Esc)",
		"e  only with trouble   w  what is wrong, and what to do",
		"r  read again now      space  stop, go on     h  this help     q  quit",
	};

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(text); i++)
		put(p, WEFT_SCREEN_PLAIN, "%s", text[i]);
}

/* The whole */

static void put_pages(const struct page *p, uint32_t pages)
{
	char dots[3 * 24 + 1] = "";
	size_t len = 0;

	for (uint32_t i = 0; i < pages && pages <= 24 && p->s->utf8; i++)
		len += (size_t)snprintf(dots + len, sizeof(dots) - len, "%s",
					i == p->s->page ? "\xe2\x80\xa2" : "\xe2\x97\xa6");
	put(p, WEFT_SCREEN_DIM, "%s%spage %u/%u, %u rows%s%s", dots, *dots ? "  " : "",
	    p->s->page + 1, pages, p->rows->count, *p->s->filter ? ", filter: " : "", p->s->filter);
}

/* A page of rows, in so many lines. */
static void put_rows(struct page *p, uint32_t room)
{
	uint32_t first = 0, count = p->rows->count, pages = 1;

	if (p->s->height) {
		room = room > 2 ? room - 2 : 1; /* Headings and pages. */
		pages = WEFT_MAX((count + room - 1) / room, 1u);
		p->s->page = WEFT_MIN(p->s->page, pages - 1);
		first = p->s->page * room;
		count = WEFT_MIN(count - first, room);
	}
	lay_out(p);
	put_row(p, NULL);
	for (uint32_t i = 0; i < count; i++)
		put_row(p, &p->rows->row[first + i]);
	if (!p->rows->count)
		put(p, WEFT_SCREEN_DIM, "no node here%s", p->f->nodes ? " that was asked for" : "");
	if (p->s->height)
		put_pages(p, pages);
}

static void put_body(struct page *p)
{
	uint32_t room;

	put_head(p);
	if (!p->s->height || !p->s->why)
		put_alarms(p);
	put(p, WEFT_SCREEN_PLAIN, " ");
	room = p->s->height > p->lines->count + 1 ? p->s->height - p->lines->count - 1 : 1;
	if (p->s->help)
		put_help(p);
	else if (p->s->height && p->s->why)
		put_why(p);
	else
		put_rows(p, room);
	if (!p->s->height && (p->f->sum.troubled || p->f->stuck_pods)) {
		put(p, WEFT_SCREEN_PLAIN, " ");
		put_why(p);
	}
}

static void put_foot(const struct page *p)
{
	const char *arrows = p->s->utf8 ? "\xe2\x86\x90/\xe2\x86\x92" : "left/right";

	while (p->lines->count + 1 < p->s->height && !p->lines->failed)
		put(p, WEFT_SCREEN_PLAIN, " ");
	p->lines->count = WEFT_MIN(p->lines->count, p->s->height - 1);
	if (p->s->typing)
		put(p, WEFT_SCREEN_FOOT, "filter: %s_   (Enter keeps it, Esc takes it away)",
		    p->s->filter);
	else
		put(p, WEFT_SCREEN_FOOT,
		    "%s page  q quit  h help  s sort: %s  t type  e trouble  w why  / filter",
		    arrows, weft_fleet_sort_name(p->s->view.sort));
}

bool weft_nodes_compose(struct weft_nodes_screen *s, const struct weft_fleet *fleet,
			struct weft_screen_lines *lines_out)
{
	struct weft_fleet_rows rows = { NULL, 0 };
	struct page p = { .s = s, .f = fleet, .rows = &rows, .lines = lines_out };

	*lines_out = (struct weft_screen_lines){ NULL, 0, false };
	s->view.filter = s->filter;
	if (fleet && !weft_fleet_rows(fleet, &s->view, &rows))
		return false;
	if (fleet)
		put_body(&p);
	else
		put(&p, WEFT_SCREEN_PLAIN, "%s", s->state);
	if (s->height)
		put_foot(&p);
	weft_fleet_rows_free(&rows);
	if (lines_out->failed)
		weft_screen_free(lines_out);
	return lines_out->line != NULL;
}
