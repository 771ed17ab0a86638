/* SPDX-License-Identifier: BSD-2-Clause */
/* A private stand-in for /sys. Clients read what libibverbs does not tell (the PCI function, its driver, the
 * link) from files below ibv_device.ibdev_path, which we choose, and below $SYSFS_PATH, which libibverbs and
 * libfabric honour; so a small tree in the run directory serves them and no open() has to be intercepted.
 *
 *	<run directory>/sysfs-<random>/
 *		class/infiniband/rdmap16s27        -> ../../devices/.../infiniband/rdmap16s27
 *		class/infiniband_verbs/abi_version, weft_uverbs0/...
 *		devices/pci0000:10/0000:10:1b.0/vendor, device, driver, infiniband/rdmap16s27/...
 *		bus/pci/drivers/efa/
 *		everything else                    -> /sys
 *
 * The tree belongs to a process and the children it forks: its name is chosen before main(), it is made when it
 * is first needed (and again, if somebody cleaned it away), and each process that uses it holds a shared lock
 * on its root. The last one to leave gets the exclusive lock and removes it. A killed process leaves its tree
 * behind, without a lock: whoever makes a tree next removes it. */
#define _GNU_SOURCE
#include "verbs/sysfs.h"

#include "dev/conf.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TREE_PREFIX "sysfs-"
#define TREE_TAG    "/" TREE_PREFIX "weft-"
#define TREE_DEPTH  16u

/* The longest run directory, the tag, and 12 digits: short enough for the paths in struct ibv_device. */
static char root[sizeof(((struct weft_conf *)0)->run_dir) + sizeof(TREE_TAG) + 12]; /* "": none. */
static_assert(sizeof(root) <= WEFT_SYSFS_ROOT_MAX, "callers make room for it");
static int root_fd = -1; /* Holds the shared lock. */

void weft_sysfs_uverbs_name(uint32_t card, char *buf, size_t len)
{
	/* Not "uverbs<n>": those are the kernel's. */
	snprintf(buf, len, "weft_uverbs%u", card);
}

/* Remove what `name` is, a file or a whole directory. Links are not followed. */
static void remove_tree(int dir_fd, const char *name, unsigned int depth)
{
	struct dirent *entry;
	DIR *dir;
	int fd;

	if (unlinkat(dir_fd, name, 0) == 0 || depth == 0)
		return;
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			remove_tree(fd, entry->d_name, depth - 1);
	closedir(dir);
	unlinkat(dir_fd, name, AT_REMOVEDIR);
}

static int open_dir(int at, const char *name)
{
	return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Trees of processes that were killed. */
static void sweep(const char *run_dir)
{
	struct dirent *entry;
	DIR *dir = opendir(run_dir);

	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		int fd;

		if (strncmp(entry->d_name, TREE_PREFIX, strlen(TREE_PREFIX)))
			continue;
		fd = open_dir(dirfd(dir), entry->d_name);
		if (fd < 0)
			continue;
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			remove_tree(dirfd(dir), entry->d_name, TREE_DEPTH);
		close(fd);
	}
	closedir(dir);
}

/* Lock the root, and see that nobody swept it away between its making and the lock. */
static int lock_root(void)
{
	struct stat mine, there;
	int fd = open_dir(AT_FDCWD, root);

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_SH) == 0 && fstat(fd, &mine) == 0 && lstat(root, &there) == 0 &&
	    mine.st_ino == there.st_ino && mine.st_dev == there.st_dev && mine.st_uid == geteuid())
		return fd;
	close(fd);
	return -EAGAIN;
}

/* The writers below share one error, the first, so that the list of files reads as a list. */
struct tree {
	int fd;
	int err;
};

static void make_dir(struct tree *t, const char *path)
{
	if (!t->err && mkdirat(t->fd, path, 0700) < 0 && errno != EEXIST)
		t->err = -errno;
}

static void make_link(struct tree *t, const char *to, const char *path)
{
	if (!t->err && symlinkat(to, t->fd, path) < 0 && errno != EEXIST)
		t->err = -errno;
}

__attribute__((format(printf, 4, 5))) static void make_file(struct tree *t, const char *dir,
							    const char *name, const char *fmt, ...)
{
	char path[512], text[256];
	va_list ap;
	int fd, len;

	if (t->err)
		return;
	snprintf(path, sizeof(path), "%s%s%s", dir, *dir ? "/" : "", name);
	va_start(ap, fmt);
	len = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fd = openat(t->fd, path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || write(fd, text, (size_t)len) != len)
		t->err = errno ? -errno : -EIO;
	if (fd >= 0)
		close(fd);
}

