/* SPDX-License-Identifier: BSD-2-Clause */
/* Has the oracle teeth? A hand-made trace of a good run passes; each test then breaks one thing and the
 * invariant that forbids it must speak. Two hosts, 0 and 1, with a QP and two regions each. */
#include "sim/oracle.h"

#include "sim/fault.h"
#include "sim/pattern.h"
#include "srd/proto.h"
#include "srd/srd.h"

#include "unit.h"

#include <string.h>

#define QPN_0  257u
#define QPN_1  258u
#define KEY_W  0x100u /* Of host 1, for WRITEs. */
#define KEY_R  0x101u /* Of host 1, for READs. */
#define BASE_W 0x10000u
#define BASE_R 0x90000u
#define DEAD   WEFT_MS(100)

/* Epoch of each host; both are below all PSNs here. */
#define EPOCH(host) ((host) ? 77u : 1000u)

static struct weft_trace trace;
static struct weft_oracle_report report;
static weft_ns now;
static uint64_t frames, recvs, acks;

#define ADD(...) add((struct weft_trace_rec){ __VA_ARGS__ })

static void add(struct weft_trace_rec rec)
{
	rec.at = now;
	weft_trace_add(&trace, &rec);
}

static void param(enum weft_trace_param which, uint64_t value)
{
	ADD(.kind = WEFT_TRACE_PARAM, .imm = which, .addr = value);
}

static void mark(enum weft_trace_mark what)
{
	ADD(.kind = WEFT_TRACE_MARK, .imm = what);
}

/* A frame without data that leaves, and may get lost. Returns its number. */
static uint64_t leave(uint8_t from, uint8_t type, uint8_t head, uint64_t number)
{
	uint64_t id = ++frames;

	ADD(.kind = WEFT_TRACE_TX, .host = from, .peer = !from, .id = id, .op = type, .len = 80,
	    .head = head, .addr = number, .imm = type == WEFT_PKT_HELLO ? 0 : EPOCH(!from),
	    .flags = WEFT_LOSSY_CONTROL, .wr = WEFT_TRACE_NO_WR);
	return id;
}

static void arrive(uint8_t from, uint64_t id)
{
	ADD(.kind = WEFT_TRACE_RX, .host = !from, .peer = from, .id = id, .addr = id, .len = 80);
}

/* One that arrives 5 us later. */
static void frame(uint8_t from, uint8_t type)
{
	uint64_t id = leave(from, type, 0, type == WEFT_PKT_ACK ? ++acks : EPOCH(from));

	now += WEFT_US(5);
	arrive(from, id);
}

static void data_on(uint8_t from, uint32_t wr, uint64_t psn, uint16_t path, bool rtx)
{
	uint64_t id = ++frames;

	ADD(.kind = WEFT_TRACE_TX, .host = from, .peer = !from, .id = id, .op = WEFT_PKT_DATA,
	    .len = 180, .flags = rtx ? WEFT_LOSSY_RTX : 0, .addr = psn, .imm = EPOCH(!from),
	    .wr = wr, .value = 100, .status = 1, .path = path);
	now += WEFT_US(5);
	ADD(.kind = WEFT_TRACE_RX, .host = !from, .peer = from, .id = id, .addr = id, .len = 180);
}

static void data(uint8_t from, uint32_t wr)
{
	data_on(from, wr, 1000 + wr, 3, false);
}

static void host_up(uint8_t host, uint32_t inc)
{
	ADD(.kind = WEFT_TRACE_HOST_UP, .host = host, .value = inc);
	ADD(.kind = WEFT_TRACE_QP_UP, .host = host, .qpn = host ? QPN_1 : QPN_0);
}

static void begin(void)
{
	weft_trace_fini(&trace);
	weft_trace_init(&trace, NULL);
	now = WEFT_US(1);
	frames = recvs = acks = 0;
	param(WEFT_PARAM_PATHS, 16);
	param(WEFT_PARAM_DEAD_AFTER, DEAD);
	param(WEFT_PARAM_RTT, WEFT_US(10));
	param(WEFT_PARAM_RTO_MIN, WEFT_US(100));
	param(WEFT_PARAM_WR_BOUND, WEFT_S(1));
	param(WEFT_PARAM_HEAL_BOUND, WEFT_MS(10));
	param(WEFT_PARAM_PAYLOAD_MAX, 4096);
	param(WEFT_PARAM_PAYLOAD_MIN, 4096);
	host_up(0, 1);
	host_up(1, 1);
	ADD(.kind = WEFT_TRACE_MR_REG, .host = 1, .key = KEY_W, .addr = BASE_W, .len = 4096,
	    .flags = WEFT_ACCESS_WRITE);
	ADD(.kind = WEFT_TRACE_MR_REG, .host = 1, .key = KEY_R, .addr = BASE_R, .len = 4096,
	    .flags = WEFT_ACCESS_READ);
	frame(0, WEFT_PKT_HELLO);
	frame(1, WEFT_PKT_WELCOME);
}

static void post_as(uint32_t wr, uint8_t op, uint32_t retry, uint16_t flags)
{
	ADD(.kind = WEFT_TRACE_POST, .host = 0, .peer = 1, .wr = wr, .op = op, .len = 100,
	    .qpn = QPN_0, .peer_qpn = QPN_1, .imm = wr, .value = retry, .flags = flags,
	    .key = op == WEFT_SRD_READ ? KEY_R : KEY_W,
	    .addr = (op == WEFT_SRD_READ ? BASE_R : BASE_W) + 128 * wr);
}

