/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "wire/local.h"

#include "base/crc32c.h"
#include "base/prng.h"
#include "wire/local_shm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

#define FRAME_MAX 1500u
#define RING      4096u

static char dir[64];

/* A directory of its own for each case, in shared memory where there is some. */
static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "%s/weft-test-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	DIR *d = opendir(dir);
	struct dirent *ent;

	(void)state;
	while (d && (ent = readdir(d)) != NULL)
		unlinkat(dirfd(d), ent->d_name, 0);
	if (d)
		closedir(d);
	return rmdir(dir);
}

static struct weft_local_cfg cfg_of(const char *name)
{
	return (struct weft_local_cfg){
		.dir = dir, .name = name, .frame_max = FRAME_MAX, .lane_bytes = RING, .lanes = 8
	};
}

static int try_open(const char *name, struct weft_local **local_out)
{
	struct weft_local_cfg cfg = cfg_of(name);

	return weft_local_open(&cfg, local_out);
}

/* Also used in children, where cmocka's asserts would report twice. */
#define must(expr)                                                                 \
	do {                                                                       \
		if (!(expr)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #expr); \
			abort();                                                   \
		}                                                                  \
	} while (0)

static struct weft_local *open_one(const char *name)
{
	struct weft_local *local;

	must(try_open(name, &local) == 0);
	return local;
}

static struct weft_lane *connect_to(struct weft_local *local, const char *name)
{
	struct weft_lane *lane;

	/* The peer may be a process that has only been started. */
	while (weft_local_connect(local, name, &lane) == -ENOENT)
		sched_yield();
	return lane;
}

static struct weft_local_stats stats_of(const struct weft_local *local)
{
	struct weft_local_stats stats;

	weft_local_stats(local, &stats);
	return stats;
}

/* Children */

static pid_t start(void (*fn)(void *arg), void *arg)
{
	pid_t pid = fork();

	must(pid >= 0);
	if (pid == 0) {
		alarm(100);
		fn(arg);
		_exit(0);
	}
	return pid;
}

