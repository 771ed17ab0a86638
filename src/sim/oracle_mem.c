/* SPDX-License-Identifier: BSD-2-Clause */
/* Receives and memory: who may touch which bytes, when, and with what.
 *
 * A SEND is recognised by the work request number in the low bits of its qkey, a request with immediate
 * data by the immediate, a WRITE by its target address: no two requests of a run share one. So every byte
 * that is placed is compared with the one byte that belongs there. */
#include "base/assert.h"
#include "sim/oracle_state.h"
#include "sim/pattern.h"

struct oracle_recv *oracle_recv_get(struct oracle *o, uint64_t id)
{
	return id < o->recvs && o->recv[id].state != ORACLE_RECV_NONE ? &o->recv[id] : NULL;
}

struct oracle_key *oracle_key_get(struct oracle *o, uint32_t key)
{
	if (key < ORACLE_KEY_BASE || key - ORACLE_KEY_BASE >= o->keys)
		return NULL;
	return o->key[key - ORACLE_KEY_BASE].known ? &o->key[key - ORACLE_KEY_BASE] : NULL;
}

static uint32_t addr_hash(uint64_t addr)
{
	return (uint32_t)(addr * 0x9e3779b97f4a7c15u >> 32);
}

void oracle_wr_index(struct oracle *o, uint32_t wr)
{
	uint32_t i = addr_hash(o->wr[wr].addr);

	while (o->by_addr[i & o->by_addr_mask] != ORACLE_NIL)
		i++;
	o->by_addr[i & o->by_addr_mask] = wr;
}

struct oracle_wr *oracle_wr_at(struct oracle *o, uint64_t addr)
{
	for (uint32_t i = addr_hash(addr);; i++) {
		uint32_t wr = o->by_addr[i & o->by_addr_mask];

		if (wr == ORACLE_NIL)
			return NULL;
		if (o->wr[wr].addr == addr)
			return &o->wr[wr];
	}
}

static bool is_live(const struct oracle *o, const struct oracle_key *key, uint8_t host,
		    uint8_t access)
{
	return key && key->host == host && key->inc == o->host[host].inc && key->access & access &&
	       key->dereg_at == WEFT_NS_NEVER;
}

static void on_mr_reg(struct oracle *o, const struct weft_trace_rec *r)
{
	if (r->key < ORACLE_KEY_BASE)
		return;
	o->key[r->key - ORACLE_KEY_BASE] = (struct oracle_key){
		.known = true,
		.addr = r->addr,
		.len = r->len,
		.inc = o->host[r->host].inc,
		.host = r->host,
		.access = (uint8_t)r->flags,
		.dereg_at = WEFT_NS_NEVER,
	};
}

static void on_mr_dereg(struct oracle *o, const struct weft_trace_rec *r)
{
	struct oracle_key *key = oracle_key_get(o, r->key);

	if (key)
		key->dereg_at = r->at;
}

static void on_recv_post(struct oracle *o, const struct weft_trace_rec *r)
{
	o->recv[r->id] = (struct oracle_recv){
		.state = ORACLE_RECV_POSTED,
		.host = r->host,
		.qpn = r->qpn,
		.len = r->len,
		.inc = o->host[r->host].inc,
		.wr = WEFT_TRACE_NO_WR,
	};
}

static void on_claim(struct oracle *o, const struct weft_trace_rec *r)
{
	struct oracle_wr *w = oracle_wr_get(o, r->wr);
	struct oracle_recv *v;

	if (!w || w->host != r->peer || w->peer != r->host || w->op != r->op || w->len != r->len ||
	    w->peer_qpn != r->qpn || w->qpn != r->peer_qpn) {
		oracle_violation(o, WEFT_I2, r->wr, "claims a receive for what nobody sent");
		return;
	}
	if (r->status == WEFT_SRD_RNR) {
		/* One refused claim per try; a message of several packets may cause more. */
		if (++w->rnr_claims > w->rnr_retry + 1 && w->rnr_retry < 7 &&
		    w->len <= o->param[WEFT_PARAM_PAYLOAD_MIN])
			oracle_violation(o, WEFT_I4, r->wr, "tried %u times, rnr_retry is %u",
					 w->rnr_claims, w->rnr_retry);
		return;
	}
	w->length_claims += r->status == WEFT_SRD_REMOTE_LENGTH;
	if (r->status != WEFT_SRD_OK)
		return;
	v = oracle_recv_get(o, r->id);
	if (!v || v->state != ORACLE_RECV_POSTED || v->host != r->host ||
	    v->inc != o->host[r->host].inc || (v->len < r->len && r->op != WEFT_SRD_WRITE_IMM)) {
		oracle_violation(o, WEFT_I5, r->wr, "claimed a receive that cannot be had");
		return;
	}
	if (w->delivered)
		oracle_violation(o, WEFT_I1, r->wr, "claims a receive after its delivery");
	v->state = ORACLE_RECV_CLAIMED;
	v->wr = r->wr;
}

