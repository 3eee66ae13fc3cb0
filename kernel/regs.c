// SPDX-License-Identifier: GPL-2.0
/*
 * regs.c - register accesses: single, read-modify-write, polls, batches.
 *
 * sluice_io_read() and sluice_io_write() are the only places of the driver that
 * touch a register of a window for user space; both are traced. Every call is made of struct
 * sluice_reg_op, checked first, then carried out.
 */
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/ktime.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "board.h"
#include "file.h"
#include "regs.h"
#include "sdi.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

/* A poll longer than this is a program's own business. */
#define SLUICE_MAX_POLL_NS (60ull * NSEC_PER_SEC)

/**
 * sluice_io_load - one bus transaction that reads
 * @at: of a mapping of registers or ports
 * @width: 8, 16, 32 bits, or 64 where the machine has it in one (memory alone)
 */
u64 sluice_io_load(const void __iomem *at, u32 width)
{
	switch (width) {
	case 8:
		return ioread8(at);
	case 16:
		return ioread16(at);
	case 32:
		return ioread32(at);
#ifdef CONFIG_64BIT
	case 64:
		return readq(at);
#endif
	}
	return 0;
}

/* As sluice_io_load(), but it writes. */
void sluice_io_store(void __iomem *at, u32 width, u64 value)
{
	switch (width) {
	case 8:
		iowrite8(value, at);
		break;
	case 16:
		iowrite16(value, at);
		break;
	case 32:
		iowrite32(value, at);
		break;
#ifdef CONFIG_64BIT
	case 64:
		writeq(value, at);
		break;
#endif
	}
}

static u64 sluice_io_read(struct sluice_board *board, const struct sluice_reg_op *reg,
			  const void __iomem *at)
{
	u64 value = sluice_io_load(at, reg->width);

	trace_sluice_reg_read(board->node, reg->window, reg->offset, reg->width, value);
	return value;
}

static void sluice_io_write(struct sluice_board *board, const struct sluice_reg_op *reg,
			    u64 value, void __iomem *at)
{
	trace_sluice_reg_write(board->node, reg->window, reg->offset, reg->width, value);
	sluice_io_store(at, reg->width, value);
}

/* Where an access goes, and how to let go of it. */
struct sluice_io {
	void __iomem *at;
	void __iomem *page;	/* to be unmapped, or NULL */
};

static bool sluice_op_writes(const struct sluice_reg_op *op)
{
	return op->op == SLUICE_REG_OP_WRITE || op->op == SLUICE_REG_OP_UPDATE;
}

static bool sluice_op_reads(const struct sluice_reg_op *op)
{
	return op->op != SLUICE_REG_OP_WRITE;
}

/* Width, alignment, bounds and values. */
static int sluice_op_check(const struct sluice_win *win, const struct sluice_reg_op *op)
{
	bool masked = op->op == SLUICE_REG_OP_UPDATE || op->op == SLUICE_REG_OP_POLL;
	u32 bytes = op->width / 8;
	u64 all;

	if (op->width != 8 && op->width != 16 && op->width != 32 && op->width != 64)
		return -EINVAL;
	if (op->offset & (bytes - 1))
		return -EINVAL;
	if (op->offset >= win->length || bytes > win->length - op->offset)
		return -ERANGE;
	if (op->width == 64 && (win->kind == SLUICE_WINDOW_PORT || !IS_ENABLED(CONFIG_64BIT)))
		return -EOPNOTSUPP;
	all = GENMASK_ULL(op->width - 1, 0);
	if (op->op != SLUICE_REG_OP_READ && op->value > all)
		return -EINVAL;
	if (masked && (op->mask > all || (op->value & ~op->mask)))
		return -EINVAL;
	if (op->op == SLUICE_REG_OP_POLL && op->timeout_ns > SLUICE_MAX_POLL_NS)
		return -EINVAL;
	if (sluice_op_writes(op) && !(win->caps & SLUICE_WINDOW_CAN_WRITE))
		return -EPERM;
	return 0;
}

