/* SPDX-License-Identifier: BSD-2-Clause */
/* Engines on a fabric.
 *
 * Every host has one engine. A frame of the network stands for one packet of an engine: its head is
 * carried, its payload is only counted, since nobody looks at the bytes. The engine is asked for a
 * packet when the card is idle, never before.
 *
 * Unless the run is cold, every pair of hosts that will talk exchanges one tiny message first and the
 * network then falls silent; that is the start, from which all times and counts are taken.
 *
 * A WRITE names its flow by its address, so the receiver knows what arrived without a table. */
#include "sim/fabric_run.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/prng.h"
#include "sim/fabric_stat.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define WARM_COOKIE  UINT64_MAX /* Of the messages before the start. */
#define WARM_ADDR    ((uint64_t)1 << 62) /* No flow's. */
#define WARM_BYTES   8u
#define QPN          1u
#define ACK_BYTES    100u /* A frame that only acknowledges; for estimates. */
#define QUIET_NS     WEFT_US(50) /* Without a frame under way this long, the network is silent. */
#define GIVE_UP_NS   WEFT_S(60) /* Of virtual time. Engines declare peers dead long before. */
#define SPINS_MAX    1000u /* Timer calls at one point in time: the engine is stuck. */
#define SMALL_HEAD   128u
#define SLAB_PACKETS 256u

struct packet {
	struct packet *next; /* Free list. */
	uint32_t head_len, payload_len;
	bool is_probe; /* Of a path: no data, but in the class of data. */
	bool is_big;
	uint8_t head[];
};

struct slab {
	struct slab *next;
};

struct run;

struct host {
	struct run *run;
	uint32_t index;
	struct weft_srd *srd; /* lives in mem */
	void *mem; /* owns */
	uint32_t ready_head, ready_tail; /* Flows to post, linked by run->ready_next. */
	weft_ns spin_at; /* When the timer last came, and how often at that time. */
	uint32_t spins;
};

struct run {
	const struct weft_sim_fabric_cfg *cfg;
	struct weft_fabric *net;
	struct host *hosts;
	struct weft_sim_load load;
	uint32_t *ready_next; /* By flow. */
	struct packet *free[2]; /* By is_big. */
	struct slab *slabs;
	uint8_t *scratch; /* A packet as the engine gets it: head and room for payload. */
	uint32_t warm_left;
	uint32_t flows_left;
	bool started;
	weft_ns start;
	const char *failure;
	struct weft_sim_losses losses; /* What blackholes swallowed. */
	struct weft_srd_stats srd_before;
	struct weft_fabric_stats net_before;
	bool progress;
	weft_ns wall_began, wall_told;
	bool told;
};

static void *alloc_array(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	weft_assert(p);
	return p;
}

static struct weft_gid gid_of(uint32_t host)
{
	struct weft_gid gid = { { 0xfe, 0x80 } };

	weft_put32(gid.raw + 12, host + 1);
	return gid;
}

static uint32_t host_of(const struct weft_gid *gid)
{
	return weft_get32(gid->raw + 12) - 1;
}

/* Packets */

static struct packet *get_packet(struct run *run, bool is_big)
{
	size_t size = sizeof(struct packet) + (is_big ? WEFT_SRD_HEAD_MAX : SMALL_HEAD);
	struct packet *p = run->free[is_big];

	if (!p) {
		struct slab *slab = alloc_array(1, sizeof(*slab) + SLAB_PACKETS * size);
		uint8_t *at = (uint8_t *)(slab + 1);

		slab->next = run->slabs;
		run->slabs = slab;
		for (size_t i = 0; i < SLAB_PACKETS; i++, at += size) {
			p = (struct packet *)at;
			p->is_big = is_big;
			p->next = run->free[is_big];
			run->free[is_big] = p;
		}
	}
	run->free[is_big] = p->next;
	return p;
}

static void put_packet(struct run *run, struct packet *p)
{
	p->next = run->free[p->is_big];
	run->free[p->is_big] = p;
}

/* What the engine asks of a host */

static struct weft_sim_flow *flow_of(struct run *run, uint64_t addr)
{
	return addr < run->load.flows_len ? &run->load.flows[addr] : NULL;
}

static weft_ns run_now(const struct run *run)
{
	return weft_fabric_now(run->net);
}

