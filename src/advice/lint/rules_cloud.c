/* SPDX-License-Identifier: BSD-2-Clause */
/* Rules about what is launched: node groups of eksctl, ParallelCluster and Terraform, network interfaces, placement
 * groups, security groups, and the settings of nodes. */
#include "advice/lint/rules.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* How the formats call the same field of a network interface: EC2 and Terraform. */
static const struct weft_doc_node *either(const struct weft_doc_node *map, const char *ec2,
					  const char *terraform)
{
	const struct weft_doc_node *node = weft_doc_get(map, ec2);

	return node ? node : weft_doc_get(map, terraform);
}

/* Node groups */

static void check_type(struct lint *l, const struct weft_doc_node *node)
{
	const char *name = weft_doc_text(node);
	const struct weft_instance *close;

	if (!name || lint_instance(name))
		return;
	close = weft_catalogue_suggest(name);
	lint_report(l, WEFT_FINDING_INSTANCE_NO_EFA, node->at, "%.40s%s%s", name,
		    close ? "; did you mean " : "", close ? close->name : "");
}

/* p4d, p4de and dl1 speak EFA to their own kind only. */
static bool is_private_kind(const char *type)
{
	return !strncmp(type, "p4d.", 4) || !strncmp(type, "p4de.", 5) || !strncmp(type, "dl1.", 4);
}

static void check_types(struct lint *l, const struct weft_doc_node *list)
{
	const char *first = list ? weft_doc_text(list->child) : NULL;

	for (const struct weft_doc_node *m = list ? list->child : NULL; m; m = m->next) {
		const char *name = weft_doc_text(m);

		check_type(l, m);
		if (name && first && strcmp(name, first) != 0 &&
		    (is_private_kind(name) || is_private_kind(first)))
			lint_report(l, WEFT_FINDING_AWS_TYPES, m->at,
				    "%.30s with %.30s in one group", first, name);
	}
}

static void check_one_zone(struct lint *l, const struct weft_doc_node *list, const char *what)
{
	uint32_t count = weft_doc_count(list);

	if (list && list->kind != WEFT_DOC_SCALAR && count > 1) {
		lint_report(l, WEFT_FINDING_AWS_ZONE, list->at, "%u %s for nodes with EFA", count,
			    what);
		lint_fix(l, "leave one of them");
	}
}

void lint_rule_eks_group(struct lint *l, const struct lint_at *at)
{
	const struct weft_doc_node *group = at->node, *type = weft_doc_get(group, "instanceType");
	const struct weft_doc_node *efa = weft_doc_get(group, "efaEnabled");
	const struct weft_doc_node *reservation =
		weft_doc_path(group, "capacityReservation/capacityReservationTarget");
	const struct weft_instance *it = lint_instance(weft_doc_text(type));
	bool block = weft_doc_is(weft_doc_path(group, "instanceMarketOptions/marketType"),
				 "capacity-block");

	if (!weft_doc_is_true(efa)) {
		if (it && weft_fact_or(it->efas, 0) >= 4 && !weft_doc_get(group, "launchTemplate"))
			lint_add(l, WEFT_FINDING_AWS_NO_EFA, WEFT_SEV_NOTE, type->at,
				 "%s, and efaEnabled is not true", it->name);
		return;
	}
	check_type(l, type);
	check_types(l, weft_doc_get(group, "instanceTypes"));
	check_one_zone(l, weft_doc_get(group, "availabilityZones"), "availabilityZones");
	check_one_zone(l, weft_doc_get(group, "subnets"), "subnets");
	if (reservation || block)
		lint_report(l, WEFT_FINDING_AWS_RESERVATION, efa->at,
			    "efaEnabled makes a placement group, and the nodes come from %s",
			    block ? "a capacity block" : "a capacity reservation");
}

