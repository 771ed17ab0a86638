/* SPDX-License-Identifier: BSD-2-Clause */
/* Takes prefixes off the lines of a log.
 *
 * Two ways, because there are two kinds. What launchers and runtimes put in front (a rank, a pod, a time, a colour)
 * stands at the very beginning and may be stacked in any order: it is peeled off until nothing known is left. What a
 * logging library writes (NCCL's host:pid:tid, libfabric's pid and time) is searched backwards from the hit instead:
 * so it is found behind prefixes that nobody has told us about, and where two processes have written into the same
 * line, the right one is.
 *
 * A prefix that is not wholly as expected is part of the message. */
#define _GNU_SOURCE
#include "advice/logline.h"

#include <string.h>

#define PEEL_MAX   12u
#define BACK_MAX   256u /* How far NCCL's host:pid:tid may be before "NCCL INFO". */
#define NUMBER_MAX 9u

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_host_char(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
	       c == '.' || c == '_';
}

/* Up to nine digits at *at; false when there is none or more. */
static inline bool get_number(const char *text, size_t len, size_t *at, uint32_t *out)
{
	size_t i = *at;
	uint32_t v = 0;

	while (i < len && is_digit(text[i]) && i - *at < NUMBER_MAX)
		v = v * 10 + (uint32_t)(text[i++] - '0');
	if (i == *at || (i < len && is_digit(text[i])))
		return false;
	*at = i;
	*out = v;
	return true;
}

static inline bool get_char(const char *text, size_t len, size_t *at, char c)
{
	if (*at >= len || text[*at] != c)
		return false;
	(*at)++;
	return true;
}

/* Inlined, so that the compiler sees how long the word is: this is what lines that are read spend their time on. */
static inline __attribute__((always_inline)) bool get_word(const char *text, size_t len, size_t *at,
							   const char *word)
{
	size_t n = strlen(word);

	if (len - *at < n || memcmp(text + *at, word, n) != 0)
		return false;
	*at += n;
	return true;
}

static void skip_blanks(const char *text, size_t len, size_t *at)
{
	while (*at < len && (text[*at] == ' ' || text[*at] == '\t'))
		(*at)++;
}

/* Times */

