/* SPDX-License-Identifier: BSD-2-Clause */
/* Fields of protocol buffers. The messages are few, small and read front to back, so a generator, its library and
 * thousands of generated lines would be more to understand than the format itself: a tag (field number and kind),
 * then a number in groups of seven bits, eight or four bytes, or a length and that many bytes. What a reader does
 * not know it skips, and of a field that is there twice the last one counts: the caller sees to that. */
#include "kube/pb.h"

#include <stdlib.h>
#include <string.h>

enum kind {
	KIND_VARINT = 0,
	KIND_FIXED64 = 1,
	KIND_BYTES = 2,
	KIND_FIXED32 = 5
};

#define VARINT_MAX 10u

void weft_pb_free(struct weft_pb_out *out)
{
	free(out->data);
	*out = (struct weft_pb_out){ .len = 0 };
}

static bool grow(struct weft_pb_out *out, size_t more)
{
	size_t room = out->room ? out->room : 256;
	uint8_t *data;

	if (out->failed)
		return false;
	if (more <= out->room - out->len)
		return true;
	while (room - out->len < more)
		room *= 2;
	data = realloc(out->data, room);
	if (!data) {
		out->failed = true;
		return false;
	}
	out->data = data;
	out->room = room;
	return true;
}

void weft_pb_put_bytes(struct weft_pb_out *out, const void *data, size_t len)
{
	if (!len || !grow(out, len))
		return;
	memcpy(out->data + out->len, data, len);
	out->len += len;
}

static size_t varint(uint8_t buf[VARINT_MAX], uint64_t value)
{
	size_t n = 0;

	for (; value >= 0x80; value >>= 7)
		buf[n++] = (uint8_t)(value | 0x80);
	buf[n++] = (uint8_t)value;
	return n;
}

static void put_varint(struct weft_pb_out *out, uint64_t value)
{
	uint8_t buf[VARINT_MAX];
	size_t n = varint(buf, value);

	weft_pb_put_bytes(out, buf, n);
}

void weft_pb_put_number(struct weft_pb_out *out, uint32_t field, uint64_t value)
{
	if (!value)
		return;
	put_varint(out, (uint64_t)field << 3 | KIND_VARINT);
	put_varint(out, value);
}

void weft_pb_put_text(struct weft_pb_out *out, uint32_t field, const char *text)
{
	put_varint(out, (uint64_t)field << 3 | KIND_BYTES);
	put_varint(out, strlen(text));
	weft_pb_put_bytes(out, text, strlen(text));
}

size_t weft_pb_begin(struct weft_pb_out *out, uint32_t field)
{
	put_varint(out, (uint64_t)field << 3 | KIND_BYTES);
	return out->len;
}

/* How long the length is depends on what it says, so it gets its place when that is known. */
void weft_pb_end(struct weft_pb_out *out, size_t begun)
{
	uint8_t buf[VARINT_MAX];
	size_t len = out->len - begun, n = varint(buf, len);

	if (!grow(out, n))
		return;
	memmove(out->data + begun + n, out->data + begun, len);
	memcpy(out->data + begun, buf, n);
	out->len += n;
}

void weft_pb_put_entry(struct weft_pb_out *out, uint32_t field, const char *key, const char *value)
{
	size_t entry = weft_pb_begin(out, field);

	weft_pb_put_text(out, 1, key);
	weft_pb_put_text(out, 2, value);
	weft_pb_end(out, entry);
}

static bool get_varint(struct weft_pb_in *in, uint64_t *value_out)
{
	uint64_t value = 0;

	for (uint32_t i = 0; i < VARINT_MAX && in->at < in->end; i++) {
		uint8_t byte = *in->at++;

		if (i == VARINT_MAX - 1 && byte > 1)
			return false; /* More than 64 bits. */
		value |= (uint64_t)(byte & 0x7f) << 7 * i;
		if (!(byte & 0x80)) {
			*value_out = value;
			return true;
		}
	}
	return false;
}

static bool get_fixed(struct weft_pb_in *in, size_t len, uint64_t *value_out)
{
	uint64_t value = 0;

	if ((size_t)(in->end - in->at) < len)
		return false;
	for (size_t i = len; i-- > 0;)
		value = value << 8 | in->at[i];
	in->at += len;
	*value_out = value;
	return true;
}

static bool get_value(struct weft_pb_in *in, uint32_t kind, struct weft_pb_field *field)
{
	uint64_t len;

	if (kind == KIND_VARINT)
		return get_varint(in, &field->value);
	if (kind == KIND_FIXED64 || kind == KIND_FIXED32)
		return get_fixed(in, kind == KIND_FIXED64 ? 8 : 4, &field->value);
	/* Groups have been out of use for longer than device plugins exist. */
	if (kind != KIND_BYTES || !get_varint(in, &len) || len > (size_t)(in->end - in->at))
		return false;
	field->is_bytes = true;
	field->bytes = (struct weft_pb_in){ in->at, in->at + len };
	in->at += len;
	return true;
}

int weft_pb_next(struct weft_pb_in *in, struct weft_pb_field *field_out)
{
	uint64_t tag;

	*field_out = (struct weft_pb_field){ .number = 0 };
	if (in->at == in->end)
		return 0;
	if (!get_varint(in, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
		return -1;
	field_out->number = (uint32_t)(tag >> 3);
	return get_value(in, tag & 7, field_out) ? 1 : -1;
}
