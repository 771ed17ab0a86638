/* SPDX-License-Identifier: BSD-2-Clause */
/* Workers take job numbers from a shared counter and write each result into their own pipe. What a worker
 * is busy with stands in shared memory as well, so that its parent knows which job a dead one died of. */
#include "sim/jobs.h"

#include "base/assert.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS_MAX 256u
#define NOTHING     UINT32_MAX

struct shared {
	uint32_t next; /* atomic */
	uint32_t busy_with[WORKERS_MAX];
};

struct worker {
	pid_t pid; /* 0: none. */
	int fd;
	size_t got; /* Bytes of `result` read so far. */
	struct weft_job_result result;
};

static void limit_cpu(uint32_t seconds)
{
	struct itimerval timer = { .it_value.tv_sec = seconds };

	setitimer(ITIMER_VIRTUAL, &timer, NULL);
}

static void write_all(int fd, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			exit(1); /* The parent is gone: nobody is left to tell. */
		p += n;
		len -= (size_t)n;
	}
}

static void run_job(const struct weft_jobs_cfg *cfg, uint32_t job, struct weft_job_result *r)
{
	const struct weft_job *j = &cfg->jobs[job];

	memset(r, 0, sizeof(*r));
	r->job = job;
	weft_run_seed(j->seed, j->liveness, cfg->only, cfg->trace_out, &r->run);
	if (cfg->twice) {
		uint64_t first = r->run.hash;

		weft_run_seed(j->seed, j->liveness, cfg->only, NULL, &r->run);
		r->differs = first != r->run.hash;
	}
}

/* exit() and not _exit(), so that a leak checker gets its say. */
_Noreturn static void work(const struct weft_jobs_cfg *cfg, struct shared *shared, uint32_t self,
			   int fd)
{
	static struct weft_job_result result;

	for (;;) {
		uint32_t job = __atomic_fetch_add(&shared->next, 1, __ATOMIC_RELAXED);

		if (job >= cfg->len)
			exit(0);
		__atomic_store_n(&shared->busy_with[self], job, __ATOMIC_RELEASE);
		limit_cpu(cfg->cpu_seconds_max);
		run_job(cfg, job, &result);
		limit_cpu(0);
		write_all(fd, &result, sizeof(result));
		__atomic_store_n(&shared->busy_with[self], NOTHING, __ATOMIC_RELEASE);
	}
}

static int start(const struct weft_jobs_cfg *cfg, struct shared *shared, struct worker *w,
		 uint32_t self)
{
	int fds[2];

	if (pipe(fds))
		return -errno;
	fflush(NULL);
	shared->busy_with[self] = NOTHING;
	w->pid = fork();
	if (w->pid < 0) {
		int err = errno;

		w->pid = 0;
		close(fds[0]);
		close(fds[1]);
		return -err;
	}
	if (w->pid == 0) {
		close(fds[0]);
		work(cfg, shared, self, fds[1]);
	}
	close(fds[1]);
	w->fd = fds[0];
	w->got = 0;
	return 0;
}

static void describe_end(int status, char *how, size_t size)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGVTALRM)
		snprintf(how, size, "hang: the run does not end");
	else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT)
		snprintf(how, size, "assertion failed, see above");
	else if (WIFSIGNALED(status))
		snprintf(how, size, "crashed by signal %d", WTERMSIG(status));
	else
		snprintf(how, size, "ended with status %d", WEXITSTATUS(status));
}

/* The worker's pipe is at its end. Start another one if it died and there is work left. */
static int on_end(const struct weft_jobs_cfg *cfg, struct shared *shared, struct worker *w,
		  uint32_t self)
{
	uint32_t job = __atomic_load_n(&shared->busy_with[self], __ATOMIC_ACQUIRE);
	struct weft_job_result *r = &w->result;
	int status = 0;

	close(w->fd);
	while (waitpid(w->pid, &status, 0) < 0 && errno == EINTR)
		;
	w->pid = 0;
	if (job == NOTHING && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	memset(r, 0, sizeof(*r));
	r->job = job;
	r->crashed = true;
	describe_end(status, r->how, sizeof(r->how));
	cfg->on_result(cfg->user, r);
	return start(cfg, shared, w, self);
}

static int on_readable(const struct weft_jobs_cfg *cfg, struct shared *shared, struct worker *w,
		       uint32_t self)
{
	ssize_t n = read(w->fd, (uint8_t *)&w->result + w->got, sizeof(w->result) - w->got);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (n == 0)
		return on_end(cfg, shared, w, self);
	w->got += (size_t)n;
	if (w->got == sizeof(w->result)) {
		w->got = 0;
		cfg->on_result(cfg->user, &w->result);
	}
	return 0;
}

/* False when no worker is left. */
static bool wait_for_workers(const struct weft_jobs_cfg *cfg, struct shared *shared,
			     struct worker *workers, uint32_t n, int *rc)
{
	struct pollfd fds[WORKERS_MAX];
	uint32_t who[WORKERS_MAX];
	nfds_t len = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (!workers[i].pid)
			continue;
		fds[len] = (struct pollfd){ .fd = workers[i].fd, .events = POLLIN };
		who[len++] = i;
	}
	if (!len)
		return false;
	if (poll(fds, len, 500) < 0 && errno != EINTR) {
		*rc = -errno;
		return false;
	}
	for (nfds_t i = 0; i < len && !*rc; i++)
		if (fds[i].revents)
			*rc = on_readable(cfg, shared, &workers[who[i]], who[i]);
	if (cfg->on_idle)
		cfg->on_idle(cfg->user);
	return !*rc;
}

static void stop_all(struct worker *workers, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (!workers[i].pid)
			continue;
		kill(workers[i].pid, SIGKILL);
		waitpid(workers[i].pid, NULL, 0);
		close(workers[i].fd);
	}
}

int weft_jobs_run(const struct weft_jobs_cfg *cfg)
{
	uint32_t n = WEFT_MIN(WEFT_MIN(cfg->workers, cfg->len), WORKERS_MAX);
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct worker *workers;
	int rc = 0;

	if (shared == MAP_FAILED)
		return -errno;
	workers = calloc(n ? n : 1, sizeof(*workers));
	weft_assert(workers);
	for (uint32_t i = 0; i < n && !rc; i++)
		rc = start(cfg, shared, &workers[i], i);
	while (!rc && wait_for_workers(cfg, shared, workers, n, &rc))
		;
	stop_all(workers, n);
	free(workers);
	munmap(shared, sizeof(*shared));
	return rc;
}
