/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_ADVICE_QUANTITY_H
#define WEFT_ADVICE_QUANTITY_H

/* Amounts as Kubernetes writes them: "100m", "1.5", "5120Mi", "1e3", "2Ki". */
#include "base/types.h"

/* In thousandths, rounded up to the next, as Kubernetes does. False: it is no quantity, a negative one, or more than
 * fits (from 18.4 P on); then *milli_out is left alone. */
bool weft_quantity_parse(const char *text, uint64_t *milli_out);

/* Whole units, rounded up. */
static inline uint64_t weft_quantity_whole(uint64_t milli)
{
	return milli / 1000 + (milli % 1000 != 0);
}

/* A sum that stays at the largest value, where it would pass it. */
static inline uint64_t weft_quantity_add(uint64_t a, uint64_t b)
{
	return a + b < a ? UINT64_MAX : a + b;
}

#endif
