/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading below a root.
 *
 * The kernel's own RESOLVE_IN_ROOT is missing from older kernels and forbidden in many containers, so paths are
 * walked here: one readlinkat() for each component, links replaced by what they say, ".." by text. Nothing
 * is opened but regular files and folders, and without waiting: a FIFO in a hostile tree must not
 * stop us, nor a device be touched by accident. */
#include "node/root.h"

#include "node/capture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MAX 40

int weft_root_open(const char *path, struct weft_root *root_out)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	root_out->fd = fd;
	root_out->live = !strcmp(path, "/");
	root_out->capture = -1;
	root_out->capture_error = 0;
	return 0;
}

int weft_root_capture(struct weft_root *root, const char *path)
{
	int fd = weft_capture_folder(path);

	if (fd < 0)
		return fd;
	root->capture = fd;
	return 0;
}

void weft_root_close(struct weft_root *root)
{
	close(root->fd);
	if (root->capture >= 0)
		close(root->capture);
}

/* A path that was made sure to fit. */
static void copy_path(char to[WEFT_ROOT_PATH_MAX], const char *from)
{
	memcpy(to, from, strlen(from) + 1);
}

/* Puts one component behind `real`, or takes the last one away. */
static int step(char real[WEFT_ROOT_PATH_MAX], const char *part, size_t len)
{
	size_t have = strlen(real);

	if (!len || (len == 1 && part[0] == '.'))
		return 0;
	if (len == 2 && part[0] == '.' && part[1] == '.') {
		char *slash = strrchr(real, '/');

		*(slash ? slash : real) = '\0';
		return 0;
	}
	if (have + len + 2 > WEFT_ROOT_PATH_MAX)
		return -ENAMETOOLONG;
	if (have)
		real[have++] = '/';
	memcpy(real + have, part, len);
	real[have + len] = '\0';
	return 0;
}

/* If `real` is a link, *rest becomes where it leads followed by what was still to go, and `real` the folder it
 * stands in, or nothing if it leads from the root. 1: it was one, 0: it was not, or -errno. */
static int follow(struct weft_root *root, char real[WEFT_ROOT_PATH_MAX],
		  char rest[WEFT_ROOT_PATH_MAX], const char *left)
{
	char target[WEFT_ROOT_PATH_MAX], joined[2 * WEFT_ROOT_PATH_MAX];
	ssize_t len = readlinkat(root->fd, real, target, sizeof(target) - 1);
	char *slash;

	if (len < 0)
		return errno == EINVAL ? 0 : -errno;
	target[len] = '\0';
	weft_capture_link(root, real, target);
	snprintf(joined, sizeof(joined), "%s/%s", target, left);
	if (strlen(joined) >= WEFT_ROOT_PATH_MAX)
		return -ENAMETOOLONG;
	copy_path(rest, joined);
	if (target[0] == '/') {
		real[0] = '\0';
		return 1;
	}
	slash = strrchr(real, '/');
	*(slash ? slash : real) = '\0';
	return 1;
}

static int resolve(struct weft_root *root, const char *path, char real[WEFT_ROOT_PATH_MAX])
{
	char rest[WEFT_ROOT_PATH_MAX];
	const char *p = rest;
	int links = 0, got;

	if (strlen(path) >= sizeof(rest))
		return -ENAMETOOLONG;
	copy_path(rest, path);
	real[0] = '\0';
	for (;;) {
		size_t len;

		p += strspn(p, "/");
		if (!*p)
			break;
		len = strcspn(p, "/");
		got = step(real, p, len);
		if (got)
			return got;
		p += len;
		if (!real[0])
			continue;
		got = follow(root, real, rest, p);
		if (got < 0)
			return got;
		if (got) {
			if (++links > LINKS_MAX)
				return -ELOOP;
			p = rest;
		}
	}
	if (!real[0])
		copy_path(real, ".");
	return 0;
}

