/* SPDX-License-Identifier: BSD-2-Clause */
/* A card with one SRD queue pair; see card.h. */
#include "card.h"

#include <errno.h>
#include <infiniband/efadv.h>
#include <string.h>

#include "work.h"

#define CAPS_RDMA_WRITE 8u /* Newer than Debian's header. */
#define RECVS_AT_ONCE   64u

static struct ibv_context *open_device(uint32_t number)
{
	struct ibv_device **list;
	struct ibv_context *context;
	int n = 0;

	list = ibv_get_device_list(&n);
	if (!list || (uint32_t)n <= number)
		work_fatal("no card %u here (run this below `weft run`)", number);
	context = ibv_open_device(list[number]);
	if (!context)
		work_fail("ibv_open_device");
	ibv_free_device_list(list);
	return context;
}

static void to_rts(struct ibv_qp *qp)
{
	struct ibv_qp_attr to = {
		.qp_state = IBV_QPS_INIT, .port_num = 1, .qkey = CARD_QKEY, .rnr_retry = 7
	};

	errno = ibv_modify_qp(qp, &to,
			      IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY);
	to.qp_state = IBV_QPS_RTR;
	if (!errno)
		errno = ibv_modify_qp(qp, &to, IBV_QP_STATE);
	to.qp_state = IBV_QPS_RTS;
	if (!errno)
		errno = ibv_modify_qp(qp, &to, IBV_QP_STATE | IBV_QP_SQ_PSN | IBV_QP_RNR_RETRY);
	if (errno)
		work_fail("ibv_modify_qp");
}

static void query(struct card *card, uint32_t sends, uint32_t recvs)
{
	struct efadv_device_attr device;
	struct ibv_port_attr port;

	if (efadv_query_device(card->context, &device, sizeof(device)))
		work_fail("efadv_query_device (is this an EFA card?)");
	if (ibv_query_port(card->context, 1, &port))
		work_fail("ibv_query_port");
	card->can_write = device.device_caps & CAPS_RDMA_WRITE;
	card->inline_max = device.inline_buf_size;
	card->sends_max = sends < device.max_sq_wr ? sends : device.max_sq_wr;
	card->recvs_max = recvs < device.max_rq_wr ? recvs : device.max_rq_wr;
	card->msg_max = port.max_msg_sz;
}

void card_open(struct card *card, uint32_t number, size_t size, uint32_t sends, uint32_t recvs)
{
	struct efadv_qp_init_attr efa = { .driver_qp_type = EFADV_QP_DRIVER_TYPE_SRD };
	struct ibv_qp_init_attr_ex attr = {
		.qp_type = IBV_QPT_DRIVER,
		.comp_mask = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS,
		.send_ops_flags = IBV_QP_EX_WITH_SEND | IBV_QP_EX_WITH_RDMA_READ,
		.sq_sig_all = 1,
	};
	int access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ;

	*card = (struct card){ .context = open_device(number), .size = size };
	query(card, sends, recvs);
	if (card->can_write) {
		attr.send_ops_flags |= IBV_QP_EX_WITH_RDMA_WRITE;
		access |= IBV_ACCESS_REMOTE_WRITE;
	}
	card->mem = work_memory(size);
	card->pd = ibv_alloc_pd(card->context);
	card->cq = ibv_create_cq(card->context, (int)(card->sends_max + card->recvs_max), NULL,
				 NULL, 0);
	if (!card->pd || !card->cq)
		work_fail("PD and CQ");
	card->mr = ibv_reg_mr(card->pd, card->mem, size, access);
	if (!card->mr)
		work_fail("ibv_reg_mr");
	attr.pd = card->pd;
	attr.send_cq = attr.recv_cq = card->cq;
	attr.cap = (struct ibv_qp_cap){ .max_send_wr = card->sends_max,
					.max_recv_wr = card->recvs_max,
					.max_send_sge = 1,
					.max_recv_sge = 1,
					.max_inline_data = card->inline_max };
	card->qp = efadv_create_qp_ex(card->context, &attr, &efa, sizeof(efa));
	if (!card->qp)
		work_fail("efadv_create_qp_ex");
	card->ex = ibv_qp_to_qp_ex(card->qp);
	to_rts(card->qp);
}

void card_close(struct card *card)
{
	if (ibv_destroy_qp(card->qp) || ibv_dereg_mr(card->mr) || ibv_destroy_cq(card->cq) ||
	    ibv_dealloc_pd(card->pd) || ibv_close_device(card->context))
		work_fail("closing the card");
}

void card_name(const struct card *card, struct card_name *name_out)
{
	union ibv_gid gid;

	if (ibv_query_gid(card->context, 1, 0, &gid))
		work_fail("ibv_query_gid");
	memcpy(name_out->gid, gid.raw, sizeof(name_out->gid));
	name_out->qpn = card->qp->qp_num;
	name_out->rkey = card->mr->rkey;
	name_out->addr = (uintptr_t)card->mem;
}

struct ibv_ah *card_peer(const struct card *card, const struct card_name *name)
{
	struct ibv_ah_attr attr = { .is_global = 1, .port_num = 1 };
	struct ibv_ah *ah;

	memcpy(attr.grh.dgid.raw, name->gid, sizeof(name->gid));
	ah = ibv_create_ah(card->pd, &attr);
	if (!ah)
		work_fail("ibv_create_ah");
	return ah;
}

void card_post_recvs(struct card *card, size_t base, const uint32_t *buffer, uint32_t n,
		     uint32_t len)
{
	struct ibv_sge sge[RECVS_AT_ONCE];
	struct ibv_recv_wr wr[RECVS_AT_ONCE], *bad;

	for (uint32_t done = 0; done < n;) {
		uint32_t some = n - done < RECVS_AT_ONCE ? n - done : RECVS_AT_ONCE;

		for (uint32_t i = 0; i < some; i++) {
			sge[i].addr = (uintptr_t)card->mem + base + (size_t)buffer[done + i] * len;
			sge[i].length = len;
			sge[i].lkey = card->mr->lkey;
			wr[i].wr_id = buffer[done + i];
			wr[i].sg_list = &sge[i];
			wr[i].num_sge = 1;
			wr[i].next = i + 1 < some ? &wr[i + 1] : NULL;
		}
		errno = ibv_post_recv(card->qp, wr, &bad);
		if (errno)
			work_fail("ibv_post_recv");
		done += some;
	}
}

void card_post_first(struct card *card, size_t base, uint32_t n, uint32_t len)
{
	for (uint32_t i = 0; i < n; i++)
		card_post_recvs(card, base, &i, 1, len);
}
