/* SPDX-License-Identifier: GPL-2.0 */
/*
 * file.h - one open file of /dev/sluiceN and what belongs to it.
 */
#ifndef SLUICE_FILE_H
#define SLUICE_FILE_H

#include <linux/fs.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/xarray.h>

struct sluice_board;

/**
 * struct sluice_file - one open file
 * @board: referenced
 * @mode: FMODE_* bits it was opened with
 * @lock: protects the three fields below
 * @ranges: ranges that this file may mmap(), struct sluice_range
 * @n_ranges: their number
 * @next_page: the next free page of the cookie space
 * @objects: memory and queues, by handle
 * @wait: pollers, woken when one of the file's queues has something
 * @irq_seen: the interrupt count that this file last read (board's irq_lock)
 */
struct sluice_file {
	struct sluice_board *board;
	fmode_t mode;
	struct mutex lock;
	struct list_head ranges;
	unsigned int n_ranges;
	u64 next_page;
	struct xarray objects;
	wait_queue_head_t wait;
	u64 irq_seen;
};

extern const struct file_operations sluice_fops;

#endif /* SLUICE_FILE_H */
