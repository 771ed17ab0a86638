/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_KUBE_KMETRICS_H
#define WEFT_KUBE_KMETRICS_H

/* What the plugins of this process have done, in the text formats of Prometheus. */
#include "kube/plugin.h"

#include <stdio.h>

void weft_kube_metrics(FILE *to, const struct weft_plugin *const *plugins, uint32_t count,
		       bool openmetrics);

#endif
