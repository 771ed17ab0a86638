/* SPDX-License-Identifier: BSD-2-Clause */
/* Queue pairs: life and states. What they do is in sq.c and rq.c. */
#include "dev/core.h"

#include "base/assert.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define UD_AHEAD 1024u /* Messages that UD reports as sent before the engine is done with them. */

struct weft_qp *weft_qp_by_number(struct weft_card *card, uint16_t qpn)
{
	struct weft_qp *qp = card->slots[WEFT_QPN_INDEX(qpn)].qp;

	return qp && qp->qpn == qpn ? qp : NULL;
}

struct weft_qp *weft_qp_target(struct weft_card *card, uint16_t qpn)
{
	struct weft_qp *qp = weft_qp_by_number(card, qpn);

	if (!qp)
		return NULL;
	switch ((enum weft_qp_state)qp->state) {
	case WEFT_QPS_RTR:
	case WEFT_QPS_RTS:
	case WEFT_QPS_SQD:
		return qp;
	case WEFT_QPS_RESET:
	case WEFT_QPS_INIT:
	case WEFT_QPS_ERR:
		break;
	}
	return NULL;
}

static int check_attr(const struct weft_card *card, const struct weft_qp_attr *attr)
{
	if (!attr->send_cq || !attr->recv_cq || attr->send_cq->card != card ||
	    attr->recv_cq->card != card)
		return -EINVAL;
	if (attr->max_send_wr > WEFT_DEV_SQ_MAX || attr->max_send_sge > WEFT_DEV_SQ_SGE ||
	    attr->max_recv_sge > WEFT_DEV_RQ_SGE || attr->max_inline > WEFT_DEV_INLINE_MAX ||
	    attr->max_recv_wr > WEFT_DEV_RQ_MAX ||
	    attr->max_recv_wr * WEFT_MAX(attr->max_recv_sge, 1u) > WEFT_DEV_RQ_MAX)
		return -EINVAL;
	if (attr->unsolicited_write_recv && !(card->info->caps & WEFT_CAP_UNSOLICITED_WRITE_RECV))
		return -EOPNOTSUPP;
	return 0;
}

static void qp_free(struct weft_qp *qp)
{
	free(qp->sq.wqe);
	free(qp->sq.copies);
	free(qp->rq.rqe);
	free(qp->rq.queue);
	free(qp);
}

static struct weft_qp *qp_alloc(struct weft_pd *pd, const struct weft_qp_attr *attr)
{
	struct weft_qp *qp = calloc(1, sizeof(*qp));

	if (!qp)
		return NULL;
	qp->card = pd->card;
	qp->pd = pd;
	qp->send_cq = attr->send_cq;
	qp->recv_cq = attr->recv_cq;
	qp->user = attr->user;
	qp->type = attr->type;
	qp->unsolicited = attr->unsolicited_write_recv;
	qp->rnr_retry = 7;
	qp->sq.depth = attr->max_send_wr;
	qp->sq.sge_max = attr->max_send_sge;
	qp->sq.inline_max = attr->max_inline;
	qp->rq.depth = attr->max_recv_wr;
	qp->rq.sge_max = attr->max_recv_sge;
	qp->rq.mask = weft_pow2_at_least(WEFT_MAX(qp->rq.depth, 1u)) - 1;
	qp->sq.reported_max = qp->type == WEFT_QP_UD ? WEFT_MAX(qp->sq.depth, UD_AHEAD) : 0;
	qp->sq.wqes = qp->sq.depth + qp->sq.reported_max;
	qp->sq.wqe = calloc(qp->sq.wqes, sizeof(*qp->sq.wqe));
	if (qp->type == WEFT_QP_UD)
		qp->sq.copies = malloc((size_t)qp->sq.wqes * WEFT_DEV_MSG_MAX);
	qp->rq.rqe = calloc(WEFT_MAX(qp->rq.depth, 1u), sizeof(*qp->rq.rqe));
	qp->rq.queue = calloc(qp->rq.mask + 1, sizeof(*qp->rq.queue));
	if (!qp->sq.wqe || !qp->rq.rqe || !qp->rq.queue ||
	    (qp->type == WEFT_QP_UD && !qp->sq.copies)) {
		qp_free(qp);
		return NULL;
	}
	weft_sq_init(qp);
	weft_rq_init(qp);
	return qp;
}

