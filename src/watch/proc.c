/* SPDX-License-Identifier: BSD-2-Clause */
/* Programs that have to do with EFA: those that have a card open, and those whose libraries or variables say that they
 * should.
 *
 * Looking into a process (its maps, its variables, its open files) costs a millisecond, and a node has thousands of
 * them. So what was found is kept; a process is looked at when it is new, again after some seconds because
 * libraries are loaded late, and at most so many in one sample. Only the open files of those that matter
 * are read often, since connections come and go.
 *
 * Bytes of TCP are summed up here, connection by connection, because a connection that is closed takes its
 * counters along. */
#include "watch/watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KNOWN_MAX     32768u
#define MAPS_MAX      (8u << 20)
#define LOOKS_MAX     64u /* In one sample, but for the first one. */
#define LOOK_AGAIN_NS WEFT_S(10)
#define FILES_NS      WEFT_S(2)
#define INODES_MAX    65536u

struct known {
	uint32_t pid;
	uint64_t start; /* In ticks since boot: with the pid, the process. */
	weft_ns looked, filed; /* When last. */
	bool seen, matters;
	struct weft_watch_proc proc; /* Without cards. */
	uint64_t *inode; /* owns. Sockets that it has open. */
	size_t inodes;
	bool uverbs[WEFT_WATCH_CARDS_MAX]; /* Device files that it has open, by number. */
};

struct weft_watch_procs {
	struct known **known; /* owns all. In order of pid. */
	size_t count;
	struct weft_watch_tcp tcp, last; /* Now, and in the sample before. */
	bool with_tcp, has_tcp, warm;
	weft_ns now;
	uint32_t looks;
};

struct weft_watch_procs *weft_watch_procs_create(bool with_tcp)
{
	struct weft_watch_procs *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->with_tcp = with_tcp;
	if (with_tcp)
		weft_watch_tcp_open(&p->tcp);
	return p;
}

static void forget(struct known *k)
{
	free(k->inode);
	free(k);
}

void weft_watch_procs_destroy(struct weft_watch_procs *procs)
{
	for (size_t i = 0; i < procs->count; i++)
		forget(procs->known[i]);
	free(procs->known);
	free(procs->last.socket);
	if (procs->with_tcp)
		weft_watch_tcp_close(&procs->tcp);
	free(procs);
}

/* Why it should be on EFA */

static void say_why(struct known *k, const char *text)
{
	if (!k->proc.why[0])
		snprintf(k->proc.why, sizeof(k->proc.why), "%s", text);
}

/* The names of pods come from whoever runs there, and go to a terminal. */
static void make_ascii(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || (unsigned char)*text >= 0x7f)
			*text = '?';
}

/* Variables decide: who chose another network is not on the wrong one. True: they did choose. */
static bool take_variable(struct known *k, const char *v)
{
	if (!strncmp(v, "FI_PROVIDER=", 12) && v[12]) {
		bool efa = strstr(v + 12, "efa") != NULL;

		if (efa && v[12] != '^')
			say_why(k, "FI_PROVIDER names efa");
		/* A list of what is left out chooses nothing, unless it leaves out efa. */
		return efa || v[12] != '^';
	}
	if (!strncmp(v, "NCCL_NET=", 9) && v[9]) {
		if (!strcasecmp(v + 9, "ofi") || !strcasecmp(v + 9, "AWS Libfabric") ||
		    !strcasecmp(v + 9, "weft"))
			say_why(k, "NCCL_NET names a plugin for EFA");
		return true;
	}
	if (!strncmp(v, "HOSTNAME=", 9) && !k->proc.pod[0] && k->proc.pod_uid[0]) {
		snprintf(k->proc.pod, sizeof(k->proc.pod), "%.127s", v + 9);
		make_ascii(k->proc.pod);
	}
	return false;
}

static bool look_at_variables(struct weft_root *root, struct known *k)
{
	static char text[65536];
	ssize_t len = weft_root_text(root, text, sizeof(text), "proc/%u/environ", k->pid);
	bool chosen = false;

	for (ssize_t at = 0; at < len; at += (ssize_t)strlen(text + at) + 1)
		chosen |= take_variable(k, text + at);
	return chosen;
}

