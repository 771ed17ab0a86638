/* SPDX-License-Identifier: BSD-2-Clause */
/* Two processes use the plugin as two ranks of NCCL would: handles travel by a pipe, receives are posted ahead and in
 * groups, several requests are under way, and sizes are what collectives make of them. Then what goes wrong: a peer that
 * is killed, one that closes, a close with requests under way, arguments that cannot be.
 *
 * test_nccl LIBRARY WIRE */
#define _GNU_SOURCE
#include "face.h"
#include "fake_cuda.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_S 20.0

#ifdef __has_feature
#define HAS(x) __has_feature(x)
#else
#define HAS(x) 0
#endif
#if defined(__SANITIZE_THREAD__) || HAS(thread_sanitizer)
#define TSAN 1
#else
#define TSAN 0
#endif
#define BUFFER (4u << 20)

static const char *library, *cuda_library;
static int number, failed;
static enum {
	HOST,
	GPU
} memory;

/* The stand-in's, once a process has loaded it. */
static struct {
	__typeof__(fake_cuda_alloc) *alloc;
	__typeof__(fake_cuda_host) *host;
	__typeof__(fake_cuda_free) *free;
	__typeof__(fake_cuda_write) *write;
	__typeof__(fake_cuda_read) *read;
	__typeof__(fake_cuda_mapped) *mapped;
	__typeof__(fake_cuda_copied) *copied;
} gpu;

struct side {
	struct face f;
	int in, out; /* Pipes from and to the other one. */
	void *listener, *send, *recv;
	uint8_t *sbuf, *rbuf;
	void *smem, *rmem;
};

