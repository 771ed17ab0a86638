/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_BASE_GID_H
#define WEFT_BASE_GID_H

/* Addresses as keys of hash tables. */
#include "base/types.h"

#include <string.h>

static inline uint32_t weft_gid_hash(const struct weft_gid *gid)
{
	uint64_t a, b;

	memcpy(&a, gid->raw, 8);
	memcpy(&b, gid->raw + 8, 8);
	/* Addresses differ in their last bytes, which are the upper ones here: a product carries only upward,
	 * so they have to be brought down before each. */
	a = (a ^ a >> 32) * 0x9e3779b97f4a7c15u ^ b;
	a = (a ^ a >> 32) * 0xbf58476d1ce4e5b9u;
	a = (a ^ a >> 29) * 0x94d049bb133111ebu;
	return (uint32_t)(a >> 32);
}

#endif
