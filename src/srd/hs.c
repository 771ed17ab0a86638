/* SPDX-License-Identifier: BSD-2-Clause */
/* The handshake (docs/protocol.md section 4): how two ends agree on one incarnation of their context,
 * and how they notice that the other end has another idea of it.
 *
 * One epoch, one partner: an epoch of ours is paired with at most one epoch of the peer, ever. Whoever
 * shows our epoch therefore belongs to the incarnation that we mean, and a packet need not carry its
 * sender's. Two rules keep this true. A HELLO is answered with a fresh epoch unless it is the same HELLO
 * again, or ours is out and not yet paired. And an answer that would pair an epoch a second time makes
 * us go on with a fresh one.
 *
 * A HELLO alone changes nothing that works: it may be an old copy. Its answer is kept beside the context
 * (pend_*) and takes effect when the first packet comes back that shows the epoch named in the answer,
 * since only the sender of that very HELLO, alive now, can know it. What was under way in the old
 * incarnation then ends with ABORT, except for messages of which nothing had left. */
#include "srd/engine.h"

#include <string.h>

uint32_t weft_hs_fresh_epoch(struct weft_srd *srd)
{
	uint32_t epoch;

	do
		epoch = (uint32_t)(weft_prng_next(&srd->prng) >> 32);
	while (!epoch);
	return epoch;
}

static weft_ns first_interval(const struct weft_srd *srd)
{
	return WEFT_MAX(srd->cfg.rto_min, 2 * srd->cfg.rtt_hint);
}

static void schedule(struct weft_srd *srd, struct weft_ctx *ctx)
{
	weft_ns wait =
		WEFT_MIN(first_interval(srd) << WEFT_MIN(ctx->hs_tries, 16), srd->cfg.rto_max);

	/* A quarter of chance, so that two ends that failed together do not try again together. */
	wait += weft_prng_below(&srd->prng, (uint32_t)(wait / 4) + 1);

	ctx->hs_at = weft_coarse_ts(srd->now + wait) + 1;
	if (ctx->hs_tries < UINT8_MAX)
		ctx->hs_tries++;
}

void weft_hs_begin(struct weft_srd *srd, struct weft_ctx *ctx)
{
	struct weft_active *act = weft_ctx_active(srd, ctx);

	weft_assert(ctx->state == WEFT_CTX_CLOSED || ctx->state == WEFT_CTX_HELLO);
	/* The peer knows us already: our HELLO goes out under the epoch that our WELCOME named, so that
	 * both handshakes end in the same pair. */
	ctx->epoch = ctx->pend_epoch && ctx->state == WEFT_CTX_CLOSED ? ctx->pend_epoch
								      : weft_hs_fresh_epoch(srd);
	ctx->state = WEFT_CTX_HELLO;
	ctx->hs_tries = 0;
	ctx->flags |= WEFT_CTX_F_HELLO;
	if (act)
		act->last_progress = act->last_heard = srd->now;
	schedule(srd, ctx);
	weft_ctx_ready(srd, ctx);
	weft_ctx_arm(srd, ctx);
}

/* The peer is there and calls: our back-off begins anew. But our next HELLO does not go out at once: two
 * ends that provoke each other could go on for ever at full speed. */
static void hasten(struct weft_srd *srd, struct weft_ctx *ctx)
{
	struct weft_active *act = weft_ctx_active(srd, ctx);
	uint32_t soon = weft_coarse_ts(srd->now + first_interval(srd)) + 1;

	if ((int32_t)(ctx->hs_at - soon) > 0)
		ctx->hs_at = soon;
	ctx->hs_tries = 0;
	if (act)
		act->last_heard = srd->now;
	weft_ctx_arm(srd, ctx);
}

/* Our HELLO's epoch turned out to be paired with an incarnation of the peer that is gone. The next HELLO
 * carries a fresh one. */
