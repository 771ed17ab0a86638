/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_VERBS_CQ_H
#define WEFT_VERBS_CQ_H

/* The making of every completion queue, whatever it was asked by. `efa_flags`: what else completions are to
 * tell, of EFADV_WC_EX_*; already checked. */
#include "verbs/obj.h"

struct weft_vcq *weft_vcq_create(struct ibv_context *context, struct ibv_cq_init_attr_ex *attr,
				 uint64_t efa_flags);

#endif