/* The plugin asks by how many cores it may use threads. It is told the test's word. */
__attribute__((visibility("default"))) int sched_getaffinity(pid_t pid, size_t len, cpu_set_t *set)
{
	const char *cores = getenv("TEST_CORES");

	(void)pid;
	memset(set, 0, len);
	for (int i = 0; i < (cores ? atoi(cores) : 2); i++)
		CPU_SET(i, set);
	return 0;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

#define CHECK(x)                                                                           \
	do {                                                                               \
		if (!(x)) {                                                                \
			printf("# pid %d, line %d: not so: %s\n", getpid(), __LINE__, #x); \
			fflush(stdout);                                                    \
			_exit(1);                                                          \
		}                                                                          \
	} while (0)

static void give(const struct side *s, const void *data, size_t len)
{
	CHECK(write(s->out, data, len) == (ssize_t)len);
}

static void take(const struct side *s, void *data, size_t len)
{
	for (size_t got = 0; got < len;) {
		ssize_t n = read(s->in, (char *)data + got, len - got);

		CHECK(n > 0);
		got += (size_t)n;
	}
}

static void meet(const struct side *s)
{
	char c = 'x';

	give(s, &c, 1);
	take(s, &c, 1);
}

static void load_cuda(void)
{
	void *lib = dlopen(cuda_library, RTLD_NOW | RTLD_GLOBAL);

	CHECK(lib);
	*(void **)&gpu.alloc = dlsym(lib, "fake_cuda_alloc");
	*(void **)&gpu.host = dlsym(lib, "fake_cuda_host");
	*(void **)&gpu.free = dlsym(lib, "fake_cuda_free");
	*(void **)&gpu.write = dlsym(lib, "fake_cuda_write");
	*(void **)&gpu.read = dlsym(lib, "fake_cuda_read");
	*(void **)&gpu.mapped = dlsym(lib, "fake_cuda_mapped");
	*(void **)&gpu.copied = dlsym(lib, "fake_cuda_copied");
	CHECK(gpu.alloc && gpu.host && gpu.free && gpu.write && gpu.read && gpu.mapped &&
	      gpu.copied);
}

static uint8_t *allocate(void)
{
	uint8_t *p;

	if (memory == GPU)
		return gpu.alloc(0, BUFFER);
	p = mmap(NULL, BUFFER, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED);
	return p;
}

static int threads_of_cards(void)
{
	DIR *dir = opendir("/proc/self/task");
	const struct dirent *e;
	int n = 0;

	while (dir && (e = readdir(dir))) {
		char path[300], name[32] = "";
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", e->d_name);
		f = fopen(path, "re");
		if (f && fgets(name, sizeof(name), f))
			n += !strcmp(name, "weft-nccl\n");
		if (f)
			fclose(f);
	}
	if (dir)
		closedir(dir);
	return n;
}

static void open_side(struct side *s, int version)
{
	int type = memory == GPU ? NCCL_PTR_CUDA : NCCL_PTR_HOST;
	uint8_t mine[NCCL_HANDLE_MAX], theirs[NCCL_HANDLE_MAX];
	struct nccl_props_v9 props;
	double until = now() + PATIENCE_S;
	int n;

	s->f = face_open(library, version);
	CHECK(!face_init(&s->f));
	CHECK(!face_devices(&s->f, &n) && n >= 1);
	CHECK(!face_props(&s->f, 0, &props));
	CHECK(props.name && props.speed > 0 && props.comms_max > 0 && props.recvs_max >= 1 &&
	      props.ptr_support & NCCL_PTR_HOST && props.reg_is_global == 1);
	CHECK(face_props(&s->f, n, &props));
	CHECK(!face_listen(&s->f, 0, mine, &s->listener));
	give(s, mine, sizeof(mine));
	take(s, theirs, sizeof(theirs));
	while (!s->send || !s->recv) {
		if (!s->send)
			CHECK(!face_connect(&s->f, 0, theirs, &s->send));
		if (!s->recv)
			CHECK(!face_accept(&s->f, s->listener, &s->recv));
		CHECK(now() < until);
	}
	CHECK(!face_close_listen(&s->f, s->listener));
	CHECK(!getenv("TEST_CORES") == !threads_of_cards());
	s->sbuf = allocate();
	s->rbuf = allocate();
	CHECK(!face_reg(&s->f, s->send, s->sbuf, BUFFER, type, &s->smem));
	CHECK(!face_reg(&s->f, s->recv, s->rbuf, BUFFER, type, &s->rmem));
}

static void close_side(struct side *s)
{
	CHECK(!face_dereg(&s->f, s->send, s->smem));
	CHECK(!face_dereg(&s->f, s->recv, s->rmem));
	CHECK(!face_close_send(&s->f, s->send));
	CHECK(!face_close_recv(&s->f, s->recv));
}

static void *must_irecv(struct side *s, int n, size_t *off, size_t *size, int *tag)
{
	double until = now() + PATIENCE_S;
	void *data[8], *mem[8], *req = NULL;

	for (int i = 0; i < n; i++) {
		data[i] = s->rbuf + off[i];
		mem[i] = s->rmem;
	}
	while (!req) {
		CHECK(!face_irecv(&s->f, s->recv, n, data, size, tag, mem, &req));
		CHECK(now() < until);
	}
	return req;
}

static void *must_isend(struct side *s, size_t off, size_t size, int tag)
{
	double until = now() + PATIENCE_S;
	void *req = NULL;

	while (!req) {
		sched_yield();
		CHECK(!face_isend(&s->f, s->send, s->sbuf + off, size, tag, s->smem, &req));
		CHECK(now() < until);
	}
	return req;
}

static void must_finish(struct side *s, void *req, int *sizes)
{
	double until = now() + PATIENCE_S;
	int done = 0;

	while (!done) {
		sched_yield(); /* As NCCL does. */
		CHECK(!face_test(&s->f, req, &done, sizes));
		CHECK(now() < until);
	}
}

static uint8_t byte_of(uint32_t seed, size_t i)
{
	uint32_t x = seed * 2654435761u + (uint32_t)i * 40503u;

	return (uint8_t)(x >> 16 ^ x >> 7);
}

static uint8_t scratch[BUFFER];

static void store(uint8_t *p, const uint8_t *from, size_t len)
{
	if (memory == GPU)
		gpu.write(p, from, len);
	else
		memcpy(p, from, len);
}

static const uint8_t *load(const uint8_t *p, size_t len)
{
	if (memory == HOST)
		return p;
	gpu.read(p, scratch, len);
	return scratch;
}

static void fill(uint8_t *p, size_t len, uint32_t seed)
{
	for (size_t i = 0; i < len; i++)
		scratch[i] = byte_of(seed, i);
	store(p, scratch, len);
}

static void clear(uint8_t *p, size_t len)
{
	memset(scratch, 0xee, len);
	store(p, scratch, len);
}

static bool is_filled(const uint8_t *p, size_t len, uint32_t seed)
{
	const uint8_t *is = load(p, len);

	for (size_t i = 0; i < len; i++)
		if (is[i] != byte_of(seed, i))
			return false;
	return true;
}

/* Cases. Both sides run the same function; `who` is 0 or 1. */

static void exchange(struct side *s, int who, size_t room, size_t size, uint32_t seed)
{
	size_t zero = 0;
	int tag = (int)seed, got = -1;
	void *rreq, *sreq;

	fill(s->sbuf, size, seed * 2 + (uint32_t)who);
	clear(s->rbuf, size + 1 < BUFFER ? size + 1 : size);
	rreq = must_irecv(s, 1, &zero, &room, &tag);
	sreq = must_isend(s, 0, size, tag);
	must_finish(s, sreq, NULL);
	must_finish(s, rreq, &got);
	CHECK(got == (int)size);
	CHECK(is_filled(s->rbuf, size, seed * 2 + (uint32_t)!who));
	if (size + 1 < BUFFER)
		CHECK(*load(s->rbuf + size, 1) == 0xee);
}

static void case_sizes(struct side *s, int who)
{
	static const size_t sizes[] = {
		0, 1, 8, 4096, 65536, 65537, 131072, 524288, 1048576, BUFFER
	};
	uint32_t seed = 1;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		exchange(s, who, BUFFER, sizes[i], seed++);
	exchange(s, who, 512, 512, seed++);
	for (int i = 0; i < 500; i++)
		exchange(s, who, 64, 8, seed++);
}

/* A ring of slots as NCCL has it: eight steps, receives posted ahead, everything in order. */
static void case_pipeline(struct side *s, int who)
{
	enum {
		DEPTH = 8,
		STEPS = 200,
		SLOT = 100000
	};
	void *rreq[DEPTH] = { NULL }, *sreq[DEPTH] = { NULL };
	uint32_t posted = 0, sent = 0, received = 0, acked = 0;
	double until = now() + PATIENCE_S;

	while (received < STEPS || acked < STEPS) {
		int done, got;

		if (posted < STEPS && posted - received < DEPTH) {
			size_t off = posted % DEPTH * SLOT, size = SLOT;
			int tag = 7;

			rreq[posted % DEPTH] = must_irecv(s, 1, &off, &size, &tag);
			posted++;
		}
		if (sent < STEPS && sent - acked < DEPTH) {
			size_t off = sent % DEPTH * SLOT;
			void **req = &sreq[sent % DEPTH];

			fill(s->sbuf + off, 1000 + sent, sent * 2 + (uint32_t)who);
			CHECK(!face_isend(&s->f, s->send, s->sbuf + off, 1000 + sent, 7, s->smem,
					  req));
			sent += *req != NULL;
		}
		if (acked < sent) {
			CHECK(!face_test(&s->f, sreq[acked % DEPTH], &done, NULL));
			acked += done;
		}
		if (received < posted) {
			CHECK(!face_test(&s->f, rreq[received % DEPTH], &done, &got));
			if (done) {
				CHECK(got == (int)(1000 + received));
				CHECK(is_filled(s->rbuf + received % DEPTH * SLOT, 1000 + received,
						received * 2 + (uint32_t)!who));
				received++;
			}
		}
		CHECK(now() < until);
	}
}

/* Eight receives in one request, sent to in another order. */
static void case_group(struct side *s, int who)
{
	size_t off[8], size[8];
	int tag[8], got[8];
	void *rreq, *sreq[8];

	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 8; i++) {
			off[i] = (size_t)i * 200000;
			size[i] = 200000;
			tag[i] = 100 + i;
			fill(s->sbuf + off[i], (size_t)(i * 20011),
			     (uint32_t)(round * 16 + i * 2 + who));
		}
		rreq = must_irecv(s, 8, off, size, tag);
		for (int i = 0; i < 8; i++) {
			int k = (i * 3 + round) % 8;

			sreq[k] = must_isend(s, off[k], (size_t)(k * 20011), 100 + k);
		}
		for (int i = 0; i < 8; i++)
			must_finish(s, sreq[i], NULL);
		must_finish(s, rreq, got);
		for (int i = 0; i < 8; i++) {
			CHECK(got[i] == i * 20011);
			CHECK(is_filled(s->rbuf + off[i], (size_t)got[i],
					(uint32_t)(round * 16 + i * 2 + !who)));
		}
	}
}

