/* SPDX-License-Identifier: BSD-2-Clause */
/* From counters to rates, and the alarm.
 *
 * The alarm is what this is for: a job that fell back to TCP works, slowly, and nothing says so. Per connection the
 * kernel knows the bytes of TCP, per card the driver those of EFA. A program that should be on EFA (its variables
 * or libraries say so), moves a lot by TCP and hardly anything through its cards is on the wrong network. A
 * program that has no card open has moved nothing through one: that is the common case. */
#include "watch/rate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EFA_SHARE 0.1

static const struct weft_watch_card *same_card(const struct weft_sample *in,
					       const struct weft_watch_card *card, uint32_t hint)
{
	for (uint32_t i = 0; i < in->cards; i++) {
		const struct weft_watch_card *c = &in->card[(i + hint) % in->cards];

		if (!strcmp(c->name, card->name) && !strcmp(c->where, card->where))
			return c;
	}
	return NULL;
}

static double seconds_between(const struct weft_sample *before, const struct weft_sample *now)
{
	return before && now->time_ns > before->time_ns
		       ? (double)(now->time_ns - before->time_ns) / 1e9
		       : 0;
}

static double rate_of(uint64_t before, uint64_t now, double seconds)
{
	if (before == WEFT_WATCH_NONE || now == WEFT_WATCH_NONE || seconds <= 0)
		return -1;
	return (double)(now >= before ? now - before : now) / seconds;
}

double weft_rate_counter(const struct weft_sample *before, const struct weft_sample *now,
			 uint32_t card, uint32_t counter)
{
	const struct weft_watch_card *was =
		before ? same_card(before, &now->card[card], card) : NULL;

	return was ? rate_of(was->value[counter], now->card[card].value[counter],
			     seconds_between(before, now))
		   : -1;
}

static double sum(double a, double b)
{
	return a < 0 ? b : b < 0 ? a : a + b;
}

static void rate_card(const struct weft_watch_card *was, const struct weft_watch_card *card,
		      double seconds, struct weft_card_rate *r)
{
#define RATE(id) rate_of(was->value[WEFT_COUNTER_##id], card->value[WEFT_COUNTER_##id], seconds)
	double pkts = RATE(TX_PKTS), again = RATE(RETRANS_PKTS);

	r->tx = RATE(TX_BYTES);
	r->rx = RATE(RX_BYTES);
	if (card->gbps && WEFT_MAX(r->tx, r->rx) >= 0)
		r->line = WEFT_MAX(r->tx, r->rx) * 8 / ((double)card->gbps * 1e9) * 100;
	r->send = sum(RATE(SEND_BYTES), RATE(RECV_BYTES));
	r->read = sum(RATE(RDMA_READ_BYTES), RATE(RDMA_READ_RESP_BYTES));
	r->write = sum(RATE(RDMA_WRITE_BYTES), RATE(RDMA_WRITE_RECV_BYTES));
	r->retrans = pkts < 0 || again < 0 ? -1 : pkts > 0 ? again / pkts * 100 : 0;
	r->timeouts = RATE(RETRANS_TIMEOUT_EVENTS);
	r->drops = RATE(RX_DROPS);
	r->rnr = sum(RATE(RNR_TX), RATE(RNR_RX));
#undef RATE
}

static void rate_proc(const struct weft_watch_proc *was, const struct weft_watch_proc *proc,
		      double seconds, bool has_cards, double alarm_bytes, struct weft_proc_rate *r)
{
	double tcp, efa;

	r->efa_tx = rate_of(was->efa_tx, proc->efa_tx, seconds);
	r->efa_rx = rate_of(was->efa_rx, proc->efa_rx, seconds);
	r->tcp_tx = rate_of(was->tcp_tx, proc->tcp_tx, seconds);
	r->tcp_rx = rate_of(was->tcp_rx, proc->tcp_rx, seconds);
	tcp = sum(r->tcp_tx, r->tcp_rx);
	efa = sum(r->efa_tx, r->efa_rx);
	r->alarm = has_cards && proc->why[0] && tcp >= alarm_bytes && efa < tcp * EFA_SHARE;
}

static const struct weft_watch_proc *same_proc(const struct weft_sample *in,
					       const struct weft_watch_proc *proc)
{
	for (uint32_t i = 0; i < in->procs; i++)
		if (in->proc[i].pid == proc->pid && in->proc[i].id == proc->id)
			return &in->proc[i];
	return NULL;
}

