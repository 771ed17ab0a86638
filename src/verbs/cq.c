/* SPDX-License-Identifier: BSD-2-Clause */
/* Completion queues, classic and extended. Every queue is made as an extended one: the structs share their
 * front. Polling is the hot path: each completion is read where the device keeps it, and translated by
 * tables.
 *
 * A completion whose queue pair was destroyed meanwhile is used up and reported as an error of the poll, not as
 * a completion: that is what the real driver makes of a number it does not know. */
#include "verbs/cq.h"

#include "verbs/export.h"
#include "verbs/passthru.h"

#include <stdlib.h>

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* By the device's status. What is not named is a general error. */
#define STATUS_MAX 32u
static const uint8_t wc_status[STATUS_MAX] = {
	[0] = IBV_WC_SUCCESS,
	[1] = IBV_WC_WR_FLUSH_ERR, /* flushed */
	[2] = IBV_WC_LOC_QP_OP_ERR, /* internal error of the QP */
	[3] = IBV_WC_LOC_QP_OP_ERR, /* unsupported operation */
	[4] = IBV_WC_LOC_QP_OP_ERR, /* invalid address handle */
	[5] = IBV_WC_LOC_PROT_ERR, /* invalid lkey */
	[6] = IBV_WC_LOC_LEN_ERR, /* bad length here */
	[7] = IBV_WC_REM_ACCESS_ERR, /* bad remote address */
	[8] = IBV_WC_REM_ABORT_ERR, /* aborted by the peer */
	[9] = IBV_WC_REM_INV_RD_REQ_ERR, /* bad destination QP */
	[10] = IBV_WC_RNR_RETRY_EXC_ERR, /* receiver not ready */
	[11] = IBV_WC_REM_INV_REQ_ERR, /* bad length there */
	[12] = IBV_WC_BAD_RESP_ERR, /* bad status from the peer */
	[13] = IBV_WC_RESP_TIMEOUT_ERR, /* peer has become silent */
	[14] = IBV_WC_REM_OP_ERR, /* peer does not know us */
	[15] = IBV_WC_RESP_TIMEOUT_ERR, /* peer was never heard */
	[16] = IBV_WC_GENERAL_ERR,
	[17] = IBV_WC_GENERAL_ERR,
	[18] = IBV_WC_REM_INV_REQ_ERR, /* settings of the QPs differ */
	[19 ... STATUS_MAX - 1] = IBV_WC_GENERAL_ERR,
};

static const uint8_t wc_opcode[] = {
	[WEFT_CQE_SEND] = IBV_WC_SEND,
	[WEFT_CQE_WRITE] = IBV_WC_RDMA_WRITE,
	[WEFT_CQE_RECV] = IBV_WC_RECV,
	[WEFT_CQE_RECV_WRITE_IMM] = IBV_WC_RECV_RDMA_WITH_IMM,
};

static inline enum ibv_wc_status status_of(const struct weft_cqe *cqe)
{
	return likely(cqe->status < STATUS_MAX) ? wc_status[cqe->status] : IBV_WC_GENERAL_ERR;
}

static inline unsigned int flags_of(const struct weft_cqe *cqe)
{
	static_assert(IBV_WC_WITH_IMM == 2 && WEFT_CQE_F_IMM == 1, "one is shifted into the other");
	return (cqe->flags & WEFT_CQE_F_IMM) << 1;
}

int weft_op_poll_cq(struct ibv_cq *ibv, int wc_len, struct ibv_wc *wc)
{
	struct weft_cq *dev = weft_vcq(ibv)->dev;
	const struct weft_cqe *cqe;
	int n, rc = 0;

	weft_cq_begin(dev);
	for (n = 0; n < wc_len; n++, wc++) {
		cqe = weft_cq_next(dev);
		if (!cqe)
			break;
		if (unlikely(cqe->flags & WEFT_CQE_F_STALE)) {
			rc = -EINVAL;
			break;
		}
		*wc = (struct ibv_wc){
			.wr_id = cqe->wr_id,
			.status = status_of(cqe),
			.opcode = wc_opcode[cqe->op],
			.vendor_err = cqe->status,
			.byte_len = cqe->byte_len,
			.imm_data = cqe->imm,
			.qp_num = cqe->qpn,
			.src_qp = cqe->src_qpn,
			.wc_flags = flags_of(cqe),
			.slid = cqe->ahn,
		};
	}
	weft_cq_end(dev);
	return n ? n : rc;
}