static void post(uint32_t wr, uint8_t op)
{
	post_as(wr, op, 7, 0);
}

static uint64_t pattern(uint32_t wr, uint32_t off, uint32_t len)
{
	return weft_sim_fill_hash(weft_sim_wr_stream(wr), off, len);
}

static void claim(uint32_t wr, uint8_t status)
{
	if (!status)
		ADD(.kind = WEFT_TRACE_RECV_POST, .host = 1, .qpn = QPN_1, .id = ++recvs,
		    .len = 8928);
	ADD(.kind = WEFT_TRACE_CLAIM, .host = 1, .peer = 0, .op = WEFT_SRD_SEND, .qpn = QPN_1,
	    .peer_qpn = QPN_0, .len = 100, .wr = wr, .id = recvs, .status = status);
}

static void place(uint32_t wr, uint32_t off, uint32_t len)
{
	ADD(.kind = WEFT_TRACE_PLACE, .host = 1, .id = recvs, .wr = wr, .off = off, .value = len,
	    .hash = pattern(wr, off, len));
}

static void done(uint32_t wr, uint64_t hash)
{
	ADD(.kind = WEFT_TRACE_RECV_DONE, .host = 1, .peer = 0, .op = WEFT_SRD_SEND, .qpn = QPN_1,
	    .peer_qpn = QPN_0, .len = 100, .wr = wr, .id = recvs, .hash = hash, .imm = wr);
}

static void deliver(uint32_t wr)
{
	data(0, wr);
	claim(wr, WEFT_SRD_OK);
	place(wr, 0, 100);
	done(wr, pattern(wr, 0, 100));
	frame(1, WEFT_PKT_ACK);
}

static void complete_with(uint32_t wr, uint8_t status, uint64_t hash)
{
	ADD(.kind = WEFT_TRACE_COMPLETE, .host = 0, .peer = 1, .wr = wr, .status = status,
	    .hash = hash);
}

static void complete(uint32_t wr, uint8_t status)
{
	complete_with(wr, status, 0);
}

static void write_piece(uint32_t wr, uint32_t off, uint32_t len, uint32_t key)
{
	ADD(.kind = WEFT_TRACE_WRITE, .host = 1, .peer = 0, .op = WEFT_SRD_WRITE, .qpn = QPN_1,
	    .peer_qpn = QPN_0, .key = key, .addr = BASE_W + 128 * wr, .len = 100, .off = off,
	    .value = len, .hash = pattern(wr, off, len));
}

static uint64_t read_hash(uint32_t wr, uint32_t off, uint32_t len)
{
	return weft_sim_fill_hash(weft_sim_mem_stream(KEY_R), 128 * wr + off, len);
}

static void read_piece(uint32_t wr, uint32_t off, uint32_t len)
{
	ADD(.kind = WEFT_TRACE_READ_PLACE, .host = 0, .wr = wr, .off = off, .value = len,
	    .hash = read_hash(wr, off, len));
}

static void send_ok(uint32_t wr)
{
	post(wr, WEFT_SRD_SEND);
	deliver(wr);
	complete(wr, WEFT_SRD_OK);
}

static void end(void)
{
	mark(WEFT_MARK_SETTLED);
	now += 4 * DEAD;
	mark(WEFT_MARK_QUIET);
	ADD(.kind = WEFT_TRACE_USAGE, .host = 0);
	ADD(.kind = WEFT_TRACE_GUARD, .host = 1);
	mark(WEFT_MARK_END);
	weft_oracle_check(&trace, &report);
}

static void good(void)
{
	end();
	if (report.count)
		fail_msg("%s: %s", weft_invariant_name(report.list[0].inv), report.list[0].text);
}

/* The run is judged bad, and for this reason among others. */
static void bad(enum weft_invariant inv)
{
	end();
	assert_true(report.count > 0);
	for (uint32_t i = 0; i < report.count && i < WEFT_ORACLE_KEEP; i++)
		if (report.list[i].inv == inv)
			return;
	fail_msg("%s where %s was due: %s", weft_invariant_name(report.list[0].inv),
		 weft_invariant_name(inv), report.list[0].text);
}

static int setup(void **state)
{
	(void)state;
	begin();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	weft_trace_fini(&trace);
	return 0;
}

static void weft_oracle__good_run(void **state)
{
	(void)state;
	send_ok(0);
	post(1, WEFT_SRD_WRITE);
	write_piece(1, 0, 60, KEY_W);
	write_piece(1, 60, 40, KEY_W);
	complete_with(1, WEFT_SRD_OK, pattern(1, 0, 100));
	post(2, WEFT_SRD_READ);
	read_piece(2, 0, 100);
	complete_with(2, WEFT_SRD_OK, read_hash(2, 0, 100));
	good();
	assert_int_equal(report.messages, 3);
	assert_int_equal(report.packets, 4);
}

static void weft_oracle__delivered_twice(void **state)
{
	(void)state;
	post(0, WEFT_SRD_SEND);
	deliver(0);
	deliver(0);
	complete(0, WEFT_SRD_OK);
	bad(WEFT_I1);
}

