/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_KUBE_SOFT_H
#define WEFT_KUBE_SOFT_H

/* Software cards to give: the cards of an instance type, or a number of them. A container that gets some has weft's
 * library mounted and preloaded, and sees these cards and no others. */
#include "dev/cardset.h"
#include "kube/plugin.h"
#include "node/root.h"

#define WEFT_KUBE_ENV_MAX 32u
#define WEFT_KUBE_INSIDE  "/opt/weft/lib" /* Where a container finds the library. */
#define WEFT_KUBE_LIBRARY "libweft-preload.so"

struct weft_kube_soft {
	struct weft_kube_cards cards;
	struct weft_card_info info[WEFT_CARDS_MAX];
	const char *library_dir; /* borrows. On the host. */
	const char *env[WEFT_KUBE_ENV_MAX + 2]; /* borrows. NAME=VALUE for every container. */
	uint32_t envs;
};

/* `env`: settings that make the cards (WEFT_INSTANCE=..., WEFT_CARDS=...), and whatever else containers are to have. 0 or
 * -errno; `why` (len bytes) is then one line. */
int weft_kube_soft_init(const char *const *env, uint32_t envs, const char *library_dir,
			uint32_t shared, struct weft_root *root, struct weft_kube_soft *soft_out,
			char *why, size_t len);
struct weft_kube_source weft_kube_soft_source(struct weft_kube_soft *soft);

/* Without its library a card is no use. Sets is_healthy and why of all. */
void weft_kube_soft_judge(struct weft_kube_soft *soft);

#endif
