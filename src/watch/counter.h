/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_WATCH_COUNTER_H
#define WEFT_WATCH_COUNTER_H

/* Names of counters, as small numbers: first those of dev/counters.h, with the same numbers, then those that EFA's
 * driver keeps for the device, then whatever a driver or a recording turns out to have. The list grows for the
 * life of the process, up to a limit; for one thread. */
#include "dev/counters.h"

#define WEFT_WATCH_COUNTERS_MAX 192u
#define WEFT_WATCH_NONE         UINT64_MAX /* A value that is not there. */

/* Finds or adds. -1: not a name ([a-z][a-z0-9_]*, at most 47 letters), or no place. */
int weft_watch_counter(const char *name);

/* How many there are now. */
uint32_t weft_watch_counters(void);
const char *weft_watch_counter_name(uint32_t index);
const char *weft_watch_counter_what(uint32_t index); /* One line. */

/* Is it one of EFA's own, at the port or at the device, or learned from a driver: not one of weft's? */
bool weft_watch_counter_is_efa(uint32_t index);

#endif
