/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_DEV_CUDA_H
#define WEFT_DEV_CUDA_H

/* The few functions of libcuda that moving memory takes, in our own words. Never linked, and never loaded by us: GPU
 * memory exists only in a process that has libcuda already. Names with a version are those behind cuda.h's plain ones. */
#include "base/types.h"

typedef uint64_t weft_cuptr;

enum {
	WEFT_CUDA_OK = 0,
	WEFT_CUDA_NOT_READY = 600,
};

enum weft_cuda_attr { /* Of a pointer. */
	WEFT_CUDA_ATTR_CONTEXT = 1,
	WEFT_CUDA_ATTR_MEMORY_TYPE = 2, /* 2: of a device. */
	WEFT_CUDA_ATTR_BUFFER_ID = 7, /* Of the allocation, never used twice. */
	WEFT_CUDA_ATTR_IS_MANAGED = 8,
	WEFT_CUDA_ATTR_DEVICE = 9,
	WEFT_CUDA_ATTR_IS_IPC_CAPABLE = 10,
	WEFT_CUDA_ATTR_RANGE_START = 11,
	WEFT_CUDA_ATTR_RANGE_SIZE = 12,
	WEFT_CUDA_ATTR_MAPPING_SIZE = 18,
	WEFT_CUDA_ATTR_MAPPING_BASE = 19,
};

#define WEFT_CUDA_TYPE_HOST   1u
#define WEFT_CUDA_TYPE_DEVICE 2u

struct weft_cuda_ipc {
	uint8_t raw[64];
};

struct weft_cuda_access {
	int type, device; /* 1: a GPU */
	int flags; /* 3: read and write */
};

struct weft_cuda {
	int (*cuPointerGetAttribute)(void *data, int attr, weft_cuptr p);
	int (*cuDevicePrimaryCtxRetain)(void **ctx, int dev);
	int (*cuDevicePrimaryCtxGetState)(int dev, unsigned int *flags, int *active);
	int (*cuCtxPushCurrent_v2)(void *ctx);
	int (*cuCtxPopCurrent_v2)(void **ctx);
	int (*cuStreamCreate)(void **stream, unsigned int flags);
	int (*cuEventCreate)(void **event, unsigned int flags);
	int (*cuEventRecord)(void *event, void *stream);
	int (*cuEventQuery)(void *event);
	int (*cuMemcpyAsync)(weft_cuptr dst, weft_cuptr src, size_t len, void *stream);
	int (*cuMemHostAlloc)(void **p, size_t len, unsigned int flags);
	int (*cuIpcGetMemHandle)(struct weft_cuda_ipc *handle, weft_cuptr p);
	int (*cuIpcOpenMemHandle_v2)(weft_cuptr *p, struct weft_cuda_ipc handle,
				     unsigned int flags);
	int (*cuIpcCloseMemHandle)(weft_cuptr p);
	/* Memory made of mappings. */
	int (*cuMemRetainAllocationHandle)(uint64_t *handle, void *p);
	int (*cuMemExportToShareableHandle)(void *out, uint64_t handle, int type, uint64_t flags);
	int (*cuMemImportFromShareableHandle)(uint64_t *handle, void *in, int type);
	int (*cuMemRelease)(uint64_t handle);
	int (*cuMemAddressReserve)(weft_cuptr *p, size_t len, size_t align, weft_cuptr at,
				   uint64_t flags);
	int (*cuMemAddressFree)(weft_cuptr p, size_t len);
	int (*cuMemMap)(weft_cuptr p, size_t len, size_t off, uint64_t handle, uint64_t flags);
	int (*cuMemUnmap)(weft_cuptr p, size_t len);
	int (*cuMemSetAccess)(weft_cuptr p, size_t len, const struct weft_cuda_access *access,
			      size_t n);
};

#define WEFT_CUDA_STREAM_NON_BLOCKING  1u
#define WEFT_CUDA_EVENT_DISABLE_TIMING 2u
#define WEFT_CUDA_IPC_LAZY_PEER_ACCESS 1u
#define WEFT_CUDA_HANDLE_FD            1

/* NULL: this process has no libcuda, or none that can do this. */
const struct weft_cuda *weft_cuda_get(void);

#endif
