/* SPDX-License-Identifier: BSD-2-Clause */
/* See pair.h. Packets wait in one list in the order of their arrival; what happens at the same time
 * happens in the order in which it was caused, so a run is the same every time. */
#include "pair.h"

#include "base/crc32c.h"

#include "unit.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Something has gone round in circles if one point in time takes this many steps. */
#define STEPS_MAX 200000u
/* No test needs as many packets: they answer each other. */
#define PACKETS_MAX 400000u

uint8_t pair_byte(uint32_t imm, uint32_t off)
{
	return (uint8_t)(imm * 37 + off * 131 + (off >> 8) * 7 + 1);
}

uint8_t pair_mem_byte(unsigned int id, uint64_t addr)
{
	return (uint8_t)(id * 59 + addr * 13 + (addr >> 8) * 3);
}

/* Callbacks of the owners */

static struct pair_recv *recv_at(struct pair_end *end, uint64_t recv)
{
	struct pair_recv *r;

	assert_in_range(recv, 1, end->recv_n);
	r = &end->recv[recv - 1];
	assert_false(r->done || r->released);
	return r;
}

static enum weft_srd_status claim_verdict(struct pair_end *end,
					  const struct weft_srd_msg_info *info)
{
	bool send = info->op == WEFT_SRD_SEND || info->op == WEFT_SRD_SEND_IMM;

	if (end->claim_status)
		return end->claim_status;
	if (info->dst_qpn == end->bad_qpn || (send && info->key != PAIR_QKEY))
		return WEFT_SRD_REMOTE_QPN;
	if (!end->recvs || info->dst_qpn == end->dry_qpn)
		return WEFT_SRD_RNR;
	return send && info->len > end->recv_len ? WEFT_SRD_REMOTE_LENGTH : WEFT_SRD_OK;
}

static enum weft_srd_status on_recv_claim(void *owner, const struct weft_srd_msg_info *info,
					  uint64_t *recv_out)
{
	struct pair_end *end = owner;
	enum weft_srd_status st = claim_verdict(end, info);
	struct pair_recv *r;

	assert_non_null(info->gid);
	assert_false(end->in_post);
	if (st) {
		end->claims_refused++;
		return st;
	}
	if (end->recvs != UINT32_MAX)
		end->recvs--;
	if (end->recv_n == end->recv_cap) {
		end->recv_cap = end->recv_cap ? 2 * end->recv_cap : 64;
		end->recv = realloc(end->recv, end->recv_cap * sizeof(*end->recv));
		assert_non_null(end->recv);
	}
	r = &end->recv[end->recv_n++];
	*r = (struct pair_recv){ .info = *info, .claimed_at = end->pair->now };
	r->info.gid = NULL;
	r->have = calloc(1, info->len + 1);
	assert_non_null(r->have);
	*recv_out = end->recv_n;
	return WEFT_SRD_OK;
}

static void check_bytes(uint32_t imm, uint32_t off, const uint8_t *data, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		if (data[i] != pair_byte(imm, off + i))
			fail_msg("imm %u: byte %u of the message is wrong", imm, off + i);
}

static void on_recv_place(void *owner, uint64_t recv, uint32_t off, const void *data, uint32_t len)
{
	struct pair_recv *r = recv_at(owner, recv);

	assert_true(len && off <= r->info.len && len <= r->info.len - off);
	check_bytes(r->info.imm, off, data, len);
	for (uint32_t i = 0; i < len; i++) {
		assert_int_equal(r->have[off + i], 0);
		r->have[off + i] = 1;
	}
	r->placed += len;
}

static void end_recv(struct pair_end *end, struct pair_recv *r)
{
	r->ended_at = end->pair->now;
	free(r->have);
	r->have = NULL;
}

static void check_info(const struct pair_recv *r, const struct weft_srd_msg_info *info)
{
	assert_int_equal(r->info.peer, info->peer);
	assert_int_equal(r->info.op, info->op);
	assert_int_equal(r->info.src_qpn, info->src_qpn);
	assert_int_equal(r->info.dst_qpn, info->dst_qpn);
	assert_int_equal(r->info.imm, info->imm);
	assert_int_equal(r->info.len, info->len);
}

