/* SPDX-License-Identifier: BSD-2-Clause */
/* Completion channels and their events. */
#include "verbs/export.h"
#include "verbs/obj.h"
#include "verbs/passthru.h"

#include <stdlib.h>

static struct weft_vchannel *vchannel(struct ibv_comp_channel *channel)
{
	return weft_container_of(channel, struct weft_vchannel, ibv);
}

WEFT_EXPORT struct ibv_comp_channel *ibv_create_comp_channel(struct ibv_context *context)
{
	struct weft_vchannel *channel;
	int rc;

	if (!weft_is_ours(context))
		return WEFT_PASS(NULL, ibv_create_comp_channel, context);
	channel = calloc(1, sizeof(*channel));
	if (!channel)
		return weft_fail(ENOMEM);
	rc = weft_channel_create(weft_vcontext(context)->card, &channel->dev);
	if (rc) {
		free(channel);
		return weft_fail(-rc);
	}
	channel->ibv.context = context;
	channel->ibv.fd = weft_channel_fd(channel->dev);
	weft_vcontext_get(weft_vcontext(context));
	return &channel->ibv;
}

WEFT_EXPORT int ibv_destroy_comp_channel(struct ibv_comp_channel *ibv)
{
	struct ibv_context *context = ibv->context;
	int rc;

	if (!weft_is_ours(context))
		return WEFT_PASS(ENOSYS, ibv_destroy_comp_channel, ibv);
	rc = weft_channel_destroy(vchannel(ibv)->dev);
	if (rc)
		return -rc;
	free(vchannel(ibv));
	weft_vcontext_put(weft_vcontext(context));
	return 0;
}

WEFT_EXPORT int ibv_get_cq_event(struct ibv_comp_channel *channel, struct ibv_cq **cq_out,
				 void **cq_context_out)
{
	struct weft_cq *dev;
	struct weft_vcq *cq;
	int rc;

	if (!weft_is_ours(channel->context))
		return WEFT_PASS(-1, ibv_get_cq_event, channel, cq_out, cq_context_out);
	rc = weft_channel_get(vchannel(channel)->dev, &dev);
	if (rc) {
		errno = -rc;
		return -1;
	}
	cq = weft_cq_user(dev);
	*cq_out = &cq->ibv;
	*cq_context_out = cq->ibv.cq_context;
	return 0;
}

WEFT_EXPORT void ibv_ack_cq_events(struct ibv_cq *cq, unsigned int events)
{
	if (weft_is_ours(cq->context))
		weft_cq_ack(weft_vcq(cq)->dev, events);
	else
		WEFT_PASS((void)0, ibv_ack_cq_events, cq, events);
}

int weft_op_req_notify_cq(struct ibv_cq *cq, int solicited_only)
{
	if (solicited_only)
		return EOPNOTSUPP;
	weft_cq_arm(weft_vcq(cq)->dev);
	return 0;
}
