// SPDX-License-Identifier: GPL-2.0
/*
 * file.c - the file operations of /dev/sluiceN.
 *
 * One table names every ioctl; what the ABI promises for all of them (sizes,
 * flags, reserved words, no stale byte) is done here once. Handlers get a
 * checked copy and never see user memory.
 */
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "board.h"
#include "file.h"
#include "irq.h"
#include "map.h"
#include "regs.h"
#include "shared/abi_check.h"

union sluice_arg {
	struct {
		u32 size;
		u32 flags;
	} head;
	struct sluice_info info;
	struct sluice_window window;
	struct sluice_reg reg;
	struct sluice_map map;
	struct sluice_irq irq;
};

static int sluice_info(struct sluice_file *sf, union sluice_arg *arg)
{
	struct sluice_board *board = sf->board;
	struct sluice_info *info = &arg->info;
	int err = sluice_board_enter(board);

	if (err)
		return err;
	info->abi_version = SLUICE_ABI_VERSION;
	info->kind = SLUICE_BOARD_PLAIN;
	info->state = board->irq ? SLUICE_STATE_IRQ : 0;
	info->n_windows = board->n_windows;
	info->irq_count = sluice_irq_count(board);
	strscpy_pad(info->name, dev_name(board->parent), sizeof(info->name));
	board->bus->describe(board, info);
	sluice_board_leave(board);
	return 0;
}

static int sluice_window(struct sluice_file *sf, union sluice_arg *arg)
{
	const struct sluice_win *win;
	int err = sluice_board_enter(sf->board);

	if (err)
		return err;
	win = sluice_board_window(sf->board, arg->window.index);
	if (win) {
		arg->window.kind = win->kind;
		arg->window.caps = win->caps;
		arg->window.bar = win->bar;
		arg->window.length = win->length;
	}
	sluice_board_leave(sf->board);
	return win ? 0 : -EINVAL;
}

static int sluice_reg_read_arg(struct sluice_file *sf, union sluice_arg *arg)
{
	return sluice_reg_read(sf, &arg->reg);
}

static int sluice_reg_write_arg(struct sluice_file *sf, union sluice_arg *arg)
{
	return sluice_reg_write(sf, &arg->reg);
}

static int sluice_map_arg(struct sluice_file *sf, union sluice_arg *arg)
{
	return sluice_map_grant(sf, &arg->map);
}

static int sluice_irq_arg(struct sluice_file *sf, union sluice_arg *arg)
{
	return sluice_irq_ioctl(sf, &arg->irq);
}

/**
 * struct sluice_call - one ioctl
 * @size: of its struct as this driver knows it
 * @min_size: of its struct in version 1 of the ABI
 * @reserved: offset of its reserved words, which end the struct
 * @flags: known flags
 * @run: does it
 */
struct sluice_call {
	u32 size;
	u32 min_size;
	u32 reserved;
	u32 flags;
	int (*run)(struct sluice_file *sf, union sluice_arg *arg);
};

#define SLUICE_CALL(cmd, type, size_v1, known, fn)			\
	[_IOC_NR(cmd)] = {						\
		.size = sizeof(struct type),				\
		.min_size = (size_v1),					\
		.reserved = offsetof(struct type, reserved),		\
		.flags = (known),					\
		.run = (fn),						\
	}

static const struct sluice_call sluice_calls[] = {
	SLUICE_CALL(SLUICE_IOC_INFO, sluice_info, 96, 0, sluice_info),
	SLUICE_CALL(SLUICE_IOC_WINDOW, sluice_window, 48, 0, sluice_window),
	SLUICE_CALL(SLUICE_IOC_REG_READ, sluice_reg, 48, 0, sluice_reg_read_arg),
	SLUICE_CALL(SLUICE_IOC_REG_WRITE, sluice_reg, 48, 0, sluice_reg_write_arg),
	SLUICE_CALL(SLUICE_IOC_MAP, sluice_map, 56, 0, sluice_map_arg),
	SLUICE_CALL(SLUICE_IOC_IRQ, sluice_irq, 32, SLUICE_IRQ_ENABLE, sluice_irq_arg),
};

