/* SPDX-License-Identifier: BSD-2-Clause */
/* libnccl and libcudart, wherever they are: named on the command line, where the loader looks, or where Python's packages
 * have them. Nothing is linked, so one program serves every version. */
#include "perf/nccl.h"

#include <dlfcn.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>

static const char *const nccl_names[] = { "libnccl.so.2", "libnccl.so", NULL };
static const char *const cudart_names[] = { "libcudart.so", "libcudart.so.13", "libcudart.so.12",
					    "libcudart.so.11.0", NULL };
static const char *const nccl_places[] = {
	"/opt/*/.venv/lib/python3*/site-packages/nvidia/nccl/lib/libnccl.so.2",
	"/usr/local/lib/python3*/*-packages/nvidia/nccl/lib/libnccl.so.2",
	"/usr/lib/python3*/*-packages/nvidia/nccl/lib/libnccl.so.2", NULL
};
static const char *const cudart_places[] = {
	"/usr/local/cuda/lib64/libcudart.so",
	"/opt/*/.venv/lib/python3*/site-packages/nvidia/cu*/lib/libcudart.so.*", NULL
};

static void *try_open(const char *path)
{
	return dlopen(path, RTLD_NOW | RTLD_GLOBAL);
}

static void *find(const char *what, const char *given, const char *option, const char *const *names,
		  const char *const *places)
{
	void *lib = NULL;

	if (given) {
		lib = try_open(given);
		if (!lib)
			fprintf(stderr, "weft perf nccl: %s\n", dlerror());
		return lib;
	}
	for (; *names && !lib; names++)
		lib = try_open(*names);
	for (; *places && !lib; places++) {
		glob_t found;

		if (glob(*places, 0, NULL, &found))
			continue;
		for (size_t i = 0; i < found.gl_pathc && !lib; i++)
			lib = try_open(found.gl_pathv[i]);
		globfree(&found);
	}
	if (!lib)
		fprintf(stderr, "weft perf nccl: there is no %s here; name it with %s\n", what,
			option);
	return lib;
}

const struct perf_lib *perf_lib_open(const char *nccl, const char *cudart)
{
	static struct perf_lib lib;
	static const struct {
		const char *name;
		size_t offset;
	} functions[] = {
#define F(name) { #name, offsetof(struct perf_lib, name) }
		F(cudaGetDeviceCount),
		F(cudaSetDevice),
		F(cudaMalloc),
		F(cudaStreamCreateWithFlags),
		F(cudaStreamQuery),
		F(cudaMemcpyAsync),
		F(cudaMemsetAsync),
		F(cudaGetErrorString),
		F(ncclGetVersion),
		F(ncclGetUniqueId),
		F(ncclCommDestroy),
		F(ncclCommAbort),
		F(ncclCommGetAsyncError),
		F(ncclGetErrorString),
		F(ncclAllReduce),
		F(ncclAllGather),
		F(ncclReduceScatter),
		F(ncclBroadcast),
		F(ncclSend),
		F(ncclRecv),
		F(ncclGroupStart),
		F(ncclGroupEnd),
		{ "ncclCommInitRank", offsetof(struct perf_lib, comm_init_rank) },
#undef F
	};
	void *c = find("libcudart", cudart, "--cudart-lib", cudart_names, cudart_places);
	void *n = c ? find("libnccl", nccl, "--nccl-lib", nccl_names, nccl_places) : NULL;

	for (size_t i = 0; n && i < WEFT_ARRAY_SIZE(functions); i++) {
		void *fn = dlsym(functions[i].name[0] == 'n' ? n : c, functions[i].name);

		if (!fn) {
			fprintf(stderr, "weft perf nccl: no %s in what was found\n",
				functions[i].name);
			return NULL;
		}
		memcpy((uint8_t *)&lib + functions[i].offset, &fn, sizeof(fn));
	}
	return n ? &lib : NULL;
}
