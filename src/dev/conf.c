/* SPDX-License-Identifier: BSD-2-Clause */
/* The settings: one table, three sources.
 *
 * Defaults are applied first, then /etc/weft.conf, then the user's file, then the environment; each value goes
 * through the same parser of its row, and one that is refused leaves what was in force before, and a
 * complaint. This code runs inside other people's programs, before their main(): it prints nothing, calls
 * nothing of the name service, and takes every input for hostile. Files are bounded, must be regular, and
 * only those count that nobody but their owner (this user or root) and root can have written. */
#define _GNU_SOURCE
#include "dev/conf_set.h"

#include "base/spell.h"
#include "base/units.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX   "WEFT_"
#define FILE_MAX 65536u

struct row;
/* Reads `text` into `field`. False: *field is untouched and `why` (WHY_MAX bytes) says what was expected. */
typedef bool parse_fn(const struct row *row, const char *text, void *field, char *why);

#define WHY_MAX 128

struct row {
	const char *name, *def, *what;
	parse_fn *parse;
	size_t offset;
	uint64_t min, max; /* Text: the longest that is taken. */
	const char *const
		*words; /* What can be said instead of a number, in the order of its values. */
	bool secret;
};

static bool parse_text(const struct row *row, const char *text, void *field, char *why)
{
	size_t len = strlen(text);

	if (len > row->max) {
		snprintf(why, WHY_MAX, "longer than %u bytes", (unsigned int)row->max);
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] >= 0x20 && text[i] != 0x7f)
			continue;
		snprintf(why, WHY_MAX, "contains a control character");
		return false;
	}
	memcpy(field, text, len + 1);
	return true;
}

static bool parse_path(const struct row *row, const char *text, void *field, char *why)
{
	if (text[0] && text[0] != '/') {
		snprintf(why, WHY_MAX, "not an absolute path");
		return false;
	}
	return parse_text(row, text, field, why);
}

static bool in_range(const struct row *row, uint64_t value, const char *what, char *why)
{
	if (value >= row->min && value <= row->max)
		return true;
	snprintf(why, WHY_MAX, "not %s from %llu to %llu", what, (unsigned long long)row->min,
		 (unsigned long long)row->max);
	return false;
}

/* "auto", as 0, says that something else decides. */
static bool parse_u32(const struct row *row, const char *text, void *field, char *why)
{
	uint64_t v;

	if (row->words && (!strcmp(text, row->words[0]) || !strcmp(text, "0"))) {
		v = 0;
	} else {
		if (!weft_parse_u64(text, &v))
			v = UINT64_MAX; /* Refused by the range, with the same words. */
		if (!in_range(row, v, row->words ? "auto or a number" : "a number", why))
			return false;
	}
	*(uint32_t *)field = (uint32_t)v;
	return true;
}

/* Fewer than 16 paths find no way round much; 1 is there for comparison. */
static bool parse_paths(const struct row *row, const char *text, void *field, char *why)
{
	if (!strcmp(text, "1")) {
		*(uint32_t *)field = 1;
		return true;
	}
	if (parse_u32(row, text, field, why))
		return true;
	snprintf(why, WHY_MAX, "not auto, 1 or a number from 16 to 256");
	return false;
}

static bool parse_copiers(const struct row *row, const char *text, void *field, char *why)
{
	uint64_t v;

	if (!strcmp(text, "auto"))
		v = WEFT_CONF_COPIERS_AUTO;
	else if (!strcmp(text, "off"))
		v = WEFT_CONF_COPIERS_OFF;
	else if (!weft_parse_u64(text, &v) || !in_range(row, v, "auto, off or a number", why)) {
		snprintf(why, WHY_MAX, "not auto, off or a number from 0 to 16");
		return false;
	}
	*(uint32_t *)field = (uint32_t)v;
	return true;
}

static bool parse_part_id(const struct row *row, const char *text, void *field, char *why)
{
	if (parse_u32(row, text, field, why))
		return true;
	snprintf(why, WHY_MAX, "not auto or one of 0xefa0, 0xefa1, 0xefa2, 0xefa3");
	return false;
}

