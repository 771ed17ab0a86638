/* SPDX-License-Identifier: BSD-2-Clause */
/* The functions of the real libraries: how they are found, and those that we define only to hand over. The
 * latter know no objects (names of statuses, rates, conversions from kernel structs) or only objects that
 * weft never makes (shared receive queues, counters, DMA handles): an object that is ours is then refused
 * before the real library can read behind its public part. */
#define _GNU_SOURCE
#include "verbs/passthru.h"

#include "dev/conf.h"
#include "verbs/export.h"
#include "verbs/obj.h"

#include <dlfcn.h>

/* RTLD_NEXT sees the libraries that the program was linked with. A library that came by dlopen() into a local
 * scope (a plugin that uses libibverbs) is found by its name. Either may be closed again, but what was found is
 * remembered: so it stays. */
static void *find(const char *name)
{
	void *fn = dlsym(RTLD_NEXT, name);
	Dl_info info;
	void *lib;

	if (!fn) {
		lib = dlopen(strncmp(name, "efadv_", 6) ? "libibverbs.so.1" : "libefa.so.1",
			     RTLD_LAZY | RTLD_NOLOAD);
		if (!lib)
			return NULL;
		fn = dlsym(lib, name);
		dlclose(lib); /* Its user keeps it loaded. */
	}
	lib = fn && dladdr(fn, &info)
		      ? dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE)
		      : NULL;
	if (lib)
		dlclose(lib);
	return fn;
}

void *weft_real(void *_Atomic *cache, const char *name)
{
	void *fn = *cache;

	if (fn)
		return fn;
	fn = find(name);
	if (fn)
		*cache = fn;
	else
		errno = ENOSYS;
	return fn;
}

/* Functions without objects. */
#define FORWARD(type, missing, fn, params, ...)             \
	WEFT_EXPORT type fn params                          \
	{                                                   \
		return WEFT_PASS(missing, fn, __VA_ARGS__); \
	}

FORWARD(const char *, "unknown", ibv_node_type_str, (enum ibv_node_type type), type)
FORWARD(const char *, "unknown", ibv_port_state_str, (enum ibv_port_state state), state)
FORWARD(const char *, "unknown", ibv_event_type_str, (enum ibv_event_type type), type)
FORWARD(const char *, "unknown", ibv_wc_status_str, (enum ibv_wc_status status), status)
FORWARD(int, -1, ibv_rate_to_mult, (enum ibv_rate rate), rate)
FORWARD(enum ibv_rate, IBV_RATE_MAX, mult_to_ibv_rate, (int mult), mult)
FORWARD(int, -1, ibv_rate_to_mbps, (enum ibv_rate rate), rate)
FORWARD(enum ibv_rate, IBV_RATE_MAX, mbps_to_ibv_rate, (int mbps), mbps)
FORWARD(int, -1, ibv_read_sysfs_file, (const char *dir, const char *file, char *buf, size_t size),
	dir, file, buf, size)
FORWARD(struct ibv_context *, NULL, ibv_import_device, (int cmd_fd), cmd_fd)
FORWARD(void, (void)0, ibv_copy_ah_attr_from_kern,
	(struct ibv_ah_attr * dst, struct ib_uverbs_ah_attr *src), dst, src)
FORWARD(void, (void)0, ibv_copy_qp_attr_from_kern,
	(struct ibv_qp_attr * dst, struct ib_uverbs_qp_attr *src), dst, src)
FORWARD(void, (void)0, ibv_copy_path_rec_from_kern,
	(struct ibv_sa_path_rec * dst, struct ib_user_path_rec *src), dst, src)
FORWARD(void, (void)0, ibv_copy_path_rec_to_kern,
	(struct ib_user_path_rec * dst, struct ibv_sa_path_rec *src), dst, src)
FORWARD(int, 0, ibv_dontfork_range, (void *base, size_t size), base, size)
FORWARD(int, 0, ibv_dofork_range, (void *base, size_t size), base, size)

/* Functions of objects that cannot be ours, because nothing of ours makes them. */
FORWARD(int, ENOSYS, ibv_modify_srq,
	(struct ibv_srq * srq, struct ibv_srq_attr *attr, int attr_mask), srq, attr, attr_mask)
FORWARD(int, ENOSYS, ibv_query_srq, (struct ibv_srq * srq, struct ibv_srq_attr *attr), srq, attr)
FORWARD(int, ENOSYS, ibv_destroy_srq, (struct ibv_srq * srq), srq)
FORWARD(void, (void)0, ibv_unimport_dm, (struct ibv_dm * dm), dm)
FORWARD(int, -1, ibv_dm_export_dmabuf_fd, (struct ibv_dm * dm), dm)
FORWARD(int, ENOSYS, ibv_dealloc_dmah, (struct ibv_dmah * dmah), dmah)
FORWARD(void, (void)0, ibv_free_buf, (struct ibv_buf * buf), buf)
FORWARD(int, -1, ibv_export_buf_dmabuf_fd, (struct ibv_buf * buf), buf)
FORWARD(int, ENOSYS, ibv_destroy_comp_cntr, (struct ibv_comp_cntr * cntr), cntr)
FORWARD(int, ENOSYS, ibv_set_comp_cntr, (struct ibv_comp_cntr * cntr, uint64_t value), cntr, value)
FORWARD(int, ENOSYS, ibv_set_err_comp_cntr, (struct ibv_comp_cntr * cntr, uint64_t value), cntr,
	value)
