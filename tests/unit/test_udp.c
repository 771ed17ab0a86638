/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "wire/udp.h"

#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define FRAME_MAX 8952u
#define LONG_S    20 /* Until a frame that does not come fails the test. */

/* What a receiver has got: the frames, one behind the other. */
struct inbox {
	struct weft_udp *udp;
	uint32_t frames, bytes, ce;
	uint32_t len[512];
	uint8_t data[1 << 20];
};

static struct inbox inbox;

static bool is_old_kernel;

/* Stands before that of the C library. Older kernels have another word for segments that are too long. */
ssize_t sendmsg(int fd, const struct msghdr *hdr, int flags)
{
	ssize_t len = syscall(SYS_sendmsg, fd, hdr, flags);

	if (len < 0 && errno == EMSGSIZE && is_old_kernel && hdr->msg_controllen)
		errno = EINVAL;
	return len;
}

static union weft_sockaddr addr(const char *ip, uint16_t port)
{
	union weft_sockaddr a = { .sa.sa_family = AF_UNSPEC };

	if (inet_pton(AF_INET, ip, &a.in4.sin_addr) == 1) {
		a.in4.sin_family = AF_INET;
		a.in4.sin_port = htons(port);
	} else {
		a.in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(port) };
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
		.addr = addr(ip, 0),
		.paths = 1,
		.frame_max = FRAME_MAX,
		.rcvbuf = 1 << 20,
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

/* A plain socket of the system, to look at the wire from outside. */
static int open_raw(const char *ip, union weft_sockaddr *addr_out)
{
	union weft_sockaddr a = addr(ip, 0);
	int fd = socket(a.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(0, bind(fd, &a.sa, sizeof(a)));
	*addr_out = own_addr(fd);
	return fd;
}

/* An address that nobody listens at, nor will: it belongs to a socket that hears nobody but itself. */
static int open_deaf(const char *ip, union weft_sockaddr *addr_out)
{
	int fd = open_raw(ip, addr_out);

	assert_int_equal(0, connect(fd, &addr_out->sa, sizeof(*addr_out)));
	return fd;
}

static bool has_ipv6(void)
{
	union weft_sockaddr a = addr("::1", 0);
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool ok = fd >= 0 && bind(fd, &a.sa, sizeof(a)) == 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

/* Leaves the case; cmocka's own skip() is a failure to who reads its TAP. */
#define need_ipv6()                                                 \
	do {                                                        \
		if (!has_ipv6()) {                                  \
			print_message("# skipped: no IPv6 here\n"); \
			return;                                     \
		}                                                   \
	} while (0)

static void on_frame(void *arg, const struct weft_wire_rx *rx)
{
	struct inbox *in = arg;

	assert_true(in->frames < WEFT_ARRAY_SIZE(in->len));
	assert_true(in->bytes + rx->len <= sizeof(in->data));
	memcpy(in->data + in->bytes, rx->data, rx->len);
	in->len[in->frames++] = rx->len;
	in->bytes += rx->len;
	in->ce += rx->ce;
}

static void wait_readable(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	assert_int_equal(1, poll(&pfd, 1, LONG_S * 1000));
}

/* Receive into the inbox until it holds so many frames. */
static void recv_frames(struct weft_udp *udp, uint32_t frames)
{
	inbox.frames = inbox.bytes = inbox.ce = 0;
	while (inbox.frames < frames) {
		wait_readable(weft_udp_fd(udp));
		weft_udp_recv(udp, 64, on_frame, &inbox);
	}
	assert_int_equal(frames, inbox.frames);
}

/* Frame `i` of a test holds bytes that no other frame holds at that place. */
static void fill(uint8_t *data, uint32_t i, uint32_t len)
{
	for (uint32_t k = 0; k < len; k++)
		data[k] = (uint8_t)(i * 7 + k + k / 256);
	if (len)
		data[0] |= 0x20; /* No frame begins like a part. */
}

static void send_frame(struct weft_udp *udp, const union weft_sockaddr *to, uint16_t path,
		       uint32_t i, uint32_t len)
{
	static uint8_t data[64][FRAME_MAX + 1000]; /* Borrowed until the flush. */
	uint8_t *at = data[i % 64];
	uint32_t head_len = WEFT_MIN(len, 80);
	struct iovec iov = { at + head_len, len - head_len };

	fill(at, i, len);
	weft_udp_send(udp, to, path,
		      &(struct weft_wire_tx){
			      .head = at, .head_len = head_len, .iov = &iov, .iov_len = 1 });
}

static void check_frame(uint32_t at, uint32_t i, uint32_t len)
{
	uint8_t want[FRAME_MAX];
	uint32_t off = 0;

	for (uint32_t k = 0; k < at; k++)
		off += inbox.len[k];
	assert_int_equal(len, inbox.len[at]);
	fill(want, i, len);
	assert_memory_equal(want, inbox.data + off, len);
}

static void weft_udp_open__port_is_exclusive(void **state)
{
	struct weft_udp *a = open_at("127.0.0.2"), *b = NULL;
	struct weft_udp_cfg cfg = config("127.0.0.2");

	(void)state;
	cfg.addr = own_addr(weft_udp_fd(a));
	assert_int_equal(-EADDRINUSE, weft_udp_open(&cfg, &b));
	assert_null(b);

	/* Another address is another identity, and so is the same one later. */
	cfg.addr.in4.sin_addr.s_addr = htonl(0x7f000003);
	b = open_cfg(&cfg);
	weft_udp_close(b);
	cfg.addr = own_addr(weft_udp_fd(a));
	weft_udp_close(a);
	weft_udp_close(open_cfg(&cfg));
}

static void weft_udp_open__refused(void **state)
{
	static const struct row {
		int id;
		const char *ip;
		uint32_t paths, frame_max;
		int want;
	} rows[] = {
		{ 1, "127.0.0.2", 0, FRAME_MAX, -EINVAL },
		{ 2, "127.0.0.2", 257, FRAME_MAX, -EINVAL },
		{ 3, "127.0.0.2", 1, 0, -EINVAL },
		{ 4, "127.0.0.2", 1, 65508, -EINVAL },
		{ 5, "::1", 1, 65488, -EINVAL },
		{ 6, "192.0.2.1", 1, FRAME_MAX, -EADDRNOTAVAIL }, /* Nobody's: RFC 5737. */
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct weft_udp_cfg cfg = config(rows[i].ip);
		struct weft_udp *udp = NULL;
		int rc;

		cfg.paths = rows[i].paths;
		cfg.frame_max = rows[i].frame_max;
		rc = weft_udp_open(&cfg, &udp);
		if (rc != rows[i].want || udp != NULL)
			fail_msg("row %d: %d", rows[i].id, rc);
	}
}

static void weft_udp_open__unknown_family(void **state)
{
	struct weft_udp_cfg cfg = config("127.0.0.2");
	struct weft_udp *udp = NULL;

	(void)state;
	cfg.addr.sa.sa_family = AF_UNIX;
	assert_int_equal(-EAFNOSUPPORT, weft_udp_open(&cfg, &udp));
	assert_null(udp);
}

static void frame_max(const char *ip, uint32_t payload_max)
{
	struct weft_udp_cfg cfg = config(ip);
	struct weft_udp *udp = open_cfg(&cfg);
	union weft_sockaddr to = own_addr(weft_udp_fd(udp));
	uint32_t len = 0;

	assert_int_equal(0, weft_udp_frame_max(udp, &to, &len));
	assert_int_equal(FRAME_MAX, len); /* As configured: the route takes more. */
	weft_udp_close(udp);

	cfg.frame_max = payload_max;
	udp = open_cfg(&cfg);
	assert_int_equal(0, weft_udp_frame_max(udp, &to, &len));
	assert_true(len > 0 && len <= payload_max);
	weft_udp_close(udp);
}

static void weft_udp_frame_max__ipv4(void **state)
{
	(void)state;
	frame_max("127.0.0.2", 65507);
}

static void weft_udp_frame_max__ipv6(void **state)
{
	(void)state;
	need_ipv6();
	frame_max("::1", 65487);
}

/* A loopback address has no way out of its host. Only asks the kernel: nothing is sent. */
static void weft_udp_frame_max__no_route(void **state)
{
	struct weft_udp *udp = open_at("127.0.0.2");
	union weft_sockaddr far = addr("192.0.2.1", 20000), other = addr("::1", 20000);
	uint32_t len = 1;
	int rc;

	(void)state;
	rc = weft_udp_frame_max(udp, &far, &len);
	assert_true(rc == -EINVAL || rc == -ENETUNREACH);
	assert_int_equal(-EAFNOSUPPORT, weft_udp_frame_max(udp, &other, &len));
	assert_int_equal(1, len);
	weft_udp_close(udp);
}

static void gathers(const char *ip)
{
	static uint8_t piece[WEFT_WIRE_IOV_MAX][1000];
	uint8_t head[WEFT_WIRE_HEAD_MAX];
	struct weft_udp *a = open_at(ip), *b = open_at(ip);
	union weft_sockaddr to = own_addr(weft_udp_fd(b));
	struct iovec iov[WEFT_WIRE_IOV_MAX];

	memset(head, 0xaa, sizeof(head));
	for (uint32_t i = 0; i < WEFT_WIRE_IOV_MAX; i++) {
		memset(piece[i], (int)i, sizeof(piece[i]));
		iov[i] = (struct iovec){ piece[i], i * 100 }; /* One of them empty. */
	}
	weft_udp_send(a, &to, 0,
		      &(struct weft_wire_tx){ .head = head,
					      .head_len = sizeof(head),
					      .iov = iov,
					      .iov_len = WEFT_WIRE_IOV_MAX });
	memset(head, 0xbb, sizeof(head)); /* Was copied. */
	weft_udp_flush(a);
	recv_frames(b, 1);
	assert_int_equal(WEFT_WIRE_HEAD_MAX + 600, inbox.len[0]);
	memset(head, 0xaa, sizeof(head));
	assert_memory_equal(head, inbox.data, sizeof(head));
	assert_memory_equal(piece[1], inbox.data + sizeof(head), 100);
	assert_memory_equal(piece[2], inbox.data + sizeof(head) + 100, 200);
	assert_memory_equal(piece[3], inbox.data + sizeof(head) + 300, 300);
	assert_int_equal(0, inbox.ce);
	weft_udp_close(a);
	weft_udp_close(b);
}

static void weft_udp_send__gathers_pieces(void **state)
{
	(void)state;
	gathers("127.0.0.2");
}

static void weft_udp_send__gathers_pieces_ipv6(void **state)
{
	(void)state;
	need_ipv6();
	gathers("::1");
}

/* 100 frames of these lengths in turn, whatever the ends have of GSO and GRO. */
static void stream(const char *ip, bool gso, bool gro, const uint32_t *len, uint32_t lens)
{
	struct weft_udp_cfg cfg = config(ip);
	struct weft_udp_stats stats;
	struct weft_udp *a, *b;
	union weft_sockaddr to;
	uint32_t sent = 0;

	cfg.gso = gso;
	cfg.gro = gro;
	a = open_cfg(&cfg);
	b = open_cfg(&cfg);
	to = own_addr(weft_udp_fd(b));
	while (sent < 100) {
		uint32_t first = sent, n = 0;

		/* Few enough for the receiver's buffer, whatever it was granted. */
		for (; n < 10; n++, sent++)
			send_frame(a, &to, 0, sent, len[sent % lens]);
		weft_udp_flush(a);
		recv_frames(b, n);
		for (uint32_t i = 0; i < n; i++)
			check_frame(i, first + i, len[(first + i) % lens]);
	}
	stats = stats_of(a);
	assert_int_equal(100, stats.tx_frames);
	assert_int_equal(0, stats.tx_lost);
	if (!gso)
		assert_false(stats.gso);
	stats = stats_of(b);
	assert_int_equal(100, stats.rx_frames);
	assert_int_equal(0, stats.rx_truncated);
	weft_udp_close(a);
	weft_udp_close(b);
}

static void streams(const char *ip)
{
	static const uint32_t same[] = { FRAME_MAX };
	static const uint32_t small[] = { 100 };
	static const uint32_t tails[] = { 1472, 1472, 1472, 7 };
	static const uint32_t mixed[] = { 64, 64, FRAME_MAX, 200, 200, 201, 1, 1, 80 };

	for (int i = 0; i < 4; i++) {
		bool gso = i & 1, gro = i & 2;

		stream(ip, gso, gro, same, WEFT_ARRAY_SIZE(same));
		stream(ip, gso, gro, small, WEFT_ARRAY_SIZE(small));
		stream(ip, gso, gro, tails, WEFT_ARRAY_SIZE(tails));
		stream(ip, gso, gro, mixed, WEFT_ARRAY_SIZE(mixed));
	}
}

static void weft_udp_send__streams(void **state)
{
	(void)state;
	streams("127.0.0.2");
}

static void weft_udp_send__streams_ipv6(void **state)
{
	(void)state;
	need_ipv6();
	streams("::1");
}

/* What a batch costs: frames in a row to one place are one send, and the sends of a path one call. */
static void weft_udp_send__batches(void **state)
{
	struct weft_udp *a = open_at("127.0.0.2"), *b = open_at("127.0.0.3");
	struct weft_udp *c = open_at("127.0.0.3");
	union weft_sockaddr to_b = own_addr(weft_udp_fd(b)), to_c = own_addr(weft_udp_fd(c));

	(void)state;
	for (uint32_t i = 0; i < 20; i++)
		send_frame(a, i % 10 < 5 ? &to_b : &to_c, 0, i, 500);
	assert_int_equal(0, stats_of(a).tx_calls);
	weft_udp_flush(a);
	weft_udp_flush(a);
	assert_int_equal(1, stats_of(a).tx_calls);
	assert_int_equal(20, stats_of(a).tx_frames);
	assert_int_equal(20 * 500, stats_of(a).tx_bytes);
	recv_frames(b, 10);
	check_frame(4, 4, 500);
	check_frame(5, 10, 500);
	recv_frames(c, 10);
	check_frame(0, 5, 500);
	check_frame(9, 19, 500);

	/* A full batch leaves by itself. */
	for (uint32_t i = 0; i < 128; i++)
		send_frame(a, &to_b, 0, i % 64, 100);
	assert_int_equal(2, stats_of(a).tx_calls);
	recv_frames(b, 128);
	check_frame(127, 63, 100);

	/* What is queued when the wire is closed was sent. */
	send_frame(a, &to_b, 0, 3, 100);
	weft_udp_close(a);
	recv_frames(b, 1);
	check_frame(0, 3, 100);
	weft_udp_close(b);
	weft_udp_close(c);
}

/* One message of GSO has 64 segments and 64 KiB at most. */
static void weft_udp_send__longest_batches(void **state)
{
	static const uint32_t lens[] = { 1, 1000, 1023, 1024, 1472, 4096 };

	(void)state;
	for (size_t k = 0; k < WEFT_ARRAY_SIZE(lens); k++) {
		struct weft_udp *a = open_at("127.0.0.2"), *b = open_at("127.0.0.3");
		union weft_sockaddr to = own_addr(weft_udp_fd(b));
		uint32_t n = WEFT_MIN(64, 100000 / lens[k]);

		for (uint32_t i = 0; i < n; i++)
			send_frame(a, &to, 0, i, lens[k]);
		weft_udp_flush(a);
		assert_int_equal(n, stats_of(a).tx_frames);
		recv_frames(b, n);
		for (uint32_t i = 0; i < n; i++)
			check_frame(i, i, lens[k]);
		weft_udp_close(a);
		weft_udp_close(b);
	}
}

static void weft_udp_send__too_long(void **state)
{
	struct weft_udp *a = open_at("127.0.0.2"), *b = open_at("127.0.0.3");
	union weft_sockaddr to = own_addr(weft_udp_fd(b)), who;

	(void)state;
	send_frame(a, &to, 0, 0, FRAME_MAX);
	send_frame(a, &to, 0, 1, FRAME_MAX + 1);
	send_frame(a, &to, 0, 2, FRAME_MAX);
	weft_udp_flush(a);
	assert_int_equal(1, stats_of(a).tx_lost);
	assert_int_equal(1, stats_of(a).tx_too_long);
	assert_true(weft_udp_next_too_long(a, &who));
	assert_memory_equal(&who, &to, sizeof(to.in4));
	assert_false(weft_udp_next_too_long(a, &who));
	recv_frames(b, 2);
	check_frame(0, 0, FRAME_MAX);
	check_frame(1, 2, FRAME_MAX);
	weft_udp_close(a);
	weft_udp_close(b);
}

/* A network of our own, whose loopback interface takes no datagram longer than `mtu`. */
static bool enter_narrow_net(int mtu)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_mtu = mtu };
	int fd;
	bool ok;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNET))
		return false;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ok = fd >= 0 && !ioctl(fd, SIOCSIFMTU, &lo);
	lo.ifr_flags = IFF_UP;
	ok = ok && !ioctl(fd, SIOCSIFFLAGS, &lo);
	if (fd >= 0)
		close(fd);
	return ok;
}