static void renew_epoch(struct weft_srd *srd, struct weft_ctx *ctx)
{
	ctx->epoch = weft_hs_fresh_epoch(srd);
	ctx->pend_epoch = ctx->pend_peer_epoch = 0;
	hasten(srd, ctx);
}

/* Not with checksums: their holes are none of a payload's bytes. */
static bool offers_trains(const struct weft_srd *srd)
{
	return srd->cfg.trains && !srd->cfg.payload_crc;
}

/* Both epochs are known: the context is open under them. */
static void open_ctx(struct weft_srd *srd, struct weft_ctx *ctx, uint32_t epoch,
		     uint32_t peer_epoch, uint32_t peer_ctx, uint16_t payload, bool crc,
		     bool trains)
{
	struct weft_active *act;

	if (ctx->state == WEFT_CTX_OPEN)
		weft_ctx_fail(srd, ctx, WEFT_SRD_ABORT, true);
	ctx->state = WEFT_CTX_OPEN;
	ctx->epoch = epoch;
	ctx->peer_epoch = peer_epoch;
	ctx->peer_ctx = peer_ctx;
	ctx->agreed = (uint16_t)WEFT_MIN(payload, srd->cfg.payload_max);
	ctx->trains = trains && !crc && offers_trains(srd) ? WEFT_TRAINS_ON : 0;
	ctx->payload = weft_ctx_payload(ctx);
	ctx->pend_epoch = ctx->pend_peer_epoch = 0;
	ctx->flags |= WEFT_CTX_F_ANSWERED;
	ctx->flags &= (uint8_t) ~(WEFT_CTX_F_HELLO | WEFT_CTX_F_WELCOME | WEFT_CTX_F_PEER_CRC);
	if (crc)
		ctx->flags |= WEFT_CTX_F_PEER_CRC;
	/* The first PSN of a direction is the sender's epoch: random, and nothing more to exchange. */
	ctx->tx_next = epoch;
	ctx->rx_cum = peer_epoch;
	ctx->hs_at = weft_coarse_ts(srd->now);
	srd->stats.contexts_opened++;
	act = weft_ctx_active(srd, ctx);
	if (act) {
		act->tx.next = act->tx.una = ctx->tx_next;
		act->tx.single = ctx->agreed;
		act->rx.top = act->rx.peer_una = act->rx.refused_top = ctx->rx_cum;
		act->last_progress = act->last_heard = act->last_tx = srd->now;
	}
	weft_ctx_ready(srd, ctx);
}

struct weft_ctx *weft_hs_match(struct weft_srd *srd, const struct weft_hdr *hdr)
{
	struct weft_ctx *ctx;

	if (hdr->dst_ctx >= srd->ctx_len || !hdr->dst_epoch)
		return NULL;
	ctx = &srd->ctxs[hdr->dst_ctx];
	if ((ctx->state == WEFT_CTX_OPEN || ctx->state == WEFT_CTX_FIN) &&
	    ctx->epoch == hdr->dst_epoch)
		return ctx;
	if (ctx->pend_epoch != hdr->dst_epoch || ctx->state == WEFT_CTX_FIN || srd->closing)
		return NULL;
	open_ctx(srd, ctx, ctx->pend_epoch, ctx->pend_peer_epoch, ctx->pend_peer_ctx,
		 ctx->pend_payload, ctx->flags & WEFT_CTX_F_PEND_CRC,
		 ctx->trains & WEFT_TRAINS_PEND);
	return ctx;
}

/* The peer may be about to use the answer that we gave: another HELLO, perhaps an old copy, does not
 * replace it at once. Its sender, if it is alive, repeats it. */
static bool is_answer_young(const struct weft_srd *srd, const struct weft_ctx *ctx)
{
	uint32_t age = weft_coarse_ts(srd->now) - ctx->pend_at;

	return ctx->pend_epoch && age < (4 * first_interval(srd)) >> 10;
}

