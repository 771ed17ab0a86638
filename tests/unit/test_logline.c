/* SPDX-License-Identifier: BSD-2-Clause */
#include "advice/logline.h"

#include "unit.h"

#include <string.h>

/* MSG stands where the message begins, and is what is looked for. */
static const struct row {
	const char *text;
	enum weft_log_tool tool;
	const char *host;
	uint32_t pid;
	int32_t job, rank;
	const char *pod;
	enum weft_log_clock clock;
	int64_t seconds;
} rows[] = {
	/* 1 */ { "MSG", 0, "", 0, -1, -1, "", 0, 0 },
	{ "ip-10-0-0-1:123:456 [7] NCCL INFO MSG", WEFT_LOG_NCCL, "ip-10-0-0-1", 123, -1, -1, "", 0,
	  0 },
	{ "ip-10-0-0-1:123:456 [0] init.cc:85 NCCL WARN MSG", WEFT_LOG_NCCL, "ip-10-0-0-1", 123, -1,
	  -1, "", 0, 0 },
	{ "[1,13]<stdout>:node1:9:10 [3] NCCL INFO MSG", WEFT_LOG_NCCL, "node1", 9, 1, 13, "", 0,
	  0 },
	{ "[prterun-head-5@1,4]<stderr>: MSG", 0, "", 0, 1, 4, "", 0, 0 },
	/* 6 */ { "[1,0]<stderr>:[vm:15552] MSG", WEFT_LOG_OMPI, "vm", 15552, 1, 0, "", 0, 0 },
	{ "[pod/w-0/nccl] w-0:1:2 [0] NCCL INFO MSG", WEFT_LOG_NCCL, "w-0", 1, -1, -1, "w-0", 0,
	  0 },
	{ "pod/w-0 nccl MSG", 0, "", 0, -1, -1, "w-0", 0, 0 },
	{ "worker-1  | MSG", 0, "", 0, -1, -1, "worker-1", 0, 0 },
	{ "libfabric:77:1764529576::efa:cq:f():12<warn> MSG", WEFT_LOG_OFI, "", 77, -1, -1, "",
	  WEFT_LOG_UTC, 1764529576 },
	/* 11 */
	{ "libfabric:77:sockets:core:f():488<info> MSG", WEFT_LOG_OFI, "", 77, -1, -1, "", 0, 0 },
	{ "[1764529576.181226] [jp-31:2814 :0]  MSG", WEFT_LOG_UCX, "jp-31", 2814, -1, -1, "",
	  WEFT_LOG_UTC, 1764529576 },
	{ "2025-11-30T19:06:16.25Z stderr F MSG", 0, "", 0, -1, -1, "", WEFT_LOG_UTC, 1764529576 },
	{ "2025-11-30T20:06:16+01:00 MSG", 0, "", 0, -1, -1, "", WEFT_LOG_UTC, 1764529576 },
	{ "[2025-11-30 19:06:16] h:1:2 [0] x.cc:3 NCCL WARN MSG", WEFT_LOG_NCCL, "h", 1, -1, -1, "",
	  WEFT_LOG_LOCAL, 1764529576 },
	/* 16 */
	{ "2025/11/30 19:06:16 MSG", 0, "", 0, -1, -1, "", WEFT_LOG_LOCAL, 1764529576 },
	{ "\033[32m[1,2]<stdout>:\033[0m MSG", 0, "", 0, 1, 2, "", 0, 0 },
	{ " 3: MSG", 0, "", 0, -1, 3, "", 0, 0 },
	{ "[3] MSG", 0, "", 0, -1, 3, "", 0, 0 },
	{ "[rank3]: MSG", 0, "", 0, -1, 3, "", 0, 0 },
	/* 21: two processes in one line; the last one speaks. */
	{ "a:1:2 [0] NCCL INFO Channel 0b:3:4 [1] NCCL INFO MSG", WEFT_LOG_NCCL, "0b", 3, -1, -1,
	  "", 0, 0 },
	{ "a:1:2 [0] NCCL INFO x libfabric:9:1764529576::efa:cq:f():1<warn> MSG", WEFT_LOG_OFI, "",
	  9, -1, -1, "", WEFT_LOG_UTC, 1764529576 },
	{ "libfabric:9:1764529576::efa:cq:f():1<warn> a:1:2 [0] NCCL INFO MSG", WEFT_LOG_NCCL, "a",
	  1, -1, -1, "", 0, 0 },
	{ "  | 2025-05-16T16:39:51.208-07:00 | ip-1:79:79 [0] NCCL INFO MSG", WEFT_LOG_NCCL, "ip-1",
	  79, -1, -1, "", WEFT_LOG_UTC, 1747438791 },
	{ "2026-01-02 03:04:05.6 something:1:2 [0] CCOM INFO MSG", WEFT_LOG_NCCL, "something", 1,
	  -1, -1, "", WEFT_LOG_LOCAL, 1767323045 },
	/* 26 */
	{ "[default3]:MSG", 0, "", 0, -1, -1, "", 0, 0 },
	{ "2025-11-30T19:06:16Z [2025-11-30 12:06:16] h:1:2 [0] x:3 NCCL WARN MSG", WEFT_LOG_NCCL,
	  "h", 1, -1, -1, "", WEFT_LOG_UTC, 1764529576 },
	{ "{\"log\":\"MSG\\n\",\"stream\":\"stderr\",\"time\":\"2025-11-30T19:06:16Z\"}", 0, "", 0,
	  -1, -1, "", 0, 0 },
	{ "{\"log\":\"h:1:2 [0] NCCL INFO MSG\\n\",\"stream\":\"stderr\"}", WEFT_LOG_NCCL, "h", 1,
	  -1, -1, "", 0, 0 },
};

