/* SPDX-License-Identifier: BSD-2-Clause */
/* The public face of the engine: set-up in the owner's memory, dispatch of packets and timers to the
 * files that know about them, and the order in which things are sent.
 *
 * What is sent next. Answers to strangers first (there are few, they are tiny), then the contexts that
 * have something, in turns of one packet or one burst. Within a context: handshake, acknowledgement,
 * probes, retransmissions, fresh data. */
#include "srd/engine.h"

#include "base/crc32c.h"

#include <errno.h>
#include <string.h>

void weft_srd_cfg_default(struct weft_srd_cfg *cfg)
{
	*cfg = (struct weft_srd_cfg){
		/* The built-in cluster key keeps strangers' noise out, not an enemy: see SECURITY.md. */
		.key = { 0x77, 0x65, 0x66, 0x74, 0x2d, 0x62, 0x75, 0x69, 0x6c, 0x74, 0x2d, 0x69,
			 0x6e, 0x2d, 0x6b, 0x31 },
		.contexts_max = 1024,
		.active_max = 256,
		.msgs_max = 4096,
		.reads_max = 256,
		.rx_msgs_max = 1024,
		.packets_max = 16384,
		.payload_max = 8928,
		.paths = 64,
		.lb = WEFT_SRD_LB_MIXED,
		.payload_crc = true,
		.link_bps = 100000000000u,
		.rtt_hint = WEFT_US(14),
		.rto_min = WEFT_US(100),
		.rto_max = WEFT_MS(50),
		.ack_delay = WEFT_US(20),
		.ack_packets = 4,
		.ack_bytes = 16384,
		.dead_after = WEFT_S(5),
		.idle_after = WEFT_MS(100),
	};
}

#define LIMIT(field, lo, hi)               \
	{                                  \
#field, cfg->field, lo, hi \
	}

int weft_srd_cfg_check(const struct weft_srd_cfg *cfg, const char **why_out)
{
	const struct {
		const char *name;
		uint64_t value, lo, hi;
	} limits[] = {
		LIMIT(contexts_max, 1, 1u << 20),
		LIMIT(active_max, 1, 1u << 20),
		LIMIT(msgs_max, 1, 1u << 20),
		LIMIT(reads_max, 1, 1u << 20),
		LIMIT(rx_msgs_max, 1, 1u << 20),
		LIMIT(packets_max, 1, 1u << 20),
		LIMIT(payload_max, WEFT_SRD_PAYLOAD_MIN, 65000),
		LIMIT(paths, cfg->paths == 1 ? 1 : WEFT_SRD_PATHS_MIN, WEFT_SRD_PATHS_MAX),
		LIMIT(lb, WEFT_SRD_LB_MIXED, WEFT_SRD_LB_OBLIVIOUS),
		LIMIT(burst_bytes, 0, 65536),
		LIMIT(link_bps, 0, 10000000000000u),
		LIMIT(rtt_hint, 1, WEFT_S(1)),
		LIMIT(delay_target, 0, WEFT_S(1)),
		LIMIT(cwnd_init, 0, 1u << 30),
		LIMIT(cwnd_max, 0, 1u << 30),
		LIMIT(rto_min, 1, WEFT_S(1)),
		LIMIT(rto_max, cfg->rto_min, WEFT_S(10)),
		LIMIT(ack_delay, 0, WEFT_MS(100)),
		LIMIT(ack_hold, 0, WEFT_MS(100)),
		LIMIT(ack_packets, 1, 256),
		LIMIT(ack_bytes, 1, 1u << 20),
		LIMIT(dead_after, 1, WEFT_S(3600)),
		LIMIT(idle_after, 1, WEFT_S(3600)),
	};

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(limits); i++) {
		if (limits[i].value >= limits[i].lo && limits[i].value <= limits[i].hi)
			continue;
		*why_out = limits[i].name;
		return -EINVAL;
	}
	return 0;
}

static uint32_t chunks_of(const struct weft_srd_cfg *cfg)
{
	/* An active context may hold two chunks that are almost empty. */
	uint32_t n = (cfg->packets_max + WEFT_CHUNK - 1) / WEFT_CHUNK + 2;

	return WEFT_MIN(n, WEFT_SLOT_NIL - 1u);
}

/* Carve the engine's arrays out of one block, or with mem NULL only measure it. */
struct carver {
	uint8_t *mem;
	size_t at;
};

