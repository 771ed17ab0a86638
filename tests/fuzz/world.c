/* SPDX-License-Identifier: BSD-2-Clause */
#include "world.h"

#include "base/crc32c.h"
#include "check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FINISH_STEPS 20000u
#define FINISH_TIME  WEFT_S(120)

/* Byte `off` of the message of work request `n`. */
static uint8_t byte_of(uint32_t n, uint32_t off)
{
	return (uint8_t)(off * 31 + (off >> 8) * 17 + n * 101 + 7);
}

static void fill(uint32_t n, uint32_t off, uint8_t *out, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		out[i] = byte_of(n, off + i);
}

static uint64_t addr_of(uint32_t n)
{
	return (uint64_t)(n + 1) << 32 | 0x1000;
}

static struct world *world_of; /* The callbacks find the world here and their host in `owner`. */

static uint8_t host_no(const struct world_host *h)
{
	return (uint8_t)(h - world_of->host);
}

/* The work request that a message at its target belongs to; everything said about it must be true. */
static uint32_t wr_of_info(struct world_host *target, const struct weft_srd_msg_info *info)
{
	uint32_t n = (uint32_t)(info->addr >> 32) - 1;
	const struct world_wr *wr;

	FUZZ_CHECK(n < world_of->wrs, "message from nowhere, address %llx",
		   (unsigned long long)info->addr);
	wr = &world_of->wr[n];
	FUZZ_CHECK(wr->host != host_no(target), "wr %u came back to its sender", n);
	FUZZ_CHECK(info->addr == wr->wr.addr && info->op == wr->wr.op && info->len == wr->wr.len &&
			   info->key == wr->wr.key && info->src_qpn == wr->wr.src_qpn &&
			   info->dst_qpn == wr->wr.dst_qpn,
		   "wr %u arrived as another one", n);
	FUZZ_CHECK(info->imm == wr->wr.imm || info->op == WEFT_SRD_READ, "wr %u lost its immediate",
		   n);
	FUZZ_CHECK(!memcmp(info->gid, &world_of->host[wr->host].cfg.gid, sizeof(*info->gid)),
		   "wr %u from a wrong address", n);
	/* Once a new incarnation of the sender has been heard, the old one must be past. */
	FUZZ_CHECK(wr->inc >= target->newest_inc, "wr %u of incarnation %u after %u", n, wr->inc,
		   target->newest_inc);
	target->newest_inc = wr->inc;
	target->answered = true;
	return n;
}

/* Bytes of a message arrived where they belong: right ones, inside, and each of them once. WRITE_IMM may
 * come again when its last packet found no receive. */
static void place(uint32_t n, uint32_t off, const uint8_t *data, uint32_t len, bool again)
{
	struct world_wr *wr = &world_of->wr[n];

	FUZZ_CHECK(off <= wr->wr.len && len <= wr->wr.len - off, "wr %u: [%u, +%u) outside %u", n,
		   off, len, wr->wr.len);
	for (uint32_t i = 0; i < len; i++) {
		FUZZ_CHECK(data[i] == byte_of(n, off + i), "wr %u: byte %u is wrong", n, off + i);
		FUZZ_CHECK(again || !wr->seen[off + i], "wr %u: byte %u placed twice", n, off + i);
		wr->placed += !wr->seen[off + i];
		wr->seen[off + i] = 1;
	}
}

static void unplace(struct world_wr *wr)
{
	memset(wr->seen, 0, wr->wr.len);
	wr->placed = 0;
}

/* What happens, for FUZZ_TRACE */

static void trace_frame(const struct world *w, const char *what, const struct world_frame *f)
{
	struct weft_op op = { .op = WEFT_WIRE_OP_COUNT };
	struct weft_ack ack = { 0 };
	struct weft_hdr hdr;

	if (f->len < WEFT_PROTO_HDR || weft_hdr_decode(f->data, &hdr))
		return;
	if (hdr.type == WEFT_PKT_DATA && f->len >= WEFT_SRD_DATA_HEAD)
		weft_op_decode(f->data + WEFT_PROTO_HDR, &op);
	if (hdr.type == WEFT_PKT_ACK && f->len == WEFT_PROTO_HDR + (uint32_t)hdr.len)
		weft_ack_decode(f->data + WEFT_PROTO_HDR, hdr.len, &ack);
	fuzz_trace("%12llu %s %u.%u %s%s%s %s ctx %u/%08x psn %llx path %u op %s wr %d [%u, +%u) "
		   "code %u una -%u "
		   "cum %llx word %llx drops %u%s%s",
		   (unsigned long long)w->now, what, f->from, f->inc, weft_pkt_type_name(hdr.type),
		   hdr.flags & WEFT_PKT_F_RTX ? " rtx" : "",
		   hdr.flags & WEFT_PKT_F_CREDIT ? " credit" : "",
		   hdr.flags & WEFT_PKT_F_ACKREQ ? "!" : "", hdr.dst_ctx, hdr.dst_epoch,
		   (unsigned long long)hdr.psn, hdr.ev, weft_wire_op_name(op.op),
		   (int)(op.addr >> 32) - 1, op.off, f->len - f->head_len, op.code, op.una,
		   (unsigned long long)ack.cum, (unsigned long long)(ack.words ? ack.word[0] : 0),
		   ack.drops, f->tampered ? " tampered" : "", f->trimmed ? " trimmed" : "");
}

