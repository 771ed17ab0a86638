/* SPDX-License-Identifier: BSD-2-Clause */
#include "advice/lint/diff.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>

static const char text[] = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14";

static char *diff_of(struct weft_lint_edit *edit, uint32_t count)
{
	struct weft_lint_edits edits = { edit, count, count };
	char *out = NULL;
	size_t len;
	FILE *to = open_memstream(&out, &len);

	assert_non_null(to);
	weft_lint_diff(to, "f", text, sizeof(text) - 1, &edits);
	fclose(to);
	return out;
}

static void weft_lint_diff__hunks(void **state)
{
	static char a[] = "two", b[] = "", c[] = "xiv";
	struct weft_lint_edit one[] = { { 2, 3, a } };
	struct weft_lint_edit two[] = { { 2, 3, a }, { 8, 9, b } };
	struct weft_lint_edit far[] = { { 2, 3, a }, { 30, 32, c } };
	char *out = diff_of(one, 1);

	(void)state;
	assert_string_equal(out, "--- f\n+++ f\n@@ -1,5 +1,5 @@\n 1\n-2\n+two\n 3\n 4\n 5\n");
	free(out);
	out = diff_of(two, 2);
	assert_string_equal(
		out, "--- f\n+++ f\n@@ -1,8 +1,8 @@\n 1\n-2\n+two\n 3\n 4\n-5\n+\n 6\n 7\n 8\n");
	free(out);
	out = diff_of(far, 2);
	assert_string_equal(out,
			    "--- f\n+++ f\n@@ -1,5 +1,5 @@\n 1\n-2\n+two\n 3\n 4\n 5\n"
			    "@@ -11,4 +11,4 @@\n 11\n 12\n 13\n-14\n\\ No newline at end of file\n"
			    "+xiv\n\\ No newline at end of file\n");
	free(out);
	out = diff_of(NULL, 0);
	assert_string_equal(out, "");
	free(out);
}

static void weft_lint_apply__all(void **state)
{
	static char a[] = "two", b[] = "";
	struct weft_lint_edit edit[] = { { 2, 3, a }, { 4, 5, b }, { 6, 6, a } };
	struct weft_lint_edits edits = { edit, 3, 3 };
	uint32_t len;
	char *out = weft_lint_apply("1\n2\n3\n4", 7, &edits, &len);

	(void)state;
	assert_non_null(out);
	assert_string_equal(out, "1\ntwo\n\ntwo4");
	assert_int_equal(len, strlen(out));
	free(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_lint_diff__hunks),
		cmocka_unit_test(weft_lint_apply__all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
