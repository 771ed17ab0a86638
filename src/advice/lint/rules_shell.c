/* SPDX-License-Identifier: BSD-2-Clause */
/* Rules about commands and the scripts that they stand in: variables that are set, how MPI is started, what the AWS
 * command line is asked for.
 *
 * Whatever has an expansion in it is unknown and no rule speaks of it, except about what stands there in letters. */
#define _GNU_SOURCE
#include "advice/env.h"
#include "advice/lint/rules.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 4u

/* `shell`: what the words are from; NULL: from a list, of which no word is a text of its own. */
static void run_command(struct lint *l, const struct weft_shell *shell,
			const struct weft_shell_word *w, uint32_t words,
			const struct lint_place *place);

static bool number_of(const struct weft_shell_word *w, uint64_t *value_out)
{
	char *end;

	if (w->dynamic || w->text[0] < '0' || w->text[0] > '9' || w->len > 9)
		return false;
	*value_out = strtoull(w->text, &end, 10);
	return !*end;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* NAME=VALUE, of which the word is all. False: it is none. */
static bool check_assignment(struct lint *l, const struct weft_shell_word *w,
			     const struct lint_place *place)
{
	uint32_t len = weft_shell_assigned(w->text);
	char name[128];

	if (!len)
		return false;
	if (len >= sizeof(name) || w->dynamic)
		return true;
	memcpy(name, w->text, len);
	name[len] = '\0';
	/* Where MPI only starts NCCL's programs, its own way does not matter. */
	if (place->nccl && !strncmp(name, "OMPI_MCA_", 9))
		return true;
	/* And there TCP is what somebody compares with. */
	lint_env(l, name, w->text + len + 1, w->at, place->instance,
		 place->nccl && !strcmp(name, "NCCL_NET") ? WEFT_SEV_NOTE : WEFT_SEV_FAIL);
	return true;
}

/* MPI */

struct mpirun {
	uint64_t np, per_node;
	uint32_t np_at, per_node_at;
	const struct weft_shell_word *pml, *btl, *mtl; /* The values; NULL: not given. */
	const struct weft_shell_word *flag; /* The first of them, */
	const struct weft_shell_word *hosts;
	bool oversubscribe; /* More processes than slots, and wanted so. */
	uint32_t program; /* Its index, or the number of words. */
};

/* How many words belong to an option, itself not counted. */
static uint32_t values_of(const char *option)
{
	static const char *const one[] = {
		"np",
		"n",
		"c",
		"N",
		"npernode",
		"ppn",
		"hostfile",
		"machinefile",
		"f",
		"H",
		"host",
		"hosts",
		"map-by",
		"bind-to",
		"rank-by",
		"x",
		"wdir",
		"wd",
		"prefix",
		"tune",
		"am",
		"path",
		"output-filename",
		"rankfile",
		"rf",
		"cpu-set",
		"timeout",
		"launcher",
		"iface",
		"perhost",
		"npersocket",
		"app",
		"output",
		"hosts-file",
		"default-hostfile",
	};
	static const char *const two[] = { "mca", "gmca", "omca", "prtemca", "genv", "env" };

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(two); i++)
		if (!strcmp(option, two[i]))
			return 2;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(one); i++)
		if (!strcmp(option, one[i]))
			return 1;
	return 0;
}

static void on_mca(struct mpirun *m, const struct weft_shell_word *name)
{
	const struct weft_shell_word *value = name + 1;

	if (!strcmp(name->text, "pml"))
		m->pml = value;
	else if (!strcmp(name->text, "btl"))
		m->btl = value;
	else if (!strcmp(name->text, "mtl"))
		m->mtl = value;
	else
		return;
	if (!m->flag)
		m->flag = name - 1;
}

static void on_option(struct lint *l, struct mpirun *m, const char *option,
		      const struct weft_shell_word *value, const struct lint_place *place)
{
	unsigned long long n;

	if (!strcmp(option, "np") || !strcmp(option, "n") || !strcmp(option, "c")) {
		if (number_of(value, &m->np))
			m->np_at = value->at;
	} else if (!strcmp(option, "N") || !strcmp(option, "npernode") || !strcmp(option, "ppn")) {
		if (number_of(value, &m->per_node))
			m->per_node_at = value->at;
	} else if (!strcmp(option, "map-by") && strcasestr(value->text, "oversubscribe")) {
		m->oversubscribe = !strcasestr(value->text, "nooversubscribe");
	} else if (!strcmp(option, "map-by") && !value->dynamic &&
		   sscanf(value->text, "ppr:%9llu:node", &n) == 1) {
		m->per_node = n;
		m->per_node_at = value->at;
	} else if (!strcmp(option, "x")) {
		(void)check_assignment(l, value, place);
	} else if (!strcmp(option, "H") || !strcmp(option, "host")) {
		/* Not MPICH's -hosts: there a host takes as many as it is given. */
		m->hosts = value;
	}
}

