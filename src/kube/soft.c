/* SPDX-License-Identifier: BSD-2-Clause */
/* Cards out of settings. The plugin and the library in the container make the same set from the same settings, so a
 * number is enough to say which card is meant; the address is the container's own, and nothing here depends on it. */
#define _GNU_SOURCE
#include "kube/soft.h"

#include "cloud/catalogue.h"
#include "dev/cardset_make.h"
#include "dev/conf_set.h"
#include "dev/hint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool has_address(const struct weft_ip *ip)
{
	(void)ip;
	return true; /* The container's, and not ours to judge. */
}

static const char *env_of(const struct weft_kube_soft *soft, const char *name)
{
	size_t len = strlen(name);

	for (uint32_t i = 0; i < soft->envs; i++)
		if (!strncmp(soft->env[i], name, len) && soft->env[i][len] == '=')
			return soft->env[i] + len + 1;
	return NULL;
}

static uint32_t count_nodes(struct weft_root *root)
{
	uint32_t n = 0;

	while (n < 1024 && weft_root_exists(root, "sys/devices/system/node/node%u", n))
		n++;
	return n;
}

/* Which card goes with which GPU: they are shared out evenly, as cardset.c does with NUMA nodes. */
static uint32_t group_of(const struct weft_instance *type, uint32_t number, uint32_t count)
{
	uint32_t gpus = type ? weft_fact_or(type->accelerators, 0) : 0;

	return gpus ? number * gpus / count : 0;
}

static int make_set(struct weft_kube_soft *soft, struct weft_root *root, char *why, size_t len)
{
	struct weft_conf_set *conf = calloc(1, sizeof(*conf)); /* Large, and soon not needed. */
	struct weft_host_view host = { .numa_nodes = count_nodes(root),
				       .has_address = has_address };
	struct weft_conf_input in = { .env = (char *const *)soft->env };
	struct weft_cardset set;
	const struct weft_instance *type;
	int err;

	if (!conf) {
		snprintf(why, len, "no memory");
		return -ENOMEM;
	}
	weft_conf_read(&in, conf);
	if (conf->problems) {
		snprintf(why, len, "%s", conf->problem[0]);
		free(conf);
		return -EINVAL;
	}
	type = weft_catalogue_find(conf->conf.instance);
	err = weft_cardset_make(&conf->conf, &host, &set);
	free(conf);
	if (err) {
		snprintf(why, len, "%s", set.why);
		return err;
	}
	memcpy(soft->info, set.card, sizeof(soft->info));
	soft->cards.count = set.count;
	for (uint32_t i = 0; i < set.count; i++) {
		struct weft_kube_card *card = &soft->cards.card[i];

		snprintf(card->id, sizeof(card->id), "%s", set.card[i].name);
		snprintf(card->name, sizeof(card->name), "%s", set.card[i].name);
		card->numa = set.card[i].numa;
		card->group = group_of(type, i, set.count);
		card->number = i;
	}
	return 0;
}

int weft_kube_soft_init(const char *const *env, uint32_t envs, const char *library_dir,
			uint32_t shared, struct weft_root *root, struct weft_kube_soft *soft_out,
			char *why, size_t len)
{
	static const char *const ours[] = { "WEFT_VISIBLE", "LD_PRELOAD" };

	memset(soft_out, 0, sizeof(*soft_out));
	for (uint32_t i = 0; i < envs; i++)
		soft_out->env[soft_out->envs++] = env[i];
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(ours); i++)
		if (env_of(soft_out, ours[i])) {
			snprintf(why, len, "%s is for the plugin to set", ours[i]);
			return -EINVAL;
		}
	soft_out->library_dir = library_dir;
	soft_out->cards.shared = shared;
	return make_set(soft_out, root, why, len);
}

void weft_kube_soft_judge(struct weft_kube_soft *soft)
{
	char path[4096];
	bool is_there;

	snprintf(path, sizeof(path), "%s/" WEFT_KUBE_LIBRARY, soft->library_dir);
	is_there = !access(path, R_OK);
	for (uint32_t i = 0; i < soft->cards.count; i++) {
		struct weft_kube_card *card = &soft->cards.card[i];

		card->is_healthy = is_there;
		snprintf(card->why, sizeof(card->why), "%s%.96s",
			 is_there ? "" : "cannot read " WEFT_KUBE_LIBRARY " in ",
			 is_there ? "" : soft->library_dir);
	}
}

/* What a container gets: fields of a ContainerAllocateResponse. */

static void put_env(struct weft_pb_out *reply, const char *name, const char *value)
{
	weft_pb_put_entry(reply, 1, name, value);
}

static void put_visible(const struct weft_kube_soft *soft, const struct weft_kube_set *devices,
			struct weft_pb_out *reply)
{
	char text[WEFT_CARDS_MAX * 3 + 1] = "";
	size_t len = 0;

	for (uint32_t i = 0; i < soft->cards.count; i++)
		if (devices->shares[i])
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%u",
						len ? "," : "", i);
	put_env(reply, "WEFT_VISIBLE", text);
}

static void allocate(void *arg, const struct weft_kube_set *devices, struct weft_pb_out *reply)
{
	const struct weft_kube_soft *soft = arg;
	size_t count, mount;
	const struct weft_hint *hints = weft_hints(soft->info, soft->cards.count, &count);

	put_env(reply, "LD_PRELOAD", WEFT_KUBE_INSIDE "/" WEFT_KUBE_LIBRARY);
	put_visible(soft, devices, reply);
	for (uint32_t i = 0; i < soft->envs; i++) {
		const char *equals = strchr(soft->env[i], '=');
		char *name = equals ? strndup(soft->env[i], (size_t)(equals - soft->env[i])) : NULL;

		if (name)
			put_env(reply, name, equals + 1);
		else
			reply->failed = true;
		free(name);
	}
	for (size_t i = 0; i < count; i++)
		if (!env_of(soft, hints[i].name))
			put_env(reply, hints[i].name, hints[i].value);
	mount = weft_pb_begin(reply, 2);
	weft_pb_put_text(reply, 1, WEFT_KUBE_INSIDE);
	weft_pb_put_text(reply, 2, soft->library_dir);
	weft_pb_put_number(reply, 3, 1); /* read_only */
	weft_pb_end(reply, mount);
}

struct weft_kube_source weft_kube_soft_source(struct weft_kube_soft *soft)
{
	return (struct weft_kube_source){ &soft->cards, allocate, soft };
}
