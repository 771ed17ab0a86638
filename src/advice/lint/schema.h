/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_ADVICE_LINT_SCHEMA_H
#define WEFT_ADVICE_LINT_SCHEMA_H

/* What the formats' fields are called and what their values are: schema.inc, which lint walks along. */
#include "advice/doc/doc.h"

enum weft_type {
#define TYPE(name, label, fields) WEFT_TYPE_##name,
#include "advice/lint/schema.inc"
#undef TYPE
	WEFT_TYPE_COUNT,
	/* Scalars, and what nobody looks into. */
	WEFT_TYPE_int = WEFT_TYPE_COUNT,
	WEFT_TYPE_bool,
	WEFT_TYPE_str,
	WEFT_TYPE_any,
};

enum weft_field_shape {
	WEFT_FIELD_ONE, /* The value is of the type, */
	WEFT_FIELD_LIST, /* a list of such, */
	WEFT_FIELD_MAP, /* or a map to such. */
};

struct weft_field {
	enum weft_type type;
	enum weft_field_shape shape;
};

/* The field of that name; false: there is none. Then *suggest_out is one that may have been meant (of `size` bytes;
 * "": none). */
bool weft_schema_field(enum weft_type type, const char *name, struct weft_field *field_out,
		       char *suggest_out, size_t size);

/* May there be fields of other names? */
bool weft_schema_is_open(enum weft_type type);

const char *weft_schema_name(enum weft_type type);

/* What people call it: "a container". */
const char *weft_schema_label(enum weft_type type);

/* Can every field of the table be read? For tests; *bad_out is where one cannot. */
bool weft_schema_check(enum weft_type type, const char **bad_out);

#endif
