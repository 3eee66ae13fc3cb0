// SPDX-License-Identifier: GPL-2.0
/*
 * regs.c - register reads and writes, and the one pair of functions that does them.
 *
 * sluice_io_read() and sluice_io_write() are the only places of the driver that
 * touch a window; both are traced. Everything before them is checking.
 */
#include <linux/fs.h>
#include <linux/io.h>

#include "board.h"
#include "file.h"
#include "regs.h"
#include "sdi.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

/* One bus transaction of @width bits; 64 only where the machine has it in one. */
static u64 sluice_io_read(struct sluice_board *board, const struct sluice_reg *reg,
			  const void __iomem *at)
{
	u64 value = 0;

	switch (reg->width) {
	case 8:
		value = ioread8(at);
		break;
	case 16:
		value = ioread16(at);
		break;
	case 32:
		value = ioread32(at);
		break;
#ifdef CONFIG_64BIT
	case 64:
		value = readq(at);
		break;
#endif
	}
	trace_sluice_reg_read(board->node, reg->window, reg->offset, reg->width, value);
	return value;
}

static void sluice_io_write(struct sluice_board *board, const struct sluice_reg *reg,
			    void __iomem *at)
{
	trace_sluice_reg_write(board->node, reg->window, reg->offset, reg->width, reg->value);
	switch (reg->width) {
	case 8:
		iowrite8(reg->value, at);
		break;
	case 16:
		iowrite16(reg->value, at);
		break;
	case 32:
		iowrite32(reg->value, at);
		break;
#ifdef CONFIG_64BIT
	case 64:
		writeq(reg->value, at);
		break;
#endif
	}
}

/* Where an access goes, and how to let go of it. */
struct sluice_io {
	void __iomem *at;
	void __iomem *page;	/* to be unmapped, or NULL */
};

static int sluice_io_check(const struct sluice_win *win, const struct sluice_reg *reg, bool write)
{
	u32 bytes = reg->width / 8;

	if (reg->width != 8 && reg->width != 16 && reg->width != 32 && reg->width != 64)
		return -EINVAL;
	if (reg->offset & (bytes - 1))
		return -EINVAL;
	if (reg->offset >= win->length || bytes > win->length - reg->offset)
		return -ERANGE;
	if (reg->width == 64 && (win->kind == SLUICE_WINDOW_PORT || !IS_ENABLED(CONFIG_64BIT)))
		return -EOPNOTSUPP;
	if (write && reg->value > GENMASK_ULL(reg->width - 1, 0))
		return -EINVAL;
	if (write && !(win->caps & SLUICE_WINDOW_CAN_WRITE))
		return -EPERM;
	return 0;
}

/* Write-combined memory as most who map it have it: a type of ours would be theirs, too. */
static void __iomem *sluice_io_page(const struct sluice_win *win, phys_addr_t at)
{
	return win->combine ? ioremap_wc(at, PAGE_SIZE) : ioremap(at, PAGE_SIZE);
}

static int sluice_io_begin(const struct sluice_win *win, u64 offset, struct sluice_io *ret_io)
{
	void __iomem *page;
	phys_addr_t at = win->start + offset;

	if (win->base) {
		*ret_io = (struct sluice_io){ .at = win->base + offset };
		return 0;
	}
	page = sluice_io_page(win, at & PAGE_MASK);
	if (!page)
		return -ENOMEM;
	*ret_io = (struct sluice_io){ .at = page + offset_in_page(at), .page = page };
	return 0;
}

static void sluice_io_end(const struct sluice_io *io)
{
	if (io->page)
		iounmap(io->page);
}

static int sluice_reg_access(struct sluice_file *sf, struct sluice_reg *reg, bool write)
{
	struct sluice_board *board = sf->board;
	const struct sluice_win *win;
	struct sluice_io io;
	int err;

	if (!(sf->mode & (write ? FMODE_WRITE : FMODE_READ)))
		return -EBADF;
	err = sluice_board_enter(board);
	if (err)
		return err;
	win = sluice_board_window(board, reg->window);
	err = win ? sluice_io_check(win, reg, write) : -EINVAL;
	if (!err && board->sdi)
		err = sluice_sdi_may_access(board->sdi, reg->window, write);
	if (!err)
		err = sluice_io_begin(win, reg->offset, &io);
	if (err)
		goto out;

	if (write)
		sluice_io_write(board, reg, io.at);
	else
		reg->value = sluice_io_read(board, reg, io.at);
	sluice_io_end(&io);
	/* All ones is what a bus answers for a board that is no longer there. */
	if (!write && reg->value == GENMASK_ULL(reg->width - 1, 0) && !board->bus->present(board))
		err = -ENODEV;
out:
	sluice_board_leave(board);
	return err;
}

int sluice_reg_read(struct sluice_file *sf, struct sluice_reg *reg)
{
	return sluice_reg_access(sf, reg, false);
}

int sluice_reg_write(struct sluice_file *sf, struct sluice_reg *reg)
{
	return sluice_reg_access(sf, reg, true);
}
