/* SPDX-License-Identifier: BSD-2-Clause */
/* What more than one part of weft wants to know of a node or a pod. Labels, images and conditions have been spelled in
 * several ways over the years; that knowledge is here once. */
#include "advice/k8sobj.h"

#include "advice/jsonfile.h"
#include "advice/quantity.h"
#include "cloud/catalogue.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *weft_k8s_name(const json_t *object)
{
	const char *name = weft_json_text(json_object_get(object, "metadata"), "name");

	return *name ? name : "(without a name)";
}

const char *weft_k8s_type_name(const json_t *node)
{
	const json_t *labels = weft_json_at(node, "metadata/labels");
	const char *type = weft_json_text(labels, "node.kubernetes.io/instance-type");

	return *type ? type : weft_json_text(labels, "beta.kubernetes.io/instance-type");
}

const struct weft_instance *weft_k8s_type(const json_t *node)
{
	const char *type = weft_k8s_type_name(node);

	/* SageMaker HyperPod calls them ml.p5.48xlarge. */
	return weft_catalogue_find(!strncmp(type, "ml.", 3) ? type + 3 : type);
}

bool weft_k8s_quantity(const json_t *value, uint64_t *milli_out)
{
	char text[32];

	if (!json_is_integer(value))
		return weft_quantity_parse(json_string_value(value), milli_out);
	snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	return weft_quantity_parse(text, milli_out);
}

bool weft_k8s_is_dra(const char *image)
{
	return strstr(image, "dranet") != NULL;
}

const char *weft_k8s_plugin_image(const json_t *pod_spec)
{
	static const char *const plugins[] = { "aws-efa-k8s-device-plugin", "weft-device-plugin" };
	json_t *container;
	size_t i;

	weft_json_each(json_object_get(pod_spec, "containers"), i, container) {
		const char *image = weft_json_text(container, "image");

		for (size_t k = 0; k < WEFT_ARRAY_SIZE(plugins); k++)
			if (strstr(image, plugins[k]))
				return image;
		if (weft_k8s_is_dra(image))
			return image;
	}
	return NULL;
}

const char *weft_k8s_condition(const json_t *object, const char *type)
{
	json_t *condition;
	size_t i;

	weft_json_each(weft_json_at(object, "status/conditions"), i, condition)
		if (!strcmp(weft_json_text(condition, "type"), type))
			return weft_json_text(condition, "status");
	return "";
}

bool weft_k8s_is_ready(const json_t *pod)
{
	return !strcmp(weft_k8s_condition(pod, "Ready"), "True");
}

const char *weft_k8s_waiting_reason(const json_t *pod)
{
	json_t *status;
	size_t i;

	weft_json_each(weft_json_at(pod, "status/containerStatuses"), i, status) {
		const char *reason =
			weft_json_text(weft_json_at(status, "state/waiting"), "reason");

		if (*reason)
			return reason;
	}
	return "not ready";
}
