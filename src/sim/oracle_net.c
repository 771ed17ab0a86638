/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames: what left, what was lost, what arrived, and what that says about windows, retransmissions and
 * paths. Totals are judged at the end, and only in runs whose parameters say that the rule applies: a run
 * full of late duplicates and stalled hosts cannot help sending things twice. */
#include "base/assert.h"
#include "sim/fault.h"
#include "sim/oracle_state.h"
#include "srd/proto.h"

static bool is_data(const struct weft_trace_rec *r)
{
	return r->op == WEFT_PKT_DATA;
}

static bool is_handshake(uint8_t type)
{
	return type != WEFT_PKT_DATA && type != WEFT_PKT_ACK && type != WEFT_PKT_PROBE;
}

static struct oracle_psn *psn_find(struct oracle *o, const struct weft_trace_rec *r)
{
	uint32_t epoch = r->imm;
	uint64_t h =
		(r->addr + ((uint64_t)epoch << 32) + r->host * 16u + r->peer) * 0x9e3779b97f4a7c15u;

	for (uint32_t i = (uint32_t)(h >> 32);; i++) {
		struct oracle_psn *p = &o->psn[i & o->psn_mask];

		if (!p->used || (p->psn == r->addr && p->epoch == epoch && p->from == r->host &&
				 p->to == r->peer))
			return p;
	}
}

/* Time between tries doubles up to rto_max, and ends with the peer's death; but that is far while others of its packets
 * get through. Some are tries on evidence of a loss, in networks that lose half of everything; they do not add up
 * to hundreds. */
static void check_copies(struct oracle *o, const struct weft_trace_rec *r, struct oracle_psn *p)
{
	uint64_t rto_max = o->param[WEFT_PARAM_RTO_MAX], bound = 64;

	if (rto_max)
		bound += WEFT_MAX(4 * o->param[WEFT_PARAM_DEAD_AFTER], r->at - p->first_at) /
			 rto_max;
	if (++p->copies <= bound || p->is_told)
		return;
	p->is_told = true;
	oracle_violation(o, WEFT_I8, r->wr, "PSN %llx sent %u times", (unsigned long long)r->addr,
			 p->copies);
}

/* A PSN stands for one piece of one message for ever. A copy of it without payload tells the receiver
 * that the message was given up; the payload never comes back after that. */
static void check_psn(struct oracle *o, const struct weft_trace_rec *r)
{
	struct oracle_psn *p = psn_find(o, r);
	bool payload = r->status != 0;

	if (!p->used) {
		*p = (struct oracle_psn){
			.used = true,
			.psn = r->addr,
			.epoch = r->imm,
			.from = r->host,
			.to = r->peer,
			.wr = r->wr,
			.off = r->off,
			.value = r->value,
			.path = r->path,
			.payload = payload,
			.first_at = r->at,
		};
		return;
	}
	if (!(r->flags & WEFT_LOSSY_RTX))
		oracle_violation(o, WEFT_I13, r->wr, "PSN %llx used twice",
				 (unsigned long long)r->addr);
	if (payload && (!p->payload || p->wr != r->wr || p->off != r->off || p->value != r->value))
		oracle_violation(o, WEFT_I13, r->wr, "PSN %llx sent again with other bytes",
				 (unsigned long long)r->addr);
	if (p->path == r->path && o->param[WEFT_PARAM_PATHS] > 1)
		oracle_violation(o, WEFT_I8, r->wr, "PSN %llx sent again on the same path %u",
				 (unsigned long long)r->addr, r->path);
	p->path = r->path;
	p->payload = payload;
	check_copies(o, r, p);
}

/* Three round trips after its first loss a sender has had every chance to know. */
static void check_dark_path(struct oracle *o, const struct weft_trace_rec *r)
{
	weft_ns limit = 3 * o->param[WEFT_PARAM_RTT] + o->param[WEFT_PARAM_RTO_MIN];

	if (!o->dark.on || !o->dark.seen_loss || r->host != o->dark.host ||
	    r->peer != o->dark.peer || r->path != o->dark.path || r->flags & WEFT_LOSSY_CONTROL)
		return;
	if (r->at > o->dark.lost_at + limit)
		oracle_violation(o, WEFT_I10, r->wr,
				 "data on dark path %u %llu us after the first loss", r->path,
				 (unsigned long long)((r->at - o->dark.lost_at) / 1000));
}

