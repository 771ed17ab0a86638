/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads logs: pieces of any size into lines, lines that matter into what they say.
 *
 * A piece is searched where it lies, all its lines at once (logsig.c); only around a hit is a line looked at. What is
 * left of a line at the end of a piece is kept and completed by the next one, so that the result does not depend on
 * how the bytes were cut. A line has at most WEFT_LOGS_LINE_MAX bytes, the rest is passed over and counted: logs hold
 * megabytes of binary without a newline, and every message that we know stands near the beginning of its line.
 *
 * A carriage return in the middle begins a line of its own (progress bars), one at the end is no part of it. */
#define _GNU_SOURCE
#include "advice/logs_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HITS_MAX 16u /* Of one line. */

struct weft_logs *weft_logs_create(void)
{
	struct weft_logs *logs = calloc(1, sizeof(*logs));

	if (!logs)
		return NULL;
	logs->carry = malloc(WEFT_LOGS_LINE_MAX);
	memset(logs->recent, 0xff, sizeof(logs->recent));
	weft_log_sig_init();
	if (!logs->carry) {
		free(logs);
		return NULL;
	}
	return logs;
}

void weft_logs_destroy(struct weft_logs *logs)
{
	if (!logs)
		return;
	free(logs->file);
	free(logs->source);
	free(logs->index);
	free(logs->carry);
	free(logs);
}

enum weft_finding_id weft_logs_finding_of(uint32_t msg)
{
	return msg < WEFT_FINDING_COUNT ? msg : weft_efa_code_at(msg - WEFT_FINDING_COUNT)->finding;
}

enum weft_log_role weft_logs_role_of(uint32_t msg)
{
	enum weft_finding_id id = weft_logs_finding_of(msg);

	if (id == WEFT_FINDING_PEER_DIED || id == WEFT_FINDING_RANK_HANG)
		return WEFT_LOG_ECHO;
	if (id == WEFT_FINDING_PROVIDER_NONE || id == WEFT_FINDING_PLUGIN_NONE ||
	    id == WEFT_FINDING_PLUGIN_INIT)
		return WEFT_LOG_REASON;
	return WEFT_LOG_OWN;
}

/* Lines */

size_t weft_logs_find(const struct weft_log_line *line, size_t at, const char *word)
{
	const char *found;

	if (at > line->len)
		return SIZE_MAX;
	found = memmem(line->text + at, line->len - at, word, strlen(word));
	return found ? (size_t)(found - line->text) : SIZE_MAX;
}

bool weft_logs_number(const struct weft_log_line *line, size_t at, uint32_t base, uint32_t *out)
{
	uint32_t v = 0, digits = 0;

	for (; at < line->len && digits < 8; at++, digits++) {
		char c = line->text[at];

		if (c >= '0' && c <= '9')
			v = v * base + (uint32_t)(c - '0');
		else if (base == 16 && c >= 'a' && c <= 'f')
			v = v * base + (uint32_t)(c - 'a' + 10);
		else
			break;
	}
	*out = v;
	return digits > 0;
}

/* The code of a failed request: behind `also`, or in the last parentheses ("Invalid argument (22)"). */
static bool read_code(const struct weft_log_line *line, const struct weft_log_sig *sig, size_t at,
		      uint32_t *code)
{
	size_t behind =
		weft_logs_find(line, at + sig->len - (sig->also[0] == '(' ? 1 : 0), sig->also);

	if (behind == SIZE_MAX)
		return false;
	behind += strlen(sig->also);
	if (weft_logs_number(line, behind, sig->arg, code))
		return true;
	for (size_t i = line->len; i-- > behind;)
		if (line->text[i] == '(')
			return weft_logs_number(line, i + 1, sig->arg, code);
	return false;
}

static bool is_where(const struct weft_log_line *line, const struct weft_log_sig *sig, size_t at)
{
	switch (sig->where) {
	case WEFT_SIG_NCCL:
		return line->tool == WEFT_LOG_NCCL;
	case WEFT_SIG_OFI:
		return line->tool == WEFT_LOG_OFI;
	case WEFT_SIG_UCX:
		return line->tool == WEFT_LOG_UCX;
	case WEFT_SIG_OMPI:
		return line->tool == WEFT_LOG_OMPI;
	case WEFT_SIG_START:
		return line->tool == WEFT_LOG_PLAIN && at == line->msg;
	case WEFT_SIG_ANY:
		return true;
	}
	return false;
}

