/* SPDX-License-Identifier: BSD-2-Clause */
/* What remains of a run: percentiles, fairness, differences of counters, and how long blackholes were
 * fed. The counters of an engine are words of 64 bits without exception, which lets them be added as an
 * array. */
#include "sim/fabric_stat.h"

#include "base/assert.h"

#include <assert.h>
#include <stdlib.h>

#define SRD_WORDS (sizeof(struct weft_srd_stats) / sizeof(uint64_t))
static_assert(SRD_WORDS * sizeof(uint64_t) == sizeof(struct weft_srd_stats),
	      "counters are 64 bits wide");

static int compare_ns(const void *a, const void *b)
{
	weft_ns x = *(const weft_ns *)a, y = *(const weft_ns *)b;

	return x < y ? -1 : x > y;
}

static weft_ns rank_of(const weft_ns *sorted, uint32_t n, uint32_t percent)
{
	return sorted[((uint64_t)n * percent + 99) / 100 - 1];
}

void weft_sim_spread(weft_ns *v, uint32_t n, struct weft_sim_spread *spread_out)
{
	uint64_t sum = 0;

	weft_assert(n);
	qsort(v, n, sizeof(*v), compare_ns);
	for (uint32_t i = 0; i < n; i++)
		sum += v[i];
	spread_out->min = v[0];
	spread_out->p50 = rank_of(v, n, 50);
	spread_out->p99 = rank_of(v, n, 99);
	spread_out->max = v[n - 1];
	spread_out->mean = sum / n;
}

double weft_sim_jain(const weft_ns *v, uint32_t n)
{
	double sum = 0, squares = 0;

	for (uint32_t i = 0; i < n; i++) {
		double rate = v[i] ? 1e9 / (double)v[i] : 0;

		sum += rate;
		squares += rate * rate;
	}
	return squares > 0 ? sum * sum / (n * squares) : 1;
}

void weft_sim_stats_add(struct weft_srd_stats *sum, const struct weft_srd_stats *more)
{
	uint64_t *a = (uint64_t *)sum;
	const uint64_t *b = (const uint64_t *)more;

	for (size_t i = 0; i < SRD_WORDS; i++)
		a[i] += b[i];
}

void weft_sim_stats_sub(struct weft_srd_stats *from, const struct weft_srd_stats *less)
{
	uint64_t *a = (uint64_t *)from;
	const uint64_t *b = (const uint64_t *)less;

	for (size_t i = 0; i < SRD_WORDS; i++)
		a[i] -= b[i];
}

void weft_sim_net_stats_sub(struct weft_fabric_stats *from, const struct weft_fabric_stats *less)
{
	from->sent -= less->sent;
	from->sent_bytes -= less->sent_bytes;
	from->arrived -= less->arrived;
	from->arrived_bytes -= less->arrived_bytes;
	for (size_t i = 0; i < WEFT_FABRIC_LOSS_COUNT; i++)
		from->lost[i] -= less->lost[i];
	from->trims -= less->trims;
	from->marks -= less->marks;
	from->hops -= less->hops;
}

/* Blackholes */

static struct weft_sim_lost_path *find_path(struct weft_sim_losses *l, uint32_t src, uint32_t dst,
					    uint16_t entropy)
{
	uint64_t hash =
		(((uint64_t)src << 40) ^ ((uint64_t)dst << 16) ^ entropy) * 0x9e3779b97f4a7c15u;
	uint32_t i = (uint32_t)(hash >> 32) & (l->cap - 1);

	for (;; i = (i + 1) & (l->cap - 1)) {
		struct weft_sim_lost_path *p = &l->paths[i];

		if (!p->used || (p->src == src && p->dst == dst && p->entropy == entropy))
			return p;
	}
}

static void grow(struct weft_sim_losses *l)
{
	struct weft_sim_losses old = *l;

	l->cap = old.cap ? 2 * old.cap : 256;
	l->paths = calloc(l->cap, sizeof(*l->paths));
	weft_assert(l->paths);
	for (uint32_t i = 0; i < old.cap; i++) {
		const struct weft_sim_lost_path *p = &old.paths[i];

		if (p->used)
			*find_path(l, p->src, p->dst, p->entropy) = *p;
	}
	free(old.paths);
}

void weft_sim_losses_add(struct weft_sim_losses *l, uint32_t src, uint32_t dst, uint16_t entropy,
			 weft_ns sent_at)
{
	struct weft_sim_lost_path *p;

	if (l->len >= l->cap / 2)
		grow(l);
	p = find_path(l, src, dst, entropy);
	if (!p->used) {
		*p = (struct weft_sim_lost_path){
			.src = src,
			.dst = dst,
			.entropy = entropy,
			.first = sent_at,
			.last = sent_at,
			.used = true,
		};
		l->len++;
	}
	/* Frames of one path can be lost in another order than they were sent in: one at a link close by, the
	 * other at one far away. */
	p->first = WEFT_MIN(p->first, sent_at);
	p->last = WEFT_MAX(p->last, sent_at);
	l->data++;
}

void weft_sim_losses_fini(struct weft_sim_losses *l)
{
	free(l->paths);
	*l = (struct weft_sim_losses){ 0 };
}

static int compare_paths(const void *a, const void *b)
{
	const struct weft_sim_lost_path *x = a, *y = b;

	if (x->src != y->src)
		return x->src < y->src ? -1 : 1;
	return x->dst < y->dst ? -1 : x->dst > y->dst;
}

static void left(weft_ns *v, uint32_t n, struct weft_sim_left *left_out)
{
	struct weft_sim_spread spread;

	*left_out = (struct weft_sim_left){ .count = n };
	if (!n)
		return;
	weft_sim_spread(v, n, &spread);
	left_out->p50 = spread.p50;
	left_out->max = spread.max;
}

void weft_sim_losses_left(struct weft_sim_losses *l, weft_ns broken_at,
			  struct weft_sim_left *pair_out, struct weft_sim_left *path_out)
{
	weft_ns *by_pair = calloc(l->len + 1, sizeof(*by_pair)),
		*by_path = calloc(l->len + 1, sizeof(*by_path));
	uint32_t pairs = 0, n = 0;

	weft_assert(by_pair && by_path);
	for (uint32_t i = 0; i < l->cap; i++)
		if (l->paths[i].used)
			l->paths[n++] = l->paths[i];
	if (n)
		qsort(l->paths, n, sizeof(*l->paths), compare_paths);
	for (uint32_t i = 0; i < n; i++) {
		const struct weft_sim_lost_path *p = &l->paths[i];

		by_path[i] = p->last - p->first;
		if (!i || compare_paths(p - 1, p))
			pairs++;
		by_pair[pairs - 1] = WEFT_MAX(by_pair[pairs - 1], p->last - broken_at);
	}
	left(by_pair, pairs, pair_out);
	left(by_path, n, path_out);
	free(by_pair);
	free(by_path);
}
