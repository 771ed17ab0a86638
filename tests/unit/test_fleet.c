/* SPDX-License-Identifier: BSD-2-Clause */
#include "fleet/fleet.h"

#include "advice/jsonfile.h"
#include "fleet/pod.h"
#include "fleet/view.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

/* Text with ' for ". */
static json_t *json(const char *text)
{
	char copy[4096], why[200];
	json_t *root;

	snprintf(copy, sizeof(copy), "%s", text);
	for (char *c = copy; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	root = weft_jsonfile_parse(copy, strlen(copy), why, sizeof(why));
	if (!root)
		fail_msg("%s: %s", copy, why);
	return root;
}

static void weft_pod_request__as_the_scheduler(void **state)
{
#define REQ(cpu)  "{'resources': {'requests': {'cpu': '" cpu "'}}}"
#define SIDE(cpu) "{'restartPolicy': 'Always', 'resources': {'requests': {'cpu': '" cpu "'}}}"
	static const struct {
		const char *spec;
		uint64_t milli;
	} rows[] = {
		{ "{}", 0 },
		{ "{'containers': [" REQ("100m") "," REQ("1") "]}", 1100 },
		{ "{'containers': [" REQ("100m") "], 'initContainers': [" REQ("3") "," REQ(
			  "2") "]}",
		  3000 },
		{ "{'containers': [" REQ("4") "], 'initContainers': [" REQ("3") "]}", 4000 },
		/* A sidecar stays. */
		{ "{'containers': [" REQ("1") "], 'initContainers': [" SIDE("2") "]}", 3000 },
		/* And is there while what follows it runs, but not while what went before did. */
		{ "{'containers': [" REQ("1") "], 'initContainers': [" SIDE("2") "," REQ("5") "]}",
		  7000 },
		{ "{'containers': [" REQ("1") "], 'initContainers': [" REQ("5") "," SIDE("2") "]}",
		  5000 },
		{ "{'containers': [" REQ("1") "], 'initContainers': [" SIDE("2") "," SIDE("3") "]}",
		  6000 },
		{ "{'containers': [" REQ("1") "], 'overhead': {'cpu': '250m'}}", 1250 },
		/* A limit is a request, unless there is one. */
		{ "{'containers': [{'resources': {'limits': {'cpu': 2}}}]}", 2000 },
		{ "{'containers': [{'resources': {'limits': {'cpu': 2}, 'requests': {'cpu': 1}}}]}",
		  1000 },
		{ "{'containers': [" REQ("9") "], 'resources': {'requests': {'cpu': '3'}}}", 3000 },
		{ "{'containers': [" REQ("x") "]}", 0 },
		{ "{'containers': 5, 'initContainers': {}, 'overhead': []}", 0 },
		{ "[]", 0 },
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		json_t *spec = json(rows[i].spec);
		uint64_t milli = weft_pod_request(spec, "cpu");

		if (milli != rows[i].milli)
			fail_msg("%s: %llu", rows[i].spec, (unsigned long long)milli);
		json_decref(spec);
	}
}

static void weft_pod_request__accelerators_are_one(void **state)
{
	json_t *spec = json("{'containers': [{'resources': {'limits': {'nvidia.com/gpu': 8}}},"
			    "{'resources': {'limits': {'aws.amazon.com/neuron': '2'}}}]}");

	(void)state;
	assert_int_equal(weft_pod_request(spec, "gpu"), 10000);
	assert_int_equal(weft_pod_request(spec, "nvidia.com/gpu"), 8000);
	assert_int_equal(weft_pod_request(spec, "vpc.amazonaws.com/efa"), 0);
	json_decref(spec);
}

static void add(struct weft_fleet *f, const char *text)
{
	json_t *object = json(text);

	assert_true(weft_fleet_add(f, object));
	json_decref(object);
}

#define NODE(name, type, efas)                                                           \
	"{'kind': 'Node', 'metadata': {'name': '" name "', 'labels': {"                  \
	"'node.kubernetes.io/instance-type': '" type "'}}, 'status': {'allocatable': "   \
	"{'cpu': '95690m', 'nvidia.com/gpu': '8', 'vpc.amazonaws.com/efa': '" efas "'}," \
	"'conditions': [{'type': 'Ready', 'status': 'True'}]}}"
#define POD(name, node, phase, efas)                                                      \
	"{'kind': 'Pod', 'metadata': {'namespace': 'n', 'name': '" name "'}, 'spec': {"   \
	"'nodeName': '" node "', 'containers': [{'resources': {'requests': {'cpu': '2', " \
	"'vpc.amazonaws.com/efa': '" efas "'}}}]}, 'status': {'phase': '" phase "', "     \
	"'conditions': [{'type': 'PodScheduled', 'reason': 'Unschedulable', 'message': 'm'}]}}"
#define PLUGIN(node, ready, why)                                                           \
	"{'kind': 'Pod', 'metadata': {'namespace': 'kube-system', 'name': 'p-" node "'}, " \
	"'spec': {'nodeName': '" node "', 'containers': [{'image': "                       \
	"'x/aws-efa-k8s-device-plugin:v0.5.20'}]}, 'status': {'phase': 'Running', "        \
	"'containerStatuses': [{'state': {'waiting': {'reason': '" why "'}}}], "           \
	"'conditions': [{'type': 'Ready', 'status': '" ready "'}]}}"

static const struct weft_fleet_node *named(const struct weft_fleet *f, const char *name)
{
	for (uint32_t i = 0; i < f->nodes; i++)
		if (!strcmp(f->node[i].name, name))
			return &f->node[i];
	fail_msg("no node %s", name);
	return NULL;
}

/* Pods before their nodes, twice, ended, and of nodes that are not there. */
static void weft_fleet_add__sums(void **state)
{
	struct weft_fleet f;

	(void)state;
	assert_true(weft_fleet_init(&f));
	add(&f, POD("a", "n1", "Running", "2"));
	add(&f, NODE("n2", "c5.2xlarge", "0"));
	add(&f, NODE("n1", "p4de.24xlarge", "4"));
	add(&f, NODE("n1", "p4de.24xlarge", "1"));
	add(&f, POD("a", "n1", "Running", "2"));
	add(&f, POD("b", "n1", "Pending", "1"));
	add(&f, POD("c", "n1", "Succeeded", "1"));
	add(&f, POD("d", "n1", "Failed", "1"));
	add(&f, POD("e", "gone", "Running", "1"));
	add(&f, POD("f", "", "Pending", "4"));
	add(&f, "{'kind': 'Service', 'metadata': {'name': 'x'}}");
	weft_fleet_finish(&f, NULL);
	assert_int_equal(f.nodes, 2);
	assert_string_equal(f.node[0].name, "n1");
	assert_int_equal(f.node[0].requested[WEFT_FLEET_CPU], 4000);
	assert_int_equal(f.node[0].requested[WEFT_FLEET_EFA], 3000);
	assert_int_equal(f.node[0].allocatable[WEFT_FLEET_CPU], 95690);
	assert_int_equal(weft_fleet_efas(&f.node[0]), 4);
	assert_int_equal(weft_fleet_expected(&f.node[0]), 4);
	assert_int_equal(weft_fleet_expected(&f.node[1]), 0);
	assert_int_equal(f.pods, 3);
	assert_int_equal(f.bound, 2);
	assert_int_equal(f.running, 1);
	assert_int_equal(f.pending, 2);
	assert_int_equal(f.pending_efas, 4000);
	assert_int_equal(f.stuck_pods, 1);
	assert_string_equal(f.stuck[0].name, "n/f");
	assert_int_equal(f.sum.allocatable[WEFT_FLEET_EFA], 4000);
	assert_int_equal(f.sum.expected, 4);
	assert_int_equal(f.short_of, 0);
	weft_fleet_fini(&f);
}

static void weft_fleet_finish__trouble(void **state)
{
	struct weft_fleet f;

	(void)state;
	assert_true(weft_fleet_init(&f));
	add(&f, NODE("good", "p5.48xlarge", "32"));
	add(&f, PLUGIN("good", "True", ""));
	add(&f, NODE("no-plugin", "ml.p5.48xlarge", "0"));
	add(&f, NODE("crash", "p5.48xlarge", "0"));
	add(&f, PLUGIN("crash", "False", "CrashLoopBackOff"));
	add(&f, NODE("pull", "p5.48xlarge", "0"));
	add(&f, PLUGIN("pull", "False", "ImagePullBackOff"));
	add(&f, NODE("zero", "p5.48xlarge", "0"));
	add(&f, PLUGIN("zero", "True", ""));
	add(&f, NODE("fewer", "p5.48xlarge", "31"));
	add(&f, NODE("more", "p6-b200.48xlarge", "10"));
	add(&f, NODE("other", "m5.large", "0"));
	weft_fleet_finish(&f, NULL);
	assert_int_equal(named(&f, "good")->trouble, WEFT_TROUBLE_NONE);
	assert_int_equal(named(&f, "no-plugin")->trouble, WEFT_TROUBLE_ABSENT);
	assert_int_equal(named(&f, "crash")->trouble, WEFT_TROUBLE_CRASHING);
	assert_int_equal(named(&f, "pull")->trouble, WEFT_TROUBLE_NOT_READY);
	assert_string_equal(named(&f, "pull")->plugin_why, "ImagePullBackOff");
	assert_int_equal(named(&f, "zero")->trouble, WEFT_TROUBLE_ZERO);
	assert_int_equal(named(&f, "fewer")->trouble, WEFT_TROUBLE_FEWER);
	assert_int_equal(named(&f, "more")->trouble, WEFT_TROUBLE_MORE);
	assert_int_equal(named(&f, "other")->trouble, WEFT_TROUBLE_NONE);
	assert_int_equal(f.short_of, 5);
	weft_fleet_fini(&f);
}

/* Pods of one namespace say nothing of a plugin in another one. */
static void weft_fleet_finish__one_namespace(void **state)
{
	struct weft_fleet f;

	(void)state;
	assert_true(weft_fleet_init(&f));
	f.all_namespaces = false;
	f.namespace = "other";
	add(&f, NODE("a", "p5.48xlarge", "0"));
	add(&f, POD("x", "a", "Running", "1"));
	weft_fleet_finish(&f, NULL);
	assert_int_equal(f.node[0].trouble, WEFT_TROUBLE_ZERO);
	assert_int_equal(f.node[0].pods, 0);
	weft_fleet_fini(&f);
}

/* A DRA driver's EFAs are no number of the node's; its slices say how many there are. */
static void weft_fleet_finish__dra(void **state)
{
#define DRA                                                                                   \
	"{'kind': 'Pod', 'metadata': {'name': 'd'}, 'spec': {'nodeName': 'a', 'containers': " \
	"[{'image': 'x/dranet:1'}]}, 'status': {'phase': 'Running', 'conditions': "           \
	"[{'type': 'Ready', 'status': 'True'}]}}"
#define SLICE                                                                                 \
	"{'kind': 'ResourceSlice', 'metadata': {'name': 's'}, 'spec': {'driver': 'dra.net', " \
	"'nodeName': 'a', 'devices': [{}, {}, {}]}}"
	struct weft_fleet f;

	(void)state;
	for (int slices = 0; slices < 2; slices++) {
		assert_true(weft_fleet_init(&f));
		add(&f, NODE("a", "p4d.24xlarge", "0"));
		add(&f, DRA);
		for (int i = 0; i < 2 && slices; i++)
			add(&f, SLICE);
		weft_fleet_finish(&f, NULL);
		assert_int_equal(f.node[0].trouble,
				 slices ? WEFT_TROUBLE_FEWER : WEFT_TROUBLE_NONE);
		assert_int_equal(weft_fleet_efas(&f.node[0]), slices ? 3 : 0);
		assert_int_equal(f.short_of, slices);
		weft_fleet_fini(&f);
	}
}

static void weft_fleet_rows__order_and_filter(void **state)
{
	struct weft_fleet_view v = { .sort = WEFT_FLEET_BY_EFA };
	struct weft_fleet_rows rows;
	struct weft_fleet f;

	(void)state;
	assert_true(weft_fleet_init(&f));
	add(&f, NODE("b", "p5.48xlarge", "32"));
	add(&f, NODE("c", "m5.large", "0"));
	add(&f, NODE("a", "p5.48xlarge", "32"));
	add(&f, POD("x", "b", "Running", "16"));
	add(&f, PLUGIN("a", "True", ""));
	add(&f, PLUGIN("b", "True", ""));
	weft_fleet_finish(&f, NULL);
	assert_true(weft_fleet_rows(&f, &v, &rows));
	assert_int_equal(rows.count, 3);
	assert_string_equal(rows.row[0].name, "b");
	assert_string_equal(rows.row[1].name, "a");
	weft_fleet_rows_free(&rows);
	v.by_type = true;
	v.sort = WEFT_FLEET_BY_NAME;
	assert_true(weft_fleet_rows(&f, &v, &rows));
	assert_int_equal(rows.count, 2);
	assert_string_equal(rows.row[0].name, "m5.large");
	assert_int_equal(rows.row[1].sum.nodes, 2);
	assert_int_equal(rows.row[1].sum.allocatable[WEFT_FLEET_EFA], 64000);
	weft_fleet_rows_free(&rows);
	v = (struct weft_fleet_view){ .filter = "P5." };
	assert_true(weft_fleet_rows(&f, &v, &rows));
	assert_int_equal(rows.count, 2);
	weft_fleet_rows_free(&rows);
	v = (struct weft_fleet_view){ .troubled = true };
	assert_true(weft_fleet_rows(&f, &v, &rows));
	assert_int_equal(rows.count, 0);
	weft_fleet_rows_free(&rows);
	weft_fleet_fini(&f);
}

/* Everything of the wrong type, names that are commands for a terminal, and more resources than there may be. */
static void weft_fleet_add__hostile(void **state)
{
	static const char *const rows[] = {
		"[]",
		"{'kind': 5}",
		"{'kind': 'Node'}",
		"{'kind': 'Pod'}",
		"{'kind': 'Pod', 'spec': [], 'status': 7, 'metadata': 'x'}",
		"{'kind': 'Node', 'metadata': {'name': '\\u001b[2J', 'labels': []}, 'status': "
		"{'allocatable': {'cpu': {}, 'vpc.amazonaws.com/efa': '-4', 'nvidia.com/gpu': "
		"'1e9999'}, 'conditions': {}}}",
		"{'kind':'ResourceSlice','spec':{'driver':'dra.net','nodeName':'q','devices':5}}",
		"{'status': {'allocatable': {'cpu': '1'}}, 'metadata': {'name': 'nameless-kind'}}",
	};
	struct weft_fleet f;

	(void)state;
	assert_true(weft_fleet_init(&f));
	for (uint32_t i = 0; i < 2 * WEFT_FLEET_RESOURCES_MAX; i++) {
		char name[8];

		snprintf(name, sizeof(name), "r%u", i);
		assert_int_equal(weft_fleet_resource(&f, name) == UINT32_MAX,
				 i >= WEFT_FLEET_RESOURCES_MAX - WEFT_FLEET_FIXED);
	}
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++)
		add(&f, rows[i]);
	weft_fleet_finish(&f, NULL);
	assert_int_equal(f.nodes, 3);
	assert_non_null(named(&f, "?[2J"));
	assert_int_equal(named(&f, "nameless-kind")->allocatable[WEFT_FLEET_CPU], 1000);
	weft_fleet_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_pod_request__as_the_scheduler),
		cmocka_unit_test(weft_pod_request__accelerators_are_one),
		cmocka_unit_test(weft_fleet_add__sums),
		cmocka_unit_test(weft_fleet_finish__trouble),
		cmocka_unit_test(weft_fleet_finish__one_namespace),
		cmocka_unit_test(weft_fleet_finish__dra),
		cmocka_unit_test(weft_fleet_rows__order_and_filter),
		cmocka_unit_test(weft_fleet_add__hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
