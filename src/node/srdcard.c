/* SPDX-License-Identifier: BSD-2-Clause */
/* SRD through libibverbs and libefa, found at run time.
 *
 * Symbols are looked up in the whole process and not in the library that was opened, because that is where a preload
 * library (weft's own cards) stands in for them. Only calls that every version has are used: the driver queue
 * pair of EFA 1.0, and post and poll, which go through the context. */
#define _GNU_SOURCE /* RTLD_DEFAULT */
#include "node/srdcard.h"

#include <dlfcn.h>
#include <errno.h>
#include <infiniband/efadv.h>
#include <infiniband/verbs.h>
#include <stdlib.h>
#include <string.h>

#undef ibv_reg_mr
#undef ibv_query_port

#define AMAZON   0x1d0fu
#define SRD_QKEY 0x11115ad5u
#define BUFFER   8192u
#define ACCESS   IBV_ACCESS_LOCAL_WRITE

struct calls {
	struct ibv_device **(*get_device_list)(int *count);
	void (*free_device_list)(struct ibv_device **list);
	const char *(*get_device_name)(struct ibv_device *device);
	struct ibv_context *(*open_device)(struct ibv_device *device);
	int (*close_device)(struct ibv_context *context);
	int (*query_device)(struct ibv_context *context, struct ibv_device_attr *attr);
	int (*query_port)(struct ibv_context *context, uint8_t port, struct ibv_port_attr *attr);
	int (*query_gid)(struct ibv_context *context, uint8_t port, int index, union ibv_gid *gid);
	struct ibv_pd *(*alloc_pd)(struct ibv_context *context);
	int (*dealloc_pd)(struct ibv_pd *pd);
	struct ibv_mr *(*reg_mr)(struct ibv_pd *pd, void *addr, size_t len, int access);
	int (*dereg_mr)(struct ibv_mr *mr);
	struct ibv_cq *(*create_cq)(struct ibv_context *context, int cqe, void *arg,
				    struct ibv_comp_channel *channel, int vector);
	int (*destroy_cq)(struct ibv_cq *cq);
	struct ibv_qp *(*create_driver_qp)(struct ibv_pd *pd, struct ibv_qp_init_attr *attr,
					   uint32_t type);
	int (*modify_qp)(struct ibv_qp *qp, struct ibv_qp_attr *attr, int mask);
	int (*destroy_qp)(struct ibv_qp *qp);
	struct ibv_ah *(*create_ah)(struct ibv_pd *pd, struct ibv_ah_attr *attr);
	int (*destroy_ah)(struct ibv_ah *ah);
};

static const struct {
	const char *name;
	size_t offset;
} symbols[] = {
	{ "ibv_get_device_list", offsetof(struct calls, get_device_list) },
	{ "ibv_free_device_list", offsetof(struct calls, free_device_list) },
	{ "ibv_get_device_name", offsetof(struct calls, get_device_name) },
	{ "ibv_open_device", offsetof(struct calls, open_device) },
	{ "ibv_close_device", offsetof(struct calls, close_device) },
	{ "ibv_query_device", offsetof(struct calls, query_device) },
	{ "ibv_query_port", offsetof(struct calls, query_port) },
	{ "ibv_query_gid", offsetof(struct calls, query_gid) },
	{ "ibv_alloc_pd", offsetof(struct calls, alloc_pd) },
	{ "ibv_dealloc_pd", offsetof(struct calls, dealloc_pd) },
	{ "ibv_reg_mr", offsetof(struct calls, reg_mr) },
	{ "ibv_dereg_mr", offsetof(struct calls, dereg_mr) },
	{ "ibv_create_cq", offsetof(struct calls, create_cq) },
	{ "ibv_destroy_cq", offsetof(struct calls, destroy_cq) },
	{ "efadv_create_driver_qp", offsetof(struct calls, create_driver_qp) },
	{ "ibv_modify_qp", offsetof(struct calls, modify_qp) },
	{ "ibv_destroy_qp", offsetof(struct calls, destroy_qp) },
	{ "ibv_create_ah", offsetof(struct calls, create_ah) },
	{ "ibv_destroy_ah", offsetof(struct calls, destroy_ah) },
};

struct weft_srdcard {
	char name[64];
	struct ibv_context *context;
	struct ibv_pd *pd;
	struct ibv_mr *mr;
	struct ibv_cq *cq;
	struct ibv_qp *qp;
	struct ibv_ah *ah;
	struct weft_srdcard_peer self, peer;
	uint32_t msg_max;
	uint8_t *memory; /* owns. Receive buffers, and one to send from. */
};

static struct calls calls;

