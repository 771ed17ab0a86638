/* SPDX-License-Identifier: BSD-2-Clause */
/* Protection domains and memory regions.
 *
 * A key is 24 bits: the lowest says local (0) or remote (1), then 18 bits of index and 5 of generation. An
 * index that was freed goes to the end of a queue, so a stale key finds nothing for a long time and then,
 * thirty-one times out of thirty-two, a wrong generation.
 *
 * Every access to an application's memory on behalf of a work request goes through the functions here. */
#include "dev/core.h"

#include "base/assert.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define REGION_PAGE 1024u
#define INDEX_BITS  18u
#define GEN_MASK    31u
#define REUSE_AFTER 4096u /* Freed indexes that wait before the first is used again. */

static_assert(WEFT_DEV_MR_MAX <= 1u << INDEX_BITS, "an index fits into its part of the key");

/* Protection domains */

int weft_pd_create(struct weft_card *card, struct weft_pd **pd_out)
{
	struct weft_pd *pd;
	int err = 0;

	if (card->dead)
		return -EIO;
	pd = mmap(NULL, sizeof(*pd), PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (pd == MAP_FAILED)
		return -ENOMEM;
	pd->card = card;
	weft_card_lock(card);
	if (card->pds >= WEFT_DEV_PD_MAX) {
		err = -ENOMEM;
	} else {
		card->pds++;
		pd->id = ++card->pd_last;
		pd->next_on_card = card->pd_list;
		card->pd_list = pd;
	}
	weft_card_unlock(card);
	if (err) {
		munmap(pd, sizeof(*pd));
		return err;
	}
	*pd_out = pd;
	return 0;
}

int weft_pd_destroy(struct weft_pd *pd)
{
	struct weft_card *card = pd->card;
	struct weft_pd **at = &card->pd_list;

	weft_card_lock(card);
	if (pd->refs) {
		weft_card_unlock(card);
		return -EBUSY;
	}
	while (*at != pd)
		at = &(*at)->next_on_card;
	*at = pd->next_on_card;
	card->pds--;
	weft_card_unlock(card);
	munmap(pd, sizeof(*pd));
	return 0;
}

/* Regions */

static struct weft_region *region_at(struct weft_card *card, uint32_t index)
{
	return &card->regions[index / REGION_PAGE][index % REGION_PAGE];
}

static struct weft_region *region_of(const struct weft_mr *mr)
{
	static_assert(!offsetof(struct weft_region, mr), "the one begins with the other");
	return (struct weft_region *)(uintptr_t)mr;
}

static int region_alloc(struct weft_card *card, uint32_t *index_out)
{
	uint32_t i;

	if (card->regions_free &&
	    (card->regions_free > REUSE_AFTER || card->regions_len == WEFT_DEV_MR_MAX)) {
		i = card->region_free_head;
		card->region_free_head = region_at(card, i)->next_free;
		card->regions_free--;
		*index_out = i;
		return 0;
	}
	if (card->regions_len == WEFT_DEV_MR_MAX)
		return -ENOMEM;
	if (!card->regions) {
		card->regions = calloc(WEFT_DEV_MR_MAX / REGION_PAGE, sizeof(struct weft_region *));
		if (!card->regions)
			return -ENOMEM;
	}
	i = card->regions_len ? card->regions_len : 1; /* No key is 0. */
	for (uint32_t page = card->regions_len ? i / REGION_PAGE : 0; page <= i / REGION_PAGE;
	     page++) {
		if (card->regions[page])
			continue;
		card->regions[page] = calloc(REGION_PAGE, sizeof(struct weft_region));
		if (!card->regions[page])
			return -ENOMEM;
	}
	card->regions_len = i + 1;
	*index_out = i;
	return 0;
}

static void region_free(struct weft_card *card, uint32_t index)
{
	struct weft_region *r = region_at(card, index);

	r->live = false;
	r->gen = (uint8_t)((r->gen + 1) & GEN_MASK);
	if (card->regions_free++)
		region_at(card, card->region_free_tail)->next_free = index;
	else
		card->region_free_head = index;
	card->region_free_tail = index;
}

struct weft_region *weft_region_at(struct weft_card *card, uint32_t index)
{
	return index < card->regions_len && card->regions[index / REGION_PAGE]
		       ? region_at(card, index)
		       : NULL;
}

struct weft_region *weft_region_find(struct weft_card *card, uint32_t key, bool remote)
{
	uint32_t index = key >> 1 & (WEFT_DEV_MR_MAX - 1);
	struct weft_region *r;

	if ((key & 1) != remote || key >> 24 || index >= card->regions_len || !index)
		return NULL;
	r = region_at(card, index);
	return r->live && r->gen == key >> (1 + INDEX_BITS) ? r : NULL;
}

/* A card would pin the pages and fail where there are none. We cannot pin, but can look. */
static bool is_mapped(const void *addr, uint64_t length)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t at = (uintptr_t)addr & ~(page - 1), end = (uintptr_t)addr + length;
	unsigned char vec[4096];

	while (at < end) {
		size_t n = WEFT_MIN(end - at, page * sizeof(vec));

		if (mincore((void *)at, n, vec) && errno != EAGAIN)
			return false;
		at += (n + page - 1) & ~(page - 1);
	}
	return true;
}

