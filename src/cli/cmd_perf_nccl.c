/* SPDX-License-Identifier: BSD-2-Clause */
/* `weft perf nccl`: a program of its own (src/perf/nccl.h), since it loads NCCL and CUDA. */
#include "cli/cli.h"
#include "cli/program.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CMD     "weft perf nccl"
#define PROGRAM "weft-perf-nccl"

int weft_cmd_perf_nccl(int argc, char **argv)
{
	char path[WEFT_PROGRAM_PATH_MAX], dir[WEFT_PROGRAM_PATH_MAX];
	static char option[] = "--plugin-dir";
	char **args;

	if (!weft_program_beside(CMD, PROGRAM, path, sizeof(path)))
		return 2;
	args = calloc((size_t)argc + 3, sizeof(*args));
	if (!args) {
		perror(CMD);
		return 2;
	}
	args[0] = path;
	memcpy(args + 1, argv + 1, (size_t)(argc - 1) * sizeof(*args));
	if (weft_program_beside(CMD, "libnccl-net-weft.so", dir, sizeof(dir))) {
		*strrchr(dir, '/') = 0;
		args[argc] = option;
		args[argc + 1] = dir;
	}
	execv(path, args);
	fprintf(stderr, CMD ": cannot run %.256s: %s\n", path, strerror(errno));
	free(args);
	return 2;
}
