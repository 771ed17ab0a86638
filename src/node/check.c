/* SPDX-License-Identifier: BSD-2-Clause */
/* The rules about a machine.
 *
 * Which machine it is decides how bad something is: a locked-memory limit of 64 KiB stops EFA, and is a mere
 * note where there is no EFA card and none is expected. A rule that lacks a fact says nothing, or says that it
 * cannot tell; it never takes what it could not read for good. */
#include "node/check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MIB            (UINT64_C(1) << 20)
#define MEMLOCK_NEEDED (128 * MIB) /* One endpoint's buffers: 8192 packets of 9 KB, both ways. */
#define SHM_WANTED     (1024 * MIB)
#define NOFILE_WANTED  8192
#define LATE_S         600

#define OK(f, id, ...) weft_findings_add(f, WEFT_FINDING_##id, WEFT_SEV_OK, NULL, __VA_ARGS__)

/* What stops EFA is only worth a note where there is none. */
static enum weft_severity severity_here(const struct weft_node *node, enum weft_finding_id id)
{
	return weft_node_wants_efa(node) ? weft_finding_info(id)->severity : WEFT_SEV_NOTE;
}

/* Cards */

static void check_count(const struct weft_node *n, struct weft_findings *f)
{
	uint32_t want = n->type ? weft_fact_or(n->type->efas, 0) : 0;
	const char *name = n->type ? n->type->name : "";

	if (n->type && !want)
		weft_findings_add(f, WEFT_FINDING_CARD_COUNT, WEFT_SEV_NOTE, NULL,
				  "%zu here; how many a %s has is not known", n->cards, name);
	else if (n->cards >= want && want)
		OK(f, CARD_COUNT, "%zu of %u (%s)", n->cards, want, name);
	else if (!n->type)
		OK(f, CARD_COUNT, "%zu; the instance type is not known (--expect TYPE)", n->cards);
	else if (n->uptime_s != WEFT_NODE_UNKNOWN && n->uptime_s < LATE_S)
		weft_findings_report(f, WEFT_FINDING_CARD_LATE, NULL,
				     "%zu of %u (%s), %" PRIu64 " s after boot", n->cards, want,
				     name, n->uptime_s);
	else
		weft_findings_report(f, WEFT_FINDING_CARD_COUNT, NULL,
				     "%zu of %u (%s): %u%% of its bandwidth", n->cards, want, name,
				     (unsigned int)(n->cards * 100 / want));
	if (n->cards_left_out)
		weft_findings_add(f, WEFT_FINDING_CARD_COUNT, WEFT_SEV_NOTE, NULL,
				  "%zu more were not looked at", n->cards_left_out);
}

static void check_none(const struct weft_node *n, struct weft_findings *f)
{
	if (n->type)
		weft_findings_report(
			f, WEFT_FINDING_CARD_NONE, NULL,
			"sys/bus/pci/devices has none with vendor 0x1d0f and device 0xefaX, and "
			"a %s should have %u%s",
			n->type->name, weft_fact_or(n->type->efas, 1),
			n->type_given ? "" : " (the type is what the firmware says)");
	else
		weft_findings_add(f, WEFT_FINDING_CARD_NONE, WEFT_SEV_NOTE, NULL,
				  "sys/bus/pci/devices has none with vendor 0x1d0f and device "
				  "0xefaX, and this "
				  "is not known as an EFA instance (%s%s%s)",
				  n->vendor[0] ? n->vendor : "maker not readable",
				  n->product[0] ? " " : "", n->product);
}

/* libibverbs passes over a card without a device file, and a container has the files of the cards that it was given: a
 * share of the cards is as good as what was asked for. A file that is there and cannot be opened stops libfabric. */
static void check_card_share(const struct weft_node *n, size_t absent, struct weft_findings *f)
{
	weft_findings_add(f, WEFT_FINDING_CARD_ACCESS,
			  n->in_container ? WEFT_SEV_NOTE : WEFT_SEV_WARN, NULL,
			  "dev/infiniband has the device files of %zu of %zu EFA cards",
			  n->cards - absent, n->cards);
}

