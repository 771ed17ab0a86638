/* SPDX-License-Identifier: BSD-2-Clause */
/* `weft check`: what is wrong here, and how it is put right.
 *
 * A run is a list of readers, each of which adds its findings; --only and --skip then take ids away. It changes
 * nothing, and it needs neither a card nor a right: what cannot be read is not judged. Its exit status is a
 * table of its own, because a gate in front of a job has to tell "slow" from "broken" from "nobody looked". */
#include "advice/cloudjson.h"
#include "advice/envfile.h"
#include "advice/jsonfile.h"
#include "base/spell.h"
#include "cli/args.h"
#include "cli/check_wire.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "node/check.h"
#include "node/libs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CMD        "weft check"
#define FILES_MAX  16
#define TEXT_MAX   (16u << 20)
#define SAMPLE_NS  1000000000ll
#define CANNOT_RUN 3

extern char **environ;

const char weft_cmd_check_usage[] =
	"usage: weft check [OPTION...]\n"
	"       weft check --explain ID | --list\n"
	"\n"
	"Look for what keeps programs off EFA, or makes them slow: cards, driver, GPUDirect,\n"
	"limits, libraries, environment, and on request the cloud around. Changes nothing.\n"
	"\n"
	"  --expect TYPE      the instance type that this should be\n"
	"  --suite full       also watch the counters for a second (quick: the default)\n"
	"  --env-file FILE    a job script, pod spec or nccl.conf: judge its variables, too\n"
	"  --aws-json FILE    what aws ec2 describe-instances, -network-interfaces,\n"
	"                     -security-groups or -launch-template-versions printed\n"
	"  --k8s-json FILE    what kubectl get nodes,pods,daemonsets -A -o json printed\n"
	"  --pid PID          a running process: its libraries, limits and environment\n"
	"  --rootfs DIR       an unpacked image: its libraries only\n"
	"  --root DIR         the machine that --capture has made a copy of\n"
	"  --capture DIR      make such a copy of what is looked at, in a new folder\n"
	"  --self             send messages over each card to itself\n"
	"  --peer HOST        send messages to that host and back; there, before:\n"
	"  --listen           wait for such a peer\n"
	"  --port PORT        the TCP port where the two meet (18522)\n"
	"  SETTING            of weft's cards, where there are no real ones: --addr, ...\n"
	"  --only ID[,ID...]  only these findings; \"env\" stands for all env-...\n"
	"  --skip ID[,ID...]  not these\n"
	"  -v, --verbose      also what is as it should be\n"
	"  --json             as JSON\n"
	"  --explain ID       all about one finding\n"
	"  --list             all findings there are\n"
	"\n"
	"Exit status: 0 all good (or notes), 1 warnings, 2 failures, 3 could not run.\n";

struct options {
	const char *root, *rootfs, *pid, *capture, *only, *skip, *explain;
	const char *env_file[FILES_MAX];
	size_t env_files;
	const char *aws_file[FILES_MAX], *k8s_file[FILES_MAX];
	size_t aws_files, k8s_files;
	const struct weft_instance *type;
	struct weft_check_wire wire;
	bool full, json, verbose, list;
};

struct check {
	struct options o;
	struct weft_root root; /* Where /sys and /proc are. */
	struct weft_root other;
	struct weft_root *files; /* Where the libraries are: one of the two. */
	struct weft_node node;
	struct weft_libs libs;
	struct weft_envfile env; /* Of the process, with nccl.conf. */
	struct weft_findings findings;
	const char *library_path, *path; /* LD_LIBRARY_PATH, PATH */
	char *captured_env; /* owns */
	bool has_node;
};

/* Arguments */

static bool take_file(const char *value, const char **files, size_t *count)
{
	if (*count >= FILES_MAX) {
		fprintf(stderr, CMD ": more than %d files of a kind\n", FILES_MAX);
		return false;
	}
	files[(*count)++] = value;
	return true;
}

static bool take_type(const char *value, struct options *o)
{
	const struct weft_instance *other;

	o->type = weft_catalogue_find(!strncmp(value, "ml.", 3) ? value + 3 : value);
	if (o->type)
		return true;
	other = weft_catalogue_suggest(value);
	fprintf(stderr, CMD ": --expect: no instance type with EFA: %.64s%s%s%s\n", value,
		other ? "; did you mean " : "", other ? other->name : "", other ? "?" : "");
	return false;
}

