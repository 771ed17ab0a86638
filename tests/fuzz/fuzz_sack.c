/* SPDX-License-Identifier: BSD-2-Clause */
/* What acknowledgements do to a sender. The engine is real and has packets in flight; its peer is the
 * input: bytes become ACKs that are authentic and name the right context, and may say anything else. A
 * naive twin applies the same ACKs to a plain table of PSNs, and both have to agree on what is open, which
 * bytes are accepted and which work requests are done. What the engine sends is judged as well: a PSN is
 * used once, comes again only unchanged or as VOID and on another path, and no byte is sent under a second
 * PSN while the first may still be accepted. */
#include "check.h"
#include "fuzz.h"

#include "base/crc32c.h"

#include <stdlib.h>
#include <string.h>

#define WRS          48u
#define PSNS         8192u
#define COMMANDS_MAX 400
#define PEER_EPOCH   0x1234567u
#define PEER_CTX     5u
#define OLD_ACKS     16u

struct sack_wr {
	struct weft_srd_wr wr;
	bool done;
	enum weft_srd_status status,
		expect; /* expect: what this ACK must lead to; OK for nothing yet. */
	bool must_end;
	uint32_t open, rnr; /* Packets in flight; refusals of a message in one packet. */
	bool sent, split, accepted_empty;
	uint8_t *byte; /* owns; 0 to be sent, 1 in flight, 2 accepted */
	uint32_t accepted;
};

struct sack_psn {
	bool open, voided, cancel;
	uint32_t wr, off, len;
	uint16_t path;
	uint32_t tx_ts;
};

static struct sack {
	struct weft_srd *srd; /* owns */
	struct weft_srd_cfg cfg;
	uint32_t peer;
	weft_ns now;
	bool dead; /* The engine gave its peer up: the input ends. */
	struct sack_wr wr[WRS];
	uint32_t wrs;
	uint64_t first, una, next;
	uint64_t ack_seq;
	uint64_t no_memory;
	uint32_t olds;
	uint32_t old_len[OLD_ACKS];
	struct sack_psn psn[PSNS];
	uint8_t old[OLD_ACKS][WEFT_SRD_HEAD_MAX];
} s;

static struct sack_psn *psn_of(uint64_t psn)
{
	FUZZ_CHECK(psn >= s.first && psn - s.first < PSNS, "psn %llx", (unsigned long long)psn);
	return &s.psn[psn - s.first];
}

static bool is_claiming(const struct sack_wr *wr)
{
	return wr->wr.op == WEFT_SRD_SEND || wr->wr.op == WEFT_SRD_SEND_IMM ||
	       wr->wr.op == WEFT_SRD_WRITE_IMM;
}

/* The engine's owner: only a sender, so only completions matter. */

static void complete(void *owner, uint64_t cookie, enum weft_srd_status status)
{
	struct sack_wr *wr = &s.wr[cookie];

	(void)owner;
	FUZZ_CHECK(cookie < s.wrs && !wr->done, "wr %u completes twice", (unsigned int)cookie);
	fuzz_trace("complete wr %u: %s", (unsigned int)cookie, weft_srd_status_name(status));
	wr->done = true;
	wr->status = status;
	s.dead |= status == WEFT_SRD_UNRESPONSIVE || status == WEFT_SRD_UNREACHABLE;
}

static enum weft_srd_status no_claim(void *owner, const struct weft_srd_msg_info *info,
				     uint64_t *recv_out)
{
	(void)owner;
	(void)info;
	(void)recv_out;
	fuzz_fail(__FILE__, __LINE__, "an ACK claims a receive");
}

static void no_place(void *owner, uint64_t recv, uint32_t off, const void *data, uint32_t len)
{
	(void)owner;
	(void)recv;
	(void)off;
	(void)data;
	(void)len;
	fuzz_fail(__FILE__, __LINE__, "an ACK places bytes");
}

static void no_end(void *owner, uint64_t recv, const struct weft_srd_msg_info *info)
{
	(void)owner;
	(void)recv;
	(void)info;
	fuzz_fail(__FILE__, __LINE__, "an ACK ends a receive");
}