/* May this file do that? With the board entered. */
static int sluice_op_permitted(struct sluice_file *sf, const struct sluice_reg_op *op)
{
	struct sluice_board *board = sf->board;
	const struct sluice_win *win = sluice_board_window(board, op->window);
	int err;

	if ((sluice_op_reads(op) && !(sf->mode & FMODE_READ)) ||
	    (sluice_op_writes(op) && !(sf->mode & FMODE_WRITE)))
		return -EBADF;
	if (!win)
		return -EINVAL;
	err = sluice_op_check(win, op);
	if (!err && board->sdi)
		err = sluice_sdi_may_access(board->sdi, op->window, sluice_op_writes(op));
	return err;
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

/* One access that was checked, with the board entered; what was read replaces @value. */
static int sluice_op_do(struct sluice_board *board, struct sluice_reg_op *op)
{
	const struct sluice_win *win = sluice_board_window(board, op->window);
	u64 value = op->value;
	struct sluice_io io;
	u64 old = 0;
	int err = sluice_io_begin(win, op->offset, &io);

	if (err)
		return err;
	mutex_lock(&board->reg_lock);
	if (sluice_op_reads(op))
		old = sluice_io_read(board, op, io.at);
	if (op->op == SLUICE_REG_OP_UPDATE)
		value |= old & ~op->mask;
	if (sluice_op_writes(op))
		sluice_io_write(board, op, value, io.at);
	mutex_unlock(&board->reg_lock);
	sluice_io_end(&io);
	if (!sluice_op_reads(op))
		return 0;
	op->value = old;
	/* All ones is what a bus answers for a board that is no longer there. */
	if (old == GENMASK_ULL(op->width - 1, 0) && !board->bus->present(board))
		return -ENODEV;
	return 0;
}

/* Reads until the register is as it should be. The board is not entered in between. */
static int sluice_op_poll(struct sluice_file *sf, struct sluice_reg_op *op)
{
	ktime_t end = ktime_add_ns(ktime_get(), op->timeout_ns);
	u64 wanted = op->value;
	unsigned int us = 1;

	for (;;) {
		bool late = ktime_after(ktime_get(), end);
		int err = sluice_board_enter(sf->board);

		if (err)
			return err;
		err = sluice_op_do(sf->board, op);
		sluice_board_leave(sf->board);
		if (err || (op->value & op->mask) == wanted)
			return err;
		if (late)
			return -ETIMEDOUT;
		if (signal_pending(current))
			return -EINTR;
		usleep_range(us, 2 * us);
		us = min(2 * us, 1000u);
	}
}

/* A checked access of any kind. */
static int sluice_op_run(struct sluice_file *sf, struct sluice_reg_op *op)
{
	int err;

	if (op->op == SLUICE_REG_OP_POLL)
		return sluice_op_poll(sf, op);
	err = sluice_board_enter(sf->board);
	if (err)
		return err;
	err = sluice_op_do(sf->board, op);
	sluice_board_leave(sf->board);
	return err;
}

static int sluice_op_call(struct sluice_file *sf, struct sluice_reg_op *op)
{
	int err = sluice_board_enter(sf->board);

	if (err)
		return err;
	err = sluice_op_permitted(sf, op);
	sluice_board_leave(sf->board);
	return err ? err : sluice_op_run(sf, op);
}

int sluice_reg_read(struct sluice_file *sf, struct sluice_reg *reg)
{
	struct sluice_reg_op op = {
		.op = SLUICE_REG_OP_READ,
		.window = reg->window,
		.width = reg->width,
		.offset = reg->offset,
	};
	int err = sluice_op_call(sf, &op);

	if (!err)
		reg->value = op.value;
	return err;
}

int sluice_reg_write(struct sluice_file *sf, struct sluice_reg *reg)
{
	struct sluice_reg_op op = {
		.op = SLUICE_REG_OP_WRITE,
		.window = reg->window,
		.width = reg->width,
		.offset = reg->offset,
		.value = reg->value,
	};

	return sluice_op_call(sf, &op);
}

int sluice_reg_update(struct sluice_file *sf, struct sluice_reg_update *arg)
{
	struct sluice_reg_op op = {
		.op = SLUICE_REG_OP_UPDATE,
		.window = arg->window,
		.width = arg->width,
		.offset = arg->offset,
		.value = arg->value,
		.mask = arg->mask,
	};
	int err = sluice_op_call(sf, &op);

	if (!err)
		arg->old = op.value;
	return err;
}

int sluice_reg_poll(struct sluice_file *sf, struct sluice_reg_poll *arg)
{
	struct sluice_reg_op op = {
		.op = SLUICE_REG_OP_POLL,
		.window = arg->window,
		.width = arg->width,
		.offset = arg->offset,
		.value = arg->value,
		.mask = arg->mask,
		.timeout_ns = arg->timeout_ns,
	};
	int err = sluice_op_call(sf, &op);

	if (!err)
		arg->seen = op.value;
	return err;
}

/* Fields that an operation does not have must be 0. */
static bool sluice_op_is_clean(const struct sluice_reg_op *op)
{
	bool masked = op->op == SLUICE_REG_OP_UPDATE || op->op == SLUICE_REG_OP_POLL;

	return op->op <= SLUICE_REG_OP_POLL && !op->reserved && (masked || !op->mask) &&
	       (op->op == SLUICE_REG_OP_POLL || !op->timeout_ns);
}

static int sluice_batch_check(struct sluice_file *sf, const struct sluice_reg_op *ops, u32 count)
{
	int err = sluice_board_enter(sf->board);
	u32 i;

	if (err)
		return err;
	for (i = 0; i < count && !err; i++)
		err = sluice_op_is_clean(&ops[i]) ? sluice_op_permitted(sf, &ops[i]) : -EINVAL;
	sluice_board_leave(sf->board);
	return err;
}

int sluice_reg_batch(struct sluice_file *sf, struct sluice_reg_batch *arg)
{
	struct sluice_reg_op *ops;
	int err;
	u32 i;

	if (arg->reserved0 || !arg->count || arg->count > SLUICE_REG_BATCH_MAX)
		return -EINVAL;
	ops = vmemdup_user(u64_to_user_ptr(arg->ops), arg->count * sizeof(*ops));
	if (IS_ERR(ops))
		return PTR_ERR(ops);
	err = sluice_batch_check(sf, ops, arg->count);
	if (err)
		goto out;
	arg->error = 0;
	for (i = 0; i < arg->count; i++) {
		arg->error = sluice_op_run(sf, &ops[i]);
		if (arg->error)
			break;
		cond_resched();
	}
	arg->done = i;
	if (i && copy_to_user(u64_to_user_ptr(arg->ops), ops, i * sizeof(*ops)))
		err = -EFAULT;
out:
	kvfree(ops);
	return err;
}
