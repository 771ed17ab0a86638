/* SPDX-License-Identifier: BSD-2-Clause */
/* stress [--seconds N] [--procs N] [--qps N] [--hosts N] [--fan [--cards N] [--rounds N]] [--seed N]
 *
 * Processes on raw verbs, all to all: random operations of random sizes between random queue pairs, every byte,
 * every count and every completion checked (stress_proc.c). With --fan one queue pair talks to all others
 * and they answer it. Exit 1 on any error.
 *
 * The preload library reads its settings once, at start: so each process is this program executed again, with the
 * address of its host, and not just a fork. */
#define _GNU_SOURCE
#include "stress.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void set_address(const struct stress_conf *conf, uint32_t self)
{
	char text[STRESS_CARDS_MAX * 16];
	size_t len = 0;

	if (conf->fan) {
		for (uint32_t c = 0; c < conf->cards; c++)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s127.1.%u.%u",
						c ? "," : "", self, c + 1);
	} else {
		snprintf(text, sizeof(text), "127.0.0.%u", 2 + self % conf->hosts);
	}
	setenv("WEFT_ADDR", text, 1);
}

static pid_t start(const char *program, const struct stress_conf *conf, int fd, uint32_t self)
{
	char number[16], file[16];
	pid_t pid = fork();

	if (pid)
		return pid;
	snprintf(number, sizeof(number), "%u", self);
	snprintf(file, sizeof(file), "%d", fd);
	set_address(conf, self);
	execl(program, "stress", "--child", number, "--shared", file, (char *)NULL);
	fprintf(stderr, "stress: cannot execute %s: %m\n", program);
	_exit(2);
}

static volatile sig_atomic_t out_of_time;

static void on_alarm(int number)
{
	(void)number;
	out_of_time = 1;
}

static int run(const char *program, struct stress_shared *shared, int fd)
{
	const struct stress_conf *conf = &shared->conf;
	struct sigaction action = { .sa_handler = on_alarm };
	pid_t pid[STRESS_PROCS_MAX];
	uint32_t bad = 0, left = conf->procs;

	sigaction(SIGALRM, &action, NULL);
	alarm(conf->seconds + 60);
	for (uint32_t i = 0; i < conf->procs; i++)
		pid[i] = start(program, conf, fd, i);
	while (left) {
		int status;
		pid_t done = wait(&status);

		if (done < 0 && errno == EINTR && out_of_time) {
			for (uint32_t i = 0; i < conf->procs; i++) {
				if (pid[i] <= 0)
					continue;
				fprintf(stderr, "stress: process %u hangs\n", i);
				kill(pid[i], SIGKILL);
			}
			bad++;
		}
		if (done < 0)
			continue;
		for (uint32_t i = 0; i < conf->procs; i++) {
			if (pid[i] != done)
				continue;
			pid[i] = 0;
			left--;
			if (!WIFEXITED(status) || WEXITSTATUS(status)) {
				bad++;
				atomic_store(&shared->failed, 1);
				fprintf(stderr, "stress: process %u: %s %d\n", i,
					WIFEXITED(status) ? "exit" : "signal",
					WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
			}
		}
	}
	return bad ? 1 : 0;
}

static int summary(const struct stress_shared *shared, int bad)
{
	const struct stress_conf *conf = &shared->conf;
	struct stress_count sum = { 0 };

	for (uint32_t i = 0; i < conf->procs; i++) {
		const struct stress_count *c = &shared->count[i];

		sum.sends += c->sends;
		sum.send_bytes += c->send_bytes;
		sum.writes += c->writes;
		sum.write_bytes += c->write_bytes;
		sum.wimms += c->wimms;
		sum.reads += c->reads;
		sum.read_bytes += c->read_bytes;
		sum.recvs += c->recvs;
		sum.errors += c->errors;
	}
	printf("stress: %u processes x %u QPs, seed %llu: %llu sends (%llu MB), %llu writes (%llu "
	       "MB, "
	       "%llu with immediate), %llu reads (%llu MB), %llu receives, %llu errors\n",
	       conf->procs, conf->cards * conf->qps, (unsigned long long)conf->seed,
	       (unsigned long long)sum.sends, (unsigned long long)sum.send_bytes >> 20,
	       (unsigned long long)sum.writes, (unsigned long long)sum.write_bytes >> 20,
	       (unsigned long long)sum.wimms, (unsigned long long)sum.reads,
	       (unsigned long long)sum.read_bytes >> 20, (unsigned long long)sum.recvs,
	       (unsigned long long)sum.errors);
	if (!sum.sends || !sum.recvs) {
		printf("stress: nothing happened\n");
		bad = 1;
	}
	return bad || sum.errors ? 1 : 0;
}

static uint32_t number(const char *text, uint32_t min, uint32_t max)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (*end || end == text || v < min || v > max) {
		fprintf(stderr, "stress: %s: not a number from %u to %u\n", text, min, max);
		exit(2);
	}
	return (uint32_t)v;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seconds", 1, NULL, 's' }, { "procs", 1, NULL, 'p' }, { "qps", 1, NULL, 'q' },
		{ "hosts", 1, NULL, 'h' },   { "cards", 1, NULL, 'c' }, { "rounds", 1, NULL, 'r' },
		{ "seed", 1, NULL, 'x' },    { "fan", 0, NULL, 'f' },   { "child", 1, NULL, 'C' },
		{ "shared", 1, NULL, 'S' },  { NULL, 0, NULL, 0 },
	};
	struct stress_conf conf = {
		.procs = 16, .cards = 1, .qps = 8, .hosts = 4, .seconds = 5, .rounds = 2
	};
	struct stress_shared *shared;
	int fd = -1, opt;
	uint32_t self = UINT32_MAX;

	conf.seed = (uint64_t)time(NULL);
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 's':
			conf.seconds = number(optarg, 1, 86400);
			break;
		case 'p':
			conf.procs = number(optarg, 2, STRESS_PROCS_MAX);
			break;
		case 'q':
			conf.qps = number(optarg, 1, 256);
			break;
		case 'h':
			conf.hosts = number(optarg, 1, 200);
			break;
		case 'c':
			conf.cards = number(optarg, 1, STRESS_CARDS_MAX);
			break;
		case 'r':
			conf.rounds = number(optarg, 1, 100000);
			break;
		case 'x':
			conf.seed = number(optarg, 0, UINT32_MAX);
			break;
		case 'f':
			conf.fan = true;
			break;
		case 'C':
			self = number(optarg, 0, STRESS_PROCS_MAX - 1);
			break;
		case 'S':
			fd = (int)number(optarg, 0, 65535);
			break;
		default:
			return 2;
		}
	}
	if (optind < argc || conf.procs * conf.cards * conf.qps > STRESS_QPS_MAX) {
		fprintf(stderr, "stress: too many %s\n", optind < argc ? "arguments" : "QPs");
		return 2;
	}
	if (fd < 0 && (fd = memfd_create("stress", 0)) >= 0 && ftruncate(fd, sizeof(*shared)) < 0)
		fd = -1;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED) {
		fprintf(stderr, "stress: no shared memory: %m\n");
		return 2;
	}
	if (self != UINT32_MAX)
		return stress_process(shared, self);
	shared->conf = conf;
	return summary(shared, run("/proc/self/exe", shared, fd));
}
