/* SPDX-License-Identifier: BSD-2-Clause */
/* From a file to the readers: what format it is, and what of it is in another one.
 *
 * Names are believed first; then what stands in the file. Documents in Markdown quote files, and people lint what
 * they are about to paste, so fenced blocks are read each as a piece of its own; a piece of which nothing says what it
 * is counts as YAML or JSON when it looks like it, and as commands otherwise, where nothing is reported that only
 * a whole file could be blamed for. */
#include "advice/lint/lint.h"

#include "advice/lint/rules.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct {
	const char *name;
	enum weft_lint_format format;
} formats[] = {
	{ "auto", WEFT_LINT_AUTO },
	{ "yaml", WEFT_LINT_YAML },
	{ "json", WEFT_LINT_JSON },
	{ "hcl", WEFT_LINT_HCL },
	{ "toml", WEFT_LINT_TOML },
	{ "shell", WEFT_LINT_SHELL },
	{ "dockerfile", WEFT_LINT_DOCKERFILE },
	{ "markdown", WEFT_LINT_MARKDOWN },
};

/* What files, and fenced blocks, call them. */
static const struct {
	const char *word;
	enum weft_lint_format format;
} words[] = {
	{ "yaml", WEFT_LINT_YAML },
	{ "yml", WEFT_LINT_YAML },
	{ "json", WEFT_LINT_JSON },
	{ "tf", WEFT_LINT_HCL },
	{ "hcl", WEFT_LINT_HCL },
	{ "tfvars", WEFT_LINT_HCL },
	{ "toml", WEFT_LINT_TOML },
	{ "terraform", WEFT_LINT_HCL },
	{ "sh", WEFT_LINT_SHELL },
	{ "bash", WEFT_LINT_SHELL },
	{ "shell", WEFT_LINT_SHELL },
	{ "zsh", WEFT_LINT_SHELL },
	{ "console", WEFT_LINT_SHELL },
	{ "sbatch", WEFT_LINT_SHELL },
	{ "slurm", WEFT_LINT_SHELL },
	{ "pbs", WEFT_LINT_SHELL },
	{ "env", WEFT_LINT_SHELL },
	{ "conf", WEFT_LINT_SHELL },
	{ "dockerfile", WEFT_LINT_DOCKERFILE },
	{ "docker", WEFT_LINT_DOCKERFILE },
	{ "containerfile", WEFT_LINT_DOCKERFILE },
	{ "md", WEFT_LINT_MARKDOWN },
	{ "markdown", WEFT_LINT_MARKDOWN },
};

bool weft_lint_format_find(const char *name, enum weft_lint_format *format_out)
{
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(formats); i++)
		if (!strcmp(formats[i].name, name)) {
			*format_out = formats[i].format;
			return true;
		}
	return false;
}

static enum weft_lint_format format_of_word(const char *word, size_t len)
{
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(words); i++)
		if (strlen(words[i].word) == len && !strncasecmp(words[i].word, word, len))
			return words[i].format;
	return WEFT_LINT_AUTO;
}

static enum weft_lint_format format_of_name(const char *name)
{
	const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;
	const char *dot = strrchr(base, '.');
	size_t first = strcspn(base, ".-");

	if (dot && format_of_word(dot + 1, strlen(dot + 1)) != WEFT_LINT_AUTO)
		return format_of_word(dot + 1, strlen(dot + 1));
	/* Dockerfile, Dockerfile.efa */
	if (format_of_word(base, first) == WEFT_LINT_DOCKERFILE)
		return WEFT_LINT_DOCKERFILE;
	return WEFT_LINT_AUTO;
}

static bool begins(const struct weft_text *text, uint32_t at, const char *with)
{
	size_t len = strlen(with);

	return text->len - at >= len && !memcmp(text->bytes + at, with, len);
}

/* Is the line of `at` a name in brackets, and nothing else? */
static bool is_table(const struct weft_text *text, uint32_t at)
{
	while (at < text->len && text->bytes[at] == '[')
		at++;
	while (at < text->len &&
	       (isalnum((unsigned char)text->bytes[at]) || strchr("._-\"", text->bytes[at])))
		at++;
	return at < text->len && text->bytes[at] == ']';
}

