/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_ADVICE_ENVFILE_H
#define WEFT_ADVICE_ENVFILE_H

/* The variables that a text sets: an environment, nccl.conf, a job script, a Dockerfile, a pod spec. */
#include "advice/env.h"

struct weft_envfile {
	struct weft_env_var *var; /* owns. Names and values borrow from `text`. */
	size_t count, cap;
	char *text; /* owns */
	size_t used, size;
};

void weft_envfile_init(struct weft_envfile *e);
void weft_envfile_fini(struct weft_envfile *e);

/* Adds every variable of ours that the text sets, with its place in `file` (borrowed until fini). What is
 * understood: NAME=VALUE anywhere in a line, with quotes, after export, ENV, -x or --env; --mca NAME VALUE;
 * NAME: VALUE; and name: NAME with value: VALUE after it, in YAML and in JSON. Comments are left out. */
void weft_envfile_scan(struct weft_envfile *e, const char *file, const char *bytes, size_t len);

/* Adds those of a block of NAME=VALUE, NUL after each: an environment. */
void weft_envfile_block(struct weft_envfile *e, const char *file, const char *bytes, size_t len);

/* Adds one. */
void weft_envfile_add(struct weft_envfile *e, const char *name, size_t name_len, const char *value,
		      size_t value_len, struct weft_place place);

#endif
