/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_BASE_BYTES_H
#define WEFT_BASE_BYTES_H

/* Big-endian loads and stores at any alignment, through memcpy so that no compiler may guess. */
#include "base/types.h"

#include <string.h>

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define WEFT_BE16(v) __builtin_bswap16(v)
#define WEFT_BE32(v) __builtin_bswap32(v)
#define WEFT_BE64(v) __builtin_bswap64(v)
#else
#define WEFT_BE16(v) (v)
#define WEFT_BE32(v) (v)
#define WEFT_BE64(v) (v)
#endif

static inline uint16_t weft_get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return WEFT_BE16(v);
}

static inline uint32_t weft_get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return WEFT_BE32(v);
}

static inline uint64_t weft_get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return WEFT_BE64(v);
}

static inline void weft_put16(uint8_t *p, uint16_t v)
{
	v = WEFT_BE16(v);
	memcpy(p, &v, sizeof(v));
}

static inline void weft_put32(uint8_t *p, uint32_t v)
{
	v = WEFT_BE32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void weft_put64(uint8_t *p, uint64_t v)
{
	v = WEFT_BE64(v);
	memcpy(p, &v, sizeof(v));
}

#endif
