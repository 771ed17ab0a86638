/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_ADVICE_CLOUDJSON_H
#define WEFT_ADVICE_CLOUDJSON_H

/* What the cloud says of itself, in the JSON that its command lines print. Documents are borrowed; anything in them
 * may be of the wrong type or missing, and is then not judged. */
#include "advice/finding.h"

#include <jansson.h>

#define WEFT_CLOUDJSON_MAX 16

struct weft_cloudjson {
	const char *file[WEFT_CLOUDJSON_MAX]; /* borrows */
	json_t *root[WEFT_CLOUDJSON_MAX]; /* borrows */
	size_t count;
};

/* Output of aws ec2 describe-instances, describe-network-interfaces, describe-security-groups,
 * describe-security-group-rules and describe-launch-template-versions, in any number of documents. */
void weft_aws_check(const struct weft_cloudjson *docs, struct weft_findings *findings);

/* Output of kubectl get nodes,pods,daemonsets,resourceslices -o json. */
void weft_k8s_check(const struct weft_cloudjson *docs, struct weft_findings *findings);

#endif
