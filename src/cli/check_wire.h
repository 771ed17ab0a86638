/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_CLI_CHECK_WIRE_H
#define WEFT_CLI_CHECK_WIRE_H

#include "node/node.h"

struct weft_check_wire {
	bool self, listen;
	const char *peer, *port; /* NULL: none; WEFT_PING_PORT. */
};

/* On a machine without EFA cards, weft's are meant: begins this command anew below `weft run`, and does not return. It
 * returns when there is nothing to be done, and -1 when it cannot be (said on stderr). */
int weft_check_wire_begin(const struct weft_check_wire *wire, int argc, char **argv);

void weft_check_wire_run(const struct weft_check_wire *wire, struct weft_root *root,
			 struct weft_findings *findings);

#endif
