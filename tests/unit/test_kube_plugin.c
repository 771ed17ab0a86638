/* SPDX-License-Identifier: BSD-2-Clause */
/* The life of a resource, by a clock of our own, before a kubelet that answers, does not, or goes away. */
#define _GNU_SOURCE
#include "kube/api.h"
#include "kube/conn.h"
#include "kube/klog.h"
#include "kube/plugin.h"

#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENDPOINT "weft-a_b.sock"

static struct weft_kube_cards cards = { .count = 1, .shared = 1 };
static const struct weft_kube_source source = { &cards, NULL, NULL };
static char dir[64];
static struct weft_plugin *plugin;
static weft_ns now;

/* Kubelet: takes registrations, or refuses them. */
static struct {
	int fd;
	struct weft_conn conn;
	enum weft_grpc_code answer;
	int registrations;
} kubelet;

static enum weft_grpc_code take(void *arg, struct weft_pb_in request, struct weft_pb_out *reply,
				char *why)
{
	(void)arg;
	(void)request;
	(void)reply;
	kubelet.registrations++;
	snprintf(why, WEFT_GRPC_WHY_MAX, "no");
	return kubelet.answer;
}

static const struct weft_grpc_method methods[] = { { WEFT_KUBE_REGISTER, take, false } };
static const struct weft_grpc_service service = { methods, 1, NULL, NULL };