static void trace_wr(const struct world *w, uint32_t n, const char *what, const char *how)
{
	const struct world_wr *wr = &w->wr[n];

	fuzz_trace("%12llu %s wr %u: host %u, op %u, %u bytes, qp %u to %u, rnr_retry %u%s%s",
		   (unsigned long long)w->now, what, n, wr->host, wr->wr.op, wr->wr.len,
		   wr->wr.src_qpn, wr->wr.dst_qpn, wr->wr.rnr_retry, *how ? ": " : "", how);
}

/* What the engines ask of their owner */

static struct world_recv *find_recv(struct world_host *h, uint16_t qpn)
{
	for (uint32_t i = 0; i < WORLD_RECVS; i++)
		if (h->recv[i].posted && !h->recv[i].claimed && h->recv[i].qpn == qpn)
			return &h->recv[i];
	for (uint32_t i = WORLD_RECVS - WORLD_SPARE; h->endless && i < WORLD_RECVS; i++) {
		if (h->recv[i].posted)
			continue;
		h->recv[i] =
			(struct world_recv){ .qpn = qpn, .len = WORLD_LEN_MAX, .posted = true };
		return &h->recv[i];
	}
	return NULL;
}

static bool is_alive(const struct world_host *h, uint16_t qpn)
{
	return qpn >= 1 && qpn <= WORLD_QPS && h->qp_alive[qpn];
}

/* A message in one packet is refused once for each try, unless the refusal found no memory. */
static void check_retries(const struct world_host *target, uint32_t n)
{
	const struct world_wr *wr = &world_of->wr[n];

	if (wr->wr.rnr_retry == 7 || wr->wr.len > WEFT_SRD_PAYLOAD_MIN ||
	    weft_srd_stats(target->srd)->rx_drops[WEFT_SRD_DROP_NO_MEMORY])
		return;
	FUZZ_CHECK(wr->rnr_said <= wr->wr.rnr_retry + 1u, "wr %u tried %u times with %u retries", n,
		   wr->rnr_said, wr->wr.rnr_retry);
}

static enum weft_srd_status recv_claim(void *owner, const struct weft_srd_msg_info *info,
				       uint64_t *recv_out)
{
	struct world_host *h = owner;
	uint32_t n = wr_of_info(h, info);
	struct world_wr *wr = &world_of->wr[n];
	struct world_recv *recv;

	FUZZ_CHECK(wr->wr.op != WEFT_SRD_WRITE && wr->wr.op != WEFT_SRD_READ,
		   "wr %u claims a receive", n);
	FUZZ_CHECK(!wr->delivered, "wr %u claims a receive after its delivery", n);
	FUZZ_CHECK(!wr->claimed, "wr %u claims a second receive", n);
	FUZZ_CHECK(!wr->done || wr->status != WEFT_SRD_OK,
		   "wr %u claims a receive after its completion", n);
	if (!is_alive(h, info->dst_qpn)) {
		wr->qpn_said = true;
		return WEFT_SRD_REMOTE_QPN;
	}
	recv = find_recv(h, info->dst_qpn);
	if (!recv) {
		wr->rnr_said++;
		check_retries(h, n);
		return WEFT_SRD_RNR;
	}
	if (info->op != WEFT_SRD_WRITE_IMM && info->len > recv->len) {
		wr->length_said = true;
		return WEFT_SRD_REMOTE_LENGTH;
	}
	recv->claimed = wr->claimed = true;
	recv->wr = n;
	*recv_out = wr->recv = (uint64_t)(recv - h->recv);
	return WEFT_SRD_OK;
}

static struct world_recv *claimed_recv(struct world_host *h, uint64_t recv)
{
	FUZZ_CHECK(recv < WORLD_RECVS && h->recv[recv].claimed, "receive %llu is not claimed",
		   (unsigned long long)recv);
	return &h->recv[recv];
}

static void recv_place(void *owner, uint64_t recv, uint32_t off, const void *data, uint32_t len)
{
	const struct world_recv *r = claimed_recv(owner, recv);

	FUZZ_CHECK(off <= r->len && len <= r->len - off, "written behind a receive of %u", r->len);
	place(r->wr, off, data, len, false);
}

