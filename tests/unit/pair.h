/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_TESTS_PAIR_H
#define WEFT_TESTS_PAIR_H

/* Two engines (or up to four) and a wire between them, in virtual time: the bench on which the tests of
 * src/srd stand. The wire keeps a copy of every packet and asks rules and a hook what becomes of each.
 * The owners' callbacks are here too; they record what they are told and check on the way what must
 * always hold: bytes are the sender's, none is placed twice, nothing is completed twice or inside
 * weft_srd_on_post(), no receive is done before all of it is there.
 *
 * Each engine lives in a block of exactly weft_srd_size() bytes, so that ASan sees one byte too far. */
#include "srd/engine.h"

#define PAIR_ENDS_MAX 4u
#define PAIR_WRS_MAX  4096u
#define PAIR_RULES    16u

#define PAIR_QKEY 0x11110000u
#define PAIR_RKEY 0x2222u
#define PAIR_BASE 0x10000u /* Address of the first byte of each end's registered memory, */
#define PAIR_MEM  (1u << 21) /* which is this long. */

enum {
	PAIR_A,
	PAIR_B,
	PAIR_C,
	PAIR_D
};

enum pair_fate {
	PAIR_PASS,
	PAIR_DROP,
	PAIR_DUP, /* Arrives twice, the second copy right behind the first. */
	PAIR_HOLD, /* Stays on the wire until pair_deliver(). */
	PAIR_CORRUPT, /* Arrives with one bit of its last byte turned round. */
};

/* A packet as it left its sender, decoded. */
struct pair_pkt {
	weft_ns sent;
	weft_ns delay; /* A hook may change it ... */
	bool ce, trimmed; /* ... and these. */
	unsigned int from, to;
	uint16_t path;
	bool control;
	enum pair_fate fate;
	struct weft_hdr hdr;
	struct weft_op op; /* DATA */
	struct weft_ack ack; /* ACK */
	struct weft_hello hello; /* HELLO, WELCOME */
	uint32_t head_len, len, seg_max;
	uint8_t *frame; /* owns */
};

/* What becomes of packets that match. A mask of 0 means any. */
struct pair_rule {
	unsigned int from, types, ops,
		paths; /* Bit per end, packet type, operation, path below 32. */
	uint32_t longer_than; /* Frames of more bytes than this. */
	weft_ns since;
	uint32_t skip, count; /* Let so many pass first; then hit so many, 0 for all. */
	enum pair_fate fate;
	uint32_t seen, hits; /* Written by the wire. */
};

#define PAIR_BIT(n)  (1u << (n))
#define PAIR_T(name) (1u << WEFT_PKT_##name)
#define PAIR_O(name) (1u << WEFT_WIRE_##name)

struct pair_wr {
	struct weft_srd_wr wr;
	bool done;
	enum weft_srd_status status;
	weft_ns posted_at, done_at;
	uint32_t read_got;
	bool orphan; /* Its engine was restarted: nobody will complete it. */
};

struct pair_recv {
	struct weft_srd_msg_info info; /* Without gid. */
	uint8_t *have; /* One per byte placed; owns, until the end. */
	uint32_t placed;
	bool done, released;
	weft_ns claimed_at, ended_at;
};

struct pair;

struct pair_end {
	struct pair *pair;
	unsigned int id;
	struct weft_srd_cfg cfg;
	struct weft_srd *srd;
	uint32_t peer[PAIR_ENDS_MAX]; /* Handles of the others. */
	uint8_t *mem; /* Registered memory: pattern of this end, until written. */
	bool in_post;

	/* What this owner answers. 0 for the normal thing. */
	uint32_t recvs; /* Receives posted; UINT32_MAX without end. */
	uint32_t recv_len; /* Of each of them. */
	uint16_t dry_qpn, bad_qpn; /* QP without receives; QP that does not exist. */
	enum weft_srd_status claim_status, write_status, read_status, place_status;
	uint32_t read_checks_left; /* read_status counts after so many more checks. */

	struct pair_wr wr[PAIR_WRS_MAX];
	uint32_t wrs, done, failed;
	struct pair_recv *recv; /* owns */
	uint32_t recv_n, recv_cap, recv_done, recv_released;
	uint64_t write_bytes;
	uint32_t claims_refused;
};

struct pair_flight {
	weft_ns at;
	struct pair_flight *next;
	struct pair_pkt *pkt;
};

struct pair {
	weft_ns now;
	unsigned int ends;
	struct pair_end end[PAIR_ENDS_MAX];
	weft_ns delay; /* One way. */
	uint64_t port_bps; /* Speed at which packets reach each end; 0: at once. */
	weft_ns port_free[PAIR_ENDS_MAX];
	struct pair_rule rule[PAIR_RULES];
	uint32_t rules;
	enum pair_fate (*hook)(struct pair *p, struct pair_pkt *pkt);
	void *hook_arg;
	bool offline; /* Nothing is drained: packets stay in the engines. */
	struct pair_pkt **log; /* Every packet sent; owns. */
	uint32_t logged, log_cap;
	struct pair_flight *flight, *flight_tail;
};

