/* SPDX-License-Identifier: BSD-2-Clause */
/* GPU memory of other processes of this host.
 *
 * Each card lists the regions that others can map in a file beside its inbox, of the same name and as private: an entry for
 * each key, at the place that the key's index names, so nothing is searched. Most of the file is never touched, and takes no
 * memory. The owner keeps it locked; whoever can lock it knows that the owner is dead. An entry is changed under a sequence
 * number, and whoever reads one that changes meanwhile takes it as not there.
 *
 * Mapping an allocation takes milliseconds, unmapping one may wait for kernels: both are done by a thread of their own, and a
 * request that needs a mapping waits its turn like one for which an engine has no room. Mappings are kept until the other
 * process's entry is gone or its owner dead: as long as one lasts, so does that memory. */
#define _GNU_SOURCE
#include "dev/gpu.h"

#include "base/assert.h"
#include "dev/conf_set.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAGIC    0x6d666577u /* "wefm" */
#define VERSION  1u
#define PAGE     4096u
#define ENTRIES  WEFT_DEV_MR_MAX
#define FILE_LEN (PAGE + (size_t)ENTRIES * sizeof(struct entry))
#define RETRY    WEFT_MS(20)
#define LOOK_NS  200000000l /* The thread looks so often whether mappings are still wanted. */
#define REST_NS  20000000l /* What is to be unmapped may still be copied to for a moment. */
#define BATCH    64u

struct entry {
	_Atomic uint32_t seq; /* Odd while it is changed. */
	_Atomic uint32_t key; /* 0: none. */
	uint32_t access, kind;
	uint64_t iova, length;
	uint64_t at; /* Of iova, in the allocation. */
	uint64_t base, size, id; /* The allocation. */
	int32_t fd;
	uint32_t reserved;
	struct weft_cuda_ipc handle;
};

static_assert(sizeof(struct entry) == 136, "both versions of weft on a host agree on it");

struct table {
	uint32_t magic, version;
	int32_t pid;
	_Atomic uint32_t closed;
};

/* Ours, or another process's. */
struct weft_share {
	struct weft_share *next;
	struct weft_gid of; /* Engine address. */
	int fd; /* owns; -1: it has none. */
	struct table *map; /* owns */
	weft_ns retry_at;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	pthread_t thread;
	bool running, stop, wanted;
	struct weft_import *orphans; /* Of cards that are gone. */
} mapper = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };

static struct entry *entry_of(const struct weft_share *s, uint32_t key)
{
	return (struct entry *)(void *)((uint8_t *)s->map + PAGE) + (key >> 1 & (ENTRIES - 1));
}

/* Files */

static int lock_file(int fd, short type)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1 };

	return fcntl(fd, F_OFD_SETLK, &l) ? -errno : 0;
}

static bool is_locked(int fd)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1 };

	return !fcntl(fd, F_OFD_GETLK, &l) && l.l_type != F_UNLCK;
}

static int open_dir(char *path, size_t len)
{
	const char *run, *why;
	char reason[400];
	int err = weft_conf_run_dir(&run, &why);

	if (err)
		return err;
	snprintf(path, len, "%s/gpu", run);
	return weft_conf_make_dir(path, reason, sizeof(reason));
}

/* What dead processes left. */
static void sweep(const char *dir)
{
	DIR *d = opendir(dir);
	const struct dirent *e;

	while (d && (e = readdir(d))) {
		int fd = e->d_name[0] == '.'
				 ? -1
				 : openat(dirfd(d), e->d_name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);

		if (fd < 0)
			continue;
		if (!is_locked(fd))
			unlinkat(dirfd(d), e->d_name, 0);
		close(fd);
	}
	if (d)
		closedir(d);
}

static void path_of(const struct weft_gid *of, const char *dir, char *path, size_t len)
{
	char name[80];

	weft_link_name(of, name, sizeof(name));
	snprintf(path, len, "%s/%s", dir, name);
}

static void close_share(struct weft_share *s)
{
	if (s->map)
		munmap(s->map, FILE_LEN);
	if (s->fd >= 0)
		close(s->fd);
	s->map = NULL;
	s->fd = -1;
}

