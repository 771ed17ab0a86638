/* SPDX-License-Identifier: BSD-2-Clause */
/* Tables and JSON. Times are whole nanoseconds up to here and are printed in microseconds with three
 * decimals, by integer arithmetic; shares and fairness are the only floating point. */
#include "sim/fabric_print.h"

#include <stdio.h>

#define US(ns) (unsigned long long)((ns) / 1000), (unsigned long long)((ns) % 1000)
#define ULL(v) ((unsigned long long)(v))

static const char *workload_name(enum weft_sim_workload w)
{
	switch (w) {
	case WEFT_SIM_PERMUTATION:
		return "permutation";
	case WEFT_SIM_INCAST:
		return "incast";
	case WEFT_SIM_RING_ALLREDUCE:
		return "ring-allreduce";
	case WEFT_SIM_ALLTOALL:
		return "alltoall";
	}
	return "?";
}

static const char *lb_name(const struct weft_sim_fabric_opts *o)
{
	if (o->ecmp)
		return "ecmp";
	return o->run.lb == WEFT_SRD_LB_OBLIVIOUS ? "oblivious" : "mixed";
}

static double ratio(uint64_t part, uint64_t whole)
{
	return whole ? (double)part / (double)whole : 0;
}

static double rtx_share(const struct weft_sim_fabric_result *r)
{
	return ratio(r->srd.retrans_pkts, r->srd.data_tx_pkts - r->srd.retrans_pkts);
}

static double extra_share(const struct weft_sim_fabric_result *r)
{
	return ratio(r->srd.retrans_bytes, r->srd.data_tx_bytes - r->srd.retrans_bytes);
}

static double goodput_share(const struct weft_sim_fabric_row *row)
{
	return ratio(row->lossless.fct.mean, row->result.fct.mean);
}

static uint64_t drops(const struct weft_sim_fabric_result *r)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < WEFT_FABRIC_LOSS_COUNT; i++)
		sum += r->net.lost[i];
	return sum;
}

static double frames_per_s(const struct weft_sim_fabric_result *r)
{
	return r->wall ? (double)r->net.sent * 1e9 / (double)r->wall : 0;
}

/* For people */

void weft_sim_fabric_print_head(const struct weft_sim_fabric_opts *o)
{
	const struct weft_sim_fabric_cfg *c = &o->run;
	weft_ns rtt = weft_sim_fabric_base_rtt(&c->net, c->mtu);

	if (c->net.topology == WEFT_FABRIC_FAT_TREE)
		printf("fat tree of %u hosts", c->net.hosts);
	else
		printf("%u hosts, %u leaves, %u spines", c->net.hosts, c->net.leaves,
		       c->net.spines);
	printf("; links %g Gb/s, %llu.%03llu us; base round trip %llu.%03llu us; frames up to %u "
	       "bytes\n",
	       (double)c->net.link_bps / 1e9, US(c->net.hop), US(rtt), c->mtu);
	printf("queues %u bytes (%g BDP), ", c->net.data_bytes_max, o->queue_mbdp / 1e3);
	if (c->net.ecn_high_bytes)
		printf("marks from %u to %u", c->net.ecn_low_bytes, c->net.ecn_high_bytes);
	else
		printf("no marks");
	printf(", %s", c->net.trim ? "trimming" : "no trimming");
	if (c->net.slow_links)
		printf(", %u core links at %g %%", c->net.slow_links, c->net.slow_ppm / 1e4);
	if (c->net.loss_ppm)
		printf(", %g %% loss", c->net.loss_ppm / 1e4);
	if (c->blackhole_links)
		printf(", %u core links broken at %llu.%03llu us", c->blackhole_links,
		       US(c->blackhole_at));
	printf("\n%s", workload_name(c->workload));
	if (c->workload == WEFT_SIM_INCAST)
		printf(" of %u senders", c->senders);
	printf(", %u bytes; %u path%s, %s", c->size, c->paths, c->paths == 1 ? "" : "s",
	       lb_name(o));
	if (c->burst_bytes)
		printf(", bursts of %u bytes", c->burst_bytes);
	printf("%s%s\n\n", c->credits ? "" : ", no credits", c->cold ? ", cold start" : "");
	printf("%6s %34s %9s\n", "", "completion time, us", "");
	printf("%6s %8s %8s %8s %8s %9s %7s %6s %7s %7s %8s %6s %5s %6s %6s\n", "seed", "min",
	       "p50", "p99", "max", "ideal", "rtx %", "jain", "drops", "trims", "marks", "cuts",
	       "rto", "run s", "kpkt/s");
	fflush(stdout);
}

