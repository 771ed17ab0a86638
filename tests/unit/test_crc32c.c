/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/crc32c.h"

#include "base/prng.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>

typedef uint32_t (*crc_fn)(uint32_t crc, const void *data, size_t len);

static void check_vectors(crc_fn crc)
{
	/* RFC 3720, appendix B.4: an iSCSI read command. */
	static const uint8_t iscsi[48] = {
		0x01, 0xc0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00,
		0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x18, 0x28, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	};
	uint8_t b[32];

	assert_int_equal(crc(0, "", 0), 0);
	assert_int_equal(crc(0, "123456789", 9), 0xe3069283u);
	memset(b, 0, sizeof(b));
	assert_int_equal(crc(0, b, sizeof(b)), 0x8a9136aau);
	memset(b, 0xff, sizeof(b));
	assert_int_equal(crc(0, b, sizeof(b)), 0x62a8ab43u);
	for (size_t i = 0; i < sizeof(b); i++)
		b[i] = (uint8_t)i;
	assert_int_equal(crc(0, b, sizeof(b)), 0x46dd794eu);
	for (size_t i = 0; i < sizeof(b); i++)
		b[i] = (uint8_t)(31 - i);
	assert_int_equal(crc(0, b, sizeof(b)), 0x113fdb5cu);
	assert_int_equal(crc(0, iscsi, sizeof(iscsi)), 0xd9963a56u);
}

static void weft_crc32c__rfc3720_vectors(void **state)
{
	(void)state;
	check_vectors(weft_crc32c);
}

static void weft_crc32c_portable__rfc3720_vectors(void **state)
{
	(void)state;
	check_vectors(weft_crc32c_portable);
}

/* The fast one works in stripes of 3 x 1024 bytes, words and single bytes; random lengths, alignments and
 * cuts go through all joints between them. */
static void weft_crc32c__like_portable_in_any_pieces(void **state)
{
	const size_t size = 20000;
	uint8_t *buf = malloc(size);
	struct weft_prng rnd;

	(void)state;
	assert_non_null(buf);
	weft_prng_init(&rnd, 1);
	for (size_t i = 0; i < size; i++)
		buf[i] = (uint8_t)weft_prng_next(&rnd);
	for (int round = 0; round < 2000; round++) {
		size_t start = weft_prng_below(&rnd, 64);
		size_t len = weft_prng_below(&rnd, (uint32_t)(size - start));
		uint32_t want, got = 0;

		if (round % 2) /* Half of them near the length where stripes begin. */
			len = 3 * 1024 - 16 + weft_prng_below(&rnd, 32);
		want = weft_crc32c_portable(0, buf + start, len);
		assert_int_equal(weft_crc32c(0, buf + start, len), want);
		for (size_t done = 0; done < len;) {
			size_t piece = weft_prng_below(&rnd, (uint32_t)(len - done) + 1);

			got = weft_crc32c(got, buf + start + done, piece);
			done += piece;
		}
		assert_int_equal(got, want);
	}
	free(buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_crc32c__rfc3720_vectors),
		cmocka_unit_test(weft_crc32c_portable__rfc3720_vectors),
		cmocka_unit_test(weft_crc32c__like_portable_in_any_pieces),
	};

	return cmocka_run_group_tests_name("crc32c", tests, NULL, NULL);
}
