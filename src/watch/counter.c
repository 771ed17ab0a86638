/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers for names of counters.
 *
 * Real cards and software cards have most names in common, and drivers gain new ones: a table that is fixed would
 * hide them until somebody edits it. Names become parts of names elsewhere (metrics, columns), so a
 * file in /sys that is called something else is not a counter. */
#include "watch/counter.h"

#include <stdlib.h>
#include <string.h>

#define NAME_MAX_LEN 47

/* Those of the device (the admin queue and what it is asked for), and of the core. */
static const struct {
	const char *name, *what;
} device[] = {
	{ "lifespan", "milliseconds for which the driver keeps values" },
	{ "submitted_cmds", "commands given to the device" },
	{ "completed_cmds", "commands that the device completed" },
	{ "cmds_err", "commands that failed" },
	{ "no_completion_cmds", "commands that were never completed" },
	{ "keep_alive_rcvd", "signs of life from the device" },
	{ "alloc_pd_err", "protection domains that could not be made" },
	{ "create_qp_err", "queue pairs that could not be made" },
	{ "create_cq_err", "completion queues that could not be made" },
	{ "reg_mr_err", "memory regions that could not be registered" },
	{ "alloc_mr_err", "memory regions that could not be allocated" },
	{ "get_dma_mr_err", "regions of all memory that could not be made" },
	{ "alloc_ucontext_err", "programs that could not open the device" },
	{ "create_ah_err", "address handles that could not be made" },
	{ "mmap_err", "mappings that could not be made" },
};

#define KNOWN (WEFT_COUNTER_COUNT + WEFT_ARRAY_SIZE(device))

static struct {
	char name[NAME_MAX_LEN + 1];
} learned[WEFT_WATCH_COUNTERS_MAX - KNOWN];
static uint32_t learned_count;

uint32_t weft_watch_counters(void)
{
	return (uint32_t)KNOWN + learned_count;
}

const char *weft_watch_counter_name(uint32_t index)
{
	if (index < WEFT_COUNTER_COUNT)
		return weft_counter_name(index);
	if (index < KNOWN)
		return device[index - WEFT_COUNTER_COUNT].name;
	return index < weft_watch_counters() ? learned[index - KNOWN].name : NULL;
}

const char *weft_watch_counter_what(uint32_t index)
{
	if (index < WEFT_COUNTER_COUNT)
		return weft_counter_what(index);
	return index < KNOWN ? device[index - WEFT_COUNTER_COUNT].what : "a counter of the driver";
}

bool weft_watch_counter_is_efa(uint32_t index)
{
	return index < WEFT_COUNTER_DROP_SHORT || index >= WEFT_COUNTER_COUNT;
}

static bool is_name(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

	return name[0] >= 'a' && name[0] <= 'z' && !name[len] && len <= NAME_MAX_LEN;
}

int weft_watch_counter(const char *name)
{
	uint32_t count = weft_watch_counters();

	for (uint32_t i = 0; i < count; i++)
		if (!strcmp(weft_watch_counter_name(i), name))
			return (int)i;
	if (count == WEFT_WATCH_COUNTERS_MAX || !is_name(name))
		return -1;
	memcpy(learned[learned_count++].name, name, strlen(name) + 1);
	return (int)count;
}
