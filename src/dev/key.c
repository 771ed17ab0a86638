/* SPDX-License-Identifier: BSD-2-Clause */
/* Keys. Every frame is authenticated under a cluster key; see SECURITY.md for what that keeps out.
 *
 * WEFT_KEY, where it is set, is hashed into the key: all hosts of a cluster set the same. Without it, hosts
 * on loopback addresses use a random key of their user, kept in the run directory, since whoever may talk
 * there lives on this machine and can read it, or is another user and shall not. Real networks without
 * WEFT_KEY use the built-in key, which keeps noise out but no enemy. */
#include "dev/core.h"

#include "base/siphash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

static int read_key(const char *path, uint8_t key_out[16])
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, key_out, 16);
	close(fd);
	return n == 16 ? 0 : -EINVAL;
}

/* A name appears only with its content: the key is written beside it and linked. */
static int make_key(const char *path)
{
	char tmp[512];
	uint8_t key[16];
	int fd, err = 0;

	if (getrandom(key, sizeof(key), 0) != (ssize_t)sizeof(key))
		return -EIO;
	if (snprintf(tmp, sizeof(tmp), "%s.%d", path, (int)getpid()) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	(void)unlink(tmp);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (write(fd, key, sizeof(key)) != (ssize_t)sizeof(key))
		err = errno ? -errno : -EIO;
	close(fd);
	if (!err && link(tmp, path) && errno != EEXIST)
		err = -errno;
	(void)unlink(tmp);
	return err;
}

int weft_key_get(const struct weft_card_info *info, uint8_t key_out[16])
{
	static const uint8_t label[16] = { 'w', 'e', 'f', 't', ' ', 'c', 'l', 'u',
					   's', 't', 'e', 'r', ' ', 'k', 'e', 'y' };
	const struct weft_conf *conf = weft_conf_get();
	struct weft_srd_cfg def;
	const char *dir, *why;
	char path[400];
	int err;

	if (conf->key[0]) {
		uint8_t second[16];
		uint64_t a = weft_siphash24(label, conf->key, strlen(conf->key)), b;

		memcpy(second, label, 16);
		memcpy(second, &a, 8);
		b = weft_siphash24(second, conf->key, strlen(conf->key));
		memcpy(key_out, &a, 8);
		memcpy(key_out + 8, &b, 8);
		return 0;
	}
	if (!weft_ip_is_loopback(&info->ip)) {
		weft_srd_cfg_default(&def);
		memcpy(key_out, def.key, 16);
		return 0;
	}
	err = weft_conf_run_dir(&dir, &why);
	if (err)
		return err;
	snprintf(path, sizeof(path), "%s/key", dir);
	err = read_key(path, key_out);
	if (err == -ENOENT) {
		err = make_key(path);
		if (!err)
			err = read_key(path, key_out);
	}
	return err;
}
