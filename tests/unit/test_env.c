/* SPDX-License-Identifier: BSD-2-Clause */
#include "advice/env.h"

#include "unit.h"

#include <string.h>

static void weft_version_parse__table(void **state)
{
	(void)state;
	assert_int_equal(weft_version_parse("1.18.0amzn2.0"), WEFT_VERSION_OF(1, 18, 0));
	assert_int_equal(weft_version_parse("2.1"), WEFT_VERSION_OF(2, 1, 0));
	assert_int_equal(weft_version_parse("5.13.0-1019-aws"), WEFT_VERSION_OF(5, 13, 0));
	assert_int_equal(weft_version_parse("99999999999999999999.1"), WEFT_VERSION_OF(1023, 1, 0));
	assert_int_equal(weft_version_parse(""), 0);
	assert_int_equal(weft_version_parse("v1"), 0);
}

/* Each variable with what it does on one machine, and beside it on another one. */
static void weft_env_judge__table(void **state)
{
	static const struct weft_env_context nothing, p5 = {
		.rdma_read = WEFT_YES,
		.gpudirect = WEFT_YES,
		.kernel = WEFT_VERSION_OF(6, 1, 0),
		.libfabric = WEFT_VERSION_OF(1, 22, 0),
		.plugin = WEFT_VERSION_OF(1, 13, 0),
		.ucx = WEFT_VERSION_OF(1, 19, 0),
	}, g5 = {
		.rdma_read = WEFT_NO,
		.gpudirect = WEFT_NO,
		.kernel = WEFT_VERSION_OF(6, 1, 0),
	}, old = {
		.rdma_read = WEFT_YES,
		.kernel = WEFT_VERSION_OF(4, 14, 0),
		.libfabric = WEFT_VERSION_OF(1, 17, 0),
		.plugin = WEFT_VERSION_OF(1, 5, 0),
		.ucx = WEFT_VERSION_OF(1, 15, 0),
	};
	static const struct {
		int id;
		const char *name, *value;
		const struct weft_env_context *on;
		enum weft_env_verdict verdict;
		enum weft_finding_id finding;
	} rows[] = {
#define ROW(id, name, value, on, verdict, finding) \
	{ id, name, value, &(on), WEFT_ENV_##verdict, WEFT_FINDING_##finding }
		ROW(1, "FI_EFA_USE_DEVICE_RDMA", "1", g5, HARMFUL, ENV_DEVICE_RDMA),
		ROW(2, "FI_EFA_USE_DEVICE_RDMA", "1", p5, NOOP, ENV_NOOP),
		ROW(3, "FI_EFA_USE_DEVICE_RDMA", "on", old, NEEDED, ENV_NEEDED),
		ROW(4, "FI_EFA_USE_DEVICE_RDMA", "1", nothing, DEPRECATED, ENV_DEPRECATED),
		ROW(5, "FI_EFA_USE_DEVICE_RDMA", "0", p5, HARMFUL, ENV_HARMFUL),
		ROW(6, "FI_EFA_USE_DEVICE_RDMA", "0", g5, CHOICE, ENV_CHOICE),
		ROW(7, "FI_EFA_USE_DEVICE_RDMA", "2", p5, HARMFUL, ENV_REMOVED),
		ROW(8, "FI_EFA_MTU_SIZE", "4096", nothing, HARMFUL, ENV_REMOVED),
		ROW(9, "FI_EFA_TX_MIN_CREDITS", "0", nothing, HARMFUL, ENV_REMOVED),
		ROW(10, "FI_EFA_TX_MIN_CREDITS", "32", nothing, CHOICE, ENV_CHOICE),
		ROW(11, "FI_EFA_IFACE", "", nothing, HARMFUL, ENV_REMOVED),
		ROW(12, "FI_EFA_IFACE", "all", nothing, CHOICE, ENV_CHOICE),
		ROW(13, "FI_EFA_FORK_SAFE", "1", p5, NOOP, ENV_NOOP),
		ROW(14, "FI_EFA_FORK_SAFE", "1", old, NEEDED, ENV_NEEDED),
		ROW(15, "RDMAV_FORK_SAFE", "1", p5, HARMFUL, ENV_HARMFUL),
		ROW(16, "FI_PROVIDER", "efa", p5, CHOICE, ENV_CHOICE),
		ROW(17, "FI_PROVIDER", "", p5, HARMFUL, ENV_TCP),
		ROW(18, "FI_PROVIDER", "tcp;ofi_rxm", p5, HARMFUL, ENV_TCP),
		ROW(19, "FI_PROVIDER", "^efa", p5, HARMFUL, ENV_TCP),
		ROW(20, "FI_PROVIDER", "^tcp", p5, CHOICE, ENV_CHOICE),
		ROW(21, "NCCL_NET", "socket", p5, HARMFUL, ENV_TCP),
		ROW(22, "NCCL_NET", "AWS Libfabric", p5, CHOICE, ENV_CHOICE),
		ROW(23, "NCCL_PROTO", "simple", old, NEEDED, ENV_NEEDED),
		ROW(24, "NCCL_PROTO", "simple", p5, DEPRECATED, ENV_DEPRECATED),
		ROW(25, "NCCL_IB_HCA", "rdmap0s31", p5, NOOP, ENV_NOOP),
		ROW(26, "UCX_TLS", "tcp,cuda", p5, HARMFUL, ENV_TCP),
		ROW(27, "UCX_TLS", "all", old, HARMFUL, ENV_TCP),
		ROW(28, "UCX_TLS", "all", p5, CHOICE, ENV_CHOICE),
		ROW(29, "OMPI_MCA_pml", "^cm,ucx", p5, HARMFUL, ENV_TCP),
		ROW(30, "OMPI_MCA_pml", "cm", p5, CHOICE, ENV_CHOICE),
		ROW(31, "FI_EFA_USE_DEVICE_RDAM", "1", p5, UNKNOWN, ENV_UNKNOWN),
		ROW(32, "FI_EFA_RX_SIZE", "1", p5, CHOICE, ENV_CHOICE),
		ROW(33, "FI_LOG_LEVEL", "warn", p5, CHOICE, ENV_CHOICE),
		ROW(34, "NCCL_NET_GDR_LEVEL", "LOC", p5, HARMFUL, ENV_HARMFUL),
		ROW(35, "NCCL_NET_GDR_LEVEL", "LOC", g5, CHOICE, ENV_CHOICE),
		ROW(36, "MOONCAKE_PROTOCOL", "efa", p5, CHOICE, ENV_CHOICE),
		ROW(37, "MOONCAKE_PROTOCOL", "tcp", p5, HARMFUL, ENV_TCP),
#undef ROW
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct weft_env_judgement j =
			weft_env_judge(rows[i].name, rows[i].value, rows[i].on);

		if (j.verdict != rows[i].verdict || j.finding != rows[i].finding)
			fail_msg("row %d: %s, %s", rows[i].id, weft_env_verdict_name(j.verdict),
				 weft_finding_info(j.finding)->id);
	}
}

static void weft_env_judge__suggests(void **state)
{
	static const struct weft_env_context nothing;

	(void)state;
	assert_string_equal(weft_env_judge("FI_EFA_FORKSAFE", "1", &nothing).suggest, "FORK_SAFE");
	assert_null(weft_env_judge("FI_EFA_FORK_SAFE", "1", &nothing).suggest);
}

/* Whole environments, and the worst that is found under one id. */
static void weft_env_check__table(void **state)
{
	static const char *const names[] = { "lo", "eth0", "docker0", "pod-id-link0" };
	static const struct weft_env_context here = { .kernel = WEFT_VERSION_OF(6, 1, 0),
						      .interfaces = names,
						      .interface_count = 4 },
					     plain = { .kernel = WEFT_VERSION_OF(6, 1, 0),
						       .interfaces = names,
						       .interface_count = 3 },
					     old = { .kernel = WEFT_VERSION_OF(4, 14, 0),
						     .rdma_read = WEFT_YES,
						     .plugin = WEFT_VERSION_OF(1, 6, 0) };
	static const struct {
		int id;
		const struct weft_env_context *on;
		struct weft_env_var vars[3];
		enum weft_finding_id finding;
		int severity; /* -1: not found. */
	} rows[] = {
		{ 1,
		  &old,
		  { { "FI_EFA_USE_HUGE_PAGE", "1", { 0 } }, { "FI_EFA_FORK_SAFE", "1", { 0 } } },
		  WEFT_FINDING_ENV_HUGEPAGE_FORK,
		  WEFT_SEV_FAIL },
		{ 2,
		  &here,
		  { { "FI_EFA_USE_HUGE_PAGE", "1", { 0 } }, { "FI_EFA_FORK_SAFE", "1", { 0 } } },
		  WEFT_FINDING_ENV_HUGEPAGE_FORK,
		  -1 },
		{ 3,
		  &here,
		  { { "NCCL_SOCKET_IFNAME", "^lo,docker,veth,pod-id-link", { 0 } } },
		  WEFT_FINDING_ENV_IFNAME,
		  -1 },
		{ 4,
		  &here,
		  { { "NCCL_SOCKET_IFNAME", "ens", { 0 } } },
		  WEFT_FINDING_ENV_IFNAME,
		  WEFT_SEV_FAIL },
		{ 5,
		  &here,
		  { { "NCCL_SOCKET_IFNAME", "pod", { 0 } } },
		  WEFT_FINDING_ENV_IFNAME,
		  WEFT_SEV_FAIL },
		{ 6,
		  &here,
		  { { "NCCL_SOCKET_IFNAME", "=eth", { 0 } } },
		  WEFT_FINDING_ENV_IFNAME,
		  WEFT_SEV_FAIL },
		{ 7,
		  &here,
		  { { "NCCL_SOCKET_IFNAME", "=eth0", { 0 } } },
		  WEFT_FINDING_ENV_IFNAME,
		  -1 },
		{ 8,
		  &here,
		  { { "NCCL_SOCKET_IFNAME", "^docker", { 0 } } },
		  WEFT_FINDING_ENV_IFNAME,
		  WEFT_SEV_WARN },
		{ 9,
		  &plain,
		  { { "GLOO_SOCKET_IFNAME", "^lo", { 0 } } },
		  WEFT_FINDING_ENV_IFNAME,
		  WEFT_SEV_FAIL },
		{ 10,
		  &plain,
		  { { "GLOO_SOCKET_IFNAME", "eth0", { 0 } } },
		  WEFT_FINDING_ENV_IFNAME,
		  -1 },
		{ 11,
		  &here,
		  { { "PATH", "/bin", { 0 } } },
		  WEFT_FINDING_ENV_IFNAME,
		  WEFT_SEV_WARN },
		{ 12, &plain, { { "PATH", "/bin", { 0 } } }, WEFT_FINDING_ENV_IFNAME, -1 },
		{ 13,
		  &plain,
		  { { "OMPI_COMM_WORLD_LOCAL_SIZE", "192", { 0 } } },
		  WEFT_FINDING_ENV_RANKS,
		  WEFT_SEV_WARN },
		{ 14,
		  &plain,
		  { { "OMPI_COMM_WORLD_LOCAL_SIZE", "192", { 0 } },
		    { "FI_EFA_SHM_AV_SIZE", "192", { 0 } } },
		  WEFT_FINDING_ENV_RANKS,
		  -1 },
		{ 15,
		  &old,
		  { { "FI_LOG_LEVEL", "warn", { 0 } } },
		  WEFT_FINDING_ENV_MISSING,
		  WEFT_SEV_WARN },
		{ 16, &plain, { { "FI_LOG_LEVEL", "warn", { 0 } } }, WEFT_FINDING_ENV_MISSING, -1 },
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct weft_findings f;
		size_t count = 0;
		int worst = -1;

		while (count < 3 && rows[i].vars[count].name)
			count++;
		weft_findings_init(&f);
		weft_env_check(rows[i].vars, count, rows[i].on, &f);
		for (size_t k = 0; k < f.count; k++)
			if (f.finding[k].id == rows[i].finding)
				worst = WEFT_MAX(worst, (int)f.finding[k].severity);
		if (worst != rows[i].severity)
			fail_msg("row %d: %d", rows[i].id, worst);
		weft_findings_fini(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_version_parse__table),
		cmocka_unit_test(weft_env_judge__table),
		cmocka_unit_test(weft_env_judge__suggests),
		cmocka_unit_test(weft_env_check__table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
