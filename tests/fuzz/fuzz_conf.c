/* SPDX-License-Identifier: BSD-2-Clause */
/* The settings: a file and an environment of any bytes. The input is the file's text up to the first byte 1,
 * and then strings of the environment, each up to the next one.
 *
 * Whatever is read, the settings in force are within their limits, every complaint is one printable line, and
 * what `weft config` would print of them means the same when it is read again. */
#define _GNU_SOURCE
#include "fuzz.h"

#include "dev/conf_set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEPARATOR 1
#define ENV_MAX   40u

/* A file without a name, readable by its path. */
static const char *put_file(const void *data, size_t len)
{
	static char path[64];
	static int fd = -1;

	if (fd < 0) {
		fd = memfd_create("weft.conf", MFD_CLOEXEC);
		FUZZ_CHECK(fd >= 0 && !fchmod(fd, 0600), "no file: %m");
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	FUZZ_CHECK(!ftruncate(fd, 0) && pwrite(fd, data, len, 0) == (ssize_t)len, "no file: %m");
	return path;
}

static void check_text(const char *s, size_t size, const char *what)
{
	size_t len = strnlen(s, size);

	FUZZ_CHECK(len < size, "%s does not end", what);
	for (size_t i = 0; i < len; i++)
		FUZZ_CHECK((unsigned char)s[i] >= 0x20 && s[i] != 0x7f, "%s is not printable",
			   what);
}

static void check_limits(const struct weft_conf *c)
{
	check_text(c->addr, sizeof(c->addr), "addr");
	check_text(c->instance, sizeof(c->instance), "instance");
	check_text(c->key, sizeof(c->key), "key");
	check_text(c->caps, sizeof(c->caps), "caps");
	check_text(c->visible, sizeof(c->visible), "visible");
	check_text(c->stats, sizeof(c->stats), "stats");
	check_text(c->run_dir, sizeof(c->run_dir), "run_dir");
	FUZZ_CHECK(c->run_dir[0] == '/', "run_dir %s", c->run_dir);
	FUZZ_CHECK(c->cards <= 32, "cards %u", c->cards);
	FUZZ_CHECK(c->wire <= WEFT_CONF_WIRE_LOCAL, "wire %u", (unsigned int)c->wire);
	FUZZ_CHECK(c->port_base >= 1024 && c->port_base <= 21808, "port_base %u", c->port_base);
	FUZZ_CHECK(c->paths <= 1 || (c->paths >= 16 && c->paths <= 256), "paths %u", c->paths);
	FUZZ_CHECK(!c->mtu || (c->mtu >= 768 && c->mtu <= 65535), "mtu %u", c->mtu);
	FUZZ_CHECK(c->gbps <= 3200, "gbps %u", c->gbps);
	FUZZ_CHECK(!c->part_id || (c->part_id >= 0xefa0 && c->part_id <= 0xefa3), "part_id %u",
		   c->part_id);
	FUZZ_CHECK(c->dead_after >= WEFT_MS(100) && c->dead_after <= WEFT_S(600), "dead_after");
	FUZZ_CHECK(c->rcvbuf >= 4096 && c->rcvbuf <= 1u << 30, "rcvbuf %u", c->rcvbuf);
	FUZZ_CHECK(c->sndbuf >= 4096 && c->sndbuf <= 1u << 30, "sndbuf %u", c->sndbuf);
	FUZZ_CHECK(c->loss_ppm <= 990000, "loss %u", c->loss_ppm);
	FUZZ_CHECK(c->log_level <= WEFT_CONF_LOG_DEBUG, "log %u", (unsigned int)c->log_level);
}

static void check_same(const struct weft_conf *a, const struct weft_conf *b)
{
	FUZZ_CHECK(!strcmp(a->addr, b->addr) && !strcmp(a->instance, b->instance) &&
			   !strcmp(a->key, b->key) && !strcmp(a->caps, b->caps) &&
			   !strcmp(a->stats, b->stats) && !strcmp(a->run_dir, b->run_dir) &&
			   !strcmp(a->visible, b->visible),
		   "texts change when they are read again");
	FUZZ_CHECK(a->cards == b->cards && a->wire == b->wire && a->port_base == b->port_base &&
			   a->paths == b->paths && a->mtu == b->mtu && a->gbps == b->gbps &&
			   a->part_id == b->part_id && a->dead_after == b->dead_after &&
			   a->gso == b->gso && a->gro == b->gro && a->rcvbuf == b->rcvbuf &&
			   a->sndbuf == b->sndbuf && a->helper == b->helper &&
			   a->hide_others == b->hide_others && a->loss_ppm == b->loss_ppm &&
			   a->log_level == b->log_level,
		   "numbers change when they are read again");
}

/* Every setting in force, as a variable. */
static void check_again(const struct weft_conf_set *set)
{
	static char text[WEFT_CONF_ROWS_MAX][WEFT_CONF_TEXT_MAX + 32];
	static struct weft_conf_set again;
	char *env[WEFT_CONF_ROWS_MAX + 1] = { NULL };
	struct weft_conf_input in = { .env = env };

	for (uint32_t i = 0; weft_conf_name(i); i++) {
		snprintf(text[i], sizeof(text[i]), "%s=%s", weft_conf_name(i), set->text[i]);
		env[i] = text[i];
	}
	weft_conf_read(&in, &again);
	FUZZ_CHECK(!again.problems, "refused when it is read again: %s", again.problem[0]);
	check_same(&set->conf, &again.conf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct weft_conf_set set;
	const uint8_t *end = size ? memchr(data, SEPARATOR, size) : NULL;
	char *env[ENV_MAX + 1] = { NULL }, *copy, *rest, *word;
	struct weft_conf_input in = { .env = env };
	struct weft_conf_row row;

	in.home_file = put_file(data, end ? (size_t)(end - data) : size);
	copy = rest = end ? strndup((const char *)end + 1, size - (size_t)(end + 1 - data)) : NULL;
	for (uint32_t n = 0; n < ENV_MAX && (word = strsep(&rest, "\1")); n++)
		env[n] = word;
	weft_conf_read(&in, &set);
	free(copy);

	check_limits(&set.conf);
	FUZZ_CHECK(set.problems <= WEFT_CONF_PROBLEMS_MAX, "%u problems", set.problems);
	for (uint32_t i = 0; i < set.problems; i++) {
		FUZZ_CHECK(set.problem[i][0], "an empty complaint");
		check_text(set.problem[i], sizeof(set.problem[i]), "complaint");
		fuzz_trace("%s", set.problem[i]);
	}
	for (uint32_t i = 0; weft_conf_set_row(&set, i, &row); i++) {
		check_text(row.value, sizeof(row.value), row.name);
		check_text(row.origin, sizeof(row.origin), "origin");
		if (!strcmp(row.name, "WEFT_KEY") && set.conf.key[0])
			FUZZ_CHECK(!strcmp(row.value, "(set)"), "the secret is shown");
	}
	check_again(&set);
	return 0;
}
