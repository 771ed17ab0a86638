/* SPDX-License-Identifier: BSD-2-Clause */
#include "cloud/plan.h"

#include "unit.h"

#include <string.h>

static void weft_plan_hugepages_mib__as_usual_or_less(void **state)
{
	static const struct {
		const char *instance;
		uint32_t mib;
	} rows[] = {
		{ "p5.48xlarge", 5120 },
		{ "p5.4xlarge", 3522 },
		{ "trn2.3xlarge", 2642 },
		{ "p6e-gb300.36xlarge", 0 },
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct weft_fact mib =
			weft_plan_hugepages_mib(weft_catalogue_find(rows[i].instance));

		assert_int_equal(mib.value, rows[i].mib);
		assert_int_equal(mib.how != WEFT_FACT_UNKNOWN, rows[i].mib != 0);
	}
}

/* Pods that ask for both must fit beside what the system keeps. */
static void weft_plan_memory_mib__fits(void **state)
{
	const struct weft_instance *it;

	(void)state;
	for (uint32_t i = 0; (it = weft_catalogue_at(i)); i++) {
		struct weft_fact mib = weft_plan_memory_mib(it);

		if (mib.how == WEFT_FACT_UNKNOWN)
			continue;
		if (!mib.value || (uint64_t)mib.value + it->hugepages.value * 2 >=
					  (uint64_t)it->memory_gib.value * 1024)
			fail_msg("%s: %u MiB", it->name, mib.value);
	}
	/* (2048 GiB - 42242 MiB) * 0.9 */
	assert_int_equal(weft_plan_memory_mib(weft_catalogue_find("p5.48xlarge")).value, 1849419);
}

static void weft_plan_limit__by_type(void **state)
{
	const struct weft_instance *p4d = weft_catalogue_find("p4d.24xlarge");
	const struct weft_instance *p5 = weft_catalogue_find("p5.48xlarge");
	const char *limit;
	bool alone = false;

	(void)state;
	for (uint32_t i = 0; (limit = weft_plan_limit(p4d, i)); i++)
		alone |= strstr(limit, "other instance types") != NULL;
	assert_true(alone);
	for (uint32_t i = 0; (limit = weft_plan_limit(p5, i)); i++)
		assert_null(strstr(limit, "other instance types"));
}

static void weft_instance_is_arm__by_name(void **state)
{
	static const char *const arm[] = { "c7gn.16xlarge", "hpc7g.16xlarge",     "im4gn.16xlarge",
					   "x8g.48xlarge",  "p6e-gb200.36xlarge", "i8ge.48xlarge" };
	static const char *const x86[] = { "g6.48xlarge",   "gr6.8xlarge",  "g6e.48xlarge",
					   "p4d.24xlarge",  "c5n.18xlarge", "g4dn.metal",
					   "hpc6a.48xlarge" };

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(arm); i++)
		if (!weft_instance_is_arm(weft_catalogue_find(arm[i])))
			fail_msg("%s", arm[i]);
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(x86); i++)
		if (weft_instance_is_arm(weft_catalogue_find(x86[i])))
			fail_msg("%s", x86[i]);
}

static void weft_instance_resource__every_accelerator(void **state)
{
	const struct weft_instance *it;

	(void)state;
	for (uint32_t i = 0; (it = weft_catalogue_at(i)); i++) {
		bool has = weft_instance_resource(it) != NULL;

		/* What Qualcomm's plugin calls its cards no source says. */
		if (has != (*it->accelerator && strcmp(it->accelerator, "qualcomm-ai100") != 0))
			fail_msg("%s", it->name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_plan_hugepages_mib__as_usual_or_less),
		cmocka_unit_test(weft_plan_memory_mib__fits),
		cmocka_unit_test(weft_plan_limit__by_type),
		cmocka_unit_test(weft_instance_is_arm__by_name),
		cmocka_unit_test(weft_instance_resource__every_accelerator),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
