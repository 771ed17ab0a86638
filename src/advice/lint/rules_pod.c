/* SPDX-License-Identifier: BSD-2-Clause */
/* Rules about pods, and about the jobs that are made of them: what Kubernetes refuses, what no node has, and what runs
 * but not as it was meant. */
#include "advice/lint/rules.h"
#include "advice/quantity.h"
#include "cloud/plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define EFA "vpc.amazonaws.com/efa"

static const struct weft_doc_node *resource(const struct weft_doc_node *container,
					    const char *which, const char *name)
{
	return weft_doc_get(weft_doc_path(container, which), name);
}

static const struct weft_doc_node *asked(const struct weft_doc_node *container, const char *name)
{
	const struct weft_doc_node *limit = resource(container, "resources/limits", name);

	return limit ? limit : resource(container, "resources/requests", name);
}

/* A Kubernetes quantity in bytes, or units; false: it is none, or too large. */
static bool quantity(const struct weft_doc_node *node, uint64_t *value_out)
{
	uint64_t milli;

	if (!weft_quantity_parse(weft_doc_text(node), &milli))
		return false;
	*value_out = weft_quantity_whole(milli);
	return true;
}

/* Those of which a pod gets whole pieces, and request and limit have to be one. */
static bool is_extended(const char *name)
{
	return strchr(name, '/') || !strncmp(name, "hugepages-", 10);
}

/* Written differently, but the same? */
static bool is_same(const struct weft_doc_node *a, const struct weft_doc_node *b)
{
	uint64_t x, y;

	if (quantity(a, &x) && quantity(b, &y))
		return x == y;
	return !weft_doc_text(a) || !weft_doc_text(b) || !strcmp(a->text, b->text);
}

static void check_equal(struct lint *l, const struct weft_doc_node *container,
			const struct weft_instance *it)
{
	const struct weft_doc_node *limits = weft_doc_path(container, "resources/limits");
	const struct weft_doc_node *requests = weft_doc_path(container, "resources/requests");
	uint32_t cards = it ? weft_fact_or(it->efas, 0) : 0;
	char right[16];

	if (!requests || requests->kind != WEFT_DOC_MAP)
		return;
	for (const struct weft_doc_node *r = requests->child; r; r = r->next) {
		const char *name = weft_doc_text(r->key);
		const struct weft_doc_node *limit;
		uint64_t n;

		if (!name || !is_extended(name))
			continue;
		limit = weft_doc_get(limits, name);
		if (!limit) {
			lint_report(l, WEFT_FINDING_POD_EQUAL, r->key->at,
				    "%.60s: a request of %.20s and no limit", name, r->text);
			lint_fix(l, "%.60s: %.20s in resources.limits, too", name, r->text);
			continue;
		}
		if (is_same(r, limit))
			continue;
		lint_report(l, WEFT_FINDING_POD_EQUAL, r->at,
			    "%.60s: a request of %.20s and a limit of %.20s", name, r->text,
			    limit->text);
		/* If one of the two is what the node has, it is the other that is wrong. */
		if (strcmp(name, EFA) != 0 || !cards)
			continue;
		snprintf(right, sizeof(right), "%u", cards);
		if (quantity(limit, &n) && n == cards && !(r->flags & WEFT_DOC_QUOTED))
			lint_edit(l, r->at, r->end, r->text, right);
		else if (quantity(r, &n) && n == cards && !(limit->flags & WEFT_DOC_QUOTED))
			lint_edit(l, limit->at, limit->end, limit->text, right);
	}
}

static void check_hugepages(struct lint *l, const struct lint_at *at,
			    const struct weft_instance *it)
{
	const struct weft_doc_node *pages = asked(at->node, "hugepages-2Mi");
	const struct weft_doc_node *any = pages ? pages : asked(at->node, "hugepages-1Gi");
	const struct lint_at *pod = lint_up(at, WEFT_TYPE_PodSpec);
	uint64_t bytes, has = it ? (uint64_t)weft_fact_or(it->hugepages, 0) << 21 : 0;

	if (!any)
		return;
	/* A document that shows one thing at a time leaves the others out. */
	if (at->type == WEFT_TYPE_Container && !asked(at->node, "memory") &&
	    !asked(at->node, "cpu"))
		lint_report(l, WEFT_FINDING_POD_HUGEPAGES, any->key->at,
			    "%.20s without memory or cpu", any->key->text);
	if (pages && has && quantity(pages, &bytes) && bytes > has)
		lint_report(l, WEFT_FINDING_POD_COUNT, pages->at,
			    "hugepages-2Mi: %.20s, and a %s sets %" PRIu64 "Mi aside", pages->text,
			    it->name, has >> 20);
	for (const struct weft_doc_node *s =
		     pod && weft_doc_get(pod->node, "nodeSelector")
			     ? weft_doc_get(pod->node, "nodeSelector")->child
			     : NULL;
	     s; s = s->next)
		if (s->key && !strncmp(s->key->text, "karpenter.", 10)) {
			lint_report(l, WEFT_FINDING_POD_KARPENTER, any->key->at, "%.20s with %.60s",
				    any->key->text, s->key->text);
			break;
		}
}

