/* SPDX-License-Identifier: BSD-2-Clause */
/* Who says it: the table of sources, and what is kept of each event.
 *
 * A line names its process in one of several ways, and the same process in several ways: NCCL says host and pid,
 * libfabric only the pid, a launcher puts the rank before both. So a source is found by the best name that the line
 * has (rank, then host and pid, then pod, then file), and a line of libfabric's without a label is given to the
 * process of that pid in the same file, as long as there is only one.
 *
 * Names are hashed and compared as 64-bit hashes; the table is bounded, and what comes beyond it is counted. */
#include "advice/logs_int.h"

#include "base/siphash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INDEX_MIN   64u
#define SCANNED_MAX (UINT64_C(1) << 27)

static uint64_t hash_of(char kind, uint32_t a, uint32_t b, const struct weft_log_word *word)
{
	static const uint8_t key[16] = "weft log source";
	uint8_t name[160] = { (uint8_t)kind };
	size_t len = word ? WEFT_MIN(word->len, 128u) : 0;

	memcpy(name + 1, &a, sizeof(a));
	memcpy(name + 5, &b, sizeof(b));
	if (len)
		memcpy(name + 9, word->at, len);
	return weft_siphash24(key, name, 9 + len);
}

static uint32_t file_now(const struct weft_logs *logs)
{
	return logs->files ? logs->files - 1 : 0;
}

/* By its pid alone: as far as it is known, in its pod, otherwise in its file. */
static uint64_t pid_key(const struct weft_logs *logs, const struct weft_log_line *line, char kind)
{
	return hash_of(kind, line->pid, file_now(logs), line->pod.len ? &line->pod : NULL);
}

static uint64_t key_of(const struct weft_logs *logs, const struct weft_log_line *line)
{
	if (line->rank >= 0)
		return hash_of('r', (uint32_t)line->job, (uint32_t)line->rank, NULL);
	if (line->pid && line->host.len)
		return hash_of('p', line->pid, 0, &line->host);
	if (line->pid)
		return pid_key(logs, line, 'q');
	if (line->pod.len)
		return hash_of('k', 0, 0, &line->pod);
	return hash_of('f', file_now(logs), 0, NULL);
}

static void put_index(struct weft_logs *logs, uint64_t key, uint32_t source)
{
	uint32_t at = (uint32_t)key;

	while (logs->index[at & (logs->index_size - 1)] != WEFT_LOGS_NONE)
		at++;
	logs->index[at & (logs->index_size - 1)] = source;
}

static bool grow_index(struct weft_logs *logs)
{
	uint32_t size = logs->index_size ? logs->index_size * 2 : INDEX_MIN;
	uint32_t *index = malloc(size * sizeof(*index));

	if (!index)
		return false;
	memset(index, 0xff, size * sizeof(*index));
	free(logs->index);
	logs->index = index;
	logs->index_size = size;
	for (uint32_t i = 0; i < logs->sources; i++) {
		put_index(logs, logs->source[i].key, i);
		if (logs->source[i].alias)
			put_index(logs, logs->source[i].alias, i);
	}
	return true;
}

static uint32_t find_key(const struct weft_logs *logs, uint64_t key)
{
	uint32_t at = (uint32_t)key;

	if (!logs->index_size)
		return WEFT_LOGS_NONE;
	for (;; at++) {
		uint32_t i = logs->index[at & (logs->index_size - 1)];

		if (i == WEFT_LOGS_NONE || logs->source[i].key == key ||
		    logs->source[i].alias == key)
			return i;
	}
}

static uint32_t add(struct weft_logs *logs, uint64_t key)
{
	struct weft_log_source *s;

	if (logs->sources >= WEFT_LOGS_SOURCES_MAX) {
		logs->dropped++;
		return WEFT_LOGS_NONE;
	}
	if (logs->sources == logs->cap) {
		uint32_t cap = logs->cap ? logs->cap * 2 : 32;

		s = realloc(logs->source, cap * sizeof(*s));
		if (!s) {
			logs->failed = true;
			return WEFT_LOGS_NONE;
		}
		logs->source = s;
		logs->cap = cap;
	}
	/* Two keys each, and never more than half full. */
	if (logs->index_size < 4 * (logs->sources + 1) && !grow_index(logs)) {
		logs->failed = true;
		return WEFT_LOGS_NONE;
	}
	logs->source[logs->sources] = (struct weft_log_source){
		.key = key,
		.job = -1,
		.rank = -1,
		.rank_last = -1,
		.file = file_now(logs),
		.first_msg = { WEFT_LOGS_NONE, WEFT_LOGS_NONE, WEFT_LOGS_NONE },
	};
	put_index(logs, key, logs->sources);
	return logs->sources++;
}

/* A process by host and pid, which may have been met by its pid alone, or may be from now on. */
static uint32_t add_process(struct weft_logs *logs, const struct weft_log_line *line, uint64_t key)
{
	uint64_t alias = pid_key(logs, line, 'q');
	uint32_t known = find_key(logs, alias), source;

	if (known != WEFT_LOGS_NONE && logs->source[known].key == alias) {
		logs->source[known].key = key;
		logs->source[known].alias = alias;
		put_index(logs, key, known); /* There is room: it had no second key yet. */
		return known;
	}
	source = add(logs, key);
	if (source == WEFT_LOGS_NONE)
		return source;
	if (known == WEFT_LOGS_NONE) {
		logs->source[source].alias = alias;
		put_index(logs, alias, source);
	} else {
		/* Two hosts have this pid: alone it says nothing any more. */
		logs->source[known].is_shared = true;
	}
	return source;
}

