/* SPDX-License-Identifier: BSD-2-Clause */
/* Acknowledgements (docs/protocol.md section 6).
 *
 * Every ACK tells the whole truth about one direction: all PSNs received, and for those that were
 * received but refused, the reason. So no ACK depends on another one, and any of them may be lost,
 * doubled or late. A refusal is repeated in every ACK until the sender shows, by its oldest open PSN,
 * that it has taken note: a PSN must never look accepted because its refusal was forgotten.
 *
 * What is said about paths and credit is true only for a moment. It is used from each ACK once and not
 * from copies, which is what the number of the ACK is for. */
#include "srd/engine.h"

#include <string.h>

/* Receiving side */

/* Remember a packet for the echo list: its path and its time. Bursts on one path share an echo. */
static void echo_add(struct weft_srd *srd, struct weft_active *act, const struct weft_hdr *hdr,
		     bool ce, bool trimmed)
{
	struct weft_rx_echo *e = act->rx.echoes ? &act->rx.echo[act->rx.echoes - 1] : NULL;
	bool probe = hdr->type == WEFT_PKT_PROBE;

	if (e && e->ev == hdr->ev && !e->trimmed && !trimmed && e->probe == probe) {
		ce |= e->ce;
	} else if (act->rx.echoes < WEFT_PROTO_ECHOES) {
		e = &act->rx.echo[act->rx.echoes++];
	} else {
		/* Full: the oldest says the least. */
		memmove(&act->rx.echo[0], &act->rx.echo[1],
			sizeof(act->rx.echo) - sizeof(act->rx.echo[0]));
		e = &act->rx.echo[WEFT_PROTO_ECHOES - 1];
	}
	*e = (struct weft_rx_echo){
		.tx_ts = hdr->tx_ts,
		.rx_ns = (uint32_t)srd->now,
		.ev = hdr->ev,
		.psn = (uint16_t)hdr->psn,
		.ce = ce,
		.trimmed = trimmed,
		.probe = probe,
	};
}

/* Holding ACKs. In a ping-pong each message asks for an answer at once, and data follows it at once: two packets
 * where one would do, and the one that matters is the later one. So once data has followed such a request
 * ANSWERS times in a row within ack_hold, the next answers wait for it, and travel in the same frame
 * (weft_srd_tx.rides) where there is room, else right behind. The first that waits in vain ends that. */
#define ANSWERS 3u

static bool may_hold(struct weft_srd *srd, struct weft_active *act, const struct weft_hdr *hdr)
{
	if (!srd->cfg.ack_hold || hdr->type != WEFT_PKT_DATA)
		return false;
	act->rx.asked = true;
	act->rx.asked_at = srd->now;
	return act->rx.answers >= ANSWERS;
}

void weft_ack_on_deadline(struct weft_active *act)
{
	act->rx.ack_now = true;
	act->at.ack = WEFT_NS_NEVER;
	if (act->rx.held && act->rx.asked)
		act->rx.answers = 0;
}

/* Of an ACK that says nothing about gaps and refusals. */
static uint32_t plain_ack_len(const struct weft_active *act)
{
	return WEFT_PROTO_HDR + WEFT_PROTO_ACK + WEFT_PROTO_ECHO * act->rx.echoes;
}

/* Data of `len` bytes has left. */
void weft_ack_on_data_sent(const struct weft_srd *srd, const struct weft_ctx *ctx,
			   struct weft_active *act, uint32_t len)
{
	if (act->rx.asked && srd->now - act->rx.asked_at <= srd->cfg.ack_hold &&
	    act->rx.answers < ANSWERS)
		act->rx.answers++;
	act->rx.asked = false;
	act->rx.rides = act->rx.held && len + plain_ack_len(act) <= ctx->payload &&
			ctx->rx_cum == act->rx.top && !weft_ack_has_refusals(act);
}

/* All data has left, and the ACK that was held for it had no room there. */
bool weft_ack_is_left_behind(const struct weft_active *act)
{
	return act->rx.held && !act->rx.asked;
}

