// SPDX-License-Identifier: GPL-2.0
/*
 * ring.c - the rings of a queue: what went in, who gets what comes out.
 *
 * Of rings that the driver keeps, completions are taken by whoever looks first: a
 * program in SLUICE_IOC_WAIT or poll(), the tick, or the work below, which looks
 * whenever the board interrupts while an io_uring command or a fence depends on it.
 * Each goes to the owner of its entry: those of SLUICE_IOC_SUBMIT are kept for
 * SLUICE_IOC_WAIT, those of io_uring end their commands.
 *
 * Fences are signalled from here, so nothing that holds sluice_ring.lock allocates or
 * sleeps, and the work takes no other lock of ours.
 */
#include <linux/dma-fence.h>
#include <linux/jiffies.h>
#include <linux/slab.h>

#include "board.h"
#include "buffer.h"
#include "fence.h"
#include "queue.h"
#include "ring.h"
#include "sdi.h"
#include "slab.h"
#include "trace.h"
#include "uring.h"

/* How often the work looks though nothing is heard, with and without interrupts. */
#define SLUICE_WORK_MS 50
#define SLUICE_WORK_POLL_MS 1

/* Completions that are taken without letting go of the lock. */
#define SLUICE_BATCH 64

#define DOORBELL_AT(field) offsetof(struct sluice_sdi_doorbell, field)

SLUICE_SLAB(sluice_waiting);

static struct workqueue_struct *sluice_rings_wq;

int sluice_rings_init(void)
{
	/* Those who free memory may wait for a fence: it must not need memory to run. */
	sluice_rings_wq = alloc_workqueue("sluice", WQ_MEM_RECLAIM | WQ_UNBOUND | WQ_HIGHPRI, 0);
	return sluice_rings_wq ? 0 : -ENOMEM;
}

void sluice_rings_exit(void)
{
	destroy_workqueue(sluice_rings_wq);
}

static const struct sluice_sdi_completion *sluice_ring_entry(const struct sluice_hwq *q, u32 n)
{
	const struct sluice_sdi_completion *cq = sluice_mem_address(q->cq);

	return &cq[n & (q->n_entries - 1)];
}

/* Is completion number @head there? Of a queue that is not dead. */
bool sluice_ring_has(const struct sluice_hwq *q, u32 head)
{
	u16 phase = !(head & q->n_entries);

	return READ_ONCE(sluice_ring_entry(q, head)->phase) == phase;
}

/* The next completion that the ring's owner has not taken. Of a queue that is not dead. */
u32 sluice_ring_head(struct sluice_hwq *q)
{
	if (q->flags & SLUICE_QUEUE_KERNEL)
		return READ_ONCE(q->ring.cq_head);
	return readl(q->doorbell + DOORBELL_AT(cq_head));
}

/* Tells the board to look at the queue, if it has to be told. */
void sluice_ring_notify(struct sluice_hwq *q)
{
	if (q->sdi->figures.capabilities & SLUICE_SDI_CAP_NOTIFY)
		sluice_sdi_notify(q->sdi);
}

/* --- in ---------------------------------------------------------------------------------- */

static void sluice_ring_put_one(struct sluice_hwq *q, const struct sluice_sdi_entry *entry,
				enum sluice_taker taker, struct io_uring_cmd *cmd)
{
	struct sluice_sdi_entry *sq = sluice_mem_address(q->sq);
	struct sluice_ring *ring = &q->ring;
	u32 number = ring->free;
	struct sluice_slot *slot = &ring->slots[number];
	struct sluice_sdi_entry *to = &sq[ring->sq_tail & (q->n_entries - 1)];

	ring->free = slot->next;
	ring->n_busy++;
	slot->id = entry->id;
	slot->taker = taker;
	slot->cmd = cmd;
	if (cmd)
		sluice_uring_fly(q, cmd, number);
	*to = *entry;
	to->id = number;
	trace_sluice_submit(q->sdi->board->node, q->index, ring->sq_tail, entry->opcode, entry->id);
	ring->sq_tail++;
}

