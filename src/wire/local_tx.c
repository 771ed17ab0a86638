/* SPDX-License-Identifier: BSD-2-Clause */
/* The sender's side of a lane: claim, write, flush. The reasons stand in local.c. */
#define _GNU_SOURCE
#include "wire/local_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* So far behind a frame, lines are taken for those that follow. Nearer ones the receiver fetches when it looks. */
#define AHEAD_BYTES 256u

/* Copies what the inbox says about itself and checks it against the file. */
static int check_inbox(int fd, const struct stat *st, struct weft_shm_inbox *copy_out,
		       struct weft_shm_layout *layout_out)
{
	struct weft_shm_layout layout;
	struct weft_shm_inbox copy;
	ssize_t len = pread(fd, &copy, sizeof(copy), 0);

	if (len < 0)
		return -errno;
	if (len != sizeof(copy))
		return -ENOENT;
	if (copy.magic != WEFT_SHM_MAGIC || copy.version != WEFT_SHM_VERSION)
		return -EPROTO;
	if (weft_shm_layout(copy.frame_max, copy.lanes, copy.lane_bytes, &layout) != 0 ||
	    copy.lane_off != layout.lane_off || copy.lane_stride != layout.lane_stride ||
	    st->st_size != layout.file_bytes)
		return -EPROTO;
	*copy_out = copy;
	*layout_out = layout;
	return 0;
}

/* Lock, then claim: 0, -EAGAIN when it is somebody else's. */
static int claim(struct weft_lane *lane, int fd, uint32_t index)
{
	_Atomic uint32_t *state = &lane->inbox->state[index];
	uint32_t word = atomic_load_explicit(state, memory_order_relaxed);
	uint32_t claimed = WEFT_SHM_CLAIM(word + WEFT_SHM_CLAIM_STEP) | WEFT_SHM_CLAIMING;
	int err;

	if (WEFT_SHM_STATE(word) != WEFT_SHM_FREE)
		return -EAGAIN;
	err = weft_shm_lock_byte(fd, WEFT_SHM_LOCK_LANE + (off_t)index, F_WRLCK);
	if (err)
		return err;
	if (!atomic_compare_exchange_strong(state, &word, claimed)) {
		weft_shm_lock_byte(fd, WEFT_SHM_LOCK_LANE + (off_t)index, F_UNLCK);
		return -EAGAIN;
	}
	lane->state = state;
	lane->word = claimed;
	return 0;
}

/* A record head, or 0 where one may come. */
static void put_head(const struct weft_lane *lane, uint32_t pos, uint64_t record,
		     memory_order order)
{
	uint8_t *at = lane->ring + (pos & (lane->ring_bytes - 1));

	atomic_store_explicit((_Atomic uint64_t *)(void *)at, record, order);
}

/* Memory for the claimed lane. */
static int equip(struct weft_lane *lane, int fd, uint32_t index, off_t off)
{
	size_t len = WEFT_SHM_CONTROL + lane->ring_bytes;
	int err = weft_shm_allocate(fd, off, (off_t)len);

	if (err)
		return err;
	lane->map = weft_shm_map_file(fd, (size_t)off, len, MAP_POPULATE);
	if (!lane->map) {
		err = -errno;
		fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, (off_t)len);
		return err;
	}
	lane->map_bytes = len;
	lane->tail = (_Atomic uint32_t *)(void *)(lane->map + weft_shm_tail_off(index));
	lane->ring = lane->map + WEFT_SHM_CONTROL;
	lane->pos = lane->tail_seen = weft_shm_pos_first(index);
	put_head(lane, lane->pos, 0, memory_order_relaxed);
	atomic_store_explicit(lane->tail, lane->pos, memory_order_relaxed);
	return 0;
}

static void set_state(struct weft_lane *lane, enum weft_shm_state to)
{
	uint32_t word = WEFT_SHM_CLAIM(lane->word) | to;

	atomic_store(lane->state, word);
	lane->word = word;
}

static int open_lane(struct weft_lane *lane, int fd, uint32_t lanes,
		     const struct weft_shm_layout *layout)
{
	uint32_t index;
	int err;

	for (index = 0; index < lanes; index++) {
		err = claim(lane, fd, index);
		if (err != -EAGAIN)
			break;
	}
	if (index == lanes)
		return -ENOSPC;
	if (err)
		return err;
	err = equip(lane, fd, index, (off_t)layout->lane_off + (off_t)index * layout->lane_stride);
	if (err) {
		set_state(lane, WEFT_SHM_FREE);
		return err;
	}
	set_state(lane, WEFT_SHM_OPEN);
	atomic_fetch_add(&lane->inbox->changes, 1);
	return 0;
}

