/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading a machine out of /sys, /proc and /dev.
 *
 * An EFA card is a PCI device of vendor 0x1d0f with an id of 0xefa0 to 0xefaf, whether or not a driver has it:
 * a card without a driver is a finding and not an absence. Counting RDMA devices instead would count the
 * management cards of a B200 as well. What the RDMA subsystem knows of a card is found by following its `device`
 * link back to the PCI device. */
#include "node/node.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AMAZON 0x1d0f

const char *const weft_node_counter_names[WEFT_NODE_COUNTERS] = {
	[WEFT_NODE_TX_BYTES] = "tx_bytes",
	[WEFT_NODE_RX_BYTES] = "rx_bytes",
	[WEFT_NODE_TX_PKTS] = "tx_pkts",
	[WEFT_NODE_RETRANS_PKTS] = "retrans_pkts",
	[WEFT_NODE_RETRANS_TIMEOUT_EVENTS] = "retrans_timeout_events",
	[WEFT_NODE_UNRESPONSIVE_REMOTE_EVENTS] = "unresponsive_remote_events",
	[WEFT_NODE_IMPAIRED_REMOTE_CONN_EVENTS] = "impaired_remote_conn_events",
	[WEFT_NODE_REG_MR_ERR] = "reg_mr_err",
};

static bool is_efa(uint32_t vendor, uint32_t device)
{
	return vendor == AMAZON && (device & ~0xfu) == 0xefa0;
}

/* PCI */

static const char *gpu_maker(uint32_t vendor, uint32_t device, uint32_t class)
{
	/* 3D and VGA controllers, and processing accelerators. */
	bool display = class >> 8 == 0x0302 || class >> 8 == 0x0300, accel = class >> 8 == 0x1200;

	if (vendor == 0x10de && display)
		return "nvidia";
	if (vendor == 0x1002 && (display || class >> 8 == 0x0380 || accel))
		return "amd";
	if (vendor == 0x1da3 && accel)
		return "gaudi";
	/* Inferentia and Trainium share the vendor with the cards. */
	if (vendor == AMAZON && ((device & 0xff00) == 0x7000 || (device & 0xff00) == 0x7100))
		return "neuron";
	return NULL;
}

static bool read_pci(struct weft_root *root, const char *bdf, struct weft_node_pci *pci_out)
{
	uint64_t vendor, device;
	char numa[16], real[WEFT_ROOT_PATH_MAX];

	if (!weft_root_number(root, &vendor, "sys/bus/pci/devices/%s/vendor", bdf) ||
	    !weft_root_number(root, &device, "sys/bus/pci/devices/%s/device", bdf))
		return false;
	memset(pci_out, 0, sizeof(*pci_out));
	pci_out->vendor = (uint32_t)vendor;
	pci_out->device = (uint32_t)device;
	snprintf(pci_out->bdf, sizeof(pci_out->bdf), "%s", bdf);
	pci_out->numa = -1;
	if (weft_root_text(root, numa, sizeof(numa), "sys/bus/pci/devices/%s/numa_node", bdf) > 0)
		pci_out->numa = atoi(numa);
	if (!weft_root_real(root, real, "sys/bus/pci/devices/%s", bdf) &&
	    strlen(real) < sizeof(pci_out->path))
		snprintf(pci_out->path, sizeof(pci_out->path), "%s", real);
	return true;
}

static bool is_ena(uint32_t vendor, uint32_t device)
{
	return vendor == AMAZON && (device == 0xec20 || device == 0xec21 || device == 0x0ec2);
}

static struct weft_node_card *add_card(struct weft_node *node, const struct weft_node_pci *pci)
{
	struct weft_node_card *card;