static void look_at_maps(struct weft_root *root, struct known *k)
{
	static const char *const libraries[] = { "libnccl-net", "libnccl", "libweft-preload",
						 "libfabric.so", "libefa" };
	char *maps = weft_root_file(root, MAPS_MAX, "proc/%u/maps", k->pid), why[64];

	for (size_t i = 0; maps && i < WEFT_ARRAY_SIZE(libraries); i++) {
		char slashed[32];

		snprintf(slashed, sizeof(slashed), "/%s", libraries[i]);
		if (!strstr(maps, slashed))
			continue;
		snprintf(why, sizeof(why), "maps %s", libraries[i]);
		say_why(k, why);
		break;
	}
	free(maps);
}

/* Whose it is: kubelet's names of cgroups have the pod's uid, with dashes or underlines. */
static void take_pod_uid(struct known *k, const char *at)
{
	size_t len = strspn(at, "0123456789abcdefABCDEF-_");

	if (len < 32 || len >= sizeof(k->proc.pod_uid))
		return;
	memcpy(k->proc.pod_uid, at, len);
	k->proc.pod_uid[len] = '\0';
	for (char *c = k->proc.pod_uid; *c; c++)
		if (*c == '_')
			*c = '-';
}

static void look_at_cgroup(struct weft_root *root, struct known *k)
{
	char text[4096], *pod;
	size_t run = 0;

	k->proc.pod_uid[0] = k->proc.container[0] = '\0';
	if (weft_root_text(root, text, sizeof(text), "proc/%u/cgroup", k->pid) <= 0)
		return;
	pod = strstr(text, "kubepods");
	for (; pod && !k->proc.pod_uid[0]; pod = pod ? pod + 3 : NULL) {
		pod = strstr(pod, "pod");
		if (pod)
			take_pod_uid(k, pod + 3);
	}
	/* The id of a container: 64 hexadecimal digits in a row. */
	for (const char *c = text; *c; c++) {
		run = strchr("0123456789abcdef", *c) ? run + 1 : 0;
		if (run < 64)
			continue;
		snprintf(k->proc.container, sizeof(k->proc.container), "%.12s", c - 63);
		break;
	}
}

/* kubelet keeps the logs of a pod in /var/log/pods/<namespace>_<name>_<uid>. */
static void name_pod(struct weft_root *root, struct known *k)
{
	struct weft_names names;

	if (!k->proc.pod_uid[0] || k->proc.ns[0])
		return;
	names = weft_root_list(root, "var/log/pods");
	for (size_t i = 0; i < names.count; i++) {
		char *first = strchr(names.name[i], '_'), *last = strrchr(names.name[i], '_');

		if (!first || first == last || strcmp(last + 1, k->proc.pod_uid) != 0)
			continue;
		*first = *last = '\0';
		snprintf(k->proc.ns, sizeof(k->proc.ns), "%.63s", names.name[i]);
		snprintf(k->proc.pod, sizeof(k->proc.pod), "%.127s", first + 1);
		make_ascii(k->proc.ns);
		make_ascii(k->proc.pod);
		break;
	}
	weft_names_free(&names);
}

/* Open files */

static void take_file(void *arg, const char *name, const char *text)
{
	struct known *k = arg;
	const char *uverbs = strstr(text, "/infiniband/uverbs");
	uint64_t *more;

	(void)name;
	if (uverbs) {
		unsigned long number = strtoul(uverbs + 18, NULL, 10);

		if (number < WEFT_WATCH_CARDS_MAX)
			k->uverbs[number] = true;
		return;
	}
	if (strncmp(text, "socket:[", 8) != 0 || k->inodes == INODES_MAX)
		return;
	if (!(k->inodes & (k->inodes - 1))) {
		more = realloc(k->inode, (k->inodes ? 2 * k->inodes : 1) * sizeof(*more));
		if (!more)
			return;
		k->inode = more;
	}
	k->inode[k->inodes++] = strtoull(text + 8, NULL, 10);
}

static void look_at_files(struct weft_watch_procs *p, struct weft_root *root, struct known *k)
{
	k->filed = p->now;
	k->inodes = 0;
	memset(k->uverbs, 0, sizeof(k->uverbs));
	(void)weft_root_links(root, take_file, k, "proc/%u/fd", k->pid);
}

