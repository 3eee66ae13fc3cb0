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
#include <linux/string.h>
#include <linux/uaccess.h>

#include "board.h"
#include "buffer.h"
#include "clk.h"
#include "cookie.h"
#include "dmabuf.h"
#include "fence.h"
#include "file.h"
#include "irq.h"
#include "map.h"
#include "mapinfo.h"
#include "phys.h"
#include "regs.h"
#include "reset.h"
#include "rw.h"
#include "sdi.h"
#include "segment.h"
#include "slab.h"
#include "queue.h"
#include "submit.h"
#include "uring.h"
#include "shared/abi_check.h"

SLUICE_SLAB(sluice_file);

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
	struct sluice_alloc alloc;
	struct sluice_free free;
	struct sluice_queue queue;
	struct sluice_grant grant;
	struct sluice_notify notify;
	struct sluice_submit submit;
	struct sluice_wait wait;
	struct sluice_reset reset;
	struct sluice_mappings mappings;
	struct sluice_reg_update reg_update;
	struct sluice_reg_poll reg_poll;
	struct sluice_reg_batch reg_batch;
	struct sluice_clock clock;
	struct sluice_timer timer;
	struct sluice_export export;
	struct sluice_import import;
	struct sluice_fence fence;
	struct sluice_phys phys;
};

