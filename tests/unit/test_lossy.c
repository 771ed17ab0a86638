/* SPDX-License-Identifier: BSD-2-Clause */
/* The faulty network: what it does when nothing is wrong, and that each fault does what its name says,
 * counts itself, and touches nothing else. */
#include "wire/sim/lossy.h"

#include "unit.h"

#include <string.h>

#define EV_BASE 40u
#define MAX     4096u

static struct world {
	struct weft_evq q;
	struct weft_lossy net;
	struct weft_lossy_cfg cfg;
	struct got {
		weft_ns at;
		uint64_t id, origin;
		uint32_t len;
		uint16_t from, to, path;
		uint8_t first; /* Byte. */
		bool ce, trimmed, tampered, equal;
	} got[MAX];
	uint32_t len, lost;
} w;

static void on_fault(void *user, const struct weft_lossy_frame *f, enum weft_lossy_fault fault,
		     bool lost)
{
	(void)user;
	(void)f;
	(void)fault;
	w.lost += lost;
}

static int setup(void **state)
{
	(void)state;
	memset(&w, 0, sizeof(w));
	w.cfg = (struct weft_lossy_cfg){
		.seed = 5,
		.hosts = 4,
		.paths = 16,
		.event_base = EV_BASE,
		.latency_min = WEFT_US(10),
		.latency_max = WEFT_US(10),
		.nic_bps = 8000000000u, /* A byte per nanosecond. */
		.path_bps = 8000000000u,
		.path_buffer = 1u << 20,
		.port_buffer = 1u << 20,
		.ecn_threshold = 10000,
		.burst_len = 10,
		.burst_max = WEFT_MS(10),
		.reorder_max = WEFT_US(50),
		.late_min = WEFT_MS(1),
		.late_max = WEFT_MS(2),
		.tag_at = 32,
		.tag_len = 8,
	};
	return 0;
}

static void start(void)
{
	weft_evq_init(&w.q);
	weft_lossy_init(&w.net, &w.cfg, &w.q);
	w.net.on_fault = on_fault;
}

static int teardown(void **state)
{
	struct weft_ev ev;

	(void)state;
	while (weft_evq_pop(&w.q, &ev))
		weft_lossy_frame_free(ev.ptr);
	weft_lossy_fini(&w.net);
	weft_evq_fini(&w.q);
	return 0;
}

static void send_as(uint16_t from, uint16_t to, uint16_t path, uint32_t len, uint8_t class)
{
	struct weft_lossy_frame *f = weft_lossy_frame_new(len);

	for (uint32_t i = 0; i < len; i++)
		f->data[i] = (uint8_t)(i * 7 + len);
	f->from = from;
	f->to = to;
	f->path = path;
	f->class = class;
	f->head_len = WEFT_MIN(len, 80u);
	weft_lossy_send(&w.net, f, w.q.now);
}

static void send(uint16_t path, uint32_t len)
{
	send_as(0, 1, path, len, 0);
}

static bool is_equal(const struct weft_lossy_frame *f)
{
	for (uint32_t i = 0; i < f->len; i++)
		if (f->data[i] != (uint8_t)(i * 7 + f->len))
			return false;
	return true;
}

static void run(void)
{
	struct weft_ev ev;

	while (weft_evq_pop(&w.q, &ev)) {
		struct weft_lossy_frame *f = weft_lossy_on_event(&w.net, &ev);

		if (!f)
			continue;
		assert_true(w.len < MAX);
		w.got[w.len++] = (struct got){
			.at = ev.at,
			.id = f->id,
			.origin = f->origin,
			.len = f->len,
			.from = f->from,
			.to = f->to,
			.path = f->path,
			.first = f->len ? f->data[0] : 0,
			.ce = f->ce,
			.trimmed = f->trimmed,
			.tampered = f->tampered,
			.equal = is_equal(f),
		};
		weft_lossy_frame_free(f);
	}
}

