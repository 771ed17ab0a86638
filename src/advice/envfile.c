/* SPDX-License-Identifier: BSD-2-Clause */
/* Variables in texts of any kind.
 *
 * The text is not parsed as what it is (a shell script, YAML, a Dockerfile), which nobody could do for all of
 * them: variables of ours have prefixes that nothing else has, so it is enough to find such a name and to see
 * what stands behind it. The one thing that needs memory is the pair of name and value of a pod spec, which may
 * be two lines. */
#include "advice/envfile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VARS_MAX 4096

void weft_envfile_init(struct weft_envfile *e)
{
	memset(e, 0, sizeof(*e));
}

void weft_envfile_fini(struct weft_envfile *e)
{
	free(e->var);
	free(e->text);
	weft_envfile_init(e);
}

/* Names and values move when the text grows, so until then they are kept as if it began at the same place. */
static bool make_room(struct weft_envfile *e, size_t len)
{
	char *text;
	size_t size = WEFT_MAX(e->size * 2, e->used + len + 4096);

	if (e->size - e->used >= len)
		return true;
	text = malloc(size);
	if (!text)
		return false;
	if (e->used)
		memcpy(text, e->text, e->used);
	for (size_t i = 0; i < e->count; i++) {
		e->var[i].name = text + (e->var[i].name - e->text);
		e->var[i].value = text + (e->var[i].value - e->text);
	}
	free(e->text);
	e->text = text;
	e->size = size;
	return true;
}

static const char *keep(struct weft_envfile *e, const char *bytes, size_t len)
{
	char *at = e->text + e->used;

	if (len)
		memcpy(at, bytes, len);
	at[len] = '\0';
	/* A NUL inside ends it for everybody. */
	e->used += len + 1;
	return at;
}

void weft_envfile_add(struct weft_envfile *e, const char *name, size_t name_len, const char *value,
		      size_t value_len, struct weft_place place)
{
	struct weft_env_var *more;

	char text[80];

	if (name_len >= sizeof(text))
		return;
	memcpy(text, name, name_len);
	text[name_len] = '\0';
	if (weft_env_is_secret(text) || e->count >= VARS_MAX ||
	    !make_room(e, name_len + value_len + 2))
		return;
	if (e->count == e->cap) {
		more = realloc(e->var, (e->cap ? e->cap * 2 : 32) * sizeof(*more));
		if (!more)
			return;
		e->var = more;
		e->cap = e->cap ? e->cap * 2 : 32;
	}
	more = &e->var[e->count++];
	more->name = keep(e, name, name_len);
	more->value = keep(e, value, value_len);
	more->place = place;
}

void weft_envfile_block(struct weft_envfile *e, const char *file, const char *bytes, size_t len)
{
	for (const char *p = bytes; p < bytes + len;) {
		size_t one = strnlen(p, (size_t)(bytes + len - p));
		const char *equals = memchr(p, '=', one);
		char name[64];
		size_t name_len = equals ? (size_t)(equals - p) : 0;

		if (name_len && name_len < sizeof(name)) {
			memcpy(name, p, name_len);
			name[name_len] = '\0';
			if (weft_env_is_ours(name) || !strncmp(name, "OMPI_COMM_WORLD_", 16))
				weft_envfile_add(e, p, name_len, equals + 1, one - name_len - 1,
						 (struct weft_place){ file, 0, 0 });
		}
		p += one + 1;
	}
}

/* One line */

struct line {
	const char *start, *end;
	struct weft_place place;
};

static bool is_name_char(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '_';
}

static const char *skip_blanks(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	return p;
}

/* A value: in quotes up to the closing one, else up to where a word ends in shells, JSON and YAML's flow style. */
static const char *take_value(const char *p, const char *end, const char *stops,
			      const char **value_out, size_t *len_out)
{
	const char *from = p;

	if (p < end && (*p == '"' || *p == '\'')) {
		const char *close = memchr(p + 1, *p, (size_t)(end - p - 1));

		*value_out = p + 1;
		*len_out = (size_t)((close ? close : end) - p - 1);
		return close ? close + 1 : end;
	}
	while (p < end && !strchr(stops, *p))
		p++;
	*value_out = from;
	*len_out = (size_t)(p - from);
	return p;
}

/* The name that a pod spec has given, waiting for its value. */
struct waiting {
	const char *name;
	size_t len;
	struct weft_place place;
};

