/* SPDX-License-Identifier: GPL-2.0 */
/*
 * buffer.h - memory objects: device memory and host memory that a board reaches.
 */
#ifndef SLUICE_BUFFER_H
#define SLUICE_BUFFER_H

#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/types.h>

#include "object.h"
#include "uapi/sluice.h"

struct dma_buf_attachment;
struct sg_table;
struct sluice_board;
struct vm_area_struct;

/* Kinds of the driver's own, beside SLUICE_ALLOC_*: a page of doorbells, a dma-buf. */
#define SLUICE_ALLOC_DOORBELL 0x100
#define SLUICE_ALLOC_IMPORTED 0x101

/**
 * struct sluice_mem - a memory object
 * @object: references
 * @list: in sluice_board.mems as long as there is memory behind it
 * @board: referenced
 * @kind: SLUICE_ALLOC_*
 * @type: SLUICE_MAP_* of host memory: that of its pages
 * @length: bytes, whole pages
 * @dead: may not be mapped any more (board's access, for writing to set it)
 * @offset: device memory: where it is; doorbells: bus address
 * @chunk_shift: host memory: bytes of a chunk, but the last may be shorter
 * @n_chunks: their number, 0 once the memory has gone
 * @pages: first page of each chunk
 * @bus: bus address of each chunk
 * @exported: host memory: its pages stay until the last reference goes
 * @attach: imported: the attachment to the dma-buf
 * @sgt: imported: its mapping
 * @lost: imported: not there any more
 *
 * Whoever uses the memory holds the board (sluice_board_hold()): when the board
 * is unbound its memory goes though there are references to the object.
 */
struct sluice_mem {
	struct sluice_object object;
	struct list_head list;
	struct sluice_board *board;
	u32 kind;
	u32 type;
	u64 length;
	bool dead;
	u64 offset;
	u32 chunk_shift;
	u32 n_chunks;
	struct page **pages;
	dma_addr_t *bus;
	bool exported;
	struct dma_buf_attachment *attach;
	struct sg_table *sgt;
	bool lost;
};

static inline void sluice_mem_put(struct sluice_mem *mem)
{
	if (mem)
		sluice_object_put(&mem->object);
}

static inline struct sluice_mem *sluice_mem_get(struct sluice_mem *mem)
{
	kref_get(&mem->object.ref);
	return mem;
}

bool sluice_mem_is_host(const struct sluice_mem *mem);
struct sluice_mem *sluice_mem_device(struct sluice_board *board, u64 length);
struct sluice_mem *sluice_mem_host(struct sluice_board *board, u32 kind, u64 length);
struct sluice_mem *sluice_mem_table(struct sluice_board *board, u64 length);
struct sluice_mem *sluice_mem_doorbell(struct sluice_board *board, phys_addr_t at);
struct sluice_mem *sluice_mem_imported(struct sluice_board *board, u64 length);
void sluice_mem_enlist(struct sluice_mem *mem);
u64 sluice_mem_chunk_bytes(const struct sluice_mem *mem, u32 i);
struct sluice_mem *sluice_mem_lookup(struct sluice_file *sf, u32 handle);
void *sluice_mem_address(const struct sluice_mem *mem);
dma_addr_t sluice_mem_bus(const struct sluice_mem *mem, u64 offset);
int sluice_mem_mmap(struct sluice_mem *mem, struct vm_area_struct *vma, u64 offset);
int sluice_mem_alloc(struct sluice_file *sf, struct sluice_alloc *arg);
void sluice_mems_drop(struct sluice_board *board);

#endif /* SLUICE_BUFFER_H */