/* One card, laid out as the kernel does it: clients walk up from the device to its PCI function. */
static void make_card(struct tree *t, const struct weft_card_info *card)
{
	char pci[96], ib[160], port[200], path[256], link[320], uverbs[64];
	const uint8_t *g = card->gid.raw;

	snprintf(pci, sizeof(pci), "devices/pci%.7s", card->bdf);
	make_dir(t, pci);
	snprintf(pci, sizeof(pci), "devices/pci%.7s/%s", card->bdf, card->bdf);
	make_dir(t, pci);
	make_file(t, pci, "vendor", "0x1d0f\n");
	make_file(t, pci, "device", "0x%04x\n", card->part_id);
	make_file(t, pci, "subsystem_vendor", "0x1d0f\n");
	make_file(t, pci, "subsystem_device", "0x%04x\n", card->part_id);
	make_file(t, pci, "class", "0x020000\n");
	make_file(t, pci, "numa_node", "%d\n", card->numa);
	/* The slowest link that carries the card's rate: clients take the lower of both. */
	make_file(t, pci, "current_link_speed", "%s GT/s PCIe\n",
		  card->gbps > 100 ? "32.0" : "16.0");
	make_file(t, pci, "current_link_width", "16\n");
	snprintf(path, sizeof(path), "%s/driver", pci);
	make_link(t, "../../../bus/pci/drivers/efa", path);
	snprintf(path, sizeof(path), "%s/infiniband", pci);
	make_dir(t, path);

	snprintf(ib, sizeof(ib), "%s/infiniband/%s", pci, card->name);
	make_dir(t, ib);
	snprintf(path, sizeof(path), "%s/device", ib);
	snprintf(link, sizeof(link), "../../../%s", card->bdf);
	make_link(t, link, path);
	make_file(t, ib, "node_type", "7: <unknown>\n");
	make_file(t, ib, "fw_ver", "0.0.0.0\n");
	make_file(t, ib, "node_guid", "%02x%02x:%02x%02x:%02x%02x:%02x%02x\n", g[8], g[9], g[10],
		  g[11], g[12], g[13], g[14], g[15]);
	make_file(t, ib, "sys_image_guid", "%02x%02x:%02x%02x:%02x%02x:%02x%02x\n", g[8], g[9],
		  g[10], g[11], g[12], g[13], g[14], g[15]);
	snprintf(path, sizeof(path), "%s/ports", ib);
	make_dir(t, path);
	snprintf(port, sizeof(port), "%s/ports/1", ib);
	make_dir(t, port);
	make_file(t, port, "state", "4: ACTIVE\n");
	make_file(t, port, "phys_state", "5: LinkUp\n");
	make_file(t, port, "rate", "%u Gb/sec\n", card->gbps);
	make_file(t, port, "link_layer", "Unspecified\n");
	make_file(t, port, "lid", "0x0\n");
	snprintf(path, sizeof(path), "%s/gids", port);
	make_dir(t, path);
	make_file(t, path, "0",
		  "%02x%02x:%02x%02x:%02x%02x:%02x%02x:%02x%02x:%02x%02x:%02x%02x:%02x%02x\n", g[0],
		  g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8], g[9], g[10], g[11], g[12], g[13],
		  g[14], g[15]);
	snprintf(path, sizeof(path), "%s/pkeys", port);
	make_dir(t, path);
	make_file(t, path, "0", "0xffff\n");
	snprintf(path, sizeof(path), "%s/gid_attrs", port);
	make_dir(t, path);
	snprintf(path, sizeof(path), "%s/gid_attrs/types", port);
	make_dir(t, path);
	make_file(t, path, "0", "IB/RoCE v1\n");

	snprintf(path, sizeof(path), "class/infiniband/%s", card->name);
	snprintf(link, sizeof(link), "../../%s", ib);
	make_link(t, link, path);

	weft_sysfs_uverbs_name(card->number, uverbs, sizeof(uverbs));
	snprintf(path, sizeof(path), "class/infiniband_verbs/%s", uverbs);
	make_dir(t, path);
	make_file(t, path, "ibdev", "%s\n", card->name);
	make_file(t, path, "abi_version", "1\n");
	snprintf(path, sizeof(path), "class/infiniband_verbs/%s/device", uverbs);
	snprintf(link, sizeof(link), "../../../%s", pci);
	make_link(t, link, path);
}

/* What we do not make is the real one: programs that honour SYSFS_PATH may look for more than cards, and real
 * devices may be shown beside ours. */
