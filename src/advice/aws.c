/* SPDX-License-Identifier: BSD-2-Clause */
/* Security groups, zones, interfaces and placement of EC2 instances, as the AWS command line prints them.
 *
 * EFA passes between two interfaces only if a group of both admits itself, both ways, for all protocols: the rules
 * are therefore looked at in what all the instances' EFA interfaces have in common. Without instances nobody
 * can say which groups matter; then one good group is enough, and without any good one all are named. */
#include "advice/cloudjson.h"

#include "advice/jsonfile.h"
#include "cloud/catalogue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALONE_MAX 3

#define ON_ONE_MAX 16 /* Groups of an interface: AWS's own limit. */

struct walk {
	const struct weft_cloudjson *docs;
	struct weft_findings *f;
	json_t *instances; /* owns. Of running instances, in an array. */
	json_t *interfaces; /* owns. Those of describe-network-interfaces: arrays, by instance. */
	json_t *in, *out; /* own. Groups that admit themselves: keys. */
	bool saw_groups;
	size_t good_counts;
};

#define OK(w, id, ...) weft_findings_add((w)->f, WEFT_FINDING_##id, WEFT_SEV_OK, NULL, __VA_ARGS__)

static bool is_efa(const json_t *interface)
{
	const char *type = weft_json_text(interface, "InterfaceType");

	return !strcmp(type, "efa") || !strcmp(type, "efa-only");
}

static void collect_interfaces(struct walk *w)
{
	for (size_t d = 0; d < w->docs->count; d++) {
		json_t *one;
		size_t i;

		weft_json_each(json_object_get(w->docs->root[d], "NetworkInterfaces"), i, one) {
			const char *id =
				weft_json_text(json_object_get(one, "Attachment"), "InstanceId");

			if (!json_object_get(w->interfaces, id))
				json_object_set_new(w->interfaces, id, json_array());
			json_array_append(json_object_get(w->interfaces, id), one);
		}
	}
}

/* Those that describe-instances tells of; else those of describe-network-interfaces. */
static json_t *interfaces_of(const struct walk *w, const json_t *instance)
{
	json_t *own = json_object_get(instance, "NetworkInterfaces");

	return json_array_size(own)
		       ? own
		       : json_object_get(w->interfaces, weft_json_text(instance, "InstanceId"));
}

/* An account has other machines, too: one whose type has no EFA, and that got none, is no part of the job. */
static bool takes_part(const struct walk *w, const json_t *instance)
{
	const char *type = weft_json_text(instance, "InstanceType");
	json_t *interfaces = interfaces_of(w, instance), *one;
	bool any = !*type || weft_catalogue_find(type);
	size_t i;

	weft_json_each(interfaces, i, one)
		any |= is_efa(one);
	return any;
}

static void collect_instances(struct walk *w)
{
	for (size_t d = 0; d < w->docs->count; d++) {
		json_t *reservation, *instance;
		size_t r, i;

		weft_json_each(json_object_get(w->docs->root[d], "Reservations"), r, reservation)
			weft_json_each(json_object_get(reservation, "Instances"), i, instance) {
				const char *state =
					weft_json_text(json_object_get(instance, "State"), "Name");

				if (!strcmp(state, "terminated") || !strcmp(state, "stopped") ||
				    !strcmp(state, "shutting-down") || !takes_part(w, instance))
					continue;
				json_array_append(w->instances, instance);
			}
		w->saw_groups |= json_object_get(w->docs->root[d], "SecurityGroups") ||
				 json_object_get(w->docs->root[d], "SecurityGroupRules");
	}
}

/* Interfaces of one instance, or of one launch template */

static json_int_t index_of(const json_t *interface, const char *key)
{
	const json_t *attachment = json_object_get(interface, "Attachment");
	const json_t *value = json_object_get(attachment ? attachment : interface, key);

	return json_is_integer(value) ? json_integer_value(value) : 0;
}

