/* SPDX-License-Identifier: BSD-2-Clause */
#include "advice/jsonlist.h"

#include "advice/jsonfile.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct got {
	char names[256];
	uint32_t count, most; /* most: refuse what is beyond. */
};

static bool take(void *arg, const json_t *object)
{
	struct got *g = arg;
	size_t len = strlen(g->names);

	if (g->count == g->most)
		return false;
	g->count++;
	snprintf(g->names + len, sizeof(g->names) - len, "%s ", weft_json_text(object, "n"));
	return true;
}

/* In pieces of that size. */
static bool read_in(const char *text, size_t piece, struct got *g, char *why, size_t len)
{
	struct weft_jsonlist *l = weft_jsonlist_create(take, g);
	size_t count = strlen(text);
	bool ok = true;

	*g = (struct got){ .most = UINT32_MAX };
	for (size_t at = 0; at < count && ok; at += piece)
		ok = weft_jsonlist_feed(l, text + at, WEFT_MIN(piece, count - at));
	ok = ok && weft_jsonlist_end(l);
	snprintf(why, len, "%s", weft_jsonlist_why(l));
	weft_jsonlist_destroy(l);
	return ok;
}

static void weft_jsonlist_feed__objects(void **state)
{
	static const struct {
		const char *text, *names;
	} rows[] = {
		{ "", "" },
		{ " \n", "" },
		{ "{\"n\": \"a\"}", "a " },
		{ "{\"n\": \"a\"} {\"n\": \"b\"}\n", "a b " },
		{ "[{\"n\": \"a\"}, {\"n\": \"b\"}]", "a b " },
		{ "[]", "" },
		{ "{\"items\": [{\"n\": \"a\"}, {\"n\": \"b\"}], \"kind\": \"List\"}", "a b " },
		{ "{\"kind\": \"PodList\", \"metadata\": {}, \"items\": [{\"n\": \"a\"}]}", "a " },
		{ "{\"items\": [], \"kind\": \"List\"}{\"n\": \"b\"}", "b " },
		{ "{\"kind\": \"List\", \"items\": [{\"kind\": \"PodList\", \"items\": [{\"n\": "
		  "\"a\"}]}, {\"n\": \"b\"}]}",
		  "a b " },
		{ "{\"kind\": \"List\", \"it\\u0065ms\": [{\"n\": \"a\"}]}", "a " },
		{ "{\"it\\u0065ms\": [{\"n\": \"a\"}]}", "a " },
		/* What looks like items and is not. */
		{ "{\"x\": \"items\", \"y\": [1], \"n\": \"a\"}", "a " },
		{ "{\"items\": {\"a\": [1]}, \"n\": \"a\"}", "a " },
		{ "{\"x\": {\"items\": [1, 2]}, \"n\": \"a\"}", "a " },
		{ "{\"kind\": \"ConfigMap\", \"items\": [{\"n\": \"in\"}], \"n\": \"a\"}",
		  "in a " },
		{ "{\"n\": \"a\\\"}]{[\\\\\", \"m\": \"{{\"}", "a\"}]{[\\ " },
		{ "[{\"n\": \"\\\\\"},{\"n\": \"b\"}]", "\\ b " },
	};
	char why[300];
	struct got g;

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++)
		for (size_t piece = 1; piece < 40; piece += 6)
			if (!read_in(rows[i].text, piece, &g, why, sizeof(why)) ||
			    strcmp(g.names, rows[i].names) != 0)
				fail_msg("%s: \"%s\" %s", rows[i].text, g.names, why);
}

static void weft_jsonlist_feed__refused(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{ "x", "line 1: this is neither" },
		{ "\n\n\"a\"", "line 3: this is neither" },
		{ "{", "ends in the middle" },
		{ "{\"n\": \"a", "ends in the middle" },
		{ "[{}", "ends in the middle" },
		{ "[{},]", "an object should stand here" },
		{ "[,{}]", "an object should stand here" },
		{ "[{} {}]", "an object should stand here" },
		{ "[1]", "an object should stand here" },
		{ "{\"items\": [null]}", "an object should stand here" },
		{ "{\"kind\": \"List\", \"items\": [{}}", "an object should stand here" },
		{ "{]", "object 1 (lines 1 to 1): " },
		{ "[\n{\"a\": 1},\n{\"a\": 1, \"a\": 2}]", "object 2 (lines 3 to 3): duplicate" },
		{ "{\"items\": [{}], \"items\": [{}]}", "object 3" },
		{ "{} }", "neither" },
		{ "[{\"n\": 1 2}]", "object 1" },
		{ "{\"n\": nu\n ll}", "object 1 (lines 1 to 2)" },
	};
	char why[300];
	struct got g;

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++)
		for (size_t piece = 1; piece < 40; piece += 6)
			if (read_in(rows[i].text, piece, &g, why, sizeof(why)) ||
			    !strstr(why, rows[i].why))
				fail_msg("%s: %s", rows[i].text, why);
}

/* An object without end, nesting without end, and a taker that has enough. */
static void weft_jsonlist_feed__bounded(void **state)
{
	struct got g = { .most = 2 };
	struct weft_jsonlist *l = weft_jsonlist_create(take, &g);
	char block[4096];
	uint32_t blocks = 0;

	(void)state;
	assert_true(weft_jsonlist_feed(l, "{}{}", 4));
	assert_false(weft_jsonlist_feed(l, "{}{}", 4));
	assert_int_equal(g.count, 2);
	weft_jsonlist_destroy(l);
	memset(block, 'x', sizeof(block));
	for (const char *begin = "\"[{"; *begin; begin++) {
		const char open[] = { '{', *begin, '\0' };

		g = (struct got){ .most = 9 };
		l = weft_jsonlist_create(take, &g);
		memset(block, *begin == '"' ? 'x' : *begin, sizeof(block));
		assert_true(weft_jsonlist_feed(l, open, 2));
		for (blocks = 0; blocks < 4096 && weft_jsonlist_feed(l, block, sizeof(block));)
			blocks++;
		assert_true(blocks < 2048);
		assert_non_null(strstr(weft_jsonlist_why(l), "too large"));
		weft_jsonlist_destroy(l);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_jsonlist_feed__objects),
		cmocka_unit_test(weft_jsonlist_feed__refused),
		cmocka_unit_test(weft_jsonlist_feed__bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
