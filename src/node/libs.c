/* SPDX-License-Identifier: BSD-2-Clause */
/* Finding libraries as the loader does.
 *
 * glibc's order is LD_LIBRARY_PATH, the cache that ldconfig made, the default folders. The cache is read itself:
 * it is what counts, and ld.so.conf may have changed since. Every folder that any of these names, and the places
 * where EFA software is usually installed, are then searched for more copies of the same libraries. */
#include "node/libs.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIBS_MAX  256
#define CACHE_MAX (64u << 20)

static const struct {
	const char *name;
	const char *sonames[3];
} families[WEFT_LIB_FAMILIES] = {
	[WEFT_LIB_MPI] = { "MPI", { "libmpi.so.40", "libmpi.so.12", NULL } },
	[WEFT_LIB_NCCL] = { "NCCL", { "libnccl.so.2", NULL, NULL } },
	[WEFT_LIB_PLUGIN] = { "aws-ofi-nccl",
			      { "libnccl-net-ofi.so", "libnccl-net.so",
				"libnccl-net-aws-ofi.so" } },
	[WEFT_LIB_UCX] = { "UCX", { "libucp.so.0", NULL, NULL } },
	[WEFT_LIB_NVSHMEM_IBGDA] = { "NVSHMEM IBGDA",
				     { "nvshmem_transport_ibgda.so.3",
				       "nvshmem_transport_ibgda.so.2",
				       "nvshmem_transport_ibgda.so" } },
	[WEFT_LIB_FABRIC] = { "libfabric", { "libfabric.so.1", NULL, NULL } },
	[WEFT_LIB_EFA] = { "libefa", { "libefa.so.1", NULL, NULL } },
	[WEFT_LIB_VERBS] = { "libibverbs", { "libibverbs.so.1", NULL, NULL } },
};

/* Where the loader looks last, and where EFA software lies without being on any path. */
static const char *const default_folders[] = {
	"lib/x86_64-linux-gnu",
	"usr/lib/x86_64-linux-gnu",
	"lib/aarch64-linux-gnu",
	"usr/lib/aarch64-linux-gnu",
	"lib64",
	"usr/lib64",
	"lib",
	"usr/lib",
};

static const char *const usual_folders[] = {
	"opt/amazon/efa/lib",
	"opt/amazon/efa/lib64",
	"opt/amazon/openmpi/lib",
	"opt/amazon/openmpi/lib64",
	"opt/amazon/openmpi5/lib",
	"opt/amazon/openmpi5/lib64",
	"opt/amazon/ofi-nccl/lib",
	"opt/amazon/ofi-nccl/lib64",
	"opt/amazon/ofi-nccl/lib/x86_64-linux-gnu",
	"opt/amazon/ofi-nccl/lib/aarch64-linux-gnu",
	"opt/aws-ofi-nccl/lib",
	"opt/aws-ofi-nccl/install/lib",
	"opt/nccl/build/lib",
	"usr/local/lib",
	"usr/local/lib64",
	"usr/local/cuda/lib64",
	"opt/conda/lib",
	"opt/hpcx/ompi/lib",
	"opt/hpcx/ucx/lib",
	"opt/hpcx/nccl_rdma_sharp_plugin/lib",
	"usr/local/nvidia/lib64",
	"usr/local/nvshmem/lib",
	"opt/nvshmem/lib",
	"usr/lib/x86_64-linux-gnu/nvshmem/12",
	"usr/local/ucx/lib",
	"opt/ucx/lib",
};

const char *weft_lib_name(enum weft_lib_family family)
{
	return families[family].name;
}

const char *weft_lib_abi(const struct weft_lib *lib)
{
	/* In the order of their making; the first one is the name of the file. */
	for (size_t i = lib->elf.define_count; i > 1; i--)
		if (!strstr(lib->elf.defines[i - 1], "PRIVATE"))
			return lib->elf.defines[i - 1];
	return NULL;
}

/* One library */

