/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/prng.h"

#include "bare.h"

#include <errno.h>
#include <infiniband/verbs.h>

static uint32_t contexts(void)
{
	struct weft_srd_usage usage;

	weft_srd_usage(bare_srd(), &usage);
	return usage.contexts;
}

static void weft_peer_find__last_used_is_first(void **state)
{
	uint32_t engine[20];
	struct weft_pd *pd;
	struct weft_ah *ah;

	(void)state;
	bare_open(64);
	pd = bare_pd();
	ah = bare_ah(pd, 9);
	for (uint8_t slot = 0; slot < 20; slot++) {
		struct weft_peer *peer = weft_peer_find(ah, slot);

		assert_ptr_equal(peer, &ah->peer);
		assert_int_equal(peer->slot, slot);
		assert_int_equal(peer->link, WEFT_LINK_UDP);
		engine[slot] = peer->engine;
		for (uint8_t other = 0; other < slot; other++)
			assert_int_not_equal(engine[other], engine[slot]);
	}
	for (uint32_t i = 0; i < 1000; i++) {
		uint8_t slot = (uint8_t)(i * i % 20);

		assert_ptr_equal(weft_peer_find(ah, slot), &ah->peer);
		assert_int_equal(ah->peer.slot, slot);
		assert_int_equal(ah->peer.engine, engine[slot]);
	}
	assert_int_equal(contexts(), 20);
	assert_int_equal(pd->more_len, 19);
	assert_int_equal(weft_ah_destroy(ah), 0);
	assert_int_equal(weft_pd_destroy(pd), 0);
	bare_close();
}

/* A handle that goes lets go of its peers' contexts: they make room for others. Two PDs with a handle each for the
 * same address have one context. */
static void weft_peers_drop__gives_references_back(void **state)
{
	struct weft_pd *pd, *other;
	struct weft_ah *ah, *same;
	uint32_t engine;

	(void)state;
	bare_open(4);
	pd = bare_pd();
	other = bare_pd();
	for (uint32_t round = 0; round < 10; round++) {
		ah = bare_ah(pd, round);
		for (uint8_t slot = 0; slot < 4; slot++)
			assert_non_null(weft_peer_find(ah, slot));
		assert_int_equal(weft_ah_destroy(ah), 0);
	}
	assert_int_equal(pd->more_len, 3);

	ah = bare_ah(pd, 20);
	same = bare_ah(other, 20);
	engine = weft_peer_find(ah, 1)->engine;
	assert_int_equal(weft_peer_find(same, 1)->engine, engine);
	assert_int_equal(weft_ah_destroy(ah), 0);
	/* The other handle holds it still. */
	ah = bare_ah(pd, 21);
	for (uint8_t slot = 0; slot < 3; slot++)
		assert_int_not_equal(weft_peer_find(ah, slot)->engine, engine);
	assert_int_equal(same->peer.engine, engine);
	assert_int_equal(weft_ah_destroy(ah), 0);
	assert_int_equal(weft_ah_destroy(same), 0);
	assert_int_equal(weft_pd_destroy(pd), 0);
	assert_int_equal(weft_pd_destroy(other), 0);
	bare_close();
}

static void post(const struct weft_peer *peer)
{
	struct weft_srd_wr wr = { .peer = peer->engine, .len = 1, .rnr_retry = 7 };

	assert_int_equal(weft_srd_on_post(bare_srd(), &wr, bare_now), 0);
}