static void weft_oracle__delivered_again_after_success(void **state)
{
	(void)state;
	send_ok(0);
	claim(0, WEFT_SRD_OK);
	place(0, 0, 100);
	done(0, pattern(0, 0, 100));
	bad(WEFT_I1);
}

static void weft_oracle__delivered_again_after_restart(void **state)
{
	(void)state;
	post(0, WEFT_SRD_SEND);
	deliver(0);
	ADD(.kind = WEFT_TRACE_HOST_DOWN, .host = 1);
	host_up(1, 2);
	claim(0, WEFT_SRD_OK);
	place(0, 0, 100);
	done(0, pattern(0, 0, 100));
	complete(0, WEFT_SRD_ABORT);
	bad(WEFT_I1);
}

static void weft_oracle__written_after_success(void **state)
{
	(void)state;
	post(0, WEFT_SRD_WRITE);
	write_piece(0, 0, 100, KEY_W);
	complete_with(0, WEFT_SRD_OK, pattern(0, 0, 100));
	write_piece(0, 0, 100, KEY_W);
	bad(WEFT_I1);
}

static void weft_oracle__success_without_delivery(void **state)
{
	(void)state;
	post(0, WEFT_SRD_SEND);
	complete(0, WEFT_SRD_OK);
	bad(WEFT_I2);
}

static void weft_oracle__success_before_delivery(void **state)
{
	(void)state;
	post(0, WEFT_SRD_SEND);
	complete(0, WEFT_SRD_OK);
	deliver(0);
	bad(WEFT_I2);
}

static void weft_oracle__other_bytes_delivered(void **state)
{
	(void)state;
	post(0, WEFT_SRD_SEND);
	data(0, 0);
	claim(0, WEFT_SRD_OK);
	place(0, 0, 100);
	done(0, pattern(1, 0, 100));
	complete(0, WEFT_SRD_OK);
	bad(WEFT_I2);
}

static void weft_oracle__write_incomplete(void **state)
{
	(void)state;
	post(0, WEFT_SRD_WRITE);
	write_piece(0, 0, 60, KEY_W);
	complete_with(0, WEFT_SRD_OK, 12345);
	bad(WEFT_I2);
}

static void weft_oracle__write_lost_in_crash_is_fine(void **state)
{
	(void)state;
	post(0, WEFT_SRD_WRITE);
	write_piece(0, 0, 100, KEY_W);
	ADD(.kind = WEFT_TRACE_SNAPSHOT, .host = 1, .wr = 0, .hash = pattern(0, 0, 100));
	ADD(.kind = WEFT_TRACE_HOST_DOWN, .host = 1);
	host_up(1, 2);
	complete_with(0, WEFT_SRD_OK, 12345);
	good();
}

static void weft_oracle__read_wrong_bytes(void **state)
{
	(void)state;
	post(0, WEFT_SRD_READ);
	read_piece(0, 0, 100);
	complete_with(0, WEFT_SRD_OK, read_hash(1, 0, 100));
	bad(WEFT_I2);
}

static void weft_oracle__never_completed(void **state)
{
	(void)state;
	post(0, WEFT_SRD_SEND);
	now += WEFT_S(2);
	bad(WEFT_I3);
}

static void weft_oracle__completed_twice(void **state)
{
	(void)state;
	send_ok(0);
	complete(0, WEFT_SRD_OK);
	bad(WEFT_I3);
}

static void weft_oracle__completed_late(void **state)
{
	(void)state;
	post(0, WEFT_SRD_SEND);
	now += WEFT_S(2);
	deliver(0);
	complete(0, WEFT_SRD_OK);
	bad(WEFT_I3);
}

static void weft_oracle__close_completes_all(void **state)
{
	(void)state;
	post(0, WEFT_SRD_SEND);
	ADD(.kind = WEFT_TRACE_CLOSE_BEGIN, .host = 0);
	ADD(.kind = WEFT_TRACE_CLOSE_END, .host = 0);
	bad(WEFT_I3);
}

/* Owners have their buffers back at once. */
static void weft_oracle__flushed_late(void **state)
{
	(void)state;
	for (uint32_t late = 0; late < 2; late++) {
		for (uint32_t closes = 0; closes < 2; closes++) {
			begin();
			post(0, WEFT_SRD_SEND);
			ADD(.kind = closes ? WEFT_TRACE_CLOSE_BEGIN : WEFT_TRACE_QP_GONE, .host = 0,
			    .qpn = QPN_0);
			now += late;
			complete(0, WEFT_SRD_FLUSHED);
			if (closes)
				ADD(.kind = WEFT_TRACE_CLOSE_END, .host = 0);
			if (late)
				bad(WEFT_I3);
			else
				good();
		}
	}
}

/* Each status in a run in which nothing happened that could lead to it. */
static void weft_oracle__errors_without_cause(void **state)
{
	static const uint8_t statuses[] = {
		WEFT_SRD_FLUSHED,       WEFT_SRD_INVALID_LKEY,
		WEFT_SRD_LOCAL_LENGTH,  WEFT_SRD_REMOTE_ADDRESS,
		WEFT_SRD_ABORT,         WEFT_SRD_REMOTE_QPN,
		WEFT_SRD_RNR,           WEFT_SRD_REMOTE_LENGTH,
		WEFT_SRD_REMOTE_STATUS, WEFT_SRD_UNRESPONSIVE,
		WEFT_SRD_UNREACHABLE,   WEFT_SRD_FEATURE_MISMATCH,
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(statuses); i++) {
		begin();
		param(WEFT_PARAM_FAULTY_HOSTS, UINT64_MAX);
		post_as(0, WEFT_SRD_SEND, 3, 0);
		complete(0, statuses[i]);
		bad(WEFT_I4);
	}
}

