/* SPDX-License-Identifier: BSD-2-Clause */
/* weft-device-plugin: EFA cards, real ones and weft's, as devices of a Kubernetes node. Arguments, and the loop that waits
 * for everything there is to wait for: kubelet's calls, its folder, scrapers, the next look at the cards, and the end. */
#define _GNU_SOURCE
#include "kube/install.h"
#include "kube/klog.h"
#include "kube/kmetrics.h"
#include "kube/options.h"
#include "kube/plugin.h"
#include "kube/real.h"
#include "kube/soft.h"
#include "watch/http.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

/* One resource and where its cards come from. */
struct served {
	struct weft_plugin *plugin; /* owns. NULL: not offered. */
	struct weft_kube_source source;
	/* As kubelet was told last, to see what has changed. */
	bool is_healthy[WEFT_KUBE_CARDS_MAX];
	uint32_t count;
};

struct daemon {
	struct weft_kube_options o;
	struct weft_root root; /* owns */
	struct weft_kube_real real;
	struct weft_kube_soft soft;
	struct served served[2];
	uint32_t resources;
	bool has_real; /* Is one of these of real cards? */
	struct weft_http *http; /* owns. NULL: no metrics. */
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

/* The start of a file, which may be anything; "" if there is none. */
static void read_words(const char *path, char *buf, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, len - 1);

	buf[n > 0 ? n : 0] = 0;
	if (fd >= 0)
		close(fd);
}

static void look(struct daemon *d, weft_ns now)
{
	char words[8192] = "";

	if (d->has_real)
		weft_kube_real_look(&d->real, now);
	weft_kube_soft_judge(&d->soft);
	if (d->o.cordon)
		read_words(d->o.cordon, words, sizeof(words));
	weft_kube_cordon(&d->real.cards, words);
	weft_kube_cordon(&d->soft.cards, words);
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

			if (e->mask & IN_MOVE_SELF) /* Another one may take its place. */
				(void)inotify_rm_watch(d->inotify, d->watch);
			if (e->mask & IN_IGNORED)
				d->watch = -1;
			at += sizeof(*e) + e->len;
		}
	if (d->watch < 0)
		d->watch = inotify_add_watch(d->inotify, d->o.kubelet_dir,
					     IN_CREATE | IN_DELETE | IN_MOVE | IN_MOVE_SELF |
						     IN_ONLYDIR);
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
	struct pollfd fds[2 * WEFT_PLUGIN_FDS_MAX + 1 + WEFT_HTTP_FDS_MAX];
	sigset_t waiting;
	uint32_t last = d->resources * WEFT_PLUGIN_FDS_MAX;

	catch_signals(&waiting);
	for (uint32_t i = 0; i < WEFT_ARRAY_SIZE(fds); i++)
		fds[i] = (struct pollfd){ .fd = -1 };
	while (!told_to_end) {
		weft_ns until, now;
		struct timespec ts;
		uint32_t n = last + 1;

		if (!turn(d, fds))
			return 2;
		if (d->http)
			weft_http_turn(d->http, fds + last + 1);
		now = now_ns();
		until = WEFT_MIN(d->next_look, d->watch < 0 ? now + WEFT_S(1) : WEFT_NS_NEVER);
		for (uint32_t i = 0; i < d->resources; i++) {
			struct pollfd *own = fds + i * WEFT_PLUGIN_FDS_MAX;
			uint32_t used = weft_plugin_wait(d->served[i].plugin, own, &until);

			for (; used < WEFT_PLUGIN_FDS_MAX; used++)
				own[used] = (struct pollfd){ .fd = -1 };
		}
		fds[last] = (struct pollfd){ .fd = d->inotify, .events = POLLIN };
		if (d->http)
			n += weft_http_wait(d->http, fds + last + 1, &until);
		until = until > now ? until - now : 0;
		ts.tv_sec = (time_t)(until / 1000000000u);
		ts.tv_nsec = (long)(until % 1000000000u);
		if (ppoll(fds, n, &ts, &waiting) < 0)
			for (uint32_t i = 0; i < n; i++)
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

static bool write_metrics(void *arg, bool openmetrics, char **body_out, size_t *len_out)
{
	const struct daemon *d = arg;
	const struct weft_plugin *plugins[2] = { d->served[0].plugin, d->served[1].plugin };
	FILE *to;

	*body_out = NULL;
	to = open_memstream(body_out, len_out);
	if (!to)
		return false;
	weft_kube_metrics(to, plugins, d->resources, openmetrics);
	if (!fclose(to))
		return true;
	free(*body_out);
	return false;
}

static bool start(struct daemon *d)
{
	const struct weft_kube_options *o = &d->o;
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
	if (o->metrics && weft_http_open(o->metrics, write_metrics, d, &d->http, why, sizeof(why)))
		return complain(why);
	d->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (d->inotify < 0)
		return complain(strerror(errno));
	d->has_real = real;
	if (real && !offer(d, o->resource, weft_kube_real_source(&d->real)))
		return false;
	return !o->soft || offer(d, soft_resource, weft_kube_soft_source(&d->soft));
}

static void stop(struct daemon *d)
{
	for (uint32_t i = 0; i < d->resources; i++)
		weft_plugin_close(d->served[i].plugin);
	if (d->http)
		weft_http_close(d->http);
	if (d->inotify >= 0)
		close(d->inotify);
	weft_root_close(&d->root);
}

/* What the DaemonSet's first container does: the library comes with the plugin's image and has to be on the node. */
static int install(const struct weft_kube_options *o)
{
	char why[512], number[12];
	uint32_t count;

	if (weft_kube_install(o->library_dir, o->install_dir, &count, why, sizeof(why))) {
		fprintf(stderr, WEFT_KUBE_CMD ": cannot install into %s: %s\n", o->install_dir,
			why);
		return 2;
	}
	snprintf(number, sizeof(number), "%u", count);
	weft_klog(WEFT_KLOG_INFO, "installed", "files", number, "folder", o->install_dir);
	return 0;
}

int main(int argc, char **argv)
{
	static struct daemon d = { .inotify = -1,
				   .watch = -1,
				   .root = { .fd = -1, .capture = -1 } };
	int status = 2;

	if (!weft_kube_options_parse(argc, argv, &d.o))
		return 2;
	if (d.o.help || d.o.version) {
		fputs(d.o.help ? weft_kube_usage : WEFT_KUBE_CMD " " WEFT_VERSION "\n", stdout);
		if (!fflush(stdout))
			return 0;
		perror(WEFT_KUBE_CMD);
		return 2;
	}
	if (d.o.log_json)
		weft_klog_json();
	if (d.o.install_dir)
		return install(&d.o);
	if (start(&d))
		status = serve(&d);
	stop(&d);
	return status;
}
