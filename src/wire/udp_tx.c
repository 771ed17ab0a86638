/* SPDX-License-Identifier: BSD-2-Clause */
/* Sending over UDP: frames are gathered into messages as they come (udp_internal.h), and a flush hands all
 * messages of a batch to the kernel, those in a row over one path by one system call.
 *
 * When the kernel refuses
 *
 * A message that fails is of little interest to us: its frames are lost, as on any network, and whoever sent
 * them has a timer. But the kernel also fails messages that are all right, and most of this file is about
 * telling these apart.
 *
 * - An error that some earlier datagram met on its way (port unreachable, ...) is kept in the socket until the
 *   next call, which returns it and does nothing. So errors that can be of that kind are answered with
 *   another try.
 * - The send buffer is full because the card is slower than we are. That is over soon, so it is worth waiting,
 *   but not long, because our caller holds a lock: a flush waits 1 ms in all. If that was not enough the
 *   link is stuck, and later flushes do not wait until something was sent.
 * - ENOBUFS: the queue of the card is full. No poll tells when that ends; a nap has to do.
 * - GSO is refused though plain datagrams are not (EINVAL, EIO: no support for checksums in the card, a filter
 *   in the way). Found out by sending the same frames one by one, and if that works GSO is not used again.
 * - One frame of a GSO message is bad, such as a piece in memory that the application has unmapped (EFAULT): the
 *   others are sent, one by one. */
#include "wire/udp_internal.h"

#include "base/assert.h"
#include "base/bytes.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#define TRIES   3u /* Of a message whose failure may be another one's error. */
#define WAIT_NS WEFT_MS(1) /* Of one flush, in all. */
#define NAP_NS  WEFT_US(100)

static bool is_full(int err)
{
	return err == EAGAIN || err == ENOBUFS || err == ENOMEM;
}

/* Can this be the error of a datagram sent earlier? What ICMP turns into, that is. */
static bool is_old(int err)
{
	return err != EINVAL && err != EIO && err != EFAULT && err != EPERM && err != EBADF;
}

/* Room may be there (again) when this returns true. */
static bool wait_for_room(struct weft_udp *udp, uint32_t socket, int err)
{
	struct pollfd pfd = { .fd = udp->fd[socket], .events = POLLOUT };
	struct udp_tx *tx = &udp->tx;
	struct timespec left;
	weft_ns now, ns;

	if (tx->stalled)
		return false;
	now = udp_now();
	if (tx->wait_until == 0)
		tx->wait_until = now + WAIT_NS;
	if (now >= tx->wait_until) {
		tx->stalled = true;
		return false;
	}
	ns = tx->wait_until - now;
	if (err != EAGAIN)
		ns = WEFT_MIN(ns, NAP_NS);
	left = (struct timespec){ .tv_nsec = (long)ns };
	(void)ppoll(&pfd, err == EAGAIN ? 1 : 0, &left, NULL);
	return true;
}

/* One message alone is sent a little faster. Returns how many were taken, or -1. */
static int push_some(int fd, struct mmsghdr *hdr, uint32_t n)
{
	if (n > 1)
		return sendmmsg(fd, hdr, n, 0);
	return sendmsg(fd, &hdr->msg_hdr, 0) < 0 ? -1 : 1;
}

/* Send messages from one socket until one is refused for good; returns how many were taken before that, and
 * why it was refused. */
static uint32_t push(struct weft_udp *udp, uint32_t socket, struct mmsghdr *hdr, uint32_t n,
		     int *err_out)
{
	uint32_t done = 0, tries = 0;

	while (done < n) {
		int rc = push_some(udp->fd[socket], hdr + done, n - done);
		int err = errno;

		udp->stats.tx_calls++;
		if (rc > 0) {
			done += (uint32_t)rc;
			tries = 0;
			udp->tx.stalled = false;
			/* Why it stopped is not told, and an old error is told only once. */
			if (done < n)
				udp_set_error(udp, socket);
			continue;
		}
		if (err == EINTR)
			continue;
		if (is_full(err)) {
			if (wait_for_room(udp, socket, err))
				continue;
		} else if (is_old(err)) {
			udp_set_error(udp, socket);
			if (++tries < TRIES)
				continue;
		}
		*err_out = err;
		break;
	}
	return done;
}

