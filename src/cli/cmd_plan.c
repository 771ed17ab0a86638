/* SPDX-License-Identifier: BSD-2-Clause */
/* weft plan: what instance types have, and what follows from it. Where a fact is unknown, text says "?" and JSON
 * null; a filter leaves such a type out and says how many it left out, because "not known to" is not "not".
 * The plans for work are in the files cmd_plan_*.c. */
#include "base/spell.h"
#include "base/units.h"
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/plan.h"
#include "cloud/busbw.h"
#include "cloud/plan.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define CMD "weft plan"

const char weft_cmd_plan_usage[] =
	"usage: weft plan --list [FILTER...] [--json]\n"
	"       weft plan INSTANCE [--explain] [--json]\n"
	"       weft plan train --model-params N --dtype TYPE --instance TYPE --nodes N [...]\n"
	"       weft plan pd-moe --instance TYPE --kv-rate GB/s [--a2a-rate GB/s] [...]\n"
	"       weft plan backend [training|mpi|kv|moe|baseline] [--json]\n"
	"\n"
	"The first form lists the instance types that have EFA, the second says what one of\n"
	"them has and what follows from it. ? is unknown, ~ derived and not stated anywhere.\n"
	"train counts what a step of training sends, pd-moe what KV cache and experts leave\n"
	"each other, and backend says which library reaches EFA for what.\n"
	"\n"
	"  --accelerator NAME   only types with this one (h100, trainium2); none: without any\n"
	"  --min-gbps N         all cards together carry so many Gb/s\n"
	"  --min-cards N        so many EFA cards\n"
	"  --rdma-read          cards that do RDMA read; --rdma-write: that do RDMA write\n"
	"  --gpudirect          cards that reach into the memory of the accelerators\n"
	"  --generation N       EFA of this generation\n"
	"  --explain            below each figure the formula that it is from\n"
	"\n"
	"train:  --sharding none|optimizer|full, --tp N, --pp N, --dp N, --activation-dtype TYPE;\n"
	"        if activations leave a node: --layers, --hidden, --seq, --micro-batch "
	"(sequences),\n"
	"        --micro-batches (of a step)\n"
	"pd-moe: in place of --kv-rate: --prompt-tokens, --requests (a second), and\n"
	"        --kv-bytes-per-token or --layers, --kv-heads, --head-dim, --dtype;\n"
	"        in place of --a2a-rate: --moe-layers, --hidden, --top-k, --ep-nodes, --tokens (a\n"
	"        second), --dispatch-dtype, --combine-dtype. All of one node.\n";

/* Common to all kinds */

const struct weft_instance *weft_plan_find(const char *cmd, const char *name)
{
	const struct weft_instance *it = weft_catalogue_find(name), *close;

	/* SageMaker's names are EC2's, with this before them. */
	if (!it && !strncasecmp(name, "ml.", 3))
		it = weft_catalogue_find(name + 3);
	if (it)
		return it;
	close = weft_catalogue_suggest(name);
	fprintf(stderr, "%s: not known to have EFA: %.64s%s%s%s\n", cmd, name,
		close ? "; did you mean " : "", close ? close->name : "", close ? "?" : "");
	return NULL;
}

void weft_plan_figure(const struct weft_plan_view *v, const char *label, const char *formula,
		      const char *fmt, ...)
{
	va_list ap;

	printf("  %-22s ", label);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	if (v->explain && formula)
		printf("  %-22s   = %s\n", "", formula);
}

char *weft_plan_size(uint64_t bytes, char *buf, size_t len)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	size_t unit = 0;

	while (bytes && bytes % 1024 == 0 && unit + 1 < WEFT_ARRAY_SIZE(units)) {
		bytes /= 1024;
		unit++;
	}
	snprintf(buf, len, "%" PRIu64 " %s", bytes, units[unit]);
	return buf;
}

