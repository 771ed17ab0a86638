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
 * A record appears
 *
 * The ring holds bytes of earlier turns, and among these what applications chose, so a place may look
 * like a record head by malice. But the receiver only ever looks at the place behind the last record that it has
 * seen, and there stood 0 before that record's head did: for each record the sender first stores 0 behind it
 * (where this is the place of a record that is not read yet, the ring is full), then the frame, then its head,
 * and the head is a release. The first place of a claim is 0 before the lane is OPEN. Where the ring wraps, the
 * record at the start is complete before the WRAP is stored that leads there. So the receiver finds 0
 * or a whole record, also when the sender has died at any point of this.
 *
 * What is sent together becomes visible together: the head of the first record is held back until all others are
 * complete (weft_lane's `held`). Were each stored at once, the receiver would fetch the lines that the sender
 * is about to write, over and over. (Measured: lanes alone, batches of 16: 30 instead of 95 M/s.)
 *
 * No wake-up is lost
 *
 * The receiver stores `asleep` and then loads the record heads; a sender stores a record head and then loads
 * `asleep`. Each has a fence between the two, so at least one of them sees the other's store. `asleep` is a number,
 * and each sender reports each number once: were one sender to clear it for all, its death before it wakes the
 * receiver would silence the others.
 *
 * The sender's fence costs nothing that could be saved: it waits for the lines just written, but so does the lock
 * that whoever sends gives back right afterwards. (Measured: without it neither latency nor rate change.) */
#define _GNU_SOURCE
#include "wire/local_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int set_sizes(struct weft_local *local, const struct weft_local_cfg *cfg)
{
	struct weft_shm_layout layout;
	int err;

	local->frame_max = cfg->frame_max;
	local->lanes = cfg->lanes ? cfg->lanes : WEFT_SHM_LANES_DEFAULT;
	local->lane_bytes = cfg->lane_bytes ? cfg->lane_bytes : WEFT_SHM_LANE_DEFAULT;
	err = weft_shm_layout(local->frame_max, local->lanes, local->lane_bytes, &layout);
	if (err)
		return err;
	local->inbox_bytes = layout.inbox_bytes;
	local->lane_off = layout.lane_off;
	local->lane_stride = layout.lane_stride;
	return 0;
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
	fd = weft_shm_open_file(local->dir_fd, temp, O_CREAT | O_EXCL, &st);
	if (fd < 0)
		return fd;
	if (ftruncate(fd, weft_local_lane_off(local, local->lanes)) != 0) {
		err = -errno;
		goto err_unlink;
	}
	err = weft_shm_allocate(fd, 0, (off_t)local->inbox_bytes);
	if (err)
		goto err_unlink;
	err = weft_shm_lock_byte(fd, WEFT_SHM_LOCK_OWNER, F_WRLCK);
	if (err)
		goto err_unlink;
	inbox = weft_shm_map_file(fd, 0, local->inbox_bytes, MAP_POPULATE);
	if (!inbox) {
		err = -errno;
		goto err_unlink;
	}
	local->fd = weft_shm_open_file(local->dir_fd, temp, 0, &st);
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
	char temp[WEFT_SHM_NAME_MAX_LEN + 8];
	struct stat st;
	int old_fd, err;

	old_fd = weft_shm_take_name(local->dir_fd, local->name, O_CREAT, &st);
	if (old_fd < 0)
		return old_fd;
	weft_shm_temp_name(local->name, temp);
	weft_shm_mark_closed(old_fd, &st);
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

	if (!weft_shm_is_name(cfg->name))
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
	err = weft_shm_check_dir(local->dir_fd);
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
	if (weft_shm_has_name(local->dir_fd, local->name, local->dev, local->ino))
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

void weft_local_stats(const struct weft_local *local, struct weft_local_stats *stats_out)
{
	*stats_out = local->stats;
}
