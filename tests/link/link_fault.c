/* SPDX-License-Identifier: BSD-2-Clause */
/* What the rest of the system does: sleeping targets, exits, forks, limits, settings that differ. Two users on one
 * machine need root and are tested from outside. */
#define _GNU_SOURCE
#include "link.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

/* The target's only thread never calls weft. */
static void passive_target(void)
{
	struct duo_end e;
	struct weft_wr wr;

	duo_open(&e, &(struct duo_opts){ .len = 8u << 20, .unsolicited = true });
	if (duo_side == 1)
		duo_fill(e.buf, 4u << 20, 1);
	duo_meet(&e, !duo_side);
	if (duo_side == 0) {
		for (uint32_t i = 0; i < 10; i++) {
			wr = duo_wr(&e, 1, WEFT_OP_READ, 0, 4u << 20, 0);
			duo_do(&e, &wr, 0);
			duo_check(e.buf, 4u << 20, 1);
			wr = duo_wr(&e, 2, WEFT_OP_WRITE, 0, 4u << 20, 4u << 20);
			duo_do(&e, &wr, 0);
			wr = duo_wr(&e, 3, WEFT_OP_WRITE_IMM, 0, 10, 0);
			duo_do(&e, &wr, 0);
		}
	}
	duo_sync();
	duo_settle(&e);
	if (duo_side == 1) {
		duo_check(e.buf + (4u << 20), 4u << 20, 1);
		for (uint32_t i = 0; i < 10; i++)
			duo_done(e.rcq, 0, 0);
	}
	duo_close(&e);
}

/* Both have sent and poll no more: what they owe each other has to arrive all the same. */
static void owed_acks(void)
{
	struct duo_end e;
	struct weft_wr wr;

	duo_open(&e, NULL);
	for (uint32_t i = 0; i < 40; i++)
		duo_recv(&e, i, 0, 100);
	duo_meet(&e, !duo_side);
	for (uint32_t i = 0; i < 40; i++) {
		uint32_t turn = i % 2;

		if (duo_side == turn) {
			wr = duo_wr(&e, i, WEFT_OP_SEND, 0, 100, 0);
			duo_post(e.qp, &wr); /* Not even one poll after the last. */
		} else {
			need_eq(0, duo_next(e.rcq).status);
		}
		duo_sync();
	}
	if (duo_side == 0) {
		for (uint32_t i = 0; i < 20; i++)
			need_eq(0, duo_next(e.scq).status);
		duo_step(1);
	} else {
		duo_wait_step(0, 1);
	}
	duo_sync();
	duo_close(&e);
}

/* A process that ends right after its last message has come. */
static void exit_after_last(void)
{
	struct duo_end e;
	struct weft_cqe c;
	struct weft_wr wr;

	duo_open(&e, NULL);
	duo_recv(&e, 1, 0, 8928);
	duo_meet(&e, !duo_side);
	if (duo_side == 1) {
		duo_done(e.rcq, 1, 0);
		exit(0); /* Nothing is closed. */
	}
	wr = duo_wr(&e, 5, WEFT_OP_SEND, 0, 8928, 0);
	duo_do(&e, &wr, 0);
	duo_wait_gone(1);
	wr = duo_wr(&e, 6, WEFT_OP_READ, 0, 8928, 0);
	duo_post(e.qp, &wr);
	c = duo_next(e.scq);
	need(c.status == 8 || c.status == 9); /* 8: we had not yet heard. */
	exit(0);
}

/* And the sender: what it posted and saw completed has arrived. */
static void exit_after_send(void)
{
	struct duo_end e;
	struct weft_wr wr;

	duo_open(&e, NULL);
	duo_recv(&e, 1, 0, 8928);
	if (duo_side == 0)
		duo_fill(e.buf, 8928, 2);
	duo_meet(&e, !duo_side);
	if (duo_side == 0) {
		wr = duo_wr(&e, 5, WEFT_OP_SEND, 0, 8928, 0);
		duo_do(&e, &wr, 0);
		exit(0);
	}
	duo_wait_gone(0);
	duo_done(e.rcq, 1, 0);
	duo_check(e.buf, 8928, 2);
	exit(0);
}

/* Libraries call exit() in signal handlers, and what interrupts us may be the very end: the card is being closed, which
 * takes its time while a peer is silent. The destructors that follow use weft as well. */
static struct duo_end ending;

static void on_alarm(int number)
{
	(void)number;
	exit(0);
}

static void set_alarm(void)
{
	struct itimerval soon = { .it_value = { .tv_usec = 5000 } };

	need(signal(SIGALRM, on_alarm) != SIG_ERR);
	need(!setitimer(ITIMER_REAL, &soon, NULL));
}

