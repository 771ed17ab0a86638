/* SPDX-License-Identifier: BSD-2-Clause */
#include "advice/jsonfile.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>

static void weft_jsonfile_parse__refused(void **state)
{
	static const char *const rows[] = {
		"", "{", "[1,]", "{\"a\":1,\"a\":2}", "\xff", "{} x", "\"\\ud800\"", "nul",
	};
	char why[200];

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		why[0] = '\0';
		assert_null(weft_jsonfile_parse(rows[i], strlen(rows[i]), why, sizeof(why)));
		assert_non_null(strstr(why, "line "));
	}
}

/* Nesting that a recursive reader would not survive. */
static void weft_jsonfile_parse__deep(void **state)
{
	char why[200], *deep = malloc(1 << 20);

	(void)state;
	assert_non_null(deep);
	memset(deep, '[', 1 << 20);
	assert_null(weft_jsonfile_parse(deep, 1 << 20, why, sizeof(why)));
	free(deep);
}

/* Little text that becomes many values. */
static void weft_jsonfile_parse_within__memory(void **state)
{
	size_t len = 300000;
	char why[200], *many = malloc(len + 1);
	json_t *root;

	(void)state;
	assert_non_null(many);
	many[0] = '[';
	for (size_t i = 1; i + 3 <= len; i += 3)
		memcpy(many + i, "[],", 4);
	many[len - 3] = ']';
	assert_null(weft_jsonfile_parse_within(1 << 20, many, len - 2, why, sizeof(why)));
	root = weft_jsonfile_parse(many, len - 2, why, sizeof(why));
	assert_true(json_array_size(root) > 90000);
	json_decref(root);
	free(many);
}

static void weft_json_at__wrong_types(void **state)
{
	const char *text = "{\"a\": {\"b\": [\"c\"], \"s\": \"t\"}, \"n\": null}";
	char why[200];
	json_t *root = weft_jsonfile_parse(text, strlen(text), why, sizeof(why));

	(void)state;
	assert_non_null(root);
	assert_true(json_is_array(weft_json_at(root, "a/b")));
	assert_null(weft_json_at(root, "a/b/c"));
	assert_null(weft_json_at(root, "n/b"));
	assert_null(weft_json_at(NULL, "n"));
	assert_string_equal(weft_json_text(weft_json_at(root, "a"), "s"), "t");
	assert_string_equal(weft_json_text(root, "a"), "");
	json_decref(root);
}

static void weft_jsonfile_load__no_file(void **state)
{
	char why[200];

	(void)state;
	assert_null(weft_jsonfile_load("/nonexistent/x.json", why, sizeof(why)));
	assert_string_equal(why, "No such file or directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_jsonfile_parse__refused),
		cmocka_unit_test(weft_jsonfile_parse__deep),
		cmocka_unit_test(weft_jsonfile_parse_within__memory),
		cmocka_unit_test(weft_json_at__wrong_types),
		cmocka_unit_test(weft_jsonfile_load__no_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
