/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of messages, and the search for all of its strings at once.
 *
 * Logs are gigabytes in which few lines matter, so the search is what the speed depends on. It is Wu and Manber's: of
 * each string a piece of WINDOW bytes is taken, and a table says of every GRAM bytes how far from the end of a piece
 * they can stand. Where the bytes at hand occur in no piece, the search leaps over LEAP_MAX bytes without
 * having looked at them. Which piece of a string is taken is chosen at the start: the one whose grams occur least in
 * the pieces of the others and in a sample of what logs are full of, because a gram that occurs makes leaps short.
 *
 * Portable C without vector instructions: a log of NCCL's is read at more than a gigabyte per second. */
#include "advice/logsig.h"

#include "base/assert.h"

#include <assert.h>
#include <string.h>

#define WINDOW    13u /* And so the length of the shortest string. */
#define GRAM      4u /* Bytes that are looked up at once. */
#define LEAP_MAX  (WINDOW - GRAM + 1)
#define HASH_BITS 14u
#define NONE      UINT16_MAX
#define SIGS_MAX  256u

static const struct weft_log_sig table[] = {
#define SAYS(what)   WEFT_SIG_SAYS, WEFT_SAYS_##what
#define FIND(symbol) WEFT_SIG_FIND, WEFT_FINDING_##symbol
#define CODE(number) WEFT_SIG_CODE, number
#define NUMBER(base) WEFT_SIG_NUMBER, base
#define NOISE        WEFT_SIG_NOISE, 0
/* The macro of what a row says expands to two values. */
#define SIG(where, text, says, also, source) \
	{ WEFT_SIG_##where, text, sizeof(text) - 1, says, also, source },
#include "advice/logsig.inc"
/* In libfabric's own lines the text of every code is one. */
#define CODE_BY_NUMBER(...)
#undef CODE
#define CODE(code, text, ...) \
	{ WEFT_SIG_OFI,       \
	  text,               \
	  sizeof(text) - 1,   \
	  WEFT_SIG_CODE,      \
	  code,               \
	  "",                 \
	  "libfabric prov/efa/src/efa_errno.h" },
#include "advice/efacode.inc"
#undef CODE_BY_NUMBER
#undef SIG
#undef SAYS
#undef FIND
#undef CODE
#undef NUMBER
#undef NOISE
};

/* What fills logs: lines of NCCL and of programs that train. Only its grams matter. */
static const char sample[] =
	"ip-10-0-12-34:12345:12399 [0] NCCL INFO Channel 00/32 : 0[0] -> 1[1] via P2P/CUMEM/read\n"
	"[1,0]<stdout>:ip-172-31-1-2:123:456 [7] NCCL INFO Trees [0] 1/-1/-1->0->-1 [1] comm "
	"0x55d0 rank 0 nranks 16\n"
	"NCCL INFO Connected all rings NCCL INFO Setting affinity for GPU 0 to ffff,ffff, "
	"NCCL_DEBUG set by environment\n"
	"NCCL INFO NET/OFI NET/Plugin NET/Socket "
	"libfabric:12345:1700000000::efa:core:efa_rdm_ep():123<info>\n"
	"2025-01-02 12:34:56,789 INFO training step: 1200 loss: 2.3456 learning rate: 1e-05 time "
	"per iteration (ms):\n"
	"epoch 1/10 memory allocated throughput samples per second elapsed grad norm: 0.123 | "
	"tokens 4096 |\n"
	"File \"/usr/lib/python3/dist-packages/torch/nn/modules/module.py\", line 1501, in "
	"_call_impl\n";

static struct {
	uint8_t shift[1u << HASH_BITS]; /* How far to leap when these bytes end the window. */
	uint16_t first[1u << HASH_BITS]; /* Rows whose piece ends with them. */
	uint16_t next[SIGS_MAX];
	uint8_t offset[SIGS_MAX]; /* Of the piece in its string. */
	uint64_t head
		[SIGS_MAX]; /* The piece's first eight bytes: what else ends like it stops here. */
	bool made;
} search;

static_assert(WEFT_ARRAY_SIZE(table) <= SIGS_MAX, "more rows than the search has room for");

uint32_t weft_log_sig_count(void)
{
	return WEFT_ARRAY_SIZE(table);
}

const struct weft_log_sig *weft_log_sig_at(uint32_t index)
{
	weft_assert(index < WEFT_ARRAY_SIZE(table));
	return &table[index];
}

static inline uint32_t hash_at(const char *p)
{
	uint32_t v;

	memcpy(&v, p, GRAM);
	return v * 0x9e3779b1u >> (32 - HASH_BITS);
}

static inline uint64_t head_at(const char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* How often the grams of a piece are met, in the sample and in the pieces that were taken. */
static uint32_t cost_of(const char *piece, const uint32_t *met)
{
	uint32_t cost = 0;

	for (uint32_t i = 0; i + GRAM <= WINDOW; i++) {
		uint32_t seen = met[hash_at(piece + i)];

		/* The end of a piece costs a comparison besides. */
		cost += i + GRAM == WINDOW ? 4 * seen : seen;
	}
	return cost;
}

static uint32_t choose_piece(const struct weft_log_sig *sig, const uint32_t *met)
{
	uint32_t best = 0, best_cost = UINT32_MAX;

	for (uint32_t o = 0; o + WINDOW <= sig->len && o < UINT8_MAX; o++) {
		uint32_t cost = cost_of(sig->text + o, met);

		if (cost < best_cost) {
			best = o;
			best_cost = cost;
		}
	}
	return best;
}

void weft_log_sig_init(void)
{
	static uint32_t met[1u << HASH_BITS];

	if (search.made)
		return;
	memset(met, 0, sizeof(met));
	memset(search.shift, LEAP_MAX, sizeof(search.shift));
	memset(search.first, 0xff, sizeof(search.first));
	for (size_t i = 0; i + GRAM < sizeof(sample); i++)
		met[hash_at(sample + i)] += 8;
	/* Backwards, so that in each list the rows are in the order of the table. */
	for (uint32_t n = WEFT_ARRAY_SIZE(table); n--;) {
		const char *piece;
		uint32_t h = 0;

		weft_assert(table[n].len >= WINDOW);
		search.offset[n] = (uint8_t)choose_piece(&table[n], met);
		piece = table[n].text + search.offset[n];
		for (uint32_t i = 0; i + GRAM <= WINDOW; i++) {
			uint8_t far = (uint8_t)(WINDOW - GRAM - i);

			h = hash_at(piece + i);
			search.shift[h] = WEFT_MIN(search.shift[h], far);
			met[h]++;
		}
		search.head[n] = head_at(piece);
		search.next[n] = search.first[h];
		search.first[h] = (uint16_t)n;
	}
	search.made = true;
}

/* Is row n's string at the place that its piece, ending before hit->end, says? */
static bool is_at(uint32_t n, const char *text, size_t from, size_t len, struct weft_log_hit *hit)
{
	size_t back = WINDOW + search.offset[n];

	if (head_at(text + hit->end - WINDOW) != search.head[n])
		return false;
	if (hit->end < from + back || hit->end - back + table[n].len > len)
		return false;
	if (memcmp(text + hit->end - back, table[n].text, table[n].len) != 0)
		return false;
	hit->row = n + 1;
	hit->at = hit->end - back;
	return true;
}

/* The end of the next window that may hold a piece, or beyond len. Where a window leaps as far as windows can, the next
 * one is known beforehand, so both are looked up at once: a leap is one long chain of dependent instructions, and so
 * two of them take the time of one. */
static size_t leap(const char *text, size_t end, size_t len)
{
	uint32_t leap1, leap2;

	for (; end + LEAP_MAX <= len; end += leap1 + leap2) {
		leap1 = search.shift[hash_at(text + end - GRAM)];
		leap2 = search.shift[hash_at(text + end + LEAP_MAX - GRAM)];
		if (!leap1)
			return end;
		leap2 = leap1 == LEAP_MAX ? leap2 : 0;
	}
	for (; end <= len; end += leap1) {
		leap1 = search.shift[hash_at(text + end - GRAM)];
		if (!leap1)
			break;
	}
	return end;
}

bool weft_log_sig_next(const char *text, size_t from, size_t len, struct weft_log_hit *hit)
{
	uint32_t n = NONE;

	if (hit->row) {
		/* Other strings may share the piece that was met last. */
		n = search.next[hit->row - 1];
	} else {
		hit->end = WEFT_MAX(hit->end, from + WINDOW) - 1;
	}
	for (;;) {
		for (; n != NONE; n = search.next[n])
			if (is_at(n, text, from, len, hit))
				return true;
		hit->end = leap(text, hit->end + 1, len);
		if (hit->end > len)
			return false;
		n = search.first[hash_at(text + hit->end - GRAM)];
	}
}
