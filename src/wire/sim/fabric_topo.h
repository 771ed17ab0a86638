/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_WIRE_SIM_FABRIC_TOPO_H
#define WEFT_WIRE_SIM_FABRIC_TOPO_H

/* The shape of a fabric: which port leads where. Of interest to fabric.c only.
 *
 * Nodes are numbered hosts first, then switches from the hosts upwards. Ports are one way; those of the
 * hosts' cards come first and have the number of their host. */
#include "wire/sim/fabric.h"

struct weft_topo_switch {
	/* The hosts below it: [first_host, first_host + hosts), per_down of them behind each of its
	 * downward ports. Anything else goes up, by any upward port. */
	uint32_t first_host, hosts, per_down;
	uint32_t port; /* Its first port: the downward ones, then the upward ones. */
	uint32_t downs, ups;
};

struct weft_topo {
	uint32_t hosts, switches, ports;
	struct weft_topo_switch *sw; /* owns */
	uint32_t *to; /* owns; by port: the node at the other end */
	/* Both directions of each link of the core, counted along the switches below it. */
	uint32_t core_links;
	uint32_t *core_up, *core_down; /* owns; ports */
};

/* cfg is checked. */
void weft_topo_init(struct weft_topo *t, const struct weft_fabric_cfg *cfg);
void weft_topo_fini(struct weft_topo *t);

#endif
