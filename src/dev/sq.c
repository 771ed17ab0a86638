/* SPDX-License-Identifier: BSD-2-Clause */
/* Send queues: work requests from the doorbell to their completion.
 *
 * A work request is checked against the regions it names, gets its peer, and goes to that peer's engine; if the
 * engine is full, it waits on its QP's list until something completes. Its place in the queue is free again
 * when the client has polled its completion (cq.c), its entry here as soon as the completion exists.
 *
 * Doorbells. Many clients ring once per work request. One packet per system call would be slow, so while
 * packets to that peer are in flight a new work request stays in the engine until the next poll, or until
 * CORK_MAX of them wait, and then they leave in one burst. The first of a quiet time leaves at once. Shared
 * memory needs no system call: there each doorbell is answered at once. */
#include "dev/core.h"

#include "base/assert.h"
#include "dev/haul.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#define CORK_MAX 64u
/* UD may lose messages, but not because a receiver is a moment late: it is tried again for so long. */
#define UD_PATIENCE  WEFT_MS(250)
#define LINGER_TRIES 500u /* Of some 100 us. */

static uint64_t cookie_of(const struct weft_qp *qp, const struct weft_wqe *wqe)
{
	return (uint64_t)qp->gen << 32 | (uint32_t)qp->index << 16 | (uint32_t)(wqe - qp->sq.wqe);
}

static struct weft_wqe *by_cookie(struct weft_card *card, uint64_t cookie,
				  enum weft_wqe_state state, struct weft_qp **qp_out)
{
	struct weft_qp *qp = card->slots[cookie >> 16 & 0xff].qp;
	uint32_t i = cookie & 0xffff;

	if (!qp || qp->gen != cookie >> 32 || i >= qp->sq.wqes || qp->sq.wqe[i].state != state)
		return NULL;
	*qp_out = qp;
	return &qp->sq.wqe[i];
}

struct weft_wqe *weft_sq_by_cookie(struct weft_card *card, uint64_t cookie, struct weft_qp **qp_out)
{
	return by_cookie(card, cookie, WEFT_WQE_POSTED, qp_out);
}

void weft_sq_init(struct weft_qp *qp)
{
	for (uint32_t i = 0; i < qp->sq.wqes; i++) {
		qp->sq.wqe[i].state = WEFT_WQE_FREE;
		qp->sq.wqe[i].next = (uint16_t)(i + 1 < qp->sq.wqes ? i + 1 : WEFT_NONE16);
	}
	qp->sq.free = 0;
	qp->sq.wait_head = qp->sq.wait_tail = WEFT_NONE16;
}

uint32_t weft_qp_send_room(const struct weft_qp *qp)
{
	const struct weft_qp_slot *slot = &qp->card->slots[qp->index];

	return qp->sq.depth - (atomic_load_explicit(&qp->sq.posted, memory_order_relaxed) -
			       weft_places_polled(&slot->sq));
}

/* Completion */

static void report(struct weft_qp *qp, const struct weft_wqe *wqe, uint32_t status)
{
	struct weft_cqe cqe = {
		.wr_id = wqe->wr.wr_id,
		.qpn = qp->qpn,
		.status = (uint8_t)status,
		.op = wqe->wr.op == WEFT_OP_WRITE || wqe->wr.op == WEFT_OP_WRITE_IMM
			      ? WEFT_CQE_WRITE
			      : WEFT_CQE_SEND,
		.ahn = WEFT_DEV_AHN_UNKNOWN,
	};

	if (!qp->sq.silent)
		weft_cq_push(qp->send_cq, qp, &cqe);
}

static void finish(struct weft_qp *qp, struct weft_wqe *wqe, uint32_t status)
{
	if (wqe->state == WEFT_WQE_MOVES)
		weft_direct_cancel(qp->card, wqe, cookie_of(qp, wqe));
	if (wqe->reported) {
		qp->sq.reported--;
		qp->card->ud_ahead--;
	} else {
		report(qp, wqe, status);
	}
	wqe->state = WEFT_WQE_FREE;
	wqe->next = qp->sq.free;
	qp->sq.free = (uint16_t)(wqe - qp->sq.wqe);
}

/* A UD message is gone once it is sent: only what is wrong at this end is reported. */
static uint32_t status_of(const struct weft_qp *qp, enum weft_srd_status status)
{
	if (qp->type == WEFT_QP_SRD || status == WEFT_SRD_FLUSHED ||
	    status == WEFT_SRD_INVALID_LKEY || status == WEFT_SRD_LOCAL_LENGTH)
		return (uint32_t)status;
	return WEFT_SRD_OK;
}