/* The last to be called. */
static void destructor(void)
{
	struct weft_card *card;

	if (ending.pd)
		need_eq(-EBUSY, weft_pd_destroy(ending.pd));
	need_eq(-ENODEV, weft_card_open(0, &card));
}

static void open_before_end(void)
{
	struct weft_wr wr;

	need(!atexit(destructor));
	duo_open(&ending, NULL);
	duo_meet(&ending, 1);
	wr = duo_wr(&ending, 5, WEFT_OP_WRITE, 0, 100, 0);
	duo_do(&ending, &wr, 0);
	duo_kill(1, SIGSTOP);
}

static void exit_in_exit(void)
{
	open_before_end();
	need(!atexit(set_alarm));
	exit(0);
}

static void exit_in_close(void)
{
	struct duo_end e;

	open_before_end();
	e = ending;
	ending.pd = NULL;
	set_alarm();
	duo_close(&e);
	for (;;)
		duo_nap();
}

static void silent_peer(void)
{
	struct duo_end e;

	duo_open(&e, NULL);
	duo_meet(&e, 0);
	for (;;)
		duo_nap();
}

static void kill_silent_peer(void)
{
	duo_sync();
	duo_sync();
	duo_wait_gone(0);
	duo_kill(1, SIGKILL);
}

/* Fork */

static void child_is_cut_off(struct duo_end *e, const struct weft_wr *wr)
{
	struct weft_recv_wr recv = { .wr_id = 1 };
	struct weft_qp_attr attr = { .send_cq = e->scq, .recv_cq = e->rcq };
	struct weft_channel *channel;
	struct weft_cqe c;
	struct weft_pd *pd;
	struct weft_cq *cq;
	struct weft_qp *qp;
	struct weft_mr *mr;
	struct weft_ah *ah;
	uint32_t depth = 4;

	need_eq(-EIO, weft_qp_post_send(e->qp, wr, 1));
	need_eq(-EIO, weft_qp_post_recv(e->qp, &recv, 1));
	need_eq(-EIO, weft_qp_set_state(e->qp, WEFT_QPS_ERR));
	need_eq(-EIO, weft_pd_create(e->card, &pd));
	need_eq(-EIO, weft_cq_create(e->card, &depth, NULL, NULL, &cq));
	need_eq(-EIO, weft_qp_create(e->pd, &attr, &qp));
	need_eq(-EIO, weft_mr_create(e->pd, e->buf, 4096, (uintptr_t)e->buf, 1, &mr));
	need_eq(-EIO, weft_ah_create(e->pd, &e->peer.gid, &ah));
	need_eq(-EIO, weft_channel_create(e->card, &channel));
	weft_cq_arm(e->scq);
	need_eq(-EIO, weft_channel_get(e->channel, &cq));
	while (duo_try(e->scq, &c)) /* What was in the queue is copied with it. */
		;
	weft_card_progress(e->card);
	duo_close(e);
}

/* It is a process like any other: with a card of its own. */
static void child_has_own_card(void)
{
	struct duo_addr peer = duo_look(1, 0);
	struct duo_end e;
	struct weft_wr wr;

	duo_open(&e, NULL);
	duo_target(&e, &peer);
	wr = duo_wr(&e, 1, WEFT_OP_READ, 0, 1u << 20, 0);
	duo_do(&e, &wr, 0);
	duo_check(e.buf, 1u << 20, 3);
	duo_close(&e);
}

static void fork_use(void)
{
	struct duo_end e;
	struct weft_wr wr;
	int status;
	pid_t pid;

	duo_open(&e, &(struct duo_opts){ .channel = true, .len = 32u << 20 });
	if (duo_side == 1)
		duo_fill(e.buf, 32u << 20, 3);
	duo_meet(&e, !duo_side);
	for (uint32_t round = 0; round < 3 && duo_side == 0; round++) {
		memset(e.buf, 0, 32u << 20);
		weft_cq_arm(e.scq);
		wr = duo_wr(&e, round, WEFT_OP_READ, 0, 32u << 20, 0);
		duo_post(e.qp, &wr);
		pid = fork();
		need(pid >= 0);
		if (!pid) {
			child_is_cut_off(&e, &wr);
			if (!DUO_TSAN) /* It allows no threads in a child of threads. */
				child_has_own_card();
			/* What the card had is left alone in a child (local.c), and no leak that anybody looks for. */
			if (DUO_ASAN)
				_exit(0);
			exit(0);
		}
		if (round) /* The child first, or both at once. */
			need(waitpid(pid, &status, 0) == pid);
		duo_done(e.scq, round, 0);
		duo_check(e.buf, 32u << 20, 3);
		if (!round)
			need(waitpid(pid, &status, 0) == pid);
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			_exit(1); /* The child has said why. */
	}
	duo_sync();
	duo_close(&e);
}

