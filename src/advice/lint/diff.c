/* SPDX-License-Identifier: BSD-2-Clause */
/* Edits as a difference, and applied. No edit holds the end of a line, so both sides have the same lines, and a hunk is
 * a range of them. */
#include "advice/lint/diff.h"

#include <stdlib.h>
#include <string.h>

#define AROUND 3u

struct hunk {
	uint32_t at, end; /* Bytes: whole lines. */
	uint32_t line, lines;
	uint32_t first, edits; /* Which edits are in it. */
};

static uint32_t line_end(const char *bytes, uint32_t len, uint32_t at)
{
	const char *newline = memchr(bytes + at, '\n', len - at);

	return newline ? (uint32_t)(newline - bytes) + 1 : len;
}

static uint32_t line_begin(const char *bytes, uint32_t at)
{
	while (at && bytes[at - 1] != '\n')
		at--;
	return at;
}

/* The line [at, end), with the edits from *i on that are in it. */
static void print_new(FILE *to, const char *bytes, uint32_t at, uint32_t end,
		      const struct weft_lint_edits *e, uint32_t *i)
{
	putc('+', to);
	for (; *i < e->count && e->edit[*i].at < end; ++*i) {
		fwrite(bytes + at, 1, e->edit[*i].at - at, to);
		fputs(e->edit[*i].with, to);
		at = e->edit[*i].end;
	}
	fwrite(bytes + at, 1, end - at, to);
}

/* What has no newline at the end of the file says so, as diff(1) does. */
static void end_line(FILE *to, const char *bytes, uint32_t end)
{
	if (!end || bytes[end - 1] != '\n')
		fputs("\n\\ No newline at end of file\n", to);
}

static void print_hunk(FILE *to, const char *bytes, uint32_t len, const struct weft_lint_edits *e,
		       const struct hunk *h)
{
	uint32_t i = h->first;

	fprintf(to, "@@ -%u,%u +%u,%u @@\n", h->line, h->lines, h->line, h->lines);
	for (uint32_t at = h->at, end; at < h->end; at = end) {
		bool changed;

		end = line_end(bytes, len, at);
		changed = i < e->count && e->edit[i].at < end;
		putc(changed ? '-' : ' ', to);
		fwrite(bytes + at, 1, end - at, to);
		end_line(to, bytes, end);
		if (!changed)
			continue;
		print_new(to, bytes, at, end, e, &i);
		end_line(to, bytes, end);
	}
}

/* From edit `first` on: as many as are near enough to be in one hunk. *line_inout is the line of *at_inout, up to
 * where lines have been counted. */
static struct hunk next_hunk(const char *bytes, uint32_t len, const struct weft_lint_edits *e,
			     uint32_t first, uint32_t *at_inout, uint32_t *line_inout)
{
	struct hunk h = { .at = line_begin(bytes, e->edit[first].at), .first = first };
	uint32_t last = first, end;

	for (; *at_inout < h.at; ++*at_inout)
		*line_inout += bytes[*at_inout] == '\n';
	h.line = *line_inout;
	for (uint32_t i = 0; i < AROUND && h.at; i++) {
		h.at = line_begin(bytes, h.at - 1);
		h.line--;
	}
	for (;;) {
		end = line_end(bytes, len, WEFT_MIN(e->edit[last].at, len));
		h.end = end;
		for (uint32_t i = 0; i < AROUND && h.end < len; i++)
			h.end = line_end(bytes, len, h.end);
		if (last + 1 == e->count || line_begin(bytes, e->edit[last + 1].at) > h.end)
			break;
		last++;
	}
	h.edits = last + 1 - first;
	for (uint32_t at = h.at; at < h.end; at = line_end(bytes, len, at))
		h.lines++;
	return h;
}

void weft_lint_diff(FILE *to, const char *name, const char *bytes, uint32_t len,
		    const struct weft_lint_edits *edits)
{
	uint32_t at = 0, line = 1;

	if (!edits->count)
		return;
	fprintf(to, "--- %s\n+++ %s\n", name, name);
	for (uint32_t i = 0; i < edits->count;) {
		struct hunk h = next_hunk(bytes, len, edits, i, &at, &line);

		print_hunk(to, bytes, len, edits, &h);
		i += h.edits;
	}
}

char *weft_lint_apply(const char *bytes, uint32_t len, const struct weft_lint_edits *edits,
		      uint32_t *len_out)
{
	size_t size = len;
	uint32_t at = 0;
	char *out, *p;

	for (uint32_t i = 0; i < edits->count; i++)
		size += strlen(edits->edit[i].with);
	out = p = malloc(size + 1);
	if (!out)
		return NULL;
	for (uint32_t i = 0; i < edits->count; i++) {
		const struct weft_lint_edit *e = &edits->edit[i];

		memcpy(p, bytes + at, e->at - at);
		p += e->at - at;
		p = stpcpy(p, e->with);
		at = e->end;
	}
	memcpy(p, bytes + at, len - at);
	p += len - at;
	*p = '\0';
	*len_out = (uint32_t)(p - out);
	return out;
}
