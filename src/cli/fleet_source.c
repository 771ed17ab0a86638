/* SPDX-License-Identifier: BSD-2-Clause */
/* A fleet out of files, which kubectl filled some day, or out of kubectl. A file is read in blocks and never whole. */
#include "cli/fleet_source.h"

#include "advice/jsonlist.h"
#include "base/units.h"
#include "cli/args.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int take_file(const char *cmd, struct weft_fleet_source *s, const char *path)
{
	if (s->files == WEFT_FLEET_FILES_MAX) {
		fprintf(stderr, "%s: at most %u files\n", cmd, WEFT_FLEET_FILES_MAX);
		return -1;
	}
	s->file[s->files++] = path;
	return 1;
}

int weft_fleet_source_arg(const char *cmd, int argc, char **argv, int *i,
			  struct weft_fleet_source *s)
{
	const struct {
		const char *name;
		const char **to;
	} texts[] = { { "--kubeconfig", &s->kubectl.kubeconfig },
		      { "--context", &s->kubectl.context },
		      { "--selector", &s->kubectl.selector },
		      { "-l", &s->kubectl.selector } };
	const char *value;
	int got;

	for (size_t k = 0; k < WEFT_ARRAY_SIZE(texts); k++) {
		got = weft_args_value(cmd, argc, argv, i, texts[k].name, &value);
		if (got > 0 && !*value) {
			fprintf(stderr, "%s: %s needs a value\n", cmd, texts[k].name);
			return -1;
		}
		if (got > 0)
			*texts[k].to = value;
		if (got)
			return got;
	}
	got = weft_args_value(cmd, argc, argv, i, "--k8s-json", &value);
	if (got)
		return got > 0 ? take_file(cmd, s, value) : -1;
	got = weft_args_value(cmd, argc, argv, i, "--timeout", &value);
	if (got > 0 && (!weft_parse_time(value, &s->kubectl.timeout) || !s->kubectl.timeout)) {
		fprintf(stderr, "%s: --timeout: a time (60s), not %.64s\n", cmd, value);
		return -1;
	}
	if (got)
		return got;
	/* More files: --k8s-json nodes.json pods.json */
	if (s->files && (argv[*i][0] != '-' || !argv[*i][1]))
		return take_file(cmd, s, argv[*i]);
	return 0;
}

bool weft_fleet_source_check(const char *cmd, const struct weft_fleet_source *s)
{
	uint32_t stdins = 0;

	for (uint32_t i = 0; i < s->files; i++)
		stdins += !strcmp(s->file[i], "-");
	if (stdins > 1) {
		fprintf(stderr, "%s: stdin can be read once\n", cmd);
		return false;
	}
	if (!s->files || !(s->kubectl.kubeconfig || s->kubectl.context || s->kubectl.selector))
		return true;
	fprintf(stderr,
		"%s: --kubeconfig, --context and --selector are for kubectl, which "
		"--k8s-json goes without\n",
		cmd);
	return false;
}

/* NULL, or what is wrong. `block` is of 64 KiB. */
static const char *read_stream(FILE *from, struct weft_jsonlist *list, char *block)
{
	size_t got;

	while ((got = fread(block, 1, 65536, from)) > 0)
		if (!weft_jsonlist_feed(list, block, got))
			return weft_jsonlist_why(list);
	if (ferror(from))
		return strerror(errno);
	return weft_jsonlist_end(list) ? NULL : weft_jsonlist_why(list);
}

static bool read_file(const char *path, struct weft_fleet *fleet, char *why, size_t len)
{
	FILE *from = strcmp(path, "-") ? fopen(path, "re") : stdin;
	struct weft_jsonlist *list = weft_jsonlist_create(weft_fleet_add, fleet);
	char *block = malloc(65536);
	const char *wrong = !from ? strerror(errno) : !list || !block ? "no memory" : NULL;

	if (!wrong)
		wrong = read_stream(from, list, block);
	if (wrong)
		snprintf(why, len, "%.200s: %s", strcmp(path, "-") ? path : "stdin",
			 fleet->failed ? fleet->why : wrong);
	if (from && from != stdin)
		fclose(from);
	weft_jsonlist_destroy(list);
	free(block);
	return !wrong;
}

static bool read_kubectl(const struct weft_kubectl_options *options, struct weft_fleet *fleet,
			 char *why, size_t len)
{
	struct weft_kubectl *k = weft_kubectl_start(options, fleet, why, len);
	enum weft_kubectl_state state = WEFT_KUBECTL_RUNNING;

	if (!k)
		return false;
	while (state == WEFT_KUBECTL_RUNNING)
		state = weft_kubectl_step(k, WEFT_S(1));
	if (state == WEFT_KUBECTL_FAILED)
		snprintf(why, len, "%s", weft_kubectl_why(k));
	weft_kubectl_close(k);
	return state == WEFT_KUBECTL_DONE;
}

bool weft_fleet_source_read(const struct weft_fleet_source *s, struct weft_fleet *fleet, char *why,
			    size_t len)
{
	if (!s->files)
		return read_kubectl(&s->kubectl, fleet, why, len);
	for (uint32_t i = 0; i < s->files; i++)
		if (!read_file(s->file[i], fleet, why, len))
			return false;
	if (fleet->nodes)
		return true;
	snprintf(why, len, "%.200s: no node in it (kubectl get nodes,pods -A -o json)",
		 strcmp(s->file[0], "-") ? s->file[0] : "stdin");
	return false;
}
