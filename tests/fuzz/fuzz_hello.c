/* SPDX-License-Identifier: BSD-2-Clause */
/* The handshake, in two ways that the first byte chooses between.
 *
 * Forged: one engine, and an input that knows the key. HELLO, WELCOME, RESET, FIN, FIN_ACK and packets of
 * contexts come in any order, with epochs and contexts from small pools: what the engine has shown, what
 * was made up, and near misses. Whatever they say, an epoch of the engine has one partner, data leaves and
 * arrives only under the pair that is open, a message never continues in another incarnation than the one
 * it began in, and a packet that should change nothing changes nothing.
 *
 * Replayed: two engines that restart and close all the time, in a network that brings back what they said
 * long ago. Here world.c judges. */
#include "check.h"
#include "fuzz.h"
#include "world.h"

#include <stdlib.h>
#include <string.h>

#define WRS          24u
#define PEERS        3u
#define CONTEXTS     4u
#define SHOWN        16u
#define PAIRS        128u
#define COMMANDS_MAX 300

static struct forge {
	struct weft_srd *srd; /* owns */
	struct weft_srd_cfg cfg;
	weft_ns now;
	uint32_t peer[PEERS];
	struct {
		bool done;
		uint32_t epoch; /* In which its first packet left; 0: none has. */
		uint32_t peer;
	} wr[WRS];
	uint32_t wrs, completions;
	uint32_t shown[SHOWN]; /* Epochs that the engine named, latest last. */
	uint32_t showns;
	struct {
		uint32_t ctx, ours, theirs;
	} pair[PAIRS];
	uint32_t pairs;
	const struct weft_hdr *given; /* The packet being received, or NULL. */
} f;

static struct weft_gid gid_of(uint32_t i)
{
	return (struct weft_gid){ .raw = { 0xfe, [15] = (uint8_t)i } };
}

/* Owner */

static void check_given(uint32_t peer)
{
	const struct weft_ctx *ctx = &f.srd->ctxs[peer];

	FUZZ_CHECK(f.given && f.given->type == WEFT_PKT_DATA, "an effect without data");
	FUZZ_CHECK(ctx->state == WEFT_CTX_OPEN && f.given->dst_ctx == peer &&
			   f.given->dst_epoch == ctx->epoch,
		   "data of another incarnation was accepted");
}

static enum weft_srd_status recv_claim(void *owner, const struct weft_srd_msg_info *info,
				       uint64_t *recv_out)
{
	(void)owner;
	check_given(info->peer);
	*recv_out = 7;
	return info->imm & 1 ? WEFT_SRD_RNR : WEFT_SRD_OK;
}

static void recv_place(void *owner, uint64_t recv, uint32_t off, const void *data, uint32_t len)
{
	(void)owner;
	(void)off;
	(void)data;
	(void)len;
	FUZZ_CHECK(recv == 7, "unknown receive");
}

static void recv_end(void *owner, uint64_t recv, const struct weft_srd_msg_info *info)
{
	(void)owner;
	(void)info;
	FUZZ_CHECK(recv == 7, "unknown receive");
}

static enum weft_srd_status write_ok(void *owner, const struct weft_srd_msg_info *info,
				     uint32_t off, const void *data, uint32_t len)
{
	(void)owner;
	(void)off;
	(void)data;
	(void)len;
	check_given(info->peer);
	return WEFT_SRD_OK;
}

static enum weft_srd_status read_ok(void *owner, const struct weft_srd_msg_info *info)
{
	(void)owner;
	(void)info;
	return WEFT_SRD_OK;
}

static enum weft_srd_status read_place(void *owner, uint64_t cookie, uint32_t off, const void *data,
				       uint32_t len)
{
	(void)owner;
	(void)off;
	(void)data;
	(void)len;
	check_given(f.wr[cookie].peer);
	return WEFT_SRD_OK;
}