void weft_ack_owe(struct weft_srd *srd, struct weft_ctx *ctx, struct weft_active *act,
		  const struct weft_hdr *hdr, bool ce, bool trimmed, bool now)
{
	bool asks = hdr->flags & WEFT_PKT_F_ACKREQ;

	echo_add(srd, act, hdr, ce, trimmed);
	act->rx.ack_pkts++;
	act->rx.ack_bytes += hdr->len;
	if (now || trimmed || act->rx.ack_pkts >= srd->cfg.ack_packets ||
	    act->rx.ack_bytes >= srd->cfg.ack_bytes || (asks && !may_hold(srd, act, hdr))) {
		act->rx.ack_now = true;
		weft_ctx_ready(srd, ctx);
	} else if (asks) {
		act->rx.held = true;
		act->at.ack = WEFT_MIN(act->at.ack, srd->now + srd->cfg.ack_hold);
	} else if (act->at.ack == WEFT_NS_NEVER) {
		act->at.ack = srd->now + srd->cfg.ack_delay;
	}
}

/* Refusals. A nibble per PSN of the window says how it ended; an ACK lists those that the peer may not
 * know yet. If they are too many for one ACK, those left out appear as not received: better late than
 * wrong. The next ACK begins where this one stopped. */

static const uint8_t code_of_nibble[] = {
	0,
	WEFT_SRD_REMOTE_ADDRESS,
	WEFT_SRD_ABORT,
	WEFT_SRD_REMOTE_QPN,
	WEFT_SRD_RNR,
	WEFT_SRD_REMOTE_LENGTH,
	WEFT_SRD_REMOTE_STATUS,
	WEFT_SRD_FEATURE_MISMATCH,
	WEFT_CODE_VOID,
	WEFT_CODE_BUSY,
};

static uint8_t nibble_of_code(uint8_t code)
{
	for (unsigned int i = 0; i < WEFT_ARRAY_SIZE(code_of_nibble); i++)
		if (code_of_nibble[i] == code)
			return i;
	return nibble_of_code(WEFT_SRD_REMOTE_STATUS);
}

void weft_ack_note(struct weft_active *act, uint64_t psn, uint8_t code)
{
	uint8_t *pair = &act->rx.refused[psn % WEFT_SRD_WINDOW / 2];
	unsigned int shift = psn % 2 * 4;

	*pair = (uint8_t)((*pair & ~(15u << shift)) | (unsigned int)nibble_of_code(code) << shift);
	if (code)
		act->rx.refused_top = WEFT_MAX(act->rx.refused_top, psn + 1);
}

static uint8_t refusal(const struct weft_active *act, uint64_t psn)
{
	return code_of_nibble[act->rx.refused[psn % WEFT_SRD_WINDOW / 2] >> (psn % 2 * 4) & 15];
}

bool weft_ack_has_refusals(const struct weft_active *act)
{
	return act->rx.refused_top > act->rx.peer_una;
}

/* The peer has taken note of every refusal below `una`. */
void weft_ack_peer_una(struct weft_active *act, uint64_t una)
{
	if (una <= act->rx.peer_una)
		return;
	act->rx.peer_una = una;
	act->rx.ack_now |= act->rx.cut_short;
}

static bool is_received(const struct weft_ctx *ctx, const struct weft_active *act, uint64_t psn)
{
	return psn < ctx->rx_cum || weft_bit(act->rx.bits, psn);
}

/* The PSNs that an ACK keeps silent about. */
struct omitted {
	uint64_t bits[WEFT_WORDS];
	uint64_t lowest;
};

/* List refusals, from list_from to the end and then from the beginning. True: there are more of them
 * further on. */
static bool fill_drops(const struct weft_ctx *ctx, struct weft_active *act, struct weft_ack *ack,
		       struct omitted *omitted)
{
	uint64_t una = act->rx.peer_una, span = act->rx.refused_top - una;
	uint64_t from = WEFT_MAX(act->rx.list_from, una), last = una;
	bool more = false;

