/* SPDX-License-Identifier: BSD-2-Clause */
/* What users may say of a manifest. Templates put values between double quotes, or bare into a command; so no form
 * here admits a quote, a backslash, a dollar, a control character, or anything else that ends or begins something in
 * YAML, JSON, HCL or a shell. That is narrower than what the other programs accept, and the price of results
 * that mean what they say. */
#include "cloud/manifest_key.h"

#include "base/assert.h"
#include "base/spell.h"
#include "base/units.h"
#include "cloud/manifest.h"
#include "cloud/template.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>

#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"
#define ALNUM  LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGITS

static bool is_all(const char *s, const char *set)
{
	return *s && !s[strspn(s, set)];
}

/* A DNS label, and short enough for what other programs append. */
static bool is_name(const char *s)
{
	size_t len = strlen(s);

	return is_all(s, LOWER DIGITS "-") && *s >= 'a' && *s <= 'z' && s[len - 1] != '-' &&
	       len <= 40;
}

/* us-west-2, us-gov-east-1 */
static bool is_region(const char *s)
{
	const char *dash = strrchr(s, '-');

	return is_all(s, LOWER DIGITS "-") && *s >= 'a' && *s <= 'z' && dash &&
	       is_all(dash + 1, DIGITS) && memchr(s, '-', (size_t)(dash - s)) && strlen(s) <= 32;
}

static bool is_zone(const char *s)
{
	char region[33];
	size_t len = strlen(s);

	if (len < 2 || len > sizeof(region) || s[len - 1] < 'a' || s[len - 1] > 'z')
		return false;
	memcpy(region, s, len - 1);
	region[len - 1] = 0;
	return is_region(region);
}

/* As EC2 makes them: 8 digits in old accounts, else 17. */
static bool is_id(const char *s, const char *prefix)
{
	size_t len = strlen(prefix);

	return !strncmp(s, prefix, len) && is_all(s + len, DIGITS LOWER) &&
	       (strlen(s + len) == 8 || strlen(s + len) == 17);
}

static bool is_ami(const char *s)
{
	return is_id(s, "ami-");
}

static bool is_subnet(const char *s)
{
	return is_id(s, "subnet-");
}

static bool is_vpc(const char *s)
{
	return is_id(s, "vpc-");
}

static bool is_group(const char *s)
{
	return is_id(s, "sg-");
}

static bool is_image(const char *s)
{
	return is_all(s, ALNUM "._/:@-") && is_all((char[]){ *s, 0 }, ALNUM);
}

static bool is_file_name(const char *s)
{
	return is_all(s, ALNUM "._-") && *s != '-';
}

static bool is_version(const char *s)
{
	return is_all(s, DIGITS ".") && *s != '.' && s[strlen(s) - 1] != '.' && !strstr(s, "..");
}

/* Words for a shell, all of which stand for themselves. */
static bool is_command(const char *s)
{
	return is_all(s, ALNUM "_./:=,+%^@- ") && *s != ' ' && *s != '-' && s[strlen(s) - 1] != ' ';
}

static bool is_count(const char *s)
{
	uint64_t n;

	return is_all(s, DIGITS) && weft_parse_u64(s, &n) && n >= 1 && n <= 65535;
}

/* Kubernetes' way to say bytes. */
static bool is_size(const char *s)
{
	size_t n = strspn(s, DIGITS);

	return n && n <= 9 && *s != '0' && (!strcmp(s + n, "Mi") || !strcmp(s + n, "Gi"));
}

/* Whole pages of 2 MiB. */
static bool is_pages(const char *s)
{
	size_t n = strspn(s, DIGITS);

	return is_size(s) && (s[n] == 'G' || !((s[n - 1] - '0') % 2));
}

static bool is_cidr(const char *s)
{
	const char *slash = strchr(s, '/');
	char address[INET_ADDRSTRLEN];
	struct in_addr ip;
	uint64_t bits;

	if (!slash || (size_t)(slash - s) >= sizeof(address))
		return false;
	memcpy(address, s, (size_t)(slash - s));
	address[slash - s] = 0;
	return inet_pton(AF_INET, address, &ip) == 1 && is_all(slash + 1, DIGITS) &&
	       weft_parse_u64(slash + 1, &bits) && bits <= 32;
}

