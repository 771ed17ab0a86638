/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_CLI_INFO_NODE_H
#define WEFT_CLI_INFO_NODE_H

/* The views of `weft info` on the machine itself. */
#include "node/node.h"

/* A matrix of the distances between GPUs and cards, as NCCL names them. */
void weft_info_topo(const struct weft_node *node, bool json);

/* What is loaded between a program and the cards, from top to bottom. `pid` NULL: by a program that would be started
 * now. `proc`: where /proc is; `files`: where the libraries are. Result: 0, or -errno for that process. */
int weft_info_stack(const struct weft_node *node, struct weft_root *proc, struct weft_root *files,
		    const char *pid, bool json);

/* One card each, software or real, as fi_info would print it. */
struct weft_info_fi {
	const char *name, *bdf;
	uint32_t gbps;
};

void weft_info_fi_print(const struct weft_info_fi *cards, size_t count, struct weft_root *files,
			bool json);

#endif
