/* SPDX-License-Identifier: GPL-2.0 */
/*
 * hwmon.h - the clocks of a board as sensors, where the kernel has hwmon.
 */
#ifndef SLUICE_HWMON_H
#define SLUICE_HWMON_H

struct sluice_board;

#if IS_REACHABLE(CONFIG_HWMON)
void sluice_hwmon_add(struct sluice_board *board);
void sluice_hwmon_remove(struct sluice_board *board);
#else
static inline void sluice_hwmon_add(struct sluice_board *board)
{
}

static inline void sluice_hwmon_remove(struct sluice_board *board)
{
}
#endif

#endif /* SLUICE_HWMON_H */
