// SPDX-License-Identifier: GPL-2.0
/*
 * fence.c - queues as timelines of dma_fences.
 *
 * A fence is reached when the completion of the last entry before it is there; those
 * of a queue are signalled in their order, and each of them in bounded time: by the
 * board, by whatever ends the queue, or by running out of time. A fence outlives its queue
 * and keeps the module, not the board.
 */
#include <linux/dma-fence.h>
#include <linux/file.h>
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/sync_file.h>

#include "board.h"
#include "fence.h"
#include "file.h"
#include "queue.h"
#include "ring.h"
#include "sdi.h"
#include "slab.h"
#include "watchdog.h"

/*
 * The watchdog stops a queue first. If it does not, a fence ends when nothing has
 * been completed for so many times its limit; one for rings of the caller's, whose
 * head and tail are the caller's word, after so many altogether.
 */
#define SLUICE_FENCE_LIMITS 2
#define SLUICE_FENCE_LIMITS_ALL 16

/* Most of a queue that are not signalled: descriptors may be closed before. */
#define SLUICE_MAX_FENCES 1024

/**
 * struct sluice_queue_fence - a fence
 * @base: for others
 * @lock: of @base
 * @list: in sluice_ring.fences until it is signalled, with a reference
 * @target: entries that there were before it
 * @made: jiffies
 * @timeline: name of the queue, which may be gone
 */
struct sluice_queue_fence {
	struct dma_fence base;
	spinlock_t lock;
	struct list_head list;
	u32 target;
	unsigned long made;
	char timeline[40];
};

SLUICE_SLAB(sluice_queue_fence);

static struct sluice_queue_fence *sluice_queue_fence(struct dma_fence *fence)
{
	return container_of(fence, struct sluice_queue_fence, base);
}

static const char *sluice_fence_driver(struct dma_fence *fence)
{
	return "sluice";
}

static const char *sluice_fence_timeline(struct dma_fence *fence)
{
	return sluice_queue_fence(fence)->timeline;
}

/* The module's exit waits for this to have returned. */
static void sluice_fence_free(struct rcu_head *rcu)
{
	sluice_slab_free(&sluice_queue_fence_slab,
			 sluice_queue_fence(container_of(rcu, struct dma_fence, rcu)));
	module_put(THIS_MODULE);
}

static void sluice_fence_release(struct dma_fence *fence)
{
	call_rcu(&fence->rcu, sluice_fence_free);
}

static const struct dma_fence_ops sluice_fence_ops = {
	.get_driver_name = sluice_fence_driver,
	.get_timeline_name = sluice_fence_timeline,
	.release = sluice_fence_release,
};

/* Of a queue that is not dead. */
static bool sluice_fence_is_reached(struct sluice_hwq *q, const struct sluice_queue_fence *fence)
{
	u32 head = sluice_ring_head(q);

	if ((s32)(head - fence->target) >= 0)
		return true;
	/* What is there was taken just before. */
	if (q->flags & SLUICE_QUEUE_KERNEL)
		return false;
	/* Its place in the ring is not used again before the owner has taken it. */
	return sluice_ring_has(q, fence->target - 1);
}

static void sluice_fence_signal(struct sluice_hwq *q, struct sluice_queue_fence *fence, int err)
{
	lockdep_assert_held(&q->ring.lock);
	list_del(&fence->list);
	q->ring.n_fences--;
	q->ring.n_async--;
	if (err)
		dma_fence_set_error(&fence->base, err);
	dma_fence_signal(&fence->base);
	dma_fence_put(&fence->base);
}

/* Signals the fences whose entries are completed. With the lock of a ring that is not dead's. */
void sluice_fences_reach(struct sluice_hwq *q)
{
	struct sluice_queue_fence *fence, *next;

	list_for_each_entry_safe(fence, next, &q->ring.fences, list) {
		if (!sluice_fence_is_reached(q, fence))
			break;
		sluice_fence_signal(q, fence, 0);
	}
}

/* Signals all that are left. With the ring's lock held. */
void sluice_fences_end(struct sluice_hwq *q, int why)
{
	struct sluice_queue_fence *fence, *next;

	list_for_each_entry_safe(fence, next, &q->ring.fences, list)
		sluice_fence_signal(q, fence, why);
}

/* Has the board completed anything since the last look? */
static bool sluice_fences_move(struct sluice_hwq *q)
{
	u32 seen = q->ring.fence_seen;
	u32 most = seen + q->n_entries;

	if (q->flags & SLUICE_QUEUE_KERNEL)
		seen = q->ring.cq_head;
	else
		while (seen != most && sluice_ring_has(q, seen))
			seen++;
	if (seen == q->ring.fence_seen)
		return false;
	q->ring.fence_seen = seen;
	return true;
}

