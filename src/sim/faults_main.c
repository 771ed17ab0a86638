/* SPDX-License-Identifier: BSD-2-Clause */
/* `weft sim faults`: arguments, progress, verdict. */
#include "base/assert.h"
#include "base/units.h"
#include "sim/jobs.h"
#include "sim/sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEEDS_MAX        100000000u
#define TRACED_SEEDS_MAX 20u

static const char usage[] =
	"usage: weft sim faults --seeds A..B [ARGUMENT...]\n"
	"\n"
	"Each seed makes a few hosts, a workload and a set of faults; an oracle judges the run by "
	"what\n"
	"the engine promises. Exit 0: all held, 1: a seed failed (the command that replays it is\n"
	"printed), 2: could not run.\n"
	"\n"
	"  --seeds A..B           the seeds to run, or A alone\n"
	"  --phase safety|liveness|both\n"
	"                         faults until the end, or faults that heal, after which "
	"everything\n"
	"                         must finish soon; both by default\n"
	"  --only FAULT[,FAULT]   with these faults only\n"
	"  --list-faults          print their names\n"
	"  --trace FILE           write what happened, packet by packet (20 seeds at most)\n"
	"  --hash                 print a hash of each trace: the same with every compiler\n"
	"  --check-determinism    run each seed twice and compare\n"
	"  --jobs N               processes at a time (the number of cores)\n"
	"  --verbose              say how often each fault took place, also for few seeds\n"
	"  --json                 the result for programs\n";

struct options {
	uint64_t first, last;
	bool safety, liveness;
	const char *trace;
	uint64_t jobs;
	bool hash, json, verbose, list, twice, help;
	bool have_seeds, have_only;
	bool only[WEFT_FAULT_COUNT];
	const char *only_text;
};

struct failure {
	uint32_t job;
	struct weft_violation v; /* Not valid if `how` is set. */
	char how[64];
	uint32_t more; /* Violations beyond the first. */
};

struct session {
	const struct options *opt;
	struct weft_job *jobs; /* owns */
	uint64_t *hash; /* owns; by job */
	uint64_t seeds;
	uint32_t len, done, failed_seeds;
	bool *seed_failed; /* owns; by seed less the first */
	struct failure *failures; /* owns */
	uint32_t failures_len, failures_cap;
	uint64_t packets, messages, events;
	uint64_t hits[WEFT_FAULT_COUNT];
	uint32_t runs_hit[WEFT_FAULT_COUNT], runs_chosen[WEFT_FAULT_COUNT];
	bool tty;
};

static int complain(const char *what, const char *arg)
{
	fprintf(stderr, "weft sim faults: %s%s%.64s\n", what, *arg ? ": " : "", arg);
	return 2;
}

/* "A..B", or "A" alone. */
static bool parse_seeds(const char *text, struct options *opt)
{
	const char *dots = strstr(text, "..");
	char first[24];
	size_t n = dots ? (size_t)(dots - text) : strlen(text);

	if (n >= sizeof(first))
		return false;
	memcpy(first, text, n);
	first[n] = '\0';
	if (!weft_parse_u64(first, &opt->first))
		return false;
	opt->last = opt->first;
	if (dots && !weft_parse_u64(dots + 2, &opt->last))
		return false;
	return opt->last >= opt->first && opt->last < UINT64_MAX / 4 &&
	       opt->last - opt->first < SEEDS_MAX;
}

static bool parse_phase(const char *text, struct options *opt)
{
	opt->safety = !strcmp(text, "safety") || !strcmp(text, "both");
	opt->liveness = !strcmp(text, "liveness") || !strcmp(text, "both");
	return opt->safety || opt->liveness;
}

/* 0, or 2 after a complaint. */
static int parse_only(const char *text, struct options *opt)
{
	opt->have_only = true;
	opt->only_text = text;
	while (*text) {
		size_t n = strcspn(text, ",");
		char name[32];
		uint32_t fault;

		if (n >= sizeof(name))
			return complain("no such fault", text);
		memcpy(name, text, n);
		name[n] = '\0';
		fault = weft_sim_fault_find(name);
		if (fault == WEFT_FAULT_COUNT)
			return complain("no such fault (see --list-faults)", name);
		if (!weft_sim_fault_is_choice(fault))
			return complain(
				"this fault is a consequence of others and cannot be asked for",
				name);
		opt->only[fault] = true;
		text += n + (text[n] == ',');
	}
	return 0;
}