/* 0, or the number of the check that failed. */
static int send_into_narrow_net(void)
{
	struct weft_udp *a = open_at("127.0.0.2"), *b = open_at("127.0.0.3");
	union weft_sockaddr to = own_addr(weft_udp_fd(b)), who;

	if (!stats_of(a).gso)
		return 0;
	for (uint32_t i = 0; i < 3; i++)
		send_frame(a, &to, 0, i, i < 2 ? 2000 : 100);
	weft_udp_flush(a);
	if (stats_of(a).tx_too_long != 2 || stats_of(a).tx_frames != 1)
		return 1;
	if (!weft_udp_next_too_long(a, &who))
		return 2;
	return stats_of(a).gso ? 0 : 3;
}

/* All but the last segment are too long for the route: that is no reason to do without GSO. */
static void weft_udp_send__gso_too_long(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	for (int old = 0; old < 2; old++) {
		pid = fork();
		if (!pid) {
			is_old_kernel = old;
			_exit(enter_narrow_net(1500) ? send_into_narrow_net() : 77);
		}
		assert_int_equal(pid, waitpid(pid, &status, 0));
		assert_true(WIFEXITED(status));
		if (WEXITSTATUS(status) == 77) {
			print_message("# skipped: no network namespace to be had\n");
			return;
		}
		assert_int_equal(0, WEXITSTATUS(status));
	}
}

