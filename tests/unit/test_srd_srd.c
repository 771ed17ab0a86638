/* SPDX-License-Identifier: BSD-2-Clause */
/* The public face: limits, what a post accepts, every operation at every awkward size, frames that are
 * refused before a context is looked for, time that wraps, and the order of what is sent. */
#include "pair.h"

#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint32_t tune_payload;

static void tune_payload_max(struct weft_srd_cfg *cfg, unsigned int id)
{
	(void)id;
	cfg->payload_max = tune_payload;
}

/* Configuration */

static void weft_srd_cfg_default__is_accepted(void **state)
{
	struct weft_srd_cfg cfg;
	const char *why = NULL;

	(void)state;
	weft_srd_cfg_default(&cfg);
	assert_int_equal(weft_srd_cfg_check(&cfg, &why), 0);
	assert_null(why);
	assert_int_equal(cfg.paths, 64);
	assert_int_equal(cfg.rto_min, WEFT_US(100));
	assert_int_equal(cfg.rto_max, WEFT_MS(50));
	assert_int_equal(cfg.dead_after, WEFT_S(5));
}

#define FIELD(name) \
#name, offsetof(struct weft_srd_cfg, name), sizeof(((struct weft_srd_cfg *)0)->name)

struct limit {
	int id;
	const char *name;
	size_t at, size;
	uint64_t value;
	bool ok;
};

static void set_field(struct weft_srd_cfg *cfg, const struct limit *row)
{
	uint32_t v32 = (uint32_t)row->value;

	if (row->size == sizeof(v32))
		memcpy((uint8_t *)cfg + row->at, &v32, sizeof(v32));
	else
		memcpy((uint8_t *)cfg + row->at, &row->value, sizeof(row->value));
}

static void weft_srd_cfg_check__table(void **state)
{
	static const struct limit rows[] = {
		{ 1, FIELD(contexts_max), 0, false },
		{ 2, FIELD(contexts_max), 1, true },
		{ 3, FIELD(active_max), 0, false },
		{ 4, FIELD(active_max), 1, true },
		{ 5, FIELD(msgs_max), 0, false },
		{ 6, FIELD(msgs_max), 1, true },
		{ 7, FIELD(reads_max), 0, false },
		{ 8, FIELD(reads_max), 1, true },
		{ 9, FIELD(rx_msgs_max), 0, false },
		{ 10, FIELD(rx_msgs_max), 1, true },
		{ 11, FIELD(packets_max), 0, false },
		{ 12, FIELD(packets_max), 1, true },
		{ 13, FIELD(payload_max), 511, false },
		{ 14, FIELD(payload_max), 512, true },
		{ 15, FIELD(payload_max), 70000, false },
		{ 16, FIELD(payload_max), 8928, true },
		{ 17, FIELD(paths), 0, false },
		{ 18, FIELD(paths), 1, true },
		{ 19, FIELD(paths), 2, false },
		{ 20, FIELD(paths), 15, false },
		{ 21, FIELD(paths), 16, true },
		{ 22, FIELD(paths), 256, true },
		{ 23, FIELD(paths), 257, false },
		{ 24, FIELD(burst_bytes), 0, true },
		{ 25, FIELD(burst_bytes), 65536, true },
		{ 26, FIELD(burst_bytes), 65537, false },
		{ 27, FIELD(link_bps), 0, true },
		{ 28, FIELD(rtt_hint), 0, false },
		{ 29, FIELD(rto_min), 0, false },
		{ 30, FIELD(rto_max), WEFT_US(99), false },
		{ 31, FIELD(rto_max), WEFT_US(100), true },
		{ 32, FIELD(ack_packets), 0, false },
		{ 33, FIELD(ack_bytes), 0, false },
		{ 34, FIELD(dead_after), 0, false },
		{ 35, FIELD(idle_after), 0, false },
		{ 36, FIELD(contexts_max), UINT32_MAX, false },
		{ 37, FIELD(packets_max), UINT32_MAX, false },
		/* An ACK's echo of a path has 13 bits and its time stamps 16 ns: see protocol.md. */
		{ 38, FIELD(rtt_hint), WEFT_S(100), false },
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct weft_srd_cfg cfg;
		const char *why = NULL;
		int rc;

		weft_srd_cfg_default(&cfg);
		set_field(&cfg, &rows[i]);
		rc = weft_srd_cfg_check(&cfg, &why);
		if (rc != (rows[i].ok ? 0 : -EINVAL))
			fail_msg("row %d: %s: %d", rows[i].id, rows[i].name, rc);
		if (rc && strcmp(why, rows[i].name))
			fail_msg("row %d: %s: blames %s", rows[i].id, rows[i].name, why);
	}
}

static void weft_srd_cfg_check__unknown_lb(void **state)
{
	struct weft_srd_cfg cfg;
	const char *why = NULL;

	(void)state;
	weft_srd_cfg_default(&cfg);
	cfg.lb = (enum weft_srd_lb)7;
	assert_int_equal(weft_srd_cfg_check(&cfg, &why), -EINVAL);
	assert_string_equal(why, "lb");
}

/* Posting */

