/* SPDX-License-Identifier: BSD-2-Clause */
/* One mechanism for all ways to start: two ends of a ping-pong, hosts of a list, processes of one machine and ranks of
 * mpirun are members of a group, told the same frames over a connection of their own. The group moves in step: all
 * members answer, then all are told to go on.
 *
 * When a member fails, others soon complain that they hear nothing. So after the first complaint the group listens a
 * little longer, and then names the member that is to blame: one that died before one that complained. */
#define _GNU_SOURCE
#include "perf/group.h"

#include "perf/fab.h"
#include "perf/talk.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECOND        1000000000ull
#define FRAME_NS      (10 * SECOND) /* For what has begun to come. */
#define CONNECT_NS    (10 * SECOND)
#define HELLO_NS      (60 * SECOND)
#define BLAME_NS      (SECOND / 2)
#define SLOW_MEMORY   100000000ull /* Bytes of a message in a second. */
#define NS_MIN        1e-15 /* Bandwidths stay finite. */
#define NS_MAX        1e18 /* 30 years. */
#define CARD_ADDR_LEN sizeof(struct weft_fab_addr)

struct member {
	int fd;
	pid_t pid; /* Of a process that we made; 0: of another. */
	const char *host;
	bool has_answered, is_dead;
	uint64_t heard; /* When it last said something. */
	char complaint[512];
	struct weft_fab_addr *addr; /* Of its cards. Owned. */
};

struct run {
	struct weft_group *group;
	struct weft_perf_run *out;
	struct member member[WEFT_PERF_RANKS_MAX];
	uint32_t ranks;
	uint64_t slowest_ns; /* Of the last word of all. */
	struct weft_perf_row row; /* Summed up over members. */
	char *why;
	size_t why_len;
};

union body {
	struct weft_perf_row row;
	struct {
		struct weft_perf_member member;
		struct weft_fab_addr addr[WEFT_PERF_CARDS_MAX];
	} hello;
	uint64_t ns;
	char text[512];
};

void weft_group_init(struct weft_group *group, const struct weft_perf_job *job)
{
	*group = (struct weft_group){ .job = *job, .port = WEFT_PERF_PORT };
	for (uint32_t i = 0; i < WEFT_PERF_RANKS_MAX; i++)
		group->fd[i] = -1;
}

static void name_member(const struct run *r, uint32_t i, char *out, size_t len)
{
	const char *host = r->member[i].host;

	if (!host && r->out->members[i].host[0])
		host = r->out->members[i].host;
	snprintf(out, len, "rank %u (%s)", i, host ? host : "of this host");
}

