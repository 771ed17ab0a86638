/* SPDX-License-Identifier: BSD-2-Clause */
#include "node/check.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>

static void weft_node_distance__table(void **state)
{
	static const struct {
		int id;
		const char *a, *b;
		int numa_a, numa_b;
		enum weft_node_distance want;
	} rows[] = {
#define BUS "sys/devices/pci0000:00"
		{ 1, BUS "/00:01.0/01:00.0", BUS "/00:01.0/01:00.1", 0, 0, WEFT_NODE_PIX },
		{ 2, BUS "/00:01.0/01:00.0/02:00.0/03:00.0", BUS "/00:01.0/01:00.0/02:01.0/04:00.0",
		  0, 0, WEFT_NODE_PIX },
		{ 3, BUS "/00:01.0/01:00.0/02:00.0/03:00.0/04:00.0",
		  BUS "/00:01.0/01:00.0/02:01.0/05:00.0", 0, 0, WEFT_NODE_PXB },
		{ 4, BUS "/00:01.0/01:00.0", BUS "/00:02.0/02:00.0", 0, 0, WEFT_NODE_PHB },
		{ 5, BUS "/00:01.0", BUS "/00:02.0", -1, -1, WEFT_NODE_PHB },
		{ 6, BUS "/00:01.0", "sys/devices/pci0000:80/80:01.0", 0, 0, WEFT_NODE_NODE },
		{ 7, BUS "/00:01.0", "sys/devices/pci0000:80/80:01.0", 0, 1, WEFT_NODE_SYS },
		{ 8, BUS "/00:01.0", "sys/devices/pci0000:80/80:01.0", -1, -1, WEFT_NODE_SYS },
		{ 9, "", "", -1, -1, WEFT_NODE_SYS },
#undef BUS
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct weft_node_pci a = { .bdf = "a", .numa = rows[i].numa_a };
		struct weft_node_pci b = { .bdf = "b", .numa = rows[i].numa_b };

		memcpy(a.path, rows[i].a, strlen(rows[i].a) + 1);
		memcpy(b.path, rows[i].b, strlen(rows[i].b) + 1);
		if (weft_node_distance(&a, &b) != rows[i].want ||
		    weft_node_distance(&b, &a) != rows[i].want)
			fail_msg("row %d: %s", rows[i].id,
				 weft_node_distance_name(weft_node_distance(&a, &b)));
		assert_int_equal(weft_node_distance(&a, &a), WEFT_NODE_SELF);
	}
}

static int worst_of(const struct weft_findings *f, enum weft_finding_id id)
{
	int worst = -1;

	for (size_t i = 0; i < f->count; i++)
		if (f->finding[i].id == id)
			worst = WEFT_MAX(worst, (int)f->finding[i].severity);
	return worst;
}

/* What the counters of a second say. */
static void weft_node_check_rates__table(void **state)
{
	static const struct {
		int id;
		uint64_t efa_bytes, packets, again, timeouts, tcp_bytes;
		int loss, tcp;
	} rows[] = {
		{ 1, 0, 0, 0, 0, 0, -1, WEFT_SEV_OK },
		{ 2, 10000000000, 2000000, 100, 0, 1000000, -1, WEFT_SEV_OK },
		{ 3, 10000000000, 2000000, 30000, 0, 1000000, WEFT_SEV_WARN, WEFT_SEV_OK },
		{ 4, 10000000000, 2000000, 0, 1, 1000000, WEFT_SEV_WARN, WEFT_SEV_OK },
		{ 5, 0, 0, 0, 0, 500000000, -1, WEFT_SEV_WARN },
		{ 6, 10000000000, 2000000, 0, 0, 500000000, -1, WEFT_SEV_OK },
		{ 7, 0, 0, 0, 0, 50000000, -1, WEFT_SEV_OK },
	};
	struct weft_node *before = calloc(1, sizeof(*before)), *after = calloc(1, sizeof(*after));

	(void)state;
	assert_non_null(before);
	assert_non_null(after);
	before->cards = after->cards = 1;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct weft_findings f;

		after->card[0].counter[WEFT_NODE_TX_BYTES] = rows[i].efa_bytes;
		after->card[0].counter[WEFT_NODE_TX_PKTS] = rows[i].packets;
		after->card[0].counter[WEFT_NODE_RETRANS_PKTS] = rows[i].again;
		after->card[0].counter[WEFT_NODE_RETRANS_TIMEOUT_EVENTS] = rows[i].timeouts;
		weft_findings_init(&f);
		weft_node_check_rates(before, after, WEFT_S(1), rows[i].tcp_bytes, &f);
		if (worst_of(&f, WEFT_FINDING_PATH_LOSS) != rows[i].loss ||
		    worst_of(&f, WEFT_FINDING_TCP_FALLBACK) != rows[i].tcp)
			fail_msg("row %d: %d, %d", rows[i].id, worst_of(&f, WEFT_FINDING_PATH_LOSS),
				 worst_of(&f, WEFT_FINDING_TCP_FALLBACK));
		weft_findings_fini(&f);
	}
	free(before);
	free(after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_node_distance__table),
		cmocka_unit_test(weft_node_check_rates__table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
