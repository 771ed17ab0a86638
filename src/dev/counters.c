/* SPDX-License-Identifier: BSD-2-Clause */
/* Pages of counters. See counters.h for what a page is; here is how it comes and goes.
 *
 * A page is made under a name that readers do not look at, locked, filled, and only then given its name: whoever
 * sees counters-<pid> unlocked knows that its process is gone. Locks are flocks, which belong to the open
 * file: a forked child would keep its parent's page alive, so it closes its copy and puts private memory in
 * the place of the shared. Readers copy with pread() and never map: a file that shrinks, or was written by
 * something else, costs them nothing. */
#define _GNU_SOURCE
#include "dev/counters.h"

#include "srd/srd.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PREFIX       "counters-"
#define NEW_PREFIX   ".counters-"
#define CARDS_MAX    64u /* More than any card set has. */
#define NEW_LIFE_MAX 60 /* Seconds after which a page that never got its name is rubbish. */
#define READ_TRIES   100

static const struct {
	const char *name, *what;
} counters[] = {
#define ROW(id, name, what) { name, what },
	WEFT_COUNTERS(ROW)
#undef ROW
};

static_assert(WEFT_COUNTER_COUNT <= WEFT_COUNTERS_MAX, "every counter has its place");
static_assert(WEFT_COUNTER_DROP_NO_MEMORY - WEFT_COUNTER_DROP_SHORT + 1 == WEFT_SRD_DROP_COUNT,
	      "every reason to drop has its counter");

const char *weft_counter_name(uint32_t index)
{
	return index < WEFT_COUNTER_COUNT ? counters[index].name : NULL;
}

const char *weft_counter_what(uint32_t index)
{
	return index < WEFT_COUNTER_COUNT ? counters[index].what : NULL;
}

/* FNV-1a over the names: two programs that disagree about the list cannot read each other's pages. */
uint32_t weft_counters_version(void)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < WEFT_COUNTER_COUNT; i++) {
		const char *p = counters[i].name;

		do
			hash = (hash ^ (uint8_t)*p) * 16777619u;
		while (*p++);
	}
	return hash ^ (uint32_t)sizeof(struct weft_counters_card);
}

static size_t page_size(uint32_t cards)
{
	return sizeof(struct weft_counters_page) + cards * sizeof(struct weft_counters_card);
}

/* The page of this process. */
static pthread_mutex_t own_lock = PTHREAD_MUTEX_INITIALIZER;
static struct weft_counters_page *own_page;
static size_t own_size;
static int own_fd = -1;
static char own_path[320];

static void before_fork(void)
{
	pthread_mutex_lock(&own_lock);
}

static void after_fork_parent(void)
{
	pthread_mutex_unlock(&own_lock);
}

static void after_fork_child(void)
{
	if (own_page) {
		/* The caller's pointer stays good. Should this fail, the child's counts go to its parent. */
		(void)mmap(own_page, own_size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		close(own_fd);
		own_page = NULL;
		own_fd = -1;
		own_path[0] = 0;
	}
	pthread_mutex_unlock(&own_lock);
}

static void watch_forks(void)
{
	(void)pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

void weft_counters_watch_forks(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, watch_forks);
}

/* Nobody holds it: its process is gone. Never waits. */
static bool is_unlocked(int fd)
{
	return !flock(fd, LOCK_SH | LOCK_NB);
}

static int open_page(int dir, const char *name, struct stat *st_out)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -1;
	if (fstat(fd, st_out) || !S_ISREG(st_out->st_mode) || st_out->st_uid != geteuid()) {
		close(fd);
		return -1;
	}
	return fd;
}

static void remove_stale(const char *run_dir)
{
	DIR *d = opendir(run_dir);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		bool named = !strncmp(e->d_name, PREFIX, strlen(PREFIX));
		struct stat st, now;
		int fd;

		if (!named && strncmp(e->d_name, NEW_PREFIX, strlen(NEW_PREFIX)) != 0)
			continue;
		fd = open_page(dirfd(d), e->d_name, &st);
		if (fd < 0)
			continue;
		/* Somebody else may have removed it and a new process taken the name, while we looked. A new
		 * page's lock is its maker's to take: do not even try it. */
		if ((named || st.st_mtime + NEW_LIFE_MAX < time(NULL)) && is_unlocked(fd) &&
		    !fstatat(dirfd(d), e->d_name, &now, AT_SYMLINK_NOFOLLOW) &&
		    now.st_ino == st.st_ino)
			(void)unlinkat(dirfd(d), e->d_name, 0);
		close(fd);
	}
	if (d)
		closedir(d);
}

