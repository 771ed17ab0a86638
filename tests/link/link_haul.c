/* SPDX-License-Identifier: BSD-2-Clause */
/* Hauls: large WRITEs and READs between processes of one host, copied by the kernel. All sizes around the chunks, more under way
 * than a card has places for, and what goes wrong: memory that is deregistered while it is copied to, at either end, a
 * peer that is killed, a kernel that refuses. On UDP alone there are none. */
#define _GNU_SOURCE
#include "link.h"

#include "dev/core.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOCAL (DUO_LOCAL | DUO_AUTO)
#define LEN   (32u << 20)
#define MANY  200u

static const uint32_t sizes[] = {
	65535, 65536, 65537, 262143, 262144, 262145, 524288, 1u << 20, (1u << 20) + 1, 5000001,
};

static uint64_t moved(struct duo_end *e)
{
	uint64_t n;

	weft_card_lock(e->card);
	n = e->card->direct_written + e->card->direct_read;
	weft_card_unlock(e->card);
	return n;
}

/* Does the kernel let processes that are not each other's children copy? */
static bool is_allowed(void)
{
	static char here, there = 1;
	struct iovec to = { .iov_base = &here, .iov_len = 1 };
	struct iovec from = { .iov_base = &there, .iov_len = 1 };

	return process_vm_readv(getppid(), &to, 1, &from, 1, 0) == 1;
}

/* Each size to and from places that are not aligned, with guards. `hauled`: what of it is copied by the kernel. */
static void go_all_sizes(bool hauled)
{
	uint64_t want = 0;
	struct duo_end e;
	struct weft_wr wr;

	duo_open(&e, &(struct duo_opts){ .len = LEN });
	duo_fill(e.buf + LEN / 2, LEN / 2, 1 + duo_side);
	duo_meet(&e, !duo_side);
	for (uint32_t i = 0; i < WEFT_ARRAY_SIZE(sizes) && !duo_side; i++) {
		duo_fill(e.buf + 77, sizes[i], i);
		wr = duo_wr(&e, i, WEFT_OP_WRITE, 77, sizes[i], 1001);
		duo_do(&e, &wr, 0);
		memset(e.buf + 77, 0, sizes[i]);
		wr = duo_wr(&e, i, WEFT_OP_READ, 555, sizes[i], 1001);
		duo_do(&e, &wr, 0);
		duo_check(e.buf + 555, sizes[i], i);
		memset(e.buf + 555, 0, sizes[i]);
		duo_check_zero(e.buf, LEN / 2);
		if (sizes[i] >= 65536)
			want += 2u * sizes[i];
	}
	if (!duo_side)
		need_eq(hauled && is_allowed() ? want : 0, moved(&e));
	duo_sync();
	duo_settle(&e);
	duo_check(e.buf + LEN / 2, LEN / 2, 1 + duo_side);
	if (duo_side) {
		duo_check(e.buf + 1001, sizes[9], 9);
		duo_check_zero(e.buf, 1001);
	}
	duo_close(&e);
}

static void all_sizes(void)
{
	go_all_sizes(true);
}

/* As root we may do anything; a kernel that says no is made by a filter. */
static void refused(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_writev, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog prog = { .len = WEFT_ARRAY_SIZE(filter), .filter = filter };

	(void)(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0));
	go_all_sizes(true);
}

static void off(void)
{
	go_all_sizes(false);
}

static void many(void)
{
	struct duo_end e;

	duo_open(&e, &(struct duo_opts){ .len = LEN });
	duo_fill(e.buf, LEN / 2, 3 + duo_side);
	duo_meet(&e, !duo_side);
	/* Both at once, each into the other's upper half. */
	for (uint32_t i = 0; i < MANY; i++) {
		size_t off = i % 80 * 200000;
		struct weft_wr wr = duo_wr(&e, i, WEFT_OP_WRITE, off, 200000, LEN / 2 + off);

		duo_post(e.qp, &wr);
	}
	for (uint32_t i = 0; i < MANY; i++)
		need_eq(0, duo_next(e.scq).status);
	need_eq(is_allowed() ? MANY * 200000ull : 0, moved(&e));
	duo_sync();
	duo_settle(&e);
	duo_check(e.buf + LEN / 2, 80 * 200000, 3 + !duo_side);
	duo_close(&e);
}