/* A send that no receive was posted for is asked to come again, and nobody waits. */
static void case_not_yet(struct side *s, int who)
{
	size_t zero = 0, room = 100;
	int tag = 3, got;
	void *req = NULL;

	if (!who) {
		for (int i = 0; i < 1000; i++) {
			CHECK(!face_isend(&s->f, s->send, s->sbuf, 100, 3, s->smem, &req));
			CHECK(!req);
		}
		meet(s);
		must_finish(s, must_isend(s, 0, 100, 3), NULL);
	} else {
		meet(s);
		req = must_irecv(s, 1, &zero, &room, &tag);
		must_finish(s, req, &got);
		CHECK(got == 100);
	}
	meet(s);
}

/* NCCL is told within seconds, on the side that sends and on the side that receives. */
static double fails_after(struct side *s, bool sending)
{
	size_t zero = 0, room = BUFFER;
	double start = now();
	int tag = 1, rc = 0, done = 0;
	void *req = sending ? NULL : must_irecv(s, 1, &zero, &room, &tag);

	while (!rc) {
		if (!sending || req)
			rc = face_test(&s->f, req, &done, NULL);
		else
			rc = face_isend(&s->f, s->send, s->sbuf, BUFFER, 1, s->smem, &req);
		CHECK(!done);
		CHECK(now() - start < PATIENCE_S);
	}
	CHECK(rc == NCCL_REMOTE_ERROR);
	return now() - start;
}

