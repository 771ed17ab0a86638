/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs a fuzz target over files and folders without libFuzzer, so that the corpus is a regression test
 * with any compiler. Says which file it is at before it starts, because a finding aborts. */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_SIZE  4096
#define INPUT_SIZE (1u << 20)

static unsigned int runs;

static int run_file(const char *path)
{
	static uint8_t data[INPUT_SIZE];
	FILE *f = fopen(path, "rb");
	uint8_t *exact;
	size_t size;

	if (!f) {
		fprintf(stderr, "%s: %m\n", path);
		return 1;
	}
	size = fread(data, 1, sizeof(data), f);
	fclose(f);
	fprintf(stderr, "%s\n", path);
	/* A block of just this size, so that a sanitizer sees the first byte read beyond it. */
	exact = malloc(size ? size : 1);
	if (!exact)
		return 1;
	memcpy(exact, data, size);
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
	runs++;
	return 0;
}

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int run_path(const char *path)
{
	struct dirent **list;
	int n = scandir(path, &list, is_visible, alphasort), rc = 0;
	char file[PATH_SIZE];

	if (n < 0)
		return run_file(path);
	for (int i = 0; i < n; i++) {
		snprintf(file, sizeof(file), "%s/%s", path, list[i]->d_name);
		rc |= run_file(file);
		free(list[i]);
	}
	free(list);
	return rc;
}

int main(int argc, char **argv)
{
	int rc = 0;

	for (int i = 1; i < argc; i++)
		rc |= run_path(argv[i]);
	fprintf(stderr, "%u inputs\n", runs);
	return rc || !runs;
}
