/* SPDX-License-Identifier: BSD-2-Clause */
/* udp --port P				the server
 * udp --port P stream|pingpong HOST	the client: prints one line of JSON
 *
 * What UDP sockets can do at best on this machine, which is the ceiling of whatever is carried over them: connected
 * sockets, both sides polling, no protocol but what a fair count needs.
 *
 * The stream goes out in bursts that the kernel cuts into segments (UDP_SEGMENT), and comes in as the kernel has put
 * it together again (UDP_GRO). The receiver tells what it has got; the sender has no more than a window under way,
 * since what overflows a buffer would be work for nothing. Only what was received counts. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "work.h"

#define MAGIC       0x75647031u
#define BURST_MAX   65507u
#define SEGS_MAX    64u /* Older kernels take no more. */
#define BUFFER      (16 << 20)
#define TELL_BYTES  (128u << 10)
#define LOST_NS     2000000u /* Nothing heard for so long: what is under way is lost. */
#define WARMUP_PART 5

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum mode {
	STREAM,
	PINGPONG
};

struct plan { /* As it is sent. */
	uint32_t magic;
	enum mode mode;
	uint32_t size; /* PINGPONG: of a datagram. STREAM: of a segment. */
	uint32_t no_offload;
	uint64_t span, window, ns, iterations;
};

struct totals {
	uint64_t bytes, ns; /* Received in the time that counts. */
};

static const char usage[] =
	"usage: udp --port P                             server, for one client\n"
	"       udp --port P stream HOST [options]       bytes in a second, cut by the kernel\n"
	"       udp --port P pingpong HOST [options]     nanoseconds of one way\n"
	"\n"
	"  -s, --size BYTES    of a segment or datagram (1472; pingpong: 64)\n"
	"  --seconds T         how long to send (1)\n"
	"  --window BYTES      under way at most (1m)\n"
	"  --span BYTES        memory to send from and receive into (16m)\n"
	"  --iterations N      exchanges to measure (20000)\n"
	"  --no-offload        one datagram with each call\n"
	"  --cpu N             run on this core\n";

/* A socket that is connected to the other side's, whose port goes over the connection beside. */
static int open_socket(int side)
{
	struct sockaddr_storage own, peer;
	socklen_t own_len = sizeof(own), peer_len = sizeof(peer);
	uint16_t port, *own_port, *peer_port;
	int fd, size = BUFFER;

	if (getsockname(side, (struct sockaddr *)&own, &own_len) ||
	    getpeername(side, (struct sockaddr *)&peer, &peer_len))
		work_fail("addresses");
	own_port = own.ss_family == AF_INET6 ? &((struct sockaddr_in6 *)&own)->sin6_port
					     : &((struct sockaddr_in *)&own)->sin_port;
	peer_port = peer.ss_family == AF_INET6 ? &((struct sockaddr_in6 *)&peer)->sin6_port
					       : &((struct sockaddr_in *)&peer)->sin_port;
	fd = socket(own.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	*own_port = 0;
	if (fd < 0 || bind(fd, (struct sockaddr *)&own, own_len))
		work_fail("UDP socket");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if (getsockname(fd, (struct sockaddr *)&own, &own_len))
		work_fail("getsockname");
	work_put(side, own_port, sizeof(*own_port));
	work_get(side, &port, sizeof(port));
	*peer_port = port;
	if (connect(fd, (struct sockaddr *)&peer, peer_len))
		work_fail("connect");
	return fd;
}

/* Ping-pong */

static void exchange(int fd, int side, uint8_t *mem, uint32_t size, bool begins)
{
	uint64_t idle = 0;

	if (begins && send(fd, mem, size, 0) != (ssize_t)size)
		work_fail("send");
	while (recv(fd, mem, size, 0) < 0) {
		if (errno != EAGAIN)
			work_fail("recv");
		if (++idle % 1000000 == 0 && (!begins || idle > 10000000) && work_is_told(side))
			work_fatal("the other side is gone");
	}
	if (!begins && send(fd, mem, size, 0) != (ssize_t)size)
		work_fail("send");
}

static void pingpong(int fd, int side, const struct plan *plan, bool is_client)
{
	uint8_t *mem = work_memory(65536);
	struct work_samples samples;

	work_samples_init(&samples, plan->iterations);
	work_meet(side);
	for (uint64_t i = 0; i < plan->iterations + plan->iterations / 10; i++) {
		uint64_t begin = work_now();

		exchange(fd, side, mem, plan->size, is_client);
		if (i >= plan->iterations / 10)
			work_samples_add(&samples, work_now() - begin);
	}
	if (!is_client)
		return;
	printf("{\"size\": %u, ", plan->size);
	work_samples_print(&samples, 2);
	printf("}\n");
}

/* Stream */

/* Bytes received so far, as the other side last said; 0 when it has said nothing. */
static uint64_t told(int fd)
{
	uint64_t bytes, last = 0;

	while (recv(fd, &bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes))
		last = bytes;
	return last;
}

static void send_stream(int fd, int side, const struct plan *plan)
{
	uint8_t *mem = work_memory(plan->span + BURST_MAX);
	uint32_t segs = BURST_MAX / plan->size < SEGS_MAX ? BURST_MAX / plan->size : SEGS_MAX;
	uint32_t burst = plan->no_offload ? plan->size : segs * plan->size;
	uint64_t sent = 0, got = 0, lost = 0, at = 0, heard, begin, now;
	struct totals totals;
	char done = 'd';

	work_meet(side);
	begin = heard = now = work_now();
	while (now - begin < plan->ns) {
		uint64_t news = told(fd);

		now = work_now();
		if (news > got) {
			got = news;
			/* Some of what was taken for lost was only late. */
			lost = lost < sent - got ? lost : sent - got;
			heard = now;
		} else if (now - heard > LOST_NS && sent > got + lost) {
			lost = sent - got;
			heard = now;
		}
		if (sent - got - lost + burst > plan->window && sent != got + lost)
			continue;
		if (send(fd, mem + at, burst, 0) == (ssize_t)burst) {
			sent += burst;
			at = at + burst < plan->span ? at + burst : 0;
		} else if (errno != EAGAIN && errno != ENOBUFS) {
			work_fail("send");
		}
	}
	work_put(side, &done, 1);
	work_get(side, &totals, sizeof(totals));
	printf("{\"size\": %u, \"burst\": %u, \"seconds\": %.6f, \"gbytes\": %.4f, \"lost\": "
	       "%.5f}\n",
	       plan->size, burst, (double)totals.ns / 1e9, (double)totals.bytes / (double)totals.ns,
	       sent ? (double)lost / (double)sent : 0);
}

static void receive_stream(int fd, int side, const struct plan *plan)
{
	uint8_t *mem = work_memory(plan->span + 65536);
	uint64_t bytes = 0, at = 0, said = 0, idle = 0, begin = 0, skipped = 0, now, last = 0;
	struct totals totals;
	char done;

	work_meet(side);
	now = work_now();
	for (;;) {
		ssize_t n = recv(fd, mem + at, 65536, 0);

		if (n < 0) {
			if (errno != EAGAIN && errno != ECONNREFUSED)
				work_fail("recv");
			if (++idle % 4096 == 0 && work_is_told(side))
				break;
			continue;
		}
		bytes += (uint64_t)n;
		at = at + (uint64_t)n < plan->span ? at + (uint64_t)n : 0;
		if (bytes - said < TELL_BYTES)
			continue;
		said = bytes;
		send(fd, &bytes, sizeof(bytes), 0);
		last = work_now();
		if (!begin && last - now > plan->ns / WARMUP_PART) {
			begin = last;
			skipped = bytes;
		}
	}
	work_get(side, &done, 1);
	totals.bytes = said - skipped;
	totals.ns = last > begin ? last - begin : 1;
	work_put(side, &totals, sizeof(totals));
}

static void stream(int fd, int side, const struct plan *plan, bool is_client)
{
	int size = (int)plan->size, on = 1;

	if (!plan->no_offload && (setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT,
					     is_client ? &size : &(int){ 0 }, sizeof(size)) ||
				  setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on))))
		work_fail("this kernel has no UDP_SEGMENT or UDP_GRO");
	if (is_client)
		send_stream(fd, side, plan);
	else
		receive_stream(fd, side, plan);
}