/* Forks at any moment of another thread's work. */

static _Atomic bool stop;

static void *forker(void *arg)
{
	(void)arg;
	for (uint32_t i = 0; i < 30; i++) {
		pid_t pid = fork();
		int status;

		need(pid >= 0);
		if (!pid)
			_exit(0);
		need(waitpid(pid, &status, 0) == pid && !status);
	}
	atomic_store(&stop, true);
	return NULL;
}

static void fork_often(void)
{
	struct duo_end e;
	struct weft_wr wr;
	pthread_t t;

	duo_open(&e, NULL);
	duo_meet(&e, !duo_side);
	if (duo_side == 0) {
		need(!pthread_create(&t, NULL, forker, NULL));
		while (!atomic_load(&stop)) {
			wr = duo_wr(&e, 1, WEFT_OP_READ, 0, 100000, 0);
			duo_do(&e, &wr, 0);
			/* Something is opened and closed all the time. */
			wr.qpn ^= 0x3000;
			duo_do(&e, &wr, 9);
		}
		pthread_join(t, NULL);
	}
	duo_sync();
	duo_close(&e);
}

/* Limits */

struct attempt {
	struct weft_card *card;
	struct weft_pd *pd;
	struct weft_channel *channel;
	struct weft_cq *cq;
	struct weft_qp *qp;
};

static int try_open(struct attempt *a)
{
	uint32_t depth = 64;
	struct weft_qp_attr attr = { .max_recv_wr = 16, .max_recv_sge = 1 };
	int err;

	memset(a, 0, sizeof(*a));
	err = weft_card_open(0, &a->card);
	if (!err)
		err = weft_pd_create(a->card, &a->pd);
	if (!err)
		err = weft_channel_create(a->card, &a->channel);
	if (!err)
		err = weft_cq_create(a->card, &depth, a->channel, NULL, &a->cq);
	attr.send_cq = attr.recv_cq = a->cq;
	if (!err)
		err = weft_qp_create(a->pd, &attr, &a->qp);
	return err;
}

static void undo(struct attempt *a)
{
	if (a->qp)
		need_ok(weft_qp_destroy(a->qp));
	if (a->cq)
		need_ok(weft_cq_destroy(a->cq));
	if (a->channel)
		need_ok(weft_channel_destroy(a->channel));
	if (a->pd)
		need_ok(weft_pd_destroy(a->pd));
	if (a->card)
		weft_card_close(a->card);
}

/* With one descriptor more each time: a clear error, or a card that works. */
static void descriptors(void)
{
	struct rlimit lim, old;
	struct attempt a;
	uint32_t failed = 0, good = 0;
	struct duo_end e;
	struct weft_wr wr;
	int err;

	if (duo_side == 1) {
		need(!getrlimit(RLIMIT_NOFILE, &old));
		/* The first that works may do without what is not needed, and that then wants one more. */
		for (rlim_t n = 3; n < 100 && good < 3; n++) {
			lim = old;
			lim.rlim_cur = n;
			need(!setrlimit(RLIMIT_NOFILE, &lim));
			err = try_open(&a);
			if (err && err != -EMFILE)
				duo_die(DUO_AT, "with %u descriptors: %s", (unsigned int)n,
					strerror(-err));
			if (err)
				failed++;
			else
				good++;
			undo(&a);
		}
		need(failed > 1);
		need_eq(3, good);
		duo_open(&e, &(struct duo_opts){ .channel = true });
		duo_fill(e.buf, 100000, 1);
		duo_meet(&e, 0);
		duo_sync(); /* Its helper has to serve. */
		need(!setrlimit(RLIMIT_NOFILE, &old));
	} else {
		duo_open(&e, NULL);
		duo_meet(&e, 1);
		wr = duo_wr(&e, 1, WEFT_OP_READ, 0, 100000, 0);
		duo_do(&e, &wr, 0);
		duo_check(e.buf, 100000, 1);
		duo_sync();
	}
	duo_sync();
	duo_close(&e);
}

