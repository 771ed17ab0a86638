/* SPDX-License-Identifier: BSD-2-Clause */
/* `weft config`: which settings are in force, and who said so. */
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "dev/conf.h"

#include <stdio.h>
#include <string.h>

const char weft_cmd_config_usage[] =
	"usage: weft config [-v] [--json] [SETTING...]\n"
	"\n"
	"Print every setting of the device, its value and where it comes from: its\n"
	"default, /etc/weft.conf or ~/.config/weft.conf (lines `name = value`), or the\n"
	"environment. The later of these wins. Complaints go to stderr; the exit status\n"
	"is 1 if a value was refused.\n"
	"\n"
	"  -v         also say what each setting means, and its default\n"
	"  --json     an array of objects: name, value, origin, default, what\n"
	"  SETTING    as for `weft run`: --instance, --cards, --addr, --wire, --env\n";

static void print_json(void)
{
	struct weft_conf_row row;

	putchar('[');
	for (uint32_t i = 0; weft_conf_row(i, &row); i++) {
		printf("%s\n  {\"name\": \"%s\", \"value\": ", i ? "," : "", row.name);
		weft_json_string(row.value);
		fputs(", \"origin\": ", stdout);
		weft_json_string(row.origin);
		fputs(", \"default\": ", stdout);
		weft_json_string(row.def);
		fputs(", \"what\": ", stdout);
		weft_json_string(row.what);
		putchar('}');
	}
	puts("\n]");
}

static void print_table(bool verbose)
{
	struct weft_conf_row row;
	int widest = 0;

	for (uint32_t i = 0; weft_conf_row(i, &row); i++)
		widest = WEFT_MAX(widest, (int)strnlen(row.value, 32));
	for (uint32_t i = 0; weft_conf_row(i, &row); i++) {
		if (verbose)
			printf("%s# %s (%s)\n", i ? "\n" : "", row.what,
			       *row.def ? row.def : "none");
		printf("%-16s  %-*s  %s\n", row.name, widest, *row.value ? row.value : "-",
		       row.origin);
	}
}

int weft_cmd_config(int argc, char **argv)
{
	bool json = false, verbose = false, ok;

	for (int i = 1; i < argc; i++) {
		int got = weft_args_setting("weft config", argc, argv, &i);

		if (got < 0)
			return 2;
		if (got)
			continue;
		if (!strcmp(argv[i], "--json")) {
			json = true;
		} else if (!strcmp(argv[i], "-v") || !strcmp(argv[i], "--verbose")) {
			verbose = true;
		} else {
			fprintf(stderr, "weft config: no such argument: %.64s\n", argv[i]);
			return 2;
		}
	}
	ok = weft_args_check_settings("weft config");
	if (json)
		print_json();
	else
		print_table(verbose);
	return ok ? 0 : 1;
}
