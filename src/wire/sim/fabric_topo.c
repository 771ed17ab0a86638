/* SPDX-License-Identifier: BSD-2-Clause */
/* Leaf-spine networks and three-tier fat trees as one table of switches.
 *
 * Both are trees that fold back: from a switch every host is either below it, behind exactly one of its
 * downward ports, or reached by going up, no matter by which port. So one rule forwards frames in
 * both, and only the wiring differs.
 *
 * A fat tree of k-port switches has k pods. A pod has k/2 edge switches with k/2 hosts each and k/2
 * aggregation switches, each joined to every edge switch of its pod. Aggregation switch a of every pod is
 * joined to the same k/2 core switches, a*k/2 and following, so a frame's choice at the edge and at the
 * aggregation switch picks one of (k/2)^2 ways, and there is exactly one way down. */
#include "wire/sim/fabric_topo.h"

#include "base/assert.h"

#include <errno.h>
#include <stdlib.h>

/* Far above what a simulation finishes in reasonable time, low enough for every product here. */
#define HOSTS_MAX 65536u

static void *alloc_array(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	weft_assert(p);
	return p;
}

uint32_t weft_fabric_fat_tree_ports(uint32_t hosts)
{
	for (uint32_t k = 2; k * k * k / 4 <= hosts && k * k * k / 4 <= HOSTS_MAX; k += 2)
		if (k * k * k / 4 == hosts)
			return k;
	return 0;
}

static const char *topology_wrong(const struct weft_fabric_cfg *cfg)
{
	if (cfg->hosts < 2 || cfg->hosts > HOSTS_MAX)
		return "hosts: 2 to 65536 are possible";
	switch (cfg->topology) {
	case WEFT_FABRIC_LEAF_SPINE:
		if (!cfg->leaves || cfg->leaves > cfg->hosts || cfg->hosts % cfg->leaves)
			return "leaves: must divide the hosts evenly";
		if (!cfg->spines || cfg->spines > HOSTS_MAX)
			return "spines: 1 to 65536 are possible";
		return NULL;
	case WEFT_FABRIC_FAT_TREE:
		if (!weft_fabric_fat_tree_ports(cfg->hosts))
			return "hosts: a fat tree of k-port switches has k^3/4 hosts: 2, 16, 54, "
			       "128, 250, 432, 686, 1024, ...";
		return NULL;
	}
	return "topology: unknown";
}

int weft_fabric_cfg_check(const struct weft_fabric_cfg *cfg, const char **why_out)
{
	const char *why = topology_wrong(cfg);

	if (why)
		;
	else if (cfg->link_bps < 1000000u || cfg->link_bps > (uint64_t)100000 * 1000000000u)
		why = "link: 1 Mb/s to 100 Tb/s are possible";
	else if (cfg->hop > WEFT_S(1))
		why = "hop: at most 1 s is possible";
	else if (!cfg->data_bytes_max || !cfg->control_bytes_max)
		why = "queue: must hold at least one byte";
	else if (cfg->ecn_low_bytes > cfg->ecn_high_bytes)
		why = "ecn: the low threshold is above the high one";
	else if (cfg->loss_ppm > 1000000u)
		why = "loss: more than everything";
	else if (cfg->slow_links > weft_fabric_core_links(cfg))
		why = "slow links: more than the core has";
	else if (cfg->slow_links && (!cfg->slow_ppm || cfg->slow_ppm > 1000000u))
		why = "slow links: the rate must be above 0 % and at most 100 %";
	if (!why)
		return 0;
	*why_out = why;
	return -EINVAL;
}

uint32_t weft_fabric_core_links(const struct weft_fabric_cfg *cfg)
{
	if (cfg->topology == WEFT_FABRIC_FAT_TREE) {
		uint32_t k = weft_fabric_fat_tree_ports(cfg->hosts);

		return k * (k / 2) * (k / 2);
	}
	return cfg->leaves * cfg->spines;
}

uint32_t weft_fabric_links_between(const struct weft_fabric_cfg *cfg, uint32_t a, uint32_t b)
{
	if (a == b)
		return 0;
	if (cfg->topology == WEFT_FABRIC_FAT_TREE) {
		uint32_t half = weft_fabric_fat_tree_ports(cfg->hosts) / 2;

		if (a / half == b / half)
			return 2;
		return a / (half * half) == b / (half * half) ? 4 : 6;
	}
	return a / (cfg->hosts / cfg->leaves) == b / (cfg->hosts / cfg->leaves) ? 2 : 4;
}

uint32_t weft_fabric_links_max(const struct weft_fabric_cfg *cfg)
{
	return weft_fabric_links_between(cfg, 0, cfg->hosts - 1);
}

weft_ns weft_fabric_cross_time(const struct weft_fabric_cfg *cfg, uint32_t links, uint32_t bytes)
{
	unsigned __int128 bits = (unsigned __int128)bytes * 8 * links * 1000000000u;

	return links * cfg->hop + (weft_ns)((bits + cfg->link_bps - 1) / cfg->link_bps);
}

