/* SPDX-License-Identifier: BSD-2-Clause */
/* The life of a resource.
 *
 * Kubelet tells nobody that it is there or gone; what can be seen are two files in its folder: its socket, which it
 * makes anew whenever it starts, after removing everything else there, and ours. So nothing is remembered of events:
 * on every turn both are looked at, and what is not as it should be is put right. Our socket is gone: bind another one.
 * Kubelet's socket is another one than the one that we registered with: register. Events (main.c watches the folder)
 * only make the next turn come sooner.
 *
 * Registering is a promise of kubelet to call back, not more: it answers before it has tried, so a registration that
 * leads to no ListAndWatch is made again. When the stream ends while the same kubelet is there, somebody else may
 * have registered the resource: we come back, but less often each time, for two who both do so at once would keep the
 * node from ever having the devices.
 *
 * Of two plugins for one resource the second is refused: the name of the socket follows from the resource, and a
 * socket that answers is in use. A lock file would not do, as kubelet removes it. */
#define _GNU_SOURCE
#include "kube/plugin.h"

#include "kube/api.h"
#include "kube/conn.h"
#include "kube/klog.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONNS_MAX    8u
#define ANSWER_MAX   WEFT_S(10) /* For kubelet to answer a registration, */
#define FOLLOW_MAX   WEFT_S(15) /* and to call back. */
#define RETRY_MIN    WEFT_MS(250)
#define RETRY_MAX    WEFT_S(30)
#define RECLAIM_MIN  WEFT_S(2)
#define RECLAIM_MAX  WEFT_S(300)
#define STABLE_AFTER WEFT_S(60)

static_assert(CONNS_MAX + 2 == WEFT_PLUGIN_FDS_MAX, "connections, one to kubelet, a socket");

/* UNREGISTERED -> REGISTERING -> UNREGISTERED (refused) or REGISTERED -> WATCHED -> UNREGISTERED */
enum state {
	UNREGISTERED, /* Until `due`, or another kubelet. */
	REGISTERING, /* Kubelet has until `due` to answer. */
	REGISTERED, /* Kubelet has until `due` to call back. */
	WATCHED,
};

/* Tells one socket from the next of the same name. An inode number alone may be used again. */
struct identity {
	dev_t dev;
	ino_t ino;
	struct timespec ctime;
};

