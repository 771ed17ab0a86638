/* SPDX-License-Identifier: BSD-2-Clause */
/* A server for scrapers.
 *
 * Every connection is a small state: reading a request, writing an answer, reading until the client closes. poll() waits for all of them; each has
 * a deadline for the whole of it, so that bytes that drip in do not keep a place, and when the places are full
 * the oldest gives way to the newest. Requests are read up to a limit and answered with Connection: close. */
#define _GNU_SOURCE
#include "watch/http.h"

#include "dev/cardset.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX 32u
#define REQUEST_MAX 8192u
#define LIFE        WEFT_S(10)
#define DRAIN       WEFT_S(1)

static_assert(CLIENTS_MAX + 1 == WEFT_HTTP_FDS_MAX, "clients, and a socket");

struct client {
	int fd;
	weft_ns until;
	size_t got; /* Of the request. */
	char request[REQUEST_MAX + 1];
	char *answer; /* owns. NULL: the request is not whole yet. */
	size_t len, sent;
};

struct weft_http {
	int fd; /* owns */
	char where[96];
	weft_http_fn *fn;
	void *arg; /* borrows */
	struct client client[CLIENTS_MAX];
	uint32_t clients;
};

static weft_ns now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (weft_ns)now.tv_sec * 1000000000u + (weft_ns)now.tv_nsec;
}

/* Listening */

/* "host:port" in two; brackets around the host are taken away. */
static bool split(const char *where, char *host, size_t len, const char **port_out)
{
	const char *colon = strrchr(where, ':');
	size_t host_len = colon ? (size_t)(colon - where) : 0;

	if (!host_len || !colon[1] || strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
	    strtoul(colon + 1, NULL, 10) > 65535)
		return false;
	if (where[0] == '[' && host_len > 2 && where[host_len - 1] == ']') {
		where++;
		host_len -= 2;
	} else if (memchr(where, ':', host_len)) {
		return false; /* IPv6 without brackets: which colon is it? */
	}
	if (host_len >= len)
		return false;
	memcpy(host, where, host_len);
	host[host_len] = '\0';
	*port_out = colon + 1;
	return true;
}

union address {
	struct sockaddr sa;
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;
};

static socklen_t address_of(const struct weft_ip *ip, uint16_t port, union address *to)
{
	memset(to, 0, sizeof(*to));
	if (!ip->v6) {
		to->in4.sin_family = AF_INET;
		to->in4.sin_port = htons(port);
		memcpy(&to->in4.sin_addr, ip->raw, 4);
		return sizeof(to->in4);
	}
	to->in6.sin6_family = AF_INET6;
	to->in6.sin6_port = htons(port);
	to->in6.sin6_scope_id = ip->scope;
	memcpy(&to->in6.sin6_addr, ip->raw, 16);
	return sizeof(to->in6);
}

static int listen_on(const struct weft_ip *ip, uint16_t port, int *fd_out)
{
	union address to;
	socklen_t len = address_of(ip, port, &to);
	int one = 1, err;
	int fd = socket(to.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, &to.sa, len) || listen(fd, 64)) {
		err = -errno;
		close(fd);
		return err;
	}
	*fd_out = fd;
	return 0;
}

static void name_socket(struct weft_http *h, const struct weft_ip *ip)
{
	union address at = { .in6 = { .sin6_port = 0 } };
	socklen_t len = sizeof(at);
	char host[64];

	if (getsockname(h->fd, &at.sa, &len))
		return;
	snprintf(h->where, sizeof(h->where), ip->v6 ? "[%s]:%u" : "%s:%u",
		 weft_ip_text(ip, host, sizeof(host)),
		 ntohs(ip->v6 ? at.in6.sin6_port : at.in4.sin_port));
}

