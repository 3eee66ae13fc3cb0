// SPDX-License-Identifier: GPL-2.0
/*
 * map.c - the board in user space: mappings, and taking them back.
 *
 * A mapping's page table entries are made at once, in mmap(), and never by a
 * fault: a fault on a mapping means that it was taken back. The board keeps a
 * list of its own of every VMA, forked and moved ones too, because the file's
 * list does not have a VMA yet while its mmap() is running.
 */
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>

#include "board.h"
#include "buffer.h"
#include "compat.h"
#include "cookie.h"
#include "file.h"
#include "map.h"
#include "memtype.h"
#include "slab.h"
#include "trace.h"

SLUICE_SLAB(sluice_mapping);

static void sluice_mapping_add(struct sluice_board *board, struct sluice_mapping *mapping,
			       struct vm_area_struct *vma)
{
	mapping->vma = vma;
	mapping->pid = get_pid(task_tgid(current));
	if (mapping->mem)
		sluice_mem_get(mapping->mem);
	vma->vm_private_data = mapping;
	mutex_lock(&board->vma_lock);
	list_add_tail(&mapping->list, &board->vmas);
	mutex_unlock(&board->vma_lock);
}

static struct sluice_board *sluice_vma_board(struct vm_area_struct *vma)
{
	struct sluice_file *sf = vma->vm_file->private_data;

	return sf->board;
}

/* A VMA was copied, by fork() or on the way of an mremap(). */
static void sluice_vma_open(struct vm_area_struct *vma)
{
	const struct sluice_mapping *from = vma->vm_private_data;
	struct sluice_mapping *mapping = NULL;

	if (from)
		mapping = sluice_slab_alloc(&sluice_mapping_slab);
	if (!mapping) {
		/*
		 * What cannot be listed cannot be taken back later: take a child's
		 * copy back now. A move has no entries yet, and is refused below.
		 */
		vma->vm_private_data = NULL;
		if (vma->vm_mm != current->mm)
			zap_vma_ptes(vma, vma->vm_start, vma->vm_end - vma->vm_start);
		return;
	}
	*mapping = *from;
	sluice_mapping_add(sluice_vma_board(vma), mapping, vma);
}

static void sluice_vma_close(struct vm_area_struct *vma)
{
	struct sluice_board *board = sluice_vma_board(vma);
	struct sluice_mapping *mapping = vma->vm_private_data;

	if (!mapping)
		return;
	mutex_lock(&board->vma_lock);
	list_del(&mapping->list);
	mutex_unlock(&board->vma_lock);
	sluice_mem_put(mapping->mem);
	put_pid(mapping->pid);
	sluice_slab_free(&sluice_mapping_slab, mapping);
}

/* A mapping is made and removed as a whole. */
static int sluice_vma_may_split(struct vm_area_struct *vma, unsigned long address)
{
	return -EINVAL;
}

/* Moving brings the entries over after open(): refuse where open() could not list the VMA. */
static int sluice_vma_mremap(struct vm_area_struct *vma)
{
	return vma->vm_private_data ? 0 : -ENOMEM;
}

static vm_fault_t sluice_vma_fault(struct vm_fault *vmf)
{
	return VM_FAULT_SIGBUS;
}

static const struct vm_operations_struct sluice_vm_ops = {
	.open = sluice_vma_open,
	.close = sluice_vma_close,
	.may_split = sluice_vma_may_split,
	.mremap = sluice_vma_mremap,
	.fault = sluice_vma_fault,
};

static bool sluice_range_writable(struct sluice_board *board, const struct sluice_range *range)
{
	if (range->read_only)
		return false;
	return range->mem || (board->windows[range->window].caps & SLUICE_WINDOW_CAN_WRITE);
}

static int sluice_vma_fill(struct sluice_board *board, struct vm_area_struct *vma,
			   const struct sluice_range *range)
{
	const struct sluice_win *win;

	vma->vm_page_prot = sluice_prot_of_type(vma->vm_page_prot, range->type);
	if (range->mem)
		return range->mem->dead ? -EINVAL :
					  sluice_mem_mmap(range->mem, vma, range->offset);
	win = &board->windows[range->window];
	vm_flags_mod(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP, 0);
	/* remap_pfn_range() for what is I/O: encrypted guests need the difference. */
	return io_remap_pfn_range(vma, vma->vm_start, (win->start + range->offset) >> PAGE_SHIFT,
				  vma->vm_end - vma->vm_start, vma->vm_page_prot);
}

