/* SPDX-License-Identifier: BSD-2-Clause */
/* Records are hashed as they lie in memory: every byte of a record is a named field. Lines are printed as
 * records come, not at the end, so that a run that crashes leaves its trace behind. */
#include "sim/trace.h"

#include "base/assert.h"
#include "sim/fault.h"
#include "sim/pattern.h"
#include "srd/proto.h"
#include "srd/srd.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>

static_assert(sizeof(struct weft_trace_rec) == 72, "a trace record has no padding");

void weft_trace_init(struct weft_trace *t, FILE *out)
{
	*t = (struct weft_trace){ .out = out, .hash = 0x77656674 };
}

void weft_trace_fini(struct weft_trace *t)
{
	free(t->recs);
	*t = (struct weft_trace){ 0 };
}

static void append(struct weft_trace *t, const struct weft_trace_rec *rec)
{
	if (t->len == t->cap) {
		t->cap = t->cap ? 2 * t->cap : 4096;
		t->recs = realloc(t->recs, t->cap * sizeof(*t->recs));
		weft_assert(t->recs);
	}
	t->recs[t->len++] = *rec;
	t->hash = (t->hash ^ weft_sim_hash(rec, sizeof(*rec))) * 0x9e3779b97f4a7c15u;
}

void weft_trace_add(struct weft_trace *t, const struct weft_trace_rec *rec)
{
	char line[256];

	append(t, rec);
	if (t->out) {
		weft_trace_describe(line, sizeof(line), rec, t->t0);
		fprintf(t->out, "%s\n", line);
	}
}

void weft_trace_add_frame(struct weft_trace *t, const struct weft_trace_rec *rec,
			  const uint8_t *head, uint32_t head_len)
{
	char line[256], frame[512];

	append(t, rec);
	if (t->out) {
		weft_trace_describe(line, sizeof(line), rec, t->t0);
		weft_trace_describe_frame(frame, sizeof(frame), head, head_len);
		fprintf(t->out, "%s | %s\n", line, frame);
	}
}

/* A line under construction; what does not fit is cut off. */
struct text {
	char *at;
	size_t left;
};

__attribute__((format(printf, 2, 3))) static void say(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->at, t->left, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	n = (int)WEFT_MIN((size_t)n, t->left - 1);
	t->at += n;
	t->left -= (size_t)n;
}

static const char *op_name(uint8_t op)
{
	static const char *const names[] = { "SEND", "SEND_IMM", "WRITE", "WRITE_IMM", "READ" };

	return op < WEFT_ARRAY_SIZE(names) ? names[op] : "?";
}

static const char *mark_name(uint32_t mark)
{
	static const char *const names[] = { "healed", "settled", "quiet", "closing", "end" };

	return mark < WEFT_ARRAY_SIZE(names) ? names[mark] : "?";
}

static const char *param_name(uint32_t param)
{
	static const char *const names[WEFT_PARAM_COUNT] = {
		[WEFT_PARAM_SEED] = "seed",
		[WEFT_PARAM_HOSTS] = "hosts",
		[WEFT_PARAM_PATHS] = "paths",
		[WEFT_PARAM_DEAD_AFTER] = "dead_after",
		[WEFT_PARAM_RTT] = "rtt",
		[WEFT_PARAM_RTO_MIN] = "rto_min",
		[WEFT_PARAM_RTO_MAX] = "rto_max",
		[WEFT_PARAM_WR_BOUND] = "wr_bound",
		[WEFT_PARAM_HEAL_BOUND] = "heal_bound",
		[WEFT_PARAM_FAULTY_HOSTS] = "faulty_hosts",
		[WEFT_PARAM_CHECK_RTX] = "check_rtx",
		[WEFT_PARAM_CHECK_SPURIOUS] = "check_spurious",
		[WEFT_PARAM_CHECK_JAIN] = "check_jain",
		[WEFT_PARAM_CHECK_PATH] = "check_path",
		[WEFT_PARAM_CHECK_LATENCY] = "check_latency",
		[WEFT_PARAM_FORGETFUL] = "forgetful",
		[WEFT_PARAM_SCARCE] = "scarce",
		[WEFT_PARAM_PAYLOAD_MAX] = "payload_max",
		[WEFT_PARAM_PAYLOAD_MIN] = "payload_min",
		[WEFT_PARAM_CRC_HOSTS] = "crc_hosts",
		[WEFT_PARAM_MTU] = "mtu",
	};

	return param < WEFT_PARAM_COUNT ? names[param] : "?";
}

