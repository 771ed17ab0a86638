/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables that NCCL looks for, one for each version of its interface, and what makes one core of them: the lock, and
 * the few arguments in which they differ. */
#include "net.h"

#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define NAME   "weft"

static_assert(sizeof(struct nccl_props_v7) == 56 && sizeof(struct nccl_props_v8) == 64 &&
		      sizeof(struct nccl_props_v9) == 104 && sizeof(struct nccl_props_v11) == 112 &&
		      sizeof(struct nccl_net_v8) == 19 * 8 &&
		      sizeof(struct nccl_net_v9) == 20 * 8 &&
		      sizeof(struct nccl_net_v10) == 20 * 8 &&
		      sizeof(struct nccl_net_v11) == 22 * 8,
	      "as NCCL has them");

#define LOCKED(call)                             \
	({                                       \
		int rc_;                         \
		pthread_mutex_lock(&net_lock);   \
		rc_ = (call);                    \
		pthread_mutex_unlock(&net_lock); \
		rc_;                             \
	})

/* In every version alike */

static int init(nccl_logger *log)
{
	return LOCKED(net_init(log));
}

static int devices(int *ndev)
{
	uint32_t count;
	int err = LOCKED(net_devices(&count));

	if (err)
		return NCCL_SYSTEM_ERROR;
	*ndev = (int)count;
	return NCCL_SUCCESS;
}

static int do_listen(int dev, void *handle, void **listen_comm)
{
	return LOCKED(net_listen(dev, handle, listen_comm));
}

static int do_connect(int dev, void *handle, void **send_comm, void **dev_comm)
{
	if (dev_comm)
		*dev_comm = NULL;
	return LOCKED(net_connect(dev, handle, send_comm));
}

static int do_accept(void *listen_comm, void **recv_comm, void **dev_comm)
{
	if (dev_comm)
		*dev_comm = NULL;
	return LOCKED(net_accept(listen_comm, recv_comm));
}

static int reg_mr(void *comm, void *data, size_t size, int type, void **mhandle)
{
	(void)type; /* libcuda knows better. */
	return LOCKED(net_reg(comm, data, size, mhandle));
}

/* The address says the same as the descriptor, and is what the copy engines want. */
static int reg_mr_dmabuf(void *comm, void *data, size_t size, int type, uint64_t offset, int fd,
			 void **mhandle)
{
	(void)offset;
	(void)fd;
	return reg_mr(comm, data, size, type, mhandle);
}

static int dereg_mr(void *comm, void *mhandle)
{
	(void)comm;
	return LOCKED(net_dereg(mhandle));
}

static int isend(void *send_comm, void *data, size_t size, int tag, void *mhandle, void **request)
{
	return LOCKED(net_isend(send_comm, data, size, tag, mhandle, request));
}

static int irecv(void *recv_comm, int n, void **data, size_t *sizes, int *tags, void **mhandles,
		 void **request)
{
	return LOCKED(net_irecv(recv_comm, n, data, sizes, tags, mhandles, request));
}

/* What has arrived is in its place before its completion is: nothing to flush. */
static int iflush(void *recv_comm, int n, void **data, int *sizes, void **mhandles, void **request)
{
	(void)recv_comm;
	(void)n;
	(void)data;
	(void)sizes;
	(void)mhandles;
	*request = NULL;
	return NCCL_SUCCESS;
}

static int do_test(void *request, int *done, int *sizes)
{
	return LOCKED(net_test(request, done, sizes));
}

static int close_comm(void *comm)
{
	return LOCKED(net_close(comm));
}

static int close_listen(void *listen_comm)
{
	return LOCKED(net_close_listen(listen_comm));
}

/* Versions 7 and 8: bytes are counted in an int. */

static int props_v8(int dev, void *out)
{
	struct nccl_props_v11 p;
	int rc = LOCKED(net_properties(dev, &p));

	if (rc)
		return rc;
	*(struct nccl_props_v8 *)out = (struct nccl_props_v8){
		.name = p.v9.name,
		.pci_path = p.v9.pci_path,
		.guid = p.v9.guid,
		.ptr_support = p.v9.ptr_support,
		.reg_is_global = p.v9.reg_is_global,
		.speed = p.v9.speed,
		.latency = p.v9.latency,
		.comms_max = p.v9.comms_max,
		.recvs_max = p.v9.recvs_max,
	};
	return NCCL_SUCCESS;
}

static int props_v7(int dev, void *out)
{
	struct nccl_props_v11 p;
	int rc = LOCKED(net_properties(dev, &p));

	if (rc)
		return rc;
	*(struct nccl_props_v7 *)out = (struct nccl_props_v7){
		.name = p.v9.name,
		.pci_path = p.v9.pci_path,
		.guid = p.v9.guid,
		.ptr_support = p.v9.ptr_support,
		.speed = p.v9.speed,
		.latency = p.v9.latency,
		.comms_max = p.v9.comms_max,
		.recvs_max = p.v9.recvs_max,
	};
	return NCCL_SUCCESS;
}

static int reg_mr_v7(void *comm, void *data, int size, int type, void **mhandle)
{
	return size < 0 ? NCCL_INVALID_ARGUMENT : reg_mr(comm, data, (size_t)size, type, mhandle);
}