/* "libibverbs.so.1.14.44.0" is of rdma-core 44.0, "libnccl.so.2.18.5" is what it says; others count ABI only. */
static void version_of_name(const char *real, enum weft_lib_family family, char *buf, size_t len)
{
	const char *so = strrchr(real, '/');

	so = strstr(so ? so : real, ".so.");
	if (!so)
		return;
	so += 4;
	if (family == WEFT_LIB_NCCL && strchr(so, '.')) {
		snprintf(buf, len, "%.31s", so);
	} else if (family == WEFT_LIB_VERBS || family == WEFT_LIB_EFA) {
		so = strchr(so, '.');
		so = so ? strchr(so + 1, '.') : NULL;
		if (so)
			snprintf(buf, len, "%.31s", so + 1);
	}
}

/* libfabric's pkg-config file lies beside it. */
static void version_of_pc(struct weft_root *root, const char *real, const char *pc, char *buf,
			  size_t len)
{
	const char *slash = strrchr(real, '/');
	char text[4096], *version;

	if (!slash || weft_root_text(root, text, sizeof(text), "%.*s/pkgconfig/%s",
				     (int)(slash - real), real, pc) <= 0)
		return;
	version = strstr(text, "Version:");
	if (version)
		snprintf(buf, len, "%.*s", (int)WEFT_MIN(strcspn(version + 9, " \n"), (size_t)31),
			 version + 9);
}

/* The EFA installer leaves a list: "libfabric1-aws_1.19.0_amd64", "libfabric-aws-1.19.0-1.amzn2.x86_64". */
static void version_of_list(const char *list, const char *const *names, char *buf, size_t len)
{
	for (; *names; names++) {
		const char *at = list;
		size_t n = strlen(*names);

		while ((at = strstr(at, *names)) != NULL) {
			if ((at[n] == '_' || at[n] == '-') && at[n + 1] >= '0' &&
			    at[n + 1] <= '9') {
				snprintf(buf, len, "%.*s",
					 (int)WEFT_MIN(strcspn(at + n + 1, "_- \n"), (size_t)31),
					 at + n + 1);
				return;
			}
			at += n;
		}
	}
}

static void read_installer(struct weft_root *root, struct weft_libs *libs)
{
	static const char *const fabric[] = { "libfabric1-aws", "libfabric-aws", NULL };
	static const char *const plugin[] = { "libnccl-ofi", "aws-ofi-nccl", NULL };
	static const char *const mpi[] = { "openmpi40-aws", "openmpi50-aws", NULL };
	char *list = weft_root_file(root, 1u << 20, "opt/amazon/efa_installed_packages");
	const char *head = list ? strstr(list, "installer version:") : NULL;

	if (head) {
		head += strlen("installer version:");
		head += strspn(head, " ");
		snprintf(libs->installer, sizeof(libs->installer), "%.*s",
			 (int)WEFT_MIN(strcspn(head, " \n"), (size_t)31), head);
	}
	for (size_t i = 0; list && i < libs->count; i++) {
		struct weft_lib *lib = &libs->lib[i];

		if (strncmp(lib->real, "opt/amazon/", 11) != 0 || lib->version[0])
			continue;
		if (lib->family == WEFT_LIB_FABRIC)
			version_of_list(list, fabric, lib->version, sizeof(lib->version));
		else if (lib->family == WEFT_LIB_PLUGIN)
			version_of_list(list, plugin, lib->version, sizeof(lib->version));
		else if (lib->family == WEFT_LIB_MPI)
			version_of_list(list, mpi, lib->version, sizeof(lib->version));
	}
	free(list);
}

static struct weft_lib *add_lib(struct weft_libs *libs)
{
	struct weft_lib *more;

	if (libs->count >= LIBS_MAX)
		return NULL;
	if (libs->count == libs->cap) {
		more = realloc(libs->lib, (libs->cap ? libs->cap * 2 : 16) * sizeof(*more));
		if (!more)
			return NULL;
		libs->lib = more;
		libs->cap = libs->cap ? libs->cap * 2 : 16;
	}
	return &libs->lib[libs->count];
}

