/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_CLOUD_BUSBW_H
#define WEFT_CLOUD_BUSBW_H

/* What NCCL's all-reduce reaches on real instances, as people report it. */
#include "cloud/catalogue.h"

struct weft_busbw {
	const char *instance;
	uint32_t nodes; /* 0: not said. */
	uint64_t bytes; /* Of the message. 0: not said, or no single one. */
	double low, high; /* Bus bandwidth of a node, GB/s. */
	/* NULL: on all cards, as it should be. Else what is peculiar: such a figure is no expectation. */
	const char *condition;
	const char *source;
};

/* Every report about one type, of increasing nodes and size; NULL past the last. */
const struct weft_busbw *weft_busbw_at(const struct weft_instance *it, uint32_t index);

/* What is to be expected of `nodes` nodes: the report for the largest message that is not above `bytes`. NULL: nobody
 * reports any for so many nodes. */
const struct weft_busbw *weft_busbw_expect(const struct weft_instance *it, uint32_t nodes,
					   uint64_t bytes);

#endif
