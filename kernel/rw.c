// SPDX-License-Identifier: GPL-2.0
/*
 * rw.c - pread() and pwrite() at cookies: what a mapping shows, copied by the kernel.
 *
 * Page by page through a buffer: user memory is not touched with the board
 * entered. I/O memory is accessed by the largest naturally aligned power of two,
 * at most 8 bytes.
 */
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "board.h"
#include "buffer.h"
#include "cookie.h"
#include "devmem.h"
#include "file.h"
#include "regs.h"
#include "rw.h"

static size_t sluice_io_step(unsigned long at, size_t left)
{
	size_t step = IS_ENABLED(CONFIG_64BIT) ? 8 : 4;

	while (at % step || step > left)
		step /= 2;
	return step;
}

/* Little-endian, as the hosts are. */
static void sluice_io_out(u8 *to, const u8 __iomem *from, size_t count)
{
	while (count) {
		size_t step = sluice_io_step((unsigned long)from, count);
		u64 value = sluice_io_load(from, 8 * step);

		memcpy(to, &value, step);
		to += step;
		from += step;
		count -= step;
	}
}

static void sluice_io_in(u8 __iomem *to, const u8 *from, size_t count)
{
	while (count) {
		size_t step = sluice_io_step((unsigned long)to, count);
		u64 value = 0;

		memcpy(&value, from, step);
		sluice_io_store(to, 8 * step, value);
		to += step;
		from += step;
		count -= step;
	}
}

/* The part of a page that is I/O memory at bus address @at. */
static int sluice_rw_io(u64 at, bool combine, u8 *buffer, size_t count, bool write)
{
	u8 __iomem *page = combine ? ioremap_wc(at & PAGE_MASK, PAGE_SIZE) :
				     ioremap(at & PAGE_MASK, PAGE_SIZE);

	if (!page)
		return -ENOMEM;
	if (write)
		sluice_io_in(page + offset_in_page(at), buffer, count);
	else
		sluice_io_out(buffer, page + offset_in_page(at), count);
	wmb(); /* what is combined goes out before the mapping does */
	iounmap(page);
	return 0;
}

/* The part of a page of what a range stands for; with the board entered. */
static int sluice_rw_part(struct sluice_board *board, const struct sluice_range *range, u64 offset,
			  u8 *buffer, size_t count, bool write)
{
	struct sluice_mem *mem = range->mem;
	u64 chunk;
	u8 *at;

	/* Of an object it is the handle. */
	if (!mem) {
		const struct sluice_win *win = &board->windows[range->window];

		return sluice_rw_io(win->start + offset, win->combine, buffer, count, write);
	}
	if (mem->dead)
		return -EINVAL;
	if (mem->kind == SLUICE_ALLOC_DEVICE)
		return sluice_rw_io(sluice_devmem_at(board, mem->offset + offset), true, buffer,
				    count, write);
	if (mem->kind == SLUICE_ALLOC_DOORBELL)
		return sluice_rw_io(mem->offset + offset, false, buffer, count, write);
	/* On x86 this address has the type that the pages were given. */
	chunk = offset >> mem->chunk_shift;
	at = page_address(mem->pages[chunk]);
	at += offset - (chunk << mem->chunk_shift);
	if (write)
		memcpy(at, buffer, count);
	else
		memcpy(buffer, at, count);
	return 0;
}

static int sluice_rw_enter_part(struct sluice_board *board, const struct sluice_range *range,
				u64 offset, u8 *buffer, size_t count, bool write)
{
	int err = sluice_board_enter(board);

	if (err)
		return err;
	err = sluice_rw_part(board, range, offset, buffer, count, write);
	sluice_board_leave(board);
	return err;
}

/* Copies until the end of the range, page by page; how much, or an error if nothing. */
static ssize_t sluice_rw_range(struct sluice_board *board, const struct sluice_range *range,
			       u64 skip, char __user *user, size_t count, bool write)
{
	size_t done = 0;
	int err = 0;
	u8 *buffer = kmalloc(PAGE_SIZE, GFP_KERNEL_ACCOUNT);

	if (!buffer)
		return -ENOMEM;
	while (done < count && !err) {
		u64 offset = range->offset + skip + done;
		size_t n = min_t(size_t, count - done, PAGE_SIZE - offset_in_page(offset));

		if (fatal_signal_pending(current))
			err = -EINTR;
		else if (write && copy_from_user(buffer, user + done, n))
			err = -EFAULT;
		if (!err)
			err = sluice_rw_enter_part(board, range, offset, buffer, n, write);
		if (!err && !write && copy_to_user(user + done, buffer, n))
			err = -EFAULT;
		if (!err)
			done += n;
		cond_resched();
	}
	kfree(buffer);
	return done ? done : err;
}

static ssize_t sluice_rw(struct file *file, char __user *user, size_t count, loff_t *pos,
			 bool write)
{
	struct sluice_file *sf = file->private_data;
	struct sluice_board *board = sf->board;
	struct sluice_range range;
	u64 skip = offset_in_page(*pos);
	ssize_t n;
	int err = sluice_cookie_find(sf, *pos >> PAGE_SHIFT, 1, &range);

	if (err)
		return err;
	/* The last page of a window may be a part of one. */
	if (!range.mem) {
		const struct sluice_win *win = &board->windows[range.window];
		u64 end = min_t(u64, win->length, range.offset + (range.n_pages << PAGE_SHIFT));
		u64 at = range.offset + skip;

		count = at < end ? min_t(u64, count, end - at) : 0;
		if (write && !(win->caps & SLUICE_WINDOW_CAN_WRITE))
			range.read_only = true;
	} else {
		count = min_t(u64, count, (range.n_pages << PAGE_SHIFT) - skip);
	}
	if (write && range.read_only)
		n = -EPERM;
	else
		n = sluice_rw_range(board, &range, skip, user, count, write);
	sluice_mem_put(range.mem);
	if (n > 0)
		*pos += n;
	return n;
}

ssize_t sluice_rw_read(struct file *file, char __user *to, size_t count, loff_t *pos)
{
	return sluice_rw(file, to, count, pos, false);
}

ssize_t sluice_rw_write(struct file *file, const char __user *from, size_t count, loff_t *pos)
{
	return sluice_rw(file, (char __user *)from, count, pos, true);
}
