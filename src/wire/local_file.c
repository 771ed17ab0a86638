/* SPDX-License-Identifier: BSD-2-Clause */
/* Files and locks under the inboxes, and removing what the dead left. The reasons stand in local.c. */
#define _GNU_SOURCE
#include "wire/local_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

int weft_shm_lock_byte(int fd, off_t byte, short type)
{
	struct flock lk = { .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };

	if (fcntl(fd, F_OFD_SETLK, &lk) == 0)
		return 0;
	return errno == EACCES ? -EAGAIN : -errno;
}

bool weft_shm_is_locked(int fd, off_t byte)
{
	struct flock lk = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };

	/* In doubt it is locked: nothing is taken from anybody. */
	return fcntl(fd, F_OFD_GETLK, &lk) != 0 || lk.l_type != F_UNLCK;
}

int weft_shm_allocate(int fd, off_t off, off_t len)
{
	while (fallocate(fd, 0, off, len) != 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

int weft_shm_layout(uint32_t frame_max, uint32_t lanes, uint32_t lane_bytes,
		    struct weft_shm_layout *layout_out)
{
	size_t page = WEFT_MAX((size_t)sysconf(_SC_PAGESIZE), (size_t)WEFT_SHM_CONTROL);
	struct weft_shm_layout l;

	if (!lanes || lanes > WEFT_SHM_LANES_MAX || lane_bytes < WEFT_SHM_LANE_BYTES_MIN ||
	    lane_bytes > WEFT_SHM_LANE_BYTES_MAX || (lane_bytes & (lane_bytes - 1)))
		return -EINVAL;
	/* Any frame must fit into an empty ring, wherever that one stands: twice, for what is left before
	 * the wrap. */
	if (!frame_max || frame_max > lane_bytes / 2 - WEFT_SHM_RECORD)
		return -EINVAL;
	/* A page that is never used stands between the pieces, so that no two of their mappings can be joined:
	 * valgrind 3.19 dies when it joins two that were made before and after the file was renamed. */
	l.inbox_bytes =
		weft_shm_round_up(sizeof(struct weft_shm_inbox) + lanes * sizeof(uint32_t), page);
	l.lane_off = (uint32_t)(l.inbox_bytes + page);
	l.lane_stride = (uint32_t)(weft_shm_round_up(WEFT_SHM_CONTROL + lane_bytes, page) + page);
	l.file_bytes = (off_t)l.lane_off + (off_t)lanes * l.lane_stride;
	*layout_out = l;
	return 0;
}

bool weft_shm_is_name(const char *name)
{
	size_t len = strlen(name);

	/* A leading dot is for our own files that are not ready. */
	return len > 0 && len <= WEFT_SHM_NAME_MAX_LEN && name[0] != '.' && !strchr(name, '/');
}

int weft_shm_open_file(int dir_fd, const char *name, int flags, struct stat *st_out)
{
	struct stat st;
	int fd, err;

	fd = openat(dir_fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags,
		    0600);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) != 0)
		err = -errno;
	else if (!S_ISREG(st.st_mode) || st.st_uid != geteuid())
		err = -EACCES;
	else if ((flags & O_CREAT) && (st.st_mode & 0777) != 0600 && fchmod(fd, 0600) != 0)
		err = -errno; /* Whatever the umask is. */
	else {
		*st_out = st;
		return fd;
	}
	close(fd);
	return err;
}

bool weft_shm_has_name(int dir_fd, const char *name, dev_t dev, ino_t ino)
{
	struct stat st;

	return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == dev &&
	       st.st_ino == ino;
}

/* The mapping is not inherited; see "Who is alive". */
void *weft_shm_map_file(int fd, size_t off, size_t len, int flags)
{
	void *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | flags, fd, (off_t)off);

	if (map == MAP_FAILED)
		return NULL;
	if (madvise(map, len, MADV_DONTFORK) != 0) {
		munmap(map, len);
		return NULL;
	}
	return map;
}

void weft_shm_temp_name(const char *name, char out[WEFT_SHM_NAME_MAX_LEN + 8])
{
	snprintf(out, WEFT_SHM_NAME_MAX_LEN + 8, ".%.*s.new", WEFT_SHM_NAME_MAX_LEN, name);
}

/* Opens the file of that name (flags: O_CREAT or 0) and takes its lock TAKE: until it is closed nobody else
 * changes whose the name is. -EEXIST when it has a living owner. */
int weft_shm_take_name(int dir_fd, const char *name, int flags, struct stat *st_out)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	int err;

	/* TAKE is held for some system calls, unless its holder is stopped: do not wait for ever. */
	for (int tries = 0; tries < 1000; tries++) {
		struct stat st = { 0 };
		int fd = weft_shm_open_file(dir_fd, name, flags, &st);

		if (fd < 0)
			return fd;
		/* A sweep only wants the dead, and waits for nobody: many processes start at once. */
		if (!(flags & O_CREAT) && weft_shm_is_locked(fd, WEFT_SHM_LOCK_OWNER)) {
			close(fd);
			return -EEXIST;
		}
		err = weft_shm_lock_byte(fd, WEFT_SHM_LOCK_TAKE, F_WRLCK);
		if (err == 0) {
			/* In this order: an owner that closes unlinks first and unlocks then. */
			bool owned = weft_shm_is_locked(fd, WEFT_SHM_LOCK_OWNER);
			bool named = weft_shm_has_name(dir_fd, name, st.st_dev, st.st_ino);

			if (named && !owned) {
				*st_out = st;
				return fd;
			}
			close(fd);
			if (named)
				return -EEXIST;
			continue;
		}
		close(fd);
		if (err != -EAGAIN || !(flags & O_CREAT))
			return err == -EAGAIN ? -EBUSY : err;
		nanosleep(&pause, NULL);
	}
	return -EBUSY;
}

/* Senders that still map the file of a dead owner stop at this word. */
void weft_shm_mark_closed(int fd, const struct stat *st)
{
	const uint32_t one = 1;

	if (st->st_size >= (off_t)sizeof(struct weft_shm_inbox) &&
	    pwrite(fd, &one, sizeof(one), offsetof(struct weft_shm_inbox, closed)) < 0)
		return; /* Then they find out by is_gone. */
}

int weft_shm_check_dir(int dir_fd)
{
	struct stat st;

	if (fstat(dir_fd, &st) != 0)
		return -errno;
	return st.st_uid == geteuid() && (st.st_mode & 077) == 0 ? 0 : -EPERM;
}

int weft_local_sweep(const char *dir)
{
	int dir_fd, err;
	struct dirent *ent;
	DIR *stream;

	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir_fd < 0)
		return -errno;
	err = weft_shm_check_dir(dir_fd);
	if (err) {
		close(dir_fd);
		return err;
	}
	stream = fdopendir(dir_fd);
	if (!stream) {
		err = -errno;
		close(dir_fd);
		return err;
	}
	while ((ent = readdir(stream)) != NULL) {
		char temp[WEFT_SHM_NAME_MAX_LEN + 8];
		struct stat st = { 0 };
		int fd;

		if (!weft_shm_is_name(ent->d_name))
			continue;
		fd = weft_shm_take_name(dir_fd, ent->d_name, 0, &st);
		if (fd < 0)
			continue;
		weft_shm_mark_closed(fd, &st);
		weft_shm_temp_name(ent->d_name, temp);
		unlinkat(dir_fd, temp, 0);
		unlinkat(dir_fd, ent->d_name, 0);
		close(fd);
	}
	closedir(stream);
	return 0;
}
