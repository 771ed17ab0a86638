/* SPDX-License-Identifier: BSD-2-Clause */
/* Work requests: posted, completed, in time, and with a status that the trace explains.
 *
 * "Explained" is decided per request and from the outside. An RNR failure needs as many refused claims as
 * it had tries; a reset needs a peer that restarted or closed after the last proof that the context was
 * good; a death needs a silence in at least one direction that lasted about as long as the timer. What
 * cannot be told apart from outside is allowed; everything else is a violation. */
#include "sim/oracle.h"

#include "base/assert.h"
#include "sim/fault.h"
#include "sim/oracle_state.h"
#include "sim/pattern.h"
#include "srd/proto.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *weft_invariant_name(enum weft_invariant inv)
{
	static const char *const names[WEFT_INVARIANTS] = {
		"I1", "I2", "I3",  "I4",  "I5",  "I6",  "I7",
		"I8", "I9", "I10", "I11", "I12", "I13", "hang",
	};

	return inv < WEFT_INVARIANTS ? names[inv] : "?";
}

void oracle_violation(struct oracle *o, enum weft_invariant inv, uint32_t wr, const char *fmt, ...)
{
	struct weft_violation *v;
	va_list ap;

	if (o->report->count++ >= WEFT_ORACLE_KEEP)
		return;
	v = &o->report->list[o->report->count - 1];
	v->inv = inv;
	v->at = o->now;
	v->wr = wr;
	va_start(ap, fmt);
	vsnprintf(v->text, sizeof(v->text), fmt, ap);
	va_end(ap);
}

struct oracle_wr *oracle_wr_get(struct oracle *o, uint32_t wr)
{
	return wr < o->wrs && o->wr[wr].posted ? &o->wr[wr] : NULL;
}

struct oracle_qp *oracle_qp_get(struct oracle *o, uint8_t host, uint16_t qpn)
{
	struct oracle_host *h = &o->host[host];

	for (uint32_t i = h->qps; i-- > 0;)
		if (h->qp[i].qpn == qpn)
			return &h->qp[i];
	return NULL;
}

static bool is_over(weft_ns now, weft_ns since, uint64_t span)
{
	return now > since && now - since >= span;
}

/* The shortest silence that may count as death. */
static uint64_t dead_span(const struct oracle *o, uint8_t a, uint8_t b)
{
	/* An eighth of tolerance: clocks drift, and timers count from sends rather than arrivals. */
	uint64_t span = o->param[WEFT_PARAM_DEAD_AFTER] / 8 * 7;
	uint64_t jumped = WEFT_MAX(o->host[a].jumped, o->host[b].jumped);

	return span - WEFT_MIN(span, jumped);
}

bool oracle_is_silent(const struct oracle *o, uint8_t a, uint8_t b)
{
	uint64_t span = dead_span(o, a, b);
	weft_ns since = o->busy_since[WEFT_MIN(a, b)][WEFT_MAX(a, b)];

	if (!o->busy[WEFT_MIN(a, b)][WEFT_MAX(a, b)] && !o->widowed[WEFT_MIN(a, b)][WEFT_MAX(a, b)])
		return false;
	return is_over(o->now, WEFT_MAX(o->pair[a][b].last_answer, since), span) ||
	       is_over(o->now, WEFT_MAX(o->pair[b][a].last_rx, since), span);
}

bool oracle_is_unheard(const struct oracle *o, uint8_t a, uint8_t b)
{
	weft_ns since = o->pair[a][b].asked_at;

	return since && is_over(o->now, since, dead_span(o, a, b));
}

static void busy_add(struct oracle *o, struct oracle_wr *w)
{
	struct oracle_host *a = &o->host[w->host], *b = &o->host[w->peer];
	uint8_t lo = WEFT_MIN(w->host, w->peer), hi = WEFT_MAX(w->host, w->peer);

	if (!o->busy[lo][hi]++ && !o->widowed[lo][hi])
		o->busy_since[lo][hi] = o->now;
	w->lonely = !a->open && !b->open && o->pair[w->host][w->peer].proof_at;
	a->open++;
	b->open++;
	w->posts = ++a->posts + ++b->posts;
	o->pair[w->host][w->peer].open++;
}

