/* SPDX-License-Identifier: BSD-2-Clause */
/* Completion queues and channels.
 *
 * Completions enter at the tail under the card's lock and leave at the head under the CQ's. A client that
 * posts more than its CQ holds is outside the contract; its completions wait in a list that grows, rather
 * than being lost.
 *
 * An empty poll is where the card's work gets done. A client that finds completions each time would starve
 * it, so every few sessions it is done anyway.
 *
 * Sharing cores. A client that finds nothing for long offers its core: with more processes than cores, the
 * one it waits for may need it. Among processes that all do so, a yield gives it back in microseconds. Beside
 * one that computes, a yield costs milliseconds, since the scheduler lets those who yield wait longest;
 * whoever sleeps and is woken goes first. So after a yield that took long, empty-handed clients nap on the
 * wires, for a fraction of a millisecond. (Measured with cores shared by compilers: streams that fell to 20 to
 * 800 MB/s with yields, and with spinning alike, keep 2 GB/s.)
 *
 * Channels. The fd of a channel is an event fd that is readable when, and only when, an event waits: clients
 * poll it and take it amiss if weft_channel_get() then has none. So while a CQ is armed, the helper sleeps on
 * the wires in the client's stead. A client that blocks in weft_channel_get() sleeps on them itself.
 */
#define _GNU_SOURCE /* ppoll */
#include "dev/core.h"

#include "base/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define RING_MIN   512u
#define SKIP_MAX   16u /* Sessions that found completions at once, until work is done anyway. */
#define EMPTY_MAX  64u /* Empty sessions in a row after which the core is offered to others. */
#define NAPS       256u /* After a yield that took long: so many naps before the next yield. */
#define NAP_NS     200000l
#define YIELD_LONG WEFT_US(300)

int weft_cq_create(struct weft_card *card, uint32_t *depth, struct weft_channel *channel,
		   void *user, struct weft_cq **cq_out)
{
	struct weft_cq *cq;
	uint32_t size;
	int err = 0;

	if (card->dead)
		return -EIO;
	if (!*depth || *depth > WEFT_DEV_CQE_MAX)
		return -EINVAL;
	*depth = weft_pow2_at_least(*depth);
	/* Queues are made deeper than asked for, and clients ask for CQs that just hold what they asked for. */
	size = WEFT_MAX(*depth, RING_MIN);
	cq = aligned_alloc(64, (sizeof(*cq) + 63) / 64 * 64);
	if (!cq)
		return -ENOMEM;
	memset(cq, 0, sizeof(*cq));
	cq->ring = calloc(size, sizeof(*cq->ring));
	if (!cq->ring) {
		free(cq);
		return -ENOMEM;
	}
	cq->card = card;
	cq->channel = channel;
	cq->user = user;
	cq->mask = size - 1;
	pthread_mutex_init(&cq->lock, NULL);
	weft_card_lock(card);
	if (card->cqs >= WEFT_DEV_CQ_MAX) {
		err = -ENOMEM;
	} else {
		card->cqs++;
		cq->next_on_card = card->cq_list;
		card->cq_list = cq;
		if (channel)
			channel->refs++;
	}
	weft_card_unlock(card);
	if (err) {
		free(cq->ring);
		free(cq);
		return err;
	}
	*cq_out = cq;
	return 0;
}

/* True: it was armed. */
static bool disarm(struct weft_cq *cq)
{
	if (!atomic_exchange(&cq->armed, false))
		return false;
	atomic_fetch_sub(&cq->card->armed, 1);
	return true;
}

/* Off the channel's list; then wait until what was fetched has been acknowledged. */
static void channel_forget(struct weft_channel *channel, struct weft_cq *cq)
{
	pthread_mutex_lock(&channel->lock);
	if (cq->queued) {
		struct weft_cq **at = &channel->first;

		channel->last = NULL;
		while (*at) {
			if (*at == cq) {
				*at = cq->next_event;
				continue;
			}
			channel->last = *at;
			at = &(*at)->next_event;
		}
		cq->queued = false;
	}
	while (cq->acked != cq->events)
		pthread_cond_wait(&channel->acked, &channel->lock);
	pthread_mutex_unlock(&channel->lock);
}

