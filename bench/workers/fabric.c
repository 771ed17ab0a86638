/* SPDX-License-Identifier: BSD-2-Clause */
/* fabric --port P					the server: it is told by the client what to do
 * fabric --port P -p PROVIDER MODE HOST [options]	the client: prints one line of JSON
 *
 * One program for all providers of libfabric, so that they can be compared: reliable datagram endpoints, tagged messages
 * and RMA WRITEs, addresses exchanged over a TCP connection beside. A stream has a window of messages under way, and its
 * time ends when the receiver says that it has them all. Under way is what the receiver has not acknowledged (it does so twice
 * in a window): what only has left fills its library with messages that nobody has asked for, and then that is measured. */
#include <getopt.h>
#include <rdma/fabric.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_errno.h>
#include <rdma/fi_rma.h>
#include <rdma/fi_tagged.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "work.h"

#define MAGIC       0x66616231u
#define RECVS       64u
#define TAG_DATA    1u
#define TAG_WORD    2u /* "That was all", and "I have it all". */
#define TAG_ROOM    3u /* "I have half a window more". */
#define ROOMS       4u
#define NAME_MAX_   256u
#define CHECK_EVERY 64u /* Messages between two looks at the clock. */

enum mode {
	LAT,
	BW,
	WRITE
};

struct plan { /* As it is sent. */
	uint32_t magic;
	enum mode mode;
	uint32_t size, window;
	uint64_t span, iterations, ns;
	uint32_t untagged;
	char provider[64], fabric[64];
};

struct name { /* As it is sent. */
	uint8_t bytes[NAME_MAX_];
	uint64_t len, key, addr;
};

struct end {
	struct plan plan;
	int side;
	bool is_client;
	struct fi_info *info;
	struct fid_fabric *fabric;
	struct fid_domain *domain;
	struct fid_av *av;
	struct fid_cq *tx, *rx;
	struct fid_ep *ep;
	struct fid_mr *mr;
	void *desc;
	uint8_t *mem;
	size_t size;
	fi_addr_t peer;
	uint64_t key, addr;
	struct fi_context2 sends[1024], recvs[RECVS], word, rooms[ROOMS];
	uint32_t busy;
	uint64_t answered; /* Messages that the receiver has. */
	uint64_t received; /* Data only. */
	bool has_word;
};

static const char usage[] =
	"usage: fabric --port P                                  server, for one client\n"
	"       fabric --port P -p PROVIDER MODE HOST [options]  client\n"
	"\n"
	"modes  lat     tagged ping-pong: nanoseconds of one way\n"
	"       bw      tagged messages with a window under way\n"
	"       write   RMA WRITEs with a window under way\n"
	"\n"
	"  -s, --size BYTES    of a message (1m; lat: 64)\n"
	"  --window N          messages under way (64)\n"
	"  --span BYTES        memory that messages go through at each end (window * size, to "
	"64m)\n"
	"  --seconds T         bw, write: how long (1)\n"
	"  --iterations N      lat: exchanges (10000)\n"
	"  --fabric NAME       of the provider's fabrics\n"
	"  --untagged          lat: messages without tags\n"
	"  --source ADDRESS    of this end, on either side\n";

static void need(long ret, const char *what)
{
	if (ret < 0)
		work_fatal("%s: %s", what, fi_strerror((int)-ret));
}

static void find(struct end *e, const char *source)
{
	struct fi_info *hints = fi_allocinfo();
	int ret;

	if (!hints)
		work_fatal("memory");
	hints->ep_attr->type = FI_EP_RDM;
	hints->caps =
		FI_MSG | (e->plan.untagged ? 0 : FI_TAGGED) | (e->plan.mode == WRITE ? FI_RMA : 0);
	hints->mode = FI_CONTEXT | FI_CONTEXT2;
	hints->domain_attr->mr_mode =
		FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_PROV_KEY | FI_MR_ENDPOINT;
	hints->domain_attr->threading = FI_THREAD_DOMAIN;
	hints->domain_attr->resource_mgmt = FI_RM_ENABLED;
	hints->tx_attr->size = 0;
	hints->fabric_attr->prov_name = strdup(e->plan.provider);
	if (e->plan.fabric[0])
		hints->fabric_attr->name = strdup(e->plan.fabric);
	ret = fi_getinfo(FI_VERSION(1, 17), source, NULL, source ? FI_SOURCE : 0, hints, &e->info);
	if (ret)
		work_fatal("no provider %s here: %s", e->plan.provider, fi_strerror(-ret));
	fi_freeinfo(hints);
}

