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

struct weft_conf {
	char addr[512]; /* WEFT_ADDR: addresses of this host, by comma; empty: the interfaces'. */
	char instance[64]; /* WEFT_INSTANCE: instance type whose cards to show; empty: none. */
	uint32_t cards; /* WEFT_CARDS: number of cards; 0: by the instance, else 1. */
	enum weft_conf_wire wire; /* WEFT_WIRE */
	uint32_t
		port_base; /* WEFT_PORT_BASE: 20000; cards x 256 ports from there, at most 21808. */
	char key[128]; /* WEFT_KEY: cluster secret; empty: see addr.c, "Keys". */
	char run_dir[256]; /* WEFT_RUN_DIR: $XDG_RUNTIME_DIR/weft or /dev/shm/weft-$UID. */
	uint32_t paths; /* WEFT_PATHS: 0: 64, and 1 on loopback. */
	uint32_t mtu; /* WEFT_MTU: bytes of an IP packet; 0: the interface's. */
	uint32_t gbps; /* WEFT_GBPS: 0: by the instance, else 100. */
	uint32_t part_id; /* WEFT_PART_ID: 0: by the instance, else 0xefa1. */
	char caps[64]; /* WEFT_CAPS: auto, or a list of read,write,rnr,sgid,unsolicited. */
	weft_ns dead_after; /* WEFT_DEAD_AFTER: 5s */
	bool gso, gro; /* WEFT_GSO, WEFT_GRO */
	uint32_t rcvbuf; /* WEFT_RCVBUF, WEFT_SNDBUF: bytes. */
	uint32_t sndbuf;
	bool helper; /* WEFT_HELPER: run the helper thread. */
	bool hide_others; /* WEFT_HIDE_OTHERS: leave real devices out of the list. */
	uint32_t loss_ppm; /* WEFT_LOSS: share of outgoing UDP frames to drop, for tests. */
	char stats
		[256]; /* WEFT_STATS: file to append the counters to at exit, a JSON line per card. */
	uint32_t log_level; /* WEFT_LOG: error, warn, info, debug. */
};

/* The settings in force. Bad values keep the default and leave a complaint (weft_conf_problem). */
const struct weft_conf *weft_conf_get(void);

/* Complaints about bad values and unknown WEFT_* names, one line each; NULL at the end. */
const char *weft_conf_problem(uint32_t index);

/* For `weft config` and the man page: one row of the table. False: no such row. */
struct weft_conf_row {
	const char *name; /* WEFT_ADDR */
	const char *def; /* Default as text. */
	const char *what; /* One line. */
	char value[512]; /* In force. */
	char origin[300]; /* default, environment, or the file's name and line. */
};

bool weft_conf_row(uint32_t index, struct weft_conf_row *row_out);

#endif
