/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_WATCH_LINES_H
#define WEFT_WATCH_LINES_H

/* A screen as lines: the same on a terminal, on a dumb one and in a file. Only what a line is, not how that looks. */
#include "base/types.h"

#define WEFT_SCREEN_TEXT 1024u /* Bytes of a line. */

enum weft_screen_style {
	WEFT_SCREEN_PLAIN,
	WEFT_SCREEN_TITLE,
	WEFT_SCREEN_HEAD, /* Of columns. */
	WEFT_SCREEN_ALARM,
	WEFT_SCREEN_DIM, /* Nothing goes on here; or it is said by the way. */
	WEFT_SCREEN_FOOT,
};

struct weft_screen_line {
	enum weft_screen_style style;
	char text[WEFT_SCREEN_TEXT];
};

struct weft_screen_lines {
	struct weft_screen_line *line; /* owns */
	uint32_t count;
	bool failed; /* No memory; then some are missing. */
};

/* One more, cut after `width` columns. What is beyond WEFT_SCREEN_LINES_MAX is left out. */
#define WEFT_SCREEN_LINES_MAX 200000u
void weft_screen_put(struct weft_screen_lines *lines, uint32_t width, enum weft_screen_style style,
		     const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void weft_screen_free(struct weft_screen_lines *lines);

/* A bar of so many columns, of which a part of 0 to 1 is full. `to` has room for 3 bytes a column and a 0. */
void weft_screen_bar(double part, uint32_t columns, bool utf8, char *to);

#endif
