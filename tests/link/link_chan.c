/* SPDX-License-Identifier: BSD-2-Clause */
/* Completion channels: who sleeps is woken, once for each time it asked. */
#include "link.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <unistd.h>

#define ROUNDS 300u

static struct weft_wr failing(const struct duo_end *e, uint64_t id)
{
	struct weft_wr wr = duo_wr(e, id, WEFT_OP_SEND, 0, 1, 0);

	wr.sge[0].lkey = 0;
	return wr;
}

static void set_nonblocking(const struct duo_end *e)
{
	int fd = weft_channel_fd(e->channel);

	need(!fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK));
}

static void need_event(struct duo_end *e, struct weft_cq *cq)
{
	struct weft_cq *got = NULL;

	duo_at(DUO_AT);
	need_ok(weft_channel_get(e->channel, &got));
	need(got == cq);
	need(weft_cq_user(got) == e);
	weft_cq_ack(got, 1);
}

static void need_no_event(struct duo_end *e)
{
	struct weft_cq *got;

	for (uint32_t i = 0; i < 20; i++)
		need_eq(-EAGAIN, weft_channel_get(e->channel, &got));
}

static void meet_self(struct duo_end *e, const struct duo_opts *opts)
{
	struct duo_addr addr;

	duo_open(e, opts);
	addr = duo_addr_of(e, e->qp);
	duo_target(e, &addr);
}

static void once(void)
{
	struct duo_end e;
	struct weft_wr wr;

	meet_self(&e, &(struct duo_opts){ .channel = true });
	set_nonblocking(&e);
	wr = failing(&e, 1);
	need_no_event(&e);
	duo_post(e.qp, &wr); /* Not asked for. */
	need_no_event(&e);
	weft_cq_arm(e.scq); /* Something waits already. */
	need_event(&e, e.scq);
	need_no_event(&e);
	duo_post(e.qp, &wr); /* That was the one. */
	need_no_event(&e);
	duo_done(e.scq, 1, 5);
	duo_done(e.scq, 1, 5);
	weft_cq_arm(e.scq);
	weft_cq_arm(e.scq);
	weft_cq_arm(e.rcq);
	need_no_event(&e);
	duo_post(e.qp, &wr);
	duo_post(e.qp, &wr);
	need_event(&e, e.scq);
	need_no_event(&e);
	duo_recv(&e, 3, 0, 100);
	wr = duo_wr(&e, 4, WEFT_OP_SEND, 0, 10, 0);
	duo_post(e.qp, &wr);
	while (weft_channel_get(e.channel, &(struct weft_cq *){ NULL }) == -EAGAIN)
		;
	weft_cq_ack(e.rcq, 1);
	duo_done(e.rcq, 3, 0);
	duo_close(&e);
}

/* A completion that did not fit into the CQ counts as one that waits. */
static void overflow(void)
{
	struct duo_end e;
	struct weft_wr wr;
	struct weft_cqe c;
	uint32_t taken = 0;

	meet_self(&e, &(struct duo_opts){ .channel = true, .depth = 4 });
	for (uint32_t i = 0; i < 100; i++) {
		wr = failing(&e, i);
		duo_post(e.qp, &wr);
	}
	while (taken < 100) {
		weft_cq_arm(e.scq);
		need_event(&e, e.scq);
		/* In one session, as many clients do. */
		weft_cq_begin(e.scq);
		for (const struct weft_cqe *p = weft_cq_next(e.scq); p; p = weft_cq_next(e.scq)) {
			need_eq(taken, p->wr_id);
			taken++;
		}
		weft_cq_end(e.scq);
	}
	need(!duo_try(e.scq, &c));
	duo_close(&e);
}

/* Both sides sleep until the other's message comes. */

