/* SPDX-License-Identifier: BSD-2-Clause */
/* Questions to a tree. All of them take NULL, and nodes of any kind, and answer "no" to what makes no sense: what
 * is asked about was written by somebody who may not know the format either. */
#include "advice/doc/doc.h"

#include <string.h>
#include <strings.h>

static bool has_key(const struct weft_doc_node *node, const char *key, size_t len)
{
	return node->key && node->key->kind == WEFT_DOC_SCALAR && node->key->len == len &&
	       !memcmp(node->key->text, key, len);
}

static const struct weft_doc_node *get(const struct weft_doc_node *map, const char *key, size_t len)
{
	const struct weft_doc_node *found = NULL;

	if (!map || map->kind != WEFT_DOC_MAP)
		return NULL;
	for (const struct weft_doc_node *n = map->child; n; n = n->next)
		if (has_key(n, key, len))
			found = n;
	return found;
}

const struct weft_doc_node *weft_doc_get(const struct weft_doc_node *map, const char *key)
{
	return get(map, key, strlen(key));
}

const struct weft_doc_node *weft_doc_path(const struct weft_doc_node *map, const char *path)
{
	while (map) {
		size_t len = strcspn(path, "/");

		map = get(map, path, len);
		if (!path[len])
			break;
		path += len + 1;
	}
	return map;
}

const char *weft_doc_text(const struct weft_doc_node *node)
{
	if (!node || node->kind != WEFT_DOC_SCALAR || node->flags & WEFT_DOC_EXPR ||
	    strlen(node->text) != node->len)
		return NULL;
	return node->text;
}

bool weft_doc_is(const struct weft_doc_node *node, const char *text)
{
	const char *is = weft_doc_text(node);

	return is && !strcmp(is, text);
}

bool weft_doc_number(const struct weft_doc_node *node, uint64_t *value_out)
{
	const char *s = weft_doc_text(node);
	uint64_t value = 0;

	if (!s || !*s || strlen(s) > 18)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		value = value * 10 + (uint64_t)(*s - '0');
	}
	*value_out = value;
	return true;
}

/* YAML 1.1, which is what Kubernetes and its relatives read, has all of these. */
static bool is_one_of(const struct weft_doc_node *node, const char *const *words)
{
	const char *s = weft_doc_text(node);

	for (; s && *words; words++)
		if (!strcasecmp(s, *words))
			return true;
	return false;
}

bool weft_doc_is_true(const struct weft_doc_node *node)
{
	static const char *const words[] = { "true", "yes", "on", "y", NULL };

	return is_one_of(node, words);
}

bool weft_doc_is_false(const struct weft_doc_node *node)
{
	static const char *const words[] = { "false", "no", "off", "n", NULL };

	return is_one_of(node, words);
}

uint32_t weft_doc_count(const struct weft_doc_node *node)
{
	uint32_t count = 0;

	for (const struct weft_doc_node *n = node ? node->child : NULL; n; n = n->next)
		count++;
	return count;
}
