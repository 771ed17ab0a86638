/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_WATCH_WATCH_H
#define WEFT_WATCH_WATCH_H

/* The parts that take a sample, for each other only. Each keeps what it has to remember between samples. */
#include "node/root.h"
#include "watch/sample.h"

/* weft's cards, out of the pages of counters (soft.c). */
struct weft_watch_soft;
struct weft_watch_soft *weft_watch_soft_create(void); /* NULL: no memory. */
void weft_watch_soft_destroy(struct weft_watch_soft *soft);
void weft_watch_soft_take(struct weft_watch_soft *soft, struct weft_sample *sample);

/* Bytes of TCP connections, by inode of their sockets (tcp.c). */
struct weft_watch_tcp {
	struct weft_watch_tcp_socket {
		uint64_t inode, tx, rx;
	} * socket; /* owns. In order of inode. */
	size_t count, room;
	int fd; /* Of netlink; -1: none. */
};

void weft_watch_tcp_open(struct weft_watch_tcp *tcp);
void weft_watch_tcp_close(struct weft_watch_tcp *tcp);

/* Reads anew. False: nobody knows. */
bool weft_watch_tcp_read(struct weft_watch_tcp *tcp);
const struct weft_watch_tcp_socket *weft_watch_tcp_find(const struct weft_watch_tcp *tcp,
							uint64_t inode);

/* Programs (proc.c). After the cards: `uverbs` has the device file of each card of the sample, or "". */
struct weft_watch_procs;
struct weft_watch_procs *weft_watch_procs_create(bool with_tcp); /* NULL: no memory. */
void weft_watch_procs_destroy(struct weft_watch_procs *procs);
void weft_watch_procs_take(struct weft_watch_procs *procs, struct weft_root *root,
			   const char (*uverbs)[64], struct weft_sample *sample);

#endif
