/* SPDX-License-Identifier: BSD-2-Clause */
/* The builder of trees, and the place of all limits.
 *
 * What an alias stands for is not copied: the alias is a node of its own that shares the members. So the
 * classical bomb of nested aliases costs no memory here, but whoever walks the tree would walk for ever. Each node
 * therefore knows its weight, all nodes in it, and a document whose weight passes the limit is refused where the
 * alias stands that was too much. For the same reason a node knows its height. An alias to what is still open
 * would be a loop, and is refused as well.
 *
 * Keys are compared when a map closes, by sorting: hostile maps are large. */
#include "advice/doc/build.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_SIZE (256u << 10)

struct weft_build_chunk {
	struct weft_build_chunk *next; /* owns */
	size_t used, size;
	_Alignas(16) char bytes[];
};

void weft_build_init(struct weft_build *b, const struct weft_doc_sink *sink, bool merges)
{
	b->sink = sink;
	b->chunk = NULL;
	b->root = NULL;
	b->depth = b->nodes = b->anchors = b->merged = b->order_cap = 0;
	b->order = NULL;
	b->merges = merges;
}

/* All but one chunk: the next document will want it. */
static void forget(struct weft_build *b, bool all)
{
	struct weft_build_chunk *keep = NULL, *next;

	for (struct weft_build_chunk *c = b->chunk; c; c = next) {
		next = c->next;
		if (!all && !keep && c->size == CHUNK_SIZE) {
			keep = c;
			keep->used = 0;
			keep->next = NULL;
		} else {
			free(c);
		}
	}
	b->chunk = keep;
	b->root = NULL;
	b->depth = b->nodes = b->anchors = b->merged = 0;
}

void weft_build_fini(struct weft_build *b)
{
	forget(b, true);
	free(b->order);
	b->order = NULL;
}

bool weft_build_problem(struct weft_build *b, enum weft_doc_problem what, uint32_t at,
			const char *why, ...)
{
	char text[256];
	va_list args;

	va_start(args, why);
	vsnprintf(text, sizeof(text), why, args);
	va_end(args);
	b->sink->problem(b->sink->ctx, what, at, text);
	return false;
}

static void *allocate(struct weft_build *b, size_t size)
{
	struct weft_build_chunk *c = b->chunk;
	void *place;

	size = (size + 15) & ~(size_t)15;
	if (!c || c->size - c->used < size) {
		size_t room = WEFT_MAX(size, CHUNK_SIZE);

		c = malloc(sizeof(*c) + room);
		if (!c)
			return NULL;
		c->used = 0;
		c->size = room;
		/* One that is full with a long text does not push out the one that is being filled. */
		if (room > CHUNK_SIZE && b->chunk) {
			c->next = b->chunk->next;
			b->chunk->next = c;
		} else {
			c->next = b->chunk;
			b->chunk = c;
		}
	}
	place = c->bytes + c->used;
	c->used += size;
	return place;
}

static bool no_memory(struct weft_build *b, uint32_t at)
{
	return weft_build_problem(b, WEFT_DOC_LIMIT, at, "out of memory");
}

static char *copy(struct weft_build *b, const char *text, size_t len)
{
	char *place = allocate(b, len + 1);

	if (place) {
		memcpy(place, text, len);
		place[len] = '\0';
	}
	return place;
}

static struct weft_doc_node *new_node(struct weft_build *b, enum weft_doc_kind kind, uint32_t at)
{
	struct weft_doc_node *n;

	if (b->nodes >= WEFT_DOC_NODES_MAX) {
		weft_build_problem(b, WEFT_DOC_LIMIT, at,
				   "more than %u values in one document: split it",
				   WEFT_DOC_NODES_MAX);
		return NULL;
	}
	n = allocate(b, sizeof(*n));
	if (!n) {
		no_memory(b, at);
		return NULL;
	}
	b->nodes++;
	*n = (struct weft_doc_node){ .text = "", .at = at, .end = at, .weight = 1 };
	n->kind = (uint8_t)kind;
	return n;
}

