/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_DEV_CARDSET_MAKE_H
#define WEFT_DEV_CARDSET_MAKE_H

/* cardset.h from explicit inputs instead of this host's: for cardset.c itself and its tests. */
#include "dev/cardset.h"
#include "dev/conf.h"

struct weft_iface {
	char name[16];
	struct weft_ip ip;
	uint32_t mtu;
	bool loopback;
	bool inward; /* Leads to containers or virtual machines of this host. */
	bool has_default; /* The default route goes this way. */
};

struct weft_host_view {
	const struct weft_iface *ifaces; /* Those that are up, one row for each address. */
	uint32_t ifaces_len;
	uint32_t numa_nodes;
	const char *root; /* Of its files; "": ours; NULL: nothing is known of them. */
	bool (*has_address)(const struct weft_ip *ip);
};

struct weft_cardset {
	struct weft_card_info card[WEFT_CARDS_MAX];
	uint32_t count;
	char why[320]; /* Set on failure. */
	char note[320]; /* "" if there is nothing to say. */
};

/* 0, -EINVAL or -EADDRNOTAVAIL. */
int weft_cardset_make(const struct weft_conf *conf, const struct weft_host_view *host,
		      struct weft_cardset *set_out);

#endif