static void print_left(const char *what, const struct weft_sim_left *left, weft_ns rtt)
{
	printf("       %s: %u, p50 %llu.%03llu us (%.2f RTT), max %llu.%03llu us (%.2f RTT)\n",
	       what, left->count, US(left->p50), ratio(left->p50, rtt), US(left->max),
	       ratio(left->max, rtt));
}

void weft_sim_fabric_print_row(const struct weft_sim_fabric_opts *o,
			       const struct weft_sim_fabric_row *row)
{
	const struct weft_sim_fabric_result *r = &row->result;

	if (r->failure) {
		printf("%6llu FAILED: %s (of %u messages %u failed, %u unfinished)\n", ULL(r->seed),
		       r->failure, r->flows, r->flows_failed, r->flows_unfinished);
		fflush(stdout);
		return;
	}
	printf("%6llu %8.1f %8.1f %8.1f %8.1f %9.1f %7.3f %6.4f %7llu %7llu %8llu %6llu %5llu "
	       "%6.2f %6.0f\n",
	       ULL(r->seed), (double)r->fct.min / 1e3, (double)r->fct.p50 / 1e3,
	       (double)r->fct.p99 / 1e3, (double)r->fct.max / 1e3, (double)r->ideal / 1e3,
	       100 * rtx_share(r), r->jain, ULL(drops(r)), ULL(r->net.trims), ULL(r->net.marks),
	       ULL(r->srd.cwnd_cuts), ULL(r->srd.retrans_timeout_events), (double)r->wall / 1e9,
	       frames_per_s(r) / 1e3);
	if (row->has_lossless && !row->lossless.failure)
		printf("       goodput %.2f %% of that without loss, %.2f %% extra bytes\n",
		       100 * goodput_share(row), 100 * extra_share(r));
	if (o->run.blackhole_links) {
		print_left("pairs that lost data, last sent after the break", &r->left_pair,
			   r->base_rtt);
		print_left("paths that lost data, last sent after the first", &r->left_path,
			   r->base_rtt);
		printf("       lost to it after the break: %llu data and %llu control frames\n",
		       ULL(r->blackhole_data), ULL(r->blackhole_control));
	}
	fflush(stdout);
}

/* Several runs in one: of each value the worst or the mean over those that finished. */
struct summary {
	uint32_t n, failed;
	double min, p50, p99, max, rtx, jain; /* Means. */
	double worst_min, worst_p50, worst_p99, worst_max, worst_rtx, worst_jain;
};

static void summarise(const struct weft_sim_fabric_row *rows, uint32_t n, struct summary *s_out)
{
	struct summary s = { .worst_jain = 1 };

	for (uint32_t i = 0; i < n; i++) {
		const struct weft_sim_fabric_result *r = &rows[i].result;

		if (r->failure) {
			s.failed++;
			continue;
		}
		s.n++;
		s.min += (double)r->fct.min / 1e3;
		s.p50 += (double)r->fct.p50 / 1e3;
		s.p99 += (double)r->fct.p99 / 1e3;
		s.max += (double)r->fct.max / 1e3;
		s.rtx += rtx_share(r);
		s.jain += r->jain;
		s.worst_min = WEFT_MAX(s.worst_min, (double)r->fct.min / 1e3);
		s.worst_p50 = WEFT_MAX(s.worst_p50, (double)r->fct.p50 / 1e3);
		s.worst_p99 = WEFT_MAX(s.worst_p99, (double)r->fct.p99 / 1e3);
		s.worst_max = WEFT_MAX(s.worst_max, (double)r->fct.max / 1e3);
		s.worst_rtx = WEFT_MAX(s.worst_rtx, rtx_share(r));
		s.worst_jain = WEFT_MIN(s.worst_jain, r->jain);
	}
	if (s.n) {
		s.min /= s.n;
		s.p50 /= s.n;
		s.p99 /= s.n;
		s.max /= s.n;
		s.rtx /= s.n;
		s.jain /= s.n;
	}
	*s_out = s;
}

void weft_sim_fabric_print_tail(const struct weft_sim_fabric_opts *o,
				const struct weft_sim_fabric_row *rows, uint32_t n)
{
	struct summary s;

	(void)o;
	summarise(rows, n, &s);
	if (s.n) {
		double ideal = 0;

		for (uint32_t i = 0; i < n; i++)
			ideal = WEFT_MAX(ideal, (double)rows[i].result.ideal / 1e3);
		printf("%6s %8.1f %8.1f %8.1f %8.1f %9.1f %7.3f %6.4f\n", "mean", s.min, s.p50,
		       s.p99, s.max, ideal, 100 * s.rtx, s.jain);
		printf("%6s %8.1f %8.1f %8.1f %8.1f %9.1f %7.3f %6.4f\n", "worst", s.worst_min,
		       s.worst_p50, s.worst_p99, s.worst_max, ideal, 100 * s.worst_rtx,
		       s.worst_jain);
	}
	if (s.failed)
		printf("%u of %u runs FAILED\n", s.failed, n);
}

