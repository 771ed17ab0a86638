/* SPDX-License-Identifier: BSD-2-Clause */
#include "advice/lint/schema.h"

#include "unit.h"

#include <string.h>

/* Every field of the table can be read, and its type is one of the table. */
static void table__is_well_formed(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < WEFT_TYPE_COUNT; i++) {
		const char *bad;

		if (!weft_schema_check((enum weft_type)i, &bad))
			fail_msg("%s: %.40s", weft_schema_name((enum weft_type)i), bad);
		for (uint32_t k = 0; k < i; k++)
			assert_string_not_equal(weft_schema_name((enum weft_type)i),
						weft_schema_name((enum weft_type)k));
	}
}

static void weft_schema_field__shapes(void **state)
{
	struct weft_field field;
	char suggest[64];

	(void)state;
	assert_true(weft_schema_field(WEFT_TYPE_PodSpec, "containers", &field, suggest,
				      sizeof(suggest)));
	assert_int_equal(field.type, WEFT_TYPE_Container);
	assert_int_equal(field.shape, WEFT_FIELD_LIST);
	assert_true(weft_schema_field(WEFT_TYPE_PodSpec, "nodeSelector", &field, suggest,
				      sizeof(suggest)));
	assert_int_equal(field.type, WEFT_TYPE_str);
	assert_int_equal(field.shape, WEFT_FIELD_MAP);
	assert_true(
		weft_schema_field(WEFT_TYPE_PodSpec, "affinity", &field, suggest, sizeof(suggest)));
	assert_int_equal(field.type, WEFT_TYPE_any);
	assert_true(weft_schema_field(WEFT_TYPE_Pod, "spec", &field, suggest, sizeof(suggest)));
	assert_int_equal(field.type, WEFT_TYPE_PodSpec);
	assert_int_equal(field.shape, WEFT_FIELD_ONE);
}

static void weft_schema_field__unknown(void **state)
{
	struct weft_field field;
	char suggest[64];

	(void)state;
	assert_false(weft_schema_field(WEFT_TYPE_MPIJobSpec, "slotPerWorker", &field, suggest,
				       sizeof(suggest)));
	assert_string_equal(suggest, "slotsPerWorker");
	assert_false(weft_schema_field(WEFT_TYPE_MPIJobSpec, "elephant", &field, suggest,
				       sizeof(suggest)));
	assert_string_equal(suggest, "");
	/* Half of a name is none. */
	assert_false(weft_schema_field(WEFT_TYPE_PodSpec, "container", &field, suggest,
				       sizeof(suggest)));
	assert_true(weft_schema_is_open(WEFT_TYPE_Launch));
	assert_false(weft_schema_is_open(WEFT_TYPE_PodSpec));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table__is_well_formed),
		cmocka_unit_test(weft_schema_field__shapes),
		cmocka_unit_test(weft_schema_field__unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
