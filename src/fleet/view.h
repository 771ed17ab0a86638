/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_FLEET_VIEW_H
#define WEFT_FLEET_VIEW_H

/* Rows of a fleet: its nodes, or its instance types, in an order, those that are asked for. */
#include "fleet/fleet.h"

enum weft_fleet_sort {
	WEFT_FLEET_BY_NAME,
	WEFT_FLEET_BY_TYPE,
	WEFT_FLEET_BY_CPU, /* By the share that is requested, the largest first; */
	WEFT_FLEET_BY_GPU,
	WEFT_FLEET_BY_EFA,
	WEFT_FLEET_BY_PODS,
	WEFT_FLEET_BY_PRICE,
	WEFT_FLEET_BY_STATUS, /* What is wrong comes first. */
	WEFT_FLEET_SORTS,
};

struct weft_fleet_row {
	const char *name; /* borrows. Of the node, or the type. */
	const struct weft_fleet_node *node; /* borrows. Of a type: one of its nodes. */
	struct weft_fleet_sum sum;
};

struct weft_fleet_rows {
	struct weft_fleet_row *row; /* owns */
	uint32_t count;
};

struct weft_fleet_view {
	enum weft_fleet_sort sort;
	bool by_type;
	bool troubled; /* Only nodes with trouble, or that are not ready. */
	const char *
		filter; /* borrows. Nodes with this in their name, type, zone, capacity, status, plugin or trouble;
			     * NULL or "": all. */
};

/* NULL past the last. */
const char *weft_fleet_sort_name(uint32_t sort);

/* Of a finished fleet, which has to stay. False: no memory. */
bool weft_fleet_rows(const struct weft_fleet *fleet, const struct weft_fleet_view *view,
		     struct weft_fleet_rows *rows_out);
void weft_fleet_rows_free(struct weft_fleet_rows *rows);

/* Of 0 to 1; 0 of nothing is 0. */
double weft_fleet_share(uint64_t requested, uint64_t allocatable);

#endif
