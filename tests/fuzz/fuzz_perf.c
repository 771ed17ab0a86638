/* SPDX-License-Identifier: BSD-2-Clause */
/* What `weft perf` reads from others: jobs from the network, sizes from the command line, lists of hosts from
 * launchers. A job that is accepted has few sizes, none of them too large, and texts that end. */
#include "perf/job.h"
#include "perf/launch.h"

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

static void job(const uint8_t *data, size_t size)
{
	struct weft_perf_job job;
	uint32_t sizes = 0;
	char why[128];

	/* Close to a good one, or nothing would ever be accepted. */
	weft_perf_job_init(&job, WEFT_PERF_BW);
	for (size_t i = 0; i + 2 < size; i += 3)
		((uint8_t *)&job)[(data[i] << 8 | data[i + 1]) % sizeof(job)] ^= data[i + 2];
	if (!weft_perf_job_check(&job, why, sizeof(why)))
		return;
	for (uint64_t b = 0, last = 0; (b = weft_perf_next_size(&job, b)); last = b)
		if (b <= last || b > WEFT_PERF_BYTES_MAX || ++sizes > WEFT_PERF_SIZES_MAX)
			abort();
	if (strnlen(job.provider, sizeof(job.provider)) == sizeof(job.provider) ||
	    strnlen(job.source, sizeof(job.source)) == sizeof(job.source))
		abort();
	if (weft_perf_fit(&job, 1) > WEFT_PERF_ITERS_MAX || !weft_perf_fit(&job, UINT64_MAX))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char host[WEFT_LAUNCH_HOST_MAX], *text = malloc(size + 1);
	uint64_t value;

	job(data, size);
	if (!text)
		return 0;
	if (size)
		memcpy(text, data, size);
	text[size] = 0;
	if (weft_launch_first_host(text, host) && !*host)
		abort();
	weft_perf_parse_size(text, &value);
	free(text);
	return 0;
}
