/* SPDX-License-Identifier: BSD-2-Clause */
/* `weft info`: the cards that are here, made by weft or real, who uses them, and the counters of who does.
 *
 * A card is one row, so that grep and awk can have it; only a terminal too narrow for rows gets them upright.
 * Users come from the pages of counters in the run directory: processes of this user, with the same card at
 * the same address. */
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/fleet_source.h"
#include "cli/info_k8s.h"
#include "cli/info_node.h"
#include "cli/json.h"
#include "dev/cardset.h"
#include "dev/conf.h"
#include "dev/counters.h"
#include "node/root.h"

#include <errno.h>
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
	"       weft info --topo | --stack [--pid PID] | --fi [--json]\n"
	"       weft info --counters [--all] [--json]\n"
	"       weft info --k8s [--check] [--json] [OPTION...]\n"
	"\n"
	"Print the cards of this machine: those that weft makes for programs, and real EFA\n"
	"cards. Name, PCI address, address of the underlay, GID, speed in Gb/s, generation\n"
	"and device id, capabilities, NUMA node (-: none in particular), kind (software, efa,\n"
	"efa-only), and which processes of yours use it now.\n"
	"\n"
	"  --topo        instead, how far GPUs and real cards are apart, as NCCL names it\n"
	"  --stack       instead, the libraries that a program would load, from MPI and NCCL\n"
	"                down to the driver; with --pid, those that a process has loaded\n"
	"  --fi          instead, the cards as fi_info prints them, one block for each\n"
	"  --counters    instead, the counters of your processes that use a card\n"
	"  --all         with those that are zero\n"
	"  --k8s         instead, GPUs and EFAs of the nodes of the cluster that kubectl\n"
	"                asks, beside the EFAs that their types have; with --check exit 1\n"
	"                if a node has fewer\n"
	"  --root DIR    the machine that weft check --capture has made a copy of\n"
	"  --json        as JSON\n"
	"  SETTING       as for `weft run`: --instance, --cards, --addr, --wire, --env\n"
	"\n"
	"With --k8s:\n" WEFT_FLEET_SOURCE_USAGE;

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
	COL_KIND,
	COL_USERS,
	COL_COUNT,
};

static const char *const headings[COL_COUNT] = { "NAME",   "PCI",  "ADDRESS", "GID",  "GBIT/S",
						 "DEVICE", "CAPS", "NUMA",    "KIND", "USED BY" };

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
	snprintf(cell[COL_KIND], CELL_MAX, "software");
	users_text(&users, cell[COL_USERS]);
	free(users.user);
}

/* Real cards */

static const char *kind_of(const struct weft_node *node, const struct weft_node_card *card)
{
	switch (weft_node_kind(node, card)) {
	case WEFT_NODE_KIND_EFA:
		return "efa";
	case WEFT_NODE_KIND_EFA_ONLY:
		return "efa-only";
	case WEFT_NODE_KIND_UNKNOWN:
		return "efa or efa-only";
	}
	return "?";
}

/* What the type says goes before the port: old drivers call everything 100 Gb/s. */
static uint32_t gbps_of(const struct weft_node *node, const struct weft_node_card *card)
{
	return node->type ? weft_fact_or(node->type->gbps, (uint32_t)card->port_gbps)
			  : (uint32_t)card->port_gbps;
}

static const char *real_caps(const struct weft_node *node)
{
	if (weft_node_rdma_read(node) == WEFT_UNKNOWN)
		return "?";
	if (weft_node_rdma_read(node) == WEFT_NO)
		return "none";
	return node->type && weft_fact_or(node->type->rdma_write, 0) ? "read,write" : "read";
}

static void fill_real_row(const struct weft_node *node, const struct weft_node_card *card,
			  char cell[COL_COUNT][CELL_MAX])
{
	snprintf(cell[COL_NAME], CELL_MAX, "%s", card->name[0] ? card->name : "(no driver)");
	snprintf(cell[COL_BDF], CELL_MAX, "%s", card->pci.bdf);
	snprintf(cell[COL_ADDRESS], CELL_MAX, "-");
	snprintf(cell[COL_GID], CELL_MAX, "%s", card->gid[0] ? card->gid : "-");
	snprintf(cell[COL_GBPS], CELL_MAX, "%u", gbps_of(node, card));
	snprintf(cell[COL_ID], CELL_MAX, "v%u/0x%x", card->pci.device - 0xefa0u + 1,
		 card->pci.device);
	snprintf(cell[COL_CAPS], CELL_MAX, "%s", real_caps(node));
	if (card->pci.numa < 0)
		snprintf(cell[COL_NUMA], CELL_MAX, "-");
	else
		snprintf(cell[COL_NUMA], CELL_MAX, "%d", card->pci.numa);
	snprintf(cell[COL_KIND], CELL_MAX, "%s", kind_of(node, card));
	snprintf(cell[COL_USERS], CELL_MAX, "-");
}

