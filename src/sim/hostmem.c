/* SPDX-License-Identifier: BSD-2-Clause */
/* What an engine may touch on its host: receives, registered memory, the buffers of work requests. These
 * are the functions that the engine calls. They do what a correct owner does, write down everything, and
 * judge nothing: that is the oracle's part. */
#include "sim/run.h"

#include "base/assert.h"
#include "base/crc32c.h"
#include "sim/pattern.h"

#include <stdlib.h>
#include <string.h>

#define QKEY       0x51000000u /* The low 24 bits carry the number of the work request. */
#define QKEY_ALL   0xff000000u
#define MR_BASE    0x10000u
#define SHORT_RECV 64u

static uint8_t host_of(const struct weft_gid *gid)
{
	return gid->raw[15];
}

static struct weft_run_qp *qp_by_number(struct weft_run_host *h, uint16_t qpn)
{
	for (uint32_t i = 0; i < h->run->s->qps; i++)
		if (h->qp[i].qpn == qpn && !h->qp[i].gone && !h->qp[i].error)
			return &h->qp[i];
	return NULL;
}

static struct weft_run_mr *mr_by_key(struct weft_run_host *h, uint32_t key)
{
	for (uint32_t i = 0; i < WEFT_SIM_MRS; i++)
		if (h->mr[i].valid && h->mr[i].key == key)
			return &h->mr[i];
	return NULL;
}

/* The region, if all of [addr, addr + len) may be accessed so. */
static struct weft_run_mr *mr_check(struct weft_run_host *h, const struct weft_srd_msg_info *info,
				    uint8_t access)
{
	struct weft_run_mr *mr = mr_by_key(h, info->key);

	if (!mr || !(mr->access & access) || info->addr < mr->addr ||
	    info->addr - mr->addr > mr->len || info->len > mr->len - (info->addr - mr->addr))
		return NULL;
	return mr;
}

static struct weft_trace_rec rec_of(struct weft_run_host *h, uint8_t kind,
				    const struct weft_srd_msg_info *info)
{
	return (struct weft_trace_rec){
		.kind = kind,
		.host = h->index,
		.peer = host_of(info->gid),
		.op = (uint8_t)info->op,
		.qpn = info->dst_qpn,
		.peer_qpn = info->src_qpn,
		.key = info->key,
		.addr = info->addr,
		.len = info->len,
		.imm = info->imm,
	};
}

/* Which work request a message that uses a receive says it is. */
static uint32_t wr_of(const struct weft_srd_msg_info *info)
{
	return info->op == WEFT_SRD_WRITE_IMM ? info->imm : info->key & ~QKEY_ALL;
}

/* Receives */

static uint64_t recv_new(struct weft_run_host *h, uint32_t qp, uint32_t len)
{
	struct weft_run *run = h->run;

	if (run->recvs == run->recvs_cap) {
		run->recvs_cap = run->recvs_cap ? 2 * run->recvs_cap : 4096;
		run->recv = realloc(run->recv, run->recvs_cap * sizeof(*run->recv));
		weft_assert(run->recv);
	}
	run->recv[run->recvs] = (struct weft_run_recv){
		.len = len,
		.wr = WEFT_TRACE_NO_WR,
		.inc = h->inc,
		.host = h->index,
		.qp = (uint8_t)qp,
	};
	weft_run_trace(run, (struct weft_trace_rec){ .kind = WEFT_TRACE_RECV_POST,
						     .host = h->index,
						     .qpn = h->qp[qp].qpn,
						     .id = run->recvs,
						     .len = len });
	return run->recvs++;
}

void weft_hostmem_refill(struct weft_run_host *h, uint32_t i)
{
	struct weft_run_qp *qp = &h->qp[i];

	qp->refill_pending = false;
	if (!h->up || !h->recvs_on || qp->gone)
		return;
	while (qp->posted < h->cfg->recv_depth && qp->posted < WEFT_RUN_RING) {
		bool is_short =
			!h->run->healed && weft_prng_chance(&h->run->prng, h->cfg->short_recv_ppm);

		h->run->hits[WEFT_FAULT_SHORT_RECV] += is_short;
		qp->ring[(qp->head + qp->posted++) % WEFT_RUN_RING] =
			recv_new(h, i, is_short ? SHORT_RECV : WEFT_SRD_SEND_MAX);
	}
}

