/* SPDX-License-Identifier: BSD-2-Clause */
/* verbs --port P				the server: it is told by the client what to do
 * verbs --port P MODE HOST [options]	the client: prints one line of JSON
 *
 * Measures an EFA card as a plain program of libibverbs and libefa sees it; to be run below `weft run`, or on a machine
 * with real cards. Memory is touched before, and a warm-up is not counted. Exit 0: measured; 2: not. */
#include "verbs.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "work.h"

#define MAGIC     0x77656231u
#define SIZE_MAX_ (1u << 30)

static const char usage[] =
	"usage: verbs --port P                          server, for one client\n"
	"       verbs --port P MODE HOST [options]      client\n"
	"       verbs idle COUNT | answer FILE CARDS | fan FILE...   memory of many peers\n"
	"\n"
	"modes  lat       SEND ping-pong: nanoseconds of one way\n"
	"       bw        SEND, WRITE or READ with a window of requests under way\n"
	"       rate      bw of 64-byte SENDs, many posted at once\n"
	"       stream    bw without warm-up: completions in each 10 ms, longest gap, errors\n"
	"\n"
	"  --op send|write|read    (write; lat and rate: send)\n"
	"  -s, --size BYTES        of a message (bw: 1m, lat and rate: 64)\n"
	"  --window N              requests under way (16; rate: 512)\n"
	"  --batch N               posted with one call (1; rate: 32)\n"
	"  --old                   ibv_post_send() for each SEND\n"
	"  --no-inline             small messages from registered memory\n"
	"  --span BYTES            memory that requests go through at each end (window * size)\n"
	"  --seconds T             how long to measure (1)\n"
	"  --ramp T                stream: seconds before the gaps count (0)\n"
	"  --iterations N          lat: exchanges to measure (20000)\n"
	"  --recvs N               receive buffers (512; lat: 64)\n"
	"  --sleepy                the server of WRITE and READ sleeps instead of polling\n"
	"  --cpu N                 run on this core\n";

struct choice {
	const char *name;
	uint32_t value;
};

static uint32_t choose(const char *text, const struct choice *choice)
{
	for (; choice->name; choice++)
		if (!strcmp(text, choice->name))
			return choice->value;
	work_fatal("%s? (--help)", text);
}

static void open_both(struct verbs *v, bool is_client)
{
	const struct verbs_plan *plan = &v->plan;
	size_t recv_bytes = plan->op == VERBS_SEND ? (size_t)plan->recvs * plan->size : 0;
	struct card_name own;

	card_open(&v->card, 0, (plan->span + recv_bytes + 4095) / 4096 * 4096, plan->window,
		  plan->recvs);
	if (v->card.sends_max < plan->window || v->card.recvs_max < plan->recvs)
		work_fatal("the card takes %u and %u requests, not %u and %u", v->card.sends_max,
			   v->card.recvs_max, plan->window, plan->recvs);
	if (plan->op == VERBS_SEND && plan->size > v->card.msg_max)
		work_fatal("a message has %u bytes at most", v->card.msg_max);
	if (plan->op == VERBS_WRITE && !v->card.can_write)
		work_fatal("this card does not do RDMA WRITE");
	card_name(&v->card, &own);
	if (is_client) {
		work_put(v->side, plan, sizeof(*plan));
		work_put(v->side, &own, sizeof(own));
		work_get(v->side, &v->to, sizeof(v->to));
	} else {
		work_get(v->side, &v->to, sizeof(v->to));
		work_put(v->side, &own, sizeof(own));
	}
	v->ah = card_peer(&v->card, &v->to);
}

static void finish(struct verbs *v)
{
	fflush(stdout);
	/* Nobody goes before the last acknowledgement is home. */
	work_meet(v->side);
	if (ibv_destroy_ah(v->ah))
		work_fail("ibv_destroy_ah");
	card_close(&v->card);
}

static void serve(struct verbs *v, uint16_t port)
{
	v->side = work_accept(port);
	work_get(v->side, &v->plan, sizeof(v->plan));
	if (v->plan.magic != MAGIC)
		work_fatal("the other side is another program");
	open_both(v, false);
	if (v->plan.mode == VERBS_LAT) {
		verbs_lat_server(v);
	} else {
		char done;

		verbs_bw_server(v);
		work_get(v->side, &done, 1);
	}
	finish(v);
}

static void ask(struct verbs *v, const char *host, uint16_t port)
{
	v->side = work_connect(host, port);
	open_both(v, true);
	if (v->plan.mode == VERBS_LAT)
		verbs_lat_client(v);
	else
		verbs_bw_client(v);
	finish(v);
}

