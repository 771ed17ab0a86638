/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_SRD_ENGINE_H
#define WEFT_SRD_ENGINE_H

/* The engine from inside: its structs, and what its files offer each other. One noun per file:
 *
 *	srd.c     the public face: set-up, dispatch of packets and timers, the order of what is sent
 *	ctx.c     contexts: stubs, active blocks, deadlines, failure and idleness
 *	hs.c      handshake: HELLO, WELCOME, RESET, FIN
 *	msg.c     work requests from post to completion; receiver-not-ready
 *	txw.c     the send window: PSNs, packets in flight, building data packets
 *	ack.c     acknowledgements, made and used
 *	loss.c    which packets are lost, and when to stop waiting
 *	path.c    which path the next packet takes
 *	cc.c      how many bytes may be in flight
 *	rx.c      data packets received
 *	credit.c  the receiver's answer to an incast
 *
 * A context has two parts. The stub (struct weft_ctx) exists for every known peer and is all that an
 * idle one costs. The active block (struct weft_active, with its path table) exists while traffic is
 * under way in either direction. A packet in flight costs one struct weft_entry from a shared pool. */
#include "base/assert.h"
#include "base/prng.h"
#include "srd/proto.h"
#include "srd/srd.h"

#include <assert.h>

#define WEFT_NIL      UINT32_MAX /* No index. */
#define WEFT_SLOT_NIL UINT16_MAX
#define WEFT_SPAN \
	960u /* PSNs between the oldest open one and the next: the window less the
                                   * word that ACK bitmaps lose to alignment. */
#define WEFT_CHUNK   32u /* Entries are taken from the pool in chunks of this many. */
#define WEFT_CHUNKS  (WEFT_SRD_WINDOW / WEFT_CHUNK)
#define WEFT_WORDS   (WEFT_SRD_WINDOW / 64)
#define WEFT_RECYCLE 8u /* Entropies remembered as good. */
#define WEFT_CROWD   8u /* What so few active contexts touch is not worth giving back. */

/* One packet in flight. Its PSN follows from its place in the window. */
struct weft_entry {
	weft_ns tx_ns; /* Last transmission. */
	uint32_t msg; /* Index of its message; NIL once that is gone: resend as VOID. */
	uint32_t off;
	uint16_t len;
	uint16_t next, prev; /* Slots (PSN modulo window) in the list that `state` names. */
	uint16_t ev;
	uint8_t state; /* enum weft_entry_state. */
	uint8_t tries; /* Transmissions so far, saturating. */
	uint8_t voided; /* Sent as VOID at least once: the answer tells which copy won. */
	uint8_t kind; /* enum weft_wire_op. */
	uint8_t attempt; /* Of its message: see "Receiver not ready". */
	uint8_t code; /* RESP without payload: the status that ends the READ. */
	uint16_t reserved;
};
static_assert(sizeof(struct weft_entry) <= 32, "a packet in flight costs at most 32 bytes");

enum weft_entry_state {
	WEFT_ENTRY_FREE, /* Resolved, or never used. */
	WEFT_ENTRY_FLYING, /* On list `fly`, oldest transmission first. */
	WEFT_ENTRY_LOST, /* On list `lost`, waiting to be sent again. */
};

struct weft_chunk {
	struct weft_entry e[WEFT_CHUNK];
};

/* Enough to tell the order of packets that left in the same moment: they are less than WEFT_SPAN apart. */
#define WEFT_PATH_PSN_BITS 13

/* One path towards a peer. */
struct weft_path {
	uint32_t srtt_ns;
	/* Transmission time (16 ns) of the latest packet known to have arrived. */
	uint32_t acked_ts;
	uint32_t probe_ts; /* When it was last probed, in units of 1024 ns. */
	uint32_t inflight: 10; /* Packets: WEFT_SPAN at most. */
	uint32_t penalty: 4; /* Visits of the round-robin to skip, 0 to 15. */
	uint32_t flags: 5; /* WEFT_PATH_*. */
	uint32_t acked_psn : WEFT_PATH_PSN_BITS; /* Low bits, of the packet of acked_ts. */
};
static_assert(sizeof(struct weft_path) == 16, "path");