/* A line that has hits */
struct reading {
	const char *text;
	size_t len;
	struct weft_log_hit hit[HITS_MAX];
	uint32_t hits;
	uint32_t said[HITS_MAX],
		saids; /* Messages that were told already: two texts of one line may mean the same. */
	size_t taken[HITS_MAX];
	uint32_t takens;
	bool has_code;
};

static void tell(struct weft_logs *logs, struct reading *r, uint32_t msg,
		 const struct weft_log_line *line, size_t at)
{
	uint32_t source;

	for (uint32_t i = 0; i < r->saids; i++)
		if (r->said[i] == msg)
			return;
	r->said[r->saids++] = msg;
	source = weft_logs_source(logs, line);
	if (source != WEFT_LOGS_NONE)
		weft_logs_event(logs, source, msg, line, at);
}

static bool tell_code(struct weft_logs *logs, struct reading *r, uint32_t code,
		      const struct weft_log_line *line, size_t at)
{
	uint32_t index = weft_efa_code_index(code);

	if (!code || index >= WEFT_EFA_CODES)
		return false;
	r->has_code = true;
	tell(logs, r, WEFT_FINDING_COUNT + index, line, at);
	return true;
}

/* False: the string stands there, but does not mean it. */
static bool take(struct weft_logs *logs, struct reading *r, const struct weft_log_hit *hit)
{
	const struct weft_log_sig *sig = weft_log_sig_at(hit->row - 1);
	struct weft_log_line line;
	size_t start = 0, at;
	uint32_t code, source;
	const char *cr = memrchr(r->text, '\r', hit->at);

	if (cr)
		start = (size_t)(cr - r->text) + 1;
	at = hit->at - start;
	weft_log_line_read(&line, r->text + start, r->len - start, at);
	if (at + sig->len > line.len || !is_where(&line, sig, at))
		return false;
	switch (sig->kind) {
	case WEFT_SIG_SAYS:
		if (sig->also[0] && weft_logs_find(&line, at, sig->also) == SIZE_MAX)
			return false;
		source = weft_logs_source(logs, &line);
		return source != WEFT_LOGS_NONE && weft_logs_says(logs, source, &line, sig, at);
	case WEFT_SIG_FIND:
		if (sig->also[0] && weft_logs_find(&line, at + sig->len, sig->also) == SIZE_MAX)
			return false;
		/* The code says more than the sentence around it. */
		if (sig->arg != WEFT_FINDING_EFA_ERROR || !r->has_code)
			tell(logs, r, sig->arg, &line, at);
		return true;
	case WEFT_SIG_CODE:
		return tell_code(logs, r, sig->arg, &line, at);
	case WEFT_SIG_NUMBER:
		return read_code(&line, sig, at, &code) && tell_code(logs, r, code, &line, at);
	case WEFT_SIG_NOISE:
		/* It shows at least that there is such a rank. */
		weft_logs_source(logs, &line);
		logs->noise++;
		return true;
	}
	return false;
}

static bool is_taken(const struct reading *r, size_t at)
{
	for (uint32_t i = 0; i < r->takens; i++)
		if (r->taken[i] == at)
			return true;
	return false;
}

/* In the order of the table, but for the general sentence about a request that failed, which comes last. */
static void read_line(struct weft_logs *logs, struct reading *r)
{
	logs->hits++;
	for (uint32_t pass = 0; pass < 2; pass++) {
		for (uint32_t done = 0; done < r->hits; done++) {
			uint32_t best = done;

			for (uint32_t i = done + 1; i < r->hits; i++)
				if (r->hit[i].row < r->hit[best].row)
					best = i;
			if (best != done) {
				struct weft_log_hit swap = r->hit[best];

				r->hit[best] = r->hit[done];
				r->hit[done] = swap;
			}
			if ((weft_log_sig_at(r->hit[done].row - 1)->kind == WEFT_SIG_FIND) !=
			    (pass == 1))
				continue;
			if (!is_taken(r, r->hit[done].at) && take(logs, r, &r->hit[done]))
				r->taken[r->takens++] = r->hit[done].at;
		}
	}
}

/* Blocks */

/* Eight bytes at a time, with a counter in each byte of a word. */
static uint64_t count_lines(const char *p, size_t len)
{
	static const uint64_t ones = 0x0101010101010101u, low = 0x7f7f7f7f7f7f7f7fu;
	uint64_t count = 0;

	while (len >= 8) {
		size_t words = WEFT_MIN(len / 8, 255u);
		uint64_t sums = 0;

		for (size_t i = 0; i < words; i++) {
			uint64_t v;

			memcpy(&v, p + 8 * i, 8);
			v ^= ones * '\n';
			sums += ~(((v & low) + low) | v | low) >> 7;
		}
		p += 8 * words;
		len -= 8 * words;
		count += ((sums & 0x00ff00ff00ff00ffu) + (sums >> 8 & 0x00ff00ff00ff00ffu)) *
				 0x0001000100010001u >>
			 48;
	}
	while (len--)
		count += *p++ == '\n';
	return count;
}