static void check_card_access(const struct weft_node *n, struct weft_findings *f)
{
	const struct weft_node_card *first = NULL;
	size_t bad = 0, absent = 0, foreign_usable = 0;

	for (size_t i = 0; i < n->cards; i++) {
		if (!n->card[i].name[0] || !n->card[i].access)
			continue;
		absent += n->card[i].access == -ENOENT;
		if (!bad++)
			first = &n->card[i];
	}
	for (size_t i = n->cards; i < n->cards + n->foreign; i++)
		foreign_usable += n->card[i].uverbs[0] && !n->card[i].access;
	if (bad && bad == n->cards && foreign_usable)
		weft_findings_report(
			f, WEFT_FINDING_CARD_NODES_FOREIGN, NULL,
			"%zu device files of other vendors can be opened, those of the %zu EFA "
			"cards cannot (dev/infiniband/%s: %s)",
			foreign_usable, bad, first->uverbs, strerror(-first->access));
	else if (bad && bad == absent && bad < n->cards)
		check_card_share(n, absent, f);
	else if (bad)
		weft_findings_report(f, WEFT_FINDING_CARD_ACCESS, NULL,
				     "dev/infiniband/%s of %s: %s (%zu of %zu cards)",
				     first->uverbs[0] ? first->uverbs : "uverbs?", first->name,
				     strerror(-first->access), bad, n->cards);
	else if (n->cards)
		OK(f, CARD_ACCESS, "the device files can be opened");
}

/* The speed of the type goes before that of the port: old drivers make the latter up. */
static void check_card_speed(const struct weft_node *n, const struct weft_node_card *c,
			     struct weft_findings *f)
{
	uint32_t want = n->type ? weft_fact_or(n->type->gbps, 0) : 0;

	/* Port rates are steps (12X FDR10 for 120 to 199); only a rate below that has a name is wrong. */
	if (want >= 200 && c->port_gbps && c->port_gbps <= 100)
		weft_findings_report(
			f, WEFT_FINDING_CARD_SPEED, NULL,
			"%s says %" PRIu64 " Gb/s, a %s has %u for each card (efa driver %s)",
			c->name, c->port_gbps, n->type->name, want,
			n->driver_version[0] ? n->driver_version : "of unknown version");
}

static void check_each_card(const struct weft_node *n, struct weft_findings *f)
{
	for (size_t i = 0; i < n->cards; i++) {
		const struct weft_node_card *c = &n->card[i];

		if (!c->driver[0] && !c->name[0]) {
			weft_findings_report(
				f, WEFT_FINDING_CARD_DRIVER, NULL,
				"sys/bus/pci/devices/%s (0x%x) has no driver; the efa module is "
				"%sloaded",
				c->pci.bdf, c->pci.device, n->driver_loaded ? "" : "not ");
			continue;
		}
		if (!c->name[0])
			weft_findings_report(
				f, WEFT_FINDING_CARD_DRIVER, NULL,
				"sys/bus/pci/devices/%s has the driver %s, but no RDMA device",
				c->pci.bdf, c->driver);
		if (c->state[0] && strcmp(c->state, "ACTIVE") != 0)
			weft_findings_report(f, WEFT_FINDING_CARD_DOWN, NULL,
					     "sys/class/infiniband/%s/ports/1/state: %s", c->name,
					     c->state);
		check_card_speed(n, c, f);
	}
}

static void check_foreign(const struct weft_node *n, struct weft_findings *f)
{
	for (size_t i = n->cards; i < n->cards + n->foreign; i++)
		weft_findings_report(f, WEFT_FINDING_CARD_FOREIGN, NULL,
				     "%s: vendor 0x%04x, device 0x%04x, driver %s", n->card[i].name,
				     n->card[i].pci.vendor, n->card[i].pci.device,
				     n->card[i].driver[0] ? n->card[i].driver : "none");
}

