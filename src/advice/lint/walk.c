/* SPDX-License-Identifier: BSD-2-Clause */
/* The walk along a document: finds out what kind it is, compares its fields with the schema, and calls the rules.
 *
 * Where the schema ends (in the fields of kinds that lint does not know) the walk goes on without it, and looks for
 * what has the shape of a pod: custom resources hold pods, too. There nothing is said of unknown fields. */
#include "advice/lint/rules.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define WIDEST_MAX 1000u

static const struct {
	enum weft_type type;
	lint_rule rule;
} rules[] = {
	{ WEFT_TYPE_PodSpec, lint_rule_pod },         { WEFT_TYPE_Container, lint_rule_container },
	{ WEFT_TYPE_Fragment, lint_rule_fragment },   { WEFT_TYPE_Volume, lint_rule_volume },
	{ WEFT_TYPE_EnvVar, lint_rule_env },          { WEFT_TYPE_MPIJobSpec, lint_rule_mpijob },
	{ WEFT_TYPE_RunPolicy, lint_rule_runpolicy }, { WEFT_TYPE_SkyTask, lint_rule_sky },
	{ WEFT_TYPE_EksGroup, lint_rule_eks_group },  { WEFT_TYPE_Sysctls, lint_rule_sysctls },
	{ WEFT_TYPE_PcQueue, lint_rule_pc_queue },    { WEFT_TYPE_TfGroup, lint_rule_tf_group },
	{ WEFT_TYPE_Launch, lint_rule_launch },
};

static const struct {
	const char *api; /* What apiVersion begins with; "": anything. */
	const char *kind;
	enum weft_type type;
} kinds[] = {
	{ "v1", "Pod", WEFT_TYPE_Pod },
	{ "apps/", "Deployment", WEFT_TYPE_Workload },
	{ "apps/", "StatefulSet", WEFT_TYPE_Workload },
	{ "apps/", "DaemonSet", WEFT_TYPE_Workload },
	{ "apps/", "ReplicaSet", WEFT_TYPE_Workload },
	{ "batch/", "Job", WEFT_TYPE_Workload },
	{ "batch/", "CronJob", WEFT_TYPE_Workload },
	{ "kubeflow.org/v2beta1", "MPIJob", WEFT_TYPE_MPIJob },
	{ "ray.io/", "RayJob", WEFT_TYPE_RayJob },
	{ "ray.io/", "RayCluster", WEFT_TYPE_RayCluster },
	{ "ray.io/", "RayService", WEFT_TYPE_RayService },
	{ "eksctl.io/", "ClusterConfig", WEFT_TYPE_EksConfig },
};

static bool has(const struct weft_doc_node *node, const char *path)
{
	return weft_doc_path(node, path) != NULL;
}

static enum weft_type type_of_kind(const struct weft_doc_node *root)
{
	const char *kind = weft_doc_text(weft_doc_get(root, "kind"));
	const char *api = weft_doc_text(weft_doc_get(root, "apiVersion"));

	for (size_t i = 0; kind && api && i < WEFT_ARRAY_SIZE(kinds); i++)
		if (!strcmp(kind, kinds[i].kind) &&
		    !strncmp(api, kinds[i].api, strlen(kinds[i].api)))
			return kinds[i].type;
	return WEFT_TYPE_Any;
}

static bool is_interface(const struct weft_doc_node *node)
{
	return has(node, "InterfaceType") || has(node, "DeviceIndex") ||
	       has(node, "NetworkCardIndex");
}

/* What describes interfaces that there are has other fields than what asks for some. */
static bool is_launch(const struct weft_doc_node *node)
{
	const struct weft_doc_node *list = weft_doc_get(node, "NetworkInterfaces");

	if (has(node, "LaunchTemplateData"))
		return true;
	return list && list->kind == WEFT_DOC_LIST && !has(node, "InstanceId") &&
	       !(list->child && (has(list->child, "OwnerId") || has(list->child, "Attachment")));
}

/* What a document without a kind is: by fields that nothing else has together. */
static enum weft_type type_of_root(const struct weft_doc_node *root)
{
	bool job = has(root, "run") || has(root, "setup");