static void busy_drop(struct oracle *o, const struct oracle_wr *w)
{
	uint8_t lo = WEFT_MIN(w->host, w->peer), hi = WEFT_MAX(w->host, w->peer);

	/* The silence that this completion ends counts for later ones of the pair as well. */
	if (oracle_is_silent(o, w->host, w->peer))
		o->pair[lo][hi].gap_end = o->pair[hi][lo].gap_end = o->now;
	o->busy[lo][hi]--;
	if (!--o->pair[w->host][w->peer].open)
		o->pair[w->host][w->peer].rests++;
	o->host[lo].open--;
	o->host[hi].open--;
}

static void on_post(struct oracle *o, const struct weft_trace_rec *r)
{
	struct oracle_wr *w = &o->wr[r->wr];

	if (w->posted) {
		oracle_violation(o, WEFT_I3, r->wr, "posted twice: the simulator is wrong");
		return;
	}
	*w = (struct oracle_wr){
		.posted = true,
		.posted_at = r->at,
		.addr = r->addr,
		.len = r->len,
		.key = r->key,
		.imm = r->imm,
		.rnr_retry = r->value,
		.inc = o->host[r->host].inc,
		.qpn = r->qpn,
		.peer_qpn = r->peer_qpn,
		.flags = r->flags,
		.host = r->host,
		.peer = r->peer,
		.op = r->op,
	};
	o->report->messages++;
	busy_add(o, w);
	if ((w->op == WEFT_SRD_WRITE || w->op == WEFT_SRD_WRITE_IMM) &&
	    !(w->flags & WEFT_WR_BAD_KEY))
		oracle_wr_index(o, r->wr);
}

/* May the local side have given the request up? */
static bool explains_flush(struct oracle *o, const struct oracle_wr *w)
{
	struct oracle_qp *qp = oracle_qp_get(o, w->host, w->qpn);

	return o->host[w->host].closing || (qp && qp->gone_at != WEFT_NS_NEVER);
}

static bool explains_address(struct oracle *o, const struct oracle_wr *w)
{
	struct oracle_key *key = oracle_key_get(o, w->key);

	if (w->op < WEFT_SRD_WRITE)
		return false;
	if (w->flags & WEFT_WR_BAD_KEY)
		return true;
	return !key || key->dereg_at != WEFT_NS_NEVER || key->inc != o->host[w->peer].inc;
}

static bool explains_abort(struct oracle *o, const struct oracle_wr *w)
{
	const struct oracle_pair *pair = &o->pair[w->host][w->peer];
	const struct oracle_pair *back = &o->pair[w->peer][w->host];

	if (o->param[WEFT_PARAM_FORGETFUL])
		return true;
	if (o->host[w->peer].changed_at > pair->proof_at)
		return true;
	/* Either end was told that the other is not there, and gave the context up. */
	if (pair->told_at > pair->proof_at || back->told_at > pair->proof_at)
		return true;
	/* Our own former life: the peer may yet take its packets for ours, until both have agreed. */
	if (o->host[w->host].inc > 1 && !pair->proof_at)
		return true;
	/* The peer may have taken us for dead and dropped the context; even after all our requests were
	 * done, when it is the last answer to a READ that it has no word of. */
	return back->gap_end > pair->proof_at || pair->gap_end > pair->proof_at ||
	       oracle_is_silent(o, w->host, w->peer) || oracle_is_unheard(o, w->peer, w->host);
}

static bool explains_qpn(struct oracle *o, const struct oracle_wr *w)
{
	struct oracle_qp *qp = oracle_qp_get(o, w->peer, w->peer_qpn);

	if (w->flags & WEFT_WR_BAD_QPN || !qp)
		return true;
	return qp->gone_at != WEFT_NS_NEVER || qp->in_error || qp->inc != o->host[w->peer].inc ||
	       (qp->error_at != WEFT_NS_NEVER && qp->error_at >= w->posted_at);
}

/* 13 is for a peer that answered before, 15 for one that never did. After a failure the context may be a
 * new one, whose history cannot be seen from here. */