void lint_rule_pc_queue(struct lint *l, const struct lint_at *at)
{
	const struct weft_doc_node *queue = at->node;
	const struct weft_doc_node *r = weft_doc_get(queue, "ComputeResources");
	const struct weft_doc_node *placement =
		weft_doc_path(queue, "Networking/PlacementGroup/Enabled");
	const struct weft_doc_node *public_ip = weft_doc_path(queue, "Networking/AssignPublicIp");
	bool reserved = weft_doc_path(queue, "CapacityReservationTarget") ||
			weft_doc_is(weft_doc_get(queue, "CapacityType"), "CAPACITY_BLOCK");
	bool efa = false;

	for (r = r ? r->child : NULL; r; r = r->next) {
		const struct weft_doc_node *type = weft_doc_get(r, "InstanceType");
		const struct weft_instance *it = lint_instance(weft_doc_text(type));

		reserved |= weft_doc_get(r, "CapacityReservationTarget") != NULL;
		if (weft_doc_is_true(public_ip) && it && weft_fact_or(it->network_cards, 0) > 1)
			lint_report(l, WEFT_FINDING_AWS_PUBLIC_IP, public_ip->at,
				    "AssignPublicIp, and %s has %u network cards", it->name,
				    it->network_cards.value);
		if (!weft_doc_is_true(weft_doc_path(r, "Efa/Enabled")))
			continue;
		efa = true;
		check_type(l, type);
	}
	if (!efa)
		return;
	check_one_zone(l, weft_doc_path(queue, "Networking/SubnetIds"), "SubnetIds");
	if (weft_doc_is_true(placement) && reserved)
		lint_report(l, WEFT_FINDING_AWS_RESERVATION, placement->at,
			    "PlacementGroup.Enabled in a queue of reserved capacity");
}

/* All of `module.vpc.private_subnets`, and not one of them, or a part of one zone. */
static bool is_whole_list(const struct weft_doc_node *node)
{
	size_t len = node->len;

	return node->flags & WEFT_DOC_EXPR && len > 8 && !strchr(node->text, '[') &&
	       !strchr(node->text, '(') && !strcmp(node->text + len - 8, "_subnets");
}

void lint_rule_tf_group(struct lint *l, const struct lint_at *at)
{
	const struct weft_doc_node *group = at->node, *subnets = weft_doc_get(group, "subnet_ids");
	const struct weft_doc_node *efa = weft_doc_get(group, "enable_efa_support");
	const struct weft_doc_node *types = weft_doc_get(group, "instance_types");

	if (!weft_doc_is_true(efa))
		return;
	check_type(l, weft_doc_get(group, "instance_type"));
	check_types(l, types);
	check_one_zone(l, subnets, "subnet_ids");
	if (subnets && is_whole_list(subnets))
		lint_report(l, WEFT_FINDING_AWS_ZONE, subnets->at,
			    "all of %.60s, which lie in several zones", subnets->text);
	if (weft_doc_get(group, "capacity_reservation_specification") &&
	    !weft_doc_is_false(weft_doc_get(group, "create_placement_group")))
		lint_report(l, WEFT_FINDING_AWS_RESERVATION, efa->at,
			    "enable_efa_support makes a placement group, and the nodes come from a "
			    "capacity reservation");
}

/* Huge pages of a node */

void lint_rule_sysctls(struct lint *l, const struct lint_at *at)
{
	const struct weft_doc_node *node = weft_doc_get(at->node, "vm.nr_hugepages");
	const struct weft_instance *it = lint_instance_at(l, at);
	uint64_t pages, wants = it ? weft_fact_or(it->hugepages, 0) : 0;

	if (!weft_doc_number(node, &pages))
		return;
	if (wants && pages < wants) {
		lint_report(l, WEFT_FINDING_HUGEPAGES, node->at,
			    "vm.nr_hugepages: %" PRIu64 ", and EFA on a %s wants %" PRIu64, pages,
			    it->name, wants);
		lint_fix(l, "vm.nr_hugepages: \"%" PRIu64 "\"", wants);
	} else if (!wants && pages == 5128) {
		/* What documents copy from one another since the days of a single type. */
		lint_report(l, WEFT_FINDING_HUGEPAGES, node->at,
			    "vm.nr_hugepages: 5128, whatever the instance type is");
		lint_fix(l,
			 "110 for each vCPU, and 1: 10561 on p4d.24xlarge, 21121 on p5.48xlarge");
	}
}

/* Network interfaces */

struct interface {
	uint64_t card, device;
	bool efa, only;
	uint32_t at;
};

#define INTERFACES_MAX 64u

