/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_KUBE_CONN_H
#define WEFT_KUBE_CONN_H

/* A connection of HTTP/2 over a Unix socket, as part of a poll loop: it never waits. */
#include "kube/grpc.h"

#include <poll.h>
#include <sys/un.h>

struct weft_conn {
	int fd; /* owns. -1: none. */
	struct weft_grpc *grpc; /* owns */
	const uint8_t *out; /* Borrowed from grpc: what the socket has not taken yet. */
	size_t out_len;
};

/* An address for a path. False: the path is too long for one. */
bool weft_conn_address(const char *path, struct sockaddr_un *address_out);

/* A socket that is connected, to whoever listens at `path`: a descriptor or -errno. */
int weft_conn_dial(const char *path);

/* Takes over both. */
void weft_conn_init(struct weft_conn *conn, int fd, struct weft_grpc *grpc);
void weft_conn_fini(struct weft_conn *conn);

struct pollfd weft_conn_wait(const struct weft_conn *conn);

/* What poll() said, and whatever is to be sent. False: the connection is over. */
bool weft_conn_turn(struct weft_conn *conn, short events);

#endif