void weft_sq_on_complete(struct weft_card *card, uint64_t cookie, enum weft_srd_status status)
{
	struct weft_qp *qp;
	struct weft_wqe *wqe = weft_sq_by_cookie(card, cookie, &qp);

	weft_assert(wqe);
	/* What was read is in its place before anybody is told. */
	if (card->unsettled && !weft_mem_settle(card) && status == WEFT_SRD_OK &&
	    wqe->wr.op == WEFT_OP_READ)
		status = WEFT_SRD_INVALID_LKEY;
	finish(qp, wqe, status_of(qp, status));
}

/* Posting */

/* EFA's statuses that no engine gives. */
#define STATUS_INTERNAL    2 /* "QP internal error": here, no memory for another peer. */
#define STATUS_UNSUPPORTED 3
#define STATUS_INVALID_AH  4

const char *weft_dev_status_text(uint32_t status)
{
	switch (status) {
	case STATUS_INTERNAL:
		return "internal error";
	case STATUS_UNSUPPORTED:
		return "unsupported operation";
	case STATUS_INVALID_AH:
		return "invalid address handle";
	default:
		return weft_srd_status_name((enum weft_srd_status)status);
	}
}

static bool is_supported(const struct weft_qp *qp, uint8_t op)
{
	if (op <= WEFT_OP_SEND_IMM)
		return true;
	return qp->type == WEFT_QP_SRD &&
	       qp->card->info->caps &
		       (op == WEFT_OP_READ ? WEFT_CAP_RDMA_READ : WEFT_CAP_RDMA_WRITE);
}

static int check_local(struct weft_qp *qp, struct weft_wqe *wqe)
{
	const struct weft_wr *wr = &wqe->wr;
	uint32_t access = wr->op == WEFT_OP_READ ? WEFT_ACCESS_LOCAL_WRITE : 0;
	uint64_t len = 0;

	if (!is_supported(qp, wr->op))
		return STATUS_UNSUPPORTED;
	if (weft_ah_pd(wr->ah) != qp->pd)
		return STATUS_INVALID_AH;
	if (wr->is_inline) {
		len = wr->inline_len;
	} else {
		for (uint32_t i = 0; i < wr->sge_len; i++) {
			if (weft_region_check(qp->card, qp->pd, &wr->sge[i], access))
				return WEFT_SRD_INVALID_LKEY;
			len += wr->sge[i].len;
		}
	}
	if (len > (wr->op <= WEFT_OP_SEND_IMM ? WEFT_DEV_MSG_MAX : WEFT_DEV_RDMA_MAX))
		return WEFT_SRD_LOCAL_LENGTH;
	wqe->len = (uint32_t)len;
	return 0;
}

/* Hand it to the engine. True: it has it, or it is completed. False: not now. */
/* Its bytes, where both ends are memory of this host. */
static enum weft_direct move(struct weft_qp *qp, struct weft_wqe *wqe)
{
	const struct weft_wr *wr = &wqe->wr;
	struct weft_gid to;

	weft_link_address(qp->card, &wr->ah->gid, (uint8_t)WEFT_QPN_SLOT(wr->qpn), &to);
	wqe->serial++;
	return weft_direct_start(qp->card, &to, wqe, cookie_of(qp, wqe));
}

static bool submit(struct weft_qp *qp, struct weft_wqe *wqe)
{
	struct weft_card *card = qp->card;
	const struct weft_wr *wr = &wqe->wr;
	struct weft_srd_wr out = {
		.cookie = cookie_of(qp, wqe),
		.op = (enum weft_srd_op)wr->op,
		.src_qpn = qp->qpn,
		.dst_qpn = wr->qpn,
		.addr = wr->raddr,
		.imm = ntohl(wr->imm),
		.len = wqe->len,
		.rnr_retry = qp->type == WEFT_QP_UD ? 7 : qp->rnr_retry,
	};
	struct weft_link *link;
	struct weft_peer *peer;
	int err;

	if (wr->op >= WEFT_OP_WRITE)
		out.key = wr->rkey;
	else
		out.key = qp->type == WEFT_QP_UD ? wr->qkey ^ WEFT_UD_KEY_MASK : wr->qkey;
	peer = weft_peer_find(wr->ah, (uint8_t)WEFT_QPN_SLOT(wr->qpn));
	if (!peer) {
		finish(qp, wqe, STATUS_INTERNAL);
		return true;
	}
	link = &card->link[peer->link];
	if (wqe->moved) {
		out.placed = wr->op != WEFT_OP_READ;
		if (!out.placed)
			out.len = 0;
	} else if (wr->op >= WEFT_OP_WRITE && link->kind == WEFT_LINK_LOCAL && !wqe->in_packets &&
		   (card->gpus || wqe->len >= WEFT_HAUL_MIN)) {
		switch (move(qp, wqe)) {
		case WEFT_DIRECT_LATER:
			return false;
		case WEFT_DIRECT_STARTED:
			wqe->state = WEFT_WQE_MOVES;
			return true;
		case WEFT_DIRECT_LOCAL:
			finish(qp, wqe, WEFT_SRD_INVALID_LKEY);
			return true;
		case WEFT_DIRECT_NO:
			break;
		}
	}
	out.peer = peer->engine;
	err = weft_srd_on_post(link->srd, &out, card->now);
	if (err == -EAGAIN)
		return false;
	weft_assert(!err);
	wqe->state = WEFT_WQE_POSTED;
	wqe->posted_at = card->now;
	wqe->peer = out.peer;
	wqe->link = (uint8_t)link->kind;
	link->corked++;
	return true;
}

