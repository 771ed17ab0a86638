/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_DEV_DEV_H
#define WEFT_DEV_DEV_H

/* The device as its users (src/verbs, tests) see it: cards, protection domains, memory regions, address
 * handles, queue pairs, completion queues. Joins the engine, the wires and the clock; the only place that
 * owns threads and locks (locking.h).
 *
 * All functions may be called from any thread. Functions that create return 0 or -errno and write their
 * output only on success; functions that destroy return 0 or -EBUSY. Arguments of the application are
 * checked here, by the rules of an EFA card; what is peculiar to the C interface of libibverbs (layouts,
 * masks, errno) is checked in src/verbs. */
#include "base/types.h"
#include "dev/cardset.h"

#define WEFT_DEV_SQ_SGE       2u
#define WEFT_DEV_RQ_SGE       3u
#define WEFT_DEV_INLINE_MAX   32u
#define WEFT_DEV_SQ_MAX       4096u /* Work requests of one send queue. */
#define WEFT_DEV_SQ_MIN       32u
#define WEFT_DEV_RQ_MAX       32768u /* Pieces (SGEs) of one receive queue. */
#define WEFT_DEV_CQE_MAX      65536u
#define WEFT_DEV_QP_MAX       256u /* Of one card in one process. */
#define WEFT_DEV_CQ_MAX       512u
#define WEFT_DEV_MR_MAX       262144u
#define WEFT_DEV_AH_MAX       32768u /* Different addresses of one PD. */
#define WEFT_DEV_PD_MAX       256u
#define WEFT_DEV_MSG_MAX      8928u
#define WEFT_DEV_RDMA_MAX     (1u << 30)
#define WEFT_DEV_COMP_VECTORS 8u
#define WEFT_DEV_AHN_UNKNOWN  0xffffu
#define WEFT_DEV_UD_PREFIX    40u /* Bytes left free in front of a UD message that is received. */

/* Cards. An open card is shared by all who open it in this process: one engine, one identity on the wire.
 * The identity (a slot: a bound port) is claimed when the first QP is made, so that programs that only look
 * cost nothing. */
struct weft_card;

int weft_card_open(uint32_t index, struct weft_card **card_out); /* Index into the card set. */
void weft_card_close(struct weft_card *card);
const struct weft_card_info *weft_card_info(const struct weft_card *card);

/* Protection domains */
struct weft_pd;

int weft_pd_create(struct weft_card *card, struct weft_pd **pd_out);
int weft_pd_destroy(struct weft_pd *pd); /* -EBUSY while it has MRs, AHs or QPs. */

/* Memory regions */
enum weft_access {
	WEFT_ACCESS_LOCAL_WRITE = 1,
	WEFT_ACCESS_REMOTE_WRITE = 2,
	WEFT_ACCESS_REMOTE_READ = 4,
};

struct weft_mr {
	struct weft_pd *pd;
	void *addr;
	uint64_t length, iova;
	uint32_t lkey, rkey; /* Below 2^24, different from each other, not reused soon. */
	uint32_t access;
};

/* -EINVAL: bad range or combination; -EOPNOTSUPP: the card lacks the capability; -EFAULT: not mapped. */
int weft_mr_create(struct weft_pd *pd, void *addr, uint64_t length, uint64_t iova, uint32_t access,
		   struct weft_mr **mr_out);
/* Work requests that still use it fail with 5 here, with 7 at remote initiators. Never waits. */
int weft_mr_destroy(struct weft_mr *mr);

bool weft_mr_is_gpu(const struct weft_mr *mr);

/* Address handles: one number per PD and address, counted. */
struct weft_ah;

int weft_ah_create(struct weft_pd *pd, const struct weft_gid *gid, struct weft_ah **ah_out);
int weft_ah_destroy(struct weft_ah *ah); /* Outstanding work requests that use it are flushed. */
uint16_t weft_ah_number(const struct weft_ah *ah);
struct weft_ah *weft_ah_at(struct weft_pd *pd, uint16_t number); /* The other way round. */

/* Completion channels: fd is readable when, and only when, an event waits. */
struct weft_channel;
struct weft_cq;

int weft_channel_create(struct weft_card *card, struct weft_channel **channel_out);
int weft_channel_destroy(struct weft_channel *channel); /* -EBUSY while CQs use it. */
int weft_channel_fd(const struct weft_channel *channel);
/* The CQ of the next event. Blocks unless the fd is O_NONBLOCK: then -EAGAIN. */
int weft_channel_get(struct weft_channel *channel, struct weft_cq **cq_out);

/* Completion queues */
enum weft_cqe_op {
	WEFT_CQE_SEND, /* SEND, and READ: as the real driver reports it. */
	WEFT_CQE_WRITE,
	WEFT_CQE_RECV,
	WEFT_CQE_RECV_WRITE_IMM,
};

enum weft_cqe_flags {
	WEFT_CQE_F_IMM = 1,
	WEFT_CQE_F_UNSOLICITED = 2, /* RECV_WRITE_IMM that consumed no receive. */
	WEFT_CQE_F_STALE = 4, /* Its QP was destroyed meanwhile. */
};

