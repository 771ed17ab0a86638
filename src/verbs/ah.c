/* SPDX-License-Identifier: BSD-2-Clause */
/* Address handles: all that counts of the attributes is the destination GID. */
#include "verbs/export.h"
#include "verbs/obj.h"
#include "verbs/passthru.h"

#include <stdlib.h>

WEFT_EXPORT struct ibv_ah *ibv_create_ah(struct ibv_pd *pd, struct ibv_ah_attr *attr)
{
	static const struct weft_gid none;
	struct weft_gid gid;
	struct weft_ah *dev;
	struct ibv_ah *ah;
	int rc;

	if (!weft_is_ours(pd->context))
		return WEFT_PASS(NULL, ibv_create_ah, pd, attr);
	if (!attr->is_global || attr->port_num != 1)
		return weft_fail(EINVAL);
	memcpy(gid.raw, attr->grh.dgid.raw, sizeof(gid.raw));
	if (!memcmp(&gid, &none, sizeof(gid)))
		return weft_fail(EINVAL);
	ah = calloc(1, sizeof(*ah));
	if (!ah)
		return weft_fail(ENOMEM);
	rc = weft_ah_create(weft_vpd(pd)->dev, &gid, &dev);
	if (rc) {
		free(ah);
		return weft_fail(-rc);
	}
	ah->context = pd->context;
	ah->pd = pd;
	ah->handle = weft_ah_number(dev);
	weft_vcontext_get(weft_vcontext(pd->context));
	return ah;
}

WEFT_EXPORT int ibv_destroy_ah(struct ibv_ah *ibv)
{
	struct ibv_context *context = ibv->context;
	int rc;

	if (!weft_is_ours(context))
		return WEFT_PASS(ENOSYS, ibv_destroy_ah, ibv);
	rc = weft_ah_destroy(weft_vah(ibv));
	if (rc)
		return -rc;
	free(ibv);
	weft_vcontext_put(weft_vcontext(context));
	return 0;
}

/* The way back to a sender, from the header in front of its message. A card of EFA never delivers one, so that
 * what comes out here names no address and create_ah refuses it; as with the real card. */
WEFT_EXPORT int ibv_init_ah_from_wc(struct ibv_context *context, uint8_t port_num,
				    struct ibv_wc *wc, struct ibv_grh *grh,
				    struct ibv_ah_attr *attr)
{
	if (!weft_is_ours(context))
		return WEFT_PASS(-1, ibv_init_ah_from_wc, context, port_num, wc, grh, attr);
	memset(attr, 0, sizeof(*attr));
	attr->dlid = wc->slid;
	attr->sl = wc->sl;
	attr->src_path_bits = wc->dlid_path_bits;
	attr->port_num = port_num;
	if (wc->wc_flags & IBV_WC_GRH) {
		attr->is_global = 1;
		attr->grh.dgid = grh->sgid;
		attr->grh.hop_limit = 0xff;
	}
	return 0;
}

WEFT_EXPORT struct ibv_ah *ibv_create_ah_from_wc(struct ibv_pd *pd, struct ibv_wc *wc,
						 struct ibv_grh *grh, uint8_t port_num)
{
	struct ibv_ah_attr attr;

	if (!weft_is_ours(pd->context))
		return WEFT_PASS(NULL, ibv_create_ah_from_wc, pd, wc, grh, port_num);
	if (ibv_init_ah_from_wc(pd->context, port_num, wc, grh, &attr))
		return NULL;
	return ibv_create_ah(pd, &attr);
}
