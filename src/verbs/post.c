/* SPDX-License-Identifier: BSD-2-Clause */
/* Posting: the classic lists of work requests, and the builder of the extended interface. Both translate into
 * the device's requests and hand over several at a time, so that one doorbell serves them.
 *
 * The device takes all of a call's requests or none. The builder promises just that. A classic list instead is
 * posted up to its first bad member, which is reported: it is translated in pieces, and a piece that was not
 * taken whole is offered again one by one. */
#include "verbs/obj.h"

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define CHUNK 16u

#define FLAGS_KNOWN (IBV_SEND_SIGNALED | IBV_SEND_INLINE)

/* Each request leaves a completion, and has to say so. */
static inline bool flags_ok(const struct weft_vqp *qp, unsigned int flags)
{
	return !(flags & ~(unsigned int)FLAGS_KNOWN) &&
	       ((flags & IBV_SEND_SIGNALED) || qp->sig_all);
}

/* Classic sends */

static inline void copy_sges(struct weft_sge *to, const struct ibv_sge *from, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		to[i] = (struct weft_sge){ from[i].addr, from[i].length, from[i].lkey };
}

static int copy_inline(struct weft_wr *to, const struct ibv_sge *sge, uint32_t n, uint32_t max)
{
	uint32_t len = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (sge[i].length > max - len)
			return EINVAL;
		memcpy(to->inline_data + len, (const void *)(uintptr_t)sge[i].addr, sge[i].length);
		len += sge[i].length;
	}
	to->inline_len = (uint8_t)len;
	to->sge_len = 0;
	return 0;
}

static int translate(const struct weft_vqp *qp, const struct ibv_send_wr *in, struct weft_wr *out)
{
	if (unlikely(!flags_ok(qp, in->send_flags) || in->num_sge < 0 || !in->wr.ud.ah))
		return EINVAL;
	if (likely(in->opcode == IBV_WR_SEND))
		out->op = WEFT_OP_SEND;
	else if (in->opcode == IBV_WR_SEND_WITH_IMM)
		out->op = WEFT_OP_SEND_IMM;
	else
		return EINVAL; /* Only the builder has the others. */
	out->wr_id = in->wr_id;
	out->ah = weft_vah(in->wr.ud.ah);
	out->raddr = 0;
	out->rkey = 0;
	out->qkey = in->wr.ud.remote_qkey;
	out->imm = in->imm_data;
	out->qpn = (uint16_t)in->wr.ud.remote_qpn;
	out->is_inline = in->send_flags & IBV_SEND_INLINE;
	out->inline_len = 0;
	if (out->is_inline)
		return copy_inline(out, in->sg_list, (uint32_t)in->num_sge, qp->inline_max);
	if (unlikely((uint32_t)in->num_sge > qp->send_sge_max))
		return EINVAL;
	out->sge_len = (uint8_t)in->num_sge;
	copy_sges(out->sge, in->sg_list, (uint32_t)in->num_sge);
	return 0;
}

/* Post what the device takes of wr[0..n), in order; *done_out: how many. */
static int post_some(struct weft_vqp *qp, const struct weft_wr *wr, uint32_t n, uint32_t *done_out)
{
	int rc = n ? weft_qp_post_send(qp->dev, wr, n) : 0;

	*done_out = rc ? 0 : n;
	if (likely(!rc) || n == 1)
		return -rc;
	for (rc = 0; *done_out < n; (*done_out)++) {
		rc = weft_qp_post_send(qp->dev, wr + *done_out, 1);
		if (rc)
			break;
	}
	return -rc;
}

int weft_op_post_send(struct ibv_qp *ibv, struct ibv_send_wr *in, struct ibv_send_wr **bad_wr)
{
	struct weft_vqp *qp = weft_vqp(ibv);
	struct weft_wr wr[CHUNK];
	struct ibv_send_wr *first;
	uint32_t n, done;
	int err = 0, err_post;

	while (in && !err) {
		first = in;
		for (n = 0; in && n < CHUNK; n++, in = in->next) {
			err = translate(qp, in, &wr[n]);
			if (unlikely(err))
				break;
		}
		err_post = post_some(qp, wr, n, &done);
		if (unlikely(err_post)) {
			for (in = first; in && done; done--)
				in = in->next;
			err = err_post;
		} else if (unlikely(err) && flags_ok(qp, in->send_flags) &&
			   !weft_qp_send_room(qp->dev)) {
			/* A full queue is noticed before what is wrong with the operation. */
			err = ENOMEM;
		}
	}
	if (unlikely(err))
		*bad_wr = in;
	return err;
}

/* Classic receives */

