/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_FLEET_INDEX_H
#define WEFT_FLEET_INDEX_H

/* A set of names, each with a number: which node it is, which pods were seen. Only 64 bits of a name are kept. */
#include "base/types.h"

struct weft_index_slot {
	uint64_t key; /* 0: free. */
	uint32_t value;
};

struct weft_index {
	struct weft_index_slot *slot; /* owns */
	uint32_t slots; /* A power of two, or 0. */
	uint32_t count;
};

void weft_index_fini(struct weft_index *index);

/* What stands for "a/b"; b may be NULL. */
uint64_t weft_index_key(const char *a, const char *b);

/* The value of a key, which is `value` from now on if it had none: *new_out says so. NULL: no memory. */
uint32_t *weft_index_put(struct weft_index *index, uint64_t key, uint32_t value, bool *new_out);

#endif