/* What was not said. */
static void defaults(struct verbs_plan *plan, const char *name)
{
	static const struct choice modes[] = { { "lat", VERBS_LAT },
					       { "bw", VERBS_BW },
					       { "rate", VERBS_BW },
					       { "stream", VERBS_STREAM },
					       { NULL, 0 } };
	bool is_rate = !strcmp(name, "rate");

	plan->magic = MAGIC;
	plan->mode = choose(name, modes);
	if (is_rate || plan->mode == VERBS_LAT)
		plan->op = VERBS_SEND;
	if (!plan->size)
		plan->size = is_rate || plan->mode == VERBS_LAT ? 64 : 1 << 20;
	if (!plan->window)
		plan->window = is_rate ? 512 : 16;
	if (!plan->batch)
		plan->batch = is_rate ? 32 : 1;
	if (!plan->recvs)
		plan->recvs = plan->mode == VERBS_LAT ? 64 : is_rate ? 2048 : 512;
	if (!plan->span)
		plan->span = (uint64_t)plan->window * plan->size;
	if (plan->span < plan->size || plan->batch > plan->window)
		work_fatal("the span is one message at least, a batch one window at most");
	plan->warmup = plan->iterations / 10;
	if (plan->mode == VERBS_BW)
		plan->warmup_ns = plan->ns < 1500000000 ? plan->ns / 5 : 300000000;
}

static const struct option options[] = {
	{ "port", 1, NULL, 'p' },       { "op", 1, NULL, 'o' },    { "size", 1, NULL, 's' },
	{ "window", 1, NULL, 'w' },     { "batch", 1, NULL, 'b' }, { "old", 0, NULL, 'O' },
	{ "no-inline", 0, NULL, 'I' },  { "span", 1, NULL, 'S' },  { "seconds", 1, NULL, 't' },
	{ "iterations", 1, NULL, 'n' }, { "recvs", 1, NULL, 'r' }, { "sleepy", 0, NULL, 'Z' },
	{ "cpu", 1, NULL, 'c' },        { "ramp", 1, NULL, 'R' },  { "help", 0, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static void set_option(struct verbs *v, int opt, uint16_t *port)
{
	static const struct choice ops[] = { { "send", VERBS_SEND },
					     { "write", VERBS_WRITE },
					     { "read", VERBS_READ },
					     { NULL, 0 } };
	struct verbs_plan *plan = &v->plan;

	switch (opt) {
	case 'p':
		*port = (uint16_t)work_number(optarg, 1, UINT16_MAX);
		break;
	case 'o':
		plan->op = choose(optarg, ops);
		break;
	case 's':
		plan->size = (uint32_t)work_number(optarg, 1, SIZE_MAX_);
		break;
	case 'w':
		plan->window = (uint32_t)work_number(optarg, 1, 65536);
		break;
	case 'b':
		plan->batch = (uint32_t)work_number(optarg, 1, 65536);
		break;
	case 'O':
		v->one_by_one = true;
		break;
	case 'I':
		v->no_inline = true;
		break;
	case 'S':
		plan->span = work_number(optarg, 1, 1ull << 34);
		break;
	case 't':
		plan->ns = (uint64_t)(strtod(optarg, NULL) * 1e9);
		break;
	case 'R':
		plan->ramp_ns = (uint64_t)(strtod(optarg, NULL) * 1e9);
		break;
	case 'n':
		plan->iterations = work_number(optarg, 10, 100000000);
		break;
	case 'r':
		plan->recvs = (uint32_t)work_number(optarg, 1, 65536);
		break;
	case 'Z':
		plan->sleepy = 1;
		break;
	case 'c':
		work_pin((int)work_number(optarg, 0, 1023));
		break;
	case 'h':
		fputs(usage, stdout);
		exit(0);
	default:
		exit(2);
	}
}

int main(int argc, char **argv)
{
	static struct verbs v = {
		.plan = { .op = VERBS_WRITE, .iterations = 20000, .ns = 1000000000 }
	};
	uint16_t port = 0;
	int opt;

	while ((opt = getopt_long(argc, argv, "p:s:h", options, NULL)) != -1)
		set_option(&v, opt, &port);
	argv += optind;
	argc -= optind;
	if (!port && argc == 2 && !strcmp(argv[0], "idle")) {
		verbs_idle((uint32_t)work_number(argv[1], 1, 1000000));
	} else if (!port && argc == 3 && !strcmp(argv[0], "answer")) {
		verbs_answer(argv[1], (uint32_t)work_number(argv[2], 1, 32));
	} else if (!port && argc > 1 && !strcmp(argv[0], "fan")) {
		verbs_fan(argv + 1, (uint32_t)argc - 1);
	} else if (port && !argc) {
		serve(&v, port);
	} else if (port && argc == 2) {
		defaults(&v.plan, argv[0]);
		ask(&v, argv[1], port);
	} else {
		fputs(usage, stderr);
		return 2;
	}
	return 0;
}
