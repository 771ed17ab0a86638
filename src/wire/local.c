/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames through shared memory. The layout of an inbox stands in local_shm.h; here is who does what with it.
 *
 * Nothing that another process can write is believed. Indexes, lengths and states are copied to locals and
 * checked there; sizes and places are those of our own memory. A file that shrinks under its mapping
 * is beyond defence (SIGBUS), but only processes of the same user can do that, and these could as well
 * stop us by a debugger.
 *
 * Who is alive
 *
 * Locks say it, because the kernel drops them whatever happens to their holder, and because they mean the
 * same in every pid namespace. The owner of an inbox holds one byte of its file locked, the sender of a lane
 * another one. They are locks of the open file description and are looked at by F_OFD_GETLK: unlike
 * a flock that somebody tries, looking never keeps a third from getting it.
 *
 * Such a lock lives as long as its open file description, which a forked child would share. But a mapping also
 * holds the description: we map the file, have the mapping not inherited (MADV_DONTFORK), and close the
 * descriptor. So the lock needs no descriptor, and a child cannot keep it.
 *
 * Who owns a name
 *
 * He whose lock is on the file that has the name. Only the holder of the lock TAKE of that file may put
 * another one in its place: he looks whether the owner is dead, prepares a complete file, owner's lock
 * included, under another name, and renames it. Whoever waited for TAKE then finds that its file has lost
 * the name and starts again. Senders that still map the old file see its `closed`; its memory goes with
 * the last of them.
 *
 * Claims
 *
 * A sender first locks the lane's byte and then swaps the state from FREE. A lane that is not FREE and not locked
 * is therefore a dead sender's. Only the receiver makes it FREE again, by a swap from the very word that it had
 * read before it looked at the lock. The ring's memory is allocated by the claim; the receiver asks for
 * it once more when it takes the lane in, since a sender that skipped this would have us killed
 * by the first read on a full file system.
 *
 * No wake-up is lost
 *
 * The receiver stores `asleep` and then loads the heads; a sender stores its head and then loads `asleep`. All
 * four are sequentially consistent, so at least one of the two sees the other's store. `asleep` is a number, and
 * each sender reports each number once: were one sender to clear it for all, its death before it wakes the
 * receiver would silence the others. */
#define _GNU_SOURCE
#include "wire/local.h"

#include "wire/local_shm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NAME_MAX_LEN   63u
#define LANES_DEFAULT  256u
#define LANES_MAX      4096u
#define LANE_DEFAULT   (256u << 10)
#define LANE_BYTES_MIN 4096u
#define LANE_BYTES_MAX (64u << 20)
/* Frames from one lane before the next one has its turn. */
#define TURN_FRAMES 16u

/* A lane of our inbox. */
struct rx_lane {
	_Atomic uint32_t *head, *tail; /* In map. */
	const uint8_t *ring; /* In map. */
	uint32_t pos; /* What we have read; `tail` follows. */
	uint32_t told; /* `tail` as it stands in the lane. */
	uint32_t word; /* State word of the claim that we took in. */
	uint32_t index;
	bool in_use; /* In local->rx.used. */
	bool leaving; /* Its sender is done or dead: free it when it is empty. */
	bool given_up; /* Made no sense; nothing is read from it until it is claimed anew. */
	uint8_t *map; /* Owns; NULL when the lane's memory was given back. */
};

struct weft_lane {
	struct weft_local *local; /* ref */
	struct weft_lane *next; /* In local->tx.lanes. */
	_Atomic uint32_t *head, *tail; /* In map. */
	_Atomic uint32_t *state; /* In inbox. */
	uint8_t *ring; /* In map. */
	uint32_t ring_bytes, frame_max;
	uint32_t pos; /* Written up to here, */
	uint32_t told; /* visible up to here. */
	uint32_t tail_seen;
	uint32_t word; /* State word of our claim. */
	uint32_t woken; /* The last sleep that we reported. */
	bool unflushed; /* Sent since the last flush. */
	bool broken;
	struct weft_shm_inbox *inbox; /* Owns. Its mapping holds our locks. */
	size_t inbox_bytes;
	uint8_t *map; /* Owns. */
	size_t map_bytes;
	dev_t dev;
	ino_t ino;
	char name[NAME_MAX_LEN + 1];
};

