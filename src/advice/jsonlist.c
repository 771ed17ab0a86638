/* SPDX-License-Identifier: BSD-2-Clause */
/* A list of 50,000 pods is half a gigabyte of text and several in memory, so it is never read as a whole. This finds out
 * only where an item begins and ends, which takes strings and brackets; whether what is between them is JSON, jansson
 * says, item by item. What surrounds the items (the shell) is put together without them and read the same way at its
 * end, so nothing goes unread.
 *
 * An "items" that is spelled with escapes is not recognized on the way. Then it is part of the shell, whose items are
 * handed out at its end. */
#include "advice/jsonlist.h"

#include "advice/jsonfile.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_MAX ((size_t)512 << 20) /* Of what jansson makes of one object. */
#define ITEMS      "\"items\""

enum where {
	OUTSIDE, /* Between documents. */
	SHELL, /* In a document, but not in its items. */
	ITEMS_OF, /* Between items. */
	ITEM,
};

struct text {
	char *bytes; /* owns */
	size_t count, cap;
};

struct weft_jsonlist {
	weft_jsonlist_fn fn;
	void *arg; /* borrows */
	enum where where;
	struct text shell, item;
	uint32_t depth; /* Of brackets, in the shell or the item. */
	bool in_string, escaped;
	/* In the shell, at depth 1: */
	bool key_next; /* The next string is a key. */
	bool is_items; /* The last key was "items". */
	size_t key_at;
	/* Between items: */
	bool bare; /* They are those of an array that is in nothing. */
	bool first, comma; /* None yet; the last was a comma. */
	uint64_t line, began, objects; /* Where we are, and where the shell or item began. */
	bool failed;
	char why[300];
};

struct weft_jsonlist *weft_jsonlist_create(weft_jsonlist_fn fn, void *arg)
{
	struct weft_jsonlist *l = calloc(1, sizeof(*l));

	if (l) {
		l->fn = fn;
		l->arg = arg;
		l->line = 1;
	}
	return l;
}

void weft_jsonlist_destroy(struct weft_jsonlist *l)
{
	if (!l)
		return;
	free(l->shell.bytes);
	free(l->item.bytes);
	free(l);
}

const char *weft_jsonlist_why(const struct weft_jsonlist *l)
{
	return l->why;
}

