/* SPDX-License-Identifier: BSD-2-Clause */
/* Comms: one direction between two ranks, from listen, connect and accept to close, and whether the other side lives.
 *
 * connect() sends its addresses to the listener and returns at once; until the listener's accept() has answered with its
 * own, isend() says "try again", which NCCL does. Messages of weft have no order, so a CTS may come before that answer: it is
 * kept.
 *
 * Who waits for a peer that is gone would wait for ever: a receiver has nothing under way that could fail. So who waits
 * for long asks (PING), and it is the question that fails, by the transport's own knowledge, or is answered by GONE. */
#include "net.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define MAGIC       0x77666e63u
#define VERSION     1u
#define WAITING_MAX 4096u /* Connects not yet accepted, of one listener. */
#define PING_NS     300000000ull
/* A comm that is closed under load waits so long for what is under way. */
#define CLOSE_NS 50000000ull

/* An id names a place in the table and how often it was used, so that what is late finds nobody. It has 18 bits, since
 * it travels in immediate values. */
#define ID_INDEX_BITS 12u
#define ID_GENS       64u

static_assert(NET_COMMS_MAX == 1u << ID_INDEX_BITS, "an index fits into its part of an id");
static_assert(sizeof(struct net_handle) + sizeof(void *) <= NCCL_HANDLE_MAX, "a handle fits");
static_assert(sizeof(struct net_ctl) + NET_CARDS_MAX * sizeof(struct weft_address) <= NET_CTL_BYTES,
	      "all addresses fit into a control message");

pthread_mutex_t net_lock = PTHREAD_MUTEX_INITIALIZER;
nccl_logger *net_log;

static struct {
	struct net_comm *comm;
	struct net_listener *listener;
	uint8_t gen;
} table[NET_COMMS_MAX];
static uint32_t table_at;

uint64_t net_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void net_say(int level, const char *file, int line, const char *fmt, ...)
{
	char text[512];
	va_list args;

	if (!net_log)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	net_log(level, NCCL_LOG_NET, file, line, "NET/weft: %s", text);
}

/* Ids */

static int id_take(uint32_t *id_out)
{
	for (uint32_t n = 0; n < NET_COMMS_MAX; n++) {
		uint32_t i = table_at++ % NET_COMMS_MAX;

		if (table[i].comm || table[i].listener)
			continue;
		table[i].gen = (uint8_t)((table[i].gen + 1) % ID_GENS);
		*id_out = (uint32_t)table[i].gen << ID_INDEX_BITS | i;
		return 0;
	}
	return -ENOSPC;
}

static bool is_current(uint32_t id)
{
	return id < NET_COMMS_MAX * ID_GENS && table[id % NET_COMMS_MAX].gen == id >> ID_INDEX_BITS;
}

struct net_comm *net_comm_by_id(uint32_t id)
{
	return is_current(id) ? table[id % NET_COMMS_MAX].comm : NULL;
}

static struct net_listener *listener_by_id(uint32_t id)
{
	return is_current(id) ? table[id % NET_COMMS_MAX].listener : NULL;
}

/* Comms */

static struct net_comm *comm_create(struct net_dev *dev, bool is_recv)
{
	struct net_comm *comm = calloc(1, sizeof(*comm));

	if (!comm)
		return NULL;
	if (!is_recv)
		comm->cts = calloc(NET_REQUESTS_MAX, sizeof(*comm->cts));
	if ((!is_recv && !comm->cts) || id_take(&comm->id)) {
		free(comm->cts);
		free(comm);
		return NULL;
	}
	table[comm->id % NET_COMMS_MAX].comm = comm;
	comm->dev = dev;
	comm->is_recv = is_recv;
	comm->peer_id = NET_NOBODY;
	comm->cards = dev->cards;
	comm->heard_at = net_clock();
	for (uint32_t i = 0; i < NET_REQUESTS_MAX; i++) {
		comm->request[i].comm = comm;
		comm->request[i].slot = (uint8_t)i;
	}
	return comm;
}

