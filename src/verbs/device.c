/* SPDX-License-Identifier: BSD-2-Clause */
/* Devices: the list, opening and closing, and what a program may ask about a device and its only port. Our
 * devices are static objects: they outlive every list, and their addresses are how all other files recognise
 * what is ours. */
#define _GNU_SOURCE
#include "dev/conf.h"
#include "verbs/devnode.h"
#include "verbs/export.h"
#include "verbs/obj.h"
#include "verbs/passthru.h"
#include "verbs/sysfs.h"

#include <endian.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define VENDOR_AMAZON 0x1d0fu
/* The kernel numbers its devices from 0: ours must not be taken for them. */
#define DEVICE_INDEX_BASE 1000

#define ROOT_LEN    ((int)WEFT_SYSFS_ROOT_MAX - 1)
#define CLASS_VERBS "/class/infiniband_verbs/"
#define CLASS_IB    "/class/infiniband/"
static_assert(WEFT_SYSFS_ROOT_MAX - 1 + sizeof(CLASS_VERBS "weft_uverbs99") <=
		      sizeof(((struct ibv_device *)0)->dev_path),
	      "paths in the longest run directory fit");

struct weft_vdevice weft_vdevices[WEFT_CARDS_MAX];

/* A list that we handed out: the real library wants its own back. */
struct list {
	struct list *next;
	struct ibv_device **real; /* owns; NULL: none. */
	struct ibv_device *devices[]; /* What the program sees. */
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* Of this file's state. */
static struct list *lists;
static const struct weft_card_info *cards;
static uint32_t ours_len;
static bool ours_made;

/* A child must not find the mutex in the hands of a thread that it does not have. */

static void before_fork(void)
{
	pthread_mutex_lock(&mutex);
}

static void after_fork_parent(void)
{
	pthread_mutex_unlock(&mutex);
}

static void after_fork_child(void)
{
	weft_sysfs_after_fork();
	pthread_mutex_unlock(&mutex);
}

static void watch_forks(void)
{
	(void)pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

static void lock(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	/* Not with the mutex held: a fork that is under way holds the list of handlers and wants the mutex. */
	pthread_once(&once, watch_forks);
	pthread_mutex_lock(&mutex);
}

static void make_device(const struct weft_card_info *info, const char *sysfs)
{
	struct weft_vdevice *d = &weft_vdevices[info->index];
	char uverbs[sizeof(d->ibv.dev_name)];

	weft_sysfs_uverbs_name(info->number, uverbs, sizeof(uverbs));
	d->info = info;
	d->ibv.node_type = IBV_NODE_UNSPECIFIED;
	d->ibv.transport_type = IBV_TRANSPORT_UNSPECIFIED;
	snprintf(d->ibv.name, sizeof(d->ibv.name), "%s", info->name);
	snprintf(d->ibv.dev_name, sizeof(d->ibv.dev_name), "%s", uverbs);
	snprintf(d->ibv.dev_path, sizeof(d->ibv.dev_path), "%.*s" CLASS_VERBS "%.13s", ROOT_LEN,
		 sysfs, uverbs);
	snprintf(d->ibv.ibdev_path, sizeof(d->ibv.ibdev_path), "%.*s" CLASS_IB "%.16s", ROOT_LEN,
		 sysfs, info->name);
	weft_devnode_add(d->ibv.dev_name);
}

/* Under the mutex. A process without cards keeps its real devices: the reason is told, once. */
static void make_ours(void)
{
	const char *why = NULL;
	uint32_t count;
	int rc;

	if (ours_made) {
		/* The files may have been cleaned away meanwhile. What went wrong before is not told again. */
		if (ours_len)
			(void)weft_sysfs_make(cards, ours_len, &why);
		return;
	}
	ours_made = true;
	for (uint32_t i = 0; (why = weft_conf_problem(i)); i++)
		fprintf(stderr, "weft: %s\n", why);
	rc = weft_cardset_get(&cards, &count, &why);
	if (rc) {
		fprintf(stderr, "weft: no cards: %s\n", why ? why : strerror(-rc));
		return;
	}
	if (weft_sysfs_make(cards, count, &why))
		fprintf(stderr, "weft: %s\n", why);
	ours_len = WEFT_MIN(count, WEFT_CARDS_MAX);
	for (uint32_t i = 0; i < ours_len; i++)
		make_device(&cards[i], weft_sysfs_root());
}

WEFT_EXPORT struct ibv_device **ibv_get_device_list(int *num_devices)
{
	struct ibv_device **real = NULL;
	struct list *list;
	int real_len = 0, n = 0;

	if (num_devices)
		*num_devices = 0;
	lock();
	make_ours();
	pthread_mutex_unlock(&mutex);
	/* Not under the mutex: the real function calls exported ones, which are ours. */
	if (!weft_conf_get()->hide_others)
		real = WEFT_PASS(NULL, ibv_get_device_list, &real_len);
	if (!real)
		real_len = 0;
	list = calloc(1,
		      sizeof(*list) + ((size_t)ours_len + (size_t)real_len + 1) * sizeof(void *));
	if (!list) {
		if (real)
			WEFT_PASS((void)0, ibv_free_device_list, real);
		return weft_fail(ENOMEM);
	}
	for (uint32_t i = 0; i < ours_len; i++)
		list->devices[n++] = &weft_vdevices[i].ibv;
	for (int i = 0; i < real_len; i++)
		list->devices[n++] = real[i];
	list->real = real;
	lock();
	list->next = lists;
	lists = list;
	pthread_mutex_unlock(&mutex);
	if (num_devices)
		*num_devices = n;
	return list->devices;
}

WEFT_EXPORT void ibv_free_device_list(struct ibv_device **devices)
{
	struct list **at, *list;

	lock();
	for (at = &lists; *at && (*at)->devices != devices; at = &(*at)->next)
		;
	list = *at;
	if (list)
		*at = list->next;
	pthread_mutex_unlock(&mutex);
	if (list)
		devices = list->real;
	if (devices)
		WEFT_PASS((void)0, ibv_free_device_list, devices);
	free(list);
}

static const struct weft_card_info *device_info(const struct ibv_device *device)
{
	return weft_container_of(device, const struct weft_vdevice, ibv)->info;
}

WEFT_EXPORT const char *ibv_get_device_name(struct ibv_device *device)
{
	if (!weft_is_our_device(device))
		return WEFT_PASS(NULL, ibv_get_device_name, device);
	return device->name;
}

/* Real cards tell a GUID only with newer firmware; ours is the lower half of the GID. */
static __be64 device_guid(const struct weft_card_info *info)
{
	__be64 guid;

	memcpy(&guid, info->gid.raw + 8, sizeof(guid));
	return guid;
}

WEFT_EXPORT __be64 ibv_get_device_guid(struct ibv_device *device)
{
	if (!weft_is_our_device(device))
		return WEFT_PASS(0, ibv_get_device_guid, device);
	return device_guid(device_info(device));
}

WEFT_EXPORT int ibv_get_device_index(struct ibv_device *device)
{
	if (!weft_is_our_device(device))
		return WEFT_PASS(-1, ibv_get_device_index, device);
	return DEVICE_INDEX_BASE + (int)device_info(device)->index;
}

WEFT_EXPORT const char *ibv_get_sysfs_path(void)
{
	const char *path = getenv("SYSFS_PATH");

	lock();
	make_ours();
	pthread_mutex_unlock(&mutex);
	return path ? path : "/sys";
}

/* Opening and closing */

WEFT_EXPORT struct ibv_context *ibv_open_device(struct ibv_device *device)
{
	struct weft_vcontext *ctx;
	struct ibv_context *ibv;
	int rc;

	if (!weft_is_our_device(device))
		return WEFT_PASS(NULL, ibv_open_device, device);
	ctx = calloc(1, sizeof(*ctx));
	if (!ctx)
		return weft_fail(ENOMEM);
	ctx->refs = 1;
	ctx->info = device_info(device);
	ibv = &ctx->abi.v.context;
	/* Nothing is ever written to it: no event happens to a card of ours. But clients poll it. */
	ibv->async_fd = eventfd(0, EFD_CLOEXEC);
	if (ibv->async_fd < 0) {
		rc = -errno;
		goto err_free;
	}
	rc = weft_card_open(ctx->info->index, &ctx->card);
	if (rc)
		goto err_close_fd;
	ibv->device = device;
	ibv->cmd_fd = -1;
	ibv->num_comp_vectors = WEFT_DEV_COMP_VECTORS;
	ibv->abi_compat = __VERBS_ABI_IS_EXTENDED;
	ibv->ops.poll_cq = weft_op_poll_cq;
	ibv->ops.req_notify_cq = weft_op_req_notify_cq;
	ibv->ops.post_send = weft_op_post_send;
	ibv->ops.post_recv = weft_op_post_recv;
	pthread_mutex_init(&ibv->mutex, NULL);
	ctx->abi.v.sz = sizeof(ctx->abi);
	ctx->abi.v.query_device_ex = weft_op_query_device_ex;
	ctx->abi.v.query_port = weft_op_query_port;
	ctx->abi.v.create_cq_ex = weft_op_create_cq_ex;
	ctx->abi.v.create_qp_ex = weft_op_create_qp_ex;
	return ibv;

err_close_fd:
	close(ibv->async_fd);
err_free:
	free(ctx);
	return weft_fail(-rc);
}

void weft_vcontext_get(struct weft_vcontext *ctx)
{
	atomic_fetch_add(&ctx->refs, 1);
}

void weft_vcontext_put(struct weft_vcontext *ctx)
{
	if (atomic_fetch_sub(&ctx->refs, 1) > 1)
		return;
	weft_card_close(ctx->card);
	pthread_mutex_destroy(&ctx->abi.v.context.mutex);
	free(ctx);
}

WEFT_EXPORT int ibv_close_device(struct ibv_context *context)
{
	if (!weft_is_ours(context))
		return WEFT_PASS(ENOSYS, ibv_close_device, context);
	close(context->async_fd);
	context->async_fd = -1;
	weft_vcontext_put(weft_vcontext(context));
	return 0;
}

/* Blocks or not, as the program has set the descriptor; there is no event in either case. */
WEFT_EXPORT int ibv_get_async_event(struct ibv_context *context, struct ibv_async_event *event)
{
	uint64_t unused;

	if (!weft_is_ours(context))
		return WEFT_PASS(-1, ibv_get_async_event, context, event);
	if (read(context->async_fd, &unused, sizeof(unused)) >= 0)
		errno = EIO;
	return -1;
}

WEFT_EXPORT void ibv_ack_async_event(struct ibv_async_event *event)
{
	/* An event does not name its context; each kind has it in another object. Ours have no events, so
	 * whatever is acknowledged is real. */
	WEFT_PASS((void)0, ibv_ack_async_event, event);
}

/* Attributes */

static void fill_device_attr(const struct weft_card_info *info, struct ibv_device_attr *attr)
{
	memset(attr, 0, sizeof(*attr));
	snprintf(attr->fw_ver, sizeof(attr->fw_ver), "0.0.0.0");
	attr->node_guid = device_guid(info);
	attr->sys_image_guid = attr->node_guid;
	attr->max_mr_size = 1ull << 40;
	attr->page_size_cap = 0xfffff000u;
	/* libfabric's verbs provider leaves this vendor's devices to its efa provider. */
	attr->vendor_id = VENDOR_AMAZON;
	attr->vendor_part_id = info->part_id;
	attr->hw_ver = info->part_id;
	attr->max_qp = WEFT_DEV_QP_MAX;
	attr->max_qp_wr = WEFT_MIN(WEFT_DEV_SQ_MAX, WEFT_DEV_RQ_MAX);
	attr->max_sge = WEFT_MIN(WEFT_DEV_SQ_SGE, WEFT_DEV_RQ_SGE);
	attr->max_sge_rd = 1;
	attr->max_cq = WEFT_DEV_CQ_MAX;
	attr->max_cqe = WEFT_DEV_CQE_MAX;
	attr->max_mr = WEFT_DEV_MR_MAX;
	attr->max_pd = WEFT_DEV_PD_MAX;
	attr->atomic_cap = IBV_ATOMIC_NONE;
	attr->max_ah = WEFT_DEV_AH_MAX;
	attr->max_pkeys = 1;
	attr->phys_port_cnt = 1;
}

WEFT_EXPORT int ibv_query_device(struct ibv_context *context, struct ibv_device_attr *attr)
{
	if (!weft_is_ours(context))
		return WEFT_PASS(ENOSYS, ibv_query_device, context, attr);
	fill_device_attr(weft_vcontext(context)->info, attr);
	return 0;
}

int weft_op_query_device_ex(struct ibv_context *context,
			    const struct ibv_query_device_ex_input *input,
			    struct ibv_device_attr_ex *attr, size_t attr_size)
{
	if ((input && input->comp_mask) || attr_size < sizeof(attr->orig_attr))
		return EINVAL;
	memset(attr, 0, attr_size);
	fill_device_attr(weft_vcontext(context)->info, &attr->orig_attr);
	if (attr_size >=
	    offsetof(struct ibv_device_attr_ex, phys_port_cnt_ex) + sizeof(attr->phys_port_cnt_ex))
		attr->phys_port_cnt_ex = 1;
	return 0;
}

/* Rates are told as a width and a rate per lane; clients multiply. First row that is not above the rate. */
static const struct {
	uint32_t gbps;
	uint8_t width, speed;
} rates[] = {
	{ 400, 4, 64 }, /* 8X HDR */
	{ 200, 2, 64 }, /* 4X HDR */
	{ 120, 8, 8 }, /* 12X FDR10 */
	{ 100, 2, 32 }, /* 4X EDR */
	{ 60, 8, 2 }, /* 12X DDR */
	{ 50, 1, 64 }, /* 1X HDR */
	{ 40, 2, 8 }, /* 4X FDR10 */
	{ 30, 8, 1 }, /* 12X SDR */
	{ 0, 1, 32 }, /* 1X EDR */
};

static void fill_port_attr(const struct weft_card_info *info, struct ibv_port_attr *attr)
{
	uint32_t i = 0;

	memset(attr, 0, sizeof(*attr));
	attr->state = IBV_PORT_ACTIVE;
	attr->max_mtu = IBV_MTU_4096;
	attr->active_mtu = IBV_MTU_4096;
	attr->gid_tbl_len = 1;
	attr->max_msg_sz = WEFT_DEV_MSG_MAX;
	attr->pkey_tbl_len = 1;
	attr->lmc = 1;
	attr->max_vl_num = 1;
	attr->phys_state = 5; /* Link up. */
	attr->link_layer = IBV_LINK_LAYER_UNSPECIFIED;
	while (rates[i].gbps > info->gbps)
		i++;
	attr->active_width = rates[i].width;
	attr->active_speed = rates[i].speed;
}

int weft_op_query_port(struct ibv_context *context, uint8_t port_num, struct ibv_port_attr *attr,
		       size_t attr_size)
{
	struct weft_abi_port_attr full;

	if (port_num != 1)
		return EINVAL;
	memset(&full, 0, sizeof(full));
	fill_port_attr(weft_vcontext(context)->info, &full.attr);
	memset(attr, 0, attr_size);
	memcpy(attr, &full, WEFT_MIN(attr_size, sizeof(full)));
	return 0;
}

WEFT_EXPORT int ibv_query_port(struct ibv_context *context, uint8_t port_num,
			       struct _compat_ibv_port_attr *attr)
{
	struct ibv_port_attr full;

	if (!weft_is_ours(context))
		return WEFT_PASS(ENOSYS, ibv_query_port, context, port_num, attr);
	if (port_num != 1)
		return EINVAL;
	fill_port_attr(weft_vcontext(context)->info, &full);
	memcpy(attr, &full, WEFT_ABI_PORT_OLD);
	return 0;
}

/* In units of 100 Mb/s. */
WEFT_EXPORT int ibv_query_port_speed(struct ibv_context *context, uint32_t port_num,
				     uint64_t *port_speed)
{
	if (!weft_is_ours(context))
		return WEFT_PASS(ENOSYS, ibv_query_port_speed, context, port_num, port_speed);
	if (port_num != 1)
		return EINVAL;
	*port_speed = (uint64_t)weft_vcontext(context)->info->gbps * 10u;
	return 0;
}

/* The tables of GIDs and partition keys have one row. */

static int fail_int(int err)
{
	errno = err;
	return -1;
}

static void fill_gid(struct ibv_context *context, union ibv_gid *gid)
{
	memcpy(gid->raw, weft_vcontext(context)->info->gid.raw, sizeof(gid->raw));
}

WEFT_EXPORT int ibv_query_gid(struct ibv_context *context, uint8_t port_num, int index,
			      union ibv_gid *gid)
{
	if (!weft_is_ours(context))
		return WEFT_PASS(-1, ibv_query_gid, context, port_num, index, gid);
	if (port_num != 1 || index != 0)
		return fail_int(EINVAL);
	fill_gid(context, gid);
	return 0;
}

/* Callers with older or newer headers pass entries of other sizes. */
static void fill_gid_entry(struct ibv_context *context, struct ibv_gid_entry *entry, size_t size)
{
	struct ibv_gid_entry full = { .port_num = 1, .gid_type = IBV_GID_TYPE_IB };

	fill_gid(context, &full.gid);
	memset(entry, 0, size);
	memcpy(entry, &full, WEFT_MIN(size, sizeof(full)));
}

WEFT_EXPORT int _ibv_query_gid_ex(struct ibv_context *context, uint32_t port_num,
				  uint32_t gid_index, struct ibv_gid_entry *entry, uint32_t flags,
				  size_t entry_size)
{
	if (!weft_is_ours(context))
		return WEFT_PASS(ENOSYS, _ibv_query_gid_ex, context, port_num, gid_index, entry,
				 flags, entry_size);
	if (flags)
		return EOPNOTSUPP;
	if (port_num != 1 || gid_index != 0)
		return EINVAL;
	fill_gid_entry(context, entry, entry_size);
	return 0;
}

WEFT_EXPORT ssize_t _ibv_query_gid_table(struct ibv_context *context, struct ibv_gid_entry *entries,
					 size_t max_entries, uint32_t flags, size_t entry_size)
{
	if (!weft_is_ours(context))
		return WEFT_PASS(-ENOSYS, _ibv_query_gid_table, context, entries, max_entries,
				 flags, entry_size);
	if (flags)
		return -EOPNOTSUPP;
	if (max_entries < 1)
		return -EINVAL;
	fill_gid_entry(context, entries, entry_size);
	return 1;
}

WEFT_EXPORT int ibv_query_gid_type(struct ibv_context *context, uint8_t port_num,
				   unsigned int index, int *type)
{
	if (!weft_is_ours(context))
		return WEFT_PASS(-1, ibv_query_gid_type, context, port_num, index, type);
	if (port_num != 1 || index != 0)
		return fail_int(EINVAL);
	*type = 0; /* As sysfs has it: InfiniBand or RoCE v1. */
	return 0;
}

WEFT_EXPORT int ibv_query_pkey(struct ibv_context *context, uint8_t port_num, int index,
			       __be16 *pkey)
{
	if (!weft_is_ours(context))
		return WEFT_PASS(-1, ibv_query_pkey, context, port_num, index, pkey);
	if (port_num != 1 || index != 0)
		return fail_int(EINVAL);
	*pkey = htobe16(0xffff);
	return 0;
}

WEFT_EXPORT int ibv_get_pkey_index(struct ibv_context *context, uint8_t port_num, __be16 pkey)
{
	if (!weft_is_ours(context))
		return WEFT_PASS(-1, ibv_get_pkey_index, context, port_num, pkey);
	return port_num == 1 && pkey == htobe16(0xffff) ? 0 : fail_int(EINVAL);
}
