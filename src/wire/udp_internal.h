/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_WIRE_UDP_INTERNAL_H
#define WEFT_WIRE_UDP_INTERNAL_H

/* What udp.c (sockets), udp_tx.c and udp_rx.c share. To be included first. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* struct mmsghdr */
#endif
#include "wire/udp.h"

#include <sys/socket.h>
#include <time.h>

/* Younger than the headers of some systems that the kernels of have them. */
#ifndef SOL_UDP
#define SOL_UDP 17
#endif
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define UDP_PATHS_MAX 256u
#define UDP_TWIN      UDP_PATHS_MAX /* Place of the socket that is connected for path 0. */
#define UDP_SOCKETS   (UDP_PATHS_MAX + 1)

#define UDP_STREAK   16u /* Messages in a row to one destination that are worth a connect. */
#define UDP_IDENTIFY 32u /* One message of path 0 in so many shows its port. */

/* Longest UDP payload. IPv6 would carry 40 bytes more than is said here, but not everything on the way, nor
 * every kernel with GSO, counts alike. */
#define UDP_PAYLOAD_MAX_V4 (65535u - 20u - 8u)
#define UDP_PAYLOAD_MAX_V6 (65535u - 40u - 8u)

#define UDP_TX_FRAMES 128u /* Of one batch; a frame in parts takes a place for each. */
#define UDP_TX_SEGS   64u /* Segments of one send that every kernel with GSO takes. */

#define UDP_TOO_LONG_MAX 8u /* Destinations remembered that refused a length. */

#define UDP_RX_VEC_MIN   1u
#define UDP_RX_VEC_GRO   8u /* Longest receive vector with GRO (64 KiB each) ... */
#define UDP_RX_VEC_PLAIN 32u /* ... and without (frame_max each). */

/* A message is what one sendmsg() takes: a frame, or several of one length (the last may be shorter) to one
 * destination over one path. Its frames, and their pieces, follow each other in the batch. */
struct udp_tx_msg {
	union weft_sockaddr to;
	uint32_t path; /* With a socket of its own; stand-ins are 0. */
	uint32_t socket; /* The path, or UDP_TWIN. */
	uint32_t first, frames; /* In the batch. */
	uint32_t seg_len; /* Length of the first frame, and of all but the last. */
	uint32_t bytes;
	bool ended; /* By a shorter frame. */
	bool parts; /* The latest frame is in parts, or one of its parts. */
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(uint16_t))];
	} ctl; /* UDP_SEGMENT, complete but for its value. */
};

struct udp_tx {
	struct udp_tx_msg msg[UDP_TX_FRAMES];
	struct mmsghdr hdr[UDP_TX_FRAMES]; /* One for each message. */
	struct mmsghdr plain[UDP_TX_FRAMES]; /* One for each frame of a message that GSO refused. */
	struct iovec iov[UDP_TX_FRAMES * (2 + WEFT_WIRE_IOV_MAX)];
	uint32_t
		iov_at[UDP_TX_FRAMES + 1]; /* First piece of each frame, and where the next goes. */
	uint32_t len[UDP_TX_FRAMES];
	uint8_t head[UDP_TX_FRAMES *
		     WEFT_WIRE_HEAD_MAX]; /* Heads and tails, one right behind the other. */
	uint32_t head_used;
	uint32_t frames, msgs;
	weft_ns wait_until; /* Of this flush; 0: it has not waited yet. */
	union weft_sockaddr too_long[UDP_TOO_LONG_MAX];
	uint32_t too_long_len;
	bool stalled; /* The last wait was in vain, and nothing was sent since. */
};

struct udp_rx_slot {
	union weft_sockaddr from;
	struct iovec iov;
	union {
		struct cmsghdr align;
		char bytes[2 * CMSG_SPACE(sizeof(int))];
	} ctl; /* UDP_GRO, and IP_TOS or IPV6_TCLASS. */
};

