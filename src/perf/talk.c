/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames over a stream: type and length, 4 bytes each, then the body. Whoever sends slowly or nothing costs the reader
 * no more than the time that the reader gave it. */
#define _GNU_SOURCE
#include "perf/talk.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SEND_TIMEOUT_MS 10000
#define KEEP_IDLE_S     10 /* Of silence, until the other end is asked whether it is there; */
#define KEEP_AGAIN_S    5 /* and again, */
#define KEEP_TIMES      4

struct head {
	uint32_t type, len;
};

uint64_t weft_talk_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* 0: ready. */
static int wait_for(int fd, short events, uint64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = events };
	uint64_t now;
	int n;

	do {
		now = weft_talk_now();
		n = poll(&p, 1, now < deadline ? (int)((deadline - now + 999999) / 1000000) : 0);
	} while ((n < 0 && errno == EINTR) || (!n && weft_talk_now() < deadline));
	return n < 0 ? -errno : n ? 0 : -ETIMEDOUT;
}

static int put_all(int fd, const uint8_t *data, size_t len, uint64_t deadline)
{
	while (len) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN) {
			int err = wait_for(fd, POLLOUT, deadline);

			if (err)
				return err;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == ECONNRESET ? -EPIPE : -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

int weft_talk_put(int fd, enum weft_talk_type type, const void *body, size_t len)
{
	struct head head = { .type = type, .len = (uint32_t)len };
	uint64_t deadline = weft_talk_now() + SEND_TIMEOUT_MS * 1000000ull;
	int err;

	if (len > WEFT_TALK_BODY_MAX)
		return -EMSGSIZE;
	err = put_all(fd, (const uint8_t *)&head, sizeof(head), deadline);
	return err ? err : put_all(fd, body, len, deadline);
}

static int get_all(int fd, uint8_t *data, size_t len, uint64_t deadline)
{
	while (len) {
		ssize_t n = recv(fd, data, len, MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN) {
			int err = wait_for(fd, POLLIN, deadline);

			if (err)
				return err;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return !n || errno == ECONNRESET ? -EPIPE : -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

int weft_talk_get(int fd, uint32_t *type_out, void *body, size_t size, size_t *len_out,
		  uint64_t timeout_ns)
{
	uint64_t deadline = weft_talk_now() + timeout_ns;
	struct head head;
	int err = get_all(fd, (uint8_t *)&head, sizeof(head), deadline);

	if (err)
		return err;
	if (head.len > size)
		return -EPROTO;
	err = get_all(fd, body, head.len, deadline);
	if (err)
		return err;
	*type_out = head.type;
	*len_out = head.len;
	return 0;
}

static int connect_one(const struct addrinfo *ai, uint64_t deadline)
{
	int fd = socket(ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t len = sizeof(int);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (connect(fd, ai->ai_addr, ai->ai_addrlen))
		err = -errno;
	if (err == -EINPROGRESS) {
		err = wait_for(fd, POLLOUT, deadline);
		if (!err && !getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len))
			err = -err;
	}
	if (err) {
		close(fd);
		return err;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	/* A host that lost its power or its network says nothing: without asking it we would wait for hours. */
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &(int){ 1 }, sizeof(int));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &(int){ KEEP_IDLE_S }, sizeof(int));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &(int){ KEEP_AGAIN_S }, sizeof(int));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &(int){ KEEP_TIMES }, sizeof(int));
	/* The same if what we sent last is not acknowledged: then nobody asks. */
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
		   &(int){ (KEEP_IDLE_S + KEEP_AGAIN_S * KEEP_TIMES) * 1000 }, sizeof(int));
	return fd;
}

int weft_talk_connect(const char *host, uint16_t port, uint64_t timeout_ns, char *why, size_t len)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
	uint64_t deadline = weft_talk_now() + timeout_ns;
	char service[8];
	int fd = -ENOENT, err;

	snprintf(service, sizeof(service), "%u", port);
	err = getaddrinfo(host, service, &hints, &list);
	if (err) {
		snprintf(why, len, "%.128s: %s", host, gai_strerror(err));
		return -1;
	}
	for (struct addrinfo *ai = list; ai && fd < 0; ai = ai->ai_next)
		fd = connect_one(ai, deadline);
	freeaddrinfo(list);
	if (fd < 0)
		snprintf(why, len, "%.128s, port %u: %s%s", host, port,
			 fd == -ETIMEDOUT ? "no answer" : strerror(-fd),
			 fd == -ECONNREFUSED ? "; is `weft perf serve` running there?" : "");
	return fd < 0 ? -1 : fd;
}

int weft_talk_listen(const char *address, uint16_t port, char *why, size_t len)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *list;
	char service[8];
	int fd, err;

	/* IPv6's "all addresses" are IPv4's as well, where there is IPv6. */
	if (!address) {
		fd = weft_talk_listen("::", port, why, len);
		return fd >= 0 || errno == EADDRINUSE ? fd
						      : weft_talk_listen("0.0.0.0", port, why, len);
	}
	snprintf(service, sizeof(service), "%u", port);
	err = getaddrinfo(address, service, &hints, &list);
	if (err) {
		snprintf(why, len, "%.128s: %s", address, gai_strerror(err));
		return -1;
	}
	fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
		if (list->ai_family == AF_INET6)
			setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){ 0 }, sizeof(int));
	}
	if (fd < 0 || bind(fd, list->ai_addr, list->ai_addrlen) || listen(fd, 16)) {
		snprintf(why, len, "port %u: %s", port, strerror(errno));
		err = errno;
		if (fd >= 0)
			close(fd);
		fd = -1;
	}
	freeaddrinfo(list);
	errno = err;
	return fd;
}

void weft_talk_address(int fd, bool is_other, char *out, size_t len)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
		struct sockaddr_storage room;
	} a = { 0 };
	socklen_t size = sizeof(a);

	*out = 0;
	if ((is_other ? getpeername : getsockname)(fd, &a.any, &size))
		return;
	if (a.any.sa_family == AF_INET)
		inet_ntop(AF_INET, &a.v4.sin_addr, out, (socklen_t)len);
	else if (a.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a.v6.sin6_addr))
		inet_ntop(AF_INET, a.v6.sin6_addr.s6_addr + 12, out, (socklen_t)len);
	else if (a.any.sa_family == AF_INET6)
		inet_ntop(AF_INET6, &a.v6.sin6_addr, out, (socklen_t)len);
}
