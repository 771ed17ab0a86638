/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers of `weft plan`, read strictly: what is not all a number is refused, so that a mistyped unit does not turn
 * a plan into a different one. */
#include "base/units.h"
#include "cli/args.h"
#include "cli/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define COUNT_MAX 10000000u
#define REAL_MAX  1e18

static bool read_count(const char *text, uint32_t *out)
{
	uint64_t n;

	if (!weft_parse_u64(text, &n) || !n || n > COUNT_MAX)
		return false;
	*out = (uint32_t)n;
	return true;
}

static bool read_real(const char *text, double *out)
{
	static const struct {
		char letter;
		double factor;
	} units[] = { { 'k', 1e3 }, { 'm', 1e6 }, { 'b', 1e9 }, { 't', 1e12 } };
	double value;
	char *end;

	/* strtod() would also take blanks, signs, hexadecimal, "inf" and "nan". */
	if (*text < '0' || *text > '9' || text[strspn(text, "0123456789.eE+-kKmMbBtT")])
		return false;
	value = strtod(text, &end);
	for (size_t i = 0; *end && i < WEFT_ARRAY_SIZE(units); i++) {
		if ((*end | 0x20) != units[i].letter)
			continue;
		value *= units[i].factor;
		end++;
		break;
	}
	if (*end || !(value >= 0 && value <= REAL_MAX))
		return false;
	*out = value;
	return true;
}

static bool read_dtype(const char *text, double *out)
{
	static const struct {
		const char *name;
		double bytes;
	} types[] = { { "fp32", 4 }, { "tf32", 4 }, { "bf16", 2 }, { "fp16", 2 },
		      { "fp8", 1 },  { "int8", 1 }, { "fp4", 0.5 } };

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(types); i++) {
		if (strcasecmp(types[i].name, text) != 0)
			continue;
		*out = types[i].bytes;
		return true;
	}
	return false;
}

static bool read_number(const char *cmd, const struct weft_plan_number *n, const char *text)
{
	const char *form = "";
	bool ok = false;

	switch (n->unit) {
	case WEFT_PLAN_COUNT:
		ok = read_count(text, n->out);
		form = "a whole number from 1 on";
		break;
	case WEFT_PLAN_REAL:
		ok = read_real(text, n->out);
		form = "a number, such as 70e9 or 70b";
		break;
	case WEFT_PLAN_DTYPE:
		ok = read_dtype(text, n->out);
		form = "fp32, tf32, bf16, fp16, fp8, int8 or fp4";
		break;
	}
	if (!ok)
		fprintf(stderr, "%s: %s wants %s, not \"%.64s\"\n", cmd, n->option, form, text);
	return ok;
}

int weft_plan_take(const char *cmd, int argc, char **argv, int *i,
		   const struct weft_plan_number *numbers, size_t count,
		   const struct weft_instance **instance, struct weft_plan_view *view)
{
	const char *value;
	int got = weft_args_value(cmd, argc, argv, i, "--instance", &value);

	if (got) {
		*instance = got > 0 ? weft_plan_find(cmd, value) : NULL;
		return *instance ? 1 : -1;
	}
	for (size_t k = 0; k < count; k++) {
		got = weft_args_value(cmd, argc, argv, i, numbers[k].option, &value);
		if (got)
			return got > 0 && read_number(cmd, &numbers[k], value) ? 1 : -1;
	}
	if (!strcmp(argv[*i], "--json"))
		view->json = true;
	else if (!strcmp(argv[*i], "--explain"))
		view->explain = true;
	else
		return 0;
	return 1;
}

char *weft_plan_bytes(double bytes, char *buf, size_t len)
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
	size_t unit = 0;

	while (bytes >= 999.95 && unit + 1 < WEFT_ARRAY_SIZE(units)) {
		bytes /= 1000;
		unit++;
	}
	snprintf(buf, len, "%.4g %s", bytes, units[unit]);
	return buf;
}
