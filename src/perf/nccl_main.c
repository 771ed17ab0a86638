/* SPDX-License-Identifier: BSD-2-Clause */
/* Starts the ranks, sees that they get on, and prints what they measured, in nccl-tests' layout.
 *
 * Nothing of CUDA is touched here, since a process that has cannot fork ranks any more. A rank that ends badly, or
 * none of which gets on for --timeout, ends all of them. */
#define _GNU_SOURCE
#include "perf/nccl.h"

#include "perf/nccl_env.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CMD "weft perf nccl"

static const char *const colls[] = { "all_reduce", "all_gather", "reduce_scatter",
				     "broadcast",  "alltoall",   "sendrecv" };
static const char *const types[] = { "float", "double", "int32", "uint8" };
enum net {
	NET_WEFT,
	NET_SOCKET,
	NET_ENV
};
static const char *const nets[] = { "weft", "socket", "env" };
enum format {
	TEXT,
	JSON,
	CSV
};

static const char usage[] =
	"usage: weft perf nccl [OPTION...]\n"
	"\n"
	"Measure NCCL's collectives between GPUs, with nccl-tests' options and layout.\n"
	"libnccl and libcudart are looked for when it runs.\n"
	"\n"
	"  -t, --test NAME        all_reduce, all_gather, reduce_scatter, broadcast,\n"
	"                         alltoall or sendrecv (all_reduce)\n"
	"  -b SIZE  -e SIZE       from and up to so many bytes (8, 128M)\n"
	"  -f FACTOR  -i BYTES    from one size to the next (factor 2)\n"
	"  -n ITERS  -w WARMUP    of each size (20, 5)\n"
	"  -c 0|1                 check the data (1)\n"
	"  -d TYPE                float, double, int32 or uint8 (float)\n"
	"  -r RANK                root of a broadcast (0)\n"
	"  -g GPUS                ranks to start here, one for each GPU (2)\n"
	"  --hosts-as N           have NCCL take them for N hosts\n"
	"  --net weft|socket|env  weft's plugin, NCCL's sockets, or as the environment says\n"
	"  --compare socket       the same by sockets as well, and a table of both\n"
	"  --json, --csv          for programs\n"
	"  --id-file FILE         under mpirun or srun: where ranks find each other; it may\n"
	"                         not exist yet\n"
	"  --nccl-lib FILE, --cudart-lib FILE\n"
	"  --timeout SECONDS      without any progress (60)\n"
	"\n"
	"Exit status: 0, 1 if data were wrong or a rank failed, 2 if it could not run.\n";

struct args {
	struct perf_opts o;
	uint64_t from, to, step, factor;
	enum net net;
	bool compare;
	enum format format;
	const char *plugin_dir;
};

/* Arguments */

static int word_of(const char *const *words, uint32_t n, const char *text)
{
	for (uint32_t i = 0; i < n; i++)
		if (!strcmp(words[i], text))
			return (int)i;
	return -1;
}

static bool complain(const char *option, const char *value)
{
	fprintf(stderr, CMD ": %s: not %.64s; see `weft perf nccl --help`\n", option, value);
	return false;
}

/* 8, 64K, 128M, 2G: as nccl-tests has them. */
static bool size_of(const char *text, uint64_t *out)
{
	char *end;
	unsigned long long n;
	uint32_t shift = 0;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || end == text || *text == '-')
		return false;
	switch (*end) {
	case 'G':
	case 'g':
		shift += 10; /* fall through */
	case 'M':
	case 'm':
		shift += 10; /* fall through */
	case 'K':
	case 'k':
		shift += 10;
		end++;
		break;
	default:
		break;
	}
	if (*end || n > UINT64_MAX >> 30 || !out)
		return false;
	*out = (uint64_t)n << shift;
	return true;
}

static bool number_of(const char *text, uint64_t min, uint64_t max, uint32_t *out)
{
	uint64_t n;

	if (!size_of(text, &n) || n < min || n > max || !out)
		return false;
	*out = (uint32_t)n;
	return true;
}

