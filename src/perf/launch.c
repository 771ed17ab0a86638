/* SPDX-License-Identifier: BSD-2-Clause */
/* Launchers start the same command on every host and say in variables which of them it is. Only the first rank matters:
 * the others come to it. Open MPI does not say where that is, unless all ranks are on one host.
 *
 * Launchers start each other, and variables are inherited, so the innermost counts: Slurm or SkyPilot start mpirun's
 * daemons or torchrun, not the other way round. Of Slurm the variables are those of a step: the script of a job has
 * SLURM_PROCID and SLURM_NTASKS, too, and is alone. */
#define _GNU_SOURCE
#include "perf/launch.h"

#include "base/units.h"
#include "perf/job.h"
#include "perf/talk.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_NS 60000000000ull
#define PORTS       256u

static const struct {
	const char *by, *rank, *ranks, *ranks_here, *host;
	const char *list_here; /* Instead of a number of ranks: all those of this host, by comma. */
	const char *job[2]; /* What tells jobs apart. */
} launchers[] = {
	{ "Open MPI",
	  "OMPI_COMM_WORLD_RANK",
	  "OMPI_COMM_WORLD_SIZE",
	  "OMPI_COMM_WORLD_LOCAL_SIZE",
	  NULL,
	  NULL,
	  { "PMIX_NAMESPACE", NULL } },
	{ "torchrun",
	  "RANK",
	  "WORLD_SIZE",
	  "LOCAL_WORLD_SIZE",
	  "MASTER_ADDR",
	  NULL,
	  { "MASTER_PORT", "TORCHELASTIC_RUN_ID" } },
	{ "Slurm",
	  "SLURM_PROCID",
	  "SLURM_STEP_NUM_TASKS",
	  NULL,
	  "SLURM_STEP_NODELIST",
	  "SLURM_GTIDS",
	  { "SLURM_JOB_ID", "SLURM_STEP_ID" } },
	{ "SkyPilot",
	  "SKYPILOT_NODE_RANK",
	  "SKYPILOT_NUM_NODES",
	  NULL,
	  "SKYPILOT_NODE_IPS",
	  NULL,
	  { "SKYPILOT_TASK_ID", NULL } },
};

bool weft_launch_first_host(const char *list, char out[WEFT_LAUNCH_HOST_MAX])
{
	size_t len = strcspn(list, "[, \n\t"), more = 0;

	if (list[len] == '[')
		more = strcspn(list + len + 1, "-,]");
	if (len + more >= WEFT_LAUNCH_HOST_MAX || !(len + more) ||
	    (list[len] == '[' && (!more || !strchr(list + len, ']'))))
		return false;
	memcpy(out, list, len);
	if (more)
		memcpy(out + len, list + len + 1, more);
	out[len + more] = 0;
	return true;
}

static bool number(const char *name, uint32_t *out, char *why, size_t len)
{
	const char *text = getenv(name);
	uint64_t value;

	if (!text || !weft_parse_u64(text, &value) || value > UINT32_MAX) {
		snprintf(why, len, "%s is %.32s, which is no number", name,
			 text ? text : "not set");
		return false;
	}
	*out = (uint32_t)value;
	return true;
}

static uint32_t count_list(const char *list)
{
	uint32_t n = 1;

	for (; *list; list++)
		n += *list == ',';
	return n;
}

/* FNV-1a. */
static uint32_t hash(uint32_t h, const char *text)
{
	for (; text && *text; text++)
		h = (h ^ (uint8_t)*text) * 16777619u;
	return (h ^ '/') * 16777619u;
}