static bool take_suite(const char *value, struct options *o)
{
	o->full = !strcmp(value, "full");
	if (o->full || !strcmp(value, "quick"))
		return true;
	fprintf(stderr, CMD ": --suite: quick or full, not %.64s\n", value);
	return false;
}

/* A list for --only and --skip: a word that fits no id would silently do nothing, or everything. */
static bool are_ids(const char *option, const char *list)
{
	for (const char *p = list;;) {
		size_t len = strcspn(p, ",");
		bool known = false;
		char word[64];

		snprintf(word, sizeof(word), "%.*s", (int)WEFT_MIN(len, sizeof(word) - 1), p);
		for (uint32_t i = 0; i < WEFT_FINDING_COUNT && !known; i++)
			known = weft_finding_is_in(i, word);
		if (!known) {
			fprintf(stderr, CMD ": %s: no such finding: %.64s (weft check --list)\n",
				option, word);
			return false;
		}
		if (!p[len])
			return true;
		p += len + 1;
	}
}

static bool take_value(const char *name, const char *value, struct options *o)
{
	if (!strcmp(name, "--env-file"))
		return take_file(value, o->env_file, &o->env_files);
	if (!strcmp(name, "--aws-json"))
		return take_file(value, o->aws_file, &o->aws_files);
	if (!strcmp(name, "--k8s-json"))
		return take_file(value, o->k8s_file, &o->k8s_files);
	if (!strcmp(name, "--expect"))
		return take_type(value, o);
	if (!strcmp(name, "--suite"))
		return take_suite(value, o);
	if (!strcmp(name, "--root"))
		o->root = value;
	else if (!strcmp(name, "--rootfs"))
		o->rootfs = value;
	else if (!strcmp(name, "--pid"))
		o->pid = value;
	else if (!strcmp(name, "--capture"))
		o->capture = value;
	else if (!strcmp(name, "--explain"))
		o->explain = value;
	else if (!strcmp(name, "--peer"))
		o->wire.peer = value;
	else if (!strcmp(name, "--port"))
		o->wire.port = value;
	else if (!strcmp(name, "--only"))
		o->only = value;
	else
		o->skip = value;
	return true;
}

static bool parse_one(int argc, char **argv, int *i, struct options *o)
{
	int setting = weft_args_setting(CMD, argc, argv, i);

	static const char *const with_value[] = {
		"--env-file", "--aws-json", "--k8s-json", "--expect",  "--suite",
		"--root",     "--rootfs",   "--pid",      "--capture", "--only",
		"--skip",     "--explain",  "--peer",     "--port",
	};

	if (setting)
		return setting > 0;
	for (size_t k = 0; k < WEFT_ARRAY_SIZE(with_value); k++) {
		const char *value;
		int got = weft_args_value(CMD, argc, argv, i, with_value[k], &value);

		if (got)
			return got > 0 && take_value(with_value[k], value, o);
	}
	if (!strcmp(argv[*i], "--json"))
		o->json = true;
	else if (!strcmp(argv[*i], "--self"))
		o->wire.self = true;
	else if (!strcmp(argv[*i], "--listen"))
		o->wire.listen = true;
	else if (!strcmp(argv[*i], "--list"))
		o->list = true;
	else if (!strcmp(argv[*i], "-v") || !strcmp(argv[*i], "--verbose"))
		o->verbose = true;
	else {
		fprintf(stderr, CMD ": no such argument: %.64s\n", argv[*i]);
		return false;
	}
	return true;
}

static bool parse(int argc, char **argv, struct options *o)
{
	size_t places;

	for (int i = 1; i < argc; i++)
		if (!parse_one(argc, argv, &i, o))
			return false;
	places = (o->root != NULL) + (o->rootfs != NULL) + (o->pid != NULL);
	if (places > 1) {
		fputs(CMD ": --root, --rootfs and --pid exclude each other\n", stderr);
		return false;
	}
	if (o->capture && places) {
		fputs(CMD ": --capture is of this machine, without --root, --rootfs or --pid\n",
		      stderr);
		return false;
	}
	if (o->full && (o->root || o->rootfs)) {
		fputs(CMD ": --suite full needs a machine that runs\n", stderr);
		return false;
	}
	if ((o->wire.self || o->wire.peer || o->wire.listen) && (o->root || o->rootfs)) {
		fputs(CMD ": --self, --peer and --listen need a machine that runs\n", stderr);
		return false;
	}
	if (o->wire.peer && o->wire.listen) {
		fputs(CMD ": --peer and --listen are the two sides of it: one here, one there\n",
		      stderr);
		return false;
	}
	if (o->wire.port && (atoi(o->wire.port) < 1 || atoi(o->wire.port) > 65535)) {
		fprintf(stderr, CMD ": --port: 1 to 65535, not %.64s\n", o->wire.port);
		return false;
	}
	if (o->pid && strspn(o->pid, "0123456789") != strlen(o->pid)) {
		fprintf(stderr, CMD ": --pid: not a number: %.64s\n", o->pid);
		return false;
	}
	return (!o->only || are_ids("--only", o->only)) && (!o->skip || are_ids("--skip", o->skip));
}