static const char *yes_no(struct weft_fact fact)
{
	if (fact.how == WEFT_FACT_UNKNOWN)
		return "?";
	if (fact.how == WEFT_FACT_DERIVED)
		return fact.value ? "~yes" : "~no";
	return fact.value ? "yes" : "no";
}

static const char *gdr_text(const struct weft_instance *it)
{
	switch (weft_instance_gdr(it)) {
	case WEFT_GDR_NO:
		return "no";
	case WEFT_GDR_YES:
		return "yes";
	case WEFT_GDR_UNKNOWN:
		break;
	}
	return "?";
}

/* JSON */

static void json_number(const char *key, struct weft_fact fact)
{
	if (fact.how == WEFT_FACT_UNKNOWN)
		printf(", \"%s\": null", key);
	else
		printf(", \"%s\": %u", key, fact.value);
}

static void json_bool(const char *key, struct weft_fact fact)
{
	printf(", \"%s\": %s", key,
	       fact.how == WEFT_FACT_UNKNOWN ? "null"
	       : fact.value                  ? "true"
					     : "false");
}

static void json_busbw(const struct weft_instance *it)
{
	const struct weft_busbw *r;

	fputs(", \"busbw\": [", stdout);
	for (uint32_t i = 0; (r = weft_busbw_at(it, i)); i++) {
		printf("%s{\"nodes\": ", i ? ", " : "");
		printf(r->nodes ? "%u" : "null", r->nodes);
		fputs(", \"bytes\": ", stdout);
		printf(r->bytes ? "%" PRIu64 : "null", r->bytes);
		printf(", \"gbytes_per_s\": [%g, %g], \"condition\": ", r->low, r->high);
		weft_json_string(r->condition);
		fputs(", \"source\": ", stdout);
		weft_json_string(r->source);
		putchar('}');
	}
	putchar(']');
}

/* Which of the numbers no source states. */
static void json_derived(const struct weft_instance *it)
{
	const struct {
		const char *key;
		struct weft_fact fact;
	} facts[] = {
		{ "accelerators", it->accelerators },
		{ "vcpus", it->vcpus },
		{ "memory_gib", it->memory_gib },
		{ "cards", it->efas },
		{ "network_cards", it->network_cards },
		{ "gbps_per_card", it->gbps },
		{ "gbps_total", it->gbps_total },
		{ "generation", it->generation },
		{ "nitro", it->nitro },
		{ "rdma_read", it->rdma_read },
		{ "rdma_write", it->rdma_write },
		{ "hugepages_2mi", it->hugepages },
	};
	bool any = false;

	fputs(", \"derived\": [", stdout);
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(facts); i++) {
		if (facts[i].fact.how != WEFT_FACT_DERIVED)
			continue;
		printf("%s\"%s\"", any ? ", " : "", facts[i].key);
		any = true;
	}
	putchar(']');
}

static void json_pod(const struct weft_instance *it)
{
	const char *resource = weft_instance_resource(it);
	struct weft_fact mib = weft_plan_hugepages_mib(it);

	fputs(", \"pod\": {\"vpc.amazonaws.com/efa\": ", stdout);
	printf(it->efas.how ? "%u" : "null", it->efas.value);
	if (resource) {
		printf(", \"%s\": ", resource);
		printf(it->accelerators.how ? "%u" : "null", it->accelerators.value);
	}
	if (mib.how)
		printf(", \"hugepages-2Mi\": \"%uMi\"}", mib.value);
	else
		fputs(", \"hugepages-2Mi\": null}", stdout);
}

