/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_VERBS_ABI_H
#define WEFT_VERBS_ABI_H

/* The binary interface of libibverbs in its newest known layout, on top of the installed header, which may be
 * older. Structs that grow at their front (the context) or tail are allocated in the newest size, so that
 * callers built against any header find what they look for; what we do not serve stays NULL, which the
 * callers' inline functions turn into EOPNOTSUPP. The assertions hold the offsets that are compiled into
 * programs. */
#include <infiniband/verbs.h>

#include <assert.h>
#include <sys/types.h>

/* The header shadows these functions with macros. */
#undef ibv_get_device_list
#undef ibv_query_port
#undef ibv_reg_mr
#undef ibv_reg_mr_iova
#undef ibv_query_gid_ex
#undef ibv_query_gid_table

#define WEFT_ABI_CONTEXT_SIZE 696u
#define WEFT_ABI_QP_EX_SIZE   360u
#define WEFT_ABI_PORT_SIZE    56u

struct weft_abi_context {
	char newer[WEFT_ABI_CONTEXT_SIZE -
		   sizeof(struct verbs_context)]; /* Operations we have not. */
	struct verbs_context v;
};

struct weft_abi_qp_ex {
	struct ibv_qp_ex ex;
	char newer[WEFT_ABI_QP_EX_SIZE - sizeof(struct ibv_qp_ex)];
};

struct weft_abi_port_attr {
	struct ibv_port_attr attr;
	char newer[WEFT_ABI_PORT_SIZE - sizeof(struct ibv_port_attr)];
};

/* What the exported ibv_query_port() of old may fill: all up to this field. */
#define WEFT_ABI_PORT_OLD (offsetof(struct ibv_port_attr, flags) + 1u)

#if __SIZEOF_POINTER__ == 8
static_assert(sizeof(struct weft_abi_context) == 696, "verbs_context");
static_assert(offsetof(struct weft_abi_context, v.sz) == 360, "verbs_context");
static_assert(offsetof(struct weft_abi_context, v.context) == 368, "verbs_context");

static_assert(sizeof(struct ibv_context) == 328, "ibv_context");
static_assert(offsetof(struct ibv_context, device) == 0, "ibv_context");
static_assert(offsetof(struct ibv_context, ops.poll_cq) == 96, "ibv_context");
static_assert(offsetof(struct ibv_context, ops.req_notify_cq) == 104, "ibv_context");
static_assert(offsetof(struct ibv_context, ops.post_send) == 208, "ibv_context");
static_assert(offsetof(struct ibv_context, ops.post_recv) == 216, "ibv_context");
static_assert(offsetof(struct ibv_context, async_fd) == 268, "ibv_context");
static_assert(offsetof(struct ibv_context, num_comp_vectors) == 272, "ibv_context");
static_assert(offsetof(struct ibv_context, abi_compat) == 320, "ibv_context");

static_assert(sizeof(struct ibv_device) == 664, "ibv_device");
static_assert(offsetof(struct ibv_device, node_type) == 16, "ibv_device");
static_assert(offsetof(struct ibv_device, transport_type) == 20, "ibv_device");
static_assert(offsetof(struct ibv_device, name) == 24, "ibv_device");
static_assert(offsetof(struct ibv_device, dev_name) == 88, "ibv_device");
static_assert(offsetof(struct ibv_device, dev_path) == 152, "ibv_device");
static_assert(offsetof(struct ibv_device, ibdev_path) == 408, "ibv_device");

static_assert(sizeof(struct ibv_cq) == 128, "ibv_cq");
static_assert(sizeof(struct ibv_cq_ex) == 288, "ibv_cq_ex");
static_assert(offsetof(struct ibv_cq_ex, context) == 0, "ibv_cq_ex");
static_assert(offsetof(struct ibv_cq_ex, status) == 132, "ibv_cq_ex");
static_assert(offsetof(struct ibv_cq_ex, wr_id) == 136, "ibv_cq_ex");
static_assert(offsetof(struct ibv_cq_ex, start_poll) == 144, "ibv_cq_ex");
static_assert(offsetof(struct ibv_cq_ex, cqe) == offsetof(struct ibv_cq, cqe), "ibv_cq_ex");
static_assert(offsetof(struct ibv_cq_ex, channel) == offsetof(struct ibv_cq, channel), "ibv_cq_ex");

