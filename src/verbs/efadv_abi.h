/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_VERBS_EFADV_ABI_H
#define WEFT_VERBS_EFADV_ABI_H

/* The binary interface of libefa in its newest known layout. The header of libefa is not used: the installed one
 * may be older, and its structs cannot be defined twice.
 *
 * Callers pass the size of the struct that they know (inlen). It must reach the newest field that the oldest
 * interface had; a longer one than ours must be zero behind it; what lies behind a shorter one is not
 * touched. WEFT_EFADV_HAS(struct tag, field, inlen): does the caller's struct have the field? */
#include "verbs/abi.h"

#include <stdbool.h>

#define WEFT_EFADV_HAS(tag, field, inlen) ((inlen) > offsetof(struct tag, field))

enum {
	EFADV_DEVICE_ATTR_CAPS_RDMA_READ = 1 << 0,
	EFADV_DEVICE_ATTR_CAPS_RNR_RETRY = 1 << 1,
	EFADV_DEVICE_ATTR_CAPS_CQ_WITH_SGID = 1 << 2,
	EFADV_DEVICE_ATTR_CAPS_RDMA_WRITE = 1 << 3,
	EFADV_DEVICE_ATTR_CAPS_UNSOLICITED_WRITE_RECV = 1 << 4,
};

struct efadv_device_attr {
	uint64_t comp_mask;
	uint32_t max_sq_wr, max_rq_wr;
	uint16_t max_sq_sge, max_rq_sge;
	uint16_t inline_buf_size;
	uint16_t inline_buf_size_ex; /* Reserved in old headers. */
	uint32_t device_caps;
	uint32_t max_rdma_size;
};

static_assert(sizeof(struct efadv_device_attr) == 32, "efadv_device_attr");
static_assert(offsetof(struct efadv_device_attr, device_caps) == 24, "efadv_device_attr");

struct efadv_ah_attr {
	uint64_t comp_mask;
	uint16_t ahn;
	uint8_t reserved[6];
};

static_assert(sizeof(struct efadv_ah_attr) == 16, "efadv_ah_attr");

struct efadv_sq_depth_attr {
	uint64_t comp_mask;
	uint32_t flags;
	uint32_t max_send_sge, max_rdma_sge;
	uint32_t max_inline_data;
};

struct efadv_rq_depth_attr {
	uint64_t comp_mask;
	uint32_t max_recv_sge;
};

enum {
	EFADV_QP_DRIVER_TYPE_SRD = 0,
};

enum {
	EFADV_QP_FLAGS_UNSOLICITED_WRITE_RECV = 1 << 0,
};

enum {
	EFADV_WR_EX_WITH_PROCESSING_HINTS = 1 << 0,
};

struct efadv_qp_init_attr {
	uint64_t comp_mask;
	uint32_t driver_qp_type;
	uint16_t flags; /* From here: reserved in old headers. */
	uint8_t sl;
	uint8_t reserved;
	uint64_t wr_flags; /* Not in old headers. */
};

static_assert(sizeof(struct efadv_qp_init_attr) == 24, "efadv_qp_init_attr");
static_assert(offsetof(struct efadv_qp_init_attr, wr_flags) == 16, "efadv_qp_init_attr");

struct efadv_qp {
	uint64_t comp_mask;
	void (*wr_set_processing_hints)(struct efadv_qp *qp, uint32_t hints);
};

enum {
	EFADV_WC_EX_WITH_SGID = 1 << 0,
	EFADV_WC_EX_WITH_IS_UNSOLICITED = 1 << 1,
};

struct efadv_cq_init_attr {
	uint64_t comp_mask;
	uint64_t wc_flags;
	uint64_t flags; /* From here: not in old headers. */
	struct {
		uint8_t *buffer;
		uint64_t length, offset;
		int32_t fd;
		uint8_t reserved[4];
	} ext_mem_dmabuf;
};

struct efadv_cq {
	uint64_t comp_mask;
	int (*wc_read_sgid)(struct efadv_cq *cq, union ibv_gid *sgid);
	bool (*wc_is_unsolicited)(struct efadv_cq *cq); /* Not in old headers. */
};

#if __SIZEOF_POINTER__ == 8
static_assert(sizeof(struct efadv_cq_init_attr) == 56, "efadv_cq_init_attr");
static_assert(sizeof(struct efadv_cq) == 24, "efadv_cq");
static_assert(sizeof(struct efadv_qp) == 16, "efadv_qp");
#endif

struct efadv_mr_attr {
	uint64_t comp_mask;
	uint16_t ic_id_validity; /* Which of the following mean anything. */
	uint16_t recv_ic_id, rdma_read_ic_id, rdma_recv_ic_id;
};

static_assert(sizeof(struct efadv_mr_attr) == 16, "efadv_mr_attr");

struct efadv_wq_attr; /* Rings that a program may drive itself: not offered. */
struct efadv_cq_attr;
struct efadv_comp_cntr_init_attr;

int efadv_query_device(struct ibv_context *ctx, struct efadv_device_attr *attr, uint32_t inlen);
int efadv_get_max_sq_depth(struct ibv_context *ctx, struct efadv_sq_depth_attr *attr,
			   uint32_t inlen);
int efadv_get_max_rq_depth(struct ibv_context *ctx, struct efadv_rq_depth_attr *attr,
			   uint32_t inlen);
int efadv_query_ah(struct ibv_ah *ah, struct efadv_ah_attr *attr, uint32_t inlen);
struct ibv_qp *efadv_create_driver_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *attr,
				      uint32_t driver_qp_type);
struct ibv_qp *efadv_create_qp_ex(struct ibv_context *ctx, struct ibv_qp_init_attr_ex *attr,
				  struct efadv_qp_init_attr *efa_attr, uint32_t inlen);
int efadv_query_qp_wqs(struct ibv_qp *qp, struct efadv_wq_attr *sq_attr,
		       struct efadv_wq_attr *rq_attr, uint32_t inlen);
struct efadv_qp *efadv_qp_from_ibv_qp_ex(struct ibv_qp_ex *qp);
struct ibv_cq_ex *efadv_create_cq(struct ibv_context *ctx, struct ibv_cq_init_attr_ex *attr,
				  struct efadv_cq_init_attr *efa_attr, uint32_t inlen);
int efadv_query_cq(struct ibv_cq *cq, struct efadv_cq_attr *attr, uint32_t inlen);
struct efadv_cq *efadv_cq_from_ibv_cq_ex(struct ibv_cq_ex *cq);
int efadv_query_mr(struct ibv_mr *mr, struct efadv_mr_attr *attr, uint32_t inlen);
struct ibv_comp_cntr *efadv_create_comp_cntr(struct ibv_context *ctx,
					     struct ibv_comp_cntr_init_attr *attr,
					     struct efadv_comp_cntr_init_attr *efa_attr,
					     uint32_t inlen);

#endif
