/* SPDX-License-Identifier: BSD-2-Clause */
/* Slurm's side of cards: tells a job which ones Slurm gave it, in SLURM_EFA_CARDS.
 *
 * For a generic resource without a plugin Slurm counts and picks numbers, but tells them to nobody who could act on
 * them. Only a plugin of the resource hears them: of a job for its batch script, of a step for its tasks. So this one
 * does nothing else; what follows from the numbers is weft-task-prolog's business, which an administrator can read.
 *
 * Its interface is no public one of Slurm, but it is the same from 21.08 to 26.05, and Slurm refuses a plugin that was
 * built for another release. Names that changed meanwhile are there in both forms, for Slurm wants all it
 * knows. A resource that is constrained by cgroups needs its devices; weft's cards are none, so there is no list. */
#include <slurm/slurm.h>
#include <slurm/slurm_errno.h>
#include <stdint.h>
#include <stdio.h>

#if SLURM_VERSION_NUMBER < SLURM_VERSION_NUM(21, 8, 0)
#error "the interface of gres plugins was another one before Slurm 21.08"
#endif

#define EXPORT   __attribute__((visibility("default")))
#define VARIABLE "SLURM_EFA_CARDS"

typedef int64_t bits_of_slurm; /* bitstr_t: opaque here. */
struct buf_of_slurm;

/* Of the program that loads this. */
char *slurm_bit_fmt(char *text, int32_t len, bits_of_slurm *bits);
int slurm_env_array_overwrite(char ***env, const char *name, const char *value);

EXPORT extern const char plugin_name[];
EXPORT extern const char plugin_type[];
EXPORT extern const uint32_t plugin_version;
const char plugin_name[] = "weft: which EFA cards a job has";
const char plugin_type[] = "gres/efa";
const uint32_t plugin_version = SLURM_VERSION_NUMBER;

EXPORT int init(void);
EXPORT void fini(void);
EXPORT int gres_p_node_config_load(void *configs, void *config);
EXPORT void gres_p_job_set_env(char ***env, bits_of_slurm *bits, uint64_t count, int flags);
EXPORT void gres_p_step_set_env(char ***env, bits_of_slurm *bits, uint64_t count, int flags);
EXPORT void gres_p_task_set_env(char ***env, bits_of_slurm *bits, uint64_t count,
				bits_of_slurm *usable, int flags);
EXPORT void gres_p_send_stepd(struct buf_of_slurm *buffer);
EXPORT void gres_p_recv_stepd(struct buf_of_slurm *buffer);
EXPORT int gres_p_get_job_info(void *job, uint32_t node, int type, void *data);
EXPORT int gres_p_get_step_info(void *step, uint32_t node, int type, void *data);
EXPORT void *gres_p_get_devices(void);
EXPORT void gres_p_step_hardware_init(bits_of_slurm *usable, char *settings);
EXPORT void gres_p_step_hardware_fini(void);
EXPORT void *gres_p_epilog_build_env(void *job);
EXPORT void gres_p_epilog_set_env(char ***env, void *info, int node);
EXPORT void *gres_p_prep_build_env(void *job);
EXPORT void gres_p_prep_set_env(char ***env, void *info, int node);

/* The variable is always set: steps inherit it from jobs, and must not take over what they have not. */
static void tell(char ***env, bits_of_slurm *bits, uint64_t count)
{
	char text[256] = "";

	if (bits)
		slurm_bit_fmt(text, sizeof(text), bits);
	if (!text[0])
		/* Without File= in gres.conf Slurm counts, but does not pick. */
		snprintf(text, sizeof(text), "%s", count ? "unknown" : "none");
	slurm_env_array_overwrite(env, VARIABLE, text);
}

void gres_p_job_set_env(char ***env, bits_of_slurm *bits, uint64_t count, int flags)
{
	(void)flags;
	tell(env, bits, count);
}

void gres_p_step_set_env(char ***env, bits_of_slurm *bits, uint64_t count, int flags)
{
	(void)flags;
	tell(env, bits, count);
}

/* Called for tasks that are bound to GPUs; each of them keeps the cards of the step. */
void gres_p_task_set_env(char ***env, bits_of_slurm *bits, uint64_t count, bits_of_slurm *usable,
			 int flags)
{
	(void)usable;
	(void)flags;
	tell(env, bits, count);
}

int init(void)
{
	return SLURM_SUCCESS;
}

void fini(void)
{
}

int gres_p_node_config_load(void *configs, void *config)
{
	(void)configs;
	(void)config;
	return SLURM_SUCCESS;
}

void gres_p_send_stepd(struct buf_of_slurm *buffer)
{
	(void)buffer;
}

void gres_p_recv_stepd(struct buf_of_slurm *buffer)
{
	(void)buffer;
}

int gres_p_get_job_info(void *job, uint32_t node, int type, void *data)
{
	(void)job;
	(void)node;
	(void)type;
	(void)data;
	return SLURM_ERROR;
}

int gres_p_get_step_info(void *step, uint32_t node, int type, void *data)
{
	return gres_p_get_job_info(step, node, type, data);
}

void *gres_p_get_devices(void)
{
	return NULL;
}

void gres_p_step_hardware_init(bits_of_slurm *usable, char *settings)
{
	(void)usable;
	(void)settings;
}

void gres_p_step_hardware_fini(void)
{
}

void *gres_p_epilog_build_env(void *job)
{
	(void)job;
	return NULL;
}

void gres_p_epilog_set_env(char ***env, void *info, int node)
{
	(void)env;
	(void)info;
	(void)node;
}

void *gres_p_prep_build_env(void *job)
{
	return gres_p_epilog_build_env(job);
}

void gres_p_prep_set_env(char ***env, void *info, int node)
{
	gres_p_epilog_set_env(env, info, node);
}