static void weft_srd_on_post__refusals(void **state)
{
	static const struct {
		int id;
		enum weft_srd_op op;
		uint32_t len;
		uint8_t rnr_retry;
		int rc;
	} rows[] = {
		{ 1, WEFT_SRD_SEND, 8928, 0, 0 },
		{ 2, WEFT_SRD_SEND, 8929, 0, -EMSGSIZE },
		{ 3, WEFT_SRD_SEND_IMM, 8929, 0, -EMSGSIZE },
		{ 4, WEFT_SRD_SEND, UINT32_MAX, 0, -EMSGSIZE },
		{ 5, WEFT_SRD_WRITE, (1u << 30) + 1, 0, -EMSGSIZE },
		{ 6, WEFT_SRD_WRITE_IMM, (1u << 30) + 1, 0, -EMSGSIZE },
		{ 7, WEFT_SRD_READ, (1u << 30) + 1, 0, -EMSGSIZE },
		{ 8, WEFT_SRD_READ, 1u << 30, 0, 0 },
		{ 9, (enum weft_srd_op)5, 0, 0, -EINVAL },
		{ 10, (enum weft_srd_op)255, 0, 0, -EINVAL },
		{ 11, WEFT_SRD_SEND, 0, 7, 0 },
		{ 12, WEFT_SRD_SEND, 0, 8, -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct pair *p = pair_open(2, NULL);
		struct weft_srd_wr wr = { .op = rows[i].op,
					  .len = rows[i].len,
					  .rnr_retry = rows[i].rnr_retry };
		uint64_t cookie;
		int rc;

		p->offline = true;
		rc = pair_try_post(p, PAIR_A, wr, &cookie);
		if (rc != rows[i].rc)
			fail_msg("row %d: %d", rows[i].id, rc);
		pair_close(p);
	}
}

static void weft_srd_on_post__no_such_peer(void **state)
{
	struct pair *p = pair_open(2, NULL);
	struct weft_srd_wr wr = { .op = WEFT_SRD_SEND, .peer = 1 };

	(void)state;
	assert_int_equal(weft_srd_on_post(p->end[PAIR_A].srd, &wr, p->now), -EINVAL);
	wr.peer = UINT32_MAX;
	assert_int_equal(weft_srd_on_post(p->end[PAIR_A].srd, &wr, p->now), -EINVAL);
	pair_close(p);
}

static void tune_two_msgs(struct weft_srd_cfg *cfg, unsigned int id)
{
	(void)id;
	cfg->msgs_max = 2;
}

/* msgs_max work requests and not one more; a completion makes room. */
static void weft_srd_on_post__full_and_again(void **state)
{
	struct pair *p = pair_open(2, tune_two_msgs);
	uint64_t cookie;

	(void)state;
	pair_post(p, PAIR_A, WEFT_SRD_SEND, 10);
	pair_post(p, PAIR_A, WEFT_SRD_SEND, 10);
	assert_int_equal(
		pair_try_post(p, PAIR_A, (struct weft_srd_wr){ .op = WEFT_SRD_SEND }, &cookie),
		-EAGAIN);
	pair_settle(p);
	for (int i = 0; i < 100; i++) {
		pair_post(p, PAIR_A, WEFT_SRD_SEND, 10);
		pair_post(p, PAIR_A, WEFT_SRD_SEND, 10);
		pair_settle(p);
	}
	assert_int_equal(p->end[PAIR_B].recv_done, 202);
	assert_int_equal(p->end[PAIR_A].failed, 0);
	pair_close_idle(p);
}

/* Every operation at the sizes where something changes */

static void check_all_ops(uint32_t payload, uint32_t len)
{
	static const enum weft_srd_op all[] = { WEFT_SRD_SEND, WEFT_SRD_SEND_IMM, WEFT_SRD_WRITE,
						WEFT_SRD_WRITE_IMM, WEFT_SRD_READ };
	struct pair *p;
	uint32_t recvs;

	tune_payload = payload;
	p = pair_open(2, tune_payload_max);
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(all); i++)
		if (all[i] > WEFT_SRD_SEND_IMM || len <= WEFT_SRD_SEND_MAX)
			pair_post(p, PAIR_A, all[i], len);
	pair_settle(p);
	if (p->end[PAIR_A].failed)
		fail_msg("payload %u, length %u: failed", payload, len);
	recvs = len <= WEFT_SRD_SEND_MAX ? 3 : 1;
	assert_int_equal(p->end[PAIR_B].recv_n, recvs);
	assert_int_equal(p->end[PAIR_B].recv_done, recvs);
	assert_int_equal(p->end[PAIR_B].recv_released, 0);
	assert_int_equal(p->end[PAIR_B].write_bytes, 2u * len);
	for (uint32_t i = 0; i < len; i++)
		if (p->end[PAIR_B].mem[i] != pair_byte(3, i) &&
		    p->end[PAIR_B].mem[i] != pair_byte(4, i) && len <= WEFT_SRD_SEND_MAX)
			fail_msg("payload %u, length %u: byte %u was not written", payload, len, i);
	pair_close_idle(p);
}

static void weft_srd_on_post__sizes(void **state)
{
	static const uint32_t payloads[] = { 512, 1024, 1472, 4096, 8928 };

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(payloads); i++) {
		uint32_t n = payloads[i];
		uint32_t lens[] = {
			0, 1, n - 1, n, n + 1, 2 * n - 1, 2 * n, 2 * n + 1, 8928, 100000
		};

		for (size_t k = 0; k < WEFT_ARRAY_SIZE(lens); k++)
			check_all_ops(n, lens[k]);
	}
}

