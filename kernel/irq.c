// SPDX-License-Identifier: GPL-2.0
/*
 * irq.c - the interrupt line of a board: count, wake, re-arm.
 *
 * The driver of a plain board cannot know how the board takes its request back,
 * so the line is masked, in the board or in the interrupt controller, when it fires
 * and user space lets it through again. The line may be shared where the board itself
 * can be masked: what is not ours is IRQ_NONE.
 */
#include <linux/interrupt.h>

#include "board.h"
#include "file.h"
#include "irq.h"
#include "sdi.h"
#include "trace.h"

static irqreturn_t sluice_irq_handler(int irq, void *data)
{
	struct sluice_board *board = data;
	unsigned long flags;
	bool ours;
	u64 count;

	spin_lock_irqsave(&board->irq_lock, flags);
	/*
	 * A board whose line is masked may still ask for service while a
	 * neighbour on the same line is heard: only an armed line can be ours.
	 */
	ours = board->irq_armed && board->bus->irq_take(board);
	if (ours) {
		board->irq_armed = false;
		board->irq_count++;
	}
	count = board->irq_count;
	spin_unlock_irqrestore(&board->irq_lock, flags);

	if (!ours)
		return IRQ_NONE;
	trace_sluice_irq(board->node, count);
	wake_up_all(&board->irq_wait);
	return IRQ_HANDLED;
}

/**
 * sluice_irq_connect - listen to an interrupt line, masked at first
 * @board: not yet registered
 * @irq: interrupt number
 *
 * Return: 0 or a negative error.
 */
int sluice_irq_connect(struct sluice_board *board, unsigned int irq)
{
	int err;

	board->bus->irq_mask(board);
	err = request_irq(irq, sluice_irq_handler, board->bus->irq_flags, board->node, board);
	if (!err)
		board->irq = irq;
	return err;
}

void sluice_irq_disconnect(struct sluice_board *board)
{
	if (!board->irq)
		return;
	sluice_irq_disarm(board);
	free_irq(board->irq, board);
	board->irq = 0;
}

void sluice_irq_disarm(struct sluice_board *board)
{
	unsigned long flags;

	if (!board->irq)
		return;
	spin_lock_irqsave(&board->irq_lock, flags);
	board->irq_armed = false;
	board->bus->irq_mask(board);
	spin_unlock_irqrestore(&board->irq_lock, flags);
}

static void sluice_irq_arm(struct sluice_board *board)
{
	unsigned long flags;
	bool pending = false;

	spin_lock_irqsave(&board->irq_lock, flags);
	if (!board->irq_armed) {
		if (board->bus->irq_unmask(board)) {
			board->irq_armed = true;
		} else {
			/* The line is level-triggered and up: this is the next interrupt. */
			board->irq_count++;
			pending = true;
		}
	}
	spin_unlock_irqrestore(&board->irq_lock, flags);
	if (pending)
		wake_up_all(&board->irq_wait);
}

u64 sluice_irq_count(struct sluice_board *board)
{
	unsigned long flags;
	u64 count;

	spin_lock_irqsave(&board->irq_lock, flags);
	count = board->irq_count;
	spin_unlock_irqrestore(&board->irq_lock, flags);
	return count;
}

/* Has the board interrupted since this file last looked? */
bool sluice_irq_news(struct sluice_file *sf)
{
	struct sluice_board *board = sf->board;
	unsigned long flags;
	bool news;

	spin_lock_irqsave(&board->irq_lock, flags);
	news = board->irq_count != sf->irq_seen;
	spin_unlock_irqrestore(&board->irq_lock, flags);
	return news;
}

int sluice_irq_ioctl(struct sluice_file *sf, struct sluice_irq *arg)
{
	struct sluice_board *board = sf->board;
	unsigned long flags;
	int err = sluice_board_enter(board);

	if (err)
		return err;
	/* A board with queues re-arms itself: there is only the count to be had. */
	if (board->sdi ? board->sdi->mode == SLUICE_IRQ_POLL : !board->irq) {
		err = -ENXIO;
		goto out;
	}
	/* Look first, arm afterwards: what arrives in between is news to poll(). */
	spin_lock_irqsave(&board->irq_lock, flags);
	sf->irq_seen = board->irq_count;
	arg->count = sf->irq_seen;
	spin_unlock_irqrestore(&board->irq_lock, flags);
	if ((arg->flags & SLUICE_IRQ_ENABLE) && !board->sdi)
		sluice_irq_arm(board);
out:
	sluice_board_leave(board);
	return err;
}
