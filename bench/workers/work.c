/* SPDX-License-Identifier: BSD-2-Clause */
/* What the programs that measure have in common; see work.h. Nothing of weft is in here, since its peers
 * are measured with it as well. */
#define _GNU_SOURCE
#include "work.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECT_TRIES 100 /* With 50 ms between them. */
#define SIDE_SECONDS  60 /* Nobody is silent for longer. */

uint64_t work_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void say(const char *format, va_list args)
{
	fprintf(stderr, "%s: ", program_invocation_short_name);
	vfprintf(stderr, format, args);
}

void work_fatal(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(2);
}

void work_fail(const char *format, ...)
{
	int err = errno;
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
	fprintf(stderr, ": %s\n", strerror(err));
	exit(2);
}

uint64_t work_number(const char *text, uint64_t min, uint64_t max)
{
	static const char units[] = "kmg";
	uint32_t shift = 0;
	const char *unit;
	char *end;
	uint64_t v;

	errno = 0;
	v = strtoull(text, &end, 10);
	unit = *end ? strchr(units, *end | 0x20) : NULL;
	if (unit) {
		shift = 10 * (uint32_t)(unit - units + 1);
		end++;
	}
	if (errno || *end || *text < '0' || *text > '9' || v > UINT64_MAX >> shift ||
	    v << shift < min || v << shift > max)
		work_fatal("%s: not a number from %llu to %llu", text, (unsigned long long)min,
			   (unsigned long long)max);
	return v << shift;
}

void *work_memory(size_t size)
{
	void *p = mmap(NULL, size ? size : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);

	if (p == MAP_FAILED)
		work_fail("%zu bytes of memory", size);
	memset(p, 0x5a, size);
	return p;
}

void work_pin(int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		work_fail("core %d", cpu);
}

/* Samples */

void work_samples_init(struct work_samples *samples, size_t max)
{
	*samples = (struct work_samples){ .ns = work_memory(max * sizeof(uint64_t)), .max = max };
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

void work_samples_print(struct work_samples *samples, double divisor)
{
	static const struct {
		const char *name;
		double share;
	} at[] = { { "p50_ns", 0.5 }, { "p90_ns", 0.9 }, { "p99_ns", 0.99 }, { "p999_ns", 0.999 } };

	if (!samples->n)
		work_fatal("no samples");
	qsort(samples->ns, samples->n, sizeof(uint64_t), by_value);
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++)
		printf("\"%s\": %.1f, ", at[i].name,
		       (double)samples->ns[(size_t)((double)samples->n * at[i].share)] / divisor);
	printf("\"max_ns\": %.1f, \"samples\": %zu", (double)samples->ns[samples->n - 1] / divisor,
	       samples->n);
}

/* The connection beside */

static int ready(int fd)
{
	struct timeval limit = { .tv_sec = SIDE_SECONDS };
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

int work_accept(uint16_t port)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, zero = 0, client;

	if (fd < 0)
		work_fail("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) || listen(fd, 1))
		work_fail("TCP port %u", port);
	client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	if (client < 0)
		work_fail("accept");
	close(fd);
	return ready(client);
}

int work_connect(const char *host, uint16_t port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV }, *found;
	char service[8];
	int err, fd;

	snprintf(service, sizeof(service), "%u", port);
	err = getaddrinfo(host, service, &hints, &found);
	if (err)
		work_fatal("%s: %s", host, gai_strerror(err));
	for (int i = 0; i < CONNECT_TRIES; i++) {
		fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd >= 0 && !connect(fd, found->ai_addr, found->ai_addrlen)) {
			freeaddrinfo(found);
			return ready(fd);
		}
		if (fd >= 0)
			close(fd);
		poll(NULL, 0, 50);
	}
	work_fail("%s, TCP port %u", host, port);
}

void work_put(int fd, const void *data, size_t len)
{
	while (len) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n <= 0)
			work_fail("the other side");
		data = (const char *)data + n;
		len -= (size_t)n;
	}
}

void work_get(int fd, void *data, size_t len)
{
	while (len) {
		ssize_t n = recv(fd, data, len, 0);

		if (n < 0)
			work_fail("the other side");
		if (!n)
			work_fatal("the other side is gone");
		data = (char *)data + n;
		len -= (size_t)n;
	}
}

bool work_is_told(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN;
}

void work_meet(int fd)
{
	char byte = 'm';

	work_put(fd, &byte, 1);
	work_get(fd, &byte, 1);
}
