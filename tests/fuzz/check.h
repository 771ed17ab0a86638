/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_TESTS_FUZZ_CHECK_H
#define WEFT_TESTS_FUZZ_CHECK_H

#include "srd/engine.h"

/* Recount everything that the engine keeps a running account of (what is in flight, what is queued, who
 * owns which element of which pool, which deadline is armed) and compare. Holds between any two calls
 * into the engine. A finding aborts. */
void fuzz_check_engine(struct weft_srd *srd);

#endif
