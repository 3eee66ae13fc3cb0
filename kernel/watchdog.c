// SPDX-License-Identifier: GPL-2.0
/*
 * watchdog.c - looks after queues: lost interrupts, polling, hangs.
 *
 * A queue with entries that make no progress is told of once more (a notification
 * may be lost), then taken from the board, and only if the board does not even
 * obey that is it reset, for all. So a program that writes nonsense into its own
 * doorbell page ends its own queue at most.
 */
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/workqueue.h>

#include "board.h"
#include "queue.h"
#include "reset.h"
#include "ring.h"
#include "sdi.h"
#include "trace.h"
#include "watchdog.h"

#define SLUICE_TIMEOUT_MS 30000

static unsigned int timeout_ms = SLUICE_TIMEOUT_MS;
module_param(timeout_ms, uint, 0644);
MODULE_PARM_DESC(timeout_ms, "longest that a queue may make no progress, in ms (30000); 0: for ever");

/* What bounds those who may not wait for ever, though queues may. */
unsigned int sluice_watchdog_limit_ms(void)
{
	unsigned int ms = READ_ONCE(timeout_ms);

	return ms ? ms : SLUICE_TIMEOUT_MS;
}

/* How often the queues are looked at: with and without interrupts, and when there are none. */
#define SLUICE_TICK_IDLE_MS 1000
#define SLUICE_TICK_MS 50
#define SLUICE_TICK_POLL_MS 1

#define DOORBELL_AT(field) offsetof(struct sluice_sdi_doorbell, field)

/*
 * What the queue has and has not done: entries that the board took, by its latest
 * completion; entries that it has not. Completions are at @head and behind it.
 */
static void sluice_watch_state(struct sluice_hwq *q, u32 head, u32 *ret_done, u32 *ret_waiting,
			       u32 *ret_produced)
{
	u32 tail = readl(q->doorbell + DOORBELL_AT(sq_tail));
	u32 n = 0;

	while (n < q->n_entries && sluice_ring_has(q, head + n))
		n++;
	*ret_produced = head + n;
	*ret_done = head + n;
	*ret_waiting = tail - *ret_done;
	/* Full: it is its owner who has to move. Nonsense: the board has said so. */
	if (n == q->n_entries || *ret_waiting > q->n_entries)
		*ret_waiting = 0;
}

/* Looks at one queue; true if the board should lose it. */
static bool sluice_watch_queue(struct sluice_hwq *q)
{
	struct sluice_progress *progress = &q->progress;
	unsigned int limit = READ_ONCE(timeout_ms);
	u32 head, done, waiting, produced;

	lockdep_assert_held(&q->lock);
	if (q->flags & SLUICE_QUEUE_KERNEL)
		sluice_ring_reap(q);
	head = sluice_ring_head(q);
	sluice_watch_state(q, head, &done, &waiting, &produced);
	/* An interrupt may be on its way, or lost: a wake-up too many does no harm. */
	if (sluice_ring_tells(q) || (produced != head && progress->woken != produced)) {
		progress->woken = produced;
		sluice_queue_tell(q);
	}
	if (!waiting || done != progress->head) {
		progress->head = done;
		progress->since = jiffies;
		return false;
	}
	if (readl(q->doorbell + DOORBELL_AT(idle)))
		sluice_ring_notify(q);
	return limit && time_after(jiffies, progress->since + msecs_to_jiffies(limit));
}

static void sluice_watch_faults(struct sluice_sdi *sdi)
{
	struct sluice_sdi_fault fault;
	u64 n = sluice_sdi_read64(sdi, SLUICE_SDI_PAGE_CONTROL, SLUICE_CONTROL_AT(n_faults));

	if (n == sdi->n_faults || n == U64_MAX)
		return;
	sdi->n_faults = n;
	memcpy_fromio(&fault, sdi->control + SLUICE_CONTROL_AT(first_fault), sizeof(fault));
	trace_sluice_fault(sdi->board->node, n, fault.status, fault.queue, fault.id, fault.address,
			   fault.length);
}

/* Looks at all queues; how many there are. */
static u32 sluice_watch_board(struct sluice_sdi *sdi)
{
	u32 n = 0;
	u32 i;

	for (i = 0; i < sdi->figures.n_queues; i++) {
		struct sluice_hwq *q = sluice_queue_at(sdi, i);
		bool stuck = false;

		if (!q)
			continue;
		mutex_lock(&q->lock);
		if (!q->dead)
			stuck = sluice_watch_queue(q);
		mutex_unlock(&q->lock);
		if (stuck) {
			dev_warn(sdi->board->parent, "%s: queue %u makes no progress: stopped\n",
				 sdi->board->node, i);
			/* Without an answer the board is marked as hung. */
			if (!sluice_queue_disable(q, -ETIMEDOUT))
				sluice_queue_kill(q, -ETIMEDOUT);
		}
		sluice_queue_put(q);
		n++;
	}
	sluice_watch_faults(sdi);
	return n;
}

static void sluice_watchdog_tick(struct work_struct *work)
{
	struct sluice_sdi *sdi = container_of(work, struct sluice_sdi, tick.work);
	struct sluice_board *board = sdi->board;
	unsigned int ms = SLUICE_TICK_IDLE_MS;

	if (!READ_ONCE(sdi->hung) && !sluice_board_enter(board)) {
		if (sluice_watch_board(sdi))
			ms = sdi->mode == SLUICE_IRQ_POLL ? SLUICE_TICK_POLL_MS : SLUICE_TICK_MS;
		sluice_board_leave(board);
	}
	if (READ_ONCE(sdi->hung)) {
		mutex_lock(&board->reset_lock);
		/* Somebody else may have reset it meanwhile. */
		if (READ_ONCE(sdi->hung) && board->state == SLUICE_BOARD_LIVE) {
			dev_warn(board->parent, "%s: does not answer: reset\n", board->node);
			sluice_reset_locked(board);
		}
		WRITE_ONCE(sdi->hung, false);
		mutex_unlock(&board->reset_lock);
	}
	if (!READ_ONCE(sdi->stopping))
		queue_delayed_work(system_long_wq, &sdi->tick, msecs_to_jiffies(ms));
}

void sluice_watchdog_init(struct sluice_sdi *sdi)
{
	INIT_DELAYED_WORK(&sdi->tick, sluice_watchdog_tick);
	sdi->stopping = true;
}

void sluice_watchdog_start(struct sluice_sdi *sdi)
{
	sdi->stopping = false;
	queue_delayed_work(system_long_wq, &sdi->tick, 0);
}

void sluice_watchdog_stop(struct sluice_sdi *sdi)
{
	WRITE_ONCE(sdi->stopping, true);
	cancel_delayed_work_sync(&sdi->tick);
}

/* There is a queue to be looked after. */
void sluice_watchdog_kick(struct sluice_sdi *sdi)
{
	if (!READ_ONCE(sdi->stopping))
		mod_delayed_work(system_long_wq, &sdi->tick, 0);
}

/* A request was not answered: have the board reset as soon as nobody is in its way. */
void sluice_watchdog_hung(struct sluice_sdi *sdi)
{
	WRITE_ONCE(sdi->hung, true);
	sluice_watchdog_kick(sdi);
}
