/* SPDX-License-Identifier: BSD-2-Clause */
/* Datagrams that anybody may send to the port, among them frames in parts (docs/protocol.md section 13), against
 * a twin that does the same in the plainest way: it keeps what it was told in a list, looks for what it needs from the
 * start, and copies everything. Both have to hand over the same frames, byte for byte, and to count the same. Each
 * datagram lies in a block of exactly its size.
 *
 * The kernel's part is ours: recvmsg(), recvfrom() and the clock, which stand before those of the C library. */
#include "wire/udp_internal.h"

#include "base/bytes.h"
#include "fuzz.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FRAME_MAX  9008u
#define DGRAM_MAX  65507u
#define FRAMES_MAX 65536u /* Handed over for one datagram. */
#define OPS_MAX    300u

/* A datagram, as the kernel has it for us. */
static struct {
	uint8_t *data;
	uint32_t len;
	uint16_t from;
	uint16_t seg_len; /* 0: it is one. */
	bool ce;
	bool waits;
	bool was_asked; /* The receiver wanted to know about segments and marks. */
} dgram;

static uint64_t fake_ns;

int clock_gettime(clockid_t id, struct timespec *ts)
{
	if (id != CLOCK_MONOTONIC)
		return (int)syscall(SYS_clock_gettime, id, ts);
	fake_ns += 1000;
	ts->tv_sec = (time_t)(fake_ns / 1000000000u);
	ts->tv_nsec = (long)(fake_ns % 1000000000u);
	return 0;
}

static union weft_sockaddr address(uint16_t from)
{
	return (union weft_sockaddr){ .in4 = { .sin_family = AF_INET,
					       .sin_port = htons(from),
					       .sin_addr.s_addr = htonl(0x7f000001) } };
}

static ssize_t take(union weft_sockaddr *from_out)
{
	if (!dgram.waits) {
		errno = EAGAIN;
		return -1;
	}
	dgram.waits = false;
	*from_out = address(dgram.from);
	return (ssize_t)dgram.len;
}

ssize_t recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *from,
		 socklen_t *from_len)
{
	(void)fd;
	(void)buf;
	(void)len;
	(void)flags;
	(void)from_len;
	dgram.was_asked = false;
	return take((union weft_sockaddr *)(void *)from);
}

static void put_int(struct msghdr *hdr, struct cmsghdr **at, int level, int type, int value)
{
	*at = *at ? CMSG_NXTHDR(hdr, *at) : CMSG_FIRSTHDR(hdr);
	FUZZ_CHECK(*at, "no room for what the kernel says");
	(*at)->cmsg_level = level;
	(*at)->cmsg_type = type;
	(*at)->cmsg_len = CMSG_LEN(sizeof(value));
	memcpy(CMSG_DATA(*at), &value, sizeof(value));
}

ssize_t recvmsg(int fd, struct msghdr *hdr, int flags)
{
	struct cmsghdr *at = NULL;
	size_t room = hdr->msg_controllen;
	ssize_t len = take(hdr->msg_name);

	(void)fd;
	(void)flags;
	if (len < 0)
		return len;
	dgram.was_asked = true;
	hdr->msg_flags = 0;
	memset(hdr->msg_control, 0, room);
	if (dgram.seg_len)
		put_int(hdr, &at, SOL_UDP, UDP_GRO, dgram.seg_len);
	put_int(hdr, &at, IPPROTO_IP, IP_TOS, dgram.ce ? 3 : 2);
	hdr->msg_controllen =
		(size_t)((uint8_t *)at - (uint8_t *)hdr->msg_control) + CMSG_SPACE(sizeof(int));
	return len;
}

/* Frames handed over */

struct frames {
	uint32_t n, bytes;
	uint32_t len[FRAMES_MAX];
	bool ce[FRAMES_MAX];
	uint8_t data[2 * DGRAM_MAX + UDP_PARTIAL * FRAME_MAX];
};

static struct frames got, want;

static void add(struct frames *f, const uint8_t *data, uint32_t len, uint32_t piece, bool ce)
{
	uint32_t left = len;

	FUZZ_CHECK(f->n < FRAMES_MAX && f->bytes + len <= sizeof(f->data), "too many frames");
	for (uint32_t n; left; left -= n, data += n + WEFT_WIRE_PART_HEAD) {
		n = piece ? WEFT_MIN(left, piece) : left;
		memcpy(f->data + f->bytes, data, n);
		f->bytes += n;
	}
	f->len[f->n] = len;
	f->ce[f->n++] = ce;
}

static void on_frame(void *arg, const struct weft_wire_rx *rx)
{
	const union weft_sockaddr from = address(dgram.from);

	(void)arg;
	FUZZ_CHECK(weft_udp_is_same(rx->from, &from), "from somebody else");
	FUZZ_CHECK(!rx->piece || rx->piece >= WEFT_WIRE_HEAD_MAX, "pieces of %u", rx->piece);
	add(&got, rx->data, rx->len, rx->piece, rx->ce);
}

