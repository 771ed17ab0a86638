/* SPDX-License-Identifier: BSD-2-Clause */
/* The faulty network.
 *
 * A frame's fate is decided when it is sent, in this order: conditions that swallow it, doses that
 * swallow it, doses that change or copy it, and then the queues. Only the receiver's port is looked at
 * later, in an event of its own, because frames of several senders meet there in the order of their
 * arrival and not of their sending.
 *
 * Queues are not lists: a queue is the time at which it will be empty. That is exact for a FIFO of
 * constant rate and costs one event per frame. */
#include "wire/sim/lossy.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

enum {
	EV_PORT, /* Reached the port of its receiver. */
	EV_ARRIVED,
};

struct weft_lossy_path {
	weft_ns free_at;
	weft_ns last_arrival;
	uint32_t latency;
	uint32_t grey_ppm;
	uint16_t slow; /* Divisor of the rate; 1 is healthy. */
	bool down;
	uint8_t down_as; /* enum weft_lossy_fault */
};

struct weft_lossy_pair {
	struct weft_lossy_path *paths; /* owns; NULL until the first use */
	uint16_t *map; /* owns; entropy -> physical path */
	bool blocked;
	uint8_t blocked_as;
	bool out_of_scope;
	bool burst; /* In the bad state of the Gilbert model. */
	weft_ns burst_until;
};

const char *weft_lossy_fault_name(enum weft_lossy_fault fault)
{
	static const char *const names[WEFT_LOSSY_FAULT_COUNT] = {
		[WEFT_LOSSY_LOSS] = "loss",
		[WEFT_LOSSY_BURST] = "burst-loss",
		[WEFT_LOSSY_LOSS_CONTROL] = "loss-control",
		[WEFT_LOSSY_LOSS_RTX] = "loss-rtx",
		[WEFT_LOSSY_LOSS_FIRST] = "loss-first",
		[WEFT_LOSSY_LOSS_LAST] = "loss-last",
		[WEFT_LOSSY_DUP] = "dup",
		[WEFT_LOSSY_DUP_LATE] = "dup-late",
		[WEFT_LOSSY_REORDER_PATH] = "reorder-path",
		[WEFT_LOSSY_REORDER_CROSS] = "reorder-cross",
		[WEFT_LOSSY_CORRUPT_HEAD] = "corrupt-head",
		[WEFT_LOSSY_CORRUPT_TAG] = "corrupt-tag",
		[WEFT_LOSSY_CORRUPT_PAYLOAD] = "corrupt-payload",
		[WEFT_LOSSY_TRUNCATE] = "truncate",
		[WEFT_LOSSY_OVERSIZE] = "oversize",
		[WEFT_LOSSY_GARBAGE] = "garbage",
		[WEFT_LOSSY_SPOOF] = "spoof",
		[WEFT_LOSSY_REPLAY] = "replay",
		[WEFT_LOSSY_BLACKHOLE] = "blackhole",
		[WEFT_LOSSY_GREY] = "grey-path",
		[WEFT_LOSSY_SLOW] = "slow-path",
		[WEFT_LOSSY_FLAP] = "flap",
		[WEFT_LOSSY_REMAP] = "remap",
		[WEFT_LOSSY_PARTITION] = "partition",
		[WEFT_LOSSY_CLOG] = "swizzle-clog",
		[WEFT_LOSSY_MTU] = "mtu-shrink",
		[WEFT_LOSSY_TRIM] = "trim",
		[WEFT_LOSSY_ECN_OFF] = "ecn-off",
		[WEFT_LOSSY_ECN_ALWAYS] = "ecn-always",
		[WEFT_LOSSY_ECN_BLEACH] = "ecn-bleach",
		[WEFT_LOSSY_ECN_MARK] = "ecn-mark",
		[WEFT_LOSSY_PATH_OVERFLOW] = "path-overflow",
		[WEFT_LOSSY_PORT_OVERFLOW] = "incast-overflow",
	};

	return (unsigned int)fault < WEFT_LOSSY_FAULT_COUNT ? names[fault] : "?";
}

