/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_SRD_SRD_H
#define WEFT_SRD_SRD_H

/* The SRD engine: scalable reliable datagrams as a pure state machine.
 *
 * An engine is one end of the transport: one card of one process. Its owner (the device, or a
 * simulated host) feeds it three kinds of input, each with the time at which it happens:
 *
 *	weft_srd_on_post()      a work request
 *	weft_srd_on_packet()    a packet from the wire
 *	weft_srd_on_timer()     the time that next_deadline named has come
 *
 * and after each input, or after a batch of them, drains the outputs:
 *
 *	weft_srd_next_packet()    the next packet to put on the wire, as long as there is one
 *	weft_srd_next_deadline()  when to call on_timer if nothing else happens before
 *
 * What concerns messages (a receive to claim, bytes to place, a work request that is done) leaves by the
 * table of functions in struct weft_srd_ops, during the call whose input caused it. Those functions must
 * not call back into the engine. Time never runs backwards (asserted). There is no clock, socket,
 * thread, lock, allocation or random source inside: memory is the caller's, chance is a seeded state. */

#include "base/types.h"

#define WEFT_SRD_SEND_MAX    8928u /* Bytes in one SEND, whatever the link can carry. */
#define WEFT_SRD_RDMA_MAX    (1u << 30) /* Bytes in one WRITE or READ. */
#define WEFT_SRD_WINDOW      1024u /* Places for open PSNs; 64 of them stay free (engine.h, SPAN). */
#define WEFT_SRD_PATHS_MAX   256u
#define WEFT_SRD_PATHS_MIN   16u /* Fewer find no way round much; but 1 is allowed, for comparison. */
#define WEFT_SRD_HEAD_MAX    704u /* Longest head that next_packet builds (an ACK with everything). */
#define WEFT_SRD_DATA_HEAD   80u /* Head of every data packet: fixed header and operation. */
#define WEFT_SRD_PAYLOAD_MIN 512u /* A link that cannot carry this much is no link. */
#define WEFT_SRD_PART_HEAD \
	12u /* In front of each datagram, where a packet travels in several of them ... */
#define WEFT_SRD_TRAIN_LEAST \
	8928u /* ... which then has so much payload at least, the longest SEND of a device, */
#define WEFT_SRD_TRAIN_MAX                                                          \
	(2 * (WEFT_SRD_TRAIN_LEAST - 1 + WEFT_SRD_DATA_HEAD - WEFT_SRD_PART_HEAD) - \
	 WEFT_SRD_DATA_HEAD) /* ... and at most this. */

enum weft_srd_op {
	WEFT_SRD_SEND,
	WEFT_SRD_SEND_IMM,
	WEFT_SRD_WRITE,
	WEFT_SRD_WRITE_IMM,
	WEFT_SRD_READ,
};

/* How a work request ended. The numbers are EFA's io completion status. */
enum weft_srd_status {
	WEFT_SRD_OK = 0,
	WEFT_SRD_FLUSHED = 1,
	WEFT_SRD_INVALID_LKEY = 5, /* The owner refused to place READ data locally. */
	WEFT_SRD_LOCAL_LENGTH = 6, /* Longer than SEND_MAX or RDMA_MAX. */
	WEFT_SRD_REMOTE_ADDRESS = 7, /* Bad rkey, out of range, permission missing. */
	WEFT_SRD_ABORT = 8, /* The peer reset or closed the context. */
	WEFT_SRD_REMOTE_QPN = 9, /* No such QP there, or not ready, or wrong qkey. */
	WEFT_SRD_RNR = 10, /* No receive posted after all retries. */
	WEFT_SRD_REMOTE_LENGTH = 11, /* The posted receive is too short. */
	WEFT_SRD_REMOTE_STATUS = 12, /* The responder gave an answer that makes no sense. */
	WEFT_SRD_UNRESPONSIVE = 13, /* Silent now; it answered before. */
	WEFT_SRD_UNREACHABLE = 15, /* It never answered. */
	WEFT_SRD_FEATURE_MISMATCH = 18,
};

