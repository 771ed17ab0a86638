/* SPDX-License-Identifier: BSD-2-Clause */
/* What kubelet may call, and what it gets. Field numbers are those of api.proto; messages and fields that are not known
 * are skipped, as newer kubelets may send them. */
#include "kube/api.h"

#include "kube/klog.h"

#include <stdio.h>
#include <string.h>

#define LIST_MAX 1024u /* Of a list of devices in a log line. */

static enum weft_grpc_code malformed(char *why, const char *what)
{
	snprintf(why, WEFT_GRPC_WHY_MAX, "not a %s", what);
	return WEFT_GRPC_INTERNAL;
}

static void put_options(struct weft_pb_out *out)
{
	weft_pb_put_number(out, 2, 1); /* get_preferred_allocation_available */
}

static enum weft_grpc_code get_options(void *arg, struct weft_pb_in request,
				       struct weft_pb_out *reply, char *why)
{
	(void)arg;
	(void)request;
	(void)why;
	put_options(reply);
	return WEFT_GRPC_OK;
}

static void put_device(struct weft_pb_out *out, const struct weft_kube_cards *cards,
		       struct weft_kube_device device)
{
	const struct weft_kube_card *card = &cards->card[device.card];
	size_t begun = weft_pb_begin(out, 1), topology, node;
	char id[WEFT_KUBE_ID_MAX];

	weft_pb_put_text(out, 1, weft_kube_device_id(cards, device, id));
	weft_pb_put_text(out, 2, card->is_healthy ? "Healthy" : "Unhealthy");
	if (card->numa >= 0) {
		topology = weft_pb_begin(out, 3);
		node = weft_pb_begin(out, 1);
		weft_pb_put_number(out, 1, (uint64_t)card->numa);
		weft_pb_end(out, node);
		weft_pb_end(out, topology);
	}
	weft_pb_end(out, begun);
}

static enum weft_grpc_code list(void *arg, struct weft_pb_in request, struct weft_pb_out *reply,
				char *why)
{
	const struct weft_kube_api *api = arg;
	const struct weft_kube_cards *cards = api->source->cards;
	struct weft_kube_device d;

	(void)request;
	(void)why;
	for (d.card = 0; d.card < cards->count; d.card++)
		for (d.share = 0; d.share < cards->shared; d.share++)
			put_device(reply, cards, d);
	return WEFT_GRPC_OK;
}

/* Adds the device of that name. */
static enum weft_grpc_code take_id(const struct weft_kube_api *api, struct weft_pb_in id,
				   struct weft_kube_set *set, char *why)
{
	struct weft_kube_device device;

	if (!weft_kube_device_find(api->source->cards, id, &device)) {
		snprintf(why, WEFT_GRPC_WHY_MAX, "%s has no device \"%.*s\"", api->resource,
			 (int)WEFT_MIN(id.end - id.at, 63), (const char *)id.at);
		return WEFT_GRPC_NOT_FOUND;
	}
	weft_kube_set_add(set, device);
	return WEFT_GRPC_OK;
}

/* The names in a message of nothing else. Newer fields are skipped. */
static enum weft_grpc_code take_ids(const struct weft_kube_api *api, struct weft_pb_in message,
				    struct weft_kube_set *set, char *why)
{
	struct weft_pb_field f;
	int got;

	while ((got = weft_pb_next(&message, &f)) > 0) {
		enum weft_grpc_code code = WEFT_GRPC_OK;

		if (f.number == 1 && f.is_bytes)
			code = take_id(api, f.bytes, set, why);
		if (code != WEFT_GRPC_OK)
			return code;
	}
	return got ? malformed(why, "list of devices") : WEFT_GRPC_OK;
}

static void log_allocation(struct weft_kube_api *api, const struct weft_kube_set *set)
{
	const struct weft_kube_cards *cards = api->source->cards;
	char text[LIST_MAX] = "", id[WEFT_KUBE_ID_MAX], number[16];
	uint32_t count = 0;
	size_t len = 0;
	struct weft_kube_device d;

	for (d.card = 0; d.card < cards->count; d.card++)
		for (d.share = 0; d.share < cards->shared; d.share++) {
			if (!weft_kube_set_has(set, d))
				continue;
			weft_kube_device_id(cards, d, id);
			if (len + strlen(id) + 2 < sizeof(text))
				len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s",
							len ? "," : "", id);
			count++;
		}
	api->counts.containers++;
	api->counts.devices += count;
	snprintf(number, sizeof(number), "%u", count);
	weft_klog(WEFT_KLOG_INFO, "allocated to a container", "resource", api->resource, "count",
		  number, "devices", text);
}

static bool is_empty(const struct weft_kube_set *set)
{
	for (uint32_t i = 0; i < WEFT_KUBE_CARDS_MAX; i++)
		if (set->shares[i])
			return false;
	return true;
}

/* Kubelet does not ask for a card that it knows to be unhealthy, but may not know yet. To start a container with a card that
 * does not work, or with no device file, would be worse than not to start it. */
static enum weft_grpc_code check_health(const struct weft_kube_cards *cards,
					const struct weft_kube_set *set, char *why)
{
	for (uint32_t i = 0; i < cards->count; i++) {
		if (!set->shares[i] || cards->card[i].is_healthy)
			continue;
		snprintf(why, WEFT_GRPC_WHY_MAX, "%s: %s", cards->card[i].id, cards->card[i].why);
		return WEFT_GRPC_FAILED_PRECONDITION;
	}
	return WEFT_GRPC_OK;
}