static void case_killed(struct side *s, int who)
{
	if (who) {
		meet(s);
		raise(SIGKILL);
	}
	meet(s);
	printf("# a dead peer: known to a receiver after %.1f s\n", fails_after(s, false));
	printf("# and to a sender after %.1f s\n", fails_after(s, true));
}

static void case_gone(struct side *s, int who)
{
	meet(s);
	if (who) {
		CHECK(!face_close_send(&s->f, s->send));
		CHECK(!face_close_recv(&s->f, s->recv));
		meet(s);
		/* NCCL's threads go on polling other comms; here it is the helper that answers, or nobody. */
		for (double until = now() + 3; now() < until;) {
			void *l, *c;
			uint8_t handle[NCCL_HANDLE_MAX];

			CHECK(!face_listen(&s->f, 0, handle, &l));
			CHECK(!face_accept(&s->f, l, &c) && !c);
			CHECK(!face_close_listen(&s->f, l));
		}
		_exit(0);
	}
	meet(s);
	CHECK(fails_after(s, false) < 3);
}

/* An abort: everything is closed with requests under way, in both directions, and the process goes on. */
static void case_closed_under_load(struct side *s, int who)
{
	size_t zero = 0, room = BUFFER / 2;
	int tag = 5;

	for (int i = 0; i < 8; i++)
		must_irecv(s, 1, &zero, &room, &tag);
	for (int i = 0; i < 6; i++)
		must_isend(s, 0, BUFFER / 2, 5);
	meet(s); /* Who is closed to cannot send. */
	if (who)
		meet(s);
	close_side(s);
	if (!who)
		meet(s);
	/* And it can be opened again. */
	memset(&s->listener, 0, sizeof(*s) - offsetof(struct side, listener));
	open_side(s, s->f.version);
	exchange(s, who, BUFFER, 100000, 3);
	close_side(s);
	meet(s);
	_exit(0);
}

static void case_arguments(struct side *s, int who)
{
	uint8_t handle[NCCL_HANDLE_MAX] = { 1, 2, 3 };
	void *comm, *data[9], *mem[9];
	size_t size[9];
	int tag[9];

	(void)who;
	for (int i = 0; i < 9; i++) {
		data[i] = s->rbuf;
		mem[i] = s->rmem;
		size[i] = 100;
		tag[i] = 0;
	}
	CHECK(face_connect(&s->f, 0, handle, &comm) && !comm);
	CHECK(face_connect(&s->f, 99, handle, &comm) && !comm);
	CHECK(face_listen(&s->f, -1, handle, &comm));
	CHECK(face_irecv(&s->f, s->recv, 0, data, size, tag, mem, &comm));
	CHECK(face_irecv(&s->f, s->recv, 9, data, size, tag, mem, &comm));
	CHECK(face_reg(&s->f, s->send, (void *)(uintptr_t)4096, 100, NCCL_PTR_HOST, &comm));
	exchange(s, who, 64, 64, 9);
}