static int sluice_info(struct sluice_file *sf, union sluice_arg *arg)
{
	struct sluice_board *board = sf->board;
	struct sluice_info *info = &arg->info;
	int err = sluice_board_hold(board);

	if (err)
		return err;
	/* What the caller left in the outputs is not what comes back. */
	*info = (struct sluice_info){ .size = info->size };
	info->abi_version = SLUICE_ABI_VERSION;
	info->kind = SLUICE_BOARD_PLAIN;
	info->state = board->irq ? SLUICE_STATE_IRQ : 0;
	info->n_windows = board->n_windows;
	info->irq_count = sluice_irq_count(board);
	info->n_resets = READ_ONCE(board->n_resets);
	if (board->state == SLUICE_BOARD_BROKEN)
		info->state |= SLUICE_STATE_BROKEN;
	if (sluice_phys_is_on())
		info->state |= SLUICE_STATE_RAW_PHYS;
	strscpy_pad(info->name, dev_name(board->parent), sizeof(info->name));
	board->bus->describe(board, info);
	if (board->sdi)
		sluice_sdi_describe(board->sdi, info);
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

/* Handlers take their own struct: a function of the table's type around each. */
#define SLUICE_HANDLER(name, fn, member)							\
	static int sluice_##name##_arg(struct sluice_file *sf, union sluice_arg *arg)		\
	{											\
		return fn(sf, &arg->member);							\
	}

SLUICE_HANDLER(reg_read, sluice_reg_read, reg)
SLUICE_HANDLER(reg_write, sluice_reg_write, reg)
SLUICE_HANDLER(map, sluice_cookie_get, map)
SLUICE_HANDLER(irq, sluice_irq_ioctl, irq)
SLUICE_HANDLER(alloc, sluice_mem_alloc, alloc)
SLUICE_HANDLER(free, sluice_object_free, free)
SLUICE_HANDLER(queue, sluice_queue_create, queue)
SLUICE_HANDLER(grant, sluice_segment_grant, grant)
SLUICE_HANDLER(notify, sluice_submit_notify, notify)
SLUICE_HANDLER(submit, sluice_submit_call, submit)
SLUICE_HANDLER(wait, sluice_submit_wait, wait)
SLUICE_HANDLER(reset, sluice_reset_call, reset)
SLUICE_HANDLER(clock, sluice_clk_call, clock)
SLUICE_HANDLER(timer, sluice_clk_timer_call, timer)
SLUICE_HANDLER(export, sluice_dmabuf_export, export)
SLUICE_HANDLER(import, sluice_dmabuf_import, import)
SLUICE_HANDLER(fence, sluice_fence_call, fence)
SLUICE_HANDLER(phys, sluice_phys_call, phys)
SLUICE_HANDLER(reg_update, sluice_reg_update, reg_update)
SLUICE_HANDLER(reg_poll, sluice_reg_poll, reg_poll)
SLUICE_HANDLER(reg_batch, sluice_reg_batch, reg_batch)
SLUICE_HANDLER(mappings, sluice_mapinfo_call, mappings)

/**
 * struct sluice_call - one ioctl
 * @size: of its struct as this driver knows it
 * @min_size: of its struct in version 1 of the ABI
 * @reserved: offset of its reserved words
 * @reserved_bytes: of them
 * @flags: known flags
 * @write: needs the file open for writing
 * @run: does it
 */
struct sluice_call {
	u32 size;
	u32 min_size;
	u32 reserved;
	u32 reserved_bytes;
	u32 flags;
	bool write;
	int (*run)(struct sluice_file *sf, union sluice_arg *arg);
};

#define SLUICE_CALL(cmd, type, size_v1, known, mode, fn)		\
	[_IOC_NR(cmd)] = {						\
		.size = sizeof(struct type),				\
		.min_size = (size_v1),					\
		.reserved = offsetof(struct type, reserved),		\
		.reserved_bytes = sizeof_field(struct type, reserved),	\
		.flags = (known),					\
		.write = (mode) & FMODE_WRITE,				\
		.run = (fn),						\
	}

static const struct sluice_call sluice_calls[] = {
	SLUICE_CALL(SLUICE_IOC_INFO, sluice_info, 96, 0, 0, sluice_info),
	SLUICE_CALL(SLUICE_IOC_WINDOW, sluice_window, 48, 0, 0, sluice_window),
	SLUICE_CALL(SLUICE_IOC_REG_READ, sluice_reg, 48, 0, 0, sluice_reg_read_arg),
	SLUICE_CALL(SLUICE_IOC_REG_WRITE, sluice_reg, 48, 0, FMODE_WRITE, sluice_reg_write_arg),
	SLUICE_CALL(SLUICE_IOC_MAP, sluice_map, 56, SLUICE_MAP_OBJECT, 0, sluice_map_arg),
	SLUICE_CALL(SLUICE_IOC_IRQ, sluice_irq, 32, SLUICE_IRQ_ENABLE, 0, sluice_irq_arg),
	SLUICE_CALL(SLUICE_IOC_REG_UPDATE, sluice_reg_update, 64, 0, FMODE_WRITE,
		    sluice_reg_update_arg),
	SLUICE_CALL(SLUICE_IOC_REG_POLL, sluice_reg_poll, 72, 0, 0, sluice_reg_poll_arg),
	SLUICE_CALL(SLUICE_IOC_REG_BATCH, sluice_reg_batch, 48, 0, 0, sluice_reg_batch_arg),
	SLUICE_CALL(SLUICE_IOC_MAPPINGS, sluice_mappings, 40, SLUICE_MAPPINGS_ALL, 0,
		    sluice_mappings_arg),
	SLUICE_CALL(SLUICE_IOC_ALLOC, sluice_alloc, 48, 0, FMODE_WRITE, sluice_alloc_arg),
	SLUICE_CALL(SLUICE_IOC_FREE, sluice_free, 32, 0, 0, sluice_free_arg),
	SLUICE_CALL(SLUICE_IOC_QUEUE, sluice_queue, 80,
		    SLUICE_QUEUE_KERNEL | SLUICE_QUEUE_EVENTFD, FMODE_WRITE, sluice_queue_arg),
	SLUICE_CALL(SLUICE_IOC_GRANT, sluice_grant, 56, SLUICE_GRANT_READ | SLUICE_GRANT_WRITE,
		    FMODE_WRITE, sluice_grant_arg),
	SLUICE_CALL(SLUICE_IOC_NOTIFY, sluice_notify, 32, 0, FMODE_WRITE, sluice_notify_arg),
	SLUICE_CALL(SLUICE_IOC_SUBMIT, sluice_submit, 40, 0, FMODE_WRITE, sluice_submit_arg),
	SLUICE_CALL(SLUICE_IOC_WAIT, sluice_wait, 48, SLUICE_WAIT_NOTIFY, 0, sluice_wait_arg),
	SLUICE_CALL(SLUICE_IOC_RESET, sluice_reset, 32, SLUICE_RESET_FORCE, FMODE_WRITE,
		    sluice_reset_arg),
	SLUICE_CALL(SLUICE_IOC_CLOCK, sluice_clock, 96, SLUICE_CLOCK_SET | SLUICE_CLOCK_BOOST, 0,
		    sluice_clock_arg),
	SLUICE_CALL(SLUICE_IOC_TIMER, sluice_timer, 32, 0, 0, sluice_timer_arg),
	SLUICE_CALL(SLUICE_IOC_EXPORT, sluice_export, 32, O_CLOEXEC | O_RDWR, FMODE_WRITE,
		    sluice_export_arg),
	SLUICE_CALL(SLUICE_IOC_IMPORT, sluice_import, 40, 0, FMODE_WRITE, sluice_import_arg),
	SLUICE_CALL(SLUICE_IOC_FENCE, sluice_fence, 32, 0, FMODE_WRITE, sluice_fence_arg),
	SLUICE_CALL(SLUICE_IOC_PHYS, sluice_phys, 48, SLUICE_PHYS_WRITE, 0, sluice_phys_arg),
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
	if (memchr_inv((u8 *)arg + call->reserved, 0, call->reserved_bytes))
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
	if (!call->run)
		return -ENOTTY;

	err = sluice_arg_get(call, &arg, (void __user *)uarg, &size);
	if (err)
		return err;
	if (call->write && !(sf->mode & FMODE_WRITE))
		return -EBADF;
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
	poll_wait(file, &sf->wait, table);
	if (READ_ONCE(board->state) == SLUICE_BOARD_GONE)
		return EPOLLERR | EPOLLHUP;
	if (board->sdi ? sluice_submit_readable(sf) : sluice_irq_news(sf))
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
	struct sluice_file *sf = sluice_slab_alloc(&sluice_file_slab);

	if (!sf)
		return -ENOMEM;
	get_device(&board->dev);
	sf->board = board;
	sf->mode = file->f_mode;
	mutex_init(&sf->lock);
	INIT_LIST_HEAD(&sf->ranges);
	sluice_objects_init(sf);
	init_waitqueue_head(&sf->wait);
	sf->next_page = 1;	/* so that 0, the offset of a careless mmap(), is no cookie */
	sf->irq_seen = sluice_irq_count(board);
	file->private_data = sf;
	nonseekable_open(inode, file);
	/* There is no position, but cookies have offsets. */
	file->f_mode |= FMODE_PREAD | FMODE_PWRITE;
	return 0;
}

/* A descriptor is closed, by a program that may have others, or that ends. */
static int sluice_flush(struct file *file, fl_owner_t owner)
{
	sluice_uring_flush(file->private_data, owner);
	return 0;
}

static int sluice_release(struct inode *inode, struct file *file)
{
	struct sluice_file *sf = file->private_data;

	/* A mapping holds the file open, so none is left and nobody else looks. */
	sluice_objects_drop(sf);
	sluice_cookies_drop(sf, NULL);
	sluice_board_put(sf->board);
	sluice_slab_free(&sluice_file_slab, sf);
	return 0;
}

const struct file_operations sluice_fops = {
	.owner = THIS_MODULE,
	.open = sluice_open,
	.flush = sluice_flush,
	.release = sluice_release,
	.read = sluice_rw_read,
	.write = sluice_rw_write,
	.unlocked_ioctl = sluice_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.poll = sluice_poll,
	.uring_cmd = sluice_uring_cmd,
	.mmap = sluice_mmap,
};