/* How paths are chosen for packets. */
enum weft_srd_lb {
	WEFT_SRD_LB_MIXED, /* Recycle what proved good, else permuted round-robin with penalties. */
	WEFT_SRD_LB_OBLIVIOUS, /* Permuted round-robin, no feedback. For comparison. */
};

/* One message as its receiver sees it. */
struct weft_srd_msg_info {
	uint32_t peer; /* Handle of the context it came over. */
	const struct weft_gid *gid; /* Address of the sender; valid during the call only. */
	enum weft_srd_op op;
	uint16_t src_qpn, dst_qpn;
	uint32_t key; /* SEND: qkey. WRITE and READ: rkey. */
	uint64_t addr; /* WRITE and READ: address of the first byte at the target. */
	uint32_t imm;
	uint32_t len; /* Of the whole message. */
};

/* Where the payload of an outgoing packet lies. The engine never touches these bytes. */
struct weft_srd_payload {
	enum {
		WEFT_SRD_PAYLOAD_NONE,
		WEFT_SRD_PAYLOAD_WR, /* [off, off + len) of the buffers of work request `cookie`. */
		WEFT_SRD_PAYLOAD_TARGET, /* [addr + off, + len) of the region `key`: answers a READ. */
	} kind;
	uint32_t off, len;
	uint64_t cookie;
	uint64_t addr;
	uint32_t key;
	uint16_t qpn; /* TARGET: the local QP that the READ named. */
};

/* What the engine asks of its owner. `owner` is the pointer given to weft_srd_init(). */
struct weft_srd_ops {
	/* A message for a QP wants a receive. OK: claimed, *recv_out names it in later calls.
	 * RNR: none posted, the sender tries again. REMOTE_QPN or REMOTE_LENGTH: the sender's work
	 * request fails, nothing is claimed. */
	enum weft_srd_status (*recv_claim)(void *owner, const struct weft_srd_msg_info *info,
					   uint64_t *recv_out);
	/* Bytes of a SEND for a claimed receive; [off, off + len) lies within info->len. */
	void (*recv_place)(void *owner, uint64_t recv, uint32_t off, const void *data,
			   uint32_t len);
	/* All bytes of the message are there: complete the receive. */
	void (*recv_done)(void *owner, uint64_t recv, const struct weft_srd_msg_info *info);
	/* The message will never be complete (its sender gave up, failed or was reset): the receive
	 * goes back to the head of its queue, or is flushed if its QP is gone. */
	void (*recv_release)(void *owner, uint64_t recv, const struct weft_srd_msg_info *info);
	/* Check the key and range of the whole message and place one packet's bytes at info->addr + off.
	 * OK, REMOTE_ADDRESS or REMOTE_QPN; unless OK nothing may be written. len may be 0. */
	enum weft_srd_status (*write)(void *owner, const struct weft_srd_msg_info *info,
				      uint32_t off, const void *data, uint32_t len);
	/* May this READ, or this piece of it, still be answered? Called when it arrives and before every
	 * packet of the answer. */
	enum weft_srd_status (*read_check)(void *owner, const struct weft_srd_msg_info *info);
	/* Bytes of the answer to the READ `cookie`, into its local buffers. OK or INVALID_LKEY. */
	enum weft_srd_status (*read_place)(void *owner, uint64_t cookie, uint32_t off,
					   const void *data, uint32_t len);
	/* The work request is done; its buffers are the owner's again. Called once for each accepted
	 * post, never from inside weft_srd_on_post(). */
	void (*complete)(void *owner, uint64_t cookie, enum weft_srd_status status);
	/* CRC-32C of an outgoing payload. Called when we or the peer demand checksums. */
	uint32_t (*payload_crc)(void *owner, const struct weft_srd_payload *payload);
};

struct weft_srd_cfg {
	struct weft_gid gid; /* Our own address. */
	uint8_t key[16]; /* Cluster key of the header authentication. */
	uint64_t seed; /* Epochs, first PSNs, path order and back-off come from it. */

	/* Sizes, fixed for the engine's life. */
	uint32_t contexts_max; /* Peers known at a time, idle ones included. */
	uint32_t active_max; /* Peers with traffic under way at a time; a quarter of them is kept
	                                * for peers that call us. */
	uint32_t msgs_max; /* Work requests accepted and not completed. */
	uint32_t reads_max; /* READs of peers being answered at a time. */
	uint32_t rx_msgs_max; /* Messages of several packets partly received. */
	uint32_t packets_max; /* Packets in flight over all peers. */

