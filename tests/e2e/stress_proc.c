/* SPDX-License-Identifier: BSD-2-Clause */
/* One process of the stress test.
 *
 * What it does to others, from each of its QPs (STRESS_OPS at a time):
 *	SEND, with and without immediate	0 to 8928 bytes, through ibv_post_send() or ibv_wr_*()
 *	READ		any part of the peer's fixed pattern, compared
 *	WRITE		into this QP's own place in the peer's region; read back and compared
 *	WRITE_IMM	the same place; the peer compares it and says so in the shared page
 * What it checks of what others do to it: content, length, immediate, the sender's QPN and address handle as the
 * completion names them, and that each message comes exactly once: messages from one QP to another are
 * numbered, and their numbers are marked off. In the end the number of messages that senders saw complete has to be
 * the number that came. */
#define _GNU_SOURCE
#include "stress.h"

#include <errno.h>
#include <infiniband/efadv.h>
#include <infiniband/verbs.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MSG_MAX   8928u
#define PLACE_MAX 65536u /* Longest WRITE, and READ. */
#define PATTERN   (1u << 20) /* Fixed bytes at the start of each region. */
#define OPS       12u /* At a time, of one QP. */
#define RECVS     96u
#define QKEY      0x11111111u
#define MAGIC     0x77656674u
#define WINDOW    8192u /* Numbers that may be missing behind the highest one seen. */

/* Newer than Debian's header. */
#define CAPS_RDMA_WRITE 8u

enum what {
	OP_FREE,
	OP_SEND,
	OP_READ,
	OP_WRITE,
	OP_READ_BACK, /* What a WRITE has written. */
	OP_WRITE_IMM,
};

struct head {
	uint32_t magic, from, to, number, len, sum;
};

struct op {
	enum what what;
	uint32_t to; /* Which QP of all. */
	uint32_t len;
	uint64_t offset; /* READ: where in the pattern. */
	uint64_t seed;
	uint8_t *buf;
};

struct track { /* Of messages from one QP to another. */
	uint32_t base; /* All below have come. */
	uint64_t bits[WINDOW / 64];
};

struct qp {
	struct ibv_qp *qp;
	struct ibv_qp_ex *ex;
	struct card *card;
	uint32_t id; /* Among all. */
	uint32_t busy;
	struct op op[OPS];
	uint8_t *recv;
	uint32_t *next_number; /* By receiving QP. */
	uint32_t *imm_number; /* By target process: of the last WRITE into our place there. */
	bool *place_busy;
	struct track **track; /* By sending QP. */
	uint64_t recvs;
	struct { /* Fan: answers that could not be sent at once. */
		uint32_t to, count;
	} owed;
};

struct card {
	struct ibv_context *context;
	struct ibv_pd *pd;
	struct ibv_cq *send_cq;
	struct ibv_cq_ex *recv_cq;
	struct ibv_mr *mr, *region_mr;
	uint8_t *mem, *region;
	struct ibv_ah **ah; /* By card of all. */
	uint16_t *ahn;
	struct qp *qp;
};

static struct stress_shared *shared;
static const struct stress_conf *conf;
static struct stress_count *count;
static uint32_t self, cards_all, qps_all, can_write;
static struct card *card;
static uint64_t dice;
static uint64_t progress_at; /* Seconds. */

static uint64_t chance(void)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return dice * 0x2545f4914f6cdd1dull;
}

static uint64_t seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec;
}

__attribute__((format(printf, 1, 2))) static void wrong(const char *format, ...)
{
	char text[256];
	va_list args;

	if (count->errors++ > 8)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "stress: process %u: %s\n", self, text);
}

__attribute__((noreturn)) static void fatal(const char *what)
{
	fprintf(stderr, "stress: process %u: %s: %s\n", self, what, strerror(errno));
	atomic_store(&shared->failed, 1);
	exit(1);
}

static void *zeros(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	if (!p)
		fatal("memory");
	return p;
}

static uint32_t proc_of(uint32_t qp)
{
	return qp / conf->qps / conf->cards;
}

