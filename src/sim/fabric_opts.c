/* SPDX-License-Identifier: BSD-2-Clause */
/* Options are rows of a table: name, form of the value, reader, meaning. A reader takes the value or
 * says what would have been one. What only shows when all options are known (does the incast fit the
 * topology?) is checked at the end. */
#include "sim/fabric_opts.h"

#include "base/units.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define VALUE_MAX 64u /* No value is longer. */
#define SEEDS_MAX 10000u
#define MTU_MIN   (WEFT_SIM_FRAME_OVERHEAD + WEFT_SRD_DATA_HEAD + WEFT_SRD_PAYLOAD_MIN)
#define MTU_MAX   9216u
#define QUEUE_MAX (1u << 30)
#define CONTROL_MIN \
	16384u /* The control queue is a quarter of the data queue, but at least this. */
#define HOP_MAX    WEFT_MS(10)
#define MEMORY_MAX ((uint64_t)16 << 30)

struct option {
	const char *name;
	const char *form; /* NULL: takes no value. */
	/* NULL when *v was taken, otherwise what is expected. May write to v. */
	const char *(*read)(struct weft_sim_fabric_opts *o, char *v);
	const char *what;
};

/* Cut `v` at the first `c`; what follows it, or NULL. */
static char *cut(char *v, char c)
{
	char *at = strchr(v, c);

	if (at)
		*at++ = '\0';
	return at;
}

static bool read_u32(const char *v, uint32_t min, uint32_t max, uint32_t *out)
{
	uint64_t n;

	if (!weft_parse_u64(v, &n) || n < min || n > max)
		return false;
	*out = (uint32_t)n;
	return true;
}

/* Leaves for a leaf-spine of `hosts` if nobody said: as many hosts below a leaf as come closest to the
 * square root from below, and as many spines as hosts below a leaf. */
static uint32_t default_leaves(uint32_t hosts)
{
	uint32_t best = 1;

	for (uint32_t below = 1; below * below <= hosts; below++)
		if (hosts % below == 0)
			best = below;
	return hosts / best;
}

static const char *read_leaf_spine(struct weft_fabric_cfg *net, char *hosts, char *leaves)
{
	static const char form[] =
		"leaf-spine:HOSTS or leaf-spine:HOSTS:LEAVES:SPINES, where LEAVES divides HOSTS";
	char *spines = leaves ? cut(leaves, ':') : NULL;

	if (!read_u32(hosts, 2, 65536, &net->hosts))
		return form;
	net->topology = WEFT_FABRIC_LEAF_SPINE;
	if (!leaves) {
		net->leaves = default_leaves(net->hosts);
		net->spines = net->hosts / net->leaves;
		if (net->spines < 2)
			return "a number of hosts that can be spread evenly over leaves, or LEAVES "
			       "and SPINES as well";
		return NULL;
	}
	if (!spines || !read_u32(leaves, 1, net->hosts, &net->leaves) || net->hosts % net->leaves ||
	    !read_u32(spines, 1, 65536, &net->spines))
		return form;
	return NULL;
}

static const char *read_topology(struct weft_sim_fabric_opts *o, char *v)
{
	struct weft_fabric_cfg *net = &o->run.net;
	char *hosts = cut(v, ':'), *rest = hosts ? cut(hosts, ':') : NULL;

	if (hosts && !strcmp(v, "leaf-spine"))
		return read_leaf_spine(net, hosts, rest);
	if (!hosts || strcmp(v, "fat-tree") != 0)
		return "fat-tree:HOSTS or leaf-spine:HOSTS[:LEAVES:SPINES]";
	if (rest || !read_u32(hosts, 2, 65536, &net->hosts) ||
	    !weft_fabric_fat_tree_ports(net->hosts))
		return "fat-tree:HOSTS with k^3/4 hosts for k-port switches: 16, 54, 128, 250, "
		       "432, 686, 1024, ...";
	net->topology = WEFT_FABRIC_FAT_TREE;
	return NULL;
}