/* A destination that cannot be reached costs its own frames only. */
static void weft_udp_send__no_route(void **state)
{
	struct weft_udp *a = open_at("127.0.0.2"), *b = open_at("127.0.0.3");
	union weft_sockaddr to = own_addr(weft_udp_fd(b)), far = addr("192.0.2.1", 20000);
	union weft_sockaddr other = addr("::1", 20000), none;

	(void)state;
	send_frame(a, &to, 0, 0, 100);
	for (uint32_t i = 1; i < 4; i++)
		send_frame(a, &far, 0, i, 100);
	send_frame(a, &to, 0, 4, 100);
	send_frame(a, &other, 0, 5, 100);
	weft_udp_flush(a);
	assert_int_equal(2, stats_of(a).tx_frames);
	assert_int_equal(4, stats_of(a).tx_lost);
	recv_frames(b, 2);
	check_frame(0, 0, 100);
	check_frame(1, 4, 100);
	assert_false(weft_udp_next_unreachable(a, &none));

	/* And is no reason to do without GSO. */
	assert_true(stats_of(a).gso == stats_of(b).gso);
	weft_udp_close(a);
	weft_udp_close(b);
}

/* The kernel refuses GSO, and nothing else, on a socket that sends without checksums. */
static void weft_udp_send__gso_refused(void **state)
{
	struct weft_udp *a = open_at("127.0.0.2"), *b = open_at("127.0.0.3");
	union weft_sockaddr to = own_addr(weft_udp_fd(b));
	int one = 1;

	(void)state;
	assert_int_equal(0, setsockopt(weft_udp_fd(a), SOL_SOCKET, SO_NO_CHECK, &one, sizeof(one)));
	for (uint32_t round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < 20; i++)
			send_frame(a, &to, 0, i, i % 7 == 6 ? 30 : 300);
		weft_udp_flush(a);
		recv_frames(b, 20);
		for (uint32_t i = 0; i < 20; i++)
			check_frame(i, i, i % 7 == 6 ? 30 : 300);
		assert_false(stats_of(a).gso);
		assert_int_equal(0, stats_of(a).tx_lost);
	}
	assert_int_equal(40, stats_of(a).tx_frames);
	weft_udp_close(a);
	weft_udp_close(b);
}

