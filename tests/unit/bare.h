/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_TESTS_BARE_H
#define WEFT_TESTS_BARE_H

/* A card without wires or threads, for the tests of what src/dev keeps in memory: it has one engine, whose packets
 * go nowhere. One per test program. */
#include "dev/core.h"

#include <stdlib.h>

#include "unit.h"

#define BARE_BASE 9000u

static struct weft_card bare;
static struct weft_card_info bare_info;
static weft_ns bare_now;
static uint32_t bare_completed;

static inline void bare_complete(void *owner, uint64_t cookie, enum weft_srd_status status)
{
	(void)owner;
	(void)cookie;
	(void)status;
	bare_completed++;
}

/* Of host `n`, at most 2^16 of them. */
static inline struct weft_gid bare_gid(uint32_t n)
{
	struct weft_ip ip = { .raw = { 10, 7, (uint8_t)(n >> 8), (uint8_t)n } };
	struct weft_gid gid;

	weft_gid_encode(&ip, 0, BARE_BASE, &gid);
	return gid;
}

static inline struct weft_srd *bare_srd(void)
{
	return bare.link[WEFT_LINK_UDP].srd;
}

static inline void bare_open(uint32_t contexts_max)
{
	static const struct weft_srd_ops ops = { .complete = bare_complete };
	struct weft_link *link = &bare.link[WEFT_LINK_UDP];
	struct weft_srd_cfg cfg;

	memset(&bare, 0, sizeof(bare));
	bare_info = (struct weft_card_info){ .ip.raw = { 10, 7, 0, 1 }, .port_base = BARE_BASE };
	bare_info.gid = bare_gid(1);
	bare.info = &bare_info;
	pthread_mutex_init(&bare.lock, NULL);
	for (uint32_t k = 0; k < WEFT_LINKS; k++) {
		bare.link[k].card = &bare;
		bare.link[k].kind = (enum weft_link_kind)k;
	}
	weft_srd_cfg_default(&cfg);
	cfg.gid = bare_info.gid;
	cfg.contexts_max = contexts_max;
	cfg.active_max = 16;
	link->mem = aligned_alloc(64, (weft_srd_size(&cfg) + 63) / 64 * 64);
	assert_non_null(link->mem);
	bare_now = WEFT_S(1);
	link->srd = weft_srd_init(link->mem, &cfg, &ops, link, bare_now);
}

static inline struct weft_pd *bare_pd(void)
{
	struct weft_pd *pd;

	assert_int_equal(weft_pd_create(&bare, &pd), 0);
	return pd;
}

static inline struct weft_ah *bare_ah(struct weft_pd *pd, uint32_t host)
{
	struct weft_gid gid = bare_gid(host);
	struct weft_ah *ah;

	assert_int_equal(weft_ah_create(pd, &gid, &ah), 0);
	return ah;
}

static inline void bare_close(void)
{
	assert_int_equal(bare.pds, 0);
	assert_null(bare.pd_list);
	free(bare.link[WEFT_LINK_UDP].mem);
	pthread_mutex_destroy(&bare.lock);
}

#endif
