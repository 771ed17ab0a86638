/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_SIM_ORACLE_STATE_H
#define WEFT_SIM_ORACLE_STATE_H

/* What the oracle remembers while it reads a trace. Private to the oracle's files: oracle.c judges work
 * requests, oracle_mem.c receives and memory, oracle_net.c frames. */
#include "sim/oracle.h"
#include "srd/srd.h"

#define ORACLE_HOSTS 16u
#define ORACLE_QPS   64u /* Per host and over all its incarnations. */
#define ORACLE_NIL   UINT32_MAX
#define ORACLE_KEY_BASE \
	0x100u /* Keys are dense from here on; anything else was never registered. */

struct oracle_wr {
	weft_ns posted_at, done_at;
	uint64_t addr;
	uint64_t snapshot; /* Hash of its target when that crashed. */
	uint32_t len, key, imm, rnr_retry;
	uint32_t inc; /* Incarnation of its initiator. */
	uint32_t delivered, rnr_claims, length_claims;
	uint16_t qpn, peer_qpn, flags;
	uint8_t host, peer, op, status;
	bool posted, done, has_snapshot;
	bool lonely; /* Neither end had anything else under way at its post. */
	uint32_t posts; /* Posts at both ends until then; equal at the end if there were no more. */
	bool orphan; /* Its initiator died: nothing is owed any more. */
	/* Its end was ordered, by its owner with this status or by the word that its peer is not there; from
	 * then on it has no other. */
	weft_ns ordered_at;
	bool cancelled, told;
	uint8_t cancel_status;
	bool left; /* Bytes of it were sent. */
};

struct oracle_qp {
	weft_ns gone_at, error_at; /* WEFT_NS_NEVER: not. error_at: end of the last error phase. */
	uint32_t inc;
	uint16_t qpn;
	bool in_error;
};

struct oracle_host {
	uint32_t inc;
	bool up, closing;
	weft_ns up_at;
	weft_ns changed_at; /* Last crash, begin of a close, or restart. */
	weft_ns jumped; /* How far its clock jumped ahead in all. */
	uint32_t open, posts; /* Requests from or to it: under way, and ever. */
	uint32_t qps;
	struct oracle_qp qp[ORACLE_QPS];
};

/* One direction: what `host` knows of `peer`. */
struct oracle_pair {
	weft_ns last_rx; /* Last original frame from the peer that the host processed. */
	weft_ns last_answer; /* The same, of those that answer something. */
	weft_ns asked_at; /* Since when data or probes for the peer have had no answer; 0: they have. */
	weft_ns gap_end; /* When a silence long enough to count as death last ended. */
	weft_ns proof_at; /* Post time of the latest request that succeeded. */
	weft_ns told_at; /* When the host was last told that the peer is not there; 0: never. */
	bool heard; /* The peer answered, in this incarnation. */
	bool maybe_heard; /* The same, if a copy, or a context that only the peer has, counts. */
	bool may_send; /* A frame of the peer was seen: data may follow. */
	bool spoke; /* It has sent more than handshake packets: it has, or had, a context. */
	bool lost; /* The context failed before in this incarnation of the host. */
	uint32_t epoch, peer_epoch; /* Of the incarnation that it sends under. */
	uint32_t open; /* Requests from the host to the peer. */
	uint32_t rests; /* How often there were none any more. */
};

/* What an answer to a HELLO offered: `host` would be `epoch` for whoever is `partner` at the peer. */
struct oracle_offer {
	uint32_t epoch, partner;
	uint8_t host, peer;
};

/* The newest ACK that came to `host` under one of its epochs. */
struct oracle_newest {
	uint64_t seq;
	uint32_t epoch;
	uint32_t rests; /* Of the pair when it came; UINT32_MAX when nothing was under way. */
	uint8_t host, peer;
	bool credit;
};

struct oracle_frame {
	uint64_t psn;
	uint32_t epoch;
	uint8_t type, head;
};

