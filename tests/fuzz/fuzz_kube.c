/* SPDX-License-Identifier: BSD-2-Clause */
/* What a kubelet may send to the device plugin: any bytes as a connection to it, or as the answer to a registration, or any
 * bytes as the message of one of its five calls. However they are cut into pieces they come to the same; what is kept of
 * them is bounded; and what is answered is made of whole messages. */
#include "fuzz.h"

#include "kube/api.h"
#include "kube/klog.h"

#include <stdio.h>
#include <string.h>

static const char *const paths[] = {
	"/v1beta1.DevicePlugin/GetDevicePluginOptions",
	"/v1beta1.DevicePlugin/GetPreferredAllocation",
	"/v1beta1.DevicePlugin/Allocate",
	"/v1beta1.DevicePlugin/PreStartContainer",
	WEFT_KUBE_WATCH,
};

static struct weft_kube_cards cards;
static int watchers, calls;

static void allocate(void *arg, const struct weft_kube_set *devices, struct weft_pb_out *reply)
{
	(void)arg;
	for (uint32_t i = 0; i < cards.count; i++)
		if (devices->shares[i])
			weft_pb_put_entry(reply, 1, cards.card[i].id, "x");
}

static void on_watch(struct weft_kube_api *api, bool is_begun)
{
	(void)api;
	watchers += is_begun ? 1 : -1;
	FUZZ_CHECK(watchers >= 0, "more streams end than begin");
}

static void on_done(void *arg, enum weft_grpc_code code, const char *why)
{
	(void)arg;
	FUZZ_CHECK(!calls++, "a call is done twice");
	FUZZ_CHECK(strlen(why) < WEFT_GRPC_WHY_MAX, "an endless reason");
	fuzz_trace("done: %d %s", (int)code, why);
}

static void make_cards(void)
{
	weft_klog_to(-1);
	cards.count = 9;
	cards.shared = 3;
	for (uint32_t i = 0; i < cards.count; i++) {
		snprintf(cards.card[i].id, sizeof(cards.card[i].id), "c%u", i);
		cards.card[i].numa = (int32_t)(i % 3) - 1;
		cards.card[i].group = i / 2;
		cards.card[i].is_healthy = i % 4;
	}
}

static size_t drain(struct weft_grpc *g, struct weft_grpc *to)
{
	const uint8_t *data;
	size_t len, total = 0;

	while ((len = weft_grpc_send(g, &data)) > 0) {
		total += len;
		FUZZ_CHECK(total < 1u << 24, "it talks without end");
		if (to)
			(void)weft_grpc_recv(to, data, len);
	}
	return total;
}

/* Everything of a message is a message, down to where text may be anything. */
static void check_message(const uint8_t *data, size_t len)
{
	struct weft_pb_in in = { data, data + len };
	struct weft_pb_field f;
	int got;

	while ((got = weft_pb_next(&in, &f)) > 0)
		;
	FUZZ_CHECK(!got, "the answer is no message");
}

static void feed(struct weft_grpc *g, struct fuzz_in *in, uint32_t piece)
{
	static const uint8_t news = 0xa5; /* As good as any. */
	bool ok = true;

	while (ok && fuzz_left(in)) {
		size_t n = WEFT_MIN((size_t)(in->end - in->at), piece);
		bool is_news = *in->at == news;

		ok = weft_grpc_recv(g, in->at, n);
		in->at += n;
		(void)drain(g, NULL);
		if (is_news)
			weft_grpc_notify(g);
		FUZZ_CHECK(weft_grpc_streams(g) <= 16, "%u streams", weft_grpc_streams(g));
	}
	(void)drain(g, NULL);
	(void)weft_grpc_is_over(g);
}

/* One call, whose message is the rest of the input. */
static void ask(const struct weft_grpc_service *service, const char *path, struct fuzz_in *in)
{
	struct weft_pb_out request = { .len = 0 }, reply = { .len = 0 };
	struct weft_grpc *client, *server = weft_grpc_serve(service);
	char why[WEFT_GRPC_WHY_MAX] = "";

	weft_pb_put_bytes(&request, in->at, (size_t)(in->end - in->at));
	client = weft_grpc_call(path, &request, on_done, NULL);
	FUZZ_CHECK(client && server, "no memory");
	while (drain(client, server) + drain(server, client))
		;
	FUZZ_CHECK(calls == (strcmp(path, WEFT_KUBE_WATCH) != 0), "%d answers", calls);
	weft_grpc_destroy(client);
	weft_grpc_destroy(server);
	for (size_t i = 0; i < service->count; i++)
		if (!strcmp(service->methods[i].path, path) &&
		    service->methods[i].fn(service->arg, (struct weft_pb_in){ in->at, in->end },
					   &reply, why) == WEFT_GRPC_OK &&
		    reply.len)
			check_message(reply.data, reply.len);
	weft_pb_free(&request);
	weft_pb_free(&reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, data + size };
	struct weft_kube_source source = { &cards, allocate, NULL };
	struct weft_kube_api api = { .resource = "a/b", .source = &source, .on_watch = on_watch };
	struct weft_grpc_service service = weft_kube_service(&api);
	struct weft_pb_out request = { .len = 0 };
	struct weft_grpc *g;
	uint8_t how = fuzz_u8(&in), piece = fuzz_u8(&in);

	if (!cards.count)
		make_cards();
	watchers = calls = 0;
	switch (how % 8) {
	case 0: /* Bytes from kubelet. */
		g = weft_grpc_serve(&service);
		break;
	case 1: /* Its answer to us. */
		weft_kube_put_register(&request, "x.sock", "a/b");
		g = weft_grpc_call(WEFT_KUBE_REGISTER, &request, on_done, NULL);
		weft_pb_free(&request);
		if (g)
			(void)drain(g, NULL);
		break;
	default:
		ask(&service, paths[how % WEFT_ARRAY_SIZE(paths)], &in);
		return 0;
	}
	FUZZ_CHECK(g, "no memory");
	feed(g, &in, piece ? piece : 1u << 20);
	weft_grpc_destroy(g);
	return 0;
}