static void refill_later(struct weft_run_host *h, struct weft_run_qp *qp)
{
	struct weft_run *run = h->run;
	weft_ns wait = 0;

	if (qp->refill_pending)
		return;
	qp->refill_pending = true;
	if (h->cfg->refill_max && !run->healed)
		wait = weft_sim_between(&run->prng, 0, h->cfg->refill_max);
	weft_evq_push(&run->evq, run->evq.now + wait, WEFT_RUN_EV_REFILL, h->index,
		      (uint32_t)(qp - h->qp), NULL);
}

static enum weft_srd_status find_recv(struct weft_run_host *h, const struct weft_srd_msg_info *info,
				      struct weft_run_qp **qp_out)
{
	struct weft_run_qp *qp = qp_by_number(h, info->dst_qpn);

	if (!qp || (info->op != WEFT_SRD_WRITE_IMM && (info->key & QKEY_ALL) != QKEY))
		return WEFT_SRD_REMOTE_QPN;
	if (!qp->posted) {
		h->run->hits[h->cfg->recvs_from ? WEFT_FAULT_NO_WQE : WEFT_FAULT_RNR]++;
		return WEFT_SRD_RNR;
	}
	*qp_out = qp;
	if (info->op != WEFT_SRD_WRITE_IMM && h->run->recv[qp->ring[qp->head]].len < info->len)
		return WEFT_SRD_REMOTE_LENGTH;
	return WEFT_SRD_OK;
}

static enum weft_srd_status on_recv_claim(void *owner, const struct weft_srd_msg_info *info,
					  uint64_t *recv_out)
{
	struct weft_run_host *h = owner;
	struct weft_trace_rec rec = rec_of(h, WEFT_TRACE_CLAIM, info);
	struct weft_run_qp *qp = NULL;
	enum weft_srd_status status = find_recv(h, info, &qp);

	rec.wr = wr_of(info);
	rec.status = (uint8_t)status;
	if (status == WEFT_SRD_REMOTE_LENGTH) {
		/* The application takes the useless one back after a while; here: it goes to the end. */
		uint64_t first = qp->ring[qp->head];

		qp->head = (qp->head + 1) % WEFT_RUN_RING;
		qp->ring[(qp->head + qp->posted - 1) % WEFT_RUN_RING] = first;
	}
	if (status == WEFT_SRD_OK) {
		struct weft_run_recv *r = &h->run->recv[qp->ring[qp->head]];

		rec.id = qp->ring[qp->head];
		qp->head = (qp->head + 1) % WEFT_RUN_RING;
		qp->posted--;
		r->claimed = true;
		r->wr = rec.wr;
		if (info->op != WEFT_SRD_WRITE_IMM) {
			r->buf = calloc(1, info->len + 1u);
			weft_assert(r->buf);
		}
		refill_later(h, qp);
		*recv_out = rec.id;
	}
	weft_run_trace(h->run, rec);
	return status;
}

/* The receive, if the engine may do with it what it is about to do. */
static struct weft_run_recv *recv_get(struct weft_run_host *h, uint64_t id)
{
	struct weft_run_recv *r = id < h->run->recvs ? &h->run->recv[id] : NULL;

	return r && r->claimed && r->host == h->index && r->inc == h->inc ? r : NULL;
}

static void on_recv_place(void *owner, uint64_t recv, uint32_t off, const void *data, uint32_t len)
{
	struct weft_run_host *h = owner;
	struct weft_run_recv *r = recv_get(h, recv);

	weft_run_trace(h->run, (struct weft_trace_rec){ .kind = WEFT_TRACE_PLACE,
							.host = h->index,
							.id = recv,
							.wr = r ? r->wr : WEFT_TRACE_NO_WR,
							.off = off,
							.value = len,
							.hash = weft_sim_hash(data, len) });
	if (r && r->buf && r->wr < h->run->wrs &&
	    (uint64_t)off + len <= weft_run_plan(h->run, r->wr)->len)
		memcpy(r->buf + off, data, len);
	if (r && h->qp[r->qp].doomed && r->wr < h->run->wrs &&
	    len < weft_run_plan(h->run, r->wr)->len)
		h->qp_now = (uint8_t)(1 + r->qp);
	if (r && r->wr < h->run->wrs && len < weft_run_plan(h->run, r->wr)->len)
		weft_run_partly(h->run, r->wr);
}

