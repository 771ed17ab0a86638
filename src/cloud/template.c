/* SPDX-License-Identifier: BSD-2-Clause */
/* Expansion of templates, line by line. Values are never looked at again, so an @ in one means nothing; that they mean
 * nothing to the reader of the result either (a shell, YAML) is the business of whoever lets them in.
 *
 * Blocks nest by recursion, as deep as the templates of the program do. */
#include "cloud/template.h"

#include "base/assert.h"

#include <string.h>

#define LINE_MAX_LEN 1024u

struct run {
	const struct weft_template_ops *ops;
	void *arg;
	FILE *out;
	uint32_t turn;
};

/* A name between two @ at `s`: its length, or 0. */
static size_t hole_len(const char *s)
{
	size_t n = 1;

	if (s[0] != '@' || s[1] < 'a' || s[1] > 'z')
		return 0;
	while ((s[n] >= 'a' && s[n] <= 'z') || (s[n] >= '0' && s[n] <= '9') || s[n] == '-')
		n++;
	return s[n] == '@' ? n - 1 : 0;
}

static void copy(char *to, size_t size, const char *from, size_t len)
{
	weft_assert(len < size);
	memcpy(to, from, len);
	to[len] = 0;
}

/* One line, with its holes filled, into `to`. */
static void fill(const struct run *r, const char *line, size_t len, char *to, size_t size)
{
	char name[WEFT_TEMPLATE_NAME_MAX], value[WEFT_TEMPLATE_VALUE_MAX];
	size_t used = 0;

	for (size_t i = 0; i < len;) {
		size_t n = hole_len(line + i);
		enum weft_value how;

		if (!n) {
			weft_assert(used + 1 < size);
			to[used++] = line[i++];
			continue;
		}
		copy(name, sizeof(name), line + i + 1, n);
		i += n + 2;
		how = r->ops->value(r->arg, name, r->turn, value);
		if (how != WEFT_VALUE_TEXT) {
			r->ops->lacks(r->arg, how, name);
			continue;
		}
		copy(to + used, size - used, value, strlen(value));
		used += strlen(value);
	}
	to[used] = 0;
}

/* Is the line the directive `word`? Then what follows it. */
static bool directs(const char *line, size_t len, const char *word, char rest_out[LINE_MAX_LEN])
{
	size_t n = strlen(word);

	if (len < n || strncmp(line, word, n) != 0 || (len > n && line[n] != ' '))
		return false;
	copy(rest_out, LINE_MAX_LEN, line + n, len - n);
	if (*rest_out)
		memmove(rest_out, rest_out + 1, strlen(rest_out));
	return true;
}

static bool has_value(const struct run *r, const char *name)
{
	char value[WEFT_TEMPLATE_VALUE_MAX];
	enum weft_value how = r->ops->value(r->arg, name, r->turn, value);

	if (how == WEFT_VALUE_UNKNOWN)
		r->ops->lacks(r->arg, how, name);
	return how == WEFT_VALUE_TEXT;
}

static void set_default(const struct run *r, char *rest)
{
	char *value = strchr(rest, ' ');

	weft_assert(value);
	*value++ = 0;
	r->ops->set_default(r->arg, rest, value);
}

static void refuse(const struct run *r, const char *rest)
{
	char text[2 * LINE_MAX_LEN];

	fill(r, rest, strlen(rest), text, sizeof(text));
	r->ops->refuse(r->arg, text);
}

static const char *block(struct run *r, const char *text, bool live);

/* A line that is not the head of a block. */
static void plain(const struct run *r, const char *line, size_t len)
{
	char rest[LINE_MAX_LEN], filled[4 * LINE_MAX_LEN];

	if (directs(line, len, "@default", rest)) {
		set_default(r, rest);
	} else if (directs(line, len, "@refuse", rest)) {
		refuse(r, rest);
	} else {
		fill(r, line, len, filled, sizeof(filled));
		if (r->out)
			fprintf(r->out, "%s\n", filled);
	}
}

