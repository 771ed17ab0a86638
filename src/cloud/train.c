/* SPDX-License-Identifier: BSD-2-Clause */
/* Traffic of training, counted as rings send it.
 *
 * A ring of n ranks that reduces S bytes everywhere makes each rank send 2 (n-1)/n S: S once around for the sums but for
 * the own part, and once more to spread them. Ranks that share a node are neighbours, so only one of them sends to
 * another node, and a node sends as much as a rank does. Where a node has members of several groups, each of
 * them has its own ring, and their bytes add up. Trees and NVLink SHARP send less than that between two nodes, so
 * these are upper bounds of bytes and, at line rate, lower bounds of time.
 *
 * Ranks are numbered as Megatron does it: tensor parallel ones are neighbours, then come data parallel, then stages
 * of the pipeline. So tensor parallelism takes the GPUs of a node first, and stages the nodes. */
#include "cloud/train.h"

#include "cloud/plan.h"

#include <stdio.h>
#include <string.h>

struct making {
	const struct weft_train *t;
	struct weft_train_plan *p;
	uint32_t members; /* Of a data parallel group on one node. */
};

static const char *const pass_names[] = { "one way", "both ways" };

/* A row for `calls` calls of a collective that sends `passes` times (n-1)/n of its bytes. */
static void add_ring(struct making *k, const char *what, uint32_t group, uint32_t members,
		     double calls, double bytes, uint32_t passes)
{
	struct weft_train_row *row = &k->p->rows[k->p->row_count++];
	double rings = (double)k->p->gpus / members;
	double share = (double)passes * (group - 1) / group;

	*row = (struct weft_train_row){
		.what = what,
		.group = group,
		.group_nodes = group / members,
		.calls = calls,
		.bytes = bytes,
	};
	if (row->group_nodes < 2) {
		snprintf(row->formula, sizeof(row->formula), "all %u ranks are on one node", group);
		return;
	}
	row->node_bytes = rings * share * calls * bytes;
	snprintf(row->formula, sizeof(row->formula),
		 "%g ring%s of the node x %u x (%u-1)/%u x %g call%s x %g bytes", rings,
		 rings == 1 ? "" : "s", passes, group, group, calls, calls == 1 ? "" : "s", bytes);
}

static void add_data_parallel(struct making *k)
{
	const struct weft_train *t = k->t;
	uint32_t dp = k->p->dp;
	double bytes = t->params * t->param_bytes / t->tp / t->pp;

	if (dp == 1)
		return;
	switch (t->sharding) {
	case WEFT_TRAIN_WHOLE:
		add_ring(k, "gradients, all-reduce", dp, k->members, 1, bytes, 2);
		break;
	case WEFT_TRAIN_OPTIMIZER:
		add_ring(k, "gradients, reduce-scatter", dp, k->members, 1, bytes, 1);
		add_ring(k, "parameters, all-gather", dp, k->members, 1, bytes, 1);
		break;
	case WEFT_TRAIN_FULL:
		add_ring(k, "parameters, all-gather", dp, k->members, 2, bytes, 1);
		add_ring(k, "gradients, reduce-scatter", dp, k->members, 1, bytes, 1);
		break;
	}
}

static double activation(const struct weft_train *t)
{
	return (double)t->micro_batch * t->seq * t->hidden * t->activation_bytes;
}

/* Two all-reduces forward and two backward for each layer. */
static void add_tensor_parallel(struct making *k)
{
	const struct weft_train *t = k->t;

	if (t->tp > 1 && activation(t) > 0 && t->layers && t->micro_batches)
		add_ring(k, "activations, all-reduce", t->tp, WEFT_MIN(t->tp, k->p->gpus),
			 4.0 * t->layers / t->pp * t->micro_batches, activation(t), 2);
}

/* Nodes that one replica's stages take, one behind the other. */
static uint32_t stage_nodes(const struct making *k)
{
	uint32_t stage = k->t->tp * k->p->dp;

	return stage >= k->p->gpus ? k->t->pp : k->t->pp / (k->p->gpus / stage);
}

/* Each micro batch passes each border of two stages forward, and its gradient backward. Tensor parallel ranks send a
 * part each. A node in the middle sends both ways. */
static void add_pipeline(struct making *k)
{
	const struct weft_train *t = k->t;
	struct weft_train_row *row;
	uint32_t stages = stage_nodes(k), ways = stages > 2 ? 2 : 1;
	double replicas = WEFT_MIN((double)k->p->dp, (double)k->p->gpus / t->tp);

	if (stages < 2)
		return;
	row = &k->p->rows[k->p->row_count++];
	*row = (struct weft_train_row){
		.what = "activations, to next stage",
		.group = 2,
		.group_nodes = 2,
		.calls = (double)t->micro_batches * 2,
		.bytes = activation(t),
	};
	row->node_bytes = replicas * t->micro_batches * ways * row->bytes;
	snprintf(row->formula, sizeof(row->formula),
		 "%g replica%s on the node x %u micro batches, %s, x %g bytes", replicas,
		 replicas == 1 ? "" : "s", t->micro_batches, pass_names[ways - 1], row->bytes);
}

