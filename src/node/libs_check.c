/* SPDX-License-Identifier: BSD-2-Clause */
/* Do the libraries fit together, and with the cards? */
#include "node/libs.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OK(f, id, ...) weft_findings_add(f, WEFT_FINDING_##id, WEFT_SEV_OK, NULL, __VA_ARGS__)

struct audit {
	const struct weft_libs *libs;
	const struct weft_node *node; /* Or NULL. */
	struct weft_root *root;
	struct weft_findings *f;
	bool is_process;
};

static const char *described(const struct weft_lib *lib, char *buf, size_t len)
{
	const char *abi = weft_lib_abi(lib);
	bool both = lib->version[0] && abi;

	if (!lib->version[0] && !abi)
		snprintf(buf, len, "/%.300s", lib->real);
	else
		snprintf(buf, len, "/%.300s (%s%s%s)", lib->real, lib->version, both ? ", " : "",
			 abi ? abi : "");
	return buf;
}

static void check_broken(const struct audit *a)
{
	for (size_t i = 0; i < a->libs->count; i++) {
		const struct weft_lib *lib = &a->libs->lib[i];

		/* Another word size is the other half of a system for two, and no damage. */
		if (lib->broken && strcmp(lib->broken, "not 64-bit") != 0)
			weft_findings_report(a->f, WEFT_FINDING_LIB_BROKEN, NULL, "/%s: %s",
					     lib->real, lib->broken);
	}
}

/* The EFA installer brings Open MPI 4 and 5, side by side: its two are one. */
static bool is_of_installer(const struct weft_lib *lib)
{
	static const char folder[] = "opt/amazon/openmpi";

	return !strncmp(lib->real, folder, sizeof(folder) - 1);
}

static void check_copies(const struct audit *a)
{
	for (uint32_t family = 0; family < WEFT_LIB_FAMILIES; family++) {
		char text[600] = "", one[400];
		size_t copies = 0, installed = 0, len = 0;

		for (size_t i = 0; i < a->libs->count; i++) {
			const struct weft_lib *lib = &a->libs->lib[i];
			bool loads = lib->loads;

			/* A plugin has several names; its links are one file, and so one row, anyway. */
			if (lib->family != family || lib->broken ||
			    family == WEFT_LIB_NVSHMEM_IBGDA)
				continue;
			if (family == WEFT_LIB_MPI && is_of_installer(lib) && !a->is_process &&
			    installed++)
				continue;
			copies++;
			if (len < sizeof(text) - 1)
				len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s%s",
							len ? ", " : "",
							described(lib, one, sizeof(one)),
							loads && !a->is_process ? " (loads)" : "");
		}
		if (copies > 1)
			weft_findings_add(a->f,
					  family == WEFT_LIB_MPI ? WEFT_FINDING_MPI_TWO
								 : WEFT_FINDING_LIB_DUPLICATE,
					  a->is_process ? WEFT_SEV_FAIL : WEFT_SEV_WARN, NULL,
					  "%s: %s", weft_lib_name(family), text);
		else if (copies == 1)
			OK(a->f, LIB_DUPLICATE, "one %s: %s", weft_lib_name(family), text);
	}
}

static const struct weft_lib *of_soname(const struct weft_libs *libs, const char *soname)
{
	for (size_t i = 0; i < libs->count; i++)
		if (libs->lib[i].loads && libs->lib[i].elf.soname &&
		    !strcmp(libs->lib[i].elf.soname, soname))
			return &libs->lib[i];
	return NULL;
}

/* What the loader would say of every version that a library asks of another one. */
static void check_versions(const struct audit *a)
{
	bool any = false, bad = false;

	for (size_t i = 0; i < a->libs->count; i++) {
		const struct weft_lib *lib = &a->libs->lib[i];

		for (size_t k = 0; lib->loads && k < lib->elf.need_count; k++) {
			const struct weft_elf_need *need = &lib->elf.needs[k];
			const struct weft_lib *other = of_soname(a->libs, need->file);
			char text[400];

			if (!other)
				continue;
			any = true;
			if (weft_elf_defines(&other->elf, need->version))
				continue;
			bad = true;
			weft_findings_report(a->f, WEFT_FINDING_LIB_SYMBOLS, NULL,
					     "/%s needs %s of %s, which %s does not have",
					     lib->real, need->version, need->file,
					     described(other, text, sizeof(text)));
		}
	}
	if (any && !bad)
		OK(a->f, LIB_SYMBOLS, "all symbol versions are there");
}