/* Readers */

static bool open_roots(struct check *c)
{
	const char *path = c->o.root ? c->o.root : c->o.rootfs ? c->o.rootfs : "/";
	char files[64];
	int err = weft_root_open(path, &c->root);

	if (!err && c->o.root && !weft_root_exists(&c->root, "proc") &&
	    !weft_root_exists(&c->root, "sys")) {
		fprintf(stderr, CMD ": %s: neither proc nor sys is in it: not made by --capture\n",
			path);
		weft_root_close(&c->root);
		return false;
	}
	if (!err && c->o.capture) {
		err = weft_root_capture(&c->root, c->o.capture);
		path = c->o.capture;
		if (err == -EEXIST)
			err = -ENOTEMPTY;
	}
	if (err) {
		fprintf(stderr, CMD ": %s: %s\n", path, strerror(-err));
		return false;
	}
	c->files = &c->root;
	if (!c->o.pid)
		return true;
	/* A process in a container has other files under the same names. */
	snprintf(files, sizeof(files), "/proc/%.20s/root", c->o.pid);
	err = weft_root_open(files, &c->other);
	if (!err) {
		c->files = &c->other;
		return true;
	}
	fprintf(stderr, CMD ": process %s: %s\n", c->o.pid,
		err == -ENOENT ? "there is none" : strerror(-err));
	weft_root_close(&c->root);
	return false;
}

static const char *in_block(const char *block, size_t len, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = block; p < block + len; p += strlen(p) + 1)
		if (!strncmp(p, name, n) && p[n] == '=')
			return p + n + 1;
	return NULL;
}

/* The environment is kept as lines under weft/env: what is ours, and the two paths. Nothing in it is a secret, and
 * what might be by its name is left out. */
static bool is_worth_keeping(const char *assignment)
{
	char name[64];
	size_t len = strcspn(assignment, "=");

	if (len >= sizeof(name) || strchr(assignment, '\n'))
		return false;
	memcpy(name, assignment, len);
	name[len] = '\0';
	if (weft_env_is_secret(name))
		return false;
	return weft_env_is_ours(name) || !strcmp(name, "LD_LIBRARY_PATH") ||
	       !strcmp(name, "PATH") || !strcmp(name, "OMPI_COMM_WORLD_LOCAL_SIZE");
}

static bool write_captured_env(const struct check *c)
{
	char path[WEFT_ROOT_PATH_MAX];
	FILE *to;

	if (snprintf(path, sizeof(path), "%s/weft-env", c->o.capture) >= (int)sizeof(path))
		return false;
	to = fopen(path, "we");
	if (!to)
		return false;
	for (char **p = environ; *p; p++)
		if (is_worth_keeping(*p))
			fprintf(to, "%s\n", *p);
	return fclose(to) == 0;
}

static void read_own_env(struct check *c)
{
	for (char **p = environ; *p; p++)
		weft_envfile_block(&c->env, "environment", *p, strlen(*p));
	c->library_path = getenv("LD_LIBRARY_PATH");
	c->path = getenv("PATH");
}

static void read_env(struct check *c)
{
	size_t len = 0;

	if (!c->o.root && !c->o.pid) {
		if (!c->o.rootfs)
			read_own_env(c);
		return;
	}
	c->captured_env = c->o.pid ? weft_root_file(&c->root, 4u << 20, "proc/%s/environ", c->o.pid)
				   : weft_root_file(&c->root, 4u << 20, "weft-env");
	if (!c->captured_env)
		return;
	if (c->o.root) {
		/* Lines, but otherwise the same. */
		len = strlen(c->captured_env);
		for (char *p = c->captured_env; *p; p++)
			if (*p == '\n')
				*p = '\0';
	} else {
		/* weft_root_file() ends what it read with a NUL of its own; an environment has them inside. */
		while (c->captured_env[len])
			len += strlen(c->captured_env + len) + 1;
	}
	weft_envfile_block(&c->env, c->o.pid ? "environment" : "weft-env", c->captured_env, len);
	c->library_path = in_block(c->captured_env, len, "LD_LIBRARY_PATH");
	c->path = in_block(c->captured_env, len, "PATH");
}

