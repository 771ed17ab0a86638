/* SPDX-License-Identifier: BSD-2-Clause */
/* The network in motion: events, ports and queues. Its shape is in fabric_topo.c.
 *
 * A port sends one frame at a time and forwards it when its last bit is out. What waits is in two queues,
 * control before data. An event is raised when a frame reaches the far end of a link, and when a port that
 * has more to send is done with a frame; a port that runs dry raises none, it only remembers until when
 * it is busy. Cards are ports without a queue: they ask their host for the next frame each time.
 *
 * Time is counted in picoseconds. A frame takes bytes * 8e12 / rate of them; what the division leaves is
 * carried over to the port's next frame, so that a stream of frames keeps the exact rate of the link.
 * Events at the same time come in the order in which they were raised. */
#include "wire/sim/fabric.h"

#include "base/assert.h"
#include "base/prng.h"
#include "wire/sim/fabric_topo.h"

#include <stdlib.h>
#include <string.h>

#define PS_PER_NS 1000u
#define PS_PER_S  1000000000000u
#define PS_NEVER  UINT64_MAX
#define SLAB      1024u
#define BYTES_MAX 1000000u /* Keeps bytes * 8 * PS_PER_S within 64 bits. */

struct queue {
	struct weft_fabric_frame *head, *tail;
	uint32_t bytes;
};

struct port {
	uint64_t bps;
	uint64_t busy_until; /* ps */
	uint64_t remainder; /* Of the last division, below bps. */
	uint64_t dead_at; /* ps; PS_NEVER: the link works. */
	uint32_t to; /* Node at the other end. */
	bool armed; /* A PORT_FREE event is under way for busy_until. */
	struct queue data, control; /* Not used by the cards of hosts. */
};

enum event_kind {
	ARRIVE, /* frame is at the far end of port `who` */
	PORT_FREE, /* port `who` has sent its frame and has another one waiting */
	TIMER, /* of host `who` */
};

struct event {
	uint64_t at; /* ps */
	uint64_t order;
	struct weft_fabric_frame *frame;
	uint32_t who;
	enum event_kind kind;
};

struct timer {
	weft_ns want; /* What the owner asked for. */
	weft_ns armed; /* The event that stands for it, never later; others are stale. */
};

struct slab {
	struct slab *next;
	struct weft_fabric_frame frames[SLAB];
};

struct weft_fabric {
	struct weft_fabric_cfg cfg;
	const struct weft_fabric_ops *ops; /* borrows */
	void *owner; /* borrows */
	struct weft_topo topo;
	struct port *ports; /* owns */
	uint64_t *switch_seeds; /* owns */
	struct timer *timers; /* owns; by host */
	struct event *heap; /* owns; four-ary */
	size_t heap_len, heap_cap;
	uint64_t next_order;
	uint64_t now; /* ps */
	struct slab *slabs; /* owns */
	struct weft_fabric_frame *free;
	struct weft_prng prng; /* Loss and marks. */
	struct weft_prng
		core_prng; /* Which links break; apart, so that breaking none changes nothing else. */
	struct weft_fabric_stats stats;
	uint64_t trace_hash;
};

static uint64_t mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static void *alloc_array(size_t n, size_t size)
{
	void *p = calloc(n, size);

	weft_assert(p);
	return p;
}

/* Events */

