/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_SIM_PATTERN_H
#define WEFT_SIM_PATTERN_H

/* What the simulated applications send: byte `off` of stream `s` is a function of both, so that nobody has
 * to store a payload to recognise it. The first eight bytes of a stream are its number (little-endian):
 * a message tells by itself which work request it came from, as far as it is long enough. */
#include "base/types.h"

void weft_sim_fill(uint64_t stream, uint64_t off, void *buf, size_t len);

/* A 64-bit hash of bytes, not for secrets. */
uint64_t weft_sim_hash(const void *data, size_t len);

/* weft_sim_hash() of what weft_sim_fill() would have stored. */
uint64_t weft_sim_fill_hash(uint64_t stream, uint64_t off, size_t len);

/* Stream of a work request, and of the memory behind a key that READs see. */
static inline uint64_t weft_sim_wr_stream(uint32_t wr)
{
	return wr;
}

static inline uint64_t weft_sim_mem_stream(uint32_t key)
{
	return (uint64_t)1 << 63 | key;
}

#endif