static struct fid_cq *open_cq(struct end *e)
{
	struct fi_cq_attr attr = { .size = 4096, .format = FI_CQ_FORMAT_CONTEXT };
	struct fid_cq *cq;

	need(fi_cq_open(e->domain, &attr, &cq, NULL), "fi_cq_open");
	return cq;
}

static void open_memory(struct end *e)
{
	/* Data, received data, and a word of each direction. */
	e->size = 2 * e->plan.span + 8192;
	e->mem = work_memory(e->size);
	if (!(e->info->domain_attr->mr_mode & FI_MR_LOCAL) && e->plan.mode != WRITE)
		return;
	need(fi_mr_reg(e->domain, e->mem, e->size,
		       FI_SEND | FI_RECV | (e->plan.mode == WRITE ? FI_WRITE | FI_REMOTE_WRITE : 0),
		       0, e->is_client ? 1 : 2, 0, &e->mr, NULL),
	     "fi_mr_reg");
	if (e->info->domain_attr->mr_mode & FI_MR_ENDPOINT) {
		need(fi_mr_bind(e->mr, &e->ep->fid, 0), "fi_mr_bind");
		need(fi_mr_enable(e->mr), "fi_mr_enable");
	}
	e->desc = fi_mr_desc(e->mr);
}

static void open_end(struct end *e, const char *source)
{
	struct fi_av_attr av = { .type = FI_AV_TABLE, .count = 1 };

	find(e, source);
	need(fi_fabric(e->info->fabric_attr, &e->fabric, NULL), "fi_fabric");
	need(fi_domain(e->fabric, e->info, &e->domain, NULL), "fi_domain");
	need(fi_av_open(e->domain, &av, &e->av, NULL), "fi_av_open");
	need(fi_endpoint(e->domain, e->info, &e->ep, NULL), "fi_endpoint");
	e->tx = open_cq(e);
	e->rx = open_cq(e);
	need(fi_ep_bind(e->ep, &e->av->fid, 0), "AV");
	need(fi_ep_bind(e->ep, &e->tx->fid, FI_TRANSMIT), "CQ");
	need(fi_ep_bind(e->ep, &e->rx->fid, FI_RECV), "CQ");
	need(fi_enable(e->ep), "fi_enable");
	open_memory(e);
}

static void know_each_other(struct end *e)
{
	struct name own = { .len = NAME_MAX_ }, other;

	need(fi_getname(&e->ep->fid, own.bytes, &own.len), "fi_getname");
	if (e->mr) {
		own.key = fi_mr_key(e->mr);
		own.addr = e->info->domain_attr->mr_mode & FI_MR_VIRT_ADDR ? (uintptr_t)e->mem : 0;
	}
	work_put(e->side, &own, sizeof(own));
	work_get(e->side, &other, sizeof(other));
	if (fi_av_insert(e->av, other.bytes, 1, &e->peer, 0, NULL) != 1)
		work_fatal("fi_av_insert failed");
	e->key = other.key;
	e->addr = other.addr;
}

static uint32_t half_window(const struct end *e)
{
	return e->plan.window > 1 ? e->plan.window / 2 : 1;
}

static void post_room(struct end *e, struct fi_context2 *room)
{
	long ret;

	do
		ret = fi_trecv(e->ep, e->mem + e->size - 192, 8, e->desc, FI_ADDR_UNSPEC, TAG_ROOM,
			       0, room);
	while (ret == -FI_EAGAIN);
	need(ret, "fi_trecv");
}

