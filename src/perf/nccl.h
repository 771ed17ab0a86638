/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_PERF_NCCL_H
#define WEFT_PERF_NCCL_H

/* `weft perf nccl`: NCCL's collectives measured, as nccl-tests does it, between processes that it starts itself. Three parts:
 * nccl_main.c starts ranks and prints, nccl_rank.c is a rank, nccl_lib.c finds libnccl and libcudart, of whatever version. */
#include "base/types.h"

#include <stdatomic.h>

#define PERF_RANKS_MAX 64u
#define PERF_SIZES_MAX 128u

enum perf_coll {
	PERF_ALL_REDUCE,
	PERF_ALL_GATHER,
	PERF_REDUCE_SCATTER,
	PERF_BROADCAST,
	PERF_ALLTOALL,
	PERF_SENDRECV,
	PERF_COLLS,
};

enum perf_type {
	PERF_FLOAT,
	PERF_DOUBLE,
	PERF_INT32,
	PERF_UINT8,
	PERF_TYPES,
};

struct perf_opts {
	enum perf_coll coll;
	enum perf_type type;
	size_t size[PERF_SIZES_MAX]; /* Bytes. */
	uint32_t sizes;
	uint32_t iters, warmup, root;
	uint32_t ranks, hosts; /* hosts: pretended ones; 0: do not pretend. */
	bool check;
	const char *nccl_lib, *cudart_lib, *id_file;
	double timeout_s;
};

struct perf_row { /* [0] out of place, [1] in place */
	double us[2];
	uint64_t wrong[2]; /* Elements. */
};

/* Between the parent and its ranks. */
struct perf_shared {
	_Atomic uint32_t id_ready;
	_Atomic uint32_t progress; /* Moves as long as something goes on. */
	_Atomic uint32_t rows_done; /* Of rank 0. */
	int nccl_version;
	uint8_t id[128];
	struct perf_row row[PERF_RANKS_MAX][PERF_SIZES_MAX];
};

/* Never returns. `device` is the GPU. */
__attribute__((noreturn)) void perf_rank(const struct perf_opts *opts, struct perf_shared *shared,
					 uint32_t rank, uint32_t device);
size_t perf_type_size(enum perf_type type);
/* Elements of one rank's part: what nccl-tests prints as count. 0: too few bytes for one each. */
size_t perf_count(const struct perf_opts *opts, size_t bytes);

/* nccl_lib.c */
struct perf_lib {
	int (*cudaGetDeviceCount)(int *n);
	int (*cudaSetDevice)(int dev);
	int (*cudaMalloc)(void **p, size_t len);
	int (*cudaStreamCreateWithFlags)(void **stream, unsigned int flags);
	int (*cudaStreamQuery)(void *stream);
	int (*cudaMemcpyAsync)(void *dst, const void *src, size_t len, int kind, void *stream);
	int (*cudaMemsetAsync)(void *p, int value, size_t len, void *stream);
	const char *(*cudaGetErrorString)(int rc);
	int (*ncclGetVersion)(int *version);
	int (*ncclGetUniqueId)(void *id);
	int (*ncclCommDestroy)(void *comm);
	int (*ncclCommAbort)(void *comm);
	int (*ncclCommGetAsyncError)(void *comm, int *error);
	const char *(*ncclGetErrorString)(int rc);
	int (*ncclAllReduce)(const void *send, void *recv, size_t n, int type, int op, void *comm,
			     void *stream);
	int (*ncclAllGather)(const void *send, void *recv, size_t n, int type, void *comm,
			     void *stream);
	int (*ncclReduceScatter)(const void *send, void *recv, size_t n, int type, int op,
				 void *comm, void *stream);
	int (*ncclBroadcast)(const void *send, void *recv, size_t n, int type, int root, void *comm,
			     void *stream);
	int (*ncclSend)(const void *p, size_t n, int type, int peer, void *comm, void *stream);
	int (*ncclRecv)(void *p, size_t n, int type, int peer, void *comm, void *stream);
	int (*ncclGroupStart)(void);
	int (*ncclGroupEnd)(void);
	void *comm_init_rank; /* Takes the id by value: nccl_rank.c knows how. */
};

/* NULL: one of them is not there, said on stderr. */
const struct perf_lib *perf_lib_open(const char *nccl, const char *cudart);

#endif
