/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_NODE_COUNTERS_H
#define WEFT_NODE_COUNTERS_H

/* The one reader of counters of real cards: both folders, that of the port and, since kernel 5.13, that of the
 * device. Whoever wants a few of them by name picks them out of these calls. */
#include "node/root.h"

typedef void weft_node_counter_fn(void *arg, const char *name, uint64_t value);

/* Every counter of the RDMA device `name`, those of port 1 first. One that both folders have comes twice. */
void weft_node_counters(struct weft_root *root, const char *name, weft_node_counter_fn *fn,
			void *arg);

/* "ACTIVE", or "". */
void weft_node_read_state(struct weft_root *root, const char *name, char *state_out, size_t len);

#endif
