/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes as what kubectl prints of a cluster. How they are cut into pieces on the way must not matter, and what comes
 * out has to be consistent in itself. */
#include "advice/jsonlist.h"
#include "advice/quantity.h"
#include "cli/nodes.h"

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

static bool read_in(const uint8_t *data, size_t len, size_t piece, struct weft_fleet *fleet)
{
	struct weft_jsonlist *list = weft_jsonlist_create(weft_fleet_add, fleet);
	bool ok = true;

	for (size_t at = 0; at < len && ok; at += piece)
		ok = weft_jsonlist_feed(list, (const char *)data + at, WEFT_MIN(piece, len - at));
	ok = ok && weft_jsonlist_end(list);
	FUZZ_CHECK(ok || *weft_jsonlist_why(list), "refused without a word");
	weft_jsonlist_destroy(list);
	weft_fleet_finish(fleet, NULL);
	return ok;
}

static void check(const struct weft_fleet *f)
{
	struct weft_fleet_view view = { .by_type = true };
	struct weft_fleet_rows rows;
	uint32_t nodes = 0, troubled = 0;

	FUZZ_CHECK(weft_fleet_rows(f, &view, &rows), "no rows");
	for (uint32_t i = 0; i < rows.count; i++) {
		nodes += rows.row[i].sum.nodes;
		troubled += rows.row[i].sum.troubled;
	}
	weft_fleet_rows_free(&rows);
	FUZZ_CHECK(nodes == f->nodes && nodes == f->sum.nodes && troubled == f->sum.troubled,
		   "%u nodes by type, %u in all", nodes, f->nodes);
	FUZZ_CHECK(f->short_of <= f->nodes && f->bound <= f->pods && f->nodes <= f->begun,
		   "more than all");
	for (uint32_t i = 0; i < f->nodes; i++)
		for (const char *c = f->node[i].name; *c; c++)
			FUZZ_CHECK(*c >= 0x20 && *c < 0x7f, "a name for a terminal");
}

static void show(const struct weft_fleet *f, size_t how)
{
	struct weft_nodes_screen screen = { .width = (uint32_t)(how % 160 + 1),
					    .height = (uint32_t)(how % 40),
					    .utf8 = how & 1,
					    .resource = { 0, 1, 2 },
					    .resources = 3,
					    .view = { .by_type = how % 3 == 0,
						      .sort = (enum weft_fleet_sort)(
							      how % WEFT_FLEET_SORTS) },
					    .help = how % 7 == 0,
					    .why = how % 5 == 0,
					    .prices = how & 2,
					    .page = (uint32_t)(how % 4) };
	struct weft_screen_lines lines;

	if (!weft_nodes_compose(&screen, f, &lines))
		return;
	FUZZ_CHECK(!screen.height || lines.count <= screen.height, "%u lines on %u", lines.count,
		   screen.height);
	weft_screen_free(&lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct weft_fleet a, b;
	uint64_t milli;
	char text[64];
	bool ok;

	if (!weft_fleet_init(&a) || !weft_fleet_init(&b))
		abort();
	ok = read_in(data, len, len + 1, &a);
	FUZZ_CHECK(ok == read_in(data, len, len % 16 + 1, &b), "refused in one of two ways");
	FUZZ_CHECK(a.nodes == b.nodes && a.pods == b.pods && a.stuck_pods == b.stuck_pods &&
			   !memcmp(a.sum.requested, b.sum.requested, sizeof(a.sum.requested)) &&
			   a.sum.expected == b.sum.expected,
		   "in pieces it is another fleet");
	check(&a);
	show(&a, len);
	weft_fleet_fini(&a);
	weft_fleet_fini(&b);
	if (len < sizeof(text)) {
		memcpy(text, data, len);
		text[len] = '\0';
		(void)weft_quantity_parse(text, &milli);
	}
	return 0;
}
