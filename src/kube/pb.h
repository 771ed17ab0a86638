/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_KUBE_PB_H
#define WEFT_KUBE_PB_H

/* Protocol buffers, as far as device plugins use them: numbers, text, and messages within messages. */
#include "base/types.h"

/* Written from the front to the back, in memory that grows. */
struct weft_pb_out {
	uint8_t *data; /* owns */
	size_t len, room;
	bool failed; /* No memory: what is in it is not whole. */
};

void weft_pb_free(struct weft_pb_out *out);
void weft_pb_put_bytes(struct weft_pb_out *out, const void *data, size_t len); /* As they are. */
/* A number; not written if 0, which is what a reader takes it for when it is not there. */
void weft_pb_put_number(struct weft_pb_out *out, uint32_t field, uint64_t value);
void weft_pb_put_text(struct weft_pb_out *out, uint32_t field, const char *text);
/* A message within: what is written between the two. Result: what `end` wants to know. */
size_t weft_pb_begin(struct weft_pb_out *out, uint32_t field);
void weft_pb_end(struct weft_pb_out *out, size_t begun);
/* An entry of a map<string, string>. */
void weft_pb_put_entry(struct weft_pb_out *out, uint32_t field, const char *key, const char *value);

/* Bytes to be read: a message, or a field of it. Borrows. */
struct weft_pb_in {
	const uint8_t *at, *end;
};

struct weft_pb_field {
	uint32_t number;
	bool is_bytes; /* Text or a message: `bytes`. Else a number: `value`. */
	uint64_t value;
	struct weft_pb_in bytes;
};

/* 1: a field, 0: there are no more, -1: this is no message. */
int weft_pb_next(struct weft_pb_in *in, struct weft_pb_field *field_out);

#endif
