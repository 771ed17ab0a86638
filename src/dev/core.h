/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_DEV_CORE_H
#define WEFT_DEV_CORE_H

/* The device from inside: its structs, and what its files offer each other.
 *
 *	card.c      cards: open, identity on the wire, progress, closing, fork
 *	link.c      a link is an engine and its wire; the engine's questions go to the files below
 *	peer.c      who we talk to: processes at the address of a handle, over which link
 *	mr.c        protection domains and memory regions: checks, and every copy to or from them
 *	ah.c        address handles
 *	qp.c        queue pairs: life, states
 *	sq.c        send queues: work requests from the doorbell to their completion
 *	rq.c        receive queues
 *	cq.c        completion queues and channels
 *	helper.c    the thread that works while no client does
 *	report.c    counters for others to read
 *
 * Everything here runs under the card's lock unless its comment says otherwise (locking.h). */
#include "base/gid.h"
#include "dev/conf.h"
#include "dev/counters.h"
#include "dev/dev.h"
#include "dev/locking.h"
#include "dev/mem.h"
#include "srd/srd.h"
#include "wire/local.h"
#include "wire/udp.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#define WEFT_QPN_SLOT(qpn)  ((uint32_t)(qpn) >> 8)
#define WEFT_QPN_INDEX(qpn) ((uint32_t)(qpn)&0xffu)

/* A UD message carries its queue key under this mask, so that it never fits an SRD queue pair and the other
 * way round: the receiver refuses it like one with a wrong key. */
#define WEFT_UD_KEY_MASK 0x55440000u

static inline weft_ns weft_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (weft_ns)ts.tv_sec * 1000000000u + (weft_ns)ts.tv_nsec;
}

/* Links */

enum weft_link_kind {
	WEFT_LINK_UDP,
	WEFT_LINK_LOCAL,
	WEFT_LINKS,
};

struct weft_link_lane {
	struct weft_gid to; /* Engine address. */
	struct weft_lane *lane; /* NULL: nobody there; look again at retry_at. */
	weft_ns retry_at;
	bool dirty; /* Frames were sent since the last flush. */
	bool is_absent; /* Nobody had that inbox when we last looked. */
};

#define WEFT_LANES_MAX 512u /* Power of two; lanes of one card in a hash with open addressing. */

struct weft_link {
	struct weft_card *card; /* borrows */
	enum weft_link_kind kind;
	struct weft_srd *srd; /* NULL: this link is not in use. */
	void *mem; /* owns: where the engine lives. */
	size_t mem_size;
	weft_ns deadline; /* Of the engine. */
	struct weft_udp *udp; /* owns */
	union weft_sockaddr from; /* Source of the latest frame, and what it stands for. */
	struct weft_gid from_address;
	bool from_known;
	const uint8_t *frame; /* The one that the engine is at; borrowed ... */
	uint32_t piece; /* ... and in how long pieces it lies (weft_wire_rx). */
	struct weft_local *local; /* owns */
	struct weft_link_lane *lanes; /* owns: WEFT_LANES_MAX. */
	uint32_t lanes_used;
	weft_ns reap_at;
	uint32_t quiet_polls; /* Looks in a row that found nothing. */
	bool lanes_empty; /* The last look at them found nothing. */
	uint32_t corked; /* Work requests posted since the last drain. */
	uint64_t
		unreadable; /* Cookie of a request whose memory cannot be read, if is_unreadable. */
	bool is_unreadable;
};

/* Objects */

/* What a peer costs while nothing is under way. There may be tens of thousands, so they are small, and lie in
 * arrays in their PD, named by 16-bit indexes of which 0 is none. What is under way lives in the engine. */

struct weft_peer { /* A process at the address of a handle. */
	uint32_t engine; /* Its handle there: a reference. */
	uint16_t next; /* Of weft_pd.more. */
	uint8_t slot;
	uint8_t link; /* enum weft_link_kind; WEFT_LINKS: nobody, and then none follows. */
};

struct weft_ah { /* All that a post to a known peer needs, in half a cache line. */
	struct weft_gid gid;
	uint32_t refs; /* 0: free. */
	uint16_t number; /* Its index. */
	uint16_t hash_next;
	struct weft_peer peer; /* The last one used; the others follow. */
};
static_assert(sizeof(struct weft_ah) == 32, "two address handles fit into a cache line");

