/* SPDX-License-Identifier: BSD-2-Clause */
/* A pair of engines driven by a script: each byte of the input is a command, the next ones are its
 * arguments. Commands post work, hand packets over in any order, lose, double, mangle and replay them, let
 * time pass, and take away QPs, keys and whole engines. world.c holds the rules. In the end everything
 * works again, and all that is still open has to complete. */
#include "fuzz.h"
#include "world.h"

#include <stdlib.h>

#define COMMANDS_MAX 400

static uint32_t len_of(uint8_t class)
{
	static const uint16_t bases[] = { 0,    1,    64,   511,  512,  513,
					  1024, 1408, 4096, 8192, 8928, 20000 };
	uint32_t base = bases[(class & 15) % WEFT_ARRAY_SIZE(bases)];

	return base + (class >> 4);
}

static void cmd_post(struct world *w, struct fuzz_in *in)
{
	static const uint8_t ops[] = { WEFT_SRD_SEND,  WEFT_SRD_SEND_IMM, WEFT_SRD_SEND,
				       WEFT_SRD_WRITE, WEFT_SRD_WRITE,    WEFT_SRD_WRITE_IMM,
				       WEFT_SRD_READ,  WEFT_SRD_READ };
	uint8_t a = fuzz_u8(in), class = fuzz_u8(in), b = fuzz_u8(in), host = a & 1;
	const struct world_host *h = &w->host[host];
	struct weft_srd_wr wr = {
		.op = ops[a >> 1 & 7],
		.src_qpn = (uint16_t)(1 + (b & 3) % WORLD_QPS),
		.dst_qpn = (uint16_t)(1 + (b >> 2 & 3)), /* 4 does not exist. */
		.key = w->host[!host].key ^ (b & 0x80 ? 0x80000000u : 0),
		.imm = (uint32_t)(a * 7919 + b),
		.len = len_of(class),
		.rnr_retry = b >> 4 & 7,
	};

	/* A QP that is gone posts nothing. */
	if (!h->qp_alive[wr.src_qpn])
		return;
	for (uint32_t n = a >> 4 & 3 ? 1 : 1 + (a >> 6); n; n--)
		world_post(w, host, &wr);
}

static void cmd_recvs(struct world *w, struct fuzz_in *in)
{
	uint8_t a = fuzz_u8(in), class = fuzz_u8(in);

	world_post_recvs(w, a & 1, (uint16_t)(1 + (a >> 1 & 3) % WORLD_QPS), 1u + (a >> 3),
			 len_of(class));
}

static void cmd_pump(struct world *w, struct fuzz_in *in)
{
	uint8_t a = fuzz_u8(in);

	world_pump(w, a & 1, 1u + (a >> 1));
}

/* A few round trips as they should be. */
static void cmd_rounds(struct world *w, struct fuzz_in *in)
{
	uint8_t a = fuzz_u8(in);

	for (uint32_t n = 1 + (a & 15); n; n--) {
		world_pump(w, 0, 32);
		world_pump(w, 1, 32);
		world_deliver_all(w);
		world_advance(w, WEFT_US(1) << (a >> 4 & 7));
	}
}

static void cmd_deliver(struct world *w, struct fuzz_in *in)
{
	world_deliver(w, fuzz_u8(in));
}

static void cmd_deliver_all(struct world *w, struct fuzz_in *in)
{
	(void)in;
	world_deliver_all(w);
}

static void cmd_drop(struct world *w, struct fuzz_in *in)
{
	world_drop(w, fuzz_u8(in));
}

static void cmd_drop_many(struct world *w, struct fuzz_in *in)
{
	for (uint32_t n = fuzz_u8(in); n && w->frames; n--)
		world_drop(w, 0);
}

static void cmd_duplicate(struct world *w, struct fuzz_in *in)
{
	world_duplicate(w, fuzz_u8(in));
}

static void cmd_corrupt(struct world *w, struct fuzz_in *in)
{
	uint8_t n = fuzz_u8(in);
	uint16_t at = fuzz_u16(in);

	world_corrupt(w, n, at, fuzz_u8(in));
}

static void cmd_trim(struct world *w, struct fuzz_in *in)
{
	world_trim(w, fuzz_u8(in));
}

static void cmd_mark(struct world *w, struct fuzz_in *in)
{
	world_mark(w, fuzz_u8(in));
}

static void cmd_replay(struct world *w, struct fuzz_in *in)
{
	world_replay(w, fuzz_u8(in));
}

static void cmd_wait(struct world *w, struct fuzz_in *in)
{
	uint8_t a = fuzz_u8(in);

	world_advance(w, (weft_ns)(1 + (a & 7)) << (4 + (a >> 3)));
}

static void cmd_deadlines(struct world *w, struct fuzz_in *in)
{
	for (uint32_t n = 1 + fuzz_u8(in) % 32; n; n--)
		world_advance_to_deadline(w, WEFT_S(1));
}

static void cmd_qp(struct world *w, struct fuzz_in *in)
{
	uint8_t a = fuzz_u8(in);
	uint16_t qpn = (uint16_t)(1 + (a >> 1 & 3) % WORLD_QPS);

	if (a & 0x80)
		world_qp_new(w, a & 1, qpn);
	else
		world_qp_gone(w, a & 1, qpn);
}

static void cmd_fault(struct world *w, struct fuzz_in *in)
{
	uint8_t a = fuzz_u8(in), host = a & 1;

	switch (a >> 1 & 7) {
	case 0:
		world_deregister(w, host);
		break;
	case 1:
		w->host[host].refuse_reads = !w->host[host].refuse_reads;
		break;
	case 2:
		world_close(w, host);
		break;
	case 3:
	case 4:
		world_restart(w, host);
		break;
	case 5:
		world_cancel(w, host, a >> 4);
		break;
	case 6:
		world_unreachable(w, host);
		break;
	default:
		world_cancel_all(w, host);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const cmds[])(struct world * w, struct fuzz_in * in) = {
		cmd_post, cmd_post,   cmd_post,      cmd_recvs,     cmd_recvs,   cmd_pump,
		cmd_pump, cmd_rounds, cmd_rounds,    cmd_deliver,   cmd_deliver, cmd_deliver_all,
		cmd_drop, cmd_drop,   cmd_drop_many, cmd_duplicate, cmd_corrupt, cmd_trim,
		cmd_mark, cmd_replay, cmd_replay,    cmd_wait,      cmd_wait,    cmd_deadlines,
		cmd_qp,   cmd_fault,
	};
	static struct world w;
	struct fuzz_in in = { data, data + size };

	world_init(&w, &in);
	for (int n = 0; n < COMMANDS_MAX && fuzz_left(&in); n++) {
		cmds[fuzz_u8(&in) % WEFT_ARRAY_SIZE(cmds)](&w, &in);
		world_check(&w);
	}
	world_finish(&w);
	world_fini(&w);
	return 0;
}
