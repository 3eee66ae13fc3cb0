// SPDX-License-Identifier: GPL-2.0
/*
 * pci.c - PCI functions as boards.
 *
 * A plain board is given to us by driver_override or new_id, never taken. Its bus
 * mastering stays off, so that its registers cannot make it reach memory; hence no
 * MSI (a memory write) but the INTx line. Boards of the table below are taken,
 * but only if the Device Interface answers where the table says.
 */
#include <linux/interrupt.h>
#include <linux/module.h>

#include "board.h"
#include "compat.h"
#include "irq.h"
#include "pci.h"
#include "sdi.h"
#include "window.h"

/* Of SLUICE_PCI_NONE there is none. */
#define SLUICE_PCI_NONE (-1)

/**
 * struct sluice_pci_layout - where a kind of board has its Device Interface
 * @vendor: PCI vendor id
 * @device: PCI device id
 * @bar: with the register window
 * @offset: of it
 * @memory_bar: with device memory; SLUICE_PCI_NONE: behind the registers
 * @notify_bar: with the notify register, or SLUICE_PCI_NONE
 * @notify_offset: of it
 */
struct sluice_pci_layout {
	u16 vendor;
	u16 device;
	int bar;
	u64 offset;
	int memory_bar;
	int notify_bar;
	u64 notify_offset;
};

/* To add a board: a line here, one in the table of IDs, and two in that of matches. */
static const struct sluice_pci_layout sluice_pci_layouts[] = {
	/* ivshmem-doorbell with a board's process behind it; its BAR 0 is never mapped to users */
	{ 0x1af4, 0x1110, 2, 0, SLUICE_PCI_NONE, 0, 12 },
};

static const struct pci_device_id sluice_pci_ids[] = {
	{ PCI_DEVICE(0x1af4, 0x1110) },
	{ }
};
MODULE_DEVICE_TABLE(pci, sluice_pci_ids);

/*
 * What a function is matched with: the first entry only where its driver_override names us, which
 * is how we know. Not of the table above, where it would be an alias of the module's for others.
 */
#define SLUICE_PCI_ASKED_FOR 1
static const struct pci_device_id sluice_pci_matches[] = {
	{ PCI_DEVICE_DRIVER_OVERRIDE(0x1af4, 0x1110, 1), .driver_data = SLUICE_PCI_ASKED_FOR },
	{ PCI_DEVICE(0x1af4, 0x1110) },
	{ }
};

static bool sluice_pci_is_master(struct sluice_board *board)
{
	u16 command = 0;

	pci_read_config_word(to_pci_dev(board->parent), PCI_COMMAND, &command);
	return command & PCI_COMMAND_MASTER;
}

static void sluice_pci_describe(struct sluice_board *board, struct sluice_info *info)
{
	struct pci_dev *pdev = to_pci_dev(board->parent);

	info->bus = SLUICE_BUS_PCI;
	info->vendor = pdev->vendor;
	info->device = pdev->device;
	info->subsystem_vendor = pdev->subsystem_vendor;
	info->subsystem_device = pdev->subsystem_device;
	info->class_revision = pdev->class << 8 | pdev->revision;
	/* From the function itself: an administrator may have changed it behind us. */
	if (sluice_pci_is_master(board))
		info->state |= SLUICE_STATE_BUS_MASTER;
}

static bool sluice_pci_present(struct sluice_board *board)
{
	return pci_device_is_present(to_pci_dev(board->parent));
}

static void sluice_pci_set_master(struct sluice_board *board, bool on)
{
	if (on)
		pci_set_master(to_pci_dev(board->parent));
	else
		pci_clear_master(to_pci_dev(board->parent));
}

/* The device lock keeps the driver bound; who unbinds it has it already. */
static int sluice_pci_reset(struct sluice_board *board)
{
	struct pci_dev *pdev = to_pci_dev(board->parent);
	int err;

	if (!device_trylock(&pdev->dev))
		return -EBUSY;
	if (READ_ONCE(board->state) == SLUICE_BOARD_GONE)
		err = -ENODEV;
	else
		err = pci_reset_function_locked(pdev);
	device_unlock(&pdev->dev);
	return err == -ENOTTY ? -EOPNOTSUPP : err;
}

static int sluice_pci_vectors_get(struct sluice_board *board, unsigned int most, bool each)
{
	struct pci_dev *pdev = to_pci_dev(board->parent);

	if (!each && (!pdev->pin || !pdev->irq || pdev->irq == IRQ_NOTCONNECTED))
		return -ENXIO;
	return pci_alloc_irq_vectors(pdev, 1, each ? most : 1,
				     each ? PCI_IRQ_MSIX : PCI_IRQ_INTX);
}

static int sluice_pci_vector(struct sluice_board *board, unsigned int index)
{
	return pci_irq_vector(to_pci_dev(board->parent), index);
}

