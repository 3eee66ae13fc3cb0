// SPDX-License-Identifier: GPL-2.0
/*
 * board.c - the life of a board: number, device file, reset, detachment.
 *
 * Whatever happens to the hardware, the order is the same: close the door
 * (state), take back the mappings, wake the sleepers.
 */
#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/slab.h>

#include "board.h"
#include "buffer.h"
#include "debugfs.h"
#include "file.h"
#include "hwmon.h"
#include "irq.h"
#include "map.h"
#include "queue.h"
#include "sdi.h"
#include "slab.h"
#include "sysfs.h"
#include "trace.h"
#include "watchdog.h"
#include "window.h"

/*
 * A board keeps its number, found by its bus name, for as long as the module is
 * loaded, so that unbinding, resetting or re-plugging does not rename it.
 */
struct sluice_number {
	struct list_head list;
	unsigned int n;
	char bus_name[];
};

static LIST_HEAD(sluice_numbers);
static DEFINE_MUTEX(sluice_numbers_lock);

static int sluice_board_number(const char *bus_name)
{
	struct sluice_number *number;
	unsigned int n = 0;
	size_t len = strlen(bus_name) + 1;

	mutex_lock(&sluice_numbers_lock);
	list_for_each_entry(number, &sluice_numbers, list) {
		if (!strcmp(number->bus_name, bus_name))
			goto out;
		n++;
	}
	number = kmalloc(struct_size(number, bus_name, len), GFP_KERNEL);
	if (!number)
		goto out;
	number->n = n;
	memcpy(number->bus_name, bus_name, len);
	list_add_tail(&number->list, &sluice_numbers);
out:
	mutex_unlock(&sluice_numbers_lock);
	return number ? (int)number->n : -ENOMEM;
}

void sluice_board_forget_numbers(void)
{
	struct sluice_number *number, *next;

	list_for_each_entry_safe(number, next, &sluice_numbers, list)
		kfree(number);
	INIT_LIST_HEAD(&sluice_numbers);
}

SLUICE_SLAB(sluice_board);

static void sluice_board_release(struct device *dev)
{
	struct sluice_board *board = container_of(dev, struct sluice_board, dev);

	if (board->sdi)
		sluice_sdi_destroy(board->sdi);
	put_device(board->parent);
	sluice_slab_free(&sluice_board_slab, board);
}

/**
 * sluice_board_alloc - make a board that is not yet visible to anybody
 * @parent: the bus device
 * @bus: its operations
 *
 * Return: the board, with one reference for the caller, or an error pointer.
 */
struct sluice_board *sluice_board_alloc(struct device *parent, const struct sluice_bus_ops *bus)
{
	struct sluice_board *board;
	int n = sluice_board_number(dev_name(parent));

	if (n < 0)
		return ERR_PTR(n);
	board = sluice_slab_alloc(&sluice_board_slab);
	if (!board)
		return ERR_PTR(-ENOMEM);
	device_initialize(&board->dev);
	board->dev.release = sluice_board_release;
	board->parent = get_device(parent);
	board->bus = bus;
	mutex_init(&board->reset_lock);
	init_rwsem(&board->access);
	mutex_init(&board->reg_lock);
	mutex_init(&board->mem_lock);
	INIT_LIST_HEAD(&board->mems);
	sluice_exports_init(&board->exports);
	mutex_init(&board->vma_lock);
	INIT_LIST_HEAD(&board->vmas);
	spin_lock_init(&board->irq_lock);
	init_waitqueue_head(&board->irq_wait);
	snprintf(board->node, sizeof(board->node), "sluice%d", n);
	return board;
}

/**
 * sluice_board_start_sdi - bring up a board with queues
 * @board: whose bus has claimed what is there
 * @place: where things are
 *
 * Return: 0 or a negative error, and then the board does nothing any more.
 */
int sluice_board_start_sdi(struct sluice_board *board, const struct sluice_sdi_place *place)
{
	struct sluice_sdi *sdi;
	int err = dma_set_mask_and_coherent(board->parent, DMA_BIT_MASK(64));

	if (err)
		err = dma_set_mask_and_coherent(board->parent, DMA_BIT_MASK(32));
	if (err)
		return err;
	sdi = sluice_sdi_create(board, place);
	if (IS_ERR(sdi))
		return PTR_ERR(sdi);
	board->sdi = sdi;
	err = sluice_sdi_irq_connect(sdi);
	if (!err)
		err = sluice_sdi_start(sdi);
	if (err) {
		sluice_sdi_irq_disconnect(sdi);
		sluice_sdi_stop(sdi);
	}
	return err;
}

/* Nobody uses the board any more, or could before: no interrupts, no DMA, nothing mapped. */
static void sluice_board_stop(struct sluice_board *board)
{
	if (board->sdi) {
		sluice_sdi_irq_disconnect(board->sdi);
		sluice_sdi_stop(board->sdi);
	} else {
		sluice_irq_disconnect(board);
		sluice_windows_remove(board);
	}
}

static void sluice_board_greet(struct sluice_board *board)
{
	static const char *const modes[] = {
		[SLUICE_IRQ_POLL] = "polled",
		[SLUICE_IRQ_INTX] = "interrupt",
		[SLUICE_IRQ_MSIX] = "vectors",
	};
	const struct sluice_sdi *sdi = board->sdi;

	if (sdi)
		dev_info(board->parent,
			 "%s: \"%s\", %u queue(s), %llu MiB of memory, %s, %u vector(s)\n",
			 board->node, sdi->figures.name, sdi->figures.n_queues,
			 sdi->figures.memory_size >> 20, modes[sdi->mode], sdi->n_vectors);
	else
		dev_info(board->parent, "%s: plain board, %u window(s)%s\n", board->node,
			 board->n_windows, board->irq ? ", interrupt" : "");
}

