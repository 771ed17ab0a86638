/* SPDX-License-Identifier: BSD-2-Clause */
/* gRPC over nghttp2, which does frames, header compression, flow control and priorities.
 *
 * A message is a byte that says whether it is compressed (never, here), four of length, and the bytes; a request
 * may come in any number of DATA frames. An answer is a HEADERS frame, DATA with a message, and a HEADERS frame
 * with the status (the trailer); one that is only a status is a single HEADERS frame.
 *
 * What nghttp2 would check of headers is checked here instead: kubelets before 1.26 send the path of the socket as
 * :authority, which no authority can be, and nghttp2 would reset the stream. */
#include "kube/grpc.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX      5u /* Of a message: compressed or not, length. */
#define STREAMS_MAX 16u
#define BUFFERED_MAX \
	(2u * WEFT_GRPC_MESSAGE_MAX) /* Of all requests of a connection that are not whole. */

struct stream {
	struct stream *next;
	struct weft_grpc *grpc; /* borrows */
	int32_t id;
	char path[96];
	bool is_post, is_grpc;
	bool judged; /* The head of the request has been looked at. */
	bool answered; /* Whatever else comes in does not matter. */
	bool is_streaming; /* With messages, of which there is no last one. */
	const struct weft_grpc_method *method; /* NULL: no such. */
	struct weft_pb_out request; /* owns. What has come of it, with its prefix. */
	struct weft_pb_out reply; /* owns. A message, with its prefix. */
	size_t sent; /* Of the reply. */
	bool news; /* The next message of a stream is due. */
	/* Of a call of ours: the answer. */
	uint32_t http_status;
	bool has_code;
	enum weft_grpc_code code;
	char why[WEFT_GRPC_WHY_MAX];
};

struct weft_grpc {
	nghttp2_session *session; /* owns */
	const struct weft_grpc_service *service; /* borrows. NULL: the side that calls. */
	weft_grpc_done_fn *on_done;
	void *arg; /* borrows */
	struct stream *streams; /* owns */
	size_t buffered;
	bool broken;
};

/* Streams */

static struct stream *add_stream(struct weft_grpc *g, int32_t id)
{
	struct stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->grpc = g;
	s->id = id;
	s->next = g->streams;
	g->streams = s;
	return s;
}

static void forget_request(struct stream *s)
{
	s->grpc->buffered -= s->request.len;
	weft_pb_free(&s->request);
}

static void free_stream(struct stream *s)
{
	forget_request(s);
	weft_pb_free(&s->reply);
	free(s);
}

static void drop_stream(struct weft_grpc *g, struct stream *s)
{
	struct stream **at = &g->streams;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	free_stream(s);
}

static struct stream *find_stream(struct weft_grpc *g, int32_t id)
{
	for (struct stream *s = g->streams; s; s = s->next)
		if (s->id == id)
			return s;
	return NULL;
}

uint32_t weft_grpc_streams(const struct weft_grpc *g)
{
	uint32_t n = 0;

	for (const struct stream *s = g->streams; s; s = s->next)
		n += s->is_streaming;
	return n;
}

/* Answers */

static nghttp2_nv header(const char *name, const char *value)
{
	return (nghttp2_nv){ .name = (uint8_t *)name,
			     .value = (uint8_t *)value,
			     .namelen = strlen(name),
			     .valuelen = strlen(value) };
}

/* Printable ASCII but '%' stands for itself. */
static void percent_encode(const char *text, char *out, size_t len)
{
	size_t n = 0;

	for (; *text && n + 4 <= len; text++) {
		unsigned char c = (unsigned char)*text;

		if (c >= 0x20 && c < 0x7f && c != '%')
			out[n++] = (char)c;
		else
			n += (size_t)snprintf(out + n, len - n, "%%%02X", c);
	}
	out[n] = 0;
}

static void tell(struct stream *s, enum weft_grpc_code code, const char *why)
{
	const struct weft_grpc_service *service = s->grpc->service;

	if (service->on_call)
		service->on_call(service->arg, s->path, code, why);
}

/* Nothing but a status. */
static void refuse(struct stream *s, enum weft_grpc_code code, const char *why)
{
	char number[16], message[3 * WEFT_GRPC_WHY_MAX + 1];
	nghttp2_nv nv[4];

	snprintf(number, sizeof(number), "%d", (int)code);
	percent_encode(why, message, sizeof(message));
	nv[0] = header(":status", "200");
	nv[1] = header("content-type", "application/grpc");
	nv[2] = header("grpc-status", number);
	nv[3] = header("grpc-message", message);
	s->answered = true;
	forget_request(s);
	tell(s, code, why);
	if (nghttp2_submit_response(s->grpc->session, s->id, nv, 4, NULL))
		s->grpc->broken = true;
}