static bool read_interface(struct lint *l, const struct weft_doc_node *m, struct interface *out)
{
	static const char *const types[] = { "interface", "efa", "efa-only" };
	const struct weft_doc_node *type = either(m, "InterfaceType", "interface_type");
	const struct weft_doc_node *card = either(m, "NetworkCardIndex", "network_card_index");
	const struct weft_doc_node *device = either(m, "DeviceIndex", "device_index");
	const char *name = weft_doc_text(type);
	size_t i = 0;

	*out = (struct interface){ .at = m->at };
	/* What is written is not always a number, and then nothing can be said. */
	if ((card && !weft_doc_number(card, &out->card)) ||
	    (device && !weft_doc_number(device, &out->device)) || (type && !name))
		return false;
	if (!type || !name)
		return true;
	while (i < WEFT_ARRAY_SIZE(types) && strcmp(name, types[i]) != 0)
		i++;
	out->efa = i == 1 || i == 2;
	out->only = i == 2;
	if (i < WEFT_ARRAY_SIZE(types))
		return true;
	lint_report(l, WEFT_FINDING_FIELD_VALUE, type->at,
		    "%.40s is no type of interface; there are interface, efa and efa-only", name);
	out->efa = !strncasecmp(name, "efa", 3);
	out->only = out->efa && name[3];
	for (i = 0; i < WEFT_ARRAY_SIZE(types); i++) {
		char was[64], with[64];

		if (strlen(name) != strlen(types[i]) || strncasecmp(name, types[i], 3) != 0 ||
		    (strlen(name) > 3 && strcasecmp(name + 4, types[i] + 4) != 0))
			continue;
		snprintf(was, sizeof(was), "\"%.40s\"", name);
		snprintf(with, sizeof(with), "\"%s\"", types[i]);
		lint_fix(l, "%s", types[i]);
		lint_edit(l, type->at, type->end, was, with);
		lint_edit(l, type->at, type->end, name, types[i]);
	}
	return true;
}

/* Two of them against each other, and one against the type. */
static void check_indexes(struct lint *l, const struct interface *f, uint32_t count,
			  const struct weft_instance *it)
{
	uint32_t cards = it ? weft_fact_or(it->network_cards, 0) : 0;
	bool spare = cards && it->efas.how != WEFT_FACT_UNKNOWN && it->efas.value + 1 == cards;
	bool first = false;

	for (uint32_t i = 0; i < count; i++) {
		first |= !f[i].card && !f[i].device;
		if (cards && f[i].card >= cards)
			lint_report(l, WEFT_FINDING_AWS_INDEX, f[i].at,
				    "network card %" PRIu64 ", and a %s has %u, counted from 0",
				    f[i].card, it->name, cards);
		if (f[i].only && !f[i].card && !f[i].device)
			lint_report(l, WEFT_FINDING_AWS_INDEX, f[i].at,
				    "the first interface is efa-only: the instance has no address");
		if (f[i].efa && !f[i].card && spare)
			lint_report(l, WEFT_FINDING_AWS_INDEX, f[i].at,
				    "an EFA on network card 0, which carries none on a %s",
				    it->name);
		for (uint32_t k = 0; k < i; k++) {
			if (f[k].card != f[i].card)
				continue;
			if (f[k].device == f[i].device)
				lint_report(l, WEFT_FINDING_AWS_INDEX, f[i].at,
					    "network card %" PRIu64 " and device %" PRIu64
					    " for the second time",
					    f[i].card, f[i].device);
			else if (f[k].efa && f[i].efa)
				lint_report(l, WEFT_FINDING_AWS_INDEX, f[i].at,
					    "a second EFA on network card %" PRIu64, f[i].card);
		}
	}
	if (!first)
		lint_report(l, WEFT_FINDING_AWS_INDEX, f[0].at,
			    "no interface with network card 0 and device 0: the instance does not "
			    "start");
}

static void check_count(struct lint *l, const struct interface *f, uint32_t count,
			const struct weft_instance *it, uint32_t at)
{
	uint32_t efas = 0, has = it ? weft_fact_or(it->efas, 0) : 0;
	char part[80];

	for (uint32_t i = 0; i < count; i++)
		efas += f[i].efa;
	if (efas && has && efas < has)
		lint_report(l, WEFT_FINDING_AWS_CARDS, at, "%s of a %s",
			    lint_bandwidth(it, efas, part, sizeof(part)), it->name);
	if (!efas && has >= 4)
		lint_add(l, WEFT_FINDING_AWS_NO_EFA, WEFT_SEV_NOTE, at, "no EFA for a %s",
			 it->name);
}

