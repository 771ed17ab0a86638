/* SPDX-License-Identifier: BSD-2-Clause */
/* How much the plugin moves: two processes that each send and receive all the time, as the two ranks of a ring do, between
 * host memory, over some comms with eight messages under way on each. One line: the rate in one direction, and what a
 * second of a core moved, beside memcpy. No test: nothing is checked.
 *
 * stream LIBRARY BYTES COMMS SECONDS */
#define _GNU_SOURCE
#include "face.h"

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DEPTH     8u
#define COMMS_MAX 32u

#define MUST(x)                                                   \
	do {                                                      \
		if (!(x)) {                                       \
			fprintf(stderr, "stream: not: %s\n", #x); \
			_exit(1);                                 \
		}                                                 \
	} while (0)

struct way { /* One comm, in one direction. */
	void *comm, *mem, *req[DEPTH];
	uint8_t *buf;
	uint64_t posted, done;
};

static struct face f;
static size_t bytes;
static uint32_t comms;

static double clock_of(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void swap(const int *pipes, const void *mine, void *theirs, size_t len)
{
	MUST(write(pipes[1], mine, len) == (ssize_t)len);
	for (size_t got = 0; got < len;) {
		ssize_t n = read(pipes[0], (char *)theirs + got, len - got);

		MUST(n > 0);
		got += (size_t)n;
	}
}

static void open_ways(const int *pipes, struct way *out, struct way *in)
{
	uint8_t mine[NCCL_HANDLE_MAX], theirs[NCCL_HANDLE_MAX];
	void *listener;

	MUST(!face_listen(&f, 0, mine, &listener));
	swap(pipes, mine, theirs, sizeof(mine));
	while (!out->comm || !in->comm) {
		if (!out->comm)
			MUST(!face_connect(&f, 0, theirs, &out->comm));
		if (!in->comm)
			MUST(!face_accept(&f, listener, &in->comm));
	}
	MUST(!face_close_listen(&f, listener));
	for (int i = 0; i < 2; i++) {
		struct way *w = i ? in : out;

		w->buf = mmap(NULL, bytes * DEPTH, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		MUST(w->buf != MAP_FAILED);
		memset(w->buf, i + 1, bytes * DEPTH);
		MUST(!face_reg(&f, w->comm, w->buf, bytes * DEPTH, NCCL_PTR_HOST, &w->mem));
	}
}

static bool step(struct way *w, bool in)
{
	uint32_t slot = w->posted % DEPTH;
	uint8_t *at = w->buf + slot * bytes;
	int done = 0, tag = 1, size;
	bool any = false;

	if (w->posted - w->done < DEPTH) {
		void *p = at;

		if (in)
			MUST(!face_irecv(&f, w->comm, 1, &p, &bytes, &tag, &w->mem, &w->req[slot]));
		else
			MUST(!face_isend(&f, w->comm, at, bytes, tag, w->mem, &w->req[slot]));
		any = w->req[slot];
		w->posted += any;
	}
	if (w->posted != w->done) {
		MUST(!face_test(&f, w->req[w->done % DEPTH], &done, &size));
		w->done += done != 0;
	}
	return any || done;
}

static void stream(int who, const int *pipes, double seconds)
{
	static struct way out[COMMS_MAX], in[COMMS_MAX];
	char addr[16], c = 'x';
	double start, end = 0, until;
	uint64_t before = 0, after = 0;
	int n;

	snprintf(addr, sizeof(addr), "127.0.0.%d", 2 + who);
	setenv("WEFT_ADDR", addr, 1);
	MUST(!face_init(&f) && !face_devices(&f, &n));
	for (uint32_t i = 0; i < comms; i++)
		open_ways(pipes, &out[i], &in[i]);
	swap(pipes, &c, &c, 1);
	start = clock_of(CLOCK_MONOTONIC);
	until = start + seconds * 1.2;
	for (;;) {
		double now = clock_of(CLOCK_MONOTONIC), from = until - seconds * 1.1;
		bool any = false;

		if (now > until)
			break;

		for (uint32_t i = 0; i < comms; i++)
			any |= step(&out[i], false) | step(&in[i], true);
		if (!any)
			sched_yield();
		if (now < from || now > from + seconds)
			continue;
		after = 0;
		for (uint32_t i = 0; i < comms; i++)
			after += in[i].done;
		if (!before) {
			before = after;
			start = now;
		}
		end = now;
	}
	if (!who)
		printf("%.2f GB/s each way, %.2f cores\n",
		       (double)(after - before) * (double)bytes / (end - start) / 1e9,
		       clock_of(CLOCK_PROCESS_CPUTIME_ID) / (seconds * 1.2));
	fflush(stdout);
	swap(pipes, &c, &c, 1);
	_exit(0);
}

static void time_memcpy(void)
{
	uint8_t *a = malloc(64 << 20), *b = malloc(64 << 20);
	double start;

	MUST(a && b);
	memset(a, 1, 64 << 20);
	memcpy(b, a, 64 << 20);
	start = clock_of(CLOCK_MONOTONIC);
	for (int i = 0; i < 8; i++)
		memcpy(b, a, 64 << 20);
	printf("memcpy %.2f GB/s (%d); ",
	       8 * 67108864.0 / (clock_of(CLOCK_MONOTONIC) - start) / 1e9, b[77]);
	fflush(stdout);
	free(a);
	free(b);
}

int main(int argc, char **argv)
{
	int pipes[2][2], status, bad = 0;

	if (argc != 5)
		return 2;
	bytes = strtoull(argv[2], NULL, 0);
	comms = (uint32_t)atoi(argv[3]);
	MUST(comms >= 1 && comms <= COMMS_MAX && !pipe(pipes[0]) && !pipe(pipes[1]));
	time_memcpy();
	for (int who = 0; who < 2; who++) {
		const int mine[2] = { pipes[who][0], pipes[!who][1] };

		if (fork())
			continue;
		f = face_open(argv[1], 11);
		stream(who, mine, atof(argv[4]));
	}
	for (int i = 0; i < 2; i++) {
		wait(&status);
		bad |= status;
	}
	return bad ? 1 : 0;
}