/* Is the name at `at` the value of a key "name"? Then its value stands behind a key "value". */
static bool is_named(const struct line *line, const char *at)
{
	const char *p = at;

	while (p > line->start && strchr(" \t\"'", p[-1]))
		p--;
	if (p == line->start || p[-1] != ':')
		return false;
	p--;
	while (p > line->start && strchr(" \t\"'", p[-1]))
		p--;
	return p - line->start >= 4 && !memcmp(p - 4, "name", 4) &&
	       (p - 4 == line->start || !is_name_char(p[-5]));
}

/* What stands behind the name of a variable. */
static const char *on_name(struct weft_envfile *e, const struct line *line, const char *at,
			   const char *end, struct waiting *waiting)
{
	struct weft_place place = line->place;
	const char *p = end, *value;
	size_t len;

	place.column = (uint32_t)(at - line->start) + 1;
	if (is_named(line, at)) {
		waiting->name = at;
		waiting->len = (size_t)(end - at);
		waiting->place = place;
		return end;
	}
	if (p < line->end && (*p == '"' || *p == '\''))
		p++;
	if (p < line->end && *p == '=') {
		/* "-x NAME='a b'", and 'NAME=a b' in quotes as a whole. */
		bool quoted = at > line->start && (at[-1] == '"' || at[-1] == '\'');

		p = take_value(p + 1, line->end, quoted ? "\"'\n" : " \t\"';&|)}\n", &value, &len);
		weft_envfile_add(e, at, (size_t)(end - at), value, len, place);
		return p;
	}
	if (p < line->end && *p == ':') {
		p = skip_blanks(p + 1, line->end);
		p = take_value(p, line->end, " ,}\n", &value, &len);
		weft_envfile_add(e, at, (size_t)(end - at), value, len, place);
	}
	return p;
}

/* "value:" of the pair. */
static void on_value(struct weft_envfile *e, const struct line *line, const char *after,
		     struct waiting *waiting)
{
	const char *p = after, *value;
	size_t len;

	while (p < line->end && strchr(" \t\"'", *p))
		p++;
	if (!waiting->name || p >= line->end || *p != ':')
		return;
	p = skip_blanks(p + 1, line->end);
	(void)take_value(p, line->end, ",}\n#", &value, &len);
	while (len && strchr(" \t\r", value[len - 1]))
		len--;
	weft_envfile_add(e, waiting->name, waiting->len, value, len, waiting->place);
	waiting->name = NULL;
}

/* "--mca btl tcp,self" is OMPI_MCA_btl=tcp,self. */
static const char *on_mca(struct weft_envfile *e, const struct line *line, const char *after)
{
	struct weft_place place = line->place;
	const char *key, *value, *p = skip_blanks(after, line->end);
	size_t key_len, len;
	char name[80];

	place.column = (uint32_t)(after - line->start) + 1;
	p = take_value(p, line->end, " \t\n", &key, &key_len);
	p = skip_blanks(p, line->end);
	p = take_value(p, line->end, " \t\n\\", &value, &len);
	if (!key_len || !len || key_len > 64)
		return after;
	snprintf(name, sizeof(name), "OMPI_MCA_%.*s", (int)key_len, key);
	weft_envfile_add(e, name, strlen(name), value, len, place);
	return p;
}

static void scan_line(struct weft_envfile *e, const struct line *line, struct waiting *waiting)
{
	const char *p = skip_blanks(line->start, line->end);

	if (p < line->end && *p == '#' && (line->end - p < 7 || memcmp(p, "#SBATCH", 7) != 0))
		return;
	while (p < line->end) {
		const char *end = p;
		char word[64];
		size_t len;

		if (!is_name_char(*p)) {
			p++;
			continue;
		}
		while (end < line->end && is_name_char(*end))
			end++;
		len = (size_t)(end - p);
		if (len < sizeof(word)) {
			memcpy(word, p, len);
			word[len] = '\0';
			if (weft_env_is_ours(word) || !strcmp(word, "OMPI_COMM_WORLD_LOCAL_SIZE"))
				end = on_name(e, line, p, end, waiting);
			else if (!strcmp(word, "value"))
				on_value(e, line, end, waiting);
			else if (!strcmp(word, "mca") && p > line->start && p[-1] == '-')
				end = on_mca(e, line, end);
		}
		p = end;
	}
}

void weft_envfile_scan(struct weft_envfile *e, const char *file, const char *bytes, size_t len)
{
	struct waiting waiting = { NULL, 0, { NULL, 0, 0 } };
	struct line line = { .start = bytes, .place = { file, 1, 0 } };

	while (line.start < bytes + len) {
		const char *newline = memchr(line.start, '\n', (size_t)(bytes + len - line.start));

		line.end = newline ? newline : bytes + len;
		scan_line(e, &line, &waiting);
		line.start = line.end + 1;
		line.place.line++;
	}
}
