/* SPDX-License-Identifier: BSD-2-Clause */
/* Sockets of the UDP wire.
 *
 * The bound socket is the identity of its owner, so it never shares its port (no SO_REUSEADDR, no
 * SO_REUSEPORT). Sockets of other paths only send: what strangers send to them is never read and waits in a
 * small buffer for ever.
 *
 * Nothing is fragmented: a frame that does not fit the route is refused by the kernel, which also learns from
 * routers (ICMP). weft_udp_frame_max() asks what the kernel knows by connecting a socket that lives for that
 * question only, because IP_MTU answers for connected sockets and ours serve many peers. That is some six
 * system calls, for the times when a peer is met, and needs no cache that might be out of date.
 *
 * Descriptors belong to the application that we are loaded into: paths take none from the upper half of what
 * its limit allows. */
#include "wire/udp_internal.h"

#include "base/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define ECT0 2 /* ECN-capable, in the low bits of TOS and traffic class. */

/* Receive buffer of sockets that only send: enough for a few entries of their error queue. */
#define PATH_RCVBUF 16384

static int set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) ? -errno : 0;
}

static uint32_t get_int(int fd, int level, int name)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, name, &value, &len) || value < 0 ? 0 : (uint32_t)value;
}

/* FORCE goes beyond the limit of the system, for those who may. */
static void ask_buffer(int fd, int name, int name_force, uint32_t bytes)
{
	int value = (int)WEFT_MIN(bytes, (uint32_t)INT32_MAX);

	if (value > 0 && set_int(fd, SOL_SOCKET, name_force, value))
		(void)set_int(fd, SOL_SOCKET, name, value);
}

/* A socket at our address with this port (0: any), set up for sending; or -errno. */
static int open_bound(const struct weft_udp *udp, in_port_t port)
{
	union weft_sockaddr addr = udp->cfg.addr;
	bool v4 = addr.sa.sa_family == AF_INET;
	int fd = socket(addr.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP);
	int rc;

	if (fd < 0)
		return -errno;

	if (v4)
		rc = set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
	else
		rc = set_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO);
	if (rc)
		goto err_close;

	/* Without these we learn less, and work. */
	if (v4) {
		(void)set_int(fd, IPPROTO_IP, IP_TOS, ECT0);
		(void)set_int(fd, IPPROTO_IP, IP_RECVERR, 1);
	} else {
		(void)set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
		(void)set_int(fd, IPPROTO_IPV6, IPV6_TCLASS, ECT0);
		(void)set_int(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
	}
	ask_buffer(fd, SO_SNDBUF, SO_SNDBUFFORCE, udp->cfg.sndbuf);

	if (v4)
		addr.in4.sin_port = port;
	else
		addr.in6.sin6_port = port;
	if (bind(fd, &addr.sa, udp_addr_len(udp))) {
		rc = -errno;
		goto err_close;
	}
	return fd;

err_close:
	close(fd);
	return rc;
}

void udp_open_path(struct weft_udp *udp, uint32_t socket)
{
	struct epoll_event ev = { .events = 0, .data.u32 = socket }; /* Errors are always told. */
	int fd;

	weft_assert(socket != 0 && udp->fd[socket] < 0);
	udp->fd[socket] = udp->fd[0];
	fd = open_bound(udp, 0);
	if (fd < 0)
		return;
	if (fd > udp->fd_max) {
		close(fd);
		return;
	}
	(void)set_int(fd, SOL_SOCKET, SO_RCVBUF, PATH_RCVBUF);
	if (udp->paths_ep < 0)
		udp->paths_ep = epoll_create1(EPOLL_CLOEXEC);
	if (udp->paths_ep >= 0)
		(void)epoll_ctl(udp->paths_ep, EPOLL_CTL_ADD, fd, &ev);
	udp->fd[socket] = fd;
	udp->stats.sockets++;
}

bool udp_connect(struct weft_udp *udp, uint32_t path)
{
	struct udp_streak *streak = &udp->streak[path];
	uint32_t socket = path ? path : UDP_TWIN;

	if (udp->fd[socket] < 0)
		udp_open_path(udp, socket);
	streak->connected = udp->fd[socket] != udp->fd[0] &&
			    connect(udp->fd[socket], &streak->to.sa, udp_addr_len(udp)) == 0;
	return streak->connected;
}

/* A process with threads whose table of descriptors grows waits until every core has let go of the old one: 5 to
 * 15 ms, and the socket of a path may be the one that grows it, amid traffic. So a descriptor as high as any of
 * ours will be is opened for a moment. */
static void grow_table(const struct weft_udp *udp)
{
	int top = WEFT_MIN(udp->fd[0] + (int)udp->cfg.paths + 2, udp->fd_max);
	int fd = fcntl(udp->fd[0], F_DUPFD_CLOEXEC, top);

	if (fd >= 0)
		close(fd);
}

