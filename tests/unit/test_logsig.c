/* SPDX-License-Identifier: BSD-2-Clause */
#include "advice/logs_report.h"
#include "advice/logsig.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The search finds what memmem would, in a haystack that holds every string. */
static void weft_log_sig_next__finds_every_string(void **state)
{
	char text[1024];

	(void)state;
	weft_log_sig_init();
	for (uint32_t i = 0; i < weft_log_sig_count(); i++) {
		const struct weft_log_sig *sig = weft_log_sig_at(i);

		for (size_t before = 0; before < 16; before++) {
			struct weft_log_hit hit = { .end = 0 };
			bool found = false;
			int len = snprintf(text, sizeof(text), "%.*s%s%s", (int)before,
					   "xxxxxxxxxxxxxxxx", sig->text, before % 2 ? "" : "yyyy");

			while (weft_log_sig_next(text, 0, (size_t)len, &hit))
				found |= hit.row == i + 1 && hit.at == before;
			if (!found)
				fail_msg("row %u, %s, behind %zu bytes", i, sig->text, before);
		}
	}
}

static void weft_log_sig_next__outside_is_not_read(void **state)
{
	static const char text[] = "[send] via NET/ [send] via NET/";
	struct weft_log_hit hit = { .end = 0 };

	(void)state;
	weft_log_sig_init();
	assert_true(weft_log_sig_next(text, 1, sizeof(text) - 1, &hit));
	assert_int_equal(hit.at, 16);
	assert_false(weft_log_sig_next(text, 1, sizeof(text) - 1, &hit));
	hit = (struct weft_log_hit){ .end = 0 };
	assert_false(weft_log_sig_next(text, 0, 14, &hit));
}

static struct weft_logs *read_text(const char *text)
{
	struct weft_logs *logs = weft_logs_create();

	assert_non_null(logs);
	assert_int_equal(weft_logs_file(logs, "test"), 0);
	weft_logs_feed(logs, text, strlen(text));
	weft_logs_end(logs);
	return logs;
}

static const char *const before[] = {
	[WEFT_SIG_NCCL] = "node:1:2 [0] NCCL INFO ",
	[WEFT_SIG_OFI] = "libfabric:1:1764529576::efa:cq:f():1<warn> ",
	[WEFT_SIG_UCX] = "[1764529576.1] [node:1:0] x.c:1 UCX INFO ",
	[WEFT_SIG_OMPI] = "[node:1] ",
	[WEFT_SIG_START] = "",
	[WEFT_SIG_ANY] = "somebody says ",
};

static uint64_t said(const struct weft_logs *logs, enum weft_finding_id id)
{
	uint64_t count = 0;

	for (uint32_t msg = 0; msg < WEFT_LOGS_MSGS; msg++)
		if (weft_logs_finding_of(msg) == id)
			count += logs->msg[msg].count;
	return count;
}

/* Every row that stands for a finding or a code leads to it from the line that it describes. */
static void weft_log_sig__every_row_speaks(void **state)
{
	char text[1024];

	(void)state;
	for (uint32_t i = 0; i < weft_log_sig_count(); i++) {
		const struct weft_log_sig *sig = weft_log_sig_at(i);
		struct weft_logs *logs;
		enum weft_finding_id id = WEFT_FINDING_COUNT;

		snprintf(text, sizeof(text), "%s%s%s%s\n", before[sig->where], sig->text,
			 sig->kind == WEFT_SIG_NUMBER && sig->also[0] == '(' ? "" : sig->also,
			 sig->kind == WEFT_SIG_NUMBER && sig->arg == 10 ? "4112) Memory (4112)"
			 : sig->kind == WEFT_SIG_NUMBER                 ? "9"
									: " ...");
		logs = read_text(text);
		if (sig->kind == WEFT_SIG_FIND)
			id = sig->arg;
		else if (sig->kind == WEFT_SIG_CODE)
			id = weft_efa_code_at(weft_efa_code_index(sig->arg))->finding;
		else if (sig->kind == WEFT_SIG_NUMBER)
			id = sig->arg == 10 ? WEFT_FINDING_MEMLOCK : WEFT_FINDING_PEER_DIED;
		else if (sig->kind == WEFT_SIG_NOISE)
			assert_int_equal(logs->noise, 1);
		if (id != WEFT_FINDING_COUNT && said(logs, id) != 1)
			fail_msg("row %u is silent: %s", i, text);
		if (id != WEFT_FINDING_COUNT && !(weft_finding_info(id)->by & WEFT_BY_LOGS))
			fail_msg("row %u: the table of findings does not know that logs show %s", i,
				 weft_finding_info(id)->id);
		weft_logs_destroy(logs);
	}
}

