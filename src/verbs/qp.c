/* SPDX-License-Identifier: BSD-2-Clause */
/* Queue pairs: making them, and their states. The device knows which state may follow which; what stands here is
 * which attributes each transition needs and allows, by the rules of the kernel's driver. */
#include "verbs/export.h"
#include "verbs/obj.h"
#include "verbs/passthru.h"

#include <stdlib.h>

/* Making */

#define OPS_UD ((uint64_t)(IBV_QP_EX_WITH_SEND | IBV_QP_EX_WITH_SEND_WITH_IMM))

static int check_ops(enum weft_qp_type type, uint32_t caps, uint64_t ops)
{
	uint64_t allowed = OPS_UD;

	if (type == WEFT_QP_SRD && (caps & WEFT_CAP_RDMA_READ))
		allowed |= IBV_QP_EX_WITH_RDMA_READ;
	if (type == WEFT_QP_SRD && (caps & WEFT_CAP_RDMA_WRITE))
		allowed |= IBV_QP_EX_WITH_RDMA_WRITE | IBV_QP_EX_WITH_RDMA_WRITE_WITH_IMM;
	return ops & ~allowed ? EOPNOTSUPP : 0;
}

static int check_create(struct ibv_context *context, const struct ibv_qp_init_attr_ex *attr,
			const struct efadv_qp_init_attr *efa_attr)
{
	uint32_t caps = weft_vcontext(context)->info->caps;
	uint32_t flags = 0;
	enum weft_qp_type type = attr->qp_type == IBV_QPT_UD ? WEFT_QP_UD : WEFT_QP_SRD;

	if (attr->qp_type != IBV_QPT_UD && attr->qp_type != IBV_QPT_DRIVER)
		return EOPNOTSUPP;
	if (attr->qp_type == IBV_QPT_DRIVER && efa_attr->driver_qp_type != EFADV_QP_DRIVER_TYPE_SRD)
		return EOPNOTSUPP;
	if ((caps & WEFT_CAP_UNSOLICITED_WRITE_RECV) && type == WEFT_QP_SRD)
		flags |= EFADV_QP_FLAGS_UNSOLICITED_WRITE_RECV;
	if (efa_attr->flags & ~flags)
		return EOPNOTSUPP;
	if (attr->comp_mask & ~(uint32_t)(IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS))
		return EOPNOTSUPP;
	if (!(attr->comp_mask & IBV_QP_INIT_ATTR_PD) || !attr->pd)
		return EINVAL;
	if ((attr->comp_mask & IBV_QP_INIT_ATTR_SEND_OPS_FLAGS) &&
	    check_ops(type, caps, attr->send_ops_flags))
		return EOPNOTSUPP;
	if (efa_attr->wr_flags & ~(uint64_t)EFADV_WR_EX_WITH_PROCESSING_HINTS)
		return EOPNOTSUPP;
	if (!attr->send_cq || !attr->recv_cq || attr->srq)
		return EINVAL;
	if (attr->pd->context != context || attr->send_cq->context != context ||
	    attr->recv_cq->context != context)
		return EINVAL;
	return 0;
}

/* A hint of this kind is for the card's scheduler; we have nothing to schedule. */
static void wr_set_processing_hints(struct efadv_qp *qp, uint32_t hints)
{
	(void)qp;
	(void)hints;
}

/* The program's side of a QP that the device has made. */
static void fill(struct weft_vqp *qp, struct ibv_context *context,
		 const struct ibv_qp_init_attr_ex *attr, const struct weft_qp_attr *dev_attr)
{
	struct ibv_qp *ibv = &qp->ibv;

	ibv->context = context;
	ibv->qp_context = attr->qp_context;
	ibv->pd = attr->pd;
	ibv->send_cq = attr->send_cq;
	ibv->recv_cq = attr->recv_cq;
	ibv->qp_num = weft_qp_number(qp->dev);
	ibv->handle = ibv->qp_num;
	ibv->state = IBV_QPS_RESET;
	ibv->qp_type = attr->qp_type;
	pthread_mutex_init(&ibv->mutex, NULL);
	pthread_cond_init(&ibv->cond, NULL);

	qp->type = dev_attr->type;
	qp->sig_all = attr->sq_sig_all;
	qp->send_sge_max = dev_attr->max_send_sge;
	qp->recv_sge_max = dev_attr->max_recv_sge;
	qp->inline_max = dev_attr->max_inline;
	qp->attr.cap = (struct ibv_qp_cap){
		.max_send_wr = dev_attr->max_send_wr,
		.max_recv_wr = dev_attr->max_recv_wr,
		.max_send_sge = dev_attr->max_send_sge,
		.max_recv_sge = dev_attr->max_recv_sge,
		.max_inline_data = dev_attr->max_inline,
	};
	qp->attr.rnr_retry = 7; /* For ever, until told otherwise. */
}