/* How a process of ours ended, if it has. */
static void how_it_ended(struct member *m, char *out, size_t len)
{
	int status;

	snprintf(out, len, "ended without a word");
	if (!m->pid || waitpid(m->pid, &status, WNOHANG) != m->pid)
		return;
	m->pid = 0;
	if (WIFSIGNALED(status))
		snprintf(out, len, "was killed by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
}

static void hear_out(struct run *r, uint32_t i)
{
	struct member *m = &r->member[i];
	union body body = { 0 };
	uint32_t type = 0;
	size_t len = 0;

	if (m->fd < 0 || m->is_dead || m->complaint[0])
		return;
	if (weft_talk_get(m->fd, &type, &body, sizeof(body), &len, BLAME_NS)) {
		m->is_dead = true;
	} else if (type == WEFT_TALK_ERROR) {
		len = len < sizeof(body.text) ? len : sizeof(body.text) - 1;
		for (size_t k = 0; k < len; k++)
			m->complaint[k] = body.text[k] < ' ' ? ' ' : body.text[k];
	}
}

/* A member has failed: which one is to blame? Always false. */
static bool blame(struct run *r)
{
	uint64_t end = weft_talk_now() + BLAME_NS;
	char name[128], how[128];

	do {
		struct pollfd p[WEFT_PERF_RANKS_MAX];

		for (uint32_t i = 0; i < r->ranks; i++)
			p[i] = (struct pollfd){
				.fd = r->member[i].is_dead || r->member[i].complaint[0]
					      ? -1
					      : r->member[i].fd,
				.events = POLLIN,
			};
		if (poll(p, r->ranks, 50) > 0)
			for (uint32_t i = 0; i < r->ranks; i++)
				if (p[i].revents)
					hear_out(r, i);
	} while (weft_talk_now() < end);
	for (uint32_t i = 0; i < r->ranks; i++) {
		if (!r->member[i].is_dead)
			continue;
		name_member(r, i, name, sizeof(name));
		how_it_ended(&r->member[i], how, sizeof(how));
		snprintf(r->why, r->why_len, "%s %s", name, how);
		return false;
	}
	for (uint32_t i = 0; i < r->ranks; i++) {
		if (!r->member[i].complaint[0])
			continue;
		name_member(r, i, name, sizeof(name));
		snprintf(r->why, r->why_len, "%s: %s", name, r->member[i].complaint);
		return false;
	}
	return false;
}

/* Text of the other end: terminated, printable, and one field of CSV. */
static void clean(char text[WEFT_PERF_NAME_MAX])
{
	text[WEFT_PERF_NAME_MAX - 1] = 0;
	for (char *p = text; *p; p++)
		if (*p < ' ' || *p > '~' || *p == ',' || *p == '"')
			*p = '?';
}

static bool take_hello(struct run *r, uint32_t i, const union body *body, size_t len)
{
	struct weft_perf_member *m = &r->out->members[i];
	char *const texts[] = { m->host, m->kernel, m->weft,      m->provider,
				m->card, m->fabric, m->libfabric, m->arch };

	*m = body->hello.member;
	for (size_t k = 0; k < WEFT_ARRAY_SIZE(texts); k++)
		clean(texts[k]);
	if (len < sizeof(*m) || !m->cards || m->cards > WEFT_PERF_CARDS_MAX ||
	    len != sizeof(*m) + m->cards * CARD_ADDR_LEN)
		return false;
	r->member[i].addr = malloc(m->cards * CARD_ADDR_LEN);
	if (!r->member[i].addr)
		return false;
	memcpy(r->member[i].addr, body->hello.addr, m->cards * CARD_ADDR_LEN);
	return true;
}

static void stat_merge(struct weft_perf_stat *all, const struct weft_perf_stat *one, uint32_t ranks)
{
	all->iterations = one->iterations;
	all->total_ns = one->total_ns > all->total_ns ? one->total_ns : all->total_ns;
	all->mean_ns += one->mean_ns / ranks;
	all->min_ns = all->min_ns == 0 || one->min_ns < all->min_ns ? one->min_ns : all->min_ns;
	all->max_ns = one->max_ns > all->max_ns ? one->max_ns : all->max_ns;
	all->p50_ns = one->p50_ns > all->p50_ns ? one->p50_ns : all->p50_ns;
	all->p99_ns = one->p99_ns > all->p99_ns ? one->p99_ns : all->p99_ns;
	all->p999_ns = one->p999_ns > all->p999_ns ? one->p999_ns : all->p999_ns;
	all->cov = one->cov > all->cov ? one->cov : all->cov;
}

/* Times that can be, in nanoseconds: no infinity and no NaN, which JSON does not know. */
static bool stat_check(const struct weft_perf_stat *s)
{
	const double values[] = { s->mean_ns, s->min_ns,  s->max_ns, s->p50_ns,
				  s->p99_ns,  s->p999_ns, s->cov };

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(values); i++)
		if (values[i] != 0 && !(values[i] >= NS_MIN && values[i] <= NS_MAX))
			return false;
	return true;
}

/* Of a pair the first rank has the figures. Of a collective: the mean time of all ranks, as nccl-tests does, and the
 * percentiles of the slowest. */
static bool take_row(struct run *r, uint32_t i, const union body *body, size_t len)
{
	bool all = weft_perf_is_collective(r->group->job.test);

	if (len != sizeof(body->row))
		return false;
	for (uint32_t p = 0; p < WEFT_PERF_PASSES; p++) {
		if (!stat_check(&body->row.pass[p]))
			return false;
		r->row.wrong[p] += body->row.wrong[p];
		if (all || i == 0)
			stat_merge(&r->row.pass[p], &body->row.pass[p], all ? r->ranks : 1);
	}
	return true;
}

