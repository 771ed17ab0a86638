/* SPDX-License-Identifier: BSD-2-Clause */
/* Scripts of packets: one engine under test, and a file that plays the peer, the wire, the owner and the
 * clock, a line for each thing that happens. README.md beside this file describes the lines.
 *
 *	test_script FILE
 *
 * What the engine says is collected, and each packet and each event has to be expected by a line, in its
 * order and at its time. Time only moves when a line says so. Numbers of PSNs are relative: 0 is the first
 * packet of its direction, whatever epoch chance has chosen. The output is TAP with one test. */
#include "srd/engine.h"

#include "base/crc32c.h"
#include "base/units.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS_MAX 32u
#define OUTS_MAX   65536u
#define EVENTS_MAX 4096u
#define NAMES_MAX  256u
#define PEER_CTX   3u /* The index that our peer gave to the context. */
#define PEER_EPOCH 1000u
#define START      WEFT_S(1)
#define FRAME_MAX  (WEFT_SRD_DATA_HEAD + 65536u)
#define QKEY       0x11u
#define RKEY       0x22u

struct field {
	const char *key, *value; /* value "" for a bare word. */
	bool used;
};

struct line {
	unsigned int nr;
	weft_ns at, slack; /* Of this line; slack for what is expected. */
	bool any_time;
	char kind; /* '<', '>', '*', or 0 for a command. */
	const char *verb;
	struct field field[FIELDS_MAX];
	uint32_t fields;
	char text[512];
};

struct out {
	weft_ns at;
	struct weft_srd_tx tx;
	struct weft_hdr hdr;
	struct weft_op op;
	struct weft_ack ack;
	struct weft_hello hello;
};

struct event {
	weft_ns at;
	char text[64];
};

static struct {
	const char *file;
	unsigned int line;
	weft_ns now, base; /* Time of the engine; time of the last line. */
	struct weft_srd_cfg cfg;
	struct weft_srd *srd;
	uint32_t peer;
	uint32_t ours, theirs; /* Epochs. */
	uint32_t our_ctx;

	struct out *out; /* All packets; those before `taken` were expected. */
	uint32_t outs, taken;
	struct event event[EVENTS_MAX];
	uint32_t events, events_taken;
	unsigned int ignored; /* Packet types that need not be expected, by bit. */

	char name[NAMES_MAX][16]; /* Of work requests, by cookie. */
	uint32_t names;
	uint32_t recvs, recv_len; /* The owner's answers. */
	enum weft_srd_status claim, write, read, place;
	uint32_t recv_n;
} t;

_Noreturn static void fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void fail(const char *fmt, ...)
{
	va_list args;

	printf("not ok 1 - %s\n# %s:%u: ", t.file, t.file, t.line);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n# time %.3f us\n", (double)(t.now - START) / 1000);
	exit(1);
}

/* The owner */

