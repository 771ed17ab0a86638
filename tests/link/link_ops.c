/* SPDX-License-Identifier: BSD-2-Clause */
/* Every operation at every size boundary, between two hosts and within one process. Data is compared byte by
 * byte, with guards around it; messages may arrive in any order, but exactly once. */
#define _GNU_SOURCE
#include "link.h"

#include <arpa/inet.h>
#include <sys/mman.h>

/* 1392: payload of a packet with WEFT_MTU=1500. 8928: of one without, and the longest SEND. */
static const uint32_t send_sizes[] = {
	0, 1, 7, 31, 32, 33, 511, 1391, 1392, 1393, 2784, 2785, 4096, 8927, 8928,
};

static const uint32_t rdma_sizes[] = {
	0,    1,    31,    32,    33,    1391,  1392,  1393,     8927,
	8928, 8929, 17856, 17857, 65535, 65536, 65537, 1u << 20, (1u << 20) + 1,
};

#define SENDS WEFT_ARRAY_SIZE(send_sizes)
#define RDMAS WEFT_ARRAY_SIZE(rdma_sizes)
#define SLOT  (8928u + 64)
#define GUARD 16u
#define BIG   (4u << 20)

static uint32_t size_index(uint32_t len)
{
	for (uint32_t i = 0; i < SENDS; i++)
		if (send_sizes[i] == len)
			return i;
	duo_die(DUO_AT, "a message of %u bytes, which nobody sent", len);
}

/* SEND and SEND_IMM */

static void post_sends(struct duo_end *e, enum weft_op op, bool is_inline)
{
	for (uint32_t i = 0; i < SENDS; i++) {
		uint32_t len = send_sizes[i];
		struct weft_wr wr = duo_wr(e, 100 + i, op, i * SLOT, len, 0);

		duo_fill(e->buf + i * SLOT, len, i);
		if (is_inline) {
			if (len > WEFT_DEV_INLINE_MAX)
				break;
			wr.is_inline = true;
			wr.inline_len = (uint8_t)len;
			memcpy(wr.inline_data, e->buf + i * SLOT, len);
		} else if (i % 3 && len) { /* In two uneven pieces. */
			wr.sge_len = 2;
			wr.sge[1] = wr.sge[0];
			wr.sge[0].len = i % 3 == 1 ? 1 : len - 1;
			wr.sge[1].addr += wr.sge[0].len;
			wr.sge[1].len -= wr.sge[0].len;
		} else if (!len && i % 2) {
			wr.sge_len = 0;
		}
		duo_post(e->qp, &wr);
		if (is_inline)
			memset(&wr.inline_data, 0xee, sizeof(wr.inline_data));
	}
}

static void take_sent(struct duo_end *e, uint32_t n)
{
	bool seen[SENDS] = { false };

	for (uint32_t i = 0; i < n; i++) {
		struct weft_cqe c = duo_next(e->scq);

		need_eq(0, c.status);
		need_eq(WEFT_CQE_SEND, c.op);
		need_eq(weft_qp_number(e->qp), c.qpn);
		need(c.wr_id >= 100 && c.wr_id < 100 + n && !seen[c.wr_id - 100]);
		seen[c.wr_id - 100] = true;
	}
	duo_none(e->scq);
}

static void post_recvs(struct duo_end *e, uint32_t n, uint32_t prefix)
{
	memset(e->buf, 0, n * SLOT);
	for (uint32_t i = 0; i < n; i++) {
		size_t at = i * SLOT + GUARD;
		struct weft_recv_wr wr = {
			.wr_id = i,
			.sge_len = 3,
			.sge = { { (uintptr_t)e->buf + at, 1, e->mr->lkey },
				 { (uintptr_t)e->buf + at + 1, 7, e->mr->lkey },
				 { (uintptr_t)e->buf + at + 8, 8920, e->mr->lkey } },
		};

		if (prefix || i % 2) {
			wr.sge_len = 1;
			wr.sge[0].len = 8928;
		}
		need_ok(weft_qp_post_recv(e->qp, &wr, 1));
	}
}

