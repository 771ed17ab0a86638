/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_CLI_PLAN_H
#define WEFT_CLI_PLAN_H

/* What the kinds of `weft plan` have in common. */
#include "cloud/catalogue.h"

#include <stdint.h>

/* How results are printed. */
struct weft_plan_view {
	bool json;
	bool explain; /* Below each figure the formula that it is from. */
};

/* The type called `name`, or NULL, after a line on stderr. */
const struct weft_instance *weft_plan_find(const char *cmd, const char *name);

/* A figure of the text: its label, what it is, and with explain set, how it came about. */
void weft_plan_figure(const struct weft_plan_view *v, const char *label, const char *formula,
		      const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* "4 KiB": bytes as short as they can be said without loss. */
char *weft_plan_size(uint64_t bytes, char *buf, size_t len);

/* Each kind prints its plan and returns the exit status. */
int weft_plan_train(int argc, char **argv);
int weft_plan_pd_moe(int argc, char **argv);
int weft_plan_backend(int argc, char **argv);

#endif