/* With the board entered: the mapping is made while it cannot be taken back. */
static int sluice_vma_make(struct sluice_board *board, struct vm_area_struct *vma,
			   const struct sluice_range *range, struct sluice_mapping *mapping)
{
	bool writable = sluice_range_writable(board, range);
	int err;

	if ((vma->vm_flags & VM_WRITE) && !writable)
		return -EACCES;
	vm_flags_mod(vma, 0, writable ? VM_MAYEXEC : VM_MAYEXEC | VM_MAYWRITE);
	err = sluice_vma_fill(board, vma, range);
	if (err)
		return err;
	*mapping = (struct sluice_mapping){
		.mem = range->mem,
		.window = range->window,
		.offset = range->offset,
		.requested = range->type,
		.effective = sluice_vma_type(vma, range->type),
	};
	/*
	 * Somebody else has mapped this memory with another type, which rules. Less
	 * caching than was asked for is only slow; more breaks programs.
	 */
	if (mapping->effective > mapping->requested)
		return -EBUSY;
	vma->vm_ops = &sluice_vm_ops;
	sluice_mapping_add(board, mapping, vma);
	return 0;
}

/**
 * sluice_map_vma - mmap() of a cookie
 * @sf: the file
 * @vma: not yet linked anywhere
 *
 * Return: 0 or a negative error.
 */
int sluice_map_vma(struct sluice_file *sf, struct vm_area_struct *vma)
{
	struct sluice_board *board = sf->board;
	struct sluice_mapping *mapping;
	struct sluice_range range;
	int err;

	/* A read-only file's shared mapping has lost VM_SHARED by now, but not VM_MAYSHARE. */
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EPERM;
	err = sluice_cookie_find(sf, vma->vm_pgoff, vma_pages(vma), &range);
	if (err)
		return err;
	mapping = sluice_slab_alloc(&sluice_mapping_slab);
	if (!mapping) {
		sluice_mem_put(range.mem);
		return -ENOMEM;
	}
	err = sluice_board_enter(board);
	if (!err) {
		err = sluice_vma_make(board, vma, &range, mapping);
		sluice_board_leave(board);
	}
	sluice_mem_put(range.mem);
	if (err)
		sluice_slab_free(&sluice_mapping_slab, mapping);
	else
		trace_sluice_map(board->node, vma->vm_start, vma->vm_end - vma->vm_start);
	return err;
}

/* A process with live mappings (of @mem, if not NULL), referenced, or NULL when there is none. */
static struct mm_struct *sluice_map_next_mm(struct sluice_board *board,
					    const struct sluice_mem *mem)
{
	struct sluice_mapping *mapping;
	struct mm_struct *mm = NULL;

	mutex_lock(&board->vma_lock);
	list_for_each_entry(mapping, &board->vmas, list) {
		if (mapping->revoked || (mem && mapping->mem != mem))
			continue;
		if (mmget_not_zero(mapping->vma->vm_mm)) {
			mm = mapping->vma->vm_mm;
			break;
		}
		/* Its process is past its last instruction and is being taken apart. */
		mapping->revoked = true;
	}
	mutex_unlock(&board->vma_lock);
	return mm;
}

/* With its mm's mmap_lock held for writing, so that it is linked and stays so. */
static void sluice_mapping_zap(struct sluice_board *board, struct sluice_mapping *mapping)
{
	struct vm_area_struct *vma = mapping->vma;
	unsigned long length = vma->vm_end - vma->vm_start;

	lockdep_assert_held(&board->vma_lock);
	mapping->revoked = true;
	/* Only PFN mappings can be zapped by VMA; pages are by file offset, whoever maps it. */
	if (vma->vm_flags & VM_PFNMAP)
		zap_vma_ptes(vma, vma->vm_start, length);
	else
		unmap_mapping_range(vma->vm_file->f_mapping, (loff_t)vma->vm_pgoff << PAGE_SHIFT,
				    length, 1);
	trace_sluice_revoke(board->node, vma->vm_start, length);
}

/**
 * sluice_map_revoke - take back mappings
 * @board: the board
 * @mem: whose mappings; NULL: all
 *
 * No new one can be made: the board is not live, or @mem is dead.
 *
 * mmap_lock comes before vma_lock, so go process by process: pick one under
 * vma_lock, let go, take its mmap_lock, then look again. It is taken for writing
 * because munmap() frees page tables with the lock downgraded to reading, of a
 * VMA that is still on our list.
 */
void sluice_map_revoke(struct sluice_board *board, const struct sluice_mem *mem)
{
	struct sluice_mapping *mapping;
	struct mm_struct *mm;

	while ((mm = sluice_map_next_mm(board, mem))) {
		mmap_write_lock(mm);
		mutex_lock(&board->vma_lock);
		list_for_each_entry(mapping, &board->vmas, list) {
			if (mapping->vma->vm_mm == mm && !mapping->revoked &&
			    (!mem || mapping->mem == mem))
				sluice_mapping_zap(board, mapping);
		}
		mutex_unlock(&board->vma_lock);
		mmap_write_unlock(mm);
		mmput(mm);
	}
}
