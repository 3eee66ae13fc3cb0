// SPDX-License-Identifier: GPL-2.0
/*
 * queue.c - the life of a queue: rings, setup on the board, and the end.
 *
 * The order at the end is what matters: nobody can ring the doorbell any more, the
 * board confirms that it touches no ring, only then does anything go back. A
 * board that does not confirm is reset, for all.
 */
#include <linux/eventfd.h>
#include <linux/log2.h>
#include <linux/pid.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "board.h"
#include "buffer.h"
#include "compat.h"
#include "cookie.h"
#include "file.h"
#include "map.h"
#include "queue.h"
#include "reset.h"
#include "sdi.h"
#include "segment.h"
#include "slab.h"
#include "watchdog.h"

SLUICE_SLAB(sluice_hwq);

static void sluice_queue_release(struct sluice_object *object)
{
	struct sluice_hwq *q = container_of(object, struct sluice_hwq, object);
	struct sluice_board *board = q->sdi->board;

	sluice_segments_free(q);
	sluice_mem_put(q->sq);
	sluice_mem_put(q->cq);
	sluice_mem_put(q->table);
	sluice_mem_put(q->page);
	if (q->eventfd)
		eventfd_ctx_put(q->eventfd);
	put_pid(q->pid);
	kvfree(q->grips);
	sluice_ring_free(q);
	sluice_slab_free(&sluice_hwq_slab, q);
	sluice_board_put(board);
}

/* The queue with that handle, referenced, or NULL. */
struct sluice_hwq *sluice_queue_lookup(struct sluice_file *sf, u32 handle)
{
	struct sluice_object *object = sluice_object_get(sf, handle, SLUICE_OBJECT_QUEUE);

	return object ? container_of(object, struct sluice_hwq, object) : NULL;
}

/**
 * sluice_queue_find - the queue that a call is for
 * @sf: the caller's file
 * @handle: the caller's word
 *
 * Return: it, referenced; -ENOENT; or what sluice_board_hold() returns, as a call on a
 * board that is gone is answered by that alone.
 */
struct sluice_hwq *sluice_queue_find(struct sluice_file *sf, u32 handle)
{
	struct sluice_hwq *q;
	int err = sluice_board_hold(sf->board);

	if (err)
		return ERR_PTR(err);
	sluice_board_leave(sf->board);
	q = sluice_queue_lookup(sf, handle);
	return q ? q : ERR_PTR(-ENOENT);
}

/* The queue of that number, referenced, or NULL. */
struct sluice_hwq *sluice_queue_at(struct sluice_sdi *sdi, u32 index)
{
	struct sluice_hwq *q;

	mutex_lock(&sdi->queue_lock);
	q = sdi->queues[index];
	if (q)
		kref_get(&q->object.ref);
	mutex_unlock(&sdi->queue_lock);
	return q;
}

/* Those who wait should look: in interrupt context, with irq_lock held. */
void sluice_queue_wake(struct sluice_hwq *q)
{
	lockdep_assert_held(&q->sdi->irq_lock);
	wake_up_all(&q->wait);
	wake_up_all(&q->sf->wait);
	if (q->eventfd)
		sluice_eventfd_signal(q->eventfd);
}

/* As sluice_queue_wake(), where nothing is held. */
void sluice_queue_tell(struct sluice_hwq *q)
{
	spin_lock_irq(&q->sdi->irq_lock);
	/* Detached queues have nobody to be woken but those who hold a reference. */
	if (q->sdi->queues[q->index] == q)
		sluice_queue_wake(q);
	else
		wake_up_all(&q->wait);
	spin_unlock_irq(&q->sdi->irq_lock);
}

static int sluice_queue_check(const struct sluice_sdi *sdi, const struct sluice_queue *arg)
{
	u32 max_entries = min_t(u32, sdi->figures.max_entries, SLUICE_MAX_ENTRIES);

	if (arg->reserved0 || (!(arg->flags & SLUICE_QUEUE_EVENTFD) && arg->eventfd))
		return -EINVAL;
	if (arg->n_entries < 2 || arg->n_entries > max_entries || !is_power_of_2(arg->n_entries))
		return -EINVAL;
	if (arg->n_segments < 1 || arg->n_segments > sdi->figures.n_segments)
		return -EINVAL;
	return 0;
}

static struct sluice_hwq *sluice_queue_new(struct sluice_file *sf, const struct sluice_queue *arg)
{
	struct sluice_hwq *q = sluice_slab_alloc(&sluice_hwq_slab);

	if (!q)
		return ERR_PTR(-ENOMEM);
	sluice_object_init(&q->object, SLUICE_OBJECT_QUEUE, sluice_queue_release);
	get_device(&sf->board->dev);
	q->sdi = sf->board->sdi;
	q->sf = sf;
	q->pid = get_pid(task_tgid(current));
	q->flags = arg->flags;
	q->n_entries = arg->n_entries;
	q->n_segments = arg->n_segments;
	init_waitqueue_head(&q->wait);
	mutex_init(&q->lock);
	INIT_LIST_HEAD(&q->condemned);
	q->progress.since = jiffies;
	sluice_ring_init(q);
	return q;
}

