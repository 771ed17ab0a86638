/* SPDX-License-Identifier: BSD-2-Clause */
/* The reader of HCL, the language of Terraform: as much of it as says what a file wants.
 *
 * Blocks, attributes, strings, heredocs, lists and maps become a tree; a block's labels are nested maps, so that
 * `resource "aws_instance" "a" { ... }` is found under resource, aws_instance, a. An expression (a reference, a call, an
 * operator, a template with ${}) is not evaluated: it becomes a scalar that says that its value is not known, and
 * is only followed to its end. The parser recurses, no deeper than the builder allows. */
#include "advice/doc/build.h"

#include <ctype.h>
#include <string.h>

struct reader {
	const struct weft_text *text;
	struct weft_build build;
	uint32_t at;
	uint32_t nested; /* Brackets around what is not evaluated. */
};

static bool read_body(struct reader *r, bool in_block);
static bool read_value(struct reader *r, const char *stops);

static char peek_at(const struct reader *r, uint32_t ahead)
{
	return ahead < r->text->len - r->at ? r->text->bytes[r->at + ahead] : '\0';
}

static char peek(const struct reader *r)
{
	return peek_at(r, 0);
}

static bool at_end(const struct reader *r)
{
	return r->at >= r->text->len;
}

static uint32_t file_at(const struct reader *r, uint32_t at)
{
	return weft_text_file_at(r->text, at);
}

static bool syntax(struct reader *r, uint32_t at, const char *why)
{
	return weft_build_problem(&r->build, WEFT_DOC_SYNTAX, file_at(r, at), "not HCL: %s", why);
}

static bool begins_name(char c)
{
	return isalpha((unsigned char)c) || c == '_';
}

static bool is_name_byte(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-';
}

static void skip_line(struct reader *r)
{
	while (!at_end(r) && peek(r) != '\n')
		r->at++;
}

/* Spaces and comments; and ends of lines, if they mean nothing here. */
static bool skip_space(struct reader *r, bool lines)
{
	for (;;) {
		char c = peek(r);

		if (c == ' ' || c == '\t' || c == '\r' || (lines && c == '\n')) {
			r->at++;
		} else if (c == '#' || (c == '/' && peek_at(r, 1) == '/')) {
			skip_line(r);
		} else if (c == '/' && peek_at(r, 1) == '*') {
			uint32_t begin = r->at;

			r->at += 2;
			while (!at_end(r) && !(peek(r) == '*' && peek_at(r, 1) == '/'))
				r->at++;
			if (at_end(r))
				return syntax(r, begin, "a comment without an end");
			r->at += 2;
		} else {
			return true;
		}
	}
}

static bool skip_string(struct reader *r, bool *expr);

/* From behind "${" or "%{" to behind its "}". */
static bool skip_template(struct reader *r)
{
	uint32_t begin = r->at, depth = 1;
	bool expr;

	if (++r->nested > WEFT_DOC_DEPTH_MAX)
		return weft_build_problem(&r->build, WEFT_DOC_LIMIT, file_at(r, begin),
					  "nested more than %u deep", WEFT_DOC_DEPTH_MAX);
	while (!at_end(r) && depth) {
		if (peek(r) == '"') {
			if (!skip_string(r, &expr))
				return false;
			continue;
		}
		depth += peek(r) == '{';
		depth -= peek(r) == '}';
		r->at++;
	}
	r->nested--;
	return depth ? syntax(r, begin, "a template without an end") : true;
}

/* Is a template's beginning here, and not the doubled sign that means itself? */
static bool begins_template(const struct reader *r)
{
	return (peek(r) == '$' || peek(r) == '%') && peek_at(r, 1) == '{';
}

static bool is_doubled(const struct reader *r)
{
	return (peek(r) == '$' || peek(r) == '%') && peek_at(r, 1) == peek(r) &&
	       peek_at(r, 2) == '{';
}

static bool skip_string(struct reader *r, bool *expr)
{
	uint32_t begin = r->at++;

	*expr = false;
	while (!at_end(r) && peek(r) != '"') {
		if (peek(r) == '\n')
			break;
		if (is_doubled(r)) {
			r->at += 3;
		} else if (begins_template(r)) {
			*expr = true;
			r->at += 2;
			if (!skip_template(r))
				return false;
		} else {
			r->at += peek(r) == '\\' && peek_at(r, 1) ? 2 : 1;
		}
	}
	if (peek(r) != '"')
		return syntax(r, begin, "a string without an end");
	r->at++;
	return true;
}