static void tune_unequal(struct weft_srd_cfg *cfg, unsigned int id)
{
	cfg->payload_max = id == PAIR_A ? 8928 : 700;
	cfg->msgs_max = 64;
}

/* The smaller of the two links decides, in both directions. */
static void weft_srd_on_post__unequal_links(void **state)
{
	struct pair *p = pair_open(2, tune_unequal);

	(void)state;
	pair_post(p, PAIR_A, WEFT_SRD_SEND, 8928);
	pair_post(p, PAIR_A, WEFT_SRD_READ, 20000);
	pair_post(p, PAIR_B, WEFT_SRD_SEND, 8928);
	pair_settle_ok(p);
	for (uint32_t i = 0; i < p->logged; i++)
		assert_in_range(p->log[i]->len, 40, 700 + WEFT_SRD_DATA_HEAD);
	assert_int_equal(pair_stats(p, PAIR_B)->rx_drops[WEFT_SRD_DROP_LONG], 0);
	pair_close_idle(p);
}

/* What the receiver is told about a message is what the sender said. */
static void weft_srd_on_post__info_arrives(void **state)
{
	struct pair *p = pair_open(2, NULL);
	struct weft_srd_wr wr = { .op = WEFT_SRD_SEND_IMM,
				  .len = 3000,
				  .src_qpn = 0x1234,
				  .dst_qpn = 0xfedc,
				  .imm = 0xdeadbeef,
				  .rnr_retry = 7 };
	const struct pair_recv *r;

	(void)state;
	pair_post_wr(p, PAIR_A, wr);
	pair_settle(p);
	r = &p->end[PAIR_B].recv[0];
	assert_int_equal(r->info.op, WEFT_SRD_SEND_IMM);
	assert_int_equal(r->info.src_qpn, 0x1234);
	assert_int_equal(r->info.dst_qpn, 0xfedc);
	assert_int_equal(r->info.imm, 0xdeadbeef);
	assert_int_equal(r->info.key, PAIR_QKEY);
	assert_int_equal(r->info.len, 3000);
	pair_close(p);
}

static void weft_srd_stats__count_each_operation(void **state)
{
	struct pair *p = pair_open(2, NULL);
	const struct weft_srd_stats *a, *b;

	(void)state;
	pair_post(p, PAIR_A, WEFT_SRD_SEND, 3000);
	pair_post(p, PAIR_A, WEFT_SRD_SEND_IMM, 100);
	pair_post(p, PAIR_A, WEFT_SRD_WRITE, 5000);
	pair_post(p, PAIR_A, WEFT_SRD_WRITE_IMM, 7000);
	pair_post(p, PAIR_A, WEFT_SRD_READ, 9000);
	pair_settle(p);
	a = pair_stats(p, PAIR_A);
	b = pair_stats(p, PAIR_B);
	assert_int_equal(a->send_wrs, 2);
	assert_int_equal(a->send_bytes, 3100);
	assert_int_equal(a->rdma_write_wrs, 2);
	assert_int_equal(a->rdma_write_bytes, 12000);
	assert_int_equal(a->rdma_read_wrs, 1);
	assert_int_equal(a->rdma_read_bytes, 9000);
	assert_int_equal(b->recv_wrs, 3);
	assert_int_equal(b->recv_bytes, 10100);
	assert_int_equal(b->rdma_write_recv_bytes, 12000);
	assert_int_equal(b->rdma_read_resp_bytes, 9000);
	assert_int_equal(a->retrans_pkts + b->retrans_pkts, 0);
	assert_int_equal(a->contexts_opened, 1);
	assert_int_equal(b->contexts_opened, 1);
	pair_run(p, WEFT_MS(1));
	assert_int_equal(a->tx_pkts, b->rx_pkts);
	assert_int_equal(a->tx_bytes, b->rx_bytes);
	assert_int_equal(b->tx_pkts, a->rx_pkts);
	pair_close(p);
}

/* Malformed frames */

struct frame {
	uint8_t bytes[70000];
	uint32_t len;
};

static uint32_t drops(const struct pair *p, unsigned int id)
{
	uint32_t sum = 0;

	for (int i = 0; i < WEFT_SRD_DROP_COUNT; i++)
		sum += (uint32_t)pair_stats(p, id)->rx_drops[i];
	return sum;
}

/* Inject into B; exactly one drop is counted, and it is for this reason. */
static void expect_drop(struct pair *p, const struct frame *f, int row, enum weft_srd_drop why)
{
	uint32_t before = drops(p, PAIR_B);
	uint64_t one = pair_stats(p, PAIR_B)->rx_drops[why];

	pair_inject(p, PAIR_B, f->bytes, f->len);
	if (pair_stats(p, PAIR_B)->rx_drops[why] != one + 1)
		fail_msg("row %d: not counted as \"%s\"", row, weft_srd_drop_name(why));
	assert_int_equal(drops(p, PAIR_B), before + 1);
}

static struct frame *sealed(struct pair *p, const struct weft_hdr *hdr, uint32_t head_len,
			    uint32_t len)
{
	struct frame *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	weft_hdr_encode(f->bytes, hdr);
	if (head_len <= WEFT_SRD_HEAD_MAX)
		weft_head_seal(p->end[PAIR_B].cfg.key, f->bytes, head_len);
	f->len = len;
	return f;
}

