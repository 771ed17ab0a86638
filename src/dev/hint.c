/* SPDX-License-Identifier: BSD-2-Clause */
/* Libfabric up to 1.17 asks to be told that a card can READ; later ones find out. Without, all that is longer than a SEND
 * goes in SENDs, and is copied three times on its way. With cards that cannot it would abort the program. How long a
 * message is worth its round trip was measured (docs/performance.md); on Amazon's cards it is 1 MiB. */
#include "dev/hint.h"

static const struct weft_hint hints[] = {
	{ "FI_EFA_USE_DEVICE_RDMA", "1" },
	{ "FI_EFA_INTER_MIN_READ_MESSAGE_SIZE", "131072" },
};

const struct weft_hint *weft_hints(const struct weft_card_info *cards, uint32_t count,
				   size_t *count_out)
{
	*count_out = WEFT_ARRAY_SIZE(hints);
	for (uint32_t i = 0; i < count; i++)
		if (!(cards[i].caps & WEFT_CAP_RDMA_READ))
			*count_out = 0;
	return hints;
}
