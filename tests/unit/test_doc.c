/* SPDX-License-Identifier: BSD-2-Clause */
#include "advice/doc/doc.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef bool (*reader_fn)(const struct weft_text *text, const struct weft_doc_sink *sink);

/* What came out, as text: trees as "{a:1,b:[x,y]}", with ~ before what is an expression and " around what is quoted;
 * problems as "line:column kind why". */
static char out[1 << 16];
static struct weft_lines lines;
static char (*marks)[32]; /* Of the scalars, if somebody wants them. */
static uint32_t marks_count;

static void put(const char *s)
{
	assert_true(strlen(out) + strlen(s) < sizeof(out));
	strcat(out, s);
}

static void put_node(const struct weft_doc_node *n)
{
	if (n->kind == WEFT_DOC_SCALAR) {
		if (n->flags & WEFT_DOC_EXPR)
			put("~");
		put(n->flags & WEFT_DOC_QUOTED ? "\"" : "");
		put(n->text);
		put(n->flags & WEFT_DOC_QUOTED ? "\"" : "");
		return;
	}
	put(n->kind == WEFT_DOC_MAP ? "{" : "[");
	for (const struct weft_doc_node *m = n->child; m; m = m->next) {
		if (m->key) {
			put(m->key->text);
			put(m->flags & WEFT_DOC_MERGED ? "<:" : ":");
		}
		put_node(m);
		put(m->next ? "," : "");
	}
	put(n->kind == WEFT_DOC_MAP ? "}" : "]");
}

static void put_mark(const struct weft_doc_node *n)
{
	uint32_t line, column;

	for (const struct weft_doc_node *m = n->child; m; m = m->next)
		put_mark(m);
	if (n->kind != WEFT_DOC_SCALAR)
		return;
	weft_lines_find(&lines, n->at, &line, &column);
	snprintf(marks[marks_count++], sizeof(marks[0]), "%u:%u+%u", line, column, n->end - n->at);
}

static void on_document(void *ctx, const struct weft_doc_node *root)
{
	(void)ctx;
	put_node(root);
	put("\n");
	if (marks)
		put_mark(root);
}

static void on_problem(void *ctx, enum weft_doc_problem what, uint32_t at, const char *why)
{
	static const char *const names[] = { "syntax", "duplicate", "limit" };
	char text[400];
	uint32_t line, column;

	(void)ctx;
	weft_lines_find(&lines, at, &line, &column);
	snprintf(text, sizeof(text), "%u:%u %s %s\n", line, column, names[what], why);
	put(text);
}

static const char *read_len(reader_fn read, const char *bytes, size_t len)
{
	struct weft_doc_sink sink = { NULL, on_document, on_problem };
	struct weft_text text = weft_text_whole(bytes, (uint32_t)len);

	out[0] = '\0';
	assert_int_equal(weft_lines_init(&lines, bytes, (uint32_t)len), 0);
	(void)read(&text, &sink);
	weft_lines_fini(&lines);
	return out;
}

static const char *read_text(reader_fn read, const char *text)
{
	return read_len(read, text, strlen(text));
}

struct row {
	const char *in, *out;
};

static void check_rows(reader_fn read, const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *got = read_text(read, rows[i].in);

		if (strcmp(got, rows[i].out) != 0)
			fail_msg("%zu: %s\ngave: %s\nnot:  %s", i, rows[i].in, got, rows[i].out);
	}
}

