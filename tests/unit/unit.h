/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_TESTS_UNIT_H
#define WEFT_TESTS_UNIT_H

/* cmocka's header uses types that it does not include; sorted, its includes would come too late. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
