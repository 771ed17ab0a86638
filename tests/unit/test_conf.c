/* SPDX-License-Identifier: BSD-2-Clause */
#include "dev/conf_set.h"

#include "base/prng.h"

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];
static struct weft_conf_set set;

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/weft-conf-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	static const char *const names[] = { "etc", "home", "fifo", "run/x", "run", "link" };
	char path[128];

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		remove(path);
	}
	return rmdir(dir);
}

static const char *in_dir(const char *name)
{
	static char path[2][128];
	static unsigned int turn;

	turn ^= 1;
	snprintf(path[turn], sizeof(path[0]), "%s/%s", dir, name);
	return path[turn];
}

static const char *write_file(const char *name, mode_t mode, const void *data, size_t len)
{
	const char *path = in_dir(name);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
	return path;
}

static void read_env(const char *one)
{
	char *env[] = { (char *)"PATH=/bin", (char *)one, NULL };
	struct weft_conf_input in = { .env = env, .shm_dir = dir };

	weft_conf_read(&in, &set);
}

static const struct weft_conf_row *row_of(const char *name)
{
	static struct weft_conf_row row;

	for (uint32_t i = 0; weft_conf_set_row(&set, i, &row); i++)
		if (!strcmp(row.name, name))
			return &row;
	fail_msg("no row %s", name);
	return NULL;
}

static bool complains(const char *about)
{
	for (uint32_t i = 0; i < set.problems; i++)
		if (strstr(set.problem[i], about))
			return true;
	return false;
}

static void weft_conf_read__defaults(void **state)
{
	struct weft_conf_input in = { .shm_dir = dir };
	const struct weft_conf *c = &set.conf;
	char want[128];

	(void)state;
	weft_conf_read(&in, &set);
	assert_int_equal(set.problems, 0);
	assert_false(set.bad);
	assert_string_equal(c->addr, "");
	assert_int_equal(c->cards, 0);
	assert_int_equal(c->wire, WEFT_CONF_WIRE_AUTO);
	assert_int_equal(c->port_base, 20000);
	assert_int_equal(c->paths, 0);
	assert_int_equal(c->dead_after, WEFT_S(5));
	assert_int_equal(c->rcvbuf, 4u << 20);
	assert_true(c->gso && c->gro && c->helper && !c->hide_others);
	assert_string_equal(c->caps, "auto");
	assert_int_equal(c->log_level, WEFT_CONF_LOG_WARN);
	snprintf(want, sizeof(want), "%s/weft-%u", dir, (unsigned int)geteuid());
	assert_string_equal(c->run_dir, want);
	assert_string_equal(row_of("WEFT_RUN_DIR")->value, want);
	assert_string_equal(row_of("WEFT_RUN_DIR")->origin, "default");
}

/* Every default goes through the parser of its row: a table that contradicts itself shows here. */
static void weft_conf_read__defaults_parse(void **state)
{
	struct weft_conf_row row;
	char assignment[600];

	(void)state;
	read_env("X=");
	for (uint32_t i = 0; weft_conf_set_row(&set, i, &row); i++) {
		assert_int_equal(strncmp(row.name, "WEFT_", 5), 0);
		assert_true(strlen(row.what) > 10 && strlen(row.what) < 90);
		snprintf(assignment, sizeof(assignment), "%s=%s", row.name, row.def);
		read_env(assignment);
		assert_int_equal(set.problems, 0);
	}
}