/* A full engine: who is busy stays, the idle ones of all PDs make room and are found again later. */
static void weft_peer_find__forgets_the_idle(void **state)
{
	struct weft_pd *pd, *other;
	struct weft_ah *busy, *idle, *mixed, *fresh;
	uint32_t engine[2];

	(void)state;
	bare_open(6);
	pd = bare_pd();
	other = bare_pd();
	busy = bare_ah(pd, 1);
	idle = bare_ah(other, 2);
	mixed = bare_ah(pd, 3);
	post(weft_peer_find(busy, 7));
	engine[0] = busy->peer.engine;
	for (uint8_t slot = 0; slot < 4; slot++) {
		struct weft_peer *peer = weft_peer_find(mixed, slot);

		if (slot != 1)
			continue;
		post(peer);
		engine[1] = peer->engine;
	}
	assert_non_null(weft_peer_find(idle, 7));
	assert_int_equal(contexts(), 6);

	fresh = bare_ah(pd, 4);
	assert_non_null(weft_peer_find(fresh, 7));
	assert_int_equal(idle->peer.link, WEFT_LINKS);
	assert_int_equal(busy->peer.engine, engine[0]);
	assert_int_equal(mixed->peer.slot, 1);
	assert_int_equal(mixed->peer.engine, engine[1]);
	assert_int_equal(mixed->peer.next, 0);
	assert_non_null(weft_peer_find(idle, 7));
	assert_non_null(weft_peer_find(mixed, 0));
	assert_int_equal(weft_peer_find(mixed, 1)->engine, engine[1]);

	/* All of them busy: no room, and nothing is lost. */
	assert_non_null(weft_peer_find(fresh, 20));
	for (uint32_t i = 0; i < 6; i++)
		post(&(struct weft_peer){ .engine = i });
	assert_null(weft_peer_find(fresh, 99));
	assert_int_equal(weft_peer_find(busy, 7)->engine, engine[0]);

	assert_int_equal(weft_ah_destroy(busy), 0);
	assert_int_equal(weft_ah_destroy(mixed), 0);
	assert_int_equal(weft_ah_destroy(fresh), 0);
	assert_int_equal(weft_ah_destroy(idle), 0);
	assert_int_equal(weft_pd_destroy(pd), 0);
	assert_int_equal(weft_pd_destroy(other), 0);
	bare_close();
}

/* Against a naive twin: which contexts are held must always be those of the peers that the handles know. */
static void weft_peer_find__like_a_table_of_all(void **state)
{
	enum {
		HOSTS = 64,
		SLOTS = 24,
		ROUNDS = 60000
	};
	static struct weft_ah *ah[HOSTS];
	static uint32_t twin[HOSTS][SLOTS]; /* Handle of the engine, and 1. */
	struct weft_prng rnd;
	struct weft_pd *pd;
	uint32_t known = 0;

	(void)state;
	bare_open(HOSTS * SLOTS);
	pd = bare_pd();
	weft_prng_init(&rnd, 3);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint32_t host = weft_prng_below(&rnd, HOSTS), slot = weft_prng_below(&rnd, SLOTS);
		uint32_t chain = 0;

		if (ah[host] && !weft_prng_below(&rnd, 50)) {
			assert_int_equal(weft_ah_destroy(ah[host]), 0);
			ah[host] = NULL;
			memset(twin[host], 0, sizeof(twin[host]));
			continue;
		}
		if (!ah[host])
			ah[host] = bare_ah(pd, host);
		assert_ptr_equal(weft_peer_find(ah[host], (uint8_t)slot), &ah[host]->peer);
		assert_int_equal(ah[host]->peer.slot, slot);
		if (twin[host][slot])
			assert_int_equal(ah[host]->peer.engine, twin[host][slot] - 1);
		twin[host][slot] = ah[host]->peer.engine + 1;
		for (uint32_t k = 0; k < SLOTS; k++)
			known += twin[host][k] != 0;
		for (uint16_t at = ah[host]->peer.next; at; at = pd->more[at].next) {
			assert_int_equal(pd->more[at].engine + 1, twin[host][pd->more[at].slot]);
			chain++;
		}
		assert_int_equal(chain + 1, known);
		known = 0;
	}
	assert_true(pd->more_len < HOSTS * SLOTS);
	for (uint32_t host = 0; host < HOSTS; host++)
		if (ah[host])
			assert_int_equal(weft_ah_destroy(ah[host]), 0);
	assert_int_equal(weft_pd_destroy(pd), 0);
	bare_close();
}

/* What 10,000 peers cost while nothing is under way, less the stubs of their contexts (test_srd_srd.c): both together
 * stay below 2 MB. */
static void weft_peer__bytes_while_idle(void **state)
{
	enum {
		PEERS = 10000
	};
	size_t verbs = (sizeof(struct ibv_ah) + sizeof(size_t) + 15) / 16 * 16; /* malloc's. */
	size_t each = verbs + sizeof(struct weft_ah);

	(void)state;
	assert_in_range(each, 1, 64);
	assert_in_range(PEERS * each + sizeof(((struct weft_pd *)NULL)->ah_hash), 1, 680000);
	/* A further process at an address has no handle of its own. */
	assert_int_equal(sizeof(struct weft_peer), 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_peer_find__last_used_is_first),
		cmocka_unit_test(weft_peers_drop__gives_references_back),
		cmocka_unit_test(weft_peer_find__forgets_the_idle),
		cmocka_unit_test(weft_peer_find__like_a_table_of_all),
		cmocka_unit_test(weft_peer__bytes_while_idle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