	if (has(root, "kind") || has(root, "apiVersion"))
		return type_of_kind(root);
	if (has(root, "Scheduling/SlurmQueues") || has(root, "HeadNode"))
		return WEFT_TYPE_PcConfig;
	if (has(root, "SlurmQueues"))
		return WEFT_TYPE_PcFragment;
	if (has(root, "config/kubernetes/pod_config") ||
	    (job && (has(root, "resources") || has(root, "num_nodes") || has(root, "envs"))))
		return WEFT_TYPE_SkyTask;
	if (is_launch(root))
		return WEFT_TYPE_Launch;
	if (has(root, "settings/kernel"))
		return WEFT_TYPE_NodeUserData;
	if (has(root, "resources/limits") || has(root, "resources/requests") ||
	    has(root, "containers") || has(root, "volumeMounts") || has(root, "bottlerocket") ||
	    (has(root, "env") && weft_doc_get(root, "env")->kind == WEFT_DOC_LIST))
		return WEFT_TYPE_Fragment;
	return WEFT_TYPE_Any;
}

/* What a map without a schema may be. */
static enum weft_type type_of_shape(const struct weft_doc_node *node)
{
	const struct weft_doc_node *containers = weft_doc_get(node, "containers");

	if (node->kind != WEFT_DOC_MAP)
		return WEFT_TYPE_Any;
	if (containers && containers->kind == WEFT_DOC_LIST)
		return WEFT_TYPE_PodSpec;
	if (is_launch(node))
		return WEFT_TYPE_Launch;
	if (weft_doc_get(weft_doc_path(node, "resources/limits"), "vpc.amazonaws.com/efa") ||
	    weft_doc_get(weft_doc_path(node, "resources/requests"), "vpc.amazonaws.com/efa"))
		return WEFT_TYPE_Fragment;
	return WEFT_TYPE_Any;
}

/* `{{ x }}` of a template is a map with a map for a key. */
static bool is_templated(const struct weft_doc_node *node)
{
	return node->flags & WEFT_DOC_EXPR ||
	       (node->child && node->child->key && node->child->key->kind != WEFT_DOC_SCALAR);
}

static bool is_null(const struct weft_doc_node *node)
{
	return node->kind == WEFT_DOC_SCALAR && !(node->flags & WEFT_DOC_QUOTED) &&
	       (!node->len || !strcmp(node->text, "~") || !strcasecmp(node->text, "null"));
}

/* Does YAML read this plain text as something else than a string? */
static bool is_no_string(const struct weft_doc_node *node)
{
	const char *s = node->text;

	if (node->flags & WEFT_DOC_QUOTED || is_null(node))
		return false;
	if (weft_doc_is_true(node) || weft_doc_is_false(node))
		return true;
	s += *s == '-' || *s == '+';
	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'o' || s[1] == 'b') && s[2])
		return strspn(s + 2, "0123456789abcdefABCDEF_") == strlen(s + 2);
	if (*s == '.' ? s[1] < '0' || s[1] > '9' : *s < '0' || *s > '9')
		return false;
	s += strspn(s, "0123456789_");
	if (*s == '.')
		s += 1 + strspn(s + 1, "0123456789_");
	if (*s == 'e' || *s == 'E') {
		s++;
		s += *s == '-' || *s == '+';
		if (!*s)
			return false;
		s += strspn(s, "0123456789");
	}
	return !*s;
}

static void report_no_string(struct lint *l, const struct weft_doc_node *node)
{
	char quoted[128];

	lint_report(l, WEFT_FINDING_FIELD_TYPE, node->at, "%.60s: %.60s is not a string but a %s",
		    node->key ? node->key->text : "here", node->text,
		    weft_doc_is_true(node) || weft_doc_is_false(node) ? "boolean" : "number");
	snprintf(quoted, sizeof(quoted), "\"%.100s\"", node->text);
	lint_fix(l, "put quotes around it: %s", quoted);
	if (node->len <= 100)
		lint_edit(l, node->at, node->end, node->text, quoted);
}

static void report_no_int(struct lint *l, const struct weft_doc_node *node)
{
	char was[64];

	lint_report(l, WEFT_FINDING_FIELD_TYPE, node->at, "%.60s: %.60s is not a whole number",
		    node->key ? node->key->text : "here", node->text);
	if (!(node->flags & WEFT_DOC_QUOTED) || strspn(node->text, "0123456789") != node->len)
		return;
	lint_fix(l, "take the quotes away: %.60s", node->text);
	snprintf(was, sizeof(was), "\"%.40s\"", node->text);
	lint_edit(l, node->at, node->end, was, node->text);
	snprintf(was, sizeof(was), "'%.40s'", node->text);
	lint_edit(l, node->at, node->end, was, node->text);
}