static struct mpirun read_mpirun(struct lint *l, const struct weft_shell_word *w, uint32_t words,
				 const struct lint_place *place)
{
	struct mpirun m = { .program = words };

	for (uint32_t i = 1; i < words; i++) {
		const char *option = w[i].text;
		uint32_t values;

		if (*option != '-') {
			m.program = i;
			break;
		}
		option += strspn(option, "-");
		values = values_of(option);
		m.oversubscribe |= !strcmp(option, "oversubscribe");
		if (i + values >= words)
			break;
		if (values == 2 && strstr(option, "mca"))
			on_mca(&m, &w[i + 1]);
		else if (values == 2)
			lint_env(l, w[i + 1].text, w[i + 2].dynamic ? "" : w[i + 2].text,
				 w[i + 1].at, place->instance, WEFT_SEV_FAIL);
		else if (values == 1)
			on_option(l, &m, option, &w[i + 1], place);
		i += values;
	}
	return m;
}

static bool is_off_efa(const char *variable, const struct weft_shell_word *value)
{
	struct weft_env_context nothing = { .rdma_read = WEFT_UNKNOWN };

	return value && !value->dynamic &&
	       weft_env_judge(variable, value->text, &nothing).verdict == WEFT_ENV_HARMFUL;
}

/* Do MPI's own messages go over EFA with these flags? */
static void check_transport(struct lint *l, const struct mpirun *m, const char *program)
{
	bool nccl = program && lint_is_nccl_program(program);
	bool pml = is_off_efa("OMPI_MCA_pml", m->pml), mtl = is_off_efa("OMPI_MCA_mtl", m->mtl);
	bool btl = is_off_efa("OMPI_MCA_btl", m->btl);
	bool cm = m->pml && !strcmp(m->pml->text, "cm");

	if (!m->flag || (!pml && !mtl && (!btl || cm)))
		return;
	lint_add(l, WEFT_FINDING_ENV_TCP, nccl ? WEFT_SEV_NOTE : WEFT_SEV_WARN, m->flag->at,
		 "%s%.40s%s%.40s%s%.40s: MPI's own messages are not on EFA%s%.60s%s",
		 pml ? "pml " : "", pml ? m->pml->text : "", mtl ? " mtl " : "",
		 mtl ? m->mtl->text : "", btl ? " btl " : "", btl ? m->btl->text : "",
		 nccl ? " (right for " : "", nccl ? base_name(program) : "",
		 nccl ? ", if its data goes through NCCL)" : "");
	if (nccl)
		lint_fix(l, "nothing here; for programs that send with MPI: --mca pml cm --mca mtl "
			    "ofi");
	else
		lint_fix(l, "--mca pml cm --mca mtl ofi");
}

/* What "-H a:8,b:8" has room for; 0: unknown. */
static uint64_t slots_of_hosts(const struct weft_shell_word *hosts)
{
	uint64_t sum = 0;

	if (!hosts || hosts->dynamic)
		return 0;
	for (const char *p = hosts->text; *p;) {
		size_t len = strcspn(p, ",");
		const char *colon = memchr(p, ':', len);

		sum += colon ? strtoull(colon + 1, NULL, 10) : 1;
		p += len + (p[len] == ',');
	}
	return sum;
}

static void check_processes(struct lint *l, const struct mpirun *m, const struct lint_place *place)
{
	uint64_t all = place->nodes * place->slots, room = slots_of_hosts(m->hosts);

	if (m->oversubscribe)
		return;
	if (all && m->np && m->np != all)
		lint_report(l, WEFT_FINDING_MPI_SLOTS, m->np_at,
			    "%" PRIu64 " processes, and %" PRIu64 " nodes of %" PRIu64
			    " slots are %" PRIu64,
			    m->np, place->nodes, place->slots, all);
	else if (m->np && room && m->np > room)
		lint_report(l, WEFT_FINDING_MPI_SLOTS, m->np_at,
			    "%" PRIu64 " processes, and the hosts have %" PRIu64 " slots", m->np,
			    room);
	if (place->slots && m->per_node && m->per_node != place->slots)
		lint_report(l, WEFT_FINDING_MPI_SLOTS, m->per_node_at,
			    "%" PRIu64 " processes on a node of %" PRIu64 " slots", m->per_node,
			    place->slots);
}

