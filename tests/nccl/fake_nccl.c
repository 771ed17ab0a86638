/* SPDX-License-Identifier: BSD-2-Clause */
/* A stand-in for libnccl and libcudart in one, for machines without a GPU: "device memory" is the heap, streams are done at once,
 * and ranks meet in a file in memory whose name is the unique id. Floats only. The variable FAKE_NCCL holds what rank 1 does
 * wrong: "wrong" spoils an element of each result, "die" ends it in its first collective, "hang" stops it there. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define API(...)                \
	EXPORT int __VA_ARGS__; \
	EXPORT int __VA_ARGS__
#define RANKS_MAX 8u
#define SLOT      (2u << 20)
#define PENDING   64u

struct id {
	char name[128];
};

struct room {
	_Atomic uint32_t joined, arrived, round;
	_Alignas(64) uint8_t slot[RANKS_MAX][RANKS_MAX][SLOT];
};

struct comm {
	struct room *room;
	uint32_t ranks, me;
	struct id id;
};

struct pending {
	void *p;
	size_t bytes;
	uint32_t peer;
};

static struct comm *group_comm;
static struct pending sends[PENDING], recvs[PENDING];
static uint32_t sends_len, recvs_len;

/* CUDA */

API(cudaGetDeviceCount(int *n))
{
	*n = 8;
	return 0;
}

API(cudaSetDevice(int dev))
{
	return dev < 8 ? 0 : 101;
}

API(cudaMalloc(void **p, size_t len))
{
	*p = malloc(len);
	return *p ? 0 : 2;
}

API(cudaStreamCreateWithFlags(void **stream, unsigned int flags))
{
	*stream = NULL;
	return flags == 1 ? 0 : 1;
}

API(cudaStreamQuery(void *stream))
{
	return stream != NULL;
}

API(cudaMemcpyAsync(void *dst, const void *src, size_t len, int kind, void *stream))
{
	(void)kind;
	(void)stream;
	memcpy(dst, src, len);
	return 0;
}

API(cudaMemsetAsync(void *p, int value, size_t len, void *stream))
{
	(void)stream;
	memset(p, value, len);
	return 0;
}

EXPORT const char *cudaGetErrorString(int rc);
EXPORT const char *cudaGetErrorString(int rc)
{
	return rc ? "an error" : "no error";
}

/* NCCL */

static bool fault(const struct comm *c, const char *word)
{
	const char *set = getenv("FAKE_NCCL");

	return set && c->me == 1 && !strcmp(set, word);
}

static void barrier(struct comm *c)
{
	uint32_t round = atomic_load(&c->room->round);

	if (fault(c, "die"))
		_exit(7);
	while (fault(c, "hang"))
		pause();
	if (atomic_fetch_add(&c->room->arrived, 1) + 1 == c->ranks) {
		atomic_store(&c->room->arrived, 0);
		atomic_fetch_add(&c->room->round, 1);
		return;
	}
	while (atomic_load(&c->room->round) == round)
		sched_yield();
}

/* Everybody's bytes are in slot[from][to], from here to the next call. */
static void spoil(const struct comm *c, void *recv)
{
	if (fault(c, "wrong"))
		*(float *)recv += 1;
}

API(ncclGetVersion(int *version))
{
	*version = 22800;
	return 0;
}

API(ncclGetUniqueId(struct id *id))
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	memset(id, 0, sizeof(*id));
	snprintf(id->name, sizeof(id->name), "/dev/shm/fake-nccl-%d-%lx", getpid(),
		 (unsigned long)(ts.tv_nsec + ts.tv_sec * 1000000000l));
	return 0;
}

