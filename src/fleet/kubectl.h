/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_FLEET_KUBECTL_H
#define WEFT_FLEET_KUBECTL_H

/* A fleet from the cluster that kubectl knows, read while a screen stays alive. kubectl has the user's contexts,
 * certificates and log-ins; weft has none of its own. */
#include "fleet/fleet.h"

struct weft_kubectl_options {
	const char *context, *kubeconfig; /* NULL: kubectl's own choice. */
	const char *namespace; /* NULL: all. */
	const char *selector; /* Of nodes; or NULL. */
	bool pods; /* Pods, too? */
	weft_ns timeout; /* For all of it. */
};

enum weft_kubectl_state {
	WEFT_KUBECTL_RUNNING,
	WEFT_KUBECTL_DONE, /* The fleet is complete, but not finished. */
	WEFT_KUBECTL_FAILED,
};

struct weft_kubectl;

/* Starts kubectl, once for nodes and once for pods. Options and the fleet are borrowed until close. NULL: `why` says
 * why not. */
struct weft_kubectl *weft_kubectl_start(const struct weft_kubectl_options *options,
					struct weft_fleet *fleet, char *why, size_t len);

/* Takes what has come, for about `longest`. FAILED: weft_kubectl_why(). */
enum weft_kubectl_state weft_kubectl_step(struct weft_kubectl *k, weft_ns longest);
const char *weft_kubectl_why(const struct weft_kubectl *k);

/* Ends what still runs. NULL is fine. */
void weft_kubectl_close(struct weft_kubectl *k);

#endif