static void complete(void *owner, uint64_t cookie, enum weft_srd_status status)
{
	(void)owner;
	fuzz_trace("complete wr %u: %s", (unsigned int)cookie, weft_srd_status_name(status));
	FUZZ_CHECK(cookie < f.wrs && !f.wr[cookie].done, "wr %u completes twice",
		   (unsigned int)cookie);
	FUZZ_CHECK(status || f.wr[cookie].epoch, "wr %u succeeded and was never sent",
		   (unsigned int)cookie);
	f.wr[cookie].done = true;
	f.completions++;
}

static uint32_t any_crc(void *owner, const struct weft_srd_payload *payload)
{
	(void)owner;
	return payload->len;
}

static const struct weft_srd_ops ops = {
	.recv_claim = recv_claim,
	.recv_place = recv_place,
	.recv_done = recv_end,
	.recv_release = recv_end,
	.write = write_ok,
	.read_check = read_ok,
	.read_place = read_place,
	.complete = complete,
	.payload_crc = any_crc,
};

/* What the engine shows */

static void remember_epoch(uint32_t epoch)
{
	f.shown[f.showns++ % SHOWN] = epoch;
}

/* One epoch, one partner, for ever. */
static void check_pairs(void)
{
	for (uint32_t i = 0; i < f.srd->ctx_len; i++) {
		const struct weft_ctx *ctx = &f.srd->ctxs[i];
		uint32_t k;

		if (ctx->state != WEFT_CTX_OPEN)
			continue;
		for (k = 0; k < f.pairs; k++)
			if (f.pair[k].ours == ctx->epoch)
				break;
		if (k == PAIRS)
			continue;
		if (k == f.pairs) {
			f.pair[f.pairs].ctx = i;
			f.pair[f.pairs].ours = ctx->epoch;
			f.pair[f.pairs++].theirs = ctx->peer_epoch;
		}
		FUZZ_CHECK(f.pair[k].ctx == i && f.pair[k].theirs == ctx->peer_epoch,
			   "epoch %x of context %u was paired with %x of context %u, now with %x",
			   ctx->epoch, i, f.pair[k].theirs, f.pair[k].ctx, ctx->peer_epoch);
	}
}

static void on_sent(const struct weft_srd_tx *tx)
{
	const uint8_t *body = tx->head + WEFT_PROTO_HDR;
	struct weft_hello hello;
	struct weft_hdr hdr;
	struct weft_op op;
	uint32_t w;

	FUZZ_CHECK(!weft_hdr_decode(tx->head, &hdr) &&
			   weft_head_is_authentic(f.cfg.key, tx->head, tx->head_len),
		   "the engine sends nonsense");
	fuzz_trace("sent %s ctx %u/%08x psn %llx", weft_pkt_type_name(hdr.type), hdr.dst_ctx,
		   hdr.dst_epoch, (unsigned long long)hdr.psn);
	if (hdr.type == WEFT_PKT_HELLO || hdr.type == WEFT_PKT_WELCOME) {
		FUZZ_CHECK(!weft_hello_decode(body, hdr.len, &hello), "the engine sends a wrong %s",
			   weft_pkt_type_name(hdr.type));
		remember_epoch(hello.epoch);
	}
	if (hdr.type != WEFT_PKT_DATA)
		return;
	FUZZ_CHECK(hdr.src_ctx < f.srd->ctx_len &&
			   f.srd->ctxs[hdr.src_ctx].state == WEFT_CTX_OPEN &&
			   hdr.dst_epoch == f.srd->ctxs[hdr.src_ctx].peer_epoch && hdr.dst_epoch,
		   "data outside an open context");
	weft_op_decode(body, &op);
	w = (uint32_t)(op.addr >> 8) - 1;
	if (op.op > WEFT_WIRE_READ)
		return;
	FUZZ_CHECK(w < f.wrs && !f.wr[w].done && f.wr[w].peer == hdr.src_ctx, "packet of nothing");
	if (!f.wr[w].epoch)
		f.wr[w].epoch = f.srd->ctxs[hdr.src_ctx].epoch;
	FUZZ_CHECK(f.wr[w].epoch == f.srd->ctxs[hdr.src_ctx].epoch,
		   "wr %u goes on in another incarnation", w);
}

static void drain(uint32_t max)
{
	static struct weft_srd_tx tx;

	while (max-- && weft_srd_next_packet(f.srd, f.now, &tx))
		on_sent(&tx);
}