static void add_ready(struct host *h, uint32_t flow)
{
	h->run->ready_next[flow] = WEFT_SIM_NONE;
	if (h->ready_head == WEFT_SIM_NONE)
		h->ready_head = flow;
	else
		h->run->ready_next[h->ready_tail] = flow;
	h->ready_tail = flow;
}

static void on_arrived(struct host *h, struct weft_sim_flow *flow)
{
	flow->arrived_at = run_now(h->run);
	if (flow->next != WEFT_SIM_NONE)
		add_ready(h, flow->next);
}

static enum weft_srd_status op_write(void *owner, const struct weft_srd_msg_info *info,
				     uint32_t off, const void *data, uint32_t len)
{
	struct host *h = owner;
	struct weft_sim_flow *flow = flow_of(h->run, info->addr);

	(void)off;
	(void)data;
	if (!flow)
		return WEFT_SRD_OK;
	flow->rcvd += len;
	if (flow->rcvd > flow->bytes)
		h->run->failure = "a receiver got more bytes than were sent";
	else if (flow->rcvd == flow->bytes && info->op == WEFT_SRD_WRITE)
		on_arrived(h, flow);
	return WEFT_SRD_OK;
}

static enum weft_srd_status op_recv_claim(void *owner, const struct weft_srd_msg_info *info,
					  uint64_t *recv_out)
{
	(void)owner;
	*recv_out = info->addr;
	return WEFT_SRD_OK;
}

static void op_recv_done(void *owner, uint64_t recv, const struct weft_srd_msg_info *info)
{
	struct host *h = owner;
	struct weft_sim_flow *flow = flow_of(h->run, recv);

	(void)info;
	if (!flow)
		return;
	if (flow->rcvd != flow->bytes)
		h->run->failure = "a message was complete before all of its bytes had arrived";
	on_arrived(h, flow);
}

static void op_recv_place(void *owner, uint64_t recv, uint32_t off, const void *data, uint32_t len)
{
	(void)owner;
	(void)recv;
	(void)off;
	(void)data;
	(void)len;
}

static void op_recv_release(void *owner, uint64_t recv, const struct weft_srd_msg_info *info)
{
	(void)owner;
	(void)recv;
	(void)info;
}

static enum weft_srd_status op_read_check(void *owner, const struct weft_srd_msg_info *info)
{
	(void)owner;
	(void)info;
	return WEFT_SRD_REMOTE_ADDRESS;
}

static enum weft_srd_status op_read_place(void *owner, uint64_t cookie, uint32_t off,
					  const void *data, uint32_t len)
{
	(void)owner;
	(void)cookie;
	(void)off;
	(void)data;
	(void)len;
	return WEFT_SRD_INVALID_LKEY;
}

static void op_complete(void *owner, uint64_t cookie, enum weft_srd_status status)
{
	struct host *h = owner;
	struct run *run = h->run;
	struct weft_sim_flow *flow;

	if (cookie == WARM_COOKIE) {
		run->warm_left--;
		if (status != WEFT_SRD_OK)
			run->failure = "a context could not be opened";
		return;
	}
	flow = flow_of(run, cookie);
	weft_assert(flow && flow->is_posted && !flow->is_done);
	flow->is_done = true;
	flow->has_failed = status != WEFT_SRD_OK;
	flow->acked_at = run_now(run);
	run->flows_left--;
	if (!flow->has_failed && flow->rcvd != flow->bytes)
		run->failure = "a message was acknowledged before all of its bytes had arrived";
}

static const struct weft_srd_ops srd_ops = {
	.recv_claim = op_recv_claim,
	.recv_place = op_recv_place,
	.recv_done = op_recv_done,
	.recv_release = op_recv_release,
	.write = op_write,
	.read_check = op_read_check,
	.read_place = op_read_place,
	.complete = op_complete,
};

/* Driving an engine */

static void post(struct host *h, uint32_t pair, uint64_t addr, uint64_t cookie, uint32_t bytes,
		 enum weft_srd_op op)
{
	struct weft_srd_wr wr = {
		.cookie = cookie,
		.peer = h->run->load.pairs[pair].peer,
		.op = op,
		.src_qpn = QPN,
		.dst_qpn = QPN,
		.key = 1,
		.addr = addr,
		.len = bytes,
		.rnr_retry = 7,
	};