static int sluice_queue_table(struct sluice_board *board, u64 length, struct sluice_mem **ret_mem)
{
	struct sluice_mem *mem = sluice_mem_table(board, length);

	if (IS_ERR(mem))
		return PTR_ERR(mem);
	*ret_mem = mem;
	return 0;
}

/* With the board entered. What it leaves behind when it fails goes with the queue. */
static int sluice_queue_fill(struct sluice_hwq *q, const struct sluice_queue *arg)
{
	struct sluice_board *board = q->sdi->board;
	u64 n = q->n_entries;
	int err;

	q->grips = kvcalloc(q->n_segments, sizeof(*q->grips), GFP_KERNEL_ACCOUNT);
	if (!q->grips)
		return -ENOMEM;
	if (q->flags & SLUICE_QUEUE_KERNEL) {
		err = sluice_ring_fill(q);
		if (err)
			return err;
	}
	if (q->flags & SLUICE_QUEUE_EVENTFD) {
		struct eventfd_ctx *ctx = eventfd_ctx_fdget(arg->eventfd);

		if (IS_ERR(ctx))
			return PTR_ERR(ctx);
		q->eventfd = ctx;
	}
	err = sluice_queue_table(board, n * sizeof(struct sluice_sdi_entry), &q->sq);
	if (!err)
		err = sluice_queue_table(board, n * sizeof(struct sluice_sdi_completion), &q->cq);
	if (!err)
		err = sluice_queue_table(board, q->n_segments * sizeof(struct sluice_sdi_segment),
					 &q->table);
	return err;
}

/* Takes a free number. */
static int sluice_queue_attach(struct sluice_hwq *q)
{
	struct sluice_sdi *sdi = q->sdi;
	u64 page;
	u32 i;

	mutex_lock(&sdi->queue_lock);
	for (i = 0; i < sdi->figures.n_queues && sdi->queues[i]; i++)
		;
	if (i == sdi->figures.n_queues) {
		mutex_unlock(&sdi->queue_lock);
		return -EBUSY;
	}
	page = SLUICE_SDI_PAGE_DOORBELL + i;
	q->index = i;
	q->vector = sdi->n_vectors > 1 ? 1 + i % (sdi->n_vectors - 1) : 0;
	q->doorbell = sdi->doorbells + i * SLUICE_SDI_PAGE_SIZE;
	q->page = sluice_mem_doorbell(sdi->board,
				      sdi->place.registers + page * SLUICE_SDI_PAGE_SIZE);
	if (IS_ERR(q->page)) {
		q->page = NULL;
		mutex_unlock(&sdi->queue_lock);
		return -ENOMEM;
	}
	spin_lock_irq(&sdi->irq_lock);
	sdi->queues[i] = q;
	spin_unlock_irq(&sdi->irq_lock);
	mutex_unlock(&sdi->queue_lock);
	return 0;
}

static void sluice_queue_detach(struct sluice_hwq *q)
{
	struct sluice_sdi *sdi = q->sdi;

	mutex_lock(&sdi->queue_lock);
	spin_lock_irq(&sdi->irq_lock);
	sdi->queues[q->index] = NULL;
	spin_unlock_irq(&sdi->irq_lock);
	mutex_unlock(&sdi->queue_lock);
}

/* Writes the queue's setup and has the board read it. With the board entered. */
static int sluice_queue_enable(struct sluice_hwq *q, const struct sluice_queue *arg)
{
	struct sluice_sdi *sdi = q->sdi;
	const struct sluice_sdi_queue setup = {
		.sq_base = sluice_mem_bus(q->sq, 0),
		.cq_base = sluice_mem_bus(q->cq, 0),
		.segments = sluice_mem_bus(q->table, 0),
		.n_segments = q->n_segments,
		.n_entries = q->n_entries,
		.vector = q->vector,
		.coalesce_count = arg->coalesce_count,
		.coalesce_us = arg->coalesce_us,
	};

	/* What the last owner left there. */
	writel(0, q->doorbell + offsetof(struct sluice_sdi_doorbell, sq_tail));
	writel(0, q->doorbell + offsetof(struct sluice_sdi_doorbell, cq_head));
	memcpy_toio(sdi->control + SLUICE_SDI_PAGE_QUEUES * SLUICE_SDI_PAGE_SIZE +
			    q->index * sizeof(setup),
		    &setup, sizeof(setup));
	return sluice_sdi_request(sdi, SLUICE_SDI_ACTION_QUEUE_ENABLE, q->index);
}

/**
 * sluice_queue_kill - the board does not know the queue any more
 * @q: of a board that was reset, or that has confirmed the end of the queue
 * @why: what ends with it ends with this error, if it is not dead already
 */