void weft_hs_on_hello(struct weft_srd *srd, const struct weft_hdr *hdr, const uint8_t *body)
{
	struct weft_hello hello;
	struct weft_ctx *ctx;
	uint32_t i;

	if (weft_hello_decode(body, hdr->len, &hello)) {
		weft_drop_count(srd, WEFT_SRD_DROP_TYPE);
		return;
	}
	if (memcmp(&hello.dst, &srd->cfg.gid, sizeof(hello.dst))) {
		weft_drop_count(srd, WEFT_SRD_DROP_ADDRESS);
		return;
	}
	i = weft_ctx_find(srd, &hello.src);
	if (i == WEFT_NIL && !srd->closing)
		i = weft_ctx_create(srd, &hello.src);
	if (i == WEFT_NIL || srd->closing) {
		weft_drop_count(srd, WEFT_SRD_DROP_NO_MEMORY);
		return;
	}
	ctx = &srd->ctxs[i];
	if (ctx->state == WEFT_CTX_FIN) {
		weft_drop_count(srd, WEFT_SRD_DROP_STALE);
		return;
	}
	/* Both call at once: the end with the smaller address answers, the other one's call stands. */
	if (ctx->state == WEFT_CTX_HELLO &&
	    memcmp(&srd->cfg.gid, &hello.src, sizeof(hello.src)) > 0) {
		weft_drop_count(srd, WEFT_SRD_DROP_STALE);
		hasten(srd, ctx);
		return;
	}
	if (ctx->state == WEFT_CTX_OPEN && ctx->peer_epoch == hello.epoch) {
		/* Our WELCOME was lost, or this is an old copy: the same answer serves both. */
		ctx->flags |= WEFT_CTX_F_WELCOME;
		weft_ctx_ready(srd, ctx);
		return;
	}
	if (ctx->pend_peer_epoch != hello.epoch) {
		if (is_answer_young(srd, ctx)) {
			weft_drop_count(srd, WEFT_SRD_DROP_STALE);
			return;
		}
		if (ctx->state == WEFT_CTX_HELLO && ctx->pend_epoch == ctx->epoch)
			renew_epoch(srd, ctx);
		ctx->pend_epoch =
			ctx->state == WEFT_CTX_HELLO ? ctx->epoch : weft_hs_fresh_epoch(srd);
		ctx->pend_peer_epoch = hello.epoch;
		ctx->pend_at = weft_coarse_ts(srd->now);
	}
	ctx->pend_peer_ctx = hdr->src_ctx;
	ctx->pend_payload = hello.payload_max;
	ctx->flags |= WEFT_CTX_F_WELCOME;
	ctx->flags &= (uint8_t)~WEFT_CTX_F_PEND_CRC;
	if (hello.features & WEFT_HELLO_F_CRC)
		ctx->flags |= WEFT_CTX_F_PEND_CRC;
	ctx->trains &= (uint8_t)~WEFT_TRAINS_PEND;
	if (hello.features & WEFT_HELLO_F_TRAINS)
		ctx->trains |= WEFT_TRAINS_PEND;
	weft_ctx_ready(srd, ctx);
}

