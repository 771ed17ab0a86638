/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes as a job script, and as an environment. Every variable that comes out has a place in the text, and is judged. */
#include "advice/envfile.h"

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct weft_env_context nothing;
	struct weft_findings findings;
	struct weft_envfile e;
	uint32_t lines = 1;
	char *bytes = malloc(len + 1);

	if (!bytes)
		abort();
	memcpy(bytes, data, len);
	bytes[len] = '\0';
	for (size_t i = 0; i < len; i++)
		lines += bytes[i] == '\n';
	weft_envfile_init(&e);
	weft_envfile_scan(&e, "script", bytes, len);
	for (size_t i = 0; i < e.count; i++)
		if (!e.var[i].place.line || e.var[i].place.line > lines)
			abort();
	weft_envfile_block(&e, "environment", bytes, len);
	weft_findings_init(&findings);
	weft_env_check(e.var, e.count, &nothing, &findings);
	weft_findings_fini(&findings);
	weft_envfile_fini(&e);
	free(bytes);
	return 0;
}
