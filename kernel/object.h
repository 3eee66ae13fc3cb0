/* SPDX-License-Identifier: GPL-2.0 */
/*
 * object.h - what a file can own: memory and queues, by handle.
 *
 * An object is referenced by its handle, and by everything that still needs it:
 * mappings, cookies, segments, calls in progress.
 */
#ifndef SLUICE_OBJECT_H
#define SLUICE_OBJECT_H

#include <linux/kref.h>
#include <linux/types.h>

struct sluice_file;
struct sluice_free;

enum sluice_object_kind {
	SLUICE_OBJECT_MEM,
	SLUICE_OBJECT_QUEUE,
};

/**
 * struct sluice_object - first member of everything that has a handle
 * @ref: references
 * @kind: what it is a member of
 * @release: frees it
 */
struct sluice_object {
	struct kref ref;
	enum sluice_object_kind kind;
	void (*release)(struct sluice_object *object);
};

void sluice_object_init(struct sluice_object *object, enum sluice_object_kind kind,
			void (*release)(struct sluice_object *object));
void sluice_object_put(struct sluice_object *object);

void sluice_objects_init(struct sluice_file *sf);
int sluice_object_add(struct sluice_file *sf, struct sluice_object *object, u32 *ret_handle);
struct sluice_object *sluice_object_get(struct sluice_file *sf, u32 handle,
					enum sluice_object_kind kind);
int sluice_object_free(struct sluice_file *sf, struct sluice_free *arg);
void sluice_objects_drop(struct sluice_file *sf);

#endif /* SLUICE_OBJECT_H */