/* What is given to it */

/* Does this packet have a right to change anything about its context, by the rules of the handshake? */
static bool may_change(const struct weft_ctx *ctx, const struct weft_hdr *hdr)
{
	switch ((enum weft_pkt_type)hdr->type) {
	case WEFT_PKT_HELLO:
		return false;
	case WEFT_PKT_WELCOME:
		return ctx->state == WEFT_CTX_HELLO && ctx->epoch == hdr->dst_epoch;
	case WEFT_PKT_RESET:
		return ctx->peer_epoch == hdr->psn && ctx->peer_ctx == hdr->src_ctx;
	case WEFT_PKT_FIN_ACK:
		return ctx->state == WEFT_CTX_FIN && ctx->peer_epoch == hdr->psn;
	case WEFT_PKT_DATA:
	case WEFT_PKT_ACK:
	case WEFT_PKT_PROBE:
	case WEFT_PKT_FIN:
		return ctx->epoch == hdr->dst_epoch || ctx->pend_epoch == hdr->dst_epoch;
	}
	return false;
}

static void give(uint8_t *head, struct weft_hdr *hdr, uint32_t body_len)
{
	uint32_t len = WEFT_PROTO_HDR + body_len, head_len, completions = f.completions;
	struct weft_srd_rx rx = { .from = gid_of(2), .len = len };
	struct weft_ctx before[CONTEXTS];
	uint8_t *exact = malloc(len);

	hdr->len = (uint16_t)body_len;
	head_len = weft_head_len(hdr);
	weft_hdr_encode(head, hdr);
	weft_head_seal(f.cfg.key, head, head_len);
	memcpy(exact, head, len);
	memcpy(before, f.srd->ctxs, sizeof(before));
	rx.data = exact;
	fuzz_trace("given %s ctx %u/%08x from ctx %u psn %llx", weft_pkt_type_name(hdr->type),
		   hdr->dst_ctx, hdr->dst_epoch, hdr->src_ctx, (unsigned long long)hdr->psn);
	f.given = hdr;
	weft_srd_on_packet(f.srd, &rx, f.now);
	f.given = NULL;
	free(exact);
	for (uint32_t i = 0; i < f.srd->ctx_len; i++) {
		const struct weft_ctx *was = &before[i], *is = &f.srd->ctxs[i];

		if (was->state != WEFT_CTX_OPEN || (hdr->dst_ctx == i && may_change(was, hdr)))
			continue;
		FUZZ_CHECK(is->state == WEFT_CTX_OPEN && is->epoch == was->epoch &&
				   is->peer_epoch == was->peer_epoch && is->rx_cum == was->rx_cum,
			   "%s changed context %u without a right to",
			   weft_pkt_type_name(hdr->type), i);
	}
	FUZZ_CHECK(hdr->type != WEFT_PKT_HELLO || completions == f.completions,
		   "HELLO ended a work request");
	check_pairs();
}

/* An epoch of the engine: one that it has shown, one that is in use or pending, or almost one of these. */
static uint32_t our_epoch(uint8_t how, uint32_t ctx)
{
	const struct weft_ctx *c = &f.srd->ctxs[ctx % CONTEXTS];
	bool known = ctx < f.srd->ctx_len;

	switch (how & 7) {
	case 0:
	case 1:
		return known ? c->epoch : 1;
	case 2:
		return known ? c->pend_epoch : 2;
	case 3:
		return (known ? c->epoch : 3) + 1;
	case 4:
		return 0;
	default:
		return f.showns ? f.shown[(f.showns - 1 - (how >> 3) % WEFT_MIN(f.showns, SHOWN)) %
					  SHOWN]
				: 4;
	}
}

static uint32_t their_epoch(uint8_t how, uint32_t ctx)
{
	if (how & 0x10 && ctx < f.srd->ctx_len)
		return f.srd->ctxs[ctx].peer_epoch;
	return 0x1000u + (how & 3);
}