static void check_public(struct lint *l, const struct weft_doc_node *m, uint32_t count)
{
	const struct weft_doc_node *node =
		either(m, "AssociatePublicIpAddress", "associate_public_ip_address");

	if (count < 2 || !weft_doc_is_true(node))
		return;
	lint_report(l, WEFT_FINDING_AWS_PUBLIC_IP, node->at, "with %u interfaces", count);
	lint_edit(l, node->at, node->end, "true", "false");
}

void lint_interfaces(struct lint *l, const struct weft_doc_node *list,
		     const struct weft_instance *it, uint32_t at)
{
	struct interface f[INTERFACES_MAX];
	uint32_t count = 0, all = weft_doc_count(list);
	bool known = true;

	for (const struct weft_doc_node *m = list->child; m && count < INTERFACES_MAX;
	     m = m->next) {
		known &= m->kind == WEFT_DOC_MAP && read_interface(l, m, &f[count++]);
		check_public(l, m, all);
	}
	if (!count || !known)
		return;
	check_indexes(l, f, count, it);
	check_count(l, f, count, it, at);
}

void lint_rule_launch(struct lint *l, const struct lint_at *at)
{
	const struct weft_doc_node *list = weft_doc_get(at->node, "NetworkInterfaces");
	const struct weft_doc_node *type = weft_doc_get(at->node, "InstanceType");
	const struct weft_doc_node *group = weft_doc_path(at->node, "Placement/GroupName");
	const struct weft_instance *it = lint_instance(weft_doc_text(type));

	if (list && list->kind == WEFT_DOC_LIST && list->child)
		lint_interfaces(l, list, it ? it : l->options->instance, list->at);
	if (group && weft_doc_path(at->node, "CapacityReservationSpecification/"
					     "CapacityReservationTarget"))
		lint_report(l, WEFT_FINDING_AWS_RESERVATION, group->at,
			    "a placement group and a capacity reservation");
}

/* Security groups */

void lint_group_rule(struct lint *l, const char *name, bool out, uint32_t at)
{
	struct lint_group *g = NULL;

	for (uint32_t i = 0; i < l->groups && !g; i++)
		if (!strcmp(l->group[i].name, name))
			g = &l->group[i];
	if (!g) {
		if (l->groups == LINT_GROUPS_MAX)
			return;
		g = &l->group[l->groups++];
		*g = (struct lint_group){ .at = at };
		snprintf(g->name, sizeof(g->name), "%.120s", name);
	}
	if (out)
		g->out = true;
	else
		g->in = true;
}

void lint_groups_end(struct lint *l)
{
	for (uint32_t i = 0; i < l->groups; i++) {
		const struct lint_group *g = &l->group[i];

		if (!g->out) {
			lint_report(l, WEFT_FINDING_SG_OUT, g->at,
				    "%.60s admits itself, but no rule lets it out to itself",
				    g->name);
			if (!l->hcl && g->name[0] == '$')
				lint_fix(l,
					 "aws ec2 authorize-security-group-egress --group-id "
					 "\"%.60s\" "
					 "--ip-permissions "
					 "\"IpProtocol=-1,UserIdGroupPairs=[{GroupId=%.60s}]\"",
					 g->name, g->name);
		} else if (!g->in) {
			lint_report(l, WEFT_FINDING_SG_IN, g->at,
				    "%.60s is let out to itself, but no rule admits it", g->name);
		}
	}
	l->groups = 0;
}

/* Terraform */

static bool is_all_protocols(const struct weft_doc_node *rule)
{
	const struct weft_doc_node *p = either(rule, "protocol", "ip_protocol");

	return weft_doc_is(p, "-1") || weft_doc_is(p, "all");
}

/* Rules in the group's own blocks. */
static void tf_group(struct lint *l, const char *label, const struct weft_doc_node *body)
{
	char name[128];

	snprintf(name, sizeof(name), "aws_security_group.%.90s.id", label);
	for (const struct weft_doc_node *m = body->child; m; m = m->next) {
		bool out = m->key && !strcmp(m->key->text, "egress");

		if (m->key && (out || !strcmp(m->key->text, "ingress")) &&
		    weft_doc_is_true(weft_doc_get(m, "self")) && is_all_protocols(m))
			lint_group_rule(l, name, out, m->at);
	}
}

