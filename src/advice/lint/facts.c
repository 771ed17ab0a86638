/* SPDX-License-Identifier: BSD-2-Clause */
/* What several rules ask: which instance type is meant, what a share of its cards carries, and what is known of
 * variables, paths and images wherever they stand. */
#define _GNU_SOURCE
#include "advice/env.h"
#include "advice/lint/rules.h"
#include "cloud/plan.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void report(struct lint *l, enum weft_finding_id id, enum weft_severity severity,
		   uint32_t at, const char *evidence, va_list args)
	__attribute__((format(printf, 5, 0)));

static void report(struct lint *l, enum weft_finding_id id, enum weft_severity severity,
		   uint32_t at, const char *evidence, va_list args)
{
	struct weft_place place = { .file = l->file };
	char text[1024];

	weft_lines_find(&l->lines, at, &place.line, &place.column);
	vsnprintf(text, sizeof(text), evidence, args);
	weft_findings_add(l->findings, id, severity, &place, "%s", text);
}

void lint_report(struct lint *l, enum weft_finding_id id, uint32_t at, const char *evidence, ...)
{
	va_list args;

	va_start(args, evidence);
	report(l, id, weft_finding_info(id)->severity, at, evidence, args);
	va_end(args);
}

void lint_add(struct lint *l, enum weft_finding_id id, enum weft_severity severity, uint32_t at,
	      const char *evidence, ...)
{
	va_list args;

	va_start(args, evidence);
	report(l, id, severity, at, evidence, args);
	va_end(args);
}

const struct lint_at *lint_up(const struct lint_at *at, enum weft_type type)
{
	while (at && at->type != type)
		at = at->up;
	return at;
}

const struct weft_instance *lint_instance(const char *name)
{
	if (!name)
		return NULL;
	return weft_catalogue_find(strncasecmp(name, "ml.", 3) ? name : name + 3);
}

const struct weft_instance *lint_instance_of_accelerators(const char *text)
{
	const struct weft_instance *found = NULL, *it;
	size_t len = strcspn(text, ":-");
	const char *colon = strchr(text, ':');
	unsigned long count = colon ? strtoul(colon + 1, NULL, 10) : 1;

	for (uint32_t i = 0; (it = weft_catalogue_at(i)); i++) {
		if (strlen(it->accelerator) != len ||
		    strncasecmp(it->accelerator, text, len) != 0 ||
		    weft_fact_or(it->accelerators, 0) != count)
			continue;
		if (found && weft_fact_or(found->efas, 0) != weft_fact_or(it->efas, 0))
			return NULL;
		if (!found)
			found = it;
	}
	return found;
}

static const char *const type_labels[] = { "node.kubernetes.io/instance-type",
					   "beta.kubernetes.io/instance-type" };

static bool is_type_label(const char *key)
{
	for (size_t i = 0; key && i < WEFT_ARRAY_SIZE(type_labels); i++)
		if (!strcmp(key, type_labels[i]))
			return true;
	return false;
}

/* The only type that the terms of a node affinity allow. */
static const struct weft_instance *instance_of_affinity(const struct weft_doc_node *pod)
{
	const struct weft_doc_node *terms = weft_doc_path(
		pod, "affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/"
		     "nodeSelectorTerms");
	const struct weft_doc_node *term = terms ? terms->child : NULL;
	const struct weft_doc_node *e = weft_doc_get(term, "matchExpressions");

	if (!term || term->next)
		return NULL;
	for (e = e ? e->child : NULL; e; e = e->next) {
		const struct weft_doc_node *values = weft_doc_get(e, "values");

		if (is_type_label(weft_doc_text(weft_doc_get(e, "key"))) &&
		    weft_doc_is(weft_doc_get(e, "operator"), "In") && weft_doc_count(values) == 1)
			return lint_instance(weft_doc_text(values->child));
	}
	return NULL;
}

static const struct weft_instance *instance_of_pod(const struct weft_doc_node *pod)
{
	const struct weft_doc_node *selector = weft_doc_get(pod, "nodeSelector");
	const struct weft_instance *it = NULL;

	for (size_t i = 0; !it && i < WEFT_ARRAY_SIZE(type_labels); i++)
		it = lint_instance(weft_doc_text(weft_doc_get(selector, type_labels[i])));
	return it ? it : instance_of_affinity(pod);
}

static const struct weft_instance *instance_of_sky(const struct weft_doc_node *task)
{
	const char *type = weft_doc_text(weft_doc_path(task, "resources/instance_type"));
	const struct weft_doc_node *a = weft_doc_path(task, "resources/accelerators");
	char text[64];

	if (type)
		return lint_instance(type);
	if (a && a->kind == WEFT_DOC_MAP && a->child && a->child->key) {
		snprintf(text, sizeof(text), "%.40s:%.10s", a->child->key->text, a->child->text);
		return lint_instance_of_accelerators(text);
	}
	return weft_doc_text(a) ? lint_instance_of_accelerators(weft_doc_text(a)) : NULL;
}

