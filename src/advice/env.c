/* SPDX-License-Identifier: BSD-2-Clause */
/* The judge of environment variables.
 *
 * Most is a look into the table. What is code here needs more than one fact: interface names against the
 * machine's interfaces, variables that exclude each other, variables that are missing, and names that nobody
 * reads. Where the table needs a fact that is not known, its row does not hold and a later, more general one
 * speaks. */
#define _GNU_SOURCE
#include "advice/env.h"

#include "base/spell.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Values: a kind, and for some of them a list. */
enum match_kind {
	MATCH_ANY,
	MATCH_TRUE,
	MATCH_FALSE,
	MATCH_NOT_BOOL,
	MATCH_EMPTY,
	MATCH_NOT_POSITIVE,
	MATCH_IS, /* One of the list, separated by |. */
	MATCH_LISTS, /* As MATCH_IS, of one of the elements of a comma list. */
};

enum condition {
	ALWAYS,
	READ, /* The cards have RDMA read ... */
	NO_READ, /* ... or are known not to. */
	READ_OLD_PLUGIN, /* ... and aws-ofi-nccl is before 1.7. */
	OLD_PLUGIN, /* aws-ofi-nccl before 1.6. */
	OLD_LIBFABRIC, /* Before 1.18. */
	OLD_KERNEL, /* Before 5.13: no copy-on-fork of pinned pages. */
	OLD_UCX, /* Before 1.19: no EFA. */
	GPUDIRECT,
};

struct rule {
	const char *name; /* A last * stands for anything. */
	enum match_kind match;
	const char *list;
	enum condition condition;
	enum weft_env_verdict verdict;
	enum weft_finding_id finding;
	const char *reason, *source;
};

#define ANY          MATCH_ANY, NULL
#define TRUE         MATCH_TRUE, NULL
#define FALSE        MATCH_FALSE, NULL
#define NOT_BOOL     MATCH_NOT_BOOL, NULL
#define EMPTY        MATCH_EMPTY, NULL
#define NOT_POSITIVE MATCH_NOT_POSITIVE, NULL
#define IS(list)     MATCH_IS, list
#define LISTS(list)  MATCH_LISTS, list

#define LF_ENV       "libfabric prov/efa/src/efa_env.c"
#define LF_RDMA      "libfabric prov/efa/src/rdm/efa_rdm_util.c"
#define LF_FORK      "libfabric prov/efa/src/efa_fork_support.c"
#define LF_HMEM      "libfabric prov/efa/src/efa_hmem.c, fabric(7)"
#define LF_MAN       "libfabric fabric(7), fi_efa(7)"
#define PLUGIN_ENV   "aws-ofi-nccl doc/efa-env-var.md"
#define PLUGIN_AWS   "aws-ofi-nccl src/platform-aws.cpp"
#define PLUGIN_PARAM "aws-ofi-nccl include/nccl_ofi_param.h"
#define NCCL_MAN     "NCCL user guide, environment variables"
#define UCX_MAN      "UCX FAQ; ucx pull requests 10021, 10412"
#define OMPI_FAQ     "Open MPI FAQ; ompi issue 6795"
#define MOONCAKE     "Mooncake pull request 1523"

