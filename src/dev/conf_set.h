/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_DEV_CONF_SET_H
#define WEFT_DEV_CONF_SET_H

/* What conf.h gives out, made from explicit inputs instead of those of this process: for conf.c itself and its
 * tests. */
#include "dev/conf.h"

#define WEFT_CONF_ROWS_MAX     32u
#define WEFT_CONF_PROBLEMS_MAX 24u

struct weft_conf_input {
	char *const *env; /* "NAME=value", NULL at the end. */
	const char *etc_file; /* NULL: none. */
	const char *home_file;
	bool privileged; /* More rights than the user who runs it: only etc_file counts. */
	const char *shm_dir; /* Parents to try for the run directory, in this order. */
	const char *xdg_dir; /* NULL: none. */
};

struct weft_conf_set {
	struct weft_conf conf;
	char text[WEFT_CONF_ROWS_MAX][WEFT_CONF_TEXT_MAX]; /* As typed, or the default. */
	char origin[WEFT_CONF_ROWS_MAX][300];
	char problem[WEFT_CONF_PROBLEMS_MAX][320];
	uint32_t problems;
	bool bad; /* One of them is more than a warning. */
};

void weft_conf_read(const struct weft_conf_input *in, struct weft_conf_set *set_out);
bool weft_conf_set_row(const struct weft_conf_set *set, uint32_t index,
		       struct weft_conf_row *row_out);
/* weft_conf_run_dir() for any path. `why` (len bytes) is written on failure. */
int weft_conf_make_dir(const char *dir, char *why, size_t len);

#endif