static void add_event(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void add_event(const char *fmt, ...)
{
	struct event *e = &t.event[t.events++];
	va_list args;

	if (t.events > EVENTS_MAX)
		fail("too many events");
	e->at = t.now;
	va_start(args, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, args);
	va_end(args);
}

static enum weft_srd_status on_claim(void *owner, const struct weft_srd_msg_info *info,
				     uint64_t *recv_out)
{
	(void)owner;
	if (t.claim)
		return t.claim;
	if (!t.recvs)
		return WEFT_SRD_RNR;
	if (info->op != WEFT_SRD_WRITE_IMM && info->len > t.recv_len)
		return WEFT_SRD_REMOTE_LENGTH;
	t.recvs--;
	*recv_out = t.recv_n++;
	return WEFT_SRD_OK;
}

static void on_place(void *owner, uint64_t recv, uint32_t off, const void *data, uint32_t len)
{
	(void)owner;
	(void)recv;
	(void)off;
	(void)data;
	(void)len;
}

static void on_done(void *owner, uint64_t recv, const struct weft_srd_msg_info *info)
{
	(void)owner;
	(void)recv;
	add_event("done len=%u", info->len);
}

static void on_release(void *owner, uint64_t recv, const struct weft_srd_msg_info *info)
{
	(void)owner;
	(void)recv;
	t.recvs++;
	add_event("release len=%u", info->len);
}

static enum weft_srd_status on_write(void *owner, const struct weft_srd_msg_info *info,
				     uint32_t off, const void *data, uint32_t len)
{
	(void)owner;
	(void)data;
	if (t.write || info->key != RKEY)
		return t.write ? t.write : WEFT_SRD_REMOTE_ADDRESS;
	add_event("write off=%u len=%u", off, len);
	return WEFT_SRD_OK;
}

static enum weft_srd_status on_read_check(void *owner, const struct weft_srd_msg_info *info)
{
	(void)owner;
	if (t.read)
		return t.read;
	return info->key == RKEY ? WEFT_SRD_OK : WEFT_SRD_REMOTE_ADDRESS;
}

static enum weft_srd_status on_read_place(void *owner, uint64_t cookie, uint32_t off,
					  const void *data, uint32_t len)
{
	(void)owner;
	(void)cookie;
	(void)off;
	(void)data;
	(void)len;
	return t.place;
}

static void on_complete(void *owner, uint64_t cookie, enum weft_srd_status status)
{
	(void)owner;
	add_event("complete %s %d", t.name[cookie], (int)status);
}

/* All payload is zero. */
static uint32_t zero_crc(uint32_t len)
{
	static const uint8_t zeros[65536];

	return weft_crc32c(0, zeros, len);
}

static uint32_t on_payload_crc(void *owner, const struct weft_srd_payload *payload)
{
	(void)owner;
	return zero_crc(payload->len);
}

static const struct weft_srd_ops ops = {
	.recv_claim = on_claim,
	.recv_place = on_place,
	.recv_done = on_done,
	.recv_release = on_release,
	.write = on_write,
	.read_check = on_read_check,
	.read_place = on_read_place,
	.complete = on_complete,
	.payload_crc = on_payload_crc,
};

/* Fields of a line */

static struct field *find(struct line *l, const char *key)
{
	for (uint32_t i = 0; i < l->fields; i++) {
		if (strcmp(l->field[i].key, key))
			continue;
		l->field[i].used = true;
		return &l->field[i];
	}
	return NULL;
}

static bool has(struct line *l, const char *key)
{
	return find(l, key) != NULL;
}

/* A number, or one of the names for what the script cannot know: `ours`, `theirs`, each with +n or -n. */
static uint64_t number(const char *s)
{
	int64_t add = 0;
	uint64_t v = 0;
	char word[64];
	char *sign;

	snprintf(word, sizeof(word), "%s", s);
	sign = strpbrk(word, "+-");
	if (sign && sign != word) {
		add = strtoll(sign, NULL, 0);
		*sign = 0;
	}
	if (!strcmp(word, "ours"))
		v = t.ours;
	else if (!strcmp(word, "theirs"))
		v = t.theirs;
	else if (!weft_parse_u64(word, &v) && !weft_parse_time(word, &v))
		fail("\"%s\" is not a number", s);
	return v + (uint64_t)add;
}

static uint64_t value(struct line *l, const char *key, uint64_t otherwise)
{
	const struct field *f = find(l, key);

	return f ? number(f->value) : otherwise;
}

static void expect_number(struct line *l, const char *key, uint64_t got)
{
	const struct field *f = find(l, key);

	if (f && number(f->value) != got)
		fail("%s is %" PRIu64 ", not %s", key, got, f->value);
}

static void expect_bit(struct line *l, const char *key, bool got)
{
	char not_key[32];

	snprintf(not_key, sizeof(not_key), "!%s", key);
	if (has(l, key) && !got)
		fail("%s is not set", key);
	if (has(l, not_key) && got)
		fail("%s is set", key);
}

/* "2-4,7" as bits relative to `base`; true if bit `at` is among them. */
static bool in_ranges(const char *s, uint64_t at)
{
	while (*s) {
		char *end;
		uint64_t from = strtoull(s, &end, 10), to = from;

		if (*end == '-')
			to = strtoull(end + 1, &end, 10);
		if (at >= from && at <= to)
			return true;
		s = *end == ',' ? end + 1 : end;
		if (*end && *end != ',')
			fail("\"%s\" is not a list of ranges", s);
	}
	return false;
}

static uint8_t type_of(const char *verb)
{
	for (uint8_t type = WEFT_PKT_HELLO; type <= WEFT_PKT_FIN_ACK; type++) {
		const char *a = weft_pkt_type_name(type), *b = verb;

		while (*a && tolower((unsigned char)*a) == *b)
			a++, b++;
		if (!*a && !*b)
			return type;
	}
	fail("no packet is called \"%s\"", verb);
}

static uint8_t op_of(const char *word)
{
	for (uint8_t op = 0; op < WEFT_WIRE_OP_COUNT; op++) {
		const char *a = weft_wire_op_name(op), *b = word;

		while (*a && tolower((unsigned char)*a) == *b)
			a++, b++;
		if (!*a && !*b)
			return op;
	}
	fail("no operation is called \"%s\"", word);
}

/* Time and what the engine says */

static void decode(struct out *o)
{
	const uint8_t *body = o->tx.head + WEFT_PROTO_HDR;

	if (weft_hdr_decode(o->tx.head, &o->hdr) ||
	    !weft_head_is_authentic(t.cfg.key, o->tx.head, o->tx.head_len))
		fail("the engine sent a malformed head");
	if (o->hdr.type == WEFT_PKT_DATA && weft_op_decode(body, &o->op))
		fail("the engine sent a malformed operation");
	if (o->hdr.type == WEFT_PKT_ACK && weft_ack_decode(body, o->hdr.len, &o->ack))
		fail("the engine sent a malformed ACK");
	if (o->hdr.type != WEFT_PKT_HELLO && o->hdr.type != WEFT_PKT_WELCOME)
		return;
	if (weft_hello_decode(body, o->hdr.len, &o->hello))
		fail("the engine sent a malformed %s", weft_pkt_type_name(o->hdr.type));
	t.ours = o->hello.epoch;
	t.our_ctx = o->hdr.src_ctx;
}

static void drain(void)
{
	while (t.outs < OUTS_MAX && weft_srd_next_packet(t.srd, t.now, &t.out[t.outs].tx)) {
		t.out[t.outs].at = t.now;
		decode(&t.out[t.outs]);
		t.outs++;
	}
	if (t.outs == OUTS_MAX)
		fail("the engine does not stop sending");
}

static struct out *next_out(void)
{
	while (t.taken < t.outs && t.ignored >> t.out[t.taken].hdr.type & 1)
		t.taken++;
	return t.taken < t.outs ? &t.out[t.taken] : NULL;
}

/* One step towards `limit`: to the next deadline, or to the end. */
static void step(weft_ns limit)
{
	weft_ns at = weft_srd_next_deadline(t.srd);

	if (at > limit) {
		t.now = WEFT_MAX(t.now, limit);
		return;
	}
	t.now = WEFT_MAX(t.now, at);
	weft_srd_on_timer(t.srd, t.now);
	drain();
}

static const char *describe(const struct out *o)
{
	static char text[128];
	bool data = o->hdr.type == WEFT_PKT_DATA;

	snprintf(text, sizeof(text), "%s%s%s%s psn=%" PRId64 " at %.3f us",
		 weft_pkt_type_name(o->hdr.type), data ? " " : "",
		 data ? weft_wire_op_name(o->op.op) : "",
		 o->hdr.flags & WEFT_PKT_F_RTX ? " rtx" : "",
		 data ? (int64_t)(o->hdr.psn - t.ours) : 0, (double)(o->at - START) / 1000);
	return text;
}

/* Whatever happened before `at` must have been expected by now. */
static void expect_nothing_before(weft_ns at)
{
	const struct out *o = next_out();

	if (o && o->at < at)
		fail("unexpected packet: %s", describe(o));
	if (t.events_taken < t.events && t.event[t.events_taken].at < at)
		fail("unexpected event: %s", t.event[t.events_taken].text);
}

static void run_to(weft_ns at)
{
	while (t.now < at) {
		step(at);
		expect_nothing_before(WEFT_MIN(at, t.now));
	}
	expect_nothing_before(at);
	if (weft_srd_next_deadline(t.srd) <= t.now) {
		weft_srd_on_timer(t.srd, t.now);
		drain();
	}
}

static void check_time(const struct line *l, weft_ns got, const char *what)
{
	if (!l->any_time && (got < l->at || got > l->at + l->slack))
		fail("%s, not at %.3f us", what, (double)(l->at - START) / 1000);
	t.base = got;
}

/* '>': a packet */

static const struct out *last_sent(uint64_t psn, const struct out *before)
{
	for (const struct out *o = before; o-- > t.out;)
		if (o->hdr.type == WEFT_PKT_DATA && o->hdr.psn == psn)
			return o;
	return NULL;
}

static void expect_data(struct line *l, const struct out *o)
{
	const struct field *op = find(l, "op");
	const struct out *before = last_sent(o->hdr.psn, o);

	if (op && op_of(op->value) != o->op.op)
		fail("operation is %s", weft_wire_op_name(o->op.op));
	expect_number(l, "psn", o->hdr.psn - t.ours);
	expect_number(l, "una", o->hdr.psn - o->op.una - t.ours);
	expect_number(l, "code", o->op.code);
	expect_number(l, "off", o->op.off);
	expect_number(l, "msg_len", o->op.msg_len);
	expect_number(l, "len", o->tx.payload.len);
	expect_number(l, "imm", o->op.imm);
	expect_number(l, "to", o->op.dst_qpn);
	expect_bit(l, "last", o->hdr.flags & WEFT_PKT_F_LAST);
	expect_bit(l, "rtx", o->hdr.flags & WEFT_PKT_F_RTX);
	expect_bit(l, "crc", o->hdr.flags & WEFT_PKT_F_CRC);
	if (has(l, "newpath") && (!before || before->hdr.ev == o->hdr.ev))
		fail("the path is the same again");
}

static void expect_sack(struct line *l, const struct weft_ack *ack)
{
	const struct field *f = find(l, "sack");
	uint64_t base = ack->cum & ~(uint64_t)63;

	for (uint64_t psn = ack->cum; f && psn < base + 64u * WEFT_PROTO_WORDS; psn++) {
		bool got = psn < base + 64u * ack->words &&
			   ack->word[(psn - base) / 64] >> (psn - base) % 64 & 1;

		if (got != in_ranges(f->value, psn - t.theirs))
			fail("psn %" PRIu64 " is %sreported", psn - t.theirs, got ? "" : "not ");
	}
}

static void expect_codes(struct line *l, const struct weft_ack *ack)
{
	const struct field *f = find(l, "drop");
	const char *s = f ? f->value : "";
	unsigned int n = 0;

	for (; *s; n++) {
		char *end;
		uint64_t psn = strtoull(s, &end, 10),
			 code = *end == ':' ? strtoull(end + 1, &end, 10) : 0;
		unsigned int i = 0;

		while (i < ack->drops && (ack->drop[i].psn != (uint32_t)(psn + t.theirs) ||
					  ack->drop[i].code != code))
			i++;
		if (i == ack->drops)
			fail("no drop %" PRIu64 ":%" PRIu64, psn, code);
		s = *end == ',' ? end + 1 : end;
	}
	if (f && n != ack->drops)
		fail("%u drops", ack->drops);
}

static void expect_ack(struct line *l, const struct out *o)
{
	expect_number(l, "nr", o->hdr.psn);
	expect_number(l, "cum", o->ack.cum - t.theirs);
	expect_number(l, "una", o->ack.una - t.ours);
	expect_number(l, "grant", o->ack.grant);
	expect_number(l, "dups", o->ack.dups);
	expect_number(l, "echoes", o->ack.echoes);
	expect_sack(l, &o->ack);
	expect_codes(l, &o->ack);
	expect_bit(l, "credit", o->hdr.flags & WEFT_PKT_F_CREDIT);
	expect_bit(l, "ce", o->ack.echoes && o->ack.echo[o->ack.echoes - 1].ce);
	expect_bit(l, "trimmed", o->ack.echoes && o->ack.echo[o->ack.echoes - 1].trimmed);
	expect_bit(l, "probe", o->ack.echoes && o->ack.echo[o->ack.echoes - 1].probe);
}

static void do_expect(struct line *l)
{
	const struct out *o;
	weft_ns limit = l->any_time ? WEFT_NS_NEVER - 1 : l->at + l->slack;

	drain();
	while (!(o = next_out()) && weft_srd_next_deadline(t.srd) <= limit)
		step(limit);
	if (!o)
		fail("no packet");
	if (o->hdr.type != type_of(l->verb))
		fail("packet is %s", describe(o));
	check_time(l, o->at, describe(o));
	t.taken++;
	expect_bit(l, "ackreq", o->hdr.flags & WEFT_PKT_F_ACKREQ);
	expect_bit(l, "rides", o->tx.rides);
	expect_number(l, "pull", o->hdr.pull);
	expect_number(l, "epoch",
		      o->hdr.type == WEFT_PKT_RESET || o->hdr.type == WEFT_PKT_FIN_ACK
			      ? o->hdr.psn
			      : o->hdr.dst_epoch);
	expect_number(l, "dst_ctx", o->hdr.dst_ctx);
	if (o->hdr.type == WEFT_PKT_DATA)
		expect_data(l, o);
	else if (o->hdr.type == WEFT_PKT_ACK)
		expect_ack(l, o);
	else if (o->hdr.type == WEFT_PKT_PROBE)
		expect_number(l, "una", o->hdr.psn - t.ours);
}

/* '*': an event */

static void do_event(struct line *l)
{
	const struct event *e;
	char want[128];
	weft_ns limit = l->any_time ? WEFT_NS_NEVER - 1 : l->at + l->slack;
	int n = snprintf(want, sizeof(want), "%s", l->verb);

	for (uint32_t i = 0; i < l->fields; i++) {
		n += snprintf(want + n, sizeof(want) - (size_t)n, " %s%s%s", l->field[i].key,
			      *l->field[i].value ? "=" : "", l->field[i].value);
		l->field[i].used = true;
	}
	while (t.events_taken == t.events && weft_srd_next_deadline(t.srd) <= limit)
		step(limit);
	if (t.events_taken == t.events)
		fail("no event");
	e = &t.event[t.events_taken++];
	if (strcmp(e->text, want))
		fail("event is \"%s\"", e->text);
	check_time(l, e->at, e->text);
}

/* '<': a packet for the engine */

static uint32_t data_body(struct line *l, struct weft_hdr *hdr, uint8_t *body)
{
	const struct field *word = find(l, "op");
	uint32_t len = (uint32_t)value(l, "len", 0);
	struct weft_op op = { .op = word ? op_of(word->value) : WEFT_WIRE_SEND };
	bool send = op.op <= WEFT_WIRE_SEND_IMM;

	hdr->psn = t.theirs + value(l, "psn", 0);
	op.una = (uint16_t)(hdr->psn - t.theirs - value(l, "una", hdr->psn - t.theirs));
	op.code = (uint8_t)value(l, "code", 0);
	op.off = (uint32_t)value(l, "off", 0);
	op.msg_len = (uint32_t)value(l, "msg_len", len);
	op.msg_id = (uint32_t)value(l, "msg", 1);
	op.imm = (uint32_t)value(l, "imm", 0);
	op.dst_qpn = (uint16_t)value(l, "to", 2);
	op.src_qpn = (uint16_t)value(l, "from", 1);
	op.key = (uint32_t)value(l, "key", send ? QKEY : RKEY);
	op.addr = value(l, "addr", 0);
	if (!has(l, "nocrc")) {
		hdr->flags |= WEFT_PKT_F_CRC;
		op.crc = zero_crc(len) ^ (has(l, "corrupt") ? 1u : 0);
	}
	weft_op_encode(body, &op);
	memset(body + WEFT_PROTO_OP, 0, len);
	return WEFT_PROTO_OP + len;
}

/* "0,3/ce,probe": the last transmission of PSN 0, of PSN 3, the last PROBE. */
static void add_echoes(struct line *l, struct weft_ack *ack)
{
	const struct field *f = find(l, "echo");
	const char *s = f ? f->value : "";

	while (*s && ack->echoes < WEFT_PROTO_ECHOES) {
		struct weft_echo *e = &ack->echo[ack->echoes++];
		bool probe = !strncmp(s, "probe", 5);
		char *end = (char *)s + 5;
		uint64_t psn = probe ? 0 : t.ours + strtoull(s, &end, 10);
		const struct out *o = &t.out[t.outs];

		do
			o = o == t.out ? NULL : o - 1;
		while (o && (probe ? o->hdr.type != WEFT_PKT_PROBE
				   : o->hdr.type != WEFT_PKT_DATA || o->hdr.psn != psn));
		if (!o)
			fail("nothing to echo: %s", s);
		*e = (struct weft_echo){
			.tx_ts = o->hdr.tx_ts, .ev = o->hdr.ev, .psn = (uint16_t)psn, .probe = probe
		};
		e->ce = !strncmp(end, "/ce", 3);
		e->trimmed = !strncmp(end, "/trimmed", 8);
		e->hold = (uint16_t)(value(l, "hold", 0) / 64);
		s = strchr(end, ',') ? strchr(end, ',') + 1 : "";
	}
}

static void add_codes(struct line *l, struct weft_ack *ack)
{
	const struct field *f = find(l, "drop");

	for (const char *s = f ? f->value : ""; *s;) {
		char *end;
		uint64_t psn = strtoull(s, &end, 10),
			 code = *end == ':' ? strtoull(end + 1, &end, 10) : 0;

		ack->drop[ack->drops++] =
			(struct weft_drop_entry){ (uint32_t)(t.ours + psn), (uint8_t)code };
		s = *end == ',' ? end + 1 : end;
	}
}

static uint32_t ack_body(struct line *l, struct weft_hdr *hdr, uint8_t *body)
{
	static uint64_t nr;
	struct weft_ack ack = { .cum = t.ours + value(l, "cum", 0) };
	const struct field *f = find(l, "sack");
	uint64_t base = ack.cum & ~(uint64_t)63;

	nr = value(l, "nr", nr + 1);
	hdr->psn = nr;
	ack.una = t.theirs + value(l, "una", 0);
	ack.grant = (uint16_t)value(l, "grant", 0);
	ack.dups = (uint16_t)value(l, "dups", 0);
	for (uint64_t psn = ack.cum; f && psn < base + 64u * WEFT_PROTO_WORDS; psn++) {
		if (!in_ranges(f->value, psn - t.ours))
			continue;
		ack.words = (uint8_t)((psn - base) / 64 + 1);
		ack.word[(psn - base) / 64] |= (uint64_t)1 << (psn - base) % 64;
	}
	add_echoes(l, &ack);
	add_codes(l, &ack);
	if (has(l, "credit"))
		hdr->flags |= WEFT_PKT_F_CREDIT;
	return weft_ack_encode(body, &ack);
}

static struct weft_gid peer_gid(void)
{
	return (struct weft_gid){ .raw = "the peer" };
}

static uint32_t hello_body(struct line *l, struct weft_hdr *hdr, uint8_t *body)
{
	struct weft_hello hello = {
		.src = peer_gid(),
		.dst = t.cfg.gid,
		.version_max = 1,
		.features = has(l, "crc") ? WEFT_HELLO_F_CRC : 0,
	};

	hello.epoch = (uint32_t)value(l, "own", t.theirs);
	hello.payload_max = (uint16_t)value(l, "payload_max", t.cfg.payload_max);
	if (has(l, "astray"))
		hello.dst.raw[0] ^= 1;
	if (hdr->type == WEFT_PKT_HELLO)
		hdr->dst_ctx = hdr->dst_epoch = 0;
	weft_hello_encode(body, &hello);
	return WEFT_PROTO_HELLO;
}

static uint32_t body_of(struct line *l, struct weft_hdr *hdr, uint8_t *body)
{
	switch ((enum weft_pkt_type)hdr->type) {
	case WEFT_PKT_HELLO:
	case WEFT_PKT_WELCOME:
		return hello_body(l, hdr, body);
	case WEFT_PKT_DATA:
		return data_body(l, hdr, body);
	case WEFT_PKT_ACK:
		return ack_body(l, hdr, body);
	case WEFT_PKT_PROBE:
		hdr->psn = t.theirs + value(l, "una", 0);
		return 0;
	case WEFT_PKT_RESET:
	case WEFT_PKT_FIN_ACK:
		hdr->psn = hdr->dst_epoch;
		hdr->dst_epoch = 0;
		return 0;
	case WEFT_PKT_FIN:
		break;
	}
	return 0;
}

static void do_inject(struct line *l)
{
	static uint8_t frame[FRAME_MAX];
	struct weft_srd_rx rx = { .from = peer_gid(),
				  .ce = has(l, "ce"),
				  .trimmed = has(l, "trimmed") };
	uint8_t type = type_of(l->verb);
	bool names_peer = type == WEFT_PKT_RESET || type == WEFT_PKT_FIN_ACK;
	struct weft_hdr hdr = {
		.type = type,
		.ev = (uint16_t)value(l, "path", 0),
		.dst_ctx = (uint32_t)value(l, "dst_ctx", t.our_ctx),
		.dst_epoch = (uint32_t)value(l, "epoch", names_peer ? t.theirs : t.ours),
		.src_ctx = (uint32_t)value(l, "src_ctx", PEER_CTX),
		.tx_ts = weft_ts(t.now),
		.pull = (uint16_t)value(l, "pull", 0),
	};
	uint8_t *copy;

	if (has(l, "ackreq"))
		hdr.flags |= WEFT_PKT_F_ACKREQ;
	if (has(l, "rtx"))
		hdr.flags |= WEFT_PKT_F_RTX;
	hdr.len = (uint16_t)body_of(l, &hdr, frame + WEFT_PROTO_HDR);
	weft_hdr_encode(frame, &hdr);
	weft_head_seal(t.cfg.key, frame, weft_head_len(&hdr));
	frame[WEFT_PROTO_TAG_AT] ^= has(l, "forged");
	frame[0] = (uint8_t)(value(l, "version", WEFT_PROTO_VERSION) << 4 | type);
	rx.len = rx.trimmed ? WEFT_SRD_DATA_HEAD : WEFT_PROTO_HDR + hdr.len;
	rx.len = (uint32_t)value(l, "cut", rx.len);
	/* A block of its own, so that a sanitizer sees who reads past its end. */
	copy = malloc(rx.len ? rx.len : 1);
	if (!copy)
		fail("no memory");
	memcpy(copy, frame, rx.len);
	rx.data = copy;
	weft_srd_on_packet(t.srd, &rx, t.now);
	free(copy);
	drain();
}

/* Commands */

static void start_engine(void)
{
	const char *why;
	struct weft_gid gid = peer_gid();
	void *mem;

	if (weft_srd_cfg_check(&t.cfg, &why))
		fail("config: %s is out of its range", why);
	if (posix_memalign(&mem, 64, weft_srd_size(&t.cfg)))
		fail("no memory");
	t.srd = weft_srd_init(mem, &t.cfg, &ops, NULL, t.now);
	if (weft_srd_peer_get(t.srd, &gid, &t.peer))
		fail("no peer");
}

static void default_cfg(void)
{
	weft_srd_cfg_default(&t.cfg);
	t.cfg.gid = (struct weft_gid){ .raw = "the engine" };
	t.cfg.seed = 1;
	t.cfg.contexts_max = 4;
	t.cfg.active_max = 2;
	t.cfg.msgs_max = 64;
	t.cfg.reads_max = 4;
	t.cfg.rx_msgs_max = 4;
	t.cfg.packets_max = 1024;
	t.cfg.payload_max = 1024;
	t.cfg.paths = 16;
	t.cfg.payload_crc = false;
	t.cfg.link_bps = 0;
	t.cfg.rtt_hint = WEFT_US(10);
}

static void do_config(struct line *l)
{
	t.cfg.payload_max = (uint32_t)value(l, "payload_max", t.cfg.payload_max);
	t.cfg.paths = (uint32_t)value(l, "paths", t.cfg.paths);
	t.cfg.burst_bytes = (uint32_t)value(l, "burst", t.cfg.burst_bytes);
	t.cfg.payload_crc = value(l, "crc", t.cfg.payload_crc);
	t.cfg.msgs_max = (uint32_t)value(l, "msgs_max", t.cfg.msgs_max);
	t.cfg.reads_max = (uint32_t)value(l, "reads_max", t.cfg.reads_max);
	t.cfg.rx_msgs_max = (uint32_t)value(l, "rx_msgs_max", t.cfg.rx_msgs_max);
	t.cfg.cwnd_init = t.cfg.cwnd_max = (uint32_t)value(l, "cwnd", 0);
	t.cfg.link_bps = value(l, "link_bps", t.cfg.link_bps);
	t.cfg.ack_delay = value(l, "ack_delay", t.cfg.ack_delay);
	t.cfg.ack_hold = value(l, "ack_hold", t.cfg.ack_hold);
	t.cfg.idle_after = value(l, "idle_after", t.cfg.idle_after);
	t.cfg.dead_after = value(l, "dead_after", t.cfg.dead_after);
}

static enum weft_srd_op wr_op(const char *word)
{
	uint8_t op = op_of(word);

	if (op > WEFT_WIRE_READ)
		fail("nobody can post a %s", word);
	return (enum weft_srd_op)op;
}

static void do_post(struct line *l)
{
	const struct field *name = find(l, "as"), *op = find(l, "op");
	struct weft_srd_wr wr = { .cookie = t.names, .peer = t.peer };
	int rc, want;

	if (t.names == NAMES_MAX || !name || !op)
		fail("post op=... as=...");
	snprintf(t.name[t.names], sizeof(t.name[0]), "%s", name->value);
	wr.op = wr_op(op->value);
	wr.len = (uint32_t)value(l, "len", 0);
	wr.imm = (uint32_t)value(l, "imm", 0);
	wr.src_qpn = (uint16_t)value(l, "from", 1);
	wr.dst_qpn = (uint16_t)value(l, "to", 2);
	wr.key = wr.op <= WEFT_SRD_SEND_IMM ? QKEY : RKEY;
	wr.rnr_retry = (uint8_t)value(l, "retry", 7);
	want = -(int)value(l, "errno", 0);
	rc = weft_srd_on_post(t.srd, &wr, t.now);
	if (rc != want)
		fail("post: %d", rc);
	t.names += !rc;
	drain();
}

static void do_owner(struct line *l)
{
	t.recvs = (uint32_t)value(l, "recvs", t.recvs);
	t.recv_len = (uint32_t)value(l, "recv_len", t.recv_len);
	t.claim = (enum weft_srd_status)value(l, "claim", t.claim);
	t.write = (enum weft_srd_status)value(l, "write", t.write);
	t.read = (enum weft_srd_status)value(l, "read", t.read);
	t.place = (enum weft_srd_status)value(l, "place", t.place);
}

static void do_dropped(struct line *l)
{
	const struct weft_srd_stats *s = weft_srd_stats(t.srd);

	for (int i = 0; i < WEFT_SRD_DROP_COUNT; i++)
		expect_number(l, weft_srd_drop_name((enum weft_srd_drop)i), s->rx_drops[i]);
}

static void do_stats(struct line *l)
{
	const struct weft_srd_stats *s = weft_srd_stats(t.srd);
	struct weft_srd_peer_info info;

	if (weft_srd_peer_info(t.srd, t.peer, &info))
		fail("no peer");
	expect_number(l, "retrans", s->retrans_pkts);
	expect_number(l, "timeouts", s->retrans_timeout_events);
	expect_number(l, "tail_probes", s->tail_probes);
	expect_number(l, "path_out", s->path_out);
	expect_number(l, "path_in", s->path_in);
	expect_number(l, "opened", s->contexts_opened);
	expect_number(l, "reset", s->contexts_reset);
	expect_number(l, "shrinks", s->payload_shrinks);
	expect_number(l, "inflight", info.inflight_pkts);
	expect_number(l, "paths_out", info.paths_out);
	expect_number(l, "payload", info.payload);
	expect_number(l, "credit_mode", info.credit_mode);
	expect_number(l, "established", info.established);
}

static void do_idle(void)
{
	struct weft_srd_usage u;

	weft_srd_usage(t.srd, &u);
	if (u.active || u.msgs || u.reads || u.rx_msgs || u.chunks || u.pieces || u.timers)
		fail("not idle: active %u msgs %u reads %u rx_msgs %u chunks %u pieces %u timers "
		     "%u",
		     u.active, u.msgs, u.reads, u.rx_msgs, u.chunks, u.pieces, u.timers);
}

/* The usual beginning: a HELLO from the engine, the answer to it 10 us later, and the context is open. */
static void do_open(struct line *l)
{
	struct line sub = { .nr = l->nr, .kind = '>', .verb = "hello", .at = t.base };

	do_expect(&sub);
	t.base += WEFT_US(10);
	run_to(t.base);
	sub = (struct line){ .nr = l->nr, .kind = '<', .verb = "welcome" };
	do_inject(&sub);
}

static void do_command(struct line *l)
{
	if (!strcmp(l->verb, "post"))
		do_post(l);
	else if (!strcmp(l->verb, "owner"))
		do_owner(l);
	else if (!strcmp(l->verb, "dropped"))
		do_dropped(l);
	else if (!strcmp(l->verb, "stats"))
		do_stats(l);
	else if (!strcmp(l->verb, "open"))
		do_open(l);
	else if (!strcmp(l->verb, "idle"))
		do_idle();
	else if (!strcmp(l->verb, "ignore"))
		t.ignored |= 1u << type_of(l->field[0].key), l->field[0].used = true;
	else if (!strcmp(l->verb, "qp_gone"))
		weft_srd_on_qp_gone(t.srd, (uint16_t)value(l, "qpn", 1), t.now), drain();
	else if (!strcmp(l->verb, "close"))
		weft_srd_close(t.srd, t.now), drain();
	else if (!strcmp(l->verb, "closed")) {
		if (!weft_srd_is_closed(t.srd))
			fail("not closed");
	} else if (!strcmp(l->verb, "theirs"))
		t.theirs = (uint32_t)value(l, "epoch", t.theirs);
	else if (strcmp(l->verb, "quiet"))
		fail("no command is called \"%s\"", l->verb);
}

/* Reading a line */

/* "@12us" absolute, "+12us" after the line before, each with "~3us" of slack; "@?" whenever. */
static void parse_time(struct line *l, char *word)
{
	char *slack = strchr(word, '~');
	weft_ns v = 0;

	if (slack) {
		*slack = 0;
		if (!weft_parse_time(slack + 1, &l->slack))
			fail("\"%s\" is no time", slack + 1);
	}
	if (!strcmp(word, "@?")) {
		l->any_time = true;
		return;
	}
	if (!weft_parse_time(word + 1, &v))
		fail("\"%s\" is no time", word + 1);
	l->at = *word == '@' ? START + v : t.base + v;
}

static void parse_field(struct line *l, char *word)
{
	char *eq = strchr(word, '=');

	if (l->fields == FIELDS_MAX)
		fail("too many fields");
	if (eq)
		*eq = 0;
	l->field[l->fields++] = (struct field){ .key = word, .value = eq ? eq + 1 : "" };
}

static bool parse(struct line *l, const char *text)
{
	char *word, *save = NULL;

	memset(l, 0, sizeof(*l));
	l->nr = t.line;
	l->at = t.base;
	snprintf(l->text, sizeof(l->text), "%s", text);
	l->text[strcspn(l->text, "#\n")] = 0;
	word = strtok_r(l->text, " \t", &save);
	if (word && (*word == '@' || *word == '+')) {
		parse_time(l, word);
		word = strtok_r(NULL, " \t", &save);
	}
	if (word && strchr("<>*", *word) && !word[1]) {
		l->kind = *word;
		word = strtok_r(NULL, " \t", &save);
	}
	l->verb = word;
	while (word && (word = strtok_r(NULL, " \t", &save)))
		parse_field(l, word);
	return l->verb != NULL;
}

static void execute(struct line *l)
{
	if (!t.srd && !l->kind && !strcmp(l->verb, "config")) {
		do_config(l);
		return;
	}
	if (!t.srd)
		start_engine();
	if (l->kind == '>') {
		do_expect(l);
	} else if (l->kind == '*') {
		do_event(l);
	} else {
		if (l->at < t.now)
			fail("this time is over");
		run_to(l->at);
		t.base = l->at;
		if (l->kind == '<')
			do_inject(l);
		else
			do_command(l);
	}
	for (uint32_t i = 0; i < l->fields; i++)
		if (!l->field[i].used)
			fail("\"%s\" means nothing here", l->field[i].key);
}

int main(int argc, char **argv)
{
	static struct line l;
	char text[512];
	FILE *f;

	if (argc != 2) {
		fprintf(stderr, "usage: test_script FILE\n");
		return 2;
	}
	t.file = strrchr(argv[1], '/') ? strrchr(argv[1], '/') + 1 : argv[1];
	t.now = t.base = START;
	t.theirs = PEER_EPOCH;
	t.recvs = UINT32_MAX;
	t.recv_len = WEFT_SRD_SEND_MAX;
	t.out = malloc(OUTS_MAX * sizeof(*t.out));
	f = fopen(argv[1], "r");
	printf("1..1\n");
	default_cfg();
	if (!t.out || !f)
		fail("cannot read it");
	while (fgets(text, sizeof(text), f)) {
		t.line++;
		if (parse(&l, text))
			execute(&l);
	}
	fclose(f);
	if (!t.srd)
		fail("an empty script");
	expect_nothing_before(WEFT_NS_NEVER);
	free(t.srd);
	free(t.out);
	printf("ok 1 - %s\n", t.file);
	return 0;
}