#define WEFT_AH_BUCKETS 16384u /* Power of two. */
/* Processes that are not the first at their address: more than a card's engines have contexts. */
#define WEFT_MORE_PEERS 32768u

/* A mapping of its own, of which only what is used is ever touched. */
struct weft_pd {
	struct weft_card *card; /* borrows */
	struct weft_pd *next_on_card;
	uint32_t refs; /* MRs, AHs, QPs. */
	uint32_t id; /* Unlike any other of the card's, ever. */
	uint32_t ahs;
	uint16_t ah_last; /* The number given last. */
	uint16_t more_len, more_free; /* Ever used; list of free ones. */
	uint16_t ah_hash[WEFT_AH_BUCKETS]; /* By gid. */
	_Alignas(64) struct weft_ah ah[1 + WEFT_DEV_AH_MAX];
	struct weft_peer more[1 + WEFT_MORE_PEERS];
};

static inline struct weft_pd *weft_ah_pd(const struct weft_ah *ah)
{
	return (struct weft_pd *)((uintptr_t)(ah - ah->number) - offsetof(struct weft_pd, ah));
}

struct weft_region { /* What the key table knows of an MR. */
	struct weft_mr mr;
	uint32_t next_free;
	uint8_t gen; /* Upper bits of the key in use. */
	bool live;
	struct weft_gpu_mem *gpu; /* owns; NULL: host memory. See mem.h. */
	uint64_t pinned; /* Host memory that copy engines reach: libcuda's number of it. */
};

enum weft_wqe_state {
	WEFT_WQE_FREE,
	WEFT_WQE_WAITS, /* On the QP's list: the engine would not take it yet. */
	WEFT_WQE_POSTED, /* The engine has it. */
	WEFT_WQE_MOVES, /* Its bytes are being copied directly; then the engine gets it. */
};

struct weft_wqe {
	struct weft_wr wr;
	weft_ns posted_at;
	uint32_t len;
	uint32_t peer; /* While POSTED: who has it, there and on which link. */
	uint8_t link;
	uint16_t next; /* Free list or waiting list. */
	uint8_t state; /* enum weft_wqe_state. */
	uint32_t serial; /* Of a direct copy: this entry may have another user when it ends. */
	bool moved; /* Its bytes are where they belong; the rest is the engine's. */
	bool in_packets; /* A direct copy was tried, and cannot be. */
	bool copied; /* UD: its bytes lie in the QP's `copies`. */
	bool reported; /* UD: its completion exists already. */
};

struct weft_rqe {
	struct weft_recv_wr wr;
	uint32_t len; /* Room for a message. */
	uint32_t next_free;
	bool bad; /* A piece went away after the claim: completes with 5. */
};

#define WEFT_NONE16 UINT16_MAX
#define WEFT_NONE32 UINT32_MAX

struct weft_qp {
	struct weft_card *card; /* borrows */
	struct weft_pd *pd; /* ref */
	struct weft_cq *send_cq, *recv_cq; /* refs */
	void *user;
	enum weft_qp_type type;
	_Atomic int state; /* enum weft_qp_state; changed under the card's lock, read anywhere. */
	uint16_t qpn;
	uint8_t index;
	uint8_t rnr_retry;
	bool unsolicited;
	uint32_t gen; /* Of the slot: in cookies and completions. */
	uint32_t qkey;
	struct weft_qp *next_waiting; /* On card->waiting. */
	bool on_waiting;

	struct {
		struct weft_wqe *wqe; /* owns: wqes of them. */
		uint8_t *copies; /* owns; UD: MSG_MAX bytes for each of them. */
		uint32_t wqes; /* depth, and reported_max more. */
		uint32_t reported, reported_max; /* UD: reported, and still with the engine. */
		uint32_t depth, sge_max, inline_max;
		_Atomic uint32_t
			posted; /* Ever; less what was polled is what counts against depth. */
		uint16_t free, wait_head, wait_tail;
		bool silent; /* Going away: no completions any more. */
	} sq;

	struct {
		struct weft_rqe *rqe; /* owns: depth of them. */
		uint32_t *queue; /* owns: posted ones in order, a ring of mask + 1. */
		uint32_t depth, sge_max, mask;
		uint32_t head, tail; /* Free-running; a receive given back goes in front of head. */
		uint32_t free;
		uint32_t posted;
	} rq;
};

