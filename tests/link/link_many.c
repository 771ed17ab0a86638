/* SPDX-License-Identifier: BSD-2-Clause */
#include "link.h"
const struct duo_case link_many_cases[] = { { .name = NULL } };
