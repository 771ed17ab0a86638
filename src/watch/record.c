/* SPDX-License-Identifier: BSD-2-Clause */
/* Samples to JSON and back.
 *
 * Numbers are whole and exact: a counter beyond 2^53 survives. What is read may have been written by anybody: a value
 * that is missing or of another type is "not there", texts are cut and made printable, and only a line that is
 * no object with a time is refused. */
#include "watch/record.h"

#include "advice/jsonfile.h"
#include "base/json.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *const kinds[] = { "efa", "other", "weft" };

/* Writing */

static void put_text(FILE *to, const char *key, const char *value)
{
	fprintf(to, ", \"%s\": ", key);
	weft_json_put(to, value);
}

static void put_number(FILE *to, const char *key, uint64_t value)
{
	if (value == WEFT_WATCH_NONE)
		fprintf(to, ", \"%s\": null", key);
	else
		fprintf(to, ", \"%s\": %" PRIu64, key, value);
}

static void put_rate(FILE *to, const char *key, double value)
{
	if (value < 0)
		fprintf(to, ", \"%s\": null", key);
	else
		fprintf(to, ", \"%s\": %.6g", key, value);
}

static void put_card(FILE *to, const struct weft_watch_card *card, const struct weft_card_rate *r)
{
	const char *comma = "";

	fputs("{\"name\": ", to);
	weft_json_put(to, card->name);
	put_text(to, "address", card->where);
	put_text(to, "kind", kinds[card->kind]);
	put_number(to, "vendor", card->vendor);
	put_number(to, "device", card->device);
	put_number(to, "gbps", card->gbps);
	put_text(to, "state", card->state);
	put_text(to, "driver", card->driver);
	put_text(to, "pci", card->bdf);
	put_text(to, "gid", card->gid);
	fprintf(to, ", \"numa\": %d", card->numa);
	if (r) {
		put_rate(to, "tx_bytes_per_s", r->tx);
		put_rate(to, "rx_bytes_per_s", r->rx);
		put_rate(to, "line_percent", r->line);
		put_rate(to, "send_bytes_per_s", r->send);
		put_rate(to, "read_bytes_per_s", r->read);
		put_rate(to, "write_bytes_per_s", r->write);
		put_rate(to, "retrans_percent", r->retrans);
		put_rate(to, "retrans_timeouts_per_s", r->timeouts);
		put_rate(to, "drops_per_s", r->drops);
		put_rate(to, "rnr_per_s", r->rnr);
	}
	fputs(", \"counters\": {", to);
	for (uint32_t i = 0; i < weft_watch_counters(); i++) {
		if (card->value[i] == WEFT_WATCH_NONE)
			continue;
		fprintf(to, "%s\"%s\": %" PRIu64, comma, weft_watch_counter_name(i),
			card->value[i]);
		comma = ", ";
	}
	fputs("}}", to);
}

static void put_proc(FILE *to, const struct weft_sample *sample, const struct weft_watch_proc *proc,
		     const struct weft_proc_rate *r)
{
	const char *comma = "";

	fprintf(to, "{\"pid\": %u", proc->pid);
	put_number(to, "id", proc->id);
	put_text(to, "comm", proc->comm);
	put_text(to, "container", proc->container);
	put_text(to, "pod_uid", proc->pod_uid);
	put_text(to, "pod", proc->pod);
	put_text(to, "namespace", proc->ns);
	put_text(to, "why", proc->why);
	/* Names alone would not tell the cards of two addresses apart. */
	fputs(", \"cards\": [", to);
	for (uint32_t i = 0; i < sample->cards; i++) {
		if (!weft_proc_has_card(proc, i))
			continue;
		fprintf(to, "%s%u", comma, i);
		comma = ", ";
	}
	fputs("]", to);
	put_number(to, "efa_tx_bytes", proc->efa_tx);
	put_number(to, "efa_rx_bytes", proc->efa_rx);
	fprintf(to, ", \"shared\": %s", proc->shared ? "true" : "false");
	put_number(to, "tcp_tx_bytes", proc->tcp_tx);
	put_number(to, "tcp_rx_bytes", proc->tcp_rx);
	if (r) {
		put_rate(to, "efa_tx_bytes_per_s", r->efa_tx);
		put_rate(to, "efa_rx_bytes_per_s", r->efa_rx);
		put_rate(to, "tcp_tx_bytes_per_s", r->tcp_tx);
		put_rate(to, "tcp_rx_bytes_per_s", r->tcp_rx);
		fprintf(to, ", \"alarm\": %s", r->alarm ? "true" : "false");
	}
	fputs("}", to);
}