/* What it ended with: exit status, or the signal and 256. */
static int reaped(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		must(errno == EINTR);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

static void kill_and_wait(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(reaped(pid), 256 + SIGKILL);
}

/* Frames that can be checked: sender, number, random length and bytes, and a checksum over all. */
struct check {
	uint32_t from, seq, len, crc;
};

struct flow {
	struct weft_prng rnd;
	uint32_t from, seq;
};

struct sink {
	uint64_t frames, bytes;
	uint32_t next[8]; /* Number of the next frame of each sender. */
	uint32_t last_from;
};

static int send_checked(struct weft_lane *lane, struct flow *flow)
{
	struct weft_prng rnd = flow->rnd;
	uint8_t body[FRAME_MAX];
	struct check head = { .from = flow->from, .seq = flow->seq };
	uint32_t cut, crc;
	struct iovec iov[2];
	int err;

	head.len = weft_prng_below(&rnd, FRAME_MAX - sizeof(head) + 1);
	/* Mostly small ones, so that there are many in the ring. */
	if (weft_prng_below(&rnd, 4))
		head.len %= 64;
	for (uint32_t i = 0; i < head.len; i += 8) {
		uint64_t word = weft_prng_next(&rnd);

		memcpy(body + i, &word, WEFT_MIN(8u, head.len - i));
	}
	crc = weft_crc32c(0, &head, offsetof(struct check, crc));
	head.crc = weft_crc32c(crc, body, head.len);
	cut = weft_prng_below(&rnd, head.len + 1);
	iov[0] = (struct iovec){ .iov_base = body, .iov_len = cut };
	iov[1] = (struct iovec){ .iov_base = body + cut, .iov_len = head.len - cut };
	err = weft_local_send(lane, &head, sizeof(head), iov, 2);
	if (err)
		return err;
	flow->rnd = rnd;
	flow->seq++;
	return 0;
}

static void on_checked(void *arg, const struct weft_wire_rx *rx)
{
	struct sink *sink = arg;
	struct check head;
	uint32_t crc;

	must(rx->len >= sizeof(head) && rx->len <= FRAME_MAX);
	memcpy(&head, rx->data, sizeof(head));
	must(head.len == rx->len - sizeof(head));
	crc = weft_crc32c(0, &head, offsetof(struct check, crc));
	must(weft_crc32c(crc, rx->data + sizeof(head), head.len) == head.crc);
	must(head.from < WEFT_ARRAY_SIZE(sink->next) && head.seq == sink->next[head.from]);
	sink->next[head.from]++;
	sink->last_from = head.from;
	sink->frames++;
	sink->bytes += rx->len;
}

static void on_any(void *arg, const struct weft_wire_rx *rx)
{
	uint32_t *sum = arg;

	must(rx->len <= FRAME_MAX);
	*sum = weft_crc32c(*sum, rx->data, rx->len);
}

static void on_length(void *arg, const struct weft_wire_rx *rx)
{
	uint64_t *seen = arg;

	*seen += rx->len;
}

static void send_text(struct weft_lane *lane, const char *text)
{
	must(weft_local_send(lane, text, (uint32_t)strlen(text), NULL, 0) == 0);
}

/* Opening */

static void weft_local_open__bad_arguments(void **state)
{
	static const struct {
		const char *name;
		uint32_t frame_max, lane_bytes, lanes;
		int err;
	} rows[] = {
		{ "", 100, 0, 0, -EINVAL }, /* 0 */
		{ "a/b", 100, 0, 0, -EINVAL },
		{ ".a", 100, 0, 0, -EINVAL },
		{ "0123456789012345678901234567890123456789012345678901234567890123", 100, 0, 0,
		  -EINVAL },
		{ "012345678901234567890123456789012345678901234567890123456789012", 100, 0, 0, 0 },
		{ "a", 0, 0, 0, -EINVAL }, /* 5 */
		{ "a", 100, 5000, 0, -EINVAL },
		{ "a", 100, 2048, 0, -EINVAL },
		{ "a", 2041, 4096, 0, -EINVAL },
		{ "a", 2040, 4096, 0, 0 },
		{ "a", 100, 0, 4097, -EINVAL }, /* 10 */
		{ "a", 100, 4096, 4096, 0 },
		{ "a", 9100, 0, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct weft_local_cfg cfg = { .dir = dir,
					      .name = rows[i].name,
					      .frame_max = rows[i].frame_max,
					      .lane_bytes = rows[i].lane_bytes,
					      .lanes = rows[i].lanes };
		struct weft_local *local = NULL;

		assert_int_equal(weft_local_open(&cfg, &local), rows[i].err);
		if (rows[i].err)
			assert_null(local);
		else
			weft_local_close(local);
	}
}

static void weft_local_open__file_and_directory(void **state)
{
	struct weft_local *local;
	char path[96];
	struct stat st;

	(void)state;
	umask(0);
	local = open_one("a");
	snprintf(path, sizeof(path), "%s/a", dir);
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	/* Little is allocated before somebody connects. */
	assert_true(st.st_blocks * 512 <= 65536);
	weft_local_close(local);
	assert_int_equal(lstat(path, &st), -1);

	/* Things that are not a file of ours are left alone. */
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(try_open("a", &local), -ELOOP);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(try_open("a", &local), -EACCES);
	assert_int_equal(lstat(path, &st), 0);

	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(try_open("b", &local), -EPERM);
	assert_int_equal(weft_local_sweep(dir), -EPERM);
	assert_int_equal(chmod(dir, 0700), 0);
}

static void weft_local_open__name_of_a_living_owner(void **state)
{
	struct weft_local *local = open_one("a"), *other;
	struct weft_lane *lane;

	(void)state;
	assert_int_equal(try_open("a", &other), -EEXIST);
	assert_int_equal(weft_local_sweep(dir), 0);
	lane = connect_to(local, "a");
	assert_false(weft_local_is_gone(lane));
	weft_local_close(local);
	assert_int_equal(try_open("a", &local), 0);
	weft_local_close(local);
}

static void stay(void *name)
{
	struct weft_local *local = open_one(name);
	uint32_t sum = 0;

	for (;;)
		weft_local_recv(local, 16, on_any, &sum);
}

static void weft_local_open__name_of_a_dead_owner(void **state)
{
	struct weft_local *local = open_one("b"), *heir, *other;
	pid_t pid = start(stay, "a");
	struct weft_lane *lane, *lane2;
	struct sink sink = { 0 };
	struct flow flow = { .from = 1 };

	(void)state;
	lane = connect_to(local, "a");
	assert_false(weft_local_is_gone(lane));
	kill_and_wait(pid);
	assert_true(weft_local_is_gone(lane));
	assert_int_equal(weft_local_connect(local, "a", &lane2), -ENOENT);
	/* Nobody has said so yet. */
	assert_int_equal(weft_local_send(lane, "x", 1, NULL, 0), 0);
	heir = open_one("a");
	assert_int_equal(weft_local_send(lane, "x", 1, NULL, 0), -EPIPE);
	assert_int_equal(try_open("a", &other), -EEXIST);
	lane2 = connect_to(local, "a");
	assert_int_equal(send_checked(lane2, &flow), 0);
	weft_local_flush(lane2);
	weft_local_disconnect(local, lane);
	assert_int_equal(weft_local_recv(heir, 8, on_checked, &sink), 1);
	weft_local_close(local);
	weft_local_close(heir);
}

/* Bytes that any process may have left under the name. */
static void weft_local_open__name_of_garbage(void **state)
{
	struct weft_local *local = open_one("b"), *heir;
	struct weft_lane *lane;
	char path[96], text[3000];

	(void)state;
	snprintf(path, sizeof(path), "%s/a", dir);
	for (size_t len = 0; len <= sizeof(text); len += 100) {
		int fd = open(path, O_CREAT | O_WRONLY, 0600);

		memset(text, 'x', sizeof(text));
		assert_int_equal(write(fd, text, len), len);
		close(fd);
		assert_int_equal(weft_local_connect(local, "a", &lane), -ENOENT);
		heir = open_one("a");
		assert_int_equal(weft_local_connect(local, "a", &lane), 0);
		weft_local_close(heir);
	}
	weft_local_close(local);
}

struct race {
	int go[2], result[2];
};

static void racer(void *arg)
{
	struct race *race = arg;
	struct weft_local *local;
	char c;

	close(race->go[1]);
	must(read(race->go[0], &c, 1) == 0); /* All are let go by the end of file. */
	c = (char)-try_open("a", &local);
	must(write(race->result[1], &c, 1) == 1);
	if (c == 0)
		for (;;)
			pause();
}

/* A dead one's file, several that want it at the same time: one gets it. The winner is killed, next round. */
static void weft_local_open__one_winner(void **state)
{
	enum {
		RACERS = 6,
		ROUNDS = 40
	};

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		struct race race;
		pid_t pid[RACERS];
		int won = 0;

		assert_int_equal(pipe(race.go), 0);
		assert_int_equal(pipe(race.result), 0);
		for (int i = 0; i < RACERS; i++)
			pid[i] = start(racer, &race);
		close(race.go[0]);
		close(race.go[1]);
		for (int i = 0; i < RACERS; i++) {
			char c;

			assert_int_equal(read(race.result[0], &c, 1), 1);
			if (c == 0)
				won++;
			else
				assert_int_equal(c, EEXIST);
		}
		assert_int_equal(won, 1);
		for (int i = 0; i < RACERS; i++) {
			kill(pid[i], SIGKILL);
			reaped(pid[i]);
		}
		close(race.result[0]);
		close(race.result[1]);
	}
}

static void open_and_close(void *arg)
{
	uint32_t opened = 0;

	(void)arg;
	while (opened < 300) {
		struct weft_local *local;
		struct stat st;
		char path[96];
		int err = try_open("a", &local);

		if (err) {
			must(err == -EEXIST);
			continue;
		}
		/* While it is ours nobody else has it: the file that says so is not replaced. */
		snprintf(path, sizeof(path), "%s/mine", dir);
		must(mkdir(path, 0700) == 0);
		snprintf(path, sizeof(path), "%s/a", dir);
		must(lstat(path, &st) == 0);
		snprintf(path, sizeof(path), "%s/mine", dir);
		must(rmdir(path) == 0);
		weft_local_close(local);
		opened++;
	}
}

static void weft_local_close__against_open(void **state)
{
	pid_t pid[3];

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(pid); i++)
		pid[i] = start(open_and_close, NULL);
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(pid); i++)
		assert_int_equal(reaped(pid[i]), 0);
}

static void weft_local_sweep__dead_ones_only(void **state)
{
	struct weft_local *local = open_one("alive");
	pid_t pid = start(stay, "dead");
	struct weft_lane *lane = connect_to(local, "dead");
	char path[96];

	(void)state;
	assert_int_equal(weft_local_sweep(dir), 0);
	assert_false(weft_local_is_gone(lane));
	kill_and_wait(pid);
	assert_int_equal(weft_local_sweep(dir), 0);
	snprintf(path, sizeof(path), "%s/dead", dir);
	assert_int_equal(access(path, F_OK), -1);
	snprintf(path, sizeof(path), "%s/alive", dir);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(weft_local_send(lane, "x", 1, NULL, 0), -EPIPE);
	weft_local_close(local);
}

/* Connecting */