/* For programs */

static const char *flag(bool b)
{
	return b ? "true" : "false";
}

static void json_spread(const char *name, const struct weft_sim_spread *s, const char *indent)
{
	printf("%s\"%s\": {\"min\": %llu.%03llu, \"p50\": %llu.%03llu, \"p99\": %llu.%03llu, "
	       "\"max\": %llu.%03llu, "
	       "\"mean\": %llu.%03llu},\n",
	       indent, name, US(s->min), US(s->p50), US(s->p99), US(s->max), US(s->mean));
}

static void json_config(const struct weft_sim_fabric_opts *o)
{
	const struct weft_sim_fabric_cfg *c = &o->run;

	printf("  \"config\": {\n");
	if (c->net.topology == WEFT_FABRIC_FAT_TREE)
		printf("    \"topology\": \"fat-tree\", \"hosts\": %u,\n", c->net.hosts);
	else
		printf("    \"topology\": \"leaf-spine\", \"hosts\": %u, \"leaves\": %u, "
		       "\"spines\": %u,\n",
		       c->net.hosts, c->net.leaves, c->net.spines);
	printf("    \"link_bps\": %llu, \"hop_us\": %llu.%03llu, \"base_rtt_us\": %llu.%03llu,\n",
	       ULL(c->net.link_bps), US(c->net.hop), US(weft_sim_fabric_base_rtt(&c->net, c->mtu)));
	printf("    \"workload\": \"%s\", \"size\": %u, \"senders\": %u,\n",
	       workload_name(c->workload), c->size,
	       c->workload == WEFT_SIM_INCAST ? c->senders : c->net.hosts);
	printf("    \"paths\": %u, \"lb\": \"%s\", \"mtu\": %u, \"burst_bytes\": %u,\n", c->paths,
	       lb_name(o), c->mtu, c->burst_bytes);
	printf("    \"credits\": %s, \"cold\": %s, \"trim\": %s,\n", flag(c->credits),
	       flag(c->cold), flag(c->net.trim));
	printf("    \"queue_bdp\": %.3f, \"queue_bytes\": %u, \"control_queue_bytes\": %u,\n",
	       o->queue_mbdp / 1e3, c->net.data_bytes_max, c->net.control_bytes_max);
	printf("    \"ecn_low_bytes\": %u, \"ecn_high_bytes\": %u,\n", c->net.ecn_low_bytes,
	       c->net.ecn_high_bytes);
	printf("    \"slow_links\": %u, \"slow_percent\": %.4f, \"loss_percent\": %.4f,\n",
	       c->net.slow_links, c->net.slow_links ? c->net.slow_ppm / 1e4 : 100.0,
	       c->net.loss_ppm / 1e4);
	printf("    \"blackhole_links\": %u, \"blackhole_at_us\": %llu.%03llu\n  }",
	       c->blackhole_links, US(c->blackhole_at));
}

static void json_counters(const struct weft_sim_fabric_result *r, const char *indent)
{
	const struct weft_srd_stats *s = &r->srd;

	printf("%s\"network\": {\"frames\": %llu, \"hops\": %llu, \"trims\": %llu, \"marks\": "
	       "%llu, "
	       "\"data_drops\": %llu, \"control_drops\": %llu, \"random_losses\": %llu, "
	       "\"blackholed\": %llu, "
	       "\"data_queue_peak\": %u, \"control_queue_peak\": %u},\n",
	       indent, ULL(r->net.sent), ULL(r->net.hops), ULL(r->net.trims), ULL(r->net.marks),
	       ULL(r->net.lost[WEFT_FABRIC_LOSS_DATA_FULL]),
	       ULL(r->net.lost[WEFT_FABRIC_LOSS_CONTROL_FULL]),
	       ULL(r->net.lost[WEFT_FABRIC_LOSS_RANDOM]),
	       ULL(r->net.lost[WEFT_FABRIC_LOSS_BLACKHOLE]), r->net.data_bytes_peak,
	       r->net.control_bytes_peak);
	printf("%s\"engines\": {\"data_packets\": %llu, \"retransmitted\": %llu, \"spurious\": "
	       "%llu, "
	       "\"timeouts\": %llu, \"tail_probes\": %llu, \"cuts\": %llu, \"acks\": %llu, "
	       "\"grants\": %llu, "
	       "\"path_probes\": %llu, \"path_out\": %llu, \"path_in\": %llu, \"trimmed_rcvd\": "
	       "%llu, "
	       "\"duplicates_rcvd\": %llu},\n",
	       indent, ULL(s->data_tx_pkts), ULL(s->retrans_pkts), ULL(s->retrans_spurious),
	       ULL(s->retrans_timeout_events), ULL(s->tail_probes), ULL(s->cwnd_cuts),
	       ULL(s->acks_tx), ULL(s->credit_grants), ULL(s->path_probes), ULL(s->path_out),
	       ULL(s->path_in), ULL(s->rx_drops[WEFT_SRD_DROP_TRIMMED]),
	       ULL(s->rx_drops[WEFT_SRD_DROP_DUPLICATE]));
}