/* `prefix`: bytes in front that stay as they are (UD). */
static void take_recvs(struct duo_end *e, uint32_t n, bool imm, uint32_t prefix)
{
	bool seen[SENDS] = { false }, used[SENDS] = { false };

	for (uint32_t k = 0; k < n; k++) {
		struct weft_cqe c = duo_next(e->rcq);
		uint8_t *slot = e->buf + c.wr_id * SLOT;
		uint32_t len = c.byte_len - prefix, i = size_index(len);

		need_eq(0, c.status);
		need_eq(WEFT_CQE_RECV, c.op);
		need_eq(imm ? WEFT_CQE_F_IMM : 0, c.flags);
		need_eq(weft_qp_number(e->qp), c.qpn);
		need_eq(e->peer.qpn, c.src_qpn);
		need_eq(weft_ah_number(e->ah), c.ahn);
		need(!memcmp(&c.gid, &e->peer.gid, sizeof(c.gid)));
		need(c.wr_id < n && !used[c.wr_id] && !seen[i]);
		used[c.wr_id] = seen[i] = true;
		if (imm)
			need_eq(100 + i, ntohl(c.imm));
		duo_check_zero(slot, GUARD + prefix);
		duo_check(slot + GUARD + prefix, len, i);
		duo_check_zero(slot + GUARD + prefix + len, SLOT - GUARD - prefix - len);
	}
	duo_none(e->rcq);
}

static void send_round(struct duo_end *e, enum weft_op op, bool is_inline, uint32_t prefix)
{
	uint32_t n = is_inline ? 5 : SENDS;

	if (prefix && !is_inline)
		n -= 2; /* The longest two would need a longer receive. */
	if (duo_side == 1)
		post_recvs(e, n, prefix);
	duo_sync();
	if (duo_side == 0) {
		post_sends(e, op, is_inline);
		if (prefix &&
		    !is_inline) { /* And those two are lost, which the sender does not see. */
			take_sent(e, SENDS);
		} else {
			take_sent(e, n);
		}
	} else {
		take_recvs(e, n, op == WEFT_OP_SEND_IMM, prefix);
	}
	duo_sync();
}

static void sends(enum weft_qp_type type)
{
	struct duo_end e;
	uint32_t prefix = type == WEFT_QP_UD ? WEFT_DEV_UD_PREFIX : 0;

	duo_open(&e, &(struct duo_opts){ .type = type });
	duo_meet(&e, !duo_side);
	for (uint32_t k = 0; k < 4; k++)
		send_round(&e, k & 1 ? WEFT_OP_SEND_IMM : WEFT_OP_SEND, k & 2, prefix);
	duo_close(&e);
}

static void srd_sends(void)
{
	sends(WEFT_QP_SRD);
}

static void ud_sends(void)
{
	sends(WEFT_QP_UD);
}

/* A message that is longer than a UD receive is lost and takes no receive. */

/* WRITE, WRITE_IMM, READ */

static size_t rdma_at(uint32_t i)
{
	size_t at = 0;

	for (uint32_t k = 0; k < i; k++)
		at += rdma_sizes[k] + GUARD;
	return at + GUARD;
}

static void split(struct weft_wr *wr, uint32_t i)
{
	uint32_t len = wr->sge[0].len;

	if (i % 2 == 0 || len < 2)
		return;
	wr->sge_len = 2;
	wr->sge[1] = wr->sge[0];
	wr->sge[0].len = i % 4 == 1 ? 1 : len - len / 3;
	wr->sge[1].addr += wr->sge[0].len;
	wr->sge[1].len -= wr->sge[0].len;
}

static void post_rdma(struct duo_end *e, enum weft_op op)
{
	for (uint32_t i = 0; i < RDMAS; i++) {
		struct weft_wr wr = duo_wr(e, i, op, rdma_at(i), rdma_sizes[i], rdma_at(i));

		if (op != WEFT_OP_READ)
			duo_fill(e->buf + rdma_at(i), rdma_sizes[i], i + 7);
		split(&wr, i);
		duo_post(e->qp, &wr);
	}
}