#define WEFT_PATH_OUT   0x01u /* Not in use until a probe comes back. */
#define WEFT_PATH_SEEN  0x02u /* acked_ts and srtt_ns are valid. */
#define WEFT_PATH_GOOD  0x04u /* Acknowledged something and lost nothing since. */
#define WEFT_PATH_ROUND 0x08u /* Sampled in this round of congestion control ... */
#define WEFT_PATH_ABOVE 0x10u /* ... and its latest delay was above target. */

struct weft_rx_echo {
	uint32_t tx_ts;
	uint32_t rx_ns; /* Low bits of the arrival time. */
	uint16_t ev, psn;
	bool ce, trimmed, probe;
};

struct weft_slots {
	uint16_t head, tail;
};

struct weft_msgq {
	uint32_t head, tail;
};

/* A context with traffic under way. */
struct weft_active {
	uint32_t ctx; /* Whose. */
	uint32_t next_free;

	struct {
		uint64_t next, una; /* Next PSN to use; oldest one not resolved. */
		uint64_t acked[WEFT_WORDS]; /* Resolved PSNs at or above una. */
		uint16_t chunk[WEFT_CHUNKS]; /* Window slot / 32 -> chunk in the pool. */
		struct weft_slots fly, lost;
		uint32_t inflight_bytes; /* Of flying entries, heads included. */
		uint16_t fly_pkts, lost_pkts;
		uint32_t lost_bytes;
		uint64_t unsent; /* Payload bytes accepted, never sent or to be sent anew. */
		struct weft_msgq sendq;
		struct weft_msgq rnr; /* Leaders, then followers: see "Receiver not ready". */
		uint32_t all_head; /* Every message of this context. */
		uint32_t reads_waiting;
		uint32_t quantum; /* Bytes the message at the head may still send in its turn. */
		uint16_t single; /* Payload that one datagram carries, as far as we know now. */
		uint32_t rack_ts; /* Latest transmission (16 ns) known to have arrived. */
		uint64_t ack_seq_bits; /* Which of the 64 ACKs up to the newest were used. */
		uint16_t dups_seen;
		bool owe_una; /* The peer holds drop codes that we have resolved. */
		bool rack_valid, dups_valid;
		bool rnr_turn; /* The next turn is a leader's, not the send queue's. */
	} tx;

	struct {
		uint64_t bits[WEFT_WORDS]; /* Received PSNs at or above ctx->rx_cum. */
		uint64_t top; /* One more than the highest received. */
		uint32_t newest_ts; /* Latest tx_ts seen: orders the peer's pull values. */
		weft_ns newest_at; /* When that arrived. */
		struct weft_rx_echo echo[WEFT_PROTO_ECHOES];
		uint8_t refused[WEFT_SRD_WINDOW /
				2]; /* A nibble per PSN: why it was refused; see ack.c. */
		uint64_t refused_top; /* One more than the highest refused PSN. */
		uint64_t peer_una; /* The peer knows all refusals below. */
		uint64_t list_from; /* Where the next ACK begins to list them. */
		uint16_t dups;
		uint16_t ack_pkts;
		uint32_t ack_bytes;
		uint32_t msgs; /* Partly received messages. */
		uint8_t echoes;
		uint8_t answers; /* Data that soon followed an ACKREQ, in a row; saturating. */
		bool asked; /* An ACKREQ came, and no data has gone out since. */
		bool held; /* An ACK waits for data to travel with. */
		bool rides; /* The next packet is that ACK, right behind its data. */
		bool ack_now;
		bool cut_short; /* The last ACK had no room for all refusals. */
		uint16_t ack_path;
		weft_ns asked_at;
	} rx;

	struct {
		uint32_t mask, turn; /* Permuted round-robin: position `turn` xor `mask`. */
		uint16_t recycled[WEFT_RECYCLE];
		uint8_t recycled_len;
		uint16_t out; /* Paths marked OUT. */
		uint16_t burst_ev;
		uint32_t burst_left;
		weft_ns frozen_until;
	} lb;

