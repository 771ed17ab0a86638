/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_TESTS_FUZZ_FUZZ_DOC_H
#define WEFT_TESTS_FUZZ_FUZZ_DOC_H

/* What holds of every tree that a reader of documents gives, whatever the bytes were. */
#include "advice/doc/doc.h"

/* Reads the input with `read` and checks all that it is told. */
void fuzz_doc(const uint8_t *data, size_t size,
	      bool (*read)(const struct weft_text *text, const struct weft_doc_sink *sink));

#endif
