/* SPDX-License-Identifier: GPL-2.0 */
/*
 * debugfs.h - queues, segments and mappings of a board, for root.
 */
#ifndef SLUICE_DEBUGFS_H
#define SLUICE_DEBUGFS_H

struct sluice_board;

void sluice_debugfs_init(void);
void sluice_debugfs_exit(void);
void sluice_debugfs_add(struct sluice_board *board);
void sluice_debugfs_remove(struct sluice_board *board);

#endif /* SLUICE_DEBUGFS_H */