static void recv_done(void *owner, uint64_t recv, const struct weft_srd_msg_info *info)
{
	struct world_host *h = owner;
	struct world_recv *r = claimed_recv(h, recv);
	uint32_t n = wr_of_info(h, info);
	struct world_wr *wr = &world_of->wr[n];

	FUZZ_CHECK(r->wr == n, "receive of wr %u completed by wr %u", r->wr, n);
	FUZZ_CHECK(!wr->delivered++, "wr %u delivered twice", n);
	FUZZ_CHECK(wr->placed == wr->wr.len, "wr %u delivered with %u of %u bytes", n, wr->placed,
		   wr->wr.len);
	wr->claimed = false;
	*r = (struct world_recv){ 0 };
}

static void recv_release(void *owner, uint64_t recv, const struct weft_srd_msg_info *info)
{
	struct world_host *h = owner;
	struct world_recv *r = claimed_recv(h, recv);
	uint32_t n = wr_of_info(h, info);

	FUZZ_CHECK(r->wr == n, "receive of wr %u released by wr %u", r->wr, n);
	FUZZ_CHECK(!world_of->wr[n].done || world_of->wr[n].status != WEFT_SRD_OK,
		   "wr %u succeeded and its receive is released", n);
	world_of->wr[n].claimed = false;
	unplace(&world_of->wr[n]);
	r->claimed = false;
	r->posted = h->qp_alive[r->qpn];
}

static enum weft_srd_status target_status(struct world_host *h,
					  const struct weft_srd_msg_info *info, struct world_wr *wr)
{
	if (!is_alive(h, info->dst_qpn)) {
		wr->qpn_said = true;
		return WEFT_SRD_REMOTE_QPN;
	}
	if (info->key != h->key) {
		wr->address_said = true;
		return WEFT_SRD_REMOTE_ADDRESS;
	}
	return WEFT_SRD_OK;
}

static enum weft_srd_status write_bytes(void *owner, const struct weft_srd_msg_info *info,
					uint32_t off, const void *data, uint32_t len)
{
	uint32_t n = wr_of_info(owner, info);
	struct world_wr *wr = &world_of->wr[n];
	enum weft_srd_status st = target_status(owner, info, wr);

	FUZZ_CHECK(wr->wr.op == WEFT_SRD_WRITE || wr->wr.op == WEFT_SRD_WRITE_IMM, "wr %u writes",
		   n);
	FUZZ_CHECK(!wr->done || wr->status != WEFT_SRD_OK, "wr %u writes after its completion", n);
	FUZZ_CHECK(!wr->delivered, "wr %u writes after its delivery", n);
	if (!st)
		place(n, off, data, len, wr->wr.op == WEFT_SRD_WRITE_IMM);
	return st;
}

static enum weft_srd_status read_check(void *owner, const struct weft_srd_msg_info *info)
{
	uint32_t n = wr_of_info(owner, info);

	FUZZ_CHECK(world_of->wr[n].wr.op == WEFT_SRD_READ, "wr %u reads", n);
	return target_status(owner, info, &world_of->wr[n]);
}

/* The work request that a cookie names: ours, of this life, and not yet completed. */
static uint32_t wr_of_cookie(struct world_host *h, uint64_t cookie)
{
	uint32_t n = (uint32_t)cookie - 1000;
	const struct world_wr *wr;

	FUZZ_CHECK(cookie >= 1000 && n < world_of->wrs, "cookie %llx", (unsigned long long)cookie);
	wr = &world_of->wr[n];
	FUZZ_CHECK(wr->posted && wr->host == host_no(h) && wr->inc == h->inc,
		   "wr %u is not of this host", n);
	FUZZ_CHECK(!wr->done, "wr %u is used after its completion", n);
	return n;
}

static enum weft_srd_status read_place(void *owner, uint64_t cookie, uint32_t off, const void *data,
				       uint32_t len)
{
	struct world_host *h = owner;
	uint32_t n = wr_of_cookie(h, cookie);

	FUZZ_CHECK(world_of->wr[n].wr.op == WEFT_SRD_READ, "answer to wr %u, which is no READ", n);
	if (h->refuse_reads) {
		world_of->wr[n].refused = true;
		return WEFT_SRD_INVALID_LKEY;
	}
	place(n, off, data, len, false);
	return WEFT_SRD_OK;
}

static void check_success(uint32_t n)
{
	const struct world_wr *wr = &world_of->wr[n];
	bool wants_delivery = wr->wr.op != WEFT_SRD_WRITE && wr->wr.op != WEFT_SRD_READ;

	FUZZ_CHECK(wr->placed == wr->wr.len, "wr %u succeeded with %u of %u bytes", n, wr->placed,
		   wr->wr.len);
	FUZZ_CHECK(wr->delivered == wants_delivery, "wr %u succeeded, delivered %u times", n,
		   wr->delivered);
}

