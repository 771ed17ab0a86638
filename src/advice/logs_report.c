/* SPDX-License-Identifier: BSD-2-Clause */
/* Draws the conclusions from logs: what each rank ran on, why it fell back, who failed first.
 *
 * A rank is on EFA only if a line proves it: the plugin's provider, Open MPI's mtl, an endpoint of libfabric's EFA
 * provider, UCX's lanes. "Using network Libfabric" alone does not, for libfabric also runs over TCP. What looked like
 * the reason for a fall back (no plugin found, no provider) means nothing where the rank is on EFA in the end: NCCL and
 * libfabric try several things. Then it is muted.
 *
 * The first failure is the first that is a rank's own. "Unresponsive receiver" and "Connection closed by remote peer"
 * come from those who live, so they are taken only if nobody says anything better. */
#include "advice/logs_report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CARD_ROUNDS 8u
#define GROUPS_MAX  200u /* What differs from all of them is put together. */

const char *weft_log_on_name(enum weft_log_on on)
{
	switch (on) {
	case WEFT_ON_EFA:
		return "efa";
	case WEFT_ON_TCP:
		return "tcp";
	case WEFT_ON_OTHER:
		return "other";
	case WEFT_ON_UNKNOWN:
	case WEFT_ON_COUNT:
		break;
	}
	return "unknown";
}

__attribute__((format(printf, 3, 4))) static void append(char *buf, size_t size, const char *format,
							 ...)
{
	size_t len = strlen(buf);
	va_list args;

	va_start(args, format);
	vsnprintf(buf + len, size - len, format, args);
	va_end(args);
}

/* Names */

struct names {
	char *buf;
	size_t size;
	int32_t from, to; /* The range of ranks that is open. -1: none. */
	uint32_t printed, more;
};

static void end_range(struct names *n)
{
	char text[48];

	if (n->from < 0)
		return;
	snprintf(text, sizeof(text), n->to > n->from ? "%d-%d" : "%d", n->from, n->to);
	if (strlen(n->buf) + strlen(text) + 24 > n->size)
		n->more++;
	else
		append(n->buf, n->size, "%s%s", n->printed++ ? "," : "", text);
	n->from = -1;
}

struct rank_range {
	int32_t from, to;
	uint32_t source;
};

static int by_rank(const void *a, const void *b)
{
	const struct rank_range *x = a, *y = b;

	return x->from != y->from ? (x->from > y->from) - (x->from < y->from)
				  : (x->source > y->source) - (x->source < y->source);
}

char *weft_logs_names(const struct weft_logs *logs, const uint32_t *source, uint32_t count,
		      char *buf, size_t len)
{
	struct rank_range *range = calloc(count ? count : 1, sizeof(*range));
	struct names n = { .buf = buf, .size = len, .from = -1 };
	char name[160];
	uint32_t i = 0;

	buf[0] = '\0';
	if (!range)
		return buf;
	for (uint32_t k = 0; k < count; k++) {
		const struct weft_log_source *s = &logs->source[source[k]];

		range[k] = (struct rank_range){ s->rank < 0 ? INT32_MAX : s->rank, s->rank_last,
						source[k] };
	}
	qsort(range, count, sizeof(*range), by_rank);
	if (count && range[0].from != INT32_MAX)
		append(buf, len, count > 1 || range[0].to > range[0].from ? "ranks " : "rank ");
	for (; i < count && range[i].from != INT32_MAX; i++) {
		if (n.from >= 0 && range[i].from <= n.to + 1) {
			n.to = WEFT_MAX(n.to, range[i].to);
			continue;
		}
		end_range(&n);
		n.from = range[i].from;
		n.to = range[i].to;
	}
	end_range(&n);
	for (; i < count; i++) {
		weft_logs_source_name(logs, range[i].source, name, sizeof(name));
		if (strlen(buf) + strlen(name) + 24 > len || n.printed >= 12)
			n.more++;
		else
			append(buf, len, "%s%s", n.printed++ ? ", " : "", name);
	}
	if (n.more)
		append(buf, len, " and %u more", n.more);
	free(range);
	return buf;
}

/* Verdicts */

static bool has_said(const struct weft_log_source *s, uint32_t msg)
{
	return s->seen[msg / 64] >> (msg % 64) & 1;
}