static const char *after(const char *line)
{
	const char *end = strchr(line, '\n');

	weft_assert(end);
	return end + 1;
}

/* `text` is what follows @if or @ifnot. Returns what follows its @end. */
static const char *choose(struct run *r, const char *text, bool live, bool yes)
{
	text = block(r, text, live && yes);
	if (!strncmp(text, "@else\n", 6))
		text = block(r, after(text), live && !yes);
	weft_assert(!strncmp(text, "@end\n", 5));
	return after(text);
}

static const char *repeat(struct run *r, const char *text, bool live, const char *list)
{
	const char *end = text;
	uint32_t turns = 0, turn = r->turn;
	enum weft_value how = live ? r->ops->turns(r->arg, list, &turns) : WEFT_VALUE_TEXT;

	if (how != WEFT_VALUE_TEXT)
		r->ops->lacks(r->arg, how, list);
	for (r->turn = 0; r->turn < turns; r->turn++)
		end = block(r, text, live);
	if (!turns)
		end = block(r, text, false);
	r->turn = turn;
	weft_assert(!strncmp(end, "@end\n", 5));
	return after(end);
}

/* Lines up to the @else or @end that is this block's, or to the end of the text; returns where that is. */
static const char *block(struct run *r, const char *text, bool live)
{
	char name[LINE_MAX_LEN];

	while (*text && strncmp(text, "@else\n", 6) != 0 && strncmp(text, "@end\n", 5) != 0) {
		size_t len = (size_t)(after(text) - text) - 1;

		if (directs(text, len, "@if", name))
			text = choose(r, text + len + 1, live, live && has_value(r, name));
		else if (directs(text, len, "@ifnot", name))
			text = choose(r, text + len + 1, live, live && !has_value(r, name));
		else if (directs(text, len, "@each", name))
			text = repeat(r, text + len + 1, live, name);
		else {
			if (live)
				plain(r, text, len);
			text += len + 1;
		}
	}
	return text;
}

void weft_template_expand(const char *text, const struct weft_template_ops *ops, void *arg,
			  FILE *out)
{
	struct run r = { .ops = ops, .arg = arg, .out = out };

	text = block(&r, text, true);
	weft_assert(!*text);
}

/* The head of a line, if it is one that names something. */
static bool see_directive(const char *line, size_t len, struct weft_template_name *use,
			  char rest[LINE_MAX_LEN])
{
	char *value;

	use->name = rest;
	use->value = "";
	use->how = WEFT_TEMPLATE_CONDITION;
	if (directs(line, len, "@if", rest) || directs(line, len, "@ifnot", rest))
		return true;
	if (!directs(line, len, "@default", rest))
		return false;
	value = strchr(rest, ' ');
	weft_assert(value);
	*value = 0;
	use->how = WEFT_TEMPLATE_DEFAULT;
	use->value = value + 1;
	return true;
}

void weft_template_each_use(const char *text,
			    void (*use)(void *arg, const struct weft_template_name *use), void *arg)
{
	char rest[LINE_MAX_LEN], name[WEFT_TEMPLATE_NAME_MAX];
	struct weft_template_name one;
	uint32_t depth = 0, each = 0;

	for (; *text; text = after(text)) {
		size_t len = (size_t)(after(text) - text) - 1;

		/* A loop is no condition, but has an @end, too; none is inside of another block. */
		if (directs(text, len, "@each", rest))
			each = 1;
		else if (directs(text, len, "@end", rest) && !each)
			depth--;
		else if (directs(text, len, "@end", rest))
			each = 0;
		one.is_conditional = depth > 0;
		if (see_directive(text, len, &one, rest)) {
			depth += one.how == WEFT_TEMPLATE_CONDITION;
			use(arg, &one);
			continue;
		}
		one.how = WEFT_TEMPLATE_HOLE;
		one.name = name;
		for (size_t i = 0; i < len; i++) {
			size_t n = hole_len(text + i);

			if (!n)
				continue;
			copy(name, sizeof(name), text + i + 1, n);
			use(arg, &one);
			i += n + 1;
		}
	}
}
