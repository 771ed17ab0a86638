/* SPDX-License-Identifier: BSD-2-Clause */
/* Public reports of NCCL's all-reduce over EFA. All of them were measured by others, and a figure means nothing
 * without the number of nodes and the size of the message: bus bandwidth grows with the size up to gigabytes, and
 * between two nodes a tree or NVLink SHARP makes it exceed what the cards carry. So there is no "expected
 * bandwidth of a type", only rows; where none fits, none is given. */
#include "cloud/busbw.h"

#include <string.h>

#define KIB(n)  ((uint64_t)(n) << 10)
#define MIB(n)  ((uint64_t)(n) << 20)
#define GIB(n)  ((uint64_t)(n) << 30)
#define SKY     "SkyPilot, examples/aws_efa (out of place)"
#define AWSOME  "awsome-distributed-training, nccl-tests"
#define DO_EKS  "aws-do-eks, nccl-tests"
#define AVERAGE "the average of all sizes, which nccl-tests prints last: no bar to measure by"

static const struct weft_busbw reports[] = {
	{ "g6e.48xlarge", 0, 0, 3, 3, "without GPUDirect, which this type does not have",
	  "aws-ofi-nccl issue 547" },
	{ "p4d.24xlarge", 2, KIB(64), 0.49, 0.49, NULL, SKY },
	{ "p4d.24xlarge", 2, KIB(256), 1.86, 1.86, NULL, SKY },
	{ "p4d.24xlarge", 2, MIB(1), 4.61, 4.61, NULL, SKY },
	{ "p4d.24xlarge", 2, MIB(8), 10.5, 10.5, NULL, SKY },
	{ "p4d.24xlarge", 2, MIB(32), 31.85, 31.85, NULL, SKY },
	{ "p4d.24xlarge", 2, MIB(128), 54.94, 54.94, NULL, SKY },
	{ "p4d.24xlarge", 2, MIB(512), 71.83, 71.83, NULL, SKY },
	{ "p4d.24xlarge", 2, GIB(1), 75.34, 75.34, NULL, SKY },
	{ "p4d.24xlarge", 2, GIB(2), 77.35, 77.35, NULL, SKY },
	{ "p4d.24xlarge", 2, GIB(2), 4.13, 4.13, "over TCP, not EFA", SKY },
	{ "p4d.24xlarge", 0, 0, 20, 20.9, "with one card of the four in use",
	  "SkyPilot issue 8391, aws-ofi-nccl issue 584" },
	{ "p4de.24xlarge", 2, GIB(2), 78, 78, NULL, AWSOME },
	{ "p5.48xlarge", 1, GIB(2), 468, 468, "one node: over NVLink, not EFA", DO_EKS },
	{ "p5.48xlarge", 2, MIB(128), 289, 289, NULL, AWSOME },
	{ "p5.48xlarge", 2, GIB(2), 439, 444, NULL, AWSOME },
	{ "p5.48xlarge", 2, GIB(16), 487, 487, NULL, AWSOME },
	{ "p5.48xlarge", 2, 0, 53, 53, AVERAGE, DO_EKS },
	{ "p5.48xlarge", 16, 0, 21, 21, AVERAGE, DO_EKS },
	{ "p5.48xlarge", 64, 0, 24, 24, AVERAGE, DO_EKS },
	{ "p6-b200.48xlarge", 2, GIB(8), 523.8, 523.8,
	  "claimed above a manifest that asks for one GPU and one card, so by what is not known",
	  "aws-do-eks, mpi-operator/test" },
	{ "p6-b300.48xlarge", 2, MIB(8), 90, 90, "a first try, not tuned",
	  "awsome-distributed-ai pull request 1255" },
	{ "p6e-gb200.36xlarge", 0, 0, 770, 770, "over NVLink between nodes, not EFA",
	  "NVIDIA/aicr issue 2784" },
	{ "p6e-gb300r.36xlarge", 2, 0, 44, 44, "size not said", "NVIDIA/aicr issue 1256" },
	{ "p6e-gb300r.36xlarge", 2, 0, 841, 841, "over NVLink between nodes, not EFA",
	  "NVIDIA/aicr issue 1256" },
};

const struct weft_busbw *weft_busbw_at(const struct weft_instance *it, uint32_t index)
{
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(reports); i++)
		if (!strcmp(reports[i].instance, it->name) && !index--)
			return &reports[i];
	return NULL;
}

const struct weft_busbw *weft_busbw_expect(const struct weft_instance *it, uint32_t nodes,
					   uint64_t bytes)
{
	const struct weft_busbw *r, *best = NULL;

	for (uint32_t i = 0; (r = weft_busbw_at(it, i)); i++)
		if (!r->condition && r->nodes == nodes && r->bytes <= bytes)
			best = r;
	return best;
}