void sluice_queue_kill(struct sluice_hwq *q, int why)
{
	mutex_lock(&q->lock);
	sluice_ring_die(q, why);
	mutex_unlock(&q->lock);
	sluice_queue_tell(q);
}

void sluice_queues_kill(struct sluice_sdi *sdi, int why)
{
	u32 i;

	for (i = 0; i < sdi->figures.n_queues; i++) {
		struct sluice_hwq *q = sluice_queue_at(sdi, i);

		if (!q)
			continue;
		sluice_queue_kill(q, why);
		sluice_queue_put(q);
	}
}

/**
 * sluice_queue_disable - ask the board to leave the queue's memory alone
 * @q: with its board entered
 * @why: as in sluice_queue_kill()
 *
 * Return: 0, and the queue is dead; or what sluice_sdi_request() returns.
 */
int sluice_queue_disable(struct sluice_hwq *q, int why)
{
	int err = 0;

	mutex_lock(&q->lock);
	if (!q->dead)
		err = sluice_sdi_request(q->sdi, SLUICE_SDI_ACTION_QUEUE_DISABLE, q->index);
	if (!err)
		sluice_ring_die(q, why);
	mutex_unlock(&q->lock);
	return err;
}

/* Has the board leave the queue's memory alone, by force if need be. */
static void sluice_queue_stop(struct sluice_hwq *q)
{
	struct sluice_board *board = q->sdi->board;
	int err = sluice_board_enter(board);

	lockdep_assert_held(&board->reset_lock);
	/* Not live: it was reset, or cut off from memory. */
	if (!err) {
		err = sluice_queue_disable(q, -ECANCELED);
		sluice_board_leave(board);
		if (err)
			sluice_reset_locked(board);
	}
	sluice_queue_kill(q, -ECANCELED);
}

/**
 * sluice_queue_retire - the end of a queue, whose handle is gone
 * @sf: its file
 * @q: referenced by the caller
 */
void sluice_queue_retire(struct sluice_file *sf, struct sluice_hwq *q)
{
	struct sluice_board *board = sf->board;

	mutex_lock(&board->reset_lock);
	/* Whoever gets this number next has the same doorbell: this is the last we see of it. */
	down_write(&board->access);
	q->page->dead = true;
	up_write(&board->access);
	sluice_map_revoke(board, q->page);
	sluice_queue_stop(q);
	sluice_queue_detach(q);
	mutex_unlock(&board->reset_lock);
	/* Neither interrupts nor callers can have it run again. */
	flush_delayed_work(&q->ring.work);

	sluice_cookies_drop(sf, q->page);
	sluice_cookies_drop(sf, q->sq);
	sluice_cookies_drop(sf, q->cq);
}

static int sluice_queue_cookies(struct sluice_file *sf, struct sluice_hwq *q,
				struct sluice_queue *arg)
{
	int err;

	if (q->flags & SLUICE_QUEUE_KERNEL)
		return 0;
	err = sluice_cookie_add(sf, q->sq, arg->handle, false, &arg->sq_cookie);
	if (!err)
		err = sluice_cookie_add(sf, q->cq, arg->handle, true, &arg->cq_cookie);
	if (!err)
		err = sluice_cookie_add(sf, q->page, arg->handle, false, &arg->doorbell_cookie);
	return err;
}

int sluice_queue_create(struct sluice_file *sf, struct sluice_queue *arg)
{
	struct sluice_board *board = sf->board;
	struct sluice_hwq *q;
	int err;

	if (!board->sdi)
		return -EOPNOTSUPP;
	err = sluice_queue_check(board->sdi, arg);
	if (err)
		return err;
	q = sluice_queue_new(sf, arg);
	if (IS_ERR(q))
		return PTR_ERR(q);
	err = sluice_board_enter(board);
	if (err)
		goto err_put;
	err = sluice_queue_fill(q, arg);
	if (!err)
		err = sluice_queue_attach(q);
	if (err) {
		sluice_board_leave(board);
		goto err_put;
	}
	err = sluice_queue_enable(q, arg);
	/* Refused is not enabled; without an answer nobody knows. */
	q->dead = err && err != -ETIMEDOUT && err != -ENODEV;
	sluice_board_leave(board);
	if (err)
		goto err_retire;
	arg->index = q->index;
	sluice_watchdog_kick(board->sdi);
	/* The handle's reference; ours is kept until the cookies are there. */
	kref_get(&q->object.ref);
	err = sluice_object_add(sf, &q->object, &arg->handle);
	if (err) {
		sluice_queue_put(q);
		goto err_retire;
	}
	q->handle = arg->handle;
	err = sluice_queue_cookies(sf, q, arg);
	if (err) {
		struct sluice_free undo = { .handle = arg->handle };

		/* Another thread that guesses handles may have been faster: both is well. */
		sluice_object_free(sf, &undo);
	}
	sluice_queue_put(q);
	return err;

err_retire:
	sluice_queue_retire(sf, q);
err_put:
	sluice_queue_put(q);
	return err;
}
