/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_TESTS_LINK_DUO_H
#define WEFT_TESTS_LINK_DUO_H

/* Several hosts on one machine, each a forked process with an address of its own, that meet over the device.
 *
 * A case is a function for each side. Side 0 is host 127.0.0.2, side 1 is 127.0.0.3 and so on, unless the case
 * says otherwise. A side has not called weft before its function runs, so the settings of the case hold. The
 * process that runs cmocka never calls weft: it starts the sides, watches them, and reports what a side says
 * has failed, or where it hangs. Sides meet on a board, a piece of memory that they share besides the device.
 *
 * Nothing here measures time. The limit is there to end a case that hangs. */
#include "dev/dev.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define DUO_SIDES_MAX 8u
#define DUO_ADDRS_MAX 32u /* Published by one side. */
#define DUO_QKEY      0x1111u

#ifdef __has_feature
#define DUO_HAS(x) __has_feature(x)
#else
#define DUO_HAS(x) 0
#endif
#if defined(__SANITIZE_THREAD__) || DUO_HAS(thread_sanitizer)
#define DUO_TSAN 1
#else
#define DUO_TSAN 0
#endif
#if defined(__SANITIZE_ADDRESS__) || DUO_HAS(address_sanitizer)
#define DUO_ASAN 1
#else
#define DUO_ASAN 0
#endif
#define DUO_SANITIZED (DUO_ASAN || DUO_TSAN)

enum duo_wire {
	DUO_UDP = 1,
	DUO_LOCAL = 2,
	DUO_AUTO = 4,
};

typedef void duo_fn(void);

struct duo_case {
	const char *name;
	duo_fn *side[DUO_SIDES_MAX];
	const char *env; /* "NAME=value NAME=value" on top of the common settings. */
	uint8_t host[DUO_SIDES_MAX]; /* 127.0.0.x; 0: 2 + side. */
	uint32_t wires; /* enum duo_wire: only on these; 0: on all. */
	uint32_t killed; /* Bit per side: meant to end by a signal. */
	uint32_t limit_s; /* 0: 60. */
};

/* Parent */

void duo_setup(const char *wire);
uint32_t duo_wire(void);
bool duo_is_for_wire(const struct duo_case *c);
void duo_run(void **state); /* A cmocka test whose state is a struct duo_case. */
void duo_teardown(void);

/* Sides: meeting. All may be called from the side's first thread only. */

#define DUO_STR_(x) #x
#define DUO_STR(x)  DUO_STR_(x)
#define DUO_AT      __FILE__ ":" DUO_STR(__LINE__)

extern uint32_t duo_side, duo_sides;

__attribute__((noreturn, format(printf, 2, 3))) void duo_die(const char *at, const char *fmt, ...);
/* All sides that still live have come as far. */
void duo_sync_(const char *at);
#define duo_sync() duo_sync_(DUO_AT)
/* Progress of one side, for others to wait for. A side that is gone has come arbitrarily far. */
void duo_step(uint32_t step);
bool duo_has_step(uint32_t side, uint32_t step);
void duo_wait_step_(const char *at, uint32_t side, uint32_t step);
#define duo_wait_step(side, step) duo_wait_step_(DUO_AT, side, step)
void duo_wait_gone_(const char *at, uint32_t side);
#define duo_wait_gone(side) duo_wait_gone_(DUO_AT, side)
/* SIGKILL returns when the side is gone, SIGSTOP when it is stopped. */
void duo_kill_(const char *at, uint32_t side, int sig);
#define duo_kill(side, sig) duo_kill_(DUO_AT, side, sig)
/* What this side does now: part of the report if it hangs. */
void duo_at(const char *at);
void duo_nap(void); /* A moment without weft, in a loop that waits for something else. */

