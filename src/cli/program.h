/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_CLI_PROGRAM_H
#define WEFT_CLI_PROGRAM_H

/* Programs as exec will see them: where they are, and whether the loader preloads a library into them. */
#include "base/types.h"

#define WEFT_PROGRAM_PATH_MAX 4096u

/* The file that `name` runs, looked up in $PATH if it has no slash. False: `why` (len bytes) says why not. */
bool weft_program_find(const char *name, char path_out[WEFT_PROGRAM_PATH_MAX], char *why,
		       size_t len);

/* Would a library of our own kind be preloaded into it? False: `why` says why not. A file that may be run but not
 * read is given the benefit of the doubt. */
bool weft_program_can_preload(const char *path, char *why, size_t len);

/* A file of weft's own: beside this program in a build folder, below its prefix when installed. False: said on stderr. */
bool weft_program_beside(const char *cmd, const char *name, char *path, size_t len);

#define WEFT_PROGRAM_PRELOAD "libweft-preload.so"

/* The same for a library that is to be preloaded. */
bool weft_program_library(const char *cmd, const char *name, char *path, size_t len);

/* Is `path` an ELF shared object of our own kind? */
bool weft_program_is_library(const char *path);

#endif
