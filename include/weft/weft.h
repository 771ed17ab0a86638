/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_WEFT_H
#define WEFT_WEFT_H

/* weft's cards for a program that wants them without libibverbs: an endpoint on a card, memory that it may use, other
 * endpoints by their addresses, and messages to them.
 *
 * Messages arrive at most once, in any order, and each one's fate is told by one completion. There is no connection: an
 * endpoint talks to as many others as it has addresses of. Whoever posts or polls does the work; there is no thread to
 * set up and nothing to wait for.
 *
 * All functions may be called from any thread, except that one endpoint is polled by one thread at a time. Functions
 * that can fail return 0 or a negative errno, and write their outputs only on success. Structs that may grow begin with
 * their size, which the caller fills in. */
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weft_ep; /* An endpoint. */
struct weft_remote; /* Another one, as seen from an endpoint. */
struct weft_mem; /* Memory that an endpoint may use. */

/* The cards of this process, as WEFT_CARDS, WEFT_INSTANCE and WEFT_ADDR make them. */
struct weft_card_desc {
	char name[32]; /* rdmap16s27 */
	uint32_t mbps; /* Speed in Mb/s. */
	int32_t numa; /* -1: no node in particular. */
	uint32_t is_udp_only; /* Not 0: shared memory is switched off (WEFT_WIRE=udp). */
	uint8_t gid[16]; /* Says who this is, all over the network. */
};

/* Their number, and the first `max` of them. -errno: there are none, for which *why_out is a reason in one line. */
int weft_cards(struct weft_card_desc *cards, uint32_t max, const char **why_out);

/* Endpoints */

struct weft_ep_cfg {
	size_t size; /* Of this struct. */
	uint32_t sends, recvs; /* Requests of each kind that may be outstanding. */
};

struct weft_address { /* To be handed to others by whatever means. */
	uint8_t gid[16];
	uint32_t key;
	uint16_t number, reserved;
};

#define WEFT_SEND_MAX  8928u /* Bytes of a message. */
#define WEFT_WRITE_MAX 1073741824u /* Bytes of a WRITE or READ. */

int weft_ep_open(uint32_t card, const struct weft_ep_cfg *cfg, struct weft_ep **ep_out);
/* What is outstanding is forgotten without a completion. Remotes and memory are to be closed before. */
void weft_ep_close(struct weft_ep *ep);
void weft_ep_address(const struct weft_ep *ep, struct weft_address *address_out);

int weft_remote_open(struct weft_ep *ep, const struct weft_address *address,
		     struct weft_remote **remote_out);
void weft_remote_close(struct weft_remote *remote);

/* Memory, of the host or of a GPU (as libcuda tells). Others may write and read it when they know its key. */
int weft_mem_open(struct weft_ep *ep, void *addr, size_t len, struct weft_mem **mem_out);
/* Requests that still use it fail. Never waits. */
void weft_mem_close(struct weft_mem *mem);
uint32_t weft_mem_key(const struct weft_mem *mem);

/* Is GPU memory taken here? */
enum weft_mem_gpu {
	WEFT_MEM_GPU_NO,
	WEFT_MEM_GPU_STAGED, /* Yes, by way of host memory. */
	WEFT_MEM_GPU_DIRECT, /* And between processes of one host from GPU to GPU, where these can. */
};

enum weft_mem_gpu weft_mem_gpu(void);

/* Requests. `user` comes back with the completion. -EAGAIN: too many are outstanding. */

int weft_send(struct weft_ep *ep, struct weft_remote *to, const struct weft_mem *mem,
	      const void *data, uint32_t len, void *user);
/* Small messages out of memory that need not be registered, at most this many bytes. */
#define WEFT_INLINE_MAX 32u
int weft_send_inline(struct weft_ep *ep, struct weft_remote *to, const void *data, uint32_t len,
		     void *user);
int weft_recv(struct weft_ep *ep, const struct weft_mem *mem, void *data, uint32_t len, void *user);
/* From our memory to the address in the other one's memory of that key. imm, if not NULL, arrives there when all the
 * bytes have, as a completion of its own. */
int weft_write(struct weft_ep *ep, struct weft_remote *to, const struct weft_mem *mem,
	       const void *data, uint32_t len, uint64_t to_addr, uint32_t to_key,
	       const uint32_t *imm, void *user);
int weft_read(struct weft_ep *ep, struct weft_remote *from, const struct weft_mem *mem, void *data,
	      uint32_t len, uint64_t from_addr, uint32_t from_key, void *user);

enum weft_done_what {
	WEFT_DONE_SEND, /* Of weft_send and weft_read. */
	WEFT_DONE_WRITE,
	WEFT_DONE_RECV, /* A message is in the memory of that weft_recv. */
	WEFT_DONE_IMM, /* A WRITE with immediate value has arrived. */
};

struct weft_done {
	void *user; /* IMM: NULL if it took no receive. */
	uint32_t what; /* enum weft_done_what */
	uint32_t status; /* 0: good; else EFA's completion status, see weft_status_text. */
	uint32_t len; /* RECV, IMM: bytes that arrived. */
	uint32_t imm;
};

/* Does the card's work, and hands out at most `max` completions; returns their number. Never sleeps or yields. */
uint32_t weft_poll(struct weft_ep *ep, struct weft_done *done, uint32_t max);
const char *weft_status_text(uint32_t status);

#ifdef __cplusplus
}
#endif

#endif
