/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef WEFT_TESTS_NCCL_FAKE_CUDA_H
#define WEFT_TESTS_NCCL_FAKE_CUDA_H

/* A stand-in for libcuda (fake_cuda.c): what a test asks of it beside libcuda's own functions. The variable FAKE_CUDA holds what is
 * to go wrong, words by comma:
 *
 *	noipc	memory cannot be mapped by other processes	copy	copies fail at their end
 *	submit	copies cannot be started			foreign	memory is of a context that is not the device's own
 *	vmm	memory is made of mappings, and shared by descriptors */
#include <stddef.h>
#include <stdint.h>

void *fake_cuda_alloc(int dev, size_t len);
void *fake_cuda_host(size_t len); /* Pinned; never freed. */
void fake_cuda_free(void *p);
int fake_cuda_dmabuf(
	void *p); /* A descriptor of its allocation, which can be sought through like a dma-buf's. */
void fake_cuda_write(void *p, const void *data, size_t len);
void fake_cuda_read(const void *p, void *data, size_t len);
unsigned int fake_cuda_mapped(
	void); /* Mappings of other processes' memory that this one has now. */
uint64_t fake_cuda_copied(void); /* Bytes that went from device to device. */

#endif