static void close_remotes(struct net_comm *comm)
{
	for (uint32_t i = 0; i < NET_CARDS_MAX; i++) {
		if (!comm->remote[i])
			continue;
		net_card_drop(&comm->dev->card[i], comm->remote[i], NULL);
		weft_remote_close(comm->remote[i]);
		comm->remote[i] = NULL;
	}
}

static void comm_free(struct net_comm *comm)
{
	free(comm->cts);
	free(comm);
}

void net_comm_break(struct net_comm *comm, uint32_t status)
{
	if (comm->status || comm->is_closed)
		return;
	comm->status = status;
	NET_WARN("comm %u (%s): %s", comm->id, comm->is_recv ? "receiving" : "sending",
		 weft_status_text(status));
}

void net_comm_unused(struct net_comm *comm)
{
	struct net_comm **at = &comm->dev->zombies;

	if (--comm->inflight || !comm->is_closed)
		return;
	while (*at && *at != comm)
		at = &(*at)->next_zombie;
	if (!*at)
		return;
	*at = comm->next_zombie;
	comm_free(comm);
}

int net_comm_check(struct net_comm *comm)
{
	return comm->status ? NCCL_REMOTE_ERROR : NCCL_SUCCESS;
}

static int open_remotes(struct net_comm *comm, const struct weft_address *address, uint32_t cards)
{
	int err = 0;

	comm->cards = cards < comm->dev->cards ? cards : comm->dev->cards;
	for (uint32_t i = 0; i < comm->cards && !err; i++) {
		if (comm->remote[i]) /* The listener's, by which the connect went. */
			continue;
		err = weft_remote_open(comm->dev->card[i].ep, &address[i], &comm->remote[i]);
	}
	return err;
}

static void put_addresses(const struct net_dev *dev, struct net_ctl *ctl)
{
	struct weft_address *address = (struct weft_address *)(void *)(ctl + 1);

	ctl->cards = (uint8_t)dev->cards;
	for (uint32_t i = 0; i < dev->cards; i++)
		address[i] = dev->card[i].address;
}

static uint32_t addresses_len(const struct net_ctl *ctl)
{
	return (uint32_t)(sizeof(*ctl) + ctl->cards * sizeof(struct weft_address));
}

/* Listen, connect, accept */

int net_listen(int dev_index, void *handle, void **listen_comm)
{
	struct net_dev *dev = net_device(dev_index);
	struct net_listener *l;
	struct net_handle h = { .magic = MAGIC, .version = VERSION };

	if (!dev)
		return NCCL_INVALID_ARGUMENT;
	l = calloc(1, sizeof(*l));
	if (!l)
		return NCCL_SYSTEM_ERROR;
	if (net_dev_get(dev)) {
		free(l);
		return NCCL_SYSTEM_ERROR;
	}
	if (id_take(&l->id)) {
		NET_WARN("more than %u connections", NET_COMMS_MAX);
		net_dev_put(dev);
		free(l);
		return NCCL_INTERNAL_ERROR;
	}
	l->dev = dev;
	if (getrandom(&l->nonce, sizeof(l->nonce), GRND_NONBLOCK) != sizeof(l->nonce))
		l->nonce = (uint32_t)net_clock();
	table[l->id % NET_COMMS_MAX].listener = l;
	h.address = dev->card[0].address;
	h.listener = l->id;
	h.nonce = l->nonce;
	memset(handle, 0, NCCL_HANDLE_MAX);
	memcpy(handle, &h, sizeof(h));
	*listen_comm = l;
	return NCCL_SUCCESS;
}

