/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory of a GPU registered by descriptor (ibv_reg_dmabuf_mr), as libfabric does: through libibverbs and libefa, with the preload
 * library in front of them and a stand-in for libcuda. What is taken and what is refused, WRITE and READ after the descriptor
 * is closed, and regions that go while their bytes are on the way. Both ends are one queue pair. Speaks TAP.
 *
 * test_dmabuf LIBCUDA */
#define _GNU_SOURCE
#include "../nccl/fake_cuda.h"

#include <dlfcn.h>
#include <errno.h>
#include <infiniband/efadv.h>
#include <infiniband/verbs.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LEN     (4u << 20)
#define KEY     0x1234u
#define ALL     (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE)
#define LIMIT_S 20

static struct {
	__typeof__(fake_cuda_alloc) *alloc;
	__typeof__(fake_cuda_free) *free;
	__typeof__(fake_cuda_write) *write;
	__typeof__(fake_cuda_read) *read;
	__typeof__(fake_cuda_dmabuf) *dmabuf;
} gpu;

static struct ibv_pd *pd;
static struct ibv_cq *cq;
static struct ibv_qp *qp;
static struct ibv_ah *ah;
static int count, bad;

static void check(bool good, const char *what)
{
	printf("%sok %d - %s\n", good ? "" : "not ", ++count, what);
	bad += !good;
}

static void must(bool good, const char *what)
{
	if (good)
		return;
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(1);
}

static void load_cuda(const char *path)
{
	void *lib = dlopen(path, RTLD_NOW | RTLD_GLOBAL);

	must(lib, path);
	*(void **)&gpu.alloc = dlsym(lib, "fake_cuda_alloc");
	*(void **)&gpu.free = dlsym(lib, "fake_cuda_free");
	*(void **)&gpu.write = dlsym(lib, "fake_cuda_write");
	*(void **)&gpu.read = dlsym(lib, "fake_cuda_read");
	*(void **)&gpu.dmabuf = dlsym(lib, "fake_cuda_dmabuf");
	must(gpu.alloc && gpu.free && gpu.write && gpu.read && gpu.dmabuf, "the stand-in");
}

static void move(enum ibv_qp_state to)
{
	struct ibv_qp_attr attr = { .qp_state = to, .port_num = 1, .qkey = KEY };
	int mask = IBV_QP_STATE;

	if (to == IBV_QPS_INIT)
		mask |= IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY;
	if (to == IBV_QPS_RTS)
		mask |= IBV_QP_SQ_PSN;
	must(!ibv_modify_qp(qp, &attr, mask), "a state");
}

static void open_all(void)
{
	struct ibv_device **list = ibv_get_device_list(NULL);
	struct ibv_context *context;
	struct ibv_qp_init_attr_ex init = {
		.cap = { 16, 16, 1, 1, 0 },
		.qp_type = IBV_QPT_DRIVER,
		.comp_mask = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS,
		.send_ops_flags = IBV_QP_EX_WITH_RDMA_READ | IBV_QP_EX_WITH_RDMA_WRITE,
		.sq_sig_all = 1,
	};
	struct efadv_qp_init_attr efa = { .driver_qp_type = EFADV_QP_DRIVER_TYPE_SRD };
	struct ibv_ah_attr attr = { .is_global = 1, .port_num = 1 };

	if (!list || !list[0] || strncmp(ibv_get_device_name(list[0]), "rdmap", 5) != 0) {
		printf("1..0 # SKIP nothing is preloaded\n");
		exit(77);
	}
	context = ibv_open_device(list[0]);
	must(context, "a card");
	pd = ibv_alloc_pd(context);
	cq = ibv_create_cq(context, 64, NULL, NULL, 0);
	must(pd && cq, "a domain, a queue");
	init.send_cq = init.recv_cq = cq;
	init.pd = pd;
	qp = efadv_create_qp_ex(context, &init, &efa, sizeof(efa));
	must(qp, "a queue pair");
	move(IBV_QPS_INIT);
	move(IBV_QPS_RTR);
	move(IBV_QPS_RTS);
	must(!ibv_query_gid(context, 1, 0, &attr.grh.dgid), "a GID");
	ah = ibv_create_ah(pd, &attr);
	must(ah, "an address handle");
}

static void post(bool read, const struct ibv_mr *mr, const void *at, const struct ibv_mr *to,
		 const void *to_at)
{
	struct ibv_qp_ex *x = ibv_qp_to_qp_ex(qp);

	ibv_wr_start(x);
	if (read)
		ibv_wr_rdma_read(x, to->rkey, (uintptr_t)to_at);
	else
		ibv_wr_rdma_write(x, to->rkey, (uintptr_t)to_at);
	ibv_wr_set_ud_addr(x, ah, qp->qp_num, KEY);
	ibv_wr_set_sge(x, mr->lkey, (uintptr_t)at, LEN / 2);
	errno = ibv_wr_complete(x);
	must(!errno, "a request");
}

static enum ibv_wc_status wait_done(void)
{
	time_t until = time(NULL) + LIMIT_S;
	struct ibv_wc wc;

	while (!ibv_poll_cq(cq, 1, &wc))
		must(time(NULL) < until, "a completion");
	return wc.status;
}

