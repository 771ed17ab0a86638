/* SPDX-License-Identifier: BSD-2-Clause */
/* What stands between `weft run` and a program: the loader says nothing when it does not preload, and the program
 * then finds no device for no visible reason. So everything that can be known beforehand is looked at here:
 * raised rights (the loader drops LD_PRELOAD), static programs (no loader), other machines and other C
 * libraries (our library does not load), and scripts, by the program that reads them.
 *
 * Files are hostile input: all offsets and lengths in them are checked against what was read. */
#define _GNU_SOURCE
#include "cli/program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SCRIPT_DEPTH 5 /* As the kernel. */
#define PHDRS_MAX    128u

/* Reasons quote names out of files, and end up on terminals: they may not steer one. */
static bool refuse(char *why)
{
	for (; *why; why++)
		if ((unsigned char)*why < 0x20 || *why == 0x7f)
			*why = '?';
	return false;
}

struct elf {
	ElfW(Ehdr) head;
	char interp[256]; /* "": none. */
};

enum elf_kind {
	ELF_NONE, /* Not an ELF file at all. */
	ELF_FOREIGN, /* Of another machine, or broken. */
	ELF_OURS,
};

static enum elf_kind read_elf(int fd, struct elf *elf_out)
{
	struct elf e = { .interp = "" };
	uint16_t one = 1;
	unsigned char data = *(unsigned char *)&one ? ELFDATA2LSB : ELFDATA2MSB;
	ssize_t n = pread(fd, &e.head, sizeof(e.head), 0);

	if (n < EI_NIDENT || memcmp(e.head.e_ident, ELFMAG, SELFMAG) != 0)
		return ELF_NONE;
	if (n < (ssize_t)sizeof(e.head) ||
	    e.head.e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) ||
	    e.head.e_ident[EI_DATA] != data || e.head.e_phentsize != sizeof(ElfW(Phdr)) ||
	    e.head.e_phnum > PHDRS_MAX)
		return ELF_FOREIGN;
	for (unsigned int i = 0; i < e.head.e_phnum; i++) {
		ElfW(Phdr) ph;
		off_t at = (off_t)(e.head.e_phoff + i * sizeof(ph));

		if (at < 0 || pread(fd, &ph, sizeof(ph), at) != (ssize_t)sizeof(ph))
			return ELF_FOREIGN;
		if (ph.p_type != PT_INTERP)
			continue;
		if (ph.p_filesz < 2 || ph.p_filesz >= sizeof(e.interp) || (off_t)ph.p_offset < 0 ||
		    pread(fd, e.interp, ph.p_filesz, (off_t)ph.p_offset) != (ssize_t)ph.p_filesz)
			return ELF_FOREIGN;
		e.interp[ph.p_filesz] = 0;
	}
	*elf_out = e;
	return ELF_OURS;
}

/* Ourselves: the kind of program that our library was built for. */
static bool read_self(struct elf *elf_out)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	bool ok = fd >= 0 && read_elf(fd, elf_out) == ELF_OURS;

	if (fd >= 0)
		close(fd);
	return ok;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool is_same_machine(const struct elf *elf)
{
	struct elf self;

	return !read_self(&self) || self.head.e_machine == elf->head.e_machine;
}

static bool check_elf(const char *path, const struct elf *elf, char *why, size_t len)
{
	struct elf self;

	if (!is_same_machine(elf)) {
		snprintf(why, len, "%s is a program for another kind of machine", path);
		return false;
	}
	if (!elf->interp[0]) {
		snprintf(why, len,
			 "%s is statically linked: nothing can be loaded into it; link it "
			 "dynamically",
			 path);
		return false;
	}
	if (access(elf->interp, X_OK)) {
		snprintf(why, len, "%s needs the loader %.200s, which is not here", path,
			 elf->interp);
		return false;
	}
	if (read_self(&self) && self.interp[0] &&
	    strcmp(base_name(self.interp), base_name(elf->interp)) != 0) {
		snprintf(why, len, "%s is built for another C library (loader %.200s); weft for %s",
			 path, elf->interp, self.interp);
		return false;
	}
	return true;
}