static void weft_lossy_send__rate_and_latency(void **state)
{
	(void)state;
	start();
	send(0, 1000);
	send(1, 1000);
	run();
	assert_int_equal(w.len, 2);
	/* Out of the NIC one after the other, through the path's queue, along the path. */
	assert_int_equal(w.got[0].at, 1000 + 1000 + WEFT_US(10));
	assert_int_equal(w.got[1].at, 2000 + 1000 + WEFT_US(10));
	assert_true(w.got[0].equal && w.got[1].equal);
	assert_int_equal(w.got[0].id, w.got[0].origin);
	assert_int_equal(w.got[1].path, 1);
}

static void weft_lossy_send__path_is_fifo(void **state)
{
	(void)state;
	w.cfg.jitter_max = WEFT_US(100);
	start();
	for (uint32_t i = 0; i < 200; i++)
		send((uint16_t)(i % 2), 100 + i);
	run();
	assert_int_equal(w.len, 200);
	for (uint32_t path = 0; path < 2; path++) {
		uint64_t last = 0;

		for (uint32_t i = 0; i < w.len; i++) {
			if (w.got[i].path != path)
				continue;
			assert_true(w.got[i].id > last);
			last = w.got[i].id;
		}
	}
}

static void weft_lossy_send__path_buffer(void **state)
{
	(void)state;
	w.cfg.path_bps = 800000000u; /* A tenth of the NIC: it piles up. */
	w.cfg.path_buffer = 10000;
	start();
	for (uint32_t i = 0; i < 100; i++)
		send(3, 1000);
	run();
	assert_in_range(w.len, 10, 30);
	assert_int_equal(w.net.hits[WEFT_LOSSY_PATH_OVERFLOW], 100 - w.len);
	assert_int_equal(w.lost, 100 - w.len);
}

static void weft_lossy_send__port_is_shared(void **state)
{
	(void)state;
	w.cfg.port_bps = 8000000000u;
	w.cfg.port_buffer = 3500;
	start();
	for (uint16_t from = 1; from < 4; from++)
		for (uint32_t i = 0; i < 4; i++)
			send_as(from, 0, (uint16_t)i, 1000, 0);
	run();
	assert_in_range(w.len, 4, 11);
	assert_int_equal(w.net.hits[WEFT_LOSSY_PORT_OVERFLOW], 12 - w.len);
	for (uint32_t i = 1; i < w.len; i++)
		assert_true(w.got[i].at >= w.got[i - 1].at + 1000);
}

static void weft_lossy_send__trim(void **state)
{
	uint32_t trimmed = 0;

	(void)state;
	w.cfg.port_bps = 8000000000u;
	w.cfg.port_buffer = 3500;
	w.cfg.trim = true;
	start();
	for (uint16_t from = 1; from < 4; from++)
		for (uint32_t i = 0; i < 4; i++)
			send_as(from, 0, (uint16_t)i, 1000, 0);
	run();
	assert_int_equal(w.len, 12);
	for (uint32_t i = 0; i < w.len; i++) {
		trimmed += w.got[i].trimmed;
		assert_int_equal(w.got[i].len, w.got[i].trimmed ? 80 : 1000);
	}
	assert_true(trimmed > 0);
	assert_int_equal(w.net.hits[WEFT_LOSSY_TRIM], trimmed);
}

static uint32_t count_ce(enum weft_lossy_ecn mode)
{
	uint32_t n = 0;

	setup(NULL);
	w.cfg.path_bps = 800000000u;
	w.cfg.ecn = mode;
	start();
	for (uint32_t i = 0; i < 50; i++)
		send(3, 1000);
	run();
	for (uint32_t i = 0; i < w.len; i++)
		n += w.got[i].ce;
	return n;
}

static void weft_lossy_send__ecn(void **state)
{
	uint32_t marked;

	(void)state;
	marked = count_ce(WEFT_LOSSY_ECN_MODE_MARK);
	assert_in_range(marked, 20, 45);
	assert_int_equal(w.net.hits[WEFT_LOSSY_ECN_MARK], marked);
	teardown(NULL);
	assert_int_equal(count_ce(WEFT_LOSSY_ECN_MODE_OFF), 0);
	assert_int_equal(w.net.hits[WEFT_LOSSY_ECN_OFF], marked);
	teardown(NULL);
	assert_int_equal(count_ce(WEFT_LOSSY_ECN_MODE_BLEACH), 0);
	assert_int_equal(w.net.hits[WEFT_LOSSY_ECN_BLEACH], marked);
	teardown(NULL);
	assert_int_equal(count_ce(WEFT_LOSSY_ECN_MODE_ALWAYS), 50);
}

