/* SPDX-License-Identifier: BSD-2-Clause */
/* A link: one engine and the wire under it. Here frames and packets meet, and the engine's questions about
 * messages go on to the queues and regions.
 *
 * Both links of a card speak the same protocol to the same queue pairs. The one over shared memory loses
 * nothing and has one path; what its engine adds there is small, and gives it the same completions and errors
 * as UDP, flow control, and the notice of a dead peer.
 *
 * Addresses. An engine knows a process by 16 opaque bytes: the card's GID with the slot folded in. For an
 * IPv4 underlay the GID is fe80::/64 and has zeros to spare: byte 7. An IPv6 underlay has none, so the slot
 * takes the place of the first byte, which therefore must be the same for all hosts that talk to each other
 * (weft_host_get refuses others).
 *
 * Waking. A process that sleeps is woken by its socket. A sender through shared memory that finds its
 * receiver asleep sends it a frame of no content over UDP. */
#include "dev/conf_set.h"
#include "dev/core.h"

#include "base/assert.h"
#include "base/crc32c.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define RECV_BUDGET 64u
#define QUIET_POLLS 64u /* Polls of the socket without a frame after which it is polled less ... */
#define QUIET_SHARE 32u /* ... one time in so many, while shared memory has lanes. */
#define LANE_RETRY  WEFT_MS(20)
/* Sixteen processes all to all take 62 MB; where there is less (containers often have 64), the last ones
 * use UDP. Half of it halves what a stream moves each time its ends get a core. */
#define LANE_BYTES    (256u << 10)
#define REAP_EVERY    WEFT_MS(500)
#define CLOSE_MAX     WEFT_MS(40)
#define LOCAL_PAYLOAD (32u << 10)
#define UDP_PAYLOAD   (63u << 9) /* Where datagrams can be so long: two fill one send. */
#define FRAME_MAX     (WEFT_SRD_DATA_HEAD + UDP_PAYLOAD)

static_assert(WEFT_SRD_TRAIN_LEAST == WEFT_DEV_MSG_MAX &&
		      WEFT_SRD_PART_HEAD == WEFT_WIRE_PART_HEAD &&
		      WEFT_SRD_HEAD_MAX <= WEFT_WIRE_HEAD_MAX,
	      "the engine's trains are the wire's frames in parts, and heads lie in one piece");

/* Addresses */

void weft_link_address(const struct weft_card *card, const struct weft_gid *gid, uint8_t slot,
		       struct weft_gid *address_out)
{
	*address_out = *gid;
	address_out->raw[card->info->ip.v6 ? 0 : 7] = slot;
}

void weft_link_gid(const struct weft_card *card, const struct weft_gid *address,
		   struct weft_gid *gid_out, uint8_t *slot_out)
{
	uint32_t at = card->info->ip.v6 ? 0 : 7;

	*gid_out = *address;
	*slot_out = address->raw[at];
	gid_out->raw[at] = card->info->gid.raw[at];
}

static bool to_sockaddr(const struct weft_card *card, const struct weft_gid *address,
			union weft_sockaddr *to_out)
{
	struct weft_endpoint e;
	struct weft_gid gid;
	uint8_t slot;

	weft_link_gid(card, address, &gid, &slot);
	if (weft_gid_decode(&gid, &e) || e.ip.v6 != card->info->ip.v6)
		return false;
	memset(to_out, 0, sizeof(*to_out));
	if (e.ip.v6) {
		to_out->in6.sin6_family = AF_INET6;
		to_out->in6.sin6_port = htons((uint16_t)(e.port_base + slot));
		to_out->in6.sin6_scope_id = card->info->ip.scope;
		memcpy(&to_out->in6.sin6_addr, e.ip.raw, 16);
	} else {
		to_out->in4.sin_family = AF_INET;
		to_out->in4.sin_port = htons((uint16_t)(e.port_base + slot));
		memcpy(&to_out->in4.sin_addr, e.ip.raw, 4);
	}
	return true;
}

/* For an ICMP answer: which address a socket address stands for. The port says card and slot. */
static bool from_sockaddr(const struct weft_card *card, const union weft_sockaddr *from,
			  struct weft_gid *address_out)
{
	struct weft_ip ip = { 0 };
	struct weft_gid gid;
	uint32_t base = card->info->port_base - card->info->number * 256u;
	uint32_t port =
		ntohs(from->sa.sa_family == AF_INET6 ? from->in6.sin6_port : from->in4.sin_port);