	struct {
		uint32_t cwnd;
		uint32_t avg_delay; /* Smoothed queueing delay of unmarked and marked alike, ns. */
		weft_ns srtt, rttvar;
		weft_ns peak_rtt, round_peak; /* Longest round trip lately; of this round. */
		weft_ns base_rtt; /* Smallest round trip of the last one or two windows ... */
		weft_ns base_next,
			base_at; /* ... of which this is the current one's, begun then. */
		weft_ns round_at; /* When this round began. */
		uint32_t round_acked, round_sent, round_lost;
		uint16_t round_seen, round_above; /* Paths. */
		bool credit_mode, base_known;
		uint32_t credit_used; /* Bytes sent in credit mode since the context opened. */
	} cc;

	struct {
		weft_ns ack, loss, tail, rnr, probe, retry;
	} at; /* Deadlines; NEVER when off. */

	weft_ns last_heard, last_progress, last_tx, last_probe;
	weft_ns rto_from; /* Progress, the last timeout, or the end of idleness. */
	uint8_t rto_count; /* Timeouts since the last progress. */
	uint8_t tlp_done; /* A tail probe is out since the last progress. */
	uint8_t quiet_probes; /* Keep-alive probes since last_heard. */
	uint8_t heard_rtos; /* Timeouts in a row with a probe's answer in between. */
	uint8_t reo_mult; /* Patience factor after spurious retransmissions. */
	uint8_t reo_left; /* Recoveries until it goes back to 1. */
	bool probe_now; /* A keep-alive probe is to be sent. */
	bool probe_echoed; /* A probe came back since the last timeout. */
};
static_assert(sizeof(struct weft_active) + 64 * sizeof(struct weft_path) <= 2560,
	      "an active context with 64 paths costs at most 2.5 KB");

enum weft_ctx_state {
	/* FREE -> CLOSED (address known) -> HELLO (ours is out) -> OPEN -> CLOSED (failure, reset, peer's
	 * FIN) or FIN (ours is out) -> CLOSED. A passive open goes CLOSED -> OPEN; see hs.c. */
	WEFT_CTX_FREE,
	WEFT_CTX_CLOSED,
	WEFT_CTX_HELLO,
	WEFT_CTX_OPEN,
	WEFT_CTX_FIN,
};

#define WEFT_CTX_F_ANSWERED \
	0x01u /* The peer has answered at least once: 13, not 15, when it dies. */
#define WEFT_CTX_F_READY    0x02u /* On the ready ring. */
#define WEFT_CTX_F_HELLO    0x04u /* A HELLO is to be sent. */
#define WEFT_CTX_F_WELCOME  0x08u
#define WEFT_CTX_F_FIN      0x10u
#define WEFT_CTX_F_PEER_CRC 0x20u /* The peer demands payload checksums. */
#define WEFT_CTX_F_PEND_CRC 0x40u /* ... in the HELLO that we answered. */
#define WEFT_CTX_F_DEMAND   0x80u /* On the pacer's list. */

#define WEFT_TRAINS_ON   0x01u /* Packets may travel in several datagrams ... */
#define WEFT_TRAINS_PEND 0x02u /* ... by the HELLO that we answered. */

/* What is kept of a peer while nothing is under way. */
struct weft_ctx {
	struct weft_gid gid;
	uint64_t rx_cum; /* Every PSN below was received. */
	uint64_t tx_next; /* Next PSN to use; valid while there is no active block. */
	uint64_t ack_seq; /* Number of the last ACK that we sent. */
	uint64_t ack_seq_seen; /* Number of the newest ACK that we got. */
	uint32_t heap_pos; /* Of its deadline; NIL when not armed. */
	uint32_t active; /* NIL when idle. */
	uint32_t hash_next;
	uint32_t ready_next;
	uint32_t epoch, peer_epoch, peer_ctx;
	/* A HELLO that we answered; see hs.c. */
	uint32_t pend_epoch, pend_peer_epoch, pend_peer_ctx;
	uint32_t pend_at; /* When that answer was chosen, units of 1024 ns. */
	uint32_t srtt_ns; /* Carried over idle times. */
	/* Units of 1024 ns. Handshake: time of the next try. OPEN: of the last rest. */
	uint32_t hs_at;
	uint16_t refs;
	/* Payload that one datagram carries, by the handshake; and of packets at present (see "Trains"). */
	uint16_t agreed, payload;
	uint16_t pend_payload;
	uint16_t granted; /* Quanta, modulo 2^16: credits that we gave. */
	uint16_t peer_pull; /* What the peer last asked for. */
	uint16_t credit_got; /* Quanta: credits given to us. */
	uint16_t credit_used; /* Quanta; valid while there is no active block. */
	uint8_t state; /* enum weft_ctx_state. */
	uint8_t flags; /* WEFT_CTX_F_*. */
	uint8_t hs_tries;
	uint8_t trains; /* WEFT_TRAINS_*. */
};
static_assert(sizeof(struct weft_ctx) <= 120, "an idle context costs at most 120 bytes");