struct weft_lossy_frame *weft_lossy_frame_new(uint32_t len)
{
	struct weft_lossy_frame *f = malloc(sizeof(*f) + len);

	weft_assert(f);
	memset(f, 0, sizeof(*f));
	f->len = len;
	return f;
}

void weft_lossy_frame_free(struct weft_lossy_frame *frame)
{
	free(frame);
}

static struct weft_lossy_frame *frame_copy(struct weft_lossy *net, const struct weft_lossy_frame *f)
{
	struct weft_lossy_frame *copy = weft_lossy_frame_new(f->len);

	memcpy(copy, f, sizeof(*f) + f->len);
	copy->id = net->next_id++;
	return copy;
}

void weft_lossy_init(struct weft_lossy *net, const struct weft_lossy_cfg *cfg, struct weft_evq *evq)
{
	weft_assert(cfg->hosts >= 1 && cfg->hosts <= WEFT_LOSSY_HOSTS_MAX);
	weft_assert(cfg->paths >= 1 && cfg->paths <= WEFT_LOSSY_PATHS_MAX);
	weft_assert(cfg->latency_max >= cfg->latency_min && cfg->latency_max <= UINT32_MAX);
	*net = (struct weft_lossy){ .cfg = *cfg, .evq = evq, .mtu = UINT32_MAX, .next_id = 1 };
	net->recording = cfg->record || cfg->dose[WEFT_LOSSY_REPLAY] > 0;
	weft_prng_init(&net->prng, cfg->seed);
	net->pairs = calloc((size_t)cfg->hosts * cfg->hosts, sizeof(*net->pairs));
	weft_assert(net->pairs);
}

static void record_fini(struct weft_lossy_record *r)
{
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(r->slot); i++)
		free(r->slot[i]);
}

void weft_lossy_fini(struct weft_lossy *net)
{
	for (size_t i = 0; i < (size_t)net->cfg.hosts * net->cfg.hosts; i++) {
		free(net->pairs[i].paths);
		free(net->pairs[i].map);
	}
	free(net->pairs);
	record_fini(&net->rare);
	record_fini(&net->any);
	*net = (struct weft_lossy){ 0 };
}

/* Uniform in [lo, hi], for spans that may exceed 32 bits. */
static weft_ns pick_ns(struct weft_lossy *net, weft_ns lo, weft_ns hi)
{
	weft_ns span = hi - lo;

	if (span < UINT32_MAX)
		return lo + weft_prng_below(&net->prng, (uint32_t)span + 1);
	return lo + weft_prng_next(&net->prng) % (span + 1);
}

/* 256 paths for each of 240 pairs would be most of the memory of a run, and few pairs talk. */
static struct weft_lossy_pair *pair_get(struct weft_lossy *net, uint16_t from, uint16_t to)
{
	struct weft_lossy_pair *pair = &net->pairs[(size_t)from * net->cfg.hosts + to];
	uint16_t n = net->cfg.paths;

	weft_assert(from < net->cfg.hosts && to < net->cfg.hosts);
	if (pair->paths)
		return pair;
	pair->paths = calloc(n, sizeof(*pair->paths));
	pair->map = calloc(n, sizeof(*pair->map));
	weft_assert(pair->paths && pair->map);
	for (uint16_t i = 0; i < n; i++) {
		pair->map[i] = i;
		pair->paths[i].slow = 1;
		pair->paths[i].latency =
			(uint32_t)pick_ns(net, net->cfg.latency_min, net->cfg.latency_max);
	}
	return pair;
}

static weft_ns wire_time(uint32_t bytes, uint64_t bps)
{
	return bps ? (weft_ns)bytes * 8u * 1000000000u / bps : 0;
}

static uint32_t backlog(weft_ns free_at, weft_ns now, uint64_t bps)
{
	weft_ns wait = free_at > now ? free_at - now : 0;

	/* A queue never holds more than a few milliseconds, so the product stays far below 2^64. */
	wait = WEFT_MIN(wait, WEFT_MS(10));
	return (uint32_t)WEFT_MIN(wait * (bps / 8000u) / 1000000u, UINT32_MAX);
}