/* A string's text, its escapes undone; what no scratch of this size holds stays as it is written. */
static size_t unescape(const char *from, size_t len, char *to, size_t size)
{
	static const char letters[] = "nrt\"\\", means[] = "\n\r\t\"\\";
	size_t out = 0;

	for (size_t i = 0; i < len && out < size; i++) {
		const char *which = from[i] == '\\' && i + 1 < len && from[i + 1]
					    ? strchr(letters, from[i + 1])
					    : NULL;

		to[out++] = which ? means[which - letters] : from[i];
		i += which != NULL;
	}
	return out;
}

/* A string, as key or value. */
static bool read_string(struct reader *r, uint8_t flags)
{
	uint32_t begin = r->at, len;
	char plain[4096];
	const char *s;
	bool expr;

	if (!skip_string(r, &expr))
		return false;
	s = r->text->bytes + begin + 1;
	len = r->at - begin - 2;
	flags |= WEFT_DOC_QUOTED | (expr ? WEFT_DOC_EXPR : 0);
	if (len <= sizeof(plain) && memchr(s, '\\', len)) {
		len = (uint32_t)unescape(s, len, plain, sizeof(plain));
		s = plain;
	}
	return weft_build_scalar(&r->build, s, len, file_at(r, begin), file_at(r, r->at), flags,
				 NULL);
}

/* Past <<NAME or <<-NAME and the line that says NAME; the body is what lies between. */
static bool skip_heredoc(struct reader *r, uint32_t *body_out, uint32_t *len_out)
{
	uint32_t begin = r->at, name, name_len, line;
	const char *s = r->text->bytes;

	r->at += 2 + (peek_at(r, 2) == '-');
	name = r->at;
	while (is_name_byte(peek(r)))
		r->at++;
	name_len = r->at - name;
	if (!name_len)
		return syntax(r, begin, "a heredoc without a name");
	skip_line(r);
	*body_out = r->at = WEFT_MIN(r->at + 1, r->text->len);
	for (;;) {
		if (at_end(r))
			return syntax(r, begin, "a heredoc without an end");
		line = r->at;
		while (peek(r) == ' ' || peek(r) == '\t')
			r->at++;
		if (r->text->len - r->at >= name_len && !memcmp(s + r->at, s + name, name_len) &&
		    !is_name_byte(peek_at(r, name_len)))
			break;
		skip_line(r);
		r->at = WEFT_MIN(r->at + 1, r->text->len);
	}
	*len_out = line - *body_out;
	r->at += name_len;
	return true;
}

static bool begins_heredoc(const struct reader *r)
{
	return peek(r) == '<' && peek_at(r, 1) == '<';
}

static bool read_heredoc(struct reader *r)
{
	uint32_t begin = r->at, body = 0, len = 0;
	const char *s = r->text->bytes;
	uint8_t flags = WEFT_DOC_QUOTED | WEFT_DOC_LITERAL;

	if (!skip_heredoc(r, &body, &len))
		return false;
	for (uint32_t i = body; i + 1 < body + len; i++)
		if (s[i] == '$' && s[i + 1] == '{')
			flags |= WEFT_DOC_EXPR;
	return weft_build_scalar(&r->build, s + body, len, file_at(r, begin), file_at(r, r->at),
				 flags, NULL);
}

/* To the end of an expression: a byte of `stops`, or the end of the line, outside of all brackets. */
static bool skip_expression(struct reader *r, const char *stops)
{
	uint32_t begin = r->at, depth = 0, body = 0, len = 0;
	bool expr;

	for (;;) {
		if (!skip_space(r, depth > 0))
			return false;
		if (at_end(r) && depth)
			return syntax(r, begin, "a bracket without an end");
		if (at_end(r) || (!depth && (peek(r) == '\n' || strchr(stops, peek(r)))))
			return true;
		if (peek(r) == '"') {
			if (!skip_string(r, &expr))
				return false;
			continue;
		}
		/* base64encode(<<EOF: what is in it has brackets and quotes of its own. */
		if (begins_heredoc(r)) {
			if (!skip_heredoc(r, &body, &len))
				return false;
			continue;
		}
		depth += peek(r) && strchr("([{", peek(r)) != NULL;
		if (peek(r) && strchr(")]}", peek(r))) {
			if (!depth)
				return true;
			depth--;
		}
		/* An operator, or a ternary's parts, may stand on lines of their own. */
		r->at++;
	}
}