/* The deadline of a context, in the heap: never later than the true one. */
struct weft_alarm {
	weft_ns at;
	uint32_t ctx;
};

enum weft_msg_where {
	WEFT_MSG_FREE,
	WEFT_MSG_SENDQ, /* Has something to send. */
	WEFT_MSG_WAITS, /* Everything is sent; answers are outstanding. */
	WEFT_MSG_LEADER, /* Receiver was not ready: on queue `rnr` until it is, trying again at rnr_at. */
	WEFT_MSG_FOLLOWS, /* On queue `rnr` behind a leader between the same QPs. */
};

/* A work request, or a READ of a peer that we answer. */
struct weft_msg {
	uint64_t cookie, addr;
	weft_ns rnr_at;
	uint32_t ctx, id;
	uint32_t len, next_off; /* Fresh bytes are [next_off, len). */
	uint32_t acked, placed; /* Bytes acknowledged; bytes of a READ that arrived. */
	uint32_t key, imm;
	uint32_t pieces; /* List of ranges to send anew. */
	uint32_t next, prev; /* Queue that `where` names. */
	uint32_t all_next, all_prev;
	uint16_t src_qpn, dst_qpn;
	uint16_t inflight; /* Entries, flying and lost, that name this message. */
	uint8_t kind; /* enum weft_wire_op: SEND .. READ, or RESP. */
	uint8_t where;
	uint8_t rnr_retry, rnr_tries, rnr_stage;
	uint8_t attempt; /* Refused attempts so far, modulo 2^8. */
	uint8_t end_code; /* RESP: status that ends the READ early. */
	bool end_sent; /* ... and a packet with it is on its way. */
	bool answered; /* READ: part of the answer arrived. */
	bool started; /* Its first packet left. */
	bool completed; /* The owner knows how it ended; only remains are in flight. */
	bool cancel; /* A CANCEL is to be sent before it can be freed. */
	bool split; /* Went out in several packets. */
	bool rest; /* WRITE_IMM in several packets, complete but for want of a receive. */
};

/* A range of a message to be sent again under new PSNs. */
struct weft_piece {
	uint32_t off, len;
	uint32_t next;
};

/* A message of several packets, partly received. */
struct weft_rxm {
	uint64_t recv;
	uint32_t ctx, msg_id;
	uint32_t next; /* Hash chain or free list. */
	uint32_t len, got;
	uint32_t key, imm;
	uint64_t addr;
	uint16_t src_qpn, dst_qpn;
	uint8_t op; /* enum weft_wire_op. */
	bool used;
	bool claimed; /* `recv` is ours to finish or release. */
	bool dead; /* Its QP is gone: refuse what else arrives. */
};

struct weft_srd {
	struct weft_srd_cfg cfg;
	const struct weft_srd_ops *ops; /* borrows */
	void *owner; /* borrows */
	struct weft_prng prng;
	weft_ns now; /* Latest time seen. */
	bool closing;

	struct weft_ctx *ctxs; /* All arrays lie behind the struct, in the owner's memory. */
	uint32_t *ctx_hash;
	uint32_t ctx_hash_mask, ctx_len, ctx_hand;
	struct weft_alarm *heap;
	uint32_t heap_len;
	uint32_t ready_head, ready_tail;

	struct weft_active *actives;
	struct weft_path *paths;
	uint32_t active_free, actives_used, active_hand;
	bool crowded; /* More than WEFT_CROWD of them were used at a time, since the last spare. */

	struct weft_chunk *chunks;
	uint16_t *chunk_next;
	uint16_t chunk_free;
	uint32_t chunks_len, chunks_used;