static bool find_calls(const char **why_out)
{
	static const char *const libraries[] = { "libibverbs.so.1", "libefa.so.1" };

	if (calls.destroy_ah)
		return true;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(libraries); i++)
		if (!dlopen(libraries[i], RTLD_NOW | RTLD_GLOBAL)) {
			*why_out = dlerror();
			return false;
		}
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(symbols); i++) {
		void *symbol = dlsym(RTLD_DEFAULT, symbols[i].name);

		if (!symbol) {
			*why_out = dlerror();
			calls.destroy_ah = NULL;
			return false;
		}
		memcpy((char *)&calls + symbols[i].offset, &symbol, sizeof(symbol));
	}
	return true;
}

static bool is_efa(struct ibv_context *context)
{
	struct ibv_device_attr attr;

	return !calls.query_device(context, &attr) && attr.vendor_id == AMAZON;
}

/* Opens EFA card `number` of the list; with UINT32_MAX none, and counts them. */
static struct ibv_context *find_card(uint32_t number, uint32_t *count_out, char name_out[64])
{
	int devices = 0;
	struct ibv_device **list = calls.get_device_list(&devices);
	struct ibv_context *found = NULL;

	*count_out = 0;
	for (int i = 0; list && i < devices && !found; i++) {
		struct ibv_context *context = calls.open_device(list[i]);

		if (!context)
			continue;
		if (is_efa(context) && (*count_out)++ == number) {
			found = context;
			strncpy(name_out, calls.get_device_name(list[i]), 63);
			name_out[63] = '\0';
		} else {
			calls.close_device(context);
		}
	}
	if (list)
		calls.free_device_list(list);
	return found;
}

int weft_srdcard_count(const char **why_out)
{
	char name[64];
	uint32_t count;

	if (!find_calls(why_out))
		return -1;
	(void)find_card(UINT32_MAX, &count, name);
	if (!count)
		*why_out = "libibverbs shows no EFA card that can be opened";
	return count ? (int)count : -1;
}

static int post_recv(struct weft_srdcard *card, uint64_t slot)
{
	struct ibv_sge sge = { .addr = (uintptr_t)card->memory + slot * BUFFER,
			       .length = BUFFER,
			       .lkey = card->mr->lkey };
	struct ibv_recv_wr *bad, wr = { .wr_id = slot, .sg_list = &sge, .num_sge = 1 };

	return ibv_post_recv(card->qp, &wr, &bad);
}

static int to_rts(struct ibv_qp *qp)
{
	struct ibv_qp_attr to = { .qp_state = IBV_QPS_INIT, .port_num = 1, .qkey = SRD_QKEY };
	int err = calls.modify_qp(qp, &to,
				  IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY);

	to.qp_state = IBV_QPS_RTR;
	if (!err)
		err = calls.modify_qp(qp, &to, IBV_QP_STATE);
	to.qp_state = IBV_QPS_RTS;
	if (!err)
		err = calls.modify_qp(qp, &to, IBV_QP_STATE | IBV_QP_SQ_PSN);
	return err;
}

/* NULL, or the call that failed. */
static const char *make_objects(struct weft_srdcard *card)
{
	size_t size = (WEFT_SRDCARD_SLOTS + 1) * BUFFER;
	struct ibv_qp_init_attr attr = {
		.qp_type = IBV_QPT_DRIVER,
		.sq_sig_all = 1,
		.cap = { .max_send_wr = WEFT_SRDCARD_SLOTS,
			 .max_recv_wr = WEFT_SRDCARD_SLOTS,
			 .max_send_sge = 1,
			 .max_recv_sge = 1 },
	};

	card->memory = aligned_alloc(4096, size);
	if (!card->memory)
		return "memory";
	memset(card->memory, 0x5a, size);
	card->pd = calls.alloc_pd(card->context);
	if (!card->pd)
		return "ibv_alloc_pd";
	card->mr = calls.reg_mr(card->pd, card->memory, size, ACCESS);
	if (!card->mr)
		return "ibv_reg_mr";
	card->cq = calls.create_cq(card->context, 4 * WEFT_SRDCARD_SLOTS, NULL, NULL, 0);
	if (!card->cq)
		return "ibv_create_cq";
	attr.send_cq = attr.recv_cq = card->cq;
	card->qp = calls.create_driver_qp(card->pd, &attr, EFADV_QP_DRIVER_TYPE_SRD);
	if (!card->qp)
		return "efadv_create_driver_qp";
	if (to_rts(card->qp))
		return "ibv_modify_qp";
	for (uint64_t slot = 0; slot < WEFT_SRDCARD_SLOTS; slot++)
		if (post_recv(card, slot))
			return "ibv_post_recv";
	return NULL;
}