static void hit(struct weft_lossy *net, const struct weft_lossy_frame *f,
		enum weft_lossy_fault fault, bool lost)
{
	net->hits[fault]++;
	if (net->on_fault)
		net->on_fault(net->user, f, fault, lost);
}

static bool throw_dose(struct weft_lossy *net, enum weft_lossy_fault fault)
{
	return weft_prng_chance(&net->prng, net->cfg.dose[fault]);
}

static void push(struct weft_lossy *net, struct weft_lossy_frame *f, weft_ns at)
{
	uint32_t kind = net->cfg.port_bps ? EV_PORT : EV_ARRIVED;

	weft_evq_push(net->evq, at, net->cfg.event_base + kind, 0, 0, f);
}

/* A frame that nobody's queue ever saw: noise, forgeries, replays. */
static void inject(struct weft_lossy *net, struct weft_lossy_frame *f, weft_ns now)
{
	push(net, f, now + pick_ns(net, net->cfg.latency_min, 2 * net->cfg.latency_max));
}

/* "Bursts": two states. In the bad one nine of ten frames are lost, until it ends by chance, or by time:
 * else a sender that backs off would make a burst of some frames last for seconds. */
static bool lost_in_burst(struct weft_lossy *net, struct weft_lossy_pair *pair, weft_ns now)
{
	if (!net->cfg.dose[WEFT_LOSSY_BURST])
		return false;
	if (!pair->burst) {
		pair->burst = throw_dose(net, WEFT_LOSSY_BURST);
		pair->burst_until = now + net->cfg.burst_max;
	} else if (weft_prng_below(&net->prng, WEFT_MAX(net->cfg.burst_len, 1u)) == 0 ||
		   now >= pair->burst_until) {
		pair->burst = false;
	}
	return pair->burst && weft_prng_below(&net->prng, 10) != 0;
}

/* Which dose swallows the frame; FAULT_COUNT if none does. */
static enum weft_lossy_fault swallowed_by_dose(struct weft_lossy *net, struct weft_lossy_pair *pair,
					       const struct weft_lossy_frame *f)
{
	static const struct {
		enum weft_lossy_fault fault;
		uint8_t class;
	} losses[] = {
		{ WEFT_LOSSY_LOSS_CONTROL, WEFT_LOSSY_CONTROL },
		{ WEFT_LOSSY_LOSS_RTX, WEFT_LOSSY_RTX },
		{ WEFT_LOSSY_LOSS_FIRST, WEFT_LOSSY_FIRST },
		{ WEFT_LOSSY_LOSS_LAST, WEFT_LOSSY_LAST },
	};

	if (throw_dose(net, WEFT_LOSSY_LOSS))
		return WEFT_LOSSY_LOSS;
	if (lost_in_burst(net, pair, f->sent_at))
		return WEFT_LOSSY_BURST;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(losses); i++)
		if ((f->class & losses[i].class) && throw_dose(net, losses[i].fault))
			return losses[i].fault;
	return WEFT_LOSSY_FAULT_COUNT;
}

static enum weft_lossy_fault swallowed_by_condition(struct weft_lossy *net,
						    struct weft_lossy_pair *pair,
						    const struct weft_lossy_path *path,
						    const struct weft_lossy_frame *f)
{
	if (pair->blocked)
		return pair->blocked_as;
	if (f->len > net->mtu)
		return WEFT_LOSSY_MTU;
	if (path->down)
		return path->down_as;
	if (weft_prng_chance(&net->prng, path->grey_ppm))
		return WEFT_LOSSY_GREY;
	return WEFT_LOSSY_FAULT_COUNT;
}

/* What is cut off must not be found by who looks beyond the end. */
static void cut(struct weft_lossy_frame *f, uint32_t len)
{
	memset(f->data + len, 0xdd, f->len - len);
	f->len = len;
}

