/* SPDX-License-Identifier: BSD-2-Clause */
/* A fleet out of objects of Kubernetes.
 *
 * Pods may come before the node that they are on, so a node begins when anything names it, and counts once it is seen.
 * What a pod takes is added up at once; the pod itself is forgotten, but for its name, since two files may overlap. A
 * node of a type without EFA is not judged, nor is one whose EFAs a DRA driver offers, unless its slices are given. */
#include "fleet/fleet.h"

#include "advice/jsonfile.h"
#include "advice/k8sobj.h"
#include "advice/quantity.h"
#include "fleet/index.h"
#include "fleet/pod.h"
#include "fleet/price.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_LEN 253u /* Of Kubernetes. */
#define WHY_MAX_LEN  400u

struct weft_fleet_index {
	struct weft_index nodes, pods, slices;
};

bool weft_fleet_init(struct weft_fleet *f)
{
	static const char *const fixed[WEFT_FLEET_FIXED] = { "cpu", "gpu", "efa" };

	memset(f, 0, sizeof(*f));
	f->all_namespaces = true;
	f->index = calloc(1, sizeof(*f->index));
	for (uint32_t i = 0; i < WEFT_FLEET_FIXED; i++) {
		f->resource[i] = strdup(fixed[i]);
		f->resources += f->resource[i] != NULL;
	}
	if (f->index && f->resources == WEFT_FLEET_FIXED)
		return true;
	weft_fleet_fini(f);
	return false;
}

void weft_fleet_fini(struct weft_fleet *f)
{
	for (uint32_t i = 0; i < WEFT_FLEET_RESOURCES_MAX; i++)
		free(f->resource[i]);
	for (uint32_t i = 0; i < f->begun; i++) {
		free(f->node[i].name);
		free(f->node[i].type);
		free(f->node[i].zone);
	}
	for (uint32_t i = 0; i < WEFT_FLEET_STUCK_MAX; i++) {
		free(f->stuck[i].name);
		free(f->stuck[i].why);
	}
	free(f->node);
	if (f->index) {
		weft_index_fini(&f->index->nodes);
		weft_index_fini(&f->index->pods);
		weft_index_fini(&f->index->slices);
	}
	free(f->index);
	memset(f, 0, sizeof(*f));
}

uint32_t weft_fleet_resource(struct weft_fleet *f, const char *name)
{
	for (uint32_t i = 0; i < f->resources; i++)
		if (!strcmp(f->resource[i], name))
			return i;
	if (f->resources == WEFT_FLEET_RESOURCES_MAX)
		return UINT32_MAX;
	f->resource[f->resources] = strdup(name);
	return f->resource[f->resources] ? f->resources++ : UINT32_MAX;
}

static bool fail(struct weft_fleet *f, const char *why)
{
	if (!f->failed)
		snprintf(f->why, sizeof(f->why), "%s", why);
	f->failed = true;
	return false;
}

/* What a terminal can be shown. */
static void make_plain(char *text)
{
	for (; *text; text++)
		if (*text < 0x20 || *text >= 0x7f)
			*text = '?';
}

static void copy_plain(const char *from, char *buf, size_t len)
{
	snprintf(buf, len, "%s", from);
	make_plain(buf);
}

/* A copy. NULL: no memory. */
static char *plain(const char *text, size_t longest)
{
	char *copy = strndup(text, longest);

	if (copy)
		make_plain(copy);
	return copy;
}

/* By name; begun, if need be. The pointer is good until the next one. */
static struct weft_fleet_node *node_of(struct weft_fleet *f, const char *name)
{
	struct weft_fleet_node *n;
	uint32_t *at;
	bool new;

