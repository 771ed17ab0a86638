/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_NODE_ROOT_H
#define WEFT_NODE_ROOT_H

/* The tree that a machine is read from: "/" of this one, the root of a container or of another process, an
 * unpacked image, or what `weft check --capture` has made of some machine. Links are followed as if the tree
 * were the whole world, so that no tree can make us read a file outside of it. Paths begin without a slash
 * ("sys/class/net").
 *
 * With a capture, everything that is read is copied into another tree as well: what a check needed is by
 * construction what the same check finds there later. */
#include "base/types.h"

#include <sys/types.h>

#define WEFT_ROOT_PATH_MAX 4096

struct weft_root {
	int fd; /* owns */
	bool live; /* This very machine: device files are devices. */
	int capture; /* owns. The tree that reads are copied into; -1: none. */
	int capture_error; /* The first error while copying, or 0. */
};

/* "/" is this machine. Result: 0 or -errno. */
int weft_root_open(const char *path, struct weft_root *root_out);

/* From now on copy what is read below this folder, which has to be new or empty: 0 or -errno. */
int weft_root_capture(struct weft_root *root, const char *path);
void weft_root_close(struct weft_root *root);

/* The start of a file as text: at most len - 1 bytes, NUL, and what white space was at its end cut off. The path is
 * made as by printf(). Result: the length, or -errno (ELOOP, ENOENT, EISDIR, ...). */
ssize_t weft_root_text(struct weft_root *root, char *buf_out, size_t len, const char *path, ...)
	__attribute__((format(printf, 4, 5)));

/* A number in such a file, in any of C's notations. False: not there, or no number. */
bool weft_root_number(struct weft_root *root, uint64_t *value_out, const char *path, ...)
	__attribute__((format(printf, 3, 4)));

/* A whole text file of at most `max` bytes, which the caller frees. NULL: not there, or too large. */
char *weft_root_file(struct weft_root *root, size_t max, const char *path, ...)
	__attribute__((format(printf, 3, 4)));

/* Where a path leads after all links, below the root: 0 or -errno. */
int weft_root_real(struct weft_root *root, char real_out[WEFT_ROOT_PATH_MAX], const char *path, ...)
	__attribute__((format(printf, 3, 4)));

/* The last part of where a link leads ("efa" of device/driver). False: not there. */
bool weft_root_leaf(struct weft_root *root, char *buf_out, size_t len, const char *path, ...)
	__attribute__((format(printf, 4, 5)));
bool weft_root_exists(struct weft_root *root, const char *path, ...)
	__attribute__((format(printf, 2, 3)));

/* Can that device file be opened? 0 or -errno. In a captured tree a file stands for the device, with the answer. */
int weft_root_device(struct weft_root *root, const char *path, ...)
	__attribute__((format(printf, 2, 3)));

/* The names in a folder, sorted; at most WEFT_NAMES_MAX. Nothing for one that is not there. */
#define WEFT_NAMES_MAX 4096
struct weft_names {
	char **name; /* owns */
	size_t count;
};

struct weft_names weft_root_list(struct weft_root *root, const char *path, ...)
	__attribute__((format(printf, 2, 3)));
void weft_names_free(struct weft_names *names);

/* The names in a folder that are numbers: the processes of proc. No limit; the caller frees. */
struct weft_pids {
	uint32_t *pid; /* owns */
	size_t count;
};

struct weft_pids weft_root_pids(struct weft_root *root, const char *path, ...)
	__attribute__((format(printf, 2, 3)));

/* Every regular file of a folder, and the start of its text, as weft_root_text() gives it; names in no order. For
 * folders that are read again and again: the way to it is walked once, not for each file. 0 or -errno. */
typedef void weft_root_text_fn(void *arg, const char *name, const char *text);
int weft_root_texts(struct weft_root *root, weft_root_text_fn *fn, void *arg, const char *path, ...)
	__attribute__((format(printf, 4, 5)));

/* Every link of a folder, and what it says, unresolved: open files (proc/1/fd) are links that lead nowhere. */
int weft_root_links(struct weft_root *root, weft_root_text_fn *fn, void *arg, const char *path, ...)
	__attribute__((format(printf, 4, 5)));

/* A file to be read here and there, such as a library. fd < 0: -errno. */
struct weft_file {
	int fd, copy; /* own */
	uint64_t size;
};

struct weft_file weft_root_file_open(struct weft_root *root, const char *path, ...)
	__attribute__((format(printf, 2, 3)));

/* All `len` bytes at `offset`, or false. */
bool weft_file_read(const struct weft_file *file, uint64_t offset, void *buf_out, size_t len);
void weft_file_close(struct weft_file *file);

#endif