/* Each dose alone, at 20 %: it hits about a fifth, and only what it is for. */
static void weft_lossy_send__doses(void **state)
{
	static const uint8_t class_of[WEFT_LOSSY_DOSES] = {
		[WEFT_LOSSY_LOSS_CONTROL] = WEFT_LOSSY_CONTROL,
		[WEFT_LOSSY_LOSS_RTX] = WEFT_LOSSY_RTX,
		[WEFT_LOSSY_LOSS_FIRST] = WEFT_LOSSY_FIRST,
		[WEFT_LOSSY_LOSS_LAST] = WEFT_LOSSY_LAST,
	};

	(void)state;
	for (uint32_t fault = 0; fault < WEFT_LOSSY_DOSES; fault++) {
		setup(NULL);
		w.cfg.dose[fault] = 200000;
		start();
		for (uint32_t i = 0; i < 1000; i++)
			send_as(0, 1, (uint16_t)(i % 16), 500, class_of[fault]);
		run();
		assert_in_range(w.net.hits[fault], 120, 950);
		for (uint32_t i = 0; i < WEFT_LOSSY_FAULT_COUNT; i++)
			if (i != fault && i != WEFT_LOSSY_ECN_MARK)
				assert_int_equal(w.net.hits[i], 0);
		for (uint32_t i = 0; i < w.len; i++)
			if (!w.got[i].tampered)
				assert_true(w.got[i].equal);
		teardown(NULL);
	}
	setup(NULL);
	start();
}

/* Doses for a class leave other classes alone. */
static void weft_lossy_send__doses_by_class(void **state)
{
	(void)state;
	w.cfg.dose[WEFT_LOSSY_LOSS_CONTROL] = 1000000;
	w.cfg.dose[WEFT_LOSSY_LOSS_RTX] = 1000000;
	start();
	for (uint32_t i = 0; i < 100; i++)
		send_as(0, 1, 0, 100, i % 2 ? WEFT_LOSSY_FIRST : WEFT_LOSSY_LAST);
	send_as(0, 1, 0, 100, WEFT_LOSSY_CONTROL);
	send_as(0, 1, 0, 100, WEFT_LOSSY_RTX);
	run();
	assert_int_equal(w.len, 100);
}

static void weft_lossy_send__corruption_changes_its_part(void **state)
{
	static const struct {
		uint32_t fault, lo, hi;
	} rows[] = {
		{ WEFT_LOSSY_CORRUPT_HEAD, 0, 80 },
		{ WEFT_LOSSY_CORRUPT_TAG, 32, 40 },
		{ WEFT_LOSSY_CORRUPT_PAYLOAD, 80, 300 },
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		setup(NULL);
		w.cfg.dose[rows[i].fault] = 1000000;
		start();
		for (uint32_t k = 0; k < 200; k++) {
			struct weft_ev ev;
			struct weft_lossy_frame *f;
			uint32_t changed = 0;

			send(0, 300);
			assert_true(weft_evq_pop(&w.q, &ev));
			f = weft_lossy_on_event(&w.net, &ev);
			assert_non_null(f);
			assert_true(f->tampered);
			for (uint32_t b = 0; b < 300; b++) {
				if (f->data[b] == (uint8_t)(b * 7 + 300))
					continue;
				changed++;
				assert_in_range(b, rows[i].lo, rows[i].hi - 1);
			}
			assert_int_equal(changed, 1);
			weft_lossy_frame_free(f);
		}
		teardown(NULL);
	}
	setup(NULL);
	start();
}