/* Memory that the application has unmapped: the frames around it arrive. */
static void weft_udp_send__bad_memory(void **state)
{
	struct weft_udp *a = open_at("127.0.0.2"), *b = open_at("127.0.0.3");
	union weft_sockaddr to = own_addr(weft_udp_fd(b));
	bool gso = stats_of(a).gso;
	uint8_t head[80] = { 0 };
	struct iovec bad = { (void *)(uintptr_t)8, 120 };

	(void)state;
	send_frame(a, &to, 0, 0, 200);
	weft_udp_send(a, &to, 0,
		      &(struct weft_wire_tx){
			      .head = head, .head_len = sizeof(head), .iov = &bad, .iov_len = 1 });
	send_frame(a, &to, 0, 2, 200);
	weft_udp_flush(a);
	assert_int_equal(1, stats_of(a).tx_lost);
	recv_frames(b, 2);
	check_frame(0, 0, 200);
	check_frame(1, 2, 200);
	assert_true(gso == stats_of(a).gso);
	weft_udp_close(a);
	weft_udp_close(b);
}

/* Paths are source ports: path 0 the bound one, the others different ones that stay. */
static void weft_udp_send__paths(void **state)
{
	struct weft_udp_cfg cfg = config("127.0.0.2");
	in_port_t port[4] = { 0 };
	union weft_sockaddr to, own;
	struct weft_udp *a;
	int fd = open_raw("127.0.0.3", &to);

	(void)state;
	cfg.paths = 4;
	a = open_cfg(&cfg);
	own = own_addr(weft_udp_fd(a));
	assert_int_equal(1, stats_of(a).sockets);
	for (uint16_t i = 0; i < 12; i++) {
		union weft_sockaddr from = { .sa.sa_family = AF_UNSPEC };
		socklen_t len = sizeof(from);
		uint8_t data[100];

		send_frame(a, &to, i, i, sizeof(data)); /* Beyond the fourth they come round. */
		weft_udp_flush(a);
		wait_readable(fd);
		assert_int_equal(sizeof(data), recvfrom(fd, data, sizeof(data), 0, &from.sa, &len));
		assert_int_equal(own.in4.sin_addr.s_addr, from.in4.sin_addr.s_addr);
		if (i < 4)
			port[i] = from.in4.sin_port;
		assert_int_equal(port[i % 4], from.in4.sin_port);
		assert_int_equal(WEFT_MIN(i + 1, 4), stats_of(a).sockets);
	}
	assert_int_equal(own.in4.sin_port, port[0]);
	for (int i = 0; i < 4; i++)
		for (int k = 0; k < i; k++)
			assert_int_not_equal(port[k], port[i]);
	weft_udp_close(a);
	close(fd);
}

