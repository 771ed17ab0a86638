/* SPDX-License-Identifier: BSD-2-Clause */
/* The library on the node. Pods have the node's folder mounted, and programs have the library mapped while a new version of the
 * plugin brings another one. Writing into a mapped file changes the code under a running program, and between removing
 * and making it a starting program would go without, and silently find no cards. So a copy is made beside it and renamed. */
#define _GNU_SOURCE
#include "kube/install.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int copy_bytes(int in, int out)
{
	char buf[65536];
	ssize_t got;

	while ((got = read(in, buf, sizeof(buf))) > 0)
		for (ssize_t at = 0, put; at < got; at += put) {
			put = write(out, buf + at, (size_t)(got - at));
			if (put < 0)
				return -errno;
		}
	return got ? -errno : 0;
}

/* A copy with everything on the disk: after a power cut the name must not lead to half of it. */
static int copy_file(int in, int to_fd, const char *temp, mode_t mode)
{
	int out, err;

	if (unlinkat(to_fd, temp, 0) && errno != ENOENT)
		return -errno;
	out = openat(to_fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (out < 0)
		return -errno;
	err = copy_bytes(in, out);
	if (!err && (fchmod(out, mode & 0755) || fsync(out)))
		err = -errno;
	if (close(out) && !err)
		err = -errno;
	if (err)
		unlinkat(to_fd, temp, 0);
	return err;
}

/* 1: installed, 0: not a file. */
static int install_one(int from_fd, int to_fd, const char *name)
{
	char temp[NAME_MAX + 8];
	struct stat st;
	int in, err;

	in = openat(from_fd, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (in < 0)
		return -errno;
	if (fstat(in, &st)) {
		err = -errno;
	} else if (!S_ISREG(st.st_mode)) {
		close(in);
		return 0;
	} else if (snprintf(temp, sizeof(temp), ".%s.new", name) > NAME_MAX) {
		err = -ENAMETOOLONG;
	} else {
		err = copy_file(in, to_fd, temp, st.st_mode);
		if (!err && renameat(to_fd, temp, to_fd, name)) {
			err = -errno;
			unlinkat(to_fd, temp, 0);
		}
	}
	close(in);
	return err ? err : 1;
}

static int install_all(DIR *dir, int to_fd, uint32_t *count, char *why, size_t len)
{
	const struct dirent *entry;
	int done;

	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		done = install_one(dirfd(dir), to_fd, entry->d_name);
		if (done < 0) {
			snprintf(why, len, "%s: %s", entry->d_name, strerror(-done));
			return done;
		}
		*count += (uint32_t)done;
	}
	return 0;
}

int weft_kube_install(const char *from, const char *to, uint32_t *count_out, char *why, size_t len)
{
	DIR *dir = opendir(from);
	uint32_t count = 0;
	int to_fd, err;

	if (!dir) {
		err = -errno;
		snprintf(why, len, "%s: %s", from, strerror(-err));
		return err;
	}
	to_fd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (to_fd < 0) {
		err = -errno;
		snprintf(why, len, "%s: %s", to, strerror(-err));
	} else {
		err = install_all(dir, to_fd, &count, why, len);
		close(to_fd);
	}
	closedir(dir);
	if (!err && !count) {
		err = -ENOENT;
		snprintf(why, len, "%s: no file there", from);
	}
	if (!err)
		*count_out = count;
	return err;
}
