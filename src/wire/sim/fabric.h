/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_WIRE_SIM_FABRIC_H
#define WEFT_WIRE_SIM_FABRIC_H

/* A data-centre network in virtual time, packet by packet: hosts, switches, links and their queues.
 *
 * It moves opaque frames and knows nothing of what they mean. A host's card asks its owner for a frame
 * whenever it is idle (so the owner decides as late as a real card would let it), the frame is stored and
 * forwarded hop by hop, and comes out at its destination or is lost, for a reason that the owner is
 * told. Between equally short ways a switch picks by a hash of (src, dst, entropy) and its own seed:
 * frames with the same three values take the same way, and the way never changes.
 *
 * All arithmetic is in integers; time inside is in picoseconds and the owner sees nanoseconds rounded
 * down. A run depends on the configuration, its seed and what the owner does, and on nothing else. */
#include "base/types.h"

enum weft_fabric_topology {
	WEFT_FABRIC_LEAF_SPINE,
	WEFT_FABRIC_FAT_TREE, /* Three tiers of k-port switches, k^3/4 hosts. */
};

struct weft_fabric_cfg {
	enum weft_fabric_topology topology;
	uint32_t hosts;
	uint32_t leaves, spines; /* Leaf-spine only; hosts are spread evenly over the leaves. */
	uint64_t link_bps; /* Every link, cards included. */
	weft_ns hop; /* Propagation along every link. */

	/* Limits of the two queues of every switch port, in bytes that wait (the frame being sent does not
	 * count). Control frames and trimmed heads always go first. */
	uint32_t data_bytes_max, control_bytes_max;
	/* A data frame is marked as it leaves, never when at most `low` bytes wait, always from `high` on,
	 * in between with a chance that grows linearly. Both 0: no marking. */
	uint32_t ecn_low_bytes, ecn_high_bytes;
	bool trim; /* A full data queue cuts a frame to its head instead of dropping it. */

	uint32_t loss_ppm; /* Chance of any frame to be lost on its way, once per frame. */
	/* The first `slow_links` links of the core run at slow_ppm of the rate, both ways. They are counted
	 * along the switches below the core, so a few of them hit the same switch. */
	uint32_t slow_links, slow_ppm;

	uint64_t seed;
};

/* The owner fills `owner` to `control`; the network adds the rest. */
struct weft_fabric_frame {
	struct weft_fabric_frame *next; /* The network's. */
	void *owner; /* The owner's packet; lent to the network until on_frame or on_lost. */
	uint32_t bytes; /* On the wire, all headers included. */
	uint32_t head_bytes; /* What trimming leaves of it. 0: may not be trimmed. */
	uint32_t src, dst; /* Hosts; src is set by the network. */
	uint16_t entropy;
	bool control;

	bool ce; /* A queue was long: congestion experienced. */
	bool trimmed; /* Arrived as its head only. */
	bool express; /* The network's: travels in the control class. */
	bool entered; /* The network's: past its first switch. */
	uint64_t flow_hash; /* The network's. */
	weft_ns sent_at; /* When its first bit left the sender. */
};

enum weft_fabric_loss {
	WEFT_FABRIC_LOSS_DATA_FULL, /* The data queue had no room. */
	WEFT_FABRIC_LOSS_CONTROL_FULL, /* The control queue had no room. */
	WEFT_FABRIC_LOSS_RANDOM, /* cfg.loss_ppm. */
	WEFT_FABRIC_LOSS_BLACKHOLE, /* Swallowed by a link that weft_fabric_blackhole() broke. */
	WEFT_FABRIC_LOSS_COUNT,
};