static void weft_srd_on_packet__lengths(void **state)
{
	static const struct {
		int id;
		uint8_t type;
		uint16_t len;
		uint32_t frame;
		enum weft_srd_drop why;
	} rows[] = {
		{ 1, WEFT_PKT_PROBE, 0, 0, WEFT_SRD_DROP_SHORT },
		{ 2, WEFT_PKT_PROBE, 0, 1, WEFT_SRD_DROP_SHORT },
		{ 3, WEFT_PKT_PROBE, 0, 39, WEFT_SRD_DROP_SHORT },
		{ 4, WEFT_PKT_PROBE, 0, 41, WEFT_SRD_DROP_LONG },
		{ 5, WEFT_PKT_PROBE, 1, 40, WEFT_SRD_DROP_SHORT },
		{ 6, WEFT_PKT_PROBE, 1, 41, WEFT_SRD_DROP_LONG },
		{ 7, WEFT_PKT_DATA, 0, 40, WEFT_SRD_DROP_SHORT },
		{ 8, WEFT_PKT_DATA, 39, 79, WEFT_SRD_DROP_SHORT },
		{ 9, WEFT_PKT_DATA, 40, 79, WEFT_SRD_DROP_SHORT },
		{ 10, WEFT_PKT_DATA, 40, 81, WEFT_SRD_DROP_LONG },
		{ 11, WEFT_PKT_DATA, 50, 80, WEFT_SRD_DROP_SHORT },
		{ 12, WEFT_PKT_DATA, 40 + 1025, 80 + 1025, WEFT_SRD_DROP_LONG },
		{ 13, WEFT_PKT_DATA, 65535, 65575, WEFT_SRD_DROP_LONG },
		{ 14, WEFT_PKT_ACK, 665, 705, WEFT_SRD_DROP_LONG },
		{ 15, WEFT_PKT_ACK, 23, 63, WEFT_SRD_DROP_TYPE },
		{ 16, WEFT_PKT_ACK, 0, 40, WEFT_SRD_DROP_TYPE },
		{ 17, WEFT_PKT_ACK, 25, 65, WEFT_SRD_DROP_TYPE },
		{ 18, WEFT_PKT_HELLO, 0, 40, WEFT_SRD_DROP_TYPE },
		{ 19, WEFT_PKT_HELLO, 39, 79, WEFT_SRD_DROP_TYPE },
		{ 20, WEFT_PKT_HELLO, 41, 81, WEFT_SRD_DROP_TYPE },
		{ 21, WEFT_PKT_WELCOME, 39, 79, WEFT_SRD_DROP_TYPE },
		{ 22, WEFT_PKT_HELLO, 65535, 65575, WEFT_SRD_DROP_LONG },
		{ 23, WEFT_PKT_HELLO, 40, 80, WEFT_SRD_DROP_TYPE }, /* All zero: no epoch. */
		{ 24, WEFT_PKT_FIN, 1, 41, WEFT_SRD_DROP_LONG },
		{ 25, WEFT_PKT_RESET, 1, 41, WEFT_SRD_DROP_LONG },
		{ 26, WEFT_PKT_FIN_ACK, 1, 41, WEFT_SRD_DROP_LONG },
	};
	struct pair *p = pair_open_warm(NULL);

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct weft_hdr hdr = pair_hdr(p, PAIR_A, PAIR_B, rows[i].type);
		struct frame *f;

		hdr.len = rows[i].len;
		f = sealed(p, &hdr, weft_head_len(&hdr), rows[i].frame);
		expect_drop(p, f, rows[i].id, rows[i].why);
		free(f);
	}
	pair_close(p);
}

static void weft_srd_on_packet__first_bytes(void **state)
{
	static const struct {
		int id;
		uint8_t at, value;
		enum weft_srd_drop why;
	} rows[] = {
		{ 1, 0, 0x06, WEFT_SRD_DROP_VERSION }, { 2, 0, 0x26, WEFT_SRD_DROP_VERSION },
		{ 3, 0, 0xf6, WEFT_SRD_DROP_VERSION }, { 4, 0, 0x10, WEFT_SRD_DROP_TYPE },
		{ 5, 0, 0x19, WEFT_SRD_DROP_TYPE },    { 6, 0, 0x1f, WEFT_SRD_DROP_TYPE },
		{ 7, 1, 0x20, WEFT_SRD_DROP_TYPE },    { 8, 1, 0xff, WEFT_SRD_DROP_TYPE },
	};
	struct pair *p = pair_open_warm(NULL);

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct weft_hdr hdr = pair_hdr(p, PAIR_A, PAIR_B, WEFT_PKT_PROBE);
		struct frame *f = sealed(p, &hdr, WEFT_PROTO_HDR, WEFT_PROTO_HDR);

		f->bytes[rows[i].at] = rows[i].value;
		weft_head_seal(p->end[PAIR_B].cfg.key, f->bytes, WEFT_PROTO_HDR);
		expect_drop(p, f, rows[i].id, rows[i].why);
		free(f);
	}
	pair_close(p);
}

