/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers with units, read exactly: a value is an integer mantissa, a count of decimal places and
 * a multiplier, and the result is mantissa * multiplier / 10^places in 128 bits. No floating point, so
 * "0.1g" is one hundred million and not one bit less. strtoull() is of no use here: it skips blanks,
 * takes signs, and wraps "-1" to the largest number. */
#include "base/units.h"

#include <string.h>

/* More places than any unit can use; a longer fraction is a mistake rather than a wish. */
#define PLACES_MAX 15

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit bytes_units[] = {
	{ "", 1 },
	{ "B", 1 },
	{ "k", 1000u },
	{ "K", 1000u },
	{ "kB", 1000u },
	{ "KB", 1000u },
	{ "KiB", 1024u },
	{ "M", 1000000u },
	{ "MB", 1000000u },
	{ "MiB", 1024u * 1024u },
	{ "G", 1000000000u },
	{ "GB", 1000000000u },
	{ "GiB", 1024u * 1024u * 1024u },
	{ "T", 1000000000000u },
	{ "TB", 1000000000000u },
	{ "TiB", (uint64_t)1 << 40 },
	{ NULL, 0 },
};

static const struct unit rate_units[] = {
	{ "", 1 },
	{ "k", 1000u },
	{ "K", 1000u },
	{ "m", 1000000u },
	{ "M", 1000000u },
	{ "g", 1000000000u },
	{ "G", 1000000000u },
	{ "t", 1000000000000u },
	{ "T", 1000000000000u },
	{ NULL, 0 },
};

static const struct unit time_units[] = {
	{ "ns", 1 }, { "us", 1000u }, { "ms", 1000000u }, { "s", 1000000000u }, { NULL, 0 },
};

static const struct unit percent_units[] = {
	{ "%", 10000u },
	{ NULL, 0 },
};

static inline bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool add_digit(uint64_t *v, unsigned int base, unsigned int digit)
{
	return !__builtin_mul_overflow(*v, base, v) && !__builtin_add_overflow(*v, digit, v);
}

/* Digits with an optional fraction; *rest_out is what follows. */
static bool parse_decimal(const char *s, uint64_t *mantissa_out, unsigned int *places_out,
			  const char **rest_out)
{
	uint64_t v = 0;
	unsigned int places = 0;

	if (!is_digit(*s))
		return false;
	for (; is_digit(*s); s++)
		if (!add_digit(&v, 10, (unsigned int)(*s - '0')))
			return false;
	if (*s == '.') {
		s++;
		if (!is_digit(*s))
			return false;
		for (; is_digit(*s); s++) {
			if (++places > PLACES_MAX || !add_digit(&v, 10, (unsigned int)(*s - '0')))
				return false;
		}
	}
	*mantissa_out = v;
	*places_out = places;
	*rest_out = s;
	return true;
}

static bool parse_with_unit(const char *s, const struct unit *units, const char *suffix,
			    uint64_t *out)
{
	uint64_t mantissa, divisor = 1;
	unsigned int places;
	const char *rest;
	size_t len;

	if (!parse_decimal(s, &mantissa, &places, &rest))
		return false;
	len = strlen(rest) - strlen(suffix);
	for (; units->name; units++) {
		unsigned __int128 v = (unsigned __int128)mantissa * units->factor;

		if (strlen(units->name) != len || memcmp(units->name, rest, len) != 0)
			continue;
		for (; places; places--)
			divisor *= 10;
		if (v % divisor || v / divisor > UINT64_MAX)
			return false;
		*out = (uint64_t)(v / divisor);
		return true;
	}
	return false;
}

bool weft_parse_u64(const char *s, uint64_t *out)
{
	uint64_t v = 0;
	bool hex = s[0] == '0' && (s[1] == 'x' || s[1] == 'X');

	if (hex)
		s += 2;
	if (!*s)
		return false;
	for (; *s; s++) {
		unsigned int digit;

		if (is_digit(*s))
			digit = (unsigned int)(*s - '0');
		else if (hex && *s >= 'a' && *s <= 'f')
			digit = (unsigned int)(*s - 'a' + 10);
		else if (hex && *s >= 'A' && *s <= 'F')
			digit = (unsigned int)(*s - 'A' + 10);
		else
			return false;
		if (!add_digit(&v, hex ? 16 : 10, digit))
			return false;
	}
	*out = v;
	return true;
}

bool weft_parse_bytes(const char *s, uint64_t *bytes_out)
{
	return parse_with_unit(s, bytes_units, "", bytes_out);
}

bool weft_parse_rate(const char *s, uint64_t *bps_out)
{
	static const char *const suffixes[] = { "bit/s", "bps", "bit" };
	size_t len = strlen(s);

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(suffixes); i++) {
		size_t n = strlen(suffixes[i]);

		if (len > n && !strcmp(s + len - n, suffixes[i]))
			return parse_with_unit(s, rate_units, suffixes[i], bps_out);
	}
	return parse_with_unit(s, rate_units, "", bps_out);
}

bool weft_parse_time(const char *s, weft_ns *ns_out)
{
	if (!strcmp(s, "0")) {
		*ns_out = 0;
		return true;
	}
	return parse_with_unit(s, time_units, "", ns_out);
}

bool weft_parse_percent(const char *s, uint32_t *ppm_out)
{
	uint64_t ppm;

	if (!parse_with_unit(s, percent_units, "", &ppm) || ppm > 1000000)
		return false;
	*ppm_out = (uint32_t)ppm;
	return true;
}
