/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_FLEET_FLEET_H
#define WEFT_FLEET_FLEET_H

/* The nodes of a cluster, and what its pods take of them: made of objects of Kubernetes, one at a time and in any order,
 * of which only sums are kept. */
#include "advice/finding.h"
#include "cloud/catalogue.h"

#include <jansson.h>

#define WEFT_FLEET_RESOURCES_MAX 12u
#define WEFT_FLEET_NODES_MAX     100000u
#define WEFT_FLEET_PODS_MAX      5000000u
#define WEFT_FLEET_STUCK_MAX     8u

/* Those that are always counted. The accelerators of all makers are one. */
enum {
	WEFT_FLEET_CPU,
	WEFT_FLEET_GPU,
	WEFT_FLEET_EFA,
	WEFT_FLEET_FIXED,
};

enum weft_fleet_capacity {
	WEFT_CAPACITY_UNKNOWN,
	WEFT_CAPACITY_ON_DEMAND,
	WEFT_CAPACITY_SPOT,
	WEFT_CAPACITY_RESERVED, /* Blocks and reservations. */
	WEFT_CAPACITY_FARGATE,
};

/* The pods of the EFA device plugin on a node; the best of them. */
enum weft_fleet_plugin {
	WEFT_PLUGIN_NONE,
	WEFT_PLUGIN_CRASHING,
	WEFT_PLUGIN_NOT_READY,
	WEFT_PLUGIN_READY,
};

/* What is wrong with the EFAs of a node. */
enum weft_fleet_trouble {
	WEFT_TROUBLE_NONE,
	WEFT_TROUBLE_CRASHING, /* The plugin. */
	WEFT_TROUBLE_NOT_READY,
	WEFT_TROUBLE_ABSENT,
	WEFT_TROUBLE_ZERO, /* The plugin is there, or nobody knows; there is no EFA. */
	WEFT_TROUBLE_FEWER,
	WEFT_TROUBLE_MORE,
	WEFT_TROUBLE_COUNT,
};

/* Amounts are in thousandths, and stop at UINT64_MAX. */
struct weft_fleet_sum {
	uint64_t requested[WEFT_FLEET_RESOURCES_MAX];
	uint64_t allocatable[WEFT_FLEET_RESOURCES_MAX];
	uint64_t expected; /* EFAs, by the catalogue; whole ones. */
	uint64_t price; /* Per hour, in millionths of a dollar. */
	uint32_t nodes, ready, unpriced, troubled;
	uint32_t pods; /* On these nodes. */
};

struct weft_fleet_node {
	char *name, *type, *zone; /* own; printable ASCII. "" is not known. */
	const struct weft_instance *instance; /* NULL: not known to have EFA. */
	bool seen; /* The node itself. Else only pods have named it. */
	bool ready, ready_unknown, cordoned, deleting;
	enum weft_fleet_capacity capacity;
	uint64_t requested[WEFT_FLEET_RESOURCES_MAX];
	uint64_t allocatable[WEFT_FLEET_RESOURCES_MAX];
	uint32_t offered; /* Bits: which of them it has, be it 0. */
	uint32_t pods, pending, running; /* That are on it and have not ended. */
	uint32_t slices; /* EFAs that a DRA driver offers. */
	enum weft_fleet_plugin plugin;
	bool dra; /* The plugin is a DRA driver. */
	char plugin_why[40]; /* "CrashLoopBackOff", or "". */
	char gpu_text[24],
		efa_text[24]; /* As the node says it: nvidia.com/gpu, EFA; "": it does not. */
	bool priced;
	uint64_t price; /* Per hour, in millionths of a dollar. */
	enum weft_fleet_trouble trouble;
};

/* A pod that asks for EFA and cannot be placed. */
struct weft_fleet_stuck {
	char *name, *why; /* own; printable ASCII */
};

struct weft_fleet {
	char *resource[WEFT_FLEET_RESOURCES_MAX]; /* own */
	uint32_t resources;
	struct weft_fleet_node
		*node; /* owns. By name, once finished, and those that were seen first. */
	uint32_t nodes; /* Seen. */
	uint32_t begun; /* All of node[]. */
	uint32_t pods, pending, running, bound; /* On its nodes and on none; once finished. */
	uint64_t pending_efas; /* What pods without a node ask for; thousandths. */
	struct weft_fleet_stuck stuck[WEFT_FLEET_STUCK_MAX];
	uint32_t stuck_pods; /* All of them; the first are kept. */
	bool pods_given; /* Some pod was there at all. */
	bool all_namespaces; /* Then a plugin that is not seen is not there. The owner says so; true at first. */
	const char *namespace; /* borrows; or NULL. Pods of others count only as plugins. */
	struct weft_fleet_sum sum; /* Of all, once finished. */
	uint32_t short_of; /* Nodes with fewer EFAs than expected, once finished. */
	bool failed; /* No memory, or too much: `why`. */
	char why[100];
	struct weft_fleet_index *index; /* owns */
};

/* False: no memory. */
bool weft_fleet_init(struct weft_fleet *fleet);
void weft_fleet_fini(struct weft_fleet *fleet);

/* Which of resource[] that is, and from now on (so before any object) counted: "cpu", "gpu" and "efa" are the fixed
 * ones. UINT32_MAX: too many, or no memory. */
uint32_t weft_fleet_resource(struct weft_fleet *fleet, const char *name);

/* A node, pod or resource slice; anything else is passed over. An object that is there twice counts once. False: `why`
 * says what is too much. For weft_jsonlist. */
bool weft_fleet_add(void *fleet, const json_t *object);

struct weft_prices;

/* Once all is there. Pods of nodes that are not there do not count. `prices` may be NULL. */
void weft_fleet_finish(struct weft_fleet *fleet, const struct weft_prices *prices);

/* EFAs that it offers, in whichever way, once finished; and that its type has (0: none, or unknown). Whole ones. */
uint64_t weft_fleet_efas(const struct weft_fleet_node *node);
uint32_t weft_fleet_expected(const struct weft_fleet_node *node);

/* Adds a node to a sum. */
void weft_fleet_sum_add(struct weft_fleet_sum *sum, const struct weft_fleet *fleet,
			const struct weft_fleet_node *node);

/* "spot"; "Ready", "NotReady,cordoned"; "crash-loop" and a whole sentence for it, with the finding that has the remedy. */
const char *weft_fleet_capacity_name(enum weft_fleet_capacity capacity);
const char *weft_fleet_status(const struct weft_fleet_node *node);
const char *weft_fleet_plugin_name(const struct weft_fleet *fleet,
				   const struct weft_fleet_node *node);
const char *weft_fleet_trouble_name(enum weft_fleet_trouble trouble);
const char *weft_fleet_trouble_title(enum weft_fleet_trouble trouble);
enum weft_finding_id weft_fleet_trouble_finding(enum weft_fleet_trouble trouble);

#endif