	for (uint64_t i = 0; i < span; i++) {
		uint64_t psn = una + (from - una + i) % span;
		uint8_t code = is_received(ctx, act, psn) ? refusal(act, psn) : 0;

		if (!code)
			continue;
		if (ack->drops < WEFT_PROTO_DROPS) {
			ack->drop[ack->drops++] =
				(struct weft_drop_entry){ .psn = (uint32_t)psn, .code = code };
			last = psn;
			continue;
		}
		weft_bit_set(omitted->bits, psn);
		omitted->lowest = WEFT_MIN(omitted->lowest, psn);
		more |= psn > last;
	}
	act->rx.list_from = more ? last + 1 : una;
	return more;
}

static void fill_words(const struct weft_ctx *ctx, const struct weft_active *act,
		       const struct omitted *omitted, struct weft_ack *ack)
{
	uint64_t first;

	ack->cum = WEFT_MIN(ctx->rx_cum, omitted->lowest);
	for (first = ack->cum & ~(uint64_t)63; first < act->rx.top; first += 64) {
		uint64_t word = act->rx.bits[first / 64 % WEFT_WORDS];

		if (first + 64 <= ctx->rx_cum)
			word = ~(uint64_t)0;
		else if (first < ctx->rx_cum)
			word |= ((uint64_t)1 << (ctx->rx_cum - first)) - 1;
		ack->word[ack->words++] = word & ~omitted->bits[first / 64 % WEFT_WORDS];
	}
	/* Nothing above the lowest missing one: the words would say nothing. */
	if (ack->cum == act->rx.top)
		ack->words = 0;
}

static void fill_echoes(const struct weft_srd *srd, const struct weft_active *act,
			struct weft_ack *ack)
{
	for (unsigned int i = 0; i < act->rx.echoes; i++) {
		const struct weft_rx_echo *e = &act->rx.echo[i];
		uint32_t hold = ((uint32_t)srd->now - e->rx_ns) >> 6;

		ack->echo[ack->echoes++] = (struct weft_echo){
			.tx_ts = e->tx_ts,
			.ev = e->ev,
			.psn = e->psn,
			.hold = (uint16_t)WEFT_MIN(hold, UINT16_MAX),
			.ce = e->ce,
			.trimmed = e->trimmed,
			.probe = e->probe,
		};
	}
}

bool weft_ack_next_packet(struct weft_srd *srd, struct weft_ctx *ctx, struct weft_active *act,
			  struct weft_srd_tx *tx)
{
	struct weft_ack ack;
	struct weft_hdr hdr;
	struct omitted omitted = { .lowest = UINT64_MAX };
	bool more = false;
	uint32_t len;

	if (!act->rx.ack_now)
		return false;
	ack.words = ack.echoes = ack.drops = 0;
	ack.una = act->tx.una;
	ack.grant = ctx->granted;
	ack.dups = act->rx.dups;
	if (weft_ack_has_refusals(act))
		more = fill_drops(ctx, act, &ack, &omitted);
	act->rx.cut_short = omitted.lowest != UINT64_MAX;
	fill_words(ctx, act, &omitted, &ack);
	fill_echoes(srd, act, &ack);
	weft_txw_fill_hdr(srd, ctx, WEFT_PKT_ACK, weft_path_pick_control(srd, act), &hdr);
	hdr.psn = ++ctx->ack_seq;
	if (srd->credit.on && ctx->flags & WEFT_CTX_F_DEMAND)
		hdr.flags |= WEFT_PKT_F_CREDIT;
	len = weft_ack_encode(tx->head + WEFT_PROTO_HDR, &ack);
	weft_txw_finish(srd, ctx, &hdr, len, true, tx);
	act->rx.ack_now = act->rx.held = false;
	act->rx.ack_pkts = 0;
	act->rx.ack_bytes = 0;
	act->rx.echoes = 0;
	act->at.ack = more ? srd->now + srd->cfg.ack_delay : WEFT_NS_NEVER;
	act->tx.owe_una = false;
	srd->stats.acks_tx++;
	return true;
}