/* All of a node's accelerators; 0: it asks for none, or they are not known. */
static bool takes_all(const struct weft_doc_node *container, const struct weft_instance *it)
{
	const char *name = weft_instance_resource(it);
	uint32_t all = weft_fact_or(it->accelerators, 0);
	uint64_t n;

	if (!all)
		return true;
	return name && quantity(asked(container, name), &n) && n >= all;
}

static void check_cards(struct lint *l, const struct weft_doc_node *container,
			const struct weft_instance *it)
{
	const struct weft_doc_node *efa = asked(container, EFA);
	const char *gpu = it ? weft_instance_resource(it) : NULL;
	const struct weft_doc_node *gpus = gpu ? asked(container, gpu) : NULL;
	uint64_t n;
	uint32_t cards = it ? weft_fact_or(it->efas, 0) : 0;
	char part[80], right[16];

	if (efa && weft_doc_text(efa) && !strchr(efa->text, '$') &&
	    (!quantity(efa, &n) || strspn(efa->text, "0123456789") != efa->len))
		lint_report(l, WEFT_FINDING_POD_COUNT, efa->at, "%s: %.20s is no whole number", EFA,
			    efa->text);
	if (!it)
		return;
	if (gpus && quantity(gpus, &n) && weft_fact_or(it->accelerators, 0) &&
	    n > it->accelerators.value)
		lint_report(l, WEFT_FINDING_POD_COUNT, gpus->at, "%s: %" PRIu64 ", and a %s has %u",
			    gpu, n, it->name, it->accelerators.value);
	if (!efa || !cards || !quantity(efa, &n))
		return;
	snprintf(right, sizeof(right), "%u", cards);
	if (n > cards) {
		const struct weft_doc_node *other = resource(container, "resources/requests", EFA);

		lint_report(l, WEFT_FINDING_POD_COUNT, efa->at,
			    "%s: %" PRIu64 ", and a %s has %u: no node ever fits", EFA, n, it->name,
			    cards);
		lint_fix(l, "%s: %u", EFA, cards);
		if (!(efa->flags & WEFT_DOC_QUOTED))
			lint_edit(l, efa->at, efa->end, efa->text, right);
		if (other && other != efa && !(other->flags & WEFT_DOC_QUOTED) &&
		    is_same(other, efa))
			lint_edit(l, other->at, other->end, other->text, right);
	} else if (n && n < cards) {
		lint_add(l, WEFT_FINDING_POD_PARTIAL,
			 takes_all(container, it) ? WEFT_SEV_WARN : WEFT_SEV_NOTE, efa->at,
			 "%s of a %s", lint_bandwidth(it, n, part, sizeof(part)), it->name);
		lint_fix(l, "%s: %u, in limits and requests", EFA, cards);
	}
}

/* Does somebody mean this container to talk to those of other nodes? */
static bool is_distributed(const struct lint_at *at)
{
	const struct weft_doc_node *env = weft_doc_get(at->node, "env");
	const struct lint_at *job = lint_up(at, WEFT_TYPE_MPIJobSpec);

	if (job && !asked(at->node, "nvidia.com/gpu"))
		return false;
	if (job)
		return true;
	for (const struct weft_doc_node *e = env ? env->child : NULL; e; e = e->next) {
		const char *name = weft_doc_text(weft_doc_get(e, "name"));

		if (name && (!strncmp(name, "FI_", 3) || !strncmp(name, "NCCL_", 5) ||
			     !strcmp(name, "MASTER_ADDR")))
			return true;
	}
	return false;
}

static void check_no_efa(struct lint *l, const struct lint_at *at, const struct weft_instance *it)
{
	const char *gpu = it ? weft_instance_resource(it) : NULL;
	const struct weft_doc_node *gpus = gpu ? asked(at->node, gpu) : NULL;

	if (!gpus || asked(at->node, EFA) || !weft_fact_or(it->efas, 0) ||
	    !takes_all(at->node, it) || weft_doc_path(at->node, "resources/claims") ||
	    !is_distributed(at))
		return;
	lint_report(l, WEFT_FINDING_POD_NO_EFA, gpus->key->at, "%s: %.10s of a %s, and no %s", gpu,
		    gpus->text, it->name, EFA);
	lint_fix(l, "%s: %u, in limits and requests", EFA, weft_fact_or(it->efas, 0));
}

