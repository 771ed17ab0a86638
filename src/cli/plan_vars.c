/* SPDX-License-Identifier: BSD-2-Clause */
/* The variables that guides most often tell people to set, with advice's verdict on each of them for the cards of an
 * instance type and software that is not old. */
#include "advice/env.h"
#include "cli/json.h"
#include "cli/plan.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *name, *value;
} common[] = {
	{ "FI_PROVIDER", "efa" },
	{ "FI_EFA_USE_DEVICE_RDMA", "1" },
	{ "FI_EFA_FORK_SAFE", "1" },
	{ "FI_EFA_USE_HUGE_PAGE", "0" },
	{ "RDMAV_FORK_SAFE", "1" },
	{ "NCCL_DEBUG", "INFO" },
	{ "NCCL_ALGO", "Ring" },
	{ "NCCL_PROTO", "simple" },
	{ "NCCL_BUFFSIZE", "8388608" },
	{ "NCCL_P2P_NET_CHUNKSIZE", "524288" },
	{ "NCCL_TUNER_PLUGIN", "/opt/aws-ofi-nccl/install/lib/libnccl-ofi-tuner.so" },
	{ "NCCL_IB_HCA", "mlx5_0" },
};

static enum weft_tri tri(struct weft_fact fact)
{
	if (fact.how == WEFT_FACT_UNKNOWN)
		return WEFT_UNKNOWN;
	return fact.value ? WEFT_YES : WEFT_NO;
}

static struct weft_env_context context_of(const struct weft_instance *it)
{
	static const enum weft_tri gdr[] = { [WEFT_GDR_UNKNOWN] = WEFT_UNKNOWN,
					     [WEFT_GDR_NO] = WEFT_NO,
					     [WEFT_GDR_YES] = WEFT_YES };

	return (struct weft_env_context){
		.rdma_read = tri(it->rdma_read),
		.gpudirect = gdr[weft_instance_gdr(it)],
		.kernel = WEFT_VERSION_OF(5, 13, 0),
		.libfabric = WEFT_VERSION_OF(1, 18, 0),
		.plugin = WEFT_VERSION_OF(1, 7, 0),
	};
}

void weft_plan_variables(const struct weft_plan_view *v, const struct weft_instance *it)
{
	struct weft_env_context context = context_of(it);
	bool any = false;

	fputs(v->json ? ", \"variables\": ["
		      : "\nvariables, with Linux 5.13, libfabric 1.18 and aws-ofi-nccl 1.7 or "
			"later:\n",
	      stdout);
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(common); i++) {
		struct weft_env_judgement j;

		/* Without accelerators there is no NCCL. */
		if (!*it->accelerator && !strncmp(common[i].name, "NCCL_", 5))
			continue;
		j = weft_env_judge(common[i].name, common[i].value, &context);
		if (!v->json) {
			printf("  %-10s %s=%s: %s\n", weft_env_verdict_name(j.verdict),
			       common[i].name, common[i].value, j.reason);
			continue;
		}
		printf("%s{\"name\": \"%s\", \"value\": \"%s\", \"verdict\": \"%s\", \"reason\": ",
		       any ? ", " : "", common[i].name, common[i].value,
		       weft_env_verdict_name(j.verdict));
		weft_json_string(j.reason);
		fputs(", \"source\": ", stdout);
		weft_json_string(j.source);
		putchar('}');
		any = true;
	}
	if (v->json)
		putchar(']');
}