int weft_local_connect(struct weft_local *local, const char *name, struct weft_lane **lane_out)
{
	struct weft_shm_layout layout = { 0 };
	struct weft_shm_inbox copy = { 0 };
	struct weft_lane *lane;
	struct stat st;
	int fd, err;

	if (!weft_shm_is_name(name))
		return -EINVAL;
	fd = weft_shm_open_file(local->dir_fd, name, 0, &st);
	if (fd < 0)
		return fd == -EACCES || fd == -ELOOP ? -ENOENT : fd;
	/* Without an owner it may be anything, also a file that is about to be replaced by the real one. */
	err = weft_shm_is_locked(fd, WEFT_SHM_LOCK_OWNER) ? check_inbox(fd, &st, &copy, &layout)
							  : -ENOENT;
	if (err)
		goto err_fd;
	lane = calloc(1, sizeof(*lane));
	if (!lane) {
		err = -ENOMEM;
		goto err_fd;
	}
	lane->ring_bytes = copy.lane_bytes;
	lane->frame_max = copy.frame_max;
	lane->inbox_bytes = layout.inbox_bytes;
	lane->inbox = weft_shm_map_file(fd, 0, lane->inbox_bytes, MAP_POPULATE);
	if (!lane->inbox) {
		err = -errno;
		goto err_lane;
	}
	err = open_lane(lane, fd, copy.lanes, &layout);
	if (err)
		goto err_map;
	lane->local = local;
	lane->dev = st.st_dev;
	lane->ino = st.st_ino;
	memcpy(lane->name, name, strlen(name));
	lane->next = local->tx.lanes;
	local->tx.lanes = lane;
	local->stats.lanes_out++;
	close(fd);
	*lane_out = lane;
	return 0;

err_map:
	munmap(lane->inbox, lane->inbox_bytes);
err_lane:
	free(lane);
err_fd:
	close(fd);
	return err;
}

void weft_local_disconnect(struct weft_local *local, struct weft_lane *lane)
{
	struct weft_lane **at = &local->tx.lanes;
	uint32_t word = atomic_load(lane->state);

	while (*at != lane)
		at = &(*at)->next;
	*at = lane->next;
	local->stats.lanes_out--;
	weft_local_publish(lane);
	/* It may have become REFUSED, or nonsense: then it is not ours to touch. */
	while (WEFT_SHM_CLAIM(word) == WEFT_SHM_CLAIM(lane->word) &&
	       (WEFT_SHM_STATE(word) == WEFT_SHM_OPEN || WEFT_SHM_STATE(word) == WEFT_SHM_REFUSED))
		if (atomic_compare_exchange_weak(lane->state, &word,
						 WEFT_SHM_CLAIM(word) | WEFT_SHM_CLOSED))
			break;
	atomic_fetch_add(&lane->inbox->changes, 1);
	munmap(lane->map, lane->map_bytes);
	munmap(lane->inbox, lane->inbox_bytes);
	free(lane);
}

/* Is there room up to `end`, by what the receiver says now? 0, -EAGAIN, -EPIPE. */
static int look_for_room(struct weft_lane *lane, uint32_t end)
{
	uint32_t tail = atomic_load_explicit(lane->tail, memory_order_acquire);
	uint32_t used = lane->pos - tail;

	/* It moves only forwards, by whole records, and not beyond us. */
	if (used > lane->pos - lane->tail_seen || used % WEFT_SHM_RECORD) {
		lane->broken = true;
		return -EPIPE;
	}
	lane->tail_seen = tail;
	if (end - tail <= lane->ring_bytes)
		return 0;
	weft_local_publish(lane);
	lane->local->stats.tx_full++;
	return -EAGAIN;
}

static bool is_closed(struct weft_lane *lane)
{
	return lane->broken ||
	       atomic_load_explicit(&lane->inbox->closed, memory_order_relaxed) != 0 ||
	       atomic_load_explicit(lane->state, memory_order_relaxed) != lane->word;
}

/* The receiver read these lines in the last turn, and a write waits until they are taken from it: do that before
 * they are needed. (Measured, 64 bytes, between two cores: 16 for a doorbell 4.4 instead of 2.9 M/s, single ones
 * 2.6 instead of 2.1 M/s.) */
