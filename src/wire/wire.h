/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_WIRE_WIRE_H
#define WEFT_WIRE_WIRE_H

/* What the two wires between processes have in common: udp.h reaches other hosts, local.h the processes that
 * see the same shared memory. Both move frames of opaque bytes, may lose them, and know nothing of what is
 * in them. Neither locks, allocates after open, nor blocks: their owner (a card of src/dev) calls them under
 * its lock and polls. */
#include "base/types.h"

#include <sys/uio.h>

/* A frame's longest head (handed over as one piece of memory) and number of pieces behind that. */
#define WEFT_WIRE_HEAD_MAX 768u
#define WEFT_WIRE_IOV_MAX  4u

/* A frame longer than what one datagram carries travels as parts of one length (the last is padded), each in a
 * datagram of its own behind a head of its own (docs/protocol.md section 13):
 *
 *	at 0	WEFT_WIRE_PART, with which no frame begins	4	id of the frame: the sender's, any
 *	1	index of this part				8	bytes of the whole frame (2)
 *	2	number of parts, 2 to WEFT_WIRE_PARTS_MAX	10	bytes of it that follow here (2)
 *	3	0
 */
#define WEFT_WIRE_PART      0x1fu
#define WEFT_WIRE_PART_HEAD 12u
#define WEFT_WIRE_PARTS_MAX 64u

union weft_sockaddr;

/* One frame to be sent: head, pieces, tail. Head and tail are copied, together at most WEFT_WIRE_HEAD_MAX bytes; the
 * pieces are borrowed until the next flush. */
struct weft_wire_tx {
	const void *head, *tail;
	uint32_t head_len, tail_len;
	const struct iovec *iov;
	uint32_t iov_len;
	uint32_t
		seg_max; /* UDP: bytes of the longest datagram to be used; a longer frame travels as parts. 0: whole. */
};

/* One frame that arrived. `data` and `from` are borrowed for the call. */
struct weft_wire_rx {
	const uint8_t *data;
	uint32_t len;
	const union weft_sockaddr *from; /* UDP: its source; NULL where the wire does not know. */
	/* 0: `data` is all in one piece. Else it came as parts, and lies where they were put: in pieces of so many bytes
	 * (the last may be shorter), each followed by WEFT_WIRE_PART_HEAD bytes that are none of it. `len` does not count
	 * those. The first piece has WEFT_WIRE_HEAD_MAX bytes or more. */
	uint32_t piece;
	bool ce; /* The network marked it: congestion experienced. */
};

typedef void weft_wire_rx_fn(void *arg, const struct weft_wire_rx *rx);

#endif