static void weft_lossy_send__duplicates(void **state)
{
	(void)state;
	w.cfg.dose[WEFT_LOSSY_DUP] = 1000000;
	w.cfg.dose[WEFT_LOSSY_DUP_LATE] = 1000000;
	start();
	send(0, 100);
	run();
	assert_int_equal(w.len, 3);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(w.got[i].origin, w.got[0].origin);
		assert_true(w.got[i].equal);
	}
	assert_true(w.got[1].at < WEFT_US(20));
	assert_in_range(w.got[2].at, WEFT_MS(1), WEFT_MS(2));
}

static void weft_lossy_set_path_down__that_path_only(void **state)
{
	(void)state;
	start();
	weft_lossy_set_path_down(&w.net, 0, 1, 5, WEFT_LOSSY_BLACKHOLE, true);
	for (uint16_t i = 0; i < 16; i++) {
		send_as(0, 1, i, 100, 0);
		send_as(1, 0, i, 100, 0);
	}
	run();
	assert_int_equal(w.len, 31);
	assert_int_equal(w.net.hits[WEFT_LOSSY_BLACKHOLE], 1);
	weft_lossy_set_path_down(&w.net, 0, 1, 5, WEFT_LOSSY_FLAP, false);
	send(5, 100);
	run();
	assert_int_equal(w.len, 32);
}

static void weft_lossy_set_path_grey__loses_a_share(void **state)
{
	(void)state;
	start();
	weft_lossy_set_path_grey(&w.net, 0, 1, 2, 500000);
	for (uint32_t i = 0; i < 400; i++)
		send((uint16_t)(2 + i % 2), 100);
	run();
	assert_in_range(w.len, 270, 330);
	assert_int_equal(w.net.hits[WEFT_LOSSY_GREY], 400 - w.len);
}

static void weft_lossy_set_path_slow__a_quarter(void **state)
{
	(void)state;
	start();
	weft_lossy_set_path_slow(&w.net, 0, 1, 2, 4);
	send(2, 1000);
	run();
	assert_int_equal(w.got[0].at, 1000 + 4000 + WEFT_US(10));
}

static void weft_lossy_set_blocked__one_direction(void **state)
{
	(void)state;
	start();
	weft_lossy_set_blocked(&w.net, 0, 1, WEFT_LOSSY_PARTITION, true);
	send_as(0, 1, 0, 100, 0);
	send_as(1, 0, 0, 100, 0);
	send_as(0, 2, 0, 100, 0);
	run();
	assert_int_equal(w.len, 2);
	assert_int_equal(w.net.hits[WEFT_LOSSY_PARTITION], 1);
}

static void weft_lossy_set_mtu__long_frames_vanish(void **state)
{
	(void)state;
	start();
	weft_lossy_set_mtu(&w.net, 1000);
	send(0, 1000);
	send(1, 1001);
	run();
	assert_int_equal(w.len, 1);
	assert_int_equal(w.net.hits[WEFT_LOSSY_MTU], 1);
}

static void weft_lossy_remap__is_a_permutation(void **state)
{
	uint32_t late = 0;

	(void)state;
	start();
	weft_lossy_remap(&w.net, 0, 1);
	weft_lossy_set_path_slow(&w.net, 0, 1, 7, 1000);
	for (uint16_t i = 0; i < 16; i++)
		send(i, 100);
	run();
	assert_int_equal(w.len, 16);
	for (uint32_t i = 0; i < 16; i++)
		late += w.got[i].at > WEFT_US(50);
	assert_int_equal(late, 1);
}

static void weft_lossy_set_scope__doses_elsewhere(void **state)
{
	(void)state;
	w.cfg.dose[WEFT_LOSSY_LOSS] = 1000000;
	start();
	weft_lossy_set_scope(&w.net, 0, 1, false);
	send_as(0, 1, 0, 100, 0);
	send_as(0, 2, 0, 100, 0);
	run();
	assert_int_equal(w.len, 1);
	assert_int_equal(w.got[0].to, 1);
}

