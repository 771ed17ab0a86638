/* SPDX-License-Identifier: BSD-2-Clause */
/* A card in use: its endpoint, the buffers of its control messages, and what its completions mean.
 *
 * A completion's user pointer is a tagged word: the lowest two bits say what it was. Buffers are named by their number,
 * requests by their address. */
#include "net.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum tag {
	TAG_RECV = 1, /* A buffer of ours is full. */
	TAG_CTL = 2, /* A control message has left. */
	TAG_WRITE = 3, /* A stripe is written. */
};

/* What a control message on its way belongs to: in front of its buffer. */
struct sent {
	struct net_comm *comm;
	struct weft_remote *then;
};

#define BUFFER    (sizeof(struct sent) + NET_CTL_BYTES)
#define BUFFERS   (NET_CTL_RECVS + NET_CTL_SENDS)
#define POLL_MANY 32u
#define POLL_NS   300u

static void *tagged(uint64_t value, enum tag tag)
{
	return (void *)(uintptr_t)(value << 2 | (uint64_t)tag);
}

static uint8_t *buffer(const struct net_card *card, uint32_t i)
{
	return card->ctl + (size_t)i * BUFFER;
}

static int post_recv(struct net_card *card, uint32_t i)
{
	return weft_recv(card->ep, card->mem, buffer(card, i) + sizeof(struct sent), NET_CTL_BYTES,
			 tagged(i, TAG_RECV));
}

int net_card_open(uint32_t index, struct net_card *card)
{
	const struct weft_ep_cfg cfg = {
		.size = sizeof(cfg),
		.sends = NET_SENDS,
		.recvs = NET_CTL_RECVS,
	};
	int err;

	memset(card, 0, sizeof(*card));
	err = weft_ep_open(index, &cfg, &card->ep);
	if (err)
		return err;
	weft_ep_address(card->ep, &card->address);
	card->ctl = calloc(BUFFERS, BUFFER);
	card->free = calloc(NET_CTL_SENDS, sizeof(*card->free));
	if (!card->ctl || !card->free)
		err = -ENOMEM;
	if (!err)
		err = weft_mem_open(card->ep, card->ctl, BUFFERS * BUFFER, &card->mem);
	for (uint32_t i = 0; i < NET_CTL_RECVS && !err; i++)
		err = post_recv(card, i);
	for (uint32_t i = 0; i < NET_CTL_SENDS && !err; i++)
		card->free[card->free_len++] = (uint16_t)(NET_CTL_RECVS + i);
	if (err)
		net_card_close(card);
	return err;
}

void net_card_close(struct net_card *card)
{
	if (card->mem)
		weft_mem_close(card->mem);
	weft_ep_close(card->ep);
	free(card->ctl);
	free(card->free);
	memset(card, 0, sizeof(*card));
}

bool net_card_has_room(const struct net_card *card)
{
	return card->posted < NET_SENDS - NET_CTL_SENDS;
}

/* Control messages */

struct net_ctl *net_ctl_alloc(struct net_card *card)
{
	struct net_ctl *ctl;

	if (!card->free_len)
		return NULL;
	ctl = (struct net_ctl *)(void *)(buffer(card, card->free[--card->free_len]) +
					 sizeof(struct sent));
	memset(ctl, 0, sizeof(*ctl));
	return ctl;
}

static uint16_t number_of(const struct net_card *card, const struct net_ctl *ctl)
{
	return (uint16_t)((size_t)((const uint8_t *)ctl - card->ctl) / BUFFER);
}

static struct sent *sent_of(const struct net_card *card, uint32_t i)
{
	return (struct sent *)(void *)buffer(card, i);
}

int net_ctl_send(struct net_card *card, struct net_ctl *ctl, uint32_t len, struct weft_remote *to,
		 struct net_comm *comm, struct weft_remote *then)
{
	uint16_t i = number_of(card, ctl);
	int err = weft_send(card->ep, to, card->mem, ctl, len, tagged(i, TAG_CTL));

	if (err) {
		card->free[card->free_len++] = i;
		return err;
	}
	*sent_of(card, i) = (struct sent){ .comm = comm, .then = then };
	card->posted++;
	if (comm)
		comm->inflight++;
	return 0;
}

static void on_sent(struct net_card *card, uint32_t i, uint32_t status)
{
	struct sent sent = *sent_of(card, i);

	card->free[card->free_len++] = (uint16_t)i;
	card->posted--;
	if (sent.then)
		weft_remote_close(sent.then);
	if (!sent.comm)
		return;
	if (status)
		net_comm_break(sent.comm, status);
	net_comm_unused(sent.comm);
}

static void on_message(struct net_dev *dev, const struct net_ctl *ctl, uint32_t len)
{
	if (len < sizeof(*ctl) || len > NET_CTL_BYTES)
		return;
	switch ((enum net_ctl_type)ctl->type) {
	case NET_CTL_CONNECT:
		net_on_connect(dev, ctl, len);
		break;
	case NET_CTL_ACCEPT:
		net_on_accept(dev, ctl, len);
		break;
	case NET_CTL_CTS:
		net_on_cts(ctl, len);
		break;
	case NET_CTL_PING:
		net_on_ping(dev, ctl, len);
		break;
	case NET_CTL_GONE:
		net_on_gone(ctl);
		break;
	}
}

/* Data */

int net_card_write(struct net_card *card, struct net_request *req, struct weft_remote *to,
		   const struct weft_mem *mem, const void *data, uint32_t len, uint64_t to_addr,
		   uint32_t key, uint32_t imm)
{
	int err = weft_write(card->ep, to, mem, data, len, to_addr, key, &imm,
			     tagged((uintptr_t)req >> 2, TAG_WRITE));

	if (!err) {
		card->posted++;
		req->comm->inflight++;
	}
	return err;
}

static_assert(_Alignof(struct net_request) >= 4, "two bits of its address are free for the tag");

static void on_done(struct net_dev *dev, struct net_card *card, const struct weft_done *done)
{
	uint64_t value = (uintptr_t)done->user >> 2;
	struct net_request *req;

	if (done->what == WEFT_DONE_IMM)
		net_on_imm(done->imm, done->len, done->status);
	switch ((enum tag)((uintptr_t)done->user & 3)) {
	case TAG_RECV:
		if (done->what == WEFT_DONE_RECV && !done->status)
			on_message(dev,
				   (const struct net_ctl *)(const void *)(buffer(card,
										 (uint32_t)value) +
									  sizeof(struct sent)),
				   done->len);
		/* It was just taken out of the queue, so there is room. */
		(void)post_recv(card, (uint32_t)value);
		break;
	case TAG_CTL:
		on_sent(card, (uint32_t)value, done->status);
		break;
	case TAG_WRITE:
		req = (struct net_request *)(uintptr_t)(value << 2);
		card->posted--;
		net_on_written(req, done->status);
		break;
	}
}

void net_dev_poll(struct net_dev *dev)
{
	struct weft_done done[POLL_MANY];
	uint64_t now = net_clock();

	if (now - dev->polled_at < POLL_NS)
		return;
	for (uint32_t c = 0; c < dev->cards; c++) {
		uint32_t n = weft_poll(dev->card[c].ep, done, POLL_MANY);

		for (uint32_t i = 0; i < n; i++)
			on_done(dev, &dev->card[c], &done[i]);
	}
	dev->polled_at = net_clock();
}