static inline bool is_before(const struct event *a, const struct event *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void push(struct weft_fabric *f, uint64_t at, enum event_kind kind, uint32_t who,
		 struct weft_fabric_frame *frame)
{
	struct event ev = {
		.at = at, .order = f->next_order++, .frame = frame, .who = who, .kind = kind
	};
	size_t i;

	if (f->heap_len == f->heap_cap) {
		f->heap_cap = f->heap_cap ? 2 * f->heap_cap : 4096;
		f->heap = realloc(f->heap, f->heap_cap * sizeof(*f->heap));
		weft_assert(f->heap);
	}
	for (i = f->heap_len++; i > 0; i = (i - 1) / 4) {
		if (!is_before(&ev, &f->heap[(i - 1) / 4]))
			break;
		f->heap[i] = f->heap[(i - 1) / 4];
	}
	f->heap[i] = ev;
}

static struct event pop(struct weft_fabric *f)
{
	struct event first = f->heap[0], last = f->heap[--f->heap_len];
	size_t i = 0;

	for (;;) {
		size_t child = 4 * i + 1, best = child;

		if (child >= f->heap_len)
			break;
		for (size_t k = child + 1; k < child + 4 && k < f->heap_len; k++)
			if (is_before(&f->heap[k], &f->heap[best]))
				best = k;
		if (!is_before(&f->heap[best], &last))
			break;
		f->heap[i] = f->heap[best];
		i = best;
	}
	f->heap[i] = last;
	return first;
}

/* Frames */

static struct weft_fabric_frame *get_frame(struct weft_fabric *f)
{
	struct weft_fabric_frame *frame = f->free;

	if (!frame) {
		struct slab *slab = alloc_array(1, sizeof(*slab));

		slab->next = f->slabs;
		f->slabs = slab;
		for (size_t i = 0; i < SLAB; i++) {
			slab->frames[i].next = f->free;
			f->free = &slab->frames[i];
		}
		frame = f->free;
	}
	f->free = frame->next;
	return frame;
}

static void put_frame(struct weft_fabric *f, struct weft_fabric_frame *frame)
{
	frame->next = f->free;
	f->free = frame;
}

/* FNV with words for bytes and a rotation, which carries the high bits down. */
static void trace(struct weft_fabric *f, uint32_t what, const struct weft_fabric_frame *frame)
{
	const uint64_t words[3] = {
		f->now,
		((uint64_t)what << 56) | ((uint64_t)frame->trimmed << 55) |
			((uint64_t)frame->ce << 54) | ((uint64_t)frame->control << 53) |
			((uint64_t)frame->entropy << 32) | frame->bytes,
		((uint64_t)frame->src << 32) | frame->dst,
	};

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(words); i++) {
		uint64_t h = (f->trace_hash ^ words[i]) * 0x100000001b3u;

		f->trace_hash = (h << 29) | (h >> 35);
	}
}

enum {
	TRACE_SENT = 1,
	TRACE_ARRIVED,
	TRACE_LOST
};

static void lose(struct weft_fabric *f, struct weft_fabric_frame *frame, enum weft_fabric_loss why)
{
	f->stats.lost[why]++;
	trace(f, TRACE_LOST + (uint32_t)why, frame);
	f->ops->on_lost(f->owner, frame, why, f->now / PS_PER_NS);
	put_frame(f, frame);
}

/* Ports */

static void enqueue(struct queue *q, struct weft_fabric_frame *frame)
{
	frame->next = NULL;
	if (q->head)
		q->tail->next = frame;
	else
		q->head = frame;
	q->tail = frame;
	q->bytes += frame->bytes;
}

static struct weft_fabric_frame *dequeue(struct queue *q)
{
	struct weft_fabric_frame *frame = q->head;

	if (frame) {
		q->head = frame->next;
		q->bytes -= frame->bytes;
	}
	return frame;
}

/* Put `frame` on the link now. */
static void transmit(struct weft_fabric *f, uint32_t port, struct weft_fabric_frame *frame)
{
	struct port *p = &f->ports[port];
	uint64_t bits = (uint64_t)frame->bytes * 8 * PS_PER_S + p->remainder;

	p->busy_until = f->now + bits / p->bps;
	p->remainder = bits % p->bps;
	push(f, p->busy_until + f->cfg.hop * PS_PER_NS, ARRIVE, port, frame);
}

static void arm(struct weft_fabric *f, uint32_t port)
{
	f->ports[port].armed = true;
	push(f, f->ports[port].busy_until, PORT_FREE, port, NULL);
}

