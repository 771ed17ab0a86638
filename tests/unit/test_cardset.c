/* SPDX-License-Identifier: BSD-2-Clause */
#include "dev/cardset_make.h"

#include "base/prng.h"
#include "cloud/catalogue.h"

#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct weft_iface ifaces[8];
static struct weft_host_view host;
static struct weft_conf conf;
static struct weft_cardset set;

static bool has_address(const struct weft_ip *ip)
{
	if (!ip->v6 && ip->raw[0] == 127)
		return true;
	/* As the kernel: a link-local address is one only with its interface. */
	for (uint32_t i = 0; i < host.ifaces_len; i++)
		if (ifaces[i].ip.v6 == ip->v6 && !memcmp(ifaces[i].ip.raw, ip->raw, 16) &&
		    ifaces[i].ip.scope == ip->scope)
			return true;
	return false;
}

static struct weft_iface *add_iface(const char *name, const char *ip)
{
	struct weft_iface *f = &ifaces[host.ifaces_len++];

	memset(f, 0, sizeof(*f));
	strcpy(f->name, name);
	f->mtu = 1500;
	assert_true(weft_ip_parse(ip, &f->ip));
	return f;
}

static int reset(void **state)
{
	(void)state;
	memset(&conf, 0, sizeof(conf));
	strcpy(conf.caps, "auto");
	conf.port_base = 20000;
	host = (struct weft_host_view){ .ifaces = ifaces,
					.has_address = has_address,
					.numa_nodes = 2 };
	add_iface("lo", "127.0.0.1")->loopback = true;
	ifaces[0].mtu = 65535;
	return 0;
}

static int make(void)
{
	return weft_cardset_make(&conf, &host, &set);
}

static bool is_at(uint32_t card, const char *want)
{
	char text[64];

	return !strcmp(weft_ip_text(&set.card[card].ip, text, sizeof(text)), want);
}

static void weft_gid__round_trip(void **state)
{
	static const struct {
		int id;
		const char *ip;
		uint32_t card;
		uint16_t base;
		const char *gid;
	} rows[] = {
		{ 1, "127.0.0.2", 0, 20000, "fe80::5700:4e20:7f00:2" },
		{ 2, "10.1.2.3", 31, 27936, "fe80::571f:6d20:a01:203" },
		{ 3, "192.168.255.255", 1, 1280, "fe80::5701:500:c0a8:ffff" },
		{ 4, "223.0.0.1", 31, 21808 + 31 * 256, "fe80::571f:7430:df00:1" },
		{ 5, "fd00::2", 0, 20000, "fd00::2" },
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct weft_endpoint e;
		struct weft_gid gid;
		struct weft_ip ip;
		char text[64];

		assert_true(weft_ip_parse(rows[i].ip, &ip));
		weft_gid_encode(&ip, rows[i].card, rows[i].base, &gid);
		weft_gid_text(&gid, text, sizeof(text));
		if (strcmp(text, rows[i].gid) != 0)
			fail_msg("row %d: %s", rows[i].id, text);
		assert_int_equal(weft_gid_decode(&gid, &e), 0);
		assert_string_equal(weft_ip_text(&e.ip, text, sizeof(text)), rows[i].ip);
		assert_int_equal(e.port_base, rows[i].base);
	}
}

static void weft_gid_decode__refused(void **state)
{
	static const struct {
		int id;
		const char *gid;
		bool ok, v6;
	} rows[] = {
		{ 1, "::", false, false },
		{ 2, "ff02::1", false, false },
		{ 3, "::ffff:10.0.0.1", false, false },
		/* What is not of our making may still be an IPv6 address. */
		{ 4, "fe80::5720:4e20:a00:1", true, true }, /* card 32 */
		{ 5, "fe80::5700:4e20:0:1", true, true }, /* 0.0.0.1 */
		{ 6, "fe80::5700:4e20:e000:1", true, true }, /* multicast */
		{ 7, "fe80::5700:3ff:a00:1", true, true }, /* port 1023 */
		{ 8, "fe80::5700:5531:a00:1", true, true }, /* port 21809 */
		{ 9, "fe80::5701:4ff:a00:1", true, true }, /* less than 1024 + 256 */
		{ 10, "fe80:0:0:1:5700:4e20:a00:1", true, true },
		{ 11, "fe80::57:ccff:fe12:3456", true, true }, /* a MAC's */
		{ 12, "fe80::5700:400:a00:1", true, false },
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct weft_endpoint e = { .port_base = 7 };
		struct weft_gid gid;
		struct weft_ip ip;

		assert_true(weft_ip_parse(rows[i].gid, &ip));
		memcpy(gid.raw, ip.raw, 16);
		if (!weft_gid_decode(&gid, &e) != rows[i].ok)
			fail_msg("row %d: %s", rows[i].id, rows[i].ok ? "refused" : "taken");
		if (rows[i].ok ? e.ip.v6 != rows[i].v6 : e.port_base != 7)
			fail_msg("row %d: output", rows[i].id);
	}
}