static void count_sent(struct weft_udp *udp, uint32_t frames, uint32_t bytes)
{
	udp->stats.tx_frames += frames;
	udp->stats.tx_bytes += bytes;
}

bool weft_udp_is_same(const union weft_sockaddr *a, const union weft_sockaddr *b)
{
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	if (a->sa.sa_family == AF_INET)
		return a->in4.sin_port == b->in4.sin_port &&
		       a->in4.sin_addr.s_addr == b->in4.sin_addr.s_addr;
	return a->in6.sin6_port == b->in6.sin6_port &&
	       a->in6.sin6_scope_id == b->in6.sin6_scope_id &&
	       memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof(a->in6.sin6_addr)) == 0;
}

static void remember_too_long(struct udp_tx *tx, const union weft_sockaddr *to)
{
	for (uint32_t i = 0; i < tx->too_long_len; i++)
		if (weft_udp_is_same(&tx->too_long[i], to))
			return;
	if (tx->too_long_len < UDP_TOO_LONG_MAX)
		tx->too_long[tx->too_long_len++] = *to;
}

static void count_lost(struct weft_udp *udp, const union weft_sockaddr *to, uint32_t frames,
		       int err)
{
	udp->stats.tx_lost += frames;
	if (err != EMSGSIZE)
		return;
	udp->stats.tx_too_long += frames;
	remember_too_long(&udp->tx, to);
}

bool weft_udp_next_too_long(struct weft_udp *udp, union weft_sockaddr *to_out)
{
	if (!udp->tx.too_long_len)
		return false;
	*to_out = udp->tx.too_long[--udp->tx.too_long_len];
	return true;
}

/* The frames of a message that failed with `why` as a whole. */
static void send_plain(struct weft_udp *udp, const struct udp_tx_msg *msg, int why)
{
	struct udp_tx *tx = &udp->tx;
	const struct msghdr *whole = &tx->hdr[msg - tx->msg].msg_hdr;
	uint32_t done = 0;
	bool any = false, too_long = false;

	for (uint32_t i = 0; i < msg->frames; i++) {
		uint32_t f = msg->first + i;

		tx->plain[i].msg_hdr = (struct msghdr){
			.msg_name = whole->msg_name,
			.msg_namelen = whole->msg_namelen,
			.msg_iov = &tx->iov[tx->iov_at[f]],
			.msg_iovlen = tx->iov_at[f + 1] - tx->iov_at[f],
		};
	}
	while (done < msg->frames) {
		int err = 0;
		uint32_t n = push(udp, msg->socket, &tx->plain[done], msg->frames - done, &err);

		any |= n > 0;
		for (; n > 0; n--)
			count_sent(udp, 1, tx->len[msg->first + done++]);
		if (done < msg->frames) {
			too_long |= err == EMSGSIZE;
			n = is_full(err) ? msg->frames - done : 1;
			count_lost(udp, &msg->to, n, err);
			done += n;
		}
	}
	/* Older kernels say EINVAL to segments that are too long for the route; the last one may be shorter. */
	if (any && !too_long && (why == EINVAL || why == EIO))
		udp->stats.gso = false;
}

/* Messages that follow each other from one socket. */
static void send_run(struct weft_udp *udp, uint32_t at, uint32_t end)
{
	const struct udp_tx_msg *msg = udp->tx.msg;

	while (at < end) {
		int err = 0;
		uint32_t n = push(udp, msg[at].socket, &udp->tx.hdr[at], end - at, &err);

		for (; n > 0; n--, at++)
			count_sent(udp, msg[at].frames, msg[at].bytes);
		if (at == end)
			break;
		if (is_full(err)) {
			for (; at < end; at++)
				count_lost(udp, &msg[at].to, msg[at].frames, err);
			break;
		}
		if (msg[at].frames > 1 && (!is_old(err) || err == EMSGSIZE))
			send_plain(udp, &msg[at], err);
		else
			count_lost(udp, &msg[at].to, msg[at].frames, err);
		at++;
	}
}