static const struct rule rules[] = {
#define ENV(name, value, condition, verdict, finding, reason, source) \
	{ name, value, condition, WEFT_ENV_##verdict, WEFT_FINDING_##finding, reason, source },
#include "advice/env.inc"
#undef ENV
};

/* Families of which we know every name: whatever else has the prefix is read by nobody. */
static const char *const efa_names[] = {
	"CQ_SIZE",
	"DIRECT_CQ_OPS",
	"EFA_CQ_READ_SIZE",
	"ENABLE_SHM_TRANSFER",
	"FORK_SAFE",
	"IFACE",
	"IMPLICIT_AV_SIZE",
	"INTERNAL_RX_REFILL_THRESHOLD",
	"INTER_MAX_GDRCOPY_MESSAGE_SIZE",
	"INTER_MAX_MEDIUM_MESSAGE_SIZE",
	"INTER_MIN_READ_MESSAGE_SIZE",
	"INTER_MIN_READ_WRITE_SIZE",
	"INTER_READ_SEGMENT_SIZE",
	"MAX_MEMCPY_SIZE",
	"MAX_TIMEOUT",
	"MR_CACHE_ENABLE",
	"MR_CACHE_MERGE_REGIONS",
	"MR_MAX_CACHED_COUNT",
	"MR_MAX_CACHED_SIZE",
	"MTU_SIZE",
	"READCOPY_POOL_SIZE",
	"RECVWIN_SIZE",
	"RUNT_SIZE",
	"RX_COPY_OOO",
	"RX_COPY_UNEXP",
	"RX_IOV_LIMIT",
	"RX_SIZE",
	"RX_WINDOW_SIZE",
	"SET_CUDA_SYNC_MEMOPS",
	"SHM_AV_SIZE",
	"SHM_CQ_READ_SIZE",
	"SHM_MAX_MEDIUM_SIZE",
	"TIMEOUT_INTERVAL",
	"TRACK_MR",
	"TX_IOV_LIMIT",
	"TX_MIN_CREDITS",
	"TX_QUEUE_SIZE",
	"TX_SIZE",
	"USE_DATA_PATH_DIRECT",
	"USE_DEVICE_RDMA",
	"USE_HUGE_PAGE",
	"USE_HW_CNTR",
	"USE_SM2",
	"USE_SQ_REQ_ID_64_BIT",
	"USE_UNSOLICITED_WRITE_RECV",
	"USE_ZCPY_RX",
	"ZCPY_RX_SEED",
};

static const char *const ours[] = { "FI_",       "NCCL_",        "OFI_NCCL_", "UCX_",
				    "OMPI_MCA_", "RDMAV_",       "IBV_",      "MOONCAKE_",
				    "NVSHMEM_",  "GLOO_SOCKET_", "NIXL_" };

const char *weft_env_verdict_name(enum weft_env_verdict verdict)
{
	switch (verdict) {
	case WEFT_ENV_NEEDED:
		return "needed";
	case WEFT_ENV_CHOICE:
		return "a choice";
	case WEFT_ENV_NOOP:
		return "no-op";
	case WEFT_ENV_DEPRECATED:
		return "deprecated";
	case WEFT_ENV_HARMFUL:
		return "harmful";
	case WEFT_ENV_UNKNOWN:
		return "unknown";
	}
	return "?";
}

bool weft_env_is_ours(const char *name)
{
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(ours); i++)
		if (!strncmp(name, ours[i], strlen(ours[i])))
			return true;
	return false;
}

bool weft_env_is_secret(const char *name)
{
	static const char *const words[] = { "KEY", "TOKEN", "SECRET", "PASS", "CREDENTIAL" };

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(words); i++)
		if (strcasestr(name, words[i]))
			return true;
	return false;
}

uint32_t weft_version_parse(const char *text)
{
	uint32_t part[3] = { 0, 0, 0 };
	const char *p = text;

	for (uint32_t i = 0; i < 3; i++) {
		char *end;
		unsigned long n;

		if (*p < '0' || *p > '9')
			break;
		n = strtoul(p, &end, 10);
		part[i] = (uint32_t)WEFT_MIN(n, 1023ul);
		if (*end != '.')
			break;
		p = end + 1;
	}
	return WEFT_VERSION_OF(part[0], part[1], part[2]);
}

/* As libfabric reads booleans. */
static enum weft_tri boolean(const char *value)
{
	static const char *const yes[] = { "1", "true", "yes", "on" };
	static const char *const no[] = { "0", "false", "no", "off" };

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(yes); i++) {
		if (!strcasecmp(value, yes[i]))
			return WEFT_YES;
		if (!strcasecmp(value, no[i]))
			return WEFT_NO;
	}
	return WEFT_UNKNOWN;
}

static bool is_in_list(const char *word, size_t len, const char *list)
{
	while (list) {
		const char *bar = strchr(list, '|');
		size_t one = bar ? (size_t)(bar - list) : strlen(list);

		if (one == len && !strncasecmp(word, list, len))
			return true;
		list = bar ? bar + 1 : NULL;
	}
	return false;
}