static bool refuse(char *why, size_t len, const char *text)
{
	snprintf(why, len, "%s", text);
	return false;
}

/* Sets dp and members. */
static bool lay_out(struct making *k, char *why, size_t len)
{
	const struct weft_train *t = k->t;
	struct weft_train_plan *p = k->p;
	uint64_t all = (uint64_t)t->nodes * p->gpus, used = (uint64_t)t->tp * t->pp;
	uint64_t dp = t->dp ? t->dp : all / used;
	uint32_t room;

	if (!dp || used * dp != all) {
		snprintf(why, len,
			 "tp %u x pp %u x dp %u is not %u nodes x %u GPUs: that has to come out "
			 "even",
			 t->tp, t->pp, (uint32_t)dp, t->nodes, p->gpus);
		return false;
	}
	p->dp = (uint32_t)dp;
	if (t->tp % p->gpus && p->gpus % t->tp)
		return refuse(why, len,
			      "tp has to divide the GPUs of a node, or be a multiple of them");
	room = WEFT_MAX(p->gpus / t->tp, 1u);
	if (p->dp % room && room % p->dp)
		return refuse(why, len,
			      "dp has to divide what tp leaves of a node, or be a multiple of it");
	k->members = WEFT_MIN(p->dp, room);
	if (t->tp * p->dp < p->gpus && t->pp % (p->gpus / (t->tp * p->dp)))
		return refuse(why, len, "the stages do not fill whole nodes");
	return true;
}

/* Options by the names that `weft plan train` has for them. */
static bool has_inputs(const struct making *k, char *why, size_t len)
{
	const struct weft_train *t = k->t;
	bool across = t->tp > k->p->gpus, staged = stage_nodes(k) > 1;
	const struct {
		const char *option;
		bool lacks;
	} inputs[] = {
		{ "--layers", across && !t->layers },
		{ "--hidden", !t->hidden },
		{ "--seq", !t->seq },
		{ "--micro-batch", !t->micro_batch },
		{ "--micro-batches", !t->micro_batches },
	};
	size_t used;

	if (!across && !staged)
		return true;
	snprintf(why, len, "%s sends activations between nodes: please say",
		 across ? "this tp" : "this pp");
	used = strlen(why);
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(inputs); i++)
		if (inputs[i].lacks)
			snprintf(why + strlen(why), len - strlen(why), " %s", inputs[i].option);
	return strlen(why) == used;
}

/* nccl-tests has all GPUs of all nodes in one group, as here without tp and pp. */
static void compare(struct making *k)
{
	const struct weft_train_row *row = &k->p->rows[0];

	if (k->t->tp * k->t->pp != 1 || k->t->sharding != WEFT_TRAIN_WHOLE || !k->p->row_count)
		return;
	k->p->measured = weft_busbw_expect(k->t->instance, k->t->nodes, (uint64_t)row->bytes);
	if (k->p->measured)
		k->p->measured_seconds = row->node_bytes / 1e9 / k->p->measured->low;
}

bool weft_train_plan(const struct weft_train *t, struct weft_train_plan *plan_out, char *why,
		     size_t len)
{
	const struct weft_instance *it = t->instance;
	struct weft_train_plan p = { .gpus = it->accelerators.value,
				     .gbytes = weft_plan_gbytes(it) };
	struct making k = { .t = t, .p = &p };

	if (!*it->accelerator || it->accelerators.how == WEFT_FACT_UNKNOWN || p.gbytes <= 0) {
		snprintf(why, len, "%s: %s", it->name,
			 !*it->accelerator ? "it has no accelerators"
			 : p.gbytes <= 0   ? "no source states what its cards carry"
					   : "no source states how many accelerators it has");
		return false;
	}
	if (!lay_out(&k, why, len) || !has_inputs(&k, why, len))
		return false;
	add_data_parallel(&k);
	add_tensor_parallel(&k);
	add_pipeline(&k);
	for (uint32_t i = 0; i < p.row_count; i++) {
		p.rows[i].seconds = p.rows[i].node_bytes / 1e9 / p.gbytes;
		p.node_bytes += p.rows[i].node_bytes;
		p.seconds += p.rows[i].seconds;
	}
	compare(&k);
	*plan_out = p;
	return true;
}
