// SPDX-License-Identifier: GPL-2.0
/*
 * debugfs.c - /sys/kernel/debug/sluice: what the driver has of each kind in objects; queues,
 * segments and mappings of a board in sluiceN.
 *
 * For people who look for a fault, and for `sluicectl who`, which goes with the
 * driver: it looks for "pid N". Nothing here is an interface.
 */
#include <linux/debugfs.h>
#include <linux/mm.h>
#include <linux/pid.h>
#include <linux/seq_file.h>

#include "board.h"
#include "buffer.h"
#include "debugfs.h"
#include "map.h"
#include "queue.h"
#include "ring.h"
#include "sdi.h"
#include "slab.h"

static struct dentry *sluice_debugfs_root;

static const char *const sluice_type_names[] = { "uncached", "write-combined", "cached", "?" };

static void sluice_show_queue(struct seq_file *m, struct sluice_hwq *q)
{
	mutex_lock(&q->lock);
	seq_printf(m, "queue %u: %s rings of %u, %u segments, vector %u, pid %d", q->index,
		   q->flags & SLUICE_QUEUE_KERNEL ? "driver's" : "user's", q->n_entries,
		   q->n_segments, q->vector, pid_vnr(q->pid));
	if (q->dead) {
		seq_puts(m, ", dead\n");
	} else {
		u32 head = sluice_ring_head(q);

		seq_printf(m, ", tail %u, head %u, %s%s\n",
			   readl(q->doorbell + offsetof(struct sluice_sdi_doorbell, sq_tail)), head,
			   sluice_ring_has(q, head) ? "has completions" : "empty",
			   readl(q->doorbell + offsetof(struct sluice_sdi_doorbell, idle)) ?
				   ", board idle" :
				   "");
	}
	mutex_unlock(&q->lock);
}

static void sluice_show_segments(struct seq_file *m, struct sluice_hwq *q)
{
	const struct sluice_sdi_segment *table = sluice_mem_address(q->table);
	u32 i;

	mutex_lock(&q->lock);
	for (i = 0; i < q->n_segments; i++) {
		if (!q->grips[i])
			continue;
		seq_printf(m, "queue %u segment %u: %s%s%s%s, length 0x%llx, kind %u, offset 0x%llx\n",
			   q->index, i, table[i].flags & SLUICE_SDI_SEGMENT_READ ? "r" : "-",
			   table[i].flags & SLUICE_SDI_SEGMENT_WRITE ? "w" : "-",
			   table[i].flags & SLUICE_SDI_SEGMENT_HOST ? " host" : " device",
			   table[i].flags & SLUICE_SDI_SEGMENT_PAGED ? " paged" : "",
			   table[i].length, q->grips[i]->mem->kind, q->grips[i]->offset);
	}
	mutex_unlock(&q->lock);
}

static int sluice_show_each(struct seq_file *m,
			    void (*show)(struct seq_file *m, struct sluice_hwq *q))
{
	struct sluice_board *board = m->private;
	u32 i;
	int err = sluice_board_hold(board);

	if (err)
		return err;
	for (i = 0; i < board->sdi->figures.n_queues; i++) {
		struct sluice_hwq *q = sluice_queue_at(board->sdi, i);

		if (q)
			show(m, q);
		sluice_queue_put(q);
	}
	sluice_board_leave(board);
	return 0;
}

static int queues_show(struct seq_file *m, void *unused)
{
	return sluice_show_each(m, sluice_show_queue);
}
DEFINE_SHOW_ATTRIBUTE(queues);

static int segments_show(struct seq_file *m, void *unused)
{
	return sluice_show_each(m, sluice_show_segments);
}
DEFINE_SHOW_ATTRIBUTE(segments);

static int mappings_show(struct seq_file *m, void *unused)
{
	struct sluice_board *board = m->private;
	struct sluice_mapping *mapping;

	mutex_lock(&board->vma_lock);
	list_for_each_entry(mapping, &board->vmas, list)
		seq_printf(m, "pid %d: 0x%lx-0x%lx %s %u offset 0x%llx, %s as %s%s\n",
			   pid_vnr(mapping->pid), mapping->vma->vm_start, mapping->vma->vm_end,
			   mapping->mem ? "object" : "window", mapping->window, mapping->offset,
			   sluice_type_names[mapping->requested & 3],
			   sluice_type_names[mapping->effective & 3],
			   mapping->revoked ? ", taken back" : "");
	mutex_unlock(&board->vma_lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(mappings);

static int objects_show(struct seq_file *m, void *unused)
{
	sluice_slabs_show(m);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(objects);

void sluice_debugfs_init(void)
{
	sluice_debugfs_root = debugfs_create_dir("sluice", NULL);
	debugfs_create_file("objects", 0400, sluice_debugfs_root, NULL, &objects_fops);
}

void sluice_debugfs_exit(void)
{
	debugfs_remove(sluice_debugfs_root);
}

void sluice_debugfs_add(struct sluice_board *board)
{
	board->debugfs = debugfs_create_dir(board->node, sluice_debugfs_root);
	debugfs_create_file("mappings", 0400, board->debugfs, board, &mappings_fops);
	if (!board->sdi)
		return;
	debugfs_create_file("queues", 0400, board->debugfs, board, &queues_fops);
	debugfs_create_file("segments", 0400, board->debugfs, board, &segments_fops);
}

/* Waits for those who are reading. */
void sluice_debugfs_remove(struct sluice_board *board)
{
	debugfs_remove(board->debugfs);
}
