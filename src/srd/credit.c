/* SPDX-License-Identifier: BSD-2-Clause */
/* Credits (docs/protocol.md section 10): the receiver's answer to an incast.
 *
 * Each sender says with every packet how much it still has (its pull: credit used plus bytes waiting).
 * While one sender alone has a backlog, windows are enough. When two or more have more than a round
 * trip's worth, their windows would only fill the last queue, so the receiver takes over: it hands out
 * credit in turns of equal size, four packets of ours at a time, at a little less than the speed of its port. Both limits
 * apply to the sender then, and retransmissions cost credit like everything else, so that what arrives
 * never exceeds what the port can take. */
#include "srd/engine.h"

#define GRANT_PACKETS 4u
#define RATE_PERCENT  99u

/* Quanta that the peer wants and has not been granted. */
static int16_t demand(const struct weft_ctx *ctx)
{
	return (int16_t)(ctx->peer_pull - ctx->granted);
}

static int32_t big_demand(const struct weft_srd *srd)
{
	uint64_t bdp = srd->cfg.link_bps / 8 * srd->cfg.rtt_hint / 1000000000u;

	return (int32_t)WEFT_MIN(bdp / WEFT_PROTO_QUANTUM, INT16_MAX / 2);
}

static void list_remove(struct weft_srd *srd, uint32_t pos)
{
	srd->ctxs[srd->credit.list[pos]].flags &= (uint8_t)~WEFT_CTX_F_DEMAND;
	srd->credit.len--;
	for (uint32_t i = pos; i < srd->credit.len; i++)
		srd->credit.list[i] = srd->credit.list[i + 1];
	if (srd->credit.next > pos)
		srd->credit.next--;
}

void weft_credit_forget(struct weft_srd *srd, struct weft_ctx *ctx)
{
	for (uint32_t i = 0; ctx->flags & WEFT_CTX_F_DEMAND && i < srd->credit.len; i++)
		if (srd->credit.list[i] == weft_ctx_index(srd, ctx))
			list_remove(srd, i);
}

/* Tell the peer about a grant, or that credit begins or ends. */
static void announce(struct weft_srd *srd, struct weft_ctx *ctx)
{
	struct weft_active *act = weft_ctx_active(srd, ctx);

	if (!act)
		return;
	act->rx.ack_now = true;
	weft_ctx_ready(srd, ctx);
}

static void drop_satisfied(struct weft_srd *srd, int32_t below)
{
	for (uint32_t i = 0; i < srd->credit.len;) {
		struct weft_ctx *ctx = &srd->ctxs[srd->credit.list[i]];

		if (demand(ctx) > below) {
			i++;
			continue;
		}
		list_remove(srd, i);
		if (srd->credit.on)
			announce(srd, ctx);
	}
}

void weft_credit_on_pull(struct weft_srd *srd, struct weft_ctx *ctx, uint16_t pull)
{
	ctx->peer_pull = pull;
	if (!srd->cfg.link_bps || ctx->flags & WEFT_CTX_F_DEMAND ||
	    srd->credit.len == srd->cfg.active_max)
		return;
	if (demand(ctx) <= (srd->credit.on ? 0 : big_demand(srd)))
		return;
	ctx->flags |= WEFT_CTX_F_DEMAND;
	srd->credit.list[srd->credit.len++] = weft_ctx_index(srd, ctx);
	if (srd->credit.on)
		return;
	drop_satisfied(srd, big_demand(srd));
	if (srd->credit.len < 2)
		return;
	srd->credit.on = true;
	srd->credit.at = srd->now;
	for (uint32_t i = 0; i < srd->credit.len; i++)
		announce(srd, &srd->ctxs[srd->credit.list[i]]);
}

static void grant(struct weft_srd *srd, struct weft_ctx *ctx)
{
	uint32_t turn =
		GRANT_PACKETS * (weft_payload_max(srd) + WEFT_SRD_DATA_HEAD) / WEFT_PROTO_QUANTUM +
		1;
	uint32_t quanta = WEFT_MIN((uint32_t)demand(ctx), turn);

	ctx->granted = (uint16_t)(ctx->granted + quanta);
	srd->stats.credit_grants++;
	srd->credit.at += (weft_ns)quanta * WEFT_PROTO_QUANTUM * 8 * 1000000000u /
			  srd->cfg.link_bps * 100 / RATE_PERCENT;
	announce(srd, ctx);
}

void weft_credit_on_timer(struct weft_srd *srd)
{
	/* After a stall, do not make up for lost time: the grants would come as a burst. */
	if (srd->now - srd->credit.at > WEFT_US(50))
		srd->credit.at = srd->now;
	while (srd->credit.on && srd->credit.at <= srd->now) {
		struct weft_ctx *ctx;

		drop_satisfied(srd, 0);
		if (srd->credit.len < 2) {
			srd->credit.on = false;
			srd->credit.at = WEFT_NS_NEVER;
			for (uint32_t i = 0; i < srd->credit.len; i++)
				announce(srd, &srd->ctxs[srd->credit.list[i]]);
			return;
		}
		if (srd->credit.next >= srd->credit.len)
			srd->credit.next = 0;
		ctx = &srd->ctxs[srd->credit.list[srd->credit.next++]];
		grant(srd, ctx);
	}
}