static void on_recv_done(void *owner, uint64_t recv, const struct weft_srd_msg_info *info)
{
	struct pair_end *end = owner;
	struct pair_recv *r = recv_at(end, recv);

	check_info(r, info);
	if (info->op != WEFT_SRD_WRITE_IMM)
		assert_int_equal(r->placed, info->len);
	r->done = true;
	end->recv_done++;
	end_recv(end, r);
}

static void on_recv_release(void *owner, uint64_t recv, const struct weft_srd_msg_info *info)
{
	struct pair_end *end = owner;
	struct pair_recv *r = recv_at(end, recv);

	check_info(r, info);
	r->released = true;
	end->recv_released++;
	if (end->recvs != UINT32_MAX)
		end->recvs++;
	end_recv(end, r);
}

static bool is_in_memory(const struct weft_srd_msg_info *info)
{
	return info->addr >= PAIR_BASE && info->len <= PAIR_MEM &&
	       info->addr + info->len <= PAIR_BASE + PAIR_MEM;
}

static enum weft_srd_status on_write(void *owner, const struct weft_srd_msg_info *info,
				     uint32_t off, const void *data, uint32_t len)
{
	struct pair_end *end = owner;

	assert_true(off <= info->len && len <= info->len - off);
	if (end->write_status)
		return end->write_status;
	if (info->dst_qpn == end->bad_qpn)
		return WEFT_SRD_REMOTE_QPN;
	if (info->key != PAIR_RKEY || !is_in_memory(info))
		return WEFT_SRD_REMOTE_ADDRESS;
	check_bytes(info->imm, off, data, len);
	if (len)
		memcpy(end->mem + (info->addr - PAIR_BASE) + off, data, len);
	end->write_bytes += len;
	return WEFT_SRD_OK;
}

static enum weft_srd_status on_read_check(void *owner, const struct weft_srd_msg_info *info)
{
	struct pair_end *end = owner;

	if (end->read_checks_left)
		end->read_checks_left--;
	else if (end->read_status)
		return end->read_status;
	if (info->dst_qpn == end->bad_qpn)
		return WEFT_SRD_REMOTE_QPN;
	return info->key == PAIR_RKEY && is_in_memory(info) ? WEFT_SRD_OK : WEFT_SRD_REMOTE_ADDRESS;
}

static struct pair_wr *wr_at(struct pair_end *end, uint64_t cookie)
{
	assert_in_range(cookie, 0, end->wrs - 1);
	assert_false(end->wr[cookie].done || end->wr[cookie].orphan);
	return &end->wr[cookie];
}

static enum weft_srd_status on_read_place(void *owner, uint64_t cookie, uint32_t off,
					  const void *data, uint32_t len)
{
	struct pair_end *end = owner;
	struct pair_wr *wr = wr_at(end, cookie);
	const struct pair_end *there = &end->pair->end[wr->wr.peer];
	const uint8_t *want = there->mem + (wr->wr.addr - PAIR_BASE) + off;

	if (end->place_status)
		return end->place_status;
	assert_true(off <= wr->wr.len && len <= wr->wr.len - off);
	assert_memory_equal(data, want, len);
	wr->read_got += len;
	return WEFT_SRD_OK;
}

static void on_complete(void *owner, uint64_t cookie, enum weft_srd_status status)
{
	struct pair_end *end = owner;
	struct pair_wr *wr = wr_at(end, cookie);

	assert_false(end->in_post);
	wr->done = true;
	wr->status = status;
	wr->done_at = end->pair->now;
	end->done++;
	end->failed += status != WEFT_SRD_OK;
	if (wr->wr.op == WEFT_SRD_READ && status == WEFT_SRD_OK)
		assert_int_equal(wr->read_got, wr->wr.len);
}

static void copy_payload(struct pair_end *end, const struct weft_srd_payload *payload, uint8_t *out)
{
	const struct pair_wr *wr;

	switch (payload->kind) {
	case WEFT_SRD_PAYLOAD_NONE:
		assert_int_equal(payload->len, 0);
		return;
	case WEFT_SRD_PAYLOAD_WR:
		/* Buffers are the engine's until the completion, and not a moment longer. */
		wr = wr_at(end, payload->cookie);
		assert_true(payload->off + payload->len <= wr->wr.len);
		for (uint32_t i = 0; i < payload->len; i++)
			out[i] = pair_byte(wr->wr.imm, payload->off + i);
		return;
	case WEFT_SRD_PAYLOAD_TARGET:
		assert_int_equal(payload->key, PAIR_RKEY);
		assert_true(payload->addr + payload->off + payload->len <= PAIR_BASE + PAIR_MEM);
		memcpy(out, end->mem + (payload->addr - PAIR_BASE) + payload->off, payload->len);
		return;
	}
}