static void take_lines(const struct weft_lane *lane, uint32_t from, uint32_t to)
{
	from &= ~(WEFT_SHM_CACHE_LINE - 1);
	to &= ~(WEFT_SHM_CACHE_LINE - 1);
	for (; from != to; from += WEFT_SHM_CACHE_LINE) {
		const uint8_t *at = lane->ring + (from & (lane->ring_bytes - 1));

#if defined(__x86_64__)
		/* The builtin is a plain prefetch where the compiler may not assume this instruction. */
		__asm__ volatile("prefetchw %0" : : "m"(*at));
#else
		__builtin_prefetch(at, 1);
#endif
	}
}

/* The record there is complete, but for its head. */
static void append(struct weft_lane *lane, uint32_t pos, uint32_t len)
{
	uint64_t record = weft_shm_record(pos, len);

	if (lane->held) {
		put_head(lane, pos, record, memory_order_relaxed);
	} else {
		lane->held = record;
		lane->held_pos = pos;
	}
}

int weft_local_send(struct weft_lane *lane, const void *head, uint32_t head_len,
		    const struct iovec *iov, uint32_t iov_len)
{
	uint32_t left = lane->ring_bytes - (lane->pos & (lane->ring_bytes - 1));
	uint32_t step, pos, next;
	size_t len = head_len;
	uint8_t *to;
	int err;

	for (uint32_t i = 0; i < iov_len; i++)
		len += iov[i].iov_len;
	if (len > lane->frame_max)
		return -EMSGSIZE;
	if (is_closed(lane))
		return -EPIPE;
	step = weft_shm_step((uint32_t)len);
	pos = step <= left ? lane->pos : lane->pos + left;
	next = pos + step;
	if (next + WEFT_SHM_RECORD - lane->tail_seen > lane->ring_bytes) {
		err = look_for_room(lane, next + WEFT_SHM_RECORD);
		if (err)
			return err;
	}
	/* See "A record appears". */
	put_head(lane, next, 0, memory_order_relaxed);
	to = lane->ring + (pos & (lane->ring_bytes - 1)) + WEFT_SHM_RECORD;
	memcpy(to, head, head_len);
	to += head_len;
	for (uint32_t i = 0; i < iov_len; i++) {
		memcpy(to, iov[i].iov_base, iov[i].iov_len);
		to += iov[i].iov_len;
	}
	if (pos == lane->pos) {
		append(lane, pos, (uint32_t)len);
	} else {
		put_head(lane, pos, weft_shm_record(pos, (uint32_t)len), memory_order_relaxed);
		append(lane, lane->pos, WEFT_SHM_WRAP);
	}
	take_lines(lane, next + AHEAD_BYTES - WEFT_MIN(step, AHEAD_BYTES), next + AHEAD_BYTES);
	lane->pos = next;
	lane->unflushed = true;
	lane->local->stats.tx_frames++;
	lane->local->stats.tx_bytes += len;
	if (lane->pos - lane->held_pos >= lane->ring_bytes / 4)
		weft_local_publish(lane);
	return 0;
}

void weft_local_publish(struct weft_lane *lane)
{
	if (!lane->held)
		return;
	put_head(lane, lane->held_pos, lane->held, memory_order_release);
	lane->held = 0;
}

bool weft_local_flush(struct weft_lane *lane)
{
	uint32_t asleep;

	if (!lane->unflushed)
		return false;
	lane->unflushed = false;
	weft_local_publish(lane);
	/* See "No wake-up is lost". */
	atomic_thread_fence(memory_order_seq_cst);
	asleep = atomic_load_explicit(&lane->inbox->asleep, memory_order_relaxed);
	if (!asleep || asleep == lane->woken)
		return false;
	lane->woken = asleep;
	return true;
}

bool weft_local_is_gone(struct weft_lane *lane)
{
	struct stat st;
	bool gone;
	int fd;

	if (is_closed(lane))
		return true;
	fd = weft_shm_open_file(lane->local->dir_fd, lane->name, 0, &st);
	if (fd < 0) /* Otherwise (no descriptor left, for example) we do not know. */
		return fd == -ENOENT || fd == -EACCES || fd == -ELOOP;
	gone = st.st_dev != lane->dev || st.st_ino != lane->ino ||
	       !weft_shm_is_locked(fd, WEFT_SHM_LOCK_OWNER);
	close(fd);
	return gone;
}
