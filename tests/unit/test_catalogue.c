/* SPDX-License-Identifier: BSD-2-Clause */
#include "cloud/catalogue.h"

#include "unit.h"

#include <string.h>

static void weft_catalogue_at__sound(void **state)
{
	const struct weft_instance *it;
	uint32_t n = 0;

	(void)state;
	for (; (it = weft_catalogue_at(n)); n++) {
		const struct weft_fact facts[] = {
			it->accelerators,  it->vcpus,      it->memory_gib, it->efas,
			it->network_cards, it->gbps_total, it->gbps,       it->generation,
			it->nitro,         it->rdma_read,  it->rdma_write, it->hugepages
		};

		if (n && strcmp(weft_catalogue_at(n - 1)->name, it->name) >= 0)
			fail_msg("%s: out of order, or twice", it->name);
		if (!strchr(it->name, '.') || !it->accelerator || !it->gpudirect || !it->sources)
			fail_msg("%s: a text is missing", it->name);
		if (!*it->sources && !it->notes)
			fail_msg("%s: neither sources nor a note", it->name);
		for (size_t i = 0; i < WEFT_ARRAY_SIZE(facts); i++)
			if (facts[i].how == WEFT_FACT_UNKNOWN && facts[i].value)
				fail_msg("%s: fact %zu: unknown, but with a value", it->name, i);
		if (it->efas.how != WEFT_FACT_UNKNOWN &&
		    (!it->efas.value || it->efas.value > 32 ||
		     it->efas.value > weft_fact_or(it->network_cards, 32)))
			fail_msg("%s: %u EFA interfaces", it->name, it->efas.value);
		if (weft_fact_or(it->gbps, 0) * weft_fact_or(it->efas, 0) >
		    weft_fact_or(it->gbps_total, UINT32_MAX))
			fail_msg("%s: more in the parts than in all", it->name);
		if (it->generation.how != WEFT_FACT_UNKNOWN &&
		    (it->generation.value < 1 || it->generation.value > 4))
			fail_msg("%s: generation %u", it->name, it->generation.value);
		if (weft_fact_or(it->rdma_write, 0) && !weft_fact_or(it->rdma_read, 1))
			fail_msg("%s: writes, but does not read", it->name);
		if (it->vcpus.how == WEFT_FACT_KNOWN && it->hugepages.how == WEFT_FACT_KNOWN &&
		    it->hugepages.value != 110 * it->vcpus.value + 1)
			fail_msg("%s: %u huge pages", it->name, it->hugepages.value);
	}
	assert_int_equal(n, 306);
	assert_null(weft_catalogue_at(UINT32_MAX));
}

static void weft_catalogue_find__p4d(void **state)
{
	const struct weft_instance *it = weft_catalogue_find("p4d.24xlarge");

	(void)state;
	assert_non_null(it);
	assert_string_equal(it->accelerator, "a100");
	assert_int_equal(it->efas.value, 4);
	assert_int_equal(it->gbps.value, 100);
	assert_int_equal(it->generation.value, 1);
	assert_int_equal(it->rdma_read.value, 1);
	assert_int_equal(it->rdma_write.value, 0);
	assert_int_equal(it->rdma_write.how, WEFT_FACT_KNOWN);
	assert_ptr_equal(weft_catalogue_find("P4D.24xLarge"), it);
	assert_null(weft_catalogue_find("p4d"));
	assert_null(weft_catalogue_find(""));
}

/* Unknown is not zero, and derived is not known. */
static void weft_catalogue_find__provenance(void **state)
{
	char buf[16];

	(void)state;
	assert_int_equal(weft_catalogue_find("c8in.48xlarge")->rdma_read.how, WEFT_FACT_UNKNOWN);
	assert_int_equal(weft_catalogue_find("p6e-gb200.36xlarge")->gbps.how, WEFT_FACT_UNKNOWN);
	assert_int_equal(weft_catalogue_find("trn2u.48xlarge")->efas.how, WEFT_FACT_DERIVED);
	assert_int_equal(weft_catalogue_find("c5n.metal")->generation.how, WEFT_FACT_DERIVED);
	assert_string_equal(
		weft_fact_text((struct weft_fact){ 0, WEFT_FACT_UNKNOWN }, buf, sizeof(buf)), "?");
	assert_string_equal(
		weft_fact_text((struct weft_fact){ 4, WEFT_FACT_DERIVED }, buf, sizeof(buf)), "~4");
	assert_string_equal(
		weft_fact_text((struct weft_fact){ 0, WEFT_FACT_KNOWN }, buf, sizeof(buf)), "0");
}

static void weft_catalogue_suggest__table(void **state)
{
	static const struct {
		int id;
		const char *in, *want;
	} rows[] = {
		{ 1, "p5", "p5.48xlarge" },
		{ 2, "p4d", "p4d.24xlarge" },
		{ 3, "p4d.24xlarg", "p4d.24xlarge" },
		{ 4, "p4d24xlarge", "p4d.24xlarge" },
		{ 5, "p5.4", "p5.48xlarge" },
		{ 6, "trn1.2xlarge", "trn1.32xlarge" },
		{ 7, "c5n.large", "c5n.9xlarge" },
		{ 8, "t3.micro", NULL },
		{ 11, "hpc7g.medium", "hpc7g.16xlarge" },
		{ 9, "", NULL },
		{ 10, "................................................", NULL },
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		const struct weft_instance *it = weft_catalogue_suggest(rows[i].in);

		if (rows[i].want ? !it || strcmp(it->name, rows[i].want) != 0 : it != NULL)
			fail_msg("row %d: %s: %s", rows[i].id, rows[i].in, it ? it->name : "none");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_catalogue_at__sound),
		cmocka_unit_test(weft_catalogue_find__p4d),
		cmocka_unit_test(weft_catalogue_find__provenance),
		cmocka_unit_test(weft_catalogue_suggest__table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