static void flip_byte(struct weft_lossy *net, struct weft_lossy_frame *f, uint32_t lo, uint32_t hi)
{
	uint32_t at = lo + weft_prng_below(&net->prng, hi - lo);

	f->data[at] ^= (uint8_t)(1 + weft_prng_below(&net->prng, 255));
}

static void fill_noise(struct weft_lossy *net, uint8_t *p, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		p[i] = (uint8_t)weft_prng_next(&net->prng);
}

static struct weft_lossy_frame *append_noise(struct weft_lossy *net, struct weft_lossy_frame *f)
{
	uint32_t more =
		1 + weft_prng_below(&net->prng, weft_prng_below(&net->prng, 4) ? 64 : 60000);
	struct weft_lossy_frame *longer = realloc(f, sizeof(*f) + f->len + more);

	weft_assert(longer);
	fill_noise(net, longer->data + longer->len, more);
	longer->len += more;
	return longer;
}

/* One frame suffers at most one of these. The frame may move in memory. */
static struct weft_lossy_frame *corrupt(struct weft_lossy *net, struct weft_lossy_frame *f)
{
	uint32_t head = WEFT_MIN(f->head_len, f->len);
	uint32_t tag_end = net->cfg.tag_at + net->cfg.tag_len;
	enum weft_lossy_fault fault;

	if (head && throw_dose(net, WEFT_LOSSY_CORRUPT_HEAD))
		fault = WEFT_LOSSY_CORRUPT_HEAD;
	else if (head >= tag_end && net->cfg.tag_len && throw_dose(net, WEFT_LOSSY_CORRUPT_TAG))
		fault = WEFT_LOSSY_CORRUPT_TAG;
	else if (f->len > head && throw_dose(net, WEFT_LOSSY_CORRUPT_PAYLOAD))
		fault = WEFT_LOSSY_CORRUPT_PAYLOAD;
	else if (f->len && throw_dose(net, WEFT_LOSSY_TRUNCATE))
		fault = WEFT_LOSSY_TRUNCATE;
	else if (throw_dose(net, WEFT_LOSSY_OVERSIZE))
		fault = WEFT_LOSSY_OVERSIZE;
	else
		return f;

	hit(net, f, fault, true);
	f->tampered = true;
	if (fault == WEFT_LOSSY_CORRUPT_HEAD)
		flip_byte(net, f, 0, head);
	else if (fault == WEFT_LOSSY_CORRUPT_TAG)
		flip_byte(net, f, net->cfg.tag_at, tag_end);
	else if (fault == WEFT_LOSSY_CORRUPT_PAYLOAD)
		flip_byte(net, f, head, f->len);
	else if (fault == WEFT_LOSSY_TRUNCATE)
		cut(f, weft_prng_below(&net->prng, f->len));
	else
		f = append_noise(net, f);
	return f;
}

/* A forger who has seen the traffic but not the key: true fields, a changed byte or two, a tag that is
 * either left from the original or guessed. */
static void spoof(struct weft_lossy *net, const struct weft_lossy_frame *f, weft_ns now)
{
	struct weft_lossy_frame *forged = frame_copy(net, f);
	uint32_t head = WEFT_MIN(f->head_len, f->len);
	uint32_t tag_end = net->cfg.tag_at + net->cfg.tag_len;

	forged->tampered = true;
	if (head)
		flip_byte(net, forged, 0, head);
	if (head >= tag_end && weft_prng_below(&net->prng, 2))
		fill_noise(net, forged->data + net->cfg.tag_at, net->cfg.tag_len);
	hit(net, forged, WEFT_LOSSY_SPOOF, false);
	inject(net, forged, now);
}

static void garbage(struct weft_lossy *net, const struct weft_lossy_frame *f, weft_ns now)
{
	uint32_t len = weft_prng_below(&net->prng, weft_prng_below(&net->prng, 4) ? 128 : 9000);
	struct weft_lossy_frame *noise = weft_lossy_frame_new(len);

	noise->id = noise->origin = net->next_id++;
	noise->from = f->from;
	noise->to = f->to;
	noise->path = f->path;
	noise->tampered = true;
	fill_noise(net, noise->data, len);
	/* Half of the noise begins like a frame, to get past the first check. */
	if (weft_prng_below(&net->prng, 2))
		memcpy(noise->data, f->data, WEFT_MIN(WEFT_MIN(len, f->len), 2u));
	hit(net, noise, WEFT_LOSSY_GARBAGE, false);
	inject(net, noise, now);
}