/* A single bit anywhere in the head of any packet: dropped, and by no other name than one of these. */
static void weft_srd_on_packet__any_bit_of_a_head(void **state)
{
	struct pair *p = pair_open(2, NULL);
	const struct pair_pkt *pkt;
	struct frame *f = calloc(1, sizeof(*f));

	(void)state;
	assert_non_null(f);
	pair_warm_up(p);
	for (unsigned int type = WEFT_PKT_HELLO; type <= WEFT_PKT_ACK; type++) {
		uint64_t recvs = p->end[PAIR_B].recv_n;

		pkt = pair_find(
			p, (struct pair_rule){ .from = PAIR_BIT(PAIR_A), .types = PAIR_BIT(type) },
			0);
		for (uint32_t bit = 0; pkt && bit < 8 * pkt->head_len; bit++) {
			uint32_t before = drops(p, PAIR_B);

			f->len = pkt->len;
			memcpy(f->bytes, pkt->frame, pkt->len);
			f->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
			pair_inject(p, PAIR_B, f->bytes, f->len);
			assert_int_equal(drops(p, PAIR_B), before + 1);
		}
		assert_int_equal(p->end[PAIR_B].recv_n, recvs);
	}
	assert_int_equal(pair_stats(p, PAIR_B)->rx_drops[WEFT_SRD_DROP_DUPLICATE], 0);
	assert_int_equal(pair_stats(p, PAIR_B)->rx_drops[WEFT_SRD_DROP_NO_CONTEXT], 0);
	free(f);
	pair_close(p);
}

/* Every prefix of every packet of a conversation. */
static void weft_srd_on_packet__truncated(void **state)
{
	struct pair *p = pair_open_warm(NULL);
	uint32_t n;

	(void)state;
	pair_post(p, PAIR_A, WEFT_SRD_SEND, 300);
	pair_settle(p);
	pair_run(p, WEFT_MS(1));
	n = p->logged;
	for (uint32_t i = 0; i < n; i++) {
		const struct pair_pkt *pkt = p->log[i];

		for (uint32_t len = 0; len < pkt->len; len++) {
			uint32_t before = drops(p, pkt->to);

			pair_inject(p, pkt->to, pkt->frame, len);
			assert_int_equal(drops(p, pkt->to), before + 1);
		}
	}
	assert_int_equal(p->end[PAIR_B].recv_n, 2);
	pair_post(p, PAIR_A, WEFT_SRD_SEND, 300);
	pair_settle_ok(p);
	pair_close_idle(p);
}

static void tune_other_key(struct weft_srd_cfg *cfg, unsigned int id)
{
	cfg->key[0] ^= (uint8_t)id;
}

static void weft_srd_on_packet__other_cluster_key(void **state)
{
	struct pair *p = pair_open(2, tune_other_key);
	uint64_t c;

	(void)state;
	c = pair_post(p, PAIR_A, WEFT_SRD_SEND, 100);
	pair_settle(p);
	pair_expect(p, PAIR_A, c, WEFT_SRD_UNREACHABLE);
	assert_true(pair_stats(p, PAIR_B)->rx_drops[WEFT_SRD_DROP_TAG] >= 8);
	/* What cannot be authenticated gets no answer. */
	assert_int_equal(pair_stats(p, PAIR_B)->tx_pkts, 0);
	pair_close(p);
}

/* Payload checksums */

static void weft_srd_on_packet__payload_corrupt(void **state)
{
	struct pair *p = pair_open(2, NULL);
	uint64_t c;

	(void)state;
	pair_rule(p, (struct pair_rule){ .types = PAIR_T(DATA),
					 .longer_than = 80,
					 .count = 3,
					 .fate = PAIR_CORRUPT });
	c = pair_post(p, PAIR_A, WEFT_SRD_SEND, 5000);
	pair_settle(p);
	pair_expect(p, PAIR_A, c, WEFT_SRD_OK);
	assert_int_equal(pair_stats(p, PAIR_B)->rx_drops[WEFT_SRD_DROP_CRC], 3);
	assert_int_equal(p->end[PAIR_B].recv_done, 1);
	pair_close(p);
}

static unsigned int crc_wanted; /* Bit per end. */

static void tune_crc(struct weft_srd_cfg *cfg, unsigned int id)
{
	cfg->payload_crc = crc_wanted >> id & 1;
}

/* Either end may demand checksums, and then both send them. */
static void weft_srd_on_packet__crc_negotiation(void **state)
{
	(void)state;
	for (crc_wanted = 0; crc_wanted < 4; crc_wanted++) {
		struct pair *p = pair_open(2, tune_crc);

		pair_post(p, PAIR_A, WEFT_SRD_SEND, 3000);
		pair_post(p, PAIR_A, WEFT_SRD_READ, 3000);
		pair_post(p, PAIR_B, WEFT_SRD_WRITE, 3000);
		pair_settle_ok(p);
		for (uint32_t i = 0; i < p->logged; i++) {
			const struct pair_pkt *pkt = p->log[i];

			if (pkt->hdr.type == WEFT_PKT_DATA && pkt->len > WEFT_SRD_DATA_HEAD)
				assert_int_equal(!!(pkt->hdr.flags & WEFT_PKT_F_CRC),
						 crc_wanted != 0);
		}
		assert_int_equal(pair_stats(p, PAIR_A)->rx_drops[WEFT_SRD_DROP_CRC], 0);
		assert_int_equal(pair_stats(p, PAIR_B)->rx_drops[WEFT_SRD_DROP_CRC], 0);
		pair_close(p);
	}
}