/* Commands in a container's words: `sh -c SCRIPT`, or mpirun itself. */
static void check_command(struct lint *l, const struct lint_at *at, const struct weft_instance *it)
{
	struct weft_shell_word word[WEFT_SHELL_WORDS_MAX];
	static const char *const lists[] = { "command", "args" };
	struct lint_place place = { .instance = it };
	const struct lint_at *job = lint_up(at, WEFT_TYPE_MPIJobSpec);
	const struct weft_doc_node *script = NULL;
	bool options = false, has_c = false;
	uint32_t words = 0;

	if (job) {
		(void)weft_doc_number(weft_doc_path(job->node, "mpiReplicaSpecs/Worker/replicas"),
				      &place.nodes);
		if (!weft_doc_number(weft_doc_get(job->node, "slotsPerWorker"), &place.slots))
			place.slots = 1;
		if (weft_doc_is_true(weft_doc_get(job->node, "runLauncherAsWorker")))
			place.nodes += place.nodes > 0;
	}
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(lists); i++) {
		const struct weft_doc_node *list = weft_doc_get(at->node, lists[i]);

		for (const struct weft_doc_node *w = list ? list->child : NULL;
		     w && words < WEFT_SHELL_WORDS_MAX; w = w->next) {
			if (w->kind != WEFT_DOC_SCALAR)
				return;
			word[words++] = (struct weft_shell_word){
				.text = w->text,
				.len = w->len,
				.at = w->at,
				.end = w->end,
				/* Kubernetes expands $(VAR) and nothing else. */
				.dynamic = strstr(w->text, "$(") || w->flags & WEFT_DOC_EXPR,
			};
			/* bash -c, sh -ec: options, and then the script. */
			if (words >= 2 && options && w->text[0] != '-')
				script = has_c ? w : NULL;
			options =
				words == 1 ? lint_is_shell(w->text) : options && w->text[0] == '-';
			has_c |= words >= 2 && options && strchr(w->text, 'c');
		}
	}
	if (script) {
		lint_scalar_script(l, script, &place);
		return;
	}
	lint_command(l, word, words, &place);
}

void lint_rule_container(struct lint *l, const struct lint_at *at)
{
	const struct weft_instance *it = lint_instance_at(l, at);
	const char *image = weft_doc_text(weft_doc_get(at->node, "image"));

	check_equal(l, at->node, it);
	check_hugepages(l, at, it);
	check_cards(l, at->node, it);
	check_no_efa(l, at, it);
	check_command(l, at, it);
	if (image)
		lint_image(l, image, weft_doc_get(at->node, "image")->at);
}

void lint_rule_fragment(struct lint *l, const struct lint_at *at)
{
	const struct weft_instance *it = lint_instance_at(l, at);

	check_equal(l, at->node, it);
	check_hugepages(l, at, it);
	check_cards(l, at->node, it);
}

void lint_rule_pod(struct lint *l, const struct lint_at *at)
{
	const struct weft_doc_node *selector = weft_doc_get(at->node, "nodeSelector");
	const struct weft_doc_node *type =
		weft_doc_get(selector, "node.kubernetes.io/instance-type");
	const char *name = weft_doc_text(type);
	const struct weft_doc_node *c = weft_doc_get(at->node, "containers");
	bool wants = false;

	for (c = c ? c->child : NULL; c; c = c->next)
		wants |= asked(c, EFA) != NULL;
	if (name && wants && !lint_instance(name)) {
		const struct weft_instance *close = weft_catalogue_suggest(name);

		lint_report(l, WEFT_FINDING_INSTANCE_NO_EFA, type->at, "%.40s%s%s", name,
			    close ? "; did you mean " : "", close ? close->name : "");
	}
}

void lint_rule_volume(struct lint *l, const struct lint_at *at)
{
	const struct weft_doc_node *node = weft_doc_path(at->node, "hostPath/path");
	const char *path = weft_doc_text(node);

	if (path && !strncmp(path, "/dev/infiniband", 15) && (!path[15] || path[15] == '/')) {
		const struct lint_at *pod = lint_up(at, WEFT_TYPE_PodSpec);
		const struct weft_doc_node *c = pod ? weft_doc_get(pod->node, "containers") : NULL;

		/* The device plugin itself has to. */
		c = c ? c->child : NULL;
		if (weft_doc_text(weft_doc_get(c, "image")) &&
		    strstr(weft_doc_get(c, "image")->text, "device-plugin"))
			return;
		lint_report(l, WEFT_FINDING_POD_HOSTPATH, node->at, "hostPath: %.60s", path);
	}
}

