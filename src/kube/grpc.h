/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_KUBE_GRPC_H
#define WEFT_KUBE_GRPC_H

/* gRPC: calls over one connection of HTTP/2, from bytes to bytes. Knows no socket and no clock, never waits, and keeps
 * a bounded amount of whatever the other side sends. */
#include "kube/pb.h"

#include <sys/types.h>

enum weft_grpc_code { /* As they go over the wire. */
	WEFT_GRPC_OK = 0,
	WEFT_GRPC_UNKNOWN = 2,
	WEFT_GRPC_INVALID_ARGUMENT = 3,
	WEFT_GRPC_DEADLINE_EXCEEDED = 4,
	WEFT_GRPC_NOT_FOUND = 5,
	WEFT_GRPC_RESOURCE_EXHAUSTED = 8,
	WEFT_GRPC_FAILED_PRECONDITION = 9,
	WEFT_GRPC_UNIMPLEMENTED = 12,
	WEFT_GRPC_INTERNAL = 13,
	WEFT_GRPC_UNAVAILABLE = 14,
};

#define WEFT_GRPC_WHY_MAX     256u
#define WEFT_GRPC_MESSAGE_MAX (512u * 1024) /* Of a request. */

/* Answers a call: writes the message into `reply`, or says why (WEFT_GRPC_WHY_MAX bytes) there is none. */
typedef enum weft_grpc_code weft_grpc_fn(void *arg, struct weft_pb_in request,
					 struct weft_pb_out *reply, char *why);

struct weft_grpc_method {
	const char *path; /* "/v1beta1.DevicePlugin/Allocate" */
	weft_grpc_fn *fn;
	/* The answer is a stream: a message at once, and another one, from `fn` again, whenever there is something new
	 * and the last one is out. A slow reader gets the newest and not all. */
	bool is_stream;
};

struct weft_grpc_service {
	const struct weft_grpc_method *methods;
	size_t count;
	void *arg; /* For fn and on_call. */
	/* A call has been answered or refused, or its stream has begun (OK) or ended. `path` as it was asked for. */
	void (*on_call)(void *arg, const char *path, enum weft_grpc_code code, const char *why);
};

struct weft_grpc; /* One connection. */

/* The side that is called. Borrows the service. NULL: no memory. */
struct weft_grpc *weft_grpc_serve(const struct weft_grpc_service *service);

/* The side that calls: one call, whose answer is no more than a status; on_done comes once, if at all: not when the
 * connection is destroyed before. NULL: no memory. */
typedef void weft_grpc_done_fn(void *arg, enum weft_grpc_code code, const char *why);
struct weft_grpc *weft_grpc_call(const char *path, const struct weft_pb_out *request,
				 weft_grpc_done_fn *on_done, void *arg);
void weft_grpc_destroy(struct weft_grpc *grpc);

/* Bytes came in. False: they make no sense, and after what there is still to send the connection is over. */
bool weft_grpc_recv(struct weft_grpc *grpc, const uint8_t *data, size_t len);

/* The next bytes to go out, valid until the next call; 0: none now. */
size_t weft_grpc_send(struct weft_grpc *grpc, const uint8_t **data_out);

/* Nothing more will come out, or is to come in. */
bool weft_grpc_is_over(const struct weft_grpc *grpc);

/* There is something new for streams. */
void weft_grpc_notify(struct weft_grpc *grpc);

/* How many streaming calls are being answered. */
uint32_t weft_grpc_streams(const struct weft_grpc *grpc);

#endif