static const char *path_of(const char *name)
{
	static char path[200];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void start_kubelet(void)
{
	struct sockaddr_un at;

	kubelet.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(weft_conn_address(path_of("kubelet.sock"), &at));
	assert_int_equal(bind(kubelet.fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(kubelet.fd, 8), 0);
}

static void stop_kubelet(void)
{
	weft_conn_fini(&kubelet.conn);
	close(kubelet.fd);
	kubelet.fd = -1;
	assert_int_equal(unlink(path_of("kubelet.sock")), 0);
}

static int set_up(void **state)
{
	char why[200];

	(void)state;
	weft_klog_to(-1);
	snprintf(dir, sizeof(dir), "/tmp/weft-plugin-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	memset(&kubelet, 0, sizeof(kubelet));
	kubelet.fd = kubelet.conn.fd = -1;
	now = WEFT_S(1000);
	return weft_plugin_open(dir, "a/b", &source, &plugin, why, sizeof(why));
}

static int tear_down(void **state)
{
	(void)state;
	if (plugin)
		weft_plugin_close(plugin);
	plugin = NULL;
	if (kubelet.fd >= 0)
		stop_kubelet();
	return rmdir(dir); /* Which is empty. */
}

/* Lets both do what there is to do, without any time passing. */
static int turn(void)
{
	int err = 0;

	for (int i = 0; i < 10 && !err; i++) {
		struct pollfd fds[WEFT_PLUGIN_FDS_MAX];
		weft_ns until = WEFT_NS_NEVER;
		uint32_t n = weft_plugin_wait(plugin, fds, &until);
		int fd;

		assert_true(n <= WEFT_PLUGIN_FDS_MAX);
		(void)poll(fds, n, 0);
		err = weft_plugin_turn(plugin, fds, now);
		fd = kubelet.fd < 0 ? -1 : accept4(kubelet.fd, NULL, NULL, SOCK_NONBLOCK);
		if (fd >= 0) {
			weft_conn_fini(&kubelet.conn);
			weft_conn_init(&kubelet.conn, fd, weft_grpc_serve(&service));
		}
		if (kubelet.conn.fd >= 0 && !weft_conn_turn(&kubelet.conn, POLLIN))
			weft_conn_fini(&kubelet.conn);
	}
	return err;
}

static void pass(weft_ns time)
{
	now += time;
	assert_int_equal(turn(), 0);
}

static void weft_plugin_turn__registers_again_and_again(void **state)
{
	static const uint32_t delays_ms[] = {
		250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000
	};

	(void)state;
	pass(0);
	assert_int_equal(kubelet.registrations, 0);
	kubelet.answer = WEFT_GRPC_UNKNOWN;
	start_kubelet();
	pass(0);
	assert_int_equal(kubelet.registrations, 1);
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(delays_ms); i++) {
		pass(WEFT_MS(delays_ms[i]) - 1);
		assert_int_equal(kubelet.registrations, i + 1);
		pass(1);
		assert_int_equal(kubelet.registrations, i + 2);
	}
	/* Another kubelet knows nothing of all that. */
	stop_kubelet();
	pass(0);
	kubelet.answer = WEFT_GRPC_OK;
	kubelet.registrations = 0;
	start_kubelet();
	pass(0);
	assert_int_equal(kubelet.registrations, 1);
	assert_int_equal(weft_plugin_counts(plugin).registrations, 1);
}

/* Kubelet answers before it has called back. If it never does, it is asked again. */
static void weft_plugin_turn__not_called_back(void **state)
{
	(void)state;
	start_kubelet();
	pass(0);
	assert_int_equal(kubelet.registrations, 1);
	pass(WEFT_S(15) - 1);
	assert_int_equal(weft_plugin_counts(plugin).registrations_failed, 0);
	pass(1);
	assert_int_equal(weft_plugin_counts(plugin).registrations_failed, 1);
	pass(WEFT_MS(250));
	assert_int_equal(kubelet.registrations, 2);
}

static void weft_plugin_turn__no_answer(void **state)
{
	struct pollfd fds[WEFT_PLUGIN_FDS_MAX] = { 0 };

	(void)state;
	start_kubelet();
	/* It has the connection in its queue, and does nothing. */
	assert_int_equal(weft_plugin_turn(plugin, fds, now), 0);
	assert_int_equal(weft_plugin_turn(plugin, fds, now + WEFT_S(10) - 1), 0);
	assert_int_equal(weft_plugin_counts(plugin).registrations_failed, 0);
	assert_int_equal(weft_plugin_turn(plugin, fds, now + WEFT_S(10)), 0);
	assert_int_equal(weft_plugin_counts(plugin).registrations_failed, 1);
}

static void weft_plugin_turn__socket(void **state)
{
	struct stat st;

	(void)state;
	start_kubelet();
	pass(0);
	assert_int_equal(unlink(path_of(ENDPOINT)), 0);
	pass(0);
	assert_int_equal(stat(path_of(ENDPOINT), &st), 0);
	assert_int_equal(st.st_mode & 077, 0);
	assert_int_equal(kubelet.registrations, 2);
}

static void weft_plugin_open__refused(void **state)
{
	struct weft_plugin *other;
	char why[300] = "", longer[200];

	(void)state;
	assert_int_equal(weft_plugin_open(dir, "a/b", &source, &other, why, sizeof(why)),
			 -EADDRINUSE);
	assert_non_null(strstr(why, "another plugin serves a/b"));
	snprintf(longer, sizeof(longer), "%s/%0100d", dir, 1);
	assert_int_equal(weft_plugin_open(longer, "a/b", &source, &other, why, sizeof(why)),
			 -ENAMETOOLONG);
	assert_non_null(strstr(why, "too long"));
}

/* Two who started at once: who has lost the socket says so. */
static void weft_plugin_turn__taken_over(void **state)
{
	struct weft_plugin *other;
	char why[300];

	(void)state;
	assert_int_equal(unlink(path_of(ENDPOINT)), 0);
	assert_int_equal(weft_plugin_open(dir, "a/b", &source, &other, why, sizeof(why)), 0);
	assert_int_equal(turn(), -EADDRINUSE);
	weft_plugin_close(plugin); /* Leaves the other's socket alone. */
	plugin = other;
	assert_int_equal(access(path_of(ENDPOINT), F_OK), 0);
	assert_int_equal(turn(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(weft_plugin_turn__registers_again_and_again, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(weft_plugin_turn__not_called_back, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(weft_plugin_turn__no_answer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(weft_plugin_turn__socket, set_up, tear_down),
		cmocka_unit_test_setup_teardown(weft_plugin_open__refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(weft_plugin_turn__taken_over, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