static bool parse_size(const struct row *row, const char *text, void *field, char *why)
{
	uint64_t v;

	if (!weft_parse_bytes(text, &v))
		v = UINT64_MAX;
	if (!in_range(row, v, "bytes (64K, 4MiB)", why))
		return false;
	*(uint32_t *)field = (uint32_t)v;
	return true;
}

static bool parse_duration(const struct row *row, const char *text, void *field, char *why)
{
	weft_ns v;

	if (!weft_parse_time(text, &v) || v < row->min || v > row->max) {
		snprintf(why, WHY_MAX, "not a time (5s, 200ms, 50us) from %llums to %llus",
			 (unsigned long long)(row->min / WEFT_MS(1)),
			 (unsigned long long)(row->max / WEFT_S(1)));
		return false;
	}
	*(weft_ns *)field = v;
	return true;
}

static bool parse_share(const struct row *row, const char *text, void *field, char *why)
{
	uint32_t ppm;

	if (!strcmp(text, "0"))
		ppm = 0;
	else if (!weft_parse_percent(text, &ppm))
		ppm = UINT32_MAX;
	if (ppm > row->max) {
		snprintf(why, WHY_MAX, "not a share (1%%) from 0%% to %u%%",
			 (unsigned int)(row->max / 10000));
		return false;
	}
	*(uint32_t *)field = ppm;
	return true;
}

static bool parse_switch(const struct row *row, const char *text, void *field, char *why)
{
	static const char *const words[] = { "no", "yes", "off", "on", "false", "true", "0", "1" };

	(void)row;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(words); i++) {
		if (strcasecmp(text, words[i]) != 0)
			continue;
		*(bool *)field = i & 1;
		return true;
	}
	snprintf(why, WHY_MAX, "not yes or no");
	return false;
}

/* An enum: the position of the word. Enums of a few values are unsigned int in gcc's and clang's ABI. */
static bool parse_word(const struct row *row, const char *text, void *field, char *why)
{
	int len = snprintf(why, WHY_MAX, "not one of");

	for (unsigned int i = 0; row->words[i]; i++) {
		if (!strcasecmp(text, row->words[i])) {
			*(unsigned int *)field = i;
			return true;
		}
		len += snprintf(why + len, (size_t)(WHY_MAX - len), "%s %s", i ? "," : "",
				row->words[i]);
	}
	return false;
}

static const char *const auto_word[] = { "auto", NULL };
static const char *const wires[] = { "auto", "udp", "local", NULL };
static const char *const gpus[] = { "auto", "staged", "off", NULL };
static const char *const levels[] = { "error", "warn", "info", "debug", NULL };

static_assert(sizeof(enum weft_conf_wire) == sizeof(unsigned int) &&
		      sizeof(enum weft_conf_gpu) == sizeof(unsigned int) &&
		      sizeof(enum weft_conf_log) == sizeof(unsigned int),
	      "parse_word() writes an unsigned int");

#define FIELD(f)    .offset = offsetof(struct weft_conf, f)
#define TEXT(f)     FIELD(f), .parse = parse_text, .max = sizeof(((struct weft_conf *)0)->f) - 1
#define PATH(f)     FIELD(f), .parse = parse_path, .max = sizeof(((struct weft_conf *)0)->f) - 1
#define SWITCH(f)   FIELD(f), .parse = parse_switch
#define RANGE(a, b) .min = (a), .max = (b)
#define OR_AUTO     .words = auto_word

