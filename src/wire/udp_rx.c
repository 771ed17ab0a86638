/* SPDX-License-Identifier: BSD-2-Clause */
/* Receiving over UDP, and what comes back in the place of an answer.
 *
 * The receive vector is short while little arrives, because the kernel looks at each of its entries, and twice
 * as long after each time that it was full. At its shortest it is full with a single datagram; whether more
 * have come is then not asked at once, which would keep that one waiting, but by the next call, and only if
 * that finds something as well the vector grows. One datagram may be many frames (GRO); the kernel says how long
 * they are.
 *
 * ICMP errors wait in the error queue of the socket that had sent the datagram they answer to. A socket tells of
 * them by failing the next call with their errno, once, whatever that call was about (udp_tx.c). Sockets
 * of paths never receive and may not send again for long, so they are looked after by an epoll that is asked
 * now and then, when there is nothing else to do. */
#include "wire/udp_internal.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <string.h>
#include <sys/epoll.h>

#define CE 3 /* Congestion experienced, in the low bits of TOS and traffic class. */

#define TRIES 8u /* Of a receive that fails with errors of earlier datagrams. */

/* Paths are looked after at every so manieth receive that finds nothing: that makes an empty receive some 15 ns
 * longer, on the average. */
#define PATHS_EVERY 8u

/* Calm: so many datagrams in a row came alone, in one piece, and unmarked by the network. Then they are received
 * without asking for more than their bytes, but for one in CALM_CHECK. One that is in several pieces after all
 * is handed over as one frame (weft_udp_cfg.joined). Parts say themselves how long they are. */
#define CALM       16u
#define CALM_CHECK 8u

#define ERRORS_MAX 512u /* Entries of error queues read in one call. */

struct meta {
	uint32_t seg_len; /* 0: one frame. */
	bool ce;
};

static struct meta read_meta(struct msghdr *hdr)
{
	struct meta meta = { .seg_len = 0 };

	for (struct cmsghdr *c = CMSG_FIRSTHDR(hdr); c != NULL; c = CMSG_NXTHDR(hdr, c)) {
		int value = 0;

		/* The TOS of IPv4 is one byte, the others are ints. */
		if (c->cmsg_len >= CMSG_LEN(sizeof(int)))
			memcpy(&value, CMSG_DATA(c), sizeof(value));
		else if (c->cmsg_len >= CMSG_LEN(1))
			value = *CMSG_DATA(c);
		if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO)
			meta.seg_len = value > 0 ? (uint32_t)value : 0;
		else if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) ||
			 (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS))
			meta.ce = (value & CE) == CE;
	}
	return meta;
}

static bool is_calm(const struct weft_udp *udp)
{
	return udp->cfg.joined && udp->rx.calm >= CALM && udp->rx.calm % CALM_CHECK;
}

/* Returns the number of frames handed over. */
static uint32_t take(struct weft_udp *udp, struct mmsghdr *m, weft_wire_rx_fn *fn, void *arg)
{
	const uint8_t *data = m->msg_hdr.msg_iov->iov_base;
	uint32_t left = m->msg_len, seg_len, frames = 0, seg_max = udp->cfg.frame_max, used;
	struct meta meta = read_meta(&m->msg_hdr);
	bool calm;

	if (m->msg_hdr.msg_flags & MSG_TRUNC) {
		udp->stats.rx_truncated++;
		return 0;
	}
	seg_len = meta.seg_len > 0 ? meta.seg_len : left;
	if (meta.seg_len || meta.ce)
		udp->rx.calm = 0;
	calm = is_calm(udp);
	if (calm)
		seg_max = left;
	do {
		struct weft_wire_rx rx = {
			.data = data,
			.len = WEFT_MIN(left, seg_len),
			.from = m->msg_hdr.msg_name,
			.ce = meta.ce,
		};

		used = rx.len;
		if (used && *data == WEFT_WIRE_PART) {
			used = udp_parts_take(udp, data, left, calm ? 0 : seg_len, &rx);
			udp->rx.calm = 0;
		} else if (rx.len > seg_max) {
			udp->stats.rx_truncated++;
			rx.data = NULL;
		}
		data += used;
		left -= used;
		if (!rx.data)
			continue;
		frames++;
		udp->stats.rx_frames++;
		udp->stats.rx_bytes += rx.len;
		fn(arg, &rx);
	} while (left > 0);
	return frames;
}

static void look_after_paths(struct weft_udp *udp)
{
	struct epoll_event ev[16];
	int n = epoll_wait(udp->paths_ep, ev, WEFT_ARRAY_SIZE(ev), 0);

	for (int i = 0; i < n; i++)
		udp_set_error(udp, ev[i].data.u32);
}

/* One datagram, and nothing said about it but where it comes from. */
static int pull_calm(struct weft_udp *udp)
{
	struct mmsghdr *m = &udp->rx.hdr[0];
	struct iovec *iov = m->msg_hdr.msg_iov;
	ssize_t len = recvfrom(udp->fd[0], iov->iov_base, iov->iov_len, MSG_TRUNC,
			       m->msg_hdr.msg_name, &m->msg_hdr.msg_namelen);

	m->msg_len = (uint32_t)len;
	m->msg_hdr.msg_controllen = 0;
	m->msg_hdr.msg_flags = len > (ssize_t)iov->iov_len ? MSG_TRUNC : 0;
	return len < 0 ? -1 : 1;
}

