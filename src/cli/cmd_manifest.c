/* SPDX-License-Identifier: BSD-2-Clause */
/* weft manifest: prints a manifest, or puts it into a file. All that is decided is decided in cloud/manifest.c; it is
 * made in memory first, so that whatever goes wrong leaves no part of it behind. */
#define _GNU_SOURCE
#include "base/units.h"
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/outfile.h"
#include "cli/plan.h"
#include "cloud/manifest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CMD "weft manifest"

const char weft_cmd_manifest_usage[] =
	"usage: weft manifest KIND --instance TYPE [--nodes N] [--set KEY=VALUE...] [-o FILE]\n"
	"       weft manifest KIND --keys [--json]\n"
	"       weft manifest --list [--json]\n"
	"\n"
	"Prints the configuration of another program for nodes of an instance type. What the\n"
	"catalogue does not know is refused, and what only you know is asked for.\n"
	"\n"
	"  --list           the kinds there are\n"
	"  --keys           what can be set for a kind\n"
	"  -o FILE          write it there; a script can be executed then\n";

struct request {
	struct weft_manifest m;
	const char *file;
	bool list, keys, json, made;
};

static void print_list(bool json)
{
	const struct weft_manifest_kind *kind;

	for (uint32_t i = 0; (kind = weft_manifest_kind_at(i)); i++) {
		if (json) {
			printf("%s{\"kind\": \"%s\", \"what\": ", i ? ",\n " : "[", kind->name);
			weft_json_string(kind->what);
			putchar('}');
		} else {
			printf("%-16s %s\n", kind->name, kind->what);
		}
	}
	if (json)
		puts("]");
}

/* Without optional ones, and those that have a standard for every type. */
static bool is_required(const struct weft_manifest_key *key)
{
	return !key->is_optional && (!*key->standard || key->standard_depends);
}

static void print_key_json(const struct weft_manifest_key *key, bool more)
{
	bool depends = key->depends || key->standard_depends;

	printf("%s{\"key\": \"%s\", \"what\": ", more ? ",\n " : "[", key->name);
	weft_json_string(key->what);
	fputs(", \"example\": ", stdout);
	weft_json_string(key->example);
	fputs(", \"default\": ", stdout);
	weft_json_string(*key->standard ? key->standard : NULL);
	printf(", \"required\": %s, \"depends_on_type\": %s}", is_required(key) ? "true" : "false",
	       depends && !key->is_optional ? "true" : "false");
}

static void print_key_text(const struct weft_manifest_key *key)
{
	printf("%-16s %s, such as %s; ", key->name, key->what, key->example);
	if (*key->standard)
		printf("else %s%s\n", key->standard,
		       key->standard_depends ? ", for some types" : "");
	else if (key->is_optional)
		puts("may be left out");
	else
		puts(key->depends ? "has to be set for some types" : "has to be set");
}

static void print_keys(const struct weft_manifest_kind *kind, bool json)
{
	struct weft_manifest_key key;
	uint32_t i;

	for (i = 0; weft_manifest_key_at(kind, i, &key); i++) {
		if (json)
			print_key_json(&key, i != 0);
		else
			print_key_text(&key);
	}
	if (json)
		puts(i ? "]" : "[]");
}

static int make(const struct request *q)
{
	char *data = NULL, why[1024];
	size_t len = 0;
	FILE *out = open_memstream(&data, &len);
	bool ok;

	if (!out) {
		perror(CMD);
		return 2;
	}
	ok = weft_manifest_write(&q->m, out, why, sizeof(why));
	if (!ok)
		fprintf(stderr, CMD " %s: %s\n", q->m.kind->name, why);
	if (fclose(out)) {
		perror(CMD);
		ok = false;
	}
	if (ok && !q->file) {
		fwrite(data, 1, len, stdout);
	} else if (ok &&
		   !weft_outfile_write(q->file, q->m.kind->is_script ? 0777 : 0666, data, len)) {
		fprintf(stderr, CMD ": cannot write %s: %s\n", q->file, weft_outfile_error());
		ok = false;
	}
	free(data);
	return ok ? 0 : 2;
}

static bool take_nodes(struct request *q, const char *value)
{
	uint64_t n;

	if (!weft_parse_u64(value, &n) || !n || n > WEFT_MANIFEST_NODES_MAX) {
		fprintf(stderr, CMD ": --nodes wants a number from 1 to %u, not \"%.64s\"\n",
			WEFT_MANIFEST_NODES_MAX, value);
		return false;
	}
	q->m.nodes = (uint32_t)n;
	return true;
}

static bool take_set(struct request *q, const char *value)
{
	char why[512];

	if (weft_manifest_set(&q->m, value, why, sizeof(why)))
		return true;
	fprintf(stderr, CMD ": %s\n", why);
	return false;
}

/* 1: taken, 0: no such option, -1: wrong, and said so. */
static int take_option(struct request *q, int argc, char **argv, int *i)
{
	const char *value;
	int got;

	if ((got = weft_args_value(CMD, argc, argv, i, "--instance", &value))) {
		q->m.instance = got > 0 ? weft_plan_find(CMD, value) : NULL;
		return q->m.instance ? 1 : -1;
	}
	if ((got = weft_args_value(CMD, argc, argv, i, "--nodes", &value)))
		return got > 0 && take_nodes(q, value) ? 1 : -1;
	if ((got = weft_args_value(CMD, argc, argv, i, "--set", &value)))
		return got > 0 && take_set(q, value) ? 1 : -1;
	if ((got = weft_args_value(CMD, argc, argv, i, "-o", &value))) {
		q->file = value;
		return got;
	}
	return 0;
}

/* The kind comes first, because what can be set depends on it. */
static bool take_kind(struct request *q, const char *name)
{
	const char *close;

	q->m.kind = weft_manifest_kind_find(name, &close);
	if (!q->m.kind)
		fprintf(stderr, CMD ": no such kind: %.64s%s%s%s\n", name,
			close ? "; did you mean " : "; see --list", close ? close : "",
			close ? "?" : "");
	return q->m.kind;
}

static bool parse(struct request *q, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i];
		int got = q->m.kind ? take_option(q, argc, argv, &i) : 0;

		if (got < 0)
			return false;
		if (got) {
			q->made = true;
		} else if (!strcmp(arg, "--list")) {
			q->list = true;
		} else if (!strcmp(arg, "--keys")) {
			q->keys = true;
		} else if (!strcmp(arg, "--json")) {
			q->json = true;
		} else if (*arg != '-' && !q->m.kind) {
			if (!take_kind(q, arg))
				return false;
		} else {
			fprintf(stderr, CMD ": %s: %.64s\n",
				q->m.kind ? "no such argument" : "the kind comes first, then", arg);
			return false;
		}
	}
	return true;
}

int weft_cmd_manifest(int argc, char **argv)
{
	struct request q = { .list = false };

	if (!parse(&q, argc, argv))
		return 2;
	if (q.list ? q.m.kind || q.keys : !q.m.kind) {
		fputs(q.list ? CMD ": --list stands alone\n"
			     : CMD ": name a kind, or --list; see `weft help manifest`\n",
		      stderr);
		return 2;
	}
	if (q.made && q.keys) {
		fputs(CMD ": --keys goes with a kind alone\n", stderr);
		return 2;
	}
	if (q.json && !q.list && !q.keys) {
		fputs(CMD ": --json goes with --list or --keys\n", stderr);
		return 2;
	}
	if (q.list)
		print_list(q.json);
	else if (q.keys)
		print_keys(q.m.kind, q.json);
	else
		return make(&q);
	return 0;
}