/* The twin */

struct twin_frame {
	bool used;
	uint16_t from;
	uint32_t id, len, unit, count;
	bool has[WEFT_WIRE_PARTS_MAX];
	bool ce;
	uint64_t at, turn; /* When its latest part came, and as the how manieth part of all. */
	uint8_t data[FRAME_MAX];
};

static struct {
	struct twin_frame frame[UDP_PARTIAL];
	uint64_t now, turn; /* Nanoseconds; parts so far. */
	uint64_t bad, joined;
} twin;

struct twin_part {
	uint32_t index, count, id, frame_len, len, unit;
	const uint8_t *data;
};

/* Does a part begin here, `max` bytes being there for it? */
static bool twin_read(const uint8_t *p, uint32_t max, struct twin_part *part)
{
	uint32_t rest;

	if (max < WEFT_WIRE_PART_HEAD + 1 || p[0] != WEFT_WIRE_PART || p[3] != 0)
		return false;
	part->index = p[1];
	part->count = p[2];
	part->id = weft_get32(p + 4);
	part->frame_len = weft_get16(p + 8);
	part->len = weft_get16(p + 10);
	part->data = p + WEFT_WIRE_PART_HEAD;
	if (part->count < 2 || part->count > WEFT_WIRE_PARTS_MAX || part->index >= part->count)
		return false;
	if (part->frame_len > FRAME_MAX || !part->len)
		return false;
	if (part->index + 1 < part->count) {
		part->unit = part->len;
	} else {
		if (part->len >= part->frame_len)
			return false;
		rest = part->frame_len - part->len;
		if (rest % (part->count - 1))
			return false;
		part->unit = rest / (part->count - 1);
	}
	/* All but the last are full, and the last has something, and padding up to the same length. */
	return part->unit * (part->count - 1) < part->frame_len &&
	       part->frame_len <= part->unit * part->count &&
	       part->unit <= max - WEFT_WIRE_PART_HEAD;
}

/* Does the whole frame of this first part stand here, its parts one behind the other? */
static uint32_t twin_run(const uint8_t *p, uint32_t left, uint32_t seg_len,
			 const struct twin_part *first)
{
	uint32_t at = 0;

	if (first->index || first->unit < WEFT_WIRE_HEAD_MAX)
		return 0;
	for (uint32_t i = 0; i < first->count; i++) {
		struct twin_part part;
		uint32_t max;

		if (at >= left)
			return 0;
		max = seg_len ? WEFT_MIN(left - at, seg_len) : left - at;
		if (!twin_read(p + at, max, &part) || part.index != i || part.id != first->id ||
		    part.count != first->count || part.frame_len != first->frame_len ||
		    part.unit != first->unit)
			return 0;
		if (seg_len && WEFT_WIRE_PART_HEAD + part.unit != max)
			return 0;
		at += WEFT_WIRE_PART_HEAD + part.unit;
	}
	return at;
}

static void twin_put(const struct twin_part *part, bool ce)
{
	struct twin_frame *f = NULL, *oldest = &twin.frame[0];

	for (uint32_t i = 0; i < UDP_PARTIAL; i++) {
		struct twin_frame *t = &twin.frame[i];

		if (t->used && t->from == dgram.from && t->id == part->id &&
		    twin.now - t->at < UDP_PARTIAL_NS)
			f = t;
		if (!t->used || (oldest->used && t->turn < oldest->turn))
			oldest = t;
	}
	if (!f) {
		f = oldest;
		*f = (struct twin_frame){ .used = true,
					  .from = dgram.from,
					  .id = part->id,
					  .len = part->frame_len,
					  .unit = part->unit,
					  .count = part->count };
	}
	if (f->len != part->frame_len || f->unit != part->unit || f->count != part->count) {
		twin.bad++;
		return;
	}
	for (uint32_t i = 0; i < part->len; i++)
		f->data[part->index * part->unit + i] = part->data[i];
	f->has[part->index] = true;
	f->ce |= ce;
	f->at = twin.now;
	f->turn = ++twin.turn;
	for (uint32_t i = 0; i < f->count; i++)
		if (!f->has[i])
			return;
	f->used = false;
	twin.joined++;
	add(&want, f->data, f->len, 0, f->ce);
}