	if (weft_srd_on_post(h->srd, &wr, run_now(h->run)))
		h->run->failure = "an engine refused a work request";
}

static void post_ready(struct host *h)
{
	while (h->ready_head != WEFT_SIM_NONE) {
		uint32_t i = h->ready_head;
		struct weft_sim_flow *flow = &h->run->load.flows[i];
		bool signals = flow->next != WEFT_SIM_NONE || flow->waits;

		h->ready_head = h->run->ready_next[i];
		flow->is_posted = true;
		flow->posted_at = run_now(h->run);
		post(h, flow->pair, i, i, flow->bytes,
		     signals ? WEFT_SRD_WRITE_IMM : WEFT_SRD_WRITE);
	}
}

/* A deadline that has come while the card is busy is met when the card asks for its next frame, which is
 * soon and needs no event; otherwise an engine whose packets wait for the card could spin. */
static void set_timer(struct host *h)
{
	weft_ns at = weft_srd_next_deadline(h->srd);

	if (at <= run_now(h->run) && weft_fabric_is_busy(h->run->net, h->index))
		at = WEFT_NS_NEVER;
	weft_fabric_set_timer(h->run->net, h->index, at);
}

static void after_input(struct host *h)
{
	post_ready(h);
	weft_fabric_wake(h->run->net, h->index);
	set_timer(h);
}

static bool on_next_frame(void *owner, uint32_t host, weft_ns now,
			  struct weft_fabric_frame *frame_out)
{
	struct run *run = owner;
	struct host *h = &run->hosts[host];
	struct weft_srd_tx tx;
	struct packet *p;

	if (weft_srd_next_deadline(h->srd) <= now) {
		weft_srd_on_timer(h->srd, now);
		post_ready(h);
	}
	if (!weft_srd_next_packet(h->srd, now, &tx)) {
		set_timer(h);
		return false;
	}
	p = get_packet(run, tx.head_len > SMALL_HEAD);
	p->head_len = tx.head_len;
	p->payload_len = tx.payload.len;
	p->is_probe = tx.probe;
	memcpy(p->head, tx.head, tx.head_len);
	*frame_out = (struct weft_fabric_frame){
		.owner = p,
		.bytes = WEFT_SIM_FRAME_OVERHEAD + tx.head_len + tx.payload.len,
		.head_bytes = tx.control ? 0 : WEFT_SIM_FRAME_OVERHEAD + tx.head_len,
		.dst = host_of(&tx.to),
		.entropy = tx.path,
		.control = tx.control,
	};
	weft_assert(frame_out->bytes <= run->cfg->mtu);
	set_timer(h);
	return true;
}

static void on_frame(void *owner, const struct weft_fabric_frame *frame, weft_ns now)
{
	struct run *run = owner;
	struct host *h = &run->hosts[frame->dst];
	struct packet *p = frame->owner;
	struct weft_srd_rx rx = {
		.data = run->scratch,
		.len = p->head_len + (frame->trimmed ? 0 : p->payload_len),
		.from = gid_of(frame->src),
		.ce = frame->ce,
		.trimmed = frame->trimmed,
	};

	memcpy(run->scratch, p->head, p->head_len);
	put_packet(run, p);
	weft_srd_on_packet(h->srd, &rx, now);
	after_input(h);
}

static void on_lost(void *owner, const struct weft_fabric_frame *frame, enum weft_fabric_loss why,
		    weft_ns now)
{
	struct run *run = owner;
	bool is_probe;

	(void)now;
	is_probe = ((const struct packet *)frame->owner)->is_probe;
	put_packet(run, frame->owner);
	if (why != WEFT_FABRIC_LOSS_BLACKHOLE ||
	    frame->sent_at < run->start + run->cfg->blackhole_at)
		return;
	if (frame->control || is_probe)
		run->losses.control++;
	else
		weft_sim_losses_add(&run->losses, frame->src, frame->dst, frame->entropy,
				    frame->sent_at);
}

static void on_timer(void *owner, uint32_t host, weft_ns now)
{
	struct run *run = owner;
	struct host *h = &run->hosts[host];

	h->spins = h->spin_at == now ? h->spins + 1 : 0;
	h->spin_at = now;
	if (h->spins > SPINS_MAX) {
		run->failure = "an engine asks for its timer again and again at the same time";
		return;
	}
	weft_srd_on_timer(h->srd, now);
	after_input(h);
}

