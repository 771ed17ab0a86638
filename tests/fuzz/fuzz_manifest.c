/* SPDX-License-Identifier: BSD-2-Clause */
/* Manifests with values of any bytes: kind, instance type and nodes, and then assignments, each up to the next byte 1.
 *
 * A value that is taken holds nothing that means something to YAML, JSON, HCL or a shell. So a manifest has the same
 * lines and the same quotes whatever the values are: as many as with the examples that the keys are shown with. */
#define _GNU_SOURCE
#include "fuzz.h"

#include "cloud/manifest.h"
#include "cloud/manifest_key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEPARATOR 1

struct shape {
	size_t lines, quotes;
};

static void check_reason(const char *why, size_t size)
{
	size_t len = strnlen(why, size);

	FUZZ_CHECK(len && len < size, "no reason");
	for (size_t i = 0; i < len; i++)
		FUZZ_CHECK((unsigned char)why[i] >= 0x20 && why[i] != 0x7f,
			   "a reason that is not printable");
}

/* False: refused. */
static bool make(const struct weft_manifest *m, struct shape *shape_out)
{
	char why[1024], *data = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&data, &len);
	bool ok;

	FUZZ_CHECK(out, "no memory");
	ok = weft_manifest_write(m, out, why, sizeof(why));
	fclose(out);
	if (!ok) {
		check_reason(why, sizeof(why));
		FUZZ_CHECK(!len, "refused, and a part written");
	} else {
		FUZZ_CHECK(len && data[len - 1] == '\n', "no whole lines");
		memset(shape_out, 0, sizeof(*shape_out));
		for (size_t i = 0; i < len; i++) {
			unsigned char c = (unsigned char)data[i];

			FUZZ_CHECK((c >= 0x20 && c < 0x7f) || c == '\n' || c == '\t',
				   "byte 0x%x in a manifest", c);
			shape_out->lines += c == '\n';
			shape_out->quotes +=
				c == '"' || c == '\'' || c == '`' || c == '$' || c == '\\';
		}
	}
	free(data);
	return ok;
}

/* The same keys with the values of their examples. */
static void set_examples(const struct weft_manifest *m, struct weft_manifest *like)
{
	struct weft_manifest_key key;
	char text[WEFT_MANIFEST_VALUE_MAX + 64], why[512];

	*like = *m;
	for (uint32_t i = 0; weft_manifest_key_at(m->kind, i, &key); i++) {
		if (!m->said[weft_manifest_key_row(key.name)][0])
			continue;
		snprintf(text, sizeof(text), "%s=%s", key.name, key.example);
		FUZZ_CHECK(weft_manifest_set(like, text, why, sizeof(why)), "%s: %s", text, why);
	}
}

static void set_one(struct weft_manifest *m, struct fuzz_in *in)
{
	char text[600], why[512];
	size_t len = 0;
	uint8_t c;

	while (fuzz_left(in) && (c = fuzz_u8(in)) != SEPARATOR)
		if (c && len + 1 < sizeof(text))
			text[len++] = (char)c;
	text[len] = 0;
	if (!weft_manifest_set(m, text, why, sizeof(why))) {
		check_reason(why, sizeof(why));
		return;
	}
	for (const char *s = strchr(text, '=') + 1; *s; s++)
		FUZZ_CHECK(*s >= 0x20 && *s < 0x7f && !strchr("\"'`$\\;&|<>(){}[]*?~!#", *s),
			   "taken: %s", text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, data + size };
	static struct weft_manifest m, like;
	struct shape shape, like_shape;
	uint32_t kinds = 0;

	while (weft_manifest_kind_at(kinds))
		kinds++;
	memset(&m, 0, sizeof(m));
	m.kind = weft_manifest_kind_at(fuzz_u8(&in) % kinds);
	m.instance = weft_catalogue_at(fuzz_u16(&in) % 307); /* One past the last: none. */
	m.nodes = fuzz_u8(&in) * 100 % (WEFT_MANIFEST_NODES_MAX + 1);
	while (fuzz_left(&in))
		set_one(&m, &in);
	if (!make(&m, &shape))
		return 0;
	set_examples(&m, &like);
	/* Zones may be the same now, sizes too large, an installer too old. */
	if (!make(&like, &like_shape) || !strcmp(m.kind->name, "dockerfile"))
		return 0;
	FUZZ_CHECK(shape.lines == like_shape.lines && shape.quotes == like_shape.quotes,
		   "%s: %zu lines and %zu quotes, not %zu and %zu", m.kind->name, shape.lines,
		   shape.quotes, like_shape.lines, like_shape.quotes);
	return 0;
}
