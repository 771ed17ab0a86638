/* SPDX-License-Identifier: BSD-2-Clause */
/* A fleet for programs. Amounts are in whole units (cores, bytes, devices), with up to three digits behind the point;
 * keys are always there, and what is not known is null. */
#include "cli/json.h"
#include "cli/nodes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOURS 730 /* Of a month. */

static void put_milli(uint64_t milli)
{
	char text[32];
	size_t len;

	snprintf(text, sizeof(text), "%" PRIu64 ".%03u", milli / 1000,
		 (unsigned int)(milli % 1000));
	for (len = strlen(text); text[len - 1] == '0'; len--)
		;
	len -= text[len - 1] == '.';
	printf("%.*s", (int)len, text);
}

static void put_price(bool known, uint64_t micro)
{
	if (known)
		printf("%" PRIu64 ".%06u", micro / 1000000, (unsigned int)(micro % 1000000));
	else
		fputs("null", stdout);
}

static void put_key(const char *key, const char *text)
{
	printf(", \"%s\": ", key);
	weft_json_string(*text ? text : NULL);
}

/* `offered`: bits of those that are there at all. */
static void put_resources(const struct weft_nodes_screen *s, const struct weft_fleet *f,
			  const struct weft_fleet_sum *sum, uint32_t offered, bool known)
{
	fputs(", \"resources\": {", stdout);
	for (uint32_t i = 0; i < s->resources; i++) {
		uint32_t k = s->resource[i];

		fputs(i ? ", " : "", stdout);
		weft_json_string(weft_nodes_resource_name(f, k));
		fputs(": {\"requested\": ", stdout);
		if (f->pods_given)
			put_milli(sum->requested[k]);
		else
			fputs("null", stdout);
		fputs(", \"allocatable\": ", stdout);
		if (offered >> k & 1)
			put_milli(sum->allocatable[k]);
		else
			fputs("null", stdout);
		if (k == WEFT_FLEET_EFA && known)
			printf(", \"expected\": %" PRIu64, sum->expected);
		else if (k == WEFT_FLEET_EFA)
			fputs(", \"expected\": null", stdout);
		putchar('}');
	}
	putchar('}');
}

static void put_node(const struct weft_nodes_screen *s, const struct weft_fleet *f,
		     const struct weft_fleet_row *r)
{
	const struct weft_fleet_node *n = r->node;
	bool trouble = n->trouble != WEFT_TROUBLE_NONE;

	fputs("{\"name\": ", stdout);
	weft_json_string(n->name);
	put_key("type", n->type);
	put_key("instance", n->instance ? n->instance->name : "");
	put_key("zone", n->zone);
	put_key("capacity_type", weft_fleet_capacity_name(n->capacity));
	put_key("status", weft_fleet_status(n));
	printf(", \"ready\": %s, \"schedulable\": %s", n->ready ? "true" : "false",
	       n->cordoned || n->deleting ? "false" : "true");
	if (f->pods_given)
		printf(", \"pods\": %u", n->pods);
	else
		fputs(", \"pods\": null", stdout);
	put_key("plugin", weft_fleet_plugin_name(f, n));
	put_key("plugin_reason", n->plugin_why);
	put_key("trouble", weft_fleet_trouble_name(n->trouble));
	put_key("finding",
		trouble ? weft_finding_info(weft_fleet_trouble_finding(n->trouble))->id : "");
	fputs(", \"price_per_hour\": ", stdout);
	put_price(n->priced, n->price);
	put_resources(s, f, &r->sum, n->offered | (n->slices ? 1u << WEFT_FLEET_EFA : 0),
		      n->instance && n->instance->efas.how != WEFT_FACT_UNKNOWN);
	putchar('}');
}

static void put_type(const struct weft_nodes_screen *s, const struct weft_fleet *f,
		     const struct weft_fleet_row *r)
{
	fputs("{\"type\": ", stdout);
	weft_json_string(*r->node->type ? r->node->type : NULL);
	put_key("instance", r->node->instance ? r->node->instance->name : "");
	printf(", \"nodes\": %u, \"ready\": %u, \"troubled\": %u", r->sum.nodes, r->sum.ready,
	       r->sum.troubled);
	if (f->pods_given)
		printf(", \"pods\": %u", r->sum.pods);
	else
		fputs(", \"pods\": null", stdout);
	fputs(", \"price_per_hour\": ", stdout);
	put_price(!r->sum.unpriced, r->sum.price);
	put_resources(s, f, &r->sum, UINT32_MAX, r->node->instance != NULL);
	putchar('}');
}

/* Each kind of trouble once, with what to do. */
static void put_troubles(const struct weft_fleet *f)
{
	bool any = false;

	fputs(" \"troubles\": [", stdout);
	for (int t = WEFT_TROUBLE_NONE + 1; t < WEFT_TROUBLE_COUNT; t++) {
		enum weft_fleet_trouble trouble = (enum weft_fleet_trouble)t;
		const struct weft_finding_info *info =
			weft_finding_info(weft_fleet_trouble_finding(trouble));
		uint32_t count = 0;

		for (uint32_t i = 0; i < f->nodes; i++)
			count += f->node[i].trouble == trouble;
		if (!count)
			continue;
		printf("%s\n  {\"trouble\": \"%s\", \"title\": ", any ? "," : "",
		       weft_fleet_trouble_name(trouble));
		weft_json_string(weft_fleet_trouble_title(trouble));
		printf(", \"nodes\": %u, \"finding\": \"%s\", \"reason\": ", count, info->id);
		weft_json_string(info->reason);
		fputs(", \"fix\": ", stdout);
		weft_json_string(info->fix);
		putchar('}');
		any = true;
	}
	fputs(any ? "\n ],\n" : "],\n", stdout);
}