static const char *status_name(uint8_t status)
{
	return weft_srd_status_name((enum weft_srd_status)status);
}

static void describe_wr(struct text *t, const struct weft_trace_rec *r)
{
	switch (r->kind) {
	case WEFT_TRACE_POST:
		say(t, "post wr %u %s to h%u qpn %u>%u len %u", r->wr, op_name(r->op), r->peer,
		    r->qpn, r->peer_qpn, r->len);
		if (r->op >= WEFT_SRD_WRITE)
			say(t, " key %x addr %llx", r->key, (unsigned long long)r->addr);
		say(t, " imm %x rnr %u%s%s%s%s", r->imm, r->value,
		    r->flags & WEFT_WR_BAD_KEY ? " bad-key" : "",
		    r->flags & WEFT_WR_BAD_QPN ? " bad-qpn" : "",
		    r->flags & WEFT_WR_REFUSED ? " refused" : "",
		    r->flags & WEFT_WR_MUST ? " must" : "");
		return;
	case WEFT_TRACE_COMPLETE:
		say(t, "complete wr %u to h%u status %u %s", r->wr, r->peer, r->status,
		    status_name(r->status));
		return;
	case WEFT_TRACE_CANCEL:
		say(t, "cancel wr %u to h%u status %u %s", r->wr, r->peer, r->status,
		    status_name(r->status));
		return;
	case WEFT_TRACE_READ_PLACE:
		say(t, "read-place wr %u off %u len %u status %u", r->wr, r->off, r->value,
		    r->status);
		return;
	case WEFT_TRACE_SNAPSHOT:
		say(t, "snapshot of the target of wr %u", r->wr);
		return;
	default:
		say(t, "kind %u", r->kind);
		return;
	}
}

static void describe_target(struct text *t, const struct weft_trace_rec *r)
{
	switch (r->kind) {
	case WEFT_TRACE_RECV_POST:
		say(t, "recv-post %llu qpn %u len %u", (unsigned long long)r->id, r->qpn, r->len);
		return;
	case WEFT_TRACE_CLAIM:
		say(t, "claim %s from h%u qpn %u>%u len %u imm %x: %u %s recv %llu", op_name(r->op),
		    r->peer, r->peer_qpn, r->qpn, r->len, r->imm, r->status, status_name(r->status),
		    (unsigned long long)r->id);
		return;
	case WEFT_TRACE_PLACE:
		say(t, "place recv %llu off %u len %u of %u", (unsigned long long)r->id, r->off,
		    r->value, r->len);
		return;
	case WEFT_TRACE_RECV_DONE:
		say(t, "recv-done %llu %s from h%u qpn %u>%u len %u imm %x wr %d",
		    (unsigned long long)r->id, op_name(r->op), r->peer, r->peer_qpn, r->qpn, r->len,
		    r->imm, (int)r->wr);
		return;
	case WEFT_TRACE_RECV_RELEASE:
		say(t, "recv-release %llu", (unsigned long long)r->id);
		return;
	case WEFT_TRACE_WRITE:
		say(t, "write from h%u key %x addr %llx off %u len %u of %u: %u %s", r->peer,
		    r->key, (unsigned long long)r->addr, r->off, r->value, r->len, r->status,
		    status_name(r->status));
		return;
	case WEFT_TRACE_READ_CHECK:
		say(t, "read-check from h%u key %x addr %llx len %u: %u %s", r->peer, r->key,
		    (unsigned long long)r->addr, r->len, r->status, status_name(r->status));
		return;
	default:
		describe_wr(t, r);
		return;
	}
}

