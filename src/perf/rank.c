/* SPDX-License-Identifier: BSD-2-Clause */
/* A rank: what all tests have in common. For each size and pass all ranks warm up, say how long that took, are told
 * how often to go on, and go; so nobody is ahead, and all do the same number of iterations.
 *
 * The process spends its time polling the fabric. When that is silent it looks at the control connection now and then: a
 * group that has lost a member hangs up, and then there is nothing left to wait for. */
#define _GNU_SOURCE
#include "perf/rank.h"

#include "perf/talk.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#define TALK_NS  60000000000ull /* Others may take their time to come up. */
#define ALIVE_NS 500000000ull
#define HELLO_MAX \
	(sizeof(struct weft_perf_member) + WEFT_PERF_CARDS_MAX * sizeof(struct weft_fab_addr))

void weft_rank_fail(struct weft_rank *rank, const char *format, ...)
{
	char text[600];
	va_list list;

	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	weft_talk_put(rank->control, WEFT_TALK_ERROR, text, strlen(text));
	_exit(1);
}

__attribute__((noreturn)) static void on_fab_failure(void *arg, const char *text)
{
	weft_rank_fail(arg, "%s", text);
}

void weft_rank_alive(struct weft_rank *rank, uint64_t now)
{
	if (now < rank->alive_next)
		return;
	rank->alive_next = now + ALIVE_NS;
	if (weft_talk_put(rank->control, WEFT_TALK_ALIVE, NULL, 0))
		_exit(1);
}

static void on_look(void *arg)
{
	struct weft_rank *rank = arg;
	struct pollfd p = { .fd = rank->control, .events = POLLIN };
	uint64_t now = weft_talk_now();

	/* In the middle of a test nobody talks to us, but to say that it is over. */
	if (poll(&p, 1, 0) > 0)
		_exit(1);
	weft_rank_alive(rank, now);
	if (rank->fab.idle < 2048 || now < rank->idle_since)
		rank->idle_since = now;
	if (now - rank->idle_since > rank->job.timeout_ns)
		weft_rank_fail(
			rank,
			"nothing has come or gone over the fabric for %.3g s; with EFA this is "
			"how a security group looks that does not admit itself, in and out",
			(double)rank->job.timeout_ns / 1e9);
}

static void get(struct weft_rank *rank, enum weft_talk_type type, void *body, size_t size,
		size_t *len_out)
{
	uint32_t got;
	int err = weft_talk_get(rank->control, &got, body, size, len_out, TALK_NS);

	if (err == -EPIPE) /* Whoever hung up needs no word. */
		_exit(1);
	if (err)
		weft_rank_fail(rank, "the group: %s", strerror(-err));
	if (got != type)
		weft_rank_fail(rank, "the group says %u where it should say %u", got, type);
}

static void put(struct weft_rank *rank, enum weft_talk_type type, const void *body, size_t len)
{
	if (weft_talk_put(rank->control, type, body, len))
		_exit(1);
}

static void hear_job(struct weft_rank *rank)
{
	char why[128];
	size_t len;

	get(rank, WEFT_TALK_JOB, &rank->job, sizeof(rank->job), &len);
	if (len != sizeof(rank->job))
		weft_rank_fail(rank, "the other end is a weft perf of another version");
	if (!weft_perf_job_check(&rank->job, why, sizeof(why)))
		weft_rank_fail(rank, "%s", why);
	if (!rank->job.source[0])
		weft_talk_address(rank->control, false, rank->job.source, sizeof(rank->job.source));
}

static void meet(struct weft_rank *rank)
{
	struct weft_perf_member member = { .pid = (uint32_t)getpid() };
	uint32_t cards, ranks = rank->job.ranks;
	struct weft_fab_addr *addr;
	struct utsname host = { 0 };
	size_t len, all;
	uint8_t *hello;

	uname(&host);
	snprintf(member.host, sizeof(member.host), "%.63s", host.nodename);
	snprintf(member.kernel, sizeof(member.kernel), "%.63s", host.release);
	snprintf(member.arch, sizeof(member.arch), "%.63s", host.machine);
	snprintf(member.weft, sizeof(member.weft), "%s", WEFT_VERSION);
	weft_fab_open(&rank->fab, rank->job.provider, rank->job.source,
		      rank->job.test == WEFT_PERF_PINGPONG ? 1 : rank->job.cards_max, &member);
	all = ranks * WEFT_PERF_CARDS_MAX * sizeof(*addr);
	hello = malloc(HELLO_MAX);
	addr = malloc(all);
	if (!hello || !addr)
		weft_rank_fail(rank, "out of memory");
	memcpy(hello, &member, sizeof(member));
	for (uint32_t i = 0; i < member.cards; i++)
		weft_fab_address(&rank->fab, i, &addr[i]);
	memcpy(hello + sizeof(member), addr, member.cards * sizeof(*addr));
	put(rank, WEFT_TALK_HELLO, hello, sizeof(member) + member.cards * sizeof(*addr));
	get(rank, WEFT_TALK_PEERS, addr, all, &len);
	cards = (uint32_t)(len / ranks / sizeof(*addr));
	if (!cards || cards > rank->fab.cards || len != (size_t)cards * ranks * sizeof(*addr))
		weft_rank_fail(rank, "the group's addresses make no sense");
	rank->fab.cards_used = cards;
	for (uint32_t i = 0; i < cards * ranks; i++)
		weft_fab_know(&rank->fab, i % cards, i / cards, &addr[i]);
	free(addr);
	free(hello);
}