/* PSNs of an incarnation begin with the sender's epoch. */
static bool is_psn_of(uint64_t psn, uint32_t epoch)
{
	return psn >= epoch && psn - epoch < (uint64_t)1 << 24;
}

/* One epoch, one partner: it is offered to one epoch of the peer only. */
static void on_welcome(struct oracle *o, const struct weft_trace_rec *r)
{
	for (uint32_t i = o->offers; i-- > 0;) {
		const struct oracle_offer *p = &o->offer[i];

		if (p->host != r->host || p->peer != r->peer || p->epoch != r->addr)
			continue;
		if (p->partner == r->imm)
			return;
		oracle_violation(o, WEFT_I13, WEFT_TRACE_NO_WR,
				 "host %u offers epoch %x to %x of host %u, and to %x before",
				 r->host, p->epoch, r->imm, r->peer, p->partner);
		break;
	}
	o->offer[o->offers++] = (struct oracle_offer){
		.host = r->host, .peer = r->peer, .epoch = (uint32_t)r->addr, .partner = r->imm
	};
}

/* Data and probes go out under a pair of epochs that one end has offered to the other. */
static void check_epochs(struct oracle *o, const struct weft_trace_rec *r)
{
	struct oracle_pair *pair = &o->pair[r->host][r->peer];

	if (pair->peer_epoch == r->imm && is_psn_of(r->addr, pair->epoch))
		return;
	for (uint32_t i = o->offers; i-- > 0;) {
		const struct oracle_offer *p = &o->offer[i];
		bool ours = p->host == r->host && p->peer == r->peer;
		uint32_t epoch = ours ? p->epoch : p->partner;
		uint32_t peer_epoch = ours ? p->partner : p->epoch;

		if ((!ours && (p->host != r->peer || p->peer != r->host)) || peer_epoch != r->imm ||
		    !is_psn_of(r->addr, epoch))
			continue;
		pair->epoch = epoch;
		pair->peer_epoch = peer_epoch;
		return;
	}
	oracle_violation(o, WEFT_I13, r->wr,
			 "sends PSN %llx under epoch %x of host %u, which was not offered for it",
			 (unsigned long long)r->addr, r->imm, r->peer);
}

static struct oracle_newest *newest_of(struct oracle *o, uint8_t host, uint8_t peer, uint32_t epoch)
{
	for (uint32_t i = o->newests; i-- > 0;) {
		struct oracle_newest *n = &o->newest[i];

		if (n->host == host && n->peer == peer && n->epoch == epoch)
			return n;
	}
	return NULL;
}

/* Copies count like originals: each ACK tells the whole truth of its time. What an engine with nothing
 * under way makes of one cannot be seen from here. */
static void on_ack(struct oracle *o, const struct weft_trace_rec *r, const struct oracle_frame *f)
{
	const struct oracle_pair *pair = &o->pair[r->host][r->peer];
	struct oracle_newest *n = newest_of(o, r->host, r->peer, f->epoch);

	if (!n) {
		if (o->newests == 2 * o->offers_max)
			return;
		n = &o->newest[o->newests++];
		*n = (struct oracle_newest){ .host = r->host, .peer = r->peer, .epoch = f->epoch };
	}
	if (f->psn <= n->seq)
		return;
	n->seq = f->psn;
	n->credit = f->head & WEFT_PKT_F_CREDIT;
	n->rests = pair->open ? pair->rests : UINT32_MAX;
}

static void check_credit_mode(struct oracle *o, const struct weft_trace_rec *r)
{
	const struct oracle_pair *pair = &o->pair[r->host][r->peer];
	const struct oracle_newest *n = newest_of(o, r->host, r->peer, pair->epoch);

	if (n && pair->open && n->rests == pair->rests && n->credit != (r->flags & 1))
		oracle_violation(o, WEFT_I7, WEFT_TRACE_NO_WR,
				 "host %u sends %s credit to host %u, against ACK %llu", r->host,
				 r->flags & 1 ? "on" : "without", r->peer,
				 (unsigned long long)n->seq);
}