static void fail(struct weft_jsonlist *l, const char *why)
{
	if (!l->failed)
		snprintf(l->why, sizeof(l->why), "line %" PRIu64 ": %.200s", l->line, why);
	l->failed = true;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static void put(struct weft_jsonlist *l, struct text *t, char c)
{
	if (t->count == t->cap) {
		size_t cap = t->cap ? 2 * t->cap : 4096;
		char *more = cap <= WEFT_JSONLIST_OBJECT_MAX ? realloc(t->bytes, cap) : NULL;

		if (!more) {
			fail(l, cap <= WEFT_JSONLIST_OBJECT_MAX ? "no memory"
								: "an object that is too large");
			return;
		}
		t->bytes = more;
		t->cap = cap;
	}
	t->bytes[t->count++] = c;
}

/* Of a kind ...List, or of none. */
static bool is_list(const json_t *object)
{
	const char *kind = weft_json_text(object, "kind");
	size_t len = strlen(kind);

	return json_is_array(json_object_get(object, "items")) &&
	       (!len || (len >= 4 && !strcmp(kind + len - 4, "List")));
}

/* jansson's limit of nesting is that of this recursion. */
static bool deliver(struct weft_jsonlist *l, const json_t *object)
{
	const json_t *item;
	size_t i;

	if (!is_list(object))
		return l->fn(l->arg, object);
	weft_json_each(json_object_get(object, "items"), i, item)
		if (!deliver(l, item))
			return false;
	return true;
}

static void parse(struct weft_jsonlist *l, struct text *t)
{
	char why[200];
	json_t *object =
		weft_jsonfile_parse_within(MEMORY_MAX, t->bytes, t->count, why, sizeof(why));

	t->count = 0;
	l->objects++;
	if (!object) {
		const char *what =
			strstr(why, ": "); /* Its own line is of the text as we keep it. */

		snprintf(l->why, sizeof(l->why),
			 "object %" PRIu64 " (lines %" PRIu64 " to %" PRIu64 "): %s", l->objects,
			 l->began, l->line, what ? what + 2 : why);
		l->failed = true;
		return;
	}
	if (!deliver(l, object)) {
		snprintf(l->why, sizeof(l->why), "stopped at object %" PRIu64, l->objects);
		l->failed = true;
	}
	json_decref(object);
}

static void begin_items(struct weft_jsonlist *l, bool bare)
{
	l->where = ITEMS_OF;
	l->bare = bare;
	l->first = true;
	l->comma = false;
}

/* Outside of strings. Half of what kubectl prints are blanks, and jansson takes its time with each. */
static void put_bare(struct weft_jsonlist *l, struct text *t, char c)
{
	if (!is_space(c))
		put(l, t, c);
	else if (t->bytes[t->count - 1] != ' ')
		put(l, t, ' ');
}

static void on_outside(struct weft_jsonlist *l, char c)
{
	if (is_space(c))
		return;
	if (c == '[') {
		begin_items(l, true);
	} else if (c == '{') {
		l->where = SHELL;
		l->depth = 1;
		l->key_next = true;
		l->is_items = false;
		l->began = l->line;
		put(l, &l->shell, c);
	} else {
		fail(l, "this is neither an object nor an array of JSON");
	}
}

static void on_shell(struct weft_jsonlist *l, char c)
{
	put_bare(l, &l->shell, c);
	if (c == '"') {
		l->in_string = true;
		if (l->depth == 1 && l->key_next)
			l->key_at = l->shell.count - 1;
	} else if (c == '[' && l->depth == 1 && l->is_items && !l->key_next) {
		begin_items(l, false);
	} else if (c == '{' || c == '[') {
		l->depth++;
	} else if (c == '}' || c == ']') {
		if (--l->depth == 0) {
			l->where = OUTSIDE;
			parse(l, &l->shell);
		}
	} else if (c == ',' && l->depth == 1) {
		l->key_next = true;
		l->is_items = false;
	}
}

/* The string that ends here may be a key of the shell. */
static void on_key(struct weft_jsonlist *l)
{
	size_t len = l->shell.count - l->key_at;

	l->key_next = false;
	l->is_items = len == sizeof(ITEMS) - 1 && !memcmp(l->shell.bytes + l->key_at, ITEMS, len);
}

static void on_items(struct weft_jsonlist *l, char c)
{
	if (is_space(c))
		return;
	if (c == '{' && (l->first || l->comma)) {
		l->where = ITEM;
		l->depth = 1;
		l->first = l->comma = false;
		/* The shell's own line is of no use any more: what is wrong is mostly in an item. */
		l->began = l->line;
		put(l, &l->item, c);
	} else if (c == ',' && !l->first && !l->comma) {
		l->comma = true;
	} else if (c == ']' && !l->comma) {
		l->where = l->bare ? OUTSIDE : SHELL;
		l->depth = 1;
		l->is_items = false;
		if (!l->bare)
			put(l, &l->shell, c);
	} else {
		fail(l, "an object should stand here");
	}
}

static void on_item(struct weft_jsonlist *l, char c)
{
	put_bare(l, &l->item, c);
	if (c == '"') {
		l->in_string = true;
	} else if (c == '{' || c == '[') {
		l->depth++;
	} else if ((c == '}' || c == ']') && --l->depth == 0) {
		l->where = ITEMS_OF;
		parse(l, &l->item);
	}
}

static void on_string(struct weft_jsonlist *l, char c)
{
	put(l, l->where == SHELL ? &l->shell : &l->item, c);
	if (l->escaped) {
		l->escaped = false;
	} else if (c == '\\') {
		l->escaped = true;
	} else if (c == '"') {
		l->in_string = false;
		if (l->where == SHELL && l->depth == 1 && l->key_next && !l->failed)
			on_key(l);
	}
}

bool weft_jsonlist_feed(struct weft_jsonlist *l, const char *bytes, size_t count)
{
	for (size_t i = 0; i < count && !l->failed; i++) {
		char c = bytes[i];

		l->line += c == '\n';
		if (l->in_string) {
			on_string(l, c);
			continue;
		}
		switch (l->where) {
		case OUTSIDE:
			on_outside(l, c);
			break;
		case SHELL:
			on_shell(l, c);
			break;
		case ITEMS_OF:
			on_items(l, c);
			break;
		case ITEM:
			on_item(l, c);
			break;
		}
	}
	return !l->failed;
}

bool weft_jsonlist_end(struct weft_jsonlist *l)
{
	if (l->where != OUTSIDE)
		fail(l, "the JSON ends in the middle");
	return !l->failed;
}
