/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_CLOUD_PLAN_H
#define WEFT_CLOUD_PLAN_H

/* What follows from an instance type for those who run jobs on it. */
#include "cloud/catalogue.h"

/* Huge pages of 2 MiB that a pod asks for, in MiB: WEFT_PLAN_HUGEPAGES_MIB, or all of a node that has less. Unknown
 * where the node's are. */
#define WEFT_PLAN_HUGEPAGES_MIB 5120u
struct weft_fact weft_plan_hugepages_mib(const struct weft_instance *it);

/* Memory in MiB that a pod which takes the whole node asks for: nine tenths of what huge pages leave, because the
 * system and kubelet need some. */
struct weft_fact weft_plan_memory_mib(const struct weft_instance *it);

/* What all cards of a node carry at line rate, in GB/s; 0: unknown. */
double weft_plan_gbytes(const struct weft_instance *it);

/* What a ring of NCCL reaches at most, by rule of thumb, in GB/s: 12 for each 100 Gb/s. 0: unknown. */
double weft_plan_ring_gbytes(const struct weft_instance *it);

/* One sentence about each limit of the type; NULL past the last. */
const char *weft_plan_limit(const struct weft_instance *it, uint32_t index);

#endif
