/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_WIRE_LOCAL_SHM_H
#define WEFT_WIRE_LOCAL_SHM_H

/* What stands in an inbox file: the head page(s), then from lane_off on the lanes, lane_stride apart. Only local.c and its
 * test use this. Two versions of weft that meet on one host must agree on it: change WEFT_SHM_VERSION.
 *
 * A lane is a page with the receiver's index (`tail`) and then `lane_bytes` of ring. Places in the ring are
 * named by positions, which count bytes and wrap at 2^32. A record is 8-byte aligned and in one piece: its head,
 * the frame, up to 7 bytes of nothing. Where a record does not fit before the end of the ring, a record head
 * with the length WEFT_SHM_WRAP says that it stands at the start.
 *
 * The receiver polls the place of the next record head; there is no index of what was written, since that would
 * be a second cache line to fetch for each frame. See "A record appears" in local.c. */
#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define WEFT_SHM_MAGIC   0x74666577u /* "weft" */
#define WEFT_SHM_VERSION 2u

/* Locks (open file description, one byte each), see "Who is alive" in local.c. */
#define WEFT_SHM_LOCK_OWNER 0
#define WEFT_SHM_LOCK_TAKE  1
#define WEFT_SHM_LOCK_LANE  2 /* and the lane's number */

/* Two lines, because some processors fetch lines in pairs. */
#define WEFT_SHM_LINE 128

#define WEFT_SHM_CACHE_LINE 64u

#define WEFT_SHM_CONTROL 4096u /* In front of each ring. */

/* A lane's state word: one of these, and above it the number of the claim, which makes each use of
 * the lane look different to a compare-and-swap.
 *
 * sender:   FREE -> CLAIMING -> OPEN -> CLOSED, CLAIMING -> FREE when the memory is not to be had,
 *           REFUSED -> CLOSED
 * receiver: OPEN -> REFUSED; CLAIMING, OPEN, REFUSED, CLOSED -> FREE when it is drained and its sender has left
 *           or is dead; FREE -> RECLAIM -> FREE while the memory is given back */
enum weft_shm_state {
	WEFT_SHM_FREE,
	WEFT_SHM_CLAIMING,
	WEFT_SHM_OPEN,
	WEFT_SHM_CLOSED,
	WEFT_SHM_REFUSED,
	WEFT_SHM_RECLAIM,
};

#define WEFT_SHM_STATE(word) ((word)&7u)
#define WEFT_SHM_CLAIM(word) ((word) & ~7u)
#define WEFT_SHM_CLAIM_STEP  8u

struct weft_shm_inbox {
	/* Constant once the file has its name. */
	uint32_t magic, version;
	uint32_t frame_max;
	uint32_t lanes;
	uint32_t lane_bytes;
	uint32_t lane_off; /* Of lane 0 in the file. */
	uint32_t lane_stride;

	/* Senders add one when they have opened or closed a lane. */
	alignas(WEFT_SHM_LINE) _Atomic uint32_t changes;

	/* The receiver's number of this sleep, 0 while it is awake. */
	alignas(WEFT_SHM_LINE) _Atomic uint32_t asleep;
	_Atomic uint32_t closed; /* Not 0: nobody will read any more. */

	alignas(WEFT_SHM_LINE) _Atomic uint32_t state[]; /* Of each lane. */
};

/* The receiver polls all lanes in turn. Pages are apart by the size that makes the same place in them compete for
 * the same cache sets, so each lane uses another place of its page, and starts at another place of its ring. */
static inline size_t weft_shm_tail_off(uint32_t lane)
{
	return lane % 32 * WEFT_SHM_LINE;
}

/* Soon before positions wrap, so that every lane passes there. */
static inline uint32_t weft_shm_pos_first(uint32_t lane)
{
	return 0u - 32768u + lane % 32 * WEFT_SHM_LINE;
}

/* A record's head: length below, and above it a word that belongs to this place and to this turn of the
 * ring, which finds most garbage before its length is believed. Never 0: positions are even, MAGIC is odd. */
#define WEFT_SHM_RECORD 8u
#define WEFT_SHM_WRAP   UINT32_MAX

static inline uint64_t weft_shm_record(uint32_t pos, uint32_t len)
{
	return (uint64_t)(pos ^ WEFT_SHM_MAGIC) << 32 | len;
}

/* From one record to the next. */
static inline uint32_t weft_shm_step(uint32_t len)
{
	return (len + 2 * WEFT_SHM_RECORD - 1) & ~(WEFT_SHM_RECORD - 1);
}

#endif
