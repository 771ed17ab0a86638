/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_NODE_NODE_H
#define WEFT_NODE_NODE_H

/* What a machine has: cards, GPUs, kernel, memory, limits. Read once, judged by check.c, and shown by `weft info`.
 * What cannot be read is empty, 0 or WEFT_NODE_UNKNOWN, never guessed. */
#include "advice/env.h"
#include "cloud/catalogue.h"
#include "node/counters.h"
#include "node/root.h"

#define WEFT_NODE_CARDS_MAX 64
#define WEFT_NODE_GPUS_MAX  64
#define WEFT_NODE_UNKNOWN   UINT64_MAX

enum weft_node_counter {
	WEFT_NODE_TX_BYTES,
	WEFT_NODE_RX_BYTES,
	WEFT_NODE_TX_PKTS,
	WEFT_NODE_RETRANS_PKTS,
	WEFT_NODE_RETRANS_TIMEOUT_EVENTS,
	WEFT_NODE_UNRESPONSIVE_REMOTE_EVENTS,
	WEFT_NODE_IMPAIRED_REMOTE_CONN_EVENTS,
	WEFT_NODE_REG_MR_ERR,
	WEFT_NODE_COUNTERS,
};

extern const char *const weft_node_counter_names[WEFT_NODE_COUNTERS];

/* A PCI device that matters here: a card, or a GPU. */
struct weft_node_pci {
	char bdf[32];
	char path[512]; /* Its real folder in sysfs: distances are read off it. */
	uint32_t vendor, device;
	int numa; /* -1: none in particular. */
};

struct weft_node_card {
	struct weft_node_pci pci;
	char name[64]; /* Of the RDMA device; "": the kernel shows none. */
	char driver[64]; /* "": none is bound. */
	char uverbs[64]; /* "uverbs0" */
	int access; /* Of /dev/infiniband/uverbs0: 0, or -errno. */
	bool is_efa; /* Else of another vendor. */
	char state[32]; /* "ACTIVE" */
	uint64_t port_gbps;
	char gid[64];
	char p2p[64]; /* Who provides peer memory, as the driver says. */
	uint64_t counter[WEFT_NODE_COUNTERS];
};

struct weft_node_gpu {
	struct weft_node_pci pci;
	const char *maker; /* "nvidia", "amd", "neuron", "gaudi" */
};

struct weft_node {
	struct weft_node_card card[WEFT_NODE_CARDS_MAX]; /* EFA first, each part by PCI address. */
	size_t cards, foreign;
	size_t cards_left_out; /* Past the end of the array. */
	struct weft_node_gpu gpu[WEFT_NODE_GPUS_MAX];
	size_t gpus;
	char ena[WEFT_NODE_CARDS_MAX][32]; /* PCI addresses of ordinary network interfaces (ENA). */
	size_t enas;

	char product[64], vendor[64]; /* What the firmware says: "p5.48xlarge", "Amazon EC2". */
	const struct weft_instance *type; /* That, in the catalogue; or what was given; or NULL. */
	bool type_given;

	char kernel[128];
	uint32_t kernel_version;
	char driver_version[64]; /* Of the efa module; "": it has none, or is not loaded. */
	bool driver_loaded;
	char peer_module[64]; /* The one that is loaded. */
	char peer_module_elsewhere
		[128]; /* A kernel that it was built for, when it is not for this one. */
	bool nvidia_loaded, nvidia_open;

	uint64_t uptime_s, cpus;
	uint64_t mem_bytes;
	uint64_t hugepages, hugepages_free; /* Of 2 MiB. */
	uint64_t shm_bytes;
	char process[24]; /* Whose limits: "self", or a number. */
	uint64_t memlock, nofile; /* Soft limits; UINT64_MAX - 1: unlimited. */
	bool has_ipc_lock; /* The limit does not apply. */
	bool in_container;

	char *interface_text; /* owns. Behind `interface`. */
	const char **interface; /* owns */
	size_t interfaces;
};

#define WEFT_NODE_UNLIMITED (UINT64_MAX - 1)

/* `process`: "self", or the number of another process, for its limits. `type`: what is expected, or NULL. */
void weft_node_read(struct weft_root *root, const char *process, const struct weft_instance *type,
		    struct weft_node *node_out);
void weft_node_free(struct weft_node *node);

/* Counters of a card again, for rates. */
void weft_node_read_counters(struct weft_root *root, struct weft_node_card *card);

/* Do the cards have RDMA read? By the type; else by the generation, where that says it. */
enum weft_tri weft_node_rdma_read(const struct weft_node *node);

/* What kind of interface a card is. sysfs does not say it: an efa interface comes with an ENA device on the same PCI
 * bus, an efa-only interface does not. */
enum weft_node_kind {
	WEFT_NODE_KIND_UNKNOWN, /* Some on that bus have one. */
	WEFT_NODE_KIND_EFA,
	WEFT_NODE_KIND_EFA_ONLY,
};

enum weft_node_kind weft_node_kind(const struct weft_node *node, const struct weft_node_card *card);

/* Is this a machine for EFA: has it a card, or a type that should have? */
bool weft_node_wants_efa(const struct weft_node *node);

/* How far two PCI devices are apart, as NCCL names it: "PIX", "PXB", "PHB", "NODE", "SYS". */
enum weft_node_distance {
	WEFT_NODE_SELF,
	WEFT_NODE_PIX, /* One switch between them. */
	WEFT_NODE_PXB, /* Several switches. */
	WEFT_NODE_PHB, /* The same host bridge. */
	WEFT_NODE_NODE, /* The same NUMA node. */
	WEFT_NODE_SYS, /* Another NUMA node, or nobody knows. */
};

enum weft_node_distance weft_node_distance(const struct weft_node_pci *a,
					   const struct weft_node_pci *b);
const char *weft_node_distance_name(enum weft_node_distance distance);

#endif
