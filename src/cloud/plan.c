/* SPDX-License-Identifier: BSD-2-Clause */
/* Derived figures: each is a formula over facts of the catalogue, and unknown when one of them is. */
#include "cloud/plan.h"

#include <string.h>

static bool is_known(struct weft_fact fact)
{
	return fact.how != WEFT_FACT_UNKNOWN;
}

struct weft_fact weft_plan_hugepages_mib(const struct weft_instance *it)
{
	struct weft_fact mib = it->hugepages;

	if (is_known(mib))
		mib.value = WEFT_MIN(mib.value * 2, WEFT_PLAN_HUGEPAGES_MIB);
	return mib;
}

struct weft_fact weft_plan_memory_mib(const struct weft_instance *it)
{
	struct weft_fact mib = it->memory_gib;
	uint64_t rest;

	if (!is_known(mib) || !is_known(it->hugepages))
		return (struct weft_fact){ 0, WEFT_FACT_UNKNOWN };
	/* All huge pages of the node are taken from its memory, not only those of the pod. */
	rest = (uint64_t)mib.value * 1024 - it->hugepages.value * 2;
	mib.value = (uint32_t)(rest / 10 * 9);
	return mib;
}

double weft_plan_gbytes(const struct weft_instance *it)
{
	return weft_fact_or(it->gbps_total, 0) / 8.0;
}

double weft_plan_ring_gbytes(const struct weft_instance *it)
{
	return weft_fact_or(it->gbps_total, 0) * 0.12;
}

static bool is_family(const struct weft_instance *it, const char *family)
{
	size_t len = strlen(family);

	return !strncmp(it->name, family, len) && it->name[len] == '.';
}

const char *weft_plan_limit(const struct weft_instance *it, uint32_t index)
{
	const char *limits[8];
	uint32_t n = 0;

	limits[n++] =
		"EFA traffic stays within one Availability Zone and one VPC, and is not routed";
	limits[n++] = "one EFA at most on each network card";
	if (is_family(it, "p4d") || is_family(it, "p4de") || is_family(it, "dl1"))
		limits[n++] = "EFA traffic to other instance types does not work";
	if (weft_fact_or(it->network_cards, 0) > weft_fact_or(it->efas, UINT32_MAX))
		limits[n++] = "not every network card carries EFA";
	if (weft_fact_or(it->efas, 0) > 1)
		limits[n++] = "no public address can be had at launch with more than one "
			      "interface: use an Elastic IP address";
	if (is_known(it->rdma_read) && !it->rdma_read.value)
		limits[n++] =
			"FI_EFA_USE_DEVICE_RDMA=1 makes programs abort: there is no RDMA read";
	if (it->notes)
		limits[n++] = it->notes;
	return index < n ? limits[index] : NULL;
}
