/* SPDX-License-Identifier: BSD-2-Clause */
/* `weft info`: the cards that a program would see here, who uses them, and the counters of who does.
 *
 * A card is one row, so that grep and awk can have it; only a terminal too narrow for rows gets them upright.
 * Users come from the pages of counters in the run directory: processes of this user, with the same card at
 * the same address. */
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "dev/cardset.h"
#include "dev/conf.h"
#include "dev/counters.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CMD        "weft info"
#define CELL_MAX   512
#define USERS_TEXT 200 /* What of the users goes into a row; JSON has all. */

const char weft_cmd_info_usage[] =
	"usage: weft info [--json] [SETTING...]\n"
	"       weft info --counters [--all] [--json]\n"
	"\n"
	"Print the cards that a program sees here: name, PCI address, address of the\n"
	"underlay, GID, speed in Gb/s, generation and device id, capabilities, NUMA node\n"
	"(-: none in particular), and which processes of yours use it now.\n"
	"\n"
	"  --counters    instead, the counters of your processes that use a card\n"
	"  --all         with those that are zero\n"
	"  --json        as JSON\n"
	"  SETTING       as for `weft run`: --instance, --cards, --addr, --wire, --env\n";

/* Who is there */

struct user {
	uint32_t pid;
	char comm[32];
	uint16_t slot, qps;
};

struct users {
	const struct weft_card_info *card;
	struct user *user; /* owns */
	uint32_t count;
	bool failed;
};

static bool is_row_of(const struct weft_counters_card *row, const struct weft_card_info *card)
{
	static const struct weft_gid none;

	if (strcmp(row->name, card->name) != 0)
		return false;
	return !memcmp(&row->gid, &card->gid, sizeof(row->gid)) ||
	       !memcmp(&row->gid, &none, sizeof(row->gid));
}

static bool is_in_use(const struct weft_counters_card *row)
{
	return row->slot != WEFT_COUNTERS_NO_SLOT || row->qps;
}

static void add_user(void *arg, const struct weft_counters_page *page, bool stale)
{
	struct users *users = arg;

	for (uint32_t i = 0; i < page->cards && !stale; i++) {
		const struct weft_counters_card *row = &page->card[i];
		struct user *more;

		if (!is_in_use(row) || !is_row_of(row, users->card))
			continue;
		more = realloc(users->user, (users->count + 1) * sizeof(*more));
		if (!more) {
			users->failed = true;
			return;
		}
		users->user = more;
		more += users->count++;
		more->pid = page->pid;
		more->slot = row->slot;
		more->qps = row->qps;
		memcpy(more->comm, page->comm, sizeof(more->comm));
	}
}

static struct users find_users(const struct weft_card_info *card)
{
	struct users users = { .card = card };

	/* No directory, or one that cannot be read: nobody that we know of. */
	(void)weft_counters_each(weft_conf_get()->run_dir, add_user, &users);
	return users;
}

/* Cells */

enum column {
	COL_NAME,
	COL_BDF,
	COL_ADDRESS,
	COL_GID,
	COL_GBPS,
	COL_ID,
	COL_CAPS,
	COL_NUMA,
	COL_USERS,
	COL_COUNT,
};

static const char *const headings[COL_COUNT] = { "NAME",   "PCI",  "ADDRESS", "GID",    "GB/S",
						 "DEVICE", "CAPS", "NUMA",    "USED BY" };

static const struct {
	uint32_t cap;
	const char *name;
} cap_names[] = {
	{ WEFT_CAP_RDMA_READ, "read" },
	{ WEFT_CAP_RDMA_WRITE, "write" },
	{ WEFT_CAP_RNR_RETRY, "rnr" },
	{ WEFT_CAP_CQ_WITH_SGID, "sgid" },
	{ WEFT_CAP_UNSOLICITED_WRITE_RECV, "unsolicited" },
};

static unsigned int generation_of(const struct weft_card_info *card)
{
	return card->part_id - 0xefa0u + 1;
}

static void caps_text(uint32_t caps, char *buf)
{
	size_t len = 0;

	snprintf(buf, CELL_MAX, "none");
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(cap_names); i++)
		if (caps & cap_names[i].cap)
			len += (size_t)snprintf(buf + len, CELL_MAX - len, "%s%s", len ? "," : "",
						cap_names[i].name);
}

static void users_text(const struct users *users, char *buf)
{
	size_t len = 0;

	snprintf(buf, CELL_MAX, "-");
	for (uint32_t i = 0; i < users->count; i++) {
		if (len > USERS_TEXT) {
			snprintf(buf + len, CELL_MAX - len, ", and %u more", users->count - i);
			return;
		}
		len += (size_t)snprintf(buf + len, CELL_MAX - len, "%s%u (%s)", len ? ", " : "",
					users->user[i].pid, users->user[i].comm);
	}
}

