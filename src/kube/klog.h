/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_KUBE_KLOG_H
#define WEFT_KUBE_KLOG_H

/* A line on stderr for each thing that happens: time, level, what, and names with values; key=value or JSON. */
#include "base/types.h"

enum weft_klog_level {
	WEFT_KLOG_INFO,
	WEFT_KLOG_WARN,
	WEFT_KLOG_ERROR,
};

/* From now on JSON; or to another descriptor, -1 being nowhere. */
void weft_klog_json(void);
void weft_klog_to(int fd);

/* What happened, then a name, a value, a name, a value, ... A value that is NULL leaves its name out. */
#define weft_klog(level, ...) weft_klog_put(level, (const char *const[]){ __VA_ARGS__, NULL })
void weft_klog_put(enum weft_klog_level level, const char *const *words);

#endif