/* Takes a file into the list, unless it is there. */
static void take(struct weft_root *root, struct weft_libs *libs, enum weft_lib_family family,
		 const char *path)
{
	char real[WEFT_ROOT_PATH_MAX];
	struct weft_file file;
	struct weft_lib *lib;

	if (weft_root_real(root, real, "%s", path))
		return;
	for (size_t i = 0; i < libs->count; i++)
		if (libs->lib[i].family == family && !strcmp(libs->lib[i].real, real))
			return;
	lib = add_lib(libs);
	if (!lib)
		return;
	memset(lib, 0, sizeof(*lib));
	lib->family = family;
	lib->path = strdup(path);
	lib->real = strdup(real);
	if (!lib->path || !lib->real) {
		free(lib->path);
		free(lib->real);
		return;
	}
	file = weft_root_file_open(root, "%s", real);
	lib->broken = file.fd < 0 ? strerror(-file.fd) : weft_elf_read(&file, &lib->elf);
	weft_file_close(&file);
	version_of_name(real, family, lib->version, sizeof(lib->version));
	if (family == WEFT_LIB_FABRIC)
		version_of_pc(root, real, "libfabric.pc", lib->version, sizeof(lib->version));
	else if (family == WEFT_LIB_UCX)
		version_of_pc(root, real, "ucx.pc", lib->version, sizeof(lib->version));
	libs->count++;
}

static void try_folder(struct weft_root *root, struct weft_libs *libs, const char *folder,
		       size_t len)
{
	for (uint32_t family = 0; family < WEFT_LIB_FAMILIES; family++)
		for (uint32_t i = 0; i < WEFT_ARRAY_SIZE(families[0].sonames); i++) {
			const char *soname = families[family].sonames[i];
			char path[WEFT_ROOT_PATH_MAX];

			if (soname && snprintf(path, sizeof(path), "%.*s/%s", (int)len, folder,
					       soname) < (int)sizeof(path))
				take(root, libs, family, path);
		}
}

static void try_path(struct weft_root *root, struct weft_libs *libs, const char *list)
{
	for (const char *p = list; p && *p;) {
		size_t len = strcspn(p, ":;");
		size_t skip = 0;

		while (skip < len && p[skip] == '/')
			skip++;
		/* A relative folder means the working directory of who knows which program. */
		if (skip)
			try_folder(root, libs, p + skip, len - skip);
		p += len;
		p += strspn(p, ":;");
	}
}

/* ldconfig's cache: a head, rows of {flags, name, path, ...}, and strings; offsets count from the head. */

struct cache_head {
	char magic[20];
	uint32_t count, strings_len;
	uint32_t unused[5];
};

struct cache_row {
	int32_t flags;
	uint32_t name, path, osversion;
	uint64_t hwcap;
};

static void try_cache(struct weft_root *root, struct weft_libs *libs)
{
	static const char magic[] = "glibc-ld.so.cache1.1";
	struct weft_file file = weft_root_file_open(root, "etc/ld.so.cache");
	size_t size = (size_t)WEFT_MIN(file.fd < 0 ? 0 : file.size, (uint64_t)CACHE_MAX);
	char *bytes = size > sizeof(struct cache_head) ? malloc(size + 1) : NULL;
	struct cache_head head;

	if (bytes && weft_file_read(&file, 0, bytes, size)) {
		bytes[size] = '\0';
		memcpy(&head, bytes, sizeof(head));
		if (memcmp(head.magic, magic, sizeof(head.magic)) != 0)
			head.count = 0;
		for (size_t i = 0;
		     i < head.count && sizeof(head) + (i + 1) * sizeof(struct cache_row) <= size;
		     i++) {
			struct cache_row row;

			memcpy(&row, bytes + sizeof(head) + i * sizeof(row), sizeof(row));
			if (row.name >= size || row.path >= size)
				continue;
			for (uint32_t family = 0; family < WEFT_LIB_FAMILIES; family++)
				for (uint32_t k = 0; k < WEFT_ARRAY_SIZE(families[0].sonames);
				     k++) {
					const char *soname = families[family].sonames[k];
					const char *path = bytes + row.path;

					if (soname && !strcmp(bytes + row.name, soname))
						take(root, libs, family, path + strspn(path, "/"));
				}
		}
	}
	free(bytes);
	weft_file_close(&file);
}

