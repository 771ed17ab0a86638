/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_DEV_COUNTERS_H
#define WEFT_DEV_COUNTERS_H

/* Counters with EFA's names, in one page per process: the file counters-<pid> in the run directory, readable by
 * the same user. The process keeps an exclusive flock on it for its life: a page without one is stale, also
 * across pid namespaces, and the next process that makes a page removes it. A writer never waits for
 * readers, and readers check the sequence number (odd while being written). */
#include "base/types.h"

#include <stdatomic.h>

#define WEFT_COUNTERS_MAGIC 0x54464557u /* "WEFT" */
#define WEFT_COUNTERS_MAX   96u /* Places for counters of one card. */

/* The one list: X(enum, name, meaning). EFA's own names first, in the order of its driver. Those of drops
 * follow enum weft_srd_drop (held together in counters.c). */
#define WEFT_COUNTERS_EFA(X)                                                                  \
	X(TX_BYTES, "tx_bytes", "bytes sent, headers and retransmissions included")           \
	X(TX_PKTS, "tx_pkts", "packets sent")                                                 \
	X(RX_BYTES, "rx_bytes", "bytes received")                                             \
	X(RX_PKTS, "rx_pkts", "packets received")                                             \
	X(RX_DROPS, "rx_drops", "packets dropped, for any of the reasons rx_drop_*")          \
	X(SEND_BYTES, "send_bytes", "bytes of SEND requests")                                 \
	X(SEND_WRS, "send_wrs", "SEND requests")                                              \
	X(RECV_BYTES, "recv_bytes", "bytes received into posted receives")                    \
	X(RECV_WRS, "recv_wrs", "receives completed")                                         \
	X(RDMA_READ_WRS, "rdma_read_wrs", "READ requests made here")                          \
	X(RDMA_READ_BYTES, "rdma_read_bytes", "bytes read by them")                           \
	X(RDMA_READ_WR_ERR, "rdma_read_wr_err", "READ requests that failed")                  \
	X(RDMA_READ_RESP_BYTES, "rdma_read_resp_bytes", "bytes that peers read here")         \
	X(RDMA_WRITE_WRS, "rdma_write_wrs", "WRITE requests made here")                       \
	X(RDMA_WRITE_BYTES, "rdma_write_bytes", "bytes written by them")                      \
	X(RDMA_WRITE_WR_ERR, "rdma_write_wr_err", "WRITE requests that failed")               \
	X(RDMA_WRITE_RECV_BYTES, "rdma_write_recv_bytes", "bytes that peers wrote here")      \
	X(RETRANS_BYTES, "retrans_bytes", "bytes sent again")                                 \
	X(RETRANS_PKTS, "retrans_pkts", "packets sent again")                                 \
	X(RETRANS_TIMEOUT_EVENTS, "retrans_timeout_events",                                   \
	  "times a timer, not an answer, said so")                                            \
	X(UNRESPONSIVE_REMOTE_EVENTS, "unresponsive_remote_events", "peers given up as dead") \
	X(IMPAIRED_REMOTE_CONN_EVENTS, "impaired_remote_conn_events",                         \
	  "times the way to a peer got bad")

#define WEFT_COUNTERS_DROPS(X)                                                                 \
	X(DROP_SHORT, "rx_drop_short", "shorter than a header, or than it says")               \
	X(DROP_LONG, "rx_drop_long", "longer than it says, or than we take")                   \
	X(DROP_VERSION, "rx_drop_version", "of another version of the protocol")               \
	X(DROP_TYPE, "rx_drop_type", "unknown type, operation or field value")                 \
	X(DROP_TAG, "rx_drop_tag", "authentication failed: corrupt, or of another cluster")    \
	X(DROP_CRC, "rx_drop_crc", "checksum of the payload wrong or missing")                 \
	X(DROP_NO_CONTEXT, "rx_drop_no_context", "for a context that is not there (any more)") \
	X(DROP_ADDRESS, "rx_drop_address", "HELLO for another address")                        \
	X(DROP_STALE, "rx_drop_stale", "handshake of an earlier attempt")                      \
	X(DROP_DUPLICATE, "rx_drop_duplicate", "arrived before")                               \
	X(DROP_WINDOW, "rx_drop_window", "beyond the window")                                  \
	X(DROP_BOUNDS, "rx_drop_bounds", "outside of its message")                             \
	X(DROP_TRIMMED, "rx_drop_trimmed", "cut by the network, asked for again")              \
	X(DROP_NO_MEMORY, "rx_drop_no_memory", "no place for it here; sent again")