	if (node->cards + node->foreign >= WEFT_NODE_CARDS_MAX) {
		node->cards_left_out++;
		return NULL;
	}
	card = &node->card[node->cards + node->foreign];
	memset(card, 0, sizeof(*card));
	card->pci = *pci;
	card->is_efa = is_efa(pci->vendor, pci->device);
	for (uint32_t i = 0; i < WEFT_NODE_COUNTERS; i++)
		card->counter[i] = WEFT_NODE_UNKNOWN;
	if (card->is_efa)
		node->cards++;
	else
		node->foreign++;
	return card;
}

static void read_pci_devices(struct weft_root *root, struct weft_node *node)
{
	struct weft_names names = weft_root_list(root, "sys/bus/pci/devices");

	for (size_t i = 0; i < names.count; i++) {
		struct weft_node_pci pci;
		const char *maker;
		uint64_t class = 0;

		if (!read_pci(root, names.name[i], &pci))
			continue;
		if (is_efa(pci.vendor, pci.device)) {
			struct weft_node_card *card = add_card(node, &pci);

			if (card)
				(void)weft_root_leaf(root, card->driver, sizeof(card->driver),
						     "sys/bus/pci/devices/%s/driver", pci.bdf);
			continue;
		}
		if (is_ena(pci.vendor, pci.device) && node->enas < WEFT_NODE_CARDS_MAX)
			memcpy(node->ena[node->enas++], pci.bdf, sizeof(pci.bdf));
		(void)weft_root_number(root, &class, "sys/bus/pci/devices/%s/class", pci.bdf);
		maker = gpu_maker(pci.vendor, pci.device, (uint32_t) class);
		if (maker && node->gpus < WEFT_NODE_GPUS_MAX) {
			node->gpu[node->gpus].pci = pci;
			node->gpu[node->gpus++].maker = maker;
		}
	}
	weft_names_free(&names);
}

/* RDMA devices */

static void take_counter(void *arg, const char *name, uint64_t value)
{
	struct weft_node_card *card = arg;

	for (uint32_t i = 0; i < WEFT_NODE_COUNTERS; i++)
		if (!strcmp(name, weft_node_counter_names[i]))
			card->counter[i] = value;
}

void weft_node_read_counters(struct weft_root *root, struct weft_node_card *card)
{
	weft_node_counters(root, card->name, take_counter, card);
}

static void read_first_name(struct weft_root *root, char *buf, size_t len, const char *folder)
{
	struct weft_names names = weft_root_list(root, "%s", folder);

	if (names.count)
		snprintf(buf, len, "%s", names.name[0]);
	weft_names_free(&names);
}

static void read_rdma_device(struct weft_root *root, struct weft_node_card *card, const char *name)
{
	char folder[256];

	snprintf(card->name, sizeof(card->name), "%s", name);
	weft_node_read_state(root, name, card->state, sizeof(card->state));
	(void)weft_root_number(root, &card->port_gbps, "sys/class/infiniband/%s/ports/1/rate",
			       name);
	(void)weft_root_text(root, card->gid, sizeof(card->gid),
			     "sys/class/infiniband/%s/ports/1/gids/0", name);
	(void)weft_root_text(root, card->p2p, sizeof(card->p2p),
			     "sys/class/infiniband/%s/device/p2p", name);
	snprintf(folder, sizeof(folder), "sys/class/infiniband/%s/device/infiniband_verbs", name);
	read_first_name(root, card->uverbs, sizeof(card->uverbs), folder);
	card->access = card->uverbs[0] ? weft_root_device(root, "dev/infiniband/%s", card->uverbs)
				       : -ENOENT;
	weft_node_read_counters(root, card);
}