/* What the datagram should give. */
static void twin_datagram(void)
{
	uint32_t seg_len = !dgram.was_asked ? 0 : dgram.seg_len ? dgram.seg_len : dgram.len;
	bool ce = dgram.was_asked && dgram.ce;
	uint32_t at = 0;

	want.n = want.bytes = 0;
	do {
		const uint8_t *p = dgram.data + at;
		uint32_t left = dgram.len - at, max = seg_len ? WEFT_MIN(left, seg_len) : left, run;
		struct twin_part part;

		if (!left || *p != WEFT_WIRE_PART) {
			if (max <= FRAME_MAX || !dgram.was_asked)
				add(&want, p, max, 0, ce);
			at += max;
			continue;
		}
		if (!twin_read(p, max, &part) ||
		    (seg_len && WEFT_WIRE_PART_HEAD + part.unit != max)) {
			twin.bad++;
			at += max;
			continue;
		}
		run = twin_run(p, left, seg_len, &part);
		if (run) {
			for (uint32_t i = 0, from = 0; i < part.count; i++) {
				uint32_t n = WEFT_MIN(part.frame_len - from, part.unit);

				memcpy(want.data + want.bytes + from,
				       p + i * (WEFT_WIRE_PART_HEAD + part.unit) +
					       WEFT_WIRE_PART_HEAD,
				       n);
				from += n;
			}
			want.bytes += part.frame_len;
			want.len[want.n] = part.frame_len;
			want.ce[want.n++] = ce;
			at += run;
			continue;
		}
		twin_put(&part, ce);
		at += WEFT_WIRE_PART_HEAD + part.unit;
	} while (at < dgram.len);
}

/* The receiver */

static struct weft_udp udp;
static struct iovec iov;

static void reset(bool joined)
{
	static uint8_t *mem;

	if (!mem)
		mem = malloc((size_t)UDP_PARTIAL * FRAME_MAX);
	memset(&udp, 0, sizeof(udp));
	udp.cfg = (struct weft_udp_cfg){
		.addr = address(1), .paths = 1, .frame_max = FRAME_MAX, .joined = joined
	};
	udp.paths_ep = -1;
	udp.rx.vec = udp.rx.vec_max = udp.rx.per_dgram = 1;
	udp.rx.hdr[0].msg_hdr = (struct msghdr){ .msg_name = &udp.rx.slot[0].from,
						 .msg_iov = &iov,
						 .msg_iovlen = 1,
						 .msg_control = udp.rx.slot[0].ctl.bytes };
	udp.parts.mem = mem;
	memset(&twin, 0, sizeof(twin));
	twin.now = fake_ns = UINT64_C(1000000000);
}

static void deliver(void)
{
	uint32_t off = 0;

	dgram.waits = true;
	got.n = got.bytes = 0;
	iov = (struct iovec){ dgram.data, dgram.len };
	weft_udp_recv(&udp, 1, on_frame, NULL);
	FUZZ_CHECK(!dgram.waits, "it was not received");
	twin_datagram();
	fuzz_trace("%u bytes from %u, segments of %u, asked %d: %u frames, bad %lu", dgram.len,
		   dgram.from, dgram.seg_len, dgram.was_asked, got.n, udp.stats.rx_bad_parts);
	FUZZ_CHECK(got.n == want.n, "%u frames, and not %u", got.n, want.n);
	for (uint32_t i = 0; i < got.n; i++) {
		FUZZ_CHECK(got.len[i] == want.len[i], "frame %u has %u bytes, and not %u", i,
			   got.len[i], want.len[i]);
		FUZZ_CHECK(!memcmp(got.data + off, want.data + off, got.len[i]),
			   "frame %u has other bytes", i);
		FUZZ_CHECK(got.ce[i] == want.ce[i], "the mark of frame %u", i);
		off += got.len[i];
	}
	FUZZ_CHECK(udp.stats.rx_bad_parts == twin.bad, "bad parts: %lu, and not %lu",
		   udp.stats.rx_bad_parts, twin.bad);
	FUZZ_CHECK(udp.stats.rx_joined == twin.joined, "joined: %lu, and not %lu",
		   udp.stats.rx_joined, twin.joined);
	free(dgram.data);
	dgram.data = NULL;
}

static void receive_nothing(void)
{
	weft_udp_recv(&udp, 1, on_frame, NULL);
}

/* Datagrams */

static void begin(struct fuzz_in *in, uint32_t len)
{
	uint8_t how = fuzz_u8(in);

	dgram.data = malloc(WEFT_MAX(len, 1));
	if (!dgram.data)
		abort();
	dgram.len = len;
	dgram.from = 1 + how % 3;
	dgram.ce = how & 0x40;
	dgram.seg_len = 0;
}

/* So many that whoever receives them expects nothing special of the next. */
static void calm_down(struct fuzz_in *in)
{
	for (uint32_t i = 0; i < 17; i++) {
		begin(in, 2);
		dgram.ce = false;
		memset(dgram.data, 0x20, 2);
		deliver();
		receive_nothing();
	}
}

