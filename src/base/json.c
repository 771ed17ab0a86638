/* SPDX-License-Identifier: BSD-2-Clause */
/* Strings of JSON. Everything else that commands print of it is numbers and punctuation. */
#include "base/json.h"

#include "base/types.h"

/* Length of the UTF-8 sequence at s; 0: not one (overlong, a surrogate, too large, cut off). */
static int utf8_len(const unsigned char *s)
{
	uint32_t code;
	int len;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		len = 2;
	else if ((s[0] & 0xf0) == 0xe0)
		len = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		len = 4;
	else
		return 0;
	code = s[0] & (0xffu >> (len + 1));
	for (int i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3fu);
	}
	if ((len == 3 && (code < 0x800 || (code >= 0xd800 && code <= 0xdfff))) ||
	    (len == 4 && (code < 0x10000 || code > 0x10ffff)))
		return 0;
	return len;
}

void weft_json_put(FILE *to, const char *s)
{
	const unsigned char *p = (const unsigned char *)s;

	if (!s) {
		fputs("null", to);
		return;
	}
	putc('"', to);
	while (*p) {
		int len = utf8_len(p);

		if (!len) {
			fputs("\\ufffd", to);
			p++;
		} else if (*p == '"' || *p == '\\') {
			fprintf(to, "\\%c", *p++);
		} else if (*p < 0x20 || *p == 0x7f) {
			fprintf(to, "\\u%04x", *p++);
		} else {
			fwrite(p, 1, (size_t)len, to);
			p += len;
		}
	}
	putc('"', to);
}
