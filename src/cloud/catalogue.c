/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of instance types and how to find a row of it. A name that is not in the table is most often a
 * typing mistake, a family without its size ("p5"), or a size of a family that has no EFA ("p5.xlarge"): the
 * suggestion tries these in turn. */
#include "cloud/catalogue.h"

#include "base/spell.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define K(n)                         \
	{                            \
		(n), WEFT_FACT_KNOWN \
	}
#define D(n)                           \
	{                              \
		(n), WEFT_FACT_DERIVED \
	}
#define _                            \
	{                            \
		0, WEFT_FACT_UNKNOWN \
	}
#define KVDE  "karpenter docs, VPC CNI limits, AWS EFA documentation, eks-charts"
#define KVE   "karpenter docs, VPC CNI limits, eks-charts"
#define VDE   "VPC CNI limits, AWS EFA documentation, eks-charts"
#define VD    "VPC CNI limits, AWS EFA documentation"
#define DE    "AWS EFA documentation, eks-charts"
#define DOC   "AWS EFA documentation"
#define E     "eks-charts"
#define PLAIN .notes = NULL /* Nothing more to say. */

static const struct weft_instance instances[] = {
#include "cloud/catalogue.inc"
};

const struct weft_instance *weft_catalogue_at(uint32_t index)
{
	return index < WEFT_ARRAY_SIZE(instances) ? &instances[index] : NULL;
}

const struct weft_instance *weft_catalogue_find(const char *name)
{
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(instances); i++)
		if (!strcasecmp(instances[i].name, name))
			return &instances[i];
	return NULL;
}

/* The member with most EFA interfaces of those that begin with the first `len` bytes of `name`. */
static const struct weft_instance *largest(const char *name, size_t len)
{
	const struct weft_instance *best = NULL;

	for (size_t i = 0; len && i < WEFT_ARRAY_SIZE(instances); i++) {
		const struct weft_instance *it = &instances[i];

		if (strncasecmp(it->name, name, len) != 0)
			continue;
		if (!best || weft_fact_or(it->efas, 0) > weft_fact_or(best->efas, 0))
			best = it;
	}
	return best;
}

const struct weft_instance *weft_catalogue_suggest(const char *name)
{
	const struct weft_instance *close = NULL;
	const char *dot = strchr(name, '.');
	char family[32];
	size_t best = SIZE_MAX;

	/* "p5" means p5.48xlarge rather than p5e.48xlarge. */
	if (!dot && strlen(name) + 2 <= sizeof(family)) {
		snprintf(family, sizeof(family), "%s.", name);
		close = *name ? largest(family, strlen(family)) : NULL;
	}
	if (!close)
		close = largest(name, strlen(name));
	if (close)
		return close;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(instances); i++)
		if (weft_spell_is_closer(name, instances[i].name, &best))
			close = &instances[i];
	if (!close && dot)
		close = largest(name, (size_t)(dot - name) + 1);
	return close;
}

/* AWS marks its own processors with a g behind the number of the generation: c7gn, hpc7g; but not g6 or g6e. */
bool weft_instance_is_arm(const struct weft_instance *it)
{
	const char *digits = it->name + strcspn(it->name, "0123456789");

	if (!strncmp(it->accelerator, "gb", 2)) /* Grace is the processor beside such a GPU. */
		return true;
	return digits[strspn(digits, "0123456789")] == 'g';
}

const char *weft_instance_resource(const struct weft_instance *it)
{
	static const char *const nvidia[] = { "a10g", "a100", "b",    "gb", "h100",
					      "h200", "l4",   "rtx-", "t4", "v100" };

	for (size_t i = 0; *it->accelerator && i < WEFT_ARRAY_SIZE(nvidia); i++)
		if (!strncmp(it->accelerator, nvidia[i], strlen(nvidia[i])))
			return "nvidia.com/gpu";
	if (!strncmp(it->accelerator, "trainium", 8) || !strncmp(it->accelerator, "inferentia", 10))
		return "aws.amazon.com/neuron";
	if (!strcmp(it->accelerator, "gaudi"))
		return "habana.ai/gaudi";
	return NULL;
}

enum weft_gdr weft_instance_gdr(const struct weft_instance *it)
{
	if (!strncmp(it->gpudirect, "required", 8) || !strncmp(it->gpudirect, "optional", 8) ||
	    !strcmp(it->gpudirect, "Gaudi p2p"))
		return WEFT_GDR_YES;
	if (!strcmp(it->gpudirect, "no") || !*it->accelerator)
		return WEFT_GDR_NO;
	return WEFT_GDR_UNKNOWN;
}

char *weft_fact_text(struct weft_fact fact, char *buf, size_t len)
{
	if (fact.how == WEFT_FACT_UNKNOWN)
		snprintf(buf, len, "?");
	else
		snprintf(buf, len, "%s%u", fact.how == WEFT_FACT_DERIVED ? "~" : "", fact.value);
	return buf;
}
