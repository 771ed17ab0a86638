/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_BASE_JSON_H
#define WEFT_BASE_JSON_H

#include <stdio.h>

/* A JSON string, with its quotes. Bytes that are not UTF-8 become U+FFFD: names of processes and values of
 * variables may hold anything, JSON may not. NULL becomes null. */
void weft_json_put(FILE *to, const char *s);

#endif
