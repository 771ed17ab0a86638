/* SPDX-License-Identifier: BSD-2-Clause */
#include "cloud/template.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>

/* Values: "text" is "T", "sly" looks like a hole and a directive, "turn" the number of the turn; "dflt" what @default
 * said; "gone", "dark" and "lost" are not there in their three ways. */
struct world {
	char dflt[64], lacking[256], refused[256];
	uint32_t turns;
};

static enum weft_value value(void *arg, const char *name, uint32_t turn,
			     char out[WEFT_TEMPLATE_VALUE_MAX])
{
	struct world *w = arg;

	if (!strcmp(name, "dark"))
		return WEFT_VALUE_UNKNOWN;
	if (!strcmp(name, "lost"))
		return WEFT_VALUE_MISSING;
	if (!strcmp(name, "dflt") && *w->dflt)
		snprintf(out, WEFT_TEMPLATE_VALUE_MAX, "%s", w->dflt);
	else if (!strcmp(name, "text"))
		snprintf(out, WEFT_TEMPLATE_VALUE_MAX, "T");
	else if (!strcmp(name, "sly"))
		snprintf(out, WEFT_TEMPLATE_VALUE_MAX, "@text@\n@if x");
	else if (!strcmp(name, "turn"))
		snprintf(out, WEFT_TEMPLATE_VALUE_MAX, "%u", turn);
	else
		return WEFT_VALUE_NONE;
	return WEFT_VALUE_TEXT;
}

static void set_default(void *arg, const char *name, const char *standard)
{
	struct world *w = arg;

	assert_string_equal(name, "dflt");
	snprintf(w->dflt, sizeof(w->dflt), "%s", standard);
}

static enum weft_value turns(void *arg, const char *list, uint32_t *turns_out)
{
	const struct world *w = arg;

	if (!strcmp(list, "dark"))
		return WEFT_VALUE_UNKNOWN;
	*turns_out = w->turns;
	return WEFT_VALUE_TEXT;
}

static void lacks(void *arg, enum weft_value why, const char *name)
{
	struct world *w = arg;
	size_t used = strlen(w->lacking);

	snprintf(w->lacking + used, sizeof(w->lacking) - used, "%s%d ", name, why);
}

static void refuse(void *arg, const char *text)
{
	struct world *w = arg;

	snprintf(w->refused, sizeof(w->refused), "%s", text);
}

static const struct weft_template_ops ops = { value, set_default, turns, lacks, refuse };

static void expect(struct world *w, const char *text, const char *expected)
{
	char *data = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&data, &len);

	weft_template_expand(text, &ops, w, out);
	fclose(out);
	assert_string_equal(data, expected);
	free(data);
}

static void weft_template_expand__holes(void **state)
{
	struct world w = { .turns = 0 };

	(void)state;
	expect(&w, "", "");
	expect(&w, "a@text@b @text@@text@\n", "aTb TT\n");
	expect(&w, "\"$@\" a@b.c x@sha256:1 @ @@ @A@ @text\n",
	       "\"$@\" a@b.c x@sha256:1 @ @@ @A@ @text\n");
	expect(&w, "@sly@\n", "@text@\n@if x\n");
	assert_string_equal(w.lacking, "");
}

static void weft_template_expand__what_lacks(void **state)
{
	struct world w = { .turns = 0 };

	(void)state;
	expect(&w, "@gone@ @dark@ @lost@\n", "  \n");
	assert_string_equal(w.lacking, "gone0 dark2 lost3 ");
	w.lacking[0] = 0;
	/* A condition asks only whether there is one; that nobody knows. */
	expect(&w, "@if gone\n@lost@\n@end\n@if lost\n@gone@\n@end\n@if dark\n@end\n", "");
	assert_string_equal(w.lacking, "dark2 ");
}

static void weft_template_expand__conditions(void **state)
{
	struct world w = { .turns = 0 };

	(void)state;
	expect(&w, "@if text\n1\n@else\n2\n@end\n3\n", "1\n3\n");
	expect(&w, "@ifnot text\n1\n@else\n2\n@end\n3\n", "2\n3\n");
	expect(&w, "@if gone\n1\n@if text\n2\n@else\n3\n@end\n@else\n4\n@end\n", "4\n");
	expect(&w, "@if text\n@if gone\n1\n@else\n2\n@end\n3\n@end\n", "2\n3\n");
	expect(&w, " @if text\n@iffy\n", " @if text\n@iffy\n");
}

static void weft_template_expand__each(void **state)
{
	struct world w = { .turns = 3 };

	(void)state;
	expect(&w, "@each list\n@turn@\n@end\nend\n", "0\n1\n2\nend\n");
	w.turns = 0;
	expect(&w, "@each list\n@lost@\n@end\nend\n", "end\n");
	expect(&w, "@if gone\n@each dark\n@turn@\n@end\n@end\n", "");
	assert_string_equal(w.lacking, "");
	expect(&w, "@each dark\n@turn@\n@end\n", "");
	assert_string_equal(w.lacking, "dark2 ");
}

static void weft_template_expand__default_and_refuse(void **state)
{
	struct world w = { .turns = 0 };

	(void)state;
	expect(&w,
	       "@default dflt a b\n@dflt@\n@if gone\n@default dflt c\n@refuse no\n@end\n@dflt@\n",
	       "a b\na b\n");
	assert_string_equal(w.refused, "");
	expect(&w, "@refuse not with @text@\n", "");
	assert_string_equal(w.refused, "not with T");
}

static void see(void *arg, const struct weft_template_name *use)
{
	char *seen = arg;
	size_t used = strlen(seen);

	snprintf(seen + used, 256 - used, "%s%d%s%s ", use->is_conditional ? "?" : "", use->how,
		 use->name, use->value);
}

static void weft_template_each_use__all_of_them(void **state)
{
	char seen[256] = "";

	(void)state;
	weft_template_each_use("@default a b c\n@if x\nu@v@@w@\n@else\n@ifnot y\n@z@\n@end\n@end\n"
			       "@each l\n@u@\n@end\n@t@\n",
			       see, seen);
	assert_string_equal(seen, "2ab c 1x ?0v ?0w ?1y ?0z 0u 0t ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_template_expand__holes),
		cmocka_unit_test(weft_template_expand__what_lacks),
		cmocka_unit_test(weft_template_expand__conditions),
		cmocka_unit_test(weft_template_expand__each),
		cmocka_unit_test(weft_template_expand__default_and_refuse),
		cmocka_unit_test(weft_template_each_use__all_of_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