static void check_generation(const struct weft_node *n, struct weft_findings *f)
{
	uint32_t want = n->type ? weft_fact_or(n->type->generation, 0) : 0;
	uint32_t have = n->cards ? n->card[0].pci.device - 0xefa0 + 1 : 0;

	for (size_t i = 1; i < n->cards; i++)
		if (n->card[i].pci.device != n->card[0].pci.device) {
			weft_findings_report(f, WEFT_FINDING_CARD_GENERATION, NULL,
					     "cards of several generations: 0x%x and 0x%x",
					     n->card[0].pci.device, n->card[i].pci.device);
			return;
		}
	if (!have || !want || n->type->generation.how != WEFT_FACT_KNOWN)
		return;
	if (have != want)
		weft_findings_report(f, WEFT_FINDING_CARD_GENERATION, NULL,
				     "the cards are of generation %u (0x%x), those of a %s of %u",
				     have, n->card[0].pci.device, n->type->name, want);
	else
		OK(f, CARD_GENERATION, "generation %u (0x%x)", have, n->card[0].pci.device);
}

/* The firmware names the type, and so contradicts a wrong --expect even where the cards do not. */
static void check_product(const struct weft_node *n, struct weft_findings *f)
{
	const struct weft_instance *real =
		strstr(n->vendor, "Amazon") ? weft_catalogue_find(n->product) : NULL;

	if (n->type_given && real && real != n->type)
		weft_findings_report(f, WEFT_FINDING_CARD_GENERATION, NULL,
				     "the firmware says %s, --expect says %s", n->product,
				     n->type->name);
}

static void check_kind(const struct weft_node *n, struct weft_findings *f)
{
	size_t only = 0;

	for (size_t i = 0; i < n->cards; i++)
		only += weft_node_kind(n, &n->card[i]) == WEFT_NODE_KIND_EFA_ONLY;
	if (only)
		weft_findings_report(f, WEFT_FINDING_CARD_KIND, NULL,
				     "%zu of %zu are efa-only: no ENA device on their PCI bus",
				     only, n->cards);
	else
		OK(f, CARD_KIND, "no efa-only interfaces");
}

static void check_rdma(const struct weft_node *n, struct weft_findings *f)
{
	enum weft_tri read = weft_node_rdma_read(n);

	if (!n->cards)
		return;
	if (read == WEFT_NO)
		weft_findings_report(f, WEFT_FINDING_CARD_RDMA, NULL,
				     "%s: neither RDMA read nor write", n->type->name);
	else if (read == WEFT_YES)
		OK(f, CARD_RDMA, "RDMA read%s",
		   n->type && weft_fact_or(n->type->rdma_write, 0) ? " and write" : "");
	else
		weft_findings_add(f, WEFT_FINDING_CARD_RDMA, WEFT_SEV_NOTE, NULL,
				  "0xefa0 with or without RDMA read: the instance type would say "
				  "(--expect TYPE)");
}

static void check_driver(const struct weft_node *n, struct weft_findings *f)
{
	uint32_t version = weft_version_parse(n->driver_version);

	if (!n->cards || !n->driver_loaded)
		return;
	if (!version)
		OK(f, DRIVER_VERSION, "the efa module of Linux %s", n->kernel);
	else if (version < WEFT_VERSION_OF(2, 13, 0))
		weft_findings_report(f, WEFT_FINDING_DRIVER_VERSION, NULL,
				     "sys/module/efa/version: %s", n->driver_version);
	else
		OK(f, DRIVER_VERSION, "efa %s", n->driver_version);
}

/* Counters are since boot, and peers that were rebooted leave their marks in all of them: one event in a million packets
 * is worth a note, more is worth a warning. */
static enum weft_severity severity_of_events(uint64_t events, uint64_t packets)
{
	if (packets != WEFT_NODE_UNKNOWN && events <= packets / 1000000)
		return WEFT_SEV_NOTE;
	return WEFT_SEV_WARN;
}

