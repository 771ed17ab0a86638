/* SPDX-License-Identifier: BSD-2-Clause */
/* Quantities of Kubernetes: a decimal number and a suffix, which is a power of 1000, a power of 1024 or a decimal
 * exponent. Exact: the digits are kept as they are, and scaled once at the end; only what lies below a thousandth is
 * rounded, and that upwards, since a scheduler must not hand out what is not there. "E" alone is a suffix; before a
 * number it is an exponent. */
#include "advice/quantity.h"

#include <string.h>

/* More digits than that are zeros, or too much. */
#define DIGITS_MAX 27

struct number {
	unsigned __int128 digits; /* Without the point. */
	int exponent; /* Of ten. */
	bool inexact; /* Digits other than 0 were left off at the end. */
};

static bool read_number(const char **text, struct number *n)
{
	bool point = false, any = false;
	int kept = 0;
	const char *s = *text + (**text == '+');

	for (*n = (struct number){ 0 }; (*s >= '0' && *s <= '9') || (*s == '.' && !point); s++) {
		if (*s == '.') {
			point = true;
			continue;
		}
		any = true;
		if (kept == DIGITS_MAX) {
			n->inexact |= *s != '0';
			n->exponent += !point;
			if (n->exponent > DIGITS_MAX)
				return false;
			continue;
		}
		n->digits = n->digits * 10 + (unsigned int)(*s - '0');
		n->exponent -= point;
		kept += n->digits != 0;
		/* A fraction of nothing but zeros: what follows would be too little to matter. */
		if (n->exponent < -2 * DIGITS_MAX)
			kept = DIGITS_MAX;
	}
	*text = s;
	return any;
}

/* The factor of ten goes into the number, that of two is returned. False: there is no such suffix. */
static bool read_suffix(const char *s, struct number *n, unsigned int *shift_out)
{
	static const char tens[] = "num kMGTPE", twos[] = "KMGTPE";
	const char *at;
	int exponent = 0;

	*shift_out = 0;
	if (*s && s[1] == 'i' && !s[2] && (at = strchr(twos, *s))) {
		*shift_out = 10 * (unsigned int)(at - twos + 1);
		return true;
	}
	if (!*s)
		return true;
	if (!s[1] && *s != ' ' && (at = strchr(tens, *s))) {
		n->exponent += 3 * (int)(at - tens) - 9;
		return true;
	}
	if (*s != 'e' && *s != 'E')
		return false;
	at = s + 1 + (s[1] == '-' || s[1] == '+');
	if (!*at || strspn(at, "0123456789") != strlen(at) || strlen(at) > 3)
		return false;
	for (; *at; at++)
		exponent = exponent * 10 + (*at - '0');
	n->exponent += s[1] == '-' ? -exponent : exponent;
	return true;
}

bool weft_quantity_parse(const char *text, uint64_t *milli_out)
{
	unsigned __int128 value;
	struct number n;
	unsigned int shift;

	if (!text || !read_number(&text, &n) || !read_suffix(text, &n, &shift))
		return false;
	value = n.digits;
	n.exponent += 3;
	/* Powers of two first: what a division leaves is lost. */
	if (value >> (127 - shift))
		return false;
	value <<= shift;
	for (; value && n.exponent > 0; n.exponent--) {
		if (value > UINT64_MAX)
			return false;
		value *= 10;
	}
	for (; value && n.exponent < 0; n.exponent++) {
		n.inexact |= value % 10 != 0;
		value /= 10;
	}
	if (value >= UINT64_MAX)
		return false;
	*milli_out = (uint64_t)value + n.inexact;
	return true;
}
