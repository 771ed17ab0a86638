/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_KUBE_OPTIONS_H
#define WEFT_KUBE_OPTIONS_H

/* The arguments of weft-device-plugin. */
#include "kube/soft.h"

#define WEFT_KUBE_CMD "weft-device-plugin"

extern const char weft_kube_usage[];

struct weft_kube_options {
	const char *resource, *soft_resource; /* "none" and NULL: not offered, as `resource`. */
	const char *library_dir, *install_dir, *kubelet_dir, *root, *cordon, *metrics;
	const char *env[WEFT_KUBE_ENV_MAX];
	uint32_t envs;
	bool soft, log_json, help, version;
	uint64_t shared;
	weft_ns interval;
};

/* False: said on stderr. */
bool weft_kube_options_parse(int argc, char **argv, struct weft_kube_options *options_out);

#endif
