/* SPDX-License-Identifier: BSD-2-Clause */
/* One simulated host: an engine, its clock, its socket, and the application that posts work requests.
 *
 * A host runs only when it is serviced: because a frame came, a timer is due, or there is something to
 * post. Service reads the socket, lets the timer run, posts what waits, and sends what the engine has.
 * Stalls, late polling and a refusing socket are all ways of not doing one of these for a while. */
#include "sim/run.h"

#include "base/assert.h"
#include "sim/pattern.h"
#include "srd/proto.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DRAIN_MAX 200000u /* Packets in one go; no window is that large. */
#define SPIN_MAX  1000u /* Timer calls at one and the same time. */

/* Clocks: host time = offset + virtual time * (1 + drift). Whole numbers only. */

static weft_ns to_host(const struct weft_run_host *h, weft_ns at)
{
	int64_t skew = (int64_t)(at / 1000u) * h->drift_ppm / 1000;

	return h->clock_offset + at + (weft_ns)skew;
}

weft_ns weft_host_clock(const struct weft_run_host *h)
{
	return to_host(h, h->run->evq.now);
}

/* The first virtual time at which the host's clock shows `at` or more. */
static weft_ns to_virtual(const struct weft_run_host *h, weft_ns at)
{
	weft_ns now = h->run->evq.now;
	weft_ns lo = now, hi;

	if (at == WEFT_NS_NEVER)
		return WEFT_NS_NEVER;
	if (at <= to_host(h, now))
		return now;
	if (!h->drift_ppm)
		return at - h->clock_offset;
	for (hi = now + 1; to_host(h, hi) < at; hi = now + 2 * (hi - now))
		;
	while (lo + 1 < hi) {
		weft_ns mid = lo + (hi - lo) / 2;

		if (to_host(h, mid) < at)
			lo = mid;
		else
			hi = mid;
	}
	return hi;
}

void weft_host_wake(struct weft_run_host *h, weft_ns at)
{
	if (at == WEFT_NS_NEVER)
		return;
	/* A host that polls does nothing between its polls. */
	if (h->poll)
		at = (at + h->poll - 1) / h->poll * h->poll;
	at = WEFT_MAX(at, h->run->evq.now);
	if (at >= h->wake_at)
		return;
	h->wake_at = at;
	weft_evq_push(&h->run->evq, at, WEFT_RUN_EV_SERVICE, h->index, 0, NULL);
}

static void start_engine(struct weft_run_host *h)
{
	struct weft_srd_cfg cfg = h->cfg->srd;
	const char *why = "";
	size_t size;

	/* Another life, other epochs: unrelated to the ones before. */
	cfg.seed = weft_prng_next(&(struct weft_prng){ cfg.seed ^ (uint64_t)h->inc << 32 });
	weft_assert(weft_srd_cfg_check(&cfg, &why) == 0);
	size = (weft_srd_size(&cfg) + 63) & ~(size_t)63;
	h->mem = aligned_alloc(64, size);
	weft_assert(h->mem);
	/* Not zero: an engine that forgets to initialise something shall notice. */
	memset(h->mem, 0xa5, size);
	h->srd = weft_srd_init(h->mem, &cfg, &weft_hostmem_ops, h, weft_host_clock(h));
}

void weft_host_up(struct weft_run_host *h)
{
	h->inc++;
	h->up = true;
	h->closing = false;
	h->crash_now = false;
	h->wake_at = WEFT_NS_NEVER;
	h->stalled_until = h->tx_blocked_until = 0;
	memset(h->peer_held, 0, sizeof(h->peer_held));
	memset(h->peer_open, 0, sizeof(h->peer_open));
	start_engine(h);
	weft_run_trace(h->run, (struct weft_trace_rec){ .kind = WEFT_TRACE_HOST_UP,
							.host = h->index,
							.value = h->inc });
	weft_hostmem_up(h);
	weft_host_wake(h, h->run->evq.now);
}

static void drop_socket(struct weft_run_host *h)
{
	for (uint32_t i = 0; i < h->socket_len; i++)
		weft_lossy_frame_free(h->socket[i]);
	h->socket_len = 0;
}

