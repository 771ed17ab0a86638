/* SPDX-License-Identifier: BSD-2-Clause */
/* Collectives among all ranks, over sends and receives.
 *
 * all-reduce: float sums. Small messages go from everybody to everybody and are added there: one step. Larger ones go
 * round a ring, which moves the least: n - 1 steps in which a part of the data gathers its sum, and n - 1 in which the
 * sums spread. The parts of a step are cut into segments, which spread over the cards, and adding one overlaps with the
 * arrival of the next.
 *
 * Numbers are small integers, so that their sums are exact in whatever order they are added, and a check is a
 * comparison. */
#include "perf/rank.h"

#include "perf/talk.h"

#include <string.h>

#define FLAT_BYTES   8192u /* Up to so much goes to everybody at once... */
#define FLAT_RANKS   16u /* ...if there are no more than these. */
#define SEGMENT      (256u << 10)
#define SEGMENTS_MAX 64u

#define ALIVE_NUMBERS (1u << 20) /* Checked between two signs of life. */

static struct weft_fab_op sends[WEFT_PERF_RANKS_MAX], recvs[WEFT_PERF_RANKS_MAX];

/* Memory: what is sent, what is received, and a place for what is not at its end yet. */
static uint64_t part(const struct weft_perf_job *job)
{
	return (job->bytes_max + 4095) & ~4095ull;
}

static uint64_t memory(const struct weft_perf_job *job)
{
	return 3 * part(job) + FLAT_BYTES * FLAT_RANKS;
}

static uint8_t *result(struct weft_rank *rank)
{
	return rank->mem + part(&rank->job);
}

/* In place, what is sent lies where the result comes to. */
static uint8_t *source(struct weft_rank *rank, uint32_t pass)
{
	return pass ? result(rank) : rank->mem;
}

static uint8_t *scratch(struct weft_rank *rank)
{
	return rank->mem + 2 * part(&rank->job);
}

static uint64_t tag(const struct weft_rank *rank, uint32_t from, uint32_t step, uint32_t segment)
{
	return (uint64_t)(rank->serial & 0xfffffu) << 32 | (uint64_t)from << 20 | step << 8 |
	       segment;
}

/* Numbers, whatever the bytes are that they are kept in. */
static void add(void *to, const void *a, const void *b, uint64_t n)
{
	const float *from_a = a, *from_b = b;
	float *sum = to;

	for (uint64_t i = 0; i < n; i++)
		sum[i] = from_a[i] + from_b[i];
}

/* Everybody's numbers come to scratch, rank by rank. */
static void allreduce_flat(struct weft_rank *rank, uint64_t bytes, uint32_t pass)
{
	uint32_t n = rank->job.ranks, me = rank->job.rank, cards = rank->fab.cards_used;
	uint8_t *from = source(rank, pass), *to = result(rank);

	for (uint32_t i = 0; i < n; i++)
		if (i != me)
			weft_fab_recv(&rank->fab, (i + me) % cards, scratch(rank) + i * FLAT_BYTES,
				      bytes, tag(rank, i, 0, 0), &recvs[i]);
	for (uint32_t i = 0; i < n; i++)
		if (i != me)
			weft_fab_send(&rank->fab, (i + me) % cards, i, from, bytes,
				      tag(rank, me, 0, 0), &sends[i]);
	for (uint32_t i = 0; i < n; i++)
		if (i != me)
			weft_fab_wait(&rank->fab, &sends[i]);
	for (uint32_t i = 0, first = 1; i < n; i++) {
		if (i == me)
			continue;
		weft_fab_wait(&rank->fab, &recvs[i]);
		add(to, first ? from : to, scratch(rank) + i * FLAT_BYTES, bytes / 4);
		first = 0;
	}
}

struct piece { /* Of the data: what one rank sums up. */
	uint64_t begin, len; /* Bytes. */
	uint64_t segment; /* Bytes of each but the last. */
	uint32_t segments;
};

static struct piece piece_of(const struct weft_rank *rank, uint64_t bytes, uint32_t index)
{
	uint64_t count = bytes / 4, n = rank->job.ranks;
	struct piece p = { .begin = count * index / n * 4 };

	p.len = count * (index + 1) / n * 4 - p.begin;
	p.segment = p.len / SEGMENTS_MAX / 4 * 4 + 4;
	if (p.segment < SEGMENT)
		p.segment = SEGMENT;
	p.segments = (uint32_t)((p.len + p.segment - 1) / p.segment);
	return p;
}

static uint64_t segment_len(const struct piece *p, uint32_t i)
{
	uint64_t left = p->len - i * p->segment;

	return left < p->segment ? left : p->segment;
}

/* Sends `give` from `from` to the right, and takes `take` from the left: to its place, or to scratch and is added
 * there. */
