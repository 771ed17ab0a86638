/* SPDX-License-Identifier: BSD-2-Clause */
/* UCX skips a device unless /dev/infiniband/<dev_name> is a character device that it may read and write. Nobody
 * opens that file, so it is enough to answer stat() and access() for exactly our names: with what holds for
 * /dev/null. Everything else goes to the C library unchanged, by the calls of the *at family, which are not
 * intercepted and need no look-up, because these functions run before anybody's constructors. */
#define _GNU_SOURCE
/* With it the headers would turn stat() into stat64(), and both have to be defined. */
#undef _FILE_OFFSET_BITS
#include "verbs/devnode.h"

#include "verbs/export.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEV_DIR "/dev/infiniband/"

static const char *_Atomic names[WEFT_CARDS_MAX]; /* borrows: for ever. */
static _Atomic uint32_t names_len;

void weft_devnode_add(const char *name)
{
	uint32_t n = names_len;

	if (n == WEFT_CARDS_MAX)
		return;
	names[n] = name;
	names_len = n + 1;
}

static const char *redirect(const char *path)
{
	uint32_t n;

	if (!path || strncmp(path, DEV_DIR, sizeof(DEV_DIR) - 1))
		return path;
	n = names_len;
	for (uint32_t i = 0; i < n; i++)
		if (!strcmp(path + sizeof(DEV_DIR) - 1, names[i]))
			return "/dev/null";
	return path;
}

/* What programs call that were built with an older C library; a newer one declares them no longer. */
int __xstat(int ver, const char *path, struct stat *st);
int __lxstat(int ver, const char *path, struct stat *st);
int __xstat64(int ver, const char *path, struct stat64 *st);
int __lxstat64(int ver, const char *path, struct stat64 *st);

WEFT_EXPORT int stat(const char *restrict path, struct stat *restrict st)
{
	return fstatat(AT_FDCWD, redirect(path), st, 0);
}

WEFT_EXPORT int lstat(const char *restrict path, struct stat *restrict st)
{
	return fstatat(AT_FDCWD, redirect(path), st, AT_SYMLINK_NOFOLLOW);
}

WEFT_EXPORT int stat64(const char *restrict path, struct stat64 *restrict st)
{
	return fstatat64(AT_FDCWD, redirect(path), st, 0);
}

WEFT_EXPORT int lstat64(const char *restrict path, struct stat64 *restrict st)
{
	return fstatat64(AT_FDCWD, redirect(path), st, AT_SYMLINK_NOFOLLOW);
}

WEFT_EXPORT int __xstat(int ver, const char *path, struct stat *st)
{
	(void)ver; /* There is one layout on 64-bit machines. */
	return fstatat(AT_FDCWD, redirect(path), st, 0);
}

WEFT_EXPORT int __lxstat(int ver, const char *path, struct stat *st)
{
	(void)ver;
	return fstatat(AT_FDCWD, redirect(path), st, AT_SYMLINK_NOFOLLOW);
}

WEFT_EXPORT int __xstat64(int ver, const char *path, struct stat64 *st)
{
	(void)ver;
	return fstatat64(AT_FDCWD, redirect(path), st, 0);
}

WEFT_EXPORT int __lxstat64(int ver, const char *path, struct stat64 *st)
{
	(void)ver;
	return fstatat64(AT_FDCWD, redirect(path), st, AT_SYMLINK_NOFOLLOW);
}

WEFT_EXPORT int access(const char *path, int mode)
{
	return faccessat(AT_FDCWD, redirect(path), mode, 0);
}