static void weft_local_connect__nobody(void **state)
{
	struct weft_local *local = open_one("a");
	struct weft_lane *lane;

	(void)state;
	assert_int_equal(weft_local_connect(local, "b", &lane), -ENOENT);
	assert_int_equal(weft_local_connect(local, "../b", &lane), -EINVAL);
	assert_int_equal(stats_of(local).lanes_out, 0);
	weft_local_close(local);
}

static void weft_local_connect__table_full(void **state)
{
	struct weft_local *to = open_one("to"), *from = open_one("from");
	struct weft_lane *lane[9];
	struct sink sink = { 0 };

	(void)state;
	for (int i = 0; i < 8; i++)
		assert_int_equal(weft_local_connect(from, "to", &lane[i]), 0);
	assert_int_equal(weft_local_connect(from, "to", &lane[8]), -ENOSPC);
	assert_int_equal(stats_of(from).lanes_out, 8);
	assert_int_equal(weft_local_recv(to, 8, on_checked, &sink), 0);
	assert_int_equal(stats_of(to).lanes_in, 8);
	/* Free when the receiver has seen that it is empty. */
	weft_local_disconnect(from, lane[3]);
	assert_int_equal(weft_local_connect(from, "to", &lane[3]), -ENOSPC);
	assert_int_equal(weft_local_recv(to, 8, on_checked, &sink), 0);
	assert_int_equal(stats_of(to).lanes_in, 7);
	assert_int_equal(weft_local_connect(from, "to", &lane[3]), 0);
	weft_local_close(from);
	weft_local_recv(to, 8, on_checked, &sink);
	assert_int_equal(stats_of(to).lanes_in, 0);
	weft_local_close(to);
}

static off_t allocated(const char *name)
{
	char path[96];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	must(stat(path, &st) == 0);
	return st.st_blocks * 512;
}

static void weft_local_connect__memory_comes_and_goes(void **state)
{
	struct weft_local *to = open_one("to"), *from = open_one("from");
	off_t before = allocated("to");
	struct weft_lane *lane[8];
	struct sink sink = { 0 };

	(void)state;
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 8; i++)
			lane[i] = connect_to(from, "to");
		assert_true(allocated("to") >= before + 8 * (off_t)RING);
		for (int i = 0; i < 8; i++)
			weft_local_disconnect(from, lane[i]);
		weft_local_recv(to, 1, on_checked, &sink);
		weft_local_reap(to);
		assert_int_equal(allocated("to"), before);
	}
	weft_local_close(from);
	weft_local_close(to);
}

static void put_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		_exit(77);
	close(fd);
}

/* In a file system that holds no more than some lanes. */
static void fill_up(void *arg)
{
	uint32_t connected = 0, sum = 0;
	struct weft_local *to, *from;
	uid_t uid = geteuid();
	struct weft_lane *lane;
	gid_t gid = getegid();
	char map[32];
	int err;

	(void)arg;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
		_exit(77);
	snprintf(map, sizeof(map), "0 %u 1", (unsigned int)uid);
	put_text("/proc/self/uid_map", map);
	put_text("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "0 %u 1", (unsigned int)gid);
	put_text("/proc/self/gid_map", map);
	if (mount("weft", dir, "tmpfs", 0, "size=65536,mode=700") != 0)
		_exit(77);
	to = open_one("to");
	from = open_one("from");
	while ((err = weft_local_connect(from, "to", &lane)) == 0) {
		connected++;
		for (uint32_t i = 0; i < 100; i++) {
			must(weft_local_send(lane, dir, sizeof(dir), NULL, 0) == 0);
			weft_local_flush(lane);
			must(weft_local_recv(to, 64, on_any, &sum) == 1);
		}
	}
	must(err == -ENOSPC);
	must(connected >= 2 && connected < 8);
	weft_local_close(from);
	weft_local_recv(to, 64, on_any, &sum);
	weft_local_reap(to);
	from = open_one("from");
	must(weft_local_connect(from, "to", &lane) == 0);
}

static void weft_local_connect__no_memory(void **state)
{
	int status = reaped(start(fill_up, NULL));

	(void)state;
	/* cmocka's own skip() is a failure to who reads its TAP. */
	if (status == 77) {
		print_message("# skipped: no file system of our own to fill\n");
		return;
	}
	assert_int_equal(status, 0);
}

/* Frames */

static void weft_local_send__visible_when_flushed(void **state)
{
	struct weft_local *local = open_one("a");
	struct weft_lane *lane = connect_to(local, "a");
	struct sink sink = { 0 };
	struct flow flow = { .from = 1 };

	(void)state;
	assert_int_equal(send_checked(lane, &flow), 0);
	assert_int_equal(weft_local_recv(local, 8, on_checked, &sink), 0);
	assert_false(weft_local_flush(lane));
	assert_int_equal(weft_local_recv(local, 8, on_checked, &sink), 1);
	/* Not flushed, but sent; and a lane that is left is read to its end. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(send_checked(lane, &flow), 0);
	weft_local_disconnect(local, lane);
	assert_int_equal(weft_local_recv(local, 8, on_checked, &sink), 3);
	assert_int_equal(stats_of(local).lanes_in, 0);
	weft_local_close(local);
}

static void weft_local_send__too_long(void **state)
{
	struct weft_local *local = open_one("a");
	struct weft_lane *lane = connect_to(local, "a");
	static uint8_t buf[FRAME_MAX];
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };
	uint32_t sum = 0;

	(void)state;
	assert_int_equal(weft_local_send(lane, buf, 1, &iov, 1), -EMSGSIZE);
	assert_int_equal(weft_local_send(lane, buf, 0, &iov, 1), 0);
	assert_int_equal(weft_local_send(lane, buf, 0, NULL, 0), 0);
	weft_local_flush(lane);
	assert_int_equal(weft_local_recv(local, 8, on_any, &sum), 2);
	assert_int_equal(stats_of(local).rx_bytes, FRAME_MAX);
	weft_local_close(local);
}

static void weft_local_send__full(void **state)
{
	struct weft_local *local = open_one("a");
	struct weft_lane *lane = connect_to(local, "a");
	struct sink sink = { 0 };
	struct flow flow = { .from = 1 };

	(void)state;
	for (int round = 0; round < 500; round++) {
		while (send_checked(lane, &flow) == 0)
			;
		/* All of it is visible, or a receiver that is not told to look would never make room. */
		while (weft_local_recv(local, 3, on_checked, &sink) == 3)
			;
		assert_int_equal(sink.frames, flow.seq);
	}
	assert_int_equal(stats_of(local).tx_full, 500);
	assert_int_equal(stats_of(local).rx_bad, 0);
	assert_int_equal(stats_of(local).tx_frames, stats_of(local).rx_frames);
	assert_int_equal(stats_of(local).tx_bytes, stats_of(local).rx_bytes);
	weft_local_close(local);
}

