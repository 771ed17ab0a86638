/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_DEV_GPU_H
#define WEFT_DEV_GPU_H

/* Shared by gpu.c, direct.c and share.c only: what stands behind mem.h. */
#include "dev/core.h"
#include "dev/cuda.h"

#define WEFT_GPU_STREAMS \
	4u /* For direct copies: one of small ones, which shall not wait for large ones. */
#define WEFT_GPU_SMALL  (64u << 10)
#define WEFT_GPU_COPIES 64u /* Under way on each. */

enum weft_gpu_kind { /* How others reach it. */
	WEFT_GPU_UNSHARED,
	WEFT_GPU_IPC, /* Mapped, by a handle that the driver gives. */
	WEFT_GPU_FD, /* Mapped, by a descriptor of ours. */
	WEFT_GPU_NONE, /* It is host memory: by hauls. */
};

struct weft_gpu_mem {
	struct weft_gpu *
		gpu; /* Of the card; NULL: of a context that is not the device's own, and is left alone. */
	uint64_t id; /* The driver's, of the allocation. */
	uint64_t base, size; /* Of what is mapped by others. */
	enum weft_gpu_kind kind;
	int fd; /* owns; -1 */
	struct weft_cuda_ipc handle;
};

struct weft_copy {
	uint64_t cookie;
	uint32_t serial; /* Of the work request: it may be gone, and another one be in its place. */
	void *event; /* owns */
	struct weft_import *import; /* ref; NULL: our own process's memory. */
	weft_ns due; /* Before this it cannot have ended. */
	bool stale; /* Its card is gone. */
};

struct weft_gpu_stream {
	void *stream; /* owns */
	struct weft_copy copy[WEFT_GPU_COPIES];
	uint32_t head, tail; /* Free-running. They end in order. */
};

/* Never destroyed, since that could wait for the application's kernels: goes back to a pool. */
struct weft_gpu {
	struct weft_gpu *next; /* On the card, or in the pool. */
	int dev;
	void *ctx; /* The device's primary context: a reference, for ever. */
	struct weft_gpu_stream stream[WEFT_GPU_STREAMS];
	uint32_t turn;
	uint8_t *in, *out; /* owns: pinned. */
	void *stage, *staged; /* owns: stream and event. */
	uint32_t in_at, out_at;
	uint64_t part_to; /* What was put last, and is not on its way yet: from in + part_off. */
	uint32_t part_off, part_len;
	bool unsettled; /* Something was put since the last settling. */
	bool broken; /* A staged copy failed. */
};

/* What is mapped of another process's memory. */
enum weft_import_state {
	WEFT_IMPORT_WANTED,
	WEFT_IMPORT_OPENING,
	WEFT_IMPORT_READY,
	WEFT_IMPORT_FAILED,
};

struct weft_import {
	struct weft_import *next;
	struct weft_share *share; /* borrows; NULL: the card is gone. */
	const struct weft_gpu *gpu; /* borrows */
	uint32_t key; /* By which it was found last. */
	uint64_t id, size; /* The other process's allocation. */
	enum weft_gpu_kind kind;
	struct weft_cuda_ipc handle;
	int pid, fd; /* Of the other process. */
	_Atomic int state; /* enum weft_import_state */
	uint64_t base; /* Where it is here, when READY. */
	uint32_t busy; /* Copies under way. */
};

/* One of another process's regions, as share.c finds it. */
struct weft_shared_region {
	uint64_t at; /* Offset of the wanted bytes in the allocation. */
	uint32_t seq, pd;
	uint64_t id, base, size;
	enum weft_gpu_kind kind;
	int fd;
	struct weft_cuda_ipc handle;
};

/* share.c */
void weft_share_down(struct weft_card *card);
/* The allocation that the `len` bytes lie in that `wr` asks for of the process `to`, mapped for `gpu`. STARTED: *at_out is
 * where they are here, and *import_out (or NULL) has one more copy. */
enum weft_direct weft_share_find(struct weft_card *card, const struct weft_gid *to,
				 const struct weft_gpu *gpu, const struct weft_wr *wr, uint64_t len,
				 uint64_t *at_out, struct weft_import **import_out);

#endif