/* The extended interface: the program steps through a session and reads fields of the present completion. */

static inline int step(struct weft_vcq *cq)
{
	const struct weft_cqe *cqe = weft_cq_next(cq->dev);

	cq->cqe = cqe;
	if (!cqe)
		return ENOENT;
	if (unlikely(cqe->flags & WEFT_CQE_F_STALE))
		return EINVAL;
	cq->ex.wr_id = cqe->wr_id;
	cq->ex.status = status_of(cqe);
	return 0;
}

static int start_poll(struct ibv_cq_ex *ibv, struct ibv_poll_cq_attr *attr)
{
	struct weft_vcq *cq = weft_vcq_ex(ibv);
	int err;

	if (unlikely(attr->comp_mask))
		return EINVAL;
	weft_cq_begin(cq->dev);
	err = step(cq);
	if (err)
		weft_cq_end(cq->dev);
	else
		cq->polling = true;
	return err;
}

static int next_poll(struct ibv_cq_ex *ibv)
{
	return step(weft_vcq_ex(ibv));
}

/* Some programs also end a session that did not begin. */
static void end_poll(struct ibv_cq_ex *ibv)
{
	struct weft_vcq *cq = weft_vcq_ex(ibv);

	if (unlikely(!cq->polling))
		return;
	cq->polling = false;
	weft_cq_end(cq->dev);
}

static enum ibv_wc_opcode read_opcode(struct ibv_cq_ex *ibv)
{
	return wc_opcode[weft_vcq_ex(ibv)->cqe->op];
}

static uint32_t read_vendor_err(struct ibv_cq_ex *ibv)
{
	return weft_vcq_ex(ibv)->cqe->status;
}

static unsigned int read_wc_flags(struct ibv_cq_ex *ibv)
{
	return flags_of(weft_vcq_ex(ibv)->cqe);
}

static uint32_t read_byte_len(struct ibv_cq_ex *ibv)
{
	return weft_vcq_ex(ibv)->cqe->byte_len;
}

static __be32 read_imm_data(struct ibv_cq_ex *ibv)
{
	return weft_vcq_ex(ibv)->cqe->imm;
}

static uint32_t read_qp_num(struct ibv_cq_ex *ibv)
{
	return weft_vcq_ex(ibv)->cqe->qpn;
}

static uint32_t read_src_qp(struct ibv_cq_ex *ibv)
{
	return weft_vcq_ex(ibv)->cqe->src_qpn;
}

static uint32_t read_slid(struct ibv_cq_ex *ibv)
{
	return weft_vcq_ex(ibv)->cqe->ahn;
}

static uint8_t read_zero(struct ibv_cq_ex *ibv)
{
	(void)ibv;
	return 0; /* Service levels and path bits mean nothing here. */
}

/* Only the address of a sender that has no address handle is told: the others are known by its number. */
static int wc_read_sgid(struct efadv_cq *efadv, union ibv_gid *sgid)
{
	const struct weft_cqe *cqe = weft_container_of(efadv, struct weft_vcq, efadv)->cqe;

	if (cqe->ahn != WEFT_DEV_AHN_UNKNOWN)
		return -ENOENT;
	memcpy(sgid->raw, cqe->gid.raw, sizeof(sgid->raw));
	return 0;
}

static bool wc_is_unsolicited(struct efadv_cq *efadv)
{
	return weft_container_of(efadv, struct weft_vcq, efadv)->cqe->flags &
	       WEFT_CQE_F_UNSOLICITED;
}

/* Fields that were not asked for are readable all the same, but for efadv's, whose presence is asked by NULL. */
static void set_ops(struct weft_vcq *cq, uint64_t efa_flags)
{
	cq->ex.start_poll = start_poll;
	cq->ex.next_poll = next_poll;
	cq->ex.end_poll = end_poll;
	cq->ex.read_opcode = read_opcode;
	cq->ex.read_vendor_err = read_vendor_err;
	cq->ex.read_wc_flags = read_wc_flags;
	cq->ex.read_byte_len = read_byte_len;
	cq->ex.read_imm_data = read_imm_data;
	cq->ex.read_qp_num = read_qp_num;
	cq->ex.read_src_qp = read_src_qp;
	cq->ex.read_slid = read_slid;
	cq->ex.read_sl = read_zero;
	cq->ex.read_dlid_path_bits = read_zero;
	if (efa_flags & EFADV_WC_EX_WITH_SGID)
		cq->efadv.wc_read_sgid = wc_read_sgid;
	if (efa_flags & EFADV_WC_EX_WITH_IS_UNSOLICITED)
		cq->efadv.wc_is_unsolicited = wc_is_unsolicited;
}

