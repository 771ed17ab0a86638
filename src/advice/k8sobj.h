/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_ADVICE_K8SOBJ_H
#define WEFT_ADVICE_K8SOBJ_H

/* Single objects of Kubernetes, as kubectl prints them. Anything in them may be missing or of the wrong type. */
#include "base/types.h"

#include <jansson.h>

struct weft_instance;

#define WEFT_K8S_EFA "vpc.amazonaws.com/efa"

/* Its name; never NULL. */
const char *weft_k8s_name(const json_t *object);

/* What a node says of its instance type ("ml.p5.48xlarge"), or "". */
const char *weft_k8s_type_name(const json_t *node);

/* The catalogue's row of that; SageMaker's ml. does not count. NULL: none is known. */
const struct weft_instance *weft_k8s_type(const json_t *node);

/* A quantity, which may also be written as a number, in thousandths. False: not there, or none. */
bool weft_k8s_quantity(const json_t *value, uint64_t *milli_out);

/* The device plugin, or the driver of dynamic resource allocation (DRANET) in its place: it has a different name in
 * every way of installing it, so it is known by its image. NULL: the pod is none of them. */
const char *weft_k8s_plugin_image(const json_t *pod_spec);
bool weft_k8s_is_dra(const char *image);

/* The status of a condition ("Ready") of a node or a pod: "True", "False", "Unknown", or "". */
const char *weft_k8s_condition(const json_t *object, const char *type);

/* Is a pod ready? And what does its first container wait for that waits: "CrashLoopBackOff"? */
bool weft_k8s_is_ready(const json_t *pod);
const char *weft_k8s_waiting_reason(const json_t *pod);

#endif