static bool is_rank(const struct weft_log_source *s)
{
	return s->rank >= 0 || s->nets || s->provider[0] || s->endpoint || s->mtl[0] ||
	       s->ucx_srd || s->ucx_tcp || s->btl_tcp || s->ofi;
}

static bool is_efa(const char *provider)
{
	return !strcmp(provider, "efa") || !strcmp(provider, "efa-direct") ||
	       !strncmp(provider, "efa;", 4);
}

static enum weft_log_on on_provider(const char *provider)
{
	if (is_efa(provider))
		return WEFT_ON_EFA;
	return !strncmp(provider, "tcp", 3) || !strncmp(provider, "sockets", 7) ||
			       !strncmp(provider, "udp", 3) || !strncmp(provider, "net", 3)
		       ? WEFT_ON_TCP
		       : WEFT_ON_OTHER;
}

static enum weft_log_on verdict_of(const struct weft_log_source *s)
{
	if (s->nets & WEFT_LOG_NET_SOCKET)
		return WEFT_ON_TCP;
	if (s->provider[0])
		return on_provider(s->provider);
	if (s->nets & (WEFT_LOG_NET_IB | WEFT_LOG_NET_OTHER))
		return WEFT_ON_OTHER;
	if (s->mtl[0])
		return on_provider(s->mtl);
	if (s->endpoint || s->ucx_srd)
		return WEFT_ON_EFA;
	if (s->ucx_tcp)
		return WEFT_ON_TCP;
	if (s->nets & WEFT_LOG_NET_LIBFABRIC)
		return WEFT_ON_UNKNOWN;
	return s->btl_tcp ? WEFT_ON_TCP : WEFT_ON_UNKNOWN;
}

/* Why a rank is not on EFA, the most precise first. */
static const enum weft_finding_id reasons[] = {
	WEFT_FINDING_LIB_SYMBOLS, WEFT_FINDING_LIB_VERSION,        WEFT_FINDING_GPUDIRECT,
	WEFT_FINDING_MEMLOCK,     WEFT_FINDING_CARD_NODES_FOREIGN, WEFT_FINDING_PROVIDER_NONE,
	WEFT_FINDING_PLUGIN_NONE, WEFT_FINDING_PLUGIN_INIT,        WEFT_FINDING_UCX_NO_EFA,
	WEFT_FINDING_MPI_NO_OFI,
};

static void why_text(const struct weft_logs *logs, const struct weft_log_source *s, char *buf,
		     size_t size)
{
	for (uint32_t pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < WEFT_ARRAY_SIZE(reasons); i++) {
			if (pass ? !logs->msg[reasons[i]].count : !has_said(s, reasons[i]))
				continue;
			append(buf, size, ": %s", weft_finding_info(reasons[i])->title);
			if (pass)
				append(buf, size, " (says another rank)");
			return;
		}
	}
	append(buf, size, "; the log does not say why");
}

static void on_tcp_text(const struct weft_logs *logs, const struct weft_log_source *s, char *buf,
			size_t size)
{
	if (s->nets & WEFT_LOG_NET_SOCKET) {
		append(buf, size, "fell back to sockets (NCCL's network Socket)");
	} else if (s->provider[0]) {
		append(buf, size, "fell back to TCP: libfabric's provider is %s", s->provider);
		return;
	} else if (s->mtl[0]) {
		append(buf, size, "on TCP: Open MPI took libfabric's provider %s", s->mtl);
		return;
	} else if (s->ucx_tcp) {
		append(buf, size, "on TCP: UCX has no EFA (srd) lane between the nodes");
		return;
	} else {
		append(buf, size, "on TCP: Open MPI sends over its btl tcp, not over mtl ofi");
		return;
	}
	why_text(logs, s, buf, size);
}

