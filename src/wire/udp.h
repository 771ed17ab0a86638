/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_WIRE_UDP_H
#define WEFT_WIRE_UDP_H

/* Frames over kernel UDP, IPv4 or IPv6.
 *
 * One socket is bound to the address and port that name this process (its identity: the kernel keeps it
 * unique) and receives everything. Paths are source ports: path 0 is the bound socket, path p > 0 a socket
 * of its own on the same address with a port of the kernel's choice, opened when the path is first used;
 * where none can be opened (descriptor limit) path 0 stands in. Frames for one destination over one path
 * that follow each other leave as one GSO send where the kernel has it, else as a sendmmsg vector. A frame may be
 * longer than a datagram: then it travels as parts (wire.h), which share such a send as well.
 *
 * A destination that a path is busy with gets a connected socket, which spares the kernel a look-up per
 * datagram. Path 0 cannot be connected, because it receives from everybody: most of its frames then come from a
 * port of the kernel's choice as well, but one in UDP_IDENTIFY still from the bound one. */
#include "wire/wire.h"

#include <netinet/in.h>

union weft_sockaddr {
	struct sockaddr sa;
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;
};

/* The same host and port. */
bool weft_udp_is_same(const union weft_sockaddr *a, const union weft_sockaddr *b);

struct weft_udp;

struct weft_udp_cfg {
	union weft_sockaddr
		addr; /* Own address with the port to bind; sin6_scope_id where needed. */
	uint32_t paths; /* 1 to 256. */
	uint32_t frame_max; /* Longest frame that will be sent or received, head included. */
	uint32_t rcvbuf, sndbuf; /* Bytes to ask of the kernel; what it grants is read back. */
	bool gso, gro; /* May be used if the kernel has them. */
	bool joined; /* Frames of one sender may be handed over as one, end to end: it shows where they part. */
};

/* 0; -EADDRINUSE when another socket has the port, -EADDRNOTAVAIL when the address is not of this host,
 * other -errno. */
int weft_udp_open(const struct weft_udp_cfg *cfg, struct weft_udp **udp_out);
void weft_udp_close(struct weft_udp *udp); /* Flushes. */

/* Readable when frames wait (or an error does): for poll and epoll. */
int weft_udp_fd(const struct weft_udp *udp);

/* Longest frame towards this host that travels in one piece: the MTU of the route, as far as the kernel knows
 * it, less IP and UDP headers, and at most frame_max. -errno when there is no route (from this address). */
int weft_udp_frame_max(struct weft_udp *udp, const union weft_sockaddr *to, uint32_t *len_out);

/* Queue one frame. Sends what is queued when the batch is full. Frames that the kernel refuses (full buffer, no
 * route, too long) are lost like any other and counted in the stats. */
void weft_udp_send(struct weft_udp *udp, const union weft_sockaddr *to, uint16_t path,
		   const struct weft_wire_tx *frame);
/* Everything queued leaves now. */
void weft_udp_flush(struct weft_udp *udp);

/* Hand over what has arrived, at most about `budget` frames (GRO brings them in bundles); returns their
 * number. Keeps its receive vector short while little arrives. fn may send and flush, not receive. */
uint32_t weft_udp_recv(struct weft_udp *udp, uint32_t budget, weft_wire_rx_fn *fn, void *arg);

/* A destination whose host answered that nobody listens on the port (ICMP port unreachable), one per call;
 * false when there is none. Cheap while nothing is wrong: only looks when a socket reported an error. To be
 * called until false after each recv that found nothing, or the descriptor may stay readable. A hint and no
 * proof: whoever can forge packets can forge this. */
bool weft_udp_next_unreachable(struct weft_udp *udp, union weft_sockaddr *to_out);

/* A destination to which a frame was refused because it was too long for the route (ask frame_max), one per call;
 * false when there is none. If there are many, some are not told until they refuse another frame. */
bool weft_udp_next_too_long(struct weft_udp *udp, union weft_sockaddr *to_out);

struct weft_udp_stats {
	/* Each part of a frame counts as one. tx_lost: refused by the kernel. */
	uint64_t tx_calls, tx_frames, tx_bytes, tx_lost;
	uint64_t tx_too_long; /* Of these, longer than the route takes: ask frame_max again. */
	uint64_t rx_calls, rx_frames, rx_bytes, rx_empty; /* rx_empty: calls that found nothing. */
	uint64_t rx_truncated; /* Datagrams longer than frame_max, dropped. */
	uint64_t rx_joined; /* Frames put together from parts that did not arrive side by side. */
	uint64_t rx_bad_parts; /* Parts that make no sense, dropped. */
	uint32_t rcvbuf, sndbuf; /* As granted. The kernel counts its own overhead in. */
	uint32_t sockets;
	bool gso, gro; /* In use. */
};

void weft_udp_stats(const struct weft_udp *udp, struct weft_udp_stats *stats_out);

#endif