/* The engine is gone. What was posted is nobody's any more. */
void weft_host_down(struct weft_run_host *h)
{
	struct weft_run *run = h->run;

	for (uint32_t i = 0; i < run->wrs; i++) {
		struct weft_run_wr *w = &run->wr[i];

		if (w->state == WEFT_RUN_WR_POSTED && weft_run_plan(run, i)->host == h->index) {
			w->state = WEFT_RUN_WR_ORPHAN;
			run->open--;
		}
	}
	weft_hostmem_down(h);
	drop_socket(h);
	free(h->mem);
	h->mem = NULL;
	h->srd = NULL;
	h->up = h->closing = false;
	h->wake_at = WEFT_NS_NEVER;
}

void weft_host_fini(struct weft_run_host *h)
{
	if (h->mem)
		weft_host_down(h);
	free(h->socket);
	free(h->waiting);
}

/* Posting */

static void *grow(void *list, uint32_t *cap, uint32_t len, size_t size)
{
	if (len < *cap)
		return list;
	*cap = *cap ? 2 * *cap : 64;
	list = realloc(list, *cap * size);
	weft_assert(list);
	return list;
}

void weft_host_want(struct weft_run_host *h, uint32_t wr)
{
	h->waiting = grow(h->waiting, &h->waiting_cap, h->waiting_len, sizeof(*h->waiting));
	h->waiting[h->waiting_len++] = wr;
	h->run->wr[wr].state = WEFT_RUN_WR_WAITING;
	h->run->waiting++;
	if (h->up)
		weft_host_wake(h, h->run->evq.now);
}

/* The engine's handle for a peer. When there are no more, idle peers are let go for a next try. */
static int hold_peer(struct weft_run_host *h, uint8_t peer)
{
	int rc;

	if (h->peer_held[peer])
		return 0;
	rc = weft_srd_peer_get(h->srd, &h->run->host[peer].cfg->srd.gid, &h->peer[peer]);
	h->peer_held[peer] = rc == 0;
	for (uint8_t i = 0; rc && i < h->run->s->hosts; i++) {
		if (!h->peer_held[i] || h->peer_open[i])
			continue;
		weft_srd_peer_put(h->srd, h->peer[i]);
		h->peer_held[i] = false;
		h->run->hits[WEFT_FAULT_POOL_CONTEXTS]++;
	}
	return rc;
}

static void count_refusal(struct weft_run_host *h, int rc)
{
	if (rc == -EAGAIN && !h->closing)
		h->run->hits[h->run->s->on[WEFT_FAULT_POOL_MSGS] ? WEFT_FAULT_POOL_MSGS
								 : WEFT_FAULT_POOL_ACTIVE]++;
}

/* Wrong in one of the ways in which an address can be wrong. */
static void spoil_address(struct weft_run *run, uint32_t wr, struct weft_srd_wr *req)
{
	const struct weft_run_mr *mr = run->host[weft_run_plan(run, wr)->peer].mr;
	bool is_read = req->op == WEFT_SRD_READ;

	run->hits[WEFT_FAULT_BAD_KEY]++;
	switch (wr % 3) {
	case 0: /* No such key. */
		req->key = 0xdead0000u | wr;
		break;
	case 1: /* Beyond the end, if only by a byte. */
		req->addr = mr[is_read ? WEFT_SIM_MRS / 2 : 0].addr +
			    mr[is_read ? WEFT_SIM_MRS / 2 : 0].len - req->len + 1 + wr;
		req->key = mr[is_read ? WEFT_SIM_MRS / 2 : 0].key;
		break;
	default: /* A region that may not be accessed so. */
		req->addr = mr[is_read ? 0 : WEFT_SIM_MRS / 2].addr;
		req->key = mr[is_read ? 0 : WEFT_SIM_MRS / 2].key;
		break;
	}
}

/* The request as the application would write it now, knowing the peer's present keys and QPs. */
static struct weft_srd_wr request(struct weft_run_host *h, uint32_t wr)
{
	const struct weft_sim_wr_plan *p = weft_run_plan(h->run, wr);
	const struct weft_run_host *peer = &h->run->host[p->peer];
	struct weft_srd_wr req = {
		.cookie = wr,
		.peer = h->peer[p->peer],
		.op = (enum weft_srd_op)p->op,
		.src_qpn = h->qp[p->qp].qpn,
		.dst_qpn = peer->qp[p->peer_qp].qpn,
		.imm = wr,
		.len = p->len,
		.rnr_retry = p->rnr_retry,
		.key = 0x51000000u | wr,
	};