static void weft_oracle__rnr_after_all_tries(void **state)
{
	(void)state;
	post_as(0, WEFT_SRD_SEND, 1, 0);
	claim(0, WEFT_SRD_RNR);
	claim(0, WEFT_SRD_RNR);
	complete(0, WEFT_SRD_RNR);
	good();
}

static void weft_oracle__rnr_given_up_early(void **state)
{
	(void)state;
	post_as(0, WEFT_SRD_SEND, 2, 0);
	claim(0, WEFT_SRD_RNR);
	claim(0, WEFT_SRD_RNR);
	complete(0, WEFT_SRD_RNR);
	bad(WEFT_I4);
}

static void weft_oracle__rnr_tried_too_often(void **state)
{
	(void)state;
	post_as(0, WEFT_SRD_SEND, 0, 0);
	claim(0, WEFT_SRD_RNR);
	claim(0, WEFT_SRD_RNR);
	complete(0, WEFT_SRD_RNR);
	bad(WEFT_I4);
}

static void weft_oracle__dead_peer(void **state)
{
	(void)state;
	post(0, WEFT_SRD_SEND);
	now += DEAD;
	complete(0, WEFT_SRD_UNRESPONSIVE);
	good();
}

static void weft_oracle__dead_peer_never_answered(void **state)
{
	(void)state;
	post(0, WEFT_SRD_SEND);
	now += DEAD;
	complete(0, WEFT_SRD_UNREACHABLE);
	bad(WEFT_I4);
}

static void weft_oracle__dead_peer_answered_meanwhile(void **state)
{
	(void)state;
	post(0, WEFT_SRD_SEND);
	now += DEAD / 2;
	frame(0, WEFT_PKT_PROBE);
	frame(1, WEFT_PKT_ACK);
	now += DEAD / 2;
	complete(0, WEFT_SRD_UNRESPONSIVE);
	bad(WEFT_I4);
}

static void weft_oracle__abort_by_restart(void **state)
{
	(void)state;
	send_ok(0);
	ADD(.kind = WEFT_TRACE_HOST_DOWN, .host = 1);
	host_up(1, 2);
	post(1, WEFT_SRD_SEND);
	complete(1, WEFT_SRD_ABORT);
	good();
}

static void weft_oracle__abort_though_context_is_new(void **state)
{
	(void)state;
	ADD(.kind = WEFT_TRACE_HOST_DOWN, .host = 1);
	host_up(1, 2);
	now += WEFT_US(10);
	send_ok(0);
	post(1, WEFT_SRD_SEND);
	complete(1, WEFT_SRD_ABORT);
	bad(WEFT_I4);
}

/* The peer has no word that its last answer to a READ came, and gives up. */
static void weft_oracle__abort_by_peer_unheard(void **state)
{
	(void)state;
	for (uint32_t heard = 0; heard < 2; heard++) {
		begin();
		post(0, WEFT_SRD_READ);
		frame(1, WEFT_PKT_PROBE);
		read_piece(0, 0, 100);
		complete_with(0, WEFT_SRD_OK, read_hash(0, 0, 100));
		if (heard)
			frame(0, WEFT_PKT_ACK);
		now += DEAD;
		post(1, WEFT_SRD_SEND);
		data(0, 1);
		complete(1, WEFT_SRD_ABORT);
		if (heard)
			bad(WEFT_I4);
		else
			good();
	}
}

static void weft_oracle__bad_key_accepted(void **state)
{
	(void)state;
	post_as(0, WEFT_SRD_WRITE, 7, WEFT_WR_BAD_KEY);
	complete_with(0, WEFT_SRD_OK, pattern(0, 0, 100));
	bad(WEFT_I4);
}

static void weft_oracle__refused_and_delivered(void **state)
{
	(void)state;
	post(0, WEFT_SRD_SEND);
	ADD(.kind = WEFT_TRACE_QP_GONE, .host = 1, .qpn = QPN_1);
	complete(0, WEFT_SRD_REMOTE_QPN);
	deliver(0);
	bad(WEFT_I4);
}

static void weft_oracle__write_out_of_range(void **state)
{
	(void)state;
	post(0, WEFT_SRD_WRITE);
	write_piece(0, 60, 60, KEY_W);
	complete_with(0, WEFT_SRD_OK, pattern(0, 0, 100));
	bad(WEFT_I5);
}

static void weft_oracle__write_after_dereg(void **state)
{
	(void)state;
	post(0, WEFT_SRD_WRITE);
	ADD(.kind = WEFT_TRACE_MR_DEREG, .host = 1, .key = KEY_W);
	write_piece(0, 0, 100, KEY_W);
	complete_with(0, WEFT_SRD_OK, pattern(0, 0, 100));
	bad(WEFT_I5);
}

static void weft_oracle__write_nobody_asked_for(void **state)
{
	(void)state;
	write_piece(5, 0, 100, KEY_W);
	bad(WEFT_I5);
}

