/* SPDX-License-Identifier: GPL-2.0 */
/*
 * reset.h - resets: asked for, by the bus, or as the last resort.
 */
#ifndef SLUICE_RESET_H
#define SLUICE_RESET_H

struct sluice_board;
struct sluice_file;
struct sluice_reset;

int sluice_reset_locked(struct sluice_board *board);
int sluice_reset_call(struct sluice_file *sf, struct sluice_reset *arg);

#endif /* SLUICE_RESET_H */
