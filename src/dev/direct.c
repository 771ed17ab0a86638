/* SPDX-License-Identifier: BSD-2-Clause */
/* Direct copies: from a GPU's memory to a GPU's memory, by a copy engine; and which of them are hauls instead.
 *
 * A copy is started under the card's lock (two to three microseconds), and its end is an event that is asked for, a third of
 * a microsecond, whenever the card works and it can have happened. Copies of a stream end in order, so only the oldest of each is asked. One
 * stream keeps a link between two GPUs busy; there are several so that a small copy need not wait for large ones. */
#include "dev/gpu.h"

#include "dev/conf.h"
#include "dev/haul.h"

/* No copy is faster than these: until then to ask would be in vain. (An H200 takes 7.4 us, and 320 GB/s.) */
#define COPY_NS       5000u
#define COPY_BYTES_NS 500u

static struct weft_gpu_stream *choose(struct weft_gpu *g, uint32_t len)
{
	struct weft_gpu_stream *st =
		&g->stream[len <= WEFT_GPU_SMALL ? 0 : 1 + g->turn++ % (WEFT_GPU_STREAMS - 1)];

	return st->tail - st->head < WEFT_GPU_COPIES ? st : NULL;
}

static bool start(const struct weft_gpu *g, const struct weft_gpu_stream *st, void *event,
		  uint64_t to, uint64_t from, uint32_t len)
{
	const struct weft_cuda *cuda = weft_cuda_get();
	void *old;
	bool ok;

	if (cuda->cuCtxPushCurrent_v2(g->ctx))
		return false;
	ok = !cuda->cuMemcpyAsync(to, from, len, st->stream) &&
	     !cuda->cuEventRecord(event, st->stream);
	cuda->cuCtxPopCurrent_v2(&old);
	return ok;
}

static enum weft_direct start_haul(struct weft_card *card, const struct weft_gid *to,
				   const struct weft_wqe *wqe, void *here, uint64_t cookie)
{
	const struct weft_wr *wr = &wqe->wr;
	struct weft_haul_to there;
	enum weft_direct found;

	if (wqe->len < WEFT_HAUL_MIN || !weft_haul_is_on() ||
	    !weft_share_find_host(card, to, wr, wqe->len, &there))
		return WEFT_DIRECT_NO;
	found = weft_haul_start(card, &there, here, wqe->len, wr->op == WEFT_OP_READ, cookie,
				wqe->serial);
	if (found != WEFT_DIRECT_STARTED)
		weft_share_release(there.share);
	return found;
}

enum weft_direct weft_direct_start(struct weft_card *card, const struct weft_gid *to,
				   const struct weft_wqe *wqe, uint64_t cookie)
{
	const struct weft_wr *wr = &wqe->wr;
	const struct weft_region *r;
	struct weft_gpu_stream *st;
	struct weft_import *import;
	struct weft_gpu *g;
	enum weft_direct found;
	uint64_t here, there;
	struct weft_copy *c;
	bool read = wr->op == WEFT_OP_READ;

	if (wr->is_inline || wr->sge_len != 1 || !wqe->len)
		return WEFT_DIRECT_NO;
	r = weft_region_find(card, wr->sge[0].lkey, false);
	if (!r)
		return WEFT_DIRECT_NO;
	here = (uintptr_t)r->mr.addr + (wr->sge[0].addr - r->mr.iova);
	if (!r->gpu) {
		found = start_haul(card, to, wqe, (void *)(uintptr_t)here, cookie);
		if (found != WEFT_DIRECT_NO)
			return found;
	}
	if (!card->gpus || weft_conf_get()->gpu != WEFT_CONF_GPU_AUTO ||
	    (r->gpu ? !r->gpu->gpu : !r->pinned))
		return WEFT_DIRECT_NO;
	g = r->gpu ? r->gpu->gpu : card->gpus;
	if (r->gpu ? !weft_mem_is_alive(r->gpu, (const void *)(uintptr_t)here)
		   : weft_mem_pinned((const void *)(uintptr_t)here, wqe->len) != r->pinned)
		return WEFT_DIRECT_LOCAL;
	st = choose(g, wqe->len);
	if (!st)
		return WEFT_DIRECT_LATER;
	found = weft_share_find(card, to, g, wr, wqe->len, &there, &import);
	if (found != WEFT_DIRECT_STARTED)
		return found;
	c = &st->copy[st->tail % WEFT_GPU_COPIES];
	if (!start(g, st, c->event, read ? here : there, read ? there : here, wqe->len)) {
		if (import)
			import->busy--;
		return WEFT_DIRECT_LOCAL;
	}
	c->cookie = cookie;
	c->serial = wqe->serial;
	c->import = import;
	c->stale = false;
	c->due = card->now + COPY_NS + wqe->len / COPY_BYTES_NS;
	st->tail++;
	card->moving++;
	return WEFT_DIRECT_STARTED;
}

static void poll_stream(struct weft_card *card, struct weft_gpu_stream *st)
{
	const struct weft_cuda *cuda = weft_cuda_get();

	while (st->head != st->tail) {
		struct weft_copy c = st->copy[st->head % WEFT_GPU_COPIES];
		int rc = card->now < c.due ? WEFT_CUDA_NOT_READY : cuda->cuEventQuery(c.event);

		if (rc == WEFT_CUDA_NOT_READY)
			return;
		st->head++;
		if (c.stale)
			continue;
		if (c.import)
			c.import->busy--;
		card->moving--;
		weft_sq_on_moved(card, c.cookie, c.serial, rc ? WEFT_MOVED_FAILED : WEFT_MOVED);
	}
}

/* A copy engine does not stop: what it still moves is memory that is mapped as long as it does. */
void weft_direct_cancel(struct weft_card *card, const struct weft_wqe *wqe, uint64_t cookie)
{
	weft_haul_cancel(card, cookie, wqe->serial);
}

bool weft_direct_poll(struct weft_card *card)
{
	weft_haul_poll(card);
	for (struct weft_gpu *g = card->gpus; g; g = g->next)
		for (uint32_t s = 0; s < WEFT_GPU_STREAMS; s++)
			poll_stream(card, &g->stream[s]);
	return card->moving;
}
