/* SPDX-License-Identifier: BSD-2-Clause */
/* Cards: who has which open, the identity on the wire, one round of work, and the end of it all.
 *
 * Opening a card costs some memory. When its first QP is made the card comes up: it binds a port of its
 * range, whose number is its slot and thereby the upper half of its QPNs, and opens its links. It goes down
 * when the last who has it open closes it, or at exit: peers are told (the engines' orderly close), which
 * takes some milliseconds at most.
 *
 * Fork. The child inherits sockets and shared memory that are the parent's identity. If it kept them, peers
 * would not notice the parent's death; if it used them, two processes would be one peer. So in the child each
 * card is dead: descriptors are closed, mappings dropped, and everything that is tried on it fails with EIO.
 * A card opened afresh in the child is a new one. */
#include "dev/core.h"

#include "base/assert.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define END_TRIES 20u /* A millisecond each. */

_Thread_local char weft_here;

static struct {
	pthread_mutex_t lock;
	pthread_once_t once;
	struct weft_card *cards[WEFT_CARDS_MAX]; /* owns */
	bool ended;
	sigset_t fork_mask; /* Signals of the thread that forks. */
} weft_dev = { .lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT };

/* Without signals: one whose handler calls exit() (see abandon()) would have at_exit() wait for this lock, or the
 * destructors after it for what at_exit() itself has locked, in the thread that holds it. */
static void lock_dev(sigset_t *mask_out)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, mask_out);
	pthread_mutex_lock(&weft_dev.lock);
}

static void unlock_dev(const sigset_t *mask)
{
	pthread_mutex_unlock(&weft_dev.lock);
	pthread_sigmask(SIG_SETMASK, mask, NULL);
}

/* Fork */

/* No fork in the middle of a card's work: the child could not let go of a lane that is half claimed. */
static void before_fork(void)
{
	sigset_t mask;

	lock_dev(&mask);
	weft_dev.fork_mask = mask;
	for (uint32_t i = 0; i < WEFT_CARDS_MAX; i++)
		if (weft_dev.cards[i])
			weft_card_lock(weft_dev.cards[i]);
}

static void after_fork_parent(void)
{
	sigset_t mask = weft_dev.fork_mask;

	for (uint32_t i = 0; i < WEFT_CARDS_MAX; i++)
		if (weft_dev.cards[i])
			weft_card_unlock(weft_dev.cards[i]);
	unlock_dev(&mask);
}

static void after_fork_child(void)
{
	pthread_mutex_init(&weft_dev.lock, NULL);
	weft_helper_forked();
	weft_report_forked();
	weft_mem_threads_forked();
	for (uint32_t i = 0; i < WEFT_CARDS_MAX; i++) {
		struct weft_card *card = weft_dev.cards[i];

		if (!card)
			continue;
		weft_dev.cards[i] = NULL; /* Its objects are the application's still: not freed. */
		card->dead = true;
		pthread_mutex_init(&card->lock, NULL);
		atomic_store(&card->holder, NULL);
		for (struct weft_channel *c = card->channel_list; c; c = c->next_on_card)
			pthread_mutex_init(&c->lock, NULL);
		for (uint32_t k = 0; k < WEFT_LINKS; k++)
			weft_link_forked(&card->link[k]);
		weft_mem_forked(card);
		card->up = false;
	}
	pthread_sigmask(SIG_SETMASK, &weft_dev.fork_mask, NULL);
}

/* The end */

/* Shared memory first: it wakes a sleeping peer, which has to hear of the end as well, through the socket. */
static void close_links(struct weft_card *card)
{
	weft_link_close(&card->link[WEFT_LINK_LOCAL]);
	weft_link_close(&card->link[WEFT_LINK_UDP]);
}

/* exit() was called by a signal handler that interrupted this very thread in the card's work (libraries do that:
 * libinfinipath on SIGTERM and SIGINT, and it comes along with libfabric). The work will never go on, and destructors
 * that run after us want the lock: it becomes a new one, and the links stay as they are, with nobody to touch
 * them. Peers learn it from the kernel, as if the process had been killed. */
