/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_DEV_CARDSET_H
#define WEFT_DEV_CARDSET_H

/* Which cards this process has: made from the settings, the instance catalogue and the interfaces of this
 * host, once, and the same in every process with the same settings. */
#include "base/types.h"

#define WEFT_CARDS_MAX 32u

enum weft_card_caps { /* EFA's device capability bits. */
	WEFT_CAP_RDMA_READ = 1,
	WEFT_CAP_RNR_RETRY = 2,
	WEFT_CAP_CQ_WITH_SGID = 4,
	WEFT_CAP_RDMA_WRITE = 8,
	WEFT_CAP_UNSOLICITED_WRITE_RECV = 16,
};

/* An address of the underlay. */
struct weft_ip {
	bool v6;
	uint8_t raw[16]; /* IPv4: the first 4. */
	uint32_t scope; /* IPv6 link-local: interface index. */
};

struct weft_card_info {
	uint32_t index; /* Among those shown. */
	uint32_t number; /* Among all: its name, GID and ports go by this one. */
	char name[32]; /* rdmap16s27 */
	char bdf[16]; /* 0000:10:1b.0 */
	struct weft_gid gid; /* GID 0 of port 1. */
	struct weft_ip ip;
	/* Of slot 0 of this card: the setting's base + 256 * number; IPv6: the setting's base. */
	uint16_t port_base;
	uint32_t gbps;
	uint32_t mtu; /* Of the interface, in bytes of an IP packet; 0: unknown. */
	uint16_t part_id; /* 0xefa0 .. 0xefa3 */
	uint32_t caps; /* enum weft_card_caps. */
	int32_t numa; /* A node that this host has; -1: none in particular. */
};

/* The set, and its size (at least 1 on success). -EINVAL: the settings make no set, -EADDRNOTAVAIL: not an
 * address of this host, other -errno; *why_out is then one line for a person. All stays valid. The first call
 * decides; later ones are cheap. */
int weft_cardset_get(const struct weft_card_info **cards_out, uint32_t *count_out,
		     const char **why_out);
/* What is only guessed, because nobody knows it of this instance type: one line, or NULL. */
const char *weft_cardset_note(void);

/* What a GID says: an IPv4 underlay is encoded as fe80::/64 and {marker, card, port base, IPv4}, an IPv6
 * underlay is the GID itself (one card per address, the port base of our own settings). -EINVAL: neither, or an
 * address that no host has. port_base is that of the card, as in struct weft_card_info. */
struct weft_endpoint {
	struct weft_ip ip;
	uint16_t port_base; /* Of that card's slot 0. */
};

int weft_gid_decode(const struct weft_gid *gid, struct weft_endpoint *endpoint_out);
void weft_gid_encode(const struct weft_ip *ip, uint32_t card, uint16_t port_base,
		     struct weft_gid *gid_out);
/* "fe80::..." or the IPv6 address, at least 46 bytes; returns buf. */
char *weft_gid_text(const struct weft_gid *gid, char *buf, size_t len);

/* An address alone, as people write it: "10.0.0.1", "fd00::1", "fe80::1%eth0". False: not one. */
bool weft_ip_parse(const char *text, struct weft_ip *ip_out);
/* At least 64 bytes; returns buf. */
char *weft_ip_text(const struct weft_ip *ip, char *buf, size_t len);
/* Can a host have it: not 0.0.0.0, not multicast, not broadcast? */
bool weft_ip_is_host(const struct weft_ip *ip);
bool weft_ip_is_loopback(const struct weft_ip *ip);

#endif
