/* SPDX-License-Identifier: BSD-2-Clause */
/* One rank: a GPU, its buffers, and each size in turn, out of place and in place.
 *
 * Data. Element i of rank r's buffer is a small number that depends on both and repeats after PERIOD elements, so that
 * gigabytes are filled by copies on the GPU, and checked in pieces against a few megabytes. Sums of it are exact in every
 * type. Results are poisoned before they are checked.
 *
 * Waiting is done by asking, and NCCL is asked whether something is wrong: a peer that dies is an error here and no hang. */
#include "perf/nccl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PERIOD    (1u << 20)
#define QUEUE_MAX 256u

enum { /* NCCL's and CUDA's numbers. */
	NCCL_SUM = 0,
	CUDA_NOT_READY = 600,
	CUDA_NON_BLOCKING = 1,
	CUDA_DEFAULT = 4, /* Copy from where to where the addresses say. */
};

static const int nccl_type[PERF_TYPES] = { 7, 8, 2, 1 };
static const size_t type_size[PERF_TYPES] = { 4, 8, 4, 1 };

static const struct perf_lib *lib;
static const struct perf_opts *opts;
static struct perf_shared *shared;
static uint32_t rank;
static void *comm, *stream;
static uint8_t *sendbuf, *recvbuf, *token; /* On the GPU. */
static uint8_t *want, *got; /* Of PERIOD elements, twice for want: any start is in one piece. */

size_t perf_type_size(enum perf_type type)
{
	return type_size[type];
}

size_t perf_count(const struct perf_opts *o, size_t bytes)
{
	size_t n = bytes / type_size[o->type];

	if (o->coll == PERF_ALL_GATHER || o->coll == PERF_REDUCE_SCATTER ||
	    o->coll == PERF_ALLTOALL)
		n /= o->ranks;
	return n;
}

__attribute__((noreturn)) static void die(const char *what, const char *why)
{
	fprintf(stderr, "weft perf nccl: rank %u: %s: %s\n", rank, what, why);
	if (comm)
		lib->ncclCommAbort(comm);
	fflush(NULL);
	_exit(1);
}

static void cuda(const char *what, int rc)
{
	if (rc)
		die(what, lib->cudaGetErrorString(rc));
}

static void nccl(const char *what, int rc)
{
	if (rc)
		die(what, lib->ncclGetErrorString(rc));
}

static void wait_for_stream(void)
{
	uint32_t n = 0;
	int rc, error;

	while ((rc = lib->cudaStreamQuery(stream)) == CUDA_NOT_READY) {
		if (++n % 1000)
			continue;
		nccl("ncclCommGetAsyncError", lib->ncclCommGetAsyncError(comm, &error));
		nccl("a collective failed", error);
	}
	cuda("cudaStreamQuery", rc);
	atomic_fetch_add(&shared->progress, 1);
}

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

/* Data */

static uint32_t value(uint32_t r, size_t i)
{
	return ((uint32_t)(i % PERIOD) * 2654435761u + r * 40503u) >> 20 & 15;
}

static void put(uint8_t *at, size_t i, uint32_t v)
{
	switch (opts->type) {
	case PERF_FLOAT:
		((float *)(void *)at)[i] = (float)v;
		break;
	case PERF_DOUBLE:
		((double *)(void *)at)[i] = (double)v;
		break;
	case PERF_INT32:
		((int32_t *)(void *)at)[i] = (int32_t)v;
		break;
	case PERF_UINT8:
	case PERF_TYPES:
		at[i] = (uint8_t)v;
		break;
	}
}

/* What comes from rank r, or from all of them summed up (r == ranks). */
static void make_pattern(uint32_t r)
{
	for (size_t i = 0; i < PERIOD; i++) {
		uint32_t v = 0;

		for (uint32_t k = 0; k < opts->ranks; k++)
			if (r == k || r == opts->ranks)
				v += value(k, i);
		put(want, i, v);
		put(want, i + PERIOD, v);
	}
}

static void fill(uint8_t *buf, size_t bytes)
{
	size_t done = WEFT_MIN(bytes, PERIOD * type_size[opts->type]);

	make_pattern(rank);
	cuda("copy", lib->cudaMemcpyAsync(buf, want, done, CUDA_DEFAULT, stream));
	for (size_t n; done < bytes; done += n) {
		n = WEFT_MIN(bytes - done, done);
		cuda("copy", lib->cudaMemcpyAsync(buf + done, buf, n, CUDA_DEFAULT, stream));
	}
	wait_for_stream();
}

/* [off, off + n) of the buffer against the pattern in `want` from `start` on: elements that differ. */
static uint64_t compare(const uint8_t *buf, size_t off, size_t n, size_t start)
{
	const size_t w = type_size[opts->type];
	uint64_t wrong = 0;

	for (size_t part; n; off += part, start += part, n -= part) {
		const uint8_t *expect = want + start % PERIOD * w;

		part = WEFT_MIN(n, (size_t)PERIOD);
		cuda("copy",
		     lib->cudaMemcpyAsync(got, buf + off * w, part * w, CUDA_DEFAULT, stream));
		wait_for_stream();
		if (!memcmp(got, expect, part * w))
			continue;
		for (size_t i = 0; i < part; i++)
			wrong += memcmp(got + i * w, expect + i * w, w) != 0;
	}
	return wrong;
}

