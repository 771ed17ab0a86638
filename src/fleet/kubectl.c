/* SPDX-License-Identifier: BSD-2-Clause */
/* kubectl as a child.
 *
 * Nodes and pods are two commands: a selector of nodes must not select pods, whoever may not list the one learns which,
 * and pods that have ended need not be sent at all. Both run at the same time; kubectl
 * prints when it has everything.
 *
 * A child is a process group of its own, because kubectl starts helpers that log in (aws eks get-token), which would
 * outlive it; it gets no terminal to ask questions on, and ends with us. */
#define _GNU_SOURCE
#include "fleet/kubectl.h"

#include "advice/jsonlist.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHILDREN 2u
#define ARGS_MAX 20u
#define SAID_MAX 4096u
#define BLOCK    65536u

struct child {
	const char *what; /* "nodes" */
	pid_t pid; /* 0: none, or gone. */
	int out, err; /* -1: closed */
	int status;
	struct weft_jsonlist *list; /* owns */
	bool bad; /* Its JSON is none; what it says on stderr goes before that. */
	char said[SAID_MAX]; /* The end of stderr. */
	size_t said_len;
};

struct weft_kubectl {
	const struct weft_kubectl_options *options;
	struct weft_fleet *fleet;
	struct child child[CHILDREN];
	uint32_t children;
	weft_ns end;
	bool failed;
	char why[700];
	char block[BLOCK];
};

static weft_ns now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (weft_ns)now.tv_sec * 1000000000u + (weft_ns)now.tv_nsec;
}

/* Start */

struct args {
	const char *arg[ARGS_MAX];
	uint32_t count;
};

static void arg(struct args *a, const char *name, const char *value)
{
	a->arg[a->count++] = name;
	if (value)
		a->arg[a->count++] = value;
}

static struct args args_of(const struct weft_kubectl_options *o, bool pods)
{
	struct args a = { .count = 0 };

	arg(&a, "kubectl", NULL);
	if (o->kubeconfig)
		arg(&a, "--kubeconfig", o->kubeconfig);
	if (o->context)
		arg(&a, "--context", o->context);
	arg(&a, "get", pods ? "pods" : "nodes");
	arg(&a, "-o", "json");
	if (!pods && o->selector)
		arg(&a, "-l", o->selector);
	if (pods && o->namespace)
		arg(&a, "--namespace", o->namespace);
	else if (pods)
		arg(&a, "--all-namespaces", NULL);
	if (pods)
		arg(&a, "--field-selector", "status.phase!=Succeeded,status.phase!=Failed");
	return a;
}

/* In the child; never returns. */
static void become(const struct args *a, pid_t parent, int out, int err, int report)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC), why;

	(void)setpgid(0, 0);
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	(void)signal(SIGPIPE, SIG_DFL);
	if (getppid() == parent && null >= 0 && dup2(null, 0) >= 0 && dup2(out, 1) >= 0 &&
	    dup2(err, 2) >= 0)
		execvp(a->arg[0], (char *const *)a->arg);
	why = errno;
	if (write(report, &why, sizeof(why)) < 0)
		_exit(126);
	_exit(127);
}

static void close_pair(int fd[2])
{
	close(fd[0]);
	close(fd[1]);
}

/* 0, or an errno. */
static int spawn(struct child *c, const struct args *a)
{
	int out[2], err[2], report[2], why = 0;
	pid_t parent = getpid();

	if (pipe2(out, O_CLOEXEC))
		return errno;
	if (pipe2(err, O_CLOEXEC)) {
		why = errno;
		goto err_out;
	}
	if (pipe2(report, O_CLOEXEC)) {
		why = errno;
		goto err_err;
	}
	c->pid = fork();
	if (c->pid < 0) {
		why = errno;
		c->pid = 0;
		close_pair(report);
		goto err_err;
	}
	if (!c->pid)
		become(a, parent, out[1], err[1], report[1]);
	/* Both set it, or a kill might come before the group. */
	(void)setpgid(c->pid, c->pid);
	close(report[1]);
	if (read(report[0], &why, sizeof(why)) != (ssize_t)sizeof(why))
		why = 0;
	close(report[0]);
	if (why) {
		(void)waitpid(c->pid, NULL, 0);
		c->pid = 0;
		goto err_err;
	}
	close(out[1]);
	close(err[1]);
	(void)fcntl(out[0], F_SETFL, O_NONBLOCK);
	(void)fcntl(err[0], F_SETFL, O_NONBLOCK);
	c->out = out[0];
	c->err = err[0];
	return 0;
err_err:
	close_pair(err);
err_out:
	close_pair(out);
	return why;
}

