/* SPDX-License-Identifier: BSD-2-Clause */
/* One switch over the versions for each function. Where versions share a layout up to a member, the oldest one's table
 * stands for all. */
#include "face.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void logger(int level, unsigned long flags, const char *file, int line, const char *fmt, ...)
{
	va_list args;

	(void)flags;
	if (level > NCCL_LOG_WARN)
		return;
	va_start(args, fmt);
	printf("# %s:%d ", file, line);
	vprintf(fmt, args);
	printf("\n");
	va_end(args);
}

static int profiler(void **event, int type, void *parent, int64_t plugin, void *data)
{
	(void)event;
	(void)type;
	(void)parent;
	(void)plugin;
	(void)data;
	return NCCL_SUCCESS;
}

#define V8  ((const struct nccl_net_v8 *)f->table)
#define V9  ((const struct nccl_net_v9 *)f->table)
#define V10 ((const struct nccl_net_v10 *)f->table)
#define V11 ((const struct nccl_net_v11 *)f->table)

struct face face_open(const char *library, int version)
{
	struct face f = { .version = version };
	char name[64];
	void *lib = dlopen(library, RTLD_NOW | RTLD_LOCAL);

	snprintf(name, sizeof(name), "ncclNetPlugin_v%d", version);
	f.table = lib ? dlsym(lib, name) : NULL;
	if (!f.table) {
		printf("Bail out! %s\n", dlerror());
		exit(1);
	}
	return f;
}

int face_init(const struct face *f)
{
	struct nccl_comm_cfg cfg = { .traffic_class = -1 };
	void *ctx;

	switch (f->version) {
	case 11:
		return V11->init(&ctx, 1, &cfg, logger, profiler);
	case 10:
		return V10->init(logger, profiler);
	default:
		return V8->init(logger);
	}
}

int face_devices(const struct face *f, int *n)
{
	return V8->devices(n);
}

int face_props(const struct face *f, int dev, struct nccl_props_v9 *props)
{
	struct nccl_props_v11 v11;
	struct nccl_props_v8 v8;
	struct nccl_props_v7 v7;
	int rc;

	switch (f->version) {
	case 11:
		rc = V11->get_properties(dev, &v11);
		*props = v11.v9;
		return rc;
	case 10:
	case 9:
		return V9->get_properties(dev, props);
	case 8:
		rc = V8->get_properties(dev, &v8);
		*props = (struct nccl_props_v9){
			.name = v8.name,
			.ptr_support = v8.ptr_support,
			.reg_is_global = v8.reg_is_global,
			.speed = v8.speed,
			.latency = v8.latency,
			.comms_max = v8.comms_max,
			.recvs_max = v8.recvs_max,
		};
		return rc;
	default:
		rc = V8->get_properties(dev, &v7);
		*props = (struct nccl_props_v9){
			.name = v7.name,
			.ptr_support = v7.ptr_support,
			.reg_is_global = 1,
			.speed = v7.speed,
			.latency = v7.latency,
			.comms_max = v7.comms_max,
			.recvs_max = v7.recvs_max,
		};
		return rc;
	}
}

int face_listen(const struct face *f, int dev, void *handle, void **comm)
{
	return f->version == 11 ? V11->listen(NULL, dev, handle, comm)
				: V8->listen(dev, handle, comm);
}

int face_connect(const struct face *f, int dev, void *handle, void **comm)
{
	struct nccl_comm_cfg cfg = { .traffic_class = -1 };
	void *offload = NULL;

	switch (f->version) {
	case 11:
		return V11->connect(NULL, dev, handle, comm, &offload);
	case 10:
		return V10->connect(dev, &cfg, handle, comm, &offload);
	default:
		return V8->connect(dev, handle, comm, &offload);
	}
}

int face_accept(const struct face *f, void *listener, void **comm)
{
	void *offload = NULL;

	return V8->accept(listener, comm, &offload);
}

int face_reg(const struct face *f, void *comm, void *data, size_t size, int type, void **mhandle)
{
	return f->version == 7 ? V8->reg_mr.v7(comm, data, (int)size, type, mhandle)
			       : V8->reg_mr.v8(comm, data, size, type, mhandle);
}

int face_dereg(const struct face *f, void *comm, void *mhandle)
{
	return V8->dereg_mr(comm, mhandle);
}

int face_isend(const struct face *f, void *comm, void *data, size_t size, int tag, void *mhandle,
	       void **request)
{
	switch (f->version) {
	case 11:
	case 10:
		return V10->isend(comm, data, size, tag, mhandle, NULL, request);
	case 9:
		return V9->isend(comm, data, size, tag, mhandle, request);
	default:
		return V8->isend(comm, data, (int)size, tag, mhandle, request);
	}
}

int face_irecv(const struct face *f, void *comm, int n, void **data, size_t *sizes, int *tags,
	       void **mhandles, void **request)
{
	int narrow[8];

	switch (f->version) {
	case 11:
	case 10:
		return V10->irecv(comm, n, data, sizes, tags, mhandles, NULL, request);
	case 9:
		return V9->irecv(comm, n, data, sizes, tags, mhandles, request);
	default:
		for (int i = 0; i < n && i < 8; i++)
			narrow[i] = (int)sizes[i];
		return V8->irecv(comm, n, data, narrow, tags, mhandles, request);
	}
}

int face_test(const struct face *f, void *request, int *done, int *sizes)
{
	return V8->test(request, done, sizes);
}

int face_close_send(const struct face *f, void *comm)
{
	return V8->close_send(comm);
}

int face_close_recv(const struct face *f, void *comm)
{
	return V8->close_recv(comm);
}

int face_close_listen(const struct face *f, void *comm)
{
	return V8->close_listen(comm);
}
