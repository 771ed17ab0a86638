/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_ADVICE_LINT_RULES_H
#define WEFT_ADVICE_LINT_RULES_H

/* What the rules have in common, inside of lint. A rule gets a node of the type that it is about, asks, and
 * reports; it takes part in nothing else. */
#include "advice/doc/doc.h"
#include "advice/lint/lint.h"
#include "advice/lint/schema.h"
#include "advice/lint/shell.h"

#define LINT_GROUPS_MAX 64u

/* A security group of which some rule was seen, by how the file calls it. */
struct lint_group {
	char name[128];
	uint32_t at; /* Of the first self rule. */
	bool in, out;
};

struct lint {
	const struct weft_lint_options *options;
	struct weft_findings *findings;
	struct weft_lint_edits *edits; /* Or NULL. */
	const char *file;
	const char *bytes;
	uint32_t len;
	struct weft_lines lines;
	bool known; /* There is something in it that lint judges. */
	bool hcl; /* Scalars convert, and fields are spelt in its way. */
	bool dockerfile;
	uint32_t nested; /* Scripts in scripts. */
	enum weft_severity
		syntax; /* What a text that cannot be read is worth: pieces are often shortened. */
	const struct weft_instance *launched; /* Of the command whose argument is read. */
	struct lint_group group[LINT_GROUPS_MAX];
	uint32_t groups;
};

/* A node on its way from the root. */
struct lint_at {
	const struct weft_doc_node *node;
	enum weft_type type;
	const struct lint_at *up; /* NULL at the root. */
	bool strict; /* Of a format all of whose fields we know. */
};

/* At an offset in the file; the severity is that of the table, or another. */
void lint_report(struct lint *l, enum weft_finding_id id, uint32_t at, const char *evidence, ...)
	__attribute__((format(printf, 4, 5)));
void lint_add(struct lint *l, enum weft_finding_id id, enum weft_severity severity, uint32_t at,
	      const char *evidence, ...) __attribute__((format(printf, 5, 6)));

/* The exact fix of what was just reported. */
#define lint_fix(l, ...) weft_findings_fix((l)->findings, __VA_ARGS__)

/* Its certain fix: bytes [at, end) of the file, which have to be `was`, become `with`. */
void lint_edit(struct lint *l, uint32_t at, uint32_t end, const char *was, const char *with);

/* The first node upwards of that type, this one included; NULL: none. */
const struct lint_at *lint_up(const struct lint_at *at, enum weft_type type);

/* The type of that name, a SageMaker name ("ml.p5.48xlarge") included. */
const struct weft_instance *lint_instance(const char *name);

/* Of its accelerators, "A100:8". NULL: unknown, or several that differ in what matters. */
const struct weft_instance *lint_instance_of_accelerators(const char *text);

/* Where the node will run, as far as it or what is around it says. */
const struct weft_instance *lint_instance_at(const struct lint *l, const struct lint_at *at);

/* "at most 12.5 of 50 GB/s", for k of the type's EFAs, into buf. */
const char *lint_bandwidth(const struct weft_instance *it, uint64_t k, char *buf, size_t size);

/* An environment variable that is set; `it` may be NULL. Nothing is reported as worse than `most`. */
void lint_env(struct lint *l, const char *name, const char *value, uint32_t at,
	      const struct weft_instance *it, enum weft_severity most);

/* A text in which paths may stand that are not what they were. */
void lint_paths(struct lint *l, const char *text, uint32_t at);

/* A container image. */
void lint_image(struct lint *l, const char *image, uint32_t at);

/* What rules need to know of where a command runs. Zeros: unknown. */
struct lint_place {
	const struct weft_instance *instance;
	uint64_t nodes, slots; /* Slots of a node. */
	uint64_t tasks, gpus; /* What #SBATCH lines have said so far. */
	bool nccl; /* What MPI starts here does not send with it. */
};

/* A whole script; words of one command. */
void lint_script(struct lint *l, const struct weft_text *text, const struct lint_place *place);
void lint_command(struct lint *l, const struct weft_shell_word *word, uint32_t words,
		  const struct lint_place *place);

/* A script in a scalar. */
void lint_scalar_script(struct lint *l, const struct weft_doc_node *node,
			const struct lint_place *place);

/* sh, bash and the like, by any path. */
bool lint_is_shell(const char *path);

/* Is it a program that MPI only starts: whose data goes through NCCL, most likely? */
bool lint_is_nccl_program(const char *path);

/* A self rule of a security group was seen. Judged when the file ends. */
void lint_group_rule(struct lint *l, const char *name, bool out, uint32_t at);
void lint_groups_end(struct lint *l);

/* A list of network interfaces for an instance type (or NULL); `whole`: the map they are in. */
void lint_interfaces(struct lint *l, const struct weft_doc_node *list,
		     const struct weft_instance *it, uint32_t at);

/* Reads a document in a piece of text and walks it. */
void lint_yaml(struct lint *l, const struct weft_text *text);
void lint_json(struct lint *l, const struct weft_text *text);
void lint_hcl(struct lint *l, const struct weft_text *text);

/* The interfaces that a command gets as an argument. */
void lint_json_interfaces(struct lint *l, const struct weft_text *text,
			  const struct weft_instance *it);

/* A piece of text of which nobody says what it is: a block of a document, or a here-document. */
void lint_piece(struct lint *l, const struct weft_text *text);

/* A scalar's text with its places in the file: each line of a literal one is found again. */
void lint_scalar_text(struct lint *l, const struct weft_doc_node *node,
		      struct weft_text_builder *b);

/* A node of that type, with all that is in it. */
void lint_walk(struct lint *l, const struct weft_doc_node *node, enum weft_type type,
	       const struct lint_at *up, bool strict);

/* Rules by type of node: rules_*.c each have some. */
typedef void (*lint_rule)(struct lint *l, const struct lint_at *at);

void lint_rule_pod(struct lint *l, const struct lint_at *at);
void lint_rule_container(struct lint *l, const struct lint_at *at);
void lint_rule_fragment(struct lint *l, const struct lint_at *at);
void lint_rule_volume(struct lint *l, const struct lint_at *at);
void lint_rule_env(struct lint *l, const struct lint_at *at);
void lint_rule_mpijob(struct lint *l, const struct lint_at *at);
void lint_rule_runpolicy(struct lint *l, const struct lint_at *at);
void lint_rule_sky(struct lint *l, const struct lint_at *at);
void lint_rule_eks_group(struct lint *l, const struct lint_at *at);
void lint_rule_sysctls(struct lint *l, const struct lint_at *at);
void lint_rule_pc_queue(struct lint *l, const struct lint_at *at);
void lint_rule_tf_group(struct lint *l, const struct lint_at *at);
void lint_rule_launch(struct lint *l, const struct lint_at *at);

/* The resources and blocks of a Terraform file that are no module's. */
void lint_terraform(struct lint *l, const struct weft_doc_node *root);

#endif
