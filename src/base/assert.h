/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_BASE_ASSERT_H
#define WEFT_BASE_ASSERT_H

/* weft_assert() catches mistakes of the programmer and stays on in release builds. Bytes from the
 * wire and arguments from an application are never asserted on: they are checked and refused.
 * weft_dassert() is for checks too costly for release; it is on in debug builds only. */
_Noreturn void weft_assert_fail(const char *expr, const char *file, int line);

#define weft_assert(expr) ((expr) ? (void)0 : weft_assert_fail(#expr, __FILE__, __LINE__))

#ifdef WEFT_DEBUG
#define weft_dassert(expr) weft_assert(expr)
#else
#define weft_dassert(expr) ((void)sizeof(expr))
#endif

#endif
