/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_CLI_NODES_H
#define WEFT_CLI_NODES_H

/* How `weft nodes` shows a fleet: as a screen, or for programs. */
#include "fleet/view.h"
#include "watch/lines.h"

struct weft_nodes_screen {
	uint32_t width, height; /* Of the terminal. height 0: as many lines as it takes. */
	bool utf8;
	uint32_t resource[WEFT_FLEET_RESOURCES_MAX], resources; /* Which to show. */
	struct weft_fleet_view view;
	bool help, why; /* Instead of rows: the keys; what is wrong and what to do. */
	bool prices; /* Some are known. */
	bool typing; /* The filter. */
	char filter[64];
	uint32_t page; /* Which is shown; kept within those there are. */
	char state[200]; /* "reading", "2 s ago"; or what went wrong: */
	bool wrong;
};

/* `fleet` may be NULL: not read yet. False: no memory. */
bool weft_nodes_compose(struct weft_nodes_screen *screen, const struct weft_fleet *fleet,
			struct weft_screen_lines *lines_out);

/* To stdout; rows as the screen's view has them. False: no memory. */
bool weft_nodes_json(const struct weft_nodes_screen *screen, const struct weft_fleet *fleet);
bool weft_nodes_csv(const struct weft_nodes_screen *screen, const struct weft_fleet *fleet);

/* The whole name of a resource. */
const char *weft_nodes_resource_name(const struct weft_fleet *fleet, uint32_t resource);

#endif