/* By its first line that says something. */
static enum weft_lint_format format_of_text(const struct weft_text *text)
{
	static const char *const docker[] = { "FROM ", "ARG ", "# syntax=" };
	uint32_t at = begins(text, 0, "\xef\xbb\xbf") ? 3 : 0, colon;

	if (begins(text, at, "#!"))
		return WEFT_LINT_SHELL;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(docker); i++)
		if (begins(text, at, docker[i]))
			return WEFT_LINT_DOCKERFILE;
	for (; at < text->len; at++) {
		if (strchr(" \t\r\n", text->bytes[at]) && text->bytes[at])
			continue;
		if (text->bytes[at] != '#')
			break;
		while (at + 1 < text->len && text->bytes[at + 1] != '\n')
			at++;
	}
	/* [settings.kernel] begins no list. */
	if (begins(text, at, "[") && at + 1 < text->len &&
	    (text->bytes[at + 1] == '[' || isalpha((unsigned char)text->bytes[at + 1])) &&
	    is_table(text, at))
		return WEFT_LINT_TOML;
	if (begins(text, at, "{") || begins(text, at, "["))
		return WEFT_LINT_JSON;
	if (begins(text, at, "---") || begins(text, at, "- ") || begins(text, at, "%YAML"))
		return WEFT_LINT_YAML;
	if (begins(text, at, "resource \"") || begins(text, at, "module \"") ||
	    begins(text, at, "terraform {") || begins(text, at, "provider \""))
		return WEFT_LINT_HCL;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(docker); i++)
		if (begins(text, at, docker[i]))
			return WEFT_LINT_DOCKERFILE;
	/* A name, a colon, and a space or the end of the line. */
	for (colon = at; colon < text->len && !strchr(": \t\r\n=", text->bytes[colon]); colon++)
		;
	if (colon > at && colon < text->len && text->bytes[colon] == ':' &&
	    (colon + 1 == text->len || strchr(" \r\n", text->bytes[colon + 1])))
		return WEFT_LINT_YAML;
	return WEFT_LINT_SHELL;
}

/* Dockerfiles */

/* The instruction at *at_inout, with the lines that it goes on in; NULL: no more. */
static bool next_instruction(const struct weft_text *text, uint32_t *at_inout,
			     struct weft_text *out)
{
	uint32_t at = *at_inout, end;

	while (at < text->len && strchr(" \t\r\n", text->bytes[at]) && text->bytes[at])
		at++;
	if (at >= text->len)
		return false;
	for (end = at; end < text->len; end++) {
		if (text->bytes[end] != '\n')
			continue;
		if (text->bytes[at] == '#' || !(text->bytes[end - 1] == '\\' ||
						(end > at + 1 && text->bytes[end - 1] == '\r' &&
						 text->bytes[end - 2] == '\\')))
			break;
	}
	*out = *text;
	out->bytes += at;
	out->from += at;
	out->len = end - at;
	*at_inout = end;
	return true;
}

static void docker_env(struct lint *l, const struct weft_shell *s, const struct lint_place *place)
{
	/* The older way: ENV NAME the rest of the line. */
	if (s->words == 2 && !weft_shell_assigned(s->word[0].text) && !s->word[1].dynamic)
		lint_env(l, s->word[0].text, s->word[1].text, s->word[0].at, place->instance,
			 WEFT_SEV_FAIL);
	lint_command(l, s->word, s->words, place);
}

static void docker_line(struct lint *l, const struct weft_text *line,
			const struct lint_place *place)
{
	struct weft_text rest = *line;
	struct weft_shell *s = malloc(sizeof(*s));
	uint32_t len = 0;

	while (len < line->len && !strchr(" \t\r\n\\", line->bytes[len]))
		len++;
	rest.bytes += len;
	rest.from += len;
	rest.len -= len;
	if (s && len == 3 && !strncasecmp(line->bytes, "ENV", 3)) {
		weft_shell_init(s, &rest);
		if (weft_shell_next(s))
			docker_env(l, s, place);
		weft_shell_fini(s);
	} else if (s && len == 4 && !strncasecmp(line->bytes, "FROM", 4)) {
		weft_shell_init(s, &rest);
		if (weft_shell_next(s) && s->word[0].text[0] != '-' && !s->word[0].dynamic)
			lint_image(l, s->word[0].text, s->word[0].at);
		weft_shell_fini(s);
	} else if (len == 3 && !strncasecmp(line->bytes, "RUN", 3)) {
		lint_script(l, &rest, place);
	}
	free(s);
}