static void weft_local_send__closed_by_receiver(void **state)
{
	struct weft_local *to = open_one("to"), *from = open_one("from");
	struct weft_lane *lane = connect_to(from, "to");

	(void)state;
	weft_local_close(to);
	assert_int_equal(weft_local_send(lane, "x", 1, NULL, 0), -EPIPE);
	assert_true(weft_local_is_gone(lane));
	weft_local_close(from);
}

/* Room is for whole records and for the place behind them. */
static void weft_local_send__full_to_the_byte(void **state)
{
	static uint8_t buf[FRAME_MAX];
	static const uint32_t lens[] = { 0, 1, 8, 56, 57, 500, 1016, FRAME_MAX };
	struct weft_local *local = open_one("a");

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(lens); i++) {
		uint32_t len = lens[i], fit = 0, sum = 0;
		uint32_t room = (RING - WEFT_SHM_RECORD) / weft_shm_step(len);
		struct weft_lane *lane = connect_to(local, "a");

		while (weft_local_send(lane, buf, len, NULL, 0) == 0)
			fit++;
		assert_int_equal(fit, room);
		/* Refused, but what was sent before is visible: else nobody would make room. */
		assert_int_equal(weft_local_recv(local, 1, on_any, &sum), 1);
		if (RING % weft_shm_step(len) == 0) { /* Others wait for more, to wrap. */
			assert_int_equal(weft_local_send(lane, buf, len, NULL, 0), 0);
			assert_int_equal(weft_local_send(lane, buf, len, NULL, 0), -EAGAIN);
		}
		weft_local_disconnect(local, lane);
		while (weft_local_recv(local, 64, on_any, &sum))
			;
		assert_int_equal(stats_of(local).lanes_in, 0);
	}
	assert_int_equal(stats_of(local).rx_bad, 0);
	weft_local_close(local);
}

/* The longest frames that a ring takes: into an empty one they fit, wherever it stands. */
static void weft_local_send__half_a_ring(void **state)
{
	struct weft_local_cfg cfg = cfg_of("a");
	static uint8_t buf[RING / 2 - WEFT_SHM_RECORD];
	struct weft_local *local;
	struct weft_lane *lane;
	struct weft_prng rnd;
	uint64_t seen = 0;

	(void)state;
	weft_prng_init(&rnd, 13);
	cfg.frame_max = sizeof(buf);
	assert_int_equal(weft_local_open(&cfg, &local), 0);
	lane = connect_to(local, "a");
	for (int i = 0; i < 5000; i++) {
		uint32_t len = i % 2 ? sizeof(buf) : weft_prng_below(&rnd, sizeof(buf));

		assert_int_equal(weft_local_send(lane, buf, len, NULL, 0), 0);
		weft_local_flush(lane);
		assert_int_equal(weft_local_recv(local, 8, on_length, &seen), 1);
	}
	assert_int_equal(stats_of(local).tx_bytes, seen);
	weft_local_close(local);
}

/* Payloads that look like records, of this turn and of the next, at every place where one could be looked for. */
static uint32_t forge(uint8_t *buf, uint32_t at, uint32_t len, uint32_t turn)
{
	for (uint32_t off = 0; off + 8 <= len; off += 8) {
		uint64_t record = weft_shm_record(at + off + turn, 8);

		memcpy(buf + off, &record, sizeof(record));
	}
	return len;
}

static void weft_local_recv__payload_of_records(void **state)
{
	static uint8_t buf[FRAME_MAX];
	struct weft_prng rnd;

	(void)state;
	weft_prng_init(&rnd, 11);
	for (uint32_t turn = 0; turn <= RING; turn += RING) {
		struct weft_local *local = open_one("a");
		struct weft_lane *lane = connect_to(local, "a");
		uint32_t pos = weft_shm_pos_first(0), sent = 0, seen = 0, sum = 0;

		for (int i = 0; i < 20000; i++) {
			uint32_t len = 8 * weft_prng_below(&rnd, i % 3 ? 12 : FRAME_MAX / 8);
			uint32_t left = RING - pos % RING;
			uint32_t at = weft_shm_step(len) <= left ? pos : pos + left;

			forge(buf, at + WEFT_SHM_RECORD, len, turn);
			if (weft_local_send(lane, buf, len, NULL, 0) == 0) {
				pos = at + weft_shm_step(len);
				sent++;
			}
			/* Nothing but what was sent, whether the last ones are visible or not. */
			if (weft_prng_below(&rnd, 2))
				weft_local_flush(lane);
			if (weft_prng_below(&rnd, 2))
				seen += weft_local_recv(local, 1 + weft_prng_below(&rnd, 8), on_any,
							&sum);
			assert_true(seen <= sent);
		}
		weft_local_flush(lane);
		while (seen < sent) {
			uint32_t got = weft_local_recv(local, 64, on_any, &sum);

			assert_true(got > 0);
			seen += got;
		}
		assert_int_equal(weft_local_recv(local, 64, on_any, &sum), 0);
		assert_int_equal(stats_of(local).tx_bytes, stats_of(local).rx_bytes);
		assert_int_equal(stats_of(local).rx_bad, 0);
		weft_local_close(local);
	}
}

/* A lane that is claimed again has the records of the one before, heads and all, unless its memory went back. */
static void weft_local_connect__ring_of_another(void **state)
{
	struct weft_local *to = open_one("to"), *from = open_one("from");
	uint32_t sum = 0;

	(void)state;
	for (int round = 0; round < 4; round++) {
		struct weft_lane *lane = connect_to(from, "to");

		assert_int_equal(weft_local_recv(to, 8, on_any, &sum), 0);
		for (int i = 0; i < 5; i++)
			send_text(lane, "hello");
		assert_int_equal(weft_local_recv(to, 8, on_any, &sum), 0);
		weft_local_publish(lane);
		assert_int_equal(weft_local_recv(to, 8, on_any, &sum), 5);
		weft_local_disconnect(from, lane);
		assert_int_equal(weft_local_recv(to, 8, on_any, &sum), 0);
		assert_int_equal(stats_of(to).lanes_in, 0);
		if (round % 2)
			weft_local_reap(to);
	}
	assert_int_equal(stats_of(to).rx_bad, 0);
	weft_local_close(from);
	weft_local_close(to);
}

