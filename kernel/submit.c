// SPDX-License-Identifier: GPL-2.0
/*
 * submit.c - the calls of programs on queues: SUBMIT, WAIT, NOTIFY, poll().
 *
 * Who waits looks at the ring first, then sleeps, and looks again whenever it is
 * woken; a wake-up can be lost, as interrupts can, so nobody sleeps for long
 * without looking. What user space writes (tail, head) is only ever used modulo
 * the size of a ring.
 */
#include <linux/hrtimer.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/xarray.h>

#include "board.h"
#include "file.h"
#include "queue.h"
#include "ring.h"
#include "sdi.h"
#include "submit.h"

/* How long somebody sleeps at most without looking, with and without interrupts. */
#define SLUICE_LOOK_NS (20 * NSEC_PER_MSEC)
#define SLUICE_LOOK_POLL_NS (1 * NSEC_PER_MSEC)
#define SLUICE_LOOK_FIRST_NS (20 * NSEC_PER_USEC)

/* Entries that are put into a ring without letting go of its lock. */
#define SLUICE_BATCH 64

/* Is there something to be had from a queue? With its board held. */
static bool sluice_submit_has(struct sluice_hwq *q)
{
	bool found;

	if (q->flags & SLUICE_QUEUE_KERNEL) {
		sluice_ring_reap(q);
		return READ_ONCE(q->dead) || READ_ONCE(q->ring.n_done);
	}
	mutex_lock(&q->lock);
	found = q->dead || sluice_ring_has(q, sluice_ring_head(q));
	mutex_unlock(&q->lock);
	return found;
}

/* Is there something to be had from one of the file's queues? */
bool sluice_submit_readable(struct sluice_file *sf)
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
		found = sluice_submit_has(q);
		sluice_queue_put(q);
		if (found)
			break;
	}
	sluice_board_leave(sf->board);
	return found;
}

/* Tells the board to look at a queue; of a dead one it knows nothing. */
static int sluice_submit_tell(struct sluice_hwq *q)
{
	struct sluice_board *board = q->sdi->board;
	int err = sluice_board_hold(board);

	if (err)
		return err;
	mutex_lock(&q->lock);
	if (q->dead)
		err = -ECONNRESET;
	else
		sluice_ring_notify(q);
	mutex_unlock(&q->lock);
	sluice_board_leave(board);
	return err;
}

int sluice_submit_notify(struct sluice_file *sf, struct sluice_notify *arg)
{
	struct sluice_hwq *q;
	int err;

	if (arg->reserved0)
		return -EINVAL;
	q = sluice_queue_find(sf, arg->queue);
	if (IS_ERR(q))
		return PTR_ERR(q);
	err = sluice_submit_tell(q);
	sluice_queue_put(q);
	return err;
}

/* With the queue's lock, so that the entries of one call stay together. */
static int sluice_submit_entries(struct sluice_hwq *q, const struct sluice_sdi_entry *entries,
				 u32 *count)
{
	u32 done = 0, n, most;

	lockdep_assert_held(&q->lock);
	do {
		most = min_t(u32, *count - done, SLUICE_BATCH);
		spin_lock(&q->ring.lock);
		n = q->dead ? 0 : sluice_ring_put(q, entries + done, most, NULL);
		spin_unlock(&q->ring.lock);
		done += n;
	} while (n == most && done < *count);
	if (!done)
		return q->dead ? -ECONNRESET : -EAGAIN;
	*count = done;
	return 0;
}

static int sluice_submit_to(struct sluice_hwq *q, struct sluice_submit *arg)
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
	if (!err) {
		mutex_lock(&q->lock);
		err = sluice_submit_entries(q, entries, &arg->count);
		mutex_unlock(&q->lock);
		sluice_board_leave(board);
	}
	kvfree(entries);
	return err;
}

int sluice_submit_call(struct sluice_file *sf, struct sluice_submit *arg)
{
	struct sluice_hwq *q = sluice_queue_find(sf, arg->queue);
	int err;

	if (IS_ERR(q))
		return PTR_ERR(q);
	err = sluice_submit_to(q, arg);
	sluice_queue_put(q);
	return err;
}

/*
 * One look: -EAGAIN if there is nothing yet. With room in @out completions are
 * taken there, and @count says how many.
 */
static int sluice_submit_look(struct sluice_hwq *q, struct sluice_sdi_completion *out, u32 *count)
{
	struct sluice_board *board = q->sdi->board;
	int err = sluice_board_hold(board);

	/* What a reset makes of the queue is seen once it is over. */
	if (err)
		return err == -EBUSY ? -EAGAIN : err;
	if (out) {
		sluice_ring_reap(q);
		err = sluice_ring_hand_out(q, out, count);
	} else {
		mutex_lock(&q->lock);
		if (q->dead)
			err = -ECONNRESET;
		else if (!sluice_ring_has(q, sluice_ring_head(q)))
			err = -EAGAIN;
		mutex_unlock(&q->lock);
	}
	sluice_board_leave(board);
	return err;
}

/* Sleeps until woken, for at most @ns; with @spin it is known that nobody wakes. */
static void sluice_submit_sleep(struct wait_queue_entry *entry, u64 ns, bool spin)
{
	if (spin) {
		ktime_t span = ns_to_ktime(ns);

		set_current_state(TASK_INTERRUPTIBLE);
		schedule_hrtimeout_range(&span, ns / 4, HRTIMER_MODE_REL);
	} else {
		wait_woken(entry, TASK_INTERRUPTIBLE, nsecs_to_jiffies(ns) + 1);
	}
}

static int sluice_submit_sleep_for(struct sluice_hwq *q, u64 timeout_ns,
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

		err = sluice_submit_look(q, out, count);
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
		sluice_submit_sleep(&entry, min(nap, timeout_ns - spent), spin);
		nap = min(2 * nap, most);
	}
	remove_wait_queue(&q->wait, &entry);
	return err;
}

static int sluice_submit_wait_for(struct sluice_hwq *q, struct sluice_wait *arg)
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
		err = sluice_submit_tell(q);
	/* A dead queue may still have completions. */
	if (!err || err == -ECONNRESET)
		err = sluice_submit_sleep_for(q, arg->timeout_ns, out, &count);
	if (!err && kernel) {
		arg->count = count;
		if (copy_to_user(u64_to_user_ptr(arg->completions), out, count * sizeof(*out)))
			err = -EFAULT;
	}
	kvfree(out);
	return err;
}

int sluice_submit_wait(struct sluice_file *sf, struct sluice_wait *arg)
{
	struct sluice_hwq *q = sluice_queue_find(sf, arg->queue);
	int err;

	if (IS_ERR(q))
		return PTR_ERR(q);
	err = sluice_submit_wait_for(q, arg);
	sluice_queue_put(q);
	return err;
}