static void recv_over(struct weft_run_recv *r)
{
	free(r->buf);
	r->buf = NULL;
	r->claimed = false;
}

static void on_recv_done(void *owner, uint64_t recv, const struct weft_srd_msg_info *info)
{
	struct weft_run_host *h = owner;
	struct weft_run_recv *r = recv_get(h, recv);
	struct weft_trace_rec rec = rec_of(h, WEFT_TRACE_RECV_DONE, info);

	rec.id = recv;
	rec.wr = wr_of(info);
	if (r && r->buf && r->wr < h->run->wrs && info->len == weft_run_plan(h->run, r->wr)->len)
		rec.hash = weft_sim_hash(r->buf, info->len);
	else if (info->op == WEFT_SRD_WRITE_IMM && rec.wr < h->run->wrs)
		rec.hash = weft_hostmem_target_hash(h->run, rec.wr);
	weft_run_trace(h->run, rec);
	if (r)
		recv_over(r);
	h->got_from[rec.peer % WEFT_SIM_HOSTS] += info->len;
	if (rec.wr < h->run->wrs)
		weft_run_delivered(h->run, rec.wr);
}

static void on_recv_release(void *owner, uint64_t recv, const struct weft_srd_msg_info *info)
{
	struct weft_run_host *h = owner;
	struct weft_run_recv *r = recv_get(h, recv);
	struct weft_trace_rec rec = rec_of(h, WEFT_TRACE_RECV_RELEASE, info);
	struct weft_run_qp *qp;

	rec.id = recv;
	rec.wr = r ? r->wr : WEFT_TRACE_NO_WR;
	weft_run_trace(h->run, rec);
	if (!r)
		return;
	recv_over(r);
	qp = &h->qp[r->qp];
	if (qp->gone || qp->posted == WEFT_RUN_RING)
		return;
	qp->head = (qp->head + WEFT_RUN_RING - 1) % WEFT_RUN_RING;
	qp->ring[qp->head] = recv;
	qp->posted++;
}

/* Memory */

static enum weft_srd_status on_write(void *owner, const struct weft_srd_msg_info *info,
				     uint32_t off, const void *data, uint32_t len)
{
	struct weft_run_host *h = owner;
	struct weft_run_mr *mr = mr_check(h, info, WEFT_ACCESS_WRITE);
	struct weft_trace_rec rec = rec_of(h, WEFT_TRACE_WRITE, info);

	rec.off = off;
	rec.value = len;
	rec.hash = weft_sim_hash(data, len);
	if (!qp_by_number(h, info->dst_qpn))
		rec.status = WEFT_SRD_REMOTE_QPN;
	else if (!mr)
		rec.status = WEFT_SRD_REMOTE_ADDRESS;
	else
		rec.status = WEFT_SRD_OK;
	weft_run_trace(h->run, rec);
	if (rec.status == WEFT_SRD_OK && (uint64_t)off + len <= mr->len - (info->addr - mr->addr))
		memcpy(mr->mem + (info->addr - mr->addr) + off, data, len);
	if (info->op == WEFT_SRD_WRITE)
		h->got_from[rec.peer % WEFT_SIM_HOSTS] += len;
	return rec.status;
}

static enum weft_srd_status on_read_check(void *owner, const struct weft_srd_msg_info *info)
{
	struct weft_run_host *h = owner;
	struct weft_trace_rec rec = rec_of(h, WEFT_TRACE_READ_CHECK, info);

	if (!qp_by_number(h, info->dst_qpn))
		rec.status = WEFT_SRD_REMOTE_QPN;
	else if (!mr_check(h, info, WEFT_ACCESS_READ))
		rec.status = WEFT_SRD_REMOTE_ADDRESS;
	weft_run_trace(h->run, rec);
	return rec.status;
}