struct ibv_qp *weft_vqp_create(struct ibv_context *context, struct ibv_qp_init_attr_ex *attr,
			       const struct efadv_qp_init_attr *efa_attr)
{
	struct weft_qp_attr dev_attr;
	struct weft_vqp *qp;
	int rc;

	rc = -check_create(context, attr, efa_attr);
	if (rc)
		return weft_fail(-rc);
	qp = calloc(1, sizeof(*qp));
	if (!qp)
		return weft_fail(ENOMEM);
	dev_attr = (struct weft_qp_attr){
		.type = attr->qp_type == IBV_QPT_UD ? WEFT_QP_UD : WEFT_QP_SRD,
		.send_cq = weft_vcq(attr->send_cq)->dev,
		.recv_cq = weft_vcq(attr->recv_cq)->dev,
		.max_send_wr = attr->cap.max_send_wr,
		.max_recv_wr = attr->cap.max_recv_wr,
		.max_send_sge = attr->cap.max_send_sge,
		.max_recv_sge = attr->cap.max_recv_sge,
		.max_inline = attr->cap.max_inline_data,
		.unsolicited_write_recv = efa_attr->flags & EFADV_QP_FLAGS_UNSOLICITED_WRITE_RECV,
		.user = qp,
	};
	rc = weft_qp_create(weft_vpd(attr->pd)->dev, &dev_attr, &qp->dev);
	if (rc)
		goto err_free;
	if (attr->comp_mask & IBV_QP_INIT_ATTR_SEND_OPS_FLAGS) {
		qp->build.max = dev_attr.max_send_wr;
		qp->build.wr = calloc((size_t)qp->build.max + 1, sizeof(*qp->build.wr));
		if (!qp->build.wr) {
			rc = -ENOMEM;
			goto err_destroy;
		}
		pthread_mutex_init(&qp->build.mutex, NULL);
		weft_build_init(qp, attr->send_ops_flags);
		qp->extended = true;
	}
	if (efa_attr->wr_flags & EFADV_WR_EX_WITH_PROCESSING_HINTS)
		qp->efadv.wr_set_processing_hints = wr_set_processing_hints;
	fill(qp, context, attr, &dev_attr);
	attr->cap = qp->attr.cap;
	weft_vcontext_get(weft_vcontext(context));
	return &qp->ibv;

err_destroy:
	weft_qp_destroy(qp->dev);
err_free:
	free(qp);
	return weft_fail(-rc);
}

struct ibv_qp *weft_vqp_create_plain(struct ibv_pd *pd, struct ibv_qp_init_attr *attr,
				     const struct efadv_qp_init_attr *efa_attr)
{
	struct ibv_qp_init_attr_ex ex = {
		.qp_context = attr->qp_context,
		.send_cq = attr->send_cq,
		.recv_cq = attr->recv_cq,
		.srq = attr->srq,
		.cap = attr->cap,
		.qp_type = attr->qp_type,
		.sq_sig_all = attr->sq_sig_all,
		.comp_mask = IBV_QP_INIT_ATTR_PD,
		.pd = pd,
	};
	struct ibv_qp *qp = weft_vqp_create(pd->context, &ex, efa_attr);

	if (qp)
		attr->cap = ex.cap;
	return qp;
}

struct ibv_qp *weft_op_create_qp_ex(struct ibv_context *context, struct ibv_qp_init_attr_ex *attr)
{
	static const struct efadv_qp_init_attr none;

	if (attr->qp_type != IBV_QPT_UD)
		return weft_fail(EOPNOTSUPP);
	return weft_vqp_create(context, attr, &none);
}

WEFT_EXPORT struct ibv_qp *ibv_create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *attr)
{
	static const struct efadv_qp_init_attr none;

	if (!weft_is_ours(pd->context))
		return WEFT_PASS(NULL, ibv_create_qp, pd, attr);
	return attr->qp_type == IBV_QPT_UD ? weft_vqp_create_plain(pd, attr, &none)
					   : weft_fail(EOPNOTSUPP);
}

WEFT_EXPORT int ibv_destroy_qp(struct ibv_qp *ibv)
{
	struct ibv_context *context = ibv->context;
	struct weft_vqp *qp = weft_vqp(ibv);
	int rc;

	if (!weft_is_ours(context))
		return WEFT_PASS(ENOSYS, ibv_destroy_qp, ibv);
	rc = weft_qp_destroy(qp->dev);
	if (rc)
		return -rc;
	if (qp->extended)
		pthread_mutex_destroy(&qp->build.mutex);
	free(qp->build.wr);
	pthread_cond_destroy(&ibv->cond);
	pthread_mutex_destroy(&ibv->mutex);
	free(qp);
	weft_vcontext_put(weft_vcontext(context));
	return 0;
}