	uint32_t
		payload_max; /* Payload of one packet that our link can carry, both ways, in one datagram. */
	/* The link can carry frames of WEFT_SRD_TRAIN_MAX bytes of payload in several datagrams (weft_srd_tx.seg_max). Packets
	 * are that long where the peer's can as well, and nobody demands checksums. */
	bool trains;
	uint32_t paths; /* 16 to 256, or 1. */
	enum weft_srd_lb lb;
	uint32_t burst_bytes; /* Spray unit: 0 for the single packet, else up to 64 KB. */
	bool payload_crc; /* Add and demand a CRC-32C of every payload. */

	uint64_t link_bps; /* Speed of our port; paces the credits of an incast. 0: no credits. */
	weft_ns rtt_hint; /* First guess of an undisturbed round trip. */
	weft_ns delay_target; /* Delay above that which is no congestion yet: at least what our own
	                                * and the peers' polling add. 0: one undisturbed round trip. */
	uint32_t cwnd_init, cwnd_max; /* Bytes. 0: from link_bps and rtt_hint. */
	weft_ns rto_min, rto_max;
	weft_ns ack_delay; /* An ACK is owed at most this long ... */
	uint32_t ack_packets; /* ... or for this many packets ... */
	uint32_t ack_bytes; /* ... or for this many bytes. */
	/* Peers that usually get data back may wait this long for the answer to an ACKREQ, so that it can
	 * travel with the data. 0: never. */
	weft_ns ack_hold;
	/* Nobody can forge what this link carries: DATA, ACK and PROBE have the tag 0, and it is not looked at. The
	 * handshake still asks for the same key. */
	bool untagged;
	weft_ns dead_after; /* Silence after which a peer counts as dead. */
	weft_ns idle_after; /* Quiet time after which a context shrinks to its stub. */
};

/* Why a packet was dropped: each reason has a counter. */
enum weft_srd_drop {
	WEFT_SRD_DROP_SHORT, /* Not even a header, or shorter than it says. */
	WEFT_SRD_DROP_LONG, /* Longer than it says, or payload above payload_max. */
	WEFT_SRD_DROP_VERSION,
	WEFT_SRD_DROP_TYPE, /* Unknown type, operation or field value. */
	WEFT_SRD_DROP_TAG, /* Authentication failed: corrupt or spoofed. */
	WEFT_SRD_DROP_CRC, /* Payload checksum failed, or missing where demanded. */
	WEFT_SRD_DROP_NO_CONTEXT, /* Context index or epoch is not ours (answered by RESET). */
	WEFT_SRD_DROP_ADDRESS, /* HELLO for another address. */
	WEFT_SRD_DROP_STALE, /* Handshake packet of an earlier attempt. */
	WEFT_SRD_DROP_DUPLICATE, /* PSN seen before. */
	WEFT_SRD_DROP_WINDOW, /* PSN beyond the window. */
	WEFT_SRD_DROP_BOUNDS, /* Offset or length outside the message, or lies about it. */
	WEFT_SRD_DROP_TRIMMED, /* The network cut the payload off (asked for again). */
	WEFT_SRD_DROP_NO_MEMORY, /* A pool of this engine is empty; the sender will retry. */
	WEFT_SRD_DROP_COUNT,
};

const char *weft_srd_drop_name(enum weft_srd_drop reason);
const char *weft_srd_status_name(enum weft_srd_status status);

