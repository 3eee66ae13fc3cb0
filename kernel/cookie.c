// SPDX-License-Identifier: GPL-2.0
/*
 * cookie.c - what a file may map, and the offsets that stand for it.
 *
 * Offsets given to mmap(), pread() and pwrite() are taken from here and never
 * from the caller, so what a file reaches is what it was granted.
 */
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/sched.h>

#include "board.h"
#include "buffer.h"
#include "cookie.h"
#include "file.h"
#include "sdi.h"
#include "slab.h"

/* Far beyond what a program needs; it bounds what one file can make us keep. */
#define SLUICE_MAX_RANGES 4096

SLUICE_SLAB(sluice_range);

/* Finds exactly that range or adds it; takes over the reference to @want->mem, if it is there. */
static struct sluice_range *sluice_range_get(struct sluice_file *sf,
					     const struct sluice_range *want)
{
	struct sluice_range *range;

	lockdep_assert_held(&sf->lock);
	list_for_each_entry(range, &sf->ranges, list) {
		if (range->mem == want->mem && range->window == want->window &&
		    range->type == want->type && range->read_only == want->read_only &&
		    range->offset == want->offset && range->n_pages == want->n_pages) {
			sluice_mem_put(want->mem);
			return range;
		}
	}
	if (sf->n_ranges >= SLUICE_MAX_RANGES)
		return ERR_PTR(-ENOSPC);
	range = sluice_slab_alloc(&sluice_range_slab);
	if (!range)
		return ERR_PTR(-ENOMEM);
	*range = *want;
	range->first_page = sf->next_page;
	/* One page between ranges, so that running over the end is never another range. */
	sf->next_page += want->n_pages + 1;
	sf->n_ranges++;
	list_add_tail(&range->list, &sf->ranges);
	return range;
}

static bool sluice_type_of_window(const struct sluice_win *win, u32 *type)
{
	if (*type == SLUICE_MAP_NATIVE)
		*type = win->kind == SLUICE_WINDOW_MEMORY ? SLUICE_MAP_WRITE_COMBINED :
							    SLUICE_MAP_UNCACHED;
	return *type == SLUICE_MAP_UNCACHED ||
	       (*type == SLUICE_MAP_WRITE_COMBINED && win->kind == SLUICE_WINDOW_MEMORY);
}

static bool sluice_type_of_mem(const struct sluice_mem *mem, u32 *type)
{
	/* A dma-buf of somebody else's is mapped by its own file. */
	if (mem->kind == SLUICE_ALLOC_IMPORTED)
		return false;
	if (sluice_mem_is_host(mem)) {
		if (*type == SLUICE_MAP_NATIVE)
			*type = mem->type;
		return *type == mem->type;
	}
	if (*type == SLUICE_MAP_NATIVE)
		*type = SLUICE_MAP_WRITE_COMBINED;
	return *type == SLUICE_MAP_UNCACHED || *type == SLUICE_MAP_WRITE_COMBINED;
}

static int sluice_range_check(const struct sluice_map *arg, u64 span)
{
	if (!PAGE_ALIGNED(arg->offset) || !arg->length)
		return -EINVAL;
	if (arg->offset >= span || arg->length > span - arg->offset)
		return -ERANGE;
	return 0;
}

static int sluice_range_of_window(struct sluice_board *board, const struct sluice_map *arg,
				  struct sluice_range *range)
{
	const struct sluice_win *win = sluice_board_window(board, arg->window);
	int err;

	if (!win)
		return -EINVAL;
	if (!(win->caps & SLUICE_WINDOW_CAN_MAP) || !sluice_type_of_window(win, &range->type))
		return -EOPNOTSUPP;
	err = sluice_range_check(arg, PAGE_ALIGN(win->length));
	if (!err && board->sdi)
		err = sluice_sdi_may_map(board->sdi, arg->window, arg->offset, arg->length,
					 &range->read_only);
	return err;
}

static int sluice_range_of_object(struct sluice_file *sf, const struct sluice_map *arg,
				  struct sluice_range *range)
{
	int err;