/* No bytes make it do anything but answer, and what it takes as IPv4 encodes back to the same. */
static void weft_gid_decode__random(void **state)
{
	struct weft_prng prng;
	uint32_t v4 = 0;

	(void)state;
	weft_prng_init(&prng, 1);
	for (int i = 0; i < 100000; i++) {
		struct weft_gid gid = { .raw = { 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0x57 } }, back;
		struct weft_endpoint e;

		for (int j = 9; j < 16; j++)
			gid.raw[j] = (uint8_t)weft_prng_next(&prng);
		if (weft_gid_decode(&gid, &e) || e.ip.v6)
			continue;
		v4++;
		weft_gid_encode(&e.ip, gid.raw[9], e.port_base, &back);
		assert_memory_equal(&back, &gid, sizeof(gid));
	}
	assert_true(v4 > 100);
}

static void weft_ip_parse__table(void **state)
{
	static const struct {
		int id;
		const char *in;
		bool ok;
	} rows[] = {
		{ 1, "10.0.0.1", true },     { 2, "10.0.0", false },
		{ 3, "10.0.0.256", false },  { 4, "", false },
		{ 5, "fd00::1", true },      { 6, "fd00::1%lo", false },
		{ 7, "fe80::1%lo", true },   { 8, "fe80::1%nosuchthing", false },
		{ 9, "010.0.0.1", false },   { 10, "10.0.0.1%lo", false },
		{ 11, "localhost", false },  { 12, " 10.0.0.1", false },
		{ 13, "fe80::1%1", true },   { 14, "fe80::1%0", false },
		{ 15, "fe80::1%", false },   { 16, "fe80::1%4294967297", false },
		{ 17, "fe80::1%1x", false }, { 18, "fe80::1%-1", false },
	};
	struct weft_ip ip;
	char text[64];

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++)
		if (weft_ip_parse(rows[i].in, &ip) != rows[i].ok)
			fail_msg("row %d: %s", rows[i].id, rows[i].in);
	assert_true(weft_ip_parse("fe80::1%lo", &ip));
	assert_string_equal(weft_ip_text(&ip, text, sizeof(text)), "fe80::1%lo");
}

static void weft_cardset_make__nothing_said(void **state)
{
	const struct weft_card_info *card = &set.card[0];

	reset(state);
	assert_int_equal(make(), 0);
	assert_int_equal(set.count, 1);
	assert_true(is_at(0, "127.0.0.1"));
	assert_string_equal(card->name, "rdmap0s6");
	assert_string_equal(card->bdf, "0000:00:06.0");
	assert_int_equal(card->port_base, 20000);
	assert_int_equal(card->part_id, 0xefa1);
	assert_int_equal(card->caps, 15);
	assert_int_equal(card->gbps, 100);
	assert_int_equal(card->numa, -1);
	assert_string_equal(set.note, "");
}

