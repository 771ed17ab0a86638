/* SPDX-License-Identifier: BSD-2-Clause */
/* Address handles. Within a PD an address has one handle, however often it is created, and a number by
 * which receives name their sender. Creating one never waits for the peer: an address says all there is. */
#include "dev/core.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct weft_ah *find(const struct weft_pd *pd, const struct weft_gid *gid)
{
	struct weft_ah *ah;

	if (!pd->ah_hash_size)
		return NULL;
	ah = pd->ah_hash[weft_gid_hash(gid) & (pd->ah_hash_size - 1)];
	while (ah && memcmp(&ah->host->gid, gid, sizeof(*gid)))
		ah = ah->hash_next;
	return ah;
}

static int grow(struct weft_pd *pd)
{
	uint32_t size = pd->ah_hash_size ? pd->ah_hash_size * 2 : 64;
	struct weft_ah **table = calloc(size, sizeof(struct weft_ah *));

	if (!table)
		return -ENOMEM;
	for (uint32_t i = 0; i < pd->ah_hash_size; i++) {
		for (struct weft_ah *ah = pd->ah_hash[i], *next; ah; ah = next) {
			uint32_t at = weft_gid_hash(&ah->host->gid) & (size - 1);

			next = ah->hash_next;
			ah->hash_next = table[at];
			table[at] = ah;
		}
	}
	free(pd->ah_hash);
	pd->ah_hash = table;
	pd->ah_hash_size = size;
	return 0;
}

/* Numbers go round, so that one that was just freed does not at once name somebody else. */
static int take_number(struct weft_pd *pd, uint16_t *number_out)
{
	if (!pd->ah_used) {
		pd->ah_used = calloc(WEFT_DEV_AH_MAX / 64, sizeof(uint64_t));
		if (!pd->ah_used)
			return -ENOMEM;
	}
	for (uint32_t i = 0; i < WEFT_DEV_AH_MAX; i++) {
		uint32_t n = (pd->ah_next + i) % WEFT_DEV_AH_MAX;

		if (pd->ah_used[n / 64] >> n % 64 & 1)
			continue;
		pd->ah_used[n / 64] |= (uint64_t)1 << n % 64;
		pd->ah_next = (uint16_t)((n + 1) % WEFT_DEV_AH_MAX);
		*number_out = (uint16_t)n;
		return 0;
	}
	return -ENOMEM;
}

/* An address that we could never send to is refused here and not by a time-out later. */
static int check_gid(const struct weft_card *card, const struct weft_gid *gid)
{
	const struct weft_ip *own = &card->info->ip;
	struct weft_endpoint e;

	if (weft_gid_decode(gid, &e) || e.ip.v6 != own->v6)
		return -EINVAL;
	if (e.ip.v6 ? gid->raw[0] != card->info->gid.raw[0]
		    : (e.ip.raw[0] == 127) != (own->raw[0] == 127))
		return -EINVAL;
	return 0;
}

static int create(struct weft_pd *pd, const struct weft_gid *gid, struct weft_ah **ah_out)
{
	struct weft_ah *ah = find(pd, gid);
	uint32_t at;
	int err;

	if (ah) {
		ah->refs++;
		*ah_out = ah;
		return 0;
	}
	if (pd->ahs >= pd->ah_hash_size) {
		err = grow(pd);
		if (err)
			return err;
	}
	ah = calloc(1, sizeof(*ah));
	if (!ah)
		return -ENOMEM;
	err = take_number(pd, &ah->number);
	if (err)
		goto err_free;
	ah->host = weft_host_get(pd->card, gid);
	if (!ah->host) {
		err = -ENOMEM;
		goto err_number;
	}
	ah->pd = pd;
	ah->refs = 1;
	at = weft_gid_hash(gid) & (pd->ah_hash_size - 1);
	ah->hash_next = pd->ah_hash[at];
	pd->ah_hash[at] = ah;
	pd->ahs++;
	*ah_out = ah;
	return 0;

err_number:
	pd->ah_used[ah->number / 64] &= ~((uint64_t)1 << ah->number % 64);
err_free:
	free(ah);
	return err;
}

int weft_ah_create(struct weft_pd *pd, const struct weft_gid *gid, struct weft_ah **ah_out)
{
	struct weft_card *card = pd->card;
	int err;

	if (card->dead)
		return -EIO;
	err = check_gid(card, gid);
	if (err)
		return err;
	weft_card_lock(card);
	err = create(pd, gid, ah_out);
	if (!err)
		pd->refs++;
	weft_card_unlock(card);
	return err;
}

int weft_ah_destroy(struct weft_ah *ah)
{
	struct weft_pd *pd = ah->pd;
	struct weft_card *card = pd->card;
	struct weft_ah **at;

	weft_card_lock(card);
	if (ah->refs == 1)
		weft_sq_linger(card);
	pd->refs--;
	if (--ah->refs) {
		weft_card_unlock(card);
		return 0;
	}
	weft_sq_cancel_ah(card, ah);
	at = &pd->ah_hash[weft_gid_hash(&ah->host->gid) & (pd->ah_hash_size - 1)];
	while (*at != ah)
		at = &(*at)->hash_next;
	*at = ah->hash_next;
	pd->ahs--;
	pd->ah_used[ah->number / 64] &= ~((uint64_t)1 << ah->number % 64);
	weft_host_put(card, ah->host);
	weft_card_unlock(card);
	free(ah);
	return 0;
}

uint16_t weft_ah_number(const struct weft_ah *ah)
{
	return ah->number;
}

uint16_t weft_ah_lookup(const struct weft_pd *pd, const struct weft_gid *gid)
{
	const struct weft_ah *ah = find(pd, gid);

	return ah ? ah->number : WEFT_DEV_AHN_UNKNOWN;
}

void weft_ahs_fini(struct weft_pd *pd)
{
	free(pd->ah_hash);
	free(pd->ah_used);
}