static void weft_oracle__read_after_dereg(void **state)
{
	(void)state;
	post(0, WEFT_SRD_READ);
	ADD(.kind = WEFT_TRACE_MR_DEREG, .host = 1, .key = KEY_R);
	ADD(.kind = WEFT_TRACE_TX, .host = 1, .peer = 0, .id = ++frames, .op = WEFT_PKT_DATA,
	    .status = 2, .key = KEY_R, .value = 100, .wr = WEFT_TRACE_NO_WR);
	complete(0, WEFT_SRD_REMOTE_ADDRESS);
	bad(WEFT_I5);
}

static void weft_oracle__sends_from_completed_buffer(void **state)
{
	(void)state;
	send_ok(0);
	data_on(0, 0, 1000, 4, true);
	bad(WEFT_I5);
}

static void weft_oracle__receive_never_released(void **state)
{
	(void)state;
	post(0, WEFT_SRD_SEND);
	data(0, 0);
	claim(0, WEFT_SRD_OK);
	now += DEAD;
	complete(0, WEFT_SRD_UNRESPONSIVE);
	bad(WEFT_I5);
}

static void weft_oracle__place_after_release(void **state)
{
	(void)state;
	post(0, WEFT_SRD_SEND);
	data(0, 0);
	claim(0, WEFT_SRD_OK);
	ADD(.kind = WEFT_TRACE_RECV_RELEASE, .host = 1, .id = recvs, .wr = 0);
	place(0, 0, 100);
	now += DEAD;
	complete(0, WEFT_SRD_UNRESPONSIVE);
	bad(WEFT_I5);
}

static void weft_oracle__guard_bytes(void **state)
{
	(void)state;
	ADD(.kind = WEFT_TRACE_GUARD, .host = 1, .value = 3);
	bad(WEFT_I5);
}

static void weft_oracle__clean_pair_fails(void **state)
{
	(void)state;
	param(WEFT_PARAM_FAULTY_HOSTS, 1u << 2);
	post(0, WEFT_SRD_SEND);
	now += DEAD;
	complete(0, WEFT_SRD_UNRESPONSIVE);
	bad(WEFT_I6);
}

static void weft_oracle__window(void **state)
{
	(void)state;
	ADD(.kind = WEFT_TRACE_SAMPLE, .host = 0, .peer = 1, .value = 14000, .len = 10000,
	    .off = 4176);
	good();
	begin();
	ADD(.kind = WEFT_TRACE_SAMPLE, .host = 0, .peer = 1, .value = 14177, .len = 10000,
	    .off = 4176);
	bad(WEFT_I7);
}

static void weft_oracle__credit_overdrawn(void **state)
{
	(void)state;
	ADD(.kind = WEFT_TRACE_SAMPLE, .host = 0, .peer = 1, .len = 10000, .off = 4176, .flags = 1,
	    .key = (uint32_t)-5000);
	bad(WEFT_I7);
}

/* The newest ACK decides, not the one that came last; and not one that found nothing under way. */
static void weft_oracle__credit_against_newest_ack(void **state)
{
	(void)state;
	for (uint32_t row = 0; row < 6; row++) {
		uint64_t older, newer;

		begin();
		if (row < 4)
			post(0, WEFT_SRD_SEND);
		frame(0, WEFT_PKT_PROBE);
		older = leave(1, WEFT_PKT_ACK, row & 1 ? WEFT_PKT_F_CREDIT : 0, 1);
		newer = leave(1, WEFT_PKT_ACK, row & 1 ? 0 : WEFT_PKT_F_CREDIT, 2);
		arrive(1, newer);
		arrive(1, older);
		if (row >= 4)
			post(0, WEFT_SRD_SEND);
		ADD(.kind = WEFT_TRACE_SAMPLE, .host = 0, .peer = 1, .len = 10000,
		    .flags = (row & 2) != 0);
		deliver(0);
		complete(0, WEFT_SRD_OK);
		if (row == 0 || row == 3)
			bad(WEFT_I7);
		else
			good();
	}
}

static void weft_oracle__storm(void **state)
{
	(void)state;
	param(WEFT_PARAM_CHECK_RTX, 1);
	post(0, WEFT_SRD_SEND);
	data(0, 0);
	for (uint16_t i = 0; i < 1000; i++)
		data_on(0, 0, 1000, 4 + i % 12, true);
	deliver(1);
	claim(0, WEFT_SRD_OK);
	place(0, 0, 100);
	done(0, pattern(0, 0, 100));
	complete(0, WEFT_SRD_OK);
	bad(WEFT_I8);
}

static void weft_oracle__spurious(void **state)
{
	(void)state;
	param(WEFT_PARAM_CHECK_SPURIOUS, 1);
	post(0, WEFT_SRD_SEND);
	data_on(0, 0, 1000, 3, false);
	for (uint16_t i = 0; i < 3; i++)
		data_on(0, 0, 1000, 4 + i, true);
	claim(0, WEFT_SRD_OK);
	place(0, 0, 100);
	done(0, pattern(0, 0, 100));
	complete(0, WEFT_SRD_OK);
	bad(WEFT_I8);
}

