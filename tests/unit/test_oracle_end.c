/* SPDX-License-Identifier: BSD-2-Clause */
/* The oracle about ends that are ordered: a request that its owner gives up, and the word of the network
 * that a peer is not there. See test_oracle.c. */
#include "hand.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
