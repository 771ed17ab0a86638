/* SPDX-License-Identifier: BSD-2-Clause */
/* The helper: one thread per process that works while no client does.
 *
 * A client that posts or polls does the card's work itself, and a second thread at the same socket would
 * only get in its way: each wake-up costs the client microseconds. But a process may also be a passive target
 * of READs, or compute while an acknowledgement is owed. So the helper looks once in a millisecond whether a
 * card was posted to or polled (the activity counter); after one that does little else it is in no hurry
 * and looks less often, down to once in eight. If there was activity, timers and owed acknowledgements are in
 * good hands. If it was not, the helper does a round of work, and when nothing is left to do it sleeps on the
 * socket until something comes or a timer is due. The first client activity sends it back to ticking.
 *
 * While a CQ is armed its client may sleep on a channel, however active it was a moment ago: then the helper
 * sleeps on the card's socket in its stead. Only cards on whose socket a client sleeps itself
 * (weft_channel_get) are left to it, and looked at now and then in case it does not come back.
 */
#define _GNU_SOURCE /* ppoll, pthread_setname_np */
#include "dev/core.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define TICK_NS        1000000l
#define TICK_NS_MAX    8000000l
#define EAGER          200u /* Posts and polls in a tick of a client that does little else. */
#define CLIENT_TICK_NS 20000000l
#define SLEEP_NS_MAX   1000000000l

static struct {
	pthread_mutex_t lock;
	pthread_t thread;
	bool running;
	_Atomic bool stop;
	int kick_fd;
} helper = { .lock = PTHREAD_MUTEX_INITIALIZER, .kick_fd = -1 };

_Atomic uint64_t weft_helper_nap_end;

struct round {
	struct pollfd fds[WEFT_CARDS_MAX + 1];
	uint32_t fds_len;
	weft_ns deadline, tick;
	bool client; /* A client is active on some card. */
	bool slack; /* A client on some card also does other things. */
	bool busy; /* Something was done. */
	bool left; /* A card was left to a client that sleeps. */
};

static uint32_t seen[WEFT_CARDS_MAX];

static void visit(struct weft_card *card, void *arg)
{
	struct round *r = arg;
	uint32_t now = atomic_load_explicit(&card->activity, memory_order_relaxed);
	uint32_t *last = &seen[card->info->index];

	if (!card->up)
		return;
	if (now != *last && !atomic_load(&card->armed)) {
		r->slack |= now - *last < EAGER;
		*last = now;
		r->client = true;
		return;
	}
	*last = now;
	if (!weft_card_trylock(card)) {
		r->client = true;
		return;
	}
	if (card->up) {
		card->link[WEFT_LINK_UDP].quiet_polls = 0;
		if (weft_card_work(card) || weft_link_sleep(&card->link[WEFT_LINK_LOCAL]))
			r->busy = true;
		for (uint32_t k = 0; k < WEFT_LINKS; k++)
			if (card->link[k].srd)
				r->deadline = WEFT_MIN(r->deadline,
						       weft_srd_next_deadline(card->link[k].srd));
		if (card->sleepers) {
			r->left = true;
		} else {
			r->fds[r->fds_len].fd = weft_udp_fd(card->link[WEFT_LINK_UDP].udp);
			r->fds[r->fds_len++].events = POLLIN;
		}
	}
	weft_card_unlock(card);
}

/* Nothing is left to do: sleep until a frame comes, a timer is due, a client has to be looked after, or a kick
 * (which must end every sleep: the process may want to exit). False: the end. */
