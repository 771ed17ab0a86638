/* SPDX-License-Identifier: BSD-2-Clause */
/* The cards of this process, from three inputs: the settings, the catalogue, the interfaces of this host. The
 * same inputs make the same cards in every process: peers and tools rely on names and ports.
 *
 * Addresses are those of WEFT_ADDR, else of the interfaces, else 127.0.0.1, and cards take them in turn. Of the
 * interfaces the one with the default route comes first, because it is the one that other hosts reach most
 * likely. Bridges and the like are left out unless the default route goes there: behind them are
 * containers and virtual machines of this very host, often with the same addresses on every host. */
#define _GNU_SOURCE
#include "dev/cardset_make.h"

#include "base/assert.h"
#include "base/units.h"
#include "cloud/catalogue.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORTS_PER_CARD 256u
#define GBPS_DEFAULT   100u
#define IFACES_MAX     1024u
#define PCI_SLOTS      32u

#define CAPS_DEFAULT \
	(WEFT_CAP_RDMA_READ | WEFT_CAP_RNR_RETRY | WEFT_CAP_CQ_WITH_SGID | WEFT_CAP_RDMA_WRITE)

__attribute__((format(printf, 3, 4))) static int refuse(struct weft_cardset *set, int err,
							const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(set->why, sizeof(set->why), format, args);
	va_end(args);
	return err;
}

/* Names and places of the cards */

static bool is_taken(const char *root, const char *bdf)
{
	char path[512];

	if (!root)
		return false;
	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s", root, bdf);
	return !access(path, F_OK);
}

/* p4d and p4de as they are. Else, a single card sits where c5n has it, and many are spread over eight buses like
 * those of p5 (rdmap79s0 to rdmap82s0, rdmap96s0, ...). Where this host has something else there, the next place on that bus
 * is the card's, under the same name: NCCL crashes where a card is at a GPU's. */
static void place(struct weft_card_info *card, uint32_t count, const struct weft_instance *type,
		  const char *root)
{
	static const uint8_t p4d[] = { 0x10, 0x20, 0x90, 0xa0 };
	uint32_t i = card->number, each = (count + 7) / 8;
	uint32_t bus, slot = 0;

	if (type && !strncmp(type->name, "p4d", 3) && i < WEFT_ARRAY_SIZE(p4d)) {
		bus = p4d[i];
		slot = 0x1b;
	} else if (count == 1) {
		bus = 0;
		slot = 6;
	} else {
		bus = 79 + 17 * (i / each) + i % each;
	}
	snprintf(card->name, sizeof(card->name), "rdmap%us%u", bus, slot);
	for (uint32_t k = 0; k < PCI_SLOTS; k++) {
		snprintf(card->bdf, sizeof(card->bdf), "0000:%02x:%02x.0", bus,
			 (slot + k) % PCI_SLOTS);
		if (!is_taken(root, card->bdf))
			break;
	}
}

/* The types with several accelerators are two-socket machines with the cards shared out evenly. A node that
 * this host lacks would make programs that bind to it fail. */
static int32_t numa_of(const struct weft_card_info *card, uint32_t count,
		       const struct weft_instance *type, uint32_t nodes)
{
	if (!type || weft_fact_or(type->accelerators, 0) < 8 || nodes < 2 || count < 2)
		return -1;
	return card->number < (count + 1) / 2 ? 0 : 1;
}

/* What the cards can do */

static int parse_caps(const char *text, uint32_t *caps_out, struct weft_cardset *set)
{
	static const struct {
		const char *name;
		uint32_t cap;
	} words[] = {
		{ "read", WEFT_CAP_RDMA_READ },
		{ "write", WEFT_CAP_RDMA_WRITE },
		{ "rnr", WEFT_CAP_RNR_RETRY },
		{ "sgid", WEFT_CAP_CQ_WITH_SGID },
		{ "unsolicited", WEFT_CAP_UNSOLICITED_WRITE_RECV },
	};
	char copy[64], *rest = copy, *word;
	uint32_t caps = 0;

	snprintf(copy, sizeof(copy), "%s", text);
	while ((word = strsep(&rest, ", "))) {
		size_t i = 0;

		if (!*word || !strcmp(copy, "none"))
			continue;
		while (i < WEFT_ARRAY_SIZE(words) && strcmp(words[i].name, word) != 0)
			i++;
		if (i == WEFT_ARRAY_SIZE(words))
			return refuse(set, -EINVAL,
				      "WEFT_CAPS: no capability \"%s\"; there are read, write, "
				      "rnr, sgid, unsolicited",
				      word);
		caps |= words[i].cap;
	}
	*caps_out = caps;
	return 0;
}