static const struct row rows[] = {
	{ "WEFT_ADDR", "",
	  "addresses or interfaces of this host for its cards, by comma; none: all that fit",
	  TEXT(addr) },
	{ "WEFT_INSTANCE", "",
	  "instance type whose cards to show; none: cards of no particular type", TEXT(instance) },
	{ "WEFT_CARDS", "auto",
	  "number of cards; auto: that of the instance type, else one for each WEFT_ADDR",
	  FIELD(cards), .parse = parse_u32, RANGE(1, 32), OR_AUTO },
	{ "WEFT_VISIBLE", "", "which of the cards to show, by number from 0: 0,2-3; none: all",
	  TEXT(visible) },
	{ "WEFT_WIRE", "auto",
	  "auto, udp or local; auto: shared memory within a host, UDP between hosts", FIELD(wire),
	  .parse = parse_word, .words = wires },
	{ "WEFT_GPU", "auto",
	  "GPU memory: auto: from GPU to GPU within a host; staged: by host memory; off: refused",
	  FIELD(gpu), .parse = parse_word, .words = gpus },
	{ "WEFT_COPIERS", "auto",
	  "threads for large copies between processes of a host; auto: by the cores; off: as "
	  "others",
	  FIELD(copiers), .parse = parse_copiers, RANGE(0, 16) },
	{ "WEFT_PORT_BASE", "20000",
	  "first UDP port; each card has 256 of them. The same for a whole host", FIELD(port_base),
	  .parse = parse_u32, RANGE(1024, 21808) },
	{ "WEFT_KEY", "",
	  "secret of the cluster: packets of others are dropped; none: no protection", TEXT(key),
	  .secret = true },
	{ "WEFT_RUN_DIR", "", "folder of shared memory and counters; none: /dev/shm/weft-UID",
	  PATH(run_dir) },
	{ "WEFT_PATHS", "auto", "paths (source ports) to each peer; auto: 64, and 1 on loopback",
	  FIELD(paths), .parse = parse_paths, RANGE(16, 256), OR_AUTO },
	{ "WEFT_MTU", "auto", "longest IP packet to send, in bytes; auto: as the route allows",
	  FIELD(mtu), .parse = parse_u32, RANGE(768, 65535), OR_AUTO },
	{ "WEFT_GBPS", "auto",
	  "speed of each card in Gb/s; auto: that of the instance type, else 100", FIELD(gbps),
	  .parse = parse_u32, RANGE(1, 3200), OR_AUTO },
	{ "WEFT_PART_ID", "auto", "PCI device id; auto: by the instance type, else 0xefa1",
	  FIELD(part_id), .parse = parse_part_id, RANGE(0xefa0, 0xefa3), OR_AUTO },
	{ "WEFT_CAPS", "auto", "auto, none, or a list of read, write, rnr, sgid, unsolicited",
	  TEXT(caps) },
	{ "WEFT_DEAD_AFTER", "5s", "silence after which a peer counts as dead", FIELD(dead_after),
	  .parse = parse_duration, RANGE(WEFT_MS(100), WEFT_S(600)) },
	{ "WEFT_GSO", "yes", "let the kernel cut large sends into packets", SWITCH(gso) },
	{ "WEFT_GRO", "yes", "let the kernel hand over several packets at once", SWITCH(gro) },
	{ "WEFT_RCVBUF", "4MiB", "receive buffer to ask of the kernel", FIELD(rcvbuf),
	  .parse = parse_size, RANGE(4096, 1u << 30) },
	{ "WEFT_SNDBUF", "4MiB", "send buffer to ask of the kernel", FIELD(sndbuf),
	  .parse = parse_size, RANGE(4096, 1u << 30) },
	{ "WEFT_HELPER", "yes", "run the thread that answers while the program does not",
	  SWITCH(helper) },
	{ "WEFT_HIDE_OTHERS", "no", "leave RDMA devices that are not weft's out of the list",
	  SWITCH(hide_others) },
	{ "WEFT_LOSS", "0%", "share of outgoing UDP packets to lose on purpose, for tests",
	  FIELD(loss_ppm), .parse = parse_share, RANGE(0, 990000) },
	{ "WEFT_STATS", "",
	  "file to append the counters to at exit, one JSON line for each card; none: do not",
	  TEXT(stats) },
	{ "WEFT_LOG", "warn", "what to say on stderr: error, warn, info or debug", FIELD(log_level),
	  .parse = parse_word, .words = levels },
};

static_assert(WEFT_ARRAY_SIZE(rows) <= WEFT_CONF_ROWS_MAX, "struct weft_conf_set holds every row");

/* Complaints end up on terminals: whatever a file or the environment holds may not steer one. */
static void make_printable(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
}

