/* SPDX-License-Identifier: BSD-2-Clause */
/* A stand-in for libcuda, for machines without a GPU. "Device memory" is a file in memory that other processes can open; the
 * pointer that is given out is to pages that may not be touched, so whoever copies by memcpy dies. A copy ends a few
 * questions after it was started, and is made only then. */
#define _GNU_SOURCE
#include "fake_cuda.h"

#include "dev/cuda.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORT     __attribute__((visibility("default")))
#define ALLOCS     256
#define OPS        4096
#define QUERIES    3 /* Until the copies in front of an event are made. */
#define PAGE_ALIGN (2ull << 20)

struct alloc {
	uint64_t at, len, id;
	uint8_t *shadow; /* Where the bytes are. */
	int fd, dev;
	bool imported, mapped, is_host;
};

struct op {
	uint64_t to, from;
	size_t len;
};

struct stream {
	struct op op[OPS];
	uint32_t head, tail;
};

struct event {
	struct stream *stream;
	uint32_t until, queries;
};

static struct alloc allocs[ALLOCS];
static uint64_t ids, copied;
static unsigned int imports;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char primary, foreign;

static bool fault(const char *word)
{
	const char *set = getenv("FAKE_CUDA");

	return set && strstr(set, word);
}

static struct alloc *find(uint64_t p)
{
	for (int i = 0; i < ALLOCS; i++)
		if (allocs[i].at && p >= allocs[i].at && p < allocs[i].at + allocs[i].len)
			return &allocs[i];
	return NULL;
}

static struct alloc *add(int fd, size_t len, int dev)
{
	for (int i = 0; i < ALLOCS; i++) {
		struct alloc *a = &allocs[i];

		if (a->at)
			continue;
		a->shadow = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		a->at = (uintptr_t)mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		a->len = len;
		a->fd = fd;
		a->dev = dev;
		a->id = ++ids + ((uint64_t)getpid() << 20);
		a->imported = false;
		return a;
	}
	abort();
}

static void drop(struct alloc *a)
{
	munmap(a->shadow, a->len);
	munmap((void *)(uintptr_t)a->at, a->len);
	close(a->fd);
	a->at = 0;
}

EXPORT void *fake_cuda_alloc(int dev, size_t len)
{
	int fd = memfd_create("gpu", 0);
	void *p;

	if (fd < 0 || ftruncate(fd, (off_t)len))
		abort();
	pthread_mutex_lock(&lock);
	p = (void *)(uintptr_t)add(fd, len, dev)->at;
	pthread_mutex_unlock(&lock);
	return p;
}

EXPORT void *fake_cuda_host(size_t len)
{
	struct alloc *a = find((uintptr_t)fake_cuda_alloc(0, len));

	munmap((void *)(uintptr_t)a->at, a->len);
	a->at = (uintptr_t)a->shadow;
	a->is_host = true;
	return a->shadow;
}

EXPORT int fake_cuda_dmabuf(void *p)
{
	int fd;

	pthread_mutex_lock(&lock);
	fd = dup(find((uintptr_t)p)->fd);
	pthread_mutex_unlock(&lock);
	return fd;
}

EXPORT void fake_cuda_free(void *p)
{
	pthread_mutex_lock(&lock);
	drop(find((uintptr_t)p));
	pthread_mutex_unlock(&lock);
}

static uint8_t *bytes_of(uint64_t p)
{
	struct alloc *a = find(p);

	return a ? a->shadow + (p - a->at) : (uint8_t *)(uintptr_t)p;
}

EXPORT void fake_cuda_write(void *p, const void *data, size_t len)
{
	memcpy(bytes_of((uintptr_t)p), data, len);
}

EXPORT void fake_cuda_read(const void *p, void *data, size_t len)
{
	memcpy(data, bytes_of((uintptr_t)p), len);
}

EXPORT unsigned int fake_cuda_mapped(void)
{
	unsigned int n;

	pthread_mutex_lock(&lock);
	n = imports;
	pthread_mutex_unlock(&lock);
	return n;
}

EXPORT uint64_t fake_cuda_copied(void)
{
	uint64_t n;

	pthread_mutex_lock(&lock);
	n = copied;
	pthread_mutex_unlock(&lock);
	return n;
}

