/* SPDX-License-Identifier: BSD-2-Clause */
/* weft-device-plugin: EFA cards, real ones and weft's, as devices of a Kubernetes node. Arguments, and the loop that waits
 * for everything there is to wait for: kubelet's calls, its folder, scrapers, the next look at the cards, and the end. */
#define _GNU_SOURCE
#include "base/units.h"
#include "kube/install.h"
#include "kube/klog.h"
#include "kube/plugin.h"
#include "kube/real.h"
#include "kube/soft.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#define CMD         "weft-device-plugin"
#define RESOURCE    "vpc.amazonaws.com/efa"
#define KUBELET_DIR "/var/lib/kubelet/device-plugins"

static const char usage[] =
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
	"  --kubelet-dir DIR     (default " KUBELET_DIR ")\n"
	"  --root DIR            read /sys and /dev below DIR\n"
	"  --log-json            log in JSON\n"
	"  --help, --version\n";

struct options {
	const char *resource, *soft_resource, *library_dir, *install_dir, *kubelet_dir, *root;
	const char *env[WEFT_KUBE_ENV_MAX];
	uint32_t envs;
	bool soft;
	uint64_t shared;
	weft_ns interval;
};

/* One resource and where its cards come from. */
struct served {
	struct weft_plugin *plugin; /* owns. NULL: not offered. */
	struct weft_kube_source source;
	/* As kubelet was told last, to see what has changed. */
	bool is_healthy[WEFT_KUBE_CARDS_MAX];
	uint32_t count;
};

struct daemon {
	struct options o;
	struct weft_root root; /* owns */
	struct weft_kube_real real;
	struct weft_kube_soft soft;
	struct served served[2];
	uint32_t resources;
	int inotify; /* owns */
	int watch; /* On kubelet's folder; -1: it is not there. */
	weft_ns next_look;
};

static volatile sig_atomic_t told_to_end;

static void on_signal(int number)
{
	(void)number;
	told_to_end = 1;
}

/* Signals come while poll() waits, and at no other time: `waiting` is what is blocked then. */
static void catch_signals(sigset_t *waiting)
{
	struct sigaction action;
	sigset_t ours;

	memset(&action, 0, sizeof(action));
	action.sa_handler = on_signal;
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	action.sa_handler = SIG_IGN;
	(void)sigaction(SIGPIPE, &action, NULL);
	sigemptyset(&ours);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &ours, waiting);
	sigdelset(waiting, SIGINT);
	sigdelset(waiting, SIGTERM);
}

static weft_ns now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (weft_ns)now.tv_sec * 1000000000u + (weft_ns)now.tv_nsec;
}

/* Cards */

/* Tells kubelet and the log what is not as it was. */
static void compare(struct served *s)
{
	const struct weft_kube_cards *cards = s->source.cards;
	bool is_new = s->count != cards->count;

	for (uint32_t i = 0; i < cards->count; i++) {
		const struct weft_kube_card *card = &cards->card[i];

		if (i < s->count && s->is_healthy[i] == card->is_healthy)
			continue;
		is_new = true;
		if (!card->is_healthy)
			weft_klog(WEFT_KLOG_WARN, "card is not healthy", "resource",
				  weft_plugin_resource(s->plugin), "card", card->id, "why",
				  card->why);
		else if (i < s->count)
			weft_klog(WEFT_KLOG_INFO, "card is healthy again", "resource",
				  weft_plugin_resource(s->plugin), "card", card->id);
		s->is_healthy[i] = card->is_healthy;
	}
	s->count = cards->count;
	if (is_new)
		weft_plugin_notify(s->plugin);
}

static void look(struct daemon *d, weft_ns now)
{
	weft_kube_real_look(&d->real, now);
	weft_kube_soft_judge(&d->soft);
	for (uint32_t i = 0; i < d->resources; i++)
		compare(&d->served[i]);
	d->next_look = now + d->o.interval;
}

/* The loop */