static void on_tx(struct oracle *o, const struct weft_trace_rec *r)
{
	struct oracle_pair *pair = &o->pair[r->host][r->peer];

	o->report->packets++;
	if (r->id < o->frames)
		o->frame[r->id] = (struct oracle_frame){
			.psn = r->addr, .epoch = r->imm, .type = r->op, .head = r->head
		};
	if (r->op == WEFT_PKT_WELCOME)
		on_welcome(o, r);
	if (is_data(r) || r->op == WEFT_PKT_PROBE)
		check_epochs(o, r);
	if (!is_handshake(r->op))
		pair->spoke = true;
	if ((is_data(r) || r->op == WEFT_PKT_PROBE) && !pair->asked_at)
		pair->asked_at = r->at;
	if (!is_data(r))
		return;
	if (!pair->may_send)
		oracle_violation(o, WEFT_I13, r->wr, "data to host %u before its first answer",
				 r->peer);
	if (r->value && o->param[WEFT_PARAM_CRC_HOSTS] >> r->peer & 1 &&
	    !(r->head & WEFT_PKT_F_CRC))
		oracle_violation(o, WEFT_I2, r->wr,
				 "data without the checksum that host %u demands", r->peer);
	o->data_frames++;
	o->data_bytes += r->value;
	if (r->flags & WEFT_LOSSY_RTX) {
		o->rtx_frames++;
		o->rtx_bytes += r->value;
	}
	check_psn(o, r);
	check_dark_path(o, r);
}

static void on_lost(struct oracle *o, const struct weft_trace_rec *r)
{
	/* Nobody answers an ACK: that one is lost cannot be known. */
	if (r->flags & WEFT_LOSSY_CONTROL) {
		o->lost_control++;
		return;
	}
	o->lost_bytes += r->len;
	if (o->dark.on && !o->dark.seen_loss && r->imm == WEFT_LOSSY_BLACKHOLE &&
	    r->host == o->dark.host && r->peer == o->dark.peer && r->path == o->dark.path) {
		o->dark.seen_loss = true;
		o->dark.lost_at = r->at;
	}
}

static void on_rx(struct oracle *o, const struct weft_trace_rec *r)
{
	struct oracle_pair *pair = &o->pair[r->host][r->peer];
	bool original = r->id == r->addr && !(r->flags & WEFT_RX_STRANGER);
	struct oracle_frame none = { 0 }, *f = r->addr < o->frames ? &o->frame[r->addr] : &none;
	uint8_t type = f->type;

	if (r->flags & WEFT_RX_TAMPERED)
		return;
	pair->may_send = true;
	if (type == WEFT_PKT_ACK)
		on_ack(o, r, f);
	/* A HELLO or RESET of the peer's own making answers nothing. What belongs to a context does, but
	 * it may be one that only the peer believes in. */
	if (is_handshake(type) && type != WEFT_PKT_WELCOME)
		return;
	pair->maybe_heard = true;
	if (!original)
		return;
	pair->heard = pair->heard || pair->spoke || type == WEFT_PKT_WELCOME;
	if (oracle_is_silent(o, r->host, r->peer) || oracle_is_unheard(o, r->host, r->peer))
		pair->gap_end = r->at;
	pair->last_rx = r->at;
	o->widowed[WEFT_MIN(r->host, r->peer)][WEFT_MAX(r->host, r->peer)] = false;
	/* Data and probes of the peer show that it lives, but not that it hears us. */
	if (type != WEFT_PKT_ACK && type != WEFT_PKT_WELCOME)
		return;
	pair->last_answer = r->at;
	pair->asked_at = 0;
}

