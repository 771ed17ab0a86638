/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_WATCH_SAMPLE_H
#define WEFT_WATCH_SAMPLE_H

/* What the cards, the ordinary network and the programs of this machine had done at one moment. Samples are absolute
 * values; rates come from two of them (rate.h). The same struct comes from a machine and from a recording. */
#include "watch/counter.h"

#define WEFT_WATCH_CARDS_MAX 256u
#define WEFT_WATCH_NETS_MAX  64u
#define WEFT_WATCH_PROCS_MAX 512u

enum weft_watch_kind {
	WEFT_WATCH_EFA, /* A card of the kernel, by Amazon. */
	WEFT_WATCH_OTHER, /* Another vendor's. */
	WEFT_WATCH_SOFT, /* weft's. */
};

struct weft_watch_card {
	char name[64];
	char where
		[64]; /* SOFT: the address of the underlay. Name and address together are the card. */
	enum weft_watch_kind kind;
	uint32_t vendor, device; /* PCI; of SOFT cards what they say. */
	uint64_t gbps; /* 0: unknown. */
	char state[32]; /* "ACTIVE" */
	char driver[64];
	char bdf[32], gid[64];
	int numa; /* -1: none in particular. */
	uint64_t value[WEFT_WATCH_COUNTERS_MAX]; /* Or WEFT_WATCH_NONE. */
};

/* An interface of the ordinary network. */
struct weft_watch_net {
	char name[32];
	uint64_t gbps; /* 0: unknown. */
	uint64_t rx_bytes, tx_bytes;
};

/* A program that has to do with EFA: it uses a card, or should. */
struct weft_watch_proc {
	uint64_t id; /* Tells it from another one that later has the same pid. */
	uint32_t pid;
	char comm[32];
	char container[16]; /* The start of its container's id; "": none. */
	char pod_uid[40], pod[128], ns[64]; /* Kubernetes; "": none, or not known. */
	char why[64]; /* Why its traffic should go over EFA ("maps libnccl"); "": nothing says so. */
	uint64_t cards[WEFT_WATCH_CARDS_MAX / 64]; /* A bit for each card of the sample. */
	/* What went through its cards. A real card does not know whose bytes it moves: these are then all of the
	 * cards that it has open, and `shared` says that others have one of them open as well. */
	uint64_t efa_tx, efa_rx;
	bool shared;
	/* Of its TCP connections, since it was first seen; WEFT_WATCH_NONE: not known. */
	uint64_t tcp_tx, tcp_rx;
};

struct weft_sample {
	uint64_t time_ns; /* CLOCK_REALTIME */
	char host[64];
	struct weft_watch_card *card; /* owns, as below */
	struct weft_watch_net *net;
	struct weft_watch_proc *proc;
	uint32_t cards, nets, procs;
	uint32_t left_out; /* Cards and programs past the limits. */
};

/* One more, all zero (a card: its counters not there, no NUMA node). NULL: the limit is reached, or no memory. */
struct weft_watch_card *weft_sample_add_card(struct weft_sample *sample);
struct weft_watch_net *weft_sample_add_net(struct weft_sample *sample);
struct weft_watch_proc *weft_sample_add_proc(struct weft_sample *sample);
void weft_sample_free(struct weft_sample *sample); /* NULL is fine. */

static inline bool weft_proc_has_card(const struct weft_watch_proc *proc, uint32_t card)
{
	return proc->cards[card / 64] >> card % 64 & 1;
}

static inline void weft_proc_set_card(struct weft_watch_proc *proc, uint32_t card)
{
	proc->cards[card / 64] |= 1ull << card % 64;
}

/* A machine that is watched. */
struct weft_watch;

struct weft_watch_options {
	const char *root; /* Where /sys and /proc are read; "/" is this machine. */
	uint32_t vendor; /* Of cards of the kernel: 0x1d0f; 0: EFA; UINT32_MAX: all. */
	bool soft; /* weft's cards, too; with the settings of weft_conf_get(). */
	bool procs; /* And programs. */
};

/* 0 or -errno; why_out (of `len` bytes) is then one line for a person. */
int weft_watch_open(const struct weft_watch_options *options, struct weft_watch **watch_out,
		    char *why_out, size_t len);
void weft_watch_close(struct weft_watch *watch);

/* NULL: no memory. The caller frees. */
struct weft_sample *weft_watch_take(struct weft_watch *watch);

#endif
