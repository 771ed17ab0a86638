/* SPDX-License-Identifier: BSD-2-Clause */
/* What peers cost in memory, by the resident set of this process (shared and private pages, as the kernel counts them).
 *
 * idle: address handles for addresses that nobody has, which is how a program knows all of its job before it has spoken
 * with anybody. fan: real peers; each gets one message, and then nothing more for some seconds. The others are
 * processes with many cards, one queue pair on each (answer); they sleep, and the device answers for them. */
#include "verbs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "work.h"

#define BUFFER       4096u
#define AT_ONCE      16u
#define WAIT_NS      10000000000u
#define REST_SECONDS 4u

static uint64_t resident(void)
{
	unsigned long long size, pages;
	FILE *in = fopen("/proc/self/statm", "r");

	if (!in || fscanf(in, "%llu %llu", &size, &pages) != 2)
		work_fail("/proc/self/statm");
	fclose(in);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Addresses that follow ours: the last three bytes of a GID are those of an IPv4 or IPv6 address. */
static void neighbour(const struct card_name *own, uint32_t i, struct card_name *name_out)
{
	uint32_t at;

	*name_out = *own;
	at = (uint32_t)own->gid[13] << 16 | (uint32_t)own->gid[14] << 8 | own->gid[15];
	at += i + 1;
	name_out->gid[13] = (uint8_t)(at >> 16);
	name_out->gid[14] = (uint8_t)(at >> 8);
	name_out->gid[15] = (uint8_t)at;
}

void verbs_idle(uint32_t count)
{
	struct ibv_ah **ah = work_memory(count * sizeof(struct ibv_ah *));
	struct card_name own, name;
	struct card card;
	uint64_t before, after;

	card_open(&card, 0, BUFFER, 64, 64);
	card_name(&card, &own);
	before = resident();
	for (uint32_t i = 0; i < count; i++) {
		neighbour(&own, i, &name);
		ah[i] = card_peer(&card, &name);
	}
	after = resident();
	printf("{\"peers\": %u, \"before\": %llu, \"after\": %llu}\n", count,
	       (unsigned long long)before, (unsigned long long)after);
	for (uint32_t i = 0; i < count; i++)
		ibv_destroy_ah(ah[i]);
	card_close(&card);
}

void verbs_answer(const char *file, uint32_t cards)
{
	char temporary[512];
	struct card_name name;
	struct card card;
	FILE *out;

	snprintf(temporary, sizeof(temporary), "%s.new", file);
	out = fopen(temporary, "w");
	if (!out)
		work_fail("%s", temporary);
	for (uint32_t i = 0; i < cards; i++) {
		card_open(&card, i, BUFFER, AT_ONCE, AT_ONCE);
		card_post_first(&card, 0, AT_ONCE, 64);
		card_name(&card, &name);
		fwrite(&name, sizeof(name), 1, out);
	}
	if (fclose(out) || rename(temporary, file))
		work_fail("%s", file);
	for (;;)
		pause();
}

static uint32_t read_names(char **file, uint32_t files, struct card_name **names_out)
{
	struct card_name *names = NULL, name;
	uint32_t n = 0;

	for (uint32_t i = 0; i < files; i++) {
		FILE *in = fopen(file[i], "r");

		if (!in)
			work_fail("%s", file[i]);
		while (fread(&name, sizeof(name), 1, in) == 1) {
			names = realloc(names, (n + 1) * sizeof(name));
			if (!names)
				work_fatal("memory");
			names[n++] = name;
		}
		fclose(in);
	}
	*names_out = names;
	return n;
}

static void speak(struct card *card, struct ibv_ah *ah, uint32_t qpn)
{
	uint64_t begin = work_now();
	struct ibv_wc wc;
	int n;

	ibv_wr_start(card->ex);
	card->ex->wr_id = 1;
	ibv_wr_send(card->ex);
	ibv_wr_set_sge(card->ex, card->mr->lkey, (uintptr_t)card->mem, 64);
	ibv_wr_set_ud_addr(card->ex, ah, qpn, CARD_QKEY);
	errno = ibv_wr_complete(card->ex);
	if (errno)
		work_fail("posting");
	while (!(n = ibv_poll_cq(card->cq, 1, &wc)))
		if (work_now() - begin > WAIT_NS)
			work_fatal("a peer does not answer");
	if (n < 0 || wc.status)
		work_fatal("completed with %s", n < 0 ? "an error" : ibv_wc_status_str(wc.status));
}

/* Marks the memory after some peers and after all, so that what the first ones cost, once, can be told from what
 * each one costs. */
void verbs_fan(char **file, uint32_t files)
{
	struct card_name *names;
	struct card card;
	uint64_t before, half = 0, all, rest;
	uint32_t n = read_names(file, files, &names);
	struct ibv_ah **ah = work_memory(n * sizeof(struct ibv_ah *));

	if (n < 2)
		work_fatal("no peers");
	card_open(&card, 0, BUFFER, 64, 64);
	before = resident();
	for (uint32_t i = 0; i < n; i++) {
		ah[i] = card_peer(&card, &names[i]);
		speak(&card, ah[i], names[i].qpn);
		if (i == n / 2 - 1)
			half = resident();
	}
	all = resident();
	sleep(REST_SECONDS);
	rest = resident();
	printf("{\"peers\": %u, \"before\": %llu, \"half\": %llu, \"after\": %llu, \"rested\": "
	       "%llu}\n",
	       n, (unsigned long long)before, (unsigned long long)half, (unsigned long long)all,
	       (unsigned long long)rest);
	for (uint32_t i = 0; i < n; i++)
		ibv_destroy_ah(ah[i]);
	card_close(&card);
	free(names);
}
