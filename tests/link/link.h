/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_TESTS_LINK_LINK_H
#define WEFT_TESTS_LINK_LINK_H

/* cmocka with what it wants included before it; and the cases of each file, a row without a name at the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "duo.h"

extern const struct duo_case link_chan_cases[];
extern const struct duo_case link_fault_cases[];
extern const struct duo_case link_haul_cases[];
extern const struct duo_case link_keys_cases[];
extern const struct duo_case link_kill_cases[];
extern const struct duo_case link_many_cases[];
extern const struct duo_case link_ops_cases[];
extern const struct duo_case link_queue_cases[];
extern const struct duo_case link_status_cases[];

#endif
