/* SPDX-License-Identifier: BSD-2-Clause */
/* mpi_mix [MAX_BYTES [COMMUNICATORS]]: one program with everything that MPI programs do to a transport, each byte
 * checked: ring, bcast, allreduce, alltoall, MPI_ANY_SOURCE, persistent requests, one-sided operations, many
 * communicators. Prints a line per part on rank 0; any wrong byte ends it with exit 1 everywhere. */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int rank, ranks;

static void die(const char *what, size_t bytes)
{
	fprintf(stderr, "mpi_mix: rank %d: %s is wrong at %zu bytes\n", rank, what, bytes);
	MPI_Abort(MPI_COMM_WORLD, 1);
	exit(1);
}

static void *buffer(size_t bytes)
{
	void *p = calloc(1, bytes ? bytes : 1);

	if (!p) {
		fprintf(stderr, "mpi_mix: no memory\n");
		MPI_Abort(MPI_COMM_WORLD, 1);
		exit(1);
	}
	return p;
}

/* Byte i of a message is a function of who made it and what for, cheap enough for 16 MB. */
static void fill(uint8_t *p, size_t bytes, uint32_t seed)
{
	uint32_t x = seed * 2654435761u + 1;

	for (size_t i = 0; i < bytes; i++) {
		x = x * 1664525u + 1013904223u;
		p[i] = (uint8_t)(x >> 24);
	}
}

static void check(const uint8_t *p, size_t bytes, uint32_t seed, const char *what)
{
	uint32_t x = seed * 2654435761u + 1;

	for (size_t i = 0; i < bytes; i++) {
		x = x * 1664525u + 1013904223u;
		if (p[i] != (uint8_t)(x >> 24))
			die(what, bytes);
	}
}

static void ring(size_t bytes)
{
	uint8_t *out = buffer(bytes), *in = buffer(bytes);
	int next = (rank + 1) % ranks, prev = (rank + ranks - 1) % ranks;

	fill(out, bytes, (uint32_t)rank);
	MPI_Sendrecv(out, (int)bytes, MPI_BYTE, next, 1, in, (int)bytes, MPI_BYTE, prev, 1,
		     MPI_COMM_WORLD, MPI_STATUS_IGNORE);
	check(in, bytes, (uint32_t)prev, "ring");
	free(out);
	free(in);
}

static void bcast(size_t bytes)
{
	uint8_t *p = buffer(bytes);
	int root = (int)(bytes % (size_t)ranks);

	if (rank == root)
		fill(p, bytes, 77);
	MPI_Bcast(p, (int)bytes, MPI_BYTE, root, MPI_COMM_WORLD);
	check(p, bytes, 77, "bcast");
	free(p);
}

