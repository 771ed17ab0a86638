/* SPDX-License-Identifier: BSD-2-Clause */
/* The wire format without an engine: what goes in comes out, and what is malformed is refused. What an
 * engine makes of malformed frames is in test_srd_srd.c. */
#include "srd/proto.h"

#include "base/prng.h"
#include "srd/srd.h"

#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t key[16] = "a cluster's key";

static struct weft_hdr a_header(void)
{
	return (struct weft_hdr){
		.type = WEFT_PKT_DATA,
		.flags = WEFT_PKT_F_RTX | WEFT_PKT_F_LAST,
		.ev = 0x0102,
		.dst_ctx = 0x03040506,
		.dst_epoch = 0x0708090a,
		.src_ctx = 0x0b0c0d0e,
		.psn = 0x0f10111213141516,
		.tx_ts = 0x1718191a,
		.pull = 0x1b1c,
		.len = 0x1d1e,
	};
}

static void weft_hdr_encode__bytes_in_order(void **state)
{
	static const uint8_t want[32] = {
		0x14, 0x05, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09,
		0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14,
		0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e,
	};
	struct weft_hdr hdr = a_header();
	uint8_t p[WEFT_PROTO_HDR];

	(void)state;
	memset(p, 0xee, sizeof(p));
	weft_hdr_encode(p, &hdr);
	assert_memory_equal(p, want, sizeof(want));
	/* The tag is not the header's business. */
	for (unsigned int i = WEFT_PROTO_TAG_AT; i < WEFT_PROTO_HDR; i++)
		assert_int_equal(p[i], 0xee);
}

static bool is_same_hdr(const struct weft_hdr *a, const struct weft_hdr *b)
{
	return a->type == b->type && a->flags == b->flags && a->ev == b->ev &&
	       a->dst_ctx == b->dst_ctx && a->dst_epoch == b->dst_epoch &&
	       a->src_ctx == b->src_ctx && a->psn == b->psn && a->tx_ts == b->tx_ts &&
	       a->pull == b->pull && a->len == b->len;
}

static void weft_hdr__round_trip(void **state)
{
	struct weft_prng rnd;

	(void)state;
	weft_prng_init(&rnd, 1);
	for (int i = 0; i < 5000; i++) {
		uint64_t r = weft_prng_next(&rnd), s = weft_prng_next(&rnd);
		struct weft_hdr got, hdr = {
			.type = (uint8_t)(WEFT_PKT_HELLO + i % 8),
			.flags = r & WEFT_PKT_F_ALL,
			.ev = (uint16_t)(r >> 8),
			.dst_ctx = (uint32_t)(r >> 32),
			.dst_epoch = (uint32_t)s,
			.src_ctx = (uint32_t)(s >> 32),
			.psn = weft_prng_next(&rnd),
			.tx_ts = (uint32_t)weft_prng_next(&rnd),
			.pull = (uint16_t)weft_prng_next(&rnd),
			.len = (uint16_t)weft_prng_next(&rnd),
		};
		uint8_t p[WEFT_PROTO_HDR];

		weft_hdr_encode(p, &hdr);
		assert_int_equal(weft_hdr_decode(p, &got), 0);
		assert_true(is_same_hdr(&hdr, &got));
	}
}

static void weft_hdr_decode__first_bytes(void **state)
{
	static const struct {
		int id;
		uint8_t first, flags;
		int rc;
	} rows[] = {
		{ 1, 0x11, 0x00, 0 },
		{ 2, 0x18, 0x1f, 0 },
		{ 3, 0x10, 0x00, -EBADMSG },
		{ 4, 0x19, 0x00, -EBADMSG },
		{ 5, 0x1f, 0x00, -EBADMSG },
		{ 6, 0x01, 0x00, -EPROTONOSUPPORT },
		{ 7, 0x21, 0x00, -EPROTONOSUPPORT },
		{ 8, 0xf4, 0x00, -EPROTONOSUPPORT },
		{ 9, 0x14, 0x20, -EBADMSG },
		{ 10, 0x14, 0x80, -EBADMSG },
		/* Another version may mean anything by its other bytes: the version comes first. */
		{ 11, 0x2f, 0xff, -EPROTONOSUPPORT },
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct weft_hdr got, before;
		uint8_t p[WEFT_PROTO_HDR] = { rows[i].first, rows[i].flags };
		int rc;

		memset(&got, 0x5a, sizeof(got));
		before = got;
		rc = weft_hdr_decode(p, &got);
		if (rc != rows[i].rc)
			fail_msg("row %d: %d", rows[i].id, rc);
		if (rc && memcmp(&got, &before, sizeof(got)))
			fail_msg("row %d: output written on failure", rows[i].id);
	}
}

