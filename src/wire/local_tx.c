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

/* Copies what the inbox says about itself and checks it against the file. */
static int check_inbox(struct weft_lane *lane, const struct stat *st, uint32_t *lanes_out,
		       uint32_t *lane_off_out, uint32_t *lane_stride_out)
{
	const volatile struct weft_shm_inbox *inbox = lane->inbox;
	uint32_t lanes = inbox->lanes, bytes = inbox->lane_bytes, frame_max = inbox->frame_max;
	uint32_t off = inbox->lane_off, stride = inbox->lane_stride;
	size_t page = weft_shm_page_bytes();

	if (inbox->magic != WEFT_SHM_MAGIC || inbox->version != WEFT_SHM_VERSION)
		return -EPROTO;
	if (!lanes || lanes > WEFT_SHM_LANES_MAX || bytes < WEFT_SHM_LANE_BYTES_MIN ||
	    bytes > WEFT_SHM_LANE_BYTES_MAX || (bytes & (bytes - 1)) || !frame_max ||
	    frame_max > bytes / 2 - WEFT_SHM_RECORD)
		return -EPROTO;
	if (off != weft_shm_round_up(sizeof(*inbox) + lanes * sizeof(uint32_t), page) ||
	    stride != weft_shm_round_up(WEFT_SHM_CONTROL + bytes, page) ||
	    st->st_size != (off_t)off + (off_t)lanes * stride)
		return -EPROTO;
	lane->ring_bytes = bytes;
	lane->frame_max = frame_max;
	*lanes_out = lanes;
	*lane_off_out = off;
	*lane_stride_out = stride;
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
	lane->head = (_Atomic uint32_t *)(void *)(lane->map + weft_shm_head_off(index));
	lane->tail = (_Atomic uint32_t *)(void *)(lane->map + weft_shm_tail_off(index));
	lane->ring = lane->map + WEFT_SHM_CONTROL;
	lane->pos = lane->told = lane->tail_seen = WEFT_SHM_POS_FIRST;
	atomic_store_explicit(lane->head, lane->pos, memory_order_relaxed);
	atomic_store_explicit(lane->tail, lane->pos, memory_order_relaxed);
	return 0;
}

static void set_state(struct weft_lane *lane, enum weft_shm_state to)
{
	uint32_t word = WEFT_SHM_CLAIM(lane->word) | to;

	atomic_store(lane->state, word);
	lane->word = word;
}

