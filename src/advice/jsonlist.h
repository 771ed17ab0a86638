/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_ADVICE_JSONLIST_H
#define WEFT_ADVICE_JSONLIST_H

/* Objects of Kubernetes out of a stream of JSON, one at a time, so that a list may be of any length: only the largest
 * object has to fit into memory. */
#include "base/types.h"

#include <jansson.h>

/* Bytes of one object, and of what surrounds the items of a list. etcd refuses anything above 1.5 MB. */
#define WEFT_JSONLIST_OBJECT_MAX (8u << 20)

struct weft_jsonlist;

/* An object, borrowed until the function returns. False: no more, for the reason that the caller knows. */
typedef bool (*weft_jsonlist_fn)(void *arg, const json_t *object);

/* NULL: no memory. */
struct weft_jsonlist *weft_jsonlist_create(weft_jsonlist_fn fn, void *arg);
void weft_jsonlist_destroy(struct weft_jsonlist *list);

/* The next bytes, in pieces of any size; and there are no more. Any number of documents may follow each other: objects,
 * lists (anything of a kind ...List with items, also in each other), and bare arrays. False: weft_jsonlist_why() says
 * why; then nothing more is taken. */
bool weft_jsonlist_feed(struct weft_jsonlist *list, const char *bytes, size_t count);
bool weft_jsonlist_end(struct weft_jsonlist *list);
const char *weft_jsonlist_why(const struct weft_jsonlist *list);

#endif
