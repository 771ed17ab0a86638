/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_VERBS_OBJ_H
#define WEFT_VERBS_OBJ_H

/* Our objects as programs see them: the struct of libibverbs first, so that its address is the object's, and
 * behind it what is ours. Programs read the front directly and must not find it changed under their hands.
 *
 * An object is ours if its context's device is: all devices of weft lie in one array, so that this is a
 * comparison of addresses that reads nothing behind the public structs. Everything else belongs to the real
 * library (passthru.h). */
#include "dev/dev.h"
#include "verbs/abi.h"
#include "verbs/efadv_abi.h"

#define weft_container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

struct weft_vdevice {
	struct ibv_device ibv;
	/* The real library would look here for its own part of a device. Should it ever get hold of one of
	 * ours, let it find nulls. */
	void *nothing[32];
	const struct weft_card_info *info;
};

extern struct weft_vdevice weft_vdevices[WEFT_CARDS_MAX];

static inline bool weft_is_our_device(const struct ibv_device *device)
{
	return (uintptr_t)device - (uintptr_t)weft_vdevices < sizeof(weft_vdevices);
}

static inline bool weft_is_ours(const struct ibv_context *context)
{
	return weft_is_our_device(context->device);
}

/* Counted: by the program (until it closes the device) and by each object made from it. Programs may close
 * a device before its objects. */
struct weft_vcontext {
	struct weft_abi_context abi;
	struct weft_card *card; /* ref */
	const struct weft_card_info *info;
	_Atomic uint32_t refs;
};

static inline struct weft_vcontext *weft_vcontext(struct ibv_context *context)
{
	return weft_container_of(context, struct weft_vcontext, abi.v.context);
}

void weft_vcontext_get(struct weft_vcontext *ctx);
void weft_vcontext_put(struct weft_vcontext *ctx);

struct weft_vpd {
	struct ibv_pd ibv;
	struct weft_pd *dev; /* owns, as in the other objects */
};

struct weft_vmr {
	struct ibv_mr ibv;
	struct weft_mr *dev;
};

struct weft_vchannel {
	struct ibv_comp_channel ibv;
	struct weft_channel *dev;
};

struct weft_vcq {
	union {
		struct ibv_cq ibv;
		struct ibv_cq_ex ex;
	};
	struct efadv_cq efadv;
	struct weft_cq *dev;
	const struct weft_cqe *cqe; /* borrows: of the open poll session, until its next step. */
	bool polling; /* A session is open. Written by who holds it. */
};

struct weft_vqp {
	union {
		struct ibv_qp ibv;
		struct weft_abi_qp_ex abi;
	};
	struct efadv_qp efadv;
	struct weft_qp *dev;
	enum weft_qp_type type;
	bool extended; /* Has the builder of work requests. */
	bool sig_all; /* Work requests need not be marked as signaled. */
	uint32_t send_sge_max, recv_sge_max, inline_max;

	/* Attributes that only have to be given back. Under ibv.mutex. */
	struct {
		uint32_t qkey, sq_psn;
		uint8_t rnr_retry;
		struct ibv_qp_cap cap;
	} attr;

	/* The batch between wr_start and wr_complete; one builder at a time holds the mutex. */
	struct {
		pthread_mutex_t mutex;
		struct weft_wr
			*wr; /* owns: `max` of them, and one to scribble on after an error. */
		struct weft_wr *cur; /* The last one, or the scribbled one. */
		uint32_t len, max;
		int err; /* The first error; the batch will be dropped. */
	} build;
};

static inline struct weft_vpd *weft_vpd(struct ibv_pd *pd)
{
	return weft_container_of(pd, struct weft_vpd, ibv);
}

/* There may be very many of them, so nothing of ours is behind it: its handle is the number of the device's. */
static inline struct weft_ah *weft_vah(struct ibv_ah *ah)
{
	return weft_ah_at(weft_vpd(ah->pd)->dev, (uint16_t)ah->handle);
}

static inline struct weft_vcq *weft_vcq(struct ibv_cq *cq)
{
	return weft_container_of(cq, struct weft_vcq, ibv);
}

static inline struct weft_vcq *weft_vcq_ex(struct ibv_cq_ex *cq)
{
	return weft_container_of(cq, struct weft_vcq, ex);
}

static inline struct weft_vqp *weft_vqp(struct ibv_qp *qp)
{
	return weft_container_of(qp, struct weft_vqp, ibv);
}

static inline struct weft_vqp *weft_vqp_ex(struct ibv_qp_ex *qp)
{
	return weft_container_of(qp, struct weft_vqp, abi.ex);
}

/* What a context's operations point to, and the extended constructors behind several entry points. */
int weft_op_query_device_ex(struct ibv_context *context,
			    const struct ibv_query_device_ex_input *input,
			    struct ibv_device_attr_ex *attr, size_t attr_size);
int weft_op_query_port(struct ibv_context *context, uint8_t port_num, struct ibv_port_attr *attr,
		       size_t attr_size);
int weft_op_poll_cq(struct ibv_cq *cq, int wc_len, struct ibv_wc *wc);
int weft_op_req_notify_cq(struct ibv_cq *cq, int solicited_only);
int weft_op_post_send(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad_wr);
int weft_op_post_recv(struct ibv_qp *qp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad_wr);
struct ibv_cq_ex *weft_op_create_cq_ex(struct ibv_context *context,
				       struct ibv_cq_init_attr_ex *attr);
struct ibv_qp *weft_op_create_qp_ex(struct ibv_context *context, struct ibv_qp_init_attr_ex *attr);

struct ibv_qp *weft_vqp_create(struct ibv_context *context, struct ibv_qp_init_attr_ex *attr,
			       const struct efadv_qp_init_attr *efa_attr);
/* With the classic attributes, which lack the extended ones' tail. */
struct ibv_qp *weft_vqp_create_plain(struct ibv_pd *pd, struct ibv_qp_init_attr *attr,
				     const struct efadv_qp_init_attr *efa_attr);
void weft_build_init(struct weft_vqp *qp, uint64_t ops); /* enum ibv_qp_create_send_ops_flags */

/* NULL, and errno set: the end of a function that creates. */
static inline void *weft_fail(int err)
{
	errno = err;
	return NULL;
}

#endif
