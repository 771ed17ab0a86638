/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_CLOUD_MANIFEST_KEY_H
#define WEFT_CLOUD_MANIFEST_KEY_H

/* The keys of `weft manifest --set`, and what their values may look like. Internal to the manifests. */
#include "base/types.h"

struct weft_manifest_key_rule {
	const char *name;
	const char *what;
	const char *example;
	bool (*is_valid)(const char *value);
	const char *form; /* What a value has to be, for the complaint. */
};

/* NULL: no such key. */
const struct weft_manifest_key_rule *weft_manifest_key_rule(const char *name);

/* Its row in the table; the key has to exist. */
uint32_t weft_manifest_key_row(const char *name);

const char *weft_manifest_key_name(uint32_t row);

#endif