static void weft_op_encode__bytes_in_order(void **state)
{
	static const struct weft_op op = {
		.op = WEFT_WIRE_CANCEL,
		.code = 0x01,
		.una = 0x0203,
		.dst_qpn = 0x0405,
		.src_qpn = 0x0607,
		.msg_id = 0x08090a0b,
		.msg_len = 0x0c0d0e0f,
		.off = 0x10111213,
		.key = 0x14151617,
		.addr = 0x18191a1b1c1d1e1f,
		.imm = 0x20212223,
		.crc = 0x24252627,
	};
	uint8_t p[WEFT_PROTO_OP];

	(void)state;
	weft_op_encode(p, &op);
	assert_int_equal(p[0], 7);
	for (unsigned int i = 1; i < sizeof(p); i++)
		assert_int_equal(p[i], i);
}

static void weft_op__round_trip(void **state)
{
	struct weft_prng rnd;

	(void)state;
	weft_prng_init(&rnd, 2);
	for (int i = 0; i < 5000; i++) {
		uint64_t r = weft_prng_next(&rnd), s = weft_prng_next(&rnd);
		uint8_t p[WEFT_PROTO_OP], again[WEFT_PROTO_OP];
		struct weft_op got, op = {
			.op = (uint8_t)(i % WEFT_WIRE_OP_COUNT),
			.code = (uint8_t)r,
			.una = (uint16_t)(r >> 8),
			.dst_qpn = (uint16_t)(r >> 24),
			.src_qpn = (uint16_t)(r >> 40),
			.msg_id = (uint32_t)s,
			.msg_len = (uint32_t)(s >> 32),
			.off = (uint32_t)weft_prng_next(&rnd),
			.key = (uint32_t)weft_prng_next(&rnd),
			.addr = weft_prng_next(&rnd),
			.imm = (uint32_t)weft_prng_next(&rnd),
			.crc = (uint32_t)weft_prng_next(&rnd),
		};

		weft_op_encode(p, &op);
		assert_int_equal(weft_op_decode(p, &got), 0);
		assert_int_equal(got.op, op.op);
		assert_int_equal(got.addr, op.addr);
		weft_op_encode(again, &got);
		assert_memory_equal(p, again, sizeof(p));
	}
}

static void weft_op_decode__unknown_operations(void **state)
{
	(void)state;
	for (unsigned int v = 0; v < 256; v++) {
		uint8_t p[WEFT_PROTO_OP] = { (uint8_t)v };
		struct weft_op op;

		assert_int_equal(weft_op_decode(p, &op), v < WEFT_WIRE_OP_COUNT ? 0 : -EBADMSG);
	}
}

static struct weft_hello a_hello(void)
{
	return (struct weft_hello){
		.src = { .raw = "sixteen bytes a" },
		.dst = { .raw = "sixteen bytes b" },
		.epoch = 0x01020304,
		.version_max = 1,
		.features = WEFT_HELLO_F_CRC,
		.payload_max = 8928,
	};
}

static void weft_hello__round_trip(void **state)
{
	struct weft_hello hello = a_hello(), got;
	uint8_t p[WEFT_PROTO_HELLO];

	(void)state;
	weft_hello_encode(p, &hello);
	assert_memory_equal(p, "sixteen bytes a", 16);
	assert_memory_equal(p + 16, "sixteen bytes b", 16);
	assert_int_equal(weft_get32(p + 32), 0x01020304);
	assert_int_equal(weft_get16(p + 38), 8928);
	assert_int_equal(weft_hello_decode(p, sizeof(p), &got), 0);
	assert_memory_equal(&got.src, &hello.src, 16);
	assert_memory_equal(&got.dst, &hello.dst, 16);
	assert_int_equal(got.epoch, hello.epoch);
	assert_int_equal(got.version_max, 1);
	assert_int_equal(got.features, WEFT_HELLO_F_CRC);
	assert_int_equal(got.payload_max, 8928);
}

