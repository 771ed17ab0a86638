/* SPDX-License-Identifier: BSD-2-Clause */
/* Written beside its place, flushed to the disk, and then renamed: after a crash or on a full disk there is no half
 * file that looks like a whole one. The mode of a file that is replaced is kept. */
#define _GNU_SOURCE
#include "cli/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOT_REGULAR ESPIPE /* Nothing else here means it. */

const char *weft_outfile_error(void)
{
	return errno == NOT_REGULAR ? "it is no regular file" : strerror(errno);
}

static bool write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		data += n;
		len -= (size_t)n;
	}
	return fsync(fd) == 0;
}

bool weft_outfile_write(const char *path, mode_t mode, const char *data, size_t len)
{
	char beside[PATH_MAX], target[PATH_MAX];
	mode_t mask = umask(0);
	struct stat st;
	bool ok;
	int fd, err;

	umask(mask);
	mode &= ~mask;
	/* Through a link: it is the file behind that is meant. */
	if (realpath(path, target))
		path = target;
	if (!stat(path, &st)) {
		if (!S_ISREG(st.st_mode)) {
			errno = S_ISDIR(st.st_mode) ? EISDIR : NOT_REGULAR;
			return false;
		}
		mode = st.st_mode & 07777;
	}
	if (snprintf(beside, sizeof(beside), "%s.XXXXXX", path) >= (int)sizeof(beside)) {
		errno = ENAMETOOLONG;
		return false;
	}
	fd = mkstemp(beside);
	if (fd < 0)
		return false;
	ok = !fchmod(fd, mode) && write_all(fd, data, len);
	err = errno;
	if (close(fd) && ok) {
		err = errno;
		ok = false;
	}
	if (ok && rename(beside, path)) {
		err = errno;
		ok = false;
	}
	if (!ok)
		unlink(beside);
	errno = err;
	return ok;
}