API(ncclCommInitRank(struct comm **out, int ranks, struct id id, int me))
{
	struct comm *c = calloc(1, sizeof(*c));
	int fd = open(id.name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (!c || fd < 0 || ftruncate(fd, sizeof(struct room)) || (uint32_t)ranks > RANKS_MAX)
		return 2;
	c->room = mmap(NULL, sizeof(struct room), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (c->room == MAP_FAILED)
		return 2;
	c->ranks = (uint32_t)ranks;
	c->me = (uint32_t)me;
	c->id = id;
	*out = c;
	atomic_fetch_add(&c->room->joined, 1);
	while (atomic_load(&c->room->joined) < c->ranks)
		sched_yield();
	unlink(id.name);
	return 0;
}

API(ncclCommDestroy(struct comm *c))
{
	munmap(c->room, sizeof(*c->room));
	free(c);
	return 0;
}

API(ncclCommAbort(struct comm *c))
{
	return ncclCommDestroy(c);
}

API(ncclCommGetAsyncError(struct comm *c, int *error))
{
	(void)c;
	*error = 0;
	return 0;
}

EXPORT const char *ncclGetErrorString(int rc);
EXPORT const char *ncclGetErrorString(int rc)
{
	return rc ? "an error" : "no error";
}

static size_t bytes_of(size_t n, int type)
{
	size_t bytes = n * (type == 1 ? 1 : type == 8 ? 8 : 4);

	if (bytes > SLOT)
		abort();
	return bytes;
}

static void add(void *to, const void *from, size_t n, int type)
{
	for (size_t i = 0; i < n; i++) {
		if (type == 7)
			((float *)to)[i] += ((const float *)from)[i];
		else if (type == 2)
			((uint32_t *)to)[i] +=
				((const uint32_t *)from)[i]; /* It wraps, as a GPU's. */
		else
			abort();
	}
}

/* Elements [off, off + n) of everybody's, summed up. */
static void sum(struct comm *c, const void *send, size_t all, void *recv, size_t off, size_t n,
		int type)
{
	memcpy(c->room->slot[c->me][0], send, bytes_of(all, type));
	barrier(c);
	memcpy(recv, c->room->slot[0][0] + bytes_of(off, type), bytes_of(n, type));
	for (uint32_t r = 1; r < c->ranks; r++)
		add(recv, c->room->slot[r][0] + bytes_of(off, type), n, type);
	barrier(c);
	spoil(c, recv);
}

API(ncclAllReduce(const void *send, void *recv, size_t n, int type, int op, struct comm *c,
		  void *stream))
{
	(void)stream;
	sum(c, send, n, recv, 0, n, type);
	return op;
}

API(ncclReduceScatter(const void *send, void *recv, size_t n, int type, int op, struct comm *c,
		      void *stream))
{
	(void)stream;
	sum(c, send, n * c->ranks, recv, n * c->me, n, type);
	return op;
}

API(ncclAllGather(const void *send, void *recv, size_t n, int type, struct comm *c, void *stream))
{
	size_t bytes = bytes_of(n, type);

	(void)stream;
	memcpy(c->room->slot[c->me][0], send, bytes);
	barrier(c);
	for (uint32_t r = 0; r < c->ranks; r++)
		memcpy((uint8_t *)recv + r * bytes, c->room->slot[r][0], bytes);
	barrier(c);
	return 0;
}

API(ncclBroadcast(const void *send, void *recv, size_t n, int type, int root, struct comm *c,
		  void *stream))
{
	(void)stream;
	memcpy(c->room->slot[c->me][0], send, bytes_of(n, type));
	barrier(c);
	memcpy(recv, c->room->slot[root][0], bytes_of(n, type));
	barrier(c);
	return 0;
}

API(ncclGroupStart(void))
{
	sends_len = recvs_len = 0;
	return 0;
}

API(ncclSend(void *p, size_t n, int type, int peer, struct comm *c, void *stream))
{
	(void)stream;
	group_comm = c;
	sends[sends_len++] = (struct pending){ p, bytes_of(n, type), (uint32_t)peer };
	return 0;
}

API(ncclRecv(void *p, size_t n, int type, int peer, struct comm *c, void *stream))
{
	(void)stream;
	group_comm = c;
	recvs[recvs_len++] = (struct pending){ p, bytes_of(n, type), (uint32_t)peer };
	return 0;
}

API(ncclGroupEnd(void))
{
	struct comm *c = group_comm;

	for (uint32_t i = 0; i < sends_len; i++)
		memcpy(c->room->slot[c->me][sends[i].peer], sends[i].p, sends[i].bytes);
	barrier(c);
	for (uint32_t i = 0; i < recvs_len; i++)
		memcpy(recvs[i].p, c->room->slot[recvs[i].peer][c->me], recvs[i].bytes);
	barrier(c);
	return 0;
}