/* What the network asks of its owner. on_frame, on_lost and on_timer may call wake and set_timer. */
struct weft_fabric_ops {
	/* The card of `host` is idle: fill *frame_out, or return false and call wake later. */
	bool (*next_frame)(void *owner, uint32_t host, weft_ns now,
			   struct weft_fabric_frame *frame_out);
	/* A frame has arrived at frame->dst. Valid during the call only. */
	void (*on_frame)(void *owner, const struct weft_fabric_frame *frame, weft_ns now);
	/* A frame is gone. The network does not tell the hosts; this is for bookkeeping. */
	void (*on_lost)(void *owner, const struct weft_fabric_frame *frame,
			enum weft_fabric_loss why, weft_ns now);
	void (*on_timer)(void *owner, uint32_t host, weft_ns now);
};

struct weft_fabric_stats {
	uint64_t sent, sent_bytes; /* Frames that hosts put on the wire. */
	uint64_t arrived, arrived_bytes;
	uint64_t lost[WEFT_FABRIC_LOSS_COUNT];
	uint64_t trims; /* Frames cut; they arrive, or are lost as control. */
	uint64_t marks;
	uint64_t hops; /* Links crossed by all frames: the work done. */
	uint32_t data_bytes_peak; /* Most that ever waited at one port, by class. */
	uint32_t control_bytes_peak;
};

struct weft_fabric;

/* 0, or -EINVAL; *why_out then says what is wrong, starting with the name of the field. */
int weft_fabric_cfg_check(const struct weft_fabric_cfg *cfg, const char **why_out);

/* Ports per switch of the fat tree with this many hosts; 0 if there is none. */
uint32_t weft_fabric_fat_tree_ports(uint32_t hosts);

/* Time for a frame of `bytes` to cross `links` idle links, rounded up. */
weft_ns weft_fabric_cross_time(const struct weft_fabric_cfg *cfg, uint32_t links, uint32_t bytes);

/* Links between two hosts, and the most that any two hosts can have between them. */
uint32_t weft_fabric_links_between(const struct weft_fabric_cfg *cfg, uint32_t a, uint32_t b);
uint32_t weft_fabric_links_max(const struct weft_fabric_cfg *cfg);

/* Links between the core and the switches below it: what slow_links and blackholes choose from. */
uint32_t weft_fabric_core_links(const struct weft_fabric_cfg *cfg);

/* A network at time 0, checked before. ops and owner are borrowed for its life. A simulator without
 * memory ends the program. */
struct weft_fabric *weft_fabric_create(const struct weft_fabric_cfg *cfg,
				       const struct weft_fabric_ops *ops, void *owner);

/* Frames still under way are forgotten without a call: their packets are the owner's again. */
void weft_fabric_destroy(struct weft_fabric *f);

/* `host` may have something to send. Harmless when its card is busy: it asks anyway when it is done. */
void weft_fabric_wake(struct weft_fabric *f, uint32_t host);

/* The card of `host` is sending: it will ask for the next frame by itself. */
bool weft_fabric_is_busy(const struct weft_fabric *f, uint32_t host);

/* on_timer(host) shall be called at `at`, or as soon as time allows if that has passed. One timer per
 * host: this replaces the last setting. WEFT_NS_NEVER stops it. */
void weft_fabric_set_timer(struct weft_fabric *f, uint32_t host, weft_ns at);

/* From `at` on, `links` links of the core, chosen by the seed, swallow whatever arrives over them, in
 * both directions and without a sign. Once per network. */
void weft_fabric_blackhole(struct weft_fabric *f, uint32_t links, weft_ns at);

/* Take the next event, whatever it is. False: nothing will ever happen again by itself. */
bool weft_fabric_step(struct weft_fabric *f);

/* Take all events up to `until`; it is then the time. */
void weft_fabric_run_until(struct weft_fabric *f, weft_ns until);

weft_ns weft_fabric_now(const struct weft_fabric *f);

/* Frames sent and neither arrived nor lost. */
uint64_t weft_fabric_inflight(const struct weft_fabric *f);

const struct weft_fabric_stats *weft_fabric_stats(const struct weft_fabric *f);

/* A digest of every frame's sending, arrival and loss, with times. */
uint64_t weft_fabric_trace_hash(const struct weft_fabric *f);

#endif
