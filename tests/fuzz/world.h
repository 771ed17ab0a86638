/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_TESTS_FUZZ_WORLD_H
#define WEFT_TESTS_FUZZ_WORLD_H

/* Two hosts, a network that does what it is told, and a naive oracle that knows of each work request what
 * may happen to it. The owner (a fuzz target) decides what happens next; every broken rule is a finding
 * the moment it shows. Message bytes follow from the number of the work request and the offset, so that
 * no buffers are needed to know what is right. */
#include "fuzz.h"
#include "srd/engine.h"

#define WORLD_WRS     96u
#define WORLD_QPS     3u /* QP numbers 1 .. 3. */
#define WORLD_RECVS   64u /* Receives of a host, over all its QPs. */
#define WORLD_SPARE   32u /* Of these, kept for the end, when there is always one. */
#define WORLD_FRAMES  256u /* Frames under way. */
#define WORLD_MUSEUM  64u /* Frames kept to be replayed later. */
#define WORLD_LEN_MAX 40000u

struct world_wr {
	struct weft_srd_wr wr;
	uint32_t inc; /* Of the initiator. */
	uint8_t host;
	bool posted, done;
	enum weft_srd_status status;
	weft_ns posted_at;
	uint64_t recv; /* Claimed for it; valid while `claimed`. */
	bool claimed;
	enum weft_srd_status ordered; /* How it has to end, now; OK: nobody has said. */
	bool sent; /* Bytes of it left. */
	uint32_t delivered;
	uint32_t rnr_said; /* What the target answered, so far. */
	bool qpn_said, length_said, address_said, refused;
	uint32_t placed; /* Bytes that are where they belong. */
	uint8_t *seen; /* owns; by byte: placed */
};

struct world_recv {
	uint16_t qpn;
	uint32_t len;
	bool posted, claimed;
	uint32_t wr; /* While claimed. */
};

struct world_host {
	struct weft_srd_cfg cfg;
	struct weft_srd *srd; /* owns */
	uint32_t peer, inc, key;
	bool in_post, closing;
	bool endless; /* There is always a receive. */
	bool refuse_reads; /* The local buffers of READs are gone. */
	bool qp_alive[WORLD_QPS + 1];
	bool qp_was_gone[WORLD_QPS + 1];
	bool heard; /* Anything intact arrived in this incarnation. */
	bool answered; /* Something arrived that only a live partner sends. */
	uint32_t newest_inc; /* Latest incarnation of the partner that had an effect here. */
	weft_ns began_at;
	struct world_recv recv[WORLD_RECVS];
};

struct world_frame {
	uint8_t from;
	uint32_t inc; /* Of the sender. */
	bool ce, trimmed;
	bool tampered; /* Its head is not what was sent: no effect of it may ever show. */
	uint32_t len, head_len;
	uint8_t data[];
};

struct world {
	weft_ns now;
	struct world_host host[2];
	struct world_wr wr[WORLD_WRS];
	uint32_t wrs;
	struct world_frame *frame[WORLD_FRAMES]; /* own; oldest first */
	uint32_t frames;
	struct world_frame *museum[WORLD_MUSEUM]; /* own */
	uint32_t museum_next;
	uint32_t events; /* Restarts, closes, QPs gone, lies: what explains an ABORT. */
	struct weft_srd_tx tx;
};

/* Sizes and options of both hosts come from the first bytes of the input. */
void world_init(struct world *w, struct fuzz_in *in);
void world_fini(struct world *w);

/* Post; a wrong argument or a full engine is no finding as long as the engine refuses it. */
void world_post(struct world *w, uint8_t host, const struct weft_srd_wr *wr);
void world_post_recvs(struct world *w, uint8_t host, uint16_t qpn, uint32_t count, uint32_t len);

/* Move at most `max` packets out of an engine into the network. Returns how many there were. */
uint32_t world_pump(struct world *w, uint8_t host, uint32_t max);

/* Frame n, modulo those under way. These do nothing when there are none. */
void world_deliver(struct world *w, uint32_t n);
void world_drop(struct world *w, uint32_t n);
void world_duplicate(struct world *w, uint32_t n);
void world_corrupt(struct world *w, uint32_t n, uint32_t at, uint8_t xor);
void world_trim(struct world *w, uint32_t n);
void world_mark(struct world *w, uint32_t n);
void world_replay(struct world *w, uint32_t n);
void world_deliver_all(struct world *w);

/* Time passes, and both engines are told. */
void world_advance(struct world *w, weft_ns by);
/* ... until the next deadline of either engine, at most `limit`. False when there is none. */
bool world_advance_to_deadline(struct world *w, weft_ns limit);

void world_qp_gone(struct world *w, uint8_t host, uint16_t qpn);
void world_qp_new(struct world *w, uint8_t host, uint16_t qpn);
void world_deregister(struct world *w, uint8_t host);
void world_close(struct world *w, uint8_t host);
void world_restart(struct world *w, uint8_t host);
/* Give up the n-th open work request, modulo those there are; or all of them and those that are done. */
void world_cancel(struct world *w, uint8_t host, uint32_t n);
void world_cancel_all(struct world *w, uint8_t host);
/* Tell it that the other one is not there, which is a lie. */
void world_unreachable(struct world *w, uint8_t host);

/* Recount both engines. */
void world_check(struct world *w);
/* Everything works from now on: all work requests must complete, and then nothing may be left in use. */
void world_finish(struct world *w);

#endif