/* Content */

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static void fill(uint8_t *p, uint32_t len, uint64_t seed)
{
	uint32_t i = 0;

	for (; i + 8 <= len; i += 8) {
		uint64_t v = (seed + i) * 0x9e3779b97f4a7c15ull;

		memcpy(p + i, &v, 8);
	}
	for (; i < len; i++)
		p[i] = (uint8_t)(seed + i);
}

static bool is_filled(const uint8_t *p, uint32_t len, uint64_t seed)
{
	uint32_t i = 0;

	for (; i + 8 <= len; i += 8) {
		uint64_t v = (seed + i) * 0x9e3779b97f4a7c15ull;

		if (memcmp(p + i, &v, 8) != 0)
			return false;
	}
	for (; i < len; i++) {
		if (p[i] != (uint8_t)(seed + i))
			return false;
	}
	return true;
}

static uint64_t message_seed(uint32_t from, uint32_t to, uint32_t number)
{
	return mix(conf->seed ^ ((uint64_t)from << 40) ^ ((uint64_t)to << 20) ^ number);
}

/* A message without room for a head: all that is known of it is its length. */
static uint64_t short_seed(uint32_t len)
{
	return mix(conf->seed + len);
}

static void write_message(uint8_t *p, uint32_t len, uint32_t from, uint32_t to, uint32_t number)
{
	struct head h = { .magic = MAGIC, .from = from, .to = to, .number = number, .len = len };

	memcpy(p, &h, sizeof(h));
	fill(p + sizeof(h), len - (uint32_t)sizeof(h), message_seed(from, to, number));
}

static bool read_message(const uint8_t *p, uint32_t len, struct head *h)
{
	if (len < sizeof(*h))
		return false;
	memcpy(h, p, sizeof(*h));
	return h->magic == MAGIC && h->len == len && h->from < qps_all && h->to < qps_all &&
	       is_filled(p + sizeof(*h), len - (uint32_t)sizeof(*h),
			 message_seed(h->from, h->to, h->number));
}

static void mark(struct qp *qp, uint32_t from, uint32_t number)
{
	struct track *t = qp->track[from];

	if (!t)
		t = qp->track[from] = zeros(1, sizeof(*t));
	if (number < t->base || number - t->base >= WINDOW ||
	    t->bits[number % WINDOW / 64] & (1ull << (number % 64))) {
		wrong("message %u of qp %u came twice (or far out of order; base %u)", number, from,
		      t->base);
		return;
	}
	t->bits[number % WINDOW / 64] |= 1ull << (number % 64);
	while (t->bits[t->base % WINDOW / 64] & (1ull << (t->base % 64))) {
		t->bits[t->base % WINDOW / 64] &= ~(1ull << (t->base % 64));
		t->base++;
	}
}

/* Set-up and end */