/* libibverbs loads its drivers by name, and the name has the number of its private interface in it. */
static void check_driver(const struct audit *a)
{
	const struct weft_lib *verbs = weft_libs_find(a->libs, WEFT_LIB_VERBS);
	const char *slash = verbs ? strrchr(verbs->real, '/') : NULL;
	const char *abi = NULL;

	for (size_t i = 0; verbs && i < verbs->elf.define_count; i++)
		if (!strncmp(verbs->elf.defines[i], "IBVERBS_PRIVATE_", 16))
			abi = verbs->elf.defines[i] + 16;
	if (!abi || !slash || a->is_process)
		return;
	if (weft_root_exists(a->root, "%.*s/libibverbs/libefa-rdmav%s.so",
			     (int)(slash - verbs->real), verbs->real, abi))
		OK(a->f, LIB_SYMBOLS, "libibverbs finds its driver libefa-rdmav%s.so", abi);
	else
		weft_findings_report(a->f, WEFT_FINDING_LIB_SYMBOLS, NULL,
				     "/%s loads libefa-rdmav%s.so, and /%.*s/libibverbs has none",
				     verbs->real, abi, (int)(slash - verbs->real), verbs->real);
}

/* The kernel copies pinned pages on fork from 5.13 on, and rdma-core knows that from 35 on. */
static void check_fork(const struct audit *a)
{
	const struct weft_lib *verbs = weft_libs_find(a->libs, WEFT_LIB_VERBS);
	uint32_t version = verbs ? weft_version_parse(verbs->version) : 0;

	if (version && version < WEFT_VERSION_OF(35, 0, 0))
		weft_findings_add(a->f, WEFT_FINDING_FORK,
				  !a->node || weft_node_wants_efa(a->node) ? WEFT_SEV_WARN
									   : WEFT_SEV_NOTE,
				  NULL, "/%s is of rdma-core %s", verbs->real, verbs->version);
}

/* A libfabric that links rdma-core statically needs no libefa, but has the provider's variables in it. */
static bool contains(struct weft_root *root, const char *real, const char *word)
{
	struct weft_file file = weft_root_file_open(root, "%s", real);
	size_t len = strlen(word), block = 1u << 16;
	char *buf = malloc(block);
	bool found = false;

	for (uint64_t at = 0;
	     buf && file.fd >= 0 && at + len <= file.size && at < 64u << 20 && !found;
	     at += block - len) {
		size_t n = (size_t)WEFT_MIN(file.size - at, (uint64_t)block);

		if (!weft_file_read(&file, at, buf, n))
			break;
		for (const char *p = buf; (p = memchr(p, word[0], (size_t)(buf + n - p))) != NULL;
		     p++)
			if ((size_t)(buf + n - p) >= len && !memcmp(p, word, len)) {
				found = true;
				break;
			}
	}
	free(buf);
	weft_file_close(&file);
	return found;
}

static void check_fabric(const struct audit *a)
{
	const struct weft_lib *fabric = weft_libs_find(a->libs, WEFT_LIB_FABRIC);
	bool wants = !a->node || weft_node_wants_efa(a->node);
	const char *slash;

	if (!fabric) {
		if (!a->is_process)
			weft_findings_add(
				a->f, WEFT_FINDING_LIB_NONE, wants ? WEFT_SEV_WARN : WEFT_SEV_NOTE,
				NULL, "no libfabric.so.1 on the loader's path%s",
				a->libs->count ? "" : ", nor libefa, libibverbs, NCCL or an MPI");
		return;
	}
	slash = strrchr(fabric->real, '/');
	if (weft_elf_needs(&fabric->elf, "libefa.so.1") ||
	    (slash && weft_root_exists(a->root, "%.*s/libfabric/libefa-fi.so",
				       (int)(slash - fabric->real), fabric->real)) ||
	    contains(a->root, fabric->real, "use_device_rdma"))
		OK(a->f, LIB_NO_EFA, "/%s has the EFA provider", fabric->real);
	else
		weft_findings_add(a->f, WEFT_FINDING_LIB_NO_EFA,
				  wants ? WEFT_SEV_FAIL : WEFT_SEV_NOTE, NULL,
				  "/%s: neither linked with libefa nor with the provider in it",
				  fabric->real);
}

