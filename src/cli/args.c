/* SPDX-License-Identifier: BSD-2-Clause */
/* Options for settings are nothing but environment variables that are easier to type: one parser (dev/conf.c) judges
 * both, and the program that `weft run` starts sees the same. */
#include "cli/args.h"

#include "base/spell.h"
#include "base/units.h"
#include "dev/conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int weft_args_value(const char *cmd, int argc, char **argv, int *i, const char *name,
		    const char **value_out)
{
	const char *arg = argv[*i];
	size_t len = strlen(name);

	if (strncmp(arg, name, len) != 0)
		return 0;
	if (arg[len] == '=') {
		*value_out = arg + len + 1;
		return 1;
	}
	if (arg[len])
		return 0;
	if (*i + 1 >= argc) {
		fprintf(stderr, "%s: %s needs a value\n", cmd, name);
		return -1;
	}
	*value_out = argv[++*i];
	return 1;
}

/* A name that weft does not know is a warning in an environment, which may be older or newer than this
 * program. Typed here it is a mistake. */
static bool is_setting(const char *cmd, const char *name)
{
	const char *known, *close = NULL;
	size_t best = SIZE_MAX;

	for (uint32_t i = 0; (known = weft_conf_name(i)); i++) {
		if (!strcmp(known, name))
			return true;
		if (weft_spell_is_closer(name, known, &best))
			close = known;
	}
	fprintf(stderr, "%s: --env: no such setting: %.64s%s%s%s\n", cmd, name,
		close ? "; did you mean " : "", close ? close : "", close ? "?" : "");
	return false;
}

static int assign(const char *cmd, const char *text)
{
	const char *equals = strchr(text, '=');
	char name[128];

	if (!equals || equals == text || (size_t)(equals - text) >= sizeof(name)) {
		fprintf(stderr, "%s: --env wants NAME=VALUE, not \"%.64s\"\n", cmd, text);
		return -1;
	}
	memcpy(name, text, (size_t)(equals - text));
	name[equals - text] = 0;
	if (!strncmp(name, "WEFT_", 5) && !is_setting(cmd, name))
		return -1;
	if (setenv(name, equals + 1, 1)) {
		perror(cmd);
		return -1;
	}
	return 1;
}

int weft_args_setting(const char *cmd, int argc, char **argv, int *i)
{
	static const struct {
		const char *option, *name;
	} options[] = {
		{ "--instance", "WEFT_INSTANCE" },
		{ "--cards", "WEFT_CARDS" },
		{ "--addr", "WEFT_ADDR" },
		{ "--wire", "WEFT_WIRE" },
	};
	const char *value;
	int got;

	for (size_t k = 0; k < WEFT_ARRAY_SIZE(options); k++) {
		got = weft_args_value(cmd, argc, argv, i, options[k].option, &value);
		if (!got)
			continue;
		/* An empty variable would be as good as none, but somebody typed this. */
		if (got > 0 && !*value) {
			fprintf(stderr, "%s: %s needs a value\n", cmd, options[k].option);
			return -1;
		}
		if (got > 0 && setenv(options[k].name, value, 1)) {
			perror(cmd);
			return -1;
		}
		return got;
	}
	got = weft_args_value(cmd, argc, argv, i, "--env", &value);
	return got > 0 ? assign(cmd, value) : got;
}

bool weft_args_take_flag(const char *arg, const struct weft_args_flag *flags, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(arg, flags[i].name)) {
			*flags[i].to = true;
			return true;
		}
	return false;
}

bool weft_args_check_settings(const char *cmd)
{
	const char *text;

	for (uint32_t i = 0; (text = weft_conf_problem(i)); i++)
		fprintf(stderr, "%s: %s\n", cmd, text);
	return !weft_conf_is_bad();
}

bool weft_args_vendor(const char *text, uint32_t *vendor_out)
{
	uint64_t id;

	if (!strcmp(text, "all")) {
		*vendor_out = UINT32_MAX;
		return true;
	}
	if (!weft_parse_u64(text, &id) || !id || id > 0xffff)
		return false;
	*vendor_out = (uint32_t)id;
	return true;
}
