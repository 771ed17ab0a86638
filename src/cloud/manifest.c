/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the values of manifests come from. What the catalogue does not state (it is unknown, or derived from
 * something else) goes into no manifest, and what only the user knows is asked for. Whatever he says is checked
 * against what such a thing can look like: none of it can end a string or a line in YAML, JSON, HCL or a shell, so
 * templates need not quote.
 *
 * A template decides by what it uses which values it needs; so which keys a kind has, and which of them it can do
 * without, is read from its template, too. */
#include "cloud/manifest.h"

#include "base/spell.h"
#include "cloud/manifest_key.h"
#include "cloud/plan.h"
#include "cloud/template.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define KIND(symbol) extern const char weft_manifest_##symbol[]
KIND(bottlerocket);
KIND(burnin);
KIND(device_plugin);
KIND(dockerfile);
KIND(eksctl);
KIND(launch_template);
KIND(mpijob);
KIND(parallelcluster);
KIND(placement_group);
KIND(pod);
KIND(rayjob);
KIND(run_instances);
KIND(security_group);
KIND(skypilot);
KIND(slurm);
KIND(terraform);
KIND(torchrun);

static const struct weft_manifest_kind kinds[] = {
	{ "bottlerocket", "eksctl node group with Bottlerocket, and its huge pages",
	  weft_manifest_bottlerocket, false },
	{ "burnin", "Kubernetes DaemonSet that tries all cards and all pairs of nodes",
	  weft_manifest_burnin, false },
	{ "device-plugin", "values for the Helm chart of AWS's EFA device plugin",
	  weft_manifest_device_plugin, false },
	{ "dockerfile", "image with what programs need for EFA", weft_manifest_dockerfile, false },
	{ "eksctl", "EKS cluster and node group", weft_manifest_eksctl, false },
	{ "launch-template", "script: EC2 launch template with every card",
	  weft_manifest_launch_template, true },
	{ "mpijob", "Kubeflow MPIJob: nccl-tests, or your MPI program", weft_manifest_mpijob,
	  false },
	{ "parallelcluster", "AWS ParallelCluster with Slurm", weft_manifest_parallelcluster,
	  false },
	{ "placement-group", "script: EC2 placement group", weft_manifest_placement_group, true },
	{ "pod", "Kubernetes pod that has a whole node", weft_manifest_pod, false },
	{ "rayjob", "KubeRay RayJob", weft_manifest_rayjob, false },
	{ "run-instances", "script: EC2 instances with every card", weft_manifest_run_instances,
	  true },
	{ "security-group", "script: EC2 security group with both rules to itself",
	  weft_manifest_security_group, true },
	{ "skypilot", "SkyPilot task: nccl-tests, or your MPI program", weft_manifest_skypilot,
	  false },
	{ "slurm", "sbatch script: nccl-tests, or your MPI program", weft_manifest_slurm, true },
	{ "terraform", "EKS cluster and node group, with the module terraform-aws-eks",
	  weft_manifest_terraform, false },
	{ "torchrun", "script: PyTorch on each node", weft_manifest_torchrun, true },
};

const struct weft_manifest_kind *weft_manifest_kind_at(uint32_t index)
{
	return index < WEFT_ARRAY_SIZE(kinds) ? &kinds[index] : NULL;
}

const struct weft_manifest_kind *weft_manifest_kind_find(const char *name, const char **suggest_out)
{
	size_t best = SIZE_MAX;

	*suggest_out = NULL;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(kinds); i++) {
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
		if (weft_spell_is_closer(name, kinds[i].name, &best))
			*suggest_out = kinds[i].name;
	}
	return NULL;
}

/* Values */

struct making {
	const struct weft_manifest *m;
	char standard[WEFT_MANIFEST_KEYS_MAX][WEFT_MANIFEST_VALUE_MAX];
	bool used[WEFT_MANIFEST_KEYS_MAX];
	char *why; /* "" as long as nothing is wrong. */
	size_t why_len;
};

