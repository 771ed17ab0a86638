/* SPDX-License-Identifier: BSD-2-Clause */
/* The table that the guides have people make with kubectl get nodes -o=custom-columns, and one column more: what the
 * instance type has. Laid out as kubectl does it, so that whoever compares sees no difference in the rest. */
#include "cli/info_k8s.h"

#include "cli/args.h"
#include "cli/fleet_source.h"
#include "cli/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CMD     "weft info"
#define COLUMNS 5u
#define CELL    260u

static const char *const headings[COLUMNS] = { "NAME", "INSTANCETYPE", "GPU", "EFA", "EXPECTED" };

static const char *or_none(const char *text)
{
	return *text ? text : "<none>";
}

static void fill(const struct weft_fleet_node *n, char cell[COLUMNS][CELL])
{
	char fact[16];

	snprintf(cell[0], CELL, "%s", n->name);
	snprintf(cell[1], CELL, "%s", or_none(n->type));
	snprintf(cell[2], CELL, "%s", or_none(n->gpu_text));
	snprintf(cell[3], CELL, "%s", or_none(n->efa_text));
	snprintf(cell[4], CELL, "%s",
		 n->instance ? weft_fact_text(n->instance->efas, fact, sizeof(fact)) : "<none>");
}

/* kubectl: three blanks between columns, none behind the last. */
static void print_text(const struct weft_fleet *f)
{
	char cell[COLUMNS][CELL];
	size_t width[COLUMNS];

	for (uint32_t c = 0; c < COLUMNS; c++)
		width[c] = strlen(headings[c]);
	for (uint32_t i = 0; i < f->nodes; i++) {
		fill(&f->node[i], cell);
		for (uint32_t c = 0; c < COLUMNS; c++)
			width[c] = WEFT_MAX(width[c], strlen(cell[c]));
	}
	for (uint32_t c = 0; c < COLUMNS; c++)
		printf("%-*s%s", c + 1 < COLUMNS ? (int)width[c] : 0, headings[c],
		       c + 1 < COLUMNS ? "   " : "\n");
	for (uint32_t i = 0; i < f->nodes; i++) {
		fill(&f->node[i], cell);
		for (uint32_t c = 0; c < COLUMNS; c++)
			printf("%-*s%s", c + 1 < COLUMNS ? (int)width[c] : 0, cell[c],
			       c + 1 < COLUMNS ? "   " : "\n");
	}
}

static void print_number(const char *key, bool known, uint64_t milli)
{
	printf(", \"%s\": ", key);
	if (known)
		printf("%" PRIu64, milli / 1000);
	else
		fputs("null", stdout);
}

static void print_json(const struct weft_fleet *f)
{
	fputs("{\"nodes\": [", stdout);
	for (uint32_t i = 0; i < f->nodes; i++) {
		const struct weft_fleet_node *n = &f->node[i];
		bool known = n->instance && n->instance->efas.how != WEFT_FACT_UNKNOWN;

		printf("%s\n  {\"name\": ", i ? "," : "");
		weft_json_string(n->name);
		fputs(", \"instance_type\": ", stdout);
		weft_json_string(*n->type ? n->type : NULL);
		print_number("gpu", n->offered & 1u << WEFT_FLEET_GPU,
			     n->allocatable[WEFT_FLEET_GPU]);
		print_number("efa", n->offered & 1u << WEFT_FLEET_EFA,
			     n->allocatable[WEFT_FLEET_EFA]);
		print_number("expected", known, (uint64_t)weft_fleet_expected(n) * 1000);
		putchar('}');
	}
	puts(f->nodes ? "\n]}" : "]}");
}

struct options {
	bool k8s, json, check;
	struct weft_fleet_source source;
};

static bool parse(int argc, char **argv, struct options *o)
{
	const struct weft_args_flag flags[] = { { "--k8s", &o->k8s },
						{ "--json", &o->json },
						{ "--check", &o->check },
						{ "--strict", &o->check } };

	*o = (struct options){ .source.kubectl.timeout = WEFT_S(60) };
	for (int i = 1; i < argc; i++) {
		int got = weft_args_take_flag(argv[i], flags, WEFT_ARRAY_SIZE(flags));

		if (!got)
			got = weft_fleet_source_arg(CMD, argc, argv, &i, &o->source);
		if (!got)
			fprintf(stderr, CMD ": --k8s: no such argument: %.64s\n", argv[i]);
		if (got <= 0)
			return false;
	}
	return weft_fleet_source_check(CMD, &o->source);
}

int weft_info_k8s(int argc, char **argv)
{
	struct weft_fleet fleet;
	struct options o;
	char why[800];
	int status = 2;

	if (!parse(argc, argv, &o))
		return 2;
	if (!weft_fleet_init(&fleet)) {
		fputs(CMD ": no memory\n", stderr);
		return 2;
	}
	if (weft_fleet_source_read(&o.source, &fleet, why, sizeof(why))) {
		weft_fleet_finish(&fleet, NULL);
		if (o.json)
			print_json(&fleet);
		else
			print_text(&fleet);
		status = o.check && fleet.short_of ? 1 : 0;
	} else {
		fprintf(stderr, CMD ": %s\n", why);
	}
	weft_fleet_fini(&fleet);
	return status;
}
