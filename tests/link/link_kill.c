/* SPDX-License-Identifier: BSD-2-Clause */
/* A peer dies, at every step. Four processes:
 *
 *	0 survivor   its requests to the victim end with 8 or 9, and never hang
 *	1 third      talks with the survivor all the time and must not notice anything
 *	2 victim     is killed, or ends by itself
 *	3 fresh      comes to the victim's address when that is gone, and is served like anybody
 */
#include "link.h"

#include "dev/core.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define THIRD   1u
#define VICTIM  2u
#define FRESH   3u
#define RECVS   64u
#define TO_C    1000u /* First wr_id of the talk with the third. */
#define CLOSE   2u /* Steps of the survivor. */
#define HELLO   3u
#define BYE     4u
#define BIG     (32u << 20)
#define FRESH_N 10u

/* Survivor */

struct survivor {
	struct duo_end e;
	struct duo_addr third, victim;
	struct weft_ah *to_third, *to_victim;
	uint32_t third_out, third_done;
	uint32_t out, good, bad; /* Requests to the victim. */
	uint32_t got; /* Receives. */
	bool keep; /* Do not post receives again. */
};

static void meet(struct survivor *s, uint32_t side)
{
	duo_wait_step(side, 1);
	s->victim = duo_look(side, 0);
	if (s->to_victim)
		need_ok(weft_ah_destroy(s->to_victim));
	need_ok(weft_ah_create(s->e.pd, &s->victim.gid, &s->to_victim));
}

static void open_survivor(struct survivor *s)
{
	struct duo_addr me;

	duo_open(&s->e, &(struct duo_opts){ .rq = 128, .len = BIG });
	for (uint32_t i = 0; i < RECVS; i++)
		duo_recv(&s->e, i, i * 9000, 8928);
	me = duo_addr_of(&s->e, s->e.qp);
	duo_publish(0, &me);
	duo_step(1);
	duo_wait_step(THIRD, 1);
	s->third = duo_look(THIRD, 0);
	need_ok(weft_ah_create(s->e.pd, &s->third.gid, &s->to_third));
	meet(s, VICTIM);
}

/* One round of polling, and of talk with the third. */
static void look(struct survivor *s)
{
	struct weft_cqe c;
	struct weft_wr wr;

	while (s->third_out < 4) {
		s->e.peer = s->third;
		wr = duo_wr(&s->e, TO_C, s->third_done % 2 ? WEFT_OP_SEND : WEFT_OP_READ, 1u << 20,
			    5000, 0);
		wr.ah = s->to_third;
		duo_post(s->e.qp, &wr);
		s->third_out++;
	}
	while (duo_try(s->e.scq, &c)) {
		if (c.wr_id >= TO_C) {
			need_eq(0, c.status);
			s->third_out--;
			s->third_done++;
			continue;
		}
		s->out--;
		if (c.status == 0) {
			need(!s->bad);
			s->good++;
		} else {
			if (c.status != 8 && c.status != 9)
				duo_die(DUO_AT, "status %u after the victim's end", c.status);
			s->bad++;
		}
	}
	while (duo_try(s->e.rcq, &c)) {
		need_eq(0, c.status);
		s->got++;
		if (!s->keep)
			duo_recv(&s->e, c.wr_id, c.wr_id * 9000, 8928);
	}
	duo_at(DUO_AT);
}

static void to_victim(struct survivor *s, enum weft_op op, uint32_t len)
{
	struct weft_wr wr;

	s->e.peer = s->victim;
	wr = duo_wr(&s->e, op, op, 2u << 20, len, 0);
	wr.ah = s->to_victim;
	duo_post(s->e.qp, &wr);
	s->out++;
}

/* Whatever is posted from now on fails, and soon. */
static void is_gone(struct survivor *s)
{
	while (s->out)
		look(s);
	for (uint32_t i = 0; i < 20; i++) {
		uint32_t bad = s->bad;

		s->bad = 1; /* None may succeed. */
		to_victim(s, (enum weft_op)(i % 5), 3000);
		while (s->out)
			look(s);
		need_eq(2, s->bad);
		s->bad = bad;
	}
}

