/* SPDX-License-Identifier: BSD-2-Clause */
/* GPU memory: what it is, and how it is moved by way of pinned host memory.
 *
 * A pointer is libcuda's if libcuda says so, and that is all that is done with it when it is registered: it may be freed
 * before it is used (libfabric registers and frees a page to see what we can do). So each use asks for the number of the
 * allocation behind it, which costs a tenth of a microsecond and turns a pointer that was freed into a request that fails. */
#include "dev/gpu.h"

#include "dev/conf.h"
#include "dev/haul.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IN_BYTES  (4u << 20)
#define OUT_BYTES (8u << 20)
#define PART_MAX  (512u << 10) /* So much is sent on its way without waiting for more. */

static struct weft_gpu *pool;
static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;

/* GPUs */

static int make_streams(const struct weft_cuda *cuda, struct weft_gpu *g)
{
	int rc = cuda->cuStreamCreate(&g->stage, WEFT_CUDA_STREAM_NON_BLOCKING);

	if (!rc)
		rc = cuda->cuEventCreate(&g->staged, WEFT_CUDA_EVENT_DISABLE_TIMING);
	for (uint32_t s = 0; s < WEFT_GPU_STREAMS && !rc; s++) {
		struct weft_gpu_stream *st = &g->stream[s];

		rc = cuda->cuStreamCreate(&st->stream, WEFT_CUDA_STREAM_NON_BLOCKING);
		for (uint32_t i = 0; i < WEFT_GPU_COPIES && !rc; i++)
			rc = cuda->cuEventCreate(&st->copy[i].event,
						 WEFT_CUDA_EVENT_DISABLE_TIMING);
	}
	if (!rc)
		rc = cuda->cuMemHostAlloc((void **)&g->in, IN_BYTES, 0);
	if (!rc)
		rc = cuda->cuMemHostAlloc((void **)&g->out, OUT_BYTES, 0);
	return rc;
}

static struct weft_gpu *gpu_make(const struct weft_cuda *cuda, int dev)
{
	struct weft_gpu *g = calloc(1, sizeof(*g));
	void *old;
	int rc;

	if (!g)
		return NULL;
	g->dev = dev;
	if (cuda->cuDevicePrimaryCtxRetain(&g->ctx, dev) || cuda->cuCtxPushCurrent_v2(g->ctx)) {
		free(g);
		return NULL;
	}
	rc = make_streams(cuda, g);
	cuda->cuCtxPopCurrent_v2(&old);
	if (rc) { /* What was made stays: this does not happen twice in a process that lives. */
		free(g);
		return NULL;
	}
	return g;
}

static struct weft_gpu *gpu_take(const struct weft_cuda *cuda, int dev)
{
	struct weft_gpu **at, *g;

	pthread_mutex_lock(&pool_lock);
	for (at = &pool; *at && (*at)->dev != dev; at = &(*at)->next)
		;
	g = *at;
	if (g)
		*at = g->next;
	pthread_mutex_unlock(&pool_lock);
	return g ? g : gpu_make(cuda, dev);
}

static void gpu_give(struct weft_gpu *g)
{
	pthread_mutex_lock(&pool_lock);
	g->next = pool;
	pool = g;
	pthread_mutex_unlock(&pool_lock);
}

static struct weft_gpu *on_card(const struct weft_card *card, int dev)
{
	struct weft_gpu *g = card->gpus;

	while (g && g->dev != dev)
		g = g->next;
	return g;
}

/* The card's own for that device; not under its lock. */
static struct weft_gpu *gpu_of(const struct weft_cuda *cuda, struct weft_card *card, int dev)
{
	struct weft_gpu *g, *other;

	weft_card_lock(card);
	g = on_card(card, dev);
	weft_card_unlock(card);
	if (g)
		return g;
	g = gpu_take(cuda, dev);
	if (!g)
		return NULL;
	weft_card_lock(card);
	other = on_card(card, dev);
	if (!other) {
		g->next = card->gpus;
		card->gpus = g;
	}
	weft_card_unlock(card);
	if (other)
		gpu_give(g);
	return other ? other : g;
}

void weft_mem_down(struct weft_card *card)
{
	weft_haul_down(card);
	while (card->gpus) {
		struct weft_gpu *g = card->gpus;

		card->gpus = g->next;
		for (uint32_t s = 0; s < WEFT_GPU_STREAMS; s++)
			for (uint32_t i = g->stream[s].head; i != g->stream[s].tail; i++)
				g->stream[s].copy[i % WEFT_GPU_COPIES] = (struct weft_copy){
					.event = g->stream[s].copy[i % WEFT_GPU_COPIES].event,
					.stale = true,
				};
		gpu_give(g);
	}
	weft_share_down(card);
}

