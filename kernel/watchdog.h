/* SPDX-License-Identifier: GPL-2.0 */
/*
 * watchdog.h - looks after queues: lost interrupts, polling, hangs.
 */
#ifndef SLUICE_WATCHDOG_H
#define SLUICE_WATCHDOG_H

struct sluice_sdi;

void sluice_watchdog_init(struct sluice_sdi *sdi);
void sluice_watchdog_start(struct sluice_sdi *sdi);
void sluice_watchdog_stop(struct sluice_sdi *sdi);
void sluice_watchdog_kick(struct sluice_sdi *sdi);
void sluice_watchdog_hung(struct sluice_sdi *sdi);
unsigned int sluice_watchdog_limit_ms(void);

#endif /* SLUICE_WATCHDOG_H */