static void open_qp(struct card *c, struct qp *qp, uint32_t id, uint8_t *mem)
{
	struct ibv_qp_init_attr_ex attr = {
		.cap = { .max_send_wr = OPS,
			 .max_recv_wr = RECVS,
			 .max_send_sge = 1,
			 .max_recv_sge = 1 },
		.qp_type = IBV_QPT_DRIVER,
		.send_cq = c->send_cq,
		.recv_cq = ibv_cq_ex_to_cq(c->recv_cq),
		.pd = c->pd,
		.comp_mask = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS,
		.send_ops_flags = IBV_QP_EX_WITH_SEND | IBV_QP_EX_WITH_SEND_WITH_IMM |
				  IBV_QP_EX_WITH_RDMA_READ,
		.sq_sig_all = 1,
	};
	struct efadv_qp_init_attr efa = { .driver_qp_type = EFADV_QP_DRIVER_TYPE_SRD };
	struct ibv_qp_attr to = {
		.qp_state = IBV_QPS_INIT, .port_num = 1, .qkey = QKEY, .rnr_retry = 7, .sq_psn = id
	};

	if (can_write)
		attr.send_ops_flags |=
			IBV_QP_EX_WITH_RDMA_WRITE | IBV_QP_EX_WITH_RDMA_WRITE_WITH_IMM;
	qp->card = c;
	qp->id = id;
	qp->qp = efadv_create_qp_ex(c->context, &attr, &efa, sizeof(efa));
	if (!qp->qp)
		fatal("efadv_create_qp_ex");
	qp->ex = ibv_qp_to_qp_ex(qp->qp);
	errno = ibv_modify_qp(qp->qp, &to,
			      IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY);
	if (errno)
		fatal("to INIT");
	to.qp_state = IBV_QPS_RTR;
	errno = ibv_modify_qp(qp->qp, &to, IBV_QP_STATE);
	if (errno)
		fatal("to RTR");
	to.qp_state = IBV_QPS_RTS;
	errno = ibv_modify_qp(qp->qp, &to, IBV_QP_STATE | IBV_QP_SQ_PSN | IBV_QP_RNR_RETRY);
	if (errno)
		fatal("to RTS");
	for (uint32_t i = 0; i < OPS; i++, mem += PLACE_MAX)
		qp->op[i].buf = mem;
	qp->recv = mem;
	qp->next_number = zeros(qps_all, sizeof(*qp->next_number));
	qp->imm_number = zeros(conf->procs, sizeof(*qp->imm_number));
	qp->place_busy = zeros(conf->procs * conf->cards, sizeof(*qp->place_busy));
	qp->track = zeros(qps_all, sizeof(*qp->track));
	shared->qpn[id] = (uint16_t)qp->qp->qp_num;
}

static void post_recv(struct qp *qp, uint32_t slot)
{
	struct ibv_sge sge = {
		.addr = (uintptr_t)qp->recv + (size_t)slot * MSG_MAX,
		.length = MSG_MAX,
		.lkey = qp->card->mr->lkey,
	};
	struct ibv_recv_wr wr = { .wr_id = slot, .sg_list = &sge, .num_sge = 1 }, *bad;
	int err = ibv_post_recv(qp->qp, &wr, &bad);

	if (err)
		wrong("ibv_post_recv: %s", strerror(err));
}

static size_t qp_memory(void)
{
	return (size_t)OPS * PLACE_MAX + (size_t)RECVS * MSG_MAX;
}

/* The pattern, then a place for each QP of all: fan mode writes nothing. */
static size_t region_size(void)
{
	return PATTERN + (conf->fan ? 0 : (size_t)qps_all * PLACE_MAX);
}

static uint64_t pattern_seed(uint32_t proc)
{
	return mix(conf->seed * 31 + proc);
}

static void open_card(struct card *c, uint32_t index, struct ibv_device *device)
{
	struct efadv_cq_init_attr efa = { .wc_flags = EFADV_WC_EX_WITH_SGID };
	struct ibv_cq_init_attr_ex attr = {
		.cqe = conf->qps * RECVS,
		.wc_flags = IBV_WC_STANDARD_FLAGS,
	};
	struct efadv_device_attr device_attr;
	struct stress_card *public = &shared->card[self * conf->cards + index];
	union ibv_gid gid;

	c->context = ibv_open_device(device);
	if (!c->context)
		fatal("ibv_open_device");
	if (efadv_query_device(c->context, &device_attr, sizeof(device_attr)))
		fatal("efadv_query_device");
	can_write = device_attr.device_caps & CAPS_RDMA_WRITE && !conf->fan;
	if (ibv_query_gid(c->context, 1, 0, &gid))
		fatal("ibv_query_gid");
	c->pd = ibv_alloc_pd(c->context);
	c->send_cq = ibv_create_cq(c->context, (int)(conf->qps * OPS), NULL, NULL, 0);
	c->recv_cq = efadv_create_cq(c->context, &attr, &efa, sizeof(efa));
	if (!c->pd || !c->send_cq || !c->recv_cq)
		fatal("PD and CQs");
	c->mem = zeros(conf->qps, qp_memory());
	c->region = zeros(1, region_size());
	fill(c->region, PATTERN, pattern_seed(self));
	c->mr = ibv_reg_mr(c->pd, c->mem, conf->qps * qp_memory(), IBV_ACCESS_LOCAL_WRITE);
	c->region_mr = ibv_reg_mr(c->pd, c->region, region_size(),
				  IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ |
					  (can_write ? IBV_ACCESS_REMOTE_WRITE : 0));
	if (!c->mr || !c->region_mr)
		fatal("ibv_reg_mr");
	memcpy(public->gid, gid.raw, sizeof(public->gid));
	public->addr = (uintptr_t)c->region;
	public->rkey = c->region_mr->rkey;
	c->ah = zeros(cards_all, sizeof(*c->ah));
	c->ahn = zeros(cards_all, sizeof(*c->ahn));
	c->qp = zeros(conf->qps, sizeof(*c->qp));
	for (uint32_t i = 0; i < conf->qps; i++) {
		struct qp *qp = &c->qp[i];

		open_qp(c, qp, (self * conf->cards + index) * conf->qps + i,
			c->mem + i * qp_memory());
		for (uint32_t k = 0; k < RECVS; k++)
			post_recv(qp, k);
	}
}

