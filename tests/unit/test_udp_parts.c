/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames in parts: as the wire sends them, and as whoever can reach the port may send them. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "wire/udp.h"

#include "base/bytes.h"
#include "base/prng.h"
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FRAME_MAX 9008u
#define SEG       1472u
#define UNIT      (SEG - WEFT_WIRE_PART_HEAD)
#define LONG_S    20 /* Until a frame that does not come fails the test. */
#define PARTIAL   64u /* Frames that may be incomplete at a time. */

/* What a receiver has got: the frames, without holes. */
static struct {
	uint32_t frames, in_pieces, ce;
	uint32_t len[256];
	uint8_t data[256][FRAME_MAX];
} inbox;

static int clock_ahead_s;

/* Stands before that of the C library. */
int clock_gettime(clockid_t id, struct timespec *ts)
{
	long rc = syscall(SYS_clock_gettime, id, ts);

	if (!rc && id == CLOCK_MONOTONIC)
		ts->tv_sec += clock_ahead_s;
	return (int)rc;
}

static union weft_sockaddr addr(const char *ip)
{
	union weft_sockaddr a = { .sa.sa_family = AF_UNSPEC };

	if (inet_pton(AF_INET, ip, &a.in4.sin_addr) == 1) {
		a.in4.sin_family = AF_INET;
	} else {
		a.in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6 };
		assert_int_equal(1, inet_pton(AF_INET6, ip, &a.in6.sin6_addr));
	}
	return a;
}

static union weft_sockaddr own_addr(int fd)
{
	union weft_sockaddr a;
	socklen_t len = sizeof(a);

	assert_int_equal(0, getsockname(fd, &a.sa, &len));
	return a;
}

static struct weft_udp_cfg config(const char *ip)
{
	return (struct weft_udp_cfg){
		.addr = addr(ip),
		.paths = 1,
		.frame_max = FRAME_MAX,
		.rcvbuf = 4 << 20,
		.sndbuf = 1 << 20,
		.gso = true,
		.gro = true,
	};
}

static struct weft_udp *open_cfg(const struct weft_udp_cfg *cfg)
{
	struct weft_udp *udp = NULL;

	assert_int_equal(0, weft_udp_open(cfg, &udp));
	return udp;
}

static struct weft_udp *open_at(const char *ip)
{
	struct weft_udp_cfg cfg = config(ip);

	return open_cfg(&cfg);
}

static struct weft_udp_stats stats_of(const struct weft_udp *udp)
{
	struct weft_udp_stats stats;

	weft_udp_stats(udp, &stats);
	return stats;
}

static int open_raw(const struct weft_udp *to)
{
	union weft_sockaddr own = addr("127.0.0.9"), peer = own_addr(weft_udp_fd(to));
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(0, bind(fd, &own.sa, sizeof(own.in4)));
	assert_int_equal(0, connect(fd, &peer.sa, sizeof(peer.in4)));
	return fd;
}

static void on_frame(void *arg, const struct weft_wire_rx *rx)
{
	uint8_t *to = inbox.data[inbox.frames];
	const uint8_t *from = rx->data;
	uint32_t left = rx->len, n;

	(void)arg;
	assert_true(inbox.frames < WEFT_ARRAY_SIZE(inbox.len));
	assert_true(rx->len <= FRAME_MAX);
	assert_true(!rx->piece || rx->piece >= WEFT_WIRE_HEAD_MAX);
	for (; left; left -= n, to += n, from += n + WEFT_WIRE_PART_HEAD) {
		n = rx->piece ? WEFT_MIN(left, rx->piece) : left;
		memcpy(to, from, n);
	}
	inbox.len[inbox.frames++] = rx->len;
	inbox.in_pieces += rx->piece > 0;
	inbox.ce += rx->ce;
}

static void clear(void)
{
	inbox.frames = inbox.in_pieces = inbox.ce = 0;
}

static void recv_more(struct weft_udp *udp, uint32_t frames)
{
	struct pollfd pfd = { .fd = weft_udp_fd(udp), .events = POLLIN };

	while (inbox.frames < frames) {
		assert_int_equal(1, poll(&pfd, 1, LONG_S * 1000));
		weft_udp_recv(udp, 64, on_frame, NULL);
	}
	assert_int_equal(frames, inbox.frames);
}

static void recv_frames(struct weft_udp *udp, uint32_t frames)
{
	clear();
	recv_more(udp, frames);
}

