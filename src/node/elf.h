/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_NODE_ELF_H
#define WEFT_NODE_ELF_H

/* What the loader would read of a shared library: its name, what it needs, and which symbol versions it defines
 * and asks for. Any bytes may come in. */
#include "node/root.h"

struct weft_elf_need {
	const char *file, *version; /* borrow from the elf. */
};

struct weft_elf {
	uint16_t machine; /* EM_X86_64, ... */
	const char *soname; /* Or NULL. Names borrow from `strings`. */
	const char **needed; /* owns */
	const char **defines; /* owns */
	struct weft_elf_need *needs; /* owns */
	size_t needed_count, define_count, need_count;
	char *strings; /* owns */
	size_t strings_len;
};

/* NULL, or what is wrong with the file, in a few words. After NULL: weft_elf_free(). */
const char *weft_elf_read(const struct weft_file *file, struct weft_elf *elf_out);
void weft_elf_free(struct weft_elf *elf);

bool weft_elf_defines(const struct weft_elf *elf, const char *version);
bool weft_elf_needs(const struct weft_elf *elf, const char *soname);

#endif