static void check_indexes(struct walk *w, const char *whose, const struct weft_instance *type,
			  const json_t *interfaces)
{
	uint32_t cards = type ? weft_fact_or(type->network_cards, 0) : 0;
	uint64_t taken = 0;
	json_t *one;
	size_t i;

	weft_json_each(interfaces, i, one) {
		json_int_t card = index_of(one, "NetworkCardIndex"),
			   device = index_of(one, "DeviceIndex");
		const char *kind = weft_json_text(one, "InterfaceType");

		if (!is_efa(one) || card < 0 || card > 63)
			continue;
		if (taken >> card & 1)
			weft_findings_report(w->f, WEFT_FINDING_AWS_INDEX, NULL,
					     "%s: two EFA interfaces on network card %d", whose,
					     (int)card);
		taken |= UINT64_C(1) << card;
		if (cards && card >= cards)
			weft_findings_report(w->f, WEFT_FINDING_AWS_INDEX, NULL,
					     "%s: network card %d, and a %s has %u", whose,
					     (int)card, type->name, cards);
		if (card > 0 && device == 0)
			weft_findings_report(w->f, WEFT_FINDING_AWS_INDEX, NULL,
					     "%s: device index 0 on network card %d", whose,
					     (int)card);
		if (card == 0 && device == 0 && !strcmp(kind, "efa-only"))
			weft_findings_report(
				w->f, WEFT_FINDING_AWS_INDEX, NULL,
				"%s: the primary interface is efa-only, and so has no address",
				whose);
		if (card == 0 && type && !strncmp(type->name, "p6-b300", 7))
			weft_findings_report(
				w->f, WEFT_FINDING_AWS_INDEX, NULL,
				"%s: EFA on network card 0, which carries none on a %s", whose,
				type->name);
	}
}

static void check_count(struct walk *w, const char *whose, const struct weft_instance *type,
			const json_t *interfaces)
{
	uint32_t want = type ? weft_fact_or(type->efas, 0) : 0, have = 0;
	json_t *one;
	size_t i;

	weft_json_each(interfaces, i, one)
		have += is_efa(one);
	if (!want)
		return;
	if (!have)
		weft_findings_report(w->f, WEFT_FINDING_AWS_NO_EFA, NULL,
				     "%s is a %s and has no interface of type efa or efa-only",
				     whose, type->name);
	else if (have < want)
		weft_findings_report(w->f, WEFT_FINDING_AWS_CARDS, NULL,
				     "%s: %u of the %u EFAs of a %s", whose, have, want,
				     type->name);
	else
		w->good_counts++;
}

static void check_instances(struct walk *w)
{
	json_t *instance;
	size_t i;

	weft_json_each(w->instances, i, instance) {
		const struct weft_instance *type =
			weft_catalogue_find(weft_json_text(instance, "InstanceType"));
		const char *id = weft_json_text(instance, "InstanceId");
		json_t *interfaces = interfaces_of(w, instance);

		check_count(w, *id ? id : "an instance", type, interfaces);
		check_indexes(w, *id ? id : "an instance", type, interfaces);
	}
}

/* What has to be the same for all of them */

static void check_same(struct walk *w, enum weft_finding_id finding, const char *what,
		       const char *(*value_of)(const json_t *))
{
	const char *first = NULL, *first_id = NULL;
	json_t *instance;
	size_t i;

	weft_json_each(w->instances, i, instance) {
		const char *value = value_of(instance),
			   *id = weft_json_text(instance, "InstanceId");

		if (!*value)
			continue;
		if (!first) {
			first = value;
			first_id = id;
		} else if (strcmp(first, value) != 0) {
			weft_findings_report(w->f, finding, NULL, "%s is in %s %s, %s in %s",
					     first_id, what, first, id, value);
			return;
		}
	}
	if (first && json_array_size(w->instances) > 1)
		weft_findings_add(w->f, finding, WEFT_SEV_OK, NULL, "all in %s %s", what, first);
}

static const char *zone_of(const json_t *instance)
{
	return weft_json_text(json_object_get(instance, "Placement"), "AvailabilityZone");
}