static bool parse_flag(const char *arg, struct options *opt)
{
	struct {
		const char *name;
		bool *flag;
	} flags[] = {
		{ "--hash", &opt->hash },
		{ "--json", &opt->json },
		{ "--verbose", &opt->verbose },
		{ "--list-faults", &opt->list },
		{ "--check-determinism", &opt->twice },
		{ "--help", &opt->help },
		{ "-h", &opt->help },
	};

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(flags); i++) {
		if (strcmp(arg, flags[i].name))
			continue;
		*flags[i].flag = true;
		return true;
	}
	return false;
}

/* 0, or 2 after a complaint. */
static int parse_value(const char *name, const char *value, struct options *opt)
{
	if (!strcmp(name, "--seeds")) {
		opt->have_seeds = true;
		return parse_seeds(value, opt) ? 0
					       : complain("not a range of seeds (1..2000)", value);
	}
	if (!strcmp(name, "--phase"))
		return parse_phase(value, opt)
			       ? 0
			       : complain("not a phase (safety, liveness or both)", value);
	if (!strcmp(name, "--jobs"))
		return weft_parse_u64(value, &opt->jobs) && opt->jobs >= 1 && opt->jobs <= 256
			       ? 0
			       : complain("not a number of jobs (1 to 256)", value);
	if (!strcmp(name, "--trace")) {
		opt->trace = value;
		return 0;
	}
	return parse_only(value, opt);
}

static int parse(int argc, char **argv, struct options *opt)
{
	static const char *const valued[] = { "--seeds", "--phase", "--jobs", "--trace", "--only" };

	for (int i = 1; i < argc; i++) {
		bool has_value = false;
		int rc;

		if (parse_flag(argv[i], opt))
			continue;
		for (size_t k = 0; k < WEFT_ARRAY_SIZE(valued); k++)
			has_value = has_value || !strcmp(argv[i], valued[k]);
		if (!has_value)
			return complain("unknown argument", argv[i]);
		if (i + 1 == argc)
			return complain("a value is missing after", argv[i]);
		rc = parse_value(argv[i], argv[i + 1], opt);
		if (rc)
			return rc;
		i++;
	}
	if (opt->list || opt->help)
		return 0;
	if (!opt->have_seeds)
		return complain("which seeds? (--seeds 1..2000)", "");
	if (opt->trace && opt->last - opt->first >= TRACED_SEEDS_MAX)
		return complain("--trace is for 20 seeds at most, a trace has megabytes", "");
	return 0;
}

static const char *phase_name(const struct weft_job *job)
{
	return job->liveness ? "liveness" : "safety";
}

static void print_replay(FILE *to, const struct session *s, const struct weft_job *job)
{
	fprintf(to, "weft sim faults --seeds %llu..%llu --phase %s", (unsigned long long)job->seed,
		(unsigned long long)job->seed, phase_name(job));
	if (s->opt->have_only)
		fprintf(to, " --only %s", s->opt->only_text);
	fprintf(to, " --trace FILE");
}

static void add_failure(struct session *s, struct failure f)
{
	uint64_t i = s->jobs[f.job].seed - s->opt->first;

	if (s->failures_len == s->failures_cap) {
		s->failures_cap = s->failures_cap ? 2 * s->failures_cap : 16;
		s->failures = realloc(s->failures, s->failures_cap * sizeof(*s->failures));
		weft_assert(s->failures);
	}
	s->failures[s->failures_len++] = f;
	s->failed_seeds += !s->seed_failed[i];
	s->seed_failed[i] = true;
}

