/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_DEV_CONF_H
#define WEFT_DEV_CONF_H

/* Settings. One table (conf.c) of name, default with unit, meaning and parser yields the WEFT_* variables, the
 * keys of /etc/weft.conf and ~/.config/weft.conf ("name = value", # comments; the file nearer to the user
 * wins, the environment wins over both), `weft config` and the man page. Read once per process. */
#include "base/types.h"

enum weft_conf_wire {
	WEFT_CONF_WIRE_AUTO, /* Shared memory where both ends see it, UDP elsewhere. */
	WEFT_CONF_WIRE_UDP,
	WEFT_CONF_WIRE_LOCAL,
};

#define WEFT_CONF_COPIERS_AUTO UINT32_MAX
#define WEFT_CONF_COPIERS_OFF  (UINT32_MAX - 1)

enum weft_conf_gpu {
	WEFT_CONF_GPU_AUTO, /* From GPU to GPU where they can, else by way of host memory. */
	WEFT_CONF_GPU_STAGED,
	WEFT_CONF_GPU_OFF,
};

enum weft_conf_log {
	WEFT_CONF_LOG_ERROR,
	WEFT_CONF_LOG_WARN,
	WEFT_CONF_LOG_INFO,
	WEFT_CONF_LOG_DEBUG,
};

#define WEFT_CONF_TEXT_MAX 1800u /* 32 IPv6 addresses with their interfaces. */

struct weft_conf {
	char addr
		[WEFT_CONF_TEXT_MAX]; /* WEFT_ADDR: addresses of this host, by comma; empty: the interfaces'. */
	char instance[64]; /* WEFT_INSTANCE: instance type whose cards to show; empty: none. */
	uint32_t
		cards; /* WEFT_CARDS: 0: by the instance, else one for each of WEFT_ADDR, else 1. */
	char visible[96]; /* WEFT_VISIBLE: which of the cards to show: 0,2-3; empty: all. */
	enum weft_conf_wire wire; /* WEFT_WIRE */
	enum weft_conf_gpu gpu; /* WEFT_GPU */
	uint32_t copiers; /* WEFT_COPIERS: threads, or one of the above. */
	/* WEFT_PORT_BASE: 20000; cards x 256 ports from there, at most 21808, so that 32 cards end below
	 * 30000, where NodePorts and then ephemeral ports begin. */
	uint32_t port_base;
	char key[128]; /* WEFT_KEY: cluster secret; empty: see key.c. */
	char run_dir[192]; /* WEFT_RUN_DIR: /dev/shm/weft-$UID; see weft_conf_run_dir(). */
	uint32_t paths; /* WEFT_PATHS: 0: 64, and 1 on loopback. */
	uint32_t mtu; /* WEFT_MTU: bytes of an IP packet; 0: the interface's. */
	uint32_t gbps; /* WEFT_GBPS: 0: by the instance, else 100. */
	uint32_t part_id; /* WEFT_PART_ID: 0: by the instance, else 0xefa1. */
	char caps[64]; /* WEFT_CAPS: auto, none, or a list of read,write,rnr,sgid,unsolicited. */
	weft_ns dead_after; /* WEFT_DEAD_AFTER: 5s */
	bool gso, gro; /* WEFT_GSO, WEFT_GRO */
	uint32_t rcvbuf; /* WEFT_RCVBUF, WEFT_SNDBUF: bytes. */
	uint32_t sndbuf;
	bool helper; /* WEFT_HELPER: run the helper thread. */
	bool hide_others; /* WEFT_HIDE_OTHERS: leave real devices out of the list. */
	uint32_t loss_ppm; /* WEFT_LOSS: share of outgoing UDP frames to drop, for tests. */
	/* WEFT_STATS: file to append the counters to at exit, a JSON line per card; empty: none. */
	char stats[256];
	enum weft_conf_log log_level; /* WEFT_LOG: error, warn, info, debug. */
};

/* The settings in force. Bad values keep the default and leave a complaint (weft_conf_problem). A program
 * that runs with more rights than its user (setuid) gets neither the user's file nor the environment. */
const struct weft_conf *weft_conf_get(void);

/* Complaints, one line each; NULL at the end. */
const char *weft_conf_problem(uint32_t index);
/* Is one of them more than a warning? A bad value is, an unknown name is not. */
bool weft_conf_is_bad(void);

/* Make the run directory (mode 0700) if it is not there, and check that it is ours alone. 0 or -errno; *why_out
 * is then one line for a person, valid until this thread calls again. Only who puts something into it needs to call this. */
int weft_conf_run_dir(const char **dir_out, const char **why_out);

/* For `weft config` and the man page: one row of the table. False: no such row. */
struct weft_conf_row {
	const char *name; /* WEFT_ADDR */
	const char *def; /* Default as text. */
	const char *what; /* One line. */
	char value[WEFT_CONF_TEXT_MAX]; /* In force; "(set)" for a secret. */
	char origin[300]; /* default, environment, or the file's name and line. */
};

bool weft_conf_row(uint32_t index, struct weft_conf_row *row_out);
/* The name alone, for which no settings are read. NULL: no such row. */
const char *weft_conf_name(uint32_t index);

#endif
