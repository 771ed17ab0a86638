/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_TESTS_ABI_FAKE_VERBS_H
#define WEFT_TESTS_ABI_FAKE_VERBS_H

/* A library in the place of the real ones (fake_verbs.c). */
#include "verbs/abi.h"
#include "verbs/efadv_abi.h"

#include <stdio.h>

__attribute__((visibility(
	"default"))) extern char fake_called[64]; /* Name of its function that was called last. */

#endif