static uint32_t version_of(const struct weft_libs *libs, enum weft_lib_family family)
{
	const struct weft_lib *lib = weft_libs_find(libs, family);

	return lib ? weft_version_parse(lib->version) : 0;
}

static bool older(uint32_t version, uint32_t major, uint32_t minor, uint32_t patch)
{
	return version && version < WEFT_VERSION_OF(major, minor, patch);
}

static void check_matrix(const struct audit *a)
{
	uint32_t nccl = version_of(a->libs, WEFT_LIB_NCCL),
		 plugin = version_of(a->libs, WEFT_LIB_PLUGIN);
	uint32_t fabric = version_of(a->libs, WEFT_LIB_FABRIC);
	uint32_t installer = weft_version_parse(a->libs->installer);
	const char *type = a->node && a->node->type ? a->node->type->name : "";
	bool bad = false;

	if (nccl >= WEFT_VERSION_OF(2, 19, 0) && older(installer, 1, 29, 0)) {
		weft_findings_report(a->f, WEFT_FINDING_LIB_VERSION, NULL,
				     "NCCL 2.19 and newer need EFA installer 1.29, and this is %s",
				     a->libs->installer);
		bad = true;
	}
	if (plugin >= WEFT_VERSION_OF(1, 7, 0) && older(fabric, 1, 18, 0)) {
		weft_findings_report(
			a->f, WEFT_FINDING_LIB_VERSION, NULL,
			"aws-ofi-nccl 1.7 and newer want libfabric 1.18, and this is %s",
			weft_libs_find(a->libs, WEFT_LIB_FABRIC)->version);
		bad = true;
	}
	if (!strncmp(type, "p5", 2) && (older(plugin, 1, 7, 2) || older(nccl, 2, 18, 0))) {
		weft_findings_report(a->f, WEFT_FINDING_LIB_VERSION, NULL,
				     "a %s needs NCCL 2.18 and aws-ofi-nccl 1.7.2", type);
		bad = true;
	}
	if (!bad && nccl && plugin)
		OK(a->f, LIB_VERSION,
		   "NCCL, aws-ofi-nccl and libfabric go together, as far as their versions show");
}

static void check_plugin(const struct audit *a)
{
	const struct weft_lib *nccl = weft_libs_find(a->libs, WEFT_LIB_NCCL);
	const struct weft_lib *plugin = weft_libs_find(a->libs, WEFT_LIB_PLUGIN);
	const struct weft_lib *off_path = NULL;
	bool wants = !a->node || weft_node_wants_efa(a->node);

	if (!nccl)
		return;
	for (size_t i = 0; i < a->libs->count; i++)
		if (a->libs->lib[i].family == WEFT_LIB_PLUGIN)
			off_path = &a->libs->lib[i];
	if (plugin && weft_elf_needs(&plugin->elf, "libfabric.so.1")) {
		OK(a->f, PLUGIN_NONE, "/%s", plugin->real);
		return;
	}
	/* HPC-X and others bring plugins of the same name, for InfiniBand. */
	if (plugin) {
		weft_findings_add(
			a->f, WEFT_FINDING_PLUGIN_NONE, wants ? WEFT_SEV_FAIL : WEFT_SEV_NOTE, NULL,
			"/%s is the plugin that NCCL loads, and it is not linked with libfabric",
			plugin->real);
		return;
	}
	weft_findings_add(
		a->f, WEFT_FINDING_PLUGIN_NONE, wants ? WEFT_SEV_FAIL : WEFT_SEV_NOTE, NULL,
		"/%s is here, and no libnccl-net.so or libnccl-net-ofi.so on the loader's path%s%s",
		nccl->real, off_path ? "; one lies at /" : "", off_path ? off_path->real : "");
	if (off_path)
		weft_findings_fix(a->f, "export LD_LIBRARY_PATH=/%.*s:$LD_LIBRARY_PATH",
				  (int)(strrchr(off_path->path, '/') - off_path->path),
				  off_path->path);
}

