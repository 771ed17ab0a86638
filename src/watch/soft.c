/* SPDX-License-Identifier: BSD-2-Clause */
/* weft's cards: sums over the pages of the processes that use them.
 *
 * A page goes away with its process, but a counter must not fall: what a process had done is kept here, from
 * the last sample in which its page was there. Cards are told apart by name and GID, since two addresses
 * of this machine may stand for two hosts with cards of the same name. */
#include "dev/cardset.h"
#include "dev/conf.h"
#include "watch/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define USERS_MAX 4096u

struct card {
	char name[32];
	struct weft_gid gid;
	bool used; /* Once, at least: then it stays in sight. */
	uint64_t past[WEFT_COUNTER_COUNT]; /* Of processes that are gone. */
};

struct user { /* One process on one card. */
	uint64_t started_ns;
	uint32_t pid, card;
	uint64_t value[WEFT_COUNTER_COUNT];
	bool seen;
};

struct weft_watch_soft {
	struct card card[WEFT_WATCH_CARDS_MAX];
	uint32_t cards;
	struct user *user; /* owns */
	uint32_t users, room;
	const struct weft_card_info *set; /* borrows. What our own settings make. */
	uint32_t set_count;
	bool show_set; /* Whether or not somebody uses it. */
	/* While a sample is taken: where it goes, and the index of each card in it. */
	struct weft_sample *sample;
	uint32_t index[WEFT_WATCH_CARDS_MAX];
};

struct weft_watch_soft *weft_watch_soft_create(void)
{
	struct weft_watch_soft *s = calloc(1, sizeof(*s));
	const struct weft_conf *conf = weft_conf_get();
	const char *why;

	if (!s)
		return NULL;
	/* Without an address to stand on there is no set; then there are still the pages of others. */
	if (weft_cardset_get(&s->set, &s->set_count, &why))
		s->set_count = 0;
	s->show_set = conf->instance[0] || conf->addr[0] || conf->cards;
	return s;
}

void weft_watch_soft_destroy(struct weft_watch_soft *soft)
{
	free(soft->user);
	free(soft);
}

/* UINT32_MAX: no place. */
static uint32_t find_card(struct weft_watch_soft *s, const char *name, const struct weft_gid *gid)
{
	for (uint32_t i = 0; i < s->cards; i++)
		if (!strcmp(s->card[i].name, name) && !memcmp(&s->card[i].gid, gid, sizeof(*gid)))
			return i;
	if (s->cards == WEFT_WATCH_CARDS_MAX)
		return UINT32_MAX;
	snprintf(s->card[s->cards].name, sizeof(s->card[0].name), "%s", name);
	s->card[s->cards].gid = *gid;
	return s->cards++;
}

static struct user *find_user(struct weft_watch_soft *s, const struct weft_counters_page *page,
			      uint32_t card)
{
	struct user *u;

	for (uint32_t i = 0; i < s->users; i++) {
		u = &s->user[i];
		if (u->pid == page->pid && u->started_ns == page->started_ns && u->card == card)
			return u;
	}
	if (s->users == USERS_MAX)
		return NULL;
	if (s->users == s->room) {
		uint32_t room = s->room ? 2 * s->room : 64;

		u = realloc(s->user, room * sizeof(*u));
		if (!u)
			return NULL;
		s->user = u;
		s->room = room;
	}
	u = &s->user[s->users++];
	memset(u, 0, sizeof(*u));
	u->pid = page->pid;
	u->started_ns = page->started_ns;
	u->card = card;
	return u;
}

static const struct weft_card_info *info_of(const struct weft_watch_soft *s, const struct card *c)
{
	const struct weft_card_info *same_name = NULL;

	for (uint32_t i = 0; i < s->set_count; i++) {
		if (strcmp(s->set[i].name, c->name) != 0)
			continue;
		if (!memcmp(&s->set[i].gid, &c->gid, sizeof(c->gid)))
			return &s->set[i];
		same_name = &s->set[i];
	}
	/* Of another address with, most likely, the same settings. */
	return same_name;
}

/* The card in the sample. NULL: it is full. */
static struct weft_watch_card *show_card(struct weft_watch_soft *s, uint32_t index)
{
	const struct card *c = &s->card[index];
	const struct weft_card_info *info = info_of(s, c);
	struct weft_endpoint endpoint;
	struct weft_watch_card *card;