static enum weft_srd_status on_read_place(void *owner, uint64_t cookie, uint32_t off,
					  const void *data, uint32_t len)
{
	struct weft_run_host *h = owner;
	struct weft_run *run = h->run;
	struct weft_run_wr *w = cookie < run->wrs ? &run->wr[cookie] : NULL;
	bool mine = w && w->local && w->state == WEFT_RUN_WR_POSTED &&
		    weft_run_plan(run, (uint32_t)cookie)->host == h->index;
	struct weft_trace_rec rec = {
		.kind = WEFT_TRACE_READ_PLACE,
		.host = h->index,
		.wr = (uint32_t)cookie,
		.off = off,
		.value = len,
		.hash = weft_sim_hash(data, len),
	};

	if (mine && weft_run_plan(run, (uint32_t)cookie)->flags & WEFT_WR_REFUSED) {
		rec.status = WEFT_SRD_INVALID_LKEY;
		run->hits[WEFT_FAULT_REFUSED]++;
	}
	weft_run_trace(run, rec);
	if (mine && !rec.status && (uint64_t)off + len <= weft_run_plan(run, (uint32_t)cookie)->len)
		memcpy(w->local + off, data, len);
	if (mine && !rec.status && len < weft_run_plan(run, (uint32_t)cookie)->len)
		weft_run_partly(run, (uint32_t)cookie);
	return rec.status;
}

static void on_complete(void *owner, uint64_t cookie, enum weft_srd_status status)
{
	struct weft_run_host *h = owner;
	struct weft_run *run = h->run;
	struct weft_trace_rec rec = {
		.kind = WEFT_TRACE_COMPLETE,
		.host = h->index,
		.wr = (uint32_t)cookie,
		.status = (uint8_t)status,
	};
	const struct weft_sim_wr_plan *plan;

	if (cookie < run->wrs && status == WEFT_SRD_OK) {
		plan = weft_run_plan(run, rec.wr);
		if (plan->op == WEFT_SRD_READ && run->wr[cookie].local)
			rec.hash = weft_sim_hash(run->wr[cookie].local, plan->len);
		else if (plan->op == WEFT_SRD_WRITE || plan->op == WEFT_SRD_WRITE_IMM)
			rec.hash = weft_hostmem_target_hash(run, rec.wr);
	}
	if (cookie < run->wrs)
		rec.peer = weft_run_plan(run, rec.wr)->peer;
	weft_run_trace(run, rec);
	if (cookie < run->wrs && run->wr[cookie].state == WEFT_RUN_WR_POSTED)
		weft_run_completed(run, rec.wr);
}

/* Bytes of an outgoing payload. */
void weft_hostmem_payload(struct weft_run_host *h, const struct weft_srd_payload *p, uint8_t *buf)
{
	struct weft_run_mr *mr;

	switch (p->kind) {
	case WEFT_SRD_PAYLOAD_NONE:
		break;
	case WEFT_SRD_PAYLOAD_WR:
		weft_sim_fill(weft_sim_wr_stream((uint32_t)p->cookie), p->off, buf, p->len);
		break;
	case WEFT_SRD_PAYLOAD_TARGET:
		mr = mr_by_key(h, p->key);
		weft_sim_fill(weft_sim_mem_stream(p->key), mr ? p->addr - mr->addr + p->off : 0,
			      buf, p->len);
		break;
	}
}

static uint32_t on_payload_crc(void *owner, const struct weft_srd_payload *p)
{
	uint8_t *buf = malloc(p->len + 1u);
	uint32_t crc;

	weft_assert(buf);
	weft_hostmem_payload(owner, p, buf);
	crc = weft_crc32c(0, buf, p->len);
	free(buf);
	return crc;
}

const struct weft_srd_ops weft_hostmem_ops = {
	.recv_claim = on_recv_claim,
	.recv_place = on_recv_place,
	.recv_done = on_recv_done,
	.recv_release = on_recv_release,
	.write = on_write,
	.read_check = on_read_check,
	.read_place = on_read_place,
	.complete = on_complete,
	.payload_crc = on_payload_crc,
};

/* Of the range that a WRITE is for, whatever key it now lies under. */
uint64_t weft_hostmem_target_hash(struct weft_run *run, uint32_t wr)
{
	const struct weft_sim_wr_plan *plan = weft_run_plan(run, wr);
	const struct weft_run_mr *mr = &run->host[plan->peer].mr[plan->mr];

	if (!mr->mem || plan->flags & WEFT_WR_BAD_KEY)
		return 0;
	return weft_sim_hash(mr->mem + plan->mr_off, plan->len);
}