	at = weft_index_put(&f->index->nodes, weft_index_key(name, NULL), f->begun, &new);
	if (!at || (new && f->begun == WEFT_FLEET_NODES_MAX)) {
		fail(f, at ? "more nodes than anybody has" : "no memory");
		return NULL;
	}
	if (!new)
		return &f->node[*at];
	if (!(f->begun & (f->begun - 1))) {
		n = realloc(f->node, (f->begun ? 2 * (size_t)f->begun : 1) * sizeof(*n));
		if (!n) {
			fail(f, "no memory");
			return NULL;
		}
		f->node = n;
	}
	n = &f->node[f->begun++];
	memset(n, 0, sizeof(*n));
	n->name = plain(name, NAME_MAX_LEN);
	if (!n->name) {
		fail(f, "no memory");
		return NULL;
	}
	return n;
}

/* Seen before? */
static bool is_new(struct weft_fleet *f, struct weft_index *index, const json_t *object)
{
	const json_t *meta = json_object_get(object, "metadata");
	bool new;

	if (index->count >= WEFT_FLEET_PODS_MAX)
		return fail(f, "more pods than anybody has");
	if (!weft_index_put(
		    index,
		    weft_index_key(weft_json_text(meta, "namespace"), weft_json_text(meta, "name")),
		    0, &new))
		return fail(f, "no memory");
	return new;
}

/* Nodes */

static enum weft_fleet_capacity capacity_of(const json_t *labels)
{
	static const struct {
		const char *label, *value;
		enum weft_fleet_capacity is;
	} rows[] = {
		{ "karpenter.sh/capacity-type", "spot", WEFT_CAPACITY_SPOT },
		{ "karpenter.sh/capacity-type", "on-demand", WEFT_CAPACITY_ON_DEMAND },
		{ "karpenter.sh/capacity-type", "reserved", WEFT_CAPACITY_RESERVED },
		{ "eks.amazonaws.com/capacityType", "SPOT", WEFT_CAPACITY_SPOT },
		{ "eks.amazonaws.com/capacityType", "ON_DEMAND", WEFT_CAPACITY_ON_DEMAND },
		{ "eks.amazonaws.com/capacityType", "CAPACITY_BLOCK", WEFT_CAPACITY_RESERVED },
		{ "eks.amazonaws.com/compute-type", "fargate", WEFT_CAPACITY_FARGATE },
		{ "node.kubernetes.io/lifecycle", "spot", WEFT_CAPACITY_SPOT },
		{ "node.kubernetes.io/lifecycle", "normal", WEFT_CAPACITY_ON_DEMAND },
		{ "node-lifecycle", "spot", WEFT_CAPACITY_SPOT },
	};

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++)
		if (!strcmp(weft_json_text(labels, rows[i].label), rows[i].value))
			return rows[i].is;
	return WEFT_CAPACITY_UNKNOWN;
}

