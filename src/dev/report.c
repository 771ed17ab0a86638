/* SPDX-License-Identifier: BSD-2-Clause */
/* Counters for others to read: the engines' and the wires' are added up into this process's page (counters.h)
 * every few milliseconds while the card works, and at the end as a line of JSON into the file that WEFT_STATS
 * names. What a card did before it was closed and opened again still counts. */
#include "dev/core.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static_assert(WEFT_COUNTER_COUNT <= WEFT_COUNTERS_MAX, "the page has a place for each counter");

struct totals {
	const struct weft_card_info *info; /* NULL: this card never came up. */
	uint64_t past[WEFT_COUNTER_COUNT]; /* Of earlier lives. */
	uint64_t value[WEFT_COUNTER_COUNT];
};

/* Rows are written under their card's lock; the page is made under the first card's and stays. */
static struct {
	pthread_mutex_t lock;
	struct weft_counters_page *page; /* owns; NULL: none could be made. */
	bool tried;
	struct totals totals[WEFT_CARDS_MAX];
} report = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void add_engine(const struct weft_srd *srd, uint64_t *v)
{
	const struct weft_srd_stats *s = weft_srd_stats(srd);

	v[WEFT_COUNTER_TX_BYTES] += s->tx_bytes;
	v[WEFT_COUNTER_TX_PKTS] += s->tx_pkts;
	v[WEFT_COUNTER_RX_BYTES] += s->rx_bytes;
	v[WEFT_COUNTER_RX_PKTS] += s->rx_pkts;
	v[WEFT_COUNTER_SEND_BYTES] += s->send_bytes;
	v[WEFT_COUNTER_SEND_WRS] += s->send_wrs;
	v[WEFT_COUNTER_RECV_BYTES] += s->recv_bytes;
	v[WEFT_COUNTER_RECV_WRS] += s->recv_wrs;
	v[WEFT_COUNTER_RDMA_READ_WRS] += s->rdma_read_wrs;
	v[WEFT_COUNTER_RDMA_READ_BYTES] += s->rdma_read_bytes;
	v[WEFT_COUNTER_RDMA_READ_WR_ERR] += s->rdma_read_wr_err;
	v[WEFT_COUNTER_RDMA_READ_RESP_BYTES] += s->rdma_read_resp_bytes;
	v[WEFT_COUNTER_RDMA_WRITE_WRS] += s->rdma_write_wrs;
	v[WEFT_COUNTER_RDMA_WRITE_BYTES] += s->rdma_write_bytes;
	v[WEFT_COUNTER_RDMA_WRITE_WR_ERR] += s->rdma_write_wr_err;
	v[WEFT_COUNTER_RDMA_WRITE_RECV_BYTES] += s->rdma_write_recv_bytes;
	v[WEFT_COUNTER_RETRANS_BYTES] += s->retrans_bytes;
	v[WEFT_COUNTER_RETRANS_PKTS] += s->retrans_pkts;
	v[WEFT_COUNTER_RETRANS_TIMEOUT_EVENTS] += s->retrans_timeout_events;
	v[WEFT_COUNTER_UNRESPONSIVE_REMOTE_EVENTS] += s->unresponsive_remote_events;
	v[WEFT_COUNTER_IMPAIRED_REMOTE_CONN_EVENTS] += s->impaired_remote_events;
	for (uint32_t i = 0; i < WEFT_SRD_DROP_COUNT; i++) {
		v[WEFT_COUNTER_RX_DROPS] += s->rx_drops[i];
		v[WEFT_COUNTER_DROP_SHORT + i] += s->rx_drops[i];
	}
	v[WEFT_COUNTER_DATA_TX_PKTS] += s->data_tx_pkts;
	v[WEFT_COUNTER_DATA_TX_BYTES] += s->data_tx_bytes;
	v[WEFT_COUNTER_RETRANS_SPURIOUS] += s->retrans_spurious;
	v[WEFT_COUNTER_TAIL_PROBES] += s->tail_probes;
	v[WEFT_COUNTER_PATH_PROBES] += s->path_probes;
	v[WEFT_COUNTER_PATH_OUT] += s->path_out;
	v[WEFT_COUNTER_PATH_IN] += s->path_in;
	v[WEFT_COUNTER_ACKS_TX] += s->acks_tx;
	v[WEFT_COUNTER_ACKS_RX] += s->acks_rx;
	v[WEFT_COUNTER_RNR_TX] += s->rnr_tx;
	v[WEFT_COUNTER_RNR_RX] += s->rnr_rx;
	v[WEFT_COUNTER_CREDIT_GRANTS] += s->credit_grants;
	v[WEFT_COUNTER_CWND_CUTS] += s->cwnd_cuts;
	v[WEFT_COUNTER_PAYLOAD_SHRINKS] += s->payload_shrinks;
	v[WEFT_COUNTER_CONTEXTS_OPENED] += s->contexts_opened;
	v[WEFT_COUNTER_CONTEXTS_RESET] += s->contexts_reset;
}

static void add_udp(const struct weft_udp *udp, uint64_t *v)
{
	struct weft_udp_stats s;

	weft_udp_stats(udp, &s);
	v[WEFT_COUNTER_UDP_TX_CALLS] += s.tx_calls;
	v[WEFT_COUNTER_UDP_TX_FRAMES] += s.tx_frames;
	v[WEFT_COUNTER_UDP_TX_BYTES] += s.tx_bytes;
	v[WEFT_COUNTER_UDP_TX_LOST] += s.tx_lost;
	v[WEFT_COUNTER_UDP_RX_CALLS] += s.rx_calls;
	v[WEFT_COUNTER_UDP_RX_FRAMES] += s.rx_frames;
	v[WEFT_COUNTER_UDP_RX_BYTES] += s.rx_bytes;
	v[WEFT_COUNTER_UDP_RX_EMPTY] += s.rx_empty;
	v[WEFT_COUNTER_UDP_RX_TRUNCATED] += s.rx_truncated;
	v[WEFT_COUNTER_UDP_RX_JOINED] += s.rx_joined;
	v[WEFT_COUNTER_UDP_RX_BAD_PARTS] += s.rx_bad_parts;
}