static int resolve_va(struct weft_root *root, char real[WEFT_ROOT_PATH_MAX], const char *path,
		      va_list args)
{
	char text[WEFT_ROOT_PATH_MAX];
	int len = vsnprintf(text, sizeof(text), path, args);

	if (len < 0 || (size_t)len >= sizeof(text))
		return -ENAMETOOLONG;
	return resolve(root, text, real);
}

/* A regular file, open for reading, or -errno. */
static int open_regular(int dir, const char *name, struct stat *st_out)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	int err;

	if (fd < 0)
		return -errno;
	if (fstat(fd, st_out))
		err = -errno;
	else if (S_ISDIR(st_out->st_mode))
		err = -EISDIR;
	else if (!S_ISREG(st_out->st_mode))
		err = -ENOTSUP;
	else
		return fd;
	close(fd);
	return err;
}

/* Opening a device by accident can have effects, so what is there is looked at first. */
static int open_at(int dir, const char *name, struct stat *st_out)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode))
		return -ENOTSUP;
	return open_regular(dir, name, st_out);
}

static int open_file(struct weft_root *root, const char *real, struct stat *st_out)
{
	return open_at(root->fd, real, st_out);
}

static ssize_t read_up_to(int fd, char *buf, size_t len)
{
	size_t have = 0;

	while (have < len) {
		ssize_t got = read(fd, buf + have, len - have);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			break;
		have += (size_t)got;
	}
	return (ssize_t)have;
}

static ssize_t trim(char *buf, ssize_t len)
{
	while (len && strchr(" \t\n", buf[len - 1]))
		len--;
	buf[len] = '\0';
	return len;
}

static ssize_t read_text(struct weft_root *root, char *buf, size_t len, const char *path,
			 va_list args)
{
	char real[WEFT_ROOT_PATH_MAX];
	struct stat st;
	ssize_t got;
	int fd, err = resolve_va(root, real, path, args);

	if (err)
		return err;
	fd = open_file(root, real, &st);
	if (fd < 0)
		return fd;
	got = read_up_to(fd, buf, len - 1);
	close(fd);
	if (got < 0)
		return got;
	weft_capture_bytes(root, real, buf, (size_t)got);
	return trim(buf, got);
}

ssize_t weft_root_text(struct weft_root *root, char *buf_out, size_t len, const char *path, ...)
{
	va_list args;
	ssize_t got;

	va_start(args, path);
	got = read_text(root, buf_out, len, path, args);
	va_end(args);
	return got;
}

bool weft_root_number(struct weft_root *root, uint64_t *value_out, const char *path, ...)
{
	char text[64], *end;
	va_list args;
	ssize_t got;
	uint64_t value;

	va_start(args, path);
	got = read_text(root, text, sizeof(text), path, args);
	va_end(args);
	if (got <= 0)
		return false;
	errno = 0;
	value = strtoull(text, &end, 0);
	if (end == text || errno)
		return false;
	*value_out = value;
	return true;
}

char *weft_root_file(struct weft_root *root, size_t max, const char *path, ...)
{
	size_t cap = WEFT_MIN(max, (size_t)65536) + 1;
	char *buf = NULL;
	va_list args;

	/* Files of /proc do not know their size. */
	for (;; cap = (cap - 1) * 2 + 1) {
		char *more = realloc(buf, cap);
		ssize_t got = -ENOMEM;

		if (more) {
			buf = more;
			va_start(args, path);
			got = read_text(root, buf, cap, path, args);
			va_end(args);
		}
		if (got >= 0 && (size_t)got < cap - 1)
			return buf;
		if (got < 0 || cap > max) {
			free(buf);
			return NULL;
		}
	}
}

