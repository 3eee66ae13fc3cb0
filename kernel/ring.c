// SPDX-License-Identifier: GPL-2.0
/*
 * ring.c - submission and completion: what goes through a queue.
 *
 * Who waits looks at the ring first, then sleeps, and looks again whenever it is
 * woken; a wake-up can be lost, as interrupts can, so nobody sleeps for long
 * without looking. What user space writes (tail, head) is only ever used modulo
 * the size of a ring.
 */
#include <linux/bitmap.h>
#include <linux/hrtimer.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/xarray.h>

#include "board.h"
#include "buffer.h"
#include "file.h"
#include "queue.h"
#include "ring.h"
#include "sdi.h"
#include "trace.h"

/* How long somebody sleeps at most without looking, with and without interrupts. */
#define SLUICE_LOOK_NS (20 * NSEC_PER_MSEC)
#define SLUICE_LOOK_POLL_NS (1 * NSEC_PER_MSEC)
#define SLUICE_LOOK_FIRST_NS (20 * NSEC_PER_USEC)

#define DOORBELL_AT(field) offsetof(struct sluice_sdi_doorbell, field)

static const struct sluice_sdi_completion *sluice_ring_entry(const struct sluice_hwq *q, u32 n)
{
	const struct sluice_sdi_completion *cq = sluice_mem_address(q->cq);

	return &cq[n & (q->n_entries - 1)];
}

/* Is completion number @head there? */
bool sluice_ring_has(const struct sluice_hwq *q, u32 head)
{
	u16 phase = !(head & q->n_entries);

	return READ_ONCE(sluice_ring_entry(q, head)->phase) == phase;
}

/* The next completion that the queue's owner has not taken. With the lock, of a live queue. */
u32 sluice_ring_head(struct sluice_hwq *q)
{
	lockdep_assert_held(&q->lock);
	if (q->flags & SLUICE_QUEUE_KERNEL)
		return q->cq_head;
	return readl(q->doorbell + DOORBELL_AT(cq_head));
}

/* Tells the board to look at the queue, if it has to be told. */
void sluice_ring_notify(struct sluice_hwq *q)
{
	if (q->sdi->figures.capabilities & SLUICE_SDI_CAP_NOTIFY)
		sluice_sdi_notify(q->sdi);
}

/* Is there something to be had from one of the file's queues? */
bool sluice_ring_readable(struct sluice_file *sf)
{
	struct sluice_object *object;
	unsigned long handle;
	bool found = false;

	if (sluice_board_hold(sf->board))
		return false;
	xa_for_each(&sf->objects, handle, object) {
		struct sluice_hwq *q = sluice_queue_lookup(sf, handle);

		if (!q)
			continue;
		mutex_lock(&q->lock);
		found = q->dead || (sf->board->state == SLUICE_BOARD_LIVE &&
				    sluice_ring_has(q, sluice_ring_head(q)));
		mutex_unlock(&q->lock);
		sluice_queue_put(q);
		if (found)
			break;
	}
	sluice_board_leave(sf->board);
	return found;
}

int sluice_ring_notify_call(struct sluice_file *sf, struct sluice_notify *arg)
{
	struct sluice_board *board = sf->board;
	struct sluice_hwq *q;
	int err;

	if (arg->reserved0)
		return -EINVAL;
	err = sluice_board_hold(board);
	if (err)
		return err;
	q = sluice_queue_lookup(sf, arg->queue);
	if (!q) {
		err = -ENOENT;
	} else {
		mutex_lock(&q->lock);
		if (q->dead)
			err = -ECONNRESET;
		else
			sluice_ring_notify(q);
		mutex_unlock(&q->lock);
	}
	sluice_board_leave(board);
	sluice_queue_put(q);
	return err;
}