static const char *read_link(struct weft_sim_fabric_opts *o, char *v)
{
	uint64_t bps;

	if (!weft_parse_rate(v, &bps) || bps < 10000000u || bps > 10000000000000u)
		return "a rate from 10m to 10t, such as 100g";
	o->run.net.link_bps = bps;
	return NULL;
}

static const char *read_hop(struct weft_sim_fabric_opts *o, char *v)
{
	weft_ns ns;

	if (!weft_parse_time(v, &ns) || ns > HOP_MAX)
		return "a time of at most 10ms, such as 1us";
	o->run.net.hop = ns;
	return NULL;
}

static bool read_size(const char *v, uint32_t *size_out)
{
	uint64_t bytes;

	if (!weft_parse_bytes(v, &bytes) || !bytes || bytes > WEFT_SRD_RDMA_MAX)
		return false;
	*size_out = (uint32_t)bytes;
	return true;
}

static const char *read_workload(struct weft_sim_fabric_opts *o, char *v)
{
	static const char form[] = "permutation:SIZE, incast:NxSIZE, ring-allreduce:SIZE or "
				   "alltoall:SIZE, SIZE from 1 byte to 1GiB";
	char *size = cut(v, ':'), *n = size;

	if (!size)
		return form;
	if (!strcmp(v, "permutation")) {
		o->run.workload = WEFT_SIM_PERMUTATION;
	} else if (!strcmp(v, "ring-allreduce")) {
		o->run.workload = WEFT_SIM_RING_ALLREDUCE;
	} else if (!strcmp(v, "alltoall")) {
		o->run.workload = WEFT_SIM_ALLTOALL;
	} else if (!strcmp(v, "incast")) {
		o->run.workload = WEFT_SIM_INCAST;
		size = cut(n, 'x');
		if (!size || !read_u32(n, 1, 65535, &o->run.senders))
			return form;
	} else {
		return form;
	}
	return read_size(size, &o->run.size) ? NULL : form;
}

static const char *read_paths(struct weft_sim_fabric_opts *o, char *v)
{
	uint32_t n;

	if (!read_u32(v, 1, WEFT_SRD_PATHS_MAX, &n) || (n > 1 && n < 16))
		return "1 or 16 to 256";
	o->run.paths = n;
	return NULL;
}

static const char *read_lb(struct weft_sim_fabric_opts *o, char *v)
{
	o->ecmp = !strcmp(v, "ecmp");
	if (o->ecmp || !strcmp(v, "mixed"))
		o->run.lb = WEFT_SRD_LB_MIXED;
	else if (!strcmp(v, "oblivious"))
		o->run.lb = WEFT_SRD_LB_OBLIVIOUS;
	else
		return "mixed, oblivious or ecmp";
	return NULL;
}

static const char *read_queue(struct weft_sim_fabric_opts *o, char *v)
{
	char kilo[VALUE_MAX + 2];
	uint64_t n;

	/* A plain decimal to thousandths, by way of the reader that knows decimals. */
	snprintf(kilo, sizeof(kilo), "%sk", v);
	if (!weft_parse_bytes(kilo, &n) || !n || n > 1000000)
		return "a number from 0.001 to 1000 with at most three decimals";
	o->queue_mbdp = (uint32_t)n;
	return NULL;
}

static const char *read_ecn(struct weft_sim_fabric_opts *o, char *v)
{
	char *high = cut(v, ':');

	if (!high && !strcmp(v, "off")) {
		o->ecn_low_ppm = o->ecn_high_ppm = 0;
		return NULL;
	}
	if (!high || !weft_parse_percent(v, &o->ecn_low_ppm) ||
	    !weft_parse_percent(high, &o->ecn_high_ppm) || o->ecn_low_ppm > o->ecn_high_ppm ||
	    !o->ecn_high_ppm)
		return "LOW%:HIGH% of the queue, such as 21%:81%, or off";
	return NULL;
}

