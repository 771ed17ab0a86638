/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine as a matrix, as a stack, and as fi_info would show it.
 *
 * Devices in the matrix have numbers, and the list below it says which is which: names of cards are too long for
 * headings of 32 columns. */
#include "cli/info_node.h"

#include "cli/json.h"
#include "node/libs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Topology */

static const struct weft_node_pci *device_at(const struct weft_node *node, size_t i)
{
	return i < node->gpus ? &node->gpu[i].pci : &node->card[i - node->gpus].pci;
}

static void label_of(const struct weft_node *node, size_t i, char *buf, size_t len)
{
	if (i < node->gpus)
		snprintf(buf, len, "GPU%zu", i);
	else
		snprintf(buf, len, "EFA%zu", i - node->gpus);
}

static const char *what_of(const struct weft_node *node, size_t i)
{
	if (i < node->gpus)
		return node->gpu[i].maker;
	return node->card[i - node->gpus].name[0] ? node->card[i - node->gpus].name : "no driver";
}

static void topo_text(const struct weft_node *node, size_t count)
{
	char label[32];

	printf("%-6s", "");
	for (size_t i = 0; i < count; i++) {
		label_of(node, i, label, sizeof(label));
		printf(" %-5s", label);
	}
	puts(" NUMA");
	for (size_t i = 0; i < count; i++) {
		label_of(node, i, label, sizeof(label));
		printf("%-6s", label);
		for (size_t k = 0; k < count; k++)
			printf(" %-5s", weft_node_distance_name(weft_node_distance(
						device_at(node, i), device_at(node, k))));
		if (device_at(node, i)->numa < 0)
			puts(" -");
		else
			printf(" %d\n", device_at(node, i)->numa);
	}
	putchar('\n');
	for (size_t i = 0; i < count; i++) {
		label_of(node, i, label, sizeof(label));
		printf("%-6s %s  %s\n", label, device_at(node, i)->bdf, what_of(node, i));
	}
	fputs("\nPIX one switch, PXB several switches, PHB the same host bridge, NODE the same "
	      "NUMA node,\n"
	      "SYS another NUMA node, or nobody knows\n",
	      stdout);
}

static void topo_json(const struct weft_node *node, size_t count)
{
	char label[32];

	fputs("{\"devices\": [", stdout);
	for (size_t i = 0; i < count; i++) {
		label_of(node, i, label, sizeof(label));
		printf("%s\n  {\"label\": \"%s\", \"pci\": ", i ? "," : "", label);
		weft_json_string(device_at(node, i)->bdf);
		fputs(", \"what\": ", stdout);
		weft_json_string(what_of(node, i));
		if (device_at(node, i)->numa < 0)
			fputs(", \"numa\": null", stdout);
		else
			printf(", \"numa\": %d", device_at(node, i)->numa);
		fputs(", \"distances\": [", stdout);
		for (size_t k = 0; k < count; k++)
			printf("%s\"%s\"", k ? ", " : "",
			       weft_node_distance_name(
				       weft_node_distance(device_at(node, i), device_at(node, k))));
		fputs("]}", stdout);
	}
	puts(count ? "\n]}" : "]}");
}

void weft_info_topo(const struct weft_node *node, bool json)
{
	size_t count = node->gpus + node->cards;

	if (json)
		topo_json(node, count);
	else if (count)
		topo_text(node, count);
	else
		puts("neither GPUs nor EFA cards on the PCI buses of this machine");
}

/* The stack */

static void stack_row_text(const char *layer, const struct weft_lib *lib)
{
	if (!lib)
		printf("%-14s -\n", layer);
	else
		printf("%-14s %-14s %-14s /%s\n", layer, lib->version[0] ? lib->version : "?",
		       weft_lib_abi(lib) ? weft_lib_abi(lib) : "-", lib->real);
}

