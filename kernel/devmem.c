// SPDX-License-Identifier: GPL-2.0
/*
 * devmem.c - who has which piece of a board's device memory.
 *
 * First fit over a list of pieces in order: boards hold few and large ones
 * (weights, KV cache), and what is freed is at once in one with its neighbours.
 */
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>

#include "board.h"
#include "devmem.h"
#include "sdi.h"
#include "slab.h"

/* How much is zeroed between two looks at whether the board is to be reset. */
#define SLUICE_ZERO_BYTES (1u << 20)

struct sluice_piece {
	struct list_head list;
	u64 offset;
	u64 length;
};

SLUICE_SLAB(sluice_piece);

void sluice_devmem_init(struct sluice_devmem *devmem)
{
	INIT_LIST_HEAD(&devmem->pieces);
	devmem->used = 0;
}

/**
 * sluice_devmem_alloc - find and take a piece of device memory
 * @board: an SDI board, with its mem_lock held
 * @length: bytes, whole pages
 * @ret_offset: where it is
 *
 * Return: 0 or -ENOMEM.
 */
int sluice_devmem_alloc(struct sluice_board *board, u64 length, u64 *ret_offset)
{
	struct sluice_devmem *devmem = &board->sdi->devmem;
	u64 size = board->sdi->figures.memory_size;
	struct sluice_piece *piece, *made;
	struct list_head *before = &devmem->pieces;
	u64 offset = 0;

	lockdep_assert_held(&board->mem_lock);
	list_for_each_entry(piece, &devmem->pieces, list) {
		if (length <= piece->offset - offset) {
			before = &piece->list;
			size = piece->offset;
			break;
		}
		offset = piece->offset + piece->length;
	}
	if (length > size - offset)
		return -ENOMEM;
	made = sluice_slab_alloc(&sluice_piece_slab);
	if (!made)
		return -ENOMEM;
	made->offset = offset;
	made->length = length;
	list_add_tail(&made->list, before);
	devmem->used += length;
	*ret_offset = offset;
	return 0;
}

void sluice_devmem_free(struct sluice_board *board, u64 offset)
{
	struct sluice_devmem *devmem = &board->sdi->devmem;
	struct sluice_piece *piece;

	lockdep_assert_held(&board->mem_lock);
	list_for_each_entry(piece, &devmem->pieces, list) {
		if (piece->offset != offset)
			continue;
		list_del(&piece->list);
		devmem->used -= piece->length;
		sluice_slab_free(&sluice_piece_slab, piece);
		return;
	}
	WARN_ON_ONCE(1);
}

/* The address of device memory on the CPU's bus. */
u64 sluice_devmem_at(struct sluice_board *board, u64 offset)
{
	return board->windows[SLUICE_SDI_WINDOW_MEMORY].start + offset;
}

/*
 * Through a mapping of each part in turn: mapped as a whole, the memory would
 * have this mapping's type for everybody.
 */
static int sluice_devmem_zero_part(struct sluice_board *board, u64 offset, u64 length)
{
	void __iomem *at;
	int err = sluice_board_enter(board);

	if (err)
		return err;
	at = ioremap_wc(sluice_devmem_at(board, offset), length);
	if (at) {
		memset_io(at, 0, length);
		wmb(); /* out of the write-combining buffers before anybody else looks */
		iounmap(at);
	}
	sluice_board_leave(board);
	return at ? 0 : -ENOMEM;
}

/* Zeroes a piece that nobody else has. -EINTR: the caller is being killed. */
int sluice_devmem_zero(struct sluice_board *board, u64 offset, u64 length)
{
	while (length) {
		u64 part = min_t(u64, length, SLUICE_ZERO_BYTES);
		int err = fatal_signal_pending(current) ?
				  -EINTR :
				  sluice_devmem_zero_part(board, offset, part);

		if (err)
			return err;
		offset += part;
		length -= part;
		cond_resched();
	}
	return 0;
}