static void check_mpirun(struct lint *l, const struct weft_shell *shell,
			 const struct weft_shell_word *w, uint32_t words,
			 const struct lint_place *place)
{
	struct mpirun m = read_mpirun(l, w, words, place);

	check_transport(l, &m, m.program < words ? w[m.program].text : NULL);
	check_processes(l, &m, place);
	if (m.program < words)
		run_command(l, shell, w + m.program, words - m.program, place);
}

static bool is_mpirun(const char *name)
{
	return !strncmp(name, "mpirun", 6) || !strncmp(name, "mpiexec", 7) ||
	       !strcmp(name, "orterun") || !strcmp(name, "prterun");
}

/* torchrun --nproc_per_node=8 */
static void check_torchrun(struct lint *l, const struct weft_shell_word *w, uint32_t words,
			   const struct lint_place *place)
{
	uint32_t gpus = place->instance ? weft_fact_or(place->instance->accelerators, 0) : 0;
	unsigned long long n;

	for (uint32_t i = 1; i < words && gpus; i++) {
		const char *s = w[i].text;

		if (w[i].dynamic ||
		    (strncmp(s, "--nproc_per_node=", 17) && strncmp(s, "--nproc-per-node=", 17)))
			continue;
		if (sscanf(s + 17, "%9llu", &n) == 1 && n != gpus)
			lint_report(l, WEFT_FINDING_MPI_SLOTS, w[i].at,
				    "%llu processes on a node, and a %s has %u accelerators", n,
				    place->instance->name, gpus);
	}
}

/* #SBATCH --ntasks-per-node=8 --gpus-per-node=8 */
static void check_sbatch(struct lint *l, const struct weft_shell_word *w, uint32_t words,
			 struct lint_place *place)
{
	unsigned long long n;

	for (uint32_t i = 1; i < words; i++) {
		const char *s = w[i].text;

		if (sscanf(s, "--nodes=%9llu", &n) == 1)
			place->nodes = n;
		else if (sscanf(s, "--ntasks-per-node=%9llu", &n) == 1)
			place->tasks = n;
		else if (sscanf(s, "--gpus-per-node=%9llu", &n) == 1 ||
			 sscanf(s, "--gres=gpu:%9llu", &n) == 1)
			place->gpus = n;
		else if (!strncmp(s, "--constraint=", 13) && lint_instance(s + 13))
			place->instance = lint_instance(s + 13);
		else
			continue;
		if (place->gpus && place->tasks > place->gpus) {
			lint_report(l, WEFT_FINDING_MPI_SLOTS, w[i].at,
				    "%" PRIu64 " tasks on a node, and %" PRIu64 " GPUs",
				    place->tasks, place->gpus);
			place->gpus = 0;
		}
	}
}

/* AWS */

/* The value of an option; NULL: it is not there. "--name=value" is one word. */
static const struct weft_shell_word *option(const struct weft_shell_word *w, uint32_t words,
					    const char *name)
{
	for (uint32_t i = 1; i + 1 < words; i++)
		if (!strcmp(w[i].text, name))
			return &w[i + 1];
	return NULL;
}

/* "${SG}" and "$SG" are one. */
static void name_of_group(const char *text, char *name, size_t size)
{
	size_t n = 0;

	for (; *text && n + 1 < size; text++)
		if (*text != '{' && *text != '}' && *text != '"')
			name[n++] = *text;
	name[n] = '\0';
}