int weft_cq_destroy(struct weft_cq *cq)
{
	struct weft_card *card = cq->card;
	struct weft_cq **at;

	weft_card_lock(card);
	if (cq->refs) {
		weft_card_unlock(card);
		return -EBUSY;
	}
	for (at = &card->cq_list; *at != cq; at = &(*at)->next_on_card)
		;
	*at = cq->next_on_card;
	card->cqs--;
	disarm(cq);
	weft_card_unlock(card);
	if (cq->channel) {
		channel_forget(cq->channel, cq);
		weft_card_lock(card);
		cq->channel->refs--;
		weft_card_unlock(card);
	}
	pthread_mutex_destroy(&cq->lock);
	free(cq->overflow);
	free(cq->ring);
	free(cq);
	return 0;
}

void *weft_cq_user(const struct weft_cq *cq)
{
	return cq->user;
}

void weft_cq_set_single_threaded(struct weft_cq *cq)
{
	cq->unlocked = true;
}

void weft_cq_set_impatient(struct weft_cq *cq)
{
	cq->impatient = true;
}

/* Producing */

static void deliver_event(struct weft_cq *cq)
{
	struct weft_channel *channel = cq->channel;
	uint64_t one = 1;

	if (!channel)
		return;
	pthread_mutex_lock(&channel->lock);
	if (!cq->queued) {
		cq->queued = true;
		cq->next_event = NULL;
		if (channel->first)
			channel->last->next_event = cq;
		else
			channel->first = cq;
		channel->last = cq;
	}
	/* Never more than 1 in it, and changed under the lock only: neither end of it blocks. */
	if (!channel->signalled && write(channel->fd, &one, sizeof(one)) == (ssize_t)sizeof(one))
		channel->signalled = true;
	pthread_mutex_unlock(&channel->lock);
}

static void event_if_armed(struct weft_cq *cq)
{
	if (disarm(cq))
		deliver_event(cq);
}

static bool ring_is_full(const struct weft_cq *cq)
{
	return atomic_load_explicit(&cq->tail, memory_order_relaxed) -
		       atomic_load_explicit(&cq->head, memory_order_acquire) >
	       cq->mask;
}

bool weft_cq_is_full(const struct weft_cq *cq)
{
	return cq->overflow_len || ring_is_full(cq);
}

static void ring_put(struct weft_cq *cq, const struct weft_cq_entry *entry)
{
	uint32_t tail = atomic_load_explicit(&cq->tail, memory_order_relaxed);

	cq->ring[tail & cq->mask] = *entry;
	atomic_store_explicit(&cq->tail, tail + 1, memory_order_release);
}

static void overflow_put(struct weft_cq *cq, const struct weft_cq_entry *entry)
{
	if (cq->overflow_at + cq->overflow_len == cq->overflow_cap) {
		uint32_t cap = WEFT_MAX(cq->overflow_cap * 2, 256u);
		struct weft_cq_entry *bigger = malloc(cap * sizeof(*bigger));

		weft_assert(bigger);
		if (cq->overflow_len)
			memcpy(bigger, cq->overflow + cq->overflow_at,
			       cq->overflow_len * sizeof(*bigger));
		free(cq->overflow);
		cq->overflow = bigger;
		cq->overflow_cap = cap;
		cq->overflow_at = 0;
	}
	cq->overflow[cq->overflow_at + cq->overflow_len++] = *entry;
}

static void drain_overflow(struct weft_cq *cq)
{
	while (cq->overflow_len && !ring_is_full(cq)) {
		ring_put(cq, &cq->overflow[cq->overflow_at++]);
		cq->overflow_len--;
	}
	if (!cq->overflow_len)
		cq->overflow_at = 0;
}

