/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_TESTS_HAND_H
#define WEFT_TESTS_HAND_H

/* Traces made by hand, for the tests of the oracle: two hosts, 0 and 1, with a QP and two regions each. What
 * host 0 posts goes to host 1. begin() opens their context; good() and bad() end the run and have it judged.
 * Each test program has a trace of its own. */
#include "sim/oracle.h"
#include "sim/pattern.h"
#include "srd/proto.h"
#include "srd/srd.h"
#include "wire/sim/lossy.h"

#include "unit.h"

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

static inline void add(struct weft_trace_rec rec)
{
	rec.at = now;
	weft_trace_add(&trace, &rec);
}

static inline void param(enum weft_trace_param which, uint64_t value)
{
	ADD(.kind = WEFT_TRACE_PARAM, .imm = which, .addr = value);
}

static inline void mark(enum weft_trace_mark what)
{
	ADD(.kind = WEFT_TRACE_MARK, .imm = what);
}

/* A frame without data that leaves, and may get lost. Returns its number. */
static inline uint64_t leave(uint8_t from, uint8_t type, uint8_t head, uint64_t number)
{
	uint64_t id = ++frames;

	ADD(.kind = WEFT_TRACE_TX, .host = from, .peer = !from, .id = id, .op = type, .len = 80,
	    .head = head, .addr = number, .imm = type == WEFT_PKT_HELLO ? 0 : EPOCH(!from),
	    .flags = WEFT_LOSSY_CONTROL, .wr = WEFT_TRACE_NO_WR);
	return id;
}

static inline void arrive(uint8_t from, uint64_t id)
{
	ADD(.kind = WEFT_TRACE_RX, .host = !from, .peer = from, .id = id, .addr = id, .len = 80);
}

/* One that arrives 5 us later. */
static inline void frame(uint8_t from, uint8_t type)
{
	uint64_t id = leave(from, type, 0, type == WEFT_PKT_ACK ? ++acks : EPOCH(from));

	now += WEFT_US(5);
	arrive(from, id);
}

static inline void data_on(uint8_t from, uint32_t wr, uint64_t psn, uint16_t path, bool rtx)
{
	uint64_t id = ++frames;

	ADD(.kind = WEFT_TRACE_TX, .host = from, .peer = !from, .id = id, .op = WEFT_PKT_DATA,
	    .len = 180, .flags = rtx ? WEFT_LOSSY_RTX : 0, .addr = psn, .imm = EPOCH(!from),
	    .wr = wr, .value = 100, .status = 1, .path = path);
	now += WEFT_US(5);
	ADD(.kind = WEFT_TRACE_RX, .host = !from, .peer = from, .id = id, .addr = id, .len = 180);
}

static inline void data(uint8_t from, uint32_t wr)
{
	data_on(from, wr, 1000 + wr, 3, false);
}

static inline void host_up(uint8_t host, uint32_t inc)
{
	ADD(.kind = WEFT_TRACE_HOST_UP, .host = host, .value = inc);
	ADD(.kind = WEFT_TRACE_QP_UP, .host = host, .qpn = host ? QPN_1 : QPN_0);
}

static inline void begin(void)
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

static inline void post_as(uint32_t wr, uint8_t op, uint32_t retry, uint16_t flags)
{
	ADD(.kind = WEFT_TRACE_POST, .host = 0, .peer = 1, .wr = wr, .op = op, .len = 100,
	    .qpn = QPN_0, .peer_qpn = QPN_1, .imm = wr, .value = retry, .flags = flags,
	    .key = op == WEFT_SRD_READ ? KEY_R : KEY_W,
	    .addr = (op == WEFT_SRD_READ ? BASE_R : BASE_W) + 128 * wr);
}

static inline void post(uint32_t wr, uint8_t op)
{
	post_as(wr, op, 7, 0);
}

static inline uint64_t pattern(uint32_t wr, uint32_t off, uint32_t len)
{
	return weft_sim_fill_hash(weft_sim_wr_stream(wr), off, len);
}

