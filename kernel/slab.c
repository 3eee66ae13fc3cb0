// SPDX-License-Identifier: GPL-2.0
/*
 * slab.c - memory of what files own and boards hold: a cache, and a count, for each kind.
 *
 * What programs can make us allocate is charged to them. The kernel may merge a cache
 * with others of its size, unless it is told slab_nomerge; the counts are ours anyway.
 */
#include <linux/bug.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "slab.h"

static struct sluice_slab *const sluice_slabs[] = {
	&sluice_board_slab,	  &sluice_exported_slab, &sluice_file_slab,  &sluice_grip_slab,
	&sluice_hwq_slab,	  &sluice_mapping_slab,	 &sluice_mem_slab,   &sluice_piece_slab,
	&sluice_queue_fence_slab, &sluice_range_slab,	 &sluice_waiting_slab,
};

int sluice_slabs_init(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sluice_slabs); i++) {
		struct sluice_slab *slab = sluice_slabs[i];

		slab->cache = kmem_cache_create(slab->name, slab->size, slab->align, SLAB_ACCOUNT,
						NULL);
		if (!slab->cache) {
			sluice_slabs_exit();
			return -ENOMEM;
		}
	}
	return 0;
}

/* Nobody can reach an object any more. The kernel names those that are left in a cache. */
void sluice_slabs_exit(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sluice_slabs); i++) {
		struct sluice_slab *slab = sluice_slabs[i];
		long n = atomic_long_read(&slab->n_live);

		WARN(n, "sluice: %ld left of %s\n", n, slab->name);
		kmem_cache_destroy(slab->cache);
		slab->cache = NULL;
	}
}

void sluice_slabs_show(struct seq_file *m)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sluice_slabs); i++)
		seq_printf(m, "%s %ld\n", sluice_slabs[i]->name,
			   atomic_long_read(&sluice_slabs[i]->n_live));
}

/* An object of zeroes, or NULL. May sleep. */
void *sluice_slab_alloc(struct sluice_slab *slab)
{
	void *object = kmem_cache_zalloc(slab->cache, GFP_KERNEL);

	if (object)
		atomic_long_inc(&slab->n_live);
	return object;
}

/* @object may be NULL. */
void sluice_slab_free(struct sluice_slab *slab, void *object)
{
	if (!object)
		return;
	kmem_cache_free(slab->cache, object);
	atomic_long_dec(&slab->n_live);
}