/* The fresh one is served, both ways; then everybody goes. */
static void welcome_fresh(struct survivor *s)
{
	uint32_t good, third = s->third_done;

	/* As many as there are receives: none was lost with the victim. */
	s->keep = true;
	s->got = s->bad = 0;
	meet(s, FRESH);
	duo_step(HELLO);
	while (s->got < RECVS)
		look(s);
	good = s->good;
	for (uint32_t i = 0; i < FRESH_N; i++)
		to_victim(s, (enum weft_op)(i % 5), 3000);
	while (s->out)
		look(s);
	need_eq(good + FRESH_N, s->good);
	while (s->third_done < third + 50)
		look(s);
	while (s->third_out) {
		struct weft_cqe c = duo_next(s->e.scq);

		need_eq(0, c.status);
		s->third_out--;
	}
	duo_step(BYE);
	duo_wait_gone(THIRD);
	duo_wait_gone(FRESH);
	need_ok(weft_ah_destroy(s->to_third));
	need_ok(weft_ah_destroy(s->to_victim));
	duo_close(&s->e);
}

/* Third and fresh */

static void serve(struct duo_end *e)
{
	struct weft_cqe c;

	while (duo_try(e->rcq, &c)) {
		need_eq(0, c.status);
		duo_recv(e, c.wr_id, c.wr_id * 9000, 8928);
	}
}

static void open_other(struct duo_end *e)
{
	struct duo_addr me;

	duo_open(e, &(struct duo_opts){ .rq = 128, .len = BIG });
	for (uint32_t i = 0; i < RECVS; i++)
		duo_recv(e, i, i * 9000, 8928);
	me = duo_addr_of(e, e->qp);
	duo_publish(0, &me);
	duo_step(1);
	duo_wait_step(0, 1);
	me = duo_look(0, 0);
	duo_target(e, &me);
}

static void third(void)
{
	struct duo_end e;
	struct weft_wr wr;
	struct weft_cqe c;
	uint32_t out = 0;

	open_other(&e);
	while (!duo_has_step(0, BYE) || out) {
		serve(&e);
		if (out < 4 && !duo_has_step(0, BYE)) {
			wr = duo_wr(&e, 1, WEFT_OP_WRITE, 2u << 20, 20000, 4u << 20);
			duo_post(e.qp, &wr);
			out++;
		}
		while (duo_try(e.scq, &c)) {
			need_eq(0, c.status);
			out--;
		}
	}
	duo_close(&e);
}

static void fresh(void)
{
	struct duo_end e;
	struct weft_wr wr;
	struct weft_cqe c;
	uint32_t sent = 0, done = 0;

	duo_wait_gone(VICTIM);
	open_other(&e);
	duo_wait_step(0, HELLO);
	while (done < RECVS + 2 || !duo_has_step(0, BYE)) {
		serve(&e);
		if (sent < RECVS + 2) {
			enum weft_op op = sent < RECVS ? WEFT_OP_SEND : WEFT_OP_READ;

			wr = duo_wr(&e, sent++, op, 2u << 20, 8928, 5u << 20);
			duo_post(e.qp, &wr);
		}
		while (duo_try(e.scq, &c)) {
			need_eq(0, c.status);
			done++;
		}
	}
	duo_close(&e);
}

/* Victims */

static void victim_target(void)
{
	struct duo_end e;

	open_other(&e);
	for (;;)
		serve(&e);
}

static void victim_passive(void)
{
	struct duo_end e;

	open_other(&e);
	for (;;)
		pause();
}