/* Has this error anything to explain it? */
static bool is_explained(const struct world_host *h, const struct world_wr *wr,
			 enum weft_srd_status status)
{
	const struct world_host *target = &world_of->host[!wr->host];
	uint16_t dst = wr->wr.dst_qpn;
	weft_ns waited = world_of->now - h->began_at;

	switch (status) {
	case WEFT_SRD_FLUSHED:
		return h->closing || !h->qp_alive[wr->wr.src_qpn];
	case WEFT_SRD_INVALID_LKEY:
		return wr->refused;
	case WEFT_SRD_REMOTE_ADDRESS:
		return wr->address_said;
	case WEFT_SRD_REMOTE_QPN:
		return wr->qpn_said || (dst <= WORLD_QPS && target->qp_was_gone[dst]);
	case WEFT_SRD_RNR:
		return wr->wr.rnr_retry < 7 && wr->rnr_said > wr->wr.rnr_retry;
	case WEFT_SRD_REMOTE_LENGTH:
		return wr->length_said;
	case WEFT_SRD_ABORT:
		/* Either host may have given the other up, with or without work of its own. */
		return world_of->events || weft_srd_stats(h->srd)->unresponsive_remote_events ||
		       weft_srd_stats(target->srd)->unresponsive_remote_events;
	case WEFT_SRD_UNRESPONSIVE:
		return h->heard && waited >= h->cfg.dead_after;
	case WEFT_SRD_UNREACHABLE:
		return !h->answered && waited >= h->cfg.dead_after;
	case WEFT_SRD_OK:
	case WEFT_SRD_LOCAL_LENGTH:
	case WEFT_SRD_REMOTE_STATUS:
	case WEFT_SRD_FEATURE_MISMATCH:
		break;
	}
	return false;
}

/* Told that nobody is there: ABORT, or REMOTE_QPN if nothing had left. */
static bool is_as_ordered(const struct world_wr *wr, enum weft_srd_status status)
{
	return status == wr->ordered || (wr->ordered == WEFT_SRD_ABORT &&
					 status == WEFT_SRD_REMOTE_QPN && !wr->sent && !wr->placed);
}

static void complete(void *owner, uint64_t cookie, enum weft_srd_status status)
{
	struct world_host *h = owner;
	uint32_t n = wr_of_cookie(h, cookie);
	struct world_wr *wr = &world_of->wr[n];

	FUZZ_CHECK(!h->in_post, "wr %u completed inside a post", n);
	wr->done = true;
	wr->status = status;
	trace_wr(world_of, n, "complete", weft_srd_status_name(status));
	if (wr->ordered) {
		FUZZ_CHECK(is_as_ordered(wr, status), "wr %u ends with \"%s\", not \"%s\"", n,
			   weft_srd_status_name(status), weft_srd_status_name(wr->ordered));
	} else if (status == WEFT_SRD_OK) {
		check_success(n);
		h->answered = true;
	} else {
		FUZZ_CHECK(is_explained(h, wr, status), "wr %u failed with \"%s\" for no reason", n,
			   weft_srd_status_name(status));
	}
}

/* Bytes of an outgoing payload, or only the check that they may be read. */
static uint32_t payload_wr(struct world_host *h, const struct weft_srd_payload *p)
{
	uint32_t n;

	if (p->kind == WEFT_SRD_PAYLOAD_WR) {
		n = wr_of_cookie(h, p->cookie);
		world_of->wr[n].sent = true;
	} else {
		n = (uint32_t)(p->addr >> 32) - 1;
		FUZZ_CHECK(n < world_of->wrs && world_of->wr[n].wr.op == WEFT_SRD_READ,
			   "answer to no READ");
		FUZZ_CHECK(p->key == h->key && is_alive(h, p->qpn), "read with a key that is gone");
	}
	FUZZ_CHECK(p->off <= world_of->wr[n].wr.len && p->len <= world_of->wr[n].wr.len - p->off,
		   "wr %u: sent [%u, +%u) of %u", n, p->off, p->len, world_of->wr[n].wr.len);
	return n;
}

static uint32_t payload_crc(void *owner, const struct weft_srd_payload *p)
{
	static uint8_t bytes[65536];

	fill(payload_wr(owner, p), p->off, bytes, p->len);
	return weft_crc32c(0, bytes, p->len);
}

static const struct weft_srd_ops ops = {
	.recv_claim = recv_claim,
	.recv_place = recv_place,
	.recv_done = recv_done,
	.recv_release = recv_release,
	.write = write_bytes,
	.read_check = read_check,
	.read_place = read_place,
	.complete = complete,
	.payload_crc = payload_crc,
};

