/* SPDX-License-Identifier: BSD-2-Clause */
/* Hauls: what is large goes between host memory of two processes in one copy, by the kernel, and by several hands.
 *
 * Through a lane each byte is copied twice, by the two threads that run the two cards, and a process has one such thread for
 * all its traffic. A haul is copied once, in chunks, and any thread can take a chunk: some of our own that do nothing
 * else, where there are cores for them, and whoever polls. With the last chunk in its place the engine gets a message without
 * bytes, which tells the other side.
 *
 * The kernel copies between processes of which one may trace the other: the same user, and no stricter rules (Yama). Where it
 * refuses, or the memory of either side is not there, the request goes on in packets, which find out what is wrong and say so.
 *
 * Who deregisters memory may free it, so from then on nobody may touch it: at this end weft_haul_cancel waits for the chunk
 * that is being copied, at the other end weft_share_remove waits for those who entered (share.c). */
#define _GNU_SOURCE
#include "dev/haul.h"

#include "dev/conf.h"
#include "dev/core.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/uio.h>

#define CHUNK     (256u << 10)
#define HANDS_MAX 16u
#define HAULS     64u /* Of one card. */
/* The next chunk comes soon where many have come; waking a thread takes as long as copying one. */
#define LINGER_NS 50000u

struct haul {
	struct haul *next; /* To be copied; or free. */
	struct weft_haul_to to; /* owns: its share. */
	uint8_t *here;
	uint32_t len;
	uint32_t at; /* Chunks before this are taken. */
	uint32_t hands; /* Chunks that are being copied. */
	bool read;
	bool queued; /* It has chunks to take. */
	bool used;
	int err; /* Not 0: it goes on in packets. */
	uint32_t serial;
	uint64_t cookie;
};

struct weft_hauls {
	struct haul haul[HAULS];
	uint32_t under_way;
};

/* All but `queued_len` under the lock, which is the last of all. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct haul *first, *last; /* With chunks to take. */
	_Atomic uint32_t queued_len;
	pthread_t thread[HANDS_MAX];
	uint32_t threads, asleep;
	bool started, stop;
} hands = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };

/* Without signals: one whose handler calls exit() would have weft_haul_stop wait for the lock, or others for the chunk that
 * this thread copies. */
static void lock_hands(sigset_t *mask_out)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, mask_out);
	pthread_mutex_lock(&hands.lock);
}

static void unlock_hands(const sigset_t *mask)
{
	pthread_mutex_unlock(&hands.lock);
	pthread_sigmask(SIG_SETMASK, mask, NULL);
}

static uint32_t threads_wanted(void)
{
	uint32_t set = weft_conf_get()->copiers;
	cpu_set_t cpus;

	if (set != WEFT_CONF_COPIERS_AUTO)
		return set;
	if (sched_getaffinity(0, sizeof(cpus), &cpus))
		return 0;
	return WEFT_MIN((uint32_t)CPU_COUNT(&cpus) / 4, 8u);
}

/* On few cores the two threads that run the cards do better: both copy at once. */
bool weft_haul_is_on(void)
{
	const struct weft_conf *conf = weft_conf_get();

	return conf->copiers != WEFT_CONF_COPIERS_OFF && conf->wire != WEFT_CONF_WIRE_UDP &&
	       (conf->copiers != WEFT_CONF_COPIERS_AUTO || threads_wanted());
}

/* Chunks */

struct chunk {
	struct haul *haul;
	struct weft_haul_to to;
	uint8_t *here;
	uint32_t len;
	bool read;
};

static void unqueue(struct haul *h)
{
	struct haul **at = &hands.first, *last = NULL;

	while (*at != h) {
		last = *at;
		at = &last->next;
	}
	*at = h->next;
	if (hands.last == h)
		hands.last = last;
	h->queued = false;
	atomic_fetch_sub_explicit(&hands.queued_len, 1, memory_order_relaxed);
}

static bool take(struct chunk *c)
{
	struct haul *h = hands.first;

	if (!h)
		return false;
	*c = (struct chunk){
		.haul = h,
		.to = h->to,
		.here = h->here + h->at,
		.len = WEFT_MIN(h->len - h->at, CHUNK),
		.read = h->read,
	};
	c->to.addr += h->at;
	h->at += c->len;
	h->hands++;
	if (h->at == h->len)
		unqueue(h);
	return true;
}

static int copy(const struct chunk *c)
{
	struct iovec here = { .iov_base = c->here, .iov_len = c->len };
	struct iovec there = { .iov_base = (void *)(uintptr_t)c->to.addr, .iov_len = c->len };
	uint32_t place;
	ssize_t n;
	int err;

	if (!weft_share_enter(&c->to, &place))
		return -ESRCH;
	if (c->read)
		n = process_vm_readv(c->to.pid, &here, 1, &there, 1, 0);
	else
		n = process_vm_writev(c->to.pid, &here, 1, &there, 1, 0);
	err = n == (ssize_t)c->len ? 0 : n < 0 ? -errno : -EFAULT;
	weft_share_leave(&c->to, place);
	return err;
}

/* With the lock, which is given up meanwhile. False: nothing is to do. */
static bool work(void)
{
	struct chunk c;
	int err;

	if (!take(&c))
		return false;
	pthread_mutex_unlock(&hands.lock);
	err = copy(&c);
	pthread_mutex_lock(&hands.lock);
	c.haul->hands--;
	if (err) {
		c.haul->err = err;
		if (c.haul->queued)
			unqueue(c.haul);
	}
	return true;
}

/* Threads */

