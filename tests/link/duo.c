/* SPDX-License-Identifier: BSD-2-Clause */
/* The parent starts a process for each side and looks after them; the board is where all of them meet.
 *
 * Processes are forked without exec, so a pointer to a string of the program means the same in all of them:
 * what a side is doing is stored on the board as such a pointer. */
#define _GNU_SOURCE
#include "duo.h"

#include "link.h"

#include <arpa/inet.h>
#include <ftw.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_S 60u /* Also where many others want the cores. */

struct side {
	const char *_Atomic at;
	_Atomic uint32_t arrived, step;
	_Atomic bool gone, stopped;
	pid_t pid;
	char fail[600];
	struct duo_addr addr[DUO_ADDRS_MAX];
};

static struct side *board; /* DUO_SIDES_MAX of them, shared. */
static char run_dir[64];
static uint32_t wire;
static uint16_t port_base;

uint32_t duo_side, duo_sides;

/* Parent */

void duo_setup(const char *name)
{
	static const char *const parents[] = { "/dev/shm", "/tmp" };
	char text[16];

	wire = !strcmp(name, "udp") ? DUO_UDP : !strcmp(name, "local") ? DUO_LOCAL : DUO_AUTO;
	board = mmap(NULL, sizeof(*board) * DUO_SIDES_MAX, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (board == MAP_FAILED)
		abort();
	run_dir[0] = 0;
	for (uint32_t i = 0; i < 2 && !run_dir[0]; i++) {
		snprintf(run_dir, sizeof(run_dir), "%s/weft-link-XXXXXX", parents[i]);
		if (!mkdtemp(run_dir))
			run_dir[0] = 0;
	}
	if (!run_dir[0])
		abort();
	/* Other tests that run at this time use other ports. */
	port_base = (uint16_t)(1024 + (uint32_t)getpid() % 81 * 256);
	snprintf(text, sizeof(text), "%u", port_base);
	setenv("WEFT_PORT_BASE", text, 1);
	setenv("WEFT_RUN_DIR", run_dir, 1);
	setenv("WEFT_WIRE", name, 1);
	setenv("WEFT_CAPS", "read,write,rnr,sgid,unsolicited", 1);
	setenv("HOME", run_dir, 1); /* No settings of whoever runs this. */
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	(void)remove(path);
	return 0;
}

static void remove_dir(const char *path)
{
	(void)nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void duo_teardown(void)
{
	char second[80];

	remove_dir(run_dir);
	snprintf(second, sizeof(second), "%s-2", run_dir); /* Of cases where hosts share none. */
	remove_dir(second);
}

bool duo_is_for_wire(const struct duo_case *c)
{
	return !c->wires || c->wires & wire;
}

uint32_t duo_wire(void)
{
	return wire;
}

uint16_t duo_port_base(void)
{
	return port_base;
}

static void set_env(const struct duo_case *c, uint32_t side)
{
	char text[256], *at = text, *word;

	snprintf(text, sizeof(text), "127.0.0.%u", c->host[side] ? c->host[side] : 2 + side);
	setenv("WEFT_ADDR", text, 1);
	snprintf(text, sizeof(text), "%s", c->env ? c->env : "");
	while ((word = strsep(&at, " ")) != NULL) {
		char *value = strchr(word, '=');

		if (!value)
			continue;
		*value++ = 0;
		setenv(word, value, 1);
	}
}

static void start(const struct duo_case *c, uint32_t side)
{
	static const int crashes[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
	pid_t parent = getpid(), pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		abort();
	if (pid) {
		board[side].pid = pid;
		return;
	}
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(crashes); i++) /* cmocka would go on in the child. */
		signal(crashes[i], SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	board[side].pid = getpid();
	duo_side = side;
	set_env(c, side);
	c->side[side]();
	duo_at("exit()");
	exit(0);
}

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* One that failed: only the first is told, the others follow from it. */
static bool note(const struct duo_case *c, uint32_t side, const siginfo_t *info, char *why,
		 size_t len)
{
	const char *at = atomic_load(&board[side].at), *said = board[side].fail;
	bool killed = info->si_code != CLD_EXITED;

	if (c->killed >> side & 1 ? killed && info->si_status == SIGKILL
				  : !killed && !info->si_status)
		return true;
	if (why[0])
		return false;
	if (killed)
		snprintf(why, len, "side %u: killed by signal %d (%s) after %s", side,
			 info->si_status, strsignal(info->si_status), at);
	else if (said[0])
		snprintf(why, len, "side %u: %s", side, said);
	else
		snprintf(why, len, "side %u: ended with %d after %s", side, info->si_status, at);
	return false;
}

static void hung(char *why, size_t len)
{
	size_t n = (size_t)snprintf(why, len, "time limit:");

	for (uint32_t i = 0; i < duo_sides && n < len; i++) {
		n += (size_t)snprintf(why + n, len - n, " side %u %s %s;", i,
				      atomic_load(&board[i].gone) ? "gone, last at" : "at",
				      atomic_load(&board[i].at));
	}
}

static void kill_all(void)
{
	for (uint32_t i = 0; i < duo_sides; i++)
		if (!atomic_load(&board[i].gone))
			kill(board[i].pid, SIGKILL);
}

/* Until all sides are gone. False: something went wrong, `why` says what. */
static bool watch(const struct duo_case *c, char *why, size_t len)
{
	uint32_t limit = (c->limit_s ? c->limit_s : LIMIT_S) * (DUO_SANITIZED ? 4 : 1);
	double end = now_s() + limit;
	uint32_t left = duo_sides;

	why[0] = 0;
	while (left) {
		for (uint32_t i = 0; i < duo_sides; i++) {
			siginfo_t info = { .si_pid = 0 };

			/* Dead ones are taken away later: where somebody reads /proc that can last for seconds. */
			if (atomic_load(&board[i].gone) ||
			    waitid(P_PID, (id_t)board[i].pid, &info,
				   WEXITED | WSTOPPED | WNOHANG | WNOWAIT) ||
			    !info.si_pid)
				continue;
			if (info.si_code == CLD_STOPPED) {
				atomic_store(&board[i].stopped, true);
				continue;
			}
			left--;
			if (!note(c, i, &info, why, len))
				kill_all();
			atomic_store(&board[i].gone, true);
		}
		if (left && now_s() > end) {
			if (!why[0])
				hung(why, len);
			kill_all();
			end = now_s() + 3600;
		}
		duo_nap();
	}
	for (uint32_t i = 0; i < duo_sides; i++)
		waitpid(board[i].pid, NULL, 0);
	return !why[0];
}

void duo_run(void **state)
{
	const struct duo_case *c = *state;
	char why[1200];

	memset(board, 0, sizeof(*board) * DUO_SIDES_MAX);
	for (duo_sides = 0; duo_sides < DUO_SIDES_MAX && c->side[duo_sides]; duo_sides++)
		atomic_store(&board[duo_sides].at, "its start");
	for (uint32_t i = 0; i < duo_sides; i++)
		start(c, i);
	if (!watch(c, why, sizeof(why))) {
		fprintf(stderr, "# %s: %s\n", c->name, why);
		fail_msg("%s", why);
	}
}

/* Sides: meeting */

void duo_at(const char *at)
{
	atomic_store(&board[duo_side].at, at);
}

void duo_die(const char *at, const char *fmt, ...)
{
	struct side *me = &board[duo_side];
	int n = snprintf(me->fail, sizeof(me->fail), "%s: ", at);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(me->fail + n, sizeof(me->fail) - (size_t)n, fmt, ap);
	va_end(ap);
	_exit(1);
}

void duo_nap(void)
{
	struct timespec ts = { .tv_nsec = 100000 };

	nanosleep(&ts, NULL);
}

void duo_sync_(const char *at)
{
	uint32_t n = atomic_fetch_add(&board[duo_side].arrived, 1) + 1;

	duo_at(at);
	for (uint32_t i = 0; i < duo_sides; i++)
		while (atomic_load(&board[i].arrived) < n && !atomic_load(&board[i].gone))
			duo_nap();
}

void duo_step(uint32_t step)
{
	atomic_store(&board[duo_side].step, step);
}

bool duo_has_step(uint32_t side, uint32_t step)
{
	return atomic_load(&board[side].step) >= step || atomic_load(&board[side].gone);
}

void duo_wait_step_(const char *at, uint32_t side, uint32_t step)
{
	duo_at(at);
	while (!duo_has_step(side, step))
		duo_nap();
}

void duo_wait_gone_(const char *at, uint32_t side)
{
	duo_at(at);
	while (!atomic_load(&board[side].gone))
		duo_nap();
}

void duo_kill_(const char *at, uint32_t side, int sig)
{
	duo_at(at);
	if (kill(board[side].pid, sig))
		duo_die(at, "kill: %s", strerror(errno));
	while (sig == SIGKILL && !atomic_load(&board[side].gone))
		duo_nap();
	while (sig == SIGSTOP && !atomic_load(&board[side].stopped))
		duo_nap();
}

/* Sides: one of everything */

void duo_qp_to(struct weft_qp *qp, enum weft_qp_state state)
{
	weft_qp_set_qkey(qp, DUO_QKEY);
	for (int s = WEFT_QPS_INIT; s <= (int)state; s++)
		need_ok(weft_qp_set_state(qp, (enum weft_qp_state)s));
}

struct weft_qp *duo_qp(const struct duo_end *e, enum weft_qp_state state)
{
	struct weft_qp_attr attr = {
		.type = e->opts.type,
		.send_cq = e->scq,
		.recv_cq = e->rcq,
		.max_send_wr = e->opts.sq,
		.max_recv_wr = e->opts.rq,
		.max_send_sge = WEFT_DEV_SQ_SGE,
		.max_recv_sge = WEFT_DEV_RQ_SGE,
		.max_inline = WEFT_DEV_INLINE_MAX,
		.unsolicited_write_recv = e->opts.unsolicited,
	};
	struct weft_qp *qp;

	need_ok(weft_qp_create(e->pd, &attr, &qp));
	duo_qp_to(qp, state);
	return qp;
}

void duo_open(struct duo_end *e, const struct duo_opts *opts)
{
	uint32_t depth;

	*e = (struct duo_end){ .opts = opts ? *opts : (struct duo_opts){ 0 } };
	if (!e->opts.sq)
		e->opts.sq = 256;
	if (!e->opts.rq)
		e->opts.rq = 256;
	if (!e->opts.depth)
		e->opts.depth = 4096;
	if (!e->opts.access)
		e->opts.access = WEFT_ACCESS_LOCAL_WRITE | WEFT_ACCESS_REMOTE_WRITE |
				 WEFT_ACCESS_REMOTE_READ;
	if (!e->opts.len)
		e->opts.len = 1u << 20;
	if (!e->opts.state)
		e->opts.state = WEFT_QPS_RTS;
	need_ok(weft_card_open(0, &e->card));
	need_ok(weft_pd_create(e->card, &e->pd));
	if (e->opts.channel)
		need_ok(weft_channel_create(e->card, &e->channel));
	depth = e->opts.depth;
	need_ok(weft_cq_create(e->card, &depth, e->channel, e, &e->scq));
	depth = e->opts.depth;
	need_ok(weft_cq_create(e->card, &depth, e->channel, e, &e->rcq));
	e->buf =
		mmap(NULL, e->opts.len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	need(e->buf != MAP_FAILED);
	need_ok(weft_mr_create(e->pd, e->buf, e->opts.len, (uintptr_t)e->buf, e->opts.access,
			       &e->mr));
	e->qp = duo_qp(e, e->opts.state);
}

void duo_close(struct duo_end *e)
{
	if (e->qp)
		need_ok(weft_qp_destroy(e->qp));
	if (e->ah)
		need_ok(weft_ah_destroy(e->ah));
	if (e->mr)
		need_ok(weft_mr_destroy(e->mr));
	need_ok(weft_cq_destroy(e->scq));
	need_ok(weft_cq_destroy(e->rcq));
	if (e->channel)
		need_ok(weft_channel_destroy(e->channel));
	need_ok(weft_pd_destroy(e->pd));
	weft_card_close(e->card);
	munmap(e->buf, e->opts.len);
}

struct duo_addr duo_addr_of(const struct duo_end *e, const struct weft_qp *qp)
{
	return (struct duo_addr){
		.gid = weft_card_info(e->card)->gid,
		.qpn = weft_qp_number(qp),
		.qkey = DUO_QKEY,
		.rkey = e->mr->rkey,
		.lkey = e->mr->lkey,
		.addr = (uintptr_t)e->buf,
		.len = e->opts.len,
	};
}

void duo_publish(uint32_t i, const struct duo_addr *addr)
{
	board[duo_side].addr[i] = *addr;
}

struct duo_addr duo_look(uint32_t side, uint32_t i)
{
	return board[side].addr[i];
}

void duo_target(struct duo_end *e, const struct duo_addr *peer)
{
	if (e->ah)
		need_ok(weft_ah_destroy(e->ah));
	e->peer = *peer;
	need_ok(weft_ah_create(e->pd, &peer->gid, &e->ah));
}

void duo_meet_(const char *at, struct duo_end *e, uint32_t peer)
{
	struct duo_addr addr = duo_addr_of(e, e->qp);

	duo_publish(0, &addr);
	duo_sync_(at);
	addr = duo_look(peer, 0);
	duo_target(e, &addr);
	/* Nobody sends before all know each other: receives name their sender by its handle. */
	duo_sync_(at);
}

struct weft_wr duo_wr(const struct duo_end *e, uint64_t id, enum weft_op op, size_t off,
		      uint32_t len, size_t roff)
{
	return (struct weft_wr){
		.wr_id = id,
		.ah = e->ah,
		.raddr = e->peer.addr + roff,
		.rkey = e->peer.rkey,
		.qkey = e->peer.qkey,
		.qpn = e->peer.qpn,
		.imm = htonl((uint32_t)id),
		.op = (uint8_t)op,
		.sge_len = 1,
		.sge[0] = { .addr = (uintptr_t)e->buf + off, .len = len, .lkey = e->mr->lkey },
	};
}

void duo_post_(const char *at, struct weft_qp *qp, const struct weft_wr *wr)
{
	int err;

	duo_at(at);
	err = weft_qp_post_send(qp, wr, 1);
	if (err)
		duo_die(at, "post_send: %s", strerror(-err));
}

void duo_recv_(const char *at, const struct duo_end *e, struct weft_qp *qp, uint64_t id, size_t off,
	       uint32_t len)
{
	struct weft_recv_wr wr = {
		.wr_id = id,
		.sge_len = 1,
		.sge[0] = { .addr = (uintptr_t)e->buf + off, .len = len, .lkey = e->mr->lkey },
	};
	int err;

	duo_at(at);
	err = weft_qp_post_recv(qp, &wr, 1);
	if (err)
		duo_die(at, "post_recv: %s", strerror(-err));
}

bool duo_try(struct weft_cq *cq, struct weft_cqe *cqe_out)
{
	const struct weft_cqe *c;

	weft_cq_begin(cq);
	c = weft_cq_next(cq);
	if (c)
		*cqe_out = *c;
	weft_cq_end(cq);
	return c != NULL;
}

struct weft_cqe duo_next_(const char *at, struct weft_cq *cq)
{
	struct weft_cqe cqe;

	duo_at(at);
	while (!duo_try(cq, &cqe))
		;
	return cqe;
}

void duo_done_(const char *at, struct weft_cq *cq, uint64_t id, uint32_t status)
{
	struct weft_cqe cqe = duo_next_(at, cq);

	if (cqe.wr_id != id || cqe.status != status)
		duo_die(at, "completion of %llu with status %u, not of %llu with %u",
			(unsigned long long)cqe.wr_id, cqe.status, (unsigned long long)id, status);
}

void duo_do_(const char *at, const struct duo_end *e, const struct weft_wr *wr, uint32_t status)
{
	duo_post_(at, e->qp, wr);
	duo_done_(at, e->scq, wr->wr_id, status);
}

void duo_settle(const struct duo_end *e)
{
	weft_qp_set_qkey(e->qp, DUO_QKEY); /* Takes the lock under which it was written. */
}

void duo_none_(const char *at, struct weft_cq *cq)
{
	struct weft_cqe cqe;

	duo_at(at);
	/* What came before a RESET may still be there, and says that it is of an earlier life. */
	for (uint32_t i = 0; i < 200; i++)
		if (duo_try(cq, &cqe) && !(cqe.flags & WEFT_CQE_F_STALE))
			duo_die(at, "completion of %llu with status %u, where none should be",
				(unsigned long long)cqe.wr_id, cqe.status);
}

/* Bytes */

static uint64_t word_of(uint64_t seed, uint64_t i)
{
	uint64_t x = (seed + 1) * 0x9e3779b97f4a7c15u ^ i * 0xbf58476d1ce4e5b9u;

	return x ^ x >> 29;
}

void duo_fill(void *mem, size_t len, uint64_t seed)
{
	uint8_t *p = mem;

	for (size_t i = 0; i < len; i += 8) {
		uint64_t w = word_of(seed, i);

		memcpy(p + i, &w, WEFT_MIN(len - i, (size_t)8));
	}
}

void duo_check_(const char *at, const void *mem, size_t len, uint64_t seed)
{
	const uint8_t *p = mem;

	duo_at(at);
	for (size_t i = 0; i < len; i += 8) {
		uint64_t w = word_of(seed, i);
		size_t n = WEFT_MIN(len - i, (size_t)8);

		if (memcmp(p + i, &w, n))
			duo_die(at, "wrong bytes at %zu of %zu", i, len);
	}
}

void duo_check_zero_(const char *at, const void *mem, size_t len)
{
	const uint8_t *p = mem;

	for (size_t i = 0; i < len; i++)
		if (p[i])
			duo_die(at, "byte %zu of %zu was written", i, len);
}

int duo_bind(uint8_t host, uint16_t port)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(0x7f000000u | host),
	};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	need(fd >= 0);
	if (!bind(fd, (struct sockaddr *)&in, sizeof(in)))
		return fd;
	close(fd);
	return -1;
}