static int translate_recv(const struct weft_vqp *qp, const struct ibv_recv_wr *in,
			  struct weft_recv_wr *out)
{
	if (unlikely((uint32_t)in->num_sge > qp->recv_sge_max)) /* A negative one, too. */
		return EINVAL;
	out->wr_id = in->wr_id;
	out->sge_len = (uint32_t)in->num_sge;
	copy_sges(out->sge, in->sg_list, out->sge_len);
	for (uint32_t i = 0; i < out->sge_len; i++)
		out->sge[i].len = WEFT_MIN(out->sge[i].len, 65535u); /* The card has 16 bits. */
	return 0;
}

static int post_some_recv(struct weft_vqp *qp, const struct weft_recv_wr *wr, uint32_t n,
			  uint32_t *done_out)
{
	int rc = n ? weft_qp_post_recv(qp->dev, wr, n) : 0;

	*done_out = rc ? 0 : n;
	if (likely(!rc) || n == 1)
		return -rc;
	for (rc = 0; *done_out < n; (*done_out)++) {
		rc = weft_qp_post_recv(qp->dev, wr + *done_out, 1);
		if (rc)
			break;
	}
	return -rc;
}

int weft_op_post_recv(struct ibv_qp *ibv, struct ibv_recv_wr *in, struct ibv_recv_wr **bad_wr)
{
	struct weft_vqp *qp = weft_vqp(ibv);
	struct weft_recv_wr wr[CHUNK];
	struct ibv_recv_wr *first;
	uint32_t n, done;
	int err = 0, err_post;

	while (in && !err) {
		first = in;
		for (n = 0; in && n < CHUNK; n++, in = in->next) {
			err = translate_recv(qp, in, &wr[n]);
			if (unlikely(err))
				break;
		}
		err_post = post_some_recv(qp, wr, n, &done);
		if (unlikely(err_post)) {
			for (in = first; in && done; done--)
				in = in->next;
			err = err_post;
		}
	}
	if (unlikely(err))
		*bad_wr = in;
	return err;
}

/* The builder. wr_start takes the mutex, wr_complete and wr_abort give it back; in between requests gather in
 * build.wr. The first error is remembered and makes wr_complete drop the batch; from then on everything is
 * written to a request that nobody will read, so that the setters need no check. */

static void spoil(struct weft_vqp *qp, int err)
{
	if (!qp->build.err)
		qp->build.err = err;
	qp->build.cur = &qp->build.wr[qp->build.max];
}

static void wr_start(struct ibv_qp_ex *ibv)
{
	struct weft_vqp *qp = weft_vqp_ex(ibv);

	pthread_mutex_lock(&qp->build.mutex);
	qp->build.len = 0;
	qp->build.err = 0;
	qp->build.cur = &qp->build.wr[qp->build.max];
}

static int wr_complete(struct ibv_qp_ex *ibv)
{
	struct weft_vqp *qp = weft_vqp_ex(ibv);
	int err = qp->build.err;

	if (likely(!err) && qp->build.len)
		err = -weft_qp_post_send(qp->dev, qp->build.wr, qp->build.len);
	pthread_mutex_unlock(&qp->build.mutex);
	return err;
}

static void wr_abort(struct ibv_qp_ex *ibv)
{
	pthread_mutex_unlock(&weft_vqp_ex(ibv)->build.mutex);
}

static inline struct weft_wr *next(struct ibv_qp_ex *ibv, enum weft_op op)
{
	struct weft_vqp *qp = weft_vqp_ex(ibv);
	struct weft_wr *wr;

	if (unlikely(!flags_ok(qp, ibv->wr_flags)))
		spoil(qp, EINVAL);
	else if (unlikely(qp->build.len == qp->build.max))
		spoil(qp, ENOMEM);
	else if (likely(!qp->build.err))
		qp->build.cur = &qp->build.wr[qp->build.len++];
	wr = qp->build.cur;
	wr->wr_id = ibv->wr_id;
	wr->ah = NULL; /* A request without an address is refused by the device. */
	wr->op = (uint8_t)op;
	wr->sge_len = 0;
	wr->is_inline = false;
	wr->inline_len = 0;
	return wr;
}

static void wr_send(struct ibv_qp_ex *ibv)
{
	next(ibv, WEFT_OP_SEND);
}

static void wr_send_imm(struct ibv_qp_ex *ibv, __be32 imm_data)
{
	next(ibv, WEFT_OP_SEND_IMM)->imm = imm_data;
}