	if (p->op >= WEFT_SRD_WRITE) {
		req.key = peer->mr[p->mr].key;
		req.addr = peer->mr[p->mr].addr + p->mr_off;
	}
	if (p->flags & WEFT_WR_BAD_KEY)
		spoil_address(h->run, wr, &req);
	if (p->flags & WEFT_WR_BAD_QPN) {
		h->run->hits[WEFT_FAULT_BAD_QPN]++;
		if (p->op <= WEFT_SRD_SEND_IMM && wr % 2)
			req.key = 0x66000000u | wr; /* A wrong qkey. */
		else
			req.dst_qpn = (uint16_t)(0xfff0u - wr % 16);
	}
	return req;
}

static void trace_post(struct weft_run_host *h, const struct weft_srd_wr *req)
{
	const struct weft_sim_wr_plan *p = weft_run_plan(h->run, (uint32_t)req->cookie);

	weft_run_trace(h->run, (struct weft_trace_rec){ .kind = WEFT_TRACE_POST,
							.host = h->index,
							.peer = p->peer,
							.wr = (uint32_t)req->cookie,
							.op = (uint8_t)req->op,
							.len = req->len,
							.qpn = req->src_qpn,
							.peer_qpn = req->dst_qpn,
							.key = req->key,
							.addr = req->addr,
							.imm = req->imm,
							.value = req->rnr_retry,
							.flags = p->flags });
}

/* 0, or the engine's refusal: try again later. */
static int post(struct weft_run_host *h, uint32_t wr)
{
	const struct weft_sim_wr_plan *p = weft_run_plan(h->run, wr);
	struct weft_run_wr *w = &h->run->wr[wr];
	struct weft_srd_wr req;
	int rc = hold_peer(h, p->peer);

	if (rc)
		return rc;
	req = request(h, wr);
	if (p->op == WEFT_SRD_READ && !w->local) {
		w->local = calloc(1, p->len + 1u);
		weft_assert(w->local);
	}
	rc = weft_srd_on_post(h->srd, &req, weft_host_clock(h));
	if (rc)
		return rc;
	trace_post(h, &req);
	w->state = WEFT_RUN_WR_POSTED;
	w->inc = h->inc;
	w->key = req.key;
	w->addr = req.addr;
	h->peer_open[p->peer]++;
	h->run->open++;
	h->run->waiting--;
	weft_run_extend(h->run);
	return 0;
}

/* In order per peer: one peer that cannot be had does not hold up the others. An application whose QP is
 * gone does not post on it any more. */
static void post_waiting(struct weft_run_host *h)
{
	bool refused[WEFT_SIM_HOSTS] = { false };
	uint32_t n = h->waiting_len, kept = 0;

	if (!n || h->closing)
		return;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t wr = h->waiting[i];
		const struct weft_sim_wr_plan *p = weft_run_plan(h->run, wr);
		int rc = -EAGAIN;

		if (h->qp[p->qp].gone) {
			h->run->wr[wr].state = WEFT_RUN_WR_ORPHAN;
			h->run->waiting--;
			continue;
		}
		if (!refused[p->peer])
			rc = post(h, wr);
		if (!rc)
			continue;
		if (!refused[p->peer])
			count_refusal(h, rc);
		refused[p->peer] = true;
		h->waiting[kept++] = wr;
	}
	h->waiting_len = kept;
	if (kept)
		weft_host_wake(h, h->run->evq.now + WEFT_US(50));
}

/* Receiving */

void weft_host_on_frame(struct weft_run_host *h, struct weft_lossy_frame *f)
{
	if (!h->up) {
		weft_run_lost(h->run, f, WEFT_FAULT_HOST_DOWN);
		weft_run_nobody(h->run, (uint8_t)f->from, h);
		weft_lossy_frame_free(f);
		return;
	}
	if (h->socket_len >= h->socket_frames) {
		weft_run_lost(h->run, f, WEFT_FAULT_SOCKET_FULL);
		weft_lossy_frame_free(f);
		return;
	}
	h->socket = grow(h->socket, &h->socket_cap, h->socket_len, sizeof(void *));
	h->socket[h->socket_len++] = f;
	if (h->stalled_until > h->run->evq.now)
		return;
	if (h->poll)
		weft_host_wake(h, h->run->evq.now);
	else
		weft_host_service(h);
}

