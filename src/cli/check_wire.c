/* SPDX-License-Identifier: BSD-2-Clause */
/* The part of `weft check` that sends: over real cards, or else over weft's.
 *
 * The messages go through libibverbs, so weft's cards are reached as any program reaches them: below `weft run`. UDP is
 * asked for, because shared memory would carry what is between two processes of this host and prove nothing of
 * the network. */
#include "cli/check_wire.h"

#include "cli/program.h"
#include "dev/conf.h"
#include "dev/counters.h"
#include "node/ping.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CMD "weft check"

static bool wants_wire(const struct weft_check_wire *wire)
{
	return wire->self || wire->listen || wire->peer;
}

static bool has_real_card(void)
{
	struct weft_node *node = malloc(sizeof(*node));
	struct weft_root root;
	bool any = false;

	if (node && !weft_root_open("/", &root)) {
		weft_node_read(&root, "self", NULL, node);
		for (size_t i = 0; i < node->cards; i++)
			any |= node->card[i].name[0] != '\0';
		weft_node_free(node);
		weft_root_close(&root);
	}
	free(node);
	return any;
}

static bool is_below_run(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload && strstr(preload, "libweft-preload");
}

int weft_check_wire_begin(const struct weft_check_wire *wire, int argc, char **argv)
{
	char self[WEFT_ROOT_PATH_MAX], library[WEFT_PROGRAM_PATH_MAX];
	ssize_t len;
	char **args;

	if (!wants_wire(wire) || is_below_run() || has_real_card())
		return 0;
	/* `weft run` would say so as well, with an exit status that means something else here. */
	if (!weft_program_library(CMD, WEFT_PROGRAM_PRELOAD, library, sizeof(library)))
		return -1;
	len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	args = calloc((size_t)argc + 6, sizeof(*args));
	if (len < 0 || !args) {
		fprintf(stderr, CMD ": %s\n", strerror(errno));
		free(args);
		return -1;
	}
	self[len] = '\0';
	/* What was set by hand stays. A dead peer is known sooner than a job would like. */
	if (setenv("WEFT_WIRE", "udp", 0) || setenv("WEFT_DEAD_AFTER", "3s", 0)) {
		perror(CMD);
		free(args);
		return -1;
	}
	args[0] = (char *)"weft";
	args[1] = (char *)"run";
	args[2] = (char *)"--";
	args[3] = self;
	args[4] = (char *)"check";
	memcpy(args + 5, argv + 1, (size_t)(argc - 1) * sizeof(*args));
	execv(self, args);
	fprintf(stderr, CMD ": cannot begin anew below `weft run`: %s\n", strerror(errno));
	free(args);
	return -1;
}

/* Packets: of a real card the kernel counts them, of weft's this very process. */

struct lookup {
	struct weft_root *root;
	const char *card;
	struct weft_ping_packets packets;
};

static void look_at_page(void *arg, const struct weft_counters_page *page, bool stale)
{
	struct lookup *l = arg;

	for (uint32_t i = 0; i < page->cards && !stale && page->pid == (uint32_t)getpid(); i++) {
		const struct weft_counters_card *row = &page->card[i];

		if (strcmp(row->name, l->card) != 0)
			continue;
		l->packets.known = true;
		l->packets.sent = row->value[WEFT_COUNTER_TX_PKTS];
		l->packets.rcvd = row->value[WEFT_COUNTER_RX_PKTS];
		l->packets.refused = row->value[WEFT_COUNTER_DROP_TAG];
	}
}

static struct weft_ping_packets packets_of(void *arg, const char *card)
{
	struct lookup l = { .root = arg, .card = card };

	if (is_below_run()) {
		(void)weft_counters_each(weft_conf_get()->run_dir, look_at_page, &l);
		return l.packets;
	}
	l.packets.known =
		weft_root_number(l.root, &l.packets.sent,
				 "sys/class/infiniband/%s/ports/1/hw_counters/tx_pkts", card) &&
		weft_root_number(l.root, &l.packets.rcvd,
				 "sys/class/infiniband/%s/ports/1/hw_counters/rx_pkts", card);
	return l.packets;
}

void weft_check_wire_run(const struct weft_check_wire *wire, struct weft_root *root,
			 struct weft_findings *findings)
{
	struct weft_ping ping = { .port = wire->port ? wire->port : WEFT_PING_PORT,
				  .packets = packets_of,
				  .arg = root,
				  .findings = findings };

	if (wire->self)
		weft_ping_self(&ping);
	if (wire->peer)
		weft_ping_peer(&ping, wire->peer);
	if (wire->listen) {
		fprintf(stderr, CMD ": waiting for weft check --peer at TCP port %s\n", ping.port);
		weft_ping_listen(&ping, 0);
	}
}