	struct weft_msg *msgs;
	uint32_t msg_free, msgs_used; /* Work requests: [0, msgs_max). */
	uint32_t read_free, reads_used; /* Answers: [msgs_max, msgs_max + reads_max). */
	uint32_t msg_gen_shift;

	struct weft_piece *pieces;
	uint32_t piece_free, pieces_used, pieces_len;

	struct weft_rxm *rxms;
	uint32_t *rxm_hash;
	uint32_t rxm_hash_mask, rxm_free, rxms_used;

	struct {
		struct weft_gid to;
		uint32_t dst_ctx, epoch, src_ctx;
	} resets[8]; /* RESETs and FIN_ACKs to senders without a context. */
	uint8_t resets_type[8];
	uint32_t resets_len;

	struct {
		uint32_t *list; /* Contexts with demand, in turn. */
		uint32_t len, next;
		bool on;
		weft_ns at; /* Next grant. */
	} credit;

	struct weft_srd_stats stats;
};

/* ctx.c */
uint32_t weft_ctx_find(struct weft_srd *srd, const struct weft_gid *gid);
uint32_t weft_ctx_create(struct weft_srd *srd, const struct weft_gid *gid);
/* Whether a post may activate it. Posts leave a quarter of the blocks to incoming traffic: engines that
 * wait for each other with all blocks taken would wait for ever. */
bool weft_ctx_may_activate(struct weft_srd *srd, const struct weft_ctx *ctx);
struct weft_active *weft_ctx_activate(struct weft_srd *srd, struct weft_ctx *ctx);
void weft_ctx_ready(struct weft_srd *srd, struct weft_ctx *ctx);
/* Put the earliest of the context's deadlines into the heap; call after whatever may have moved one. */
void weft_ctx_arm(struct weft_srd *srd, struct weft_ctx *ctx);
void weft_ctx_on_deadline(struct weft_srd *srd, struct weft_ctx *ctx);
/* The incarnation ends: every message that has left completes with `status`, or all of them when
 * `spare_unsent` is false; receives are released; the context is CLOSED. */
void weft_ctx_fail(struct weft_srd *srd, struct weft_ctx *ctx, enum weft_srd_status status,
		   bool spare_unsent);
enum weft_srd_status weft_ctx_death(const struct weft_ctx *ctx);
void weft_heap_remove(struct weft_srd *srd, struct weft_ctx *ctx);

/* hs.c */
uint32_t weft_hs_fresh_epoch(struct weft_srd *srd);
void weft_hs_begin(struct weft_srd *srd, struct weft_ctx *ctx);
void weft_hs_on_hello(struct weft_srd *srd, const struct weft_hdr *hdr, const uint8_t *body);
void weft_hs_on_welcome(struct weft_srd *srd, const struct weft_hdr *hdr, const uint8_t *body);
void weft_hs_on_reset(struct weft_srd *srd, const struct weft_hdr *hdr);
void weft_hs_on_fin(struct weft_srd *srd, struct weft_ctx *ctx, const struct weft_hdr *hdr,
		    const struct weft_gid *from);
void weft_hs_on_deadline(struct weft_srd *srd, struct weft_ctx *ctx);
void weft_hs_queue_reply(struct weft_srd *srd, uint8_t type, const struct weft_hdr *cause,
			 const struct weft_gid *to);
/* The context that a packet belongs to, promoting a half-open one; NULL when there is none. */
struct weft_ctx *weft_hs_match(struct weft_srd *srd, const struct weft_hdr *hdr);
bool weft_hs_next_packet(struct weft_srd *srd, struct weft_ctx *ctx, struct weft_srd_tx *tx);
bool weft_hs_next_reply(struct weft_srd *srd, struct weft_srd_tx *tx);

/* msg.c */
struct weft_msg *weft_msg_alloc(struct weft_srd *srd, struct weft_ctx *ctx, bool read);
void weft_msg_enqueue(struct weft_srd *srd, struct weft_active *act, struct weft_msg *msg);
/* To the end of the queue if it has more to send, else out of it. */
void weft_msg_requeue(struct weft_srd *srd, struct weft_active *act, struct weft_msg *msg);
/* The message whose packet goes next, or NULL. */
struct weft_msg *weft_msg_next(struct weft_srd *srd, struct weft_active *act);
/* Its next range to send; take it out with weft_msg_take(). */
void weft_msg_peek(const struct weft_srd *srd, const struct weft_ctx *ctx,
		   const struct weft_msg *msg, uint32_t *off_out, uint32_t *len_out);