int weft_mr_create(struct weft_pd *pd, void *addr, uint64_t length, uint64_t iova, uint32_t access,
		   struct weft_mr **mr_out)
{
	struct weft_card *card = pd->card;
	struct weft_region *r;
	struct weft_gpu_mem *gpu;
	uint32_t index, caps = card->info->caps, key;
	uint64_t pinned;
	int err;

	if (card->dead)
		return -EIO;
	if (access &
	    ~(WEFT_ACCESS_LOCAL_WRITE | WEFT_ACCESS_REMOTE_WRITE | WEFT_ACCESS_REMOTE_READ))
		return -EOPNOTSUPP;
	if ((access & WEFT_ACCESS_REMOTE_READ && !(caps & WEFT_CAP_RDMA_READ)) ||
	    (access & WEFT_ACCESS_REMOTE_WRITE && !(caps & WEFT_CAP_RDMA_WRITE)))
		return -EOPNOTSUPP;
	if (access & WEFT_ACCESS_REMOTE_WRITE && !(access & WEFT_ACCESS_LOCAL_WRITE))
		return -EINVAL;
	if (((uintptr_t)addr ^ iova) & 4095 || length > UINTPTR_MAX - (uintptr_t)addr ||
	    length > UINT64_MAX - iova || (!length && !((uintptr_t)addr & 4095)))
		return -EINVAL;
	err = weft_mem_classify(card, addr, length, &gpu);
	if (err)
		return err;
	if (!gpu && !is_mapped(addr, length))
		return -EFAULT;
	pinned = gpu ? 0 : weft_mem_pinned(addr, length);
	weft_card_lock(card);
	err = region_alloc(card, &index);
	if (!err) {
		r = region_at(card, index);
		key = (uint32_t)r->gen << (1 + INDEX_BITS) | index << 1;
		r->mr = (struct weft_mr){
			.pd = pd,
			.addr = addr,
			.length = length,
			.iova = iova,
			.lkey = key,
			.rkey = key | 1,
			.access = access,
		};
		r->live = true;
		r->gpu = gpu;
		r->pinned = pinned;
		weft_share_add(card, r);
		pd->refs++;
		*mr_out = &r->mr;
	}
	weft_card_unlock(card);
	if (err)
		weft_mem_forget(gpu);
	return err;
}

int weft_mr_destroy(struct weft_mr *mr)
{
	struct weft_region *r = region_of(mr);
	struct weft_gpu_mem *gpu = r->gpu;
	struct weft_pd *pd = mr->pd;
	struct weft_card *card = pd->card;

	weft_card_lock(card);
	if (card->unsettled)
		(void)weft_mem_settle(card);
	weft_share_remove(card, r);
	weft_sq_cancel_mr(card, pd, mr->lkey);
	r->gpu = NULL;
	region_free(card, mr->lkey >> 1 & (WEFT_DEV_MR_MAX - 1));
	pd->refs--;
	weft_card_unlock(card);
	weft_mem_forget(gpu);
	return 0;
}