/* Small pools, 16 paths, packets of 1024 bytes, no credits. `tune` may change it, for each end. */
typedef void pair_tune(struct weft_srd_cfg *cfg, unsigned int id);

struct pair *pair_open_at(unsigned int ends, pair_tune *tune, weft_ns start);
struct pair *pair_open(unsigned int ends, pair_tune *tune);
/* Two ends, in the middle of a conversation (pair_warm_up()). */
struct pair *pair_open_warm(pair_tune *tune);
void pair_close(struct pair *p);
/* The same, when both ends have come to rest (pair_expect_idle()). */
void pair_close_idle(struct pair *p);

/* The process of this end dies and comes back: a new engine with the same address. */
void pair_restart(struct pair *p, unsigned int id);

struct pair_rule *pair_rule(struct pair *p, struct pair_rule rule);
/* Forget all rules: from now on everything passes. */
void pair_heal(struct pair *p);

/* Post a work request; its place in end[id].wr is the cookie. Key, address, QP numbers, peer and
 * rnr_retry get defaults where they are 0; `imm` decides the bytes, and is the cookie where 0. */
int pair_try_post(struct pair *p, unsigned int id, struct weft_srd_wr wr, uint64_t *cookie_out);
uint64_t pair_post(struct pair *p, unsigned int id, enum weft_srd_op op, uint32_t len);
uint64_t pair_post_wr(struct pair *p, unsigned int id, struct weft_srd_wr wr);

/* Their owner gives a work request up, or hears from the network that nobody is there. */
void pair_cancel(struct pair *p, unsigned int id, uint64_t cookie, enum weft_srd_status status);
void pair_unreachable(struct pair *p, unsigned int id, unsigned int peer);
void pair_too_long(struct pair *p, unsigned int id, unsigned int peer, uint32_t payload_max);

/* Let time pass, to a point or until every work request is done (fails the test after a minute). */
void pair_run_to(struct pair *p, weft_ns until);
void pair_run(struct pair *p, weft_ns time);
void pair_settle(struct pair *p);
/* The same, and no work request of any end has failed. */
void pair_settle_ok(struct pair *p);
/* Take what the engines have to say, without moving time. */
void pair_drain(struct pair *p);

/* Hand a copy of a packet to the end that it was for, now. */
void pair_deliver(struct pair *p, const struct pair_pkt *pkt);
/* Deliver, in order, what rules held back, and heal. */
void pair_release(struct pair *p);
/* Any bytes, now; an end that does not read them drops them. */
void pair_inject(struct pair *p, unsigned int to, const uint8_t *frame, uint32_t len);
/* A sealed packet with this header; its length is filled in. `payload` goes behind a DATA head. */
void pair_forge(struct pair *p, unsigned int to, struct weft_hdr hdr, const void *body,
		uint32_t body_len, const void *payload, uint32_t payload_len);
/* The same with a DATA operation. */
void pair_forge_data(struct pair *p, unsigned int to, struct weft_hdr hdr, const struct weft_op *op,
		     const void *payload, uint32_t len);

/* Looks */
struct weft_ctx *pair_ctx(struct pair *p, unsigned int id, unsigned int peer);
struct weft_active *pair_active(struct pair *p, unsigned int id, unsigned int peer);
const struct weft_srd_stats *pair_stats(const struct pair *p, unsigned int id);
struct weft_srd_peer_info pair_info(struct pair *p, unsigned int id, unsigned int peer);
/* The n-th (from 0) packet in the log that `like` matches by its masks and `since`, or NULL. */
const struct pair_pkt *pair_find(const struct pair *p, struct pair_rule like, uint32_t n);
uint32_t pair_count(const struct pair *p, struct pair_rule like);
/* Header for a packet that `from` might send to `to` over the open context. */
struct weft_hdr pair_hdr(struct pair *p, unsigned int from, unsigned int to, uint8_t type);

void pair_expect(struct pair *p, unsigned int id, uint64_t cookie, enum weft_srd_status status);
void pair_expect_open(struct pair *p, unsigned int id, uint64_t cookie);
/* Both ends come to rest: nothing is in use any more but contexts, and no timer runs. */
void pair_expect_idle(struct pair *p);
/* Open the context in both directions by one small message, and rest until nothing is in flight. */
void pair_warm_up(struct pair *p);

/* The last packets of the log, for whoever looks for the reason of a failure. */
void pair_print(const struct pair *p, uint32_t last);

uint8_t pair_byte(uint32_t imm, uint32_t off);
uint8_t pair_mem_byte(unsigned int id, uint64_t addr);

#endif