/* Puts entries into the ring as far as there is room; the driver's ids replace the caller's. */
static u32 sluice_ring_put(struct sluice_hwq *q, const struct sluice_sdi_entry *entries, u32 count)
{
	struct sluice_sdi_entry *sq = sluice_mem_address(q->sq);
	u32 n;

	lockdep_assert_held(&q->lock);
	for (n = 0; n < count && q->n_busy < q->n_entries; n++) {
		struct sluice_sdi_entry entry = entries[n];
		u32 slot = find_first_zero_bit(q->busy, q->n_entries);

		__set_bit(slot, q->busy);
		q->slots[slot] = entry.id;
		q->n_busy++;
		entry.id = slot;
		sq[q->sq_tail & (q->n_entries - 1)] = entry;
		trace_sluice_submit(q->sdi->board->node, q->index, q->sq_tail, entry.opcode,
				    q->slots[slot]);
		q->sq_tail++;
	}
	if (!n)
		return 0;
	wmb(); /* entries before the tail */
	writel(q->sq_tail, q->doorbell + DOORBELL_AT(sq_tail));
	mb(); /* the tail before the look at idle: the board does it the other way round */
	if (readl(q->doorbell + DOORBELL_AT(idle)))
		sluice_ring_notify(q);
	return n;
}

static int sluice_ring_submit_to(struct sluice_hwq *q, struct sluice_submit *arg)
{
	struct sluice_board *board = q->sdi->board;
	struct sluice_sdi_entry *entries;
	int err;

	if (!(q->flags & SLUICE_QUEUE_KERNEL))
		return -EINVAL;
	if (!arg->count || arg->count > q->n_entries)
		return -EINVAL;
	entries = vmemdup_user(u64_to_user_ptr(arg->entries), arg->count * sizeof(*entries));
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	err = sluice_board_hold(board);
	if (err)
		goto out;
	mutex_lock(&q->lock);
	if (q->dead) {
		err = -ECONNRESET;
	} else {
		arg->count = sluice_ring_put(q, entries, arg->count);
		if (!arg->count)
			err = -EAGAIN;
	}
	mutex_unlock(&q->lock);
	sluice_board_leave(board);
out:
	kvfree(entries);
	return err;
}

int sluice_ring_submit(struct sluice_file *sf, struct sluice_submit *arg)
{
	struct sluice_hwq *q;
	int err = sluice_board_hold(sf->board);

	if (err)
		return err;
	sluice_board_leave(sf->board);
	q = sluice_queue_lookup(sf, arg->queue);
	if (!q)
		return -ENOENT;
	err = sluice_ring_submit_to(q, arg);
	sluice_queue_put(q);
	return err;
}

/* Frees a slot and says what its owner called it; a board's word for it is not enough. */
static bool sluice_slot_end(struct sluice_hwq *q, u32 slot, u32 *ret_id)
{
	if (slot >= q->n_entries || !__test_and_clear_bit(slot, q->busy))
		return false;
	q->n_busy--;
	*ret_id = q->slots[slot];
	return true;
}

/* Takes completions out of a ring that the driver keeps. */
static u32 sluice_ring_take(struct sluice_hwq *q, struct sluice_sdi_completion *out, u32 room)
{
	u32 n = 0, before = q->cq_head;

	lockdep_assert_held(&q->lock);
	/* A board that floods the ring with nonsense does not hold us here. */
	while (n < room && q->cq_head - before < q->n_entries &&
	       sluice_ring_has(q, q->cq_head)) {
		rmb(); /* the phase before the rest: the board stores it last */
		out[n] = *sluice_ring_entry(q, q->cq_head);
		q->cq_head++;
		if (!sluice_slot_end(q, out[n].id, &out[n].id)) {
			dev_warn_ratelimited(q->sdi->board->parent,
					     "%s: queue %u: a completion of nothing\n",
					     q->sdi->board->node, q->index);
			continue;
		}
		trace_sluice_complete(q->sdi->board->node, q->index, out[n].id, out[n].status,
				      out[n].result);
		n++;
	}
	if (!q->dead && q->cq_head != before)
		writel(q->cq_head, q->doorbell + DOORBELL_AT(cq_head));
	return n;
}

/* What was in flight when a queue of the driver's rings died. */
static u32 sluice_ring_abort(struct sluice_hwq *q, struct sluice_sdi_completion *out, u32 room)
{
	u32 n = 0;

	lockdep_assert_held(&q->lock);
	while (n < room && q->n_busy) {
		struct sluice_sdi_completion completion = {
			.sq_head = q->sq_tail,
			.status = SLUICE_SDI_E_ABORTED,
		};
		u32 slot = find_first_bit(q->busy, q->n_entries);

		sluice_slot_end(q, slot, &completion.id);
		out[n++] = completion;
	}
	return n;
}

/*
 * One look: -EAGAIN if there is nothing yet. With room in @out completions are
 * taken there, and @count says how many.
 */
