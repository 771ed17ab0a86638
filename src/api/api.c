/* SPDX-License-Identifier: BSD-2-Clause */
/* weft.h over the device: what a program without libibverbs needs of it and no more. An endpoint is a PD, a CQ and an
 * SRD queue pair that is ready to send, and a remote is an address handle with a number and a key, so that none of
 * these words has to be learnt. Everything else (checks, statuses, limits) is the device's. */
#include "weft/weft.h"

#include "dev/conf.h"
#include "dev/dev.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* The limits that programs see are the device's. */
static_assert(WEFT_SEND_MAX == WEFT_DEV_MSG_MAX, "of a message");
static_assert(WEFT_WRITE_MAX == WEFT_DEV_RDMA_MAX, "of a WRITE");
static_assert(WEFT_INLINE_MAX == WEFT_DEV_INLINE_MAX, "of what need not be registered");

struct weft_ep {
	struct weft_card *card;
	struct weft_pd *pd;
	struct weft_cq *cq;
	struct weft_qp *qp;
	uint32_t key;
};

struct weft_remote {
	struct weft_ah *ah;
	uint32_t key;
	uint16_t number;
};

struct weft_mem {
	struct weft_mr *mr;
};

int weft_cards(struct weft_card_desc *cards, uint32_t max, const char **why_out)
{
	const struct weft_card_info *info;
	uint32_t count;
	const char *why;
	int err = weft_cardset_get(&info, &count, &why);

	if (err) {
		if (why_out)
			*why_out = why;
		return err;
	}
	for (uint32_t i = 0; i < count && i < max; i++) {
		memset(&cards[i], 0, sizeof(cards[i]));
		memcpy(cards[i].name, info[i].name, sizeof(info[i].name));
		cards[i].mbps = info[i].gbps * 1000u;
		cards[i].numa = info[i].numa;
		cards[i].is_udp_only = weft_conf_get()->wire == WEFT_CONF_WIRE_UDP;
		memcpy(cards[i].gid, info[i].gid.raw, 16);
	}
	return (int)count;
}

/* Endpoints */

static int make_ready(struct weft_ep *ep)
{
	static const enum weft_qp_state way[] = { WEFT_QPS_INIT, WEFT_QPS_RTR, WEFT_QPS_RTS };
	int err = 0;

	weft_qp_set_qkey(ep->qp, ep->key);
	weft_qp_set_rnr_retry(ep->qp, 7);
	for (uint32_t i = 0; i < WEFT_ARRAY_SIZE(way) && !err; i++)
		err = weft_qp_set_state(ep->qp, way[i]);
	return err;
}

static int open_queues(struct weft_ep *ep, const struct weft_ep_cfg *cfg)
{
	uint32_t depth = WEFT_MIN(cfg->sends + cfg->recvs, WEFT_DEV_CQE_MAX);
	struct weft_qp_attr attr = {
		.type = WEFT_QP_SRD,
		.max_send_wr = cfg->sends,
		.max_recv_wr = cfg->recvs,
		.max_send_sge = 1,
		.max_recv_sge = 1,
		.max_inline = WEFT_DEV_INLINE_MAX,
		/* Where the card can, so that a WRITE needs no receive to tell its immediate value. */
		.unsolicited_write_recv =
			weft_card_info(ep->card)->caps & WEFT_CAP_UNSOLICITED_WRITE_RECV,
	};
	int err = weft_pd_create(ep->card, &ep->pd);

	if (!err)
		err = weft_cq_create(ep->card, &depth, NULL, NULL, &ep->cq);
	attr.send_cq = attr.recv_cq = ep->cq;
	if (!err)
		weft_cq_set_impatient(ep->cq);
	if (!err)
		err = weft_qp_create(ep->pd, &attr, &ep->qp);
	if (!err)
		err = make_ready(ep);
	return err;
}

