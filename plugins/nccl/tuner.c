/* SPDX-License-Identifier: BSD-2-Clause */
/* NCCL's tuner interface, versions 3 to 5 (NCCL 2.22 on): which protocol, and over how many channels.
 *
 * NCCL's own model thinks of network cards, for which a message of any length costs about the same. Here each costs the
 * thread that moves it some ten microseconds, whatever its length up to a megabyte: so small collectives use few channels, which
 * makes fewer and longer messages, and large ones many, since it takes the kernels of many to keep a link between GPUs busy.
 * Measured on two H200; used only where the plugin moves data from GPU to GPU, and each host has one GPU, as there. */
#include "net.h"

#include <string.h>

enum {
	RING = 1
};
enum {
	LL,
	LL128,
	SIMPLE,
	PROTOS
};

struct tuner {
	bool active;
};

static struct tuner on = { .active = true }, off;

static int init_v3(size_t ranks, size_t nodes, nccl_logger *log, void **context)
{
	uint32_t count;

	(void)log;
	pthread_mutex_lock(&net_lock);
	*context =
		ranks == nodes && nodes > 1 && !net_devices(&count) && net_is_direct() ? &on : &off;
	pthread_mutex_unlock(&net_lock);
	return NCCL_SUCCESS;
}

static int init_v5(void **context, uint64_t comm_id, size_t ranks, size_t nodes, nccl_logger *log,
		   void *domains, void *constants)
{
	(void)comm_id;
	(void)domains;
	(void)constants;
	return init_v3(ranks, nodes, log, context);
}

static const struct {
	size_t bytes; /* Up to so many. */
	int proto, channels;
} choices[] = {
	{ 16u << 10, LL, 1 },     { 512u << 10, SIMPLE, 1 }, { 4u << 20, SIMPLE, 2 },
	{ 32u << 20, SIMPLE, 4 }, { 96u << 20, SIMPLE, 8 },  { SIZE_MAX, SIMPLE, 16 },
};

/* costs[algo][proto]: negative where NCCL cannot, or its user does not want to. */
static void choose(const struct tuner *t, size_t bytes, float *costs, int algos, int protos,
		   int *channels)
{
	uint32_t i = 0;
	float *cost;

	if (!t->active || algos <= RING || protos < PROTOS)
		return;
	while (bytes > choices[i].bytes)
		i++;
	cost = &costs[RING * protos + choices[i].proto];
	if (*cost < 0)
		return;
	*cost = 0;
	*channels = choices[i].channels;
}

static int get_v3(void *context, int coll, size_t bytes, int ops, float **costs, int algos,
		  int protos, int *channels)
{
	(void)coll;
	(void)ops;
	choose(context, bytes, (float *)(void *)costs, algos, protos, channels);
	return NCCL_SUCCESS;
}

static int get_v4(void *context, int coll, size_t bytes, int ops, float **costs, int algos,
		  int protos, int is_registered, int *channels)
{
	(void)is_registered;
	return get_v3(context, coll, bytes, ops, costs, algos, protos, channels);
}

static int destroy(void *context)
{
	(void)context;
	return NCCL_SUCCESS;
}

#define EXPORT __attribute__((visibility("default")))

extern const struct nccl_tuner_v3 ncclTunerPlugin_v3;
extern const struct nccl_tuner_v4 ncclTunerPlugin_v4;
extern const struct nccl_tuner_v5 ncclTunerPlugin_v5;

EXPORT const struct nccl_tuner_v3 ncclTunerPlugin_v3 = { "weft", init_v3, get_v3, destroy };
EXPORT const struct nccl_tuner_v4 ncclTunerPlugin_v4 = { "weft", init_v3, get_v4, destroy };
EXPORT const struct nccl_tuner_v5 ncclTunerPlugin_v5 = { "weft", init_v5, get_v4, destroy };
