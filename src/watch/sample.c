/* SPDX-License-Identifier: BSD-2-Clause */
/* Taking samples of a machine.
 *
 * A sample must be cheap, since it is taken every second beside the programs that are watched: what a machine has is
 * read with care (src/node) and only again when the list of RDMA devices changes; between that, a sample is
 * the text of one folder after the other. */
#include "watch/sample.h"

#include "node/node.h"
#include "watch/watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EFA_VENDOR 0x1d0fu

struct weft_watch {
	struct weft_watch_options options;
	struct weft_root root;
	struct weft_node node; /* As of the last change of `devices`. */
	bool has_node;
	char *devices; /* owns. Names of the RDMA devices and interfaces, as they were then. */
	char nets[WEFT_WATCH_NETS_MAX][32]; /* Those of the ordinary network. */
	uint32_t net_count;
	char uverbs[WEFT_WATCH_CARDS_MAX][64]; /* Of the cards of the last sample. */
	struct weft_watch_soft *soft; /* owns, or NULL */
	struct weft_watch_procs *procs; /* owns, or NULL */
};

/* Samples */

/* A place behind the `count` that there are, in an array that grows by doubling. */
static void *add(void *array, uint32_t *count, uint32_t max, size_t size)
{
	void **place = array;
	char *at = *place;

	if (*count >= max)
		return NULL;
	if (!(*count & (*count - 1))) {
		at = realloc(at, (*count ? 2 * (size_t)*count : 1) * size);
		if (!at)
			return NULL;
		*place = at;
	}
	at += (*count)++ * size;
	memset(at, 0, size);
	return at;
}

struct weft_watch_card *weft_sample_add_card(struct weft_sample *sample)
{
	struct weft_watch_card *card =
		add(&sample->card, &sample->cards, WEFT_WATCH_CARDS_MAX, sizeof(*card));

	if (!card) {
		sample->left_out++;
		return NULL;
	}
	card->numa = -1;
	for (uint32_t i = 0; i < WEFT_WATCH_COUNTERS_MAX; i++)
		card->value[i] = WEFT_WATCH_NONE;
	return card;
}

struct weft_watch_net *weft_sample_add_net(struct weft_sample *sample)
{
	return add(&sample->net, &sample->nets, WEFT_WATCH_NETS_MAX, sizeof(*sample->net));
}

struct weft_watch_proc *weft_sample_add_proc(struct weft_sample *sample)
{
	struct weft_watch_proc *proc =
		add(&sample->proc, &sample->procs, WEFT_WATCH_PROCS_MAX, sizeof(*proc));

	if (!proc) {
		sample->left_out++;
		return NULL;
	}
	proc->tcp_tx = proc->tcp_rx = WEFT_WATCH_NONE;
	return proc;
}

void weft_sample_free(struct weft_sample *sample)
{
	if (!sample)
		return;
	free(sample->card);
	free(sample->net);
	free(sample->proc);
	free(sample);
}

/* Cards of the kernel */

/* All names of a folder in one text. NULL: no memory. */
static char *names_text(struct weft_root *root)
{
	static const char *const folders[] = { "sys/class/infiniband", "sys/class/net" };
	char *text = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&text, &len);

	for (size_t i = 0; to && i < WEFT_ARRAY_SIZE(folders); i++) {
		struct weft_names names = weft_root_list(root, "%s", folders[i]);

		for (size_t k = 0; k < names.count; k++)
			fprintf(to, "%s/", names.name[k]);
		fputc('\n', to);
		weft_names_free(&names);
	}
	if (to)
		fclose(to);
	return text;
}

/* Interfaces with a device behind them; in a container, which has none, all but loopback. */
static void find_nets(struct weft_watch *w)
{
	struct weft_names names = weft_root_list(&w->root, "sys/class/net");
	bool devices = false;

	w->net_count = 0;
	for (size_t i = 0; i < names.count; i++)
		devices |= weft_root_exists(&w->root, "sys/class/net/%s/device", names.name[i]);
	for (size_t i = 0; i < names.count && w->net_count < WEFT_WATCH_NETS_MAX; i++) {
		const char *name = names.name[i];

		if (strlen(name) >= sizeof(w->nets[0]) ||
		    (devices ? !weft_root_exists(&w->root, "sys/class/net/%s/device", name)
			     : !strcmp(name, "lo")))
			continue;
		memcpy(w->nets[w->net_count++], name, strlen(name) + 1);
	}
	weft_names_free(&names);
}

static void look_for_devices(struct weft_watch *w)
{
	char *devices = names_text(&w->root);

	if (!devices || (w->devices && !strcmp(devices, w->devices))) {
		free(devices);
		return;
	}
	free(w->devices);
	w->devices = devices;
	if (w->has_node)
		weft_node_free(&w->node);
	weft_node_read(&w->root, "self", NULL, &w->node);
	w->has_node = true;
	find_nets(w);
}

static bool is_wanted(const struct weft_watch *w, const struct weft_node_card *card)
{
	if (!card->name[0])
		return false;
	if (!w->options.vendor || w->options.vendor == EFA_VENDOR)
		return card->is_efa;
	return w->options.vendor == UINT32_MAX || card->pci.vendor == w->options.vendor;
}

