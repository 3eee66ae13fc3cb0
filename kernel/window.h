/* SPDX-License-Identifier: GPL-2.0 */
/*
 * window.h - the windows of a plain board, whatever its bus.
 */
#ifndef SLUICE_WINDOW_H
#define SLUICE_WINDOW_H

#include <linux/types.h>

struct resource;
struct sluice_board;

int sluice_window_add(struct sluice_board *board, const struct resource *range, u32 number);
void sluice_windows_remove(struct sluice_board *board);

#endif /* SLUICE_WINDOW_H */