/* GPU memory */

static void case_direct(struct side *s, int who)
{
	exchange(s, who, BUFFER, 100, 1);
	exchange(s, who, BUFFER, BUFFER, 2);
	case_pipeline(s, who);
	case_group(s, who);
	CHECK(gpu.copied() > BUFFER);
	CHECK(gpu.mapped() == 1);
	meet(s);
	/* Memory that is registered no more is soon mapped no more. */
	CHECK(!face_dereg(&s->f, s->recv, s->rmem));
	for (double until = now() + PATIENCE_S; gpu.mapped();) {
		CHECK(now() < until);
		usleep(1000);
	}
	gpu.free(s->rbuf);
	s->rbuf = gpu.alloc(0, BUFFER);
	CHECK(!face_reg(&s->f, s->recv, s->rbuf, BUFFER, NCCL_PTR_CUDA, &s->rmem));
	meet(s);
	exchange(s, who, BUFFER, 100000, 3);
}

/* From pinned memory to a GPU, as NCCL's smallest messages go. */
static void case_pinned(struct side *s, int who)
{
	CHECK(!face_dereg(&s->f, s->send, s->smem));
	s->sbuf = gpu.host(BUFFER);
	CHECK(!face_reg(&s->f, s->send, s->sbuf, BUFFER, NCCL_PTR_HOST, &s->smem));
	exchange(s, who, BUFFER, 8, 1);
	exchange(s, who, BUFFER, BUFFER, 2);
	case_group(s, who);
	CHECK(gpu.copied() > BUFFER);
}

static void case_staged(struct side *s, int who)
{
	exchange(s, who, BUFFER, 0, 4);
	exchange(s, who, BUFFER, 100, 1);
	exchange(s, who, BUFFER, BUFFER, 2);
	case_group(s, who);
	CHECK(!gpu.copied());
}

/* The one who sends is told, and so is the one who waits: when the other closes, as NCCL does then. */
static void case_copy_fails(struct side *s, int who)
{
	size_t zero = 0, room = BUFFER;
	int tag = 1, rc = 0, done = 0;
	double until = now() + PATIENCE_S;
	void *req;

	if (who) {
		req = must_irecv(s, 1, &zero, &room, &tag);
		while (!(rc = face_test(&s->f, req, &done, NULL)))
			CHECK(!done && now() < until);
		CHECK(rc == NCCL_REMOTE_ERROR);
		_exit(0);
	}
	req = must_isend(s, 0, 1 << 20, 1);
	while (!(rc = face_test(&s->f, req, &done, NULL)))
		CHECK(!done && now() < until);
	CHECK(rc == NCCL_REMOTE_ERROR);
	close_side(s);
	_exit(0);
}

/* Freed, but registered still: the request fails, not the process. */
static void case_freed(struct side *s, int who)
{
	if (!who)
		gpu.free(s->sbuf);
	case_copy_fails(s, who);
}

/* Running */

static void child(int who, int pipes[2][2], int version, void (*fn)(struct side *, int))
{
	struct side s = { .in = pipes[who][0], .out = pipes[!who][1] };

	close(pipes[!who][0]);
	close(pipes[who][1]);
	setenv("WEFT_ADDR", who ? "127.0.0.3" : "127.0.0.2", 1);
	alarm(120);
	if (memory == GPU)
		load_cuda();
	open_side(&s, version);
	fn(&s, who);
	close_side(&s);
	/* Whoever is done waits for the other, as the end of a job does. */
	meet(&s);
	_exit(0);
}

static void run(const char *name, int version, void (*fn)(struct side *, int), bool dies)
{
	int pipes[2][2], status, bad = 0;
	pid_t pid[2];

	fflush(stdout);
	if (pipe(pipes[0]) || pipe(pipes[1]))
		abort();
	for (int who = 0; who < 2; who++) {
		pid[who] = fork();
		if (!pid[who])
			child(who, pipes, version, fn);
	}
	for (int i = 0; i < 2; i++) {
		close(pipes[i][0]);
		close(pipes[i][1]);
	}
	for (int who = 0; who < 2; who++) {
		bool killed;

		waitpid(pid[who], &status, 0);
		killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
		bad += dies && who ? !killed : status != 0;
	}
	failed += bad != 0;
	printf("%s %d - %s (v%d)\n", bad ? "not ok" : "ok", ++number, name, version);
}