/* What libcuda has */

#define API(name, ...)                \
	EXPORT int name(__VA_ARGS__); \
	EXPORT int name(__VA_ARGS__)

API(cuPointerGetAttribute, void *data, int attr, weft_cuptr p)
{
	struct alloc *a;
	uint64_t value = 0;
	int rc = 0;

	pthread_mutex_lock(&lock);
	a = find(p);
	if (!a) {
		rc = 1;
	} else {
		switch ((enum weft_cuda_attr)attr) {
		case WEFT_CUDA_ATTR_CONTEXT:
			value = fault("vmm") ? 0
					     : (uintptr_t)(fault("foreign") ? &foreign : &primary);
			break;
		case WEFT_CUDA_ATTR_MEMORY_TYPE:
			value = a->is_host ? WEFT_CUDA_TYPE_HOST : WEFT_CUDA_TYPE_DEVICE;
			break;
		case WEFT_CUDA_ATTR_BUFFER_ID:
			value = a->id;
			break;
		case WEFT_CUDA_ATTR_IS_MANAGED:
			break;
		case WEFT_CUDA_ATTR_DEVICE:
			value = (uint64_t)a->dev;
			break;
		case WEFT_CUDA_ATTR_IS_IPC_CAPABLE:
			value = !fault("vmm");
			break;
		case WEFT_CUDA_ATTR_RANGE_START:
		case WEFT_CUDA_ATTR_MAPPING_BASE:
			value = a->at;
			break;
		case WEFT_CUDA_ATTR_RANGE_SIZE:
		case WEFT_CUDA_ATTR_MAPPING_SIZE:
			value = a->len;
			break;
		}
	}
	pthread_mutex_unlock(&lock);
	if (rc)
		return rc;
	/* As wide as the attribute is in libcuda. */
	if (attr == WEFT_CUDA_ATTR_MEMORY_TYPE || attr == WEFT_CUDA_ATTR_DEVICE)
		memcpy(data, &value, 4);
	else if (attr == WEFT_CUDA_ATTR_IS_MANAGED || attr == WEFT_CUDA_ATTR_IS_IPC_CAPABLE)
		memcpy(data, &value, 1);
	else
		memcpy(data, &value, 8);
	return 0;
}

API(cuDevicePrimaryCtxRetain, void **ctx, int dev)
{
	(void)dev;
	*ctx = &primary;
	return 0;
}

API(cuDevicePrimaryCtxGetState, int dev, unsigned int *flags, int *active)
{
	(void)dev;
	*flags = 0;
	*active = 1;
	return 0;
}

API(cuCtxPushCurrent_v2, void *ctx)
{
	return ctx == &primary ? 0 : 201;
}

API(cuCtxPopCurrent_v2, void **ctx)
{
	*ctx = &primary;
	return 0;
}

API(cuStreamCreate, void **stream, unsigned int flags)
{
	*stream = calloc(1, sizeof(struct stream));
	return flags == WEFT_CUDA_STREAM_NON_BLOCKING ? 0 : 1;
}

API(cuEventCreate, void **event, unsigned int flags)
{
	(void)flags;
	*event = calloc(1, sizeof(struct event));
	return 0;
}

API(cuEventRecord, void *event, void *stream)
{
	struct event *e = event;

	e->stream = stream;
	e->until = e->stream->tail;
	e->queries = 0;
	return 0;
}

API(cuEventQuery, void *event)
{
	struct event *e = event;

	if (e->queries++ < QUERIES)
		return WEFT_CUDA_NOT_READY;
	if (fault("copy"))
		return 700;
	pthread_mutex_lock(&lock);
	for (struct stream *s = e->stream; (int32_t)(e->until - s->head) > 0; s->head++) {
		const struct op *op = &s->op[s->head % OPS];

		memcpy(bytes_of(op->to), bytes_of(op->from), op->len);
		if (find(op->to) && find(op->from))
			copied += op->len;
	}
	pthread_mutex_unlock(&lock);
	return 0;
}