static int isend_v8(void *send_comm, void *data, int size, int tag, void *mhandle, void **request)
{
	return size < 0 ? NCCL_INVALID_ARGUMENT
			: isend(send_comm, data, (size_t)size, tag, mhandle, request);
}

static int irecv_v8(void *recv_comm, int n, void **data, int *sizes, int *tags, void **mhandles,
		    void **request)
{
	size_t wide[NET_GROUP_MAX];

	if (n < 1 || n > (int)NET_GROUP_MAX)
		return NCCL_INVALID_ARGUMENT;
	for (int i = 0; i < n; i++) {
		if (sizes[i] < 0)
			return NCCL_INVALID_ARGUMENT;
		wide[i] = (size_t)sizes[i];
	}
	return irecv(recv_comm, n, data, wide, tags, mhandles, request);
}

#define COMMON                                                                                 \
	.name = NAME, .devices = devices, .accept = do_accept, .reg_mr_dmabuf = reg_mr_dmabuf, \
	.dereg_mr = dereg_mr, .iflush = iflush, .test = do_test, .close_send = close_comm,     \
	.close_recv = close_comm, .close_listen = close_listen

extern const struct nccl_net_v8 ncclNetPlugin_v7, ncclNetPlugin_v8;
extern const struct nccl_net_v9 ncclNetPlugin_v9;
extern const struct nccl_net_v10 ncclNetPlugin_v10;
extern const struct nccl_net_v11 ncclNetPlugin_v11;

EXPORT const struct nccl_net_v8 ncclNetPlugin_v7 = {
	COMMON,
	.init = init,
	.get_properties = props_v7,
	.listen = do_listen,
	.connect = do_connect,
	.reg_mr.v7 = reg_mr_v7,
	.isend = isend_v8,
	.irecv = irecv_v8,
};

EXPORT const struct nccl_net_v8 ncclNetPlugin_v8 = {
	COMMON,
	.init = init,
	.get_properties = props_v8,
	.listen = do_listen,
	.connect = do_connect,
	.reg_mr.v8 = reg_mr,
	.isend = isend_v8,
	.irecv = irecv_v8,
};

/* Version 9: bytes in a size_t. */

static int props_v9(int dev, struct nccl_props_v9 *props)
{
	struct nccl_props_v11 p;
	int rc = LOCKED(net_properties(dev, &p));

	if (!rc)
		*props = p.v9;
	return rc;
}

EXPORT const struct nccl_net_v9 ncclNetPlugin_v9 = {
	COMMON,
	.init = init,
	.get_properties = props_v9,
	.listen = do_listen,
	.connect = do_connect,
	.reg_mr = reg_mr,
	.isend = isend,
	.irecv = irecv,
};

/* Version 10: handles of a profiler, and a traffic class. Neither means anything here. */

static int init_v10(nccl_logger *log, nccl_profiler *profiler)
{
	(void)profiler;
	return init(log);
}

static int connect_v10(int dev, struct nccl_comm_cfg *cfg, void *handle, void **send_comm,
		       void **dev_comm)
{
	(void)cfg;
	return do_connect(dev, handle, send_comm, dev_comm);
}

static int isend_v10(void *send_comm, void *data, size_t size, int tag, void *mhandle,
		     void *phandle, void **request)
{
	(void)phandle;
	return isend(send_comm, data, size, tag, mhandle, request);
}

static int irecv_v10(void *recv_comm, int n, void **data, size_t *sizes, int *tags, void **mhandles,
		     void **phandles, void **request)
{
	(void)phandles;
	return irecv(recv_comm, n, data, sizes, tags, mhandles, request);
}

EXPORT const struct nccl_net_v10 ncclNetPlugin_v10 = {
	COMMON,
	.init = init_v10,
	.get_properties = props_v9,
	.listen = do_listen,
	.connect = connect_v10,
	.reg_mr = reg_mr,
	.isend = isend_v10,
	.irecv = irecv_v10,
};

/* Version 11: a context for each communicator. Ours are all alike. */

static int context;

static int init_v11(void **ctx, uint64_t comm_id, struct nccl_comm_cfg *cfg, nccl_logger *log,
		    nccl_profiler *profiler)
{
	(void)comm_id;
	(void)cfg;
	(void)profiler;
	*ctx = &context;
	return init(log);
}

static int props_v11(int dev, struct nccl_props_v11 *props)
{
	return LOCKED(net_properties(dev, props));
}

static int listen_v11(void *ctx, int dev, void *handle, void **listen_comm)
{
	(void)ctx;
	return do_listen(dev, handle, listen_comm);
}

static int connect_v11(void *ctx, int dev, void *handle, void **send_comm, void **dev_comm)
{
	(void)ctx;
	return do_connect(dev, handle, send_comm, dev_comm);
}

static int finalize(void *ctx)
{
	(void)ctx;
	return NCCL_SUCCESS;
}

static int set_net_attr(void *ctx, void *attr)
{
	(void)ctx;
	(void)attr;
	return NCCL_SUCCESS;
}

EXPORT const struct nccl_net_v11 ncclNetPlugin_v11 = {
	COMMON,
	.init = init_v11,
	.get_properties = props_v11,
	.listen = listen_v11,
	.connect = connect_v11,
	.reg_mr = reg_mr,
	.isend = isend_v10,
	.irecv = irecv_v10,
	.finalize = finalize,
	.set_net_attr = set_net_attr,
};
