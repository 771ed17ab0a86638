/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_ADVICE_LOGSIG_H
#define WEFT_ADVICE_LOGSIG_H

/* What messages mean: one table, logsig.inc, of literal strings and what each says. */
#include "advice/finding.h"

/* Where the string has to stand; anywhere else it is somebody quoting it. */
enum weft_sig_where {
	WEFT_SIG_NCCL, /* In a line of NCCL's log. */
	WEFT_SIG_OFI, /* In a line of libfabric's log. */
	WEFT_SIG_UCX,
	WEFT_SIG_OMPI, /* Behind Open MPI's [host:pid]. */
	WEFT_SIG_START, /* At the very beginning of a message that no logging library has labelled. */
	WEFT_SIG_ANY, /* Wherever: the string is long and says all by itself. */
};

enum weft_sig_kind {
	WEFT_SIG_SAYS, /* arg: enum weft_log_says. The values are read from the line. */
	WEFT_SIG_FIND, /* arg: enum weft_finding_id. */
	WEFT_SIG_CODE, /* arg: the code that the text belongs to. */
	WEFT_SIG_NUMBER, /* arg: the base. The code is the number behind `also`, or the last one in
			  * parentheses. */
	WEFT_SIG_NOISE, /* Known, and harmless. arg: 0. */
};

enum weft_log_says {
	WEFT_SAYS_NCCL_VERSION,
	WEFT_SAYS_PLUGIN_VERSION,
	WEFT_SAYS_OFI_VERSION,
	WEFT_SAYS_CUDA_VERSION,
	WEFT_SAYS_PROVIDER, /* efa, fabric is efa-direct (found 16 nics) */
	WEFT_SAYS_PROTOCOL, /* RDMA (platform set) */
	WEFT_SAYS_NETWORK, /* Libfabric */
	WEFT_SAYS_CHANNEL, /* Libfabric/3/GDRDMA */
	WEFT_SAYS_COMM, /* 0x55... rank 3 nranks 16 */
	WEFT_SAYS_PLATFORM, /* p5.48xlarge platform, ... */
	WEFT_SAYS_ENDPOINT, /* libfabric has made an endpoint of the EFA provider. */
	WEFT_SAYS_MTL, /* The provider that Open MPI's mtl/ofi takes. */
	WEFT_SAYS_BTL, /* The btl that Open MPI sends to a peer with. */
	WEFT_SAYS_UCX, /* The lanes between nodes. */
	WEFT_SAYS_GDA, /* NCCL's GPU initiates transfers itself. */
	WEFT_SAYS_DEATH, /* A launcher says that a rank has ended; its number is behind `also`. */
	WEFT_SAYS_OS_FORK, /* A Python traceback is at os.fork() ... */
	WEFT_SAYS_NO_MEMORY, /* ... and ends with ENOMEM. */
};

struct weft_log_sig {
	enum weft_sig_where where;
	const char *text;
	uint32_t len;
	enum weft_sig_kind kind;
	uint32_t arg;
	const char *also; /* Must be in the same line, behind it. "": nothing. */
	const char *source; /* Where the string is from. */
};

uint32_t weft_log_sig_count(void);
const struct weft_log_sig *weft_log_sig_at(uint32_t index);

/* Before the first search. */
void weft_log_sig_init(void);

/* The search for all strings at once. Zeroed it is at the beginning. */
struct weft_log_hit {
	size_t end; /* Where it goes on. */
	uint32_t row; /* 1 + index of the row that was found; 0: none yet. */
	size_t at; /* Where in the text. */
};

/* The next string in text[from, len), in the order of where they are met, which is not quite that of where they
 * begin. False: no more. */
bool weft_log_sig_next(const char *text, size_t from, size_t len, struct weft_log_hit *hit);

#endif
