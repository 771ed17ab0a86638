/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_CLI_TTY_H
#define WEFT_CLI_TTY_H

/* A terminal on stdout that lines are drawn on, one screen after the other, and keys are read from. */
#include "watch/lines.h"

enum weft_tty_key {
	WEFT_TTY_NONE, /* Time is up. */
	WEFT_TTY_END, /* The terminal is gone, or somebody wants us gone: SIGINT, SIGTERM. */
	WEFT_TTY_RESIZED,
	WEFT_TTY_UP,
	WEFT_TTY_DOWN,
	WEFT_TTY_LEFT,
	WEFT_TTY_RIGHT,
	WEFT_TTY_PAGE_UP,
	WEFT_TTY_PAGE_DOWN,
	WEFT_TTY_HOME,
	WEFT_TTY_BACKSPACE,
	WEFT_TTY_LETTER, /* *letter_out; '\n' and '\x1b' (Escape) are some. */
};

/* False: stdout is no terminal, or one that cannot move its cursor, or there are no keys to be had. */
bool weft_tty_open(void);
void weft_tty_close(void);

/* Does the locale have UTF-8? Once setlocale() was called. */
bool weft_tty_is_utf8(void);
void weft_tty_size(uint32_t *width_out, uint32_t *height_out);
void weft_tty_draw(const struct weft_screen_lines *lines);
enum weft_tty_key weft_tty_wait(weft_ns longest, char *letter_out);

#endif