struct weft_local {
	struct weft_shm_inbox *inbox; /* Owns. Its mapping holds the owner's lock. */
	size_t inbox_bytes;
	uint32_t frame_max, lanes, lane_bytes, lane_off, lane_stride;
	int dir_fd; /* Owns. */
	int fd; /* Owns. Another description of the inbox: holds no lock. */
	struct {
		struct rx_lane *lane; /* Owns: [lanes]. */
		uint32_t *used; /* Owns: numbers of lanes in use. */
		uint32_t used_len, turn; /* turn: index into used. */
		uint32_t changes; /* As we last acted on them. */
		uint32_t sleep; /* Number of the last sleep. */
		bool asleep;
	} rx;
	struct {
		struct weft_lane *lanes; /* Owns. */
	} tx;
	struct weft_local_stats stats;
	dev_t dev;
	ino_t ino;
	char name[NAME_MAX_LEN + 1];
};

/* Locks and files */

static int lock_byte(int fd, off_t byte, short type)
{
	struct flock lk = { .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };

	if (fcntl(fd, F_OFD_SETLK, &lk) == 0)
		return 0;
	return errno == EACCES ? -EAGAIN : -errno;
}

/* Does somebody else hold it? */
static bool is_locked(int fd, off_t byte)
{
	struct flock lk = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };

	/* In doubt it is locked: nothing is taken from anybody. */
	return fcntl(fd, F_OFD_GETLK, &lk) != 0 || lk.l_type != F_UNLCK;
}