int weft_http_open(const char *where, weft_http_fn *fn, void *arg, struct weft_http **http_out,
		   char *why_out, size_t len)
{
	struct weft_ip ip;
	struct weft_http *h;
	char host[64];
	const char *port;
	int err;

	/* No names: looking them up may hang, and may lead anywhere. */
	if (!split(where, host, sizeof(host), &port) ||
	    !weft_ip_parse(strcmp(host, "*") ? host : "0.0.0.0", &ip)) {
		snprintf(why_out, len, "an address and a port (127.0.0.1:9410), not %.64s", where);
		return -EINVAL;
	}
	h = calloc(1, sizeof(*h));
	err = h ? listen_on(&ip, (uint16_t)strtoul(port, NULL, 10), &h->fd) : -ENOMEM;
	if (err) {
		free(h);
		snprintf(why_out, len, "cannot listen on %.64s: %s", where, strerror(-err));
		return err;
	}
	h->fn = fn;
	h->arg = arg;
	name_socket(h, &ip);
	*http_out = h;
	return 0;
}

const char *weft_http_where(const struct weft_http *http)
{
	return http->where;
}

/* Clients */

static void drop(struct weft_http *h, uint32_t index)
{
	struct client *c = &h->client[index];

	close(c->fd);
	free(c->answer);
	/* In order of age: the oldest is first. */
	memmove(c, c + 1, (--h->clients - index) * sizeof(*c));
}

void weft_http_close(struct weft_http *http)
{
	while (http->clients)
		drop(http, 0);
	close(http->fd);
	free(http);
}

