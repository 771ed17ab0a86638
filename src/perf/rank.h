/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_PERF_RANK_H
#define WEFT_PERF_RANK_H

/* One end of a measurement. It is a process of its own, told by its control connection what to do: see group.h for
 * the other end of that. */
#include "perf/fab.h"

struct weft_rank {
	int control;
	struct weft_perf_job job;
	struct weft_fab fab;
	uint8_t *mem; /* The part of each kind of test is laid out by itself. */
	uint64_t mem_len;
	uint64_t *samples; /* Of one pass of one size. */
	uint64_t idle_since; /* While the fabric is silent. */
	uint64_t alive_next; /* When the group wants to hear of us. */
	uint32_t serial; /* Of iterations: each has tags of its own. */
};

/* Tells the group now and then that work goes on. For all that takes long and does not poll the fabric. */
void weft_rank_alive(struct weft_rank *rank, uint64_t now);

struct weft_rank_gate; /* Of a server: see serve.c. */

/* Does what the connection asks for, if the gate (or NULL) lets its group in, and ends the process. */
__attribute__((noreturn)) void weft_rank_main(int control, struct weft_rank_gate *gate);

bool weft_rank_gate_enter(struct weft_rank_gate *gate, uint64_t group);

__attribute__((noreturn, format(printf, 2, 3))) void weft_rank_fail(struct weft_rank *rank,
								    const char *format, ...);

/* What the kinds of tests do. */
struct weft_rank_ops {
	uint64_t (*memory)(const struct weft_perf_job *job); /* Bytes that it needs. */
	/* Before the iterations of one pass; may be NULL. */
	void (*prepare)(struct weft_rank *rank, uint64_t bytes, uint32_t pass);
	/* One iteration. */
	void (*iterate)(struct weft_rank *rank, uint64_t bytes, uint32_t pass);
	/* One more, with data that is looked at: the number of wrong elements. */
	uint64_t (*check)(struct weft_rank *rank, uint64_t bytes, uint32_t pass);
};

extern const struct weft_rank_ops weft_rank_pair; /* pair.c */
extern const struct weft_rank_ops weft_rank_collective; /* collective.c */

#endif