static void record(struct weft_lossy *net, const struct weft_lossy_frame *f)
{
	struct weft_lossy_record *r = f->class & WEFT_LOSSY_KEEP ? &net->rare : &net->any;
	struct weft_lossy_frame **slot = &r->slot[r->next % WEFT_ARRAY_SIZE(r->slot)];

	/* Sample common frames so that the ring reaches back beyond the last few microseconds. */
	if (!(f->class & WEFT_LOSSY_KEEP) && weft_prng_below(&net->prng, 16))
		return;
	free(*slot);
	*slot = frame_copy(net, f);
	r->next++;
}

static void replay_one(struct weft_lossy *net, const struct weft_lossy_frame *recorded, weft_ns now)
{
	struct weft_lossy_frame *f = frame_copy(net, recorded);

	hit(net, f, WEFT_LOSSY_REPLAY, false);
	inject(net, f, now);
}

static void replay_any(struct weft_lossy *net, weft_ns now)
{
	const struct weft_lossy_record *r = weft_prng_below(&net->prng, 4) ? &net->any : &net->rare;
	uint32_t n = WEFT_MIN(r->next, (uint32_t)WEFT_ARRAY_SIZE(r->slot));

	if (n)
		replay_one(net, r->slot[weft_prng_below(&net->prng, n)], now);
}

void weft_lossy_replay(struct weft_lossy *net, uint16_t to, weft_ns now)
{
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(net->rare.slot); i++) {
		if (net->rare.slot[i] && net->rare.slot[i]->to == to)
			replay_one(net, net->rare.slot[i], now);
		if (net->any.slot[i] && net->any.slot[i]->to == to)
			replay_one(net, net->any.slot[i], now);
	}
}

static void beside(struct weft_lossy *net, const struct weft_lossy_frame *f, weft_ns now)
{
	if (throw_dose(net, WEFT_LOSSY_GARBAGE))
		garbage(net, f, now);
	if (throw_dose(net, WEFT_LOSSY_SPOOF))
		spoof(net, f, now);
	if (throw_dose(net, WEFT_LOSSY_REPLAY))
		replay_any(net, now);
	if (throw_dose(net, WEFT_LOSSY_DUP_LATE)) {
		struct weft_lossy_frame *late = frame_copy(net, f);

		hit(net, late, WEFT_LOSSY_DUP_LATE, false);
		push(net, late, now + pick_ns(net, net->cfg.late_min, net->cfg.late_max));
	}
}

static void mark(struct weft_lossy *net, struct weft_lossy_frame *f, uint32_t waiting)
{
	bool deserved = waiting > net->cfg.ecn_threshold;

	switch (net->cfg.ecn) {
	case WEFT_LOSSY_ECN_MODE_MARK:
		if (deserved && !f->ce) {
			f->ce = true;
			hit(net, f, WEFT_LOSSY_ECN_MARK, false);
		}
		break;
	case WEFT_LOSSY_ECN_MODE_OFF:
		if (deserved)
			hit(net, f, WEFT_LOSSY_ECN_OFF, false);
		break;
	case WEFT_LOSSY_ECN_MODE_ALWAYS:
		if (!f->ce)
			hit(net, f, WEFT_LOSSY_ECN_ALWAYS, false);
		f->ce = true;
		break;
	case WEFT_LOSSY_ECN_MODE_BLEACH:
		if (deserved)
			hit(net, f, WEFT_LOSSY_ECN_BLEACH, false);
		break;
	}
}

static bool can_trim(const struct weft_lossy *net, const struct weft_lossy_frame *f)
{
	return net->cfg.trim && !f->tampered && f->len > f->head_len;
}