static void check_scalar(struct lint *l, const struct weft_doc_node *node, enum weft_type type)
{
	const char *s = node->text;

	/* Terraform converts; and what is not known yet may be anything. */
	if (l->hcl || is_templated(node) || is_null(node) || type == WEFT_TYPE_any)
		return;
	if (node->kind != WEFT_DOC_SCALAR) {
		lint_report(l, WEFT_FINDING_FIELD_TYPE, node->at,
			    "%.60s: a %s, where a single value is wanted",
			    node->key ? node->key->text : "here",
			    node->kind == WEFT_DOC_MAP ? "map" : "list");
		return;
	}
	if (type == WEFT_TYPE_str && is_no_string(node))
		report_no_string(l, node);
	/* What a tool fills in, or a reader of the document. */
	if (type != WEFT_TYPE_str && strpbrk(s, "$<{%"))
		return;
	if (type == WEFT_TYPE_int &&
	    (node->flags & WEFT_DOC_QUOTED ||
	     strspn(s + (*s == '-'), "0123456789") + (*s == '-') != node->len))
		report_no_int(l, node);
	if (type == WEFT_TYPE_bool && (node->flags & WEFT_DOC_QUOTED ||
				       (!weft_doc_is_true(node) && !weft_doc_is_false(node))))
		lint_report(l, WEFT_FINDING_FIELD_TYPE, node->at,
			    "%.60s: %.60s is not true or false",
			    node->key ? node->key->text : "here", s);
}

static void walk_value(struct lint *l, const struct weft_doc_node *node, enum weft_type type,
		       const struct lint_at *up, bool strict)
{
	if (type < WEFT_TYPE_COUNT)
		lint_walk(l, node, type, up, strict);
	else if (strict)
		check_scalar(l, node, type);
}

static void walk_field(struct lint *l, const struct weft_doc_node *node,
		       const struct weft_field *field, const struct lint_at *up)
{
	enum weft_doc_kind wants = field->shape == WEFT_FIELD_LIST ? WEFT_DOC_LIST : WEFT_DOC_MAP;

	if (field->shape == WEFT_FIELD_ONE) {
		walk_value(l, node, field->type, up, up->strict);
		return;
	}
	if (node->kind != (uint8_t)wants) {
		if (up->strict && !l->hcl && !is_templated(node) && !is_null(node))
			lint_report(l, WEFT_FINDING_FIELD_TYPE, node->at,
				    "%.60s: a %s is wanted here",
				    node->key ? node->key->text : "here",
				    wants == WEFT_DOC_LIST ? "list" : "map");
		return;
	}
	for (const struct weft_doc_node *m = node->child; m; m = m->next)
		walk_value(l, m, field->type, up, up->strict);
}

static void report_unknown(struct lint *l, const struct lint_at *at,
			   const struct weft_doc_node *member, const char *suggest)
{
	const char *name = member->key->text;

	if (member->flags & WEFT_DOC_MERGED)
		return; /* Said where it stands. */
	if (!*suggest) {
		lint_add(l, WEFT_FINDING_FIELD_UNKNOWN, WEFT_SEV_NOTE, member->key->at,
			 "%.60s is no field of %s that weft knows", name,
			 weft_schema_label(at->type));
		return;
	}
	lint_report(l, WEFT_FINDING_FIELD_UNKNOWN, member->key->at,
		    "%.60s is no field of %s; did you mean %s?", name, weft_schema_label(at->type),
		    suggest);
	lint_fix(l, "%s", suggest);
	/* Two typing mistakes in a long word have one meaning, unless that is there already. */
	if (strlen(suggest) >= 6 && !weft_doc_get(at->node, suggest) &&
	    !(member->key->flags & WEFT_DOC_QUOTED))
		lint_edit(l, member->key->at, member->key->end, name, suggest);
}

static void walk_any(struct lint *l, const struct lint_at *at)
{
	for (const struct weft_doc_node *m = at->node->child; m; m = m->next)
		if (m->kind != WEFT_DOC_SCALAR)
			lint_walk(l, m, type_of_shape(m), at, false);
}

static void walk_members(struct lint *l, const struct lint_at *at)
{
	bool open = weft_schema_is_open(at->type);

	for (const struct weft_doc_node *m = at->node->child; m; m = m->next) {
		struct weft_field field;
		char suggest[64];

		if (!m->key || m->key->kind != WEFT_DOC_SCALAR || m->key->flags & WEFT_DOC_EXPR)
			continue;
		if (weft_schema_field(at->type, m->key->text, &field, suggest, sizeof(suggest)))
			walk_field(l, m, &field, at);
		else if (open && m->kind != WEFT_DOC_SCALAR)
			lint_walk(l, m, type_of_shape(m), at, false);
		else if (!open && at->strict)
			report_unknown(l, at, m, suggest);
	}
}