static int check(struct ibv_context *context, const struct ibv_cq_init_attr_ex *attr)
{
	if (attr->comp_mask & ~(uint32_t)IBV_CQ_INIT_ATTR_MASK_FLAGS)
		return EOPNOTSUPP;
	if ((attr->comp_mask & IBV_CQ_INIT_ATTR_MASK_FLAGS) &&
	    (attr->flags & ~(uint32_t)IBV_CREATE_CQ_ATTR_SINGLE_THREADED))
		return EOPNOTSUPP;
	if (attr->wc_flags & ~(uint64_t)IBV_WC_STANDARD_FLAGS)
		return EOPNOTSUPP;
	if (attr->cqe == 0 || attr->cqe > WEFT_DEV_CQE_MAX)
		return EINVAL;
	if (attr->comp_vector >= (uint32_t)context->num_comp_vectors)
		return EINVAL;
	if (attr->channel && attr->channel->context != context)
		return EINVAL;
	return 0;
}

struct weft_vcq *weft_vcq_create(struct ibv_context *context, struct ibv_cq_init_attr_ex *attr,
				 uint64_t efa_flags)
{
	struct weft_channel *channel = NULL;
	uint32_t depth = attr->cqe;
	struct weft_vcq *cq;
	int rc;

	rc = check(context, attr);
	if (rc)
		return weft_fail(rc);
	if (attr->channel)
		channel = weft_container_of(attr->channel, struct weft_vchannel, ibv)->dev;
	cq = calloc(1, sizeof(*cq));
	if (!cq)
		return weft_fail(ENOMEM);
	rc = weft_cq_create(weft_vcontext(context)->card, &depth, channel, cq, &cq->dev);
	if (rc) {
		free(cq);
		return weft_fail(-rc);
	}
	if ((attr->comp_mask & IBV_CQ_INIT_ATTR_MASK_FLAGS) &&
	    (attr->flags & IBV_CREATE_CQ_ATTR_SINGLE_THREADED))
		weft_cq_set_single_threaded(cq->dev);
	cq->ibv.context = context;
	cq->ibv.channel = attr->channel;
	cq->ibv.cq_context = attr->cq_context;
	cq->ibv.cqe = (int)depth;
	pthread_mutex_init(&cq->ibv.mutex, NULL);
	pthread_cond_init(&cq->ibv.cond, NULL);
	set_ops(cq, efa_flags);
	weft_vcontext_get(weft_vcontext(context));
	return cq;
}

struct ibv_cq_ex *weft_op_create_cq_ex(struct ibv_context *context,
				       struct ibv_cq_init_attr_ex *attr)
{
	struct weft_vcq *cq = weft_vcq_create(context, attr, 0);

	return cq ? &cq->ex : NULL;
}

WEFT_EXPORT struct ibv_cq *ibv_create_cq(struct ibv_context *context, int cqe, void *cq_context,
					 struct ibv_comp_channel *channel, int comp_vector)
{
	struct ibv_cq_init_attr_ex attr = {
		.cqe = cqe < 0 ? 0 : (uint32_t)cqe,
		.cq_context = cq_context,
		.channel = channel,
		.comp_vector = (uint32_t)comp_vector, /* A negative one is too large. */
	};
	struct weft_vcq *cq;

	if (!weft_is_ours(context))
		return WEFT_PASS(NULL, ibv_create_cq, context, cqe, cq_context, channel,
				 comp_vector);
	cq = weft_vcq_create(context, &attr, 0);
	return cq ? &cq->ibv : NULL;
}

WEFT_EXPORT int ibv_destroy_cq(struct ibv_cq *ibv)
{
	struct ibv_context *context = ibv->context;
	int rc;

	if (!weft_is_ours(context))
		return WEFT_PASS(ENOSYS, ibv_destroy_cq, ibv);
	rc = weft_cq_destroy(weft_vcq(ibv)->dev);
	if (rc)
		return -rc;
	pthread_cond_destroy(&ibv->cond);
	pthread_mutex_destroy(&ibv->mutex);
	free(weft_vcq(ibv));
	weft_vcontext_put(weft_vcontext(context));
	return 0;
}
