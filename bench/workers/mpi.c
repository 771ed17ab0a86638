/* SPDX-License-Identifier: BSD-2-Clause */
/* mpi [--quick]: what MPI programs do most, on whatever transport mpirun was told; rank 0 prints a line of JSON.
 *
 * The first and the last rank: latency (8 bytes, half an exchange), bandwidth and bandwidth in both directions (1 MiB,
 * windows of 16 answered by a word), message rate (64 bytes, windows of 64). All ranks: allreduce of 8 MiB of
 * doubles and alltoall of 64 KiB for each pair. Everything is done once without counting. */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BIG        (1 << 20)
#define BIG_WINDOW 16
#define TINY       64
#define WINDOW     64
#define REDUCED    (8 << 20)
#define PAIR       65536

static int rank, ranks, peer;
static char *from, *to;

static double latency(int times)
{
	double begin = MPI_Wtime();

	for (int i = 0; i < times; i++) {
		if (rank == 0) {
			MPI_Send(from, 8, MPI_CHAR, peer, 1, MPI_COMM_WORLD);
			MPI_Recv(to, 8, MPI_CHAR, peer, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
		} else {
			MPI_Recv(to, 8, MPI_CHAR, peer, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
			MPI_Send(from, 8, MPI_CHAR, peer, 1, MPI_COMM_WORLD);
		}
	}
	return (MPI_Wtime() - begin) / times / 2;
}

/* Windows of messages; each is answered by a word. Seconds for one window. */
static double windows(int times, int size, int window, int both)
{
	MPI_Request request[2 * WINDOW];
	double begin = MPI_Wtime();

	for (int i = 0; i < times; i++) {
		int n = 0;

		for (int k = 0; k < window && (rank || both); k++)
			MPI_Irecv(to + (size_t)k * (size_t)size, size, MPI_CHAR, peer, 2,
				  MPI_COMM_WORLD, &request[n++]);
		for (int k = 0; k < window && (!rank || both); k++)
			MPI_Isend(from + (size_t)k * (size_t)size, size, MPI_CHAR, peer, 2,
				  MPI_COMM_WORLD, &request[n++]);
		MPI_Waitall(n, request, MPI_STATUSES_IGNORE);
		if (rank)
			MPI_Send(from, 4, MPI_CHAR, peer, 3, MPI_COMM_WORLD);
		else
			MPI_Recv(to, 4, MPI_CHAR, peer, 3, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
	}
	return (MPI_Wtime() - begin) / times;
}

static void pairs(int effort)
{
	double lat, bw, both, rate;

	latency(1000);
	lat = latency(2500 * effort);
	windows(2, BIG, BIG_WINDOW, 1);
	bw = BIG_WINDOW * (double)BIG / windows(10 * effort, BIG, BIG_WINDOW, 0);
	both = 2 * BIG_WINDOW * (double)BIG / windows(6 * effort, BIG, BIG_WINDOW, 1);
	windows(50, TINY, WINDOW, 0);
	rate = WINDOW / windows(500 * effort, TINY, WINDOW, 0);
	if (!rank)
		printf("{\"latency_us\": %.3f, \"bw_gbytes\": %.4f, \"bibw_gbytes\": %.4f, "
		       "\"rate\": %.1f, ",
		       lat * 1e6, bw / 1e9, both / 1e9, rate);
}

static double allreduce(int times)
{
	double begin;

	MPI_Barrier(MPI_COMM_WORLD);
	begin = MPI_Wtime();
	for (int i = 0; i < times; i++)
		MPI_Allreduce(from, to, REDUCED / (int)sizeof(double), MPI_DOUBLE, MPI_SUM,
			      MPI_COMM_WORLD);
	return (MPI_Wtime() - begin) / times;
}

static double alltoall(int times)
{
	double begin;

	MPI_Barrier(MPI_COMM_WORLD);
	begin = MPI_Wtime();
	for (int i = 0; i < times; i++)
		MPI_Alltoall(from, PAIR, MPI_CHAR, to, PAIR, MPI_CHAR, MPI_COMM_WORLD);
	return (MPI_Wtime() - begin) / times;
}

int main(int argc, char **argv)
{
	size_t size = (size_t)BIG * BIG_WINDOW;
	int effort = argc > 1 && !strcmp(argv[1], "--quick") ? 1 : 4;
	double reduce, exchange;

	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &ranks);
	if (ranks < 2 || (size_t)ranks * PAIR > size) {
		fprintf(stderr, "mpi: 2 to %zu ranks\n", size / PAIR);
		MPI_Abort(MPI_COMM_WORLD, 2);
	}
	from = malloc(size);
	to = malloc(size);
	if (!from || !to)
		MPI_Abort(MPI_COMM_WORLD, 2);
	memset(from, 0, size);
	memset(to, 0, size);
	peer = rank ? 0 : ranks - 1;
	if (rank == 0 || rank == ranks - 1)
		pairs(effort);
	allreduce(1);
	reduce = allreduce(5 * effort);
	alltoall(2);
	exchange = alltoall(50 * effort);
	if (!rank)
		printf("\"ranks\": %d, \"allreduce_ms\": %.4f, \"alltoall_us\": %.2f}\n", ranks,
		       reduce * 1e3, exchange * 1e6);
	free(from);
	free(to);
	MPI_Finalize();
	return 0;
}
