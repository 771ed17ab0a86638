/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_FLEET_PRICE_H
#define WEFT_FLEET_PRICE_H

/* What an hour of an instance type costs. weft knows no prices: they differ by region and contract. */
#include "base/types.h"

#define WEFT_PRICES_MAX 10000u

struct weft_price {
	char type[48];
	bool spot;
	uint64_t micro; /* Millionths of a dollar an hour. */
};

struct weft_prices {
	struct weft_price *price; /* owns */
	uint32_t count;
};

void weft_prices_fini(struct weft_prices *prices);

/* "p5.48xlarge=55.04", or "p5.48xlarge/spot=20.5". The last one of a type counts. False: `why` says why not. */
bool weft_prices_add(struct weft_prices *prices, const char *text, char *why, size_t len);

/* A file of lines: TYPE[/spot] and USD, with blanks, a comma or = between them; # begins a comment. */
bool weft_prices_load(struct weft_prices *prices, const char *path, char *why, size_t len);

/* Of a type, with or without ml. in front. A spot price is none for an on-demand node, and the other way round. */
bool weft_prices_find(const struct weft_prices *prices, const char *type, bool spot,
		      uint64_t *micro_out);

#endif