/* `waiting` bytes were in the data queue when the frame was taken out, its own included. */
static void mark(struct weft_fabric *f, struct weft_fabric_frame *frame, uint32_t waiting)
{
	uint32_t low = f->cfg.ecn_low_bytes, high = f->cfg.ecn_high_bytes;

	if (!high || waiting <= low)
		return;
	if (waiting >= high || weft_prng_below(&f->prng, high - low) < waiting - low) {
		frame->ce = true;
		f->stats.marks++;
	}
}

static void switch_port_send(struct weft_fabric *f, uint32_t port)
{
	struct port *p = &f->ports[port];
	struct weft_fabric_frame *frame = dequeue(&p->control);

	if (!frame) {
		uint32_t waiting = p->data.bytes;

		frame = dequeue(&p->data);
		if (!frame)
			return;
		mark(f, frame, waiting);
	}
	transmit(f, port, frame);
	if (p->control.head || p->data.head)
		arm(f, port);
}

/* The card must look again after each frame, for only its host knows whether there is more. */
static void card_send(struct weft_fabric *f, uint32_t host)
{
	struct weft_fabric_frame want = { 0 }, *frame;

	if (!f->ops->next_frame(f->owner, host, f->now / PS_PER_NS, &want))
		return;
	weft_assert(want.dst < f->topo.hosts && want.dst != host);
	weft_assert(want.bytes && want.bytes <= BYTES_MAX && want.head_bytes <= want.bytes);
	want.src = host;
	want.ce = want.trimmed = want.entered = false;
	want.express = want.control;
	want.flow_hash =
		mix((((uint64_t)want.src << 40) ^ ((uint64_t)want.dst << 16) ^ want.entropy) +
		    0x9e3779b97f4a7c15u);
	want.sent_at = f->now / PS_PER_NS;
	frame = get_frame(f);
	*frame = want;
	f->stats.sent++;
	f->stats.sent_bytes += frame->bytes;
	trace(f, TRACE_SENT, frame);
	transmit(f, host, frame);
	arm(f, host);
}

static void port_send(struct weft_fabric *f, uint32_t port)
{
	if (port < f->topo.hosts)
		card_send(f, port);
	else
		switch_port_send(f, port);
}

/* Put `frame` in its queue, or cut it, or lose it. True if it now waits. */
static bool admit(struct weft_fabric *f, struct port *p, struct weft_fabric_frame *frame)
{
	if (!frame->express && p->data.bytes + frame->bytes > f->cfg.data_bytes_max) {
		if (!f->cfg.trim || !frame->head_bytes) {
			lose(f, frame, WEFT_FABRIC_LOSS_DATA_FULL);
			return false;
		}
		frame->bytes = frame->head_bytes;
		frame->trimmed = frame->express = true;
		f->stats.trims++;
	}
	if (!frame->express) {
		enqueue(&p->data, frame);
		f->stats.data_bytes_peak = WEFT_MAX(f->stats.data_bytes_peak, p->data.bytes);
		return true;
	}
	if (p->control.bytes + frame->bytes > f->cfg.control_bytes_max) {
		lose(f, frame, WEFT_FABRIC_LOSS_CONTROL_FULL);
		return false;
	}
	enqueue(&p->control, frame);
	f->stats.control_bytes_peak = WEFT_MAX(f->stats.control_bytes_peak, p->control.bytes);
	return true;
}

static uint32_t route(const struct weft_fabric *f, uint32_t index,
		      const struct weft_fabric_frame *frame)
{
	const struct weft_topo_switch *sw = &f->topo.sw[index];
	uint64_t hash;

	if (frame->dst - sw->first_host < sw->hosts)
		return sw->port + (frame->dst - sw->first_host) / sw->per_down;
	hash = mix(frame->flow_hash ^ f->switch_seeds[index]);
	return sw->port + sw->downs + (uint32_t)(((hash >> 32) * sw->ups) >> 32);
}