static void *carve(struct carver *c, size_t n, size_t size)
{
	void *p = c->mem ? c->mem + c->at : NULL;

	c->at += (n * size + 63) & ~(size_t)63;
	return p;
}

static size_t lay_out(struct weft_srd *srd, const struct weft_srd_cfg *cfg, uint8_t *mem)
{
	struct carver c = { .mem = mem };
	uint32_t chunks = chunks_of(cfg);

	carve(&c, 1, sizeof(*srd));
	srd->ctxs = carve(&c, cfg->contexts_max, sizeof(*srd->ctxs));
	srd->ctx_hash_mask = weft_pow2_at_least(cfg->contexts_max) - 1;
	srd->ctx_hash = carve(&c, srd->ctx_hash_mask + 1, sizeof(*srd->ctx_hash));
	srd->heap = carve(&c, cfg->contexts_max, sizeof(*srd->heap));
	srd->actives = carve(&c, cfg->active_max, sizeof(*srd->actives));
	srd->paths = carve(&c, (size_t)cfg->active_max * cfg->paths, sizeof(*srd->paths));
	srd->chunks = carve(&c, chunks, sizeof(*srd->chunks));
	srd->chunk_next = carve(&c, chunks, sizeof(*srd->chunk_next));
	srd->chunks_len = chunks;
	srd->msgs = carve(&c, (size_t)cfg->msgs_max + cfg->reads_max, sizeof(*srd->msgs));
	/* A message refused as a whole is one piece; more of them come only from packets in flight between
	 * which others were accepted. */
	srd->pieces_len = cfg->msgs_max + cfg->reads_max + cfg->packets_max / 4 + 64;
	srd->pieces = carve(&c, srd->pieces_len, sizeof(*srd->pieces));
	srd->rxms = carve(&c, cfg->rx_msgs_max, sizeof(*srd->rxms));
	srd->rxm_hash_mask = weft_pow2_at_least(cfg->rx_msgs_max) - 1;
	srd->rxm_hash = carve(&c, srd->rxm_hash_mask + 1, sizeof(*srd->rxm_hash));
	srd->credit.list = carve(&c, cfg->active_max, sizeof(*srd->credit.list));
	return c.at;
}

size_t weft_srd_size(const struct weft_srd_cfg *cfg)
{
	struct weft_srd scratch;

	return lay_out(&scratch, cfg, NULL);
}

static void init_pools(struct weft_srd *srd)
{
	const struct weft_srd_cfg *cfg = &srd->cfg;
	uint32_t msgs = cfg->msgs_max + cfg->reads_max;

	memset(srd->ctx_hash, 0xff, (srd->ctx_hash_mask + 1) * sizeof(*srd->ctx_hash));
	memset(srd->rxm_hash, 0xff, (srd->rxm_hash_mask + 1) * sizeof(*srd->rxm_hash));
	for (uint32_t i = 0; i < cfg->active_max; i++) {
		srd->actives[i].ctx = WEFT_NIL;
		srd->actives[i].next_free = i + 1 < cfg->active_max ? i + 1 : WEFT_NIL;
	}
	for (uint32_t i = 0; i < srd->chunks_len; i++)
		srd->chunk_next[i] = (uint16_t)(i + 1 < srd->chunks_len ? i + 1 : WEFT_SLOT_NIL);
	for (uint32_t i = 0; i < msgs; i++) {
		srd->msgs[i] = (struct weft_msg){ .id = i, .where = WEFT_MSG_FREE };
		srd->msgs[i].next = i + 1 == cfg->msgs_max || i + 1 == msgs ? WEFT_NIL : i + 1;
	}
	for (uint32_t i = 0; i < srd->pieces_len; i++)
		srd->pieces[i].next = i + 1 < srd->pieces_len ? i + 1 : WEFT_NIL;
	for (uint32_t i = 0; i < cfg->rx_msgs_max; i++)
		srd->rxms[i] =
			(struct weft_rxm){ .next = i + 1 < cfg->rx_msgs_max ? i + 1 : WEFT_NIL };
	srd->read_free = cfg->msgs_max;
	while ((1u << srd->msg_gen_shift) < msgs)
		srd->msg_gen_shift++;
}

