/* SPDX-License-Identifier: BSD-2-Clause */
/* weft plan backend: the table of cloud/backend.c. */
#include "cli/json.h"
#include "cli/plan.h"
#include "cloud/backend.h"

#include <stdio.h>
#include <string.h>

#define CMD "weft plan backend"

static void print_text(const struct weft_backend *b)
{
	printf("%-9s %-6s %s\n", b->workload, weft_backend_verdict_name(b->verdict), b->backend);
	printf("                 %s\n", b->why);
	if (*b->needs)
		printf("                 needs: %s\n", b->needs);
	if (*b->proof)
		printf("                 proof: %s\n", b->proof);
	printf("                 [%s]\n", b->source);
}

static void print_json(const struct weft_backend *b, bool more)
{
	const struct {
		const char *key, *value;
	} texts[] = {
		{ "workload", b->workload },
		{ "backend", b->backend },
		{ "verdict", weft_backend_verdict_name(b->verdict) },
		{ "why", b->why },
		{ "needs", b->needs },
		{ "proof", b->proof },
		{ "source", b->source },
	};

	fputs(more ? ",\n  {" : "[\n  {", stdout);
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(texts); i++) {
		printf("%s\"%s\": ", i ? ", " : "", texts[i].key);
		weft_json_string(*texts[i].value ? texts[i].value : NULL);
	}
	putchar('}');
}

int weft_plan_backend(int argc, char **argv)
{
	const struct weft_backend *b;
	const char *workload = NULL;
	bool json = false;
	uint32_t shown = 0;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json")) {
			json = true;
		} else if (*argv[i] != '-' && !workload) {
			workload = argv[i];
		} else {
			fprintf(stderr, CMD ": no such argument: %.64s\n", argv[i]);
			return 2;
		}
	}
	for (uint32_t i = 0; (b = weft_backend_at(i)); i++) {
		if (workload && strcmp(workload, b->workload) != 0)
			continue;
		if (json)
			print_json(b, shown);
		else
			print_text(b);
		shown++;
	}
	if (!shown) {
		fprintf(stderr,
			CMD ": no such workload: %.64s; there are training, mpi, kv, moe, "
			    "baseline\n",
			workload);
		return 2;
	}
	puts(json ? "\n]" : "\nas of " WEFT_BACKEND_DATE);
	return 0;
}