/* What of a QP outlives it: see locking.h. */
struct weft_qp_slot {
	struct weft_qp *qp; /* NULL: none. */
	uint32_t gen; /* Counts the lives of this number, and resets. The card's lock. */
	/* Completions polled in this life, below the generation: one word, so that a poll that comes late
	 * cannot count for the next life. */
	_Atomic uint64_t sq, rq;
};

static inline uint32_t weft_places_polled(const _Atomic uint64_t *places)
{
	return (uint32_t)atomic_load_explicit(places, memory_order_acquire);
}

static inline void weft_places_reset(struct weft_qp_slot *slot)
{
	slot->gen++;
	atomic_store(&slot->sq, (uint64_t)slot->gen << 32);
	atomic_store(&slot->rq, (uint64_t)slot->gen << 32);
}

/* `n` completions of generation `gen` were polled. False: that life is over. */
static inline bool weft_places_poll(_Atomic uint64_t *places, uint32_t gen, uint32_t n)
{
	uint64_t old = atomic_load_explicit(places, memory_order_relaxed);

	do {
		if (old >> 32 != gen)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(
		places, &old, (uint64_t)gen << 32 | (uint32_t)(old + n), memory_order_release,
		memory_order_relaxed));
	return true;
}

struct weft_cq_entry {
	struct weft_cqe cqe;
	uint32_t gen; /* Of the QP's slot. */
};

struct weft_cq {
	struct weft_card *card; /* borrows */
	struct weft_channel *channel; /* ref; may be NULL. */
	void *user;
	pthread_mutex_t lock; /* Consumers. */
	bool unlocked; /* Single-threaded: the lock is not used. */
	bool impatient; /* Its client offers the core to others by itself. */
	struct weft_cq_entry *ring; /* owns: mask + 1. */
	uint32_t mask;
	uint32_t refs; /* QPs. */
	uint32_t skipped; /* Sessions in a row that found completions at once: progress is due. */
	uint32_t empty; /* Sessions in a row that found none, also after progress. */
	uint32_t naps; /* To take before the next yield. */
	struct weft_cqe out; /* Of the consumer: what next() returned. */

	_Alignas(64) _Atomic uint32_t tail; /* Producer's. */
	/* What did not fit: the client polls less than it posts. Moves into the ring as that empties. */
	struct weft_cq_entry *overflow; /* owns */
	_Atomic uint32_t overflow_len; /* Changed under the card's lock. */
	uint32_t overflow_cap, overflow_at;
	_Atomic bool armed;
	bool queued; /* On the channel's list of events (its lock). */
	uint32_t events, acked; /* Delivered by the channel; its lock. */
	struct weft_cq *next_event; /* On the channel's list. */
	struct weft_cq *next_on_card;

	_Alignas(64) _Atomic uint32_t head; /* Consumer's. */
};

struct weft_channel {
	struct weft_card *card; /* borrows */
	pthread_mutex_t lock;
	pthread_cond_t acked;
	int fd; /* An event fd: 1 while the list is not empty. */
	bool signalled; /* It is 1. */
	uint32_t refs; /* CQs. */
	struct weft_cq *first, *last; /* Events not yet fetched. */
	struct weft_channel *next_on_card;
};

struct weft_card {
	const struct weft_card_info *info; /* borrows, for ever. */
	pthread_mutex_t lock;
	_Atomic(const char *) holder; /* Of the lock: its thread's &weft_here. */
	uint32_t refs; /* Opens; weft_dev.lock. */
	bool dead; /* Inherited over a fork: nothing works any more. */
	_Atomic bool up; /* The identity is claimed, the links are there. */
	uint8_t slot;
	uint16_t port;
	weft_ns now; /* Of the latest progress. */
	weft_ns report_at;
	struct weft_link link[WEFT_LINKS];

	_Atomic uint32_t activity; /* Counts posts and polls: the helper looks whether it moves. */
	_Atomic uint32_t armed; /* CQs whose client may sleep on a channel. */
	uint32_t sleepers; /* Threads that sleep on the wires in weft_channel_get(). */

	struct weft_region **regions; /* owns: pages of WEFT_REGION_PAGE. */
	uint32_t regions_len, region_free_head, region_free_tail, regions_free;
	struct weft_pd *pd_list;
	uint32_t pds, cqs, qps;
	uint32_t pd_last; /* The id given last. */

