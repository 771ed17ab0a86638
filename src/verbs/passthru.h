/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_VERBS_PASSTHRU_H
#define WEFT_VERBS_PASSTHRU_H

/* The way to the functions that we stand in front of. */
#include <stddef.h>

/* The next definition of `name` behind ours, or NULL with errno set to ENOSYS. `cache` remembers it. Nothing is
 * loaded for it: who has an object of a library has the library. */
void *weft_real(void *_Atomic *cache, const char *name);

/* Call the real `fn`; `missing` is the value when there is none. */
#define WEFT_PASS(missing, fn, ...)                                                       \
	({                                                                                \
		static void *_Atomic cache_##fn;                                          \
		__typeof__(&fn) real_##fn = (__typeof__(&fn))weft_real(&cache_##fn, #fn); \
		real_##fn ? real_##fn(__VA_ARGS__) : (missing);                           \
	})

#endif
