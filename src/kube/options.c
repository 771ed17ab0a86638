/* SPDX-License-Identifier: BSD-2-Clause */
/* Arguments. What makes software cards are settings, as for `weft run`, and goes the way of all settings: into the
 * environment of containers, and through the one parser that judges it (soft.c). */
#include "kube/options.h"

#include "base/units.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define RESOURCE    "vpc.amazonaws.com/efa"
#define KUBELET_DIR "/var/lib/kubelet/device-plugins"

const char weft_kube_usage[] =
	"usage: weft-device-plugin [OPTION...]\n"
	"\n"
	"Offer the EFA cards of this node to Kubernetes: the machine's own; or software\n"
	"cards, over which any image of glibc runs as over EFA; or both. Runs until SIGTERM.\n"
	"\n"
	"  --resource NAME       of real cards (default " RESOURCE "); none: do not\n"
	"                        offer them\n"
	"  --instance TYPE       software cards: those of that EC2 instance type\n"
	"  --cards N             software cards: so many\n"
	"  --software-resource NAME\n"
	"                        of software cards, where there are real ones too\n"
	"                        (default: as --resource)\n"
	"  --env NAME=VALUE      another variable for containers with software cards\n"
	"  --library-dir DIR     on the host, with " WEFT_KUBE_LIBRARY " in it (default\n"
	"                        " WEFT_KUBE_INSIDE ")\n"
	"  --install DIR         put what is in --library-dir into DIR, and end\n"
	"  --shared N            let N containers have the same card\n"
	"  --check-interval T    between two looks at the cards (default 10s)\n"
	"  --cordon FILE         cards named in FILE are not given to anybody new\n"
	"  --metrics ADDR:PORT   metrics for Prometheus at http://ADDR:PORT/metrics\n"
	"  --kubelet-dir DIR     (default " KUBELET_DIR ")\n"
	"  --root DIR            read /sys and /dev below DIR\n"
	"  --log-json            log in JSON\n"
	"  --help, --version\n";

/* domain/name, as Kubernetes wants it, and short enough for the name of a file. */
static bool is_resource(const char *name)
{
	const char *slash = strchr(name, '/');

	return slash && slash > name && slash[1] && !strchr(slash + 1, '/') &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._/") ==
		       strlen(name) &&
	       name[0] != '.' && strlen(name) < 80;
}

static bool bad(const char *option, const char *value, const char *want)
{
	fprintf(stderr, WEFT_KUBE_CMD ": --%s: %s, not %.64s\n", option, want, value);
	return false;
}

/* The later of two goes. */
static bool add_env(struct weft_kube_options *o, const char *text)
{
	size_t len = strcspn(text, "=") + 1;
	uint32_t i = 0;

	if (!text[len - 1] || len == 1)
		return bad("env", text, "NAME=VALUE");
	while (i < o->envs && strncmp(o->env[i], text, len) != 0)
		i++;
	if (i == WEFT_KUBE_ENV_MAX)
		return bad("env", text, "no more than 32 variables");
	o->env[i] = text;
	o->envs += i == o->envs;
	return true;
}

/* --instance and --cards are settings. */
static bool add_setting(struct weft_kube_options *o, const char *name, const char *value)
{
	static char text[2][128];
	char *to = text[!strcmp(name, "WEFT_CARDS")];

	if ((size_t)snprintf(to, sizeof(text[0]), "%s=%s", name, value) >= sizeof(text[0])) {
		fprintf(stderr, WEFT_KUBE_CMD ": %s: too long\n", name);
		return false;
	}
	o->soft = true;
	return add_env(o, to);
}

enum argument {
	REAL_RESOURCE,
	INSTANCE,
	CARDS,
	SOFT_RESOURCE,
	ENV,
	LIBRARY,
	INSTALL,
	SHARED,
	INTERVAL,
	FOLDER,
	ROOT,
	CORDON,
	METRICS,
	JSON,
	HELP,
	VERSION
};