/* False: it is to blame, or another one. Its answer, or only a sign of life: has_answered. */
static bool take(struct run *r, uint32_t i, enum weft_talk_type want)
{
	struct member *m = &r->member[i];
	static union body body;
	uint32_t type = 0;
	bool ok = true;
	size_t len = 0;

	memset(&body, 0, sizeof(body));
	if (weft_talk_get(m->fd, &type, &body, sizeof(body), &len, FRAME_NS)) {
		m->is_dead = true;
		return false;
	}
	m->heard = weft_talk_now();
	if (type == WEFT_TALK_ALIVE && want != WEFT_TALK_HELLO)
		return true;
	if (type == WEFT_TALK_ERROR) {
		body.text[len < sizeof(body.text) ? len : sizeof(body.text) - 1] = 0;
		for (char *p = body.text; *p; p++)
			*p = *p < ' ' ? ' ' : *p;
		snprintf(m->complaint, sizeof(m->complaint), "%s", body.text);
		return false;
	}
	if (type != want)
		ok = false;
	else if (want == WEFT_TALK_HELLO)
		ok = take_hello(r, i, &body, len);
	else if (want == WEFT_TALK_ROW)
		ok = take_row(r, i, &body, len);
	else if (len == sizeof(body.ns) && body.ns > r->slowest_ns)
		r->slowest_ns = body.ns;
	m->has_answered = true;
	if (!ok)
		snprintf(m->complaint, sizeof(m->complaint), "what it says makes no sense");
	return ok;
}

/* What members do with their memory by themselves takes time. */
static uint64_t patience(const struct weft_perf_job *job)
{
	return job->timeout_ns + SECOND + job->bytes_max * SECOND / SLOW_MEMORY;
}

static bool complain_missing(struct run *r, uint64_t waited_ns)
{
	uint32_t missing = 0;
	char more[32] = "";

	for (uint32_t i = 0; i < r->ranks; i++)
		missing += !r->member[i].has_answered;
	if (missing > 1)
		snprintf(more, sizeof(more), ", nor from %u more", missing - 1);
	for (uint32_t i = 0; i < r->ranks; i++)
		if (!r->member[i].has_answered)
			snprintf(r->member[i].complaint, sizeof(r->member[i].complaint),
				 "no word for %.3g s%s", (double)waited_ns / 1e9, more);
	return blame(r);
}

/* Has nobody been heard of for so long? A host that is frozen, or whose network is, still has a kernel that answers for its
 * connection. */
static bool is_silent(const struct run *r, uint64_t now, uint64_t limit_ns)
{
	for (uint32_t i = 0; i < r->ranks; i++)
		if (!r->member[i].has_answered && now > r->member[i].heard + limit_ns)
			return true;
	return false;
}

/* Takes what has come. False: `why` says what is wrong. */
static bool take_all(struct run *r, enum weft_talk_type want, uint32_t *missing)
{
	struct pollfd p[WEFT_PERF_RANKS_MAX];

	for (uint32_t i = 0; i < r->ranks; i++)
		p[i] = (struct pollfd){
			.fd = r->member[i].fd,
			/* Its next word may be here already, and has to wait. */
			.events = r->member[i].has_answered ? POLLRDHUP : POLLIN,
		};
	if (poll(p, r->ranks, 200) < 0)
		return errno == EINTR;
	for (uint32_t i = 0; i < r->ranks; i++) {
		if (!p[i].revents)
			continue;
		if (r->member[i].has_answered || !take(r, i, want))
			return blame(r);
		*missing -= r->member[i].has_answered;
	}
	return true;
}

/* One frame of each member. How long the first one takes is the business of the members, who notice when nothing moves, and
 * say that they are alive; the others have to follow. */
static bool collect(struct run *r, enum weft_talk_type want)
{
	uint64_t limit = want == WEFT_TALK_HELLO ? HELLO_NS : patience(&r->group->job);
	uint64_t now = weft_talk_now(), end = UINT64_MAX;
	uint32_t missing = r->ranks;

	r->slowest_ns = 0;
	for (uint32_t i = 0; i < r->ranks; i++) {
		r->member[i].has_answered = false;
		r->member[i].heard = now;
	}
	while (missing) {
		if (!take_all(r, want, &missing))
			return false;
		now = weft_talk_now();
		if (missing < r->ranks && end == UINT64_MAX)
			end = now + limit;
		if (missing && (now > end || is_silent(r, now, limit)))
			return complain_missing(r, limit);
	}
	return true;
}