/* What a server is asked for by others must not bring it down. */
static uint64_t available_memory(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	unsigned long long kib = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f) && sscanf(line, "MemAvailable: %llu", &kib) != 1)
		;
	if (f)
		fclose(f);
	return kib << 10;
}

static void take_memory(struct weft_rank *rank, const struct weft_rank_ops *ops)
{
	rank->mem_len = (ops->memory(&rank->job) + 4095) & ~4095ull;
	if (rank->mem_len > available_memory() / 10 * 9)
		weft_rank_fail(rank,
			       "%llu MiB of memory are needed for messages, and %llu are there",
			       (unsigned long long)(rank->mem_len >> 20),
			       (unsigned long long)(available_memory() >> 20));
	rank->mem = mmap(NULL, rank->mem_len, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	rank->samples = malloc(WEFT_PERF_ITERS_MAX * sizeof(*rank->samples));
	if (rank->mem == MAP_FAILED || !rank->samples)
		weft_rank_fail(rank, "no %llu MiB of memory for messages",
			       (unsigned long long)(rank->mem_len >> 20));
	weft_fab_use_memory(&rank->fab, rank->mem, rank->mem_len);
}

/* All ranks are here. How many iterations? */
static uint32_t agree(struct weft_rank *rank, uint64_t ns)
{
	uint32_t n = 0;
	size_t len;

	put(rank, WEFT_TALK_READY, &ns, sizeof(ns));
	get(rank, WEFT_TALK_GO, &n, sizeof(n), &len);
	if (len != sizeof(n) || n > WEFT_PERF_ITERS_MAX)
		weft_rank_fail(rank, "the group wants %u iterations", n);
	return n;
}

static void iterate(struct weft_rank *rank, const struct weft_rank_ops *ops, uint64_t bytes,
		    uint32_t pass)
{
	ops->iterate(rank, bytes, pass);
	rank->serial++;
}

static void measure(struct weft_rank *rank, const struct weft_rank_ops *ops, uint32_t pass,
		    struct weft_perf_row *row)
{
	uint64_t best = UINT64_MAX, before, now;
	uint32_t n = agree(rank, 0);

	if (ops->prepare)
		ops->prepare(rank, row->bytes, pass);
	for (uint32_t i = 0; i < n; i++) {
		before = weft_talk_now();
		iterate(rank, ops, row->bytes, pass);
		now = weft_talk_now() - before;
		best = now < best ? now : best;
	}
	n = agree(rank, n ? best : 0);
	iterate(rank, ops, row->bytes, pass); /* After the word, some are later than others. */
	before = weft_talk_now();
	for (uint32_t i = 0; i < n; i++) {
		iterate(rank, ops, row->bytes, pass);
		now = weft_talk_now();
		rank->samples[i] = now - before;
		before = now;
	}
	weft_perf_stat_make(rank->samples, n, &row->pass[pass]);
	if (rank->job.is_checked) {
		agree(rank, 0);
		row->wrong[pass] = ops->check(rank, row->bytes, pass);
		rank->serial++;
	}
}

void weft_rank_main(int control, struct weft_rank_gate *gate)
{
	static struct weft_rank rank;
	const struct weft_rank_ops *ops;
	size_t len;

	rank.control = control;
	rank.fab.arg = &rank;
	rank.fab.on_look = on_look;
	rank.fab.fail = on_fab_failure;
	hear_job(&rank);
	if (gate && !weft_rank_gate_enter(gate, rank.job.group))
		weft_rank_fail(&rank,
			       "busy with the measurement of somebody else; try again later");
	rank.fab.is_crowded = rank.job.is_crowded;
	ops = weft_perf_is_collective(rank.job.test) ? &weft_rank_collective : &weft_rank_pair;
	meet(&rank);
	take_memory(&rank, ops);
	for (uint64_t b = 0; (b = weft_perf_next_size(&rank.job, b));) {
		struct weft_perf_row row = { .bytes = b };

		for (uint32_t pass = 0; pass < weft_perf_passes(rank.job.test); pass++)
			measure(&rank, ops, pass, &row);
		put(&rank, WEFT_TALK_ROW, &row, sizeof(row));
	}
	get(&rank, WEFT_TALK_END, NULL, 0, &len);
	weft_fab_close(&rank.fab);
	exit(0); /* Cards say at the end what they have done: WEFT_STATS. */
}
