/* SPDX-License-Identifier: BSD-2-Clause */
/* The sum of a pod's requests is not that of its containers. Init containers run before them, one after the other, so
 * of these the largest counts; but one that restarts always (a sidecar) stays, and is there while those after it run.
 * Overhead is the runtime's own. Where the pod as a whole says what it takes of cpu, memory or huge pages, that goes
 * before the containers. */
#include "fleet/pod.h"

#include "advice/jsonfile.h"
#include "advice/k8sobj.h"
#include "advice/quantity.h"

#include <string.h>

/* neuroncore and neurondevice are the same chips once more. */
static const char *const accelerators[] = { "nvidia.com/gpu", "aws.amazon.com/neuron",
					    "amd.com/gpu", "habana.ai/gaudi" };

bool weft_pod_quantity(const json_t *quantities, const char *resource, uint64_t *milli_out)
{
	uint64_t sum = 0, one;
	bool any = false;

	if (strcmp(resource, "gpu") != 0)
		return weft_k8s_quantity(json_object_get(quantities, resource), milli_out);
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(accelerators); i++) {
		if (!weft_k8s_quantity(json_object_get(quantities, accelerators[i]), &one))
			continue;
		sum = weft_quantity_add(sum, one);
		any = true;
	}
	if (any)
		*milli_out = sum;
	return any;
}

/* A limit alone is its request as well. */
static uint64_t asked(const json_t *container, const char *resource)
{
	const json_t *resources = json_object_get(container, "resources");
	uint64_t milli = 0;

	if (!weft_pod_quantity(json_object_get(resources, "requests"), resource, &milli))
		(void)weft_pod_quantity(json_object_get(resources, "limits"), resource, &milli);
	return milli;
}

uint64_t weft_pod_request(const json_t *spec, const char *resource)
{
	uint64_t sum = 0, sidecars = 0, init = 0, overhead = 0, whole;
	json_t *container;
	size_t i;

	weft_json_each(json_object_get(spec, "containers"), i, container)
		sum = weft_quantity_add(sum, asked(container, resource));
	weft_json_each(json_object_get(spec, "initContainers"), i, container) {
		uint64_t with = weft_quantity_add(sidecars, asked(container, resource));

		if (!strcmp(weft_json_text(container, "restartPolicy"), "Always"))
			sidecars = with;
		init = WEFT_MAX(init, with);
	}
	sum = WEFT_MAX(weft_quantity_add(sum, sidecars), init);
	if ((!strcmp(resource, "cpu") || !strcmp(resource, "memory") ||
	     !strncmp(resource, "hugepages-", 10)) &&
	    weft_pod_quantity(weft_json_at(spec, "resources/requests"), resource, &whole))
		sum = whole;
	(void)weft_pod_quantity(json_object_get(spec, "overhead"), resource, &overhead);
	return weft_quantity_add(sum, overhead);
}
