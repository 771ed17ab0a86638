/* SPDX-License-Identifier: BSD-2-Clause */
#include "advice/lint/shell.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A script's commands, as "word word|word": a ~ before what is dynamic, <...> around here-documents. */
static const char *commands(const char *script)
{
	static char out[4096];
	struct weft_text text = weft_text_whole(script, (uint32_t)strlen(script));
	struct weft_shell *s = malloc(sizeof(*s));
	char *p = out;

	assert_non_null(s);
	*p = '\0';
	weft_shell_init(s, &text);
	while (weft_shell_next(s)) {
		p += sprintf(p, "%s", p == out ? "" : "|");
		for (uint32_t i = 0; i < s->words; i++)
			p += sprintf(p, "%s%s%s", i ? " " : "", s->word[i].dynamic ? "~" : "",
				     s->word[i].text);
		for (uint32_t i = 0; i < s->heres; i++)
			p += sprintf(p, "<%.*s>", (int)s->here[i].len, script + s->here[i].at);
	}
	weft_shell_fini(s);
	free(s);
	return out;
}

static void weft_shell_next__rows(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "a b  c\nd", "a b c|d" },
		{ "a; b && c || d | e & f", "a|b|c|d|e|f" },
		{ "a \\\n  b\\\nc \\\r\n d", "a bc d" },
		{ "a # b\n# c\nd#e", "a|d#e" },
		{ "#SBATCH -N 2\nx", "#SBATCH -N 2|x" },
		{ "a 'b c'd \"e f\"g", "a b cd e fg" },
		{ "a \"$b\" ${c:-d e} $(f \"g )\" h) `i j`",
		  "a ~$b ~${c:-d e} ~$(f \"g )\" h) ~`i j`" },
		{ "a '$b' \\$c \"\\$d\"", "a $b $c $d" },
		{ "if a; then b; else c; fi", "a|b|c" },
		{ "for i in x; do a $i; done", "i in x|a ~$i" },
		{ "f() { a; }", "f|a" },
		{ "$ a b\n$ c", "a b|c" },
		{ "a >b 2>&1 <c &>d e", "a e" },
		{ "cat > f << EOF\nx $y\nz\nEOF\nb", "cat<x $y\nz\n>|b" },
		{ "cat <<-'END' | b\n\tx\n\tEND\nc", "cat|b<\tx\n>|c" },
		{ "a=(b c)", "a=|b c" },
		{ "a 'b", "a b" },
		{ "a \"b $(c", "a ~b $(c" },
		{ "", "" },
		{ "\\", "\\" },
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++)
		if (strcmp(commands(rows[i].in), rows[i].out) != 0)
			fail_msg("%zu: %s\ngave: %s\nnot:  %s", i, rows[i].in, commands(rows[i].in),
				 rows[i].out);
}

/* Where a word stands, quotes included, and where each byte of it does. */
static void weft_shell_word_text__places(void **state)
{
	const char *script = "a 'b\"'$X'\"c'";
	struct weft_text text = weft_text_whole(script, (uint32_t)strlen(script)), word;
	struct weft_shell *s = malloc(sizeof(*s));

	(void)state;
	assert_non_null(s);
	weft_shell_init(s, &text);
	assert_true(weft_shell_next(s));
	assert_int_equal(s->words, 2);
	assert_string_equal(s->word[1].text, "b\"$X\"c");
	assert_int_equal(s->word[1].at, 2);
	assert_int_equal(s->word[1].end, strlen(script));
	word = weft_shell_word_text(s, 1);
	for (uint32_t i = 0; i < word.len; i++)
		assert_int_equal(script[weft_text_file_at(&word, i)], word.bytes[i]);
	weft_shell_fini(s);
	free(s);
}

static void weft_shell_assigned__names(void **state)
{
	(void)state;
	assert_int_equal(weft_shell_assigned("A_1=b"), 3);
	assert_int_equal(weft_shell_assigned("A="), 1);
	assert_int_equal(weft_shell_assigned("1A=b"), 0);
	assert_int_equal(weft_shell_assigned("--a=b"), 0);
	assert_int_equal(weft_shell_assigned("=b"), 0);
	assert_int_equal(weft_shell_assigned(""), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_shell_next__rows),
		cmocka_unit_test(weft_shell_word_text__places),
		cmocka_unit_test(weft_shell_assigned__names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