static struct ibv_ah *handle(struct card *c, uint32_t to)
{
	uint32_t at = to / conf->qps;
	struct ibv_ah_attr attr = { .is_global = 1, .port_num = 1 };
	struct efadv_ah_attr number;

	if (c->ah[at])
		return c->ah[at];
	memcpy(attr.grh.dgid.raw, shared->card[at].gid, sizeof(attr.grh.dgid.raw));
	c->ah[at] = ibv_create_ah(c->pd, &attr);
	if (!c->ah[at])
		fatal("ibv_create_ah");
	if (efadv_query_ah(c->ah[at], &number, sizeof(number)))
		fatal("efadv_query_ah");
	c->ahn[at] = number.ahn;
	return c->ah[at];
}

static void must(int err, const char *what)
{
	if (err)
		wrong("%s: %s", what, strerror(err));
}

static void close_card(struct card *c)
{
	for (uint32_t i = 0; i < conf->qps; i++)
		must(ibv_destroy_qp(c->qp[i].qp), "ibv_destroy_qp");
	for (uint32_t i = 0; i < cards_all; i++) {
		if (c->ah[i])
			must(ibv_destroy_ah(c->ah[i]), "ibv_destroy_ah");
	}
	must(ibv_destroy_cq(c->send_cq), "ibv_destroy_cq");
	must(ibv_destroy_cq(ibv_cq_ex_to_cq(c->recv_cq)), "ibv_destroy_cq");
	must(ibv_dereg_mr(c->mr), "ibv_dereg_mr");
	must(ibv_dereg_mr(c->region_mr), "ibv_dereg_mr");
	must(ibv_dealloc_pd(c->pd), "ibv_dealloc_pd");
	must(ibv_close_device(c->context), "ibv_close_device");
}

/* Requests */

static struct op *free_op(struct qp *qp)
{
	for (uint32_t i = 0; i < OPS; i++) {
		if (qp->op[i].what == OP_FREE)
			return &qp->op[i];
	}
	return NULL;
}

static uint64_t cookie(const struct qp *qp, const struct op *op)
{
	return ((uint64_t)qp->id << 32) | (uint64_t)(op - qp->op);
}

static void posted(struct qp *qp, struct op *op, enum what what, int err)
{
	if (err) {
		wrong("posting a %d: %s", (int)what, strerror(err));
		return;
	}
	if (op->what == OP_FREE)
		qp->busy++;
	op->what = what;
}

static uint32_t any_length(uint32_t most)
{
	switch (chance() % 8) {
	case 0:
		return (uint32_t)(chance() % 64);
	case 1:
		return most - (uint32_t)(chance() % 3);
	case 2:
	case 3:
		return (uint32_t)(chance() % (most + 1));
	default:
		return (uint32_t)(chance() % (most / 8));
	}
}

