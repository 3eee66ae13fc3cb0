// SPDX-License-Identifier: GPL-2.0
/*
 * pci.c - PCI functions as boards.
 *
 * There is no ID table on purpose: a board is given to us by driver_override or
 * new_id, never taken. Bus mastering stays off, so the board's registers cannot
 * make it reach memory; hence no MSI (a memory write) but the INTx line.
 */
#include <linux/interrupt.h>
#include <linux/module.h>

#include "board.h"
#include "irq.h"
#include "pci.h"

static void sluice_pci_describe(struct sluice_board *board, struct sluice_info *info)
{
	struct pci_dev *pdev = to_pci_dev(board->parent);
	u16 command = 0;

	info->bus = SLUICE_BUS_PCI;
	info->vendor = pdev->vendor;
	info->device = pdev->device;
	info->subsystem_vendor = pdev->subsystem_vendor;
	info->subsystem_device = pdev->subsystem_device;
	info->class_revision = pdev->class << 8 | pdev->revision;
	/* From the function itself: an administrator may have changed it behind us. */
	pci_read_config_word(pdev, PCI_COMMAND, &command);
	if (command & PCI_COMMAND_MASTER)
		info->state |= SLUICE_STATE_BUS_MASTER;
}

static bool sluice_pci_present(struct sluice_board *board)
{
	return pci_device_is_present(to_pci_dev(board->parent));
}

static bool sluice_pci_irq_take(struct sluice_board *board)
{
	return pci_check_and_mask_intx(to_pci_dev(board->parent));
}

static bool sluice_pci_irq_unmask(struct sluice_board *board)
{
	return pci_check_and_unmask_intx(to_pci_dev(board->parent));
}

static void sluice_pci_irq_mask(struct sluice_board *board)
{
	pci_intx(to_pci_dev(board->parent), 0);
}

static const struct sluice_bus_ops sluice_pci_bus = {
	.describe = sluice_pci_describe,
	.present = sluice_pci_present,
	.irq_take = sluice_pci_irq_take,
	.irq_unmask = sluice_pci_irq_unmask,
	.irq_mask = sluice_pci_irq_mask,
};

/*
 * Which base address registers make windows. A function may have I/O ports that
 * its machine has no room for, beside memory that works: do without them.
 */
static int sluice_pci_usable_bars(struct pci_dev *pdev)
{
	int bars = 0;
	int bar;

	for (bar = 0; bar < PCI_STD_NUM_BARS; bar++) {
		unsigned long flags = pci_resource_flags(pdev, bar);

		if (pci_resource_len(pdev, bar) && !(flags & IORESOURCE_UNSET) &&
		    (flags & (IORESOURCE_MEM | IORESOURCE_IO)))
			bars |= BIT(bar);
	}
	return bars;
}

static bool sluice_pci_has_ports(struct pci_dev *pdev, int bars)
{
	return bars & pci_select_bars(pdev, IORESOURCE_IO);
}

/* Mappable means: whole pages in which nothing but this window can lie. */
static bool sluice_pci_can_map(struct pci_dev *pdev, struct sluice_win *win)
{
	struct resource *res = &pdev->resource[win->bar];

	if (!PAGE_ALIGNED(win->start))
		return false;
	if (PAGE_ALIGNED(win->length))
		return true;
	win->pad.name = "sluice (rest of page)";
	win->pad.flags = res->flags;
	win->pad.start = res->end + 1;
	win->pad.end = PAGE_ALIGN(res->end + 1) - 1;
	return !request_resource(res->parent, &win->pad);
}

static int sluice_pci_add_window(struct sluice_board *board, struct pci_dev *pdev, int bar)
{
	struct sluice_win *win = &board->windows[board->n_windows];
	unsigned long flags = pci_resource_flags(pdev, bar);

	win->bar = bar;
	win->start = pci_resource_start(pdev, bar);
	win->length = pci_resource_len(pdev, bar);
	win->caps = SLUICE_WINDOW_CAN_WRITE;
	if (flags & IORESOURCE_IO)
		win->kind = SLUICE_WINDOW_PORT;
	else if (flags & IORESOURCE_PREFETCH)
		win->kind = SLUICE_WINDOW_MEMORY;
	else
		win->kind = SLUICE_WINDOW_REGISTERS;

	if (win->kind != SLUICE_WINDOW_MEMORY) {
		win->base = pci_iomap(pdev, bar, 0);
		if (!win->base)
			return -ENOMEM;
	}
	if (win->kind != SLUICE_WINDOW_PORT && sluice_pci_can_map(pdev, win))
		win->caps |= SLUICE_WINDOW_CAN_MAP;
	board->n_windows++;
	return 0;
}