static void weft_oracle__same_path_again(void **state)
{
	(void)state;
	post(0, WEFT_SRD_SEND);
	data_on(0, 0, 1000, 3, false);
	data_on(0, 0, 1000, 3, true);
	claim(0, WEFT_SRD_OK);
	place(0, 0, 100);
	done(0, pattern(0, 0, 100));
	complete(0, WEFT_SRD_OK);
	bad(WEFT_I8);
}

static void weft_oracle__slow_after_healing(void **state)
{
	(void)state;
	post(0, WEFT_SRD_SEND);
	mark(WEFT_MARK_HEALED);
	now += WEFT_MS(20);
	deliver(0);
	complete(0, WEFT_SRD_OK);
	bad(WEFT_I9);
}

static void weft_oracle__stuck_after_healing(void **state)
{
	(void)state;
	post(0, WEFT_SRD_SEND);
	mark(WEFT_MARK_HEALED);
	now += WEFT_MS(20);
	bad(WEFT_I9);
}

static void weft_oracle__must_succeed(void **state)
{
	(void)state;
	mark(WEFT_MARK_HEALED);
	post_as(0, WEFT_SRD_SEND, 7, WEFT_WR_MUST);
	complete(0, WEFT_SRD_ABORT);
	bad(WEFT_I9);
}

static void weft_oracle__dark_path_in_use(void **state)
{
	(void)state;
	param(WEFT_PARAM_CHECK_PATH, 1);
	ADD(.kind = WEFT_TRACE_FAULT, .imm = WEFT_LOSSY_BLACKHOLE, .host = 0, .peer = 1, .path = 3,
	    .value = 1);
	ADD(.kind = WEFT_TRACE_LOST, .imm = WEFT_LOSSY_BLACKHOLE, .host = 0, .peer = 1, .path = 3,
	    .len = 180);
	now += WEFT_US(100);
	send_ok(0);
	now += WEFT_US(40);
	post(1, WEFT_SRD_SEND);
	deliver(1);
	complete(1, WEFT_SRD_OK);
	bad(WEFT_I10);
}

static void shares(const uint64_t *bytes, uint8_t n)
{
	param(WEFT_PARAM_CHECK_JAIN, 1);
	for (uint8_t i = 0; i < n; i++)
		ADD(.kind = WEFT_TRACE_GOODPUT, .host = 0, .peer = 1 + i, .addr = bytes[i]);
}

static void weft_oracle__fair(void **state)
{
	static const uint64_t equal[] = { 1000000, 1200000, 900000, 1100000 };
	static const uint64_t unequal[] = { 1000000, 3000000, 900000, 400000 };

	(void)state;
	shares(equal, 4);
	good();
	begin();
	shares(unequal, 4);
	bad(WEFT_I11);
}

static void weft_oracle__left_in_use(void **state)
{
	(void)state;
	mark(WEFT_MARK_QUIET);
	ADD(.kind = WEFT_TRACE_USAGE, .host = 1, .imm = 1);
	bad(WEFT_I12);
}

static void weft_oracle__psn_used_twice(void **state)
{
	(void)state;
	post(0, WEFT_SRD_SEND);
	post(1, WEFT_SRD_SEND);
	data_on(0, 0, 1000, 3, false);
	data_on(0, 1, 1000, 4, false);
	bad(WEFT_I13);
}

static void weft_oracle__psn_with_other_bytes(void **state)
{
	(void)state;
	post(0, WEFT_SRD_SEND);
	post(1, WEFT_SRD_SEND);
	data_on(0, 0, 1000, 3, false);
	data_on(0, 1, 1000, 4, true);
	bad(WEFT_I13);
}

static void weft_oracle__data_before_handshake(void **state)
{
	(void)state;
	ADD(.kind = WEFT_TRACE_HOST_DOWN, .host = 0);
	host_up(0, 2);
	post(0, WEFT_SRD_SEND);
	data(0, 0);
	bad(WEFT_I13);
}

static void weft_oracle__epoch_offered_twice(void **state)
{
	(void)state;
	frame(1, WEFT_PKT_WELCOME);
	good();
	begin();
	ADD(.kind = WEFT_TRACE_TX, .host = 1, .peer = 0, .id = ++frames, .op = WEFT_PKT_WELCOME,
	    .addr = EPOCH(1), .imm = EPOCH(0) + 1, .flags = WEFT_LOSSY_CONTROL);
	bad(WEFT_I13);
}

static void weft_oracle__epoch_of_another_offer(void **state)
{
	(void)state;
	ADD(.kind = WEFT_TRACE_HOST_DOWN, .host = 0);
	host_up(0, 2);
	/* The old WELCOME was for another epoch than the one with which these PSNs begin. */
	arrive(1, frames);
	post(0, WEFT_SRD_SEND);
	data_on(0, 0, EPOCH(0) + ((uint64_t)1 << 30), 3, false);
	bad(WEFT_I13);
}

static void weft_oracle__checksum_missing(void **state)
{
	(void)state;
	param(WEFT_PARAM_CRC_HOSTS, 1);
	send_ok(0);
	good();
	begin();
	param(WEFT_PARAM_CRC_HOSTS, 2);
	send_ok(0);
	bad(WEFT_I2);
}

static void weft_oracle__hang(void **state)
{
	(void)state;
	ADD(.kind = WEFT_TRACE_STUCK, .value = WEFT_STUCK_EVENTS);
	bad(WEFT_HANG);
}

