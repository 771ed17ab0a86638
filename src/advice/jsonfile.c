/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading JSON of strangers: bounded in size and memory by us, and in depth by jansson.
 *
 * A key that is there twice is refused: which of the two kubectl or a reviewer meant is anybody's guess. */
#include "advice/jsonfile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* jansson asks one pair of functions for all documents, and so one budget is enough: only a parse has one. */
static size_t budget = SIZE_MAX;

static void *allocate(size_t len)
{
	if (len > budget)
		return NULL;
	budget -= len;
	return malloc(len);
}

json_t *weft_jsonfile_parse_within(size_t memory, const char *bytes, size_t count, char *why_out,
				   size_t len)
{
	json_error_t error;
	json_t *root;
	bool spent;

	json_set_alloc_funcs(allocate, free);
	budget = memory;
	root = json_loadb(bytes, count, JSON_REJECT_DUPLICATES, &error);
	spent = budget < 4096;
	budget = SIZE_MAX;
	if (!root)
		snprintf(why_out, len, "line %d, column %d: %s", error.line, error.column,
			 spent ? "too large" : error.text);
	return root;
}

json_t *weft_jsonfile_parse(const char *bytes, size_t count, char *why_out, size_t len)
{
	return weft_jsonfile_parse_within(WEFT_JSONFILE_MEMORY, bytes, count, why_out, len);
}

/* All of a stream, which may be a pipe of unknown length. */
static char *read_all(FILE *from, size_t *count_out, char *why_out, size_t len)
{
	size_t cap = 1u << 16, count = 0;
	char *bytes = malloc(cap);

	while (bytes) {
		char *more;

		count += fread(bytes + count, 1, cap - count, from);
		if (count < cap)
			break;
		cap *= 2;
		more = cap <= WEFT_JSONFILE_MAX ? realloc(bytes, cap) : NULL;
		if (!more)
			free(bytes);
		bytes = more;
	}
	if (!bytes) {
		snprintf(why_out, len, "too large");
		return NULL;
	}
	if (ferror(from)) {
		snprintf(why_out, len, "%s", strerror(errno));
		free(bytes);
		return NULL;
	}
	*count_out = count;
	return bytes;
}

json_t *weft_jsonfile_load(const char *path, char *why_out, size_t len)
{
	bool is_stdin = !strcmp(path, "-");
	FILE *from = is_stdin ? stdin : fopen(path, "re");
	json_t *root = NULL;
	size_t count;
	char *bytes;

	if (!from) {
		snprintf(why_out, len, "%s", strerror(errno));
		return NULL;
	}
	bytes = read_all(from, &count, why_out, len);
	if (bytes)
		root = weft_jsonfile_parse(bytes, count, why_out, len);
	free(bytes);
	if (!is_stdin)
		fclose(from);
	return root;
}

json_t *weft_json_at(const json_t *from, const char *path)
{
	const json_t *in = from;
	json_t *at = NULL;

	for (const char *p = path; *p;) {
		size_t len = strcspn(p, "/");
		char key[64];

		snprintf(key, sizeof(key), "%.*s", (int)len, p);
		at = json_object_get(in, key);
		in = at;
		p += len + (p[len] == '/');
	}
	return at;
}

const char *weft_json_text(const json_t *from, const char *key)
{
	const char *text = json_string_value(json_object_get(from, key));

	return text ? text : "";
}