static uint32_t on_payload_crc(void *owner, const struct weft_srd_payload *payload)
{
	uint8_t *bytes = malloc(payload->len + 1);
	uint32_t crc;

	assert_non_null(bytes);
	copy_payload(owner, payload, bytes);
	crc = weft_crc32c(0, bytes, payload->len);
	free(bytes);
	return crc;
}

static const struct weft_srd_ops ops = {
	.recv_claim = on_recv_claim,
	.recv_place = on_recv_place,
	.recv_done = on_recv_done,
	.recv_release = on_recv_release,
	.write = on_write,
	.read_check = on_read_check,
	.read_place = on_read_place,
	.complete = on_complete,
	.payload_crc = on_payload_crc,
};

/* Opening and closing */

static struct weft_gid gid_of(unsigned int id)
{
	return (struct weft_gid){ .raw = { 0xfe, 0x80, [15] = (uint8_t)(id + 1) } };
}

static void default_cfg(struct weft_srd_cfg *cfg, unsigned int id)
{
	weft_srd_cfg_default(cfg);
	cfg->gid = gid_of(id);
	cfg->seed = 1000 + id;
	cfg->contexts_max = 8;
	cfg->active_max = 4;
	cfg->msgs_max = 256;
	cfg->reads_max = 8;
	cfg->rx_msgs_max = 64;
	cfg->packets_max = 2048;
	cfg->payload_max = 1024;
	cfg->paths = 16;
	cfg->link_bps = 0;
	cfg->rtt_hint = WEFT_US(10);
}

static void start_engine(struct pair *p, unsigned int id)
{
	struct pair_end *end = &p->end[id];
	const char *why = "";
	size_t size;
	void *mem = NULL;

	if (weft_srd_cfg_check(&end->cfg, &why))
		fail_msg("cfg.%s is out of its range", why);
	size = weft_srd_size(&end->cfg);
	assert_int_equal(posix_memalign(&mem, 64, size), 0);
	/* Whatever init leaves alone is not zero by chance. */
	memset(mem, 0xa5, size);
	end->srd = weft_srd_init(mem, &end->cfg, &ops, end, p->now);
	for (unsigned int i = 0; i < p->ends; i++) {
		struct weft_gid gid = gid_of(i);

		end->peer[i] = UINT32_MAX;
		if (i != id && weft_srd_peer_get(end->srd, &gid, &end->peer[i]))
			end->peer[i] = UINT32_MAX;
	}
}

static void open_end(struct pair *p, unsigned int id, pair_tune *tune)
{
	struct pair_end *end = &p->end[id];

	end->pair = p;
	end->id = id;
	end->recvs = UINT32_MAX;
	end->recv_len = WEFT_SRD_SEND_MAX;
	end->bad_qpn = end->dry_qpn = UINT16_MAX;
	end->mem = malloc(PAIR_MEM);
	assert_non_null(end->mem);
	for (uint32_t i = 0; i < PAIR_MEM; i++)
		end->mem[i] = pair_mem_byte(id, PAIR_BASE + i);
	default_cfg(&end->cfg, id);
	if (tune)
		tune(&end->cfg, id);
	start_engine(p, id);
}

struct pair *pair_open_at(unsigned int ends, pair_tune *tune, weft_ns start)
{
	struct pair *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	assert_in_range(ends, 1, PAIR_ENDS_MAX);
	p->now = start;
	p->ends = ends;
	p->delay = WEFT_US(5);
	for (unsigned int i = 0; i < ends; i++)
		open_end(p, i, tune);
	return p;
}

struct pair *pair_open(unsigned int ends, pair_tune *tune)
{
	return pair_open_at(ends, tune, WEFT_S(1));
}