	struct weft_qp_slot slots[WEFT_DEV_QP_MAX];
	uint8_t index_free[WEFT_DEV_QP_MAX]; /* Queue: oldest first. */
	uint32_t index_head, index_len;
	struct weft_qp *waiting,
		*waiting_last; /* QPs with requests that an engine would not take. */
	uint32_t waiting_len;
	uint32_t ud_ahead; /* UD messages that are reported as sent, and still with an engine. */
	struct weft_cq *cq_list;
	struct weft_channel *channel_list;

	uint64_t losses; /* WEFT_LOSS */

	struct weft_gpu *gpus; /* owns: of each GPU that regions are on. See mem.h. */
	struct weft_share *share; /* owns: the list of regions that other processes can reach ... */
	bool share_failed; /* ... which cannot be had. */
	struct weft_share *shares; /* owns: others' lists. */
	struct weft_import *imports; /* owns: what is mapped of them. */
	struct weft_hauls *hauls; /* owns; NULL: there was none yet. */
	uint32_t moving; /* Direct copies under way. */
	/* Bytes that no engine sees: of WRITEs and READs of ours, and of WRITEs of others that had something to tell. */
	uint64_t direct_written, direct_read, direct_taken;
	bool unsettled; /* Bytes were put that may not be in their place yet. */
};

/* Its address tells threads from each other. */
extern _Thread_local char weft_here __attribute__((tls_model("initial-exec")));

static inline void weft_card_lock(struct weft_card *card)
{
	pthread_mutex_lock(&card->lock);
	atomic_store_explicit(&card->holder, &weft_here, memory_order_relaxed);
}

static inline bool weft_card_trylock(struct weft_card *card)
{
	if (pthread_mutex_trylock(&card->lock))
		return false;
	atomic_store_explicit(&card->holder, &weft_here, memory_order_relaxed);
	return true;
}

static inline void weft_card_unlock(struct weft_card *card)
{
	atomic_store_explicit(&card->holder, NULL, memory_order_relaxed);
	pthread_mutex_unlock(&card->lock);
}

/* card.c */
int weft_card_up(struct weft_card *card); /* Claim the identity and open the links, once. */
/* One round: receive, timers, waiting work requests, transmit. True: something was done. */
bool weft_card_work(struct weft_card *card);
/* Runs fn for every open card of the process; not under the card's lock. */
void weft_card_each(void (*fn)(struct weft_card *card, void *arg), void *arg);

/* link.c */
int weft_link_open_udp(struct weft_link *link);
int weft_link_open_local(struct weft_link *link);
void weft_link_close(struct weft_link *link);
void weft_link_forked(struct weft_link *link);
uint32_t weft_link_recv(struct weft_link *link);
void weft_link_timer(struct weft_link *link);
void weft_link_drain(struct weft_link *link);
/* The address by which engines know a process: the GID with the slot folded in. */
void weft_link_address(const struct weft_card *card, const struct weft_gid *gid, uint8_t slot,
		       struct weft_gid *address_out);
/* And back. */
void weft_link_gid(const struct weft_card *card, const struct weft_gid *address,
		   struct weft_gid *gid_out, uint8_t *slot_out);
/* The file name of a process: of its inbox, and of its list of GPU memory. */
void weft_link_name(const struct weft_gid *address, char *name, size_t len);
/* Whether the process with this address can be reached through shared memory. */
bool weft_link_sees(struct weft_link *link, const struct weft_gid *address);
/* Before sleeping: true when something has come already. */
bool weft_link_sleep(struct weft_link *link);

/* peer.c */
struct weft_peer *weft_peer_look(struct weft_ah *ah, uint8_t slot);
void weft_peers_drop(struct weft_ah *ah);

/* The process `slot` at that address, or NULL: no memory for it. Valid until the next call for this handle. */
static inline struct weft_peer *weft_peer_find(struct weft_ah *ah, uint8_t slot)
{
	if (ah->peer.slot == slot && ah->peer.link != WEFT_LINKS)
		return &ah->peer;
	return weft_peer_look(ah, slot);
}

/* mr.c */
struct weft_region *weft_region_find(struct weft_card *card, uint32_t key, bool remote);
/* A piece of local memory that a work request names: 0 or -EACCES. */
int weft_region_check(struct weft_card *card, const struct weft_pd *pd, const struct weft_sge *sge,
		      uint32_t access);
struct weft_region *weft_region_at(struct weft_card *card, uint32_t index);
/* Where [addr, addr + len) of the region `rkey` lies in our memory; NULL unless all of it may be accessed. */
void *weft_region_remote(struct weft_card *card, const struct weft_pd *pd, uint32_t rkey,
			 uint64_t addr, uint64_t len, uint32_t access,
			 const struct weft_gpu_mem **gpu_out);
