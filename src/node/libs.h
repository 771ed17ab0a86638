/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_NODE_LIBS_H
#define WEFT_NODE_LIBS_H

/* The libraries between a program and the cards: which of them would be loaded, which others lie about, and
 * whether they fit together. */
#include "node/elf.h"
#include "node/node.h"

enum weft_lib_family {
	WEFT_LIB_MPI,
	WEFT_LIB_NCCL,
	WEFT_LIB_PLUGIN, /* aws-ofi-nccl */
	WEFT_LIB_UCX,
	WEFT_LIB_NVSHMEM_IBGDA,
	WEFT_LIB_FABRIC,
	WEFT_LIB_EFA,
	WEFT_LIB_VERBS,
	WEFT_LIB_FAMILIES,
};

struct weft_lib;

/* The newest symbol version that it defines ("FABRIC_1.6"): its ABI. NULL: it has none. */
const char *weft_lib_abi(const struct weft_lib *lib);
const char *weft_lib_name(enum weft_lib_family family); /* "libfabric" */

struct weft_lib {
	enum weft_lib_family family;
	bool loads; /* The one that the loader takes. */
	char *path, *real; /* own. As found, and without links. */
	char version[64]; /* Of the package, as far as it shows; or "". */
	const char *broken; /* NULL, or what is wrong with the file; then elf is empty. */
	struct weft_elf elf;
};

struct weft_libs {
	struct weft_lib *lib; /* owns */
	size_t count, cap;
	char installer[64]; /* Version of the EFA installer, or "". */
	char *mpirun[8]; /* own. On PATH, in order, without links. */
	size_t mpiruns;
};

/* `library_path`: LD_LIBRARY_PATH; `path`: PATH; both may be NULL. */
void weft_libs_scan(struct weft_root *root, const char *library_path, const char *path,
		    struct weft_libs *libs_out);

/* What a running process has mapped, instead: from proc/PID/maps below `proc`, read in the tree of that process. */
int weft_libs_of_process(struct weft_root *proc, struct weft_root *root, const char *pid,
			 struct weft_libs *libs_out);
void weft_libs_free(struct weft_libs *libs);

/* The one that loads, or NULL. */
const struct weft_lib *weft_libs_find(const struct weft_libs *libs, enum weft_lib_family family);

/* `node` may be NULL: an image that will run who knows where. `root` is where the libraries are. */
void weft_libs_check(const struct weft_libs *libs, const struct weft_node *node,
		     struct weft_root *root, bool is_process, struct weft_findings *findings);

#endif