static void mr_up(struct weft_run_host *h, uint32_t i)
{
	struct weft_run_mr *mr = &h->mr[i];
	bool for_writes = i < WEFT_SIM_MRS / 2;

	*mr = (struct weft_run_mr){
		.addr = (uint64_t)(h->index + 1) << 48 | (uint64_t)i << 40 | MR_BASE,
		.key = h->run->next_key++,
		.len = for_writes ? h->run->s->mr_len[h->index][i] : WEFT_SIM_READ_REGION,
		.access = for_writes ? WEFT_ACCESS_WRITE : WEFT_ACCESS_READ,
		.valid = true,
	};
	if (for_writes) {
		mr->mem = calloc(1, mr->len + 1u);
		weft_assert(mr->mem);
	}
	weft_run_trace(h->run, (struct weft_trace_rec){ .kind = WEFT_TRACE_MR_REG,
							.host = h->index,
							.key = mr->key,
							.addr = mr->addr,
							.len = mr->len,
							.flags = mr->access });
}

void weft_hostmem_up(struct weft_run_host *h)
{
	for (uint32_t i = 0; i < WEFT_SIM_MRS; i++)
		mr_up(h, i);
	for (uint32_t i = 0; i < h->run->s->qps; i++) {
		h->qp[i] =
			(struct weft_run_qp){ .qpn = (uint16_t)((h->inc & 0xff) << 8 | (i + 1)) };
		weft_run_trace(h->run, (struct weft_trace_rec){ .kind = WEFT_TRACE_QP_UP,
								.host = h->index,
								.qpn = h->qp[i].qpn });
		weft_hostmem_refill(h, i);
	}
}

/* All memory is lost. What open requests had put there is written down first, since they may yet be
 * completed, rightly, by an answer that is on its way. */
void weft_hostmem_down(struct weft_run_host *h)
{
	struct weft_run *run = h->run;

	for (uint32_t wr = 0; wr < run->wrs; wr++) {
		const struct weft_sim_wr_plan *plan = weft_run_plan(run, wr);

		if (run->wr[wr].state == WEFT_RUN_WR_POSTED && plan->peer == h->index &&
		    run->wr[wr].key == h->mr[plan->mr].key &&
		    (plan->op == WEFT_SRD_WRITE || plan->op == WEFT_SRD_WRITE_IMM))
			weft_run_trace(run, (struct weft_trace_rec){
						    .kind = WEFT_TRACE_SNAPSHOT,
						    .host = h->index,
						    .wr = wr,
						    .hash = weft_hostmem_target_hash(run, wr) });
	}
	for (uint32_t i = 0; i < WEFT_SIM_MRS; i++) {
		free(h->mr[i].mem);
		h->mr[i].mem = NULL;
		h->mr[i].valid = false;
	}
	for (uint64_t i = 0; i < run->recvs; i++)
		if (run->recv[i].host == h->index)
			recv_over(&run->recv[i]);
}

void weft_hostmem_qp_gone(struct weft_run_host *h, uint32_t i)
{
	h->qp[i].gone = true;
	h->qp[i].posted = 0;
}

/* The gaps between the targets were zero and must still be. */
void weft_hostmem_check_guards(struct weft_run_host *h)
{
	uint32_t damaged = 0;

	for (uint32_t wr = 0; wr < h->run->wrs; wr++) {
		const struct weft_sim_wr_plan *plan = weft_run_plan(h->run, wr);
		const struct weft_run_mr *mr = &h->mr[plan->mr];

		if (plan->peer != h->index || plan->op < WEFT_SRD_WRITE ||
		    plan->op == WEFT_SRD_READ || !mr->mem)
			continue;
		for (uint32_t k = 0; k < WEFT_SIM_GUARD; k++)
			damaged += mr->mem[plan->mr_off + plan->len + k] != 0;
	}
	weft_run_trace(h->run, (struct weft_trace_rec){ .kind = WEFT_TRACE_GUARD,
							.host = h->index,
							.value = damaged });
}