static void put_hello(uint8_t *head, uint32_t src, uint32_t epoch, uint8_t how)
{
	struct weft_hello hello = {
		.src = gid_of(2 + src),
		.dst = gid_of(how & 0x40 ? 9 : 1),
		.epoch = epoch,
		.version_max = WEFT_PROTO_VERSION,
		.features = how & 0x20 ? WEFT_HELLO_F_CRC : 0,
		.payload_max = how & 0x10 ? 512 : 8928,
	};

	weft_hello_encode(head + WEFT_PROTO_HDR, &hello);
}

static void cmd_hello(struct fuzz_in *in)
{
	uint8_t a = fuzz_u8(in), b = fuzz_u8(in), head[WEFT_SRD_HEAD_MAX];
	struct weft_hdr hdr = { .type = WEFT_PKT_HELLO, .src_ctx = b & 3 };

	put_hello(head, a % (PEERS + 1), their_epoch(b >> 2, UINT32_MAX), a);
	give(head, &hdr, WEFT_PROTO_HELLO);
}

static void cmd_welcome(struct fuzz_in *in)
{
	uint8_t a = fuzz_u8(in), b = fuzz_u8(in), head[WEFT_SRD_HEAD_MAX];
	struct weft_hdr hdr = { .type = WEFT_PKT_WELCOME,
				.dst_ctx = a % CONTEXTS,
				.src_ctx = b & 3 };

	hdr.dst_epoch = our_epoch(fuzz_u8(in), hdr.dst_ctx);
	put_hello(head, a >> 2 & 1 ? b >> 6 : hdr.dst_ctx, their_epoch(b >> 2 & 15, hdr.dst_ctx),
		  a & 0xe0);
	give(head, &hdr, WEFT_PROTO_HELLO);
}

/* RESET, FIN and FIN_ACK */
static void cmd_end(struct fuzz_in *in)
{
	static const uint8_t types[] = { WEFT_PKT_RESET, WEFT_PKT_FIN, WEFT_PKT_RESET,
					 WEFT_PKT_FIN_ACK };
	uint8_t a = fuzz_u8(in), b = fuzz_u8(in), head[WEFT_SRD_HEAD_MAX];
	struct weft_hdr hdr = { .type = types[a >> 6], .dst_ctx = a % CONTEXTS };

	hdr.src_ctx =
		hdr.dst_ctx < f.srd->ctx_len && a & 8 ? f.srd->ctxs[hdr.dst_ctx].peer_ctx : b & 3;
	hdr.psn = their_epoch(b >> 2, hdr.dst_ctx);
	hdr.dst_epoch = our_epoch(fuzz_u8(in), hdr.dst_ctx);
	give(head, &hdr, 0);
}

static void cmd_data(struct fuzz_in *in)
{
	uint8_t a = fuzz_u8(in), b = fuzz_u8(in), head[WEFT_SRD_HEAD_MAX];
	struct weft_hdr hdr = { .type = WEFT_PKT_DATA,
				.dst_ctx = a % CONTEXTS,
				.tx_ts = fuzz_u8(in) };
	struct weft_op op = { .op = (a >> 2) % WEFT_WIRE_OP_COUNT, .dst_qpn = 1, .src_qpn = 1 };
	uint64_t base = hdr.dst_ctx < f.srd->ctx_len ? f.srd->ctxs[hdr.dst_ctx].rx_cum : 0;

	hdr.dst_epoch = our_epoch(b, hdr.dst_ctx);
	hdr.psn = base + fuzz_u8(in) % 8 - (a >> 7);
	op.imm = fuzz_u8(in);
	op.msg_id = op.imm >> 6;
	op.msg_len = op.imm & 8 ? 700 : 0;
	op.addr = 0x100;
	weft_op_encode(head + WEFT_PROTO_HDR, &op);
	give(head, &hdr, WEFT_PROTO_OP);
}

static void cmd_probe(struct fuzz_in *in)
{
	uint8_t a = fuzz_u8(in), head[WEFT_SRD_HEAD_MAX];
	struct weft_hdr hdr = { .type = WEFT_PKT_PROBE, .dst_ctx = a % CONTEXTS };

	hdr.dst_epoch = our_epoch(fuzz_u8(in), hdr.dst_ctx);
	give(head, &hdr, 0);
}

