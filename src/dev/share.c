/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory of other processes of this host: what of it can be reached, and mappings of what is a GPU's.
 *
 * Each card lists the regions that others can reach in a file beside its inbox, of the same name and as private: an entry for
 * each key, at the place that the key's index names, so nothing is searched. Most of the file is never touched, and takes no
 * memory. The owner keeps it locked; whoever can lock it knows that the owner is dead. An entry is changed under a sequence
 * number, and whoever reads one that changes meanwhile takes it as not there.
 *
 * Who copies to or from host memory of another process enters first (hauls, haul.c): he takes a place in that process's file,
 * looks whether the entry is there still, and leaves when he is done. Who takes an entry away waits for those who are in.
 *
 * Mapping an allocation takes milliseconds, unmapping one may wait for kernels: both are done by a thread of their own, and a
 * request that needs a mapping waits its turn like one for which an engine has no room. Mappings are kept until the other
 * process's entry is gone or its owner dead: as long as one lasts, so does that memory. */
#define _GNU_SOURCE
#include "dev/gpu.h"

#include "base/assert.h"
#include "dev/conf_set.h"
#include "dev/haul.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAGIC     0x6d666577u /* "wefm" */
#define VERSION   3u
#define HEAD      8192u
#define ENTRIES   WEFT_DEV_MR_MAX
#define FILE_LEN  (HEAD + (size_t)ENTRIES * sizeof(struct entry))
#define RETRY     WEFT_MS(20)
#define LOOK_NS   200000000l /* The thread looks so often whether mappings are still wanted. */
#define MISSED_NS 100000l
#define REST_NS   20000000l /* What is to be unmapped may still be copied to for a moment. */
#define BATCH     64u
#define PLACES    62u
#define ANY_QP    WEFT_DEV_QP_MAX
#define BLOCK     (64u << 10) /* So much of the file gets memory at a time. */
#define BLOCKS    (ENTRIES * sizeof(struct entry) / BLOCK + 8)
#define SEAT_NS   WEFT_S(1) /* Who is in for so long is stopped. It is waited for no longer. */
#define JOIN_S    1 /* The driver may let us wait for a kernel that does not end. */

struct entry {
	_Atomic uint32_t seq; /* Odd while it is changed. */
	_Atomic uint32_t key; /* 0: none. */
	uint32_t access, kind;
	uint64_t iova, length;
	uint64_t at; /* Of iova, in the allocation. */
	uint64_t base, size, id; /* The allocation. */
	int32_t fd;
	uint32_t pd; /* Only its queues lead here. */
	struct weft_cuda_ipc handle;
};

static_assert(sizeof(struct entry) == 136, "both versions of weft on a host agree on it");

struct place {
	_Alignas(64) _Atomic uint64_t who; /* Process, above the key; 0: nobody. */
	_Atomic uint32_t qp; /* Through which. */
};

struct table {
	uint32_t magic, version;
	int32_t pid;
	_Atomic uint32_t closed;
	uint64_t pids; /* In which numbering `pid` is. */
	_Atomic uint64_t read_bytes; /* By others, in hauls: the owner sees nothing of them. */
	uint64_t token, token_at; /* What that process, and no other, has at that address. */
	_Atomic uint32_t qp[WEFT_DEV_QP_MAX]; /* Of each that may be a target: its PD. */
	struct place place[PLACES];
};

static_assert(sizeof(struct table) <= HEAD, "it lies in front of the entries");

/* Ours, or another process's. */
struct weft_share {
	struct weft_share *next;
	struct weft_gid of; /* Engine address. */
	int fd; /* owns; -1: it has none. */
	struct table *map; /* owns */
	weft_ns retry_at;
	uint32_t busy; /* Hauls under way. */
	int pid; /* Its owner, as the kernel has shown; or 0. */
	bool refused; /* The kernel does not let us copy there, or there is somebody else. */
	uint8_t backed[BLOCKS / 8]; /* Parts of the file that are known to have memory. */
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
	return (struct entry *)(void *)((uint8_t *)s->map + HEAD) + (key >> 1 & (ENTRIES - 1));
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

static uint64_t pid_numbering(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) ? 0 : (uint64_t)st.st_ino;
}

static _Atomic uint64_t token;

