/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_CLI_FLEET_SOURCE_H
#define WEFT_CLI_FLEET_SOURCE_H

/* Where a fleet comes from: options that `weft nodes` and `weft info --k8s` have in common. */
#include "fleet/kubectl.h"

#define WEFT_FLEET_FILES_MAX 16u

struct weft_fleet_source {
	const char *file[WEFT_FLEET_FILES_MAX];
	uint32_t files; /* 0: kubectl. */
	struct weft_kubectl_options kubectl;
};

/* Their lines of a usage. */
#define WEFT_FLEET_SOURCE_USAGE                                                              \
	"  --k8s-json FILE...   what kubectl get ... -o json printed, instead; - is stdin\n" \
	"  --kubeconfig FILE    passed on to kubectl\n"                                      \
	"  --context NAME       passed on to kubectl\n"                                      \
	"  -l, --selector SEL   only nodes with these labels\n"                              \
	"  --timeout TIME       how long kubectl may take (60s)\n"

/* Options come into effect, argv[*i] first. 1: taken, 0: another argument, -1: wrong, which stderr knows. */
int weft_fleet_source_arg(const char *cmd, int argc, char **argv, int *i,
			  struct weft_fleet_source *source);

/* Do they go together? */
bool weft_fleet_source_check(const char *cmd, const struct weft_fleet_source *source);

/* All that is in the files, or all that kubectl says; waits for it. `fleet` is not finished yet. False: `why` says why. */
bool weft_fleet_source_read(const struct weft_fleet_source *source, struct weft_fleet *fleet,
			    char *why, size_t len);

#endif