static const char *read_trim(struct weft_sim_fabric_opts *o, char *v)
{
	(void)v;
	o->run.net.trim = true;
	return NULL;
}

static const char *read_slow_core(struct weft_sim_fabric_opts *o, char *v)
{
	char *percent = cut(v, ':');

	if (!percent || !read_u32(v, 1, UINT32_MAX, &o->run.net.slow_links) ||
	    !weft_parse_percent(percent, &o->run.net.slow_ppm) || !o->run.net.slow_ppm)
		return "N:PCT% with at least one link and more than 0%, such as 4:25%";
	return NULL;
}

static const char *read_loss(struct weft_sim_fabric_opts *o, char *v)
{
	if (!weft_parse_percent(v, &o->run.net.loss_ppm) || o->run.net.loss_ppm > 900000)
		return "a percentage up to 90%, such as 1%";
	return NULL;
}

static const char *read_blackhole(struct weft_sim_fabric_opts *o, char *v)
{
	char *at = cut(v, '@');

	if (!at || !read_u32(v, 1, UINT32_MAX, &o->run.blackhole_links) ||
	    !weft_parse_time(at, &o->run.blackhole_at) || o->run.blackhole_at > WEFT_S(60))
		return "N@TIME with at least one link and at most 60s, such as 2@50us";
	return NULL;
}

static const char *read_mtu(struct weft_sim_fabric_opts *o, char *v)
{
	uint64_t n;

	if (!weft_parse_bytes(v, &n) || n < MTU_MIN || n > MTU_MAX)
		return "634 to 9216 bytes";
	o->run.mtu = (uint32_t)n;
	return NULL;
}

static const char *read_burst(struct weft_sim_fabric_opts *o, char *v)
{
	uint64_t n;

	if (!weft_parse_bytes(v, &n) || n > 65536)
		return "0 (each packet by itself) to 65536 bytes";
	o->run.burst_bytes = (uint32_t)n;
	return NULL;
}

static const char *read_seed(struct weft_sim_fabric_opts *o, char *v)
{
	if (!weft_parse_u64(v, &o->seed_first))
		return "a whole number";
	o->seed_last = o->seed_first;
	o->is_range = false;
	return NULL;
}

static const char *read_seeds(struct weft_sim_fabric_opts *o, char *v)
{
	char *last = strstr(v, "..");
	uint64_t a, b;

	if (last)
		*last = '\0';
	if (!last || !weft_parse_u64(v, &a) || !weft_parse_u64(last + 2, &b) || a > b ||
	    b - a >= SEEDS_MAX)
		return "A..B with A not above B, at most 10000 seeds";
	o->seed_first = a;
	o->seed_last = b;
	o->is_range = true;
	return NULL;
}

static const char *read_no_credits(struct weft_sim_fabric_opts *o, char *v)
{
	(void)v;
	o->run.credits = false;
	return NULL;
}

static const char *read_cold(struct weft_sim_fabric_opts *o, char *v)
{
	(void)v;
	o->run.cold = true;
	return NULL;
}

static const char *read_json(struct weft_sim_fabric_opts *o, char *v)
{
	(void)v;
	o->json = true;
	return NULL;
}

static const char *read_help(struct weft_sim_fabric_opts *o, char *v)
{
	(void)v;
	o->help = true;
	return NULL;
}

