/* SPDX-License-Identifier: BSD-2-Clause */
/* test_gres_efa PLUGIN: what the plugin says of which cards, as slurmstepd would ask it. Slurm's own functions, which it
 * calls, are stood in for here: an environment of one variable, and sets of bits that are 64 bits. */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef void set_env_fn(char ***env, int64_t *bits, uint64_t count, int flags);
typedef void set_task_env_fn(char ***env, int64_t *bits, uint64_t count, int64_t *usable,
			     int flags);

#define EXPORT __attribute__((visibility("default")))
EXPORT char *slurm_bit_fmt(char *text, int32_t len, int64_t *bits);
EXPORT int slurm_env_array_overwrite(char ***env, const char *name, const char *value);

static char said[512];
static int tests, failed;

/* As Slurm's: ranges, by comma; nothing for none. */
char *slurm_bit_fmt(char *text, int32_t len, int64_t *bits)
{
	int n = 0;

	text[0] = 0;
	for (int i = 0; i < 64; i++) {
		int first = i;

		if (!(*bits >> i & 1))
			continue;
		while (i < 63 && *bits >> (i + 1) & 1)
			i++;
		n += snprintf(text + n, (size_t)(len - n), first == i ? "%s%d" : "%s%d-%d",
			      n ? "," : "", first, i);
	}
	return text;
}

int slurm_env_array_overwrite(char ***env, const char *name, const char *value)
{
	(void)env;
	snprintf(said, sizeof(said), "%s=%s", name, value);
	return 1;
}

static void check(bool good, const char *name)
{
	printf("%sok %d - %s%s%s\n", good ? "" : "not ", ++tests, name, good ? "" : ": ",
	       good ? "" : said);
	failed += !good;
}

int main(int argc, char **argv)
{
	/* Slurm takes no plugin that lacks one of these: its releases from 21.08 to 26.05. */
	static const char *const names[] = {
		"init",
		"fini",
		"gres_p_node_config_load",
		"gres_p_job_set_env",
		"gres_p_step_set_env",
		"gres_p_task_set_env",
		"gres_p_send_stepd",
		"gres_p_recv_stepd",
		"gres_p_get_job_info",
		"gres_p_get_step_info",
		"gres_p_get_devices",
		"gres_p_step_hardware_init",
		"gres_p_step_hardware_fini",
		"gres_p_epilog_build_env",
		"gres_p_epilog_set_env",
		"gres_p_prep_build_env",
		"gres_p_prep_set_env",
		"plugin_name",
		"plugin_version",
	};
	static const char *const setters[] = { "gres_p_job_set_env", "gres_p_step_set_env" };
	void *plugin = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
	const char *type = plugin ? dlsym(plugin, "plugin_type") : NULL;
	char **env = NULL;

	if (!type) {
		printf("Bail out! %s\n", argc == 2 ? dlerror() : "usage: test_gres_efa PLUGIN");
		return 1;
	}
	check(!strcmp(type, "gres/efa"), "it is the plugin of `efa`");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!dlsym(plugin, names[i])) {
			snprintf(said, sizeof(said), "no %s", names[i]);
			check(false, "it has what Slurm looks for");
		}
	for (size_t i = 0; i < 2; i++) {
		set_env_fn *set_env = NULL;
		int64_t bits = 0xb;

		*(void **)&set_env = dlsym(plugin, setters[i]);
		set_env(&env, &bits, 3, 0);
		check(!strcmp(said, "SLURM_EFA_CARDS=0-1,3"), "cards by number");
		bits = 0xffffffff;
		set_env(&env, &bits, 32, 0);
		check(!strcmp(said, "SLURM_EFA_CARDS=0-31"), "all of 32");
		bits = 0x55555555; /* The longest text. */
		set_env(&env, &bits, 16, 0);
		check(!strcmp(said + strlen(said) - 6, ",28,30"), "every second of 32");
		set_env(&env, NULL, 0, 0);
		check(!strcmp(said, "SLURM_EFA_CARDS=none"), "none");
		bits = 0;
		set_env(&env, &bits, 0, 0);
		check(!strcmp(said, "SLURM_EFA_CARDS=none"), "none, with an empty set");
		set_env(&env, NULL, 2, 0);
		check(!strcmp(said, "SLURM_EFA_CARDS=unknown"), "counted and not picked");
	}
	{
		set_task_env_fn *set_task_env = NULL;
		int64_t bits = 6, usable = 2;

		*(void **)&set_task_env = dlsym(plugin, "gres_p_task_set_env");
		set_task_env(&env, &bits, 2, &usable, 0);
		check(!strcmp(said, "SLURM_EFA_CARDS=1-2"), "tasks keep the cards of the step");
	}
	printf("1..%d\n", tests);
	return failed != 0;
}
