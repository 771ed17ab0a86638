/* SPDX-License-Identifier: BSD-2-Clause */
/* The direct verbs of EFA. Real ones look behind the public structs of what they are given, so none of them may
 * ever see an object of ours: all are defined here, also those that nobody is known to use. */
#include "verbs/cq.h"
#include "verbs/export.h"
#include "verbs/passthru.h"

/* Is what a newer caller knows and we do not, from `known` to `inlen`, all zero? */
static bool is_clear(const void *attr, size_t known, uint32_t inlen)
{
	const uint8_t *p = attr;

	for (size_t i = known; i < inlen; i++)
		if (p[i])
			return false;
	return true;
}

WEFT_EXPORT int efadv_query_device(struct ibv_context *ctx, struct efadv_device_attr *attr,
				   uint32_t inlen)
{
	const struct weft_card_info *info;

	if (!weft_is_ours(ctx))
		return WEFT_PASS(EOPNOTSUPP, efadv_query_device, ctx, attr, inlen);
	if (!WEFT_EFADV_HAS(efadv_device_attr, inline_buf_size_ex, inlen))
		return EINVAL;
	info = weft_vcontext(ctx)->info;
	memset(attr, 0, inlen);
	attr->max_sq_wr = WEFT_DEV_SQ_MAX;
	attr->max_rq_wr = WEFT_DEV_RQ_MAX;
	attr->max_sq_sge = WEFT_DEV_SQ_SGE;
	attr->max_rq_sge = WEFT_DEV_RQ_SGE;
	attr->inline_buf_size = WEFT_DEV_INLINE_MAX;
	attr->inline_buf_size_ex = WEFT_DEV_INLINE_MAX;
	if (WEFT_EFADV_HAS(efadv_device_attr, device_caps, inlen))
		attr->device_caps = info->caps;
	if (WEFT_EFADV_HAS(efadv_device_attr, max_rdma_size, inlen) &&
	    (info->caps & (WEFT_CAP_RDMA_READ | WEFT_CAP_RDMA_WRITE)))
		attr->max_rdma_size = WEFT_DEV_RDMA_MAX;
	return 0;
}

static_assert((int)WEFT_CAP_RDMA_READ == EFADV_DEVICE_ATTR_CAPS_RDMA_READ &&
		      (int)WEFT_CAP_RNR_RETRY == EFADV_DEVICE_ATTR_CAPS_RNR_RETRY &&
		      (int)WEFT_CAP_CQ_WITH_SGID == EFADV_DEVICE_ATTR_CAPS_CQ_WITH_SGID &&
		      (int)WEFT_CAP_RDMA_WRITE == EFADV_DEVICE_ATTR_CAPS_RDMA_WRITE &&
		      (int)WEFT_CAP_UNSOLICITED_WRITE_RECV ==
			      EFADV_DEVICE_ATTR_CAPS_UNSOLICITED_WRITE_RECV,
	      "capability bits are passed on as they are");

WEFT_EXPORT int efadv_get_max_sq_depth(struct ibv_context *ctx, struct efadv_sq_depth_attr *attr,
				       uint32_t inlen)
{
	if (!weft_is_ours(ctx))
		return WEFT_PASS(-EOPNOTSUPP, efadv_get_max_sq_depth, ctx, attr, inlen);
	if (!WEFT_EFADV_HAS(efadv_sq_depth_attr, max_inline_data, inlen) || attr->comp_mask ||
	    !is_clear(attr, sizeof(*attr), inlen))
		return -EINVAL;
	if (attr->max_send_sge > WEFT_DEV_SQ_SGE || attr->max_rdma_sge > 1 ||
	    attr->max_inline_data > WEFT_DEV_INLINE_MAX || attr->flags)
		return -EINVAL;
	return WEFT_DEV_SQ_MAX;
}

WEFT_EXPORT int efadv_get_max_rq_depth(struct ibv_context *ctx, struct efadv_rq_depth_attr *attr,
				       uint32_t inlen)
{
	if (!weft_is_ours(ctx))
		return WEFT_PASS(-EOPNOTSUPP, efadv_get_max_rq_depth, ctx, attr, inlen);
	if (!WEFT_EFADV_HAS(efadv_rq_depth_attr, max_recv_sge, inlen) || attr->comp_mask ||
	    !is_clear(attr, sizeof(*attr), inlen))
		return -EINVAL;
	if (attr->max_recv_sge > WEFT_DEV_RQ_SGE)
		return -EINVAL;
	return (int)(WEFT_DEV_RQ_MAX / WEFT_MAX(attr->max_recv_sge, 1u));
}

WEFT_EXPORT int efadv_query_ah(struct ibv_ah *ah, struct efadv_ah_attr *attr, uint32_t inlen)
{
	if (!weft_is_ours(ah->context))
		return WEFT_PASS(EOPNOTSUPP, efadv_query_ah, ah, attr, inlen);
	if (!WEFT_EFADV_HAS(efadv_ah_attr, ahn, inlen))
		return EINVAL;
	memset(attr, 0, inlen);
	attr->ahn = (uint16_t)ah->handle;
	return 0;
}

WEFT_EXPORT int efadv_query_mr(struct ibv_mr *mr, struct efadv_mr_attr *attr, uint32_t inlen)
{
	if (!weft_is_ours(mr->context))
		return WEFT_PASS(EOPNOTSUPP, efadv_query_mr, mr, attr, inlen);
	if (!WEFT_EFADV_HAS(efadv_mr_attr, rdma_recv_ic_id, inlen))
		return EINVAL;
	memset(attr, 0, inlen); /* There is no interconnect to number. */
	return 0;
}