/* $NAME or ${NAME}, which only a shell would expand. */
static bool wants_shell(const char *value)
{
	for (const char *p = strchr(value, '$'); p; p = strchr(p + 1, '$'))
		if (p[1] == '{' || p[1] == '_' || ((p[1] | 32) >= 'a' && (p[1] | 32) <= 'z'))
			return true;
	return false;
}

void lint_rule_env(struct lint *l, const struct lint_at *at)
{
	const char *name = weft_doc_text(weft_doc_get(at->node, "name"));
	const struct weft_doc_node *node = weft_doc_get(at->node, "value");
	const char *value = weft_doc_text(node);

	if (!name || !value)
		return;
	/* A path is lost for certain. For other values there are tools that fill them in before Kubernetes sees them. */
	if (wants_shell(value) && strstr(name, "PATH")) {
		lint_report(l, WEFT_FINDING_ENV_EXPAND, node->at, "%.60s: %.80s", name, value);
		lint_fix(l,
			 "write the whole list, or set it in the command: sh -c "
			 "'export %.40s=...; exec ...'",
			 name);
	} else if (wants_shell(value)) {
		lint_add(l, WEFT_FINDING_ENV_EXPAND, WEFT_SEV_NOTE, node->at,
			 "%.60s: %.80s, unless something like envsubst comes before", name, value);
	}
	lint_paths(l, value, node->at);
	lint_env(l, name, value, node->at, lint_instance_at(l, at), WEFT_SEV_FAIL);
}

/* MPIJob */

static uint64_t gpus_of_worker(const struct weft_doc_node *job)
{
	const struct weft_doc_node *c =
		weft_doc_path(job, "mpiReplicaSpecs/Worker/template/spec/containers");
	uint64_t sum = 0, n;

	for (c = c ? c->child : NULL; c; c = c->next)
		if (quantity(asked(c, "nvidia.com/gpu"), &n))
			sum += n;
	return sum;
}

void lint_rule_mpijob(struct lint *l, const struct lint_at *at)
{
	const struct weft_doc_node *slots = weft_doc_get(at->node, "slotsPerWorker");
	uint64_t gpus = gpus_of_worker(at->node), n;

	if (gpus && slots && weft_doc_number(slots, &n) && n != gpus) {
		lint_report(l, WEFT_FINDING_MPI_SLOTS, slots->at,
			    "slotsPerWorker: %" PRIu64 ", and a worker has %" PRIu64 " GPUs", n,
			    gpus);
		lint_fix(l, "slotsPerWorker: %" PRIu64, gpus);
	} else if (gpus > 1 && !slots) {
		lint_report(l, WEFT_FINDING_MPI_SLOTS, at->node->at,
			    "no slotsPerWorker, which then is 1, and a worker has %" PRIu64 " GPUs",
			    gpus);
		lint_fix(l, "slotsPerWorker: %" PRIu64, gpus);
	}
}

void lint_rule_runpolicy(struct lint *l, const struct lint_at *at)
{
	static const char *const words[] = { "Running", "None", "All" };
	const struct weft_doc_node *node = weft_doc_get(at->node, "cleanPodPolicy");
	const char *is = weft_doc_text(node);

	for (size_t i = 0; is && i < WEFT_ARRAY_SIZE(words); i++)
		if (!strcmp(is, words[i]))
			return;
	if (!is)
		return;
	lint_report(l, WEFT_FINDING_FIELD_VALUE, node->at,
		    "cleanPodPolicy: %.40s; it is Running, None or All", is);
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(words); i++)
		if (!strcasecmp(is, words[i]))
			lint_edit(l, node->at, node->end, is, words[i]);
}

/* SkyPilot */

void lint_rule_sky(struct lint *l, const struct lint_at *at)
{
	static const char *const scripts[] = { "setup", "run" };
	const struct weft_instance *it = lint_instance_at(l, at);
	const struct weft_doc_node *envs = weft_doc_get(at->node, "envs");
	struct lint_place place = { .instance = it };

	(void)weft_doc_number(weft_doc_get(at->node, "num_nodes"), &place.nodes);
	if (it)
		place.slots = weft_fact_or(it->accelerators, 0);
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(scripts); i++) {
		const struct weft_doc_node *script = weft_doc_get(at->node, scripts[i]);

		if (script && script->kind == WEFT_DOC_SCALAR)
			lint_scalar_script(l, script, &place);
	}
	for (const struct weft_doc_node *e = envs ? envs->child : NULL; e; e = e->next)
		if (weft_doc_text(e->key) && weft_doc_text(e)) {
			lint_env(l, e->key->text, e->text, e->at, it, WEFT_SEV_FAIL);
			lint_paths(l, e->text, e->at);
		}
}