static void free_recvs(struct pair_end *end)
{
	for (uint32_t i = 0; i < end->recv_n; i++) {
		free(end->recv[i].have);
		end->recv[i].have = NULL;
	}
}

void pair_close(struct pair *p)
{
	while (p->flight) {
		struct pair_flight *f = p->flight;

		p->flight = f->next;
		free(f);
	}
	for (uint32_t i = 0; i < p->logged; i++) {
		free(p->log[i]->frame);
		free(p->log[i]);
	}
	free(p->log);
	for (unsigned int i = 0; i < p->ends; i++) {
		free_recvs(&p->end[i]);
		free(p->end[i].recv);
		free(p->end[i].mem);
		free(p->end[i].srd);
	}
	free(p);
}

void pair_restart(struct pair *p, unsigned int id)
{
	struct pair_end *end = &p->end[id];

	free(end->srd);
	for (uint32_t i = 0; i < end->wrs; i++)
		if (!end->wr[i].done)
			end->wr[i].orphan = true;
	free_recvs(end);
	end->cfg.seed += 7919;
	start_engine(p, id);
}

/* The wire */

struct pair_rule *pair_rule(struct pair *p, struct pair_rule rule)
{
	assert_in_range(p->rules, 0, PAIR_RULES - 1);
	p->rule[p->rules] = rule;
	return &p->rule[p->rules++];
}

void pair_heal(struct pair *p)
{
	p->rules = 0;
	p->hook = NULL;
}

static bool is_like(const struct pair_rule *r, const struct pair_pkt *pkt)
{
	if (r->from && !(r->from & PAIR_BIT(pkt->from)))
		return false;
	if (r->types && !(r->types & PAIR_BIT(pkt->hdr.type)))
		return false;
	if (r->ops && (pkt->hdr.type != WEFT_PKT_DATA || !(r->ops & PAIR_BIT(pkt->op.op))))
		return false;
	if (r->paths && (pkt->path >= 32 || !(r->paths & PAIR_BIT(pkt->path))))
		return false;
	return pkt->len > r->longer_than && pkt->sent >= r->since;
}

static enum pair_fate fate_of(struct pair *p, struct pair_pkt *pkt)
{
	for (uint32_t i = 0; i < p->rules; i++) {
		struct pair_rule *r = &p->rule[i];

		if (!is_like(r, pkt) || r->seen++ < r->skip || (r->count && r->hits >= r->count))
			continue;
		r->hits++;
		if (r->fate != PAIR_PASS)
			return r->fate;
	}
	return p->hook ? p->hook(p, pkt) : PAIR_PASS;
}

static void fly(struct pair *p, struct pair_pkt *pkt, weft_ns at)
{
	struct pair_flight *f = malloc(sizeof(*f)), **link = &p->flight;

	assert_non_null(f);
	f->at = at;
	f->pkt = pkt;
	if (p->flight && p->flight_tail->at <= at)
		link = &p->flight_tail->next;
	while (*link && (*link)->at <= at)
		link = &(*link)->next;
	f->next = *link;
	*link = f;
	if (!f->next)
		p->flight_tail = f;
}

static weft_ns arrival(struct pair *p, const struct pair_pkt *pkt)
{
	weft_ns at = p->now + pkt->delay;

	if (!p->port_bps)
		return at;
	at = WEFT_MAX(at, p->port_free[pkt->to]) +
	     (weft_ns)pkt->len * 8 * 1000000000u / p->port_bps;
	p->port_free[pkt->to] = at;
	return at;
}

static void decode(struct pair_pkt *pkt)
{
	const uint8_t *body = pkt->frame + WEFT_PROTO_HDR;

	assert_int_equal(weft_hdr_decode(pkt->frame, &pkt->hdr), 0);
	assert_int_equal(WEFT_PROTO_HDR + pkt->hdr.len, pkt->len);
	assert_int_equal(pkt->hdr.ev, pkt->path);
	assert_int_equal(pkt->head_len, weft_head_len(&pkt->hdr));
	if (pkt->hdr.type == WEFT_PKT_DATA)
		assert_int_equal(weft_op_decode(body, &pkt->op), 0);
	else if (pkt->hdr.type == WEFT_PKT_ACK)
		assert_int_equal(weft_ack_decode(body, pkt->hdr.len, &pkt->ack), 0);
	else if (pkt->hdr.type == WEFT_PKT_HELLO || pkt->hdr.type == WEFT_PKT_WELCOME)
		assert_int_equal(weft_hello_decode(body, pkt->hdr.len, &pkt->hello), 0);
}

