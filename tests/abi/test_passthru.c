/* SPDX-License-Identifier: BSD-2-Clause */
/* Objects that are not ours go to the real library. The program is linked with a fake one, and run with the
 * preload library in front of it; speaks TAP. Exits 77 when nothing is preloaded. */
#define _GNU_SOURCE
#include "fake_verbs.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
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

/* Clean-ups of the run directory do not ask who is using it. */
static void test_cleaned_away(const struct ibv_device *device)
{
	char command[300];
	struct stat st;

	snprintf(command, sizeof(command), "rm -rf '%.250s'", getenv("SYSFS_PATH"));
	check(!system(command) && stat(device->ibdev_path, &st) < 0, "files cleaned away");
	ibv_free_device_list(ibv_get_device_list(NULL));
	check(!stat(device->ibdev_path, &st), "and made again");
}

static _Atomic bool stop;

/* What it asks for takes the lock of the list of devices, and does little else. */
static void *keep_asking(void *arg)
{
	const char *(*ask)(void) = (const char *(*)(void))dlsym(RTLD_DEFAULT, "ibv_get_sysfs_path");

	while (!stop)
		(void)ask();
	return arg;
}

/* A child does not inherit the lock that another thread held. */
static void test_fork_of_a_thread(void)
{
	int status = 0, n = 0;
	pthread_t thread;

	pthread_create(&thread, NULL, keep_asking, NULL);
	for (; n < 200 && !status; n++) {
		pid_t pid = fork();

		if (pid == 0) {
			alarm(10);
			_exit(ibv_get_device_list(NULL) ? 0 : 1);
		}
		if (waitpid(pid, &status, 0) != pid)
			break;
	}
	stop = true;
	pthread_join(thread, NULL);
	check(n == 200 && !status, "forks while another thread asks for devices");
}

/* This program again, in another environment, looks for its device's files only. */
static void test_again(const char *program, const char *name, const char *value, const char *what)
{
	char command[600];

	snprintf(command, sizeof(command), "%s='%.300s' '%.200s' files", name, value, program);
	fflush(stdout);
	check(!system(command), what);
}

static int look_for_files(void)
{
	struct ibv_device **list = ibv_get_device_list(NULL);
	char path[300];
	struct stat st;

	if (!list || !*list)
		return 1;
	snprintf(path, sizeof(path), "%.255s/device/driver", list[0]->ibdev_path);
	return stat(list[0]->ibdev_path, &st) || stat(path, &st) || !S_ISDIR(st.st_mode);
}

static void test_surroundings(const char *program)
{
	char dir[200] = "/tmp/weft-passthru-XXXXXX";
	size_t len;

	check(mkdtemp(dir) != NULL, "a folder");
	len = strlen(dir);
	/* As long as WEFT_RUN_DIR may be. */
	snprintf(dir + len, sizeof(dir) - len, "/%0*d", (int)(191 - len - 1), 0);
	test_again(program, "WEFT_RUN_DIR", dir, "a long name of the run directory");
	check(!rmdir(dir), "which is empty afterwards");
	dir[len] = '\0';
	rmdir(dir);
	test_again(program, "SYSFS_PATH", "/sys", "SYSFS_PATH set by the user");
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

int main(int argc, char **argv)
{
	const char *hide_others = getenv("WEFT_HIDE_OTHERS");
	bool hide = hide_others && !strcmp(hide_others, "1");
	struct ibv_device **list;
	int n;

	if (!dlsym(RTLD_DEFAULT, "efadv_create_comp_cntr")) {
		printf("1..0 # SKIP nothing is preloaded\n");
		return 0;
	}
	if (argc > 1)
		return look_for_files();
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
	test_cleaned_away(list[0]);
	test_fork_of_a_thread();
	test_surroundings(argv[0]);
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