static int send_connect(struct net_comm *comm, const struct net_handle *h)
{
	struct net_card *card = &comm->dev->card[0];
	struct net_ctl *ctl = net_ctl_alloc(card);
	int err;

	if (!ctl)
		return -EAGAIN;
	ctl->type = NET_CTL_CONNECT;
	ctl->to = h->listener;
	ctl->from = comm->id;
	ctl->seq = h->nonce;
	put_addresses(comm->dev, ctl);
	err = net_ctl_send(card, ctl, addresses_len(ctl), comm->remote[0], comm, NULL);
	return err;
}

int net_connect(int dev_index, void *handle, void **send_comm)
{
	struct net_dev *dev = net_device(dev_index);
	struct net_comm *comm;
	struct net_handle h;
	int err;

	*send_comm = NULL;
	memcpy(&h, handle, sizeof(h));
	if (!dev)
		return NCCL_INVALID_ARGUMENT;
	if (h.magic != MAGIC || h.version != VERSION) {
		NET_WARN("the other side is no weft plugin, or of another version");
		return NCCL_INVALID_USAGE;
	}
	if (net_dev_get(dev))
		return NCCL_SYSTEM_ERROR;
	comm = comm_create(dev, false);
	if (!comm) {
		net_dev_put(dev);
		return NCCL_SYSTEM_ERROR;
	}
	err = weft_remote_open(dev->card[0].ep, &h.address, &comm->remote[0]);
	if (!err)
		err = send_connect(comm, &h);
	if (!err) {
		*send_comm = comm;
		return NCCL_SUCCESS;
	}
	net_close(comm);
	if (err == -EAGAIN) /* Come again. */
		return NCCL_SUCCESS;
	NET_WARN("cannot connect: %s", strerror(-err));
	return NCCL_SYSTEM_ERROR;
}

/* Are there as many addresses as it says, and no more than there can be? */
static bool has_addresses(const struct net_ctl *ctl, uint32_t len)
{
	return ctl->cards && ctl->cards <= NET_CARDS_MAX && len == addresses_len(ctl);
}

void net_on_connect(struct net_dev *dev, const struct net_ctl *ctl, uint32_t len)
{
	struct net_listener *l = listener_by_id(ctl->to);
	struct net_connect *c;

	if (!l || l->dev != dev || l->nonce != ctl->seq || !has_addresses(ctl, len) ||
	    l->waiting >= WAITING_MAX)
		return;
	c = calloc(1, sizeof(*c));
	if (!c)
		return;
	c->from = ctl->from;
	c->cards = ctl->cards;
	memcpy(c->address, ctl + 1, ctl->cards * sizeof(*c->address));
	if (l->first)
		l->last->next = c;
	else
		l->first = c;
	l->last = c;
	l->waiting++;
}

static int send_accept(struct net_comm *comm)
{
	struct net_card *card = &comm->dev->card[0];
	struct net_ctl *ctl = net_ctl_alloc(card);

	if (!ctl)
		return -EAGAIN;
	ctl->type = NET_CTL_ACCEPT;
	ctl->to = comm->peer_id;
	ctl->from = comm->id;
	put_addresses(comm->dev, ctl);
	return net_ctl_send(card, ctl, addresses_len(ctl), comm->remote[0], comm, NULL);
}

int net_accept(void *listen_comm, void **recv_comm)
{
	struct net_listener *l = listen_comm;
	struct net_connect *c;
	struct net_comm *comm;
	int err;

	*recv_comm = NULL;
	net_dev_poll(l->dev);
	c = l->first;
	if (!c)
		return NCCL_SUCCESS;
	if (net_dev_get(l->dev))
		return NCCL_SYSTEM_ERROR;
	comm = comm_create(l->dev, true);
	if (!comm) {
		net_dev_put(l->dev);
		return NCCL_SYSTEM_ERROR;
	}
	comm->peer_id = c->from;
	comm->is_ready = true;
	err = open_remotes(comm, c->address, c->cards);
	if (!err)
		err = send_accept(comm);
	if (err) {
		net_close(comm);
		if (err == -EAGAIN)
			return NCCL_SUCCESS;
		NET_WARN("cannot accept: %s", strerror(-err));
		return NCCL_SYSTEM_ERROR;
	}
	l->first = c->next;
	l->waiting--;
	free(c);
	*recv_comm = comm;
	return NCCL_SUCCESS;
}