static void lint_dockerfile(struct lint *l, const struct weft_text *text)
{
	struct lint_place place = { .instance = l->options->instance };
	struct weft_text line;
	uint32_t at = 0;

	l->dockerfile = true;
	while (next_instruction(text, &at, &line))
		if (line.len && line.bytes[0] != '#')
			docker_line(l, &line, &place);
	l->dockerfile = false;
}

static uint32_t end_of_line(const struct weft_text *text, uint32_t at)
{
	const char *newline = memchr(text->bytes + at, '\n', text->len - at);

	return newline ? (uint32_t)(newline - text->bytes) : text->len;
}

/* TOML, as Bottlerocket takes it: of its tables only one key is ours. */
static void lint_toml(struct lint *l, const struct weft_text *text)
{
	static const char name[] = "vm.nr_hugepages";
	struct weft_doc_node key = { .text = name, .len = sizeof(name) - 1 };
	uint32_t end;

	for (uint32_t at = 0; at < text->len; at = end + 1) {
		struct weft_doc_node value = { .key = &key, .text = "" };
		struct weft_doc_node map = { .child = &value, .kind = WEFT_DOC_MAP, .text = "" };
		char number[24];
		uint32_t n = 0;

		end = end_of_line(text, at);
		while (at < end && (text->bytes[at] == ' ' || text->bytes[at] == '"'))
			at++;
		if (!begins(text, at, name))
			continue;
		at += sizeof(name) - 1;
		while (at < end && strchr("\" =\t", text->bytes[at]))
			at++;
		while (at + n < end && n + 1 < sizeof(number) &&
		       isdigit((unsigned char)text->bytes[at + n]))
			n++;
		memcpy(number, text->bytes + at, n);
		number[n] = '\0';
		value.text = number;
		value.len = n;
		value.at = weft_text_file_at(text, at);
		lint_walk(l, &map, WEFT_TYPE_Sysctls, NULL, true);
	}
}

/* Markdown */

struct fence {
	char mark; /* ` or ~ */
	uint32_t count; /* How many of them, at least three. */
	uint32_t indent;
	enum weft_lint_format format;
};

/* Does a fence begin, or with `open` end, in the line [at, end)? */
static bool read_fence(const struct weft_text *text, uint32_t at, uint32_t end,
		       const struct fence *open, struct fence *fence_out)
{
	uint32_t begin = at, word;

	*fence_out = (struct fence){ 0 };
	while (at < end && text->bytes[at] == ' ')
		at++;
	fence_out->indent = at - begin;
	if (at == end || (text->bytes[at] != '`' && text->bytes[at] != '~'))
		return false;
	fence_out->mark = text->bytes[at];
	while (at < end && text->bytes[at] == fence_out->mark) {
		fence_out->count++;
		at++;
	}
	if (fence_out->count < 3 ||
	    (open && (fence_out->mark != open->mark || fence_out->count < open->count)))
		return false;
	while (at < end && text->bytes[at] == ' ')
		at++;
	for (word = at; at < end && !strchr(" \t\r{,", text->bytes[at]); at++)
		;
	if (open)
		return at == word;
	fence_out->format = format_of_word(text->bytes + word, at - word);
	/* A language that is none of ours: nothing to read. */
	if (fence_out->format == WEFT_LINT_AUTO && at > word)
		fence_out->format = WEFT_LINT_MARKDOWN;
	return true;
}

static void lint_format(struct lint *l, const struct weft_text *text, enum weft_lint_format format);

