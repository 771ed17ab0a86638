/* SPDX-License-Identifier: BSD-2-Clause */
/* Devices by name, and which of them go well together.
 *
 * A container is best off with cards on one NUMA node, and there with all of those that share a switch with a GPU,
 * because it will have that GPU or its neighbour. The choice is made one card at a time, with the number that is
 * still wanted in mind: stay where we are; else go to the smallest place that has enough for the rest, so that
 * large places stay whole for those who need them; else to the largest. A place is a node, then a group in it.
 * Shares of a card are no cards: a second share of one is taken only when there is no other card left. */
#include "kube/cards.h"

#include <stdio.h>
#include <string.h>

static void cordon(struct weft_kube_cards *cards, const char *word, size_t len)
{
	for (uint32_t i = 0; i < cards->count; i++) {
		struct weft_kube_card *card = &cards->card[i];

		if ((strlen(card->id) != len || memcmp(card->id, word, len) != 0) &&
		    (strlen(card->name) != len || memcmp(card->name, word, len) != 0))
			continue;
		card->is_healthy = false;
		snprintf(card->why, sizeof(card->why), "taken out of service (--cordon)");
	}
}

void weft_kube_cordon(struct weft_kube_cards *cards, const char *words)
{
	static const char blank[] = " \t\r\n,";

	while (*words) {
		size_t len = strcspn(words, blank);

		if (*words == '#')
			len = strcspn(words, "\n");
		else if (len)
			cordon(cards, words, len);
		words += len;
		words += strspn(words, blank);
	}
}

char *weft_kube_device_id(const struct weft_kube_cards *cards, struct weft_kube_device device,
			  char *buf)
{
	const char *id = cards->card[device.card].id;

	if (cards->shared == 1)
		snprintf(buf, WEFT_KUBE_ID_MAX, "%s", id);
	else
		snprintf(buf, WEFT_KUBE_ID_MAX, "%s::%u", id, device.share);
	return buf;
}

bool weft_kube_device_find(const struct weft_kube_cards *cards, struct weft_pb_in id,
			   struct weft_kube_device *device_out)
{
	struct weft_kube_device d;
	char buf[WEFT_KUBE_ID_MAX];
	size_t len = (size_t)(id.end - id.at);

	for (d.card = 0; d.card < cards->count; d.card++) {
		size_t own = strlen(cards->card[d.card].id);

		if (len < own || memcmp(id.at, cards->card[d.card].id, own) != 0)
			continue;
		for (d.share = 0; d.share < cards->shared; d.share++) {
			weft_kube_device_id(cards, d, buf);
			if (strlen(buf) == len && !memcmp(buf, id.at, len)) {
				*device_out = d;
				return true;
			}
		}
	}
	return false;
}

bool weft_kube_set_has(const struct weft_kube_set *set, struct weft_kube_device device)
{
	return set->shares[device.card] >> device.share & 1;
}

void weft_kube_set_add(struct weft_kube_set *set, struct weft_kube_device device)
{
	set->shares[device.card] |= 1ull << device.share;
}

/* Which */

struct choice {
	const struct weft_kube_cards *cards;
	uint64_t left[WEFT_KUBE_CARDS_MAX]; /* Shares that are to be had. */
	struct weft_kube_set *chosen;
};

/* What a place is: the cards of a node, or those of a group of a node. */
enum place {
	NODE,
	GROUP
};

static bool is_same_place(const struct choice *c, enum place place, uint32_t a, uint32_t b)
{
	const struct weft_kube_card *x = &c->cards->card[a], *y = &c->cards->card[b];

	return x->numa == y->numa && (place == NODE || x->group == y->group);
}

/* How many cards of the place of `of` are free of us and to be had; and how many we have. */
static uint32_t count(const struct choice *c, enum place place, uint32_t of, bool had)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < c->cards->count; i++)
		n += is_same_place(c, place, i, of) &&
		     (had ? c->chosen->shares[i] != 0 : c->left[i] && !c->chosen->shares[i]);
	return n;
}

/* Is the place of `a` better than that of `b`? Both have something. >0: yes, 0: as good. */
static int compare_places(const struct choice *c, enum place place, uint32_t a, uint32_t b,
			  uint32_t want)
{
	uint32_t had_a = count(c, place, a, true), had_b = count(c, place, b, true);
	uint32_t free_a = count(c, place, a, false), free_b = count(c, place, b, false);
	bool fits_a = free_a >= want, fits_b = free_b >= want;

	if (had_a != had_b)
		return had_a > had_b ? 1 : -1;
	if (fits_a != fits_b)
		return fits_a ? 1 : -1;
	if (free_a == free_b)
		return 0;
	return (fits_a ? free_a < free_b : free_a > free_b) ? 1 : -1;
}

static uint32_t bits(uint64_t set)
{
	return (uint32_t)__builtin_popcountll(set);
}

static bool is_better(const struct choice *c, uint32_t a, uint32_t b, uint32_t want)
{
	bool again_a = c->chosen->shares[a] != 0, again_b = c->chosen->shares[b] != 0;
	int by_node, by_group;

	if (again_a != again_b)
		return again_b;
	by_node = compare_places(c, NODE, a, b, want);
	if (by_node)
		return by_node > 0;
	/* Two nodes as good as each other: the first, or groups of both would be mixed. */
	if (c->cards->card[a].numa != c->cards->card[b].numa)
		return c->cards->card[a].numa < c->cards->card[b].numa;
	by_group = compare_places(c, GROUP, a, b, want);
	if (by_group)
		return by_group > 0;
	if (c->cards->card[a].group != c->cards->card[b].group)
		return c->cards->card[a].group < c->cards->card[b].group;
	/* The one that the fewest others have. */
	return bits(c->left[a]) > bits(c->left[b]);
}

static void take(struct choice *c, uint32_t card)
{
	struct weft_kube_device d = { card, (uint32_t)__builtin_ctzll(c->left[card]) };

	weft_kube_set_add(c->chosen, d);
	c->left[card] &= c->left[card] - 1;
}

void weft_kube_prefer(const struct weft_kube_cards *cards, const struct weft_kube_set *available,
		      const struct weft_kube_set *must, uint32_t wanted,
		      struct weft_kube_set *chosen_out)
{
	struct choice c = { .cards = cards, .chosen = chosen_out };
	uint32_t got = 0;

	*chosen_out = *must;
	for (uint32_t i = 0; i < cards->count; i++) {
		c.left[i] = available->shares[i] & ~must->shares[i];
		got += bits(must->shares[i]);
	}
	for (; got < wanted; got++) {
		uint32_t best = WEFT_KUBE_CARDS_MAX;

		for (uint32_t i = 0; i < cards->count; i++)
			if (c.left[i] &&
			    (best == WEFT_KUBE_CARDS_MAX || is_better(&c, i, best, wanted - got)))
				best = i;
		if (best == WEFT_KUBE_CARDS_MAX)
			return;
		take(&c, best);
	}
}
