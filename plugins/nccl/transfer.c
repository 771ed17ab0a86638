/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests: irecv says where, isend writes there, test tells.
 *
 * The immediate value of a stripe, by which the receiver knows it:
 *
 *	bits 0..5 slot of the request	6..8 part of the group	9..13 stripes of the message - 1	14..31 comm
 *
 * A slot is used again only when its request is done, and every stripe arrives at most once, so the value is never
 * ambiguous. CTS messages may overtake each other; each has the number of its request, and the sender takes them in that
 * order, which is the order of the receiver's irecv calls. */
#include "net.h"

#include <errno.h>
#include <string.h>

#define STRIPE_MIN (64u << 10) /* Less is not worth another message. */
#define ALIGN      4096u

static_assert(sizeof(struct net_ctl) + NET_GROUP_MAX * sizeof(struct net_cts_part) +
			      NET_GROUP_MAX * NET_CARDS_MAX * sizeof(uint32_t) <=
		      NET_CTL_BYTES,
	      "the longest CTS fits");
static_assert(NET_REQUESTS_MAX == 1u << 6 && NET_GROUP_MAX == 1u << 3 && NET_CARDS_MAX == 1u << 5,
	      "they fit into an immediate value");

static struct net_request *request_take(struct net_comm *comm)
{
	for (uint32_t i = 0; i < NET_REQUESTS_MAX; i++) {
		struct net_request *req = &comm->request[i];

		if (req->used)
			continue;
		req->used = true;
		req->n = 1;
		req->left = 0;
		memset(req->got, 0, sizeof(req->got));
		memset(req->want, 0, sizeof(req->want));
		memset(req->size, 0, sizeof(req->size));
		return req;
	}
	return NULL;
}

/* Receiving */

static uint32_t build_cts(const struct net_comm *comm, const struct net_request *req,
			  struct net_ctl *ctl, void **data, const size_t *sizes, const int *tags,
			  void **mhandles)
{
	struct net_cts_part *part = (struct net_cts_part *)(void *)(ctl + 1);
	uint32_t *key = (uint32_t *)(void *)(part + req->n);

	ctl->type = NET_CTL_CTS;
	ctl->cards = (uint8_t)comm->cards;
	ctl->n = req->n;
	ctl->slot = req->slot;
	ctl->to = comm->peer_id;
	ctl->from = comm->id;
	ctl->seq = comm->seq;
	for (uint32_t i = 0; i < req->n; i++) {
		const struct net_mem *mem = mhandles[i];

		part[i] = (struct net_cts_part){
			.addr = (uintptr_t)data[i],
			.size = sizes[i],
			.tag = tags[i],
		};
		for (uint32_t c = 0; c < comm->cards; c++)
			*key++ = weft_mem_key(mem->mem[c]);
	}
	return (uint32_t)((uint8_t *)key - (uint8_t *)ctl);
}

int net_irecv(void *recv_comm, int n, void **data, const size_t *sizes, const int *tags,
	      void **mhandles, void **request)
{
	struct net_comm *comm = recv_comm;
	struct net_card *card = &comm->dev->card[0];
	struct net_request *req;
	struct net_ctl *ctl;
	uint32_t len;
	int err;

	*request = NULL;
	if (n < 1 || n > (int)NET_GROUP_MAX || !comm->is_recv)
		return NCCL_INVALID_ARGUMENT;
	err = net_comm_check(comm);
	if (err)
		return err;
	req = request_take(comm);
	if (!req)
		return NCCL_SUCCESS;
	ctl = net_ctl_alloc(card);
	if (!ctl) {
		req->used = false;
		net_dev_poll(comm->dev);
		return NCCL_SUCCESS;
	}
	req->n = (uint8_t)n;
	len = build_cts(comm, req, ctl, data, sizes, tags, mhandles);
	err = net_ctl_send(card, ctl, len, comm->remote[0], comm, NULL);
	if (err) {
		req->used = false;
		if (err == -EAGAIN)
			return NCCL_SUCCESS;
		NET_WARN("cannot send: %s", strerror(-err));
		return NCCL_SYSTEM_ERROR;
	}
	comm->seq++;
	*request = req;
	return NCCL_SUCCESS;
}

void net_on_imm(uint32_t imm, uint32_t len, uint32_t status)
{
	struct net_comm *comm = net_comm_by_id(imm >> 14);
	uint32_t part = imm >> 6 & (NET_GROUP_MAX - 1);
	struct net_request *req;

	if (!comm || !comm->is_recv)
		return;
	req = &comm->request[imm & (NET_REQUESTS_MAX - 1)];
	if (!req->used || part >= req->n)
		return;
	if (status) {
		net_comm_break(comm, status);
		return;
	}
	req->want[part] = (uint8_t)((imm >> 9 & (NET_CARDS_MAX - 1)) + 1);
	req->got[part]++;
	req->size[part] += len;
}

/* Sending */