static int sluice_ring_look(struct sluice_hwq *q, struct sluice_sdi_completion *out, u32 *count)
{
	struct sluice_board *board = q->sdi->board;
	int err = sluice_board_hold(board);
	u32 n = 0;

	/* What a reset makes of the queue is seen once it is over. */
	if (err)
		return err == -EBUSY ? -EAGAIN : err;
	mutex_lock(&q->lock);
	if (out) {
		n = sluice_ring_take(q, out, *count);
		if (q->dead)
			n += sluice_ring_abort(q, out + n, *count - n);
	}
	if (n)
		*count = n;
	else if (q->dead)
		err = -ECONNRESET;
	else if (out || !sluice_ring_has(q, sluice_ring_head(q)))
		err = -EAGAIN;
	mutex_unlock(&q->lock);
	sluice_board_leave(board);
	return err;
}

/* Sleeps until woken, for at most @ns; with @spin it is known that nobody wakes. */
static void sluice_ring_sleep(struct wait_queue_entry *entry, u64 ns, bool spin)
{
	if (spin) {
		ktime_t span = ns_to_ktime(ns);

		set_current_state(TASK_INTERRUPTIBLE);
		schedule_hrtimeout_range(&span, ns / 4, HRTIMER_MODE_REL);
	} else {
		wait_woken(entry, TASK_INTERRUPTIBLE, nsecs_to_jiffies(ns) + 1);
	}
}

static int sluice_ring_sleep_for(struct sluice_hwq *q, u64 timeout_ns,
				 struct sluice_sdi_completion *out, u32 *count)
{
	bool spin = q->sdi->mode == SLUICE_IRQ_POLL;
	u64 most = spin ? SLUICE_LOOK_POLL_NS : SLUICE_LOOK_NS;
	u64 nap = spin ? SLUICE_LOOK_FIRST_NS : SLUICE_LOOK_NS;
	u64 start = ktime_get_ns();
	DEFINE_WAIT_FUNC(entry, woken_wake_function);
	int err;

	add_wait_queue(&q->wait, &entry);
	for (;;) {
		u64 spent = ktime_get_ns() - start;

		err = sluice_ring_look(q, out, count);
		if (err != -EAGAIN)
			break;
		if (signal_pending(current)) {
			err = -EINTR;
			break;
		}
		if (spent >= timeout_ns) {
			err = -ETIMEDOUT;
			break;
		}
		sluice_ring_sleep(&entry, min(nap, timeout_ns - spent), spin);
		nap = min(2 * nap, most);
	}
	remove_wait_queue(&q->wait, &entry);
	return err;
}

static int sluice_ring_notify_first(struct sluice_hwq *q)
{
	struct sluice_board *board = q->sdi->board;
	int err = sluice_board_hold(board);

	if (err)
		return err;
	mutex_lock(&q->lock);
	if (!q->dead)
		sluice_ring_notify(q);
	mutex_unlock(&q->lock);
	sluice_board_leave(board);
	return 0;
}

static int sluice_ring_wait_for(struct sluice_hwq *q, struct sluice_wait *arg)
{
	bool kernel = q->flags & SLUICE_QUEUE_KERNEL;
	struct sluice_sdi_completion *out = NULL;
	u32 count = min(arg->count, q->n_entries);
	int err = 0;

	if (kernel ? !arg->count : (arg->count || arg->completions))
		return -EINVAL;
	if (kernel) {
		out = kvcalloc(count, sizeof(*out), GFP_KERNEL_ACCOUNT);
		if (!out)
			return -ENOMEM;
	}
	if (arg->flags & SLUICE_WAIT_NOTIFY)
		err = sluice_ring_notify_first(q);
	if (!err)
		err = sluice_ring_sleep_for(q, arg->timeout_ns, out, &count);
	if (!err && kernel) {
		arg->count = count;
		if (copy_to_user(u64_to_user_ptr(arg->completions), out, count * sizeof(*out)))
			err = -EFAULT;
	}
	kvfree(out);
	return err;
}

int sluice_ring_wait(struct sluice_file *sf, struct sluice_wait *arg)
{
	struct sluice_hwq *q;
	int err = sluice_board_hold(sf->board);

	if (err)
		return err;
	sluice_board_leave(sf->board);
	q = sluice_queue_lookup(sf, arg->queue);
	if (!q)
		return -ENOENT;
	err = sluice_ring_wait_for(q, arg);
	sluice_queue_put(q);
	return err;
}