/* Tells the board of entries that were put. */
static void sluice_ring_tell(struct sluice_hwq *q)
{
	wmb(); /* entries before the tail */
	writel(q->ring.sq_tail, q->doorbell + DOORBELL_AT(sq_tail));
	mb(); /* the tail before the look at idle: the board does it the other way round */
	if (readl(q->doorbell + DOORBELL_AT(idle)))
		sluice_ring_notify(q);
}

/**
 * sluice_ring_put - put entries into a ring that the driver keeps
 * @q: not dead, with its ring's lock held
 * @entries: them; the driver's ids replace the caller's
 * @count: their number
 * @cmd: the one entry's command, or NULL: completions are for SLUICE_IOC_WAIT
 *
 * Return: how many there was room for. Nobody overtakes those who wait.
 */
u32 sluice_ring_put(struct sluice_hwq *q, const struct sluice_sdi_entry *entries, u32 count,
		    struct io_uring_cmd *cmd)
{
	struct sluice_ring *ring = &q->ring;
	u32 n;

	lockdep_assert_held(&ring->lock);
	if (ring->n_waiting)
		return 0;
	for (n = 0; n < count && ring->n_busy < q->n_entries; n++)
		sluice_ring_put_one(q, &entries[n], cmd ? SLUICE_TAKER_URING : SLUICE_TAKER_WAIT,
				    cmd);
	if (n)
		sluice_ring_tell(q);
	return n;
}

/* There may be room again for those who wait. */
static void sluice_ring_refill(struct sluice_hwq *q)
{
	struct sluice_ring *ring = &q->ring;
	struct sluice_waiting *waiting, *next;
	bool any = false;

	if (q->dead)
		return;
	list_for_each_entry_safe(waiting, next, &ring->waiting, list) {
		if (ring->n_busy == q->n_entries)
			break;
		sluice_ring_put_one(q, &waiting->entry,
				    waiting->cmd ? SLUICE_TAKER_URING : SLUICE_TAKER_GONE,
				    waiting->cmd);
		list_del(&waiting->list);
		ring->n_waiting--;
		sluice_slab_free(&sluice_waiting_slab, waiting);
		any = true;
	}
	if (any)
		sluice_ring_tell(q);
}

/* --- out --------------------------------------------------------------------------------- */

/* Keeps a completion for SLUICE_IOC_WAIT: there is room, as its entry still counts as busy. */
static void sluice_ring_push(struct sluice_hwq *q, const struct sluice_sdi_completion *completion)
{
	struct sluice_ring *ring = &q->ring;

	ring->done[(ring->done_first + ring->n_done) & (q->n_entries - 1)] = *completion;
	ring->n_done++;
	ring->n_pushed++;
}

static void sluice_slot_free(struct sluice_ring *ring, u32 number)
{
	ring->slots[number].taker = SLUICE_TAKER_NONE;
	ring->slots[number].next = ring->free;
	ring->free = number;
}

/* What the board has completed goes to whom it belongs; a board's word is not enough. */
static void sluice_ring_complete(struct sluice_hwq *q, struct sluice_sdi_completion *completion)
{
	struct sluice_ring *ring = &q->ring;
	u32 number = completion->id;
	struct sluice_slot slot;

	if (number >= q->n_entries || ring->slots[number].taker == SLUICE_TAKER_NONE) {
		dev_warn_ratelimited(q->sdi->board->parent,
				     "%s: queue %u: a completion of nothing\n",
				     q->sdi->board->node, q->index);
		return;
	}
	slot = ring->slots[number];
	sluice_slot_free(ring, number);
	completion->id = slot.id;
	trace_sluice_complete(q->sdi->board->node, q->index, slot.id, completion->status,
			      completion->result);
	if (slot.taker == SLUICE_TAKER_WAIT) {
		sluice_ring_push(q, completion);
		return;
	}
	ring->n_busy--;
	if (slot.taker == SLUICE_TAKER_URING)
		sluice_uring_end(q, slot.cmd, completion->status == SLUICE_SDI_OK ? 0 : -EIO,
				 (u64)completion->status << 32 | completion->result);
}