void weft_udp_flush(struct weft_udp *udp)
{
	struct udp_tx *tx = &udp->tx;
	uint32_t end;

	tx->wait_until = 0;
	for (uint32_t at = 0; at < tx->msgs; at = end) {
		for (end = at + 1; end < tx->msgs && tx->msg[end].socket == tx->msg[at].socket;
		     end++)
			;
		send_run(udp, at, end);
	}
	tx->msgs = tx->frames = tx->head_used = 0;
}

/* May `segs` segments, of which the first has `len` bytes and all have `bytes`, be the next of the message? */
static bool has_room(const struct weft_udp *udp, const struct udp_tx_msg *msg, uint32_t len,
		     uint32_t segs, uint32_t bytes)
{
	uint32_t max =
		udp->cfg.addr.sa.sa_family == AF_INET ? UDP_PAYLOAD_MAX_V4 : UDP_PAYLOAD_MAX_V6;

	return udp->stats.gso && !msg->ended && len > 0 && len <= msg->seg_len &&
	       msg->frames + segs <= UDP_TX_SEGS && msg->bytes + bytes <= max;
}

static struct udp_tx_msg *last_msg(struct weft_udp *udp)
{
	return &udp->tx.msg[udp->tx.msgs - 1];
}

/* May this frame, whole, become the next segment of the latest message? */
static bool can_join(struct weft_udp *udp, const union weft_sockaddr *to, uint32_t path,
		     uint32_t len)
{
	const struct udp_tx_msg *msg;

	if (!udp->tx.msgs)
		return false;
	msg = last_msg(udp);
	return has_room(udp, msg, len, 1, len) && msg->path == path &&
	       weft_udp_is_same(&msg->to, to);
}

/* May this frame, in parts? Not behind a whole one of the same length: a receiver that does not know how long the
 * segments are (udp_rx.c) would not find where that ends. */
static bool can_join_parts(struct weft_udp *udp, const union weft_sockaddr *to, uint32_t path,
			   uint32_t seg_len, uint32_t parts, uint32_t bytes)
{
	const struct udp_tx_msg *msg;

	if (!udp->tx.msgs)
		return false;
	msg = last_msg(udp);
	return msg->parts && seg_len == msg->seg_len && has_room(udp, msg, seg_len, parts, bytes) &&
	       msg->path == path && weft_udp_is_same(&msg->to, to);
}

static void join(struct weft_udp *udp, uint32_t len, uint32_t pieces, bool parts)
{
	struct udp_tx *tx = &udp->tx;
	struct udp_tx_msg *msg = last_msg(udp);
	struct msghdr *hdr = &tx->hdr[tx->msgs - 1].msg_hdr;

	if (hdr->msg_control == NULL) {
		uint16_t seg_len = (uint16_t)msg->seg_len;

		memcpy(CMSG_DATA(&msg->ctl.align), &seg_len, sizeof(seg_len));
		hdr->msg_control = msg->ctl.bytes;
		hdr->msg_controllen = sizeof(msg->ctl.bytes);
	}
	hdr->msg_iovlen += pieces;
	msg->frames++;
	msg->bytes += len;
	msg->ended = len < msg->seg_len;
	msg->parts = parts;
}

static void copy_address(union weft_sockaddr *out, const union weft_sockaddr *in)
{
	if (in->sa.sa_family == AF_INET)
		out->in4 = in->in4;
	else
		out->in6 = in->in6;
}

/* Does a message wait for the flush whose address is what this socket is connected to now? */
static bool is_connection_needed(const struct udp_tx *tx, uint32_t socket)
{
	for (uint32_t i = 0; i < tx->msgs; i++)
		if (tx->msg[i].socket == socket && !tx->hdr[i].msg_hdr.msg_name)
			return true;
	return false;
}

/* Is there a socket that is connected to this destination, for a message over this path? */
static bool is_connected(struct weft_udp *udp, const union weft_sockaddr *to, uint32_t path)
{
	struct udp_streak *streak = &udp->streak[path];

	if (!weft_udp_is_same(&streak->to, to)) {
		copy_address(&streak->to, to);
		streak->len = 0;
		streak->connected = false;
	}
	streak->len++;
	if (streak->len % UDP_STREAK == 0 && !streak->connected &&
	    !is_connection_needed(&udp->tx, path ? path : UDP_TWIN))
		udp_connect(udp, path);
	return streak->connected && (path || streak->len % UDP_IDENTIFY);
}