static void queue_qp(struct weft_qp *qp)
{
	struct weft_card *card = qp->card;

	qp->on_waiting = true;
	qp->next_waiting = NULL;
	if (card->waiting)
		card->waiting_last->next_waiting = qp;
	else
		card->waiting = qp;
	card->waiting_last = qp;
	card->waiting_len++;
}

static struct weft_qp *unqueue_first(struct weft_card *card)
{
	struct weft_qp *qp = card->waiting;

	card->waiting = qp->next_waiting;
	card->waiting_len--;
	qp->on_waiting = false;
	return qp;
}

static void wait_add(struct weft_qp *qp, struct weft_wqe *wqe)
{
	uint16_t i = (uint16_t)(wqe - qp->sq.wqe);

	wqe->state = WEFT_WQE_WAITS;
	wqe->next = WEFT_NONE16;
	if (qp->sq.wait_head == WEFT_NONE16)
		qp->sq.wait_head = i;
	else
		qp->sq.wqe[qp->sq.wait_tail].next = i;
	qp->sq.wait_tail = i;
	if (!qp->on_waiting)
		queue_qp(qp);
}

void weft_sq_on_moved(struct weft_card *card, uint64_t cookie, uint32_t serial, enum weft_moved how)
{
	struct weft_qp *qp;
	struct weft_wqe *wqe = by_cookie(card, cookie, WEFT_WQE_MOVES, &qp);

	if (!wqe || wqe->serial != serial)
		return;
	wqe->moved = how == WEFT_MOVED;
	if (wqe->moved && wqe->wr.op == WEFT_OP_READ)
		card->direct_read += wqe->len;
	else if (wqe->moved)
		card->direct_written += wqe->len;
	wqe->in_packets = !wqe->moved;
	if (how == WEFT_MOVED_FAILED)
		finish(qp, wqe, WEFT_SRD_INVALID_LKEY);
	else if (!submit(qp, wqe))
		wait_add(qp, wqe);
}

/* A UD message is done when it is sent, and clients rely on it (perftest looks for the completion of what it
 * has just posted, once). The engine still needs the bytes, so it gets a copy. With very many of them under
 * way, the next ones wait for their turn like any other: that is the flow control that keeps UD from losing
 * more than it must. */
static void report_early(struct weft_qp *qp, struct weft_wqe *wqe)
{
	if (qp->sq.reported >= qp->sq.reported_max)
		return;
	report(qp, wqe, WEFT_SRD_OK);
	wqe->reported = true;
	qp->sq.reported++;
	qp->card->ud_ahead++;
}

static void copy_payload(struct weft_qp *qp, struct weft_wqe *wqe)
{
	uint8_t *to = weft_sq_copy(qp, wqe);
	struct iovec iov[WEFT_DEV_SQ_SGE];
	uint32_t n;

	wqe->copied = true;
	if (wqe->wr.is_inline) {
		memcpy(to, wqe->wr.inline_data, wqe->len);
		return;
	}
	n = weft_sges_slice(qp->card, wqe->wr.sge, wqe->wr.sge_len, 0, wqe->len, iov);
	for (uint32_t i = 0; i < n; i++) {
		memcpy(to, iov[i].iov_base, iov[i].iov_len);
		to += iov[i].iov_len;
	}
}

static bool needs_drain(const struct weft_link *link, uint32_t peer)
{
	return link->kind == WEFT_LINK_LOCAL || link->corked >= CORK_MAX ||
	       weft_srd_is_quiet(link->srd, peer);
}