WEFT_EXPORT struct ibv_qp_ex *ibv_qp_to_qp_ex(struct ibv_qp *ibv)
{
	if (!weft_is_ours(ibv->context))
		return WEFT_PASS(NULL, ibv_qp_to_qp_ex, ibv);
	return weft_vqp(ibv)->extended ? &weft_vqp(ibv)->abi.ex : weft_fail(EOPNOTSUPP);
}

/* States */

/* What a transition needs and allows besides the state itself. Every state may be left for RESET, and every one
 * but RESET for ERR, with nothing besides: these rows are not written. */
static const struct edge {
	uint8_t from, to; /* enum ibv_qp_state */
	int needed, allowed, allowed_srd; /* enum ibv_qp_attr_mask */
} edges[] = {
	{ IBV_QPS_RESET, IBV_QPS_INIT, IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY, 0, 0 },
	{ IBV_QPS_INIT, IBV_QPS_INIT, 0, IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY, 0 },
	{ IBV_QPS_INIT, IBV_QPS_RTR, 0, IBV_QP_PKEY_INDEX | IBV_QP_QKEY, 0 },
	{ IBV_QPS_RTR, IBV_QPS_RTS, IBV_QP_SQ_PSN, IBV_QP_CUR_STATE | IBV_QP_QKEY,
	  IBV_QP_RNR_RETRY },
	{ IBV_QPS_RTS, IBV_QPS_RTS, 0, IBV_QP_CUR_STATE | IBV_QP_QKEY, 0 },
	{ IBV_QPS_RTS, IBV_QPS_SQD, 0, IBV_QP_EN_SQD_ASYNC_NOTIFY, 0 },
	{ IBV_QPS_SQD, IBV_QPS_RTS, 0, IBV_QP_CUR_STATE | IBV_QP_QKEY, 0 },
	{ IBV_QPS_SQD, IBV_QPS_SQD, 0, IBV_QP_PKEY_INDEX | IBV_QP_QKEY, 0 },
};

#define MASK_KNOWN                                                                          \
	(IBV_QP_STATE | IBV_QP_CUR_STATE | IBV_QP_EN_SQD_ASYNC_NOTIFY | IBV_QP_PKEY_INDEX | \
	 IBV_QP_PORT | IBV_QP_QKEY | IBV_QP_SQ_PSN | IBV_QP_RNR_RETRY)
#define MASK_QUERY                                                                      \
	(IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY | IBV_QP_SQ_PSN | \
	 IBV_QP_CAP | IBV_QP_RNR_RETRY)

static bool is_edge(enum weft_qp_type type, enum ibv_qp_state from, enum ibv_qp_state to, int mask)
{
	mask &= ~IBV_QP_STATE;
	if (to == IBV_QPS_RESET || (to == IBV_QPS_ERR && from != IBV_QPS_RESET))
		return !mask;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(edges); i++) {
		const struct edge *e = &edges[i];
		int allowed = e->needed | e->allowed;

		if (e->from != from || e->to != to)
			continue;
		if (type == WEFT_QP_SRD)
			allowed |= e->allowed_srd;
		return (mask & e->needed) == e->needed && !(mask & ~allowed);
	}
	return false;
}

static enum ibv_qp_state state_from_dev(enum weft_qp_state state)
{
	switch (state) {
	case WEFT_QPS_RESET:
		return IBV_QPS_RESET;
	case WEFT_QPS_INIT:
		return IBV_QPS_INIT;
	case WEFT_QPS_RTR:
		return IBV_QPS_RTR;
	case WEFT_QPS_RTS:
		return IBV_QPS_RTS;
	case WEFT_QPS_SQD:
		return IBV_QPS_SQD;
	case WEFT_QPS_ERR:
		return IBV_QPS_ERR;
	}
	return IBV_QPS_UNKNOWN;
}

/* Of states that an edge leads to. */
static enum weft_qp_state state_to_dev(enum ibv_qp_state state)
{
	switch (state) {
	case IBV_QPS_RESET:
		return WEFT_QPS_RESET;
	case IBV_QPS_INIT:
		return WEFT_QPS_INIT;
	case IBV_QPS_RTR:
		return WEFT_QPS_RTR;
	case IBV_QPS_RTS:
		return WEFT_QPS_RTS;
	case IBV_QPS_SQD:
		return WEFT_QPS_SQD;
	case IBV_QPS_SQE:
	case IBV_QPS_ERR:
	case IBV_QPS_UNKNOWN:
		break;
	}
	return WEFT_QPS_ERR;
}

