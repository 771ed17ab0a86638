/* SPDX-License-Identifier: BSD-2-Clause */
/* The decoders against any bytes. What a decoder accepts must survive a round trip: encoding it gives the
 * same bytes but for those that the format ignores, and decoding that gives the same values. The first
 * byte says which decoder; the rest is its input, in a block of exactly the size that it is told. */
#include "fuzz.h"
#include "srd/proto.h"
#include "srd/srd.h"

#include <stdlib.h>
#include <string.h>

static void hdr_case(const uint8_t *p, size_t len)
{
	uint8_t again[WEFT_PROTO_HDR];
	struct weft_hdr hdr;

	if (len < WEFT_PROTO_HDR || weft_hdr_decode(p, &hdr))
		return;
	FUZZ_CHECK(hdr.type >= WEFT_PKT_HELLO && hdr.type <= WEFT_PKT_FIN_ACK, "type %u", hdr.type);
	FUZZ_CHECK(weft_pkt_type_name(hdr.type)[0] != '?', "type %u has no name", hdr.type);
	weft_hdr_encode(again, &hdr);
	FUZZ_CHECK(!memcmp(p, again, WEFT_PROTO_TAG_AT), "header changed in a round trip");
}

static void op_case(const uint8_t *p, size_t len)
{
	uint8_t again[WEFT_PROTO_OP];
	struct weft_op op;

	if (len < WEFT_PROTO_OP || weft_op_decode(p, &op))
		return;
	FUZZ_CHECK(weft_wire_op_name(op.op)[0] != '?', "operation %u has no name", op.op);
	weft_op_encode(again, &op);
	FUZZ_CHECK(!memcmp(p, again, WEFT_PROTO_OP), "operation changed in a round trip");
}

static void hello_case(const uint8_t *p, size_t len)
{
	uint8_t again[WEFT_PROTO_HELLO];
	struct weft_hello hello;

	if (weft_hello_decode(p, (uint32_t)len, &hello))
		return;
	FUZZ_CHECK(len == WEFT_PROTO_HELLO, "HELLO of %zu bytes accepted", len);
	FUZZ_CHECK(hello.epoch && hello.payload_max >= WEFT_SRD_PAYLOAD_MIN,
		   "HELLO without sense accepted");
	weft_hello_encode(again, &hello);
	FUZZ_CHECK(!memcmp(p, again, sizeof(again)), "HELLO changed in a round trip");
}

static void ack_case(const uint8_t *p, size_t len)
{
	uint8_t again[WEFT_SRD_HEAD_MAX];
	struct weft_ack ack;

	if (weft_ack_decode(p, (uint32_t)len, &ack))
		return;
	FUZZ_CHECK(ack.words <= WEFT_PROTO_WORDS && ack.echoes <= WEFT_PROTO_ECHOES &&
			   ack.drops <= WEFT_PROTO_DROPS,
		   "counts %u %u %u", ack.words, ack.echoes, ack.drops);
	FUZZ_CHECK(weft_ack_encode(again, &ack) == len, "ACK changed its length in a round trip");
	/* The last byte of the fixed part is not looked at and goes out as zero. */
	FUZZ_CHECK(
		!memcmp(p, again, WEFT_PROTO_ACK - 1) &&
			!memcmp(p + WEFT_PROTO_ACK, again + WEFT_PROTO_ACK, len - WEFT_PROTO_ACK),
		"ACK changed in a round trip");
}

/* A sealed head is authentic, and is not with any one bit changed. */
static void tag_case(const uint8_t *p, size_t len)
{
	static const uint8_t key[16] = { 1, 2, 3 };
	uint8_t head[WEFT_SRD_HEAD_MAX];
	uint32_t bit;

	if (len < 2 + WEFT_PROTO_HDR || len - 2 > sizeof(head)) {
		FUZZ_CHECK(!weft_head_is_authentic(key, p,
						   len < WEFT_PROTO_HDR ? (uint32_t)len : 65536u),
			   "authentic at an impossible length");
		return;
	}
	bit = (uint32_t)(p[0] << 8 | p[1]) % (8 * ((uint32_t)len - 2));
	len -= 2;
	memcpy(head, p + 2, len);
	weft_head_seal(key, head, (uint32_t)len);
	FUZZ_CHECK(weft_head_is_authentic(key, head, (uint32_t)len), "sealed and not authentic");
	head[bit / 8] ^= (uint8_t)(1 << bit % 8);
	FUZZ_CHECK(!weft_head_is_authentic(key, head, (uint32_t)len), "bit %u is not covered", bit);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const cases[])(const uint8_t *p, size_t len) = {
		hdr_case, op_case, hello_case, ack_case, tag_case,
	};
	uint8_t *exact;

	if (!size)
		return 0;
	exact = malloc(size > 1 ? size - 1 : 1);
	if (!exact)
		return 0;
	memcpy(exact, data + 1, size - 1);
	cases[data[0] % WEFT_ARRAY_SIZE(cases)](exact, size - 1);
	free(exact);
	return 0;
}