static void weft_doc_read_yaml__rows(void **state)
{
	static const struct row rows[] = {
		{ "a: 1\nb: [x, 'y']\n", "{a:1,b:[x,\"y\"]}\n" },
		{ "", "" },
		{ "a: 1\n---\nb: 2\n...\n", "{a:1}\n{b:2}\n" },
		{ "\xef\xbb\xbf"
		  "a: 1\r\nb: 2\r\n",
		  "{a:1,b:2}\n" },
		{ "a: !Ref x\nb: !!str 5\n", "{a:~x,b:\"5\"}\n" },
		{ "a: |\n  one\n  two\n", "{a:\"one\ntwo\n\"}\n" },
		/* Aliases share, merge keys yield to the map's own, and to earlier ones. */
		{ "a: &x {k: 1}\nb: *x\n", "{a:{k:1},b:{k:1}}\n" },
		{ "a: &x {k: 1, l: 2}\nb:\n  <<: *x\n  l: 3\n", "{a:{k:1,l:2},b:{l:3,k<:1}}\n" },
		{ "a: &x {k: 1}\nb: &y {k: 2, m: 3}\nc: {<<: [*x, *y]}\n",
		  "{a:{k:1},b:{k:2,m:3},c:{k<:1,m<:3}}\n" },
		{ "a: {'<<': 1}\n", "{a:{<<:1}}\n" },
		{ "<<: 3\n", "1:5 syntax only maps can be merged with <<\n" },
		{ "a: *x\n", "1:4 syntax no anchor &x before this alias\n" },
		{ "a: &x [*x]\n", "1:8 limit the alias *x stands inside of its own anchor\n" },
		/* The last one counts. */
		{ "a: 1\nb: 2\na: 3\n", "3:1 duplicate a\n{a:1,b:2,a:3}\n" },
		{ "a:\n\tb: 1\n", "2:1 syntax not YAML: a tab, where only spaces may indent\n" },
		{ "a: 1\n{{- if .x }}\nb: 2\n{{- end }}\n",
		  "3:1 syntax not YAML but a template: lint what comes out of it\n" },
		{ "a: [1\n", "2:1 syntax not YAML: did not find expected ',' or ']' while parsing "
			     "a flow sequence\n" },
		{ "\xff\xfe"
		  "a",
		  "1:1 syntax not YAML as anybody reads it: UTF-16; save it as UTF-8\n" },
		{ "a: \xff\n", "1:4 syntax not YAML: invalid leading UTF-8 octet\n" },
	};

	(void)state;
	check_rows(weft_doc_read_yaml, rows, WEFT_ARRAY_SIZE(rows));
}

static void weft_doc_read_json__rows(void **state)
{
	static const struct row rows[] = {
		{ "{\"a\": [1, 2.5e3, true, null, \"x\"], \"b\": {}, \"c\": []}",
		  "{a:[1,2.5e3,true,null,\"x\"],b:{},c:[]}\n" },
		{ "\"\\u00e4\\ud83d\\ude00\\n\"", "\"\xc3\xa4\xf0\x9f\x98\x80\n\"\n" },
		{ "{} []", "{}\n[]\n" },
		{ "", "1:1 syntax not JSON: it is empty\n" },
		{ "{\"a\": 1,}", "1:9 syntax not JSON: a comma before the end\n" },
		{ "[1 2]", "1:4 syntax not JSON: `,` or `]` is missing here\n" },
		{ "{a: 1}", "1:2 syntax not JSON: a key in double quotes is missing here\n" },
		{ "['a']", "1:2 syntax not JSON: a value is missing here\n" },
		{ "[\"a\n\"]", "1:4 syntax not JSON: a control character in a string (a line that "
			       "does not end?)\n" },
		{ "[01]", "1:2 syntax not JSON: strings want double quotes\n" },
		{ "\"\\ud800\"", "1:8 syntax not JSON: half a pair of surrogates\n" },
		{ "// no", "1:1 syntax not JSON: it has no comments\n" },
		{ "{\"a\": 1, \"a\": 2}", "1:10 duplicate a\n{a:1,a:2}\n" },
		{ "\"\xc0\x80\"", "1:2 syntax not JSON: not UTF-8\n" },
	};

	(void)state;
	check_rows(weft_doc_read_json, rows, WEFT_ARRAY_SIZE(rows));
}

