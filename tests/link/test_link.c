/* SPDX-License-Identifier: BSD-2-Clause */
/* One conformance suite for all links:  test_link udp|local|auto [case...] */
#include "link.h"

#include <stdio.h>

#define CASES_MAX 256u

static const struct duo_case *const tables[] = {
	link_ops_cases,  link_status_cases, link_keys_cases, link_queue_cases, link_chan_cases,
	link_many_cases, link_fault_cases,  link_kill_cases, link_haul_cases,
};

static bool is_wanted(const char *name, int argc, char **argv)
{
	for (int i = 2; i < argc; i++)
		if (strstr(name, argv[i]))
			return true;
	return argc < 3;
}

int main(int argc, char **argv)
{
	static struct CMUnitTest tests[CASES_MAX];
	uint32_t n = 0;
	int failed;

	if (argc < 2 ||
	    (strcmp(argv[1], "udp") && strcmp(argv[1], "local") && strcmp(argv[1], "auto"))) {
		fprintf(stderr, "usage: %s udp|local|auto [part of a case's name...]\n", argv[0]);
		return 2;
	}
	duo_setup(argv[1]);
	for (size_t t = 0; t < WEFT_ARRAY_SIZE(tables); t++) {
		for (const struct duo_case *c = tables[t]; c->name; c++) {
			if (!duo_is_for_wire(c) || !is_wanted(c->name, argc, argv))
				continue;
			if (n == CASES_MAX)
				return 2;
			tests[n++] = (struct CMUnitTest){
				.name = c->name,
				.test_func = duo_run,
				.initial_state = (void *)(uintptr_t)c,
			};
		}
	}
	failed = _cmocka_run_group_tests(argv[1], tests, n, NULL, NULL);
	duo_teardown();
	return failed != 0;
}
