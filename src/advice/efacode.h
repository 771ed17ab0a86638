/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_ADVICE_EFACODE_H
#define WEFT_ADVICE_EFACODE_H

/* What a failed request says of itself: the device's completion status (0 to 18, vendor_err in verbs), and the
 * numbers that libfabric's EFA provider has of its own (4096 to 4127, prov_errno). */
#include "advice/finding.h"

struct weft_efa_code {
	uint32_t code;
	const char *text; /* As libfabric says it. */
	const char *cause; /* What is behind it: a sentence. */
	enum weft_finding_id finding;
};

#define WEFT_EFA_CODES 49 /* Rows of the table. */

const struct weft_efa_code *weft_efa_code_at(uint32_t index);

/* The row of a code, or WEFT_EFA_CODES: there is no such code. */
uint32_t weft_efa_code_index(uint32_t code);

#endif