	if (port < base || port - base >= WEFT_CARDS_MAX * 256u)
		return false;
	if (from->sa.sa_family == AF_INET6) {
		ip.v6 = true;
		memcpy(ip.raw, &from->in6.sin6_addr, 16);
	} else {
		memcpy(ip.raw, &from->in4.sin_addr, 4);
	}
	if (ip.v6 != card->info->ip.v6)
		return false;
	weft_gid_encode(&ip, (port - base) / 256, (uint16_t)(base + (port - base) / 256 * 256),
			&gid);
	weft_link_address(card, &gid, (uint8_t)((port - base) % 256), address_out);
	return true;
}

/* Processes in other network namespaces may have the same addresses as we. */
void weft_link_name(const struct weft_gid *address, char *name, size_t len)
{
	static _Atomic uint64_t netns;
	uint64_t ns = atomic_load(&netns);
	struct stat st;

	if (!ns) {
		ns = stat("/proc/self/ns/net", &st) ? 1 : (uint64_t)st.st_ino;
		atomic_store(&netns, ns);
	}
	snprintf(name, len, "in-%llx-%016llx%016llx", (unsigned long long)ns,
		 (unsigned long long)be64toh(((const uint64_t *)(const void *)address->raw)[0]),
		 (unsigned long long)be64toh(((const uint64_t *)(const void *)address->raw)[1]));
}

/* The engine's questions. `owner` is the link. */

/* The bytes of a payload, where its frame may lie in pieces: how many of them follow each other at `data`. */
static uint32_t piece_len(const struct weft_link *link, const uint8_t *data, uint32_t len)
{
	uint32_t off;

	if (!link->piece)
		return len;
	off = (uint32_t)(data - link->frame) % (link->piece + WEFT_WIRE_PART_HEAD);
	return WEFT_MIN(len, link->piece - off);
}

static bool copy_out(const struct weft_link *link, const struct weft_gpu_mem *gpu, uint8_t *to,
		     const uint8_t *data, uint32_t len)
{
	bool ok = true;

	for (uint32_t n; len; to += n, data += n + WEFT_WIRE_PART_HEAD, len -= n) {
		n = piece_len(link, data, len);
		ok &= weft_mem_put(link->card, gpu, to, data, n);
	}
	return ok;
}

static enum weft_srd_status recv_claim(void *owner, const struct weft_srd_msg_info *info,
				       uint64_t *recv_out)
{
	return weft_rq_claim(((struct weft_link *)owner)->card, info, recv_out);
}

static void recv_place(void *owner, uint64_t recv, uint32_t off, const void *data, uint32_t len)
{
	struct weft_link *link = owner;
	const uint8_t *at = data;

	for (uint32_t n; len; off += n, at += n + WEFT_WIRE_PART_HEAD, len -= n) {
		n = piece_len(link, at, len);
		weft_rq_place(link->card, recv, off, at, n);
	}
}

static void recv_done(void *owner, uint64_t recv, const struct weft_srd_msg_info *info)
{
	weft_rq_done(((struct weft_link *)owner)->card, recv, info);
}

static void recv_release(void *owner, uint64_t recv, const struct weft_srd_msg_info *info)
{
	weft_rq_release(((struct weft_link *)owner)->card, recv, info);
}

static enum weft_srd_status remote_check(struct weft_link *link,
					 const struct weft_srd_msg_info *info, uint32_t access,
					 void **at_out, const struct weft_gpu_mem **gpu_out)
{
	struct weft_qp *qp = weft_qp_target(link->card, info->dst_qpn);

	if (!qp || qp->type != WEFT_QP_SRD)
		return WEFT_SRD_REMOTE_QPN;
	*at_out = weft_region_remote(link->card, qp->pd, info->key, info->addr, info->len, access,
				     gpu_out);
	return *at_out ? WEFT_SRD_OK : WEFT_SRD_REMOTE_ADDRESS;
}

static enum weft_srd_status remote_write(void *owner, const struct weft_srd_msg_info *info,
					 uint32_t off, const void *data, uint32_t len)
{
	const struct weft_link *link = owner;
	const struct weft_gpu_mem *gpu;
	void *at;
	enum weft_srd_status status =
		remote_check(owner, info, WEFT_ACCESS_REMOTE_WRITE, &at, &gpu);

	if (status != WEFT_SRD_OK || !len) {
		if (status == WEFT_SRD_OK) /* A direct copy is in its place. */
			link->card->direct_taken += info->len;
		return status;
	}
	if (!copy_out(link, gpu, (uint8_t *)at + off, data, len))
		return WEFT_SRD_REMOTE_ADDRESS;
	/* With its last packet the sender is told that all of it is there. */
	if (gpu && off + len == info->len && !weft_mem_settle(link->card))
		return WEFT_SRD_REMOTE_ADDRESS;
	return WEFT_SRD_OK;
}