static void cancel(uint32_t wr, uint8_t status)
{
	ADD(.kind = WEFT_TRACE_CANCEL, .host = 0, .peer = 1, .wr = wr, .status = status);
}

static void tell(uint8_t host)
{
	ADD(.kind = WEFT_TRACE_NOBODY, .host = host, .peer = !host);
}

/* What is cancelled ends at once and as ordered; what was on its way may still arrive, once. */
static void weft_oracle__cancelled(void **state)
{
	(void)state;
	post(0, WEFT_SRD_SEND);
	data(0, 0);
	cancel(0, WEFT_SRD_INVALID_LKEY);
	complete(0, WEFT_SRD_INVALID_LKEY);
	cancel(0, WEFT_SRD_FLUSHED);
	claim(0, WEFT_SRD_OK);
	place(0, 0, 100);
	done(0, pattern(0, 0, 100));
	send_ok(1);
	cancel(1, WEFT_SRD_FLUSHED);
	good();
}

static void weft_oracle__cancelled_twice(void **state)
{
	(void)state;
	post(0, WEFT_SRD_SEND);
	cancel(0, WEFT_SRD_FLUSHED);
	complete(0, WEFT_SRD_FLUSHED);
	cancel(0, WEFT_SRD_FLUSHED);
	complete(0, WEFT_SRD_FLUSHED);
	bad(WEFT_I3);
}

static void weft_oracle__cancelled_late(void **state)
{
	(void)state;
	post(0, WEFT_SRD_SEND);
	cancel(0, WEFT_SRD_FLUSHED);
	now += 1;
	complete(0, WEFT_SRD_FLUSHED);
	bad(WEFT_I3);
}

static void weft_oracle__cancelled_and_ended_otherwise(void **state)
{
	static const uint8_t rows[] = { WEFT_SRD_OK, WEFT_SRD_ABORT, WEFT_SRD_INVALID_LKEY };

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		begin();
		post(0, WEFT_SRD_SEND);
		deliver(0);
		cancel(0, WEFT_SRD_FLUSHED);
		complete(0, rows[i]);
		bad(WEFT_I4);
	}
}

/* Waiting for a receive is no excuse any more. */
static void weft_oracle__cancelled_and_waits(void **state)
{
	(void)state;
	post(0, WEFT_SRD_SEND);
	claim(0, WEFT_SRD_RNR);
	cancel(0, WEFT_SRD_FLUSHED);
	bad(WEFT_I3);
}

static void weft_oracle__cancelled_read_is_placed(void **state)
{
	(void)state;
	post(0, WEFT_SRD_READ);
	cancel(0, WEFT_SRD_FLUSHED);
	complete(0, WEFT_SRD_FLUSHED);
	read_piece(0, 0, 100);
	bad(WEFT_I5);
}

static void weft_oracle__cancelled_and_delivered_twice(void **state)
{
	(void)state;
	post(0, WEFT_SRD_SEND);
	cancel(0, WEFT_SRD_FLUSHED);
	complete(0, WEFT_SRD_FLUSHED);
	deliver(0);
	deliver(0);
	bad(WEFT_I1);
}

/* Nobody there: 8, or 9 if nothing had left; and afterwards everything may work. */
static void weft_oracle__told(void **state)
{
	(void)state;
	send_ok(0);
	post(1, WEFT_SRD_SEND);
	data(0, 1);
	post(2, WEFT_SRD_SEND);
	post(3, WEFT_SRD_SEND);
	tell(0);
	complete(1, WEFT_SRD_ABORT);
	complete(2, WEFT_SRD_ABORT);
	complete(3, WEFT_SRD_REMOTE_QPN);
	post(4, WEFT_SRD_SEND);
	complete(4, WEFT_SRD_ABORT);
	send_ok(5);
	good();
}

static void weft_oracle__told_and_ended_otherwise(void **state)
{
	static const uint8_t rows[] = { WEFT_SRD_OK, WEFT_SRD_FLUSHED, WEFT_SRD_UNREACHABLE,
					WEFT_SRD_REMOTE_QPN };

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		begin();
		post(0, WEFT_SRD_SEND);
		deliver(0);
		tell(0);
		complete(0, rows[i]);
		bad(WEFT_I4);
	}
}

static void weft_oracle__told_and_late(void **state)
{
	(void)state;
	post(0, WEFT_SRD_SEND);
	tell(0);
	now += 1;
	complete(0, WEFT_SRD_ABORT);
	bad(WEFT_I3);
}

static void weft_oracle__told_and_forgotten(void **state)
{
	(void)state;
	post(0, WEFT_SRD_SEND);
	claim(0, WEFT_SRD_RNR);
	tell(0);
	bad(WEFT_I3);
}

static void weft_oracle__told_of_clean_host(void **state)
{
	(void)state;
	param(WEFT_PARAM_FAULTY_HOSTS, 4);
	post(0, WEFT_SRD_SEND);
	tell(0);
	complete(0, WEFT_SRD_ABORT);
	bad(WEFT_I6);
}

