/* SPDX-License-Identifier: BSD-2-Clause */
/* CRC-32C with the processor's own instruction where there is one (SSE 4.2, ARMv8 CRC) and a table of
 * 256 entries elsewhere. The x86 instruction has a latency of three cycles and a throughput of one, so
 * long inputs run as three independent streams that are joined by a multiplication modulo the
 * polynomial: see "Joining streams" below. */
#include "base/crc32c.h"

#include <string.h>

#define POLY 0x82f63b78u

static uint32_t table[256];

static __attribute__((constructor)) void table_init(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int k = 0; k < 8; k++)
			c = (c >> 1) ^ (c & 1 ? POLY : 0);
		table[i] = c;
	}
}

uint32_t weft_crc32c_portable(uint32_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;

	crc = ~crc;
	while (len--)
		crc = (crc >> 8) ^ table[(crc ^ *p++) & 0xff];
	return ~crc;
}

#if defined(__x86_64__)

#include <nmmintrin.h>

/* Joining streams: the CRC register after appending n zero bytes is a linear map of the register
 * before, namely a product with x^(8n) modulo the polynomial. For one fixed stripe length that map is
 * kept as four tables of 256 entries, one for each byte of the register. */
#define STRIPE 1024u

static uint32_t shift_table[4][256];
static bool has_sse42;

static __attribute__((constructor(102))) void shift_init(void)
{
	uint32_t basis[32];

	has_sse42 = __builtin_cpu_supports("sse4.2");
	for (int bit = 0; bit < 32; bit++) {
		uint32_t c = 1u << bit;

		for (uint32_t i = 0; i < STRIPE * 8; i++)
			c = (c >> 1) ^ (c & 1 ? POLY : 0);
		basis[bit] = c;
	}
	for (int b = 0; b < 4; b++)
		for (uint32_t v = 0; v < 256; v++)
			for (int bit = 0; bit < 8; bit++)
				if (v & (1u << bit))
					shift_table[b][v] ^= basis[8 * b + bit];
}

static inline uint32_t shift(uint32_t c)
{
	return shift_table[0][c & 0xff] ^ shift_table[1][(c >> 8) & 0xff] ^
	       shift_table[2][(c >> 16) & 0xff] ^ shift_table[3][c >> 24];
}

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static __attribute__((target("sse4.2"))) uint32_t crc32c_sse42(uint32_t crc, const uint8_t *p,
							       size_t len)
{
	uint64_t c0 = ~crc;

	while (len >= 3 * STRIPE) {
		uint64_t c1 = 0, c2 = 0;

		for (uint32_t i = 0; i < STRIPE; i += 8) {
			c0 = _mm_crc32_u64(c0, load64(p + i));
			c1 = _mm_crc32_u64(c1, load64(p + STRIPE + i));
			c2 = _mm_crc32_u64(c2, load64(p + 2 * STRIPE + i));
		}
		c0 = shift(shift((uint32_t)c0) ^ (uint32_t)c1) ^ (uint32_t)c2;
		p += 3 * STRIPE;
		len -= 3 * STRIPE;
	}
	for (; len >= 8; len -= 8, p += 8)
		c0 = _mm_crc32_u64(c0, load64(p));
	for (; len; len--, p++)
		c0 = _mm_crc32_u8((uint32_t)c0, *p);
	return ~(uint32_t)c0;
}

uint32_t weft_crc32c(uint32_t crc, const void *data, size_t len)
{
	return has_sse42 ? crc32c_sse42(crc, data, len) : weft_crc32c_portable(crc, data, len);
}

#elif defined(__ARM_FEATURE_CRC32)

#include <arm_acle.h>

uint32_t weft_crc32c(uint32_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;

	crc = ~crc;
	for (; len >= 8; len -= 8, p += 8) {
		uint64_t v;

		memcpy(&v, p, sizeof(v));
		crc = __crc32cd(crc, v);
	}
	for (; len; len--, p++)
		crc = __crc32cb(crc, *p);
	return ~crc;
}

#else

uint32_t weft_crc32c(uint32_t crc, const void *data, size_t len)
{
	return weft_crc32c_portable(crc, data, len);
}

#endif
