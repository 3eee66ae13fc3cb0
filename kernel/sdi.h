/* SPDX-License-Identifier: GPL-2.0 */
/*
 * sdi.h - a board that speaks the Device Interface: control page, bring-up, interrupts.
 */
#ifndef SLUICE_SDI_H
#define SLUICE_SDI_H

#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/io.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "devmem.h"
#include "uapi/sluice_sdi.h"

struct sluice_board;
struct sluice_hwq;
struct sluice_info;
struct sluice_sdi;

/* The windows of an SDI board. */
#define SLUICE_SDI_WINDOW_REGISTERS 0
#define SLUICE_SDI_WINDOW_MEMORY 1

/* The pages in front of the notify page that the driver uses: control, clock, queues, counters. */
#define SLUICE_SDI_N_CONTROL_PAGES 4

/* Rings of more entries are no faster, and a ring is one piece of memory. */
#define SLUICE_MAX_ENTRIES 65536

/**
 * struct sluice_sdi_place - where a board has things, from its bus's board table
 * @registers: register window
 * @registers_length: bytes that can belong to it, and to memory behind it
 * @memory: device memory; 0: behind the registers, where the control page says
 * @memory_length: bytes there, 0 with @memory
 * @notify: notify register; 0: none
 * @bar: number of the BAR with the registers, for SLUICE_IOC_WINDOW
 * @memory_bar: that with the memory
 */
struct sluice_sdi_place {
	phys_addr_t registers;
	u64 registers_length;
	phys_addr_t memory;
	u64 memory_length;
	phys_addr_t notify;
	u32 bar;
	u32 memory_bar;
};

/**
 * struct sluice_sdi_figures - what the control page says, once checked; does not change
 */
struct sluice_sdi_figures {
	u64 capabilities;
	u64 memory_size;
	u64 memory_offset;
	u32 version;
	u32 n_queues;
	u32 n_segments;
	u32 max_entries;
	u32 n_vectors;
	u32 max_commands;
	u32 max_tensors;
	u32 max_step_bytes;
	u32 max_lists;
	char name[32];
};

/* How completions are heard of. */
enum sluice_irq_mode {
	SLUICE_IRQ_POLL,	/* not at all: somebody looks */
	SLUICE_IRQ_INTX,	/* one line; irq_events says whether it was ours */
	SLUICE_IRQ_MSIX,	/* vectors: 0 for faults, others for queues */
};

/**
 * struct sluice_vector - one interrupt vector
 * @sdi: its board
 * @index: number
 * @irq: Linux's number
 * @name: "sluice0-q1", for /proc/interrupts
 */
struct sluice_vector {
	struct sluice_sdi *sdi;
	u32 index;
	int irq;
	char name[40];
};

/**
 * struct sluice_sdi - a board's Device Interface; lives as long as the board
 * @board: it
 * @place: where things are
 * @figures: what they are
 * @control: pages 0 to 3, NULL once unmapped
 * @doorbells: pages 16 to 16 + n_queues - 1
 * @notify_register: or NULL
 * @notify: what to write there
 * @request_lock: one request at a time
 * @generation: of the last request
 * @clock_lock: one change of clocks at a time
 * @timer_hz: what timers are to count with, 0: off (clock_lock)
 * @devmem: device memory (board's mem_lock)
 * @queue_lock: protects @queues for writing, with @irq_lock
 * @queues: by number, NULL: free
 * @irq_lock: protects @queues for reading; taken in interrupt context
 * @mode: how completions are heard of
 * @n_vectors: vectors connected
 * @vectors: them
 * @tick: looks after queues: lost interrupts, polling, hangs
 * @n_faults: of the control page when the tick last looked
 * @hung: a request was not answered: the tick is to reset the board
 * @silent: the last reset was not answered
 * @stopping: @tick must not run again
 */
struct sluice_sdi {
	struct sluice_board *board;
	struct sluice_sdi_place place;
	struct sluice_sdi_figures figures;
	u8 __iomem *control;
	u8 __iomem *doorbells;
	void __iomem *notify_register;
	u32 notify;

	struct mutex request_lock;
	u32 generation;

	struct mutex clock_lock;
	u32 timer_hz[SLUICE_SDI_N_TIMERS];

	struct sluice_devmem devmem;

	struct mutex queue_lock;
	struct sluice_hwq *queues[SLUICE_SDI_MAX_QUEUES];

	spinlock_t irq_lock;
	enum sluice_irq_mode mode;
	u32 n_vectors;
	struct sluice_vector *vectors;

	struct delayed_work tick;
	u64 n_faults;
	bool hung;
	bool silent;
	bool stopping;
};

#define SLUICE_CONTROL_AT(field) offsetof(struct sluice_sdi_control, field)

static inline u32 sluice_sdi_read(struct sluice_sdi *sdi, u32 page, u32 offset)
{
	return readl(sdi->control + page * SLUICE_SDI_PAGE_SIZE + offset);
}

static inline void sluice_sdi_write(struct sluice_sdi *sdi, u32 page, u32 offset, u32 value)
{
	writel(value, sdi->control + page * SLUICE_SDI_PAGE_SIZE + offset);
}

static inline u64 sluice_sdi_read64(struct sluice_sdi *sdi, u32 page, u32 offset)
{
	return readq(sdi->control + page * SLUICE_SDI_PAGE_SIZE + offset);
}

static inline void sluice_sdi_write64(struct sluice_sdi *sdi, u32 page, u32 offset, u64 value)
{
	writeq(value, sdi->control + page * SLUICE_SDI_PAGE_SIZE + offset);
}

bool sluice_sdi_is_there(const struct sluice_sdi_place *place);
struct sluice_sdi *sluice_sdi_create(struct sluice_board *board,
				     const struct sluice_sdi_place *place);
int sluice_sdi_start(struct sluice_sdi *sdi);
void sluice_sdi_stop(struct sluice_sdi *sdi);
void sluice_sdi_destroy(struct sluice_sdi *sdi);
void sluice_sdi_notify(struct sluice_sdi *sdi);
int sluice_sdi_request(struct sluice_sdi *sdi, u32 action, u64 argument);
void sluice_sdi_describe(struct sluice_sdi *sdi, struct sluice_info *info);
int sluice_sdi_may_map(struct sluice_sdi *sdi, u32 window, u64 offset, u64 length,
		       bool *ret_read_only);
int sluice_sdi_may_access(struct sluice_sdi *sdi, u32 window, bool write);

int sluice_sdi_irq_connect(struct sluice_sdi *sdi);
void sluice_sdi_irq_disconnect(struct sluice_sdi *sdi);

#endif /* SLUICE_SDI_H */
