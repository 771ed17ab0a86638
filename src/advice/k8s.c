/* SPDX-License-Identifier: BSD-2-Clause */
/* Nodes, pods and daemon sets of Kubernetes, as kubectl prints them.
 *
 * The device plugin has a different name in every way of installing it, so it is known by its image. What a
 * node should offer comes from its instance type's row in the catalogue; a node of a type without EFA is not
 * judged at all. */
#include "advice/cloudjson.h"

#include "advice/env.h"
#include "advice/jsonfile.h"
#include "advice/k8sobj.h"
#include "advice/quantity.h"
#include "cloud/catalogue.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define EFA       WEFT_K8S_EFA
#define HUGEPAGES "hugepages-2Mi"
#define DEVICES   "/dev/infiniband"

struct cluster {
	struct weft_findings *f;
	json_t *nodes, *pods, *sets, *slices; /* own */
	json_t *by_name; /* owns. The nodes. */
	json_t *in_slices; /* owns. Devices of DRANET, by node: numbers. */
	size_t good_nodes, good_pages, good_requests, good_pods; /* Counted, and told once. */
	bool has_karpenter; /* Some node is of Karpenter's. */
	bool has_dra; /* Its driver is here: then nodes offer EFAs in slices, and not as a number. */
};

#define OK(c, id, ...) weft_findings_add((c)->f, WEFT_FINDING_##id, WEFT_SEV_OK, NULL, __VA_ARGS__)

/* UINT64_MAX: not there, or not a quantity. */
static uint64_t quantity(const json_t *of, const char *key)
{
	uint64_t milli;

	return weft_k8s_quantity(json_object_get(of, key), &milli) ? weft_quantity_whole(milli)
								   : UINT64_MAX;
}

static uint64_t quantity_or_0(const json_t *of, const char *key)
{
	uint64_t n = quantity(of, key);

	return n == UINT64_MAX ? 0 : n;
}

static void collect(struct cluster *c, json_t *object)
{
	const struct {
		const char *kind;
		json_t *into;
	} kinds[] = { { "Node", c->nodes },
		      { "Pod", c->pods },
		      { "DaemonSet", c->sets },
		      { "ResourceSlice", c->slices } };
	const char *kind = weft_json_text(object, "kind");

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(kinds); i++)
		if (!strcmp(kind, kinds[i].kind))
			json_array_append(kinds[i].into, object);
}

static size_t collected(const struct cluster *c)
{
	return json_array_size(c->nodes) + json_array_size(c->pods) + json_array_size(c->sets) +
	       json_array_size(c->slices);
}

/* The plugin, or the driver of dynamic resource allocation (DRANET) in its place */

/* Of the plugin alone: versions of DRANET say nothing of this. */
static void check_plugin_version(struct cluster *c, const char *image)
{
	const char *colon = strrchr(image, ':');
	bool ours = !strstr(image, "aws-efa-k8s-device-plugin"); /* Numbered otherwise. */
	uint32_t version = colon && !ours ? weft_version_parse(colon + 1 + (colon[1] == 'v')) : 0;
	bool old = version && version < WEFT_VERSION_OF(0, 5, 10);
	json_t *node;
	size_t i;

	weft_json_each(c->nodes, i, node) {
		const struct weft_instance *type = weft_k8s_type(node);

		if (old && type && !strncmp(type->name, "p6", 2)) {
			weft_findings_report(
				c->f, WEFT_FINDING_K8S_EXTRA, NULL,
				"%s, and %s is a %s: before 0.5.10 other vendors' cards are "
				"counted",
				image, weft_k8s_name(node), type->name);
			return;
		}
	}
	if (version && version < WEFT_VERSION_OF(0, 4, 0))
		weft_findings_add(c->f, WEFT_FINDING_K8S_PLUGIN, WEFT_SEV_WARN, NULL,
				  "%s is too old for p5 and newer", image);
}