struct weft_kubectl *weft_kubectl_start(const struct weft_kubectl_options *options,
					struct weft_fleet *fleet, char *why, size_t len)
{
	struct weft_kubectl *k = calloc(1, sizeof(*k));
	int err = k ? 0 : ENOMEM;

	if (k) {
		k->options = options;
		k->fleet = fleet;
		k->end = now_ns() + options->timeout;
		k->children = options->pods ? 2 : 1;
	}
	for (uint32_t i = 0; k && i < k->children; i++)
		k->child[i].out = k->child[i].err = -1;
	for (uint32_t i = 0; k && i < k->children && !err; i++) {
		struct args a = args_of(options, i > 0);

		k->child[i].what = i ? "pods" : "nodes";
		k->child[i].list = weft_jsonlist_create(weft_fleet_add, fleet);
		err = k->child[i].list ? spawn(&k->child[i], &a) : ENOMEM;
	}
	if (!err)
		return k;
	if (err == ENOENT)
		snprintf(why, len,
			 "there is no kubectl on PATH; install it, or give --k8s-json what it "
			 "printed elsewhere");
	else
		snprintf(why, len, "cannot run kubectl: %s", strerror(err));
	weft_kubectl_close(k);
	return NULL;
}

/* Reading */

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void read_out(struct weft_kubectl *k, struct child *c)
{
	ssize_t got = read(c->out, k->block, sizeof(k->block));

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		c->bad |= !weft_jsonlist_end(c->list);
		close_fd(&c->out);
	} else if (!c->bad) {
		c->bad = !weft_jsonlist_feed(c->list, k->block, (size_t)got);
	}
}

static void read_err(struct weft_kubectl *k, struct child *c)
{
	ssize_t got = read(c->err, k->block, sizeof(c->said) / 2);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		close_fd(&c->err);
		return;
	}
	/* The end says what was the matter. */
	if (c->said_len + (size_t)got >= sizeof(c->said)) {
		size_t keep = sizeof(c->said) - 1 - (size_t)got;

		memmove(c->said, c->said + c->said_len - keep, keep);
		c->said_len = keep;
	}
	memcpy(c->said + c->said_len, k->block, (size_t)got);
	c->said_len += (size_t)got;
	c->said[c->said_len] = '\0';
}

/* What went wrong */

static void fail(struct weft_kubectl *k, const char *what, const char *why, const char *hint)
{
	if (k->failed)
		return;
	k->failed = true;
	snprintf(k->why, sizeof(k->why), "kubectl get %s: %.400s%s%s", what, why, *hint ? "; " : "",
		 hint);
	for (char *c = k->why; *c; c++)
		if (*c < 0x20 || *c >= 0x7f)
			*c = '?';
}

static const char *last_line(char *text)
{
	char *line;

	for (size_t len = strlen(text); len && strchr("\r\n \t", text[len - 1]); len--)
		text[len - 1] = '\0';
	line = strrchr(text, '\n');
	return line ? line + 1 : text;
}

static const char *hint_for(const char *said)
{
	static const struct {
		const char *word, *hint;
	} hints[] = {
		{ "pods is forbidden", "--namespace takes those of one namespace, --no-pods none" },
		{ "orbidden", "your user may not list them; give --k8s-json what the kubectl of "
			      "one who may has printed" },
		{ "nauthorized", "log in to the cluster again" },
		{ "must be logged in", "log in to the cluster again" },
		{ "context", "kubectl config get-contexts says which there are" },
		{ "localhost:8080", "no cluster is configured: --kubeconfig, or KUBECONFIG" },
		{ "refused", "is the cluster up, and the context the right one?" },
		{ "nable to connect", "is the cluster up, and the context the right one?" },
	};

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(hints); i++)
		if (strstr(said, hints[i].word))
			return hints[i].hint;
	return "";
}