static bool has_uverbs(const struct known *k)
{
	return memchr(k->uverbs, 1, sizeof(k->uverbs)) != NULL;
}

/* A process, whole */

static void look(struct weft_watch_procs *p, struct weft_root *root, struct known *k)
{
	k->looked = p->now;
	p->looks++;
	k->proc.why[0] = '\0';
	look_at_cgroup(root, k);
	if (!look_at_variables(root, k))
		look_at_maps(root, k);
	look_at_files(p, root, k);
	k->matters = k->proc.why[0] || has_uverbs(k);
	if (k->matters)
		name_pod(root, k);
}

/* "pid (comm) S ... start": the name may hold anything, brackets too. False: gone. */
static bool read_stat(struct weft_root *root, uint32_t pid, char *comm_out, size_t len,
		      uint64_t *start_out)
{
	char text[1024], *open, *close;
	int field = 2;

	if (weft_root_text(root, text, sizeof(text), "proc/%u/stat", pid) <= 0)
		return false;
	open = strchr(text, '(');
	close = strrchr(text, ')');
	if (!open || !close || close < open)
		return false;
	*close = '\0';
	snprintf(comm_out, len, "%s", open + 1);
	for (char *c = comm_out; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	for (char *c = close + 1; *c; c++)
		if (*c == ' ' && ++field == 22)
			*start_out = strtoull(c + 1, NULL, 10);
	return field >= 22;
}

static struct known *find(struct weft_watch_procs *p, uint32_t pid)
{
	size_t low = 0, high = p->count;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (p->known[mid]->pid == pid)
			return p->known[mid];
		if (p->known[mid]->pid < pid)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

static struct known *add(struct weft_watch_procs *p, uint32_t pid)
{
	struct known **more, *k;

	if (p->count == KNOWN_MAX)
		return NULL;
	if (!(p->count & (p->count - 1))) {
		more = realloc(p->known, (p->count ? 2 * p->count : 1) * sizeof(struct known *));
		if (!more)
			return NULL;
		p->known = more;
	}
	k = calloc(1, sizeof(*k));
	if (!k)
		return NULL;
	k->pid = k->proc.pid = pid;
	p->known[p->count++] = k;
	return k;
}

static void visit(struct weft_watch_procs *p, struct weft_root *root, uint32_t pid, struct known *k)
{
	char comm[32] = "";
	uint64_t start = 0;

	bool due = !k || !k->looked || p->now >= k->looked + LOOK_AGAIN_NS;

	due = due && (!p->warm || p->looks < LOOKS_MAX);
	if (k && !k->matters && !due) {
		k->seen = true; /* Should the number be another's by now, it waits its seconds. */
		return;
	}
	if (!read_stat(root, pid, comm, sizeof(comm), &start))
		return;
	if (!k) {
		k = add(p, pid);
		if (!k)
			return;
	} else if (k->start != start) {
		free(k->inode);
		memset(k, 0, sizeof(*k));
		k->pid = k->proc.pid = pid;
	}
	k->seen = true;
	k->start = k->proc.id = start;
	memcpy(k->proc.comm, comm, sizeof(comm));
	if (due)
		look(p, root, k);
	else if (k->matters && p->now >= k->filed + FILES_NS)
		look_at_files(p, root, k);
}

static int by_pid(const void *a, const void *b)
{
	const struct known *x = *(struct known *const *)a, *y = *(struct known *const *)b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

static void visit_all(struct weft_watch_procs *p, struct weft_root *root)
{
	struct weft_pids pids = weft_root_pids(root, "proc");
	size_t known = p->count, kept = 0;

	p->looks = 0;
	for (size_t i = 0; i < pids.count; i++) {
		size_t all = p->count;
		struct known *k;

		p->count = known; /* New ones stand behind, in no order. */
		k = find(p, pids.pid[i]);
		p->count = all;
		visit(p, root, pids.pid[i], k);
	}
	free(pids.pid);
	for (size_t i = 0; i < p->count; i++) {
		struct known *k = p->known[i];

		if (!k->seen) {
			forget(k);
			continue;
		}
		k->seen = false;
		p->known[kept++] = k;
	}
	p->count = kept;
	if (kept)
		qsort(p->known, kept, sizeof(struct known *), by_pid);
	p->warm = true;
}

/* Bytes */

static void add_tcp(struct weft_watch_procs *p, struct known *k)
{
	if (!p->has_tcp)
		return;
	if (k->proc.tcp_tx == WEFT_WATCH_NONE)
		k->proc.tcp_tx = k->proc.tcp_rx = 0;
	for (size_t i = 0; i < k->inodes; i++) {
		const struct weft_watch_tcp_socket *now = weft_watch_tcp_find(&p->tcp, k->inode[i]);
		const struct weft_watch_tcp_socket *last =
			weft_watch_tcp_find(&p->last, k->inode[i]);

		if (!now)
			continue;
		k->proc.tcp_tx += now->tx - (last && last->tx <= now->tx ? last->tx : 0);
		k->proc.tcp_rx += now->rx - (last && last->rx <= now->rx ? last->rx : 0);
	}
}

static void remember_sockets(struct weft_watch_procs *p)
{
	struct weft_watch_tcp was = p->last;

	p->last = p->tcp;
	p->tcp = was;
	p->tcp.fd = p->last.fd;
}

static bool opens(const struct known *k, const char *uverbs)
{
	unsigned long number;

	if (strncmp(uverbs, "uverbs", 6) != 0)
		return false;
	number = strtoul(uverbs + 6, NULL, 10);
	return number < WEFT_WATCH_CARDS_MAX && k->uverbs[number];
}

/* Real cards: what all that it has open have moved, with a mark if it is not alone there. */
static void add_cards(const struct weft_watch_procs *p, const struct known *k,
		      const char (*uverbs)[64], const struct weft_sample *sample,
		      struct weft_watch_proc *proc)
{
	for (uint32_t i = 0; i < sample->cards; i++) {
		const struct weft_watch_card *card = &sample->card[i];
		uint64_t tx = card->value[WEFT_COUNTER_TX_BYTES];
		uint64_t rx = card->value[WEFT_COUNTER_RX_BYTES];

		if (!opens(k, uverbs[i]))
			continue;
		weft_proc_set_card(proc, i);
		proc->efa_tx += tx == WEFT_WATCH_NONE ? 0 : tx;
		proc->efa_rx += rx == WEFT_WATCH_NONE ? 0 : rx;
		for (size_t o = 0; o < p->count && !proc->shared; o++)
			proc->shared = p->known[o] != k && opens(p->known[o], uverbs[i]);
	}
}

/* What a page of counters has said of it already (soft.c). A page has the pid of its own namespace: that alone may be
 * somebody else. NULL: nothing. */
static struct weft_watch_proc *page_of(const struct weft_sample *sample, const struct known *k)
{
	for (uint32_t i = 0; i < sample->procs; i++)
		if (sample->proc[i].pid == k->pid && !strcmp(sample->proc[i].comm, k->proc.comm))
			return &sample->proc[i];
	return NULL;
}

/* That, or a new one. */
static struct weft_watch_proc *place_of(struct weft_sample *sample, const struct known *k)
{
	struct weft_watch_proc *proc, was;

	proc = page_of(sample, k);
	if (!proc) {
		proc = weft_sample_add_proc(sample);
		if (proc)
			*proc = k->proc;
		return proc;
	}
	was = *proc;
	*proc = k->proc;
	proc->id = was.id;
	memcpy(proc->cards, was.cards, sizeof(was.cards));
	proc->efa_tx = was.efa_tx;
	proc->efa_rx = was.efa_rx;
	return proc;
}

void weft_watch_procs_take(struct weft_watch_procs *p, struct weft_root *root,
			   const char (*uverbs)[64], struct weft_sample *sample)
{
	p->now = sample->time_ns;
	visit_all(p, root);
	p->has_tcp = p->with_tcp && weft_watch_tcp_read(&p->tcp);
	for (size_t i = 0; i < p->count; i++) {
		struct known *k = p->known[i];
		struct weft_watch_proc *proc;

		if (!k->matters && !page_of(sample, k))
			continue;
		k->matters = true;
		add_tcp(p, k);
		proc = place_of(sample, k);
		if (proc)
			add_cards(p, k, uverbs, sample, proc);
	}
	if (p->has_tcp)
		remember_sockets(p);
}
