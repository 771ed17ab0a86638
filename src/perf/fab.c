/* SPDX-License-Identifier: BSD-2-Clause */
/* libfabric, opened when it is needed: weft measures with it and does not depend on it. Only a few of its functions are
 * symbols; all else goes through the tables of the objects that they return. */
#define _GNU_SOURCE
#include "perf/fab.h"

#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rdma/fi_cm.h>
#include <rdma/fi_errno.h>
#include <rdma/fi_tagged.h>

#define LOOK       1024u /* Polls between two looks at the world. */
#define IDLE_LONG  1024u /* Polls that found nothing. */
#define IDLE_YIELD 16u
#define CQ_SIZE    4096u

static struct {
	void *library;
	int (*getinfo)(uint32_t version, const char *node, const char *service, uint64_t flags,
		       const struct fi_info *hints, struct fi_info **info);
	void (*freeinfo)(struct fi_info *info);
	struct fi_info *(*dupinfo)(const struct fi_info *info);
	int (*fabric)(struct fi_fabric_attr *attr, struct fid_fabric **fabric, void *context);
	const char *(*strerror)(int errnum);
	uint32_t (*version)(void);
} lib;

__attribute__((noreturn, format(printf, 2, 3))) static void fail(struct weft_fab *fab,
								 const char *format, ...)
{
	char text[512];
	va_list list;

	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	fab->fail(fab->arg, text);
}

static void need(struct weft_fab *fab, long ret, const char *what)
{
	if (ret < 0)
		fail(fab, "%s: %s", what, lib.strerror((int)-ret));
}

static void load(struct weft_fab *fab)
{
	const struct {
		const char *name;
		void *place;
	} symbols[] = {
		{ "fi_getinfo", &lib.getinfo },   { "fi_freeinfo", &lib.freeinfo },
		{ "fi_dupinfo", &lib.dupinfo },   { "fi_fabric", &lib.fabric },
		{ "fi_strerror", &lib.strerror }, { "fi_version", &lib.version },
	};

	lib.library = dlopen("libfabric.so.1", RTLD_NOW | RTLD_LOCAL);
	if (!lib.library)
		fail(fab, "libfabric is needed and cannot be loaded: %s", dlerror());
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(symbols); i++) {
		void *symbol = dlsym(lib.library, symbols[i].name);

		if (!symbol)
			fail(fab, "libfabric.so.1 has no %s", symbols[i].name);
		memcpy(symbols[i].place, &symbol, sizeof(symbol));
	}
}

static struct fi_info *find(struct weft_fab *fab, const char *provider, const char *source,
			    int *err_out)
{
	struct fi_info *hints = lib.dupinfo(NULL), *list = NULL;

	if (!hints)
		fail(fab, "out of memory");
	hints->ep_attr->type = FI_EP_RDM;
	hints->caps = FI_TAGGED;
	hints->mode = FI_CONTEXT | FI_CONTEXT2;
	hints->domain_attr->mr_mode =
		FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_PROV_KEY | FI_MR_ENDPOINT;
	hints->domain_attr->threading = FI_THREAD_DOMAIN;
	hints->domain_attr->resource_mgmt = FI_RM_ENABLED;
	hints->fabric_attr->prov_name = strdup(provider);
	*err_out =
		lib.getinfo(FI_VERSION(1, 14), source, NULL, source ? FI_SOURCE : 0, hints, &list);
	lib.freeinfo(hints);
	return *err_out ? NULL : list;
}

static bool has_ip(const char *provider)
{
	static const char *const names[] = { "tcp", "udp", "sockets", "net" };

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(names); i++)
		if (!strncmp(provider, names[i], strlen(names[i])))
			return true;
	return false;
}

static struct fi_info *find_provider(struct weft_fab *fab, const char *provider, const char *source)
{
	static const char *const usual[] = { "efa", "tcp" };
	struct fi_info *list = NULL;
	int err = 0;

	for (size_t i = 0; i < (*provider ? 1 : WEFT_ARRAY_SIZE(usual)) && !list; i++) {
		const char *name = *provider ? provider : usual[i];

		list = find(fab, name, *source && has_ip(name) ? source : NULL, &err);
	}
	if (!list)
		fail(fab, "no provider %s here: %s%s", *provider ? provider : "efa or tcp",
		     lib.strerror(-err),
		     !strcmp(provider, "efa") ? " (an EFA card is needed, or --soft)" : "");
	return list;
}