static enum weft_srd_status no_write(void *owner, const struct weft_srd_msg_info *info,
				     uint32_t off, const void *data, uint32_t len)
{
	(void)owner;
	(void)info;
	(void)off;
	(void)data;
	(void)len;
	fuzz_fail(__FILE__, __LINE__, "an ACK writes");
}

static enum weft_srd_status no_read(void *owner, const struct weft_srd_msg_info *info)
{
	(void)owner;
	(void)info;
	fuzz_fail(__FILE__, __LINE__, "an ACK reads");
}

static enum weft_srd_status no_read_place(void *owner, uint64_t cookie, uint32_t off,
					  const void *data, uint32_t len)
{
	(void)owner;
	(void)cookie;
	(void)off;
	(void)data;
	(void)len;
	fuzz_fail(__FILE__, __LINE__, "an ACK answers a READ");
}

static uint32_t any_crc(void *owner, const struct weft_srd_payload *payload)
{
	(void)owner;
	return payload->len;
}

static const struct weft_srd_ops ops = {
	.recv_claim = no_claim,
	.recv_place = no_place,
	.recv_done = no_end,
	.recv_release = no_end,
	.write = no_write,
	.read_check = no_read,
	.read_place = no_read_place,
	.complete = complete,
	.payload_crc = any_crc,
};

/* What the engine sends */

static void first_packet(uint64_t n, const struct weft_hdr *hdr, const struct weft_op *op,
			 uint32_t len)
{
	struct sack_psn *p = psn_of(n);
	uint32_t w = (uint32_t)(op->addr >> 8);
	struct sack_wr *wr;

	FUZZ_CHECK(op->op != WEFT_WIRE_VOID, "VOID under a fresh psn");
	FUZZ_CHECK(w < s.wrs, "packet of nothing");
	FUZZ_CHECK(!(hdr->flags & WEFT_PKT_F_RTX), "fresh packet marked as sent before");
	wr = &s.wr[w];
	*p = (struct sack_psn){ .open = true, .wr = w, .off = op->off, .len = len };
	if (op->op == WEFT_WIRE_CANCEL) {
		p->cancel = true;
		FUZZ_CHECK(wr->done && wr->status && wr->split && is_claiming(wr),
			   "wr %u cancelled", w);
		FUZZ_CHECK(!wr->open, "wr %u cancelled with %u packets in flight", w, wr->open);
		return;
	}
	FUZZ_CHECK(!wr->done, "wr %u goes on after its completion", w);
	FUZZ_CHECK(p->off + p->len <= wr->wr.len &&
			   (p->len || !wr->wr.len || wr->wr.op == WEFT_SRD_READ),
		   "wr %u sends [%u, +%u)", w, p->off, p->len);
	FUZZ_CHECK(len || !wr->open, "wr %u sends nothing twice", w);
	wr->split |= len < wr->wr.len;
	wr->sent = true;
	wr->open++;
	for (uint32_t i = 0; i < len; i++) {
		FUZZ_CHECK(!wr->byte[p->off + i], "wr %u: byte %u is under way or accepted already",
			   w, p->off + i);
		wr->byte[p->off + i] = 1;
	}
}

static void same_packet(uint64_t n, const struct weft_hdr *hdr, const struct weft_op *op,
			uint32_t len)
{
	struct sack_psn *p = psn_of(n);

	FUZZ_CHECK(p->open, "resolved psn first+%u is sent again", (unsigned int)(n - s.first));
	FUZZ_CHECK(hdr->flags & WEFT_PKT_F_RTX, "repeated packet not marked");
	FUZZ_CHECK(s.cfg.paths == 1 || hdr->ev != p->path, "repeated on the same path %u", p->path);
	if (op->op == WEFT_WIRE_VOID) {
		FUZZ_CHECK(!len && !p->cancel, "VOID of %u bytes", len);
		p->voided = true;
		return;
	}
	FUZZ_CHECK(!p->voided, "psn first+%u was VOID and is no longer",
		   (unsigned int)(n - s.first));
	FUZZ_CHECK(op->addr >> 8 == p->wr && op->off == p->off && len == p->len &&
			   p->cancel == (op->op == WEFT_WIRE_CANCEL),
		   "psn first+%u changed its meaning", (unsigned int)(n - s.first));
	FUZZ_CHECK(p->cancel || !s.wr[p->wr].done, "wr %u goes on after its completion", p->wr);
}

