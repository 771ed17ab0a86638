/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_PERF_FAB_H
#define WEFT_PERF_FAB_H

/* The fabric, as one rank sees it: reliable datagrams with tags over libfabric, on one or several cards.
 *
 * A rank is a process of its own and has one purpose, so nothing here returns an error: what goes wrong is told by
 * fail(), which does not return. */
#include "base/types.h"

#include <rdma/fabric.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>

#include "perf/job.h"

#define WEFT_FAB_ADDR_MAX 256u

struct weft_fab_addr {
	uint32_t len;
	uint8_t bytes[WEFT_FAB_ADDR_MAX];
};

/* A request under way. Its memory is the library's until is_done. */
struct weft_fab_op {
	struct fi_context2 context; /* First: completions name it. */
	bool is_done;
};

struct weft_fab_card {
	struct fi_info *info;
	struct fid_fabric *fabric;
	struct fid_domain *domain;
	struct fid_av *av;
	struct fid_cq *cq;
	struct fid_ep *ep;
	struct fid_mr *mr;
	void *desc;
	fi_addr_t peers[WEFT_PERF_RANKS_MAX];
};

struct weft_fab {
	uint32_t cards;
	uint32_t cards_used; /* As many as every rank has: the first ones. */
	struct weft_fab_card card[WEFT_PERF_CARDS_MAX];
	bool is_crowded;
	uint32_t polls; /* All of them, round and round; */
	uint32_t idle; /* those in a row that found nothing. */
	/* Called now and then; must end the process if nothing happens any more. */
	void (*on_look)(void *arg);
	__attribute__((noreturn)) void (*fail)(void *arg, const char *text);
	void *arg;
};

/* Opens up to cards_max cards (0: all) of `provider` ("": EFA if there is any, else TCP). `source`: the address of
 * this end, for providers that have IP addresses. Fills what the member's record says of the fabric. */
void weft_fab_open(struct weft_fab *fab, const char *provider, const char *source,
		   uint32_t cards_max, struct weft_perf_member *member);

void weft_fab_address(struct weft_fab *fab, uint32_t card, struct weft_fab_addr *out);
void weft_fab_know(struct weft_fab *fab, uint32_t card, uint32_t rank,
		   const struct weft_fab_addr *addr);

/* All messages lie in this memory, which stays. */
void weft_fab_use_memory(struct weft_fab *fab, void *mem, size_t len);

void weft_fab_send(struct weft_fab *fab, uint32_t card, uint32_t rank, const void *from, size_t len,
		   uint64_t tag, struct weft_fab_op *op);
/* The same, but a message shorter than what the provider copies at once is done when this returns. */
void weft_fab_inject(struct weft_fab *fab, uint32_t card, uint32_t rank, const void *from,
		     size_t len, uint64_t tag, struct weft_fab_op *op);
void weft_fab_recv(struct weft_fab *fab, uint32_t card, void *to, size_t len, uint64_t tag,
		   struct weft_fab_op *op);
void weft_fab_poll(struct weft_fab *fab);
void weft_fab_wait(struct weft_fab *fab, const struct weft_fab_op *op);
void weft_fab_close(struct weft_fab *fab);

#endif