static void check_authorize(struct lint *l, const struct weft_shell_word *w, uint32_t words,
			    bool out)
{
	const struct weft_shell_word *group = option(w, words, "--group-id");
	const struct weft_shell_word *protocol = option(w, words, "--protocol");
	const struct weft_shell_word *other = option(w, words, "--source-group");
	const struct weft_shell_word *permissions = option(w, words, "--ip-permissions");
	char name[128], text[1024];

	if (!group)
		group = option(w, words, "--group-name");
	if (!group)
		return;
	name_of_group(group->text, name, sizeof(name));
	if (other && protocol &&
	    (!strcmp(protocol->text, "-1") || !strcmp(protocol->text, "all"))) {
		name_of_group(other->text, text, sizeof(text));
		if (!strcmp(name, text))
			lint_group_rule(l, name, out, w[0].at);
	}
	if (permissions) {
		name_of_group(permissions->text, text, sizeof(text));
		if ((strstr(text, "IpProtocol=-1") || strstr(text, "IpProtocol: -1") ||
		     strstr(text, "IpProtocol:-1")) &&
		    *name && strstr(text, name))
			lint_group_rule(l, name, out, w[0].at);
	}
}

/* One interface in the command line's shorthand, as a member of a map that lies in `m`: name=value,name=value. */
struct shorthand {
	struct weft_doc_node node[24];
	struct weft_doc_node key[24];
	char text[512];
};

static bool read_shorthand(const struct weft_shell_word *w, struct shorthand *s,
			   struct weft_doc_node *map_out)
{
	uint32_t n = 0;

	*map_out = (struct weft_doc_node){
		.kind = WEFT_DOC_MAP, .text = "", .at = w->at, .end = w->end
	};
	if (w->len >= sizeof(s->text) || w->text[0] == '[' || w->text[0] == '{')
		return false;
	memcpy(s->text, w->text, w->len + 1);
	for (char *p = s->text; *p && n < WEFT_ARRAY_SIZE(s->node);) {
		size_t len = strcspn(p, ","), key = strcspn(p, "=");
		char *next = p + len + (p[len] == ',');

		p[len] = '\0';
		if (key < len) {
			p[key] = '\0';
			s->key[n] = (struct weft_doc_node){
				.text = p, .len = (uint32_t)key, .at = w->at, .end = w->at
			};
			s->node[n] = (struct weft_doc_node){ .text = p + key + 1,
							     .len = (uint32_t)(len - key - 1),
							     .key = &s->key[n],
							     .at = w->at,
							     .end = w->at };
			/* Only what stands there in letters is known. */
			s->node[n].flags = strchr(p + key + 1, '$') ? WEFT_DOC_EXPR : 0;
			if (n)
				s->node[n - 1].next = &s->node[n];
			else
				map_out->child = &s->node[0];
			n++;
		}
		p = next;
	}
	return n > 0;
}

static void check_shorthands(struct lint *l, const struct weft_shell_word *w, uint32_t words,
			     const struct weft_instance *it)
{
	struct weft_doc_node list = { .kind = WEFT_DOC_LIST, .text = "", .at = w->at };
	struct weft_doc_node *map = calloc(words, sizeof(*map));
	struct shorthand *s = calloc(words, sizeof(*s));
	uint32_t n = 0;

	for (uint32_t i = 0; map && s && i < words && strncmp(w[i].text, "--", 2) != 0; i++) {
		if (!read_shorthand(&w[i], &s[n], &map[n]))
			continue;
		if (n)
			map[n - 1].next = &map[n];
		n++;
	}
	if (n) {
		list.child = map;
		lint_interfaces(l, &list, it, w->at);
	}
	free(map);
	free(s);
}

static void check_run_instances(struct lint *l, const struct weft_shell *shell,
				const struct weft_shell_word *w, uint32_t words)
{
	const struct weft_shell_word *type = option(w, words, "--instance-type");
	const struct weft_shell_word *interfaces = option(w, words, "--network-interfaces");
	const struct weft_shell_word *placement = option(w, words, "--placement");
	const struct weft_shell_word *reservation =
		option(w, words, "--capacity-reservation-specification");
	const struct weft_instance *it = type && !type->dynamic ? lint_instance(type->text) : NULL;

	if (placement && strstr(placement->text, "GroupName") && reservation &&
	    strstr(reservation->text, "CapacityReservationTarget"))
		lint_report(l, WEFT_FINDING_AWS_RESERVATION, placement->at,
			    "a placement group and a capacity reservation");
	if (!interfaces)
		return;
	if (interfaces->text[0] == '[' && shell) {
		struct weft_text text =
			weft_shell_word_text(shell, (uint32_t)(interfaces - shell->word));

		lint_json_interfaces(l, &text, it ? it : l->options->instance);
		return;
	}
	check_shorthands(l, interfaces, words - (uint32_t)(interfaces - w),
			 it ? it : l->options->instance);
}