static void weft_log_line_read__prefixes(void **state)
{
	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		const struct row *r = &rows[i];
		size_t hit = (size_t)(strstr(r->text, "MSG") - r->text);
		struct weft_log_line line;

		weft_log_line_read(&line, r->text, strlen(r->text), hit);
		if (line.msg != hit || line.tool != r->tool || line.pid != r->pid ||
		    line.rank != r->rank || line.job != r->job || line.clock != r->clock ||
		    line.host.len != strlen(r->host) || line.pod.len != strlen(r->pod) ||
		    (r->host[0] && memcmp(line.host.at, r->host, line.host.len) != 0) ||
		    (r->pod[0] && memcmp(line.pod.at, r->pod, line.pod.len) != 0) ||
		    (r->clock && line.time_ns / 1000000000 != r->seconds))
			fail_msg("row %zu: %s: msg %zu tool %d pid %u rank %d job %d clock "
				 "%d %lld",
				 i + 1, r->text, line.msg, line.tool, line.pid, line.rank, line.job,
				 line.clock, (long long)(line.time_ns / 1000000000));
	}
}

/* What is nearly a prefix is part of the message. */
static void weft_log_line_read__no_prefixes(void **state)
{
	static const char *const texts[] = {
		"[1,]<stdout>:MSG",
		"[1,0]<stdin>:MSG",
		"[12345678901] MSG",
		"2025-13-30 19:06:16 MSG",
		"pod/ nccl MSG",
		"[pod/w-0] MSG",
		"[1764529576.] MSG",
		"host:1 [0] NCCL INFOMSG",
		"2025-11-30 MSG",
		"\033MSG",
		"libfabric:77: said MSG",
		":1:2 [0] NCCL INFO MSG",
		"[host:] MSG",
		"12:MSG",
		"[rank]: MSG",
		"a b | MSG",
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(texts); i++) {
		struct weft_log_line line;

		weft_log_line_read(&line, texts[i], strlen(texts[i]),
				   (size_t)(strstr(texts[i], "MSG") - texts[i]));
		if (line.msg != 0 || line.tool != WEFT_LOG_PLAIN || line.pid || line.rank >= 0 ||
		    line.clock)
			fail_msg("%s: msg %zu tool %d", texts[i], line.msg, line.tool);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_log_line_read__prefixes),
		cmocka_unit_test(weft_log_line_read__no_prefixes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