static void weft_hello_decode__table(void **state)
{
	static const struct {
		int id;
		uint32_t len, epoch;
		uint8_t version;
		uint16_t payload;
		int rc;
	} rows[] = {
		{ 1, 40, 1, 1, 8928, 0 },
		{ 2, 39, 1, 1, 8928, -EBADMSG },
		{ 3, 41, 1, 1, 8928, -EBADMSG },
		{ 4, 0, 1, 1, 8928, -EBADMSG },
		{ 5, 40, 0, 1, 8928, -EBADMSG }, /* No epoch is 0. */
		{ 6, 40, 1, 0, 8928, -EBADMSG },
		{ 7, 40, 1, 2, 8928, 0 }, /* Can do more; speaks ours too. */
		{ 8, 40, 1, 255, 8928, 0 },
		{ 9, 40, 1, 1, 511, -EBADMSG },
		{ 10, 40, 1, 1, 512, 0 },
		{ 11, 40, 1, 1, 65535, 0 },
		{ 12, 40, UINT32_MAX, 1, 1024, 0 },
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct weft_hello hello = a_hello(), got;
		uint8_t p[WEFT_PROTO_HELLO + 1] = { 0 };
		int rc;

		hello.epoch = rows[i].epoch;
		hello.version_max = rows[i].version;
		hello.payload_max = rows[i].payload;
		weft_hello_encode(p, &hello);
		rc = weft_hello_decode(p, rows[i].len, &got);
		if (rc != rows[i].rc)
			fail_msg("row %d: %d", rows[i].id, rc);
	}
}

static void random_ack(struct weft_prng *rnd, struct weft_ack *ack)
{
	memset(ack, 0, sizeof(*ack));
	ack->cum = weft_prng_next(rnd);
	ack->una = weft_prng_next(rnd);
	ack->grant = (uint16_t)weft_prng_next(rnd);
	ack->dups = (uint16_t)weft_prng_next(rnd);
	ack->words = (uint8_t)weft_prng_below(rnd, WEFT_PROTO_WORDS + 1);
	ack->echoes = (uint8_t)weft_prng_below(rnd, WEFT_PROTO_ECHOES + 1);
	ack->drops = (uint8_t)weft_prng_below(rnd, WEFT_PROTO_DROPS + 1);
	for (unsigned int i = 0; i < ack->words; i++)
		ack->word[i] = weft_prng_next(rnd);
	for (unsigned int i = 0; i < ack->echoes; i++) {
		uint64_t r = weft_prng_next(rnd);

		ack->echo[i].tx_ts = (uint32_t)r;
		ack->echo[i].ev = (uint16_t)weft_prng_below(rnd, WEFT_SRD_PATHS_MAX);
		ack->echo[i].psn = (uint16_t)(r >> 32);
		ack->echo[i].hold = (uint16_t)(r >> 48);
		ack->echo[i].ce = weft_prng_chance(rnd, 500000);
		ack->echo[i].trimmed = weft_prng_chance(rnd, 500000);
		ack->echo[i].probe = weft_prng_chance(rnd, 500000);
	}
	for (unsigned int i = 0; i < ack->drops; i++) {
		ack->drop[i].psn = (uint32_t)weft_prng_next(rnd);
		ack->drop[i].code = (uint8_t)weft_prng_next(rnd);
	}
}

static uint32_t ack_len(const struct weft_ack *ack)
{
	return WEFT_PROTO_ACK + 8u * ack->words + WEFT_PROTO_ECHO * ack->echoes +
	       WEFT_PROTO_DROP * ack->drops;
}

