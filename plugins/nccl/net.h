/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_NCCL_NET_H
#define WEFT_NCCL_NET_H

/* The plugin's core, below the versions of NCCL's interface (shim.c): functions as NCCL means them, in enum nccl_result.
 *
 * A device is what NCCL sees as a network card: one card of weft or several, over which each message is striped. A comm
 * is one direction between two ranks. All comms of a device share one endpoint on each of its cards, since an endpoint
 * of weft talks to anybody.
 *
 * The receiver says where a message may go (CTS, "clear to send": addresses, keys, tags), the sender writes it there, and
 * an immediate value with the last byte tells the receiver which of its requests has it. So data moves once, straight
 * from buffer to buffer, of whatever memory they are.
 *
 * One lock for all of it: calls are short, and a process has one or two threads that call. Where it takes a core to keep a card
 * busy (UDP), each card has a thread of its own, which posts what it is given and takes that lock to say what came of it. */
#include "ncclnet.h"
#include "weft/weft.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define NET_CARDS_MAX    32u
#define NET_DEVS_MAX     32u
#define NET_COMMS_MAX    4096u
#define NET_REQUESTS_MAX 64u /* Of one comm; NCCL has at most 32. */
#define NET_GROUP_MAX    8u /* Receives in one request. */
#define NET_CTL_BYTES \
	1280u /* The longest control message: a CTS of a whole group over all cards. */
#define NET_CTL_RECVS 512u
#define NET_CTL_SENDS 512u
#define NET_SENDS     4096u

/* Control messages. Everything is of this machine's byte order: both ends are weft on like hosts, which the magic
 * number in the handle makes sure of. */
enum net_ctl_type {
	NET_CTL_CONNECT = 1, /* sender to listener: my addresses */
	NET_CTL_ACCEPT, /* and back: mine */
	NET_CTL_CTS, /* receiver to sender: where the next messages go */
	NET_CTL_PING, /* to see whether the other side lives */
	NET_CTL_GONE, /* answer to a PING for a comm that is not there */
};

struct net_ctl {
	uint8_t type, cards, n, slot;
	uint32_t to; /* comm (or listener) at the receiver of this message */
	uint32_t from; /* comm at its sender */
	uint32_t seq; /* CTS: number of the request. CONNECT: the listener's nonce. */
};

struct net_cts_part { /* `n` of them follow a CTS; then the keys, `cards` for each part. */
	uint64_t addr, size;
	int32_t tag;
	uint32_t reserved;
};

#define NET_NOBODY UINT32_MAX

struct net_handle { /* What NCCL carries from the listener to who connects. */
	uint32_t magic, version;
	struct weft_address address;
	uint32_t listener, nonce;
};

struct net_job { /* For a card's thread. */
	struct net_request *req; /* NULL: a control message. */
	struct weft_remote *to;
	const struct weft_mem *mem;
	const void *data;
	uint32_t len, key, imm;
	uint64_t to_addr;
};

struct net_card { /* One of a device's cards, while the device is in use. */
	struct weft_ep *ep;
	struct net_worker
		*worker; /* Owns: its thread (card.c); NULL: whoever calls does the work. */
	struct weft_address address;
	struct weft_mem *mem; /* Of ctl. */
	uint8_t *ctl; /* Owns: receives, then sends. */
	uint16_t *free; /* Sends that are free. */
	uint32_t free_len;
	uint32_t posted; /* Requests with the endpoint. */
};

struct net_dev {
	uint32_t index; /* NCCL's number. */
	char name[96], *pci_path;
	uint64_t guid;
	uint32_t mbps;
	uint32_t card_index[NET_CARDS_MAX];
	uint32_t cards;
	bool is_udp_only;
	uint32_t refs; /* Comms, listeners and memory that use the cards. */
	_Atomic uint64_t polled_at; /* ns */
	struct net_card card[NET_CARDS_MAX];
	struct net_comm *
		zombies; /* Closed with requests under way: freed as these end, or with the cards. */
};

struct net_request {
	struct net_comm *comm;
	bool used;
	uint8_t n; /* Receive: parts. */
	uint8_t slot;
	uint32_t left; /* Send: stripes not yet done. */
	size_t size[NET_GROUP_MAX];
	uint8_t got[NET_GROUP_MAX], want[NET_GROUP_MAX]; /* Stripes; want 0: nothing came yet. */
};

struct net_cts { /* As it came, at the sender. */
	bool valid;
	uint8_t n, slot, taken; /* taken: bits of the parts. */
	uint32_t seq;
	struct net_cts_part part[NET_GROUP_MAX];
	uint32_t key[NET_GROUP_MAX][NET_CARDS_MAX];
};

