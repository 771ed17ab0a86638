/* SPDX-License-Identifier: BSD-2-Clause */
/* Workloads as lists of flows.
 *
 * The ideal is what a perfect transport on an otherwise empty network without a bottleneck in its middle
 * needs, measured as the run measures: until the sender has heard that all of it arrived. A host cannot
 * send, nor receive, more than one link carries; to the busiest host's time comes the way of the last
 * packet and of its acknowledgement. For the ring every step waits for the one before, so its steps are
 * played through. */
#include "sim/fabric_load.h"

#include "base/assert.h"
#include "base/prng.h"

#include <stdlib.h>

static void *alloc_array(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	weft_assert(p);
	return p;
}

static void shuffle(uint32_t *v, uint32_t n, struct weft_prng *prng)
{
	for (uint32_t i = 0; i < n; i++)
		v[i] = i;
	for (uint32_t i = n; i > 1; i--) {
		uint32_t k = weft_prng_below(prng, i), t = v[i - 1];

		v[i - 1] = v[k];
		v[k] = t;
	}
}

/* Shuffled until nobody is left in place, which takes e tries on average: all derangements are equally
 * likely, which a single cycle through all hosts would not give. */
static void derange(uint32_t *v, uint32_t n, struct weft_prng *prng)
{
	bool again = true;

	while (again) {
		shuffle(v, n, prng);
		again = false;
		for (uint32_t i = 0; i < n; i++)
			again |= v[i] == i;
	}
}

static struct weft_sim_flow message(uint32_t src, uint32_t dst, uint32_t bytes, uint32_t task)
{
	return (struct weft_sim_flow){
		.src = src,
		.dst = dst,
		.bytes = bytes,
		.next = WEFT_SIM_NONE,
		.task_src = task,
		.task_dst = WEFT_SIM_NONE,
	};
}

static void alloc_flows(struct weft_sim_load *load, uint32_t flows, uint32_t tasks)
{
	load->flows = alloc_array(flows, sizeof(*load->flows));
	load->flows_len = flows;
	load->tasks = tasks;
}

static void init_permutation(struct weft_sim_load *load, uint32_t hosts, uint32_t size,
			     uint32_t *order, struct weft_prng *prng)
{
	alloc_flows(load, hosts, hosts);
	derange(order, hosts, prng);
	for (uint32_t i = 0; i < hosts; i++)
		load->flows[i] = message(i, order[i], size, i);
}

static void init_incast(struct weft_sim_load *load, uint32_t hosts, uint32_t size, uint32_t senders,
			uint32_t *order, struct weft_prng *prng)
{
	weft_assert(senders < hosts);
	alloc_flows(load, senders, senders);
	shuffle(order, hosts, prng);
	for (uint32_t i = 0; i < senders; i++)
		load->flows[i] = message(order[i + 1], order[0], size, i);
}

/* Each host begins with its successor, so that at first nobody is everybody's target. */
static void init_alltoall(struct weft_sim_load *load, uint32_t hosts, uint32_t size)
{
	uint32_t n = 0;

	alloc_flows(load, hosts * (hosts - 1), hosts * (hosts - 1));
	for (uint32_t round = 1; round < hosts; round++)
		for (uint32_t i = 0; i < hosts; i++, n++)
			load->flows[n] = message(i, (i + round) % hosts, size, n);
}

/* Bytes of the chunk that rank r passes on in a step: (r - step) modulo the number of ranks. */
static uint32_t ring_chunk(uint32_t size, uint32_t ranks, uint32_t rank, uint32_t step)
{
	uint32_t chunk = (rank + 2 * ranks - step) % ranks;

	return size / ranks + (chunk < size % ranks);
}

/* Reduce-scatter, then all-gather: 2(n - 1) steps with n ranks, placed at random. Flow step * n + rank
 * is what `rank` sends in `step`. */
static void init_ring(struct weft_sim_load *load, uint32_t hosts, uint32_t size, uint32_t *order,
		      struct weft_prng *prng)
{
	uint32_t steps = 2 * (hosts - 1);

	weft_assert(size >= hosts);
	alloc_flows(load, steps * hosts, hosts);
	shuffle(order, hosts, prng);
	for (uint32_t s = 0; s < steps; s++) {
		for (uint32_t r = 0; r < hosts; r++) {
			uint32_t to = (r + 1) % hosts;
			struct weft_sim_flow *flow = &load->flows[s * hosts + r];

			*flow = message(order[r], order[to], ring_chunk(size, hosts, r, s), r);
			flow->task_dst = to;
			flow->next = s + 1 < steps ? (s + 1) * hosts + to : WEFT_SIM_NONE;
			flow->waits = s > 0;
		}
	}
}

/* Pairs */

static int compare_pairs(const void *a, const void *b)
{
	const struct weft_sim_pair *x = a, *y = b;

	if (x->src != y->src)
		return x->src < y->src ? -1 : 1;
	return x->dst < y->dst ? -1 : x->dst > y->dst;
}

