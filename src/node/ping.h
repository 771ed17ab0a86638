/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_NODE_PING_H
#define WEFT_NODE_PING_H

/* Messages over the cards, for the proof that they carry them: to itself, and between two hosts that both run
 * `weft check`. The two meet over TCP and keep that connection for telling each other what they have seen, so
 * each of them can name the direction that fails. */
#include "advice/finding.h"

#define WEFT_PING_PORT "18522"

/* Packets of a card, from whoever counts them. */
struct weft_ping_packets {
	bool known;
	uint64_t sent, rcvd;
	uint64_t refused; /* Of another key; where that is counted. */
};

struct weft_ping {
	const char *port; /* TCP, of the meeting. */
	struct weft_ping_packets (*packets)(void *arg, const char *card);
	void *arg;
	struct weft_findings *findings;
};

/* Over each card to itself. */
void weft_ping_self(const struct weft_ping *ping);

/* Between our first card and that of the host; the other side waits, for at most wait_s seconds, or 0 for ever. */
void weft_ping_peer(const struct weft_ping *ping, const char *host);
void weft_ping_listen(const struct weft_ping *ping, uint32_t wait_s);

#endif
