/* SPDX-License-Identifier: BSD-2-Clause */
/* The captured tree.
 *
 * It is made of what the checks read and of nothing else, so what no check reads (keys, histories, serial
 * numbers) cannot be in it; the environment is not read through here. Libraries become sparse files: their
 * size, and the few pages of them that were looked at. */
#include "node/capture.h"

#include "node/root.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int weft_capture_folder(const char *path)
{
	const struct dirent *entry;
	bool empty = true;
	DIR *dir;
	int fd;

	if (mkdir(path, 0755) && errno != EEXIST)
		return -errno;
	dir = opendir(path);
	if (!dir)
		return -errno;
	while (empty && (entry = readdir(dir)) != NULL)
		empty = !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..");
	fd = empty ? fcntl(dirfd(dir), F_DUPFD_CLOEXEC, 3) : -1;
	if (empty && fd < 0)
		fd = -errno;
	closedir(dir);
	return empty ? fd : -EEXIST;
}

static void failed(struct weft_root *root)
{
	if (!root->capture_error)
		root->capture_error = -errno;
}

static bool is_off(const struct weft_root *root)
{
	return root->capture < 0;
}

/* The folders above. Real paths have no links in them, and links of the copy are only made where the original
 * has them, so nothing leads out of the copy. */
static void make_parents(struct weft_root *root, const char *real)
{
	char path[WEFT_ROOT_PATH_MAX];

	for (const char *slash = strchr(real, '/'); slash; slash = strchr(slash + 1, '/')) {
		snprintf(path, sizeof(path), "%.*s", (int)(slash - real), real);
		if (mkdirat(root->capture, path, 0755) && errno != EEXIST)
			failed(root);
	}
}

void weft_capture_dir(struct weft_root *root, const char *real)
{
	if (is_off(root) || !strcmp(real, "."))
		return;
	make_parents(root, real);
	if (mkdirat(root->capture, real, 0755) && errno != EEXIST)
		failed(root);
}

void weft_capture_link(struct weft_root *root, const char *real, const char *target)
{
	if (is_off(root))
		return;
	make_parents(root, real);
	if (symlinkat(target, root->capture, real) && errno != EEXIST)
		failed(root);
}

static int open_copy(struct weft_root *root, const char *real)
{
	int fd;

	make_parents(root, real);
	fd = openat(root->capture, real, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		failed(root);
	return fd;
}

void weft_capture_bytes(struct weft_root *root, const char *real, const char *bytes, size_t len)
{
	struct stat st;
	int fd;

	if (is_off(root))
		return;
	fd = open_copy(root, real);
	if (fd < 0)
		return;
	if (fstat(fd, &st) ||
	    ((uint64_t)st.st_size <= len && pwrite(fd, bytes, len, 0) != (ssize_t)len))
		failed(root);
	close(fd);
}

void weft_capture_entry(struct weft_root *root, const char *dir, const char *name)
{
	char real[WEFT_ROOT_PATH_MAX], target[WEFT_ROOT_PATH_MAX];
	struct stat st;
	ssize_t len;

	if (is_off(root))
		return;
	if (snprintf(real, sizeof(real), "%s/%s", dir, name) >= (int)sizeof(real))
		return;
	if (fstatat(root->fd, real, &st, AT_SYMLINK_NOFOLLOW))
		return;
	if (S_ISDIR(st.st_mode)) {
		weft_capture_dir(root, real);
	} else if (S_ISLNK(st.st_mode)) {
		len = readlinkat(root->fd, real, target, sizeof(target) - 1);
		if (len < 0)
			return;
		target[len] = '\0';
		weft_capture_link(root, real, target);
	} else {
		weft_capture_bytes(root, real, "", 0);
	}
}

int weft_capture_file(struct weft_root *root, const char *real, uint64_t size)
{
	int fd;

	if (is_off(root))
		return -1;
	fd = open_copy(root, real);
	if (fd >= 0 && ftruncate(fd, (off_t)size)) {
		failed(root);
		close(fd);
		fd = -1;
	}
	return fd;
}
