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

/* A number that a plan is made of, and where it goes. */
struct weft_plan_number {
	const char *option;
	enum weft_plan_unit {
		WEFT_PLAN_COUNT, /* uint32_t, 1 to 10 million. */
		WEFT_PLAN_REAL, /* double, not negative: 70e9, 70b, 1.5k. */
		WEFT_PLAN_DTYPE, /* double: the bytes of a bf16 and the like. */
	} unit;
	void *out;
};

/* Takes argv[*i] if it is --instance, --json, --explain or one of the numbers. 1: taken, 0: not one of these, -1: wrong,
 * and said so. */
int weft_plan_take(const char *cmd, int argc, char **argv, int *i,
		   const struct weft_plan_number *numbers, size_t count,
		   const struct weft_instance **instance, struct weft_plan_view *view);

/* "277.8 GB", in powers of 1000. */
char *weft_plan_bytes(double bytes, char *buf, size_t len);

/* What to set and what not to: a part of the plan of a type. */
void weft_plan_variables(const struct weft_plan_view *v, const struct weft_instance *it);

/* Each kind prints its plan and returns the exit status. */
int weft_plan_train(int argc, char **argv);
int weft_plan_pd_moe(int argc, char **argv);
int weft_plan_backend(int argc, char **argv);

#endif