static const char *vpc_of(const json_t *instance)
{
	return weft_json_text(instance, "VpcId");
}

/* Types that speak EFA among themselves only. */
static const char *const alone[ALONE_MAX] = { "p4d.24xlarge", "p4de.24xlarge", "dl1.24xlarge" };

static void check_types(struct walk *w)
{
	const char *first = NULL, *other = NULL;
	bool is_alone = false;
	json_t *instance;
	size_t i;

	weft_json_each(w->instances, i, instance) {
		const char *type = weft_json_text(instance, "InstanceType");

		for (size_t k = 0; k < ALONE_MAX; k++)
			is_alone |= !strcmp(type, alone[k]);
		if (!first)
			first = type;
		else if (strcmp(first, type) != 0)
			other = type;
	}
	if (other && is_alone)
		weft_findings_report(w->f, WEFT_FINDING_AWS_TYPES, NULL, "%s together with %s",
				     first, other);
	else if (first && json_array_size(w->instances) > 1)
		OK(w, AWS_TYPES, "%s%s%s", first, other ? " and " : "", other ? other : "");
}

static void check_placement(struct walk *w)
{
	const char *first = NULL;
	bool same = true;
	json_t *instance;
	size_t i;

	weft_json_each(w->instances, i, instance) {
		const char *group =
			weft_json_text(json_object_get(instance, "Placement"), "GroupName");

		if (!first)
			first = group;
		same &= *group && !strcmp(first, group);
	}
	if (json_array_size(w->instances) < 2)
		return;
	if (same)
		OK(w, AWS_PLACEMENT, "placement group %s", first);
	else
		weft_findings_report(w->f, WEFT_FINDING_AWS_PLACEMENT, NULL,
				     "%zu instances, and no placement group common to all",
				     json_array_size(w->instances));
}

/* Security groups */

static bool pairs_name(const json_t *permissions, const char *group)
{
	json_t *permission, *pair;
	size_t i, k;

	weft_json_each(permissions, i, permission) {
		if (strcmp(weft_json_text(permission, "IpProtocol"), "-1") != 0)
			continue;
		weft_json_each(json_object_get(permission, "UserIdGroupPairs"), k, pair)
			if (!strcmp(weft_json_text(pair, "GroupId"), group))
				return true;
	}
	return false;
}

/* All groups and rules, once. */
static void collect_groups(struct walk *w)
{
	for (size_t d = 0; d < w->docs->count; d++) {
		json_t *one;
		size_t i;

		weft_json_each(json_object_get(w->docs->root[d], "SecurityGroups"), i, one) {
			const char *id = weft_json_text(one, "GroupId");

			if (pairs_name(json_object_get(one, "IpPermissions"), id))
				json_object_set_new(w->in, id, json_true());
			if (pairs_name(json_object_get(one, "IpPermissionsEgress"), id))
				json_object_set_new(w->out, id, json_true());
		}
		weft_json_each(json_object_get(w->docs->root[d], "SecurityGroupRules"), i, one) {
			const json_t *to = json_object_get(one, "ReferencedGroupInfo");
			const char *id = weft_json_text(one, "GroupId");
			bool out = json_is_true(json_object_get(one, "IsEgress"));

			if (!strcmp(weft_json_text(one, "IpProtocol"), "-1") &&
			    !strcmp(weft_json_text(to, "GroupId"), id))
				json_object_set_new(out ? w->out : w->in, id, json_true());
		}
	}
}

static bool admits_itself(const struct walk *w, const char *group, bool out)
{
	return json_object_get(out ? w->out : w->in, group) != NULL;
}

/* Is the group on every EFA interface of that instance? */
static bool is_on(const struct walk *w, const json_t *instance, const char *group)
{
	json_t *interfaces = interfaces_of(w, instance), *one, *attached;
	bool on_all = true, any = false;
	size_t i, k;

	weft_json_each(interfaces, i, one) {
		bool here = false;

		if (!is_efa(one))
			continue;
		any = true;
		weft_json_each(json_object_get(one, "Groups"), k, attached)
			here |= k < ON_ONE_MAX &&
				!strcmp(weft_json_text(attached, "GroupId"), group);
		on_all &= here;
	}
	return any && on_all;
}

