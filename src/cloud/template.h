/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_CLOUD_TEMPLATE_H
#define WEFT_CLOUD_TEMPLATE_H

/* Text with holes. "@name@" stands for a value; a line that begins with @ directs:
 *
 *   @default NAME VALUE    unless NAME has a value, it is this one, from here on
 *   @if NAME               what follows only if NAME has a value; @ifnot: only if it has none
 *   @else, @end
 *   @each LIST             what follows once for each entry; values may differ from turn to turn
 *   @refuse TEXT           nothing can be made of this; TEXT, which may have holes, says why
 *
 * Templates are part of the program: a mistake in one is an assertion, and only values come from outside. */
#include "base/types.h"

#include <stdio.h>

enum weft_value {
	WEFT_VALUE_NONE, /* There is none; a hole must not ask for it. */
	WEFT_VALUE_TEXT,
	WEFT_VALUE_UNKNOWN, /* There is one, but nobody knows it. */
	WEFT_VALUE_MISSING, /* Whoever uses the template has to say it. */
};

#define WEFT_TEMPLATE_NAME_MAX  32u
#define WEFT_TEMPLATE_VALUE_MAX 512u

struct weft_template_ops {
	/* The value of `name` in the given turn of @each. */
	enum weft_value (*value)(void *arg, const char *name, uint32_t turn,
				 char value_out[WEFT_TEMPLATE_VALUE_MAX]);
	void (*set_default)(void *arg, const char *name, const char *value);
	/* How often? Not WEFT_VALUE_TEXT: see there. */
	enum weft_value (*turns)(void *arg, const char *list, uint32_t *turns_out);
	/* A value that is needed and not there; may come several times for one name. */
	void (*lacks)(void *arg, enum weft_value why, const char *name);
	void (*refuse)(void *arg, const char *text);
};

/* Writes to `out`, or with NULL only calls ops: so one can find out first what is lacking. */
void weft_template_expand(const char *text, const struct weft_template_ops *ops, void *arg,
			  FILE *out);

/* How a template uses names, whatever their values. */
enum weft_template_use {
	WEFT_TEMPLATE_HOLE,
	WEFT_TEMPLATE_CONDITION,
	WEFT_TEMPLATE_DEFAULT,
};

struct weft_template_name {
	const char *name;
	enum weft_template_use how;
	bool is_conditional; /* It stands inside of a condition. */
	const char *value; /* Of a @default, else "". */
};

/* Each use of a name, in the order of the text. */
void weft_template_each_use(const char *text,
			    void (*use)(void *arg, const struct weft_template_name *use),
			    void *arg);

#endif
