/* SPDX-License-Identifier: BSD-2-Clause */
/* Between two ranks. A ping-pong is one message there and one back, and counts half of that. It does what fi_pingpong
 * does, and their figures are to be the same: the receive for the next message is posted before the answer leaves, with
 * room for the largest one, and small messages are injected.
 *
 * A stream is a window of messages and, when all of them have come, an answer: the pause until that is part of what is
 * measured, as it is in OSU's osu_bw, whose figures these can be held against. Messages go round over the cards.
 *
 * Messages of a window that do not fit into SPAN share their place: what is measured is the network, and only the check
 * needs each for itself. */
#include "perf/rank.h"

#include <string.h>

#define SPAN   (64ull << 20)
#define PAGE   4096ull /* Messages begin at a page, as they do in fi_pingpong. */
#define ANSWER 64u /* Place of the second one, behind the first; 4 bytes are sent. */
#define PING   (1ull << 40) /* Tag of all messages of a ping-pong: there is one at a time. */

static struct weft_fab_op sends[WEFT_PERF_WINDOW_MAX], recvs[WEFT_PERF_WINDOW_MAX];
static struct weft_fab_op answer, ping;

static uint64_t slots(const struct weft_perf_job *job, uint64_t bytes)
{
	uint64_t fit = SPAN / bytes;

	return fit < 1 ? 1 : fit > job->window ? job->window : fit;
}

/* Of one direction. */
static uint64_t span(const struct weft_perf_job *job)
{
	uint64_t most = 0;

	if (job->test == WEFT_PERF_PINGPONG)
		return job->bytes_max;
	for (uint64_t b = 0; (b = weft_perf_next_size(job, b));)
		most = slots(job, b) * b > most ? slots(job, b) * b : most;
	return most;
}

static uint64_t memory(const struct weft_perf_job *job)
{
	return 2 * (PAGE + ((span(job) + PAGE - 1) & ~(PAGE - 1)));
}

static uint8_t *out(struct weft_rank *rank)
{
	return rank->mem + PAGE;
}

static uint8_t *in(struct weft_rank *rank)
{
	return out(rank) + rank->mem_len / 2;
}

static uint64_t tag(const struct weft_rank *rank, uint32_t number)
{
	return (uint64_t)(rank->serial & 0xffffffu) << 16 | number;
}

/* A ping-pong is checked as a stream of one message each way. */
static bool comes_back(const struct weft_perf_job *job)
{
	return job->test == WEFT_PERF_BIBW || job->test == WEFT_PERF_PINGPONG;
}

static void await_ping(struct weft_rank *rank)
{
	weft_fab_recv(&rank->fab, 0, in(rank), rank->job.bytes_max, PING, &ping);
}

static void pingpong(struct weft_rank *rank, uint64_t bytes)
{
	if (rank->job.rank) {
		weft_fab_wait(&rank->fab, &ping);
		await_ping(rank);
	}
	weft_fab_inject(&rank->fab, 0, !rank->job.rank, out(rank), bytes, PING, &sends[0]);
	weft_fab_wait(&rank->fab, &sends[0]);
	if (!rank->job.rank) {
		weft_fab_wait(&rank->fab, &ping);
		await_ping(rank);
	}
}

static void prepare(struct weft_rank *rank, uint64_t bytes, uint32_t pass)
{
	(void)pass;
	if (rank->job.test == WEFT_PERF_PINGPONG && bytes == rank->job.bytes_min)
		await_ping(rank);
}

static void stream(struct weft_rank *rank, uint64_t bytes, uint32_t messages)
{
	uint64_t places = slots(&rank->job, bytes);
	bool is_both = comes_back(&rank->job);
	bool sends_ = is_both || !rank->job.rank, gets = is_both || rank->job.rank;
	uint32_t cards = rank->fab.cards_used, peer = !rank->job.rank;

	if (!rank->job.rank)
		weft_fab_recv(&rank->fab, 0, rank->mem, 4, tag(rank, 0xffff), &answer);
	for (uint32_t i = 0; i < messages && gets; i++)
		weft_fab_recv(&rank->fab, i % cards, in(rank) + i % places * bytes, bytes,
			      tag(rank, i), &recvs[i]);
	for (uint32_t i = 0; i < messages && sends_; i++)
		weft_fab_send(&rank->fab, i % cards, peer, out(rank) + i % places * bytes, bytes,
			      tag(rank, i), &sends[i]);
	for (uint32_t i = 0; i < messages && gets; i++)
		weft_fab_wait(&rank->fab, &recvs[i]);
	for (uint32_t i = 0; i < messages && sends_; i++)
		weft_fab_wait(&rank->fab, &sends[i]);
	if (rank->job.rank)
		weft_fab_send(&rank->fab, 0, peer, rank->mem + ANSWER, 4, tag(rank, 0xffff),
			      &answer);
	weft_fab_wait(&rank->fab, &answer);
}

static void iterate(struct weft_rank *rank, uint64_t bytes, uint32_t pass)
{
	(void)pass;
	if (rank->job.test == WEFT_PERF_PINGPONG)
		pingpong(rank, bytes);
	else
		stream(rank, bytes, rank->job.window);
}

static uint8_t pattern(uint32_t from, uint32_t serial, uint64_t at)
{
	return (uint8_t)(at * 7 + (at >> 8) + serial * 31 + from * 101);
}

static uint64_t check(struct weft_rank *rank, uint64_t bytes, uint32_t pass)
{
	uint64_t messages = rank->job.test == WEFT_PERF_PINGPONG ? 1 : slots(&rank->job, bytes);
	uint64_t len = bytes * messages, wrong = 0;

	(void)pass;
	memset(in(rank), 0xa5, len);
	for (uint64_t i = 0; i < len; i++)
		out(rank)[i] = pattern(rank->job.rank, rank->serial, i);
	stream(rank, bytes, (uint32_t)messages);
	if (!rank->job.rank && !comes_back(&rank->job))
		return 0; /* Nothing comes back. */
	for (uint64_t i = 0; i < len; i++)
		wrong += in(rank)[i] != pattern(!rank->job.rank, rank->serial, i);
	return wrong;
}

const struct weft_rank_ops weft_rank_pair = {
	.memory = memory,
	.prepare = prepare,
	.iterate = iterate,
	.check = check,
};
