/* SPDX-License-Identifier: BSD-2-Clause */
/* libcuda, if the process has it. It may be loaded later than we are, so "not there" is asked again, which costs as much
 * as the loader's list of libraries is long; but that is asked only when memory is registered. */
#define _GNU_SOURCE
#include "dev/cuda.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define NAME "libcuda.so.1"

static struct weft_cuda table;
static _Atomic(const struct weft_cuda *) found;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static const struct {
	const char *name;
	size_t offset;
} functions[] = {
#define F(name)                                         \
	{                                               \
#name, offsetof(struct weft_cuda, name) \
	}
	F(cuPointerGetAttribute),
	F(cuDevicePrimaryCtxRetain),
	F(cuDevicePrimaryCtxGetState),
	F(cuCtxPushCurrent_v2),
	F(cuCtxPopCurrent_v2),
	F(cuStreamCreate),
	F(cuEventCreate),
	F(cuEventRecord),
	F(cuEventQuery),
	F(cuMemcpyAsync),
	F(cuMemHostAlloc),
	F(cuIpcGetMemHandle),
	F(cuIpcOpenMemHandle_v2),
	F(cuIpcCloseMemHandle),
	F(cuMemRetainAllocationHandle),
	F(cuMemExportToShareableHandle),
	F(cuMemImportFromShareableHandle),
	F(cuMemRelease),
	F(cuMemAddressReserve),
	F(cuMemAddressFree),
	F(cuMemMap),
	F(cuMemUnmap),
	F(cuMemSetAccess),
#undef F
};

static bool fill(void *lib)
{
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(functions); i++) {
		void *fn = dlsym(lib, functions[i].name);

		if (!fn)
			return false;
		memcpy((uint8_t *)&table + functions[i].offset, &fn, sizeof(fn));
	}
	return true;
}

const struct weft_cuda *weft_cuda_get(void)
{
	const struct weft_cuda *cuda = atomic_load_explicit(&found, memory_order_acquire);
	void *lib;

	if (cuda)
		return cuda;
	lib = dlopen(NAME, RTLD_NOW | RTLD_NOLOAD);
	if (!lib)
		return NULL;
	pthread_mutex_lock(&lock);
	if (!atomic_load(&found) && fill(lib))
		atomic_store_explicit(&found, &table, memory_order_release);
	pthread_mutex_unlock(&lock);
	return atomic_load(&found); /* The library stays: nobody would want to see it go. */
}
