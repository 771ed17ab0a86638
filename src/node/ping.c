/* SPDX-License-Identifier: BSD-2-Clause */
/* Does the wire work, and if not, what is it?
 *
 * A message that arrives is a proof, one that does not is none: SRD needs both directions for either. What tells the
 * cases apart is what each side's card has counted. Packets went out here, came in there, and nothing came back: then
 * one direction is open and the other is not. Packets came in and were refused: another key. Nothing came in
 * anywhere: a filter, in both directions. Small messages pass and large ones do not: an MTU.
 *
 * Both sides do the same: small messages until all are through or time is up, then a line about it over the TCP
 * connection; large ones the same way if the small ones went through. Each ends within half a minute. */
#define _GNU_SOURCE /* accept4 */
#include "node/ping.h"

#include "node/srdcard.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MESSAGES   8u
#define SMALL      64u
#define PHASE_NS   WEFT_S(4)
#define CONNECT_MS 5000
#define LINE_MS    15000 /* More than a phase: the other side may have begun later. */
#define LINE_MAX_  256

/* One exchange, as one side has seen it. */
struct seen {
	uint32_t sent, rcvd; /* Messages that were acknowledged; that came in. */
	int status; /* Of the first that failed, or 0. */
	struct weft_ping_packets packets; /* In that time. */
};

static weft_ns now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return WEFT_S((uint64_t)t.tv_sec) + (uint64_t)t.tv_nsec;
}

static void nap(void)
{
	const struct timespec t = { .tv_nsec = 500000 };

	nanosleep(&t, NULL);
}

static struct weft_ping_packets packets_now(const struct weft_ping *ping,
					    const struct weft_srdcard *card)
{
	struct weft_ping_packets none = { .known = false };

	return ping->packets ? ping->packets(ping->arg, weft_srdcard_name(card)) : none;
}

/* Counters are told to others every few milliseconds, by whoever polls. */
static void settle(struct weft_srdcard *card)
{
	struct weft_srdcard_event event;

	for (weft_ns end = now_ns() + WEFT_MS(40); now_ns() < end; nap())
		(void)weft_srdcard_poll(card, &event);
}

/* Sends, and takes what comes in, until both are through or it has been long enough. */
static struct seen exchange(const struct weft_ping *ping, struct weft_srdcard *card, uint32_t len)
{
	struct weft_ping_packets before = packets_now(ping, card), after;
	weft_ns end = now_ns() + PHASE_NS;
	struct seen seen = { .sent = 0 };
	uint32_t posted = 0, done = 0;

	while ((done < MESSAGES || seen.rcvd < MESSAGES) && now_ns() < end) {
		struct weft_srdcard_event event;

		if (posted < MESSAGES && !weft_srdcard_send(card, len))
			posted++;
		if (!weft_srdcard_poll(card, &event)) {
			nap();
			continue;
		}
		if (event.is_recv && !event.status && event.len == len)
			seen.rcvd++;
		else if (!event.is_recv)
			done++;
		if (!event.is_recv && !event.status)
			seen.sent++;
		else if (event.status && !seen.status)
			seen.status = event.status;
	}
	settle(card);
	after = packets_now(ping, card);
	seen.packets.known = before.known && after.known;
	seen.packets.sent = after.sent - before.sent;
	seen.packets.rcvd = after.rcvd - before.rcvd;
	seen.packets.refused = after.refused - before.refused;
	return seen;
}

static bool is_whole(const struct seen *seen)
{
	return seen->sent == MESSAGES && seen->rcvd == MESSAGES;
}

/* To itself */

