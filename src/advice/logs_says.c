/* SPDX-License-Identifier: BSD-2-Clause */
/* What a line says about the network of its process: one reader for each kind of line.
 *
 * Each takes exactly the form that its source prints (logsig.inc names it) and refuses what differs. */
#include "advice/logs_int.h"

#include <string.h>

#define RANKS_MAX  128 /* In one process. */
#define NEAR_LINES 4u /* Of a Python traceback: from the call to the error. */

/* Copies text[from, to) without blanks at its ends; false: empty, or longer than there is room for. */
static bool copy(char *out, size_t size, const struct weft_log_line *line, size_t from, size_t to)
{
	const char *text = line->text;

	while (from < to && text[from] == ' ')
		from++;
	while (to > from && text[to - 1] == ' ')
		to--;
	if (to == from || to - from >= size)
		return false;
	for (size_t i = from; i < to; i++)
		if ((unsigned char)text[i] < 0x20 || (unsigned char)text[i] > 0x7e)
			return false;
	memcpy(out, text + from, to - from);
	out[to - from] = '\0';
	return true;
}

/* Where `stop` stands behind at, or the end of the line. */
static size_t until(const struct weft_log_line *line, size_t at, char stop)
{
	const char *found = at < line->len ? memchr(line->text + at, stop, line->len - at) : NULL;

	return found ? (size_t)(found - line->text) : line->len;
}

static bool is_with(const struct weft_log_line *line, size_t at, const char *word)
{
	size_t len = strlen(word);

	return at <= line->len && line->len - at >= len && !memcmp(line->text + at, word, len);
}

static bool says_version(struct weft_logs *logs, enum weft_log_lib lib,
			 const struct weft_log_line *line, size_t from, size_t to)
{
	struct weft_log_version *v = logs->version[lib];
	char text[sizeof(v->text)];

	if (!copy(text, sizeof(text), line, from, to))
		return false;
	for (uint32_t i = 0; i < WEFT_LOGS_VERSIONS; i++) {
		if (!v[i].count)
			memcpy(v[i].text, text, sizeof(text));
		if (strcmp(v[i].text, text) != 0)
			continue;
		v[i].count++;
		return true;
	}
	return true;
}

static uint32_t net_of(const char *name)
{
	if (strstr(name, "Libfabric") || !strcmp(name, "OFI"))
		return WEFT_LOG_NET_LIBFABRIC;
	if (!strcmp(name, "Socket"))
		return WEFT_LOG_NET_SOCKET;
	return !strcmp(name, "IB") ? WEFT_LOG_NET_IB : WEFT_LOG_NET_OTHER;
}

static bool says_network(struct weft_log_source *s, const struct weft_log_line *line, size_t from,
			 size_t to)
{
	char name[sizeof(s->net)];
	size_t len = strlen(s->net);

	if (len && to - from == len && !memcmp(line->text + from, s->net, len))
		return true; /* As nearly always. */
	if (!copy(name, sizeof(name), line, from, to))
		return false;
	if (strcmp(s->net, name) != 0) {
		s->nets |= net_of(name);
		memcpy(s->net, name, sizeof(name));
	}
	return true;
}

/* Libfabric/3/GDRDMA, Socket/0, AWS Libfabric/1(2)/GDRDMA/Shared */
static bool says_channel(struct weft_log_source *s, const struct weft_log_line *line, size_t at)
{
	size_t slash = until(line, at, '/'), next;
	uint32_t card;

	if (!weft_logs_number(line, slash + 1, 10, &card) || !says_network(s, line, at, slash))
		return false;
	next = until(line, slash + 1, '/');
	s->channels++;
	if (!strcmp(s->net, "Socket"))
		s->channels_socket++;
	else if (is_with(line, next, "/GDRDMA"))
		s->channels_gdr++;
	return true;
}

