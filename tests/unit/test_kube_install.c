/* SPDX-License-Identifier: BSD-2-Clause */
/* The library on the node: a whole file under its name at any time, and the old one for who has it. */
#define _GNU_SOURCE
#include "kube/install.h"

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct folders {
	char from[64], to[64];
};

static int make_folders(void **state)
{
	static struct folders f;

	snprintf(f.from, sizeof(f.from), "/tmp/weft-install-XXXXXX");
	snprintf(f.to, sizeof(f.to), "/tmp/weft-install-XXXXXX");
	*state = &f;
	return mkdtemp(f.from) && mkdtemp(f.to) ? 0 : -1;
}

static int remove_folders(void **state)
{
	const struct folders *f = *state;
	char command[200];

	snprintf(command, sizeof(command), "rm -rf '%s' '%s'", f->from, f->to);
	return system(command); /* NOLINT(cert-env33-c): names of our own. */
}

static void put(const char *folder, const char *name, const char *text, mode_t mode)
{
	char path[200];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static void assert_file(const char *folder, const char *name, const char *want, mode_t mode)
{
	char path[200], got[200] = "";
	struct stat st;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_true(fread(got, 1, sizeof(got) - 1, file) <= sizeof(got));
	assert_int_equal(fstat(fileno(file), &st), 0);
	fclose(file);
	assert_string_equal(got, want);
	assert_int_equal(st.st_mode & 07777, mode);
}

static uint32_t install(const struct folders *f)
{
	char why[300] = "";
	uint32_t count = 0;
	int err = weft_kube_install(f->from, f->to, &count, why, sizeof(why));

	if (err)
		fail_msg("%s", why);
	return count;
}

static void weft_kube_install__copies_files_and_nothing_else(void **state)
{
	const struct folders *f = *state;
	char path[200];

	put(f->from, "a.so", "code", 0755);
	put(f->from, "b.so", "more", 0644);
	put(f->from, ".hidden", "no", 0644);
	snprintf(path, sizeof(path), "%s/folder", f->from);
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(install(f), 2);
	assert_file(f->to, "a.so", "code", 0755);
	assert_file(f->to, "b.so", "more", 0644);
	snprintf(path, sizeof(path), "%s/.hidden", f->to);
	assert_int_equal(access(path, F_OK), -1);
	snprintf(path, sizeof(path), "%s/folder", f->to);
	assert_int_equal(access(path, F_OK), -1);
	/* Nobody may write to what every pod runs. */
	put(f->from, "a.so", "open", 0777);
	assert_int_equal(install(f), 2);
	assert_file(f->to, "a.so", "open", 0755);
}

static void weft_kube_install__mapped_file_stays(void **state)
{
	const struct folders *f = *state;
	char path[200];
	char *map;
	int fd;

	put(f->from, "a.so", "old", 0755);
	install(f);
	snprintf(path, sizeof(path), "%s/a.so", f->to);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	map = mmap(NULL, 3, PROT_READ, MAP_SHARED, fd, 0);
	assert_true(map != MAP_FAILED);
	close(fd);
	put(f->from, "a.so", "new and longer", 0755);
	/* What one that was killed has left is in nobody's way. */
	put(f->to, ".a.so.new", "half", 0400);
	install(f);
	assert_memory_equal(map, "old", 3);
	munmap(map, 3);
	assert_file(f->to, "a.so", "new and longer", 0755);
	snprintf(path, sizeof(path), "%s/.a.so.new", f->to);
	assert_int_equal(access(path, F_OK), -1);
}

static void weft_kube_install__says_what_is_wrong(void **state)
{
	const struct folders *f = *state;
	char why[300], path[200];
	uint32_t count = 7;

	assert_int_equal(weft_kube_install(f->from, f->to, &count, why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, "no file there"));
	assert_int_equal(weft_kube_install("/nonexistent/x", f->to, &count, why, sizeof(why)),
			 -ENOENT);
	assert_string_equal(why, "/nonexistent/x: No such file or directory");
	put(f->from, "a.so", "code", 0755);
	assert_int_equal(weft_kube_install(f->from, "/nonexistent/y", &count, why, sizeof(why)),
			 -ENOENT);
	assert_string_equal(why, "/nonexistent/y: No such file or directory");
	/* A folder has the name. */
	snprintf(path, sizeof(path), "%s/a.so", f->to);
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(weft_kube_install(f->from, f->to, &count, why, sizeof(why)), -EISDIR);
	assert_string_equal(why, "a.so: Is a directory");
	snprintf(path, sizeof(path), "%s/.a.so.new", f->to);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(count, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(weft_kube_install__copies_files_and_nothing_else,
						make_folders, remove_folders),
		cmocka_unit_test_setup_teardown(weft_kube_install__mapped_file_stays, make_folders,
						remove_folders),
		cmocka_unit_test_setup_teardown(weft_kube_install__says_what_is_wrong, make_folders,
						remove_folders),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