static void read_rdma_devices(struct weft_root *root, struct weft_node *node)
{
	struct weft_names names = weft_root_list(root, "sys/class/infiniband");

	for (size_t i = 0; i < names.count; i++) {
		struct weft_node_card *card = NULL;
		struct weft_node_pci pci;
		char bdf[256];

		if (!weft_root_leaf(root, bdf, sizeof(bdf), "sys/class/infiniband/%s/device",
				    names.name[i]))
			continue;
		for (size_t k = 0; k < node->cards; k++)
			if (!strcmp(node->card[k].pci.bdf, bdf))
				card = &node->card[k];
		/* Not EFA; and some have no PCI device at all (rxe, siw). */
		if (!card && read_pci(root, bdf, &pci))
			card = add_card(node, &pci);
		if (!card)
			continue;
		if (!card->driver[0])
			(void)weft_root_leaf(root, card->driver, sizeof(card->driver),
					     "sys/class/infiniband/%s/device/driver",
					     names.name[i]);
		read_rdma_device(root, card, names.name[i]);
	}
	weft_names_free(&names);
}

/* Kernel and modules */

static const char *const peer_modules[] = { "efa_nv_peermem", "nvidia_peermem", "nv_peer_mem" };

/* Is the module's file there for another kernel, and not for this one? */
static void find_peer_module(struct weft_root *root, struct weft_node *node)
{
	static const char *const folders[] = { "extra", "updates/dkms", "updates", "weak-updates",
					       "kernel/drivers/infiniband/hw/efa" };
	static const char *const ends[] = { "", ".xz", ".zst", ".gz" };
	struct weft_names kernels = weft_root_list(root, "lib/modules");
	char elsewhere[128] = "";
	bool here = false;

	for (size_t i = 0; i < kernels.count; i++)
		for (size_t k = 0; k < WEFT_ARRAY_SIZE(folders) * WEFT_ARRAY_SIZE(ends); k++) {
			if (!weft_root_exists(root, "lib/modules/%s/%s/efa_nv_peermem.ko%s",
					      kernels.name[i], folders[k / WEFT_ARRAY_SIZE(ends)],
					      ends[k % WEFT_ARRAY_SIZE(ends)]))
				continue;
			if (!strcmp(kernels.name[i], node->kernel))
				here = true;
			else
				snprintf(elsewhere, sizeof(elsewhere), "%s", kernels.name[i]);
		}
	if (!here)
		snprintf(node->peer_module_elsewhere, sizeof(node->peer_module_elsewhere), "%s",
			 elsewhere);
	weft_names_free(&kernels);
}

static void read_kernel(struct weft_root *root, struct weft_node *node)
{
	char text[256];

	(void)weft_root_text(root, node->kernel, sizeof(node->kernel), "proc/sys/kernel/osrelease");
	node->kernel_version = weft_version_parse(node->kernel);
	node->driver_loaded = weft_root_exists(root, "sys/module/efa");
	(void)weft_root_text(root, node->driver_version, sizeof(node->driver_version),
			     "sys/module/efa/version");
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(peer_modules) && !node->peer_module[0]; i++)
		if (weft_root_exists(root, "sys/module/%s", peer_modules[i]))
			snprintf(node->peer_module, sizeof(node->peer_module), "%s",
				 peer_modules[i]);
	find_peer_module(root, node);
	node->nvidia_loaded = weft_root_exists(root, "sys/module/nvidia");
	if (weft_root_text(root, text, sizeof(text), "proc/driver/nvidia/version") > 0)
		node->nvidia_open = strstr(text, "Open Kernel Module") != NULL;
}

/* Memory and limits */

static uint64_t count_of_list(const char *list)
{
	uint64_t count = 0;
	const char *p = list;

	/* "0-3,8" */
	while (*p) {
		char *end;
		unsigned long first = strtoul(p, &end, 10), last = first;

		if (end == p)
			break;
		if (*end == '-')
			last = strtoul(end + 1, &end, 10);
		if (last < first || last - first > 1u << 20)
			break;
		count += last - first + 1;
		p = *end == ',' ? end + 1 : "";
	}
	return count;
}

static uint64_t limit_of(const char *limits, const char *name)
{
	const char *row = limits ? strstr(limits, name) : NULL;

	if (!row)
		return WEFT_NODE_UNKNOWN;
	row += strlen(name);
	row += strspn(row, " ");
	if (!strncmp(row, "unlimited", 9))
		return WEFT_NODE_UNLIMITED;
	return *row >= '0' && *row <= '9' ? strtoull(row, NULL, 10) : WEFT_NODE_UNKNOWN;
}