/* Takes at most @most completions out of a ring that the driver keeps. */
static u32 sluice_ring_take(struct sluice_hwq *q, u32 most)
{
	struct sluice_ring *ring = &q->ring;
	u32 n;

	lockdep_assert_held(&ring->lock);
	for (n = 0; n < most && sluice_ring_has(q, ring->cq_head); n++) {
		struct sluice_sdi_completion completion;

		rmb(); /* the phase before the rest: the board stores it last */
		completion = *sluice_ring_entry(q, ring->cq_head);
		WRITE_ONCE(ring->cq_head, ring->cq_head + 1);
		sluice_ring_complete(q, &completion);
	}
	if (n)
		writel(ring->cq_head, q->doorbell + DOORBELL_AT(cq_head));
	return n;
}

/* Commands that are over wait for the work, whose alone it is to complete them. */
void sluice_ring_hand_over(struct sluice_hwq *q)
{
	if (!list_empty(&q->ring.ended))
		mod_delayed_work(sluice_rings_wq, &q->ring.work, 0);
}

static void sluice_ring_look(struct sluice_hwq *q)
{
	struct sluice_ring *ring = &q->ring;
	bool kernel = q->flags & SLUICE_QUEUE_KERNEL;
	u32 n = 0;

	do {
		spin_lock(&ring->lock);
		if (!q->dead) {
			n = kernel ? sluice_ring_take(q, SLUICE_BATCH) : 0;
			if (n)
				sluice_ring_refill(q);
			sluice_fences_reach(q);
		}
		spin_unlock(&ring->lock);
	} while (n == SLUICE_BATCH);
}

/**
 * sluice_ring_reap - look for what the board has completed, and see to who gets it
 * @q: any
 */
void sluice_ring_reap(struct sluice_hwq *q)
{
	sluice_ring_look(q);
	spin_lock(&q->ring.lock);
	sluice_ring_hand_over(q);
	spin_unlock(&q->ring.lock);
}

/**
 * sluice_ring_hand_out - completions for SLUICE_IOC_WAIT
 * @q: whose rings the driver keeps
 * @out: where to
 * @count: room there, at least 1; how many there were
 *
 * Return: 0, and @count is above 0; -ECONNRESET: the queue is dead, and there are no
 * more; -EAGAIN: there is none yet.
 */
int sluice_ring_hand_out(struct sluice_hwq *q, struct sluice_sdi_completion *out, u32 *count)
{
	struct sluice_ring *ring = &q->ring;
	int err = 0;
	u32 n;

	spin_lock(&ring->lock);
	n = min(*count, ring->n_done);
	if (n) {
		u32 i;

		for (i = 0; i < n; i++)
			out[i] = ring->done[(ring->done_first + i) & (q->n_entries - 1)];
		ring->done_first += n;
		ring->n_done -= n;
		ring->n_busy -= n;
		sluice_ring_refill(q);
		*count = n;
	} else {
		err = q->dead ? -ECONNRESET : -EAGAIN;
	}
	spin_unlock(&ring->lock);
	return err;
}

/* Are there completions for SLUICE_IOC_WAIT that nobody was woken for? Asked once for each. */
bool sluice_ring_tells(struct sluice_hwq *q)
{
	struct sluice_ring *ring = &q->ring;
	bool news;

	spin_lock(&ring->lock);
	news = ring->n_done && ring->n_told != ring->n_pushed;
	ring->n_told = ring->n_pushed;
	spin_unlock(&ring->lock);
	return news;
}

/* --- the end ----------------------------------------------------------------------------- */

/* What was in flight when the queue died. */
static void sluice_ring_abort(struct sluice_hwq *q, int why)
{
	struct sluice_ring *ring = &q->ring;
	struct sluice_waiting *waiting, *next;
	u32 i;

	for (i = 0; ring->slots && i < q->n_entries; i++) {
		const struct sluice_slot *slot = &ring->slots[i];
		const struct sluice_sdi_completion aborted = {
			.id = slot->id,
			.sq_head = ring->sq_tail,
			.status = SLUICE_SDI_E_ABORTED,
		};

		if (slot->taker == SLUICE_TAKER_WAIT)
			sluice_ring_push(q, &aborted);
		else if (slot->taker != SLUICE_TAKER_NONE)
			ring->n_busy--;
		if (slot->taker == SLUICE_TAKER_URING)
			sluice_uring_end(q, slot->cmd, why, 0);
		if (slot->taker != SLUICE_TAKER_NONE)
			sluice_slot_free(ring, i);
	}
	list_for_each_entry_safe(waiting, next, &ring->waiting, list) {
		if (waiting->cmd)
			sluice_uring_end(q, waiting->cmd, why, 0);
		list_del(&waiting->list);
		sluice_slab_free(&sluice_waiting_slab, waiting);
	}
	ring->n_waiting = 0;
}

