/* SPDX-License-Identifier: BSD-2-Clause */
/* The numbers of failed requests, and what is behind each.
 *
 * A code is looked up once for a line that has one, so the search may be plain. */
#include "advice/efacode.h"

#include <assert.h>

static const struct weft_efa_code codes[] = {
#define CODE(code, text, finding, cause) { code, text, cause, WEFT_FINDING_##finding },
#define CODE_BY_NUMBER                   CODE
#include "advice/efacode.inc"
#undef CODE_BY_NUMBER
#undef CODE
};

static_assert(WEFT_ARRAY_SIZE(codes) == WEFT_EFA_CODES, "one number for both");

const struct weft_efa_code *weft_efa_code_at(uint32_t index)
{
	return index < WEFT_EFA_CODES ? &codes[index] : NULL;
}

uint32_t weft_efa_code_index(uint32_t code)
{
	for (uint32_t i = 0; i < WEFT_EFA_CODES; i++)
		if (codes[i].code == code)
			return i;
	return WEFT_EFA_CODES;
}