static void take_counter(void *arg, const char *name, uint64_t value)
{
	struct weft_watch_card *card = arg;
	int index = weft_watch_counter(name);

	/* Of a counter that is in both folders the port's counts, which comes first. */
	if (index >= 0 && card->value[index] == WEFT_WATCH_NONE && value <= INT64_MAX)
		card->value[index] = value;
}

static void take_card(struct weft_watch *w, const struct weft_node_card *from,
		      struct weft_sample *sample)
{
	struct weft_watch_card *card = weft_sample_add_card(sample);

	if (!card)
		return;
	snprintf(card->name, sizeof(card->name), "%s", from->name);
	snprintf(card->driver, sizeof(card->driver), "%s", from->driver);
	snprintf(card->bdf, sizeof(card->bdf), "%s", from->pci.bdf);
	snprintf(card->gid, sizeof(card->gid), "%s", from->gid);
	card->kind = from->is_efa ? WEFT_WATCH_EFA : WEFT_WATCH_OTHER;
	card->vendor = from->pci.vendor;
	card->device = from->pci.device;
	card->gbps = from->port_gbps;
	card->numa = from->pci.numa;
	weft_node_read_state(&w->root, from->name, card->state, sizeof(card->state));
	weft_node_counters(&w->root, from->name, take_counter, card);
	memcpy(w->uverbs[sample->cards - 1], from->uverbs, sizeof(from->uverbs));
}

static void take_net(struct weft_watch *w, const char *name, struct weft_sample *sample)
{
	struct weft_watch_net *net = weft_sample_add_net(sample);
	uint64_t mbps = 0;
	char speed[32];

	if (!net)
		return;
	snprintf(net->name, sizeof(net->name), "%s", name);
	/* Interfaces that do not know say -1. */
	if (weft_root_text(&w->root, speed, sizeof(speed), "sys/class/net/%s/speed", name) > 0 &&
	    speed[0] != '-')
		mbps = strtoull(speed, NULL, 10);
	net->gbps = mbps / 1000;
	(void)weft_root_number(&w->root, &net->rx_bytes, "sys/class/net/%s/statistics/rx_bytes",
			       name);
	(void)weft_root_number(&w->root, &net->tx_bytes, "sys/class/net/%s/statistics/tx_bytes",
			       name);
}

/* The machine */

int weft_watch_open(const struct weft_watch_options *options, struct weft_watch **watch_out,
		    char *why_out, size_t len)
{
	struct weft_watch *w = calloc(1, sizeof(*w));
	int err = -ENOMEM;
	bool live;

	if (!w)
		goto err_say;
	w->options = *options;
	err = weft_root_open(options->root, &w->root);
	if (err)
		goto err_free;
	live = w->root.live;
	/* Pages and sockets are those of this machine. */
	w->soft = options->soft && live ? weft_watch_soft_create() : NULL;
	w->procs = options->procs ? weft_watch_procs_create(live) : NULL;
	if ((options->soft && live && !w->soft) || (options->procs && !w->procs)) {
		weft_watch_close(w);
		w = NULL;
		err = -ENOMEM;
		goto err_say;
	}
	*watch_out = w;
	return 0;

err_free:
	free(w);
err_say:
	snprintf(why_out, len, "cannot read %s: %s", options->root, strerror(-err));
	return err;
}

void weft_watch_close(struct weft_watch *watch)
{
	if (watch->has_node)
		weft_node_free(&watch->node);
	if (watch->soft)
		weft_watch_soft_destroy(watch->soft);
	if (watch->procs)
		weft_watch_procs_destroy(watch->procs);
	free(watch->devices);
	weft_root_close(&watch->root);
	free(watch);
}

static void take_host(struct weft_watch *w, struct weft_sample *sample)
{
	char text[sizeof(sample->host)] = "";

	if (weft_root_text(&w->root, text, sizeof(text), "proc/sys/kernel/hostname") <= 0)
		(void)weft_root_text(&w->root, text, sizeof(text), "etc/hostname");
	snprintf(sample->host, sizeof(sample->host), "%s", text);
}

struct weft_sample *weft_watch_take(struct weft_watch *watch)
{
	struct weft_sample *sample = calloc(1, sizeof(*sample));
	struct timespec now;

	if (!sample)
		return NULL;
	look_for_devices(watch);
	if (!watch->has_node) {
		free(sample);
		return NULL;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	sample->time_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	take_host(watch, sample);
	memset(watch->uverbs, 0, sizeof(watch->uverbs));
	for (size_t i = 0; i < watch->node.cards + watch->node.foreign; i++)
		if (is_wanted(watch, &watch->node.card[i]))
			take_card(watch, &watch->node.card[i], sample);
	for (uint32_t i = 0; i < watch->net_count; i++)
		take_net(watch, watch->nets[i], sample);
	if (watch->soft)
		weft_watch_soft_take(watch->soft, sample);
	if (watch->procs)
		weft_watch_procs_take(watch->procs, &watch->root, (const char(*)[64])watch->uverbs,
				      sample);
	return sample;
}