static void check_plugin(struct cluster *c, bool wanted)
{
	const char *image = NULL;
	bool bad = false;
	json_t *one;
	size_t i;

	weft_json_each(c->sets, i, one) {
		const char *its = weft_k8s_plugin_image(weft_json_at(one, "spec/template/spec"));
		const json_t *status = json_object_get(one, "status");
		uint64_t want = quantity_or_0(status, "desiredNumberScheduled");
		uint64_t ready = quantity_or_0(status, "numberReady");

		if (!its)
			continue;
		image = its;
		if (ready >= want)
			continue;
		bad = true;
		weft_findings_report(c->f, WEFT_FINDING_K8S_PLUGIN, NULL,
				     "daemon set %s: %" PRIu64 " of %" PRIu64 " pods are ready",
				     weft_k8s_name(one), ready, want);
	}
	weft_json_each(c->pods, i, one) {
		const char *its = weft_k8s_plugin_image(json_object_get(one, "spec"));

		if (!its)
			continue;
		image = its;
		if (weft_k8s_is_ready(one))
			continue;
		bad = true;
		weft_findings_report(c->f, WEFT_FINDING_K8S_PLUGIN, NULL, "pod %s on node %s: %s",
				     weft_k8s_name(one),
				     weft_json_text(json_object_get(one, "spec"), "nodeName"),
				     weft_k8s_waiting_reason(one));
	}
	c->has_dra = image && weft_k8s_is_dra(image);
	if (image && !c->has_dra)
		check_plugin_version(c, image);
	if (!image && wanted && (json_array_size(c->sets) || json_array_size(c->pods)))
		weft_findings_report(
			c->f, WEFT_FINDING_K8S_PLUGIN, NULL,
			"no pod or daemon set has the image of the device plugin or DRA driver");
	else if (image && !bad)
		OK(c, K8S_PLUGIN, "%s is ready", image);
}

/* Nodes */

/* How many EFAs a node offers. False: by DRA, and the slices were not given. */
static bool count_efas(const struct cluster *c, const json_t *node, uint64_t *efas_out)
{
	*efas_out = quantity_or_0(weft_json_at(node, "status/allocatable"), EFA);
	if (*efas_out || !c->has_dra)
		return true;
	*efas_out =
		(uint64_t)json_integer_value(json_object_get(c->in_slices, weft_k8s_name(node)));
	return json_array_size(c->slices) > 0;
}

static void check_node(struct cluster *c, const json_t *node, const struct weft_instance *type)
{
	const json_t *has = weft_json_at(node, "status/allocatable");
	uint64_t efas, pages = quantity(has, HUGEPAGES);
	uint32_t want = weft_fact_or(type->efas, 0), vcpus = weft_fact_or(type->vcpus, 0);
	uint64_t pages_wanted = vcpus ? (110 * (uint64_t)vcpus + 1) * 2 << 20 : 0;

	if (!count_efas(c, node, &efas))
		weft_findings_add(
			c->f, WEFT_FINDING_K8S_NODE, WEFT_SEV_NOTE, NULL,
			"%s (%s): offers EFAs by DRA; how many, kubectl get resourceslices -o json "
			"says",
			weft_k8s_name(node), type->name);
	else if (efas < want)
		weft_findings_report(c->f, WEFT_FINDING_K8S_NODE, NULL,
				     "%s (%s): %" PRIu64 " of " EFA
				     " or in slices, the type has %u",
				     weft_k8s_name(node), type->name, efas, want);
	else if (efas > want && want)
		weft_findings_report(c->f, WEFT_FINDING_K8S_EXTRA, NULL,
				     "%s (%s): %" PRIu64 " of " EFA
				     " or in slices, the type has %u",
				     weft_k8s_name(node), type->name, efas, want);
	else
		c->good_nodes++;
	if (pages != UINT64_MAX && pages < pages_wanted)
		weft_findings_report(c->f, WEFT_FINDING_K8S_HUGEPAGES, NULL,
				     "%s (%s): allocatable " HUGEPAGES " is %" PRIu64
				     "Mi, the rule gives %" PRIu64 "Mi",
				     weft_k8s_name(node), type->name, pages >> 20,
				     pages_wanted >> 20);
	else if (pages != UINT64_MAX)
		c->good_pages++;
}

/* Pods */

struct pod {
	const json_t *object, *spec;
	const json_t *node; /* Where it is, or NULL. */
	const struct weft_instance *type;
	uint64_t efas, gpus, pages;
};