static void post_wr(struct qp *qp, struct op *op, uint64_t raddr, uint32_t imm, enum what what)
{
	const struct stress_card *peer = &shared->card[op->to / conf->qps];
	struct ibv_qp_ex *ex = qp->ex;

	ibv_wr_start(ex);
	ex->wr_id = cookie(qp, op);
	switch (what) {
	case OP_SEND:
		if (imm)
			ibv_wr_send_imm(ex, htobe32(imm));
		else
			ibv_wr_send(ex);
		break;
	case OP_READ:
	case OP_READ_BACK:
		ibv_wr_rdma_read(ex, peer->rkey, raddr);
		break;
	case OP_WRITE:
		ibv_wr_rdma_write(ex, peer->rkey, raddr);
		break;
	case OP_WRITE_IMM:
		ibv_wr_rdma_write_imm(ex, peer->rkey, raddr, htobe32(imm));
		break;
	case OP_FREE:
		break;
	}
	ibv_wr_set_sge(ex, qp->card->mr->lkey, (uintptr_t)op->buf, op->len);
	ibv_wr_set_ud_addr(ex, handle(qp->card, op->to), shared->qpn[op->to], QKEY);
	posted(qp, op, what, ibv_wr_complete(ex));
}

static void post_send(struct qp *qp, struct op *op, uint32_t to, uint32_t len)
{
	uint32_t imm = chance() & 1 ? qp->id + 1 : 0;

	op->to = to;
	op->len = len;
	if (len < sizeof(struct head))
		fill(op->buf, len, short_seed(len));
	else
		write_message(op->buf, len, qp->id, to, qp->next_number[to]++);
	if (chance() & 1) {
		struct ibv_sge sge = { (uintptr_t)op->buf, len, qp->card->mr->lkey };
		struct ibv_send_wr wr = {
			.wr_id = cookie(qp, op),
			.sg_list = &sge,
			.num_sge = len ? 1 : 0,
			.opcode = imm ? IBV_WR_SEND_WITH_IMM : IBV_WR_SEND,
			.send_flags = IBV_SEND_SIGNALED,
			.imm_data = htobe32(imm),
			.wr.ud = { .ah = handle(qp->card, to), .remote_qpn = shared->qpn[to], .remote_qkey = QKEY },
		}, *bad;

		posted(qp, op, OP_SEND, ibv_post_send(qp->qp, &wr, &bad));
	} else {
		post_wr(qp, op, 0, imm, OP_SEND);
	}
}

static void post_read(struct qp *qp, struct op *op, uint32_t to)
{
	op->to = to;
	op->len = any_length(PLACE_MAX);
	op->offset = chance() % (PATTERN - op->len) & ~7ull;
	memset(op->buf, 0, op->len);
	post_wr(qp, op, shared->card[to / conf->qps].addr + op->offset, 0, OP_READ);
}

static uint64_t place(const struct qp *qp, uint32_t to)
{
	return shared->card[to / conf->qps].addr + PATTERN + (uint64_t)qp->id * PLACE_MAX;
}

static void post_write(struct qp *qp, struct op *op, uint32_t to)
{
	uint32_t proc = proc_of(to), at = to / conf->qps;
	bool with_imm = chance() & 1;

	if (qp->place_busy[at] ||
	    atomic_load(&shared->checked[proc][qp->id]) != qp->imm_number[proc]) {
		post_read(qp, op, to);
		return;
	}
	qp->place_busy[at] = true;
	op->to = to;
	op->len = any_length(PLACE_MAX);
	if (op->len < sizeof(struct head))
		op->len = sizeof(struct head);
	if (with_imm) {
		write_message(op->buf, op->len, qp->id, to, ++qp->imm_number[proc]);
		post_wr(qp, op, place(qp, to), qp->id, OP_WRITE_IMM);
	} else {
		op->seed = chance();
		fill(op->buf, op->len, op->seed);
		post_wr(qp, op, place(qp, to), 0, OP_WRITE);
	}
}