static bool any_element_is(const char *value, const char *list)
{
	/* "^ob1,cm" excludes both: the hat belongs to every element. */
	bool hat = value[0] == '^';

	for (const char *p = value + hat;; p++) {
		size_t len = strcspn(p, ",");
		char word[64];

		if (len < sizeof(word) - 1) {
			snprintf(word, sizeof(word), "%s%.*s", hat ? "^" : "", (int)len, p);
			if (is_in_list(word, strlen(word), list))
				return true;
		}
		p += len;
		if (!*p)
			return false;
	}
}

static bool value_fits(const struct rule *rule, const char *value)
{
	switch (rule->match) {
	case MATCH_ANY:
		return true;
	case MATCH_TRUE:
		return boolean(value) == WEFT_YES;
	case MATCH_FALSE:
		return boolean(value) == WEFT_NO;
	case MATCH_NOT_BOOL:
		return boolean(value) == WEFT_UNKNOWN;
	case MATCH_EMPTY:
		return !*value;
	case MATCH_NOT_POSITIVE:
		return strtol(value, NULL, 10) <= 0;
	case MATCH_IS:
		return is_in_list(value, strlen(value), rule->list);
	case MATCH_LISTS:
		return any_element_is(value, rule->list);
	}
	return false;
}

static bool is_before(uint32_t version, uint32_t major, uint32_t minor)
{
	return version && version < WEFT_VERSION_OF(major, minor, 0);
}

static bool holds(enum condition condition, const struct weft_env_context *c)
{
	switch (condition) {
	case ALWAYS:
		return true;
	case READ:
		return c->rdma_read == WEFT_YES;
	case NO_READ:
		return c->rdma_read == WEFT_NO;
	case READ_OLD_PLUGIN:
		return c->rdma_read == WEFT_YES && is_before(c->plugin, 1, 7);
	case OLD_PLUGIN:
		return is_before(c->plugin, 1, 6);
	case OLD_LIBFABRIC:
		return is_before(c->libfabric, 1, 18);
	case OLD_KERNEL:
		return is_before(c->kernel, 5, 13);
	case OLD_UCX:
		return is_before(c->ucx, 1, 19);
	case GPUDIRECT:
		return c->gpudirect == WEFT_YES;
	}
	return false;
}

static bool name_fits(const char *pattern, const char *name)
{
	size_t len = strlen(pattern);

	if (len && pattern[len - 1] == '*')
		return !strncmp(pattern, name, len - 1);
	return !strcmp(pattern, name);
}

/* An FI_EFA_ name that libfabric has never read. */
static bool is_unknown(const char *name, struct weft_env_judgement *j)
{
	size_t best = SIZE_MAX;

	if (strncmp(name, "FI_EFA_", 7) != 0)
		return false;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(efa_names); i++) {
		if (!strcmp(name + 7, efa_names[i]))
			return false;
		if (weft_spell_is_closer(name + 7, efa_names[i], &best))
			j->suggest = efa_names[i];
	}
	j->verdict = WEFT_ENV_UNKNOWN;
	j->finding = WEFT_FINDING_ENV_UNKNOWN;
	j->reason = "libfabric's EFA provider does not read it";
	j->source = LF_ENV;
	return true;
}

struct weft_env_judgement weft_env_judge(const char *name, const char *value,
					 const struct weft_env_context *context)
{
	struct weft_env_judgement j = {
		.verdict = WEFT_ENV_CHOICE,
		.finding = WEFT_FINDING_ENV_CHOICE,
		.reason = "no rule speaks against it",
	};

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rules); i++) {
		const struct rule *r = &rules[i];

		if (!name_fits(r->name, name) || !value_fits(r, value) ||
		    !holds(r->condition, context))
			continue;
		j.verdict = r->verdict;
		j.finding = r->finding;
		j.reason = r->reason;
		j.source = r->source;
		return j;
	}
	(void)is_unknown(name, &j);
	return j;
}

/* Interface names
 *
 * NCCL takes a list of prefixes, "^" before all of it for the opposite and "=" for whole names. Gloo, and so
 * PyTorch's own rendezvous, takes one whole name. */

