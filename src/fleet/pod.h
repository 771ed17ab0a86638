/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_FLEET_POD_H
#define WEFT_FLEET_POD_H

/* What a pod takes of its node. */
#include "base/types.h"

#include <jansson.h>

/* Requests of a pod's spec for `resource`, in thousandths, as the scheduler counts them. "gpu" is the sum of the
 * accelerators of all makers. */
uint64_t weft_pod_request(const json_t *spec, const char *resource);

/* The value of a resource in a list of quantities, "gpu" as above. False: there is none. */
bool weft_pod_quantity(const json_t *quantities, const char *resource, uint64_t *milli_out);

#endif