static void on_efa_text(const struct weft_log_source *s, char *buf, size_t size)
{
	append(buf, size, "on EFA: provider %s",
	       s->provider[0] ? s->provider
	       : s->mtl[0]    ? s->mtl
			      : "efa");
	if (s->fabric[0])
		append(buf, size, ", fabric %s", s->fabric);
	if (s->cards)
		append(buf, size, ", %u card%s", s->cards, s->cards > 1 ? "s" : "");
	if (s->channels && s->channels_gdr == s->channels)
		append(buf, size, ", GPUDirect");
	else if (s->channels_gdr)
		append(buf, size, ", GPUDirect on some connections");
	else if (s->channels)
		append(buf, size, ", no GPUDirect");
	if (s->gda)
		append(buf, size, ", GPU-initiated");
	if (s->protocol[0])
		append(buf, size, ", protocol %s", s->protocol);
	if (s->mtl[0] && !s->provider[0])
		append(buf, size, ", by Open MPI's mtl ofi");
	else if (s->ucx_srd && !s->provider[0])
		append(buf, size, ", by UCX's srd");
	else if (!s->provider[0])
		append(buf, size, ", by libfabric's endpoint");
	if (s->platform[0])
		append(buf, size, ", on %s", s->platform);
	if (s->ucx_tcp && !s->ucx_srd)
		append(buf, size, "; but UCX goes over TCP");
}

static enum weft_log_on describe(const struct weft_logs *logs, const struct weft_log_source *s,
				 char *buf, size_t size)
{
	enum weft_log_on on = verdict_of(s);

	buf[0] = '\0';
	switch (on) {
	case WEFT_ON_EFA:
		on_efa_text(s, buf, size);
		break;
	case WEFT_ON_TCP:
		on_tcp_text(logs, s, buf, size);
		break;
	case WEFT_ON_OTHER:
		append(buf, size, "not on EFA: %s",
		       s->provider[0]              ? s->provider
		       : s->nets & WEFT_LOG_NET_IB ? "NCCL's network IB"
		       : s->net[0]                 ? s->net
						   : s->mtl);
		break;
	case WEFT_ON_UNKNOWN:
	case WEFT_ON_COUNT:
		append(buf, size,
		       s->nets & WEFT_LOG_NET_LIBFABRIC
			       ? "over libfabric, but the log does not say by which provider"
			       : "unknown: the log does not say which network");
		break;
	}
	return on;
}

/* Groups */

static bool add_to_group(struct weft_logs_report *r, const struct weft_logs *logs, uint32_t source)
{
	struct weft_logs_group *g = NULL, *more;
	char text[sizeof(g->text)];
	enum weft_log_on on = describe(logs, &logs->source[source], text, sizeof(text));
	uint32_t i, *list;

	if (r->groups >= GROUPS_MAX)
		snprintf(text, sizeof(text), "%s, in further variations", weft_log_on_name(on));
	for (i = 0; i < r->groups && (r->group[i].on != on || strcmp(r->group[i].text, text) != 0);
	     i++)
		;
	if (i == r->groups) {
		more = realloc(r->group, (r->groups + 1) * sizeof(*more));
		if (!more)
			return false;
		r->group = more;
		r->group[r->groups++] = (struct weft_logs_group){ .on = on };
		memcpy(r->group[i].text, text, sizeof(text));
	}
	g = &r->group[i];
	if (!(g->count & (g->count - 1))) {
		list = realloc(g->source, (g->count ? g->count * 2 : 1) * sizeof(*list));
		if (!list)
			return false;
		g->source = list;
	}
	g->source[g->count++] = source;
	r->on[on] += weft_log_source_ranks(&logs->source[source]);
	r->ranks += weft_log_source_ranks(&logs->source[source]);
	return true;
}

static int by_verdict(const void *a, const void *b)
{
	static const uint32_t order[WEFT_ON_COUNT] = { 3, 0, 1, 2 };
	const struct weft_logs_group *x = a, *y = b;

	if (x->on != y->on)
		return order[x->on] < order[y->on] ? -1 : 1;
	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	return strcmp(x->text, y->text);
}

static bool make_groups(struct weft_logs_report *r, const struct weft_logs *logs)
{
	for (uint32_t i = 0; i < logs->sources; i++) {
		r->ranks_expected = WEFT_MAX(r->ranks_expected, logs->source[i].nranks);
		if (is_rank(&logs->source[i]) && !add_to_group(r, logs, i))
			return false;
	}
	if (r->groups)
		qsort(r->group, r->groups, sizeof(*r->group), by_verdict);
	return true;
}