struct weft_srd *weft_srd_init(void *mem, const struct weft_srd_cfg *cfg,
			       const struct weft_srd_ops *ops, void *owner, weft_ns now)
{
	struct weft_srd *srd = mem;
	const char *why;

	weft_assert(!weft_srd_cfg_check(cfg, &why) && (uintptr_t)mem % 64 == 0);
	*srd = (struct weft_srd){
		.cfg = *cfg,
		.ops = ops,
		.owner = owner,
		.now = now,
		.ready_head = WEFT_NIL,
		.ready_tail = WEFT_NIL,
		.credit.at = WEFT_NS_NEVER,
	};
	weft_prng_init(&srd->prng, cfg->seed);
	lay_out(srd, cfg, mem);
	init_pools(srd);
	return srd;
}

static void advance(struct weft_srd *srd, weft_ns now)
{
	weft_assert(now >= srd->now);
	srd->now = now;
}

/* Peers */

int weft_srd_peer_get(struct weft_srd *srd, const struct weft_gid *gid, uint32_t *peer_out)
{
	uint32_t i = weft_ctx_find(srd, gid);

	if (i == WEFT_NIL)
		i = weft_ctx_create(srd, gid);
	if (i == WEFT_NIL || srd->ctxs[i].refs == UINT16_MAX)
		return -ENOMEM;
	srd->ctxs[i].refs++;
	*peer_out = i;
	return 0;
}

void weft_srd_peer_put(struct weft_srd *srd, uint32_t peer)
{
	weft_assert(peer < srd->ctx_len && srd->ctxs[peer].refs);
	srd->ctxs[peer].refs--;
}

/* Work requests */

static uint8_t kind_of(enum weft_srd_op op)
{
	static const uint8_t kinds[] = {
		[WEFT_SRD_SEND] = WEFT_WIRE_SEND,   [WEFT_SRD_SEND_IMM] = WEFT_WIRE_SEND_IMM,
		[WEFT_SRD_WRITE] = WEFT_WIRE_WRITE, [WEFT_SRD_WRITE_IMM] = WEFT_WIRE_WRITE_IMM,
		[WEFT_SRD_READ] = WEFT_WIRE_READ,
	};

	return kinds[op];
}

static void count_wr(struct weft_srd *srd, const struct weft_srd_wr *wr)
{
	switch (wr->op) {
	case WEFT_SRD_SEND:
	case WEFT_SRD_SEND_IMM:
		srd->stats.send_wrs++;
		srd->stats.send_bytes += wr->len;
		break;
	case WEFT_SRD_WRITE:
	case WEFT_SRD_WRITE_IMM:
		srd->stats.rdma_write_wrs++;
		srd->stats.rdma_write_bytes += wr->len;
		break;
	case WEFT_SRD_READ:
		srd->stats.rdma_read_wrs++;
		break;
	}
}

int weft_srd_on_post(struct weft_srd *srd, const struct weft_srd_wr *wr, weft_ns now)
{
	struct weft_ctx *ctx;
	struct weft_active *act;
	struct weft_msg *msg;

	advance(srd, now);
	if (wr->peer >= srd->ctx_len || (unsigned int)wr->op > WEFT_SRD_READ || wr->rnr_retry > 7)
		return -EINVAL;
	if (wr->len > (wr->op <= WEFT_SRD_SEND_IMM ? WEFT_SRD_SEND_MAX : WEFT_SRD_RDMA_MAX))
		return -EMSGSIZE;
	if (wr->placed && wr->op != WEFT_SRD_WRITE && wr->op != WEFT_SRD_WRITE_IMM)
		return -EINVAL;
	ctx = &srd->ctxs[wr->peer];
	if (!ctx->refs)
		return -EINVAL;
	if (srd->closing || srd->msg_free == WEFT_NIL || !weft_ctx_may_activate(srd, ctx))
		return -EAGAIN;
	act = weft_ctx_activate(srd, ctx);
	msg = weft_msg_alloc(srd, ctx, false);
	msg->cookie = wr->cookie;
	msg->kind = kind_of(wr->op);
	msg->src_qpn = wr->src_qpn;
	msg->dst_qpn = wr->dst_qpn;
	msg->key = wr->key;
	msg->addr = wr->addr;
	msg->imm = wr->imm;
	msg->len = wr->len;
	msg->rnr_retry = wr->rnr_retry;
	if (wr->placed) {
		msg->next_off = msg->acked = wr->len;
		msg->rest = wr->op == WEFT_SRD_WRITE_IMM;
	} else if (wr->op != WEFT_SRD_READ) {
		act->tx.unsent += wr->len;
	}
	if (wr->op == WEFT_SRD_READ)
		act->tx.reads_waiting++;
	count_wr(srd, wr);
	weft_msg_enqueue(srd, act, msg);
	if (ctx->state == WEFT_CTX_CLOSED)
		weft_hs_begin(srd, ctx);
	weft_ctx_arm(srd, ctx);
	return 0;
}

