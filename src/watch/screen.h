/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_WATCH_SCREEN_H
#define WEFT_WATCH_SCREEN_H

/* A sample as lines for people. */
#include "watch/lines.h"
#include "watch/rate.h"

#define WEFT_SCREEN_HISTORY 240u

enum weft_screen_view {
	WEFT_SCREEN_BOTH, /* Cards, and programs below. */
	WEFT_SCREEN_CARDS,
	WEFT_SCREEN_PROCS,
	WEFT_SCREEN_PODS,
};

enum weft_screen_sort {
	WEFT_SORT_NAME, /* As the machine has them. */
	WEFT_SORT_LINE,
	WEFT_SORT_TX,
	WEFT_SORT_RX,
	WEFT_SORT_RETRANS,
	WEFT_SORT_DROPS,
	WEFT_SORT_COUNT,
};

struct weft_screen {
	uint32_t width, height; /* Of the terminal. height 0: as many lines as it takes. */
	bool utf8; /* May bars and sparklines be drawn with blocks? */
	enum weft_screen_view view;
	enum weft_screen_sort sort;
	bool help, paused;
	const char *mode; /* "every 1 s", "replay of FILE" */
	uint32_t scroll; /* Rows of the list that are above the screen; kept within it. */
	/* Bytes a second of all cards and of the ordinary network, both directions; the newest last. */
	double efa[WEFT_SCREEN_HISTORY], net[WEFT_SCREEN_HISTORY];
	uint32_t history;
};

/* "name", ...; NULL past the last. */
const char *weft_sort_name(uint32_t sort);

/* A new sample goes into the history. */
void weft_screen_push(struct weft_screen *screen, const struct weft_rates *rates);

/* False: no memory. */
bool weft_screen_compose(struct weft_screen *screen, const struct weft_sample *sample,
			 const struct weft_rates *rates, struct weft_screen_lines *lines_out);

#endif
