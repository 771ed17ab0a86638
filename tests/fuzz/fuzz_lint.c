/* SPDX-License-Identifier: BSD-2-Clause */
/* All of lint, over a file of any bytes, the first of which says of what format. Whatever is reported stands in the file
 * and is printable; corrections are in order, apply, and what comes out can be linted again. */
#include "fuzz.h"

#include "advice/lint/diff.h"
#include "advice/lint/lint.h"

#include <stdlib.h>
#include <string.h>

static void check_findings(const struct weft_findings *f, const char *bytes, uint32_t len)
{
	uint32_t lines = 1;

	for (uint32_t i = 0; i < len; i++)
		lines += bytes[i] == '\n';
	for (size_t i = 0; i < f->count; i++) {
		const struct weft_finding *one = &f->finding[i];

		FUZZ_CHECK(weft_finding_info(one->id)->by & WEFT_BY_LINT, "%s is not lint's",
			   weft_finding_info(one->id)->id);
		FUZZ_CHECK(one->line >= 1 && one->line <= lines && one->column >= 1,
			   "%u:%u of %u lines", one->line, one->column, lines);
		for (const char *p = one->evidence; *p; p++)
			FUZZ_CHECK((unsigned char)*p >= 0x20, "unprintable evidence");
		fuzz_trace("%u:%u %s: %s", one->line, one->column, weft_finding_info(one->id)->id,
			   one->evidence);
	}
}

static void check_edits(const struct weft_lint_edits *e, uint32_t len)
{
	for (uint32_t i = 0; i < e->count; i++) {
		FUZZ_CHECK(e->edit[i].at <= e->edit[i].end && e->edit[i].end <= len,
			   "an edit outside");
		FUZZ_CHECK(!i || e->edit[i - 1].end <= e->edit[i].at, "edits overlap");
		FUZZ_CHECK(!strchr(e->edit[i].with, '\n'), "an edit makes a line");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static FILE *nowhere;
	struct weft_lint_options options = { .format = WEFT_LINT_AUTO };
	const char *bytes = (const char *)data + 1;
	uint32_t len, fixed_len;
	struct weft_lint_edits edits;
	struct weft_findings f;
	char *fixed;

	if (!size)
		return 0;
	if (!nowhere)
		nowhere = fopen("/dev/null", "w");
	len = (uint32_t)size - 1;
	options.format = (enum weft_lint_format)(data[0] % (WEFT_LINT_TOML + 1));
	options.instance = data[0] & 0x80 ? weft_catalogue_find("p5.48xlarge") : NULL;
	weft_findings_init(&f);
	weft_lint_edits_init(&edits);
	(void)weft_lint("fuzz", bytes, len, &options, &f, &edits);
	check_findings(&f, bytes, len);
	check_edits(&edits, len);
	weft_findings_fini(&f);
	weft_lint_diff(nowhere, "fuzz", bytes, len, &edits);
	fixed = weft_lint_apply(bytes, len, &edits, &fixed_len);
	FUZZ_CHECK(fixed && strnlen(fixed, fixed_len + 1) <= fixed_len, "not applied");
	weft_findings_init(&f);
	(void)weft_lint("fuzz", fixed, fixed_len, &options, &f, NULL);
	check_findings(&f, fixed, fixed_len);
	weft_findings_fini(&f);
	weft_lint_edits_fini(&edits);
	free(fixed);
	return 0;
}