static void post_any(struct qp *qp)
{
	struct op *op = free_op(qp);
	uint32_t to = (uint32_t)(chance() % qps_all);

	if (!op)
		return;
	switch (chance() % 8) {
	case 0:
	case 1:
		post_read(qp, op, to);
		break;
	case 2:
	case 3:
		if (can_write) {
			post_write(qp, op, to);
			break;
		}
		/* fall through */
	default:
		post_send(qp, op, to, any_length(MSG_MAX));
		break;
	}
}

/* Completions */

static void sent(struct qp *qp, struct op *op)
{
	uint32_t at = op->to / conf->qps;

	switch (op->what) {
	case OP_SEND:
		count->sends++;
		count->send_bytes += op->len;
		atomic_fetch_add(&shared->sent_to[op->to], 1);
		break;
	case OP_READ:
		count->reads++;
		count->read_bytes += op->len;
		/* The content at an offset depends on the offset only for whole words. */
		if (!is_filled(op->buf, op->len & ~7u, pattern_seed(proc_of(op->to)) + op->offset))
			wrong("READ of %u bytes brought other bytes", op->len);
		break;
	case OP_WRITE:
		count->writes++;
		count->write_bytes += op->len;
		memset(op->buf, 0, op->len);
		post_wr(qp, op, place(qp, op->to), 0, OP_READ_BACK);
		return;
	case OP_READ_BACK:
		if (!is_filled(op->buf, op->len, op->seed))
			wrong("WRITE of %u bytes left other bytes", op->len);
		qp->place_busy[at] = false;
		break;
	case OP_WRITE_IMM:
		count->writes++;
		count->wimms++;
		count->write_bytes += op->len;
		qp->place_busy[at] = false;
		atomic_fetch_add(&shared->sent_to[op->to], 1);
		break;
	case OP_FREE:
		wrong("completion of nothing");
		return;
	}
	op->what = OP_FREE;
	qp->busy--;
}

static struct qp *qp_by_number(struct card *c, uint32_t qpn)
{
	for (uint32_t i = 0; i < conf->qps; i++) {
		if (c->qp[i].qp->qp_num == qpn)
			return &c->qp[i];
	}
	return NULL;
}

static uint32_t poll_sends(struct card *c)
{
	struct ibv_wc wc[16];
	int n = ibv_poll_cq(c->send_cq, 16, wc);

	if (n < 0) {
		wrong("ibv_poll_cq: %d", n);
		return 0;
	}
	for (int i = 0; i < n; i++) {
		struct qp *qp = &c->qp[(wc[i].wr_id >> 32) % conf->qps];
		struct op *op = &qp->op[wc[i].wr_id & 0xffffffff];

		if (wc[i].wr_id >> 32 != qp->id || (wc[i].wr_id & 0xffffffff) >= OPS ||
		    wc[i].qp_num != qp->qp->qp_num) {
			wrong("completion with wr_id %llx on qp %x",
			      (unsigned long long)wc[i].wr_id, wc[i].qp_num);
			continue;
		}
		if (wc[i].status) {
			wrong("operation %d of %u bytes to qp %u: status %d (%s), vendor error %u",
			      (int)op->what, op->len, op->to, (int)wc[i].status,
			      ibv_wc_status_str(wc[i].status), wc[i].vendor_err);
			qp->place_busy[op->to / conf->qps] = false;
			op->what = OP_FREE;
			qp->busy--;
			continue;
		}
		sent(qp, op);
	}
	return (uint32_t)n;
}

static void came_write(struct qp *qp, uint32_t from, uint32_t len)
{
	struct head h;

	if (from >= qps_all) {
		wrong("immediate %u", from);
		return;
	}
	if (!read_message(qp->card->region + PATTERN + (size_t)from * PLACE_MAX, len, &h) ||
	    h.from != from || h.to != qp->id)
		wrong("WRITE with immediate of %u bytes from qp %u left other bytes", len, from);
	else if (atomic_load(&shared->checked[self][from]) + 1 != h.number)
		wrong("WRITE %u with immediate from qp %u came twice", h.number, from);
	atomic_store(&shared->checked[self][from], h.number);
}