static void self_one(const struct weft_ping *ping, uint32_t number)
{
	const char *why = NULL;
	struct weft_srdcard *card = weft_srdcard_open(number, &why);
	struct weft_srdcard_peer self;
	struct seen small, large;
	weft_ns start = now_ns();

	if (!card) {
		weft_findings_report(ping->findings, WEFT_FINDING_SELF, NULL, "card %u: %s", number,
				     why);
		return;
	}
	self = weft_srdcard_self(card);
	if (weft_srdcard_connect(card, &self)) {
		weft_findings_report(ping->findings, WEFT_FINDING_SELF, NULL,
				     "%s: ibv_create_ah: %s", weft_srdcard_name(card),
				     strerror(errno));
		weft_srdcard_close(card);
		return;
	}
	small = exchange(ping, card, SMALL);
	large = is_whole(&small) ? exchange(ping, card, weft_srdcard_msg_max(card)) : small;
	if (!is_whole(&large))
		weft_findings_report(
			ping->findings, WEFT_FINDING_SELF, NULL,
			"%s: %u of %u messages of %u bytes arrived: %s", weft_srdcard_name(card),
			large.rcvd, MESSAGES, is_whole(&small) ? weft_srdcard_msg_max(card) : SMALL,
			large.status ? weft_srdcard_status(large.status) : "no answer");
	else if (large.packets.known && !(small.packets.sent + large.packets.sent))
		weft_findings_report(ping->findings, WEFT_FINDING_SELF, NULL,
				     "%s: messages arrived, but the card has sent no packets: a "
				     "shortcut carried "
				     "them",
				     weft_srdcard_name(card));
	else
		weft_findings_add(ping->findings, WEFT_FINDING_SELF, WEFT_SEV_OK, NULL,
				  "%s: %u messages of %u and %u bytes to itself, %" PRIu64
				  " packets, in %u ms",
				  weft_srdcard_name(card), 2 * MESSAGES, SMALL,
				  weft_srdcard_msg_max(card),
				  small.packets.sent + large.packets.sent,
				  (unsigned int)((now_ns() - start) / 1000000));
	weft_srdcard_close(card);
}

void weft_ping_self(const struct weft_ping *ping)
{
	const char *why = NULL;
	int count = weft_srdcard_count(&why);

	if (count < 0)
		weft_findings_report(ping->findings, WEFT_FINDING_SELF, NULL, "%s", why);
	for (int i = 0; i < count; i++)
		self_one(ping, (uint32_t)i);
}

/* The meeting: lines of text over TCP, with an end to all patience */