/* Pieces of [off, off + len) over a list of SGEs, to be read until the end of this round. The list was checked before. */
uint32_t weft_sges_slice(struct weft_card *card, const struct weft_sge *sge, uint32_t n,
			 uint32_t off, uint32_t len, struct iovec *iov_out);
/* Copy into it; less than len when a region has gone meanwhile. */
uint32_t weft_sges_put(struct weft_card *card, const struct weft_sge *sge, uint32_t n, uint32_t off,
		       const void *data, uint32_t len);
void weft_regions_fini(struct weft_card *card);

/* ah.c */
uint16_t weft_ah_lookup(const struct weft_pd *pd, const struct weft_gid *gid);

/* sq.c */
static inline uint8_t *weft_sq_copy(const struct weft_qp *qp, const struct weft_wqe *wqe)
{
	return qp->sq.copies + (size_t)(wqe - qp->sq.wqe) * WEFT_DEV_MSG_MAX;
}

void weft_sq_init(struct weft_qp *qp);
void weft_sq_flush(struct weft_qp *qp, bool silently);
void weft_sq_retry(struct weft_card *card);
/* UD messages that nobody wanted for long enough are done. */
void weft_sq_expire_ud(struct weft_card *card);
/* Give UD messages that count as sent a moment to leave. Gives the card's lock up meanwhile. */
void weft_sq_linger(struct weft_card *card);
void weft_sq_cancel_mr(struct weft_card *card, const struct weft_pd *pd, uint32_t lkey);
void weft_sq_cancel_ah(struct weft_card *card, const struct weft_ah *ah);
/* A direct copy has ended. */
void weft_sq_on_moved(struct weft_card *card, uint64_t cookie, uint32_t serial,
		      enum weft_moved how);
void weft_sq_on_complete(struct weft_card *card, uint64_t cookie, enum weft_srd_status status);
struct weft_wqe *weft_sq_by_cookie(struct weft_card *card, uint64_t cookie,
				   struct weft_qp **qp_out);

/* rq.c */
void weft_rq_init(struct weft_qp *qp);
void weft_rq_flush(struct weft_qp *qp, bool silently);
enum weft_srd_status weft_rq_claim(struct weft_card *card, const struct weft_srd_msg_info *info,
				   uint64_t *recv_out);
void weft_rq_place(struct weft_card *card, uint64_t recv, uint32_t off, const void *data,
		   uint32_t len);
void weft_rq_done(struct weft_card *card, uint64_t recv, const struct weft_srd_msg_info *info);
void weft_rq_release(struct weft_card *card, uint64_t recv, const struct weft_srd_msg_info *info);
/* The QP that may be the target of a remote operation now, or NULL. */
struct weft_qp *weft_qp_target(struct weft_card *card, uint16_t qpn);

/* qp.c */
struct weft_qp *weft_qp_by_number(struct weft_card *card, uint16_t qpn);

/* cq.c */
void weft_cq_push(struct weft_cq *cq, const struct weft_qp *qp, const struct weft_cqe *cqe);
bool weft_cq_is_full(const struct weft_cq *cq);

/* helper.c */
int weft_helper_start(void);
void weft_helper_stop(void); /* At exit. */
void weft_helper_kick(void);
/* A CQ was armed: from now on its client may sleep. Under the card's lock, as is the next. */
void weft_helper_watch(struct weft_card *card);
void weft_helper_rouse(struct weft_card *card);

/* When the helper's nap ends; 0: it ticks, 1: it looks whether it may nap. */
extern _Atomic uint64_t weft_helper_nap_end;

/* After each round of work that a client has done: the helper may be asleep, by a deadline that is now wrong, or
 * while we took its notice of shared memory away. */
static inline void weft_helper_look_after(struct weft_card *card)
{
	if (atomic_load(&weft_helper_nap_end))
		weft_helper_rouse(card);
}
void weft_helper_forked(void);

/* key.c */
/* The cluster key for frames between us and `ip`-like addresses. 0 or -errno. */
int weft_key_get(const struct weft_card_info *info, uint8_t key_out[16]);

/* report.c */
void weft_report_up(struct weft_card *card);
void weft_report(struct weft_card *card);
void weft_report_down(struct weft_card *card);
void weft_report_fini(void);
void weft_report_forked(void);

#endif