/* Unknown facts are taken for those of the second generation, the most common one. */
static uint32_t caps_of(const struct weft_instance *type)
{
	uint32_t caps = WEFT_CAP_RNR_RETRY | WEFT_CAP_CQ_WITH_SGID;

	if (!type)
		return CAPS_DEFAULT;
	if (weft_fact_or(type->rdma_read, 1))
		caps |= WEFT_CAP_RDMA_READ;
	if (weft_fact_or(type->rdma_write, 1)) {
		caps |= WEFT_CAP_RDMA_WRITE;
		if (weft_fact_or(type->generation, 2) >= 3)
			caps |= WEFT_CAP_UNSOLICITED_WRITE_RECV;
	}
	return caps;
}

/* libfabric 1.17 aborts on a card above 0xefa1 that has no RDMA read: such a card is shown as 0xefa1. */
static uint16_t part_id_of(const struct weft_instance *type, uint32_t caps)
{
	uint32_t generation = type ? weft_fact_or(type->generation, 2) : 2;

	if (generation > 2 && !(caps & WEFT_CAP_RDMA_READ))
		generation = 2;
	return (uint16_t)(0xefa0 + generation - 1);
}

static uint32_t gbps_of(const struct weft_instance *type)
{
	uint32_t efas, total;

	if (!type)
		return GBPS_DEFAULT;
	efas = weft_fact_or(type->efas, 0);
	total = weft_fact_or(type->gbps_total, 0);
	return weft_fact_or(type->gbps, efas && total ? total / efas : GBPS_DEFAULT);
}

static void note_guesses(const struct weft_conf *conf, const struct weft_instance *type,
			 struct weft_cardset *set)
{
	const struct weft_card_info *card = &set->card[0];
	char *note = set->note;
	size_t len = 0, size = sizeof(set->note);
	const struct {
		const char *name;
		bool guessed;
	} facts[] = {
		{ "EFA generation", !conf->part_id && !type->generation.how },
		{ "RDMA capabilities", !strcmp(conf->caps, "auto") && !type->rdma_read.how },
		{ "speed of one card", !conf->gbps && !type->gbps.how },
	};

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(facts); i++)
		if (facts[i].guessed)
			len += (size_t)snprintf(note + len, size - len, "%s%s", len ? ", " : "",
						facts[i].name);
	if (len)
		snprintf(note + len, size - len,
			 ": not known of %s; shown as device id 0x%x, %s RDMA read, %s RDMA write, "
			 "%u Gb/s",
			 type->name, card->part_id,
			 card->caps & WEFT_CAP_RDMA_READ ? "with" : "without",
			 card->caps & WEFT_CAP_RDMA_WRITE ? "with" : "without", card->gbps);
}

/* Addresses */

struct addresses {
	struct weft_ip ip[WEFT_CARDS_MAX];
	uint32_t mtu[WEFT_CARDS_MAX];
	uint32_t count;
	bool given; /* By the settings: a count of cards. */
};

static bool is_same(const struct weft_ip *a, const struct weft_ip *b)
{
	return a->v6 == b->v6 && !memcmp(a->raw, b->raw, a->v6 ? 16 : 4);
}

/* Everything in 127.0.0.0/8 is there as soon as 127.0.0.1 is. */
static const struct weft_iface *iface_of(const struct weft_host_view *host,
					 const struct weft_ip *ip)
{
	for (uint32_t i = 0; i < host->ifaces_len; i++) {
		const struct weft_iface *f = &host->ifaces[i];

		/* The same link-local address may be on many interfaces. */
		if (is_same(&f->ip, ip) && (!ip->scope || f->ip.scope == ip->scope))
			return f;
		if (f->loopback && !ip->v6 && !f->ip.v6 && ip->raw[0] == 127)
			return f;
	}
	return NULL;
}

static const struct weft_iface *iface_named(const struct weft_host_view *host, const char *name,
					    bool v6)
{
	for (uint32_t i = 0; i < host->ifaces_len; i++)
		if (!strcmp(host->ifaces[i].name, name) && host->ifaces[i].ip.v6 == v6)
			return &host->ifaces[i];
	return NULL;
}

static int add_address(struct addresses *to, const char *text, const struct weft_host_view *host,
		       struct weft_cardset *set)
{
	const struct weft_iface *f = iface_named(host, text, false);
	struct weft_endpoint e;
	struct weft_gid gid;
	struct weft_ip ip;