static enum weft_value text(char out[WEFT_TEMPLATE_VALUE_MAX], const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static enum weft_value text(char out[WEFT_TEMPLATE_VALUE_MAX], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(out, WEFT_TEMPLATE_VALUE_MAX, fmt, ap);
	va_end(ap);
	return WEFT_VALUE_TEXT;
}

static enum weft_value flag(bool yes, char out[WEFT_TEMPLATE_VALUE_MAX])
{
	return yes ? text(out, "yes") : WEFT_VALUE_NONE;
}

static enum weft_value number(struct weft_fact fact, const char *suffix,
			      char out[WEFT_TEMPLATE_VALUE_MAX])
{
	return fact.how == WEFT_FACT_KNOWN ? text(out, "%u%s", fact.value, suffix)
					   : WEFT_VALUE_UNKNOWN;
}

static bool is_nvidia(const struct weft_instance *it)
{
	const char *resource = weft_instance_resource(it);

	return resource && !strcmp(resource, "nvidia.com/gpu");
}

/* On p6-b300 that is documented. On p6e-gb200 there is one card more than EFAs, too, but sources contradict each other
 * about which carry one. */
static bool is_card0_ena(const struct weft_instance *it)
{
	return it->network_cards.value > it->efas.value && it->gbps.how == WEFT_FACT_KNOWN;
}

static bool is_layout_known(const struct weft_instance *it)
{
	return it->efas.how == WEFT_FACT_KNOWN && it->network_cards.how == WEFT_FACT_KNOWN &&
	       (it->efas.value == it->network_cards.value || is_card0_ena(it));
}

/* An interface each for the address, and for every EFA; but one for both where there is one card. */
static uint32_t interfaces(const struct weft_instance *it)
{
	return it->network_cards.value == 1 ? 1 : it->efas.value + 1;
}

/* Of the interface of this turn. False: `name` is nothing of that. */
static bool interface_value(const struct weft_instance *it, const char *name, uint32_t turn,
			    char out[WEFT_TEMPLATE_VALUE_MAX], enum weft_value *how_out)
{
	/* Turn 0 is the address on card 0. Its EFA is a second device of that card, if there is one. */
	uint32_t card = turn && !is_card0_ena(it) ? turn - 1 : turn;
	bool last = turn + 1 == interfaces(it);

	if (!strcmp(name, "card"))
		*how_out = text(out, "%u", card);
	else if (!strcmp(name, "device"))
		*how_out = text(out, "%u", turn == 1 && !card ? 1 : 0);
	else if (!strcmp(name, "type"))
		*how_out = text(out, "%s", turn ? "efa-only" : last ? "efa" : "interface");
	else if (!strcmp(name, "comma"))
		*how_out = text(out, "%s", last ? "" : ",");
	else if (!strcmp(name, "continued"))
		*how_out = text(out, "%s", last ? "" : " \\");
	else
		return false;
	return true;
}

static const char *sky_accelerator(const struct weft_instance *it)
{
	static const struct {
		const char *ours, *theirs;
	} names[] = {
		{ "a10g", "A10G" }, { "a100", "A100" }, { "b200", "B200" }, { "b300", "B300" },
		{ "h100", "H100" }, { "h200", "H200" }, { "l4", "L4" },     { "l40s", "L40S" },
		{ "t4", "T4" },     { "v100", "V100" },
	};

	if (!strcmp(it->name, "p4de.24xlarge"))
		return "A100-80GB";
	if (!strcmp(it->name, "p3dn.24xlarge"))
		return "V100-32GB";
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(names); i++)
		if (!strcmp(names[i].ours, it->accelerator))
			return names[i].theirs;
	return NULL;
}

static const char *ami_type(const struct weft_instance *it)
{
	const char *resource = weft_instance_resource(it);

	if (!*it->accelerator)
		return weft_instance_is_arm(it) ? "AL2023_ARM_64_STANDARD"
						: "AL2023_x86_64_STANDARD";
	if (is_nvidia(it))
		return weft_instance_is_arm(it) ? "AL2023_ARM_64_NVIDIA" : "AL2023_x86_64_NVIDIA";
	return resource && !strcmp(resource, "aws.amazon.com/neuron") ? "AL2023_x86_64_NEURON"
								      : NULL;
}