/* Hosts */

static void host_cfg(struct world_host *h, uint8_t no, struct fuzz_in *in)
{
	static const uint16_t msgs[] = { 4, 16, 64, 96 }, packets[] = { 32, 64, 256, 2048 };
	static const uint16_t payloads[] = { 512, 1408, 4096, 8928 }, paths[] = { 1, 16, 64, 17 };
	static const uint64_t links[] = { 0, 100000000000u, 1000000000u, 400000000000u };
	uint8_t a = fuzz_u8(in), b = fuzz_u8(in), c = fuzz_u8(in);

	weft_srd_cfg_default(&h->cfg);
	h->cfg.gid.raw[0] = 0xfe;
	h->cfg.gid.raw[15] = (uint8_t)(no + 1);
	h->cfg.contexts_max = 3;
	h->cfg.active_max = 2;
	h->cfg.msgs_max = msgs[a & 3];
	h->cfg.packets_max = packets[a >> 2 & 3];
	h->cfg.reads_max = a & 0x10 ? 1 : 8;
	h->cfg.rx_msgs_max = a & 0x20 ? 2 : 16;
	h->cfg.ack_packets = a & 0x40 ? 1 : 4;
	h->cfg.payload_crc = a >> 7;
	h->cfg.payload_max = payloads[b & 3];
	h->cfg.paths = paths[b >> 2 & 3];
	h->cfg.link_bps = links[b >> 4 & 3];
	h->cfg.lb = b & 0x40 ? WEFT_SRD_LB_OBLIVIOUS : WEFT_SRD_LB_MIXED;
	h->cfg.burst_bytes = b & 0x80 ? 65536 : 0;
	h->cfg.cwnd_max = c & 1 ? 20000 : 0;
	h->cfg.dead_after = WEFT_MS(20) << (c >> 1 & 7);
	h->cfg.idle_after = c & 0x10 ? WEFT_MS(1) : WEFT_MS(100);
	h->cfg.rto_max = c & 0x20 ? WEFT_MS(1) : WEFT_MS(50);
}

static void host_open(struct world *w, uint8_t no)
{
	struct world_host *h = &w->host[no];
	size_t size = (weft_srd_size(&h->cfg) + 63) & ~(size_t)63;
	void *mem = aligned_alloc(64, size);
	const char *why;

	FUZZ_CHECK(mem && !weft_srd_cfg_check(&h->cfg, &why), "configuration");
	memset(mem, 0xa5, size); /* The engine must not count on clean memory. */
	h->inc++;
	h->key = (uint32_t)no << 24 | h->inc << 12;
	h->cfg.seed = (uint64_t)no << 32 | h->inc;
	h->srd = weft_srd_init(mem, &h->cfg, &ops, h, w->now);
	h->closing = h->endless = h->refuse_reads = h->heard = h->answered = false;
	h->began_at = w->now;
	h->newest_inc = 0;
	memset(h->recv, 0, sizeof(h->recv));
	for (uint32_t q = 1; q <= WORLD_QPS; q++)
		h->qp_alive[q] = true;
	FUZZ_CHECK(!weft_srd_peer_get(h->srd, &w->host[!no].cfg.gid, &h->peer),
		   "no room for one peer");
}

void world_init(struct world *w, struct fuzz_in *in)
{
	memset(w, 0, sizeof(*w));
	world_of = w;
	/* Not at zero, and such that the time stamps of the wire wrap within the run. */
	w->now = ((weft_ns)1 << 36) - WEFT_MS(1);
	host_cfg(&w->host[0], 0, in);
	host_cfg(&w->host[1], 1, in);
	host_open(w, 0);
	host_open(w, 1);
}

void world_fini(struct world *w)
{
	for (uint32_t i = 0; i < w->frames; i++)
		free(w->frame[i]);
	for (uint32_t i = 0; i < WORLD_MUSEUM; i++)
		free(w->museum[i]);
	for (uint32_t i = 0; i < w->wrs; i++)
		free(w->wr[i].seen);
	free(w->host[0].srd);
	free(w->host[1].srd);
}

