/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_DEV_HINT_H
#define WEFT_DEV_HINT_H

/* What programs have to be told of these cards by environment variables of their own, as they cannot find it out. */
#include "dev/cardset.h"

struct weft_hint {
	const char *name, *value;
};

/* Those for this set: *count_out of them; none, if there are none. */
const struct weft_hint *weft_hints(const struct weft_card_info *cards, uint32_t count,
				   size_t *count_out);

#endif
