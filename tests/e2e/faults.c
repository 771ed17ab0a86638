/* SPDX-License-Identifier: BSD-2-Clause */
/* faults passive FILE [--poll]
 * faults active [--seconds N] [--op write|read|send] [--size N] [--depth N] [--retry] [--rest N] [--exit-after MS]
 *		FILE...
 *
 * Traffic for the tests of faults, on raw verbs. The passive side writes its address into FILE, and then receives,
 * is written to and read from until SIGTERM; it sleeps on its completion channel unless it is told to poll. The
 * active side keeps `depth` requests under way from one queue pair to each of the peers, and prints a line of JSON:
 * for each peer what it completed by status, the longest time between two completions, when the first error
 * came, and how many completed in each tenth of a second. A peer that failed is left alone, unless --retry. In the end it
 * sleeps for the time of --rest, with everything open. With --exit-after a signal handler ends it, in the middle of
 * whatever it does, by exit(3), and a destructor then gives up what it can: the manner of some libraries.
 *
 * Times are seconds of CLOCK_MONOTONIC since "start", so that whoever makes the faults can compare. Exit 0: all went as
 * described, errors of peers included; 1: the device refused what it has to take; 2: usage, no device. */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <infiniband/efadv.h>
#include <infiniband/verbs.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define PEERS_MAX    16u
#define DEPTH_MAX    256u
#define SIZE_MAX_    (1u << 20)
#define SEND_MAX     8928u
#define RECVS        256u
#define STATUSES     32u
#define TENTHS       600u
#define QKEY         0x11111111u
#define CAPS_RD_WR   8u /* Newer than Debian's header. */
#define PATTERN_BYTE 0x5a

enum op {
	OP_WRITE,
	OP_READ,
	OP_SEND
};

struct peer {
	union ibv_gid gid;
	uint32_t qpn, rkey;
	uint64_t addr;
	struct ibv_ah *ah;
	uint32_t busy;
	bool failed;
	uint64_t done, bytes, status[STATUSES];
	double first, last, gap, gap_at, first_error, last_error;
	uint32_t tenth[TENTHS];
};

static struct ibv_context *context;
static struct ibv_pd *pd;
static struct ibv_cq *cq;
static struct ibv_comp_channel *channel;
static struct ibv_qp *qp;
static struct ibv_qp_ex *ex;
static struct ibv_mr *mr;
static uint8_t *mem;
static bool can_write;
static volatile sig_atomic_t stop;

static void on_signal(int number)
{
	(void)number;
	stop = 1;
}

/* Not allowed to signal handlers, and done by them. */
static void on_alarm(int number)
{
	(void)number;
	exit(3);
}

static void at_exit(void)
{
	(void)ibv_dealloc_pd(pd);
}

