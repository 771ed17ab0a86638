/* SPDX-License-Identifier: BSD-2-Clause */
/* floors memcpy|pipe|readv|line [options]: prints one line of JSON
 *
 * What this machine needs at least to bring bytes from one process to another, without any protocol:
 *	memcpy	one core copies pieces from one buffer to another, both far larger than the caches
 *	pipe	two processes: one copies into a ring that stays in the cache, the other out of it
 *	readv	one process reads the memory of another (process_vm_readv)
 *	line	two processes on two cores give a cache line to each other: one way */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "work.h"

#define SLOTS     16u
#define SLOT_SIZE 16384u
#define LINE      64

struct shared {
	_Alignas(LINE) _Atomic uint64_t head; /* Slots filled, or the turn of the first process. */
	_Alignas(LINE) _Atomic uint64_t tail; /* Slots emptied, or the turn of the second one. */
	_Alignas(LINE) _Atomic uint32_t stop, ready;
	_Alignas(4096) uint8_t slot[SLOTS][SLOT_SIZE];
};

static const char usage[] =
	"usage: floors memcpy|pipe|readv|line [options]\n"
	"\n"
	"  -s, --size BYTES    of a piece (1m)\n"
	"  --span BYTES        memory that the pieces go through, at each end (64m)\n"
	"  --seconds T         how long (1)\n"
	"  --iterations N      line: exchanges (200000)\n";

static uint64_t size = 1 << 20, span = 64 << 20, ns = 1000000000, iterations = 200000;
static struct shared *shared;

static void show(uint64_t bytes, uint64_t took)
{
	printf("{\"size\": %llu, \"gbytes\": %.4f, \"per_piece_ns\": %.1f}\n",
	       (unsigned long long)size, (double)bytes / (double)took,
	       (double)took * (double)size / (double)bytes);
}

/* The second process. It ends with the first. */
static pid_t start(void (*run)(void), int core)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		work_fail("fork");
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	work_pin(core);
	run();
	_exit(0);
}

static void end(pid_t pid)
{
	atomic_store(&shared->stop, 1);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void measure_memcpy(void)
{
	uint8_t *from = work_memory(span), *to = work_memory(span);
	uint64_t begin = work_now(), now = begin, bytes = 0;

	for (uint64_t at = 0; now - begin < ns; now = work_now()) {
		memcpy(to + at, from + at, size);
		bytes += size;
		at = at + 2 * size <= span ? at + size : 0;
	}
	show(bytes, now - begin);
}

static void drain(void)
{
	uint8_t *to = work_memory(span);
	uint64_t at = 0;

	atomic_store(&shared->ready, 1);
	for (uint64_t tail = 0;; tail++) {
		while (atomic_load_explicit(&shared->head, memory_order_acquire) == tail)
			;
		memcpy(to + at, shared->slot[tail % SLOTS], SLOT_SIZE);
		atomic_store_explicit(&shared->tail, tail + 1, memory_order_release);
		at = at + 2L * SLOT_SIZE <= span ? at + SLOT_SIZE : 0;
	}
}

static void measure_pipe(void)
{
	uint8_t *from = work_memory(span);
	pid_t pid = start(drain, 1);
	uint64_t begin, now, at = 0, head = 0;

	work_pin(0);
	while (!atomic_load(&shared->ready))
		sched_yield();
	for (begin = now = work_now(); now - begin < ns; now = work_now()) {
		while (head - atomic_load_explicit(&shared->tail, memory_order_acquire) == SLOTS)
			;
		memcpy(shared->slot[head % SLOTS], from + at, SLOT_SIZE);
		atomic_store_explicit(&shared->head, ++head, memory_order_release);
		at = at + 2L * SLOT_SIZE <= span ? at + SLOT_SIZE : 0;
	}
	show(head * SLOT_SIZE, now - begin);
	end(pid);
}

static void sleep_on(void)
{
	for (;;)
		pause();
}

static void measure_readv(void)
{
	uint8_t *from = work_memory(span), *to = work_memory(span);
	pid_t pid;
	uint64_t begin, now, bytes = 0, at = 0;

	pid = start(sleep_on, -1);
	memset(to, 1, span); /* Pages of our own: those of before the fork were shared. */
	for (begin = now = work_now(); now - begin < ns; now = work_now()) {
		struct iovec local = { to + at, size }, remote = { from + at, size };

		if (process_vm_readv(pid, &local, 1, &remote, 1, 0) != (ssize_t)size)
			work_fail("process_vm_readv");
		bytes += size;
		at = at + 2 * size <= span ? at + size : 0;
	}
	show(bytes, now - begin);
	end(pid);
}

static void answer(void)
{
	atomic_store(&shared->ready, 1);
	for (uint64_t turn = 1;; turn++) {
		while (atomic_load_explicit(&shared->head, memory_order_acquire) != turn)
			;
		atomic_store_explicit(&shared->tail, turn, memory_order_release);
	}
}

static void measure_line(void)
{
	struct work_samples samples;
	pid_t pid = start(answer, 1);

	work_pin(0);
	work_samples_init(&samples, iterations);
	while (!atomic_load(&shared->ready))
		sched_yield();
	for (uint64_t turn = 1; turn <= iterations + iterations / 10; turn++) {
		uint64_t begin = work_now();

		atomic_store_explicit(&shared->head, turn, memory_order_release);
		while (atomic_load_explicit(&shared->tail, memory_order_acquire) != turn)
			;
		if (turn > iterations / 10)
			work_samples_add(&samples, work_now() - begin);
	}
	printf("{");
	work_samples_print(&samples, 2);
	printf("}\n");
	end(pid);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "size", 1, NULL, 's' },    { "span", 1, NULL, 'S' },
		{ "seconds", 1, NULL, 't' }, { "iterations", 1, NULL, 'n' },
		{ "help", 0, NULL, 'h' },    { NULL, 0, NULL, 0 },
	};
	static const struct {
		const char *name;
		void (*run)(void);
	} modes[] = {
		{ "memcpy", measure_memcpy },
		{ "pipe", measure_pipe },
		{ "readv", measure_readv },
		{ "line", measure_line },
	};
	int opt;

	while ((opt = getopt_long(argc, argv, "s:h", options, NULL)) != -1) {
		switch (opt) {
		case 's':
			size = work_number(optarg, 1, 1 << 30);
			break;
		case 'S':
			span = work_number(optarg, SLOT_SIZE, 1ull << 34);
			break;
		case 't':
			ns = (uint64_t)(strtod(optarg, NULL) * 1e9);
			break;
		case 'n':
			iterations = work_number(optarg, 10, 100000000);
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			return 2;
		}
	}
	if (span < size)
		work_fatal("the span is one piece at least");
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		work_fail("shared memory");
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]) && optind + 1 == argc; i++) {
		if (strcmp(argv[optind], modes[i].name) != 0)
			continue;
		modes[i].run();
		return 0;
	}
	fputs(usage, stderr);
	return 2;
}