	range->mem = sluice_mem_lookup(sf, arg->window);
	if (!range->mem)
		return -ENOENT;
	err = sluice_type_of_mem(range->mem, &range->type) ?
		      sluice_range_check(arg, range->mem->length) :
		      -EOPNOTSUPP;
	if (err)
		sluice_mem_put(range->mem);
	return err;
}

int sluice_cookie_get(struct sluice_file *sf, struct sluice_map *arg)
{
	struct sluice_range want = {
		.window = arg->window,
		.type = arg->type,
		.offset = arg->offset,
	};
	struct sluice_range *range;
	int err;

	err = sluice_board_enter(sf->board);
	if (err)
		return err;
	if (arg->flags & SLUICE_MAP_OBJECT)
		err = sluice_range_of_object(sf, arg, &want);
	else
		err = sluice_range_of_window(sf->board, arg, &want);
	sluice_board_leave(sf->board);
	if (err)
		return err;
	want.n_pages = PAGE_ALIGN(arg->length) >> PAGE_SHIFT;

	mutex_lock(&sf->lock);
	range = sluice_range_get(sf, &want);
	if (!IS_ERR(range))
		arg->cookie = range->first_page << PAGE_SHIFT;
	mutex_unlock(&sf->lock);
	if (!IS_ERR(range))
		return 0;
	sluice_mem_put(want.mem);
	return PTR_ERR(range);
}

/**
 * sluice_cookie_add - grant a file all of an object of the driver's making
 * @sf: the file
 * @mem: a ring, or a page of doorbells
 * @handle: of the queue that it belongs to, for those who list mappings
 * @read_only: may not be mapped for writing
 * @ret_cookie: for mmap()
 *
 * Return: 0, -ENOSPC or -ENOMEM.
 */
int sluice_cookie_add(struct sluice_file *sf, struct sluice_mem *mem, u32 handle, bool read_only,
		      u64 *ret_cookie)
{
	struct sluice_range want = {
		.mem = sluice_mem_get(mem),
		.window = handle,
		.type = mem->type,
		.read_only = read_only,
		.n_pages = mem->length >> PAGE_SHIFT,
	};
	struct sluice_range *range;

	mutex_lock(&sf->lock);
	range = sluice_range_get(sf, &want);
	if (!IS_ERR(range))
		*ret_cookie = range->first_page << PAGE_SHIFT;
	mutex_unlock(&sf->lock);
	if (!IS_ERR(range))
		return 0;
	sluice_mem_put(mem);
	return PTR_ERR(range);
}

/**
 * sluice_cookie_find - what an offset stands for
 * @sf: the file
 * @page: offset in pages
 * @n_pages: how many, all of which one range must cover
 * @ret: copy of the range, from @page on; with a reference to its object
 *
 * Return: 0 or -EINVAL.
 */
int sluice_cookie_find(struct sluice_file *sf, u64 page, u64 n_pages, struct sluice_range *ret)
{
	struct sluice_range *range;
	int err = -EINVAL;

	mutex_lock(&sf->lock);
	list_for_each_entry(range, &sf->ranges, list) {
		u64 skip = page - range->first_page;

		if (page < range->first_page || skip >= range->n_pages)
			continue;
		if (n_pages > range->n_pages - skip)
			break;
		*ret = *range;
		ret->offset += skip << PAGE_SHIFT;
		ret->n_pages -= skip;
		if (ret->mem)
			sluice_mem_get(ret->mem);
		err = 0;
		break;
	}
	mutex_unlock(&sf->lock);
	return err;
}

/* The cookies of an object that loses its handle; NULL: all cookies of a file that is closed. */
void sluice_cookies_drop(struct sluice_file *sf, struct sluice_mem *mem)
{
	struct sluice_range *range, *next;
	LIST_HEAD(dropped);

	mutex_lock(&sf->lock);
	list_for_each_entry_safe(range, next, &sf->ranges, list) {
		if (mem && range->mem != mem)
			continue;
		list_move(&range->list, &dropped);
		sf->n_ranges--;
	}
	mutex_unlock(&sf->lock);
	list_for_each_entry_safe(range, next, &dropped, list) {
		sluice_mem_put(range->mem);
		sluice_slab_free(&sluice_range_slab, range);
		cond_resched();
	}
}
