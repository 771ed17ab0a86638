/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_KUBE_CARDS_H
#define WEFT_KUBE_CARDS_H

/* The cards that a plugin has to give, and what kubelet is told of them. */
#include "kube/pb.h"

#define WEFT_KUBE_CARDS_MAX  64u
#define WEFT_KUBE_SHARED_MAX 64u
#define WEFT_KUBE_ID_MAX     64u /* Kubelet takes up to 63 characters. */

struct weft_kube_card {
	char id[WEFT_KUBE_ID_MAX - 8]; /* Stable: kubelet remembers who has which. */
	char name[64]; /* Of the RDMA device; may change. */
	bool is_healthy;
	char why[128]; /* It is not. */
	int32_t numa; /* -1: none in particular. */
	uint32_t
		group; /* Cards that are near the same GPU; those of several are as good as each other. */
	uint32_t number; /* Software: among the cards of this host. */
	char uverbs[64]; /* Real: "uverbs0" */
};

struct weft_kube_cards {
	struct weft_kube_card card[WEFT_KUBE_CARDS_MAX];
	uint32_t count;
	/* So many containers may have the same card: kubelet sees that many devices of it. 1: one, one. */
	uint32_t shared;
};

/* Takes out of service what is named in `words`, by id or name, a # begins a comment: no longer is_healthy. */
void weft_kube_cordon(struct weft_kube_cards *cards, const char *words);

/* A device, as kubelet counts: a card, or a share of one. */
struct weft_kube_device {
	uint32_t card, share;
};

/* Its name, at least WEFT_KUBE_ID_MAX bytes; returns buf. */
char *weft_kube_device_id(const struct weft_kube_cards *cards, struct weft_kube_device device,
			  char *buf);
/* False: there is none of that name. */
bool weft_kube_device_find(const struct weft_kube_cards *cards, struct weft_pb_in id,
			   struct weft_kube_device *device_out);

/* A set of devices: a bit for each share of each card. */
struct weft_kube_set {
	uint64_t shares[WEFT_KUBE_CARDS_MAX];
};

bool weft_kube_set_has(const struct weft_kube_set *set, struct weft_kube_device device);
void weft_kube_set_add(struct weft_kube_set *set, struct weft_kube_device device);

/* The best `count` devices of those that are available, among them those that must be: cards that nothing else of this
 * container has, of one NUMA node, near one GPU. Fewer where there are not as many. */
void weft_kube_prefer(const struct weft_kube_cards *cards, const struct weft_kube_set *available,
		      const struct weft_kube_set *must, uint32_t count,
		      struct weft_kube_set *chosen_out);

#endif