static int allocate(int fd, off_t off, off_t len)
{
	while (fallocate(fd, 0, off, len) != 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

static bool is_name(const char *name)
{
	size_t len = strlen(name);

	/* A leading dot is for our own files that are not ready. */
	return len > 0 && len <= NAME_MAX_LEN && name[0] != '.' && !strchr(name, '/');
}

/* A plain file of ours, or the reason why not. */
static int open_file(int dir_fd, const char *name, int flags, struct stat *st_out)
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

static bool has_name(int dir_fd, const char *name, dev_t dev, ino_t ino)
{
	struct stat st;

	return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == dev &&
	       st.st_ino == ino;
}

/* The mapping is not inherited; see "Who is alive". */
static void *map_file(int fd, size_t off, size_t len, int flags)
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

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

static size_t page_bytes(void)
{
	return WEFT_MAX((size_t)sysconf(_SC_PAGESIZE), (size_t)WEFT_SHM_CONTROL);
}

static void temp_name(const char *name, char out[NAME_MAX_LEN + 8])
{
	snprintf(out, NAME_MAX_LEN + 8, ".%s.new", name);
}

/* Opens the file of that name (flags: O_CREAT or 0) and takes its lock TAKE: until it is closed nobody else
 * changes whose the name is. -EEXIST when it has a living owner. */
static int take_name(int dir_fd, const char *name, int flags, struct stat *st_out)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	int err = -EBUSY;

	/* TAKE is held for some system calls, unless its holder is stopped: do not wait for ever. */
	for (int tries = 0; tries < 1000; tries++) {
		struct stat st;
		int fd = open_file(dir_fd, name, flags, &st);

		if (fd < 0)
			return fd;
		err = lock_byte(fd, WEFT_SHM_LOCK_TAKE, F_WRLCK);
		if (err == 0 && !has_name(dir_fd, name, st.st_dev, st.st_ino)) {
			close(fd);
			continue;
		}
		if (err == 0 && !is_locked(fd, WEFT_SHM_LOCK_OWNER)) {
			*st_out = st;
			return fd;
		}
		close(fd);
		if (err == 0)
			return -EEXIST;
		if (err != -EAGAIN)
			return err;
		nanosleep(&pause, NULL);
	}
	return err == -EAGAIN || err == 0 ? -EBUSY : err;
}

/* Senders that still map the file of a dead owner stop at this word. */
static void mark_closed(int fd, const struct stat *st)
{
	const uint32_t one = 1;

	if (st->st_size >= (off_t)sizeof(struct weft_shm_inbox) &&
	    pwrite(fd, &one, sizeof(one), offsetof(struct weft_shm_inbox, closed)) < 0)
		return; /* Then they find out by is_gone. */
}

/* Opening */

static int check_dir(int dir_fd)
{
	struct stat st;

	if (fstat(dir_fd, &st) != 0)
		return -errno;
	return st.st_uid == geteuid() && (st.st_mode & 077) == 0 ? 0 : -EPERM;
}

static int set_sizes(struct weft_local *local, const struct weft_local_cfg *cfg)
{
	size_t page = page_bytes();

	local->frame_max = cfg->frame_max;
	local->lanes = cfg->lanes ? cfg->lanes : LANES_DEFAULT;
	local->lane_bytes = cfg->lane_bytes ? cfg->lane_bytes : LANE_DEFAULT;
	if (local->lanes > LANES_MAX || local->lane_bytes < LANE_BYTES_MIN ||
	    local->lane_bytes > LANE_BYTES_MAX || (local->lane_bytes & (local->lane_bytes - 1)))
		return -EINVAL;
	/* Any frame must fit into an empty ring, wherever that one stands: twice, for what is left before
	 * the wrap. */
	if (!cfg->frame_max || cfg->frame_max > local->lane_bytes / 2 - WEFT_SHM_RECORD)
		return -EINVAL;
	local->inbox_bytes =
		round_up(sizeof(struct weft_shm_inbox) + local->lanes * sizeof(uint32_t), page);
	local->lane_off = (uint32_t)local->inbox_bytes;
	local->lane_stride = (uint32_t)round_up(WEFT_SHM_CONTROL + local->lane_bytes, page);
	return 0;
}

static off_t lane_off(const struct weft_local *local, uint32_t index)
{
	return (off_t)local->lane_off + (off_t)index * local->lane_stride;
}

/* A complete inbox, owner's lock included, under the temporary name. */
static int make_inbox(struct weft_local *local, const char *temp)
{
	struct weft_shm_inbox *inbox;
	struct stat st;
	int fd, err;

	/* What a dead one left; TAKE of the name protects the temporary one too. */
	if (unlinkat(local->dir_fd, temp, 0) != 0 && errno != ENOENT)
		return -errno;
	fd = open_file(local->dir_fd, temp, O_CREAT | O_EXCL, &st);
	if (fd < 0)
		return fd;
	if (ftruncate(fd, lane_off(local, local->lanes)) != 0) {
		err = -errno;
		goto err_unlink;
	}
	err = allocate(fd, 0, (off_t)local->inbox_bytes);
	if (err)
		goto err_unlink;
	err = lock_byte(fd, WEFT_SHM_LOCK_OWNER, F_WRLCK);
	if (err)
		goto err_unlink;
	inbox = map_file(fd, 0, local->inbox_bytes, MAP_POPULATE);
	if (!inbox) {
		err = -errno;
		goto err_unlink;
	}
	local->fd = open_file(local->dir_fd, temp, 0, &st);
	if (local->fd < 0) {
		err = local->fd;
		goto err_unmap;
	}
	inbox->version = WEFT_SHM_VERSION;
	inbox->frame_max = local->frame_max;
	inbox->lanes = local->lanes;
	inbox->lane_bytes = local->lane_bytes;
	inbox->lane_off = local->lane_off;
	inbox->lane_stride = local->lane_stride;
	inbox->magic = WEFT_SHM_MAGIC;
	local->inbox = inbox;
	local->dev = st.st_dev;
	local->ino = st.st_ino;
	close(fd);
	return 0;

err_unmap:
	munmap(inbox, local->inbox_bytes);
err_unlink:
	unlinkat(local->dir_fd, temp, 0);
	close(fd);
	return err;
}

static int own_name(struct weft_local *local)
{
	char temp[NAME_MAX_LEN + 8];
	struct stat st;
	int old_fd, err;

	old_fd = take_name(local->dir_fd, local->name, O_CREAT, &st);
	if (old_fd < 0)
		return old_fd;
	temp_name(local->name, temp);
	mark_closed(old_fd, &st);
	err = make_inbox(local, temp);
	if (err)
		goto err_take;
	if (renameat(local->dir_fd, temp, local->dir_fd, local->name) != 0) {
		err = -errno;
		goto err_make;
	}
	close(old_fd);
	return 0;

err_make:
	unlinkat(local->dir_fd, temp, 0);
	munmap(local->inbox, local->inbox_bytes);
	close(local->fd);
err_take:
	/* It is ours or a dead one's, and of no use to anybody. */
	unlinkat(local->dir_fd, local->name, 0);
	close(old_fd);
	return err;
}

int weft_local_open(const struct weft_local_cfg *cfg, struct weft_local **local_out)
{
	struct weft_local *local;
	int err;

	if (!is_name(cfg->name))
		return -EINVAL;
	local = calloc(1, sizeof(*local));
	if (!local)
		return -ENOMEM;
	memcpy(local->name, cfg->name, strlen(cfg->name));
	err = set_sizes(local, cfg);
	if (err)
		goto err_local;
	local->rx.lane = calloc(local->lanes, sizeof(*local->rx.lane));
	local->rx.used = calloc(local->lanes, sizeof(*local->rx.used));
	if (!local->rx.lane || !local->rx.used) {
		err = -ENOMEM;
		goto err_lanes;
	}
	local->dir_fd = open(cfg->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (local->dir_fd < 0) {
		err = -errno;
		goto err_lanes;
	}
	err = check_dir(local->dir_fd);
	if (err)
		goto err_dir;
	err = own_name(local);
	if (err)
		goto err_dir;
	*local_out = local;
	return 0;

err_dir:
	close(local->dir_fd);
err_lanes:
	free(local->rx.used);
	free(local->rx.lane);
err_local:
	free(local);
	return err;
}

void weft_local_close(struct weft_local *local)
{
	while (local->tx.lanes)
		weft_local_disconnect(local, local->tx.lanes);
	atomic_store(&local->inbox->closed, 1);
	/* While our lock is on it nobody else gives the name away. */
	if (has_name(local->dir_fd, local->name, local->dev, local->ino))
		unlinkat(local->dir_fd, local->name, 0);
	for (uint32_t i = 0; i < local->lanes; i++)
		if (local->rx.lane[i].map)
			munmap(local->rx.lane[i].map, WEFT_SHM_CONTROL + local->lane_bytes);
	munmap(local->inbox, local->inbox_bytes);
	close(local->fd);
	close(local->dir_fd);
	free(local->rx.used);
	free(local->rx.lane);
	free(local);
}

void weft_local_forked(struct weft_local *local)
{
	/* No mapping and no lock came with the fork, and something else may be mapped at these places by now. The
	 * heap is left alone: other threads may have held its locks. */
	close(local->fd);
	close(local->dir_fd);
}

/* Sending */

/* Copies what the inbox says about itself and checks it against the file. */
static int check_inbox(struct weft_lane *lane, const struct stat *st, uint32_t *lanes_out,
		       uint32_t *lane_off_out, uint32_t *lane_stride_out)
{
	const volatile struct weft_shm_inbox *inbox = lane->inbox;
	uint32_t lanes = inbox->lanes, bytes = inbox->lane_bytes, frame_max = inbox->frame_max;
	uint32_t off = inbox->lane_off, stride = inbox->lane_stride;
	size_t page = page_bytes();

	if (inbox->magic != WEFT_SHM_MAGIC || inbox->version != WEFT_SHM_VERSION)
		return -EPROTO;
	if (!lanes || lanes > LANES_MAX || bytes < LANE_BYTES_MIN || bytes > LANE_BYTES_MAX ||
	    (bytes & (bytes - 1)) || !frame_max || frame_max > bytes / 2 - WEFT_SHM_RECORD)
		return -EPROTO;
	if (off != round_up(sizeof(*inbox) + lanes * sizeof(uint32_t), page) ||
	    stride != round_up(WEFT_SHM_CONTROL + bytes, page) ||
	    st->st_size != (off_t)off + (off_t)lanes * stride)
		return -EPROTO;
	lane->ring_bytes = bytes;
	lane->frame_max = frame_max;
	*lanes_out = lanes;
	*lane_off_out = off;
	*lane_stride_out = stride;
	return 0;
}

/* Lock, then claim: 0, -EAGAIN when it is somebody else's. */
static int claim(struct weft_lane *lane, int fd, uint32_t index)
{
	_Atomic uint32_t *state = &lane->inbox->state[index];
	uint32_t word = atomic_load_explicit(state, memory_order_relaxed);
	uint32_t claimed = WEFT_SHM_CLAIM(word + WEFT_SHM_CLAIM_STEP) | WEFT_SHM_CLAIMING;
	int err;

	if (WEFT_SHM_STATE(word) != WEFT_SHM_FREE)
		return -EAGAIN;
	err = lock_byte(fd, WEFT_SHM_LOCK_LANE + (off_t)index, F_WRLCK);
	if (err)
		return err;
	if (!atomic_compare_exchange_strong(state, &word, claimed)) {
		lock_byte(fd, WEFT_SHM_LOCK_LANE + (off_t)index, F_UNLCK);
		return -EAGAIN;
	}
	lane->state = state;
	lane->word = claimed;
	return 0;
}

/* Memory for the claimed lane. */
static int equip(struct weft_lane *lane, int fd, uint32_t index, off_t off)
{
	size_t len = WEFT_SHM_CONTROL + lane->ring_bytes;
	int err = allocate(fd, off, (off_t)len);

	if (err)
		return err;
	lane->map = map_file(fd, (size_t)off, len, MAP_POPULATE);
	if (!lane->map) {
		err = -errno;
		fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, (off_t)len);
		return err;
	}
	lane->map_bytes = len;
	lane->head = (_Atomic uint32_t *)(void *)(lane->map + weft_shm_head_off(index));
	lane->tail = (_Atomic uint32_t *)(void *)(lane->map + weft_shm_tail_off(index));
	lane->ring = lane->map + WEFT_SHM_CONTROL;
	lane->pos = lane->told = lane->tail_seen = WEFT_SHM_POS_FIRST;
	atomic_store_explicit(lane->head, lane->pos, memory_order_relaxed);
	atomic_store_explicit(lane->tail, lane->pos, memory_order_relaxed);
	return 0;
}

static void set_state(struct weft_lane *lane, enum weft_shm_state to)
{
	uint32_t word = WEFT_SHM_CLAIM(lane->word) | to;

	atomic_store(lane->state, word);
	lane->word = word;
}

static int open_lane(struct weft_lane *lane, int fd, const struct stat *st)
{
	uint32_t lanes, off, stride, index;
	int err;

	err = check_inbox(lane, st, &lanes, &off, &stride);
	if (err)
		return err;
	for (index = 0; index < lanes; index++) {
		err = claim(lane, fd, index);
		if (err != -EAGAIN)
			break;
	}
	if (err)
		return err == -EAGAIN ? -ENOSPC : err;
	err = equip(lane, fd, index, (off_t)off + (off_t)index * stride);
	if (err) {
		set_state(lane, WEFT_SHM_FREE);
		return err;
	}
	set_state(lane, WEFT_SHM_OPEN);
	atomic_fetch_add(&lane->inbox->changes, 1);
	return 0;
}

int weft_local_connect(struct weft_local *local, const char *name, struct weft_lane **lane_out)
{
	struct weft_lane *lane;
	struct stat st;
	int fd, err;

	if (!is_name(name))
		return -EINVAL;
	fd = open_file(local->dir_fd, name, 0, &st);
	if (fd < 0)
		return fd == -EACCES || fd == -ELOOP ? -ENOENT : fd;
	/* An empty file: its owner is just about to put the real one in its place. */
	err = -ENOENT;
	if (st.st_size < (off_t)sizeof(*lane->inbox) || !is_locked(fd, WEFT_SHM_LOCK_OWNER))
		goto err_fd;
	lane = calloc(1, sizeof(*lane));
	if (!lane) {
		err = -ENOMEM;
		goto err_fd;
	}
	/* How long the table is stands in it: map what the longest needs. */
	lane->inbox_bytes = WEFT_MIN(
		(size_t)st.st_size,
		round_up(sizeof(*lane->inbox) + LANES_MAX * sizeof(uint32_t), page_bytes()));
	lane->inbox = map_file(fd, 0, lane->inbox_bytes, 0);
	if (!lane->inbox) {
		err = -errno;
		goto err_lane;
	}
	err = open_lane(lane, fd, &st);
	if (err)
		goto err_map;
	lane->local = local;
	lane->dev = st.st_dev;
	lane->ino = st.st_ino;
	memcpy(lane->name, name, strlen(name));
	lane->next = local->tx.lanes;
	local->tx.lanes = lane;
	local->stats.lanes_out++;
	close(fd);
	*lane_out = lane;
	return 0;

err_map:
	munmap(lane->inbox, lane->inbox_bytes);
err_lane:
	free(lane);
err_fd:
	close(fd);
	return err;
}

void weft_local_disconnect(struct weft_local *local, struct weft_lane *lane)
{
	struct weft_lane **at = &local->tx.lanes;
	uint32_t word = atomic_load(lane->state);

	while (*at != lane)
		at = &(*at)->next;
	*at = lane->next;
	local->stats.lanes_out--;
	atomic_store_explicit(lane->head, lane->pos, memory_order_release);
	/* It may have become REFUSED, or nonsense: then it is not ours to touch. */
	while (WEFT_SHM_CLAIM(word) == WEFT_SHM_CLAIM(lane->word) &&
	       (WEFT_SHM_STATE(word) == WEFT_SHM_OPEN || WEFT_SHM_STATE(word) == WEFT_SHM_REFUSED))
		if (atomic_compare_exchange_weak(lane->state, &word,
						 WEFT_SHM_CLAIM(word) | WEFT_SHM_CLOSED))
			break;
	atomic_fetch_add(&lane->inbox->changes, 1);
	munmap(lane->map, lane->map_bytes);
	munmap(lane->inbox, lane->inbox_bytes);
	free(lane);
}

static void publish(struct weft_lane *lane)
{
	atomic_store_explicit(lane->head, lane->pos, memory_order_release);
	lane->told = lane->pos;
}

/* Is there room, by what the receiver says now? 0, -EAGAIN, -EPIPE. */
static int look_for_room(struct weft_lane *lane, uint32_t need)
{
	uint32_t tail = atomic_load_explicit(lane->tail, memory_order_acquire);
	uint32_t used = lane->pos - tail;

	/* It moves only forwards, by whole records, and not beyond us. */
	if (used > lane->pos - lane->tail_seen || used % WEFT_SHM_RECORD) {
		lane->broken = true;
		return -EPIPE;
	}
	lane->tail_seen = tail;
	if (lane->ring_bytes - used >= need)
		return 0;
	publish(lane);
	lane->local->stats.tx_full++;
	return -EAGAIN;
}

static bool is_closed(struct weft_lane *lane)
{
	return lane->broken ||
	       atomic_load_explicit(&lane->inbox->closed, memory_order_relaxed) != 0 ||
	       atomic_load_explicit(lane->state, memory_order_relaxed) != lane->word;
}

static void put_record(uint8_t *ring, uint32_t off, uint64_t record)
{
	atomic_store_explicit((_Atomic uint64_t *)(void *)(ring + off), record,
			      memory_order_relaxed);
}

int weft_local_send(struct weft_lane *lane, const void *head, uint32_t head_len,
		    const struct iovec *iov, uint32_t iov_len)
{
	uint32_t off = lane->pos & (lane->ring_bytes - 1), left = lane->ring_bytes - off;
	uint32_t need, step;
	size_t len = head_len;
	uint8_t *to;
	int err;

	for (uint32_t i = 0; i < iov_len; i++)
		len += iov[i].iov_len;
	if (len > lane->frame_max)
		return -EMSGSIZE;
	if (is_closed(lane))
		return -EPIPE;
	step = WEFT_SHM_RECORD + (uint32_t)round_up(len, WEFT_SHM_RECORD);
	need = step <= left ? step : left + step;
	if (lane->ring_bytes - (lane->pos - lane->tail_seen) < need) {
		err = look_for_room(lane, need);
		if (err)
			return err;
	}
	if (step > left) {
		put_record(lane->ring, off, weft_shm_record(lane->pos, WEFT_SHM_WRAP));
		lane->pos += left;
		off = 0;
	}
	put_record(lane->ring, off, weft_shm_record(lane->pos, (uint32_t)len));
	to = lane->ring + off + WEFT_SHM_RECORD;
	memcpy(to, head, head_len);
	to += head_len;
	for (uint32_t i = 0; i < iov_len; i++) {
		memcpy(to, iov[i].iov_base, iov[i].iov_len);
		to += iov[i].iov_len;
	}
	lane->pos += step;
	lane->unflushed = true;
	lane->local->stats.tx_frames++;
	lane->local->stats.tx_bytes += len;
	if (lane->pos - lane->told >= lane->ring_bytes / 4)
		publish(lane);
	return 0;
}

bool weft_local_flush(struct weft_lane *lane)
{
	uint32_t asleep;

	if (!lane->unflushed)
		return false;
	lane->unflushed = false;
	lane->told = lane->pos;
	/* See "No wake-up is lost". */
	atomic_store_explicit(lane->head, lane->pos, memory_order_seq_cst);
	asleep = atomic_load_explicit(&lane->inbox->asleep, memory_order_seq_cst);
	if (!asleep || asleep == lane->woken)
		return false;
	lane->woken = asleep;
	return true;
}

bool weft_local_is_gone(struct weft_lane *lane)
{
	struct stat st;
	bool gone;
	int fd;

	if (is_closed(lane))
		return true;
	fd = open_file(lane->local->dir_fd, lane->name, 0, &st);
	if (fd < 0) /* Otherwise (no descriptor left, for example) we do not know. */
		return fd == -ENOENT || fd == -EACCES || fd == -ELOOP;
	gone = st.st_dev != lane->dev || st.st_ino != lane->ino ||
	       !is_locked(fd, WEFT_SHM_LOCK_OWNER);
	close(fd);
	return gone;
}

/* Receiving */

/* From `word`; false when it is something else meanwhile. */
static bool swap_state(struct weft_local *local, uint32_t index, uint32_t word,
		       enum weft_shm_state to)
{
	return atomic_compare_exchange_strong(&local->inbox->state[index], &word,
					      WEFT_SHM_CLAIM(word) | to);
}

static void drop_used(struct weft_local *local, struct rx_lane *rx)
{
	uint32_t at = 0;

	if (!rx->in_use)
		return;
	while (local->rx.used[at] != rx->index)
		at++;
	local->rx.used[at] = local->rx.used[--local->rx.used_len];
	rx->in_use = false;
	local->stats.lanes_in--;
}

/* It makes no sense: read no more of it. */
static void give_up(struct weft_local *local, struct rx_lane *rx)
{
	local->stats.rx_bad++;
	drop_used(local, rx);
	rx->given_up = true;
	swap_state(local, rx->index, rx->word, WEFT_SHM_REFUSED);
}

static void free_lane(struct weft_local *local, struct rx_lane *rx)
{
	uint32_t word = atomic_load(&local->inbox->state[rx->index]);

	drop_used(local, rx);
	rx->given_up = false;
	/* Nonsense stays as it is: a lane less. */
	if (WEFT_SHM_CLAIM(word) == WEFT_SHM_CLAIM(rx->word))
		swap_state(local, rx->index, word, WEFT_SHM_FREE);
}

static void take_in(struct weft_local *local, uint32_t index, uint32_t word)
{
	struct rx_lane *rx = &local->rx.lane[index];
	size_t len = WEFT_SHM_CONTROL + local->lane_bytes;

	rx->index = index;
	rx->word = word;
	rx->leaving = WEFT_SHM_STATE(word) == WEFT_SHM_CLOSED;
	if (!rx->map) {
		off_t off = lane_off(local, index);

		if (allocate(local->fd, off, (off_t)len) == 0)
			rx->map = map_file(local->fd, (size_t)off, len, MAP_POPULATE);
		if (!rx->map) {
			give_up(local, rx);
			return;
		}
		rx->head = (_Atomic uint32_t *)(void *)(rx->map + weft_shm_head_off(index));
		rx->tail = (_Atomic uint32_t *)(void *)(rx->map + weft_shm_tail_off(index));
		rx->ring = rx->map + WEFT_SHM_CONTROL;
	}
	rx->pos = rx->told = WEFT_SHM_POS_FIRST;
	rx->given_up = false;
	rx->in_use = true;
	local->rx.used[local->rx.used_len++] = index;
	local->stats.lanes_in++;
}

/* One lane's state has possibly changed. */
static void review(struct weft_local *local, uint32_t index)
{
	struct rx_lane *rx = &local->rx.lane[index];
	uint32_t word = atomic_load_explicit(&local->inbox->state[index], memory_order_acquire);
	bool same = WEFT_SHM_CLAIM(word) == WEFT_SHM_CLAIM(rx->word);

	if (rx->in_use && !same) {
		give_up(local, rx);
		return;
	}
	switch ((enum weft_shm_state)WEFT_SHM_STATE(word)) {
	case WEFT_SHM_OPEN:
		if (!rx->in_use && !(rx->given_up && same))
			take_in(local, index, word);
		break;
	case WEFT_SHM_CLOSED:
		if (rx->given_up && same)
			free_lane(local, rx);
		else if (!rx->in_use)
			take_in(local, index, word);
		else
			rx->leaving = true;
		break;
	case WEFT_SHM_FREE:
	case WEFT_SHM_CLAIMING:
	case WEFT_SHM_REFUSED:
	case WEFT_SHM_RECLAIM:
	default:
		if (rx->in_use)
			give_up(local, rx);
		break;
	}
}

static void review_all(struct weft_local *local)
{
	uint32_t changes = atomic_load_explicit(&local->inbox->changes, memory_order_seq_cst);

	if (changes == local->rx.changes)
		return;
	local->rx.changes = changes;
	for (uint32_t i = 0; i < local->lanes; i++)
		review(local, i);
}

static void tell_tail(struct rx_lane *rx)
{
	atomic_store_explicit(rx->tail, rx->pos, memory_order_release);
	rx->told = rx->pos;
}

/* Frames of one lane, at most `max`. `head` was read from the lane. */
static uint32_t drain(struct weft_local *local, struct rx_lane *rx, uint32_t head, uint32_t max,
		      weft_wire_rx_fn *fn, void *arg)
{
	const uint32_t bytes = local->lane_bytes;
	uint32_t done = 0;

	if (head - rx->pos > bytes || (head - rx->pos) % WEFT_SHM_RECORD)
		goto bad;
	while (done < max && rx->pos != head) {
		uint32_t off = rx->pos & (bytes - 1), left = bytes - off, used = head - rx->pos;
		uint64_t record = atomic_load_explicit(
			(const _Atomic uint64_t *)(const void *)(rx->ring + off),
			memory_order_relaxed);
		uint32_t len = (uint32_t)record, step;
		struct weft_wire_rx frame;

		if (record != weft_shm_record(rx->pos, len))
			goto bad;
		if (len == WEFT_SHM_WRAP) {
			if (left > used)
				goto bad;
			rx->pos += left;
			continue;
		}
		if (len > local->frame_max)
			goto bad;
		step = WEFT_SHM_RECORD + (uint32_t)round_up(len, WEFT_SHM_RECORD);
		if (step > left || step > used)
			goto bad;
		frame = (struct weft_wire_rx){ .data = rx->ring + off + WEFT_SHM_RECORD,
					       .len = len };
		fn(arg, &frame);
		rx->pos += step;
		done++;
		local->stats.rx_frames++;
		local->stats.rx_bytes += len;
		/* Let the sender go on while we read. */
		if (rx->pos - rx->told >= bytes / 8)
			tell_tail(rx);
	}
	tell_tail(rx);
	return done;

bad:
	give_up(local, rx);
	return done;
}

uint32_t weft_local_recv(struct weft_local *local, uint32_t budget, weft_wire_rx_fn *fn, void *arg)
{
	uint32_t done = 0, empty = 0;

	review_all(local);
	while (done < budget && empty < local->rx.used_len) {
		struct rx_lane *rx;
		uint32_t head, got;

		if (local->rx.turn >= local->rx.used_len)
			local->rx.turn = 0;
		rx = &local->rx.lane[local->rx.used[local->rx.turn++]];
		head = atomic_load_explicit(rx->head, memory_order_acquire);
		if (head == rx->pos) {
			empty++;
			if (rx->leaving)
				free_lane(local, rx);
			continue;
		}
		got = drain(local, rx, head, WEFT_MIN(budget - done, TURN_FRAMES), fn, arg);
		done += got;
		empty = got ? 0 : empty + 1;
	}
	if (done)
		weft_local_awake(local);
	return done;
}

bool weft_local_sleep(struct weft_local *local)
{
	local->rx.sleep++;
	if (!local->rx.sleep)
		local->rx.sleep++;
	local->rx.asleep = true;
	/* See "No wake-up is lost". */
	atomic_store_explicit(&local->inbox->asleep, local->rx.sleep, memory_order_seq_cst);
	review_all(local);
	for (uint32_t i = 0; i < local->rx.used_len; i++) {
		struct rx_lane *rx = &local->rx.lane[local->rx.used[i]];

		if (rx->leaving ||
		    atomic_load_explicit(rx->head, memory_order_seq_cst) != rx->pos) {
			weft_local_awake(local);
			return true;
		}
	}
	return false;
}

void weft_local_awake(struct weft_local *local)
{
	if (!local->rx.asleep)
		return;
	local->rx.asleep = false;
	atomic_store_explicit(&local->inbox->asleep, 0, memory_order_relaxed);
}

/* The memory of a free lane goes back to the system. */
static void reclaim(struct weft_local *local, uint32_t index, uint32_t word)
{
	struct rx_lane *rx = &local->rx.lane[index];
	size_t len = WEFT_SHM_CONTROL + local->lane_bytes;

	if (!swap_state(local, index, word, WEFT_SHM_RECLAIM))
		return;
	if (rx->map) {
		munmap(rx->map, len);
		rx->map = NULL;
	}
	/* Not possible: then it stays allocated for the next claim. */
	fallocate(local->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, lane_off(local, index),
		  (off_t)len);
	swap_state(local, index, WEFT_SHM_CLAIM(word) | WEFT_SHM_RECLAIM, WEFT_SHM_FREE);
}

void weft_local_reap(struct weft_local *local)
{
	for (uint32_t i = 0; i < local->lanes; i++) {
		struct rx_lane *rx = &local->rx.lane[i];
		uint32_t word = atomic_load(&local->inbox->state[i]);

		if (WEFT_SHM_STATE(word) == WEFT_SHM_FREE) {
			if (rx->map && !rx->in_use)
				reclaim(local, i, word);
			continue;
		}
		if (rx->leaving && rx->in_use)
			continue;
		if (is_locked(local->fd, WEFT_SHM_LOCK_LANE + (off_t)i))
			continue;
		/* What it had sent is delivered, also when we have not seen the lane so far. */
		review(local, i);
		if (rx->in_use)
			rx->leaving = true;
		else
			reclaim(local, i, word);
	}
}

int weft_local_sweep(const char *dir)
{
	int dir_fd, err;
	struct dirent *ent;
	DIR *stream;

	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir_fd < 0)
		return -errno;
	err = check_dir(dir_fd);
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
		char temp[NAME_MAX_LEN + 8];
		struct stat st;
		int fd;

		if (!is_name(ent->d_name))
			continue;
		fd = take_name(dir_fd, ent->d_name, 0, &st);
		if (fd < 0)
			continue;
		mark_closed(fd, &st);
		temp_name(ent->d_name, temp);
		unlinkat(dir_fd, temp, 0);
		unlinkat(dir_fd, ent->d_name, 0);
		close(fd);
	}
	closedir(stream);
	return 0;
}

void weft_local_stats(const struct weft_local *local, struct weft_local_stats *stats_out)
{
	*stats_out = local->stats;
}
