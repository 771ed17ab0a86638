/* SPDX-License-Identifier: BSD-2-Clause */
/* Cards of the machine, by their PCI addresses: names of RDMA devices can be changed, and a card has none without its
 * driver, but kubelet must know a card again after a restart of the plugin.
 *
 * A card is healthy when it can be given away: the PCI device is there, the driver has it, its port is up and its
 * device file exists. And it has to be alive. The driver counts the signs of life that the card sends by itself
 * (keep_alive_rcvd) and the commands that it never answered (no_completion_cmds): a card whose signs we have seen and
 * see no more, or that has just let a command drop, is not given to anybody new. Counters of peers that do not answer
 * say nothing of this card. */
#include "kube/real.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SILENT_MAX  WEFT_S(60)
#define LOST_FORGET WEFT_S(300)

void weft_kube_real_init(struct weft_root *root, uint32_t shared, struct weft_kube_real *real_out)
{
	memset(real_out, 0, sizeof(*real_out));
	real_out->root = root;
	real_out->cards.shared = shared;
}

struct counters {
	uint64_t keep_alive, lost;
};

static void take_counter(void *arg, const char *name, uint64_t value)
{
	struct counters *c = arg;

	if (!strcmp(name, "keep_alive_rcvd"))
		c->keep_alive = value;
	else if (!strcmp(name, "no_completion_cmds"))
		c->lost = value;
}

const char *weft_kube_feel(struct weft_kube_pulse *p, uint64_t keep_alive, uint64_t lost,
			   weft_ns now)
{
	if (!p->is_known || keep_alive < p->keep_alive || lost < p->lost) {
		/* The first look, or the driver has been loaded anew. */
		*p = (struct weft_kube_pulse){ .is_known = true, .beaten = now };
	} else {
		if (keep_alive > p->keep_alive) {
			p->has_beaten = true;
			p->beaten = now;
		}
		if (lost > p->lost)
			p->lost_at = now;
	}
	p->keep_alive = keep_alive;
	p->lost = lost;
	if (p->has_beaten && now - p->beaten > SILENT_MAX)
		return "no sign of life from the card (keep_alive_rcvd stands still)";
	if (p->lost_at && now - p->lost_at < LOST_FORGET)
		return "the card has not answered a command (no_completion_cmds grew)";
	return NULL;
}

/* NULL: nothing is wrong. */
static const char *judge(struct weft_kube_real *real, const struct weft_node_card *found,
			 struct weft_kube_pulse *pulse, weft_ns now)
{
	struct counters c = { 0, 0 };

	if (!found->driver[0])
		return "no driver has the card";
	if (!found->name[0] || !found->uverbs[0])
		return "the driver shows no RDMA device";
	if (!weft_root_exists(real->root, "dev/infiniband/%s", found->uverbs))
		return "its file in /dev/infiniband is missing";
	if (strcmp(found->state, "ACTIVE") != 0)
		return "its port is not active";
	weft_node_counters(real->root, found->name, take_counter, &c);
	return weft_kube_feel(pulse, c.keep_alive, c.lost, now);
}

/* The nearest GPU, by the lowest address of several; all cards are one group where there is none. */
static uint32_t group_of(const struct weft_node *node, const struct weft_node_card *card)
{
	enum weft_node_distance best = WEFT_NODE_SYS;
	uint32_t group = 0;

	for (uint32_t i = 0; i < node->gpus; i++) {
		enum weft_node_distance d = weft_node_distance(&card->pci, &node->gpu[i].pci);

		if (d >= best)
			continue;
		best = d;
		group = i + 1;
	}
	return group;
}

static uint32_t find_or_add(struct weft_kube_real *real, const char *bdf)
{
	struct weft_kube_cards *cards = &real->cards;
	uint32_t i = 0;

	while (i < cards->count && strcmp(cards->card[i].id, bdf) != 0)
		i++;
	if (i == cards->count && i < WEFT_KUBE_CARDS_MAX) {
		memset(&cards->card[i], 0, sizeof(cards->card[i]));
		snprintf(cards->card[i].id, sizeof(cards->card[i].id), "%s", bdf);
		cards->count++;
	}
	return i;
}

void weft_kube_real_look(struct weft_kube_real *real, weft_ns now)
{
	struct weft_kube_cards *cards = &real->cards;
	struct weft_node *node = malloc(sizeof(*node)); /* Too large for a stack. */

	if (!node)
		return; /* What we saw last still stands. */
	weft_node_read(real->root, "self", NULL, node);
	for (uint32_t i = 0; i < cards->count; i++) {
		cards->card[i].is_healthy = false;
		snprintf(cards->card[i].why, sizeof(cards->card[i].why), "the card is gone");
	}
	for (uint32_t i = 0; i < node->cards; i++) {
		const struct weft_node_card *found = &node->card[i];
		uint32_t at = find_or_add(real, found->pci.bdf);
		struct weft_kube_card *card = &cards->card[at];
		const char *why;

		if (at == WEFT_KUBE_CARDS_MAX)
			break;
		why = judge(real, found, &real->pulse[at], now);
		card->is_healthy = !why;
		snprintf(card->why, sizeof(card->why), "%s", why ? why : "");
		card->numa = found->pci.numa;
		card->group = group_of(node, found);
		snprintf(card->name, sizeof(card->name), "%s", found->name);
		snprintf(card->uverbs, sizeof(card->uverbs), "%s", found->uverbs);
	}
	weft_node_free(node);
	free(node);
}

static void allocate(void *arg, const struct weft_kube_set *devices, struct weft_pb_out *reply)
{
	const struct weft_kube_real *real = arg;

	for (uint32_t i = 0; i < real->cards.count; i++) {
		char path[96];
		size_t device;

		if (!devices->shares[i])
			continue;
		snprintf(path, sizeof(path), "/dev/infiniband/%s", real->cards.card[i].uverbs);
		device = weft_pb_begin(reply, 3);
		weft_pb_put_text(reply, 1, path);
		weft_pb_put_text(reply, 2, path);
		weft_pb_put_text(reply, 3, "rw");
		weft_pb_end(reply, device);
	}
}

struct weft_kube_source weft_kube_real_source(struct weft_kube_real *real)
{
	return (struct weft_kube_source){ &real->cards, allocate, real };
}
