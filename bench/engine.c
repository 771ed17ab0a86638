/* SPDX-License-Identifier: BSD-2-Clause */
/* What the engine itself costs: two engines back to back in one thread, packets handed over in memory,
 * every byte of protocol included (authentication, acknowledgements, path choice, congestion control)
 * and no wire. Time is the machine's, so round trips are as short as a batch takes.
 *
 *	build/bench/engine [--rounds N] [--json]
 *
 * The large case does not touch payloads, so checksums are off there: what is measured is the engine. */
#include "srd/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BATCH 64u
#define DEPTH 512u

struct end {
	struct weft_srd *srd;
	uint32_t peer;
	uint64_t completed, received, failed;
};

static enum weft_srd_status recv_claim(void *owner, const struct weft_srd_msg_info *info,
				       uint64_t *recv_out)
{
	(void)owner;
	(void)info;
	*recv_out = 0;
	return WEFT_SRD_OK;
}

static void recv_place(void *owner, uint64_t recv, uint32_t off, const void *data, uint32_t len)
{
	(void)owner;
	(void)recv;
	(void)off;
	(void)data;
	(void)len;
}

static void recv_done(void *owner, uint64_t recv, const struct weft_srd_msg_info *info)
{
	struct end *end = owner;

	(void)recv;
	(void)info;
	end->received++;
}

static enum weft_srd_status write_ok(void *owner, const struct weft_srd_msg_info *info,
				     uint32_t off, const void *data, uint32_t len)
{
	(void)owner;
	(void)info;
	(void)off;
	(void)data;
	(void)len;
	return WEFT_SRD_OK;
}

static enum weft_srd_status read_ok(void *owner, const struct weft_srd_msg_info *info)
{
	(void)owner;
	(void)info;
	return WEFT_SRD_OK;
}

static enum weft_srd_status place_ok(void *owner, uint64_t cookie, uint32_t off, const void *data,
				     uint32_t len)
{
	(void)owner;
	(void)cookie;
	(void)off;
	(void)data;
	(void)len;
	return WEFT_SRD_OK;
}

static void complete(void *owner, uint64_t cookie, enum weft_srd_status status)
{
	struct end *end = owner;

	(void)cookie;
	end->completed++;
	end->failed += status != WEFT_SRD_OK;
}

static uint32_t no_crc(void *owner, const struct weft_srd_payload *payload)
{
	(void)owner;
	(void)payload;
	return 0;
}

static const struct weft_srd_ops ops = {
	.recv_claim = recv_claim,
	.recv_place = recv_place,
	.recv_done = recv_done,
	.recv_release = recv_done,
	.write = write_ok,
	.read_check = read_ok,
	.read_place = place_ok,
	.complete = complete,
	.payload_crc = no_crc,
};

static weft_ns now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return WEFT_S(ts.tv_sec) + (weft_ns)ts.tv_nsec;
}

static void open_end(struct end *end, uint8_t id)
{
	struct weft_srd_cfg cfg;
	const char *why;
	size_t size;
	void *mem;

	weft_srd_cfg_default(&cfg);
	cfg.gid.raw[15] = id;
	cfg.seed = id;
	cfg.payload_crc = false;
	cfg.link_bps = 400000000000u;
	cfg.rtt_hint = WEFT_US(100);
	cfg.rto_min = WEFT_MS(1);
	cfg.ack_packets = BATCH;
	cfg.ack_bytes = 1 << 20;
	cfg.cwnd_max = 8 << 20;
	weft_assert(weft_srd_cfg_check(&cfg, &why) == 0);
	size = weft_srd_size(&cfg);
	mem = aligned_alloc(64, (size + 63) & ~(size_t)63);
	weft_assert(mem);
	*end = (struct end){ 0 };
	end->srd = weft_srd_init(mem, &cfg, &ops, end, now_ns());
}

/* Hand over up to BATCH packets, as a wire that sends and receives in bursts would. */
static void carry(struct end *from, struct end *to, weft_ns now)
{
	static struct weft_srd_tx tx;
	static uint8_t frame[WEFT_SRD_HEAD_MAX + 65536];

	for (uint32_t n = 0; n < BATCH && weft_srd_next_packet(from->srd, now, &tx); n++) {
		struct weft_srd_rx rx = { .data = frame, .len = tx.head_len + tx.payload.len };

		memcpy(frame, tx.head, tx.head_len);
		weft_srd_on_packet(to->srd, &rx, now);
	}
}

static double run(uint32_t len, uint64_t messages)
{
	struct end a, b;
	struct weft_gid gid_a = { .raw = { [15] = 1 } }, gid_b = { .raw = { [15] = 2 } };
	struct weft_srd_wr wr = {
		.op = WEFT_SRD_SEND, .len = len, .src_qpn = 1, .dst_qpn = 2, .rnr_retry = 7
	};
	uint64_t posted = 0;
	weft_ns start, now;

	open_end(&a, 1);
	open_end(&b, 2);
	weft_srd_peer_get(a.srd, &gid_b, &a.peer);
	weft_srd_peer_get(b.srd, &gid_a, &b.peer);
	wr.peer = a.peer;
	start = now_ns();
	while (a.completed < messages) {
		now = now_ns();
		while (posted < messages && posted - a.completed < DEPTH &&
		       !weft_srd_on_post(a.srd, &wr, now))
			posted++;
		weft_srd_on_timer(a.srd, now);
		weft_srd_on_timer(b.srd, now);
		carry(&a, &b, now);
		carry(&b, &a, now);
	}
	now = now_ns();
	weft_assert(b.received == messages && !a.failed);
	free(a.srd);
	free(b.srd);
	return (double)messages * 1e9 / (double)(now - start);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *v, uint32_t n)
{
	qsort(v, n, sizeof(*v), by_value);
	return v[n / 2];
}

int main(int argc, char **argv)
{
	uint32_t rounds = 5;
	bool json = false;
	double small[99], large[99];

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json"))
			json = true;
		else if (!strcmp(argv[i], "--rounds") && i + 1 < argc)
			rounds = (uint32_t)strtoul(argv[++i], NULL, 10);
		else
			rounds = 0;
	}
	if (rounds < 1 || rounds > WEFT_ARRAY_SIZE(small)) {
		fprintf(stderr, "usage: engine [--rounds 1..99] [--json]\n");
		return 2;
	}
	for (uint32_t i = 0; i < rounds; i++) {
		small[i] = run(64, 2000000) / 1e6;
		large[i] = run(8192, 1000000) * 8192 / 1e9;
	}
	median(small, rounds);
	median(large, rounds);
	printf(json ? "{\"send64_mps\": {\"min\": %.3f, \"median\": %.3f, \"max\": %.3f}, "
		      "\"send8k_gbytes\": {\"min\": %.2f, \"median\": %.2f, \"max\": %.2f}, "
		      "\"idle_bytes\": %zu, \"active_bytes\": %zu, \"packet_bytes\": %zu, "
		      "\"rounds\": %u}\n"
		    : "64-byte SENDs   %6.3f %6.3f %6.3f  million/s per core (min, median, max)\n"
		      "8-KB SENDs      %6.2f %6.2f %6.2f  GB/s per core, payload not touched\n"
		      "idle context    %6zu bytes\nactive context  %6zu bytes with 64 paths\n"
		      "packet in flight %5zu bytes\n(%u rounds)\n",
	       small[0], small[rounds / 2], small[rounds - 1], large[0], large[rounds / 2],
	       large[rounds - 1], sizeof(struct weft_ctx),
	       sizeof(struct weft_active) + 64 * sizeof(struct weft_path),
	       sizeof(struct weft_entry), rounds);
	return 0;
}
