// SPDX-License-Identifier: GPL-2.0
/*
 * sdi.c - the control page of a board with the Device Interface.
 *
 * Nothing that the board says is believed before it is checked, and everything
 * that it says about itself is checked again after each reset, which is the same
 * code as the first bring-up. Only the pages of registers that are used here are
 * mapped: a mapping of device memory would fix its memory type for everybody.
 */
#include <linux/capability.h>
#include <linux/ctype.h>
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/ktime.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/security.h>
#include <linux/slab.h>

#include "board.h"
#include "clk.h"
#include "queue.h"
#include "sdi.h"
#include "watchdog.h"

/* How long a request, a pause (entries under way have to end) and a reset may take. */
#define SLUICE_REQUEST_MS 2000
#define SLUICE_PAUSE_MS 10000
#define SLUICE_RESET_MS 5000

#define CONTROL SLUICE_SDI_PAGE_CONTROL

/* With CAP_SYS_RAWIO and no lockdown the raw registers may be written. */
static bool sluice_may_rawio(void)
{
	return capable(CAP_SYS_RAWIO) && !security_locked_down(LOCKDOWN_PCI_ACCESS);
}

/**
 * sluice_sdi_is_there - does a board with the Device Interface answer there?
 * @place: where it should be
 */
bool sluice_sdi_is_there(const struct sluice_sdi_place *place)
{
	void __iomem *page;
	u32 magic;

	if (place->registers_length < SLUICE_SDI_PAGE_DOORBELL * SLUICE_SDI_PAGE_SIZE)
		return false;
	page = ioremap(place->registers, SLUICE_SDI_PAGE_SIZE);
	if (!page)
		return false;
	magic = readl(page + SLUICE_CONTROL_AT(magic));
	iounmap(page);
	return magic == SLUICE_SDI_MAGIC;
}

/* Tells the board to look: it may be asleep. */
void sluice_sdi_notify(struct sluice_sdi *sdi)
{
	if (sdi->notify_register)
		writel(sdi->notify, sdi->notify_register);
}

static int sluice_sdi_result(struct sluice_sdi *sdi, u32 request)
{
	static const int errors[] = {
		[SLUICE_SDI_RESULT_OK] = 0,
		[SLUICE_SDI_RESULT_UNKNOWN] = -EOPNOTSUPP,
		[SLUICE_SDI_RESULT_INVALID] = -EINVAL,
		[SLUICE_SDI_RESULT_STATE] = -EIO,
		[SLUICE_SDI_RESULT_DMA] = -EIO,
	};
	u32 result = sluice_sdi_read(sdi, CONTROL, SLUICE_CONTROL_AT(result));

	if (result != SLUICE_SDI_RESULT_OK)
		dev_warn_ratelimited(sdi->board->parent, "%s: request 0x%x: result %u\n",
				     sdi->board->node, request, result);
	return result < ARRAY_SIZE(errors) ? errors[result] : -EIO;
}

/* Waits until the board has carried out a request. One that is stuck takes none but a reset. */
static int sluice_sdi_await(struct sluice_sdi *sdi, u32 request, unsigned int timeout_ms)
{
	bool is_reset = (request & 0xff) == SLUICE_SDI_ACTION_RESET;
	ktime_t end = ktime_add_ms(ktime_get(), timeout_ms);
	unsigned int us = 10;

	for (;;) {
		u32 status = sluice_sdi_read(sdi, CONTROL, SLUICE_CONTROL_AT(status));
		bool hopeless = !is_reset && (status & SLUICE_SDI_STATUS_FATAL);
		bool late = ktime_after(ktime_get(), end);
		u32 seen = sluice_sdi_read(sdi, CONTROL, SLUICE_CONTROL_AT(acknowledge));

		if (seen == request)
			return 0;
		/* A board whose registers are all ones may still obey a reset, if it is there. */
		if (seen == U32_MAX && (!is_reset || !sdi->board->bus->present(sdi->board)))
			return -ENODEV;
		if (late || hopeless)
			return -ETIMEDOUT;
		usleep_range(us, 2 * us);
		us = min(2 * us, 1000u);
	}
}