static bool explains_death(struct oracle *o, const struct oracle_wr *w, uint8_t status)
{
	const struct oracle_pair *pair = &o->pair[w->host][w->peer];

	/* A peer without a block for us drops what we send: as good as dead. */
	if (o->param[WEFT_PARAM_FORGETFUL])
		return true;
	if (!oracle_is_silent(o, w->host, w->peer))
		return false;
	if (pair->lost || o->host[w->peer].changed_at > o->host[w->host].up_at)
		return true;
	if (status == WEFT_SRD_UNRESPONSIVE)
		return pair->maybe_heard;
	/* What a restarted host hears may have been meant for its former life. */
	return !pair->heard || o->host[w->host].inc > 1;
}

static bool is_explained(struct oracle *o, const struct oracle_wr *w, uint8_t status)
{
	switch (status) {
	case WEFT_SRD_FLUSHED:
		return explains_flush(o, w);
	case WEFT_SRD_INVALID_LKEY:
		return w->flags & WEFT_WR_REFUSED;
	case WEFT_SRD_REMOTE_ADDRESS:
		return explains_address(o, w);
	case WEFT_SRD_ABORT:
		return explains_abort(o, w);
	case WEFT_SRD_REMOTE_QPN:
		return explains_qpn(o, w);
	case WEFT_SRD_RNR:
		return w->op != WEFT_SRD_WRITE && w->op != WEFT_SRD_READ && w->rnr_retry < 7 &&
		       w->rnr_claims > w->rnr_retry;
	case WEFT_SRD_REMOTE_LENGTH:
		return w->length_claims > 0;
	case WEFT_SRD_UNRESPONSIVE:
	case WEFT_SRD_UNREACHABLE:
		return explains_death(o, w, status);
	default:
		return false;
	}
}

/* What is ordered happens at once, and has one outcome: the status that the owner named, or what the word
 * "nobody is there" means to a request of which something has left (8) or nothing has (9). */
static void check_order(struct oracle *o, const struct oracle_wr *w, uint32_t n, uint8_t status)
{
	if (w->ordered_at < o->now)
		oracle_violation(o, WEFT_I3, n, "completed %llu us after its end was ordered",
				 (unsigned long long)((o->now - w->ordered_at) / 1000));
	if (w->cancelled ? status == w->cancel_status
			 : status == WEFT_SRD_ABORT || (status == WEFT_SRD_REMOTE_QPN && !w->left))
		return;
	oracle_violation(o, WEFT_I4, n, "status %u, but its end was ordered", status);
}

static bool is_refusal(uint8_t status)
{
	return status == WEFT_SRD_REMOTE_ADDRESS || status == WEFT_SRD_REMOTE_QPN ||
	       status == WEFT_SRD_RNR || status == WEFT_SRD_REMOTE_LENGTH;
}

static void check_error(struct oracle *o, const struct oracle_wr *w, uint32_t n, uint8_t status)
{
	uint64_t faulty = o->param[WEFT_PARAM_FAULTY_HOSTS];
	uint16_t own = WEFT_WR_BAD_KEY | WEFT_WR_BAD_QPN | WEFT_WR_REFUSED;

	if (w->flags & WEFT_WR_MUST) {
		oracle_violation(o, WEFT_I9, n, "status %u though everything works", status);
		return;
	}
	if (!(w->flags & own) && !(faulty >> w->host & 1) && !(faulty >> w->peer & 1)) {
		oracle_violation(o, WEFT_I6, n, "status %u between hosts that no fault touches",
				 status);
		return;
	}
	if (!is_explained(o, w, status))
		oracle_violation(o, WEFT_I4, n, "status %u without a cause", status);
}

static void check_write_bytes(struct oracle *o, const struct oracle_wr *w,
			      const struct weft_trace_rec *r)
{
	const struct oracle_key *key = oracle_key_get(o, w->key);
	uint64_t want = weft_sim_fill_hash(weft_sim_wr_stream(r->wr), 0, w->len);

	if (key && key->inc == o->host[w->peer].inc && r->hash == want)
		return;
	/* The target crashed after it had accepted everything, and its memory is not what it was. */
	if (w->has_snapshot && w->snapshot == want)
		return;
	oracle_violation(o, WEFT_I2, r->wr, "success, but the target's memory is not equal");
}

