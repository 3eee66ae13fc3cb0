// SPDX-License-Identifier: GPL-2.0
/*
 * map.c - windows in user space: cookies, mappings, and taking them back.
 *
 * A mapping's page table entries are made at once, in mmap(), and never by a
 * fault: a fault on a mapping means that it was taken back. The board keeps a
 * list of its own of every VMA, forked and moved ones too, because the file's
 * list does not have a VMA yet while its mmap() is running.
 */
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "board.h"
#include "compat.h"
#include "file.h"
#include "map.h"
#include "trace.h"

/* Far beyond what windows of registers need; it bounds what one file can make us keep. */
#define SLUICE_MAX_GRANTS 4096

/**
 * struct sluice_grant - a range that a file may map
 * @list: in sluice_file.grants
 * @window: index of the window
 * @offset: from the window's start, page-aligned
 * @n_pages: length
 * @first_page: where its cookies begin in the file's offset space
 */
struct sluice_grant {
	struct list_head list;
	u32 window;
	u64 offset;
	u64 n_pages;
	u64 first_page;
};

/**
 * struct sluice_mapping - a live VMA
 * @list: in sluice_board.vmas; empty once the mapping is taken back
 * @vma: whose vm_private_data points back here
 */
struct sluice_mapping {
	struct list_head list;
	struct vm_area_struct *vma;
};

/* Finds the grant of exactly that range or adds it. */
static struct sluice_grant *sluice_grant_get(struct sluice_file *sf, u32 window, u64 offset,
					     u64 n_pages)
{
	struct sluice_grant *grant;

	lockdep_assert_held(&sf->lock);
	list_for_each_entry(grant, &sf->grants, list) {
		if (grant->window == window && grant->offset == offset &&
		    grant->n_pages == n_pages)
			return grant;
	}
	if (sf->n_grants >= SLUICE_MAX_GRANTS)
		return ERR_PTR(-ENOSPC);
	grant = kzalloc(sizeof(*grant), GFP_KERNEL_ACCOUNT);
	if (!grant)
		return ERR_PTR(-ENOMEM);
	grant->window = window;
	grant->offset = offset;
	grant->n_pages = n_pages;
	grant->first_page = sf->next_page;
	/* One page between grants, so that running over the end is never another range. */
	sf->next_page += n_pages + 1;
	sf->n_grants++;
	list_add_tail(&grant->list, &sf->grants);
	return grant;
}

static int sluice_map_check(const struct sluice_win *win, const struct sluice_map *arg)
{
	u64 span = PAGE_ALIGN(win->length);

	if (arg->type != SLUICE_MAP_UNCACHED || !(win->caps & SLUICE_WINDOW_CAN_MAP))
		return -EOPNOTSUPP;
	if (!PAGE_ALIGNED(arg->offset) || !arg->length)
		return -EINVAL;
	if (arg->offset >= span || arg->length > span - arg->offset)
		return -ERANGE;
	return 0;
}

int sluice_map_grant(struct sluice_file *sf, struct sluice_map *arg)
{
	const struct sluice_win *win;
	struct sluice_grant *grant;
	int err;

	mutex_lock(&sf->lock);
	err = sluice_board_enter(sf->board);
	if (err)
		goto out;
	win = sluice_board_window(sf->board, arg->window);
	err = win ? sluice_map_check(win, arg) : -EINVAL;
	sluice_board_leave(sf->board);
	if (err)
		goto out;

	grant = sluice_grant_get(sf, arg->window, arg->offset,
				 PAGE_ALIGN(arg->length) >> PAGE_SHIFT);
	if (IS_ERR(grant))
		err = PTR_ERR(grant);
	else
		arg->cookie = grant->first_page << PAGE_SHIFT;
out:
	mutex_unlock(&sf->lock);
	return err;
}

void sluice_map_drop_grants(struct sluice_file *sf)
{
	struct sluice_grant *grant, *next;

	/* A mapping holds the file open, so none is left and nobody else looks. */
	list_for_each_entry_safe(grant, next, &sf->grants, list)
		kfree(grant);
}

