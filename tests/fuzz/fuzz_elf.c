/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes as a shared library. What comes out has to be of the library's own strings. */
#define _GNU_SOURCE /* memfd_create */
#include "node/elf.h"

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void check(const struct weft_elf *elf, const char *name)
{
	/* "" stands for an offset that is none. */
	if (*name && (name < elf->strings || name >= elf->strings + elf->strings_len))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct weft_file file = { .fd = memfd_create("elf", MFD_CLOEXEC), .copy = -1, .size = len };
	struct weft_elf elf;

	if (file.fd < 0 || (len && write(file.fd, data, len) != (ssize_t)len))
		abort();
	if (!weft_elf_read(&file, &elf)) {
		for (size_t i = 0; i < elf.needed_count; i++)
			check(&elf, elf.needed[i]);
		for (size_t i = 0; i < elf.define_count; i++)
			check(&elf, elf.defines[i]);
		for (size_t i = 0; i < elf.need_count; i++) {
			check(&elf, elf.needs[i].file);
			check(&elf, elf.needs[i].version);
		}
		if (elf.soname)
			check(&elf, elf.soname);
		(void)weft_elf_defines(&elf, "EFA_1.2");
		weft_elf_free(&elf);
	}
	weft_file_close(&file);
	return 0;
}
