/* SPDX-License-Identifier: BSD-2-Clause */
#include "kube/pb.h"

#include "base/prng.h"

#include "unit.h"

#include <string.h>

static void weft_pb_put__bytes(void **state)
{
	/* As the encoding's own documentation has them. */
	static const uint8_t want[] = { 0x08, 0x96, 0x01, 0x12, 0x07, 't',  'e',  's',  't',
					'i',  'n',  'g',  0x1a, 0x03, 0x08, 0x96, 0x01, 0x22,
					0x06, 0x0a, 0x01, 'k',  0x12, 0x01, 'v' };
	struct weft_pb_out out = { .len = 0 };
	size_t begun;

	(void)state;
	weft_pb_put_number(&out, 1, 150);
	weft_pb_put_text(&out, 2, "testing");
	begun = weft_pb_begin(&out, 3);
	weft_pb_put_number(&out, 1, 150);
	weft_pb_put_number(&out, 2, 0);
	weft_pb_end(&out, begun);
	weft_pb_put_entry(&out, 4, "k", "v");
	assert_false(out.failed);
	assert_int_equal(out.len, sizeof(want));
	assert_memory_equal(out.data, want, sizeof(want));
	weft_pb_free(&out);
}

static void weft_pb_next__table(void **state)
{
	static const struct {
		int id;
		uint8_t bytes[16];
		size_t len;
		int want;
		uint32_t number;
		uint64_t value;
	} rows[] = {
		{ 1, { 0 }, 0, 0, 0, 0 },
		{ 2, { 0x08, 0x96, 0x01 }, 3, 1, 1, 150 },
		{ 3, { 0x08, 0x96 }, 2, -1, 0, 0 }, /* Half a number. */
		{ 4, { 0x08 }, 1, -1, 0, 0 },
		{ 5, { 0x00, 0x01 }, 2, -1, 0, 0 }, /* There is no field 0. */
		{ 6, { 0x0a, 0x02, 'x' }, 3, -1, 0, 0 }, /* Longer than what there is. */
		{ 7,
		  { 0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01 },
		  11,
		  -1,
		  0,
		  0 },
		{ 8, { 0x0b, 0x0c }, 2, -1, 0, 0 }, /* A group. */
		{ 9, { 0x0d, 1, 2, 3, 4 }, 5, 1, 1, 0x04030201 },
		{ 10, { 0x09, 1, 2, 3, 4, 5, 6, 7, 8 }, 9, 1, 1, 0x0807060504030201 },
		{ 11, { 0x09, 1, 2, 3, 4, 5, 6, 7 }, 8, -1, 0, 0 },
		{ 12,
		  { 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01 },
		  11,
		  1,
		  1,
		  UINT64_MAX },
		{ 13,
		  { 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02 },
		  11,
		  -1,
		  0,
		  0 },
		{ 14, { 0x80, 0x80, 0x80, 0x80, 0x10, 1 }, 6, -1, 0, 0 }, /* A field above 2^29. */
		{ 15, { 0x0e, 0x01 }, 2, -1, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct weft_pb_in in = { rows[i].bytes, rows[i].bytes + rows[i].len };
		struct weft_pb_field f;
		int got = weft_pb_next(&in, &f);

		if (got != rows[i].want ||
		    (got == 1 && (f.number != rows[i].number || f.value != rows[i].value)))
			fail_msg("row %d: %d, field %u", rows[i].id, got, f.number);
	}
}

/* What is written is read as the same, with lengths around those where one more byte is needed. */
static void weft_pb__round_trip(void **state)
{
	static const size_t lengths[] = { 0, 1, 127, 128, 16383, 16384, 70000 };
	static char text[70001];
	struct weft_prng prng;

	(void)state;
	weft_prng_init(&prng, 7);
	memset(text, 'x', sizeof(text) - 1);
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(lengths); i++) {
		struct weft_pb_out out = { .len = 0 };
		uint64_t value = weft_prng_next(&prng) >> i * 9 | 1;
		size_t outer = weft_pb_begin(&out, 5);
		struct weft_pb_in in;
		struct weft_pb_field f;

		weft_pb_put_number(&out, 1000, value);
		weft_pb_put_text(&out, 2, text + sizeof(text) - 1 - lengths[i]);
		weft_pb_end(&out, outer);
		in = (struct weft_pb_in){ out.data, out.data + out.len };
		assert_int_equal(weft_pb_next(&in, &f), 1);
		assert_true(f.is_bytes && f.number == 5 && in.at == in.end);
		in = f.bytes;
		assert_int_equal(weft_pb_next(&in, &f), 1);
		assert_true(!f.is_bytes && f.number == 1000 && f.value == value);
		assert_int_equal(weft_pb_next(&in, &f), 1);
		assert_int_equal(f.bytes.end - f.bytes.at, lengths[i]);
		assert_int_equal(weft_pb_next(&in, &f), 0);
		weft_pb_free(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_pb_put__bytes),
		cmocka_unit_test(weft_pb_next__table),
		cmocka_unit_test(weft_pb__round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
