/* SPDX-License-Identifier: BSD-2-Clause */
/* The wire format, both ways. Decoders check everything that can be checked without state: lengths,
 * counts, unknown values. What depends on a context (epochs, windows, ranges) is checked where the
 * context is known. Nothing here trusts a byte. */
#include "srd/proto.h"

#include "base/siphash.h"
#include "srd/srd.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static_assert(WEFT_PROTO_HDR + WEFT_PROTO_OP == WEFT_SRD_DATA_HEAD, "data head");
static_assert(WEFT_PROTO_HDR + WEFT_PROTO_ACK + 8 * WEFT_PROTO_WORDS +
			      WEFT_PROTO_ECHO * WEFT_PROTO_ECHOES +
			      WEFT_PROTO_DROP * WEFT_PROTO_DROPS <=
		      WEFT_SRD_HEAD_MAX,
	      "an ACK fits");

void weft_hdr_encode(uint8_t *p, const struct weft_hdr *hdr)
{
	p[0] = (uint8_t)(WEFT_PROTO_VERSION << 4 | hdr->type);
	p[1] = hdr->flags;
	weft_put16(p + 2, hdr->ev);
	weft_put32(p + 4, hdr->dst_ctx);
	weft_put32(p + 8, hdr->dst_epoch);
	weft_put32(p + 12, hdr->src_ctx);
	weft_put64(p + 16, hdr->psn);
	weft_put32(p + 24, hdr->tx_ts);
	weft_put16(p + 28, hdr->pull);
	weft_put16(p + 30, hdr->len);
}

int weft_hdr_decode(const uint8_t *p, struct weft_hdr *hdr_out)
{
	uint8_t type = p[0] & 0x0f;

	if (p[0] >> 4 != WEFT_PROTO_VERSION)
		return -EPROTONOSUPPORT;
	if (type < WEFT_PKT_HELLO || type > WEFT_PKT_FIN_ACK || p[1] & ~WEFT_PKT_F_ALL)
		return -EBADMSG;
	*hdr_out = (struct weft_hdr){
		.type = type,
		.flags = p[1],
		.ev = weft_get16(p + 2),
		.dst_ctx = weft_get32(p + 4),
		.dst_epoch = weft_get32(p + 8),
		.src_ctx = weft_get32(p + 12),
		.psn = weft_get64(p + 16),
		.tx_ts = weft_get32(p + 24),
		.pull = weft_get16(p + 28),
		.len = weft_get16(p + 30),
	};
	return 0;
}

void weft_op_encode(uint8_t *p, const struct weft_op *op)
{
	p[0] = op->op;
	p[1] = op->code;
	weft_put16(p + 2, op->una);
	weft_put16(p + 4, op->dst_qpn);
	weft_put16(p + 6, op->src_qpn);
	weft_put32(p + 8, op->msg_id);
	weft_put32(p + 12, op->msg_len);
	weft_put32(p + 16, op->off);
	weft_put32(p + 20, op->key);
	weft_put64(p + 24, op->addr);
	weft_put32(p + 32, op->imm);
	weft_put32(p + 36, op->crc);
}

int weft_op_decode(const uint8_t *p, struct weft_op *op_out)
{
	if (p[0] >= WEFT_WIRE_OP_COUNT)
		return -EBADMSG;
	*op_out = (struct weft_op){
		.op = p[0],
		.code = p[1],
		.una = weft_get16(p + 2),
		.dst_qpn = weft_get16(p + 4),
		.src_qpn = weft_get16(p + 6),
		.msg_id = weft_get32(p + 8),
		.msg_len = weft_get32(p + 12),
		.off = weft_get32(p + 16),
		.key = weft_get32(p + 20),
		.addr = weft_get64(p + 24),
		.imm = weft_get32(p + 32),
		.crc = weft_get32(p + 36),
	};
	return 0;
}

void weft_hello_encode(uint8_t *p, const struct weft_hello *hello)
{
	memcpy(p, hello->src.raw, 16);
	memcpy(p + 16, hello->dst.raw, 16);
	weft_put32(p + 32, hello->epoch);
	p[36] = hello->version_max;
	p[37] = hello->features;
	weft_put16(p + 38, hello->payload_max);
}

int weft_hello_decode(const uint8_t *p, uint32_t len, struct weft_hello *hello_out)
{
	if (len != WEFT_PROTO_HELLO)
		return -EBADMSG;
	memcpy(hello_out->src.raw, p, 16);
	memcpy(hello_out->dst.raw, p + 16, 16);
	hello_out->epoch = weft_get32(p + 32);
	hello_out->version_max = p[36];
	hello_out->features = p[37];
	hello_out->payload_max = weft_get16(p + 38);
	if (!hello_out->epoch || hello_out->version_max < WEFT_PROTO_VERSION ||
	    hello_out->payload_max < WEFT_SRD_PAYLOAD_MIN)
		return -EBADMSG;
	return 0;
}

#define ECHO_CE      0x8000u
#define ECHO_TRIMMED 0x4000u
#define ECHO_PROBE   0x2000u
#define ECHO_EV      0x1fffu

