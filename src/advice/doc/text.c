/* SPDX-License-Identifier: BSD-2-Clause */
/* Pieces of text, and positions in the file that they come from.
 *
 * A position is kept as one number, the offset in the file, through all readers and rules: line and column are only
 * wanted for what is reported. Then they have to be found fast even in a file of one very long line, which is
 * why marks stand every few kilobytes and not at every line. */
#include "advice/doc/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct weft_text_run from_start = { 0, 0 };

struct weft_text weft_text_whole(const char *bytes, uint32_t len)
{
	return (struct weft_text){ bytes, len, &from_start, 1, 0 };
}

uint32_t weft_text_file_at(const struct weft_text *text, uint32_t at)
{
	uint32_t low = 0, high = text->runs;

	if (!text->runs)
		return 0;
	at += text->from;
	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (text->run[middle].at <= at)
			low = middle;
		else
			high = middle;
	}
	return text->run[low].file_at + (at - text->run[low].at);
}

void weft_text_builder_init(struct weft_text_builder *b)
{
	memset(b, 0, sizeof(*b));
}

void weft_text_builder_fini(struct weft_text_builder *b)
{
	free(b->bytes);
	free(b->run);
	memset(b, 0, sizeof(*b));
}

void weft_text_builder_reset(struct weft_text_builder *b)
{
	b->len = b->runs = 0;
	b->failed = false;
}

/* Place for one more of what has `cap` places; false: no memory. */
static bool has_place(void **array, uint32_t count, uint32_t *cap, size_t size)
{
	uint32_t more = *cap ? *cap * 2 : 64;
	void *grown;

	if (count < *cap)
		return true;
	if (more > WEFT_TEXT_MAX)
		return false;
	grown = realloc(*array, more * size);
	if (!grown)
		return false;
	*array = grown;
	*cap = more;
	return true;
}

void weft_text_builder_put(struct weft_text_builder *b, char c, uint32_t file_at)
{
	const struct weft_text_run *last = b->run && b->runs ? &b->run[b->runs - 1] : NULL;
	bool goes_on = last && last->file_at + (b->len - last->at) == file_at;

	if (b->failed || (!goes_on && b->runs == WEFT_TEXT_RUNS_MAX) ||
	    !has_place((void **)&b->bytes, b->len, &b->cap, 1) ||
	    (!goes_on && !has_place((void **)&b->run, b->runs, &b->runs_cap, sizeof(*b->run)))) {
		b->failed = true;
		return;
	}
	if (!goes_on && b->run)
		b->run[b->runs++] = (struct weft_text_run){ b->len, file_at };
	b->bytes[b->len++] = c;
}

void weft_text_builder_copy(struct weft_text_builder *b, const struct weft_text *from, uint32_t at,
			    uint32_t len)
{
	for (uint32_t i = at; i < at + len; i++)
		weft_text_builder_put(b, from->bytes[i], weft_text_file_at(from, i));
}

struct weft_text weft_text_builder_text(const struct weft_text_builder *b)
{
	return (struct weft_text){ b->bytes, b->len, b->run, b->runs, 0 };
}

static bool begins_char(char c)
{
	return ((unsigned char)c & 0xc0) != 0x80;
}

int weft_lines_init(struct weft_lines *l, const char *bytes, uint32_t len)
{
	struct weft_lines_mark now = { 1, 0, 0 };

	*l = (struct weft_lines){ bytes, len, NULL, len / WEFT_LINES_STEP + 1 };
	l->mark = malloc(l->marks * sizeof(*l->mark));
	if (!l->mark)
		return -ENOMEM;
	for (uint32_t at = 0; at <= len; at++) {
		if (at % WEFT_LINES_STEP == 0)
			l->mark[at / WEFT_LINES_STEP] = now;
		if (at == len)
			break;
		if (bytes[at] == '\n')
			now = (struct weft_lines_mark){ now.line + 1, at + 1, 0 };
		else
			now.chars += begins_char(bytes[at]);
	}
	return 0;
}

void weft_lines_fini(struct weft_lines *l)
{
	free(l->mark);
	memset(l, 0, sizeof(*l));
}

void weft_lines_find(const struct weft_lines *l, uint32_t at, uint32_t *line_out,
		     uint32_t *column_out)
{
	struct weft_lines_mark now;

	at = WEFT_MIN(at, l->len);
	now = l->mark[at / WEFT_LINES_STEP];
	for (uint32_t i = at - at % WEFT_LINES_STEP; i < at; i++) {
		if (l->bytes[i] == '\n')
			now = (struct weft_lines_mark){ now.line + 1, i + 1, 0 };
		else
			now.chars += begins_char(l->bytes[i]);
	}
	/* A mark of the order of bytes that some editors put in front is not seen, and so not counted. */
	if (now.line == 1 && l->len >= 3 && !memcmp(l->bytes, "\xef\xbb\xbf", 3) && now.chars)
		now.chars--;
	*line_out = now.line;
	*column_out = now.chars + 1;
}

uint32_t weft_lines_begin(const struct weft_lines *l, uint32_t at)
{
	at = WEFT_MIN(at, l->len);
	while (at && l->bytes[at - 1] != '\n')
		at--;
	return at;
}

uint32_t weft_lines_end(const struct weft_lines *l, uint32_t at)
{
	const char *newline;

	at = WEFT_MIN(at, l->len);
	newline = at < l->len ? memchr(l->bytes + at, '\n', l->len - at) : NULL;
	return newline ? (uint32_t)(newline - l->bytes) : l->len;
}