/* Packets */

static void on_ack(struct weft_srd *srd, struct weft_ctx *ctx, const struct weft_hdr *hdr,
		   const uint8_t *body)
{
	struct weft_active *act = weft_ctx_active(srd, ctx);
	struct weft_ack ack;

	if (weft_ack_decode(body, hdr->len, &ack)) {
		weft_drop_count(srd, WEFT_SRD_DROP_TYPE);
		return;
	}
	if (!act || ctx->state != WEFT_CTX_OPEN)
		return;
	(void)weft_rx_note_time(srd, ctx, act, hdr);
	weft_ack_on_packet(srd, ctx, act, hdr, &ack);
}

static void on_probe(struct weft_srd *srd, struct weft_ctx *ctx, const struct weft_hdr *hdr,
		     bool ce)
{
	struct weft_active *act = weft_ctx_activate(srd, ctx);

	if (!act) {
		weft_drop_count(srd, WEFT_SRD_DROP_NO_MEMORY);
		return;
	}
	weft_ack_peer_una(act, WEFT_MIN(hdr->psn, act->rx.top));
	(void)weft_rx_note_time(srd, ctx, act, hdr);
	weft_ack_owe(srd, ctx, act, hdr, ce, false, true);
}

static void on_data(struct weft_srd *srd, struct weft_ctx *ctx, const struct weft_hdr *hdr,
		    const struct weft_srd_rx *rx)
{
	const uint8_t *payload = rx->data + WEFT_SRD_DATA_HEAD;
	uint32_t len = hdr->len - WEFT_PROTO_OP;
	struct weft_op op;

	if (ctx->state != WEFT_CTX_OPEN)
		return;
	if (weft_op_decode(rx->data + WEFT_PROTO_HDR, &op)) {
		weft_drop_count(srd, WEFT_SRD_DROP_TYPE);
		return;
	}
	if (!rx->trimmed && hdr->flags & WEFT_PKT_F_CRC) {
		if (len && weft_crc32c(0, payload, len) != op.crc) {
			weft_drop_count(srd, WEFT_SRD_DROP_CRC);
			return;
		}
	} else if (!rx->trimmed && srd->cfg.payload_crc && len) {
		weft_drop_count(srd, WEFT_SRD_DROP_CRC);
		return;
	}
	weft_rx_on_data(srd, ctx, hdr, &op, payload, rx);
}

/* Who has sent a packet of a context that is not known? Where the wire cannot say, whoever that context belonged to: what
 * is not for him he will not heed. */
static const struct weft_gid *sender_of(const struct weft_srd *srd, const struct weft_hdr *hdr,
					const struct weft_srd_rx *rx)
{
	static const struct weft_gid nobody;

	if (hdr->dst_ctx < srd->ctx_len && !memcmp(&rx->from, &nobody, sizeof(nobody)))
		return &srd->ctxs[hdr->dst_ctx].gid;
	return &rx->from;
}

/* A packet of a context: find it, or tell the sender that there is none. */
static void on_ctx_packet(struct weft_srd *srd, const struct weft_hdr *hdr,
			  const struct weft_srd_rx *rx)
{
	struct weft_ctx *ctx = weft_hs_match(srd, hdr);
	struct weft_active *act;

	if (hdr->type == WEFT_PKT_FIN) {
		weft_hs_on_fin(srd, ctx, hdr, sender_of(srd, hdr, rx));
		return;
	}
	if (!ctx) {
		weft_drop_count(srd, WEFT_SRD_DROP_NO_CONTEXT);
		weft_hs_queue_reply(srd, WEFT_PKT_RESET, hdr, sender_of(srd, hdr, rx));
		return;
	}
	ctx->flags |= WEFT_CTX_F_ANSWERED;
	act = weft_ctx_active(srd, ctx);
	if (act) {
		act->last_heard = srd->now;
		act->quiet_probes = 0;
	}
	if (hdr->type == WEFT_PKT_DATA)
		on_data(srd, ctx, hdr, rx);
	else if (hdr->type == WEFT_PKT_ACK)
		on_ack(srd, ctx, hdr, rx->data + WEFT_PROTO_HDR);
	else
		on_probe(srd, ctx, hdr, rx->ce);
	weft_ctx_arm(srd, ctx);
}

