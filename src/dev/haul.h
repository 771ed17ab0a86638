/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_DEV_HAUL_H
#define WEFT_DEV_HAUL_H

/* Hauls: large copies between host memory of this process and of another one of this host, which the kernel makes in one go
 * (process_vm_readv, process_vm_writev). See haul.c. Everything is called under the card's lock. */
#include "dev/mem.h"

struct weft_wr;

/* What of another process's region is wanted, as share.c finds it. */
struct weft_haul_to {
	struct weft_share *share; /* ref: weft_share_release. */
	int pid;
	uint32_t key, seq; /* Its entry: the same as long as it is the same region. */
	uint32_t pd;
	uint8_t qp; /* Through which it is reached. */
	uint64_t addr; /* Where it is there. */
};

/* Are there any at all? */
bool weft_haul_is_on(void);

/* What is shorter is better off in packets. */
#define WEFT_HAUL_MIN (64u << 10)

/* Under way, until weft_sq_on_moved. LATER: too many are. */
enum weft_direct weft_haul_start(struct weft_card *card, const struct weft_haul_to *to, void *here,
				 uint32_t len, bool read, uint64_t cookie, uint32_t serial);
/* Does a part of what is to do, and tells what has ended. */
void weft_haul_poll(struct weft_card *card);
/* From now on that one touches no memory any more. */
void weft_haul_cancel(struct weft_card *card, uint64_t cookie, uint32_t serial);
void weft_haul_down(struct weft_card *card); /* The same for all of the card's. */
void weft_haul_forked(void);
void weft_haul_stop(void); /* At exit, without locks: the threads end. */

/* share.c */

/* The `len` bytes that `wr` asks for of the process `to`: host memory. False: they are not listed. */
bool weft_share_find_host(struct weft_card *card, const struct weft_gid *to,
			  const struct weft_wr *wr, uint64_t len, struct weft_haul_to *out);
void weft_share_release(struct weft_share *share);
void weft_share_note_read(struct weft_share *share, uint32_t len); /* For its owner's counters. */
void weft_share_refuse(struct weft_share *share); /* The kernel does not let us: no more of it. */
/* Around each access to its bytes, without the card's lock. False, and nothing to leave: it is gone, or its owner is. */
bool weft_share_enter(const struct weft_haul_to *to, uint32_t *place_out);
void weft_share_leave(const struct weft_haul_to *to, uint32_t place);

#endif
