/* SPDX-License-Identifier: GPL-2.0 */
/*
 * irq.h - the interrupt line of a board.
 */
#ifndef SLUICE_IRQ_H
#define SLUICE_IRQ_H

#include <linux/types.h>

struct sluice_board;
struct sluice_file;
struct sluice_irq;

int sluice_irq_connect(struct sluice_board *board, unsigned int irq);
void sluice_irq_disconnect(struct sluice_board *board);
void sluice_irq_disarm(struct sluice_board *board);
u64 sluice_irq_count(struct sluice_board *board);
bool sluice_irq_news(struct sluice_file *sf);
int sluice_irq_ioctl(struct sluice_file *sf, struct sluice_irq *arg);

#endif /* SLUICE_IRQ_H */