static void weft_cardset_make__p4d(void **state)
{
	static const char *const names[] = { "rdmap16s27", "rdmap32s27", "rdmap144s27",
					     "rdmap160s27" };
	static const char *const bdfs[] = { "0000:10:1b.0", "0000:20:1b.0", "0000:90:1b.0",
					    "0000:a0:1b.0" };

	reset(state);
	strcpy(conf.instance, "p4d.24xlarge");
	assert_int_equal(make(), 0);
	assert_int_equal(set.count, 4);
	for (uint32_t i = 0; i < 4; i++) {
		const struct weft_card_info *card = &set.card[i];

		assert_string_equal(card->name, names[i]);
		assert_string_equal(card->bdf, bdfs[i]);
		assert_int_equal(card->port_base, 20000 + 256 * i);
		assert_int_equal(card->part_id, 0xefa0);
		assert_int_equal(card->caps, 7);
		assert_int_equal(card->numa, i / 2);
	}
	conf.cards = 6;
	host.numa_nodes = 1;
	assert_int_equal(make(), 0);
	assert_int_equal(set.count, 6);
	assert_int_equal(set.card[3].numa, -1);
}

/* Every type makes a set, with the exception of those whose count nobody knows; names never collide. */
static void weft_cardset_make__every_type(void **state)
{
	const struct weft_instance *type;

	reset(state);
	for (uint32_t n = 0; (type = weft_catalogue_at(n)); n++) {
		strcpy(conf.instance, type->name);
		conf.cards = 0;
		if (!type->efas.how) {
			assert_int_equal(make(), -EINVAL);
			assert_non_null(strstr(set.why, "not known"));
			conf.cards = 32;
		}
		assert_int_equal(make(), 0);
		assert_int_equal(set.count, type->efas.how ? type->efas.value : 32);
		for (uint32_t i = 0; i < set.count; i++) {
			const struct weft_card_info *card = &set.card[i];

			assert_true(card->gbps >= 20 && card->gbps <= 400);
			assert_in_range(card->part_id, 0xefa0, 0xefa3);
			assert_true(card->part_id < 0xefa2 || (card->caps & 1));
			assert_true(card->port_base + 256 <= 30000);
			for (uint32_t j = 0; j < i; j++) {
				assert_string_not_equal(card->name, set.card[j].name);
				assert_string_not_equal(card->bdf, set.card[j].bdf);
			}
		}
		assert_true(!set.note[0] == (type->generation.how && type->gbps.how));
	}
}

static void weft_cardset_make__p5(void **state)
{
	reset(state);
	strcpy(conf.instance, "p5.48xlarge");
	conf.port_base = 21808;
	assert_int_equal(make(), 0);
	assert_int_equal(set.count, 32);
	assert_string_equal(set.card[0].name, "rdmap79s0");
	assert_string_equal(set.card[4].name, "rdmap96s0");
	assert_string_equal(set.card[31].name, "rdmap201s0");
	assert_string_equal(set.card[31].bdf, "0000:c9:00.0");
	assert_int_equal(set.card[31].port_base + 256, 30000);
	assert_int_equal(set.card[15].numa, 0);
	assert_int_equal(set.card[16].numa, 1);
}

static void make_folders(const char *root, const char *const *path, uint32_t n)
{
	char full[300];

	for (uint32_t i = 0; i < n; i++) {
		snprintf(full, sizeof(full), "%s%s", root, path[i]);
		assert_int_equal(mkdir(full, 0700), 0);
	}
}

static void remove_folders(const char *root, const char *const *path, uint32_t n)
{
	char full[300];

	while (n--) {
		snprintf(full, sizeof(full), "%s%s", root, path[n]);
		assert_int_equal(rmdir(full), 0);
	}
}