static void linger(void)
{
	weft_ns until = weft_clock() + LINGER_NS;

	while (!atomic_load_explicit(&hands.queued_len, memory_order_relaxed) &&
	       weft_clock() < until)
		;
}

static void *run(void *arg)
{
	(void)arg;
	pthread_setname_np(pthread_self(), "weft-copy");
	pthread_mutex_lock(&hands.lock);
	while (!hands.stop) {
		if (work())
			continue;
		pthread_mutex_unlock(&hands.lock);
		linger();
		pthread_mutex_lock(&hands.lock);
		if (hands.first || hands.stop)
			continue;
		hands.asleep++;
		pthread_cond_wait(&hands.cond, &hands.lock);
		hands.asleep--;
	}
	pthread_mutex_unlock(&hands.lock);
	return NULL;
}

/* Fewer than wanted will do, even none. */
static void start_threads(void)
{
	uint32_t wanted = hands.stop ? 0 : threads_wanted();

	hands.started = true;
	while (hands.threads < wanted &&
	       !pthread_create(&hands.thread[hands.threads], NULL, run, NULL))
		hands.threads++;
}

void weft_haul_stop(void)
{
	pthread_mutex_lock(&hands.lock);
	hands.stop = true;
	pthread_cond_broadcast(&hands.cond);
	pthread_mutex_unlock(&hands.lock);
	while (hands.threads)
		pthread_join(hands.thread[--hands.threads], NULL);
}

void weft_haul_forked(void)
{
	pthread_mutex_init(&hands.lock, NULL);
	pthread_cond_init(&hands.cond, NULL);
	hands.first = hands.last = NULL;
	atomic_store(&hands.queued_len, 0);
	hands.threads = hands.asleep = 0;
	hands.started = false;
}

/* Hauls */

static struct haul *haul_alloc(struct weft_card *card)
{
	if (!card->hauls)
		card->hauls = calloc(1, sizeof(*card->hauls));
	for (uint32_t i = 0; card->hauls && i < HAULS; i++)
		if (!card->hauls->haul[i].used)
			return &card->hauls->haul[i];
	return NULL;
}

enum weft_direct weft_haul_start(struct weft_card *card, const struct weft_haul_to *to, void *here,
				 uint32_t len, bool read, uint64_t cookie, uint32_t serial)
{
	uint32_t chunks = (len + CHUNK - 1) / CHUNK;
	struct haul *h = haul_alloc(card);
	sigset_t mask;

	if (!h)
		return card->hauls ? WEFT_DIRECT_LATER : WEFT_DIRECT_NO;
	*h = (struct haul){
		.to = *to,
		.here = here,
		.len = len,
		.read = read,
		.queued = true,
		.used = true,
		.serial = serial,
		.cookie = cookie,
	};
	card->hauls->under_way++;
	card->moving++;
	lock_hands(&mask);
	if (!hands.started)
		start_threads();
	if (hands.first)
		hands.last->next = h;
	else
		hands.first = h;
	hands.last = h;
	atomic_fetch_add_explicit(&hands.queued_len, 1, memory_order_relaxed);
	/* One chunk is for whoever polls. */
	for (uint32_t n = hands.asleep, some = hands.first == h; n && some < chunks; n--, some++)
		pthread_cond_signal(&hands.cond);
	unlock_hands(&mask);
	return WEFT_DIRECT_STARTED;
}

static void end(struct weft_card *card, struct haul *h)
{
	weft_share_release(h->to.share);
	h->used = false;
	card->hauls->under_way--;
	card->moving--;
}

void weft_haul_poll(struct weft_card *card)
{
	struct haul ended[HAULS];
	uint32_t n = 0;
	sigset_t mask;

	if (!card->hauls || !card->hauls->under_way)
		return;
	lock_hands(&mask);
	(void)work();
	for (uint32_t i = 0; i < HAULS; i++) {
		struct haul *h = &card->hauls->haul[i];

		if (!h->used || h->queued || h->hands)
			continue;
		ended[n++] = *h;
		if (h->err == -EPERM || h->err == -ENOSYS)
			weft_share_refuse(h->to.share);
		if (!h->err && h->read)
			weft_share_note_read(h->to.share, h->len);
		end(card, h);
	}
	unlock_hands(&mask);
	for (uint32_t i = 0; i < n; i++)
		weft_sq_on_moved(card, ended[i].cookie, ended[i].serial,
				 ended[i].err ? WEFT_MOVED_NOT : WEFT_MOVED);
}

/* With the lock. Whoever copies it has it for some ten microseconds. */
static void cancel(struct weft_card *card, struct haul *h)
{
	if (h->queued)
		unqueue(h);
	while (h->hands) {
		pthread_mutex_unlock(&hands.lock);
		sched_yield();
		pthread_mutex_lock(&hands.lock);
	}
	end(card, h);
}

void weft_haul_cancel(struct weft_card *card, uint64_t cookie, uint32_t serial)
{
	sigset_t mask;

	if (!card->hauls || !card->hauls->under_way)
		return;
	lock_hands(&mask);
	for (uint32_t i = 0; i < HAULS; i++) {
		struct haul *h = &card->hauls->haul[i];

		if (h->used && h->cookie == cookie && h->serial == serial)
			cancel(card, h);
	}
	unlock_hands(&mask);
}

void weft_haul_down(struct weft_card *card)
{
	sigset_t mask;

	if (!card->hauls)
		return;
	lock_hands(&mask);
	for (uint32_t i = 0; i < HAULS; i++)
		if (card->hauls->haul[i].used)
			cancel(card, &card->hauls->haul[i]);
	unlock_hands(&mask);
	free(card->hauls);
	card->hauls = NULL;
}
