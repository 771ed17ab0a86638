/* SPDX-License-Identifier: BSD-2-Clause */
/* `weft lint`: what is wrong with files, and the certain corrections. */
#define _GNU_SOURCE
#include "advice/lint/diff.h"
#include "advice/lint/lint.h"
#include "advice/sarif.h"
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX   (256u << 20)
#define SKIP_MAX   32u
#define ROUNDS_MAX 4u

const char weft_cmd_lint_usage[] =
	"usage: weft lint [OPTION...] FILE...\n"
	"\n"
	"Check configuration for EFA: Kubernetes manifests (pods and what has pods in it,\n"
	"MPIJob, RayJob, RayCluster), eksctl, ParallelCluster, SkyPilot, Terraform, EC2\n"
	"launch templates, shell and job scripts, Dockerfiles, and Markdown that quotes\n"
	"them in fenced blocks. - is standard input. Nothing is changed without --fix.\n"
	"\n"
	"  --instance TYPE  the instance type, where a file does not say it\n"
	"  --format NAME    yaml, json, hcl, toml, shell, dockerfile or markdown,\n"
	"                   whatever the name of the file is\n"
	"  --skip ID        leave out a finding, or a group (`env` is all of env-...)\n"
	"  --json           an object: how many there are, and the array findings\n"
	"  --sarif          SARIF 2.1.0\n"
	"  --fix            show the corrections that are certainly right as a diff, and\n"
	"                   make them after a yes; then check again\n"
	"  --yes            do not ask\n"
	"\n"
	"Exit status: 0 nothing to object (notes are none), 1 something is wrong, 2 a file\n"
	"could not be read, or none has anything in it that lint knows. `weft check\n"
	"--explain ID` says more about a finding.\n";

struct options {
	struct weft_lint_options lint;
	const char *skip[SKIP_MAX];
	uint32_t skips;
	bool json, sarif, fix, yes;
	int unknown; /* Files with nothing in them that is judged. */
};

/* All of it, which the caller frees; NULL: said on stderr why not. */
static char *read_all(const char *path, uint32_t *len_out)
{
	int fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO);
	size_t len = 0, cap = 0;
	char *bytes = NULL;
	ssize_t n = 1;

	while (fd >= 0 && n > 0 && len <= FILE_MAX) {
		if (len == cap) {
			char *grown = realloc(bytes, cap ? cap * 2 : 65536);

			if (!grown) {
				n = -1;
				break;
			}
			bytes = grown;
			cap = cap ? cap * 2 : 65536;
		}
		n = read(fd, bytes + len, cap - len);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			len += (size_t)n;
	}
	if (fd < 0 || n < 0 || len > FILE_MAX) {
		fprintf(stderr, "weft lint: %s: %s\n", path,
			strerror(len > FILE_MAX ? EFBIG : errno));
		free(bytes);
		bytes = NULL;
	}
	if (fd >= 0)
		close(fd);
	*len_out = (uint32_t)len;
	return bytes;
}

static bool is_skipped(const struct options *o, enum weft_finding_id id)
{
	for (uint32_t i = 0; i < o->skips; i++)
		if (weft_finding_is_in(id, o->skip[i]))
			return true;
	return false;
}

