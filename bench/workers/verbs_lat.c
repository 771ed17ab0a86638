/* SPDX-License-Identifier: BSD-2-Clause */
/* Ping-pong of SENDs, both sides polling. The clock is read around each exchange, so the percentiles are of single
 * exchanges and not of averages; half of one is a way. Receive buffers are given back behind the message
 * that goes out, where a program would do it that looks at its latency. */
#include "verbs.h"

#include <errno.h>
#include <stdio.h>

#include "work.h"

#define SEND_ID UINT64_MAX

static void post(struct verbs *v)
{
	const struct card *card = &v->card;
	struct ibv_qp_ex *ex = card->ex;

	ibv_wr_start(ex);
	ex->wr_id = SEND_ID;
	ibv_wr_send(ex);
	if (v->plan.size <= card->inline_max && !v->no_inline)
		ibv_wr_set_inline_data(ex, card->mem, v->plan.size);
	else
		ibv_wr_set_sge(ex, card->mr->lkey, (uintptr_t)card->mem, v->plan.size);
	ibv_wr_set_ud_addr(ex, v->ah, v->to.qpn, CARD_QKEY);
	errno = ibv_wr_complete(ex);
	if (errno)
		work_fail("posting");
}

/* The buffer of the next message. Completions of what was sent are taken on the way. */
static uint32_t wait(struct verbs *v, bool until_told)
{
	struct ibv_wc wc;
	uint64_t idle = 0;
	int n;

	for (;;) {
		n = ibv_poll_cq(v->card.cq, 1, &wc);
		if (n < 0)
			work_fatal("ibv_poll_cq failed");
		if (n && wc.status)
			work_fatal("completed with %s", ibv_wc_status_str(wc.status));
		if (n && wc.wr_id != SEND_ID)
			return (uint32_t)wc.wr_id;
		if (until_told && !n && ++idle % 65536 == 0 && work_is_told(v->side))
			work_fatal("the other side is gone");
	}
}

void verbs_lat_client(struct verbs *v)
{
	const struct verbs_plan *plan = &v->plan;
	struct work_samples samples;
	uint32_t buffer;

	work_samples_init(&samples, plan->iterations);
	card_post_first(&v->card, verbs_recv_base(v), plan->recvs, plan->size);
	work_meet(v->side);
	for (uint64_t i = 0; i < plan->warmup + plan->iterations; i++) {
		uint64_t begin = work_now();

		post(v);
		buffer = wait(v, false);
		if (i >= plan->warmup)
			work_samples_add(&samples, work_now() - begin);
		card_post_recvs(&v->card, verbs_recv_base(v), &buffer, 1, plan->size);
	}
	printf("{\"size\": %u, ", plan->size);
	work_samples_print(&samples, 2);
	printf("}\n");
}

void verbs_lat_server(struct verbs *v)
{
	const struct verbs_plan *plan = &v->plan;

	card_post_first(&v->card, verbs_recv_base(v), plan->recvs, plan->size);
	work_meet(v->side);
	for (uint64_t i = 0; i < plan->warmup + plan->iterations; i++) {
		uint32_t buffer = wait(v, true);

		post(v);
		card_post_recvs(&v->card, verbs_recv_base(v), &buffer, 1, plan->size);
	}
}
