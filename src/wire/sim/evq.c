/* SPDX-License-Identifier: BSD-2-Clause */
/* A four-ary heap: half the depth of a binary one, and the four children share a cache line or two. */
#include "wire/sim/evq.h"

#include "base/assert.h"

#include <stdlib.h>

static inline bool is_before(const struct weft_ev *a, const struct weft_ev *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void weft_evq_init(struct weft_evq *q)
{
	*q = (struct weft_evq){ 0 };
}

void weft_evq_fini(struct weft_evq *q)
{
	free(q->heap);
	*q = (struct weft_evq){ 0 };
}

void weft_evq_push(struct weft_evq *q, weft_ns at, uint32_t kind, uint32_t a, uint32_t b, void *ptr)
{
	struct weft_ev ev = {
		.at = at, .order = q->next_order++, .kind = kind, .a = a, .b = b, .ptr = ptr
	};
	size_t i;

	weft_assert(at >= q->now);
	if (q->len == q->cap) {
		q->cap = q->cap ? 2 * q->cap : 1024;
		q->heap = realloc(q->heap, q->cap * sizeof(*q->heap));
		weft_assert(q->heap);
	}
	for (i = q->len++; i > 0; i = (i - 1) / 4) {
		if (!is_before(&ev, &q->heap[(i - 1) / 4]))
			break;
		q->heap[i] = q->heap[(i - 1) / 4];
	}
	q->heap[i] = ev;
}

bool weft_evq_pop(struct weft_evq *q, struct weft_ev *ev_out)
{
	struct weft_ev last;
	size_t i = 0;

	if (!q->len)
		return false;
	*ev_out = q->heap[0];
	q->now = ev_out->at;
	last = q->heap[--q->len];
	for (;;) {
		size_t child = 4 * i + 1, best = child;

		if (child >= q->len)
			break;
		for (size_t k = child + 1; k < child + 4 && k < q->len; k++)
			if (is_before(&q->heap[k], &q->heap[best]))
				best = k;
		if (!is_before(&q->heap[best], &last))
			break;
		q->heap[i] = q->heap[best];
		i = best;
	}
	if (q->len)
		q->heap[i] = last;
	return true;
}
