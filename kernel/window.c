// SPDX-License-Identifier: GPL-2.0
/*
 * window.c - the windows of a plain board, whatever its bus.
 *
 * A window is a range of I/O memory or ports that the bus part has claimed for the
 * board. The kernel maps registers as a whole, device memory never: its memory
 * type would be everybody's.
 */
#include <linux/io.h>
#include <linux/ioport.h>
#include <linux/mm.h>

#include "board.h"
#include "window.h"

/* Mappable means: whole pages in which nothing but this window can lie. */
static bool sluice_window_can_map(struct sluice_win *win, const struct resource *range)
{
	if (!PAGE_ALIGNED(win->start))
		return false;
	if (PAGE_ALIGNED(win->length))
		return true;
	win->pad.name = "sluice (rest of page)";
	win->pad.flags = range->flags & ~IORESOURCE_BUSY;
	win->pad.start = range->end + 1;
	win->pad.end = PAGE_ALIGN(range->end + 1) - 1;
	return !request_resource(range->parent, &win->pad);
}

static int sluice_window_map(struct sluice_win *win)
{
	if (win->kind == SLUICE_WINDOW_PORT)
		win->base = ioport_map(win->start, win->length);
	else if (win->kind == SLUICE_WINDOW_REGISTERS)
		win->base = ioremap(win->start, win->length);
	else
		return 0;
	return win->base ? 0 : -ENOMEM;
}

/**
 * sluice_window_add - give a board its next window
 * @board: not yet registered
 * @range: claimed for it, in its place in the resource tree
 * @number: of the base address register or resource, for SLUICE_IOC_WINDOW
 *
 * Return: 0 or a negative error.
 */
int sluice_window_add(struct sluice_board *board, const struct resource *range, u32 number)
{
	struct sluice_win *win = &board->windows[board->n_windows];
	int err;

	*win = (struct sluice_win){
		.caps = SLUICE_WINDOW_CAN_WRITE,
		.bar = number,
		.start = range->start,
		.length = resource_size(range),
	};
	if (range->flags & IORESOURCE_IO)
		win->kind = SLUICE_WINDOW_PORT;
	else if (range->flags & IORESOURCE_PREFETCH)
		win->kind = SLUICE_WINDOW_MEMORY;
	else
		win->kind = SLUICE_WINDOW_REGISTERS;
	err = sluice_window_map(win);
	if (err)
		return err;
	if (win->kind != SLUICE_WINDOW_PORT && sluice_window_can_map(win, range))
		win->caps |= SLUICE_WINDOW_CAN_MAP;
	board->n_windows++;
	return 0;
}

/* The windows of a board that nobody uses any more, or does not use yet. */
void sluice_windows_remove(struct sluice_board *board)
{
	while (board->n_windows) {
		struct sluice_win *win = &board->windows[--board->n_windows];

		if (win->pad.parent)
			release_resource(&win->pad);
		if (!win->base)
			continue;
		if (win->kind == SLUICE_WINDOW_PORT)
			ioport_unmap(win->base);
		else
			iounmap(win->base);
	}
}