/* It is gone, and both its pipes are empty. */
static void judge(struct weft_kubectl *k, struct child *c)
{
	char text[64];

	if (k->fleet->failed) {
		fail(k, c->what, k->fleet->why, "");
	} else if (WIFSIGNALED(c->status)) {
		snprintf(text, sizeof(text), "ended by signal %d", WTERMSIG(c->status));
		fail(k, c->what, text, "");
	} else if (WEXITSTATUS(c->status)) {
		const char *line = last_line(c->said);

		snprintf(text, sizeof(text), "exit status %d, and not a word",
			 WEXITSTATUS(c->status));
		fail(k, c->what, *line ? line : text, hint_for(line));
	} else if (c->bad) {
		fail(k, c->what, weft_jsonlist_why(c->list), "");
	}
}

static void end_child(struct child *c)
{
	if (c->pid) {
		(void)kill(-c->pid, SIGKILL);
		(void)waitpid(c->pid, NULL, 0);
		c->pid = 0;
	}
	close_fd(&c->out);
	close_fd(&c->err);
}

/* Where nobody waits for children (SIGCHLD is ignored) how it ended is not to be had; what it printed is. */
static bool has_ended(struct child *c)
{
	pid_t got = waitpid(c->pid, &c->status, WNOHANG);

	return got == c->pid || (got < 0 && errno == ECHILD);
}

static void wait_for_data(struct weft_kubectl *k, weft_ns longest)
{
	struct pollfd fd[2 * CHILDREN];
	uint32_t count = 0;
	int ms;

	for (uint32_t i = 0; i < k->children; i++) {
		struct child *c = &k->child[i];

		if (c->out >= 0)
			fd[count++] = (struct pollfd){ .fd = c->out, .events = POLLIN };
		if (c->err >= 0)
			fd[count++] = (struct pollfd){ .fd = c->err, .events = POLLIN };
	}
	/* One whose pipes are closed but that has not ended is asked now and then. */
	ms = (int)WEFT_MIN((longest + 999999) / 1000000, (weft_ns)20);
	(void)poll(fd, count, ms);
}

enum weft_kubectl_state weft_kubectl_step(struct weft_kubectl *k, weft_ns longest)
{
	weft_ns stop = now_ns() + longest, now;
	uint32_t running;
	char text[64];

	do {
		now = now_ns();
		running = 0;
		wait_for_data(k, stop > now ? stop - now : 0);
		for (uint32_t i = 0; i < k->children; i++) {
			struct child *c = &k->child[i];

			if (c->out >= 0)
				read_out(k, c);
			if (c->err >= 0)
				read_err(k, c);
			if (c->pid && c->out < 0 && c->err < 0 && has_ended(c)) {
				c->pid = 0;
				judge(k, c);
			}
			running += c->pid != 0;
		}
		now = now_ns();
		if (running && now >= k->end) {
			snprintf(text, sizeof(text), "no answer within %.3g s",
				 (double)k->options->timeout / 1e9);
			fail(k, k->child[0].pid ? "nodes" : "pods", text,
			     "--timeout gives it more");
		}
		if (k->failed)
			return WEFT_KUBECTL_FAILED;
		if (!running)
			return WEFT_KUBECTL_DONE;
	} while (now < stop);
	return WEFT_KUBECTL_RUNNING;
}

const char *weft_kubectl_why(const struct weft_kubectl *k)
{
	return k->why;
}

void weft_kubectl_close(struct weft_kubectl *k)
{
	for (uint32_t i = 0; k && i < k->children; i++) {
		end_child(&k->child[i]);
		weft_jsonlist_destroy(k->child[i].list);
	}
	free(k);
}