static const struct {
	uint16_t len, unit;
} shapes[] = {
	{ 9008, 1460 }, { 8760, 1460 }, { 2500, 1000 }, { 1537, 768 },
	{ 1536, 768 },  { 600, 300 },   { 64, 1 },      { 2, 1 },
	{ 9008, 4504 }, { 9008, 142 },  { 3000, 900 },  { 9009, 1500 },
};

/* Returns the length of the segment. */
static uint32_t make_segment(struct fuzz_in *in, uint8_t *at)
{
	uint8_t how = fuzz_u8(in), which = fuzz_u8(in), index = fuzz_u8(in);
	uint32_t shape = which % WEFT_ARRAY_SIZE(shapes), unit = shapes[shape].unit;
	uint32_t frame_len = shapes[shape].len, count = (frame_len + unit - 1) / unit, len;

	index %= (uint8_t)count;
	len = WEFT_MIN(unit, frame_len - index * unit);
	at[0] = WEFT_WIRE_PART;
	at[1] = index;
	at[2] = (uint8_t)count;
	at[3] = 0;
	weft_put32(at + 4, shape % 4 + (how & 3) * 16);
	weft_put16(at + 8, (uint16_t)frame_len);
	weft_put16(at + 10, (uint16_t)len);
	for (uint32_t i = 0; i < len; i++)
		at[WEFT_WIRE_PART_HEAD + i] = (uint8_t)(which + index * 31 + i * 3 + i / 256);
	memset(at + WEFT_WIRE_PART_HEAD + len, 0x55, unit - len);
	len = WEFT_WIRE_PART_HEAD + unit;
	if (how & 0x80) {
		uint32_t where = fuzz_u8(in) % WEFT_MIN(len, 24);

		at[where] ^= fuzz_u8(in);
	}
	if (how & 0x40)
		len -= WEFT_MIN(len, fuzz_u8(in));
	if (how & 0x20)
		len += fuzz_u8(in) % 16;
	if (how & 0x10)
		at[0] |= 0x20; /* A frame of its own. */
	return len;
}

/* Whole trains one behind the other, or whatever the input likes better. */
static void segments(struct fuzz_in *in)
{
	static uint8_t all[DGRAM_MAX + 2 * FRAME_MAX];
	uint8_t how = fuzz_u8(in);
	uint32_t n = fuzz_u8(in) % 40, len = 0, first = 0;
	struct fuzz_in again = *in;

	for (uint32_t i = 0; i < n && len < DGRAM_MAX; i++) {
		uint32_t at = len;

		if (how & 0x80 && i) /* The same again, with the next index. */
			*in = again;
		len += make_segment(in, all + len);
		if (how & 0x80 && all[at] == WEFT_WIRE_PART && all[at + 2]) {
			uint32_t unit = weft_get16(all + 10), frame_len = weft_get16(all + 8);
			uint32_t index = i % all[2], done = index * unit;

			if (frame_len > done && at + WEFT_WIRE_PART_HEAD + unit < sizeof(all)) {
				uint32_t rest = WEFT_MIN(unit, frame_len - done);

				for (uint32_t k = 0; k < unit; k++)
					all[at + WEFT_WIRE_PART_HEAD + k] += (uint8_t)(i * 37);
				all[at + 1] = (uint8_t)index;
				weft_put16(all + at + 10, (uint16_t)rest);
				weft_put32(all + at + 4, weft_get32(all + 4) + i / all[2]);
				len = at + WEFT_WIRE_PART_HEAD + unit;
			}
		}
		if (!i)
			first = len;
	}
	len = WEFT_MIN(len, DGRAM_MAX);
	begin(in, len);
	memcpy(dgram.data, all, len);
	if (how & 1)
		dgram.seg_len = (uint16_t)first;
	else if (how & 2)
		dgram.seg_len = fuzz_u16(in);
	deliver();
}

static void raw(struct fuzz_in *in)
{
	uint16_t len = fuzz_u16(in);

	begin(in, (uint32_t)WEFT_MIN((size_t)len, (size_t)(in->end - in->at)));
	dgram.seg_len = len & 1 ? (uint16_t)(1 + len % 700) : 0;
	for (uint32_t i = 0; i < dgram.len; i++)
		dgram.data[i] = fuzz_u8(in);
	deliver();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, data + size };

	reset(fuzz_u8(&in) & 1);
	for (uint32_t i = 0; i < OPS_MAX && fuzz_left(&in); i++) {
		uint8_t op = fuzz_u8(&in);

		switch (op % 8) {
		case 0:
			receive_nothing();
			break;
		case 1:
			calm_down(&in);
			break;
		case 2:
			fake_ns += fuzz_u8(&in) * UINT64_C(100000000);
			twin.now = fake_ns;
			break;
		case 3:
			raw(&in);
			break;
		default:
			segments(&in);
			break;
		}
	}
	return 0;
}