#define WEFT_COUNTERS_WEFT(X)                                                                   \
	X(DATA_TX_PKTS, "data_tx_pkts", "data packets sent, retransmissions included")          \
	X(DATA_TX_BYTES, "data_tx_bytes", "payload of them")                                    \
	X(RETRANS_SPURIOUS, "retrans_spurious", "sent again though the first copy had arrived") \
	X(TAIL_PROBES, "tail_probes", "last packets sent again on suspicion")                   \
	X(PATH_PROBES, "path_probes", "probes of paths that were given up")                     \
	X(PATH_OUT, "path_out", "paths given up")                                               \
	X(PATH_IN, "path_in", "paths taken back")                                               \
	X(ACKS_TX, "acks_tx", "acknowledgements sent")                                          \
	X(ACKS_RX, "acks_rx", "acknowledgements received")                                      \
	X(RNR_TX, "rnr_tx", "receiver-not-ready answers given")                                 \
	X(RNR_RX, "rnr_rx", "receiver-not-ready answers got")                                   \
	X(CREDIT_GRANTS, "credit_grants", "credits granted to senders of an incast")            \
	X(CWND_CUTS, "cwnd_cuts", "times a congestion window was cut")                          \
	X(PAYLOAD_SHRINKS, "payload_shrinks", "times packets were made smaller to get through") \
	X(CONTEXTS_OPENED, "contexts_opened", "contexts with peers opened")                     \
	X(CONTEXTS_RESET, "contexts_reset", "contexts reset")                                   \
	X(LOSS_INJECTED, "loss_injected", "packets lost on purpose (WEFT_LOSS)")                \
	X(UDP_TX_CALLS, "udp_tx_calls", "system calls to send")                                 \
	X(UDP_TX_FRAMES, "udp_tx_frames", "frames sent by UDP")                                 \
	X(UDP_TX_BYTES, "udp_tx_bytes", "bytes of them")                                        \
	X(UDP_TX_LOST, "udp_tx_lost", "frames that the kernel refused")                         \
	X(UDP_RX_CALLS, "udp_rx_calls", "system calls to receive")                              \
	X(UDP_RX_FRAMES, "udp_rx_frames", "frames received by UDP")                             \
	X(UDP_RX_BYTES, "udp_rx_bytes", "bytes of them")                                        \
	X(UDP_RX_EMPTY, "udp_rx_empty", "calls that found nothing")                             \
	X(UDP_RX_TRUNCATED, "udp_rx_truncated", "datagrams too long for us")                    \
	X(UDP_RX_JOINED, "udp_rx_joined", "frames put together from scattered parts")           \
	X(UDP_RX_BAD_PARTS, "udp_rx_bad_parts", "parts of frames that made no sense")           \
	X(LOCAL_TX_FRAMES, "local_tx_frames", "frames sent through shared memory")              \
	X(LOCAL_TX_BYTES, "local_tx_bytes", "bytes of them")                                    \
	X(LOCAL_TX_FULL, "local_tx_full", "times a ring was full")                              \
	X(LOCAL_RX_FRAMES, "local_rx_frames", "frames received through shared memory")          \
	X(LOCAL_RX_BYTES, "local_rx_bytes", "bytes of them")                                    \
	X(LOCAL_RX_BAD, "local_rx_bad", "rings given up because their content made no sense")

#define WEFT_COUNTERS(X)       \
	WEFT_COUNTERS_EFA(X)   \
	WEFT_COUNTERS_DROPS(X) \
	WEFT_COUNTERS_WEFT(X)

enum weft_counter {
#define WEFT_COUNTER_ENUM(id, name, what) WEFT_COUNTER_##id,
	WEFT_COUNTERS(WEFT_COUNTER_ENUM)
#undef WEFT_COUNTER_ENUM
	WEFT_COUNTER_COUNT,
};

#define WEFT_COUNTERS_NO_SLOT 0xffffu

struct weft_counters_card {
	char name[32];
	struct weft_gid gid; /* All zero: not told. */
	_Atomic uint32_t seq;
	uint16_t slot; /* NO_SLOT: no identity on the wire yet. */
	uint16_t qps;
	uint64_t value[WEFT_COUNTERS_MAX]; /* By enum weft_counter. */
};

struct weft_counters_page {
	uint32_t magic;
	uint32_t version; /* weft_counters_version() of the writer: the list above, hashed. */
	uint32_t size; /* Of the whole page, in bytes. */
	uint32_t pid; /* In the pid namespace of the process. */
	char comm[32];
	uint64_t started_ns; /* CLOCK_REALTIME. */
	uint32_t cards, counters;
	struct weft_counters_card card[];
};

/* "tx_bytes", ...; NULL past the last. */
const char *weft_counter_name(uint32_t index);
const char *weft_counter_what(uint32_t index); /* One line of meaning. */
uint32_t weft_counters_version(void);

/* To be called before the caller's own pthread_atfork, if it holds locks there that it also holds when it calls
 * the functions below: handlers that prepare run in the opposite order. */
void weft_counters_watch_forks(void);

/* Writer: the page of this process, one at a time; names and GIDs of the cards are the caller's to fill in. NULL
 * when it cannot be made (then counters are kept in private memory by the caller). Removes stale pages. After
 * a fork the child's view of it is private memory, empty, and says nothing to others; a child that wants a
 * page makes its own. */
struct weft_counters_page *weft_counters_create(const char *run_dir, uint32_t cards);
void weft_counters_destroy(struct weft_counters_page *page);

/* Around every change of a card's row, by one thread at a time. */
static inline void weft_counters_begin(struct weft_counters_card *card)
{
	atomic_store_explicit(&card->seq,
			      atomic_load_explicit(&card->seq, memory_order_relaxed) + 1,
			      memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

static inline void weft_counters_end(struct weft_counters_card *card)
{
	atomic_store_explicit(&card->seq,
			      atomic_load_explicit(&card->seq, memory_order_relaxed) + 1,
			      memory_order_release);
}

/* Reader: calls fn for the page of each process of this user, living or stale, in order of pid. The page is a copy
 * with sound sizes and printable texts, valid during the call. Pages of other versions are left out. 0 or
 * -errno; no run directory means no pages. */
typedef void weft_counters_fn(void *arg, const struct weft_counters_page *page, bool stale);
int weft_counters_each(const char *run_dir, weft_counters_fn *fn, void *arg);

#endif