static void came_send(struct card *c, struct qp *qp, const uint8_t *p, uint32_t len, uint32_t imm)
{
	struct ibv_cq_ex *cq = c->recv_cq;
	struct head h;
	uint32_t at, slid = ibv_wc_read_slid(cq), src_qp = ibv_wc_read_src_qp(cq);

	if (len < sizeof(h)) {
		if (!is_filled(p, len, short_seed(len)))
			wrong("SEND of %u bytes brought other bytes", len);
		return;
	}
	if (!read_message(p, len, &h) || h.to != qp->id) {
		wrong("SEND of %u bytes from qp %x brought other bytes", len, src_qp);
		return;
	}
	mark(qp, h.from, h.number);
	if (imm && imm != h.from + 1)
		wrong("immediate %u from qp %u", imm, h.from);
	if (src_qp != shared->qpn[h.from])
		wrong("sender's qpn %x, expected %x", src_qp, shared->qpn[h.from]);
	at = h.from / conf->qps;
	if (slid != 0xffff || !conf->fan) {
		if (!c->ah[at] || slid != c->ahn[at])
			wrong("sender's address handle %x, expected %x", slid, c->ahn[at]);
	} else {
		union ibv_gid gid;

		if (efadv_wc_read_sgid(efadv_cq_from_ibv_cq_ex(cq), &gid) ||
		    memcmp(gid.raw, shared->card[at].gid, sizeof(gid.raw)) != 0)
			wrong("sender's address is not that of qp %u", h.from);
	}
	if (conf->fan && self) { /* Answer. */
		qp->owed.to = h.from;
		qp->owed.count++;
	}
}

static void came(struct card *c)
{
	struct ibv_cq_ex *cq = c->recv_cq;
	struct qp *qp = qp_by_number(c, ibv_wc_read_qp_num(cq));
	uint32_t slot = (uint32_t)cq->wr_id, len = ibv_wc_read_byte_len(cq), imm = 0;

	if (!qp || slot >= RECVS) {
		wrong("receive %u on qp %x", slot, ibv_wc_read_qp_num(cq));
		return;
	}
	if (cq->status) {
		wrong("receive: status %d", (int)cq->status);
	} else {
		count->recvs++;
		qp->recvs++;
		if (ibv_wc_read_wc_flags(cq) & IBV_WC_WITH_IMM)
			imm = be32toh(ibv_wc_read_imm_data(cq));
		if (ibv_wc_read_opcode(cq) == IBV_WC_RECV_RDMA_WITH_IMM)
			came_write(qp, imm, len);
		else
			came_send(c, qp, qp->recv + (size_t)slot * MSG_MAX, len, imm);
	}
	post_recv(qp, slot);
}

static uint32_t poll_recvs(struct card *c)
{
	struct ibv_poll_cq_attr attr = { 0 };
	uint32_t n = 0;
	int err = ibv_start_poll(c->recv_cq, &attr);

	if (err == ENOENT)
		return 0;
	if (err) {
		wrong("ibv_start_poll: %s", strerror(err));
		return 0;
	}
	do {
		came(c);
		n++;
	} while (n < 64 && (err = ibv_next_poll(c->recv_cq)) == 0);
	ibv_end_poll(c->recv_cq);
	return n;
}

static void pay(struct qp *qp)
{
	while (qp->owed.count) {
		struct op *op = free_op(qp);

		if (!op)
			return;
		post_send(qp, op, qp->owed.to, (uint32_t)(sizeof(struct head) + chance() % 2000));
		qp->owed.count--;
	}
}