static void abandon(struct weft_card *card)
{
	for (uint32_t k = 0; k < WEFT_LINKS; k++) {
		card->link[k].srd = NULL;
		card->link[k].local = NULL;
		card->link[k].udp = NULL;
	}
	card->up = false;
	card->dead = true;
	pthread_mutex_init(&card->lock, NULL);
	atomic_store(&card->holder, NULL);
}

/* A thread that works lets go soon. One that sits in the lock for ever must not keep the process from ending. */
static bool lock_at_end(struct weft_card *card)
{
	const struct timespec nap = { .tv_nsec = 1000000 };
	const char *holder = NULL;

	for (uint32_t i = 0; i < END_TRIES && holder != &weft_here; i++) {
		if (i)
			nanosleep(&nap, NULL);
		if (weft_card_trylock(card))
			return true;
		holder = atomic_load(&card->holder);
	}
	/* Locked and without a name for so long: interrupted right between the two. */
	if (!holder || holder == &weft_here)
		abandon(card);
	return false;
}

static void at_exit(void)
{
	sigset_t mask;

	weft_helper_stop();
	weft_mem_stop();
	lock_dev(&mask);
	weft_dev.ended = true;
	for (uint32_t i = 0; i < WEFT_CARDS_MAX; i++) {
		struct weft_card *card = weft_dev.cards[i];

		/* Also of a card that is not up yet: its lock may be ours all the same. */
		if (!card || !lock_at_end(card))
			continue;
		if (card->up) {
			weft_sq_linger(card);
			weft_report_down(card);
			close_links(card);
			weft_mem_down(card);
			card->up = false;
			card->dead = true;
		}
		weft_card_unlock(card);
	}
	weft_report_fini();
	unlock_dev(&mask);
}

static void init_once(void)
{
	weft_counters_watch_forks(); /* Before ours: its lock is taken under ours. */
	pthread_atfork(before_fork, after_fork_parent, after_fork_child);
	atexit(at_exit);
}

void weft_card_each(void (*fn)(struct weft_card *card, void *arg), void *arg)
{
	sigset_t mask;

	lock_dev(&mask);
	for (uint32_t i = 0; i < WEFT_CARDS_MAX; i++)
		if (weft_dev.cards[i])
			fn(weft_dev.cards[i], arg);
	unlock_dev(&mask);
}

/* Open and close */

static struct weft_card *card_create(const struct weft_card_info *info)
{
	struct weft_card *card = aligned_alloc(64, (sizeof(*card) + 63) / 64 * 64);
	uint32_t start;

	if (!card)
		return NULL;
	memset(card, 0, sizeof(*card));
	card->info = info;
	pthread_mutex_init(&card->lock, NULL);
	for (uint32_t k = 0; k < WEFT_LINKS; k++) {
		card->link[k].card = card;
		card->link[k].kind = (enum weft_link_kind)k;
	}
	/* QPNs start somewhere else each time, so that a late message to our predecessor finds nobody. */
	start = (uint32_t)weft_clock() ^ (uint32_t)getpid() * 2654435761u;
	for (uint32_t i = 0; i < WEFT_DEV_QP_MAX; i++)
		card->index_free[i] = (uint8_t)((start >> 8) + i);
	card->index_len = WEFT_DEV_QP_MAX;
	return card;
}

int weft_card_open(uint32_t index, struct weft_card **card_out)
{
	const struct weft_card_info *cards;
	uint32_t count;
	const char *why;
	sigset_t mask;
	int err;

	pthread_once(&weft_dev.once, init_once);
	err = weft_cardset_get(&cards, &count, &why);
	if (err)
		return err;
	if (index >= count)
		return -ENODEV;
	lock_dev(&mask);
	if (weft_dev.ended) {
		err = -ENODEV;
	} else if (!weft_dev.cards[index]) {
		weft_dev.cards[index] = card_create(&cards[index]);
		if (!weft_dev.cards[index])
			err = -ENOMEM;
	}
	if (!err) {
		weft_dev.cards[index]->refs++;
		*card_out = weft_dev.cards[index];
	}
	unlock_dev(&mask);
	return err;
}