static void check_window(void)
{
	struct weft_srd_peer_info info;

	weft_srd_peer_info(s.srd, s.peer, &info);
	FUZZ_CHECK(info.inflight_pkts == 1 || info.inflight <= info.cwnd,
		   "%u bytes in flight, window %u", info.inflight, info.cwnd);
	FUZZ_CHECK(s.next - s.una <= WEFT_SPAN, "%u psns open", (unsigned int)(s.next - s.una));
}

static void on_data(const struct weft_srd_tx *tx, const struct weft_hdr *hdr)
{
	uint32_t len = tx->payload.len;
	struct weft_op op;

	FUZZ_CHECK(!weft_op_decode(tx->head + WEFT_PROTO_HDR, &op), "cannot decode what is sent");
	FUZZ_CHECK(hdr->psn <= s.next, "psn jumps");
	FUZZ_CHECK(hdr->psn - op.una == s.una, "oldest open psn is told wrong");
	fuzz_trace("sent psn first+%u %s wr %d [%u, +%u)%s path %u",
		   (unsigned int)(hdr->psn - s.first), weft_wire_op_name(op.op),
		   (int)(op.addr >> 8), op.off, len, hdr->flags & WEFT_PKT_F_RTX ? " again" : "",
		   hdr->ev);
	if (hdr->psn == s.next) {
		s.next++;
		first_packet(hdr->psn, hdr, &op, len);
	} else {
		same_packet(hdr->psn, hdr, &op, len);
	}
	psn_of(hdr->psn)->path = hdr->ev;
	psn_of(hdr->psn)->tx_ts = hdr->tx_ts;
	check_window();
}

static void pump(uint32_t max)
{
	static struct weft_srd_tx tx;

	while (max-- && s.next - s.first < PSNS - 1 && weft_srd_next_packet(s.srd, s.now, &tx)) {
		struct weft_hdr hdr;

		FUZZ_CHECK(!weft_hdr_decode(tx.head, &hdr) &&
				   weft_head_is_authentic(s.cfg.key, tx.head, tx.head_len),
			   "the engine sends nonsense");
		if (hdr.type == WEFT_PKT_DATA)
			on_data(&tx, &hdr);
	}
}

/* What the peer says */

static void give(const uint8_t *head, uint32_t len)
{
	struct weft_srd_rx rx = { .len = len };
	uint8_t *exact = malloc(len);

	memcpy(exact, head, len);
	rx.data = exact;
	weft_srd_on_packet(s.srd, &rx, s.now);
	free(exact);
}

static uint32_t epoch_of_engine(void)
{
	return s.srd->ctxs[s.peer].epoch;
}

static void give_body(struct weft_hdr *hdr, uint8_t *head, uint32_t body_len)
{
	hdr->dst_ctx = s.peer;
	hdr->dst_epoch = epoch_of_engine();
	hdr->src_ctx = PEER_CTX;
	hdr->len = (uint16_t)body_len;
	weft_hdr_encode(head, hdr);
	weft_head_seal(s.cfg.key, head, WEFT_PROTO_HDR + body_len);
	give(head, WEFT_PROTO_HDR + body_len);
}

