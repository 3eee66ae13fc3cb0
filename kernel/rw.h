/* SPDX-License-Identifier: GPL-2.0 */
/*
 * rw.h - pread() and pwrite() at cookies.
 */
#ifndef SLUICE_RW_H
#define SLUICE_RW_H

#include <linux/types.h>

struct file;

ssize_t sluice_rw_read(struct file *file, char __user *to, size_t count, loff_t *pos);
ssize_t sluice_rw_write(struct file *file, const char __user *from, size_t count, loff_t *pos);

#endif /* SLUICE_RW_H */