static void weft_udp_send__mixed_paths(void **state)
{
	struct weft_udp_cfg cfg = config("127.0.0.2");
	struct weft_udp *a, *b = open_at("127.0.0.3");
	union weft_sockaddr to = own_addr(weft_udp_fd(b));

	(void)state;
	cfg.paths = 256;
	a = open_cfg(&cfg);
	for (uint16_t i = 0; i < 60; i++)
		send_frame(a, &to, i / 3, i, 400);
	weft_udp_flush(a);
	assert_int_equal(20, stats_of(a).tx_calls);
	recv_frames(b, 60);
	for (uint16_t i = 0; i < 60; i++)
		check_frame(i, i, 400);
	weft_udp_close(a);
	weft_udp_close(b);
}

/* What waits for the flush goes where it was addressed to, also when its path is busy with somebody else by then. */
static void weft_udp_send__busy_with_two(void **state)
{
	struct weft_udp_cfg cfg = config("127.0.0.2");
	struct weft_udp *a, *b = open_at("127.0.0.3"), *c = open_at("127.0.0.4");
	union weft_sockaddr to_b = own_addr(weft_udp_fd(b)), to_c = own_addr(weft_udp_fd(c));

	(void)state;
	cfg.paths = 2;
	for (uint16_t path = 0; path < 2; path++) {
		a = open_cfg(&cfg);
		for (uint32_t i = 0; i < 20; i++) { /* Until its socket is connected to b. */
			send_frame(a, &to_b, path, i, 100);
			weft_udp_flush(a);
		}
		recv_frames(b, 20);
		/* Each longer than the one before, so a message of its own. */
		for (uint32_t i = 0; i < 60; i++)
			send_frame(a, i < 2 ? &to_b : &to_c, path, i, 100 + i);
		weft_udp_flush(a);
		recv_frames(b, 2);
		for (uint32_t i = 0; i < 2; i++)
			check_frame(i, i, 100 + i);
		recv_frames(c, 58);
		for (uint32_t i = 2; i < 60; i++)
			check_frame(i - 2, i, 100 + i);
		weft_udp_close(a);
	}
	weft_udp_close(b);
	weft_udp_close(c);
}

/* How many descriptors fit into the table of this process. */
static unsigned int table_size(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	char line[256];
	unsigned int size = 0;

	assert_non_null(file);
	while (!size && fgets(line, sizeof(line), file))
		(void)sscanf(line, "FDSize: %u", &size);
	fclose(file);
	assert_true(size > 0);
	return size;
}

/* The kernel makes us wait while it grows the table, so that is not left to the paths' first packets. */
static void weft_udp_send__table_is_large_enough(void **state)
{
	struct weft_udp_cfg cfg = config("127.0.0.2");
	struct weft_udp *a, *b = open_at("127.0.0.3");
	union weft_sockaddr to = own_addr(weft_udp_fd(b));
	unsigned int size;

	(void)state;
	cfg.paths = 256;
	a = open_cfg(&cfg);
	size = table_size();
	for (uint16_t i = 0; i < 256; i++)
		send_frame(a, &to, i, i, 4);
	weft_udp_flush(a);
	assert_int_equal(256, stats_of(a).sockets);
	assert_int_equal(size, table_size());
	weft_udp_close(a);
	weft_udp_close(b);
}

/* Path 0 stands in for those that got no descriptor; half of them are left to the application. */
static void weft_udp_send__no_descriptors(void **state)
{
	struct weft_udp_cfg cfg = config("127.0.0.2");
	struct weft_udp *a, *b = open_at("127.0.0.3");
	union weft_sockaddr to = own_addr(weft_udp_fd(b));
	struct rlimit old, low;
	int fd = dup(weft_udp_fd(b)), fd_first = fd;

	(void)state;
	close(fd);
	assert_int_equal(0, getrlimit(RLIMIT_NOFILE, &old));
	low = old;
	low.rlim_cur = 2 * ((rlim_t)fd_first + 10);
	assert_int_equal(0, setrlimit(RLIMIT_NOFILE, &low));
	cfg.paths = 60;
	a = open_cfg(&cfg);
	for (uint16_t i = 0; i < 60; i++)
		send_frame(a, &to, i, i, 400);
	weft_udp_flush(a);
	fd = dup(weft_udp_fd(b));
	assert_int_equal(0, setrlimit(RLIMIT_NOFILE, &old));
	assert_true(fd >= 0);
	close(fd);
	assert_in_range(stats_of(a).sockets, 2, 10); /* And the eleventh is an epoll. */
	recv_frames(b, 60);
	for (uint16_t i = 0; i < 60; i++)
		check_frame(i, i, 400);
	weft_udp_close(a);
	weft_udp_close(b);
}

