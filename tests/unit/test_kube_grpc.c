/* SPDX-License-Identifier: BSD-2-Clause */
#include "kube/grpc.h"

#include "base/prng.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

/* A service, and what has become of the calls to it. */

static struct {
	uint8_t request[WEFT_GRPC_MESSAGE_MAX + 16];
	size_t request_len;
	int calls, streams, ends;
	int messages; /* Of the stream. */
	enum weft_grpc_code code; /* Of a call of ours. */
	char why[WEFT_GRPC_WHY_MAX];
	int done;
} seen;

static enum weft_grpc_code keep(void *arg, struct weft_pb_in request, struct weft_pb_out *reply,
				char *why)
{
	(void)arg;
	(void)why;
	seen.request_len = (size_t)(request.end - request.at);
	memcpy(seen.request, request.at, seen.request_len);
	weft_pb_put_text(reply, 1, "answer");
	return WEFT_GRPC_OK;
}

static enum weft_grpc_code fails(void *arg, struct weft_pb_in request, struct weft_pb_out *reply,
				 char *why)
{
	(void)arg;
	(void)request;
	weft_pb_put_text(reply, 1, "not to be seen");
	snprintf(why, WEFT_GRPC_WHY_MAX, "100%% w\xc3\xb6rse\n");
	return WEFT_GRPC_NOT_FOUND;
}

static enum weft_grpc_code stream(void *arg, struct weft_pb_in request, struct weft_pb_out *reply,
				  char *why)
{
	(void)arg;
	(void)request;
	(void)why;
	seen.messages++;
	weft_pb_put_number(reply, 1, (uint64_t)seen.messages);
	return WEFT_GRPC_OK;
}

static void on_call(void *arg, const char *path, enum weft_grpc_code code, const char *why)
{
	(void)arg;
	(void)why;
	seen.calls++;
	if (!strcmp(path, "/test/Stream")) {
		seen.streams += code == WEFT_GRPC_OK;
		seen.ends += code == WEFT_GRPC_UNAVAILABLE;
	}
}

static void on_done(void *arg, enum weft_grpc_code code, const char *why)
{
	(void)arg;
	seen.code = code;
	snprintf(seen.why, sizeof(seen.why), "%s", why);
	seen.done++;
}

static const struct weft_grpc_method methods[] = {
	{ "/test/Keep", keep, false },
	{ "/test/Fail", fails, false },
	{ "/test/Stream", stream, true },
};
static const struct weft_grpc_service service = { methods, WEFT_ARRAY_SIZE(methods), NULL,
						  on_call };

/* All bytes of one to the other, in pieces of a chosen size; their number. */
static size_t move(struct weft_grpc *from, struct weft_grpc *to, size_t piece)
{
	const uint8_t *data;
	size_t len, total = 0;

	while ((len = weft_grpc_send(from, &data)) > 0) {
		total += len;
		for (size_t at = 0, n; at < len; at += n) {
			n = WEFT_MIN(piece, len - at);
			assert_true(weft_grpc_recv(to, data + at, n));
		}
	}
	return total;
}

static size_t pump(struct weft_grpc *a, struct weft_grpc *b, size_t piece)
{
	size_t moved, total = 0;

	do {
		moved = move(a, b, piece) + move(b, a, piece);
		total += moved;
	} while (moved);
	return total;
}

static void call(const char *path, const void *request, size_t len, size_t piece)
{
	struct weft_pb_out message = { .len = 0 };
	struct weft_grpc *server = weft_grpc_serve(&service), *client;

	memset(&seen, 0, sizeof(seen));
	weft_pb_put_bytes(&message, request, len);
	client = weft_grpc_call(path, &message, on_done, NULL);
	weft_pb_free(&message);
	assert_non_null(server);
	assert_non_null(client);
	pump(client, server, piece);
	assert_int_equal(seen.done, 1);
	weft_grpc_destroy(client);
	weft_grpc_destroy(server);
}