static bool nccl_takes(const char *value, const char *interface)
{
	bool exclude = value[0] == '^';
	bool exact = value[exclude] == '=';
	bool listed = false;

	for (const char *p = value + exclude + exact;; p++) {
		size_t len = strcspn(p, ",");

		if (len && !strncmp(p, interface, len) && (!exact || !interface[len]))
			listed = true;
		p += len;
		if (!*p)
			break;
	}
	return listed != exclude;
}

/* Those that reach no other node: loopback, bridges of containers, and EKS's pod identity link. */
static bool is_local_interface(const char *name)
{
	static const char *const local[] = { "lo",  "docker", "veth", "pod-id-link",
					     "br-", "virbr",  "cni",  "flannel" };

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(local); i++)
		if (!strncmp(name, local[i], strlen(local[i])))
			return true;
	return false;
}

static void check_nccl_ifname(const struct weft_env_var *v, const struct weft_env_context *c,
			      struct weft_findings *f)
{
	size_t taken = 0;
	const char *local = NULL;

	for (size_t i = 0; c->interfaces && i < c->interface_count; i++) {
		if (!nccl_takes(v->value, c->interfaces[i]))
			continue;
		taken++;
		if (is_local_interface(c->interfaces[i]))
			local = c->interfaces[i];
	}
	if (!c->interfaces)
		weft_findings_add(f, WEFT_FINDING_ENV_CHOICE, WEFT_SEV_OK, &v->place,
				  "%s=%s: which interface NCCL meets over", v->name, v->value);
	else if (!taken)
		weft_findings_report(f, WEFT_FINDING_ENV_IFNAME, &v->place,
				     "%s=%s: no interface of this machine fits", v->name, v->value);
	else if (local && taken == 1)
		weft_findings_report(f, WEFT_FINDING_ENV_IFNAME, &v->place,
				     "%s=%s leaves only %s, which reaches no other node", v->name,
				     v->value, local);
	else if (local)
		weft_findings_add(f, WEFT_FINDING_ENV_IFNAME, WEFT_SEV_WARN, &v->place,
				  "%s=%s also takes %s, which reaches no other node", v->name,
				  v->value, local);
	else
		weft_findings_add(f, WEFT_FINDING_ENV_CHOICE, WEFT_SEV_OK, &v->place,
				  "%s=%s: fits %zu interface(s)", v->name, v->value, taken);
}

static void check_gloo_ifname(const struct weft_env_var *v, const struct weft_env_context *c,
			      struct weft_findings *f)
{
	bool found = !c->interfaces;

	for (size_t i = 0; c->interfaces && i < c->interface_count; i++)
		found |= !strcmp(c->interfaces[i], v->value);
	if (strpbrk(v->value, "^=,"))
		weft_findings_report(f, WEFT_FINDING_ENV_IFNAME, &v->place,
				     "%s=%s: Gloo takes one whole name, not a list or an exclusion",
				     v->name, v->value);
	else if (!found)
		weft_findings_report(f, WEFT_FINDING_ENV_IFNAME, &v->place,
				     "%s=%s: this machine has no such interface", v->name,
				     v->value);
	else
		weft_findings_add(f, WEFT_FINDING_ENV_CHOICE, WEFT_SEV_OK, &v->place,
				  "%s=%s: the interface Gloo meets over", v->name, v->value);
}

static const struct weft_env_var *find(const struct weft_env_var *vars, size_t count,
				       const char *name)
{
	/* The last one wins, as in a script. */
	while (count--)
		if (!strcmp(vars[count].name, name))
			return &vars[count];
	return NULL;
}

static bool is_true(const struct weft_env_var *v)
{
	return v && boolean(v->value) == WEFT_YES;
}