static uint32_t poll_all(void)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < conf->cards; i++) {
		n += poll_sends(&card[i]) + poll_recvs(&card[i]);
		for (uint32_t k = 0; conf->fan && k < conf->qps; k++)
			pay(&card[i].qp[k]);
	}
	if (n) {
		progress_at = seconds();
	} else {
		sched_yield();
		if (seconds() > progress_at + 30) {
			errno = ETIMEDOUT;
			fatal("nothing happens");
		}
	}
	if (atomic_load(&shared->failed))
		exit(1);
	return n;
}

static void barrier(uint32_t which)
{
	atomic_fetch_add(&shared->arrived[which], 1);
	progress_at = seconds();
	while (atomic_load(&shared->arrived[which]) < conf->procs) {
		poll_all();
		progress_at = seconds();
	}
}

static bool is_quiet(void)
{
	for (uint32_t i = 0; i < conf->cards; i++) {
		for (uint32_t k = 0; k < conf->qps; k++) {
			if (card[i].qp[k].busy || card[i].qp[k].owed.count)
				return false;
		}
	}
	return true;
}

static void all_to_all(void)
{
	uint64_t end = seconds() + conf->seconds;

	while (seconds() < end) {
		for (uint32_t k = 0; k < conf->qps; k++) {
			struct qp *qp = &card[0].qp[k];

			for (uint32_t burst = (uint32_t)(chance() % 4); burst && qp->busy < OPS;
			     burst--)
				post_any(qp);
		}
		poll_all();
	}
}

/* Process 0's first QP: a SEND to every other QP and a READ from its card, `rounds` times; and an answer to
 * each SEND is expected. */
static void fan(void)
{
	struct qp *qp = &card[0].qp[0];
	uint32_t first = conf->cards * conf->qps;
	uint64_t expected = (uint64_t)(qps_all - first) * conf->rounds;

	if (self)
		return;
	for (uint32_t round = 0; round < conf->rounds; round++) {
		for (uint32_t to = first; to < qps_all; to++) {
			while (qp->busy + 2 > OPS)
				poll_all();
			post_send(qp, free_op(qp), to,
				  (uint32_t)(sizeof(struct head) + chance() % 2000));
			post_read(qp, free_op(qp), to);
		}
	}
	while (qp->recvs < expected)
		poll_all();
}

static void check_counts(void)
{
	uint64_t end = seconds() + 10;

	for (uint32_t i = 0; i < conf->cards; i++) {
		for (uint32_t k = 0; k < conf->qps; k++) {
			struct qp *qp = &card[i].qp[k];
			uint64_t n = atomic_load(&shared->sent_to[qp->id]);

			while (qp->recvs < n && seconds() < end)
				poll_all();
			if (qp->recvs != n)
				wrong("qp %u got %llu messages of %llu", qp->id,
				      (unsigned long long)qp->recvs, (unsigned long long)n);
		}
	}
}

int stress_process(struct stress_shared *page, uint32_t number)
{
	struct ibv_device **list;
	int devices;

	shared = page;
	conf = &page->conf;
	self = number;
	count = &page->count[self];
	cards_all = conf->procs * conf->cards;
	qps_all = cards_all * conf->qps;
	dice = mix(conf->seed * 1000 + self) | 1;
	progress_at = seconds();
	list = ibv_get_device_list(&devices);
	if (!list || devices < (int)conf->cards)
		fatal("too few cards");
	card = zeros(conf->cards, sizeof(*card));
	for (uint32_t i = 0; i < conf->cards; i++)
		open_card(&card[i], i, list[i]);
	ibv_free_device_list(list);
	barrier(0);
	/* A completion names the handle that was there when the message came, so all are made before the first. */
	for (uint32_t i = 0; !conf->fan && i < cards_all; i++)
		handle(&card[0], i * conf->qps);
	barrier(1);
	if (conf->fan)
		fan();
	else
		all_to_all();
	while (!is_quiet())
		poll_all();
	barrier(2);
	while (!is_quiet()) /* Answers to what came last. */
		poll_all();
	barrier(3);
	check_counts();
	barrier(4);
	for (uint32_t i = 0; i < conf->cards; i++)
		close_card(&card[i]);
	return count->errors ? 1 : 0;
}
