/* SPDX-License-Identifier: BSD-2-Clause */
/* The report of `weft logs`: the verdict first, because that is what was asked, then who failed first, and then what
 * was found, by the printers that all commands share. */
#include "cli/logs.h"

#include "cli/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NAMES 400

static const char *const lib_names[WEFT_LOG_LIBS] = { "nccl", "aws-ofi-nccl", "libfabric", "cuda" };

/* "" when there is none. A local time is printed as the log has it. */
static char *time_text(const struct weft_log_place *place, char *buf, size_t size)
{
	time_t s = (time_t)(place->time_ns / 1000000000);
	struct tm tm;
	size_t len;

	buf[0] = '\0';
	if (place->clock == WEFT_LOG_NO_CLOCK || !gmtime_r(&s, &tm))
		return buf;
	len = strftime(buf, size, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf + len, size - len, ".%03d%s", (int)(place->time_ns % 1000000000 / 1000000),
		 place->clock == WEFT_LOG_UTC ? "Z" : "");
	return buf;
}

static const char *file_of(const struct weft_logs *logs, const struct weft_log_place *place)
{
	return place->file < logs->files ? logs->file[place->file] : "-";
}

static void print_bytes(uint64_t bytes)
{
	if (bytes < 10000)
		printf("%" PRIu64 " bytes", bytes);
	else if (bytes < 10000000)
		printf("%.1f kB", (double)bytes / 1e3);
	else
		printf("%.1f MB", (double)bytes / 1e6);
}

/* Log text of strangers on a terminal: nothing that controls it. */
static void print_safe(const char *s)
{
	for (; *s; s++)
		putchar((unsigned char)*s < 0x20 || *s == 0x7f ? '.' : *s);
}

static void print_head(const struct weft_logs *logs, const struct weft_logs_report *r)
{
	if (logs->files == 1)
		print_safe(logs->file[0]);
	else
		printf("%u files", logs->files);
	printf(": %" PRIu64 " lines, ", logs->lines);
	print_bytes(logs->bytes);
	if (r->ranks_expected > r->ranks)
		printf("; %u of %u ranks", r->ranks, r->ranks_expected);
	else if (r->ranks)
		printf("; %u rank%s", r->ranks, r->ranks == 1 ? "" : "s");
	puts("");
}

static void print_groups(const struct weft_logs *logs, const struct weft_logs_report *r)
{
	char names[NAMES];

	putchar('\n');
	if (!r->groups)
		puts("verdict: no rank in this log says which network it uses");
	else if (r->on[WEFT_ON_EFA] == r->ranks)
		printf("verdict: %s\n", r->ranks == 1 ? "on EFA" : "all ranks on EFA");
	else
		printf("verdict: %u of %u rank%s on EFA, %u on TCP, %u on another network, %u "
		       "unknown\n",
		       r->on[WEFT_ON_EFA], r->ranks, r->ranks == 1 ? "" : "s", r->on[WEFT_ON_TCP],
		       r->on[WEFT_ON_OTHER], r->on[WEFT_ON_UNKNOWN]);
	for (uint32_t i = 0; i < r->groups; i++) {
		const struct weft_logs_group *g = &r->group[i];

		fputs("  ", stdout);
		print_safe(weft_logs_names(logs, g->source, g->count, names, sizeof(names)));
		fputs(": ", stdout);
		print_safe(g->text);
		putchar('\n');
	}
}

static void print_first(const struct weft_logs *logs, const struct weft_logs_report *r)
{
	const struct weft_finding_info *info;
	char name[NAMES], when[48];

	if (r->first_source == WEFT_LOGS_NONE)
		return;
	info = weft_finding_info(weft_logs_finding_of(r->first_msg));
	fputs("\nfirst failure: ", stdout);
	print_safe(weft_logs_source_name(logs, r->first_source, name, sizeof(name)));
	if (*time_text(&r->first, when, sizeof(when)))
		printf(" at %s", when);
	fputs(", ", stdout);
	print_safe(file_of(logs, &r->first));
	printf(":%" PRIu64 "\n  %s: %s\n", r->first.line, info->id, info->title);
	if (r->first_is_echo)
		puts("  It only notices that another rank is gone, and no rank in this log says "
		     "more: look for one "
		     "whose lines end early.");
	if (!r->first_by_time && r->failures > 1)
		puts("  First in the order of the input: not all failures have a time, or they are "
		     "of several clocks.");
}