static void ring_step(struct weft_rank *rank, uint32_t step, const struct piece *give,
		      const uint8_t *from, const struct piece *take, const uint8_t *add_to)
{
	uint32_t n = rank->job.ranks, me = rank->job.rank, cards = rank->fab.cards_used;
	uint32_t left = (me + n - 1) % n, right = (me + 1) % n;
	uint8_t *to = add_to ? scratch(rank) : result(rank) + take->begin;

	for (uint32_t i = 0; i < take->segments; i++)
		weft_fab_recv(&rank->fab, i % cards, to + i * take->segment, segment_len(take, i),
			      tag(rank, left, step, i), &recvs[i]);
	for (uint32_t i = 0; i < give->segments; i++)
		weft_fab_send(&rank->fab, i % cards, right, from + give->begin + i * give->segment,
			      segment_len(give, i), tag(rank, me, step, i), &sends[i]);
	for (uint32_t i = 0; i < take->segments; i++) {
		uint64_t at = i * take->segment;

		weft_fab_wait(&rank->fab, &recvs[i]);
		if (add_to)
			add(result(rank) + take->begin + at, add_to + take->begin + at, to + at,
			    segment_len(take, i) / 4);
	}
	for (uint32_t i = 0; i < give->segments; i++)
		weft_fab_wait(&rank->fab, &sends[i]);
}

static void allreduce_ring(struct weft_rank *rank, uint64_t bytes, uint32_t pass)
{
	uint32_t n = rank->job.ranks, me = rank->job.rank;
	const uint8_t *own = source(rank, pass);

	for (uint32_t step = 0; step < n - 1; step++) {
		struct piece give = piece_of(rank, bytes, (me + n - step) % n);
		struct piece take = piece_of(rank, bytes, (me + 2 * n - step - 1) % n);

		ring_step(rank, step, &give, step ? result(rank) : own, &take, own);
	}
	for (uint32_t step = 0; step < n - 1; step++) {
		struct piece give = piece_of(rank, bytes, (me + n + 1 - step) % n);
		struct piece take = piece_of(rank, bytes, (me + n - step) % n);

		ring_step(rank, n + step, &give, result(rank), &take, NULL);
	}
}

/* A block for each rank, and one from each. In place, blocks that came wait until the old ones have left. */
static void alltoall(struct weft_rank *rank, uint64_t bytes, uint32_t pass)
{
	uint32_t n = rank->job.ranks, me = rank->job.rank, cards = rank->fab.cards_used;
	uint64_t block = bytes / 4 / n * 4;
	uint8_t *from = source(rank, pass), *to = pass ? scratch(rank) : result(rank);

	if (!block)
		return;
	for (uint32_t k = 1; k < n; k++) {
		uint32_t peer = (me + n - k) % n;

		weft_fab_recv(&rank->fab, (peer + me) % cards, to + peer * block, block,
			      tag(rank, peer, 0, 0), &recvs[peer]);
	}
	for (uint32_t k = 1; k < n; k++) {
		uint32_t peer = (me + k) % n;

		weft_fab_send(&rank->fab, (peer + me) % cards, peer, from + peer * block, block,
			      tag(rank, me, 0, 0), &sends[peer]);
	}
	memcpy(to + me * block, from + me * block, block);
	for (uint32_t i = 0; i < n; i++) {
		if (i == me)
			continue;
		weft_fab_wait(&rank->fab, &recvs[i]);
		weft_fab_wait(&rank->fab, &sends[i]);
	}
	if (pass)
		memcpy(result(rank), to, block * n);
}

static void iterate(struct weft_rank *rank, uint64_t bytes, uint32_t pass)
{
	if (rank->job.test == WEFT_PERF_ALLTOALL)
		alltoall(rank, bytes, pass);
	else if (bytes <= FLAT_BYTES && rank->job.ranks <= FLAT_RANKS)
		allreduce_flat(rank, bytes, pass);
	else
		allreduce_ring(rank, bytes, pass);
}

/* The number at place i that `from` has for `to` (all-reduce: for all). */
static float number(uint32_t from, uint32_t to, uint64_t i)
{
	return (float)((i * 3 + from * 5u + to * 11u) % 1021);
}

static void fill(struct weft_rank *rank, uint64_t bytes, uint32_t pass)
{
	float *data = (void *)source(rank, pass);
	uint64_t count = bytes / 4, block = count / rank->job.ranks;
	bool is_alltoall = rank->job.test == WEFT_PERF_ALLTOALL;

	if (!pass)
		memset(result(rank), 0xff, bytes);
	for (uint64_t i = 0; i < count; i++)
		data[i] = is_alltoall && block
				  ? number(rank->job.rank, (uint32_t)(i / block), i % block)
				  : number(rank->job.rank, 0, i);
}

static uint64_t check(struct weft_rank *rank, uint64_t bytes, uint32_t pass)
{
	const float *data = (void *)result(rank);
	uint32_t n = rank->job.ranks, me = rank->job.rank;
	uint64_t count = bytes / 4, block = count / n, wrong = 0;

	fill(rank, bytes, pass);
	iterate(rank, bytes, pass);
	if (rank->job.test == WEFT_PERF_ALLTOALL) {
		for (uint64_t i = 0; i < block * n; i++)
			wrong += data[i] != number((uint32_t)(i / block), me, i % block);
		return wrong;
	}
	for (uint64_t i = 0; i < count; i++) {
		float sum = 0;

		if (i % ALIVE_NUMBERS == 0)
			weft_rank_alive(rank, weft_talk_now());
		for (uint32_t r = 0; r < n; r++)
			sum += number(r, 0, i);
		wrong += data[i] != sum;
	}
	return wrong;
}

const struct weft_rank_ops weft_rank_collective = {
	.memory = memory,
	.prepare = fill,
	.iterate = iterate,
	.check = check,
};