__attribute__((format(printf, 3, 4))) static void complain(struct weft_conf_set *set, bool is_bad,
							   const char *format, ...)
{
	char *to;
	va_list args;

	set->bad |= is_bad;
	if (set->problems == WEFT_CONF_PROBLEMS_MAX) {
		snprintf(set->problem[set->problems - 1], sizeof(set->problem[0]),
			 "and more complaints about settings than are shown");
		return;
	}
	to = set->problem[set->problems++];
	va_start(args, format);
	vsnprintf(to, sizeof(set->problem[0]), format, args);
	va_end(args);
	make_printable(to);
}

static bool apply(const struct row *row, const char *text, struct weft_conf_set *set, char *why)
{
	uint32_t i = (uint32_t)(row - rows);

	if (strlen(text) >= sizeof(set->text[0])) {
		snprintf(why, WHY_MAX, "too long");
		return false;
	}
	if (!row->parse(row, text, (char *)&set->conf + row->offset, why))
		return false;
	snprintf(set->text[i], sizeof(set->text[i]), "%s", text);
	return true;
}

/* An empty value is as good as none: `WEFT_ADDR= weft ...` takes a setting back. */
static void set_value(struct weft_conf_set *set, const struct row *row, const char *text,
		      const char *origin)
{
	uint32_t i = (uint32_t)(row - rows);
	char why[WHY_MAX];

	if (!*text)
		text = row->def;
	if (!apply(row, text, set, why)) {
		if (row->secret)
			complain(set, true, "%s (%s): %s", row->name, origin, why);
		else
			complain(set, true, "%s: \"%.64s\" (%s): %s", row->name, text, origin, why);
		return;
	}
	snprintf(set->origin[i], sizeof(set->origin[i]), "%s", origin);
	make_printable(set->origin[i]);
}

/* With or without the prefix, in either case: in a file "addr" reads better than "WEFT_ADDR". */
static const struct row *find(const char *name, size_t len)
{
	if (len > strlen(PREFIX) && !strncasecmp(name, PREFIX, strlen(PREFIX))) {
		name += strlen(PREFIX);
		len -= strlen(PREFIX);
	}
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		const char *want = rows[i].name + strlen(PREFIX);

		if (strlen(want) == len && !strncasecmp(want, name, len))
			return &rows[i];
	}
	return NULL;
}

static void complain_unknown(struct weft_conf_set *set, const char *name, size_t len,
			     const char *origin)
{
	const char *close = NULL;
	size_t best = SIZE_MAX;
	char word[48];

	snprintf(word, sizeof(word), "%.*s", (int)WEFT_MIN(len, sizeof(word) - 1), name);
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		const char *want = rows[i].name;

		if (strncasecmp(word, PREFIX, strlen(PREFIX)) != 0)
			want += strlen(PREFIX);
		if (weft_spell_is_closer(word, want, &best))
			close = rows[i].name;
	}
	complain(set, false, "%s (%s): no such setting%s%s%s", word, origin,
		 close ? "; did you mean " : "", close ? close : "", close ? "?" : "");
}

static void read_env(struct weft_conf_set *set, char *const *env)
{
	bool seen[WEFT_ARRAY_SIZE(rows)] = { false };

	for (; env && *env; env++) {
		const char *equals = strchr(*env, '=');
		const struct row *row;
		size_t len;

		if (!equals || strncmp(*env, PREFIX, strlen(PREFIX)) != 0)
			continue;
		len = (size_t)(equals - *env);
		row = find(*env, len);
		/* Names in the environment are case-sensitive; getenv() takes the first of several. */
		if (!row || memcmp(row->name, *env, len) != 0 || len != strlen(row->name))
			complain_unknown(set, *env, len, "environment");
		else if (!seen[row - rows] && equals[1])
			set_value(set, row, equals + 1, "environment");
		if (row)
			seen[row - rows] = true;
	}
}