static bool keep_anchor(struct weft_build *b, const char *name, const struct weft_doc_node *n)
{
	if (!name)
		return true;
	if (b->anchors == WEFT_DOC_ANCHORS_MAX)
		return weft_build_problem(b, WEFT_DOC_LIMIT, n->at,
					  "more than %u anchors in one document",
					  WEFT_DOC_ANCHORS_MAX);
	name = copy(b, name, strlen(name));
	if (!name)
		return no_memory(b, n->at);
	b->anchor[b->anchors++] = (struct weft_build_anchor){ name, n };
	return true;
}

bool weft_build_wants_key(const struct weft_build *b)
{
	const struct weft_build_frame *f = b->depth ? &b->frame[b->depth - 1] : NULL;

	return f && f->node->kind == WEFT_DOC_MAP && !f->key;
}

/* Where n belongs: key or value of the open map, element of the open list, or the root. */
static bool put(struct weft_build *b, struct weft_doc_node *n)
{
	struct weft_build_frame *f = b->depth ? &b->frame[b->depth - 1] : NULL;

	if (!f) {
		b->root = n;
		return true;
	}
	if (f->node->kind == WEFT_DOC_MAP && !f->key) {
		f->key = n;
		return true;
	}
	n->key = f->key;
	f->key = NULL;
	if (f->last)
		f->last->next = n;
	else
		f->node->child = n;
	f->last = n;
	return true;
}

/* What has become of the last member goes into the sums of the one that holds it. */
static bool count(struct weft_build *b, const struct weft_doc_node *n)
{
	struct weft_doc_node *in;

	if (!b->depth)
		return true;
	in = b->frame[b->depth - 1].node;
	if (n->weight > WEFT_DOC_NODES_MAX - in->weight)
		return weft_build_problem(b, WEFT_DOC_LIMIT, n->at,
					  "aliases stand for more than %u values",
					  WEFT_DOC_NODES_MAX);
	in->weight += n->weight;
	in->widest = WEFT_MAX(in->widest, n->widest);
	if (n->height + 1 > in->height)
		in->height = (uint8_t)(n->height + 1);
	return true;
}

static bool is_too_deep(struct weft_build *b, uint32_t height, uint32_t at)
{
	if (b->depth + height < WEFT_DOC_DEPTH_MAX)
		return false;
	weft_build_problem(b, WEFT_DOC_LIMIT, at, "nested more than %u deep", WEFT_DOC_DEPTH_MAX);
	return true;
}

bool weft_build_open(struct weft_build *b, enum weft_doc_kind kind, uint32_t at, uint8_t flags,
		     const char *anchor)
{
	struct weft_doc_node *n;

	if (is_too_deep(b, 0, at))
		return false;
	n = new_node(b, kind, at);
	if (!n || !keep_anchor(b, anchor, n) || !put(b, n))
		return false;
	n->flags = flags;
	b->frame[b->depth++] = (struct weft_build_frame){ n, NULL, NULL };
	return true;
}

bool weft_build_scalar(struct weft_build *b, const char *text, size_t len, uint32_t at,
		       uint32_t end, uint8_t flags, const char *anchor)
{
	struct weft_doc_node *n = new_node(b, WEFT_DOC_SCALAR, at);

	if (!n)
		return false;
	n->text = copy(b, text, len);
	if (!n->text)
		return no_memory(b, at);
	n->len = (uint32_t)len;
	/* An alias may repeat a long text as well as many values. */
	n->weight += n->len / 64;
	n->end = end;
	n->flags = flags;
	return keep_anchor(b, anchor, n) && put(b, n) && count(b, n);
}