static int64_t days_from_civil(int64_t y, uint32_t m, uint32_t d)
{
	int64_t era, yoe, doy;

	y -= m <= 2;
	era = y / 400;
	yoe = y - era * 400;
	doy = (153 * (int64_t)(m + (m > 2 ? -3u : 9u)) + 2) / 5 + d - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

/* ".123" or ",123" as nanoseconds; nothing is nothing. */
static int64_t get_fraction(const char *text, size_t len, size_t *at)
{
	int64_t ns = 0, unit = 100000000;
	size_t i = *at;

	if (i + 1 >= len || (text[i] != '.' && text[i] != ',') || !is_digit(text[i + 1]))
		return 0;
	for (i++; i < len && is_digit(text[i]); i++, unit /= 10)
		ns += (text[i] - '0') * unit;
	*at = i;
	return ns;
}

/* Z, +hh:mm or -hhmm. */
static bool get_zone(const char *text, size_t len, size_t *at, int64_t *seconds_out)
{
	static const int64_t unit[] = { 36000, 3600, 600, 60 };
	size_t i = *at;
	bool minus;

	*seconds_out = 0;
	if (get_char(text, len, at, 'Z'))
		return true;
	if (i >= len || (text[i] != '+' && text[i] != '-'))
		return false;
	minus = text[i++] == '-';
	for (int n = 0; n < 4; n++, i++) {
		if (n == 2 && i < len && text[i] == ':')
			i++;
		if (i >= len || !is_digit(text[i]))
			return *seconds_out = 0, false;
		*seconds_out += (text[i] - '0') * unit[n];
	}
	if (minus)
		*seconds_out = -*seconds_out;
	*at = i;
	return true;
}

/* 2025-11-30T19:06:16.123Z, 2025/11/30 19:06:16, 2025-11-30 19:06:16,123, with or without brackets around. */
static bool peel_iso_time(struct weft_log_line *line, size_t *at)
{
	static const char form[] = "dddd-dd-dd dd:dd:dd";
	const char *text = line->text;
	size_t i = *at, len = line->len;
	bool bracket = get_char(text, len, &i, '['), utc;
	uint32_t part[6] = { 0 }, p = 0;
	int64_t ns, zone, days;

	if (len - i < sizeof(form) - 1)
		return false;
	for (size_t n = 0; form[n]; n++, i++) {
		if (form[n] == 'd' && is_digit(text[i])) {
			part[p] = part[p] * 10 + (uint32_t)(text[i] - '0');
			continue;
		}
		if (form[n] == 'd' || !(text[i] == form[n] || (form[n] == '-' && text[i] == '/') ||
					(form[n] == ' ' && text[i] == 'T')))
			return false;
		p++;
	}
	if (part[1] < 1 || part[1] > 12 || part[2] < 1 || part[2] > 31 || part[3] > 23 ||
	    part[4] > 59 || part[5] > 60 || part[0] < 1970 || part[0] > 2200)
		return false;
	ns = get_fraction(text, len, &i);
	utc = get_zone(text, len, &i, &zone);
	if (bracket && !get_char(text, len, &i, ']'))
		return false;
	*at = i;
	/* Of two times of a line the one with a zone can be compared with others. */
	if (!utc && line->clock == WEFT_LOG_UTC)
		return true;
	line->clock = utc ? WEFT_LOG_UTC : WEFT_LOG_LOCAL;
	days = days_from_civil(part[0], part[1], part[2]);
	line->time_ns =
		(days * 86400 + part[3] * 3600 + part[4] * 60 + part[5] - zone) * 1000000000 + ns;
	return true;
}

/* 1593780927.062833 in brackets: UCX. */
static bool peel_epoch(struct weft_log_line *line, size_t *at)
{
	const char *text = line->text;
	size_t i = *at, len = line->len;
	int64_t s = 0, ns;
	size_t n;

	if (!get_char(text, len, &i, '['))
		return false;
	for (n = 0; i < len && is_digit(text[i]) && n < 11; n++)
		s = s * 10 + (text[i++] - '0');
	if (n != 10 || i >= len || text[i] != '.')
		return false;
	ns = get_fraction(text, len, &i);
	if (!get_char(text, len, &i, ']'))
		return false;
	line->clock = WEFT_LOG_UTC;
	line->time_ns = s * 1000000000 + ns;
	*at = i;
	return true;
}

/* Colours: ESC [ numbers letter. */
static bool peel_colour(struct weft_log_line *line, size_t *at)
{
	const char *text = line->text;
	size_t i = *at, len = line->len;

	if (!get_word(text, len, &i, "\033["))
		return false;
	while (i < len && (is_digit(text[i]) || text[i] == ';'))
		i++;
	if (i >= len || text[i] < '@' || text[i] > '~')
		return false;
	*at = i + 1;
	return true;
}

/* What containerd puts behind the time: "stderr F ". */
static bool peel_cri(struct weft_log_line *line, size_t *at)
{
	size_t i = *at;

	if (!get_word(line->text, line->len, &i, "stdout ") &&
	    !get_word(line->text, line->len, &i, "stderr "))
		return false;
	if (!get_word(line->text, line->len, &i, "F ") &&
	    !get_word(line->text, line->len, &i, "P "))
		return false;
	*at = i;
	return true;
}

/* Who: launchers and Kubernetes */

/* [1,0]<stdout>: of Open MPI 4, [prterun-host-123@1,0]<stdout>: of 5, [0]<stdout>: with -timestamp and the like. */
static bool peel_mpirun(struct weft_log_line *line, size_t *at)
{
	const char *text = line->text, *sign;
	size_t i = *at, len = line->len;
	uint32_t job = 0, rank;

	if (!get_char(text, len, &i, '['))
		return false;
	sign = memchr(text + i, '@', WEFT_MIN(len - i, 128u));
	if (sign && memchr(text + i, ']', WEFT_MIN(len - i, 128u)) > (const void *)sign)
		i = (size_t)(sign - text) + 1;
	if (!get_number(text, len, &i, &job) || !get_char(text, len, &i, ',') ||
	    !get_number(text, len, &i, &rank) || !get_char(text, len, &i, ']'))
		return false;
	if (!get_word(text, len, &i, "<stdout>:") && !get_word(text, len, &i, "<stderr>:") &&
	    !get_word(text, len, &i, "<stddiag>:"))
		return false;
	line->job = (int32_t)job;
	line->rank = (int32_t)rank;
	*at = i;
	return true;
}

/* "  3: " of srun --label, "[3] " of Intel MPI and MPICH, "[rank3]: " of PyTorch; "[default3]:" of torchrun, which counts
 * on each node anew and so says nothing. */
static bool peel_rank(struct weft_log_line *line, size_t *at)
{
	const char *text = line->text;
	size_t i = *at, len = line->len;
	uint32_t rank;

	skip_blanks(text, len, &i);
	if (get_char(text, len, &i, '[')) {
		bool torch = get_word(text, len, &i, "rank");

		if (!torch && get_word(text, len, &i, "default")) {
			if (!get_number(text, len, &i, &rank) || !get_word(text, len, &i, "]:"))
				return false;
			*at = i;
			return true;
		}
		if (!get_number(text, len, &i, &rank) || !get_char(text, len, &i, ']') ||
		    !get_char(text, len, &i, torch ? ':' : ' '))
			return false;
	} else if (!get_number(text, len, &i, &rank) || !get_word(text, len, &i, ": ")) {
		return false;
	}
	line->rank = (int32_t)rank;
	*at = i;
	return true;
}

/* [pod/NAME/CONTAINER] of kubectl logs --prefix, pod/NAME CONTAINER, and NAME | of docker compose. */
static bool peel_pod(struct weft_log_line *line, size_t *at)
{
	const char *text = line->text;
	size_t i = *at, len = line->len;
	bool bracket = get_char(text, len, &i, '['), slash = get_word(text, len, &i, "pod/");
	struct weft_log_word pod = { text + i, 0 };

	while (i < len && is_host_char(text[i]))
		i++;
	pod.len = (size_t)(text + i - pod.at);
	if (!pod.len || bracket > slash)
		return false;
	if (slash) {
		if (!get_char(text, len, &i, bracket ? '/' : ' '))
			return false;
		while (i < len && is_host_char(text[i]))
			i++;
		if (!get_char(text, len, &i, bracket ? ']' : ' '))
			return false;
	} else {
		skip_blanks(text, len, &i);
		if (!get_word(text, len, &i, "| "))
			return false;
	}
	line->pod = pod;
	*at = i;
	return true;
}

/* [host:pid] of Open MPI, [host:pid:tid] of UCX: they end the search, the message comes next. */
static bool peel_process(struct weft_log_line *line, size_t *at)
{
	const char *text = line->text;
	size_t i = *at, len = line->len, start;
	struct weft_log_word host;
	uint32_t pid;
	bool ucx;

	if (!get_char(text, len, &i, '['))
		return false;
	start = i;
	while (i < len && is_host_char(text[i]))
		i++;
	host = (struct weft_log_word){ text + start, i - start };
	if (!host.len || !get_char(text, len, &i, ':') || !get_number(text, len, &i, &pid) || !pid)
		return false;
	while (i < len && text[i] == ' ') /* UCX pads its pid. */
		i++;
	ucx = get_char(text, len, &i, ':');
	while (ucx && i < len && is_host_char(text[i]))
		i++;
	if (!get_char(text, len, &i, ']'))
		return false;
	line->host = host;
	line->pid = pid;
	line->tool = ucx ? WEFT_LOG_UCX : WEFT_LOG_OMPI;
	skip_blanks(text, len, &i);
	*at = i;
	return true;
}

/* One prefix of those that may begin so. */
static bool peel_one(struct weft_log_line *line, size_t *at)
{
	char c = *at < line->len ? line->text[*at] : '\0';

	if (c == '[')
		return peel_mpirun(line, at) || peel_iso_time(line, at) || peel_rank(line, at) ||
		       peel_process(line, at) || peel_epoch(line, at) || peel_pod(line, at);
	if (is_digit(c))
		return peel_iso_time(line, at) || peel_rank(line, at) || peel_pod(line, at);
	if (c == '\033')
		return peel_colour(line, at);
	return (c == 's' && peel_cri(line, at)) || (is_host_char(c) && peel_pod(line, at));
}

/* {"log":"MESSAGE\n","stream":"stderr",...} of Docker: the line ends where the message does. Only the message's own
 * escapes are left in it. */
static void peel_docker(struct weft_log_line *line, size_t *at)
{
	const char *end;

	if (!get_word(line->text, line->len, at, "{\"log\":\""))
		return;
	end = memmem(line->text + *at, line->len - *at, "\",\"", 3);
	if (!end)
		return;
	line->len = (size_t)(end - line->text);
	if (line->len - *at >= 2 && !memcmp(end - 2, "\\n", 2))
		line->len -= 2;
}

static void peel(struct weft_log_line *line)
{
	size_t at = 0;

	peel_docker(line, &at);

	for (uint32_t n = 0; n < PEEL_MAX; n++) {
		size_t i = at;

		skip_blanks(line->text, line->len, &i);
		/* "|" is what log viewers set between columns. */
		if (i + 1 < line->len && line->text[i] == '|' && line->text[i + 1] == ' ')
			i += 2;
		if (!peel_one(line, &i))
			break;
		at = i;
	}
	skip_blanks(line->text, line->len, &at);
	line->msg = at;
}

/* Who: logging libraries */

/* The digits that end right before `end`; returns where they begin, or `end` when there are none. */
static size_t number_before(const char *text, size_t end, size_t from)
{
	while (end > from && is_digit(text[end - 1]))
		end--;
	return end;
}

/* host:pid:tid, ending before `end`, which is a blank. */
static bool read_process_before(struct weft_log_line *line, size_t end, size_t from)
{
	const char *text = line->text;
	size_t tid = number_before(text, end, from), pid, host;

	if (tid == end || tid <= from + 1 || text[tid - 1] != ':')
		return false;
	pid = number_before(text, tid - 1, from);
	if (pid == tid - 1 || pid <= from || text[pid - 1] != ':')
		return false;
	for (host = pid - 1; host > from && is_host_char(text[host - 1]); host--)
		;
	if (host == pid - 1)
		return false;
	line->host = (struct weft_log_word){ text + host, pid - 1 - host };
	return get_number(text, line->len, &pid, &line->pid);
}

/* host:pid:tid [gpu] NCCL INFO, host:pid:tid [gpu] file:line NCCL WARN. `mark` is where "NCCL" stands. */
static bool read_nccl(struct weft_log_line *line, size_t mark)
{
	const char *text = line->text;
	size_t from = mark > BACK_MAX ? mark - BACK_MAX : 0;

	for (size_t i = mark; i > from; i--)
		if (text[i - 1] == ' ' && read_process_before(line, i - 1, from))
			return true;
	return false;
}

/* The last `word` that ends before `to`; SIZE_MAX: there is none. `letter` is its rarest one, at `offset`. */
static inline __attribute__((always_inline)) size_t find_last(const char *text, size_t to,
							      const char *word, char letter,
							      size_t offset)
{
	size_t len = strlen(word);

	for (;;) {
		const char *at = memrchr(text, letter, to);
		size_t i;

		if (!at)
			return SIZE_MAX;
		i = (size_t)(at - text);
		if (i >= offset && to - (i - offset) >= len && !memcmp(at - offset, word, len))
			return i - offset;
		to = i;
	}
}

/* libfabric:PID:EPOCH:PREFIX:PROVIDER:SUBSYSTEM:FUNCTION():LINE<LEVEL> MESSAGE; before 1.13 without EPOCH. */
static void read_libfabric(struct weft_log_line *line, size_t mark, size_t hit)
{
	const char *text = line->text, *end;
	size_t i = mark + strlen("libfabric:"), digits = 0;
	int64_t epoch = 0;
	uint32_t pid;

	if (!get_number(text, line->len, &i, &pid) || !get_char(text, line->len, &i, ':'))
		return;
	for (; i + digits < hit && is_digit(text[i + digits]) && digits < 10; digits++)
		epoch = epoch * 10 + (text[i + digits] - '0');
	end = i < hit ? memchr(text + i, '>', hit - i) : NULL;
	if (!end || end + 1 >= text + hit || end[1] != ' ')
		return;
	/* The time at which the program wrote it is better than that at which somebody collected it. */
	if (digits == 10 && text[i + digits] == ':') {
		line->clock = WEFT_LOG_UTC;
		line->time_ns = epoch * 1000000000;
	}
	line->msg = (size_t)(end - text) + 2;
	line->pid = pid;
	line->host.len = 0;
	line->tool = WEFT_LOG_OFI;
}

void weft_log_line_read(struct weft_log_line *line, const char *text, size_t len, size_t hit)
{
	size_t nccl, ofi, level;

	*line = (struct weft_log_line){ .text = text, .len = len, .job = -1, .rank = -1 };
	peel(line);
	if (hit > line->len)
		hit = line->len;
	nccl = find_last(text, hit, "NCCL ", 'L', 3);
	if (nccl == SIZE_MAX)
		nccl = find_last(text, hit, "CCOM ", 'M', 3);
	if (nccl != SIZE_MAX) {
		level = nccl + 5;
		if ((get_word(text, hit, &level, "INFO ") || get_word(text, hit, &level, "WARN ") ||
		     get_word(text, hit, &level, "TRACE ")) &&
		    read_nccl(line, nccl)) {
			line->tool = WEFT_LOG_NCCL;
			line->msg = level;
		} else {
			nccl = SIZE_MAX;
		}
	}
	ofi = find_last(text, hit, "libfabric:", 'f', 3);
	if (ofi != SIZE_MAX && (nccl == SIZE_MAX || ofi > nccl))
		read_libfabric(line, ofi, hit);
}