static const struct weft_fabric_ops net_ops = {
	.next_frame = on_next_frame,
	.on_frame = on_frame,
	.on_lost = on_lost,
	.on_timer = on_timer,
};

/* Set-up */

weft_ns weft_sim_fabric_base_rtt(const struct weft_fabric_cfg *net, uint32_t mtu)
{
	uint32_t links = weft_fabric_links_max(net);

	return weft_fabric_cross_time(net, links, mtu) +
	       weft_fabric_cross_time(net, links, ACK_BYTES);
}

/* Peers and messages that one host has at most. */
static void host_needs(const struct weft_sim_fabric_cfg *cfg, uint32_t *peers_out,
		       uint32_t *msgs_out)
{
	uint32_t n = cfg->net.hosts;

	switch (cfg->workload) {
	case WEFT_SIM_PERMUTATION:
		*peers_out = 2;
		*msgs_out = 1;
		break;
	case WEFT_SIM_INCAST:
		*peers_out = cfg->senders;
		*msgs_out = 1;
		break;
	case WEFT_SIM_RING_ALLREDUCE:
		*peers_out = 2;
		*msgs_out = 2 * n;
		break;
	case WEFT_SIM_ALLTOALL:
		*peers_out = n - 1;
		*msgs_out = n - 1;
		break;
	}
}

static void engine_cfg(const struct weft_sim_fabric_cfg *cfg, struct weft_srd_cfg *out)
{
	weft_ns rtt = weft_sim_fabric_base_rtt(&cfg->net, cfg->mtu);
	uint32_t peers = 0, msgs = 0;

	host_needs(cfg, &peers, &msgs);
	weft_srd_cfg_default(out);
	out->contexts_max = peers + 2;
	out->active_max = peers + 2;
	out->msgs_max = msgs + peers + 2;
	out->reads_max = 1;
	out->rx_msgs_max = WEFT_MAX(4 * msgs, peers) + 16;
	out->packets_max = WEFT_MAX(4096u, 64 * peers);
	out->payload_max = cfg->mtu - WEFT_SIM_FRAME_OVERHEAD - WEFT_SRD_DATA_HEAD;
	out->paths = cfg->paths;
	out->lb = cfg->lb;
	out->burst_bytes = cfg->burst_bytes;
	out->payload_crc = false;
	out->link_bps = cfg->net.link_bps;
	out->rtt_hint = rtt;
	if (!cfg->credits) {
		/* Without a link speed the engine has no grounds for its windows either. */
		uint64_t bdp = (uint64_t)((unsigned __int128)cfg->net.link_bps * rtt / 8000000000u);

		out->link_bps = 0;
		out->cwnd_init = (uint32_t)WEFT_MIN(WEFT_MAX(bdp, 2 * cfg->mtu), 128u << 10);
		out->cwnd_max = (uint32_t)WEFT_MIN(2 * WEFT_MAX(bdp, 2 * cfg->mtu), 64u << 20);
	}
}

uint64_t weft_sim_fabric_memory(const struct weft_sim_fabric_cfg *cfg)
{
	struct weft_srd_cfg srd;
	uint32_t peers = 0, msgs = 0;

	host_needs(cfg, &peers, &msgs);
	engine_cfg(cfg, &srd);
	return cfg->net.hosts *
	       ((uint64_t)weft_srd_size(&srd) + 256 + (uint64_t)msgs * 128 + 6 * 256);
}

static int hosts_init(struct run *run, const char **why_out)
{
	const struct weft_sim_fabric_cfg *cfg = run->cfg;
	struct weft_srd_cfg srd;
	struct weft_prng prng;
	size_t size;

	engine_cfg(cfg, &srd);
	if (weft_srd_cfg_check(&srd, why_out))
		return -EINVAL;
	size = (weft_srd_size(&srd) + 63) / 64 * 64;
	weft_prng_init(&prng, cfg->seed ^ 0x656e67696e657321u);
	run->hosts = alloc_array(cfg->net.hosts, sizeof(*run->hosts));
	for (uint32_t i = 0; i < cfg->net.hosts; i++) {
		struct host *h = &run->hosts[i];

		srd.gid = gid_of(i);
		srd.seed = weft_prng_next(&prng);
		h->run = run;
		h->index = i;
		h->ready_head = h->ready_tail = WEFT_SIM_NONE;
		h->mem = aligned_alloc(64, size);
		weft_assert(h->mem);
		h->srd = weft_srd_init(h->mem, &srd, &srd_ops, h, 0);
	}
	return 0;
}