/* /dev/shm without a size of its own is half the memory. */
static uint64_t shm_size(struct weft_root *root, const char *process, uint64_t mem_bytes)
{
	static const char units[] = "kmg";
	char *mounts = weft_root_file(root, 1u << 20, "proc/%s/mounts", process);
	const char *at = mounts ? strstr(mounts, " /dev/shm ") : NULL;
	uint64_t size = WEFT_NODE_UNKNOWN;

	if (at) {
		size_t len = strcspn(at, "\n");
		const char *option = strstr(at, "size=");

		size = mem_bytes ? mem_bytes / 2 : WEFT_NODE_UNKNOWN;
		if (option && option < at + len) {
			char *end;
			const char *unit;

			size = strtoull(option + 5, &end, 10);
			unit = *end ? strchr(units, *end) : NULL;
			if (*end == '%')
				size = mem_bytes / 100 * size;
			else if (unit)
				size <<= 10 * (unit - units + 1);
		}
	}
	free(mounts);
	return size;
}

static void read_limits(struct weft_root *root, const char *process, struct weft_node *node)
{
	char *limits = weft_root_file(root, 1u << 16, "proc/%s/limits", process);
	char *status = weft_root_file(root, 1u << 16, "proc/%s/status", process);
	const char *caps = status ? strstr(status, "CapEff:") : NULL;

	snprintf(node->process, sizeof(node->process), "%s", process);
	node->memlock = limit_of(limits, "Max locked memory");
	node->nofile = limit_of(limits, "Max open files");
	node->has_ipc_lock = caps && (strtoull(caps + 7, NULL, 16) >> 14 & 1);
	free(limits);
	free(status);
}

