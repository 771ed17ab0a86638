/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes between a socket and gRPC. What cannot be sent stays where it is, in nghttp2, which makes the next bytes only
 * when these are gone: a peer that does not read costs no more than one that does. */
#define _GNU_SOURCE
#include "kube/conn.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_MAX 65536u /* In one turn: others want theirs, too. */

bool weft_conn_address(const char *path, struct sockaddr_un *address_out)
{
	*address_out = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(address_out->sun_path))
		return false;
	memcpy(address_out->sun_path, path, strlen(path) + 1);
	return true;
}

int weft_conn_dial(const char *path)
{
	struct sockaddr_un to;
	int fd, err;

	if (!weft_conn_address(path, &to))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* To a Unix socket this is done at once, or not at all. */
	if (!connect(fd, (struct sockaddr *)&to, sizeof(to)))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

void weft_conn_init(struct weft_conn *c, int fd, struct weft_grpc *grpc)
{
	*c = (struct weft_conn){ .fd = fd, .grpc = grpc };
}

void weft_conn_fini(struct weft_conn *c)
{
	if (c->fd >= 0)
		close(c->fd);
	weft_grpc_destroy(c->grpc);
	*c = (struct weft_conn){ .fd = -1 };
}

struct pollfd weft_conn_wait(const struct weft_conn *c)
{
	return (struct pollfd){ .fd = c->fd,
				.events = (short)(c->out_len ? POLLIN | POLLOUT : POLLIN) };
}

/* False: over. */
static bool receive(struct weft_conn *c)
{
	uint8_t buf[16384];

	for (size_t total = 0; total < READ_MAX;) {
		ssize_t n = recv(c->fd, buf, sizeof(buf), 0);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		if (!n || !weft_grpc_recv(c->grpc, buf, (size_t)n))
			return false;
		total += (size_t)n;
	}
	return true;
}

static bool flush(struct weft_conn *c)
{
	for (;;) {
		ssize_t n;

		if (!c->out_len)
			c->out_len = weft_grpc_send(c->grpc, &c->out);
		if (!c->out_len)
			return !weft_grpc_is_over(c->grpc);
		n = send(c->fd, c->out, c->out_len, MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		c->out += n;
		c->out_len -= (size_t)n;
	}
}

bool weft_conn_turn(struct weft_conn *c, short events)
{
	bool more = true;

	if (events & (POLLIN | POLLHUP | POLLERR))
		more = receive(c);
	/* Also when it is over: the peer may want to know why. */
	return flush(c) && more;
}