/* Everything sent so far has arrived, or only some of it. */
static void cmd_ack(struct fuzz_in *in)
{
	uint8_t a = fuzz_u8(in), head[WEFT_SRD_HEAD_MAX];
	struct weft_hdr hdr = { .type = WEFT_PKT_ACK, .dst_ctx = a % CONTEXTS, .psn = fuzz_u8(in) };
	struct weft_ack ack = { .grant = 0x7000 };
	const struct weft_active *act;

	if (hdr.dst_ctx >= f.srd->ctx_len)
		return;
	act = weft_ctx_active(f.srd, &f.srd->ctxs[hdr.dst_ctx]);
	hdr.dst_epoch = our_epoch(fuzz_u8(in), hdr.dst_ctx);
	ack.cum = act ? act->tx.next - (a >> 2 & 1) : 0;
	give(head, &hdr, weft_ack_encode(head + WEFT_PROTO_HDR, &ack));
}

static void cmd_post(struct fuzz_in *in)
{
	static const uint8_t op_of[] = { WEFT_SRD_SEND, WEFT_SRD_WRITE, WEFT_SRD_READ,
					 WEFT_SRD_WRITE_IMM };
	uint8_t a = fuzz_u8(in);
	struct weft_srd_wr wr = {
		.cookie = f.wrs,
		.peer = f.peer[a % PEERS],
		.op = op_of[a >> 2 & 3],
		.src_qpn = 1 + (a >> 7),
		.dst_qpn = 1,
		.addr = (uint64_t)(f.wrs + 1) << 8,
		.len = a & 0x40 ? 6000 : 16,
		.rnr_retry = 7,
	};

	if (f.wrs == WRS)
		return;
	f.wr[f.wrs].peer = wr.peer;
	f.wrs++;
	if (weft_srd_on_post(f.srd, &wr, f.now))
		f.wrs--;
}

static void cmd_drain(struct fuzz_in *in)
{
	drain(fuzz_u8(in));
}

static void cmd_wait(struct fuzz_in *in)
{
	uint8_t a = fuzz_u8(in);
	weft_ns at = weft_srd_next_deadline(f.srd);

	if (a & 0x80 && at != WEFT_NS_NEVER)
		f.now = WEFT_MAX(f.now, at);
	else
		f.now += (weft_ns)(1 + (a & 7)) << (8 + (a >> 3));
	weft_srd_on_timer(f.srd, f.now);
}

static void cmd_qp(struct fuzz_in *in)
{
	weft_srd_on_qp_gone(f.srd, 1 + (fuzz_u8(in) & 1), f.now);
}

static void cmd_close(struct fuzz_in *in)
{
	if (fuzz_u8(in) == 0xff)
		weft_srd_close(f.srd, f.now);
}

static void forge_open(struct fuzz_in *in)
{
	uint8_t a = fuzz_u8(in);
	size_t size;
	void *mem;

	memset(&f, 0, sizeof(f));
	weft_srd_cfg_default(&f.cfg);
	f.cfg.gid = gid_of(1);
	f.cfg.contexts_max = CONTEXTS;
	f.cfg.active_max = a & 2 ? 2 : CONTEXTS;
	f.cfg.msgs_max = WRS;
	f.cfg.reads_max = f.cfg.rx_msgs_max = 2;
	f.cfg.packets_max = 128;
	f.cfg.paths = 16;
	f.cfg.payload_crc = false;
	f.cfg.dead_after = WEFT_MS(50);
	f.cfg.idle_after = WEFT_MS(2);
	f.now = WEFT_S(1);
	size = (weft_srd_size(&f.cfg) + 63) & ~(size_t)63;
	mem = aligned_alloc(64, size);
	memset(mem, 0xa5, size);
	f.srd = weft_srd_init(mem, &f.cfg, &ops, NULL, f.now);
	for (uint32_t i = 0; i < PEERS; i++) {
		struct weft_gid gid = gid_of(2 + i);

		FUZZ_CHECK(!weft_srd_peer_get(f.srd, &gid, &f.peer[i]) && f.peer[i] == i,
			   "no room for peers");
	}
}