int weft_ep_open(uint32_t card, const struct weft_ep_cfg *cfg, struct weft_ep **ep_out)
{
	struct weft_ep *ep;
	int err;

	if (cfg->size < sizeof(*cfg) || !cfg->sends || cfg->sends > WEFT_DEV_SQ_MAX ||
	    cfg->recvs > WEFT_DEV_RQ_MAX)
		return -EINVAL;
	ep = calloc(1, sizeof(*ep));
	if (!ep)
		return -ENOMEM;
	err = weft_card_open(card, &ep->card);
	if (err) {
		free(ep);
		return err;
	}
	/* So that a late message to our predecessor of the same number finds nobody. */
	if (getrandom(&ep->key, sizeof(ep->key), GRND_NONBLOCK) != sizeof(ep->key))
		ep->key = (uint32_t)((uintptr_t)ep >> 4);
	ep->key &= 0x7fffffffu;
	err = open_queues(ep, cfg);
	if (err) {
		weft_ep_close(ep);
		return err;
	}
	*ep_out = ep;
	return 0;
}

void weft_ep_close(struct weft_ep *ep)
{
	if (ep->qp)
		(void)weft_qp_destroy(ep->qp);
	if (ep->cq)
		(void)weft_cq_destroy(ep->cq);
	if (ep->pd)
		(void)weft_pd_destroy(ep->pd);
	weft_card_close(ep->card);
	free(ep);
}

void weft_ep_address(const struct weft_ep *ep, struct weft_address *address_out)
{
	*address_out = (struct weft_address){
		.key = ep->key,
		.number = weft_qp_number(ep->qp),
	};
	memcpy(address_out->gid, weft_card_info(ep->card)->gid.raw, 16);
}

int weft_remote_open(struct weft_ep *ep, const struct weft_address *address,
		     struct weft_remote **remote_out)
{
	struct weft_remote *r = calloc(1, sizeof(*r));
	struct weft_gid gid;
	int err;

	if (!r)
		return -ENOMEM;
	memcpy(gid.raw, address->gid, 16);
	err = weft_ah_create(ep->pd, &gid, &r->ah);
	if (err) {
		free(r);
		return err;
	}
	r->key = address->key;
	r->number = address->number;
	*remote_out = r;
	return 0;
}

void weft_remote_close(struct weft_remote *remote)
{
	(void)weft_ah_destroy(remote->ah);
	free(remote);
}

/* Memory */

int weft_mem_open(struct weft_ep *ep, void *addr, size_t len, struct weft_mem **mem_out)
{
	uint32_t access = WEFT_ACCESS_LOCAL_WRITE, caps = weft_card_info(ep->card)->caps;
	struct weft_mem *mem = calloc(1, sizeof(*mem));
	int err;

	if (!mem)
		return -ENOMEM;
	if (caps & WEFT_CAP_RDMA_WRITE)
		access |= WEFT_ACCESS_REMOTE_WRITE;
	if (caps & WEFT_CAP_RDMA_READ)
		access |= WEFT_ACCESS_REMOTE_READ;
	err = weft_mr_create(ep->pd, addr, len, (uintptr_t)addr, access, &mem->mr);
	if (err) {
		free(mem);
		return err;
	}
	*mem_out = mem;
	return 0;
}

void weft_mem_close(struct weft_mem *mem)
{
	(void)weft_mr_destroy(mem->mr);
	free(mem);
}

uint32_t weft_mem_key(const struct weft_mem *mem)
{
	return mem->mr->rkey;
}

enum weft_mem_gpu weft_mem_gpu(void)
{
	switch (weft_conf_get()->gpu) {
	case WEFT_CONF_GPU_AUTO:
		return WEFT_MEM_GPU_DIRECT;
	case WEFT_CONF_GPU_STAGED:
		return WEFT_MEM_GPU_STAGED;
	case WEFT_CONF_GPU_OFF:
		break;
	}
	return WEFT_MEM_GPU_NO;
}

/* Requests */

static int post(struct weft_ep *ep, const struct weft_remote *to, struct weft_wr *wr, void *user)
{
	int err;

	wr->wr_id = (uintptr_t)user;
	wr->ah = to->ah;
	wr->qpn = to->number;
	wr->qkey = to->key;
	err = weft_qp_post_send(ep->qp, wr, 1);
	return err == -ENOMEM ? -EAGAIN : err;
}