static bool take_word(struct args *a, const char *name, const char *value)
{
	int w;

	if (!strcmp(name, "-t") || !strcmp(name, "--test")) {
		w = word_of(colls, WEFT_ARRAY_SIZE(colls), value);
		a->o.coll = (enum perf_coll)w;
	} else if (!strcmp(name, "-d")) {
		w = word_of(types, WEFT_ARRAY_SIZE(types), value);
		a->o.type = (enum perf_type)w;
	} else if (!strcmp(name, "--net")) {
		w = word_of(nets, WEFT_ARRAY_SIZE(nets), value);
		a->net = (enum net)w;
	} else {
		w = strcmp(value, "socket") ? -1 : 0;
		a->compare = true;
	}
	return w >= 0 || complain(name, value);
}

static bool take_number(struct args *a, const char *name, const char *value)
{
	uint32_t n = 0;
	// NOLINTBEGIN(clang-analyzer-core.NullDereference): the analyzer loses `a` in the table of functions.
	uint64_t *size = !strcmp(name, "-b")   ? &a->from
			 : !strcmp(name, "-e") ? &a->to
			 : !strcmp(name, "-i") ? &a->step
			 : !strcmp(name, "-f") ? &a->factor
					       : NULL;
	bool ok;

	if (size)
		ok = size_of(value, size);
	else if (!strcmp(name, "-n"))
		ok = number_of(value, 1, 1000000, &a->o.iters);
	else if (!strcmp(name, "-w"))
		ok = number_of(value, 0, 1000000, &a->o.warmup);
	else if (!strcmp(name, "-r"))
		ok = number_of(value, 0, PERF_RANKS_MAX - 1, &a->o.root);
	else if (!strcmp(name, "-g"))
		ok = number_of(value, 1, PERF_RANKS_MAX, &a->o.ranks);
	else if (!strcmp(name, "--hosts-as"))
		ok = number_of(value, 1, PERF_RANKS_MAX, &a->o.hosts);
	else if (!strcmp(name, "--timeout")) {
		ok = number_of(value, 1, 86400, &n);
		a->o.timeout_s = n;
	} else {
		ok = number_of(value, 0, 1, &n);
		a->o.check = n;
	}
	// NOLINTEND(clang-analyzer-core.NullDereference)
	return ok || complain(name, value);
}

static bool take_text(struct args *a, const char *name, const char *value)
{
	if (!strcmp(name, "--id-file"))
		a->o.id_file = value;
	else if (!strcmp(name, "--nccl-lib"))
		a->o.nccl_lib = value;
	else if (!strcmp(name, "--cudart-lib"))
		a->o.cudart_lib = value;
	else
		a->plugin_dir = value;
	return true;
}

static bool take(struct args *a, int argc, char **argv, int *i)
{
	static const struct {
		const char *name;
		bool (*fn)(struct args *a, const char *name, const char *value);
	} options[] = {
		{ "-t", take_word },           { "--test", take_word },
		{ "-d", take_word },           { "--net", take_word },
		{ "--compare", take_word },    { "-b", take_number },
		{ "-e", take_number },         { "-i", take_number },
		{ "-f", take_number },         { "-n", take_number },
		{ "-w", take_number },         { "-r", take_number },
		{ "-g", take_number },         { "-c", take_number },
		{ "--hosts-as", take_number }, { "--timeout", take_number },
		{ "--id-file", take_text },    { "--nccl-lib", take_text },
		{ "--cudart-lib", take_text }, { "--plugin-dir", take_text },
	};
	const char *arg = argv[*i];

	if (!strcmp(arg, "--json") || !strcmp(arg, "--csv")) {
		a->format = arg[2] == 'j' ? JSON : CSV;
		return true;
	}
	for (size_t k = 0; k < WEFT_ARRAY_SIZE(options); k++) {
		if (strcmp(arg, options[k].name))
			continue;
		if (*i + 1 >= argc) {
			fprintf(stderr, CMD ": %s needs a value\n", arg);
			return false;
		}
		return options[k].fn(a, arg, argv[++*i]);
	}
	fprintf(stderr, CMD ": no such argument: %.64s; see `weft perf nccl --help`\n", arg);
	return false;
}

