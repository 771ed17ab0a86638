/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_SIM_ORACLE_H
#define WEFT_SIM_ORACLE_H

/* Judges a finished run by its trace. It knows nothing of engines, hosts or scenarios beyond what the
 * records say, so that a mistake there cannot excuse itself here. docs/protocol.md states the rules that
 * the invariants test; the names I1 to I13 are used everywhere. */
#include "sim/trace.h"

enum weft_invariant {
	WEFT_I1, /* A work request is delivered at most once, across restarts too. */
	WEFT_I2, /* Success means: delivered once, before, with equal bytes. */
	WEFT_I3, /* Every work request completes once, in bounded time. */
	WEFT_I4, /* An error is one that what happened can explain. */
	WEFT_I5, /* No byte is read or written outside its region, range and life. */
	WEFT_I6, /* A fault elsewhere changes no status. */
	WEFT_I7, /* In flight <= window; on credit, if the newest ACK says so, only what was granted. */
	WEFT_I8, /* Retransmissions are bounded by losses, and take another path. */
	WEFT_I9, /* After healing all work finishes soon. */
	WEFT_I10, /* A dark path is left within three round trips. */
	WEFT_I11, /* Senders to one receiver get equal shares. */
	WEFT_I12, /* Afterwards nothing is left in use. */
	WEFT_I13, /* No PSN is used twice, no data before the handshake; one epoch, one partner. */
	WEFT_HANG,
	WEFT_INVARIANTS,
};

const char *weft_invariant_name(enum weft_invariant inv);

#define WEFT_ORACLE_KEEP 8

struct weft_violation {
	enum weft_invariant inv;
	weft_ns at;
	uint32_t wr; /* WEFT_TRACE_NO_WR when it concerns none. */
	char text[160];
};

struct weft_oracle_report {
	uint32_t count; /* All of them; the first ones are kept. */
	struct weft_violation list[WEFT_ORACLE_KEEP];
	uint64_t packets, messages; /* Sent frames, accepted work requests. */
};

void weft_oracle_check(const struct weft_trace *trace, struct weft_oracle_report *report_out);

#endif
