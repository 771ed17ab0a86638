/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_NCCL_NCCLNET_H
#define WEFT_NCCL_NCCLNET_H

/* NCCL's network plugin interface, in our own words: what a plugin's exported tables look like to NCCL, for the
 * versions 7 to 11, of which NCCL 2.19 to 2.28 take the newest that they know. Names, order and types of the members are
 * the contract; static_asserts in shim.c hold their sizes. */
#include <stddef.h>
#include <stdint.h>

enum nccl_result {
	NCCL_SUCCESS = 0,
	NCCL_SYSTEM_ERROR = 2,
	NCCL_INTERNAL_ERROR = 3,
	NCCL_INVALID_ARGUMENT = 4,
	NCCL_INVALID_USAGE = 5,
	NCCL_REMOTE_ERROR = 6,
};

enum nccl_ptr {
	NCCL_PTR_HOST = 1,
	NCCL_PTR_CUDA = 2,
	NCCL_PTR_DMABUF = 4,
};

enum nccl_log_level {
	NCCL_LOG_WARN = 2,
	NCCL_LOG_INFO = 3,
};

#define NCCL_LOG_NET    0x10ul
#define NCCL_HANDLE_MAX 128u
#define NCCL_DEVS_MAX   4 /* In a device made of several. */

typedef void nccl_logger(int level, unsigned long flags, const char *file, int line,
			 const char *fmt, ...);
typedef int nccl_profiler(void **event, int type, void *parent, int64_t plugin, void *data);

struct nccl_props_v7 {
	char *name, *pci_path;
	uint64_t guid;
	int ptr_support;
	int speed; /* Mb/s */
	int port;
	float latency; /* us */
	int comms_max, recvs_max;
	int net_device_type, net_device_version; /* Work that a GPU does: none. */
};

struct nccl_props_v8 {
	char *name, *pci_path;
	uint64_t guid;
	int ptr_support;
	int reg_is_global; /* Memory is not tied to a comm. */
	int speed, port;
	float latency;
	int comms_max, recvs_max;
	int net_device_type, net_device_version;
};

struct nccl_vdevs {
	int ndevs, devs[NCCL_DEVS_MAX];
};

struct nccl_props_v9 { /* v10 as well. */
	char *name, *pci_path;
	uint64_t guid;
	int ptr_support, reg_is_global;
	int force_flush;
	int speed, port;
	float latency;
	int comms_max, recvs_max;
	int net_device_type, net_device_version;
	struct nccl_vdevs vdevs;
	size_t p2p_bytes_max, coll_bytes_max;
};

struct nccl_props_v11 {
	struct nccl_props_v9 v9;
	int multi_request_max;
};

struct nccl_comm_cfg {
	int traffic_class;
};

/* v7 counts bytes of memory in an int, v7 and v8 those of a message; else they are the same. */
struct nccl_net_v8 {
	const char *name;
	int (*init)(nccl_logger *log);
	int (*devices)(int *ndev);
	int (*get_properties)(int dev, void *props);
	int (*listen)(int dev, void *handle, void **listen_comm);
	int (*connect)(int dev, void *handle, void **send_comm, void **dev_comm);
	int (*accept)(void *listen_comm, void **recv_comm, void **dev_comm);
	union {
		int (*v7)(void *comm, void *data, int size, int type, void **mhandle);
		int (*v8)(void *comm, void *data, size_t size, int type, void **mhandle);
	} reg_mr;
	int (*reg_mr_dmabuf)(void *comm, void *data, size_t size, int type, uint64_t offset, int fd,
			     void **mhandle);
	int (*dereg_mr)(void *comm, void *mhandle);
	int (*isend)(void *send_comm, void *data, int size, int tag, void *mhandle, void **request);
	int (*irecv)(void *recv_comm, int n, void **data, int *sizes, int *tags, void **mhandles,
		     void **request);
	int (*iflush)(void *recv_comm, int n, void **data, int *sizes, void **mhandles,
		      void **request);
	int (*test)(void *request, int *done, int *sizes);
	int (*close_send)(void *send_comm);
	int (*close_recv)(void *recv_comm);
	int (*close_listen)(void *listen_comm);
	int (*get_device_mr)(void *comm, void *mhandle, void **out);
	int (*irecv_consumed)(void *recv_comm, int n, void *request);
};

struct nccl_net_v9 {
	const char *name;
	int (*init)(nccl_logger *log);
	int (*devices)(int *ndev);
	int (*get_properties)(int dev, struct nccl_props_v9 *props);
	int (*listen)(int dev, void *handle, void **listen_comm);
	int (*connect)(int dev, void *handle, void **send_comm, void **dev_comm);
	int (*accept)(void *listen_comm, void **recv_comm, void **dev_comm);
	int (*reg_mr)(void *comm, void *data, size_t size, int type, void **mhandle);
	int (*reg_mr_dmabuf)(void *comm, void *data, size_t size, int type, uint64_t offset, int fd,
			     void **mhandle);
	int (*dereg_mr)(void *comm, void *mhandle);
	int (*isend)(void *send_comm, void *data, size_t size, int tag, void *mhandle,
		     void **request);
	int (*irecv)(void *recv_comm, int n, void **data, size_t *sizes, int *tags, void **mhandles,
		     void **request);
	int (*iflush)(void *recv_comm, int n, void **data, int *sizes, void **mhandles,
		      void **request);
	int (*test)(void *request, int *done, int *sizes);
	int (*close_send)(void *send_comm);
	int (*close_recv)(void *recv_comm);
	int (*close_listen)(void *listen_comm);
	int (*get_device_mr)(void *comm, void *mhandle, void **out);
	int (*irecv_consumed)(void *recv_comm, int n, void *request);
	int (*make_vdevice)(int *dev, struct nccl_vdevs *vdevs);
};

