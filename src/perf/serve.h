/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_PERF_SERVE_H
#define WEFT_PERF_SERVE_H

/* A host that takes part in the measurements of others. */
#include "base/types.h"

/* Serves on `address` (NULL: all) until it is ended, or (is_once) one group has been here. Only returns if it cannot
 * (false, `why`), or is done. on_peer: NULL, or told who
 * comes; first of all its own address and NULL, when the server is ready. */
bool weft_perf_serve(const char *address, uint16_t port, bool is_once,
		     void (*on_peer)(const char *address, const char *what), char *why, size_t len);

#endif
