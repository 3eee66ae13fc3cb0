/* SPDX-License-Identifier: GPL-2.0 */
/*
 * sysfs.h - what a board shows in /sys/class/misc/sluiceN.
 */
#ifndef SLUICE_SYSFS_H
#define SLUICE_SYSFS_H

#include <linux/sysfs.h>

extern const struct attribute_group *sluice_groups[];

#endif /* SLUICE_SYSFS_H */