static void json_left(const char *name, const struct weft_sim_left *left, weft_ns rtt,
		      const char *indent)
{
	printf("%s\"%s_us\": {\"count\": %u, \"p50\": %llu.%03llu, \"max\": %llu.%03llu},\n",
	       indent, name, left->count, US(left->p50), US(left->max));
	printf("%s\"%s_rtt\": {\"count\": %u, \"p50\": %.3f, \"max\": %.3f},\n", indent, name,
	       left->count, ratio(left->p50, rtt), ratio(left->max, rtt));
}

static void json_run(const struct weft_sim_fabric_opts *o, const struct weft_sim_fabric_row *row,
		     const char *indent)
{
	const struct weft_sim_fabric_result *r = &row->result;

	printf("%s\"seed\": %llu,\n", indent, ULL(r->seed));
	if (r->failure)
		printf("%s\"failure\": \"%s\", \"messages\": %u, \"messages_failed\": %u, "
		       "\"messages_unfinished\": %u,\n",
		       indent, r->failure, r->flows, r->flows_failed, r->flows_unfinished);
	else
		printf("%s\"failure\": null,\n", indent);
	if (!r->failure) {
		json_spread("fct_us", &r->fct, indent);
		json_spread("fct_rcvd_us", &r->fct_rcvd, indent);
	}
	printf("%s\"ideal_us\": %llu.%03llu,\n", indent, US(r->ideal));
	printf("%s\"retransmitted_share\": %.6f,\n", indent, rtx_share(r));
	if (!r->failure)
		printf("%s\"jain\": %.6f,\n", indent, r->jain);
	if (!r->failure && row->has_lossless && !row->lossless.failure)
		printf("%s\"goodput_share\": %.6f,\n", indent, goodput_share(row));
	if (o->run.net.loss_ppm)
		printf("%s\"extra_bytes_share\": %.6f,\n", indent, extra_share(r));
	if (o->run.blackhole_links) {
		json_left("blackhole_left", &r->left_pair, r->base_rtt, indent);
		json_left("blackhole_path_left", &r->left_path, r->base_rtt, indent);
		printf("%s\"blackhole_data_frames\": %llu, \"blackhole_control_frames\": %llu,\n",
		       indent, ULL(r->blackhole_data), ULL(r->blackhole_control));
	}
	json_counters(r, indent);
	printf("%s\"trace_hash\": \"%016llx\",\n", indent, ULL(r->trace_hash));
	printf("%s\"run_ms\": %.1f, \"frames_per_s\": %.0f", indent, (double)r->wall / 1e6,
	       frames_per_s(r));
}

static void json_summary(const struct weft_sim_fabric_row *rows, uint32_t n)
{
	struct summary s;

	summarise(rows, n, &s);
	printf("  \"failed\": %u", s.failed);
	if (!s.n)
		return;
	printf(",\n  \"mean\": {\"fct_us\": {\"min\": %.3f, \"p50\": %.3f, \"p99\": %.3f, \"max\": "
	       "%.3f}, "
	       "\"retransmitted_share\": %.6f, \"jain\": %.6f},\n",
	       s.min, s.p50, s.p99, s.max, s.rtx, s.jain);
	printf("  \"worst\": {\"fct_us\": {\"min\": %.3f, \"p50\": %.3f, \"p99\": %.3f, \"max\": "
	       "%.3f}, "
	       "\"retransmitted_share\": %.6f, \"jain\": %.6f}",
	       s.worst_min, s.worst_p50, s.worst_p99, s.worst_max, s.worst_rtx, s.worst_jain);
}

void weft_sim_fabric_print_json(const struct weft_sim_fabric_opts *o,
				const struct weft_sim_fabric_row *rows, uint32_t n)
{
	printf("{\n");
	if (o->is_range) {
		printf("  \"runs\": [");
		for (uint32_t i = 0; i < n; i++) {
			printf("%s\n    {\n", i ? "," : "");
			json_run(o, &rows[i], "      ");
			printf("\n    }");
		}
		printf("\n  ],\n");
		json_summary(rows, n);
	} else {
		json_run(o, &rows[0], "  ");
	}
	printf(",\n");
	json_config(o);
	printf("\n}\n");
}
