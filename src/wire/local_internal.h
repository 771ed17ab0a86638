/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_WIRE_LOCAL_INTERNAL_H
#define WEFT_WIRE_LOCAL_INTERNAL_H

/* Shared by local*.c only: the state of a process-card, and what they ask of the file system. */
#include "wire/local.h"
#include "wire/local_shm.h"

#include <sys/stat.h>
#include <sys/types.h>

#define WEFT_SHM_NAME_MAX_LEN   63u
#define WEFT_SHM_LANES_DEFAULT  256u
#define WEFT_SHM_LANES_MAX      4096u
#define WEFT_SHM_LANE_DEFAULT   (128u << 10)
#define WEFT_SHM_LANE_BYTES_MIN 4096u
#define WEFT_SHM_LANE_BYTES_MAX (64u << 20)

/* A lane of our inbox. */
struct weft_rx_lane {
	_Atomic uint32_t *tail; /* In map. */
	const uint8_t *ring; /* In map. */
	uint32_t pos; /* Of the next record; `tail` follows. */
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
	_Atomic uint32_t *tail; /* In map. */
	_Atomic uint32_t *state; /* In inbox. */
	uint8_t *ring; /* In map. */
	uint32_t ring_bytes, frame_max;
	uint32_t pos; /* Of the next record. */
	/* Head of the first record that is not visible yet, and its place, where 0 stands; the heads behind it
	 * stand in the ring already. 0: all is visible. */
	uint64_t held;
	uint32_t held_pos;
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
	char name[WEFT_SHM_NAME_MAX_LEN + 1];
};

struct weft_local {
	struct weft_shm_inbox *inbox; /* Owns. Its mapping holds the owner's lock. */
	size_t inbox_bytes;
	uint32_t frame_max, lanes, lane_bytes, lane_off, lane_stride;
	int dir_fd; /* Owns. */
	int fd; /* Owns. Another description of the inbox: holds no lock. */
	struct {
		struct weft_rx_lane *lane; /* Owns: [lanes]. */
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
	char name[WEFT_SHM_NAME_MAX_LEN + 1];
};

static inline size_t weft_shm_round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

/* Where things stand in a file, from what its owner chose. */
struct weft_shm_layout {
	size_t inbox_bytes;
	uint32_t lane_off, lane_stride;
	off_t file_bytes;
};

/* Of lane `index` in our inbox. */
static inline off_t weft_local_lane_off(const struct weft_local *local, uint32_t index)
{
	return (off_t)local->lane_off + (off_t)index * local->lane_stride;
}

/* local_file.c. All return 0 (or a descriptor) or -errno. */
int weft_shm_lock_byte(int fd, off_t byte, short type); /* -EAGAIN: somebody else has it. */
bool weft_shm_is_locked(int fd, off_t byte); /* By somebody else. */
int weft_shm_allocate(int fd, off_t off, off_t len);
/* -EINVAL when one of the sizes is out of bounds. */
int weft_shm_layout(uint32_t frame_max, uint32_t lanes, uint32_t lane_bytes,
		    struct weft_shm_layout *layout_out);
bool weft_shm_is_name(const char *name);
int weft_shm_check_dir(int dir_fd); /* -EPERM unless it is ours alone. */
/* A plain file of ours; -EACCES when it is something else. */
int weft_shm_open_file(int dir_fd, const char *name, int flags, struct stat *st_out);
/* Does the name (still) lead to this file? */
bool weft_shm_has_name(int dir_fd, const char *name, dev_t dev, ino_t ino);
/* Not inherited by children. NULL and errno. */
void *weft_shm_map_file(int fd, size_t off, size_t len, int flags);
void weft_shm_temp_name(const char *name, char out[WEFT_SHM_NAME_MAX_LEN + 8]);
int weft_shm_take_name(int dir_fd, const char *name, int flags, struct stat *st_out);
void weft_shm_mark_closed(int fd, const struct stat *st);

#endif