static bool has_efa(const struct walk *w, const json_t *instance)
{
	json_t *interfaces = interfaces_of(w, instance), *one;
	bool any = false;
	size_t i;

	weft_json_each(interfaces, i, one)
		any |= is_efa(one);
	return any;
}

static void report_rule(struct walk *w, bool out, bool good, const char *groups)
{
	enum weft_finding_id id = out ? WEFT_FINDING_SG_OUT : WEFT_FINDING_SG_IN;
	char first[64];

	if (good) {
		weft_findings_add(w->f, id, WEFT_SEV_OK, NULL,
				  "a rule of all protocols to itself: %s", groups);
		return;
	}
	weft_findings_report(w->f, id, NULL,
			     "%s: no %s rule of all protocols that names the group itself", groups,
			     out ? "outbound" : "inbound");
	snprintf(first, sizeof(first), "%.*s", (int)WEFT_MIN(strcspn(groups, ","), (size_t)60),
		 groups);
	if (out)
		weft_findings_fix(
			w->f,
			"aws ec2 authorize-security-group-egress --group-id %s --ip-permissions "
			"'IpProtocol=-1,UserIdGroupPairs=[{GroupId=%s}]'",
			first, first);
	else
		weft_findings_fix(
			w->f,
			"aws ec2 authorize-security-group-ingress --group-id %s --protocol -1 "
			"--source-group %s",
			first, first);
}

/* The groups of an array of {GroupId}, each in turn, judged together. */
static void check_groups(struct walk *w, json_t *groups)
{
	char names[200] = "";
	size_t i, len = 0;
	bool in = false, out = false;
	json_t *one;

	weft_json_each(groups, i, one) {
		const char *id = weft_json_text(one, "GroupId");

		in |= admits_itself(w, id, false);
		out |= admits_itself(w, id, true);
		if (len < sizeof(names) - 40)
			len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%.30s",
						len ? "," : "", id);
	}
	report_rule(w, false, in, names);
	report_rule(w, true, out, names);
}

/* Those that all EFA interfaces of all instances have. NULL: no instance with EFA. */
static json_t *common_groups(struct walk *w)
{
	json_t *common = NULL, *instance, *interfaces, *one, *group;
	size_t n, i, k;

	weft_json_each(w->instances, n, instance) {
		if (!has_efa(w, instance) || common)
			continue;
		common = json_array();
		interfaces = interfaces_of(w, instance);
		weft_json_each(interfaces, i, one) {
			if (!is_efa(one))
				continue;
			weft_json_each(json_object_get(one, "Groups"), k, group)
				if (k < ON_ONE_MAX)
					json_array_append(common, group);
			break;
		}
	}
	weft_json_each(w->instances, n, instance) {
		if (!common || !has_efa(w, instance))
			continue;
		for (k = json_array_size(common); k > 0; k--)
			if (!is_on(w, instance,
				   weft_json_text(json_array_get(common, k - 1), "GroupId")))
				json_array_remove(common, k - 1);
	}
	return common;
}

static void check_all_groups(struct walk *w)
{
	bool any_good = false;
	json_t *one;
	size_t i;

	for (size_t d = 0; d < w->docs->count; d++)
		weft_json_each(json_object_get(w->docs->root[d], "SecurityGroups"), i, one) {
			const char *id = weft_json_text(one, "GroupId");

			any_good |= admits_itself(w, id, false) && admits_itself(w, id, true);
		}
	for (size_t d = 0; d < w->docs->count; d++)
		weft_json_each(json_object_get(w->docs->root[d], "SecurityGroups"), i, one) {
			const char *id = weft_json_text(one, "GroupId");
			json_t *alone_in = json_pack("[{s:s}]", "GroupId", id);

			if (alone_in && (!any_good || (admits_itself(w, id, false) &&
						       admits_itself(w, id, true))))
				check_groups(w, alone_in);
			json_decref(alone_in);
		}
}

