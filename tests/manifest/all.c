/* SPDX-License-Identifier: BSD-2-Clause */
/* all [KIND TYPE]: every kind of manifest for every instance type, or only this one, on stdout, for judges that are started
 * once. Twice each: with no more said than is asked for, and with everything that can be. A record is a line of
 *     kind TAB instance TAB least|most TAB made|refused TAB length
 * and so many bytes of manifest or reason. */
#include "cloud/manifest.h"
#include "cloud/manifest_key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES 4

static void set(struct weft_manifest *m, const char *assignment)
{
	char why[512];

	if (weft_manifest_set(m, assignment, why, sizeof(why)))
		return;
	fprintf(stderr, "all: %s\n", why);
	exit(2);
}

/* Of one kind. */
static struct weft_manifest_key keys[WEFT_MANIFEST_KEYS_MAX];
static uint32_t key_count;

static void set_all(struct weft_manifest *m)
{
	char assignment[WEFT_MANIFEST_VALUE_MAX + 64];

	for (uint32_t i = 0; i < key_count; i++) {
		snprintf(assignment, sizeof(assignment), "%s=%s", keys[i].name, keys[i].example);
		set(m, assignment);
	}
}

/* "please say --set zone=us-west-2a, --set ...": does just that. */
static bool set_what_is_asked(struct weft_manifest *m, char *why)
{
	char *asked = strstr(why, "--set ");
	bool any = false;

	for (; asked; asked = strstr(asked, "--set ")) {
		char *assignment = asked + 6;

		asked = assignment + strcspn(assignment, ",");
		if (*asked)
			*asked++ = 0;
		set(m, assignment);
		any = true;
	}
	return any;
}

/* "processes means nothing here", "memory=128Gi is not less than ...": not for this type. */
static bool unset_what_does_not_fit(struct weft_manifest *m, const char *why)
{
	const char *rest = strpbrk(why, " =");

	for (uint32_t i = 0; rest && i < key_count; i++) {
		const char *name = keys[i].name;

		if (strlen(name) != (size_t)(rest - why) || strncmp(name, why, strlen(name)) != 0)
			continue;
		m->said[weft_manifest_key_row(name)][0] = 0;
		return true;
	}
	return false;
}

static void make(const struct weft_manifest_kind *kind, const struct weft_instance *it, bool most)
{
	struct weft_manifest *m = calloc(1, sizeof(*m));
	char why[1024], *data = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&data, &len);
	bool ok;

	if (!m || !out)
		exit(2);
	m->kind = kind;
	m->instance = it;
	m->nodes = NODES;
	if (most)
		set_all(m);
	do
		ok = weft_manifest_write(m, out, why, sizeof(why));
	while (!ok && (most ? unset_what_does_not_fit(m, why) : set_what_is_asked(m, why)));
	if (fclose(out))
		exit(2);
	printf("%s\t%s\t%s\t%s\t%zu\n", kind->name, it->name, most ? "most" : "least",
	       ok ? "made" : "refused", ok ? len : strlen(why));
	if (ok)
		fwrite(data, 1, len, stdout);
	else
		fputs(why, stdout);
	free(data);
	free(m);
}

int main(int argc, char **argv)
{
	const struct weft_manifest_kind *kind;
	const struct weft_instance *it;

	for (uint32_t k = 0; (kind = weft_manifest_kind_at(k)); k++) {
		if (argc == 3 && strcmp(argv[1], kind->name) != 0)
			continue;
		for (key_count = 0; weft_manifest_key_at(kind, key_count, &keys[key_count]);
		     key_count++)
			;
		for (uint32_t i = 0; (it = weft_catalogue_at(i)); i++) {
			if (argc == 3 && strcmp(argv[2], it->name) != 0)
				continue;
			make(kind, it, false);
			make(kind, it, true);
		}
	}
	return fflush(stdout) ? 2 : 0;
}