static void trace_rx(struct weft_run_host *h, const struct weft_lossy_frame *f)
{
	const struct weft_run_host *from = &h->run->host[f->from];
	uint16_t flags = 0;

	if (f->tampered)
		flags |= WEFT_RX_TAMPERED;
	if (f->trimmed)
		flags |= WEFT_RX_TRIMMED;
	if (f->ce)
		flags |= WEFT_RX_CE;
	/* The upper half of the mark is the receiver's incarnation when it was sent. */
	if (f->id != f->origin || f->mark != (h->inc << 16 | from->inc))
		flags |= WEFT_RX_STRANGER;
	weft_trace_add_frame(h->run->trace,
			     &(struct weft_trace_rec){ .at = h->run->evq.now,
						       .kind = WEFT_TRACE_RX,
						       .host = h->index,
						       .peer = (uint8_t)f->from,
						       .id = f->id,
						       .addr = f->origin,
						       .len = f->len,
						       .flags = flags },
			     f->data, f->len);
}

static void read_socket(struct weft_run_host *h)
{
	/* Frames that come while these are handled wait for the next service. */
	for (uint32_t i = 0; i < h->socket_len; i++) {
		struct weft_lossy_frame *f = h->socket[i];
		struct weft_srd_rx rx = {
			.data = f->data,
			.len = f->len,
			.from = h->run->host[f->from].cfg->srd.gid,
			.ce = f->ce,
			.trimmed = f->trimmed,
		};

		trace_rx(h, f);
		weft_srd_on_packet(h->srd, &rx, weft_host_clock(h));
		weft_lossy_frame_free(f);
		if (h->qp_now)
			weft_run_qp_gone(h->run, h, h->qp_now - 1u);
		h->qp_now = 0;
	}
	h->socket_len = 0;
}

/* Sending */

static uint8_t class_of(struct weft_run_host *h, const struct weft_srd_tx *tx)
{
	const struct weft_srd_payload *p = &tx->payload;
	uint8_t type = tx->head[0] & 0x0f;
	uint8_t class = type == WEFT_PKT_DATA ? 0 : WEFT_LOSSY_CONTROL;

	if (tx->head[1] & WEFT_PKT_F_RTX)
		class |= WEFT_LOSSY_RTX;
	if (p->kind == WEFT_SRD_PAYLOAD_WR && p->cookie < h->run->wrs) {
		uint32_t len = weft_run_plan(h->run, (uint32_t)p->cookie)->len;

		class |= p->off == 0 ? WEFT_LOSSY_FIRST : 0;
		class |= p->off + p->len == len ? WEFT_LOSSY_LAST : 0;
	}
	if (type == WEFT_PKT_HELLO || type == WEFT_PKT_WELCOME || type == WEFT_PKT_RESET ||
	    type == WEFT_PKT_FIN || type == WEFT_PKT_FIN_ACK)
		class |= WEFT_LOSSY_KEEP;
	return class;
}

static void trace_tx(struct weft_run_host *h, const struct weft_srd_tx *tx,
		     const struct weft_lossy_frame *f)
{
	const struct weft_srd_payload *p = &tx->payload;
	struct weft_hello hello;
	struct weft_trace_rec rec = {
		.at = h->run->evq.now,
		.kind = WEFT_TRACE_TX,
		.host = h->index,
		.peer = (uint8_t)f->to,
		.id = h->run->net.next_id,
		.path = f->path,
		.len = f->len,
		.flags = f->class,
		.op = tx->head[0] & 0x0f,
		.hash = weft_sim_hash(tx->head, tx->head_len),
		.wr = WEFT_TRACE_NO_WR,
		.value = p->len,
		.off = p->off,
		.status = (uint8_t)p->kind,
	};

	if (tx->head_len >= WEFT_PROTO_HDR) {
		rec.addr = weft_get64(tx->head + 16);
		rec.imm = weft_get32(tx->head + 8); /* Epoch. */
		rec.head = tx->head[1];
	}
	if (rec.op == WEFT_PKT_WELCOME &&
	    !weft_hello_decode(tx->head + WEFT_PROTO_HDR, tx->head_len - WEFT_PROTO_HDR, &hello))
		rec.addr = hello.epoch;
	if (p->kind == WEFT_SRD_PAYLOAD_WR)
		rec.wr = (uint32_t)p->cookie;
	if (p->kind == WEFT_SRD_PAYLOAD_TARGET) {
		rec.key = p->key;
		rec.off = (uint32_t)(p->addr & 0xffffffffffu) - 0x10000u + p->off;
	}
	weft_trace_add_frame(h->run->trace, &rec, tx->head, tx->head_len);
}