/* Queue pairs */

WEFT_EXPORT struct ibv_qp *efadv_create_qp_ex(struct ibv_context *ctx,
					      struct ibv_qp_init_attr_ex *attr,
					      struct efadv_qp_init_attr *efa_attr, uint32_t inlen)
{
	struct efadv_qp_init_attr known = { 0 };

	if (!weft_is_ours(ctx))
		return WEFT_PASS(weft_fail(EOPNOTSUPP), efadv_create_qp_ex, ctx, attr, efa_attr,
				 inlen);
	if (attr->qp_type != IBV_QPT_DRIVER ||
	    !WEFT_EFADV_HAS(efadv_qp_init_attr, driver_qp_type, inlen))
		return weft_fail(EINVAL);
	memcpy(&known, efa_attr, WEFT_MIN(inlen, sizeof(known)));
	if (known.comp_mask || known.reserved || !is_clear(efa_attr, sizeof(known), inlen))
		return weft_fail(EINVAL);
	return weft_vqp_create(ctx, attr, &known);
}

WEFT_EXPORT struct ibv_qp *efadv_create_driver_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *attr,
						  uint32_t driver_qp_type)
{
	struct efadv_qp_init_attr efa_attr = { .driver_qp_type = driver_qp_type };

	if (!weft_is_ours(pd->context))
		return WEFT_PASS(weft_fail(EOPNOTSUPP), efadv_create_driver_qp, pd, attr,
				 driver_qp_type);
	if (attr->qp_type != IBV_QPT_DRIVER)
		return weft_fail(EINVAL);
	return weft_vqp_create_plain(pd, attr, &efa_attr);
}

WEFT_EXPORT struct efadv_qp *efadv_qp_from_ibv_qp_ex(struct ibv_qp_ex *qp)
{
	if (!weft_is_ours(qp->qp_base.context))
		return WEFT_PASS(NULL, efadv_qp_from_ibv_qp_ex, qp);
	return &weft_vqp_ex(qp)->efadv;
}

/* Success would mean that the program may write to rings in memory, which nobody watches. */
WEFT_EXPORT int efadv_query_qp_wqs(struct ibv_qp *qp, struct efadv_wq_attr *sq_attr,
				   struct efadv_wq_attr *rq_attr, uint32_t inlen)
{
	if (!weft_is_ours(qp->context))
		return WEFT_PASS(EOPNOTSUPP, efadv_query_qp_wqs, qp, sq_attr, rq_attr, inlen);
	return EOPNOTSUPP;
}

/* Completion queues and counters */

WEFT_EXPORT struct ibv_cq_ex *efadv_create_cq(struct ibv_context *ctx,
					      struct ibv_cq_init_attr_ex *attr,
					      struct efadv_cq_init_attr *efa_attr, uint32_t inlen)
{
	struct efadv_cq_init_attr known = { 0 };
	uint64_t allowed = 0;
	struct weft_vcq *cq;
	uint32_t caps;

	if (!weft_is_ours(ctx))
		return WEFT_PASS(weft_fail(EOPNOTSUPP), efadv_create_cq, ctx, attr, efa_attr,
				 inlen);
	if (!WEFT_EFADV_HAS(efadv_cq_init_attr, wc_flags, inlen))
		return weft_fail(EINVAL);
	memcpy(&known, efa_attr, WEFT_MIN(inlen, sizeof(known)));
	if (known.comp_mask || !is_clear(efa_attr, sizeof(known), inlen))
		return weft_fail(EINVAL);
	caps = weft_vcontext(ctx)->info->caps;
	if (caps & WEFT_CAP_CQ_WITH_SGID)
		allowed |= EFADV_WC_EX_WITH_SGID;
	if (caps & WEFT_CAP_UNSOLICITED_WRITE_RECV)
		allowed |= EFADV_WC_EX_WITH_IS_UNSOLICITED;
	if (known.flags || (known.wc_flags & ~allowed))
		return weft_fail(EOPNOTSUPP);
	cq = weft_vcq_create(ctx, attr, known.wc_flags);
	return cq ? &cq->ex : NULL;
}

WEFT_EXPORT struct efadv_cq *efadv_cq_from_ibv_cq_ex(struct ibv_cq_ex *cq)
{
	if (!weft_is_ours(cq->context))
		return WEFT_PASS(NULL, efadv_cq_from_ibv_cq_ex, cq);
	return &weft_vcq_ex(cq)->efadv;
}

/* As efadv_query_qp_wqs. libfabric asks this one first, and then polls as usual. */
WEFT_EXPORT int efadv_query_cq(struct ibv_cq *cq, struct efadv_cq_attr *attr, uint32_t inlen)
{
	if (!weft_is_ours(cq->context))
		return WEFT_PASS(EOPNOTSUPP, efadv_query_cq, cq, attr, inlen);
	return EOPNOTSUPP;
}

WEFT_EXPORT struct ibv_comp_cntr *efadv_create_comp_cntr(struct ibv_context *ctx,
							 struct ibv_comp_cntr_init_attr *attr,
							 struct efadv_comp_cntr_init_attr *efa_attr,
							 uint32_t inlen)
{
	if (!weft_is_ours(ctx))
		return WEFT_PASS(weft_fail(EOPNOTSUPP), efadv_create_comp_cntr, ctx, attr, efa_attr,
				 inlen);
	return weft_fail(EOPNOTSUPP);
}