static void check_counters(const struct weft_node *n, struct weft_findings *f)
{
	static const enum weft_node_counter bad[] = { WEFT_NODE_RETRANS_TIMEOUT_EVENTS,
						      WEFT_NODE_UNRESPONSIVE_REMOTE_EVENTS,
						      WEFT_NODE_IMPAIRED_REMOTE_CONN_EVENTS };
	bool any = false, known = false;

	for (size_t i = 0; i < n->cards; i++) {
		const struct weft_node_card *c = &n->card[i];
		uint64_t errors = c->counter[WEFT_NODE_REG_MR_ERR];

		for (size_t k = 0; k < WEFT_ARRAY_SIZE(bad); k++) {
			uint64_t value = c->counter[bad[k]];

			known |= value != WEFT_NODE_UNKNOWN;
			if (!value || value == WEFT_NODE_UNKNOWN)
				continue;
			any = true;
			weft_findings_add(f, WEFT_FINDING_PATH_LOSS,
					  severity_of_events(value, c->counter[WEFT_NODE_TX_PKTS]),
					  NULL, "%s: %s = %" PRIu64 " since boot", c->name,
					  weft_node_counter_names[bad[k]], value);
		}
		if (errors && errors != WEFT_NODE_UNKNOWN)
			weft_findings_report(f, WEFT_FINDING_REG_MR_ERRORS, NULL,
					     "%s: reg_mr_err = %" PRIu64 " since boot", c->name,
					     errors);
	}
	if (known && !any)
		OK(f, PATH_LOSS, "no timeouts or impaired connections since boot");
}

/* GPUs */

static bool expects_gpudirect(const struct weft_node *n)
{
	return n->type && !strncmp(n->type->gpudirect, "required", 8) &&
	       !strstr(n->type->gpudirect, "Neuron");
}

static bool has_p2p(const struct weft_node *n)
{
	for (size_t i = 0; i < n->cards; i++)
		if (n->card[i].p2p[0] && strcmp(n->card[i].p2p, "none") != 0)
			return true;
	return false;
}

static void check_gpudirect(const struct weft_node *n, struct weft_findings *f)
{
	size_t nvidia = 0;

	for (size_t i = 0; i < n->gpus; i++)
		nvidia += !strcmp(n->gpu[i].maker, "nvidia");
	if (!nvidia || !n->cards)
		return;
	if (has_p2p(n) || n->peer_module[0])
		OK(f, GPUDIRECT, "peer memory by %s",
		   n->peer_module[0] ? n->peer_module : n->card[0].p2p);
	else if (n->nvidia_open && n->kernel_version >= WEFT_VERSION_OF(5, 12, 0))
		OK(f, GPUDIRECT, "dma-buf: open NVIDIA modules, Linux %s", n->kernel);
	else if (expects_gpudirect(n))
		weft_findings_report(
			f, WEFT_FINDING_GPUDIRECT, NULL,
			"%zu NVIDIA GPUs, no peer memory module (sys/module/efa_nv_peermem), no "
			"device/p2p, %s",
			nvidia,
			n->nvidia_loaded ? "and NVIDIA's modules are not the open ones"
					 : "and no NVIDIA module");
	else
		weft_findings_add(f, WEFT_FINDING_GPUDIRECT, WEFT_SEV_NOTE, NULL,
				  "no GPUDirect here%s%s", n->type ? ": a type without it, " : "",
				  n->type ? n->type->name : "");
	if (!n->peer_module[0] && n->peer_module_elsewhere[0] && !n->nvidia_open)
		weft_findings_report(f, WEFT_FINDING_PEER_MODULE, NULL,
				     "efa_nv_peermem is built for %s, and the kernel is %s",
				     n->peer_module_elsewhere, n->kernel);
	else if (n->peer_module[0])
		OK(f, PEER_MODULE, "%s is loaded", n->peer_module);
}

static void check_gpu_distance(const struct weft_node *n, struct weft_findings *f)
{
	for (size_t g = 0; g < n->gpus && n->cards; g++) {
		enum weft_node_distance best = WEFT_NODE_SYS;
		bool numa = n->gpu[g].pci.numa >= 0;

		for (size_t i = 0; i < n->cards; i++) {
			best = WEFT_MIN(best, weft_node_distance(&n->gpu[g].pci, &n->card[i].pci));
			numa &= n->card[i].pci.numa >= 0;
		}
		if (best == WEFT_NODE_SYS && numa)
			weft_findings_report(f, WEFT_FINDING_GPU_DISTANCE, NULL,
					     "GPU %s (NUMA node %d) has no card on its node",
					     n->gpu[g].pci.bdf, n->gpu[g].pci.numa);
	}
}

