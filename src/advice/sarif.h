/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_ADVICE_SARIF_H
#define WEFT_ADVICE_SARIF_H

/* Findings as SARIF 2.1.0, which code hosts show beside the lines that they are about. */
#include "advice/finding.h"

#include <stdio.h>

/* One run of the program, whole. Findings that are ok are left out. */
void weft_sarif_print(FILE *to, const struct weft_findings *f, const char *version);

#endif