/* The first failure */

static bool is_earlier(const struct weft_log_place *a, const struct weft_log_place *b, bool by_time)
{
	if (by_time && a->time_ns != b->time_ns)
		return a->time_ns < b->time_ns;
	return a->file != b->file ? a->file < b->file : a->line < b->line;
}

/* The failure of a source that counts in this round; WEFT_LOG_ROLES: it has none. */
static enum weft_log_role first_of(const struct weft_log_source *s, bool echo)
{
	if (echo)
		return s->first_msg[WEFT_LOG_ECHO] == WEFT_LOGS_NONE ? WEFT_LOG_ROLES
								     : WEFT_LOG_ECHO;
	/* The reason of a fall back is at the start, before everything else. */
	if (s->first_msg[WEFT_LOG_REASON] != WEFT_LOGS_NONE && verdict_of(s) != WEFT_ON_EFA)
		return WEFT_LOG_REASON;
	return s->first_msg[WEFT_LOG_OWN] == WEFT_LOGS_NONE ? WEFT_LOG_ROLES : WEFT_LOG_OWN;
}

/* `only_ranks`: nothing of what launchers, schedulers and kernels say, and lines that name nobody. */
static void find_first(struct weft_logs_report *r, const struct weft_logs *logs, bool echo,
		       bool only_ranks)
{
	enum weft_log_clock clock = WEFT_LOG_NO_CLOCK;

	if (r->first_source != WEFT_LOGS_NONE)
		return;

	r->first_by_time = true;
	r->first_is_echo = echo;
	r->failures = 0;
	for (uint32_t pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < logs->sources; i++) {
			const struct weft_log_source *s = &logs->source[i];
			enum weft_log_role role = first_of(s, echo);
			const struct weft_log_place *place;

			if (role == WEFT_LOG_ROLES || (only_ranks && !is_rank(s)))
				continue;
			place = &s->first[role];
			if (!pass) {
				r->failures++;
				/* One clock for all, or none. */
				clock = clock == WEFT_LOG_NO_CLOCK ? place->clock : clock;
				r->first_by_time &=
					place->clock != WEFT_LOG_NO_CLOCK && place->clock == clock;
			} else if (r->first_source == WEFT_LOGS_NONE ||
				   is_earlier(place, &r->first, r->first_by_time)) {
				r->first_source = i;
				r->first_msg = s->first_msg[role];
				r->first = *place;
			}
		}
	}
}

/* Findings */

static uint32_t gather(const struct weft_logs *logs, uint32_t msg, uint32_t *list, bool *all_on_efa)
{
	uint32_t count = 0;

	*all_on_efa = true;
	for (uint32_t i = 0; i < logs->sources; i++) {
		if (!has_said(&logs->source[i], msg))
			continue;
		list[count++] = i;
		*all_on_efa &= verdict_of(&logs->source[i]) == WEFT_ON_EFA;
	}
	return count;
}

static void add_message(struct weft_logs_report *r, const struct weft_logs *logs, uint32_t msg,
			uint32_t *list)
{
	const struct weft_log_msg *m = &logs->msg[msg];
	enum weft_finding_id id = weft_logs_finding_of(msg);
	struct weft_place place = { .line = (uint32_t)WEFT_MIN(m->first.line, UINT32_MAX) };
	char names[256], code[320] = "", times[48] = "";
	bool all_on_efa;
	uint32_t count = gather(logs, msg, list, &all_on_efa);

	if (weft_logs_role_of(msg) == WEFT_LOG_REASON && all_on_efa) {
		r->muted += m->count;
		return;
	}
	if (m->first.file < logs->files)
		place.file = logs->file[m->first.file];
	if (msg >= WEFT_FINDING_COUNT) {
		const struct weft_efa_code *c = weft_efa_code_at(msg - WEFT_FINDING_COUNT);

		snprintf(code, sizeof(code), "code %u, %s: %s; ", c->code, c->text, c->cause);
	}
	if (m->count > 1)
		snprintf(times, sizeof(times), ", %" PRIu64 " times", m->count);
	weft_logs_names(logs, list, count, names, sizeof(names));
	weft_findings_report(&r->findings, id, &place, "%s%s%s: %s", code, names, times, m->text);
}

