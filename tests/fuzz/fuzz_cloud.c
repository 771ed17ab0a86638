/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes as what aws and kubectl print. */
#include "advice/cloudjson.h"
#include "advice/jsonfile.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct weft_cloudjson docs = { .file = { "input" }, .count = 1 };
	struct weft_findings findings;
	char why[200];

	docs.root[0] = weft_jsonfile_parse((const char *)data, len, why, sizeof(why));
	if (!docs.root[0])
		return 0;
	weft_findings_init(&findings);
	weft_aws_check(&docs, &findings);
	weft_k8s_check(&docs, &findings);
	weft_findings_fini(&findings);
	json_decref(docs.root[0]);
	return 0;
}