static_assert(sizeof(struct ibv_qp) == 160, "ibv_qp");
static_assert(offsetof(struct ibv_qp, qp_num) == 52, "ibv_qp");
static_assert(offsetof(struct ibv_qp, state) == 56, "ibv_qp");
static_assert(offsetof(struct ibv_qp, qp_type) == 60, "ibv_qp");
static_assert(sizeof(struct weft_abi_qp_ex) == 360, "ibv_qp_ex");
static_assert(offsetof(struct ibv_qp_ex, qp_base) == 0, "ibv_qp_ex");
static_assert(offsetof(struct ibv_qp_ex, wr_id) == 168, "ibv_qp_ex");
static_assert(offsetof(struct ibv_qp_ex, wr_flags) == 176, "ibv_qp_ex");
static_assert(offsetof(struct ibv_qp_ex, wr_send) == 240, "ibv_qp_ex");
static_assert(offsetof(struct ibv_qp_ex, wr_start) == 320, "ibv_qp_ex");

static_assert(sizeof(struct weft_abi_port_attr) == 56, "ibv_port_attr");
static_assert(offsetof(struct ibv_port_attr, port_cap_flags2) == 48, "ibv_port_attr");
#endif

/* Functions and types that the installed header may not know yet. */
struct ibv_buf;
struct ibv_comp_cntr;
struct ibv_comp_cntr_caps;
struct ibv_comp_cntr_init_attr;
struct ibv_dmah;
struct ibv_dmah_init_attr;
struct ibv_mr_init_attr;
struct ibv_qp_attach_comp_cntr_attr;

struct ibv_dmah *ibv_alloc_dmah(struct ibv_context *context, struct ibv_dmah_init_attr *attr);
int ibv_dealloc_dmah(struct ibv_dmah *dmah);
struct ibv_mr *ibv_reg_mr_ex(struct ibv_pd *pd, struct ibv_mr_init_attr *attr);
int ibv_dm_export_dmabuf_fd(struct ibv_dm *dm);
int ibv_query_port_speed(struct ibv_context *context, uint32_t port_num, uint64_t *port_speed);
void *ibv_alloc_buf(struct ibv_pd *pd, size_t size, struct ibv_buf **buf);
void ibv_free_buf(struct ibv_buf *buf);
int ibv_export_buf_dmabuf_fd(struct ibv_buf *buf);
struct ibv_mr *ibv_reg_buf_mr(struct ibv_pd *pd, struct ibv_buf *buf, void *addr, size_t length,
			      int access);
int _ibv_query_comp_cntr_caps(struct ibv_context *context, struct ibv_comp_cntr_caps *caps,
			      size_t caps_size);
struct ibv_comp_cntr *ibv_create_comp_cntr(struct ibv_context *context,
					   struct ibv_comp_cntr_init_attr *attr);
int ibv_destroy_comp_cntr(struct ibv_comp_cntr *cntr);
int ibv_set_comp_cntr(struct ibv_comp_cntr *cntr, uint64_t value);
int ibv_set_err_comp_cntr(struct ibv_comp_cntr *cntr, uint64_t value);
int ibv_inc_comp_cntr(struct ibv_comp_cntr *cntr, uint64_t amount);
int ibv_inc_err_comp_cntr(struct ibv_comp_cntr *cntr, uint64_t amount);
int ibv_read_comp_cntr(struct ibv_comp_cntr *cntr, uint64_t *value);
int ibv_read_err_comp_cntr(struct ibv_comp_cntr *cntr, uint64_t *value);
int ibv_qp_attach_comp_cntr(struct ibv_qp *qp, struct ibv_comp_cntr *cntr,
			    struct ibv_qp_attach_comp_cntr_attr *attr);

/* Exported for the tools and libraries of rdma-core, declared in none of its installed headers. */
struct ib_uverbs_ah_attr;
struct ib_uverbs_qp_attr;
struct ib_user_path_rec;
struct ibv_sa_path_rec;

int ibv_query_gid_type(struct ibv_context *context, uint8_t port_num, unsigned int index,
		       int *type);
const char *ibv_get_sysfs_path(void);
int ibv_read_sysfs_file(const char *dir, const char *file, char *buf, size_t size);
void ibv_copy_ah_attr_from_kern(struct ibv_ah_attr *dst, struct ib_uverbs_ah_attr *src);
void ibv_copy_qp_attr_from_kern(struct ibv_qp_attr *dst, struct ib_uverbs_qp_attr *src);
void ibv_copy_path_rec_from_kern(struct ibv_sa_path_rec *dst, struct ib_user_path_rec *src);
void ibv_copy_path_rec_to_kern(struct ib_user_path_rec *dst, struct ibv_sa_path_rec *src);
int ibv_dontfork_range(void *base, size_t size);
int ibv_dofork_range(void *base, size_t size);

#endif
