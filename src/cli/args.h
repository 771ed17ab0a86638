/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_CLI_ARGS_H
#define WEFT_CLI_ARGS_H

/* What the commands about the device have in common: arguments that stand for settings, and complaints. */
#include "base/types.h"

/* Is argv[*i] the option `name` ("--addr")? Then its value, from "--addr=X" or from the next argument (which *i
 * moves on to), goes to *value_out. 1: yes, 0: another argument, -1: the value is missing (said on stderr). */
int weft_args_value(const char *cmd, int argc, char **argv, int *i, const char *name,
		    const char **value_out);

/* Takes argv[*i] if it is --instance, --cards, --addr, --wire or --env, and puts it into the environment, where
 * the settings are read from: so before the first weft_conf_get(). Result as above; -1 also for an
 * assignment that is none. */
int weft_args_setting(const char *cmd, int argc, char **argv, int *i);

/* A PCI vendor as weft_watch_open() wants it: "0x15b3", or "all". */
bool weft_args_vendor(const char *text, uint32_t *vendor_out);

/* An option without a value. */
struct weft_args_flag {
	const char *name;
	bool *to;
};

/* Sets the flag that `arg` is. False: it is none of these. */
bool weft_args_take_flag(const char *arg, const struct weft_args_flag *flags, size_t n);

/* Tell stderr what is wrong with the settings, a line each. False: something is, and not only a warning. */
bool weft_args_check_settings(const char *cmd);

#endif