/* Kubelet's folder may come and go. What happens in it is found out by looking; events only say when. */
static void watch_folder(struct daemon *d)
{
	char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t n;

	while ((n = read(d->inotify, events, sizeof(events))) > 0)
		for (char *at = events; at < events + n;) {
			const struct inotify_event *e = (const void *)at;

			if (e->mask & IN_IGNORED)
				d->watch = -1;
			at += sizeof(*e) + e->len;
		}
	if (d->watch < 0)
		d->watch = inotify_add_watch(d->inotify, d->o.kubelet_dir,
					     IN_CREATE | IN_DELETE | IN_MOVE | IN_ONLYDIR);
}

static bool turn(struct daemon *d, const struct pollfd *fds)
{
	weft_ns now = now_ns();

	watch_folder(d);
	if (now >= d->next_look)
		look(d, now);
	for (uint32_t i = 0; i < d->resources; i++) {
		struct weft_plugin *p = d->served[i].plugin;

		if (weft_plugin_turn(p, fds + i * WEFT_PLUGIN_FDS_MAX, now)) {
			weft_klog(WEFT_KLOG_ERROR, "another plugin has taken over the resource",
				  "resource", weft_plugin_resource(p));
			return false;
		}
	}
	return true;
}

static int serve(struct daemon *d)
{
	struct pollfd fds[2 * WEFT_PLUGIN_FDS_MAX + 1];
	sigset_t waiting;
	uint32_t last = d->resources * WEFT_PLUGIN_FDS_MAX;

	catch_signals(&waiting);
	for (uint32_t i = 0; i < last; i++)
		fds[i] = (struct pollfd){ .fd = -1 };
	while (!told_to_end) {
		weft_ns until, now;
		struct timespec ts;

		if (!turn(d, fds))
			return 2;
		now = now_ns();
		until = WEFT_MIN(d->next_look, d->watch < 0 ? now + WEFT_S(1) : WEFT_NS_NEVER);
		for (uint32_t i = 0; i < d->resources; i++) {
			struct pollfd *own = fds + i * WEFT_PLUGIN_FDS_MAX;
			uint32_t n = weft_plugin_wait(d->served[i].plugin, own, &until);

			for (; n < WEFT_PLUGIN_FDS_MAX; n++)
				own[n] = (struct pollfd){ .fd = -1 };
		}
		fds[last] = (struct pollfd){ .fd = d->inotify, .events = POLLIN };
		until = until > now ? until - now : 0;
		ts.tv_sec = (time_t)(until / 1000000000u);
		ts.tv_nsec = (long)(until % 1000000000u);
		if (ppoll(fds, last + 1, &ts, &waiting) < 0)
			for (uint32_t i = 0; i < last; i++)
				fds[i].revents = 0;
	}
	weft_klog(WEFT_KLOG_INFO, "told to end");
	return 0;
}

/* Beginning and end */

static bool complain(const char *why)
{
	weft_klog(WEFT_KLOG_ERROR, "cannot start", "why", why);
	return false;
}

static bool offer(struct daemon *d, const char *resource, struct weft_kube_source source)
{
	struct served *s = &d->served[d->resources];
	char why[512], number[16];

	s->source = source;
	if (weft_plugin_open(d->o.kubelet_dir, resource, &s->source, &s->plugin, why, sizeof(why)))
		return complain(why);
	d->resources++;
	snprintf(number, sizeof(number), "%u", source.cards->count);
	weft_klog(WEFT_KLOG_INFO, "offering", "resource", resource, "cards", number);
	return true;
}

/* Real cards and software ones under one name would be given to whoever asks, and the two do not mix. */
static bool is_mixed(const struct daemon *d, const char *soft_resource)
{
	return d->real.cards.count && !strcmp(soft_resource, d->o.resource);
}