/* Lines with no end in their first WEFT_LOGS_LINE_MAX bytes. Steps over as many lines at once as fit into that. */
static uint64_t count_cut(const char *text, size_t len)
{
	uint64_t count = 0;
	size_t at = 0;

	while (len - at > WEFT_LOGS_LINE_MAX) {
		const char *end = memrchr(text + at, '\n', WEFT_LOGS_LINE_MAX);

		if (!end) {
			count++;
			end = memchr(text + at + WEFT_LOGS_LINE_MAX, '\n',
				     len - at - WEFT_LOGS_LINE_MAX);
		}
		if (!end)
			break;
		at = (size_t)(end - text) + 1;
	}
	return count;
}

/* Whole lines; the very last may lack its end. */
static void read_block(struct weft_logs *logs, const char *text, size_t len)
{
	size_t floor = 0, counted = 0;
	struct weft_log_hit hit = { .end = 0 };

	while (weft_log_sig_next(text, floor, len, &hit)) {
		struct reading r;
		const char *before = memrchr(text + floor, '\n', hit.at - floor);
		const char *end = memchr(text + hit.at, '\n', len - hit.at);
		size_t start = before ? (size_t)(before - text) + 1 : floor;
		size_t next = end ? (size_t)(end - text) : len;

		r.hits = r.saids = r.takens =
			0; /* The arrays need no zeros, and this is a hot place. */
		r.has_code = false;
		r.text = text + start;
		r.len = WEFT_MIN(next - start, WEFT_LOGS_LINE_MAX);
		if (r.len && r.text[r.len - 1] == '\r')
			r.len--;
		/* What ends behind the part that is read was not there, had the bytes been cut elsewhere. */
		do {
			size_t at = hit.at - start;

			r.hit[r.hits] = hit;
			r.hit[r.hits].at = at;
			r.hits += at + weft_log_sig_at(hit.row - 1)->len <= r.len;
		} while (r.hits < HITS_MAX && weft_log_sig_next(text, start, start + r.len, &hit));
		logs->line += count_lines(text + counted, start - counted);
		counted = start;
		if (r.hits)
			read_line(logs, &r);
		floor = next < len ? next + 1 : len;
		hit = (struct weft_log_hit){ .end = floor };
	}
	logs->line += count_lines(text + counted, len - counted);
	logs->cut += count_cut(text, len);
}

static void read_carry(struct weft_logs *logs)
{
	read_block(logs, logs->carry, logs->carried);
	logs->carried = 0;
}

/* Completes the line that is being kept; returns how much of data belongs to it. */
static size_t carry(struct weft_logs *logs, const char *data, size_t len)
{
	const char *end = memchr(data, '\n', len);
	size_t mine = end ? (size_t)(end - data) + 1 : len;
	size_t room = WEFT_LOGS_LINE_MAX - logs->carried;

	if (!logs->skipping) {
		memcpy(logs->carry + logs->carried, data, WEFT_MIN(mine, room));
		logs->carried += WEFT_MIN(mine, room);
		if (mine > room) {
			logs->cut++;
			logs->skipping = true;
			read_carry(logs);
			if (end)
				logs->line++;
		} else if (end) {
			read_carry(logs);
		}
	} else if (end) {
		logs->line++;
	}
	if (end)
		logs->skipping = false;
	return mine;
}

void weft_logs_feed(struct weft_logs *logs, const char *data, size_t len)
{
	const char *last;
	size_t whole;

	logs->bytes += len;
	if (len && (logs->carried || logs->skipping)) {
		size_t used = carry(logs, data, len);

		data += used;
		len -= used;
	}
	last = len ? memrchr(data, '\n', len) : NULL;
	whole = last ? (size_t)(last - data) + 1 : 0;
	if (whole)
		read_block(logs, data, whole);
	if (len > whole)
		carry(logs, data + whole, len - whole);
}

void weft_logs_end(struct weft_logs *logs)
{
	if (logs->carried) {
		read_carry(logs);
		logs->line++;
	} else if (logs->skipping) {
		logs->line++;
	}
	logs->skipping = false;
	logs->lines += logs->line;
	logs->line = 0;
}

int weft_logs_file(struct weft_logs *logs, const char *name)
{
	const char **more = realloc(logs->file, (logs->files + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	logs->file = more;
	logs->file[logs->files++] = name;
	return 0;
}
