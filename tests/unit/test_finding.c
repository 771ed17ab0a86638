/* SPDX-License-Identifier: BSD-2-Clause */
#include "advice/finding.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>

/* Every row is whole, every id is of the one spelling, and none is there twice. */
static void table__rows_are_whole(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < WEFT_FINDING_COUNT; i++) {
		const struct weft_finding_info *row = weft_finding_info(i);

		if (strspn(row->id, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(row->id) ||
		    !row->by || !*row->title || !*row->reason || !*row->fix || !*row->source ||
		    strncmp(row->doc, "https://", 8) != 0)
			fail_msg("%s is not whole", row->id);
		if (row->reason[strlen(row->reason) - 1] != '.')
			fail_msg("%s: the reason is not a sentence", row->id);
		for (uint32_t k = 0; k < i; k++)
			if (!strcmp(row->id, weft_finding_info(k)->id))
				fail_msg("%s is there twice", row->id);
	}
}

/* Each of the 37 ways in which EFA is known to fail has a finding that is the answer to it. */
static void table__every_mode_has_one(void **state)
{
	bool has[38] = { false };

	(void)state;
	for (uint32_t i = 0; i < WEFT_FINDING_COUNT; i++) {
		const char *p = weft_finding_info(i)->modes;

		while (*p) {
			char *end;
			unsigned long mode = strtoul(p, &end, 10);

			if (end == p || mode < 1 || mode > 37)
				fail_msg("%s: not a mode: %s", weft_finding_info(i)->id, p);
			has[mode] = true;
			p = *end == ',' ? end + 1 : end;
		}
	}
	for (uint32_t mode = 1; mode <= 37; mode++)
		if (!has[mode])
			fail_msg("nothing answers mode %u", mode);
}

static void weft_finding_find__names(void **state)
{
	enum weft_finding_id id;
	const char *suggest;

	(void)state;
	assert_true(weft_finding_find("memlock", &id, &suggest));
	assert_int_equal(id, WEFT_FINDING_MEMLOCK);
	assert_false(weft_finding_find("memlok", &id, &suggest));
	assert_string_equal(suggest, "memlock");
	assert_false(weft_finding_find("zzzzzzzz", &id, &suggest));
	assert_null(suggest);
}

static void weft_finding_is_in__words(void **state)
{
	(void)state;
	assert_true(weft_finding_is_in(WEFT_FINDING_ENV_NOOP, "env"));
	assert_true(weft_finding_is_in(WEFT_FINDING_ENV_NOOP, "env-noop"));
	assert_false(weft_finding_is_in(WEFT_FINDING_ENV_NOOP, "env-no"));
	assert_false(weft_finding_is_in(WEFT_FINDING_ENV_NOOP, "en"));
	assert_false(weft_finding_is_in(WEFT_FINDING_ENV_NOOP, ""));
}

static char *text_of(const struct weft_findings *f, bool json)
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	assert_non_null(to);
	if (json)
		weft_findings_json(to, f);
	else
		weft_findings_print(to, f, true);
	fclose(to);
	return text;
}

static void weft_findings_print__order_and_places(void **state)
{
	struct weft_place place = { "pod.yaml", 12, 5 };
	struct weft_findings f;
	char *text;

	(void)state;
	weft_findings_init(&f);
	weft_findings_add(&f, WEFT_FINDING_CARD_COUNT, WEFT_SEV_OK, NULL, "%u of %u", 4, 4);
	weft_findings_report(&f, WEFT_FINDING_SHM, NULL, "64 MiB");
	weft_findings_report(&f, WEFT_FINDING_MEMLOCK, &place, "65536 bytes");
	weft_findings_fix(&f, "do %s", "that");
	assert_int_equal(weft_findings_worst(&f), WEFT_SEV_FAIL);
	text = text_of(&f, false);
	assert_true(strstr(text, "pod.yaml:12:5: 65536 bytes") < strstr(text, "64 MiB"));
	assert_non_null(strstr(text, "fix: do that\n"));
	assert_non_null(strstr(text, "ok    card-count: 4 of 4\n"));
	assert_non_null(strstr(text, "1 failed, 1 warnings, 0 notes, 1 ok\n"));
	free(text);
	weft_findings_fini(&f);
}

static void weft_findings_json__hostile_evidence(void **state)
{
	struct weft_findings f;
	char *text;

	(void)state;
	weft_findings_init(&f);
	text = text_of(&f, true);
	assert_string_equal(text, "[]");
	free(text);
	weft_findings_report(&f, WEFT_FINDING_INPUT, NULL, "\x1b[2J\"\n\xff");
	assert_string_equal(f.finding[0].evidence, ".[2J\".\xff");
	text = text_of(&f, true);
	assert_non_null(strstr(text,
			       "\"evidence\": \".[2J\\\".\\ufffd\", \"file\": null, \"line\": "
			       "null, \"column\": null"));
	free(text);
	weft_findings_fini(&f);
}

static void weft_findings_add__bounded(void **state)
{
	char *big = malloc(100000);
	struct weft_findings f;

	(void)state;
	assert_non_null(big);
	memset(big, 'x', 99999);
	big[99999] = '\0';
	weft_findings_init(&f);
	weft_findings_report(&f, WEFT_FINDING_INPUT, NULL, "%s", big);
	assert_int_equal(strlen(f.finding[0].evidence), 999);
	assert_string_equal(f.finding[0].evidence + 996, "...");
	for (uint32_t i = 0; i < WEFT_FINDINGS_MAX + 5; i++)
		weft_findings_report(&f, WEFT_FINDING_INPUT, NULL, "%u", i);
	assert_int_equal(f.count, WEFT_FINDINGS_MAX);
	assert_int_equal(f.dropped, 6);
	/* The others still have their room. */
	weft_findings_add(&f, WEFT_FINDING_INPUT, WEFT_SEV_WARN, NULL, "warning");
	assert_int_equal(f.count, WEFT_FINDINGS_MAX + 1);
	weft_findings_fix(&f, "kept");
	assert_string_equal(f.finding[WEFT_FINDINGS_MAX].fix, "kept");
	weft_findings_report(&f, WEFT_FINDING_INPUT, NULL, "dropped");
	weft_findings_fix(&f, "of the dropped one");
	assert_string_equal(f.finding[WEFT_FINDINGS_MAX].fix, "kept");
	weft_findings_fini(&f);
	free(big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table__rows_are_whole),
		cmocka_unit_test(table__every_mode_has_one),
		cmocka_unit_test(weft_finding_find__names),
		cmocka_unit_test(weft_finding_is_in__words),
		cmocka_unit_test(weft_findings_print__order_and_places),
		cmocka_unit_test(weft_findings_json__hostile_evidence),
		cmocka_unit_test(weft_findings_add__bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