/* The sizes that were asked for, made to fit the ranks as nccl-tests does. */
static bool make_sizes(struct args *a)
{
	struct perf_opts *o = &a->o;
	const size_t w = perf_type_size(o->type);
	size_t unit = o->coll == PERF_ALL_GATHER || o->coll == PERF_REDUCE_SCATTER ||
				      o->coll == PERF_ALLTOALL
			      ? o->ranks * w
			      : w;

	if (a->to < a->from || (!a->step && a->factor < 2)) {
		fputs(CMD ": no sizes: -e is below -b, or -f below 2\n", stderr);
		return false;
	}
	for (uint64_t s = a->from; s <= a->to; s = a->step ? s + a->step : s * a->factor) {
		size_t fits = WEFT_MAX(s / unit, (uint64_t)1) * unit;

		if (o->sizes == PERF_SIZES_MAX) {
			fprintf(stderr, CMD ": more than %u sizes\n", PERF_SIZES_MAX);
			return false;
		}
		if (!o->sizes || o->size[o->sizes - 1] != fits)
			o->size[o->sizes++] = fits;
		if (!s)
			s = 1;
	}
	return true;
}

/* Printing */

static double bus_factor(const struct perf_opts *o)
{
	double n = o->ranks;

	switch (o->coll) {
	case PERF_ALL_REDUCE:
		return 2 * (n - 1) / n;
	case PERF_ALL_GATHER:
	case PERF_REDUCE_SCATTER:
	case PERF_ALLTOALL:
		return (n - 1) / n;
	case PERF_BROADCAST:
	case PERF_SENDRECV:
	case PERF_COLLS:
		break;
	}
	return 1;
}

/* Over the ranks of this process: the mean of times, as nccl-tests; the sum of errors. */
static struct perf_row total(const struct perf_opts *o, const struct perf_shared *s, uint32_t row)
{
	uint32_t ranks = o->id_file ? 1 : o->ranks;
	struct perf_row t = { { 0, 0 }, { 0, 0 } };

	for (uint32_t r = 0; r < ranks; r++)
		for (int p = 0; p < 2; p++) {
			t.us[p] += s->row[r][row].us[p] / ranks;
			t.wrong[p] += s->row[r][row].wrong[p];
		}
	return t;
}

static double gbps(size_t bytes, double us)
{
	return us > 0 ? (double)bytes / us / 1e3 : 0;
}

static bool has_redop(const struct perf_opts *o)
{
	return o->coll == PERF_ALL_REDUCE || o->coll == PERF_REDUCE_SCATTER;
}

static void print_head(const struct args *a, enum net net)
{
	const struct perf_opts *o = &a->o;

	if (a->format == CSV)
		printf("net,test,type,ranks,hosts,bytes,count,us,algbw_gbs,busbw_gbs,wrong,in_"
		       "place_us,"
		       "in_place_algbw_gbs,in_place_busbw_gbs,in_place_wrong\n");
	if (a->format != TEXT)
		return;
	printf("# weft perf nccl: %s, %u GPUs as %u hosts, net %s\n", colls[o->coll], o->ranks,
	       o->hosts ? o->hosts : 1, nets[net]);
	printf("# iters %u warmup %u check %d\n#\n", o->iters, o->warmup, o->check);
	printf("#%40s  %28s      %28s\n", "", "out-of-place", "in-place");
	printf("# %10s %12s %8s %6s %5s %8s %7s %7s %6s   %8s %7s %7s %6s\n", "size", "count",
	       "type", "redop", "root", "time", "algbw", "busbw", "#wrong", "time", "algbw",
	       "busbw", "#wrong");
	printf("# %10s %12s %8s %6s %5s %8s %7s %7s %6s   %8s %7s %7s %6s\n", "(B)", "(elements)",
	       "", "", "", "(us)", "(GB/s)", "(GB/s)", "", "(us)", "(GB/s)", "(GB/s)", "");
}