static void print_json_real(const struct weft_node *node, const struct weft_node_card *card)
{
	fputs("{\"index\": null, \"name\": ", stdout);
	weft_json_string(card->name[0] ? card->name : NULL);
	fputs(", \"pci\": ", stdout);
	weft_json_string(card->pci.bdf);
	fputs(", \"address\": null, \"gid\": ", stdout);
	weft_json_string(card->gid[0] ? card->gid : NULL);
	printf(", \"port_base\": null, \"mtu\": null, \"gbps\": %u", gbps_of(node, card));
	printf(", \"generation\": %u, \"device_id\": \"0x%x\", \"caps\": ",
	       card->pci.device - 0xefa0u + 1, card->pci.device);
	/* null: sysfs does not say, and the type is not known. */
	if (weft_node_rdma_read(node) == WEFT_UNKNOWN)
		fputs("null", stdout);
	else if (weft_node_rdma_read(node) == WEFT_NO)
		fputs("[]", stdout);
	else
		fputs(strchr(real_caps(node), ',') ? "[\"read\", \"write\"]" : "[\"read\"]",
		      stdout);
	if (card->pci.numa < 0)
		fputs(", \"numa\": null", stdout);
	else
		printf(", \"numa\": %d", card->pci.numa);
	printf(", \"kind\": \"%s\", \"used_by\": []}", kind_of(node, card));
}

static bool fits_terminal(int width)
{
	struct winsize size;

	return !isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_col ||
	       width <= size.ws_col;
}