static void check_read_bytes(struct oracle *o, const struct oracle_wr *w,
			     const struct weft_trace_rec *r)
{
	const struct oracle_key *key = oracle_key_get(o, w->key);

	if (!key ||
	    r->hash != weft_sim_fill_hash(weft_sim_mem_stream(w->key), w->addr - key->addr, w->len))
		oracle_violation(o, WEFT_I2, r->wr, "success, but what was read is not equal");
}

static void check_success(struct oracle *o, struct oracle_wr *w, const struct weft_trace_rec *r)
{
	if (w->flags & (WEFT_WR_BAD_KEY | WEFT_WR_BAD_QPN | WEFT_WR_REFUSED))
		oracle_violation(o, WEFT_I4, r->wr, "success of a request that had to be refused");
	if (w->op != WEFT_SRD_WRITE && w->op != WEFT_SRD_READ && w->delivered != 1)
		oracle_violation(o, WEFT_I2, r->wr, "success, but delivered %u times",
				 w->delivered);
	if (w->op == WEFT_SRD_WRITE || w->op == WEFT_SRD_WRITE_IMM)
		check_write_bytes(o, w, r);
	if (w->op == WEFT_SRD_READ)
		check_read_bytes(o, w, r);
	o->pair[w->host][w->peer].proof_at =
		WEFT_MAX(o->pair[w->host][w->peer].proof_at, w->posted_at);
}

/* Waiting for a receiver that may never be ready again is what rnr_retry 7 means; and whoever comes
 * later between the same two QPs may be made to wait behind. */
static bool may_wait(const struct oracle *o, const struct oracle_wr *w)
{
	if (o->healed)
		return false;
	for (uint32_t i = 0; i < o->wrs; i++) {
		const struct oracle_wr *v = &o->wr[i];

		if (!v->posted || v->orphan || v->rnr_retry < 7 || !v->rnr_claims ||
		    v->peer != w->peer)
			continue;
		if (o->param[WEFT_PARAM_SCARCE] ||
		    (v->host == w->host && v->qpn == w->qpn && v->peer_qpn == w->peer_qpn))
			return true;
	}
	return false;
}

/* One round trip and a little for the ends: whoever asks for an answer gets it at once. */
static void check_latency(struct oracle *o, const struct oracle_wr *w, uint32_t n)
{
	weft_ns limit = o->param[WEFT_PARAM_RTT] + WEFT_US(5);
	uint32_t posts = o->host[w->host].posts + o->host[w->peer].posts;

	if (!o->param[WEFT_PARAM_CHECK_LATENCY] || !w->lonely || posts != w->posts ||
	    w->op == WEFT_SRD_READ || w->len > o->param[WEFT_PARAM_PAYLOAD_MIN])
		return;
	if (o->now - w->posted_at > limit)
		oracle_violation(o, WEFT_I3, n, "took %llu ns with nothing else under way",
				 (unsigned long long)(o->now - w->posted_at));
}

static void check_time(struct oracle *o, const struct oracle_wr *w, uint32_t n)
{
	weft_ns since = WEFT_MAX(w->posted_at, o->healed_at);

	if (!o->healed && o->now - since > o->param[WEFT_PARAM_WR_BOUND] && !may_wait(o, w))
		oracle_violation(o, WEFT_I3, n, "took %llu us",
				 (unsigned long long)((o->now - since) / 1000));
	if (o->healed && o->now - since > o->param[WEFT_PARAM_HEAL_BOUND])
		oracle_violation(o, WEFT_I9, n, "took %llu us after healing",
				 (unsigned long long)((o->now - since) / 1000));
}

/* The application has the buffers again when its QP is gone, or its engine has begun to close. */
static void check_end(struct oracle *o, const struct oracle_wr *w, uint32_t n)
{
	const struct oracle_qp *qp = oracle_qp_get(o, w->host, w->qpn);
	const struct oracle_host *h = &o->host[w->host];

	if (qp && qp->gone_at < o->now)
		oracle_violation(o, WEFT_I3, n, "completed %llu us after its QP was gone",
				 (unsigned long long)((o->now - qp->gone_at) / 1000));
	if (h->closing && h->changed_at < o->now)
		oracle_violation(o, WEFT_I3, n, "completed %llu us after the close began",
				 (unsigned long long)((o->now - h->changed_at) / 1000));
}

