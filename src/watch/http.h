/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_WATCH_HTTP_H
#define WEFT_WATCH_HTTP_H

/* Just enough of HTTP/1.1 to be scraped: GET and HEAD, one answer, closed. One thread; a client that is slow, silent or
 * wrong costs a place for a few seconds and nobody else anything. */
#include "base/types.h"

#include <poll.h>
#include <signal.h>

struct weft_http;

/* What GET /metrics gets. *body_out (of *len_out bytes) is the callee's to free(). False: it cannot be had now (503). */
typedef bool weft_http_fn(void *arg, bool openmetrics, char **body_out, size_t *len_out);

/* `where`: "127.0.0.1:9410", "[::1]:9410", "*:9410" for all addresses. 0 or -errno; why_out is then one line. */
int weft_http_open(const char *where, weft_http_fn *fn, void *arg, struct weft_http **http_out,
		   char *why_out, size_t len);
void weft_http_close(struct weft_http *http);

/* The address that it has: with the port that was chosen, when 0 was asked for. */
const char *weft_http_where(const struct weft_http *http);

/* As part of a poll loop: what to wait for (at most WEFT_HTTP_FDS_MAX, their number is returned; *until is moved forward to
 * when weft_http_turn() wants to be called at the latest), and what poll() has made of these. */
#define WEFT_HTTP_FDS_MAX 33u
uint32_t weft_http_wait(const struct weft_http *http, struct pollfd *fds, weft_ns *until);
void weft_http_turn(struct weft_http *http, const struct pollfd *fds);

/* Serves until the deadline (CLOCK_MONOTONIC), or a signal. `waiting`: the signals that are blocked while it waits, and
 * at no other time: one that comes in between is then not lost. */
void weft_http_serve(struct weft_http *http, weft_ns until, const sigset_t *waiting);

#endif
