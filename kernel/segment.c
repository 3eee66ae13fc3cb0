// SPDX-License-Identifier: GPL-2.0
/*
 * segment.c - what a queue's entries may reach: its segment table.
 *
 * The table is in memory that only the driver writes, and the board reads it when
 * it is told to. An object stays until the board has confirmed that it does not
 * reach it any more; if it never does, until the queue has ended.
 */
#include <linux/mm.h>
#include <linux/xarray.h>

#include "board.h"
#include "buffer.h"
#include "file.h"
#include "queue.h"
#include "sdi.h"
#include "segment.h"
#include "slab.h"

/* A page list is one piece of memory: 4 MiB of it, or 2 GiB in small pages. */
#define SLUICE_MAX_LIST_PAGES (1u << 19)

SLUICE_SLAB(sluice_grip);

static void sluice_grip_free(struct sluice_grip *grip)
{
	if (!grip)
		return;
	sluice_mem_put(grip->mem);
	sluice_mem_put(grip->pages);
	sluice_slab_free(&sluice_grip_slab, grip);
}

/* A queue's last reference goes: the board has long forgotten it. */
void sluice_segments_free(struct sluice_hwq *q)
{
	struct sluice_grip *grip, *next;
	u32 i;

	for (i = 0; q->grips && i < q->n_segments; i++)
		sluice_grip_free(q->grips[i]);
	list_for_each_entry_safe(grip, next, &q->condemned, list)
		sluice_grip_free(grip);
}

/* Writes the list of pages that a range of an object is made of. */
static int sluice_segment_list(struct sluice_board *board, struct sluice_grip *grip, u64 length,
			       u32 shift)
{
	u64 n = DIV_ROUND_UP_ULL(length, 1ull << shift);
	struct sluice_mem *pages;
	__le64 *list;
	u64 i;

	if (n > SLUICE_MAX_LIST_PAGES)
		return -ENOMEM;
	pages = sluice_mem_table(board, n * sizeof(*list));
	if (IS_ERR(pages))
		return PTR_ERR(pages);
	list = sluice_mem_address(pages);
	for (i = 0; i < n; i++)
		list[i] = cpu_to_le64(sluice_mem_bus(grip->mem, grip->offset + (i << shift)));
	grip->pages = pages;
	return 0;
}

/* Is a range of host memory in one piece for the board? */
static bool sluice_segment_is_contiguous(const struct sluice_mem *mem, u64 offset, u64 length)
{
	u64 bytes = 1ull << mem->chunk_shift;
	u64 first = offset >> mem->chunk_shift;
	u64 last = (offset + length - 1) >> mem->chunk_shift;

	for (; first < last; first++)
		if (mem->bus[first] + bytes != mem->bus[first + 1])
			return false;
	return true;
}

/* The table entry for a range of an object, and the page list that it needs. */
static int sluice_segment_describe(struct sluice_sdi *sdi, struct sluice_grip *grip, u64 length,
				   struct sluice_sdi_segment *entry)
{
	struct sluice_mem *mem = grip->mem;
	u32 shift;
	int err;

	entry->length = length;
	if (READ_ONCE(mem->lost))
		return -ENXIO;
	if (!sluice_mem_is_host(mem)) {
		entry->base = mem->offset + grip->offset;
		return 0;
	}
	if (!(sdi->figures.capabilities & SLUICE_SDI_CAP_HOST))
		return -EOPNOTSUPP;
	entry->flags |= SLUICE_SDI_SEGMENT_HOST;
	if (sluice_segment_is_contiguous(mem, grip->offset, length)) {
		entry->base = sluice_mem_bus(mem, grip->offset);
		return 0;
	}
	if (!(sdi->figures.capabilities & SLUICE_SDI_CAP_PAGED))
		return -EOPNOTSUPP;
	/* Pages as large as the chunks, or as where in a chunk the range begins allows. */
	shift = mem->chunk_shift;
	if (grip->offset)
		shift = min_t(u32, shift, __ffs64(grip->offset));
	err = sluice_segment_list(sdi->board, grip, length, shift);
	if (err)
		return err;
	entry->flags |= SLUICE_SDI_SEGMENT_PAGED;
	entry->page_shift = shift;
	entry->base = sluice_mem_bus(grip->pages, 0);
	return 0;
}

/* Stores a table entry and has the board read the table. */
static int sluice_segment_post(struct sluice_hwq *q, u32 segment,
			       const struct sluice_sdi_segment *entry)
{
	struct sluice_sdi_segment *table = sluice_mem_address(q->table);

	lockdep_assert_held(&q->lock);
	table[segment] = *entry;
	return sluice_sdi_request(q->sdi, SLUICE_SDI_ACTION_SEGMENTS, q->index);
}

/**
 * sluice_segment_change - put something else into a segment
 * @q: not dead, with its lock held and its board entered
 * @segment: which
 * @grip: what it holds on to from now on, or NULL; taken over
 * @entry: as the board sees it
 *
 * Return: 0, or a negative error, and the segment is as it was, or the board is
 * about to be reset.
 */