static void on_complete(struct oracle *o, const struct weft_trace_rec *r)
{
	struct oracle_wr *w = oracle_wr_get(o, r->wr);

	if (!w || w->host != r->host || w->inc != o->host[r->host].inc || w->orphan) {
		oracle_violation(o, WEFT_I3, r->wr, "completion of a request that is not there");
		return;
	}
	if (w->done) {
		oracle_violation(o, WEFT_I3, r->wr, "completed twice, status %u then %u", w->status,
				 r->status);
		return;
	}
	if (w->cancelled || w->told)
		check_order(o, w, r->wr, r->status);
	else if (r->status == WEFT_SRD_OK)
		check_success(o, w, r);
	else
		check_error(o, w, r->wr, r->status);
	if (!w->cancelled && is_refusal(r->status) && w->delivered)
		oracle_violation(o, WEFT_I4, r->wr, "status %u, but it was delivered", r->status);
	check_time(o, w, r->wr);
	check_end(o, w, r->wr);
	check_latency(o, w, r->wr);
	if (r->status == WEFT_SRD_ABORT || r->status == WEFT_SRD_UNRESPONSIVE ||
	    r->status == WEFT_SRD_UNREACHABLE)
		o->pair[w->host][w->peer].lost = true;
	busy_drop(o, w);
	/* Over for the application; its remains may be under way for a while. */
	if (r->status != WEFT_SRD_OK)
		o->widowed[WEFT_MIN(w->host, w->peer)][WEFT_MAX(w->host, w->peer)] = true;
	w->done = true;
	w->done_at = r->at;
	w->status = r->status;
}

static bool is_open(const struct oracle_wr *w)
{
	return w->posted && !w->done && !w->orphan;
}

static void on_cancel(struct oracle *o, const struct weft_trace_rec *r)
{
	struct oracle_wr *w = oracle_wr_get(o, r->wr);

	if (!w || !is_open(w) || w->host != r->host || w->inc != o->host[r->host].inc)
		return;
	w->cancelled = true;
	w->cancel_status = r->status;
	w->ordered_at = o->now;
}

static void on_nobody(struct oracle *o, const struct weft_trace_rec *r)
{
	uint64_t faulty = o->param[WEFT_PARAM_FAULTY_HOSTS];

	o->pair[r->host][r->peer].told_at = o->now;
	for (uint32_t i = 0; i < o->wrs; i++) {
		struct oracle_wr *w = &o->wr[i];

		if (!is_open(w) || w->host != r->host || w->peer != r->peer)
			continue;
		w->told = true;
		w->ordered_at = o->now;
		if (!(faulty >> w->host & 1) && !(faulty >> w->peer & 1))
			oracle_violation(o, WEFT_I6, i,
					 "ended by the network, and no fault touches it");
	}
}

static void check_all_done(struct oracle *o, enum weft_invariant inv, const char *when, bool may)
{
	for (uint32_t i = 0; i < o->wrs; i++)
		if (is_open(&o->wr[i]) &&
		    (o->wr[i].cancelled || o->wr[i].told || !may || !may_wait(o, &o->wr[i])))
			oracle_violation(
				o, inv, i, "not completed %s; posted %llu us before", when,
				(unsigned long long)((o->now - o->wr[i].posted_at) / 1000));
}

static void on_mark(struct oracle *o, const struct weft_trace_rec *r)
{
	switch (r->imm) {
	case WEFT_MARK_HEALED:
		o->healed = true;
		o->healed_at = r->at;
		return;
	case WEFT_MARK_SETTLED:
		check_all_done(o, o->healed ? WEFT_I9 : WEFT_I3, "in time", true);
		return;
	case WEFT_MARK_QUIET:
		o->quiet = true;
		for (uint64_t i = 0; i < o->recvs; i++) {
			const struct oracle_recv *v = &o->recv[i];

			if (v->state == ORACLE_RECV_CLAIMED && o->host[v->host].up &&
			    v->inc == o->host[v->host].inc)
				oracle_violation(
					o, WEFT_I5, v->wr,
					"claimed a receive and neither filled nor released it");
		}
		return;
	case WEFT_MARK_END:
		check_all_done(o, WEFT_I3, "at the end", false);
		for (uint32_t i = 0; i < ORACLE_HOSTS; i++)
			if (o->host[i].up && o->host[i].closing)
				oracle_violation(o, WEFT_I3, WEFT_TRACE_NO_WR,
						 "the close of host %u does not end", i);
		oracle_net_end(o);
		return;
	default:
		return;
	}
}