void weft_record_write(FILE *to, const struct weft_sample *sample, const struct weft_rates *rates)
{
	char text[512];

	fprintf(to, "{\"time_ns\": %" PRIu64, sample->time_ns);
	put_text(to, "host", sample->host);
	if (rates)
		put_rate(to, "seconds", rates->seconds);
	put_number(to, "left_out", sample->left_out);
	fputs(", \"cards\": [", to);
	for (uint32_t i = 0; i < sample->cards; i++) {
		fputs(i ? ", " : "", to);
		put_card(to, &sample->card[i], rates ? &rates->card[i] : NULL);
	}
	fputs("], \"network\": [", to);
	for (uint32_t i = 0; i < sample->nets; i++) {
		const struct weft_watch_net *net = &sample->net[i];

		fprintf(to, "%s{\"name\": ", i ? ", " : "");
		weft_json_put(to, net->name);
		put_number(to, "gbps", net->gbps);
		put_number(to, "rx_bytes", net->rx_bytes);
		put_number(to, "tx_bytes", net->tx_bytes);
		if (rates) {
			put_rate(to, "rx_bytes_per_s", rates->net[i].rx);
			put_rate(to, "tx_bytes_per_s", rates->net[i].tx);
		}
		fputs("}", to);
	}
	fputs("], \"processes\": [", to);
	for (uint32_t i = 0; i < sample->procs; i++) {
		fputs(i ? ", " : "", to);
		put_proc(to, sample, &sample->proc[i], rates ? &rates->proc[i] : NULL);
	}
	fputs("]", to);
	if (rates) {
		const char *comma = "";

		fputs(", \"alarms\": [", to);
		for (uint32_t i = 0; i < sample->procs; i++) {
			if (!rates->proc[i].alarm)
				continue;
			fputs(comma, to);
			weft_json_put(to, weft_alarm_text(sample, rates, i, text, sizeof(text)));
			comma = ", ";
		}
		fputs("]", to);
	}
	fputs("}\n", to);
}

/* Reading */

static void get_text(const json_t *from, const char *key, char *to, size_t len)
{
	snprintf(to, len, "%s", weft_json_text(from, key));
	for (; *to; to++)
		if ((unsigned char)*to < 0x20 || *to == 0x7f)
			*to = '?';
}

static uint64_t get_number(const json_t *from, const char *key, uint64_t otherwise)
{
	const json_t *value = json_object_get(from, key);

	return json_is_integer(value) && json_integer_value(value) >= 0
		       ? (uint64_t)json_integer_value(value)
		       : otherwise;
}

