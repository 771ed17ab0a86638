/* SPDX-License-Identifier: BSD-2-Clause */
/* The schemas are text, read anew for each question: a page of names that somebody can compare with the format's
 * documentation is worth more here than a fast look-up. */
#include "advice/lint/schema.h"

#include "base/spell.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *name, *label, *fields;
} types[] = {
#define TYPE(name, label, fields) { #name, label, fields },
#include "advice/lint/schema.inc"
#undef TYPE
};

static const char *const scalars[] = { "int", "bool", "str", "any" };

const char *weft_schema_name(enum weft_type type)
{
	return type < WEFT_TYPE_COUNT ? types[type].name : scalars[type - WEFT_TYPE_COUNT];
}

const char *weft_schema_label(enum weft_type type)
{
	return types[type].label;
}

bool weft_schema_is_open(enum weft_type type)
{
	return types[type].fields[0] == '*';
}

/* The type of that name; false: there is none. */
static bool find_type(const char *name, size_t len, enum weft_type *type_out)
{
	for (uint32_t i = 0; i < WEFT_TYPE_COUNT + WEFT_ARRAY_SIZE(scalars); i++) {
		const char *is = weft_schema_name((enum weft_type)i);

		if (strlen(is) == len && !memcmp(is, name, len)) {
			*type_out = (enum weft_type)i;
			return true;
		}
	}
	return false;
}

struct raw_field {
	const char *name, *value; /* value: what stands behind the name, from ':', '[' or '{' on. */
	size_t len, value_len;
};

/* Reads the field at *p and moves it on. False: past the last. */
static bool next_field(const char **p, struct raw_field *f)
{
	size_t whole;

	*p += strspn(*p, "* ");
	if (!**p)
		return false;
	whole = strcspn(*p, " ");
	f->name = *p;
	f->len = strcspn(*p, " :[{");
	f->value = *p + f->len;
	f->value_len = whole - f->len;
	*p += whole;
	return true;
}

static bool read_value(const struct raw_field *f, struct weft_field *field_out)
{
	*field_out = (struct weft_field){ WEFT_TYPE_any, WEFT_FIELD_ONE };
	if (!f->value_len)
		return true;
	field_out->shape = f->value[0] == '['   ? WEFT_FIELD_LIST
			   : f->value[0] == '{' ? WEFT_FIELD_MAP
						: WEFT_FIELD_ONE;
	return find_type(f->value + 1, f->value_len - 1, &field_out->type);
}

bool weft_schema_field(enum weft_type type, const char *name, struct weft_field *field_out,
		       char *suggest_out, size_t size)
{
	const char *p = types[type].fields;
	size_t len = strlen(name), best = SIZE_MAX;
	struct raw_field f;

	while (next_field(&p, &f))
		if (f.len == len && !memcmp(f.name, name, len))
			return read_value(&f, field_out);
	suggest_out[0] = '\0';
	for (p = types[type].fields; next_field(&p, &f);) {
		char word[64];

		snprintf(word, sizeof(word), "%.*s", (int)f.len, f.name);
		if (weft_spell_is_closer(name, word, &best))
			snprintf(suggest_out, size, "%s", word);
	}
	return false;
}

bool weft_schema_check(enum weft_type type, const char **bad_out)
{
	const char *p = types[type].fields;
	struct weft_field field;
	struct raw_field f;

	while (next_field(&p, &f))
		if (!f.len || f.len > 60 || !read_value(&f, &field)) {
			*bad_out = f.name;
			return false;
		}
	return true;
}