static void take_rdma(struct duo_end *e, enum weft_op op)
{
	bool seen[RDMAS] = { false };

	for (uint32_t k = 0; k < RDMAS; k++) {
		struct weft_cqe c = duo_next(e->scq);

		need_eq(0, c.status);
		need_eq(op == WEFT_OP_READ ? WEFT_CQE_SEND : WEFT_CQE_WRITE, c.op);
		need(c.wr_id < RDMAS && !seen[c.wr_id]);
		seen[c.wr_id] = true;
		/* Done means: it is here. */
		if (op == WEFT_OP_READ)
			duo_check(e->buf + rdma_at((uint32_t)c.wr_id), rdma_sizes[c.wr_id],
				  c.wr_id + 7);
	}
	duo_none(e->scq);
}

static void check_rdma(struct duo_end *e)
{
	for (uint32_t i = 0; i < RDMAS; i++) {
		duo_check_zero(e->buf + rdma_at(i) - GUARD, GUARD);
		duo_check(e->buf + rdma_at(i), rdma_sizes[i], i + 7);
	}
	duo_check_zero(e->buf + rdma_at(RDMAS) - GUARD, GUARD);
}

static void writes(void)
{
	struct duo_end e;

	duo_open(&e, &(struct duo_opts){ .len = BIG });
	duo_meet(&e, !duo_side);
	if (duo_side == 0) {
		post_rdma(&e, WEFT_OP_WRITE);
		take_rdma(&e, WEFT_OP_WRITE);
		duo_sync();
	} else {
		duo_sync();
		duo_settle(&e);
		check_rdma(&e);
		duo_none(e.rcq);
		duo_none(e.scq);
	}
	duo_sync();
	duo_close(&e);
}

static void reads(void)
{
	struct duo_end e;

	duo_open(&e, &(struct duo_opts){ .len = BIG });
	if (duo_side == 1)
		for (uint32_t i = 0; i < RDMAS; i++)
			duo_fill(e.buf + rdma_at(i), rdma_sizes[i], i + 7);
	duo_meet(&e, !duo_side);
	if (duo_side == 0) {
		post_rdma(&e, WEFT_OP_READ);
		take_rdma(&e, WEFT_OP_READ);
		check_rdma(&e);
		duo_sync();
	} else {
		duo_sync();
		duo_none(e.rcq);
		duo_none(e.scq);
	}
	duo_close(&e);
}

static void take_write_imms(struct duo_end *e, bool unsolicited)
{
	bool seen[RDMAS] = { false };
	uint64_t used = 0;

	for (uint32_t k = 0; k < RDMAS; k++) {
		struct weft_cqe c = duo_next(e->rcq);
		uint32_t i = ntohl(c.imm);

		need_eq(0, c.status);
		need_eq(WEFT_CQE_RECV_WRITE_IMM, c.op);
		need_eq(WEFT_CQE_F_IMM | (unsolicited ? WEFT_CQE_F_UNSOLICITED : 0), c.flags);
		need(i < RDMAS && !seen[i]);
		seen[i] = true;
		need_eq(rdma_sizes[i], c.byte_len);
		need_eq(e->peer.qpn, c.src_qpn);
		need_eq(weft_ah_number(e->ah), c.ahn);
		if (unsolicited) {
			need_eq(0, c.wr_id);
		} else {
			need(c.wr_id >= 1000 && c.wr_id < 1000 + RDMAS &&
			     !(used >> (c.wr_id - 1000) & 1));
			used |= 1ull << (c.wr_id - 1000);
		}
		/* All of it is there before the completion. */
		duo_check(e->buf + rdma_at(i), rdma_sizes[i], i + 7);
	}
	duo_none(e->rcq);
	check_rdma(e);
}

static void write_imms(bool unsolicited)
{
	struct duo_end e;

	duo_open(&e, &(struct duo_opts){ .len = BIG, .unsolicited = unsolicited });
	for (uint32_t i = 0; i < RDMAS; i++) {
		struct weft_recv_wr wr = { .wr_id = 1000 + i };

		need_ok(weft_qp_post_recv(e.qp, &wr, 1));
	}
	duo_meet(&e, !duo_side);
	if (duo_side == 0) {
		post_rdma(&e, WEFT_OP_WRITE_IMM);
		take_rdma(&e, WEFT_OP_WRITE_IMM);
	} else {
		take_write_imms(&e, unsolicited);
	}
	duo_sync();
	duo_close(&e);
}