/* Ours */

static int create_table(struct weft_card *card, struct weft_share *s)
{
	char dir[256], path[400];
	int err = open_dir(dir, sizeof(dir));

	if (err)
		return err;
	sweep(dir);
	path_of(&s->of, dir, path, sizeof(path));
	unlink(path);
	s->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (s->fd < 0)
		return -errno;
	err = lock_file(s->fd, F_WRLCK);
	if (!err && ftruncate(s->fd, (off_t)FILE_LEN))
		err = -errno;
	if (!err && posix_fallocate(s->fd, 0, PAGE))
		err = -ENOSPC;
	if (err)
		return err;
	s->map = mmap(NULL, FILE_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
	if (s->map == MAP_FAILED) {
		s->map = NULL;
		return -ENOMEM;
	}
	(void)madvise(s->map, FILE_LEN, MADV_DONTFORK);
	(void)card;
	s->map->version = VERSION;
	s->map->pid = getpid();
	s->map->magic = MAGIC;
	return 0;
}

static struct weft_share *own_table(struct weft_card *card)
{
	struct weft_share *s = card->share;

	if (s || !card->up || card->share_failed)
		return s;
	s = calloc(1, sizeof(*s));
	if (s) {
		s->fd = -1;
		weft_link_address(card, &card->info->gid, card->slot, &s->of);
		if (!create_table(card, s)) {
			card->share = s;
			return s;
		}
		close_share(s);
		free(s);
	}
	card->share_failed = true; /* Then everything is staged. */
	return NULL;
}

void weft_share_add(struct weft_card *card, struct weft_region *r)
{
	struct weft_share *s;
	struct entry *e;
	size_t off;

	if (!r->gpu || r->gpu->kind == WEFT_GPU_UNSHARED)
		return;
	s = own_table(card);
	if (!s)
		return;
	e = entry_of(s, r->mr.rkey);
	off = (size_t)((uint8_t *)e - (uint8_t *)s->map);
	/* So that a full file system is an error and no signal. */
	if (posix_fallocate(s->fd, (off_t)off, sizeof(*e)))
		return;
	atomic_fetch_add(&e->seq, 1);
	e->access = r->mr.access;
	e->kind = r->gpu->kind;
	e->iova = r->mr.iova;
	e->length = r->mr.length;
	e->at = (uintptr_t)r->mr.addr - r->gpu->base;
	e->base = r->gpu->base;
	e->size = r->gpu->size;
	e->id = r->gpu->id;
	e->fd = r->gpu->fd;
	e->handle = r->gpu->handle;
	atomic_store(&e->key, r->mr.rkey);
	atomic_fetch_add(&e->seq, 1);
}

void weft_share_remove(struct weft_card *card, const struct weft_region *r)
{
	struct entry *e;

	if (!r->gpu || !card->share || r->gpu->kind == WEFT_GPU_UNSHARED)
		return;
	e = entry_of(card->share, r->mr.rkey);
	atomic_fetch_add(&e->seq, 1);
	atomic_store(&e->key, 0);
	atomic_fetch_add(&e->seq, 1);
}

void weft_share_up(struct weft_card *card)
{
	for (uint32_t i = 1; card->gpus && i < card->regions_len; i++) {
		struct weft_region *r = weft_region_at(card, i);

		if (r && r->live && r->gpu)
			weft_share_add(card, r);
	}
}

/* The others' */

static bool open_table(struct weft_share *s)
{
	char dir[256], path[400];
	struct stat st;

	if (open_dir(dir, sizeof(dir)))
		return false;
	path_of(&s->of, dir, path, sizeof(path));
	s->fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (s->fd < 0)
		return false;
	if (!fstat(s->fd, &st) && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
	    st.st_size == (off_t)FILE_LEN && is_locked(s->fd)) {
		s->map = mmap(NULL, FILE_LEN, PROT_READ, MAP_SHARED, s->fd, 0);
		if (s->map == MAP_FAILED)
			s->map = NULL;
	}
	if (s->map && (s->map->magic != MAGIC || s->map->version != VERSION))
		close_share(s);
	if (!s->map)
		close_share(s);
	return s->map;
}

static struct weft_share *table_of(struct weft_card *card, const struct weft_gid *of)
{
	struct weft_share *s;

	if (card->share && !memcmp(&card->share->of, of, sizeof(*of)))
		return card->share;
	for (s = card->shares; s; s = s->next)
		if (!memcmp(&s->of, of, sizeof(*of)))
			break;
	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return NULL;
		s->of = *of;
		s->fd = -1;
		s->next = card->shares;
		card->shares = s;
	}
	if (s->map && atomic_load(&s->map->closed))
		close_share(s);
	if (!s->map && card->now >= s->retry_at) {
		s->retry_at = card->now + RETRY;
		(void)open_table(s);
	}
	return s->map ? s : NULL;
}

