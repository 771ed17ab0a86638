/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_KUBE_INSTALL_H
#define WEFT_KUBE_INSTALL_H

#include "base/types.h"

/* Copies the files of one folder into another one, which exists: what pods load, from the plugin's image to the node. Each name
 * has its old file or its whole new one at any time, and who has mapped the old one keeps that. 0, with their number; -ENOENT:
 * there is none; other -errno. `why` (len bytes) is written on failure. */
int weft_kube_install(const char *from, const char *to, uint32_t *count_out, char *why, size_t len);

#endif
