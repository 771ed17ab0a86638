/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared libraries, as far as the loader's decisions go: program headers, the dynamic section, its strings, and the
 * two lists of symbol versions. Sections are not read, as the loader does not read them either.
 *
 * Only 64-bit little-endian files are of machines that EFA exists on; others are told apart and refused.
 * Every offset is checked by the read itself (weft_file_read() refuses what lies outside of the file), every
 * count has a limit, and every chain ends: links only lead forward. Chains may overlap, and names may be as long
 * as the file, so that rows are counted over all chains and long names are nobody's: names are compared later,
 * each with each. */
#include "node/elf.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#define PHDRS_MAX   128
#define DYNS_MAX    4096
#define STRINGS_MAX (16u << 20)
#define CHAIN_MAX   4096
#define NAME_LEN    255

struct load {
	uint64_t vaddr, offset, size;
};

struct reader {
	const struct weft_file *file;
	struct weft_elf *elf;
	struct load load[PHDRS_MAX];
	size_t loads;
	uint64_t dyn_offset, dyn_count;
	uint64_t strtab, strsz, verdef, verdefnum, verneed, verneednum, soname;
	bool has_soname;
	uint64_t *needed; /* owns. Offsets of strings, until these are there. */
	size_t need_rows; /* Weak ones, too. */
};

static const char *read_headers(struct reader *r)
{
	Elf64_Ehdr head;
	Elf64_Phdr ph;

	if (!weft_file_read(r->file, 0, &head, sizeof(head)) ||
	    memcmp(head.e_ident, ELFMAG, SELFMAG) != 0)
		return "not an ELF file";
	if (head.e_ident[EI_CLASS] != ELFCLASS64)
		return "not 64-bit";
	if (head.e_ident[EI_DATA] != ELFDATA2LSB)
		return "big-endian: of no machine that EFA exists on";
	if (head.e_type != ET_DYN && head.e_type != ET_EXEC)
		return "neither library nor program";
	if (head.e_phentsize != sizeof(ph) || !head.e_phnum || head.e_phnum > PHDRS_MAX)
		return "damaged program headers";
	r->elf->machine = head.e_machine;
	for (uint32_t i = 0; i < head.e_phnum; i++) {
		if (head.e_phoff > UINT64_MAX - (uint64_t)i * sizeof(ph) ||
		    !weft_file_read(r->file, head.e_phoff + i * sizeof(ph), &ph, sizeof(ph)))
			return "cut off in the program headers";
		if (ph.p_type == PT_LOAD) {
			r->load[r->loads].vaddr = ph.p_vaddr;
			r->load[r->loads].offset = ph.p_offset;
			r->load[r->loads++].size = ph.p_filesz;
		} else if (ph.p_type == PT_DYNAMIC) {
			r->dyn_offset = ph.p_offset;
			r->dyn_count = ph.p_filesz / sizeof(Elf64_Dyn);
		}
	}
	return r->dyn_count ? NULL : "no dynamic section";
}

/* Where an address is in the file; UINT64_MAX: nowhere. */
static uint64_t offset_of(const struct reader *r, uint64_t vaddr)
{
	for (size_t i = 0; i < r->loads; i++)
		if (vaddr >= r->load[i].vaddr && vaddr - r->load[i].vaddr < r->load[i].size)
			return r->load[i].offset + (vaddr - r->load[i].vaddr);
	return UINT64_MAX;
}

static const char *read_dynamic(struct reader *r)
{
	size_t count = (size_t)WEFT_MIN(r->dyn_count, (uint64_t)DYNS_MAX);

	r->needed = calloc(count, sizeof(*r->needed));
	if (!r->needed)
		return "out of memory";
	for (size_t i = 0; i < count; i++) {
		Elf64_Dyn dyn;

		if (r->dyn_offset > UINT64_MAX - i * sizeof(dyn) ||
		    !weft_file_read(r->file, r->dyn_offset + i * sizeof(dyn), &dyn, sizeof(dyn)))
			return "cut off in the dynamic section";
		if (dyn.d_tag == DT_NULL)
			break;
		if (dyn.d_tag == DT_NEEDED)
			r->needed[r->elf->needed_count++] = dyn.d_un.d_val;
		else if (dyn.d_tag == DT_STRTAB)
			r->strtab = dyn.d_un.d_ptr;
		else if (dyn.d_tag == DT_STRSZ)
			r->strsz = dyn.d_un.d_val;
		else if (dyn.d_tag == DT_SONAME) {
			r->soname = dyn.d_un.d_val;
			r->has_soname = true;
		} else if (dyn.d_tag == DT_VERDEF)
			r->verdef = dyn.d_un.d_ptr;
		else if (dyn.d_tag == DT_VERDEFNUM)
			r->verdefnum = dyn.d_un.d_val;
		else if (dyn.d_tag == DT_VERNEED)
			r->verneed = dyn.d_un.d_ptr;
		else if (dyn.d_tag == DT_VERNEEDNUM)
			r->verneednum = dyn.d_un.d_val;
	}
	return NULL;
}