static int print_text(const struct weft_card_info *cards, uint32_t software,
		      const struct weft_node *node)
{
	uint32_t count = software + (uint32_t)node->cards;
	char(*rows)[COL_COUNT][CELL_MAX] = calloc(count + 1, sizeof(*rows));
	int width[COL_COUNT], total = 0;

	if (!rows) {
		perror(CMD);
		return 2;
	}
	for (uint32_t c = 0; c < COL_COUNT; c++)
		width[c] = (int)strlen(headings[c]);
	for (uint32_t i = 0; i < count; i++) {
		if (i < software)
			fill_row(&cards[i], rows[i]);
		else
			fill_real_row(node, &node->card[i - software], rows[i]);
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
	fputs(", \"kind\": \"software\", \"used_by\": [", stdout);
	for (uint32_t i = 0; i < users.count; i++) {
		printf("%s{\"pid\": %u, \"comm\": ", i ? ", " : "", users.user[i].pid);
		weft_json_string(users.user[i].comm);
		printf(", \"qps\": %u}", users.user[i].qps);
	}
	fputs("]}", stdout);
	free(users.user);
}

/* weft's own cards, unless a copy of another machine is looked at. */
static bool get_software(const char *root, const struct weft_card_info **cards_out,
			 uint32_t *count_out)
{
	const char *why;

	*count_out = 0;
	if (root)
		return true;
	if (!weft_args_check_settings(CMD))
		return false;
	if (weft_cardset_get(cards_out, count_out, &why)) {
		fprintf(stderr, CMD ": %s\n", why);
		return false;
	}
	if (weft_cardset_note())
		fprintf(stderr, CMD ": note: %s\n", weft_cardset_note());
	return true;
}

static int print_cards(const struct weft_node *node, const char *root, bool json)
{
	const struct weft_card_info *cards = NULL;
	uint32_t count;

	if (!get_software(root, &cards, &count))
		return 2;
	if (!json)
		return print_text(cards, count, node);
	fputs("{\"instance\": ", stdout);
	if (root)
		weft_json_string(node->type ? node->type->name : NULL);
	else
		weft_json_string(weft_conf_get()->instance[0] ? weft_conf_get()->instance : NULL);
	fputs(", \"note\": ", stdout);
	weft_json_string(root ? NULL : weft_cardset_note());
	fputs(", \"cards\": [", stdout);
	for (uint32_t i = 0; i < count + node->cards; i++) {
		printf("%s\n  ", i ? "," : "");
		if (i < count)
			print_json_card(&cards[i]);
		else
			print_json_real(node, &node->card[i - count]);
	}
	puts("\n]}");
	return 0;
}

static int print_fi(const struct weft_node *node, struct weft_root *files, const char *root,
		    bool json)
{
	const struct weft_card_info *cards = NULL;
	struct weft_info_fi *fi;
	uint32_t count;
	size_t used = 0;

	if (!get_software(root, &cards, &count))
		return 2;
	fi = calloc(count + node->cards + 1, sizeof(*fi));
	if (!fi) {
		perror(CMD);
		return 2;
	}
	for (uint32_t i = 0; i < count; i++)
		fi[used++] = (struct weft_info_fi){ cards[i].name, cards[i].bdf, cards[i].gbps };
	/* libfabric shows no card without a driver. */
	for (size_t i = 0; i < node->cards; i++)
		if (node->card[i].name[0])
			fi[used++] =
				(struct weft_info_fi){ node->card[i].name, node->card[i].pci.bdf,
						       gbps_of(node, &node->card[i]) };
	weft_info_fi_print(fi, used, files, json);
	free(fi);
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

enum view {
	VIEW_CARDS,
	VIEW_TOPO,
	VIEW_STACK,
	VIEW_FI,
	VIEW_COUNTERS,
};

struct options {
	enum view view;
	const char *root, *pid;
	bool json, all;
};

static int print_stack(const struct weft_node *node, struct weft_root *root,
		       const struct options *o)
{
	struct weft_root other, *files = root;
	char path[64];
	int err = 0;

	/* A process in a container has other files under the same names. */
	if (o->pid) {
		snprintf(path, sizeof(path), "/proc/%.20s/root", o->pid);
		err = weft_root_open(path, &other);
		files = &other;
	}
	if (!err)
		err = weft_info_stack(node, root, files, o->pid, o->json);
	if (o->pid && files == &other && !err)
		weft_root_close(&other);
	if (err)
		fprintf(stderr, CMD ": process %s: %s\n", o->pid,
			err == -ENOENT || err == -ESRCH ? "there is none, or it is not yours"
							: strerror(-err));
	return err ? 2 : 0;
}

static int print_view(const struct options *o)
{
	struct weft_node *node = malloc(sizeof(*node));
	struct weft_root root;
	int status = 2, err = weft_root_open(o->root ? o->root : "/", &root);

	if (err || !node) {
		fprintf(stderr, CMD ": %s: %s\n", o->root ? o->root : "/",
			strerror(err ? -err : ENOMEM));
		if (!err)
			weft_root_close(&root);
		free(node);
		return 2;
	}
	weft_node_read(&root, "self", NULL, node);
	if (o->view == VIEW_TOPO) {
		weft_info_topo(node, o->json);
		status = 0;
	} else if (o->view == VIEW_STACK) {
		status = print_stack(node, &root, o);
	} else if (o->view == VIEW_FI) {
		status = print_fi(node, &root, o->root, o->json);
	} else {
		status = print_cards(node, o->root, o->json);
	}
	weft_node_free(node);
	weft_root_close(&root);
	free(node);
	return status;
}

static bool take_view(const char *name, struct options *o)
{
	static const struct {
		const char *name;
		enum view view;
	} views[] = { { "--topo", VIEW_TOPO },
		      { "--stack", VIEW_STACK },
		      { "--fi", VIEW_FI },
		      { "--counters", VIEW_COUNTERS } };

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(views); i++) {
		if (strcmp(name, views[i].name) != 0)
			continue;
		o->view = views[i].view;
		return true;
	}
	return false;
}

static bool parse(int argc, char **argv, struct options *o)
{
	for (int i = 1; i < argc; i++) {
		int got = weft_args_setting(CMD, argc, argv, &i);

		if (!got)
			got = weft_args_value(CMD, argc, argv, &i, "--root", &o->root);
		if (!got)
			got = weft_args_value(CMD, argc, argv, &i, "--pid", &o->pid);
		if (got < 0)
			return false;
		if (got || take_view(argv[i], o))
			continue;
		if (!strcmp(argv[i], "--json")) {
			o->json = true;
		} else if (!strcmp(argv[i], "--all")) {
			o->all = true;
		} else {
			fprintf(stderr, CMD ": no such argument: %.64s\n", argv[i]);
			return false;
		}
	}
	if (o->all && o->view != VIEW_COUNTERS) {
		fputs(CMD ": --all goes with --counters\n", stderr);
		return false;
	}
	if (o->pid &&
	    (o->view != VIEW_STACK || o->root || strspn(o->pid, "0123456789") != strlen(o->pid))) {
		fputs(CMD ": --pid is a number, and goes with --stack and without --root\n",
		      stderr);
		return false;
	}
	if (o->root && o->view == VIEW_COUNTERS) {
		fputs(CMD ": --counters are of this machine, without --root\n", stderr);
		return false;
	}
	return true;
}

int weft_cmd_info(int argc, char **argv)
{
	struct options o = { .view = VIEW_CARDS };

	/* Of a cluster, and not of this machine: other options. */
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], "--k8s"))
			return weft_info_k8s(argc, argv);
	if (!parse(argc, argv, &o))
		return 2;
	return o.view == VIEW_COUNTERS ? print_counters(o.json, o.all) : print_view(&o);
}