static void orphan_all(struct oracle *o, uint8_t host)
{
	for (uint32_t i = 0; i < o->wrs; i++) {
		struct oracle_wr *w = &o->wr[i];

		if (w->host != host || !is_open(w))
			continue;
		w->orphan = true;
		busy_drop(o, w);
		/* The other end may be in the middle of it, and has been waiting since. */
		o->widowed[WEFT_MIN(w->host, w->peer)][WEFT_MAX(w->host, w->peer)] = true;
	}
}

static void forget_pairs(struct oracle *o, uint8_t host)
{
	for (uint32_t i = 0; i < ORACLE_HOSTS; i++)
		o->pair[host][i] = (struct oracle_pair){ 0 };
}

static void on_close_end(struct oracle *o, uint8_t host)
{
	for (uint32_t i = 0; i < o->wrs; i++)
		if (o->wr[i].host == host && is_open(&o->wr[i]))
			oracle_violation(o, WEFT_I3, i, "not completed by an orderly close");
	orphan_all(o, host);
	o->host[host].up = false;
}

static void on_qp_up(struct oracle *o, const struct weft_trace_rec *r)
{
	struct oracle_host *h = &o->host[r->host];

	weft_assert(h->qps < ORACLE_QPS);
	h->qp[h->qps++] = (struct oracle_qp){
		.qpn = r->qpn,
		.inc = h->inc,
		.gone_at = WEFT_NS_NEVER,
		.error_at = WEFT_NS_NEVER,
	};
}

static void on_qp_error(struct oracle *o, const struct weft_trace_rec *r)
{
	struct oracle_qp *qp = oracle_qp_get(o, r->host, r->qpn);

	if (!qp)
		return;
	qp->in_error = r->value;
	if (!r->value)
		qp->error_at = r->at;
}

static bool on_host(struct oracle *o, const struct weft_trace_rec *r)
{
	struct oracle_host *h = &o->host[r->host % ORACLE_HOSTS];
	struct oracle_qp *qp;

	switch (r->kind) {
	case WEFT_TRACE_HOST_UP:
		h->inc = r->value;
		h->up = true;
		h->closing = false;
		h->up_at = r->at;
		if (r->value > 1)
			h->changed_at = r->at;
		forget_pairs(o, r->host);
		return true;
	case WEFT_TRACE_HOST_DOWN:
		h->up = false;
		h->changed_at = r->at;
		orphan_all(o, r->host);
		return true;
	case WEFT_TRACE_CLOSE_BEGIN:
		h->closing = true;
		h->changed_at = r->at;
		return true;
	case WEFT_TRACE_CLOSE_END:
		on_close_end(o, r->host);
		return true;
	case WEFT_TRACE_QP_UP:
		on_qp_up(o, r);
		return true;
	case WEFT_TRACE_QP_GONE:
		qp = oracle_qp_get(o, r->host, r->qpn);
		if (qp)
			qp->gone_at = r->at;
		return true;
	case WEFT_TRACE_QP_ERROR:
		on_qp_error(o, r);
		return true;
	default:
		return false;
	}
}

static void check_usage(struct oracle *o, const struct weft_trace_rec *r)
{
	if (!o->quiet)
		return;
	/* A request that may wait for ever keeps its state, on both sides. */
	for (uint32_t i = 0; i < o->wrs; i++)
		if (is_open(&o->wr[i]) && (o->wr[i].host == r->host || o->wr[i].peer == r->host))
			return;
	if (r->wr || r->len || r->off || r->key || r->imm || r->value || r->addr)
		oracle_violation(o, WEFT_I12, WEFT_TRACE_NO_WR,
				 "host %u idle, but active %u msgs %u reads %u rx_msgs %u chunks "
				 "%u pieces %u timers %u",
				 r->host, r->wr, r->len, r->off, r->key, r->imm, r->value,
				 (unsigned int)r->addr);
}