static bool start(struct daemon *d)
{
	const struct options *o = &d->o;
	const char *soft_resource = o->soft_resource ? o->soft_resource : o->resource;
	bool real = strcmp(o->resource, "none") != 0 &&
		    (!o->soft || strcmp(soft_resource, o->resource) != 0);
	char why[512];
	int err = weft_root_open(o->root, &d->root);

	if (err) {
		snprintf(why, sizeof(why), "%s: %s", o->root, strerror(-err));
		return complain(why);
	}
	weft_kube_real_init(&d->root, (uint32_t)o->shared, &d->real);
	weft_kube_real_look(&d->real, now_ns());
	if (o->soft && weft_kube_soft_init(o->env, o->envs, o->library_dir, (uint32_t)o->shared,
					   &d->root, &d->soft, why, sizeof(why)))
		return complain(why);
	if (o->soft && is_mixed(d, soft_resource)) {
		snprintf(why, sizeof(why),
			 "this machine has EFA cards: give the software ones a name of their own "
			 "(--software-resource)");
		return complain(why);
	}
	d->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (d->inotify < 0)
		return complain(strerror(errno));
	if (real && !offer(d, o->resource, weft_kube_real_source(&d->real)))
		return false;
	return !o->soft || offer(d, soft_resource, weft_kube_soft_source(&d->soft));
}

static void stop(struct daemon *d)
{
	for (uint32_t i = 0; i < d->resources; i++)
		weft_plugin_close(d->served[i].plugin);
	if (d->inotify >= 0)
		close(d->inotify);
	weft_root_close(&d->root);
}

/* Arguments */

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
	fprintf(stderr, CMD ": --%s: %s, not %.64s\n", option, want, value);
	return false;
}

/* The later of two goes. */
static bool add_env(struct options *o, const char *text)
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
static bool add_setting(struct options *o, const char *name, const char *value)
{
	static char text[2][128];
	char *to = text[!strcmp(name, "WEFT_CARDS")];

	if ((size_t)snprintf(to, sizeof(text[0]), "%s=%s", name, value) >= sizeof(text[0])) {
		fprintf(stderr, CMD ": %s: too long\n", name);
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
	{ "log-json", no_argument, NULL, JSON },
	{ "help", no_argument, NULL, HELP },
	{ "version", no_argument, NULL, VERSION },
	{ NULL, 0, NULL, 0 },
};

static bool take_option(struct options *o, enum argument argument, const char *value)
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
	case JSON:
		weft_klog_json();
		return true;
	case HELP:
		fputs(usage, stdout);
		exit(fflush(stdout) ? 2 : 0);
	case VERSION:
		puts(CMD " " WEFT_VERSION);
		exit(fflush(stdout) ? 2 : 0);
	}
	return false;
}

static bool parse(int argc, char **argv, struct options *o)
{
	int got;

	*o = (struct options){ .resource = RESOURCE,
			       .library_dir = WEFT_KUBE_INSIDE,
			       .kubelet_dir = KUBELET_DIR,
			       .root = "/",
			       .shared = 1,
			       .interval = WEFT_S(10) };
	while ((got = getopt_long(argc, argv, "", options, NULL)) >= 0)
		if (got == '?' || !take_option(o, (enum argument)got, optarg))
			return false;
	if (optind < argc) {
		fprintf(stderr, CMD ": no such argument: %.64s; see --help\n", argv[optind]);
		return false;
	}
	if (o->soft_resource && !o->soft) {
		fputs(CMD ": --software-resource goes with --instance or --cards\n", stderr);
		return false;
	}
	if (!strcmp(o->resource, "none") && (!o->soft || !o->soft_resource)) {
		fputs(CMD ": --resource none: then what? Say --cards or --instance, and "
			  "--software-resource\n",
		      stderr);
		return false;
	}
	return true;
}

/* What the DaemonSet's first container does: the library comes with the plugin's image and has to be on the node. */
static int install(const struct options *o)
{
	char why[512], number[12];
	uint32_t count;

	if (weft_kube_install(o->library_dir, o->install_dir, &count, why, sizeof(why))) {
		fprintf(stderr, CMD ": cannot install into %s: %s\n", o->install_dir, why);
		return 2;
	}
	snprintf(number, sizeof(number), "%u", count);
	weft_klog(WEFT_KLOG_INFO, "installed", "files", number, "folder", o->install_dir, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	static struct daemon d = { .inotify = -1,
				   .watch = -1,
				   .root = { .fd = -1, .capture = -1 } };
	int status = 2;

	if (!parse(argc, argv, &d.o))
		return 2;
	if (d.o.install_dir)
		return install(&d.o);
	if (start(&d))
		status = serve(&d);
	stop(&d);
	return status;
}