static void read_memory(struct weft_root *root, const char *process, struct weft_node *node)
{
	char text[4096], *mem = weft_root_file(root, 1u << 16, "proc/meminfo");
	const char *total = mem ? strstr(mem, "MemTotal:") : NULL;

	node->mem_bytes = total ? strtoull(total + 9, NULL, 10) * 1024 : 0;
	free(mem);
	node->hugepages = node->hugepages_free = WEFT_NODE_UNKNOWN;
	(void)weft_root_number(root, &node->hugepages,
			       "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
	(void)weft_root_number(root, &node->hugepages_free,
			       "sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
	if (weft_root_text(root, text, sizeof(text), "sys/devices/system/cpu/online") > 0)
		node->cpus = count_of_list(text);
	node->uptime_s = WEFT_NODE_UNKNOWN;
	(void)weft_root_number(root, &node->uptime_s, "proc/uptime");
	node->shm_bytes = shm_size(root, process, node->mem_bytes);
}

static void read_interfaces(struct weft_root *root, struct weft_node *node)
{
	struct weft_names names = weft_root_list(root, "sys/class/net");
	size_t len = 0;
	char *p;

	for (size_t i = 0; i < names.count; i++)
		len += strlen(names.name[i]) + 1;
	node->interface_text = malloc(len + 1);
	node->interface = calloc(names.count + 1, sizeof(*node->interface));
	if (names.count && node->interface_text && node->interface) {
		p = node->interface_text;
		for (size_t i = 0; i < names.count; i++) {
			node->interface[node->interfaces++] = p;
			p = stpcpy(p, names.name[i]) + 1;
		}
	}
	weft_names_free(&names);
}

static void read_type(struct weft_root *root, const struct weft_instance *type,
		      struct weft_node *node)
{
	(void)weft_root_text(root, node->product, sizeof(node->product),
			     "sys/devices/virtual/dmi/id/product_name");
	(void)weft_root_text(root, node->vendor, sizeof(node->vendor),
			     "sys/devices/virtual/dmi/id/sys_vendor");
	node->type = type;
	node->type_given = type != NULL;
	if (!type && node->product[0] && strstr(node->vendor, "Amazon"))
		node->type = weft_catalogue_find(node->product);
}

void weft_node_read(struct weft_root *root, const char *process, const struct weft_instance *type,
		    struct weft_node *node_out)
{
	memset(node_out, 0, sizeof(*node_out));
	read_type(root, type, node_out);
	read_kernel(root, node_out);
	read_pci_devices(root, node_out);
	read_rdma_devices(root, node_out);
	read_memory(root, process, node_out);
	read_limits(root, process, node_out);
	read_interfaces(root, node_out);
	node_out->in_container = weft_root_exists(root, ".dockerenv") ||
				 weft_root_exists(root, "run/.containerenv") ||
				 weft_root_exists(root, "var/run/secrets/kubernetes.io");
}

void weft_node_free(struct weft_node *node)
{
	free(node->interface_text);
	free(node->interface);
}

enum weft_tri weft_node_rdma_read(const struct weft_node *node)
{
	enum weft_tri by_cards = WEFT_UNKNOWN;

	if (node->type && node->type->rdma_read.how != WEFT_FACT_UNKNOWN)
		return node->type->rdma_read.value ? WEFT_YES : WEFT_NO;
	/* 0xefa0 may have it (p4d) or not (c5n); every later generation has. */
	for (size_t i = 0; i < node->cards; i++) {
		if (node->card[i].pci.device == 0xefa0)
			return WEFT_UNKNOWN;
		by_cards = WEFT_YES;
	}
	return by_cards;
}

bool weft_node_wants_efa(const struct weft_node *node)
{
	return node->cards || node->type;
}

enum weft_node_kind weft_node_kind(const struct weft_node *node, const struct weft_node_card *card)
{
	size_t bus = strcspn(card->pci.bdf, ":") + 3, efas = 0, enas = 0;

	for (size_t i = 0; i < node->cards; i++)
		efas += !strncmp(node->card[i].pci.bdf, card->pci.bdf, bus);
	for (size_t i = 0; i < node->enas; i++)
		enas += !strncmp(node->ena[i], card->pci.bdf, bus);
	if (!enas)
		return WEFT_NODE_KIND_EFA_ONLY;
	return enas >= efas ? WEFT_NODE_KIND_EFA : WEFT_NODE_KIND_UNKNOWN;
}

/* Distances: the folders of sysfs mirror the tree of bridges. */

static size_t depth_of(const char *path)
{
	size_t depth = 0;

	for (; *path; path++)
		depth += *path == '/';
	return depth;
}

enum weft_node_distance weft_node_distance(const struct weft_node_pci *a,
					   const struct weft_node_pci *b)
{
	const char *root = strstr(a->path, "/pci");
	size_t common = 0, up;

	if (!strcmp(a->bdf, b->bdf))
		return WEFT_NODE_SELF;
	for (size_t i = 0; a->path[i] && a->path[i] == b->path[i]; i++)
		if (a->path[i] == '/')
			common = i;
	/* Nothing in common below the host bridge: then the NUMA node counts. */
	if (!root || common < (size_t)(root - a->path) + 1)
		return a->numa >= 0 && a->numa == b->numa ? WEFT_NODE_NODE : WEFT_NODE_SYS;
	/* Only the host bridge itself: sys/devices/pci0000:00. */
	if (!strchr(root + 1, '/') || a->path + common == strchr(root + 1, '/'))
		return WEFT_NODE_PHB;
	up = WEFT_MAX(depth_of(a->path + common), depth_of(b->path + common));
	return up <= 2 ? WEFT_NODE_PIX : WEFT_NODE_PXB;
}

const char *weft_node_distance_name(enum weft_node_distance distance)
{
	static const char *const names[] = { "X", "PIX", "PXB", "PHB", "NODE", "SYS" };

	return names[distance];
}