/* What kubectl's columns would print. */
static void raw_text(const json_t *value, char *buf, size_t len)
{
	if (json_is_integer(value))
		snprintf(buf, len, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else
		copy_plain(json_is_string(value) ? json_string_value(value) : "", buf, len);
}

static bool add_node(struct weft_fleet *f, const json_t *object)
{
	const json_t *labels = weft_json_at(object, "metadata/labels");
	const json_t *has = weft_json_at(object, "status/allocatable");
	const char *ready = weft_k8s_condition(object, "Ready");
	const char *zone = weft_json_text(labels, "topology.kubernetes.io/zone");
	struct weft_fleet_node *n = node_of(f, weft_k8s_name(object));

	if (!n)
		return false;
	if (n->seen)
		return true;
	n->seen = true;
	f->nodes++;
	n->type = plain(weft_k8s_type_name(object), NAME_MAX_LEN);
	n->zone = plain(*zone ? zone
			      : weft_json_text(labels, "failure-domain.beta.kubernetes.io/zone"),
			NAME_MAX_LEN);
	if (!n->type || !n->zone)
		return fail(f, "no memory");
	n->instance = weft_k8s_type(object);
	n->ready = !strcmp(ready, "True");
	n->ready_unknown = !n->ready && strcmp(ready, "False") != 0;
	n->cordoned = json_is_true(weft_json_at(object, "spec/unschedulable"));
	n->deleting = json_is_string(weft_json_at(object, "metadata/deletionTimestamp"));
	n->capacity = capacity_of(labels);
	for (uint32_t i = 0; i < f->resources; i++)
		if (weft_pod_quantity(has, i == WEFT_FLEET_EFA ? WEFT_K8S_EFA : f->resource[i],
				      &n->allocatable[i]))
			n->offered |= 1u << i;
	raw_text(json_object_get(has, "nvidia.com/gpu"), n->gpu_text, sizeof(n->gpu_text));
	raw_text(json_object_get(has, WEFT_K8S_EFA), n->efa_text, sizeof(n->efa_text));
	return true;
}

static bool add_slice(struct weft_fleet *f, const json_t *object)
{
	const json_t *spec = json_object_get(object, "spec");
	const char *name = weft_json_text(spec, "nodeName");
	struct weft_fleet_node *n;

	if (strcmp(weft_json_text(spec, "driver"), "dra.net") != 0 || !*name ||
	    !is_new(f, &f->index->slices, object))
		return !f->failed;
	n = node_of(f, name);
	if (!n)
		return false;
	n->slices += (uint32_t)json_array_size(json_object_get(spec, "devices"));
	return true;
}

/* Pods */

static void add_plugin(struct weft_fleet_node *n, const json_t *pod, const char *image)
{
	const char *why = weft_k8s_waiting_reason(pod);
	enum weft_fleet_plugin is = weft_k8s_is_ready(pod)             ? WEFT_PLUGIN_READY
				    : !strcmp(why, "CrashLoopBackOff") ? WEFT_PLUGIN_CRASHING
								       : WEFT_PLUGIN_NOT_READY;

	n->dra |= weft_k8s_is_dra(image);
	if (is <= n->plugin)
		return;
	n->plugin = is;
	copy_plain(is == WEFT_PLUGIN_READY ? "" : why, n->plugin_why, sizeof(n->plugin_why));
}

/* One that waits for a place. */
static bool add_waiting(struct weft_fleet *f, const json_t *pod)
{
	const json_t *spec = json_object_get(pod, "spec");
	const json_t *meta = json_object_get(pod, "metadata");
	uint64_t efas = weft_pod_request(spec, WEFT_K8S_EFA);
	struct weft_fleet_stuck *s;
	json_t *condition;
	char name[520];
	size_t i;

	f->pods++;
	f->pending++;
	f->pending_efas = weft_quantity_add(f->pending_efas, efas);
	if (!efas)
		return true;
	weft_json_each(weft_json_at(pod, "status/conditions"), i, condition) {
		if (strcmp(weft_json_text(condition, "reason"), "Unschedulable") != 0)
			continue;
		if (f->stuck_pods++ >= WEFT_FLEET_STUCK_MAX)
			return true;
		s = &f->stuck[f->stuck_pods - 1];
		snprintf(name, sizeof(name), "%.253s/%.253s", weft_json_text(meta, "namespace"),
			 weft_k8s_name(pod));
		s->name = plain(name, sizeof(name));
		s->why = plain(weft_json_text(condition, "message"), WHY_MAX_LEN);
		return s->name && s->why ? true : fail(f, "no memory");
	}
	return true;
}

static bool is_counted(const struct weft_fleet *f, const json_t *pod)
{
	return !f->namespace ||
	       !strcmp(weft_json_text(json_object_get(pod, "metadata"), "namespace"), f->namespace);
}

static bool add_pod(struct weft_fleet *f, const json_t *pod)
{
	const json_t *spec = json_object_get(pod, "spec");
	const char *phase = weft_json_text(json_object_get(pod, "status"), "phase");
	const char *where = weft_json_text(spec, "nodeName");
	const char *image = weft_k8s_plugin_image(spec);
	struct weft_fleet_node *n = NULL;

	f->pods_given = true;
	if (!strcmp(phase, "Succeeded") || !strcmp(phase, "Failed"))
		return true;
	if (!is_new(f, &f->index->pods, pod))
		return !f->failed;
	if (*where) {
		n = node_of(f, where);
		if (!n)
			return false;
		if (image)
			add_plugin(n, pod, image);
	}
	if (!is_counted(f, pod))
		return true;
	if (!n)
		return add_waiting(f, pod);
	n->pods++;
	n->pending += !strcmp(phase, "Pending");
	n->running += !strcmp(phase, "Running");
	for (uint32_t i = 0; i < f->resources; i++)
		n->requested[i] = weft_quantity_add(
			n->requested[i],
			weft_pod_request(spec,
					 i == WEFT_FLEET_EFA ? WEFT_K8S_EFA : f->resource[i]));
	return true;
}

/* Items of a list that an API server sends as it is have no kind. */
static const char *kind_of(const json_t *object)
{
	const char *kind = weft_json_text(object, "kind");

	if (*kind)
		return kind;
	if (json_is_array(weft_json_at(object, "spec/containers")))
		return "Pod";
	if (json_is_object(weft_json_at(object, "status/allocatable")) ||
	    json_is_object(weft_json_at(object, "status/nodeInfo")))
		return "Node";
	return "";
}

bool weft_fleet_add(void *fleet, const json_t *object)
{
	struct weft_fleet *f = fleet;
	const char *kind = kind_of(object);

	if (f->failed)
		return false;
	if (!strcmp(kind, "Node"))
		return add_node(f, object);
	if (!strcmp(kind, "Pod"))
		return add_pod(f, object);
	if (!strcmp(kind, "ResourceSlice"))
		return add_slice(f, object);
	return true;
}

/* The end */

uint64_t weft_fleet_efas(const struct weft_fleet_node *n)
{
	return n->allocatable[WEFT_FLEET_EFA] / 1000;
}

uint32_t weft_fleet_expected(const struct weft_fleet_node *n)
{
	return n->instance ? weft_fact_or(n->instance->efas, 0) : 0;
}

static enum weft_fleet_trouble trouble_of(const struct weft_fleet *f,
					  const struct weft_fleet_node *n)
{
	uint64_t has = weft_fleet_efas(n), want = weft_fleet_expected(n);

	if (n->plugin == WEFT_PLUGIN_CRASHING)
		return WEFT_TROUBLE_CRASHING;
	if (n->plugin == WEFT_PLUGIN_NOT_READY)
		return WEFT_TROUBLE_NOT_READY;
	if (!want || has == want || (n->dra && !n->slices))
		return WEFT_TROUBLE_NONE;
	if (has > want)
		return WEFT_TROUBLE_MORE;
	/* Where one plugin serves the node from outside a pod (EKS Auto Mode) nothing is missing but cards. */
	if (!has && n->plugin == WEFT_PLUGIN_NONE && f->pods_given && f->all_namespaces)
		return WEFT_TROUBLE_ABSENT;
	return has ? WEFT_TROUBLE_FEWER : WEFT_TROUBLE_ZERO;
}

static bool is_short(const struct weft_fleet_node *n)
{
	return weft_fleet_efas(n) < weft_fleet_expected(n) && !(n->dra && !n->slices);
}

void weft_fleet_sum_add(struct weft_fleet_sum *sum, const struct weft_fleet *f,
			const struct weft_fleet_node *n)
{
	for (uint32_t i = 0; i < f->resources; i++) {
		sum->requested[i] = weft_quantity_add(sum->requested[i], n->requested[i]);
		sum->allocatable[i] = weft_quantity_add(sum->allocatable[i], n->allocatable[i]);
	}
	sum->expected += weft_fleet_expected(n);
	sum->price += n->price;
	sum->unpriced += !n->priced;
	sum->ready += n->ready;
	sum->troubled += n->trouble != WEFT_TROUBLE_NONE;
	sum->pods += n->pods;
	sum->nodes++;
}

/* Those that were seen go first. */
static int by_name(const void *a, const void *b)
{
	const struct weft_fleet_node *x = a, *y = b;

	return x->seen != y->seen ? y->seen - x->seen : strcmp(x->name, y->name);
}

void weft_fleet_finish(struct weft_fleet *f, const struct weft_prices *prices)
{
	if (f->begun)
		qsort(f->node, f->begun, sizeof(*f->node), by_name);
	for (uint32_t i = 0; i < f->nodes; i++) {
		struct weft_fleet_node *n = &f->node[i];

		/* In slices there are EFAs as well. */
		n->allocatable[WEFT_FLEET_EFA] = weft_quantity_add(n->allocatable[WEFT_FLEET_EFA],
								   (uint64_t)n->slices * 1000);
		n->priced =
			prices && weft_prices_find(prices, n->type,
						   n->capacity == WEFT_CAPACITY_SPOT, &n->price);
		n->trouble = trouble_of(f, n);
		weft_fleet_sum_add(&f->sum, f, n);
		f->short_of += is_short(n);
		f->pods += n->pods;
		f->bound += n->pods;
		f->pending += n->pending;
		f->running += n->running;
	}
}

/* Words */

const char *weft_fleet_capacity_name(enum weft_fleet_capacity capacity)
{
	switch (capacity) {
	case WEFT_CAPACITY_ON_DEMAND:
		return "on-demand";
	case WEFT_CAPACITY_SPOT:
		return "spot";
	case WEFT_CAPACITY_RESERVED:
		return "reserved";
	case WEFT_CAPACITY_FARGATE:
		return "fargate";
	case WEFT_CAPACITY_UNKNOWN:
		break;
	}
	return "";
}

const char *weft_fleet_status(const struct weft_fleet_node *n)
{
	if (n->deleting)
		return "Deleting";
	if (!n->ready)
		return n->ready_unknown ? "Unknown" : "NotReady";
	return n->cordoned ? "Cordoned" : "Ready";
}

const char *weft_fleet_plugin_name(const struct weft_fleet *f, const struct weft_fleet_node *n)
{
	switch (n->plugin) {
	case WEFT_PLUGIN_READY:
		return n->dra ? "dra" : "ready";
	case WEFT_PLUGIN_CRASHING:
		return "crash-loop";
	case WEFT_PLUGIN_NOT_READY:
		return "not-ready";
	case WEFT_PLUGIN_NONE:
		break;
	}
	return f->pods_given && f->all_namespaces ? "none" : "?";
}

static const struct {
	const char *name, *title;
	enum weft_finding_id finding;
} troubles[WEFT_TROUBLE_COUNT] = {
	[WEFT_TROUBLE_NONE] = { "", "", WEFT_FINDING_K8S_NODE },
	[WEFT_TROUBLE_CRASHING] = { "plugin-crashing", "EFA device plugin crash-looping",
				    WEFT_FINDING_K8S_PLUGIN },
	[WEFT_TROUBLE_NOT_READY] = { "plugin-not-ready", "EFA device plugin not ready",
				     WEFT_FINDING_K8S_PLUGIN },
	[WEFT_TROUBLE_ABSENT] = { "plugin-absent", "no EFA device plugin", WEFT_FINDING_K8S_NODE },
	[WEFT_TROUBLE_ZERO] = { "efa-zero", "no allocatable EFA", WEFT_FINDING_CARD_NONE },
	[WEFT_TROUBLE_FEWER] = { "efa-fewer", "fewer EFAs than the type has",
				 WEFT_FINDING_CARD_COUNT },
	[WEFT_TROUBLE_MORE] = { "efa-more", "more EFAs than the type has", WEFT_FINDING_K8S_EXTRA },
};

const char *weft_fleet_trouble_name(enum weft_fleet_trouble trouble)
{
	return troubles[trouble].name;
}

const char *weft_fleet_trouble_title(enum weft_fleet_trouble trouble)
{
	return troubles[trouble].title;
}

enum weft_finding_id weft_fleet_trouble_finding(enum weft_fleet_trouble trouble)
{
	return troubles[trouble].finding;
}