static const char *query(struct weft_srdcard *card)
{
	struct ibv_port_attr port;
	union ibv_gid gid;

	memset(&port, 0, sizeof(port));
	if (calls.query_port(card->context, 1, &port))
		return "ibv_query_port";
	if (port.state != IBV_PORT_ACTIVE)
		return "the port is not active";
	if (calls.query_gid(card->context, 1, 0, &gid))
		return "ibv_query_gid";
	card->msg_max = WEFT_MIN(port.max_msg_sz, BUFFER);
	memcpy(card->self.gid, gid.raw, sizeof(card->self.gid));
	card->self.qpn = card->qp->qp_num;
	card->self.qkey = SRD_QKEY;
	return NULL;
}

struct weft_srdcard *weft_srdcard_open(uint32_t number, const char **why_out)
{
	struct weft_srdcard *card;
	uint32_t count;

	if (!find_calls(why_out))
		return NULL;
	card = calloc(1, sizeof(*card));
	if (!card) {
		*why_out = "out of memory";
		return NULL;
	}
	card->context = find_card(number, &count, card->name);
	*why_out = card->context ? make_objects(card) : "no such card";
	if (!*why_out)
		*why_out = query(card);
	if (!*why_out)
		return card;
	weft_srdcard_close(card);
	return NULL;
}

void weft_srdcard_close(struct weft_srdcard *card)
{
	if (card->ah)
		calls.destroy_ah(card->ah);
	if (card->qp)
		calls.destroy_qp(card->qp);
	if (card->cq)
		calls.destroy_cq(card->cq);
	if (card->mr)
		calls.dereg_mr(card->mr);
	if (card->pd)
		calls.dealloc_pd(card->pd);
	if (card->context)
		calls.close_device(card->context);
	free(card->memory);
	free(card);
}

const char *weft_srdcard_name(const struct weft_srdcard *card)
{
	return card->name;
}

struct weft_srdcard_peer weft_srdcard_self(const struct weft_srdcard *card)
{
	return card->self;
}

uint32_t weft_srdcard_msg_max(const struct weft_srdcard *card)
{
	return card->msg_max;
}

int weft_srdcard_connect(struct weft_srdcard *card, const struct weft_srdcard_peer *peer)
{
	struct ibv_ah_attr attr = { .is_global = 1, .port_num = 1 };

	memcpy(attr.grh.dgid.raw, peer->gid, sizeof(peer->gid));
	card->ah = calls.create_ah(card->pd, &attr);
	if (!card->ah)
		return errno ? errno : EIO;
	card->peer = *peer;
	return 0;
}

int weft_srdcard_send(struct weft_srdcard *card, uint32_t len)
{
	struct ibv_sge sge = { .addr = (uintptr_t)card->memory + WEFT_SRDCARD_SLOTS * BUFFER,
			       .length = len,
			       .lkey = card->mr->lkey };
	struct ibv_send_wr *bad, wr = { .sg_list = &sge,
					.num_sge = 1,
					.opcode = IBV_WR_SEND,
					.send_flags = IBV_SEND_SIGNALED };

	wr.wr.ud.ah = card->ah;
	wr.wr.ud.remote_qpn = card->peer.qpn;
	wr.wr.ud.remote_qkey = card->peer.qkey;
	return ibv_post_send(card->qp, &wr, &bad);
}

bool weft_srdcard_poll(struct weft_srdcard *card, struct weft_srdcard_event *event_out)
{
	struct ibv_wc wc;

	if (ibv_poll_cq(card->cq, 1, &wc) <= 0)
		return false;
	event_out->is_recv = wc.opcode & IBV_WC_RECV;
	event_out->status = wc.status == IBV_WC_SUCCESS ? 0
			    : wc.vendor_err             ? (int)wc.vendor_err
							: 2;
	event_out->len = wc.byte_len;
	if (event_out->is_recv && !event_out->status)
		(void)post_recv(card, wc.wr_id);
	return true;
}

const char *weft_srdcard_status(int status)
{
	static const char *const texts[] = {
		[0] = "ok",
		[1] = "flushed",
		[2] = "internal error of the queue pair",
		[3] = "unsupported operation",
		[4] = "invalid address handle",
		[5] = "invalid local key",
		[6] = "bad length",
		[7] = "bad address at the remote side",
		[8] = "connection was reset by the remote side",
		[9] = "bad queue pair number at the remote side",
		[10] = "remote side not ready to receive",
		[11] = "receive buffer too short",
		[12] = "unexpected status of the remote side",
		[13] = "remote side stopped answering",
		[14] = "remote side does not know this peer",
		[15] = "remote side never answered",
		[18] = "features of the two sides differ",
	};

	return status >= 0 && (size_t)status < WEFT_ARRAY_SIZE(texts) && texts[status]
		       ? texts[status]
		       : "unknown status";
}
