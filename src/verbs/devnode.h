/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_VERBS_DEVNODE_H
#define WEFT_VERBS_DEVNODE_H

/* Make /dev/infiniband/<name> look like a character device to stat() and access() from now on (devnode.c).
 * `name` is borrowed for ever. Callers are serialized. */
#include "dev/cardset.h"

void weft_devnode_add(const char *name);

#endif