static void allreduce(size_t bytes)
{
	size_t n = (bytes + 7) / 8;
	uint64_t *in = buffer(n * 8), *out = buffer(n * 8);

	for (size_t i = 0; i < n; i++)
		in[i] = i * 3 + (uint64_t)rank;
	MPI_Allreduce(in, out, (int)n, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
	for (size_t i = 0; i < n; i++) {
		uint64_t r = (uint64_t)ranks;

		if (out[i] != i * 3 * r + r * (r - 1) / 2)
			die("allreduce", bytes);
	}
	free(in);
	free(out);
}

static void alltoall(size_t bytes)
{
	size_t each = bytes / (size_t)ranks;
	uint8_t *out = buffer(each * (size_t)ranks), *in = buffer(each * (size_t)ranks);

	for (int r = 0; r < ranks; r++)
		fill(out + each * (size_t)r, each, (uint32_t)(rank * 1000 + r));
	MPI_Alltoall(out, (int)each, MPI_BYTE, in, (int)each, MPI_BYTE, MPI_COMM_WORLD);
	for (int r = 0; r < ranks; r++)
		check(in + each * (size_t)r, each, (uint32_t)(r * 1000 + rank), "alltoall");
	free(out);
	free(in);
}

/* Everybody to rank 0, which does not know who comes next or how much; unexpected messages pile up. */
static void any_source(void)
{
	enum {
		EACH = 20,
		MOST = 40000
	};
	uint8_t *p = buffer(MOST);

	if (rank == 0) {
		int *got = buffer((size_t)ranks * sizeof(int));

		MPI_Barrier(MPI_COMM_WORLD);
		for (int i = 0; i < (ranks - 1) * EACH; i++) {
			MPI_Status status;
			int bytes;

			MPI_Probe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &status);
			MPI_Get_count(&status, MPI_BYTE, &bytes);
			MPI_Recv(p, bytes, MPI_BYTE, status.MPI_SOURCE, status.MPI_TAG,
				 MPI_COMM_WORLD, MPI_STATUS_IGNORE);
			if (status.MPI_TAG != got[status.MPI_SOURCE]++)
				die("order of any source", (size_t)bytes);
			check(p, (size_t)bytes,
			      (uint32_t)(status.MPI_SOURCE * 100 + status.MPI_TAG), "any source");
		}
		free(got);
	} else {
		MPI_Request request[EACH];
		uint8_t *out[EACH];

		for (int i = 0; i < EACH; i++) {
			size_t bytes = (size_t)((rank * 7919 + i * 104729) % MOST);

			out[i] = buffer(bytes);
			fill(out[i], bytes, (uint32_t)(rank * 100 + i));
			MPI_Isend(out[i], (int)bytes, MPI_BYTE, 0, i, MPI_COMM_WORLD, &request[i]);
		}
		MPI_Barrier(MPI_COMM_WORLD);
		MPI_Waitall(EACH, request, MPI_STATUSES_IGNORE);
		for (int i = 0; i < EACH; i++)
			free(out[i]);
	}
	free(p);
}

static void persistent(void)
{
	enum {
		BYTES = 10000,
		TIMES = 50
	};
	static uint8_t out[BYTES], in[BYTES];
	int next = (rank + 1) % ranks, prev = (rank + ranks - 1) % ranks;
	MPI_Request request[2];

	MPI_Recv_init(in, BYTES, MPI_BYTE, prev, 5, MPI_COMM_WORLD, &request[0]);
	MPI_Send_init(out, BYTES, MPI_BYTE, next, 5, MPI_COMM_WORLD, &request[1]);
	for (int i = 0; i < TIMES; i++) {
		fill(out, BYTES, (uint32_t)(rank * 100 + i));
		MPI_Startall(2, request);
		MPI_Waitall(2, request, MPI_STATUSES_IGNORE);
		check(in, BYTES, (uint32_t)(prev * 100 + i), "persistent");
	}
	MPI_Request_free(&request[0]);
	MPI_Request_free(&request[1]);
}