static void dispatch(struct weft_srd *srd, const struct weft_hdr *hdr, const struct weft_srd_rx *rx)
{
	const uint8_t *body = rx->data + WEFT_PROTO_HDR;

	switch ((enum weft_pkt_type)hdr->type) {
	case WEFT_PKT_HELLO:
		weft_hs_on_hello(srd, hdr, body);
		break;
	case WEFT_PKT_WELCOME:
		weft_hs_on_welcome(srd, hdr, body);
		break;
	case WEFT_PKT_RESET:
	case WEFT_PKT_FIN_ACK:
		weft_hs_on_reset(srd, hdr);
		break;
	case WEFT_PKT_DATA:
	case WEFT_PKT_ACK:
	case WEFT_PKT_PROBE:
	case WEFT_PKT_FIN:
		on_ctx_packet(srd, hdr, rx);
		break;
	}
}

static bool has_body(uint8_t type)
{
	return type == WEFT_PKT_HELLO || type == WEFT_PKT_WELCOME || type == WEFT_PKT_DATA ||
	       type == WEFT_PKT_ACK;
}

/* Lengths that a frame may have. A trimmed data packet has its whole head and no more is expected. */
static bool is_length_wrong(const struct weft_srd *srd, const struct weft_hdr *hdr,
			    const struct weft_srd_rx *rx, enum weft_srd_drop *why_out)
{
	uint32_t total = WEFT_PROTO_HDR + (uint32_t)hdr->len;
	bool data = hdr->type == WEFT_PKT_DATA;
	uint32_t least = data && rx->trimmed ? WEFT_SRD_DATA_HEAD : total;

	*why_out = WEFT_SRD_DROP_SHORT;
	if (rx->len < least || (data && hdr->len < WEFT_PROTO_OP))
		return true;
	*why_out = WEFT_SRD_DROP_LONG;
	if (rx->len > total || (!data && total > WEFT_SRD_HEAD_MAX) ||
	    (hdr->len && !has_body(hdr->type)))
		return true;
	return data && total > WEFT_SRD_DATA_HEAD + weft_payload_max(srd);
}

uint32_t weft_srd_packet_len(const uint8_t *data, uint32_t len)
{
	struct weft_hdr hdr;

	if (len < WEFT_PROTO_HDR || weft_hdr_decode(data, &hdr))
		return len;
	return WEFT_MIN(len, WEFT_PROTO_HDR + (uint32_t)hdr.len);
}

void weft_srd_on_packet(struct weft_srd *srd, const struct weft_srd_rx *rx, weft_ns now)
{
	struct weft_srd_rx in = *rx;
	struct weft_hdr hdr;
	enum weft_srd_drop why;
	int rc;

	advance(srd, now);
	srd->stats.rx_pkts++;
	srd->stats.rx_bytes += rx->len;
	if (rx->len < WEFT_PROTO_HDR) {
		weft_drop_count(srd, WEFT_SRD_DROP_SHORT);
		return;
	}
	rc = weft_hdr_decode(rx->data, &hdr);
	if (rc) {
		weft_drop_count(srd, rc == -EBADMSG ? WEFT_SRD_DROP_TYPE : WEFT_SRD_DROP_VERSION);
		return;
	}
	if (is_length_wrong(srd, &hdr, rx, &why)) {
		weft_drop_count(srd, why);
		return;
	}
	if (weft_has_tag(srd, hdr.type) &&
	    !weft_head_is_authentic(srd->cfg.key, rx->data, weft_head_len(&hdr))) {
		weft_drop_count(srd, WEFT_SRD_DROP_TAG);
		return;
	}
	/* Nothing was cut off a packet that had no payload. */
	in.trimmed = rx->trimmed && rx->len < WEFT_PROTO_HDR + (uint32_t)hdr.len;
	dispatch(srd, &hdr, &in);
}

void weft_srd_on_timer(struct weft_srd *srd, weft_ns now)
{
	advance(srd, now);
	while (srd->heap_len && srd->heap[0].at <= now)
		weft_ctx_on_deadline(srd, &srd->ctxs[srd->heap[0].ctx]);
	if (srd->credit.at <= now)
		weft_credit_on_timer(srd);
}

weft_ns weft_srd_next_deadline(const struct weft_srd *srd)
{
	weft_ns at = srd->heap_len ? srd->heap[0].at : WEFT_NS_NEVER;

	return WEFT_MIN(at, srd->credit.at);
}