static void weft_srd_on_packet__crc_missing_where_demanded(void **state)
{
	struct pair *p = pair_open_warm(NULL);
	struct weft_op op = { .op = WEFT_WIRE_SEND, .msg_len = 4, .key = PAIR_QKEY };
	struct weft_hdr hdr;
	uint8_t body[WEFT_PROTO_OP];

	(void)state;
	hdr = pair_hdr(p, PAIR_A, PAIR_B, WEFT_PKT_DATA);
	hdr.psn = pair_ctx(p, PAIR_B, PAIR_A)->rx_cum;
	weft_op_encode(body, &op);
	pair_forge(p, PAIR_B, hdr, body, sizeof(body), "abcd", 4);
	assert_int_equal(pair_stats(p, PAIR_B)->rx_drops[WEFT_SRD_DROP_CRC], 1);
	assert_int_equal(p->end[PAIR_B].recv_n, 1);
	pair_close(p);
}

/* Time */

/* Time stamps on the wire count 16 ns in 32 bits and wrap every 68.7 s. Start just before that, at every
 * place where another truncation wraps too: 1024-ns units, 32-bit nanoseconds. */
static void weft_srd__time_wraps(void **state)
{
	static const weft_ns wraps[] = { (weft_ns)1 << 36, (weft_ns)1 << 32, (weft_ns)1 << 42,
					 (weft_ns)3 << 36 };

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(wraps); i++) {
		struct pair *p = pair_open_at(2, NULL, wraps[i] - WEFT_US(103));

		pair_rule(p, (struct pair_rule){ .types = PAIR_T(DATA),
						 .skip = 3,
						 .count = 1,
						 .fate = PAIR_DROP });
		pair_rule(p, (struct pair_rule){ .types = PAIR_T(DATA),
						 .skip = 60,
						 .count = 2,
						 .fate = PAIR_DROP });
		pair_rule(p,
			  (struct pair_rule){
				  .types = PAIR_T(ACK), .skip = 5, .count = 5, .fate = PAIR_DROP });
		for (int k = 0; k < 40; k++) {
			pair_post(p, PAIR_A, WEFT_SRD_SEND, 5000);
			pair_post(p, PAIR_B, WEFT_SRD_SEND, 3000);
			pair_run(p, WEFT_US(7));
		}
		pair_settle_ok(p);
		/* Nothing took a wrapped difference for a long time. */
		assert_in_range(p->now, wraps[i], wraps[i] + WEFT_MS(20));
		assert_in_range(pair_info(p, PAIR_A, PAIR_B).srtt, WEFT_US(5), WEFT_US(60));
		pair_close_idle(p);
	}
}

static void weft_srd__time_starts_at_zero(void **state)
{
	struct pair *p = pair_open_at(2, NULL, 0);

	(void)state;
	pair_rule(p, (struct pair_rule){ .count = 1, .fate = PAIR_DROP });
	pair_post(p, PAIR_A, WEFT_SRD_SEND, 5000);
	pair_settle_ok(p);
	assert_in_range(p->now, 1, WEFT_MS(2));
	pair_close_idle(p);
}

/* A timer that was served is not due again at once. */
static void weft_srd_next_deadline__moves_on(void **state)
{
	struct pair *p = pair_open(2, NULL);
	struct weft_srd *srd = p->end[PAIR_A].srd;

	(void)state;
	assert_true(weft_srd_next_deadline(srd) == WEFT_NS_NEVER);
	pair_post(p, PAIR_A, WEFT_SRD_SEND, 100);
	p->offline = true;
	for (int i = 0; i < 30; i++) {
		struct weft_srd_tx tx;

		while (weft_srd_next_packet(srd, p->now, &tx))
			;
		assert_true(weft_srd_next_deadline(srd) > p->now);
		p->now = weft_srd_next_deadline(srd);
		weft_srd_on_timer(srd, p->now);
	}
	pair_close(p);
}

/* on_timer comes back, even when its owner takes no packets for a while. */
static void weft_srd_on_timer__returns_undrained(void **state)
{
	(void)state;
	for (unsigned int from = PAIR_A; from <= PAIR_B; from++) {
		struct pair *p = pair_open(2, NULL);

		pair_rule(p, (struct pair_rule){ .types = PAIR_T(DATA),
						 .skip = 2,
						 .count = 3,
						 .fate = PAIR_DROP });
		for (int i = 0; i < 10; i++)
			pair_post(p, PAIR_A, WEFT_SRD_SEND, 900);
		pair_run(p, WEFT_US(40));
		for (int i = 0; i < 100; i++) {
			p->now += WEFT_US(50);
			weft_srd_on_timer(p->end[from].srd, p->now);
		}
		pair_settle_ok(p);
		pair_close(p);
	}
}

static void weft_srd_init__same_seed_same_packets(void **state)
{
	struct pair *p[2];

	(void)state;
	for (int i = 0; i < 2; i++) {
		p[i] = pair_open(2, NULL);
		pair_rule(p[i], (struct pair_rule){ .types = PAIR_T(DATA),
						    .skip = 7,
						    .count = 2,
						    .fate = PAIR_DROP });
		for (int k = 0; k < 10; k++)
			pair_post(p[i], PAIR_A, WEFT_SRD_SEND, 4000);
		pair_settle(p[i]);
	}
	assert_int_equal(p[0]->logged, p[1]->logged);
	for (uint32_t i = 0; i < p[0]->logged; i++) {
		assert_int_equal(p[0]->log[i]->len, p[1]->log[i]->len);
		assert_memory_equal(p[0]->log[i]->frame, p[1]->log[i]->frame, p[0]->log[i]->len);
	}
	pair_close(p[0]);
	pair_close(p[1]);
}