static bool read_expression(struct reader *r, uint32_t begin, const char *stops)
{
	const char *s = r->text->bytes + begin;
	uint32_t end;

	if (!skip_expression(r, stops))
		return false;
	end = r->at;
	while (end > begin && isspace((unsigned char)r->text->bytes[end - 1]))
		end--;
	if (end == begin)
		return syntax(r, begin, "a value is missing here");
	return weft_build_scalar(&r->build, s, end - begin, file_at(r, begin), file_at(r, end),
				 WEFT_DOC_EXPR, NULL);
}

/* Does "for" begin behind the bracket that r stands at? */
static bool is_comprehension(const struct reader *r)
{
	uint32_t i = 1;

	while (isspace((unsigned char)peek_at(r, i)))
		i++;
	return peek_at(r, i) == 'f' && peek_at(r, i + 1) == 'o' && peek_at(r, i + 2) == 'r' &&
	       isspace((unsigned char)peek_at(r, i + 3));
}

static bool read_list(struct reader *r)
{
	uint32_t begin = r->at++;

	if (!weft_build_open(&r->build, WEFT_DOC_LIST, file_at(r, begin), 0, NULL))
		return false;
	for (;;) {
		if (!skip_space(r, true))
			return false;
		if (at_end(r))
			return syntax(r, begin, "a list without an end");
		if (peek(r) == ']')
			break;
		if (!read_value(r, ",]") || !skip_space(r, true))
			return false;
		if (peek(r) == ',')
			r->at++;
		else if (peek(r) != ']')
			return syntax(r, r->at, "`,` or `]` is missing here");
	}
	r->at++;
	return weft_build_close(&r->build, file_at(r, r->at));
}

/* A name, as a scalar. */
static bool read_name(struct reader *r, uint8_t flags)
{
	uint32_t begin = r->at;

	while (is_name_byte(peek(r)))
		r->at++;
	return weft_build_scalar(&r->build, r->text->bytes + begin, r->at - begin,
				 file_at(r, begin), file_at(r, r->at), flags, NULL);
}

static bool read_map_key(struct reader *r)
{
	uint32_t begin = r->at;

	if (peek(r) == '"')
		return read_string(r, 0);
	if (begins_name(peek(r))) {
		uint32_t len = 0;

		while (is_name_byte(peek_at(r, len)))
			len++;
		if (peek_at(r, len) != '.' && peek_at(r, len) != '[')
			return read_name(r, 0);
	}
	return read_expression(r, begin, "=:\n");
}

static bool read_map(struct reader *r)
{
	uint32_t begin = r->at++;

	if (!weft_build_open(&r->build, WEFT_DOC_MAP, file_at(r, begin), 0, NULL))
		return false;
	for (;;) {
		if (!skip_space(r, true))
			return false;
		if (at_end(r))
			return syntax(r, begin, "a map without an end");
		if (peek(r) == '}')
			break;
		if (!read_map_key(r) || !skip_space(r, false))
			return false;
		if (peek(r) != '=' && peek(r) != ':')
			return syntax(r, r->at, "`=` is missing here");
		r->at++;
		if (!skip_space(r, true) || !read_value(r, ",}") || !skip_space(r, false))
			return false;
		if (peek(r) == ',')
			r->at++;
		else if (peek(r) != '\n' && peek(r) != '}')
			return syntax(r, r->at, "the end of a line, `,` or `}` is missing here");
	}
	r->at++;
	return weft_build_close(&r->build, file_at(r, r->at));
}

static bool is_at_stop(const struct reader *r, const char *stops)
{
	return at_end(r) || peek(r) == '\n' || (peek(r) && strchr(stops, peek(r)));
}

