/* SPDX-License-Identifier: BSD-2-Clause */
/* holder DIR CARD: a process that seems to use a card: it has a page of counters in DIR, says "ready" and waits
 * until its stdin ends. */
#include "dev/counters.h"

#include <stdio.h>

int main(int argc, char **argv)
{
	struct weft_counters_page *page;
	struct weft_counters_card *row;

	if (argc != 3)
		return 2;
	page = weft_counters_create(argv[1], 2);
	if (!page)
		return 1;
	row = &page->card[0];
	weft_counters_begin(row);
	snprintf(row->name, sizeof(row->name), "%s", argv[2]);
	row->slot = 3;
	row->qps = 2;
	row->value[WEFT_COUNTER_TX_BYTES] = 12345;
	weft_counters_end(row);
	puts("ready");
	fflush(stdout);
	while (getchar() != EOF)
		;
	weft_counters_destroy(page);
	return 0;
}