/* Handshake packets, ACKs and probes are control; data is not. */
static void weft_srd_next_packet__control_class(void **state)
{
	struct pair *p = pair_open(2, NULL);

	(void)state;
	pair_post(p, PAIR_A, WEFT_SRD_SEND, 4000);
	pair_settle(p);
	for (uint32_t i = 0; i < p->logged; i++)
		assert_int_equal(p->log[i]->control, p->log[i]->hdr.type != WEFT_PKT_DATA);
	pair_close(p);
}

/* Contexts take turns packet by packet, so that a small message does not wait behind a large one. */
static void weft_srd_next_packet__contexts_take_turns(void **state)
{
	struct pair *p = pair_open(3, NULL);
	uint64_t small;

	(void)state;
	pair_post_wr(p, PAIR_A,
		     (struct weft_srd_wr){ .op = WEFT_SRD_SEND, .len = 1, .peer = PAIR_B });
	pair_post_wr(p, PAIR_A,
		     (struct weft_srd_wr){ .op = WEFT_SRD_SEND, .len = 1, .peer = PAIR_C });
	pair_settle(p);
	pair_run(p, WEFT_MS(1));
	p->offline = true;
	pair_post_wr(p, PAIR_A,
		     (struct weft_srd_wr){ .op = WEFT_SRD_WRITE, .len = 100000, .peer = PAIR_B });
	small = pair_post_wr(
		p, PAIR_A, (struct weft_srd_wr){ .op = WEFT_SRD_SEND, .len = 500, .peer = PAIR_C });
	p->offline = false;
	pair_drain(p);
	for (uint32_t i = 0, data = 0; i < p->logged; i++) {
		const struct pair_pkt *pkt = p->log[i];

		if (pkt->hdr.type != WEFT_PKT_DATA || pkt->sent != p->now)
			continue;
		if (pkt->to == PAIR_C) {
			assert_in_range(data, 0, 1);
			break;
		}
		data++;
	}
	pair_settle(p);
	pair_expect(p, PAIR_A, small, WEFT_SRD_OK);
	pair_close(p);
}

/* References */

static void weft_srd_peer_get__same_address_same_handle(void **state)
{
	struct pair *p = pair_open(2, NULL);
	struct weft_gid gid = p->end[PAIR_B].cfg.gid;
	uint32_t again = 77;

	(void)state;
	assert_int_equal(weft_srd_peer_get(p->end[PAIR_A].srd, &gid, &again), 0);
	assert_int_equal(again, p->end[PAIR_A].peer[PAIR_B]);
	assert_int_equal(p->logged, 0);
	pair_close(p);
}

static void weft_srd_drop_name__all_different(void **state)
{
	(void)state;
	for (int i = 0; i < WEFT_SRD_DROP_COUNT; i++)
		for (int k = 0; k < i; k++)
			assert_string_not_equal(weft_srd_drop_name((enum weft_srd_drop)i),
						weft_srd_drop_name((enum weft_srd_drop)k));
	assert_string_equal(weft_srd_drop_name(WEFT_SRD_DROP_COUNT), "?");
	assert_string_equal(weft_srd_status_name((enum weft_srd_status)99), "?");
	assert_string_not_equal(weft_srd_status_name(WEFT_SRD_UNRESPONSIVE),
				weft_srd_status_name(WEFT_SRD_UNREACHABLE));
}

static void weft_srd_peer_info__out_of_range(void **state)
{
	struct pair *p = pair_open(2, NULL);
	struct weft_srd_peer_info info;

	(void)state;
	assert_int_equal(weft_srd_peer_info(p->end[PAIR_A].srd, 1, &info), -EINVAL);
	assert_int_equal(weft_srd_peer_info(p->end[PAIR_A].srd, 0, &info), 0);
	assert_false(info.established || info.has_active);
	pair_close(p);
}

/* What an engine costs grows with its configuration and with nothing else. */
static void weft_srd_size__follows_configuration(void **state)
{
	struct weft_srd_cfg cfg;
	size_t base, more;

	(void)state;
	weft_srd_cfg_default(&cfg);
	base = weft_srd_size(&cfg);
	cfg.contexts_max += 100000;
	more = weft_srd_size(&cfg);
	/* 120 bytes for the stub, which is all that an idle peer touches; its place in the heap and in the hash
	 * besides. */
	assert_in_range((more - base) / 100000, 120, 120 + 16 + 8);
	cfg.contexts_max -= 100000;
	cfg.packets_max += 32000;
	assert_in_range((weft_srd_size(&cfg) - base) / 32000, 32, 32 + 4);
}

static void count_failure(void *owner, uint64_t cookie, enum weft_srd_status status)
{
	(void)cookie;
	assert_int_equal(status, WEFT_SRD_UNREACHABLE);
	++*(uint32_t *)owner;
}

/* Nobody answers: post to `n` of them, and let time pass until all is over. */
static weft_ns call_nobody(struct weft_srd *srd, uint32_t n, weft_ns now)
{
	static struct weft_srd_tx tx;

	for (uint32_t i = 0; i < n; i++) {
		struct weft_gid gid = { .raw = { 0xfd, [15] = (uint8_t)i } };
		struct weft_srd_wr wr = { .cookie = i, .len = 10, .rnr_retry = 7 };

		assert_int_equal(weft_srd_peer_get(srd, &gid, &wr.peer), 0);
		assert_int_equal(weft_srd_on_post(srd, &wr, now), 0);
		weft_srd_peer_put(srd, wr.peer);
	}
	for (; weft_srd_next_deadline(srd) != WEFT_NS_NEVER; now = weft_srd_next_deadline(srd)) {
		weft_srd_on_timer(srd, now);
		while (weft_srd_next_packet(srd, now, &tx))
			;
		if (weft_srd_next_deadline(srd) == WEFT_NS_NEVER)
			break;
	}
	return now;
}