static void check_aws(struct lint *l, const struct weft_shell *shell,
		      const struct weft_shell_word *w, uint32_t words)
{
	const char *what = words > 2 && !strcmp(w[1].text, "ec2") ? w[2].text : "";
	const struct weft_shell_word *data = option(w, words, "--launch-template-data");

	if (!strcmp(what, "authorize-security-group-ingress"))
		check_authorize(l, w, words, false);
	else if (!strcmp(what, "authorize-security-group-egress"))
		check_authorize(l, w, words, true);
	else if (!strcmp(what, "run-instances"))
		check_run_instances(l, shell, w, words);
	else if (data && data->text[0] == '{' && shell) {
		struct weft_text text = weft_shell_word_text(shell, (uint32_t)(data - shell->word));

		lint_json(l, &text);
	}
}

/* Other commands */

/* `docker run -e NAME=VALUE` and its relatives. */
static void check_container_run(struct lint *l, const struct weft_shell_word *w, uint32_t words,
				const struct lint_place *place)
{
	for (uint32_t i = 1; i < words; i++) {
		if ((!strcmp(w[i].text, "-e") || !strcmp(w[i].text, "--env")) && i + 1 < words)
			(void)check_assignment(l, &w[i + 1], place);
		else if (!strncmp(w[i].text, "--env=", 6) && weft_shell_assigned(w[i].text + 6)) {
			struct weft_shell_word moved = w[i];

			moved.text += 6;
			moved.len -= 6;
			(void)check_assignment(l, &moved, place);
		}
	}
}

static void check_names(struct lint *l, const struct weft_shell_word *w, uint32_t words)
{
	for (uint32_t i = 1; i < words; i++)
		if (!strcmp(base_name(w[i].text), "aws-efa-k8s-device-plugin-daemonset"))
			lint_report(l, WEFT_FINDING_PLUGIN_NAME, w[i].at, "%s", w[i].text);
}

bool lint_is_shell(const char *path)
{
	static const char *const shells[] = { "sh", "bash", "dash", "zsh", "ksh" };

	for (size_t i = 0; i < WEFT_ARRAY_SIZE(shells); i++)
		if (!strcmp(base_name(path), shells[i]))
			return true;
	return false;
}

/* The script of `bash -lc SCRIPT`, or NULL. */
static const struct weft_shell_word *inner_script(const struct weft_shell_word *w, uint32_t words)
{
	for (uint32_t i = 1; i + 1 < words && w[i].text[0] == '-'; i++)
		if (w[i].text[1] != '-' && strchr(w[i].text, 'c'))
			return &w[i + 1];
	return NULL;
}

/* Behind the options of srun, which take their value with a `=` or as a number of its own. */
static uint32_t srun_program(const struct weft_shell_word *w, uint32_t words)
{
	uint64_t n;
	uint32_t i = 1;

	while (i < words && (w[i].text[0] == '-' || number_of(&w[i], &n)))
		i++;
	return i;
}

static void run_command(struct lint *l, const struct weft_shell *shell,
			const struct weft_shell_word *w, uint32_t words,
			const struct lint_place *place)
{
	const char *name;

	while (words && check_assignment(l, w, place)) {
		w++;
		words--;
	}
	if (!words)
		return;
	name = base_name(w[0].text);
	if (!strcmp(name, "export") || !strcmp(name, "env") || !strcmp(name, "declare") ||
	    !strcmp(name, "local")) {
		uint32_t i = 1;

		while (i < words && (w[i].text[0] == '-' || check_assignment(l, &w[i], place)))
			i++;
		if (!strcmp(name, "env") && i < words)
			run_command(l, shell, w + i, words - i, place);
	} else if (is_mpirun(name)) {
		check_mpirun(l, shell, w, words, place);
	} else if (!strcmp(name, "srun")) {
		uint32_t i = srun_program(w, words);

		if (i < words)
			run_command(l, shell, w + i, words - i, place);
	} else if (!strcmp(name, "torchrun")) {
		check_torchrun(l, w, words, place);
	} else if (!strcmp(name, "aws")) {
		check_aws(l, shell, w, words);
	} else if (!strcmp(name, "docker") || !strcmp(name, "podman") || !strcmp(name, "nerdctl")) {
		check_container_run(l, w, words, place);
	} else if (!strcmp(name, "kubectl") || !strcmp(name, "helm")) {
		check_names(l, w, words);
	} else if (lint_is_shell(name) && shell && inner_script(w, words)) {
		const struct weft_shell_word *script = inner_script(w, words);
		struct weft_text text =
			weft_shell_word_text(shell, (uint32_t)(script - shell->word));

		lint_script(l, &text, place);
	}
}