static inline void claim(uint32_t wr, uint8_t status)
{
	if (!status)
		ADD(.kind = WEFT_TRACE_RECV_POST, .host = 1, .qpn = QPN_1, .id = ++recvs,
		    .len = 8928);
	ADD(.kind = WEFT_TRACE_CLAIM, .host = 1, .peer = 0, .op = WEFT_SRD_SEND, .qpn = QPN_1,
	    .peer_qpn = QPN_0, .len = 100, .wr = wr, .id = recvs, .status = status);
}

static inline void place(uint32_t wr, uint32_t off, uint32_t len)
{
	ADD(.kind = WEFT_TRACE_PLACE, .host = 1, .id = recvs, .wr = wr, .off = off, .value = len,
	    .hash = pattern(wr, off, len));
}

static inline void done(uint32_t wr, uint64_t hash)
{
	ADD(.kind = WEFT_TRACE_RECV_DONE, .host = 1, .peer = 0, .op = WEFT_SRD_SEND, .qpn = QPN_1,
	    .peer_qpn = QPN_0, .len = 100, .wr = wr, .id = recvs, .hash = hash, .imm = wr);
}

static inline void deliver(uint32_t wr)
{
	data(0, wr);
	claim(wr, WEFT_SRD_OK);
	place(wr, 0, 100);
	done(wr, pattern(wr, 0, 100));
	frame(1, WEFT_PKT_ACK);
}

static inline void complete_with(uint32_t wr, uint8_t status, uint64_t hash)
{
	ADD(.kind = WEFT_TRACE_COMPLETE, .host = 0, .peer = 1, .wr = wr, .status = status,
	    .hash = hash);
}

static inline void complete(uint32_t wr, uint8_t status)
{
	complete_with(wr, status, 0);
}

static inline void write_piece(uint32_t wr, uint32_t off, uint32_t len, uint32_t key)
{
	ADD(.kind = WEFT_TRACE_WRITE, .host = 1, .peer = 0, .op = WEFT_SRD_WRITE, .qpn = QPN_1,
	    .peer_qpn = QPN_0, .key = key, .addr = BASE_W + 128 * wr, .len = 100, .off = off,
	    .value = len, .hash = pattern(wr, off, len));
}

static inline uint64_t read_hash(uint32_t wr, uint32_t off, uint32_t len)
{
	return weft_sim_fill_hash(weft_sim_mem_stream(KEY_R), 128 * wr + off, len);
}

static inline void read_piece(uint32_t wr, uint32_t off, uint32_t len)
{
	ADD(.kind = WEFT_TRACE_READ_PLACE, .host = 0, .wr = wr, .off = off, .value = len,
	    .hash = read_hash(wr, off, len));
}

static inline void send_ok(uint32_t wr)
{
	post(wr, WEFT_SRD_SEND);
	deliver(wr);
	complete(wr, WEFT_SRD_OK);
}

static inline void end(void)
{
	mark(WEFT_MARK_SETTLED);
	now += 4 * DEAD;
	mark(WEFT_MARK_QUIET);
	ADD(.kind = WEFT_TRACE_USAGE, .host = 0);
	ADD(.kind = WEFT_TRACE_GUARD, .host = 1);
	mark(WEFT_MARK_END);
	weft_oracle_check(&trace, &report);
}

static inline void good(void)
{
	end();
	if (report.count)
		fail_msg("%s: %s", weft_invariant_name(report.list[0].inv), report.list[0].text);
}

/* The run is judged bad, and for this reason among others. */
static inline void bad(enum weft_invariant inv)
{
	end();
	assert_true(report.count > 0);
	for (uint32_t i = 0; i < report.count && i < WEFT_ORACLE_KEEP; i++)
		if (report.list[i].inv == inv)
			return;
	fail_msg("%s where %s was due: %s", weft_invariant_name(report.list[0].inv),
		 weft_invariant_name(inv), report.list[0].text);
}

static inline int setup(void **state)
{
	(void)state;
	begin();
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	weft_trace_fini(&trace);
	return 0;
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
