/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_WIRE_SIM_LOSSY_H
#define WEFT_WIRE_SIM_LOSSY_H

/* A simulated network in which everything goes wrong that can: it moves opaque frames between hosts over
 * many paths, in virtual time, and loses, doubles, delays, mangles, forges and remembers them as told.
 *
 * A frame leaves its host through a NIC of limited rate, queues in front of one path (the entropy that
 * its sender chose is mapped to a physical path), and may queue once more at the port of its receiver.
 * A path delivers in order unless a fault says otherwise.
 *
 * Faults come in two kinds. A *dose* is thrown for every frame (loss, duplicates, corruption). A
 * *condition* is switched on and off by the owner (a dead path, a partition, a smaller MTU). Each fault
 * has a name and counts the frames that it hit. All chance comes from one seed; the order of calls is the
 * only other input. Nothing here knows what the frames mean. */
#include "base/prng.h"
#include "base/types.h"
#include "wire/sim/evq.h"

#define WEFT_LOSSY_HOSTS_MAX 16u
#define WEFT_LOSSY_PATHS_MAX 256u

enum weft_lossy_fault {
	/* Doses: parts per million of the frames. */
	WEFT_LOSSY_LOSS,
	WEFT_LOSSY_BURST, /* Gilbert: the dose is the chance to enter the bad state. */
	WEFT_LOSSY_LOSS_CONTROL,
	WEFT_LOSSY_LOSS_RTX,
	WEFT_LOSSY_LOSS_FIRST,
	WEFT_LOSSY_LOSS_LAST,
	WEFT_LOSSY_DUP,
	WEFT_LOSSY_DUP_LATE, /* The copy comes up to cfg.late_max after the original. */
	WEFT_LOSSY_REORDER_PATH, /* Overtaken by later frames of the same path. */
	WEFT_LOSSY_REORDER_CROSS, /* Its path lags behind the others; order within the path holds. */
	WEFT_LOSSY_CORRUPT_HEAD,
	WEFT_LOSSY_CORRUPT_TAG,
	WEFT_LOSSY_CORRUPT_PAYLOAD,
	WEFT_LOSSY_TRUNCATE,
	WEFT_LOSSY_OVERSIZE,
	WEFT_LOSSY_GARBAGE, /* Noise arrives beside the frame. */
	WEFT_LOSSY_SPOOF, /* A forged variant arrives beside the frame. */
	WEFT_LOSSY_REPLAY, /* A frame recorded earlier is sent once more. */
	/* Conditions. */
	WEFT_LOSSY_BLACKHOLE,
	WEFT_LOSSY_GREY,
	WEFT_LOSSY_SLOW,
	WEFT_LOSSY_FLAP,
	WEFT_LOSSY_REMAP, /* Counts the reshuffles. */
	WEFT_LOSSY_PARTITION,
	WEFT_LOSSY_CLOG,
	WEFT_LOSSY_MTU,
	WEFT_LOSSY_TRIM, /* Counts trimmed frames. */
	WEFT_LOSSY_ECN_OFF, /* Frames that deserved a mark and got none. */
	WEFT_LOSSY_ECN_ALWAYS,
	WEFT_LOSSY_ECN_BLEACH, /* Marks that were wiped off again. */
	WEFT_LOSSY_ECN_MARK, /* Marks by queue length, as they should be. */
	WEFT_LOSSY_PATH_OVERFLOW,
	WEFT_LOSSY_PORT_OVERFLOW,
	WEFT_LOSSY_FAULT_COUNT,
};

#define WEFT_LOSSY_DOSES WEFT_LOSSY_BLACKHOLE

const char *weft_lossy_fault_name(enum weft_lossy_fault fault);

/* What the sender says about a frame; the network only compares these bits with its doses. */
enum weft_lossy_class {
	WEFT_LOSSY_CONTROL = 1, /* No message data. */
	WEFT_LOSSY_RTX = 2, /* Sent before. */
	WEFT_LOSSY_FIRST = 4, /* First of its message. */
	WEFT_LOSSY_LAST = 8, /* Last of its message. */
	WEFT_LOSSY_KEEP = 16, /* Worth recording for a replay: rare. */
};

struct weft_lossy_frame {
	uint64_t id; /* Of this copy; set by the network. */
	uint64_t origin; /* Of the frame that was sent; equal to id for the original. */
	weft_ns sent_at; /* Of the original. */
	uint32_t mark; /* The sender's own, carried along. */
	uint16_t from, to, path;
	uint8_t class; /* enum weft_lossy_class, or-ed. */
	bool ce;
	bool trimmed;
	bool tampered; /* Not what was sent: no effect of it may ever show. */
	uint32_t len;
	uint32_t head_len; /* What trimming keeps. */
	uint8_t data[];
};

