/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_PERF_NCCL_ENV_H
#define WEFT_PERF_NCCL_ENV_H

/* What makes NCCL use weft's plugin, in this process's environment: for `weft run --nccl` and `weft perf nccl`. That NCCL_NET
 * names it makes a plugin that is missing or fails an error of NCCL's; without it, NCCL would use sockets and say nothing. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* `dir` is where the plugin is: NCCL looks for it where the loader does. */
static inline bool weft_nccl_setenv(const char *dir)
{
	const char *others = getenv("LD_LIBRARY_PATH");
	char path[8192];
	int n = snprintf(path, sizeof(path), "%s%s%s", dir, others && *others ? ":" : "",
			 others ? others : "");

	return n > 0 && (size_t)n < sizeof(path) && !setenv("LD_LIBRARY_PATH", path, 1) &&
	       !setenv("NCCL_NET_PLUGIN", "weft", 1) && !setenv("NCCL_NET", "weft", 1) &&
	       /* However far apart NCCL thinks that a GPU and the card are: the card is nowhere. */
	       !setenv("NCCL_NET_GDR_LEVEL", "SYS", 0) &&
	       /* Loading a kernel at its first use waits for NCCL's, and holds what our copies need meanwhile. */
	       !setenv("CUDA_MODULE_LOADING", "EAGER", 0) &&
	       /* One channel's kernel moves some 20 GB/s, and long messages cost no more than short ones. */
	       !setenv("NCCL_MIN_NCHANNELS", "16", 0) && !setenv("NCCL_BUFFSIZE", "8388608", 0) &&
	       /* The same for what is made of sends and receives: NCCL's own are 2 channels and messages of 128 KB. */
	       !setenv("NCCL_NCHANNELS_PER_NET_PEER", "16", 0) &&
	       !setenv("NCCL_P2P_NET_CHUNKSIZE", "1048576", 0);
}

#endif
