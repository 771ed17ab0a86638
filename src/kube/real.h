/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_KUBE_REAL_H
#define WEFT_KUBE_REAL_H

/* The EFA cards of this machine to give: a container that gets some has their device files. */
#include "kube/plugin.h"
#include "node/node.h"

/* What the next look is compared with. */
struct weft_kube_pulse {
	bool is_known;
	uint64_t keep_alive; /* keep_alive_rcvd */
	bool has_beaten; /* It has been seen to grow. */
	weft_ns beaten; /* When it last did. */
	uint64_t lost; /* no_completion_cmds */
	weft_ns lost_at; /* When that last grew; 0: never. */
};

/* Takes note of both counters as they are now. NULL: the card is alive, or nobody can say; else why it is not. */
const char *weft_kube_feel(struct weft_kube_pulse *pulse, uint64_t keep_alive, uint64_t lost,
			   weft_ns now);

struct weft_kube_real {
	struct weft_kube_cards cards;
	struct weft_kube_pulse pulse[WEFT_KUBE_CARDS_MAX];
	struct weft_root *root; /* borrows */
};

void weft_kube_real_init(struct weft_root *root, uint32_t shared, struct weft_kube_real *real_out);
struct weft_kube_source weft_kube_real_source(struct weft_kube_real *real);

/* Looks at the machine: adds cards that are new, and sets is_healthy and why of all. One that has gone stays, and is not
 * healthy: who has it has it still. */
void weft_kube_real_look(struct weft_kube_real *real, weft_ns now);

#endif