static void weft_doc_read_hcl__rows(void **state)
{
	static const struct row rows[] = {
		{ "a = 1\nb = \"x\" # c\n", "{a:1,b:\"x\"}\n" },
		{ "r \"t\" \"n\" {\n  a = true\n}\n", "{r:{t:{n:{a:true}}}}\n" },
		{ "s {\n i { x = 1 }\n i { x = 2 }\n}\n", "{s:{i:{x:1},i:{x:2}}}\n" },
		{ "a = [\"x\", var.y, f(1, \"]\")]\n", "{a:[\"x\",~var.y,~f(1, \"]\")]}\n" },
		{ "a = { b = 1, \"c/d\" : 2\n e = {} }\n", "{a:{b:1,c/d:2,e:{}}}\n" },
		{ "a = \"x-${var.m[\"k\"]}\"\n", "{a:~\"x-${var.m[\"k\"]}\"}\n" },
		{ "a = \"$${x}\\n\"\n", "{a:\"$${x}\n\"}\n" },
		{ "a = <<-EOT\n  hi\n  EOT\nb = 2\n", "{a:\"  hi\n\",b:2}\n" },
		{ "a = f(<<-EOT\n  it's \"(\n  EOT\n)\nb = 2\n",
		  "{a:~f(<<-EOT\n  it's \"(\n  EOT\n),b:2}\n" },
		{ "a = f(<<EOT\n x\n", "1:7 syntax not HCL: a heredoc without an end\n" },
		{ "a = [for x in y : x]\n", "{a:~[for x in y : x]}\n" },
		{ "a = c ? \"x\" : \"y\"\n", "{a:~c ? \"x\" : \"y\"}\n" },
		{ "/* c */ a = -1 // d\n", "{a:-1}\n" },
		{ "a = 1\na = 2\n", "2:1 duplicate a\n{a:1,a:2}\n" },
		{ "a =\n", "1:4 syntax not HCL: a value is missing here\n" },
		{ "a = \"x\n", "1:5 syntax not HCL: a string without an end\n" },
		{ "a {\n", "1:3 syntax not HCL: a block without an end\n" },
		{ "a = 1 2\n}\n", "2:1 syntax not HCL: a name is missing here\n" },
		{ "= 1\n", "1:1 syntax not HCL: a name is missing here\n" },
		{ "a = f(1\nb = 2\n", "1:5 syntax not HCL: a bracket without an end\n" },
		{ "a = <<EOT\n x\n", "1:5 syntax not HCL: a heredoc without an end\n" },
	};

	(void)state;
	check_rows(weft_doc_read_hcl, rows, WEFT_ARRAY_SIZE(rows));
}

/* Lines and columns are those of an editor: characters, not bytes, and CRLF is one end of a line. */
static void marks__of_scalars(void **state)
{
	static char place[8][32];

	(void)state;
	marks = place;
	marks_count = 0;
	read_text(weft_doc_read_yaml,
		  "\xef\xbb\xbf\xc3\xa4: \xc3\xb6\r\nb:\r\n - 'x y'\r\n - |\r\n   z\r\n");
	assert_int_equal(marks_count, 3);
	assert_string_equal(place[0], "1:4+2");
	assert_string_equal(place[1], "3:4+5");
	assert_string_equal(place[2], "4:4+9");
	marks_count = 0;
	read_text(weft_doc_read_json, "{\"\xc3\xa4\":\n [\"y\", 12]}");
	assert_string_equal(place[0], "2:3+3");
	assert_string_equal(place[1], "2:8+2");
	marks_count = 0;
	read_text(weft_doc_read_hcl, "a = \"\xc3\xa4\"\nb = [\n  x.y\n]\n");
	assert_string_equal(place[0], "1:5+4");
	assert_string_equal(place[1], "3:3+3");
	marks = NULL;
}

static char *repeated(const char *before, const char *what, size_t count, const char *after)
{
	size_t len = strlen(what);
	char *text = malloc(strlen(before) + len * count + strlen(after) + 1), *p = text;

	assert_non_null(text);
	p = stpcpy(p, before);
	for (size_t i = 0; i < count; i++)
		p = stpcpy(p, what);
	strcpy(p, after);
	return text;
}

/* Depth is refused before anything gets slow or falls off the stack. */
static void limits__depth(void **state)
{
	static const struct {
		reader_fn read;
		const char *before, *what, *where;
	} rows[] = {
		{ weft_doc_read_yaml, "", "[", "1:101 limit nested" },
		{ weft_doc_read_yaml, "", "{a: ", "1:401 limit nested" },
		{ weft_doc_read_yaml, "", "- ", "1:201 limit nested" },
		{ weft_doc_read_json, "", "[", "1:101 limit nested" },
		{ weft_doc_read_hcl, "a = ", "[", "1:104 limit nested" },
		{ weft_doc_read_hcl, "", "a {\n", "100:3 limit nested" },
		{ weft_doc_read_hcl, "a = \"", "${\"", "1:308 limit nested" },
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		char *text = repeated(rows[i].before, rows[i].what, 100000, "");

		if (!strstr(read_text(rows[i].read, text), rows[i].where))
			fail_msg("%zu: %.200s", i, out);
		free(text);
	}
}