static const char *read_strings(struct reader *r)
{
	struct weft_elf *elf = r->elf;

	if (!r->strsz || r->strsz > STRINGS_MAX)
		return "damaged string table";
	elf->strings = malloc(r->strsz + 1);
	if (!elf->strings)
		return "out of memory";
	if (!weft_file_read(r->file, offset_of(r, r->strtab), elf->strings, r->strsz))
		return "cut off in the string table";
	elf->strings[r->strsz] = '\0';
	elf->strings_len = r->strsz;
	return NULL;
}

static const char *string_at(const struct weft_elf *elf, uint64_t offset)
{
	const char *string = offset < elf->strings_len ? elf->strings + offset : "";

	return strnlen(string, NAME_LEN + 1) <= NAME_LEN ? string : "";
}

static const char *read_names(struct reader *r)
{
	struct weft_elf *elf = r->elf;

	if (r->has_soname)
		elf->soname = string_at(elf, r->soname);
	elf->needed = calloc(elf->needed_count + 1, sizeof(*elf->needed));
	if (!elf->needed)
		return "out of memory";
	for (size_t i = 0; i < elf->needed_count; i++)
		elf->needed[i] = string_at(elf, r->needed[i]);
	return NULL;
}

static const char *read_defines(struct reader *r)
{
	struct weft_elf *elf = r->elf;
	size_t count = (size_t)WEFT_MIN(r->verdefnum, (uint64_t)CHAIN_MAX);
	uint64_t at = offset_of(r, r->verdef);

	elf->defines = calloc(count + 1, sizeof(*elf->defines));
	if (!elf->defines)
		return "out of memory";
	for (size_t i = 0; i < count && r->verdef; i++) {
		Elf64_Verdef def;
		Elf64_Verdaux aux;

		if (at > r->file->size || !weft_file_read(r->file, at, &def, sizeof(def)) ||
		    !weft_file_read(r->file, at + def.vd_aux, &aux, sizeof(aux)))
			return "damaged symbol versions";
		elf->defines[elf->define_count++] = string_at(elf, aux.vda_name);
		if (!def.vd_next)
			break;
		at += def.vd_next;
	}
	return NULL;
}

/* The versions that are needed of one file. */
static const char *read_need(struct reader *r, uint64_t at, const Elf64_Verneed *need)
{
	struct weft_elf *elf = r->elf;
	uint64_t aux_at = at + need->vn_aux;

	for (uint32_t i = 0; i < need->vn_cnt && r->need_rows < CHAIN_MAX; i++) {
		Elf64_Vernaux aux;

		if (aux_at > r->file->size || !weft_file_read(r->file, aux_at, &aux, sizeof(aux)))
			return "damaged needs of symbol versions";
		r->need_rows++;
		if (!(aux.vna_flags & VER_FLG_WEAK)) {
			struct weft_elf_need *one = &elf->needs[elf->need_count++];

			one->file = string_at(elf, need->vn_file);
			one->version = string_at(elf, aux.vna_name);
		}
		if (!aux.vna_next)
			break;
		aux_at += aux.vna_next;
	}
	return NULL;
}

static const char *read_needs(struct reader *r)
{
	size_t count = (size_t)WEFT_MIN(r->verneednum, (uint64_t)CHAIN_MAX);
	uint64_t at = offset_of(r, r->verneed);

	r->elf->needs = calloc(CHAIN_MAX, sizeof(*r->elf->needs));
	if (!r->elf->needs)
		return "out of memory";
	for (size_t i = 0; i < count && r->verneed; i++) {
		const char *why;
		Elf64_Verneed need;

		if (at > r->file->size || !weft_file_read(r->file, at, &need, sizeof(need)))
			return "damaged needs of symbol versions";
		why = read_need(r, at, &need);
		if (why)
			return why;
		if (!need.vn_next)
			break;
		at += need.vn_next;
	}
	return NULL;
}

const char *weft_elf_read(const struct weft_file *file, struct weft_elf *elf_out)
{
	static const char *(*const steps[])(struct reader *) = {
		read_headers, read_dynamic, read_strings, read_names, read_defines, read_needs,
	};
	struct reader *r = calloc(1, sizeof(*r));
	const char *why = NULL;

	memset(elf_out, 0, sizeof(*elf_out));
	if (!r)
		return "out of memory";
	r->file = file;
	r->elf = elf_out;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(steps) && !why; i++)
		why = steps[i](r);
	free(r->needed);
	free(r);
	if (why)
		weft_elf_free(elf_out);
	return why;
}

void weft_elf_free(struct weft_elf *elf)
{
	free(elf->needed);
	free(elf->defines);
	free(elf->needs);
	free(elf->strings);
	memset(elf, 0, sizeof(*elf));
}

bool weft_elf_defines(const struct weft_elf *elf, const char *version)
{
	for (size_t i = 0; i < elf->define_count; i++)
		if (!strcmp(elf->defines[i], version))
			return true;
	return false;
}

bool weft_elf_needs(const struct weft_elf *elf, const char *soname)
{
	for (size_t i = 0; i < elf->needed_count; i++)
		if (!strcmp(elf->needed[i], soname))
			return true;
	return false;
}
