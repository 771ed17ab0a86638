/* SPDX-License-Identifier: BSD-2-Clause */
/* Each connection gets a process of its own: a library that aborts, or an address that was used up, dies with it.
 * Two groups at once would measure each other, so while one is here another is refused. A group may have
 * several ranks here, and says by its number that they belong together. */
#define _GNU_SOURCE
#include "perf/serve.h"

#include "perf/rank.h"
#include "perf/talk.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define GUESTS_MAX  WEFT_PERF_RANKS_MAX
#define PATIENCE_NS 2000000000ull

/* Shared by the server's processes. A guest enters when nobody is in, or its own group. The server notices when a guest
 * has ended, however, and lets the next group in when the last one has. */
struct weft_rank_gate {
	uint64_t group; /* 0: nobody. */
	uint64_t inside[GUESTS_MAX]; /* The group of each guest. */
};

static pid_t guests[GUESTS_MAX]; /* 0: free. */
static uint32_t own_slot; /* In a guest. */

bool weft_rank_gate_enter(struct weft_rank_gate *gate, uint64_t group)
{
	uint64_t end = weft_talk_now() + PATIENCE_NS;

	do {
		uint64_t nobody = 0;

		if (__atomic_compare_exchange_n(&gate->group, &nobody, group, false,
						__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) ||
		    nobody == group) {
			__atomic_store_n(&gate->inside[own_slot], group, __ATOMIC_RELEASE);
			return true;
		}
		/* It may have ended, and the server not have noticed. */
		usleep(10000);
	} while (weft_talk_now() < end);
	return false;
}

/* Has a group left? */
static bool reap(struct weft_rank_gate *gate)
{
	bool was_in = false, is_in = false;
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		for (uint32_t i = 0; i < GUESTS_MAX; i++) {
			if (guests[i] != pid)
				continue;
			guests[i] = 0;
			was_in |= gate->inside[i] != 0;
			gate->inside[i] = 0;
		}
	for (uint32_t i = 0; i < GUESTS_MAX; i++)
		is_in |= __atomic_load_n(&gate->inside[i], __ATOMIC_ACQUIRE) != 0;
	if (!was_in || is_in)
		return false;
	__atomic_store_n(&gate->group, 0, __ATOMIC_RELEASE);
	return true;
}

static bool find_slot(uint32_t *slot_out)
{
	for (uint32_t i = 0; i < GUESTS_MAX; i++)
		if (!guests[i]) {
			*slot_out = i;
			return true;
		}
	return false;
}

static void on_child(int signal)
{
	(void)signal; /* Only to end a poll(). */
}

static void welcome(int fd, struct weft_rank_gate *gate,
		    void (*on_peer)(const char *address, const char *what))
{
	int guest = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	char peer[WEFT_PERF_NAME_MAX];
	pid_t pid;

	if (guest < 0)
		return;
	weft_talk_address(guest, true, peer, sizeof(peer));
	pid = fork();
	if (!pid) {
		signal(SIGCHLD, SIG_DFL);
		close(fd);
		weft_rank_main(guest, gate);
	}
	if (pid > 0)
		guests[own_slot] = pid;
	if (on_peer)
		on_peer(peer, pid > 0 ? "connected" : strerror(errno));
	close(guest);
}

bool weft_perf_serve(const char *address, uint16_t port, bool is_once,
		     void (*on_peer)(const char *address, const char *what), char *why, size_t len)
{
	struct sigaction action = { .sa_handler = on_child };
	char here[WEFT_PERF_NAME_MAX];
	struct weft_rank_gate *gate;
	int fd = weft_talk_listen(address, port, why, len);

	if (fd < 0)
		return false;
	gate = mmap(NULL, sizeof(*gate), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (gate == MAP_FAILED) {
		snprintf(why, len, "%s", strerror(errno));
		close(fd);
		return false;
	}
	sigaction(SIGCHLD, &action, NULL);
	weft_talk_address(fd, false, here, sizeof(here));
	if (on_peer)
		on_peer(here, NULL);
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int n = poll(&p, 1, 500);

		if (reap(gate) && is_once)
			return true;
		/* Without a free place they wait at the door. */
		if (n > 0 && find_slot(&own_slot))
			welcome(fd, gate, on_peer);
		else if (n > 0)
			usleep(10000);
	}
}