#define NAME_FORM  "a name of small letters, digits and hyphens, which begins with a letter"
#define COUNT_FORM "a number from 1 to 65535"

static const struct weft_manifest_key_rule rules[] = {
	{ "ami", "the machine image to boot", "ami-0123456789abcdef0", is_ami,
	  "the id of an image" },
	{ "command", "what to run: words that a shell takes as they are", "train.py", is_command,
	  "words without quotes, dollars and the like; put more into a script" },
	{ "head", "the instance type of the head node", "c7i.xlarge", is_file_name,
	  "an instance type" },
	{ "hugepages", "huge pages that a pod asks for", "5120Mi", is_pages,
	  "a whole number of 2 MiB pages, in Mi or Gi" },
	{ "image", "the container image", "registry.example/name:1.2", is_image,
	  "the name of an image" },
	{ "installer", "version of the EFA installer", "1.51.0", is_version, "a version" },
	{ "key-name", "the SSH key of EC2 to log in with", "my-key", is_file_name,
	  "the name of a key" },
	{ "kubernetes", "version of Kubernetes", "1.33", is_version, "a version" },
	{ "memory", "memory that a pod asks for", "128Gi", is_size, "a size in Mi or Gi" },
	{ "name", "what it is called", "efa", is_name, NAME_FORM },
	{ "partition", "the partition of Slurm", "efa", is_file_name, "the name of a partition" },
	{ "placement-group", "the placement group to launch in", "efa", is_file_name,
	  "the name of a placement group" },
	{ "port", "the TCP port of the first node", "29500", is_count, COUNT_FORM },
	{ "processes", "processes on each node, where there are no GPUs to count", "96", is_count,
	  COUNT_FORM },
	{ "ray-version", "version of Ray in the image", "2.40.0", is_version, "a version" },
	{ "region", "the region", "us-west-2", is_region, "a region, such as us-west-2" },
	{ "security-group", "the security group, open to itself both ways", "sg-0123456789abcdef0",
	  is_group, "the id of a security group" },
	{ "ssh", "from where one may log in", "203.0.113.0/24", is_cidr,
	  "an IPv4 network, such as 203.0.113.0/24" },
	{ "subnet", "the subnet of the nodes", "subnet-0123456789abcdef0", is_subnet,
	  "the id of a subnet" },
	{ "subnet2", "a subnet in another zone, for the control plane", "subnet-0fedcba9876543210",
	  is_subnet, "the id of a subnet" },
	{ "volume", "disk of each node, in GiB", "500", is_count, COUNT_FORM },
	{ "vpc", "the VPC", "vpc-0123456789abcdef0", is_vpc, "the id of a VPC" },
	{ "zone", "the zone of the nodes", "us-west-2a", is_zone, "a zone, such as us-west-2a" },
	{ "zone2", "another zone of the region, for the control plane", "us-west-2b", is_zone,
	  "a zone, such as us-west-2b" },
};
static_assert(WEFT_ARRAY_SIZE(rules) <= WEFT_MANIFEST_KEYS_MAX,
	      "more keys than manifests have room for");

const struct weft_manifest_key_rule *weft_manifest_key_rule(const char *name)
{
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rules); i++)
		if (!strcmp(rules[i].name, name))
			return &rules[i];
	return NULL;
}

uint32_t weft_manifest_key_row(const char *name)
{
	const struct weft_manifest_key_rule *rule = weft_manifest_key_rule(name);

	weft_assert(rule);
	return (uint32_t)(rule - rules);
}

const char *weft_manifest_key_name(uint32_t row)
{
	return rules[row].name;
}

/* The keys of a kind */

/* Names in templates that are made of a key. */
static const char *key_behind(const char *name)
{
	if (!strcmp(name, "zone-region"))
		return "zone";
	return strcmp(name, "total") != 0 ? name : "processes";
}