/* Frame `i` of a test holds bytes that no other frame holds at that place. */
static void fill(uint8_t *data, uint32_t i, uint32_t len)
{
	for (uint32_t k = 0; k < len; k++)
		data[k] = (uint8_t)(i * 7 + k + k / 256);
	if (len)
		data[0] |= 0x20; /* No frame begins like a part. */
}

static void check_frame(uint32_t at, uint32_t i, uint32_t len)
{
	uint8_t want[FRAME_MAX];

	assert_int_equal(len, inbox.len[at]);
	fill(want, i, len);
	assert_memory_equal(want, inbox.data[at], len);
}

/* With a head, pieces of odd lengths, and a tail. */
static void send_frame(struct weft_udp *udp, const union weft_sockaddr *to, uint16_t path,
		       uint32_t i, uint32_t len, uint32_t seg_max)
{
	static uint8_t data[128][FRAME_MAX + 100]; /* Borrowed until the flush. */
	uint8_t *at = data[i % 128];
	uint32_t head = WEFT_MIN(len, 80), tail = len > 300 ? 100 : 0;
	uint32_t cut = (len - head - tail) / 3;
	struct iovec iov[] = { { at + head, cut },
			       { NULL, 0 },
			       { at + head + cut, len - head - tail - cut } };

	fill(at, i, len);
	weft_udp_send(udp, to, path,
		      &(struct weft_wire_tx){ .head = at,
					      .head_len = head,
					      .tail = at + len - tail,
					      .tail_len = tail,
					      .iov = iov,
					      .iov_len = 3,
					      .seg_max = seg_max });
}

/* Sending */

static const uint32_t lens[] = { 1,    80,   1471, 1472, 1473, 1540, 2920, 2921,     8760,
				 8760, 8760, 8761, 1472, 5000, 9008, 1472, 100 + 80, 8760 };

static uint32_t parts_of(uint32_t len)
{
	return len <= SEG ? 1 : (len + UNIT - 1) / UNIT;
}

static void exchange(const char *ip_a, const char *ip_b, bool gso, bool gro, bool joined)
{
	struct weft_udp_cfg cfg = config(ip_a);
	struct weft_udp *a, *b;
	union weft_sockaddr to;
	uint32_t parts = 0, n = WEFT_ARRAY_SIZE(lens);

	cfg.gso = gso;
	a = open_cfg(&cfg);
	cfg = config(ip_b);
	cfg.gro = gro;
	cfg.joined = joined;
	b = open_cfg(&cfg);
	to = own_addr(weft_udp_fd(b));
	for (uint32_t round = 0; round < 40; round++) {
		for (uint32_t i = 0; i < n; i++)
			send_frame(a, &to, 0, i + round, lens[i], SEG);
		weft_udp_flush(a);
		recv_frames(b, n);
		for (uint32_t i = 0; i < n; i++)
			check_frame(i, i + round, lens[i]);
	}
	for (uint32_t i = 0; i < n; i++)
		parts += parts_of(lens[i]);
	assert_int_equal(40 * parts, stats_of(a).tx_frames);
	assert_int_equal(0, stats_of(a).tx_lost);
	assert_int_equal(40 * n, stats_of(b).rx_frames);
	assert_int_equal(0, stats_of(b).rx_bad_parts);
	/* Nothing is copied where the kernel keeps segments together. */
	if (stats_of(a).gso && stats_of(b).gro)
		assert_int_equal(0, stats_of(b).rx_joined);
	else
		assert_int_equal(40 * 11, stats_of(b).rx_joined);
	weft_udp_close(a);
	weft_udp_close(b);
}

static void weft_udp_send__parts(void **state)
{
	(void)state;
	for (uint32_t how = 0; how < 8; how++)
		exchange("127.0.0.2", "127.0.0.3", how & 1, how & 2, how & 4);
}

static void weft_udp_send__parts_ipv6(void **state)
{
	union weft_sockaddr a = addr("::1");
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool ok = fd >= 0 && bind(fd, &a.sa, sizeof(a)) == 0;

	(void)state;
	if (fd >= 0)
		close(fd);
	if (!ok) {
		print_message("# skipped: no IPv6 here\n");
		return;
	}
	exchange("::1", "::1", true, true, true);
	exchange("::1", "::1", false, true, true);
}