	if (f)
		ip = f->ip;
	else if (iface_named(host, text, true))
		return refuse(
			set, -EINVAL,
			"WEFT_ADDR: interface %.64s has no IPv4 address; name the one of IPv6 "
			"that is meant",
			text);
	else if (!weft_ip_parse(text, &ip))
		return refuse(set, -EINVAL,
			      "WEFT_ADDR: \"%.64s\" is neither an IP address nor an interface",
			      text);
	if (!weft_ip_is_host(&ip))
		return refuse(set, -EINVAL, "WEFT_ADDR: %.64s is not an address of one host", text);
	f = iface_of(host, &ip);
	/* A link-local address is one only with its interface. */
	if (f && f->ip.v6 && !ip.scope)
		ip.scope = f->ip.scope;
	if (!host->has_address(&ip))
		return refuse(set, -EADDRNOTAVAIL,
			      "WEFT_ADDR: %.64s is not an address of this host", text);
	weft_gid_encode(&ip, 0, 0, &gid);
	if (ip.v6 && !weft_gid_decode(&gid, &e) && !e.ip.v6)
		return refuse(set, -EINVAL, "WEFT_ADDR: %.64s looks like a GID; take another one",
			      text);
	for (uint32_t i = 0; i < to->count; i++)
		if (is_same(&to->ip[i], &ip))
			return refuse(set, -EINVAL, "WEFT_ADDR: %.64s is there twice", text);
	if (to->count == WEFT_CARDS_MAX)
		return refuse(set, -EINVAL, "WEFT_ADDR: more than %u addresses", WEFT_CARDS_MAX);
	to->ip[to->count] = ip;
	to->mtu[to->count++] = f ? f->mtu : 0;
	return 0;
}

static int given_addresses(struct addresses *to, const char *list,
			   const struct weft_host_view *host, struct weft_cardset *set)
{
	char copy[sizeof(((struct weft_conf *)0)->addr)], *rest = copy, *word;

	to->given = true;
	snprintf(copy, sizeof(copy), "%s", list);
	while ((word = strsep(&rest, ", "))) {
		int err = *word ? add_address(to, word, host, set) : 0;

		if (err)
			return err;
	}
	return to->count ? 0 : refuse(set, -EINVAL, "WEFT_ADDR: no address in it");
}

static void found_addresses(struct addresses *to, const struct weft_host_view *host)
{
	/* First those with the default route, then the others; one address of each interface. */
	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < host->ifaces_len; i++) {
			const struct weft_iface *f = &host->ifaces[i];

			if (f->has_default != (pass == 0) || f->loopback || f->ip.v6 ||
			    (f->inward && !f->has_default) ||
			    iface_named(host, f->name, false) != f)
				continue;
			if (!weft_ip_is_host(&f->ip) || to->count == WEFT_CARDS_MAX)
				continue;
			to->ip[to->count] = f->ip;
			to->mtu[to->count++] = f->mtu;
		}
	}
	if (!to->count) {
		to->ip[0] = (struct weft_ip){ .raw = { 127, 0, 0, 1 } };
		to->mtu[0] = 65535;
		to->count = 1;
	}
}

/* The set */

static int count_cards(const struct weft_conf *conf, const struct weft_instance *type,
		       const struct addresses *at, struct weft_cardset *set)
{
	uint32_t count = conf->cards;

	if (!count && type) {
		if (type->efas.how == WEFT_FACT_UNKNOWN)
			return refuse(set, -EINVAL,
				      "WEFT_INSTANCE: how many EFA interfaces %s has is not known; "
				      "say WEFT_CARDS",
				      type->name);
		count = type->efas.value;
	}
	if (!count)
		count = at->given ? at->count : 1;
	if (at->given && at->count > count)
		return refuse(set, -EINVAL, "WEFT_ADDR: %u addresses for %u card%s", at->count,
			      count, count == 1 ? "" : "s");
	for (uint32_t i = 0; i < at->count && at->count < count; i++)
		if (at->ip[i].v6)
			return refuse(set, -EINVAL,
				      "WEFT_ADDR: an IPv6 address carries one card: %u addresses "
				      "are needed, not %u",
				      count, at->count);
	set->count = WEFT_MIN(count, WEFT_CARDS_MAX);
	return 0;
}

static int find_type(const struct weft_conf *conf, const struct weft_instance **type_out,
		     struct weft_cardset *set)
{
	const struct weft_instance *close;

	*type_out = NULL;
	if (!conf->instance[0])
		return 0;
	*type_out = weft_catalogue_find(conf->instance);
	if (*type_out)
		return 0;
	close = weft_catalogue_suggest(conf->instance);
	return refuse(set, -EINVAL,
		      "WEFT_INSTANCE: no instance type \"%s\" with EFA is known%s%s%s",
		      conf->instance, close ? "; did you mean " : "", close ? close->name : "",
		      close ? "?" : "");
}

