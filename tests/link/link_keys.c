/* SPDX-License-Identifier: BSD-2-Clause */
/* Protection domains, memory regions and address handles: rules, numbers, limits. */
#include "link.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define KEYS 20000u

/* Keys are below 2^24, differ from each other, and do not come back soon. */
static void mr_keys(void)
{
	static uint32_t last_used[1u << 24];
	struct weft_mr *live[64] = { NULL }, *mr;
	struct duo_end e;

	duo_open(&e, NULL);
	for (uint32_t i = 1; i <= KEYS; i++) {
		uint32_t at = i * 2654435761u >> 26;
		uint32_t keys[2];

		if (live[at])
			need_ok(weft_mr_destroy(live[at]));
		need_ok(weft_mr_create(e.pd, e.buf, 64, (uintptr_t)e.buf, 7, &mr));
		live[at] = mr;
		keys[0] = mr->lkey;
		keys[1] = mr->rkey;
		need(keys[0] != keys[1]);
		for (uint32_t k = 0; k < 2; k++) {
			need(keys[k] && keys[k] < 1u << 24);
			need(!last_used[keys[k]]);
			last_used[keys[k]] = i;
		}
	}
	for (uint32_t i = 0; i < 64; i++)
		if (live[i])
			need_ok(weft_mr_destroy(live[i]));
	duo_close(&e);
}

static void mr_limit(void)
{
	static struct weft_mr *mr[WEFT_DEV_MR_MAX + 1];
	struct duo_end e;
	uint32_t n = 0;
	int err;

	duo_open(&e, NULL);
	while (!(err = weft_mr_create(e.pd, e.buf, 64, (uintptr_t)e.buf, 1, &mr[n])))
		need(++n <= WEFT_DEV_MR_MAX);
	need_eq(-ENOMEM, err);
	need(n >= WEFT_DEV_MR_MAX - 16);
	need_ok(weft_mr_destroy(mr[n / 2]));
	need_ok(weft_mr_create(e.pd, e.buf, 64, (uintptr_t)e.buf, 1, &mr[n / 2]));
	for (uint32_t i = 0; i < n; i++)
		need_ok(weft_mr_destroy(mr[i]));
	duo_close(&e);
}