/* Right after new data left: this is when the window has to hold. */
static void trace_sample(struct weft_run_host *h, uint8_t peer, const struct weft_srd_tx *tx)
{
	struct weft_srd_peer_info info;
	uint32_t handle;

	if ((tx->head[0] & 0x0f) != WEFT_PKT_DATA || tx->head[1] & WEFT_PKT_F_RTX)
		return;
	if (weft_srd_peer_get(h->srd, &h->run->host[peer].cfg->srd.gid, &handle))
		return;
	if (weft_srd_peer_info(h->srd, handle, &info) == 0 && info.has_active)
		weft_run_trace(h->run, (struct weft_trace_rec){
					       .kind = WEFT_TRACE_SAMPLE,
					       .host = h->index,
					       .peer = peer,
					       .value = info.inflight,
					       .len = info.cwnd,
					       .key = (uint32_t)info.credit,
					       .off = WEFT_SRD_DATA_HEAD + info.payload,
					       .flags = info.credit_mode,
				       });
	weft_srd_peer_put(h->srd, handle);
}

/* Empty pools show in what the engine says to its peer, or in what it has in use. */
static void count_empty_pools(struct weft_run_host *h, const struct weft_srd_tx *tx)
{
	const bool *on = h->run->s->on;
	uint64_t *hits = h->run->hits;
	struct weft_srd_usage usage;
	struct weft_ack ack;

	if (on[WEFT_FAULT_POOL_PACKETS]) {
		weft_srd_usage(h->srd, &usage);
		hits[WEFT_FAULT_POOL_PACKETS] += usage.chunks * 32 >= h->cfg->srd.packets_max;
	}
	if (!on[WEFT_FAULT_POOL_READS] && !on[WEFT_FAULT_POOL_RX_MSGS])
		return;
	if ((tx->head[0] & 0x0f) != WEFT_PKT_ACK ||
	    weft_ack_decode(tx->head + WEFT_PROTO_HDR, tx->head_len - WEFT_PROTO_HDR, &ack))
		return;
	for (uint32_t i = 0; i < ack.drops; i++) {
		bool busy = ack.drop[i].code == WEFT_CODE_BUSY;

		hits[WEFT_FAULT_POOL_READS] += busy && on[WEFT_FAULT_POOL_READS];
		hits[WEFT_FAULT_POOL_RX_MSGS] += busy && on[WEFT_FAULT_POOL_RX_MSGS];
	}
}

static struct weft_lossy_frame *build_frame(struct weft_run_host *h, const struct weft_srd_tx *tx,
					    uint8_t to)
{
	struct weft_lossy_frame *f = weft_lossy_frame_new(tx->head_len + tx->payload.len);

	memcpy(f->data, tx->head, tx->head_len);
	weft_hostmem_payload(h, &tx->payload, f->data + tx->head_len);
	f->from = h->index;
	f->to = to;
	f->path = tx->path;
	f->class = class_of(h, tx);
	f->head_len = tx->head_len;
	f->mark = h->run->host[to].inc << 16 | h->inc;
	return f;
}

/* `cut`: the socket took only the first packets of this burst, and the rest is gone. */
static void send_packet(struct weft_run_host *h, const struct weft_srd_tx *tx, bool cut)
{
	uint8_t to = tx->to.raw[15];
	struct weft_lossy_frame *f;

	if (to >= h->run->s->hosts || to == h->index)
		return;
	f = build_frame(h, tx, to);
	trace_tx(h, tx, f);
	count_empty_pools(h, tx);
	if (cut) {
		f->id = f->origin = h->run->net.next_id++;
		weft_run_lost(h->run, f, WEFT_FAULT_SHORT_GSO);
		weft_lossy_frame_free(f);
	} else {
		weft_lossy_send(&h->run->net, f, h->run->evq.now);
	}
	trace_sample(h, to, tx);
	if (h->doomed && (tx->head[0] & 0x0f) == WEFT_PKT_WELCOME)
		h->crash_now = true;
}

