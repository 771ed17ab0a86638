/* SPDX-License-Identifier: BSD-2-Clause */
/* A card in use: its endpoint, the buffers of its control messages, and what its completions mean.
 *
 * A completion's user pointer is a tagged word: the lowest two bits say what it was. Buffers are named by their number,
 * requests by their address. */
#define _GNU_SOURCE /* pthread_setname_np */
#include "net.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum tag {
	TAG_RECV = 1, /* A buffer of ours is full. */
	TAG_CTL = 2, /* A control message has left. */
	TAG_WRITE = 3, /* A stripe is written. */
};

/* What a control message on its way belongs to: in front of its buffer. */
struct sent {
	struct net_comm *comm;
	struct weft_remote *then;
};

#define BUFFER    (sizeof(struct sent) + NET_CTL_BYTES)
#define BUFFERS   (NET_CTL_RECVS + NET_CTL_SENDS)
#define POLL_MANY 32u
#define POLL_NS   300u

#define STATUS_FLUSHED 1u /* weft_status_text() */

static void *tagged(uint64_t value, enum tag tag)
{
	return (void *)(uintptr_t)(value << 2 | (uint64_t)tag);
}

static uint8_t *buffer(const struct net_card *card, uint32_t i)
{
	return card->ctl + (size_t)i * BUFFER;
}

static int post_recv(struct net_card *card, uint32_t i)
{
	return weft_recv(card->ep, card->mem, buffer(card, i) + sizeof(struct sent), NET_CTL_BYTES,
			 tagged(i, TAG_RECV));
}

/* Threads
 *
 * A card's thread posts what is queued for it and polls. When NCCL has not asked for a while it sleeps; then weft's own helper
 * answers to the other side. */

#define REST_NS 1000000ull

struct net_worker {
	struct net_dev *dev;
	struct net_card *card;
	pthread_t thread;
	pthread_mutex_t lock; /* After net_lock. */
	pthread_cond_t cond;
	struct net_job job[NET_SENDS]; /* A ring: posted in order. */
	uint32_t head, tail; /* Free-running. */
	bool posting; /* The one before head. */
	_Atomic bool asleep, stop;
};