static void pong(bool use_epoll)
{
	struct duo_end e;
	struct weft_wr wr;
	struct weft_cqe c;
	struct weft_cq *cq;
	struct epoll_event ev = { .events = EPOLLIN };
	uint32_t got = 0, sent = 0, done = 0;
	int ep = epoll_create1(EPOLL_CLOEXEC), err;

	duo_open(&e, &(struct duo_opts){ .channel = true });
	if (use_epoll) {
		set_nonblocking(&e);
		need(!epoll_ctl(ep, EPOLL_CTL_ADD, weft_channel_fd(e.channel), &ev));
	}
	for (uint32_t i = 0; i < 8; i++)
		duo_recv(&e, i, 8192 + i * 64, 64);
	duo_meet(&e, !duo_side);
	if (duo_side == 0) {
		wr = duo_wr(&e, sent++, WEFT_OP_SEND, 0, 64, 0);
		duo_post(e.qp, &wr);
	}
	while (got < ROUNDS || done < ROUNDS) {
		weft_cq_arm(e.scq);
		weft_cq_arm(e.rcq);
		do {
			duo_at(DUO_AT);
			if (use_epoll)
				need(epoll_wait(ep, &ev, 1, -1) == 1);
			err = weft_channel_get(e.channel, &cq);
		} while (err == -EAGAIN);
		need_ok(err);
		weft_cq_ack(cq, 1);
		while (duo_try(e.scq, &c)) {
			need_eq(0, c.status);
			done++;
		}
		while (duo_try(e.rcq, &c)) {
			need_eq(0, c.status);
			got++;
			duo_recv(&e, c.wr_id, 8192 + c.wr_id * 64, 64);
			if (sent == ROUNDS)
				continue;
			wr = duo_wr(&e, sent++, WEFT_OP_SEND, 0, 64, 0);
			duo_post(e.qp, &wr);
		}
	}
	duo_sync();
	close(ep);
	duo_close(&e);
}

static void pong_blocking(void)
{
	pong(false);
}

static void pong_epoll(void)
{
	pong(true);
}

/* Who sleeps is a passive target as well, and is not woken for that. */
static void passive(void)
{
	struct duo_end e;
	struct weft_wr wr;

	duo_open(&e, &(struct duo_opts){ .channel = true });
	if (duo_side == 1)
		duo_fill(e.buf, 500000, 6);
	duo_recv(&e, 1, 600000, 100);
	duo_meet(&e, !duo_side);
	if (duo_side == 1) {
		weft_cq_arm(e.rcq);
		duo_step(1);
		need_event(&e, e.rcq);
		duo_done(e.rcq, 1, 0);
		duo_check(e.buf + 700000, 100000, 9);
	} else {
		duo_fill(e.buf + 700000, 100000, 9);
		duo_wait_step(1, 1);
		for (uint32_t i = 0; i < 50; i++) {
			wr = duo_wr(&e, 1, WEFT_OP_READ, 0, 500000, 0);
			duo_do(&e, &wr, 0);
			wr = duo_wr(&e, 2, WEFT_OP_WRITE, 700000, 100000, 700000);
			duo_do(&e, &wr, 0);
		}
		duo_check(e.buf, 500000, 6);
		wr = duo_wr(&e, 3, WEFT_OP_SEND, 0, 100, 0);
		duo_do(&e, &wr, 0);
	}
	duo_sync();
	duo_close(&e);
}

/* Nothing comes from outside: only a timer ends this sleep. */
static void timer(void)
{
	struct duo_end e;
	struct weft_wr wr;

	duo_open(&e, &(struct duo_opts){ .channel = true });
	duo_meet(&e, !duo_side);
	if (duo_side == 1) {
		duo_wait_gone(0);
		return;
	}
	wr = duo_wr(&e, 1, WEFT_OP_READ, 0, 100, 0);
	duo_do(&e, &wr, 0);
	duo_kill(1, SIGSTOP);
	duo_post(e.qp, &wr);
	weft_cq_arm(e.scq);
	need_event(&e, e.scq);
	duo_done(e.scq, 1, 13);
	duo_kill(1, SIGCONT);
	duo_close(&e);
}

static void on_alarm(int sig)
{
	(void)sig;
}

