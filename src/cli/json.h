/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_CLI_JSON_H
#define WEFT_CLI_JSON_H

#include "base/json.h"

/* A JSON string on stdout. */
static inline void weft_json_string(const char *s)
{
	weft_json_put(stdout, s);
}

#endif