/* Counters under EFA's names where EFA has one. Monotonic; read at any time. */
struct weft_srd_stats {
	uint64_t tx_pkts, tx_bytes; /* Everything sent, heads and control packets included. */
	uint64_t rx_pkts, rx_bytes;
	uint64_t rx_drops[WEFT_SRD_DROP_COUNT];
	uint64_t data_tx_pkts,
		data_tx_bytes; /* Data packets and their payload, retransmissions included. */
	uint64_t send_wrs, send_bytes, recv_wrs, recv_bytes;
	uint64_t rdma_write_wrs, rdma_write_bytes, rdma_write_recv_bytes, rdma_write_wr_err;
	uint64_t rdma_read_wrs, rdma_read_bytes, rdma_read_resp_bytes, rdma_read_wr_err;
	uint64_t retrans_pkts, retrans_bytes, retrans_timeout_events;
	/* Reported by receivers: the first copy had arrived after all. */
	uint64_t retrans_spurious;
	uint64_t tail_probes;
	uint64_t path_probes, path_out, path_in;
	uint64_t acks_tx, acks_rx;
	uint64_t rnr_tx, rnr_rx; /* Receiver-not-ready answers given and got. */
	uint64_t credit_grants;
	uint64_t cwnd_cuts;
	uint64_t payload_shrinks; /* Times the payload was lowered because big packets vanished. */
	uint64_t contexts_opened, contexts_reset;
	uint64_t impaired_remote_events, unresponsive_remote_events;
};

struct weft_srd;

/* Fill with the defaults of docs/protocol.md for a 100 Gb/s card; gid, key and seed remain to be set. */
void weft_srd_cfg_default(struct weft_srd_cfg *cfg);

/* 0, or -EINVAL when a value is out of its range; *why_out then names the field. */
int weft_srd_cfg_check(const struct weft_srd_cfg *cfg, const char **why_out);

/* Bytes of memory that an engine with this configuration lives in. */
size_t weft_srd_size(const struct weft_srd_cfg *cfg);

/* `mem` (borrowed for the engine's life, 64-byte aligned, weft_srd_size() bytes) becomes an engine.
 * ops and owner are borrowed too. */
struct weft_srd *weft_srd_init(void *mem, const struct weft_srd_cfg *cfg,
			       const struct weft_srd_ops *ops, void *owner, weft_ns now);

/* A handle for the peer with this address, with one reference. 0, or -ENOMEM when contexts_max peers
 * are in use. Sends nothing: the first post does. */
int weft_srd_peer_get(struct weft_srd *srd, const struct weft_gid *gid, uint32_t *peer_out);

/* Drop a reference. Outstanding work continues; an idle peer without references may be forgotten. */
void weft_srd_peer_put(struct weft_srd *srd, uint32_t peer);

struct weft_srd_wr {
	uint64_t cookie; /* Comes back in complete(), read_place() and payloads. */
	uint32_t peer;
	enum weft_srd_op op;
	uint16_t src_qpn, dst_qpn;
	uint32_t key; /* SEND: qkey. WRITE and READ: rkey. */
	uint64_t addr;
	uint32_t imm;
	uint32_t len;
	/* WRITE, WRITE_IMM: the bytes are in their place already, by other means than this link. What remains is that the
	 * target checks and, for an immediate value, tells. */
	bool placed;
	uint8_t rnr_retry; /* 0 to 6 retries; 7 for ever. */
};

/* Accept a work request. 0: complete() will be called for it exactly once. -EAGAIN: msgs_max are
 * outstanding, or traffic with too many other peers is under way, or the engine is closing. -EMSGSIZE: too
 * long. -EINVAL: no such peer or operation. */
int weft_srd_on_post(struct weft_srd *srd, const struct weft_srd_wr *wr, weft_ns now);

/* One frame from the wire. */
struct weft_srd_rx {
	const uint8_t *data; /* Borrowed for the call. */
	uint32_t len;
	struct weft_gid
		from; /* Where an answer to an unknown sender goes; zeros: the wire cannot say. */
	bool ce; /* The network marked it: congestion experienced. */
	bool trimmed; /* The network cut its payload off and kept the head. */
};

void weft_srd_on_packet(struct weft_srd *srd, const struct weft_srd_rx *rx, weft_ns now);

/* A frame may hold several packets. How long is the first one? All of `len` when that cannot be said. */
uint32_t weft_srd_packet_len(const uint8_t *data, uint32_t len);

void weft_srd_on_timer(struct weft_srd *srd, weft_ns now);

