/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BENCH_VERBS_H
#define BENCH_VERBS_H

#include "card.h"

/* One measurement between two cards: the client has been told what to measure, and tells the server. */

enum verbs_mode {
	VERBS_LAT, /* One message there and one back, again and again. */
	VERBS_BW, /* As many under way as the window takes. */
	VERBS_STREAM, /* The same without a warm-up, and when requests completed. */
};

enum verbs_op {
	VERBS_SEND,
	VERBS_WRITE,
	VERBS_READ
};

struct verbs_plan { /* As it is sent. */
	uint32_t magic;
	enum verbs_mode mode;
	enum verbs_op op;
	uint32_t size, window, batch; /* Requests to post at once. */
	uint32_t recvs;
	uint32_t sleepy; /* The server of READs and WRITEs does not poll. */
	uint64_t span; /* Bytes of memory that the requests go through, at both ends. */
	uint64_t iterations, warmup; /* LAT */
	uint64_t ns, warmup_ns; /* BW, STREAM */
	uint64_t ramp_ns; /* STREAM: gaps count from then on. */
};

struct verbs {
	struct verbs_plan plan;
	struct card card;
	struct ibv_ah *ah;
	struct card_name to;
	int side;
	bool one_by_one; /* ibv_post_send() for each, as old programs do. */
	bool no_inline;
};

/* Where receive buffers begin: behind what is sent from. */
static inline size_t verbs_recv_base(const struct verbs *v)
{
	return v->plan.span;
}

void verbs_lat_client(struct verbs *v);
void verbs_lat_server(struct verbs *v);
void verbs_bw_client(struct verbs *v);
void verbs_bw_server(struct verbs *v);

/* verbs_peers.c: what many peers cost in memory. Addresses that nobody needs to have; */
void verbs_idle(uint32_t count);
/* real ones: cards with a queue pair that is sent to, their names in a file; */
void verbs_answer(const char *file, uint32_t cards);
/* and who speaks with all of them, once. */
void verbs_fan(char **file, uint32_t files);

#endif
