/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_ADVICE_JSONFILE_H
#define WEFT_ADVICE_JSONFILE_H

/* JSON that strangers wrote. What comes out is jansson's; its json_object_get() and json_string_value() take
 * NULL and the wrong type for "not there", so a look into a document needs no checks in between. */
#include "base/types.h"

#include <jansson.h>

/* A document of at most this size; nesting ends at 2048 (jansson's). */
#define WEFT_JSONFILE_MAX (256u << 20)

/* The document in that file, "-" being stdin; the caller json_decref()s it. NULL: why_out (of `len` bytes) says
 * why not, with line and column where it is the text's fault. */
json_t *weft_jsonfile_load(const char *path, char *why_out, size_t len);

/* The same of bytes in memory. What comes of them takes up to WEFT_JSONFILE_MEMORY: a megabyte of "[],[]," would take
 * forty. */
#define WEFT_JSONFILE_MEMORY ((size_t)2 << 30)
json_t *weft_jsonfile_parse(const char *bytes, size_t count, char *why_out, size_t len);
json_t *weft_jsonfile_parse_within(size_t memory, const char *bytes, size_t count, char *why_out,
				   size_t len);

/* What is at "spec/template/spec"; no key in it may contain a slash. NULL: not there. */
json_t *weft_json_at(const json_t *from, const char *path);

/* A loop over an array, or over the keys and values of an object; none where it is something else. */
#define weft_json_each(array, i, item) \
	for ((i) = 0; ((item) = json_array_get(array, i)) != NULL; (i)++)
#define weft_json_each_key(object, key, value)                                                   \
	for (void *iter_ = json_object_iter(object);                                             \
	     ((key) = json_object_iter_key(iter_)) && ((value) = json_object_iter_value(iter_)); \
	     iter_ = json_object_iter_next(object, iter_))

/* The string, or "". */
const char *weft_json_text(const json_t *from, const char *key);

#endif