static int open_lane(struct weft_lane *lane, int fd, const struct stat *st)
{
	uint32_t lanes, off, stride, index;
	int err;

	err = check_inbox(lane, st, &lanes, &off, &stride);
	if (err)
		return err;
	for (index = 0; index < lanes; index++) {
		err = claim(lane, fd, index);
		if (err != -EAGAIN)
			break;
	}
	if (err)
		return err == -EAGAIN ? -ENOSPC : err;
	err = equip(lane, fd, index, (off_t)off + (off_t)index * stride);
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
	struct weft_lane *lane;
	struct stat st;
	int fd, err;

	if (!weft_shm_is_name(name))
		return -EINVAL;
	fd = weft_shm_open_file(local->dir_fd, name, 0, &st);
	if (fd < 0)
		return fd == -EACCES || fd == -ELOOP ? -ENOENT : fd;
	/* An empty file: its owner is just about to put the real one in its place. */
	err = -ENOENT;
	if (st.st_size < (off_t)sizeof(*lane->inbox) ||
	    !weft_shm_is_locked(fd, WEFT_SHM_LOCK_OWNER))
		goto err_fd;
	lane = calloc(1, sizeof(*lane));
	if (!lane) {
		err = -ENOMEM;
		goto err_fd;
	}
	/* How long the table is stands in it: map what the longest needs. */
	lane->inbox_bytes = WEFT_MIN(
		(size_t)st.st_size,
		weft_shm_round_up(sizeof(*lane->inbox) + WEFT_SHM_LANES_MAX * sizeof(uint32_t),
				  weft_shm_page_bytes()));
	lane->inbox = weft_shm_map_file(fd, 0, lane->inbox_bytes, 0);
	if (!lane->inbox) {
		err = -errno;
		goto err_lane;
	}
	err = open_lane(lane, fd, &st);
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
	atomic_store_explicit(lane->head, lane->pos, memory_order_release);
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

static void publish(struct weft_lane *lane)
{
	atomic_store_explicit(lane->head, lane->pos, memory_order_release);
	lane->told = lane->pos;
}

/* Is there room, by what the receiver says now? 0, -EAGAIN, -EPIPE. */
static int look_for_room(struct weft_lane *lane, uint32_t need)
{
	uint32_t tail = atomic_load_explicit(lane->tail, memory_order_acquire);
	uint32_t used = lane->pos - tail;

	/* It moves only forwards, by whole records, and not beyond us. */
	if (used > lane->pos - lane->tail_seen || used % WEFT_SHM_RECORD) {
		lane->broken = true;
		return -EPIPE;
	}
	lane->tail_seen = tail;
	if (lane->ring_bytes - used >= need)
		return 0;
	publish(lane);
	lane->local->stats.tx_full++;
	return -EAGAIN;
}

static bool is_closed(struct weft_lane *lane)
{
	return lane->broken ||
	       atomic_load_explicit(&lane->inbox->closed, memory_order_relaxed) != 0 ||
	       atomic_load_explicit(lane->state, memory_order_relaxed) != lane->word;
}

static void put_record(uint8_t *ring, uint32_t off, uint64_t record)
{
	atomic_store_explicit((_Atomic uint64_t *)(void *)(ring + off), record,
			      memory_order_relaxed);
}

int weft_local_send(struct weft_lane *lane, const void *head, uint32_t head_len,
		    const struct iovec *iov, uint32_t iov_len)
{
	uint32_t off = lane->pos & (lane->ring_bytes - 1), left = lane->ring_bytes - off;
	uint32_t need, step;
	size_t len = head_len;
	uint8_t *to;
	int err;

	for (uint32_t i = 0; i < iov_len; i++)
		len += iov[i].iov_len;
	if (len > lane->frame_max)
		return -EMSGSIZE;
	if (is_closed(lane))
		return -EPIPE;
	step = WEFT_SHM_RECORD + (uint32_t)weft_shm_round_up(len, WEFT_SHM_RECORD);
	need = step <= left ? step : left + step;
	if (lane->ring_bytes - (lane->pos - lane->tail_seen) < need) {
		err = look_for_room(lane, need);
		if (err)
			return err;
	}
	if (step > left) {
		put_record(lane->ring, off, weft_shm_record(lane->pos, WEFT_SHM_WRAP));
		lane->pos += left;
		off = 0;
	}
	put_record(lane->ring, off, weft_shm_record(lane->pos, (uint32_t)len));
	to = lane->ring + off + WEFT_SHM_RECORD;
	memcpy(to, head, head_len);
	to += head_len;
	for (uint32_t i = 0; i < iov_len; i++) {
		memcpy(to, iov[i].iov_base, iov[i].iov_len);
		to += iov[i].iov_len;
	}
	lane->pos += step;
	lane->unflushed = true;
	lane->local->stats.tx_frames++;
	lane->local->stats.tx_bytes += len;
	if (lane->pos - lane->told >= lane->ring_bytes / 4)
		publish(lane);
	return 0;
}

bool weft_local_flush(struct weft_lane *lane)
{
	uint32_t asleep;

	if (!lane->unflushed)
		return false;
	lane->unflushed = false;
	lane->told = lane->pos;
	/* See "No wake-up is lost". */
	atomic_store_explicit(lane->head, lane->pos, memory_order_seq_cst);
	asleep = atomic_load_explicit(&lane->inbox->asleep, memory_order_seq_cst);
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