static void link_rest(struct tree *t, const char *dir)
{
	char from[128], to[400], path[300];
	struct dirent *entry;
	DIR *real;

	snprintf(from, sizeof(from), "/sys/%s", dir);
	real = opendir(from);
	if (!real)
		return;
	while ((entry = readdir(real))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(to, sizeof(to), "%s/%s", from, entry->d_name);
		snprintf(path, sizeof(path), "%s%s%s", dir, *dir ? "/" : "", entry->d_name);
		make_link(t, to, path);
	}
	closedir(real);
}

static int populate(int fd, const struct weft_card_info *cards, uint32_t count)
{
	struct tree t = { .fd = fd };

	make_dir(&t, "class");
	make_dir(&t, "class/infiniband");
	make_dir(&t, "class/infiniband_verbs");
	make_file(&t, "class/infiniband_verbs", "abi_version", "6\n");
	make_dir(&t, "devices");
	make_dir(&t, "bus");
	make_dir(&t, "bus/pci");
	make_dir(&t, "bus/pci/drivers");
	make_dir(&t, "bus/pci/drivers/efa");
	for (uint32_t i = 0; i < count; i++)
		make_card(&t, &cards[i]);
	if (!weft_conf_get()->hide_others) {
		link_rest(&t, "class/infiniband");
		link_rest(&t, "class/infiniband_verbs");
	}
	link_rest(&t, "class");
	link_rest(&t, "bus/pci/drivers");
	link_rest(&t, "bus/pci");
	link_rest(&t, "bus");
	link_rest(&t, "devices");
	link_rest(&t, "");
	return t.err;
}

void weft_sysfs_after_fork(void)
{
	int fd;

	if (root_fd < 0)
		return;
	/* A child holds the tree in its own right. What it inherited is the parent's lock: closing that here
	 * leaves it with the parent. */
	fd = lock_root();
	close(root_fd);
	root_fd = fd < 0 ? -1 : fd;
}

/* Make the root and lock it; its descriptor or -errno. */
static int make_root(void)
{
	int fd = -EAGAIN;

	for (unsigned int tries = 0; fd == -EAGAIN && tries < 100; tries++) {
		/* It may be there: made by the process that we were forked from. */
		if (mkdir(root, 0700) < 0 && errno != EEXIST)
			return -errno;
		fd = lock_root();
		if (fd == -ENOENT)
			fd = -EAGAIN;
	}
	return fd;
}

/* Leave the tree; the last one removes it. */
static void leave(int fd)
{
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		remove_tree(AT_FDCWD, root, TREE_DEPTH);
	close(fd);
}

/* Clean-ups of /dev/shm and /tmp, at a logout or by age, do not ask who is using it. */
static bool is_still_there(void)
{
	struct stat mine, there;

	return root_fd >= 0 && !fstat(root_fd, &mine) && !lstat(root, &there) &&
	       mine.st_ino == there.st_ino && mine.st_dev == there.st_dev;
}

const char *weft_sysfs_root(void)
{
	return *root ? root : "/nonexistent";
}

int weft_sysfs_make(const struct weft_card_info *cards, uint32_t count, const char **why_out)
{
	static char why[sizeof(root) + 128];
	const char *run_dir;
	int fd, rc;

	if (is_still_there())
		return 0;
	if (!*root) {
		*why_out = "a program with raised rights gets no device files";
		return -EPERM;
	}
	rc = weft_conf_run_dir(&run_dir, why_out);
	if (rc)
		return rc;
	sweep(run_dir);
	fd = make_root();
	rc = fd < 0 ? fd : populate(fd, cards, count);
	if (rc) {
		if (fd >= 0)
			leave(fd);
		snprintf(why, sizeof(why), "cannot make the device files in %s: %s", run_dir,
			 strerror(-rc));
		*why_out = why;
		return rc;
	}
	if (root_fd >= 0)
		close(root_fd);
	root_fd = fd;
	return 0;
}

void weft_sysfs_init(void)
{
	const char *set = getenv("SYSFS_PATH");
	uint64_t random = 0;
	struct timespec now;

	memcpy(&random, (const void *)getauxval(AT_RANDOM), sizeof(random));
	clock_gettime(CLOCK_REALTIME, &now);
	random ^= (uint64_t)now.tv_nsec << 16 ^ (uint64_t)getpid() << 32;
	snprintf(root, sizeof(root), "%s" TREE_TAG "%012llx", weft_conf_get()->run_dir,
		 (unsigned long long)random & 0xffffffffffffu);
	/* A place that the user chose stays; one that a parent of ours chose is the parent's. */
	if (!set || !*set || strstr(set, TREE_TAG))
		setenv("SYSFS_PATH", root, 1);
}

void weft_sysfs_fini(void)
{
	if (root_fd >= 0)
		leave(root_fd);
	root_fd = -1;
}