static bool tell(struct run *r, enum weft_talk_type type, const void *body, size_t len)
{
	for (uint32_t i = 0; i < r->ranks; i++)
		if (weft_talk_put(r->member[i].fd, type, body, len)) {
			/* It may have said why before it hung up. */
			hear_out(r, i);
			return blame(r);
		}
	return true;
}

/* Starting */

static bool start_here(struct run *r, uint32_t i)
{
	struct member *m = &r->member[i];
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
		snprintf(r->why, r->why_len, "socketpair: %s", strerror(errno));
		return false;
	}
	m->fd = pair[0];
	m->pid = fork();
	if (!m->pid) {
		char address[32];

		snprintf(address, sizeof(address), "127.0.0.%u", i % 250 + 2);
		if (r->group->is_spread)
			setenv("WEFT_ADDR", address, 1);
		/* Results are the group's to print, and what libraries say is no result. */
		if (dup2(pair[1], 0) < 0 || dup2(2, 1) < 0)
			_exit(127);
		execv(r->group->rank_argv[0], r->group->rank_argv);
		_exit(127);
	}
	close(pair[1]);
	if (m->pid < 0) {
		m->pid = 0;
		snprintf(r->why, r->why_len, "fork: %s", strerror(errno));
		return false;
	}
	return true;
}

static bool start(struct run *r, uint32_t i)
{
	struct weft_group *g = r->group;
	struct member *m = &r->member[i];

	m->host = g->host[i];
	if (g->fd[i] >= 0) {
		m->fd = g->fd[i];
		g->fd[i] = -1;
		return true;
	}
	if (!m->host)
		return start_here(r, i);
	m->fd = weft_talk_connect(m->host, g->port, CONNECT_NS, r->why, r->why_len);
	return m->fd >= 0;
}

/* A rank of this host that talks through a pair of sockets has no address of its own: it is the one by which this host
 * reaches the others, or loopback where there are none. */
static void choose_source(const struct run *r, uint32_t i, struct weft_perf_job *job)
{
	char address[WEFT_PERF_NAME_MAX] = "";

	weft_talk_address(r->member[i].fd, false, address, sizeof(address));
	if (address[0] || job->source[0])
		return;
	for (uint32_t k = 0; k < r->ranks && !address[0]; k++)
		weft_talk_address(r->member[k].fd, false, address, sizeof(address));
	snprintf(job->source, sizeof(job->source), "%s", address[0] ? address : "127.0.0.1");
}

static bool start_all(struct run *r)
{
	uint32_t here = 0;
	cpu_set_t cpus;

	for (uint32_t i = 0; i < r->ranks; i++) {
		if (!start(r, i))
			return false;
		here += r->member[i].pid != 0;
	}
	if (!sched_getaffinity(0, sizeof(cpus), &cpus) && here > (uint32_t)CPU_COUNT(&cpus))
		r->group->job.is_crowded = 1;
	for (uint32_t i = 0; i < r->ranks; i++) {
		struct weft_perf_job job = r->group->job;

		job.rank = i;
		choose_source(r, i, &job);
		if (weft_talk_put(r->member[i].fd, WEFT_TALK_JOB, &job, sizeof(job))) {
			hear_out(r, i);
			return blame(r);
		}
	}
	return true;
}

static bool introduce(struct run *r)
{
	const struct weft_perf_member *first = &r->out->members[0];
	uint32_t cards = WEFT_PERF_CARDS_MAX;
	struct weft_fab_addr *all;
	bool ok;

	for (uint32_t i = 0; i < r->ranks; i++) {
		const struct weft_perf_member *m = &r->out->members[i];

		if (strcmp(m->provider, first->provider) != 0) {
			snprintf(r->why, r->why_len,
				 "%s would use %s and %s would use %s: name one with -p",
				 first->host, first->provider, m->host, m->provider);
			return false;
		}
		cards = m->cards < cards ? m->cards : cards;
	}
	all = calloc(WEFT_MAX((size_t)r->ranks * cards, 1), sizeof(*all));
	if (!all) {
		snprintf(r->why, r->why_len, "out of memory");
		return false;
	}
	for (uint32_t i = 0; i < r->ranks; i++)
		memcpy(all + (size_t)i * cards, r->member[i].addr, cards * sizeof(*all));
	ok = tell(r, WEFT_TALK_PEERS, all, r->ranks * cards * sizeof(*all));
	free(all);
	return ok;
}

