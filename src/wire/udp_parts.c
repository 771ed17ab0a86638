/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames that arrive in parts.
 *
 * A sender hands all parts of a frame to the kernel in one piece, and where segments are joined on the way up (GRO)
 * they come out side by side in one datagram. Then nothing is copied: the frame is handed over where it lies, with
 * the heads of its parts as holes in it. Whatever comes otherwise (alone, out of order, in two datagrams) is put
 * together here, in a place per frame. There are few places, since parts of a frame come soon after each other or not at
 * all: the one that was not touched for the longest time is taken over.
 *
 * Nothing of a part is authentic. Every field is checked against the others and against those of the part that
 * came first, and each byte can only go to where its frame lies. Somebody who guesses address and id can spoil a frame, which is
 * then lost like any other; the packets in it are for their receiver to judge. */
#include "wire/udp_internal.h"

#include "base/bytes.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static_assert(WEFT_WIRE_PARTS_MAX <= 64 && WEFT_WIRE_PARTS_MAX <= UDP_TX_FRAMES,
	      "a bit for each part");

struct part {
	uint32_t index, count, id;
	uint32_t frame_len, unit; /* Unit: bytes that each part has room for. */
	uint32_t len; /* Bytes of the frame in this one: all, or what the last has of them. */
};

/* A part, whole and at odds with nothing that it says itself. */
static bool read_part(const uint8_t *p, uint32_t left, uint32_t frame_max, struct part *part_out)
{
	struct part part;

	if (left <= WEFT_WIRE_PART_HEAD || p[0] != WEFT_WIRE_PART || p[3])
		return false;
	part.index = p[1];
	part.count = p[2];
	part.id = weft_get32(p + 4);
	part.frame_len = weft_get16(p + 8);
	part.len = weft_get16(p + 10);
	if (part.count < 2 || part.count > WEFT_WIRE_PARTS_MAX || part.index >= part.count ||
	    !part.len || part.len >= part.frame_len || part.frame_len > frame_max)
		return false;
	part.unit = part.len;
	if (part.index == part.count - 1) {
		part.unit = (part.frame_len - part.len) / (part.count - 1);
		if (part.unit * (part.count - 1) != part.frame_len - part.len)
			return false;
	}
	if (part.unit * (part.count - 1) >= part.frame_len ||
	    part.unit * part.count < part.frame_len || part.unit > left - WEFT_WIRE_PART_HEAD)
		return false;
	*part_out = part;
	return true;
}

/* Bytes that the whole frame takes here, with all heads and the padding, if its parts follow `first` one by one; else 0. */
static uint32_t run_len(const uint8_t *data, uint32_t left, const struct part *first)
{
	uint32_t step = WEFT_WIRE_PART_HEAD + first->unit, all = step * first->count;

	if (first->index || first->unit < WEFT_WIRE_HEAD_MAX || all > left)
		return 0;
	for (uint32_t i = 1; i < first->count; i++) {
		const uint8_t *p = data + i * step;
		uint32_t len =
			i < first->count - 1 ? first->unit : first->frame_len - i * first->unit;

		if (p[0] != WEFT_WIRE_PART || p[1] != i || p[2] != first->count || p[3] ||
		    weft_get32(p + 4) != first->id || weft_get16(p + 8) != first->frame_len ||
		    weft_get16(p + 10) != len)
			return 0;
	}
	return all;
}

static bool is_of(const struct udp_partial *f, const struct part *part,
		  const union weft_sockaddr *from, weft_ns now)
{
	return f->used_at && f->id == part->id && weft_udp_is_same(&f->from, from) &&
	       now - f->used_at < UDP_PARTIAL_NS;
}

/* The place of its frame: the one that it has, or a new one. */
static struct udp_partial *find_place(struct udp_parts *parts, const struct part *part,
				      const union weft_sockaddr *from, weft_ns now)
{
	struct udp_partial *oldest = &parts->partial[0], *f = &parts->partial[parts->latest];

	if (is_of(f, part, from, now))
		return f;
	for (uint32_t i = 0; i < UDP_PARTIAL; i++) {
		f = &parts->partial[i];
		if (is_of(f, part, from, now)) {
			parts->latest = i;
			return f;
		}
		if (f->used_at < oldest->used_at)
			oldest = f;
	}
	parts->latest = (uint32_t)(oldest - parts->partial);
	*oldest = (struct udp_partial){
		.from = *from,
		.id = part->id,
		.len = part->frame_len,
		.unit = part->unit,
		.count = part->count,
	};
	return oldest;
}

/* Put a part to where it belongs. True: its frame is complete, at rx->data. False, if it fits to none, or others are
 * missing. */
static bool put_part(struct weft_udp *udp, const struct part *part, const uint8_t *data,
		     struct weft_wire_rx *rx)
{
	weft_ns now = udp_now();
	struct udp_partial *f = find_place(&udp->parts, part, rx->from, now);
	uint64_t bit = UINT64_C(1) << part->index;
	uint8_t *mem = udp->parts.mem + (size_t)(f - udp->parts.partial) * udp->cfg.frame_max;

	if (f->len != part->frame_len || f->unit != part->unit || f->count != part->count) {
		udp->stats.rx_bad_parts++;
		return false;
	}
	memcpy(mem + part->index * part->unit, data, part->len);
	f->used_at = now;
	f->got |= bit;
	f->ce |= rx->ce;
	if (f->got != UINT64_MAX >> (64 - f->count))
		return false;
	f->used_at = 0;
	udp->stats.rx_joined++;
	rx->data = mem;
	rx->len = f->len;
	rx->ce = f->ce;
	return true;
}

uint32_t udp_parts_take(struct weft_udp *udp, const uint8_t *data, uint32_t left, uint32_t seg_len,
			struct weft_wire_rx *rx)
{
	uint32_t len = seg_len ? WEFT_MIN(left, seg_len) : left, run;
	struct part part;

	rx->data = NULL;
	rx->piece = 0;
	if (!read_part(data, len, udp->cfg.frame_max, &part) ||
	    (seg_len && len != WEFT_WIRE_PART_HEAD + part.unit)) {
		udp->stats.rx_bad_parts++;
		return len;
	}
	run = run_len(data, left, &part);
	if (run) {
		rx->data = data + WEFT_WIRE_PART_HEAD;
		rx->len = part.frame_len;
		rx->piece = part.unit;
		return run;
	}
	(void)put_part(udp, &part, data + WEFT_WIRE_PART_HEAD, rx);
	return WEFT_WIRE_PART_HEAD + part.unit;
}

int udp_parts_open(struct weft_udp *udp)
{
	struct timespec ts;

	/* Pages that are never needed are never touched. */
	udp->parts.mem = calloc(UDP_PARTIAL, udp->cfg.frame_max);
	if (udp->parts.mem == NULL)
		return -ENOMEM;
	if (getrandom(&udp->parts.tx_id, sizeof(udp->parts.tx_id), GRND_NONBLOCK) !=
	    sizeof(udp->parts.tx_id)) {
		clock_gettime(CLOCK_REALTIME, &ts);
		udp->parts.tx_id = (uint32_t)ts.tv_nsec * 0x9e3779b9u;
	}
	return 0;
}

void udp_parts_close(struct weft_udp *udp)
{
	free(udp->parts.mem);
}