static void weft_conf_read__values(void **state)
{
#define U32(f) offsetof(struct weft_conf, f), 4
	static const struct {
		int id;
		const char *env;
		size_t offset, size;
		uint64_t want; /* UINT64_MAX: refused. */
	} rows[] = {
		{ 1, "WEFT_CARDS=32", U32(cards), 32 },
		{ 2, "WEFT_CARDS=33", U32(cards), UINT64_MAX },
		{ 3, "WEFT_CARDS=0", U32(cards), 0 },
		{ 4, "WEFT_CARDS=-1", U32(cards), UINT64_MAX },
		{ 5, "WEFT_CARDS=4294967297", U32(cards), UINT64_MAX },
		{ 6, "WEFT_CARDS=4 ", U32(cards), UINT64_MAX },
		{ 7, "WEFT_PORT_BASE=21808", U32(port_base), 21808 },
		{ 8, "WEFT_PORT_BASE=21809", U32(port_base), UINT64_MAX },
		{ 9, "WEFT_PORT_BASE=0", U32(port_base), UINT64_MAX },
		{ 10, "WEFT_PATHS=1", U32(paths), 1 },
		{ 11, "WEFT_PATHS=2", U32(paths), UINT64_MAX },
		{ 12, "WEFT_PATHS=16", U32(paths), 16 },
		{ 13, "WEFT_PATHS=auto", U32(paths), 0 },
		{ 14, "WEFT_PATHS=257", U32(paths), UINT64_MAX },
		{ 15, "WEFT_RCVBUF=64K", U32(rcvbuf), 64000 },
		{ 16, "WEFT_RCVBUF=64KiB", U32(rcvbuf), 65536 },
		{ 17, "WEFT_SNDBUF=4M", U32(sndbuf), 4000000 },
		{ 18, "WEFT_SNDBUF=1TiB", U32(sndbuf), UINT64_MAX },
		{ 19, "WEFT_DEAD_AFTER=200ms", offsetof(struct weft_conf, dead_after), 8,
		  WEFT_MS(200) },
		{ 20, "WEFT_DEAD_AFTER=50us", offsetof(struct weft_conf, dead_after), 8,
		  UINT64_MAX },
		{ 21, "WEFT_DEAD_AFTER=5", offsetof(struct weft_conf, dead_after), 8, UINT64_MAX },
		{ 22, "WEFT_LOSS=1%", U32(loss_ppm), 10000 },
		{ 23, "WEFT_LOSS=0.01%", U32(loss_ppm), 100 },
		{ 24, "WEFT_LOSS=1", U32(loss_ppm), UINT64_MAX },
		{ 25, "WEFT_LOSS=100%", U32(loss_ppm), UINT64_MAX },
		{ 26, "WEFT_PART_ID=0xefa2", U32(part_id), 0xefa2 },
		{ 27, "WEFT_PART_ID=0xefa9", U32(part_id), UINT64_MAX },
		{ 28, "WEFT_WIRE=local", U32(wire), WEFT_CONF_WIRE_LOCAL },
		{ 29, "WEFT_WIRE=tcp", U32(wire), UINT64_MAX },
		{ 30, "WEFT_LOG=debug", U32(log_level), WEFT_CONF_LOG_DEBUG },
		{ 31, "WEFT_GSO=off", offsetof(struct weft_conf, gso), 1, 0 },
		{ 32, "WEFT_HIDE_OTHERS=1", offsetof(struct weft_conf, hide_others), 1, 1 },
		{ 33, "WEFT_HELPER=maybe", offsetof(struct weft_conf, helper), 1, UINT64_MAX },
		{ 34, "WEFT_MTU=1500", U32(mtu), 1500 },
		{ 35, "WEFT_MTU=100", U32(mtu), UINT64_MAX },
		{ 36, "WEFT_GBPS=400", U32(gbps), 400 },
	};

	(void)state;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		struct weft_conf defaults;
		uint64_t got = 0, before = 0;
		bool refused = rows[i].want == UINT64_MAX;

		read_env("X=");
		defaults = set.conf;
		read_env(rows[i].env);
		memcpy(&got, (char *)&set.conf + rows[i].offset, rows[i].size);
		memcpy(&before, (char *)&defaults + rows[i].offset, rows[i].size);
		if (got != (refused ? before : rows[i].want) || set.bad != refused ||
		    set.problems != refused)
			fail_msg("row %d: %s: got %llu, %s", rows[i].id, rows[i].env,
				 (unsigned long long)got, set.problem[0]);
	}
}

static void weft_conf_read__unknown_name(void **state)
{
	(void)state;
	read_env("WEFT_ADR=127.0.0.2");
	assert_int_equal(set.problems, 1);
	assert_false(set.bad);
	assert_string_equal(set.problem[0],
			    "WEFT_ADR (environment): no such setting; did you mean WEFT_ADDR?");
	read_env("WEFT_addr=127.0.0.2");
	assert_int_equal(set.problems, 1);
	read_env("WEFT_FROBNICATE=1");
	assert_string_equal(set.problem[0], "WEFT_FROBNICATE (environment): no such setting");
	read_env("WEFTY=1");
	assert_int_equal(set.problems, 0);
	read_env("WEFT_ADDR=");
	assert_int_equal(set.problems, 0);
}