static bool stream(struct duo_end *e, uint32_t i)
{
	static const uint32_t len[] = { 8928, 100000, 100, 200000 };
	struct weft_wr wr;

	if (!weft_qp_send_room(e->qp))
		return false;
	wr = duo_wr(e, i,
		    i % 4 == 3   ? WEFT_OP_READ
		    : i % 4 == 1 ? WEFT_OP_WRITE
				 : WEFT_OP_SEND,
		    0, len[i % 4], 5u << 20);
	duo_post(e->qp, &wr);
	return true;
}

static void victim_source(void)
{
	struct duo_end e;
	struct weft_cqe c;

	open_other(&e);
	for (uint32_t i = 0;;) {
		i += stream(&e, i);
		serve(&e);
		while (duo_try(e.scq, &c))
			need_eq(0, c.status);
	}
}

/* Ends in the middle of everything, with nothing closed. */
static void victim_exits(void)
{
	struct duo_end e;
	struct weft_cqe c;

	open_other(&e);
	for (uint32_t i = 0; i < 600;) {
		i += stream(&e, i);
		serve(&e);
		while (duo_try(e.scq, &c))
			need_eq(0, c.status);
	}
	exit(0);
}

/* As it should be done, but the survivor does not know. */
static void victim_closes(void)
{
	struct duo_end e;

	open_other(&e);
	while (!duo_has_step(0, CLOSE))
		serve(&e);
	duo_close(&e);
}

/* A child that was forked meanwhile lives on. */
static void victim_with_child(void)
{
	struct duo_end e;

	open_other(&e);
	if (!fork()) {
		duo_wait_step(0, BYE);
		_exit(0);
	}
	for (;;)
		serve(&e);
}

/* What happens */

static struct survivor s;

static void before_hello(void)
{
	open_survivor(&s);
	duo_kill(VICTIM, SIGKILL);
	is_gone(&s);
	welcome_fresh(&s);
}

static void out_until(uint32_t n, bool orderly)
{
	open_survivor(&s);
	for (uint32_t i = 0; s.good < n; i++) {
		if (s.out < 32)
			to_victim(&s, (enum weft_op)(i % 5),
				  i % 2 ? 100000 % (i % 5 < 2 ? 8929 : 100001) : 100);
		look(&s);
	}
	if (orderly)
		duo_step(CLOSE);
	else
		duo_kill(VICTIM, SIGKILL);
	while (!s.bad) {
		if (s.out < 32)
			to_victim(&s, WEFT_OP_WRITE, 1000);
		look(&s);
	}
	is_gone(&s);
	welcome_fresh(&s);
}

static void out_1(void)
{
	out_until(1, false);
}

static void out_20(void)
{
	out_until(20, false);
}

/* A new process takes the port at once: nothing tells us but its RESET. */
static void out_20_same_port(void)
{
	out_until(20, false);
}

static void out_500(void)
{
	out_until(500, false);
}

static void out_closed(void)
{
	out_until(100, true);
}

/* Only answers are awaited: nothing of ours is on the way that could be missed. */
static void reading(void)
{
	open_survivor(&s);
	to_victim(&s, WEFT_OP_READ, 100);
	while (s.out)
		look(&s);
	to_victim(&s, WEFT_OP_READ, BIG - (2u << 20));
	to_victim(&s, WEFT_OP_READ, BIG - (2u << 20));
	look(&s);
	duo_kill(VICTIM, SIGKILL);
	while (s.out)
		look(&s);
	is_gone(&s);
	welcome_fresh(&s);
}

static void in_until(uint32_t n, bool by_itself)
{
	open_survivor(&s);
	while (s.got < n)
		look(&s);
	if (by_itself)
		duo_wait_gone(VICTIM);
	else
		duo_kill(VICTIM, SIGKILL);
	is_gone(&s);
	/* What it had sent has been received. */
	for (uint32_t i = 0; i < 100; i++)
		look(&s);
	welcome_fresh(&s);
}

static void in_1(void)
{
	in_until(1, false);
}

static void in_300(void)
{
	in_until(300, false);
}