static int open_rx(struct weft_udp *udp)
{
	bool v4 = udp->cfg.addr.sa.sa_family == AF_INET;
	struct udp_rx *rx = &udp->rx;
	int fd = udp->fd[0];
	uint32_t size;

	(void)set_int(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_RECVTOS : IPV6_RECVTCLASS, 1);
	ask_buffer(fd, SO_RCVBUF, SO_RCVBUFFORCE, udp->cfg.rcvbuf);
	udp->stats.rcvbuf = get_int(fd, SOL_SOCKET, SO_RCVBUF);
	udp->stats.sndbuf = get_int(fd, SOL_SOCKET, SO_SNDBUF);
	udp->stats.gro = udp->cfg.gro && set_int(fd, SOL_UDP, UDP_GRO, 1) == 0;

	/* Rounded up so that the slots do not share cache lines. */
	size = udp->stats.gro ? 65536 : (udp->cfg.frame_max + 63) / 64 * 64;
	rx->vec_max = udp->stats.gro ? UDP_RX_VEC_GRO : UDP_RX_VEC_PLAIN;
	rx->vec = UDP_RX_VEC_MIN;
	rx->per_dgram = 1;
	rx->buf = aligned_alloc(64, (size_t)size * rx->vec_max);
	if (rx->buf == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < rx->vec_max; i++) {
		struct udp_rx_slot *slot = &rx->slot[i];

		slot->iov.iov_base = rx->buf + (size_t)i * size;
		slot->iov.iov_len = udp->stats.gro ? size : udp->cfg.frame_max;
		rx->hdr[i].msg_hdr.msg_iov = &slot->iov;
		rx->hdr[i].msg_hdr.msg_iovlen = 1;
		rx->hdr[i].msg_hdr.msg_name = &slot->from;
		rx->hdr[i].msg_hdr.msg_control = slot->ctl.bytes;
	}
	return 0;
}

static void open_tx(struct weft_udp *udp)
{
	int value;
	socklen_t len = sizeof(value);

	/* A kernel that does not know the option would not refuse the control message either, but send
	 * all segments as one long datagram. */
	udp->stats.gso =
		udp->cfg.gso && getsockopt(udp->fd[0], SOL_UDP, UDP_SEGMENT, &value, &len) == 0;
	for (uint32_t i = 0; i < UDP_TX_FRAMES; i++) {
		struct udp_tx_msg *msg = &udp->tx.msg[i];
		struct msghdr *hdr = &udp->tx.hdr[i].msg_hdr;

		msg->ctl.align.cmsg_level = SOL_UDP;
		msg->ctl.align.cmsg_type = UDP_SEGMENT;
		msg->ctl.align.cmsg_len = CMSG_LEN(sizeof(uint16_t));
		hdr->msg_name = &msg->to;
	}
}

int weft_udp_open(const struct weft_udp_cfg *cfg, struct weft_udp **udp_out)
{
	bool v4 = cfg->addr.sa.sa_family == AF_INET;
	struct rlimit files = { .rlim_cur = 0 };
	struct weft_udp *udp;
	int rc;

	if (!v4 && cfg->addr.sa.sa_family != AF_INET6)
		return -EAFNOSUPPORT;
	if (cfg->paths < 1 || cfg->paths > UDP_PATHS_MAX || cfg->frame_max < 1 ||
	    cfg->frame_max > (v4 ? UDP_PAYLOAD_MAX_V4 : UDP_PAYLOAD_MAX_V6))
		return -EINVAL;
	udp = calloc(1, sizeof(*udp));
	if (udp == NULL)
		return -ENOMEM;
	udp->cfg = *cfg;
	udp->paths_ep = -1;
	for (uint32_t i = 0; i < UDP_SOCKETS; i++)
		udp->fd[i] = -1;
	(void)getrlimit(RLIMIT_NOFILE, &files);
	udp->fd_max = (int)WEFT_MIN(files.rlim_cur / 2, (rlim_t)INT32_MAX);

	rc = open_bound(udp, v4 ? cfg->addr.in4.sin_port : cfg->addr.in6.sin6_port);
	if (rc < 0)
		goto err_free;
	udp->fd[0] = rc;
	udp->stats.sockets = 1;
	grow_table(udp);
	rc = udp_parts_open(udp);
	if (rc)
		goto err_close;
	rc = open_rx(udp);
	if (rc)
		goto err_parts;
	open_tx(udp);
	*udp_out = udp;
	return 0;

err_parts:
	udp_parts_close(udp);
err_close:
	close(udp->fd[0]);
err_free:
	free(udp);
	return rc;
}

void weft_udp_close(struct weft_udp *udp)
{
	if (udp == NULL)
		return;
	weft_udp_flush(udp);
	for (uint32_t i = 1; i < UDP_SOCKETS; i++)
		if (udp->fd[i] >= 0 && udp->fd[i] != udp->fd[0])
			close(udp->fd[i]);
	close(udp->fd[0]);
	if (udp->paths_ep >= 0)
		close(udp->paths_ep);
	free(udp->rx.buf);
	udp_parts_close(udp);
	free(udp);
}

int weft_udp_fd(const struct weft_udp *udp)
{
	return udp->fd[0];
}

int weft_udp_frame_max(struct weft_udp *udp, const union weft_sockaddr *to, uint32_t *len_out)
{
	bool v4 = udp->cfg.addr.sa.sa_family == AF_INET;
	uint32_t mtu, heads;
	int fd, rc = 0;

	if (to->sa.sa_family != udp->cfg.addr.sa.sa_family)
		return -EAFNOSUPPORT;
	fd = open_bound(udp, 0);
	if (fd < 0)
		return fd;
	if (connect(fd, &to->sa, udp_addr_len(udp))) {
		rc = -errno;
	} else {
		mtu = v4 ? get_int(fd, IPPROTO_IP, IP_MTU) : get_int(fd, IPPROTO_IPV6, IPV6_MTU);
		heads = v4 ? 20 + 8 : 40 + 8;
		if (mtu > heads)
			*len_out = WEFT_MIN(mtu - heads, udp->cfg.frame_max);
		else
			rc = -ENETUNREACH;
	}
	close(fd);
	return rc;
}

void weft_udp_stats(const struct weft_udp *udp, struct weft_udp_stats *stats_out)
{
	*stats_out = udp->stats;
}