struct nccl_net_v10 {
	const char *name;
	int (*init)(nccl_logger *log, nccl_profiler *profiler);
	int (*devices)(int *ndev);
	int (*get_properties)(int dev, struct nccl_props_v9 *props);
	int (*listen)(int dev, void *handle, void **listen_comm);
	int (*connect)(int dev, struct nccl_comm_cfg *cfg, void *handle, void **send_comm,
		       void **dev_comm);
	int (*accept)(void *listen_comm, void **recv_comm, void **dev_comm);
	int (*reg_mr)(void *comm, void *data, size_t size, int type, void **mhandle);
	int (*reg_mr_dmabuf)(void *comm, void *data, size_t size, int type, uint64_t offset, int fd,
			     void **mhandle);
	int (*dereg_mr)(void *comm, void *mhandle);
	int (*isend)(void *send_comm, void *data, size_t size, int tag, void *mhandle,
		     void *phandle, void **request);
	int (*irecv)(void *recv_comm, int n, void **data, size_t *sizes, int *tags, void **mhandles,
		     void **phandles, void **request);
	int (*iflush)(void *recv_comm, int n, void **data, int *sizes, void **mhandles,
		      void **request);
	int (*test)(void *request, int *done, int *sizes);
	int (*close_send)(void *send_comm);
	int (*close_recv)(void *recv_comm);
	int (*close_listen)(void *listen_comm);
	int (*get_device_mr)(void *comm, void *mhandle, void **out);
	int (*irecv_consumed)(void *recv_comm, int n, void *request);
	int (*make_vdevice)(int *dev, struct nccl_vdevs *vdevs);
};

struct nccl_net_v11 {
	const char *name;
	int (*init)(void **ctx, uint64_t comm_id, struct nccl_comm_cfg *cfg, nccl_logger *log,
		    nccl_profiler *profiler);
	int (*devices)(int *ndev);
	int (*get_properties)(int dev, struct nccl_props_v11 *props);
	int (*listen)(void *ctx, int dev, void *handle, void **listen_comm);
	int (*connect)(void *ctx, int dev, void *handle, void **send_comm, void **dev_comm);
	int (*accept)(void *listen_comm, void **recv_comm, void **dev_comm);
	int (*reg_mr)(void *comm, void *data, size_t size, int type, void **mhandle);
	int (*reg_mr_dmabuf)(void *comm, void *data, size_t size, int type, uint64_t offset, int fd,
			     void **mhandle);
	int (*dereg_mr)(void *comm, void *mhandle);
	int (*isend)(void *send_comm, void *data, size_t size, int tag, void *mhandle,
		     void *phandle, void **request);
	int (*irecv)(void *recv_comm, int n, void **data, size_t *sizes, int *tags, void **mhandles,
		     void **phandles, void **request);
	int (*iflush)(void *recv_comm, int n, void **data, int *sizes, void **mhandles,
		      void **request);
	int (*test)(void *request, int *done, int *sizes);
	int (*close_send)(void *send_comm);
	int (*close_recv)(void *recv_comm);
	int (*close_listen)(void *listen_comm);
	int (*get_device_mr)(void *comm, void *mhandle, void **out);
	int (*irecv_consumed)(void *recv_comm, int n, void *request);
	int (*make_vdevice)(int *dev, struct nccl_vdevs *vdevs);
	int (*finalize)(void *ctx);
	int (*set_net_attr)(void *ctx, void *attr);
};

/* The tuner's, in the same library: which algorithm, protocol and number of channels. */
struct nccl_tuner_v3 {
	const char *name;
	int (*init)(size_t ranks, size_t nodes, nccl_logger *log, void **context);
	int (*get_coll_info)(void *context, int coll, size_t bytes, int ops, float **costs,
			     int algos, int protos, int *channels);
	int (*destroy)(void *context);
};

struct nccl_tuner_v4 {
	const char *name;
	int (*init)(size_t ranks, size_t nodes, nccl_logger *log, void **context);
	int (*get_coll_info)(void *context, int coll, size_t bytes, int ops, float **costs,
			     int algos, int protos, int is_registered, int *channels);
	int (*destroy)(void *context);
};

struct nccl_tuner_v5 {
	const char *name;
	int (*init)(void **context, uint64_t comm_id, size_t ranks, size_t nodes, nccl_logger *log,
		    void *domains, void *constants);
	int (*get_coll_info)(void *context, int coll, size_t bytes, int ops, float **costs,
			     int algos, int protos, int is_registered, int *channels);
	int (*destroy)(void *context);
};

#endif
