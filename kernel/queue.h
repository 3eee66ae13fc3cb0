/* SPDX-License-Identifier: GPL-2.0 */
/*
 * queue.h - queues of a board with the Device Interface.
 */
#ifndef SLUICE_QUEUE_H
#define SLUICE_QUEUE_H

#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/wait.h>

#include "object.h"
#include "ring.h"
#include "uapi/sluice_sdi.h"

struct eventfd_ctx;
struct pid;
struct sluice_board;
struct sluice_file;
struct sluice_mem;
struct sluice_queue;
struct sluice_sdi;

/**
 * struct sluice_grip - what a segment holds on to
 * @list: in sluice_hwq.condemned, once the segment has changed
 * @mem: the object
 * @pages: page list, or NULL
 * @offset: where in the object it begins
 */
struct sluice_grip {
	struct list_head list;
	struct sluice_mem *mem;
	struct sluice_mem *pages;
	u64 offset;
};

/**
 * struct sluice_progress - what the tick saw of a queue when it last looked
 * @head: entries that the board had taken
 * @since: jiffies since nothing has moved
 * @woken: completions that somebody has been woken for (rings of the caller's)
 */
struct sluice_progress {
	u32 head;
	unsigned long since;
	u32 woken;
};

/**
 * struct sluice_hwq - a queue that a file has
 * @object: references
 * @sdi: the board's interface; the board is referenced
 * @sf: whose it is; not to be touched by those who only hold a reference
 * @pid: process that made it
 * @handle: of it
 * @index: number on the board
 * @flags: SLUICE_QUEUE_*
 * @n_entries: of each ring
 * @n_segments: of the segment table
 * @vector: interrupt vector
 * @doorbell: the kernel's mapping of its page
 * @sq: submission ring
 * @cq: completion ring
 * @table: segment table
 * @page: the doorbell page as something to be mapped
 * @eventfd: signalled at each interrupt, or NULL
 * @wait: those who wait for a completion
 * @lock: protects what follows, and the doorbell of a queue that is not dead
 * @dead: the board does not know it any more: reset, or freed. Set with both locks
 *	held; no use of the hardware or of the rings' memory after that
 * @grips: what each segment holds on to, NULL: it is empty
 * @condemned: what the board may still reach, as it did not confirm a change;
 *	freed with the queue
 * @progress: for the watchdog
 * @ring: entries in flight, and who waits for them, with a lock of its own
 */
struct sluice_hwq {
	struct sluice_object object;
	struct sluice_sdi *sdi;
	struct sluice_file *sf;
	struct pid *pid;
	u32 handle;
	u32 index;
	u32 flags;
	u32 n_entries;
	u32 n_segments;
	u32 vector;
	u8 __iomem *doorbell;
	struct sluice_mem *sq;
	struct sluice_mem *cq;
	struct sluice_mem *table;
	struct sluice_mem *page;
	struct eventfd_ctx *eventfd;
	wait_queue_head_t wait;

	struct mutex lock;
	bool dead;
	struct sluice_grip **grips;
	struct list_head condemned;
	struct sluice_progress progress;

	struct sluice_ring ring;
};

static inline void sluice_queue_put(struct sluice_hwq *q)
{
	if (q)
		sluice_object_put(&q->object);
}

struct sluice_hwq *sluice_queue_lookup(struct sluice_file *sf, u32 handle);
struct sluice_hwq *sluice_queue_find(struct sluice_file *sf, u32 handle);
int sluice_queue_create(struct sluice_file *sf, struct sluice_queue *arg);
void sluice_queue_retire(struct sluice_file *sf, struct sluice_hwq *q);
int sluice_queue_disable(struct sluice_hwq *q, int why);
void sluice_queue_kill(struct sluice_hwq *q, int why);
void sluice_queues_kill(struct sluice_sdi *sdi, int why);
void sluice_queue_wake(struct sluice_hwq *q);
void sluice_queue_tell(struct sluice_hwq *q);
struct sluice_hwq *sluice_queue_at(struct sluice_sdi *sdi, u32 index);

#endif /* SLUICE_QUEUE_H */