/* The operation that a packet with its next `len` bytes carries. */
uint8_t weft_msg_next_kind(const struct weft_msg *msg, uint32_t len);
void weft_msg_take(struct weft_srd *srd, struct weft_active *act, struct weft_msg *msg,
		   uint32_t len);
void weft_msg_drop_rest(struct weft_srd *srd, struct weft_active *act, struct weft_msg *msg);
void weft_msg_fail(struct weft_srd *srd, struct weft_msg *msg, enum weft_srd_status status);
void weft_msg_destroy(struct weft_srd *srd, struct weft_msg *msg);
/* A packet of it is resolved: `code` 0 for accepted. False: no memory to remember that it must be sent
 * again; leave the packet open. */
bool weft_msg_on_resolved(struct weft_srd *srd, struct weft_active *act, const struct weft_entry *e,
			  uint8_t code);
void weft_msg_check_done(struct weft_srd *srd, struct weft_msg *msg);
bool weft_msg_has_more(const struct weft_msg *msg);
struct weft_msg *weft_msg_by_id(struct weft_srd *srd, const struct weft_ctx *ctx, uint32_t id);
uint64_t weft_msg_unsent(const struct weft_srd *srd, const struct weft_msg *msg);

/* txw.c */
struct weft_entry *weft_txw_entry(struct weft_srd *srd, struct weft_active *act, uint64_t psn);
uint64_t weft_txw_psn(const struct weft_active *act, uint16_t slot);
struct weft_entry *weft_txw_slot(struct weft_srd *srd, struct weft_active *act, uint16_t slot);
void weft_txw_resolve(struct weft_srd *srd, struct weft_active *act, uint64_t psn);
void weft_txw_advance(struct weft_srd *srd, struct weft_active *act);
/* Undo weft_txw_resolve(): the entry is in flight again, as `was` remembers it. */
void weft_txw_reopen(struct weft_srd *srd, struct weft_active *act, uint64_t psn,
		     const struct weft_entry *was);
void weft_txw_mark_lost(struct weft_srd *srd, struct weft_active *act, uint16_t slot);
void weft_txw_oldest_first(struct weft_srd *srd, struct weft_active *act);
void weft_txw_drop_all(struct weft_srd *srd, struct weft_active *act);
bool weft_txw_next_packet(struct weft_srd *srd, struct weft_ctx *ctx, struct weft_active *act,
			  struct weft_srd_tx *tx);
void weft_txw_fill_hdr(struct weft_srd *srd, const struct weft_ctx *ctx, uint8_t type, uint16_t ev,
		       struct weft_hdr *hdr_out);
void weft_txw_finish(struct weft_srd *srd, const struct weft_ctx *ctx, const struct weft_hdr *hdr,
		     uint32_t body_len, bool control, struct weft_srd_tx *tx);
uint64_t weft_txw_backlog(const struct weft_active *act);
/* Something waits to be sent and nothing forbids it for ever. */
bool weft_txw_has_work(const struct weft_srd *srd, const struct weft_active *act);

/* ack.c */
void weft_ack_owe(struct weft_srd *srd, struct weft_ctx *ctx, struct weft_active *act,
		  const struct weft_hdr *hdr, bool ce, bool trimmed, bool now);
void weft_ack_on_deadline(struct weft_active *act);
void weft_ack_on_data_sent(const struct weft_srd *srd, const struct weft_ctx *ctx,
			   struct weft_active *act, uint32_t len);
bool weft_ack_is_left_behind(const struct weft_active *act);
bool weft_ack_next_packet(struct weft_srd *srd, struct weft_ctx *ctx, struct weft_active *act,
			  struct weft_srd_tx *tx);
void weft_ack_on_packet(struct weft_srd *srd, struct weft_ctx *ctx, struct weft_active *act,
			const struct weft_hdr *hdr, const struct weft_ack *ack);
void weft_ack_peer_una(struct weft_active *act, uint64_t una);
/* This PSN is used up: accepted (0), or refused with a code. */
void weft_ack_note(struct weft_active *act, uint64_t psn, uint8_t code);
bool weft_ack_has_refusals(const struct weft_active *act);

