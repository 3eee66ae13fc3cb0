/* SPDX-License-Identifier: GPL-2.0 */
/*
 * slab.h - memory of what files own and boards hold: a cache, and a count, for each kind.
 *
 * All of it is freed before the module may go, and each cache says so at the end if not.
 */
#ifndef SLUICE_SLAB_H
#define SLUICE_SLAB_H

#include <linux/atomic.h>
#include <linux/types.h>

struct kmem_cache;
struct seq_file;

/**
 * struct sluice_slab - where objects of one kind come from
 * @name: of the cache
 * @size: of an object
 * @align: of an object
 * @cache: once the module is loaded
 * @n_live: objects that are not freed
 */
struct sluice_slab {
	const char *name;
	unsigned int size;
	unsigned int align;
	struct kmem_cache *cache;
	atomic_long_t n_live;
};

/* Beside the definition of the struct, or in the file that makes them. */
#define SLUICE_SLAB(tag)					\
	struct sluice_slab tag##_slab = {			\
		.name = #tag,					\
		.size = sizeof(struct tag),			\
		.align = __alignof__(struct tag),		\
	}

extern struct sluice_slab sluice_board_slab;
extern struct sluice_slab sluice_exported_slab;
extern struct sluice_slab sluice_file_slab;
extern struct sluice_slab sluice_grip_slab;
extern struct sluice_slab sluice_hwq_slab;
extern struct sluice_slab sluice_mapping_slab;
extern struct sluice_slab sluice_mem_slab;
extern struct sluice_slab sluice_piece_slab;
extern struct sluice_slab sluice_queue_fence_slab;
extern struct sluice_slab sluice_range_slab;
extern struct sluice_slab sluice_waiting_slab;

int sluice_slabs_init(void);
void sluice_slabs_exit(void);
void sluice_slabs_show(struct seq_file *m);

void *sluice_slab_alloc(struct sluice_slab *slab);
void sluice_slab_free(struct sluice_slab *slab, void *object);

#endif /* SLUICE_SLAB_H */