/* The same with memory, a megabyte more each time. */
static void memory(void)
{
	struct rlimit lim, old;
	struct attempt a;
	uint32_t failed = 0;
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");
	int err = -ENOMEM;

	if (DUO_SANITIZED) /* They reserve terabytes. */
		return;
	need(f && fscanf(f, "%lu", &pages) == 1);
	fclose(f);
	need(!getrlimit(RLIMIT_AS, &old));
	for (uint32_t mb = 0; mb < 2000 && err; mb += mb < 16 ? 1 : 8) {
		lim = old;
		lim.rlim_cur = pages * 4096 + ((rlim_t)mb << 20);
		need(!setrlimit(RLIMIT_AS, &lim));
		err = try_open(&a);
		if (err && err != -ENOMEM && err != -EAGAIN)
			duo_die(DUO_AT, "with %u MB: %s", mb, strerror(-err));
		failed += err != 0;
		undo(&a);
	}
	need(!setrlimit(RLIMIT_AS, &old));
	need_eq(0, err);
	need(failed);
}

/* Settings that differ */

static void with_env(const char *name, const char *value)
{
	if (duo_side == 1)
		setenv(name, value, 1);
}

static void converse(struct duo_end *e)
{
	struct weft_wr wr;

	duo_recv(e, 1, 0, 8928);
	duo_meet(e, !duo_side);
	wr = duo_wr(e, 2, WEFT_OP_SEND, 16384, 5000, 0);
	duo_post(e->qp, &wr);
	duo_done(e->rcq, 1, 0);
	duo_done(e->scq, 2, 0);
	wr = duo_wr(e, 3, WEFT_OP_READ, 16384, 100000, 200000);
	duo_do(e, &wr, 0);
	/* The other one may still need us, and one of the cases has no helper. */
	duo_step(1);
	while (!duo_has_step(!duo_side, 1))
		weft_card_progress(e->card);
	duo_sync();
}

/* Containers see each other's addresses, but not each other's folder. */
static void other_folder(void)
{
	struct duo_end e;
	char dir[256];

	snprintf(dir, sizeof(dir), "%s-2", getenv("WEFT_RUN_DIR"));
	with_env("WEFT_RUN_DIR", dir);
	duo_open(&e, NULL);
	converse(&e);
	duo_close(&e);
}

static void other_wire(void)
{
	struct duo_end e;

	with_env("WEFT_WIRE", "udp");
	duo_open(&e, NULL);
	converse(&e);
	duo_close(&e);
}

static void other_mtu(void)
{
	struct duo_end e;

	with_env("WEFT_MTU", "1500");
	duo_open(&e, NULL);
	converse(&e);
	duo_close(&e);
}

/* Who does not know the key is not heard. */
static void other_key(void)
{
	struct duo_end e;
	struct weft_wr wr;

	with_env("WEFT_KEY", "another");
	duo_open(&e, NULL);
	duo_recv(&e, 1, 0, 100);
	duo_meet(&e, !duo_side);
	wr = duo_wr(&e, 2, WEFT_OP_SEND, 0, 100, 0);
	duo_do(&e, &wr, 15);
	duo_none(e.rcq);
	duo_sync();
	duo_close(&e);
}

/* Without the helper a client that polls works all the same. */
static void no_helper(void)
{
	struct duo_end e;

	duo_open(&e, NULL);
	converse(&e);
	duo_close(&e);
}

const struct duo_case link_fault_cases[] = {
	{ .name = "passive_target", .side = { passive_target, passive_target } },
	{ .name = "owed_acks", .side = { owed_acks, owed_acks } },
	{ .name = "exit__after_last_message", .side = { exit_after_last, exit_after_last } },
	{ .name = "exit__after_send", .side = { exit_after_send, exit_after_send } },
	{ .name = "exit__in_exit",
	  .side = { exit_in_exit, silent_peer, kill_silent_peer },
	  .killed = 1u << 1,
	  .limit_s = 20 },
	{ .name = "exit__in_close",
	  .side = { exit_in_close, silent_peer, kill_silent_peer },
	  .killed = 1u << 1,
	  .limit_s = 20 },
	{ .name = "fork__use", .side = { fork_use, fork_use } },
	{ .name = "fork__often", .side = { fork_often, fork_often } },
	{ .name = "limit__descriptors", .side = { descriptors, descriptors } },
	{ .name = "limit__memory", .side = { memory } },
	{ .name = "differ__folder",
	  .side = { other_folder, other_folder },
	  .env = "WEFT_KEY=same",
	  .wires = DUO_AUTO },
	{ .name = "differ__wire", .side = { other_wire, other_wire }, .wires = DUO_AUTO },
	{ .name = "differ__mtu", .side = { other_mtu, other_mtu }, .wires = DUO_UDP },
	{ .name = "differ__key", .side = { other_key, other_key }, .env = "WEFT_DEAD_AFTER=300ms" },
	{ .name = "no_helper", .side = { no_helper, no_helper }, .env = "WEFT_HELPER=no" },
	{ .name = NULL },
};