static void on_stuck(struct oracle *o, const struct weft_trace_rec *r)
{
	static const char *const texts[] = {
		"too many events: something goes round in circles",
		"on_timer leaves a deadline that has passed",
		"next_packet does not end",
		"requests are refused for ever",
	};

	oracle_violation(o, WEFT_HANG, WEFT_TRACE_NO_WR, "host %u: %s", r->host,
			 texts[WEFT_MIN(r->value, WEFT_ARRAY_SIZE(texts) - 1)]);
}

static void on_record(struct oracle *o, const struct weft_trace_rec *r)
{
	o->now = r->at;
	if (r->host >= ORACLE_HOSTS || r->peer >= ORACLE_HOSTS)
		return;
	switch (r->kind) {
	case WEFT_TRACE_PARAM:
		if (r->imm < WEFT_PARAM_COUNT)
			o->param[r->imm] = r->addr;
		return;
	case WEFT_TRACE_MARK:
		on_mark(o, r);
		return;
	case WEFT_TRACE_POST:
		on_post(o, r);
		return;
	case WEFT_TRACE_COMPLETE:
		on_complete(o, r);
		return;
	case WEFT_TRACE_USAGE:
		check_usage(o, r);
		return;
	case WEFT_TRACE_STUCK:
		on_stuck(o, r);
		return;
	case WEFT_TRACE_CANCEL:
		on_cancel(o, r);
		return;
	case WEFT_TRACE_NOBODY:
		on_nobody(o, r);
		return;
	default:
		if (!on_host(o, r) && !oracle_on_mem(o, r))
			oracle_on_net(o, r);
		return;
	}
}

static void *zalloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	weft_assert(p);
	return p;
}

/* One look ahead tells how large the tables have to be. */
static void measure(struct oracle *o, const struct weft_trace *t)
{
	uint32_t data = 0;

	for (size_t i = 0; i < t->len; i++) {
		const struct weft_trace_rec *r = &t->recs[i];

		if (r->kind == WEFT_TRACE_POST)
			o->wrs = WEFT_MAX(o->wrs, r->wr + 1);
		if (r->kind == WEFT_TRACE_RECV_POST)
			o->recvs = WEFT_MAX(o->recvs, r->id + 1);
		if (r->kind == WEFT_TRACE_MR_REG && r->key >= ORACLE_KEY_BASE)
			o->keys = WEFT_MAX(o->keys, r->key - ORACLE_KEY_BASE + 1);
		if (r->kind == WEFT_TRACE_TX) {
			o->frames = WEFT_MAX(o->frames, r->id + 1);
			o->offers_max += r->op == WEFT_PKT_WELCOME;
			data++;
		}
	}
	for (o->psn_mask = 1; o->psn_mask < 2 * data; o->psn_mask *= 2)
		;
	for (o->by_addr_mask = 1; o->by_addr_mask < 2 * o->wrs; o->by_addr_mask *= 2)
		;
	o->wr = zalloc(o->wrs, sizeof(*o->wr));
	o->recv = zalloc(o->recvs, sizeof(*o->recv));
	o->key = zalloc(o->keys, sizeof(*o->key));
	o->frame = zalloc(o->frames, sizeof(*o->frame));
	o->offer = zalloc(o->offers_max, sizeof(*o->offer));
	o->newest = zalloc(2 * o->offers_max, sizeof(*o->newest));
	o->psn = zalloc(o->psn_mask, sizeof(*o->psn));
	o->by_addr = zalloc(o->by_addr_mask, sizeof(*o->by_addr));
	for (uint32_t i = 0; i < o->by_addr_mask; i++)
		o->by_addr[i] = ORACLE_NIL;
	o->psn_mask--;
	o->by_addr_mask--;
}

void weft_oracle_check(const struct weft_trace *trace, struct weft_oracle_report *report_out)
{
	struct oracle *o = zalloc(1, sizeof(*o));

	*report_out = (struct weft_oracle_report){ 0 };
	o->report = report_out;
	o->param[WEFT_PARAM_FAULTY_HOSTS] = UINT64_MAX;
	measure(o, trace);
	for (size_t i = 0; i < trace->len; i++)
		on_record(o, &trace->recs[i]);
	free(o->wr);
	free(o->recv);
	free(o->key);
	free(o->frame);
	free(o->offer);
	free(o->newest);
	free(o->psn);
	free(o->by_addr);
	free(o);
}
