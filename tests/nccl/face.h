/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_TESTS_NCCL_FACE_H
#define WEFT_TESTS_NCCL_FACE_H

/* The plugin through one version of NCCL's interface, chosen at run time, with the same arguments for all of them. */
#include "ncclnet.h"

struct face {
	int version;
	const void *table;
};

/* Dies when the library or the version is not there. */
struct face face_open(const char *library, int version);
int face_init(const struct face *f);
int face_devices(const struct face *f, int *n);
/* The members that all versions have; reg_is_global is 1 where a version has none. */
int face_props(const struct face *f, int dev, struct nccl_props_v9 *props);
int face_listen(const struct face *f, int dev, void *handle, void **comm);
int face_connect(const struct face *f, int dev, void *handle, void **comm);
int face_accept(const struct face *f, void *listener, void **comm);
int face_reg(const struct face *f, void *comm, void *data, size_t size, int type, void **mhandle);
int face_dereg(const struct face *f, void *comm, void *mhandle);
int face_isend(const struct face *f, void *comm, void *data, size_t size, int tag, void *mhandle,
	       void **request);
int face_irecv(const struct face *f, void *comm, int n, void **data, size_t *sizes, int *tags,
	       void **mhandles, void **request);
int face_test(const struct face *f, void *request, int *done, int *sizes);
int face_close_send(const struct face *f, void *comm);
int face_close_recv(const struct face *f, void *comm);
int face_close_listen(const struct face *f, void *comm);

#endif