/* Two senders with full lanes and small budgets. */
static void weft_local_recv__in_turn(void **state)
{
	struct weft_local *local = open_one("a");
	struct weft_lane *lane[3];
	struct flow flow[3];
	struct sink sink = { 0 };

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		lane[i] = connect_to(local, "a");
		flow[i] = (struct flow){ .from = i };
	}
	for (int round = 0; round < 300; round++) {
		for (uint32_t i = 0; i < 3; i++) {
			while (send_checked(lane[i], &flow[i]) == 0)
				;
			weft_local_flush(lane[i]);
		}
		assert_int_equal(weft_local_recv(local, 1, on_checked, &sink), 1);
		assert_int_equal(sink.last_from, round % 3);
	}
	weft_local_close(local);
}

struct stream {
	const char *name;
	uint32_t from, frames; /* 0: for ever. */
};

static void stream_to(void *arg)
{
	const struct stream *stream = arg;
	struct weft_local *local = open_one(stream->name);
	struct weft_lane *lane = connect_to(local, "to");
	struct flow flow = { .from = stream->from };
	struct weft_prng rnd;

	weft_prng_init(&flow.rnd, stream->from);
	weft_prng_init(&rnd, stream->from + 100);
	while (!stream->frames || flow.seq < stream->frames) {
		int err = send_checked(lane, &flow);

		must(err == 0 || err == -EAGAIN);
		if (err)
			sched_yield();
		if (err || !weft_prng_below(&rnd, 8))
			weft_local_flush(lane);
	}
	weft_local_flush(lane);
	weft_local_close(local);
}

static void weft_local_recv__from_processes(void **state)
{
	static struct stream stream[] = { { "s0", 0, 40000 },
					  { "s1", 1, 40000 },
					  { "s2", 2, 40000 } };
	struct weft_local *to = open_one("to");
	struct sink sink = { 0 };
	pid_t pid[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		pid[i] = start(stream_to, &stream[i]);
	while (sink.frames < 120000)
		if (!weft_local_recv(to, 64, on_checked, &sink))
			sched_yield();
	for (int i = 0; i < 3; i++)
		assert_int_equal(reaped(pid[i]), 0);
	assert_int_equal(weft_local_recv(to, 64, on_checked, &sink), 0);
	assert_int_equal(stats_of(to).lanes_in, 0);
	assert_int_equal(stats_of(to).rx_bad, 0);
	weft_local_close(to);
}

/* Death */

static void weft_local_reap__sender_killed(void **state)
{
	static struct stream stream = { "s", 0, 0 };
	struct weft_local *to = open_one("to");
	struct weft_prng rnd;

	(void)state;
	weft_prng_init(&rnd, 3);
	for (int round = 0; round < 60; round++) {
		pid_t pid = start(stream_to, &stream);
		/* Sometimes while it connects. */
		uint32_t want = weft_prng_below(&rnd, 4) ? weft_prng_below(&rnd, 3000) : 0;
		struct sink sink = { 0 };

		while (sink.frames < want) {
			if (!weft_local_recv(to, 16, on_checked, &sink))
				sched_yield();
			weft_local_reap(to);
		}
		for (uint32_t i = weft_prng_below(&rnd, 200); i; i--)
			sched_yield();
		kill_and_wait(pid);
		weft_local_reap(to);
		/* What it had published comes, and is whole. */
		while (weft_local_recv(to, 16, on_checked, &sink))
			;
		assert_int_equal(stats_of(to).lanes_in, 0);
		assert_int_equal(stats_of(to).rx_bad, 0);
		weft_local_reap(to);
		assert_true(allocated("to") < 3 * (off_t)RING);
	}
	weft_local_close(to);
}

/* So many frames, the last of them not flushed, anywhere in the ring. */
struct last_words {
	uint32_t before, flushed, held;
};

static void die_midway(void *arg)
{
	const struct last_words *words = arg;
	struct weft_local *local = open_one("s");
	struct weft_lane *lane = connect_to(local, "to");
	struct flow flow = { .from = 1 };

	for (uint32_t i = 0; i < words->before + words->flushed; i++) {
		while (send_checked(lane, &flow))
			sched_yield();
		weft_local_flush(lane);
	}
	for (uint32_t i = 0; i < words->held; i++)
		send_checked(lane, &flow);
	raise(SIGKILL);
}

static void weft_local_reap__sender_killed_midway(void **state)
{
	struct weft_local *to = open_one("to");
	struct weft_prng rnd;

	(void)state;
	weft_prng_init(&rnd, 12);
	for (int round = 0; round < 40; round++) {
		struct last_words words = { .before = weft_prng_below(&rnd, 200),
					    .flushed = weft_prng_below(&rnd, 4),
					    .held = weft_prng_below(&rnd, 4) };
		struct sink sink = { 0 };
		pid_t pid = start(die_midway, &words);

		while (sink.frames < words.before)
			if (!weft_local_recv(to, 4, on_checked, &sink))
				sched_yield();
		assert_int_equal(reaped(pid), 256 + SIGKILL);
		weft_local_reap(to);
		while (weft_local_recv(to, 16, on_checked, &sink))
			;
		/* A quarter of a ring becomes visible by itself. */
		assert_true(sink.frames >= words.before + words.flushed);
		assert_true(sink.frames <= words.before + words.flushed + words.held);
		assert_int_equal(stats_of(to).lanes_in, 0);
		assert_int_equal(stats_of(to).rx_bad, 0);
		weft_local_reap(to);
	}
	weft_local_close(to);
}

static void take_checked(void *arg)
{
	struct weft_local *local = open_one("to");
	struct sink sink = { 0 };

	(void)arg;
	for (;;)
		if (!weft_local_recv(local, 16, on_checked, &sink))
			sched_yield();
}

static void weft_local_is_gone__receiver_killed(void **state)
{
	struct weft_local *from = open_one("from");
	struct weft_prng rnd;

	(void)state;
	weft_prng_init(&rnd, 4);
	for (int round = 0; round < 40; round++) {
		pid_t pid = start(take_checked, NULL);
		struct weft_lane *lane = connect_to(from, "to");
		uint32_t want = weft_prng_below(&rnd, 2000);
		struct flow flow = { .from = 1 };

		while (flow.seq < want)
			if (send_checked(lane, &flow))
				sched_yield();
		assert_false(weft_local_is_gone(lane));
		kill(pid, SIGKILL);
		while (send_checked(lane, &flow) == 0)
			;
		reaped(pid);
		assert_true(weft_local_is_gone(lane));
		weft_local_disconnect(from, lane);
	}
	weft_local_close(from);
}

struct family {
	int hold[2]; /* The grandchild lives until this is closed. */
	int ready[2];
	bool forked; /* It calls weft_local_forked. */
};

static void parent_with_child(void *arg)
{
	struct family *family = arg;
	struct weft_local *local = open_one("family");
	struct weft_lane *lane = connect_to(local, "to");
	char c = 0;

	send_text(lane, "from the parent");
	weft_local_flush(lane);
	if (fork() == 0) {
		close(family->hold[1]);
		close(family->ready[0]);
		if (family->forked)
			weft_local_forked(local);
		must(write(family->ready[1], &c, 1) == 1);
		must(read(family->hold[0], &c, 1) == 0);
		_exit(0);
	}
	for (;;)
		pause();
}

/* A child that outlives a killed parent keeps neither its name nor its lane, whether it says so or not. */
static void weft_local_forked__child_keeps_nothing(void **state)
{
	struct weft_local *to = open_one("to"), *heir;

	(void)state;
	for (int forked = 0; forked < 2; forked++) {
		struct family family = { .forked = forked };
		struct weft_lane *lane;
		uint32_t sum = 0;
		pid_t pid;
		char c;

		assert_int_equal(pipe(family.hold), 0);
		assert_int_equal(pipe(family.ready), 0);
		pid = start(parent_with_child, &family);
		close(family.hold[0]);
		assert_int_equal(read(family.ready[0], &c, 1), 1);
		lane = connect_to(to, "family");
		assert_int_equal(weft_local_recv(to, 8, on_any, &sum), 1);
		weft_local_reap(to);
		weft_local_recv(to, 8, on_any, &sum);
		assert_int_equal(stats_of(to).lanes_in, 1);
		assert_false(weft_local_is_gone(lane));
		kill_and_wait(pid);
		weft_local_reap(to);
		weft_local_recv(to, 8, on_any, &sum);
		assert_int_equal(stats_of(to).lanes_in, 0);
		assert_true(weft_local_is_gone(lane));
		heir = open_one("family");
		weft_local_close(heir);
		weft_local_disconnect(to, lane);
		close(family.hold[1]);
		close(family.ready[0]);
		close(family.ready[1]);
	}
	weft_local_close(to);
}

/* Nonsense in the memory */

struct mapped {
	uint8_t *at;
	size_t len;
};

static struct mapped map_inbox(const char *name)
{
	struct mapped m;
	struct stat st;
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDWR);
	must(fd >= 0 && fstat(fd, &st) == 0);
	m.len = (size_t)st.st_size;
	m.at = mmap(NULL, m.len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(m.at != MAP_FAILED);
	close(fd);
	return m;
}

static uint8_t *lane_at(const struct mapped *m, uint32_t index)
{
	const struct weft_shm_inbox *inbox = (const void *)m->at;

	return m->at + inbox->lane_off + (size_t)index * inbox->lane_stride;
}

static void set_record(const struct mapped *m, uint32_t index, uint32_t pos, uint64_t record)
{
	memcpy(lane_at(m, index) + WEFT_SHM_CONTROL + pos % RING, &record, sizeof(record));
}

static void weft_local_recv__record_that_makes_no_sense(void **state)
{
	const uint32_t first = weft_shm_pos_first(0);
	const struct {
		uint64_t record;
		uint32_t frames, bad;
	} rows[] = {
		{ weft_shm_record(first, 8), 1, 0 }, /* 0: a good one */
		{ 0, 0, 0 },
		{ weft_shm_record(first, FRAME_MAX), 1, 0 },
		{ weft_shm_record(first, FRAME_MAX + 1), 0, 1 },
		{ weft_shm_record(first, 0x80000000), 0, 1 },
		{ weft_shm_record(first, UINT32_MAX - 1), 0, 1 }, /* 5 */
		{ weft_shm_record(first, UINT32_MAX - 15), 0, 1 },
		/* The whole ring, and again. */
		{ weft_shm_record(first, WEFT_SHM_WRAP), 0, 1 },
		{ weft_shm_record(first + RING, 8), 0, 1 },
		{ weft_shm_record(first - RING, 8), 0, 1 },
		{ weft_shm_record(first + 8, 8), 0, 1 }, /* 10 */
		{ 8, 0, 1 },
		{ UINT64_MAX, 0, 1 },
		{ weft_shm_record(first, 8) ^ 1ull << 63, 0, 1 },
	};
	struct weft_local *to = open_one("to"), *from = open_one("from");
	struct mapped m = map_inbox("to");
	uint32_t bad = 0;

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct weft_lane *lane = connect_to(from, "to");
		uint32_t sum = 0;

		set_record(&m, 0, first, rows[i].record);
		assert_int_equal(weft_local_recv(to, 8, on_any, &sum), rows[i].frames);
		bad += rows[i].bad;
		assert_int_equal(stats_of(to).rx_bad, bad);
		assert_int_equal(stats_of(to).lanes_in, 1 - rows[i].bad);
		assert_int_equal(weft_local_send(lane, "x", 1, NULL, 0), rows[i].bad ? -EPIPE : 0);
		/* Once it has left, the lane is as good as any. */
		weft_local_disconnect(from, lane);
		weft_local_recv(to, 8, on_any, &sum);
		bad = (uint32_t)stats_of(to).rx_bad;
		weft_local_reap(to);
	}
	munmap(m.at, m.len);
	weft_local_close(from);
	weft_local_close(to);
}