static void take(struct weft_http *h)
{
	struct client *c;
	int fd = accept4(h->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	/* Out of descriptors: somebody has to go. */
	if (fd < 0 && (errno == EMFILE || errno == ENFILE) && h->clients)
		drop(h, 0);
	if (fd < 0)
		return;
	if (h->clients == CLIENTS_MAX)
		drop(h, 0);
	c = &h->client[h->clients++];
	memset(c, 0, sizeof(*c));
	c->fd = fd;
	c->until = now_ns() + LIFE;
}

static void answer(struct client *c, const char *status, const char *type, const char *body,
		   size_t len, bool head_only)
{
	int n;

	c->answer = malloc(len + 512);
	if (!c->answer)
		return;
	n = snprintf(c->answer, 512,
		     "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
		     "Connection: close\r\n%s\r\n",
		     status, type, len,
		     status[0] == '4' && status[2] == '5' ? "Allow: GET, HEAD\r\n" : "");
	c->len = (size_t)n;
	if (head_only)
		return;
	memcpy(c->answer + c->len, body, len);
	c->len += len;
}

static void say(struct client *c, const char *status, const char *text, bool head_only)
{
	answer(c, status, "text/html; charset=utf-8", text, strlen(text), head_only);
}

/* Does the client ask for OpenMetrics? Whoever does not gets the older format, which all understand. */
static bool wants_openmetrics(const char *request)
{
	for (const char *line = request; (line = strstr(line, "\r\n")) != NULL;) {
		const char *end;

		line += 2;
		end = strstr(line, "\r\n");
		if (strncasecmp(line, "Accept:", 7) != 0 || !end)
			continue;
		return memmem(line, (size_t)(end - line), "application/openmetrics-text",
			      strlen("application/openmetrics-text")) != NULL;
	}
	return false;
}

static void metrics(struct weft_http *h, struct client *c, bool head_only)
{
	bool openmetrics = wants_openmetrics(c->request);
	char *body = NULL;
	size_t len = 0;

	if (!h->fn(h->arg, openmetrics, &body, &len)) {
		say(c, "503 Service Unavailable", "the counters cannot be read now\n", head_only);
		return;
	}
	answer(c, "200 OK",
	       openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
			   : "text/plain; version=0.0.4; charset=utf-8",
	       body, len, head_only);
	free(body);
}

static bool is_path(const char *target, size_t len, const char *path)
{
	const char *query = memchr(target, '?', len);

	len = query ? (size_t)(query - target) : len;
	return len == strlen(path) && !memcmp(target, path, len);
}

/* The request is whole. */
static void on_request(struct weft_http *h, struct client *c)
{
	bool head_only = !strncmp(c->request, "HEAD ", 5);
	const char *target = strchr(c->request, ' ');
	size_t len = target ? strcspn(++target, " \r\n") : 0;

	if (!target || strncmp(target + len, " HTTP/1.", 8) != 0) {
		say(c, "400 Bad Request", "not HTTP/1\n", false);
	} else if (!head_only && strncmp(c->request, "GET ", 4) != 0) {
		say(c, "405 Method Not Allowed", "GET or HEAD\n", false);
	} else if (is_path(target, len, "/metrics")) {
		metrics(h, c, head_only);
	} else if (is_path(target, len, "/")) {
		say(c, "200 OK",
		    "<!doctype html><title>weft</title>"
		    "<p><a href=\"/metrics\">/metrics</a></p>\n",
		    head_only);
	} else {
		say(c, "404 Not Found", "there is /metrics\n", head_only);
	}
}

/* False: the client is done with, one way or another. */
static bool on_readable(struct weft_http *h, struct client *c)
{
	ssize_t got = recv(c->fd, c->request + c->got, REQUEST_MAX - c->got, 0);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (got <= 0)
		return false;
	c->got += (size_t)got;
	c->request[c->got] = '\0';
	if (memchr(c->request, '\0', c->got))
		say(c, "400 Bad Request", "not HTTP/1\n", false);
	else if (strstr(c->request, "\r\n\r\n"))
		on_request(h, c);
	else if (c->got == REQUEST_MAX)
		say(c, "431 Request Header Fields Too Large", "too large\n", false);
	else
		return true;
	return c->answer != NULL;
}

static bool on_writable(struct client *c)
{
	ssize_t sent = send(c->fd, c->answer + c->sent, c->len - c->sent, MSG_NOSIGNAL);

	if (sent < 0)
		return errno == EAGAIN || errno == EINTR;
	c->sent += (size_t)sent;
	if (c->sent < c->len)
		return true;
	c->until = WEFT_MIN(c->until, now_ns() + DRAIN);
	return !shutdown(c->fd, SHUT_WR);
}

/* The answer is out. Closing while the client still sends would be a reset, which may overtake it. */
static bool on_rest(struct client *c)
{
	char rest[4096];
	ssize_t got = recv(c->fd, rest, sizeof(rest), 0);

	return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

static bool is_answering(const struct client *c)
{
	return c->answer && c->sent < c->len;
}

static void serve_clients(struct weft_http *h, const struct pollfd *fds)
{
	weft_ns now = now_ns();

	for (uint32_t i = h->clients; i-- > 0;) {
		struct client *c = &h->client[i];
		bool keep = c->until > now;

		if (keep && fds[i].revents)
			keep = is_answering(c) ? on_writable(c)
			       : c->answer     ? on_rest(c)
					       : on_readable(h, c);
		if (!keep)
			drop(h, i);
	}
}

uint32_t weft_http_wait(const struct weft_http *h, struct pollfd *fds, weft_ns *until)
{
	for (uint32_t i = 0; i < h->clients; i++) {
		const struct client *c = &h->client[i];

		/* Once the answer is out, its end could always be written, and we would spin. */
		fds[i] = (struct pollfd){ .fd = c->fd,
					  .events = is_answering(c) ? POLLOUT : POLLIN };
		*until = WEFT_MIN(*until, c->until);
	}
	fds[h->clients] = (struct pollfd){ .fd = h->fd, .events = POLLIN };
	return h->clients + 1;
}

void weft_http_turn(struct weft_http *h, const struct pollfd *fds)
{
	uint32_t clients = h->clients;

	serve_clients(h, fds);
	if (fds[clients].revents)
		take(h);
}

void weft_http_serve(struct weft_http *h, weft_ns until, const sigset_t *waiting)
{
	for (;;) {
		struct pollfd fds[WEFT_HTTP_FDS_MAX];
		weft_ns now = now_ns(), next = until;
		uint32_t n = weft_http_wait(h, fds, &next);
		struct timespec ts;

		if (now >= until)
			return;
		next = next > now ? next - now : 0;
		ts.tv_sec = (time_t)(next / 1000000000u);
		ts.tv_nsec = (long)(next % 1000000000u);
		if (ppoll(fds, n, &ts, waiting) < 0)
			return;
		weft_http_turn(h, fds);
	}
}
