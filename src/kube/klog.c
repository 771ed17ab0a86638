/* SPDX-License-Identifier: BSD-2-Clause */
/* Log lines, each written in one go: several writers of one pipe do not mix theirs. */
#define _GNU_SOURCE
#include "kube/klog.h"

#include "base/json.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static bool is_json;
static int to_fd = STDERR_FILENO;

void weft_klog_json(void)
{
	is_json = true;
}

void weft_klog_to(int fd)
{
	to_fd = fd;
}

static bool is_plain(const char *value)
{
	const char *c = value;

	while (*c > 0x20 && *c < 0x7f && *c != '"' && *c != '=' && *c != '\\')
		c++;
	return !*c && c > value;
}

static void put(FILE *to, const char *name, const char *value, bool first)
{
	if (is_json) {
		fprintf(to, "%s\"%s\":", first ? "{" : ",", name);
		weft_json_put(to, value);
		return;
	}
	fprintf(to, "%s%s=", first ? "" : " ", name);
	if (is_plain(value))
		fputs(value, to);
	else
		weft_json_put(to, value);
}

void weft_klog_put(enum weft_klog_level level, const char *const *words)
{
	static const char *const levels[] = { "info", "warn", "error" };
	struct timespec now;
	struct tm tm;
	char seconds[24], when[40], *line = NULL;
	size_t len = 0, sent = 0;
	FILE *to = to_fd < 0 ? NULL : open_memstream(&line, &len);

	if (!to)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(when, sizeof(when), "%s.%03dZ", seconds, (int)(now.tv_nsec / 1000000) % 1000);
	put(to, "time", when, true);
	put(to, "level", levels[level], false);
	put(to, "msg", words[0], false);
	for (const char *const *w = words + 1; *w; w += 2)
		if (w[1])
			put(to, w[0], w[1], false);
	fputs(is_json ? "}\n" : "\n", to);
	if (!fclose(to)) {
		while (sent < len) {
			ssize_t n = write(to_fd, line + sent, len - sent);

			if (n <= 0)
				break;
			sent += (size_t)n;
		}
	}
	free(line);
}
