/* SPDX-License-Identifier: BSD-2-Clause */
/* A table of what is known of libraries on EFA. It ages: every row has its source, and all of them one date. */
#include "cloud/backend.h"

#define OFI_PROOF                                                                                 \
	"NCCL_DEBUG=INFO: \"NET/OFI Selected provider is efa\", and \"via NET/\" lines that end " \
	"in GDRDMA"

static const struct weft_backend backends[] = {
	{ "training", "NCCL with aws-ofi-nccl, on libfabric", WEFT_BACKEND_USE,
	  "the plugin chooses EFA, protocol and tuning by itself",
	  "aws-ofi-nccl 1.7.0 and libfabric 1.18.0 or later; no variables", OFI_PROOF,
	  "aws-ofi-nccl, doc/efa-env-var.md" },
	{ "mpi", "Open MPI, mtl/ofi on libfabric", WEFT_BACKEND_USE, "messages go straight to EFA",
	  "--mca pml cm --mca mtl ofi, and an Open MPI that is built with it, such as the EFA "
	  "installer's",
	  "--mca mtl_base_verbose 100", "Open MPI issues 7107 and 6795" },
	{ "mpi", "Open MPI, btl/tcp or pml/ucx", WEFT_BACKEND_AVOID,
	  "TCP; right where MPI only starts processes, as for nccl-tests", "", "",
	  "Open MPI issue 7107" },
	{ "kv", "NIXL with its LIBFABRIC backend", WEFT_BACKEND_USE,
	  "libfabric's EFA provider is AWS's own", "choose it: NIXL's standard is UCX",
	  "tx_bytes of the cards grow", "Ray pull request 62339; NIXL issue 909" },
	{ "kv", "NIXL with UCX", WEFT_BACKEND_CARE,
	  "UCX reaches EFA by its own transport, not through libfabric; without it UCX_TLS=all "
	  "takes TCP and says nothing (0.3 GB/s)",
	  "UCX 1.19 or later, built with EFA",
	  "UCX_LOG_LEVEL=info names srd, not tcp; tx_bytes of the cards grow",
	  "UCX pull requests 10021 and 10412; vLLM issue 41814" },
	{ "kv", "Mooncake", WEFT_BACKEND_CARE, "its standard protocol is not EFA",
	  "MOONCAKE_PROTOCOL=efa", "tx_bytes of the cards grow", "Mooncake pull request 1523" },
	{ "kv", "vLLM's P2pNcclConnector", WEFT_BACKEND_USE, "it is NCCL: see training",
	  "as for training", OFI_PROOF, "aws-ofi-nccl, doc/efa-env-var.md" },
	{ "kv", "LMCache", WEFT_BACKEND_CARE, "it hands over to NIXL: see there",
	  "NIXL with LIBFABRIC", "tx_bytes of the cards grow", "NIXL issue 909" },
	{ "moe", "DeepEP V2, on NCCL GIN with aws-ofi-nccl", WEFT_BACKEND_USE,
	  "the device's part is done by a proxy, or on p5en and p6 by the GPU itself",
	  "aws-ofi-nccl 1.21; without the proxy also NCCL 2.31.2, libfabric 2.6 and GDRCopy 2.5",
	  "\"gin GDAKI: createContext done\" (without the proxy)",
	  "aws-ofi-nccl, GIN documentation" },
	{ "moe", "pplx-garden, UCCL-EP", WEFT_BACKEND_USE, "they speak EFA by code of their own",
	  "", "tx_bytes of the cards grow", "pplx-garden; uccl-project/uccl" },
	{ "moe", "DeepEP V1, pplx-kernels", WEFT_BACKEND_AVOID,
	  "they need IBGDA through NVSHMEM, which EFA does not have", "", "",
	  "DeepEP issue 369; vLLM issue 27898" },
	{ "baseline", "NCCL over TCP", WEFT_BACKEND_USE,
	  "to compare with; an empty FI_PROVIDER does not do it", "NCCL_NET=Socket",
	  "\"Using network Socket\"", "aws-ofi-nccl, platform-aws.cpp" },
};

const struct weft_backend *weft_backend_at(uint32_t index)
{
	return index < WEFT_ARRAY_SIZE(backends) ? &backends[index] : NULL;
}

const char *weft_backend_verdict_name(enum weft_backend_verdict verdict)
{
	switch (verdict) {
	case WEFT_BACKEND_USE:
		return "use";
	case WEFT_BACKEND_CARE:
		return "care";
	case WEFT_BACKEND_AVOID:
		return "avoid";
	}
	return "?";
}