struct weft_cqe {
	uint64_t wr_id;
	struct weft_gid gid; /* Receives: sender's address. */
	uint32_t byte_len; /* Receives only; UD: with the prefix. */
	uint32_t imm; /* As on the wire: network byte order, untouched. */
	uint16_t qpn, src_qpn;
	uint16_t ahn; /* Receives: of the sender in the QP's PD, or AHN_UNKNOWN. */
	uint8_t status; /* EFA io completion status; also the vendor_err. */
	uint8_t op; /* enum weft_cqe_op. */
	uint8_t flags; /* enum weft_cqe_flags. */
};

/* `user` comes back from weft_cq_user(). channel may be NULL. *depth is rounded up to what it became. */
int weft_cq_create(struct weft_card *card, uint32_t *depth, struct weft_channel *channel,
		   void *user, struct weft_cq **cq_out);
int weft_cq_destroy(
	struct weft_cq *cq); /* -EBUSY while QPs use it. Waits until all events were acked. */
void *weft_cq_user(const struct weft_cq *cq);
void weft_cq_ack(struct weft_cq *cq, uint32_t events);
/* One event when the next completion arrives, or at once when one waits already. */
void weft_cq_arm(struct weft_cq *cq);

/* A poll session: begin takes the CQ's consumer lock, next hands out completions one at a time (valid until
 * the following call), end gives the lock back. Nothing of the card's progress needs that lock, so a session
 * may stay open between calls of the application. begin makes progress if the CQ is empty. */
void weft_cq_begin(struct weft_cq *cq);
const struct weft_cqe *weft_cq_next(struct weft_cq *cq); /* NULL: empty. */
void weft_cq_end(struct weft_cq *cq);
/* A CQ that only one thread polls needs no lock. */
void weft_cq_set_single_threaded(struct weft_cq *cq);
/* Polls that find nothing for long offer the core to others, by default. Not if the client does that. */
void weft_cq_set_impatient(struct weft_cq *cq);

/* Queue pairs */
enum weft_qp_type {
	WEFT_QP_SRD,
	WEFT_QP_UD,
};

enum weft_qp_state {
	/* create -> RESET -> INIT -> RTR -> RTS <-> SQD; any -> RESET; any but RESET -> ERR. */
	WEFT_QPS_RESET,
	WEFT_QPS_INIT,
	WEFT_QPS_RTR,
	WEFT_QPS_RTS,
	WEFT_QPS_SQD,
	WEFT_QPS_ERR,
};

struct weft_qp_attr {
	enum weft_qp_type type;
	struct weft_cq *send_cq, *recv_cq;
	uint32_t max_send_wr, max_recv_wr; /* Updated to what they became. */
	uint32_t max_send_sge, max_recv_sge, max_inline;
	bool unsolicited_write_recv;
	void *user;
};

struct weft_qp;

int weft_qp_create(struct weft_pd *pd, struct weft_qp_attr *attr, struct weft_qp **qp_out);
int weft_qp_destroy(struct weft_qp *qp);
uint16_t weft_qp_number(const struct weft_qp *qp);
void *weft_qp_user(const struct weft_qp *qp);

enum weft_qp_state weft_qp_state(const struct weft_qp *qp);
/* The transition must be legal (-EINVAL). qkey, sq_psn and rnr_retry are set before it. */
int weft_qp_set_state(struct weft_qp *qp, enum weft_qp_state to);
void weft_qp_set_qkey(struct weft_qp *qp, uint32_t qkey);
void weft_qp_set_rnr_retry(struct weft_qp *qp, uint8_t rnr_retry);

struct weft_sge {
	uint64_t addr;
	uint32_t len, lkey;
};

enum weft_op {
	WEFT_OP_SEND,
	WEFT_OP_SEND_IMM,
	WEFT_OP_WRITE,
	WEFT_OP_WRITE_IMM,
	WEFT_OP_READ,
};

struct weft_wr {
	uint64_t wr_id;
	struct weft_ah *ah;
	uint64_t raddr; /* WRITE, READ. */
	uint32_t rkey;
	uint32_t qkey;
	uint32_t imm; /* Network byte order, untouched. */
	uint16_t qpn; /* Of the receiver. */
	uint8_t op; /* enum weft_op. */
	uint8_t sge_len;
	bool is_inline;
	uint8_t inline_len;
	union {
		struct weft_sge sge[WEFT_DEV_SQ_SGE];
		uint8_t inline_data[WEFT_DEV_INLINE_MAX];
	};
};

struct weft_recv_wr {
	uint64_t wr_id;
	uint32_t sge_len;
	struct weft_sge sge[WEFT_DEV_RQ_SGE];
};

/* All of them or none. -EINVAL: not in a state to send, no AH, too many pieces; -ENOMEM: the queue is full
 * (a place is free again when its completion has been polled). Lengths and keys are judged later, by a
 * completion. The doorbell is part of it. */
int weft_qp_post_send(struct weft_qp *qp, const struct weft_wr *wr, uint32_t n);
uint32_t weft_qp_send_room(const struct weft_qp *qp);
int weft_qp_post_recv(struct weft_qp *qp, const struct weft_recv_wr *wr, uint32_t n);

/* What a completion's status means, in a few words. */
const char *weft_dev_status_text(uint32_t status);

/* Let the card work once: for callers that wait for something else than a completion. */
void weft_card_progress(struct weft_card *card);

#endif
