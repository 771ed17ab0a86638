/* SPDX-License-Identifier: BSD-2-Clause */
/* Peers. A peer is one process at the address of a handle, that a work request named by the upper half of a
 * QPN. With its first work request it gets a link for as long as it is known: shared memory if the process can
 * be seen there, else UDP.
 *
 * At most addresses there is one process, or one at a time, so the handle itself has a place for a peer, and
 * whoever is used moves there. The others wait in the PD's array `more`.
 *
 * A peer holds a reference to a context of its link's engine and nothing else: work requests that are under way
 * do not need it. So it may go at any time. */
#include "dev/core.h"

#include <errno.h>

static struct weft_link *link_of(const struct weft_ah *ah, const struct weft_peer *peer)
{
	return &weft_ah_pd(ah)->card->link[peer->link];
}

static void give_back(const struct weft_ah *ah, const struct weft_peer *peer)
{
	struct weft_link *link = link_of(ah, peer);

	if (link->srd) /* Else the card is closed, or the parent's. */
		weft_srd_peer_put(link->srd, peer->engine);
}

/* The array `more`: 0 is no index. */

static uint16_t more_take(struct weft_pd *pd)
{
	uint16_t i = pd->more_free;

	if (i)
		pd->more_free = pd->more[i].next;
	else if (pd->more_len < WEFT_MORE_PEERS)
		i = ++pd->more_len;
	return i;
}

static void more_put(struct weft_pd *pd, uint16_t i)
{
	pd->more[i].next = pd->more_free;
	pd->more_free = i;
}

static void drop_first(struct weft_ah *ah)
{
	struct weft_pd *pd = weft_ah_pd(ah);
	uint16_t i = ah->peer.next;

	give_back(ah, &ah->peer);
	ah->peer = i ? pd->more[i] : (struct weft_peer){ .link = WEFT_LINKS };
	if (i)
		more_put(pd, i);
}

void weft_peers_drop(struct weft_ah *ah)
{
	while (ah->peer.link != WEFT_LINKS)
		drop_first(ah);
}

/* Room for others: of this handle's peers on that link, those go that nothing is under way with. */

static bool is_idle(const struct weft_link *link, const struct weft_peer *peer)
{
	struct weft_srd_peer_info info;

	return peer->link == link->kind && !weft_srd_peer_info(link->srd, peer->engine, &info) &&
	       !info.has_active;
}

static bool drop_idle(struct weft_ah *ah, const struct weft_link *link)
{
	struct weft_pd *pd = weft_ah_pd(ah);
	uint16_t *at = &ah->peer.next, i;
	bool any = false;

	while ((i = *at)) {
		if (!is_idle(link, &pd->more[i])) {
			at = &pd->more[i].next;
			continue;
		}
		give_back(ah, &pd->more[i]);
		*at = pd->more[i].next;
		more_put(pd, i);
		any = true;
	}
	if (is_idle(link, &ah->peer)) {
		drop_first(ah);
		any = true;
	}
	return any;
}

/* The engine has no place for another peer: those that nothing is under way with give theirs back. It keeps
 * what it knows of them as long as it can, and they are known again when they are needed. */
static bool forget_idle(struct weft_card *card, const struct weft_link *link)
{
	bool any = false;

	for (struct weft_pd *pd = card->pd_list; pd; pd = pd->next_on_card)
		for (uint32_t b = 0; b < WEFT_AH_BUCKETS && pd->ahs; b++)
			for (uint16_t i = pd->ah_hash[b]; i; i = pd->ah[i].hash_next)
				any |= drop_idle(&pd->ah[i], link);
	return any;
}

static int make(struct weft_ah *ah, uint8_t slot, struct weft_peer *peer_out)
{
	struct weft_card *card = weft_ah_pd(ah)->card;
	struct weft_link *link = &card->link[WEFT_LINK_UDP], *local = &card->link[WEFT_LINK_LOCAL];
	struct weft_gid address;
	uint32_t engine;
	int err;

	weft_link_address(card, &ah->gid, slot, &address);
	if (local->srd &&
	    (weft_conf_get()->wire == WEFT_CONF_WIRE_LOCAL || weft_link_sees(local, &address)))
		link = local;
	err = weft_srd_peer_get(link->srd, &address, &engine);
	if (err == -ENOMEM && forget_idle(card, link))
		err = weft_srd_peer_get(link->srd, &address, &engine);
	if (!err)
		*peer_out = (struct weft_peer){
			.engine = engine,
			.slot = slot,
			.link = (uint8_t)link->kind,
		};
	return err;
}

/* Not the one used last: it changes places with that one. */
struct weft_peer *weft_peer_look(struct weft_ah *ah, uint8_t slot)
{
	struct weft_pd *pd = weft_ah_pd(ah);
	struct weft_peer last, found;
	uint16_t i = ah->peer.next;

	while (i && pd->more[i].slot != slot)
		i = pd->more[i].next;
	if (i) {
		last = ah->peer;
		found = pd->more[i];
		pd->more[i] = last;
		pd->more[i].next = found.next;
		ah->peer = found;
		ah->peer.next = last.next;
		return &ah->peer;
	}
	if (make(ah, slot, &found))
		return NULL;
	if (ah->peer.link != WEFT_LINKS) {
		i = more_take(pd);
		if (!i) {
			give_back(ah, &found);
			return NULL;
		}
		pd->more[i] = ah->peer;
		found.next = i;
	}
	ah->peer = found;
	return &ah->peer;
}