/* Nine to the power of eight nodes in 400 bytes. */
static void limits__aliases(void **state)
{
	char text[2000] = "a: &a [x,x,x,x,x,x,x,x,x]\n";

	(void)state;
	for (char c = 'b'; c < 'j'; c++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 "%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c, c - 1, c - 1,
			 c - 1, c - 1, c - 1, c - 1, c - 1, c - 1, c - 1);
	assert_non_null(
		strstr(read_text(weft_doc_read_yaml, text), "7:26 limit aliases stand for"));
}

/* Sorting 2001 members 2001 times. */
static void limits__merges(void **state)
{
	char *aliases = repeated("a: &a {}\nb:\n  <<: [", "*a,", 2000, "*a]\n");
	char *members = repeated("", "  x: 1\n", 2001, "");
	char *text = malloc(strlen(aliases) + strlen(members) + 1);

	(void)state;
	assert_non_null(text);
	sprintf(text, "%s%s", aliases, members);
	assert_non_null(strstr(read_text(weft_doc_read_yaml, text), "limit too many maps are"));
	free(text);
	free(members);
	free(aliases);
}

static void limits__nodes(void **state)
{
	char *text = repeated("[", "1,", WEFT_DOC_NODES_MAX, "1]");

	(void)state;
	assert_non_null(strstr(read_text(weft_doc_read_json, text), "limit more than 4000000"));
	free(text);
}

static void weft_lines_find__long_lines(void **state)
{
	char *text = repeated("\n", "\xc3\xa4", 10000, "\nx");
	uint32_t line, column;

	(void)state;
	assert_int_equal(weft_lines_init(&lines, text, (uint32_t)strlen(text)), 0);
	weft_lines_find(&lines, 1 + 2 * 9999, &line, &column);
	assert_int_equal(line, 2);
	assert_int_equal(column, 10000);
	weft_lines_find(&lines, 20002, &line, &column);
	assert_int_equal(line, 3);
	assert_int_equal(column, 1);
	assert_int_equal(weft_lines_begin(&lines, 9000), 1);
	assert_int_equal(weft_lines_end(&lines, 9000), 20001);
	weft_lines_fini(&lines);
	free(text);
}

/* A piece without its quotes and backslashes still knows where each byte stands. */
static void weft_text_builder__runs(void **state)
{
	struct weft_text whole = weft_text_whole("a'b''c'", 7);
	struct weft_text_builder b;
	struct weft_text piece;

	(void)state;
	weft_text_builder_init(&b);
	weft_text_builder_copy(&b, &whole, 0, 1);
	weft_text_builder_copy(&b, &whole, 2, 1);
	weft_text_builder_put(&b, 'c', 5);
	piece = weft_text_builder_text(&b);
	assert_int_equal(piece.len, 3);
	assert_memory_equal(piece.bytes, "abc", 3);
	assert_int_equal(weft_text_file_at(&piece, 0), 0);
	assert_int_equal(weft_text_file_at(&piece, 1), 2);
	assert_int_equal(weft_text_file_at(&piece, 2), 5);
	assert_int_equal(weft_text_file_at(&piece, 3), 6);
	weft_text_builder_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_doc_read_yaml__rows),
		cmocka_unit_test(weft_doc_read_json__rows),
		cmocka_unit_test(weft_doc_read_hcl__rows),
		cmocka_unit_test(marks__of_scalars),
		cmocka_unit_test(limits__depth),
		cmocka_unit_test(limits__aliases),
		cmocka_unit_test(limits__merges),
		cmocka_unit_test(limits__nodes),
		cmocka_unit_test(weft_lines_find__long_lines),
		cmocka_unit_test(weft_text_builder__runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