/* NCCL reads these as if they were its environment. */
static void read_nccl_conf(struct check *c)
{
	const char *home = getenv("HOME");
	char *text = weft_root_file(c->files, 1u << 20, "etc/nccl.conf");

	if (text)
		weft_envfile_scan(&c->env, "/etc/nccl.conf", text, strlen(text));
	free(text);
	if (!c->root.live || c->o.pid || !home || home[0] != '/')
		return;
	text = weft_root_file(c->files, 1u << 20, "%s/.nccl.conf", home + 1);
	if (text)
		weft_envfile_scan(&c->env, "~/.nccl.conf", text, strlen(text));
	free(text);
}

static uint32_t version_of(const struct check *c, enum weft_lib_family family)
{
	const struct weft_lib *lib = weft_libs_find(&c->libs, family);

	return lib ? weft_version_parse(lib->version) : 0;
}

static struct weft_env_context context_of(const struct check *c)
{
	struct weft_env_context context = {
		.libfabric = version_of(c, WEFT_LIB_FABRIC),
		.plugin = version_of(c, WEFT_LIB_PLUGIN),
		.ucx = version_of(c, WEFT_LIB_UCX),
	};

	if (!c->has_node)
		return context;
	context.rdma_read = weft_node_rdma_read(&c->node);
	context.kernel = c->node.kernel_version;
	if (c->node.interfaces) {
		context.interfaces = c->node.interface;
		context.interface_count = c->node.interfaces;
	}
	if (c->node.type)
		context.gpudirect =
			!strncmp(c->node.type->gpudirect, "required", 8) ? WEFT_YES : WEFT_NO;
	return context;
}

static void cannot_read(struct check *c, const char *file, const char *why)
{
	struct weft_place place = { file, 0, 0 };

	weft_findings_report(&c->findings, WEFT_FINDING_INPUT, &place, "%s", why);
}

/* A file of the user's, wherever it is. NULL: said so. */
static char *read_user_file(struct check *c, const char *path, size_t *len_out)
{
	FILE *from = !strcmp(path, "-") ? stdin : fopen(path, "re");
	char *bytes = from ? malloc(TEXT_MAX) : NULL;
	size_t len = bytes ? fread(bytes, 1, TEXT_MAX, from) : 0;
	bool failed = !bytes || ferror(from);

	if (failed || len == TEXT_MAX) {
		cannot_read(c, path, failed ? strerror(errno) : "too large");
		free(bytes);
		bytes = NULL;
	}
	if (from && from != stdin)
		fclose(from);
	*len_out = len;
	return bytes;
}

static void check_env_files(struct check *c)
{
	struct weft_env_context context = context_of(c);

	/* A job script runs where the cards are: the interfaces of another machine are not those it names. */
	if (c->has_node && !weft_node_wants_efa(&c->node))
		context.interfaces = NULL;
	for (size_t i = 0; i < c->o.env_files; i++) {
		struct weft_envfile env;
		size_t len;
		char *text = read_user_file(c, c->o.env_file[i], &len);

		if (!text)
			continue;
		weft_envfile_init(&env);
		weft_envfile_scan(&env, c->o.env_file[i], text, len);
		weft_env_check(env.var, env.count, &context, &c->findings);
		weft_envfile_fini(&env);
		free(text);
	}
}

static void check_json_files(struct check *c, const char *const *files, size_t count,
			     void (*check)(const struct weft_cloudjson *, struct weft_findings *))
{
	struct weft_cloudjson docs = { .count = 0 };

	for (size_t i = 0; i < count; i++) {
		char why[256];
		json_t *root = weft_jsonfile_load(files[i], why, sizeof(why));

		if (!root) {
			cannot_read(c, files[i], why);
			continue;
		}
		docs.file[docs.count] = files[i];
		docs.root[docs.count++] = root;
	}
	if (docs.count)
		check(&docs, &c->findings);
	for (size_t i = 0; i < docs.count; i++)
		json_decref(docs.root[i]);
}

