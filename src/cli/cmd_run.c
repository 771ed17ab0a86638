/* SPDX-License-Identifier: BSD-2-Clause */
/* `weft run`: a program with weft's cards. It becomes the program (exec), after making sure that nothing known
 * beforehand stands in the way: settings that mean nothing, cards that cannot be, a library that is not there,
 * a program that the loader would not load it into. */
#define _GNU_SOURCE
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/program.h"
#include "dev/cardset.h"
#include "dev/conf.h"
#include "dev/hint.h"
#include "perf/nccl_env.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CMD    "weft run"
#define PLUGIN "libnccl-net-weft.so"

const char weft_cmd_run_usage[] =
	"usage: weft run [SETTING...] [--] COMMAND [ARGUMENT...]\n"
	"       weft run --print [SETTING...]\n"
	"\n"
	"Run COMMAND with weft's cards as its EFA devices. Settings are environment\n"
	"variables (`weft config -v` lists them) that COMMAND and everything it starts\n"
	"inherit; these have options of their own:\n"
	"\n"
	"  --instance TYPE        the cards of that EC2 instance type: p4d.24xlarge\n"
	"  --cards N              that many cards\n"
	"  --addr IP[,IP...]      addresses (or interfaces) of this host; two addresses\n"
	"                         of 127.0.0.0/8 are two hosts\n"
	"  --wire auto|udp|local  how to reach other processes\n"
	"  --env NAME=VALUE       any other variable\n"
	"  --print                run nothing: print what would be set, as lines for a\n"
	"                         shell, a job script or a pod\n"
	"  --nccl                 instead, for programs that use NCCL: have NCCL send by\n"
	"                         weft's plugin (or fail, if it cannot), and leave\n"
	"                         libibverbs as it is\n"
	"\n"
	"The exit status is that of COMMAND, or 2 if it could not be run.\n";

static bool preload(const char *library)
{
	const char *others = getenv("LD_PRELOAD");
	size_t len = strlen(library);
	char *value;
	bool ok;

	/* Once is enough when `weft run` is run by `weft run`. */
	for (const char *p = others; p && (p = strstr(p, library)); p += len)
		if ((p == others || p[-1] == ':' || p[-1] == ' ') &&
		    (!p[len] || p[len] == ':' || p[len] == ' '))
			return true;
	if (asprintf(&value, "%s%s%s", library, others && *others ? ":" : "",
		     others ? others : "") < 0) {
		perror(CMD);
		return false;
	}
	ok = !setenv("LD_PRELOAD", value, 1);
	if (!ok)
		perror(CMD);
	free(value);
	return ok;
}

static bool use_plugin(char *library)
{
	*strrchr(library, '/') = 0;
	if (weft_nccl_setenv(library))
		return true;
	perror(CMD);
	return false;
}

/* What the user has set stays. */
static bool tell_programs(const struct weft_card_info *cards, uint32_t count)
{
	size_t n;
	const struct weft_hint *hints = weft_hints(cards, count, &n);

	for (size_t i = 0; i < n; i++)
		if (setenv(hints[i].name, hints[i].value, 0)) {
			perror(CMD);
			return false;
		}
	return true;
}

static void print_quoted(const char *value)
{
	putchar('\'');
	for (; *value; value++)
		if (*value == '\'')
			fputs("'\\''", stdout);
		else
			putchar(*value);
	putchar('\'');
}

/* What differs from the environment that we were given, which setenv() leaves where it was. */
static void print_changes(char **before)
{
	for (char **now = environ; *now; now++) {
		const char *equals = strchr(*now, '=');
		char **old = before;

		while (*old && strcmp(*old, *now) != 0)
			old++;
		if (*old || !equals)
			continue;
		printf("export %.*s=", (int)(equals - *now), *now);
		print_quoted(equals + 1);
		putchar('\n');
	}
}

static char **copy_environ(void)
{
	size_t len = 0;
	char **copy;

	while (environ && environ[len])
		len++;
	copy = calloc(len + 1, sizeof(*copy));
	if (copy && len)
		memcpy(copy, environ, len * sizeof(*copy));
	return copy;
}

/* Shared memory and counters are a loss that a program survives, the files that stand in for /sys are not:
 * libfabric leaves out a card without them. */
static bool check_run_dir(void)
{
	const char *dir, *why;
	int err = weft_conf_run_dir(&dir, &why);

	if (err)
		fprintf(stderr, CMD ": %s\n", why);
	return !err;
}

int weft_cmd_run(int argc, char **argv)
{
	char library[WEFT_PROGRAM_PATH_MAX], path[WEFT_PROGRAM_PATH_MAX];
	char why[WEFT_PROGRAM_PATH_MAX + 512];
	const struct weft_card_info *cards;
	const char *reason;
	static char **before;
	bool nccl = false, print = false;
	uint32_t count;
	int i;

	before = copy_environ();
	if (!before) {
		perror(CMD);
		return 2;
	}

	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		int got;

		if (!strcmp(argv[i], "--")) {
			i++;
			break;
		}
		if (!strcmp(argv[i], "--nccl")) {
			nccl = true;
			continue;
		}
		if (!strcmp(argv[i], "--print")) {
			print = true;
			continue;
		}
		got = weft_args_setting(CMD, argc, argv, &i);
		if (got < 0)
			return 2;
		if (!got) {
			fprintf(stderr, CMD ": no such argument: %.64s; see `weft help run`\n",
				argv[i]);
			return 2;
		}
	}
	if (print == (i < argc)) {
		fputs(print ? CMD ": --print runs nothing, so no command\n"
			    : CMD ": which command? See `weft help run`\n",
		      stderr);
		return 2;
	}
	if (!weft_args_check_settings(CMD))
		return 2;
	if (weft_cardset_get(&cards, &count, &reason)) {
		fprintf(stderr, CMD ": %s\n", reason);
		return 2;
	}
	if (!check_run_dir() || !weft_program_library(CMD, nccl ? PLUGIN : WEFT_PROGRAM_PRELOAD,
						      library, sizeof(library)))
		return 2;
	if (!print && (!weft_program_find(argv[i], path, why, sizeof(why)) ||
		       (!nccl && !weft_program_can_preload(path, why, sizeof(why))))) {
		fprintf(stderr, CMD ": %s\n", why);
		return 2;
	}
	if (weft_cardset_note())
		fprintf(stderr, CMD ": note: %s\n", weft_cardset_note());
	if (nccl ? !use_plugin(library) : !(preload(library) && tell_programs(cards, count)))
		return 2;
	if (print) {
		print_changes(before);
		return 0;
	}
	execv(path, argv + i);
	fprintf(stderr, CMD ": cannot run %.256s: %s\n", path, strerror(errno));
	return 2;
}
