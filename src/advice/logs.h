/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_ADVICE_LOGS_H
#define WEFT_ADVICE_LOGS_H

/* Logs of jobs: bytes in, in pieces of any size, and out comes which rank used which network, which failed first,
 * and what the messages mean. Memory is bounded whatever comes in. */
#include "advice/efacode.h"
#include "advice/finding.h"
#include "advice/logline.h"

#define WEFT_LOGS_LINE_MAX    65536u /* What stands further behind in a line is not read. */
#define WEFT_LOGS_SOURCES_MAX 32768u
#define WEFT_LOGS_VERSIONS    8u /* Distinct ones of one library that are kept. */
#define WEFT_LOGS_TEXT        240u
#define WEFT_LOGS_RECENT      256u /* A power of two. */

/* A message is a finding, or a completion code (behind the findings). */
#define WEFT_LOGS_MSGS (WEFT_FINDING_COUNT + WEFT_EFA_CODES)
#define WEFT_LOGS_NONE UINT32_MAX

struct weft_log_place {
	uint32_t file; /* Index of weft_logs.file. */
	uint64_t line; /* 0: nowhere. */
	enum weft_log_clock clock;
	int64_t time_ns;
};

/* What a network is called in the log, as bits: a process may have several. */
enum {
	WEFT_LOG_NET_LIBFABRIC = 1,
	WEFT_LOG_NET_SOCKET = 2,
	WEFT_LOG_NET_IB = 4,
	WEFT_LOG_NET_OTHER = 8,
};

/* What a failure is to the rank that tells it. */
enum weft_log_role {
	WEFT_LOG_OWN,
	WEFT_LOG_REASON, /* Why it is not on EFA; nothing at all if it is on EFA in the end. */
	WEFT_LOG_ECHO, /* It only notices that another rank has failed. */
	WEFT_LOG_ROLES,
};

/* A rank, as far as the log tells ranks apart: the launcher's label, else host and pid, else the pod, else the file. */
struct weft_log_source {
	uint64_t key, alias; /* Hashes of its names. alias: of its pid in its file; 0: none. */
	bool is_shared; /* Another process has the same alias. */
	char host[64], pod[64];
	uint32_t file, pid;
	int32_t job, rank,
		rank_last; /* Several GPUs in a process are several ranks. -1: unknown. */
	uint32_t nranks;
	bool labelled; /* rank is the launcher's. */

	uint32_t nets; /* WEFT_LOG_NET_* */
	char net[24], provider[32], fabric[32], protocol[16], platform[32];
	uint32_t cards; /* 0: unknown. */
	uint32_t channels, channels_gdr, channels_socket;
	bool endpoint, gda, btl_tcp, ucx_srd, ucx_tcp, ofi;
	char mtl[32];

	enum weft_log_clock clock;
	int64_t time_ns; /* The last one seen. */
	uint64_t fork_line;
	struct weft_log_place first[WEFT_LOG_ROLES]; /* First failure of each role. */
	uint32_t first_msg[WEFT_LOG_ROLES]; /* WEFT_LOGS_NONE: none. */
	uint64_t seen[(WEFT_LOGS_MSGS + 63) / 64];
};

struct weft_log_msg {
	uint64_t count;
	uint32_t sources; /* How many have said it. */
	uint32_t source; /* Who was first. */
	struct weft_log_place first;
	char text[WEFT_LOGS_TEXT];
};

enum weft_log_lib {
	WEFT_LOG_LIB_NCCL,
	WEFT_LOG_LIB_PLUGIN,
	WEFT_LOG_LIB_OFI,
	WEFT_LOG_LIB_CUDA,
	WEFT_LOG_LIBS,
};

struct weft_log_version {
	char text[40];
	uint64_t count;
};

struct weft_logs {
	const char **file; /* owns the array, borrows the names. */
	uint32_t files;
	struct weft_log_source *source; /* owns */
	uint32_t sources, cap, dropped; /* dropped: lines of sources past the maximum. */
	uint32_t *index; /* owns. Hash table over `source`; UINT32_MAX: free. */
	uint32_t index_size;
	uint32_t recent
		[WEFT_LOGS_RECENT]; /* By rank or pid: lines of one process come many in a row. */
	struct weft_log_msg msg[WEFT_LOGS_MSGS];
	struct weft_log_version version[WEFT_LOG_LIBS][WEFT_LOGS_VERSIONS];

	uint64_t bytes, lines, hits, noise, cut; /* cut: lines that are longer than is read. */
	uint64_t line; /* Lines of this file before what is read now. */
	char *carry; /* owns. The beginning of a line whose end is still to come. */
	size_t carried;
	bool skipping; /* To the end of a line that is too long. */
	uint64_t
		scanned; /* Rows of `source` that were looked at one after the other: a budget against lines that
			   * are made to be slow. */
	bool failed; /* Out of memory. */

	/* The first time that a source says something. May be NULL. */
	void (*on_new)(void *arg, const struct weft_logs *logs, uint32_t source, uint32_t msg);
	void *arg;
};

/* NULL: out of memory. */
struct weft_logs *weft_logs_create(void);
void weft_logs_destroy(struct weft_logs *logs);

/* What is fed from now on is of this file. `name` is borrowed as long as the logs live. -ENOMEM. */
int weft_logs_file(struct weft_logs *logs, const char *name);
void weft_logs_feed(struct weft_logs *logs, const char *data, size_t len);

/* The end of a file, or of everything. A last line without its end is read. */
void weft_logs_end(struct weft_logs *logs);

/* "rank 3 (host:pid)" and the like, into buf; returns buf. */
char *weft_logs_source_name(const struct weft_logs *logs, uint32_t source, char *buf, size_t len);

/* The finding that a message stands for. */
enum weft_finding_id weft_logs_finding_of(uint32_t msg);

enum weft_log_role weft_logs_role_of(uint32_t msg);

#endif