/* Memory, limits, kernel */

uint64_t weft_node_hugepages_wanted(const struct weft_node *n)
{
	uint64_t vcpus = n->type ? weft_fact_or(n->type->vcpus, 0) : 0;

	if (!vcpus)
		vcpus = n->cpus;
	return vcpus ? 110 * vcpus + 1 : 0;
}

static void check_hugepages(const struct weft_node *n, struct weft_findings *f)
{
	uint64_t want = weft_node_hugepages_wanted(n);

	if (!weft_node_wants_efa(n) || n->hugepages == WEFT_NODE_UNKNOWN || !want)
		return;
	if (n->hugepages < want) {
		weft_findings_report(f, WEFT_FINDING_HUGEPAGES, NULL,
				     "%" PRIu64 " pages of 2 MiB, and %" PRIu64
				     " are the rule for %" PRIu64 " vCPUs",
				     n->hugepages, want, (want - 1) / 110);
		weft_findings_fix(
			f, "sysctl -w vm.nr_hugepages=%" PRIu64 ", or FI_EFA_USE_HUGE_PAGE=0",
			want);
	} else if (n->hugepages_free != WEFT_NODE_UNKNOWN && n->hugepages_free < 110) {
		weft_findings_report(f, WEFT_FINDING_HUGEPAGES, NULL,
				     "%" PRIu64 " of %" PRIu64 " pages of 2 MiB are free",
				     n->hugepages_free, n->hugepages);
	} else {
		OK(f, HUGEPAGES, "%" PRIu64 " pages of 2 MiB, %" PRIu64 " free", n->hugepages,
		   n->hugepages_free == WEFT_NODE_UNKNOWN ? 0 : n->hugepages_free);
	}
}

static void check_memlock(const struct weft_node *n, struct weft_findings *f)
{
	if (n->memlock == WEFT_NODE_UNKNOWN)
		return;
	if (n->memlock == WEFT_NODE_UNLIMITED)
		OK(f, MEMLOCK, "unlimited");
	else if (n->has_ipc_lock)
		OK(f, MEMLOCK, "%" PRIu64 " KiB, and CAP_IPC_LOCK lifts it", n->memlock / 1024);
	else
		weft_findings_add(
			f, WEFT_FINDING_MEMLOCK,
			n->memlock < MEMLOCK_NEEDED
				? severity_here(n, WEFT_FINDING_MEMLOCK)
				: WEFT_MIN(WEFT_SEV_WARN, severity_here(n, WEFT_FINDING_MEMLOCK)),
			NULL, "proc/%s/limits: Max locked memory %" PRIu64 " KiB", n->process,
			n->memlock / 1024);
}

static void check_limits(const struct weft_node *n, struct weft_findings *f)
{
	if (n->nofile != WEFT_NODE_UNKNOWN && n->nofile < NOFILE_WANTED)
		weft_findings_report(f, WEFT_FINDING_NOFILE, NULL,
				     "proc/%s/limits: Max open files %" PRIu64, n->process,
				     n->nofile);
	else if (n->nofile != WEFT_NODE_UNKNOWN)
		OK(f, NOFILE, "%s", "enough");
	if (n->shm_bytes == WEFT_NODE_UNKNOWN)
		weft_findings_add(f, WEFT_FINDING_SHM, WEFT_SEV_NOTE, NULL,
				  "nothing is mounted at /dev/shm");
	else if (n->shm_bytes < SHM_WANTED)
		weft_findings_add(f, WEFT_FINDING_SHM, severity_here(n, WEFT_FINDING_SHM), NULL,
				  "%" PRIu64 " MiB", n->shm_bytes / MIB);
	else
		OK(f, SHM, "%" PRIu64 " MiB", n->shm_bytes / MIB);
}