static void open_sender(struct fuzz_in *in)
{
	static const uint16_t paths[] = { 1, 16, 64, 64 }, payloads[] = { 512, 1408, 4096, 8928 };
	struct weft_hello hello = { .epoch = PEER_EPOCH, .version_max = WEFT_PROTO_VERSION };
	struct weft_hdr hdr = { .type = WEFT_PKT_WELCOME };
	uint8_t head[WEFT_SRD_HEAD_MAX], a = fuzz_u8(in);
	size_t size;
	void *mem;

	/* The table is large; what the last input used of it is enough to clear. */
	memset(s.psn, 0, WEFT_MIN(s.next - s.first + 1, PSNS) * sizeof(s.psn[0]));
	memset(&s, 0, offsetof(struct sack, psn));
	weft_srd_cfg_default(&s.cfg);
	s.cfg.gid.raw[15] = 1;
	s.cfg.contexts_max = s.cfg.active_max = 2;
	s.cfg.msgs_max = WRS;
	s.cfg.reads_max = s.cfg.rx_msgs_max = 1;
	s.cfg.packets_max = a & 0x40 ? 64 : 2048;
	s.cfg.paths = paths[a & 3];
	s.cfg.payload_max = payloads[a >> 2 & 3];
	s.cfg.cwnd_max = a & 0x20 ? 0 : 1 << 24;
	s.cfg.payload_crc = a & 0x10;
	s.now = WEFT_S(1);
	size = (weft_srd_size(&s.cfg) + 63) & ~(size_t)63;
	mem = aligned_alloc(64, size);
	memset(mem, 0xa5, size);
	s.srd = weft_srd_init(mem, &s.cfg, &ops, NULL, s.now);
	hello.src.raw[15] = 2;
	hello.dst = s.cfg.gid;
	hello.payload_max = 8928;
	FUZZ_CHECK(!weft_srd_peer_get(s.srd, &hello.src, &s.peer), "no room for one peer");
	s.wr[0] = (struct sack_wr){ .wr = { .peer = s.peer, .len = 1, .rnr_retry = 7 },
				    .byte = calloc(1, 1) };
	s.wrs = 1;
	FUZZ_CHECK(!weft_srd_on_post(s.srd, &s.wr[0].wr, s.now), "post");
	s.first = s.una = s.next = epoch_of_engine();
	pump(1);
	weft_hello_encode(head + WEFT_PROTO_HDR, &hello);
	give_body(&hdr, head, WEFT_PROTO_HELLO);
	pump(UINT32_MAX);
	FUZZ_CHECK(s.next == s.first + 1, "the handshake does not work");
}

/* The twin */

static uint8_t meaning_of(uint8_t code)
{
	static const uint8_t known[] = { WEFT_SRD_REMOTE_ADDRESS,
					 WEFT_SRD_ABORT,
					 WEFT_SRD_REMOTE_QPN,
					 WEFT_SRD_RNR,
					 WEFT_SRD_REMOTE_LENGTH,
					 WEFT_CODE_VOID,
					 WEFT_CODE_BUSY,
					 WEFT_SRD_FEATURE_MISMATCH,
					 0 };

	for (size_t i = 0; i < sizeof(known); i++)
		if (code == known[i])
			return code;
	return WEFT_SRD_REMOTE_STATUS;
}

static void twin_refused(struct sack_psn *p, uint8_t code)
{
	struct sack_wr *wr = &s.wr[p->wr];

	if (code != WEFT_CODE_VOID && code != WEFT_CODE_BUSY && code != WEFT_SRD_RNR) {
		if (!wr->must_end) {
			wr->must_end = true;
			wr->expect = (enum weft_srd_status)code;
		}
		return;
	}
	memset(wr->byte + p->off, 0, p->len);
	if (code != WEFT_SRD_RNR || wr->wr.rnr_retry == 7)
		return;
	wr->rnr++;
	if (!wr->split && wr->rnr == wr->wr.rnr_retry + 1u) {
		wr->must_end = true;
		wr->expect = WEFT_SRD_RNR;
	}
}

static void twin_resolve(struct sack_psn *p, uint8_t code)
{
	struct sack_wr *wr = &s.wr[p->wr];

	p->open = false;
	if (p->cancel)
		return;
	wr->open--;
	if (wr->done || wr->must_end)
		return;
	if (code) {
		twin_refused(p, code);
		return;
	}
	memset(wr->byte + p->off, 2, p->len);
	wr->accepted += p->len;
	wr->accepted_empty |= !p->len;
	if (wr->wr.op != WEFT_SRD_READ && wr->accepted == wr->wr.len &&
	    (wr->wr.len || wr->accepted_empty))
		wr->must_end = true;
}