/* Quoted by somebody else it means nothing. */
static void weft_log_sig__quoted_is_silent(void **state)
{
	char text[1024];

	(void)state;
	for (uint32_t i = 0; i < weft_log_sig_count(); i++) {
		const struct weft_log_sig *sig = weft_log_sig_at(i);
		struct weft_logs *logs;

		if (sig->where == WEFT_SIG_ANY)
			continue;
		/* Its text may hold that of a row that may stand anywhere. */
		snprintf(text, sizeof(text), "the guide says: %.12s%s %s 4112 (4112)\n",
			 "............", sig->text, sig->also);
		logs = read_text(text);
		for (uint32_t msg = 0; msg < WEFT_LOGS_MSGS; msg++)
			if (logs->msg[msg].count && sig->kind != WEFT_SIG_CODE)
				fail_msg("row %u speaks: %s", i, text);
		assert_true(logs->noise == 0);
		weft_logs_destroy(logs);
	}
}

static void weft_efa_code__table(void **state)
{
	static const uint32_t none[] = { 16, 17, 19, 4095, 4128, UINT32_MAX };

	(void)state;
	for (uint32_t i = 0; i < WEFT_EFA_CODES; i++) {
		const struct weft_efa_code *c = weft_efa_code_at(i);

		assert_int_equal(weft_efa_code_index(c->code), i);
		assert_true(c->text[0] && c->cause[0]);
		assert_true(i == 0 || c->code > weft_efa_code_at(i - 1)->code);
	}
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(none); i++)
		assert_int_equal(weft_efa_code_index(none[i]), WEFT_EFA_CODES);
	assert_null(weft_efa_code_at(WEFT_EFA_CODES));
}

/* All codes, as the plugin and as libfabric print them. */
static void weft_efa_code__in_logs(void **state)
{
	char text[1024];

	(void)state;
	for (uint32_t i = 1; i < WEFT_EFA_CODES; i++) {
		const struct weft_efa_code *c = weft_efa_code_at(i);
		struct weft_logs *logs;

		snprintf(text, sizeof(text),
			 "a:1:2 [0] x:1 NCCL WARN NET/OFI Request 0x7f completed with error. RC: "
			 "5. Error: %u (%s). Completed length: 0\n"
			 "libfabric:1:1764529576::efa:eq:f():1<warn> Writing error to EQ: err: Bad "
			 "(5) prov_errno: %s (%u)\n"
			 "EFA internal error: (%u) %s\n",
			 c->code, c->text, c->text, c->code, c->code, c->text);
		logs = read_text(text);
		if (logs->msg[WEFT_FINDING_COUNT + i].count != 3)
			fail_msg("%u of 3: %s",
				 (unsigned int)logs->msg[WEFT_FINDING_COUNT + i].count, text);
		for (uint32_t msg = 0; msg < WEFT_LOGS_MSGS; msg++)
			assert_true(msg == WEFT_FINDING_COUNT + i || !logs->msg[msg].count);
		weft_logs_destroy(logs);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_log_sig_next__finds_every_string),
		cmocka_unit_test(weft_log_sig_next__outside_is_not_read),
		cmocka_unit_test(weft_log_sig__every_row_speaks),
		cmocka_unit_test(weft_log_sig__quoted_is_silent),
		cmocka_unit_test(weft_efa_code__table),
		cmocka_unit_test(weft_efa_code__in_logs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