static void get_card(const json_t *from, struct weft_watch_card *card)
{
	const json_t *value;
	const char *key, *kind = weft_json_text(from, "kind");

	get_text(from, "name", card->name, sizeof(card->name));
	get_text(from, "address", card->where, sizeof(card->where));
	get_text(from, "state", card->state, sizeof(card->state));
	get_text(from, "driver", card->driver, sizeof(card->driver));
	get_text(from, "pci", card->bdf, sizeof(card->bdf));
	get_text(from, "gid", card->gid, sizeof(card->gid));
	card->kind = WEFT_WATCH_OTHER;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(kinds); i++)
		if (!strcmp(kind, kinds[i]))
			card->kind = (enum weft_watch_kind)i;
	card->vendor = (uint32_t)get_number(from, "vendor", 0);
	card->device = (uint32_t)get_number(from, "device", 0);
	card->gbps = get_number(from, "gbps", 0);
	card->numa = (int)WEFT_MIN(get_number(from, "numa", INT32_MAX), (uint64_t)INT32_MAX);
	if (card->numa == INT32_MAX)
		card->numa = -1;
	weft_json_each_key(json_object_get(from, "counters"), key, value) {
		int index = json_is_integer(value) ? weft_watch_counter(key) : -1;

		if (index >= 0 && json_integer_value(value) >= 0)
			card->value[index] = (uint64_t)json_integer_value(value);
	}
}

static void get_proc(const json_t *from, const struct weft_sample *sample,
		     struct weft_watch_proc *proc)
{
	const json_t *card;
	size_t i;

	proc->pid = (uint32_t)get_number(from, "pid", 0);
	proc->id = get_number(from, "id", 0);
	get_text(from, "comm", proc->comm, sizeof(proc->comm));
	get_text(from, "container", proc->container, sizeof(proc->container));
	get_text(from, "pod_uid", proc->pod_uid, sizeof(proc->pod_uid));
	get_text(from, "pod", proc->pod, sizeof(proc->pod));
	get_text(from, "namespace", proc->ns, sizeof(proc->ns));
	get_text(from, "why", proc->why, sizeof(proc->why));
	weft_json_each(json_object_get(from, "cards"), i, card)
		if (json_is_integer(card) && json_integer_value(card) >= 0 &&
		    json_integer_value(card) < sample->cards)
			weft_proc_set_card(proc, (uint32_t)json_integer_value(card));
	proc->efa_tx = get_number(from, "efa_tx_bytes", 0);
	proc->efa_rx = get_number(from, "efa_rx_bytes", 0);
	proc->shared = json_is_true(json_object_get(from, "shared"));
	proc->tcp_tx = get_number(from, "tcp_tx_bytes", WEFT_WATCH_NONE);
	proc->tcp_rx = get_number(from, "tcp_rx_bytes", WEFT_WATCH_NONE);
}

static void get_all(const json_t *from, struct weft_sample *sample)
{
	const json_t *item;
	size_t i;

	get_text(from, "host", sample->host, sizeof(sample->host));
	weft_json_each(json_object_get(from, "cards"), i, item) {
		struct weft_watch_card *card = weft_sample_add_card(sample);

		if (card)
			get_card(item, card);
	}
	weft_json_each(json_object_get(from, "network"), i, item) {
		struct weft_watch_net *net = weft_sample_add_net(sample);

		if (!net)
			continue;
		get_text(item, "name", net->name, sizeof(net->name));
		net->gbps = get_number(item, "gbps", 0);
		net->rx_bytes = get_number(item, "rx_bytes", 0);
		net->tx_bytes = get_number(item, "tx_bytes", 0);
	}
	weft_json_each(json_object_get(from, "processes"), i, item) {
		struct weft_watch_proc *proc = weft_sample_add_proc(sample);

		if (proc)
			get_proc(item, sample, proc);
	}
}

struct weft_sample *weft_record_parse(const char *text, size_t count, char *why_out, size_t len)
{
	json_t *from = weft_jsonfile_parse(text, count, why_out, len);
	uint64_t time_ns = get_number(from, "time_ns", WEFT_WATCH_NONE);
	struct weft_sample *sample;

	if (!from)
		return NULL;
	if (time_ns == WEFT_WATCH_NONE) {
		snprintf(why_out, len, "not a sample: it has no time_ns");
		json_decref(from);
		return NULL;
	}
	sample = calloc(1, sizeof(*sample));
	if (sample) {
		sample->time_ns = time_ns;
		get_all(from, sample);
	} else {
		snprintf(why_out, len, "no memory");
	}
	json_decref(from);
	return sample;
}