static uint8_t twin_code(const struct weft_ack *ack, uint64_t psn)
{
	for (unsigned int i = 0; i < ack->drops; i++)
		if (ack->drop[i].psn == (uint32_t)psn)
			return meaning_of(ack->drop[i].code);
	return 0;
}

static bool twin_covers(const struct weft_ack *ack, uint64_t psn)
{
	uint64_t base = ack->cum & ~(uint64_t)63;

	return psn < ack->cum ||
	       (psn - base < 64u * ack->words && ack->word[(psn - base) / 64] >> psn % 64 & 1);
}

static void twin_apply(const struct weft_ack *ack)
{
	for (uint32_t i = 0; i < s.wrs; i++)
		s.wr[i].must_end = false;
	if (ack->cum > s.next)
		return;
	for (uint64_t n = s.una; n < s.next; n++)
		if (psn_of(n)->open && twin_covers(ack, n))
			twin_resolve(psn_of(n), twin_code(ack, n));
	while (s.una < s.next && !psn_of(s.una)->open)
		s.una++;
}

static void compare_wrs(void)
{
	for (uint32_t i = 0; i < s.wrs; i++) {
		const struct sack_wr *wr = &s.wr[i];

		/* Of a message in several packets the twin does not know which attempt a packet belongs to. */
		if (wr->done && wr->split && wr->status == WEFT_SRD_RNR &&
		    wr->rnr > wr->wr.rnr_retry)
			continue;
		if (wr->must_end) {
			FUZZ_CHECK(wr->done && wr->status == wr->expect,
				   "wr %u should have ended with \"%s\"%s%s", i,
				   weft_srd_status_name(wr->expect), wr->done ? ", not with " : "",
				   wr->done ? weft_srd_status_name(wr->status) : "");
			continue;
		}
		FUZZ_CHECK(!wr->done || wr->expect || wr->accepted == wr->wr.len,
			   "wr %u ended early with \"%s\"", i, weft_srd_status_name(wr->status));
	}
}

static void compare(void)
{
	struct weft_active *act = weft_ctx_active(s.srd, &s.srd->ctxs[s.peer]);
	uint64_t no_memory = weft_srd_stats(s.srd)->rx_drops[WEFT_SRD_DROP_NO_MEMORY];

	compare_wrs();
	fuzz_check_engine(s.srd);
	if (!act) {
		FUZZ_CHECK(s.una == s.next, "the active block is gone with packets in flight");
		return;
	}
	FUZZ_CHECK(act->tx.next == s.next && act->tx.una == s.una,
		   "open psns first+[%d, %d), twin first+[%d, %d)", (int)(act->tx.una - s.first),
		   (int)(act->tx.next - s.first), (int)(s.una - s.first), (int)(s.next - s.first));
	for (uint64_t n = s.una; n < s.next; n++)
		FUZZ_CHECK(weft_bit(act->tx.acked, n) == !psn_of(n)->open, "psn first+%d is %s",
			   (int)(n - s.first), psn_of(n)->open ? "open" : "resolved");
	FUZZ_CHECK(no_memory == s.no_memory, "no memory in spite of enough");
}

static void give_ack(struct weft_hdr *hdr, const struct weft_ack *ack)
{
	uint8_t *head = s.old[s.olds % OLD_ACKS];
	uint32_t len = weft_ack_encode(head + WEFT_PROTO_HDR, ack);

	s.old_len[s.olds++ % OLD_ACKS] = len;
	fuzz_trace("ack seq %u cum first+%d, %u words, %u echoes, %u drops", (unsigned int)hdr->psn,
		   (int)(ack->cum - s.first), ack->words, ack->echoes, ack->drops);
	twin_apply(ack);
	give_body(hdr, head, len);
	compare();
}

/* Commands */