/* From the moment that its owner has deregistered memory nobody writes there, and the writer is told. */
static void target_goes(void)
{
	struct weft_cqe c = { .status = 0 };
	struct duo_addr addr;
	struct duo_end e;
	struct weft_mr *mr;
	uint32_t posted = 0, got = 0;

	duo_open(&e, &(struct duo_opts){ .len = LEN });
	need_ok(weft_mr_create(e.pd, e.buf, LEN, (uintptr_t)e.buf, 7, &mr));
	addr = duo_addr_of(&e, e.qp);
	addr.rkey = mr->rkey;
	duo_publish(1, &addr);
	duo_meet(&e, !duo_side);
	if (duo_side) {
		while (!*(volatile uint8_t *)(e.buf + LEN - 1))
			weft_card_progress(e.card);
		need_ok(weft_mr_destroy(mr));
		memset(e.buf, 0x55, LEN);
		duo_step(2);
		duo_wait_step(0, 3);
		for (size_t i = 0; i < LEN; i++)
			need(e.buf[i] == 0x55);
	} else {
		addr = duo_look(1, 1);
		e.peer.rkey = addr.rkey;
		memset(e.buf, 0xaa, LEN);
		while (!duo_has_step(1, 2) || posted != got) {
			if (posted - got < 8 && !duo_has_step(1, 2)) {
				struct weft_wr wr = duo_wr(&e, posted++, WEFT_OP_WRITE, 0, LEN, 0);

				duo_post(e.qp, &wr);
			}
			if (duo_try(e.scq, &c)) {
				got++;
				need(c.status == 0 || c.status == 7);
			}
		}
		e.peer.rkey = addr.rkey;
		struct weft_wr wr = duo_wr(&e, 1, WEFT_OP_WRITE, 0, LEN, 0);
		duo_do(&e, &wr, 7);
		duo_step(3);
		need_ok(weft_mr_destroy(mr));
	}
	duo_sync();
	duo_close(&e);
}

/* And nothing is read into memory that is deregistered here. */
static void reader_goes(void)
{
	struct duo_end e;
	struct weft_mr *mr;
	struct weft_wr wr;

	duo_open(&e, &(struct duo_opts){ .len = LEN });
	memset(e.buf, 0xaa, LEN);
	duo_meet(&e, !duo_side);
	for (uint32_t i = 0; i < 20 && !duo_side; i++) {
		need_ok(weft_mr_create(e.pd, e.buf, LEN, (uintptr_t)e.buf, 7, &mr));
		wr = duo_wr(&e, i, WEFT_OP_READ, 0, LEN, 0);
		wr.sge[0].lkey = mr->lkey;
		duo_post(e.qp, &wr);
		for (uint32_t k = 0; k < i; k++)
			weft_card_progress(e.card);
		need_ok(weft_mr_destroy(mr));
		memset(e.buf, 0x55, LEN);
		duo_done(e.scq, i, 5);
		for (size_t at = 0; at < LEN; at++)
			need(e.buf[at] == 0x55);
	}
	duo_sync();
	duo_close(&e);
}

/* A queue that is reset with hauls under way. */
static void reset(void)
{
	struct duo_end e;

	duo_open(&e, &(struct duo_opts){ .len = LEN });
	duo_meet(&e, !duo_side);
	for (uint32_t i = 0; i < 5 && !duo_side; i++) {
		for (uint32_t k = 0; k < 2; k++) {
			struct weft_wr wr = duo_wr(&e, k, WEFT_OP_READ, k * LEN / 2, LEN / 2, 0);

			duo_post(e.qp, &wr);
		}
		weft_card_progress(e.card);
		need_ok(weft_qp_set_state(e.qp, WEFT_QPS_RESET));
		memset(e.buf, 0x55, LEN);
		duo_none(e.scq);
		for (size_t at = 0; at < LEN; at++)
			need(e.buf[at] == 0x55);
		duo_qp_to(e.qp, WEFT_QPS_RTS);
	}
	duo_sync();
	duo_close(&e);
}