void net_on_accept(struct net_dev *dev, const struct net_ctl *ctl, uint32_t len)
{
	struct net_comm *comm = net_comm_by_id(ctl->to);
	struct weft_address address[NET_CARDS_MAX];

	if (!comm || comm->dev != dev || comm->is_recv || comm->is_ready ||
	    !has_addresses(ctl, len))
		return;
	memcpy(address, ctl + 1, ctl->cards * sizeof(*address));
	comm->peer_id = ctl->from;
	comm->heard_at = net_clock();
	if (open_remotes(comm, address, ctl->cards)) {
		net_comm_break(comm, 4); /* An address that cannot be. */
		return;
	}
	comm->is_ready = true;
}

/* Does the other side live? */

static void ping(struct net_comm *comm)
{
	struct net_card *card = &comm->dev->card[0];
	struct net_ctl *ctl = net_ctl_alloc(card);

	if (!ctl)
		return;
	ctl->type = NET_CTL_PING;
	ctl->to = comm->peer_id;
	ctl->from = comm->id;
	ctl->cards = 1;
	memcpy(ctl + 1, &card->address, sizeof(card->address));
	(void)net_ctl_send(card, ctl, addresses_len(ctl), comm->remote[0], comm, NULL);
}

void net_comm_keep_watch(struct net_comm *comm)
{
	uint64_t now = net_clock();

	if (now - comm->heard_at < PING_NS || !comm->remote[0])
		return;
	comm->heard_at = now;
	ping(comm);
}

/* One that asks for a comm that is not there is told so; the transport has told those whose peer is dead. */
void net_on_ping(struct net_dev *dev, const struct net_ctl *ctl, uint32_t len)
{
	struct weft_remote *to;
	struct weft_address address;
	struct net_ctl *answer;

	if (!has_addresses(ctl, len) || ctl->to == NET_NOBODY || net_comm_by_id(ctl->to))
		return;
	memcpy(&address, ctl + 1, sizeof(address));
	if (weft_remote_open(dev->card[0].ep, &address, &to))
		return;
	answer = net_ctl_alloc(&dev->card[0]);
	if (!answer) {
		weft_remote_close(to);
		return;
	}
	answer->type = NET_CTL_GONE;
	answer->to = ctl->from;
	answer->from = ctl->to;
	if (net_ctl_send(&dev->card[0], answer, sizeof(*answer), to, NULL, to))
		weft_remote_close(to);
}

void net_on_gone(const struct net_ctl *ctl)
{
	struct net_comm *comm = net_comm_by_id(ctl->to);

	if (comm && comm->peer_id == ctl->from)
		net_comm_break(comm, 8); /* Aborted by the peer. */
}

/* Close */

int net_close(void *arg)
{
	struct net_comm *comm = arg;
	struct net_dev *dev = comm->dev;
	uint64_t until = net_clock() + CLOSE_NS;

	while (comm->inflight && !comm->status && net_clock() < until)
		net_dev_wait(dev);
	comm->is_closed = true;
	close_remotes(comm);
	/* That ended what was under way, and its completions wait. */
	net_dev_poll(dev);
	table[comm->id % NET_COMMS_MAX].comm = NULL;
	if (comm->inflight) {
		comm->next_zombie = dev->zombies;
		dev->zombies = comm;
	} else {
		comm_free(comm);
	}
	net_dev_put(dev);
	return NCCL_SUCCESS;
}

int net_close_listen(void *arg)
{
	struct net_listener *l = arg;

	table[l->id % NET_COMMS_MAX].listener = NULL;
	while (l->first) {
		struct net_connect *next = l->first->next;

		free(l->first);
		l->first = next;
	}
	net_dev_put(l->dev);
	free(l);
	return NCCL_SUCCESS;
}