static void check_security(struct walk *w)
{
	json_t *common = common_groups(w);

	if (common && !json_array_size(common)) {
		weft_findings_report(
			w->f, WEFT_FINDING_SG_SHARED, NULL,
			"no security group is on every EFA interface of every instance");
	} else if (common) {
		OK(w, SG_SHARED, "%zu common group(s)", json_array_size(common));
		if (w->saw_groups)
			check_groups(w, common);
	} else {
		check_all_groups(w);
	}
	json_decref(common);
}

/* Launch templates: what will be launched */

static void check_template(struct walk *w, const json_t *version)
{
	const json_t *data = json_object_get(version, "LaunchTemplateData");
	const struct weft_instance *type =
		weft_catalogue_find(weft_json_text(data, "InstanceType"));
	const char *name = weft_json_text(version, "LaunchTemplateName");
	json_t *interfaces = json_object_get(data, "NetworkInterfaces"), *one;
	const json_t *target =
		weft_json_at(data, "CapacityReservationSpecification/CapacityReservationTarget");
	const char *group = weft_json_text(json_object_get(data, "Placement"), "GroupName");
	bool public = false;
	size_t i;

	if (!*name)
		name = "launch template";
	check_count(w, name, type, interfaces);
	check_indexes(w, name, type, interfaces);
	weft_json_each(interfaces, i, one)
	public |= json_is_true(json_object_get(one, "AssociatePublicIpAddress"));
	if (public && json_array_size(interfaces) > 1)
		weft_findings_report(w->f, WEFT_FINDING_AWS_PUBLIC_IP, NULL,
				     "%s: AssociatePublicIpAddress with %zu interfaces", name,
				     json_array_size(interfaces));
	else if (json_array_size(interfaces) > 1)
		OK(w, AWS_PUBLIC_IP, "%s: no automatic public address", name);
	if (*group && target)
		weft_findings_report(w->f, WEFT_FINDING_AWS_RESERVATION, NULL,
				     "%s: placement group %s and a capacity reservation", name,
				     group);
	else if (target)
		OK(w, AWS_RESERVATION, "%s: a capacity reservation without a placement group",
		   name);
}

static bool is_known(const json_t *root)
{
	static const char *const keys[] = { "Reservations", "NetworkInterfaces", "SecurityGroups",
					    "SecurityGroupRules", "LaunchTemplateVersions" };

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(keys); i++)
		if (json_is_array(json_object_get(root, keys[i])))
			return true;
	return false;
}

void weft_aws_check(const struct weft_cloudjson *docs, struct weft_findings *findings)
{
	struct walk w = { .docs = docs,
			  .f = findings,
			  .instances = json_array(),
			  .interfaces = json_object(),
			  .in = json_object(),
			  .out = json_object() };

	for (size_t d = 0; d < docs->count; d++) {
		struct weft_place place = { docs->file[d], 0, 0 };
		json_t *version;
		size_t i;

		if (!is_known(docs->root[d]))
			weft_findings_report(findings, WEFT_FINDING_INPUT, &place,
					     "not the output of aws ec2 describe-instances, "
					     "-network-interfaces, "
					     "-security-groups, -security-group-rules or "
					     "-launch-template-versions");
		weft_json_each(json_object_get(docs->root[d], "LaunchTemplateVersions"), i, version)
			check_template(&w, version);
	}
	collect_interfaces(&w);
	collect_instances(&w);
	collect_groups(&w);
	check_instances(&w);
	if (w.good_counts)
		OK(&w, AWS_CARDS, "%zu instances or templates have all EFAs of their type",
		   w.good_counts);
	check_same(&w, WEFT_FINDING_AWS_ZONE, "zone", zone_of);
	check_same(&w, WEFT_FINDING_AWS_VPC, "VPC", vpc_of);
	check_types(&w);
	check_placement(&w);
	check_security(&w);
	json_decref(w.instances);
	json_decref(w.interfaces);
	json_decref(w.in);
	json_decref(w.out);
}