/* All but the last brace. */
static void json_instance(const struct weft_instance *it)
{
	const char *limit;

	fputs("{\"instance\": ", stdout);
	weft_json_string(it->name);
	fputs(", \"accelerator\": ", stdout);
	weft_json_string(*it->accelerator ? it->accelerator : NULL);
	json_number("accelerators", it->accelerators);
	json_number("vcpus", it->vcpus);
	json_number("memory_gib", it->memory_gib);
	json_number("cards", it->efas);
	json_number("network_cards", it->network_cards);
	json_number("gbps_per_card", it->gbps);
	json_number("gbps_total", it->gbps_total);
	json_number("generation", it->generation);
	json_number("nitro", it->nitro);
	json_bool("rdma_read", it->rdma_read);
	json_bool("rdma_write", it->rdma_write);
	json_bool("gpudirect", (struct weft_fact){ weft_instance_gdr(it) == WEFT_GDR_YES,
						   weft_instance_gdr(it) ? WEFT_FACT_KNOWN
									 : WEFT_FACT_UNKNOWN });
	json_number("hugepages_2mi", it->hugepages);
	json_pod(it);
	json_busbw(it);
	json_derived(it);
	fputs(", \"limits\": [", stdout);
	for (uint32_t i = 0; (limit = weft_plan_limit(it, i)); i++) {
		fputs(i ? ", " : "", stdout);
		weft_json_string(limit);
	}
	fputs("], \"sources\": ", stdout);
	weft_json_string(it->sources);
}

/* The list */

struct filter {
	const char *accelerator;
	struct weft_fact min_gbps, min_cards, generation; /* Of unknown ones nothing is asked. */
	bool rdma_read, rdma_write, gpudirect;
};

enum match {
	MATCH_NO,
	MATCH_UNKNOWN,
	MATCH_YES,
};

static enum match worse(enum match a, enum match b)
{
	return WEFT_MIN(a, b);
}

static enum match at_least(struct weft_fact fact, struct weft_fact min)
{
	if (!min.how)
		return MATCH_YES;
	if (!fact.how)
		return MATCH_UNKNOWN;
	return fact.value >= min.value ? MATCH_YES : MATCH_NO;
}

static enum match match(const struct weft_instance *it, const struct filter *f)
{
	const struct weft_fact yes = { 1, WEFT_FACT_KNOWN };
	enum match m = MATCH_YES;

	if (f->accelerator &&
	    strcasecmp(*it->accelerator ? it->accelerator : "none", f->accelerator) != 0)
		return MATCH_NO;
	m = worse(m, at_least(it->gbps_total, f->min_gbps));
	m = worse(m, at_least(it->efas, f->min_cards));
	m = worse(m, f->rdma_read ? at_least(it->rdma_read, yes) : MATCH_YES);
	m = worse(m, f->rdma_write ? at_least(it->rdma_write, yes) : MATCH_YES);
	if (f->generation.how && it->generation.how && it->generation.value != f->generation.value)
		return MATCH_NO;
	if (f->generation.how && !it->generation.how)
		m = worse(m, MATCH_UNKNOWN);
	if (f->gpudirect && weft_instance_gdr(it) == WEFT_GDR_NO)
		return MATCH_NO;
	if (f->gpudirect && weft_instance_gdr(it) == WEFT_GDR_UNKNOWN)
		m = worse(m, MATCH_UNKNOWN);
	return m;
}

static void print_row(const struct weft_instance *it)
{
	char count[16], cards[16], gbps[16], total[16], generation[16], pages[16], accel[48];

	snprintf(accel, sizeof(accel), "%s x %s",
		 weft_fact_text(it->accelerators, count, sizeof(count)), it->accelerator);
	printf("%-20s %-24s %5s %5s %6s %4s %5s %5s %4s %7s\n", it->name,
	       *it->accelerator ? accel : "-", weft_fact_text(it->efas, cards, sizeof(cards)),
	       weft_fact_text(it->gbps, gbps, sizeof(gbps)),
	       weft_fact_text(it->gbps_total, total, sizeof(total)),
	       weft_fact_text(it->generation, generation, sizeof(generation)),
	       yes_no(it->rdma_read), yes_no(it->rdma_write), gdr_text(it),
	       weft_fact_text(it->hugepages, pages, sizeof(pages)));
}