/* Many frames of one length fill whole messages, whatever that length is, and none lies in two of them. */
static void weft_udp_send__trains_join(void **state)
{
	static const uint32_t len_of[] = { 8760, 9008, 8761, 5003, 2921, 1474 };

	(void)state;
	for (size_t r = 0; r < WEFT_ARRAY_SIZE(len_of); r++) {
		struct weft_udp *a = open_at("127.0.0.2"), *b = open_at("127.0.0.3");
		union weft_sockaddr to = own_addr(weft_udp_fd(b));
		uint32_t len = len_of[r];

		for (uint32_t i = 0; i < 100; i++)
			send_frame(a, &to, 0, i, len, SEG);
		weft_udp_flush(a);
		recv_frames(b, 100);
		for (uint32_t i = 0; i < 100; i++)
			check_frame(i, i, len);
		if (stats_of(a).gso && stats_of(b).gro) {
			assert_int_equal(100, inbox.in_pieces);
			assert_in_range(stats_of(a).tx_calls, 1, 10);
		}
		weft_udp_close(a);
		weft_udp_close(b);
	}
}

/* A frame is known by its source: all its parts leave by one socket, whatever else the paths do. */
static void weft_udp_send__parts_of_one_source(void **state)
{
	struct weft_udp_cfg cfg = config("127.0.0.2");
	struct weft_udp *a, *b = open_at("127.0.0.3");
	union weft_sockaddr to = own_addr(weft_udp_fd(b));

	(void)state;
	cfg.paths = 4;
	for (uint32_t gso = 0; gso < 2; gso++) {
		cfg.gso = gso;
		a = open_cfg(&cfg);
		for (uint32_t i = 0; i < 200; i++) {
			send_frame(a, &to, (uint16_t)(i / 50), i, 8760, SEG);
			weft_udp_flush(a);
			recv_frames(b, 1);
			check_frame(0, i, 8760);
		}
		assert_in_range(stats_of(a).sockets, 4, 5);
		weft_udp_close(a);
	}
	weft_udp_close(b);
}

/* The kernel refuses GSO, and nothing else, on a socket that sends without checksums. */
static void weft_udp_send__parts_gso_refused(void **state)
{
	struct weft_udp *a = open_at("127.0.0.2"), *b = open_at("127.0.0.3");
	union weft_sockaddr to = own_addr(weft_udp_fd(b));
	int one = 1;

	(void)state;
	assert_int_equal(0, setsockopt(weft_udp_fd(a), SOL_SOCKET, SO_NO_CHECK, &one, sizeof(one)));
	for (uint32_t round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < 10; i++)
			send_frame(a, &to, 0, i, 8000, SEG);
		weft_udp_flush(a);
		recv_frames(b, 10);
		for (uint32_t i = 0; i < 10; i++)
			check_frame(i, i, 8000);
		assert_false(stats_of(a).gso);
		assert_int_equal(0, stats_of(a).tx_lost);
	}
	weft_udp_close(a);
	weft_udp_close(b);
}

/* Memory that the application has unmapped costs its own frame. */
static void weft_udp_send__parts_bad_memory(void **state)
{
	struct weft_udp *a = open_at("127.0.0.2"), *b = open_at("127.0.0.3");
	union weft_sockaddr to = own_addr(weft_udp_fd(b));
	uint8_t head[80] = { 0 };
	struct iovec bad = { (void *)(uintptr_t)8, 8000 };

	(void)state;
	send_frame(a, &to, 0, 0, 8760, SEG);
	weft_udp_send(a, &to, 0,
		      &(struct weft_wire_tx){ .head = head,
					      .head_len = sizeof(head),
					      .iov = &bad,
					      .iov_len = 1,
					      .seg_max = SEG });
	send_frame(a, &to, 0, 2, 8760, SEG);
	weft_udp_flush(a);
	recv_frames(b, 2);
	check_frame(0, 0, 8760);
	check_frame(1, 2, 8760);
	weft_udp_close(a);
	weft_udp_close(b);
}

/* More parts than a frame may have. */
static void weft_udp_send__too_many_parts(void **state)
{
	struct weft_udp *a = open_at("127.0.0.2"), *b = open_at("127.0.0.3");
	union weft_sockaddr to = own_addr(weft_udp_fd(b)), who;

	(void)state;
	send_frame(a, &to, 0, 0, 6400, 100 + WEFT_WIRE_PART_HEAD);
	send_frame(a, &to, 0, 1, 6401, 100 + WEFT_WIRE_PART_HEAD);
	weft_udp_flush(a);
	recv_frames(b, 1);
	check_frame(0, 0, 6400);
	assert_int_equal(0, inbox.in_pieces); /* A head might not lie in the first. */
	assert_int_equal(1, stats_of(a).tx_lost);
	assert_true(weft_udp_next_too_long(a, &who));
	weft_udp_close(a);
	weft_udp_close(b);
}

