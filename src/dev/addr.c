/* SPDX-License-Identifier: BSD-2-Clause */
/* Addresses: what a GID says of a card, and text for both.
 *
 * An IPv4 underlay makes the GID  fe80:0:0:0 | 57 | card | port base | IPv4.  Whoever has a GID and a queue pair
 * number can therefore send, without a directory. 0x57 and the checks below keep GIDs of other making out:
 * the interface identifier of a real card, made of a MAC, has ff:fe where here the IPv4 address begins, and
 * no host has an address in 254.0.0.0/8. Bytes 2 to 7 stay free. */
#define _GNU_SOURCE
#include "dev/cardset.h"

#include "base/units.h"
#include "dev/conf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define MARKER   0x57u
#define BASE_MIN 1024u
#define BASE_MAX 21808u

static bool is_zero(const uint8_t *p, size_t len)
{
	for (; len; p++, len--)
		if (*p)
			return false;
	return true;
}

static bool is_link_local(const uint8_t raw[16])
{
	return raw[0] == 0xfe && (raw[1] & 0xc0) == 0x80;
}

bool weft_ip_is_host(const struct weft_ip *ip)
{
	const uint8_t *r = ip->raw;

	if (!ip->v6)
		return r[0] != 0 && r[0] < 224 && (r[0] != 127 || !(is_zero(r + 1, 3))) &&
		       !(r[0] == 127 && r[1] == 255 && r[2] == 255 && r[3] == 255);
	/* An IPv4 address in IPv6's clothes is to be written as IPv4. */
	return r[0] != 0xff && !is_zero(r, 16) &&
	       !(is_zero(r, 10) && r[10] == 0xff && r[11] == 0xff);
}

void weft_gid_encode(const struct weft_ip *ip, uint32_t card, uint16_t port_base,
		     struct weft_gid *gid_out)
{
	uint8_t *raw = gid_out->raw;

	if (ip->v6) {
		memcpy(raw, ip->raw, 16);
		return;
	}
	memset(raw, 0, 8);
	raw[0] = 0xfe;
	raw[1] = 0x80;
	raw[8] = MARKER;
	raw[9] = (uint8_t)card;
	raw[10] = (uint8_t)(port_base >> 8);
	raw[11] = (uint8_t)port_base;
	memcpy(raw + 12, ip->raw, 4);
}

/* -EAGAIN: not of this form. */
static int decode_v4(const uint8_t *raw, struct weft_endpoint *e)
{
	uint32_t card = raw[9];
	uint32_t port = (uint32_t)raw[10] << 8 | raw[11];

	if (raw[0] != 0xfe || raw[1] != 0x80 || !is_zero(raw + 2, 6) || raw[8] != MARKER)
		return -EAGAIN;
	memcpy(e->ip.raw, raw + 12, 4);
	e->port_base = (uint16_t)port;
	if (card >= WEFT_CARDS_MAX || port < BASE_MIN + 256 * card || port > BASE_MAX + 256 * card)
		return -EAGAIN;
	return weft_ip_is_host(&e->ip) ? 0 : -EAGAIN;
}

int weft_gid_decode(const struct weft_gid *gid, struct weft_endpoint *endpoint_out)
{
	struct weft_endpoint e = { .port_base = 0 };

	if (decode_v4(gid->raw, &e)) {
		e = (struct weft_endpoint){
			.ip.v6 = true,
			.port_base = (uint16_t)weft_conf_get()->port_base,
		};
		memcpy(e.ip.raw, gid->raw, 16);
		/* A link-local address may be an underlay as well as the GID of a card that is not weft's. They
		 * cannot be told apart; a message to the latter ends as unreachable. */
		if (!weft_ip_is_host(&e.ip))
			return -EINVAL;
	}
	*endpoint_out = e;
	return 0;
}

char *weft_gid_text(const struct weft_gid *gid, char *buf, size_t len)
{
	if (!inet_ntop(AF_INET6, gid->raw, buf, (socklen_t)len) && len)
		buf[0] = 0;
	return buf;
}

/* An interface by name, or by index where that is what tools print; 0: none. */
static uint32_t parse_scope(const char *text)
{
	char name[IF_NAMESIZE];
	uint64_t index;

	if (if_nametoindex(text))
		return if_nametoindex(text);
	if (!weft_parse_u64(text, &index) || index > INT32_MAX ||
	    !if_indextoname((unsigned int)index, name))
		return 0;
	return (uint32_t)index;
}

bool weft_ip_parse(const char *text, struct weft_ip *ip_out)
{
	struct weft_ip ip = { .v6 = false };
	char host[64];
	const char *percent = strchr(text, '%');
	size_t len = percent ? (size_t)(percent - text) : strlen(text);

	if (len >= sizeof(host))
		return false;
	memcpy(host, text, len);
	host[len] = 0;
	if (!percent && inet_pton(AF_INET, host, ip.raw) == 1) {
		*ip_out = ip;
		return true;
	}
	ip.v6 = true;
	if (inet_pton(AF_INET6, host, ip.raw) != 1)
		return false;
	if (percent) {
		ip.scope = is_link_local(ip.raw) ? parse_scope(percent + 1) : 0;
		if (!ip.scope)
			return false;
	}
	*ip_out = ip;
	return true;
}

char *weft_ip_text(const struct weft_ip *ip, char *buf, size_t len)
{
	char name[IF_NAMESIZE];
	size_t n;

	if (!inet_ntop(ip->v6 ? AF_INET6 : AF_INET, ip->raw, buf, (socklen_t)len)) {
		if (len)
			buf[0] = 0;
		return buf;
	}
	n = strlen(buf);
	if (ip->v6 && ip->scope && if_indextoname(ip->scope, name))
		snprintf(buf + n, len - n, "%%%s", name);
	return buf;
}

bool weft_ip_is_loopback(const struct weft_ip *ip)
{
	static const uint8_t one[16] = { [15] = 1 };

	return ip->v6 ? !memcmp(ip->raw, one, 16) : ip->raw[0] == 127;
}