static enum weft_srd_status read_check(void *owner, const struct weft_srd_msg_info *info)
{
	const struct weft_gpu_mem *gpu;
	enum weft_srd_status status;
	void *at;

	status = remote_check(owner, info, WEFT_ACCESS_REMOTE_READ, &at, &gpu);
	if (status == WEFT_SRD_OK && gpu && !weft_mem_is_alive(gpu, at))
		return WEFT_SRD_REMOTE_ADDRESS;
	return status;
}

static enum weft_srd_status read_place(void *owner, uint64_t cookie, uint32_t off, const void *data,
				       uint32_t len)
{
	struct weft_link *link = owner;
	const uint8_t *from = data;
	struct weft_qp *qp;
	struct weft_wqe *wqe = weft_sq_by_cookie(link->card, cookie, &qp);

	if (!wqe)
		return WEFT_SRD_INVALID_LKEY;
	for (uint32_t n; len; off += n, from += n + WEFT_WIRE_PART_HEAD, len -= n) {
		n = piece_len(link, from, len);
		if (weft_sges_put(link->card, wqe->wr.sge, wqe->wr.sge_len, off, from, n) < n)
			return WEFT_SRD_INVALID_LKEY;
	}
	return WEFT_SRD_OK;
}

static void complete(void *owner, uint64_t cookie, enum weft_srd_status status)
{
	weft_sq_on_complete(((struct weft_link *)owner)->card, cookie, status);
}

/* A packet that says more than it has is dropped by its receiver; its request ends when this round does. */
static uint32_t note_unreadable(struct weft_link *link, const struct weft_srd_payload *payload,
				const struct iovec *iov, uint32_t n)
{
	uint32_t len = 0;

	for (uint32_t i = 0; i < n; i++)
		len += (uint32_t)iov[i].iov_len;
	if (len < payload->len) {
		link->unreadable = payload->cookie;
		link->is_unreadable = true;
	}
	return n;
}

/* Where the bytes of an outgoing packet lie. Their region may be gone, but then the work request is, too:
 * weft_mr_destroy cancels it; and the engine asked read_check a moment ago. GPU memory may turn out to be unreadable. */
static uint32_t payload_iov(struct weft_link *link, const struct weft_srd_payload *payload,
			    struct iovec *iov)
{
	struct weft_card *card = link->card;
	const struct weft_gpu_mem *gpu;
	struct weft_wqe *wqe;
	struct weft_qp *qp;
	void *at;

	switch (payload->kind) {
	case WEFT_SRD_PAYLOAD_NONE:
		return 0;
	case WEFT_SRD_PAYLOAD_WR:
		wqe = weft_sq_by_cookie(card, payload->cookie, &qp);
		if (!wqe)
			return 0;
		if (wqe->copied || wqe->wr.is_inline) {
			iov[0].iov_base =
				(wqe->copied ? weft_sq_copy(qp, wqe) : wqe->wr.inline_data) +
				payload->off;
			iov[0].iov_len = payload->len;
			return 1;
		}
		return note_unreadable(link, payload, iov,
				       weft_sges_slice(card, wqe->wr.sge, wqe->wr.sge_len,
						       payload->off, payload->len, iov));
	case WEFT_SRD_PAYLOAD_TARGET:
		qp = weft_qp_target(card, payload->qpn);
		at = qp ? weft_region_remote(card, qp->pd, payload->key,
					     payload->addr + payload->off, payload->len,
					     WEFT_ACCESS_REMOTE_READ, &gpu)
			: NULL;
		at = at ? weft_mem_get(gpu, at, payload->len) : NULL;
		if (!at)
			return 0;
		iov[0].iov_base = at;
		iov[0].iov_len = payload->len;
		return 1;
	}
	return 0;
}

static uint32_t payload_crc(void *owner, const struct weft_srd_payload *payload)
{
	struct weft_link *link = owner;
	struct iovec iov[WEFT_WIRE_IOV_MAX];
	uint32_t n = payload_iov(link, payload, iov), crc = 0;

	for (uint32_t i = 0; i < n; i++)
		crc = weft_crc32c(crc, iov[i].iov_base, iov[i].iov_len);
	return crc;
}

static const struct weft_srd_ops engine_ops = {
	.recv_claim = recv_claim,
	.recv_place = recv_place,
	.recv_done = recv_done,
	.recv_release = recv_release,
	.write = remote_write,
	.read_check = read_check,
	.read_place = read_place,
	.complete = complete,
	.payload_crc = payload_crc,
};

/* Open */