/* The descriptor is closed as soon as it is registered, as libfabric does. */
static struct ibv_mr *reg(uint8_t *at, uint64_t offset, size_t len, int access)
{
	int fd = gpu.dmabuf(at), err;
	struct ibv_mr *mr = ibv_reg_dmabuf_mr(pd, offset, len, (uintptr_t)at + offset, fd, access);

	err = errno;
	close(fd);
	errno = err;
	return mr;
}

static bool is_refused(uint8_t *at, uint64_t offset, size_t len, uint64_t iova, int fd, int err)
{
	struct ibv_mr *mr = ibv_reg_dmabuf_mr(pd, offset, len, iova, fd, ALL);

	(void)at;
	return !mr && errno == err;
}

static void test_refused(uint8_t *at)
{
	static uint8_t host[8192] __attribute__((aligned(4096)));
	int fd = gpu.dmabuf(at);
	uint64_t p = (uintptr_t)at;

	check(is_refused(at, 0, LEN, p, -1, EBADF), "no descriptor");
	check(is_refused(at, 0, LEN, p, 9999, EBADF), "a descriptor that is not open");
	check(is_refused(at, 0, 4096, (uintptr_t)host, fd, EOPNOTSUPP), "an address of the host's");
	check(is_refused(at, 100, 4096, p, fd, EINVAL), "an offset of another place in the page");
	check(is_refused(at, LEN, 4096, p, fd, EINVAL), "an offset behind the end");
	check(is_refused(at, 4096, LEN, p, fd, EINVAL), "more than there is behind the offset");
	check(is_refused(at, UINT64_MAX - 4095, 4096, p, fd, EINVAL), "an offset that wraps");
	check(is_refused(at, 0, LEN, p + LEN / 2, fd, EOPNOTSUPP),
	      "an address with too little behind");
	close(fd);
}

static bool is_filled(const uint8_t *at, uint8_t with)
{
	static uint8_t got[LEN / 2];

	gpu.read(at, got, sizeof(got));
	for (size_t i = 0; i < sizeof(got); i++)
		if (got[i] != with)
			return false;
	return true;
}

static void fill(uint8_t *at, uint8_t with)
{
	static uint8_t bytes[LEN / 2];

	memset(bytes, with, sizeof(bytes));
	gpu.write(at, bytes, sizeof(bytes));
}

static void test_moves(uint8_t *a, uint8_t *b)
{
	struct ibv_mr *ma = reg(a, 0, LEN, ALL), *mb = reg(b, LEN / 2, LEN / 2, ALL);

	must(ma && mb, "regions");
	check(!ma->addr && mb->addr == (void *)(uintptr_t)(LEN / 2) && mb->length == LEN / 2,
	      "a region's address is its offset");
	fill(a, 1);
	fill(b, 2);
	fill(b + LEN / 2, 3);
	post(false, ma, a, mb, b + LEN / 2);
	check(wait_done() == IBV_WC_SUCCESS && is_filled(b + LEN / 2, 1) && is_filled(b, 2),
	      "WRITE, behind the offset");
	fill(b + LEN / 2, 4);
	post(true, ma, a, mb, b + LEN / 2);
	check(wait_done() == IBV_WC_SUCCESS && is_filled(a, 4), "READ");
	post(false, ma, a, mb, b);
	check(wait_done() != IBV_WC_SUCCESS && is_filled(b, 2), "before the offset is not its own");
	check(!ibv_dereg_mr(ma) && !ibv_dereg_mr(mb), "the end of both");
}

static void test_goes(uint8_t *a, uint8_t *b)
{
	struct ibv_mr *ma, *mb = reg(b, 0, LEN, ALL);
	enum ibv_wc_status status;

	for (int i = 0; i < 2; i++) {
		ma = reg(a, 0, LEN, ALL);
		must(ma && mb, "regions");
		post(i, ma, a, mb, b);
		check(!ibv_dereg_mr(ma) && wait_done() == IBV_WC_LOC_PROT_ERR,
		      i ? "READ, deregistered here under way"
			: "WRITE, deregistered here under way");
	}
	ma = reg(a, 0, LEN, ALL);
	must(ma, "a region");
	post(false, ma, a, mb, b);
	check(!ibv_dereg_mr(mb), "deregistered there under way");
	status = wait_done();
	check(status == IBV_WC_SUCCESS || status == IBV_WC_REM_ACCESS_ERR, "ends");
	post(false, ma, a, ma, b);
	check(wait_done() == IBV_WC_REM_ACCESS_ERR, "an address that is not the region's");
	gpu.free(b);
	gpu.free(a);
	post(false, ma, a, ma, a + LEN / 2);
	check(wait_done() != IBV_WC_SUCCESS, "freed, and registered still");
	check(!ibv_dereg_mr(ma), "its end");
}

int main(int argc, char **argv)
{
	uint8_t *a, *b;

	if (argc != 2)
		return 2;
	setenv("WEFT_HELPER", "no", 1);
	load_cuda(argv[1]);
	open_all();
	a = gpu.alloc(0, LEN);
	b = gpu.alloc(0, LEN);
	test_refused(a);
	test_moves(a, b);
	test_goes(a, b);
	printf("1..%d\n", count);
	return bad != 0;
}