static void put_summary(const struct weft_nodes_screen *s, const struct weft_fleet *f)
{
	const struct weft_fleet_sum *sum = &f->sum;

	printf("{\"summary\": {\"nodes\": %u, \"ready\": %u, \"troubled\": %u, \"short\": %u",
	       sum->nodes, sum->ready, sum->troubled, f->short_of);
	if (f->pods_given) {
		printf(", \"pods\": {\"total\": %u, \"pending\": %u, \"running\": %u, \"bound\": "
		       "%u}, \"pending_efas\": ",
		       f->pods, f->pending, f->running, f->bound);
		put_milli(f->pending_efas);
	} else {
		fputs(", \"pods\": null, \"pending_efas\": null", stdout);
	}
	printf(", \"unpriced\": %u, \"price_per_hour\": ", sum->unpriced);
	put_price(!sum->unpriced, sum->price);
	fputs(", \"price_per_month\": ", stdout);
	put_price(!sum->unpriced, sum->price * HOURS);
	put_resources(s, f, sum, UINT32_MAX, true);
	fputs("},\n", stdout);
}

bool weft_nodes_json(const struct weft_nodes_screen *s, const struct weft_fleet *f)
{
	uint32_t stuck = WEFT_MIN(f->stuck_pods, WEFT_FLEET_STUCK_MAX);
	struct weft_fleet_rows rows;

	if (!weft_fleet_rows(f, &s->view, &rows))
		return false;
	put_summary(s, f);
	put_troubles(f);
	printf(" \"unschedulable\": {\"pods\": %u, \"first\": [", f->stuck_pods);
	for (uint32_t i = 0; i < stuck; i++) {
		printf("%s{\"pod\": ", i ? ", " : "");
		weft_json_string(f->stuck[i].name);
		fputs(", \"message\": ", stdout);
		weft_json_string(f->stuck[i].why);
		putchar('}');
	}
	printf("]},\n \"%s\": [", s->view.by_type ? "types" : "nodes");
	for (uint32_t i = 0; i < rows.count; i++) {
		printf("%s\n  ", i ? "," : "");
		if (s->view.by_type)
			put_type(s, f, &rows.row[i]);
		else
			put_node(s, f, &rows.row[i]);
	}
	puts(rows.count ? "\n ]}" : "]}");
	weft_fleet_rows_free(&rows);
	return true;
}

/* Texts of a fleet are printable; a comma or a quote has to be quoted. */
static void csv_text(const char *text)
{
	if (!text[strcspn(text, ",\"")]) {
		fputs(text, stdout);
		return;
	}
	putchar('"');
	for (; *text; text++)
		printf(*text == '"' ? "\"\"" : "%c", *text);
	putchar('"');
}

static void csv_row(const struct weft_nodes_screen *s, const struct weft_fleet *f,
		    const struct weft_fleet_row *r)
{
	const struct weft_fleet_node *n = r->node;

	if (s->view.by_type) {
		csv_text(n->type);
		printf(",%u,%u,%u,%u,", r->sum.nodes, r->sum.ready, r->sum.troubled, r->sum.pods);
	} else {
		const char *const texts[] = { n->name,
					      n->type,
					      n->zone,
					      weft_fleet_capacity_name(n->capacity),
					      weft_fleet_status(n),
					      weft_fleet_plugin_name(f, n),
					      weft_fleet_trouble_name(n->trouble) };

		for (size_t i = 0; i < WEFT_ARRAY_SIZE(texts); i++) {
			fputs(i ? "," : "", stdout);
			csv_text(texts[i]);
		}
		printf(",%u,", n->pods);
	}
	if (!r->sum.unpriced)
		put_price(true, r->sum.price);
	for (uint32_t i = 0; i < s->resources; i++) {
		uint32_t k = s->resource[i];

		putchar(',');
		if (f->pods_given)
			put_milli(r->sum.requested[k]);
		putchar(',');
		put_milli(r->sum.allocatable[k]);
		if (k == WEFT_FLEET_EFA)
			printf(",%" PRIu64, r->sum.expected);
	}
	putchar('\n');
}

bool weft_nodes_csv(const struct weft_nodes_screen *s, const struct weft_fleet *f)
{
	struct weft_fleet_rows rows;

	if (!weft_fleet_rows(f, &s->view, &rows))
		return false;
	fputs(s->view.by_type ? "type,nodes,ready,troubled,pods,price_per_hour"
			      : "name,type,zone,capacity_type,status,plugin,trouble,pods,"
				"price_per_hour",
	      stdout);
	for (uint32_t i = 0; i < s->resources; i++) {
		const char *name = weft_nodes_resource_name(f, s->resource[i]);

		printf(",%s_requested,%s_allocatable", name, name);
		if (s->resource[i] == WEFT_FLEET_EFA)
			printf(",%s_expected", name);
	}
	putchar('\n');
	for (uint32_t i = 0; i < rows.count; i++)
		csv_row(s, f, &rows.row[i]);
	weft_fleet_rows_free(&rows);
	return true;
}