static int engine_open(struct weft_link *link, struct weft_srd_cfg *cfg)
{
	const char *why;
	int err = weft_srd_cfg_check(cfg, &why);

	if (err)
		return err;
	link->mem_size = weft_srd_size(cfg);
	/* Pages that are never needed are never touched. */
	link->mem = mmap(NULL, link->mem_size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (link->mem == MAP_FAILED) {
		link->mem = NULL;
		return -ENOMEM;
	}
	link->srd = weft_srd_init(link->mem, cfg, &engine_ops, link, link->card->now);
	link->deadline = weft_srd_next_deadline(link->srd);
	return 0;
}

static int engine_cfg(const struct weft_link *link, struct weft_srd_cfg *cfg)
{
	const struct weft_conf *conf = weft_conf_get();
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	weft_srd_cfg_default(cfg);
	weft_link_address(link->card, &link->card->info->gid, link->card->slot, &cfg->gid);
	cfg->seed = ((uint64_t)ts.tv_sec << 30 ^ (uint64_t)ts.tv_nsec) * 0x9e3779b97f4a7c15u ^
		    (uint64_t)getpid() << 20 ^ link->card->port ^ (uint64_t)link->kind << 50;
	/* What is full makes posts wait, so these are what is worth having at a time; a card's engines begin with
	 * some 4 MB. The peers of shared memory all live on this host. */
	if (link->kind == WEFT_LINK_UDP) {
		cfg->contexts_max = 16384;
		cfg->active_max = 384;
		cfg->msgs_max = 8192;
		cfg->reads_max = 2048;
		cfg->rx_msgs_max = 2048;
		cfg->packets_max = 32768;
	} else {
		cfg->contexts_max = 2048;
		cfg->active_max = 256;
		cfg->msgs_max = 4096;
		cfg->reads_max = 1024;
		cfg->rx_msgs_max = 1024;
		cfg->packets_max = 8192;
	}
	cfg->payload_crc = false; /* UDP has a checksum, memory needs none. */
	cfg->link_bps = 0; /* No credits: the kernel's queues, not a switch, are the bottleneck. */
	cfg->dead_after = conf->dead_after;
	return weft_key_get(link->card->info, cfg->key);
}

int weft_link_open_udp(struct weft_link *link)
{
	struct weft_card *card = link->card;
	const struct weft_conf *conf = weft_conf_get();
	struct weft_udp_cfg udp = {
		.frame_max = FRAME_MAX,
		.rcvbuf = conf->rcvbuf,
		.sndbuf = conf->sndbuf,
		.gso = conf->gso,
		.gro = conf->gro,
		.joined = true,
	};
	struct weft_udp_stats stats;
	struct weft_srd_cfg cfg;
	struct weft_gid address;
	uint32_t frame, first = (uint32_t)getpid() % 255, i;
	int err = -EADDRINUSE;

	udp.paths = conf->paths ? conf->paths : weft_ip_is_loopback(&card->info->ip) ? 1 : 64;
	/* Slot 0 stays free, so that no QPN is 0 or 1: those have a meaning of old. */
	for (i = 0; i < 255 && err == -EADDRINUSE; i++) {
		card->slot = (uint8_t)(1 + (first + i) % 255);
		card->port = (uint16_t)(card->info->port_base + card->slot);
		weft_link_address(card, &card->info->gid, card->slot, &address);
		if (!to_sockaddr(card, &address, &udp.addr))
			return -EADDRNOTAVAIL;
		udp.addr.in4.sin_port = htons(card->port);
		err = weft_udp_open(&udp, &link->udp);
	}
	if (err)
		return err;
	err = engine_cfg(link, &cfg);
	if (err)
		goto err_close;
	err = weft_udp_frame_max(link->udp, &udp.addr, &frame);
	if (err)
		goto err_close;
	/* The route to ourselves is the loopback interface's; what counts is the card's own interface. */
	if (conf->mtu)
		frame = WEFT_MIN(frame, conf->mtu - (card->info->ip.v6 ? 48u : 28u));
	else if (card->info->mtu)
		frame = WEFT_MIN(frame, card->info->mtu - (card->info->ip.v6 ? 48u : 28u));
	weft_udp_stats(link->udp, &stats);
	cfg.payload_max = WEFT_MIN(frame - WEFT_SRD_DATA_HEAD, UDP_PAYLOAD);
	cfg.trains = true;
	cfg.paths = udp.paths;
	cfg.burst_bytes = 65536 - 512;
	cfg.rtt_hint = WEFT_US(50);
	cfg.delay_target = WEFT_MS(1);
	cfg.rto_min = WEFT_MS(2);
	cfg.ack_delay = WEFT_US(50);
	cfg.ack_hold = WEFT_US(20);
	cfg.ack_packets = 64;
	cfg.ack_bytes = 256u << 10;
	cfg.cwnd_max = WEFT_MAX(WEFT_MIN(stats.rcvbuf / 2, 2u << 20), 64u << 10);
	cfg.cwnd_init = WEFT_MIN(cfg.cwnd_max, 256u << 10);
	err = engine_open(link, &cfg);
	if (err)
		goto err_close;
	return 0;

err_close:
	weft_udp_close(link->udp);
	link->udp = NULL;
	return err;
}

int weft_link_open_local(struct weft_link *link)
{
	static _Atomic bool swept;
	char name[64], dir[256], reason[400];
	struct weft_local_cfg local = {
		.dir = dir,
		.name = name,
		.frame_max = WEFT_SRD_DATA_HEAD + LOCAL_PAYLOAD,
		.lane_bytes = LANE_BYTES,
	};
	struct weft_srd_cfg cfg;
	struct weft_gid address;
	const char *run_dir, *why;
	int err = weft_conf_run_dir(&run_dir, &why);

	/* A folder of their own: whatever else lies there would be swept away as a dead inbox. */
	if (!err) {
		snprintf(dir, sizeof(dir), "%s/inbox", run_dir);
		err = weft_conf_make_dir(dir, reason, sizeof(reason));
	}
	if (!err)
		err = engine_cfg(link, &cfg);
	if (err)
		return err;
	weft_link_address(link->card, &link->card->info->gid, link->card->slot, &address);
	weft_link_name(&address, name, sizeof(name));
	if (!atomic_exchange(&swept, true))
		(void)weft_local_sweep(dir); /* What dead processes left. */
	err = weft_local_open(&local, &link->local);
	if (err)
		return err;
	cfg.payload_max = LOCAL_PAYLOAD;
	cfg.paths = 1;
	cfg.burst_bytes = 65536 - 512;
	cfg.rtt_hint = WEFT_US(2);
	/* Nothing is lost here; what looks late is a receiver that has no core to run on. */
	cfg.delay_target = WEFT_MS(10);
	cfg.rto_min = WEFT_MS(20);
	cfg.rto_max = WEFT_MS(200);
	/* An acknowledgement costs little here, and one that is owed by a client that has stopped polling costs
	 * its peer a tick of the helper: send it at once. */
	cfg.ack_delay = 1;
	cfg.ack_hold = WEFT_US(4);
	cfg.untagged = true; /* Lanes are in reach of one user only. */
	cfg.ack_packets = 16;
	cfg.ack_bytes = 64u << 10;
	cfg.cwnd_max = LANE_BYTES * 3 / 4; /* So a lane is never full. */
	cfg.cwnd_init = cfg.cwnd_max;
	err = engine_open(link, &cfg);
	if (err)
		goto err_close;
	link->lanes = calloc(WEFT_LANES_MAX, sizeof(*link->lanes));
	if (!link->lanes) {
		err = -ENOMEM;
		goto err_engine;
	}
	link->reap_at = link->card->now + REAP_EVERY;
	return 0;

err_engine:
	munmap(link->mem, link->mem_size);
	link->mem = NULL;
	link->srd = NULL;
err_close:
	weft_local_close(link->local);
	link->local = NULL;
	return err;
}

/* Lanes */

/* A place without a lane only remembers that nobody was there a moment ago. It stays when that is over, since a
 * hole would end the searches that pass it, but whoever comes by may take it for another address. */
static struct weft_link_lane *lane_place(struct weft_link *link, const struct weft_gid *address)
{
	struct weft_card *card = link->card;
	uint32_t i = weft_gid_hash(address) % WEFT_LANES_MAX;
	struct weft_link_lane *spare = NULL;

	for (uint32_t n = 0; n < WEFT_LANES_MAX; n++, i = (i + 1) % WEFT_LANES_MAX) {
		struct weft_link_lane *l = &link->lanes[i];

		if (!l->lane && !l->retry_at) {
			if (spare && spare->retry_at <= card->now)
				break;
			link->lanes_used++;
			l->to = *address;
			return l;
		}
		if (!memcmp(&l->to, address, sizeof(l->to)))
			return l;
		if (!l->lane && (!spare || l->retry_at < spare->retry_at))
			spare = l;
	}
	if (spare) {
		spare->to = *address;
		spare->retry_at = 1; /* Long ago, and not a hole. */
	}
	return spare;
}

static struct weft_link_lane *lane_of(struct weft_link *link, const struct weft_gid *address)
{
	struct weft_card *card = link->card;
	struct weft_link_lane *l = lane_place(link, address);
	char name[64];
	int err;

	if (!l)
		return NULL;
	if (l->lane || card->now < l->retry_at)
		return l->lane ? l : NULL;
	l->retry_at = card->now + LANE_RETRY;
	weft_link_name(address, name, sizeof(name));
	err = weft_local_connect(link->local, name, &l->lane);
	l->is_absent = err == -ENOENT;
	if (err) {
		l->lane = NULL;
		return NULL;
	}
	return l;
}

static bool is_absent(struct weft_link *link, const struct weft_gid *address)
{
	const struct weft_link_lane *l = lane_place(link, address);

	return l && !l->lane && l->is_absent;
}

/* The peer needs a lane to us as well: where memory is scarce, the wire that needs none is the better one. */
static bool has_room(void)
{
	struct statvfs st;

	return statvfs(weft_conf_get()->run_dir, &st) ||
	       (uint64_t)st.f_bavail * st.f_bsize > 8 * LANE_BYTES;
}

bool weft_link_sees(struct weft_link *link, const struct weft_gid *address)
{
	return link->srd && has_room() && lane_of(link, address);
}

/* A lane leads nowhere any more: its reader closed it or died. Who is there under that address now, if
 * anybody, is another process, so the engine's context ends. */
static void lane_lost(struct weft_link *link, struct weft_link_lane *l)
{
	weft_local_disconnect(link->local, l->lane);
	l->lane = NULL;
	l->is_absent = true;
	l->retry_at = link->card->now + LANE_RETRY;
	weft_srd_on_unreachable(link->srd, &l->to, link->card->now);
}

/* Work */

/* Where an answer to a stranger goes (RESET): the address of the port that a frame came from. Frames of other
 * paths have a source that is nobody's address, and get none; some of those that follow will come by path 0. */
static const struct weft_gid *address_of(struct weft_link *link, const union weft_sockaddr *from)
{
	static const struct weft_gid nobody;

	if (!weft_udp_is_same(&link->from, from)) {
		link->from = *from;
		link->from_known = from_sockaddr(link->card, from, &link->from_address);
	}
	return link->from_known ? &link->from_address : &nobody;
}

/* All packets of a frame that is in one piece. */
static void on_packets(struct weft_link *link, struct weft_srd_rx in, uint32_t left)
{
	link->piece = 0;
	for (; left; left -= in.len, in.data += in.len) {
		in.len = weft_srd_packet_len(in.data, left);
		weft_srd_on_packet(link->srd, &in, link->card->now);
	}
}

/* The first packet of a frame in pieces lies as it came. What rides behind it is short, as a rule, and is put together. */
static void on_pieces(struct weft_link *link, struct weft_srd_rx in, uint32_t left)
{
	uint32_t step = link->piece + WEFT_WIRE_PART_HEAD;
	uint8_t rest[FRAME_MAX];

	in.len = weft_srd_packet_len(in.data, left);
	weft_srd_on_packet(link->srd, &in, link->card->now);
	left -= in.len;
	if (!left)
		return;
	in.data += in.len / link->piece * step + in.len % link->piece;
	(void)copy_out(link, NULL, rest, in.data, left);
	in.data = rest;
	on_packets(link, in, left);
}

static void on_frame(void *arg, const struct weft_wire_rx *rx)
{
	struct weft_link *link = arg;
	struct weft_srd_rx in = { .data = rx->data, .ce = rx->ce };

	if (rx->len <= 1) /* Somebody woke us. */
		return;
	if (rx->from)
		in.from = *address_of(link, rx->from);
	link->frame = rx->data;
	link->piece = rx->piece;
	if (rx->piece)
		on_pieces(link, in, rx->len);
	else
		on_packets(link, in, rx->len);
}

static void look_for_dead(struct weft_link *link)
{
	weft_local_reap(link->local);
	for (uint32_t i = 0; i < WEFT_LANES_MAX; i++) {
		struct weft_link_lane *l = &link->lanes[i];

		if (l->lane && weft_local_is_gone(l->lane))
			lane_lost(link, l);
	}
}

uint32_t weft_link_recv(struct weft_link *link)
{
	struct weft_card *card = link->card;
	union weft_sockaddr who;
	struct weft_gid address;
	uint32_t got;

	if (!link->srd)
		return 0;
	if (link->kind == WEFT_LINK_LOCAL) {
		/* A frame that was waited for goes to its client alone. To look for another one means to wait for the
		 * line that its sender is just writing; that is for the next poll. (Measured, an ACK behind each of
		 * them: 8 bytes take 0.71 instead of 0.96 us, and no rate is lower.) */
		got = weft_local_recv(link->local, link->lanes_empty ? 1 : RECV_BUDGET, on_frame,
				      link);
		link->lanes_empty = !got;
		if (card->now >= link->reap_at) {
			link->reap_at = card->now + REAP_EVERY;
			look_for_dead(link);
		}
		return got;
	}
	/* A timer that is due wants to know first what has arrived. */
	if (link->quiet_polls >= QUIET_POLLS && card->now < link->deadline &&
	    card->link[WEFT_LINK_LOCAL].lanes_used && ++link->quiet_polls % QUIET_SHARE)
		return 0;
	got = weft_udp_recv(link->udp, RECV_BUDGET, on_frame, link);
	link->quiet_polls = got ? 0 : link->quiet_polls + 1;
	while (weft_udp_next_unreachable(link->udp, &who))
		if (from_sockaddr(card, &who, &address))
			weft_srd_on_unreachable(link->srd, &address, card->now);
	return got;
}

/* Whole pages that only traffic needs. */
static void give_back(const uint8_t *mem, size_t len)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t from = ((uintptr_t)mem + page - 1) / page * page;
	uintptr_t to = ((uintptr_t)mem + len) / page * page;

	if (from < to)
		(void)madvise((void *)from, to - from, MADV_DONTNEED);
}

