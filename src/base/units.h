/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_BASE_UNITS_H
#define WEFT_BASE_UNITS_H

/* Strict readers for what people type as arguments and write into configuration. The whole string must
 * be the value: no blanks, no sign, nothing behind it, no locale. True and *out on success; otherwise
 * false and *out is left alone, so that nothing turns into a silent default. A fraction ("1.5g") is
 * accepted where a unit follows and the result is a whole number of bytes, bits or nanoseconds. */
#include "base/types.h"

/* Decimal, or hexadecimal after 0x. */
bool weft_parse_u64(const char *s, uint64_t *out);

/* Bytes: none or B; k K kB KB, M m MB, G g GB, T t TB are powers of 1000; KiB MiB GiB TiB of 1024. */
bool weft_parse_bytes(const char *s, uint64_t *bytes_out);

/* Bits per second: none, k, m, g, t (either case), optionally followed by bps, bit or bit/s. */
bool weft_parse_rate(const char *s, uint64_t *bps_out);

/* Time with a unit, which is not optional (but for 0): ns us ms s. */
bool weft_parse_time(const char *s, weft_ns *ns_out);

/* "25%" to parts per million; 0 to 100 % with at most four digits behind the point. */
bool weft_parse_percent(const char *s, uint32_t *ppm_out);

#endif