/* Not even gRPC. */
static void refuse_http(struct stream *s, const char *status, const char *why)
{
	nghttp2_nv nv = header(":status", status);

	s->answered = true;
	tell(s, WEFT_GRPC_INVALID_ARGUMENT, why);
	if (nghttp2_submit_response(s->grpc->session, s->id, &nv, 1, NULL))
		s->grpc->broken = true;
}

/* The next message: in s->reply, with its prefix. */
static enum weft_grpc_code make_reply(struct stream *s, struct weft_pb_in request, char *why)
{
	static const uint8_t prefix[PREFIX];
	enum weft_grpc_code code;
	uint32_t len;

	s->reply.len = 0;
	s->sent = 0;
	s->news = false;
	weft_pb_put_bytes(&s->reply, prefix, PREFIX);
	code = s->method->fn(s->grpc->service->arg, request, &s->reply, why);
	if (code != WEFT_GRPC_OK)
		return code;
	if (s->reply.failed) {
		snprintf(why, WEFT_GRPC_WHY_MAX, "no memory");
		return WEFT_GRPC_RESOURCE_EXHAUSTED;
	}
	len = (uint32_t)(s->reply.len - PREFIX);
	for (uint32_t i = 1; i < PREFIX; i++)
		s->reply.data[i] = (uint8_t)(len >> 8 * (PREFIX - 1 - i));
	return WEFT_GRPC_OK;
}

/* The status behind the last message. */
static ssize_t end_reply(struct stream *s, enum weft_grpc_code code, const char *why,
			 uint32_t *flags)
{
	char number[16], message[3 * WEFT_GRPC_WHY_MAX + 1];
	nghttp2_nv nv[2];

	snprintf(number, sizeof(number), "%d", (int)code);
	percent_encode(why, message, sizeof(message));
	nv[0] = header("grpc-status", number);
	nv[1] = header("grpc-message", message);
	*flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
	if (nghttp2_submit_trailer(s->grpc->session, s->id, nv, code == WEFT_GRPC_OK ? 1 : 2))
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	return 0;
}

/* nghttp2 has place for `len` bytes of an answer. */
static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t len,
		       uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct stream *s = source->ptr;
	size_t n;

	(void)session;
	(void)id;
	(void)arg;
	if (s->sent == s->reply.len && s->is_streaming) {
		char why[WEFT_GRPC_WHY_MAX] = "";
		enum weft_grpc_code code;

		if (!s->news)
			return NGHTTP2_ERR_DEFERRED;
		code = make_reply(s, (struct weft_pb_in){ NULL, NULL }, why);
		if (code != WEFT_GRPC_OK) {
			s->is_streaming = false;
			tell(s, code, why);
			return end_reply(s, code, why, flags);
		}
	}
	n = WEFT_MIN(len, s->reply.len - s->sent);
	memcpy(buf, s->reply.data + s->sent, n);
	s->sent += n;
	if (s->sent == s->reply.len && !s->is_streaming &&
	    end_reply(s, WEFT_GRPC_OK, "", flags) < 0)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	return (ssize_t)n;
}

/* The request is whole. */
static void answer(struct stream *s)
{
	const uint8_t *in = s->request.data;
	size_t len = s->request.len;
	char why[WEFT_GRPC_WHY_MAX] = "";
	nghttp2_data_provider provider = { .source.ptr = s, .read_callback = on_read };
	enum weft_grpc_code code;
	nghttp2_nv nv[2];

	if (len < PREFIX ||
	    ((uint32_t)in[1] << 24 | in[2] << 16 | in[3] << 8 | in[4]) != len - PREFIX) {
		refuse(s, WEFT_GRPC_INTERNAL, "not one whole message");
		return;
	}
	code = make_reply(s, (struct weft_pb_in){ in + PREFIX, in + len }, why);
	if (code != WEFT_GRPC_OK) {
		refuse(s, code, why);
		return;
	}
	s->answered = true;
	s->is_streaming = s->method->is_stream;
	forget_request(s);
	tell(s, WEFT_GRPC_OK, "");
	nv[0] = header(":status", "200");
	nv[1] = header("content-type", "application/grpc");
	if (nghttp2_submit_response(s->grpc->session, s->id, nv, 2, &provider))
		s->grpc->broken = true;
}

