/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_WIRE_LOCAL_H
#define WEFT_WIRE_LOCAL_H

/* Frames through shared memory, between processes of one user that see the same directory.
 *
 * Each process-card has an inbox: a file `<dir>/<name>` (mode 0600, in a directory of mode 0700) that it
 * creates, maps and keeps an exclusive flock on for its life, so that anybody can tell a dead owner from a
 * living one, also across pid namespaces. The inbox holds a table of lanes; a lane is a single-producer
 * single-consumer ring of frames that one sender claims. A sender that dies leaves a lane that its receiver
 * reclaims; a receiver that dies is noticed by its senders. Whatever stands in the memory is checked before
 * use: a bad peer may lose or garble its own frames, nothing else. */
#include "wire/wire.h"

struct weft_local; /* Our inbox, and the lanes that we have claimed in others'. */
struct weft_lane; /* One of the latter. */

struct weft_local_cfg {
	const char *dir; /* Borrowed for open; exists, mode 0700, owned by us. */
	const char *name; /* File name of our inbox, at most 63 characters. */
	uint32_t frame_max;
	uint32_t lane_bytes; /* Size of each ring in our inbox, a power of two; 0: default. */
	uint32_t lanes; /* Senders at a time; more than that are told -ENOSPC. 0: default (256). */
};

/* 0; -EEXIST when a living process has an inbox of that name (one of a dead process is taken over);
 * -ENOSPC, other -errno. */
int weft_local_open(const struct weft_local_cfg *cfg, struct weft_local **local_out);
void weft_local_close(struct weft_local *local);

/* Claim a lane in the inbox `name` of the same directory. -ENOENT: no such inbox, or its owner is dead, or it
 * belongs to another user; -ENOSPC: no free lane or no memory for one. Use another wire then. */
int weft_local_connect(struct weft_local *local, const char *name, struct weft_lane **lane_out);
void weft_local_disconnect(struct weft_local *local, struct weft_lane *lane);

/* Copies the frame into the lane. 0; -EAGAIN: full, try again later; -EPIPE: the receiver is gone (also found
 * by is_gone). Visible to the receiver at the next weft_local_flush of this lane or when a quarter of
 * the ring is used. */
int weft_local_send(struct weft_lane *lane, const void *head, uint32_t head_len,
		    const struct iovec *iov, uint32_t iov_len);
/* Make visible what was sent. True: the receiver sleeps, and has to be woken by other means (its wake was
 * asked for by weft_local_sleep; each sleep is reported to at least one sender). */
bool weft_local_flush(struct weft_lane *lane);

/* Hand over what has arrived, at most about `budget` frames, taking lanes in turn; returns their number. */
uint32_t weft_local_recv(struct weft_local *local, uint32_t budget, weft_wire_rx_fn *fn, void *arg);

/* We are going to sleep: senders are to report it from flush. True: something has arrived meanwhile, do not
 * sleep. weft_local_awake() takes it back; recv that finds something does so too. */
bool weft_local_sleep(struct weft_local *local);
void weft_local_awake(struct weft_local *local);

/* Is the owner of the inbox that this lane leads to gone? Looks at its lock: a system call, so not often. */
bool weft_local_is_gone(struct weft_lane *lane);
/* Give lanes of dead senders back; a system call for each lane in use: at most every second or so. */
void weft_local_reap(struct weft_local *local);

struct weft_local_stats {
	uint64_t tx_frames, tx_bytes, tx_full;
	uint64_t rx_frames, rx_bytes;
	uint64_t rx_bad; /* Lengths or offsets that make no sense; the lane is given up. */
	uint32_t lanes_in, lanes_out;
};

void weft_local_stats(const struct weft_local *local, struct weft_local_stats *stats_out);

#endif