static int sluice_sdi_post(struct sluice_sdi *sdi, u32 action, u64 argument,
			   unsigned int timeout_ms)
{
	u32 request;
	int err;

	mutex_lock(&sdi->request_lock);
	sdi->generation = (sdi->generation + 1) & 0xffffff;
	request = SLUICE_SDI_REQUEST(sdi->generation, action);
	sluice_sdi_write64(sdi, CONTROL, SLUICE_CONTROL_AT(argument[0]), argument);
	sluice_sdi_write64(sdi, CONTROL, SLUICE_CONTROL_AT(argument[1]), 0);
	/* Ring or table contents first, then the request: both stay in order for the board. */
	wmb();
	sluice_sdi_write(sdi, CONTROL, SLUICE_CONTROL_AT(request), request);
	sluice_sdi_notify(sdi);
	err = sluice_sdi_await(sdi, request, timeout_ms);
	if (err)
		dev_warn_ratelimited(sdi->board->parent, "%s: request 0x%x: no answer (%d)\n",
				     sdi->board->node, request, err);
	else
		err = sluice_sdi_result(sdi, request);
	mutex_unlock(&sdi->request_lock);
	return err;
}

/**
 * sluice_sdi_request - have the board do something, and wait until it has
 * @sdi: with its board entered
 * @action: SLUICE_SDI_ACTION_*
 * @argument: of it
 *
 * Return: 0; -ETIMEDOUT or -ENODEV: no answer, and a reset of the board is under
 * way; another negative error: the board refused.
 */
int sluice_sdi_request(struct sluice_sdi *sdi, u32 action, u64 argument)
{
	unsigned int ms = action == SLUICE_SDI_ACTION_PAUSE ? SLUICE_PAUSE_MS : SLUICE_REQUEST_MS;
	int err = sluice_sdi_post(sdi, action, argument, ms);

	if (err == -ETIMEDOUT || err == -ENODEV)
		sluice_watchdog_hung(sdi);
	return err;
}

static void sluice_sdi_read_figures(struct sluice_sdi *sdi, struct sluice_sdi_figures *f)
{
	size_t i;

	memset(f, 0, sizeof(*f));
	f->capabilities = sluice_sdi_read64(sdi, CONTROL, SLUICE_CONTROL_AT(capabilities));
	f->memory_size = sluice_sdi_read64(sdi, CONTROL, SLUICE_CONTROL_AT(memory_size));
	f->memory_offset = sluice_sdi_read64(sdi, CONTROL, SLUICE_CONTROL_AT(memory_offset));
	f->version = sluice_sdi_read(sdi, CONTROL, SLUICE_CONTROL_AT(version));
	f->n_queues = sluice_sdi_read(sdi, CONTROL, SLUICE_CONTROL_AT(n_queues));
	f->n_segments = sluice_sdi_read(sdi, CONTROL, SLUICE_CONTROL_AT(n_segments));
	f->max_entries = sluice_sdi_read(sdi, CONTROL, SLUICE_CONTROL_AT(max_entries));
	f->n_vectors = sluice_sdi_read(sdi, CONTROL, SLUICE_CONTROL_AT(n_vectors));
	f->max_commands = sluice_sdi_read(sdi, CONTROL, SLUICE_CONTROL_AT(max_commands));
	f->max_tensors = sluice_sdi_read(sdi, CONTROL, SLUICE_CONTROL_AT(max_tensors));
	f->max_step_bytes = sluice_sdi_read(sdi, CONTROL, SLUICE_CONTROL_AT(max_step_bytes));
	f->max_lists = sluice_sdi_read(sdi, CONTROL, SLUICE_CONTROL_AT(max_lists));
	memcpy_fromio(f->name, sdi->control + SLUICE_CONTROL_AT(name), sizeof(f->name));
	f->name[sizeof(f->name) - 1] = '\0';
	for (i = 0; f->name[i]; i++)
		if (!isascii(f->name[i]) || !isprint(f->name[i]))
			f->name[i] = '?';
	memset(f->name + i, 0, sizeof(f->name) - i);
}