/* Where a GPU is, no card is, but it keeps its name. */
static void weft_cardset_make__taken_places(void **state)
{
	static const char *const made[] = {
		"",
		"/sys",
		"/sys/bus",
		"/sys/bus/pci",
		"/sys/bus/pci/devices",
		"/sys/bus/pci/devices/0000:4f:00.0",
		"/sys/bus/pci/devices/0000:4f:01.0",
		"/sys/bus/pci/devices/0000:60:00.0",
		"/sys/bus/pci/devices/0000:10:1b.0",
		"/sys/bus/pci/devices/0000:10:1f.0",
		"/sys/bus/pci/devices/0000:00:06.0",
	};
	char root[] = "/tmp/weft-cardset-XXXXXX";

	assert_non_null(mkdtemp(root));
	make_folders(root, made + 1, WEFT_ARRAY_SIZE(made) - 1);
	reset(state);
	host.root = root;
	assert_int_equal(make(), 0);
	assert_string_equal(set.card[0].name, "rdmap0s6");
	assert_string_equal(set.card[0].bdf, "0000:00:07.0");
	strcpy(conf.instance, "p5.48xlarge");
	assert_int_equal(make(), 0);
	assert_string_equal(set.card[0].name, "rdmap79s0");
	assert_string_equal(set.card[0].bdf, "0000:4f:02.0");
	assert_string_equal(set.card[4].bdf, "0000:60:01.0");
	assert_string_equal(set.card[5].bdf, "0000:61:00.0");
	strcpy(conf.instance, "p4d.24xlarge");
	assert_int_equal(make(), 0);
	assert_string_equal(set.card[0].bdf, "0000:10:1c.0");
	assert_string_equal(set.card[1].bdf, "0000:20:1b.0");
	remove_folders(root, made, WEFT_ARRAY_SIZE(made));
}

static void weft_cardset_make__interfaces(void **state)
{
	reset(state);
	add_iface("docker0", "172.17.0.1")->inward = true;
	add_iface("eth0", "10.0.0.1");
	add_iface("eth0", "10.0.0.2");
	add_iface("eth1", "10.0.1.1")->has_default = true;
	add_iface("eth2", "fd00::1");
	ifaces[4].mtu = 9001;
	conf.cards = 3;
	assert_int_equal(make(), 0);
	assert_true(is_at(0, "10.0.1.1") && is_at(1, "10.0.0.1") && is_at(2, "10.0.1.1"));
	assert_int_equal(set.card[0].mtu, 9001);
	assert_int_equal(set.card[1].mtu, 1500);

	/* A bridge with the default route is this host's way out. */
	ifaces[1].has_default = true;
	assert_int_equal(make(), 0);
	assert_true(is_at(0, "172.17.0.1"));
}

static void weft_cardset_make__addresses(void **state)
{
	static const struct {
		int id;
		const char *addr;
		uint32_t cards;
		int want;
		const char *text; /* Of card 0, or of the complaint. */
	} rows[] = {
		{ 1, "127.0.0.2", 0, 0, "127.0.0.2" },
		{ 2, "127.0.0.2, 127.0.0.3", 0, 0, "127.0.0.2" },
		{ 3, "eth0", 0, 0, "10.0.0.1" },
		{ 4, "127.0.0.2,127.0.0.3", 1, -EINVAL, "2 addresses for 1 card" },
		{ 5, "10.9.9.9", 0, -EADDRNOTAVAIL, "10.9.9.9 is not an address of this host" },
		{ 6, "0.0.0.0", 0, -EINVAL, "not an address of one host" },
		{ 7, "224.0.0.1", 0, -EINVAL, "not an address of one host" },
		{ 8, "nonsense", 0, -EINVAL, "neither an IP address nor an interface" },
		{ 9, ",", 0, -EINVAL, "no address in it" },
		{ 10, "127.0.0.2,127.0.0.2", 0, -EINVAL, "twice" },
		{ 11, "fd00::1", 0, 0, "fd00::1" },
		{ 12, "fd00::1", 2, -EINVAL, "carries one card" },
		{ 13, "::1.2.3", 0, -EINVAL, "neither" },
		{ 14, "fe80::5700:4e20:a00:1", 0, -EINVAL, "looks like a GID" },
		{ 15, "eth1", 0, -EINVAL, "interface eth1 has no IPv4 address" },
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		int err;

		reset(state);
		add_iface("eth0", "10.0.0.1");
		add_iface("eth0", "fd00::1");
		add_iface("eth0", "fe80::5700:4e20:a00:1");
		add_iface("eth1", "fd00::3");
		strcpy(conf.addr, rows[i].addr);
		conf.cards = rows[i].cards;
		err = make();
		if (err != rows[i].want ||
		    (err ? !strstr(set.why, rows[i].text) : !is_at(0, rows[i].text)))
			fail_msg("row %d: %d %s", rows[i].id, err, set.why);
	}
	reset(state);
	strcpy(conf.addr, "127.0.0.2,127.0.0.3");
	conf.cards = 5;
	assert_int_equal(make(), 0);
	assert_true(is_at(4, "127.0.0.2") && is_at(3, "127.0.0.3"));
	assert_int_equal(set.card[4].port_base, 20000 + 1024);
	assert_int_equal(set.card[4].mtu, 65535);
	conf.cards = 0;
	assert_int_equal(make(), 0);
	assert_int_equal(set.count, 2);
}