static bool ask(const char *path)
{
	char answer[16];

	fprintf(stderr, "weft lint: write this to %s? [y/N] ", path);
	return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

/* Shows the corrections, and makes them if that is wanted: true, and bytes and length are the new ones. When they
 * cannot be written, *good is false. */
static bool fix_file(const struct options *o, const char *path, char **bytes, uint32_t *len,
		     const struct weft_lint_edits *edits, bool *good)
{
	char *fixed;
	uint32_t fixed_len;
	bool ok;

	weft_lint_diff(stdout, path, *bytes, *len, edits);
	fflush(stdout);
	if (!o->yes && !isatty(STDIN_FILENO)) {
		fprintf(stderr, "weft lint: %s is as it was: nobody is there to ask (--yes)\n",
			path);
		return false;
	}
	if (!o->yes && !ask(path))
		return false;
	fixed = weft_lint_apply(*bytes, *len, edits, &fixed_len);
	ok = fixed && weft_outfile_write(path, 0666, fixed, fixed_len);
	if (ok) {
		free(*bytes);
		*bytes = fixed;
		*len = fixed_len;
	} else {
		fprintf(stderr, "weft lint: cannot write %s: %s\n", path, weft_outfile_error());
		free(fixed);
		*good = false;
	}
	return ok;
}

static bool lint_file(struct options *o, const char *path, struct weft_findings *findings)
{
	const char *name = strcmp(path, "-") ? path : "<stdin>";
	struct weft_lint_edits edits;
	struct weft_findings before;
	bool good = true, changed = true;
	uint32_t len;
	char *bytes = read_all(path, &len);

	if (!bytes)
		return false;
	/* A name that is corrected may show a value that is wrong. */
	for (uint32_t round = 0; o->fix && changed && round < ROUNDS_MAX; round++) {
		weft_findings_init(&before);
		weft_lint_edits_init(&edits);
		(void)weft_lint(name, bytes, len, &o->lint, &before, &edits);
		changed = edits.count && fix_file(o, path, &bytes, &len, &edits, &good);
		weft_lint_edits_fini(&edits);
		weft_findings_fini(&before);
	}
	if (!weft_lint(name, bytes, len, &o->lint, findings, NULL)) {
		fprintf(stderr, "weft lint: %s: nothing in it is of a kind that lint knows\n",
			name);
		o->unknown++;
	}
	free(bytes);
	return good;
}

static void leave_out(const struct options *o, struct weft_findings *f)
{
	size_t kept = 0;

	for (size_t i = 0; i < f->count; i++) {
		struct weft_finding one = f->finding[i];

		if (is_skipped(o, one.id)) {
			free(one.evidence);
			free(one.fix);
			free(one.file);
		} else {
			f->finding[kept++] = one;
		}
	}
	f->count = kept;
}

static void print(const struct options *o, const struct weft_findings *f, int files)
{
	if (o->sarif) {
		weft_sarif_print(stdout, f, WEFT_VERSION);
	} else if (o->json) {
		printf("{\"files\": %d, \"unknown_files\": %d, \"fail\": %zu, \"warn\": %zu, "
		       "\"note\": %zu, "
		       "\"left_out\": %zu, \"findings\": ",
		       files, o->unknown, weft_findings_count_of(f, WEFT_SEV_FAIL),
		       weft_findings_count_of(f, WEFT_SEV_WARN),
		       weft_findings_count_of(f, WEFT_SEV_NOTE), f->dropped);
		weft_findings_json(stdout, f);
		puts("}");
	} else {
		weft_findings_print(stdout, f, false);
	}
}

static bool take_skip(struct options *o, const char *name)
{
	if (o->skips == SKIP_MAX) {
		fprintf(stderr, "weft lint: --skip: not more than %u\n", SKIP_MAX);
		return false;
	}
	for (uint32_t i = 0; i < WEFT_FINDING_COUNT; i++)
		if (weft_finding_is_in((enum weft_finding_id)i, name)) {
			o->skip[o->skips++] = name;
			return true;
		}
	fprintf(stderr, "weft lint: --skip: no such finding: %.64s\n", name);
	return false;
}

/* 1: argv[*i] is an option of ours, 0: a file, -1: a mistake, which was said. */
static int take_option(struct options *o, int argc, char **argv, int *i)
{
	const char *arg = argv[*i], *value;
	int got;

	if ((got = weft_args_value("weft lint", argc, argv, i, "--instance", &value))) {
		o->lint.instance = got > 0 ? weft_catalogue_find(value) : NULL;
		if (got > 0 && !o->lint.instance) {
			const struct weft_instance *close = weft_catalogue_suggest(value);

			fprintf(stderr, "weft lint: --instance: no EFA type %.64s%s%s\n", value,
				close ? "; did you mean " : "", close ? close->name : "");
			return -1;
		}
		return got;
	}
	if ((got = weft_args_value("weft lint", argc, argv, i, "--format", &value))) {
		if (got > 0 && !weft_lint_format_find(value, &o->lint.format)) {
			fprintf(stderr,
				"weft lint: --format: yaml, json, hcl, toml, shell, dockerfile or "
				"markdown, not %.64s\n",
				value);
			return -1;
		}
		return got;
	}
	if ((got = weft_args_value("weft lint", argc, argv, i, "--skip", &value)))
		return got > 0 && !take_skip(o, value) ? -1 : got;
	if (!strcmp(arg, "--json"))
		o->json = true;
	else if (!strcmp(arg, "--sarif"))
		o->sarif = true;
	else if (!strcmp(arg, "--fix"))
		o->fix = true;
	else if (!strcmp(arg, "--yes"))
		o->yes = true;
	else if (arg[0] != '-' || !arg[1])
		return 0;
	else {
		fprintf(stderr, "weft lint: no such option: %.64s\n", arg);
		return -1;
	}
	return 1;
}

/* The files are moved to the front of argv. Their number; -1: a mistake, which was said. */
static int take_arguments(struct options *o, int argc, char **argv)
{
	bool only_files = false;
	int files = 0;

	for (int i = 1; i < argc; i++) {
		int got = 0;

		if (!only_files && !strcmp(argv[i], "--")) {
			only_files = true;
			continue;
		}
		if (!only_files)
			got = take_option(o, argc, argv, &i);
		if (got < 0)
			return -1;
		if (!got)
			argv[files++] = argv[i];
	}
	if (!files) {
		fputs("weft lint: which files?\n", stderr);
		return -1;
	}
	if ((o->json && o->sarif) || (o->fix && (o->json || o->sarif)) || (o->yes && !o->fix)) {
		fprintf(stderr, "weft lint: %s\n",
			o->yes && !o->fix ? "--yes without --fix"
			: o->fix          ? "--fix prints a diff, not --json or --sarif"
					  : "--json or --sarif, not both");
		return -1;
	}
	for (int i = 0; i < files; i++)
		if (o->fix && !strcmp(argv[i], "-")) {
			fputs("weft lint: --fix wants files, not standard input\n", stderr);
			return -1;
		}
	return files;
}

int weft_cmd_lint(int argc, char **argv)
{
	struct options o = { .lint = { .format = WEFT_LINT_AUTO } };
	struct weft_findings findings;
	enum weft_severity worst;
	bool good = true;
	int files = take_arguments(&o, argc, argv);

	if (files < 0)
		return 2;
	weft_findings_init(&findings);
	for (int i = 0; i < files; i++)
		good &= lint_file(&o, argv[i], &findings);
	leave_out(&o, &findings);
	print(&o, &findings, files);
	worst = weft_findings_worst(&findings);
	weft_findings_fini(&findings);
	/* A gate before files of which none was judged would stand open. */
	if (!good || o.unknown == files)
		return 2;
	return worst >= WEFT_SEV_WARN ? 1 : 0;
}
