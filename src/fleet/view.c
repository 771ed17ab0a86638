/* SPDX-License-Identifier: BSD-2-Clause */
/* A row is a sum, of one node or of all those of a type, so that whoever prints rows knows one kind only. */
#define _GNU_SOURCE
#include "fleet/view.h"

#include <stdlib.h>
#include <string.h>

static const char *const sorts[WEFT_FLEET_SORTS] = { "name", "type", "cpu",   "gpu",
						     "efa",  "pods", "price", "status" };

const char *weft_fleet_sort_name(uint32_t sort)
{
	return sort < WEFT_FLEET_SORTS ? sorts[sort] : NULL;
}

double weft_fleet_share(uint64_t requested, uint64_t allocatable)
{
	return allocatable ? (double)requested / (double)allocatable : 0;
}

static bool is_wanted(const struct weft_fleet *f, const struct weft_fleet_node *n,
		      const struct weft_fleet_view *v)
{
	const char *const texts[] = { n->name,
				      n->type,
				      n->zone,
				      weft_fleet_capacity_name(n->capacity),
				      weft_fleet_status(n),
				      weft_fleet_plugin_name(f, n),
				      weft_fleet_trouble_name(n->trouble) };

	if (v->troubled && n->ready && n->trouble == WEFT_TROUBLE_NONE)
		return false;
	if (!v->filter || !*v->filter)
		return true;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(texts); i++)
		if (strcasestr(texts[i], v->filter))
			return true;
	return false;
}

static double key_of(const struct weft_fleet_row *r, enum weft_fleet_sort sort)
{
	const struct weft_fleet_sum *s = &r->sum;

	switch (sort) {
	case WEFT_FLEET_BY_CPU:
		return weft_fleet_share(s->requested[WEFT_FLEET_CPU],
					s->allocatable[WEFT_FLEET_CPU]);
	case WEFT_FLEET_BY_GPU:
		return weft_fleet_share(s->requested[WEFT_FLEET_GPU],
					s->allocatable[WEFT_FLEET_GPU]);
	case WEFT_FLEET_BY_EFA:
		return weft_fleet_share(s->requested[WEFT_FLEET_EFA],
					s->allocatable[WEFT_FLEET_EFA]);
	case WEFT_FLEET_BY_PODS:
		return s->pods;
	case WEFT_FLEET_BY_PRICE:
		return (double)s->price;
	case WEFT_FLEET_BY_STATUS:
		return 2.0 * (s->nodes - s->ready) + s->troubled;
	case WEFT_FLEET_BY_NAME:
	case WEFT_FLEET_BY_TYPE:
	case WEFT_FLEET_SORTS:
		break;
	}
	return 0;
}

static int compare(const void *a, const void *b, void *sort)
{
	const struct weft_fleet_row *x = a, *y = b;
	enum weft_fleet_sort by = *(const enum weft_fleet_sort *)sort;
	double kx = key_of(x, by), ky = key_of(y, by);
	int order = by == WEFT_FLEET_BY_TYPE ? strcmp(x->node->type, y->node->type) : 0;

	if (kx != ky)
		return kx < ky ? 1 : -1;
	return order ? order : strcmp(x->name, y->name);
}

/* Rows of the same type follow each other: they become one. */
static void merge(struct weft_fleet_rows *rows, const struct weft_fleet *f)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < rows->count; i++) {
		struct weft_fleet_row *r = &rows->row[i];

		if (kept && !strcmp(rows->row[kept - 1].node->type, r->node->type)) {
			weft_fleet_sum_add(&rows->row[kept - 1].sum, f, r->node);
			continue;
		}
		r->name = *r->node->type ? r->node->type : "(unknown type)";
		rows->row[kept++] = *r;
	}
	rows->count = kept;
}

bool weft_fleet_rows(const struct weft_fleet *f, const struct weft_fleet_view *v,
		     struct weft_fleet_rows *rows_out)
{
	enum weft_fleet_sort sort = v->by_type ? WEFT_FLEET_BY_TYPE : v->sort;

	rows_out->count = 0;
	rows_out->row = calloc(f->nodes + 1, sizeof(*rows_out->row));
	if (!rows_out->row)
		return false;
	for (uint32_t i = 0; i < f->nodes; i++) {
		const struct weft_fleet_node *n = &f->node[i];
		struct weft_fleet_row *r = &rows_out->row[rows_out->count];

		if (!is_wanted(f, n, v))
			continue;
		r->name = n->name;
		r->node = n;
		weft_fleet_sum_add(&r->sum, f, n);
		rows_out->count++;
	}
	qsort_r(rows_out->row, rows_out->count, sizeof(*rows_out->row), compare, &sort);
	if (v->by_type) {
		merge(rows_out, f);
		sort = v->sort;
		qsort_r(rows_out->row, rows_out->count, sizeof(*rows_out->row), compare, &sort);
	}
	return true;
}

void weft_fleet_rows_free(struct weft_fleet_rows *rows)
{
	free(rows->row);
	*rows = (struct weft_fleet_rows){ NULL, 0 };
}