static const struct option options[] = {
	{ "--topology", "T", read_topology,
	  "fat-tree:HOSTS, three tiers of k-port switches with HOSTS = k^3/4, or\n"
	  "leaf-spine:HOSTS[:LEAVES:SPINES] (fat-tree:128)" },
	{ "--link", "RATE", read_link, "rate of every link (100g)" },
	{ "--hop", "TIME", read_hop, "propagation along every link (1us)" },
	{ "--workload", "W", read_workload,
	  "permutation:SIZE, incast:NxSIZE, ring-allreduce:SIZE or alltoall:SIZE\n"
	  "(permutation:2MB); SIZE is per message, for the ring the whole buffer" },
	{ "--paths", "N", read_paths, "paths to each peer, 1 or 16 to 256 (64)" },
	{ "--lb", "HOW", read_lb,
	  "choice of paths: mixed (feedback), oblivious (round-robin), or ecmp,\n"
	  "which keeps each flow on one path whatever --paths says (mixed)" },
	{ "--queue-bdp", "X", read_queue,
	  "data queue of a switch port in bandwidth-delay products of the base\n"
	  "round trip, rounded up to whole frames (1)" },
	{ "--ecn", "LOW%:HIGH%", read_ecn,
	  "mark data frames that leave a queue filled above LOW, all above HIGH;\n"
	  "or off (21%:81%)" },
	{ "--trim", NULL, read_trim,
	  "a full queue cuts packets to their heads instead of dropping them" },
	{ "--slow-core", "N:PCT%", read_slow_core,
	  "the first N links between the core and the switches below it run at\n"
	  "PCT of the rate, both ways; they are counted switch by switch" },
	{ "--loss", "PCT%", read_loss,
	  "lose frames at random; also runs without loss to compare goodput" },
	{ "--blackhole", "N@TIME", read_blackhole,
	  "N links of the core swallow everything from TIME after the start on" },
	{ "--mtu", "BYTES", read_mtu,
	  "longest frame, Ethernet, IP and UDP headers included (4150)" },
	{ "--burst", "BYTES", read_burst, "spray unit: 0 for the packet, up to 65536 (0)" },
	{ "--no-credits", NULL, read_no_credits, "receivers grant no credits in an incast" },
	{ "--cold", NULL, read_cold,
	  "count the opening of contexts; otherwise each pair of hosts has\n"
	  "exchanged a tiny message, and the network is silent, at the start" },
	{ "--seed", "S", read_seed, "what all chance comes from (1)" },
	{ "--seeds", "A..B", read_seeds, "one run for each seed, then the worst and the mean" },
	{ "--json", NULL, read_json, "the result as JSON" },
	{ "--help", NULL, read_help, "this text" },
};

void weft_sim_fabric_help(void)
{
	printf("usage: weft sim fabric [OPTION...]\n\n"
	       "Run a workload over a simulated data-centre network, packet by packet, and tell "
	       "how long\n"
	       "its messages took. Defaults in parentheses.\n\n");
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(options); i++) {
		const char *line = options[i].what;
		char left[32];

		snprintf(left, sizeof(left), "%s %s", options[i].name,
			 options[i].form ? options[i].form : "");
		for (; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
			printf("  %-21s %.*s\n", left, (int)strcspn(line, "\n"), line);
			left[0] = '\0';
		}
	}
	printf("\n"
	       "Completion times (fct) run from the start, when all is posted, until the sender "
	       "has the\n"
	       "acknowledgement of the last byte; for the ring, until a rank has received its last "
	       "chunk\n"
	       "and all it sent is acknowledged. The ideal is the same for the slowest message "
	       "with links\n"
	       "used to the full and no other traffic in the way. The retransmitted share (rtx) "
	       "counts\n"
	       "packets sent again for each packet sent for the first time.\n"
	       "The same arguments and seed give the same run, on any machine.\n"
	       "Exit status: 0 done, 1 a run could not finish its work, 2 a wrong argument.\n");
}