void weft_cq_push(struct weft_cq *cq, const struct weft_qp *qp, const struct weft_cqe *cqe)
{
	struct weft_cq_entry entry = { .cqe = *cqe, .gen = qp->gen };

	if (weft_cq_is_full(cq))
		overflow_put(cq, &entry);
	else
		ring_put(cq, &entry);
	/* Pairs with weft_cq_arm: either it sees the completion, or we see that it is armed. */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&cq->armed, memory_order_relaxed))
		event_if_armed(cq);
}

/* Consuming */

static bool is_empty(const struct weft_cq *cq)
{
	return atomic_load_explicit(&cq->head, memory_order_relaxed) ==
	       atomic_load_explicit(&cq->tail, memory_order_acquire);
}

static void work(struct weft_cq *cq)
{
	struct weft_card *card = cq->card;

	atomic_fetch_add_explicit(&card->activity, 1, memory_order_relaxed);
	/* What did not fit is there, and a poll has to find it; else the holder of the lock does our work. */
	if (atomic_load_explicit(&cq->overflow_len, memory_order_relaxed))
		weft_card_lock(card);
	else if (!weft_card_trylock(card))
		return;
	weft_card_work(card);
	drain_overflow(cq);
	weft_helper_look_after(card);
	weft_card_unlock(card);
}

/* Sleep until a frame comes, `fd` (if not negative) is readable, or the time is up. Timers are the helper's. Under
 * the card's lock, which is given up meanwhile. -EINTR when a signal ended it. */
static int sleep_on_wires(struct weft_card *card, int fd, const struct timespec *limit)
{
	struct pollfd p[2] = { { .fd = fd, .events = POLLIN }, { .fd = -1, .events = POLLIN } };
	int n, err;

	card->link[WEFT_LINK_UDP].quiet_polls = 0;
	if (weft_card_work(card) || weft_link_sleep(&card->link[WEFT_LINK_LOCAL]))
		return 0;
	if (card->up)
		p[1].fd = weft_udp_fd(card->link[WEFT_LINK_UDP].udp);
	card->sleepers++;
	weft_helper_look_after(card);
	weft_card_unlock(card);
	n = ppoll(p, 2, limit, NULL);
	err = n < 0 && errno == EINTR ? -EINTR : 0;
	weft_card_lock(card);
	card->sleepers--;
	return err;
}

static void offer_core(struct weft_cq *cq)
{
	const struct timespec nap = { .tv_nsec = NAP_NS };
	struct weft_card *card = cq->card;
	weft_ns before = weft_clock();

	cq->empty = 0;
	if (!cq->naps) {
		sched_yield();
		if (weft_clock() - before > YIELD_LONG)
			cq->naps = NAPS;
	} else if (weft_card_trylock(card)) {
		cq->naps--;
		(void)sleep_on_wires(card, -1, &nap);
		weft_card_unlock(card);
	}
}

void weft_cq_begin(struct weft_cq *cq)
{
	if (!cq->unlocked)
		pthread_mutex_lock(&cq->lock);
	if (!is_empty(cq)) {
		cq->empty = 0;
		if (++cq->skipped < SKIP_MAX)
			return;
	}
	cq->skipped = 0;
	work(cq);
	if (!is_empty(cq))
		cq->empty = 0;
	else if (++cq->empty >= EMPTY_MAX && !cq->impatient)
		offer_core(cq);
}

const struct weft_cqe *weft_cq_next(struct weft_cq *cq)
{
	uint32_t head = atomic_load_explicit(&cq->head, memory_order_relaxed);
	struct weft_qp_slot *slot;
	uint32_t gen;

	if (is_empty(cq))
		return NULL;
	cq->out = cq->ring[head & cq->mask].cqe;
	gen = cq->ring[head & cq->mask].gen;
	atomic_store_explicit(&cq->head, head + 1, memory_order_release);
	slot = &cq->card->slots[WEFT_QPN_INDEX(cq->out.qpn)];
	if (!weft_places_poll(cq->out.op <= WEFT_CQE_WRITE ? &slot->sq : &slot->rq, gen,
			      !(cq->out.flags & WEFT_CQE_F_UNSOLICITED)))
		cq->out.flags |= WEFT_CQE_F_STALE;
	return &cq->out;
}

