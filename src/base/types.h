/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_BASE_TYPES_H
#define WEFT_BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A point in time or a length of time, in nanoseconds. Points count from an origin that the owner of
 * the clock chooses (boot, start of a simulation); only differences mean anything. */
typedef uint64_t weft_ns;

#define WEFT_NS_NEVER UINT64_MAX
#define WEFT_US(n)    ((weft_ns)(n)*1000u)
#define WEFT_MS(n)    ((weft_ns)(n)*1000000u)
#define WEFT_S(n)     ((weft_ns)(n)*1000000000u)

/* The address of one card, as the verbs interface knows it. To the engine and to a simulated wire
 * it is 16 opaque bytes; only wire/udp reads an IP address out of it. */
struct weft_gid {
	uint8_t raw[16];
};

#define WEFT_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define WEFT_MIN(a, b)     ((a) < (b) ? (a) : (b))
#define WEFT_MAX(a, b)     ((a) > (b) ? (a) : (b))

/* The smallest power of two that is not below n; n up to 2^31. */
static inline uint32_t weft_pow2_at_least(uint32_t n)
{
	uint32_t p = 1;

	while (p < n)
		p *= 2;
	return p;
}

#endif