enum weft_lossy_ecn {
	WEFT_LOSSY_ECN_MODE_MARK,
	WEFT_LOSSY_ECN_MODE_OFF,
	WEFT_LOSSY_ECN_MODE_ALWAYS,
	WEFT_LOSSY_ECN_MODE_BLEACH,
};

struct weft_lossy_cfg {
	uint64_t seed;
	uint16_t hosts, paths;
	uint32_t event_base; /* Events of ours have the kinds event_base and event_base + 1. */
	weft_ns latency_min, latency_max; /* Each path draws its own, one way. */
	weft_ns jitter_max; /* Added per frame, without breaking the order of a path. */
	uint64_t nic_bps, path_bps;
	uint32_t path_buffer; /* Bytes that may wait in front of a path. */
	uint64_t port_bps; /* Port of each receiver, shared by all senders; 0: no such limit. */
	uint32_t port_buffer;
	enum weft_lossy_ecn ecn;
	uint32_t ecn_threshold; /* Bytes waiting above which a frame is marked. */
	bool trim; /* A full queue cuts the payload off instead of dropping the frame. */
	uint32_t dose[WEFT_LOSSY_DOSES];
	bool record; /* For weft_lossy_replay(); the REPLAY dose records, too. */
	uint32_t burst_len; /* Mean length of a burst, in frames ... */
	weft_ns burst_max; /* ... and the longest time it lasts. */
	weft_ns reorder_max; /* How late a reordered frame, or a lagging path, can be. */
	weft_ns late_min, late_max;
	uint32_t tag_at, tag_len; /* Where in the head the authentication lies: a target. */
};

struct weft_lossy_path;
struct weft_lossy_pair;

struct weft_lossy_record {
	struct weft_lossy_frame *slot[64]; /* own copies */
	uint32_t next;
};

struct weft_lossy {
	struct weft_lossy_cfg cfg;
	struct weft_evq *evq; /* borrows: the owner of the run drives it */
	struct weft_prng prng;
	struct weft_lossy_pair *pairs; /* owns: hosts * hosts */
	weft_ns nic_free_at[WEFT_LOSSY_HOSTS_MAX];
	weft_ns port_free_at[WEFT_LOSSY_HOSTS_MAX];
	uint32_t mtu; /* Longer frames vanish. */
	uint64_t next_id;
	struct weft_lossy_record rare, any; /* Recorded frames, for replays. */
	bool recording;
	uint64_t hits[WEFT_LOSSY_FAULT_COUNT];
	/* Told about each frame that a fault hit, before it is changed or freed. */
	void (*on_fault)(void *user, const struct weft_lossy_frame *frame,
			 enum weft_lossy_fault fault, bool lost);
	void *user;
};

void weft_lossy_init(struct weft_lossy *net, const struct weft_lossy_cfg *cfg,
		     struct weft_evq *evq);

/* Frames still under way are in the event queue; its owner frees them with weft_lossy_frame_free(). */
void weft_lossy_fini(struct weft_lossy *net);

struct weft_lossy_frame *weft_lossy_frame_new(uint32_t len);
void weft_lossy_frame_free(struct weft_lossy_frame *frame);

/* Takes the frame over and gives it the number that it returns. `from`, `to`, `path`, `class`, `mark`
 * and `head_len` are set by the caller. */
uint64_t weft_lossy_send(struct weft_lossy *net, struct weft_lossy_frame *frame, weft_ns now);

/* An event of ours came out of the queue. Returns a frame that has arrived and is the caller's now, or
 * NULL. */
struct weft_lossy_frame *weft_lossy_on_event(struct weft_lossy *net, const struct weft_ev *ev);

/* Conditions. `path` is physical. `fault` names what a loss is counted as. */
void weft_lossy_set_path_down(struct weft_lossy *net, uint16_t from, uint16_t to, uint16_t path,
			      enum weft_lossy_fault fault, bool on);
void weft_lossy_set_path_grey(struct weft_lossy *net, uint16_t from, uint16_t to, uint16_t path,
			      uint32_t loss_ppm);
void weft_lossy_set_path_slow(struct weft_lossy *net, uint16_t from, uint16_t to, uint16_t path,
			      uint16_t divisor);
void weft_lossy_set_blocked(struct weft_lossy *net, uint16_t from, uint16_t to,
			    enum weft_lossy_fault fault, bool on);
void weft_lossy_remap(struct weft_lossy *net, uint16_t from, uint16_t to);
void weft_lossy_set_mtu(struct weft_lossy *net, uint32_t mtu);

/* Doses are thrown for a pair only while it is in scope; all pairs start so. */
void weft_lossy_set_scope(struct weft_lossy *net, uint16_t from, uint16_t to, bool on);

/* Send every recorded frame towards `to` once more, beginning now. */
void weft_lossy_replay(struct weft_lossy *net, uint16_t to, weft_ns now);

/* Everything works from here on. What is already under way is left alone. */
void weft_lossy_heal(struct weft_lossy *net);

#endif