/* Does the memory lie behind the registers, and inside what the bus has there? */
static bool sluice_sdi_memory_fits(const struct sluice_sdi_place *place,
				   const struct sluice_sdi_figures *f)
{
	u64 registers = (u64)(SLUICE_SDI_PAGE_DOORBELL + f->n_queues) * SLUICE_SDI_PAGE_SIZE;

	if (!f->memory_size || f->memory_size % SLUICE_SDI_PAGE_SIZE)
		return false;
	if (registers > place->registers_length)
		return false;
	if (place->memory)
		return f->memory_size <= place->memory_length;
	return f->memory_offset % SLUICE_SDI_PAGE_SIZE == 0 && f->memory_offset >= registers &&
	       f->memory_offset <= place->registers_length &&
	       f->memory_size <= place->registers_length - f->memory_offset;
}

/* The first figure that makes no sense, or NULL. */
static const char *sluice_sdi_bad_figure(const struct sluice_sdi_place *place,
					 const struct sluice_sdi_figures *f)
{
	if (SLUICE_SDI_VERSION_MAJOR(f->version) != SLUICE_SDI_VERSION_MAJOR(SLUICE_SDI_VERSION))
		return "version";
	if (f->n_queues < 1 || f->n_queues > SLUICE_SDI_MAX_QUEUES)
		return "n_queues";
	if (f->n_segments < 1 || f->n_segments > SLUICE_SDI_MAX_SEGMENTS)
		return "n_segments";
	if (f->max_entries < 2 || !is_power_of_2(f->max_entries))
		return "max_entries";
	if (f->n_vectors < 1 || f->n_vectors > 1 + f->n_queues)
		return "n_vectors";
	if (f->max_step_bytes < sizeof(struct sluice_sdi_step))
		return "max_step_bytes";
	if (!f->max_commands || !f->max_tensors || !f->max_lists)
		return "max_commands, max_tensors or max_lists";
	if (!sluice_sdi_memory_fits(place, f))
		return "memory_size or memory_offset";
	return NULL;
}

static int sluice_sdi_check(struct sluice_sdi *sdi, struct sluice_sdi_figures *f)
{
	struct sluice_board *board = sdi->board;
	const char *bad;

	if (sluice_sdi_read(sdi, CONTROL, SLUICE_CONTROL_AT(magic)) != SLUICE_SDI_MAGIC) {
		dev_err(board->parent, "%s: no Device Interface there\n", board->node);
		return -ENODEV;
	}
	sluice_sdi_read_figures(sdi, f);
	bad = sluice_sdi_bad_figure(&sdi->place, f);
	if (!bad)
		return 0;
	dev_err(board->parent, "%s: the control page's %s makes no sense\n", board->node, bad);
	return -EIO;
}

static void sluice_sdi_unmap(struct sluice_sdi *sdi)
{
	if (sdi->control)
		iounmap(sdi->control);
	if (sdi->doorbells)
		iounmap(sdi->doorbells);
	if (sdi->notify_register)
		iounmap(sdi->notify_register);
	sdi->control = NULL;
	sdi->doorbells = NULL;
	sdi->notify_register = NULL;
}

/**
 * sluice_sdi_create - look at a board's control page and map its registers
 * @board: whose windows are filled in
 * @place: where they are
 *
 * The board is not started. Return: the interface, or an error pointer.
 */