void pair_print(const struct pair *p, uint32_t last)
{
	static const char *const fates[] = { "", " dropped", " doubled", " held", " corrupted" };

	for (uint32_t i = p->logged - WEFT_MIN(last, p->logged); i < p->logged; i++) {
		const struct pair_pkt *k = p->log[i];
		bool hello = k->hdr.type == WEFT_PKT_HELLO || k->hdr.type == WEFT_PKT_WELCOME;

		print_message("%10" PRIu64 " %c>%c %-7s %s to %u:%08x psn %" PRIx64 " own %08x%s\n",
			      k->sent, (char)('A' + k->from), (char)('A' + k->to),
			      weft_pkt_type_name(k->hdr.type),
			      k->hdr.type == WEFT_PKT_DATA ? weft_wire_op_name(k->op.op) : "",
			      k->hdr.dst_ctx, k->hdr.dst_epoch, k->hdr.psn,
			      hello ? k->hello.epoch : 0, fates[k->fate]);
	}
}

static void log_pkt(struct pair *p, struct pair_pkt *pkt)
{
	if (p->logged == PACKETS_MAX) {
		pair_print(p, 20);
		fail_msg("%u packets: they answer each other", PACKETS_MAX);
	}
	if (p->logged == p->log_cap) {
		p->log_cap = p->log_cap ? 2 * p->log_cap : 256;
		p->log = realloc(p->log, p->log_cap * sizeof(*p->log));
		assert_non_null(p->log);
	}
	p->log[p->logged++] = pkt;
}

static struct pair_pkt *capture(struct pair *p, unsigned int from, const struct weft_srd_tx *tx)
{
	struct pair_pkt *pkt = calloc(1, sizeof(*pkt));

	assert_non_null(pkt);
	assert_in_range(tx->head_len, WEFT_PROTO_HDR, WEFT_SRD_HEAD_MAX);
	assert_in_range(tx->path, 0, p->end[from].cfg.paths - 1);
	pkt->sent = p->now;
	pkt->delay = p->delay;
	pkt->from = from;
	pkt->to = tx->to.raw[15] - 1u;
	pkt->path = tx->path;
	pkt->control = tx->control;
	pkt->head_len = tx->head_len;
	pkt->seg_max = tx->seg_max;
	pkt->len = tx->head_len + tx->payload.len;
	pkt->frame = malloc(pkt->len);
	assert_non_null(pkt->frame);
	memcpy(pkt->frame, tx->head, tx->head_len);
	copy_payload(&p->end[from], &tx->payload, pkt->frame + tx->head_len);
	decode(pkt);
	log_pkt(p, pkt);
	return pkt;
}

static void put_on_wire(struct pair *p, unsigned int from, const struct weft_srd_tx *tx)
{
	struct pair_pkt *pkt = capture(p, from, tx);

	if (pkt->to >= p->ends) {
		pkt->fate = PAIR_DROP;
		return;
	}
	pkt->fate = fate_of(p, pkt);
	switch (pkt->fate) {
	case PAIR_DROP:
	case PAIR_HOLD:
		return;
	case PAIR_CORRUPT:
		pkt->frame[pkt->len - 1] ^= 0x10;
		break;
	case PAIR_DUP:
		fly(p, pkt, arrival(p, pkt));
		break;
	case PAIR_PASS:
		break;
	}
	fly(p, pkt, arrival(p, pkt));
}

void pair_inject(struct pair *p, unsigned int to, const uint8_t *frame, uint32_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct weft_srd_rx rx = { .data = copy,
				  .len = len,
				  .from = gid_of(to == PAIR_A ? PAIR_B : PAIR_A) };

	/* A block of its own: reading past the frame is reading past the block. */
	assert_non_null(copy);
	if (len)
		memcpy(copy, frame, len);
	weft_srd_on_packet(p->end[to].srd, &rx, p->now);
	free(copy);
}

