// SPDX-License-Identifier: GPL-2.0
/*
 * reset.c - resets: asked for, or as the last resort.
 *
 * A reset of an SDI board is a request to the board. Queues die, mappings are
 * taken back, objects stay. A board that does not acknowledge its reset is cut
 * off from memory and left alone until somebody tries again.
 */
#include "board.h"
#include "file.h"
#include "reset.h"
#include "sdi.h"

/**
 * sluice_reset_locked - reset an SDI board, and bring it up again
 * @board: with its reset_lock held
 *
 * Return: 0; -ENODEV: it is gone; another negative error: it does not come up,
 * and does no DMA.
 */
int sluice_reset_locked(struct sluice_board *board)
{
	int err;

	lockdep_assert_held(&board->reset_lock);
	if (board->state == SLUICE_BOARD_GONE)
		return -ENODEV;
	sluice_board_close(board, SLUICE_BOARD_IN_RESET);
	err = sluice_sdi_start(board->sdi);
	WRITE_ONCE(board->sdi->hung, false);
	sluice_board_open(board, err);
	if (err)
		dev_err(board->parent, "%s: reset failed: %d\n", board->node, err);
	return err;
}

int sluice_reset_call(struct sluice_file *sf, struct sluice_reset *arg)
{
	struct sluice_board *board = sf->board;
	int err;

	if (arg->reserved0)
		return -EINVAL;
	if (board->sdi) {
		if (mutex_lock_interruptible(&board->reset_lock))
			return -EINTR;
		err = sluice_exports_bar(&board->exports, arg->flags & SLUICE_RESET_FORCE);
		if (!err) {
			err = sluice_reset_locked(board);
			sluice_exports_unbar(&board->exports);
		}
		mutex_unlock(&board->reset_lock);
	} else {
		err = board->bus->reset(board);
	}
	arg->n_resets = READ_ONCE(board->n_resets);
	return err;
}
