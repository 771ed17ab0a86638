/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_NODE_CHECK_H
#define WEFT_NODE_CHECK_H

/* What is wrong with a machine, as far as the machine itself shows it. */
#include "node/node.h"

/* Cards, drivers, counters, GPUs, kernel, memory and limits. What is as it should be is reported as ok. */
void weft_node_check(const struct weft_node *node, struct weft_findings *findings);

/* The same counters twice, so many nanoseconds apart: what goes wrong now. `before` and `after` are of one machine;
 * tcp_bytes: what the network interfaces have carried in between. */
void weft_node_check_rates(const struct weft_node *before, const struct weft_node *after,
			   weft_ns apart, uint64_t tcp_bytes, struct weft_findings *findings);

/* Bytes that the interfaces (but lo) have sent and received since boot. */
uint64_t weft_node_tcp_bytes(struct weft_root *root, const struct weft_node *node);

/* The number of huge pages, of 2 MiB, that EFA nodes are given. */
uint64_t weft_node_hugepages_wanted(const struct weft_node *node);

#endif