/* The measurement */

static bool run_pass(struct run *r, uint64_t bytes, uint32_t pass)
{
	struct weft_group *g = r->group;
	uint32_t n = g->job.warmup;

	if (g->on_step)
		g->on_step(g->arg, bytes, pass);
	/* Without, nobody knows how long an iteration takes. */
	if (!n && !g->job.iterations)
		n = 1;
	if (!collect(r, WEFT_TALK_READY) || !tell(r, WEFT_TALK_GO, &n, sizeof(n)) ||
	    !collect(r, WEFT_TALK_READY))
		return false;
	n = weft_perf_fit(&g->job, r->slowest_ns);
	if (!tell(r, WEFT_TALK_GO, &n, sizeof(n)))
		return false;
	return !g->job.is_checked ||
	       (collect(r, WEFT_TALK_READY) && tell(r, WEFT_TALK_GO, &n, sizeof(n)));
}

static bool run_all(struct run *r)
{
	struct weft_group *g = r->group;

	for (uint64_t b = 0; (b = weft_perf_next_size(&g->job, b));) {
		memset(&r->row, 0, sizeof(r->row));
		r->row.bytes = b;
		for (uint32_t pass = 0; pass < weft_perf_passes(g->job.test); pass++)
			if (!run_pass(r, b, pass))
				return false;
		if (!collect(r, WEFT_TALK_ROW))
			return false;
		if (g->job.test == WEFT_PERF_PINGPONG)
			weft_perf_stat_scale(&r->row.pass[0], 0.5);
		r->out->row[r->out->rows++] = r->row;
		if (g->on_row)
			g->on_row(g->arg, r->out, &r->row);
	}
	return tell(r, WEFT_TALK_END, NULL, 0);
}

/* Processes that are done get a moment to leave by themselves. */
static void end_all(struct run *r, bool is_good)
{
	uint64_t end = weft_talk_now() + (is_good ? 5 * SECOND : 0);

	for (uint32_t i = 0; i < r->ranks; i++) {
		struct member *m = &r->member[i];
		struct pollfd p = { .fd = m->fd, .events = POLLIN };
		uint64_t now = weft_talk_now();

		if (m->fd >= 0 && is_good && now < end)
			poll(&p, 1, (int)((end - now) / 1000000));
		if (m->pid && m->pid != waitpid(m->pid, NULL, WNOHANG)) {
			/* Without a word it is in the middle of leaving, or hangs. */
			if (!p.revents)
				kill(m->pid, SIGKILL);
			waitpid(m->pid, NULL, 0);
		}
		if (m->fd >= 0)
			close(m->fd);
		free(m->addr);
	}
	for (uint32_t i = 0; i < WEFT_PERF_RANKS_MAX; i++)
		if (r->group->fd[i] >= 0)
			close(r->group->fd[i]);
}

bool weft_group_run(struct weft_group *group, struct weft_perf_run *run_out, char *why, size_t len)
{
	struct run *r = calloc(1, sizeof(*r));
	bool ok;

	if (!r) {
		snprintf(why, len, "out of memory");
		return false;
	}
	memset(run_out, 0, sizeof(*run_out));
	run_out->job = group->job;
	run_out->date = time(NULL);
	r->group = group;
	r->out = run_out;
	r->ranks = group->job.ranks;
	r->why = why;
	r->why_len = len;
	snprintf(why, len, "the group fell apart");
	for (uint32_t i = 0; i < WEFT_PERF_RANKS_MAX; i++)
		r->member[i].fd = -1;
	ok = weft_perf_job_check(&group->job, why, len) && start_all(r) &&
	     collect(r, WEFT_TALK_HELLO) && introduce(r);
	if (ok && group->on_begin)
		group->on_begin(group->arg, run_out);
	ok = ok && run_all(r);
	end_all(r, ok);
	free(r);
	return ok;
}