static int print_list(const struct filter *f, bool json)
{
	const struct weft_instance *it;
	uint32_t shown = 0, unknown = 0;

	if (!json)
		printf("%-20s %-24s %5s %5s %6s %4s %5s %5s %4s %7s\n", "INSTANCE", "ACCELERATORS",
		       "CARDS", "GBPS", "TOTAL", "GEN", "READ", "WRITE", "GDR", "PAGES");
	for (uint32_t i = 0; (it = weft_catalogue_at(i)); i++) {
		enum match m = match(it, f);

		unknown += m == MATCH_UNKNOWN;
		if (m != MATCH_YES)
			continue;
		if (json)
			fputs(shown ? ",\n  " : "[\n  ", stdout);
		if (json) {
			json_instance(it);
			putchar('}');
		} else {
			print_row(it);
		}
		shown++;
	}
	if (json)
		puts(shown ? "\n]" : "[]");
	if (unknown)
		fprintf(stderr, CMD ": note: left out, because not enough is known of them: %u\n",
			unknown);
	return shown ? 0 : 1;
}

/* One type */

static void print_cards(const struct weft_plan_view *v, const struct weft_instance *it)
{
	char a[16], b[16], c[16], formula[128];
	bool per_gpu = it->accelerators.value && it->efas.how && it->gbps_total.how;

	weft_plan_figure(v, "EFA cards", NULL, "%s of %s Gb/s each, %s Gb/s in all",
			 weft_fact_text(it->efas, a, sizeof(a)),
			 weft_fact_text(it->gbps, b, sizeof(b)),
			 weft_fact_text(it->gbps_total, c, sizeof(c)));
	snprintf(formula, sizeof(formula), "%u Gb/s / 8 bits", it->gbps_total.value);
	if (it->gbps_total.how)
		weft_plan_figure(v, "line rate", formula, "%g GB/s", weft_plan_gbytes(it));
	if (!per_gpu)
		return;
	snprintf(formula, sizeof(formula), "%u Gb/s / 8 bits / %u accelerators",
		 it->gbps_total.value, it->accelerators.value);
	weft_plan_figure(v, "for each accelerator", formula, "%g GB/s",
			 weft_plan_gbytes(it) / it->accelerators.value);
	snprintf(formula, sizeof(formula),
		 "%u cards, %u accelerators; which is next to which, PCI says", it->efas.value,
		 it->accelerators.value);
	if (it->efas.value >= it->accelerators.value && !(it->efas.value % it->accelerators.value))
		weft_plan_figure(v, "cards, accelerators", formula,
				 "%u card%s for each accelerator",
				 it->efas.value / it->accelerators.value,
				 it->efas.value == it->accelerators.value ? "" : "s");
	else if (!(it->accelerators.value % it->efas.value))
		weft_plan_figure(v, "cards, accelerators", formula, "%u accelerators share a card",
				 it->accelerators.value / it->efas.value);
}

static void print_facts(const struct weft_plan_view *v, const struct weft_instance *it)
{
	char a[16], b[16], formula[128];

	if (*it->accelerator)
		weft_plan_figure(v, "accelerators", NULL, "%s x %s",
				 weft_fact_text(it->accelerators, a, sizeof(a)), it->accelerator);
	weft_plan_figure(v, "processors, memory", NULL, "%s vCPUs (%s), %s GiB",
			 weft_fact_text(it->vcpus, a, sizeof(a)),
			 weft_instance_is_arm(it) ? "arm64" : "x86-64",
			 weft_fact_text(it->memory_gib, b, sizeof(b)));
	print_cards(v, it);
	weft_plan_figure(v, "EFA generation", NULL, "%s, Nitro %s",
			 weft_fact_text(it->generation, a, sizeof(a)),
			 weft_fact_text(it->nitro, b, sizeof(b)));
	weft_plan_figure(v, "RDMA", NULL, "read: %s, write: %s", yes_no(it->rdma_read),
			 yes_no(it->rdma_write));
	if (*it->accelerator)
		weft_plan_figure(v, "GPUDirect", NULL, "%s%s%s", gdr_text(it),
				 *it->gpudirect ? "; aws-ofi-nccl: " : "", it->gpudirect);
	snprintf(formula, sizeof(formula), "110 x %u vCPUs + 1, as the EFA installer does",
		 it->vcpus.value);
	weft_plan_figure(v, "huge pages", it->hugepages.how ? formula : NULL,
			 it->hugepages.how ? "%s of 2 MiB, %u MiB, on the node" : "%s",
			 weft_fact_text(it->hugepages, a, sizeof(a)), it->hugepages.value * 2);
	weft_plan_figure(v, "sources", NULL, "%s", *it->sources ? it->sources : "see the limits");
}