int weft_qp_create(struct weft_pd *pd, struct weft_qp_attr *attr, struct weft_qp **qp_out)
{
	struct weft_card *card = pd->card;
	struct weft_qp_attr got = *attr;
	struct weft_qp *qp;
	int err = check_attr(card, attr);

	if (err)
		return err;
	got.max_send_wr = weft_pow2_at_least(WEFT_MAX(attr->max_send_wr, WEFT_DEV_SQ_MIN));
	if (got.max_recv_wr)
		got.max_recv_wr =
			weft_pow2_at_least(attr->max_recv_wr * WEFT_MAX(attr->max_recv_sge, 1u)) /
			WEFT_MAX(attr->max_recv_sge, 1u);
	qp = qp_alloc(pd, &got);
	if (!qp)
		return -ENOMEM;
	weft_card_lock(card);
	err = weft_card_up(card);
	if (!err && !card->index_len)
		err = -ENOMEM;
	if (err) {
		weft_card_unlock(card);
		qp_free(qp);
		return err;
	}
	qp->index = card->index_free[card->index_head];
	card->index_head = (card->index_head + 1) % WEFT_DEV_QP_MAX;
	card->index_len--;
	qp->qpn = (uint16_t)(card->slot << 8 | qp->index);
	qp->gen = card->slots[qp->index].gen;
	card->slots[qp->index].qp = qp;
	pd->refs++;
	qp->send_cq->refs++;
	qp->recv_cq->refs++;
	card->qps++;
	weft_card_unlock(card);
	*attr = got;
	*qp_out = qp;
	return 0;
}

int weft_qp_destroy(struct weft_qp *qp)
{
	struct weft_card *card = qp->card;

	weft_card_lock(card);
	weft_sq_linger(card);
	qp->state = WEFT_QPS_ERR;
	weft_share_qp(card, qp);
	weft_sq_flush(qp, true);
	weft_rq_flush(qp, true);
	/* What is owed to peers must not wait for a poll that may never come. */
	weft_card_work(card);
	card->slots[qp->index].qp = NULL;
	card->index_free[(card->index_head + card->index_len++) % WEFT_DEV_QP_MAX] = qp->index;
	qp->pd->refs--;
	qp->send_cq->refs--;
	qp->recv_cq->refs--;
	card->qps--;
	weft_card_unlock(card);
	qp_free(qp);
	return 0;
}

uint16_t weft_qp_number(const struct weft_qp *qp)
{
	return qp->qpn;
}

void *weft_qp_user(const struct weft_qp *qp)
{
	return qp->user;
}

enum weft_qp_state weft_qp_state(const struct weft_qp *qp)
{
	return (enum weft_qp_state)atomic_load_explicit(&qp->state, memory_order_relaxed);
}

static bool is_legal(enum weft_qp_state from, enum weft_qp_state to)
{
	switch (to) {
	case WEFT_QPS_RESET:
		return true;
	case WEFT_QPS_ERR:
		return from != WEFT_QPS_RESET;
	case WEFT_QPS_INIT:
		return from == WEFT_QPS_RESET || from == WEFT_QPS_INIT;
	case WEFT_QPS_RTR:
		return from == WEFT_QPS_INIT;
	case WEFT_QPS_RTS:
		return from == WEFT_QPS_RTR || from == WEFT_QPS_RTS || from == WEFT_QPS_SQD;
	case WEFT_QPS_SQD:
		return from == WEFT_QPS_RTS || from == WEFT_QPS_SQD;
	}
	return false;
}

int weft_qp_set_state(struct weft_qp *qp, enum weft_qp_state to)
{
	struct weft_card *card = qp->card;
	enum weft_qp_state from;
	int err = 0;

	weft_card_lock(card);
	from = (enum weft_qp_state)qp->state;
	if (card->dead) {
		err = -EIO;
	} else if (!is_legal(from, to)) {
		err = -EINVAL;
	} else {
		qp->state = to;
		weft_share_qp(card, qp);
		if (to != from && (to == WEFT_QPS_RESET || to == WEFT_QPS_ERR)) {
			weft_sq_flush(qp, to == WEFT_QPS_RESET);
			weft_rq_flush(qp, to == WEFT_QPS_RESET);
		}
	}
	weft_card_unlock(card);
	return err;
}

void weft_qp_set_qkey(struct weft_qp *qp, uint32_t qkey)
{
	weft_card_lock(qp->card);
	qp->qkey = qkey;
	weft_card_unlock(qp->card);
}

void weft_qp_set_rnr_retry(struct weft_qp *qp, uint8_t rnr_retry)
{
	weft_card_lock(qp->card);
	qp->rnr_retry = rnr_retry & 7;
	weft_card_unlock(qp->card);
}