/* efa, fabric is efa-direct (found 16 nics); before 1.14 efa (found 4 nics); before 1.6 efa */
static bool says_provider(struct weft_log_source *s, const struct weft_log_line *line, size_t at)
{
	size_t comma = until(line, at, ','), paren = weft_logs_find(line, at, " (found ");
	size_t end = WEFT_MIN(WEFT_MIN(comma, paren), line->len), fabric;
	char provider[sizeof(s->provider)];

	if (!copy(provider, sizeof(provider), line, at, end))
		return false;
	memcpy(s->provider, provider, sizeof(provider));
	fabric = weft_logs_find(line, at, ", fabric is ");
	if (fabric != SIZE_MAX)
		copy(s->fabric, sizeof(s->fabric), line, fabric + strlen(", fabric is "),
		     WEFT_MIN(paren, line->len));
	if (paren != SIZE_MAX)
		weft_logs_number(line, paren + strlen(" (found "), 10, &s->cards);
	return true;
}

/* Looks back for `word` and reads the number behind it. */
static bool number_of(const struct weft_log_line *line, size_t before, const char *word,
		      uint32_t *out)
{
	size_t len = strlen(word);

	for (size_t i = before; i >= len && i > line->msg; i--)
		if (!memcmp(line->text + i - len, word, len))
			return weft_logs_number(line, i, 10, out);
	return false;
}

/* comm 0x5581 rank 3 nranks 16 cudaDev 3 ...: the largest communicator tells the rank. */
static bool says_comm(struct weft_log_source *s, const struct weft_log_line *line, size_t at)
{
	uint32_t rank, nranks;

	if (!number_of(line, at, " rank ", &rank) || !number_of(line, at, " nranks ", &nranks) ||
	    rank >= nranks)
		return false;
	if (nranks < s->nranks)
		return true;
	if (!s->labelled && (nranks > s->nranks || s->rank < 0)) {
		s->rank = s->rank_last = (int32_t)rank;
	} else if (!s->labelled) {
		int32_t from = WEFT_MIN(s->rank, (int32_t)rank);
		int32_t to = WEFT_MAX(s->rank_last, (int32_t)rank);

		/* Not all of a process's GPUs need be in a row of ranks, but those of a node are few. */
		if (to - from < RANKS_MAX) {
			s->rank = from;
			s->rank_last = to;
		}
	}
	s->nranks = nranks;
	return true;
}

/* The lanes between nodes: tag(srd/rdmap0s6-rdm:1 ...) or am(tcp/eth0). */
static bool says_ucx(struct weft_log_source *s, const struct weft_log_line *line, size_t at)
{
	bool srd = weft_logs_find(line, at, "srd/") != SIZE_MAX;

	if (!srd && weft_logs_find(line, at, "tcp/") == SIZE_MAX)
		return false;
	s->ucx_srd |= srd;
	s->ucx_tcp |= !srd;
	return true;
}

static bool says_btl(struct weft_log_source *s, const struct weft_log_line *line, size_t at)
{
	if (is_with(line, at, "tcp btl "))
		s->btl_tcp = true;
	return true;
}

static uint32_t find_rank(struct weft_logs *logs, uint32_t rank)
{
	struct weft_log_line line = { .text = "", .rank = (int32_t)rank, .job = 1 };

	if (!weft_logs_may_scan(logs))
		return WEFT_LOGS_NONE;
	for (uint32_t i = 0; i < logs->sources; i++)
		if (logs->source[i].rank <= (int32_t)rank &&
		    logs->source[i].rank_last >= (int32_t)rank)
			return i;
	return weft_logs_source(logs, &line);
}

static uint32_t find_pid(struct weft_logs *logs, uint32_t pid)
{
	if (!weft_logs_may_scan(logs))
		return WEFT_LOGS_NONE;
	for (uint32_t i = 0; i < logs->sources; i++)
		if (logs->source[i].pid == pid)
			return i;
	return WEFT_LOGS_NONE;
}