static void ack_echoes(struct fuzz_in *in, struct weft_ack *ack, uint8_t n)
{
	for (ack->echoes = 0; ack->echoes < n % (WEFT_PROTO_ECHOES + 1); ack->echoes++) {
		struct weft_echo *e = &ack->echo[ack->echoes];
		uint8_t pick = fuzz_u8(in), how = fuzz_u8(in);
		const struct sack_psn *p = psn_of(s.una + pick % (s.next - s.una + 1));

		*e = (struct weft_echo){ .tx_ts = p->tx_ts,
					 .ev = p->path,
					 .hold = (uint16_t)(how >> 5) };
		e->psn = (uint16_t)(s.una + pick % (s.next - s.una + 1));
		e->ce = how & 1;
		e->trimmed = how & 2;
		e->probe = how & 4;
		if (how & 8)
			e->tx_ts = (uint32_t)fuzz_u64(in);
		if (how & 16)
			e->ev = fuzz_u8(in);
	}
}

static void ack_drops(struct fuzz_in *in, struct weft_ack *ack, uint8_t n)
{
	static const uint8_t codes[] = { WEFT_SRD_RNR,
					 WEFT_SRD_RNR,
					 WEFT_CODE_BUSY,
					 WEFT_CODE_VOID,
					 WEFT_SRD_REMOTE_QPN,
					 WEFT_SRD_REMOTE_ADDRESS,
					 WEFT_SRD_ABORT,
					 WEFT_SRD_REMOTE_LENGTH,
					 0,
					 WEFT_SRD_OK,
					 99,
					 WEFT_SRD_UNREACHABLE };

	for (ack->drops = 0; ack->drops < n % (WEFT_PROTO_DROPS + 1); ack->drops++) {
		uint8_t off = fuzz_u8(in);

		ack->drop[ack->drops].psn = (uint32_t)s.una + off;
		ack->drop[ack->drops].code = codes[fuzz_u8(in) % sizeof(codes)];
	}
}

/* Mostly in range: what lies beyond the window or far behind must do no harm, but does little else. */
static void cmd_ack(struct fuzz_in *in)
{
	uint8_t shape = fuzz_u8(in), counts = fuzz_u8(in);
	struct weft_hdr hdr = { .type = WEFT_PKT_ACK };
	struct weft_ack ack = { .words = counts & 3 };

	ack.cum = s.una + fuzz_u8(in);
	if (shape & 1)
		ack.cum = WEFT_MIN(ack.cum, s.next);
	if (shape & 2)
		ack.cum = s.una > 200 ? s.una - fuzz_u8(in) : s.una;
	if (shape & 4)
		ack.cum = s.next - WEFT_MIN(fuzz_u8(in), s.next - s.una);
	for (unsigned int i = 0; i < ack.words; i++)
		ack.word[i] = shape & 8 ? fuzz_u64(in)
					: (uint64_t)0x5555555555555555u << (fuzz_u8(in) & 63);
	ack_echoes(in, &ack, counts >> 2 & 7);
	ack_drops(in, &ack, counts >> 5 & 7);
	ack.grant = shape & 0x10 ? fuzz_u16(in) : 0x7000;
	ack.dups = shape & 0x20 ? fuzz_u8(in) : 0;
	ack.una = PEER_EPOCH + fuzz_u8(in);
	hdr.flags = shape & 0x40 ? WEFT_PKT_F_CREDIT : 0;
	hdr.psn = ++s.ack_seq;
	if (shape & 0x80)
		hdr.psn = fuzz_u8(in); /* An old number: its echoes and grants must not count. */
	give_ack(&hdr, &ack);
}

static void cmd_ack_all(struct fuzz_in *in)
{
	struct weft_hdr hdr = { .type = WEFT_PKT_ACK, .psn = ++s.ack_seq };
	struct weft_ack ack = { .cum = s.next, .una = PEER_EPOCH, .grant = 0x7000 };

	(void)in;
	give_ack(&hdr, &ack);
}

/* The very same frame once more. What it says about sequence numbers is the truth of that time. */
static void cmd_again(struct fuzz_in *in)
{
	uint8_t i = fuzz_u8(in) % OLD_ACKS;
	struct weft_ack ack;

	if (i >= s.olds || weft_ack_decode(s.old[i] + WEFT_PROTO_HDR, s.old_len[i], &ack))
		return;
	twin_apply(&ack);
	give(s.old[i], WEFT_PROTO_HDR + s.old_len[i]);
	compare();
}