/* The receive `id` as one that host r->host holds claimed; NULL after a violation. */
static struct oracle_recv *claimed(struct oracle *o, const struct weft_trace_rec *r,
				   const char *what)
{
	struct oracle_recv *v = oracle_recv_get(o, r->id);

	if (v && v->state == ORACLE_RECV_CLAIMED && v->host == r->host &&
	    v->inc == o->host[r->host].inc)
		return v;
	oracle_violation(o, WEFT_I5, r->wr, "%s a receive that is not claimed", what);
	return NULL;
}

static void on_place(struct oracle *o, const struct weft_trace_rec *r)
{
	struct oracle_recv *v = claimed(o, r, "placed bytes in");
	const struct oracle_wr *w = v ? oracle_wr_get(o, v->wr) : NULL;

	if (!w)
		return;
	if ((uint64_t)r->off + r->value > w->len)
		oracle_violation(o, WEFT_I5, v->wr, "placed bytes %u to %u of %u", r->off,
				 r->off + r->value, w->len);
	else if (r->hash != weft_sim_fill_hash(weft_sim_wr_stream(v->wr), r->off, r->value))
		oracle_violation(o, WEFT_I2, v->wr, "placed wrong bytes at %u", r->off);
}

static void on_delivered(struct oracle *o, struct oracle_wr *w, const struct weft_trace_rec *r)
{
	if (w->done && w->status == WEFT_SRD_OK && w->delivered)
		oracle_violation(o, WEFT_I1, r->wr, "delivered again after its success");
	else if (w->delivered)
		oracle_violation(o, WEFT_I1, r->wr, "delivered twice");
	if (w->done &&
	    (w->status == WEFT_SRD_REMOTE_QPN || w->status == WEFT_SRD_RNR ||
	     w->status == WEFT_SRD_REMOTE_LENGTH || w->status == WEFT_SRD_REMOTE_ADDRESS))
		oracle_violation(o, WEFT_I4, r->wr, "delivered after it had failed with %u",
				 w->status);
	w->delivered++;
}

static void on_recv_done(struct oracle *o, const struct weft_trace_rec *r)
{
	struct oracle_recv *v = claimed(o, r, "completed");
	struct oracle_wr *w = oracle_wr_get(o, r->wr);

	if (!v)
		return;
	v->state = ORACLE_RECV_DONE;
	if (!w || v->wr != r->wr || w->host != r->peer || w->peer != r->host || w->op != r->op ||
	    w->len != r->len || w->qpn != r->peer_qpn || w->peer_qpn != r->qpn) {
		oracle_violation(o, WEFT_I2, r->wr, "delivered what nobody sent");
		return;
	}
	if (w->op != WEFT_SRD_SEND && w->imm != r->imm)
		oracle_violation(o, WEFT_I2, r->wr, "immediate %x is not %x", r->imm, w->imm);
	if (r->hash != weft_sim_fill_hash(weft_sim_wr_stream(r->wr), 0, w->len))
		oracle_violation(o, WEFT_I2, r->wr, "delivered with other bytes");
	on_delivered(o, w, r);
}

static void on_release(struct oracle *o, const struct weft_trace_rec *r)
{
	struct oracle_recv *v = claimed(o, r, "released");

	/* It may be claimed again, or its QP is gone and nobody will. */
	if (v)
		v->state = ORACLE_RECV_POSTED;
}

static void on_write(struct oracle *o, const struct weft_trace_rec *r)
{
	struct oracle_wr *w = oracle_wr_at(o, r->addr);
	uint32_t n = w ? (uint32_t)(w - o->wr) : WEFT_TRACE_NO_WR;

	if (r->status != WEFT_SRD_OK)
		return;
	if (!w || w->peer != r->host || w->host != r->peer || w->len != r->len ||
	    w->key != r->key) {
		oracle_violation(o, WEFT_I5, n, "wrote what nobody asked for at %llx",
				 (unsigned long long)r->addr);
		return;
	}
	if (!is_live(o, oracle_key_get(o, r->key), r->host, WEFT_ACCESS_WRITE))
		oracle_violation(o, WEFT_I5, n, "wrote under key %x, which is not valid", r->key);
	if ((uint64_t)r->off + r->value > w->len)
		oracle_violation(o, WEFT_I5, n, "wrote bytes %u to %u of %u", r->off,
				 r->off + r->value, w->len);
	else if (r->hash != weft_sim_fill_hash(weft_sim_wr_stream(n), r->off, r->value))
		oracle_violation(o, WEFT_I2, n, "wrote wrong bytes at %u", r->off);
	/* The application may have put the memory to another use by now. */
	if (w->done && w->status == WEFT_SRD_OK)
		oracle_violation(o, WEFT_I1, n, "wrote again after its success");
	if (w->delivered)
		oracle_violation(o, WEFT_I1, n, "wrote again after its delivery");
}