static void weft_grpc_call__answered(void **state)
{
	static const size_t pieces[] = { 1, 2, 9, 100, 1u << 20 };
	static const size_t lengths[] = { 0, 1, 16384, 65535, 200000, WEFT_GRPC_MESSAGE_MAX };
	static uint8_t request[WEFT_GRPC_MESSAGE_MAX];
	struct weft_prng prng;

	(void)state;
	weft_prng_init(&prng, 3);
	for (size_t i = 0; i < sizeof(request); i++)
		request[i] = (uint8_t)weft_prng_next(&prng);
	for (size_t p = 0; p < WEFT_ARRAY_SIZE(pieces); p++)
		for (size_t i = 0; i < WEFT_ARRAY_SIZE(lengths); i++) {
			call("/test/Keep", request, lengths[i], pieces[p]);
			assert_int_equal(seen.code, WEFT_GRPC_OK);
			assert_int_equal(seen.request_len, lengths[i]);
			assert_memory_equal(seen.request, request, lengths[i]);
		}
}

static void weft_grpc_call__refused(void **state)
{
	static uint8_t request[WEFT_GRPC_MESSAGE_MAX + 1];

	(void)state;
	call("/test/Fail", "", 0, 7);
	assert_int_equal(seen.code, WEFT_GRPC_NOT_FOUND);
	assert_string_equal(seen.why, "100% w\xc3\xb6rse\n");
	call("/test/Nothing", "", 0, 7);
	assert_int_equal(seen.code, WEFT_GRPC_UNIMPLEMENTED);
	call("/test/Keep", request, sizeof(request), 4096);
	assert_int_equal(seen.code, WEFT_GRPC_RESOURCE_EXHAUSTED);
	assert_int_equal(seen.request_len, 0);
}

/* A message at once, one for each piece of news, and one for several that came while it could not be sent. */
static void weft_grpc_notify__streams(void **state)
{
	struct weft_pb_out none = { .len = 0 };
	struct weft_grpc *server = weft_grpc_serve(&service);
	struct weft_grpc *client = weft_grpc_call("/test/Stream", &none, on_done, NULL);

	(void)state;
	memset(&seen, 0, sizeof(seen));
	pump(client, server, 100);
	assert_int_equal(weft_grpc_streams(server), 1);
	assert_int_equal(seen.messages, 1);
	assert_int_equal(pump(client, server, 100), 0);
	weft_grpc_notify(server);
	assert_true(pump(client, server, 100) > 0);
	assert_int_equal(seen.messages, 2);
	for (int i = 0; i < 100; i++)
		weft_grpc_notify(server);
	pump(client, server, 100);
	assert_int_equal(seen.messages, 3);
	assert_int_equal(seen.done, 0);
	assert_int_equal(seen.streams, 1);
	weft_grpc_destroy(client);
	weft_grpc_destroy(server);
}

/* What is no HTTP/2 ends the connection, and nothing else. */
static void weft_grpc_recv__garbage(void **state)
{
	struct weft_prng prng;

	(void)state;
	weft_prng_init(&prng, 9);
	for (int round = 0; round < 200; round++) {
		struct weft_grpc *server = weft_grpc_serve(&service);
		struct weft_grpc *client;
		struct weft_pb_out none = { .len = 0 };
		const uint8_t *data;
		uint8_t copy[4096];
		size_t len, total = 0;

		/* What a client would send, with a few bytes changed. */
		client = weft_grpc_call("/test/Stream", &none, on_done, NULL);
		while ((len = weft_grpc_send(client, &data)) > 0 && total + len <= sizeof(copy)) {
			memcpy(copy + total, data, len);
			total += len;
		}
		for (int i = 0; i < round % 5; i++)
			copy[weft_prng_next(&prng) % total] ^=
				(uint8_t)(1u << weft_prng_next(&prng) % 8);
		(void)weft_grpc_recv(server, copy, total);
		while (weft_grpc_send(server, &data) > 0)
			;
		weft_grpc_destroy(client);
		weft_grpc_destroy(server);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_grpc_call__answered),
		cmocka_unit_test(weft_grpc_call__refused),
		cmocka_unit_test(weft_grpc_notify__streams),
		cmocka_unit_test(weft_grpc_recv__garbage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