static void begin(struct weft_udp *udp, const union weft_sockaddr *to, uint32_t path,
		  bool connected, uint32_t len, uint32_t pieces, bool parts)
{
	struct udp_tx *tx = &udp->tx;
	struct udp_tx_msg *msg = &tx->msg[tx->msgs];
	struct msghdr *hdr = &tx->hdr[tx->msgs++].msg_hdr;

	copy_address(&msg->to, to);
	msg->path = path;
	msg->socket = connected && !path ? UDP_TWIN : path;
	hdr->msg_name = connected ? NULL : &msg->to;
	hdr->msg_namelen = connected ? 0 : udp_addr_len(udp);
	msg->first = tx->frames;
	msg->frames = 1;
	msg->seg_len = msg->bytes = len;
	msg->ended = false;
	msg->parts = parts;
	hdr->msg_iov = &tx->iov[tx->iov_at[tx->frames]];
	hdr->msg_iovlen = pieces;
	hdr->msg_control = NULL;
	hdr->msg_controllen = 0;
}

/* Copies a head or a tail to where it may stay until the flush; returns where the next piece goes. */
static struct iovec *put_copy(struct udp_tx *tx, struct iovec *at, const void *data, uint32_t len)
{
	if (!len)
		return at;
	weft_assert(len <= sizeof(tx->head) - tx->head_used);
	memcpy(tx->head + tx->head_used, data, len);
	*at = (struct iovec){ tx->head + tx->head_used, len };
	tx->head_used += len;
	return at + 1;
}

/* The datagram whose pieces were put behind those of the one before is complete, and belongs to the latest message. */
static void end_datagram(struct udp_tx *tx, uint32_t len, uint32_t pieces)
{
	tx->len[tx->frames++] = len;
	tx->iov_at[tx->frames] = tx->iov_at[tx->frames - 1] + pieces;
}

static void send_whole(struct weft_udp *udp, const union weft_sockaddr *to, uint32_t path,
		       const struct weft_wire_tx *frame, uint32_t len)
{
	struct udp_tx *tx = &udp->tx;
	struct iovec *first = &tx->iov[tx->iov_at[tx->frames]], *at = first;
	uint32_t pieces;

	at = put_copy(tx, at, frame->head, frame->head_len);
	for (uint32_t i = 0; i < frame->iov_len; i++)
		if (frame->iov[i].iov_len > 0)
			*at++ = frame->iov[i];
	at = put_copy(tx, at, frame->tail, frame->tail_len);
	pieces = (uint32_t)(at - first);
	if (can_join(udp, to, path, len))
		join(udp, len, pieces, false);
	else
		begin(udp, to, path, is_connected(udp, to, path), len, pieces, false);
	end_datagram(tx, len, pieces);
}

/* What of a frame has not yet gone into a part. */
struct rest {
	struct iovec piece[3 + WEFT_WIRE_IOV_MAX];
	struct iovec *at;
};

static uint8_t *put_part_head(struct udp_tx *tx)
{
	uint8_t *head = tx->head + tx->head_used;

	tx->head_used += WEFT_WIRE_PART_HEAD;
	return head;
}

/* How many parts a frame is cut into, and how many bytes go into each. No fewer parts than it takes, but all of one
 * length, with a few bytes of padding at the end: so frames of one length join to one message, whatever that length is.
 * (A message ends with the first segment that is shorter.) The receiver wants the heads of the frame in the first. */
static uint32_t cut_evenly(uint32_t len, uint32_t seg_max, uint32_t *unit_out)
{
	uint32_t most = seg_max - WEFT_WIRE_PART_HEAD, parts = (len + most - 1) / most;

	*unit_out = WEFT_MAX((len + parts - 1) / parts, WEFT_MIN(most, WEFT_WIRE_HEAD_MAX));
	return parts;
}

/* Puts the next `len` bytes behind the piece that ends at `at`; returns where the next piece goes. */
static struct iovec *put_rest(struct rest *rest, struct iovec *at, uint32_t len)
{
	while (len > 0) {
		uint32_t n = (uint32_t)WEFT_MIN(len, rest->at->iov_len);
		uint8_t *from = rest->at->iov_base,
			*end = (uint8_t *)at[-1].iov_base + at[-1].iov_len;

		if (from == end)
			at[-1].iov_len += n;
		else
			*at++ = (struct iovec){ from, n };
		len -= n;
		rest->at->iov_base = from + n;
		rest->at->iov_len -= n;
		if (!rest->at->iov_len)
			rest->at++;
	}
	return at;
}