void lint_walk(struct lint *l, const struct weft_doc_node *node, enum weft_type type,
	       const struct lint_at *up, bool strict)
{
	struct lint_at at = { node, type, up, strict };

	if (is_templated(node) && !l->hcl)
		return;
	if (type != WEFT_TYPE_Any && node->kind != WEFT_DOC_MAP) {
		if (strict && !l->hcl && !is_null(node))
			lint_report(l, WEFT_FINDING_FIELD_TYPE, node->at,
				    "%.60s: a map is wanted here",
				    node->key ? node->key->text : "here");
		return;
	}
	l->known |= type != WEFT_TYPE_Any;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rules); i++)
		if (rules[i].type == type)
			rules[i].rule(l, &at);
	if (type == WEFT_TYPE_Any)
		walk_any(l, &at);
	else
		walk_members(l, &at);
}

/* Rules look things up in maps once for each member of others, so no map may be as large as a file may be. Nothing
 * that Kubernetes or its relatives take has maps like that; a table of other data may. */
static void walk_object(struct lint *l, const struct weft_doc_node *root)
{
	enum weft_type type = type_of_root(root);

	if (root->widest > WIDEST_MAX)
		lint_add(l, WEFT_FINDING_INPUT,
			 type == WEFT_TYPE_Any ? WEFT_SEV_NOTE : WEFT_SEV_FAIL, root->at,
			 "a map of %u members: nothing in here was looked at", root->widest);
	else
		lint_walk(l, root, type, NULL, type != WEFT_TYPE_Any);
}

static void walk_root(struct lint *l, const struct weft_doc_node *root)
{
	const struct weft_doc_node *items = weft_doc_get(root, "items");

	if (root->kind == WEFT_DOC_LIST && root->child && is_interface(root->child)) {
		for (const struct weft_doc_node *m = root->child; m; m = m->next)
			lint_walk(l, m, WEFT_TYPE_Interface, NULL, true);
		lint_interfaces(l, root, l->launched ? l->launched : l->options->instance,
				root->at);
		return;
	}
	if (root->kind != WEFT_DOC_MAP && root->kind != WEFT_DOC_LIST)
		return;
	/* What `kubectl get -o yaml` gives. */
	if (weft_doc_is(weft_doc_get(root, "kind"), "List") && items) {
		for (const struct weft_doc_node *m = items->child; m; m = m->next)
			walk_object(l, m);
		return;
	}
	walk_object(l, root);
}

/* Reading */

static void on_document(void *ctx, const struct weft_doc_node *root)
{
	struct lint *l = ctx;

	if (l->hcl)
		lint_terraform(l, root);
	else
		walk_root(l, root);
}

static void on_problem(void *ctx, enum weft_doc_problem what, uint32_t at, const char *why)
{
	struct lint *l = ctx;

	switch (what) {
	case WEFT_DOC_SYNTAX:
		if (l->syntax != WEFT_SEV_OK)
			lint_add(l, WEFT_FINDING_SYNTAX, l->syntax, at, "%s", why);
		return;
	case WEFT_DOC_DUPLICATE:
		lint_report(l, WEFT_FINDING_KEY_DUPLICATE, at, "%s is here for the second time",
			    why);
		return;
	case WEFT_DOC_LIMIT:
		lint_report(l, WEFT_FINDING_INPUT, at, "%s", why);
		return;
	}
}

void lint_yaml(struct lint *l, const struct weft_text *text)
{
	struct weft_doc_sink sink = { l, on_document, on_problem };

	(void)weft_doc_read_yaml(text, &sink);
}

void lint_json(struct lint *l, const struct weft_text *text)
{
	struct weft_doc_sink sink = { l, on_document, on_problem };

	(void)weft_doc_read_json(text, &sink);
}

void lint_json_interfaces(struct lint *l, const struct weft_text *text,
			  const struct weft_instance *it)
{
	l->launched = it;
	lint_json(l, text);
	l->launched = NULL;
}

void lint_hcl(struct lint *l, const struct weft_text *text)
{
	struct weft_doc_sink sink = { l, on_document, on_problem };

	l->hcl = true;
	(void)weft_doc_read_hcl(text, &sink);
	l->hcl = false;
}