static void topo_alloc(struct weft_topo *t, uint32_t hosts, uint32_t switches, uint32_t ports,
		       uint32_t core_links)
{
	*t = (struct weft_topo){ .hosts = hosts, .switches = switches, .core_links = core_links };
	t->sw = alloc_array(switches, sizeof(*t->sw));
	t->to = alloc_array(ports, sizeof(*t->to));
	t->core_up = alloc_array(core_links, sizeof(*t->core_up));
	t->core_down = alloc_array(core_links, sizeof(*t->core_down));
	t->ports = hosts;
}

/* Switches are added in the order of their numbers; their ports are wired afterwards. */
static void add_switch(struct weft_topo *t, uint32_t index, struct weft_topo_switch sw)
{
	sw.port = t->ports;
	sw.hosts = sw.downs * sw.per_down;
	t->sw[index] = sw;
	t->ports += sw.downs + sw.ups;
}

/* Join upward port `up` of switch `low` with downward port `down` of switch `high`. */
static void join(struct weft_topo *t, uint32_t low, uint32_t up, uint32_t high, uint32_t down,
		 uint32_t *up_port_out, uint32_t *down_port_out)
{
	uint32_t up_port = t->sw[low].port + t->sw[low].downs + up;
	uint32_t down_port = t->sw[high].port + down;

	t->to[up_port] = t->hosts + high;
	t->to[down_port] = t->hosts + low;
	if (up_port_out) {
		*up_port_out = up_port;
		*down_port_out = down_port;
	}
}

/* Join the hosts with the switches above them, the first `edges` ones. */
static void join_hosts(struct weft_topo *t, uint32_t edges)
{
	for (uint32_t s = 0; s < edges; s++) {
		for (uint32_t i = 0; i < t->sw[s].downs; i++) {
			t->to[t->sw[s].first_host + i] = t->hosts + s;
			t->to[t->sw[s].port + i] = t->sw[s].first_host + i;
		}
	}
}

static void init_leaf_spine(struct weft_topo *t, const struct weft_fabric_cfg *cfg)
{
	uint32_t per_leaf = cfg->hosts / cfg->leaves, links = cfg->leaves * cfg->spines, c = 0;

	topo_alloc(t, cfg->hosts, cfg->leaves + cfg->spines, 2 * (cfg->hosts + links), links);
	for (uint32_t l = 0; l < cfg->leaves; l++)
		add_switch(t, l,
			   (struct weft_topo_switch){ .first_host = l * per_leaf,
						      .per_down = 1,
						      .downs = per_leaf,
						      .ups = cfg->spines });
	for (uint32_t s = 0; s < cfg->spines; s++)
		add_switch(t, cfg->leaves + s,
			   (struct weft_topo_switch){ .per_down = per_leaf, .downs = cfg->leaves });
	join_hosts(t, cfg->leaves);
	for (uint32_t l = 0; l < cfg->leaves; l++)
		for (uint32_t s = 0; s < cfg->spines; s++, c++)
			join(t, l, s, cfg->leaves + s, l, &t->core_up[c], &t->core_down[c]);
}

static void init_fat_tree(struct weft_topo *t, const struct weft_fabric_cfg *cfg)
{
	uint32_t k = weft_fabric_fat_tree_ports(cfg->hosts), half = k / 2, quarter = half * half;
	uint32_t agg0 = k * half, core0 = 2 * agg0, c = 0;

	topo_alloc(t, cfg->hosts, core0 + quarter, 6 * cfg->hosts, k * quarter);
	for (uint32_t e = 0; e < agg0; e++)
		add_switch(t, e,
			   (struct weft_topo_switch){ .first_host = e * half,
						      .per_down = 1,
						      .downs = half,
						      .ups = half });
	for (uint32_t a = 0; a < agg0; a++)
		add_switch(t, agg0 + a,
			   (struct weft_topo_switch){ .first_host = a / half * quarter,
						      .per_down = half,
						      .downs = half,
						      .ups = half });
	for (uint32_t i = 0; i < quarter; i++)
		add_switch(t, core0 + i,
			   (struct weft_topo_switch){ .per_down = quarter, .downs = k });
	join_hosts(t, agg0);
	for (uint32_t pod = 0; pod < k; pod++)
		for (uint32_t e = 0; e < half; e++)
			for (uint32_t a = 0; a < half; a++)
				join(t, pod * half + e, a, agg0 + pod * half + a, e, NULL, NULL);
	for (uint32_t a = 0; a < agg0; a++)
		for (uint32_t i = 0; i < half; i++, c++)
			join(t, agg0 + a, i, core0 + a % half * half + i, a / half, &t->core_up[c],
			     &t->core_down[c]);
}

void weft_topo_init(struct weft_topo *t, const struct weft_fabric_cfg *cfg)
{
	if (cfg->topology == WEFT_FABRIC_FAT_TREE)
		init_fat_tree(t, cfg);
	else
		init_leaf_spine(t, cfg);
}

void weft_topo_fini(struct weft_topo *t)
{
	free(t->sw);
	free(t->to);
	free(t->core_up);
	free(t->core_down);
	*t = (struct weft_topo){ 0 };
}