static bool has_raised_rights(int fd, const char *path, const struct stat *st, char *why,
			      size_t len)
{
	const char *what = NULL;

	if (st->st_mode & S_ISUID)
		what = "setuid";
	else if ((st->st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
		what = "setgid";
	else if (fgetxattr(fd, "security.capability", NULL, 0) > 0)
		what = "given capabilities";
	if (what)
		snprintf(why, len, "%s is %s: the loader preloads nothing into such a program",
			 path, what);
	return what != NULL;
}

static bool is_program(const char *path, int *err_out)
{
	struct stat st;

	if (stat(path, &st)) {
		*err_out = errno;
	} else if (!S_ISREG(st.st_mode)) {
		*err_out = S_ISDIR(st.st_mode) ? EISDIR : EACCES;
	} else if (access(path, X_OK)) {
		*err_out = errno;
	} else {
		return true;
	}
	return false;
}

static char *cut_word(char **rest)
{
	char *word = *rest + strspn(*rest, " \t");
	size_t n = strcspn(word, " \t");

	*rest = word + n + (word[n] != 0);
	word[n] = 0;
	return word;
}

static bool can_preload(const char *path, int depth, char *why, size_t len);

/* A script runs its interpreter; `#!/usr/bin/env X` runs X. */
static bool check_script(const char *path, char *line, int depth, char *why, size_t len)
{
	char target[WEFT_PROGRAM_PATH_MAX], sub[512];
	char *rest = line + 2, *interp, *arg;
	int err;

	line[strcspn(line, "\n")] = 0;
	interp = cut_word(&rest);
	arg = cut_word(&rest);
	if (depth >= SCRIPT_DEPTH) {
		snprintf(why, len, "%s is one script too many that runs another one", path);
		return false;
	}
	snprintf(target, sizeof(target), "%s", interp);
	if (is_program(target, &err) && !strcmp(base_name(target), "env") && *arg && *arg != '-' &&
	    !strchr(arg, '=')) {
		interp = arg;
		if (!weft_program_find(arg, target, sub, sizeof(sub)))
			target[0] = 0;
	}
	if (!is_program(target, &err)) {
		/* Most often a carriage return at the end of the line, which is shown as ?. */
		snprintf(why, len, "%s needs the interpreter \"%.200s\", which is not here", path,
			 interp);
		return false;
	}
	if (can_preload(target, depth + 1, sub, sizeof(sub)))
		return true;
	snprintf(why, len, "%s: its interpreter %s", path, sub);
	return false;
}

static bool can_preload(const char *path, int depth, char *why, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char line[257] = "";
	struct stat st;
	struct elf elf;
	bool ok = false;

	if (fd < 0)
		return true;
	if (fstat(fd, &st)) {
		snprintf(why, len, "%s: %s", path, strerror(errno));
	} else if (!has_raised_rights(fd, path, &st, why, len)) {
		switch (read_elf(fd, &elf)) {
		case ELF_OURS:
			ok = check_elf(path, &elf, why, len);
			break;
		case ELF_FOREIGN:
			snprintf(why, len, "%s is a program for another kind of machine, or broken",
				 path);
			break;
		case ELF_NONE:
			if (pread(fd, line, sizeof(line) - 1, 0) >= 3 && line[0] == '#' &&
			    line[1] == '!')
				ok = check_script(path, line, depth, why, len);
			else
				snprintf(why, len,
					 "%s is neither a program nor a script (no #! in its "
					 "first line)",
					 path);
			break;
		}
	}
	close(fd);
	return ok;
}

bool weft_program_can_preload(const char *path, char *why, size_t len)
{
	return can_preload(path, 0, why, len) || refuse(why);
}

bool weft_program_is_library(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct elf elf;
	bool ok = fd >= 0 && read_elf(fd, &elf) == ELF_OURS && elf.head.e_type == ET_DYN &&
		  is_same_machine(&elf);

	if (fd >= 0)
		close(fd);
	return ok;
}

bool weft_program_find(const char *name, char path_out[WEFT_PROGRAM_PATH_MAX], char *why,
		       size_t len)
{
	const char *dirs = getenv("PATH");
	int err = ENOENT, kept = 0;

	if (strchr(name, '/')) {
		if (snprintf(path_out, WEFT_PROGRAM_PATH_MAX, "%s", name) <
			    (int)WEFT_PROGRAM_PATH_MAX &&
		    is_program(path_out, &err))
			return true;
		snprintf(why, len, "cannot run %.256s: %s", name, strerror(err));
		return refuse(why);
	}
	for (dirs = dirs ? dirs : "/usr/local/bin:/usr/bin:/bin"; *name && dirs;) {
		const char *colon = strchrnul(dirs, ':');
		int n = (int)(colon - dirs);
		int size = snprintf(path_out, WEFT_PROGRAM_PATH_MAX, "%.*s%s%s", n, dirs,
				    n ? "/" : "./", name);

		if (size < (int)WEFT_PROGRAM_PATH_MAX && is_program(path_out, &err))
			return true;
		/* Like a shell: a file of that name that cannot be run is the better explanation. */
		if (err == EACCES)
			kept = err;
		dirs = *colon ? colon + 1 : NULL;
	}
	if (kept)
		snprintf(why, len, "cannot run %.256s: %s", name, strerror(kept));
	else
		snprintf(why, len, "command not found: %.256s", name);
	return refuse(why);
}

bool weft_program_beside(const char *cmd, const char *name, char *path, size_t len)
{
	static const char *const places[] = { "", "../lib/weft/", "../lib/" };
	char self[WEFT_PROGRAM_PATH_MAX], found[WEFT_PROGRAM_PATH_MAX + 64];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0) {
		fprintf(stderr, "%s: cannot find out where this program is: %s\n", cmd,
			strerror(errno));
		return false;
	}
	self[n] = 0;
	strrchr(self, '/')[1] = 0;
	for (size_t i = 0; i < WEFT_ARRAY_SIZE(places); i++) {
		char real[WEFT_PROGRAM_PATH_MAX];

		snprintf(found, sizeof(found), "%s%s%s", self, places[i], name);
		if (access(found, R_OK) || !realpath(found, real))
			continue;
		snprintf(path, len, "%s", real);
		return true;
	}
	fprintf(stderr, "%s: there is no %s in %s, nor in ../lib/weft or ../lib of it\n", cmd, name,
		self);
	return false;
}

bool weft_program_library(const char *cmd, const char *name, char *path, size_t len)
{
	if (!weft_program_beside(cmd, name, path, len))
		return false;
	if (!weft_program_is_library(path)) {
		fprintf(stderr, "%s: %s is not a library for this machine\n", cmd, path);
		return false;
	}
	/* The loader takes LD_PRELOAD apart at both, and knows no way to quote them. */
	if (strpbrk(path, ": ")) {
		fprintf(stderr,
			"%s: the loader cannot preload from a path with a blank or colon in it: "
			"%s\n",
			cmd, path);
		return false;
	}
	return true;
}