/* Looks again after a while: counters since boot do not say what happens now. */
static void check_rates(struct check *c)
{
	struct timespec wait = { .tv_nsec = SAMPLE_NS % 1000000000ll,
				 .tv_sec = SAMPLE_NS / 1000000000ll };
	struct weft_node after = c->node;
	uint64_t before = weft_node_tcp_bytes(&c->root, &c->node), now;

	nanosleep(&wait, NULL);
	for (size_t i = 0; i < after.cards; i++)
		weft_node_read_counters(&c->root, &after.card[i]);
	now = weft_node_tcp_bytes(&c->root, &c->node);
	weft_node_check_rates(&c->node, &after, SAMPLE_NS, now > before ? now - before : 0,
			      &c->findings);
}

static bool run_checks(struct check *c)
{
	struct weft_env_context context;

	read_env(c);
	if (!c->o.rootfs) {
		weft_node_read(&c->root, c->o.pid ? c->o.pid : "self", c->o.type, &c->node);
		c->has_node = true;
		weft_node_check(&c->node, &c->findings);
	}
	if (!c->o.pid) {
		weft_libs_scan(c->files, c->library_path, c->path, &c->libs);
	} else if (weft_libs_of_process(&c->root, c->files, c->o.pid, &c->libs)) {
		fprintf(stderr, CMD ": the maps of process %s cannot be read\n", c->o.pid);
		return false;
	}
	weft_libs_check(&c->libs, c->has_node ? &c->node : NULL, c->files, c->o.pid != NULL,
			&c->findings);
	read_nccl_conf(c);
	context = context_of(c);
	weft_env_check(c->env.var, c->env.count, &context, &c->findings);
	check_env_files(c);
	check_json_files(c, c->o.aws_file, c->o.aws_files, weft_aws_check);
	check_json_files(c, c->o.k8s_file, c->o.k8s_files, weft_k8s_check);
	if (c->o.full && c->has_node)
		check_rates(c);
	weft_check_wire_run(&c->o.wire, &c->root, &c->findings);
	return true;
}

/* What comes out */

static bool lists(const char *list, enum weft_finding_id id)
{
	for (const char *p = list;;) {
		size_t len = strcspn(p, ",");
		char word[64];

		snprintf(word, sizeof(word), "%.*s", (int)WEFT_MIN(len, sizeof(word) - 1), p);
		if (weft_finding_is_in(id, word))
			return true;
		if (!p[len])
			return false;
		p += len + 1;
	}
}

static bool wanted(const struct options *o, enum weft_finding_id id)
{
	/* What could not be read cannot be skipped: the rest would look better than it is. */
	if (id == WEFT_FINDING_INPUT)
		return true;
	return (!o->only || lists(o->only, id)) && (!o->skip || !lists(o->skip, id));
}

static int exit_status(const struct weft_findings *f)
{
	for (size_t i = 0; i < f->count; i++)
		if (f->finding[i].id == WEFT_FINDING_INPUT)
			return CANNOT_RUN;
	switch (weft_findings_worst(f)) {
	case WEFT_SEV_OK:
	case WEFT_SEV_NOTE:
		return 0;
	case WEFT_SEV_WARN:
		return 1;
	case WEFT_SEV_FAIL:
		return 2;
	}
	return CANNOT_RUN;
}

static void print_stack_line(const struct check *c)
{
	const char *comma = "";

	printf("stack   ");
	for (uint32_t family = 0; family < WEFT_LIB_FAMILIES; family++) {
		const struct weft_lib *lib = weft_libs_find(&c->libs, family);

		if (!lib)
			continue;
		printf("%s%s%s%s", comma, weft_lib_name(family), lib->version[0] ? " " : "",
		       lib->version);
		comma = ", ";
	}
	puts(*comma ? "" : "nothing of EFA's software");
}

static void print_head(const struct check *c)
{
	const struct weft_node *n = &c->node;

	if (c->has_node) {
		printf("machine %s%s%s, Linux %s", n->vendor[0] ? n->vendor : "of unknown make",
		       n->product[0] ? " " : "", n->product, n->kernel[0] ? n->kernel : "?");
		if (n->in_container)
			fputs(", in a container", stdout);
		if (n->type)
			printf(", %s a %s", n->type_given ? "expected to be" : "known as",
			       n->type->name);
		printf("\ncards   %zu EFA", n->cards);
		if (n->foreign)
			printf(", %zu RDMA of other makers", n->foreign);
		if (n->gpus)
			printf("; %zu GPUs", n->gpus);
		putchar('\n');
	}
	print_stack_line(c);
	putchar('\n');
}