static void weft_conf_read__files_and_environment(void **state)
{
	static const char etc[] =
		"# everybody's\naddr = 10.0.0.1\nWEFT_CARDS=3\npaths = 32 # more\n"
		"key = a#b\n\r\n\t gbps=\t25 \r\n";
	static const char home[] = "ADDR=10.0.0.2\ncards = zwei\nbogus = 1\npathes = 1\nno value\n";
	char *env[] = { (char *)"WEFT_PATHS=64", NULL };
	struct weft_conf_input in = { .env = env, .shm_dir = dir };

	(void)state;
	in.etc_file = write_file("etc", 0644, etc, strlen(etc));
	in.home_file = write_file("home", 0600, home, strlen(home));
	weft_conf_read(&in, &set);
	assert_string_equal(set.conf.addr, "10.0.0.2");
	assert_int_equal(set.conf.cards, 3);
	assert_int_equal(set.conf.paths, 64);
	assert_int_equal(set.conf.gbps, 25);
	assert_string_equal(set.conf.key, "a#b");
	assert_string_equal(row_of("WEFT_KEY")->value, "(set)");
	assert_string_equal(row_of("WEFT_PATHS")->origin, "environment");
	assert_non_null(strstr(row_of("WEFT_ADDR")->origin, "/home:1"));
	assert_non_null(strstr(row_of("WEFT_CARDS")->origin, "/etc:3"));
	assert_true(set.bad);
	assert_int_equal(set.problems, 4);
	assert_true(complains("home:2): not auto or a number from 1 to 32"));
	assert_true(complains("bogus ("));
	assert_true(complains("did you mean WEFT_PATHS?"));
	assert_true(complains("home:5: not \"name = value\""));

	/* setuid: what the user says does not count. */
	in.privileged = true;
	weft_conf_read(&in, &set);
	assert_string_equal(set.conf.addr, "10.0.0.1");
	assert_int_equal(set.conf.paths, 32);
}

static void weft_conf_read__file_refused(void **state)
{
	static const char text[] = "cards = 7\n";
	struct weft_conf_input in = { .shm_dir = dir };
	char *big = calloc(1, 70000);

	(void)state;
	in.home_file = write_file("home", 0622, text, strlen(text));
	weft_conf_read(&in, &set);
	assert_true(complains("others than its owner may write it"));
	assert_int_equal(set.conf.cards, 0);

	write_file("home", 0600, "cards = 7\0\n", 11);
	weft_conf_read(&in, &set);
	assert_true(complains("not a text file"));
	assert_int_equal(set.conf.cards, 0);

	memset(big, '\n', 70000);
	write_file("home", 0600, big, 70000);
	weft_conf_read(&in, &set);
	assert_true(complains("longer than 65536"));
	free(big);

	in.home_file = dir;
	weft_conf_read(&in, &set);
	assert_true(complains("not a file"));

	/* Opening a FIFO for reading would wait for a writer. */
	in.home_file = in_dir("fifo");
	assert_int_equal(mkfifo(in.home_file, 0600), 0);
	weft_conf_read(&in, &set);
	assert_true(complains("not a file"));

	in.home_file = in_dir("nothing");
	weft_conf_read(&in, &set);
	assert_int_equal(set.problems, 0);

	in.home_file = write_file("home", 0600, text, strlen(text));
	if (!geteuid() && !chown(in.home_file, 12345, 12345)) {
		weft_conf_read(&in, &set);
		assert_true(complains("belongs to another user"));
		assert_int_equal(set.conf.cards, 0);
	}
}

static void weft_conf_read__hostile(void **state)
{
	static char huge[100000] = "WEFT_ADDR=";
	static char many[40][32];
	char *env[42] = { NULL };
	struct weft_conf_input in = { .env = env, .shm_dir = dir };

	(void)state;
	memset(huge + 10, 'A', sizeof(huge) - 11);
	read_env(huge);
	assert_true(complains("too long"));
	assert_string_equal(set.conf.addr, "");

	read_env("WEFT_ADDR=\033[2Jx\n");
	assert_int_equal(set.problems, 1);
	assert_null(strchr(set.problem[0], '\033'));
	assert_null(strchr(set.problem[0], '\n'));

	read_env("WEFT_KEY=secret\001");
	assert_int_equal(set.problems, 1);
	assert_null(strstr(set.problem[0], "secret"));

	read_env("WEFT_RUN_DIR=../x");
	assert_true(complains("not an absolute path"));
	read_env("WEFT_=1");
	assert_int_equal(set.problems, 1);
	read_env("WEFT_ADDR");
	assert_int_equal(set.problems, 0);

	for (int i = 0; i < 40; i++) {
		snprintf(many[i], sizeof(many[i]), "WEFT_BOGUS_%d=1", i);
		env[i] = many[i];
	}
	weft_conf_read(&in, &set);
	assert_int_equal(set.problems, WEFT_CONF_PROBLEMS_MAX);
	assert_true(complains("and more"));
}