static void interrupted(void)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	struct itimerval soon = { .it_value.tv_usec = 5000, .it_interval.tv_usec = 5000 };
	struct duo_end e;
	struct weft_cq *cq;

	duo_open(&e, &(struct duo_opts){ .channel = true });
	weft_cq_arm(e.rcq);
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	duo_at(DUO_AT);
	need_eq(-EINTR, weft_channel_get(e.channel, &cq));
	soon = (struct itimerval){ .it_value.tv_usec = 0 };
	setitimer(ITIMER_REAL, &soon, NULL);
	duo_close(&e);
}

/* A CQ is not gone before its events are acknowledged. */

static _Atomic bool acked;

static void *ack_late(void *arg)
{
	struct duo_end *e = arg;

	for (uint32_t i = 0; i < 100; i++)
		duo_nap();
	atomic_store(&acked, true);
	weft_cq_ack(e->scq, 2);
	return NULL;
}

static void ack(void)
{
	struct duo_end e;
	struct weft_wr wr;
	struct weft_cq *cq;
	pthread_t t;

	meet_self(&e, &(struct duo_opts){ .channel = true });
	for (uint32_t i = 0; i < 2; i++) {
		weft_cq_arm(e.scq);
		wr = failing(&e, i);
		duo_post(e.qp, &wr);
		need_ok(weft_channel_get(e.channel, &cq));
		duo_done(e.scq, i, 5);
	}
	need_eq(-EBUSY, weft_channel_destroy(e.channel));
	need_ok(weft_qp_destroy(e.qp));
	e.qp = NULL;
	need(!pthread_create(&t, NULL, ack_late, &e));
	duo_at(DUO_AT);
	need_ok(weft_cq_destroy(e.scq));
	need(atomic_load(&acked));
	pthread_join(t, NULL);
	e.scq = e.rcq; /* For duo_close: one with an event that nobody fetched. */
	weft_cq_arm(e.rcq);
	need_ok(weft_cq_create(e.card, &(uint32_t){ 4 }, e.channel, &e, &e.rcq));
	e.qp = duo_qp(&e, WEFT_QPS_RTS);
	duo_post(e.qp, &wr);
	duo_close(&e);
}

/* One thread sleeps, another one of the same process makes the completion. */

static void *poster(void *arg)
{
	struct duo_end *e = arg;
	struct weft_wr wr;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		wr = i % 2 ? failing(e, i) : duo_wr(e, i, WEFT_OP_READ, 0, 100, 200);
		while (weft_qp_post_send(e->qp, &wr, 1))
			duo_nap();
		if (i % 16 == 0)
			duo_nap();
	}
	return NULL;
}

static void other_thread(void)
{
	struct duo_end e;
	struct weft_cqe c;
	pthread_t t;
	uint32_t n = 0;

	duo_open(&e, &(struct duo_opts){ .channel = true, .sq = 32 });
	duo_meet(&e, !duo_side);
	if (duo_side == 0) {
		need(!pthread_create(&t, NULL, poster, &e));
		while (n < ROUNDS) {
			weft_cq_arm(e.scq);
			need_event(&e, e.scq);
			while (duo_try(e.scq, &c)) {
				need_eq(c.wr_id % 2 ? 5 : 0, c.status);
				n++;
			}
		}
		pthread_join(t, NULL);
	}
	duo_sync();
	duo_close(&e);
}

const struct duo_case link_chan_cases[] = {
	{ .name = "chan__once", .side = { once } },
	{ .name = "chan__overflow", .side = { overflow } },
	{ .name = "chan__blocking", .side = { pong_blocking, pong_blocking } },
	{ .name = "chan__epoll", .side = { pong_epoll, pong_epoll } },
	{ .name = "chan__one_percent_lost",
	  .side = { pong_blocking, pong_blocking },
	  .env = "WEFT_LOSS=1%",
	  .wires = DUO_UDP },
	{ .name = "chan__passive", .side = { passive, passive } },
	{ .name = "chan__timer", .side = { timer, timer }, .env = "WEFT_DEAD_AFTER=300ms" },
	{ .name = "chan__interrupted", .side = { interrupted } },
	{ .name = "chan__ack", .side = { ack } },
	{ .name = "chan__other_thread", .side = { other_thread, other_thread } },
	{ .name = NULL },
};