bool weft_logs_may_scan(struct weft_logs *logs)
{
	logs->scanned += logs->sources;
	return logs->scanned <= SCANNED_MAX;
}

static void put_word(char *to, size_t size, const struct weft_log_word *word)
{
	size_t len = WEFT_MIN(word->len, size - 1);

	memcpy(to, word->at, len);
	to[len] = '\0';
}

static bool is_word(const char *s, size_t size, const struct weft_log_word *word)
{
	size_t len = WEFT_MIN(word->len, size - 1);

	return !strncmp(s, word->at, len) && !s[len];
}

static uint32_t *recent_of(struct weft_logs *logs, const struct weft_log_line *line)
{
	uint32_t number = line->rank >= 0 ? (uint32_t)line->rank : line->pid;

	return &logs->recent[number & (WEFT_LOGS_RECENT - 1)];
}

static bool is_of(const struct weft_logs *logs, uint32_t source, const struct weft_log_line *line)
{
	const struct weft_log_source *s;

	if (source == WEFT_LOGS_NONE)
		return false;
	s = &logs->source[source];
	if (line->rank >= 0)
		return s->labelled && s->rank == line->rank && s->job == line->job;
	return !s->labelled && line->pid && line->host.len && s->pid == line->pid &&
	       is_word(s->host, sizeof(s->host), &line->host);
}

static uint32_t look_up(struct weft_logs *logs, const struct weft_log_line *line)
{
	uint64_t key;
	uint32_t i;

	if (is_of(logs, *recent_of(logs, line), line))
		return *recent_of(logs, line);
	key = key_of(logs, line);
	i = find_key(logs, key);
	if (i != WEFT_LOGS_NONE && logs->source[i].key != key && logs->source[i].is_shared) {
		key = pid_key(logs, line, 'x');
		i = find_key(logs, key);
	}
	if (i != WEFT_LOGS_NONE)
		return i;
	if (line->rank < 0 && line->pid && line->host.len)
		return add_process(logs, line, key);
	return add(logs, key);
}

uint32_t weft_logs_source(struct weft_logs *logs, const struct weft_log_line *line)
{
	uint32_t i = look_up(logs, line);
	struct weft_log_source *s;

	if (i == WEFT_LOGS_NONE)
		return i;
	*recent_of(logs, line) = i;
	s = &logs->source[i];
	if (line->rank >= 0 && !s->labelled) {
		s->labelled = true;
		s->job = line->job;
		s->rank = s->rank_last = line->rank;
	}
	if (line->host.len && !s->host[0])
		put_word(s->host, sizeof(s->host), &line->host);
	if (line->pod.len && !s->pod[0])
		put_word(s->pod, sizeof(s->pod), &line->pod);
	if (line->pid && !s->pid)
		s->pid = line->pid;
	if (line->clock != WEFT_LOG_NO_CLOCK) {
		s->clock = line->clock;
		s->time_ns = line->time_ns;
	}
	return i;
}

char *weft_logs_source_name(const struct weft_logs *logs, uint32_t source, char *buf, size_t len)
{
	const struct weft_log_source *s = &logs->source[source];
	int n = 0;

	if (s->rank >= 0 && s->rank_last > s->rank)
		n = snprintf(buf, len, "ranks %d-%d", s->rank, s->rank_last);
	else if (s->rank >= 0)
		n = snprintf(buf, len, "rank %d", s->rank);
	if (n < 0 || (size_t)n >= len)
		return buf;
	if (s->host[0])
		snprintf(buf + n, len - (size_t)n, n ? " (%s:%u)" : "%s:%u", s->host, s->pid);
	else if (s->pod[0])
		snprintf(buf + n, len - (size_t)n, n ? " (pod %s)" : "pod %s", s->pod);
	else if (s->pid)
		snprintf(buf + n, len - (size_t)n, n ? " (pid %u)" : "pid %u", s->pid);
	else if (!n)
		snprintf(buf, len, "no rank named");
	return buf;
}

/* Events */

static void put_text(char *to, size_t size, const struct weft_log_line *line, size_t at)
{
	/* From the beginning of the message, if what counts is not too far behind it. */
	size_t from = line->msg <= at && at - line->msg < size / 2 ? line->msg : at;
	size_t len = WEFT_MIN(line->len - from, size - 1);

	/* A line of many processes may go on with the next one's prefix; nothing to be done about that. */
	memcpy(to, line->text + from, len);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)to[i] < 0x20 || to[i] == 0x7f)
			to[i] = ' ';
	while (len && to[len - 1] == ' ')
		len--;
	to[len] = '\0';
}

void weft_logs_event(struct weft_logs *logs, uint32_t source, uint32_t msg,
		     const struct weft_log_line *line, size_t at)
{
	struct weft_log_source *s = &logs->source[source];
	struct weft_log_msg *m = &logs->msg[msg];
	enum weft_log_role role = weft_logs_role_of(msg);
	struct weft_log_place place = { .file = file_now(logs),
					.line = logs->line + 1,
					.clock = s->clock,
					.time_ns = s->time_ns };

	m->count++;
	if (s->seen[msg / 64] >> (msg % 64) & 1)
		return;
	s->seen[msg / 64] |= UINT64_C(1) << (msg % 64);
	if (!m->sources++) {
		m->source = source;
		m->first = place;
		put_text(m->text, sizeof(m->text), line, at);
	}
	if (weft_finding_info(weft_logs_finding_of(msg))->severity == WEFT_SEV_FAIL &&
	    s->first_msg[role] == WEFT_LOGS_NONE) {
		s->first[role] = place;
		s->first_msg[role] = msg;
	}
	if (logs->on_new)
		logs->on_new(logs->arg, logs, source, msg);
}
