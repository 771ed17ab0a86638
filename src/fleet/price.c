/* SPDX-License-Identifier: BSD-2-Clause */
/* A list of prices as people keep it: a spreadsheet's two columns, or a few lines by hand. Dollars are kept in
 * millionths, so sums of a thousand nodes are exact. */
#include "fleet/price.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void weft_prices_fini(struct weft_prices *p)
{
	free(p->price);
	*p = (struct weft_prices){ NULL, 0 };
}

/* "$55.04" in millionths, below a million dollars. */
static bool dollars(const char *text, uint64_t *micro_out)
{
	uint64_t value = 0, scale = 1000000;
	bool any = false, point = false;

	for (text += *text == '$'; (*text >= '0' && *text <= '9') || (*text == '.' && !point);
	     text++) {
		if (*text == '.') {
			point = true;
			continue;
		}
		any = true;
		if (point) {
			scale /= 10;
			value += scale * (uint64_t)(*text - '0');
		} else {
			value = value * 10 + 1000000 * (uint64_t)(*text - '0');
		}
		if (value >= 1000000000000)
			return false;
	}
	if (!any || *text)
		return false;
	*micro_out = value;
	return true;
}

static bool put(struct weft_prices *p, const struct weft_price *new, char *why, size_t len)
{
	struct weft_price *more;

	for (uint32_t i = 0; i < p->count; i++) {
		if (strcmp(p->price[i].type, new->type) != 0 || p->price[i].spot != new->spot)
			continue;
		p->price[i] = *new;
		return true;
	}
	more = p->count < WEFT_PRICES_MAX ? realloc(p->price, (p->count + 1) * sizeof(*more))
					  : NULL;
	if (!more) {
		snprintf(why, len, "too many prices");
		return false;
	}
	p->price = more;
	p->price[p->count++] = *new;
	return true;
}

bool weft_prices_add(struct weft_prices *p, const char *text, char *why, size_t len)
{
	static const char between[] = " \t=,;";
	struct weft_price new = { .spot = false };
	size_t type = strcspn(text, between), at = type + strspn(text + type, between);
	char *slash;

	if (!type || type >= sizeof(new.type) || at == type || !dollars(text + at, &new.micro)) {
		snprintf(why, len, "TYPE[/spot]=USD is wanted, not \"%.64s\"", text);
		return false;
	}
	memcpy(new.type, text + (strncmp(text, "ml.", 3) ? 0 : 3),
	       type - (strncmp(text, "ml.", 3) ? 0 : 3));
	slash = strchr(new.type, '/');
	if (slash) {
		if (strcmp(slash, "/spot") != 0) {
			snprintf(why, len, "after a type only /spot may follow, not \"%.32s\"",
				 slash);
			return false;
		}
		*slash = '\0';
		new.spot = true;
	}
	return put(p, &new, why, len);
}

bool weft_prices_load(struct weft_prices *p, const char *path, char *why, size_t len)
{
	FILE *from = fopen(path, "re");
	uint32_t number = 0;
	char line[256], what[160];
	bool ok = true;

	if (!from) {
		snprintf(why, len, "%.100s: %s", path, strerror(errno));
		return false;
	}
	while (ok && fgets(line, sizeof(line), from)) {
		char *text = line + strspn(line, " \t");
		size_t end = strcspn(text, "#\r\n");

		number++;
		if (!strchr(line, '\n') && !feof(from)) {
			snprintf(why, len, "%.100s: line %u: too long", path, number);
			ok = false;
			break;
		}
		while (end && (text[end - 1] == ' ' || text[end - 1] == '\t'))
			end--;
		text[end] = '\0';
		if (!end)
			continue;
		ok = weft_prices_add(p, text, what, sizeof(what));
		if (!ok)
			snprintf(why, len, "%.100s: line %u: %s", path, number, what);
	}
	if (ok && ferror(from)) {
		snprintf(why, len, "%.100s: %s", path, strerror(errno));
		ok = false;
	}
	fclose(from);
	return ok;
}

bool weft_prices_find(const struct weft_prices *p, const char *type, bool spot, uint64_t *micro_out)
{
	type += strncmp(type, "ml.", 3) ? 0 : 3;
	for (uint32_t i = 0; i < p->count; i++) {
		if (strcmp(p->price[i].type, type) != 0 || p->price[i].spot != spot)
			continue;
		*micro_out = p->price[i].micro;
		return true;
	}
	return false;
}