/* Longest frames of all: a batch of sends each. */
static void weft_udp_send__parts_of_64k(void **state)
{
	static uint8_t data[65000];
	struct weft_udp_cfg cfg = config("127.0.0.2");
	struct weft_udp *a, *b;
	union weft_sockaddr to;
	struct iovec iov = { data, sizeof(data) };

	(void)state;
	cfg.frame_max = sizeof(data);
	a = open_cfg(&cfg);
	b = open_at("127.0.0.3");
	to = own_addr(weft_udp_fd(b));
	weft_udp_send(a, &to, 0,
		      &(struct weft_wire_tx){ .iov = &iov, .iov_len = 1, .seg_max = SEG });
	weft_udp_send(a, &to, 0,
		      &(struct weft_wire_tx){ .iov = &iov, .iov_len = 1, .seg_max = SEG });
	send_frame(a, &to, 0, 5, 3000, SEG);
	weft_udp_flush(a);
	recv_frames(b, 1); /* The receiver takes shorter ones. */
	check_frame(0, 5, 3000);
	assert_true(stats_of(b).rx_bad_parts > 0);
	assert_int_equal(2 * parts_of(65000) + 3, stats_of(a).tx_frames);
	weft_udp_close(a);
	weft_udp_close(b);
}

/* Receiving: parts made by hand */

struct cut {
	uint32_t i, len, unit, id;
};

/* Returns the length of part `index`. */
static uint32_t make_part(uint8_t *at, const struct cut *cut, uint32_t index)
{
	uint8_t frame[FRAME_MAX];
	uint32_t count = (cut->len + cut->unit - 1) / cut->unit;
	uint32_t n = WEFT_MIN(cut->len - index * cut->unit, cut->unit);

	fill(frame, cut->i, cut->len);
	at[0] = WEFT_WIRE_PART;
	at[1] = (uint8_t)index;
	at[2] = (uint8_t)count;
	at[3] = 0;
	weft_put32(at + 4, cut->id);
	weft_put16(at + 8, (uint16_t)cut->len);
	weft_put16(at + 10, (uint16_t)n);
	memcpy(at + WEFT_WIRE_PART_HEAD, frame + index * cut->unit, n);
	memset(at + WEFT_WIRE_PART_HEAD + n, 0xee, cut->unit - n); /* Padding. */
	return WEFT_WIRE_PART_HEAD + cut->unit;
}

static void send_raw(int fd, const uint8_t *data, uint32_t len)
{
	assert_int_equal(len, send(fd, data, len, 0));
}

static void send_part(int fd, const struct cut *cut, uint32_t index)
{
	uint8_t data[WEFT_WIRE_PART_HEAD + FRAME_MAX];

	send_raw(fd, data, make_part(data, cut, index));
}

/* Whatever was sent before has arrived when this one has, and it is the only frame of that. */
static void send_mark(int fd, struct weft_udp *udp)
{
	uint8_t mark[10];
	uint32_t before = inbox.frames;

	fill(mark, 99, sizeof(mark));
	send_raw(fd, mark, sizeof(mark));
	recv_more(udp, before + 1);
	check_frame(before, 99, sizeof(mark));
	inbox.frames = before;
}

static void weft_udp_recv__parts_in_any_order(void **state)
{
	static const uint8_t orders[][6] = {
		{ 0, 1, 2, 3, 4, 5 },
		{ 5, 4, 3, 2, 1, 0 },
		{ 5, 0, 4, 1, 3, 2 },
		{ 2, 3, 0, 5, 1, 4 },
	};
	struct weft_udp *b = open_at("127.0.0.3");
	int fd = open_raw(b);

	(void)state;
	for (uint32_t o = 0; o < WEFT_ARRAY_SIZE(orders); o++)
		for (uint32_t len = 8001; len <= 9000; len += 333) {
			struct cut cut = { o, len, 1500, o * 10000 + len };

			clear();
			for (uint32_t k = 0; k < 6; k++) {
				send_part(fd, &cut, orders[o][k]);
				if (k < 5)
					send_mark(fd, b);
				if (k == 2) /* Twice is as good as once. */
					send_part(fd, &cut, orders[o][k]);
			}
			recv_more(b, 1);
			check_frame(0, o, len);
		}
	assert_int_equal(0, stats_of(b).rx_bad_parts);
	weft_udp_close(b);
	close(fd);
}