void weft_link_timer(struct weft_link *link)
{
	size_t len;
	void *mem;

	if (!link->srd || link->card->now < weft_srd_next_deadline(link->srd))
		return;
	weft_srd_on_timer(link->srd, link->card->now);
	if (weft_srd_next_spare(link->srd, &mem, &len))
		give_back(mem, len);
}

static void wake(struct weft_card *card, const struct weft_gid *address)
{
	struct weft_udp *udp = card->link[WEFT_LINK_UDP].udp;
	union weft_sockaddr to;

	if (!to_sockaddr(card, address, &to))
		return;
	weft_udp_send(udp, &to, 0, &(struct weft_wire_tx){ .head = "", .head_len = 1 });
	weft_udp_flush(udp);
}

static bool is_unlucky(struct weft_link *link)
{
	uint32_t ppm = weft_conf_get()->loss_ppm;
	static _Thread_local uint64_t state;

	if (!ppm || link->kind != WEFT_LINK_UDP)
		return false;
	state = state * 6364136223846793005u + 1442695040888963407u + link->card->port;
	return (uint32_t)(state >> 33) % 1000000u < ppm;
}

/* The card's own interface said at first how long frames may be. The route to a peer may know better: it leads over
 * another interface (the card's address is on the loopback one), or it became narrower. True: there is more to send. */
