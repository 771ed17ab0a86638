/* SPDX-License-Identifier: BSD-2-Clause */
/* Receive queues. A message claims the oldest receive, its packets are placed into it in any order, and it is
 * done or given back; given back, it is the oldest again. */
#include "dev/core.h"

#include "base/assert.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#define NO_RQE 0xffffu /* In a handle: a WRITE with immediate data that takes no receive. */

static uint64_t handle_of(const struct weft_qp *qp, uint32_t rqe)
{
	return (uint64_t)qp->gen << 32 | (uint32_t)qp->index << 16 | rqe;
}

static struct weft_qp *qp_of(struct weft_card *card, uint64_t recv)
{
	struct weft_qp *qp = card->slots[recv >> 16 & 0xff].qp;

	return qp && qp->gen == recv >> 32 ? qp : NULL;
}

static void rqe_free(struct weft_qp *qp, uint32_t i)
{
	qp->rq.rqe[i].next_free = qp->rq.free;
	qp->rq.free = i;
}

void weft_rq_init(struct weft_qp *qp)
{
	qp->rq.free = WEFT_NONE32;
	for (uint32_t i = qp->rq.depth; i-- > 0;)
		rqe_free(qp, i);
	qp->rq.head = qp->rq.tail = 0;
	qp->rq.posted = 0;
}

int weft_qp_post_recv(struct weft_qp *qp, const struct weft_recv_wr *wr, uint32_t n)
{
	struct weft_card *card = qp->card;
	struct weft_qp_slot *slot = &card->slots[qp->index];
	enum weft_qp_state state;
	int err = 0;

	weft_card_lock(card);
	state = (enum weft_qp_state)qp->state;
	if (card->dead)
		err = -EIO;
	else if (state == WEFT_QPS_RESET || state == WEFT_QPS_ERR)
		err = -EINVAL;
	else if (qp->rq.posted - weft_places_polled(&slot->rq) + n > qp->rq.depth)
		err = -ENOMEM;
	for (uint32_t i = 0; i < n && !err; i++)
		if (wr[i].sge_len > qp->rq.sge_max)
			err = -EINVAL;
	for (uint32_t i = 0; i < n && !err; i++) {
		uint32_t at = qp->rq.free;
		struct weft_rqe *rqe = &qp->rq.rqe[at];

		weft_assert(at != WEFT_NONE32);
		qp->rq.free = rqe->next_free;
		rqe->wr = wr[i];
		rqe->len = 0;
		rqe->bad = false;
		for (uint32_t k = 0; k < wr[i].sge_len; k++) {
			/* A card has 16 bits for it. */
			rqe->wr.sge[k].len = WEFT_MIN(rqe->wr.sge[k].len, 65535u);
			rqe->len += rqe->wr.sge[k].len;
		}
		qp->rq.queue[qp->rq.tail++ & qp->rq.mask] = at;
		qp->rq.posted++;
	}
	weft_card_unlock(card);
	return err;
}

static void finish(struct weft_qp *qp, uint32_t i, struct weft_cqe *cqe)
{
	cqe->wr_id = qp->rq.rqe[i].wr.wr_id;
	cqe->qpn = qp->qpn;
	rqe_free(qp, i);
	weft_cq_push(qp->recv_cq, qp, cqe);
}

/* Receives whose memory went away complete with an error and are out of the way. */
static bool drop_bad(struct weft_qp *qp, uint32_t i)
{
	struct weft_rqe *rqe = &qp->rq.rqe[i];
	struct weft_cqe cqe = {
		.status = WEFT_SRD_INVALID_LKEY,
		.op = WEFT_CQE_RECV,
		.ahn = WEFT_DEV_AHN_UNKNOWN,
	};

	for (uint32_t k = 0; k < rqe->wr.sge_len; k++) {
		if (!weft_region_check(qp->card, qp->pd, &rqe->wr.sge[k], WEFT_ACCESS_LOCAL_WRITE))
			continue;
		qp->rq.head++;
		finish(qp, i, &cqe);
		return true;
	}
	return false;
}