#define need(x)                                            \
	do {                                               \
		if (!(x))                                  \
			duo_die(DUO_AT, "not so: %s", #x); \
	} while (0)
#define need_eq(want, got)                                                                      \
	do {                                                                                    \
		long long want_ = (long long)(want), got_ = (long long)(got);                   \
		if (want_ != got_)                                                              \
			duo_die(DUO_AT, "%s is %lld, not %s (%lld)", #got, got_, #want, want_); \
	} while (0)
#define need_ok(call)                                                      \
	do {                                                               \
		int err_ = (call);                                         \
		if (err_)                                                  \
			duo_die(DUO_AT, "%s: %s", #call, strerror(-err_)); \
	} while (0)

/* Sides: a card with one of everything */

struct duo_addr {
	struct weft_gid gid;
	uint16_t qpn;
	uint32_t qkey, rkey, lkey;
	uint64_t addr, len;
};

struct duo_opts { /* Zero: the default in brackets. */
	enum weft_qp_type type;
	uint32_t sq, rq; /* Depths (256, 256). */
	uint32_t depth; /* Of each CQ (4096). */
	uint32_t access; /* enum weft_access (all). */
	size_t len; /* Of the buffer (1 MiB). */
	bool unsolicited;
	bool channel;
	enum weft_qp_state state; /* (RTS) */
};

struct duo_end {
	struct duo_opts opts;
	struct weft_card *card;
	struct weft_pd *pd;
	struct weft_channel *channel;
	struct weft_cq *scq, *rcq;
	struct weft_qp *qp;
	struct weft_mr *mr;
	uint8_t *buf; /* owns: opts.len, zeroed. */
	struct weft_ah *ah; /* To the peer of duo_meet. */
	struct duo_addr peer;
};

void duo_open(struct duo_end *e, const struct duo_opts *opts);
/* Another QP like the one of `e`, in this state. */
struct weft_qp *duo_qp(const struct duo_end *e, enum weft_qp_state state);
void duo_qp_to(struct weft_qp *qp, enum weft_qp_state state); /* From RESET, all the way. */
/* Everything is given back, and nothing refuses. QPs of duo_qp are the caller's to destroy. */
void duo_close(struct duo_end *e);

struct duo_addr duo_addr_of(const struct duo_end *e, const struct weft_qp *qp);
void duo_publish(uint32_t i, const struct duo_addr *addr);
struct duo_addr duo_look(uint32_t side, uint32_t i);
/* Publish our QP as 0, wait for all sides, and take that of side `peer`. */
void duo_meet_(const char *at, struct duo_end *e, uint32_t peer);
#define duo_meet(e, peer) duo_meet_(DUO_AT, e, peer)
void duo_target(struct duo_end *e,
		const struct duo_addr *peer); /* Another peer (or QP) from now on. */

/* A work request to the peer's QP: `len` bytes at `off` of our buffer, from or to `roff` of the peer's. */
struct weft_wr duo_wr(const struct duo_end *e, uint64_t id, enum weft_op op, size_t off,
		      uint32_t len, size_t roff);
void duo_post_(const char *at, struct weft_qp *qp, const struct weft_wr *wr);
#define duo_post(qp, wr) duo_post_(DUO_AT, qp, wr)
void duo_recv_(const char *at, const struct duo_end *e, struct weft_qp *qp, uint64_t id, size_t off,
	       uint32_t len);
#define duo_recv(e, id, off, len) duo_recv_(DUO_AT, e, (e)->qp, id, off, len)

bool duo_try(struct weft_cq *cq, struct weft_cqe *cqe_out);
struct weft_cqe duo_next_(const char *at, struct weft_cq *cq);
#define duo_next(cq) duo_next_(DUO_AT, cq)
/* The next completion is this one. */
void duo_done_(const char *at, struct weft_cq *cq, uint64_t id, uint32_t status);
#define duo_done(cq, id, status) duo_done_(DUO_AT, cq, id, status)
/* Post and wait for its completion: the CQ has no other. */
void duo_do_(const char *at, const struct duo_end *e, const struct weft_wr *wr, uint32_t status);
#define duo_do(e, wr, status) duo_do_(DUO_AT, e, wr, status)
/* Before looking at memory that a peer wrote without a completion here: the peer's word, on the board, that it is
 * there means nothing to a race detector, which knows only of this process. */
void duo_settle(const struct duo_end *e);
void duo_none_(const char *at, struct weft_cq *cq); /* Nothing is there, also after some work. */
#define duo_none(cq) duo_none_(DUO_AT, cq)

/* Bytes that depend on the seed and on their place. */
void duo_fill(void *at, size_t len, uint64_t seed);
void duo_check_(const char *at, const void *mem, size_t len, uint64_t seed);
#define duo_check(mem, len, seed) duo_check_(DUO_AT, mem, len, seed)
void duo_check_zero_(const char *at, const void *mem, size_t len);
#define duo_check_zero(mem, len) duo_check_zero_(DUO_AT, mem, len)

uint16_t duo_port_base(void);
/* A UDP socket on a port of host 127.0.0.x, or -1 when somebody has it. */
int duo_bind(uint8_t host, uint16_t port);

#endif
