/* SPDX-License-Identifier: BSD-2-Clause */
/* Stands in for the real libibverbs and libefa in test_passthru: one device, and functions that leave a mark, so
 * that the test sees what arrived here. Objects are as short as their public structs: a function of the preload
 * library that looks further reads what does not belong to it. */
#include "fake_verbs.h"

#include <stdlib.h>

static struct ibv_device device = { .name = "fake0" };

#define MARK() snprintf(fake_called, sizeof(fake_called), "%s", __func__)

#pragma GCC visibility push(default)

char fake_called[64];

struct ibv_device **ibv_get_device_list(int *num_devices)
{
	struct ibv_device **list = calloc(2, sizeof(void *));

	MARK();
	list[0] = &device;
	*num_devices = 1;
	return list;
}

void ibv_free_device_list(struct ibv_device **list)
{
	MARK();
	free(list);
}

struct ibv_context *ibv_open_device(struct ibv_device *d)
{
	struct ibv_context *context = calloc(1, sizeof(*context));

	MARK();
	context->device = d;
	return context;
}

int ibv_close_device(struct ibv_context *context)
{
	MARK();
	free(context);
	return 0;
}

const char *ibv_get_device_name(struct ibv_device *d)
{
	MARK();
	return d->name;
}

struct ibv_pd *ibv_alloc_pd(struct ibv_context *context)
{
	struct ibv_pd *pd = calloc(1, sizeof(*pd));

	MARK();
	pd->context = context;
	return pd;
}

int ibv_dealloc_pd(struct ibv_pd *pd)
{
	MARK();
	free(pd);
	return 0;
}

struct ibv_mr *ibv_reg_mr_iova2(struct ibv_pd *pd, void *addr, size_t length, uint64_t iova,
				unsigned int access)
{
	struct ibv_mr *mr = calloc(1, sizeof(*mr));

	MARK();
	mr->context = pd->context;
	mr->addr = addr;
	mr->length = length;
	mr->lkey = (uint32_t)iova;
	mr->rkey = access;
	return mr;
}

int ibv_dereg_mr(struct ibv_mr *mr)
{
	MARK();
	free(mr);
	return 0;
}

int ibv_resize_cq(struct ibv_cq *cq, int cqe)
{
	MARK();
	cq->cqe = cqe;
	return 7;
}

struct ibv_qp_ex *ibv_qp_to_qp_ex(struct ibv_qp *qp)
{
	MARK();
	return (struct ibv_qp_ex *)qp;
}

const char *ibv_wc_status_str(enum ibv_wc_status status)
{
	MARK();
	return status ? "bad" : "good";
}

int efadv_query_device(struct ibv_context *context, struct efadv_device_attr *attr, uint32_t inlen)
{
	MARK();
	(void)context;
	attr->max_sq_wr = inlen;
	return 0;
}