static void set_sge(struct weft_wr *wr, const struct weft_mem *mem, const void *data, uint32_t len)
{
	wr->sge_len = len ? 1 : 0;
	wr->sge[0] = (struct weft_sge){
		.addr = (uintptr_t)data,
		.len = len,
		.lkey = len ? mem->mr->lkey : 0,
	};
}

int weft_send(struct weft_ep *ep, struct weft_remote *to, const struct weft_mem *mem,
	      const void *data, uint32_t len, void *user)
{
	struct weft_wr wr = { .op = WEFT_OP_SEND };

	set_sge(&wr, mem, data, len);
	return post(ep, to, &wr, user);
}

int weft_send_inline(struct weft_ep *ep, struct weft_remote *to, const void *data, uint32_t len,
		     void *user)
{
	struct weft_wr wr = { .op = WEFT_OP_SEND, .is_inline = true, .inline_len = (uint8_t)len };

	if (len > WEFT_INLINE_MAX)
		return -EMSGSIZE;
	memcpy(wr.inline_data, data, len);
	return post(ep, to, &wr, user);
}

int weft_recv(struct weft_ep *ep, const struct weft_mem *mem, void *data, uint32_t len, void *user)
{
	struct weft_recv_wr wr = {
		.wr_id = (uintptr_t)user,
		.sge_len = 1,
		.sge[0] = { .addr = (uintptr_t)data, .len = len, .lkey = mem->mr->lkey },
	};
	int err = weft_qp_post_recv(ep->qp, &wr, 1);

	return err == -ENOMEM ? -EAGAIN : err;
}

int weft_write(struct weft_ep *ep, struct weft_remote *to, const struct weft_mem *mem,
	       const void *data, uint32_t len, uint64_t to_addr, uint32_t to_key,
	       const uint32_t *imm, void *user)
{
	struct weft_wr wr = {
		.op = imm ? WEFT_OP_WRITE_IMM : WEFT_OP_WRITE,
		.raddr = to_addr,
		.rkey = to_key,
		.imm = imm ? *imm : 0,
	};

	set_sge(&wr, mem, data, len);
	return post(ep, to, &wr, user);
}

int weft_read(struct weft_ep *ep, struct weft_remote *from, const struct weft_mem *mem, void *data,
	      uint32_t len, uint64_t from_addr, uint32_t from_key, void *user)
{
	struct weft_wr wr = { .op = WEFT_OP_READ, .raddr = from_addr, .rkey = from_key };

	set_sge(&wr, mem, data, len);
	return post(ep, from, &wr, user);
}

static uint32_t what_of(uint8_t op)
{
	switch ((enum weft_cqe_op)op) {
	case WEFT_CQE_WRITE:
		return WEFT_DONE_WRITE;
	case WEFT_CQE_RECV:
		return WEFT_DONE_RECV;
	case WEFT_CQE_RECV_WRITE_IMM:
		return WEFT_DONE_IMM;
	case WEFT_CQE_SEND:
		break;
	}
	return WEFT_DONE_SEND;
}

uint32_t weft_poll(struct weft_ep *ep, struct weft_done *done, uint32_t max)
{
	const struct weft_cqe *cqe;
	uint32_t n = 0;

	weft_cq_begin(ep->cq);
	while (n < max && (cqe = weft_cq_next(ep->cq)))
		done[n++] = (struct weft_done){
			.user = cqe->flags & WEFT_CQE_F_UNSOLICITED ? NULL
								    : (void *)(uintptr_t)cqe->wr_id,
			.what = what_of(cqe->op),
			.status = cqe->status,
			.len = cqe->byte_len,
			.imm = cqe->imm,
		};
	weft_cq_end(ep->cq);
	return n;
}

const char *weft_status_text(uint32_t status)
{
	return weft_dev_status_text(status);
}