/* Takes completions of one queue. The number of them. */
static uint32_t reap(struct end *e, struct fid_cq *cq)
{
	struct fi_cq_entry entry[16];
	struct fi_cq_err_entry err = { 0 };
	ssize_t n = fi_cq_read(cq, entry, 16);

	if (n == -FI_EAGAIN)
		return 0;
	if (n == -FI_EAVAIL) {
		fi_cq_readerr(cq, &err, 0);
		work_fatal("completed with %s", fi_strerror(err.err));
	}
	need(n, "fi_cq_read");
	for (ssize_t i = 0; i < n && cq == e->rx; i++) {
		struct fi_context2 *context = entry[i].op_context;

		if (context == &e->word) {
			e->has_word = true;
		} else if (context >= e->rooms && context < e->rooms + ROOMS) {
			e->answered += half_window(e);
			post_room(e, context);
		}
	}
	return (uint32_t)n;
}

static void reap_sent(struct end *e)
{
	e->busy -= reap(e, e->tx);
}

static void post_word(struct end *e)
{
	long ret;

	e->has_word = false;
	do {
		ret = fi_trecv(e->ep, e->mem + e->size - 64, 8, e->desc, FI_ADDR_UNSPEC, TAG_WORD,
			       0, &e->word);
		reap_sent(e);
	} while (ret == -FI_EAGAIN);
	need(ret, "fi_trecv");
}

static void send_one(struct end *e, uint8_t *from, uint32_t len, uint64_t tag, void *context)
{
	long ret;

	do {
		ret = e->plan.untagged ? fi_send(e->ep, from, len, e->desc, e->peer, context)
				       : fi_tsend(e->ep, from, len, e->desc, e->peer, tag, context);
		if (ret)
			reap_sent(e);
	} while (ret == -FI_EAGAIN);
	need(ret, "fi_tsend");
	e->busy++;
}

static void say_word(struct end *e)
{
	send_one(e, e->mem + e->size - 128, 8, TAG_WORD, &e->sends[1023]);
	while (e->busy)
		reap_sent(e);
}

static uint8_t *recv_place(struct end *e, uint32_t slot)
{
	uint64_t pieces = e->plan.span / e->plan.size;

	return e->mem + e->plan.span + slot % pieces * e->plan.size;
}

static void post_recv(struct end *e, uint32_t slot, uint64_t place)
{
	long ret;

	do {
		ret = e->plan.untagged
			      ? fi_recv(e->ep, recv_place(e, (uint32_t)place), e->plan.size,
					e->desc, FI_ADDR_UNSPEC, &e->recvs[slot])
			      : fi_trecv(e->ep, recv_place(e, (uint32_t)place), e->plan.size,
					 e->desc, FI_ADDR_UNSPEC, TAG_DATA, 0, &e->recvs[slot]);
		if (ret)
			reap_sent(e);
	} while (ret == -FI_EAGAIN);
	need(ret, "fi_trecv");
}

/* Until the word has come: data is received, and its buffers are given back. */
static void receive(struct end *e, uint64_t total, bool has_total)
{
	uint64_t place = RECVS;
	struct fi_cq_entry entry[16];
	ssize_t n;

	while (!has_total || e->received < total) {
		if (e->has_word && !has_total) {
			memcpy(&total, e->mem + e->size - 64, sizeof(total));
			has_total = true;
			continue;
		}
		n = fi_cq_read(e->rx, entry, 16);
		if (n == -FI_EAGAIN)
			continue;
		if (n == -FI_EAVAIL)
			reap(e, e->rx);
		need(n, "fi_cq_read");
		for (ssize_t i = 0; i < n; i++) {
			struct fi_context2 *context = entry[i].op_context;

			if (context == &e->word) {
				e->has_word = true;
				continue;
			}
			e->received++;
			post_recv(e, (uint32_t)(context - e->recvs), place++);
			if (e->received % half_window(e))
				continue;
			send_one(e, e->mem + e->size - 256, 8, TAG_ROOM,
				 &e->sends[e->received / half_window(e) % 1000]);
			reap_sent(e);
		}
	}
}