static void add_local(const struct weft_local *local, uint64_t *v)
{
	struct weft_local_stats s;

	weft_local_stats(local, &s);
	v[WEFT_COUNTER_LOCAL_TX_FRAMES] += s.tx_frames;
	v[WEFT_COUNTER_LOCAL_TX_BYTES] += s.tx_bytes;
	v[WEFT_COUNTER_LOCAL_TX_FULL] += s.tx_full;
	v[WEFT_COUNTER_LOCAL_RX_FRAMES] += s.rx_frames;
	v[WEFT_COUNTER_LOCAL_RX_BYTES] += s.rx_bytes;
	v[WEFT_COUNTER_LOCAL_RX_BAD] += s.rx_bad;
}

/* The links are up: the card has a row from here on. */
void weft_report_up(struct weft_card *card)
{
	const struct weft_card_info *cards;
	const char *dir, *why;
	uint32_t count;

	pthread_mutex_lock(&report.lock);
	report.totals[card->info->index].info = card->info;
	if (!report.tried && !weft_cardset_get(&cards, &count, &why)) {
		report.tried = true;
		if (!weft_conf_run_dir(&dir, &why))
			report.page = weft_counters_create(dir, count);
		for (uint32_t i = 0; report.page && i < count; i++) {
			snprintf(report.page->card[i].name, sizeof(report.page->card[i].name), "%s",
				 cards[i].name);
			report.page->card[i].gid = cards[i].gid;
			report.page->card[i].slot = WEFT_COUNTERS_NO_SLOT;
		}
	}
	pthread_mutex_unlock(&report.lock);
	weft_report(card);
}

void weft_report(struct weft_card *card)
{
	struct totals *t = &report.totals[card->info->index];
	struct weft_counters_card *row;
	uint64_t v[WEFT_COUNTER_COUNT];

	if (!t->info)
		return;
	memcpy(v, t->past, sizeof(v));
	for (uint32_t k = 0; k < WEFT_LINKS; k++) {
		if (card->link[k].srd)
			add_engine(card->link[k].srd, v);
		if (card->link[k].udp)
			add_udp(card->link[k].udp, v);
		if (card->link[k].local)
			add_local(card->link[k].local, v);
	}
	v[WEFT_COUNTER_TX_BYTES] += card->direct_written + weft_share_read_bytes(card);
	v[WEFT_COUNTER_RDMA_READ_RESP_BYTES] += weft_share_read_bytes(card);
	v[WEFT_COUNTER_RX_BYTES] += card->direct_read + card->direct_taken;
	v[WEFT_COUNTER_RDMA_READ_BYTES] += card->direct_read;
	v[WEFT_COUNTER_RDMA_WRITE_RECV_BYTES] += card->direct_taken;
	v[WEFT_COUNTER_LOSS_INJECTED] += card->losses;
	memcpy(t->value, v, sizeof(v));
	if (!report.page)
		return;
	row = &report.page->card[card->info->index];
	weft_counters_begin(row);
	row->slot = card->slot;
	row->qps = (uint16_t)card->qps;
	memcpy(row->value, v, sizeof(v));
	weft_counters_end(row);
}

/* The links are about to be closed. */
void weft_report_down(struct weft_card *card)
{
	struct totals *t = &report.totals[card->info->index];

	weft_report(card);
	memcpy(t->past, t->value, sizeof(t->past));
	if (report.page)
		report.page->card[card->info->index].slot = WEFT_COUNTERS_NO_SLOT;
}

static void write_line(int fd, const struct totals *t)
{
	char line[8192], gid[64];
	int len, n;

	len = snprintf(line, sizeof(line), "{\"pid\": %d, \"card\": \"%s\", \"gid\": \"%s\"",
		       (int)getpid(), t->info->name,
		       weft_gid_text(&t->info->gid, gid, sizeof(gid)));
	for (uint32_t i = 0; i < WEFT_COUNTER_COUNT; i++) {
		n = snprintf(line + len, sizeof(line) - (size_t)len, ", \"%s\": %llu",
			     weft_counter_name(i), (unsigned long long)t->value[i]);
		if (n < 0 || (size_t)n >= sizeof(line) - (size_t)len - 2)
			return;
		len += n;
	}
	line[len++] = '}';
	line[len++] = '\n';
	/* One write, so that lines of several processes do not mix. */
	if (write(fd, line, (size_t)len) != len)
		fprintf(stderr, "weft: cannot write counters to WEFT_STATS: %s\n", strerror(errno));
}

void weft_report_fini(void)
{
	const char *path = weft_conf_get()->stats;
	int fd = -1;

	for (uint32_t i = 0; i < WEFT_CARDS_MAX && path[0]; i++) {
		if (!report.totals[i].info)
			continue;
		if (fd < 0)
			fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		if (fd < 0) {
			fprintf(stderr, "weft: cannot open %s (WEFT_STATS): %s\n", path,
				strerror(errno));
			break;
		}
		write_line(fd, &report.totals[i]);
	}
	if (fd >= 0)
		close(fd);
	if (report.page)
		weft_counters_destroy(report.page);
	report.page = NULL;
}

/* The page is the parent's. */
void weft_report_forked(void)
{
	pthread_mutex_init(&report.lock, NULL);
	report.page = NULL;
	report.tried = false;
	memset(report.totals, 0, sizeof(report.totals));
}