static void drain(struct weft_run_host *h)
{
	struct weft_srd_tx tx;
	uint32_t n = 0;
	bool cut = false;
	uint16_t cut_path = 0;

	if (h->tx_blocked_until > h->run->evq.now) {
		weft_host_wake(h, h->tx_blocked_until);
		return;
	}
	while (weft_srd_next_packet(h->srd, weft_host_clock(h), &tx)) {
		if (!cut && weft_prng_chance(&h->run->prng, h->short_gso_ppm)) {
			cut = true;
			cut_path = tx.path;
		} else if (cut && tx.path != cut_path) {
			cut = false; /* Another path, another call. */
		}
		send_packet(h, &tx, cut);
		if (++n >= DRAIN_MAX) {
			weft_run_stuck(h->run, h->index, WEFT_STUCK_DRAIN);
			return;
		}
	}
}

static void run_timer(struct weft_run_host *h)
{
	weft_ns now = weft_host_clock(h);

	if (weft_srd_next_deadline(h->srd) > now)
		return;
	if (h->timer_spun_at != h->run->evq.now) {
		h->timer_spun_at = h->run->evq.now;
		h->timer_spins = 0;
	}
	if (++h->timer_spins > SPIN_MAX)
		weft_run_stuck(h->run, h->index, WEFT_STUCK_TIMER);
	weft_srd_on_timer(h->srd, now);
}

static void after_close(struct weft_run_host *h)
{
	struct weft_run *run = h->run;

	if (!h->closing || !weft_srd_is_closed(h->srd))
		return;
	weft_run_trace(run,
		       (struct weft_trace_rec){ .kind = WEFT_TRACE_CLOSE_END, .host = h->index });
	weft_host_down(h);
	if (h->restart_span != WEFT_NS_NEVER)
		weft_evq_push(&run->evq, run->evq.now + h->restart_span, WEFT_RUN_EV_RESTART,
			      h->index, 0, NULL);
}

void weft_host_service(struct weft_run_host *h)
{
	struct weft_run *run = h->run;

	h->wake_at = WEFT_NS_NEVER;
	if (!h->up || run->stuck)
		return;
	if (h->stalled_until > run->evq.now) {
		weft_host_wake(h, h->stalled_until);
		return;
	}
	read_socket(h);
	run_timer(h);
	post_waiting(h);
	drain(h);
	if (h->crash_now) {
		h->doomed = h->crash_now = false;
		weft_run_crash(run, h, h->cfg->doom_span, WEFT_FAULT_CRASH_HELLO);
		return;
	}
	weft_host_wake(h, to_virtual(h, weft_srd_next_deadline(h->srd)));
	after_close(h);
}

void weft_host_close(struct weft_run_host *h)
{
	if (!h->up || h->closing)
		return;
	h->closing = true;
	weft_run_trace(h->run,
		       (struct weft_trace_rec){ .kind = WEFT_TRACE_CLOSE_BEGIN, .host = h->index });
	weft_srd_close(h->srd, weft_host_clock(h));
	weft_host_wake(h, h->run->evq.now);
}

void weft_host_usage(struct weft_run_host *h)
{
	const struct weft_srd_stats *stats;
	struct weft_srd_usage u;

	if (!h->up || h->closing)
		return;
	weft_srd_usage(h->srd, &u);
	stats = weft_srd_stats(h->srd);
	weft_run_trace(h->run, (struct weft_trace_rec){ .kind = WEFT_TRACE_USAGE,
							.host = h->index,
							.wr = u.active,
							.len = u.msgs,
							.off = u.reads,
							.key = u.rx_msgs,
							.imm = u.chunks,
							.value = u.pieces,
							.addr = u.timers,
							.id = u.contexts });
	weft_run_trace(h->run,
		       (struct weft_trace_rec){ .kind = WEFT_TRACE_STATS,
						.host = h->index,
						.addr = stats->data_tx_bytes,
						.id = stats->retrans_bytes,
						.value = (uint32_t)stats->retrans_spurious,
						.len = (uint32_t)stats->data_tx_pkts,
						.off = (uint32_t)stats->retrans_pkts,
						.key = (uint32_t)stats->retrans_timeout_events });
}