static void check_same_ack(const struct weft_ack *a, const struct weft_ack *b)
{
	assert_int_equal(a->cum, b->cum);
	assert_int_equal(a->una, b->una);
	assert_int_equal(a->grant, b->grant);
	assert_int_equal(a->dups, b->dups);
	assert_int_equal(a->words, b->words);
	assert_int_equal(a->echoes, b->echoes);
	assert_int_equal(a->drops, b->drops);
	for (unsigned int i = 0; i < a->words; i++)
		assert_int_equal(a->word[i], b->word[i]);
	for (unsigned int i = 0; i < a->echoes; i++) {
		assert_int_equal(a->echo[i].tx_ts, b->echo[i].tx_ts);
		assert_int_equal(a->echo[i].ev, b->echo[i].ev);
		assert_int_equal(a->echo[i].psn, b->echo[i].psn);
		assert_int_equal(a->echo[i].hold, b->echo[i].hold);
		assert_int_equal(a->echo[i].ce, b->echo[i].ce);
		assert_int_equal(a->echo[i].trimmed, b->echo[i].trimmed);
		assert_int_equal(a->echo[i].probe, b->echo[i].probe);
	}
	for (unsigned int i = 0; i < a->drops; i++) {
		assert_int_equal(a->drop[i].psn, b->drop[i].psn);
		assert_int_equal(a->drop[i].code, b->drop[i].code);
	}
}

/* In blocks of exactly the right length, so that ASan sees a byte too far. */
static void weft_ack__round_trip(void **state)
{
	struct weft_prng rnd;

	(void)state;
	weft_prng_init(&rnd, 3);
	for (int i = 0; i < 3000; i++) {
		struct weft_ack ack, got;
		uint8_t *p;

		random_ack(&rnd, &ack);
		p = malloc(ack_len(&ack));
		assert_non_null(p);
		assert_int_equal(weft_ack_encode(p, &ack), ack_len(&ack));
		assert_int_equal(weft_ack_decode(p, ack_len(&ack), &got), 0);
		check_same_ack(&ack, &got);
		free(p);
	}
}

static void weft_ack_encode__fullest_fits_a_head(void **state)
{
	struct weft_ack ack = { .words = WEFT_PROTO_WORDS,
				.echoes = WEFT_PROTO_ECHOES,
				.drops = WEFT_PROTO_DROPS };
	uint8_t p[WEFT_SRD_HEAD_MAX];

	(void)state;
	assert_in_range(WEFT_PROTO_HDR + weft_ack_encode(p, &ack), 1, WEFT_SRD_HEAD_MAX);
}

/* Every length but the right one is refused, and so is every count beyond its limit. */
static void weft_ack_decode__any_wrong_length(void **state)
{
	struct weft_prng rnd;

	(void)state;
	weft_prng_init(&rnd, 4);
	for (int i = 0; i < 100; i++) {
		struct weft_ack ack, got;
		uint8_t p[1024] = { 0 };
		uint32_t right;

		random_ack(&rnd, &ack);
		right = weft_ack_encode(p, &ack);
		for (uint32_t len = 0; len < sizeof(p); len++)
			assert_int_equal(weft_ack_decode(p, len, &got),
					 len == right ? 0 : -EBADMSG);
	}
}

static void weft_ack_decode__counts(void **state)
{
	static const struct {
		int id;
		uint8_t words, echoes, drops;
		int rc;
	} rows[] = {
		{ 1, 0, 0, 0, 0 },
		{ 2, WEFT_PROTO_WORDS, WEFT_PROTO_ECHOES, WEFT_PROTO_DROPS, 0 },
		{ 3, WEFT_PROTO_WORDS + 1, 0, 0, -EBADMSG },
		{ 4, 0, WEFT_PROTO_ECHOES + 1, 0, -EBADMSG },
		{ 5, 0, 0, WEFT_PROTO_DROPS + 1, -EBADMSG },
		{ 6, 255, 255, 255, -EBADMSG },
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		uint32_t len = WEFT_PROTO_ACK + 8u * rows[i].words + 10u * rows[i].echoes +
			       5u * rows[i].drops;
		uint8_t p[8192] = {
			[20] = rows[i].words, [21] = rows[i].echoes, [22] = rows[i].drops
		};
		struct weft_ack got;

		if (weft_ack_decode(p, len, &got) != rows[i].rc)
			fail_msg("row %d", rows[i].id);
	}
}