static int can_post(const struct weft_qp *qp, const struct weft_wr *wr, uint32_t n)
{
	enum weft_qp_state state = (enum weft_qp_state)qp->state;

	if (qp->card->dead)
		return -EIO;
	if (state != WEFT_QPS_RTS && state != WEFT_QPS_SQD)
		return -EINVAL;
	for (uint32_t i = 0; i < n; i++)
		if (!wr[i].ah || wr[i].op > WEFT_OP_READ ||
		    (wr[i].is_inline
			     ? wr[i].inline_len > qp->sq.inline_max || wr[i].op == WEFT_OP_READ
			     : wr[i].sge_len > qp->sq.sge_max))
			return -EINVAL;
	return weft_qp_send_room(qp) < n ? -ENOMEM : 0;
}

int weft_qp_post_send(struct weft_qp *qp, const struct weft_wr *wr, uint32_t n)
{
	struct weft_card *card = qp->card;
	const struct weft_wqe *last = NULL;
	int err;

	weft_card_lock(card);
	err = can_post(qp, wr, n);
	if (err) {
		weft_card_unlock(card);
		return err;
	}
	card->now = weft_clock();
	atomic_store_explicit(&qp->sq.posted,
			      atomic_load_explicit(&qp->sq.posted, memory_order_relaxed) + n,
			      memory_order_relaxed);
	for (uint32_t i = 0; i < n; i++) {
		struct weft_wqe *wqe = &qp->sq.wqe[qp->sq.free];
		int status;

		weft_assert(qp->sq.free != WEFT_NONE16);
		qp->sq.free = wqe->next;
		wqe->wr = wr[i];
		wqe->copied = wqe->reported = wqe->moved = wqe->in_packets = false;
		status = check_local(qp, wqe);
		if (!status && qp->type == WEFT_QP_UD) {
			copy_payload(qp, wqe);
			report_early(qp, wqe);
		}
		if (status)
			finish(qp, wqe, (uint32_t)status);
		else if (qp->sq.wait_head != WEFT_NONE16 || !submit(qp, wqe))
			wait_add(qp, wqe);
		if (wqe->state == WEFT_WQE_POSTED)
			last = wqe;
	}
	if (last && needs_drain(&card->link[last->link], last->peer))
		weft_link_drain(&card->link[last->link]);
	weft_helper_look_after(card);
	weft_card_unlock(card);
	atomic_fetch_add_explicit(&card->activity, 1, memory_order_relaxed);
	return 0;
}

/* Something may have become free: one request of each QP in turn, for as long as the engines take any. */
void weft_sq_retry(struct weft_card *card)
{
	uint32_t refused = 0;

	while (card->waiting && refused < card->waiting_len) {
		struct weft_qp *qp = unqueue_first(card);
		struct weft_wqe *wqe = &qp->sq.wqe[qp->sq.wait_head];
		uint16_t after = wqe->next;

		if (submit(qp, wqe)) {
			qp->sq.wait_head = after;
			refused = 0;
		} else {
			refused++;
		}
		if (qp->sq.wait_head != WEFT_NONE16)
			queue_qp(qp);
	}
}

/* Giving up */

static bool is_using(const struct weft_wqe *wqe, uint32_t lkey)
{
	const struct weft_wr *wr = &wqe->wr;

	for (uint32_t i = 0; i < wr->sge_len && !wr->is_inline && !wqe->copied; i++)
		if (wr->sge[i].lkey == lkey && wr->sge[i].len)
			return true;
	return false;
}

/* Work requests that wait for the engine: those to `ah`, those with the key, or all of them. */
static void finish_waiting(struct weft_qp *qp, const struct weft_ah *ah, const uint32_t *lkey,
			   uint32_t status)
{
	uint16_t *at = &qp->sq.wait_head, last = WEFT_NONE16;

	while (*at != WEFT_NONE16) {
		struct weft_wqe *wqe = &qp->sq.wqe[*at];

		if ((ah && wqe->wr.ah != ah) || (lkey && !is_using(wqe, *lkey))) {
			last = *at;
			at = &wqe->next;
			continue;
		}
		*at = wqe->next;
		finish(qp, wqe, status);
	}
	qp->sq.wait_tail = last;
}

