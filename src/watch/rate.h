/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_WATCH_RATE_H
#define WEFT_WATCH_RATE_H

/* What two samples say about the time between them. Rates are per second; bytes, not bits; negative: not known. */
#include "watch/sample.h"

struct weft_card_rate {
	double tx, rx; /* On the wire. */
	double line; /* Percent of the line, of the busier direction. */
	double send, read, write; /* Bytes of requests, both directions together. */
	double retrans; /* Percent of the packets sent. */
	double timeouts; /* Retransmissions that a timer had to ask for. */
	double drops, rnr;
};

struct weft_net_rate {
	double tx, rx;
};

struct weft_proc_rate {
	double efa_tx, efa_rx, tcp_tx, tcp_rx;
	bool alarm; /* Should be on EFA, and moves its bytes over TCP. */
};

struct weft_rates {
	double seconds; /* Between the two; 0: there is but one sample, and nothing is known. */
	/* owns; in the order of the newer sample. */
	struct weft_card_rate *card;
	struct weft_net_rate *net;
	struct weft_proc_rate *proc;
	/* Sums over cards, and over the ordinary network. */
	double tx, rx, line, net_tx, net_rx;
	uint64_t gbps; /* Of all cards whose speed is known. */
	uint32_t alarms;
};

/* An alarm is given from this many bytes of TCP a second on, if EFA carries less than a tenth of it. */
#define WEFT_ALARM_BYTES 10e6

/* `before` may be NULL. False: no memory. */
bool weft_rates_init(const struct weft_sample *before, const struct weft_sample *now,
		     double alarm_bytes, struct weft_rates *rates_out);
void weft_rates_fini(struct weft_rates *rates);

/* Of one counter of a card of `now`; negative: not known. A counter that fell was reset: then what it has now. */
double weft_rate_counter(const struct weft_sample *before, const struct weft_sample *now,
			 uint32_t card, uint32_t counter);

/* One line about an alarm, into buf; returns buf. */
char *weft_alarm_text(const struct weft_sample *now, const struct weft_rates *rates, uint32_t proc,
		      char *buf, size_t len);

/* "12.3G", "0", "-" (negative): at most 6 letters, powers of 1000; returns buf. */
char *weft_rate_text(double value, char *buf, size_t len);

#endif
