/* SPDX-License-Identifier: BSD-2-Clause */
/* Metrics. Names of resources and cards are letters, digits and a few signs, so no label needs an escape. All samples of a
 * metric stand together, as both formats want it. */
#include "kube/kmetrics.h"

#include <inttypes.h>
#include <string.h>

#define NAME "weft_device_plugin_"

/* In the older format the name of a counter ends in _total also here. */
static void head(FILE *to, bool openmetrics, const char *name, const char *type, const char *help)
{
	const char *end = !openmetrics && !strcmp(type, "counter") ? "_total" : "";

	fprintf(to, "# HELP " NAME "%s%s %s\n# TYPE " NAME "%s%s %s\n", name, end, help, name, end,
		type);
}

static void put_counters(FILE *to, const struct weft_plugin *const *plugins, uint32_t count,
			 bool openmetrics)
{
	static const struct {
		const char *name, *help;
		size_t at;
	} counters[] = {
#define AT(field) offsetof(struct weft_kube_counts, field)
		{ "registrations", "times that kubelet took the registration", AT(registrations) },
		{ "registration_failures",
		  "times that kubelet refused it, or did not call back after it",
		  AT(registrations_failed) },
		{ "watches", "times that kubelet began to watch", AT(streams_begun) },
		{ "calls", "calls of kubelet", AT(calls) },
		{ "call_failures", "calls of kubelet that were refused", AT(calls_failed) },
		{ "allocated_containers", "containers that were given devices", AT(containers) },
		{ "allocated_devices", "devices that were given to containers", AT(devices) },
#undef AT
	};

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(counters); i++) {
		head(to, openmetrics, counters[i].name, "counter", counters[i].help);
		for (uint32_t p = 0; p < count; p++) {
			struct weft_kube_counts counts = weft_plugin_counts(plugins[p]);
			uint64_t value;

			memcpy(&value, (const char *)&counts + counters[i].at, sizeof(value));
			fprintf(to, NAME "%s_total{resource=\"%s\"} %" PRIu64 "\n",
				counters[i].name, weft_plugin_resource(plugins[p]), value);
		}
	}
}

static void put_cards(FILE *to, const struct weft_plugin *const *plugins, uint32_t count,
		      bool openmetrics)
{
	head(to, openmetrics, "card_healthy", "gauge", "1: the card can be given away");
	for (uint32_t p = 0; p < count; p++) {
		const struct weft_kube_cards *cards = weft_plugin_source(plugins[p])->cards;

		for (uint32_t i = 0; i < cards->count; i++)
			fprintf(to, NAME "card_healthy{resource=\"%s\",card=\"%s\"} %d\n",
				weft_plugin_resource(plugins[p]), cards->card[i].id,
				cards->card[i].is_healthy);
	}
	head(to, openmetrics, "devices", "gauge",
	     "devices as kubelet counts them, by their health");
	for (uint32_t p = 0; p < count; p++) {
		const struct weft_kube_cards *cards = weft_plugin_source(plugins[p])->cards;
		uint32_t healthy = 0;

		for (uint32_t i = 0; i < cards->count; i++)
			healthy += cards->card[i].is_healthy;
		fprintf(to,
			NAME "devices{resource=\"%s\",health=\"healthy\"} %u\n" NAME
			     "devices{resource=\"%s\",health=\"unhealthy\"} %u\n",
			weft_plugin_resource(plugins[p]), healthy * cards->shared,
			weft_plugin_resource(plugins[p]), (cards->count - healthy) * cards->shared);
	}
}

void weft_kube_metrics(FILE *to, const struct weft_plugin *const *plugins, uint32_t count,
		       bool openmetrics)
{
	head(to, openmetrics, "watched", "gauge", "1: kubelet knows of the devices");
	for (uint32_t p = 0; p < count; p++)
		fprintf(to, NAME "watched{resource=\"%s\"} %d\n", weft_plugin_resource(plugins[p]),
			weft_plugin_counts(plugins[p]).is_connected);
	put_cards(to, plugins, count, openmetrics);
	put_counters(to, plugins, count, openmetrics);
	if (openmetrics)
		fputs("# EOF\n", to);
}
