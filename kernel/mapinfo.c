// SPDX-License-Identifier: GPL-2.0
/*
 * mapinfo.c - which mappings there are, and who has them.
 */
#include <linux/capability.h>
#include <linux/mm.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "board.h"
#include "file.h"
#include "map.h"
#include "mapinfo.h"

/* More than a machine has processes with mappings of one board; it bounds what is allocated. */
#define SLUICE_MAX_MAPPINGS 65536u

static void sluice_mapinfo_fill(const struct sluice_mapping *mapping,
				struct sluice_mapping_info *info)
{
	const struct vm_area_struct *vma = mapping->vma;

	*info = (struct sluice_mapping_info){
		.address = vma->vm_start,
		.length = vma->vm_end - vma->vm_start,
		.offset = mapping->offset,
		.window = mapping->window,
		.pid = pid_nr_ns(mapping->pid, task_active_pid_ns(current)),
		.requested = mapping->requested,
		.effective = mapping->effective,
	};
	if (vma->vm_flags & VM_WRITE)
		info->flags |= SLUICE_MAPPING_WRITABLE;
	if (mapping->revoked)
		info->flags |= SLUICE_MAPPING_REVOKED;
	if (mapping->mem)
		info->flags |= SLUICE_MAPPING_OBJECT;
}

/* Fills in as many as there is room for; how many there are. */
static u32 sluice_mapinfo_list(struct sluice_file *sf, bool all, struct sluice_mapping_info *info,
			       u32 room)
{
	struct sluice_board *board = sf->board;
	struct sluice_mapping *mapping;
	u32 n = 0;

	mutex_lock(&board->vma_lock);
	list_for_each_entry(mapping, &board->vmas, list) {
		if (!all && mapping->vma->vm_file->private_data != sf)
			continue;
		if (n < room)
			sluice_mapinfo_fill(mapping, &info[n]);
		n++;
	}
	mutex_unlock(&board->vma_lock);
	return n;
}

int sluice_mapinfo_call(struct sluice_file *sf, struct sluice_mappings *arg)
{
	bool all = arg->flags & SLUICE_MAPPINGS_ALL;
	u32 room = min(arg->count, SLUICE_MAX_MAPPINGS);
	struct sluice_mapping_info *info = NULL;
	int err;

	if (all && !capable(CAP_SYS_PTRACE))
		return -EPERM;
	err = sluice_board_hold(sf->board);
	if (err)
		return err;
	sluice_board_leave(sf->board);
	if (room) {
		info = kvcalloc(room, sizeof(*info), GFP_KERNEL_ACCOUNT);
		if (!info)
			return -ENOMEM;
	}
	arg->total = sluice_mapinfo_list(sf, all, info, room);
	arg->count = min(arg->total, room);
	if (arg->count && copy_to_user(u64_to_user_ptr(arg->entries), info,
				       arg->count * sizeof(*info)))
		err = -EFAULT;
	kvfree(info);
	return err;
}
