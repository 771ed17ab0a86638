/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_CLOUD_CATALOGUE_H
#define WEFT_CLOUD_CATALOGUE_H

/* The instance types that have EFA, and what is known of them. Facts come from public sources (catalogue.inc names
 * them row by row); what no source says is unknown, which is not the same as 0. */
#include "base/types.h"

enum weft_fact_how {
	WEFT_FACT_UNKNOWN, /* value is 0 and means nothing. */
	WEFT_FACT_DERIVED, /* Concluded from something else: likely. */
	WEFT_FACT_KNOWN,
};

struct weft_fact {
	uint32_t value;
	enum weft_fact_how how;
};

struct weft_instance {
	const char *name; /* p4d.24xlarge */
	const char *accelerator; /* a100; "": none. */
	struct weft_fact accelerators;
	struct weft_fact vcpus;
	struct weft_fact memory_gib;
	struct weft_fact efas; /* EFA interfaces, at most one for each network card. */
	struct weft_fact network_cards;
	struct weft_fact gbps_total;
	struct weft_fact gbps; /* Of one EFA interface. */
	struct weft_fact generation; /* Of EFA: 1 to 4. */
	struct weft_fact nitro;
	struct weft_fact rdma_read, rdma_write; /* 0 or 1. */
	struct weft_fact hugepages; /* Of 2 MiB, that the EFA installer sets aside on the node. */
	const char *gpudirect; /* What aws-ofi-nccl expects: "required(RDMA)", "no", "". */
	const char *sources;
	const char *notes; /* Or NULL. */
};

/* By name, in any case. NULL: not known to have EFA. */
const struct weft_instance *weft_catalogue_find(const char *name);

/* In order of name; NULL past the last. */
const struct weft_instance *weft_catalogue_at(uint32_t index);

/* The type that a wrong name may have meant, or NULL. */
const struct weft_instance *weft_catalogue_suggest(const char *name);

/* The value, or `otherwise` when it is unknown. */
static inline uint32_t weft_fact_or(struct weft_fact fact, uint32_t otherwise)
{
	return fact.how == WEFT_FACT_UNKNOWN ? otherwise : fact.value;
}

/* Does it have processors of the ARM architecture? */
bool weft_instance_is_arm(const struct weft_instance *it);

/* What Kubernetes calls its accelerators ("nvidia.com/gpu"). NULL: it has none, or nobody says. */
const char *weft_instance_resource(const struct weft_instance *it);

/* Do its cards read and write the memory of its accelerators? */
enum weft_gdr {
	WEFT_GDR_UNKNOWN,
	WEFT_GDR_NO,
	WEFT_GDR_YES,
};
enum weft_gdr weft_instance_gdr(const struct weft_instance *it);

/* "4", "~4" (derived) or "?", into buf; returns buf. */
char *weft_fact_text(struct weft_fact fact, char *buf, size_t len);

#endif