static const struct option options[] = {
	{ "resource", required_argument, NULL, REAL_RESOURCE },
	{ "instance", required_argument, NULL, INSTANCE },
	{ "cards", required_argument, NULL, CARDS },
	{ "software-resource", required_argument, NULL, SOFT_RESOURCE },
	{ "env", required_argument, NULL, ENV },
	{ "library-dir", required_argument, NULL, LIBRARY },
	{ "install", required_argument, NULL, INSTALL },
	{ "shared", required_argument, NULL, SHARED },
	{ "check-interval", required_argument, NULL, INTERVAL },
	{ "kubelet-dir", required_argument, NULL, FOLDER },
	{ "root", required_argument, NULL, ROOT },
	{ "cordon", required_argument, NULL, CORDON },
	{ "metrics", required_argument, NULL, METRICS },
	{ "log-json", no_argument, NULL, JSON },
	{ "help", no_argument, NULL, HELP },
	{ "version", no_argument, NULL, VERSION },
	{ NULL, 0, NULL, 0 },
};

static bool take_option(struct weft_kube_options *o, enum argument argument, const char *value)
{
	switch (argument) {
	case REAL_RESOURCE:
		o->resource = value;
		return !strcmp(value, "none") || is_resource(value) ||
		       bad("resource", value, "a name like vpc.amazonaws.com/efa, or none");
	case SOFT_RESOURCE:
		o->soft_resource = value;
		return is_resource(value) ||
		       bad("software-resource", value, "a name like example.org/efa");
	case INSTANCE:
		return add_setting(o, "WEFT_INSTANCE", value);
	case CARDS:
		return add_setting(o, "WEFT_CARDS", value);
	case ENV:
		return add_env(o, value);
	case LIBRARY:
		o->library_dir = value;
		return value[0] == '/' || bad("library-dir", value, "an absolute path");
	case INSTALL:
		o->install_dir = value;
		return true;
	case SHARED:
		return (weft_parse_u64(value, &o->shared) && o->shared &&
			o->shared <= WEFT_KUBE_SHARED_MAX) ||
		       bad("shared", value, "a number from 1 to 64");
	case INTERVAL:
		return (weft_parse_time(value, &o->interval) && o->interval >= WEFT_MS(100) &&
			o->interval <= WEFT_S(3600)) ||
		       bad("check-interval", value, "a time of 100ms to 3600s");
	case FOLDER:
		o->kubelet_dir = value;
		return true;
	case ROOT:
		o->root = value;
		return true;
	case CORDON:
		o->cordon = value;
		return true;
	case METRICS:
		o->metrics = value;
		return true;
	case JSON:
		o->log_json = true;
		return true;
	case HELP:
		o->help = true;
		return true;
	case VERSION:
		o->version = true;
		return true;
	}
	return false;
}

bool weft_kube_options_parse(int argc, char **argv, struct weft_kube_options *o)
{
	int got;

	*o = (struct weft_kube_options){ .resource = RESOURCE,
					 .library_dir = WEFT_KUBE_INSIDE,
					 .kubelet_dir = KUBELET_DIR,
					 .root = "/",
					 .shared = 1,
					 .interval = WEFT_S(10) };
	while ((got = getopt_long(argc, argv, "", options, NULL)) >= 0)
		if (got == '?' || !take_option(o, (enum argument)got, optarg))
			return false;
	if (optind < argc) {
		fprintf(stderr, WEFT_KUBE_CMD ": no such argument: %.64s; see --help\n",
			argv[optind]);
		return false;
	}
	if (o->help || o->version)
		return true;
	if (o->soft_resource && !o->soft) {
		fputs(WEFT_KUBE_CMD ": --software-resource goes with --instance or --cards\n",
		      stderr);
		return false;
	}
	if (!strcmp(o->resource, "none") && (!o->soft || !o->soft_resource)) {
		fputs(WEFT_KUBE_CMD ": --resource none: then what? Say --cards or --instance, and "
				    "--software-resource\n",
		      stderr);
		return false;
	}
	return true;
}
