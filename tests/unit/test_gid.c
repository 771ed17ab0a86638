/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/gid.h"

#include "unit.h"

#define BUCKETS 16384u
#define ADDRS   10000u

/* Addresses of one network differ in two or three bytes. Those bytes may be any of them: the host part of an IPv4
 * address comes last, the number of a process on a host first or eighth. */
static void weft_gid_hash__spreads_neighbours(void **state)
{
	static uint8_t used[BUCKETS];

	(void)state;
	for (uint32_t low = 0; low < 16; low++) {
		for (uint32_t high = 0; high < 16; high++) {
			struct weft_gid gid = { .raw = { 0xfe, 0x80, [8] = 0x57, [12] = 127 } };
			uint32_t longest = 0;

			if (low == high)
				continue;
			memset(used, 0, sizeof(used));
			for (uint32_t i = 0; i < ADDRS; i++) {
				uint8_t *bucket;

				gid.raw[low] = (uint8_t)i;
				gid.raw[high] = (uint8_t)(i >> 8);
				bucket = &used[weft_gid_hash(&gid) & (BUCKETS - 1)];
				longest = WEFT_MAX(longest, ++*bucket);
			}
			if (longest > 12)
				fail_msg("bytes %u and %u: %u in one bucket", low, high, longest);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_gid_hash__spreads_neighbours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