static void check_equal(struct cluster *c, const struct pod *pod, const json_t *resources)
{
	static const char *const extended[] = { EFA, HUGEPAGES, "nvidia.com/gpu" };
	const json_t *limits = json_object_get(resources, "limits");
	const json_t *requests = json_object_get(resources, "requests");

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(extended); i++) {
		uint64_t limit = quantity(limits, extended[i]),
			 request = quantity(requests, extended[i]);

		/* A limit alone is its request as well; a request alone is refused. */
		if (request != UINT64_MAX && limit != request)
			weft_findings_report(c->f, WEFT_FINDING_POD_EQUAL, NULL,
					     "pod %s: request and limit of %s differ",
					     weft_k8s_name(pod->object), extended[i]);
		else if (request != UINT64_MAX)
			c->good_requests++;
	}
}

static void add_resources(struct cluster *c, struct pod *pod)
{
	json_t *container;
	size_t i;

	weft_json_each(json_object_get(pod->spec, "containers"), i, container) {
		const json_t *resources = json_object_get(container, "resources");
		const json_t *limits = json_object_get(resources, "limits");

		pod->efas += quantity_or_0(limits, EFA);
		pod->gpus += quantity_or_0(limits, "nvidia.com/gpu");
		pod->pages += quantity_or_0(limits, HUGEPAGES);
		check_equal(c, pod, resources);
	}
}

static void check_host_path(struct cluster *c, const struct pod *pod)
{
	json_t *volume;
	size_t i;

	weft_json_each(json_object_get(pod->spec, "volumes"), i, volume) {
		const char *path = weft_json_text(json_object_get(volume, "hostPath"), "path");

		if (!strncmp(path, DEVICES, strlen(DEVICES)))
			weft_findings_report(c->f, WEFT_FINDING_POD_HOSTPATH, NULL,
					     "pod %s: hostPath %s", weft_k8s_name(pod->object),
					     path);
	}
}

static bool has_karpenter_key(const json_t *map)
{
	const char *key;
	json_t *value;

	weft_json_each_key((json_t *)map, key, value)
		if (!strncmp(key, "karpenter.sh/", 13))
			return true;
	return false;
}

/* One that is not placed yet will be, by whoever places pods in this cluster. */
static bool is_karpenters(const struct cluster *c, const struct pod *pod)
{
	return has_karpenter_key(json_object_get(pod->spec, "nodeSelector")) ||
	       (!pod->node && c->has_karpenter);
}

static void check_pending(struct cluster *c, const struct pod *pod)
{
	const json_t *status = json_object_get(pod->object, "status");
	json_t *condition;
	size_t i;

	if (strcmp(weft_json_text(status, "phase"), "Pending") != 0)
		return;
	weft_json_each(json_object_get(status, "conditions"), i, condition) {
		const char *message = weft_json_text(condition, "message");

		if (!strcmp(weft_json_text(condition, "reason"), "Unschedulable"))
			weft_findings_report(c->f, WEFT_FINDING_POD_PENDING, NULL, "pod %s: %s",
					     weft_k8s_name(pod->object), message);
	}
}

static void check_share(struct cluster *c, const struct pod *pod)
{
	uint64_t gpus = pod->type ? weft_fact_or(pod->type->accelerators, 0) : 0;
	uint64_t efas = pod->type ? weft_fact_or(pod->type->efas, 0) : 0;

	/* Which devices a claim brings is for its class to say. */
	if (!pod->type || !pod->gpus || !efas ||
	    json_array_size(json_object_get(pod->spec, "resourceClaims")))
		return;
	if (!pod->efas)
		weft_findings_report(c->f, WEFT_FINDING_POD_NO_EFA, NULL,
				     "pod %s: %" PRIu64 " GPUs of a %s and no " EFA,
				     weft_k8s_name(pod->object), pod->gpus, pod->type->name);
	else if (pod->gpus >= gpus && pod->efas < efas)
		weft_findings_report(c->f, WEFT_FINDING_POD_PARTIAL, NULL,
				     "pod %s: all %" PRIu64 " GPUs of a %s and %" PRIu64
				     " of its %" PRIu64 " EFAs",
				     weft_k8s_name(pod->object), pod->gpus, pod->type->name,
				     pod->efas, efas);
	else
		c->good_pods++;
}

