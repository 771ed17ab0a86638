/* SPDX-License-Identifier: BSD-2-Clause */
#include "dev/counters.h"

#include "srd/srd.h"

#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64];

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/weft-counters-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	(void)state;
	while (d && (e = readdir(d)))
		(void)unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	return rmdir(dir);
}

static uint32_t count_files(void)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	uint32_t n = 0;

	while ((e = readdir(d)))
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(d);
	return n;
}

struct seen {
	uint32_t pages, stale;
	uint32_t pid; /* Of the last. */
	uint64_t tx_bytes; /* Of its first card. */
	char name[32], comm[32];
};

static void look(void *arg, const struct weft_counters_page *page, bool stale)
{
	struct seen *seen = arg;

	seen->pages++;
	seen->stale += stale;
	seen->pid = page->pid;
	strcpy(seen->comm, page->comm);
	if (page->cards) {
		seen->tx_bytes = page->card[0].value[WEFT_COUNTER_TX_BYTES];
		strcpy(seen->name, page->card[0].name);
	}
}

static struct seen look_around(void)
{
	struct seen seen = { .pages = 0 };

	assert_int_equal(weft_counters_each(dir, look, &seen), 0);
	return seen;
}

static void weft_counter_name__list(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < WEFT_COUNTER_COUNT; i++) {
		assert_non_null(weft_counter_what(i));
		for (uint32_t j = 0; j < i; j++)
			assert_string_not_equal(weft_counter_name(i), weft_counter_name(j));
	}
	assert_null(weft_counter_name(WEFT_COUNTER_COUNT));
	assert_null(weft_counter_what(UINT32_MAX));
	assert_string_equal(weft_counter_name(WEFT_COUNTER_TX_BYTES), "tx_bytes");
	assert_string_equal(weft_counter_name(WEFT_COUNTER_RDMA_WRITE_RECV_BYTES),
			    "rdma_write_recv_bytes");
	for (uint32_t i = 0; i < WEFT_SRD_DROP_COUNT; i++) {
		char want[64];

		snprintf(want, sizeof(want), "rx_drop_%s",
			 weft_srd_drop_name((enum weft_srd_drop)i));
		assert_string_equal(weft_counter_name(WEFT_COUNTER_DROP_SHORT + i), want);
	}
}

static void weft_counters_create__seen_until_destroyed(void **state)
{
	struct weft_counters_page *page = weft_counters_create(dir, 2);
	char path[128];
	struct seen seen;
	struct stat st;

	(void)state;
	assert_non_null(page);
	assert_null(weft_counters_create(dir, 2)); /* One at a time. */
	assert_int_equal(page->card[1].slot, WEFT_COUNTERS_NO_SLOT);
	weft_counters_begin(&page->card[0]);
	strcpy(page->card[0].name, "rdmap0s6");
	page->card[0].value[WEFT_COUNTER_TX_BYTES] = 77;
	weft_counters_end(&page->card[0]);
	seen = look_around();
	assert_int_equal(seen.pages, 1);
	assert_int_equal(seen.stale, 0);
	assert_int_equal(seen.pid, getpid());
	assert_int_equal(seen.tx_bytes, 77);
	assert_string_equal(seen.name, "rdmap0s6");
	assert_true(strlen(seen.comm) > 0);
	snprintf(path, sizeof(path), "%s/counters-%d", dir, (int)getpid());
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	weft_counters_destroy(page);
	assert_int_equal(look_around().pages, 0);
	assert_int_equal(count_files(), 0);
}

/* A child with a page of its own, which then is killed: stale until somebody else makes a page. */
static void weft_counters_each__stale(void **state)
{
	struct weft_counters_page *page;
	struct seen seen;
	int ready[2], status;
	pid_t pid;
	char c;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		page = weft_counters_create(dir, 1);
		if (page)
			page->card[0].value[WEFT_COUNTER_TX_BYTES] = 5;
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	seen = look_around();
	assert_int_equal(seen.pages, 1);
	assert_int_equal(seen.stale, 0);
	assert_int_equal(seen.pid, pid);

	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	seen = look_around();
	assert_int_equal(seen.pages, 1);
	assert_int_equal(seen.stale, 1);
	assert_int_equal(seen.tx_bytes, 5);

	page = weft_counters_create(dir, 1);
	assert_non_null(page);
	seen = look_around();
	assert_int_equal(seen.pages, 1);
	assert_int_equal(seen.stale, 0);
	weft_counters_destroy(page);
	close(ready[0]);
	close(ready[1]);
}

