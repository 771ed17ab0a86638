/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BENCH_WORK_H
#define BENCH_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the programs that measure have in common: the clock, numbers on the command line, samples of time, and
 * a TCP connection beside the measured one, over which two processes agree. A program ends with 2, and
 * says why, when something of this fails. */

/* Nanoseconds of CLOCK_MONOTONIC: both ends of a connection on one machine can compare them. */
uint64_t work_now(void);

__attribute__((noreturn, format(printf, 1, 2))) void work_fatal(const char *format, ...);
/* As above, and what errno says. */
__attribute__((noreturn, format(printf, 1, 2))) void work_fail(const char *format, ...);

/* With k, m or g behind it: times 1024 and so on. */
uint64_t work_number(const char *text, uint64_t min, uint64_t max);

/* Pages that are there: every byte is written. */
void *work_memory(size_t size);

/* This thread, and those it makes from now on, on one core; negative: wherever the kernel likes. */
void work_pin(int cpu);

/* Samples of time, in nanoseconds. */
struct work_samples {
	uint64_t *ns; /* owns */
	size_t n, max;
};

void work_samples_init(struct work_samples *samples, size_t max);
static inline void work_samples_add(struct work_samples *samples, uint64_t ns)
{
	if (samples->n < samples->max)
		samples->ns[samples->n++] = ns;
}
/* Members of a JSON object: p50_ns, p90_ns, p99_ns, p999_ns, max_ns, divided by `divisor`. Sorts. */
void work_samples_print(struct work_samples *samples, double divisor);

/* The connection beside. The server takes one client; the client tries for some seconds. */
int work_accept(uint16_t port);
int work_connect(const char *host, uint16_t port);
void work_put(int fd, const void *data, size_t len);
void work_get(int fd, void *data, size_t len);
/* Whether the other side has said something, or is gone. Does not wait. */
bool work_is_told(int fd);
/* Both have come here. */
void work_meet(int fd);

#endif
