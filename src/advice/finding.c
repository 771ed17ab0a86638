/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of what can be found, and the list of what was.
 *
 * Evidence quotes files, environments and logs of strangers, so it is made printable when it comes in: a log
 * line must not be able to clear the terminal of who reads the report. */
#include "advice/finding.h"

#include "base/assert.h"
#include "base/json.h"
#include "base/spell.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define EVIDENCE_MAX 1000

#define DOC_START    "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/efa-start.html"
#define DOC_TYPES    "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/efa-acc-inst-types.html"
#define DOC_LIMITS   "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/efa.html#efa-limits"
#define DOC_MONITOR  "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/efa-working-monitor.html"
#define DOC_EKS      "https://docs.aws.amazon.com/eks/latest/userguide/node-efa.html"
#define DOC_ENV      "https://github.com/aws/aws-ofi-nccl/blob/master/doc/efa-env-var.md"
#define DOC_FI_EFA   "https://ofiwg.github.io/libfabric/main/man/fi_efa.7.html"
#define DOC_NCCL_ENV "https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/env.html"
#define DOC_NCCL_TROUBLE \
	"https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/troubleshooting.html"
#define DOC_UCX       "https://openucx.readthedocs.io/en/master/faq.html"
#define DOC_KARPENTER "https://karpenter.sh/docs/concepts/scheduling/"

enum {
	CHECK = WEFT_BY_CHECK,
	LINT = WEFT_BY_LINT,
	LOGS = WEFT_BY_LOGS,
};