/* "2" or "0-3". False: neither. */
static bool parse_numbers(const char *word, uint64_t *first_out, uint64_t *last_out)
{
	const char *dash = strchr(word, '-');
	char first[16];

	if (!dash)
		return weft_parse_u64(word, first_out) && weft_parse_u64(word, last_out);
	if ((size_t)(dash - word) >= sizeof(first))
		return false;
	snprintf(first, sizeof(first), "%.*s", (int)(dash - word), word);
	return weft_parse_u64(first, first_out) && weft_parse_u64(dash + 1, last_out) &&
	       *first_out <= *last_out;
}

/* The set is made whole first: a card has the same name, address and ports whoever sees it, and whatever else. */
static int show_some(struct weft_cardset *set, const char *list)
{
	char copy[sizeof(((struct weft_conf *)0)->visible)], *rest = copy, *word;
	bool shown[WEFT_CARDS_MAX] = { false };
	uint32_t all = set->count;
	uint64_t first, last;

	snprintf(copy, sizeof(copy), "%s", list);
	while ((word = strsep(&rest, ", "))) {
		if (!*word)
			continue;
		if (!parse_numbers(word, &first, &last))
			return refuse(set, -EINVAL,
				      "WEFT_VISIBLE: \"%.32s\" is neither a card's number nor a "
				      "range of them",
				      word);
		if (last >= all)
			return refuse(set, -EINVAL, "WEFT_VISIBLE: no card %s: there %s %u, from 0",
				      word, all == 1 ? "is" : "are", all);
		for (; first <= last; first++)
			shown[first] = true;
	}
	set->count = 0;
	for (uint32_t i = 0; i < all; i++) {
		if (!shown[i])
			continue;
		set->card[set->count] = set->card[i];
		set->card[set->count].index = set->count;
		set->count++;
	}
	return set->count ? 0 : refuse(set, -EINVAL, "WEFT_VISIBLE: no card in it");
}

int weft_cardset_make(const struct weft_conf *conf, const struct weft_host_view *host,
		      struct weft_cardset *set_out)
{
	const struct weft_instance *type;
	struct addresses at = { .count = 0 };
	uint32_t caps;
	int err;

	memset(set_out, 0, sizeof(*set_out));
	err = find_type(conf, &type, set_out);
	if (err)
		return err;
	caps = caps_of(type);
	if (strcmp(conf->caps, "auto") != 0)
		err = parse_caps(conf->caps, &caps, set_out);
	if (err)
		return err;
	if (conf->addr[0])
		err = given_addresses(&at, conf->addr, host, set_out);
	else
		found_addresses(&at, host);
	if (err)
		return err;
	err = count_cards(conf, type, &at, set_out);
	if (err)
		return err;
	weft_assert(at.count);

	for (uint32_t i = 0; i < set_out->count; i++) {
		struct weft_card_info *card = &set_out->card[i];

		card->index = card->number = i;
		card->ip = at.ip[i % at.count];
		card->mtu = at.mtu[i % at.count];
		card->port_base =
			(uint16_t)(conf->port_base + (card->ip.v6 ? 0 : PORTS_PER_CARD * i));
		weft_gid_encode(&card->ip, i, card->port_base, &card->gid);
		card->gbps = conf->gbps ? conf->gbps : gbps_of(type);
		card->caps = caps;
		card->part_id = conf->part_id ? (uint16_t)conf->part_id : part_id_of(type, caps);
		card->numa = numa_of(card, set_out->count, type, host->numa_nodes);
		place(card, set_out->count, type, host->root);
	}
	if (type)
		note_guesses(conf, type, set_out);
	return conf->visible[0] ? show_some(set_out, conf->visible) : 0;
}

/* This host */

/* The only judge of what can be used as an address here is the kernel. */
static bool can_bind(const struct weft_ip *ip)
{
	union {
		struct sockaddr sa;
		struct sockaddr_in in4;
		struct sockaddr_in6 in6;
	} to = { .in4 = { .sin_family = AF_INET } };
	socklen_t len = sizeof(to.in4);
	int fd = socket(ip->v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool ok;

	if (fd <
	    0) /* No descriptor left says nothing of the address: opening the card will tell. */
		return errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS;
	memcpy(&to.in4.sin_addr, ip->raw, 4);
	if (ip->v6) {
		to.in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6,
						.sin6_scope_id = ip->scope };
		memcpy(&to.in6.sin6_addr, ip->raw, 16);
		len = sizeof(to.in6);
	}
	ok = !bind(fd, &to.sa, len);
	close(fd);
	return ok;
}