static void weft_udp_recv__nothing(void **state)
{
	struct weft_udp *udp = open_at("127.0.0.2");

	(void)state;
	inbox.frames = 0;
	for (uint64_t i = 1; i < 20; i++) {
		assert_int_equal(0, weft_udp_recv(udp, 64, on_frame, &inbox));
		assert_int_equal(i, stats_of(udp).rx_empty);
		assert_int_equal(i, stats_of(udp).rx_calls);
	}
	assert_int_equal(0, weft_udp_recv(udp, 0, on_frame, &inbox));
	assert_int_equal(19, stats_of(udp).rx_calls);
	assert_int_equal(0, inbox.frames);
	weft_udp_close(udp);
}

static void weft_udp_recv__budget(void **state)
{
	struct weft_udp_cfg cfg = config("127.0.0.2");
	struct weft_udp *a, *b;
	union weft_sockaddr to;

	(void)state;
	cfg.gso = cfg.gro = false;
	a = open_cfg(&cfg);
	b = open_cfg(&cfg);
	to = own_addr(weft_udp_fd(b));
	for (uint32_t i = 0; i < 20; i++)
		send_frame(a, &to, 0, i, 100);
	weft_udp_flush(a);
	inbox.frames = inbox.bytes = 0;
	wait_readable(weft_udp_fd(b));
	while (inbox.frames < 20) {
		uint32_t before = inbox.frames, n = weft_udp_recv(b, 7, on_frame, &inbox);

		assert_true(n <= 7);
		assert_int_equal(n, inbox.frames - before);
	}
	for (uint32_t i = 0; i < 20; i++)
		check_frame(i, i, 100);
	weft_udp_close(a);
	weft_udp_close(b);
}

static void recv_truncated(bool gro)
{
	static uint8_t data[FRAME_MAX + 1];
	struct weft_udp_cfg cfg = config("127.0.0.2");
	union weft_sockaddr own, to;
	struct weft_udp *udp;
	int fd = open_raw("127.0.0.3", &own);

	cfg.gro = gro;
	udp = open_cfg(&cfg);
	to = own_addr(weft_udp_fd(udp));
	for (uint32_t len = FRAME_MAX + 1; len >= FRAME_MAX - 1; len--)
		assert_int_equal(len, sendto(fd, data, len, 0, &to.sa, sizeof(to.in4)));
	assert_int_equal(0, sendto(fd, data, 0, 0, &to.sa, sizeof(to.in4)));
	recv_frames(udp, 3); /* The last one is empty, and its owner's to refuse. */
	assert_int_equal(FRAME_MAX, inbox.len[0]);
	assert_int_equal(FRAME_MAX - 1, inbox.len[1]);
	assert_int_equal(0, inbox.len[2]);
	assert_int_equal(1, stats_of(udp).rx_truncated);
	weft_udp_close(udp);
	close(fd);
}

static void weft_udp_recv__truncated(void **state)
{
	(void)state;
	recv_truncated(false);
	recv_truncated(true);
}

/* Datagrams that hold nothing for us do not keep us longer than frames would. */
static void weft_udp_recv__budget_of_truncated(void **state)
{
	static uint8_t data[1001];
	struct weft_udp_cfg cfg = config("127.0.0.2");
	union weft_sockaddr own, to;
	struct weft_udp *udp;
	int fd = open_raw("127.0.0.3", &own);
	uint64_t before;

	(void)state;
	cfg.frame_max = 1000;
	udp = open_cfg(&cfg);
	to = own_addr(weft_udp_fd(udp));
	for (uint32_t i = 0; i < 30; i++)
		assert_int_equal(sizeof(data),
				 sendto(fd, data, sizeof(data), 0, &to.sa, sizeof(to.in4)));
	inbox.frames = 0;
	while ((before = stats_of(udp).rx_truncated) < 30) {
		wait_readable(weft_udp_fd(udp));
		assert_int_equal(0, weft_udp_recv(udp, 4, on_frame, &inbox));
		assert_in_range(stats_of(udp).rx_truncated - before, 0, 4);
	}
	assert_int_equal(0, inbox.frames);
	weft_udp_close(udp);
	close(fd);
}

/* All four values of the two bits, in both families; only 3 is "congestion experienced". */
static void recv_ce(const char *ip, int level, int name)
{
	union weft_sockaddr own, to;
	struct weft_udp *udp = open_at(ip);
	int fd = open_raw(ip, &own);

	to = own_addr(weft_udp_fd(udp));
	for (int tos = 0x20; tos < 0x24; tos++) {
		assert_int_equal(0, setsockopt(fd, level, name, &tos, sizeof(tos)));
		assert_int_equal(1, sendto(fd, "x", 1, 0, &to.sa, sizeof(to)));
		recv_frames(udp, 1);
		assert_int_equal(tos == 0x23, inbox.ce);
	}
	weft_udp_close(udp);
	close(fd);
}

static void weft_udp_recv__ce(void **state)
{
	(void)state;
	recv_ce("127.0.0.2", IPPROTO_IP, IP_TOS);
}

