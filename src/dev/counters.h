/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_DEV_COUNTERS_H
#define WEFT_DEV_COUNTERS_H

/* Counters with EFA's names, in one page per process: the file counters-<pid> in the run directory, readable by
 * the same user. The process keeps a shared flock on it for its life: a page without one is stale. A
 * writer never waits for readers, and readers check the sequence number (odd while being written). */
#include "base/types.h"

#define WEFT_COUNTERS_MAGIC   0x54464557u /* "WEFT" */
#define WEFT_COUNTERS_VERSION 1u
#define WEFT_COUNTERS_MAX     96u /* Places for counters of one card. */

struct weft_counters_card {
	char name[32];
	_Atomic uint32_t seq;
	uint16_t slot; /* 0xffff: no identity on the wire yet. */
	uint16_t qps;
	uint64_t value[WEFT_COUNTERS_MAX]; /* In the order of weft_counter_name(). */
};

struct weft_counters_page {
	uint32_t magic, version, size; /* size: of the whole page, in bytes. */
	uint32_t pid;
	char comm[32];
	uint64_t started_ns; /* CLOCK_REALTIME. */
	uint32_t cards, counters;
	struct weft_counters_card card[];
};

/* "tx_bytes", ...; NULL past the last. */
const char *weft_counter_name(uint32_t index);
const char *weft_counter_what(uint32_t index); /* One line of meaning. */

/* Writer: the page of this process. NULL when it cannot be made (then counters are kept in private memory
 * by the caller). */
struct weft_counters_page *weft_counters_create(const char *run_dir, uint32_t cards);
void weft_counters_destroy(struct weft_counters_page *page);

/* Reader: calls fn for the page of each process of this user, living or stale. 0 or -errno. */
typedef void weft_counters_fn(void *arg, const struct weft_counters_page *page, bool stale);
int weft_counters_each(const char *run_dir, weft_counters_fn *fn, void *arg);

#endif