/* One fenced block, without the fence's indentation. */
static void lint_block(struct lint *l, const struct weft_text *text, uint32_t at, uint32_t end,
		       const struct fence *fence)
{
	struct weft_text_builder b;
	struct weft_text block;

	weft_text_builder_init(&b);
	while (at < end) {
		uint32_t stop = WEFT_MIN(end_of_line(text, at) + 1, end), skip = 0;

		while (skip < fence->indent && at < stop && text->bytes[at] == ' ') {
			skip++;
			at++;
		}
		weft_text_builder_copy(&b, text, at, stop - at);
		at = stop;
	}
	block = weft_text_builder_text(&b);
	/* Documents leave things out; and what only looks like YAML may be the output of a command. */
	l->syntax = fence->format == WEFT_LINT_AUTO ? WEFT_SEV_OK : WEFT_SEV_NOTE;
	if (b.failed)
		lint_report(l, WEFT_FINDING_INPUT, weft_text_file_at(text, WEFT_MIN(at, end - 1)),
			    "a block too long to be read");
	else if (block.len)
		lint_format(l, &block, fence->format);
	l->syntax = WEFT_SEV_FAIL;
	weft_text_builder_fini(&b);
}

static void lint_markdown(struct lint *l, const struct weft_text *text)
{
	struct fence fence, closing;
	uint32_t at = 0;

	while (at < text->len) {
		uint32_t end = end_of_line(text, at), begin = WEFT_MIN(end + 1, text->len);
		bool opens = read_fence(text, at, end, NULL, &fence);

		at = begin;
		if (!opens)
			continue;
		while (at < text->len) {
			end = end_of_line(text, at);
			if (read_fence(text, at, end, &fence, &closing))
				break;
			at = WEFT_MIN(end + 1, text->len);
		}
		if (fence.format != WEFT_LINT_MARKDOWN)
			lint_block(l, text, begin, at, &fence);
		at = at < text->len ? WEFT_MIN(end_of_line(text, at) + 1, text->len) : at;
	}
}

/* All of them */

static void lint_format(struct lint *l, const struct weft_text *text, enum weft_lint_format format)
{
	struct lint_place nowhere = { .instance = NULL };

	switch (format == WEFT_LINT_AUTO ? format_of_text(text) : format) {
	case WEFT_LINT_AUTO:
		return;
	case WEFT_LINT_YAML:
		lint_yaml(l, text);
		return;
	case WEFT_LINT_JSON:
		lint_json(l, text);
		return;
	case WEFT_LINT_HCL:
		lint_hcl(l, text);
		return;
	case WEFT_LINT_TOML:
		lint_toml(l, text);
		return;
	case WEFT_LINT_SHELL:
		lint_script(l, text, &nowhere);
		return;
	case WEFT_LINT_DOCKERFILE:
		lint_dockerfile(l, text);
		return;
	case WEFT_LINT_MARKDOWN:
		lint_markdown(l, text);
		return;
	}
}

void lint_piece(struct lint *l, const struct weft_text *text)
{
	enum weft_lint_format format = format_of_text(text);
	enum weft_severity syntax = l->syntax;

	/* Tables of hosts and the like look like commands. */
	l->syntax = WEFT_SEV_OK;
	if (format != WEFT_LINT_SHELL || begins(text, 0, "#!"))
		lint_format(l, text, format);
	l->syntax = syntax;
}

void lint_scalar_text(struct lint *l, const struct weft_doc_node *node, struct weft_text_builder *b)
{
	uint32_t line = weft_lines_end(&l->lines, node->at) + 1, at = 0;

	if (!(node->flags & WEFT_DOC_LITERAL)) {
		/* Where nothing is escaped each byte has its place; otherwise all have the first one's. */
		uint32_t quote = node->flags & WEFT_DOC_QUOTED && node->at < l->len &&
				 strchr("\"'", l->bytes[node->at]);
		bool plain = node->at + quote + node->len <= l->len &&
			     !memcmp(l->bytes + node->at + quote, node->text, node->len);

		for (uint32_t i = 0; i < node->len; i++)
			weft_text_builder_put(b, node->text[i],
					      plain ? node->at + quote + i : node->at);
		return;
	}
	while (at < node->len) {
		const char *newline = memchr(node->text + at, '\n', node->len - at);
		uint32_t len = newline ? (uint32_t)(newline - node->text) - at : node->len - at;
		uint32_t end = line < l->len ? weft_lines_end(&l->lines, line) : l->len, last = end;

		if (last > line && last <= l->len && l->bytes[last - 1] == '\r')
			last--;
		/* The line of the file ends with this one; what is in front is indentation. */
		for (uint32_t i = 0; i <= len && at + i < node->len; i++)
			weft_text_builder_put(b, node->text[at + i],
					      last >= len ? last - len + i : node->at);
		at += len + 1;
		line = end + 1;
	}
}