bool weft_mr_is_gpu(const struct weft_mr *mr)
{
	return region_of(mr)->gpu;
}

/* Use */

int weft_region_check(struct weft_card *card, const struct weft_pd *pd, const struct weft_sge *sge,
		      uint32_t access)
{
	const struct weft_region *r;

	if (!sge->len)
		return 0;
	r = weft_region_find(card, sge->lkey, false);
	if (!r || r->mr.pd != pd || (r->mr.access & access) != access || sge->addr < r->mr.iova ||
	    sge->addr - r->mr.iova > r->mr.length ||
	    sge->len > r->mr.length - (sge->addr - r->mr.iova))
		return -EACCES;
	return 0;
}

void *weft_region_remote(struct weft_card *card, const struct weft_pd *pd, uint32_t rkey,
			 uint64_t addr, uint64_t len, uint32_t access,
			 const struct weft_gpu_mem **gpu_out)
{
	const struct weft_region *r = weft_region_find(card, rkey, true);

	if (!r || r->mr.pd != pd || (r->mr.access & access) != access || addr < r->mr.iova ||
	    addr - r->mr.iova > r->mr.length || len > r->mr.length - (addr - r->mr.iova))
		return NULL;
	*gpu_out = r->gpu;
	return (uint8_t *)r->mr.addr + (addr - r->mr.iova);
}

/* The piece of an SGE list that [*off, ..) begins with: its region and length. NULL: there is none, or its region has gone. */
static const struct weft_region *next_piece(struct weft_card *card, const struct weft_sge *sge,
					    uint32_t n, uint32_t off, uint32_t len,
					    uint8_t **at_out, uint32_t *len_out)
{
	const struct weft_region *r;
	uint32_t i = 0;

	while (i < n && off >= sge[i].len)
		off -= sge[i++].len;
	if (i == n || !len)
		return NULL;
	r = weft_region_find(card, sge[i].lkey, false);
	if (!r)
		return NULL;
	*at_out = (uint8_t *)r->mr.addr + (sge[i].addr - r->mr.iova) + off;
	*len_out = WEFT_MIN(sge[i].len - off, len);
	return r;
}

uint32_t weft_sges_slice(struct weft_card *card, const struct weft_sge *sge, uint32_t n,
			 uint32_t off, uint32_t len, struct iovec *iov_out)
{
	const struct weft_region *r;
	uint32_t out = 0, part;
	uint8_t *at;

	while ((r = next_piece(card, sge, n, off, len, &at, &part))) {
		at = weft_mem_get(r->gpu, at, part);
		if (!at)
			break;
		iov_out[out].iov_base = at;
		iov_out[out++].iov_len = part;
		off += part;
		len -= part;
	}
	return out;
}

uint32_t weft_sges_put(struct weft_card *card, const struct weft_sge *sge, uint32_t n, uint32_t off,
		       const void *data, uint32_t len)
{
	const struct weft_region *r;
	uint32_t done = 0, part;
	uint8_t *at;

	while ((r = next_piece(card, sge, n, off + done, len - done, &at, &part))) {
		if (!weft_mem_put(card, r->gpu, at, (const uint8_t *)data + done, part))
			break;
		done += part;
	}
	return done;
}

void weft_regions_fini(struct weft_card *card)
{
	if (!card->regions)
		return;
	for (uint32_t i = 1; i < card->regions_len; i++)
		if (region_at(card, i)->live)
			weft_mem_forget(region_at(card, i)->gpu);
	for (uint32_t i = 0; i < WEFT_DEV_MR_MAX / REGION_PAGE; i++)
		free(card->regions[i]);
	free(card->regions);
	card->regions = NULL;
}
