/* SPDX-License-Identifier: BSD-2-Clause */
/* The receiver's side: lanes come and go, frames are handed over. The reasons stand in local.c. */
#define _GNU_SOURCE
#include "wire/local_internal.h"

#include <fcntl.h>
#include <sys/mman.h>

/* Frames from one lane before the next one has its turn. */
#define TURN_FRAMES 16u

/* From `word`; false when it is something else meanwhile. */
static bool swap_state(struct weft_local *local, uint32_t index, uint32_t word,
		       enum weft_shm_state to)
{
	return atomic_compare_exchange_strong(&local->inbox->state[index], &word,
					      WEFT_SHM_CLAIM(word) | to);
}

static void drop_used(struct weft_local *local, struct weft_rx_lane *rx)
{
	uint32_t at = 0;

	if (!rx->in_use)
		return;
	while (local->rx.used[at] != rx->index)
		at++;
	local->rx.used[at] = local->rx.used[--local->rx.used_len];
	rx->in_use = false;
	local->stats.lanes_in--;
}

/* It makes no sense: read no more of it. */
static void give_up(struct weft_local *local, struct weft_rx_lane *rx)
{
	local->stats.rx_bad++;
	drop_used(local, rx);
	rx->given_up = true;
	swap_state(local, rx->index, rx->word, WEFT_SHM_REFUSED);
}

static void free_lane(struct weft_local *local, struct weft_rx_lane *rx)
{
	uint32_t word = atomic_load(&local->inbox->state[rx->index]);

	drop_used(local, rx);
	rx->given_up = false;
	/* Nonsense stays as it is: a lane less. */
	if (WEFT_SHM_CLAIM(word) == WEFT_SHM_CLAIM(rx->word))
		swap_state(local, rx->index, word, WEFT_SHM_FREE);
}

static void take_in(struct weft_local *local, uint32_t index, uint32_t word)
{
	struct weft_rx_lane *rx = &local->rx.lane[index];
	size_t len = WEFT_SHM_CONTROL + local->lane_bytes;

	rx->index = index;
	rx->word = word;
	rx->leaving = WEFT_SHM_STATE(word) == WEFT_SHM_CLOSED;
	if (!rx->map) {
		off_t off = weft_local_lane_off(local, index);

		if (weft_shm_allocate(local->fd, off, (off_t)len) == 0)
			rx->map = weft_shm_map_file(local->fd, (size_t)off, len, MAP_POPULATE);
		if (!rx->map) {
			give_up(local, rx);
			return;
		}
		rx->tail = (_Atomic uint32_t *)(void *)(rx->map + weft_shm_tail_off(index));
		rx->ring = rx->map + WEFT_SHM_CONTROL;
	}
	rx->pos = rx->told = weft_shm_pos_first(index);
	rx->given_up = false;
	rx->in_use = true;
	local->rx.used[local->rx.used_len++] = index;
	local->stats.lanes_in++;
}

/* One lane's state has possibly changed. */
static void review(struct weft_local *local, uint32_t index)
{
	struct weft_rx_lane *rx = &local->rx.lane[index];
	uint32_t word = atomic_load_explicit(&local->inbox->state[index], memory_order_acquire);
	bool same = WEFT_SHM_CLAIM(word) == WEFT_SHM_CLAIM(rx->word);

	if (rx->in_use && !same) {
		give_up(local, rx);
		return;
	}
	switch ((enum weft_shm_state)WEFT_SHM_STATE(word)) {
	case WEFT_SHM_OPEN:
		if (!rx->in_use && !(rx->given_up && same))
			take_in(local, index, word);
		break;
	case WEFT_SHM_CLOSED:
		if (rx->given_up && same)
			free_lane(local, rx);
		else if (!rx->in_use)
			take_in(local, index, word);
		else
			rx->leaving = true;
		break;
	case WEFT_SHM_FREE:
	case WEFT_SHM_CLAIMING:
	case WEFT_SHM_REFUSED:
	case WEFT_SHM_RECLAIM:
	default:
		if (rx->in_use)
			give_up(local, rx);
		break;
	}
}

static void review_all(struct weft_local *local)
{
	uint32_t changes = atomic_load_explicit(&local->inbox->changes, memory_order_seq_cst);

	if (changes == local->rx.changes)
		return;
	local->rx.changes = changes;
	for (uint32_t i = 0; i < local->lanes; i++)
		review(local, i);
}

static void tell_tail(struct weft_rx_lane *rx)
{
	atomic_store_explicit(rx->tail, rx->pos, memory_order_release);
	rx->told = rx->pos;
}

/* Head of the next record, or 0 when there is none so far. */
static uint64_t next_record(const struct weft_local *local, const struct weft_rx_lane *rx)
{
	const uint8_t *at = rx->ring + (rx->pos & (local->lane_bytes - 1));

	/* Few frames fit into one line: fetch the second one along with the first, not after it. */
	__builtin_prefetch(at + WEFT_SHM_CACHE_LINE);
	return atomic_load_explicit((const _Atomic uint64_t *)(const void *)at,
				    memory_order_acquire);
}

