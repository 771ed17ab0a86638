/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_CLI_JSON_H
#define WEFT_CLI_JSON_H

/* A JSON string, with its quotes, on stdout. Bytes that are not UTF-8 become U+FFFD: names of processes and
 * values of variables may hold anything, JSON may not. NULL becomes null. */
void weft_json_string(const char *s);

#endif
