/* SPDX-License-Identifier: BSD-2-Clause */
/* Metrics.
 *
 * Counters of cards are node_amazonefa_<counter>{device,port}, as existing dashboards and rules have them. Those names
 * lack the _total that a counter has to end with, so their type is unknown (untyped), which rate() does not
 * mind and linters accept. What is new here is named weft_* and typed by the book; base units are bytes and
 * seconds. weft's own cards say which address they stand on, as two of them may have one name.
 *
 * A metric's samples stand together, so everything goes metric by metric and not card by card. */
#include "watch/metrics.h"

#include <inttypes.h>
#include <string.h>

struct out {
	FILE *to;
	const struct weft_sample *sample;
	const struct weft_rates *rates;
	bool openmetrics, details;
};

/* `name` without _total, which OpenMetrics' head does not have and the older format's has. */
static void head(const struct out *o, const char *name, const char *type, const char *help)
{
	const char *end = !o->openmetrics && !strcmp(type, "counter") ? "_total" : "";

	if (!o->openmetrics && !strcmp(type, "unknown"))
		type = "untyped";
	if (!o->openmetrics && !strcmp(type, "info")) {
		type = "gauge";
		end = "_info";
	}
	fprintf(o->to, "# HELP %s%s %s\n# TYPE %s%s %s\n", name, end, help, name, end, type);
}

/* ,name="value", with what the formats want escaped. */
static void label(const struct out *o, const char *name, const char *value)
{
	fprintf(o->to, ",%s=\"", name);
	for (; *value; value++) {
		if (*value == '\n')
			fputs("\\n", o->to);
		else if (*value == '"' || *value == '\\')
			fprintf(o->to, "\\%c", *value);
		else
			/* Names of programs may be in any encoding; these formats are UTF-8. */
			fputc((unsigned char)*value < 0x80 ? *value : '?', o->to);
	}
	fputc('"', o->to);
}

static void card_labels(const struct out *o, const struct weft_watch_card *card)
{
	fputs("device=\"", o->to); /* The first label has no comma. */
	for (const char *c = card->name; *c; c++)
		fputc(*c == '"' || *c == '\\' || (unsigned char)*c >= 0x80 ? '?' : *c, o->to);
	fputc('"', o->to);
	label(o, "port", "1");
	if (card->where[0])
		label(o, "address", card->where);
}

static bool any_has(const struct out *o, uint32_t counter)
{
	for (uint32_t i = 0; i < o->sample->cards; i++)
		if (o->sample->card[i].value[counter] != WEFT_WATCH_NONE)
			return true;
	return false;
}

static bool is_drop(uint32_t counter)
{
	return counter >= WEFT_COUNTER_DROP_SHORT && counter < WEFT_COUNTER_DATA_TX_PKTS;
}

static bool is_detail(uint32_t counter)
{
	return !weft_watch_counter_is_efa(counter) && !is_drop(counter) &&
	       counter != WEFT_COUNTER_RNR_TX && counter != WEFT_COUNTER_RNR_RX;
}

static void card_counters(const struct out *o)
{
	for (uint32_t k = 0; k < weft_watch_counters(); k++) {
		const char *counter = weft_watch_counter_name(k);
		char name[96];

		if (is_drop(k) || (is_detail(k) && !o->details) || !any_has(o, k))
			continue;
		snprintf(name, sizeof(name), "%s%s",
			 weft_watch_counter_is_efa(k) ? "node_amazonefa_" : "weft_card_", counter);
		head(o, name, weft_watch_counter_is_efa(k) ? "unknown" : "counter",
		     weft_watch_counter_what(k));
		for (uint32_t i = 0; i < o->sample->cards; i++) {
			const struct weft_watch_card *card = &o->sample->card[i];

			if (card->value[k] == WEFT_WATCH_NONE)
				continue;
			fprintf(o->to, "%s%s{", name, weft_watch_counter_is_efa(k) ? "" : "_total");
			card_labels(o, card);
			fprintf(o->to, "} %" PRIu64 "\n", card->value[k]);
		}
	}
}

static void drops(const struct out *o)
{
	if (!any_has(o, WEFT_COUNTER_DROP_SHORT))
		return;
	head(o, "weft_card_drops", "counter", "packets dropped, by the reason");
	for (uint32_t i = 0; i < o->sample->cards; i++) {
		const struct weft_watch_card *card = &o->sample->card[i];

		for (uint32_t k = 0; k < weft_watch_counters(); k++) {
			if (!is_drop(k) || card->value[k] == WEFT_WATCH_NONE)
				continue;
			fputs("weft_card_drops_total{", o->to);
			card_labels(o, card);
			label(o, "reason", weft_watch_counter_name(k) + strlen("rx_drop_"));
			fprintf(o->to, "} %" PRIu64 "\n", card->value[k]);
		}
	}
}