void world_post(struct world *w, uint8_t host, const struct weft_srd_wr *req)
{
	struct world_host *h = &w->host[host];
	struct world_wr *wr = &w->wr[w->wrs];
	int rc;

	if (w->wrs == WORLD_WRS)
		return;
	*wr = (struct world_wr){ .wr = *req, .host = host, .inc = h->inc, .posted_at = w->now };
	wr->wr.cookie = w->wrs + 1000;
	wr->wr.peer = h->peer;
	wr->wr.addr = addr_of(w->wrs);
	wr->posted = true;
	wr->seen = calloc(req->len + 1, 1);
	w->wrs++;
	h->in_post = true;
	rc = weft_srd_on_post(h->srd, &wr->wr, w->now);
	h->in_post = false;
	FUZZ_CHECK(!rc || rc == -EAGAIN || rc == -EMSGSIZE, "post returned %d", rc);
	FUZZ_CHECK(rc || !h->closing, "a closing engine took a work request");
	FUZZ_CHECK((rc == -EMSGSIZE) ==
			   (req->op <= WEFT_SRD_SEND_IMM && req->len > WEFT_SRD_SEND_MAX),
		   "post of %u bytes returned %d", req->len, rc);
	if (!rc) {
		trace_wr(w, w->wrs - 1, "post", "");
		return;
	}
	free(wr->seen);
	w->wrs--;
}

void world_post_recvs(struct world *w, uint8_t host, uint16_t qpn, uint32_t count, uint32_t len)
{
	struct world_host *h = &w->host[host];

	if (!is_alive(h, qpn))
		return;
	for (uint32_t i = 0; i < WORLD_RECVS - WORLD_SPARE && count; i++) {
		if (h->recv[i].posted)
			continue;
		h->recv[i] = (struct world_recv){ .qpn = qpn, .len = len, .posted = true };
		count--;
	}
}

void world_qp_gone(struct world *w, uint8_t host, uint16_t qpn)
{
	struct world_host *h = &w->host[host];

	if (!is_alive(h, qpn))
		return;
	fuzz_trace("host %u qp %u gone", host, qpn);
	/* It may take the last work request of a handshake with it. An old copy of that HELLO can later
	 * displace a new one, which ends with an ABORT. */
	w->events++;
	h->qp_alive[qpn] = false;
	h->qp_was_gone[qpn] = true;
	weft_srd_on_qp_gone(h->srd, qpn, w->now);
	for (uint32_t i = 0; i < WORLD_RECVS; i++) {
		if (h->recv[i].qpn != qpn)
			continue;
		FUZZ_CHECK(!h->recv[i].claimed, "a receive of a QP that is gone stays claimed");
		h->recv[i] = (struct world_recv){ 0 };
	}
	for (uint32_t i = 0; i < w->wrs; i++)
		FUZZ_CHECK(w->wr[i].done || w->wr[i].host != host || w->wr[i].inc != h->inc ||
				   w->wr[i].wr.src_qpn != qpn,
			   "wr %u of a QP that is gone goes on", i);
}

void world_qp_new(struct world *w, uint8_t host, uint16_t qpn)
{
	w->host[host].qp_alive[qpn] = true;
}

void world_deregister(struct world *w, uint8_t host)
{
	w->host[host].key++;
}

void world_close(struct world *w, uint8_t host)
{
	struct world_host *h = &w->host[host];

	fuzz_trace("host %u closes", host);
	h->closing = true;
	w->events++;
	weft_srd_close(h->srd, w->now);
	for (uint32_t i = 0; i < w->wrs; i++)
		FUZZ_CHECK(w->wr[i].done || w->wr[i].host != host || w->wr[i].inc != h->inc,
			   "wr %u goes on after a close", i);
}

void world_restart(struct world *w, uint8_t host)
{
	struct world_host *h = &w->host[host];

	fuzz_trace("host %u restarts", host);
	w->events++;
	free(h->srd);
	for (uint32_t i = 0; i < w->wrs; i++) {
		struct world_wr *wr = &w->wr[i];

		/* What this host had claimed or was told is forgotten with it. */
		if (wr->host != host && wr->claimed) {
			wr->claimed = false;
			unplace(wr);
		}
	}
	host_open(w, host);
}

static bool is_open(const struct world *w, uint32_t n, uint8_t host)
{
	return w->wr[n].host == host && w->wr[n].inc == w->host[host].inc && !w->wr[n].done;
}

/* What is on its way may still arrive; but no byte of an answer, and the end is this one. */
static void cancel(struct world *w, uint8_t host, uint32_t n)
{
	enum weft_srd_status status = n % 2 ? WEFT_SRD_FLUSHED : WEFT_SRD_INVALID_LKEY;

	if (is_open(w, n, host))
		w->wr[n].ordered = status;
	trace_wr(w, n, "cancel", "");
	/* It may take the last work request of a handshake with it, as in world_qp_gone(). */
	w->events++;
	weft_srd_cancel(w->host[host].srd, n + 1000, status, w->now);
	FUZZ_CHECK(!is_open(w, n, host), "wr %u goes on after it was cancelled", n);
}

void world_cancel(struct world *w, uint8_t host, uint32_t n)
{
	uint32_t open = 0;

	for (uint32_t i = 0; i < w->wrs; i++)
		open += is_open(w, i, host);
	for (uint32_t i = 0; open && i < w->wrs; i++) {
		if (!is_open(w, i, host) || n-- % open)
			continue;
		cancel(w, host, i);
		return;
	}
}