static bool heed_too_long(struct weft_link *link)
{
	union weft_sockaddr to;
	struct weft_gid address;
	uint32_t frame;
	bool any = false;

	while (weft_udp_next_too_long(link->udp, &to)) {
		if (!from_sockaddr(link->card, &to, &address) ||
		    weft_udp_frame_max(link->udp, &to, &frame) || frame <= WEFT_SRD_DATA_HEAD)
			continue;
		weft_srd_on_too_long(link->srd, &address, frame - WEFT_SRD_DATA_HEAD,
				     link->card->now);
		any = true;
	}
	return any;
}

/* A packet that waits for one that may ride with it. */
struct waiting {
	struct weft_srd_tx tx;
	struct iovec iov[WEFT_WIRE_IOV_MAX];
	uint32_t iov_len;
};

static void send_udp(struct weft_link *link, const struct waiting *w,
		     const struct weft_srd_tx *rider)
{
	struct weft_wire_tx frame = {
		.head = w->tx.head,
		.head_len = w->tx.head_len,
		.iov = w->iov,
		.iov_len = w->iov_len,
		.seg_max = w->tx.seg_max,
	};
	union weft_sockaddr to;

	if (rider) {
		frame.tail = rider->head;
		frame.tail_len = rider->head_len;
	}
	if (!to_sockaddr(link->card, &w->tx.to, &to))
		return;
	if (is_unlucky(link)) {
		link->card->losses++;
		return;
	}
	weft_udp_send(link->udp, &to, w->tx.path, &frame);
}

