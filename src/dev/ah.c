/* SPDX-License-Identifier: BSD-2-Clause */
/* Address handles. Within a PD an address has one handle, however often it is created, and a number by
 * which receives name their sender. Creating one never waits for the peer: an address says all there is. */
#include "dev/core.h"

#include <errno.h>
#include <string.h>

#define NUMBERS_MIN 4096u /* In turn, even for a single handle. */

static uint16_t *bucket_of(struct weft_pd *pd, const struct weft_gid *gid)
{
	return &pd->ah_hash[weft_gid_hash(gid) & (WEFT_AH_BUCKETS - 1)];
}

static uint16_t find(const struct weft_pd *pd, const struct weft_gid *gid)
{
	uint16_t i = pd->ah_hash[weft_gid_hash(gid) & (WEFT_AH_BUCKETS - 1)];

	while (i && memcmp(&pd->ah[i].gid, gid, sizeof(*gid)))
		i = pd->ah[i].hash_next;
	return i;
}

/* Numbers go round, so that one that was just freed does not at once name somebody else; but not further than
 * that takes, since each new one is memory touched. 0: all are in use. */
static uint16_t take_number(struct weft_pd *pd)
{
	uint32_t span = WEFT_MIN(2 * pd->ahs + NUMBERS_MIN, WEFT_DEV_AH_MAX);

	if (pd->ahs == WEFT_DEV_AH_MAX)
		return 0;
	do
		pd->ah_last = (uint16_t)(pd->ah_last % span + 1);
	while (pd->ah[pd->ah_last].refs);
	return pd->ah_last;
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
	uint16_t *bucket = bucket_of(pd, gid), i = find(pd, gid);

	if (!i) {
		i = take_number(pd);
		if (!i)
			return -ENOMEM;
		pd->ah[i] = (struct weft_ah){
			.gid = *gid,
			.number = i,
			.hash_next = *bucket,
			.peer.link = WEFT_LINKS,
		};
		*bucket = i;
		pd->ahs++;
	}
	pd->ah[i].refs++;
	pd->refs++;
	*ah_out = &pd->ah[i];
	return 0;
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
	weft_card_unlock(card);
	return err;
}

int weft_ah_destroy(struct weft_ah *ah)
{
	struct weft_pd *pd = weft_ah_pd(ah);
	struct weft_card *card = pd->card;
	uint16_t *at;

	weft_card_lock(card);
	if (ah->refs == 1)
		weft_sq_linger(card);
	pd->refs--;
	if (--ah->refs) {
		weft_card_unlock(card);
		return 0;
	}
	weft_sq_cancel_ah(card, ah);
	weft_peers_drop(ah);
	at = bucket_of(pd, &ah->gid);
	while (*at != ah->number)
		at = &pd->ah[*at].hash_next;
	*at = ah->hash_next;
	pd->ahs--;
	weft_card_unlock(card);
	return 0;
}

uint16_t weft_ah_number(const struct weft_ah *ah)
{
	return ah->number;
}

struct weft_ah *weft_ah_at(struct weft_pd *pd, uint16_t number)
{
	return &pd->ah[number];
}

uint16_t weft_ah_lookup(const struct weft_pd *pd, const struct weft_gid *gid)
{
	uint16_t i = find(pd, gid);

	return i ? i : WEFT_DEV_AHN_UNKNOWN;
}