static void fill_row(const struct weft_card_info *card, char cell[COL_COUNT][CELL_MAX])
{
	struct users users = find_users(card);

	snprintf(cell[COL_NAME], CELL_MAX, "%s", card->name);
	snprintf(cell[COL_BDF], CELL_MAX, "%s", card->bdf);
	weft_ip_text(&card->ip, cell[COL_ADDRESS], CELL_MAX);
	weft_gid_text(&card->gid, cell[COL_GID], CELL_MAX);
	snprintf(cell[COL_GBPS], CELL_MAX, "%u", card->gbps);
	snprintf(cell[COL_ID], CELL_MAX, "v%u/0x%x", generation_of(card), card->part_id);
	caps_text(card->caps, cell[COL_CAPS]);
	if (card->numa < 0)
		snprintf(cell[COL_NUMA], CELL_MAX, "-");
	else
		snprintf(cell[COL_NUMA], CELL_MAX, "%d", card->numa);
	users_text(&users, cell[COL_USERS]);
	free(users.user);
}

static bool fits_terminal(int width)
{
	struct winsize size;

	return !isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_col ||
	       width <= size.ws_col;
}

static int print_text(const struct weft_card_info *cards, uint32_t count)
{
	char(*rows)[COL_COUNT][CELL_MAX] = calloc(count, sizeof(*rows));
	int width[COL_COUNT], total = 0;

	if (!rows) {
		perror(CMD);
		return 2;
	}
	for (uint32_t c = 0; c < COL_COUNT; c++)
		width[c] = (int)strlen(headings[c]);
	for (uint32_t i = 0; i < count; i++) {
		fill_row(&cards[i], rows[i]);
		for (uint32_t c = 0; c < COL_COUNT; c++)
			width[c] = WEFT_MAX(width[c], (int)strlen(rows[i][c]));
	}
	for (uint32_t c = 0; c < COL_COUNT; c++)
		total += width[c] + (c ? 2 : 0);
	if (fits_terminal(total)) {
		/* The last column is not padded. */
		for (uint32_t c = 0; c < COL_COUNT; c++)
			printf("%-*s%s", c + 1 < COL_COUNT ? width[c] : 0, headings[c],
			       c + 1 < COL_COUNT ? "  " : "\n");
		for (uint32_t i = 0; i < count; i++)
			for (uint32_t c = 0; c < COL_COUNT; c++)
				printf("%-*s%s", c + 1 < COL_COUNT ? width[c] : 0, rows[i][c],
				       c + 1 < COL_COUNT ? "  " : "\n");
	} else {
		for (uint32_t i = 0; i < count; i++) {
			if (i)
				putchar('\n');
			for (uint32_t c = 0; c < COL_COUNT; c++)
				printf("%-8s %s\n", headings[c], rows[i][c]);
		}
	}
	free(rows);
	return 0;
}

static void print_json_card(const struct weft_card_info *card)
{
	struct users users = find_users(card);
	char text[64];
	bool any = false;

	printf("{\"index\": %u, \"name\": \"%s\", \"pci\": \"%s\"", card->index, card->name,
	       card->bdf);
	fputs(", \"address\": ", stdout);
	weft_json_string(weft_ip_text(&card->ip, text, sizeof(text)));
	printf(", \"gid\": \"%s\"", weft_gid_text(&card->gid, text, sizeof(text)));
	printf(", \"port_base\": %u, \"mtu\": %u, \"gbps\": %u", card->port_base, card->mtu,
	       card->gbps);
	printf(", \"generation\": %u, \"device_id\": \"0x%x\"", generation_of(card), card->part_id);
	fputs(", \"caps\": [", stdout);
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(cap_names); i++) {
		if (!(card->caps & cap_names[i].cap))
			continue;
		printf("%s\"%s\"", any ? ", " : "", cap_names[i].name);
		any = true;
	}
	if (card->numa < 0)
		fputs("], \"numa\": null", stdout);
	else
		printf("], \"numa\": %d", card->numa);
	fputs(", \"used_by\": [", stdout);
	for (uint32_t i = 0; i < users.count; i++) {
		printf("%s{\"pid\": %u, \"comm\": ", i ? ", " : "", users.user[i].pid);
		weft_json_string(users.user[i].comm);
		printf(", \"qps\": %u}", users.user[i].qps);
	}
	fputs("]}", stdout);
	free(users.user);
}