static void sluice_mapping_add(struct sluice_board *board, struct sluice_mapping *mapping,
			       struct vm_area_struct *vma)
{
	mapping->vma = vma;
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
	struct sluice_mapping *mapping = kzalloc(sizeof(*mapping), GFP_KERNEL_ACCOUNT);

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
	kfree(mapping);
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

/* Which window and offset an mmap() is about, if its whole range is covered by one grant. */
static int sluice_grant_find(struct sluice_file *sf, u64 page, u64 n_pages, u32 *ret_window,
			     u64 *ret_offset)
{
	struct sluice_grant *grant;
	int err = -EINVAL;

	mutex_lock(&sf->lock);
	list_for_each_entry(grant, &sf->grants, list) {
		u64 skip = page - grant->first_page;

		if (page < grant->first_page || skip >= grant->n_pages)
			continue;
		if (n_pages > grant->n_pages - skip)
			break;
		*ret_window = grant->window;
		*ret_offset = grant->offset + (skip << PAGE_SHIFT);
		err = 0;
		break;
	}
	mutex_unlock(&sf->lock);
	return err;
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
	unsigned long length = vma->vm_end - vma->vm_start;
	struct sluice_mapping *mapping;
	const struct sluice_win *win;
	u32 window;
	u64 offset;
	int err;

	/* A read-only file's shared mapping has lost VM_SHARED by now, but not VM_MAYSHARE. */
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EPERM;
	err = sluice_grant_find(sf, vma->vm_pgoff, vma_pages(vma), &window, &offset);
	if (err)
		return err;
	mapping = kzalloc(sizeof(*mapping), GFP_KERNEL_ACCOUNT);
	if (!mapping)
		return -ENOMEM;
	err = sluice_board_enter(board);
	if (err)
		goto err_free;
	win = &board->windows[window];
	if ((vma->vm_flags & VM_WRITE) && !(win->caps & SLUICE_WINDOW_CAN_WRITE)) {
		err = -EACCES;
		goto err_leave;
	}

	vm_flags_mod(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP,
		     win->caps & SLUICE_WINDOW_CAN_WRITE ? VM_MAYEXEC : VM_MAYEXEC | VM_MAYWRITE);
	vma->vm_page_prot = pgprot_noncached(vma->vm_page_prot);
	/* remap_pfn_range() for what is I/O: encrypted guests need the difference. */
	err = io_remap_pfn_range(vma, vma->vm_start, (win->start + offset) >> PAGE_SHIFT, length,
				 vma->vm_page_prot);
	if (err)
		goto err_leave;
	vma->vm_ops = &sluice_vm_ops;
	sluice_mapping_add(board, mapping, vma);
	sluice_board_leave(board);
	trace_sluice_map(board->node, vma->vm_start, length);
	return 0;

err_leave:
	sluice_board_leave(board);
err_free:
	kfree(mapping);
	return err;
}

/* A process with live mappings, referenced, or NULL when there is none. */
static struct mm_struct *sluice_map_next_mm(struct sluice_board *board)
{
	struct sluice_mapping *mapping, *next;
	struct mm_struct *mm = NULL;

	mutex_lock(&board->vma_lock);
	list_for_each_entry_safe(mapping, next, &board->vmas, list) {
		if (mmget_not_zero(mapping->vma->vm_mm)) {
			mm = mapping->vma->vm_mm;
			break;
		}
		/* Its process is past its last instruction and is being taken apart. */
		list_del_init(&mapping->list);
	}
	mutex_unlock(&board->vma_lock);
	return mm;
}

/**
 * sluice_map_revoke - take back every mapping
 * @board: no longer live, so that no new mapping can be made
 *
 * mmap_lock comes before vma_lock, so go process by process: pick one under
 * vma_lock, let go, take its mmap_lock, then look again. It is taken for writing
 * because munmap() frees page tables with the lock downgraded to reading, of a
 * VMA that is still on our list.
 */
void sluice_map_revoke(struct sluice_board *board)
{
	struct sluice_mapping *mapping, *next;
	struct vm_area_struct *vma;
	unsigned long length;
	struct mm_struct *mm;

	while ((mm = sluice_map_next_mm(board))) {
		mmap_write_lock(mm);
		mutex_lock(&board->vma_lock);
		list_for_each_entry_safe(mapping, next, &board->vmas, list) {
			vma = mapping->vma;
			if (vma->vm_mm != mm)
				continue;
			list_del_init(&mapping->list);
			length = vma->vm_end - vma->vm_start;
			zap_vma_ptes(vma, vma->vm_start, length);
			trace_sluice_revoke(board->node, vma->vm_start, length);
		}
		mutex_unlock(&board->vma_lock);
		mmap_write_unlock(mm);
		mmput(mm);
	}
}