static void wake(struct net_worker *w)
{
	pthread_mutex_lock(&w->lock);
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

/* There is room: no more are queued than the endpoint takes. */
static void queue(struct net_worker *w, const struct net_job *job)
{
	pthread_mutex_lock(&w->lock);
	assert(w->tail - w->head < NET_SENDS);
	w->job[w->tail++ % NET_SENDS] = *job;
	if (atomic_load(&w->asleep))
		pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

/* The lock, for its thread. False: the card is being closed, by whoever has it. */
static bool lock_net(const struct net_worker *w)
{
	while (pthread_mutex_trylock(&net_lock)) {
		if (atomic_load(&w->stop))
			return false;
		sched_yield();
	}
	return true;
}

static int post(struct net_card *card, const struct net_job *job);
static void on_done(struct net_dev *dev, struct net_card *card, const struct weft_done *done);
static void on_dropped(struct net_card *card, const struct net_job *job);

/* One. */
static bool post_queued(struct net_worker *w)
{
	struct net_job job;
	int err;

	pthread_mutex_lock(&w->lock);
	if (w->head == w->tail) {
		pthread_mutex_unlock(&w->lock);
		return false;
	}
	job = w->job[w->head++ % NET_SENDS];
	w->posting = true;
	pthread_mutex_unlock(&w->lock);
	err = post(w->card, &job);
	pthread_mutex_lock(&w->lock);
	w->posting = false;
	pthread_mutex_unlock(&w->lock);
	if (err && lock_net(w)) {
		on_dropped(w->card, &job);
		pthread_mutex_unlock(&net_lock);
	}
	return true;
}

static bool take_done(struct net_worker *w)
{
	struct weft_done done[POLL_MANY];
	uint32_t n = weft_poll(w->card->ep, done, POLL_MANY);

	if (!n || !lock_net(w))
		return false;
	for (uint32_t i = 0; i < n; i++)
		on_done(w->dev, w->card, &done[i]);
	pthread_mutex_unlock(&net_lock);
	return true;
}

static void rest(struct net_worker *w)
{
	if (net_clock() - atomic_load(&w->dev->polled_at) < REST_NS)
		return;
	pthread_mutex_lock(&w->lock);
	atomic_store(&w->asleep, true);
	while (w->head == w->tail && !atomic_load(&w->stop) &&
	       net_clock() - atomic_load(&w->dev->polled_at) >= REST_NS)
		pthread_cond_wait(&w->cond, &w->lock);
	atomic_store(&w->asleep, false);
	pthread_mutex_unlock(&w->lock);
}

static void *work(void *arg)
{
	struct net_worker *w = arg;

	while (!atomic_load(&w->stop)) {
		bool any = false;

		for (uint32_t i = 0; i < POLL_MANY && post_queued(w); i++)
			any = true;
		if (take_done(w) || any)
			continue;
		sched_yield();
		rest(w);
	}
	return NULL;
}

bool net_card_employ(struct net_dev *dev, struct net_card *card)
{
	struct net_worker *w = calloc(1, sizeof(*w));
	sigset_t all, old;

	if (!w)
		return false;
	w->dev = dev;
	w->card = card;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->cond, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (!pthread_create(&w->thread, NULL, work, w)) {
		pthread_setname_np(w->thread, "weft-nccl");
		card->worker = w;
	} else {
		free(w);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return card->worker;
}

void net_card_dismiss(struct net_card *card)
{
	struct net_worker *w = card->worker;

	if (!w)
		return;
	atomic_store(&w->stop, true);
	wake(w);
	pthread_join(w->thread, NULL);
	pthread_cond_destroy(&w->cond);
	pthread_mutex_destroy(&w->lock);
	free(w);
	card->worker = NULL;
}

/* One that is being posted is waited for: then it is the endpoint's to end. */
void net_card_drop(struct net_card *card, const struct weft_remote *to, const struct weft_mem *mem)
{
	struct net_worker *w = card->worker;
	struct net_job job;
	uint32_t end;

	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	while (w->posting) {
		pthread_mutex_unlock(&w->lock);
		sched_yield();
		pthread_mutex_lock(&w->lock);
	}
	end = w->tail;
	for (uint32_t i = w->head; i != end; i++) {
		job = w->job[i % NET_SENDS];
		w->head = i + 1;
		if ((to && job.to == to) || (mem && job.mem == mem))
			on_dropped(card, &job);
		else
			w->job[w->tail++ % NET_SENDS] = job;
	}
	pthread_mutex_unlock(&w->lock);
}

int net_card_open(uint32_t index, struct net_card *card)
{
	const struct weft_ep_cfg cfg = {
		.size = sizeof(cfg),
		.sends = NET_SENDS,
		.recvs = NET_CTL_RECVS,
	};
	int err;

	memset(card, 0, sizeof(*card));
	err = weft_ep_open(index, &cfg, &card->ep);
	if (err)
		return err;
	weft_ep_address(card->ep, &card->address);
	card->ctl = calloc(BUFFERS, BUFFER);
	card->free = calloc(NET_CTL_SENDS, sizeof(*card->free));
	if (!card->ctl || !card->free)
		err = -ENOMEM;
	if (!err)
		err = weft_mem_open(card->ep, card->ctl, BUFFERS * BUFFER, &card->mem);
	for (uint32_t i = 0; i < NET_CTL_RECVS && !err; i++)
		err = post_recv(card, i);
	for (uint32_t i = 0; i < NET_CTL_SENDS && !err; i++)
		card->free[card->free_len++] = (uint16_t)(NET_CTL_RECVS + i);
	if (err)
		net_card_close(card);
	return err;
}

void net_card_close(struct net_card *card)
{
	net_card_dismiss(card);
	if (card->mem)
		weft_mem_close(card->mem);
	weft_ep_close(card->ep);
	free(card->ctl);
	free(card->free);
	memset(card, 0, sizeof(*card));
}

bool net_card_has_room(const struct net_card *card)
{
	return card->posted < NET_SENDS - NET_CTL_SENDS;
}

/* Control messages */

struct net_ctl *net_ctl_alloc(struct net_card *card)
{
	struct net_ctl *ctl;

	if (!card->free_len)
		return NULL;
	ctl = (struct net_ctl *)(void *)(buffer(card, card->free[--card->free_len]) +
					 sizeof(struct sent));
	memset(ctl, 0, sizeof(*ctl));
	return ctl;
}

static uint16_t number_of(const struct net_card *card, const struct net_ctl *ctl)
{
	return (uint16_t)((size_t)((const uint8_t *)ctl - card->ctl) / BUFFER);
}

static struct sent *sent_of(const struct net_card *card, uint32_t i)
{
	return (struct sent *)(void *)buffer(card, i);
}

int net_ctl_send(struct net_card *card, struct net_ctl *ctl, uint32_t len, struct weft_remote *to,
		 struct net_comm *comm, struct weft_remote *then)
{
	const struct net_job job = { .to = to, .mem = card->mem, .data = ctl, .len = len };
	uint16_t i = number_of(card, ctl);
	int err = 0;

	*sent_of(card, i) = (struct sent){ .comm = comm, .then = then };
	if (card->worker)
		queue(card->worker, &job);
	else
		err = post(card, &job);
	if (err) {
		card->free[card->free_len++] = i;
		return err;
	}
	card->posted++;
	if (comm)
		comm->inflight++;
	return 0;
}

static void on_sent(struct net_card *card, uint32_t i, uint32_t status)
{
	struct sent sent = *sent_of(card, i);

	card->free[card->free_len++] = (uint16_t)i;
	card->posted--;
	if (sent.then)
		weft_remote_close(sent.then);
	if (!sent.comm)
		return;
	if (status)
		net_comm_break(sent.comm, status);
	net_comm_unused(sent.comm);
}

static void on_message(struct net_dev *dev, const struct net_ctl *ctl, uint32_t len)
{
	if (len < sizeof(*ctl) || len > NET_CTL_BYTES)
		return;
	switch ((enum net_ctl_type)ctl->type) {
	case NET_CTL_CONNECT:
		net_on_connect(dev, ctl, len);
		break;
	case NET_CTL_ACCEPT:
		net_on_accept(dev, ctl, len);
		break;
	case NET_CTL_CTS:
		net_on_cts(ctl, len);
		break;
	case NET_CTL_PING:
		net_on_ping(dev, ctl, len);
		break;
	case NET_CTL_GONE:
		net_on_gone(ctl);
		break;
	}
}

static int post(struct net_card *card, const struct net_job *job)
{
	if (!job->req)
		return weft_send(card->ep, job->to, job->mem, job->data, job->len,
				 tagged(number_of(card, job->data), TAG_CTL));
	return weft_write(card->ep, job->to, job->mem, job->data, job->len, job->to_addr, job->key,
			  &job->imm, tagged((uintptr_t)job->req >> 2, TAG_WRITE));
}

/* Data */

int net_card_write(struct net_card *card, struct net_request *req, struct weft_remote *to,
		   const struct weft_mem *mem, const void *data, uint32_t len, uint64_t to_addr,
		   uint32_t key, uint32_t imm)
{
	const struct net_job job = {
		.req = req,
		.to = to,
		.mem = mem,
		.data = data,
		.len = len,
		.key = key,
		.imm = imm,
		.to_addr = to_addr,
	};
	int err = 0;

	if (card->worker)
		queue(card->worker, &job);
	else
		err = post(card, &job);
	if (!err) {
		card->posted++;
		req->comm->inflight++;
	}
	return err;
}

static_assert(_Alignof(struct net_request) >= 4, "two bits of its address are free for the tag");

/* It was never posted. */
static void on_dropped(struct net_card *card, const struct net_job *job)
{
	if (!job->req) {
		on_sent(card, number_of(card, job->data), STATUS_FLUSHED);
		return;
	}
	card->posted--;
	net_on_written(job->req, STATUS_FLUSHED);
}

static void on_done(struct net_dev *dev, struct net_card *card, const struct weft_done *done)
{
	uint64_t value = (uintptr_t)done->user >> 2;
	struct net_request *req;

	if (done->what == WEFT_DONE_IMM)
		net_on_imm(done->imm, done->len, done->status);
	switch ((enum tag)((uintptr_t)done->user & 3)) {
	case TAG_RECV:
		if (done->what == WEFT_DONE_RECV && !done->status)
			on_message(dev,
				   (const struct net_ctl *)(const void *)(buffer(card,
										 (uint32_t)value) +
									  sizeof(struct sent)),
				   done->len);
		/* It was just taken out of the queue, so there is room. */
		(void)post_recv(card, (uint32_t)value);
		break;
	case TAG_CTL:
		on_sent(card, (uint32_t)value, done->status);
		break;
	case TAG_WRITE:
		req = (struct net_request *)(uintptr_t)(value << 2);
		card->posted--;
		net_on_written(req, done->status);
		break;
	}
}

void net_dev_poll(struct net_dev *dev)
{
	struct weft_done done[POLL_MANY];
	uint64_t now = net_clock();

	if (now - dev->polled_at < POLL_NS)
		return;
	if (dev->card[0].worker) {
		dev->polled_at = now;
		for (uint32_t c = 0; c < dev->cards; c++)
			if (atomic_load(&dev->card[c].worker->asleep))
				wake(dev->card[c].worker);
		return;
	}
	for (uint32_t c = 0; c < dev->cards; c++) {
		uint32_t n = weft_poll(dev->card[c].ep, done, POLL_MANY);

		for (uint32_t i = 0; i < n; i++)
			on_done(dev, &dev->card[c], &done[i]);
	}
	dev->polled_at = net_clock();
}

void net_dev_wait(struct net_dev *dev)
{
	net_dev_poll(dev);
	if (!dev->card[0].worker)
		return;
	pthread_mutex_unlock(&net_lock);
	sched_yield();
	pthread_mutex_lock(&net_lock);
}
