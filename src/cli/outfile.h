/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_CLI_OUTFILE_H
#define WEFT_CLI_OUTFILE_H

/* Files for results: what stands under the name is the old file or the whole new one, never a part of it. */
#include "base/types.h"

#include <sys/types.h>

/* `mode` as for open(): 0666 or 0777, less the umask. What is there and is no regular file is left alone. False:
 * weft_outfile_error() says why. */
bool weft_outfile_write(const char *path, mode_t mode, const char *data, size_t len);
const char *weft_outfile_error(void);

#endif