FORWARD(int, ENOSYS, ibv_inc_comp_cntr, (struct ibv_comp_cntr * cntr, uint64_t amount), cntr,
	amount)
FORWARD(int, ENOSYS, ibv_inc_err_comp_cntr, (struct ibv_comp_cntr * cntr, uint64_t amount), cntr,
	amount)
FORWARD(int, ENOSYS, ibv_read_comp_cntr, (struct ibv_comp_cntr * cntr, uint64_t *value), cntr,
	value)
FORWARD(int, ENOSYS, ibv_read_err_comp_cntr, (struct ibv_comp_cntr * cntr, uint64_t *value), cntr,
	value)

/* What an EFA card does not offer, refused for ours: functions that return an object, and an errno. */
#define REFUSE_NULL(type, ctx, fn, params, ...)          \
	WEFT_EXPORT type fn params                       \
	{                                                \
		if (weft_is_ours(ctx))                   \
			return weft_fail(EOPNOTSUPP);    \
		return WEFT_PASS(NULL, fn, __VA_ARGS__); \
	}

#define REFUSE(ctx, fn, params, ...)                       \
	WEFT_EXPORT int fn params                          \
	{                                                  \
		if (weft_is_ours(ctx))                     \
			return EOPNOTSUPP;                 \
		return WEFT_PASS(ENOSYS, fn, __VA_ARGS__); \
	}

REFUSE_NULL(struct ibv_srq *, pd->context, ibv_create_srq,
	    (struct ibv_pd * pd, struct ibv_srq_init_attr *attr), pd, attr)
REFUSE_NULL(struct ibv_pd *, context, ibv_import_pd,
	    (struct ibv_context * context, uint32_t pd_handle), context, pd_handle)
REFUSE_NULL(struct ibv_mr *, pd->context, ibv_import_mr, (struct ibv_pd * pd, uint32_t mr_handle),
	    pd, mr_handle)
REFUSE_NULL(struct ibv_dm *, context, ibv_import_dm,
	    (struct ibv_context * context, uint32_t dm_handle), context, dm_handle)
REFUSE_NULL(struct ibv_dmah *, context, ibv_alloc_dmah,
	    (struct ibv_context * context, struct ibv_dmah_init_attr *attr), context, attr)
REFUSE_NULL(void *, pd->context, ibv_alloc_buf,
	    (struct ibv_pd * pd, size_t size, struct ibv_buf **buf), pd, size, buf)
REFUSE_NULL(struct ibv_mr *, pd->context, ibv_reg_buf_mr,
	    (struct ibv_pd * pd, struct ibv_buf *buf, void *addr, size_t length, int access), pd,
	    buf, addr, length, access)
REFUSE_NULL(struct ibv_mr *, pd->context, ibv_reg_mr_ex,
	    (struct ibv_pd * pd, struct ibv_mr_init_attr *attr), pd, attr)
REFUSE_NULL(struct ibv_comp_cntr *, context, ibv_create_comp_cntr,
	    (struct ibv_context * context, struct ibv_comp_cntr_init_attr *attr), context, attr)
REFUSE(context, _ibv_query_comp_cntr_caps,
       (struct ibv_context * context, struct ibv_comp_cntr_caps *caps, size_t size), context, caps,
       size)
REFUSE(qp->context, ibv_qp_attach_comp_cntr,
       (struct ibv_qp * qp, struct ibv_comp_cntr *cntr, struct ibv_qp_attach_comp_cntr_attr *attr),
       qp, cntr, attr)
REFUSE(qp->context, ibv_attach_mcast, (struct ibv_qp * qp, const union ibv_gid *gid, uint16_t lid),
       qp, gid, lid)
REFUSE(qp->context, ibv_detach_mcast, (struct ibv_qp * qp, const union ibv_gid *gid, uint16_t lid),
       qp, gid, lid)
REFUSE(qp->context, ibv_set_ece, (struct ibv_qp * qp, struct ibv_ece *ece), qp, ece)
REFUSE(qp->context, ibv_query_ece, (struct ibv_qp * qp, struct ibv_ece *ece), qp, ece)
REFUSE(cq->context, ibv_resize_cq, (struct ibv_cq * cq, int cqe), cq, cqe)
REFUSE(context, ibv_resolve_eth_l2_from_gid,
       (struct ibv_context * context, struct ibv_ah_attr *attr, uint8_t eth_mac[ETHERNET_LL_SIZE],
	uint16_t *vid),
       context, attr, eth_mac, vid)

/* These two give nothing back, so there is nothing to refuse: an import of ours never succeeded. */
WEFT_EXPORT void ibv_unimport_pd(struct ibv_pd *pd)
{
	if (!weft_is_ours(pd->context))
		WEFT_PASS((void)0, ibv_unimport_pd, pd);
}

WEFT_EXPORT void ibv_unimport_mr(struct ibv_mr *mr)
{
	if (!weft_is_ours(mr->context))
		WEFT_PASS((void)0, ibv_unimport_mr, mr);
}

WEFT_EXPORT int ibv_fork_init(void)
{
	/* Only real devices need it. */
	return weft_conf_get()->hide_others ? 0 : WEFT_PASS(0, ibv_fork_init);
}

WEFT_EXPORT enum ibv_fork_status ibv_is_fork_initialized(void)
{
	/* Any other answer makes libfabric abort the program when it forks. */
	return IBV_FORK_UNNEEDED;
}