static void check_fork(const struct weft_node *n, struct weft_findings *f)
{
	if (!n->kernel_version)
		return;
	if (n->kernel_version < WEFT_VERSION_OF(5, 13, 0))
		weft_findings_add(f, WEFT_FINDING_FORK, severity_here(n, WEFT_FINDING_FORK), NULL,
				  "Linux %s", n->kernel);
	else
		OK(f, FORK, "Linux %s copies registered pages on fork", n->kernel);
}

void weft_node_check(const struct weft_node *node, struct weft_findings *findings)
{
	if (node->cards) {
		check_count(node, findings);
		check_each_card(node, findings);
		check_card_access(node, findings);
		check_generation(node, findings);
		check_kind(node, findings);
		check_rdma(node, findings);
		check_driver(node, findings);
		check_counters(node, findings);
	} else {
		check_none(node, findings);
	}
	check_product(node, findings);
	check_foreign(node, findings);
	check_gpudirect(node, findings);
	check_gpu_distance(node, findings);
	check_hugepages(node, findings);
	check_memlock(node, findings);
	check_limits(node, findings);
	check_fork(node, findings);
}

/* Rates */

uint64_t weft_node_tcp_bytes(struct weft_root *root, const struct weft_node *node)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < node->interfaces; i++) {
		uint64_t tx = 0, rx = 0;

		if (!strcmp(node->interface[i], "lo"))
			continue;
		(void)weft_root_number(root, &tx, "sys/class/net/%s/statistics/tx_bytes",
				       node->interface[i]);
		(void)weft_root_number(root, &rx, "sys/class/net/%s/statistics/rx_bytes",
				       node->interface[i]);
		sum += tx + rx;
	}
	return sum;
}

static uint64_t growth(const struct weft_node_card *before, const struct weft_node_card *after,
		       enum weft_node_counter counter)
{
	uint64_t a = before->counter[counter], b = after->counter[counter];

	return a == WEFT_NODE_UNKNOWN || b == WEFT_NODE_UNKNOWN || b < a ? 0 : b - a;
}

void weft_node_check_rates(const struct weft_node *before, const struct weft_node *after,
			   weft_ns apart, uint64_t tcp_bytes, struct weft_findings *findings)
{
	double seconds = (double)apart / 1e9;
	uint64_t efa_bytes = 0;

	for (size_t i = 0; i < after->cards && i < before->cards; i++) {
		const struct weft_node_card *a = &before->card[i], *b = &after->card[i];
		uint64_t timeouts = growth(a, b, WEFT_NODE_RETRANS_TIMEOUT_EVENTS);
		uint64_t again = growth(a, b, WEFT_NODE_RETRANS_PKTS);
		uint64_t sent = growth(a, b, WEFT_NODE_TX_PKTS);

		efa_bytes += growth(a, b, WEFT_NODE_TX_BYTES) + growth(a, b, WEFT_NODE_RX_BYTES);
		if (timeouts || (sent > 1000 && again > sent / 100))
			weft_findings_report(findings, WEFT_FINDING_PATH_LOSS, NULL,
					     "%s: in %.1f s %" PRIu64 " timeouts and %" PRIu64
					     " of %" PRIu64 " packets sent again",
					     b->name, seconds, timeouts, again, sent);
	}
	/* More than a gigabit over TCP, with idle cards beside it, is no ssh session. */
	if (after->cards && (double)tcp_bytes * 8 > 1e9 * seconds && efa_bytes < tcp_bytes / 100)
		weft_findings_add(
			findings, WEFT_FINDING_TCP_FALLBACK, WEFT_SEV_WARN, NULL,
			"in %.1f s %.2f GB over network interfaces and %.2f GB over EFA cards",
			seconds, (double)tcp_bytes / 1e9, (double)efa_bytes / 1e9);
	else if (after->cards)
		OK(findings, TCP_FALLBACK,
		   "in %.1f s %.2f GB over EFA cards, %.2f GB over interfaces", seconds,
		   (double)efa_bytes / 1e9, (double)tcp_bytes / 1e9);
}
