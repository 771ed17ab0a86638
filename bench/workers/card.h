/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BENCH_CARD_H
#define BENCH_CARD_H

#include <infiniband/verbs.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A card with one SRD queue pair, one completion queue for everything, and memory that the other side may read and
 * write. Through libibverbs and libefa, as any program does it: nothing of weft is in here. */

#define CARD_QKEY 0x11111111u

struct card_name { /* What the other side has to know, as it is sent. */
	uint8_t gid[16];
	uint32_t qpn, rkey;
	uint64_t addr;
};

struct card {
	struct ibv_context *context;
	struct ibv_pd *pd;
	struct ibv_cq *cq;
	struct ibv_qp *qp;
	struct ibv_qp_ex *ex;
	struct ibv_mr *mr;
	uint8_t *mem;
	size_t size;
	uint32_t inline_max, sends_max, recvs_max, msg_max;
	bool can_write;
};

/* The card with this number among those there are. At most so many requests; fewer where the card has it so. */
void card_open(struct card *card, uint32_t number, size_t size, uint32_t sends, uint32_t recvs);
void card_close(struct card *card);
void card_name(const struct card *card, struct card_name *name_out);
struct ibv_ah *card_peer(const struct card *card, const struct card_name *name);
/* Gives the queue pair these buffers of `len` bytes, in one call for many: buffer i lies at base + i * len and has i
 * as its wr_id. */
void card_post_recvs(struct card *card, size_t base, const uint32_t *buffer, uint32_t n,
		     uint32_t len);
/* The first n buffers. */
void card_post_first(struct card *card, size_t base, uint32_t n, uint32_t len);

#endif
