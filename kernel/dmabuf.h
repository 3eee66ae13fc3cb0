/* SPDX-License-Identifier: GPL-2.0 */
/*
 * dmabuf.h - memory objects as dma-bufs, and dma-bufs as memory objects.
 */
#ifndef SLUICE_DMABUF_H
#define SLUICE_DMABUF_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/types.h>

struct sluice_board;
struct sluice_export;
struct sluice_file;
struct sluice_import;
struct sluice_mem;

/**
 * struct sluice_exports - the device memory of a board that others have
 * @lock: protects @list
 * @list: struct sluice_exported
 * @pin_lock: protects what follows
 * @n_pinned: mappings of it that other devices have
 * @barred: no new ones: a reset is on its way
 */
struct sluice_exports {
	struct mutex lock;
	struct list_head list;
	spinlock_t pin_lock;
	u32 n_pinned;
	bool barred;
};

void sluice_exports_init(struct sluice_exports *exports);
int sluice_exports_bar(struct sluice_exports *exports, bool force);
void sluice_exports_unbar(struct sluice_exports *exports);
void sluice_exports_moved(struct sluice_exports *exports);

int sluice_dmabuf_export(struct sluice_file *sf, struct sluice_export *arg);
int sluice_dmabuf_import(struct sluice_file *sf, struct sluice_import *arg);
void sluice_dmabuf_let_go(struct sluice_mem *mem);

#endif /* SLUICE_DMABUF_H */