/* What belongs together is told by source and id alone. */
static void weft_udp_recv__parts_of_many(void **state)
{
	struct weft_udp *b = open_at("127.0.0.3");
	int fd[] = { open_raw(b), open_raw(b) };

	(void)state;
	clear();
	for (uint32_t index = 0; index < 3; index++)
		for (uint32_t i = 0; i < PARTIAL; i++) {
			struct cut cut = { i, 4000 + i, 1400, i / 2 };

			send_part(fd[i % 2], &cut, index);
			if (i % 8 == 7)
				weft_udp_recv(b, 64, on_frame, NULL);
		}
	recv_more(b, PARTIAL);
	for (uint32_t i = 0; i < PARTIAL; i++)
		check_frame(i, inbox.len[i] - 4000, inbox.len[i]);
	for (uint32_t k = 0; k < 2; k++)
		close(fd[k]);
	weft_udp_close(b);
}

/* The frame that was left alone for the longest time makes room. */
static void weft_udp_recv__oldest_partial_frame_goes(void **state)
{
	struct weft_udp *b = open_at("127.0.0.3");
	int fd = open_raw(b);

	(void)state;
	clear();
	for (uint32_t i = 0; i < PARTIAL; i++)
		send_part(fd, &(struct cut){ i, 2500, 1000, i }, 0);
	send_part(fd, &(struct cut){ 0, 2500, 1000, 0 }, 1); /* Touched again. */
	send_part(fd, &(struct cut){ 200, 2500, 1000, 200 }, 0); /* Takes the place of 1. */
	send_mark(fd, b);
	send_part(fd, &(struct cut){ 0, 2500, 1000, 0 }, 2);
	recv_more(b, 1);
	check_frame(0, 0, 2500);
	send_part(fd, &(struct cut){ 1, 2500, 1000, 1 }, 1);
	send_part(fd, &(struct cut){ 1, 2500, 1000, 1 }, 2);
	send_mark(fd, b);
	assert_int_equal(1, inbox.frames);
	send_part(fd, &(struct cut){ 200, 2500, 1000, 200 }, 2);
	send_part(fd, &(struct cut){ 200, 2500, 1000, 200 }, 1);
	recv_more(b, 2);
	check_frame(1, 200, 2500);
	weft_udp_close(b);
	close(fd);
}

/* Ids come round. What is left of a frame that lost a part an hour ago is no part of its namesake. */
static void weft_udp_recv__no_part_of_long_ago(void **state)
{
	const struct cut old = { 1, 2500, 1000, 5 }, new = { 2, 2500, 1000, 5 };
	struct weft_udp *b = open_at("127.0.0.3");
	int fd = open_raw(b);

	(void)state;
	clear();
	send_part(fd, &old, 0);
	send_part(fd, &old, 2);
	send_mark(fd, b);
	clock_ahead_s += 3600;
	send_part(fd, &new, 0);
	send_part(fd, &new, 1);
	send_mark(fd, b);
	assert_int_equal(0, inbox.frames);
	send_part(fd, &new, 2);
	recv_more(b, 1);
	check_frame(0, 2, 2500);
	weft_udp_close(b);
	close(fd);
}

/* Datagrams that GRO (here: GSO) made of segments, cut where it likes. */
static void weft_udp_recv__parts_cut_anywhere(void **state)
{
	static uint8_t data[40 * 1212];
	struct weft_udp *b = open_at("127.0.0.3");
	int fd = open_raw(b), seg = 1212;
	uint32_t parts = 0;

	(void)state;
	if (!stats_of(b).gro ||
	    setsockopt(fd, IPPROTO_UDP, 103 /* UDP_SEGMENT */, &seg, sizeof(seg))) {
		print_message("# skipped: no GSO or GRO here\n");
		weft_udp_close(b);
		close(fd);
		return;
	}
	for (uint32_t i = 0; i < 8; i++)
		for (uint32_t k = 0; k < 5; k++, parts++)
			make_part(data + parts * 1212, &(struct cut){ i, 6000, 1200, i }, k);
	for (uint32_t step = 1; step < 40; step++) {
		clear();
		for (uint32_t at = 0; at < parts; at += step)
			send_raw(fd, data + at * 1212, WEFT_MIN(step, parts - at) * 1212);
		recv_more(b, 8);
		for (uint32_t i = 0; i < 8; i++)
			check_frame(i, i, 6000);
		if (step % 5 == 0)
			assert_int_equal(8, inbox.in_pieces);
	}
	assert_int_equal(0, stats_of(b).rx_bad_parts);
	weft_udp_close(b);
	close(fd);
}