API(cuMemcpyAsync, weft_cuptr dst, weft_cuptr src, size_t len, void *stream)
{
	struct stream *s = stream;

	if (fault("submit"))
		return 1;
	s->op[s->tail++ % OPS] = (struct op){ .to = dst, .from = src, .len = len };
	return 0;
}

API(cuMemHostAlloc, void **p, size_t len, unsigned int flags)
{
	(void)flags;
	*p = malloc(len);
	return *p ? 0 : 2;
}

struct handle {
	int pid, fd;
	uint64_t len;
	int dev;
};

static int import(int pid, int fd, uint64_t len, weft_cuptr *p)
{
	char path[64];
	int mine;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
	mine = open(path, O_RDWR | O_CLOEXEC);
	if (mine < 0)
		return 1;
	pthread_mutex_lock(&lock);
	*p = add(mine, len, 0)->at;
	find(*p)->imported = true;
	imports++;
	pthread_mutex_unlock(&lock);
	return 0;
}

API(cuIpcGetMemHandle, struct weft_cuda_ipc *handle, weft_cuptr p)
{
	struct alloc *a = find(p);
	struct handle h = { .pid = getpid(), .fd = a->fd, .len = a->len, .dev = a->dev };

	memset(handle, 0, sizeof(*handle));
	memcpy(handle, &h, sizeof(h));
	return 0;
}

API(cuIpcOpenMemHandle_v2, weft_cuptr *p, struct weft_cuda_ipc handle, unsigned int flags)
{
	struct handle h;

	(void)flags;
	if (fault("noipc"))
		return 205;
	usleep(3000); /* As on a real one. */
	memcpy(&h, &handle, sizeof(h));
	return import(h.pid, h.fd, h.len, p);
}

API(cuIpcCloseMemHandle, weft_cuptr p)
{
	pthread_mutex_lock(&lock);
	drop(find(p));
	imports--;
	pthread_mutex_unlock(&lock);
	return 0;
}

/* Handles are descriptors, plus one. */

API(cuMemRetainAllocationHandle, uint64_t *handle, void *p)
{
	*handle = (uint64_t)dup(find((uintptr_t)p)->fd) + 1;
	return 0;
}

API(cuMemExportToShareableHandle, void *out, uint64_t handle, int type, uint64_t flags)
{
	(void)type;
	(void)flags;
	*(int *)out = dup((int)handle - 1);
	return 0;
}

API(cuMemImportFromShareableHandle, uint64_t *handle, void *in, int type)
{
	(void)type;
	if (fault("noipc"))
		return 205;
	*handle = (uint64_t)dup((int)(uintptr_t)in) + 1;
	return 0;
}

API(cuMemRelease, uint64_t handle)
{
	close((int)handle - 1);
	return 0;
}

API(cuMemAddressReserve, weft_cuptr *p, size_t len, size_t align, weft_cuptr at, uint64_t flags)
{
	(void)align;
	(void)at;
	(void)flags;
	*p = (uintptr_t)mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return 0;
}

API(cuMemAddressFree, weft_cuptr p, size_t len)
{
	return munmap((void *)(uintptr_t)p, len) ? 1 : 0;
}

API(cuMemMap, weft_cuptr p, size_t len, size_t off, uint64_t handle, uint64_t flags)
{
	struct alloc *a;

	(void)off;
	(void)flags;
	pthread_mutex_lock(&lock);
	a = add(dup((int)handle - 1), len, 0);
	munmap((void *)(uintptr_t)a->at, len);
	a->at = p;
	a->imported = true;
	imports++;
	pthread_mutex_unlock(&lock);
	return 0;
}

API(cuMemUnmap, weft_cuptr p, size_t len)
{
	struct alloc *a;

	pthread_mutex_lock(&lock);
	a = find(p);
	munmap(a->shadow, len);
	close(a->fd);
	a->at = 0;
	imports--;
	pthread_mutex_unlock(&lock);
	return 0;
}

API(cuMemSetAccess, weft_cuptr p, size_t len, const struct weft_cuda_access *access, size_t n)
{
	(void)p;
	(void)len;
	return n == 1 && access->type == 1 && access->flags == 3 ? 0 : 1;
}