static enum weft_value known_text(const char *known, char out[WEFT_TEMPLATE_VALUE_MAX])
{
	return known ? text(out, "%s", known) : WEFT_VALUE_UNKNOWN;
}

static const char *said(const struct making *k, const char *key)
{
	uint32_t row = weft_manifest_key_row(key);

	return k->m->said[row][0] ? k->m->said[row] : k->standard[row];
}

/* What follows from the instance type. False: `name` is nothing of that. */
static bool instance_value(const struct making *k, const char *name, uint32_t turn,
			   char out[WEFT_TEMPLATE_VALUE_MAX], enum weft_value *how_out)
{
	const struct weft_instance *it = k->m->instance;
	struct weft_fact cpus;

	if (!strcmp(name, "instance"))
		*how_out = text(out, "%s", it->name);
	else if (!strcmp(name, "accelerator"))
		*how_out = *it->accelerator ? text(out, "%s", it->accelerator) : WEFT_VALUE_NONE;
	else if (!strcmp(name, "accelerators"))
		*how_out = number(it->accelerators, "", out);
	else if (!strcmp(name, "resource"))
		*how_out = *it->accelerator ? known_text(weft_instance_resource(it), out)
					    : WEFT_VALUE_NONE;
	else if (!strcmp(name, "nvidia"))
		*how_out = flag(is_nvidia(it), out);
	else if (!strcmp(name, "efas"))
		*how_out = number(it->efas, "", out);
	else if (!strcmp(name, "efas-s"))
		*how_out = text(out, "%s", it->efas.value == 1 ? "" : "s");
	else if (!strcmp(name, "vcpus"))
		*how_out = number(it->vcpus, "", out);
	else if (!strcmp(name, "node-hugepages"))
		*how_out = number(it->hugepages, "", out);
	else if (!strcmp(name, "card0-is-ena"))
		*how_out = it->efas.how && !is_layout_known(it) ? WEFT_VALUE_UNKNOWN
								: flag(is_card0_ena(it), out);
	else if (!strcmp(name, "one-interface"))
		*how_out = flag(interfaces(it) == 1, out);
	else if (!strcmp(name, "sky-accelerator"))
		*how_out = known_text(sky_accelerator(it), out);
	else if (!strcmp(name, "ami-type"))
		*how_out = known_text(ami_type(it), out);
	else if (!strcmp(name, "triplet"))
		*how_out =
			text(out, "%s",
			     weft_instance_is_arm(it) ? "aarch64-linux-gnu" : "x86_64-linux-gnu");
	else if (!strcmp(name, "cpus")) {
		cpus = it->vcpus;
		cpus.value = cpus.value * 9 / 10;
		*how_out = number(cpus, "", out);
	} else
		return it && interface_value(it, name, turn, out, how_out);
	return true;
}

/* Processes on each node: one for each GPU, and without any as many as the user says. */
static enum weft_value processes(struct making *k, bool total, char out[WEFT_TEMPLATE_VALUE_MAX])
{
	const struct weft_instance *it = k->m->instance;
	uint32_t row = weft_manifest_key_row("processes"), n = 0;

	if (is_nvidia(it)) {
		if (it->accelerators.how != WEFT_FACT_KNOWN)
			return WEFT_VALUE_UNKNOWN;
		n = it->accelerators.value;
	} else {
		k->used[row] = true;
		if (sscanf(k->m->said[row], "%" SCNu32, &n) != 1)
			return WEFT_VALUE_MISSING;
	}
	if (total && !k->m->nodes)
		return WEFT_VALUE_MISSING;
	return text(out, "%u", total ? n * k->m->nodes : n);
}

static enum weft_value default_size(struct weft_fact mib, char out[WEFT_TEMPLATE_VALUE_MAX])
{
	return number(mib, "Mi", out);
}

