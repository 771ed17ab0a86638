/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_KUBE_PLUGIN_H
#define WEFT_KUBE_PLUGIN_H

/* One resource, served to the kubelet of this node: a socket beside kubelet's, a registration with kubelet, and the
 * answers to its calls. Part of a poll loop. */
#include "kube/cards.h"
#include "kube/grpc.h"

#include <poll.h>

/* Where the cards come from, and what a container with some of them gets: software.h, real.h. */
struct weft_kube_source {
	const struct weft_kube_cards *cards;
	/* Writes into a ContainerAllocateResponse what these devices bring. */
	void (*allocate)(void *arg, const struct weft_kube_set *devices, struct weft_pb_out *reply);
	void *arg; /* borrows */
};

struct weft_kube_counts { /* For metrics. */
	uint64_t registrations,
		registrations_failed; /* The latter: also those that kubelet did not follow up. */
	uint64_t streams_begun; /* Of ListAndWatch. */
	uint64_t calls, calls_failed;
	uint64_t containers, devices; /* Allocated. */
	bool is_connected; /* Kubelet is listening to us. */
};

struct weft_plugin;

/* Borrows all three. 0 or -errno; `why` (len bytes) then says why: -EADDRINUSE, -EBUSY: somebody else serves the resource. */
int weft_plugin_open(const char *dir, const char *resource, const struct weft_kube_source *source,
		     struct weft_plugin **plugin_out, char *why, size_t len);
/* Takes the socket away. */
void weft_plugin_close(struct weft_plugin *plugin);

#define WEFT_PLUGIN_FDS_MAX 10u

/* What poll() is to wait for: at most WEFT_PLUGIN_FDS_MAX, their number is returned; *until is moved forward to
 * when weft_plugin_turn() wants to be called at the latest. */
uint32_t weft_plugin_wait(struct weft_plugin *plugin, struct pollfd *fds, weft_ns *until);

/* After each poll(), with what it made of these. 0, or -EADDRINUSE or -EBUSY when somebody else has taken over the
 * resource. */
int weft_plugin_turn(struct weft_plugin *plugin, const struct pollfd *fds, weft_ns now);

/* The cards have changed. */
void weft_plugin_notify(struct weft_plugin *plugin);

const char *weft_plugin_resource(const struct weft_plugin *plugin);
const struct weft_kube_source *weft_plugin_source(const struct weft_plugin *plugin);
struct weft_kube_counts weft_plugin_counts(const struct weft_plugin *plugin);

#endif