/* Output */

/* Probes queue like data: what one proves, about the order on its path or about the peer's being alive,
 * it must prove for data. */
static void build_probe(struct weft_srd *srd, struct weft_ctx *ctx, struct weft_active *act,
			uint16_t ev, struct weft_srd_tx *tx)
{
	struct weft_hdr hdr;

	weft_txw_fill_hdr(srd, ctx, WEFT_PKT_PROBE, ev, &hdr);
	hdr.flags = WEFT_PKT_F_ACKREQ;
	hdr.psn = act->tx.una;
	weft_txw_finish(srd, ctx, &hdr, 0, true, tx);
	tx->control = false;
	tx->probe = true;
}

static bool next_of_ctx(struct weft_srd *srd, struct weft_ctx *ctx, struct weft_srd_tx *tx)
{
	struct weft_active *act;
	uint16_t ev;

	if (weft_hs_next_packet(srd, ctx, tx))
		return true;
	act = weft_ctx_active(srd, ctx);
	if (!act || ctx->state != WEFT_CTX_OPEN)
		return false;
	if (act->rx.rides) {
		act->rx.rides = false;
		act->rx.ack_now = true;
		tx->rides = weft_ack_next_packet(srd, ctx, act, tx);
		return true;
	}
	if (weft_ack_next_packet(srd, ctx, act, tx))
		return true;
	if (weft_txw_next_packet(srd, ctx, act, tx)) {
		act->probe_now &=
			act->rto_count > 0; /* Data asks for an answer as well as a probe does. */
		return true;
	}
	if (weft_ack_is_left_behind(act)) {
		act->rx.ack_now = true;
		return weft_ack_next_packet(srd, ctx, act, tx);
	}
	if (act->probe_now) {
		act->probe_now = false;
		build_probe(srd, ctx, act, weft_path_pick_control(srd, act), tx);
		return true;
	}
	if (act->lb.out && weft_path_next_probe(srd, act, &ev)) {
		srd->stats.path_probes++;
		build_probe(srd, ctx, act, ev, tx);
		return true;
	}
	return false;
}

static void ready_pop(struct weft_srd *srd)
{
	struct weft_ctx *ctx = &srd->ctxs[srd->ready_head];

	srd->ready_head = ctx->ready_next;
	ctx->ready_next = WEFT_NIL;
	ctx->flags &= (uint8_t)~WEFT_CTX_F_READY;
}

bool weft_srd_next_packet(struct weft_srd *srd, weft_ns now, struct weft_srd_tx *tx_out)
{
	advance(srd, now);
	tx_out->rides = false;
	if (weft_hs_next_reply(srd, tx_out))
		return true;
	while (srd->ready_head != WEFT_NIL) {
		struct weft_ctx *ctx = &srd->ctxs[srd->ready_head];
		struct weft_active *act;

		if (!next_of_ctx(srd, ctx, tx_out)) {
			ready_pop(srd);
			act = weft_ctx_active(srd, ctx);
			if (act) /* What comes later is another burst. */
				act->lb.burst_left = 0;
			weft_ctx_arm(srd, ctx);
			continue;
		}
		weft_ctx_arm(srd, ctx);
		act = weft_ctx_active(srd, ctx);
		if (!act || (!act->lb.burst_left && !act->rx.rides)) {
			ready_pop(srd);
			weft_ctx_ready(srd, ctx);
		}
		return true;
	}
	return false;
}

/* Ends */

void weft_srd_on_qp_gone(struct weft_srd *srd, uint16_t qpn, weft_ns now)
{
	advance(srd, now);
	weft_rx_on_qp_gone(srd, qpn);
	for (uint32_t i = 0; i < srd->cfg.msgs_max; i++) {
		struct weft_msg *msg = &srd->msgs[i];
		struct weft_ctx *ctx;

		if (msg->where == WEFT_MSG_FREE || msg->src_qpn != qpn || msg->completed)
			continue;
		ctx = &srd->ctxs[msg->ctx];
		weft_msg_fail(srd, msg, WEFT_SRD_FLUSHED);
		weft_msg_check_done(srd, msg);
		weft_ctx_arm(srd, ctx);
	}
}