/* Pointers */

static uint64_t attr(const struct weft_cuda *cuda, enum weft_cuda_attr which, uint64_t p)
{
	uint64_t value = 0;

	return cuda->cuPointerGetAttribute(&value, (int)which, p) ? 0 : value;
}

static bool is_device(const struct weft_cuda *cuda, uint64_t p)
{
	return (uint32_t)attr(cuda, WEFT_CUDA_ATTR_MEMORY_TYPE, p) == WEFT_CUDA_TYPE_DEVICE &&
	       !(attr(cuda, WEFT_CUDA_ATTR_IS_MANAGED, p) & 0xff);
}

bool weft_mem_is_alive(const struct weft_gpu_mem *mem, const void *at)
{
	return mem->gpu &&
	       attr(weft_cuda_get(), WEFT_CUDA_ATTR_BUFFER_ID, (uintptr_t)at) == mem->id;
}

uint64_t weft_mem_pinned(const void *addr, uint64_t len)
{
	const struct weft_cuda *cuda = weft_cuda_get();
	uint64_t p = (uintptr_t)addr, start, size;

	if (!cuda || weft_conf_get()->gpu != WEFT_CONF_GPU_AUTO ||
	    (uint32_t)attr(cuda, WEFT_CUDA_ATTR_MEMORY_TYPE, p) != WEFT_CUDA_TYPE_HOST)
		return 0;
	start = attr(cuda, WEFT_CUDA_ATTR_RANGE_START, p);
	size = attr(cuda, WEFT_CUDA_ATTR_RANGE_SIZE, p);
	if (p < start || len > size || p - start > size - len)
		return 0;
	return attr(cuda, WEFT_CUDA_ATTR_BUFFER_ID, p);
}

/* How other processes can map it. That they cannot is no error: then it is staged. */
static void export(const struct weft_cuda *cuda, struct weft_gpu_mem *mem, uint64_t p, uint64_t len)
{
	uint64_t handle;
	void *old;

	if (cuda->cuCtxPushCurrent_v2(mem->gpu->ctx))
		return;
	if (attr(cuda, WEFT_CUDA_ATTR_IS_IPC_CAPABLE, p) & 0xff) {
		mem->base = attr(cuda, WEFT_CUDA_ATTR_RANGE_START, p);
		mem->size = attr(cuda, WEFT_CUDA_ATTR_RANGE_SIZE, p);
		if (!cuda->cuIpcGetMemHandle(&mem->handle, p))
			mem->kind = WEFT_GPU_IPC;
	} else if (!cuda->cuMemRetainAllocationHandle(&handle, (void *)(uintptr_t)p)) {
		mem->base = attr(cuda, WEFT_CUDA_ATTR_MAPPING_BASE, p);
		mem->size = attr(cuda, WEFT_CUDA_ATTR_MAPPING_SIZE, p);
		if (!cuda->cuMemExportToShareableHandle(&mem->fd, handle, WEFT_CUDA_HANDLE_FD, 0))
			mem->kind = WEFT_GPU_FD;
		cuda->cuMemRelease(handle);
	}
	cuda->cuCtxPopCurrent_v2(&old);
	/* A region over several mappings cannot be mapped by others in one piece. */
	if (p < mem->base || len > mem->size || p - mem->base > mem->size - len)
		mem->kind = WEFT_GPU_UNSHARED;
}

/* Is the memory one of the device's own (primary) context? */
static bool is_primary(const struct weft_cuda *cuda, int dev, uint64_t p, struct weft_card *card,
		       struct weft_gpu **gpu_out)
{
	void *ctx = (void *)(uintptr_t)attr(cuda, WEFT_CUDA_ATTR_CONTEXT, p);
	unsigned int flags;
	int active = 0;

	/* To ask for it would make it, which takes long. */
	if (cuda->cuDevicePrimaryCtxGetState(dev, &flags, &active) || !active)
		return false;
	*gpu_out = gpu_of(cuda, card, dev);
	return *gpu_out && (!ctx || ctx == (*gpu_out)->ctx);
}

int weft_mem_classify(struct weft_card *card, const void *addr, uint64_t len,
		      struct weft_gpu_mem **mem_out)
{
	const struct weft_cuda *cuda = weft_cuda_get();
	uint64_t p = (uintptr_t)addr, start, size;
	struct weft_gpu_mem *mem;
	struct weft_gpu *gpu = NULL;
	int dev;