struct oracle_key {
	uint64_t addr;
	uint32_t len, inc;
	uint8_t host, access;
	bool known;
	weft_ns dereg_at;
};

enum oracle_recv_state {
	ORACLE_RECV_NONE,
	ORACLE_RECV_POSTED,
	ORACLE_RECV_CLAIMED,
	ORACLE_RECV_DONE
};

struct oracle_recv {
	uint32_t len, wr, inc;
	uint16_t qpn;
	uint8_t host, state;
};

struct oracle_psn {
	uint64_t psn;
	uint32_t epoch;
	uint32_t wr, off, value, copies;
	uint16_t path;
	uint8_t from, to;
	bool used, payload, is_told;
	weft_ns first_at;
};

struct oracle {
	struct weft_oracle_report *report;
	uint64_t param[WEFT_PARAM_COUNT];
	struct oracle_host host[ORACLE_HOSTS];
	struct oracle_pair pair[ORACLE_HOSTS][ORACLE_HOSTS];
	uint32_t busy[ORACLE_HOSTS][ORACLE_HOSTS]; /* Outstanding requests of an unordered pair. */
	weft_ns busy_since[ORACLE_HOSTS][ORACLE_HOSTS];
	bool widowed[ORACLE_HOSTS]
		    [ORACLE_HOSTS]; /* What was under way between them ended in failure. */
	weft_ns now, healed_at;
	bool healed, quiet;

	struct oracle_wr *wr; /* owns; by number */
	uint32_t wrs;
	uint32_t *by_addr; /* owns; hash of target addresses -> wr */
	uint32_t by_addr_mask;
	struct oracle_recv *recv; /* owns; by number */
	uint64_t recvs;
	struct oracle_key *key; /* owns; by number less ORACLE_KEY_BASE */
	uint32_t keys;
	struct oracle_frame *frame; /* owns; by number */
	uint64_t frames;
	struct oracle_offer *offer; /* owns */
	uint32_t offers, offers_max;
	struct oracle_newest *newest; /* owns */
	uint32_t newests;
	struct oracle_psn *psn; /* owns; hash */
	uint32_t psn_mask;

	uint64_t data_bytes, data_frames, rtx_bytes, rtx_frames;
	uint64_t lost_bytes, lost_control;
	struct {
		bool on, seen_loss;
		uint8_t host, peer;
		uint16_t path;
		weft_ns lost_at;
	} dark;
	struct {
		uint64_t sum, squares;
		uint32_t n;
	} jain[ORACLE_HOSTS];
};

__attribute__((format(printf, 4, 5))) void oracle_violation(struct oracle *o,
							    enum weft_invariant inv, uint32_t wr,
							    const char *fmt, ...);

/* NULL when that number was never used. */
struct oracle_wr *oracle_wr_get(struct oracle *o, uint32_t wr);
struct oracle_recv *oracle_recv_get(struct oracle *o, uint64_t id);
struct oracle_key *oracle_key_get(struct oracle *o, uint32_t key);
struct oracle_qp *oracle_qp_get(struct oracle *o, uint8_t host, uint16_t qpn);
struct oracle_wr *oracle_wr_at(struct oracle *o, uint64_t addr);
void oracle_wr_index(struct oracle *o, uint32_t wr);

/* A silence between two hosts, in either direction, that a dead-peer timer may have noticed. */
bool oracle_is_silent(const struct oracle *o, uint8_t a, uint8_t b);

/* Has `a` asked `b` for so long in vain that it may count it dead, whatever the applications want? */
bool oracle_is_unheard(const struct oracle *o, uint8_t a, uint8_t b);

/* One record each; false when the record is not theirs. */
bool oracle_on_mem(struct oracle *o, const struct weft_trace_rec *rec);
bool oracle_on_net(struct oracle *o, const struct weft_trace_rec *rec);
void oracle_net_end(struct oracle *o);

#endif