static void post_message(struct end *e, uint64_t number)
{
	uint64_t at = number % (e->plan.span / e->plan.size) * e->plan.size;
	struct fi_context2 *context = &e->sends[number % (2 * e->plan.window)];
	long ret;

	if (e->plan.mode == BW) {
		send_one(e, e->mem + at, e->plan.size, TAG_DATA, context);
		return;
	}
	do {
		ret = fi_write(e->ep, e->mem + at, e->plan.size, e->desc, e->peer, e->addr + at,
			       e->key, context);
		if (ret)
			reap_sent(e);
	} while (ret == -FI_EAGAIN);
	need(ret, "fi_write");
	e->busy++;
}

/* Messages for some time, then how many they were; back comes the word that all have arrived. */
static uint64_t burst(struct end *e, uint64_t ns, uint64_t *messages_out)
{
	uint64_t begin = work_now(), messages = 0;

	post_word(e);
	e->answered = 0;
	do {
		for (uint32_t i = 0; i < (e->plan.size < 4096 ? CHECK_EVERY : 1); i++) {
			while (e->busy >= e->plan.window)
				reap_sent(e);
			while (e->plan.mode == BW && messages - e->answered >= e->plan.window) {
				reap(e, e->rx);
				reap_sent(e);
			}
			post_message(e, messages++);
		}
	} while (work_now() - begin < ns);
	while (e->plan.mode == WRITE && e->busy)
		reap_sent(e);
	memcpy(e->mem + e->size - 128, &messages, sizeof(messages));
	say_word(e);
	while (!e->has_word)
		reap(e, e->rx);
	*messages_out = messages;
	return work_now() - begin;
}

static void stream(struct end *e)
{
	uint64_t messages = 0, took = 1;

	for (uint32_t round = 0; round < 2; round++) { /* The first one warms up. */
		if (e->is_client) {
			for (uint32_t i = 0; i < ROOMS && !round && e->plan.mode == BW; i++)
				post_room(e, &e->rooms[i]);
			work_meet(e->side);
			took = burst(e, round ? e->plan.ns : e->plan.ns / 5, &messages);
			continue;
		}
		e->received = 0;
		post_word(e);
		if (!round)
			for (uint32_t i = 0; i < RECVS && e->plan.mode == BW; i++)
				post_recv(e, i, i);
		work_meet(e->side);
		if (e->plan.mode == BW)
			receive(e, 0, false);
		while (!e->has_word) {
			reap(e, e->rx);
			reap_sent(e);
		}
		say_word(e);
	}
	if (e->is_client)
		printf("{\"provider\": \"%s\", \"size\": %u, \"window\": %u, \"per_second\": %.1f, "
		       "\"gbytes\": %.4f}\n",
		       e->info->fabric_attr->prov_name, e->plan.size, e->plan.window,
		       (double)messages * 1e9 / (double)took,
		       (double)messages * e->plan.size / (double)took);
}

static void wait_data(struct end *e)
{
	uint64_t idle = 0;

	while (!reap(e, e->rx)) {
		if (e->busy)
			reap_sent(e);
		if (++idle % (1 << 20) == 0 && work_is_told(e->side))
			work_fatal("the other side is gone");
	}
}

static void pingpong(struct end *e)
{
	struct work_samples samples;
	uint64_t warmup = e->plan.iterations / 10 + 1;

	work_samples_init(&samples, e->plan.iterations);
	post_recv(e, 0, 0);
	work_meet(e->side);
	for (uint64_t i = 0; i < warmup + e->plan.iterations; i++) {
		uint64_t begin = work_now();

		if (e->is_client)
			send_one(e, e->mem, e->plan.size, TAG_DATA, &e->sends[i % 1024]);
		wait_data(e);
		post_recv(e, (uint32_t)(i + 1) % RECVS, i + 1);
		if (!e->is_client)
			send_one(e, e->mem, e->plan.size, TAG_DATA, &e->sends[i % 1024]);
		if (i >= warmup)
			work_samples_add(&samples, work_now() - begin);
		if (e->busy > 256)
			reap_sent(e);
	}
	while (e->busy)
		reap_sent(e);
	if (!e->is_client)
		return;
	printf("{\"provider\": \"%s\", \"size\": %u, ", e->info->fabric_attr->prov_name,
	       e->plan.size);
	work_samples_print(&samples, 2);
	printf("}\n");
}

