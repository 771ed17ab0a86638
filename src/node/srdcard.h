/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_NODE_SRDCARD_H
#define WEFT_NODE_SRDCARD_H

/* One EFA card with one SRD queue pair, as any program of libibverbs and libefa has it. The libraries are opened when
 * they are needed: weft itself runs without them. */
#include "base/types.h"

struct weft_srdcard;

#define WEFT_SRDCARD_SLOTS 32 /* Messages that may be under way, each way. */

struct weft_srdcard_peer {
	uint8_t gid[16];
	uint32_t qpn, qkey;
};

/* What has come in. */
struct weft_srdcard_event {
	bool is_recv;
	int status; /* 0, or EFA's own status code (1 to 18). */
	uint32_t len; /* Of what was received. */
};

/* How many EFA cards libibverbs shows to this process. Negative: why_out says why it shows none. */
int weft_srdcard_count(const char **why_out);

/* The card with that number among them. NULL: why_out says why not. */
struct weft_srdcard *weft_srdcard_open(uint32_t number, const char **why_out);
void weft_srdcard_close(struct weft_srdcard *card);

const char *weft_srdcard_name(const struct weft_srdcard *card);
struct weft_srdcard_peer weft_srdcard_self(const struct weft_srdcard *card);
uint32_t weft_srdcard_msg_max(const struct weft_srdcard *card);

/* All messages go to this peer from now on. 0, or a positive errno. */
int weft_srdcard_connect(struct weft_srdcard *card, const struct weft_srdcard_peer *peer);

/* A message of `len` bytes to the peer; its event comes later. Receive buffers are given back by themselves. */
int weft_srdcard_send(struct weft_srdcard *card, uint32_t len);

/* False: nothing has happened. */
bool weft_srdcard_poll(struct weft_srdcard *card, struct weft_srdcard_event *event_out);

/* What a status code of EFA says. */
const char *weft_srdcard_status(int status);

#endif