/* What comes in */

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct weft_grpc *g = arg;

	(void)session;
	if (!g->service || frame->hd.type != NGHTTP2_HEADERS ||
	    frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	return add_stream(g, frame->hd.stream_id) ? 0 : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static bool is_name(const uint8_t *name, size_t len, const char *want)
{
	return len == strlen(want) && !memcmp(name, want, len);
}

static void on_request_header(struct stream *s, const uint8_t *name, size_t name_len,
			      const uint8_t *value, size_t len)
{
	static const char type[] = "application/grpc"; /* "+proto" and ";..." may follow. */

	if (s->judged)
		return;
	if (is_name(name, name_len, ":method"))
		s->is_post = is_name(value, len, "POST");
	else if (is_name(name, name_len, ":path"))
		/* One that is too long is cut, and as long as no method's. */
		snprintf(s->path, sizeof(s->path), "%.*s", (int)WEFT_MIN(len, sizeof(s->path)),
			 (const char *)value);
	else if (is_name(name, name_len, "content-type"))
		s->is_grpc = len >= sizeof(type) - 1 && !memcmp(value, type, sizeof(type) - 1);
}

static int hex_of(uint8_t c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
				      : -1;
}

static void percent_decode(const uint8_t *text, size_t len, char *out, size_t room)
{
	size_t n = 0;

	for (size_t i = 0; i < len && n + 1 < room; i++) {
		bool is_coded = text[i] == '%' && len - i > 2 && hex_of(text[i + 1]) >= 0 &&
				hex_of(text[i + 2]) >= 0;

		out[n++] = is_coded ? (char)(hex_of(text[i + 1]) << 4 | hex_of(text[i + 2]))
				    : (char)text[i];
		if (is_coded)
			i += 2;
	}
	out[n] = 0;
}

static uint32_t number_of(const uint8_t *text, size_t len)
{
	uint32_t n = 0;

	for (size_t i = 0; i < len && i < 6 && text[i] >= '0' && text[i] <= '9'; i++)
		n = n * 10 + text[i] - '0';
	return n;
}

static void on_reply_header(struct stream *s, const uint8_t *name, size_t name_len,
			    const uint8_t *value, size_t len)
{
	if (is_name(name, name_len, ":status")) {
		s->http_status = number_of(value, len);
	} else if (is_name(name, name_len, "grpc-status")) {
		s->code = (enum weft_grpc_code)number_of(value, len);
		s->has_code = len > 0;
	} else if (is_name(name, name_len, "grpc-message")) {
		percent_decode(value, len, s->why, sizeof(s->why));
	}
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_len, const uint8_t *value, size_t len, uint8_t flags, void *arg)
{
	struct weft_grpc *g = arg;
	struct stream *s = find_stream(g, frame->hd.stream_id);

	(void)session;
	(void)flags;
	if (s && g->service)
		on_request_header(s, name, name_len, value, len);
	else if (s)
		on_reply_header(s, name, name_len, value, len);
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
		   size_t len, void *arg)
{
	struct weft_grpc *g = arg;
	struct stream *s = find_stream(g, id);

	(void)session;
	(void)flags;
	if (!s || !g->service || s->answered)
		return 0;
	if (s->request.len + len > PREFIX + WEFT_GRPC_MESSAGE_MAX ||
	    g->buffered + len > BUFFERED_MAX) {
		refuse(s, WEFT_GRPC_RESOURCE_EXHAUSTED, "the request is too large");
		return 0;
	}
	weft_pb_put_bytes(&s->request, data, len);
	if (s->request.failed) {
		refuse(s, WEFT_GRPC_RESOURCE_EXHAUSTED, "no memory");
		return 0;
	}
	g->buffered += len;
	if (s->request.data && s->request.data[0])
		refuse(s, WEFT_GRPC_UNIMPLEMENTED, "compressed messages are not understood");
	return 0;
}

/* The head of a request is whole. */
static void judge(struct stream *s)
{
	const struct weft_grpc_service *service = s->grpc->service;

	s->judged = true;
	for (size_t i = 0; i < service->count && !s->method; i++)
		if (!strcmp(service->methods[i].path, s->path))
			s->method = &service->methods[i];
	if (!s->is_post)
		refuse_http(s, "405", "not a POST");
	else if (!s->is_grpc)
		refuse_http(s, "415", "not gRPC");
	else if (!s->method)
		refuse(s, WEFT_GRPC_UNIMPLEMENTED, "no such method");
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct weft_grpc *g = arg;
	struct stream *s;

	(void)session;
	if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
		return 0;
	s = g->service ? find_stream(g, frame->hd.stream_id) : NULL;
	if (s && !s->judged)
		judge(s);
	if (s && !s->answered && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		answer(s);
	return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t error, void *arg)
{
	struct weft_grpc *g = arg;
	struct stream *s = find_stream(g, id);

	(void)session;
	if (!s)
		return 0;
	if (!g->service) {
		if (!s->has_code) {
			s->code = WEFT_GRPC_UNAVAILABLE;
			snprintf(s->why, sizeof(s->why),
				 "no status (HTTP status %u, HTTP/2 error %u)", s->http_status,
				 error);
		}
		g->on_done(g->arg, s->code, s->why);
	} else if (s->is_streaming) {
		tell(s, WEFT_GRPC_UNAVAILABLE, "the stream has ended");
	}
	drop_stream(g, s);
	return 0;
}

/* Connections */

static struct weft_grpc *create(const struct weft_grpc_service *service)
{
	struct weft_grpc *g = calloc(1, sizeof(*g));
	nghttp2_session_callbacks *callbacks = NULL;
	nghttp2_option *option = NULL;
	int err = 1;

	if (g && !nghttp2_session_callbacks_new(&callbacks) && !nghttp2_option_new(&option)) {
		g->service = service;
		nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin);
		nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
		nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
		nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
		nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
		nghttp2_option_set_no_http_messaging(option, 1);
		err = service ? nghttp2_session_server_new2(&g->session, callbacks, g, option)
			      : nghttp2_session_client_new2(&g->session, callbacks, g, option);
	}
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(callbacks);
	if (err) {
		free(g);
		return NULL;
	}
	return g;
}

struct weft_grpc *weft_grpc_serve(const struct weft_grpc_service *service)
{
	static const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, STREAMS_MAX },
	};
	struct weft_grpc *g = create(service);

	if (g && nghttp2_submit_settings(g->session, NGHTTP2_FLAG_NONE, settings,
					 WEFT_ARRAY_SIZE(settings))) {
		weft_grpc_destroy(g);
		return NULL;
	}
	return g;
}

