/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_CLOUD_TRAIN_H
#define WEFT_CLOUD_TRAIN_H

/* What one step of training sends through the cards of each node, and how long that takes. See docs/plan.md. */
#include "cloud/busbw.h"

/* What becomes of the gradients. */
enum weft_train_sharding {
	WEFT_TRAIN_WHOLE, /* Everybody has all of them: all-reduce (DDP). */
	WEFT_TRAIN_OPTIMIZER, /* Optimizer states are divided (ZeRO 1 and 2): reduce-scatter, all-gather. */
	WEFT_TRAIN_FULL, /* Parameters too (ZeRO 3, FSDP): all-gather twice, reduce-scatter. */
};

struct weft_train {
	const struct weft_instance *instance;
	uint32_t nodes;
	double params;
	double param_bytes; /* On the wire, of gradients and parameters alike. */
	enum weft_train_sharding sharding;
	uint32_t tp, pp;
	uint32_t dp; /* 0: whatever the others leave. */
	/* Of activations; 0: not said. They are needed if such traffic leaves a node. */
	uint32_t layers, hidden, seq, micro_batch, micro_batches;
	double activation_bytes;
};

/* One kind of traffic of a step. */
struct weft_train_row {
	const char *what;
	uint32_t group; /* Ranks that take part in one call... */
	uint32_t group_nodes; /* ... and the nodes that they are on. */
	double calls; /* Of each group in a step. */
	double bytes; /* Of one call: what nccl-tests calls size. */
	double node_bytes; /* What a node sends through its cards in a step; 0: nothing. */
	double seconds; /* For that at line rate. */
	char formula[256];
};

#define WEFT_TRAIN_ROWS_MAX 5u

struct weft_train_plan {
	uint32_t gpus; /* Of a node. */
	uint32_t dp;
	double gbytes; /* Line rate of a node, GB/s. */
	struct weft_train_row rows[WEFT_TRAIN_ROWS_MAX];
	uint32_t row_count;
	double node_bytes, seconds; /* Of all rows. */
	/* What was measured for as many nodes and a message not larger than the gradients, and what they take so. NULL:
	 * nothing that compares. */
	const struct weft_busbw *measured;
	double measured_seconds;
};

/* False: `why` says what is missing or does not fit. */
bool weft_train_plan(const struct weft_train *t, struct weft_train_plan *plan_out, char *why,
		     size_t len);

#endif
