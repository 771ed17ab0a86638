/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_NODE_CAPTURE_H
#define WEFT_NODE_CAPTURE_H

/* Copies of what is read, for root.c alone. All of it does nothing where nothing is captured. The first error is
 * kept in the root; reading goes on. Paths are real ones. */
#include "base/types.h"

struct weft_root;

/* A new or empty folder, open: a descriptor or -errno (EEXIST: something is in it). */
int weft_capture_folder(const char *path);

void weft_capture_dir(struct weft_root *root, const char *real);
void weft_capture_link(struct weft_root *root, const char *real, const char *target);

/* A file with these bytes, unless there is one with more. */
void weft_capture_bytes(struct weft_root *root, const char *real, const char *bytes, size_t len);

/* That a folder has an entry: a link, a folder or, for anything else, an empty file. */
void weft_capture_entry(struct weft_root *root, const char *dir, const char *name);

/* A file of this size and without contents, to be filled with what is read: a descriptor, or -1. */
int weft_capture_file(struct weft_root *root, const char *real, uint64_t size);

#endif