void world_cancel_all(struct world *w, uint8_t host)
{
	for (uint32_t i = 0; i < w->wrs; i++)
		if (w->wr[i].host == host)
			cancel(w, host, i);
}

void world_unreachable(struct world *w, uint8_t host)
{
	fuzz_trace("host %u is told that nobody is there", host);
	w->events++;
	for (uint32_t i = 0; i < w->wrs; i++)
		if (is_open(w, i, host))
			w->wr[i].ordered = WEFT_SRD_ABORT;
	weft_srd_on_unreachable(w->host[host].srd, &w->host[!host].cfg.gid, w->now);
	for (uint32_t i = 0; i < w->wrs; i++)
		FUZZ_CHECK(!is_open(w, i, host), "wr %u goes on though nobody is there", i);
}

/* The network */

static void enqueue(struct world *w, struct world_frame *f)
{
	if (w->frames == WORLD_FRAMES)
		world_drop(w, 0);
	w->frame[w->frames++] = f;
}

static struct world_frame *take(struct world *w, uint32_t n)
{
	struct world_frame *f = w->frame[n];

	w->frames--;
	memmove(&w->frame[n], &w->frame[n + 1], (w->frames - n) * sizeof(w->frame[0]));
	return f;
}

static struct world_frame *copy_of(const struct world_frame *f)
{
	struct world_frame *copy = malloc(sizeof(*f) + f->len);

	memcpy(copy, f, sizeof(*f) + f->len);
	return copy;
}

uint32_t world_pump(struct world *w, uint8_t host, uint32_t max)
{
	struct world_host *h = &w->host[host];
	uint32_t n = 0;

	while (n < max && weft_srd_next_packet(h->srd, w->now, &w->tx)) {
		uint32_t len = w->tx.head_len + w->tx.payload.len;
		struct world_frame *f = malloc(sizeof(*f) + len);

		*f = (struct world_frame){ .from = host, .inc = h->inc, .len = len };
		f->head_len = w->tx.head_len;
		FUZZ_CHECK(w->tx.head_len <= WEFT_SRD_HEAD_MAX &&
				   w->tx.payload.len <= h->cfg.payload_max,
			   "packet of %u + %u bytes", w->tx.head_len, w->tx.payload.len);
		FUZZ_CHECK(w->tx.path < h->cfg.paths, "path %u of %u", w->tx.path, h->cfg.paths);
		FUZZ_CHECK(!memcmp(&w->tx.to, &w->host[!host].cfg.gid, sizeof(w->tx.to)),
			   "packet to a stranger");
		memcpy(f->data, w->tx.head, w->tx.head_len);
		if (w->tx.payload.len)
			fill(payload_wr(h, &w->tx.payload), w->tx.payload.off,
			     f->data + f->head_len, w->tx.payload.len);
		trace_frame(w, "sent by", f);
		enqueue(w, f);
		n++;
	}
	return n;
}

static void receive(struct world *w, const struct world_frame *f)
{
	struct world_host *h = &w->host[!f->from];
	struct weft_srd_rx rx = { .len = f->len, .ce = f->ce, .trimmed = f->trimmed };
	uint64_t drops = weft_srd_stats(h->srd)->rx_drops[WEFT_SRD_DROP_NO_CONTEXT];
	uint8_t *exact = malloc(f->len ? f->len : 1);

	rx.from = w->host[f->from].cfg.gid;
	memcpy(exact, f->data, f->len);
	rx.data = exact;
	h->heard |= !f->tampered;
	trace_frame(w, "received from", f);
	weft_srd_on_packet(h->srd, &rx, w->now);
	FUZZ_CHECK(!f->tampered ||
			   weft_srd_stats(h->srd)->rx_drops[WEFT_SRD_DROP_NO_CONTEXT] == drops,
		   "a forged packet got past the tag");
	free(exact);
}

void world_deliver(struct world *w, uint32_t n)
{
	struct world_frame *f, **slot;

	if (!w->frames)
		return;
	f = take(w, n % w->frames);
	receive(w, f);
	slot = &w->museum[w->museum_next++ % WORLD_MUSEUM];
	free(*slot);
	*slot = f;
}

void world_drop(struct world *w, uint32_t n)
{
	struct world_frame *f;

	if (!w->frames)
		return;
	f = take(w, n % w->frames);
	trace_frame(w, "lost from", f);
	free(f);
}

void world_duplicate(struct world *w, uint32_t n)
{
	if (w->frames)
		enqueue(w, copy_of(w->frame[n % w->frames]));
}