static void print_pod(const struct weft_plan_view *v, const struct weft_instance *it)
{
	const char *resource = weft_instance_resource(it);
	struct weft_fact mib = weft_plan_hugepages_mib(it);
	char a[16];

	puts("\na pod asks for, as requests and as limits alike:");
	weft_plan_figure(v, "vpc.amazonaws.com/efa", NULL, "%s",
			 weft_fact_text(it->efas, a, sizeof(a)));
	if (resource)
		weft_plan_figure(v, resource, NULL, "%s",
				 weft_fact_text(it->accelerators, a, sizeof(a)));
	weft_plan_figure(
		v, "hugepages-2Mi", "5120Mi, as is usual, or all that the node has if that is less",
		mib.how ? "%sMi, together with memory" : "%s", weft_fact_text(mib, a, sizeof(a)));
}

static void print_busbw(const struct weft_plan_view *v, const struct weft_instance *it)
{
	const struct weft_busbw *r;
	char nodes[16], size[32];

	puts("\nbus bandwidth of NCCL's all-reduce, as others measured it:");
	for (uint32_t i = 0; (r = weft_busbw_at(it, i)); i++) {
		snprintf(nodes, sizeof(nodes), r->nodes ? "%u" : "?", r->nodes);
		printf("  %3s node%s  %8s  %6g", nodes, r->nodes == 1 ? " " : "s",
		       r->bytes ? weft_plan_size(r->bytes, size, sizeof(size)) : "?", r->low);
		printf(r->high > r->low ? "-%g GB/s" : " GB/s", r->high);
		printf("  %s%s[%s]\n", r->condition ? r->condition : "", r->condition ? " " : "",
		       r->source);
	}
	if (!weft_busbw_at(it, 0))
		puts("  nobody has published any");
	if (it->gbps_total.how && weft_instance_gdr(it) == WEFT_GDR_YES)
		weft_plan_figure(v, "a ring's limit", "12 GB/s for each 100 Gb/s; a rule of thumb",
				 "%g GB/s", weft_plan_ring_gbytes(it));
}

static int print_instance(const struct weft_plan_view *v, const struct weft_instance *it)
{
	const char *limit;

	if (v->json) {
		json_instance(it);
		weft_plan_variables(v, it);
		puts("}");
		return 0;
	}
	puts(it->name);
	print_facts(v, it);
	print_pod(v, it);
	if (*it->accelerator)
		print_busbw(v, it);
	weft_plan_variables(v, it);
	puts("\nlimits:");
	for (uint32_t i = 0; (limit = weft_plan_limit(it, i)); i++)
		printf("  - %s\n", limit);
	return 0;
}

/* Arguments */