/* Sending side */

static uint8_t drop_code(const struct weft_ack *ack, uint64_t psn)
{
	for (unsigned int i = 0; i < ack->drops; i++)
		if (ack->drop[i].psn == (uint32_t)psn)
			return ack->drop[i].code;
	return 0;
}

struct applied {
	uint32_t bytes, pkts;
};

/* The peer has received this PSN. Idempotent: a resolved one has no state left. */
static void apply_psn(struct weft_srd *srd, struct weft_active *act, const struct weft_ack *ack,
		      uint64_t psn, struct applied *sum)
{
	struct weft_entry *e = weft_txw_entry(srd, act, psn), copy;
	uint8_t code = ack->drops ? drop_code(ack, psn) : 0;

	if (!e || e->state == WEFT_ENTRY_FREE)
		return;
	copy = *e;
	weft_txw_resolve(srd, act, psn);
	if (!weft_msg_on_resolved(srd, act, &copy, code)) {
		/* No memory to remember the range: the PSN stays open, and the peer, asked again, will
		 * refuse it again. */
		weft_drop_count(srd, WEFT_SRD_DROP_NO_MEMORY);
		weft_txw_reopen(srd, act, psn, &copy);
		return;
	}
	if (code)
		act->tx.owe_una = true;
	sum->bytes += copy.len + WEFT_SRD_DATA_HEAD;
	sum->pkts++;
}

static void apply_sack(struct weft_srd *srd, struct weft_active *act, const struct weft_ack *ack,
		       struct applied *sum)
{
	uint64_t base = ack->cum & ~(uint64_t)63;

	for (uint64_t psn = act->tx.una; psn < ack->cum; psn++)
		if (!weft_bit(act->tx.acked, psn))
			apply_psn(srd, act, ack, psn, sum);
	for (unsigned int k = 0; k < ack->words; k++, base += 64) {
		uint64_t fresh;

		if (base + 63 < act->tx.una)
			continue;
		if (base >= act->tx.next)
			break;
		fresh = ack->word[k] & ~act->tx.acked[base / 64 % WEFT_WORDS];
		if (base < act->tx.una)
			fresh &= ~(uint64_t)0 << (act->tx.una - base);
		if (act->tx.next - base < 64)
			fresh &= ((uint64_t)1 << (act->tx.next - base)) - 1;
		for (; fresh; fresh &= fresh - 1)
			apply_psn(srd, act, ack, base + (unsigned int)__builtin_ctzll(fresh), sum);
	}
}

/* The head of this packet arrived without its payload: the copy with this time stamp is lost for sure. */
static void apply_trimmed(struct weft_srd *srd, struct weft_active *act,
			  const struct weft_echo *echo)
{
	uint64_t psn = act->tx.una + (uint16_t)(echo->psn - (uint16_t)act->tx.una);
	struct weft_entry *e;

	weft_path_penalise(srd, act, echo->ev, 4);
	if (psn >= act->tx.next)
		return;
	e = weft_txw_entry(srd, act, psn);
	if (!e || e->state != WEFT_ENTRY_FLYING || weft_ts(e->tx_ns) != echo->tx_ts)
		return;
	weft_cc_on_lost(srd, act, e->len + WEFT_SRD_DATA_HEAD);
	weft_txw_mark_lost(srd, act, psn % WEFT_SRD_WINDOW);
}

