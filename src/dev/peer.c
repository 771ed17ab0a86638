/* SPDX-License-Identifier: BSD-2-Clause */
/* Hosts and the processes on them. A host is an address that some address handle names; a peer is one process
 * there, that a work request named by the upper half of a QPN. With its first work request a peer gets a link
 * for as long as it is known: shared memory if the process can be seen there, else UDP. */
#include "dev/core.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int grow(struct weft_card *card)
{
	uint32_t size = card->hosts_size ? card->hosts_size * 2 : 64;
	struct weft_host **hosts = calloc(size, sizeof(struct weft_host *));

	if (!hosts)
		return -ENOMEM;
	for (uint32_t i = 0; i < card->hosts_size; i++) {
		for (struct weft_host *h = card->hosts[i], *next; h; h = next) {
			uint32_t at = weft_gid_hash(&h->gid) & (size - 1);

			next = h->hash_next;
			h->hash_next = hosts[at];
			hosts[at] = h;
		}
	}
	free(card->hosts);
	card->hosts = hosts;
	card->hosts_size = size;
	return 0;
}

struct weft_host *weft_host_get(struct weft_card *card, const struct weft_gid *gid)
{
	struct weft_host *h;
	uint32_t at;

	if (card->hosts_size) {
		for (h = card->hosts[weft_gid_hash(gid) & (card->hosts_size - 1)]; h;
		     h = h->hash_next) {
			if (!memcmp(&h->gid, gid, sizeof(*gid))) {
				h->refs++;
				return h;
			}
		}
	}
	if (card->hosts_len >= card->hosts_size && grow(card))
		return NULL;
	h = calloc(1, sizeof(*h));
	if (!h)
		return NULL;
	h->gid = *gid;
	h->refs = 1;
	at = weft_gid_hash(gid) & (card->hosts_size - 1);
	h->hash_next = card->hosts[at];
	card->hosts[at] = h;
	card->hosts_len++;
	return h;
}

static void peer_free(struct weft_peer *peer)
{
	if (peer->link->srd)
		weft_srd_peer_put(peer->link->srd, peer->engine);
	free(peer);
}

/* A host that nobody names any more goes; its last work requests were cancelled with the handle, but one that
 * the engine still has keeps its peer until then. */
void weft_host_put(struct weft_card *card, struct weft_host *host)
{
	struct weft_host **at = &card->hosts[weft_gid_hash(&host->gid) & (card->hosts_size - 1)];

	if (host->refs && --host->refs)
		return;
	for (struct weft_peer *p = host->peers; p; p = p->next)
		if (p->outstanding)
			return; /* weft_sq_on_complete comes back here. */
	while (*at != host)
		at = &(*at)->hash_next;
	*at = host->hash_next;
	card->hosts_len--;
	for (struct weft_peer *p = host->peers, *next; p; p = next) {
		next = p->next;
		peer_free(p);
	}
	free(host);
}

/* The engine has no place for another peer: those that nothing is under way with give theirs back. It keeps
 * what it knows of them as long as it can, and they are known again when they are needed. */
static bool forget_idle(struct weft_card *card, const struct weft_link *link)
{
	bool any = false;

	for (uint32_t i = 0; i < card->hosts_size; i++) {
		for (struct weft_host *h = card->hosts[i]; h; h = h->hash_next) {
			for (struct weft_peer **at = &h->peers, *p; (p = *at) != NULL;) {
				if (p->link != link || p->outstanding) {
					at = &p->next;
					continue;
				}
				*at = p->next;
				peer_free(p);
				any = true;
			}
		}
	}
	return any;
}

struct weft_peer *weft_peer_find(struct weft_card *card, struct weft_host *host, uint8_t slot,
				 int *error_out)
{
	struct weft_link *local = &card->link[WEFT_LINK_LOCAL];
	struct weft_gid address;
	struct weft_peer *p;

	for (struct weft_peer **at = &host->peers; *at; at = &(*at)->next) {
		p = *at;
		if (p->slot != slot)
			continue;
		*at = p->next;
		p->next = host->peers;
		host->peers = p;
		return p;
	}
	p = calloc(1, sizeof(*p));
	if (!p) {
		*error_out = -ENOMEM;
		return NULL;
	}
	p->host = host;
	p->slot = slot;
	weft_link_address(card, &host->gid, slot, &address);
	p->link = &card->link[WEFT_LINK_UDP];
	if (local->srd &&
	    (weft_conf_get()->wire == WEFT_CONF_WIRE_LOCAL || weft_link_sees(local, &address)))
		p->link = local;
	*error_out = weft_srd_peer_get(p->link->srd, &address, &p->engine);
	if (*error_out == -ENOMEM && forget_idle(card, p->link))
		*error_out = weft_srd_peer_get(p->link->srd, &address, &p->engine);
	if (*error_out) {
		free(p);
		return NULL;
	}
	p->next = host->peers;
	host->peers = p;
	return p;
}

void weft_peers_fini(struct weft_card *card)
{
	for (uint32_t i = 0; i < card->hosts_size; i++) {
		for (struct weft_host *h = card->hosts[i], *next; h; h = next) {
			next = h->hash_next;
			for (struct weft_peer *p = h->peers, *q; p; p = q) {
				q = p->next;
				peer_free(p);
			}
			free(h);
		}
		card->hosts[i] = NULL;
	}
	card->hosts_len = 0;
}