static void sluice_pci_vectors_put(struct sluice_board *board)
{
	pci_free_irq_vectors(to_pci_dev(board->parent));
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
	.is_master = sluice_pci_is_master,
	.set_master = sluice_pci_set_master,
	.reset = sluice_pci_reset,
	.vectors_get = sluice_pci_vectors_get,
	.vector = sluice_pci_vector,
	.vectors_put = sluice_pci_vectors_put,
	.irq_flags = IRQF_SHARED,
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

static int sluice_pci_add_windows(struct sluice_board *board, struct pci_dev *pdev, int bars)
{
	int bar, err;

	for (bar = 0; bar < PCI_STD_NUM_BARS; bar++) {
		if (!(bars & BIT(bar)))
			continue;
		err = sluice_window_add(board, &pdev->resource[bar], bar);
		if (err) {
			sluice_windows_remove(board);
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

/* Where the Device Interface would be, if the function is of a kind that has it. */
static bool sluice_pci_place(struct pci_dev *pdev, int bars, struct sluice_sdi_place *place)
{
	const struct sluice_pci_layout *layout = NULL;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sluice_pci_layouts); i++)
		if (sluice_pci_layouts[i].vendor == pdev->vendor &&
		    sluice_pci_layouts[i].device == pdev->device)
			layout = &sluice_pci_layouts[i];
	if (!layout || !(bars & BIT(layout->bar)) ||
	    pci_resource_len(pdev, layout->bar) <= layout->offset)
		return false;
	*place = (struct sluice_sdi_place){
		.registers = pci_resource_start(pdev, layout->bar) + layout->offset,
		.registers_length = pci_resource_len(pdev, layout->bar) - layout->offset,
		.bar = layout->bar,
		.memory_bar = layout->bar,
	};
	if (!PAGE_ALIGNED(place->registers))
		return false;
	if (layout->memory_bar != SLUICE_PCI_NONE) {
		place->memory_bar = layout->memory_bar;
		place->memory = pci_resource_start(pdev, layout->memory_bar);
		place->memory_length = pci_resource_len(pdev, layout->memory_bar);
	}
	if (layout->notify_bar != SLUICE_PCI_NONE)
		place->notify = pci_resource_start(pdev, layout->notify_bar) +
				layout->notify_offset;
	return sluice_sdi_is_there(place);
}

static int sluice_pci_start_plain(struct sluice_board *board, struct pci_dev *pdev, int bars)
{
	int err = sluice_pci_add_windows(board, pdev, bars);

	if (!err)
		sluice_pci_connect_irq(board, pdev);
	return err;
}

/* Makes the board, once the function's registers can be reached. */
static int sluice_pci_bind(struct pci_dev *pdev, int bars, bool asked_for)
{
	struct sluice_sdi_place place;
	struct sluice_board *board;
	bool sdi = sluice_pci_place(pdev, bars, &place);
	int err;

	/* One of the table's without the magic is somebody else's, unless we are told. */
	if (!sdi && pci_match_id(sluice_pci_ids, pdev) && !asked_for)
		return -ENODEV;
	board = sluice_board_alloc(&pdev->dev, &sluice_pci_bus);
	if (IS_ERR(board))
		return PTR_ERR(board);
	err = sdi ? sluice_board_start_sdi(board, &place) :
		    sluice_pci_start_plain(board, pdev, bars);
	if (!err) {
		pci_set_drvdata(pdev, board);
		err = sluice_board_go(board);
	}
	if (err)
		sluice_board_put(board);
	return err;
}

static int sluice_pci_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	int bars, err;

	/* Without bus mastering a bridge cuts off everything behind it. */
	if (pdev->hdr_type != PCI_HEADER_TYPE_NORMAL) {
		pci_err(pdev, "not a board but a bridge\n");
		return -EINVAL;
	}
	bars = sluice_pci_usable_bars(pdev);
	err = sluice_pci_has_ports(pdev, bars) ? pci_enable_device(pdev) :
						 pci_enable_device_mem(pdev);
	if (err)
		return err;
	pci_clear_master(pdev);
	err = pci_request_selected_regions(pdev, bars, "sluice");
	if (err)
		goto err_disable;
	err = sluice_pci_bind(pdev, bars, id->driver_data & SLUICE_PCI_ASKED_FOR);
	if (err)
		goto err_regions;
	return 0;

err_regions:
	pci_release_selected_regions(pdev, bars);
err_disable:
	pci_disable_device(pdev);
	return err;
}

static void sluice_pci_remove(struct pci_dev *pdev)
{
	struct sluice_board *board = pci_get_drvdata(pdev);

	sluice_board_detach(board);
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
	pci_clear_master(pdev);	/* the state before the reset was restored, this, too */
	sluice_board_reset_end(pci_get_drvdata(pdev));
}

static const struct pci_error_handlers sluice_pci_errors = {
	.reset_prepare = sluice_pci_reset_prepare,
	.reset_done = sluice_pci_reset_done,
};

struct pci_driver sluice_pci_driver = {
	.name = "sluice",
	.id_table = sluice_pci_matches,
	.probe = sluice_pci_probe,
	.remove = sluice_pci_remove,
	.err_handler = &sluice_pci_errors,
};