/* Edits */

void weft_lint_edits_init(struct weft_lint_edits *e)
{
	memset(e, 0, sizeof(*e));
}

void weft_lint_edits_fini(struct weft_lint_edits *e)
{
	for (uint32_t i = 0; i < e->count; i++)
		free(e->edit[i].with);
	free(e->edit);
	memset(e, 0, sizeof(*e));
}

void lint_edit(struct lint *l, uint32_t at, uint32_t end, const char *was, const char *with)
{
	struct weft_lint_edits *e = l->edits;
	struct weft_lint_edit *grown;
	uint32_t i;

	if (!e || at > end || end > l->len || strlen(was) != end - at ||
	    memcmp(l->bytes + at, was, end - at) != 0 || e->count >= WEFT_FINDINGS_MAX)
		return;
	/* An alias, or a rule that comes by twice: the first one has it. */
	for (i = e->count; i && e->edit[i - 1].end > at; i--)
		if (e->edit[i - 1].at < end)
			return;
	if (e->count == e->cap) {
		grown = realloc(e->edit, (e->cap + 64) * sizeof(*e->edit));
		if (!grown)
			return;
		e->edit = grown;
		e->cap += 64;
	}
	memmove(&e->edit[i + 1], &e->edit[i], (e->count - i) * sizeof(*e->edit));
	e->edit[i] = (struct weft_lint_edit){ at, end, strdup(with) };
	if (e->edit[i].with)
		e->count++;
	else
		memmove(&e->edit[i], &e->edit[i + 1], (e->count - i) * sizeof(*e->edit));
}

/* Rules come by in the order of the tree; people read in that of the file. */
static int by_place(const void *a, const void *b)
{
	const struct weft_finding *x = a, *y = b;

	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	if (x->column != y->column)
		return x->column < y->column ? -1 : 1;
	return (x->id > y->id) - (x->id < y->id);
}

/* A YAML or JSON file may be anybody's; the other formats have no kinds. */
static bool has_kinds(const struct weft_text *text, enum weft_lint_format format)
{
	if (format == WEFT_LINT_AUTO)
		format = format_of_text(text);
	return format == WEFT_LINT_YAML || format == WEFT_LINT_JSON;
}

bool weft_lint(const char *name, const char *bytes, uint32_t len,
	       const struct weft_lint_options *options, struct weft_findings *findings,
	       struct weft_lint_edits *edits)
{
	struct weft_text text = weft_text_whole(bytes, len);
	struct lint *l = calloc(1, sizeof(*l));
	struct weft_place place = { .file = name };
	enum weft_lint_format format = options->format;
	size_t before = findings->count;
	bool known;

	if (!l || weft_lines_init(&l->lines, bytes, len)) {
		weft_findings_report(findings, WEFT_FINDING_INPUT, &place, "out of memory");
		free(l);
		return true;
	}
	l->options = options;
	l->findings = findings;
	l->edits = edits;
	l->file = name;
	l->bytes = bytes;
	l->len = len;
	l->syntax = WEFT_SEV_FAIL;
	if (format == WEFT_LINT_AUTO)
		format = format_of_name(name);
	lint_format(l, &text, format);
	lint_groups_end(l);
	if (findings->count > before)
		qsort(findings->finding + before, findings->count - before,
		      sizeof(*findings->finding), by_place);
	known = l->known || findings->count > before || !has_kinds(&text, format);
	weft_lines_fini(&l->lines);
	free(l);
	return known;
}