/* A length that would do at another place leads beyond the end of the ring, and a WRAP to one where another WRAP or
 * nothing stands. */
static void weft_local_recv__record_beyond_the_end(void **state)
{
	const uint32_t pos = weft_shm_pos_first(0) + 3 * 1008;
	const struct {
		uint64_t record, start;
		uint32_t frames, bad;
	} rows[] = {
		/* 1072 bytes are left. */
		{ weft_shm_record(pos, 1064), 0, 1, 0 }, /* 0 */
		{ weft_shm_record(pos, 1065), 0, 0, 1 },
		{ weft_shm_record(pos, 1072), 0, 0, 1 },
		{ weft_shm_record(pos, WEFT_SHM_WRAP), 0, 0, 0 },
		{ weft_shm_record(pos, WEFT_SHM_WRAP), weft_shm_record(pos + 1072, 8), 1, 0 },
		{ weft_shm_record(pos, WEFT_SHM_WRAP), weft_shm_record(pos, 8), 0, 1 }, /* 5 */
		{ weft_shm_record(pos, WEFT_SHM_WRAP), weft_shm_record(pos + 1072, WEFT_SHM_WRAP),
		  0, 1 },
	};
	static uint8_t buf[1000];

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct weft_local *to = open_one("to"), *from = open_one("from");
		struct weft_lane *lane = connect_to(from, "to");
		struct mapped m = map_inbox("to");
		uint32_t sum = 0;

		for (int k = 0; k < 3; k++) {
			assert_int_equal(weft_local_send(lane, buf, sizeof(buf), NULL, 0), 0);
			weft_local_flush(lane);
			assert_int_equal(weft_local_recv(to, 8, on_any, &sum), 1);
		}
		set_record(&m, 0, pos + 1072, rows[i].start);
		set_record(&m, 0, pos, rows[i].record);
		assert_int_equal(weft_local_recv(to, 8, on_any, &sum), rows[i].frames);
		assert_int_equal(stats_of(to).rx_bad, rows[i].bad);
		munmap(m.at, m.len);
		weft_local_close(from);
		weft_local_close(to);
	}
}

