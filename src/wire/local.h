/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_WIRE_LOCAL_H
#define WEFT_WIRE_LOCAL_H

/* Frames through shared memory, between processes of one user that see the same directory.
 *
 * Each process-card has an inbox: a file `<dir>/<name>` (mode 0600, in a directory of mode 0700) that it
 * creates, maps and keeps locked for its life, so that anybody can tell a dead owner from a living one,
 * also across pid namespaces. The inbox holds a table of lanes; a lane is a single-producer
 * single-consumer ring of frames that one sender claims. A sender that dies leaves a lane that its receiver
 * reclaims; a receiver that dies is noticed by its senders. Whatever stands in the memory is checked before
 * use: a bad peer may lose or garble its own frames, nothing else.
 *
 * Not for several threads at a time: the owner's lock is held around each call, also in the prepare handler
 * of pthread_atfork, so that no fork falls into an open or a connect (the child would keep its locks). */
#include "wire/wire.h"

struct weft_local; /* Our inbox, and the lanes that we have claimed in others'. */
struct weft_lane; /* One of the latter. */

struct weft_local_cfg {
	const char *dir; /* Borrowed for open; exists, mode 0700, owned by us. */
	const char *name; /* File name of our inbox, at most 63 characters. */
	uint32_t frame_max; /* Less than half of lane_bytes. */
	/* Size of each ring in our inbox, a power of two; 0: default (128 KB). Memory is taken when a
	 * sender connects. */
	uint32_t lane_bytes;
	uint32_t lanes; /* Senders at a time; more than that are told -ENOSPC. 0: default (256). */
};

/* 0; -EEXIST when a living process has an inbox of that name (one of a dead process is taken over);
 * -ENOSPC; -EPERM: the directory is not ours alone; other -errno. A name has no slash and no leading dot. */
int weft_local_open(const struct weft_local_cfg *cfg, struct weft_local **local_out);
void weft_local_close(struct weft_local *local); /* Disconnects all lanes, removes the file. */
/* In a forked child, instead of close: lets go of what the fork copied, and tells nobody. Nothing but this
 * may be called in the child, and the parent is not affected. Async-signal-safe; leaves heap memory behind. */
void weft_local_forked(struct weft_local *local);
/* Remove the inboxes of dead processes, and with them their memory. */
int weft_local_sweep(const char *dir);

/* Claim a lane in the inbox `name` of the same directory. -ENOENT: no such inbox, or its owner is dead, or it
 * belongs to another user; -ENOSPC: no free lane or no memory for one; -EPROTO: another version of weft; other
 * -errno. Use another wire then. The own inbox is as good as any. */
int weft_local_connect(struct weft_local *local, const char *name, struct weft_lane **lane_out);
/* What was sent is still received, but a sleeping receiver is not woken: flush first. */
void weft_local_disconnect(struct weft_local *local, struct weft_lane *lane);

/* Copies the frame into the lane. 0; -EAGAIN: full, try again later (what was sent is visible now, but flush
 * says whether the receiver sleeps); -EPIPE: the receiver has closed or given this lane up (one that died
 * without a word is found by is_gone); -EMSGSIZE: longer than the receiver's frame_max. Visible to the receiver
 * at the next weft_local_flush of this lane or when a quarter of the ring is used. */
int weft_local_send(struct weft_lane *lane, const void *head, uint32_t head_len,
		    const struct iovec *iov, uint32_t iov_len);
/* Make visible what was sent, but flush all the same: this one does not tell whether the receiver sleeps. */
void weft_local_publish(struct weft_lane *lane);
/* Make visible what was sent. True: the receiver sleeps, and has to be woken by other means (its wake was
 * asked for by weft_local_sleep; each sleep is reported to at least one sender, and to each at most once). */
bool weft_local_flush(struct weft_lane *lane);

/* Hand over what has arrived, at most `budget` frames, taking lanes in turn; returns their number. The frame
 * is in the sender's reach: its length is fixed, its bytes may change while they are looked at, so take
 * a copy of what is checked before it is used. `fn` may send, flush, connect and disconnect, nothing else. */
uint32_t weft_local_recv(struct weft_local *local, uint32_t budget, weft_wire_rx_fn *fn, void *arg);

/* We are going to sleep: senders are to report it from flush. True: something has arrived meanwhile, do not
 * sleep. weft_local_awake() takes it back; recv that finds something does so too. */
bool weft_local_sleep(struct weft_local *local);
void weft_local_awake(struct weft_local *local);

/* Is the owner of the inbox that this lane leads to gone? Looks at its lock: a system call, so not often. */
bool weft_local_is_gone(struct weft_lane *lane);
/* Give lanes of dead senders back, and the memory of lanes that nobody uses; a system call for each lane in
 * use: at most every second or so. What a dead sender had flushed is still received. */
void weft_local_reap(struct weft_local *local);

struct weft_local_stats {
	uint64_t tx_frames, tx_bytes, tx_full;
	uint64_t rx_frames, rx_bytes;
	uint64_t rx_bad; /* Lengths or offsets that make no sense; the lane is given up. */
	uint32_t lanes_in, lanes_out;
};

void weft_local_stats(const struct weft_local *local, struct weft_local_stats *stats_out);

#endif
