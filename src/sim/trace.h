/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_SIM_TRACE_H
#define WEFT_SIM_TRACE_H

/* What happened in a simulated run, seen from outside the engines: a list of records, a running hash over
 * them (the same seed must give the same hash everywhere), and a readable line for each on request.
 * The oracle judges a run by these records and nothing else. */
#include "base/types.h"

#include <stdio.h>

#define WEFT_TRACE_NO_WR UINT32_MAX

/* Each line names the fields that count beside `at` and `host`. */
enum weft_trace_kind {
	/* imm: enum weft_trace_param; addr: its value. */
	WEFT_TRACE_PARAM,
	/* imm: enum weft_trace_mark. */
	WEFT_TRACE_MARK,
	/* imm: fault; value: 1 begins, 0 ends; peer, path: where. */
	WEFT_TRACE_FAULT,
	/* value: incarnation, from 1. */
	WEFT_TRACE_HOST_UP,
	/* Crashed, with all it knew. */
	WEFT_TRACE_HOST_DOWN,
	WEFT_TRACE_CLOSE_BEGIN,
	WEFT_TRACE_CLOSE_END,
	/* qpn, in these three; QP_ERROR: it answers "no such QP" (value 1), or no longer (0). */
	WEFT_TRACE_QP_UP,
	WEFT_TRACE_QP_GONE,
	WEFT_TRACE_QP_ERROR,
	/* key, addr, len; flags: enum weft_trace_access. */
	WEFT_TRACE_MR_REG,
	/* key. */
	WEFT_TRACE_MR_DEREG,
	/* wr, peer, op, len, qpn, peer_qpn, key, addr, imm, value: rnr_retry, flags: enum
	 * weft_trace_wr_flags. */
	WEFT_TRACE_POST,
	/* wr, peer, status; hash: of the bytes at the target (WRITE) or here (READ). */
	WEFT_TRACE_COMPLETE,
	/* id: of the receive; qpn, len. */
	WEFT_TRACE_RECV_POST,
	/* peer, op, qpn: ours, peer_qpn, len, imm, wr: as it says itself, status; id if claimed. */
	WEFT_TRACE_CLAIM,
	/* id, wr, off, value: bytes, hash. */
	WEFT_TRACE_PLACE,
	/* id, peer, op, qpn, peer_qpn, len, imm, wr: as it says itself, hash. */
	WEFT_TRACE_RECV_DONE,
	/* id. */
	WEFT_TRACE_RECV_RELEASE,
	/* peer, op, qpn, peer_qpn, key, addr, len, off, value: bytes, hash, status. */
	WEFT_TRACE_WRITE,
	/* peer, key, addr, len, status. */
	WEFT_TRACE_READ_CHECK,
	/* wr, off, value: bytes, hash, status. */
	WEFT_TRACE_READ_PLACE,
	/* A frame leaves. id: its number, peer, path, len, flags: its class, op: packet type, head: the flags
	 * of its head, addr: PSN, or the epoch that a WELCOME offers, imm: epoch, hash: of the head, value:
	 * payload bytes. status 1: they are those of wr at off; status 2: those of the region key at off. */
	WEFT_TRACE_TX,
	/* id, host: from, peer: to, path, len, flags: class, imm: fault. */
	WEFT_TRACE_LOST,
	/* The engine gets a frame. id: of this copy, addr: of the original, peer: from, len, flags: enum
	 * weft_trace_rx. */
	WEFT_TRACE_RX,
	/* Right after new data was sent. peer, value: in flight, len: window, key: credit, off: slack,
	 * flags: 1 in credit mode. */
	WEFT_TRACE_SAMPLE,
	/* wr active, len msgs, off reads, key rx_msgs, imm chunks, value pieces, addr timers, id contexts. */
	WEFT_TRACE_USAGE,
	/* addr: data bytes sent, id: of them retransmitted, len: data packets, off: retransmitted ones,
	 * value: spurious ones, key: timeouts. */
	WEFT_TRACE_STATS,
	/* wr, hash: of its target range just before a crash wipes it. */
	WEFT_TRACE_SNAPSHOT,
	/* value: bytes changed outside every work request's range. */
	WEFT_TRACE_GUARD,
	/* host: receiver, peer: sender, addr: bytes delivered while all senders were busy. */
	WEFT_TRACE_GOODPUT,
	/* value: enum weft_trace_stuck. */
	WEFT_TRACE_STUCK,
	/* wr, peer, status: its owner wants it to end so, now. */
	WEFT_TRACE_CANCEL,
	/* peer: the network tells host that nobody is there, be it true or not. */
	WEFT_TRACE_NOBODY,
	WEFT_TRACE_KINDS,
};