/* Nobody who waits for a fence waits for ever. With the ring's lock held, by the queue's work. */
void sluice_fences_expire(struct sluice_hwq *q)
{
	unsigned long limit = msecs_to_jiffies(sluice_watchdog_limit_ms());
	struct sluice_ring *ring = &q->ring;
	struct sluice_queue_fence *first =
		list_first_entry_or_null(&ring->fences, struct sluice_queue_fence, list);
	bool late;

	if (!first || q->dead)
		return;
	if (sluice_fences_move(q))
		ring->fence_since = jiffies;
	late = time_after(jiffies, ring->fence_since + SLUICE_FENCE_LIMITS * limit);
	if (!(q->flags & SLUICE_QUEUE_KERNEL))
		late |= time_after(jiffies, first->made + SLUICE_FENCE_LIMITS_ALL * limit);
	if (late)
		sluice_fences_end(q, -ETIMEDOUT);
}

/* How many entries there are now: what the next fence waits for. With the ring's lock held. */
static int sluice_fence_target(struct sluice_hwq *q, u32 *ret_target)
{
	u32 tail, head;

	if (q->flags & SLUICE_QUEUE_KERNEL) {
		*ret_target = q->ring.sq_tail + q->ring.n_waiting;
		return 0;
	}
	tail = readl(q->doorbell + offsetof(struct sluice_sdi_doorbell, sq_tail));
	head = sluice_ring_head(q);
	if (tail - head > q->n_entries)
		return -ERANGE;
	*ret_target = tail;
	return 0;
}

static int sluice_fence_start(struct sluice_hwq *q, struct sluice_queue_fence *fence)
{
	struct sluice_ring *ring = &q->ring;
	int err;

	if (q->dead)
		return -ECONNRESET;
	if (ring->n_fences == SLUICE_MAX_FENCES)
		return -ENOSPC;
	err = sluice_fence_target(q, &fence->target);
	if (err)
		return err;
	fence->made = jiffies;
	if (list_empty(&ring->fences)) {
		ring->fence_seen = sluice_ring_head(q);
		ring->fence_since = jiffies;
	}
	dma_fence_init(&fence->base, &sluice_fence_ops, &fence->lock, ring->fence_context,
		       ++ring->fence_seqno);
	list_add_tail(&fence->list, &ring->fences);
	dma_fence_get(&fence->base);
	ring->n_fences++;
	ring->n_async++;
	sluice_ring_watch(q);
	return 0;
}

/* A fence for what was submitted to the queue so far. With its board held. */
static struct dma_fence *sluice_fence_make(struct sluice_hwq *q)
{
	struct sluice_queue_fence *fence = sluice_slab_alloc(&sluice_queue_fence_slab);
	int err;

	if (!fence)
		return ERR_PTR(-ENOMEM);
	spin_lock_init(&fence->lock);
	snprintf(fence->timeline, sizeof(fence->timeline), "%s-q%u", q->sdi->board->node, q->index);
	spin_lock(&q->ring.lock);
	err = sluice_fence_start(q, fence);
	spin_unlock(&q->ring.lock);
	if (err) {
		sluice_slab_free(&sluice_queue_fence_slab, fence);
		return ERR_PTR(err);
	}
	__module_get(THIS_MODULE);
	/* What interrupted before the fence was there does not do so again. */
	smp_mb();
	sluice_ring_reap(q);
	return &fence->base;
}

static int sluice_fence_install(struct dma_fence *fence)
{
	struct sync_file *sync;
	int fd = get_unused_fd_flags(O_CLOEXEC);

	if (fd < 0)
		return fd;
	sync = sync_file_create(fence);
	if (!sync) {
		put_unused_fd(fd);
		return -ENOMEM;
	}
	fd_install(fd, sync->file);
	return fd;
}

int sluice_fence_call(struct sluice_file *sf, struct sluice_fence *arg)
{
	struct sluice_hwq *q = sluice_queue_find(sf, arg->queue);
	struct dma_fence *fence;
	int err;

	if (IS_ERR(q))
		return PTR_ERR(q);
	err = sluice_board_hold(sf->board);
	if (err)
		goto out;
	fence = sluice_fence_make(q);
	sluice_board_leave(sf->board);
	if (IS_ERR(fence)) {
		err = PTR_ERR(fence);
		goto out;
	}
	arg->fd = sluice_fence_install(fence);
	if (arg->fd < 0)
		err = arg->fd;
	dma_fence_put(fence);
out:
	sluice_queue_put(q);
	return err;
}