static void print_versions(const struct weft_logs *logs)
{
	const char *comma = "\nversions: ";

	for (uint32_t lib = 0; lib < WEFT_LOG_LIBS; lib++) {
		for (uint32_t i = 0; i < WEFT_LOGS_VERSIONS && logs->version[lib][i].count; i++) {
			printf("%s%s ", comma, lib_names[lib]);
			print_safe(logs->version[lib][i].text);
			comma = ", ";
		}
	}
	if (comma[0] == ',')
		putchar('\n');
}

void weft_logs_print(const struct weft_logs *logs, const struct weft_logs_report *r)
{
	print_head(logs, r);
	print_groups(logs, r);
	print_first(logs, r);
	print_versions(logs);
	if (r->muted)
		printf("\nmuted: %" PRIu64 " lines that look like errors and mean no harm here\n",
		       r->muted);
	if (logs->cut)
		printf("\nnot read to their end: %" PRIu64 " lines of more than %u bytes\n",
		       logs->cut, WEFT_LOGS_LINE_MAX);
	if (logs->dropped)
		printf("\nleft out: %u lines of further processes; %u are told apart\n",
		       logs->dropped, WEFT_LOGS_SOURCES_MAX);
	putchar('\n');
	weft_findings_print(stdout, &r->findings, false);
}

void weft_logs_print_event(const struct weft_logs *logs, uint32_t source, uint32_t msg)
{
	const struct weft_finding_info *info = weft_finding_info(weft_logs_finding_of(msg));
	const struct weft_log_source *s = &logs->source[source];
	struct weft_log_place now = { .clock = s->clock, .time_ns = s->time_ns };
	char name[NAMES], when[48];

	if (*time_text(&now, when, sizeof(when)))
		printf("%s ", when);
	printf("%-4s  ", weft_severity_name(info->severity));
	print_safe(weft_logs_source_name(logs, source, name, sizeof(name)));
	printf(": %s: %s", info->id, info->title);
	if (msg >= WEFT_FINDING_COUNT)
		printf(" (code %u)", weft_efa_code_at(msg - WEFT_FINDING_COUNT)->code);
	putchar('\n');
	fflush(stdout);
}

/* JSON */

static void json_pair(const char *key, const char *value)
{
	printf("\"%s\": ", key);
	weft_json_string(value);
	fputs(", ", stdout);
}

static void json_number(const char *key, bool known, uint64_t value)
{
	if (known)
		printf("\"%s\": %" PRIu64 ", ", key, value);
	else
		printf("\"%s\": null, ", key);
}

static const char *or_null(const char *s)
{
	return s[0] ? s : NULL;
}

static void json_place(const struct weft_logs *logs, const struct weft_log_place *place)
{
	char when[48];

	json_pair("file", file_of(logs, place));
	printf("\"line\": %" PRIu64 ", ", place->line);
	json_pair("time", or_null(time_text(place, when, sizeof(when))));
}

static const char *id_of(uint32_t msg)
{
	return msg == WEFT_LOGS_NONE ? NULL : weft_finding_info(weft_logs_finding_of(msg))->id;
}

static void json_rank(const struct weft_logs *logs, uint32_t source,
		      const struct weft_logs_group *g)
{
	const struct weft_log_source *s = &logs->source[source];
	char name[NAMES];

	fputs("{", stdout);
	json_pair("name", weft_logs_source_name(logs, source, name, sizeof(name)));
	json_number("rank", s->rank >= 0, (uint64_t)s->rank);
	json_number("rank_last", s->rank >= 0, (uint64_t)s->rank_last);
	json_pair("host", or_null(s->host));
	json_number("pid", s->pid, s->pid);
	json_pair("pod", or_null(s->pod));
	json_pair("on", weft_log_on_name(g->on));
	json_pair("verdict", g->text);
	json_pair("provider", or_null(s->provider[0] ? s->provider : s->mtl));
	json_pair("fabric", or_null(s->fabric));
	json_number("cards", s->cards, s->cards);
	json_pair("network", or_null(s->net));
	json_pair("protocol", or_null(s->protocol));
	json_pair("instance", or_null(s->platform));
	printf("\"connections\": %u, \"connections_gpudirect\": %u, ", s->channels,
	       s->channels_gdr);
	json_pair("failed", id_of(s->first_msg[WEFT_LOG_OWN]));
	json_pair("reason", id_of(s->first_msg[WEFT_LOG_REASON]));
	fputs("\"notices\": ", stdout);
	weft_json_string(id_of(s->first_msg[WEFT_LOG_ECHO]));
	fputs("}", stdout);
}