static void weft_cardset_make__ipv6(void **state)
{
	reset(state);
	add_iface("eth0", "fd00::1");
	add_iface("eth0", "fd00::2");
	strcpy(conf.addr, "fd00::1,fd00::2");
	assert_int_equal(make(), 0);
	assert_int_equal(set.count, 2);
	assert_int_equal(set.card[1].port_base, 20000);
	assert_memory_equal(set.card[1].gid.raw, set.card[1].ip.raw, 16);
}

static bool has_any_address(const struct weft_ip *ip)
{
	return ip != NULL;
}

/* As many as there may be, and as long. */
static void weft_cardset_make__many_addresses(void **state)
{
	size_t len = 0;

	reset(state);
	host.has_address = has_any_address;
	for (uint32_t i = 0; i < WEFT_CARDS_MAX; i++)
		len += (size_t)snprintf(
			conf.addr + len, sizeof(conf.addr) - len,
			"%sfe80:aaaa:bbbb:cccc:dddd:eeee:ffff:%04x%%lo             ", i ? "," : "",
			0xff00 + i);
	assert_true(len < sizeof(conf.addr));
	assert_int_equal(make(), 0);
	assert_int_equal(set.count, WEFT_CARDS_MAX);
	assert_true(is_at(31, "fe80:aaaa:bbbb:cccc:dddd:eeee:ffff:ff1f%lo"));
	strcat(conf.addr, ",fd00::1");
	assert_int_equal(make(), -EINVAL);
	assert_non_null(strstr(set.why, "more than 32 addresses"));
}

static void weft_cardset_make__link_local(void **state)
{
	reset(state);
	add_iface("eth0", "fe80::1")->ip.scope = 7;
	add_iface("eth1", "fe80::2")->ip.scope = 8;
	add_iface("eth2", "fe80::1")->ip.scope = 1;
	ifaces[3].mtu = 9000;
	/* Without the interface it is looked up. */
	strcpy(conf.addr, "fe80::2");
	assert_int_equal(make(), 0);
	assert_int_equal(set.card[0].ip.scope, 8);
	/* With it, it counts. */
	strcpy(conf.addr, "fe80::1%lo");
	assert_int_equal(make(), 0);
	assert_int_equal(set.card[0].ip.scope, 1);
	assert_int_equal(set.card[0].mtu, 9000);
	strcpy(conf.addr, "fe80::2%lo");
	assert_int_equal(make(), -EADDRNOTAVAIL);
	strcpy(conf.addr, "fe80::3");
	assert_int_equal(make(), -EADDRNOTAVAIL);
}

static void weft_cardset_make__overrides(void **state)
{
	reset(state);
	strcpy(conf.instance, "p5.48xlarge");
	strcpy(conf.caps, "read, unsolicited");
	conf.gbps = 25;
	conf.part_id = 0xefa3;
	conf.cards = 1;
	assert_int_equal(make(), 0);
	assert_int_equal(set.card[0].caps, 17);
	assert_int_equal(set.card[0].gbps, 25);
	assert_int_equal(set.card[0].part_id, 0xefa3);
	strcpy(conf.caps, "none");
	assert_int_equal(make(), 0);
	assert_int_equal(set.card[0].caps, 0);
	strcpy(conf.caps, "read,fly");
	assert_int_equal(make(), -EINVAL);
	assert_non_null(strstr(set.why, "no capability \"fly\""));
}