static void mr_rules(void)
{
	struct duo_end e;
	struct weft_mr *mr, *same;
	uintptr_t at;
	uint8_t *hole = mmap(NULL, 1u << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	duo_open(&e, NULL);
	at = (uintptr_t)e.buf;
	munmap(hole, 1u << 20);
	need_eq(-EINVAL, weft_mr_create(e.pd, e.buf, 64, at + 1, 1, &mr));
	need_eq(-EINVAL, weft_mr_create(e.pd, e.buf, 64, at, WEFT_ACCESS_REMOTE_WRITE, &mr));
	need_eq(-EINVAL, weft_mr_create(e.pd, e.buf, 0, at, 1, &mr));
	need_eq(-EINVAL, weft_mr_create(e.pd, e.buf, UINT64_MAX, at, 1, &mr));
	need_eq(-EINVAL,
		weft_mr_create(e.pd, e.buf, 1u << 20, UINT64_MAX - 4095 + (at & 4095), 1, &mr));
	need_eq(-EOPNOTSUPP, weft_mr_create(e.pd, e.buf, 64, at, 1 | 64, &mr));
	need_eq(-EFAULT, weft_mr_create(e.pd, hole, 64, (uintptr_t)hole, 1, &mr));
	need_ok(weft_mr_create(e.pd, e.buf, 64, at + (77ull << 32), 0, &mr));
	need_ok(weft_mr_create(e.pd, e.buf, 64, at, 1, &same));
	need(mr->lkey != same->lkey);
	need_eq(-EBUSY, weft_pd_destroy(e.pd));
	need_ok(weft_mr_destroy(mr));
	need_ok(weft_mr_destroy(same));
	duo_close(&e);
}

/* Addresses of work requests are those of the region's own space, at both ends. */
static void mr_iova(void)
{
	struct duo_end e;
	struct weft_mr *mr;
	struct duo_addr addr;
	struct weft_wr wr;
	uint64_t iova;

	duo_open(&e, NULL);
	iova = ((uintptr_t)e.buf & 4095) + (duo_side ? 0 : 4096ull << 20);
	need_ok(weft_mr_create(e.pd, e.buf + 8192, 65536, iova, 7, &mr));
	addr = duo_addr_of(&e, e.qp);
	addr.rkey = mr->rkey;
	addr.addr = iova;
	duo_publish(0, &addr);
	if (duo_side == 1) {
		struct weft_recv_wr recv = { .wr_id = 1,
					     .sge_len = 1,
					     .sge[0] = { iova + 1, 1000, mr->lkey } };

		need_ok(weft_qp_post_recv(e.qp, &recv, 1));
	}
	duo_sync();
	addr = duo_look(!duo_side, 0);
	duo_target(&e, &addr);
	if (duo_side == 0) {
		duo_fill(e.buf + 8192, 30000, 1);
		wr = duo_wr(&e, 1, WEFT_OP_WRITE, 0, 30000, 20000);
		wr.sge[0] = (struct weft_sge){ iova, 30000, mr->lkey };
		duo_do(&e, &wr, 0);
		wr = duo_wr(&e, 2, WEFT_OP_READ, 0, 30000, 20000);
		wr.sge[0] = (struct weft_sge){ iova + 35536, 30000, mr->lkey };
		duo_do(&e, &wr, 0);
		duo_check(e.buf + 8192 + 35536, 30000, 1);
		wr = duo_wr(&e, 3, WEFT_OP_SEND, 0, 1000, 0);
		wr.sge[0] = (struct weft_sge){ iova, 1000, mr->lkey };
		duo_do(&e, &wr, 0);
		wr.sge[0] = (struct weft_sge){ (uintptr_t)e.buf + 8192, 1000, mr->lkey };
		duo_do(&e, &wr, 5);
	} else {
		duo_done(e.rcq, 1, 0);
		duo_check(e.buf + 8192 + 1, 1000, 1);
	}
	duo_sync();
	duo_settle(&e);
	if (duo_side == 1)
		duo_check(e.buf + 8192 + 20000, 30000, 1);
	need_ok(weft_mr_destroy(mr));
	duo_close(&e);
}

/* Many regions come and go while others are used. */
static void mr_churn(void)
{
	struct duo_end e;
	struct weft_wr wr;
	struct weft_mr *mr;
	struct weft_cqe c;

	duo_open(&e, NULL);
	duo_meet(&e, !duo_side);
	for (uint32_t i = 0; i < 3000 && duo_side == 0; i++) {
		need_ok(weft_mr_create(e.pd, e.buf, 65536, (uintptr_t)e.buf, 1, &mr));
		wr = duo_wr(&e, i, i % 2 ? WEFT_OP_READ : WEFT_OP_WRITE, 0, 20000, 0);
		wr.sge[0].lkey = mr->lkey;
		duo_post(e.qp, &wr);
		if (i % 3)
			c = duo_next(e.scq);
		need_ok(weft_mr_destroy(mr));
		if (i % 3 == 0)
			c = duo_next(e.scq);
		need_eq(i, c.wr_id);
		need(c.status == 0 || (i % 3 == 0 && c.status == 5));
	}
	duo_sync();
	duo_close(&e);
}

/* Address handles */

static struct weft_gid gid_of(uint32_t host)
{
	struct weft_ip ip = { .raw = { 127, (uint8_t)(1 + host / 65536), (uint8_t)(host / 256),
				       (uint8_t)host } };
	struct weft_gid gid;

	weft_gid_encode(&ip, 0, duo_port_base(), &gid);
	return gid;
}

static void ah_rules(void)
{
	struct duo_end e;
	struct weft_pd *pd;
	struct weft_ah *a, *b, *c;
	struct weft_gid gid = gid_of(1), bad = { { 0 } };
	struct weft_ip away = { .raw = { 10, 1, 1, 1 } };
	uint16_t n;

	duo_open(&e, NULL);
	need_ok(weft_pd_create(e.card, &pd));
	need_ok(weft_ah_create(e.pd, &gid, &a));
	need_ok(weft_ah_create(e.pd, &gid, &b));
	n = weft_ah_number(a);
	need_eq(n, weft_ah_number(b));
	need(n != WEFT_DEV_AHN_UNKNOWN);
	gid = gid_of(2);
	need_ok(weft_ah_create(e.pd, &gid, &c));
	need(weft_ah_number(c) != n);
	need_ok(weft_ah_destroy(c));
	need_ok(weft_ah_destroy(a));
	need_eq(n, weft_ah_number(b));
	need_ok(weft_ah_destroy(b));
	need_eq(-EINVAL, weft_ah_create(e.pd, &bad, &a));
	memset(&bad, 0xff, sizeof(bad));
	need_eq(-EINVAL, weft_ah_create(e.pd, &bad, &a));
	weft_gid_encode(&away, 0, duo_port_base(),
			&bad); /* Cannot be reached from a loopback address. */
	need_eq(-EINVAL, weft_ah_create(e.pd, &bad, &a));
	need_ok(weft_ah_create(pd, &gid, &a));
	need_eq(-EBUSY, weft_pd_destroy(pd));
	need_ok(weft_ah_destroy(a));
	need_ok(weft_pd_destroy(pd));
	duo_close(&e);
}

static void ah_limit(void)
{
	static struct weft_ah *ah[WEFT_DEV_AH_MAX + 1];
	static bool seen[65536];
	struct duo_end e;
	struct weft_gid gid;
	uint32_t n;
	int err;

	duo_open(&e, NULL);
	for (n = 0; n <= WEFT_DEV_AH_MAX; n++) {
		gid = gid_of(n);
		err = weft_ah_create(e.pd, &gid, &ah[n]);
		if (err)
			break;
		need(!seen[weft_ah_number(ah[n])]);
		seen[weft_ah_number(ah[n])] = true;
	}
	need_eq(-ENOMEM, err);
	need_eq(WEFT_DEV_AH_MAX, n);
	need_ok(weft_ah_destroy(ah[1234]));
	need_ok(weft_ah_create(e.pd, &gid, &ah[1234]));
	for (uint32_t i = 0; i < n; i++)
		need_ok(weft_ah_destroy(ah[i]));
	duo_close(&e);
}

/* A receive names its sender by the handle of the receiver's domain, if there is one, and by GID in any case. */
static void ah_in_receives(void)
{
	struct duo_end e;
	struct duo_addr addr;
	struct weft_cqe c;
	struct weft_wr wr;
	struct weft_ah *pad, *ah = NULL;
	struct weft_gid gid = gid_of(3);

	duo_open(&e, NULL);
	addr = duo_addr_of(&e, e.qp);
	duo_publish(0, &addr);
	for (uint32_t i = 0; i < 3; i++)
		duo_recv(&e, i, 0, 100);
	duo_sync();
	addr = duo_look(!duo_side, 0);
	if (duo_side == 0) {
		need_ok(weft_ah_create(e.pd, &gid,
				       &pad)); /* Numbers differ between the two sides. */
		duo_target(&e, &addr);
		for (uint32_t i = 0; i < 3; i++) {
			wr = duo_wr(&e, i, WEFT_OP_SEND, 0, 10, 0);
			duo_do(&e, &wr, 0);
			duo_wait_step(1, i + 1);
		}
		need_ok(weft_ah_destroy(pad));
	} else {
		for (uint32_t i = 0; i < 3; i++) {
			c = duo_next(e.rcq);
			need_eq(0, c.status);
			need(!memcmp(&c.gid, &addr.gid, sizeof(c.gid)));
			need_eq(addr.qpn, c.src_qpn);
			need_eq(i == 1 ? weft_ah_number(ah) : WEFT_DEV_AHN_UNKNOWN, c.ahn);
			if (i == 0)
				need_ok(weft_ah_create(e.pd, &addr.gid, &ah));
			else if (i == 1)
				need_ok(weft_ah_destroy(ah));
			duo_step(i + 1);
		}
	}
	duo_sync();
	duo_close(&e);
}

static void pd_limit(void)
{
	struct weft_pd *pd[WEFT_DEV_PD_MAX];
	struct duo_end e;
	uint32_t n = 0;
	int err;

	duo_open(&e, NULL);
	while (!(err = weft_pd_create(e.card, &pd[n])))
		need(++n < WEFT_DEV_PD_MAX);
	need_eq(-ENOMEM, err);
	need_eq(WEFT_DEV_PD_MAX - 1, n);
	while (n)
		need_ok(weft_pd_destroy(pd[--n]));
	duo_close(&e);
}

const struct duo_case link_keys_cases[] = {
	{ .name = "mr__keys", .side = { mr_keys } },
	{ .name = "mr__limit", .side = { mr_limit } },
	{ .name = "mr__rules", .side = { mr_rules } },
	{ .name = "mr__iova", .side = { mr_iova, mr_iova } },
	{ .name = "mr__churn", .side = { mr_churn, mr_churn } },
	{ .name = "ah__rules", .side = { ah_rules } },
	{ .name = "ah__limit", .side = { ah_limit } },
	{ .name = "ah__in_receives", .side = { ah_in_receives, ah_in_receives } },
	{ .name = "pd__limit", .side = { pd_limit } },
	{ .name = NULL },
};