static int complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int complain(const char *format, ...)
{
	va_list ap;

	fputs("weft sim fabric: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	return -EINVAL;
}

/* Queues in bytes, and what no option can check alone. */
static int finish(struct weft_sim_fabric_opts *o)
{
	struct weft_sim_fabric_cfg *run = &o->run;
	struct weft_fabric_cfg *net = &run->net;
	weft_ns rtt = weft_sim_fabric_base_rtt(net, run->mtu);
	unsigned __int128 bits = (unsigned __int128)net->link_bps * rtt * o->queue_mbdp;
	uint64_t frame = (uint64_t)run->mtu * 8 * 1000000000u * 1000u;
	unsigned __int128 bytes = (bits + frame - 1) / frame * run->mtu;
	uint32_t links = weft_fabric_core_links(net);
	const char *why;

	if (bytes > QUEUE_MAX)
		return complain(
			"--queue-bdp: with this link and hop the queue would be above 1 GiB");
	net->data_bytes_max = (uint32_t)bytes;
	net->control_bytes_max = WEFT_MAX(net->data_bytes_max / 4, CONTROL_MIN);
	net->ecn_low_bytes = (uint32_t)(bytes * o->ecn_low_ppm / 1000000u);
	net->ecn_high_bytes = (uint32_t)(bytes * o->ecn_high_ppm / 1000000u);
	if (o->ecmp)
		run->paths = 1;
	if (net->slow_links > links)
		return complain("--slow-core: %u links, but the core has only %u", net->slow_links,
				links);
	if (run->blackhole_links > links)
		return complain("--blackhole: %u links, but the core has only %u",
				run->blackhole_links, links);
	if (run->workload == WEFT_SIM_INCAST && run->senders >= net->hosts)
		return complain(
			"--workload: %u senders and a receiver, but the topology has only %u hosts",
			run->senders, net->hosts);
	if (run->workload == WEFT_SIM_RING_ALLREDUCE && run->size < net->hosts)
		return complain(
			"--workload: a ring of %u hosts needs at least as many bytes, not %u",
			net->hosts, run->size);
	if (weft_fabric_cfg_check(net, &why))
		return complain("%s", why);
	if (weft_sim_fabric_memory(run) > MEMORY_MAX)
		return complain(
			"--workload: with %u hosts this would need more than 16 GiB of memory",
			net->hosts);
	return 0;
}

static const struct option *find_option(const char *arg, size_t len)
{
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(options); i++)
		if (strlen(options[i].name) == len && !memcmp(options[i].name, arg, len))
			return &options[i];
	return NULL;
}

int weft_sim_fabric_opts_parse(struct weft_sim_fabric_opts *o, int argc, char **argv)
{
	static const char *const defaults[] = { "--topology=fat-tree:128",
						"--link=100g",
						"--hop=1us",
						"--workload=permutation:2MB",
						"--paths=64",
						"--lb=mixed",
						"--queue-bdp=1",
						"--ecn=21%:81%",
						"--mtu=4150",
						"--seed=1" };
	int first = -(int)WEFT_ARRAY_SIZE(defaults);

	*o = (struct weft_sim_fabric_opts){ .run.credits = true };
	for (int i = first; i < argc; i++) {
		const char *arg = i < 0 ? defaults[i - first] : argv[i], *value, *want;
		const struct option *opt;
		size_t len = strcspn(arg, "=");
		char copy[VALUE_MAX];

		if (i == 0)
			continue;
		if (arg[0] != '-')
			return complain("'%s': options only, see --help", arg);
		opt = find_option(arg, len);
		if (!opt)
			return complain("%.*s: no such option, see --help", (int)len, arg);
		value = arg[len] ? arg + len + 1 : NULL;
		if (!opt->form && value)
			return complain("%s: takes no value, got '%s'", opt->name, value);
		if (opt->form && !value)
			value = ++i < argc ? argv[i] : NULL;
		if (opt->form && !value)
			return complain("%s: value missing, expected %s", opt->name, opt->form);
		snprintf(copy, sizeof(copy), "%s", value ? value : "");
		want = value && strlen(value) >= sizeof(copy) ? "at most 63 characters long"
							      : opt->read(o, copy);
		if (want)
			return complain("%s: '%s' is not %s", opt->name, value, want);
	}
	return o->help ? 0 : finish(o);
}