static const struct weft_watch_net *same_net(const struct weft_sample *in,
					     const struct weft_watch_net *net)
{
	for (uint32_t i = 0; i < in->nets; i++)
		if (!strcmp(in->net[i].name, net->name))
			return &in->net[i];
	return NULL;
}

static void all_cards(const struct weft_sample *before, const struct weft_sample *now,
		      struct weft_rates *r)
{
	for (uint32_t i = 0; i < now->cards; i++) {
		const struct weft_watch_card *card = &now->card[i],
					     *was = before ? same_card(before, card, i) : NULL;
		struct weft_card_rate *to = &r->card[i];

		*to = (struct weft_card_rate){ -1, -1, -1, -1, -1, -1, -1, -1, -1, -1 };
		if (was)
			rate_card(was, card, r->seconds, to);
		r->gbps += card->gbps;
		r->tx = sum(r->tx, to->tx);
		r->rx = sum(r->rx, to->rx);
	}
	if (r->gbps && WEFT_MAX(r->tx, r->rx) >= 0)
		r->line = WEFT_MAX(r->tx, r->rx) * 8 / ((double)r->gbps * 1e9) * 100;
}

bool weft_rates_init(const struct weft_sample *before, const struct weft_sample *now,
		     double alarm_bytes, struct weft_rates *rates_out)
{
	struct weft_rates r = { .tx = -1, .rx = -1, .line = -1, .net_tx = -1, .net_rx = -1 };

	r.card = calloc(now->cards + 1, sizeof(*r.card));
	r.net = calloc(now->nets + 1, sizeof(*r.net));
	r.proc = calloc(now->procs + 1, sizeof(*r.proc));
	if (!r.card || !r.net || !r.proc) {
		weft_rates_fini(&r);
		return false;
	}
	r.seconds = seconds_between(before, now);
	all_cards(before, now, &r);
	for (uint32_t i = 0; i < now->nets; i++) {
		const struct weft_watch_net *net = &now->net[i],
					    *was = before ? same_net(before, net) : NULL;

		r.net[i].tx = was ? rate_of(was->tx_bytes, net->tx_bytes, r.seconds) : -1;
		r.net[i].rx = was ? rate_of(was->rx_bytes, net->rx_bytes, r.seconds) : -1;
		r.net_tx = sum(r.net_tx, r.net[i].tx);
		r.net_rx = sum(r.net_rx, r.net[i].rx);
	}
	for (uint32_t i = 0; i < now->procs; i++) {
		const struct weft_watch_proc *was =
			before ? same_proc(before, &now->proc[i]) : NULL;

		r.proc[i] = (struct weft_proc_rate){ -1, -1, -1, -1, false };
		if (was)
			rate_proc(was, &now->proc[i], r.seconds, now->cards != 0, alarm_bytes,
				  &r.proc[i]);
		r.alarms += r.proc[i].alarm;
	}
	*rates_out = r;
	return true;
}

void weft_rates_fini(struct weft_rates *rates)
{
	free(rates->card);
	free(rates->net);
	free(rates->proc);
}

char *weft_rate_text(double value, char *buf, size_t len)
{
	static const char units[] = " kMGTPE";
	size_t unit = 0;

	if (value < 0) {
		snprintf(buf, len, "-");
		return buf;
	}
	while (value >= 999.5 && units[unit + 1]) {
		value /= 1000;
		unit++;
	}
	if (!unit && value < 10)
		snprintf(buf, len, value > 0 && value < 9.95 ? "%.1f" : "%.0f", value);
	else if (!unit)
		snprintf(buf, len, "%.0f", value);
	else
		snprintf(buf, len, "%.*f%c",
			 value < 9.995   ? 2
			 : value < 99.95 ? 1
					 : 0,
			 value, units[unit]);
	return buf;
}

char *weft_alarm_text(const struct weft_sample *now, const struct weft_rates *rates, uint32_t proc,
		      char *buf, size_t len)
{
	const struct weft_watch_proc *p = &now->proc[proc];
	const struct weft_proc_rate *r = &rates->proc[proc];
	char tcp[16], efa[16];

	snprintf(buf, len, "%s (%s%s%u): %sb/s over TCP, %sb/s over EFA; should be on EFA (%s)",
		 p->comm, p->pod, p->pod[0] ? ", " : "", p->pid,
		 weft_rate_text(sum(r->tcp_tx, r->tcp_rx) * 8, tcp, sizeof(tcp)),
		 weft_rate_text(WEFT_MAX(sum(r->efa_tx, r->efa_rx), 0) * 8, efa, sizeof(efa)),
		 p->why);
	return buf;
}