/* False: no such region, or not so, or it changes just now. */
static bool look_up(const struct weft_share *s, uint32_t key, uint64_t addr, uint64_t len,
		    uint32_t access, struct weft_shared_region *out)
{
	struct entry *e = entry_of(s, key);
	uint32_t seq = atomic_load(&e->seq);
	struct entry copy;

	if (seq & 1 || atomic_load(&e->key) != key || !key)
		return false;
	memcpy(&copy, (const void *)e, sizeof(copy));
	atomic_thread_fence(memory_order_acquire);
	if (atomic_load(&e->seq) != seq || (copy.access & access) != access)
		return false;
	if (addr < copy.iova || len > copy.length || addr - copy.iova > copy.length - len ||
	    copy.length > copy.size || copy.at > copy.size - copy.length)
		return false;
	*out = (struct weft_shared_region){
		.at = copy.at + (addr - copy.iova),
		.id = copy.id,
		.base = copy.base,
		.size = copy.size,
		.kind = (enum weft_gpu_kind)copy.kind,
		.fd = copy.fd,
		.handle = copy.handle,
	};
	return copy.kind == WEFT_GPU_IPC || copy.kind == WEFT_GPU_FD;
}

/* Mappings */

static void *map_loop(void *arg);

/* True: it runs. Under the card's lock, which comes before this one. */
static bool wake_mapper(void)
{
	pthread_mutex_lock(&mapper.lock);
	if (!mapper.running && !mapper.stop) {
		sigset_t all, old;

		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &old);
		mapper.running = !pthread_create(&mapper.thread, NULL, map_loop, NULL);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	mapper.wanted = true;
	pthread_cond_signal(&mapper.cond);
	pthread_mutex_unlock(&mapper.lock);
	return mapper.running;
}

static struct weft_import *import_of(struct weft_card *card, struct weft_share *s,
				     const struct weft_gpu *gpu, uint32_t key,
				     const struct weft_shared_region *r)
{
	struct weft_import *im;

	for (im = card->imports; im; im = im->next)
		if (im->share == s && im->id == r->id && im->gpu == gpu && im->pid == s->map->pid)
			break;
	if (im) {
		im->key = key;
		return im;
	}
	im = calloc(1, sizeof(*im));
	if (!im)
		return NULL;
	im->share = s;
	im->gpu = gpu;
	im->key = key;
	im->id = r->id;
	im->size = r->size;
	im->kind = r->kind;
	im->handle = r->handle;
	im->fd = r->fd;
	im->pid = s->map->pid;
	im->next = card->imports;
	card->imports = im;
	atomic_store(&im->state, wake_mapper() ? WEFT_IMPORT_WANTED : WEFT_IMPORT_FAILED);
	return im;
}

enum weft_direct weft_share_find(struct weft_card *card, const struct weft_gid *to,
				 const struct weft_gpu *gpu, uint32_t key, uint64_t addr,
				 uint64_t len, uint32_t access, uint64_t *at_out,
				 struct weft_import **import_out)
{
	struct weft_share *s = table_of(card, to);
	struct weft_shared_region r;
	struct weft_import *im;

