/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_DEV_MEM_H
#define WEFT_DEV_MEM_H

/* Memory behind a region: the host's, or a GPU's. All movement of an application's bytes goes through here.
 *
 * Host memory is copied by memcpy, where the frame is. GPU memory is moved by copy engines, on streams of our own that
 * wait for nothing and that nothing waits for, least of all the application's kernels: in two ways.
 *
 * Staged: between packets and the GPU, by pinned host memory. What arrives is on its way when weft_mem_put returns, and in its
 * place when weft_mem_settle does; nobody is told of bytes that are not settled.
 *
 * Direct: a WRITE or READ between memory of GPUs, of processes of this host, is one copy from the one to the other. So is one
 * between pinned memory here and a GPU's there.
 * The target's memory is mapped into this process (share.c), which takes milliseconds and is done by a thread of its
 * own; the copy is started, and asked for whenever the card works. A long one between host memory is a haul (haul.h).
 *
 * Except where said, everything is called under the card's lock. */
#include "base/types.h"

#include <string.h>

struct weft_card;
struct weft_gid;
struct weft_mr;
struct weft_qp;
struct weft_region;
struct weft_wqe;

/* What is known of a region of a GPU. NULL: host memory. */
struct weft_gpu_mem;
/* What a card has on a GPU: streams, copies under way, pinned memory. */
struct weft_gpu;

/* Is it a GPU's? Not under a lock: it may take a while. 0, and NULL for the host's; -EFAULT: a GPU's, but not all of
 * it; -EOPNOTSUPP: GPU memory is switched off. */
int weft_mem_classify(struct weft_card *card, const void *addr, uint64_t len,
		      struct weft_gpu_mem **gpu_out);
void weft_mem_forget(struct weft_gpu_mem *gpu); /* Neither is this. NULL is good. */

/* Host memory that copy engines can reach: the number of its allocation; else 0. */
uint64_t weft_mem_pinned(const void *addr, uint64_t len);

/* Was it not freed meanwhile? */
bool weft_mem_is_alive(const struct weft_gpu_mem *gpu, const void *at);
bool weft_gpu_put(struct weft_card *card, const struct weft_gpu_mem *gpu, void *to,
		  const void *from, uint32_t len);
void *weft_gpu_get(const struct weft_gpu_mem *gpu, void *from, uint32_t len);

/* Into a region. False: that memory cannot be written (any more). */
static inline bool weft_mem_put(struct weft_card *card, const struct weft_gpu_mem *gpu, void *to,
				const void *from, uint32_t len)
{
	if (gpu)
		return weft_gpu_put(card, gpu, to, from, len);
	memcpy(to, from, len);
	return true;
}

/* Where the bytes can be read by the processor: where they are, or a copy that lasts until the end of this round of work. NULL:
 * they cannot be read (any more). */
static inline void *weft_mem_get(const struct weft_gpu_mem *gpu, void *from, uint32_t len)
{
	return gpu ? weft_gpu_get(gpu, from, len) : from;
}

/* All that was put is in its place. False: some of it is not, and will never be. */
bool weft_mem_settle(struct weft_card *card);

/* Direct copies */

enum weft_direct {
	WEFT_DIRECT_NO, /* Not between these: send packets. */
	WEFT_DIRECT_LATER, /* Not yet. */
	WEFT_DIRECT_STARTED, /* weft_sq_on_moved will be called. */
	WEFT_DIRECT_LOCAL, /* It fails: our memory was freed, or cannot be copied. */
};

/* Start what `wqe` asks for, towards the process of that address; `cookie` names it to weft_sq_on_moved. */
enum weft_direct weft_direct_start(struct weft_card *card, const struct weft_gid *to,
				   const struct weft_wqe *wqe, uint64_t cookie);
/* See what has ended. True: something is under way. */
bool weft_direct_poll(struct weft_card *card);
/* Its request is over before it has ended. */
void weft_direct_cancel(struct weft_card *card, const struct weft_wqe *wqe, uint64_t cookie);

/* How a direct copy ended. */
enum weft_moved {
	WEFT_MOVED,
	WEFT_MOVED_FAILED,
	WEFT_MOVED_NOT, /* Packets will find out why. */
};

/* A region came or goes; the card came up. What can be reached is listed for the other processes. */
void weft_share_add(struct weft_card *card, struct weft_region *r);
/* When it returns nobody else touches that memory any more. */
void weft_share_remove(struct weft_card *card, const struct weft_region *r);
/* A queue's state has changed. When it returns nobody reaches memory through it any more that may not. */
void weft_share_qp(struct weft_card *card, const struct weft_qp *qp);
void weft_share_up(struct weft_card *card);
uint64_t weft_share_read_bytes(const struct weft_card *card); /* That others read in hauls. */
void weft_mem_down(struct weft_card *card);
void weft_mem_forked(struct weft_card *card);
void weft_mem_threads_forked(void);
void weft_mem_stop(void); /* At exit, without locks: the thread ends. */

#endif