static int print_cards(bool json)
{
	const struct weft_card_info *cards;
	const char *why;
	uint32_t count;

	if (!weft_args_check_settings(CMD))
		return 2;
	if (weft_cardset_get(&cards, &count, &why)) {
		fprintf(stderr, CMD ": %s\n", why);
		return 2;
	}
	if (weft_cardset_note())
		fprintf(stderr, CMD ": note: %s\n", weft_cardset_note());
	if (!json)
		return print_text(cards, count);
	fputs("{\"instance\": ", stdout);
	weft_json_string(weft_conf_get()->instance[0] ? weft_conf_get()->instance : NULL);
	fputs(", \"note\": ", stdout);
	weft_json_string(weft_cardset_note());
	fputs(", \"cards\": [", stdout);
	for (uint32_t i = 0; i < count; i++) {
		printf("%s\n  ", i ? "," : "");
		print_json_card(&cards[i]);
	}
	puts("\n]}");
	return 0;
}

/* Counters */

struct counters_view {
	bool json, all;
	uint32_t printed;
};

static void print_counters_json(const struct weft_counters_page *page,
				const struct weft_counters_card *row, bool more)
{
	char text[64];

	printf("%s\n  {\"pid\": %u, \"comm\": ", more ? "," : "", page->pid);
	weft_json_string(page->comm);
	printf(", \"started\": %" PRIu64 ".%09u, \"card\": ", page->started_ns / 1000000000u,
	       (unsigned int)(page->started_ns % 1000000000u));
	weft_json_string(row->name);
	printf(", \"gid\": \"%s\"", weft_gid_text(&row->gid, text, sizeof(text)));
	if (row->slot == WEFT_COUNTERS_NO_SLOT)
		fputs(", \"slot\": null", stdout);
	else
		printf(", \"slot\": %u", row->slot);
	printf(", \"qps\": %u, \"counters\": {", row->qps);
	for (uint32_t i = 0; i < WEFT_COUNTER_COUNT; i++)
		printf("%s\"%s\": %" PRIu64, i ? ", " : "", weft_counter_name(i), row->value[i]);
	fputs("}}", stdout);
}

static void print_counters_text(const struct weft_counters_page *page,
				const struct weft_counters_card *row, const struct counters_view *v)
{
	char text[64];

	printf("%s%u (%s) %s %s, %u qp%s\n", v->printed ? "\n" : "", page->pid, page->comm,
	       row->name, weft_gid_text(&row->gid, text, sizeof(text)), row->qps,
	       row->qps == 1 ? "" : "s");
	for (uint32_t i = 0; i < WEFT_COUNTER_COUNT; i++)
		if (v->all || row->value[i])
			printf("  %-28s %20" PRIu64 "\n", weft_counter_name(i), row->value[i]);
}

/* A row without a name belongs to a card that the process never opened. */
static void print_page(void *arg, const struct weft_counters_page *page, bool stale)
{
	struct counters_view *v = arg;

	for (uint32_t i = 0; i < page->cards && !stale; i++) {
		const struct weft_counters_card *row = &page->card[i];
		bool any = is_in_use(row);

		for (uint32_t k = 0; k < WEFT_COUNTER_COUNT; k++)
			any |= row->value[k] != 0;
		if (!row->name[0] || !any)
			continue;
		if (v->json)
			print_counters_json(page, row, v->printed != 0);
		else
			print_counters_text(page, row, v);
		v->printed++;
	}
}

static int print_counters(bool json, bool all)
{
	struct counters_view view = { .json = json, .all = all };
	const char *dir = weft_conf_get()->run_dir;
	int err;

	if (!weft_args_check_settings(CMD))
		return 2;
	if (json)
		putchar('[');
	err = weft_counters_each(dir, print_page, &view);
	if (json)
		puts("\n]");
	if (err) {
		fprintf(stderr, CMD ": cannot read %s: %s\n", dir, strerror(-err));
		return 2;
	}
	if (!view.printed && !json)
		fprintf(stderr, CMD ": no process of yours uses a card (none has counters in %s)\n",
			dir);
	return 0;
}

int weft_cmd_info(int argc, char **argv)
{
	bool json = false, counters = false, all = false;

	for (int i = 1; i < argc; i++) {
		int got = weft_args_setting(CMD, argc, argv, &i);

		if (got < 0)
			return 2;
		if (got)
			continue;
		if (!strcmp(argv[i], "--json")) {
			json = true;
		} else if (!strcmp(argv[i], "--counters")) {
			counters = true;
		} else if (!strcmp(argv[i], "--all")) {
			all = true;
		} else {
			fprintf(stderr, CMD ": no such argument: %.64s\n", argv[i]);
			return 2;
		}
	}
	if (all && !counters) {
		fputs(CMD ": --all goes with --counters\n", stderr);
		return 2;
	}
	return counters ? print_counters(json, all) : print_cards(json);
}