static void weft_srd_next_spare__after_a_crowd(void **state)
{
	static const struct weft_srd_ops ops = { .complete = count_failure };
	struct weft_srd_cfg cfg;
	struct weft_srd *srd;
	weft_ns now = WEFT_S(1);
	uint32_t failed = 0;
	uint8_t *block;
	void *mem;
	size_t len;

	(void)state;
	weft_srd_cfg_default(&cfg);
	block = aligned_alloc(64, (weft_srd_size(&cfg) + 63) / 64 * 64);
	assert_non_null(block);
	srd = weft_srd_init(block, &cfg, &ops, &failed, now);
	assert_false(weft_srd_next_spare(srd, &mem, &len));
	for (uint32_t round = 0; round < 3; round++) {
		now = call_nobody(srd, WEFT_CROWD, now);
		assert_false(weft_srd_next_spare(srd, &mem, &len)); /* Not worth it. */
		now = call_nobody(srd, WEFT_CROWD + 1, now);
		assert_true(weft_srd_next_spare(srd, &mem, &len));
		assert_in_range((uintptr_t)mem - (uintptr_t)block + len, len, weft_srd_size(&cfg));
		assert_true(len >= (size_t)cfg.packets_max * sizeof(struct weft_entry));
		memset(mem, 0xa5, len);
		assert_false(weft_srd_next_spare(srd, &mem, &len));
	}
	assert_int_equal(failed, 3 * (2 * WEFT_CROWD + 1));
	free(block);
}

/* What is spare may be anything when traffic begins again. */
static void weft_srd_next_spare__holds_nothing(void **state)
{
	struct pair *p = pair_open_warm(NULL);

	(void)state;
	for (uint32_t round = 0; round < 20; round++) {
		pair_expect_idle(p);
		for (uint32_t id = 0; id < 2; id++) {
			struct weft_srd *srd = p->end[id].srd;
			void *mem;
			size_t len;

			srd->crowded = true;
			assert_true(weft_srd_next_spare(srd, &mem, &len));
			memset(mem, round % 2 ? 0xff : 0xa5, len);
		}
		pair_rule(p,
			  (struct pair_rule){ .skip = 5 + round, .count = 2, .fate = PAIR_DROP });
		pair_post(p, PAIR_A, WEFT_SRD_SEND, 8000);
		pair_post(p, PAIR_A, WEFT_SRD_WRITE, 20000);
		pair_post(p, PAIR_A, WEFT_SRD_READ, 20000);
		pair_settle_ok(p);
		pair_heal(p);
	}
	pair_close_idle(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_srd_cfg_default__is_accepted),
		cmocka_unit_test(weft_srd_cfg_check__table),
		cmocka_unit_test(weft_srd_cfg_check__unknown_lb),
		cmocka_unit_test(weft_srd_on_post__refusals),
		cmocka_unit_test(weft_srd_on_post__no_such_peer),
		cmocka_unit_test(weft_srd_on_post__full_and_again),
		cmocka_unit_test(weft_srd_on_post__sizes),
		cmocka_unit_test(weft_srd_on_post__unequal_links),
		cmocka_unit_test(weft_srd_on_post__info_arrives),
		cmocka_unit_test(weft_srd_stats__count_each_operation),
		cmocka_unit_test(weft_srd_on_packet__lengths),
		cmocka_unit_test(weft_srd_on_packet__first_bytes),
		cmocka_unit_test(weft_srd_on_packet__any_bit_of_a_head),
		cmocka_unit_test(weft_srd_on_packet__truncated),
		cmocka_unit_test(weft_srd_on_packet__other_cluster_key),
		cmocka_unit_test(weft_srd_on_packet__payload_corrupt),
		cmocka_unit_test(weft_srd_on_packet__crc_negotiation),
		cmocka_unit_test(weft_srd_on_packet__crc_missing_where_demanded),
		cmocka_unit_test(weft_srd__time_wraps),
		cmocka_unit_test(weft_srd__time_starts_at_zero),
		cmocka_unit_test(weft_srd_next_deadline__moves_on),
		cmocka_unit_test(weft_srd_on_timer__returns_undrained),
		cmocka_unit_test(weft_srd_init__same_seed_same_packets),
		cmocka_unit_test(weft_srd_next_packet__control_class),
		cmocka_unit_test(weft_srd_next_packet__contexts_take_turns),
		cmocka_unit_test(weft_srd_peer_get__same_address_same_handle),
		cmocka_unit_test(weft_srd_drop_name__all_different),
		cmocka_unit_test(weft_srd_peer_info__out_of_range),
		cmocka_unit_test(weft_srd_size__follows_configuration),
		cmocka_unit_test(weft_srd_next_spare__after_a_crowd),
		cmocka_unit_test(weft_srd_next_spare__holds_nothing),
	};

	return cmocka_run_group_tests_name("srd_srd", tests, NULL, NULL);
}