/* The loader takes the first file that is of its machine, whichever name of the family asks for it. */
static void mark_loading(struct weft_libs *libs, size_t count)
{
	uint16_t machine = 0;

	for (size_t i = 0; i < count && !machine; i++)
		machine = libs->lib[i].broken ? 0 : libs->lib[i].elf.machine;
	for (uint32_t family = 0; family < WEFT_LIB_FAMILIES; family++)
		for (size_t i = 0; i < count; i++) {
			struct weft_lib *lib = &libs->lib[i];

			if (lib->family == family && !lib->broken && lib->elf.machine == machine) {
				lib->loads = true;
				break;
			}
		}
}

static void find_mpiruns(struct weft_root *root, const char *path, struct weft_libs *libs)
{
	for (const char *p = path; p && *p && libs->mpiruns < WEFT_ARRAY_SIZE(libs->mpirun);) {
		size_t len = strcspn(p, ":");
		char real[WEFT_ROOT_PATH_MAX];
		bool known = false;

		if (len && p[0] == '/' && !weft_root_real(root, real, "%.*s/mpirun", (int)len, p)) {
			for (size_t i = 0; i < libs->mpiruns; i++)
				known |= !strcmp(libs->mpirun[i], real);
			if (!known && (libs->mpirun[libs->mpiruns] = strdup(real)) != NULL)
				libs->mpiruns++;
		}
		p += len;
		p += strspn(p, ":");
	}
}

void weft_libs_scan(struct weft_root *root, const char *library_path, const char *path,
		    struct weft_libs *libs_out)
{
	size_t on_path;

	memset(libs_out, 0, sizeof(*libs_out));
	try_path(root, libs_out, library_path);
	try_cache(root, libs_out);
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(default_folders); i++)
		try_folder(root, libs_out, default_folders[i], strlen(default_folders[i]));
	on_path = libs_out->count;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(usual_folders); i++)
		try_folder(root, libs_out, usual_folders[i], strlen(usual_folders[i]));
	mark_loading(libs_out, on_path);
	read_installer(root, libs_out);
	find_mpiruns(root, path, libs_out);
}

/* Which family a mapped file is of, by the start of its name: versions and hashes follow. */
static bool family_of(const char *path, enum weft_lib_family *family_out)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

	for (uint32_t family = 0; family < WEFT_LIB_FAMILIES; family++)
		for (uint32_t i = 0; i < WEFT_ARRAY_SIZE(families[0].sonames); i++) {
			const char *soname = families[family].sonames[i];
			size_t len;

			if (!soname)
				continue;
			/* Without the number of the ABI: "libfabric.so", also "libfabric-7a3f.so.1". */
			len = strcspn(soname, ".");
			if (!strncmp(name, soname, len) && (name[len] == '.' || name[len] == '-') &&
			    strstr(name, ".so") && (family != WEFT_LIB_NCCL || name[len] == '.')) {
				*family_out = family;
				return true;
			}
		}
	return false;
}

int weft_libs_of_process(struct weft_root *proc, struct weft_root *root, const char *pid,
			 struct weft_libs *libs_out)
{
	char *maps = weft_root_file(proc, 64u << 20, "proc/%s/maps", pid);
	char *save = NULL;

	memset(libs_out, 0, sizeof(*libs_out));
	if (!maps)
		return -ESRCH;
	for (char *line = strtok_r(maps, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *path = strchr(line, '/');
		enum weft_lib_family family;

		if (path && family_of(path, &family))
			take(root, libs_out, family, path + 1);
	}
	free(maps);
	mark_loading(libs_out, libs_out->count);
	read_installer(root, libs_out);
	return 0;
}

void weft_libs_free(struct weft_libs *libs)
{
	for (size_t i = 0; i < libs->count; i++) {
		free(libs->lib[i].path);
		free(libs->lib[i].real);
		weft_elf_free(&libs->lib[i].elf);
	}
	for (size_t i = 0; i < libs->mpiruns; i++)
		free(libs->mpirun[i]);
	free(libs->lib);
	memset(libs, 0, sizeof(*libs));
}

const struct weft_lib *weft_libs_find(const struct weft_libs *libs, enum weft_lib_family family)
{
	for (size_t i = 0; i < libs->count; i++)
		if (libs->lib[i].family == family && libs->lib[i].loads)
			return &libs->lib[i];
	return NULL;
}