bool weft_build_alias(struct weft_build *b, const char *anchor, uint32_t at, uint32_t end)
{
	const struct weft_doc_node *to = NULL;
	struct weft_doc_node *n;

	for (uint32_t i = b->anchors; i-- > 0 && !to;)
		if (!strcmp(b->anchor[i].name, anchor))
			to = b->anchor[i].node;
	if (!to)
		return weft_build_problem(b, WEFT_DOC_SYNTAX, at,
					  "no anchor &%.64s before this alias", anchor);
	for (uint32_t i = 0; i < b->depth; i++)
		if (b->frame[i].node == to)
			return weft_build_problem(
				b, WEFT_DOC_LIMIT, at,
				"the alias *%.64s stands inside of its own anchor", anchor);
	if (is_too_deep(b, to->height, at))
		return false;
	n = new_node(b, (enum weft_doc_kind)to->kind, at);
	if (!n)
		return false;
	n->child = to->child;
	n->text = to->text;
	n->len = to->len;
	n->weight = to->weight;
	n->height = to->height;
	n->widest = to->widest;
	n->flags = to->flags & (uint8_t)~WEFT_DOC_LITERAL;
	n->end = end;
	return put(b, n) && count(b, n);
}

static const struct weft_doc_node **order_of(struct weft_build *b, uint32_t size)
{
	const struct weft_doc_node **grown;

	if (size > b->order_cap) {
		grown = realloc(b->order, size * sizeof(void *));
		if (!grown)
			return NULL;
		b->order = grown;
		b->order_cap = size;
	}
	return b->order;
}

static bool is_merge(const struct weft_doc_node *n)
{
	return n->key && n->key->kind == WEFT_DOC_SCALAR && !n->key->flags && n->key->len == 2 &&
	       !memcmp(n->key->text, "<<", 2);
}

/* By key, and equal ones in the order in which they stand in the file. */
static int compare(const void *a, const void *b)
{
	const struct weft_doc_node *x = *(const struct weft_doc_node *const *)a;
	const struct weft_doc_node *y = *(const struct weft_doc_node *const *)b;
	uint32_t len = WEFT_MIN(x->key->len, y->key->len);
	int c = memcmp(x->key->text, y->key->text, len);

	if (c)
		return c;
	if (x->key->len != y->key->len)
		return x->key->len < y->key->len ? -1 : 1;
	return x->key->at < y->key->at ? -1 : x->key->at > y->key->at;
}

static bool has_same_key(const struct weft_doc_node *x, const struct weft_doc_node *y)
{
	return x->key->len == y->key->len && !memcmp(x->key->text, y->key->text, x->key->len);
}

static bool is_comparable(const struct weft_doc_node *n)
{
	return n->key && n->key->kind == WEFT_DOC_SCALAR && !(n->key->flags & WEFT_DOC_BLOCK) &&
	       !(n->key->flags & WEFT_DOC_EXPR);
}

/* All comparable members of a map, sorted by key; the number goes to *count_out. */
static const struct weft_doc_node **sorted(struct weft_build *b, const struct weft_doc_node *map,
					   uint32_t *count_out)
{
	const struct weft_doc_node **order = order_of(b, weft_doc_count(map) + 1);
	uint32_t n = 0;

	if (!order)
		return NULL;
	for (const struct weft_doc_node *m = map->child; m; m = m->next)
		if (is_comparable(m))
			order[n++] = m;
	qsort(order, n, sizeof(void *), compare);
	*count_out = n;
	return order;
}

static bool report_duplicates(struct weft_build *b, const struct weft_doc_node *map)
{
	const struct weft_doc_node **order;
	uint32_t n, reported = 0;

	order = sorted(b, map, &n);
	if (!order)
		return no_memory(b, map->at);
	for (uint32_t i = 1; i < n && reported < 100; i++)
		if (has_same_key(order[i - 1], order[i])) {
			weft_build_problem(b, WEFT_DOC_DUPLICATE, order[i]->key->at, "%.100s",
					   order[i]->key->text);
			reported++;
		}
	return true;
}