/* What a card is does not depend on who sees it: jobs that share a host rely on that. */
static void weft_cardset_make__visible(void **state)
{
	struct weft_cardset all;

	reset(state);
	strcpy(conf.instance, "p4d.24xlarge");
	assert_int_equal(make(), 0);
	assert_int_equal(set.count, 4);
	all = set;
	strcpy(conf.visible, "1,3");
	assert_int_equal(make(), 0);
	assert_int_equal(set.count, 2);
	for (uint32_t i = 0; i < 2; i++) {
		const struct weft_card_info *was = &all.card[2 * i + 1], *is = &set.card[i];

		assert_int_equal(is->index, i);
		assert_int_equal(is->number, 2 * i + 1);
		assert_string_equal(is->name, was->name);
		assert_int_equal(is->port_base, was->port_base);
		assert_int_equal(is->numa, was->numa);
		assert_memory_equal(&is->gid, &was->gid, sizeof(is->gid));
	}
	strcpy(conf.visible, "2-3, 0");
	assert_int_equal(make(), 0);
	assert_int_equal(set.count, 3);
	assert_int_equal(set.card[1].number, 2);
	strcpy(conf.visible, "0-3");
	assert_int_equal(make(), 0);
	assert_memory_equal(set.card, all.card, sizeof(all.card));
}

static void weft_cardset_make__visible_refused(void **state)
{
	static const struct {
		const char *list, *why;
	} rows[] = {
		{ "4", "no card 4: there are 4, from 0" },
		{ "2-4", "no card 2-4" },
		{ "0-18446744073709551615", "no card 0-18446744073709551615" },
		{ "3-2", "\"3-2\" is neither" },
		{ "-1", "\"-1\" is neither" },
		{ "1-", "\"1-\" is neither" },
		{ "0000000000000000000000000000001-2", "is neither" },
		{ "all", "\"all\" is neither" },
		{ ",", "no card in it" },
	};

	reset(state);
	conf.cards = 4;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		strcpy(conf.visible, rows[i].list);
		if (make() != -EINVAL || !strstr(set.why, rows[i].why))
			fail_msg("%s: %s", rows[i].list, set.why);
	}
}

static void weft_cardset_make__unknown_type(void **state)
{
	reset(state);
	strcpy(conf.instance, "p4d.24xlrge");
	assert_int_equal(make(), -EINVAL);
	assert_string_equal(set.why, "WEFT_INSTANCE: no instance type \"p4d.24xlrge\" with EFA is "
				     "known; did you mean p4d.24xlarge?");
	strcpy(conf.instance, "zzz");
	assert_int_equal(make(), -EINVAL);
	assert_null(strstr(set.why, "mean"));
	strcpy(conf.instance, "c8in.48xlarge");
	assert_int_equal(make(), 0);
	assert_non_null(strstr(set.note, "EFA generation, RDMA capabilities: not known of c8in"));
}

static void weft_cardset_get__this_host(void **state)
{
	const struct weft_card_info *cards, *again;
	const char *why = NULL;
	uint32_t count = 0;

	(void)state;
	if (weft_cardset_get(&cards, &count, &why)) {
		assert_non_null(why);
		return;
	}
	assert_in_range(count, 1, WEFT_CARDS_MAX);
	assert_int_equal(weft_cardset_get(&again, &count, &why), 0);
	assert_ptr_equal(cards, again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_gid__round_trip),
		cmocka_unit_test(weft_gid_decode__refused),
		cmocka_unit_test(weft_gid_decode__random),
		cmocka_unit_test(weft_ip_parse__table),
		cmocka_unit_test(weft_cardset_make__nothing_said),
		cmocka_unit_test(weft_cardset_make__p4d),
		cmocka_unit_test(weft_cardset_make__every_type),
		cmocka_unit_test(weft_cardset_make__p5),
		cmocka_unit_test(weft_cardset_make__interfaces),
		cmocka_unit_test(weft_cardset_make__addresses),
		cmocka_unit_test(weft_cardset_make__ipv6),
		cmocka_unit_test(weft_cardset_make__many_addresses),
		cmocka_unit_test(weft_cardset_make__link_local),
		cmocka_unit_test(weft_cardset_make__taken_places),
		cmocka_unit_test(weft_cardset_make__overrides),
		cmocka_unit_test(weft_cardset_make__visible),
		cmocka_unit_test(weft_cardset_make__visible_refused),
		cmocka_unit_test(weft_cardset_make__unknown_type),
		cmocka_unit_test(weft_cardset_get__this_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
