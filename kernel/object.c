// SPDX-License-Identifier: GPL-2.0
/*
 * object.c - handles: numbers above 0 that mean something to one file.
 */
#include <linux/sched.h>
#include <linux/xarray.h>

#include "board.h"
#include "buffer.h"
#include "cookie.h"
#include "file.h"
#include "object.h"
#include "queue.h"
#include "segment.h"

/* Bounds what one file can make us keep, as the number of cookies does. */
#define SLUICE_MAX_OBJECTS 65535

void sluice_object_init(struct sluice_object *object, enum sluice_object_kind kind,
			void (*release)(struct sluice_object *object))
{
	kref_init(&object->ref);
	object->kind = kind;
	object->release = release;
}

static void sluice_object_release(struct kref *ref)
{
	struct sluice_object *object = container_of(ref, struct sluice_object, ref);

	object->release(object);
}

void sluice_object_put(struct sluice_object *object)
{
	if (object)
		kref_put(&object->ref, sluice_object_release);
}

void sluice_objects_init(struct sluice_file *sf)
{
	xa_init_flags(&sf->objects, XA_FLAGS_ALLOC1);
}

/**
 * sluice_object_add - give an object a handle
 * @sf: its file
 * @object: whose reference of the caller becomes the handle's
 * @ret_handle: the handle
 *
 * Return: 0, -ENOSPC if the file has too many, -ENOMEM.
 */
int sluice_object_add(struct sluice_file *sf, struct sluice_object *object, u32 *ret_handle)
{
	int err = xa_alloc(&sf->objects, ret_handle, object, XA_LIMIT(1, SLUICE_MAX_OBJECTS),
			   GFP_KERNEL_ACCOUNT);

	return err == -EBUSY ? -ENOSPC : err;
}

/* The object with that handle, referenced, or NULL if there is none of that kind. */
struct sluice_object *sluice_object_get(struct sluice_file *sf, u32 handle,
					enum sluice_object_kind kind)
{
	struct sluice_object *object;

	xa_lock(&sf->objects);
	object = xa_load(&sf->objects, handle);
	if (object && object->kind == kind)
		kref_get(&object->ref);
	else
		object = NULL;
	xa_unlock(&sf->objects);
	return object;
}

/* Its handle is gone: take it out of everything that the file can still reach it by. */
static void sluice_object_retire(struct sluice_file *sf, struct sluice_object *object)
{
	if (object->kind == SLUICE_OBJECT_QUEUE) {
		sluice_queue_retire(sf, container_of(object, struct sluice_hwq, object));
	} else {
		struct sluice_mem *mem = container_of(object, struct sluice_mem, object);

		sluice_cookies_drop(sf, mem);
		sluice_segments_drop(sf, mem);
	}
	sluice_object_put(object);
}

int sluice_object_free(struct sluice_file *sf, struct sluice_free *arg)
{
	struct sluice_object *object;
	int err;

	if (arg->reserved0)
		return -EINVAL;
	/* A board that does not answer is no reason to keep its memory. */
	err = sluice_board_hold(sf->board);
	if (err)
		return err;
	sluice_board_leave(sf->board);
	object = xa_erase(&sf->objects, arg->handle);
	if (!object)
		return -ENOENT;
	sluice_object_retire(sf, object);
	return 0;
}

/* The file is closed. Queues first: they are what keeps the board at the memory. */
void sluice_objects_drop(struct sluice_file *sf)
{
	struct sluice_object *object;
	unsigned long handle;

	xa_for_each(&sf->objects, handle, object) {
		if (object->kind == SLUICE_OBJECT_QUEUE) {
			xa_erase(&sf->objects, handle);
			sluice_object_retire(sf, object);
		}
	}
	xa_for_each(&sf->objects, handle, object) {
		xa_erase(&sf->objects, handle);
		sluice_object_put(object);
		cond_resched();
	}
	xa_destroy(&sf->objects);
}
