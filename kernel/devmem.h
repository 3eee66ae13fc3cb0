/* SPDX-License-Identifier: GPL-2.0 */
/*
 * devmem.h - who has which piece of a board's device memory.
 */
#ifndef SLUICE_DEVMEM_H
#define SLUICE_DEVMEM_H

#include <linux/list.h>
#include <linux/types.h>

struct sluice_board;

/**
 * struct sluice_devmem - the pieces given out
 * @pieces: struct sluice_piece, by offset (board's mem_lock)
 * @used: bytes in them
 */
struct sluice_devmem {
	struct list_head pieces;
	u64 used;
};

void sluice_devmem_init(struct sluice_devmem *devmem);
int sluice_devmem_alloc(struct sluice_board *board, u64 length, u64 *ret_offset);
void sluice_devmem_free(struct sluice_board *board, u64 offset);
int sluice_devmem_zero(struct sluice_board *board, u64 offset, u64 length);
u64 sluice_devmem_at(struct sluice_board *board, u64 offset);

#endif /* SLUICE_DEVMEM_H */
