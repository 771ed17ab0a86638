/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_KUBE_API_H
#define WEFT_KUBE_API_H

/* The messages of kubelet's device plugin API, v1beta1. */
#include "kube/grpc.h"
#include "kube/plugin.h"

#define WEFT_KUBE_REGISTER "/v1beta1.Registration/Register"
#define WEFT_KUBE_WATCH    "/v1beta1.DevicePlugin/ListAndWatch"

/* What the methods work on. */
struct weft_kube_api {
	const char *resource; /* borrows */
	const struct weft_kube_source *source; /* borrows */
	struct weft_kube_counts counts;
	void (*on_watch)(struct weft_kube_api *api,
			 bool is_begun); /* A ListAndWatch begins or ends. */
};

/* The five calls of a plugin; its `arg` is to be a struct weft_kube_api. */
struct weft_grpc_service weft_kube_service(struct weft_kube_api *api);

/* A RegisterRequest. */
void weft_kube_put_register(struct weft_pb_out *out, const char *endpoint, const char *resource);

#endif