static int read_launcher(size_t i, struct weft_launch *out, char *why, size_t len)
{
	const char *list = launchers[i].host ? getenv(launchers[i].host) : NULL;
	const char *here = launchers[i].list_here ? getenv(launchers[i].list_here) : NULL;

	*out = (struct weft_launch){ .by = launchers[i].by, .job = 2166136261u };
	for (size_t k = 0; k < WEFT_ARRAY_SIZE(launchers[i].job) && launchers[i].job[k]; k++)
		out->job = hash(out->job, getenv(launchers[i].job[k]));
	if (!number(launchers[i].rank, &out->rank, why, len) ||
	    !number(launchers[i].ranks, &out->ranks, why, len))
		return -1;
	if (launchers[i].ranks_here && getenv(launchers[i].ranks_here) &&
	    !number(launchers[i].ranks_here, &out->ranks_here, why, len))
		return -1;
	if (here)
		out->ranks_here = count_list(here);
	if (out->rank == 0 && out->ranks == 1)
		return 0;
	if (out->rank >= out->ranks || out->ranks < 2 || out->ranks > WEFT_PERF_RANKS_MAX) {
		snprintf(why, len, "%s started rank %u of %u; 2 to %u ranks are possible", out->by,
			 out->rank, out->ranks, WEFT_PERF_RANKS_MAX);
		return -1;
	}
	if (list && !weft_launch_first_host(list, out->host)) {
		snprintf(why, len, "%s is no list of hosts: %.64s", launchers[i].host, list);
		return -1;
	}
	if (!out->host[0] && out->ranks_here == out->ranks)
		snprintf(out->host, sizeof(out->host), "127.0.0.1");
	return 1;
}

/* One that started a single process started nobody to measure with: who else? */
int weft_launch_find(struct weft_launch *out, char *why, size_t len)
{
	int found = 0;

	for (size_t i = 0; !found && i < WEFT_ARRAY_SIZE(launchers); i++)
		if (getenv(launchers[i].rank) && getenv(launchers[i].ranks))
			found = read_launcher(i, out, why, len);
	return found;
}

uint16_t weft_launch_port(const struct weft_launch *launch)
{
	return (uint16_t)(WEFT_PERF_PORT + 1 + launch->job % PORTS);
}

/* What a rank says of itself. */
struct join {
	uint32_t rank, job;
};

int weft_launch_join(const struct weft_launch *launch, uint16_t port, char *why, size_t len)
{
	uint64_t end = weft_talk_now() + PATIENCE_NS;
	struct join me = { launch->rank, launch->job };
	int fd;

	while ((fd = weft_talk_connect(launch->host, port, 5000000000ull, why, len)) < 0 &&
	       weft_talk_now() < end)
		nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
	if (fd >= 0)
		weft_talk_put(fd, WEFT_TALK_JOIN, &me, sizeof(me));
	return fd;
}

bool weft_launch_gather(const struct weft_launch *launch, uint16_t port, int *fd, char *why,
			size_t len)
{
	uint64_t end = weft_talk_now() + PATIENCE_NS, now;
	int door = weft_talk_listen(NULL, port, why, len);
	uint32_t missing = launch->ranks - 1;

	if (door < 0)
		return false;
	while (missing && (now = weft_talk_now()) < end) {
		struct pollfd p = { .fd = door, .events = POLLIN };
		struct join join = { 0 };
		uint32_t type;
		size_t got;
		int one;

		if (poll(&p, 1, (int)((end - now) / 1000000) + 1) <= 0)
			continue;
		one = accept4(door, NULL, NULL, SOCK_CLOEXEC);
		if (one < 0)
			continue;
		if (weft_talk_get(one, &type, &join, sizeof(join), &got, 2000000000ull) ||
		    type != WEFT_TALK_JOIN || got != sizeof(join) || join.job != launch->job ||
		    !join.rank || join.rank >= launch->ranks || fd[join.rank] >= 0) {
			close(one); /* A stranger, or of another job. */
			continue;
		}
		fd[join.rank] = one;
		missing--;
	}
	close(door);
	if (missing)
		snprintf(why, len, "%u of %u ranks have not come to port %u of rank 0", missing,
			 launch->ranks, port);
	return !missing;
}
