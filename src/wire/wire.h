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

union weft_sockaddr;

/* One frame to be sent: head, pieces, tail. Head and tail are copied, together at most WEFT_WIRE_HEAD_MAX bytes; the
 * pieces are borrowed until the next flush. */
struct weft_wire_tx {
	const void *head, *tail;
	uint32_t head_len, tail_len;
	const struct iovec *iov;
	uint32_t iov_len;
};

/* One frame that arrived. `data` and `from` are borrowed for the call. */
struct weft_wire_rx {
	const uint8_t *data;
	uint32_t len;
	const union weft_sockaddr *from; /* UDP: its source; NULL where the wire does not know. */
	bool ce; /* The network marked it: congestion experienced. */
};

typedef void weft_wire_rx_fn(void *arg, const struct weft_wire_rx *rx);

#endif