static void on_fault(struct oracle *o, const struct weft_trace_rec *r)
{
	if (r->imm == WEFT_FAULT_CLOCK_JUMP)
		o->host[r->host].jumped += r->addr;
	if (!o->param[WEFT_PARAM_CHECK_PATH] || r->imm != WEFT_LOSSY_BLACKHOLE)
		return;
	o->dark.on = r->value;
	o->dark.seen_loss = false;
	o->dark.host = r->host;
	o->dark.peer = r->peer;
	o->dark.path = r->path;
}

static void on_sample(struct oracle *o, const struct weft_trace_rec *r)
{
	if (r->value > (uint64_t)r->len + r->off)
		oracle_violation(o, WEFT_I7, WEFT_TRACE_NO_WR,
				 "host %u has %u bytes in flight to host %u, window %u", r->host,
				 r->value, r->peer, r->len);
	if (r->flags & 1 && (int64_t)(int32_t)r->key < -(int64_t)r->off)
		oracle_violation(o, WEFT_I7, WEFT_TRACE_NO_WR,
				 "host %u overdrew the credit of host %u: %d", r->host, r->peer,
				 (int)r->key);
	check_credit_mode(o, r);
}

static void on_goodput(struct oracle *o, const struct weft_trace_rec *r)
{
	uint64_t x = r->addr >> 8;

	o->jain[r->host].sum += x;
	o->jain[r->host].squares += x * x;
	o->jain[r->host].n++;
}

bool oracle_on_net(struct oracle *o, const struct weft_trace_rec *r)
{
	switch (r->kind) {
	case WEFT_TRACE_TX:
		on_tx(o, r);
		return true;
	case WEFT_TRACE_LOST:
		on_lost(o, r);
		return true;
	case WEFT_TRACE_RX:
		on_rx(o, r);
		return true;
	case WEFT_TRACE_FAULT:
		on_fault(o, r);
		return true;
	case WEFT_TRACE_SAMPLE:
		on_sample(o, r);
		return true;
	case WEFT_TRACE_GOODPUT:
		on_goodput(o, r);
		return true;
	default:
		return false;
	}
}

static void check_retransmissions(struct oracle *o)
{
	/* A lost ACK may cost the tail probe that asks for the next one. */
	uint64_t payload = o->param[WEFT_PARAM_PAYLOAD_MAX];
	uint64_t bound =
		2 * o->lost_bytes + o->data_bytes / 100 + o->lost_control * payload + 16 * payload;

	if (o->param[WEFT_PARAM_CHECK_RTX] && o->rtx_bytes > bound)
		oracle_violation(o, WEFT_I8, WEFT_TRACE_NO_WR,
				 "%llu bytes retransmitted for %llu lost bytes of data and %llu "
				 "lost control frames",
				 (unsigned long long)o->rtx_bytes,
				 (unsigned long long)o->lost_bytes,
				 (unsigned long long)o->lost_control);
	if (o->param[WEFT_PARAM_CHECK_SPURIOUS] && !o->lost_bytes && !o->lost_control &&
	    o->rtx_frames > o->data_frames / 1000 + 1)
		oracle_violation(o, WEFT_I8, WEFT_TRACE_NO_WR,
				 "%llu of %llu packets sent again though none was lost",
				 (unsigned long long)o->rtx_frames,
				 (unsigned long long)o->data_frames);
}

/* Jain's index, (sum x)^2 / (n sum x^2), in whole numbers. */
static void check_fairness(struct oracle *o, uint32_t host)
{
	uint64_t sum = o->jain[host].sum;
	uint64_t n = o->jain[host].n;

	if (n > 1 && 100 * sum * sum < 95 * n * o->jain[host].squares)
		oracle_violation(
			o, WEFT_I11, WEFT_TRACE_NO_WR,
			"%llu senders to host %u are unequal: Jain index %llu %%",
			(unsigned long long)n, host,
			(unsigned long long)(100 * sum * sum / (n * o->jain[host].squares)));
}

void oracle_net_end(struct oracle *o)
{
	check_retransmissions(o);
	for (uint32_t i = 0; i < ORACLE_HOSTS && o->param[WEFT_PARAM_CHECK_JAIN]; i++)
		check_fairness(o, i);
}