static void json_ranks(const struct weft_logs *logs, const struct weft_logs_report *r)
{
	const char *comma = "\n  ";

	fputs("\"ranks\": [", stdout);
	for (uint32_t i = 0; i < r->groups; i++) {
		for (uint32_t k = 0; k < r->group[i].count; k++) {
			fputs(comma, stdout);
			json_rank(logs, r->group[i].source[k], &r->group[i]);
			comma = ",\n  ";
		}
	}
	fputs("],\n ", stdout);
}

static void json_messages(const struct weft_logs *logs)
{
	const char *comma = "\n  ";
	char name[NAMES];

	fputs("\"messages\": [", stdout);
	for (uint32_t msg = 0; msg < WEFT_LOGS_MSGS; msg++) {
		const struct weft_log_msg *m = &logs->msg[msg];

		if (!m->count)
			continue;
		printf("%s{", comma);
		comma = ",\n  ";
		json_pair("id", weft_finding_info(weft_logs_finding_of(msg))->id);
		json_number("code", msg >= WEFT_FINDING_COUNT,
			    msg >= WEFT_FINDING_COUNT
				    ? weft_efa_code_at(msg - WEFT_FINDING_COUNT)->code
				    : 0);
		printf("\"count\": %" PRIu64 ", \"sources\": %u, ", m->count, m->sources);
		json_pair("first", weft_logs_source_name(logs, m->source, name, sizeof(name)));
		json_place(logs, &m->first);
		printf("\"text\": ");
		weft_json_string(m->text);
		fputs("}", stdout);
	}
	fputs("],\n ", stdout);
}

static void json_first(const struct weft_logs *logs, const struct weft_logs_report *r)
{
	char name[NAMES];

	fputs("\"first_failure\": ", stdout);
	if (r->first_source == WEFT_LOGS_NONE) {
		fputs("null,\n ", stdout);
		return;
	}
	fputs("{", stdout);
	json_pair("name", weft_logs_source_name(logs, r->first_source, name, sizeof(name)));
	json_number("rank", logs->source[r->first_source].rank >= 0,
		    (uint64_t)logs->source[r->first_source].rank);
	json_pair("id", weft_finding_info(weft_logs_finding_of(r->first_msg))->id);
	json_place(logs, &r->first);
	printf("\"by_time\": %s, \"only_notices\": %s},\n ", r->first_by_time ? "true" : "false",
	       r->first_is_echo ? "true" : "false");
}

static void json_versions(const struct weft_logs *logs)
{
	fputs("\"versions\": {", stdout);
	for (uint32_t lib = 0; lib < WEFT_LOG_LIBS; lib++) {
		printf("%s\"%s\": [", lib ? ", " : "", lib_names[lib]);
		for (uint32_t i = 0; i < WEFT_LOGS_VERSIONS && logs->version[lib][i].count; i++) {
			fputs(i ? ", " : "", stdout);
			weft_json_string(logs->version[lib][i].text);
		}
		fputs("]", stdout);
	}
	fputs("},\n ", stdout);
}

void weft_logs_print_json(const struct weft_logs *logs, const struct weft_logs_report *r)
{
	fputs("{\"files\": [", stdout);
	for (uint32_t i = 0; i < logs->files; i++) {
		fputs(i ? ", " : "", stdout);
		weft_json_string(logs->file[i]);
	}
	printf("], \"lines\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"cut_lines\": %" PRIu64
	       ", \"muted_lines\": %" PRIu64 ", \"left_out_lines\": %u,\n ",
	       logs->lines, logs->bytes, logs->cut, r->muted, logs->dropped);
	printf("\"all_on_efa\": %s, \"rank_count\": %u, ",
	       r->ranks && r->on[WEFT_ON_EFA] == r->ranks ? "true" : "false", r->ranks);
	json_number("ranks_expected", r->ranks_expected, r->ranks_expected);
	fputs("\"on\": {", stdout);
	for (uint32_t on = 0; on < WEFT_ON_COUNT; on++)
		printf("%s\"%s\": %u", on ? ", " : "", weft_log_on_name(on), r->on[on]);
	fputs("},\n ", stdout);
	json_ranks(logs, r);
	json_first(logs, r);
	json_messages(logs);
	json_versions(logs);
	fputs("\"findings\": ", stdout);
	weft_findings_json(stdout, &r->findings);
	puts("}");
}
