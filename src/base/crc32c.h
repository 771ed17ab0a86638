/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_BASE_CRC32C_H
#define WEFT_BASE_CRC32C_H

#include "base/types.h"

/* CRC-32C (Castagnoli, reflected) of `len` bytes. `crc` is 0 for the first piece and the result of the
 * piece before for the next ones, so a scattered payload gives the same value as a flat one. */
uint32_t weft_crc32c(uint32_t crc, const void *data, size_t len);

/* The table-driven twin, for machines without the instruction; exported for the test that holds both
 * against each other. */
uint32_t weft_crc32c_portable(uint32_t crc, const void *data, size_t len);

#endif
