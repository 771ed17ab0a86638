/* SPDX-License-Identifier: BSD-2-Clause */
/* The reader of JSON: strict, as the programs are that read these files, and with a place for every complaint.
 * Several documents may follow one another, as kubectl takes them. */
#include "advice/doc/build.h"

#include <stdlib.h>
#include <string.h>

struct reader {
	const struct weft_text *text;
	struct weft_build build;
	uint32_t at;
	char *scratch; /* borrows. Place for a string without its escapes, never longer than the text. */
};

static char peek(const struct reader *r)
{
	return r->at < r->text->len ? r->text->bytes[r->at] : '\0';
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
	return weft_build_problem(&r->build, WEFT_DOC_SYNTAX, file_at(r, at), "not JSON: %s", why);
}

static bool skip_space(struct reader *r)
{
	while (!at_end(r) && strchr(" \t\r\n", peek(r)) && peek(r))
		r->at++;
	if (peek(r) == '/' || peek(r) == '#')
		return syntax(r, r->at, "it has no comments");
	return true;
}

/* Bytes of the UTF-8 sequence at s, of which `left` are there; 0: it is none. */
static uint32_t utf8_len(const unsigned char *s, uint32_t left)
{
	uint32_t len = s[0] < 0x80                   ? 1
		       : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
		       : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
						     : 4;

	if (s[0] >= 0x80 && (s[0] < 0xc2 || s[0] > 0xf4))
		return 0;
	if (len > left)
		return 0;
	for (uint32_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return len;
}

static uint32_t put_utf8(char *to, uint32_t c)
{
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (char)(0xc0 | c >> 6);
		to[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		to[0] = (char)(0xe0 | c >> 12);
		to[1] = (char)(0x80 | (c >> 6 & 0x3f));
		to[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	to[0] = (char)(0xf0 | c >> 18);
	to[1] = (char)(0x80 | (c >> 12 & 0x3f));
	to[2] = (char)(0x80 | (c >> 6 & 0x3f));
	to[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/* Four digits after "\u", which r stands behind. */
static bool read_hex(struct reader *r, uint32_t *value_out)
{
	uint32_t value = 0;

	for (int i = 0; i < 4; i++, r->at++) {
		char c = peek(r);

		if (c >= '0' && c <= '9')
			value = value * 16 + (uint32_t)(c - '0');
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			value = value * 16 + (uint32_t)((c | 32) - 'a') + 10;
		else
			return syntax(r, r->at, "\\u wants four hexadecimal digits");
	}
	*value_out = value;
	return true;
}

static bool read_unicode(struct reader *r, uint32_t *len)
{
	uint32_t c, low;

	if (!read_hex(r, &c))
		return false;
	if (c >= 0xd800 && c < 0xdc00 && peek(r) == '\\' && r->at + 1 < r->text->len &&
	    r->text->bytes[r->at + 1] == 'u') {
		r->at += 2;
		if (!read_hex(r, &low))
			return false;
		if (low < 0xdc00 || low > 0xdfff)
			return syntax(r, r->at, "half a pair of surrogates");
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	} else if (c >= 0xd800 && c < 0xe000) {
		return syntax(r, r->at, "half a pair of surrogates");
	}
	*len += put_utf8(r->scratch + *len, c);
	return true;
}

static bool read_escape(struct reader *r, uint32_t *len)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *which;

	r->at++;
	if (peek(r) == 'u') {
		r->at++;
		return read_unicode(r, len);
	}
	which = peek(r) ? strchr(from, peek(r)) : NULL;
	if (!which)
		return syntax(r, r->at, "no such escape in a string");
	r->scratch[(*len)++] = to[which - from];
	r->at++;
	return true;
}

static bool read_string(struct reader *r)
{
	uint32_t begin = r->at, len = 0, n;

	r->at++;
	while (!at_end(r) && peek(r) != '"') {
		if (peek(r) == '\\') {
			if (!read_escape(r, &len))
				return false;
			continue;
		}
		if ((unsigned char)peek(r) < 0x20)
			return syntax(
				r, r->at,
				"a control character in a string (a line that does not end?)");
		n = utf8_len((const unsigned char *)r->text->bytes + r->at, r->text->len - r->at);
		if (!n)
			return syntax(r, r->at, "not UTF-8");
		memcpy(r->scratch + len, r->text->bytes + r->at, n);
		len += n;
		r->at += n;
	}
	if (at_end(r))
		return syntax(r, begin, "a string without an end");
	r->at++;
	return weft_build_scalar(&r->build, r->scratch, len, file_at(r, begin), file_at(r, r->at),
				 WEFT_DOC_QUOTED, NULL);
}

static bool skip_digits(struct reader *r)
{
	uint32_t from = r->at;

	while (peek(r) >= '0' && peek(r) <= '9')
		r->at++;
	return r->at > from;
}

static bool is_number(struct reader *r)
{
	bool zero;

	if (peek(r) == '-')
		r->at++;
	zero = peek(r) == '0';
	if (zero)
		r->at++;
	else if (!skip_digits(r))
		return false;
	if (peek(r) == '.') {
		r->at++;
		if (!skip_digits(r))
			return false;
	}
	if (peek(r) == 'e' || peek(r) == 'E') {
		r->at++;
		if (peek(r) == '+' || peek(r) == '-')
			r->at++;
		return skip_digits(r);
	}
	return true;
}

static bool is_word_byte(char c)
{
	return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_' ||
	       c == '.' || c == '+' || c == '-';
}

/* A number, true, false or null. */
static bool read_word(struct reader *r)
{
	const char *s = r->text->bytes + r->at;
	uint32_t begin = r->at, len;
	bool good;

	while (!at_end(r) && is_word_byte(peek(r)))
		r->at++;
	len = r->at - begin;
	good = (len == 4 && (!memcmp(s, "true", 4) || !memcmp(s, "null", 4))) ||
	       (len == 5 && !memcmp(s, "false", 5));
	if (!good) {
		uint32_t end = r->at;

		r->at = begin;
		good = len && is_number(r) && r->at == end;
		r->at = end;
	}
	if (!good)
		return syntax(r, begin,
			      len ? "strings want double quotes" : "a value is missing here");
	return weft_build_scalar(&r->build, s, len, file_at(r, begin), file_at(r, r->at), 0, NULL);
}

static bool open_container(struct reader *r)
{
	enum weft_doc_kind kind = peek(r) == '{' ? WEFT_DOC_MAP : WEFT_DOC_LIST;

	if (!weft_build_open(&r->build, kind, file_at(r, r->at), 0, NULL))
		return false;
	r->at++;
	return true;
}

/* The loop's state is the builder's: what is open, and whether a key is due. */
static bool read_member(struct reader *r, char closes, bool first)
{
	if (!first) {
		if (peek(r) != ',')
			return syntax(r, r->at,
				      at_end(r)       ? "it ends too early"
				      : closes == '}' ? "`,` or `}` is missing here"
						      : "`,` or `]` is missing here");
		r->at++;
		if (!skip_space(r))
			return false;
		if (peek(r) == closes)
			return syntax(r, r->at, "a comma before the end");
	}
	if (closes == ']')
		return true;
	if (peek(r) != '"')
		return syntax(r, r->at, "a key in double quotes is missing here");
	if (!read_string(r) || !skip_space(r))
		return false;
	if (peek(r) != ':')
		return syntax(r, r->at, "`:` is missing here");
	r->at++;
	return skip_space(r);
}

static bool read_document(struct reader *r)
{
	char closes[WEFT_DOC_DEPTH_MAX];
	uint32_t depth = 0;
	bool first = true;

	do {
		/* A value is due. */
		if (peek(r) == '{' || peek(r) == '[') {
			char c = peek(r) == '{' ? '}' : ']';

			if (!open_container(r))
				return false;
			closes[depth++] = c;
			first = true;
		} else if (!(peek(r) == '"' ? read_string(r) : read_word(r))) {
			return false;
		}
		/* What follows it: ends, and then the next member. */
		for (;;) {
			if (!skip_space(r))
				return false;
			if (!depth || peek(r) != closes[depth - 1])
				break;
			r->at++;
			depth--;
			first = false;
			if (!weft_build_close(&r->build, file_at(r, r->at)))
				return false;
		}
		if (depth && !read_member(r, closes[depth - 1], first))
			return false;
		first = false;
	} while (depth);
	weft_build_finish(&r->build);
	return true;
}

bool weft_doc_read_json(const struct weft_text *text, const struct weft_doc_sink *sink)
{
	char *scratch = malloc(text->len + 8u);
	struct reader r = { .text = text, .scratch = scratch };
	bool going;

	weft_build_init(&r.build, sink, false);
	if (!scratch)
		return weft_build_problem(&r.build, WEFT_DOC_LIMIT, 0, "out of memory");
	if (text->len >= 3 && !memcmp(text->bytes, "\xef\xbb\xbf", 3))
		r.at = 3;
	going = skip_space(&r);
	if (going && at_end(&r))
		going = syntax(&r, r.at, "it is empty");
	while (going && !at_end(&r)) {
		uint32_t begin = r.at;

		/* Words need a space between them to be two documents. */
		going = read_document(&r) && r.at > begin && skip_space(&r);
	}
	weft_build_fini(&r.build);
	free(scratch);
	return going;
}