/* Command line */

static const struct option options[] = {
	{ "port", 1, NULL, 'p' },       { "size", 1, NULL, 's' }, { "seconds", 1, NULL, 't' },
	{ "window", 1, NULL, 'w' },     { "span", 1, NULL, 'S' }, { "iterations", 1, NULL, 'n' },
	{ "no-offload", 0, NULL, 'N' }, { "cpu", 1, NULL, 'c' },  { "help", 0, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static void set_option(struct plan *plan, int opt, uint16_t *port)
{
	switch (opt) {
	case 'p':
		*port = (uint16_t)work_number(optarg, 1, UINT16_MAX);
		break;
	case 's':
		plan->size = (uint32_t)work_number(optarg, 1, BURST_MAX);
		break;
	case 't':
		plan->ns = (uint64_t)(strtod(optarg, NULL) * 1e9);
		break;
	case 'w':
		plan->window = work_number(optarg, BURST_MAX, 1 << 30);
		break;
	case 'S':
		plan->span = work_number(optarg, BURST_MAX, 1ull << 34);
		break;
	case 'n':
		plan->iterations = work_number(optarg, 10, 100000000);
		break;
	case 'N':
		plan->no_offload = 1;
		break;
	case 'c':
		work_pin((int)work_number(optarg, 0, 1023));
		break;
	case 'h':
		fputs(usage, stdout);
		exit(0);
	default:
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct plan plan = { .magic = MAGIC,
			     .span = 16 << 20,
			     .window = 1 << 20,
			     .ns = 1000000000,
			     .iterations = 20000 };
	bool is_client;
	uint16_t port = 0;
	int opt, side, fd;

	while ((opt = getopt_long(argc, argv, "p:s:h", options, NULL)) != -1)
		set_option(&plan, opt, &port);
	is_client = argc - optind == 2;
	if (!port || (!is_client && argc != optind)) {
		fputs(usage, stderr);
		return 2;
	}
	if (is_client) {
		if (strcmp(argv[optind], "stream") != 0 && strcmp(argv[optind], "pingpong") != 0)
			work_fatal("%s? (--help)", argv[optind]);
		plan.mode = argv[optind][0] == 's' ? STREAM : PINGPONG;
		if (!plan.size)
			plan.size = plan.mode == STREAM ? 1472 : 64;
		side = work_connect(argv[optind + 1], port);
		work_put(side, &plan, sizeof(plan));
	} else {
		side = work_accept(port);
		work_get(side, &plan, sizeof(plan));
		if (plan.magic != MAGIC)
			work_fatal("the other side is another program");
	}
	fd = open_socket(side);
	if (plan.mode == STREAM)
		stream(fd, side, &plan, is_client);
	else
		pingpong(fd, side, &plan, is_client);
	fflush(stdout);
	work_meet(side);
	return 0;
}
