/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_TESTS_FUZZ_FUZZ_H
#define WEFT_TESTS_FUZZ_FUZZ_H

/* What the fuzz targets share: the bytes of an input read one after the other, and the way to say that a
 * rule was broken. Past the end of the input every byte is 0, so any input is a valid one. */
#include "base/types.h"

/* The entry that libFuzzer calls, and runner.c in builds without it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_in {
	const uint8_t *at, *end;
};

static inline bool fuzz_left(const struct fuzz_in *in)
{
	return in->at < in->end;
}

static inline uint8_t fuzz_u8(struct fuzz_in *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static inline uint16_t fuzz_u16(struct fuzz_in *in)
{
	uint16_t hi = fuzz_u8(in);

	return (uint16_t)(hi << 8 | fuzz_u8(in));
}

static inline uint64_t fuzz_u64(struct fuzz_in *in)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | fuzz_u8(in);
	return v;
}

/* A finding: says which rule was broken and aborts, which both runners report with the input. */
_Noreturn __attribute__((format(printf, 3, 4))) void fuzz_fail(const char *file, int line,
							       const char *fmt, ...);

/* With FUZZ_TRACE set in the environment, a line on stderr for each thing that happens; otherwise nothing. */
__attribute__((format(printf, 1, 2))) void fuzz_trace(const char *fmt, ...);

#define FUZZ_CHECK(cond, ...)                                       \
	do {                                                        \
		if (!(cond))                                        \
			fuzz_fail(__FILE__, __LINE__, __VA_ARGS__); \
	} while (0)

#endif
