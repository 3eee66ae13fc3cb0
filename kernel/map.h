/* SPDX-License-Identifier: GPL-2.0 */
/*
 * map.h - the board in user space: mappings, and taking them back.
 */
#ifndef SLUICE_MAP_H
#define SLUICE_MAP_H

#include <linux/list.h>
#include <linux/types.h>

struct pid;
struct sluice_board;
struct sluice_file;
struct sluice_mem;
struct vm_area_struct;

/**
 * struct sluice_mapping - a VMA
 * @list: in sluice_board.vmas
 * @vma: whose vm_private_data points back here
 * @mem: the object, referenced, or NULL: a window
 * @window: index of the window, or handle of the object
 * @offset: from the start of the window or object
 * @requested: SLUICE_MAP_*
 * @effective: SLUICE_MAP_* that the page tables have
 * @pid: process that made it, referenced
 * @revoked: taken back; a touch is a fault
 */
struct sluice_mapping {
	struct list_head list;
	struct vm_area_struct *vma;
	struct sluice_mem *mem;
	u32 window;
	u64 offset;
	u32 requested;
	u32 effective;
	struct pid *pid;
	bool revoked;
};

int sluice_map_vma(struct sluice_file *sf, struct vm_area_struct *vma);
void sluice_map_revoke(struct sluice_board *board, const struct sluice_mem *mem);

#endif /* SLUICE_MAP_H */