struct sluice_sdi *sluice_sdi_create(struct sluice_board *board,
				     const struct sluice_sdi_place *place)
{
	struct sluice_sdi *sdi;
	int err = -ENOMEM;

	/* Pages are granted one by one: they must not be larger than the interface's. */
	if (PAGE_SIZE != SLUICE_SDI_PAGE_SIZE)
		return ERR_PTR(-EOPNOTSUPP);
	sdi = kzalloc(sizeof(*sdi), GFP_KERNEL);
	if (!sdi)
		return ERR_PTR(-ENOMEM);
	sdi->board = board;
	sdi->place = *place;
	mutex_init(&sdi->request_lock);
	mutex_init(&sdi->clock_lock);
	mutex_init(&sdi->queue_lock);
	spin_lock_init(&sdi->irq_lock);
	sluice_devmem_init(&sdi->devmem);
	sluice_watchdog_init(sdi);
	/* A segment of any length is one: lists of chunks need not be cut smaller for the board. */
	dma_set_max_seg_size(board->parent, UINT_MAX);

	sdi->control = ioremap(place->registers, SLUICE_SDI_N_CONTROL_PAGES * SLUICE_SDI_PAGE_SIZE);
	if (!sdi->control)
		goto err_free;
	err = sluice_sdi_check(sdi, &sdi->figures);
	if (err)
		goto err_unmap;
	err = -ENOMEM;
	sdi->doorbells = ioremap(place->registers + SLUICE_SDI_PAGE_DOORBELL * SLUICE_SDI_PAGE_SIZE,
				 sdi->figures.n_queues * SLUICE_SDI_PAGE_SIZE);
	if (!sdi->doorbells)
		goto err_unmap;
	if (place->notify) {
		sdi->notify_register = ioremap(place->notify, sizeof(u32));
		if (!sdi->notify_register)
			goto err_unmap;
	}
	board->n_windows = 2;
	board->windows[SLUICE_SDI_WINDOW_REGISTERS] = (struct sluice_win){
		.kind = SLUICE_WINDOW_REGISTERS,
		.caps = SLUICE_WINDOW_CAN_MAP | SLUICE_WINDOW_CAN_WRITE,
		.bar = place->bar,
		.start = place->registers,
		.length = (u64)(SLUICE_SDI_PAGE_DOORBELL + sdi->figures.n_queues) *
			  SLUICE_SDI_PAGE_SIZE,
	};
	board->windows[SLUICE_SDI_WINDOW_MEMORY] = (struct sluice_win){
		.kind = SLUICE_WINDOW_MEMORY,
		.caps = SLUICE_WINDOW_CAN_MAP | SLUICE_WINDOW_CAN_WRITE,
		.bar = place->memory_bar,
		.start = place->memory ? place->memory :
					 place->registers + sdi->figures.memory_offset,
		.length = sdi->figures.memory_size,
		.combine = true,
	};
	return sdi;

err_unmap:
	sluice_sdi_unmap(sdi);
err_free:
	kfree(sdi);
	return ERR_PTR(err);
}

/**
 * sluice_sdi_start - reset the board and make it ready: the first time and every time
 * @sdi: nobody else uses the board
 *
 * Bus mastering is on when this succeeds, and off when it fails: a board that did
 * not acknowledge its reset may not write to memory any more.
 *
 * Return: 0 or a negative error.
 */
int sluice_sdi_start(struct sluice_sdi *sdi)
{
	struct sluice_board *board = sdi->board;
	struct sluice_sdi_figures figures;
	u32 seen = sluice_sdi_read(sdi, CONTROL, SLUICE_CONTROL_AT(acknowledge));
	int err;

	/* Go on counting where the board is, whoever had it before. */
	if (seen != U32_MAX)
		sdi->generation = seen >> 8;
	sdi->notify = sluice_sdi_read(sdi, CONTROL, SLUICE_CONTROL_AT(notify));
	err = sluice_sdi_post(sdi, SLUICE_SDI_ACTION_RESET, 0, SLUICE_RESET_MS);
	sdi->silent = err == -ETIMEDOUT;
	if (!err && !(sluice_sdi_read(sdi, CONTROL, SLUICE_CONTROL_AT(status)) &
		      SLUICE_SDI_STATUS_READY))
		err = -EIO;
	if (!err)
		err = sluice_sdi_check(sdi, &figures);
	if (!err && memcmp(&figures, &sdi->figures, sizeof(figures))) {
		dev_err(board->parent, "%s: it is another board since its reset\n", board->node);
		err = -EIO;
	}
	if (err) {
		board->bus->set_master(board, false);
		return err;
	}
	sdi->notify = sluice_sdi_read(sdi, CONTROL, SLUICE_CONTROL_AT(notify));
	sdi->n_faults = 0;
	board->bus->set_master(board, true);
	sluice_sdi_write64(sdi, CONTROL, SLUICE_CONTROL_AT(irq_seen),
			   sluice_sdi_read64(sdi, CONTROL, SLUICE_CONTROL_AT(irq_events)));
	sluice_sdi_write64(sdi, CONTROL, SLUICE_CONTROL_AT(irq_mask),
			   sdi->mode == SLUICE_IRQ_POLL ? U64_MAX : 0);
	sluice_clk_start(sdi);
	return 0;
}