/* The peer was told of us: what is on its way to it may end with 8, until something has succeeded. */
static void weft_oracle__peer_was_told(void **state)
{
	(void)state;
	for (uint32_t proof = 0; proof < 2; proof++) {
		begin();
		post(0, WEFT_SRD_SEND);
		data(0, 0);
		tell(1);
		complete(0, WEFT_SRD_ABORT);
		now += WEFT_US(1);
		if (proof)
			send_ok(1);
		post(2, WEFT_SRD_SEND);
		complete(2, WEFT_SRD_ABORT);
		if (proof)
			bad(WEFT_I4);
		else
			good();
	}
}

static void weft_trace__hash_sees_every_field(void **state)
{
	uint64_t before;

	(void)state;
	for (size_t i = 0; i < sizeof(struct weft_trace_rec); i++) {
		struct weft_trace_rec rec;

		memset(&rec, 0, sizeof(rec));
		begin();
		weft_trace_add(&trace, &rec);
		before = trace.hash;
		begin();
		((uint8_t *)&rec)[i] ^= 1;
		weft_trace_add(&trace, &rec);
		assert_true(trace.hash != before);
	}
}

static void weft_sim_fill__hash_of_any_slice(void **state)
{
	uint8_t buf[300], one;

	(void)state;
	for (uint64_t off = 0; off < 40; off++) {
		for (size_t len = 0; len < 200; len += 1 + len / 20) {
			weft_sim_fill(77, off, buf, len);
			assert_true(weft_sim_hash(buf, len) == weft_sim_fill_hash(77, off, len));
			for (size_t i = 0; i < len; i++) {
				weft_sim_fill(77, off + i, &one, 1);
				assert_int_equal(one, buf[i]);
			}
		}
	}
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(weft_oracle__good_run),
		CASE(weft_oracle__delivered_twice),
		CASE(weft_oracle__delivered_again_after_success),
		CASE(weft_oracle__delivered_again_after_restart),
		CASE(weft_oracle__written_after_success),
		CASE(weft_oracle__success_without_delivery),
		CASE(weft_oracle__success_before_delivery),
		CASE(weft_oracle__other_bytes_delivered),
		CASE(weft_oracle__write_incomplete),
		CASE(weft_oracle__write_lost_in_crash_is_fine),
		CASE(weft_oracle__read_wrong_bytes),
		CASE(weft_oracle__never_completed),
		CASE(weft_oracle__completed_twice),
		CASE(weft_oracle__completed_late),
		CASE(weft_oracle__close_completes_all),
		CASE(weft_oracle__flushed_late),
		CASE(weft_oracle__errors_without_cause),
		CASE(weft_oracle__rnr_after_all_tries),
		CASE(weft_oracle__rnr_given_up_early),
		CASE(weft_oracle__rnr_tried_too_often),
		CASE(weft_oracle__dead_peer),
		CASE(weft_oracle__dead_peer_never_answered),
		CASE(weft_oracle__dead_peer_answered_meanwhile),
		CASE(weft_oracle__abort_by_restart),
		CASE(weft_oracle__abort_though_context_is_new),
		CASE(weft_oracle__abort_by_peer_unheard),
		CASE(weft_oracle__bad_key_accepted),
		CASE(weft_oracle__refused_and_delivered),
		CASE(weft_oracle__write_out_of_range),
		CASE(weft_oracle__write_after_dereg),
		CASE(weft_oracle__write_nobody_asked_for),
		CASE(weft_oracle__read_after_dereg),
		CASE(weft_oracle__sends_from_completed_buffer),
		CASE(weft_oracle__receive_never_released),
		CASE(weft_oracle__place_after_release),
		CASE(weft_oracle__guard_bytes),
		CASE(weft_oracle__clean_pair_fails),
		CASE(weft_oracle__window),
		CASE(weft_oracle__credit_overdrawn),
		CASE(weft_oracle__credit_against_newest_ack),
		CASE(weft_oracle__storm),
		CASE(weft_oracle__spurious),
		CASE(weft_oracle__same_path_again),
		CASE(weft_oracle__slow_after_healing),
		CASE(weft_oracle__stuck_after_healing),
		CASE(weft_oracle__must_succeed),
		CASE(weft_oracle__dark_path_in_use),
		CASE(weft_oracle__fair),
		CASE(weft_oracle__left_in_use),
		CASE(weft_oracle__psn_used_twice),
		CASE(weft_oracle__psn_with_other_bytes),
		CASE(weft_oracle__data_before_handshake),
		CASE(weft_oracle__epoch_offered_twice),
		CASE(weft_oracle__epoch_of_another_offer),
		CASE(weft_oracle__checksum_missing),
		CASE(weft_oracle__hang),
		CASE(weft_oracle__cancelled),
		CASE(weft_oracle__cancelled_twice),
		CASE(weft_oracle__cancelled_late),
		CASE(weft_oracle__cancelled_and_ended_otherwise),
		CASE(weft_oracle__cancelled_and_waits),
		CASE(weft_oracle__cancelled_read_is_placed),
		CASE(weft_oracle__cancelled_and_delivered_twice),
		CASE(weft_oracle__told),
		CASE(weft_oracle__told_and_ended_otherwise),
		CASE(weft_oracle__told_and_late),
		CASE(weft_oracle__told_and_forgotten),
		CASE(weft_oracle__told_of_clean_host),
		CASE(weft_oracle__peer_was_told),
		CASE(weft_trace__hash_sees_every_field),
		CASE(weft_sim_fill__hash_of_any_slice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