/**
 * sluice_ring_die - the board does not know the queue any more: everything that is left ends
 * @q: with its lock held; its rings' memory is still there
 * @why: what io_uring commands and fences end with
 */
void sluice_ring_die(struct sluice_hwq *q, int why)
{
	struct sluice_ring *ring = &q->ring;

	lockdep_assert_held(&q->lock);
	spin_lock(&ring->lock);
	if (!q->dead) {
		if (q->flags & SLUICE_QUEUE_KERNEL)
			sluice_ring_take(q, q->n_entries);
		sluice_fences_reach(q);
		q->dead = true;
		sluice_ring_abort(q, why);
		sluice_fences_end(q, why);
		sluice_ring_hand_over(q);
	}
	spin_unlock(&ring->lock);
}

/* --- looking though nobody waits --------------------------------------------------------- */

static unsigned long sluice_ring_pause(const struct sluice_hwq *q)
{
	bool poll = q->sdi->mode == SLUICE_IRQ_POLL;

	return msecs_to_jiffies(poll ? SLUICE_WORK_POLL_MS : SLUICE_WORK_MS);
}

/* There is something now that does not wait by itself. With the ring's lock held. */
void sluice_ring_watch(struct sluice_hwq *q)
{
	lockdep_assert_held(&q->ring.lock);
	if (q->ring.n_async)
		queue_delayed_work(sluice_rings_wq, &q->ring.work, sluice_ring_pause(q));
}

/* The board has interrupted. In interrupt context, of a queue that is attached. */
void sluice_ring_interrupt(struct sluice_hwq *q)
{
	if (READ_ONCE(q->ring.n_async))
		mod_delayed_work(sluice_rings_wq, &q->ring.work, 0);
}

static void sluice_ring_work(struct work_struct *work)
{
	struct sluice_hwq *q = container_of(work, struct sluice_hwq, ring.work.work);
	bool signalling = dma_fence_begin_signalling();

	sluice_ring_look(q);
	spin_lock(&q->ring.lock);
	sluice_fences_expire(q);
	spin_unlock(&q->ring.lock);
	dma_fence_end_signalling(signalling);

	sluice_uring_finish(q);
	if (sluice_ring_tells(q))
		sluice_queue_tell(q);
	spin_lock(&q->ring.lock);
	sluice_ring_watch(q);
	spin_unlock(&q->ring.lock);
}

/* --- making and freeing ------------------------------------------------------------------ */

void sluice_ring_init(struct sluice_hwq *q)
{
	struct sluice_ring *ring = &q->ring;

	spin_lock_init(&ring->lock);
	INIT_LIST_HEAD(&ring->flying);
	INIT_LIST_HEAD(&ring->waiting);
	INIT_LIST_HEAD(&ring->ended);
	INIT_LIST_HEAD(&ring->fences);
	ring->fence_context = dma_fence_context_alloc(1);
	INIT_DELAYED_WORK(&ring->work, sluice_ring_work);
}

/* What rings need that the driver keeps. What is there when it fails goes with the queue. */
int sluice_ring_fill(struct sluice_hwq *q)
{
	struct sluice_ring *ring = &q->ring;
	u32 i;

	ring->slots = kvcalloc(q->n_entries, sizeof(*ring->slots), GFP_KERNEL_ACCOUNT);
	ring->done = kvcalloc(q->n_entries, sizeof(*ring->done), GFP_KERNEL_ACCOUNT);
	if (!ring->slots || !ring->done)
		return -ENOMEM;
	for (i = 0; i < q->n_entries; i++)
		ring->slots[i].next = i + 1;
	return 0;
}

/* The last reference goes: of a queue that is dead, and whose work has ended. */
void sluice_ring_free(struct sluice_hwq *q)
{
	kvfree(q->ring.slots);
	kvfree(q->ring.done);
}