/* Before the device is opened, so that this destructor comes after its own. */
static void exit_after(uint32_t ms)
{
	struct itimerval timer = { .it_value = { ms / 1000, ms % 1000 * 1000 } };
	struct sigaction action = { .sa_handler = on_alarm };

	atexit(at_exit);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

__attribute__((noreturn)) static void fatal(const char *what, int status)
{
	fprintf(stderr, "faults: %s: %s\n", what, strerror(errno));
	exit(status);
}

static void open_card(size_t size)
{
	struct ibv_qp_init_attr_ex attr = {
		.cap = { .max_send_wr = DEPTH_MAX,
			 .max_recv_wr = RECVS,
			 .max_send_sge = 1,
			 .max_recv_sge = 1 },
		.qp_type = IBV_QPT_DRIVER,
		.comp_mask = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS,
		.send_ops_flags = IBV_QP_EX_WITH_SEND | IBV_QP_EX_WITH_RDMA_READ,
		.sq_sig_all = 1,
	};
	struct efadv_qp_init_attr efa = { .driver_qp_type = EFADV_QP_DRIVER_TYPE_SRD };
	struct ibv_qp_attr to = {
		.qp_state = IBV_QPS_INIT, .port_num = 1, .qkey = QKEY, .rnr_retry = 7
	};
	struct efadv_device_attr device;
	struct ibv_device **list = ibv_get_device_list(NULL);
	int access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ;

	if (!list || !list[0])
		fatal("no device", 2);
	context = ibv_open_device(list[0]);
	if (!context)
		fatal("ibv_open_device", 2);
	ibv_free_device_list(list);
	if (efadv_query_device(context, &device, sizeof(device)))
		fatal("efadv_query_device", 2);
	can_write = device.device_caps & CAPS_RD_WR;
	if (can_write) {
		attr.send_ops_flags |= IBV_QP_EX_WITH_RDMA_WRITE;
		access |= IBV_ACCESS_REMOTE_WRITE;
	}
	pd = ibv_alloc_pd(context);
	channel = ibv_create_comp_channel(context);
	if (!pd || !channel)
		fatal("PD and channel", 2);
	cq = ibv_create_cq(context, DEPTH_MAX + RECVS, NULL, channel, 0);
	mem = aligned_alloc(4096, size);
	if (!cq || !mem)
		fatal("CQ and memory", 2);
	memset(mem, PATTERN_BYTE, size);
	mr = ibv_reg_mr(pd, mem, size, access);
	if (!mr)
		fatal("ibv_reg_mr", 2);
	attr.send_cq = attr.recv_cq = cq;
	attr.pd = pd;
	qp = efadv_create_qp_ex(context, &attr, &efa, sizeof(efa));
	if (!qp)
		fatal("efadv_create_qp_ex", 2);
	ex = ibv_qp_to_qp_ex(qp);
	errno = ibv_modify_qp(qp, &to,
			      IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY);
	to.qp_state = IBV_QPS_RTR;
	if (!errno)
		errno = ibv_modify_qp(qp, &to, IBV_QP_STATE);
	to.qp_state = IBV_QPS_RTS;
	if (!errno)
		errno = ibv_modify_qp(qp, &to, IBV_QP_STATE | IBV_QP_SQ_PSN | IBV_QP_RNR_RETRY);
	if (errno)
		fatal("ibv_modify_qp", 2);
}

static void close_card(void)
{
	if (ibv_destroy_qp(qp) || ibv_dereg_mr(mr) || ibv_destroy_cq(cq) ||
	    ibv_destroy_comp_channel(channel) || ibv_dealloc_pd(pd) || ibv_close_device(context))
		fatal("closing", 1);
	free(mem);
}

/* Passive */

static void post_recv(uint32_t slot)
{
	struct ibv_sge sge = { (uintptr_t)mem + (size_t)slot * SEND_MAX, SEND_MAX, mr->lkey };
	struct ibv_recv_wr wr = { .wr_id = slot, .sg_list = &sge, .num_sge = 1 }, *bad;

	errno = ibv_post_recv(qp, &wr, &bad);
	if (errno)
		fatal("ibv_post_recv", 1);
}

static void announce(const char *file)
{
	char name[512];
	union ibv_gid gid;
	FILE *out;

	snprintf(name, sizeof(name), "%s.new", file);
	if (ibv_query_gid(context, 1, 0, &gid))
		fatal("ibv_query_gid", 2);
	out = fopen(name, "w");
	if (!out)
		fatal(name, 2);
	for (int i = 0; i < 16; i++)
		fprintf(out, "%02x", gid.raw[i]);
	fprintf(out, " %u %u %llu\n", qp->qp_num, mr->rkey, (unsigned long long)(uintptr_t)mem);
	if (fclose(out) || rename(name, file))
		fatal(file, 2);
}

/* SIGTERM is blocked but here, so that it cannot come between a look at `stop` and the sleep. */
static void passive_sleep(const sigset_t *open_mask)
{
	struct pollfd fd = { .fd = channel->fd, .events = POLLIN };
	struct ibv_cq *which;
	void *arg;

	if (ppoll(&fd, 1, NULL, open_mask) <= 0)
		return;
	if (ibv_get_cq_event(channel, &which, &arg))
		fatal("ibv_get_cq_event", 1);
	ibv_ack_cq_events(which, 1);
}

static int passive(const char *file, bool polls)
{
	size_t size = (size_t)RECVS * SEND_MAX;
	struct ibv_wc wc[16];
	uint64_t received = 0;
	sigset_t term, before;
	bool armed = false;
	int n;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	if (!polls)
		sigprocmask(SIG_BLOCK, &term, &before);
	open_card(size < SIZE_MAX_ ? SIZE_MAX_ : (size + 4095) / 4096 * 4096);
	for (uint32_t i = 0; i < RECVS; i++)
		post_recv(i);
	announce(file);
	while (!stop) {
		n = ibv_poll_cq(cq, 16, wc);
		if (n < 0)
			fatal("ibv_poll_cq", 1);
		for (int i = 0; i < n; i++) {
			if (wc[i].status != IBV_WC_SUCCESS) {
				fprintf(stderr, "faults: receive failed with %d\n", wc[i].status);
				return 1;
			}
			received++;
			post_recv((uint32_t)wc[i].wr_id);
		}
		if (n || polls)
			continue;
		/* Armed, looked again, and still nothing. */
		if (armed)
			passive_sleep(&before);
		else if (ibv_req_notify_cq(cq, 0))
			fatal("ibv_req_notify_cq", 1);
		armed = !armed;
	}
	printf("{\"received\": %llu}\n", (unsigned long long)received);
	close_card();
	return 0;
}

/* Active */

static void read_peer(const char *file, struct peer *p)
{
	struct ibv_ah_attr attr = { .is_global = 1, .port_num = 1 };
	unsigned long long addr;
	char gid[33];
	FILE *in = fopen(file, "r");

	if (!in || fscanf(in, "%32s %u %u %llu", gid, &p->qpn, &p->rkey, &addr) != 4)
		fatal(file, 2);
	fclose(in);
	for (int i = 0; i < 16; i++)
		sscanf(gid + 2L * i, "%2hhx", &p->gid.raw[i]);
	p->addr = addr;
	attr.grh.dgid = p->gid;
	p->ah = ibv_create_ah(pd, &attr);
	if (!p->ah)
		fatal("ibv_create_ah", 2);
	p->first_error = -1;
}

static bool post(struct peer *p, uint32_t number, enum op op, uint32_t size)
{
	int err;

	ibv_wr_start(ex);
	ex->wr_id = number;
	switch (op) {
	case OP_WRITE:
		ibv_wr_rdma_write(ex, p->rkey, p->addr);
		break;
	case OP_READ:
		ibv_wr_rdma_read(ex, p->rkey, p->addr);
		break;
	case OP_SEND:
		ibv_wr_send(ex);
		break;
	}
	ibv_wr_set_sge(ex, mr->lkey, (uintptr_t)mem, size);
	ibv_wr_set_ud_addr(ex, p->ah, p->qpn, QKEY);
	err = ibv_wr_complete(ex);
	if (err && err != ENOMEM && err != EAGAIN) {
		errno = err;
		fatal("ibv_wr_complete", 1);
	}
	return !err;
}

static void completed(struct peer *p, const struct ibv_wc *wc, uint32_t size, double start)
{
	double t = now() - start;

	p->busy--;
	p->status[wc->vendor_err < STATUSES ? wc->vendor_err : STATUSES - 1]++;
	if (wc->status != IBV_WC_SUCCESS) {
		if (p->first_error < 0)
			p->first_error = t;
		p->last_error = t;
		p->failed = true;
		return;
	}
	if (!p->done++)
		p->first = t;
	p->bytes += size;
	if (t - p->last > p->gap) {
		p->gap = t - p->last;
		p->gap_at = p->last;
	}
	p->last = t;
	if (t * 10 < TENTHS)
		p->tenth[(uint32_t)(t * 10)]++;
}

static void show(const struct peer *p, uint32_t n, double start, double seconds)
{
	uint32_t most = (uint32_t)(seconds * 10) < TENTHS ? (uint32_t)(seconds * 10) : TENTHS;

	printf("{\"start\": %.6f, \"seconds\": %.3f, \"peers\": [", start, seconds);
	for (uint32_t i = 0; i < n; i++, p++) {
		const char *comma = "";

		printf("%s{\"done\": %llu, \"bytes\": %llu, \"gap\": %.6f, \"gap_at\": %.3f, "
		       "\"first\": %.6f, \"last\": %.3f, \"first_error\": %.3f, \"last_error\": "
		       "%.3f, \"left\": %u, "
		       "\"status\": {",
		       i ? ", " : "", (unsigned long long)p->done, (unsigned long long)p->bytes,
		       p->gap, p->gap_at, p->first, p->last, p->first_error, p->last_error,
		       p->busy);
		for (uint32_t s = 0; s < STATUSES; s++) {
			if (!p->status[s])
				continue;
			printf("%s\"%u\": %llu", comma, s, (unsigned long long)p->status[s]);
			comma = ", ";
		}
		printf("}, \"tenths\": [");
		for (uint32_t t = 0; t < most; t++)
			printf("%s%u", t ? ", " : "", p->tenth[t]);
		printf("]}");
	}
	printf("]}\n");
}

static int active(char **file, uint32_t n, enum op op, uint32_t size, uint32_t depth,
		  double seconds, bool retry, uint32_t rest)
{
	static struct peer peer[PEERS_MAX];
	double start;
	uint32_t living = n, busy = 0;
	struct ibv_wc wc[32];

	open_card(SIZE_MAX_);
	if (op == OP_WRITE && !can_write)
		op = OP_READ;
	for (uint32_t i = 0; i < n; i++)
		read_peer(file[i], &peer[i]);
	start = now();
	/* When the time is up, what is under way gets as long as it takes: whoever runs this has a limit. */
	while (busy || (living && !stop && now() - start < seconds)) {
		bool more = !stop && now() - start < seconds;
		int got;

		for (uint32_t i = 0; i < n && more; i++)
			while ((!peer[i].failed || retry) && peer[i].busy < depth &&
			       post(&peer[i], i, op, size))
				peer[i].busy++;
		got = ibv_poll_cq(cq, 32, wc);
		if (got < 0)
			fatal("ibv_poll_cq", 1);
		for (int k = 0; k < got; k++)
			completed(&peer[wc[k].wr_id], &wc[k], size, start);
		living = busy = 0;
		for (uint32_t i = 0; i < n; i++) {
			living += !peer[i].failed || retry;
			busy += peer[i].busy;
		}
	}
	show(peer, n, start, now() - start);
	fflush(stdout);
	while (rest)
		rest = sleep(rest);
	for (uint32_t i = 0; i < n; i++)
		if (ibv_destroy_ah(peer[i].ah))
			fatal("ibv_destroy_ah", 1);
	close_card();
	return 0;
}

static uint32_t number(const char *text, uint32_t min, uint32_t max)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (*end || end == text || v < min || v > max) {
		fprintf(stderr, "faults: %s: not a number from %u to %u\n", text, min, max);
		exit(2);
	}
	return (uint32_t)v;
}

