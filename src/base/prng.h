/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_BASE_PRNG_H
#define WEFT_BASE_PRNG_H

/* A small seeded generator (splitmix64): the only source of chance in the engine and the simulator.
 * Not for secrets. The same seed gives the same sequence with every compiler and on every machine. */
#include "base/types.h"

struct weft_prng {
	uint64_t state;
};

static inline void weft_prng_init(struct weft_prng *p, uint64_t seed)
{
	p->state = seed;
}

static inline uint64_t weft_prng_next(struct weft_prng *p)
{
	uint64_t z = (p->state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* Uniform in [0, n); n > 0. The bias of the multiplication is below n / 2^32 and does not matter here. */
static inline uint32_t weft_prng_below(struct weft_prng *p, uint32_t n)
{
	return (uint32_t)(((weft_prng_next(p) >> 32) * n) >> 32);
}

/* True in `ppm` of a million cases. */
static inline bool weft_prng_chance(struct weft_prng *p, uint32_t ppm)
{
	return ppm && weft_prng_below(p, 1000000) < ppm;
}

#endif