/* A forked child neither keeps its parent's page alive nor writes into it. */
static void weft_counters_create__fork(void **state)
{
	int ready[2], go[2], status;
	pid_t parent, child = 0;
	struct seen seen;
	char c;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(go), 0);
	parent = fork();
	assert_true(parent >= 0);
	if (!parent) {
		struct weft_counters_page *page = weft_counters_create(dir, 1), *own;

		if (!page)
			_exit(1);
		page->card[0].value[WEFT_COUNTER_TX_BYTES] = 1;
		child = fork();
		if (child) {
			if (write(ready[1], &child, sizeof(child)) != sizeof(child))
				_exit(1);
			for (;;)
				pause();
		}
		page->card[0].value[WEFT_COUNTER_TX_BYTES] = 2;
		weft_counters_destroy(page);
		own = weft_counters_create(dir, 1);
		if (!own || read(go[0], &c, 1) != 1)
			_exit(1);
		weft_counters_destroy(own);
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		_exit(0);
	}
	assert_int_equal(read(ready[0], &child, sizeof(child)), sizeof(child));
	kill(parent, SIGKILL);
	assert_int_equal(waitpid(parent, &status, 0), parent);
	assert_int_equal(write(go[1], "x", 1), 1);
	assert_int_equal(read(ready[0], &c, 1), 1);
	/* The child's own page came and went; what is left is the parent's, which may have been removed by
	 * the child if it started after the end of its parent. */
	seen = look_around();
	assert_true(seen.pages <= 1);
	assert_int_equal(seen.stale, seen.pages);
	if (seen.pages)
		assert_int_equal(seen.tx_bytes, 1);
	close(ready[0]);
	close(ready[1]);
	close(go[0]);
	close(go[1]);
}

/* As the device does: a lock around pages, which a fork takes, too. */
static pthread_mutex_t outer = PTHREAD_MUTEX_INITIALIZER;
static _Atomic bool stop;

static void lock_outer(void)
{
	pthread_mutex_lock(&outer);
}

static void unlock_outer(void)
{
	pthread_mutex_unlock(&outer);
}

static void *make_pages(void *arg)
{
	while (!stop) {
		lock_outer();
		weft_counters_destroy(weft_counters_create(dir, 1));
		unlock_outer();
	}
	return arg;
}

/* The locks of both are taken in one order. */
static void weft_counters_create__fork_of_a_thread(void **state)
{
	pthread_t thread;

	(void)state;
	alarm(60);
	assert_int_equal(pthread_create(&thread, NULL, make_pages, NULL), 0);
	for (int i = 0, status; i < 200; i++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
	}
	stop = true;
	pthread_join(thread, NULL);
	alarm(0);
}

/* Those who tidy up look at pages that are just being made: that may not cost anybody his page. */
static void weft_counters_create__many_at_once(void **state)
{
	(void)state;
	for (int i = 0; i < 8; i++) {
		struct weft_counters_page *page;

		if (fork())
			continue;
		for (int k = 0; k < 200; k++) {
			page = weft_counters_create(dir, 1);
			if (!page)
				_exit(1);
			weft_counters_destroy(page);
		}
		_exit(0);
	}
	for (int i = 0, status; i < 8; i++) {
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	assert_int_equal(count_files(), 0);
}

static void put(const char *name, const void *data, size_t len)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

/* Whatever lies in the directory: no crash, no page that is not one, no bytes that steer a terminal. */
static void weft_counters_each__hostile(void **state)
{
	size_t size = sizeof(struct weft_counters_page) + sizeof(struct weft_counters_card);
	struct weft_counters_page *page = calloc(1, size);
	struct seen seen;
	char path[128];

	(void)state;
	remove_dir(state);
	assert_int_equal(weft_counters_each(dir, look, &seen), 0);
	assert_int_equal(make_dir(state), 0);

	put("counters-1", "", 0);
	put("counters-2", "WEFT", 4);
	snprintf(path, sizeof(path), "%s/counters-3", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	snprintf(path, sizeof(path), "%s/counters-4", dir);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	page->magic = WEFT_COUNTERS_MAGIC;
	page->version = weft_counters_version();
	page->counters = WEFT_COUNTER_COUNT;
	page->cards = 1000000;
	page->size = UINT32_MAX;
	put("counters-5", page, size);
	page->cards = 1;
	put("counters-6", page, size);
	page->size = (uint32_t)size;
	put("counters-7", page, size - 1);
	page->version++;
	put("counters-8", page, size);
	assert_int_equal(look_around().pages, 0);

	page->version--;
	memset(page->comm, 'c', sizeof(page->comm));
	memset(page->card[0].name, '\033', sizeof(page->card[0].name));
	page->card[0].seq = 1;
	put("counters-9", page, size);
	seen = look_around();
	assert_int_equal(seen.pages, 1);
	assert_int_equal(seen.stale, 1);
	assert_int_equal(strlen(seen.comm), 31);
	assert_string_equal(seen.name, "???????????????????????????????");
	free(page);
}

static void weft_counters_create__no_place(void **state)
{
	char path[400];

	(void)state;
	assert_null(weft_counters_create("/nonexistent/dir", 1));
	memset(path, 'a', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = 0;
	assert_null(weft_counters_create(path, 1));
	assert_null(weft_counters_create(dir, UINT32_MAX));
	weft_counters_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_counter_name__list),
		cmocka_unit_test(weft_counters_create__seen_until_destroyed),
		cmocka_unit_test(weft_counters_each__stale),
		cmocka_unit_test(weft_counters_create__fork),
		cmocka_unit_test(weft_counters_create__fork_of_a_thread),
		cmocka_unit_test(weft_counters_create__many_at_once),
		cmocka_unit_test(weft_counters_each__hostile),
		cmocka_unit_test(weft_counters_create__no_place),
	};

	weft_counters_watch_forks();
	pthread_atfork(lock_outer, unlock_outer, unlock_outer);
	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