static void trim(struct weft_lossy *net, struct weft_lossy_frame *f)
{
	hit(net, f, WEFT_LOSSY_TRIM, true);
	cut(f, f->head_len);
	f->trimmed = true;
}

/* Through the queue of one path, from `at` on, and on towards the receiver. Takes the frame. */
static void traverse(struct weft_lossy *net, struct weft_lossy_path *path,
		     struct weft_lossy_frame *f, weft_ns at, bool in_scope)
{
	uint64_t bps = net->cfg.path_bps / path->slow;
	uint32_t waiting = backlog(path->free_at, at, bps);
	weft_ns arrival;

	if (path->slow > 1)
		hit(net, f, WEFT_LOSSY_SLOW, false);
	if (waiting + f->len > net->cfg.path_buffer) {
		if (!can_trim(net, f)) {
			hit(net, f, WEFT_LOSSY_PATH_OVERFLOW, true);
			weft_lossy_frame_free(f);
			return;
		}
		/* Trimmed heads take the priority class past the queue. */
		trim(net, f);
		push(net, f, at + path->latency);
		return;
	}
	mark(net, f, waiting);
	path->free_at = WEFT_MAX(path->free_at, at) + wire_time(f->len, bps);
	arrival = path->free_at + path->latency + pick_ns(net, 0, net->cfg.jitter_max);
	if (in_scope && throw_dose(net, WEFT_LOSSY_REORDER_CROSS)) {
		hit(net, f, WEFT_LOSSY_REORDER_CROSS, false);
		arrival += pick_ns(net, 0, net->cfg.reorder_max);
	}
	if (in_scope && throw_dose(net, WEFT_LOSSY_REORDER_PATH)) {
		hit(net, f, WEFT_LOSSY_REORDER_PATH, false);
		push(net, f, arrival + pick_ns(net, 0, net->cfg.reorder_max));
		return;
	}
	path->last_arrival = arrival = WEFT_MAX(arrival, path->last_arrival);
	push(net, f, arrival);
}

/* True if the frame is gone. */
static bool is_swallowed(struct weft_lossy *net, struct weft_lossy_pair *pair,
			 struct weft_lossy_path *path, struct weft_lossy_frame *f)
{
	enum weft_lossy_fault fault = swallowed_by_condition(net, pair, path, f);

	if (fault == WEFT_LOSSY_FAULT_COUNT && !pair->out_of_scope)
		fault = swallowed_by_dose(net, pair, f);
	if (fault == WEFT_LOSSY_FAULT_COUNT)
		return false;
	hit(net, f, fault, true);
	weft_lossy_frame_free(f);
	return true;
}

uint64_t weft_lossy_send(struct weft_lossy *net, struct weft_lossy_frame *f, weft_ns now)
{
	struct weft_lossy_pair *pair = pair_get(net, f->from, f->to);
	struct weft_lossy_path *path = &pair->paths[pair->map[f->path % net->cfg.paths]];
	uint64_t id = f->id = f->origin = net->next_id++;
	weft_ns leaves =
		WEFT_MAX(net->nic_free_at[f->from], now) + wire_time(f->len, net->cfg.nic_bps);
	struct weft_lossy_frame *twin = NULL;

	net->nic_free_at[f->from] = leaves;
	f->sent_at = now;
	if (net->recording)
		record(net, f);
	if (!pair->out_of_scope)
		beside(net, f, now);
	if (is_swallowed(net, pair, path, f))
		return id;
	if (!pair->out_of_scope) {
		if (throw_dose(net, WEFT_LOSSY_DUP)) {
			twin = frame_copy(net, f);
			hit(net, twin, WEFT_LOSSY_DUP, false);
		}
		f = corrupt(net, f);
	}
	traverse(net, path, f, leaves, !pair->out_of_scope);
	if (twin)
		traverse(net, path, twin, leaves, !pair->out_of_scope);
	return id;
}