static void init_pairs(struct weft_sim_load *load)
{
	uint32_t n = 0;

	load->pairs = alloc_array(load->flows_len, sizeof(*load->pairs));
	for (uint32_t i = 0; i < load->flows_len; i++)
		load->pairs[i] = (struct weft_sim_pair){ .src = load->flows[i].src,
							 .dst = load->flows[i].dst };
	qsort(load->pairs, load->flows_len, sizeof(*load->pairs), compare_pairs);
	for (uint32_t i = 0; i < load->flows_len; i++)
		if (!n || compare_pairs(&load->pairs[n - 1], &load->pairs[i]))
			load->pairs[n++] = load->pairs[i];
	load->pairs_len = n;
	for (uint32_t i = 0; i < load->flows_len; i++) {
		struct weft_sim_flow *flow = &load->flows[i];
		struct weft_sim_pair key = { .src = flow->src, .dst = flow->dst }, *found;

		found = bsearch(&key, load->pairs, n, sizeof(key), compare_pairs);
		flow->pair = (uint32_t)(found - load->pairs);
	}
}

/* The ideal */

static uint64_t wire_bytes(const struct weft_sim_framing *fr, uint32_t bytes)
{
	uint32_t payload = fr->mtu - fr->overhead;

	return (uint64_t)bytes +
	       (uint64_t)(bytes / payload + (bytes % payload != 0)) * fr->overhead;
}

static weft_ns link_time(const struct weft_fabric_cfg *net, uint64_t bytes)
{
	unsigned __int128 bits = (unsigned __int128)bytes * 8 * 1000000000u;

	return (weft_ns)((bits + net->link_bps - 1) / net->link_bps);
}

/* From the moment that the last packet of a message is on its first link until it is over its last one. */
static weft_ns last_packet_time(const struct weft_fabric_cfg *net,
				const struct weft_sim_framing *fr, const struct weft_sim_flow *flow)
{
	uint32_t payload = fr->mtu - fr->overhead, rest = flow->bytes % payload;
	uint32_t bytes = (rest ? rest : payload) + fr->overhead;
	uint32_t links = weft_fabric_links_between(net, flow->src, flow->dst);

	return weft_fabric_cross_time(net, links, bytes) - link_time(net, bytes);
}

static weft_ns ack_time(const struct weft_fabric_cfg *net, const struct weft_sim_framing *fr,
			const struct weft_sim_flow *flow)
{
	return weft_fabric_cross_time(net, weft_fabric_links_between(net, flow->dst, flow->src),
				      fr->ack_bytes);
}

static weft_ns ideal_at_once(const struct weft_sim_load *load, const struct weft_fabric_cfg *net,
			     const struct weft_sim_framing *fr)
{
	uint64_t *tx = alloc_array(net->hosts, sizeof(*tx)),
		 *rx = alloc_array(net->hosts, sizeof(*rx));
	weft_ns ideal = 0;

	for (uint32_t i = 0; i < load->flows_len; i++) {
		tx[load->flows[i].src] += wire_bytes(fr, load->flows[i].bytes);
		rx[load->flows[i].dst] += wire_bytes(fr, load->flows[i].bytes);
	}
	for (uint32_t i = 0; i < load->flows_len; i++) {
		const struct weft_sim_flow *flow = &load->flows[i];
		weft_ns t = link_time(net, WEFT_MAX(tx[flow->src], rx[flow->dst])) +
			    last_packet_time(net, fr, flow) + ack_time(net, fr, flow);

		ideal = WEFT_MAX(ideal, t);
	}
	free(tx);
	free(rx);
	return ideal;
}

static weft_ns ideal_ring(const struct weft_sim_load *load, const struct weft_fabric_cfg *net,
			  const struct weft_sim_framing *fr)
{
	uint32_t ranks = load->tasks;
	weft_ns *ready = alloc_array(load->flows_len + ranks, sizeof(*ready)); /* by flow */
	weft_ns *card_free = alloc_array(ranks, sizeof(*card_free)), ideal = 0;

	for (uint32_t i = 0; i < load->flows_len; i++) {
		const struct weft_sim_flow *flow = &load->flows[i];
		weft_ns sent = WEFT_MAX(ready[i], card_free[i % ranks]) +
			       link_time(net, wire_bytes(fr, flow->bytes));
		weft_ns arrived = sent + last_packet_time(net, fr, flow);

		card_free[i % ranks] = sent;
		if (flow->next != WEFT_SIM_NONE)
			ready[flow->next] = arrived;
		ideal = WEFT_MAX(ideal, arrived + ack_time(net, fr, flow));
	}
	free(ready);
	free(card_free);
	return ideal;
}

void weft_sim_load_init(struct weft_sim_load *load, enum weft_sim_workload workload, uint32_t size,
			uint32_t senders, const struct weft_fabric_cfg *net,
			const struct weft_sim_framing *framing, uint64_t seed)
{
	uint32_t *order = alloc_array(net->hosts, sizeof(*order));
	struct weft_prng prng;

	*load = (struct weft_sim_load){ 0 };
	weft_prng_init(&prng, seed);
	switch (workload) {
	case WEFT_SIM_PERMUTATION:
		init_permutation(load, net->hosts, size, order, &prng);
		break;
	case WEFT_SIM_INCAST:
		init_incast(load, net->hosts, size, senders, order, &prng);
		break;
	case WEFT_SIM_RING_ALLREDUCE:
		init_ring(load, net->hosts, size, order, &prng);
		break;
	case WEFT_SIM_ALLTOALL:
		init_alltoall(load, net->hosts, size);
		break;
	}
	free(order);
	init_pairs(load);
	load->ideal = workload == WEFT_SIM_RING_ALLREDUCE ? ideal_ring(load, net, framing)
							  : ideal_at_once(load, net, framing);
}

void weft_sim_load_fini(struct weft_sim_load *load)
{
	free(load->flows);
	free(load->pairs);
	*load = (struct weft_sim_load){ 0 };
}
