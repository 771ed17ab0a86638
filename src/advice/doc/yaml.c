/* SPDX-License-Identifier: BSD-2-Clause */
/* The reader of YAML: libyaml's events into a tree, one document after the other.
 *
 * libyaml is asked for events only, so its memory is bounded, and the builder's limit of depth comes before the depth
 * at which libyaml gets slow. Its marks count characters; a cursor that follows them turns these into offsets. What
 * libyaml leaves to its users is done by the builder: aliases, merge keys and keys that come twice. UTF-16 is
 * refused, because nothing that reads these files takes it. */
#include "advice/doc/build.h"

#include <stdio.h>
#include <string.h>
#include <yaml.h>

struct reader {
	const struct weft_text *text;
	struct weft_build build;
	yaml_parser_t parser;
	size_t chars; /* The cursor: so many characters... */
	uint32_t at; /* ... end here. */
	uint32_t skipped; /* A mark of the order of bytes in front, which is not counted. */
};

static bool begins_char(char c)
{
	return ((unsigned char)c & 0xc0) != 0x80;
}

/* The offset of a character, in the text. */
static uint32_t move_cursor(struct reader *r, size_t chars)
{
	const char *s = r->text->bytes;

	while (r->chars < chars && r->at < r->text->len) {
		do
			r->at++;
		while (r->at < r->text->len && !begins_char(s[r->at]));
		r->chars++;
	}
	while (r->chars > chars && r->at > r->skipped) {
		do
			r->at--;
		while (r->at > r->skipped && !begins_char(s[r->at]));
		r->chars--;
	}
	return r->at;
}

static uint32_t file_at(struct reader *r, const yaml_mark_t *mark)
{
	return weft_text_file_at(r->text, move_cursor(r, mark->index));
}

static const char *anchor_of(const yaml_char_t *anchor)
{
	return (const char *)anchor;
}

/* A tag of YAML's own says what the value is; any other, that it will be something else. */
static uint8_t flags_of_tag(const yaml_char_t *tag)
{
	const char *t = (const char *)tag;

	if (!t || !strcmp(t, "!"))
		return 0;
	if (!strncmp(t, "tag:yaml.org,2002:", 18))
		return !strcmp(t + 18, "str") ? WEFT_DOC_QUOTED : 0;
	return WEFT_DOC_EXPR;
}

static bool on_scalar(struct reader *r, const yaml_event_t *e)
{
	uint8_t flags = flags_of_tag(e->data.scalar.tag);
	uint32_t at = file_at(r, &e->start_mark), end = file_at(r, &e->end_mark);

	if (e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		flags |= WEFT_DOC_QUOTED;
	if (e->data.scalar.style == YAML_LITERAL_SCALAR_STYLE)
		flags |= WEFT_DOC_LITERAL;
	return weft_build_scalar(&r->build, (const char *)e->data.scalar.value,
				 e->data.scalar.length, at, end, flags,
				 anchor_of(e->data.scalar.anchor));
}

static bool on_event(struct reader *r, const yaml_event_t *e)
{
	uint32_t at = file_at(r, &e->start_mark);

	switch (e->type) {
	case YAML_SCALAR_EVENT:
		return on_scalar(r, e);
	case YAML_ALIAS_EVENT:
		return weft_build_alias(&r->build, anchor_of(e->data.alias.anchor), at,
					file_at(r, &e->end_mark));
	case YAML_MAPPING_START_EVENT:
		return weft_build_open(&r->build, WEFT_DOC_MAP, at,
				       flags_of_tag(e->data.mapping_start.tag),
				       anchor_of(e->data.mapping_start.anchor));
	case YAML_SEQUENCE_START_EVENT:
		return weft_build_open(&r->build, WEFT_DOC_LIST, at,
				       flags_of_tag(e->data.sequence_start.tag),
				       anchor_of(e->data.sequence_start.anchor));
	case YAML_MAPPING_END_EVENT:
	case YAML_SEQUENCE_END_EVENT:
		return weft_build_close(&r->build, at);
	case YAML_DOCUMENT_END_EVENT:
		weft_build_finish(&r->build);
		return true;
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
	case YAML_DOCUMENT_START_EVENT:
		return true;
	}
	return true;
}

/* Does the line, or the one before it, have what Helm and Jinja put around their own? */
static bool is_in_template(const struct weft_text *text, uint32_t at)
{
	const char *s = text->bytes;
	uint32_t begin = at;

	for (uint32_t lines = 0; begin; begin--)
		if (s[begin - 1] == '\n' && ++lines == 2)
			break;
	for (uint32_t i = begin; i < at && i + 1 < text->len; i++)
		if (s[i] == '{' && (s[i + 1] == '{' || s[i + 1] == '%'))
			return true;
	return false;
}

/* libyaml's errors come in two kinds: of the text's bytes, with an offset, and of its grammar, with a mark. */
static void report_error(struct reader *r)
{
	const yaml_parser_t *p = &r->parser;
	uint32_t at;

	if (p->error == YAML_MEMORY_ERROR) {
		weft_build_problem(&r->build, WEFT_DOC_LIMIT, file_at(r, &p->mark),
				   "out of memory");
		return;
	}
	if (p->error == YAML_READER_ERROR) {
		at = weft_text_file_at(r->text, r->skipped + (uint32_t)p->problem_offset);
		weft_build_problem(&r->build, WEFT_DOC_SYNTAX, at, "not YAML: %s", p->problem);
		return;
	}
	at = move_cursor(r, p->problem_mark.index);
	if (at < r->text->len && r->text->bytes[at] == '\t')
		weft_build_problem(&r->build, WEFT_DOC_SYNTAX, weft_text_file_at(r->text, at),
				   "not YAML: a tab, where only spaces may indent");
	else if (is_in_template(r->text, at))
		weft_build_problem(&r->build, WEFT_DOC_SYNTAX, weft_text_file_at(r->text, at),
				   "not YAML but a template: lint what comes out of it");
	else
		weft_build_problem(&r->build, WEFT_DOC_SYNTAX, weft_text_file_at(r->text, at),
				   "not YAML: %s%s%s", p->problem ? p->problem : "",
				   p->context ? " " : "", p->context ? p->context : "");
}

static bool is_utf16(const struct weft_text *text)
{
	return text->len >= 2 &&
	       (!memcmp(text->bytes, "\xff\xfe", 2) || !memcmp(text->bytes, "\xfe\xff", 2));
}

bool weft_doc_read_yaml(const struct weft_text *text, const struct weft_doc_sink *sink)
{
	struct reader r = { .text = text };
	bool going = true, ended = false;
	yaml_event_t event;

	weft_build_init(&r.build, sink, true);
	if (is_utf16(text))
		return weft_build_problem(&r.build, WEFT_DOC_SYNTAX, weft_text_file_at(text, 0),
					  "not YAML as anybody reads it: UTF-16; save it as UTF-8");
	if (text->len >= 3 && !memcmp(text->bytes, "\xef\xbb\xbf", 3))
		r.at = r.skipped = 3;
	if (!yaml_parser_initialize(&r.parser))
		return weft_build_problem(&r.build, WEFT_DOC_LIMIT, 0, "out of memory");
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text->bytes + r.skipped,
				     text->len - r.skipped);
	while (going && !ended) {
		if (!yaml_parser_parse(&r.parser, &event)) {
			report_error(&r);
			going = false;
			break;
		}
		ended = event.type == YAML_STREAM_END_EVENT;
		going = on_event(&r, &event);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&r.parser);
	weft_build_fini(&r.build);
	return going;
}