static void drain_udp_once(struct weft_link *link)
{
	weft_ns now = link->card->now;
	struct waiting two[2], *w = &two[0], *next = &two[1], *spare;
	bool any = weft_srd_next_packet(link->srd, now, &w->tx), more = any;

	while (more) {
		w->iov_len = payload_iov(link, &w->tx.payload, w->iov);
		more = weft_srd_next_packet(link->srd, now, &next->tx);
		if (more && next->tx.rides && !memcmp(&next->tx.to, &w->tx.to, sizeof(w->tx.to))) {
			send_udp(link, w, &next->tx);
			more = weft_srd_next_packet(link->srd, now, &w->tx);
			continue;
		}
		send_udp(link, w, NULL);
		spare = w;
		w = next;
		next = spare;
	}
	if (any)
		weft_udp_flush(link->udp);
}

static void drain_udp(struct weft_link *link)
{
	do
		drain_udp_once(link);
	while (heed_too_long(link));
}

struct dirty {
	struct weft_link_lane
		*lane[16]; /* Those that frames were sent into since the last flush. */
	uint32_t len;
};

static void flush_lanes(struct weft_link *link, struct dirty *d)
{
	for (uint32_t i = 0; i < d->len; i++) {
		struct weft_link_lane *l = d->lane[i];

		l->dirty = false;
		if (l->lane && weft_local_flush(l->lane))
			wake(link->card, &l->to);
	}
	d->len = 0;
}