static void describe_frame_rec(struct text *t, const struct weft_trace_rec *r)
{
	switch (r->kind) {
	case WEFT_TRACE_TX:
		say(t, "tx #%llu to h%u path %u len %u%s", (unsigned long long)r->id, r->peer,
		    r->path, r->len, r->flags & 2 ? " rtx" : "");
		if (r->status == 1)
			say(t, " wr %u off %u len %u", r->wr, r->off, r->value);
		if (r->status == 2)
			say(t, " key %x off %u len %u", r->key, r->off, r->value);
		return;
	case WEFT_TRACE_LOST:
		say(t, "lost #%llu to h%u path %u len %u by %s", (unsigned long long)r->id, r->peer,
		    r->path, r->len, weft_sim_fault_name(r->imm));
		return;
	case WEFT_TRACE_RX:
		say(t, "rx #%llu", (unsigned long long)r->id);
		if (r->id != r->addr)
			say(t, " (copy of #%llu)", (unsigned long long)r->addr);
		say(t, " from h%u len %u%s%s%s%s", r->peer, r->len,
		    r->flags & WEFT_RX_TAMPERED ? " tampered" : "",
		    r->flags & WEFT_RX_TRIMMED ? " trimmed" : "",
		    r->flags & WEFT_RX_CE ? " ce" : "",
		    r->flags & WEFT_RX_STRANGER ? " stranger" : "");
		return;
	case WEFT_TRACE_SAMPLE:
		say(t, "sample to h%u inflight %u cwnd %u slack %u", r->peer, r->value, r->len,
		    r->off);
		if (r->flags & 1)
			say(t, " credit %d", (int)r->key);
		return;
	default:
		describe_target(t, r);
		return;
	}
}

static void describe_host(struct text *t, const struct weft_trace_rec *r)
{
	switch (r->kind) {
	case WEFT_TRACE_HOST_UP:
		say(t, "up, incarnation %u", r->value);
		return;
	case WEFT_TRACE_HOST_DOWN:
		say(t, "down");
		return;
	case WEFT_TRACE_CLOSE_BEGIN:
		say(t, "close begins");
		return;
	case WEFT_TRACE_CLOSE_END:
		say(t, "closed");
		return;
	case WEFT_TRACE_QP_UP:
		say(t, "qp %u up", r->qpn);
		return;
	case WEFT_TRACE_QP_GONE:
		say(t, "qp %u gone", r->qpn);
		return;
	case WEFT_TRACE_QP_ERROR:
		say(t, "qp %u %s", r->qpn, r->value ? "in error" : "works again");
		return;
	case WEFT_TRACE_MR_REG:
		say(t, "mr key %x addr %llx len %u", r->key, (unsigned long long)r->addr, r->len);
		return;
	case WEFT_TRACE_MR_DEREG:
		say(t, "mr key %x deregistered", r->key);
		return;
	case WEFT_TRACE_USAGE:
		say(t,
		    "usage active %u msgs %u reads %u rx_msgs %u chunks %u pieces %u timers %llu "
		    "contexts %llu",
		    r->wr, r->len, r->off, r->key, r->imm, r->value, (unsigned long long)r->addr,
		    (unsigned long long)r->id);
		return;
	case WEFT_TRACE_STATS:
		say(t,
		    "stats data %llu rtx %llu bytes, %u rtx %u packets, spurious %u, timeouts %u",
		    (unsigned long long)r->addr, (unsigned long long)r->id, r->len, r->off,
		    r->value, r->key);
		return;
	case WEFT_TRACE_GUARD:
		say(t, "guard bytes damaged: %u", r->value);
		return;
	case WEFT_TRACE_GOODPUT:
		say(t, "goodput from h%u: %llu", r->peer, (unsigned long long)r->addr);
		return;
	case WEFT_TRACE_NOBODY:
		say(t, "is told that h%u is not there", r->peer);
		return;
	case WEFT_TRACE_STUCK:
		say(t, "stuck: %u", r->value);
		return;
	default:
		describe_frame_rec(t, r);
		return;
	}
}

