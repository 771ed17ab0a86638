/* SPDX-License-Identifier: BSD-2-Clause */
#include "advice/envfile.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

/* Texts, and what they set, as "NAME=VALUE@line ". */
static void weft_envfile_scan__table(void **state)
{
	static const struct {
		int id;
		const char *text, *want;
	} rows[] = {
		{ 1, "", "" },
		{ 2, "FI_PROVIDER=efa\n", "FI_PROVIDER=efa@1 " },
		{ 3, "a=1\nexport NCCL_DEBUG=INFO FI_PROVIDER=efa",
		  "NCCL_DEBUG=INFO@2 FI_PROVIDER=efa@2 " },
		{ 4, "export NCCL_SOCKET_IFNAME=\"^lo,docker\"\n",
		  "NCCL_SOCKET_IFNAME=^lo,docker@1 " },
		{ 5, "mpirun -x FI_PROVIDER -x 'UCX_TLS=a b' x", "UCX_TLS=a b@1 " },
		{ 6, "# FI_PROVIDER=efa\n  # NCCL_DEBUG=INFO\n", "" },
		{ 7, "#SBATCH --export=ALL,FI_PROVIDER=efa\n", "FI_PROVIDER=efa@1 " },
		{ 8, "mpirun --mca pml ^cm,ucx -mca btl tcp,self x",
		  "OMPI_MCA_pml=^cm,ucx@1 OMPI_MCA_btl=tcp,self@1 " },
		{ 9, "ENV NCCL_PROTO=simple\n", "NCCL_PROTO=simple@1 " },
		{ 10, "envs:\n  FI_PROVIDER: efa\n  NCCL_DEBUG: \"INFO\"\n",
		  "FI_PROVIDER=efa@2 NCCL_DEBUG=INFO@3 " },
		{ 11, "- name: FI_PROVIDER\n  value: efa # yes\n", "FI_PROVIDER=efa@1 " },
		{ 12, "- {name: FI_PROVIDER, value: \"\"}\n", "FI_PROVIDER=@1 " },
		{ 13, "{\"name\": \"FI_PROVIDER\",\n \"value\": \"tcp\"}", "FI_PROVIDER=tcp@1 " },
		{ 14, "- name: NCCL_DEBUG\n- name: FI_PROVIDER\n  value: x\n", "FI_PROVIDER=x@2 " },
		{ 15, "echo $FI_PROVIDER; unset NCCL_DEBUG\n", "" },
		{ 16, "MY_FI_PROVIDER=x XNCCL_DEBUG=y\n", "" },
		{ 17, "FI_PROVIDER=\n", "FI_PROVIDER=@1 " },
		{ 18, "NCCL_SECRET_KEY=x\n", "" },
		{ 19, "value: 3\nname: other\n", "" },
		{ 20, "--mca\n--mca x\nmca a b\n", "" },
		{ 21, "FI_PROVIDER='efa", "FI_PROVIDER=efa@1 " },
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct weft_envfile e;
		char got[500] = "";
		size_t len = 0;

		weft_envfile_init(&e);
		weft_envfile_scan(&e, "file", rows[i].text, strlen(rows[i].text));
		for (size_t k = 0; k < e.count; k++)
			len += (size_t)snprintf(got + len, sizeof(got) - len, "%s=%s@%u ",
						e.var[k].name, e.var[k].value, e.var[k].place.line);
		if (strcmp(got, rows[i].want) != 0)
			fail_msg("row %d: %s", rows[i].id, got);
		weft_envfile_fini(&e);
	}
}

static void weft_envfile_block__nul_between(void **state)
{
	static const char block[] = "PATH=/bin\0FI_PROVIDER=a b\0junk\0=x\0NCCL_DEBUG=";
	struct weft_envfile e;

	(void)state;
	weft_envfile_init(&e);
	weft_envfile_block(&e, "environment", block, sizeof(block));
	assert_int_equal(e.count, 2);
	assert_string_equal(e.var[0].name, "FI_PROVIDER");
	assert_string_equal(e.var[0].value, "a b");
	assert_string_equal(e.var[1].value, "");
	weft_envfile_fini(&e);
}

/* Names stay where they are found, however much comes after them. */
static void weft_envfile_add__many(void **state)
{
	struct weft_envfile e;
	char line[64];

	(void)state;
	weft_envfile_init(&e);
	for (uint32_t i = 0; i < 5000; i++) {
		snprintf(line, sizeof(line), "UCX_N%u=%u\n", i, i);
		weft_envfile_scan(&e, "file", line, strlen(line));
	}
	assert_int_equal(e.count, 4096);
	assert_string_equal(e.var[0].name, "UCX_N0");
	assert_string_equal(e.var[4095].value, "4095");
	weft_envfile_fini(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_envfile_scan__table),
		cmocka_unit_test(weft_envfile_block__nul_between),
		cmocka_unit_test(weft_envfile_add__many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