void pair_deliver(struct pair *p, const struct pair_pkt *pkt)
{
	uint32_t len = pkt->trimmed ? WEFT_MIN(pkt->len, pkt->head_len) : pkt->len;
	uint8_t *copy = malloc(len);
	struct weft_srd_rx rx = {
		.data = copy,
		.len = len,
		.from = gid_of(pkt->from),
		.ce = pkt->ce,
		.trimmed = pkt->trimmed,
	};

	assert_non_null(copy);
	memcpy(copy, pkt->frame, len);
	weft_srd_on_packet(p->end[pkt->to].srd, &rx, p->now);
	free(copy);
}

void pair_release(struct pair *p)
{
	uint32_t n = p->logged;

	pair_heal(p);
	for (uint32_t i = 0; i < n; i++) {
		if (p->log[i]->fate != PAIR_HOLD)
			continue;
		p->log[i]->fate = PAIR_PASS;
		pair_deliver(p, p->log[i]);
	}
}

void pair_forge(struct pair *p, unsigned int to, struct weft_hdr hdr, const void *body,
		uint32_t body_len, const void *payload, uint32_t payload_len)
{
	uint32_t head = WEFT_PROTO_HDR + body_len;
	uint8_t *frame = calloc(1, head + payload_len);

	assert_non_null(frame);
	hdr.len = (uint16_t)(body_len + payload_len);
	weft_hdr_encode(frame, &hdr);
	if (body_len)
		memcpy(frame + WEFT_PROTO_HDR, body, body_len);
	if (payload_len)
		memcpy(frame + head, payload, payload_len);
	if (head <= WEFT_SRD_HEAD_MAX)
		weft_head_seal(p->end[to].cfg.key, frame, head);
	pair_inject(p, to, frame, head + payload_len);
	free(frame);
}

void pair_forge_data(struct pair *p, unsigned int to, struct weft_hdr hdr, const struct weft_op *op,
		     const void *payload, uint32_t len)
{
	uint8_t body[WEFT_PROTO_OP];
	struct weft_op with_crc = *op;

	if (len)
		with_crc.crc = weft_crc32c(0, payload, len);
	hdr.flags |= WEFT_PKT_F_CRC;
	weft_op_encode(body, &with_crc);
	pair_forge(p, to, hdr, body, sizeof(body), payload, len);
}

/* Time */

void pair_drain(struct pair *p)
{
	struct weft_srd_tx *tx;
	uint32_t steps = 0;

	if (p->offline)
		return;
	tx = malloc(sizeof(*tx));
	assert_non_null(tx);
	for (unsigned int i = 0; i < p->ends; i++) {
		while (weft_srd_next_packet(p->end[i].srd, p->now, tx)) {
			put_on_wire(p, i, tx);
			if (++steps > STEPS_MAX)
				fail_msg("engine %u never stops sending", i);
		}
	}
	free(tx);
}

static weft_ns next_time(const struct pair *p)
{
	weft_ns at = p->flight ? p->flight->at : WEFT_NS_NEVER;

	if (at <= p->now)
		return at;
	for (unsigned int i = 0; i < p->ends; i++)
		at = WEFT_MIN(at, weft_srd_next_deadline(p->end[i].srd));
	return at;
}

/* One packet at a time, and what it causes before the next one: an owner that polls seldom would see
 * several, and its ACKs would be fewer. */
static void step(struct pair *p)
{
	if (p->flight && p->flight->at <= p->now) {
		struct pair_flight *f = p->flight;

		p->flight = f->next;
		pair_deliver(p, f->pkt);
		free(f);
		pair_drain(p);
		return;
	}
	for (unsigned int i = 0; i < p->ends; i++)
		if (weft_srd_next_deadline(p->end[i].srd) <= p->now)
			weft_srd_on_timer(p->end[i].srd, p->now);
	pair_drain(p);
}

static bool is_all_done(const struct pair *p)
{
	for (unsigned int i = 0; i < p->ends; i++) {
		const struct pair_end *end = &p->end[i];

		if (end->done == end->wrs)
			continue;
		for (uint32_t k = 0; k < end->wrs; k++)
			if (!end->wr[k].done && !end->wr[k].orphan)
				return false;
	}
	return true;
}