/* An honest sender and one whose lane, or the table, is overwritten at random. */
static void weft_local_recv__garbled_at_random(void **state)
{
	struct weft_prng rnd;

	(void)state;
	weft_prng_init(&rnd, 5);
	for (int round = 0; round < 400; round++) {
		struct weft_local *to = open_one("to"), *from = open_one("from");
		struct weft_lane *good = connect_to(from, "to"), *bad = connect_to(from, "to");
		struct weft_shm_inbox *inbox;
		struct mapped m = map_inbox("to");
		struct flow flow = { .from = 1 };
		uint32_t sum = 0;

		inbox = (void *)m.at;
		for (int i = 0; i < 50; i++) {
			uint8_t *at = lane_at(&m, 1);
			uint32_t pos = weft_shm_pos_first(1) + 8 * weft_prng_below(&rnd, RING);

			send_checked(bad, &flow);
			weft_local_flush(bad);
			switch (weft_prng_below(&rnd, 7)) {
			case 0:
				set_record(&m, 1, pos, weft_shm_record(pos, WEFT_SHM_WRAP));
				break;
			case 1:
				set_record(&m, 1, pos,
					   weft_shm_record(pos, weft_prng_below(&rnd, RING)));
				break;
			case 2:
				at[weft_prng_below(&rnd, WEFT_SHM_CONTROL + RING)] ^=
					(uint8_t)weft_prng_next(&rnd);
				break;
			case 3:
				atomic_store(&inbox->state[weft_prng_below(&rnd, 7) + 1],
					     weft_prng_below(&rnd, 64));
				atomic_fetch_add(&inbox->changes, 1);
				break;
			case 4:
				weft_local_reap(to);
				break;
			case 5:
				weft_local_awake(to);
				weft_local_sleep(to);
				break;
			default:
				break;
			}
			weft_local_recv(to, 4, on_any, &sum);
		}
		/* The honest one has noticed nothing. */
		while (weft_local_recv(to, 64, on_any, &sum))
			;
		sum = 0;
		send_text(good, "hello");
		weft_local_flush(good);
		while (!sum)
			weft_local_recv(to, 64, on_any, &sum);
		assert_int_equal(sum, weft_crc32c(0, "hello", 5));
		munmap(m.at, m.len);
		weft_local_close(from);
		weft_local_close(to);
	}
}

static void weft_local_send__garbled_tail(void **state)
{
	struct weft_local *to = open_one("to"), *from = open_one("from");
	struct mapped m = map_inbox("to");
	struct weft_prng rnd;

	(void)state;
	weft_prng_init(&rnd, 6);
	for (int round = 0; round < 200; round++) {
		struct weft_lane *lane = connect_to(from, "to");
		_Atomic uint32_t *tail =
			(_Atomic uint32_t *)(void *)(lane_at(&m, 0) + weft_shm_tail_off(0));
		struct flow flow = { .from = 1 };
		uint32_t sum = 0;
		int err;

		for (int i = 0; i < 200; i++) {
			err = send_checked(lane, &flow);
			if (err == -EPIPE)
				break;
			atomic_store(tail, weft_shm_pos_first(0) + weft_prng_below(&rnd, 2 * RING));
		}
		assert_int_equal(err, -EPIPE);
		assert_true(weft_local_is_gone(lane));
		weft_local_disconnect(from, lane);
		while (stats_of(to).lanes_in || weft_local_recv(to, 64, on_any, &sum))
			weft_local_recv(to, 64, on_any, &sum);
		weft_local_reap(to);
	}
	munmap(m.at, m.len);
	weft_local_close(from);
	weft_local_close(to);
}

/* Sizes in the head that lead out of the file. */
static void weft_local_connect__inbox_that_makes_no_sense(void **state)
{
	static const size_t word[] = {
		offsetof(struct weft_shm_inbox, magic),
		offsetof(struct weft_shm_inbox, version),
		offsetof(struct weft_shm_inbox, frame_max),
		offsetof(struct weft_shm_inbox, lanes),
		offsetof(struct weft_shm_inbox, lane_bytes),
		offsetof(struct weft_shm_inbox, lane_off),
		offsetof(struct weft_shm_inbox, lane_stride),
	};
	static const uint32_t value[] = { 0, 4096, 8192, 0x40000000, UINT32_MAX };
	struct weft_local *to = open_one("to"), *from = open_one("from");
	struct mapped m = map_inbox("to");
	struct weft_lane *lane;

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(word); i++) {
		uint32_t *at = (uint32_t *)(void *)(m.at + word[i]), was = *at;

		for (size_t k = 0; k < WEFT_ARRAY_SIZE(value); k++) {
			if (value[k] == was)
				continue;
			*at = value[k];
			assert_int_equal(weft_local_connect(from, "to", &lane), -EPROTO);
		}
		*at = was;
	}
	assert_int_equal(weft_local_connect(from, "to", &lane), 0);
	munmap(m.at, m.len);
	weft_local_close(from);
	weft_local_close(to);
}

/* Sleep */

static void weft_local_sleep__something_is_there(void **state)
{
	struct weft_local *to = open_one("to"), *from = open_one("from");
	struct weft_lane *lane;
	struct sink sink = { 0 };
	struct flow flow = { .from = 1 };

	(void)state;
	assert_false(weft_local_sleep(to));
	weft_local_awake(to);
	/* In a lane that was not there at the last look. */
	lane = connect_to(from, "to");
	assert_int_equal(send_checked(lane, &flow), 0);
	assert_false(weft_local_sleep(to)); /* not flushed */
	assert_true(weft_local_flush(lane));
	assert_true(weft_local_sleep(to));
	assert_int_equal(weft_local_recv(to, 8, on_checked, &sink), 1);
	assert_false(weft_local_sleep(to));
	/* A lane that is left wants to be freed. */
	weft_local_disconnect(from, lane);
	assert_true(weft_local_sleep(to));
	assert_int_equal(weft_local_recv(to, 8, on_checked, &sink), 0);
	assert_false(weft_local_sleep(to));
	weft_local_close(from);
	weft_local_close(to);
}