	if (s->index[index] != UINT32_MAX)
		return &s->sample->card[s->index[index]];
	card = weft_sample_add_card(s->sample);
	if (!card)
		return NULL;
	s->index[index] = s->sample->cards - 1;
	card->kind = WEFT_WATCH_SOFT;
	snprintf(card->name, sizeof(card->name), "%s", c->name);
	snprintf(card->state, sizeof(card->state), "ACTIVE");
	snprintf(card->driver, sizeof(card->driver), "weft");
	weft_gid_text(&c->gid, card->gid, sizeof(card->gid));
	if (!weft_gid_decode(&c->gid, &endpoint))
		weft_ip_text(&endpoint.ip, card->where, sizeof(card->where));
	card->vendor = 0x1d0f;
	if (info) {
		card->device = info->part_id;
		card->gbps = info->gbps;
		card->numa = info->numa;
		snprintf(card->bdf, sizeof(card->bdf), "%s", info->bdf);
	}
	memcpy(card->value, c->past, sizeof(c->past));
	return card;
}

static struct weft_watch_proc *show_proc(struct weft_sample *sample,
					 const struct weft_counters_page *page)
{
	struct weft_watch_proc *proc = NULL;

	for (uint32_t i = 0; i < sample->procs; i++)
		if (sample->proc[i].pid == page->pid && sample->proc[i].id == page->started_ns)
			return &sample->proc[i];
	proc = weft_sample_add_proc(sample);
	if (!proc)
		return NULL;
	proc->pid = page->pid;
	proc->id = page->started_ns;
	memcpy(proc->comm, page->comm, sizeof(proc->comm));
	snprintf(proc->why, sizeof(proc->why), "uses weft");
	return proc;
}

/* What our own settings make. */
static void show_set(struct weft_watch_soft *s)
{
	for (uint32_t i = 0; i < s->set_count; i++) {
		uint32_t index = find_card(s, s->set[i].name, &s->set[i].gid);

		if (index != UINT32_MAX)
			(void)show_card(s, index);
	}
}

static void take_page(void *arg, const struct weft_counters_page *page, bool stale)
{
	struct weft_watch_soft *s = arg;

	for (uint32_t i = 0; i < page->cards; i++) {
		const struct weft_counters_card *row = &page->card[i];
		bool used = row->slot != WEFT_COUNTERS_NO_SLOT || row->qps ||
			    row->value[WEFT_COUNTER_TX_BYTES];
		struct weft_watch_card *card = NULL;
		struct weft_watch_proc *proc;
		struct user *user;
		uint32_t index;

		if (!row->name[0] || !used)
			continue;
		index = find_card(s, row->name, &row->gid);
		user = index == UINT32_MAX ? NULL : find_user(s, page, index);
		if (user)
			card = show_card(s, index);
		if (!card) {
			s->sample->left_out++;
			continue;
		}
		user->seen = true;
		s->card[index].used = true;
		memcpy(user->value, row->value, sizeof(user->value));
		for (uint32_t k = 0; k < WEFT_COUNTER_COUNT; k++)
			card->value[k] += row->value[k];
		/* Whoever is dead did it, but is nobody any more. */
		proc = stale ? NULL : show_proc(s->sample, page);
		if (proc) {
			weft_proc_set_card(proc, s->index[index]);
			proc->efa_tx += row->value[WEFT_COUNTER_TX_BYTES];
			proc->efa_rx += row->value[WEFT_COUNTER_RX_BYTES];
		}
	}
}

/* Users without a page become their cards' past. */
static void bury(struct weft_watch_soft *s)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < s->users; i++) {
		struct user *u = &s->user[i];
		struct weft_watch_card *card;

		if (u->seen) {
			u->seen = false;
			s->user[kept++] = *u;
			continue;
		}
		card = show_card(s, u->card);
		for (uint32_t k = 0; k < WEFT_COUNTER_COUNT; k++) {
			s->card[u->card].past[k] += u->value[k];
			if (card)
				card->value[k] += u->value[k];
		}
	}
	s->users = kept;
}

void weft_watch_soft_take(struct weft_watch_soft *s, struct weft_sample *sample)
{
	s->sample = sample;
	memset(s->index, 0xff, sizeof(s->index));
	if (s->show_set)
		show_set(s);
	for (uint32_t i = 0; i < s->cards; i++)
		if (s->card[i].used)
			(void)show_card(s, i);
	/* A run directory that is not there, or not to be read: nobody that we know of. */
	(void)weft_counters_each(weft_conf_get()->run_dir, take_page, s);
	bury(s);
	/* Nothing here at all: then at least what a program would see. */
	if (!sample->cards)
		show_set(s);
	s->sample = NULL;
}