static bool say(int fd, const char *line)
{
	size_t len = strlen(line);

	return send(fd, line, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static bool hear(int fd, char *line, size_t len)
{
	weft_ns end = now_ns() + WEFT_MS(LINE_MS);
	size_t have = 0;

	while (have < len - 1) {
		struct pollfd wait = { .fd = fd, .events = POLLIN };
		weft_ns now = now_ns();

		if (now >= end || poll(&wait, 1, (int)((end - now) / 1000000) + 1) <= 0)
			return false;
		if (recv(fd, line + have, 1, 0) != 1)
			return false;
		if (line[have] == '\n') {
			line[have] = '\0';
			return true;
		}
		have++;
	}
	return false;
}

static bool say_who(int fd, const struct weft_srdcard *card)
{
	struct weft_srdcard_peer self = weft_srdcard_self(card);
	char line[LINE_MAX_], hex[33];

	for (uint32_t i = 0; i < 16; i++)
		snprintf(hex + 2 * i, 3, "%02x", self.gid[i]);
	snprintf(line, sizeof(line), "weft-check 1 %s %u %u %u\n", hex, self.qpn, self.qkey,
		 weft_srdcard_msg_max(card));
	return say(fd, line);
}

static bool hear_who(int fd, struct weft_srdcard_peer *peer_out, uint32_t *msg_max_out)
{
	char line[LINE_MAX_], hex[33];

	if (!hear(fd, line, sizeof(line)) ||
	    sscanf(line, "weft-check 1 %32[0-9a-f] %u %u %u", hex, &peer_out->qpn, &peer_out->qkey,
		   msg_max_out) != 4 ||
	    strlen(hex) != 32)
		return false;
	for (uint32_t i = 0; i < 16; i++) {
		unsigned int byte;

		if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
			return false;
		peer_out->gid[i] = (uint8_t)byte;
	}
	return true;
}

static bool say_seen(int fd, const struct seen *s)
{
	char line[LINE_MAX_];

	snprintf(line, sizeof(line), "seen %u %u %d %d %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
		 s->sent, s->rcvd, s->status, s->packets.known, s->packets.sent, s->packets.rcvd,
		 s->packets.refused);
	return say(fd, line);
}

static bool hear_seen(int fd, struct seen *s)
{
	char line[LINE_MAX_];
	int known;

	if (!hear(fd, line, sizeof(line)) ||
	    sscanf(line, "seen %u %u %d %d %" SCNu64 " %" SCNu64 " %" SCNu64, &s->sent, &s->rcvd,
		   &s->status, &known, &s->packets.sent, &s->packets.rcvd,
		   &s->packets.refused) != 7)
		return false;
	s->packets.known = known != 0;
	return true;
}

/* The verdict */

struct pair {
	const char *host;
	struct seen here, there;
	uint32_t len;
};

static void small_failed(const struct weft_ping *ping, const struct pair *p)
{
	const struct weft_ping_packets *here = &p->here.packets, *there = &p->there.packets;
	const char *status = p->here.status ? weft_srdcard_status(p->here.status) : "no answer";

	if (here->refused || there->refused)
		weft_findings_report(ping->findings, WEFT_FINDING_PEER_KEY, NULL,
				     "%s: %" PRIu64 " packets refused there and %" PRIu64
				     " here: not of the same key",
				     p->host, there->refused, here->refused);
	else if (here->known && there->known && there->rcvd && !here->rcvd)
		weft_findings_report(ping->findings, WEFT_FINDING_PEER_ONE_WAY, NULL,
				     "%s gets our packets (%" PRIu64 "), and none of its %" PRIu64
				     " reach us: open the way from there to here",
				     p->host, there->rcvd, there->sent);
	else if (here->known && there->known && here->rcvd && !there->rcvd)
		weft_findings_report(ping->findings, WEFT_FINDING_PEER_ONE_WAY, NULL,
				     "packets of %s reach us (%" PRIu64
				     "), and none of our %" PRIu64
				     " reach it: open the way from here to there",
				     p->host, here->rcvd, here->sent);
	else
		weft_findings_report(ping->findings, WEFT_FINDING_PEER_FILTERED, NULL,
				     "%s answers over TCP, and %u of %u messages came through "
				     "(%s); packets: here %" PRIu64 " out and %" PRIu64
				     " in, there %" PRIu64 " out and %" PRIu64 " in",
				     p->host, p->here.sent, MESSAGES, status, here->sent,
				     here->rcvd, there->sent, there->rcvd);
}

static void large_done(const struct weft_ping *ping, const struct pair *p)
{
	if (is_whole(&p->here) && is_whole(&p->there))
		weft_findings_add(ping->findings, WEFT_FINDING_PEER, WEFT_SEV_OK, NULL,
				  "%s: %u messages of %u and %u bytes, each way", p->host,
				  2 * MESSAGES, SMALL, p->len);
	else
		weft_findings_report(ping->findings, WEFT_FINDING_PEER_MTU, NULL,
				     "%s: all of %u bytes arrived; of %u bytes %u of %u from here, "
				     "%u from there",
				     p->host, SMALL, p->len, p->there.rcvd, MESSAGES, p->here.rcvd);
}

static void broken(const struct weft_ping *ping, const char *host, const char *what)
{
	weft_findings_report(ping->findings, WEFT_FINDING_PEER_NO_LISTENER, NULL, "%s: %s", host,
			     what);
}

/* Both sides, from here on. */
static void session(const struct weft_ping *ping, int fd, const char *host,
		    struct weft_srdcard *card)
{
	struct weft_srdcard_peer peer = { .qpn = 0 };
	struct pair p = { .host = host, .len = SMALL };
	uint32_t msg_max = 0;

	if (!say_who(fd, card) || !hear_who(fd, &peer, &msg_max)) {
		broken(ping, host,
		       "what answers at that port is not weft check --listen of this version");
		return;
	}
	if (weft_srdcard_connect(card, &peer)) {
		weft_findings_report(ping->findings, WEFT_FINDING_PEER_NO_ROUTE, NULL,
				     "%s: ibv_create_ah: %s", host, strerror(errno));
		return;
	}
	p.here = exchange(ping, card, p.len);
	if (!say_seen(fd, &p.here) || !hear_seen(fd, &p.there)) {
		broken(ping, host, "the other side went away in the middle");
		return;
	}
	if (!is_whole(&p.here) || !is_whole(&p.there)) {
		small_failed(ping, &p);
		return;
	}
	p.len = WEFT_MIN(weft_srdcard_msg_max(card), WEFT_MAX(msg_max, SMALL));
	p.here = exchange(ping, card, p.len);
	if (!say_seen(fd, &p.here) || !hear_seen(fd, &p.there)) {
		broken(ping, host, "the other side went away in the middle");
		return;
	}
	large_done(ping, &p);
}

/* Connecting */

static int connect_one(const struct addrinfo *to)
{
	int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err = 0;
	struct pollfd wait = { .fd = fd, .events = POLLOUT };
	socklen_t len = sizeof(err);

	if (fd < 0)
		return -errno;
	if (connect(fd, to->ai_addr, to->ai_addrlen) && errno != EINPROGRESS)
		err = errno;
	else if (poll(&wait, 1, CONNECT_MS) <= 0)
		err = ETIMEDOUT;
	else
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
	if (err) {
		close(fd);
		return -err;
	}
	return fd;
}

static int connect_to(const struct weft_ping *ping, const char *host)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
	int got = getaddrinfo(host, ping->port, &hints, &list), fd = -EINVAL;

	if (got) {
		weft_findings_report(ping->findings, WEFT_FINDING_PEER_NO_ROUTE, NULL, "%s: %s",
				     host, gai_strerror(got));
		return -1;
	}
	for (const struct addrinfo *to = list; to && fd < 0; to = to->ai_next)
		fd = connect_one(to);
	freeaddrinfo(list);
	if (fd == -ECONNREFUSED)
		weft_findings_report(ping->findings, WEFT_FINDING_PEER_NO_LISTENER, NULL,
				     "%s: nobody listens at TCP port %s", host, ping->port);
	else if (fd == -ETIMEDOUT)
		weft_findings_report(ping->findings, WEFT_FINDING_PEER_FILTERED, NULL,
				     "%s: TCP port %s does not answer at all within %d s", host,
				     ping->port, CONNECT_MS / 1000);
	else if (fd < 0)
		weft_findings_report(ping->findings, WEFT_FINDING_PEER_NO_ROUTE, NULL, "%s: %s",
				     host, strerror(-fd));
	return fd;
}

static struct weft_srdcard *first_card(const struct weft_ping *ping)
{
	const char *why = NULL;
	struct weft_srdcard *card = weft_srdcard_open(0, &why);

	if (!card)
		weft_findings_report(ping->findings, WEFT_FINDING_SELF, NULL, "the first card: %s",
				     why);
	return card;
}

void weft_ping_peer(const struct weft_ping *ping, const char *host)
{
	struct weft_srdcard *card = first_card(ping);
	int fd = card ? connect_to(ping, host) : -1;

	if (fd >= 0) {
		session(ping, fd, host, card);
		close(fd);
	}
	if (card)
		weft_srdcard_close(card);
}

static int listen_at(const struct weft_ping *ping)
{
	struct addrinfo hints = { .ai_family = AF_INET6,
				  .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_PASSIVE };
	struct addrinfo *list;
	int one = 1, zero = 0, fd, err = 0;

	if (getaddrinfo(NULL, ping->port, &hints, &list))
		return -EINVAL;
	fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		err = -errno;
	} else {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
		if (bind(fd, list->ai_addr, list->ai_addrlen) || listen(fd, 1))
			err = -errno;
	}
	freeaddrinfo(list);
	if (err && fd >= 0)
		close(fd);
	return err ? err : fd;
}

void weft_ping_listen(const struct weft_ping *ping, uint32_t wait_s)
{
	struct weft_srdcard *card = first_card(ping);
	int fd = card ? listen_at(ping) : -1, from = -1;
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);
	char host[64] = "the peer";

	if (card && fd < 0)
		weft_findings_report(ping->findings, WEFT_FINDING_INPUT, NULL, "TCP port %s: %s",
				     ping->port, strerror(-fd));
	if (fd >= 0 && poll(&wait, 1, wait_s ? (int)wait_s * 1000 : -1) > 0)
		from = accept4(fd, (struct sockaddr *)&addr, &len, SOCK_CLOEXEC);
	if (from >= 0) {
		(void)getnameinfo((struct sockaddr *)&addr, len, host, sizeof(host), NULL, 0,
				  NI_NUMERICHOST);
		session(ping, from, host, card);
		close(from);
	} else if (fd >= 0) {
		weft_findings_report(ping->findings, WEFT_FINDING_PEER_NO_LISTENER, NULL,
				     "nobody came to TCP port %s within %u s", ping->port, wait_s);
	}
	if (fd >= 0)
		close(fd);
	if (card)
		weft_srdcard_close(card);
}