static void print_row(const struct args *a, enum net net, const struct perf_shared *s, uint32_t row)
{
	const struct perf_opts *o = &a->o;
	const struct perf_row t = total(o, s, row);
	size_t bytes = o->size[row];
	double f = bus_factor(o);

	if (a->format == CSV) {
		printf("%s,%s,%s,%u,%u,%zu,%zu", nets[net], colls[o->coll], types[o->type],
		       o->ranks, o->hosts ? o->hosts : 1, bytes, perf_count(o, bytes));
		for (int p = 0; p < 2; p++)
			printf(",%.2f,%.3f,%.3f,%llu", t.us[p], gbps(bytes, t.us[p]),
			       gbps(bytes, t.us[p]) * f, (unsigned long long)t.wrong[p]);
		printf("\n");
	}
	if (a->format != TEXT)
		return;
	printf("  %10zu %12zu %8s %6s %5d", bytes, perf_count(o, bytes), types[o->type],
	       has_redop(o) ? "sum" : "none", o->coll == PERF_BROADCAST ? (int)o->root : -1);
	for (int p = 0; p < 2; p++) {
		char wrong[24] = "N/A";

		if (o->check)
			snprintf(wrong, sizeof(wrong), "%llu", (unsigned long long)t.wrong[p]);
		if (t.us[p] > 0)
			printf(" %8.2f %7.2f %7.2f %6s  ", t.us[p], gbps(bytes, t.us[p]),
			       gbps(bytes, t.us[p]) * f, wrong);
	}
	printf("\n");
	fflush(stdout);
}

static void print_end(const struct args *a, enum net net, const struct perf_shared *s,
		      uint64_t wrong)
{
	const struct perf_opts *o = &a->o;
	double sum = 0;
	uint32_t n = 0;

	for (uint32_t i = 0; i < o->sizes; i++)
		for (int p = 0; p < 2; p++) {
			double us = total(o, s, i).us[p];

			sum += gbps(o->size[i], us) * bus_factor(o);
			n += us > 0;
		}
	if (a->format == TEXT)
		printf("# Out of bounds values : %llu %s\n# Avg bus bandwidth    : %g\n#\n",
		       (unsigned long long)wrong, wrong ? "FAILED" : "OK", n ? sum / n : 0);
	if (a->format != JSON)
		return;
	printf("%s\n  {\"net\": \"%s\", \"test\": \"%s\", \"type\": \"%s\", \"ranks\": %u, "
	       "\"hosts\": %u, "
	       "\"nccl\": %d, \"rows\": [",
	       net == a->net ? "[" : ",", nets[net], colls[o->coll], types[o->type], o->ranks,
	       o->hosts ? o->hosts : 1, s->nccl_version);
	for (uint32_t i = 0; i < o->sizes; i++) {
		const struct perf_row t = total(o, s, i);

		printf("%s\n    {\"bytes\": %zu", i ? "," : "", o->size[i]);
		for (int p = 0; p < 2; p++)
			if (t.us[p] > 0)
				printf(", \"%s\": {\"us\": %.2f, \"algbw\": %.3f, \"busbw\": %.3f, "
				       "\"wrong\": %llu}",
				       p ? "in_place" : "out_of_place", t.us[p],
				       gbps(o->size[i], t.us[p]),
				       gbps(o->size[i], t.us[p]) * bus_factor(o),
				       (unsigned long long)t.wrong[p]);
		printf("}");
	}
	printf("\n  ]}");
	if (!a->compare || net == NET_SOCKET)
		printf("\n]\n");
}

/* The table that one would put into a document. */
static void print_both(const struct args *a, const struct perf_shared *s,
		       const struct perf_shared *other)
{
	const struct perf_opts *o = &a->o;

	if (a->format != TEXT)
		return;
	printf("| size | %s (us) | socket (us) | %s busbw (GB/s) | socket busbw (GB/s) | ratio |\n"
	       "|---:|---:|---:|---:|---:|---:|\n",
	       nets[a->net], nets[a->net]);
	for (uint32_t i = 0; i < o->sizes; i++) {
		double x = total(o, s, i).us[0], y = total(o, other, i).us[0];

		printf("| %zu | %.1f | %.1f | %.2f | %.2f | %.1f |\n", o->size[i], x, y,
		       gbps(o->size[i], x) * bus_factor(o), gbps(o->size[i], y) * bus_factor(o),
		       x > 0 ? y / x : 0);
	}
}

