/* SPDX-License-Identifier: BSD-2-Clause */
/* Both the pattern and the hash work on 64-bit words: every payload byte of a run passes through here
 * several times, and this must not be what a run spends its time on. */
#include "sim/pattern.h"

#include "base/bytes.h"

#define MIX 0x9e3779b97f4a7c15u

static inline uint64_t pattern_word(uint64_t stream, uint64_t i)
{
	uint64_t x;

	if (!i)
		return stream;
	x = (stream * 0xd1342543de82ef95u + i) * MIX;
	return x ^ x >> 29;
}

static inline uint64_t to_le(uint64_t v)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return v;
#else
	return __builtin_bswap64(v);
#endif
}

void weft_sim_fill(uint64_t stream, uint64_t off, void *buf, size_t len)
{
	uint8_t *p = buf;
	uint64_t i = off / 8;
	uint64_t w;

	if (off % 8 && len) {
		size_t n = WEFT_MIN(8 - off % 8, len);

		w = to_le(pattern_word(stream, i++));
		memcpy(p, (const uint8_t *)&w + off % 8, n);
		p += n;
		len -= n;
	}
	for (; len >= 8; len -= 8, p += 8) {
		w = to_le(pattern_word(stream, i++));
		memcpy(p, &w, 8);
	}
	if (len) {
		w = to_le(pattern_word(stream, i));
		memcpy(p, &w, len);
	}
}

static inline uint64_t hash_step(uint64_t h, uint64_t w)
{
	h = (h ^ w) * 0xff51afd7ed558ccdu;
	return h ^ h >> 32;
}

uint64_t weft_sim_hash(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t h = MIX ^ len;
	uint64_t w;

	for (; len >= 8; len -= 8, p += 8) {
		memcpy(&w, p, 8);
		h = hash_step(h, to_le(w));
	}
	w = 0;
	memcpy(&w, p, len);
	return hash_step(h, to_le(w));
}

uint64_t weft_sim_fill_hash(uint64_t stream, uint64_t off, size_t len)
{
	uint8_t buf[8];
	uint64_t h = MIX ^ len;
	uint64_t w;

	if (off % 8 == 0) {
		uint64_t i = off / 8;

		for (; len >= 8; len -= 8)
			h = hash_step(h, pattern_word(stream, i++));
		off = i * 8;
	}
	for (; len >= 8; len -= 8, off += 8) {
		weft_sim_fill(stream, off, buf, 8);
		memcpy(&w, buf, 8);
		h = hash_step(h, to_le(w));
	}
	w = 0;
	weft_sim_fill(stream, off, &w, len);
	return hash_step(h, to_le(w));
}