static void in_exits(void)
{
	in_until(100, true);
}

/* A signal handler that ends the process, as libinfinipath has one, in the middle of a call that holds the card's
 * lock; what was registered before the device comes after it and wants that lock. */

static struct weft_pd *late_pd;

static void destroy_late(void)
{
	need_eq(0, weft_pd_destroy(late_pd));
}

static void on_term(int sig)
{
	(void)sig;
	exit(0);
}

static void exit_in_lock(void)
{
	struct weft_card *card;

	atexit(destroy_late);
	need_eq(0, weft_card_open(0, &card));
	need_eq(0, weft_pd_create(card, &late_pd));
	need_eq(0, card->up);
	signal(SIGTERM, on_term);
	weft_card_lock(card);
	raise(SIGTERM);
}

static void afterwards(void)
{
	open_survivor(&s);
	for (uint32_t i = 0; i < 20; i++)
		to_victim(&s, (enum weft_op)(i % 5), 5000);
	while (s.out)
		look(&s);
	need_eq(20, s.good);
	duo_kill(VICTIM, SIGKILL);
	is_gone(&s);
	welcome_fresh(&s);
}

/* The fresh one has not only the victim's host, but also its port. */
static void fresh_same_port(void)
{
	uint32_t slot;

	duo_wait_gone(VICTIM);
	slot = duo_look(VICTIM, 0).qpn >> 8;
	for (uint32_t i = 1; i < 256; i++)
		if (i != slot)
			(void)duo_bind(4, (uint16_t)(duo_port_base() + i));
	fresh();
	need_eq(slot, duo_look(FRESH, 0).qpn >> 8);
}

#define SIDES(survivor, victim, fresh) \
	.side = { survivor, third, victim, fresh }, .host = { 2, 3, 4, 4 }
#define KILLED .killed = 1u << VICTIM
#define SMALL  .env = "WEFT_MTU=1500", .wires = DUO_UDP

const struct duo_case link_kill_cases[] = {
	{ .name = "kill__before_hello", SIDES(before_hello, victim_target, fresh), KILLED },
	{ .name = "kill__target_after_1", SIDES(out_1, victim_target, fresh), KILLED },
	{ .name = "kill__target_after_20", SIDES(out_20, victim_target, fresh), KILLED },
	{ .name = "kill__target_after_500", SIDES(out_500, victim_target, fresh), KILLED },
	{ .name = "kill__target_of_small_packets",
	  SIDES(out_20, victim_target, fresh),
	  KILLED,
	  SMALL },
	{ .name = "kill__passive", SIDES(reading, victim_passive, fresh), KILLED },
	{ .name = "kill__passive_small_packets",
	  SIDES(reading, victim_passive, fresh),
	  KILLED,
	  SMALL },
	{ .name = "kill__source_after_1", SIDES(in_1, victim_source, fresh), KILLED },
	{ .name = "kill__source_after_300", SIDES(in_300, victim_source, fresh), KILLED },
	{ .name = "kill__source_of_small_packets",
	  SIDES(in_300, victim_source, fresh),
	  KILLED,
	  SMALL },
	{ .name = "kill__both_ways", SIDES(out_500, victim_source, fresh), KILLED },
	{ .name = "kill__afterwards", SIDES(afterwards, victim_target, fresh), KILLED },
	{ .name = "kill__with_child", SIDES(out_20, victim_with_child, fresh), KILLED },
	{ .name = "kill__same_port",
	  SIDES(out_20_same_port, victim_source, fresh_same_port),
	  KILLED,
	  .env = "WEFT_DEAD_AFTER=500ms" },
	{ .name = "end__by_exit", SIDES(in_exits, victim_exits, fresh) },
	{ .name = "end__by_signal_before_up", .side = { exit_in_lock }, .limit_s = 20 },
	{ .name = "end__by_close", SIDES(out_closed, victim_closes, fresh) },
	{ .name = NULL },
};