/* Running */

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void set_net(const struct args *a, enum net net)
{
	switch (net) {
	case NET_WEFT:
		(void)weft_nccl_setenv(a->plugin_dir ? a->plugin_dir : ".");
		break;
	case NET_SOCKET:
		setenv("NCCL_NET", "Socket", 1);
		setenv("NCCL_NET_PLUGIN", "none", 1);
		break;
	case NET_ENV:
		break;
	}
}

/* The loader reads LD_LIBRARY_PATH when a program begins, and NCCL finds its plugin by it: so this begins again. */
static void begin_again(const struct args *a, char **argv)
{
	if (a->net != NET_WEFT || !a->plugin_dir || getenv("WEFT_PERF_AGAIN"))
		return;
	setenv("WEFT_PERF_AGAIN", "1", 1);
	if (weft_nccl_setenv(a->plugin_dir))
		execv("/proc/self/exe", argv);
}

static void rank_environment(const struct perf_opts *o, uint32_t rank)
{
	char text[64];
	uint32_t host;

	if (!o->hosts)
		return;
	host = rank * o->hosts / o->ranks;
	snprintf(text, sizeof(text), "weft-host-%u", host);
	setenv("NCCL_HOSTID", text, 1);
	snprintf(text, sizeof(text), "127.0.0.%u", 2 + host);
	setenv("WEFT_ADDR", text, 0);
}

static void end_all(pid_t *pid, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (pid[i] > 0)
			kill(pid[i], SIGKILL);
	for (uint32_t i = 0; i < n; i++)
		if (pid[i] > 0)
			waitpid(pid[i], NULL, 0);
}

/* The `n` ranks that were started here, of which the first is rank `first`. 0, or how it ended. */
static int watch(const struct args *a, enum net net, struct perf_shared *s, pid_t *pid, uint32_t n,
		 uint32_t first)
{
	const struct perf_opts *o = &a->o;
	uint32_t left = n, printed = 0, seen = 0, failed = 0;
	double since = now_s(), bad_at = 0;

	while (left) {
		uint32_t progress = atomic_load(&s->progress);
		const struct timespec nap = { .tv_nsec = 2000000 };
		int status;

		while (printed < atomic_load(&s->rows_done))
			print_row(a, net, s, printed++);
		if (progress != seen)
			since = now_s();
		seen = progress;
		for (uint32_t i = 0; i < n; i++) {
			if (pid[i] <= 0 || waitpid(pid[i], &status, WNOHANG) != pid[i])
				continue;
			pid[i] = 0;
			left--;
			if (!status)
				continue;
			if (WIFSIGNALED(status))
				fprintf(stderr, CMD ": rank %u was ended by signal %d\n", first + i,
					WTERMSIG(status));
			failed = WIFEXITED(status) && WEXITSTATUS(status) == 2 ? 2 : 1;
			bad_at = bad_at > 0 ? bad_at : now_s();
		}
		/* The others find out by themselves, or are made to. */
		if (bad_at > 0 && now_s() - bad_at > 10) {
			fputs(CMD ": the other ranks did not end\n", stderr);
			end_all(pid, n);
			return (int)failed;
		}
		if (now_s() - since > o->timeout_s) {
			fprintf(stderr, CMD ": no progress for %g s\n", o->timeout_s);
			end_all(pid, n);
			return 1;
		}
		nanosleep(&nap, NULL);
	}
	while (printed < atomic_load(&s->rows_done))
		print_row(a, net, s, printed++);
	return (int)failed;
}

static uint64_t all_wrong(const struct perf_opts *o, const struct perf_shared *s)
{
	uint64_t wrong = 0;

	for (uint32_t i = 0; i < o->sizes; i++)
		wrong += total(o, s, i).wrong[0] + total(o, s, i).wrong[1];
	return wrong;
}

static int run(const struct args *a, enum net net, struct perf_shared *s)
{
	const struct perf_opts *o = &a->o;
	pid_t pid[PERF_RANKS_MAX] = { 0 };
	uint64_t wrong;
	int rc;

	print_head(a, net);
	fflush(NULL);
	for (uint32_t r = 0; r < o->ranks; r++) {
		pid[r] = fork();
		if (!pid[r]) {
			rank_environment(o, r);
			set_net(a, net);
			perf_rank(o, s, r, r);
		}
		if (pid[r] < 0) {
			perror(CMD);
			end_all(pid, r);
			return 2;
		}
	}
	rc = watch(a, net, s, pid, o->ranks, 0);
	if (rc)
		return rc;
	wrong = all_wrong(o, s);
	print_end(a, net, s, wrong);
	return wrong ? 1 : 0;
}