static void print_json(const struct check *c, int status)
{
	const struct weft_node *n = &c->node;

	printf("{\"exit\": %d, \"node\": ", status);
	if (c->has_node) {
		fputs("{\"vendor\": ", stdout);
		weft_json_string(n->vendor[0] ? n->vendor : NULL);
		fputs(", \"product\": ", stdout);
		weft_json_string(n->product[0] ? n->product : NULL);
		fputs(", \"type\": ", stdout);
		weft_json_string(n->type ? n->type->name : NULL);
		fputs(", \"kernel\": ", stdout);
		weft_json_string(n->kernel[0] ? n->kernel : NULL);
		printf(", \"efa_cards\": %zu, \"foreign_cards\": %zu, \"gpus\": %zu}", n->cards,
		       n->foreign, n->gpus);
	} else {
		fputs("null", stdout);
	}
	fputs(", \"findings\": ", stdout);
	weft_findings_json(stdout, &c->findings);
	puts("}");
}

static void filter(struct check *c)
{
	struct weft_findings *f = &c->findings, kept;

	weft_findings_init(&kept);
	for (size_t i = 0; i < f->count; i++) {
		struct weft_finding one = f->finding[i];

		if (wanted(&c->o, one.id)) {
			f->finding[i] = f->finding[kept.count];
			f->finding[kept.count++] = one;
		}
	}
	while (f->count > kept.count) {
		struct weft_finding *last = &f->finding[--f->count];

		free(last->evidence);
		free(last->fix);
		free(last->file);
	}
}

static int explain(const char *name)
{
	enum weft_finding_id id;
	const char *suggest;

	if (!weft_finding_find(name, &id, &suggest)) {
		fprintf(stderr, CMD ": --explain: no such finding: %.64s%s%s%s\n", name,
			suggest ? "; did you mean " : "", suggest ? suggest : "",
			suggest ? "?" : " (weft check --list)");
		return CANNOT_RUN;
	}
	weft_finding_explain(stdout, id);
	return 0;
}

static int list_all(void)
{
	for (uint32_t i = 0; i < WEFT_FINDING_COUNT; i++) {
		const struct weft_finding_info *info = weft_finding_info(i);

		printf("%-4s  %-18s %s\n", weft_severity_name(info->severity), info->id,
		       info->title);
	}
	return 0;
}

static void cleanup(struct check *c)
{
	weft_findings_fini(&c->findings);
	weft_envfile_fini(&c->env);
	weft_libs_free(&c->libs);
	if (c->has_node)
		weft_node_free(&c->node);
	free(c->captured_env);
	if (c->o.pid)
		weft_root_close(&c->other);
	weft_root_close(&c->root);
}

static bool capture_is_whole(const struct check *c)
{
	if (!c->o.capture)
		return true;
	if (c->root.capture_error) {
		fprintf(stderr, CMD ": --capture %s: %s\n", c->o.capture,
			strerror(-c->root.capture_error));
		return false;
	}
	if (!write_captured_env(c)) {
		fprintf(stderr, CMD ": --capture %s/weft-env: %s\n", c->o.capture, strerror(errno));
		return false;
	}
	return true;
}

int weft_cmd_check(int argc, char **argv)
{
	struct check *c = calloc(1, sizeof(*c));
	int status = CANNOT_RUN;

	if (!c) {
		perror(CMD);
		return CANNOT_RUN;
	}
	if (!parse(argc, argv, &c->o) || ((c->o.wire.self || c->o.wire.peer || c->o.wire.listen) &&
					  !weft_args_check_settings(CMD))) {
		free(c);
		return CANNOT_RUN;
	}
	if (c->o.explain || c->o.list) {
		status = c->o.list ? list_all() : explain(c->o.explain);
		free(c);
		return status;
	}
	if (weft_check_wire_begin(&c->o.wire, argc, argv)) {
		free(c);
		return CANNOT_RUN;
	}
	if (open_roots(c)) {
		if (run_checks(c) && capture_is_whole(c)) {
			filter(c);
			status = exit_status(&c->findings);
			if (c->o.json)
				print_json(c, status);
			else
				print_head(c);
			if (!c->o.json)
				weft_findings_print(stdout, &c->findings, c->o.verbose);
		}
		cleanup(c);
	}
	free(c);
	return status;
}