struct weft_plugin {
	struct weft_kube_api api; /* First: on_watch() gets back from it. */
	struct weft_grpc_service service;
	char endpoint[96], path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char kubelet[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int fd; /* owns. Listens; -1: not yet. */
	struct identity own;
	struct weft_conn conn[CONNS_MAX]; /* Kubelet's, by age. */
	uint32_t conns;
	struct weft_conn call; /* Ours to kubelet, while REGISTERING. */
	enum state state;
	weft_ns due; /* See the states. */
	weft_ns retry, reclaim; /* How long to wait after the next failure. */
	struct identity registered_with; /* The kubelet that we have tried last. */
	bool is_kubelet_there, is_registered; /* The latter: with this one. */
	uint64_t streams_before; /* Streams that had begun when we registered. */
	weft_ns now;
	weft_ns watched_since;
	uint32_t streams;
	bool fails; /* What was tried last did, and that has been said. */
};

static void set_state(struct weft_plugin *p, enum state state, weft_ns due)
{
	p->state = state;
	p->due = due;
}

static bool identify(const char *path, struct identity *identity_out)
{
	struct stat st;

	memset(identity_out, 0, sizeof(*identity_out));
	if (lstat(path, &st) || !S_ISSOCK(st.st_mode))
		return false;
	identity_out->dev = st.st_dev;
	identity_out->ino = st.st_ino;
	identity_out->ctime = st.st_ctim;
	return true;
}

static bool is_same(const struct identity *a, const struct identity *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->ctime.tv_sec == b->ctime.tv_sec &&
	       a->ctime.tv_nsec == b->ctime.tv_nsec;
}

/* Our socket */

static bool is_answered(const char *path)
{
	int fd = weft_conn_dial(path);

	if (fd >= 0)
		close(fd);
	return fd >= 0 || fd == -EAGAIN; /* -EAGAIN: so many want to talk to it. */
}

/* Amazon's plugin, which is another program with another socket, and always serves this resource. */
static bool has_rival(const struct weft_plugin *p)
{
	char path[sizeof(p->kubelet) + 32];

	if (strcmp(p->api.resource, "vpc.amazonaws.com/efa") != 0)
		return false;
	snprintf(path, sizeof(path), "%.*s/aws-efa-device-plugin.sock",
		 (int)(strrchr(p->kubelet, '/') - p->kubelet), p->kubelet);
	return is_answered(path);
}

static int bind_socket(struct weft_plugin *p)
{
	struct sockaddr_un at;
	mode_t mask;
	int err, fd;

	if (!weft_conn_address(p->path, &at))
		return -ENAMETOOLONG;
	/* One that nobody answers is left from a plugin that was killed. */
	if (!access(p->path, F_OK)) {
		if (is_answered(p->path))
			return -EADDRINUSE;
		(void)unlink(p->path);
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	mask = umask(077);
	err = bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, 16) ? -errno : 0;
	umask(mask);
	if (err || !identify(p->path, &p->own)) {
		close(fd);
		return err ? err : -ENOENT;
	}
	if (p->fd >= 0)
		close(p->fd);
	p->fd = fd;
	return 0;
}

/* 0, or the -errno of not having it. */
static int check_socket(struct weft_plugin *p)
{
	struct identity there;
	int err;

	if (p->fd >= 0 && identify(p->path, &there) && is_same(&there, &p->own))
		return 0;
	if (p->fd >= 0)
		weft_klog(WEFT_KLOG_INFO, "the socket is gone; making it again", "resource",
			  p->api.resource, "socket", p->path);
	err = bind_socket(p);
	/* Whoever knew the old one will not come any more. */
	if (!err && p->state != UNREGISTERED) {
		weft_conn_fini(&p->call);
		set_state(p, UNREGISTERED, p->now);
	}
	return err;
}

/* Registration */

static void fail(struct weft_plugin *p, const char *why)
{
	p->api.counts.registrations_failed++;
	/* Kubelet may be away for long; that is said once. */
	if (!p->fails)
		weft_klog(WEFT_KLOG_WARN, "registration failed; trying again", "resource",
			  p->api.resource, "why", why);
	p->fails = true;
	set_state(p, UNREGISTERED, p->now + p->retry);
	p->retry = WEFT_MIN(p->retry * 2, RETRY_MAX);
}

static void on_registered(void *arg, enum weft_grpc_code code, const char *why)
{
	struct weft_plugin *p = arg;
	char text[WEFT_GRPC_WHY_MAX + 32];

	if (code != WEFT_GRPC_OK) {
		snprintf(text, sizeof(text), "kubelet: %s (%d)", why, (int)code);
		fail(p, text);
		return;
	}
	weft_klog(WEFT_KLOG_INFO, "registered with kubelet", "resource", p->api.resource);
	p->api.counts.registrations++;
	p->is_registered = true;
	/* It may have been faster with its call than with its answer. */
	if (p->streams && p->api.counts.streams_begun > p->streams_before)
		set_state(p, WATCHED, WEFT_NS_NEVER);
	else
		set_state(p, REGISTERED, p->now + FOLLOW_MAX);
}

static void start_registration(struct weft_plugin *p)
{
	struct weft_pb_out request = { .len = 0 };
	struct weft_grpc *grpc;
	int fd = weft_conn_dial(p->kubelet);

	if (fd < 0) {
		fail(p, strerror(-fd));
		return;
	}
	p->streams_before = p->api.counts.streams_begun;
	weft_kube_put_register(&request, p->endpoint, p->api.resource);
	grpc = weft_grpc_call(WEFT_KUBE_REGISTER, &request, on_registered, p);
	weft_pb_free(&request);
	if (!grpc) {
		close(fd);
		fail(p, "no memory");
		return;
	}
	weft_conn_init(&p->call, fd, grpc);
	set_state(p, REGISTERING, p->now + ANSWER_MAX);
}

static void check_registration(struct weft_plugin *p)
{
	struct identity there;
	bool was_there = p->is_kubelet_there;

	p->is_kubelet_there = identify(p->kubelet, &there);
	if (!p->is_kubelet_there) {
		if (was_there)
			weft_klog(WEFT_KLOG_INFO, "kubelet is gone; waiting for it", "resource",
				  p->api.resource);
		weft_conn_fini(&p->call);
		memset(&p->registered_with, 0, sizeof(p->registered_with));
		set_state(p, UNREGISTERED, WEFT_NS_NEVER);
		return;
	}
	if (!is_same(&there, &p->registered_with)) {
		p->registered_with = there;
		p->retry = RETRY_MIN;
		p->reclaim = RECLAIM_MIN;
		p->fails = p->is_registered = false;
		weft_conn_fini(&p->call);
		set_state(p, UNREGISTERED, p->now);
	}
	if (p->now < p->due)
		return;
	switch (p->state) {
	case UNREGISTERED:
		start_registration(p);
		break;
	case REGISTERING:
		weft_conn_fini(&p->call);
		fail(p, "kubelet does not answer");
		break;
	case REGISTERED:
		fail(p, "kubelet has not called back");
		break;
	case WATCHED:
		break;
	}
}

/* Calls */

static void on_watch(struct weft_kube_api *api, bool is_begun)
{
	struct weft_plugin *p = (struct weft_plugin *)(void *)api;

	if (is_begun) {
		weft_klog(WEFT_KLOG_INFO, "kubelet is watching", "resource", api->resource);
		p->streams++;
		p->watched_since = p->now;
		/* Also when it is late, and we were about to register again. */
		if (p->is_registered && p->state != REGISTERING)
			set_state(p, WATCHED, WEFT_NS_NEVER);
	} else if (!--p->streams && p->state == WATCHED) {
		weft_klog(WEFT_KLOG_WARN, "kubelet has stopped watching; it has devices no more",
			  "resource", api->resource);
		if (p->now - p->watched_since > STABLE_AFTER)
			p->reclaim = RECLAIM_MIN;
		set_state(p, UNREGISTERED, p->now + p->reclaim);
		p->reclaim = WEFT_MIN(p->reclaim * 2, RECLAIM_MAX);
	}
	api->counts.is_connected = p->streams > 0;
}

static void drop(struct weft_plugin *p, uint32_t index)
{
	struct weft_conn *c = &p->conn[index];

	/* Destroyed, its streams do not say that they end. */
	for (uint32_t n = weft_grpc_streams(c->grpc); n; n--)
		on_watch(&p->api, false);
	weft_conn_fini(c);
	memmove(c, c + 1, (--p->conns - index) * sizeof(*c));
}

static void take(struct weft_plugin *p)
{
	int fd = accept4(p->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct weft_grpc *grpc;
	uint32_t oldest = 0;

	if (fd < 0)
		return;
	/* The oldest gives way, but not one that is watching, if there is another. */
	if (p->conns == CONNS_MAX) {
		while (oldest < CONNS_MAX - 1 && weft_grpc_streams(p->conn[oldest].grpc))
			oldest++;
		drop(p, oldest);
	}
	grpc = weft_grpc_serve(&p->service);
	if (!grpc) {
		close(fd);
		return;
	}
	weft_conn_init(&p->conn[p->conns++], fd, grpc);
}

/* Outside */

static bool set_paths(struct weft_plugin *p, const char *dir, const char *resource)
{
	int n = snprintf(p->endpoint, sizeof(p->endpoint), "weft-%s.sock", resource);

	if (n < 0 || n >= (int)sizeof(p->endpoint))
		return false;
	for (char *c = p->endpoint; *c; c++)
		*c = *c == '/' ? '_' : *c;
	n = snprintf(p->path, sizeof(p->path), "%s/%s", dir, p->endpoint);
	if (n < 0 || n >= (int)sizeof(p->path))
		return false;
	n = snprintf(p->kubelet, sizeof(p->kubelet), "%s/kubelet.sock", dir);
	return n > 0 && n < (int)sizeof(p->kubelet);
}

static void explain(const struct weft_plugin *p, int err, char *why, size_t len)
{
	if (err == -EBUSY)
		snprintf(why, len, "Amazon's plugin serves %s here: take another name (--resource)",
			 p->api.resource);
	else if (err == -EADDRINUSE)
		snprintf(why, len, "another plugin serves %s: %s answers", p->api.resource,
			 p->path);
	else
		snprintf(why, len, "cannot listen at %s: %s", p->path, strerror(-err));
}

int weft_plugin_open(const char *dir, const char *resource, const struct weft_kube_source *source,
		     struct weft_plugin **plugin_out, char *why, size_t len)
{
	struct weft_plugin *p = calloc(1, sizeof(*p));
	int err;

	if (!p) {
		snprintf(why, len, "no memory");
		return -ENOMEM;
	}
	p->fd = p->call.fd = -1;
	p->retry = RETRY_MIN;
	p->reclaim = RECLAIM_MIN;
	p->api = (struct weft_kube_api){ .resource = resource,
					 .source = source,
					 .on_watch = on_watch };
	p->service = weft_kube_service(&p->api);
	if (!set_paths(p, dir, resource)) {
		snprintf(why, len, "%s/weft-%s.sock is too long for the name of a socket", dir,
			 resource);
		err = -ENAMETOOLONG;
	} else {
		err = has_rival(p) ? -EBUSY : bind_socket(p);
		if (err)
			explain(p, err, why, len);
	}
	/* Kubelet makes the folder, perhaps only later. */
	if (err && err != -ENOENT) {
		free(p);
		return err;
	}
	*plugin_out = p;
	return 0;
}

void weft_plugin_close(struct weft_plugin *p)
{
	struct identity there;

	p->state = UNREGISTERED; /* That kubelet watches no longer is no news now. */
	while (p->conns)
		drop(p, 0);
	weft_conn_fini(&p->call);
	if (p->fd >= 0) {
		if (identify(p->path, &there) && is_same(&there, &p->own))
			(void)unlink(p->path);
		close(p->fd);
	}
	free(p);
}

uint32_t weft_plugin_wait(struct weft_plugin *p, struct pollfd *fds, weft_ns *until)
{
	uint32_t n = 0;

	fds[n++] = (struct pollfd){ .fd = p->fd, .events = POLLIN };
	fds[n++] = weft_conn_wait(&p->call); /* poll() passes over what is not there. */
	for (uint32_t i = 0; i < p->conns; i++)
		fds[n++] = weft_conn_wait(&p->conn[i]);
	*until = WEFT_MIN(*until, p->due);
	return n;
}

static void turn_call(struct weft_plugin *p, short events)
{
	if (p->call.fd < 0)
		return;
	if (!weft_conn_turn(&p->call, events) && p->state == REGISTERING)
		fail(p, "kubelet has closed the connection");
	if (p->state != REGISTERING)
		weft_conn_fini(&p->call);
}

/* As long as kubelet has not made its folder. */
static void wait_for_socket(struct weft_plugin *p, int err)
{
	if (!p->fails)
		weft_klog(WEFT_KLOG_WARN, "no socket yet; trying again", "resource",
			  p->api.resource, "socket", p->path, "why", strerror(-err));
	p->fails = true;
	set_state(p, UNREGISTERED, p->now + WEFT_S(1));
}

int weft_plugin_turn(struct weft_plugin *p, const struct pollfd *fds, weft_ns now)
{
	uint32_t conns = p->conns;
	int err;

	p->now = now;
	for (uint32_t i = conns; i-- > 0;)
		if (!weft_conn_turn(&p->conn[i], fds[2 + i].revents))
			drop(p, i);
	turn_call(p, fds[1].revents);
	if (fds[0].revents)
		take(p);
	err = check_socket(p);
	if (!err && p->state == UNREGISTERED && now >= p->due && has_rival(p))
		err = -EBUSY;
	if (err == -EADDRINUSE || err == -EBUSY)
		return err;
	if (err)
		wait_for_socket(p, err);
	else
		check_registration(p);
	turn_call(p, 0); /* A call that has just begun has something to send. */
	return 0;
}

void weft_plugin_notify(struct weft_plugin *p)
{
	for (uint32_t i = 0; i < p->conns; i++)
		weft_grpc_notify(p->conn[i].grpc);
}

const char *weft_plugin_resource(const struct weft_plugin *p)
{
	return p->api.resource;
}

const struct weft_kube_source *weft_plugin_source(const struct weft_plugin *p)
{
	return p->api.source;
}

struct weft_kube_counts weft_plugin_counts(const struct weft_plugin *p)
{
	return p->api.counts;
}