/* The contents, or NULL: there is none, or it was refused with a complaint. The caller frees. */
static char *slurp(struct weft_conf_set *set, const char *path)
{
	/* O_NONBLOCK: a FIFO in the place of the file must not hang every program of the user. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	size_t len = 0;
	struct stat st;
	char *buf = NULL;

	if (fd < 0) {
		int err = errno;

		/* Behind a folder that we may not enter (HOME=/root of somebody else) there is none. */
		if (!stat(path, &st))
			complain(set, true, "%s: %s; not used", path, strerror(err));
		return NULL;
	}
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		complain(set, true, "%s: not a file; not used", path);
	} else if (st.st_uid != 0 && st.st_uid != geteuid()) {
		complain(set, true, "%s: belongs to another user; not used", path);
	} else if (st.st_mode & (S_IWGRP | S_IWOTH)) {
		complain(set, true, "%s: others than its owner may write it; not used", path);
	} else if (st.st_size > (off_t)FILE_MAX) {
		complain(set, true, "%s: longer than %u bytes; not used", path, FILE_MAX);
	} else if ((buf = malloc(FILE_MAX + 1))) {
		ssize_t n;

		while (len < FILE_MAX && (n = read(fd, buf + len, FILE_MAX - len)) != 0) {
			if (n > 0)
				len += (size_t)n;
			else if (errno != EINTR)
				break;
		}
		buf[len] = 0;
		if (memchr(buf, 0, len)) {
			complain(set, true, "%s: not a text file; not used", path);
			free(buf);
			buf = NULL;
		}
	}
	close(fd);
	return buf;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Cut the blanks off both ends, in place. */
static char *trim(char *s)
{
	size_t len;

	while (is_blank(*s))
		s++;
	len = strlen(s);
	while (len && is_blank(s[len - 1]))
		s[--len] = 0;
	return s;
}

/* A comment begins a line or follows a blank, so that a secret may contain a #. */
static void cut_comment(char *line)
{
	for (char *p = line; (p = strchr(p, '#')); p++) {
		if (p == line || is_blank(p[-1])) {
			*p = 0;
			return;
		}
	}
}

static void read_file(struct weft_conf_set *set, const char *path)
{
	char *buf, *line, *next;
	unsigned int number = 0;

	if (!path)
		return;
	buf = slurp(set, path);
	for (line = buf; line; line = next) {
		char origin[280];
		const struct row *row;
		char *equals, *name;

		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		number++;
		cut_comment(line);
		line = trim(line);
		if (!*line)
			continue;
		snprintf(origin, sizeof(origin), "%.250s:%u", path, number);
		equals = strchr(line, '=');
		if (!equals) {
			complain(set, true, "%s: not \"name = value\"", origin);
			continue;
		}
		*equals = 0;
		name = trim(line);
		row = find(name, strlen(name));
		if (row)
			set_value(set, row, trim(equals + 1), origin);
		else
			complain_unknown(set, name, strlen(name), origin);
	}
	free(buf);
}

/* Could `dir` be, or become, a folder of our own in `parent`? */
static bool is_usable(const char *parent, const char *dir)
{
	struct stat st;

	if (!lstat(dir, &st))
		return S_ISDIR(st.st_mode) && st.st_uid == geteuid();
	return errno == ENOENT && !access(parent, W_OK | X_OK);
}

/* Where the run directory is, when nobody says. All processes of a user have to find the same one, whatever their
 * environment: $XDG_RUNTIME_DIR is set in a login session and not under cron, sudo or a batch system, so
 * it is the second choice. The first is not usable in a container without /dev/shm, or when another user
 * took the name. */
static void choose_run_dir(const struct weft_conf_input *in, struct weft_conf *conf)
{
	char *dir = conf->run_dir;
	size_t size = sizeof(conf->run_dir);

	if (*dir)
		return;
	if (in->shm_dir) {
		snprintf(dir, size, "%.128s/weft-%u", in->shm_dir, (unsigned int)geteuid());
		if (is_usable(in->shm_dir, dir))
			return;
	}
	if (!in->privileged && in->xdg_dir && in->xdg_dir[0] == '/' && strlen(in->xdg_dir) <= 128) {
		snprintf(dir, size, "%s/weft", in->xdg_dir);
		if (is_usable(in->xdg_dir, dir))
			return;
	}
	snprintf(dir, size, "/tmp/weft-%u", (unsigned int)geteuid());
}