struct udp_rx {
	struct mmsghdr hdr[UDP_RX_VEC_PLAIN];
	struct udp_rx_slot slot[UDP_RX_VEC_PLAIN];
	uint8_t *buf; /* owns; the slots' bytes */
	uint32_t vec, vec_max; /* Length of the receive vector now, and at most. */
	uint32_t per_dgram; /* Frames of the last datagram: what to expect of the next. */
	uint32_t empty; /* Receives that found nothing. */
	uint32_t calm; /* Datagrams in a row that were nothing special. */
	uint32_t found; /* Single datagrams received since a receive found nothing. */
};

#define UDP_PARTIAL 64u /* Frames of which some parts are there and others not. */
/* A part that comes so much later than the one before is not of that frame: in the fastest stream ids come round in
 * more than an hour, and then what was left of the old one would be taken for a part of the new one. */
#define UDP_PARTIAL_NS WEFT_S(10)

struct udp_partial {
	union weft_sockaddr from;
	weft_ns used_at; /* When its latest part came; 0: free. */
	uint64_t got; /* Bit per part. */
	uint32_t id;
	uint32_t len, unit,
		count; /* Bytes of the frame, of each part but the last; number of parts. */
	bool ce;
};

struct udp_parts {
	struct udp_partial partial[UDP_PARTIAL];
	uint8_t *
		mem; /* owns; frame_max bytes for each, never touched where all parts come side by side */
	uint32_t latest; /* Most likely the next part belongs to this one. */
	uint32_t tx_id; /* Of the next frame that is sent in parts. */
};

/* Whom a path is busy with. */
struct udp_streak {
	union weft_sockaddr to;
	uint32_t len; /* Messages in a row. */
	bool connected; /* Its socket (of path 0: the twin) is connected to `to`. */
};

struct weft_udp {
	struct weft_udp_cfg cfg;
	struct weft_udp_stats stats;
	int fd[UDP_SOCKETS]; /* owns; -1: not open yet, fd[0]: that one stands in. */
	struct udp_streak streak[UDP_PATHS_MAX];
	int paths_ep; /* owns; epoll over the sockets of paths > 0, for their errors; -1: none. */
	int fd_max; /* Paths get no descriptor above. */
	bool has_errors; /* Some bit below is set. */
	uint64_t errors[(UDP_SOCKETS + 63) /
			64]; /* By socket: whether its error queue has to be read. */
	struct udp_tx tx;
	struct udp_rx rx;
	struct udp_parts parts;
};

/* Length of the address of our family. */
static inline socklen_t udp_addr_len(const struct weft_udp *udp)
{
	return udp->cfg.addr.sa.sa_family == AF_INET ? sizeof(struct sockaddr_in)
						     : sizeof(struct sockaddr_in6);
}

static inline weft_ns udp_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return WEFT_S(ts.tv_sec) + (weft_ns)ts.tv_nsec;
}

/* This socket reported an error: its error queue is worth a look. */
static inline void udp_set_error(struct weft_udp *udp, uint32_t socket)
{
	udp->errors[socket / 64] |= UINT64_C(1) << (socket % 64);
	udp->has_errors = true;
}

/* Open a socket that only sends (a path's, or the twin), or let path 0 stand in for it. */
void udp_open_path(struct weft_udp *udp, uint32_t socket);
/* The path's streak is long enough for a connected socket: get one. False: not to be had. */
bool udp_connect(struct weft_udp *udp, uint32_t path);

int udp_parts_open(struct weft_udp *udp);
void udp_parts_close(struct weft_udp *udp);
/* `left` bytes of a datagram begin with a part. Its segments have `seg_len` bytes, the last one what is left; 0: that
 * is not known. Returns how many bytes it took, at least one. rx->data is then a frame that is complete with these
 * (its `from` and `ce` are read, the rest is set), or NULL. */
uint32_t udp_parts_take(struct weft_udp *udp, const uint8_t *data, uint32_t left, uint32_t seg_len,
			struct weft_wire_rx *rx);

#endif