static void weft_local_flush__each_sleep_once(void **state)
{
	struct weft_local *to = open_one("to"), *from = open_one("from");
	struct weft_lane *lane = connect_to(from, "to");
	struct sink sink = { 0 };
	struct flow flow = { .from = 1 };

	(void)state;
	for (int round = 0; round < 5; round++) {
		assert_int_equal(send_checked(lane, &flow), 0);
		assert_false(weft_local_flush(lane));
		assert_int_equal(weft_local_recv(to, 8, on_checked, &sink), 1);
		assert_false(weft_local_sleep(to));
		assert_false(weft_local_flush(lane)); /* nothing sent */
		assert_int_equal(send_checked(lane, &flow), 0);
		assert_true(weft_local_flush(lane));
		assert_int_equal(send_checked(lane, &flow), 0);
		assert_false(weft_local_flush(lane));
		/* recv finds something: no sleep any more. */
		assert_int_equal(weft_local_recv(to, 8, on_checked, &sink), 2);
	}
	weft_local_close(from);
	weft_local_close(to);
}

/* In step: in each round one goes to sleep and the other sends, at nearly the same time, without the
 * kernel in between. At least one of the two has to see the other. */
struct step {
	_Atomic uint32_t go,
		done; /* The last round that was begun by the receiver, and ended by the sender. */
	_Atomic bool reported;
};

enum {
	STEP_ROUNDS = 100000
};

static void await(_Atomic uint32_t *word, uint32_t value)
{
	for (uint32_t i = 1; atomic_load(word) != value; i++)
		if (i % 1024 == 0)
			sched_yield();
}

static void spin_below(struct weft_prng *rnd, uint32_t n)
{
	volatile uint32_t spin = weft_prng_below(rnd, n);

	while (spin)
		spin--;
}

static void send_in_step(void *arg)
{
	struct step *step = arg;
	struct weft_local *local = open_one("from");
	struct weft_lane *lane = connect_to(local, "to");
	struct weft_prng rnd;

	weft_prng_init(&rnd, 8);
	for (uint32_t round = 1; round <= STEP_ROUNDS; round++) {
		await(&step->go, round);
		spin_below(&rnd, 16);
		send_text(lane, "x");
		atomic_store(&step->reported, weft_local_flush(lane));
		atomic_store(&step->done, round);
	}
	weft_local_close(local);
}

static void weft_local_sleep__one_sees_the_other(void **state)
{
	struct step *step = mmap(NULL, sizeof(*step), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct weft_local *to = open_one("to");
	struct weft_prng rnd;
	uint32_t sum = 0;
	pid_t pid;

	(void)state;
	assert_ptr_not_equal(step, MAP_FAILED);
	pid = start(send_in_step, step);
	weft_prng_init(&rnd, 9);
	for (uint32_t round = 1; round <= STEP_ROUNDS; round++) {
		bool seen;

		atomic_store(&step->go, round);
		spin_below(&rnd, 400); /* The other needs a while to see `go`. */
		seen = weft_local_sleep(to);
		await(&step->done, round);
		if (!seen && !atomic_load(&step->reported))
			fail_msg("round %u: neither has seen the other", (unsigned int)round);
		weft_local_awake(to);
		assert_int_equal(weft_local_recv(to, 8, on_any, &sum), 1);
	}
	assert_int_equal(reaped(pid), 0);
	munmap(step, sizeof(*step));
	weft_local_close(to);
}

enum {
	SLEEP_FRAMES = 30000
};

static void send_and_wake(void *arg)
{
	const int *wake = arg;
	struct weft_local *local = open_one("from");
	struct weft_lane *lane = connect_to(local, "to");
	struct flow flow = { .from = 1 };
	struct weft_prng rnd;

	weft_prng_init(&rnd, 7);
	while (flow.seq < SLEEP_FRAMES) {
		spin_below(&rnd, 2000);
		if (send_checked(lane, &flow))
			sched_yield();
		if (weft_local_flush(lane))
			must(write(wake[1], "x", 1) == 1);
	}
	weft_local_close(local);
}

/* A wake-up that got lost would leave the receiver waiting at its pipe. */
static void weft_local_sleep__no_wake_up_lost(void **state)
{
	struct weft_local *to = open_one("to");
	struct sink sink = { 0 };
	uint32_t slept = 0;
	int wake[2];
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(wake), 0);
	pid = start(send_and_wake, wake);
	while (sink.frames < SLEEP_FRAMES) {
		struct pollfd fd = { .fd = wake[0], .events = POLLIN };
		char c[64];

		while (weft_local_recv(to, 16, on_checked, &sink))
			;
		if (sink.frames == SLEEP_FRAMES || weft_local_sleep(to))
			continue;
		slept++;
		if (poll(&fd, 1, 20000) != 1)
			fail_msg("frame %u: no wake-up", (unsigned int)sink.frames);
		assert_true(read(wake[0], c, sizeof(c)) > 0);
		weft_local_awake(to);
	}
	assert_true(slept > 100);
	assert_int_equal(reaped(pid), 0);
	close(wake[0]);
	close(wake[1]);
	weft_local_close(to);
}

#define each(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		each(weft_local_open__bad_arguments),
		each(weft_local_open__file_and_directory),
		each(weft_local_open__name_of_a_living_owner),
		each(weft_local_open__name_of_a_dead_owner),
		each(weft_local_open__name_of_garbage),
		each(weft_local_open__one_winner),
		each(weft_local_close__against_open),
		each(weft_local_sweep__dead_ones_only),
		each(weft_local_connect__nobody),
		each(weft_local_connect__table_full),
		each(weft_local_connect__memory_comes_and_goes),
		each(weft_local_connect__no_memory),
		each(weft_local_connect__ring_of_another),
		each(weft_local_connect__inbox_that_makes_no_sense),
		each(weft_local_send__visible_when_flushed),
		each(weft_local_send__too_long),
		each(weft_local_send__full),
		each(weft_local_send__full_to_the_byte),
		each(weft_local_send__half_a_ring),
		each(weft_local_send__closed_by_receiver),
		each(weft_local_send__garbled_tail),
		each(weft_local_recv__in_turn),
		each(weft_local_recv__from_processes),
		each(weft_local_recv__record_that_makes_no_sense),
		each(weft_local_recv__record_beyond_the_end),
		each(weft_local_recv__garbled_at_random),
		each(weft_local_recv__payload_of_records),
		each(weft_local_reap__sender_killed),
		each(weft_local_reap__sender_killed_midway),
		each(weft_local_is_gone__receiver_killed),
		each(weft_local_forked__child_keeps_nothing),
		each(weft_local_sleep__something_is_there),
		each(weft_local_flush__each_sleep_once),
		each(weft_local_sleep__one_sees_the_other),
		each(weft_local_sleep__no_wake_up_lost),
	};

	alarm(300);
	return cmocka_run_group_tests_name("local", tests, NULL, NULL);
}