#define DEFAULTS_MAX 16u

/* The interfaces that a default route goes to; read once, for the table may be long. */
static uint32_t read_defaults(char name[DEFAULTS_MAX][32])
{
	FILE *f = fopen("/proc/net/route", "re");
	char line[256];
	uint32_t n = 0;

	while (f && n < DEFAULTS_MAX && fgets(line, sizeof(line), f)) {
		unsigned int to, gateway, flags, refs, use, metric, mask;

		n += sscanf(line, "%31s %x %x %x %u %u %u %x", name[n], &to, &gateway, &flags,
			    &refs, &use, &metric, &mask) == 8 &&
		     !to && !mask && (flags & 1);
	}
	if (f)
		fclose(f);
	return n;
}

static bool is_inward(const char *name)
{
	static const char *const starts[] = { "docker",  "br-",  "virbr", "veth", "cni",
					      "flannel", "cali", "lxc",   "lxd",  "kube" };
	char path[64];

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(starts); i++)
		if (!strncmp(name, starts[i], strlen(starts[i])))
			return true;
	snprintf(path, sizeof(path), "/sys/class/net/%.16s/bridge", name);
	return !access(path, F_OK);
}

static uint32_t mtu_of(int fd, const char *name)
{
	struct ifreq req = { .ifr_mtu = 0 };

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, SIOCGIFMTU, &req) || req.ifr_mtu < 0)
		return 0;
	return WEFT_MIN((uint32_t)req.ifr_mtu, 65535u);
}

static uint32_t read_ifaces(struct weft_iface *ifaces)
{
	char defaults[DEFAULTS_MAX][32];
	struct ifaddrs *list, *it;
	uint32_t n = 0, defaults_len;
	int fd;

	if (getifaddrs(&list))
		return 0;
	defaults_len = read_defaults(defaults);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	for (it = list; it && n < IFACES_MAX; it = it->ifa_next) {
		struct weft_iface *f = &ifaces[n];
		const struct sockaddr *sa = it->ifa_addr;

		if (!sa || !(it->ifa_flags & IFF_UP) ||
		    (sa->sa_family != AF_INET && sa->sa_family != AF_INET6))
			continue;
		memset(f, 0, sizeof(*f));
		f->ip.v6 = sa->sa_family == AF_INET6;
		if (f->ip.v6) {
			const struct sockaddr_in6 *in6 = (const void *)sa;

			memcpy(f->ip.raw, &in6->sin6_addr, 16);
			f->ip.scope = in6->sin6_scope_id;
		} else {
			memcpy(f->ip.raw, &((const struct sockaddr_in *)(const void *)sa)->sin_addr,
			       4);
		}
		snprintf(f->name, sizeof(f->name), "%s", it->ifa_name);
		f->mtu = mtu_of(fd, f->name);
		f->loopback = it->ifa_flags & IFF_LOOPBACK;
		f->inward = is_inward(f->name);
		for (uint32_t i = 0; i < defaults_len; i++)
			f->has_default |= !strcmp(f->name, defaults[i]);
		n++;
	}
	if (fd >= 0)
		close(fd);
	freeifaddrs(list);
	return n;
}

static uint32_t count_numa_nodes(void)
{
	uint32_t n = 0;
	char path[64];

	do
		snprintf(path, sizeof(path), "/sys/devices/system/node/node%u", n);
	while (!access(path, F_OK) && ++n < 1024);
	return n;
}

static struct weft_cardset process_set;
static int process_err;

static void make_process_set(void)
{
	static struct weft_iface ifaces[IFACES_MAX];
	struct weft_host_view host = {
		.ifaces = ifaces,
		.ifaces_len = read_ifaces(ifaces),
		.numa_nodes = count_numa_nodes(),
		.root = "",
		.has_address = can_bind,
	};

	process_err = weft_cardset_make(weft_conf_get(), &host, &process_set);
}

static void ensure_made(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_process_set);
}

int weft_cardset_get(const struct weft_card_info **cards_out, uint32_t *count_out,
		     const char **why_out)
{
	ensure_made();
	if (process_err) {
		*why_out = process_set.why;
		return process_err;
	}
	*cards_out = process_set.card;
	*count_out = process_set.count;
	return 0;
}

const char *weft_cardset_note(void)
{
	ensure_made();
	return process_set.note[0] ? process_set.note : NULL;
}