static void write_imms_solicited(void)
{
	write_imms(false);
}

static void write_imms_unsolicited(void)
{
	write_imms(true);
}

/* An inline WRITE is not what a card has, but the device takes it. */

/* Long ones */

#define LONG (64u << 20)

static void long_rdma(void)
{
	struct duo_end e;
	struct weft_wr wr;

	duo_open(&e, &(struct duo_opts){ .len = 2u * LONG });
	duo_fill(e.buf, LONG, 11 + duo_side);
	duo_meet(&e, !duo_side);
	if (duo_side == 0) {
		wr = duo_wr(&e, 1, WEFT_OP_WRITE, 0, LONG, LONG);
		duo_do(&e, &wr, 0);
		wr = duo_wr(&e, 2, WEFT_OP_READ, LONG, LONG, 0);
		duo_do(&e, &wr, 0);
		duo_check(e.buf + LONG, LONG, 12);
		duo_sync();
	} else {
		duo_sync();
		duo_settle(&e);
		duo_check(e.buf + LONG, LONG, 11);
		duo_none(e.rcq);
	}
	duo_close(&e);
}

/* One GiB of addresses over a few MiB of memory. */
#define FOLD (8u << 20)

static uint8_t *folded(void)
{
	int fd = memfd_create("folded", MFD_CLOEXEC);
	uint8_t *at = mmap(NULL, WEFT_DEV_RDMA_MAX + FOLD, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	need(fd >= 0 && at != MAP_FAILED && !ftruncate(fd, FOLD));
	for (size_t off = 0; off < (size_t)WEFT_DEV_RDMA_MAX + FOLD; off += FOLD)
		need(mmap(at + off, FOLD, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
		     at + off);
	close(fd);
	return at;
}

static void longest_rdma(void)
{
	struct duo_end e;
	struct duo_addr addr;
	struct weft_mr *mr;
	struct weft_wr wr;
	uint8_t *at = folded();

	duo_open(&e, NULL);
	need_ok(weft_mr_create(e.pd, at, WEFT_DEV_RDMA_MAX + FOLD, (uintptr_t)at, 7, &mr));
	if (duo_side == 0)
		duo_fill(at, FOLD, 5);
	addr = duo_addr_of(&e, e.qp);
	addr.rkey = mr->rkey;
	addr.addr = (uintptr_t)at;
	duo_publish(1, &addr);
	duo_sync();
	addr = duo_look(!duo_side, 1);
	duo_target(&e, &addr);
	if (duo_side == 0) {
		wr = duo_wr(&e, 1, WEFT_OP_WRITE, 0, WEFT_DEV_RDMA_MAX, 0);
		wr.sge[0].addr = (uintptr_t)at;
		wr.sge[0].lkey = mr->lkey;
		duo_do(&e, &wr, 0);
		wr.wr_id = 2;
		wr.sge[0].len++;
		duo_do(&e, &wr, 6);
		wr.op = WEFT_OP_READ;
		duo_do(&e, &wr, 6);
		wr.sge[0].len--; /* Together too long. */
		wr.sge_len = 2;
		wr.sge[1] = wr.sge[0];
		duo_do(&e, &wr, 6);
		wr.op = WEFT_OP_WRITE_IMM;
		wr.sge[1].len = 1;
		duo_do(&e, &wr, 6);
	}
	duo_sync();
	duo_settle(&e);
	if (duo_side == 1)
		duo_check(at, FOLD, 5);
	duo_none(e.rcq);
	need_ok(weft_mr_destroy(mr));
	munmap(at, WEFT_DEV_RDMA_MAX + FOLD);
	duo_close(&e);
}

/* Everything at once, both ways, for a while */

#define MIX      1500u
#define MIX_SEND 4096u
#define MIX_AREA 65536u
#define MIX_LAG  64u

/* The buffer: what we send, what we receive, what the peer writes, what the peer reads, what we read. */
enum {
	OUT = 0,
	IN = 1,
	TARGET = 2,
	SOURCE = 3,
	READ = 4,
	PARTS
};

#define PART (MIX_LAG * MIX_AREA)

static uint32_t mix_len(uint32_t i, uint32_t max)
{
	return i * 2654435761u % (max + 1);
}

static enum weft_op mix_op(uint32_t i)
{
	return (enum weft_op)(i * 40503u / 7 % 5);
}

static void mix_post(struct duo_end *e, uint32_t i, uint32_t side)
{
	enum weft_op op = mix_op(i);
	bool send = op <= WEFT_OP_SEND_IMM;
	uint32_t len = mix_len(i, send ? MIX_SEND - 16 : MIX_AREA),
		 part = op == WEFT_OP_READ ? READ : OUT;
	size_t at = (size_t)i % MIX_LAG * MIX_AREA;
	uint8_t *p = e->buf + part * (size_t)PART + at;
	struct weft_wr wr;

	if (send) { /* Says itself which it is. */
		memcpy(p, &i, 4);
		memcpy(p + 4, &len, 4);
		duo_fill(p + 8, len, i * 2ull + side);
		len += 8;
	} else if (op != WEFT_OP_READ) {
		duo_fill(p, len, i * 2ull + side);
	}
	wr = duo_wr(e, i, op, part * (size_t)PART + at, len,
		    (op == WEFT_OP_READ ? SOURCE : TARGET) * (size_t)PART + at);
	duo_post(e->qp, &wr);
}

static void mix_take_recv(struct duo_end *e, const struct weft_cqe *c, uint8_t *seen)
{
	uint32_t i = ntohl(c->imm), len;
	uint8_t *p = e->buf + IN * (size_t)PART + c->wr_id * MIX_SEND;

	need_eq(0, c->status);
	if (c->op == WEFT_CQE_RECV) {
		memcpy(&i, p, 4);
		memcpy(&len, p + 4, 4);
		need(i < MIX &&
		     mix_op(i) == (c->flags & WEFT_CQE_F_IMM ? WEFT_OP_SEND_IMM : WEFT_OP_SEND));
		need_eq(len + 8, c->byte_len);
		duo_check(p + 8, len, i * 2ull + !duo_side);
		duo_recv(e, c->wr_id, IN * (size_t)PART + c->wr_id * MIX_SEND, MIX_SEND);
	} else {
		struct weft_recv_wr again = { .wr_id = c->wr_id };

		need(i < MIX && mix_op(i) == WEFT_OP_WRITE_IMM);
		need_eq(mix_len(i, MIX_AREA), c->byte_len);
		again.sge_len = 1;
		again.sge[0] = (struct weft_sge){ (uintptr_t)p, MIX_SEND, e->mr->lkey };
		need_ok(weft_qp_post_recv(e->qp, &again, 1));
	}
	need(!seen[i]);
	seen[i] = 1;
}

static void mix(void)
{
	static uint8_t sent[MIX], seen[MIX];
	struct duo_end e;
	struct weft_cqe c;
	uint32_t posted = 0, done = 0, taken = 0, first = 0, expected = 0;

	duo_open(&e, &(struct duo_opts){ .len = PARTS * (size_t)PART, .rq = 128 });
	for (uint32_t i = 0; i < 128; i++)
		duo_recv(&e, i, IN * (size_t)PART + i * MIX_SEND, MIX_SEND);
	duo_fill(e.buf + SOURCE * (size_t)PART, PART, 1000 + duo_side);
	for (uint32_t i = 0; i < MIX; i++)
		expected += mix_op(i) != WEFT_OP_WRITE && mix_op(i) != WEFT_OP_READ;
	duo_meet(&e, !duo_side);
	while (done < MIX || taken < expected) {
		while (posted < MIX && posted - first < MIX_LAG && weft_qp_send_room(e.qp))
			mix_post(&e, posted++, duo_side);
		if (duo_try(e.scq, &c)) {
			need_eq(0, c.status);
			need(c.wr_id < posted && !sent[c.wr_id]);
			sent[c.wr_id] = 1;
			done++;
			while (first < posted && sent[first])
				first++;
		}
		if (duo_try(e.rcq, &c)) {
			mix_take_recv(&e, &c, seen);
			taken++;
		}
		duo_at(DUO_AT);
	}
	duo_sync();
	/* What was read last into each place. */
	for (uint32_t i = MIX - MIX_LAG; i < MIX; i++) {
		size_t at = (size_t)i % MIX_LAG * MIX_AREA;
		static uint8_t all[PART];

		if (mix_op(i) != WEFT_OP_READ)
			continue;
		duo_fill(all, PART, 1000 + !duo_side);
		need(!memcmp(e.buf + READ * (size_t)PART + at, all + at, mix_len(i, MIX_AREA)));
	}
	duo_none(e.scq);
	duo_none(e.rcq);
	duo_sync();
	duo_close(&e);
}

/* Within one process */

static void self_ops(struct duo_end *e, struct weft_cq *rcq)
{
	struct weft_wr wr;
	struct weft_cqe c;

	duo_fill(e->buf, 100000, 3);
	for (uint32_t round = 0; round < 3; round++) {
		uint32_t len = round == 0 ? 1 : round == 1 ? 8928 : 0;

		memset(e->buf + 200000, 0, 200000);
		wr = duo_wr(e, 5, WEFT_OP_SEND_IMM, 0, len, 0);
		duo_do(e, &wr, 0);
		c = duo_next(rcq);
		need_eq(0, c.status);
		need_eq(len, c.byte_len);
		need_eq(weft_qp_number(e->qp), c.src_qpn);
		need_eq(weft_ah_number(e->ah), c.ahn);
		duo_check(e->buf + 200000, len, 3);
		wr = duo_wr(e, 6, WEFT_OP_WRITE, 0, 100000, 300000);
		duo_do(e, &wr, 0);
		duo_check(e->buf + 300000, 100000, 3);
		wr = duo_wr(e, 7, WEFT_OP_READ, 500000, 100000, 0);
		duo_do(e, &wr, 0);
		duo_check(e->buf + 500000, 100000, 3);
		wr = duo_wr(e, 8, WEFT_OP_WRITE_IMM, 0, len, 700000);
		duo_do(e, &wr, 0);
		c = duo_next(rcq);
		need_eq(WEFT_CQE_RECV_WRITE_IMM, c.op);
		need_eq(len, c.byte_len);
	}
}

static void self_same_qp(void)
{
	struct duo_end e;
	struct duo_addr addr;

	duo_open(&e, NULL);
	addr = duo_addr_of(&e, e.qp);
	duo_target(&e, &addr);
	for (uint32_t i = 0; i < 6; i++)
		duo_recv(&e, i, 200000, 8928);
	self_ops(&e, e.rcq);
	duo_close(&e);
}

static void self_two_qps(void)
{
	struct duo_end e;
	struct duo_addr addr;
	struct weft_qp *other;

	duo_open(&e, NULL);
	other = duo_qp(&e, WEFT_QPS_RTS);
	addr = duo_addr_of(&e, other);
	duo_target(&e, &addr);
	for (uint32_t i = 0; i < 6; i++)
		duo_recv_(DUO_AT, &e, other, i, 200000, 8928);
	self_ops(&e, e.rcq);
	need_ok(weft_qp_destroy(other));
	duo_close(&e);
}

/* Two cards of one process are two hosts' worth of device, on one address. */
static void self_two_cards(void)
{
	struct duo_end e;
	struct duo_addr addr;
	struct weft_card *card;
	struct weft_pd *pd;
	struct weft_cq *cq;
	struct weft_mr *mr;
	struct weft_qp *qp;
	uint32_t depth = 64;
	struct weft_qp_attr attr = { .type = WEFT_QP_SRD,
				     .max_send_wr = 32,
				     .max_recv_wr = 32,
				     .max_send_sge = 1,
				     .max_recv_sge = 1 };
	struct weft_recv_wr recv = { .wr_id = 9, .sge_len = 1 };
	static uint8_t mem[8192];
	struct weft_wr wr;
	struct weft_cqe c;

	duo_open(&e, NULL);
	need_ok(weft_card_open(1, &card));
	need(card != e.card);
	need_ok(weft_pd_create(card, &pd));
	need_ok(weft_cq_create(card, &depth, NULL, NULL, &cq));
	attr.send_cq = attr.recv_cq = cq;
	need_ok(weft_qp_create(pd, &attr, &qp));
	duo_qp_to(qp, WEFT_QPS_RTS);
	need_ok(weft_mr_create(pd, mem, sizeof(mem), (uintptr_t)mem, 7, &mr));
	recv.sge[0] = (struct weft_sge){ (uintptr_t)mem, 4096, mr->lkey };
	need_ok(weft_qp_post_recv(qp, &recv, 1));
	addr = (struct duo_addr){ .gid = weft_card_info(card)->gid,
				  .qpn = weft_qp_number(qp),
				  .qkey = DUO_QKEY,
				  .rkey = mr->rkey,
				  .addr = (uintptr_t)mem };
	duo_target(&e, &addr);
	duo_fill(e.buf, 4096, 4);
	wr = duo_wr(&e, 1, WEFT_OP_SEND, 0, 4096, 0);
	duo_post(e.qp, &wr);
	c = duo_next(cq);
	need_eq(9, c.wr_id);
	need_eq(WEFT_DEV_AHN_UNKNOWN, c.ahn);
	need(!memcmp(&c.gid, &weft_card_info(e.card)->gid, sizeof(c.gid)));
	duo_done(e.scq, 1, 0);
	duo_check(mem, 4096, 4);
	/* Objects of one card mean nothing to the other. */
	attr.recv_cq = e.rcq;
	need_eq(-EINVAL, weft_qp_create(pd, &attr, &qp));
	wr = duo_wr(&e, 2, WEFT_OP_READ, 8192, 4096, 0);
	duo_do(&e, &wr, 0); /* By the second card's helper, since nobody polls it. */
	duo_check(e.buf + 8192, 4096, 4);
	exit(0); /* As it is. */
}

const struct duo_case link_ops_cases[] = {
	{ .name = "ops_send__all_sizes", .side = { srd_sends, srd_sends } },
	{ .name = "ops_send__small_packets",
	  .side = { srd_sends, srd_sends },
	  .env = "WEFT_MTU=1500",
	  .wires = DUO_UDP },
	{ .name = "ops_ud__all_sizes", .side = { ud_sends, ud_sends } },
	{ .name = "ops_ud__small_packets",
	  .side = { ud_sends, ud_sends },
	  .env = "WEFT_MTU=1500",
	  .wires = DUO_UDP },
	{ .name = "ops_write__all_sizes", .side = { writes, writes } },
	{ .name = "ops_write__small_packets",
	  .side = { writes, writes },
	  .env = "WEFT_MTU=1500",
	  .wires = DUO_UDP },
	{ .name = "ops_read__all_sizes", .side = { reads, reads } },
	{ .name = "ops_read__small_packets",
	  .side = { reads, reads },
	  .env = "WEFT_MTU=1500",
	  .wires = DUO_UDP },
	{ .name = "ops_write_imm__all_sizes",
	  .side = { write_imms_solicited, write_imms_solicited } },
	{ .name = "ops_write_imm__unsolicited",
	  .side = { write_imms_unsolicited, write_imms_unsolicited } },
	{ .name = "ops_write_imm__small_packets",
	  .side = { write_imms_solicited, write_imms_solicited },
	  .env = "WEFT_MTU=1500",
	  .wires = DUO_UDP },
	{ .name = "ops_rdma__64_mb", .side = { long_rdma, long_rdma } },
	{ .name = "ops_rdma__one_gib_and_more", .side = { longest_rdma, longest_rdma } },
	{ .name = "ops_mix__both_ways", .side = { mix, mix } },
	{ .name = "ops_mix__one_percent_lost",
	  .side = { mix, mix },
	  .env = "WEFT_LOSS=1% WEFT_MTU=1500",
	  .wires = DUO_UDP },
	{ .name = "ops_mix__no_offload",
	  .side = { mix, mix },
	  .env = "WEFT_GSO=no WEFT_GRO=no WEFT_MTU=9000",
	  .wires = DUO_UDP },
	{ .name = "ops_mix__many_paths",
	  .side = { mix, mix },
	  .env = "WEFT_PATHS=16 WEFT_MTU=4096",
	  .wires = DUO_UDP },
	{ .name = "ops_self__same_qp", .side = { self_same_qp } },
	{ .name = "ops_self__two_qps", .side = { self_two_qps } },
	{ .name = "ops_self__two_cards", .side = { self_two_cards }, .env = "WEFT_CARDS=2" },
	{ .name = NULL },
};