	if (!s || !look_up(s, key, addr, len, access, &r))
		return WEFT_DIRECT_NO;
	if (s == card->share) { /* Our own process: it is where its owner says. */
		*at_out = r.base + r.at;
		*import_out = NULL;
		return WEFT_DIRECT_STARTED;
	}
	im = import_of(card, s, gpu, key, &r);
	if (!im)
		return WEFT_DIRECT_NO;
	switch ((enum weft_import_state)atomic_load(&im->state)) {
	case WEFT_IMPORT_WANTED:
	case WEFT_IMPORT_OPENING:
		return WEFT_DIRECT_LATER;
	case WEFT_IMPORT_FAILED:
		return WEFT_DIRECT_NO;
	case WEFT_IMPORT_READY:
		break;
	}
	if (r.size > im->size)
		return WEFT_DIRECT_NO;
	im->busy++;
	*at_out = im->base + r.at;
	*import_out = im;
	return WEFT_DIRECT_STARTED;
}

/* The thread */

static int open_by_fd(const struct weft_cuda *cuda, struct weft_import *im)
{
	struct weft_cuda_access access = { .type = 1, .device = im->gpu->dev, .flags = 3 };
	int process = (int)syscall(SYS_pidfd_open, im->pid, 0), fd = -1, rc;
	uint64_t handle, base;

	if (process >= 0) {
		fd = (int)syscall(SYS_pidfd_getfd, process, im->fd, 0);
		close(process);
	}
	if (fd < 0)
		return -1;
	rc = cuda->cuMemImportFromShareableHandle(&handle, (void *)(uintptr_t)fd,
						  WEFT_CUDA_HANDLE_FD);
	close(fd);
	if (rc)
		return rc;
	rc = cuda->cuMemAddressReserve(&base, im->size, 0, 0, 0);
	if (!rc) {
		rc = cuda->cuMemMap(base, im->size, 0, handle, 0);
		if (!rc) {
			rc = cuda->cuMemSetAccess(base, im->size, &access, 1);
			if (rc)
				cuda->cuMemUnmap(base, im->size);
		}
		if (rc)
			cuda->cuMemAddressFree(base, im->size);
	}
	cuda->cuMemRelease(handle); /* The mapping holds it. */
	im->base = base;
	return rc;
}

static void open_import(struct weft_import *im)
{
	const struct weft_cuda *cuda = weft_cuda_get();
	int rc = cuda->cuCtxPushCurrent_v2(im->gpu->ctx);
	void *old;

	if (!rc) {
		if (im->kind == WEFT_GPU_FD)
			rc = open_by_fd(cuda, im);
		else
			rc = cuda->cuIpcOpenMemHandle_v2(&im->base, im->handle,
							 WEFT_CUDA_IPC_LAZY_PEER_ACCESS);
		cuda->cuCtxPopCurrent_v2(&old);
	}
	atomic_store(&im->state, rc ? WEFT_IMPORT_FAILED : WEFT_IMPORT_READY);
}

static void close_import(struct weft_import *im)
{
	const struct weft_cuda *cuda = weft_cuda_get();
	void *old;

	if (atomic_load(&im->state) == WEFT_IMPORT_READY &&
	    !cuda->cuCtxPushCurrent_v2(im->gpu->ctx)) {
		if (im->kind == WEFT_GPU_FD) {
			cuda->cuMemUnmap(im->base, im->size);
			cuda->cuMemAddressFree(im->base, im->size);
		} else {
			cuda->cuIpcCloseMemHandle(im->base);
		}
		cuda->cuCtxPopCurrent_v2(&old);
	}
	free(im);
}

struct round {
	struct weft_import *open[BATCH], *close;
	uint32_t opens;
	bool any; /* Mappings to look after. */
};

static bool is_listed(const struct weft_import *im)
{
	const struct weft_share *s = im->share;
	struct entry *e;

	if (!s->map || s->map->pid != im->pid || !is_locked(s->fd))
		return false;
	e = entry_of(s, im->key);
	return atomic_load(&e->key) == im->key && e->id == im->id;
}

