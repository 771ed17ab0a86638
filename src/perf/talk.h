/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_PERF_TALK_H
#define WEFT_PERF_TALK_H

/* Connections beside the fabric, over which those who measure agree: TCP, or a pair of sockets on one host. What comes
 * from the other end is not trusted: it is a frame of a bounded length, in time, or an error. */
#include "base/types.h"

#define WEFT_TALK_BODY_MAX (4u << 20)

enum weft_talk_type {
	WEFT_TALK_JOB = 1, /* struct weft_perf_job */
	WEFT_TALK_HELLO, /* struct weft_perf_member, then the rank's addresses */
	WEFT_TALK_PEERS, /* Everybody's addresses */
	WEFT_TALK_READY, /* weft_ns: what one iteration took so far */
	WEFT_TALK_GO, /* uint32_t: so many iterations */
	WEFT_TALK_ROW, /* struct weft_perf_row */
	WEFT_TALK_ERROR, /* Text */
	WEFT_TALK_JOIN, /* Rank and job: the rank comes by itself, started by mpirun or the like */
	WEFT_TALK_END, /* Nothing: all is done */
	WEFT_TALK_ALIVE, /* Nothing, twice a second: the rank is at work */
};

/* 0 or -errno. */
int weft_talk_put(int fd, enum weft_talk_type type, const void *body, size_t len);

/* The next frame, into `body`. 0, -EPIPE (the other end is gone), -ETIMEDOUT, -EPROTO (no frame, or too long). */
int weft_talk_get(int fd, uint32_t *type_out, void *body, size_t size, size_t *len_out,
		  uint64_t timeout_ns);

/* A socket, or -1 and `why`. */
int weft_talk_connect(const char *host, uint16_t port, uint64_t timeout_ns, char *why, size_t len);
int weft_talk_listen(const char *address, uint16_t port, char *why, size_t len);

/* The address of this end ("10.0.0.1") or of the other one; "" for what is no IP. */
void weft_talk_address(int fd, bool is_other, char *out, size_t len);

uint64_t weft_talk_now(void);

#endif
