/* SPDX-License-Identifier: GPL-2.0 */
/*
 * platform.h - the platform driver.
 */
#ifndef SLUICE_PLATFORM_H
#define SLUICE_PLATFORM_H

int sluice_platform_init(void);
void sluice_platform_exit(void);

#endif /* SLUICE_PLATFORM_H */