static void drain_local(struct weft_link *link)
{
	struct weft_srd_tx tx;
	struct iovec iov[WEFT_WIRE_IOV_MAX];
	struct dirty dirty = { .len = 0 };

	while (weft_srd_next_packet(link->srd, link->card->now, &tx)) {
		uint32_t n = payload_iov(link, &tx.payload, iov);
		struct weft_link_lane *l = lane_of(link, &tx.to);

		if (!l) {
			/* That nobody is there is certain; that there is no room may change. */
			if (is_absent(link, &tx.to))
				weft_srd_on_unreachable(link->srd, &tx.to, link->card->now);
			continue;
		}
		if (weft_local_send(l->lane, tx.head, tx.head_len, iov, n) == -EPIPE) {
			lane_lost(link, l);
			continue;
		}
		if (l->dirty)
			continue;
		/* The first one is under way while we see to the others. */
		weft_local_publish(l->lane);
		l->dirty = true;
		dirty.lane[dirty.len++] = l;
		if (dirty.len == WEFT_ARRAY_SIZE(dirty.lane))
			flush_lanes(link, &dirty);
	}
	flush_lanes(link, &dirty);
}

void weft_link_drain(struct weft_link *link)
{
	if (!link->srd)
		return;
	/* What is acknowledged is in its place. */
	if (link->card->unsettled)
		(void)weft_mem_settle(link->card);
	link->corked = 0;
	if (link->kind == WEFT_LINK_LOCAL)
		drain_local(link);
	else
		drain_udp(link);
	if (link->is_unreadable) {
		link->is_unreadable = false;
		weft_srd_cancel(link->srd, link->unreadable, WEFT_SRD_INVALID_LKEY,
				link->card->now);
	}
	link->deadline = weft_srd_next_deadline(link->srd);
}

bool weft_link_sleep(struct weft_link *link)
{
	return link->local && weft_local_sleep(link->local);
}

/* Close */

/* Peers are told; what they still say is answered for a moment, so that the last acknowledgement of a
 * process that ends right after its last message is not the one that gets lost. */
void weft_link_close(struct weft_link *link)
{
	weft_ns until;

	if (!link->srd)
		return;
	link->card->now = weft_clock();
	until = link->card->now + CLOSE_MAX;
	weft_link_drain(link);
	weft_srd_close(link->srd, link->card->now);
	weft_link_drain(link);
	while (!weft_srd_is_closed(link->srd) && link->card->now < until) {
		struct timespec nap = { .tv_nsec = 50000 };

		nanosleep(&nap, NULL);
		link->card->now = weft_clock();
		link->quiet_polls = 0;
		weft_link_recv(link);
		weft_link_timer(link);
		weft_link_drain(link);
	}
	link->srd = NULL;
	munmap(link->mem, link->mem_size);
	link->mem = NULL;
	if (link->lanes)
		for (uint32_t i = 0; i < WEFT_LANES_MAX; i++)
			if (link->lanes[i].lane)
				weft_local_disconnect(link->local, link->lanes[i].lane);
	free(link->lanes);
	link->lanes = NULL;
	if (link->local)
		weft_local_close(link->local);
	if (link->udp)
		weft_udp_close(link->udp);
	link->local = NULL;
	link->udp = NULL;
}

void weft_link_forked(struct weft_link *link)
{
	if (link->local)
		weft_local_forked(link->local);
	if (link->udp)
		weft_udp_close(link->udp);
	if (link->mem)
		munmap(link->mem, link->mem_size);
	link->local = NULL;
	link->udp = NULL;
	link->srd = NULL;
	link->mem = NULL;
}
