/* SPDX-License-Identifier: BSD-2-Clause */
/* Protection domains and memory regions. */
#include "verbs/export.h"
#include "verbs/obj.h"
#include "verbs/passthru.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

WEFT_EXPORT struct ibv_pd *ibv_alloc_pd(struct ibv_context *context)
{
	struct weft_vpd *pd;
	int rc;

	if (!weft_is_ours(context))
		return WEFT_PASS(NULL, ibv_alloc_pd, context);
	pd = calloc(1, sizeof(*pd));
	if (!pd)
		return weft_fail(ENOMEM);
	rc = weft_pd_create(weft_vcontext(context)->card, &pd->dev);
	if (rc) {
		free(pd);
		return weft_fail(-rc);
	}
	pd->ibv.context = context;
	weft_vcontext_get(weft_vcontext(context));
	return &pd->ibv;
}

WEFT_EXPORT int ibv_dealloc_pd(struct ibv_pd *ibv)
{
	struct ibv_context *context = ibv->context;
	int rc;

	if (!weft_is_ours(context))
		return WEFT_PASS(ENOSYS, ibv_dealloc_pd, ibv);
	rc = weft_pd_destroy(weft_vpd(ibv)->dev);
	if (rc)
		return -rc;
	free(weft_vpd(ibv));
	weft_vcontext_put(weft_vcontext(context));
	return 0;
}

#define ACCESS_ALL (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ)
/* Bits that a device may ignore. The constants are of an enum that ends below them. */
#define ACCESS_OPTIONAL 0x3ff00000u

static struct ibv_mr *reg(struct ibv_pd *pd, void *addr, size_t length, uint64_t iova,
			  unsigned int access)
{
	struct weft_vmr *mr;
	int rc;

	access &= ~ACCESS_OPTIONAL;
	if (access & ~(unsigned int)ACCESS_ALL)
		return weft_fail(EOPNOTSUPP);
	mr = calloc(1, sizeof(*mr));
	if (!mr)
		return weft_fail(ENOMEM);
	rc = weft_mr_create(weft_vpd(pd)->dev, addr, length, iova, access, &mr->dev);
	if (rc) {
		free(mr);
		return weft_fail(-rc);
	}
	mr->ibv.context = pd->context;
	mr->ibv.pd = pd;
	mr->ibv.addr = addr;
	mr->ibv.length = length;
	mr->ibv.handle = mr->dev->lkey;
	mr->ibv.lkey = mr->dev->lkey;
	mr->ibv.rkey = mr->dev->rkey;
	weft_vcontext_get(weft_vcontext(pd->context));
	return &mr->ibv;
}

static_assert((int)WEFT_ACCESS_LOCAL_WRITE == IBV_ACCESS_LOCAL_WRITE &&
		      (int)WEFT_ACCESS_REMOTE_WRITE == IBV_ACCESS_REMOTE_WRITE &&
		      (int)WEFT_ACCESS_REMOTE_READ == IBV_ACCESS_REMOTE_READ,
	      "access bits are passed on as they are");

WEFT_EXPORT struct ibv_mr *ibv_reg_mr(struct ibv_pd *pd, void *addr, size_t length, int access)
{
	if (!weft_is_ours(pd->context))
		return WEFT_PASS(NULL, ibv_reg_mr, pd, addr, length, access);
	return reg(pd, addr, length, (uintptr_t)addr, (unsigned int)access);
}

WEFT_EXPORT struct ibv_mr *ibv_reg_mr_iova(struct ibv_pd *pd, void *addr, size_t length,
					   uint64_t iova, int access)
{
	if (!weft_is_ours(pd->context))
		return WEFT_PASS(NULL, ibv_reg_mr_iova, pd, addr, length, iova, access);
	return reg(pd, addr, length, iova, (unsigned int)access);
}

WEFT_EXPORT struct ibv_mr *ibv_reg_mr_iova2(struct ibv_pd *pd, void *addr, size_t length,
					    uint64_t iova, unsigned int access)
{
	if (!weft_is_ours(pd->context))
		return WEFT_PASS(NULL, ibv_reg_mr_iova2, pd, addr, length, iova, access);
	return reg(pd, addr, length, iova, access);
}

/* UCX asks with descriptor -1 whether this is supported: EBADF says that it is. The descriptor of GPU memory comes with its
 * address as iova, and that is all that is needed; of any other we know nothing, and the caller falls back to registering the
 * address. As on a card, the region's address is the offset. */
WEFT_EXPORT struct ibv_mr *ibv_reg_dmabuf_mr(struct ibv_pd *pd, uint64_t offset, size_t length,
					     uint64_t iova, int fd, int access)
{
	struct ibv_mr *mr;
	off_t size;

	if (!weft_is_ours(pd->context))
		return WEFT_PASS(NULL, ibv_reg_dmabuf_mr, pd, offset, length, iova, fd, access);
	if (fcntl(fd, F_GETFD) < 0)
		return weft_fail(EBADF);
	size = lseek(fd, 0, SEEK_END); /* What can tell, does: the kernel's own do. */
	if ((offset ^ iova) & 4095 || offset > UINT64_MAX - length ||
	    (size > 0 && offset + length > (uint64_t)size))
		return weft_fail(EINVAL);
	mr = reg(pd, (void *)(uintptr_t)iova, length, iova, (unsigned int)access);
	if (mr && !weft_mr_is_gpu(weft_container_of(mr, struct weft_vmr, ibv)->dev)) {
		ibv_dereg_mr(mr);
		mr = NULL;
		errno = EFAULT;
	}
	if (!mr)
		return weft_fail(errno == EFAULT ? EOPNOTSUPP : errno);
	mr->addr = (void *)(uintptr_t)offset;
	return mr;
}

WEFT_EXPORT int ibv_rereg_mr(struct ibv_mr *mr, int flags, struct ibv_pd *pd, void *addr,
			     size_t length, int access)
{
	if (!weft_is_ours(mr->context))
		return WEFT_PASS(IBV_REREG_MR_ERR_INPUT, ibv_rereg_mr, mr, flags, pd, addr, length,
				 access);
	errno = EOPNOTSUPP;
	return IBV_REREG_MR_ERR_INPUT; /* The region is as it was. */
}

WEFT_EXPORT int ibv_dereg_mr(struct ibv_mr *ibv)
{
	struct ibv_context *context = ibv->context;
	struct weft_vmr *mr = weft_container_of(ibv, struct weft_vmr, ibv);
	int rc;

	if (!weft_is_ours(context))
		return WEFT_PASS(ENOSYS, ibv_dereg_mr, ibv);
	rc = weft_mr_destroy(mr->dev);
	if (rc)
		return -rc;
	free(mr);
	weft_vcontext_put(weft_vcontext(context));
	return 0;
}