static void open_card(struct weft_fab *fab, struct weft_fab_card *card)
{
	struct fi_cq_attr cq = { .size = CQ_SIZE, .format = FI_CQ_FORMAT_CONTEXT };
	struct fi_av_attr av = { .type = FI_AV_TABLE, .count = WEFT_PERF_RANKS_MAX };

	need(fab, lib.fabric(card->info->fabric_attr, &card->fabric, NULL), "fi_fabric");
	need(fab, fi_domain(card->fabric, card->info, &card->domain, NULL), "fi_domain");
	need(fab, fi_av_open(card->domain, &av, &card->av, NULL), "fi_av_open");
	need(fab, fi_cq_open(card->domain, &cq, &card->cq, NULL), "fi_cq_open");
	need(fab, fi_endpoint(card->domain, card->info, &card->ep, NULL), "fi_endpoint");
	need(fab, fi_ep_bind(card->ep, &card->av->fid, 0), "fi_ep_bind");
	need(fab, fi_ep_bind(card->ep, &card->cq->fid, FI_TRANSMIT | FI_RECV), "fi_ep_bind");
	need(fab, fi_enable(card->ep), "fi_enable");
}

static bool is_new_domain(const struct weft_fab *fab, const struct fi_info *info)
{
	const struct fi_info *first = fab->card[0].info;

	if (!fab->cards)
		return true;
	/* The same card under another name of provider, or of fabric family ("efa-direct"), is not another card. */
	if (strcmp(info->fabric_attr->prov_name, first->fabric_attr->prov_name) != 0 ||
	    strcmp(info->fabric_attr->name, first->fabric_attr->name) != 0)
		return false;
	for (uint32_t i = 0; i < fab->cards; i++)
		if (!strcmp(info->domain_attr->name, fab->card[i].info->domain_attr->name))
			return false;
	return true;
}

void weft_fab_open(struct weft_fab *fab, const char *provider, const char *source,
		   uint32_t cards_max, struct weft_perf_member *member)
{
	struct fi_info *list;
	bool is_efa;
	uint32_t version;

	load(fab);
	list = find_provider(fab, provider, source);
	is_efa = !strncmp(list->fabric_attr->prov_name, "efa", 3);
	/* Other providers list interfaces of which some lead nowhere near the peer. */
	if (!is_efa)
		cards_max = 1;
	if (!cards_max || cards_max > WEFT_PERF_CARDS_MAX)
		cards_max = WEFT_PERF_CARDS_MAX;
	for (struct fi_info *i = list; i && fab->cards < cards_max; i = i->next) {
		if (!is_new_domain(fab, i))
			continue;
		fab->card[fab->cards].info = lib.dupinfo(i);
		if (!fab->card[fab->cards].info)
			fail(fab, "out of memory");
		open_card(fab, &fab->card[fab->cards++]);
	}
	lib.freeinfo(list);
	version = lib.version();
	snprintf(member->libfabric, sizeof(member->libfabric), "%u.%u", FI_MAJOR(version),
		 FI_MINOR(version));
	snprintf(member->provider, sizeof(member->provider), "%s",
		 fab->card[0].info->fabric_attr->prov_name);
	snprintf(member->card, sizeof(member->card), "%s", fab->card[0].info->domain_attr->name);
	snprintf(member->fabric, sizeof(member->fabric), "%s",
		 fab->card[0].info->fabric_attr->name);
	member->cards = fab->cards;
}

void weft_fab_address(struct weft_fab *fab, uint32_t card, struct weft_fab_addr *out)
{
	size_t len = sizeof(out->bytes);

	memset(out, 0, sizeof(*out));
	need(fab, fi_getname(&fab->card[card].ep->fid, out->bytes, &len), "fi_getname");
	out->len = (uint32_t)len;
}

void weft_fab_know(struct weft_fab *fab, uint32_t card, uint32_t rank,
		   const struct weft_fab_addr *addr)
{
	struct weft_fab_card *c = &fab->card[card];

	if (fi_av_insert(c->av, addr->bytes, 1, &c->peers[rank], 0, NULL) != 1)
		fail(fab, "the provider does not take the address of rank %u", rank);
}

void weft_fab_use_memory(struct weft_fab *fab, void *mem, size_t len)
{
	for (uint32_t i = 0; i < fab->cards; i++) {
		struct weft_fab_card *c = &fab->card[i];
		uint64_t mode = (uint64_t)c->info->domain_attr->mr_mode;

		if (!(mode & FI_MR_LOCAL))
			continue;
		need(fab, fi_mr_reg(c->domain, mem, len, FI_SEND | FI_RECV, 0, 1, 0, &c->mr, NULL),
		     "registering memory (fi_mr_reg)");
		if (mode & FI_MR_ENDPOINT) {
			need(fab, fi_mr_bind(c->mr, &c->ep->fid, 0), "fi_mr_bind");
			need(fab, fi_mr_enable(c->mr), "fi_mr_enable");
		}
		c->desc = fi_mr_desc(c->mr);
	}
}