static enum weft_grpc_code allocate(void *arg, struct weft_pb_in request, struct weft_pb_out *reply,
				    char *why)
{
	struct weft_kube_api *api = arg;
	struct weft_pb_field f;
	int got;

	while ((got = weft_pb_next(&request, &f)) > 0) {
		struct weft_kube_set set = { .shares = { 0 } };
		enum weft_grpc_code code;
		size_t container;

		if (f.number != 1 || !f.is_bytes)
			continue;
		code = take_ids(api, f.bytes, &set, why);
		if (code == WEFT_GRPC_OK)
			code = check_health(api->source->cards, &set, why);
		if (code != WEFT_GRPC_OK)
			return code;
		container = weft_pb_begin(reply, 1);
		if (!is_empty(&set))
			api->source->allocate(api->source->arg, &set, reply);
		weft_pb_end(reply, container);
		log_allocation(api, &set);
	}
	return got ? malformed(why, "AllocateRequest") : WEFT_GRPC_OK;
}

static enum weft_grpc_code prefer_one(const struct weft_kube_api *api, struct weft_pb_in request,
				      struct weft_pb_out *reply, char *why)
{
	const struct weft_kube_cards *cards = api->source->cards;
	struct weft_kube_set available = { .shares = { 0 } }, must = available, chosen;
	enum weft_grpc_code code = WEFT_GRPC_OK;
	char id[WEFT_KUBE_ID_MAX];
	struct weft_kube_device d;
	struct weft_pb_field f;
	uint64_t wanted = 0;
	size_t begun;
	int got;

	while (code == WEFT_GRPC_OK && (got = weft_pb_next(&request, &f)) > 0) {
		if ((f.number == 1 || f.number == 2) && f.is_bytes)
			code = take_id(api, f.bytes, f.number == 1 ? &available : &must, why);
		else if (f.number == 3 && !f.is_bytes)
			wanted = f.value;
	}
	if (code != WEFT_GRPC_OK)
		return code;
	if (got || wanted > WEFT_KUBE_CARDS_MAX * WEFT_KUBE_SHARED_MAX)
		return malformed(why, "PreferredAllocationRequest");
	weft_kube_prefer(cards, &available, &must, (uint32_t)wanted, &chosen);
	begun = weft_pb_begin(reply, 1);
	for (d.card = 0; d.card < cards->count; d.card++)
		for (d.share = 0; d.share < cards->shared; d.share++)
			if (weft_kube_set_has(&chosen, d))
				weft_pb_put_text(reply, 1, weft_kube_device_id(cards, d, id));
	weft_pb_end(reply, begun);
	return WEFT_GRPC_OK;
}

static enum weft_grpc_code prefer(void *arg, struct weft_pb_in request, struct weft_pb_out *reply,
				  char *why)
{
	struct weft_pb_field f;
	int got;

	while ((got = weft_pb_next(&request, &f)) > 0) {
		enum weft_grpc_code code;

		if (f.number != 1 || !f.is_bytes)
			continue;
		code = prefer_one(arg, f.bytes, reply, why);
		if (code != WEFT_GRPC_OK)
			return code;
	}
	return got ? malformed(why, "PreferredAllocationRequest") : WEFT_GRPC_OK;
}

/* Not asked for (pre_start_required is not set), and nothing to be done: but whoever calls is told of devices that are
 * not there. */
static enum weft_grpc_code pre_start(void *arg, struct weft_pb_in request,
				     struct weft_pb_out *reply, char *why)
{
	struct weft_kube_set set = { .shares = { 0 } };

	(void)reply;
	return take_ids(arg, request, &set, why);
}

static void on_call(void *arg, const char *path, enum weft_grpc_code code, const char *why)
{
	struct weft_kube_api *api = arg;
	bool is_watch = !strcmp(path, WEFT_KUBE_WATCH);

	/* The end of a stream is an event and no call. */
	if (is_watch && code == WEFT_GRPC_UNAVAILABLE) {
		api->on_watch(api, false);
		return;
	}
	api->counts.calls++;
	if (code != WEFT_GRPC_OK) {
		api->counts.calls_failed++;
		weft_klog(WEFT_KLOG_WARN, "call refused", "resource", api->resource, "method", path,
			  "why", why);
	} else if (is_watch) {
		api->counts.streams_begun++;
		api->on_watch(api, true);
	}
}

struct weft_grpc_service weft_kube_service(struct weft_kube_api *api)
{
	static const struct weft_grpc_method methods[] = {
		{ "/v1beta1.DevicePlugin/GetDevicePluginOptions", get_options, false },
		{ WEFT_KUBE_WATCH, list, true },
		{ "/v1beta1.DevicePlugin/GetPreferredAllocation", prefer, false },
		{ "/v1beta1.DevicePlugin/Allocate", allocate, false },
		{ "/v1beta1.DevicePlugin/PreStartContainer", pre_start, false },
	};

	return (struct weft_grpc_service){ methods, WEFT_ARRAY_SIZE(methods), api, on_call };
}

void weft_kube_put_register(struct weft_pb_out *out, const char *endpoint, const char *resource)
{
	size_t options;

	weft_pb_put_text(out, 1, "v1beta1");
	weft_pb_put_text(out, 2, endpoint);
	weft_pb_put_text(out, 3, resource);
	options = weft_pb_begin(out, 4);
	put_options(out);
	weft_pb_end(out, options);
}
