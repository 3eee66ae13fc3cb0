/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ring.h - the rings of a queue: what went in, who gets what comes out.
 */
#ifndef SLUICE_RING_H
#define SLUICE_RING_H

#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "uapi/sluice_sdi.h"

struct io_uring_cmd;
struct sluice_hwq;

/* Who gets an entry's completion. */
enum sluice_taker {
	SLUICE_TAKER_NONE,	/* the slot is free */
	SLUICE_TAKER_WAIT,	/* SLUICE_IOC_WAIT */
	SLUICE_TAKER_URING,	/* an io_uring command */
	SLUICE_TAKER_GONE,	/* nobody any more */
};

/**
 * struct sluice_slot - an entry that the board has
 * @id: what its owner calls it; the board knows it by the number of the slot
 * @next: of a free slot: the next one
 * @taker: who gets its completion
 * @cmd: of SLUICE_TAKER_URING
 */
struct sluice_slot {
	u32 id;
	u32 next;
	enum sluice_taker taker;
	struct io_uring_cmd *cmd;
};

/**
 * struct sluice_waiting - an entry of io_uring that found the ring full
 * @list: in sluice_ring.waiting
 * @cmd: its command, NULL: ended before its turn, and the entry is a NOP now
 * @entry: it
 */
struct sluice_waiting {
	struct list_head list;
	struct io_uring_cmd *cmd;
	struct sluice_sdi_entry entry;
};

/**
 * struct sluice_ring - what the driver knows of a queue's rings
 * @lock: protects all of it, and the doorbell's words of rings kept by the driver
 * @sq_tail: entries submitted (rings kept by the driver, as all up to @n_told)
 * @cq_head: completions taken out of the ring
 * @n_busy: entries that have not come back to their owners: never more than fit
 *	the ring, so that the board can never be short of room for a completion
 * @free: the first free slot
 * @slots: one for each entry of the ring
 * @done: completions for SLUICE_IOC_WAIT, a ring
 * @done_first: the oldest
 * @n_done: their number
 * @n_pushed: how many there ever were
 * @n_told: @n_pushed when somebody was last woken for them by the driver itself
 * @flying: io_uring commands whose entries the board has
 * @waiting: struct sluice_waiting, in the order of their arrival
 * @n_waiting: their number
 * @ended: io_uring commands that are over, for the work to complete
 * @fences: not signalled, in the order of their making
 * @n_fences: their number
 * @fence_context: their timeline
 * @fence_seqno: of the last
 * @fence_seen: completions that there were when the work last looked
 * @fence_since: jiffies since when there has been no other
 * @n_async: commands and fences that are not over: somebody has to look at the
 *	ring though nobody waits
 * @work: does that
 */
struct sluice_ring {
	spinlock_t lock;
	u32 sq_tail;
	u32 cq_head;
	u32 n_busy;
	u32 free;
	struct sluice_slot *slots;
	struct sluice_sdi_completion *done;
	u32 done_first;
	u32 n_done;
	u32 n_pushed;
	u32 n_told;
	struct list_head flying;
	struct list_head waiting;
	u32 n_waiting;
	struct list_head ended;
	struct list_head fences;
	u32 n_fences;
	u64 fence_context;
	u64 fence_seqno;
	u32 fence_seen;
	unsigned long fence_since;
	u32 n_async;
	struct delayed_work work;
};

int sluice_rings_init(void);
void sluice_rings_exit(void);

void sluice_ring_init(struct sluice_hwq *q);
int sluice_ring_fill(struct sluice_hwq *q);
void sluice_ring_free(struct sluice_hwq *q);

bool sluice_ring_has(const struct sluice_hwq *q, u32 head);
u32 sluice_ring_head(struct sluice_hwq *q);
void sluice_ring_notify(struct sluice_hwq *q);
u32 sluice_ring_put(struct sluice_hwq *q, const struct sluice_sdi_entry *entries, u32 count,
		    struct io_uring_cmd *cmd);
void sluice_ring_reap(struct sluice_hwq *q);
int sluice_ring_hand_out(struct sluice_hwq *q, struct sluice_sdi_completion *out, u32 *count);
bool sluice_ring_tells(struct sluice_hwq *q);
void sluice_ring_die(struct sluice_hwq *q, int why);
void sluice_ring_hand_over(struct sluice_hwq *q);
void sluice_ring_watch(struct sluice_hwq *q);
void sluice_ring_interrupt(struct sluice_hwq *q);

#endif /* SLUICE_RING_H */