void weft_cq_end(struct weft_cq *cq)
{
	if (!cq->unlocked)
		pthread_mutex_unlock(&cq->lock);
}

/* Events */

void weft_cq_arm(struct weft_cq *cq)
{
	struct weft_card *card = cq->card;

	if (card->dead)
		return;
	if (!atomic_exchange(&cq->armed, true))
		atomic_fetch_add(&card->armed, 1);
	atomic_thread_fence(memory_order_seq_cst);
	if (!is_empty(cq)) {
		event_if_armed(cq);
		return;
	}
	weft_card_lock(card);
	/* What had no room in the ring waits as well. */
	drain_overflow(cq);
	if (!is_empty(cq))
		event_if_armed(cq);
	/* What was left corked has to leave, since no poll may follow; and peers that write to shared memory
	 * must wake us from here on. */
	weft_card_work(card);
	weft_helper_watch(card);
	weft_card_unlock(card);
}

void weft_cq_ack(struct weft_cq *cq, uint32_t events)
{
	struct weft_channel *channel = cq->channel;

	if (!channel)
		return;
	pthread_mutex_lock(&channel->lock);
	cq->acked += events;
	pthread_cond_broadcast(&channel->acked);
	pthread_mutex_unlock(&channel->lock);
}

/* Channels */

int weft_channel_create(struct weft_card *card, struct weft_channel **channel_out)
{
	struct weft_channel *c;
	int err;

	if (card->dead)
		return -EIO;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->card = card;
	c->fd = eventfd(0, EFD_CLOEXEC);
	if (c->fd < 0) {
		err = -errno;
		free(c);
		return err;
	}
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->acked, NULL);
	weft_card_lock(card);
	c->next_on_card = card->channel_list;
	card->channel_list = c;
	weft_card_unlock(card);
	*channel_out = c;
	return 0;
}

int weft_channel_destroy(struct weft_channel *channel)
{
	struct weft_card *card = channel->card;
	struct weft_channel **at;

	weft_card_lock(card);
	if (channel->refs) {
		weft_card_unlock(card);
		return -EBUSY;
	}
	for (at = &card->channel_list; *at != channel; at = &(*at)->next_on_card)
		;
	*at = channel->next_on_card;
	weft_card_unlock(card);
	close(channel->fd);
	pthread_mutex_destroy(&channel->lock);
	pthread_cond_destroy(&channel->acked);
	free(channel);
	return 0;
}

int weft_channel_fd(const struct weft_channel *channel)
{
	return channel->fd;
}

static struct weft_cq *pop_event(struct weft_channel *channel)
{
	struct weft_cq *cq;
	uint64_t count;

	pthread_mutex_lock(&channel->lock);
	cq = channel->first;
	if (cq) {
		channel->first = cq->next_event;
		cq->queued = false;
		cq->events++;
	}
	if (!channel->first && channel->signalled &&
	    read(channel->fd, &count, sizeof(count)) == (ssize_t)sizeof(count))
		channel->signalled = false;
	pthread_mutex_unlock(&channel->lock);
	return cq;
}

int weft_channel_get(struct weft_channel *channel, struct weft_cq **cq_out)
{
	int flags = fcntl(channel->fd, F_GETFL), err;
	bool blocking = flags < 0 || !(flags & O_NONBLOCK);

	for (;;) {
		/* A forked child shares the event fd: what it reads is its parent's. */
		if (channel->card->dead)
			return -EIO;
		*cq_out = pop_event(channel);
		if (*cq_out)
			return 0;
		if (!blocking)
			return -EAGAIN;
		weft_card_lock(channel->card);
		err = sleep_on_wires(channel->card, channel->fd, NULL);
		weft_card_unlock(channel->card);
		if (err)
			return err;
	}
}