void net_on_cts(const struct net_ctl *ctl, uint32_t len)
{
	struct net_comm *comm = net_comm_by_id(ctl->to);
	const struct net_cts_part *part = (const struct net_cts_part *)(const void *)(ctl + 1);
	const uint32_t *key;
	struct net_cts *cts;

	if (!comm || comm->is_recv || !ctl->n || ctl->n > NET_GROUP_MAX || !ctl->cards ||
	    ctl->cards > NET_CARDS_MAX || ctl->slot >= NET_REQUESTS_MAX ||
	    len != sizeof(*ctl) + ctl->n * (sizeof(*part) + ctl->cards * sizeof(*key)))
		return;
	cts = &comm->cts[ctl->seq % NET_REQUESTS_MAX];
	if (cts->valid || ctl->seq - comm->seq >= NET_REQUESTS_MAX)
		return;
	key = (const uint32_t *)(const void *)(part + ctl->n);
	cts->n = ctl->n;
	cts->slot = ctl->slot;
	cts->seq = ctl->seq;
	cts->taken = 0;
	memcpy(cts->part, part, ctl->n * sizeof(*part));
	for (uint32_t i = 0; i < ctl->n; i++, key += ctl->cards)
		memcpy(cts->key[i], key, ctl->cards * sizeof(*key));
	cts->valid = true;
}

/* The part of the receiver's next request that this message is for. */
static struct net_cts *find_part(struct net_comm *comm, int tag, uint32_t *part_out)
{
	struct net_cts *cts = &comm->cts[comm->seq % NET_REQUESTS_MAX];

	if (!cts->valid || cts->seq != comm->seq)
		return NULL;
	for (uint32_t i = 0; i < cts->n; i++)
		if (!(cts->taken & 1u << i) && cts->part[i].tag == tag) {
			*part_out = i;
			return cts;
		}
	return NULL;
}

static uint32_t stripes_of(const struct net_comm *comm, size_t size)
{
	size_t n = (size + STRIPE_MIN - 1) / STRIPE_MIN;

	return n <= 1 || comm->cards <= 1 ? 1 : n > comm->cards ? comm->cards : (uint32_t)n;
}

static int write_stripes(struct net_comm *comm, struct net_request *req, const struct net_cts *cts,
			 uint32_t part, const uint8_t *data, size_t size, const struct net_mem *mem)
{
	uint32_t stripes = stripes_of(comm, size), first = stripes == 1 ? comm->seq : 0;
	size_t step = ((size + stripes - 1) / stripes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	uint32_t imm = comm->peer_id << 14 | (stripes - 1) << 9 | part << 6 | cts->slot;

	for (uint32_t i = 0; i < stripes; i++) {
		/* A message of one stripe goes by turns over the cards. */
		uint32_t c = (first + i) % comm->cards;
		size_t off = step * i < size ? step * i : size;
		size_t len = size - off < step ? size - off : step;
		int err = net_card_write(&comm->dev->card[c], req, comm->remote[c], mem->mem[c],
					 data + off, (uint32_t)len, cts->part[part].addr + off,
					 cts->key[part][c], imm);

		if (err)
			return err;
		req->left++;
	}
	return 0;
}

static bool has_room(const struct net_comm *comm)
{
	for (uint32_t c = 0; c < comm->cards; c++)
		if (!net_card_has_room(&comm->dev->card[c]))
			return false;
	return true;
}

int net_isend(void *send_comm, void *data, size_t size, int tag, void *mhandle, void **request)
{
	struct net_comm *comm = send_comm;
	struct net_request *req;
	struct net_cts *cts;
	uint32_t part;
	int err = net_comm_check(comm);

	*request = NULL;
	if (err)
		return err;
	if (comm->is_recv)
		return NCCL_INVALID_ARGUMENT;
	cts = comm->is_ready ? find_part(comm, tag, &part) : NULL;
	if (!cts || !has_room(comm)) {
		net_dev_poll(comm->dev);
		net_comm_keep_watch(comm);
		return net_comm_check(comm);
	}
	req = request_take(comm);
	if (!req)
		return NCCL_SUCCESS;
	if (size > cts->part[part].size)
		size = cts->part[part].size;
	req->size[0] = size;
	err = write_stripes(comm, req, cts, part, data, size, mhandle);
	if (err) {
		/* There was room, so this is no question of coming again. */
		NET_WARN("cannot write: %s", strerror(-err));
		return NCCL_SYSTEM_ERROR;
	}
	cts->taken |= (uint8_t)(1u << part);
	if (cts->taken == (1u << cts->n) - 1) {
		cts->valid = false;
		comm->seq++;
	}
	*request = req;
	return NCCL_SUCCESS;
}

void net_on_written(struct net_request *req, uint32_t status)
{
	struct net_comm *comm = req->comm;

	req->left--;
	if (status)
		net_comm_break(comm, status);
	net_comm_unused(comm);
}

/* Both */

static bool is_done(const struct net_request *req)
{
	if (!req->comm->is_recv)
		return !req->left;
	for (uint32_t i = 0; i < req->n; i++)
		if (!req->want[i] || req->got[i] < req->want[i])
			return false;
	return true;
}

int net_test(void *request, int *done, int *sizes)
{
	struct net_request *req = request;
	struct net_comm *comm = req->comm;
	int err;

	*done = 0;
	if (!is_done(req)) {
		net_dev_poll(comm->dev);
		if (!is_done(req)) {
			net_comm_keep_watch(comm);
			return net_comm_check(comm);
		}
	}
	err = net_comm_check(comm);
	if (err)
		return err;
	for (uint32_t i = 0; i < req->n && sizes; i++)
		sizes[i] = (int)req->size[i];
	req->used = false;
	*done = 1;
	return NCCL_SUCCESS;
}