static void send_parts(struct weft_udp *udp, const union weft_sockaddr *to, uint32_t path,
		       const struct weft_wire_tx *frame, uint32_t len)
{
	static const uint8_t padding[WEFT_WIRE_HEAD_MAX];
	struct udp_tx *tx = &udp->tx;
	uint32_t unit, parts = cut_evenly(len, frame->seg_max, &unit);
	uint32_t seg_len = WEFT_WIRE_PART_HEAD + unit, last = len - (parts - 1) * unit;
	struct rest rest = { .at = rest.piece };
	struct iovec *end = rest.piece;
	uint32_t id = udp->parts.tx_id++;
	bool connected, joins;
	uint8_t *head;

	if (parts > WEFT_WIRE_PARTS_MAX) {
		count_lost(udp, to, 1, EMSGSIZE);
		return;
	}
	if (tx->frames + parts > UDP_TX_FRAMES)
		weft_udp_flush(udp);
	joins = can_join_parts(udp, to, path, seg_len, parts, parts * seg_len);
	/* All parts leave by one socket: a frame is known by its source. */
	connected = !joins && is_connected(udp, to, path);

	head = put_part_head(tx);
	end = put_copy(tx, end, frame->head, frame->head_len);
	for (uint32_t i = 0; i < frame->iov_len; i++)
		if (frame->iov[i].iov_len > 0)
			*end++ = frame->iov[i];
	end = put_copy(tx, end, frame->tail, frame->tail_len);
	put_copy(tx, end, padding, unit - last);

	for (uint32_t i = 0; i < parts; i++) {
		struct iovec *first = &tx->iov[tx->iov_at[tx->frames]];
		uint32_t pieces;

		if (i)
			head = put_part_head(tx);
		head[0] = WEFT_WIRE_PART;
		head[1] = (uint8_t)i;
		head[2] = (uint8_t)parts;
		head[3] = 0;
		weft_put32(head + 4, id);
		weft_put16(head + 8, (uint16_t)len);
		weft_put16(head + 10, (uint16_t)(i < parts - 1 ? unit : last));
		*first = (struct iovec){ head, WEFT_WIRE_PART_HEAD };
		pieces = (uint32_t)(put_rest(&rest, first + 1, unit) - first);
		if (i ? has_room(udp, last_msg(udp), seg_len, 1, seg_len) : joins)
			join(udp, seg_len, pieces, true);
		else
			begin(udp, to, path, connected, seg_len, pieces, true);
		end_datagram(tx, seg_len, pieces);
	}
}

void weft_udp_send(struct weft_udp *udp, const union weft_sockaddr *to, uint16_t path,
		   const struct weft_wire_tx *frame)
{
	uint32_t p = path % udp->cfg.paths;
	size_t len = (size_t)frame->head_len + frame->tail_len;

	weft_assert(len <= WEFT_WIRE_HEAD_MAX && frame->iov_len <= WEFT_WIRE_IOV_MAX);
	for (uint32_t i = 0; i < frame->iov_len; i++)
		len += frame->iov[i].iov_len;
	weft_assert(!frame->seg_max || frame->seg_max > WEFT_WIRE_PART_HEAD);
	if (len > udp->cfg.frame_max || to->sa.sa_family != udp->cfg.addr.sa.sa_family) {
		count_lost(udp, to, 1, len > udp->cfg.frame_max ? EMSGSIZE : EAFNOSUPPORT);
		return;
	}
	if (udp->fd[p] < 0)
		udp_open_path(udp, p);
	if (udp->fd[p] == udp->fd[0])
		p = 0;
	if (frame->seg_max && len > frame->seg_max)
		send_parts(udp, to, p, frame, (uint32_t)len);
	else
		send_whole(udp, to, p, frame, (uint32_t)len);
	if (udp->tx.frames == UDP_TX_FRAMES)
		weft_udp_flush(udp);
}