void weft_fab_send(struct weft_fab *fab, uint32_t card, uint32_t rank, const void *from, size_t len,
		   uint64_t tag, struct weft_fab_op *op)
{
	struct weft_fab_card *c = &fab->card[card];
	long ret;

	op->is_done = false;
	while ((ret = fi_tsend(c->ep, from, len, c->desc, c->peers[rank], tag, &op->context)) ==
	       -FI_EAGAIN)
		weft_fab_poll(fab);
	need(fab, ret, "fi_tsend");
}

void weft_fab_inject(struct weft_fab *fab, uint32_t card, uint32_t rank, const void *from,
		     size_t len, uint64_t tag, struct weft_fab_op *op)
{
	struct weft_fab_card *c = &fab->card[card];
	long ret;

	if (len >= c->info->tx_attr->inject_size) {
		weft_fab_send(fab, card, rank, from, len, tag, op);
		return;
	}
	while ((ret = fi_tinject(c->ep, from, len, c->peers[rank], tag)) == -FI_EAGAIN)
		weft_fab_poll(fab);
	need(fab, ret, "fi_tinject");
	op->is_done = true;
}

void weft_fab_recv(struct weft_fab *fab, uint32_t card, void *to, size_t len, uint64_t tag,
		   struct weft_fab_op *op)
{
	struct weft_fab_card *c = &fab->card[card];
	long ret;

	op->is_done = false;
	while ((ret = fi_trecv(c->ep, to, len, c->desc, FI_ADDR_UNSPEC, tag, 0, &op->context)) ==
	       -FI_EAGAIN)
		weft_fab_poll(fab);
	need(fab, ret, "fi_trecv");
}

__attribute__((noreturn, cold)) static void completion_error(struct weft_fab *fab,
							     struct weft_fab_card *c)
{
	struct fi_cq_err_entry err = { 0 };
	char detail[128] = "";

	if (fi_cq_readerr(c->cq, &err, 0) < 0)
		fail(fab, "a message failed, and the provider does not say why");
	fi_cq_strerror(c->cq, err.prov_errno, err.err_data, detail, sizeof(detail));
	fail(fab, "a message failed: %s (%s, %d)", lib.strerror(err.err),
	     detail[0] ? detail : "no more is known", err.prov_errno);
}

static __attribute__((cold)) void on_nothing(struct weft_fab *fab)
{
	fab->idle++;
	/* With a processor for each, giving way would cost latency; but not any more after some time, when either the peer
	 * is slow or somebody else has its processor. */
	if (fab->idle % IDLE_YIELD == 0 && (fab->is_crowded || fab->idle > IDLE_LONG))
		sched_yield();
}

void weft_fab_poll(struct weft_fab *fab)
{
	bool is_idle = true;

	for (uint32_t i = 0; i < fab->cards; i++) {
		struct fi_cq_entry entry[16];
		ssize_t n = fi_cq_read(fab->card[i].cq, entry, WEFT_ARRAY_SIZE(entry));

		if (n == -FI_EAGAIN || n == 0)
			continue;
		if (n == -FI_EAVAIL)
			completion_error(fab, &fab->card[i]);
		need(fab, n, "fi_cq_read");
		for (ssize_t k = 0; k < n; k++)
			((struct weft_fab_op *)entry[k].op_context)->is_done = true;
		is_idle = false;
	}
	if (is_idle)
		on_nothing(fab);
	else
		fab->idle = 0;
	if (++fab->polls % LOOK == 0)
		fab->on_look(fab->arg);
}

void weft_fab_wait(struct weft_fab *fab, const struct weft_fab_op *op)
{
	while (!op->is_done)
		weft_fab_poll(fab);
}

void weft_fab_close(struct weft_fab *fab)
{
	for (uint32_t i = 0; i < fab->cards; i++) {
		struct weft_fab_card *c = &fab->card[i];

		fi_close(&c->ep->fid);
		if (c->mr)
			fi_close(&c->mr->fid);
		fi_close(&c->cq->fid);
		fi_close(&c->av->fid);
		fi_close(&c->domain->fid);
		fi_close(&c->fabric->fid);
		lib.freeinfo(c->info);
	}
}