void weft_conf_read(const struct weft_conf_input *in, struct weft_conf_set *set_out)
{
	char why[WHY_MAX] = "";

	memset(set_out, 0, sizeof(*set_out));
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(rows); i++) {
		apply(&rows[i], rows[i].def, set_out, why);
		snprintf(set_out->origin[i], sizeof(set_out->origin[i]), "default");
	}
	read_file(set_out, in->etc_file);
	if (!in->privileged) {
		read_file(set_out, in->home_file);
		read_env(set_out, in->env);
	}
	choose_run_dir(in, &set_out->conf);
	snprintf(set_out->text[find("RUN_DIR", 7) - rows], sizeof(set_out->text[0]), "%s",
		 set_out->conf.run_dir);
}

bool weft_conf_set_row(const struct weft_conf_set *set, uint32_t index,
		       struct weft_conf_row *row_out)
{
	const struct row *row = &rows[index];
	const char *value;

	if (index >= WEFT_ARRAY_SIZE(rows))
		return false;
	value = set->text[index];
	if (row->secret && *value)
		value = "(set)";
	row_out->name = row->name;
	row_out->def = row->def;
	row_out->what = row->what;
	snprintf(row_out->value, sizeof(row_out->value), "%s", value);
	snprintf(row_out->origin, sizeof(row_out->origin), "%s", set->origin[index]);
	return true;
}

const char *weft_conf_name(uint32_t index)
{
	return index < WEFT_ARRAY_SIZE(rows) ? rows[index].name : NULL;
}

int weft_conf_make_dir(const char *dir, char *why, size_t len)
{
	struct stat st;
	int err = 0;

	/* Never followed if it is a link: another user may have put one there. */
	if (mkdir(dir, 0700) && errno != EEXIST) {
		err = -errno;
		snprintf(why, len, "cannot make the run directory %s: %s", dir, strerror(errno));
		return err;
	}
	if (lstat(dir, &st)) {
		err = -errno;
		snprintf(why, len, "run directory %s: %s", dir, strerror(errno));
	} else if (!S_ISDIR(st.st_mode)) {
		err = -ENOTDIR;
		snprintf(why, len, "run directory %s: not a directory", dir);
	} else if (st.st_uid != geteuid()) {
		err = -EPERM;
		snprintf(why, len, "run directory %s: belongs to another user", dir);
	} else if (st.st_mode & 077) {
		err = -EPERM;
		snprintf(why, len, "run directory %s: open to others; `chmod 700` it", dir);
	}
	return err;
}

static struct weft_conf_set process_set;

static void read_process(void)
{
	bool privileged = getauxval(AT_SECURE) != 0;
	const char *home = privileged ? NULL : getenv("HOME");
	char home_file[512] = "";
	struct weft_conf_input in = {
		.env = environ,
		.etc_file = "/etc/weft.conf",
		.privileged = privileged,
		.shm_dir = "/dev/shm",
		.xdg_dir = getenv("XDG_RUNTIME_DIR"),
	};

	if (home && home[0] == '/' && strlen(home) < sizeof(home_file) - 32) {
		snprintf(home_file, sizeof(home_file), "%s/.config/weft.conf", home);
		in.home_file = home_file;
	}
	weft_conf_read(&in, &process_set);
}

static const struct weft_conf_set *process_get(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, read_process);
	return &process_set;
}

const struct weft_conf *weft_conf_get(void)
{
	return &process_get()->conf;
}

const char *weft_conf_problem(uint32_t index)
{
	const struct weft_conf_set *set = process_get();

	return index < set->problems ? set->problem[index] : NULL;
}

bool weft_conf_is_bad(void)
{
	return process_get()->bad;
}

bool weft_conf_row(uint32_t index, struct weft_conf_row *row_out)
{
	return weft_conf_set_row(process_get(), index, row_out);
}

int weft_conf_run_dir(const char **dir_out, const char **why_out)
{
	static _Thread_local char why[320];
	const char *dir = weft_conf_get()->run_dir;
	int err = weft_conf_make_dir(dir, why, sizeof(why));

	if (err)
		*why_out = why;
	else
		*dir_out = dir;
	return err;
}