/* Nobody answers any more: everything has to come to an end by itself. */
static void forge_finish(void)
{
	struct weft_srd_usage u;

	for (int n = 0; n < 4000; n++) {
		weft_ns at;

		drain(UINT32_MAX);
		at = weft_srd_next_deadline(f.srd);
		if (at == WEFT_NS_NEVER)
			break;
		f.now = WEFT_MAX(f.now, at);
		weft_srd_on_timer(f.srd, f.now);
	}
	for (uint32_t i = 0; i < f.wrs; i++)
		FUZZ_CHECK(f.wr[i].done, "wr %u never completes", i);
	weft_srd_usage(f.srd, &u);
	FUZZ_CHECK(
		!u.active && !u.msgs && !u.reads && !u.rx_msgs && !u.chunks && !u.pieces &&
			!u.timers,
		"left in use: %u active, %u messages, %u reads, %u received, %u chunks, %u timers",
		u.active, u.msgs, u.reads, u.rx_msgs, u.chunks, u.timers);
	fuzz_check_engine(f.srd);
	free(f.srd);
}

static void run_forged(struct fuzz_in *in)
{
	static void (*const cmds[])(struct fuzz_in * in) = {
		cmd_hello, cmd_hello, cmd_welcome, cmd_welcome, cmd_end,  cmd_end,
		cmd_data,  cmd_data,  cmd_probe,   cmd_ack,     cmd_post, cmd_post,
		cmd_drain, cmd_drain, cmd_wait,    cmd_wait,    cmd_qp,   cmd_close,
	};

	forge_open(in);
	for (int n = 0; n < COMMANDS_MAX && fuzz_left(in); n++) {
		cmds[fuzz_u8(in) % WEFT_ARRAY_SIZE(cmds)](in);
		fuzz_check_engine(f.srd);
	}
	forge_finish();
}

/* Two engines and a long memory */

static void replay_post(struct world *w, uint8_t a)
{
	static const uint8_t op_of[] = { WEFT_SRD_SEND, WEFT_SRD_WRITE, WEFT_SRD_READ,
					 WEFT_SRD_SEND_IMM };
	struct weft_srd_wr wr = {
		.op = op_of[a >> 1 & 3],
		.src_qpn = 1,
		.dst_qpn = 1,
		.key = w->host[!(a & 1)].key,
		.len = a & 8 ? 1500 : a >> 4,
		.rnr_retry = 7,
	};

	world_post(w, a & 1, &wr);
}

static void replay_command(struct world *w, uint8_t cmd, uint8_t a)
{
	switch (cmd % 12) {
	case 0:
	case 1:
		replay_post(w, a);
		break;
	case 2:
		world_pump(w, a & 1, 1u + (a >> 5));
		break;
	case 3:
		world_deliver(w, a);
		break;
	case 4:
		world_deliver_all(w);
		break;
	case 5:
		world_drop(w, a);
		break;
	case 6:
		world_duplicate(w, a);
		break;
	case 7:
	case 8:
		world_replay(w, a);
		break;
	case 9:
		world_advance(w, (weft_ns)(1 + (a & 7)) << (8 + (a >> 4)));
		break;
	case 10:
		world_restart(w, a & 1);
		w->host[a & 1].endless = true;
		break;
	default:
		if (a & 0x40)
			world_close(w, a & 1);
		else
			world_advance_to_deadline(w, WEFT_S(1));
		break;
	}
}

static void run_replayed(struct fuzz_in *in)
{
	static struct world w;

	world_init(&w, in);
	w.host[0].endless = w.host[1].endless = true;
	for (int n = 0; n < COMMANDS_MAX && fuzz_left(in); n++) {
		uint8_t cmd = fuzz_u8(in);

		replay_command(&w, cmd, fuzz_u8(in));
		world_check(&w);
	}
	world_finish(&w);
	world_fini(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, data + size };

	if (fuzz_u8(&in) & 1)
		run_replayed(&in);
	else
		run_forged(&in);
	return 0;
}