const struct weft_instance *lint_instance_at(const struct lint *l, const struct lint_at *at)
{
	const struct weft_instance *it = NULL;

	for (; at && !it; at = at->up) {
		if (at->type == WEFT_TYPE_PodSpec || at->type == WEFT_TYPE_Fragment)
			it = instance_of_pod(at->node);
		else if (at->type == WEFT_TYPE_SkyTask)
			it = instance_of_sky(at->node);
		else if (at->type == WEFT_TYPE_EksGroup)
			it = lint_instance(weft_doc_text(weft_doc_get(at->node, "instanceType")));
	}
	return it ? it : l->options->instance;
}

const char *lint_bandwidth(const struct weft_instance *it, uint64_t k, char *buf, size_t size)
{
	uint32_t n = weft_fact_or(it->efas, 0), each = weft_fact_or(it->gbps, 0);

	if (!n || !each)
		snprintf(buf, size, "%llu of %u EFAs", (unsigned long long)k, n);
	else
		snprintf(buf, size, "%llu of %u EFAs: at most %g of %g GB/s", (unsigned long long)k,
			 n, (double)k * each / 8, (double)n * each / 8);
	return buf;
}

static struct weft_env_context context_of(const struct weft_instance *it)
{
	struct weft_env_context c = { .rdma_read = WEFT_UNKNOWN };

	if (it && it->rdma_read.how != WEFT_FACT_UNKNOWN)
		c.rdma_read = it->rdma_read.value ? WEFT_YES : WEFT_NO;
	if (it && weft_instance_gdr(it) != WEFT_GDR_UNKNOWN)
		c.gpudirect = weft_instance_gdr(it) == WEFT_GDR_YES ? WEFT_YES : WEFT_NO;
	return c;
}

void lint_env(struct lint *l, const char *name, const char *value, uint32_t at,
	      const struct weft_instance *it, enum weft_severity most)
{
	struct weft_env_var var = { name, value, { .file = l->file } };
	struct weft_env_context context = context_of(it);
	struct weft_findings found;

	if (!weft_env_is_ours(name))
		return;
	weft_lines_find(&l->lines, at, &var.place.line, &var.place.column);
	weft_findings_init(&found);
	weft_env_check(&var, 1, &context, &found);
	for (size_t i = 0; i < found.count; i++)
		if (found.finding[i].severity != WEFT_SEV_OK)
			weft_findings_add(l->findings, found.finding[i].id,
					  WEFT_MIN(found.finding[i].severity, most), &var.place,
					  "%s", found.finding[i].evidence);
	weft_findings_fini(&found);
}

void lint_paths(struct lint *l, const char *text, uint32_t at)
{
	static const struct {
		const char *path;
		enum weft_finding_id id;
		const char *fix;
	} paths[] = {
		{ "/opt/aws-ofi-nccl/install", WEFT_FINDING_PATH_PLUGIN,
		  "/opt/amazon/ofi-nccl/lib (or lib64, or lib/x86_64-linux-gnu), if the image has "
		  "the plugin from the EFA installer" },
		{ "/opt/amazon/openmpi/tests/osu-micro-benchmarks", WEFT_FINDING_PATH_UNKNOWN,
		  "build the OSU micro-benchmarks yourself and name the path of that" },
	};

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(paths); i++) {
		const char *found = strstr(text, paths[i].path);

		if (!found)
			continue;
		lint_report(l, paths[i].id, at, "%s", paths[i].path);
		lint_fix(l, "%s", paths[i].fix);
	}
}

/* "v0.3.3-eksbuild.1" of an image's tag, as numbers; false: there is none such. */
static bool version_of_tag(const char *image, unsigned int version[3])
{
	const char *slash = strrchr(image, '/'), *colon = strchr(slash ? slash : image, ':');

	if (!colon)
		return false;
	colon += 1 + (colon[1] == 'v');
	return sscanf(colon, "%4u.%4u.%4u", &version[0], &version[1], &version[2]) == 3;
}

void lint_image(struct lint *l, const char *image, uint32_t at)
{
	unsigned int v[3];

	if (!strncmp(image, "nvcr.io/", 8) && l->dockerfile &&
	    !memmem(l->bytes, l->len, "efa_installer", 13))
		lint_report(l, WEFT_FINDING_IMAGE_PLUGIN, at, "%.100s", image);
	if (strstr(image, "aws-efa-k8s-device-plugin") && version_of_tag(image, v) && !v[0] &&
	    (v[1] < 5 || (v[1] == 5 && v[2] < 10)))
		lint_report(l, WEFT_FINDING_PLUGIN_OLD, at, "version %u.%u.%u of the device plugin",
			    v[0], v[1], v[2]);
}

static bool ends_with(const char *name, const char *end)
{
	size_t len = strlen(name), tail = strlen(end);

	return len > tail && !strcmp(name + len - tail, end);
}

bool lint_is_nccl_program(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

	/* nccl-tests, and the frameworks, which are all called from Python. */
	return ends_with(name, "_perf") || ends_with(name, ".py") || !strncmp(name, "python", 6) ||
	       !strcmp(name, "torchrun") || !strcmp(name, "nccl_message_transfer");
}
