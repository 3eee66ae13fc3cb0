/* SPDX-License-Identifier: GPL-2.0 */
/*
 * phys.h - any device register of the machine, where the administrator allows it.
 */
#ifndef SLUICE_PHYS_H
#define SLUICE_PHYS_H

#include <linux/types.h>

struct sluice_file;
struct sluice_phys;

bool sluice_phys_is_on(void);
int sluice_phys_range(u64 start, u64 length);
int sluice_phys_call(struct sluice_file *sf, struct sluice_phys *arg);

#endif /* SLUICE_PHYS_H */