static void stack_row_json(const char *layer, const struct weft_lib *lib, bool first)
{
	printf("%s\n  {\"layer\": \"%s\", \"version\": ", first ? "" : ",", layer);
	weft_json_string(lib && lib->version[0] ? lib->version : NULL);
	fputs(", \"abi\": ", stdout);
	weft_json_string(lib ? weft_lib_abi(lib) : NULL);
	fputs(", \"path\": ", stdout);
	if (lib) {
		char path[WEFT_ROOT_PATH_MAX + 1];

		snprintf(path, sizeof(path), "/%s", lib->real);
		weft_json_string(path);
	} else {
		weft_json_string(NULL);
	}
	putchar('}');
}

static void stack_end(const struct weft_node *node, bool json)
{
	const char *driver = node->driver_loaded ? (node->driver_version[0] ? node->driver_version
									    : node->kernel)
						 : NULL;

	if (json) {
		fputs("\n], \"driver\": ", stdout);
		weft_json_string(driver);
		printf(", \"cards\": %zu}\n", node->cards);
		return;
	}
	printf("%-14s %s\n", "efa driver", driver ? driver : "-");
	printf("%-14s %zu EFA", "cards", node->cards);
	if (node->cards)
		printf(" (0x%x)", node->card[0].pci.device);
	putchar('\n');
}

/* Ours says nothing about a copy of another machine. */
static const char *library_path(const struct weft_root *files)
{
	return files->live ? getenv("LD_LIBRARY_PATH") : NULL;
}

int weft_info_stack(const struct weft_node *node, struct weft_root *proc, struct weft_root *files,
		    const char *pid, bool json)
{
	struct weft_libs libs;
	int err = 0;

	if (pid)
		err = weft_libs_of_process(proc, files, pid, &libs);
	else
		weft_libs_scan(files, library_path(files), NULL, &libs);
	if (err)
		return err;
	if (json)
		fputs("{\"stack\": [", stdout);
	for (uint32_t family = 0; family < WEFT_LIB_FAMILIES; family++) {
		const struct weft_lib *lib = weft_libs_find(&libs, family);

		if (family == WEFT_LIB_NVSHMEM_IBGDA && !lib && !json)
			continue;
		if (json)
			stack_row_json(weft_lib_name(family), lib, !family);
		else
			stack_row_text(weft_lib_name(family), lib);
	}
	stack_end(node, json);
	weft_libs_free(&libs);
	return 0;
}

/* fi_info */

/* libfabric's providers count their version as 100 * major + minor: 1.17 is 117.0. */
static void fi_version(struct weft_root *files, char *buf, size_t len)
{
	struct weft_libs libs;
	const struct weft_lib *lib;
	uint32_t version;

	weft_libs_scan(files, library_path(files), NULL, &libs);
	lib = weft_libs_find(&libs, WEFT_LIB_FABRIC);
	version = lib ? weft_version_parse(lib->version) : 0;
	if (version)
		snprintf(buf, len, "%u.%u", (version >> 20) * 100 + (version >> 10 & 1023), 0u);
	else
		snprintf(buf, len, "unknown");
	weft_libs_free(&libs);
}

void weft_info_fi_print(const struct weft_info_fi *cards, size_t count, struct weft_root *files,
			bool json)
{
	char version[32];

	fi_version(files, version, sizeof(version));
	if (json)
		putchar('[');
	for (size_t i = 0; i < count; i++) {
		if (json) {
			printf("%s\n  {\"provider\": \"efa\", \"fabric\": \"efa\", \"domain\": ",
			       i ? "," : "");
			weft_json_string(cards[i].name);
			printf(", \"version\": \"%s\", \"type\": \"FI_EP_RDM\", \"protocol\": "
			       "\"FI_PROTO_EFA\", \"pci\": ",
			       version);
			weft_json_string(cards[i].bdf);
			printf(", \"gbps\": %u}", cards[i].gbps);
		} else {
			printf("provider: efa\n    fabric: efa\n    domain: %s-rdm\n    version: "
			       "%s\n"
			       "    type: FI_EP_RDM\n    protocol: FI_PROTO_EFA\n",
			       cards[i].name, version);
		}
	}
	if (json)
		puts(count ? "\n]" : "]");
}