static void forward(struct weft_fabric *f, uint32_t index, struct weft_fabric_frame *frame)
{
	uint32_t port;
	struct port *p;

	if (!frame->entered) {
		frame->entered = true;
		if (weft_prng_chance(&f->prng, f->cfg.loss_ppm)) {
			lose(f, frame, WEFT_FABRIC_LOSS_RANDOM);
			return;
		}
	}
	port = route(f, index, frame);
	p = &f->ports[port];
	if (!admit(f, p, frame) || p->armed)
		return;
	if (p->busy_until > f->now)
		arm(f, port);
	else
		switch_port_send(f, port);
}

static void arrive(struct weft_fabric *f, uint32_t port, struct weft_fabric_frame *frame)
{
	const struct port *p = &f->ports[port];

	f->stats.hops++;
	if (f->now >= p->dead_at) {
		lose(f, frame, WEFT_FABRIC_LOSS_BLACKHOLE);
		return;
	}
	if (p->to >= f->topo.hosts) {
		forward(f, p->to - f->topo.hosts, frame);
		return;
	}
	f->stats.arrived++;
	f->stats.arrived_bytes += frame->bytes;
	trace(f, TRACE_ARRIVED, frame);
	f->ops->on_frame(f->owner, frame, f->now / PS_PER_NS);
	put_frame(f, frame);
}

/* Timers
 *
 * Most deadlines move away long before they come. So a timer that is set later leaves its event alone,
 * and the event, when it comes, finds out and is raised anew; one that is set earlier gets another event
 * and the old one turns stale. */

static void arm_timer(struct weft_fabric *f, uint32_t host)
{
	struct timer *t = &f->timers[host];
	uint64_t at = t->want > PS_NEVER / PS_PER_NS ? PS_NEVER : t->want * PS_PER_NS;

	if (at == PS_NEVER)
		return;
	t->armed = t->want;
	push(f, WEFT_MAX(at, f->now), TIMER, host, NULL);
}

static void on_timer_event(struct weft_fabric *f, uint32_t host)
{
	struct timer *t = &f->timers[host];
	weft_ns now = f->now / PS_PER_NS;

	if (t->armed > now)
		return;
	t->armed = WEFT_NS_NEVER;
	if (t->want > now) {
		arm_timer(f, host);
		return;
	}
	t->want = WEFT_NS_NEVER;
	f->ops->on_timer(f->owner, host, now);
}

/* The outside */

struct weft_fabric *weft_fabric_create(const struct weft_fabric_cfg *cfg,
				       const struct weft_fabric_ops *ops, void *owner)
{
	struct weft_fabric *f = alloc_array(1, sizeof(*f));
	struct weft_prng prng;
	const char *why;

	weft_assert(weft_fabric_cfg_check(cfg, &why) == 0);
	f->cfg = *cfg;
	f->ops = ops;
	f->owner = owner;
	weft_topo_init(&f->topo, cfg);
	f->ports = alloc_array(f->topo.ports, sizeof(*f->ports));
	f->switch_seeds = alloc_array(f->topo.switches, sizeof(*f->switch_seeds));
	f->timers = alloc_array(f->topo.hosts, sizeof(*f->timers));
	weft_prng_init(&prng, cfg->seed);
	for (uint32_t i = 0; i < f->topo.switches; i++)
		f->switch_seeds[i] = weft_prng_next(&prng);
	weft_prng_init(&f->prng, weft_prng_next(&prng));
	weft_prng_init(&f->core_prng, weft_prng_next(&prng));
	for (uint32_t i = 0; i < f->topo.ports; i++) {
		f->ports[i].bps = cfg->link_bps;
		f->ports[i].dead_at = PS_NEVER;
		f->ports[i].to = f->topo.to[i];
	}
	for (uint32_t i = 0; i < cfg->slow_links; i++) {
		uint64_t bps =
			(uint64_t)((unsigned __int128)cfg->link_bps * cfg->slow_ppm / 1000000u);

		f->ports[f->topo.core_up[i]].bps = WEFT_MAX(bps, 1u);
		f->ports[f->topo.core_down[i]].bps = WEFT_MAX(bps, 1u);
	}
	for (uint32_t i = 0; i < f->topo.hosts; i++)
		f->timers[i] = (struct timer){ .want = WEFT_NS_NEVER, .armed = WEFT_NS_NEVER };
	f->trace_hash = 0xcbf29ce484222325u;
	return f;
}