/* Takes the caller's struct in, as the head of uapi/sluice.h promises. */
static int sluice_arg_get(const struct sluice_call *call, union sluice_arg *arg, void __user *uarg,
			  u32 *ret_size)
{
	u32 size;
	int err;

	if (get_user(size, (u32 __user *)uarg))
		return -EFAULT;
	if (size < call->min_size)
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	memset(arg, 0, sizeof(*arg));
	err = copy_struct_from_user(arg, call->size, uarg, size);
	if (err)
		return err;
	/* The caller may have changed its memory since we looked at the size. */
	arg->head.size = size;
	if (arg->head.flags & ~call->flags)
		return -EINVAL;
	if (memchr_inv((u8 *)arg + call->reserved, 0, call->size - call->reserved))
		return -EINVAL;
	*ret_size = size;
	return 0;
}

static long sluice_ioctl(struct file *file, unsigned int cmd, unsigned long uarg)
{
	struct sluice_file *sf = file->private_data;
	const struct sluice_call *call;
	union sluice_arg arg;
	u32 nr = _IOC_NR(cmd);
	u32 size;
	int err;

	/* The size in the number is that of the caller's header: its struct says it too. */
	if (_IOC_TYPE(cmd) != SLUICE_IOC_MAGIC || _IOC_DIR(cmd) != (_IOC_READ | _IOC_WRITE) ||
	    nr >= ARRAY_SIZE(sluice_calls))
		return -ENOTTY;
	call = &sluice_calls[array_index_nospec(nr, ARRAY_SIZE(sluice_calls))];

	err = sluice_arg_get(call, &arg, (void __user *)uarg, &size);
	if (err)
		return err;
	err = call->run(sf, &arg);
	if (err)
		return err;
	if (copy_to_user((void __user *)uarg, &arg, min(size, call->size)))
		return -EFAULT;
	return 0;
}

static __poll_t sluice_poll(struct file *file, struct poll_table_struct *table)
{
	struct sluice_file *sf = file->private_data;
	struct sluice_board *board = sf->board;
	__poll_t events = 0;

	poll_wait(file, &board->irq_wait, table);
	if (READ_ONCE(board->state) == SLUICE_BOARD_GONE)
		return EPOLLERR | EPOLLHUP;
	if (sluice_irq_news(sf))
		events |= EPOLLIN | EPOLLRDNORM;
	return events;
}

static int sluice_mmap(struct file *file, struct vm_area_struct *vma)
{
	return sluice_map_vma(file->private_data, vma);
}

static int sluice_open(struct inode *inode, struct file *file)
{
	/* The misc core holds off deregistration meanwhile, so the board is alive. */
	struct sluice_board *board = container_of(file->private_data, struct sluice_board, misc);
	struct sluice_file *sf = kzalloc(sizeof(*sf), GFP_KERNEL_ACCOUNT);

	if (!sf)
		return -ENOMEM;
	get_device(&board->dev);
	sf->board = board;
	sf->mode = file->f_mode;
	mutex_init(&sf->lock);
	INIT_LIST_HEAD(&sf->grants);
	sf->next_page = 1;	/* so that 0, the offset of a careless mmap(), is no cookie */
	sf->irq_seen = sluice_irq_count(board);
	file->private_data = sf;
	return nonseekable_open(inode, file);
}

static int sluice_release(struct inode *inode, struct file *file)
{
	struct sluice_file *sf = file->private_data;

	sluice_map_drop_grants(sf);
	sluice_board_put(sf->board);
	kfree(sf);
	return 0;
}

const struct file_operations sluice_fops = {
	.owner = THIS_MODULE,
	.open = sluice_open,
	.release = sluice_release,
	.unlocked_ioctl = sluice_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.poll = sluice_poll,
	.mmap = sluice_mmap,
};