static void apply_echo(struct weft_srd *srd, struct weft_active *act, const struct weft_echo *echo)
{
	struct weft_path *path;
	uint32_t age = weft_ts(srd->now) - echo->tx_ts;
	weft_ns rtt, hold = (weft_ns)echo->hold << 6;

	if (echo->ev >= srd->cfg.paths || age > INT32_MAX)
		return;
	path = weft_path_at(srd, act, echo->ev);
	if (!act->tx.rack_valid || weft_ts_is_younger(srd->now, echo->tx_ts, act->tx.rack_ts)) {
		act->tx.rack_ts = echo->tx_ts;
		act->tx.rack_valid = true;
	}
	act->probe_echoed |= echo->probe;
	weft_path_on_arrived(srd, path, echo->tx_ts, echo->psn);
	rtt = (weft_ns)age << 4;
	if (echo->hold < UINT16_MAX && hold < rtt) {
		weft_cc_on_sample(srd, act, path, rtt - hold);
		if (echo->probe)
			weft_path_on_probe(srd, act, echo->ev, rtt - hold);
		weft_path_on_sample(srd, act, echo->ev, rtt - hold, echo->ce || echo->trimmed);
	}
	if (echo->trimmed)
		apply_trimmed(srd, act, echo);
}

/* Has this ACK been used before? Those more than 64 behind the newest count as used, and those so far
 * ahead that a lie must be the reason: believed, it would make all later ones look old. */
#define ACK_LEAP ((uint64_t)1 << 20)

static bool is_repeated(struct weft_ctx *ctx, struct weft_active *act, uint64_t seq)
{
	uint64_t behind;

	if (seq > ctx->ack_seq_seen + ACK_LEAP)
		return true;
	if (seq > ctx->ack_seq_seen) {
		behind = seq - ctx->ack_seq_seen;
		act->tx.ack_seq_bits = behind < 64 ? act->tx.ack_seq_bits << behind : 0;
		act->tx.ack_seq_bits |= 1;
		ctx->ack_seq_seen = seq;
		return false;
	}
	behind = ctx->ack_seq_seen - seq;
	if (behind >= 64 || act->tx.ack_seq_bits >> behind & 1)
		return true;
	act->tx.ack_seq_bits |= (uint64_t)1 << behind;
	return false;
}

static void on_progress(struct weft_srd *srd, struct weft_active *act, const struct applied *sum)
{
	weft_txw_advance(srd, act);
	act->last_progress = act->rto_from = srd->now;
	act->rto_count = act->heard_rtos = 0;
	act->tlp_done = 0;
	weft_cc_on_acked(srd, act, sum->bytes);
}

void weft_ack_on_packet(struct weft_srd *srd, struct weft_ctx *ctx, struct weft_active *act,
			const struct weft_hdr *hdr, const struct weft_ack *ack)
{
	bool newest = hdr->psn > ctx->ack_seq_seen && hdr->psn <= ctx->ack_seq_seen + ACK_LEAP;
	struct applied sum = { 0 };

	if (ack->cum > act->tx.next || act->tx.next - ack->cum > UINT32_MAX) {
		weft_drop_count(srd, WEFT_SRD_DROP_BOUNDS);
		return;
	}
	srd->stats.acks_rx++;
	weft_ack_peer_una(act, WEFT_MIN(ack->una, act->rx.top));
	apply_sack(srd, act, ack, &sum);
	if (!is_repeated(ctx, act, hdr->psn)) {
		for (unsigned int i = 0; i < ack->echoes; i++)
			apply_echo(srd, act, &ack->echo[i]);
	}
	if (newest) {
		weft_cc_on_grant(ctx, act, ack->grant, hdr->flags & WEFT_PKT_F_CREDIT);
		if (act->tx.dups_valid)
			weft_loss_on_spurious(srd, act, (uint16_t)(ack->dups - act->tx.dups_seen));
		act->tx.dups_seen = ack->dups;
		act->tx.dups_valid = true;
	}
	if (sum.pkts)
		on_progress(srd, act, &sum);
	weft_loss_scan(srd, act);
	weft_loss_arm(srd, act);
	/* Refusals that the peer keeps for us until our next packet: say so if there will be none soon, or
	 * if there are more of them than one ACK can list. */
	if (act->tx.owe_una &&
	    (ack->drops == WEFT_PROTO_DROPS || (!act->tx.fly_pkts && !weft_txw_has_work(srd, act))))
		act->rx.ack_now = true;
	weft_ctx_ready(srd, ctx);
}