static bool is_accelerator(const char *name)
{
	const struct weft_instance *it;
	const char *close = NULL;
	size_t best = SIZE_MAX;

	if (!strcasecmp(name, "none"))
		return true;
	for (uint32_t i = 0; (it = weft_catalogue_at(i)); i++) {
		if (!strcasecmp(it->accelerator, name) && *name)
			return true;
		if (*it->accelerator && weft_spell_is_closer(name, it->accelerator, &best))
			close = it->accelerator;
	}
	fprintf(stderr, CMD ": no instance type has the accelerator %.64s%s%s%s\n", name,
		close ? "; did you mean " : "", close ? close : "", close ? "?" : "");
	return false;
}

static bool read_number(const char *option, const char *text, struct weft_fact *out)
{
	uint64_t value;

	if (!weft_parse_u64(text, &value) || value > UINT32_MAX) {
		fprintf(stderr, CMD ": %s wants a number, not \"%.64s\"\n", option, text);
		return false;
	}
	*out = (struct weft_fact){ (uint32_t)value, WEFT_FACT_KNOWN };
	return true;
}

/* 1: taken, 0: not a filter, -1: wrong, and said so. */
static int take_filter(struct filter *f, int argc, char **argv, int *i)
{
	const struct {
		const char *name;
		struct weft_fact *out;
	} numbers[] = {
		{ "--min-gbps", &f->min_gbps },
		{ "--min-cards", &f->min_cards },
		{ "--generation", &f->generation },
	};
	const struct weft_args_flag flags[] = {
		{ "--rdma-read", &f->rdma_read },
		{ "--rdma-write", &f->rdma_write },
		{ "--gpudirect", &f->gpudirect },
	};
	const char *value;
	int got = weft_args_value(CMD, argc, argv, i, "--accelerator", &f->accelerator);

	if (got)
		return got > 0 && is_accelerator(f->accelerator) ? 1 : -1;
	for (size_t k = 0; k < WEFT_ARRAY_SIZE(numbers); k++) {
		got = weft_args_value(CMD, argc, argv, i, numbers[k].name, &value);
		if (got)
			return got > 0 && read_number(numbers[k].name, value, numbers[k].out) ? 1
											      : -1;
	}
	return weft_args_take_flag(argv[*i], flags, WEFT_ARRAY_SIZE(flags));
}

static int plan_instances(int argc, char **argv)
{
	struct weft_plan_view view = { .json = false };
	const struct weft_instance *it = NULL;
	struct filter filter = { .accelerator = NULL };
	const char *filtered = NULL;
	bool list = false;

	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i];
		int got = take_filter(&filter, argc, argv, &i);

		if (got < 0)
			return 2;
		if (got) {
			filtered = arg;
		} else if (!strcmp(arg, "--json")) {
			view.json = true;
		} else if (!strcmp(arg, "--explain")) {
			view.explain = true;
		} else if (!strcmp(arg, "--list")) {
			list = true;
		} else if (*arg == '-' || it) {
			fprintf(stderr, CMD ": no such argument: %.64s\n", arg);
			return 2;
		} else {
			it = weft_plan_find(CMD, arg);
			if (!it)
				return 2;
		}
	}
	if (list == (it != NULL)) {
		fputs(list ? CMD ": either --list or an instance type, not both\n"
			   : CMD ": name an instance type, or --list; see `weft help plan`\n",
		      stderr);
		return 2;
	}
	if (list && view.explain) {
		fputs(CMD ": --explain goes with an instance type\n", stderr);
		return 2;
	}
	if (it && filtered) {
		fprintf(stderr, CMD ": %.64s goes with --list\n", filtered);
		return 2;
	}
	return it ? print_instance(&view, it) : print_list(&filter, view.json);
}

int weft_cmd_plan(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} kinds[] = {
		{ "train", weft_plan_train },
		{ "pd-moe", weft_plan_pd_moe },
		{ "backend", weft_plan_backend },
	};

	for (size_t i = 0; argc > 1 && i < WEFT_ARRAY_SIZE(kinds); i++)
		if (!strcmp(argv[1], kinds[i].name))
			return kinds[i].run(argc - 1, argv + 1);
	return plan_instances(argc, argv);
}