static void fill_head(struct table *t)
{
	uint64_t none = 0, any;

	if (getrandom(&any, sizeof(any), 0) == (ssize_t)sizeof(any))
		atomic_compare_exchange_strong(&token, &none, any);
	t->version = VERSION;
	t->pid = getpid();
	t->pids = pid_numbering();
	t->token = atomic_load(&token);
	t->token_at = (uintptr_t)&token;
	t->magic = MAGIC;
}

/* Under another name until it is locked: who sweeps takes what is not for what a dead process left. */
static int create_table(struct weft_share *s)
{
	static _Atomic bool swept;
	char dir[256], path[400], temp[408];
	int err = open_dir(dir, sizeof(dir));

	if (err)
		return err;
	if (!atomic_exchange(&swept, true))
		sweep(dir);
	path_of(&s->of, dir, path, sizeof(path));
	snprintf(temp, sizeof(temp), "%s/.%s", dir, path + strlen(dir) + 1);
	unlink(temp);
	s->fd = open(temp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (s->fd < 0)
		return -errno;
	err = lock_file(s->fd, F_WRLCK);
	if (!err && ftruncate(s->fd, (off_t)FILE_LEN))
		err = -errno;
	if (!err && posix_fallocate(s->fd, 0, HEAD))
		err = -ENOSPC;
	if (!err) {
		s->map = mmap(NULL, FILE_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
		if (s->map == MAP_FAILED) {
			s->map = NULL;
			err = -ENOMEM;
		}
	}
	if (!err) {
		(void)madvise(s->map, FILE_LEN, MADV_DONTFORK);
		fill_head(s->map);
		if (rename(temp, path))
			err = -errno;
	}
	if (err)
		unlink(temp);
	return err;
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
		if (!create_table(s)) {
			card->share = s;
			for (uint32_t i = 0; i < WEFT_DEV_QP_MAX; i++)
				if (card->slots[i].qp)
					weft_share_qp(card, card->slots[i].qp);
			return s;
		}
		close_share(s);
		free(s);
	}
	card->share_failed = true; /* Then everything is staged. */
	return NULL;
}

static bool is_listable(const struct weft_region *r)
{
	if (r->gpu)
		return r->gpu->kind != WEFT_GPU_UNSHARED;
	return r->mr.length >= WEFT_HAUL_MIN && weft_haul_is_on() &&
	       r->mr.access & (WEFT_ACCESS_REMOTE_READ | WEFT_ACCESS_REMOTE_WRITE);
}

/* So that a full file system is an error and no signal. */
static bool has_memory(struct weft_share *s, const struct entry *e)
{
	size_t first = (size_t)((const uint8_t *)e - (uint8_t *)s->map) / BLOCK;
	size_t last = (size_t)((const uint8_t *)(e + 1) - 1 - (uint8_t *)s->map) / BLOCK;

	for (size_t b = first; b <= last; b++) {
		if (s->backed[b / 8] & 1u << b % 8)
			continue;
		if (posix_fallocate(s->fd, (off_t)(b * BLOCK),
				    (off_t)WEFT_MIN(BLOCK, FILE_LEN - b * BLOCK)))
			return false;
		s->backed[b / 8] |= (uint8_t)(1u << b % 8);
	}
	return true;
}

void weft_share_add(struct weft_card *card, struct weft_region *r)
{
	struct weft_share *s;
	struct entry *e;

	if (!is_listable(r))
		return;
	s = own_table(card);
	if (!s)
		return;
	e = entry_of(s, r->mr.rkey);
	if (!has_memory(s, e))
		return;
	atomic_fetch_add(&e->seq, 1);
	e->access = r->mr.access;
	e->pd = r->mr.pd->id;
	e->iova = r->mr.iova;
	e->length = r->mr.length;
	if (r->gpu) {
		e->kind = r->gpu->kind;
		e->at = (uintptr_t)r->mr.addr - r->gpu->base;
		e->base = r->gpu->base;
		e->size = r->gpu->size;
		e->id = r->gpu->id;
		e->fd = r->gpu->fd;
		e->handle = r->gpu->handle;
	} else {
		e->kind = WEFT_GPU_NONE;
		e->at = 0;
		e->base = (uintptr_t)r->mr.addr;
		e->size = r->mr.length;
	}
	atomic_store(&e->key, r->mr.rkey);
	atomic_fetch_add(&e->seq, 1);
}

static void free_if_dead(struct place *p)
{
	uint64_t who = atomic_load(&p->who);

	if (who && kill((pid_t)(who >> 32), 0) && errno == ESRCH)
		atomic_compare_exchange_strong(&p->who, &who, 0);
}

/* Until nobody is in that region, or nobody by that queue (key 0). */
static void wait_for_leaving(struct table *t, uint32_t key, uint32_t qp)
{
	weft_ns until = 0;

	for (uint32_t i = 0; i < PLACES; i++) {
		struct place *p = &t->place[i];
		uint64_t who;

		while ((who = atomic_load(&p->who)) &&
		       (key ? (uint32_t)who == key : qp == ANY_QP || atomic_load(&p->qp) == qp)) {
			if (!until)
				until = weft_clock() + SEAT_NS;
			if (weft_clock() > until)
				return;
			free_if_dead(p);
			sched_yield();
		}
	}
}

void weft_share_remove(struct weft_card *card, const struct weft_region *r)
{
	struct entry *e;

	if (!card->share || !is_listable(r))
		return;
	e = entry_of(card->share, r->mr.rkey);
	if (!has_memory(card->share, e))
		return;
	atomic_fetch_add(&e->seq, 1);
	atomic_store(&e->key, 0);
	atomic_fetch_add(&e->seq, 1);
	if (!r->gpu)
		wait_for_leaving(card->share->map, r->mr.rkey, ANY_QP);
}

void weft_share_qp(struct weft_card *card, const struct weft_qp *qp)
{
	bool target = qp->type == WEFT_QP_SRD && weft_qp_target(card, qp->qpn) == qp;
	struct table *t;

	if (!card->share)
		return;
	t = card->share->map;
	if (atomic_exchange(&t->qp[qp->index], target ? qp->pd->id : 0) && !target)
		wait_for_leaving(t, 0, qp->index);
}

void weft_share_up(struct weft_card *card)
{
	for (uint32_t i = 1; i < card->regions_len; i++) {
		struct weft_region *r = weft_region_at(card, i);

		if (r && r->live)
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
	s->fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (s->fd < 0)
		return false;
	if (!fstat(s->fd, &st) && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
	    st.st_size == (off_t)FILE_LEN && is_locked(s->fd)) {
		s->map = mmap(NULL, FILE_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
		if (s->map == MAP_FAILED)
			s->map = NULL;
	}
	if (s->map && (s->map->magic != MAGIC || s->map->version != VERSION))
		close_share(s);
	if (!s->map)
		close_share(s);
	s->pid = 0;
	s->refused = false;
	memset(s->backed, 0, sizeof(s->backed));
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
	/* Another process may have come in its place, with other memory under the same keys. */
	if (s->map && (atomic_load(&s->map->closed) || !is_locked(s->fd))) {
		if (s->busy)
			return NULL;
		close_share(s);
	}
	if (!s->map && card->now >= s->retry_at) {
		s->retry_at = card->now + RETRY;
		(void)open_table(s);
	}
	return s->map ? s : NULL;
}

/* A part of the file without memory would get some by being looked at; and where there is none left, a signal. */
static bool is_backed(struct weft_share *s, const struct entry *e)
{
	size_t at = (size_t)((const uint8_t *)e - (uint8_t *)s->map);
	size_t first = at / BLOCK, last = (at + sizeof(*e) - 1) / BLOCK;
	uint32_t key = 0;

	if (s->backed[first / 8] & 1u << first % 8 && s->backed[last / 8] & 1u << last % 8)
		return true;
	if (pread(s->fd, &key, sizeof(key), (off_t)(at + offsetof(struct entry, key))) !=
		    (ssize_t)sizeof(key) ||
	    !key)
		return false;
	s->backed[first / 8] |= (uint8_t)(1u << first % 8);
	s->backed[last / 8] |= (uint8_t)(1u << last % 8);
	return true;
}

/* False: no such region, or not so, or not through that queue, or it changes just now. */
static bool look_up(struct weft_share *s, const struct weft_wr *wr, uint64_t len,
		    struct weft_shared_region *out)
{
	uint32_t access =
		wr->op == WEFT_OP_READ ? WEFT_ACCESS_REMOTE_READ : WEFT_ACCESS_REMOTE_WRITE;
	struct entry *e = entry_of(s, wr->rkey);
	uint64_t addr = wr->raddr;
	struct entry copy;
	uint32_t seq;

	if (!is_backed(s, e))
		return false;
	seq = atomic_load(&e->seq);
	if (seq & 1 || atomic_load(&e->key) != wr->rkey || !wr->rkey)
		return false;
	memcpy(&copy, (const void *)e, sizeof(copy));
	atomic_thread_fence(memory_order_acquire);
	if (atomic_load(&e->seq) != seq || (copy.access & access) != access ||
	    atomic_load(&s->map->qp[WEFT_QPN_INDEX(wr->qpn)]) != copy.pd)
		return false;
	if (addr < copy.iova || len > copy.length || addr - copy.iova > copy.length - len ||
	    copy.length > copy.size || copy.at > copy.size - copy.length)
		return false;
	*out = (struct weft_shared_region){
		.at = copy.at + (addr - copy.iova),
		.seq = seq,
		.pd = copy.pd,
		.id = copy.id,
		.base = copy.base,
		.size = copy.size,
		.kind = (enum weft_gpu_kind)copy.kind,
		.fd = copy.fd,
		.handle = copy.handle,
	};
	return copy.kind > WEFT_GPU_UNSHARED && copy.kind <= WEFT_GPU_NONE;
}

/* Host memory */

/* The number may be another process's here: of a container with numbers of its own, or on another host that has the
 * same files. So it is not believed before that process has shown the owner's token. */
static bool knows_owner(struct weft_share *s)
{
	uint64_t got = 0, pids;
	struct iovec here = { .iov_base = &got, .iov_len = sizeof(got) };
	struct iovec there = { .iov_base = (void *)(uintptr_t)s->map->token_at,
			       .iov_len = sizeof(got) };
	int pid = s->map->pid;

	if (s->pid || s->refused)
		return !s->refused;
	pids = pid_numbering();
	s->refused = !pids || pids != s->map->pids || !s->map->token ||
		     process_vm_readv(pid, &here, 1, &there, 1, 0) != (ssize_t)sizeof(got) ||
		     got != s->map->token;
	if (!s->refused)
		s->pid = pid;
	return !s->refused;
}

bool weft_share_find_host(struct weft_card *card, const struct weft_gid *to,
			  const struct weft_wr *wr, uint64_t len, struct weft_haul_to *out)
{
	struct weft_share *s = table_of(card, to);
	struct weft_shared_region r;

	if (!s || s == card->share || !look_up(s, wr, len, &r) || r.kind != WEFT_GPU_NONE ||
	    !knows_owner(s))
		return false;
	s->busy++;
	*out = (struct weft_haul_to){
		.share = s,
		.pid = s->pid,
		.key = wr->rkey,
		.seq = r.seq,
		.pd = r.pd,
		.qp = (uint8_t)WEFT_QPN_INDEX(wr->qpn),
		.addr = r.base + r.at,
	};
	return true;
}

void weft_share_release(struct weft_share *share)
{
	share->busy--;
}

void weft_share_note_read(struct weft_share *share, uint32_t len)
{
	atomic_fetch_add_explicit(&share->map->read_bytes, len, memory_order_relaxed);
}

uint64_t weft_share_read_bytes(const struct weft_card *card)
{
	return card->share
		       ? atomic_load_explicit(&card->share->map->read_bytes, memory_order_relaxed)
		       : 0;
}

void weft_share_refuse(struct weft_share *share)
{
	share->refused = true;
}

static bool take_place(struct table *t, const struct weft_haul_to *to, uint32_t *place_out)
{
	uint64_t me = (uint64_t)(uint32_t)getpid() << 32 | to->key;

	for (uint32_t i = 0; i < PLACES; i++) {
		uint64_t who = 0;

		if (!atomic_compare_exchange_strong(&t->place[i].who, &who, me))
			continue;
		atomic_store(&t->place[i].qp, to->qp);
		*place_out = i;
		return true;
	}
	/* For the next. */
	for (uint32_t i = 0; i < PLACES; i++)
		free_if_dead(&t->place[i]);
	return false;
}

/* The owner of the number may be gone, and the number another process's, which is not to be touched: so its lock is looked at
 * each time, a moment before. Who was stopped in here may not be waited for any more, and begins again. */
bool weft_share_enter(const struct weft_haul_to *to, uint32_t *place_out)
{
	const struct weft_share *s = to->share;
	struct entry *e = entry_of(s, to->key);
	struct table *t = s->map;
	bool late;

	do {
		weft_ns since = weft_clock();

		if (!is_locked(s->fd) || !take_place(t, to, place_out))
			return false;
		if (atomic_load(&e->key) != to->key || atomic_load(&e->seq) != to->seq ||
		    atomic_load(&t->qp[to->qp]) != to->pd || atomic_load(&t->closed)) {
			weft_share_leave(to, *place_out);
			return false;
		}
		late = weft_clock() - since > SEAT_NS / 2;
		if (late)
			weft_share_leave(to, *place_out);
	} while (late);
	return true;
}

void weft_share_leave(const struct weft_haul_to *to, uint32_t place)
{
	atomic_store(&to->share->map->place[place].who, 0);
}

/* Mappings */

static void *map_loop(void *arg);

/* True: it runs. Under the card's lock, which comes before this one. */
static bool wake_mapper(void)
{
	sigset_t all, old;
	bool runs;

	/* A handler that calls exit() would wait for the lock in weft_mem_stop. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_mutex_lock(&mapper.lock);
	if (!mapper.running && !mapper.stop)
		mapper.running = !pthread_create(&mapper.thread, NULL, map_loop, NULL);
	mapper.wanted = true;
	runs = mapper.running;
	pthread_cond_signal(&mapper.cond);
	pthread_mutex_unlock(&mapper.lock);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return runs;
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
				 const struct weft_gpu *gpu, const struct weft_wr *wr, uint64_t len,
				 uint64_t *at_out, struct weft_import **import_out)
{
	struct weft_share *s = table_of(card, to);
	struct weft_shared_region r;
	struct weft_import *im;

	if (!s || !look_up(s, wr, len, &r) || r.kind == WEFT_GPU_NONE)
		return WEFT_DIRECT_NO;
	if (s == card->share) { /* Our own process: it is where its owner says. */
		*at_out = r.base + r.at;
		*import_out = NULL;
		return WEFT_DIRECT_STARTED;
	}
	im = import_of(card, s, gpu, wr->rkey, &r);
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
	bool missed; /* A card that somebody works at. */
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

	/* Whoever has it may have it for ever: a signal handler's exit() waits for us (card.c). */
	if (!weft_card_trylock(card)) {
		round->missed = true;
		return;
	}
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
	until.tv_nsec += round->missed ? MISSED_NS : LOOK_NS;
	if (until.tv_nsec >= 1000000000l) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000l;
	}
	pthread_mutex_lock(&mapper.lock);
	while (!mapper.wanted && !mapper.stop) {
		if (!round->any && !round->missed)
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
	struct timespec until;
	bool running;

	pthread_mutex_lock(&mapper.lock);
	mapper.stop = true;
	running = mapper.running;
	mapper.running = false;
	pthread_cond_signal(&mapper.cond);
	pthread_mutex_unlock(&mapper.lock);
	if (running) {
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += JOIN_S;
		(void)pthread_timedjoin_np(mapper.thread, NULL, &until);
	}
	weft_haul_stop();
}

/* The end of a card */

void weft_share_down(struct weft_card *card)
{
	struct weft_import *last = card->imports;
	char dir[256], path[400];

	if (card->share) {
		atomic_store(&card->share->map->closed, 1);
		wait_for_leaving(card->share->map, 0, ANY_QP);
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
	/* Or the parent's lock would outlive it. */
	if (card->share)
		close(card->share->fd);
	card->gpus = NULL;
	card->imports = NULL;
	card->share = NULL;
	card->shares = NULL;
	card->moving = 0;
	card->unsettled = false;
	card->hauls = NULL;
}

void weft_mem_threads_forked(void)
{
	weft_haul_forked();
	pthread_mutex_init(&mapper.lock, NULL);
	pthread_cond_init(&mapper.cond, NULL);
	mapper.running = false;
	mapper.orphans = NULL;
}