static void weft_udp_recv__ce_ipv6(void **state)
{
	(void)state;
	need_ipv6();
	recv_ce("::1", IPPROTO_IPV6, IPV6_TCLASS);
}

/* Frames leave as ECN-capable on every path, or no router would mark them. */
static void weft_udp_send__ecn_capable(void **state)
{
	struct weft_udp_cfg cfg = config("127.0.0.2");
	union weft_sockaddr to;
	struct weft_udp *udp;
	int fd = open_raw("127.0.0.3", &to), one = 1;

	(void)state;
	assert_int_equal(0, setsockopt(fd, IPPROTO_IP, IP_RECVTOS, &one, sizeof(one)));
	cfg.paths = 2;
	udp = open_cfg(&cfg);
	for (uint16_t path = 0; path < 2; path++) {
		union {
			struct cmsghdr align;
			char bytes[CMSG_SPACE(sizeof(int))];
		} ctl;
		uint8_t data[100];
		struct iovec iov = { data, sizeof(data) };
		struct msghdr hdr = {
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = ctl.bytes,
			.msg_controllen = sizeof(ctl.bytes),
		};

		send_frame(udp, &to, path, 0, sizeof(data));
		weft_udp_flush(udp);
		assert_int_equal(sizeof(data), recvmsg(fd, &hdr, 0));
		assert_true(hdr.msg_controllen >= CMSG_LEN(1));
		assert_int_equal(IP_TOS, ctl.align.cmsg_type);
		assert_int_equal(2, *CMSG_DATA(&ctl.align));
	}
	weft_udp_close(udp);
	close(fd);
}

/* Until the answer of the closed port has come; it comes without being asked for again. */
static union weft_sockaddr wait_unreachable(struct weft_udp *udp)
{
	struct pollfd none = { .fd = -1 };
	union weft_sockaddr to = { .sa.sa_family = AF_UNSPEC };

	for (int i = 0; i < LONG_S * 1000; i++) {
		for (int k = 0; k < 10; k++)
			weft_udp_recv(udp, 64, on_frame, &inbox);
		if (weft_udp_next_unreachable(udp, &to))
			return to;
		poll(&none, 1, 1);
	}
	fail_msg("no answer");
	return to;
}

/* The answer of a closed port is told once, and costs no frame of a healthy peer. */
static void unreachable(const char *ip, uint16_t path)
{
	struct weft_udp_cfg cfg = config(ip);
	union weft_sockaddr dead, to, got;
	struct weft_udp *a, *b = open_at(ip);
	int fd = open_deaf(ip, &dead);
	struct pollfd pfd;

	cfg.paths = 8;
	a = open_cfg(&cfg);
	to = own_addr(weft_udp_fd(b));
	assert_false(weft_udp_next_unreachable(a, &got));
	for (uint32_t round = 0; round < 5; round++) {
		for (uint32_t i = 0; i < 4; i++) {
			send_frame(a, &dead, path, 0, 100);
			weft_udp_flush(a);
			send_frame(a, &to, path, i, 100);
			weft_udp_flush(a);
		}
		recv_frames(b, 4);
		for (uint32_t i = 0; i < 4; i++)
			check_frame(i, i, 100);
		got = wait_unreachable(a);
		do {
			assert_int_equal(dead.sa.sa_family, got.sa.sa_family);
			if (got.sa.sa_family == AF_INET) {
				assert_int_equal(dead.in4.sin_port, got.in4.sin_port);
				assert_int_equal(dead.in4.sin_addr.s_addr, got.in4.sin_addr.s_addr);
			} else {
				assert_int_equal(dead.in6.sin6_port, got.in6.sin6_port);
				assert_memory_equal(&dead.in6.sin6_addr, &got.in6.sin6_addr, 16);
			}
		} while (weft_udp_next_unreachable(a, &got));
	}
	assert_int_equal(0, stats_of(a).tx_lost);

	/* All are read: the descriptor is quiet again. */
	weft_udp_recv(a, 64, on_frame, &inbox);
	assert_false(weft_udp_next_unreachable(a, &got));
	if (path == 0) {
		pfd = (struct pollfd){ .fd = weft_udp_fd(a), .events = POLLIN };
		assert_int_equal(0, poll(&pfd, 1, 0));
	}
	weft_udp_close(a);
	weft_udp_close(b);
	close(fd);
}

static void weft_udp_next_unreachable__closed_port(void **state)
{
	(void)state;
	unreachable("127.0.0.2", 0);
}

static void weft_udp_next_unreachable__closed_port_ipv6(void **state)
{
	(void)state;
	need_ipv6();
	unreachable("::1", 0);
}

static void weft_udp_next_unreachable__path(void **state)
{
	(void)state;
	unreachable("127.0.0.2", 5);
}

/* The vector of one call stops at the answer of its own first message, and the kernel does not say why. */
static void weft_udp_next_unreachable__in_a_batch(void **state)
{
	struct weft_udp *a = open_at("127.0.0.2"), *b = open_at("127.0.0.3");
	union weft_sockaddr to = own_addr(weft_udp_fd(b)), dead, got;
	int fd = open_deaf("127.0.0.3", &dead);

	(void)state;
	send_frame(a, &dead, 0, 0, 100);
	for (uint32_t i = 1; i < 10; i++)
		send_frame(a, &to, 0, i, i);
	weft_udp_flush(a);
	recv_frames(b, 9);
	got = wait_unreachable(a);
	assert_int_equal(dead.in4.sin_port, got.in4.sin_port);
	assert_false(weft_udp_next_unreachable(a, &got));
	weft_udp_close(a);
	weft_udp_close(b);
	close(fd);
}

