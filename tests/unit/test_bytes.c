/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/bytes.h"

#include "unit.h"

/* Every offset within a word, with guards on both sides: no access may be wider than the value or
 * depend on alignment. */
static void weft_put__big_endian_at_any_offset(void **state)
{
	static const uint8_t want[8] = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef };
	uint8_t buf[24];

	(void)state;
	for (size_t off = 1; off <= 8; off++) {
		memset(buf, 0x5a, sizeof(buf));
		weft_put16(buf + off, 0x0123);
		assert_memory_equal(buf + off, want, 2);
		assert_int_equal(buf[off - 1], 0x5a);
		assert_int_equal(buf[off + 2], 0x5a);

		memset(buf, 0x5a, sizeof(buf));
		weft_put32(buf + off, 0x01234567u);
		assert_memory_equal(buf + off, want, 4);
		assert_int_equal(buf[off - 1], 0x5a);
		assert_int_equal(buf[off + 4], 0x5a);

		memset(buf, 0x5a, sizeof(buf));
		weft_put64(buf + off, 0x0123456789abcdefu);
		assert_memory_equal(buf + off, want, 8);
		assert_int_equal(buf[off - 1], 0x5a);
		assert_int_equal(buf[off + 8], 0x5a);
	}
}

static void weft_get__reads_what_was_put(void **state)
{
	static const uint64_t values[] = {
		0, 1, 0x80, 0xff00, 0x80000000u, 0xffffffffu, 0x8000000000000001u, UINT64_MAX
	};
	uint8_t buf[16];

	(void)state;
	for (size_t off = 0; off < 8; off++) {
		for (size_t i = 0; i < WEFT_ARRAY_SIZE(values); i++) {
			weft_put16(buf + off, (uint16_t)values[i]);
			assert_int_equal(weft_get16(buf + off), (uint16_t)values[i]);
			weft_put32(buf + off, (uint32_t)values[i]);
			assert_int_equal(weft_get32(buf + off), (uint32_t)values[i]);
			weft_put64(buf + off, values[i]);
			assert_true(weft_get64(buf + off) == values[i]);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_put__big_endian_at_any_offset),
		cmocka_unit_test(weft_get__reads_what_was_put),
	};

	return cmocka_run_group_tests_name("bytes", tests, NULL, NULL);
}