static void see(void *arg, const struct weft_template_name *use)
{
	struct weft_manifest_key *key = arg;

	if (strcmp(key_behind(use->name), key->name) != 0)
		return;
	switch (use->how) {
	case WEFT_TEMPLATE_HOLE:
		key->depends &= use->is_conditional;
		break;
	case WEFT_TEMPLATE_CONDITION:
		key->is_optional = true;
		break;
	case WEFT_TEMPLATE_DEFAULT:
		/* Of two, one for types with GPUs and one for the others, the first; so there is always one. */
		key->is_optional |= *key->standard != 0;
		if (!*key->standard)
			snprintf(key->standard, sizeof(key->standard), "%s", use->value);
		key->standard_depends = use->is_conditional;
		break;
	}
}

struct usage {
	const char *name;
	bool used;
};

static void see_name(void *arg, const struct weft_template_name *use)
{
	struct usage *u = arg;

	u->used |= use->how == WEFT_TEMPLATE_HOLE && !strcmp(key_behind(use->name), u->name);
}

static bool is_used(const struct weft_manifest_kind *kind, const char *name)
{
	struct usage u = { .name = name };

	weft_template_each_use(kind->text, see_name, &u);
	return u.used;
}

bool weft_manifest_key_at(const struct weft_manifest_kind *kind, uint32_t index,
			  struct weft_manifest_key *key_out)
{
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rules); i++) {
		const struct weft_manifest_key_rule *rule = &rules[i];

		if (!is_used(kind, rule->name) || index--)
			continue;
		*key_out = (struct weft_manifest_key){
			.name = rule->name,
			.what = rule->what,
			.example = rule->example,
			/* These follow from the instance type. */
			.is_optional =
				!strcmp(rule->name, "hugepages") || !strcmp(rule->name, "memory"),
			.depends = true,
		};
		weft_template_each_use(kind->text, see, key_out);
		/* From that, too, but only with GPUs. */
		key_out->depends |= !strcmp(rule->name, "processes");
		return true;
	}
	return false;
}

/* Reasons quote what was typed, and end up on terminals: it may not steer one. */
static bool refuse(char *why)
{
	for (; *why; why++)
		if ((unsigned char)*why < 0x20 || *why == 0x7f)
			*why = '?';
	return false;
}

static const char *suggest(const struct weft_manifest_kind *kind, const char *name)
{
	const char *close = NULL;
	size_t best = SIZE_MAX;

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rules); i++)
		if (is_used(kind, rules[i].name) &&
		    weft_spell_is_closer(name, rules[i].name, &best))
			close = rules[i].name;
	return close;
}

bool weft_manifest_set(struct weft_manifest *m, const char *assignment, char *why, size_t len)
{
	const char *equals = strchr(assignment, '='), *close;
	const struct weft_manifest_key_rule *rule;
	char name[64];

	if (!equals || equals == assignment || (size_t)(equals - assignment) >= sizeof(name)) {
		snprintf(why, len, "--set wants KEY=VALUE, not \"%.64s\"", assignment);
		return refuse(why);
	}
	memcpy(name, assignment, (size_t)(equals - assignment));
	name[equals - assignment] = 0;
	rule = weft_manifest_key_rule(name);
	if (!rule || !is_used(m->kind, name)) {
		close = suggest(m->kind, name);
		snprintf(why, len, "%s has no key %s%s%s%s", m->kind->name, name,
			 close ? "; did you mean " : "; see --keys", close ? close : "",
			 close ? "?" : "");
		return refuse(why);
	}
	if (strlen(equals + 1) >= WEFT_MANIFEST_VALUE_MAX || !rule->is_valid(equals + 1)) {
		snprintf(why, len, "%s has to be %s, not \"%.64s\"", name, rule->form, equals + 1);
		return refuse(why);
	}
	snprintf(m->said[rule - rules], WEFT_MANIFEST_VALUE_MAX, "%s", equals + 1);
	return true;
}