static void card_facts(const struct out *o)
{
	static const char *const kinds[] = { "efa", "other", "weft" };

	head(o, "node_amazonefa", "info", "what a card is; the value is always 1");
	for (uint32_t i = 0; i < o->sample->cards; i++) {
		const struct weft_watch_card *card = &o->sample->card[i];
		char text[16];

		fputs("node_amazonefa_info{", o->to);
		card_labels(o, card);
		label(o, "kind", kinds[card->kind]);
		label(o, "driver", card->driver);
		label(o, "pci", card->bdf);
		label(o, "gid", card->gid);
		snprintf(text, sizeof(text), "0x%04x", card->vendor);
		label(o, "vendor_id", text);
		snprintf(text, sizeof(text), "0x%04x", card->device);
		label(o, "device_id", text);
		snprintf(text, sizeof(text), "%d", card->numa);
		label(o, "numa_node", card->numa < 0 ? "" : text);
		fputs("} 1\n", o->to);
	}
	head(o, "weft_card_up", "gauge", "1: the port is active");
	for (uint32_t i = 0; i < o->sample->cards; i++) {
		fputs("weft_card_up{", o->to);
		card_labels(o, &o->sample->card[i]);
		fprintf(o->to, "} %d\n", !strcmp(o->sample->card[i].state, "ACTIVE"));
	}
	head(o, "weft_card_line_bytes_per_second", "gauge", "speed of the line, in one direction");
	for (uint32_t i = 0; i < o->sample->cards; i++) {
		if (!o->sample->card[i].gbps)
			continue;
		fputs("weft_card_line_bytes_per_second{", o->to);
		card_labels(o, &o->sample->card[i]);
		fprintf(o->to, "} %" PRIu64 "\n", o->sample->card[i].gbps * 125000000);
	}
	head(o, "weft_cards", "gauge", "cards that were found");
	fprintf(o->to, "weft_cards %u\n", o->sample->cards);
}

/* A card belongs to a pod if all programs that use it are the pod's. Kubernetes gives cards out whole. */
static void card_pods(const struct out *o)
{
	head(o, "weft_card_pod", "info",
	     "who has a card: join with it on (device); the value is always 1");
	for (uint32_t i = 0; i < o->sample->cards; i++) {
		const struct weft_watch_proc *owner = NULL;
		bool mixed = false;

		for (uint32_t k = 0; k < o->sample->procs; k++) {
			const struct weft_watch_proc *proc = &o->sample->proc[k];

			if (!weft_proc_has_card(proc, i))
				continue;
			mixed |= owner && strcmp(owner->pod_uid, proc->pod_uid) != 0;
			owner = proc;
		}
		if (!owner || mixed || !owner->pod_uid[0])
			continue;
		fputs("weft_card_pod_info{", o->to);
		card_labels(o, &o->sample->card[i]);
		label(o, "namespace", owner->ns);
		label(o, "pod", owner->pod);
		label(o, "uid", owner->pod_uid);
		fputs("} 1\n", o->to);
	}
}

static void network(const struct out *o)
{
	static const struct {
		const char *name, *help;
		bool tx;
	} metrics[] = {
		{ "weft_network_receive_bytes", "bytes received by the ordinary network", false },
		{ "weft_network_transmit_bytes", "bytes sent by the ordinary network", true },
	};

	for (size_t m = 0; m < WEFT_ARRAY_SIZE(metrics); m++) {
		head(o, metrics[m].name, "counter", metrics[m].help);
		for (uint32_t i = 0; i < o->sample->nets; i++) {
			const struct weft_watch_net *net = &o->sample->net[i];

			fprintf(o->to, "%s_total{device=\"%s\"} %" PRIu64 "\n", metrics[m].name,
				net->name, metrics[m].tx ? net->tx_bytes : net->rx_bytes);
		}
	}
}

static void proc_labels(const struct out *o, const struct weft_watch_proc *proc)
{
	fprintf(o->to, "pid=\"%u\"", proc->pid);
	label(o, "program", proc->comm);
	label(o, "namespace", proc->ns);
	label(o, "pod", proc->pod);
}

static void programs(const struct out *o)
{
	static const struct {
		const char *name, *help;
		size_t at;
	} metrics[] = {
#define AT(field) offsetof(struct weft_watch_proc, field)
		{ "weft_program_efa_transmit_bytes", "bytes sent by the cards a program uses",
		  AT(efa_tx) },
		{ "weft_program_efa_receive_bytes", "bytes received by the cards a program uses",
		  AT(efa_rx) },
		{ "weft_program_tcp_transmit_bytes", "bytes a program sent over TCP", AT(tcp_tx) },
		{ "weft_program_tcp_receive_bytes", "bytes a program received over TCP",
		  AT(tcp_rx) },
#undef AT
	};

	for (size_t m = 0; m < WEFT_ARRAY_SIZE(metrics); m++) {
		head(o, metrics[m].name, "counter", metrics[m].help);
		for (uint32_t i = 0; i < o->sample->procs; i++) {
			const struct weft_watch_proc *proc = &o->sample->proc[i];
			uint64_t value;

			memcpy(&value, (const char *)proc + metrics[m].at, sizeof(value));
			if (value == WEFT_WATCH_NONE)
				continue;
			fprintf(o->to, "%s_total{", metrics[m].name);
			proc_labels(o, proc);
			fprintf(o->to, "} %" PRIu64 "\n", value);
		}
	}
}

static void alarms(const struct out *o)
{
	head(o, "weft_fallback", "gauge",
	     "programs that should be on EFA and move their bytes over TCP");
	fprintf(o->to, "weft_fallback %u\n", o->rates->alarms);
	head(o, "weft_program_fallback", "gauge", "those, one by one; the value is always 1");
	for (uint32_t i = 0; i < o->sample->procs; i++) {
		if (!o->rates->proc[i].alarm)
			continue;
		fputs("weft_program_fallback{", o->to);
		proc_labels(o, &o->sample->proc[i]);
		label(o, "why", o->sample->proc[i].why);
		fputs("} 1\n", o->to);
	}
	head(o, "weft_left_out", "gauge", "cards and programs that were too many to be shown");
	fprintf(o->to, "weft_left_out %u\n", o->sample->left_out);
}

void weft_metrics_write(FILE *to, const struct weft_sample *sample, const struct weft_rates *rates,
			const struct weft_metrics_options *options)
{
	struct out o = { to, sample, rates, options->openmetrics, options->details };

	card_counters(&o);
	drops(&o);
	card_facts(&o);
	card_pods(&o);
	network(&o);
	if (options->procs)
		programs(&o);
	alarms(&o);
	if (o.openmetrics)
		fputs("# EOF\n", to);
}
