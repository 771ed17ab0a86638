/* SPDX-License-Identifier: BSD-2-Clause */
/* ncurses, kept to this file.
 *
 * newterm() and not initscr(): that one ends the process when it does not like TERM. Keys come from stdin, or from
 * the terminal itself when stdin is a recording. A signal only sets a flag, so that the terminal is put back in
 * order and a recording is closed whole. */
#include "cli/tty.h"

#include <curses.h>
#include <errno.h>
#include <langinfo.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static SCREEN *screen;
static FILE *keys; /* owns, unless it is stdin */
static volatile sig_atomic_t told_to_end;

static void on_signal(int number)
{
	(void)number;
	told_to_end = 1;
}

static void catch_signals(void)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_handler = on_signal; /* Without SA_RESTART: waiting for a key ends. */
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
}

static bool can_move_cursor(void)
{
	const char *cup = tigetstr("cup");

	return cup && cup != (const char *)-1;
}

bool weft_tty_open(void)
{
	const char *term = getenv("TERM");

	/* ncurses would ask the terminal "dumb" to do things before we can ask what it is able to. */
	if (!isatty(STDOUT_FILENO) || !term || !strcmp(term, "dumb"))
		return false;
	keys = isatty(STDIN_FILENO) ? stdin : fopen("/dev/tty", "re");
	if (!keys)
		return false;
	screen = newterm(NULL, stdout, keys);
	if (!screen)
		return false;
	if (!can_move_cursor()) {
		weft_tty_close();
		return false;
	}
	catch_signals();
	cbreak();
	noecho();
	keypad(stdscr, TRUE);
	curs_set(0);
	if (has_colors()) {
		start_color();
		use_default_colors();
		init_pair(1, COLOR_RED, -1);
		init_pair(2, COLOR_CYAN, -1);
	}
	return true;
}

void weft_tty_close(void)
{
	endwin();
	delscreen(screen);
	if (keys != stdin)
		fclose(keys);
	screen = NULL;
}

bool weft_tty_is_utf8(void)
{
	return !strcmp(nl_langinfo(CODESET), "UTF-8");
}

void weft_tty_size(uint32_t *width_out, uint32_t *height_out)
{
	/* A terminal of one line is no place for two. */
	*width_out = (uint32_t)WEFT_MAX(COLS, 1);
	*height_out = (uint32_t)WEFT_MAX(LINES, 1);
}

static attr_t look_of(enum weft_screen_style style)
{
	switch (style) {
	case WEFT_SCREEN_PLAIN:
		return A_NORMAL;
	case WEFT_SCREEN_TITLE:
		return A_BOLD;
	case WEFT_SCREEN_HEAD:
		return A_BOLD | (has_colors() ? COLOR_PAIR(2) : 0);
	case WEFT_SCREEN_ALARM:
		return A_BOLD | (has_colors() ? COLOR_PAIR(1) : A_STANDOUT);
	case WEFT_SCREEN_DIM:
		return A_DIM;
	case WEFT_SCREEN_FOOT:
		return A_REVERSE;
	}
	return A_NORMAL;
}

void weft_tty_draw(const struct weft_screen_lines *lines)
{
	erase();
	for (uint32_t i = 0; i < lines->count && i < (uint32_t)LINES; i++) {
		const struct weft_screen_line *line = &lines->line[i];

		attrset(look_of(line->style));
		/* The last column of the last line may scroll; curses knows, and says ERR. */
		(void)mvaddstr((int)i, 0, line->text);
	}
	attrset(A_NORMAL);
	refresh();
}

enum weft_tty_key weft_tty_wait(weft_ns longest, char *letter_out)
{
	struct pollfd fd = { .fd = fileno(keys), .events = POLLIN };
	int key;

	if (told_to_end)
		return WEFT_TTY_END;
	timeout((int)WEFT_MIN((longest + 999999) / 1000000, (weft_ns)60000));
	key = getch();
	if (told_to_end)
		return WEFT_TTY_END;
	switch (key) {
	case ERR:
		return poll(&fd, 1, 0) > 0 && fd.revents & (POLLHUP | POLLERR | POLLNVAL)
			       ? WEFT_TTY_END
			       : WEFT_TTY_NONE;
	case KEY_RESIZE:
		return WEFT_TTY_RESIZED;
	case KEY_UP:
		return WEFT_TTY_UP;
	case KEY_DOWN:
		return WEFT_TTY_DOWN;
	case KEY_LEFT:
		return WEFT_TTY_LEFT;
	case KEY_RIGHT:
		return WEFT_TTY_RIGHT;
	case KEY_PPAGE:
		return WEFT_TTY_PAGE_UP;
	case KEY_NPAGE:
		return WEFT_TTY_PAGE_DOWN;
	case KEY_HOME:
		return WEFT_TTY_HOME;
	case KEY_BACKSPACE:
	case 0x7f:
	case '\b':
		return WEFT_TTY_BACKSPACE;
	default:
		*letter_out = key > 0 && key < 0x7f ? (char)key : '\0';
		return WEFT_TTY_LETTER;
	}
}