static void one_sided(void)
{
	enum {
		WORDS = 4096
	};
	uint64_t *base, *got = buffer(WORDS * 8), mine = (uint64_t)rank + 1;
	MPI_Win window;

	MPI_Win_allocate((MPI_Aint)(WORDS + ranks) * 8, 8, MPI_INFO_NULL, MPI_COMM_WORLD, &base,
			 &window);
	memset(base, 0, (size_t)(WORDS + ranks) * 8);
	MPI_Win_fence(0, window);
	for (int r = 0; r < ranks; r++) {
		MPI_Put(&mine, 1, MPI_UINT64_T, r, WORDS + rank, 1, MPI_UINT64_T, window);
		MPI_Accumulate(&mine, 1, MPI_UINT64_T, r, 0, 1, MPI_UINT64_T, MPI_SUM, window);
	}
	MPI_Win_fence(0, window);
	if (base[0] != (uint64_t)ranks * (uint64_t)(ranks + 1) / 2)
		die("accumulate", 8);
	for (int r = 0; r < ranks; r++) {
		if (base[WORDS + r] != (uint64_t)r + 1)
			die("put", 8);
	}
	for (int i = 1; i < WORDS; i++)
		base[i] = (uint64_t)i * (uint64_t)(rank + 1);
	MPI_Win_fence(0, window);
	MPI_Get(got, WORDS, MPI_UINT64_T, (rank + 1) % ranks, 0, WORDS, MPI_UINT64_T, window);
	MPI_Win_fence(0, window);
	for (int i = 1; i < WORDS; i++) {
		if (got[i] != (uint64_t)i * (uint64_t)((rank + 1) % ranks + 1))
			die("get", WORDS * 8);
	}
	for (int r = 0; r < ranks; r++) {
		uint64_t before;

		MPI_Win_lock(MPI_LOCK_EXCLUSIVE, r, 0, window);
		MPI_Fetch_and_op(&mine, &before, MPI_UINT64_T, r, 0, MPI_SUM, window);
		MPI_Win_unlock(r, window);
	}
	MPI_Barrier(MPI_COMM_WORLD);
	if (base[0] != (uint64_t)ranks * (uint64_t)(ranks + 1))
		die("fetch and op", 8);
	MPI_Win_free(&window);
	free(got);
}

/* All alive at once, messages in reverse order: each must stay in its own. */
static void communicators(int count)
{
	MPI_Comm *comm = buffer((size_t)count * sizeof(*comm));
	MPI_Request *request = buffer((size_t)count * sizeof(*request));
	int *in = buffer((size_t)count * sizeof(int)), *out = buffer((size_t)count * sizeof(int));
	int next = (rank + 1) % ranks, prev = (rank + ranks - 1) % ranks;

	for (int i = 0; i < count; i++)
		MPI_Comm_dup(MPI_COMM_WORLD, &comm[i]);
	for (int i = 0; i < count; i++)
		MPI_Irecv(&in[i], 1, MPI_INT, prev, 3, comm[i], &request[i]);
	for (int i = count; i-- > 0;) {
		out[i] = rank * 100000 + i;
		MPI_Send(&out[i], 1, MPI_INT, next, 3, comm[i]);
	}
	MPI_Waitall(count, request, MPI_STATUSES_IGNORE);
	for (int i = 0; i < count; i++) {
		if (in[i] != prev * 100000 + i)
			die("communicators", (size_t)i);
	}
	for (int i = 0; i < count; i++)
		MPI_Comm_free(&comm[i]);
	free(comm);
	free(request);
	free(in);
	free(out);
}

static void part(const char *name, double *since)
{
	double now;

	MPI_Barrier(MPI_COMM_WORLD);
	now = MPI_Wtime();
	if (rank == 0)
		printf("%-14s ok %6.2f s\n", name, now - *since);
	*since = now;
}

int main(int argc, char **argv)
{
	static void (*const sized[])(size_t) = { ring, bcast, allreduce, alltoall };
	static const char *const name[] = { "ring", "bcast", "allreduce", "alltoall" };
	size_t most = argc > 1 ? strtoull(argv[1], NULL, 0) : 16u << 20;
	int comms = argc > 2 ? atoi(argv[2]) : 300;
	double since;

	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &ranks);
	MPI_Barrier(MPI_COMM_WORLD);
	since = MPI_Wtime();
	for (int i = 0; i < 4; i++) {
		/* Around the limits of protocols, which lie near powers of two. */
		for (size_t bytes = 1; bytes <= most; bytes *= 4) {
			sized[i](bytes);
			sized[i](bytes - 1);
			sized[i](bytes + bytes / 3);
		}
		sized[i](most);
		part(name[i], &since);
	}
	any_source();
	part("any source", &since);
	persistent();
	part("persistent", &since);
	one_sided();
	part("one-sided", &since);
	communicators(comms);
	part("communicators", &since);
	if (rank == 0)
		printf("mpi_mix: %d ranks, all good\n", ranks);
	MPI_Finalize();
	return 0;
}
