/* SPDX-License-Identifier: BSD-2-Clause */
/* The reader of YAML, with a file of any bytes. */
#include "fuzz.h"

#include "fuzz_doc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_doc(data, size, weft_doc_read_yaml);
	return 0;
}