static void read_comm(char *comm, size_t len)
{
	int fd = open("/proc/self/comm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, comm, len - 1);

	if (fd >= 0)
		close(fd);
	comm[n > 0 ? n : 0] = 0;
	comm[strcspn(comm, "\n")] = 0;
}

/* Give the file its name. Somebody of another pid namespace may have our number: then take another one. */
static int publish(const char *run_dir, const char *tmp)
{
	int n = snprintf(own_path, sizeof(own_path), "%s/" PREFIX "%d", run_dir, (int)getpid());

	for (unsigned int i = 1; n > 0 && (size_t)n < sizeof(own_path) - 8; i++) {
		if (!link(tmp, own_path))
			return 0;
		if (errno != EEXIST || i == 100)
			return -errno;
		snprintf(own_path + n, sizeof(own_path) - (size_t)n, "-%u", i);
	}
	return -ENAMETOOLONG;
}

static struct weft_counters_page *create(const char *run_dir, uint32_t cards)
{
	struct weft_counters_page *page = MAP_FAILED;
	size_t size = page_size(cards);
	struct timespec now;
	char tmp[320];
	int fd;

	remove_stale(run_dir);
	if (snprintf(tmp, sizeof(tmp), "%s/" NEW_PREFIX "XXXXXX", run_dir) >= (int)sizeof(tmp))
		return NULL;
	fd = mkostemp(tmp, O_CLOEXEC);
	if (fd < 0)
		return NULL;
	/* Allocated and not only sized: on a full tmpfs a write to the mapping would be a SIGBUS. */
	if (!flock(fd, LOCK_EX | LOCK_NB) && !posix_fallocate(fd, 0, (off_t)size))
		page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		goto err_close;
	clock_gettime(CLOCK_REALTIME, &now);
	page->magic = WEFT_COUNTERS_MAGIC;
	page->version = weft_counters_version();
	page->size = (uint32_t)size;
	page->pid = (uint32_t)getpid();
	read_comm(page->comm, sizeof(page->comm));
	page->started_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	page->cards = cards;
	page->counters = WEFT_COUNTER_COUNT;
	for (uint32_t i = 0; i < cards; i++)
		page->card[i].slot = WEFT_COUNTERS_NO_SLOT;
	if (publish(run_dir, tmp))
		goto err_unmap;
	(void)unlink(tmp);
	own_page = page;
	own_size = size;
	own_fd = fd;
	return page;

err_unmap:
	munmap(page, size);
err_close:
	(void)unlink(tmp);
	close(fd);
	own_path[0] = 0;
	return NULL;
}

struct weft_counters_page *weft_counters_create(const char *run_dir, uint32_t cards)
{
	struct weft_counters_page *page = NULL;

	weft_counters_watch_forks();
	pthread_mutex_lock(&own_lock);
	if (!own_page && cards <= CARDS_MAX)
		page = create(run_dir, cards);
	pthread_mutex_unlock(&own_lock);
	return page;
}

void weft_counters_destroy(struct weft_counters_page *page)
{
	pthread_mutex_lock(&own_lock);
	if (page && page == own_page) {
		if (own_path[0])
			(void)unlink(own_path);
		if (own_fd >= 0)
			close(own_fd);
		munmap(page, own_size);
		own_page = NULL;
		own_fd = -1;
		own_path[0] = 0;
	}
	pthread_mutex_unlock(&own_lock);
}

static bool read_at(int fd, void *buf, size_t len, size_t off)
{
	ssize_t n;

	do
		n = pread(fd, buf, len, (off_t)off);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)len;
}

static void make_text(char *s, size_t len)
{
	s[len - 1] = 0;
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
}

/* One card's row, as of one moment. A writer that died half-way leaves an odd number for ever, and a busy
 * one may beat us: then the last try counts. */
static bool read_card(int fd, struct weft_counters_card *card, uint32_t index)
{
	size_t off = page_size(index);

	for (int i = 0; i < READ_TRIES; i++) {
		uint32_t before, after;

		if (!read_at(fd, card, sizeof(*card), off) ||
		    !read_at(fd, &after, sizeof(after),
			     off + offsetof(struct weft_counters_card, seq)))
			return false;
		before = atomic_load_explicit(&card->seq, memory_order_relaxed);
		if (before == after && !(before & 1))
			break;
	}
	make_text(card->name, sizeof(card->name));
	return true;
}

/* NULL: not a page that we can read. The caller frees. */
static struct weft_counters_page *read_page(int fd)
{
	struct weft_counters_page head, *page;

	if (!read_at(fd, &head, sizeof(head), 0) || head.magic != WEFT_COUNTERS_MAGIC ||
	    head.version != weft_counters_version() || head.cards > CARDS_MAX ||
	    head.counters != WEFT_COUNTER_COUNT || head.size != page_size(head.cards))
		return NULL;
	page = calloc(1, head.size);
	if (!page)
		return NULL;
	*page = head;
	make_text(page->comm, sizeof(page->comm));
	for (uint32_t i = 0; i < page->cards; i++) {
		if (!read_card(fd, &page->card[i], i)) {
			free(page);
			return NULL;
		}
	}
	return page;
}

struct found {
	struct weft_counters_page *page;
	bool stale;
};

static int by_pid(const void *a, const void *b)
{
	const struct weft_counters_page *x = ((const struct found *)a)->page;
	const struct weft_counters_page *y = ((const struct found *)b)->page;

	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	return (x->started_ns > y->started_ns) - (x->started_ns < y->started_ns);
}

static size_t collect(DIR *d, struct found **list_out)
{
	struct found *list = NULL;
	size_t n = 0, room = 0;
	struct dirent *e;

	while ((e = readdir(d))) {
		struct found f = { .page = NULL };
		struct stat st;
		int fd;

		if (strncmp(e->d_name, PREFIX, strlen(PREFIX)) != 0)
			continue;
		fd = open_page(dirfd(d), e->d_name, &st);
		if (fd < 0)
			continue;
		f.stale = is_unlocked(fd);
		f.page = read_page(fd);
		close(fd);
		if (!f.page)
			continue;
		if (n == room) {
			struct found *more =
				realloc(list, (room = room ? 2 * room : 16) * sizeof(*list));

			if (!more) {
				free(f.page);
				break;
			}
			list = more;
		}
		list[n++] = f;
	}
	*list_out = list;
	return n;
}

int weft_counters_each(const char *run_dir, weft_counters_fn *fn, void *arg)
{
	DIR *d = opendir(run_dir);
	struct found *list;
	size_t n;

	if (!d)
		return errno == ENOENT ? 0 : -errno;
	n = collect(d, &list);
	closedir(d);
	if (n)
		qsort(list, n, sizeof(*list), by_pid);
	for (size_t i = 0; i < n; i++) {
		fn(arg, list[i].page, list[i].stale);
		free(list[i].page);
	}
	free(list);
	return 0;
}