static void run(struct pair *p, weft_ns until, bool stop_when_done)
{
	uint32_t steps = 0;

	pair_drain(p);
	while (!stop_when_done || !is_all_done(p)) {
		weft_ns at = next_time(p);

		if (at > until)
			break;
		steps = at > p->now ? 0 : steps + 1;
		if (steps > STEPS_MAX)
			fail_msg("time stands still at %" PRIu64, p->now);
		p->now = WEFT_MAX(p->now, at);
		step(p);
	}
	if (!stop_when_done)
		p->now = WEFT_MAX(p->now, until);
}

void pair_run_to(struct pair *p, weft_ns until)
{
	run(p, until, false);
}

void pair_run(struct pair *p, weft_ns time)
{
	run(p, p->now + time, false);
}

void pair_settle(struct pair *p)
{
	run(p, p->now + WEFT_S(60), true);
	if (!is_all_done(p))
		fail_msg("work requests are not done after a minute");
}

void pair_settle_ok(struct pair *p)
{
	pair_settle(p);
	for (unsigned int i = 0; i < p->ends; i++)
		assert_int_equal(p->end[i].failed, 0);
}

/* Work requests */

static void fill_wr(struct pair *p, unsigned int id, struct weft_srd_wr *wr)
{
	struct pair_end *end = &p->end[id];
	bool send = wr->op == WEFT_SRD_SEND || wr->op == WEFT_SRD_SEND_IMM;

	wr->cookie = end->wrs;
	if (!wr->key)
		wr->key = send ? PAIR_QKEY : PAIR_RKEY;
	/* Reading what is being written is anybody's guess: two halves. */
	if (!wr->addr && !send)
		wr->addr = wr->op == WEFT_SRD_READ ? PAIR_BASE + PAIR_MEM / 2 : PAIR_BASE;
	if (!wr->src_qpn)
		wr->src_qpn = 1;
	if (!wr->dst_qpn)
		wr->dst_qpn = 2;
	if (!wr->imm)
		wr->imm = (uint32_t)wr->cookie + 1;
}

int pair_try_post(struct pair *p, unsigned int id, struct weft_srd_wr wr, uint64_t *cookie_out)
{
	struct pair_end *end = &p->end[id];
	unsigned int to = wr.peer;
	struct weft_srd_wr posted;
	int rc;

	assert_in_range(end->wrs, 0, PAIR_WRS_MAX - 1);
	if (!to && !id)
		to = PAIR_B;
	fill_wr(p, id, &wr);
	wr.peer = to;
	posted = wr;
	posted.peer = end->peer[to];
	end->wr[end->wrs++] = (struct pair_wr){ .wr = wr, .posted_at = p->now };
	end->in_post = true;
	rc = weft_srd_on_post(end->srd, &posted, p->now);
	end->in_post = false;
	if (rc)
		end->wrs--;
	else
		*cookie_out = end->wrs - 1;
	return rc;
}

uint64_t pair_post_wr(struct pair *p, unsigned int id, struct weft_srd_wr wr)
{
	uint64_t cookie = 0;

	assert_int_equal(pair_try_post(p, id, wr, &cookie), 0);
	return cookie;
}

uint64_t pair_post(struct pair *p, unsigned int id, enum weft_srd_op op, uint32_t len)
{
	return pair_post_wr(p, id, (struct weft_srd_wr){ .op = op, .len = len, .rnr_retry = 7 });
}

void pair_cancel(struct pair *p, unsigned int id, uint64_t cookie, enum weft_srd_status status)
{
	weft_srd_cancel(p->end[id].srd, cookie, status, p->now);
}

void pair_unreachable(struct pair *p, unsigned int id, unsigned int peer)
{
	struct weft_gid gid = gid_of(peer);

	weft_srd_on_unreachable(p->end[id].srd, &gid, p->now);
}

void pair_too_long(struct pair *p, unsigned int id, unsigned int peer, uint32_t payload_max)
{
	struct weft_gid gid = gid_of(peer);

	weft_srd_on_too_long(p->end[id].srd, &gid, payload_max, p->now);
}

/* Looks */

struct weft_ctx *pair_ctx(struct pair *p, unsigned int id, unsigned int peer)
{
	struct weft_gid gid = gid_of(peer);
	uint32_t i = weft_ctx_find(p->end[id].srd, &gid);

	return i == WEFT_NIL ? NULL : &p->end[id].srd->ctxs[i];
}