static uint64_t check(const uint8_t *buf, size_t n)
{
	const uint32_t ranks = opts->ranks;
	uint64_t wrong = 0;

	switch (opts->coll) {
	case PERF_ALL_REDUCE:
		make_pattern(ranks);
		return compare(buf, 0, n, 0);
	case PERF_REDUCE_SCATTER:
		make_pattern(ranks);
		return compare(buf, 0, n, rank * n);
	case PERF_BROADCAST:
		make_pattern(opts->root);
		return compare(buf, 0, n, 0);
	case PERF_SENDRECV:
		make_pattern((rank + ranks - 1) % ranks);
		return compare(buf, 0, n, 0);
	case PERF_ALL_GATHER:
	case PERF_ALLTOALL:
		for (uint32_t r = 0; r < ranks; r++) {
			make_pattern(r);
			wrong += compare(buf, r * n, n, opts->coll == PERF_ALLTOALL ? rank * n : 0);
		}
		return wrong;
	case PERF_COLLS:
		break;
	}
	return wrong;
}

/* Collectives */

static void run_once(uint8_t *send, uint8_t *recv, size_t n)
{
	const size_t part = n * type_size[opts->type];
	const int type = nccl_type[opts->type], ranks = (int)opts->ranks, me = (int)rank;

	switch (opts->coll) {
	case PERF_ALL_REDUCE:
		nccl("ncclAllReduce",
		     lib->ncclAllReduce(send, recv, n, type, NCCL_SUM, comm, stream));
		return;
	case PERF_ALL_GATHER:
		nccl("ncclAllGather", lib->ncclAllGather(send, recv, n, type, comm, stream));
		return;
	case PERF_REDUCE_SCATTER:
		nccl("ncclReduceScatter",
		     lib->ncclReduceScatter(send, recv, n, type, NCCL_SUM, comm, stream));
		return;
	case PERF_BROADCAST:
		nccl("ncclBroadcast",
		     lib->ncclBroadcast(send, recv, n, type, (int)opts->root, comm, stream));
		return;
	case PERF_ALLTOALL:
	case PERF_SENDRECV:
		break;
	case PERF_COLLS:
		return;
	}
	nccl("ncclGroupStart", lib->ncclGroupStart());
	for (int r = 0; r < (opts->coll == PERF_ALLTOALL ? ranks : 1); r++) {
		int to = opts->coll == PERF_ALLTOALL ? r : (me + 1) % ranks;
		int from = opts->coll == PERF_ALLTOALL ? r : (me + ranks - 1) % ranks;

		nccl("ncclSend", lib->ncclSend(send + (size_t)r * part, n, type, to, comm, stream));
		nccl("ncclRecv",
		     lib->ncclRecv(recv + (size_t)r * part, n, type, from, comm, stream));
	}
	nccl("ncclGroupEnd", lib->ncclGroupEnd());
}

static void barrier(void)
{
	nccl("barrier",
	     lib->ncclAllReduce(token, token, 1, nccl_type[PERF_INT32], NCCL_SUM, comm, stream));
	wait_for_stream();
}

/* alltoall and sendrecv have no other way in place than over what others still want to read: nccl-tests leaves it out. */
static bool has_in_place(void)
{
	return opts->coll != PERF_ALLTOALL && opts->coll != PERF_SENDRECV;
}

/* A rank that was not started here is alone here. */
static struct perf_row *result(uint32_t row)
{
	return &shared->row[opts->id_file ? 0 : rank][row];
}

static void measure(uint32_t row, bool in_place)
{
	const size_t n = perf_count(opts, opts->size[row]), part = n * type_size[opts->type];
	uint8_t *send = sendbuf, *recv = recvbuf;
	double start;

	if (in_place && opts->coll == PERF_ALL_GATHER)
		send = recvbuf + rank * part;
	else if (in_place && opts->coll == PERF_REDUCE_SCATTER)
		recv = sendbuf + rank * part;
	else if (in_place)
		send = recvbuf;
	if (opts->check) {
		cuda("poison", lib->cudaMemsetAsync(recvbuf, 0xa5, opts->size[row], stream));
		fill(sendbuf, opts->size[row]);
		if (in_place && send != sendbuf)
			fill(send, opts->coll == PERF_ALL_GATHER ? part : opts->size[row]);
		barrier();
		run_once(send, recv, n);
		wait_for_stream();
		result(row)->wrong[in_place] = check(recv, n);
	}
	for (uint32_t i = 0; i < opts->warmup; i++)
		run_once(send, recv, n);
	barrier();
	start = now_us();
	for (uint32_t i = 0; i < opts->iters; i++) {
		/* With too many in the queue, a launch waits in CUDA, where nobody asks whether a peer is gone. */
		if (i && i % QUEUE_MAX == 0)
			wait_for_stream();
		run_once(send, recv, n);
	}
	wait_for_stream();
	result(row)->us[in_place] = (now_us() - start) / opts->iters;
}