/* Started by somebody else: one rank of many. What it measured it has as its first; the others tell of their own
 * errors, by word and exit status. */
static int run_one(const struct args *a, struct perf_shared *s, uint32_t rank, uint32_t device)
{
	uint64_t wrong;
	pid_t pid;
	int rc;

	if (!rank)
		print_head(a, a->net);
	fflush(NULL);
	pid = fork();
	if (!pid) {
		rank_environment(&a->o, rank);
		set_net(a, a->net);
		perf_rank(&a->o, s, rank, device);
	}
	if (pid < 0) {
		perror(CMD);
		return 2;
	}
	rc = watch(a, a->net, s, &pid, 1, rank);
	if (rc)
		return rc;
	wrong = all_wrong(&a->o, s);
	if (!rank)
		print_end(a, a->net, s, wrong);
	else if (wrong)
		fprintf(stderr, CMD ": rank %u: %llu wrong elements\n", rank,
			(unsigned long long)wrong);
	return wrong ? 1 : 0;
}

static bool has_sense(const struct args *a)
{
	if (a->o.root < a->o.ranks && a->o.hosts <= a->o.ranks)
		return true;
	fputs(CMD ": a root that is no rank, or more hosts than GPUs\n", stderr);
	return false;
}

static int run_as_rank(struct args *a, struct perf_shared *s)
{
	static const char *const rank_vars[] = { "OMPI_COMM_WORLD_RANK", "PMI_RANK",
						 "SLURM_PROCID" };
	static const char *const size_vars[] = { "OMPI_COMM_WORLD_SIZE", "PMI_SIZE",
						 "SLURM_STEP_NUM_TASKS" };
	static const char *const local_vars[] = { "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID",
						  "SLURM_LOCALID" };
	uint32_t rank, local = 0;

	for (uint32_t i = 0; i < WEFT_ARRAY_SIZE(rank_vars); i++) {
		const char *r = getenv(rank_vars[i]), *n = getenv(size_vars[i]),
			   *l = getenv(local_vars[i]);

		if (!r || !n || !number_of(n, 1, 1000000, &a->o.ranks) ||
		    !number_of(r, 0, a->o.ranks - 1, &rank))
			continue;
		if (l)
			(void)number_of(l, 0, PERF_RANKS_MAX, &local);
		return has_sense(a) && make_sizes(a) ? run_one(a, s, rank, local) : 2;
	}
	fputs(CMD ": --id-file is for ranks of mpirun or srun, and this is none\n", stderr);
	return 2;
}

static struct perf_shared *share(void)
{
	struct perf_shared *s =
		mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (s == MAP_FAILED) {
		perror(CMD);
		exit(2);
	}
	return s;
}

int main(int argc, char **argv)
{
	static struct args a = {
		.o = { .iters = 20, .warmup = 5, .ranks = 2, .check = true, .timeout_s = 60 },
		.from = 8,
		.to = 128u << 20,
		.factor = 2,
	};
	struct perf_shared *s, *other;
	int rc, rc2;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			fputs(usage, stdout);
			return 0;
		}
		if (!take(&a, argc, argv, &i))
			return 2;
	}
	if (a.o.id_file && a.compare) {
		fputs(CMD ": --compare is for ranks that are started here, not with --id-file\n",
		      stderr);
		return 2;
	}
	begin_again(&a, argv);
	s = share();
	if (a.o.id_file)
		return run_as_rank(&a, s);
	if (!has_sense(&a) || !make_sizes(&a))
		return 2;
	rc = run(&a, a.net, s);
	if (!a.compare || rc == 2)
		return rc;
	other = share();
	rc2 = run(&a, NET_SOCKET, other);
	if (!rc2)
		print_both(&a, s, other);
	return rc ? rc : rc2;
}