/* What launchers kill after the first one is no news: SIGTERM. */
static bool says_death(struct weft_logs *logs, const struct weft_log_line *line,
		       const struct weft_log_sig *sig, size_t at)
{
	size_t behind = weft_logs_find(line, at, sig->also) + strlen(sig->also), pid;
	uint32_t number, source = WEFT_LOGS_NONE;

	if (weft_logs_find(line, at, "Terminated") != SIZE_MAX ||
	    weft_logs_find(line, at, "signal 15") != SIZE_MAX ||
	    weft_logs_find(line, at, "(exitcode: -15)") != SIZE_MAX)
		return false;
	/* torchrun counts its ranks on each node anew, but names the process. */
	pid = weft_logs_find(line, at, "(pid: ");
	if (pid != SIZE_MAX) {
		if (!weft_logs_number(line, pid + strlen("(pid: "), 10, &number))
			return false;
		source = find_pid(logs, number);
		if (source == WEFT_LOGS_NONE)
			source = weft_logs_source(logs, line);
	} else {
		if (is_with(line, behind, "s "))
			behind++;
		if (is_with(line, behind, " "))
			behind++;
		if (!weft_logs_number(line, behind, 10, &number))
			return false;
		source = find_rank(logs, number);
	}
	if (source != WEFT_LOGS_NONE)
		weft_logs_event(logs, source, WEFT_FINDING_RANK_DIED, line, line->msg);
	return true;
}

/* "libfabric 1.17.0 efa endpoint created! address: ...": the version stands before. */
static bool says_endpoint(struct weft_logs *logs, struct weft_log_source *s,
			  const struct weft_log_line *line, size_t at)
{
	s->endpoint = true;
	if (is_with(line, line->msg, "libfabric "))
		says_version(logs, WEFT_LOG_LIB_OFI, line, line->msg + strlen("libfabric "), at);
	return true;
}

static bool says_no_memory(struct weft_logs *logs, uint32_t source,
			   const struct weft_log_line *line, size_t at)
{
	const struct weft_log_source *s = &logs->source[source];

	if (!s->fork_line || logs->line + 1 - s->fork_line > NEAR_LINES)
		return false;
	weft_logs_event(logs, source, WEFT_FINDING_HUGEPAGES, line, at);
	return true;
}

bool weft_logs_says(struct weft_logs *logs, uint32_t source, const struct weft_log_line *line,
		    const struct weft_log_sig *sig, size_t at)
{
	struct weft_log_source *s = &logs->source[source];
	size_t behind = at + sig->len;

	switch ((enum weft_log_says)sig->arg) {
	case WEFT_SAYS_NCCL_VERSION:
		return says_version(logs, WEFT_LOG_LIB_NCCL, line, behind,
				    until(line, behind, ' '));
	case WEFT_SAYS_PLUGIN_VERSION:
		return says_version(logs, WEFT_LOG_LIB_PLUGIN, line, behind,
				    until(line, behind, ' '));
	case WEFT_SAYS_OFI_VERSION:
		s->ofi = true;
		return says_version(logs, WEFT_LOG_LIB_OFI, line, behind, until(line, behind, ' '));
	case WEFT_SAYS_CUDA_VERSION:
		return says_version(logs, WEFT_LOG_LIB_CUDA, line, behind, line->len);
	case WEFT_SAYS_PROVIDER:
		return says_provider(s, line, behind);
	case WEFT_SAYS_PROTOCOL:
		return copy(s->protocol, sizeof(s->protocol), line, behind,
			    until(line, behind, ' '));
	case WEFT_SAYS_NETWORK: {
		size_t to = weft_logs_find(line, behind, " to comm");

		return says_network(s, line, behind, WEFT_MIN(to, line->len));
	}
	case WEFT_SAYS_CHANNEL:
		return says_channel(s, line, behind);
	case WEFT_SAYS_COMM:
		return says_comm(s, line, at);
	case WEFT_SAYS_PLATFORM:
		return copy(s->platform, sizeof(s->platform), line, behind,
			    until(line, behind, ' '));
	case WEFT_SAYS_ENDPOINT:
		return says_endpoint(logs, s, line, at);
	case WEFT_SAYS_MTL:
		return copy(s->mtl, sizeof(s->mtl), line, behind, line->len);
	case WEFT_SAYS_BTL:
		return says_btl(s, line, behind);
	case WEFT_SAYS_UCX:
		return says_ucx(s, line, behind);
	case WEFT_SAYS_GDA:
		s->gda = true;
		return true;
	case WEFT_SAYS_DEATH:
		return says_death(logs, line, sig, at);
	case WEFT_SAYS_OS_FORK:
		s->fork_line = logs->line + 1;
		return true;
	case WEFT_SAYS_NO_MEMORY:
		return says_no_memory(logs, source, line, at);
	}
	return false;
}
