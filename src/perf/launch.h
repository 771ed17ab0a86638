/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_PERF_LAUNCH_H
#define WEFT_PERF_LAUNCH_H

/* Ranks that somebody else starts: mpirun, srun, SkyPilot, torchrun. Each tells a process in variables who it is. */
#include "base/types.h"

#define WEFT_LAUNCH_HOST_MAX 256u

struct weft_launch {
	const char *by; /* "Open MPI" */
	uint32_t rank, ranks;
	uint32_t ranks_here; /* 0: not said. */
	uint32_t job; /* The same in all of its ranks, and most likely another one in other jobs. */
	char host[WEFT_LAUNCH_HOST_MAX]; /* Of rank 0; "": not said. */
};

/* 1: found; 0: nobody started us, or us alone; -1: the variables make no sense (`why`). */
int weft_launch_find(struct weft_launch *out, char *why, size_t len);

/* The first host of Slurm's list: "gpu[007-012,3],x" is gpu007. False: it is none. */
bool weft_launch_first_host(const char *list, char out[WEFT_LAUNCH_HOST_MAX]);

/* Where the first rank listens, if nobody says: jobs that share a host should not meet. */
uint16_t weft_launch_port(const struct weft_launch *launch);

/* A connection to the first rank, which may not be there yet. -1: `why`. */
int weft_launch_join(const struct weft_launch *launch, uint16_t port, char *why, size_t len);

/* In the first rank: the connections of all others, by rank, into fd[1] and so on. */
bool weft_launch_gather(const struct weft_launch *launch, uint16_t port, int *fd, char *why,
			size_t len);

#endif
