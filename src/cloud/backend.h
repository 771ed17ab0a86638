/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_CLOUD_BACKEND_H
#define WEFT_CLOUD_BACKEND_H

/* Which library carries which workload over EFA. */
#include "base/types.h"

enum weft_backend_verdict {
	WEFT_BACKEND_USE,
	WEFT_BACKEND_CARE, /* Works under a condition that is easy to miss. */
	WEFT_BACKEND_AVOID, /* Does not reach EFA. */
};

struct weft_backend {
	const char *workload; /* training, mpi, kv, moe, baseline */
	const char *backend;
	enum weft_backend_verdict verdict;
	const char *why;
	const char *needs; /* Versions and settings; "": nothing. */
	const char *proof; /* How one sees that it is EFA; "": nobody says. */
	const char *source;
};

/* By workload, the best first; NULL past the last. */
const struct weft_backend *weft_backend_at(uint32_t index);

const char *weft_backend_verdict_name(enum weft_backend_verdict verdict);

/* When the facts were looked up. */
#define WEFT_BACKEND_DATE "November 2026"

#endif