static void on_result(void *user, const struct weft_job_result *r)
{
	struct session *s = user;
	struct failure f = { .job = r->job };

	if (r->job >= s->len) {
		/* A worker that died between two jobs, as after a leak found at its end. */
		f.job = s->len - 1;
		memcpy(f.how, r->how, sizeof(f.how));
		add_failure(s, f);
		return;
	}
	s->done++;
	if (r->crashed || r->differs) {
		snprintf(f.how, sizeof(f.how), "%s",
			 r->crashed ? r->how : "I14: the same seed gave another trace");
		add_failure(s, f);
	}
	if (r->crashed)
		return;
	s->hash[r->job] = r->run.hash;
	s->packets += r->run.report.packets;
	s->messages += r->run.report.messages;
	s->events += r->run.events;
	for (uint32_t i = 0; i < WEFT_FAULT_COUNT; i++) {
		s->hits[i] += r->run.hits[i];
		s->runs_hit[i] += r->run.hits[i] != 0;
		s->runs_chosen[i] += r->run.chosen[i];
	}
	if (r->run.report.count) {
		f.v = r->run.report.list[0];
		f.more = r->run.report.count - 1;
		add_failure(s, f);
	}
	if (s->opt->verbose && r->run.report.count)
		for (uint32_t i = 0; i < WEFT_MIN(r->run.report.count, (uint32_t)WEFT_ORACLE_KEEP);
		     i++)
			fprintf(stderr, "seed %llu %s: %s at %llu ns, wr %d: %s\n",
				(unsigned long long)s->jobs[r->job].seed,
				phase_name(&s->jobs[r->job]),
				weft_invariant_name(r->run.report.list[i].inv),
				(unsigned long long)r->run.report.list[i].at,
				(int)r->run.report.list[i].wr, r->run.report.list[i].text);
}

static void on_idle(void *user)
{
	struct session *s = user;

	if (s->tty)
		fprintf(stderr, "\r%u of %u runs, %u failed ", s->done, s->len, s->failed_seeds);
}

static int by_job(const void *a, const void *b)
{
	const struct failure *fa = a, *fb = b;

	return fa->job < fb->job ? -1 : fa->job > fb->job;
}

static void print_failures(const struct session *s)
{
	for (uint32_t i = 0; i < s->failures_len; i++) {
		const struct failure *f = &s->failures[i];
		const struct weft_job *job = &s->jobs[f->job];

		printf("seed %llu %s: ", (unsigned long long)job->seed, phase_name(job));
		if (f->how[0])
			printf("%s\n", f->how);
		else if (f->v.wr == WEFT_TRACE_NO_WR)
			printf("%s at %llu us: %s", weft_invariant_name(f->v.inv),
			       (unsigned long long)(f->v.at / 1000), f->v.text);
		else
			printf("%s at %llu us, wr %u: %s", weft_invariant_name(f->v.inv),
			       (unsigned long long)(f->v.at / 1000), f->v.wr, f->v.text);
		if (!f->how[0])
			printf(f->more ? " (and %u more)\n" : "\n", f->more);
		printf("  replay: ");
		print_replay(stdout, s, job);
		printf("\n");
	}
}

static void print_faults(const struct session *s)
{
	printf("%-16s %10s %8s\n", "fault", "times", "runs");
	for (uint32_t i = 0; i < WEFT_FAULT_COUNT; i++)
		printf("%-16s %10llu %8u\n", weft_sim_fault_name(i), (unsigned long long)s->hits[i],
		       s->runs_hit[i]);
}

static void print_hashes(const struct session *s)
{
	uint64_t hash = 0;

	for (uint32_t i = 0; i < s->len; i++) {
		hash = hash * 31 + s->hash[i];
		if (i + 1 < s->len && s->jobs[i + 1].seed == s->jobs[i].seed)
			continue;
		printf("%llu %016llx\n", (unsigned long long)s->jobs[i].seed,
		       (unsigned long long)hash);
		hash = 0;
	}
}

static void print_json(const struct session *s)
{
	printf("{\"seeds\": %llu, \"failed\": %u, \"packets\": %llu, \"messages\": %llu, "
	       "\"faults\": {",
	       (unsigned long long)s->seeds, s->failed_seeds, (unsigned long long)s->packets,
	       (unsigned long long)s->messages);
	for (uint32_t i = 0; i < WEFT_FAULT_COUNT; i++)
		printf("%s\"%s\": {\"times\": %llu, \"runs\": %u}", i ? ", " : "",
		       weft_sim_fault_name(i), (unsigned long long)s->hits[i], s->runs_hit[i]);
	printf("}, \"failures\": [");
	for (uint32_t i = 0; i < s->failures_len; i++) {
		const struct failure *f = &s->failures[i];
		const struct weft_job *job = &s->jobs[f->job];

		printf("%s{\"seed\": %llu, \"phase\": \"%s\", ", i ? ", " : "",
		       (unsigned long long)job->seed, phase_name(job));
		if (f->how[0])
			printf("\"invariant\": null, \"text\": \"%s\", \"replay\": \"", f->how);
		else
			printf("\"invariant\": \"%s\", \"time_ns\": %llu, \"wr\": %d, \"text\": "
			       "\"%s\", \"replay\": \"",
			       weft_invariant_name(f->v.inv), (unsigned long long)f->v.at,
			       (int)f->v.wr, f->v.text);
		print_replay(stdout, s, job);
		printf("\"}");
	}
	printf("]}\n");
}

