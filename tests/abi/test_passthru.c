/* SPDX-License-Identifier: BSD-2-Clause */
/* Objects that are not ours go to the real library. The program is linked with a fake one, and run with the
 * preload library in front of it; speaks TAP. Exits 77 when nothing is preloaded. */
#define _GNU_SOURCE
#include "fake_verbs.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int count, bad;

static void check(bool good, const char *what)
{
	printf("%sok %d - %s\n", good ? "" : "not ", ++count, what);
	bad += !good;
}

static bool arrived(const char *name)
{
	bool same = !strcmp(fake_called, name);

	fake_called[0] = '\0';
	return same;
}

/* A function that the fake library lacks and the program therefore cannot be linked with. */
#define PRELOADED(fn) ((__typeof__(&fn))dlsym(RTLD_DEFAULT, #fn))

static void test_objects(struct ibv_device *device)
{
	struct efadv_device_attr efa_attr = { 0 };
	struct ibv_cq *cq = calloc(1, sizeof(*cq));
	struct ibv_qp *qp = calloc(1, sizeof(*qp));
	struct ibv_context *context;
	struct ibv_pd *pd;
	struct ibv_mr *mr;

	check(!strcmp(ibv_get_device_name(device), "fake0") && arrived("ibv_get_device_name"),
	      "device name");
	context = ibv_open_device(device);
	check(context && arrived("ibv_open_device"), "open device");
	pd = ibv_alloc_pd(context);
	check(pd && arrived("ibv_alloc_pd"), "protection domain");
	mr = ibv_reg_mr_iova2(pd, &count, 4, 0x1234, 5);
	check(mr && mr->lkey == 0x1234 && mr->rkey == 5 && arrived("ibv_reg_mr_iova2"),
	      "memory region");
	check(!PRELOADED(ibv_reg_mr)(pd, &count, 4, 0) && errno == ENOSYS,
	      "a function that is missing");
	check(!ibv_dereg_mr(mr) && arrived("ibv_dereg_mr"), "memory region's end");
	cq->context = qp->context = context;
	check(ibv_resize_cq(cq, 3) == 7 && cq->cqe == 3 && arrived("ibv_resize_cq"),
	      "what ours refuse");
	check((void *)ibv_qp_to_qp_ex(qp) == qp && arrived("ibv_qp_to_qp_ex"), "queue pair");
	check(!efadv_query_device(context, &efa_attr, 32) && efa_attr.max_sq_wr == 32 &&
		      arrived("efadv_query_device"),
	      "libefa");
	check(PRELOADED(efadv_query_qp_wqs)(qp, NULL, NULL, 0) == EOPNOTSUPP, "libefa, missing");
	check(!strcmp(ibv_wc_status_str(IBV_WC_SUCCESS), "good") && arrived("ibv_wc_status_str"),
	      "a function without objects");
	check(!ibv_dealloc_pd(pd) && arrived("ibv_dealloc_pd"), "protection domain's end");
	check(!ibv_close_device(context) && arrived("ibv_close_device"), "close device");
	free(cq);
	free(qp);
}

static void test_device_files(const struct ibv_device *device)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "/dev/infiniband/%s", device->dev_name);
	check(!stat(path, &st) && S_ISCHR(st.st_mode) && !access(path, R_OK | W_OK),
	      "our device file is there");
	snprintf(path, sizeof(path), "/dev/infiniband/%sx", device->dev_name);
	check(stat(path, &st) < 0 && access(path, R_OK) < 0, "another is not");
	check(!stat("/", &st) && S_ISDIR(st.st_mode) && !access("/", R_OK), "other files are real");
	check(!lstat(device->ibdev_path, &st) && S_ISLNK(st.st_mode), "ibdev_path");
	snprintf(path, sizeof(path), "%.100s/device/driver", device->ibdev_path);
	check(!stat(path, &st) && S_ISDIR(st.st_mode), "its driver");
	snprintf(path, sizeof(path), "%.80s/class/infiniband_verbs/abi_version",
		 getenv("SYSFS_PATH"));
	check(!access(path, R_OK), "SYSFS_PATH");
}

/* A child that leaves first takes nothing away from its parent. */
static void test_fork(const struct ibv_device *device)
{
	struct stat st;
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		exit(stat(device->ibdev_path, &st) ? 1 : 0);
	check(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0, "a child finds them");
	check(!stat(device->ibdev_path, &st), "they outlive a child");
	check(system("true") == 0 && !stat(device->ibdev_path, &st), "and another program");
}

int main(void)
{
	const char *hide_others = getenv("WEFT_HIDE_OTHERS");
	bool hide = hide_others && !strcmp(hide_others, "1");
	struct ibv_device **list;
	int n;

	if (!dlsym(RTLD_DEFAULT, "efadv_create_comp_cntr")) {
		printf("1..0 # SKIP nothing is preloaded\n");
		return 0;
	}
	list = ibv_get_device_list(&n);
	check(list && n == (hide ? 1 : 2) && !list[n], "number of devices");
	if (!list || n < 1) {
		printf("Bail out! no devices\n");
		return 1;
	}
	check(strcmp(list[0]->name, "fake0") != 0, "ours come first");
	check(!strcmp(ibv_get_device_name(list[0]), list[0]->name) &&
		      !arrived("ibv_get_device_name"),
	      "ours stay with us");
	test_device_files(list[0]);
	test_fork(list[0]);
	if (!hide)
		test_objects(list[1]);
	fake_called[0] = '\0';
	ibv_free_device_list(list);
	check(hide ? !arrived("ibv_free_device_list") : arrived("ibv_free_device_list"),
	      "the real list goes back");
	check(PRELOADED(ibv_is_fork_initialized)() == IBV_FORK_UNNEEDED, "forking is no concern");
	printf("1..%d\n", count);
	return bad > 0;
}