/* A path that sent once, to a dead peer, and never again. */
static void weft_udp_next_unreachable__silent_path(void **state)
{
	struct weft_udp_cfg cfg = config("127.0.0.2");
	union weft_sockaddr dead, got;
	int fd = open_deaf("127.0.0.3", &dead);
	struct weft_udp *a;

	(void)state;
	cfg.paths = 256;
	a = open_cfg(&cfg);
	send_frame(a, &dead, 77, 0, 100);
	weft_udp_flush(a);
	got = wait_unreachable(a);
	assert_int_equal(dead.in4.sin_port, got.in4.sin_port);
	assert_false(weft_udp_next_unreachable(a, &got));
	weft_udp_close(a);
	close(fd);
}

/* Receiving goes on while answers of dead peers come in. */
static void weft_udp_recv__after_errors(void **state)
{
	struct weft_udp *a = open_at("127.0.0.2"), *b = open_at("127.0.0.3");
	union weft_sockaddr to = own_addr(weft_udp_fd(a)), dead;
	int fd = open_deaf("127.0.0.3", &dead);

	(void)state;
	for (uint32_t i = 0; i < 20; i++) {
		send_frame(a, &dead, 0, i, 100);
		weft_udp_flush(a);
		send_frame(b, &to, 0, i, 100);
		weft_udp_flush(b);
		recv_frames(a, 1);
		check_frame(0, i, 100);
	}
	weft_udp_close(a);
	weft_udp_close(b);
	close(fd);
}

/* An answer sent from within the receiver's callback. */
static void on_echo(void *arg, const struct weft_wire_rx *rx)
{
	struct weft_udp *udp = ((struct inbox *)arg)->udp;
	union weft_sockaddr to = own_addr(weft_udp_fd(udp));

	/* Not passed on by the wire: here the frame itself says where it came from. */
	memcpy(&to.in4.sin_port, rx->data + 1, sizeof(to.in4.sin_port));
	weft_udp_send(udp, &to, 0, &(struct weft_wire_tx){ .head = rx->data, .head_len = rx->len });
	on_frame(arg, rx);
}

static void weft_udp_recv__answers_at_once(void **state)
{
	struct weft_udp *a = open_at("127.0.0.2"), *b = open_at("127.0.0.2");
	union weft_sockaddr from = own_addr(weft_udp_fd(a)), to = own_addr(weft_udp_fd(b));
	uint8_t head[1 + sizeof(from.in4.sin_port)] = { 0 };

	(void)state;
	memcpy(head + 1, &from.in4.sin_port, sizeof(from.in4.sin_port));
	for (uint32_t i = 0; i < 10; i++)
		weft_udp_send(a, &to, 0,
			      &(struct weft_wire_tx){ .head = head, .head_len = sizeof(head) });
	weft_udp_flush(a);
	inbox = (struct inbox){ .udp = b };
	while (inbox.frames < 10) {
		wait_readable(weft_udp_fd(b));
		weft_udp_recv(b, 64, on_echo, &inbox);
	}
	weft_udp_flush(b);
	recv_frames(a, 10);
	weft_udp_close(a);
	weft_udp_close(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_udp_open__port_is_exclusive),
		cmocka_unit_test(weft_udp_open__refused),
		cmocka_unit_test(weft_udp_open__unknown_family),
		cmocka_unit_test(weft_udp_frame_max__ipv4),
		cmocka_unit_test(weft_udp_frame_max__ipv6),
		cmocka_unit_test(weft_udp_frame_max__no_route),
		cmocka_unit_test(weft_udp_send__gathers_pieces),
		cmocka_unit_test(weft_udp_send__gathers_pieces_ipv6),
		cmocka_unit_test(weft_udp_send__streams),
		cmocka_unit_test(weft_udp_send__streams_ipv6),
		cmocka_unit_test(weft_udp_send__batches),
		cmocka_unit_test(weft_udp_send__longest_batches),
		cmocka_unit_test(weft_udp_send__too_long),
		cmocka_unit_test(weft_udp_send__gso_too_long),
		cmocka_unit_test(weft_udp_send__no_route),
		cmocka_unit_test(weft_udp_send__gso_refused),
		cmocka_unit_test(weft_udp_send__bad_memory),
		cmocka_unit_test(weft_udp_send__paths),
		cmocka_unit_test(weft_udp_send__mixed_paths),
		cmocka_unit_test(weft_udp_send__busy_with_two),
		cmocka_unit_test(weft_udp_send__table_is_large_enough),
		cmocka_unit_test(weft_udp_send__no_descriptors),
		cmocka_unit_test(weft_udp_send__ecn_capable),
		cmocka_unit_test(weft_udp_recv__nothing),
		cmocka_unit_test(weft_udp_recv__budget),
		cmocka_unit_test(weft_udp_recv__truncated),
		cmocka_unit_test(weft_udp_recv__budget_of_truncated),
		cmocka_unit_test(weft_udp_recv__ce),
		cmocka_unit_test(weft_udp_recv__ce_ipv6),
		cmocka_unit_test(weft_udp_recv__after_errors),
		cmocka_unit_test(weft_udp_recv__answers_at_once),
		cmocka_unit_test(weft_udp_next_unreachable__closed_port),
		cmocka_unit_test(weft_udp_next_unreachable__closed_port_ipv6),
		cmocka_unit_test(weft_udp_next_unreachable__path),
		cmocka_unit_test(weft_udp_next_unreachable__in_a_batch),
		cmocka_unit_test(weft_udp_next_unreachable__silent_path),
	};

	return cmocka_run_group_tests_name("udp", tests, NULL, NULL);
}
