/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_SRD_PROTO_H
#define WEFT_SRD_PROTO_H

/* The wire format: what each byte means stands in docs/protocol.md, section by section as named here.
 * All limits and structs of the wire live in this file; proto.c turns them into bytes and back. */
#include "base/bytes.h"
#include "base/types.h"

#define WEFT_PROTO_VERSION 1u
#define WEFT_PROTO_HDR     40u /* Fixed header with its tag (protocol.md section 2). */
#define WEFT_PROTO_TAG_AT  32u
#define WEFT_PROTO_OP      40u /* Operation part of a data packet (section 5). */
#define WEFT_PROTO_HELLO   40u /* Body of HELLO and WELCOME (section 4). */
#define WEFT_PROTO_ACK     24u /* Fixed part of an ACK body (section 6). */
#define WEFT_PROTO_ECHO    10u
#define WEFT_PROTO_DROP    5u
#define WEFT_PROTO_WORDS   16u /* Bitmap words an ACK can carry: the whole window. */
#define WEFT_PROTO_ECHOES  8u
#define WEFT_PROTO_DROPS   64u
#define WEFT_PROTO_QUANTUM 256u /* Unit of pull and grant. */

enum weft_pkt_type {
	WEFT_PKT_HELLO = 1,
	WEFT_PKT_WELCOME = 2,
	WEFT_PKT_RESET = 3,
	WEFT_PKT_DATA = 4,
	WEFT_PKT_ACK = 5,
	WEFT_PKT_PROBE = 6,
	WEFT_PKT_FIN = 7,
	WEFT_PKT_FIN_ACK = 8,
};

enum weft_pkt_flags {
	WEFT_PKT_F_RTX = 0x01, /* This PSN was sent before. */
	WEFT_PKT_F_ACKREQ = 0x02, /* Answer at once. */
	WEFT_PKT_F_LAST = 0x04, /* Last packet of its message in offset order. */
	WEFT_PKT_F_CRC = 0x08, /* The payload checksum is valid. */
	WEFT_PKT_F_CREDIT = 0x10, /* ACK: send on credit only. */
	WEFT_PKT_F_ALL = 0x1f,
};

struct weft_hdr {
	uint8_t type;
	uint8_t flags;
	uint16_t ev; /* Path the sender chose: its entropy value. */
	uint32_t dst_ctx; /* Context index at the receiver, chosen by the receiver. */
	uint32_t dst_epoch; /* Incarnation of that context. */
	uint32_t src_ctx; /* Context index at the sender: where a RESET goes. */
	uint64_t psn; /* DATA: packet sequence number. ACK: number of the ACK. PROBE: oldest
	                           * open PSN. RESET: the epoch that was not known. */
	/* Sender's clock in units of 16 ns, modulo 2^32; tells others what is newer. */
	uint32_t tx_ts;
	uint16_t pull; /* Credits used plus bytes waiting, in quanta, modulo 2^16. */
	uint16_t len; /* Bytes after the header. */
};

enum weft_wire_op {
	WEFT_WIRE_SEND = 0,
	WEFT_WIRE_SEND_IMM = 1,
	WEFT_WIRE_WRITE = 2,
	WEFT_WIRE_WRITE_IMM = 3,
	WEFT_WIRE_READ = 4, /* Request: no payload. */
	WEFT_WIRE_RESP = 5, /* Part of the answer to a READ. */
	WEFT_WIRE_VOID = 6, /* Uses up its PSN and nothing else. */
	WEFT_WIRE_CANCEL = 7, /* The message was given up: forget what arrived of it. */
	WEFT_WIRE_OP_COUNT,
};

struct weft_op {
	uint8_t op;
	uint8_t code; /* RESP: 0, or the status that ends the READ. WRITE_IMM: 0 or REST. */
	uint16_t una; /* How far the oldest open PSN lies behind this one. */
	uint16_t dst_qpn, src_qpn;
	uint32_t msg_id, msg_len, off;
	uint32_t key;
	uint64_t addr;
	uint32_t imm;
	uint32_t crc;
};

#define WEFT_CODE_REST 1u /* WRITE_IMM: all other bytes of the message are acknowledged. */

struct weft_hello {
	struct weft_gid src, dst;
	uint32_t epoch; /* Of the sender, for this context. */
	uint8_t version_max;
	uint8_t features;
	uint16_t payload_max;
};

/* A receiver ignores features that it does not know. */
#define WEFT_HELLO_F_CRC    0x01u /* The sender demands payload checksums. */
#define WEFT_HELLO_F_TRAINS 0x02u /* The sender takes packets in several datagrams. */

/* Drop codes of an ACK besides the io status numbers. */
#define WEFT_CODE_VOID 64u /* Consumed by a VOID: the original never arrived. */
#define WEFT_CODE_BUSY 65u /* No memory for it now: send it again under a new PSN. */

struct weft_echo {
	uint32_t tx_ts; /* Copied from the packet. */
	uint16_t ev;
	uint16_t psn; /* Low bits. */
	uint16_t hold; /* Time between its arrival and this ACK, in units of 64 ns, saturating. */
	bool ce, trimmed, probe;
};

struct weft_drop_entry {
	uint32_t psn; /* Low bits. */
	uint8_t code;
};

struct weft_ack {
	uint64_t cum; /* Every PSN below is resolved. */
	uint64_t una; /* The ACK sender's own oldest open PSN, for the other direction. */
	uint16_t grant; /* Credits granted so far, in quanta, modulo 2^16. */
	uint16_t dups; /* Duplicates received so far, modulo 2^16. */
	uint8_t words, echoes, drops;
	uint64_t word[WEFT_PROTO_WORDS]; /* Bit i of word k: PSN (cum & ~63) + 64 k + i. */
	struct weft_echo echo[WEFT_PROTO_ECHOES];
	struct weft_drop_entry drop[WEFT_PROTO_DROPS];
};

void weft_hdr_encode(uint8_t *p, const struct weft_hdr *hdr);
/* 0; -EPROTONOSUPPORT: another version; -EBADMSG: unknown type or flag. `p` holds WEFT_PROTO_HDR bytes. */
int weft_hdr_decode(const uint8_t *p, struct weft_hdr *hdr_out);

void weft_op_encode(uint8_t *p, const struct weft_op *op);
/* 0, or -EBADMSG for an unknown operation. `p` holds WEFT_PROTO_OP bytes. */
int weft_op_decode(const uint8_t *p, struct weft_op *op_out);

void weft_hello_encode(uint8_t *p, const struct weft_hello *hello);
int weft_hello_decode(const uint8_t *p, uint32_t len, struct weft_hello *hello_out);

uint32_t weft_ack_encode(uint8_t *p, const struct weft_ack *ack);
/* 0, or -EBADMSG unless `len` is exactly what the counts say. */
int weft_ack_decode(const uint8_t *p, uint32_t len, struct weft_ack *ack_out);

/* Compute the tag over a whole head (header and authenticated body) and store it, or compare it. */
void weft_head_seal(const uint8_t key[16], uint8_t *head, uint32_t head_len);
bool weft_head_is_authentic(const uint8_t key[16], const uint8_t *head, uint32_t head_len);

/* Bytes of a frame that are covered by the tag: everything but a data packet's payload. */
uint32_t weft_head_len(const struct weft_hdr *hdr);

const char *weft_pkt_type_name(uint8_t type);
const char *weft_wire_op_name(uint8_t op);

#endif