/* loss.c */
void weft_loss_scan(struct weft_srd *srd, struct weft_active *act);
void weft_loss_arm(struct weft_srd *srd, struct weft_active *act);
void weft_loss_on_tail(struct weft_srd *srd, struct weft_ctx *ctx, struct weft_active *act);
void weft_loss_on_spurious(struct weft_srd *srd, struct weft_active *act, uint32_t count);
bool weft_loss_is_dead(const struct weft_srd *srd, const struct weft_active *act);
/* The network said that one datagram carries `single` bytes of payload and no more (weft_srd_on_too_long). */
void weft_loss_too_long(struct weft_srd *srd, struct weft_ctx *ctx, struct weft_active *act,
			uint32_t single);
weft_ns weft_loss_rto(const struct weft_srd *srd, const struct weft_active *act);

/* path.c */
void weft_path_reset(struct weft_srd *srd, struct weft_active *act);
struct weft_path *weft_path_at(struct weft_srd *srd, const struct weft_active *act, uint16_t ev);
#define WEFT_PATH_NONE UINT16_MAX
/* `avoid` is a path not to take if there is another, or NONE. */
uint16_t weft_path_pick(struct weft_srd *srd, struct weft_active *act, uint32_t bytes,
			uint16_t avoid);
uint16_t weft_path_pick_control(struct weft_srd *srd, struct weft_active *act);
/* The packet of this time stamp and PSN has arrived over the path. */
void weft_path_on_arrived(struct weft_srd *srd, struct weft_path *path, uint32_t ts, uint16_t psn);
/* Has one arrived that was sent over the path after the packet of this time stamp and PSN? */
bool weft_path_has_overtaken(const struct weft_srd *srd, const struct weft_path *path, uint32_t ts,
			     uint64_t psn);
void weft_path_on_sample(struct weft_srd *srd, struct weft_active *act, uint16_t ev, weft_ns rtt,
			 bool ce);
void weft_path_on_probe(struct weft_srd *srd, struct weft_active *act, uint16_t ev, weft_ns rtt);
void weft_path_penalise(struct weft_srd *srd, struct weft_active *act, uint16_t ev,
			uint32_t points);
void weft_path_take_out(struct weft_srd *srd, struct weft_active *act, uint16_t ev);
void weft_path_freeze(struct weft_srd *srd, struct weft_active *act);
bool weft_path_next_probe(struct weft_srd *srd, struct weft_active *act, uint16_t *ev_out);

/* cc.c */
void weft_cc_reset(struct weft_srd *srd, struct weft_active *act, uint32_t srtt_ns);
bool weft_cc_may_send(const struct weft_srd *srd, const struct weft_ctx *ctx,
		      const struct weft_active *act, uint32_t bytes);
void weft_cc_on_sent(struct weft_srd *srd, struct weft_active *act, uint32_t bytes);
void weft_cc_on_sample(struct weft_srd *srd, struct weft_active *act, struct weft_path *path,
		       weft_ns rtt);
void weft_cc_on_acked(struct weft_srd *srd, struct weft_active *act, uint32_t bytes);
void weft_cc_on_lost(struct weft_srd *srd, struct weft_active *act, uint32_t bytes);
void weft_cc_on_timeout(struct weft_srd *srd, struct weft_active *act);
weft_ns weft_cc_target(const struct weft_srd *srd, const struct weft_active *act);
void weft_cc_on_grant(struct weft_ctx *ctx, struct weft_active *act, uint16_t grant,
		      bool credit_mode);
int32_t weft_cc_credit(const struct weft_ctx *ctx, const struct weft_active *act);

/* rx.c */
void weft_rx_on_data(struct weft_srd *srd, struct weft_ctx *ctx, const struct weft_hdr *hdr,
		     const struct weft_op *op, const uint8_t *payload,
		     const struct weft_srd_rx *rx);
bool weft_rx_note_time(struct weft_srd *srd, struct weft_ctx *ctx, struct weft_active *act,
		       const struct weft_hdr *hdr);
void weft_rx_release_ctx(struct weft_srd *srd, uint32_t ctx);
void weft_rx_on_qp_gone(struct weft_srd *srd, uint16_t qpn);