int weft_root_real(struct weft_root *root, char real_out[WEFT_ROOT_PATH_MAX], const char *path, ...)
{
	char real[WEFT_ROOT_PATH_MAX];
	struct stat st;
	va_list args;
	int err;

	va_start(args, path);
	err = resolve_va(root, real, path, args);
	va_end(args);
	if (err)
		return err;
	if (fstatat(root->fd, real, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	if (S_ISDIR(st.st_mode))
		weft_capture_dir(root, real);
	else
		weft_capture_bytes(root, real, "", 0);
	copy_path(real_out, real);
	return 0;
}

bool weft_root_leaf(struct weft_root *root, char *buf_out, size_t len, const char *path, ...)
{
	char text[WEFT_ROOT_PATH_MAX], real[WEFT_ROOT_PATH_MAX];
	const char *slash;
	va_list args;
	int n;

	va_start(args, path);
	n = vsnprintf(text, sizeof(text), path, args);
	va_end(args);
	if (n < 0 || (size_t)n >= sizeof(text) || weft_root_real(root, real, "%s", text))
		return false;
	slash = strrchr(real, '/');
	snprintf(buf_out, len, "%s", slash ? slash + 1 : real);
	return true;
}

bool weft_root_exists(struct weft_root *root, const char *path, ...)
{
	char text[WEFT_ROOT_PATH_MAX], real[WEFT_ROOT_PATH_MAX];
	va_list args;
	int n;

	va_start(args, path);
	n = vsnprintf(text, sizeof(text), path, args);
	va_end(args);
	return n >= 0 && (size_t)n < sizeof(text) && !weft_root_real(root, real, "%s", text);
}

/* What a captured device file says: nothing or "ok", or the number of an error. */
static int stand_in(struct weft_root *root, const char *real)
{
	char text[32];
	ssize_t got = weft_root_text(root, text, sizeof(text), "%s", real);
	long err;

	if (got < 0)
		return (int)got;
	err = strtol(text, NULL, 10);
	return err > 0 && err < 4096 ? (int)-err : 0;
}

int weft_root_device(struct weft_root *root, const char *path, ...)
{
	char real[WEFT_ROOT_PATH_MAX], text[32];
	struct stat st;
	va_list args;
	int fd, err;

	va_start(args, path);
	err = resolve_va(root, real, path, args);
	va_end(args);
	if (err)
		return err;
	if (fstatat(root->fd, real, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	if (S_ISREG(st.st_mode))
		return stand_in(root, real);
	if (!S_ISCHR(st.st_mode) || !root->live)
		return -ENODEV;
	/* Only opening shows what a device cgroup forbids. */
	fd = openat(root->fd, real, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	err = fd < 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	snprintf(text, sizeof(text), err ? "%d\n" : "ok\n", -err);
	weft_capture_bytes(root, real, text, strlen(text));
	return err;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void take_names(struct weft_root *root, const char *real, DIR *dir, struct weft_names *names)
{
	const struct dirent *entry;

	while (names->count < WEFT_NAMES_MAX && (entry = readdir(dir)) != NULL) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		names->name[names->count] = strdup(entry->d_name);
		if (!names->name[names->count])
			return;
		weft_capture_entry(root, real, entry->d_name);
		names->count++;
	}
}

/* NULL: errno says why. `real` becomes the folder's real path. */
static DIR *open_folder(struct weft_root *root, char real[WEFT_ROOT_PATH_MAX], const char *path,
			va_list args)
{
	int fd, err = resolve_va(root, real, path, args);
	DIR *dir;

	if (err) {
		errno = -err;
		return NULL;
	}
	fd = openat(root->fd, real, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	dir = fdopendir(fd);
	if (!dir)
		close(fd);
	else
		weft_capture_dir(root, real);
	return dir;
}

struct weft_names weft_root_list(struct weft_root *root, const char *path, ...)
{
	struct weft_names names = { NULL, 0 };
	char real[WEFT_ROOT_PATH_MAX];
	va_list args;
	DIR *dir;

	va_start(args, path);
	dir = open_folder(root, real, path, args);
	va_end(args);
	if (!dir)
		return names;
	names.name = calloc(WEFT_NAMES_MAX, sizeof(*names.name));
	if (names.name)
		take_names(root, real, dir, &names);
	closedir(dir);
	if (names.count)
		qsort(names.name, names.count, sizeof(*names.name), by_name);
	return names;
}

struct weft_pids weft_root_pids(struct weft_root *root, const char *path, ...)
{
	struct weft_pids pids = { NULL, 0 };
	char real[WEFT_ROOT_PATH_MAX];
	const struct dirent *entry;
	va_list args;
	DIR *dir;

	va_start(args, path);
	dir = open_folder(root, real, path, args);
	va_end(args);
	while (dir && (entry = readdir(dir)) != NULL) {
		unsigned long pid = strtoul(entry->d_name, NULL, 10);
		uint32_t *more;

		if (!pid || pid > INT32_MAX)
			continue;
		if (!(pids.count & (pids.count - 1))) {
			more = realloc(pids.pid, (pids.count ? 2 * pids.count : 1) * sizeof(*more));
			if (!more)
				break;
			pids.pid = more;
		}
		pids.pid[pids.count++] = (uint32_t)pid;
	}
	if (dir)
		closedir(dir);
	return pids;
}

int weft_root_texts(struct weft_root *root, weft_root_text_fn *fn, void *arg, const char *path, ...)
{
	char real[WEFT_ROOT_PATH_MAX], text[256];
	const struct dirent *entry;
	va_list args;
	DIR *dir;

	va_start(args, path);
	dir = open_folder(root, real, path, args);
	va_end(args);
	if (!dir)
		return -errno;
	while ((entry = readdir(dir)) != NULL) {
		size_t len = strlen(real);
		struct stat st;
		ssize_t got;
		int fd;

		if ((entry->d_type != DT_REG && entry->d_type != DT_UNKNOWN) ||
		    step(real, entry->d_name, strlen(entry->d_name)))
			continue;
		fd = open_at(dirfd(dir), entry->d_name, &st);
		got = fd < 0 ? fd : read_up_to(fd, text, sizeof(text) - 1);
		if (fd >= 0)
			close(fd);
		if (got >= 0) {
			weft_capture_bytes(root, real, text, (size_t)got);
			trim(text, got);
			fn(arg, entry->d_name, text);
		}
		real[len] = '\0';
	}
	closedir(dir);
	return 0;
}

int weft_root_links(struct weft_root *root, weft_root_text_fn *fn, void *arg, const char *path, ...)
{
	char real[WEFT_ROOT_PATH_MAX], target[256];
	const struct dirent *entry;
	va_list args;
	DIR *dir;

	va_start(args, path);
	dir = open_folder(root, real, path, args);
	va_end(args);
	if (!dir)
		return -errno;
	while ((entry = readdir(dir)) != NULL) {
		ssize_t got;

		if (entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN)
			continue;
		got = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);
		if (got < 0)
			continue;
		target[got] = '\0';
		fn(arg, entry->d_name, target);
	}
	closedir(dir);
	return 0;
}

void weft_names_free(struct weft_names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->name[i]);
	free(names->name);
	names->name = NULL;
	names->count = 0;
}

struct weft_file weft_root_file_open(struct weft_root *root, const char *path, ...)
{
	struct weft_file file = { .copy = -1 };
	char real[WEFT_ROOT_PATH_MAX];
	struct stat st = { 0 };
	va_list args;

	va_start(args, path);
	file.fd = resolve_va(root, real, path, args);
	va_end(args);
	if (file.fd == 0)
		file.fd = open_file(root, real, &st);
	if (file.fd < 0)
		return file;
	file.size = (uint64_t)st.st_size;
	file.copy = weft_capture_file(root, real, file.size);
	return file;
}

bool weft_file_read(const struct weft_file *file, uint64_t offset, void *buf_out, size_t len)
{
	size_t have = 0;

	if (offset > file->size || len > file->size - offset)
		return false;
	while (have < len) {
		ssize_t got =
			pread(file->fd, (char *)buf_out + have, len - have, (off_t)(offset + have));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		have += (size_t)got;
	}
	if (file->copy >= 0 && pwrite(file->copy, buf_out, len, (off_t)offset) != (ssize_t)len)
		return false;
	return true;
}

void weft_file_close(struct weft_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	if (file->copy >= 0)
		close(file->copy);
}
