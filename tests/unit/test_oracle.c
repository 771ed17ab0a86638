/* SPDX-License-Identifier: BSD-2-Clause */
/* Has the oracle teeth? A hand-made trace of a good run passes; each test then breaks one thing and the
 * invariant that forbids it must speak. Two hosts, 0 and 1, with a QP and two regions each. */
#include "hand.h"

#include "sim/fault.h"

#include <string.h>

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

/* One packet may be tried for longer than it takes a silent peer to be dead, if others of its peer's get through: with
 * time between the tries. */
static void weft_oracle__tried_often(void **state)
{
	static const struct row {
		uint32_t copies, gap_ms;
		bool good;
	} rows[] = { { 144, 1, true }, { 145, 2, false }, { 145, 5, true }, { 300, 3, false } };

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		begin();
		param(WEFT_PARAM_RTO_MAX, WEFT_MS(5));
		post(0, WEFT_SRD_SEND);
		data(0, 0);
		for (uint32_t n = 0; n < rows[i].copies; n++) {
			now += WEFT_MS(rows[i].gap_ms);
			data_on(0, 0, 1000, 4 + n % 12, true);
		}
		claim(0, WEFT_SRD_OK);
		place(0, 0, 100);
		done(0, pattern(0, 0, 100));
		complete(0, WEFT_SRD_OK);
		if (rows[i].good)
			good();
		else
			bad(WEFT_I8);
	}
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
		CASE(weft_oracle__tried_often),
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
		CASE(weft_trace__hash_sees_every_field),
		CASE(weft_sim_fill__hash_of_any_slice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