void weft_srd_cancel(struct weft_srd *srd, uint64_t cookie, enum weft_srd_status status,
		     weft_ns now)
{
	advance(srd, now);
	weft_assert(status != WEFT_SRD_OK);
	for (uint32_t i = 0; i < srd->cfg.msgs_max; i++) {
		struct weft_msg *msg = &srd->msgs[i];
		struct weft_ctx *ctx;

		if (msg->where == WEFT_MSG_FREE || msg->cookie != cookie || msg->completed)
			continue;
		ctx = &srd->ctxs[msg->ctx];
		weft_msg_fail(srd, msg, status);
		weft_msg_check_done(srd, msg);
		weft_ctx_arm(srd, ctx);
		return;
	}
}

void weft_srd_on_too_long(struct weft_srd *srd, const struct weft_gid *gid, uint32_t payload_max,
			  weft_ns now)
{
	uint32_t i = weft_ctx_find(srd, gid);
	struct weft_active *act;
	struct weft_ctx *ctx;

	advance(srd, now);
	payload_max = WEFT_MAX(payload_max, WEFT_SRD_PAYLOAD_MIN);
	if (i == WEFT_NIL)
		return;
	ctx = &srd->ctxs[i];
	act = weft_ctx_active(srd, ctx);
	if (!act || WEFT_MIN(act->tx.single, ctx->payload) <= payload_max)
		return;
	srd->stats.payload_shrinks++;
	weft_loss_too_long(srd, ctx, act, payload_max);
	weft_ctx_arm(srd, ctx);
}

void weft_srd_on_unreachable(struct weft_srd *srd, const struct weft_gid *gid, weft_ns now)
{
	uint32_t i = weft_ctx_find(srd, gid);
	struct weft_ctx *ctx;

	advance(srd, now);
	if (i == WEFT_NIL)
		return;
	ctx = &srd->ctxs[i];
	/* The unsent ones are not spared, so nothing is left over that would have to call again. An answer
	 * that we gave to a HELLO stays good (pend_epoch): whoever uses it shows that he is there. */
	switch ((enum weft_ctx_state)ctx->state) {
	case WEFT_CTX_HELLO:
		weft_ctx_fail(srd, ctx, WEFT_SRD_REMOTE_QPN, false);
		break;
	case WEFT_CTX_OPEN:
		weft_ctx_fail(srd, ctx, WEFT_SRD_ABORT, false);
		break;
	case WEFT_CTX_FIN:
		weft_ctx_fail(srd, ctx, WEFT_SRD_FLUSHED, false);
		break;
	case WEFT_CTX_FREE:
	case WEFT_CTX_CLOSED:
		return;
	}
	weft_ctx_arm(srd, ctx);
}

void weft_srd_close(struct weft_srd *srd, weft_ns now)
{
	advance(srd, now);
	if (srd->closing)
		return;
	srd->closing = true;
	for (uint32_t i = 0; i < srd->ctx_len; i++) {
		struct weft_ctx *ctx = &srd->ctxs[i];
		bool open = ctx->state == WEFT_CTX_OPEN;
		uint32_t epoch = ctx->epoch, peer_epoch = ctx->peer_epoch, peer_ctx = ctx->peer_ctx;

		if (ctx->state == WEFT_CTX_CLOSED)
			continue;
		weft_ctx_fail(srd, ctx, WEFT_SRD_FLUSHED, false);
		if (!open)
			continue;
		ctx->state = WEFT_CTX_FIN;
		ctx->epoch = epoch;
		ctx->peer_epoch = peer_epoch;
		ctx->peer_ctx = peer_ctx;
		ctx->hs_tries = 0;
		ctx->hs_at = weft_coarse_ts(now);
		weft_ctx_arm(srd, ctx);
	}
}

bool weft_srd_is_closed(const struct weft_srd *srd)
{
	if (!srd->closing || srd->resets_len)
		return false;
	for (uint32_t i = 0; i < srd->ctx_len; i++)
		if (srd->ctxs[i].state != WEFT_CTX_CLOSED)
			return false;
	return true;
}

/* Looks */

const struct weft_srd_stats *weft_srd_stats(const struct weft_srd *srd)
{
	return &srd->stats;
}

void weft_srd_usage(const struct weft_srd *srd, struct weft_srd_usage *usage_out)
{
	*usage_out = (struct weft_srd_usage){
		.contexts = srd->ctx_len,
		.active = srd->actives_used,
		.msgs = srd->msgs_used,
		.reads = srd->reads_used,
		.rx_msgs = srd->rxms_used,
		.chunks = srd->chunks_used,
		.pieces = srd->pieces_used,
		.timers = srd->heap_len,
	};
}