void weft_card_close(struct weft_card *card)
{
	sigset_t mask;

	lock_dev(&mask);
	weft_assert(card->refs);
	/* Objects that the application forgot keep the card: they point to it. */
	if (--card->refs || card->pds || card->cqs || card->channel_list || card->dead) {
		unlock_dev(&mask);
		return;
	}
	weft_dev.cards[card->info->index] = NULL;
	weft_card_lock(card);
	if (card->up)
		weft_report_down(card);
	close_links(card);
	weft_mem_down(card);
	weft_card_unlock(card);
	unlock_dev(&mask);
	weft_regions_fini(card);
	pthread_mutex_destroy(&card->lock);
	free(card);
}

const struct weft_card_info *weft_card_info(const struct weft_card *card)
{
	return card->info;
}

/* Coming up */

int weft_card_up(struct weft_card *card)
{
	const struct weft_conf *conf = weft_conf_get();
	int err;

	if (card->dead)
		return -EIO;
	if (card->up)
		return 0;
	card->now = weft_clock();
	err = weft_link_open_udp(&card->link[WEFT_LINK_UDP]);
	if (err)
		return err;
	if (conf->wire != WEFT_CONF_WIRE_UDP) {
		err = weft_link_open_local(&card->link[WEFT_LINK_LOCAL]);
		if (err && conf->wire == WEFT_CONF_WIRE_LOCAL) {
			weft_link_close(&card->link[WEFT_LINK_UDP]);
			return err;
		}
	}
	/* Without it nobody answers while the program does not: not a card that works. */
	err = weft_helper_start();
	if (err) {
		close_links(card);
		return err;
	}
	card->up = true;
	weft_share_up(card);
	weft_report_up(card);
	weft_helper_kick();
	return 0;
}

/* Work */

#define REPORT_EVERY WEFT_MS(10)

bool weft_card_work(struct weft_card *card)
{
	uint32_t got = 0;

	if (!card->up)
		return false;
	card->now = weft_clock();
	/* Shared memory first: looking costs nothing. The socket costs a system call, so while shared memory
	 * is busy and the socket is not, only every so often. */
	got = weft_link_recv(&card->link[WEFT_LINK_LOCAL]);
	got += weft_link_recv(&card->link[WEFT_LINK_UDP]);
	for (uint32_t k = 0; k < WEFT_LINKS; k++)
		weft_link_timer(&card->link[k]);
	if (card->moving && weft_direct_poll(card))
		got++;
	if (card->waiting)
		weft_sq_retry(card);
	for (uint32_t k = 0; k < WEFT_LINKS; k++)
		weft_link_drain(&card->link[k]);
	/* While somebody sleeps on the wires, peers that write to shared memory have to wake him; that we
	 * looked there took his notice away. */
	if (atomic_load_explicit(&card->armed, memory_order_relaxed) || card->sleepers) {
		struct weft_link *local = &card->link[WEFT_LINK_LOCAL];

		for (uint32_t i = 0; i < 4 && weft_link_sleep(local); i++) {
			got += weft_link_recv(local);
			weft_link_timer(local);
			weft_link_drain(local);
		}
	}
	if (card->now >= card->report_at) {
		card->report_at = card->now + REPORT_EVERY;
		weft_sq_expire_ud(card);
		weft_report(card);
	}
	return got != 0;
}

void weft_card_progress(struct weft_card *card)
{
	atomic_fetch_add_explicit(&card->activity, 1, memory_order_relaxed);
	if (weft_card_trylock(card)) {
		weft_card_work(card);
		weft_helper_look_after(card);
		weft_card_unlock(card);
	}
}