static void look_at_card(struct weft_card *card, void *arg)
{
	struct weft_import **at = &card->imports, *im;
	struct round *round = arg;

	weft_card_lock(card);
	while ((im = *at)) {
		int state = atomic_load(&im->state);

		round->any = true;
		if (state == WEFT_IMPORT_WANTED && round->opens < BATCH) {
			atomic_store(&im->state, WEFT_IMPORT_OPENING);
			round->open[round->opens++] = im;
		} else if (state >= WEFT_IMPORT_READY && !im->busy && !is_listed(im)) {
			*at = im->next;
			im->next = round->close;
			round->close = im;
			continue;
		}
		at = &im->next;
	}
	weft_card_unlock(card);
}

/* Until there is something to do. False: the end. */
static bool wait_for_work(const struct round *round)
{
	struct timespec until;
	bool go;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += LOOK_NS;
	if (until.tv_nsec >= 1000000000l) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000l;
	}
	pthread_mutex_lock(&mapper.lock);
	while (!mapper.wanted && !mapper.stop) {
		if (!round->any)
			pthread_cond_wait(&mapper.cond, &mapper.lock);
		else if (pthread_cond_timedwait(&mapper.cond, &mapper.lock, &until))
			break;
	}
	mapper.wanted = false;
	go = !mapper.stop;
	pthread_mutex_unlock(&mapper.lock);
	return go;
}

static struct weft_import *take_orphans(struct weft_import *list)
{
	struct weft_import **at, *im;

	pthread_mutex_lock(&mapper.lock);
	at = &mapper.orphans;
	while ((im = *at)) {
		if (atomic_load(&im->state) == WEFT_IMPORT_OPENING) {
			at = &im->next;
			continue;
		}
		*at = im->next;
		im->next = list;
		list = im;
	}
	pthread_mutex_unlock(&mapper.lock);
	return list;
}

static void *map_loop(void *arg)
{
	const struct timespec rest = { .tv_nsec = REST_NS };
	struct round round = { .any = false };

	(void)arg;
	pthread_setname_np(pthread_self(), "weft-gpu");
	while (wait_for_work(&round)) {
		round = (struct round){ .any = false };
		weft_card_each(look_at_card, &round);
		for (uint32_t i = 0; i < round.opens; i++)
			open_import(round.open[i]);
		if (round.opens)
			weft_helper_kick();
		round.close = take_orphans(round.close);
		if (round.close)
			nanosleep(&rest, NULL);
		while (round.close) {
			struct weft_import *next = round.close->next;

			close_import(round.close);
			round.close = next;
		}
	}
	return NULL;
}

void weft_mem_stop(void)
{
	bool running;

	pthread_mutex_lock(&mapper.lock);
	mapper.stop = true;
	running = mapper.running;
	mapper.running = false;
	pthread_cond_signal(&mapper.cond);
	pthread_mutex_unlock(&mapper.lock);
	if (running)
		pthread_join(mapper.thread, NULL);
}

/* The end of a card */

void weft_share_down(struct weft_card *card)
{
	struct weft_import *last = card->imports;
	char dir[256], path[400];

	if (card->share) {
		atomic_store(&card->share->map->closed, 1);
		if (!open_dir(dir, sizeof(dir))) {
			path_of(&card->share->of, dir, path, sizeof(path));
			unlink(path);
		}
		close_share(card->share);
		free(card->share);
		card->share = NULL;
	}
	if (last) {
		for (;; last = last->next) {
			last->share = NULL;
			if (!last->next)
				break;
		}
		pthread_mutex_lock(&mapper.lock);
		last->next = mapper.orphans;
		mapper.orphans = card->imports;
		mapper.wanted = true;
		pthread_cond_signal(&mapper.cond);
		pthread_mutex_unlock(&mapper.lock);
		card->imports = NULL;
	}
	while (card->shares) {
		struct weft_share *s = card->shares;

		card->shares = s->next;
		close_share(s);
		free(s);
	}
}

/* In the child nothing of the parent's works, neither ours nor the driver. */
void weft_mem_forked(struct weft_card *card)
{
	card->gpus = NULL;
	card->imports = NULL;
	card->share = NULL;
	card->shares = NULL;
	card->moving = 0;
	card->unsettled = false;
	pthread_mutex_init(&mapper.lock, NULL);
	pthread_cond_init(&mapper.cond, NULL);
	mapper.running = false;
	mapper.orphans = NULL;
}