void weft_fabric_destroy(struct weft_fabric *f)
{
	while (f->slabs) {
		struct slab *slab = f->slabs;

		f->slabs = slab->next;
		free(slab);
	}
	weft_topo_fini(&f->topo);
	free(f->ports);
	free(f->switch_seeds);
	free(f->timers);
	free(f->heap);
	free(f);
}

void weft_fabric_wake(struct weft_fabric *f, uint32_t host)
{
	weft_assert(host < f->topo.hosts);
	if (!f->ports[host].armed)
		card_send(f, host);
}

bool weft_fabric_is_busy(const struct weft_fabric *f, uint32_t host)
{
	return f->ports[host].armed;
}

void weft_fabric_set_timer(struct weft_fabric *f, uint32_t host, weft_ns at)
{
	weft_assert(host < f->topo.hosts);
	f->timers[host].want = at;
	if (at < f->timers[host].armed)
		arm_timer(f, host);
}

void weft_fabric_blackhole(struct weft_fabric *f, uint32_t links, weft_ns at)
{
	uint32_t n = f->topo.core_links, *order = alloc_array(n, sizeof(*order));

	weft_assert(links <= n && at <= PS_NEVER / PS_PER_NS);
	for (uint32_t i = 0; i < n; i++)
		order[i] = i;
	for (uint32_t i = 0; i < links; i++) {
		uint32_t pick = i + weft_prng_below(&f->core_prng, n - i), link = order[pick];

		order[pick] = order[i];
		f->ports[f->topo.core_up[link]].dead_at = at * PS_PER_NS;
		f->ports[f->topo.core_down[link]].dead_at = at * PS_PER_NS;
	}
	free(order);
}

bool weft_fabric_step(struct weft_fabric *f)
{
	struct event ev;

	if (!f->heap_len)
		return false;
	ev = pop(f);
	f->now = ev.at;
	switch (ev.kind) {
	case ARRIVE:
		arrive(f, ev.who, ev.frame);
		break;
	case PORT_FREE:
		f->ports[ev.who].armed = false;
		port_send(f, ev.who);
		break;
	case TIMER:
		on_timer_event(f, ev.who);
		break;
	}
	return true;
}

void weft_fabric_run_until(struct weft_fabric *f, weft_ns until)
{
	weft_assert(until <= PS_NEVER / PS_PER_NS && until * PS_PER_NS >= f->now);
	while (f->heap_len && f->heap[0].at <= until * PS_PER_NS)
		weft_fabric_step(f);
	f->now = until * PS_PER_NS;
}

weft_ns weft_fabric_now(const struct weft_fabric *f)
{
	return f->now / PS_PER_NS;
}

uint64_t weft_fabric_inflight(const struct weft_fabric *f)
{
	uint64_t n = f->stats.sent - f->stats.arrived;

	for (size_t i = 0; i < WEFT_FABRIC_LOSS_COUNT; i++)
		n -= f->stats.lost[i];
	return n;
}

const struct weft_fabric_stats *weft_fabric_stats(const struct weft_fabric *f)
{
	return &f->stats;
}

uint64_t weft_fabric_trace_hash(const struct weft_fabric *f)
{
	return f->trace_hash;
}