static void print_verdict(const struct session *s)
{
	if (s->opt->json) {
		print_json(s);
		return;
	}
	if (s->opt->hash)
		print_hashes(s);
	else if (s->len > 20 || s->opt->verbose)
		print_faults(s);
	print_failures(s);
	printf("seeds=%llu failed=%u packets=%llu messages=%llu\n", (unsigned long long)s->seeds,
	       s->failed_seeds, (unsigned long long)s->packets, (unsigned long long)s->messages);
}

static void make_jobs(struct session *s)
{
	const struct options *opt = s->opt;
	uint64_t seeds = s->seeds = opt->last - opt->first + 1;

	s->jobs = calloc(2 * seeds, sizeof(*s->jobs));
	s->hash = calloc(2 * seeds, sizeof(*s->hash));
	s->seed_failed = calloc(seeds, sizeof(*s->seed_failed));
	weft_assert(s->jobs && s->hash && s->seed_failed);
	for (uint64_t seed = opt->first; seed <= opt->last; seed++) {
		if (opt->safety)
			s->jobs[s->len++] = (struct weft_job){ seed, false };
		if (opt->liveness)
			s->jobs[s->len++] = (struct weft_job){ seed, true };
	}
}

static int run_all(const struct options *opt, FILE *trace_out)
{
	struct session s = { .opt = opt, .tty = isatty(STDERR_FILENO) && !opt->json };
	struct weft_jobs_cfg cfg = {
		.workers = (uint32_t)opt->jobs,
		.only = opt->have_only ? opt->only : NULL,
		.trace_out = trace_out,
		.twice = opt->twice,
		.cpu_seconds_max = 120,
		.on_result = on_result,
		.on_idle = on_idle,
		.user = &s,
	};
	int rc;

	make_jobs(&s);
	cfg.jobs = s.jobs;
	cfg.len = s.len;
	rc = weft_jobs_run(&cfg);
	if (s.tty)
		fprintf(stderr, "\r%40s\r", "");
	if (rc) {
		fprintf(stderr, "weft sim faults: cannot start processes: %s\n", strerror(-rc));
		rc = 2;
	} else {
		if (s.failures_len)
			qsort(s.failures, s.failures_len, sizeof(*s.failures), by_job);
		print_verdict(&s);
		rc = s.failures_len ? 1 : 0;
	}
	free(s.jobs);
	free(s.hash);
	free(s.seed_failed);
	free(s.failures);
	return rc;
}

static int list_faults(void)
{
	for (uint32_t i = 0; i < WEFT_FAULT_COUNT; i++)
		if (weft_sim_fault_is_choice(i))
			printf("%s\n", weft_sim_fault_name(i));
	return 0;
}

int weft_sim_faults_main(int argc, char **argv)
{
	struct options opt = { .safety = true, .liveness = true };
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	FILE *trace_out = NULL;
	int rc;

	opt.jobs = (uint64_t)WEFT_MIN(WEFT_MAX(cores, 1), 256);
	rc = parse(argc, argv, &opt);
	if (rc)
		return rc;
	if (opt.help) {
		fputs(usage, stdout);
		return 0;
	}
	if (opt.list)
		return list_faults();
	if (opt.trace) {
		opt.jobs = 1; /* One after the other, or they would be mixed. */
		trace_out = fopen(opt.trace, "w");
		if (!trace_out)
			return complain(strerror(errno), opt.trace);
		/* By the line, so that a run that crashes leaves all of its trace behind. */
		setvbuf(trace_out, NULL, _IOLBF, 0);
	}
	rc = run_all(&opt, trace_out);
	if (trace_out && fclose(trace_out))
		return complain(strerror(errno), opt.trace);
	return rc;
}
