/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_ADVICE_ENV_H
#define WEFT_ADVICE_ENV_H

/* What environment variables do to programs on EFA: each one needed, a choice, without effect, of older versions,
 * or harmful, which depends on the device and on versions. env.inc is the table. */
#include "advice/finding.h"

/* 1.18.0 as a number that can be compared; 0 stands for a version that is not known. */
#define WEFT_VERSION_OF(major, minor, patch) \
	((uint32_t)(major) << 20 | (uint32_t)(minor) << 10 | (patch))

/* "1.18.0amzn2.0" -> WEFT_VERSION_OF(1, 18, 0). 0: does not begin with a number. */
uint32_t weft_version_parse(const char *text);

enum weft_tri {
	WEFT_UNKNOWN,
	WEFT_NO,
	WEFT_YES,
};

/* What is known of where the program will run. All zero: nothing. */
struct weft_env_context {
	enum weft_tri rdma_read; /* Of every card that would be used. */
	enum weft_tri gpudirect;
	uint32_t kernel, libfabric, plugin, ucx; /* Versions; plugin: aws-ofi-nccl. */
	const char *const *interfaces; /* borrows. Names; NULL: not known. */
	size_t interface_count;
};

enum weft_env_verdict {
	WEFT_ENV_NEEDED,
	WEFT_ENV_CHOICE, /* Does what it says. */
	WEFT_ENV_NOOP,
	WEFT_ENV_DEPRECATED,
	WEFT_ENV_HARMFUL,
	WEFT_ENV_UNKNOWN, /* Of a family whose names we know, and not one of them. */
};

struct weft_env_judgement {
	enum weft_env_verdict verdict;
	enum weft_finding_id finding; /* What to report it as. */
	const char *reason;
	const char *source; /* Or NULL. */
	const char *suggest; /* The name that may have been meant, or NULL. */
};

const char *weft_env_verdict_name(enum weft_env_verdict verdict);

/* Is it one of those that we have an opinion about: FI_*, NCCL_*, OFI_NCCL_*, UCX_*, OMPI_MCA_*, RDMAV_* ...? */
bool weft_env_is_ours(const char *name);

/* Might its value be a secret, by its name? Then it is neither shown nor kept. */
bool weft_env_is_secret(const char *name);

/* One variable by itself. */
struct weft_env_judgement weft_env_judge(const char *name, const char *value,
					 const struct weft_env_context *context);

struct weft_env_var {
	const char *name, *value; /* borrows */
	struct weft_place place;
};

/* All variables of one process, with what they do together and what is missing. Each that is ours becomes a
 * finding, the good ones with WEFT_SEV_OK. */
void weft_env_check(const struct weft_env_var *vars, size_t count,
		    const struct weft_env_context *context, struct weft_findings *findings);

#endif