static void sluice_pci_remove_windows(struct sluice_board *board, struct pci_dev *pdev)
{
	while (board->n_windows) {
		struct sluice_win *win = &board->windows[--board->n_windows];

		if (win->pad.parent)
			release_resource(&win->pad);
		if (win->base)
			pci_iounmap(pdev, win->base);
	}
}

static int sluice_pci_add_windows(struct sluice_board *board, struct pci_dev *pdev, int bars)
{
	int bar, err;

	for (bar = 0; bar < PCI_STD_NUM_BARS; bar++) {
		if (!(bars & BIT(bar)))
			continue;
		err = sluice_pci_add_window(board, pdev, bar);
		if (err) {
			sluice_pci_remove_windows(board, pdev);
			return err;
		}
	}
	return 0;
}

/* No line, or one that cannot be masked in the function, is no reason not to bind. */
static void sluice_pci_connect_irq(struct sluice_board *board, struct pci_dev *pdev)
{
	int err;

	if (!pdev->pin || !pdev->irq || pdev->irq == IRQ_NOTCONNECTED)
		return;
	if (!pci_intx_mask_supported(pdev)) {
		pci_info(pdev, "INTx cannot be masked in the function: no interrupts\n");
		return;
	}
	err = sluice_irq_connect(board, pdev->irq);
	if (err)
		pci_warn(pdev, "no interrupts: IRQ %u: %d\n", pdev->irq, err);
}

static int sluice_pci_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct sluice_board *board;
	int bars, err;

	/* Without bus mastering a bridge cuts off everything behind it. */
	if (pdev->hdr_type != PCI_HEADER_TYPE_NORMAL) {
		pci_err(pdev, "not a board but a bridge\n");
		return -EINVAL;
	}
	board = sluice_board_alloc(&pdev->dev, &sluice_pci_bus);
	if (IS_ERR(board))
		return PTR_ERR(board);

	bars = sluice_pci_usable_bars(pdev);
	err = sluice_pci_has_ports(pdev, bars) ? pci_enable_device(pdev) :
						 pci_enable_device_mem(pdev);
	if (err)
		goto err_put;
	pci_clear_master(pdev);
	err = pci_request_selected_regions(pdev, bars, "sluice");
	if (err)
		goto err_disable;
	err = sluice_pci_add_windows(board, pdev, bars);
	if (err)
		goto err_regions;
	sluice_pci_connect_irq(board, pdev);
	pci_set_drvdata(pdev, board);
	err = sluice_board_register(board);
	if (err)
		goto err_irq;
	pci_info(pdev, "%s: plain board, %u window(s)%s\n", board->node, board->n_windows,
		 board->irq ? ", interrupt" : "");
	return 0;

err_irq:
	sluice_irq_disconnect(board);
	sluice_pci_remove_windows(board, pdev);
err_regions:
	pci_release_selected_regions(pdev, bars);
err_disable:
	pci_disable_device(pdev);
err_put:
	sluice_board_put(board);
	return err;
}

static void sluice_pci_remove(struct pci_dev *pdev)
{
	struct sluice_board *board = pci_get_drvdata(pdev);

	sluice_board_detach(board);
	sluice_irq_disconnect(board);
	sluice_pci_remove_windows(board, pdev);
	pci_release_selected_regions(pdev, sluice_pci_usable_bars(pdev));
	pci_disable_device(pdev);
	sluice_board_put(board);
}

static void sluice_pci_reset_prepare(struct pci_dev *pdev)
{
	sluice_board_reset_begin(pci_get_drvdata(pdev));
}

static void sluice_pci_reset_done(struct pci_dev *pdev)
{
	pci_clear_master(pdev);
	sluice_board_reset_end(pci_get_drvdata(pdev));
}

static const struct pci_error_handlers sluice_pci_errors = {
	.reset_prepare = sluice_pci_reset_prepare,
	.reset_done = sluice_pci_reset_done,
};

struct pci_driver sluice_pci_driver = {
	.name = "sluice",
	.probe = sluice_pci_probe,
	.remove = sluice_pci_remove,
	.err_handler = &sluice_pci_errors,
};