static void check_mpi(const struct audit *a)
{
	const struct weft_lib *mpi = weft_libs_find(a->libs, WEFT_LIB_MPI);
	const char *slash = mpi ? strrchr(mpi->real, '/') : NULL;
	int len = slash ? (int)(slash - mpi->real) : 0;

	if (a->libs->mpiruns > 1)
		weft_findings_report(a->f, WEFT_FINDING_MPI_TWO, NULL, "PATH has /%s before /%s",
				     a->libs->mpirun[0], a->libs->mpirun[1]);
	if (!mpi || !slash || strstr(mpi->real, "libmpi.so.12"))
		return;
	/* Debian keeps the components one folder up and to the side. */
	if (weft_root_exists(a->root, "%.*s/openmpi/mca_mtl_ofi.so", len, mpi->real) ||
	    weft_root_exists(a->root, "%.*s/openmpi3/mca_mtl_ofi.so", len, mpi->real) ||
	    weft_root_exists(a->root, "%.*s/../openmpi/mca_mtl_ofi.so", len, mpi->real) ||
	    weft_root_exists(a->root, "%.*s/openmpi/lib/openmpi3/mca_mtl_ofi.so", len, mpi->real) ||
	    weft_root_exists(a->root, "%.*s/../../openmpi3/mca_mtl_ofi.so", len, mpi->real) ||
	    weft_elf_needs(&mpi->elf, "libfabric.so.1"))
		OK(a->f, MPI_NO_OFI, "/%s has the ofi component", mpi->real);
	else
		weft_findings_report(
			a->f, WEFT_FINDING_MPI_NO_OFI, NULL,
			"/%s: no openmpi/mca_mtl_ofi.so beside it, and not linked with libfabric",
			mpi->real);
}

static void check_ucx(const struct audit *a)
{
	const struct weft_lib *ucx = weft_libs_find(a->libs, WEFT_LIB_UCX);
	const char *slash = ucx ? strrchr(ucx->real, '/') : NULL;
	int len = slash ? (int)(slash - ucx->real) : 0;

	if (!slash)
		return;
	if (weft_root_exists(a->root, "%.*s/ucx/libuct_ib_efa.so.0", len, ucx->real) ||
	    weft_root_exists(a->root, "%.*s/ucx/libuct_ib_efa.so", len, ucx->real))
		OK(a->f, UCX_NO_EFA, "/%s has the EFA transport", ucx->real);
	else
		weft_findings_add(a->f, WEFT_FINDING_UCX_NO_EFA,
				  !a->node || weft_node_wants_efa(a->node) ? WEFT_SEV_WARN
									   : WEFT_SEV_NOTE,
				  NULL, "/%s: no ucx/libuct_ib_efa.so beside it", ucx->real);
}

static void check_ibgda(const struct audit *a)
{
	for (size_t i = 0; i < a->libs->count; i++)
		if (a->libs->lib[i].family == WEFT_LIB_NVSHMEM_IBGDA)
			weft_findings_add(a->f, WEFT_FINDING_NVSHMEM_IBGDA,
					  a->node && !weft_node_wants_efa(a->node) ? WEFT_SEV_NOTE
										   : WEFT_SEV_WARN,
					  NULL, "/%s", a->libs->lib[i].real);
}

void weft_libs_check(const struct weft_libs *libs, const struct weft_node *node,
		     struct weft_root *root, bool is_process, struct weft_findings *findings)
{
	struct audit a = { libs, node, root, findings, is_process };

	check_broken(&a);
	check_fabric(&a);
	check_copies(&a);
	check_versions(&a);
	check_driver(&a);
	check_fork(&a);
	check_matrix(&a);
	check_mpi(&a);
	check_ucx(&a);
	check_ibgda(&a);
	if (!is_process)
		check_plugin(&a);
}