struct net_comm {
	struct net_dev *dev;
	uint32_t id, peer_id;
	bool is_recv, is_ready, is_closed;
	bool pinging;
	uint32_t status; /* Not 0: it is broken, and why (weft_status_text). */
	uint32_t cards; /* In use: the fewer of both sides. */
	struct weft_remote *remote[NET_CARDS_MAX];
	uint32_t seq; /* Next request. */
	uint32_t inflight; /* Of our requests, with endpoints. */
	uint64_t heard_at; /* When the other side last showed that it is there; ns. */
	struct net_request request[NET_REQUESTS_MAX];
	struct net_cts *cts; /* Sender: NET_REQUESTS_MAX. Owns. */
	struct net_comm *next_zombie;
};

struct net_connect { /* One that waits to be accepted. */
	struct net_connect *next;
	uint32_t from, cards;
	struct weft_address address[NET_CARDS_MAX];
};

struct net_listener {
	struct net_dev *dev;
	uint32_t id, nonce, waiting;
	struct net_connect *first, *last;
};

struct net_mem {
	struct net_dev *dev;
	struct weft_mem *mem[NET_CARDS_MAX];
};

extern pthread_mutex_t net_lock;
extern nccl_logger *net_log;

#define NET_WARN(...) net_say(NCCL_LOG_WARN, __FILE__, __LINE__, __VA_ARGS__)
#define NET_INFO(...) net_say(NCCL_LOG_INFO, __FILE__, __LINE__, __VA_ARGS__)
void net_say(int level, const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* devices.c */
int net_devices(uint32_t *count_out); /* Finds them, once. */
struct net_dev *net_device(int dev);
bool net_is_direct(void); /* From GPU to GPU, where it can? */
int net_dev_get(struct net_dev *dev); /* Opens the cards for the first. */
void net_dev_put(struct net_dev *dev);

/* comm.c: what the cards say. */
void net_on_connect(struct net_dev *dev, const struct net_ctl *ctl, uint32_t len);
void net_on_accept(struct net_dev *dev, const struct net_ctl *ctl, uint32_t len);
void net_on_ping(struct net_dev *dev, const struct net_ctl *ctl, uint32_t len);
void net_on_gone(const struct net_ctl *ctl);
void net_comm_break(struct net_comm *comm, uint32_t status);
void net_comm_unused(struct net_comm *comm); /* A request of it ended: it may be its last. */
struct net_comm *net_comm_by_id(uint32_t id);
int net_comm_check(struct net_comm *comm);
void net_comm_keep_watch(struct net_comm *comm);

/* transfer.c */
void net_on_cts(const struct net_ctl *ctl, uint32_t len);
void net_on_imm(uint32_t imm, uint32_t len, uint32_t status);
void net_on_written(struct net_request *req, uint32_t status);

/* card.c */
int net_card_open(uint32_t index, struct net_card *card);
void net_card_close(struct net_card *card);
/* From now on it has a thread of its own. False: it has not. */
bool net_card_employ(struct net_dev *dev, struct net_card *card);
void net_card_dismiss(struct net_card *card);
/* What still waits for its thread, to that remote or from that memory, fails. */
void net_card_drop(struct net_card *card, const struct weft_remote *to, const struct weft_mem *mem);
/* Room for a control message, or NULL: too many are under way. */
struct net_ctl *net_ctl_alloc(struct net_card *card);
/* `then` is closed when it has left. The comm breaks if it cannot be delivered; it may be NULL. */
int net_ctl_send(struct net_card *card, struct net_ctl *ctl, uint32_t len, struct weft_remote *to,
		 struct net_comm *comm, struct weft_remote *then);
int net_card_write(struct net_card *card, struct net_request *req, struct weft_remote *to,
		   const struct weft_mem *mem, const void *data, uint32_t len, uint64_t to_addr,
		   uint32_t key, uint32_t imm);
bool net_card_has_room(const struct net_card *card);
/* Not more often than is of use: NCCL asks for each of its requests in turn. */
void net_dev_poll(struct net_dev *dev);
/* In a loop that waits for something: where cards have threads they get the lock meanwhile. */
void net_dev_wait(struct net_dev *dev);
uint64_t net_clock(void); /* ns */

/* The core, as NCCL calls it. */
int net_init(nccl_logger *log);
int net_properties(int dev, struct nccl_props_v11 *props);
int net_listen(int dev, void *handle, void **listen_comm);
int net_connect(int dev, void *handle, void **send_comm);
int net_accept(void *listen_comm, void **recv_comm);
int net_close(void *comm);
int net_close_listen(void *listen_comm);
int net_reg(void *comm, void *data, size_t size, void **mhandle);
int net_dereg(void *mhandle);
int net_isend(void *send_comm, void *data, size_t size, int tag, void *mhandle, void **request);
int net_irecv(void *recv_comm, int n, void **data, const size_t *sizes, const int *tags,
	      void **mhandles, void **request);
int net_test(void *request, int *done, int *sizes);

#endif