static void weft_udp_recv__bad_parts(void **state)
{
	static const struct row {
		int id;
		uint32_t cut; /* Bytes cut off its end. */
		uint8_t index, count, zero;
		uint16_t frame_len, len;
	} rows[] = {
		{ 1, 0, 0, 0, 0, 3000, 1000 },   { 2, 0, 0, 1, 0, 3000, 1000 },
		{ 3, 0, 0, 65, 0, 9000, 1000 },  { 4, 0, 3, 3, 0, 3000, 1000 },
		{ 5, 0, 255, 3, 0, 3000, 1000 }, { 6, 0, 0, 3, 1, 3000, 1000 },
		{ 7, 0, 0, 3, 0, 3001, 1000 },   { 8, 0, 0, 3, 0, 2000, 1000 },
		{ 9, 0, 0, 10, 0, 9009, 1000 },  { 10, 0, 0, 3, 0, 65535, 1000 },
		{ 11, 0, 0, 3, 0, 1000, 1000 },  { 12, 0, 0, 3, 0, 0, 1000 },
		{ 13, 0, 2, 3, 0, 2999, 1000 },  { 14, 0, 2, 3, 0, 2998, 1000 },
		{ 15, 0, 0, 3, 0, 3000, 1001 },  { 16, 0, 0, 3, 0, 3000, 999 },
		{ 17, 0, 0, 3, 0, 3000, 0 },     { 18, 1, 0, 3, 0, 3000, 1000 },
		{ 19, 1000, 0, 3, 0, 3000, 0 },  { 20, 1011, 0, 3, 0, 3000, 1000 },
		{ 21, 0, 2, 3, 0, 9000, 1000 }, /* Its others would have 4000 bytes. */
	};
	struct weft_udp *b = open_at("127.0.0.3");
	int fd = open_raw(b);

	(void)state;
	clear();
	for (size_t r = 0; r < WEFT_ARRAY_SIZE(rows); r++) {
		const struct row *row = &rows[r];
		struct cut good = { 7, 3000, 1000, 77 };
		uint64_t bad = stats_of(b).rx_bad_parts;
		uint8_t part[2000];

		make_part(part, &good, row->index % 3);
		part[1] = row->index;
		part[2] = row->count;
		part[3] = row->zero;
		weft_put16(part + 8, row->frame_len);
		weft_put16(part + 10, row->len);
		send_part(fd, &good, 0);
		send_raw(fd, part, 1012 - row->cut);
		send_mark(fd, b);
		if (stats_of(b).rx_bad_parts != bad + 1 || inbox.frames != r)
			fail_msg("row %d", row->id);
		send_part(fd, &good, 2);
		send_part(fd, &good, 1);
		recv_more(b, (uint32_t)r + 1);
		check_frame((uint32_t)r, 7, 3000);
	}
	weft_udp_close(b);
	close(fd);
}

/* Seeded nonsense from one sender; the frames of another, half of them there before, come through whole. */
static void weft_udp_recv__random_parts(void **state)
{
	struct weft_udp_cfg cfg = config("127.0.0.3");
	struct weft_prng rnd;

	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct weft_udp *b;
		int good, evil;

		weft_prng_init(&rnd, seed);
		cfg.joined = seed & 1;
		cfg.gro = seed & 2;
		b = open_cfg(&cfg);
		good = open_raw(b);
		evil = open_raw(b);
		for (uint32_t round = 0; round < 10; round++) {
			struct cut cut = { round, 8760, UNIT, round };

			clear();
			for (uint32_t k = 0; k < 6; k += 2)
				send_part(good, &cut, k);
			send_mark(good, b);
			/* So few that nobody's place is taken. */
			for (uint32_t n = 0; n < PARTIAL - 2; n++) {
				struct cut lie = { n, 2000 + weft_prng_below(&rnd, 7000),
						   200 + weft_prng_below(&rnd, 1800),
						   weft_prng_below(&rnd, 20) };
				uint8_t part[2 * FRAME_MAX] = { 0 };
				uint32_t count = (lie.len + lie.unit - 1) / lie.unit;
				uint32_t len = make_part(part, &lie, weft_prng_below(&rnd, count));

				for (uint32_t m = weft_prng_below(&rnd, 3); m; m--)
					part[1 + weft_prng_below(&rnd, 11)] =
						(uint8_t)weft_prng_next(&rnd);
				if (!weft_prng_below(&rnd, 4))
					len = 1 + weft_prng_below(&rnd, len);
				send_raw(evil, part, len);
				weft_udp_recv(b, 64, on_frame, NULL);
			}
			clear();
			send_mark(evil, b);
			for (uint32_t k = 1; k < 6; k += 2)
				send_part(good, &cut, k);
			recv_more(b, 1);
			check_frame(0, round, 8760);
		}
		weft_udp_close(b);
		close(good);
		close(evil);
	}
}