/* The survivor has nobody to meet. */
static void case_killed_alone(struct side *s, int who)
{
	case_killed(s, who);
	_exit(0);
}

static void case_gone_alone(struct side *s, int who)
{
	case_gone(s, who);
	_exit(0);
}

static void run_gpu(bool direct)
{
	if (direct) {
		run("GPU to GPU", 11, case_direct, false);
		run("pinned memory to GPU", 11, case_pinned, false);
		setenv("FAKE_CUDA", "vmm", 1);
		run("GPU to GPU, mappings", 11, case_direct, false);
		setenv("FAKE_CUDA", "noipc", 1);
		run("GPU, cannot be mapped", 11, case_staged, false);
		setenv("FAKE_CUDA", "vmm,noipc", 1);
		run("GPU, mappings that cannot be mapped", 11, case_staged, false);
		unsetenv("FAKE_CUDA");
		setenv("WEFT_GPU", "staged", 1);
		run("GPU, staged by request", 11, case_staged, false);
		unsetenv("WEFT_GPU");
	} else {
		run("GPU by UDP", 11, case_staged, false);
	}
	run("GPU, freed", 11, case_freed, false);
	setenv("FAKE_CUDA", "foreign", 1);
	run("GPU, another context", 11, case_copy_fails, false);
	setenv("FAKE_CUDA", "copy", 1);
	run("GPU, copies fail", 11, case_copy_fails, false);
	setenv("FAKE_CUDA", "submit", 1);
	run("GPU, copies cannot be started", 11, case_copy_fails, false);
	unsetenv("FAKE_CUDA");
	setenv("WEFT_CARDS", "4", 1);
	run(direct ? "GPU to GPU, four cards" : "GPU by UDP, four cards", 11,
	    direct ? case_group : case_staged, false);
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	if (argc < 4)
		return 2;
	library = argv[1];
	cuda_library = argv[2];
	setenv("WEFT_WIRE", argv[3], 1);
	setenv("WEFT_DEAD_AFTER", "1500ms", 1);
	for (int v = 7; v <= 11; v++)
		run("sizes", v, case_sizes, false);
	run("pipeline", 11, case_pipeline, false);
	run("group", 9, case_group, false);
	run("group", 11, case_group, false);
	run("not yet", 8, case_not_yet, false);
	run("arguments", 11, case_arguments, false);
	run("arguments", 8, case_arguments, false);
	run("gone", 11, case_gone_alone, false);
	run("closed under load", 11, case_closed_under_load, false);
	run("killed", 11, case_killed_alone, true);
	setenv("WEFT_CARDS", "4", 1);
	/* What a receive is allowed to fill is told by one card, and filled by another, maybe in the helper: that the other
	 * process is between the two, a race detector cannot know. */
	if (TSAN)
		setenv("WEFT_HELPER", "no", 1);
	run("sizes, four cards", 11, case_sizes, false);
	run("pipeline, four cards", 11, case_pipeline, false);
	run("group, four cards", 11, case_group, false);
	unsetenv("WEFT_HELPER");
	run("closed under load, four cards", 11, case_closed_under_load, false);
	if (!strcmp(argv[3], "udp")) {
		setenv("TEST_CORES", "8", 1);
		run("sizes, four threads", 11, case_sizes, false);
		run("pipeline, four threads", 11, case_pipeline, false);
		run("group, four threads", 11, case_group, false);
		run("not yet, four threads", 8, case_not_yet, false);
		run("gone, four threads", 11, case_gone_alone, false);
		run("closed under load, four threads", 11, case_closed_under_load, false);
		run("killed, four threads", 11, case_killed_alone, true);
		unsetenv("TEST_CORES");
	}
	unsetenv("WEFT_CARDS");
	memory = GPU;
	run_gpu(!strcmp(argv[3], "auto"));
	printf("1..%d\n", number);
	return failed ? 1 : 0;
}