/* What takes two variables, or the absence of one. */
static void check_together(const struct weft_env_var *vars, size_t count,
			   const struct weft_env_context *c, struct weft_findings *f)
{
	const struct weft_env_var *huge = find(vars, count, "FI_EFA_USE_HUGE_PAGE");
	const struct weft_env_var *fork = find(vars, count, "FI_EFA_FORK_SAFE");
	const struct weft_env_var *ranks = find(vars, count, "OMPI_COMM_WORLD_LOCAL_SIZE");
	const struct weft_env_var *av = find(vars, count, "FI_EFA_SHM_AV_SIZE");
	const struct weft_env_var *shm = find(vars, count, "FI_EFA_ENABLE_SHM_TRANSFER");
	long room = av ? strtol(av->value, NULL, 10) : 128;

	if (!fork || !is_true(fork))
		fork = find(vars, count, "RDMAV_FORK_SAFE");
	if (!fork)
		fork = find(vars, count, "IBV_FORK_SAFE");
	if (is_true(huge) && fork && (!c->kernel || is_before(c->kernel, 5, 13)))
		weft_findings_add(f, WEFT_FINDING_ENV_HUGEPAGE_FORK,
				  c->kernel ? WEFT_SEV_FAIL : WEFT_SEV_WARN, &huge->place,
				  "%s=%s together with %s=%s%s", huge->name, huge->value,
				  fork->name, fork->value,
				  c->kernel ? ""
					    : " (harmless from Linux 5.13 on; which one is "
					      "not known here)");
	if (ranks && strtol(ranks->value, NULL, 10) > room &&
	    !(shm && boolean(shm->value) == WEFT_NO))
		weft_findings_report(f, WEFT_FINDING_ENV_RANKS, &ranks->place,
				     "%s=%s, and room for %ld (FI_EFA_SHM_AV_SIZE%s)", ranks->name,
				     ranks->value, room, av ? "" : ", not set");
	if (c->rdma_read == WEFT_YES && is_before(c->plugin, 1, 7) &&
	    !find(vars, count, "FI_EFA_USE_DEVICE_RDMA"))
		weft_findings_report(f, WEFT_FINDING_ENV_MISSING, NULL,
				     "FI_EFA_USE_DEVICE_RDMA=1 is missing: aws-ofi-nccl before 1.7 "
				     "on cards with RDMA");
	if (is_before(c->plugin, 1, 6) && !find(vars, count, "FI_PROVIDER"))
		weft_findings_report(f, WEFT_FINDING_ENV_MISSING, NULL,
				     "FI_PROVIDER=efa is missing: aws-ofi-nccl before 1.6");
}

/* NCCL without a choice takes the first interface, and on EKS with pod identity that is a link-local one. */
static void check_pod_link(const struct weft_env_var *vars, size_t count,
			   const struct weft_env_context *c, struct weft_findings *f)
{
	if (!c->interfaces || find(vars, count, "NCCL_SOCKET_IFNAME"))
		return;
	for (size_t i = 0; i < c->interface_count; i++)
		if (!strncmp(c->interfaces[i], "pod-id-link", 11))
			weft_findings_add(
				f, WEFT_FINDING_ENV_IFNAME, WEFT_SEV_WARN, NULL,
				"NCCL_SOCKET_IFNAME is not set, and %s (169.254.170.23) is "
				"here",
				c->interfaces[i]);
}

static enum weft_severity severity_of(const struct weft_env_judgement *j)
{
	if (j->verdict == WEFT_ENV_NEEDED || j->verdict == WEFT_ENV_CHOICE)
		return WEFT_SEV_OK;
	return weft_finding_info(j->finding)->severity;
}

void weft_env_check(const struct weft_env_var *vars, size_t count,
		    const struct weft_env_context *context, struct weft_findings *findings)
{
	for (size_t i = 0; i < count; i++) {
		const struct weft_env_var *v = &vars[i];
		struct weft_env_judgement j;

		if (!weft_env_is_ours(v->name))
			continue;
		if (!strcmp(v->name, "NCCL_SOCKET_IFNAME")) {
			check_nccl_ifname(v, context, findings);
			continue;
		}
		if (!strcmp(v->name, "GLOO_SOCKET_IFNAME")) {
			check_gloo_ifname(v, context, findings);
			continue;
		}
		j = weft_env_judge(v->name, v->value, context);
		weft_findings_add(
			findings, j.finding, severity_of(&j), &v->place, "%s=%s: %s: %s%s%s",
			v->name, v->value, weft_env_verdict_name(j.verdict), j.reason,
			j.suggest ? "; did you mean FI_EFA_" : "", j.suggest ? j.suggest : "");
	}
	check_together(vars, count, context, findings);
	check_pod_link(vars, count, context, findings);
}