void weft_hs_on_welcome(struct weft_srd *srd, const struct weft_hdr *hdr, const uint8_t *body)
{
	struct weft_hello hello;
	struct weft_ctx *ctx;
	struct weft_active *act;

	if (weft_hello_decode(body, hdr->len, &hello)) {
		weft_drop_count(srd, WEFT_SRD_DROP_TYPE);
		return;
	}
	if (memcmp(&hello.dst, &srd->cfg.gid, sizeof(hello.dst)) || hdr->dst_ctx >= srd->ctx_len ||
	    memcmp(&hello.src, &srd->ctxs[hdr->dst_ctx].gid, sizeof(hello.src))) {
		weft_drop_count(srd, WEFT_SRD_DROP_ADDRESS);
		return;
	}
	ctx = &srd->ctxs[hdr->dst_ctx];
	if (ctx->state != WEFT_CTX_HELLO || ctx->epoch != hdr->dst_epoch) {
		weft_drop_count(srd, WEFT_SRD_DROP_STALE);
		return;
	}
	if (ctx->pend_epoch == ctx->epoch && ctx->pend_peer_epoch != hello.epoch) {
		renew_epoch(srd, ctx);
		return;
	}
	open_ctx(srd, ctx, ctx->epoch, hello.epoch, hdr->src_ctx, hello.payload_max,
		 hello.features & WEFT_HELLO_F_CRC, hello.features & WEFT_HELLO_F_TRAINS);
	/* The peer opens its end when it first sees the pair. If nothing else goes out, a probe does. */
	act = weft_ctx_active(srd, ctx);
	if (act)
		act->probe_now = true;
}

/* RESET, or the answer to our FIN: both name the incarnation by the peer's epoch, since one of them is
 * sent by a peer that no longer knows ours. */
void weft_hs_on_reset(struct weft_srd *srd, const struct weft_hdr *hdr)
{
	struct weft_ctx *ctx = hdr->dst_ctx < srd->ctx_len ? &srd->ctxs[hdr->dst_ctx] : NULL;
	bool fin = ctx && ctx->state == WEFT_CTX_FIN;

	if (!ctx || (!fin && (ctx->state != WEFT_CTX_OPEN || hdr->type == WEFT_PKT_FIN_ACK)) ||
	    ctx->peer_epoch != hdr->psn || ctx->peer_ctx != hdr->src_ctx) {
		weft_drop_count(srd, WEFT_SRD_DROP_STALE);
		return;
	}
	ctx->flags |= WEFT_CTX_F_ANSWERED;
	weft_ctx_fail(srd, ctx, fin ? WEFT_SRD_FLUSHED : WEFT_SRD_ABORT, !fin);
	if (ctx->active != WEFT_NIL)
		weft_hs_begin(srd, ctx);
	weft_ctx_arm(srd, ctx);
}

void weft_hs_on_fin(struct weft_srd *srd, struct weft_ctx *ctx, const struct weft_hdr *hdr,
		    const struct weft_gid *from)
{
	weft_hs_queue_reply(srd, WEFT_PKT_FIN_ACK, hdr, ctx ? &ctx->gid : from);
	if (!ctx)
		return;
	weft_ctx_fail(srd, ctx, WEFT_SRD_ABORT, !srd->closing);
	if (ctx->active != WEFT_NIL)
		weft_hs_begin(srd, ctx);
	weft_ctx_arm(srd, ctx);
}

void weft_hs_on_deadline(struct weft_srd *srd, struct weft_ctx *ctx)
{
	struct weft_active *act = weft_ctx_active(srd, ctx);

	if (ctx->state == WEFT_CTX_FIN) {
		if (ctx->hs_tries >= 8) {
			weft_ctx_fail(srd, ctx, WEFT_SRD_FLUSHED, false);
			return;
		}
		ctx->flags |= WEFT_CTX_F_FIN;
	} else {
		if (!act || act->tx.all_head == WEFT_NIL) {
			weft_ctx_fail(srd, ctx, WEFT_SRD_FLUSHED, false);
			return;
		}
		/* A peer that calls resets the count of our tries, but not for ever. */
		if ((ctx->hs_tries >= 8 || act->last_heard > act->last_progress) &&
		    weft_loss_is_dead(srd, act)) {
			weft_ctx_fail(srd, ctx, weft_ctx_death(ctx), false);
			return;
		}
		ctx->flags |= WEFT_CTX_F_HELLO;
	}
	schedule(srd, ctx);
	weft_ctx_ready(srd, ctx);
}

/* Answers to senders without a context */

