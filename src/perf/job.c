/* SPDX-License-Identifier: BSD-2-Clause */
/* Jobs and figures. Nothing here touches a network.
 *
 * How often a size is repeated: as often as the user says, and else until half a second is full. A fixed number suits
 * either small messages or large ones: ten of 8 bytes measure the cold start, a thousand of 1 GiB take the
 * afternoon. */
#include "perf/job.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIT_NS 500000000ull

static const struct {
	const char *name;
	uint64_t bytes_min, bytes_max;
	uint32_t fit_min, fit_max;
} tests[WEFT_PERF_TESTS] = {
	[WEFT_PERF_PINGPONG] = { "pingpong", 64, 1 << 20, 10, 10000 },
	[WEFT_PERF_BW] = { "bw", 1, 4 << 20, 5, 1000 },
	[WEFT_PERF_BIBW] = { "bibw", 1, 4 << 20, 5, 1000 },
	[WEFT_PERF_RATE] = { "rate", 8, 8, 20, 5000 },
	[WEFT_PERF_ALLREDUCE] = { "allreduce", 8, 32 << 20, 3, 20 },
	[WEFT_PERF_ALLTOALL] = { "alltoall", 8, 32 << 20, 3, 20 },
};

const char *weft_perf_test_name(uint32_t test)
{
	return test < WEFT_PERF_TESTS ? tests[test].name : "?";
}

bool weft_perf_is_collective(uint32_t test)
{
	return test == WEFT_PERF_ALLREDUCE || test == WEFT_PERF_ALLTOALL;
}

uint32_t weft_perf_passes(uint32_t test)
{
	return weft_perf_is_collective(test) ? 2 : 1;
}

void weft_perf_job_init(struct weft_perf_job *job, enum weft_perf_test test)
{
	*job = (struct weft_perf_job){
		.magic = WEFT_PERF_MAGIC,
		.version = WEFT_PERF_VERSION,
		.test = test,
		.ranks = 2,
		.warmup = 5,
		.window = 64,
		.factor = 2,
		.is_checked = weft_perf_is_collective(test),
		.bytes_min = tests[test].bytes_min,
		.bytes_max = tests[test].bytes_max,
		.timeout_ns = 20000000000ull,
	};
}

