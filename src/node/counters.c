/* SPDX-License-Identifier: BSD-2-Clause */
/* Counters of real cards out of /sys. Which there are depends on the driver's version, so the folders say it and no
 * list. */
#include "node/counters.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reader {
	weft_node_counter_fn *fn;
	void *arg;
};

static void take(void *arg, const char *name, const char *text)
{
	const struct reader *r = arg;
	uint64_t value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (text[0] >= '0' && text[0] <= '9' && !*end && !errno)
		r->fn(r->arg, name, value);
}

void weft_node_counters(struct weft_root *root, const char *name, weft_node_counter_fn *fn,
			void *arg)
{
	struct reader r = { fn, arg };

	(void)weft_root_texts(root, take, &r, "sys/class/infiniband/%s/ports/1/hw_counters", name);
	(void)weft_root_texts(root, take, &r, "sys/class/infiniband/%s/hw_counters", name);
}

void weft_node_read_state(struct weft_root *root, const char *name, char *state_out, size_t len)
{
	char text[128];
	const char *colon;

	state_out[0] = '\0';
	if (weft_root_text(root, text, sizeof(text), "sys/class/infiniband/%s/ports/1/state",
			   name) <= 0)
		return;
	/* "4: ACTIVE" */
	colon = strchr(text, ':');
	snprintf(state_out, len, "%s", colon ? colon + 1 + (colon[1] == ' ') : text);
}