static int sluice_segment_change(struct sluice_hwq *q, u32 segment, struct sluice_grip *grip,
				 const struct sluice_sdi_segment *entry)
{
	struct sluice_sdi_segment *table = sluice_mem_address(q->table);
	struct sluice_sdi_segment old_entry = table[segment];
	struct sluice_grip *old = q->grips[segment];
	int err = sluice_segment_post(q, segment, entry);

	if (!err) {
		q->grips[segment] = grip;
		sluice_grip_free(old);
		return 0;
	}
	/* Refused: back to what was. What the board does not confirm it may have read. */
	if (sluice_segment_post(q, segment, &old_entry)) {
		if (grip)
			list_add(&grip->list, &q->condemned);
	} else {
		sluice_grip_free(grip);
	}
	return err;
}

static int sluice_segment_put(struct sluice_hwq *q, u32 segment, struct sluice_grip *grip,
			      const struct sluice_sdi_segment *entry)
{
	struct sluice_board *board = q->sdi->board;
	int err = sluice_board_enter(board);

	if (err) {
		sluice_grip_free(grip);
		return err;
	}
	mutex_lock(&q->lock);
	if (q->dead) {
		sluice_grip_free(grip);
		err = -ECONNRESET;
	} else {
		err = sluice_segment_change(q, segment, grip, entry);
	}
	mutex_unlock(&q->lock);
	sluice_board_leave(board);
	return err;
}

static int sluice_segment_give(struct sluice_hwq *q, struct sluice_mem *mem,
			       const struct sluice_grant *arg)
{
	struct sluice_sdi_segment entry = {};
	struct sluice_grip *grip;
	int err;

	if (!PAGE_ALIGNED(arg->offset) || !arg->length)
		return -EINVAL;
	if (arg->offset >= mem->length || arg->length > mem->length - arg->offset)
		return -ERANGE;
	grip = sluice_slab_alloc(&sluice_grip_slab);
	if (!grip)
		return -ENOMEM;
	grip->mem = sluice_mem_get(mem);
	grip->offset = arg->offset;
	if (arg->flags & SLUICE_GRANT_READ)
		entry.flags |= SLUICE_SDI_SEGMENT_READ;
	if (arg->flags & SLUICE_GRANT_WRITE)
		entry.flags |= SLUICE_SDI_SEGMENT_WRITE;

	err = sluice_board_enter(q->sdi->board);
	if (!err) {
		err = sluice_segment_describe(q->sdi, grip, arg->length, &entry);
		sluice_board_leave(q->sdi->board);
	}
	if (err) {
		sluice_grip_free(grip);
		return err;
	}
	return sluice_segment_put(q, arg->segment, grip, &entry);
}

int sluice_segment_grant(struct sluice_file *sf, struct sluice_grant *arg)
{
	const struct sluice_sdi_segment empty = {};
	struct sluice_mem *mem;
	struct sluice_hwq *q;
	int err;

	if (arg->reserved0 || (!arg->flags && (arg->handle || arg->offset || arg->length)))
		return -EINVAL;
	q = sluice_queue_find(sf, arg->queue);
	if (IS_ERR(q))
		return PTR_ERR(q);
	if (arg->segment >= q->n_segments) {
		err = -EINVAL;
	} else if (!arg->flags) {
		err = sluice_segment_put(q, arg->segment, NULL, &empty);
	} else {
		mem = sluice_mem_lookup(sf, arg->handle);
		err = mem ? sluice_segment_give(q, mem, arg) : -ENOENT;
		sluice_mem_put(mem);
	}
	sluice_queue_put(q);
	return err;
}

/* Takes an object out of every segment of one queue. */
static void sluice_queue_drop(struct sluice_hwq *q, const struct sluice_mem *mem)
{
	const struct sluice_sdi_segment empty = {};
	u32 i;

	for (i = 0; i < q->n_segments; i++) {
		bool here;

		mutex_lock(&q->lock);
		here = q->grips[i] && q->grips[i]->mem == mem;
		mutex_unlock(&q->lock);
		/* A dead queue reaches nothing; what it holds on to goes with it. */
		if (here && sluice_segment_put(q, i, NULL, &empty))
			return;
	}
}

/**
 * sluice_segments_drop - take an object that loses its handle out of every segment
 * @sf: its file, whose queues alone can have it
 * @mem: it
 */
void sluice_segments_drop(struct sluice_file *sf, struct sluice_mem *mem)
{
	struct sluice_object *object;
	unsigned long handle;

	xa_for_each(&sf->objects, handle, object) {
		struct sluice_hwq *q = sluice_queue_lookup(sf, handle);

		if (!q)
			continue;
		sluice_queue_drop(q, mem);
		sluice_queue_put(q);
	}
}