static void finish(struct end *e)
{
	fflush(stdout);
	work_meet(e->side);
	fi_close(&e->ep->fid);
	if (e->mr)
		fi_close(&e->mr->fid);
	fi_close(&e->tx->fid);
	fi_close(&e->rx->fid);
	fi_close(&e->av->fid);
	fi_close(&e->domain->fid);
	fi_close(&e->fabric->fid);
	fi_freeinfo(e->info);
}

/* Command line */

static const struct option options[] = {
	{ "port", 1, NULL, 'P' },       { "provider", 1, NULL, 'p' }, { "size", 1, NULL, 's' },
	{ "window", 1, NULL, 'w' },     { "span", 1, NULL, 'S' },     { "seconds", 1, NULL, 't' },
	{ "iterations", 1, NULL, 'n' }, { "source", 1, NULL, 'a' },   { "help", 0, NULL, 'h' },
	{ "untagged", 0, NULL, 'u' },   { "fabric", 1, NULL, 'f' },   { NULL, 0, NULL, 0 },
};

static void set_option(struct plan *plan, int opt, uint16_t *port, const char **source)
{
	switch (opt) {
	case 'P':
		*port = (uint16_t)work_number(optarg, 1, UINT16_MAX);
		break;
	case 'p':
		snprintf(plan->provider, sizeof(plan->provider), "%s", optarg);
		break;
	case 's':
		plan->size = (uint32_t)work_number(optarg, 1, 1 << 30);
		break;
	case 'w':
		plan->window = (uint32_t)work_number(optarg, 1, 500);
		break;
	case 'S':
		plan->span = work_number(optarg, 1, 1ull << 34);
		break;
	case 't':
		plan->ns = (uint64_t)(strtod(optarg, NULL) * 1e9);
		break;
	case 'n':
		plan->iterations = work_number(optarg, 10, 100000000);
		break;
	case 'a':
		*source = optarg;
		break;
	case 'u':
		plan->untagged = 1;
		break;
	case 'f':
		snprintf(plan->fabric, sizeof(plan->fabric), "%s", optarg);
		break;
	case 'h':
		fputs(usage, stdout);
		exit(0);
	default:
		exit(2);
	}
}

static void defaults(struct plan *plan, const char *mode)
{
	static const char *const modes[] = { [LAT] = "lat", [BW] = "bw", [WRITE] = "write" };

	for (plan->mode = LAT; plan->mode < WRITE && strcmp(mode, modes[plan->mode]) != 0;)
		plan->mode++;
	if (strcmp(mode, modes[plan->mode]) != 0 || !plan->provider[0])
		work_fatal("%s, provider '%s'? (--help)", mode, plan->provider);
	if (!plan->size)
		plan->size = plan->mode == LAT ? 64 : 1 << 20;
	if (!plan->span)
		plan->span = (uint64_t)plan->window * plan->size;
	if (plan->span > 64 << 20 && plan->size <= 64 << 20)
		plan->span = 64 << 20;
	if (plan->span < plan->size || (plan->untagged && plan->mode != LAT))
		work_fatal("the span is one message at least, and --untagged is for lat");
}

int main(int argc, char **argv)
{
	static struct end e = {
		.plan = { .magic = MAGIC, .window = 64, .iterations = 10000, .ns = 1000000000 }
	};
	const char *source = NULL;
	uint16_t port = 0;
	int opt;

	while ((opt = getopt_long(argc, argv, "p:s:h", options, NULL)) != -1)
		set_option(&e.plan, opt, &port, &source);
	e.is_client = argc - optind == 2;
	if (!port || (!e.is_client && argc != optind)) {
		fputs(usage, stderr);
		return 2;
	}
	if (e.is_client) {
		defaults(&e.plan, argv[optind]);
		e.side = work_connect(argv[optind + 1], port);
		work_put(e.side, &e.plan, sizeof(e.plan));
	} else {
		e.side = work_accept(port);
		work_get(e.side, &e.plan, sizeof(e.plan));
		if (e.plan.magic != MAGIC)
			work_fatal("the other side is another program");
	}
	open_end(&e, source);
	know_each_other(&e);
	if (e.plan.mode == LAT)
		pingpong(&e);
	else
		stream(&e);
	finish(&e);
	return 0;
}