/* Returns the number of datagrams, or -1. */
static int pull_some(struct weft_udp *udp, uint32_t vec)
{
	struct mmsghdr *m = &udp->rx.hdr[0];
	ssize_t len;

	if (vec > 1)
		return recvmmsg(udp->fd[0], m, vec, 0, NULL);
	if (is_calm(udp))
		return pull_calm(udp);
	len = recvmsg(udp->fd[0], &m->msg_hdr, 0);
	m->msg_len = (uint32_t)len;
	return len < 0 ? -1 : 1;
}

/* Fill the receive vector; returns the number of datagrams. */
static uint32_t pull(struct weft_udp *udp, uint32_t vec)
{
	struct udp_rx *rx = &udp->rx;

	for (uint32_t i = 0; i < vec; i++) {
		rx->hdr[i].msg_hdr.msg_controllen = sizeof(rx->slot[i].ctl.bytes);
		rx->hdr[i].msg_hdr.msg_namelen = sizeof(rx->slot[i].from);
	}
	for (uint32_t tries = 0; tries < TRIES; tries++) {
		int n = pull_some(udp, vec);

		udp->stats.rx_calls++;
		if (n > 0)
			return (uint32_t)n;
		if (n == 0 || errno == EAGAIN)
			break;
		if (errno != EINTR)
			udp_set_error(udp, 0);
	}
	udp->stats.rx_empty++;
	return 0;
}

uint32_t weft_udp_recv(struct weft_udp *udp, uint32_t budget, weft_wire_rx_fn *fn, void *arg)
{
	struct udp_rx *rx = &udp->rx;
	uint32_t frames = 0, spent = 0;

	/* A datagram that holds nothing for us is paid for like a frame, or a stranger could keep us here. */
	while (spent < budget) {
		uint32_t vec = WEFT_MIN(rx->vec, (budget - spent - 1) / rx->per_dgram + 1);
		uint32_t n = pull(udp, vec);

		for (uint32_t i = 0; i < n; i++) {
			uint32_t got = take(udp, &rx->hdr[i], fn, arg);

			rx->per_dgram = WEFT_MAX(got, 1);
			frames += got;
			spent += rx->per_dgram;
		}
		if (n < vec) {
			if (n == 0) {
				rx->vec = UDP_RX_VEC_MIN;
				rx->found = 0;
			}
			break;
		}
		if (rx->vec == 1 && !rx->found++) {
			rx->calm++;
			break;
		}
		rx->calm = 0;
		if (n == rx->vec)
			rx->vec = WEFT_MIN(rx->vec * 2, rx->vec_max);
	}
	if (spent == 0 && udp->paths_ep >= 0 && ++rx->empty % PATHS_EVERY == 0)
		look_after_paths(udp);
	return frames;
}

/* Is this error "port unreachable", said by a host and not by us? */
static bool is_port_unreachable(struct msghdr *hdr)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(hdr); c != NULL; c = CMSG_NXTHDR(hdr, c)) {
		struct sock_extended_err ee;

		if (c->cmsg_len < CMSG_LEN(sizeof(ee)))
			continue;
		memcpy(&ee, CMSG_DATA(c), sizeof(ee));
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR)
			return ee.ee_origin == SO_EE_ORIGIN_ICMP &&
			       ee.ee_type == ICMP_DEST_UNREACH && ee.ee_code == ICMP_PORT_UNREACH;
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR)
			return ee.ee_origin == SO_EE_ORIGIN_ICMP6 &&
			       ee.ee_type == ICMP6_DST_UNREACH &&
			       ee.ee_code == ICMP6_DST_UNREACH_NOPORT;
	}
	return false;
}

/* The next entry of a socket's error queue: 1 when it is of interest, 0 when not, -errno when there is none. */
static int next_error(struct weft_udp *udp, uint32_t path, union weft_sockaddr *to_out)
{
	union {
		struct cmsghdr align;
		char bytes[512];
	} ctl;
	union weft_sockaddr to = { .sa.sa_family = AF_UNSPEC };
	uint8_t data;
	struct iovec iov = { &data, sizeof(data) };
	struct msghdr hdr = {
		.msg_name = &to,
		.msg_namelen = sizeof(to),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = ctl.bytes,
		.msg_controllen = sizeof(ctl.bytes),
	};

	if (recvmsg(udp->fd[path], &hdr, MSG_ERRQUEUE) < 0)
		return -errno;
	if (to.sa.sa_family != udp->cfg.addr.sa.sa_family || !is_port_unreachable(&hdr))
		return 0;
	*to_out = to;
	return 1;
}

bool weft_udp_next_unreachable(struct weft_udp *udp, union weft_sockaddr *to_out)
{
	uint32_t entries = 0;

	if (!udp->has_errors)
		return false;
	for (uint32_t w = 0; w < WEFT_ARRAY_SIZE(udp->errors); w++)
		while (udp->errors[w] != 0) {
			uint32_t bit = (uint32_t)__builtin_ctzll(udp->errors[w]);
			int rc = next_error(udp, w * 64 + bit, to_out);

			if (rc > 0)
				return true;
			if (rc < 0 && rc != -EINTR)
				udp->errors[w] &= ~(UINT64_C(1) << bit);
			if (++entries >= ERRORS_MAX)
				return false; /* More the next time. */
		}
	udp->has_errors = false;
	return false;
}