/* Start */

struct id {
	uint8_t raw[128];
};

/* What rank 0 leaves for the others. One of an earlier job may lie there: it is of another name, where launchers give one. */
struct note {
	char job[128];
	struct id id;
};

static void name_job(struct note *note)
{
	static const char *const vars[] = { "PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid",
					    "HYDRA_JOBID" };
	const char *job = getenv("SLURM_JOB_ID"), *step = getenv("SLURM_STEP_ID");

	memset(note, 0, sizeof(*note));
	if (job && step) {
		snprintf(note->job, sizeof(note->job), "%s.%s", job, step);
		return;
	}
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(vars); i++)
		if ((job = getenv(vars[i]))) {
			snprintf(note->job, sizeof(note->job), "%s", job);
			return;
		}
}

static bool read_note(struct note *found)
{
	FILE *f = fopen(opts->id_file, "re");
	bool ok = f && fread(found, sizeof(*found), 1, f) == 1;

	if (f)
		fclose(f);
	return ok;
}

static void share_id(struct id *id)
{
	double until = now_us() + opts->timeout_s * 1e6;
	struct note note, found;
	FILE *f;

	if (!opts->id_file) {
		if (!rank) {
			nccl("ncclGetUniqueId", lib->ncclGetUniqueId(id));
			memcpy(shared->id, id, sizeof(*id));
			atomic_store(&shared->id_ready, 1);
		}
		while (!atomic_load(&shared->id_ready))
			usleep(1000);
		memcpy(id, shared->id, sizeof(*id));
		return;
	}
	name_job(&note);
	if (!rank) {
		char temp[4096];

		nccl("ncclGetUniqueId", lib->ncclGetUniqueId(id));
		note.id = *id;
		snprintf(temp, sizeof(temp), "%s.new", opts->id_file);
		f = fopen(temp, "we");
		if (!f || fwrite(&note, sizeof(note), 1, f) != 1 || fclose(f) ||
		    rename(temp, opts->id_file))
			die(opts->id_file, "cannot be written");
		return;
	}
	while (!read_note(&found) || memcmp(found.job, note.job, sizeof(note.job)) != 0) {
		if (now_us() > until)
			die(opts->id_file, "rank 0 has not written it");
		usleep(20000);
	}
	*id = found.id;
}

static void start(uint32_t device)
{
	int (*init)(void **out, int ranks, struct id id, int me);
	size_t most = 0;
	struct id id;
	int count;

	lib = perf_lib_open(opts->nccl_lib, opts->cudart_lib);
	if (!lib)
		_exit(2);
	cuda("cudaGetDeviceCount", lib->cudaGetDeviceCount(&count));
	/* NCCL lets ranks of different hosts have the same GPU: slow, since they take turns, but it works. */
	if (opts->hosts == opts->ranks && count > 0)
		device %= (uint32_t)count;
	if (device >= (uint32_t)count) {
		fprintf(stderr, "weft perf nccl: rank %u wants GPU %u, and there are %d\n", rank,
			device, count);
		_exit(2);
	}
	cuda("cudaSetDevice", lib->cudaSetDevice((int)device));
	for (uint32_t i = 0; i < opts->sizes; i++)
		most = WEFT_MAX(most, opts->size[i]);
	cuda("memory", lib->cudaMalloc((void **)&sendbuf, most));
	cuda("memory", lib->cudaMalloc((void **)&recvbuf, most));
	cuda("memory", lib->cudaMalloc((void **)&token, 64));
	cuda("stream", lib->cudaStreamCreateWithFlags(&stream, CUDA_NON_BLOCKING));
	want = malloc(2 * PERIOD * type_size[opts->type]);
	got = malloc(PERIOD * type_size[opts->type]);
	if (!want || !got)
		die("memory", "there is not enough");
	share_id(&id);
	if (!rank)
		nccl("ncclGetVersion", lib->ncclGetVersion(&shared->nccl_version));
	memcpy(&init, &lib->comm_init_rank, sizeof(init));
	nccl("ncclCommInitRank", init(&comm, (int)opts->ranks, id, (int)rank));
	if (opts->id_file && !rank) /* All have read it. */
		(void)unlink(opts->id_file);
	atomic_fetch_add(&shared->progress, 1);
}

void perf_rank(const struct perf_opts *o, struct perf_shared *s, uint32_t r, uint32_t device)
{
	opts = o;
	shared = s;
	rank = r;
	start(device);
	for (uint32_t i = 0; i < opts->sizes; i++) {
		measure(i, false);
		if (has_in_place())
			measure(i, true);
		barrier();
		if (!rank)
			atomic_store(&shared->rows_done, i + 1);
	}
	nccl("ncclCommDestroy", lib->ncclCommDestroy(comm));
	fflush(NULL);
	exit(0);
}
