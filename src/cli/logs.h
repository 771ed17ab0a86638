/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_CLI_LOGS_H
#define WEFT_CLI_LOGS_H

/* What `weft logs` prints. */
#include "advice/logs_report.h"

void weft_logs_print(const struct weft_logs *logs, const struct weft_logs_report *report);
void weft_logs_print_json(const struct weft_logs *logs, const struct weft_logs_report *report);

/* A line for something that was just seen for the first time. */
void weft_logs_print_event(const struct weft_logs *logs, uint32_t source, uint32_t msg);

#endif