static int check_modify(const struct weft_vqp *qp, const struct ibv_qp_attr *attr, int mask,
			enum ibv_qp_state from, enum ibv_qp_state to)
{
	uint32_t caps = weft_vcontext(qp->ibv.context)->info->caps;

	if (mask & ~MASK_KNOWN)
		return EOPNOTSUPP;
	if ((mask & IBV_QP_RNR_RETRY) && !(caps & WEFT_CAP_RNR_RETRY))
		return EOPNOTSUPP;
	if ((mask & IBV_QP_CUR_STATE) && attr->cur_qp_state != from)
		return EINVAL;
	if (!is_edge(qp->type, from, to, mask))
		return EINVAL;
	if ((mask & IBV_QP_PORT) && attr->port_num != 1)
		return EINVAL;
	if ((mask & IBV_QP_PKEY_INDEX) && attr->pkey_index != 0)
		return EINVAL;
	if ((mask & IBV_QP_RNR_RETRY) && attr->rnr_retry > 7)
		return EINVAL;
	return 0;
}

/* Under ibv.mutex. */
static int modify(struct weft_vqp *qp, const struct ibv_qp_attr *attr, int mask)
{
	enum ibv_qp_state from = state_from_dev(weft_qp_state(qp->dev));
	enum ibv_qp_state to = mask & IBV_QP_STATE ? attr->qp_state : from;
	int err;

	err = check_modify(qp, attr, mask, from, to);
	if (err)
		return err;
	if (mask & IBV_QP_QKEY)
		weft_qp_set_qkey(qp->dev, qp->attr.qkey = attr->qkey);
	if (mask & IBV_QP_RNR_RETRY)
		weft_qp_set_rnr_retry(qp->dev, qp->attr.rnr_retry = attr->rnr_retry);
	if (mask & IBV_QP_SQ_PSN)
		qp->attr.sq_psn = attr->sq_psn;
	if (mask & IBV_QP_STATE) {
		err = -weft_qp_set_state(qp->dev, state_to_dev(to));
		if (!err)
			qp->ibv.state = to;
	}
	return err;
}

WEFT_EXPORT int ibv_modify_qp(struct ibv_qp *ibv, struct ibv_qp_attr *attr, int attr_mask)
{
	int err;

	if (!weft_is_ours(ibv->context))
		return WEFT_PASS(ENOSYS, ibv_modify_qp, ibv, attr, attr_mask);
	pthread_mutex_lock(&ibv->mutex);
	err = modify(weft_vqp(ibv), attr, attr_mask);
	pthread_mutex_unlock(&ibv->mutex);
	return err;
}

WEFT_EXPORT int ibv_query_qp(struct ibv_qp *ibv, struct ibv_qp_attr *attr, int attr_mask,
			     struct ibv_qp_init_attr *init_attr)
{
	struct weft_vqp *qp = weft_vqp(ibv);

	if (!weft_is_ours(ibv->context))
		return WEFT_PASS(ENOSYS, ibv_query_qp, ibv, attr, attr_mask, init_attr);
	if (attr_mask & ~MASK_QUERY)
		return EOPNOTSUPP;
	pthread_mutex_lock(&ibv->mutex);
	ibv->state = state_from_dev(weft_qp_state(qp->dev));
	memset(attr, 0, sizeof(*attr));
	attr->qp_state = ibv->state;
	attr->cur_qp_state = ibv->state;
	attr->port_num = 1;
	attr->qkey = qp->attr.qkey;
	attr->sq_psn = qp->attr.sq_psn;
	attr->rnr_retry = qp->attr.rnr_retry;
	attr->cap = qp->attr.cap;
	memset(init_attr, 0, sizeof(*init_attr));
	init_attr->qp_context = ibv->qp_context;
	init_attr->send_cq = ibv->send_cq;
	init_attr->recv_cq = ibv->recv_cq;
	init_attr->cap = qp->attr.cap;
	init_attr->qp_type = ibv->qp_type;
	init_attr->sq_sig_all = qp->sig_all;
	pthread_mutex_unlock(&ibv->mutex);
	return 0;
}

WEFT_EXPORT int ibv_query_qp_data_in_order(struct ibv_qp *qp, enum ibv_wr_opcode op, uint32_t flags)
{
	if (!weft_is_ours(qp->context))
		return WEFT_PASS(0, ibv_query_qp_data_in_order, qp, op, flags);
	return 0; /* Pieces of a message take many paths. */
}