static void weft_lossy_replay__frames_of_a_host(void **state)
{
	(void)state;
	w.cfg.record = true;
	start();
	send_as(0, 1, 0, 100, WEFT_LOSSY_KEEP);
	send_as(0, 2, 0, 101, WEFT_LOSSY_KEEP);
	run();
	weft_lossy_replay(&w.net, 1, w.q.now);
	run();
	assert_int_equal(w.len, 3);
	assert_int_equal(w.got[2].len, 100);
	assert_true(w.got[2].equal && !w.got[2].tampered);
	assert_true(w.got[2].id != w.got[2].origin);
}

static void weft_lossy_heal__everything(void **state)
{
	(void)state;
	for (uint32_t fault = 0; fault < WEFT_LOSSY_DOSES; fault++)
		w.cfg.dose[fault] = 500000;
	start();
	weft_lossy_set_blocked(&w.net, 0, 1, WEFT_LOSSY_CLOG, true);
	weft_lossy_set_path_down(&w.net, 0, 1, 5, WEFT_LOSSY_BLACKHOLE, true);
	weft_lossy_set_path_grey(&w.net, 0, 1, 6, 1000000);
	weft_lossy_set_mtu(&w.net, 10);
	weft_lossy_heal(&w.net);
	for (uint16_t i = 0; i < 16; i++)
		send(i, 200);
	run();
	assert_int_equal(w.len, 16);
	assert_int_equal(w.lost, 0);
}

static void weft_lossy__same_seed_same_run(void **state)
{
	static struct got first[MAX];
	uint32_t len = 0;

	(void)state;
	for (uint32_t round = 0; round < 2; round++) {
		setup(NULL);
		for (uint32_t fault = 0; fault < WEFT_LOSSY_DOSES; fault++)
			w.cfg.dose[fault] = 50000;
		w.cfg.jitter_max = WEFT_US(3);
		start();
		for (uint32_t i = 0; i < 1000; i++)
			send((uint16_t)(i % 16), 50 + i);
		run();
		if (!round) {
			memcpy(first, w.got, sizeof(first));
			len = w.len;
			teardown(NULL);
			continue;
		}
		assert_int_equal(w.len, len);
		for (uint32_t i = 0; i < len; i++) {
			assert_int_equal(w.got[i].at, first[i].at);
			assert_int_equal(w.got[i].id, first[i].id);
			assert_int_equal(w.got[i].origin, first[i].origin);
			assert_int_equal(w.got[i].len, first[i].len);
			assert_int_equal(w.got[i].first, first[i].first);
		}
	}
}

static void weft_lossy_fault_name__all_different(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < WEFT_LOSSY_FAULT_COUNT; i++) {
		assert_non_null(weft_lossy_fault_name(i));
		for (uint32_t k = 0; k < i; k++)
			assert_string_not_equal(weft_lossy_fault_name(i), weft_lossy_fault_name(k));
	}
	assert_string_equal(weft_lossy_fault_name(WEFT_LOSSY_FAULT_COUNT), "?");
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(weft_lossy_send__rate_and_latency),
		CASE(weft_lossy_send__path_is_fifo),
		CASE(weft_lossy_send__path_buffer),
		CASE(weft_lossy_send__port_is_shared),
		CASE(weft_lossy_send__trim),
		CASE(weft_lossy_send__ecn),
		CASE(weft_lossy_send__doses),
		CASE(weft_lossy_send__doses_by_class),
		CASE(weft_lossy_send__corruption_changes_its_part),
		CASE(weft_lossy_send__duplicates),
		CASE(weft_lossy_set_path_down__that_path_only),
		CASE(weft_lossy_set_path_grey__loses_a_share),
		CASE(weft_lossy_set_path_slow__a_quarter),
		CASE(weft_lossy_set_blocked__one_direction),
		CASE(weft_lossy_set_mtu__long_frames_vanish),
		CASE(weft_lossy_remap__is_a_permutation),
		CASE(weft_lossy_set_scope__doses_elsewhere),
		CASE(weft_lossy_replay__frames_of_a_host),
		CASE(weft_lossy_heal__everything),
		CASE(weft_lossy__same_seed_same_run),
		cmocka_unit_test(weft_lossy_fault_name__all_different),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