static const struct weft_finding_info table[WEFT_FINDING_COUNT] = {
#define FINDING(symbol, id, severity, modes, by, title, reason, fix, doc, source) \
	[WEFT_FINDING_##                                                          \
		symbol] = { id, WEFT_SEV_##severity, modes, by, title, reason, fix, doc, source },
#include "advice/finding.inc"
#undef FINDING
};

const struct weft_finding_info *weft_finding_info(enum weft_finding_id id)
{
	weft_assert(id < WEFT_FINDING_COUNT);
	return &table[id];
}

bool weft_finding_find(const char *name, enum weft_finding_id *id_out, const char **suggest_out)
{
	size_t best = SIZE_MAX;

	*suggest_out = NULL;
	for (uint32_t i = 0; i < WEFT_FINDING_COUNT; i++) {
		if (!strcmp(table[i].id, name)) {
			*id_out = i;
			return true;
		}
		if (weft_spell_is_closer(name, table[i].id, &best))
			*suggest_out = table[i].id;
	}
	return false;
}

bool weft_finding_is_in(enum weft_finding_id id, const char *name)
{
	const char *full = weft_finding_info(id)->id;
	size_t len = strlen(name);

	return len && !strncmp(full, name, len) && (full[len] == '\0' || full[len] == '-');
}

const char *weft_severity_name(enum weft_severity severity)
{
	switch (severity) {
	case WEFT_SEV_OK:
		return "ok";
	case WEFT_SEV_NOTE:
		return "note";
	case WEFT_SEV_WARN:
		return "warn";
	case WEFT_SEV_FAIL:
		return "fail";
	}
	return "?";
}

void weft_finding_explain(FILE *to, enum weft_finding_id id)
{
	const struct weft_finding_info *info = weft_finding_info(id);
	static const char *const commands[] = { "weft check", "weft lint", "weft logs" };
	const char *comma = "";

	fprintf(to, "# %s\n\n%s (%s).\n\n", info->id, info->title,
		weft_severity_name(info->severity));
	fprintf(to, "**Why**: %s\n\n**Fix**: %s\n\n", info->reason, info->fix);
	fprintf(to, "**Read on**: <%s>\n\n**Facts from**: %s.\n\n**Found by**: ", info->doc,
		info->source);
	for (uint32_t i = 0; i < WEFT_ARRAY_SIZE(commands); i++) {
		if (!(info->by & 1u << i))
			continue;
		fprintf(to, "%s`%s`", comma, commands[i]);
		comma = ", ";
	}
	fputs(".\n", to);
	if (info->modes[0])
		fprintf(to, "\nOf the [failure modes](modes.md): %s.\n", info->modes);
}

void weft_findings_init(struct weft_findings *f)
{
	memset(f, 0, sizeof(*f));
}

void weft_findings_fini(struct weft_findings *f)
{
	for (size_t i = 0; i < f->count; i++) {
		free(f->finding[i].evidence);
		free(f->finding[i].fix);
		free(f->finding[i].file);
	}
	free(f->finding);
	weft_findings_init(f);
}

/* A printf whose result is one printable line. NULL: out of memory. */
static char *line_of(const char *format, va_list args)
{
	char buf[EVIDENCE_MAX];
	int len = vsnprintf(buf, sizeof(buf), format, args);

	if (len < 0)
		return NULL;
	for (char *p = buf; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '.';
	if ((size_t)len >= sizeof(buf))
		memcpy(buf + sizeof(buf) - 4, "...", 4);
	return strdup(buf);
}

static struct weft_finding *next_row(struct weft_findings *f, enum weft_severity severity)
{
	struct weft_finding *more;
	size_t cap = f->cap ? f->cap * 2 : 32;

	if (f->of[severity]++ >= WEFT_FINDINGS_MAX)
		return NULL;
	if (f->count < f->cap)
		return &f->finding[f->count];
	more = realloc(f->finding, cap * sizeof(*more));
	if (!more)
		return NULL;
	f->finding = more;
	f->cap = cap;
	return &f->finding[f->count];
}

void weft_findings_add(struct weft_findings *f, enum weft_finding_id id,
		       enum weft_severity severity, const struct weft_place *place,
		       const char *evidence, ...)
{
	struct weft_finding *row = next_row(f, severity);
	va_list args;

	weft_assert(id < WEFT_FINDING_COUNT);
	f->kept = false;
	if (!row) {
		f->dropped++;
		return;
	}
	memset(row, 0, sizeof(*row));
	row->id = id;
	row->severity = severity;
	va_start(args, evidence);
	row->evidence = line_of(evidence, args);
	va_end(args);
	if (place && place->file) {
		row->file = strdup(place->file);
		row->line = place->line;
		row->column = place->column;
	}
	if (!row->evidence || (place && place->file && !row->file)) {
		free(row->evidence);
		free(row->file);
		f->dropped++;
		return;
	}
	f->count++;
	f->kept = true;
}

void weft_findings_fix(struct weft_findings *f, const char *fix, ...)
{
	struct weft_finding *last;
	va_list args;

	/* What was not kept has no fix either. */
	if (!f->kept)
		return;
	last = &f->finding[f->count - 1];
	free(last->fix);
	va_start(args, fix);
	last->fix = line_of(fix, args);
	va_end(args);
}

enum weft_severity weft_findings_worst(const struct weft_findings *f)
{
	enum weft_severity worst = WEFT_SEV_FAIL;

	while (worst > WEFT_SEV_OK && !weft_findings_count_of(f, worst))
		worst--;
	return worst;
}

size_t weft_findings_count_of(const struct weft_findings *f, enum weft_severity severity)
{
	size_t count = 0;

	for (size_t i = 0; i < f->count; i++)
		count += f->finding[i].severity == severity;
	return count;
}

static void print_place(FILE *to, const struct weft_finding *one)
{
	if (!one->file)
		return;
	fprintf(to, "%s:", one->file);
	if (one->line)
		fprintf(to, "%u:", one->line);
	if (one->line && one->column)
		fprintf(to, "%u:", one->column);
	putc(' ', to);
}

static void print_one(FILE *to, const struct weft_finding *one, bool seen)
{
	const struct weft_finding_info *info = weft_finding_info(one->id);

	fprintf(to, "%-4s  %s: %s\n      ", weft_severity_name(one->severity), info->id,
		info->title);
	print_place(to, one);
	fprintf(to, "%s\n", one->evidence);
	/* The tenth pod with the same fault needs no tenth lecture. */
	if (!seen)
		fprintf(to, "      why: %s\n", info->reason);
	if (!seen || one->fix)
		fprintf(to, "      fix: %s\n", one->fix ? one->fix : info->fix);
	if (!seen)
		fprintf(to, "      see: %s\n", info->doc);
}

void weft_findings_print(FILE *to, const struct weft_findings *f, bool verbose)
{
	static const enum weft_severity order[] = { WEFT_SEV_FAIL, WEFT_SEV_WARN, WEFT_SEV_NOTE };
	bool seen[WEFT_FINDING_COUNT] = { false };

	for (uint32_t s = 0; s < WEFT_ARRAY_SIZE(order); s++) {
		for (size_t i = 0; i < f->count; i++) {
			const struct weft_finding *one = &f->finding[i];

			if (one->severity != order[s])
				continue;
			print_one(to, one, seen[one->id]);
			seen[one->id] = true;
		}
	}
	for (size_t i = 0; verbose && i < f->count; i++) {
		const struct weft_finding *one = &f->finding[i];

		if (one->severity != WEFT_SEV_OK)
			continue;
		fprintf(to, "ok    %s: ", weft_finding_info(one->id)->id);
		print_place(to, one);
		fprintf(to, "%s\n", one->evidence);
	}
	if (f->dropped)
		fprintf(to, "%zu more were found and not kept\n", f->dropped);
	fprintf(to, "%zu failed, %zu warnings, %zu notes, %zu ok\n",
		weft_findings_count_of(f, WEFT_SEV_FAIL), weft_findings_count_of(f, WEFT_SEV_WARN),
		weft_findings_count_of(f, WEFT_SEV_NOTE), weft_findings_count_of(f, WEFT_SEV_OK));
}

static void json_number(FILE *to, const char *key, uint32_t value)
{
	if (value)
		fprintf(to, ", \"%s\": %u", key, value);
	else
		fprintf(to, ", \"%s\": null", key);
}

void weft_findings_json(FILE *to, const struct weft_findings *f)
{
	putc('[', to);
	for (size_t i = 0; i < f->count; i++) {
		const struct weft_finding *one = &f->finding[i];
		const struct weft_finding_info *info = weft_finding_info(one->id);

		fprintf(to,
			"%s\n  {\"id\": \"%s\", \"severity\": \"%s\", \"title\": ", i ? "," : "",
			info->id, weft_severity_name(one->severity));
		weft_json_put(to, info->title);
		fputs(", \"evidence\": ", to);
		weft_json_put(to, one->evidence);
		fputs(", \"file\": ", to);
		weft_json_put(to, one->file);
		json_number(to, "line", one->line);
		json_number(to, "column", one->column);
		fputs(", \"reason\": ", to);
		weft_json_put(to, info->reason);
		fputs(", \"fix\": ", to);
		weft_json_put(to, one->fix ? one->fix : info->fix);
		fputs(", \"doc\": ", to);
		weft_json_put(to, info->doc);
		putc('}', to);
	}
	fputs(f->count ? "\n]" : "]", to);
}