/* What leads back to EFA is another thing for each of those who can lose it. */
static void add_fallback(struct weft_logs_report *r, const struct weft_logs *logs,
			 const struct weft_logs_group *g, const char *names)
{
	const struct weft_log_source *s = &logs->source[g->source[0]];

	weft_findings_report(&r->findings, WEFT_FINDING_TCP_FALLBACK, NULL, "%s: %s", names,
			     g->text);
	if (s->nets || s->provider[0])
		weft_findings_fix(&r->findings, "put right what the reason says; NCCL_NET=\"AWS "
						"Libfabric\" (newer plugins: "
						"Libfabric) makes such a failure fatal");
	else if (s->ucx_tcp)
		weft_findings_fix(
			&r->findings,
			"use UCX 1.19 or newer with EFA, or a libfabric backend (NIXL: LIBFABRIC)");
	else
		weft_findings_fix(
			&r->findings,
			"use the Open MPI of the EFA installer (/opt/amazon/openmpi) with --mca "
			"pml cm "
			"--mca mtl ofi; where only NCCL is to use EFA, this is as it should be");
}

static void add_fallbacks(struct weft_logs_report *r, const struct weft_logs *logs,
			  bool require_efa)
{
	char names[256];

	for (uint32_t i = 0; i < r->groups; i++) {
		const struct weft_logs_group *g = &r->group[i];
		bool ucx = g->on == WEFT_ON_EFA && strstr(g->text, "UCX goes over TCP");

		weft_logs_names(logs, g->source, g->count, names, sizeof(names));
		if (g->on == WEFT_ON_TCP || ucx)
			add_fallback(r, logs, g, names);
		else if (g->on != WEFT_ON_EFA && (require_efa || g->on == WEFT_ON_UNKNOWN))
			weft_findings_add(&r->findings, WEFT_FINDING_NO_PROOF,
					  require_efa ? WEFT_SEV_FAIL : WEFT_SEV_NOTE, NULL,
					  "%s: %s", names, g->text);
	}
	if (require_efa && r->ranks && r->ranks < r->ranks_expected)
		weft_findings_add(&r->findings, WEFT_FINDING_NO_PROOF, WEFT_SEV_FAIL, NULL,
				  "%u of %u ranks say nothing in this log",
				  r->ranks_expected - r->ranks, r->ranks_expected);
	if (!r->groups && (require_efa || !r->findings.count))
		weft_findings_add(&r->findings, WEFT_FINDING_NO_PROOF,
				  require_efa ? WEFT_SEV_FAIL : WEFT_SEV_NOTE, NULL,
				  "not a line in it is about a network that a rank uses");
}

static const struct weft_instance *type_of(const struct weft_log_source *s,
					   const struct weft_instance *expect)
{
	return expect || !s->platform[0] ? expect : weft_catalogue_find(s->platform);
}

/* How many cards this rank should have; 0: at least as many as it has. */
static uint32_t cards_due(const struct weft_log_source *s, const struct weft_instance *expect,
			  uint32_t most)
{
	const struct weft_instance *type = type_of(s, expect);
	uint32_t due = type ? weft_fact_or(type->efas, 0) : most;

	return s->cards && is_efa(s->provider) && s->cards < due ? due : 0;
}

/* Fewer cards than the type has, or than other ranks have: once for all that have as few. */
static void add_cards(struct weft_logs_report *r, const struct weft_logs *logs,
		      const struct weft_instance *expect, uint32_t *list)
{
	uint32_t most = 0, least = 0, next, count, due = 0;
	const struct weft_instance *type;
	char names[256];

	for (uint32_t i = 0; i < logs->sources; i++)
		most = WEFT_MAX(most, logs->source[i].cards);
	/* From the fewest on; what is left after some rounds is put together. */
	for (uint32_t round = 0; round < CARD_ROUNDS; round++, least = next) {
		bool last = round == CARD_ROUNDS - 1;

		next = UINT32_MAX;
		count = 0;
		for (uint32_t i = 0; i < logs->sources; i++)
			if (logs->source[i].cards > least &&
			    cards_due(&logs->source[i], expect, most))
				next = WEFT_MIN(next, logs->source[i].cards);
		if (next == UINT32_MAX)
			return;
		for (uint32_t i = 0; i < logs->sources; i++) {
			uint32_t its_due = cards_due(&logs->source[i], expect, most);

			if (!its_due || logs->source[i].cards < next ||
			    (!last && logs->source[i].cards > next))
				continue;
			due = its_due;
			list[count++] = i;
		}
		type = type_of(&logs->source[list[0]], expect);
		weft_logs_names(logs, list, count, names, sizeof(names));
		weft_findings_report(&r->findings, WEFT_FINDING_CARD_COUNT, NULL,
				     "%s: %u card%s%s, %s%s %s %u", names, next,
				     next > 1 ? "s" : "", last ? " or more" : "",
				     type ? "a " : "other ranks", type ? type->name : "",
				     type ? "has" : "have", due);
	}
}