static int run_init(struct run *run, const struct weft_sim_fabric_cfg *cfg, const char **why_out)
{
	struct weft_sim_framing framing = {
		.mtu = cfg->mtu,
		.overhead = WEFT_SIM_FRAME_OVERHEAD + WEFT_SRD_DATA_HEAD,
		.ack_bytes = ACK_BYTES,
	};
	struct weft_fabric_cfg net = cfg->net;
	int err;

	run->cfg = cfg;
	err = hosts_init(run, why_out);
	if (err)
		return err;
	net.seed = cfg->seed;
	run->net = weft_fabric_create(&net, &net_ops, run);
	weft_sim_load_init(&run->load, cfg->workload, cfg->size, cfg->senders, &net, &framing,
			   cfg->seed);
	run->ready_next = alloc_array(run->load.flows_len, sizeof(*run->ready_next));
	run->scratch = alloc_array(1, cfg->mtu + WEFT_SRD_HEAD_MAX);
	run->start = WEFT_NS_NEVER / 2;
	for (uint32_t i = 0; i < run->load.pairs_len; i++) {
		struct weft_sim_pair *pair = &run->load.pairs[i];
		struct weft_gid gid = gid_of(pair->dst);

		weft_assert(!weft_srd_peer_get(run->hosts[pair->src].srd, &gid, &pair->peer));
	}
	return 0;
}

static void run_fini(struct run *run)
{
	if (run->net)
		weft_fabric_destroy(run->net);
	for (uint32_t i = 0; i < run->cfg->net.hosts; i++)
		free(run->hosts[i].mem);
	free(run->hosts);
	weft_sim_load_fini(&run->load);
	weft_sim_losses_fini(&run->losses);
	free(run->ready_next);
	free(run->scratch);
	while (run->slabs) {
		struct slab *slab = run->slabs;

		run->slabs = slab->next;
		free(slab);
	}
}

/* The run */

static weft_ns wall_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return WEFT_S(ts.tv_sec) + (weft_ns)ts.tv_nsec;
}

static void tell(struct run *run)
{
	weft_ns now;

	if (!run->progress)
		return;
	now = wall_now();
	if (now - run->wall_began < WEFT_S(2) || now - run->wall_told < WEFT_MS(250))
		return;
	run->wall_told = now;
	run->told = true;
	fprintf(stderr, "\rseed %llu: %.3f ms simulated, %u of %u messages done, %.1f s ",
		(unsigned long long)run->cfg->seed, (double)run_now(run) / 1e6,
		run->started ? run->load.flows_len - run->flows_left : 0, run->load.flows_len,
		(double)(now - run->wall_began) / 1e9);
}

/* Step until *left is 0. */
static void run_until_done(struct run *run, const uint32_t *left)
{
	weft_ns limit = run_now(run) + GIVE_UP_NS;

	for (uint32_t i = 1; *left && !run->failure; i++) {
		if (!weft_fabric_step(run->net))
			run->failure = "nothing moves any more, but messages are not done";
		if (i % 4096)
			continue;
		tell(run);
		if (run_now(run) > limit)
			run->failure = "messages are not done after 60 s of simulated time";
	}
}

static void warm_up(struct run *run)
{
	uint64_t sent;

	run->warm_left = run->load.pairs_len;
	for (uint32_t i = 0; i < run->load.pairs_len; i++) {
		struct host *h = &run->hosts[run->load.pairs[i].src];

		post(h, i, WARM_ADDR, WARM_COOKIE, WARM_BYTES, WEFT_SRD_WRITE);
		after_input(h);
	}
	run_until_done(run, &run->warm_left);
	do {
		sent = weft_fabric_stats(run->net)->sent;
		weft_fabric_run_until(run->net, run_now(run) + QUIET_NS);
	} while (!run->failure &&
		 (weft_fabric_inflight(run->net) || weft_fabric_stats(run->net)->sent != sent));
}