/* One option for all that containers of NVIDIA need, from installer 1.49.0 on. */
static bool has_ngc_option(const struct making *k)
{
	uint32_t major = 0, minor = 0;

	sscanf(said(k, "installer"), "%" SCNu32 ".%" SCNu32, &major, &minor);
	return !strncmp(said(k, "image"), "nvcr.io/nvidia/", 15) &&
	       (major > 1 || (major == 1 && minor >= 49));
}

static enum weft_value value(void *arg, const char *name, uint32_t turn,
			     char out[WEFT_TEMPLATE_VALUE_MAX])
{
	struct making *k = arg;
	enum weft_value how;
	uint32_t row;

	if (!strcmp(name, "nodes"))
		return k->m->nodes ? text(out, "%u", k->m->nodes) : WEFT_VALUE_MISSING;
	if (!strcmp(name, "processes") || !strcmp(name, "total"))
		return processes(k, *name == 't', out);
	if (instance_value(k, name, turn, out, &how))
		return how;
	if (!strcmp(name, "zone-region")) {
		text(out, "%s", said(k, "zone"));
		out[*out ? strlen(out) - 1 : 0] = 0;
		return *out ? WEFT_VALUE_TEXT : WEFT_VALUE_MISSING;
	}
	if (!strcmp(name, "ngc"))
		return flag(has_ngc_option(k), out);
	row = weft_manifest_key_row(name);
	k->used[row] = true;
	if (*said(k, name))
		return text(out, "%s", said(k, name));
	if (!strcmp(name, "hugepages"))
		return default_size(weft_plan_hugepages_mib(k->m->instance), out);
	if (!strcmp(name, "memory"))
		return default_size(weft_plan_memory_mib(k->m->instance), out);
	return WEFT_VALUE_MISSING;
}

static void set_default(void *arg, const char *name, const char *standard)
{
	struct making *k = arg;

	snprintf(k->standard[weft_manifest_key_row(name)], WEFT_MANIFEST_VALUE_MAX, "%s", standard);
}

static enum weft_value turns(void *arg, const char *list, uint32_t *turns_out)
{
	struct making *k = arg;

	(void)list; /* "interface" is the only one. */
	if (!is_layout_known(k->m->instance))
		return WEFT_VALUE_UNKNOWN;
	*turns_out = interfaces(k->m->instance);
	return WEFT_VALUE_TEXT;
}

/* What is wrong */

static void add(struct making *k, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(struct making *k, const char *fmt, ...)
{
	size_t used = strlen(k->why);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(k->why + used, k->why_len - used, fmt, ap);
	va_end(ap);
}

static const char *unknown_name(const char *name)
{
	static const struct {
		const char *name, *what;
	} names[] = {
		{ "accelerators", "how many accelerators it has" },
		{ "ami-type", "which image of EKS is for it" },
		{ "card0-is-ena", "which of its network cards carry EFA" },
		{ "cpus", "how many vCPUs it has" },
		{ "efas", "how many EFA cards it has" },
		{ "hugepages", "how many huge pages its nodes have" },
		{ "interface", "which of its network cards carry EFA" },
		{ "memory", "how much memory it has" },
		{ "node-hugepages", "how many huge pages its nodes have" },
		{ "processes", "how many GPUs it has" },
		{ "resource", "what Kubernetes calls its accelerators" },
		{ "sky-accelerator", "what SkyPilot calls its accelerators" },
		{ "vcpus", "how many vCPUs it has" },
	};

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(names); i++)
		if (!strcmp(names[i].name, name))
			return names[i].what;
	return name;
}

/* Refused, or impossible: nothing that could be said would help. */
static bool is_settled(const struct making *k)
{
	return !strncmp(k->why, "no ", 3);
}