static void on_read_place(struct oracle *o, const struct weft_trace_rec *r)
{
	struct oracle_wr *w = oracle_wr_get(o, r->wr);
	struct oracle_key *key = w ? oracle_key_get(o, w->key) : NULL;

	if (!w || w->host != r->host || w->op != WEFT_SRD_READ || w->done || w->orphan ||
	    w->inc != o->host[r->host].inc) {
		oracle_violation(o, WEFT_I5, r->wr, "answer to a READ that is not waiting for one");
		return;
	}
	if ((uint64_t)r->off + r->value > w->len)
		oracle_violation(o, WEFT_I5, r->wr, "answer to bytes %u to %u of %u", r->off,
				 r->off + r->value, w->len);
	else if (!key || r->hash != weft_sim_fill_hash(weft_sim_mem_stream(w->key),
						       w->addr - key->addr + r->off, r->value))
		oracle_violation(o, WEFT_I2, r->wr, "wrong answer at %u", r->off);
}

static void check_target_payload(struct oracle *o, const struct weft_trace_rec *r)
{
	const struct oracle_key *key = oracle_key_get(o, r->key);

	if (!is_live(o, key, r->host, WEFT_ACCESS_READ))
		oracle_violation(o, WEFT_I5, WEFT_TRACE_NO_WR,
				 "read under key %x, which is not valid", r->key);
	else if ((uint64_t)r->off + r->value > key->len)
		oracle_violation(o, WEFT_I5, WEFT_TRACE_NO_WR,
				 "read bytes %u to %u of a region of %u", r->off, r->off + r->value,
				 key->len);
}

/* Buffers are the application's again as soon as the request is completed. */
static void check_wr_payload(struct oracle *o, const struct weft_trace_rec *r)
{
	struct oracle_wr *w = oracle_wr_get(o, r->wr);

	if (w)
		w->left = true;
	if (!w || w->host != r->host || w->inc != o->host[r->host].inc || w->orphan || w->done)
		oracle_violation(o, WEFT_I5, r->wr,
				 "sends from the buffer of a request that is over");
	else if ((uint64_t)r->off + r->value > w->len)
		oracle_violation(o, WEFT_I5, r->wr, "sends bytes %u to %u of %u", r->off,
				 r->off + r->value, w->len);
}

static void on_snapshot(struct oracle *o, const struct weft_trace_rec *r)
{
	struct oracle_wr *w = oracle_wr_get(o, r->wr);

	if (!w)
		return;
	w->has_snapshot = true;
	w->snapshot = r->hash;
}

bool oracle_on_mem(struct oracle *o, const struct weft_trace_rec *r)
{
	switch (r->kind) {
	case WEFT_TRACE_MR_REG:
		on_mr_reg(o, r);
		return true;
	case WEFT_TRACE_MR_DEREG:
		on_mr_dereg(o, r);
		return true;
	case WEFT_TRACE_RECV_POST:
		on_recv_post(o, r);
		return true;
	case WEFT_TRACE_CLAIM:
		on_claim(o, r);
		return true;
	case WEFT_TRACE_PLACE:
		on_place(o, r);
		return true;
	case WEFT_TRACE_RECV_DONE:
		on_recv_done(o, r);
		return true;
	case WEFT_TRACE_RECV_RELEASE:
		on_release(o, r);
		return true;
	case WEFT_TRACE_WRITE:
		on_write(o, r);
		return true;
	case WEFT_TRACE_READ_PLACE:
		on_read_place(o, r);
		return true;
	case WEFT_TRACE_SNAPSHOT:
		on_snapshot(o, r);
		return true;
	case WEFT_TRACE_GUARD:
		if (r->value)
			oracle_violation(o, WEFT_I5, WEFT_TRACE_NO_WR,
					 "%u bytes of host %u changed outside every request",
					 r->value, r->host);
		return true;
	case WEFT_TRACE_TX:
		if (r->status == 2)
			check_target_payload(o, r);
		if (r->status == 1)
			check_wr_payload(o, r);
		return false;
	default:
		return false;
	}
}