uint32_t weft_ack_encode(uint8_t *p, const struct weft_ack *ack)
{
	uint8_t *start = p;

	weft_put64(p, ack->cum);
	weft_put64(p + 8, ack->una);
	weft_put16(p + 16, ack->grant);
	weft_put16(p + 18, ack->dups);
	p[20] = ack->words;
	p[21] = ack->echoes;
	p[22] = ack->drops;
	p[23] = 0;
	p += WEFT_PROTO_ACK;
	for (unsigned int i = 0; i < ack->words; i++, p += 8)
		weft_put64(p, ack->word[i]);
	for (unsigned int i = 0; i < ack->echoes; i++, p += WEFT_PROTO_ECHO) {
		const struct weft_echo *e = &ack->echo[i];

		weft_put32(p, e->tx_ts);
		weft_put16(p + 4, (uint16_t)((e->ev & ECHO_EV) | (e->ce ? ECHO_CE : 0) |
					     (e->trimmed ? ECHO_TRIMMED : 0) |
					     (e->probe ? ECHO_PROBE : 0)));
		weft_put16(p + 6, e->psn);
		weft_put16(p + 8, e->hold);
	}
	for (unsigned int i = 0; i < ack->drops; i++, p += WEFT_PROTO_DROP) {
		weft_put32(p, ack->drop[i].psn);
		p[4] = ack->drop[i].code;
	}
	return (uint32_t)(p - start);
}

int weft_ack_decode(const uint8_t *p, uint32_t len, struct weft_ack *ack_out)
{
	struct weft_ack *ack = ack_out;

	if (len < WEFT_PROTO_ACK || p[20] > WEFT_PROTO_WORDS || p[21] > WEFT_PROTO_ECHOES ||
	    p[22] > WEFT_PROTO_DROPS)
		return -EBADMSG;
	ack->words = p[20];
	ack->echoes = p[21];
	ack->drops = p[22];
	if (len != WEFT_PROTO_ACK + 8u * ack->words + WEFT_PROTO_ECHO * ack->echoes +
			   WEFT_PROTO_DROP * ack->drops)
		return -EBADMSG;
	ack->cum = weft_get64(p);
	ack->una = weft_get64(p + 8);
	ack->grant = weft_get16(p + 16);
	ack->dups = weft_get16(p + 18);
	p += WEFT_PROTO_ACK;
	for (unsigned int i = 0; i < ack->words; i++, p += 8)
		ack->word[i] = weft_get64(p);
	for (unsigned int i = 0; i < ack->echoes; i++, p += WEFT_PROTO_ECHO) {
		uint16_t ev = weft_get16(p + 4);

		ack->echo[i] = (struct weft_echo){
			.tx_ts = weft_get32(p),
			.ev = ev & ECHO_EV,
			.psn = weft_get16(p + 6),
			.hold = weft_get16(p + 8),
			.ce = ev & ECHO_CE,
			.trimmed = ev & ECHO_TRIMMED,
			.probe = ev & ECHO_PROBE,
		};
	}
	for (unsigned int i = 0; i < ack->drops; i++, p += WEFT_PROTO_DROP)
		ack->drop[i] = (struct weft_drop_entry){ .psn = weft_get32(p), .code = p[4] };
	return 0;
}

/* The tag covers the head as if the eight bytes of the tag itself were not there. */
static uint64_t head_tag(const uint8_t key[16], const uint8_t *head, uint32_t head_len)
{
	uint8_t flat[WEFT_SRD_HEAD_MAX];
	uint32_t body = head_len - WEFT_PROTO_HDR;

	memcpy(flat, head, WEFT_PROTO_TAG_AT);
	memcpy(flat + WEFT_PROTO_TAG_AT, head + WEFT_PROTO_HDR, body);
	return weft_siphash24(key, flat, WEFT_PROTO_TAG_AT + body);
}

void weft_head_seal(const uint8_t key[16], uint8_t *head, uint32_t head_len)
{
	weft_put64(head + WEFT_PROTO_TAG_AT, head_tag(key, head, head_len));
}

bool weft_head_is_authentic(const uint8_t key[16], const uint8_t *head, uint32_t head_len)
{
	if (head_len < WEFT_PROTO_HDR || head_len > WEFT_SRD_HEAD_MAX)
		return false;
	/* One comparison of a whole word: no timing tells how many bytes of a guess were right. */
	return weft_get64(head + WEFT_PROTO_TAG_AT) == head_tag(key, head, head_len);
}

uint32_t weft_head_len(const struct weft_hdr *hdr)
{
	return hdr->type == WEFT_PKT_DATA ? WEFT_SRD_DATA_HEAD
					  : WEFT_PROTO_HDR + (uint32_t)hdr->len;
}

const char *weft_pkt_type_name(uint8_t type)
{
	static const char *const names[] = { "?",   "HELLO", "WELCOME", "RESET",  "DATA",
					     "ACK", "PROBE", "FIN",     "FIN_ACK" };

	return type < WEFT_ARRAY_SIZE(names) ? names[type] : "?";
}

const char *weft_wire_op_name(uint8_t op)
{
	static const char *const names[] = { "SEND", "SEND_IMM", "WRITE", "WRITE_IMM",
					     "READ", "RESP",     "VOID",  "CANCEL" };

	return op < WEFT_ARRAY_SIZE(names) ? names[op] : "?";
}
