/* SPDX-License-Identifier: BSD-2-Clause */
/* How many bytes each TCP connection has moved, from the kernel's socket diagnosis: one dump for each family gives
 * all connections of this network namespace, with the inodes by which /proc/PID/fd names them. It needs no right;
 * where it is missing (other kernels, seccomp) bytes of TCP are unknown, not zero. */
#include "watch/watch.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define SOCKETS_MAX 200000u
#define TCP_LISTEN_ 10 /* <netinet/tcp.h> has the name, and clashes with <linux/tcp.h>. */

void weft_watch_tcp_open(struct weft_watch_tcp *tcp)
{
	struct timeval second = { .tv_sec = 1 };

	memset(tcp, 0, sizeof(*tcp));
	tcp->fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	/* The kernel answers at once; should it not, we do not wait for ever. */
	if (tcp->fd >= 0)
		(void)setsockopt(tcp->fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second));
}

void weft_watch_tcp_close(struct weft_watch_tcp *tcp)
{
	if (tcp->fd >= 0)
		close(tcp->fd);
	free(tcp->socket);
}

static bool ask(int fd, uint8_t family)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 body;
	} request = {
		.head = {
			.nlmsg_len = sizeof(request),
			.nlmsg_type = SOCK_DIAG_BY_FAMILY,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
		},
		.body = {
			.sdiag_family = family,
			.sdiag_protocol = IPPROTO_TCP,
			.idiag_ext = 1 << (INET_DIAG_INFO - 1),
			.idiag_states = ~(1u << TCP_LISTEN_),
		},
	};

	return send(fd, &request, sizeof(request), 0) == (ssize_t)sizeof(request);
}

static void take(struct weft_watch_tcp *tcp, const struct nlmsghdr *head)
{
	const struct inet_diag_msg *msg = NLMSG_DATA(head);
	const struct rtattr *attr = (const struct rtattr *)(msg + 1);
	struct weft_watch_tcp_socket *one;
	struct tcp_info info;
	long left;

	if (head->nlmsg_len < NLMSG_LENGTH(sizeof(*msg)) || !msg->idiag_inode ||
	    tcp->count == SOCKETS_MAX)
		return;
	left = (long)(head->nlmsg_len - NLMSG_LENGTH(sizeof(*msg)));
	memset(&info, 0, sizeof(info));
	for (; RTA_OK(attr, left); attr = RTA_NEXT(attr, left))
		if (attr->rta_type == INET_DIAG_INFO)
			memcpy(&info, RTA_DATA(attr), WEFT_MIN(sizeof(info), RTA_PAYLOAD(attr)));
	if (tcp->count == tcp->room) {
		size_t room = tcp->room ? 2 * tcp->room : 256;

		one = realloc(tcp->socket, room * sizeof(*one));
		if (!one)
			return;
		tcp->socket = one;
		tcp->room = room;
	}
	one = &tcp->socket[tcp->count++];
	one->inode = msg->idiag_inode;
	one->tx = info.tcpi_bytes_acked;
	one->rx = info.tcpi_bytes_received;
}

/* True at the end of the dump. */
static bool take_all(struct weft_watch_tcp *tcp, bool *failed)
{
	static union {
		struct nlmsghdr head;
		char bytes[32768];
	} buf;
	ssize_t got = recv(tcp->fd, &buf, sizeof(buf), 0);
	size_t left = got > 0 ? (size_t)got : 0;

	if (got <= 0) {
		*failed = true;
		return true;
	}
	for (const struct nlmsghdr *head = &buf.head; NLMSG_OK(head, left);
	     head = NLMSG_NEXT(head, left)) {
		if (head->nlmsg_type == NLMSG_DONE)
			return true;
		if (head->nlmsg_type == NLMSG_ERROR) {
			*failed = true;
			return true;
		}
		take(tcp, head);
	}
	return false;
}

static int by_inode(const void *a, const void *b)
{
	const struct weft_watch_tcp_socket *x = a, *y = b;

	return (x->inode > y->inode) - (x->inode < y->inode);
}

bool weft_watch_tcp_read(struct weft_watch_tcp *tcp)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	bool failed = false;

	tcp->count = 0;
	for (size_t i = 0; i < sizeof(families) && tcp->fd >= 0 && !failed; i++) {
		failed = !ask(tcp->fd, families[i]);
		while (!failed && !take_all(tcp, &failed))
			;
	}
	if (tcp->fd >= 0 && failed) {
		/* What is still under way would be taken for the next answer. */
		close(tcp->fd);
		tcp->fd = -1;
	}
	if (tcp->fd < 0)
		return false;
	if (tcp->count)
		qsort(tcp->socket, tcp->count, sizeof(*tcp->socket), by_inode);
	return true;
}

const struct weft_watch_tcp_socket *weft_watch_tcp_find(const struct weft_watch_tcp *tcp,
							uint64_t inode)
{
	struct weft_watch_tcp_socket key = { .inode = inode };

	return tcp->count ? bsearch(&key, tcp->socket, tcp->count, sizeof(key), by_inode) : NULL;
}