	*mem_out = NULL;
	if (!cuda || !is_device(cuda, p))
		return 0;
	if (weft_conf_get()->gpu == WEFT_CONF_GPU_OFF)
		return -EOPNOTSUPP;
	start = attr(cuda, WEFT_CUDA_ATTR_RANGE_START, p);
	size = attr(cuda, WEFT_CUDA_ATTR_RANGE_SIZE, p);
	if (len > size || p - start > size - len)
		return -EFAULT;
	mem = calloc(1, sizeof(*mem));
	if (!mem)
		return -ENOMEM;
	mem->fd = -1;
	mem->id = attr(cuda, WEFT_CUDA_ATTR_BUFFER_ID, p);
	dev = (int)attr(cuda, WEFT_CUDA_ATTR_DEVICE, p);
	if (is_primary(cuda, dev, p, card, &gpu))
		mem->gpu = gpu;
	if (mem->gpu && weft_conf_get()->gpu == WEFT_CONF_GPU_AUTO)
		export(cuda, mem, p, len);
	*mem_out = mem;
	return 0;
}

void weft_mem_forget(struct weft_gpu_mem *mem)
{
	if (mem && mem->fd >= 0)
		close(mem->fd);
	free(mem);
}

/* Staging */

static bool copy(const struct weft_cuda *cuda, struct weft_gpu *g, uint64_t to, uint64_t from,
		 uint32_t len)
{
	void *old;
	bool ok;

	if (cuda->cuCtxPushCurrent_v2(g->ctx))
		return false;
	ok = !cuda->cuMemcpyAsync(to, from, len, g->stage);
	cuda->cuCtxPopCurrent_v2(&old);
	return ok;
}

/* Waits for our own copies, some ten microseconds, and for nothing else. */
static bool finish(const struct weft_cuda *cuda, struct weft_gpu *g)
{
	void *old;
	int rc;

	if (cuda->cuCtxPushCurrent_v2(g->ctx))
		return false;
	rc = cuda->cuEventRecord(g->staged, g->stage);
	cuda->cuCtxPopCurrent_v2(&old);
	while (!rc && (rc = cuda->cuEventQuery(g->staged)) == WEFT_CUDA_NOT_READY)
		rc = 0;
	return !rc;
}

static void send_part(const struct weft_cuda *cuda, struct weft_gpu *g)
{
	if (!g->part_len)
		return;
	g->broken |= !copy(cuda, g, g->part_to, (uintptr_t)g->in + g->part_off, g->part_len);
	g->part_len = 0;
}

static bool settle(const struct weft_cuda *cuda, struct weft_gpu *g)
{
	if (!g->unsettled)
		return !g->broken;
	send_part(cuda, g);
	g->broken |= !finish(cuda, g);
	g->unsettled = false;
	g->in_at = 0;
	return !g->broken;
}

bool weft_mem_settle(struct weft_card *card)
{
	const struct weft_cuda *cuda = weft_cuda_get();
	bool ok = true;

	card->unsettled = false;
	for (struct weft_gpu *g = card->gpus; g; g = g->next)
		ok &= settle(cuda, g);
	return ok;
}

bool weft_gpu_put(struct weft_card *card, const struct weft_gpu_mem *mem, void *to,
		  const void *from, uint32_t len)
{
	const struct weft_cuda *cuda;
	struct weft_gpu *g = mem->gpu;

	if (!weft_mem_is_alive(mem, to) || g->broken)
		return false;
	cuda = weft_cuda_get();
	if (g->in_at + len > IN_BYTES && !settle(cuda, g))
		return false;
	if (g->part_len && (g->part_to + g->part_len != (uintptr_t)to || g->part_len >= PART_MAX))
		send_part(cuda, g);
	if (!g->part_len) {
		g->part_to = (uintptr_t)to;
		g->part_off = g->in_at;
	}
	memcpy(g->in + g->in_at, from, len);
	g->part_len += len;
	g->in_at += len;
	g->unsettled = card->unsettled = true;
	return !g->broken;
}

void *weft_gpu_get(const struct weft_gpu_mem *mem, void *from, uint32_t len)
{
	const struct weft_cuda *cuda;
	struct weft_gpu *g = mem->gpu;
	uint8_t *to;

	if (!weft_mem_is_alive(mem, from) || len > OUT_BYTES)
		return NULL;
	cuda = weft_cuda_get();
	if (g->out_at + len > OUT_BYTES)
		g->out_at = 0;
	to = g->out + g->out_at;
	if (!copy(cuda, g, (uintptr_t)to, (uintptr_t)from, len) || !finish(cuda, g))
		return NULL;
	g->out_at += (len + 63) & ~63u;
	return to;
}