static inline struct weft_wr *next_rdma(struct ibv_qp_ex *ibv, enum weft_op op, uint32_t rkey,
					uint64_t remote_addr)
{
	struct weft_wr *wr = next(ibv, op);

	wr->rkey = rkey;
	wr->raddr = remote_addr;
	return wr;
}

static void wr_rdma_read(struct ibv_qp_ex *ibv, uint32_t rkey, uint64_t remote_addr)
{
	next_rdma(ibv, WEFT_OP_READ, rkey, remote_addr);
}

static void wr_rdma_write(struct ibv_qp_ex *ibv, uint32_t rkey, uint64_t remote_addr)
{
	next_rdma(ibv, WEFT_OP_WRITE, rkey, remote_addr);
}

static void wr_rdma_write_imm(struct ibv_qp_ex *ibv, uint32_t rkey, uint64_t remote_addr,
			      __be32 imm_data)
{
	next_rdma(ibv, WEFT_OP_WRITE_IMM, rkey, remote_addr)->imm = imm_data;
}

static inline bool is_rdma(const struct weft_wr *wr)
{
	return wr->op >= WEFT_OP_WRITE;
}

static void wr_set_sge_list(struct ibv_qp_ex *ibv, size_t num_sge, const struct ibv_sge *sg_list)
{
	struct weft_vqp *qp = weft_vqp_ex(ibv);
	struct weft_wr *wr = qp->build.cur;

	if (unlikely(num_sge > (is_rdma(wr) ? 1u : qp->send_sge_max))) {
		spoil(qp, EINVAL);
		return;
	}
	wr->sge_len = (uint8_t)num_sge;
	copy_sges(wr->sge, sg_list, (uint32_t)num_sge);
}

static void wr_set_sge(struct ibv_qp_ex *ibv, uint32_t lkey, uint64_t addr, uint32_t length)
{
	struct weft_wr *wr = weft_vqp_ex(ibv)->build.cur;

	wr->sge[0] = (struct weft_sge){ addr, length, lkey };
	wr->sge_len = 1;
}

static void wr_set_inline_data_list(struct ibv_qp_ex *ibv, size_t num_buf,
				    const struct ibv_data_buf *buf_list)
{
	struct weft_vqp *qp = weft_vqp_ex(ibv);
	struct weft_wr *wr = qp->build.cur;
	size_t len = 0;

	if (unlikely(is_rdma(wr)))
		goto bad;
	for (size_t i = 0; i < num_buf; i++) {
		if (unlikely(buf_list[i].length > qp->inline_max - len))
			goto bad;
		memcpy(wr->inline_data + len, buf_list[i].addr, buf_list[i].length);
		len += buf_list[i].length;
	}
	wr->is_inline = true;
	wr->inline_len = (uint8_t)len;
	return;
bad:
	spoil(qp, EINVAL);
}

static void wr_set_inline_data(struct ibv_qp_ex *ibv, void *addr, size_t length)
{
	wr_set_inline_data_list(ibv, 1, &(struct ibv_data_buf){ addr, length });
}

static void wr_set_ud_addr(struct ibv_qp_ex *ibv, struct ibv_ah *ah, uint32_t remote_qpn,
			   uint32_t remote_qkey)
{
	struct weft_wr *wr = weft_vqp_ex(ibv)->build.cur;

	wr->ah = likely(ah) ? weft_vah(ah) : NULL;
	wr->qpn = (uint16_t)remote_qpn;
	wr->qkey = remote_qkey;
}

void weft_build_init(struct weft_vqp *qp, uint64_t ops)
{
	struct ibv_qp_ex *ex = &qp->abi.ex;

	ex->wr_start = wr_start;
	ex->wr_complete = wr_complete;
	ex->wr_abort = wr_abort;
	ex->wr_set_sge = wr_set_sge;
	ex->wr_set_sge_list = wr_set_sge_list;
	ex->wr_set_inline_data = wr_set_inline_data;
	ex->wr_set_inline_data_list = wr_set_inline_data_list;
	ex->wr_set_ud_addr = wr_set_ud_addr;
	if (ops & IBV_QP_EX_WITH_SEND)
		ex->wr_send = wr_send;
	if (ops & IBV_QP_EX_WITH_SEND_WITH_IMM)
		ex->wr_send_imm = wr_send_imm;
	if (ops & IBV_QP_EX_WITH_RDMA_READ)
		ex->wr_rdma_read = wr_rdma_read;
	if (ops & IBV_QP_EX_WITH_RDMA_WRITE)
		ex->wr_rdma_write = wr_rdma_write;
	if (ops & IBV_QP_EX_WITH_RDMA_WRITE_WITH_IMM)
		ex->wr_rdma_write_imm = wr_rdma_write_imm;
}