/* As in packets: what may not be written through that queue stays as it was, and what may not be read is not. */
static void wrong_target(void)
{
	struct weft_qp *others, *late;
	struct duo_addr addr;
	struct weft_mr *mr;
	struct weft_pd *pd;
	struct duo_end e;
	struct weft_wr wr;

	duo_open(&e, &(struct duo_opts){ .len = LEN });
	need_ok(weft_pd_create(e.card, &pd));
	need_ok(weft_mr_create(pd, e.buf, LEN, (uintptr_t)e.buf, 7, &mr));
	others = duo_qp(&e, WEFT_QPS_RTS);
	late = duo_qp(&e, WEFT_QPS_INIT);
	addr = duo_addr_of(&e, e.qp);
	addr.rkey = mr->rkey;
	duo_publish(1, &addr); /* A queue, and memory that is not its domain's. */
	addr = duo_addr_of(&e, others);
	duo_publish(2, &addr);
	addr = duo_addr_of(&e, late);
	duo_publish(3, &addr);
	duo_meet(&e, !duo_side);
	if (duo_side) {
		memset(e.buf, 0x55, LEN);
		duo_step(1);
		duo_wait_step(0, 2);
		need_ok(weft_qp_set_state(others, WEFT_QPS_ERR));
		duo_step(3);
		duo_wait_step(0, 4);
		need_ok(weft_qp_destroy(others));
		duo_step(5);
		duo_wait_step(0, 6);
		for (size_t i = 0; i < LEN; i++)
			need(e.buf[i] == 0x55);
		duo_qp_to(late, WEFT_QPS_RTR);
		duo_step(7);
	} else {
		duo_wait_step(1, 1);
		memset(e.buf, 0xaa, LEN);
		for (uint32_t i = 1; i <= 3; i++) {
			addr = duo_look(1, WEFT_MIN(i, 2u));
			duo_target(&e, &addr);
			if (i > 1) {
				duo_step(2 * i - 2);
				duo_wait_step(1, 2 * i - 1);
			}
			wr = duo_wr(&e, i, WEFT_OP_WRITE, 0, LEN, 0);
			duo_do(&e, &wr, i == 1 ? 7 : 9);
			wr = duo_wr(&e, i, WEFT_OP_READ, 0, LEN, 0);
			duo_do(&e, &wr, i == 1 ? 7 : 9);
			for (size_t at = 0; at < LEN; at++)
				need(e.buf[at] == 0xaa);
		}
		addr = duo_look(1, 3);
		duo_target(&e, &addr);
		wr = duo_wr(&e, 9, WEFT_OP_WRITE, 0, LEN, 0);
		duo_do(&e, &wr, 9);
		duo_step(6);
		duo_wait_step(1, 7);
		need_eq(0, moved(&e));
		duo_do(&e, &wr, 0);
		need_eq(is_allowed() ? LEN : 0, moved(&e));
		need_ok(weft_qp_destroy(others));
	}
	duo_sync();
	need_ok(weft_qp_destroy(late));
	need_ok(weft_mr_destroy(mr));
	need_ok(weft_pd_destroy(pd));
	duo_close(&e);
}

/* From the moment that its queue is gone nobody writes there, though the memory is registered still. */
static void queue_goes(void)
{
	struct duo_end e;
	uint32_t posted = 0, got = 0;
	struct weft_cqe c;

	duo_open(&e, &(struct duo_opts){ .len = LEN });
	duo_meet(&e, !duo_side);
	if (duo_side) {
		while (!*(volatile uint8_t *)(e.buf + LEN - 1))
			weft_card_progress(e.card);
		need_ok(weft_qp_set_state(e.qp, WEFT_QPS_ERR));
		memset(e.buf, 0x55, LEN);
		duo_step(2);
		duo_wait_step(0, 3);
		for (size_t i = 0; i < LEN; i++)
			need(e.buf[i] == 0x55);
	} else {
		memset(e.buf, 0xaa, LEN);
		while (!duo_has_step(1, 2) || posted != got) {
			if (posted - got < 8 && !duo_has_step(1, 2)) {
				struct weft_wr wr = duo_wr(&e, posted++, WEFT_OP_WRITE, 0, LEN, 0);

				duo_post(e.qp, &wr);
			}
			if (duo_try(e.scq, &c)) {
				got++;
				need(c.status == 0 || c.status == 9);
			}
		}
		duo_step(3);
	}
	duo_sync();
	duo_close(&e);
}

/* Who sleeps until his WRITE is done is woken, by the helper alone. */
static void armed(void)
{
	struct pollfd p = { .events = POLLIN };
	struct weft_cq *cq;
	struct duo_end e;

	duo_open(&e, &(struct duo_opts){ .len = LEN, .channel = true });
	duo_meet(&e, !duo_side);
	for (uint32_t i = 0; i < 400 && !duo_side; i++) {
		struct weft_wr wr = duo_wr(&e, i, WEFT_OP_WRITE, 0, LEN / 64, 0);

		weft_cq_arm(e.scq);
		for (uint32_t n = 0; n < 10; n++)
			duo_nap();
		duo_post(e.qp, &wr);
		p.fd = weft_channel_fd(e.channel);
		need(poll(&p, 1, -1) == 1);
		need_ok(weft_channel_get(e.channel, &cq));
		weft_cq_ack(cq, 1);
		duo_done(e.scq, i, 0);
	}
	duo_sync();
	duo_close(&e);
}

