/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_E2E_STRESS_H
#define WEFT_E2E_STRESS_H

/* What the processes of one run of stress share, beside the device: a page of memory, made by stress.c and
 * handed down as a file descriptor. It carries addresses, barriers and the truth to compare with. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define STRESS_PROCS_MAX 32u
#define STRESS_CARDS_MAX 32u
#define STRESS_QPS_MAX   8192u /* Of all processes together. */

struct stress_conf {
	uint32_t procs, cards, qps; /* Cards of a process, QPs of a card. */
	uint32_t hosts; /* Mix: addresses that the processes share. */
	uint32_t seconds;
	uint32_t rounds; /* Fan: messages to each peer. */
	uint64_t seed;
	bool fan; /* The first QP of all talks to every other one; otherwise all to all. */
};

struct stress_card {
	uint8_t gid[16];
	uint64_t addr; /* Of the region that others read and write. */
	uint32_t rkey;
};

struct stress_count {
	uint64_t sends, send_bytes, writes, write_bytes, reads, read_bytes, recvs, wimms, errors;
};

struct stress_shared {
	struct stress_conf conf;
	_Atomic uint32_t arrived[8]; /* Barriers. */
	_Atomic uint32_t failed; /* Somebody gave up: so should the others. */
	struct stress_card card[STRESS_PROCS_MAX * STRESS_CARDS_MAX];
	uint16_t qpn[STRESS_QPS_MAX];
	/* Per receiving QP: messages sent to it whose senders saw them complete. */
	_Atomic uint64_t sent_to[STRESS_QPS_MAX];
	/* Per target process and writing QP: number of the last WRITE with immediate that the target has
	 * checked. Until then its place must not be written again. */
	_Atomic uint32_t checked[STRESS_PROCS_MAX][STRESS_QPS_MAX];
	struct stress_count count[STRESS_PROCS_MAX];
};

/* One process of the run. Exit status. */
int stress_process(struct stress_shared *shared, uint32_t self);

#endif