/* A payload without a checksum cannot be told from a changed one, so only its head is changed. */
void world_corrupt(struct world *w, uint32_t n, uint32_t at, uint8_t xor)
{
	struct world_frame *f;

	if (!w->frames || !xor)
		return;
	f = w->frame[n % w->frames];
	if (f->tampered)
		return; /* A second change could undo the first. */
	if (!w->host[0].cfg.payload_crc && !w->host[1].cfg.payload_crc)
		at %= f->head_len;
	at %= f->len;
	f->data[at] ^= xor;
	f->tampered = at < f->head_len;
}

void world_trim(struct world *w, uint32_t n)
{
	struct world_frame *f;

	if (!w->frames)
		return;
	f = w->frame[n % w->frames];
	f->len = WEFT_MIN(f->len, f->head_len);
	f->trimmed = true;
}

void world_mark(struct world *w, uint32_t n)
{
	if (w->frames)
		w->frame[n % w->frames]->ce = true;
}

void world_replay(struct world *w, uint32_t n)
{
	const struct world_frame *f = w->museum[n % WORLD_MUSEUM];

	if (f)
		enqueue(w, copy_of(f));
}

void world_deliver_all(struct world *w)
{
	for (uint32_t n = w->frames; n; n--)
		world_deliver(w, 0);
}

/* Time */

/* An engine that was told the time and drained must not ask for the same moment again. */
static void tell_time(struct world *w, uint8_t host)
{
	struct world_host *h = &w->host[host];

	for (int i = 0; i < 8; i++) {
		weft_srd_on_timer(h->srd, w->now);
		if (weft_srd_next_deadline(h->srd) > w->now)
			return;
		world_pump(w, host, UINT32_MAX);
		if (weft_srd_next_deadline(h->srd) > w->now)
			return;
	}
	fuzz_fail(__FILE__, __LINE__, "the engine wants to be called again and again");
}

void world_advance(struct world *w, weft_ns by)
{
	w->now += by;
	tell_time(w, 0);
	tell_time(w, 1);
}

bool world_advance_to_deadline(struct world *w, weft_ns limit)
{
	weft_ns a = weft_srd_next_deadline(w->host[0].srd),
		b = weft_srd_next_deadline(w->host[1].srd);
	weft_ns at = WEFT_MIN(a, b);

	if (at == WEFT_NS_NEVER)
		return false;
	world_advance(w, at <= w->now ? 0 : WEFT_MIN(at - w->now, limit));
	return true;
}

void world_check(struct world *w)
{
	fuzz_check_engine(w->host[0].srd);
	fuzz_check_engine(w->host[1].srd);
}

/* The end */

static bool step(struct world *w)
{
	uint32_t n = world_pump(w, 0, 64) + world_pump(w, 1, 64);

	if (!n && !w->frames)
		return world_advance_to_deadline(w, WEFT_NS_NEVER);
	world_deliver_all(w);
	/* A round trip takes its time. */
	world_advance(w, WEFT_US(2));
	return true;
}

static uint32_t unfinished(const struct world *w)
{
	for (uint32_t i = 0; i < w->wrs; i++)
		if (!w->wr[i].done && w->wr[i].inc == w->host[w->wr[i].host].inc)
			return i;
	return WORLD_WRS;
}

static void heal(struct world *w, uint8_t host)
{
	struct world_host *h = &w->host[host];

	for (uint32_t n = 0; h->closing && !weft_srd_is_closed(h->srd); n++)
		FUZZ_CHECK(n < FINISH_STEPS && step(w), "host %u does not get closed", host);
	if (h->closing)
		world_restart(w, host);
	for (uint32_t q = 1; q <= WORLD_QPS; q++)
		h->qp_alive[q] = true;
	h->endless = true;
	h->refuse_reads = false;
}

static bool is_empty(const struct world_host *h)
{
	struct weft_srd_usage u;

	weft_srd_usage(h->srd, &u);
	return !u.active && !u.msgs && !u.reads && !u.rx_msgs && !u.chunks && !u.pieces &&
	       !u.timers;
}

void world_finish(struct world *w)
{
	weft_ns end;
	uint32_t n = 0;

	fuzz_trace("everything works from now on");
	heal(w, 0);
	heal(w, 1);
	heal(w, 0); /* Should host 1 have taken long. */
	end = w->now + FINISH_TIME;
	for (; unfinished(w) < WORLD_WRS; n++)
		FUZZ_CHECK(n < FINISH_STEPS && w->now < end && step(w), "wr %u does not complete%s",
			   unfinished(w),
			   n < FINISH_STEPS && w->now < end ? ": no timer runs" : "");
	end = w->now + FINISH_TIME;
	for (n = 0; w->frames || !is_empty(&w->host[0]) || !is_empty(&w->host[1]); n++)
		FUZZ_CHECK(n < FINISH_STEPS && w->now < end && step(w), "something is left in use");
	world_check(w);
}