/* A receiver that does not ask how long segments are (weft_udp_cfg.joined, while little comes) learns it from the
 * parts. */
static void weft_udp_recv__parts_while_calm(void **state)
{
	struct weft_udp_cfg cfg = config("127.0.0.3");
	struct weft_udp *a = open_at("127.0.0.2"), *b;
	union weft_sockaddr to;

	(void)state;
	cfg.joined = true;
	b = open_cfg(&cfg);
	to = own_addr(weft_udp_fd(b));
	for (uint32_t round = 0; round < 20; round++) {
		for (uint32_t i = 0; i < 30; i++) {
			send_frame(a, &to, 0, i, 100, SEG);
			weft_udp_flush(a);
			recv_frames(b, 1);
			while (weft_udp_recv(b, 64, on_frame, NULL))
				;
		}
		send_frame(a, &to, 0, 40, 8760, SEG);
		send_frame(a, &to, 0, 41, 8000, SEG);
		send_frame(a, &to, 0, 42, SEG, SEG);
		send_frame(a, &to, 0, 43, 8760, SEG);
		send_frame(a, &to, 0, 44, round + 1, SEG);
		weft_udp_flush(a);
		recv_frames(b, 5);
		check_frame(0, 40, 8760);
		check_frame(1, 41, 8000);
		check_frame(2, 42, SEG);
		check_frame(3, 43, 8760);
		check_frame(4, 44, round + 1);
	}
	assert_int_equal(0, stats_of(b).rx_bad_parts);
	weft_udp_close(a);
	weft_udp_close(b);
}

/* One mark is enough. */
static void weft_udp_recv__ce_of_parts(void **state)
{
	struct weft_udp *b = open_at("127.0.0.3");
	int fd = open_raw(b), ce = 3, none = 2;

	(void)state;
	clear();
	for (uint32_t k = 0; k < 3; k++) {
		int *tos = k == 1 ? &ce : &none;

		assert_int_equal(0, setsockopt(fd, IPPROTO_IP, IP_TOS, tos, sizeof(*tos)));
		send_part(fd, &(struct cut){ 1, 3000, 1000, 1 }, k);
	}
	recv_more(b, 1);
	assert_int_equal(1, inbox.ce);
	weft_udp_close(b);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_udp_send__parts),
		cmocka_unit_test(weft_udp_send__parts_ipv6),
		cmocka_unit_test(weft_udp_send__trains_join),
		cmocka_unit_test(weft_udp_send__parts_of_one_source),
		cmocka_unit_test(weft_udp_send__parts_gso_refused),
		cmocka_unit_test(weft_udp_send__parts_bad_memory),
		cmocka_unit_test(weft_udp_send__too_many_parts),
		cmocka_unit_test(weft_udp_send__parts_of_64k),
		cmocka_unit_test(weft_udp_recv__parts_in_any_order),
		cmocka_unit_test(weft_udp_recv__parts_of_many),
		cmocka_unit_test(weft_udp_recv__oldest_partial_frame_goes),
		cmocka_unit_test(weft_udp_recv__no_part_of_long_ago),
		cmocka_unit_test(weft_udp_recv__parts_cut_anywhere),
		cmocka_unit_test(weft_udp_recv__bad_parts),
		cmocka_unit_test(weft_udp_recv__random_parts),
		cmocka_unit_test(weft_udp_recv__parts_while_calm),
		cmocka_unit_test(weft_udp_recv__ce_of_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