void lint_command(struct lint *l, const struct weft_shell_word *w, uint32_t words,
		  const struct lint_place *place)
{
	run_command(l, NULL, w, words, place);
	for (uint32_t i = 0; i < words; i++)
		lint_paths(l, w[i].text, w[i].at);
}

/* What is inside of the first $(...) of a word is a script, too. */
static void check_substitution(struct lint *l, const struct weft_shell *shell, uint32_t word,
			       const struct lint_place *place)
{
	const struct weft_shell_word *w = &shell->word[word];
	const char *open = w->dynamic ? strstr(w->text, "$(") : NULL;
	struct weft_text text;

	if (!open || open[2] == '(')
		return;
	text = weft_shell_word_text(shell, word);
	text.from += (uint32_t)(open + 2 - w->text);
	text.len -= (uint32_t)(open + 2 - w->text);
	text.bytes = open + 2;
	/* Its end, or nearly: what follows the last bracket is no command. */
	while (text.len && text.bytes[text.len - 1] != ')')
		text.len--;
	text.len -= text.len > 0;
	lint_script(l, &text, place);
}

/* A here-document is a file of its own. */
static void check_heres(struct lint *l, const struct weft_shell *shell)
{
	for (uint32_t i = 0; i < shell->heres; i++) {
		struct weft_text text = *shell->text;

		text.bytes += shell->here[i].at;
		text.from += shell->here[i].at;
		text.len = shell->here[i].len;
		lint_piece(l, &text);
	}
}

/* What a command starts with MPI: 1: a program that uses NCCL, -1: another one, 0: none, or a script of its own. */
static int started(const struct weft_shell_word *w, uint32_t words)
{
	const char *name = base_name(w[0].text);
	bool slurm = !strcmp(name, "srun");
	uint32_t program;

	if (!slurm && !is_mpirun(name))
		return 0;
	for (uint32_t i = 1; i < words; i++)
		if (lint_is_nccl_program(w[i].text))
			return 1;
	program = slurm ? srun_program(w, words) : words;
	return program < words && lint_is_shell(w[program].text) ? 0 : -1;
}

/* Does the script start nothing with MPI but programs that use NCCL? */
static bool is_only_nccl(const struct weft_text *text)
{
	struct weft_shell *shell = malloc(sizeof(*shell));
	bool nccl = false, other = false;

	if (!shell)
		return false;
	weft_shell_init(shell, text);
	while (!other && weft_shell_next(shell)) {
		int what = started(shell->word, shell->words);

		nccl |= what > 0;
		other |= what < 0;
	}
	weft_shell_fini(shell);
	free(shell);
	return nccl && !other;
}

void lint_script(struct lint *l, const struct weft_text *text, const struct lint_place *place)
{
	struct lint_place here = *place;
	struct weft_shell *shell;

	if (l->nested == DEPTH_MAX || !text->len)
		return;
	shell = malloc(sizeof(*shell));
	if (!shell)
		return;
	l->nested++;
	if (!here.instance)
		here.instance = l->options->instance;
	here.nccl |= is_only_nccl(text);
	weft_shell_init(shell, text);
	while (weft_shell_next(shell)) {
		if (shell->word[0].text[0] == '#')
			check_sbatch(l, shell->word, shell->words, &here);
		else
			run_command(l, shell, shell->word, shell->words, &here);
		for (uint32_t i = 0; i < shell->words; i++) {
			lint_paths(l, shell->word[i].text, shell->word[i].at);
			check_substitution(l, shell, i, &here);
		}
		check_heres(l, shell);
	}
	if (shell->too_long)
		lint_report(l, WEFT_FINDING_INPUT, weft_text_file_at(text, 0),
			    "%u command(s) too long to be read", shell->too_long);
	weft_shell_fini(shell);
	free(shell);
	l->nested--;
}

void lint_scalar_script(struct lint *l, const struct weft_doc_node *node,
			const struct lint_place *place)
{
	struct weft_text_builder b;
	struct weft_text text;

	weft_text_builder_init(&b);
	lint_scalar_text(l, node, &b);
	text = weft_text_builder_text(&b);
	lint_script(l, &text, place);
	weft_text_builder_fini(&b);
}