/* A word or a string alone, up to where the expression ends: a value. */
static bool read_simple(struct reader *r, const char *stops)
{
	uint32_t begin = r->at, end;
	bool expr;

	if (peek(r) == '"') {
		if (!skip_string(r, &expr))
			return false;
	} else {
		while (is_name_byte(peek(r)) || peek(r) == '.')
			r->at++;
	}
	end = r->at;
	if (!skip_space(r, false))
		return false;
	if (end == begin || !is_at_stop(r, stops)) {
		r->at = begin;
		return read_expression(r, begin, stops);
	}
	r->at = begin;
	if (peek(r) == '"')
		return read_string(r, 0);
	r->at = end;
	/* What is neither number nor a word of the language is a reference. */
	expr = begins_name(r->text->bytes[begin]);
	for (size_t i = 0; expr && i < 3; i++) {
		static const char *const words[] = { "true", "false", "null" };

		expr = strlen(words[i]) != end - begin ||
		       memcmp(words[i], r->text->bytes + begin, end - begin) != 0;
	}
	return weft_build_scalar(&r->build, r->text->bytes + begin, end - begin, file_at(r, begin),
				 file_at(r, end), expr ? WEFT_DOC_EXPR : 0, NULL);
}

/* An expression, which ends where the line does or at a byte of `stops`. */
static bool read_value(struct reader *r, const char *stops)
{
	uint32_t begin = r->at;
	bool container = peek(r) == '[' || peek(r) == '{';

	if (begins_heredoc(r))
		return read_heredoc(r);
	if (container && is_comprehension(r))
		return read_expression(r, begin, stops);
	if (!container)
		return read_simple(r, stops);
	if (!(peek(r) == '[' ? read_list(r) : read_map(r)))
		return false;
	/* Something may be made of it: then it is still the best that is known of the value. */
	return skip_expression(r, stops);
}

/* Behind the type of a block: labels, each of them a map in a map, and the body in the innermost. */
static bool read_block(struct reader *r)
{
	uint32_t labels = 0, begin;

	for (;;) {
		if (!skip_space(r, false))
			return false;
		if (peek(r) == '{')
			break;
		if (peek(r) != '"' && !begins_name(peek(r)))
			return syntax(r, r->at, "`=` or `{` is missing here");
		if (!weft_build_open(&r->build, WEFT_DOC_MAP, file_at(r, r->at), WEFT_DOC_BLOCK,
				     NULL))
			return false;
		labels++;
		if (!(peek(r) == '"' ? read_string(r, WEFT_DOC_BLOCK)
				     : read_name(r, WEFT_DOC_BLOCK)))
			return false;
	}
	begin = r->at++;
	if (!weft_build_open(&r->build, WEFT_DOC_MAP, file_at(r, begin), WEFT_DOC_BLOCK, NULL) ||
	    !read_body(r, true))
		return false;
	if (at_end(r))
		return syntax(r, begin, "a block without an end");
	r->at++;
	for (uint32_t i = 0; i <= labels; i++)
		if (!weft_build_close(&r->build, file_at(r, r->at)))
			return false;
	return true;
}

/* Attributes and blocks, to the end of the file or to the `}` of the block. */
static bool read_body(struct reader *r, bool in_block)
{
	for (;;) {
		uint32_t begin, len = 0;

		if (!skip_space(r, true))
			return false;
		if (at_end(r) || (in_block && peek(r) == '}'))
			return true;
		begin = r->at;
		if (!begins_name(peek(r)))
			return syntax(r, begin, "a name is missing here");
		while (is_name_byte(peek_at(r, len)))
			len++;
		r->at += len;
		if (!skip_space(r, false))
			return false;
		if (!weft_build_scalar(&r->build, r->text->bytes + begin, len, file_at(r, begin),
				       file_at(r, begin + len), peek(r) == '=' ? 0 : WEFT_DOC_BLOCK,
				       NULL))
			return false;
		if (peek(r) == '=') {
			r->at++;
			if (!skip_space(r, false) || !read_value(r, in_block ? "}" : ""))
				return false;
		} else if (!read_block(r)) {
			return false;
		}
		if (!skip_space(r, false))
			return false;
		if (!at_end(r) && peek(r) != '\n' && !(in_block && peek(r) == '}'))
			return syntax(r, r->at, "the end of the line is missing here");
	}
}

bool weft_doc_read_hcl(const struct weft_text *text, const struct weft_doc_sink *sink)
{
	struct reader r = { .text = text };
	bool good;

	weft_build_init(&r.build, sink, false);
	if (text->len >= 3 && !memcmp(text->bytes, "\xef\xbb\xbf", 3))
		r.at = 3;
	good = weft_build_open(&r.build, WEFT_DOC_MAP, file_at(&r, r.at), 0, NULL) &&
	       read_body(&r, false) && weft_build_close(&r.build, file_at(&r, r.at));
	if (good)
		weft_build_finish(&r.build);
	weft_build_fini(&r.build);
	return good;
}