enum weft_trace_param {
	WEFT_PARAM_SEED,
	WEFT_PARAM_HOSTS,
	WEFT_PARAM_PATHS,
	WEFT_PARAM_DEAD_AFTER,
	WEFT_PARAM_RTT, /* Longest undisturbed round trip, queues not counted. */
	WEFT_PARAM_RTO_MIN,
	WEFT_PARAM_RTO_MAX,
	WEFT_PARAM_WR_BOUND, /* Longest life of a work request. */
	WEFT_PARAM_HEAL_BOUND, /* Longest life of a work request after everything is healed. */
	WEFT_PARAM_FAULTY_HOSTS, /* Bit per host; requests between the others must not notice anything. */
	WEFT_PARAM_CHECK_RTX, /* 1: retransmitted bytes are bounded by lost bytes. */
	WEFT_PARAM_CHECK_SPURIOUS, /* 1: nothing was lost or late, so nothing is to be sent twice. */
	WEFT_PARAM_CHECK_JAIN, /* 1: GOODPUT records must be fair. */
	WEFT_PARAM_CHECK_PATH, /* 1: one path goes dark (FAULT record) in an else clean network. */
	WEFT_PARAM_CHECK_LATENCY, /* 1: a small request that nothing else disturbs takes one round trip. */
	WEFT_PARAM_FORGETFUL, /* 1: hosts have no room for all their peers at a time. */
	WEFT_PARAM_SCARCE, /* 1: few messages at a time can be partly received; one that waits holds up others. */
	WEFT_PARAM_PAYLOAD_MAX,
	WEFT_PARAM_PAYLOAD_MIN, /* Messages of up to this length are one packet, come what may. */
	WEFT_PARAM_CRC_HOSTS, /* Bit per host: demands payload checksums. */
	WEFT_PARAM_MTU, /* Smallest frame size at which frames vanish. */
	WEFT_PARAM_COUNT,
};

enum weft_trace_mark {
	WEFT_MARK_HEALED, /* No fault from here on. */
	WEFT_MARK_SETTLED, /* Every work request must be done by now. */
	WEFT_MARK_QUIET, /* Traffic ended long enough ago for all state to be gone. */
	WEFT_MARK_CLOSING, /* All engines are being closed. */
	WEFT_MARK_END,
};

enum weft_trace_access {
	WEFT_ACCESS_WRITE = 1,
	WEFT_ACCESS_READ = 2,
};

enum weft_trace_wr_flags {
	WEFT_WR_BAD_KEY = 1, /* Must fail with REMOTE_ADDRESS unless something else fails first. */
	WEFT_WR_BAD_QPN = 2, /* ... REMOTE_QPN. */
	WEFT_WR_REFUSED = 4, /* READ whose data the initiator itself refuses: INVALID_LKEY. */
	WEFT_WR_MUST = 8, /* Must succeed: posted when everything works. */
};

enum weft_trace_rx {
	WEFT_RX_TAMPERED = 1,
	WEFT_RX_TRIMMED = 2,
	WEFT_RX_CE = 4,
	WEFT_RX_STRANGER =
		8, /* Replayed or late: its sender's incarnation is gone, or it was recorded. */
};

enum weft_trace_stuck {
	WEFT_STUCK_EVENTS, /* The run needs too many events: something goes round in circles. */
	WEFT_STUCK_TIMER, /* on_timer leaves a deadline that has passed. */
	WEFT_STUCK_DRAIN, /* next_packet does not end. */
	WEFT_STUCK_REFUSED, /* Everything works, and yet requests are not accepted. */
};

struct weft_trace_rec {
	weft_ns at;
	uint64_t addr, id, hash;
	uint32_t wr, len, off, key, imm, value;
	uint16_t qpn, peer_qpn, path, flags;
	uint8_t kind, host, peer, op, status;
	uint8_t head;
	uint8_t zero[2]; /* Makes the padding visible, because records are hashed as bytes. */
};

struct weft_trace {
	struct weft_trace_rec *recs; /* owns */
	size_t len, cap;
	uint64_t hash;
	FILE *out; /* borrows; each record is printed here when not NULL */
	uint64_t t0; /* Printed times count from here. */
};

void weft_trace_init(struct weft_trace *t, FILE *out);
void weft_trace_fini(struct weft_trace *t);
void weft_trace_add(struct weft_trace *t, const struct weft_trace_rec *rec);

/* The same for records with a frame (TX, RX): its bytes are hashed and described too. */
void weft_trace_add_frame(struct weft_trace *t, const struct weft_trace_rec *rec,
			  const uint8_t *head, uint32_t head_len);

/* One line, without newline, into `buf`; always terminated. */
void weft_trace_describe(char *buf, size_t size, const struct weft_trace_rec *rec, weft_ns t0);
void weft_trace_describe_frame(char *buf, size_t size, const uint8_t *head, uint32_t len);

#endif