/* Only the first unknown is named: it settles the matter. Of what is missing, all, to be said in one go. */
static void lacks(void *arg, enum weft_value how, const char *name)
{
	struct making *k = arg;
	const struct weft_manifest_key_rule *rule;
	char option[128];

	if (is_settled(k))
		return;
	if (how == WEFT_VALUE_UNKNOWN) {
		*k->why = 0;
		add(k, "no source states of %s %s", k->m->instance->name, unknown_name(name));
		return;
	}
	if (!strcmp(name, "nodes") || (!strcmp(name, "total") && !k->m->nodes)) {
		snprintf(option, sizeof(option), "--nodes N");
	} else {
		rule = weft_manifest_key_rule(!strcmp(name, "zone-region") ? "zone"
					      : !strcmp(name, "total")     ? "processes"
									   : name);
		snprintf(option, sizeof(option), "--set %s=%s", rule->name, rule->example);
	}
	if (strstr(k->why, option))
		return;
	add(k, "%s%s", *k->why ? ", " : "please say ", option);
}

static void refuse(void *arg, const char *reason)
{
	struct making *k = arg;

	if (is_settled(k))
		return;
	*k->why = 0;
	add(k, "no %s for it: %s", k->m->kind->name, reason);
}

/* A size in Mi or Gi, in MiB. */
static uint64_t mib_of(const char *size)
{
	uint64_t n = strtoull(size, NULL, 10);

	return strchr(size, 'G') ? n * 1024 : n;
}

/* What a node does not have no pod can get: it would wait for ever. */
static void check_sizes(struct making *k)
{
	const struct weft_instance *it = k->m->instance;
	uint64_t pages, memory, pages_max, memory_max;

	if (*k->why || !it)
		return;
	pages = mib_of(said(k, "hugepages"));
	memory = mib_of(said(k, "memory"));
	pages_max = (uint64_t)it->hugepages.value * 2;
	memory_max = (uint64_t)it->memory_gib.value * 1024 - pages_max;
	if (it->hugepages.how && pages > pages_max)
		add(k, "hugepages=%s is more than the %" PRIu64 "Mi of a node",
		    said(k, "hugepages"), pages_max);
	else if (it->hugepages.how && it->memory_gib.how && memory >= memory_max)
		add(k, "memory=%s is not less than the %" PRIu64 "Mi of a node", said(k, "memory"),
		    memory_max);
}

static void check_zones(struct making *k)
{
	const char *zone = said(k, "zone"), *other = said(k, "zone2");
	size_t len = strlen(zone);

	if (*k->why || !*other)
		return;
	if (!strcmp(zone, other))
		add(k, "zone2 has to be another zone than %s", zone);
	else if (strlen(other) != len || strncmp(zone, other, len - 1) != 0)
		add(k, "%s and %s are zones of different regions", zone, other);
}

struct names {
	bool instance, nodes;
};

static void see_name(void *arg, const struct weft_template_name *use)
{
	struct names *n = arg;

	n->instance |= !strcmp(use->name, "instance");
	n->nodes |= !strcmp(use->name, "nodes");
}

/* A template that is about an instance type names it, and what else it needs depends on which one it is. */
static bool lacks_instance(struct making *k)
{
	struct names n = { .instance = false };

	weft_template_each_use(k->m->kind->text, see_name, &n);
	if (k->m->instance || !n.instance)
		return false;
	add(k, "please say --instance TYPE%s", n.nodes && !k->m->nodes ? ", --nodes N" : "");
	return true;
}

bool weft_manifest_write(const struct weft_manifest *m, FILE *out, char *why, size_t len)
{
	static const struct weft_template_ops ops = {
		.value = value,
		.set_default = set_default,
		.turns = turns,
		.lacks = lacks,
		.refuse = refuse,
	};
	struct making k = { .m = m, .why = why, .why_len = len };

	*why = 0;
	if (lacks_instance(&k))
		return false;
	weft_template_expand(m->kind->text, &ops, &k, NULL);
	for (uint32_t i = 0; i < WEFT_MANIFEST_KEYS_MAX && !*why; i++)
		if (m->said[i][0] && !k.used[i])
			add(&k, "%s means nothing here", weft_manifest_key_name(i));
	check_zones(&k);
	check_sizes(&k);
	if (*why)
		return false;
	weft_template_expand(m->kind->text, &ops, &k, out);
	return true;
}