/* credit.c */
void weft_credit_on_pull(struct weft_srd *srd, struct weft_ctx *ctx, uint16_t pull);
void weft_credit_forget(struct weft_srd *srd, struct weft_ctx *ctx);
void weft_credit_on_timer(struct weft_srd *srd);

static inline uint32_t weft_ctx_index(const struct weft_srd *srd, const struct weft_ctx *ctx)
{
	return (uint32_t)(ctx - srd->ctxs);
}

static inline weft_ns weft_ctx_deadline(const struct weft_srd *srd, const struct weft_ctx *ctx)
{
	return ctx->heap_pos == WEFT_NIL ? WEFT_NS_NEVER : srd->heap[ctx->heap_pos].at;
}

static inline struct weft_active *weft_ctx_active(const struct weft_srd *srd,
						  const struct weft_ctx *ctx)
{
	return ctx->active == WEFT_NIL ? NULL : &srd->actives[ctx->active];
}

/* Trains. Where datagrams are short, what a packet costs would be paid for each, so a packet travels in several of them, which
 * the link gives and takes side by side. It is lost when one of them is. As many as the longest SEND needs, so that this is one
 * packet; and all of them full, so that packets in a row join. */
static inline uint16_t weft_train_payload(uint32_t single)
{
	uint32_t unit = single + WEFT_SRD_DATA_HEAD - WEFT_SRD_PART_HEAD;
	uint32_t least = WEFT_SRD_TRAIN_LEAST + WEFT_SRD_DATA_HEAD;

	if (single >= WEFT_SRD_TRAIN_LEAST)
		return (uint16_t)single;
	return (uint16_t)((least + unit - 1) / unit * unit - WEFT_SRD_DATA_HEAD);
}

/* Bytes per packet, as long as nothing speaks against it. */
static inline uint16_t weft_ctx_payload(const struct weft_ctx *ctx)
{
	return ctx->trains & WEFT_TRAINS_ON ? weft_train_payload(ctx->agreed) : ctx->agreed;
}

/* The longest payload that may come in a packet from any peer, or go to one. */
static inline uint32_t weft_payload_max(const struct weft_srd *srd)
{
	return srd->cfg.trains ? WEFT_MAX(srd->cfg.payload_max, WEFT_SRD_TRAIN_MAX)
			       : srd->cfg.payload_max;
}

/* The peer's time stamps wrap after 68 s, so two of them compare right only if less than half of that
 * lies between. After a silence of this length its last one is forgotten. */
#define WEFT_TS_MEMORY WEFT_S(16)

static inline uint32_t weft_ts(weft_ns now)
{
	return (uint32_t)(now >> 4);
}

/* The same in units of 1024 ns, which wrap after more than an hour: for what happens seldom. */
static inline uint32_t weft_coarse_ts(weft_ns now)
{
	return (uint32_t)(now >> 10);
}

/* Of two of our own past time stamps: is a the later one? By age, so that one from long ago is not taken
 * for one from the future. */
static inline bool weft_ts_is_younger(weft_ns now, uint32_t a, uint32_t b)
{
	return weft_ts(now) - a < weft_ts(now) - b;
}

/* Of two time stamps of the peer, whose clock we do not know: is a later than b? */
static inline bool weft_ts_after(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0;
}

static inline bool weft_has_tag(const struct weft_srd *srd, uint8_t type)
{
	return !srd->cfg.untagged ||
	       (type != WEFT_PKT_DATA && type != WEFT_PKT_ACK && type != WEFT_PKT_PROBE);
}

static inline bool weft_bit(const uint64_t *bits, uint64_t psn)
{
	return bits[psn / 64 % WEFT_WORDS] >> (psn % 64) & 1;
}

static inline void weft_bit_set(uint64_t *bits, uint64_t psn)
{
	bits[psn / 64 % WEFT_WORDS] |= (uint64_t)1 << (psn % 64);
}

static inline void weft_bit_clear(uint64_t *bits, uint64_t psn)
{
	bits[psn / 64 % WEFT_WORDS] &= ~((uint64_t)1 << (psn % 64));
}

static inline void weft_drop_count(struct weft_srd *srd, enum weft_srd_drop reason)
{
	srd->stats.rx_drops[reason]++;
}

#endif