void weft_sq_flush(struct weft_qp *qp, bool silently)
{
	struct weft_card *card = qp->card;

	/* What was posted is on its way, if it may be: a UD message counts as sent. */
	card->now = weft_clock();
	for (uint32_t k = 0; k < WEFT_LINKS; k++)
		weft_link_drain(&card->link[k]);
	qp->sq.silent = silently;
	finish_waiting(qp, NULL, NULL, WEFT_SRD_FLUSHED);
	for (uint32_t i = 0; card->moving && i < qp->sq.wqes; i++)
		if (qp->sq.wqe[i].state == WEFT_WQE_MOVES)
			finish(qp, &qp->sq.wqe[i], WEFT_SRD_FLUSHED);
	for (uint32_t n = qp->on_waiting ? card->waiting_len : 0; n; n--) {
		struct weft_qp *first = unqueue_first(card);

		if (first != qp)
			queue_qp(first);
	}
	for (uint32_t k = 0; k < WEFT_LINKS; k++)
		if (card->link[k].srd)
			weft_srd_on_qp_gone(card->link[k].srd, qp->qpn, card->now);
	/* RESET: both rings are empty, and so are the counters. */
	if (silently) {
		atomic_store(&qp->sq.posted, 0);
		weft_places_reset(&card->slots[qp->index]);
		qp->gen = card->slots[qp->index].gen;
	}
	qp->sq.silent = false;
}

static void cancel(struct weft_qp *qp, struct weft_wqe *wqe, enum weft_srd_status status)
{
	struct weft_srd *srd = qp->card->link[wqe->link].srd;

	if (srd) /* Else this is a forked child: the card is dead, and so is its queue. */
		weft_srd_cancel(srd, cookie_of(qp, wqe), status, qp->card->now);
}

static bool is_idle(const struct weft_qp *qp)
{
	return weft_qp_send_room(qp) == qp->sq.depth && !qp->sq.reported;
}

void weft_sq_linger(struct weft_card *card)
{
	const struct timespec nap = { .tv_nsec = 50000 };

	for (uint32_t i = 0; card->ud_ahead && card->up && i < LINGER_TRIES; i++) {
		weft_card_work(card);
		weft_card_unlock(card);
		if (i)
			nanosleep(&nap, NULL);
		weft_card_lock(card);
	}
}

void weft_sq_expire_ud(struct weft_card *card)
{
	for (uint32_t q = 0; q < WEFT_DEV_QP_MAX; q++) {
		struct weft_qp *qp = card->slots[q].qp;

		if (!qp || qp->type != WEFT_QP_UD || is_idle(qp))
			continue;
		for (uint32_t i = 0; i < qp->sq.wqes; i++) {
			struct weft_wqe *wqe = &qp->sq.wqe[i];

			if (wqe->state == WEFT_WQE_POSTED &&
			    card->now - wqe->posted_at > UD_PATIENCE)
				cancel(qp, wqe, WEFT_SRD_RNR);
		}
	}
}

/* Both walk everything: rare, and without cost for the common path. */

void weft_sq_cancel_mr(struct weft_card *card, const struct weft_pd *pd, uint32_t lkey)
{
	card->now = weft_clock();
	for (uint32_t q = 0; q < WEFT_DEV_QP_MAX; q++) {
		struct weft_qp *qp = card->slots[q].qp;

		if (!qp || qp->pd != pd || is_idle(qp))
			continue;
		finish_waiting(qp, NULL, &lkey, WEFT_SRD_INVALID_LKEY);
		for (uint32_t i = 0; i < qp->sq.wqes; i++) {
			struct weft_wqe *wqe = &qp->sq.wqe[i];

			if (wqe->state == WEFT_WQE_POSTED && is_using(wqe, lkey))
				cancel(qp, wqe, WEFT_SRD_INVALID_LKEY);
			else if (wqe->state == WEFT_WQE_MOVES && is_using(wqe, lkey))
				finish(qp, wqe, WEFT_SRD_INVALID_LKEY);
		}
	}
}

void weft_sq_cancel_ah(struct weft_card *card, const struct weft_ah *ah)
{
	card->now = weft_clock();
	for (uint32_t q = 0; q < WEFT_DEV_QP_MAX; q++) {
		struct weft_qp *qp = card->slots[q].qp;

		if (!qp || qp->pd != weft_ah_pd(ah) || is_idle(qp))
			continue;
		finish_waiting(qp, ah, NULL, WEFT_SRD_FLUSHED);
		for (uint32_t i = 0; i < qp->sq.wqes; i++) {
			struct weft_wqe *wqe = &qp->sq.wqe[i];

			if (wqe->state == WEFT_WQE_POSTED && wqe->wr.ah == ah)
				cancel(qp, wqe, WEFT_SRD_FLUSHED);
			else if (wqe->state == WEFT_WQE_MOVES && wqe->wr.ah == ah)
				finish(qp, wqe, WEFT_SRD_FLUSHED);
		}
	}
}
