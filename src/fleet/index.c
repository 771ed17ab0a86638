/* SPDX-License-Identifier: BSD-2-Clause */
/* Open addressing. Keys come out of SipHash, so they need no further mixing; that two of a few million names share all
 * 64 bits is less likely than an error of the memory. The key of the hash is nobody's secret: who may name pods at will
 * may hide one of his own. */
#include "fleet/index.h"

#include "base/siphash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void weft_index_fini(struct weft_index *index)
{
	free(index->slot);
	*index = (struct weft_index){ NULL, 0, 0 };
}

uint64_t weft_index_key(const char *a, const char *b)
{
	static const uint8_t key[16] = "weft fleet index";
	char name[600];
	int len = snprintf(name, sizeof(name), "%.290s/%.290s", a, b ? b : "");
	uint64_t hash = weft_siphash24(key, name, (size_t)len);

	return hash ? hash : 1;
}

static struct weft_index_slot *find(struct weft_index_slot *slot, uint32_t slots, uint64_t key)
{
	uint32_t at = (uint32_t)key & (slots - 1);

	while (slot[at].key && slot[at].key != key)
		at = (at + 1) & (slots - 1);
	return &slot[at];
}

static bool grow(struct weft_index *index)
{
	uint32_t slots = index->slots ? 2 * index->slots : 1024;
	struct weft_index_slot *slot = calloc(slots, sizeof(*slot));

	if (!slot)
		return false;
	for (uint32_t i = 0; i < index->slots; i++)
		if (index->slot[i].key)
			*find(slot, slots, index->slot[i].key) = index->slot[i];
	free(index->slot);
	index->slot = slot;
	index->slots = slots;
	return true;
}

uint32_t *weft_index_put(struct weft_index *index, uint64_t key, uint32_t value, bool *new_out)
{
	struct weft_index_slot *slot;

	if (index->count >= index->slots / 2 && !grow(index))
		return NULL;
	slot = find(index->slot, index->slots, key);
	*new_out = !slot->key;
	if (!slot->key) {
		slot->key = key;
		slot->value = value;
		index->count++;
	}
	return &slot->value;
}