static bool is_text(const char text[WEFT_PERF_NAME_MAX])
{
	size_t len = strnlen(text, WEFT_PERF_NAME_MAX);

	for (size_t i = 0; i < len; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	return len < WEFT_PERF_NAME_MAX;
}

static const char *complaint(const struct weft_perf_job *job)
{
	uint64_t sizes = 0;

	if (job->magic != WEFT_PERF_MAGIC)
		return "the other end is no weft perf";
	if (job->version != WEFT_PERF_VERSION)
		return "the other end is a weft perf of another version";
	if (job->test >= WEFT_PERF_TESTS)
		return "no such test";
	if (job->ranks < 2 || job->ranks > WEFT_PERF_RANKS_MAX || job->rank >= job->ranks)
		return "there have to be 2 to 256 ranks";
	if (!weft_perf_is_collective(job->test) && job->ranks != 2)
		return "this test is between two ranks";
	if (!job->bytes_min || job->bytes_min > job->bytes_max ||
	    job->bytes_max > WEFT_PERF_BYTES_MAX)
		return "sizes go from 1 byte to 16 GiB, the least first";
	if (weft_perf_is_collective(job->test) && job->bytes_min < 4)
		return "collectives add numbers of 4 bytes, so sizes begin there";
	if (job->factor == 1 || job->factor > 1024 || (!job->factor && !job->step_bytes))
		return "the factor between sizes is 2 to 1024, or the step at least 1 byte";
	if (job->iterations > WEFT_PERF_ITERS_MAX || job->warmup > WEFT_PERF_ITERS_MAX)
		return "at most 1000000 iterations";
	if (!job->window || job->window > WEFT_PERF_WINDOW_MAX)
		return "the window is 1 to 1024 messages";
	if (job->cards_max > WEFT_PERF_CARDS_MAX)
		return "at most 32 cards";
	if (job->timeout_ns < 1000000ull || job->timeout_ns > 86400000000000ull)
		return "the timeout is 1 ms to a day";
	if (!is_text(job->provider) || !is_text(job->source))
		return "names of providers and addresses are short and printable";
	for (uint64_t b = 0; (b = weft_perf_next_size(job, b));)
		if (++sizes > WEFT_PERF_SIZES_MAX)
			return "at most 512 sizes";
	return NULL;
}

bool weft_perf_job_check(const struct weft_perf_job *job, char *why, size_t len)
{
	const char *text = complaint(job);

	if (text)
		snprintf(why, len, "%s", text);
	return !text;
}

uint64_t weft_perf_next_size(const struct weft_perf_job *job, uint64_t bytes)
{
	uint64_t next;

	if (!bytes)
		return job->bytes_min;
	next = job->factor ? bytes * job->factor : bytes + job->step_bytes;
	return next <= job->bytes_max && next > bytes ? next : 0;
}

uint32_t weft_perf_fit(const struct weft_perf_job *job, uint64_t ns)
{
	uint64_t n;

	if (job->iterations)
		return job->iterations;
	n = FIT_NS / (ns ? ns : 1);
	if (n < tests[job->test].fit_min)
		n = tests[job->test].fit_min;
	return n > tests[job->test].fit_max ? tests[job->test].fit_max : (uint32_t)n;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* The least sample that at least this share does not exceed. */
static double percentile(const uint64_t *sorted, uint32_t n, double share)
{
	uint32_t at = (uint32_t)ceil(share * n);

	return (double)sorted[at ? at - 1 : 0];
}

void weft_perf_stat_make(uint64_t *samples, uint32_t n, struct weft_perf_stat *out)
{
	double squares = 0;

	*out = (struct weft_perf_stat){ .iterations = n };
	if (!n)
		return;
	qsort(samples, n, sizeof(*samples), compare);
	for (uint32_t i = 0; i < n; i++)
		out->total_ns += samples[i];
	out->mean_ns = (double)out->total_ns / n;
	for (uint32_t i = 0; i < n; i++)
		squares +=
			((double)samples[i] - out->mean_ns) * ((double)samples[i] - out->mean_ns);
	out->min_ns = (double)samples[0];
	out->max_ns = (double)samples[n - 1];
	out->p50_ns = percentile(samples, n, 0.5);
	out->p99_ns = percentile(samples, n, 0.99);
	out->p999_ns = percentile(samples, n, 0.999);
	out->cov = out->mean_ns > 0 ? sqrt(squares / n) / out->mean_ns : 0;
}

void weft_perf_stat_scale(struct weft_perf_stat *stat, double factor)
{
	double *const times[] = { &stat->mean_ns, &stat->min_ns, &stat->max_ns,
				  &stat->p50_ns,  &stat->p99_ns, &stat->p999_ns };

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(times); i++)
		*times[i] *= factor;
}

uint32_t weft_perf_messages(const struct weft_perf_job *job)
{
	return job->test == WEFT_PERF_PINGPONG || weft_perf_is_collective(job->test) ? 1
										     : job->window;
}

double weft_perf_algbw(const struct weft_perf_run *run, const struct weft_perf_row *row,
		       uint32_t pass)
{
	double bytes = (double)row->bytes * weft_perf_messages(&run->job);

	if (run->job.test == WEFT_PERF_BIBW)
		bytes *= 2;
	return row->pass[pass].mean_ns > 0 ? bytes / row->pass[pass].mean_ns : 0;
}

double weft_perf_busbw(const struct weft_perf_run *run, const struct weft_perf_row *row,
		       uint32_t pass)
{
	double n = run->job.ranks, bw = weft_perf_algbw(run, row, pass);

	if (run->job.test == WEFT_PERF_ALLREDUCE)
		return bw * 2 * (n - 1) / n;
	return run->job.test == WEFT_PERF_ALLTOALL ? bw * (n - 1) / n : bw;
}

bool weft_perf_parse_size(const char *s, uint64_t *out)
{
	static const char units[] = "kmgt";
	uint64_t value = 0, shift = 0;

	if (*s < '0' || *s > '9')
		return false;
	for (; *s >= '0' && *s <= '9'; s++) {
		if (value > UINT64_MAX / 10 - 1)
			return false;
		value = value * 10 + (uint64_t)(*s - '0');
	}
	if (*s) {
		const char *unit = strchr(units, *s | 0x20);

		if (!unit || !*unit)
			return false;
		shift = 10 * (uint64_t)(unit - units + 1);
		s++;
		if (*s && strcmp(s, "iB") != 0)
			return false;
	}
	if (value > UINT64_MAX >> shift)
		return false;
	*out = value << shift;
	return true;
}