static void weft_head_seal__every_bit_counts(void **state)
{
	uint8_t head[WEFT_SRD_DATA_HEAD];

	(void)state;
	for (unsigned int i = 0; i < sizeof(head); i++)
		head[i] = (uint8_t)(i * 7);
	weft_head_seal(key, head, sizeof(head));
	assert_true(weft_head_is_authentic(key, head, sizeof(head)));
	for (unsigned int bit = 0; bit < 8 * sizeof(head); bit++) {
		head[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_false(weft_head_is_authentic(key, head, sizeof(head)));
		head[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_true(weft_head_is_authentic(key, head, sizeof(head)));
}

static void weft_head_seal__key_and_length_count(void **state)
{
	uint8_t head[WEFT_SRD_HEAD_MAX] = { 0 }, other[16];

	(void)state;
	memcpy(other, key, sizeof(other));
	other[15] ^= 1;
	for (uint32_t len = WEFT_PROTO_HDR; len <= sizeof(head); len += 13) {
		weft_head_seal(key, head, len);
		assert_true(weft_head_is_authentic(key, head, len));
		assert_false(weft_head_is_authentic(other, head, len));
		/* More zeros behind the same zeros are another head. */
		if (len < sizeof(head))
			assert_false(weft_head_is_authentic(key, head, len + 1));
	}
}

static void weft_head_is_authentic__impossible_lengths(void **state)
{
	uint8_t head[WEFT_SRD_HEAD_MAX + 1] = { 0 };

	(void)state;
	assert_false(weft_head_is_authentic(key, head, 0));
	assert_false(weft_head_is_authentic(key, head, WEFT_PROTO_HDR - 1));
	assert_false(weft_head_is_authentic(key, head, WEFT_SRD_HEAD_MAX + 1));
	assert_false(weft_head_is_authentic(key, head, UINT32_MAX));
}

static void weft_head_len__data_leaves_the_payload_out(void **state)
{
	(void)state;
	for (uint8_t type = WEFT_PKT_HELLO; type <= WEFT_PKT_FIN_ACK; type++) {
		struct weft_hdr hdr = { .type = type, .len = 1000 };

		assert_int_equal(weft_head_len(&hdr), type == WEFT_PKT_DATA ? 80 : 1040);
	}
}

static void weft_pkt_type_name__all(void **state)
{
	(void)state;
	assert_string_equal(weft_pkt_type_name(WEFT_PKT_HELLO), "HELLO");
	assert_string_equal(weft_pkt_type_name(WEFT_PKT_FIN_ACK), "FIN_ACK");
	assert_string_equal(weft_pkt_type_name(0), "?");
	assert_string_equal(weft_pkt_type_name(9), "?");
	assert_string_equal(weft_wire_op_name(WEFT_WIRE_SEND), "SEND");
	assert_string_equal(weft_wire_op_name(WEFT_WIRE_CANCEL), "CANCEL");
	assert_string_equal(weft_wire_op_name(WEFT_WIRE_OP_COUNT), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_hdr_encode__bytes_in_order),
		cmocka_unit_test(weft_hdr__round_trip),
		cmocka_unit_test(weft_hdr_decode__first_bytes),
		cmocka_unit_test(weft_op_encode__bytes_in_order),
		cmocka_unit_test(weft_op__round_trip),
		cmocka_unit_test(weft_op_decode__unknown_operations),
		cmocka_unit_test(weft_hello__round_trip),
		cmocka_unit_test(weft_hello_decode__table),
		cmocka_unit_test(weft_ack__round_trip),
		cmocka_unit_test(weft_ack_encode__fullest_fits_a_head),
		cmocka_unit_test(weft_ack_decode__any_wrong_length),
		cmocka_unit_test(weft_ack_decode__counts),
		cmocka_unit_test(weft_head_seal__every_bit_counts),
		cmocka_unit_test(weft_head_seal__key_and_length_count),
		cmocka_unit_test(weft_head_is_authentic__impossible_lengths),
		cmocka_unit_test(weft_head_len__data_leaves_the_payload_out),
		cmocka_unit_test(weft_pkt_type_name__all),
	};

	return cmocka_run_group_tests_name("srd_proto", tests, NULL, NULL);
}
