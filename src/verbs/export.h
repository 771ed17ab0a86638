/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_VERBS_EXPORT_H
#define WEFT_VERBS_EXPORT_H

/* A symbol that programs may bind to. It carries no version on purpose: an unversioned definition in a preloaded
 * object satisfies every versioned reference, one with the wrong version node is ignored silently. */
#define WEFT_EXPORT __attribute__((visibility("default")))

#endif