/* Path tables and chunks lie side by side. All that is written there in advance is nothing: both are cleared when
 * somebody takes one. */
bool weft_srd_next_spare(struct weft_srd *srd, void **mem_out, size_t *len_out)
{
	if (!srd->crowded || srd->actives_used)
		return false;
	srd->crowded = false;
	*mem_out = srd->paths;
	*len_out = (size_t)((uint8_t *)srd->chunk_next - (uint8_t *)srd->paths);
	return true;
}

bool weft_srd_is_quiet(const struct weft_srd *srd, uint32_t peer)
{
	const struct weft_active *act = weft_ctx_active(srd, &srd->ctxs[peer]);

	return !act || !act->tx.fly_pkts;
}

int weft_srd_peer_info(const struct weft_srd *srd, uint32_t peer,
		       struct weft_srd_peer_info *info_out)
{
	const struct weft_ctx *ctx;
	const struct weft_active *act;

	if (peer >= srd->ctx_len)
		return -EINVAL;
	ctx = &srd->ctxs[peer];
	act = weft_ctx_active(srd, ctx);
	*info_out = (struct weft_srd_peer_info){
		.established = ctx->state == WEFT_CTX_OPEN,
		.has_active = act != NULL,
		.payload = ctx->payload,
		.srtt = ctx->srtt_ns,
	};
	if (!act)
		return 0;
	info_out->credit_mode = act->cc.credit_mode;
	info_out->cwnd = act->cc.cwnd;
	info_out->inflight = act->tx.inflight_bytes;
	info_out->inflight_pkts = act->tx.fly_pkts;
	info_out->paths_out = act->lb.out;
	info_out->credit = weft_cc_credit(ctx, act);
	info_out->srtt = act->cc.srtt;
	info_out->base_rtt = act->cc.base_rtt;
	info_out->rto = weft_loss_rto(srd, act);
	info_out->backlog = weft_txw_backlog(act);
	return 0;
}

const char *weft_srd_drop_name(enum weft_srd_drop reason)
{
	static const char *const names[WEFT_SRD_DROP_COUNT] = {
		[WEFT_SRD_DROP_SHORT] = "short",
		[WEFT_SRD_DROP_LONG] = "long",
		[WEFT_SRD_DROP_VERSION] = "version",
		[WEFT_SRD_DROP_TYPE] = "type",
		[WEFT_SRD_DROP_TAG] = "tag",
		[WEFT_SRD_DROP_CRC] = "crc",
		[WEFT_SRD_DROP_NO_CONTEXT] = "no_context",
		[WEFT_SRD_DROP_ADDRESS] = "address",
		[WEFT_SRD_DROP_STALE] = "stale",
		[WEFT_SRD_DROP_DUPLICATE] = "duplicate",
		[WEFT_SRD_DROP_WINDOW] = "window",
		[WEFT_SRD_DROP_BOUNDS] = "bounds",
		[WEFT_SRD_DROP_TRIMMED] = "trimmed",
		[WEFT_SRD_DROP_NO_MEMORY] = "no_memory",
	};

	return (unsigned int)reason < WEFT_SRD_DROP_COUNT ? names[reason] : "?";
}

const char *weft_srd_status_name(enum weft_srd_status status)
{
	static const char *const names[] = {
		[WEFT_SRD_OK] = "ok",
		[WEFT_SRD_FLUSHED] = "flushed",
		[WEFT_SRD_INVALID_LKEY] = "invalid lkey",
		[WEFT_SRD_LOCAL_LENGTH] = "bad length",
		[WEFT_SRD_REMOTE_ADDRESS] = "bad remote address",
		[WEFT_SRD_ABORT] = "aborted by peer",
		[WEFT_SRD_REMOTE_QPN] = "bad destination qpn",
		[WEFT_SRD_RNR] = "receiver not ready",
		[WEFT_SRD_REMOTE_LENGTH] = "receive too short",
		[WEFT_SRD_REMOTE_STATUS] = "bad response",
		[WEFT_SRD_UNRESPONSIVE] = "unresponsive",
		[WEFT_SRD_UNREACHABLE] = "unreachable",
		[WEFT_SRD_FEATURE_MISMATCH] = "feature mismatch",
	};

	return (unsigned int)status < WEFT_ARRAY_SIZE(names) && names[status] ? names[status] : "?";
}
