/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_BASE_SIPHASH_H
#define WEFT_BASE_SIPHASH_H

#include "base/types.h"

/* SipHash-2-4 of `len` bytes under a 128-bit key: a short-input message authentication code. */
uint64_t weft_siphash24(const uint8_t key[16], const void *data, size_t len);

#endif