static void cmd_post(struct fuzz_in *in)
{
	static const uint8_t op_of[] = { WEFT_SRD_SEND, WEFT_SRD_WRITE, WEFT_SRD_WRITE_IMM,
					 WEFT_SRD_READ };
	static const uint16_t lens[] = { 0, 1, 512, 513, 2000, 4096, 8928, 20000 };
	uint8_t a = fuzz_u8(in), b = fuzz_u8(in);
	struct sack_wr *wr = &s.wr[s.wrs];

	if (s.wrs == WRS)
		return;
	*wr = (struct sack_wr){
		.wr = { .peer = s.peer, .op = op_of[a & 3], .len = lens[a >> 2 & 7] }
	};
	if (wr->wr.op == WEFT_SRD_SEND)
		wr->wr.len = WEFT_MIN(wr->wr.len, WEFT_SRD_SEND_MAX);
	wr->wr.cookie = s.wrs;
	wr->wr.addr = (uint64_t)s.wrs << 8;
	wr->wr.src_qpn = 1 + (b & 1);
	wr->wr.dst_qpn = 1 + (b >> 1 & 1);
	wr->wr.rnr_retry = b >> 2 & 7;
	wr->byte = calloc(wr->wr.len + 1, 1);
	s.wrs++;
	if (!weft_srd_on_post(s.srd, &wr->wr, s.now))
		return;
	free(wr->byte);
	s.wrs--;
}

static void cmd_pump(struct fuzz_in *in)
{
	pump(1u + fuzz_u8(in));
}

/* A peer that does not answer is dead, also when only what is left of ended requests is in flight, and
 * then no completion tells. */
static void run_timer(void)
{
	weft_srd_on_timer(s.srd, s.now);
	s.dead |= weft_srd_stats(s.srd)->unresponsive_remote_events > 0;
}

static void cmd_wait(struct fuzz_in *in)
{
	uint8_t a = fuzz_u8(in);

	s.now += (weft_ns)(1 + (a & 15)) << (6 + (a >> 4));
	run_timer();
}

static void cmd_deadline(struct fuzz_in *in)
{
	weft_ns at = weft_srd_next_deadline(s.srd);

	(void)in;
	if (at == WEFT_NS_NEVER)
		return;
	s.now = WEFT_MAX(s.now, at);
	run_timer();
}

static bool is_work_left(void)
{
	for (uint32_t i = 0; i < s.wrs; i++)
		if (!s.wr[i].done && (s.wr[i].wr.op != WEFT_SRD_READ || s.una < s.next))
			return true;
	return s.una < s.next;
}

/* From now on the peer takes everything. All work that an ACK can end has to end. */
static void finish(void)
{
	struct weft_srd_usage u;

	for (int n = 0; n < 400 && !s.dead && s.next - s.first < PSNS - 1200 && is_work_left();
	     n++) {
		pump(UINT32_MAX);
		cmd_ack_all(NULL);
		cmd_deadline(NULL);
	}
	for (uint32_t i = 0; i < s.wrs && !s.dead && s.next - s.first < PSNS - 1200; i++)
		FUZZ_CHECK(s.wr[i].done || s.wr[i].wr.op == WEFT_SRD_READ,
			   "wr %u does not complete", i);
	weft_srd_usage(s.srd, &u);
	weft_srd_close(s.srd, s.now);
	for (uint32_t i = 0; i < s.wrs; i++) {
		FUZZ_CHECK(s.wr[i].done, "wr %u survives a close", i);
		free(s.wr[i].byte);
	}
	fuzz_check_engine(s.srd);
	free(s.srd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const cmds[])(struct fuzz_in * in) = {
		cmd_ack,  cmd_ack,  cmd_ack,  cmd_ack,  cmd_ack,      cmd_post,  cmd_post,
		cmd_pump, cmd_pump, cmd_wait, cmd_wait, cmd_deadline, cmd_again, cmd_ack_all,
	};
	struct fuzz_in in = { data, data + size };

	open_sender(&in);
	for (int n = 0; n < COMMANDS_MAX && fuzz_left(&in) && !s.dead; n++)
		cmds[fuzz_u8(&in) % WEFT_ARRAY_SIZE(cmds)](&in);
	finish();
	return 0;
}