static enum op op_of(const char *text)
{
	if (!strcmp(text, "write"))
		return OP_WRITE;
	return strcmp(text, "read") != 0 ? OP_SEND : OP_READ;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seconds", 1, NULL, 's' }, { "op", 1, NULL, 'o' },
		{ "size", 1, NULL, 'z' },    { "depth", 1, NULL, 'd' },
		{ "retry", 0, NULL, 'r' },   { "poll", 0, NULL, 'p' },
		{ "rest", 1, NULL, 'R' },    { "exit-after", 1, NULL, 'x' },
		{ NULL, 0, NULL, 0 },
	};
	struct sigaction action = { .sa_handler = on_signal };
	uint32_t size = 65536, depth = 16, seconds = 2, rest = 0, n;
	bool retry = false, polls = false;
	enum op op = OP_WRITE;
	int opt;

	sigaction(SIGTERM, &action, NULL);
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 's':
			seconds = number(optarg, 0, 3600);
			break;
		case 'o':
			op = op_of(optarg);
			break;
		case 'z':
			size = number(optarg, 1, SIZE_MAX_);
			break;
		case 'd':
			depth = number(optarg, 1, DEPTH_MAX);
			break;
		case 'x':
			exit_after(number(optarg, 1, 3600000));
			break;
		case 'R':
			rest = number(optarg, 0, 3600);
			break;
		case 'r':
			retry = true;
			break;
		case 'p':
			polls = true;
			break;
		default:
			return 2;
		}
	}
	n = (uint32_t)(argc - optind);
	if (n == 2 && !strcmp(argv[optind], "passive"))
		return passive(argv[optind + 1], polls);
	if (n < 2 || n - 1 > PEERS_MAX || strcmp(argv[optind], "active") != 0) {
		fprintf(stderr, "faults: passive FILE, or active [options] FILE...\n");
		return 2;
	}
	if (op == OP_SEND && size > SEND_MAX)
		size = SEND_MAX;
	return active(argv + optind + 1, n - 1, op, size, depth, seconds, retry, rest);
}