/* Whatever stands in a file, reading it ends, and in a valid configuration. */
static void weft_conf_read__random_files(void **state)
{
	static const char *const pieces[] = { "WEFT_", "addr", "=",    " ",    "\n", "#",
					      "cards", "4",    "loss", "1%",   "\r", "key",
					      "\t",    "auto", "\xff", "\001", "==", "paths" };
	struct weft_conf_input in = { .shm_dir = dir };
	struct weft_prng prng;

	(void)state;
	weft_prng_init(&prng, 3);
	for (int i = 0; i < 500; i++) {
		char text[600] = "";
		size_t len = 0;

		while (len < 500) {
			const char *p = pieces[weft_prng_below(&prng, WEFT_ARRAY_SIZE(pieces))];

			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s", p);
		}
		in.home_file = write_file("home", 0600, text, len);
		weft_conf_read(&in, &set);
		assert_true(set.conf.cards <= 32);
		assert_true(set.conf.loss_ppm <= 1000000);
		assert_true(set.problems <= WEFT_CONF_PROBLEMS_MAX);
	}
}

static void weft_conf_read__run_dir(void **state)
{
	char missing[96], want[128], name[32];
	struct weft_conf_input in = { .shm_dir = missing, .xdg_dir = dir };

	(void)state;
	snprintf(missing, sizeof(missing), "%s/missing", dir);
	weft_conf_read(&in, &set);
	snprintf(want, sizeof(want), "%s/weft", dir);
	assert_string_equal(set.conf.run_dir, want);

	in.xdg_dir = "relative";
	weft_conf_read(&in, &set);
	snprintf(want, sizeof(want), "/tmp/weft-%u", (unsigned int)geteuid());
	assert_string_equal(set.conf.run_dir, want);

	/* Somebody else's, or a link: not ours. */
	in.shm_dir = dir;
	snprintf(name, sizeof(name), "weft-%u", (unsigned int)geteuid());
	assert_int_equal(symlink("/", in_dir(name)), 0);
	weft_conf_read(&in, &set);
	assert_string_equal(set.conf.run_dir, want);
	assert_int_equal(unlink(in_dir(name)), 0);
}

static void weft_conf_make_dir__checks(void **state)
{
	const char *run = in_dir("run");
	struct stat st;
	char why[200];
	mode_t mask = umask(0);

	(void)state;
	assert_int_equal(weft_conf_make_dir(run, why, sizeof(why)), 0);
	umask(mask);
	assert_int_equal(stat(run, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(weft_conf_make_dir(run, why, sizeof(why)), 0);
	assert_int_equal(chmod(run, 0750), 0);
	assert_int_equal(weft_conf_make_dir(run, why, sizeof(why)), -EPERM);
	assert_non_null(strstr(why, "open to others"));
	assert_int_equal(chmod(run, 0700), 0);
	assert_int_equal(symlink("run", in_dir("link")), 0);
	assert_int_equal(weft_conf_make_dir(in_dir("link"), why, sizeof(why)), -ENOTDIR);
	assert_int_equal(weft_conf_make_dir("/proc/none/x", why, sizeof(why)), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(weft_conf_read__defaults),
		cmocka_unit_test(weft_conf_read__defaults_parse),
		cmocka_unit_test(weft_conf_read__values),
		cmocka_unit_test(weft_conf_read__unknown_name),
		cmocka_unit_test(weft_conf_read__files_and_environment),
		cmocka_unit_test(weft_conf_read__file_refused),
		cmocka_unit_test(weft_conf_read__hostile),
		cmocka_unit_test(weft_conf_read__random_files),
		cmocka_unit_test(weft_conf_read__run_dir),
		cmocka_unit_test(weft_conf_make_dir__checks),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