static void sum_stats(const struct run *run, struct weft_srd_stats *sum_out)
{
	*sum_out = (struct weft_srd_stats){ 0 };
	for (uint32_t i = 0; i < run->cfg->net.hosts; i++)
		weft_sim_stats_add(sum_out, weft_srd_stats(run->hosts[i].srd));
}

static void start(struct run *run)
{
	sum_stats(run, &run->srd_before);
	run->net_before = *weft_fabric_stats(run->net);
	run->start = run_now(run);
	run->started = true;
	run->flows_left = run->load.flows_len;
	if (run->cfg->blackhole_links)
		weft_fabric_blackhole(run->net, run->cfg->blackhole_links,
				      run->start + run->cfg->blackhole_at);
	for (uint32_t i = 0; i < run->load.flows_len; i++)
		if (!run->load.flows[i].waits)
			add_ready(&run->hosts[run->load.flows[i].src], i);
	for (uint32_t i = 0; i < run->cfg->net.hosts; i++)
		after_input(&run->hosts[i]);
}

static void task_times(const struct run *run, struct weft_sim_fabric_result *r)
{
	const struct weft_sim_load *load = &run->load;
	weft_ns *acked = alloc_array(load->tasks, sizeof(*acked));
	weft_ns *rcvd = alloc_array(load->tasks, sizeof(*rcvd));

	for (uint32_t i = 0; i < load->flows_len; i++) {
		const struct weft_sim_flow *flow = &load->flows[i];
		weft_ns ack = flow->acked_at - run->start, arrival = flow->arrived_at - run->start;
		uint32_t to = flow->task_dst == WEFT_SIM_NONE ? flow->task_src : flow->task_dst;

		acked[flow->task_src] = WEFT_MAX(acked[flow->task_src], ack);
		acked[to] = WEFT_MAX(acked[to], arrival);
		rcvd[to] = WEFT_MAX(rcvd[to], arrival);
	}
	r->jain = weft_sim_jain(acked, load->tasks);
	weft_sim_spread(acked, load->tasks, &r->fct);
	weft_sim_spread(rcvd, load->tasks, &r->fct_rcvd);
	free(acked);
	free(rcvd);
}

static void gather(struct run *run, struct weft_sim_fabric_result *r)
{
	*r = (struct weft_sim_fabric_result){
		.seed = run->cfg->seed,
		.failure = run->failure,
		.flows = run->load.flows_len,
		.ideal = run->load.ideal,
		.base_rtt = weft_sim_fabric_base_rtt(&run->cfg->net, run->cfg->mtu),
		.net = *weft_fabric_stats(run->net),
		.blackhole_control = run->losses.control,
		.blackhole_data = run->losses.data,
		.trace_hash = weft_fabric_trace_hash(run->net),
	};
	for (uint32_t i = 0; i < run->load.flows_len; i++) {
		r->flows_failed += run->load.flows[i].has_failed;
		r->flows_unfinished += !run->load.flows[i].is_done;
	}
	if (!run->failure && r->flows_failed)
		r->failure = run->failure = "messages ended with an error";
	sum_stats(run, &r->srd);
	weft_sim_stats_sub(&r->srd, &run->srd_before);
	weft_sim_net_stats_sub(&r->net, &run->net_before);
	if (!run->failure)
		task_times(run, r);
	weft_sim_losses_left(&run->losses, run->start + run->cfg->blackhole_at, &r->left_pair,
			     &r->left_path);
}

int weft_sim_fabric_run(const struct weft_sim_fabric_cfg *cfg, bool progress,
			struct weft_sim_fabric_result *result_out, const char **why_out)
{
	struct run run = { .progress = progress, .wall_began = wall_now() };
	int err;

	err = run_init(&run, cfg, why_out);
	if (err)
		return err;
	if (!cfg->cold)
		warm_up(&run);
	if (!run.failure) {
		start(&run);
		run_until_done(&run, &run.flows_left);
	}
	gather(&run, result_out);
	result_out->wall = wall_now() - run.wall_began;
	if (run.told)
		fprintf(stderr, "\r%78s\r", "");
	run_fini(&run);
	return 0;
}