enum weft_srd_status weft_rq_claim(struct weft_card *card, const struct weft_srd_msg_info *info,
				   uint64_t *recv_out)
{
	struct weft_qp *qp = weft_qp_target(card, info->dst_qpn);
	bool write = info->op == WEFT_SRD_WRITE_IMM;
	uint32_t need = write ? 0 : info->len, key, i;

	if (!qp)
		return WEFT_SRD_REMOTE_QPN;
	if (qp->type == WEFT_QP_UD) {
		key = qp->qkey ^ WEFT_UD_KEY_MASK;
		need += WEFT_DEV_UD_PREFIX;
	} else {
		key = qp->qkey;
	}
	if (write ? qp->type != WEFT_QP_SRD : info->key != key)
		return WEFT_SRD_REMOTE_QPN;
	if (weft_cq_is_full(qp->recv_cq))
		return WEFT_SRD_RNR;
	if (write && qp->unsolicited) {
		*recv_out = handle_of(qp, NO_RQE);
		return WEFT_SRD_OK;
	}
	do {
		if (qp->rq.head == qp->rq.tail)
			return WEFT_SRD_RNR;
		i = qp->rq.queue[qp->rq.head & qp->rq.mask];
	} while (drop_bad(qp, i));
	if (qp->rq.rqe[i].len < need)
		return WEFT_SRD_REMOTE_LENGTH;
	qp->rq.head++;
	*recv_out = handle_of(qp, i);
	return WEFT_SRD_OK;
}

void weft_rq_place(struct weft_card *card, uint64_t recv, uint32_t off, const void *data,
		   uint32_t len)
{
	struct weft_qp *qp = qp_of(card, recv);
	struct weft_rqe *rqe;

	if (!qp || (recv & 0xffff) == NO_RQE)
		return;
	rqe = &qp->rq.rqe[recv & 0xffff];
	if (qp->type == WEFT_QP_UD)
		off += WEFT_DEV_UD_PREFIX;
	if (weft_sges_put(card, rqe->wr.sge, rqe->wr.sge_len, off, data, len) < len)
		rqe->bad = true;
}

void weft_rq_done(struct weft_card *card, uint64_t recv, const struct weft_srd_msg_info *info)
{
	struct weft_qp *qp = qp_of(card, recv);
	bool write = info->op == WEFT_SRD_WRITE_IMM;
	struct weft_cqe cqe = {
		.byte_len = info->len,
		.imm = htonl(info->imm),
		.src_qpn = info->src_qpn,
		.op = write ? WEFT_CQE_RECV_WRITE_IMM : WEFT_CQE_RECV,
	};
	uint8_t slot;

	if (!qp)
		return;
	if (write || info->op == WEFT_SRD_SEND_IMM)
		cqe.flags |= WEFT_CQE_F_IMM;
	if (qp->type == WEFT_QP_UD)
		cqe.byte_len += WEFT_DEV_UD_PREFIX;
	weft_link_gid(card, info->gid, &cqe.gid, &slot);
	cqe.ahn = weft_ah_lookup(qp->pd, &cqe.gid);
	if ((recv & 0xffff) == NO_RQE) {
		cqe.flags |= WEFT_CQE_F_UNSOLICITED;
		cqe.qpn = qp->qpn;
		weft_cq_push(qp->recv_cq, qp, &cqe);
		return;
	}
	if ((card->unsettled && !weft_mem_settle(card)) || qp->rq.rqe[recv & 0xffff].bad)
		cqe.status = WEFT_SRD_INVALID_LKEY;
	finish(qp, recv & 0xffff, &cqe);
}

void weft_rq_release(struct weft_card *card, uint64_t recv, const struct weft_srd_msg_info *info)
{
	struct weft_qp *qp = qp_of(card, recv);
	struct weft_cqe cqe = {
		.status = WEFT_SRD_FLUSHED,
		.op = WEFT_CQE_RECV,
		.ahn = WEFT_DEV_AHN_UNKNOWN,
	};

	(void)info;
	if (!qp || (recv & 0xffff) == NO_RQE)
		return;
	if (qp->state == WEFT_QPS_ERR && !qp->sq.silent)
		finish(qp, recv & 0xffff, &cqe);
	else
		qp->rq.queue[--qp->rq.head & qp->rq.mask] = recv & 0xffff;
}

void weft_rq_flush(struct weft_qp *qp, bool silently)
{
	struct weft_cqe cqe = {
		.status = WEFT_SRD_FLUSHED,
		.op = WEFT_CQE_RECV,
		.ahn = WEFT_DEV_AHN_UNKNOWN,
	};

	if (silently) {
		weft_rq_init(qp);
		return;
	}
	while (qp->rq.head != qp->rq.tail)
		finish(qp, qp->rq.queue[qp->rq.head++ & qp->rq.mask], &cqe);
}