/* Frames of one lane, at most `max`. */
static uint32_t drain(struct weft_local *local, struct weft_rx_lane *rx, uint32_t max,
		      weft_wire_rx_fn *fn, void *arg)
{
	const uint32_t bytes = local->lane_bytes;
	uint32_t done = 0;

	while (done < max) {
		uint32_t off = rx->pos & (bytes - 1), left = bytes - off;
		uint64_t record = next_record(local, rx);
		uint32_t len = (uint32_t)record, step;
		struct weft_wire_rx frame;

		if (!record)
			break;
		if (record != weft_shm_record(rx->pos, len))
			goto bad;
		if (len == WEFT_SHM_WRAP) {
			/* From place to place without a frame, we could be kept here for ever. */
			if (!off)
				goto bad;
			rx->pos += left;
			continue;
		}
		if (len > local->frame_max)
			goto bad;
		step = weft_shm_step(len);
		if (step > left)
			goto bad;
		frame = (struct weft_wire_rx){ .data = rx->ring + off + WEFT_SHM_RECORD,
					       .len = len };
		fn(arg, &frame);
		rx->pos += step;
		done++;
		local->stats.rx_frames++;
		local->stats.rx_bytes += len;
		/* Let the sender go on while we read. */
		if (rx->pos - rx->told >= bytes / 8)
			tell_tail(rx);
	}
	if (rx->pos != rx->told)
		tell_tail(rx);
	return done;

bad:
	give_up(local, rx);
	return done;
}

uint32_t weft_local_recv(struct weft_local *local, uint32_t budget, weft_wire_rx_fn *fn, void *arg)
{
	uint32_t done = 0, empty = 0;

	review_all(local);
	while (done < budget && empty < local->rx.used_len) {
		struct weft_rx_lane *rx;
		uint32_t got;

		if (local->rx.turn >= local->rx.used_len)
			local->rx.turn = 0;
		rx = &local->rx.lane[local->rx.used[local->rx.turn++]];
		got = drain(local, rx, WEFT_MIN(budget - done, TURN_FRAMES), fn, arg);
		if (!got && rx->in_use && rx->leaving)
			free_lane(local, rx);
		done += got;
		if (!rx->in_use)
			local->rx.turn--; /* Another one has its place in the list. */
		else
			empty = got ? 0 : empty + 1;
	}
	if (done)
		weft_local_awake(local);
	return done;
}

bool weft_local_sleep(struct weft_local *local)
{
	local->rx.sleep++;
	if (!local->rx.sleep)
		local->rx.sleep++;
	local->rx.asleep = true;
	/* See "No wake-up is lost". */
	atomic_store_explicit(&local->inbox->asleep, local->rx.sleep, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	review_all(local);
	for (uint32_t i = 0; i < local->rx.used_len; i++) {
		struct weft_rx_lane *rx = &local->rx.lane[local->rx.used[i]];

		if (rx->leaving || next_record(local, rx)) {
			weft_local_awake(local);
			return true;
		}
	}
	return false;
}

void weft_local_awake(struct weft_local *local)
{
	if (!local->rx.asleep)
		return;
	local->rx.asleep = false;
	atomic_store_explicit(&local->inbox->asleep, 0, memory_order_relaxed);
}

/* The memory of a free lane goes back to the system. */
static void reclaim(struct weft_local *local, uint32_t index, uint32_t word)
{
	struct weft_rx_lane *rx = &local->rx.lane[index];
	size_t len = WEFT_SHM_CONTROL + local->lane_bytes;

	if (!swap_state(local, index, word, WEFT_SHM_RECLAIM))
		return;
	if (rx->map) {
		munmap(rx->map, len);
		rx->map = NULL;
	}
	/* Not possible: then it stays allocated for the next claim. */
	fallocate(local->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		  weft_local_lane_off(local, index), (off_t)len);
	swap_state(local, index, WEFT_SHM_CLAIM(word) | WEFT_SHM_RECLAIM, WEFT_SHM_FREE);
}

void weft_local_reap(struct weft_local *local)
{
	for (uint32_t i = 0; i < local->lanes; i++) {
		struct weft_rx_lane *rx = &local->rx.lane[i];
		uint32_t word = atomic_load(&local->inbox->state[i]);

		if (WEFT_SHM_STATE(word) == WEFT_SHM_FREE) {
			if (rx->map && !rx->in_use)
				reclaim(local, i, word);
			continue;
		}
		if (rx->leaving && rx->in_use)
			continue;
		if (weft_shm_is_locked(local->fd, WEFT_SHM_LOCK_LANE + (off_t)i))
			continue;
		/* What it had sent is delivered, also when we have not seen the lane so far. */
		review(local, i);
		if (rx->in_use)
			rx->leaving = true;
		else
			reclaim(local, i, word);
	}
}
