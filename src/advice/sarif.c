/* SPDX-License-Identifier: BSD-2-Clause */
/* SARIF wants each rule once, and results that point at them by number; files are URIs, relative to wherever the program
 * ran. Everything that lint may find is listed, found or not, so that a reader can tell "looked for, not there". */
#include "advice/sarif.h"

#include "base/json.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const char *level_of(enum weft_severity severity)
{
	switch (severity) {
	case WEFT_SEV_OK:
		return "none";
	case WEFT_SEV_NOTE:
		return "note";
	case WEFT_SEV_WARN:
		return "warning";
	case WEFT_SEV_FAIL:
		return "error";
	}
	return "none";
}

static void print_text(FILE *to, const char *key, const char *text)
{
	fprintf(to, "\"%s\": {\"text\": ", key);
	weft_json_put(to, text);
	putc('}', to);
}

static void print_rule(FILE *to, const struct weft_finding_info *info)
{
	fputs("          {\"id\": ", to);
	weft_json_put(to, info->id);
	fputs(", ", to);
	print_text(to, "shortDescription", info->title);
	fputs(", ", to);
	print_text(to, "fullDescription", info->reason);
	fputs(", ", to);
	print_text(to, "help", info->fix);
	fputs(", \"helpUri\": ", to);
	weft_json_put(to, info->doc);
	fprintf(to, ", \"defaultConfiguration\": {\"level\": \"%s\"}}", level_of(info->severity));
}

/* A path as a URI: what is not allowed in one is written in hexadecimal. */
static void print_uri(FILE *to, const char *path)
{
	char *uri = malloc(strlen(path) * 3 + 8), *p = uri;

	if (!uri) {
		fputs("\"\"", to);
		return;
	}
	if (*path == '/')
		p = stpcpy(p, "file://");
	for (; *path; path++) {
		unsigned char c = (unsigned char)*path;

		if (isalnum(c) || strchr("-._~/", c))
			*p++ = (char)c;
		else
			p += sprintf(p, "%%%02X", c);
	}
	*p = '\0';
	weft_json_put(to, uri);
	free(uri);
}

static void print_result(FILE *to, const struct weft_finding *one, uint32_t rule)
{
	const struct weft_finding_info *info = weft_finding_info(one->id);
	size_t size = strlen(one->evidence) + strlen(info->reason) + 600 +
		      strlen(one->fix ? one->fix : info->fix);
	char *message = malloc(size);

	fputs("        {\"ruleId\": ", to);
	weft_json_put(to, info->id);
	fprintf(to, ", \"ruleIndex\": %u, \"level\": \"%s\", ", rule, level_of(one->severity));
	if (message)
		snprintf(message, size, "%s: %s. %s Fix: %s", info->title, one->evidence,
			 info->reason, one->fix ? one->fix : info->fix);
	print_text(to, "message", message ? message : one->evidence);
	free(message);
	if (one->file) {
		fputs(", \"locations\": [{\"physicalLocation\": {\"artifactLocation\": {\"uri\": ",
		      to);
		print_uri(to, one->file);
		putc('}', to);
		if (one->line)
			fprintf(to, ", \"region\": {\"startLine\": %u, \"startColumn\": %u}",
				one->line, one->column ? one->column : 1);
		fputs("}}]", to);
	}
	putc('}', to);
}

void weft_sarif_print(FILE *to, const struct weft_findings *f, const char *version)
{
	uint32_t rule[WEFT_FINDING_COUNT] = { 0 }, rules = 0;
	bool first = true;

	fputs("{\n  \"$schema\": \"https://json.schemastore.org/sarif-2.1.0.json\",\n"
	      "  \"version\": \"2.1.0\",\n  \"runs\": [\n    {\n"
	      "      \"tool\": {\"driver\": {\"name\": \"weft\", \"version\": ",
	      to);
	weft_json_put(to, version);
	fputs(", \"rules\": [\n", to);
	for (uint32_t i = 0; i < WEFT_FINDING_COUNT; i++) {
		const struct weft_finding_info *info = weft_finding_info((enum weft_finding_id)i);

		if (!(info->by & WEFT_BY_LINT))
			continue;
		fputs(rules ? ",\n" : "", to);
		print_rule(to, info);
		rule[i] = rules++;
	}
	fputs("\n        ]}},\n      \"columnKind\": \"unicodeCodePoints\",\n      \"results\": [",
	      to);
	for (size_t i = 0; i < f->count; i++) {
		if (f->finding[i].severity == WEFT_SEV_OK)
			continue;
		fputs(first ? "\n" : ",\n", to);
		print_result(to, &f->finding[i], rule[f->finding[i].id]);
		first = false;
	}
	fputs(first ? "]\n    }\n  ]\n}\n" : "\n      ]\n    }\n  ]\n}\n", to);
}
