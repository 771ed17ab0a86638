/* SPDX-License-Identifier: BSD-2-Clause */
/* What NCCL sees as network cards, and when weft's are opened for them.
 *
 * NCCL wants to know where a card sits, to give each GPU the nearest. weft's cards sit nowhere: between processes of one
 * host their data moves from GPU to GPU. So with a card or more for each GPU of this host, each GPU gets its own device,
 * beside it in the PCI tree; with fewer, or without a GPU, there is one device of all cards, without a place. */
#define _GNU_SOURCE /* sched_getaffinity */
#include "net.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GPUS_MAX 64u
#define THREAD_CORES \
	2u /* For each card's thread: beside it NCCL's, the application's and a neighbour's. */
#define SYS_DEVICES "/sys/bus/pci/devices"

static struct net_dev devs[NET_DEVS_MAX];
static uint32_t devs_len;

/* GPUs */

static bool reads_as(const char *device, const char *file, const char *start)
{
	char path[512], text[32] = "";
	FILE *f;
	bool is;

	snprintf(path, sizeof(path), SYS_DEVICES "/%.255s/%s", device, file);
	f = fopen(path, "re");
	if (!f)
		return false;
	is = fgets(text, sizeof(text), f) && !strncmp(text, start, strlen(start));
	fclose(f);
	return is;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The bridge that the device is behind: two devices cannot be in one place (NCCL would lose the GPU). "": there is none, as
 * in many virtual machines. */
static void cut_to_bridge(char *path)
{
	unsigned int part[4];
	char *slash = strrchr(path, '/'), rest;

	*slash = 0;
	slash = strrchr(path, '/');
	if (sscanf(slash, "/%x:%x:%x.%x%c", &part[0], &part[1], &part[2], &part[3], &rest) != 4)
		*path = 0;
}

/* Their places in the PCI tree, in the order of their addresses, which is CUDA's where nobody asked for another. */
static uint32_t find_gpus(char **path)
{
	DIR *dir = opendir(SYS_DEVICES);
	const struct dirent *e;
	uint32_t n = 0;

	while (dir && n < GPUS_MAX && (e = readdir(dir))) {
		char link[512], *real;

		if (e->d_name[0] == '.' || !reads_as(e->d_name, "vendor", "0x10de") ||
		    !reads_as(e->d_name, "class", "0x03"))
			continue;
		snprintf(link, sizeof(link), SYS_DEVICES "/%.255s", e->d_name);
		real = realpath(link, NULL);
		if (real)
			path[n++] = real;
	}
	if (dir)
		closedir(dir);
	qsort(path, n, sizeof(*path), by_name);
	return n;
}

/* Devices */

static void add_card(struct net_dev *dev, uint32_t index, const struct weft_card_desc *card)
{
	uint64_t guid;
	size_t len = strlen(dev->name);

	if (!dev->cards) {
		memcpy(&guid, card->gid + 8, sizeof(guid));
		dev->guid = guid;
	}
	dev->card_index[dev->cards++] = index;
	dev->mbps += card->mbps;
	dev->is_udp_only = card->is_udp_only;
	if (len + sizeof(card->name) + 2 < sizeof(dev->name))
		snprintf(dev->name + len, sizeof(dev->name) - len, "%s%.31s", len ? "+" : "",
			 card->name);
}

int net_devices(uint32_t *count_out)
{
	struct weft_card_desc card[NET_CARDS_MAX];
	char *gpu[GPUS_MAX];
	const char *why;
	uint32_t gpus;
	int n;

	if (!devs_len) {
		n = weft_cards(card, NET_CARDS_MAX, &why);
		if (n < 0) {
			NET_WARN("%s", why);
			return n;
		}
		gpus = find_gpus(gpu);
		devs_len = gpus && (uint32_t)n >= gpus ? gpus : 1;
		for (uint32_t i = 0; i < (uint32_t)n; i++)
			add_card(&devs[i % devs_len], i, &card[i]);
		for (uint32_t i = 0; i < gpus; i++) {
			cut_to_bridge(gpu[i]);
			if (gpus == devs_len && *gpu[i])
				devs[i].pci_path = gpu[i];
			else
				free(gpu[i]);
		}
		for (uint32_t i = 0; i < devs_len; i++)
			devs[i].index = i;
	}
	*count_out = devs_len;
	return 0;
}

struct net_dev *net_device(int dev)
{
	uint32_t count;

	return !net_devices(&count) && dev >= 0 && (uint32_t)dev < count ? &devs[dev] : NULL;
}

bool net_is_direct(void)
{
	return weft_mem_gpu() == WEFT_MEM_GPU_DIRECT && !devs[0].is_udp_only;
}

/* A thread moves what a core can. With shared memory others have the work (weft's copiers), or copy engines have. */
static bool wants_threads(const struct net_dev *dev)
{
	cpu_set_t cpus;

	return dev->is_udp_only && dev->cards > 1 && !sched_getaffinity(0, sizeof(cpus), &cpus) &&
	       (uint32_t)CPU_COUNT(&cpus) >= THREAD_CORES * dev->cards;
}

static void employ_all(struct net_dev *dev)
{
	for (uint32_t i = 0; i < dev->cards; i++) {
		if (net_card_employ(dev, &dev->card[i]))
			continue;
		while (i--)
			net_card_dismiss(&dev->card[i]);
		break;
	}
}

int net_dev_get(struct net_dev *dev)
{
	if (dev->refs++)
		return 0;
	for (uint32_t i = 0; i < dev->cards; i++) {
		int err = net_card_open(dev->card_index[i], &dev->card[i]);

		if (!err)
			continue;
		NET_WARN("cannot open a card of %s: %s", dev->name, strerror(-err));
		while (i--)
			net_card_close(&dev->card[i]);
		dev->refs--;
		return err;
	}
	if (wants_threads(dev))
		employ_all(dev);
	return 0;
}

void net_dev_put(struct net_dev *dev)
{
	if (--dev->refs)
		return;
	for (uint32_t i = 0; i < dev->cards; i++)
		net_card_close(&dev->card[i]);
	while (dev->zombies) {
		struct net_comm *next = dev->zombies->next_zombie;

		free(dev->zombies->cts);
		free(dev->zombies);
		dev->zombies = next;
	}
}

int net_init(nccl_logger *log)
{
	uint32_t count;

	net_log = log;
	if (net_devices(&count))
		return NCCL_SYSTEM_ERROR;
	for (uint32_t i = 0; i < count; i++)
		NET_INFO("device %u: %s, %u Mb/s%s%s", i, devs[i].name, devs[i].mbps,
			 devs[i].pci_path ? " at " : "", devs[i].pci_path ? devs[i].pci_path : "");
	return NCCL_SUCCESS;
}

int net_properties(int dev_index, struct nccl_props_v11 *props)
{
	struct net_dev *dev = net_device(dev_index);

	if (!dev)
		return NCCL_INVALID_ARGUMENT;
	memset(props, 0, sizeof(*props));
	props->v9 = (struct nccl_props_v9){
		.name = dev->name,
		.pci_path = dev->pci_path,
		.guid = dev->guid,
		.ptr_support = NCCL_PTR_HOST,
		.reg_is_global = 1,
		.speed = (int)dev->mbps,
		/* Measured for 8 bytes, half a round trip. */
		.latency = dev->is_udp_only ? 8 : 1,
		.comms_max = (int)(NET_COMMS_MAX / NET_DEVS_MAX),
		.recvs_max = (int)NET_GROUP_MAX,
		.vdevs = { .ndevs = 1, .devs = { dev_index } },
		.p2p_bytes_max = WEFT_WRITE_MAX,
		.coll_bytes_max = WEFT_WRITE_MAX,
	};
	/* By way of UDP the data passes through host memory anyway, and there NCCL's kernels are the faster movers. */
	if (net_is_direct())
		props->v9.ptr_support |= NCCL_PTR_CUDA;
	props->multi_request_max = 1;
	return NCCL_SUCCESS;
}

/* Memory */

int net_reg(void *arg, void *data, size_t size, void **mhandle)
{
	struct net_dev *dev = ((struct net_comm *)arg)->dev;
	struct net_mem *mem = calloc(1, sizeof(*mem));

	if (!mem)
		return NCCL_SYSTEM_ERROR;
	mem->dev = dev;
	dev->refs++; /* The comm holds it open. */
	for (uint32_t i = 0; i < dev->cards; i++) {
		int err = weft_mem_open(dev->card[i].ep, data, size, &mem->mem[i]);

		if (!err)
			continue;
		NET_WARN("cannot register %zu bytes at %p: %s", size, data, strerror(-err));
		(void)net_dereg(mem);
		return NCCL_SYSTEM_ERROR;
	}
	*mhandle = mem;
	return NCCL_SUCCESS;
}

int net_dereg(void *mhandle)
{
	struct net_mem *mem = mhandle;

	for (uint32_t i = 0; i < mem->dev->cards; i++)
		if (mem->mem[i]) {
			net_card_drop(&mem->dev->card[i], NULL, mem->mem[i]);
			weft_mem_close(mem->mem[i]);
		}
	net_dev_put(mem->dev);
	free(mem);
	return NCCL_SUCCESS;
}