static bool nap(struct round *r)
{
	weft_ns now = weft_clock(), wait = SLEEP_NS_MAX;
	struct timespec ts;
	uint64_t count, looking = 1;

	if (r->deadline != WEFT_NS_NEVER)
		wait = r->deadline > now ? WEFT_MIN(r->deadline - now, wait) : 0;
	if (r->client)
		wait = WEFT_MIN(wait, r->tick);
	if (r->left)
		wait = WEFT_MIN(wait, (weft_ns)CLIENT_TICK_NS);
	ts.tv_sec = (time_t)(wait / 1000000000u);
	ts.tv_nsec = (long)(wait % 1000000000u);
	r->fds[r->fds_len++] = (struct pollfd){ .fd = helper.kick_fd, .events = POLLIN };
	if (!r->client)
		atomic_compare_exchange_strong(&weft_helper_nap_end, &looking, now + wait);
	if (ppoll(r->fds, r->fds_len, &ts, NULL) <= 0 || !r->fds[r->fds_len - 1].revents)
		return true;
	return read(helper.kick_fd, &count, sizeof(count)) >= 0 || errno == EAGAIN;
}

static void *run(void *arg)
{
	weft_ns tick = TICK_NS;
	bool go = true;

	(void)arg;
	while (go && !atomic_load(&helper.stop)) {
		struct round r = { .deadline = WEFT_NS_NEVER };

		/* Before looking: what a client does from here on is seen, or rouses us. */
		atomic_store(&weft_helper_nap_end, 1);
		weft_card_each(visit, &r);
		if (r.client)
			atomic_store(&weft_helper_nap_end, 0);
		tick = r.client && !r.slack ? WEFT_MIN(tick * 2, (weft_ns)TICK_NS_MAX) : TICK_NS;
		r.tick = tick;
		if (!r.busy)
			go = nap(&r);
	}
	return NULL;
}

void weft_helper_watch(struct weft_card *card)
{
	if (atomic_load(&weft_helper_nap_end))
		weft_helper_rouse(card);
	else
		weft_helper_kick();
}

void weft_helper_rouse(struct weft_card *card)
{
	uint64_t end = atomic_load(&weft_helper_nap_end);
	weft_ns due = WEFT_NS_NEVER;

	for (uint32_t k = 0; k < WEFT_LINKS; k++)
		if (card->link[k].srd)
			due = WEFT_MIN(due, weft_srd_next_deadline(card->link[k].srd));
	/* Asleep on our wires, and for no longer than it may: let it. The end of a direct copy wakes nobody. */
	if (end > 1 && due >= end && atomic_load(&card->armed) && !card->moving)
		return;
	if (atomic_exchange(&weft_helper_nap_end, 0))
		weft_helper_kick();
}

/* Under the card's lock: may not take weft_dev.lock. */
int weft_helper_start(void)
{
	sigset_t all, old;
	int err = 0;

	if (!weft_conf_get()->helper)
		return 0;
	pthread_mutex_lock(&helper.lock);
	if (!helper.running) {
		if (helper.kick_fd < 0)
			helper.kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (helper.kick_fd < 0) {
			err = -errno;
			pthread_mutex_unlock(&helper.lock);
			return err;
		}
		/* Signals are the application's. */
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &old);
		atomic_store(&helper.stop, false);
		err = -pthread_create(&helper.thread, NULL, run, NULL);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
		if (err == -EAGAIN) /* No memory, or too many threads: not worth another try. */
			err = -ENOMEM;
		if (!err) {
			helper.running = true;
			pthread_setname_np(helper.thread, "weft");
		}
	}
	pthread_mutex_unlock(&helper.lock);
	return err;
}

void weft_helper_kick(void)
{
	uint64_t one = 1;

	if (helper.kick_fd >= 0 && write(helper.kick_fd, &one, sizeof(one)) < 0)
		return; /* Full: it is kicked already. */
}

void weft_helper_stop(void)
{
	pthread_mutex_lock(&helper.lock);
	if (helper.running) {
		atomic_store(&helper.stop, true);
		weft_helper_kick();
		pthread_join(helper.thread, NULL);
		helper.running = false;
		close(helper.kick_fd);
		helper.kick_fd = -1;
	}
	pthread_mutex_unlock(&helper.lock);
}

void weft_helper_forked(void)
{
	pthread_mutex_init(&helper.lock, NULL);
	if (helper.kick_fd >= 0)
		close(helper.kick_fd);
	helper.kick_fd = -1;
	helper.running = false;
	atomic_store(&weft_helper_nap_end, 0);
}