static void check_pod(struct cluster *c, const json_t *object)
{
	struct pod pod = { .object = object, .spec = json_object_get(object, "spec") };
	const char *selected = weft_json_text(json_object_get(pod.spec, "nodeSelector"),
					      "node.kubernetes.io/instance-type");
	const char *phase = weft_json_text(json_object_get(object, "status"), "phase");

	/* What has ended holds nothing any more. */
	if (!strcmp(phase, "Succeeded") || !strcmp(phase, "Failed"))
		return;
	pod.node = json_object_get(c->by_name, weft_json_text(pod.spec, "nodeName"));
	pod.type = pod.node ? weft_k8s_type(pod.node) : weft_catalogue_find(selected);
	add_resources(c, &pod);
	if (weft_k8s_plugin_image(pod.spec))
		return;
	check_host_path(c, &pod);
	if (!pod.efas && !pod.gpus)
		return;
	check_share(c, &pod);
	check_pending(c, &pod);
	if (pod.pages && is_karpenters(c, &pod))
		weft_findings_report(c->f, WEFT_FINDING_POD_KARPENTER, NULL,
				     "pod %s: " HUGEPAGES " %" PRIu64 "Mi", weft_k8s_name(object),
				     pod.pages >> 20);
}

/* So that nothing is looked for in a list. */
static void make_indexes(struct cluster *c)
{
	json_t *one;
	size_t i;

	weft_json_each(c->nodes, i, one) {
		json_object_set(c->by_name, weft_k8s_name(one), one);
		c->has_karpenter |= has_karpenter_key(weft_json_at(one, "metadata/labels"));
	}
	weft_json_each(c->slices, i, one) {
		const json_t *spec = json_object_get(one, "spec");
		const char *node = weft_json_text(spec, "nodeName");
		json_int_t more = (json_int_t)json_array_size(json_object_get(spec, "devices"));

		if (!strcmp(weft_json_text(spec, "driver"), "dra.net"))
			json_object_set_new(c->in_slices, node,
					    json_integer(json_integer_value(json_object_get(
								 c->in_slices, node)) +
							 more));
	}
}

static void gather(struct cluster *c, const struct weft_cloudjson *docs)
{
	for (size_t d = 0; d < docs->count; d++) {
		struct weft_place place = { docs->file[d], 0, 0 };
		json_t *item;
		size_t i, before = collected(c);

		collect(c, docs->root[d]);
		weft_json_each(json_object_get(docs->root[d], "items"), i, item)
			collect(c, item);
		if (collected(c) == before)
			weft_findings_report(
				c->f, WEFT_FINDING_INPUT, &place,
				"no node, pod, daemon set or resource slice in it (kubectl get "
				"nodes,pods,daemonsets -A -o json)");
	}
}

static void report_good(struct cluster *c)
{
	if (c->good_nodes)
		OK(c, K8S_NODE, "%zu nodes offer the EFAs of their type", c->good_nodes);
	if (c->good_pages)
		OK(c, K8S_HUGEPAGES, "%zu nodes offer enough", c->good_pages);
	if (c->good_requests)
		OK(c, POD_EQUAL, "%zu requests are equal to their limits", c->good_requests);
	if (c->good_pods)
		OK(c, POD_NO_EFA, "%zu pods with GPUs ask for EFA", c->good_pods);
}

void weft_k8s_check(const struct weft_cloudjson *docs, struct weft_findings *findings)
{
	struct cluster c = { .f = findings,
			     .nodes = json_array(),
			     .pods = json_array(),
			     .sets = json_array(),
			     .slices = json_array(),
			     .by_name = json_object(),
			     .in_slices = json_object() };
	bool wanted = false;
	json_t *one;
	size_t i;

	gather(&c, docs);
	make_indexes(&c);
	weft_json_each(c.nodes, i, one) {
		const struct weft_instance *type = weft_k8s_type(one);

		wanted |= type != NULL;
	}
	check_plugin(&c, wanted);
	weft_json_each(c.nodes, i, one) {
		const struct weft_instance *type = weft_k8s_type(one);

		if (type)
			check_node(&c, one, type);
	}
	weft_json_each(c.pods, i, one)
		check_pod(&c, one);
	report_good(&c);
	json_decref(c.nodes);
	json_decref(c.pods);
	json_decref(c.sets);
	json_decref(c.slices);
	json_decref(c.by_name);
	json_decref(c.in_slices);
}
