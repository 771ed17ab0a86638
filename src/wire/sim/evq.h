/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_WIRE_SIM_EVQ_H
#define WEFT_WIRE_SIM_EVQ_H

/* The event queue of simulated time: events come out by time, and among equal times in the order in
 * which they were put in, so that a run depends on its seed and on nothing else. */
#include "base/types.h"

struct weft_ev {
	weft_ns at;
	uint64_t order; /* Set by push; breaks ties. */
	uint32_t kind; /* The user's. */
	uint32_t a, b;
	void *ptr;
};

struct weft_evq {
	struct weft_ev *heap; /* owns */
	size_t len, cap;
	uint64_t next_order;
	weft_ns now; /* Time of the last event taken out. */
};

void weft_evq_init(struct weft_evq *q);
void weft_evq_fini(struct weft_evq *q);

/* Grows the heap as needed; a simulator without memory ends the program. `at` is not before q->now. */
void weft_evq_push(struct weft_evq *q, weft_ns at, uint32_t kind, uint32_t a, uint32_t b,
		   void *ptr);

/* False when the queue is empty. */
bool weft_evq_pop(struct weft_evq *q, struct weft_ev *ev_out);

#endif