struct weft_active *pair_active(struct pair *p, unsigned int id, unsigned int peer)
{
	struct weft_ctx *ctx = pair_ctx(p, id, peer);

	return ctx ? weft_ctx_active(p->end[id].srd, ctx) : NULL;
}

const struct weft_srd_stats *pair_stats(const struct pair *p, unsigned int id)
{
	return weft_srd_stats(p->end[id].srd);
}

struct weft_srd_peer_info pair_info(struct pair *p, unsigned int id, unsigned int peer)
{
	struct weft_srd_peer_info info = { 0 };
	struct weft_ctx *ctx = pair_ctx(p, id, peer);

	assert_non_null(ctx);
	assert_int_equal(
		weft_srd_peer_info(p->end[id].srd, weft_ctx_index(p->end[id].srd, ctx), &info), 0);
	return info;
}

const struct pair_pkt *pair_find(const struct pair *p, struct pair_rule like, uint32_t n)
{
	for (uint32_t i = 0; i < p->logged; i++)
		if (is_like(&like, p->log[i]) && !n--)
			return p->log[i];
	return NULL;
}

uint32_t pair_count(const struct pair *p, struct pair_rule like)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->logged; i++)
		n += is_like(&like, p->log[i]);
	return n;
}

struct weft_hdr pair_hdr(struct pair *p, unsigned int from, unsigned int to, uint8_t type)
{
	const struct weft_ctx *there = pair_ctx(p, to, from), *here = pair_ctx(p, from, to);

	assert_non_null(there);
	return (struct weft_hdr){
		.type = type,
		.dst_ctx = weft_ctx_index(p->end[to].srd, there),
		.dst_epoch = there->epoch,
		.src_ctx = here ? weft_ctx_index(p->end[from].srd, here) : 0,
		.tx_ts = weft_ts(p->now),
	};
}

void pair_expect(struct pair *p, unsigned int id, uint64_t cookie, enum weft_srd_status status)
{
	const struct pair_wr *wr = &p->end[id].wr[cookie];

	if (!wr->done)
		fail_msg("work request %" PRIu64 " of engine %u is not done", cookie, id);
	if (wr->status != status)
		fail_msg("work request %" PRIu64 " of engine %u: \"%s\", not \"%s\"", cookie, id,
			 weft_srd_status_name(wr->status), weft_srd_status_name(status));
}

void pair_expect_open(struct pair *p, unsigned int id, uint64_t cookie)
{
	const struct pair_wr *wr = &p->end[id].wr[cookie];

	if (wr->done)
		fail_msg("work request %" PRIu64 " of engine %u is done: \"%s\"", cookie, id,
			 weft_srd_status_name(wr->status));
}

static weft_ns idle_time(const struct pair *p)
{
	weft_ns t = 0;

	for (unsigned int i = 0; i < p->ends; i++)
		t = WEFT_MAX(t, p->end[i].cfg.idle_after + 4 * p->end[i].cfg.rto_max);
	return 3 * t;
}

void pair_expect_idle(struct pair *p)
{
	pair_run(p, idle_time(p));
	for (unsigned int i = 0; i < p->ends; i++) {
		struct weft_srd_usage u;

		weft_srd_usage(p->end[i].srd, &u);
		assert_int_equal(u.msgs, 0);
		assert_int_equal(u.reads, 0);
		assert_int_equal(u.rx_msgs, 0);
		assert_int_equal(u.chunks, 0);
		assert_int_equal(u.pieces, 0);
		assert_int_equal(u.active, 0);
		assert_int_equal(u.timers, 0);
	}
}

void pair_warm_up(struct pair *p)
{
	pair_post(p, PAIR_A, WEFT_SRD_SEND, 1);
	pair_settle(p);
	pair_post_wr(p, PAIR_B,
		     (struct weft_srd_wr){ .op = WEFT_SRD_SEND, .len = 1, .peer = PAIR_A });
	pair_settle(p);
	pair_run(p, WEFT_US(200));
}

struct pair *pair_open_warm(pair_tune *tune)
{
	struct pair *p = pair_open(2, tune);

	pair_warm_up(p);
	return p;
}

void pair_close_idle(struct pair *p)
{
	pair_expect_idle(p);
	pair_close(p);
}