/* One packet for the wire. */
struct weft_srd_tx {
	struct weft_gid to;
	uint16_t path; /* 0 .. paths - 1: the entropy that selects the way. */
	bool control; /* Carries no message data: worth a faster class where there is one. */
	bool probe; /* Carries none either, but must queue like data. */
	bool rides; /* Goes to where the packet before went, and the two fit into one frame of that link. */
	uint16_t
		seg_max; /* Longest datagram on that link: a longer frame travels in several. 0: in one. */
	uint32_t head_len;
	struct weft_srd_payload payload;
	uint8_t head[WEFT_SRD_HEAD_MAX];
};

/* True: *tx_out is to be sent now. False: nothing to send. */
bool weft_srd_next_packet(struct weft_srd *srd, weft_ns now, struct weft_srd_tx *tx_out);

/* When to call on_timer; it may turn out to be early, and then nothing happens. WEFT_NS_NEVER when no
 * timer runs. */
weft_ns weft_srd_next_deadline(const struct weft_srd *srd);

/* A local QP is gone: its work requests complete with FLUSHED, receives that it had claimed are
 * released. What is in flight may still be delivered. */
void weft_srd_on_qp_gone(struct weft_srd *srd, uint16_t qpn, weft_ns now);

/* The open work request with this cookie ends with this status, which is not OK, at once: its memory or its
 * address handle is gone. What is in flight may still be delivered, but of a READ nothing is placed any more,
 * and a receive that the peer had claimed is given back. Nothing happens if it is done already. Looks
 * through all msgs_max places: not for the common path. */
void weft_srd_cancel(struct weft_srd *srd, uint64_t cookie, enum weft_srd_status status,
		     weft_ns now);

/* The network said that nobody is there any more: all work requests to that peer end at once, with ABORT, or,
 * while it has not answered our HELLO, with REMOTE_QPN: then nothing of them has left. A hint that the owner
 * trusts, though a false or late one costs only these requests (and what the peer had under way to us): the
 * next post calls again. */
void weft_srd_on_unreachable(struct weft_srd *srd, const struct weft_gid *gid, weft_ns now);

/* Our own host says that nothing longer goes out on the way to that peer: from here on packets have at most this much
 * payload (but never less than WEFT_SRD_PAYLOAD_MIN), and those in flight that have more are lost. A hint like the
 * above; nothing happens where packets are that short already. Forgotten when the context becomes idle. */
void weft_srd_on_too_long(struct weft_srd *srd, const struct weft_gid *gid, uint32_t payload_max,
			  weft_ns now);

/* Begin an orderly close: work requests are flushed, peers are told. Drain packets until is_closed. */
void weft_srd_close(struct weft_srd *srd, weft_ns now);
bool weft_srd_is_closed(const struct weft_srd *srd);

const struct weft_srd_stats *weft_srd_stats(const struct weft_srd *srd);

/* What is in use now, for leak checks: all of it but contexts returns to 0 when traffic ends. */
struct weft_srd_usage {
	uint32_t contexts, active, msgs, reads, rx_msgs, chunks, pieces, timers;
};

void weft_srd_usage(const struct weft_srd *srd, struct weft_srd_usage *usage_out);

/* True, once, when all the peers that had traffic under way at a time, many of them, have come to rest: *len_out bytes
 * of the engine's memory at *mem_out hold nothing until traffic begins again. Its owner may let the system have
 * them until then; what they read afterwards does not matter. */
bool weft_srd_next_spare(struct weft_srd *srd, void **mem_out, size_t *len_out);

/* Nothing is in flight to that peer. */
bool weft_srd_is_quiet(const struct weft_srd *srd, uint32_t peer);

/* A look into one context, for tools and checkers. */
struct weft_srd_peer_info {
	bool established, has_active, credit_mode;
	uint32_t payload; /* Bytes per packet in use towards it. */
	uint32_t cwnd, inflight; /* Bytes. */
	uint32_t inflight_pkts;
	uint32_t paths_out; /* Paths not in use until a probe comes back. */
	int32_t credit; /* Bytes that may be sent before the next grant (credit mode). */
	weft_ns srtt, base_rtt, rto;
	uint64_t backlog; /* Bytes accepted and not sent. */
};

int weft_srd_peer_info(const struct weft_srd *srd, uint32_t peer,
		       struct weft_srd_peer_info *info_out);

#endif