/* The receiver's port: one queue for all senders and paths. True if the frame waits there now. */
static void port_enter(struct weft_lossy *net, struct weft_lossy_frame *f, weft_ns now)
{
	weft_ns *free_at = &net->port_free_at[f->to];
	uint32_t waiting = backlog(*free_at, now, net->cfg.port_bps);
	uint32_t arrived = net->cfg.event_base + EV_ARRIVED;

	if (waiting + f->len > net->cfg.port_buffer) {
		if (!can_trim(net, f)) {
			hit(net, f, WEFT_LOSSY_PORT_OVERFLOW, true);
			weft_lossy_frame_free(f);
			return;
		}
		trim(net, f);
		weft_evq_push(net->evq, now, arrived, 0, 0, f);
		return;
	}
	mark(net, f, waiting);
	*free_at = WEFT_MAX(*free_at, now) + wire_time(f->len, net->cfg.port_bps);
	weft_evq_push(net->evq, *free_at, arrived, 0, 0, f);
}

struct weft_lossy_frame *weft_lossy_on_event(struct weft_lossy *net, const struct weft_ev *ev)
{
	if (ev->kind == net->cfg.event_base + EV_ARRIVED)
		return ev->ptr;
	weft_assert(ev->kind == net->cfg.event_base + EV_PORT);
	port_enter(net, ev->ptr, ev->at);
	return NULL;
}

void weft_lossy_set_path_down(struct weft_lossy *net, uint16_t from, uint16_t to, uint16_t path,
			      enum weft_lossy_fault fault, bool on)
{
	struct weft_lossy_path *p = &pair_get(net, from, to)->paths[path % net->cfg.paths];

	p->down = on;
	p->down_as = (uint8_t)fault;
}

void weft_lossy_set_path_grey(struct weft_lossy *net, uint16_t from, uint16_t to, uint16_t path,
			      uint32_t loss_ppm)
{
	pair_get(net, from, to)->paths[path % net->cfg.paths].grey_ppm = loss_ppm;
}

void weft_lossy_set_path_slow(struct weft_lossy *net, uint16_t from, uint16_t to, uint16_t path,
			      uint16_t divisor)
{
	weft_assert(divisor);
	pair_get(net, from, to)->paths[path % net->cfg.paths].slow = divisor;
}

void weft_lossy_set_blocked(struct weft_lossy *net, uint16_t from, uint16_t to,
			    enum weft_lossy_fault fault, bool on)
{
	struct weft_lossy_pair *pair = pair_get(net, from, to);

	pair->blocked = on;
	pair->blocked_as = (uint8_t)fault;
}

void weft_lossy_remap(struct weft_lossy *net, uint16_t from, uint16_t to)
{
	struct weft_lossy_pair *pair = pair_get(net, from, to);

	net->hits[WEFT_LOSSY_REMAP]++;
	for (uint32_t i = net->cfg.paths; i > 1; i--) {
		uint32_t k = weft_prng_below(&net->prng, i);
		uint16_t swap = pair->map[i - 1];

		pair->map[i - 1] = pair->map[k];
		pair->map[k] = swap;
	}
}

void weft_lossy_set_mtu(struct weft_lossy *net, uint32_t mtu)
{
	net->mtu = mtu;
}

void weft_lossy_set_scope(struct weft_lossy *net, uint16_t from, uint16_t to, bool on)
{
	net->pairs[(size_t)from * net->cfg.hosts + to].out_of_scope = !on;
}

void weft_lossy_heal(struct weft_lossy *net)
{
	memset(net->cfg.dose, 0, sizeof(net->cfg.dose));
	net->cfg.ecn = WEFT_LOSSY_ECN_MODE_MARK;
	net->mtu = UINT32_MAX;
	for (size_t i = 0; i < (size_t)net->cfg.hosts * net->cfg.hosts; i++) {
		struct weft_lossy_pair *pair = &net->pairs[i];

		pair->blocked = false;
		for (uint16_t k = 0; pair->paths && k < net->cfg.paths; k++) {
			pair->paths[k].down = false;
			pair->paths[k].grey_ppm = 0;
			pair->paths[k].slow = 1;
		}
	}
}
