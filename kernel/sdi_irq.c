// SPDX-License-Identifier: GPL-2.0
/*
 * sdi_irq.c - interrupts of a board with the Device Interface.
 *
 * A vector for each queue if there are enough, fewer shared by queues, one line
 * for all of them, or none: whatever is lost or missing, the tick (watchdog.c)
 * looks after the queues, so an interrupt is only ever the faster way.
 */
#include <linux/interrupt.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "board.h"
#include "queue.h"
#include "sdi.h"
#include "trace.h"

static char *irq_mode = "msix";
module_param(irq_mode, charp, 0444);
MODULE_PARM_DESC(irq_mode, "most that is tried for boards with queues: msix (default), intx or poll");

/* Wakes those who wait for a queue of that vector. */
static void sluice_sdi_irq_wake(struct sluice_sdi *sdi, u32 vector)
{
	struct sluice_board *board = sdi->board;
	unsigned long flags;
	u64 count;
	u32 i;

	spin_lock_irqsave(&sdi->irq_lock, flags);
	spin_lock(&board->irq_lock);
	count = ++board->irq_count;
	spin_unlock(&board->irq_lock);
	for (i = 0; i < sdi->figures.n_queues; i++)
		if (sdi->queues[i] && sdi->queues[i]->vector == vector) {
			sluice_queue_wake(sdi->queues[i]);
			sluice_ring_interrupt(sdi->queues[i]);
		}
	spin_unlock_irqrestore(&sdi->irq_lock, flags);
	trace_sluice_irq(board->node, count);
	wake_up_all(&board->irq_wait);
}

static irqreturn_t sluice_sdi_vector(int irq, void *data)
{
	struct sluice_vector *vector = data;

	sluice_sdi_irq_wake(vector->sdi, vector->index);
	return IRQ_HANDLED;
}

/* A line may be shared, and is level-triggered: the board lets go once irq_seen is up to date. */
static irqreturn_t sluice_sdi_line(int irq, void *data)
{
	struct sluice_vector *vector = data;
	struct sluice_sdi *sdi = vector->sdi;
	u64 events = sluice_sdi_read64(sdi, SLUICE_SDI_PAGE_CONTROL, SLUICE_CONTROL_AT(irq_events));

	if (events == sluice_sdi_read64(sdi, SLUICE_SDI_PAGE_CONTROL, SLUICE_CONTROL_AT(irq_seen)))
		return IRQ_NONE;
	sluice_sdi_write64(sdi, SLUICE_SDI_PAGE_CONTROL, SLUICE_CONTROL_AT(irq_seen), events);
	sluice_sdi_irq_wake(sdi, vector->index);
	return IRQ_HANDLED;
}

static void sluice_sdi_vectors_free(struct sluice_sdi *sdi)
{
	while (sdi->n_vectors) {
		struct sluice_vector *vector = &sdi->vectors[--sdi->n_vectors];

		free_irq(vector->irq, vector);
	}
	kfree(sdi->vectors);
	sdi->vectors = NULL;
	sdi->board->bus->vectors_put(sdi->board);
}

static int sluice_sdi_vectors_try(struct sluice_sdi *sdi, enum sluice_irq_mode mode)
{
	struct sluice_board *board = sdi->board;
	bool msix = mode == SLUICE_IRQ_MSIX;
	int n, i, err;

	n = board->bus->vectors_get(board, sdi->figures.n_vectors, msix);
	if (n <= 0)
		return n ? n : -ENXIO;
	sdi->vectors = kcalloc(n, sizeof(*sdi->vectors), GFP_KERNEL);
	if (!sdi->vectors) {
		board->bus->vectors_put(board);
		return -ENOMEM;
	}
	for (i = 0; i < n; i++) {
		struct sluice_vector *vector = &sdi->vectors[i];

		vector->sdi = sdi;
		vector->index = i;
		vector->irq = board->bus->vector(board, i);
		if (msix)
			snprintf(vector->name, sizeof(vector->name), "%s-v%d", board->node, i);
		else
			strscpy(vector->name, board->node, sizeof(vector->name));
		err = request_irq(vector->irq, msix ? sluice_sdi_vector : sluice_sdi_line,
				  msix ? 0 : IRQF_SHARED, vector->name, vector);
		if (err) {
			sluice_sdi_vectors_free(sdi);
			return err;
		}
		sdi->n_vectors++;
	}
	sdi->mode = mode;
	return 0;
}

/**
 * sluice_sdi_irq_connect - connect the best kind of interrupts that there is
 * @sdi: with its registers mapped
 *
 * Return: 0, and polling if nothing else works; -EINVAL: the module parameter.
 */
int sluice_sdi_irq_connect(struct sluice_sdi *sdi)
{
	static const char *const names[] = {
		[SLUICE_IRQ_POLL] = "poll",
		[SLUICE_IRQ_INTX] = "intx",
		[SLUICE_IRQ_MSIX] = "msix",
	};
	int mode = match_string(names, ARRAY_SIZE(names), irq_mode);

	if (mode < 0) {
		dev_err(sdi->board->parent, "irq_mode: expected msix, intx or poll\n");
		return -EINVAL;
	}
	sdi->mode = SLUICE_IRQ_POLL;
	for (; mode > SLUICE_IRQ_POLL; mode--)
		if (!sluice_sdi_vectors_try(sdi, mode))
			break;
	return 0;
}

void sluice_sdi_irq_disconnect(struct sluice_sdi *sdi)
{
	if (sdi->mode == SLUICE_IRQ_POLL)
		return;
	/* A line that we hear no more is let go, or its neighbours are interrupted for nothing. */
	sluice_sdi_write64(sdi, SLUICE_SDI_PAGE_CONTROL, SLUICE_CONTROL_AT(irq_mask), U64_MAX);
	sluice_sdi_vectors_free(sdi);
	sdi->mode = SLUICE_IRQ_POLL;
}