void weft_trace_describe(char *buf, size_t size, const struct weft_trace_rec *r, weft_ns t0)
{
	struct text t = { buf, size };
	weft_ns at = r->at - t0;

	say(&t, "%6llu.%03llu us ", (unsigned long long)(at / 1000),
	    (unsigned long long)(at % 1000));
	switch (r->kind) {
	case WEFT_TRACE_PARAM:
		say(&t, "-- %s = %llu", param_name(r->imm), (unsigned long long)r->addr);
		return;
	case WEFT_TRACE_MARK:
		say(&t, "-- %s", mark_name(r->imm));
		return;
	case WEFT_TRACE_FAULT:
		say(&t, "-- fault %s %s, host %u peer %u path %u", weft_sim_fault_name(r->imm),
		    r->value ? "begins" : "ends", r->host, r->peer, r->path);
		return;
	default:
		say(&t, "h%u ", r->host);
		describe_host(&t, r);
		return;
	}
}

static void describe_ack(struct text *t, const uint8_t *p, uint32_t len)
{
	struct weft_ack ack;

	if (weft_ack_decode(p, len, &ack)) {
		say(t, " (malformed)");
		return;
	}
	say(t, " cum %llx una %llx grant %u dups %u bits", (unsigned long long)ack.cum,
	    (unsigned long long)ack.una, ack.grant, ack.dups);
	for (unsigned int i = 0; i < ack.words; i++)
		say(t, " %llx", (unsigned long long)ack.word[i]);
	for (unsigned int i = 0; i < ack.echoes; i++)
		say(t, " echo(ev %u psn %x%s%s%s)", ack.echo[i].ev, ack.echo[i].psn,
		    ack.echo[i].ce ? " ce" : "", ack.echo[i].trimmed ? " trimmed" : "",
		    ack.echo[i].probe ? " probe" : "");
	for (unsigned int i = 0; i < ack.drops; i++)
		say(t, " drop(psn %x code %u)", ack.drop[i].psn, ack.drop[i].code);
}

static void describe_data(struct text *t, const uint8_t *p, uint32_t len)
{
	struct weft_op op;

	if (len < WEFT_PROTO_OP || weft_op_decode(p, &op)) {
		say(t, " (malformed)");
		return;
	}
	say(t, " %s msg %x qpn %u>%u off %u of %u una -%u", weft_wire_op_name(op.op), op.msg_id,
	    op.src_qpn, op.dst_qpn, op.off, op.msg_len, op.una);
	if (op.code)
		say(t, " code %u", op.code);
}

void weft_trace_describe_frame(char *buf, size_t size, const uint8_t *head, uint32_t len)
{
	struct text t = { buf, size };
	struct weft_hdr hdr;
	struct weft_hello hello;

	if (len < WEFT_PROTO_HDR || weft_hdr_decode(head, &hdr)) {
		say(&t, "(no frame of ours:");
		for (uint32_t i = 0; i < WEFT_MIN(len, 16u); i++)
			say(&t, " %02x", head[i]);
		say(&t, ")");
		return;
	}
	say(&t, "%s psn %llx ev %u ctx %u<%u epoch %08x%s%s%s pull %u len %u",
	    weft_pkt_type_name(hdr.type), (unsigned long long)hdr.psn, hdr.ev, hdr.dst_ctx,
	    hdr.src_ctx, hdr.dst_epoch, hdr.flags & WEFT_PKT_F_ACKREQ ? " ackreq" : "",
	    hdr.flags & WEFT_PKT_F_LAST ? " last" : "",
	    hdr.flags & WEFT_PKT_F_CREDIT ? " credit" : "", hdr.pull, hdr.len);
	head += WEFT_PROTO_HDR;
	len -= WEFT_PROTO_HDR;
	if (hdr.type == WEFT_PKT_ACK)
		describe_ack(&t, head, WEFT_MIN(len, hdr.len));
	else if (hdr.type == WEFT_PKT_DATA)
		describe_data(&t, head, len);
	else if ((hdr.type == WEFT_PKT_HELLO || hdr.type == WEFT_PKT_WELCOME) &&
		 !weft_hello_decode(head, len, &hello))
		say(&t, " epoch %08x payload %u", hello.epoch, hello.payload_max);
}