/**
 * sluice_sdi_stop - the end of the board for this driver: no DMA after this
 * @sdi: nobody else uses the board
 */
void sluice_sdi_stop(struct sluice_sdi *sdi)
{
	struct sluice_board *board = sdi->board;

	/* One that was asked nothing yet, or did not answer its last reset, has no DMA. */
	if (sdi->control && sdi->generation && !sdi->silent && board->bus->present(board) &&
	    sluice_sdi_read(sdi, CONTROL, SLUICE_CONTROL_AT(magic)) == SLUICE_SDI_MAGIC)
		sluice_sdi_post(sdi, SLUICE_SDI_ACTION_RESET, 0, SLUICE_RESET_MS);
	board->bus->set_master(board, false);
	sluice_sdi_unmap(sdi);
}

void sluice_sdi_destroy(struct sluice_sdi *sdi)
{
	/* Whoever wanted the queues to be looked after just when that ended may have come late. */
	sluice_watchdog_stop(sdi);
	kfree(sdi);
}

/* The SDI part of an info struct. */
void sluice_sdi_describe(struct sluice_sdi *sdi, struct sluice_info *info)
{
	const struct sluice_sdi_figures *f = &sdi->figures;
	u32 i;

	info->kind = SLUICE_BOARD_SDI;
	if (sdi->mode != SLUICE_IRQ_POLL)
		info->state |= SLUICE_STATE_IRQ;
	if (sdi->mode == SLUICE_IRQ_MSIX && sdi->n_vectors > f->n_queues)
		info->state |= SLUICE_STATE_VECTORS;
	info->capabilities = f->capabilities;
	info->memory_size = f->memory_size;
	info->memory_window = SLUICE_SDI_WINDOW_MEMORY;
	info->n_queues = f->n_queues;
	info->n_segments = f->n_segments;
	info->max_entries = min_t(u32, f->max_entries, SLUICE_MAX_ENTRIES);
	info->sdi_version = f->version;
	info->max_step_bytes = f->max_step_bytes;

	mutex_lock(&sdi->queue_lock);
	for (i = 0; i < f->n_queues; i++)
		info->n_queues_free += !sdi->queues[i];
	mutex_unlock(&sdi->queue_lock);
	mutex_lock(&sdi->board->mem_lock);
	info->memory_free = f->memory_size - sdi->devmem.used;
	mutex_unlock(&sdi->board->mem_lock);
}

/**
 * sluice_sdi_may_map - may a part of a window be mapped by its number?
 * @sdi: the board's
 * @window: which
 * @offset: bytes, of a page
 * @length: bytes, inside the window
 * @ret_read_only: it may be read alone
 *
 * Pages that cannot redirect anything are everybody's; device memory as a whole
 * holds what others allocated; a doorbell is its queue's.
 */
int sluice_sdi_may_map(struct sluice_sdi *sdi, u32 window, u64 offset, u64 length,
		       bool *ret_read_only)
{
	u64 page = offset / SLUICE_SDI_PAGE_SIZE;

	if (window == SLUICE_SDI_WINDOW_MEMORY)
		return sluice_may_rawio() ? 0 : -EPERM;
	if (length > SLUICE_SDI_PAGE_SIZE ||
	    (page != SLUICE_SDI_PAGE_CONTROL && page != SLUICE_SDI_PAGE_COUNTERS))
		return -EPERM;
	*ret_read_only = true;
	return 0;
}

/* May the caller read or write a window by system call? */
int sluice_sdi_may_access(struct sluice_sdi *sdi, u32 window, bool write)
{
	if (window == SLUICE_SDI_WINDOW_REGISTERS && !write)
		return 0;
	return sluice_may_rawio() ? 0 : -EPERM;
}