/* Channels without GPUDirect where the plugin expects it. */
static void add_gpudirect(struct weft_logs_report *r, const struct weft_logs *logs,
			  const struct weft_instance *expect, uint32_t *list)
{
	const struct weft_instance *type = NULL;
	uint32_t count = 0, channels = 0, without = 0;
	char names[256];

	for (uint32_t i = 0; i < logs->sources; i++) {
		const struct weft_log_source *s = &logs->source[i];
		const struct weft_instance *its = type_of(s, expect);

		if (verdict_of(s) != WEFT_ON_EFA || s->channels_gdr >= s->channels || !its ||
		    strncmp(its->gpudirect, "required", 8) != 0)
			continue;
		type = its;
		list[count++] = i;
		channels += s->channels;
		without += s->channels - s->channels_gdr;
	}
	if (!count)
		return;
	weft_findings_report(&r->findings, WEFT_FINDING_GPUDIRECT, NULL,
			     "%s: %u of %u connections without GDRDMA on a %s",
			     weft_logs_names(logs, list, count, names, sizeof(names)), without,
			     channels, type->name);
}

/* Ranks that run different versions of the same. */
static void add_versions(struct weft_logs_report *r, const struct weft_logs *logs)
{
	static const char *const libs[WEFT_LOG_LIBS] = { "NCCL", "aws-ofi-nccl", "libfabric",
							 "CUDA" };

	for (uint32_t lib = 0; lib < WEFT_LOG_LIBS; lib++) {
		const struct weft_log_version *v = logs->version[lib];

		/* libfabric's own message has three numbers, the plugin's two. */
		if (v[1].count && (strncmp(v[0].text, v[1].text,
					   WEFT_MIN(strlen(v[0].text), strlen(v[1].text))) != 0))
			weft_findings_add(&r->findings, WEFT_FINDING_LIB_VERSION, WEFT_SEV_WARN,
					  NULL, "ranks differ in %s: %s and %s%s", libs[lib],
					  v[0].text, v[1].text, v[2].count ? " and others" : "");
	}
}

int weft_logs_report_make(const struct weft_logs *logs, const struct weft_instance *expect,
			  bool require_efa, struct weft_logs_report *r)
{
	uint32_t *list = calloc(logs->sources ? logs->sources : 1, sizeof(*list));

	*r = (struct weft_logs_report){ .muted = logs->noise, .first_source = WEFT_LOGS_NONE };
	weft_findings_init(&r->findings);
	if (!list || logs->failed || !make_groups(r, logs)) {
		free(list);
		weft_logs_report_fini(r);
		return -ENOMEM;
	}
	find_first(r, logs, false, true);
	find_first(r, logs, false, false);
	find_first(r, logs, true, true);
	find_first(r, logs, true, false);
	for (uint32_t msg = 0; msg < WEFT_LOGS_MSGS; msg++)
		if (logs->msg[msg].count)
			add_message(r, logs, msg, list);
	add_fallbacks(r, logs, require_efa);
	add_cards(r, logs, expect, list);
	add_gpudirect(r, logs, expect, list);
	add_versions(r, logs);
	free(list);
	return 0;
}

void weft_logs_report_fini(struct weft_logs_report *r)
{
	for (uint32_t i = 0; i < r->groups; i++)
		free(r->group[i].source);
	free(r->group);
	r->group = NULL;
	r->groups = 0;
	weft_findings_fini(&r->findings);
}
