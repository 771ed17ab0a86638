/* SPDX-License-Identifier: BSD-2-Clause */
/* What every screen is made of. The blocks of bars are the only letters that take several bytes: whatever else is
 * shown has been made ASCII by whoever read it, so columns can be counted without asking a locale. */
#include "watch/lines.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ends the text after so many columns. */
static void clip(char *text, uint32_t columns)
{
	for (char *c = text; *c; c++) {
		if (((unsigned char)*c & 0xc0) == 0x80)
			continue;
		if (!columns--) {
			*c = '\0';
			return;
		}
	}
}

void weft_screen_put(struct weft_screen_lines *l, uint32_t width, enum weft_screen_style style,
		     const char *fmt, ...)
{
	struct weft_screen_line *line;
	va_list args;
	size_t len;

	if (l->count == WEFT_SCREEN_LINES_MAX || l->failed)
		return;
	if (!(l->count & (l->count - 1))) {
		line = realloc(l->line, (l->count ? 2 * (size_t)l->count : 1) * sizeof(*line));
		if (!line) {
			l->failed = true;
			return;
		}
		l->line = line;
	}
	line = &l->line[l->count++];
	line->style = style;
	va_start(args, fmt);
	vsnprintf(line->text, sizeof(line->text), fmt, args);
	va_end(args);
	clip(line->text, width);
	for (len = strlen(line->text); len && line->text[len - 1] == ' '; len--)
		line->text[len - 1] = '\0';
}

void weft_screen_free(struct weft_screen_lines *lines)
{
	free(lines->line);
	*lines = (struct weft_screen_lines){ NULL, 0, false };
}

void weft_screen_bar(double part, uint32_t columns, bool utf8, char *to)
{
	uint32_t full = part <= 0 ? 0 : part >= 1 ? columns : (uint32_t)(part * columns + 0.5);

	*to = '\0';
	for (uint32_t i = 0; i < columns; i++) {
		to += snprintf(to, 4, "%s",
			       i < full ? (utf8 ? "\xe2\x96\x88" : "#")
			       : utf8   ? "\xe2\x96\x91"
					: ".");
	}
}
