/* SPDX-License-Identifier: GPL-2.0 */
/*
 * cookie.h - what a file may map, and the offsets that stand for it.
 */
#ifndef SLUICE_COOKIE_H
#define SLUICE_COOKIE_H

#include <linux/list.h>
#include <linux/types.h>

struct sluice_file;
struct sluice_map;
struct sluice_mem;

/**
 * struct sluice_range - a range that a file may map
 * @list: in sluice_file.ranges
 * @mem: the object, referenced, or NULL: a window
 * @window: index of the window, or handle of the object
 * @type: SLUICE_MAP_*, never NATIVE
 * @read_only: whatever the file is open for
 * @offset: from the start of the window or object, page-aligned
 * @n_pages: length
 * @first_page: where its cookies begin in the file's offset space
 */
struct sluice_range {
	struct list_head list;
	struct sluice_mem *mem;
	u32 window;
	u32 type;
	bool read_only;
	u64 offset;
	u64 n_pages;
	u64 first_page;
};

int sluice_cookie_get(struct sluice_file *sf, struct sluice_map *arg);
int sluice_cookie_add(struct sluice_file *sf, struct sluice_mem *mem, u32 handle, bool read_only,
		      u64 *ret_cookie);
int sluice_cookie_find(struct sluice_file *sf, u64 page, u64 n_pages, struct sluice_range *ret);
void sluice_cookies_drop(struct sluice_file *sf, struct sluice_mem *mem);

#endif /* SLUICE_COOKIE_H */
