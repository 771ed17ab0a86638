/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_VERBS_SYSFS_H
#define WEFT_VERBS_SYSFS_H

/* The tree of files that stands in for /sys where programs look at our cards (sysfs.c). */
#include "dev/cardset.h"

/* Choose the tree's place and set SYSFS_PATH; makes nothing yet. Called once, before main(). */
void weft_sysfs_init(void);
/* Remove the tree unless a child of this process still uses it. */
void weft_sysfs_fini(void);

/* The tree's root, shorter than ROOT_MAX; it may not be there. */
#define WEFT_SYSFS_ROOT_MAX 217u

const char *weft_sysfs_root(void);
/* Make the tree if it is not there. 0 or -errno; *why_out is then one line for a person. Callers are serialized,
 * also with the following. */
int weft_sysfs_make(const struct weft_card_info *cards, uint32_t count, const char **why_out);
/* To be called in a forked child, before anything else here. */
void weft_sysfs_after_fork(void);

/* Name of a card's uverbs device; fits into 64 bytes. */
void weft_sysfs_uverbs_name(uint32_t card, char *buf, size_t len);

#endif