/* A number that is another process's here, as of a container with its own: nothing is copied to that one. */
static void wrong_number(void)
{
	char path[300], name[80];
	struct weft_gid address;
	struct duo_addr me = { .len = (uint64_t)getpid() };
	struct duo_end e;
	struct weft_wr wr;
	pid_t pid;
	int fd;

	duo_open(&e, &(struct duo_opts){ .len = LEN });
	duo_fill(e.buf, LEN / 2, 1 + duo_side);
	duo_publish(1, &me);
	duo_sync();
	if (duo_side) {
		weft_link_address(e.card, &e.card->info->gid, e.card->slot, &address);
		weft_link_name(&address, name, sizeof(name));
		snprintf(path, sizeof(path), "%s/gpu/%s", getenv("WEFT_RUN_DIR"), name);
		pid = (pid_t)duo_look(0, 1).len;
		fd = open(path, O_WRONLY | O_CLOEXEC);
		need(fd >= 0 && pwrite(fd, &pid, sizeof(pid), 8) == (ssize_t)sizeof(pid));
		close(fd);
	}
	duo_meet(&e, !duo_side);
	if (!duo_side) {
		wr = duo_wr(&e, 1, WEFT_OP_WRITE, 0, LEN / 2, LEN / 2);
		duo_do(&e, &wr, 0);
		need_eq(0, moved(&e));
	}
	duo_sync();
	duo_settle(&e);
	if (duo_side)
		duo_check(e.buf + LEN / 2, LEN / 2, 1);
	duo_close(&e);
}

/* The threads outlive the card, but not in a child, which waits for none and has its own. */
static void forked(void)
{
	struct duo_end e;
	struct weft_wr wr;
	int status;
	pid_t pid;

	duo_open(&e, &(struct duo_opts){ .len = LEN });
	duo_meet(&e, !duo_side);
	wr = duo_wr(&e, 1, WEFT_OP_WRITE, 0, LEN / 2, LEN / 2);
	duo_do(&e, &wr, 0);
	duo_sync();
	duo_close(&e);
	pid = fork();
	need(pid >= 0);
	if (!pid)
		exit(0);
	need(waitpid(pid, &status, 0) == pid && !status);
}

static void peer_dies(void)
{
	uint32_t posted = 0, got = 0, bad = 0;
	struct duo_end e;
	struct weft_cqe c;

	duo_open(&e, &(struct duo_opts){ .len = LEN });
	duo_meet(&e, !duo_side);
	if (duo_side) {
		for (;;)
			weft_card_progress(e.card);
	}
	while (!bad || posted != got) {
		if (posted == 20)
			duo_kill(1, SIGKILL);
		if (posted - got < 8 && !bad) {
			enum weft_op op = posted % 2 ? WEFT_OP_WRITE : WEFT_OP_READ;
			size_t off = posted % 8 * LEN / 8;
			struct weft_wr wr = duo_wr(&e, posted, op, off, LEN / 8, 0);

			posted++;
			duo_post(e.qp, &wr);
		}
		if (!duo_try(e.scq, &c))
			continue;
		got++;
		bad += c.status != 0;
		need(c.status == 0 || c.status == 8 || c.status == 9);
	}
	duo_close(&e);
}

const struct duo_case link_haul_cases[] = {
	{ "haul__all_sizes", { all_sizes, all_sizes }, "WEFT_COPIERS=3", .wires = LOCAL },
	{ "haul__all_sizes_alone", { all_sizes, all_sizes }, "WEFT_COPIERS=0", .wires = LOCAL },
	{ "haul__refused", { refused, refused }, .wires = LOCAL },
	{ "haul__off", { off, off }, "WEFT_COPIERS=off", .wires = LOCAL },
	{ "haul__none_by_udp", { off, off }, .wires = DUO_UDP },
	{ "haul__many", { many, many }, "WEFT_COPIERS=3", .wires = LOCAL },
	{ "haul__target_goes", { target_goes, target_goes }, "WEFT_COPIERS=3", .wires = LOCAL },
	{ "haul__target_goes_alone",
	  { target_goes, target_goes },
	  "WEFT_COPIERS=0",
	  .wires = LOCAL },
	{ "haul__reader_goes", { reader_goes, reader_goes }, "WEFT_COPIERS=3", .wires = LOCAL },
	{ "haul__wrong_target", { wrong_target, wrong_target }, "WEFT_COPIERS=1", .wires = LOCAL },
	{ "haul__queue_goes", { queue_goes, queue_goes }, "WEFT_COPIERS=1", .wires = LOCAL },
	{ "haul__armed", { armed, armed }, "WEFT_COPIERS=1", .wires = LOCAL, .limit_s = 20 },
	{ "haul__armed_alone", { armed, armed }, "WEFT_COPIERS=0", .wires = LOCAL, .limit_s = 20 },
	{ "haul__wrong_number", { wrong_number, wrong_number }, "WEFT_COPIERS=1", .wires = LOCAL },
	{ "haul__forked", { forked, forked }, "WEFT_COPIERS=3", .wires = LOCAL, .limit_s = 20 },
	{ "haul__reset", { reset, reset }, "WEFT_COPIERS=3", .wires = LOCAL },
	{ "haul__peer_dies",
	  { peer_dies, peer_dies },
	  "WEFT_COPIERS=3",
	  .wires = LOCAL,
	  .killed = 2 },
	{ .name = NULL },
};