static ssize_t on_read_request(nghttp2_session *session, int32_t id, uint8_t *buf, size_t len,
			       uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct stream *s = source->ptr;
	size_t n = WEFT_MIN(len, s->reply.len - s->sent);

	(void)session;
	(void)id;
	(void)arg;
	memcpy(buf, s->reply.data + s->sent, n);
	s->sent += n;
	if (s->sent == s->reply.len)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

struct weft_grpc *weft_grpc_call(const char *path, const struct weft_pb_out *request,
				 weft_grpc_done_fn *on_done, void *arg)
{
	static const nghttp2_settings_entry settings[] = { { NGHTTP2_SETTINGS_ENABLE_PUSH, 0 } };
	const nghttp2_nv nv[] = {
		header(":method", "POST"),    header(":scheme", "http"),
		header(":path", path),        header(":authority", "localhost"),
		header("te", "trailers"),     header("content-type", "application/grpc"),
		header("user-agent", "weft"), header("grpc-timeout", "10S"),
	};
	const uint8_t prefix[PREFIX] = { 0, (uint8_t)(request->len >> 24),
					 (uint8_t)(request->len >> 16),
					 (uint8_t)(request->len >> 8), (uint8_t)request->len };
	struct weft_grpc *g = create(NULL);
	struct stream *s = g ? add_stream(g, 0) : NULL;
	nghttp2_data_provider provider = { .source.ptr = s, .read_callback = on_read_request };

	if (s) {
		g->on_done = on_done;
		g->arg = arg;
		weft_pb_put_bytes(&s->reply, prefix, PREFIX);
		weft_pb_put_bytes(&s->reply, request->data, request->len);
		if (!s->reply.failed && !request->failed &&
		    !nghttp2_submit_settings(g->session, NGHTTP2_FLAG_NONE, settings, 1)) {
			s->id = nghttp2_submit_request(g->session, NULL, nv, WEFT_ARRAY_SIZE(nv),
						       &provider, NULL);
			if (s->id > 0)
				return g;
		}
	}
	weft_grpc_destroy(g);
	return NULL;
}

void weft_grpc_destroy(struct weft_grpc *g)
{
	struct stream *next;

	if (!g)
		return;
	nghttp2_session_del(g->session);
	for (struct stream *s = g->streams; s; s = next) {
		next = s->next;
		free_stream(s);
	}
	free(g);
}

bool weft_grpc_recv(struct weft_grpc *g, const uint8_t *data, size_t len)
{
	ssize_t n = nghttp2_session_mem_recv(g->session, data, len);

	return n >= 0 && !g->broken;
}

size_t weft_grpc_send(struct weft_grpc *g, const uint8_t **data_out)
{
	ssize_t n = nghttp2_session_mem_send(g->session, data_out);

	if (n < 0)
		g->broken = true;
	return n > 0 ? (size_t)n : 0;
}

bool weft_grpc_is_over(const struct weft_grpc *g)
{
	return g->broken ||
	       (!nghttp2_session_want_read(g->session) && !nghttp2_session_want_write(g->session));
}

void weft_grpc_notify(struct weft_grpc *g)
{
	for (struct stream *s = g->streams; s; s = s->next) {
		if (!s->is_streaming)
			continue;
		s->news = true;
		/* Fails where nothing is deferred: then on_read() will come to it. */
		(void)nghttp2_session_resume_data(g->session, s->id);
	}
}
