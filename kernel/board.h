/* SPDX-License-Identifier: GPL-2.0 */
/*
 * board.h - one bound board: its windows, its interrupt line, its life.
 *
 * A board is made by a bus part (pci.c, platform.c), used through /dev/sluiceN, and outlives
 * its hardware: open files keep the memory, and find every door closed.
 *
 * Lock order, outermost first:
 *	sluice_board.reset_lock, mmap_lock (of any process), sluice_file.lock,
 *	sluice_board.access, sluice_board.reg_lock, sluice_sdi.clock_lock,
 *	sluice_hwq.lock, sluice_sdi.request_lock, sluice_sdi.queue_lock,
 *	sluice_board.mem_lock, sluice_exports.lock, dma_resv of a dma-buf,
 *	sluice_exports.pin_lock, sluice_board.vma_lock, sluice_ring.lock,
 *	sluice_sdi.irq_lock, sluice_board.irq_lock
 * Fences are signalled with sluice_ring.lock held, and nothing before it in this list is
 * needed for that. No user memory is touched with any of ours held.
 */
#ifndef SLUICE_BOARD_H
#define SLUICE_BOARD_H

#include <linux/device.h>
#include <linux/ioport.h>
#include <linux/list.h>
#include <linux/miscdevice.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>

#include "dmabuf.h"
#include "uapi/sluice.h"

/* A PCI function has at most six base address registers. */
#define SLUICE_MAX_WINDOWS 6

struct dentry;
struct sluice_board;
struct sluice_mem;
struct sluice_sdi;
struct sluice_sdi_place;

/**
 * struct sluice_bus_ops - what a board's bus does for it
 * @describe: fill in the bus's part of an info struct
 * @present: is the board still there? Asked when a read returns all ones.
 * @is_master: may the board start DMA?
 * @set_master: let it, or not
 * @reset: have the bus reset a plain board, with the hooks that resets by others
 *	have; -EOPNOTSUPP if it cannot
 * @vectors_get: at most @most vectors that belong to one event each, as
 *	message-signalled ones do (@each), or one line for all; how many, or a
 *	negative error
 * @vector: Linux's number of one of them
 * @vectors_put: give them back
 * @irq_flags: IRQF_* of the line of a plain board
 * @irq_take: if the board raises its line, mask it in the board and return
 *	true; called in interrupt context
 * @irq_unmask: let the line through; false if the board raises it right now,
 *	in which case it stays masked
 * @irq_mask: mask the line in the board
 */
struct sluice_bus_ops {
	void (*describe)(struct sluice_board *board, struct sluice_info *info);
	bool (*present)(struct sluice_board *board);
	bool (*is_master)(struct sluice_board *board);
	void (*set_master)(struct sluice_board *board, bool on);
	int (*reset)(struct sluice_board *board);
	int (*vectors_get)(struct sluice_board *board, unsigned int most, bool each);
	int (*vector)(struct sluice_board *board, unsigned int index);
	void (*vectors_put)(struct sluice_board *board);
	unsigned long irq_flags;
	bool (*irq_take)(struct sluice_board *board);
	bool (*irq_unmask)(struct sluice_board *board);
	void (*irq_mask)(struct sluice_board *board);
};

/**
 * struct sluice_win - one window of a board
 * @kind: SLUICE_WINDOW_* kind
 * @caps: SLUICE_WINDOW_CAN_*
 * @bar: base address register, or resource, behind it
 * @length: bytes
 * @start: bus address as the CPU sees it
 * @base: the kernel's mapping, or NULL for device memory: a mapping of all of
 *	it would fix its memory type for everybody, so single accesses map
 *	the one page that they need
 * @combine: such a mapping is write-combined
 * @pad: the rest of the last page, reserved so that nobody else's registers
 *	can lie in a page that we map
 */
struct sluice_win {
	u32 kind;
	u32 caps;
	u32 bar;
	u64 length;
	phys_addr_t start;
	void __iomem *base;
	bool combine;
	struct resource pad;
};

enum sluice_board_state {
	SLUICE_BOARD_LIVE,
	SLUICE_BOARD_IN_RESET,	/* comes back; -EBUSY meanwhile */
	SLUICE_BOARD_BROKEN,	/* a reset failed; -EIO until one succeeds */
	SLUICE_BOARD_GONE,	/* does not come back; -ENODEV */
};

/**
 * struct sluice_board - a bound board
 * @dev: owns this memory; never added to the device tree
 * @misc: /dev/sluiceN
 * @node: "sluiceN"
 * @parent: the bus device, kept as long as the board; its hardware is not to be touched once
 *          @state is GONE
 * @bus: operations of the bus
 * @n_windows: used entries of @windows
 * @windows: fixed from registration on
 * @sdi: its Device Interface, NULL: a plain board
 * @reset_lock: held around resets, the end of a queue and the end of the board
 * @n_resets: resets, successful or not
 * @access: held for reading around every use of the hardware, for writing to
 *	change @state
 * @state: whether the hardware may be used
 * @reg_lock: makes read-modify-write of registers one access
 * @mem_lock: protects @mems, what is behind them, and device memory
 * @mems: struct sluice_mem with memory behind it
 * @exports: device memory that is exported
 * @vma_lock: protects @vmas
 * @vmas: every mapping of the board, struct sluice_mapping
 * @debugfs: its directory
 * @hwmon: its sensors, or NULL
 * @irq_lock: protects the interrupt fields below, taken in interrupt context
 * @irq: interrupt number, 0 if none is connected
 * @irq_armed: the line is let through
 * @irq_count: interrupts seen
 * @irq_wait: pollers
 */
struct sluice_board {
	struct device dev;
	struct miscdevice misc;
	char node[24];
	struct device *parent;
	const struct sluice_bus_ops *bus;
	u32 n_windows;
	struct sluice_win windows[SLUICE_MAX_WINDOWS];

	struct sluice_sdi *sdi;

	struct mutex reset_lock;
	u32 n_resets;
	struct rw_semaphore access;
	enum sluice_board_state state;

	struct mutex reg_lock;
	struct mutex mem_lock;
	struct list_head mems;

	struct sluice_exports exports;

	struct mutex vma_lock;
	struct list_head vmas;

	struct dentry *debugfs;
	struct device *hwmon;

	spinlock_t irq_lock;
	unsigned int irq;
	bool irq_armed;
	u64 irq_count;
	wait_queue_head_t irq_wait;
};

struct sluice_board *sluice_board_alloc(struct device *parent, const struct sluice_bus_ops *bus);
int sluice_board_start_sdi(struct sluice_board *board, const struct sluice_sdi_place *place);
int sluice_board_go(struct sluice_board *board);
void sluice_board_close(struct sluice_board *board, enum sluice_board_state state);
void sluice_board_open(struct sluice_board *board, int err);
void sluice_board_reset_begin(struct sluice_board *board);
void sluice_board_reset_end(struct sluice_board *board);
void sluice_board_detach(struct sluice_board *board);
void sluice_board_put(struct sluice_board *board);

int sluice_board_enter(struct sluice_board *board);
int sluice_board_hold(struct sluice_board *board);
bool sluice_board_try_hold(struct sluice_board *board);
void sluice_board_leave(struct sluice_board *board);
struct sluice_win *sluice_board_window(struct sluice_board *board, u32 index);

void sluice_board_forget_numbers(void);

#endif /* SLUICE_BOARD_H */