/* Is the key of n one of the first `count` of `order`, which are sorted? */
static bool is_taken(const struct weft_doc_node *const *order, uint32_t count,
		     const struct weft_doc_node *n)
{
	uint32_t low = 0, high = count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct weft_doc_node *m = order[middle];
		uint32_t len = WEFT_MIN(m->key->len, n->key->len);
		int c = memcmp(m->key->text, n->key->text, len);

		if (!c && m->key->len == n->key->len)
			return true;
		if (c < 0 || (!c && m->key->len < n->key->len))
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

/* Members of `from` whose keys `into` has not yet, each as a node of its own behind those that are there. */
static bool merge(struct weft_build *b, struct weft_build_frame *into,
		  const struct weft_doc_node *from)
{
	const struct weft_doc_node *const *order;
	struct weft_doc_node *map = into->node, *copied;
	uint32_t n;

	order = sorted(b, map, &n);
	if (!order)
		return no_memory(b, map->at);
	/* Each of a list of maps sorts anew, and aliases make the list long for nothing. */
	if (n > WEFT_DOC_MERGES_MAX - b->merged)
		return weft_build_problem(b, WEFT_DOC_LIMIT, from->at,
					  "too many maps are merged into one of %u members", n);
	b->merged += n;
	for (const struct weft_doc_node *m = from->child; m; m = m->next) {
		if (!is_comparable(m) || is_taken(order, n, m))
			continue;
		copied = new_node(b, (enum weft_doc_kind)m->kind, m->at);
		if (!copied)
			return false;
		*copied = *m;
		copied->next = NULL;
		copied->flags |= WEFT_DOC_MERGED;
		if (into->last)
			into->last->next = copied;
		else
			map->child = copied;
		into->last = copied;
		if (!count(b, copied))
			return false;
	}
	return true;
}

/* Takes the merge keys out of the map that is open. What the last one stands for; NULL: there was none. */
static const struct weft_doc_node *take_merge(struct weft_build_frame *f)
{
	const struct weft_doc_node *value = NULL, *member = f->node->child, *next;

	f->node->child = NULL;
	f->last = NULL;
	for (; member; member = next) {
		struct weft_doc_node *mine =
			(struct weft_doc_node *)member; /* The builder made it. */

		next = member->next;
		if (is_merge(member)) {
			value = member;
			continue;
		}
		mine->next = NULL;
		if (f->last)
			f->last->next = mine;
		else
			f->node->child = mine;
		f->last = mine;
	}
	return value;
}

static bool not_a_map(struct weft_build *b, const struct weft_doc_node *n)
{
	return weft_build_problem(b, WEFT_DOC_SYNTAX, n->at, "only maps can be merged with <<");
}

static bool apply_merge(struct weft_build *b, struct weft_build_frame *f,
			const struct weft_doc_node *value)
{
	if (value->kind == WEFT_DOC_SCALAR)
		return not_a_map(b, value);
	if (value->kind == WEFT_DOC_MAP)
		return merge(b, f, value);
	for (const struct weft_doc_node *m = value->child; m; m = m->next)
		if (m->kind != WEFT_DOC_MAP ? !not_a_map(b, m) : !merge(b, f, m))
			return false;
	return true;
}

bool weft_build_close(struct weft_build *b, uint32_t end)
{
	struct weft_build_frame *f = &b->frame[b->depth - 1];
	const struct weft_doc_node *value;
	struct weft_doc_node *n = f->node;

	n->end = end;
	if (n->kind == WEFT_DOC_MAP) {
		if (!report_duplicates(b, n))
			return false;
		/* What is merged is counted into this one, so it has to be open still. */
		value = b->merges ? take_merge(f) : NULL;
		if (value && !apply_merge(b, f, value))
			return false;
		n->widest = WEFT_MAX(n->widest, weft_doc_count(n));
	}
	b->depth--;
	return count(b, n);
}

void weft_build_finish(struct weft_build *b)
{
	if (b->root)
		b->sink->document(b->sink->ctx, b->root);
	forget(b, false);
}