void weft_hs_queue_reply(struct weft_srd *srd, uint8_t type, const struct weft_hdr *cause,
			 const struct weft_gid *to)
{
	/* A flood of strangers gets as many answers as fit between two drains, and no more. */
	if (srd->resets_len == WEFT_ARRAY_SIZE(srd->resets))
		return;
	srd->resets[srd->resets_len].to = *to;
	srd->resets[srd->resets_len].dst_ctx = cause->src_ctx;
	srd->resets[srd->resets_len].epoch = cause->dst_epoch;
	srd->resets[srd->resets_len].src_ctx = cause->dst_ctx;
	srd->resets_type[srd->resets_len++] = type;
}

bool weft_hs_next_reply(struct weft_srd *srd, struct weft_srd_tx *tx)
{
	uint32_t i;
	struct weft_hdr hdr;

	if (!srd->resets_len)
		return false;
	i = --srd->resets_len;
	hdr = (struct weft_hdr){
		.type = srd->resets_type[i],
		.ev = (uint16_t)weft_prng_below(&srd->prng, srd->cfg.paths),
		.dst_ctx = srd->resets[i].dst_ctx,
		.src_ctx = srd->resets[i].src_ctx,
		.psn = srd->resets[i].epoch,
		.tx_ts = weft_ts(srd->now),
	};
	tx->to = srd->resets[i].to;
	tx->path = hdr.ev;
	weft_txw_finish(srd, NULL, &hdr, 0, true, tx);
	return true;
}

bool weft_hs_next_packet(struct weft_srd *srd, struct weft_ctx *ctx, struct weft_srd_tx *tx)
{
	struct weft_hdr hdr;
	struct weft_hello hello = {
		.src = srd->cfg.gid,
		.dst = ctx->gid,
		.version_max = WEFT_PROTO_VERSION,
		.features = srd->cfg.payload_crc ? WEFT_HELLO_F_CRC
			    : offers_trains(srd) ? WEFT_HELLO_F_TRAINS
						 : 0,
		.payload_max = (uint16_t)srd->cfg.payload_max,
	};
	uint16_t ev = (uint16_t)weft_prng_below(&srd->prng, srd->cfg.paths);

	bool open = ctx->state == WEFT_CTX_OPEN && !ctx->pend_epoch;
	bool welcome = ctx->flags & WEFT_CTX_F_WELCOME && ctx->state != WEFT_CTX_FIN &&
		       (open || ctx->pend_epoch);

	ctx->flags &= (uint8_t)~WEFT_CTX_F_WELCOME;
	if (welcome) {
		weft_txw_fill_hdr(srd, ctx, WEFT_PKT_WELCOME, ev, &hdr);
		hdr.dst_ctx = open ? ctx->peer_ctx : ctx->pend_peer_ctx;
		hdr.dst_epoch = open ? ctx->peer_epoch : ctx->pend_peer_epoch;
		hello.epoch = open ? ctx->epoch : ctx->pend_epoch;
	} else if (ctx->flags & WEFT_CTX_F_HELLO && ctx->state == WEFT_CTX_HELLO) {
		ctx->flags &= (uint8_t)~WEFT_CTX_F_HELLO;
		weft_txw_fill_hdr(srd, ctx, WEFT_PKT_HELLO, ev, &hdr);
		hdr.dst_ctx = hdr.dst_epoch = 0;
		hello.epoch = ctx->epoch;
	} else if (ctx->flags & WEFT_CTX_F_FIN && ctx->state == WEFT_CTX_FIN) {
		ctx->flags &= (uint8_t)~WEFT_CTX_F_FIN;
		weft_txw_fill_hdr(srd, ctx, WEFT_PKT_FIN, ev, &hdr);
		weft_txw_finish(srd, ctx, &hdr, 0, true, tx);
		return true;
	} else {
		return false;
	}
	weft_hello_encode(tx->head + WEFT_PROTO_HDR, &hello);
	weft_txw_finish(srd, ctx, &hdr, WEFT_PROTO_HELLO, true, tx);
	return true;
}