static int sluice_board_register(struct sluice_board *board)
{
	int err;

	board->misc.minor = MISC_DYNAMIC_MINOR;
	board->misc.name = board->node;
	board->misc.fops = &sluice_fops;
	board->misc.parent = board->parent;
	board->misc.mode = 0660;
	board->misc.groups = sluice_groups;
	err = misc_register(&board->misc);
	if (err)
		return err;
	sluice_debugfs_add(board);
	sluice_hwmon_add(board);
	if (board->sdi)
		sluice_watchdog_start(board->sdi);
	return 0;
}

/**
 * sluice_board_go - let everybody in: the board is /dev/sluiceN
 * @board: started, with its windows or its Device Interface
 *
 * Return: 0 or a negative error, and then the board is stopped.
 */
int sluice_board_go(struct sluice_board *board)
{
	int err = sluice_board_register(board);

	if (err)
		sluice_board_stop(board);
	else
		sluice_board_greet(board);
	return err;
}

/**
 * sluice_board_close - keep everybody off the hardware, and take it away from user space
 * @board: with its reset_lock held
 * @state: not LIVE
 *
 * Mappings do not come back: what they show would not be what their owner set up.
 */
void sluice_board_close(struct sluice_board *board, enum sluice_board_state state)
{
	lockdep_assert_held(&board->reset_lock);
	down_write(&board->access);
	WRITE_ONCE(board->state, state);	/* poll() looks without the lock */
	up_write(&board->access);

	/* From here on no new mapping can be made, so this gets them all. */
	sluice_map_revoke(board, NULL);
	sluice_irq_disarm(board);
	if (board->sdi)
		sluice_queues_kill(board->sdi,
				   state == SLUICE_BOARD_GONE ? -ENODEV : -ECONNRESET);
	sluice_exports_moved(&board->exports);
	wake_up_all(&board->irq_wait);
}

/**
 * sluice_board_open - let everybody in again after a reset
 * @board: closed, with its reset_lock held
 * @err: what came of the reset
 */
void sluice_board_open(struct sluice_board *board, int err)
{
	lockdep_assert_held(&board->reset_lock);
	board->n_resets++;
	trace_sluice_reset(board->node, board->n_resets, err);
	down_write(&board->access);
	WRITE_ONCE(board->state, err ? SLUICE_BOARD_BROKEN : SLUICE_BOARD_LIVE);
	up_write(&board->access);
	wake_up_all(&board->irq_wait);
}

/**
 * sluice_board_reset_begin - keep everybody off while the bus resets the board
 * @board: registered
 */
void sluice_board_reset_begin(struct sluice_board *board)
{
	mutex_lock(&board->reset_lock);
	sluice_board_close(board, SLUICE_BOARD_IN_RESET);
}

void sluice_board_reset_end(struct sluice_board *board)
{
	int err = board->sdi ? sluice_sdi_start(board->sdi) : 0;

	sluice_board_open(board, err);
	mutex_unlock(&board->reset_lock);
}

/**
 * sluice_board_detach - the hardware is about to go, or has gone
 * @board: registered
 *
 * When this returns nobody uses the hardware and nobody will, the board does no
 * DMA, nothing of it is mapped, and no DMA memory is left.
 */
void sluice_board_detach(struct sluice_board *board)
{
	sluice_hwmon_remove(board);
	misc_deregister(&board->misc);
	sluice_debugfs_remove(board);
	if (board->sdi)
		sluice_watchdog_stop(board->sdi);
	mutex_lock(&board->reset_lock);
	sluice_board_close(board, SLUICE_BOARD_GONE);
	sluice_board_stop(board);
	sluice_mems_drop(board);
	mutex_unlock(&board->reset_lock);
}

void sluice_board_put(struct sluice_board *board)
{
	put_device(&board->dev);
}

/**
 * sluice_board_enter - begin a use of the hardware
 * @board: any
 *
 * Return: 0, and the board stays as it is until sluice_board_leave(); -ENODEV
 * if it is gone, -EBUSY while it is being reset, -EIO if a reset has failed.
 */
int sluice_board_enter(struct sluice_board *board)
{
	int err = sluice_board_hold(board);

	if (!err && board->state == SLUICE_BOARD_BROKEN) {
		up_read(&board->access);
		err = -EIO;
	}
	return err;
}

/**
 * sluice_board_hold - as sluice_board_enter(), but the hardware may be out of order
 * @board: any
 *
 * For those who only need what the driver itself has: it may be used, the
 * hardware only of what is alive (a queue that is not dead).
 */
int sluice_board_hold(struct sluice_board *board)
{
	int err = 0;

	down_read(&board->access);
	if (board->state == SLUICE_BOARD_GONE)
		err = -ENODEV;
	else if (board->state == SLUICE_BOARD_IN_RESET)
		err = -EBUSY;
	if (err)
		up_read(&board->access);
	return err;
}

/* As sluice_board_hold(), but false where that would sleep or fail. */
bool sluice_board_try_hold(struct sluice_board *board)
{
	if (!down_read_trylock(&board->access))
		return false;
	if (board->state != SLUICE_BOARD_GONE && board->state != SLUICE_BOARD_IN_RESET)
		return true;
	up_read(&board->access);
	return false;
}

void sluice_board_leave(struct sluice_board *board)
{
	up_read(&board->access);
}

/* The window with that number, or NULL; the number comes from user space. */
struct sluice_win *sluice_board_window(struct sluice_board *board, u32 index)
{
	if (index >= board->n_windows)
		return NULL;
	return &board->windows[array_index_nospec(index, board->n_windows)];
}