static const char *raw(const struct weft_doc_node *node)
{
	return node && node->kind == WEFT_DOC_SCALAR ? node->text : NULL;
}

/* A rule as a resource of its own, of the older kind or of the newer one. */
static void tf_rule(struct lint *l, const char *type, const struct weft_doc_node *body)
{
	const char *group = raw(weft_doc_get(body, "security_group_id"));
	const char *other = raw(weft_doc_get(body, "source_security_group_id"));
	bool out = !strcmp(type, "aws_vpc_security_group_egress_rule") ||
		   weft_doc_is(weft_doc_get(body, "type"), "egress");

	if (!other)
		other = raw(weft_doc_get(body, "referenced_security_group_id"));
	if (group && is_all_protocols(body) &&
	    (weft_doc_is_true(weft_doc_get(body, "self")) || (other && !strcmp(group, other))))
		lint_group_rule(l, group, out, body->at);
}

/* Blocks of that name in a body, as one list: Terraform repeats the block. */
static void tf_interfaces(struct lint *l, const struct weft_doc_node *body)
{
	const struct weft_instance *it =
		lint_instance(weft_doc_text(weft_doc_get(body, "instance_type")));
	struct weft_doc_node copy[INTERFACES_MAX];
	struct weft_doc_node list = { .kind = WEFT_DOC_LIST, .text = "", .at = body->at };
	uint32_t n = 0;

	for (const struct weft_doc_node *m = body->child; m && n < INTERFACES_MAX; m = m->next) {
		if (!m->key || strcmp(m->key->text, "network_interfaces") != 0)
			continue;
		copy[n] = *m;
		copy[n].next = NULL;
		if (n)
			copy[n - 1].next = &copy[n];
		n++;
	}
	list.child = n ? copy : NULL;
	if (n)
		lint_interfaces(l, &list, it ? it : l->options->instance, copy[0].key->at);
	if (weft_doc_path(body, "placement/group_name") &&
	    weft_doc_path(body, "capacity_reservation_specification/capacity_reservation_target"))
		lint_report(l, WEFT_FINDING_AWS_RESERVATION,
			    weft_doc_path(body, "placement/group_name")->at,
			    "a placement group and a capacity reservation");
}

static void tf_resource(struct lint *l, const char *type, const struct weft_doc_node *labels)
{
	for (const struct weft_doc_node *m = labels->child; m; m = m->next) {
		if (!m->key || m->kind != WEFT_DOC_MAP)
			continue;
		if (!strcmp(type, "aws_security_group"))
			tf_group(l, m->key->text, m);
		else if (!strcmp(type, "aws_security_group_rule") ||
			 !strncmp(type, "aws_vpc_security_group_", 23))
			tf_rule(l, type, m);
		else if (!strcmp(type, "aws_launch_template"))
			tf_interfaces(l, m);
	}
}

static void tf_module(struct lint *l, const struct weft_doc_node *labels)
{
	for (const struct weft_doc_node *m = labels->child; m; m = m->next) {
		const char *source = weft_doc_text(weft_doc_get(m, "source"));

		if (!source || !strstr(source, "terraform-aws-modules/eks/aws"))
			continue;
		if (strstr(source, "node-group"))
			lint_walk(l, m, WEFT_TYPE_TfGroup, NULL, false);
		else if (!strstr(source, "//"))
			lint_walk(l, m, WEFT_TYPE_TfEks, NULL, true);
	}
}

void lint_terraform(struct lint *l, const struct weft_doc_node *root)
{
	for (const struct weft_doc_node *m = root->child; m; m = m->next) {
		if (!m->key || m->kind != WEFT_DOC_MAP)
			continue;
		if (!strcmp(m->key->text, "module"))
			tf_module(l, m);
		for (const struct weft_doc_node *r = m->child;
		     r && !strcmp(m->key->text, "resource"); r = r->next)
			if (r->key && r->kind == WEFT_DOC_MAP)
				tf_resource(l, r->key->text, r);
	}
}
