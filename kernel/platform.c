// SPDX-License-Identifier: GPL-2.0
/*
 * platform.c - boards that are part of the machine: no bus that could be asked, but a
 * device tree, or an administrator who says where they are.
 *
 * Every range is claimed before it is touched, and memory is never taken. A
 * platform device has no switch for its bus mastering: a plain board is not given
 * memory, and one with the Device Interface is reset before it is let go.
 */
#include <linux/capability.h>
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/kstrtox.h>
#include <linux/mod_devicetable.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/property.h>
#include <linux/security.h>
#include <linux/string.h>

#include "board.h"
#include "compat.h"
#include "irq.h"
#include "phys.h"
#include "platform.h"
#include "sdi.h"
#include "window.h"

/* What the devices of plain= are called: "sluice-plain.0" is the first entry. */
#define SLUICE_PLAIN_NAME "sluice-plain"
#define SLUICE_MAX_PLAIN 16

static char *plain[SLUICE_MAX_PLAIN];
static unsigned int n_plain;
/* A hardware parameter: the kernel itself refuses it under lockdown. */
module_param_hw_array(plain, charp, iomem, &n_plain, 0400);
MODULE_PARM_DESC(plain, "Ranges of device registers to be plain boards: <address>:<length>[,...]");

static struct platform_device *sluice_plain_devices[SLUICE_MAX_PLAIN];

/**
 * struct sluice_range_of_plain - where the board of a plain= entry is
 * @start: physical address
 * @length: bytes
 */
struct sluice_range_of_plain {
	u64 start;
	u64 length;
};

/**
 * struct sluice_platform - what a bound platform device needs
 * @board: of it
 * @claims: its ranges of memory
 * @n_claims: their number
 * @master: what was said last; nothing switches it in hardware
 * @irq_off: the line is disabled in the interrupt controller (board's irq_lock)
 */
struct sluice_platform {
	struct sluice_board *board;
	struct resource *claims[SLUICE_MAX_WINDOWS];
	u32 n_claims;
	bool master;
	bool irq_off;
};

static struct sluice_platform *sluice_platform_of(struct sluice_board *board)
{
	return dev_get_drvdata(board->parent);
}

static void sluice_platform_describe(struct sluice_board *board, struct sluice_info *info)
{
	info->bus = SLUICE_BUS_PLATFORM;
	if (sluice_platform_of(board)->master)
		info->state |= SLUICE_STATE_BUS_MASTER;
}

/* Nobody can pull it out, and all ones is what it says then. */
static bool sluice_platform_present(struct sluice_board *board)
{
	return true;
}

static bool sluice_platform_is_master(struct sluice_board *board)
{
	return sluice_platform_of(board)->master;
}

static void sluice_platform_set_master(struct sluice_board *board, bool on)
{
	sluice_platform_of(board)->master = on;
}

static int sluice_platform_reset(struct sluice_board *board)
{
	return -EOPNOTSUPP;
}

/*
 * A line for each vector only if all of them are edges: nothing takes a level back
 * but irq_seen, which is all vectors' at once.
 */
static int sluice_platform_vectors_get(struct sluice_board *board, unsigned int most, bool each)
{
	struct platform_device *pdev = to_platform_device(board->parent);
	int n = min_t(int, platform_irq_count(pdev), each ? most : 1);
	int i;

	if (n <= 0)
		return n ? n : -ENXIO;
	for (i = 0; i < n; i++) {
		int irq = board->bus->vector(board, i);

		if (irq < 0)
			return irq;
		if (each && irq_get_trigger_type(irq) & IRQ_TYPE_LEVEL_MASK)
			return -ENXIO;
	}
	return n;
}

/* By its name, "vector0" and so on, or, where none is named so, by its place. */
static int sluice_platform_vector(struct sluice_board *board, unsigned int index)
{
	struct platform_device *pdev = to_platform_device(board->parent);
	char name[16];
	int irq;

	snprintf(name, sizeof(name), "vector%u", index);
	irq = platform_get_irq_byname_optional(pdev, name);
	return irq > 0 ? irq : platform_get_irq_optional(pdev, index);
}

static void sluice_platform_vectors_put(struct sluice_board *board)
{
}

/* The board's own line can be masked in the interrupt controller alone; hence it is not shared. */
static void sluice_platform_irq_mask(struct sluice_board *board)
{
	struct sluice_platform *platform = sluice_platform_of(board);

	if (platform->irq_off)
		return;
	platform->irq_off = true;
	disable_irq_nosync(board->irq);
}

static bool sluice_platform_irq_take(struct sluice_board *board)
{
	sluice_platform_irq_mask(board);
	return true;
}

/* What the board asks for already comes at once, as an interrupt like any other. */
static bool sluice_platform_irq_unmask(struct sluice_board *board)
{
	struct sluice_platform *platform = sluice_platform_of(board);

	if (platform->irq_off) {
		platform->irq_off = false;
		enable_irq(board->irq);
	}
	return true;
}

static const struct sluice_bus_ops sluice_platform_bus = {
	.describe = sluice_platform_describe,
	.present = sluice_platform_present,
	.is_master = sluice_platform_is_master,
	.set_master = sluice_platform_set_master,
	.reset = sluice_platform_reset,
	.vectors_get = sluice_platform_vectors_get,
	.vector = sluice_platform_vector,
	.vectors_put = sluice_platform_vectors_put,
	.irq_flags = IRQF_NO_AUTOEN,
	.irq_take = sluice_platform_irq_take,
	.irq_unmask = sluice_platform_irq_unmask,
	.irq_mask = sluice_platform_irq_mask,
};

/* --- a device ------------------------------------------------------------------------------ */

static int sluice_platform_claim(struct platform_device *pdev, struct sluice_platform *platform,
				 u64 start, u64 length)
{
	struct resource *claim;
	int err;

	if (platform->n_claims == ARRAY_SIZE(platform->claims)) {
		dev_err(&pdev->dev, "more than %u ranges of registers\n", SLUICE_MAX_WINDOWS);
		return -E2BIG;
	}
	err = sluice_phys_range(start, length);
	if (err) {
		dev_err(&pdev->dev, "0x%llx bytes at 0x%llx: %s\n", length, start,
			err == -EACCES ? "memory, not registers" : "no such addresses");
		return err;
	}
	claim = devm_request_mem_region(&pdev->dev, start, length, "sluice");
	if (!claim) {
		dev_err(&pdev->dev, "0x%llx bytes at 0x%llx are in use: see /proc/iomem\n", length,
			start);
		return -EBUSY;
	}
	platform->claims[platform->n_claims++] = claim;
	return 0;
}

/* The ranges of the entry of plain= that made the device, or of whatever else describes it. */
static int sluice_platform_claim_all(struct platform_device *pdev,
				     struct sluice_platform *platform)
{
	const struct sluice_range_of_plain *range = dev_get_platdata(&pdev->dev);
	const struct resource *resource;
	int err = 0;
	u32 i;

	if (!strcmp(pdev->name, SLUICE_PLAIN_NAME))
		return sluice_platform_claim(pdev, platform, range->start, range->length);
	for (i = 0; !err && (resource = platform_get_resource(pdev, IORESOURCE_MEM, i)); i++)
		err = sluice_platform_claim(pdev, platform, resource->start,
					    resource_size(resource));
	if (!err && !i) {
		dev_err(&pdev->dev, "no registers\n");
		return -ENXIO;
	}
	return err;
}

/* The first range has the registers; the second device memory, if it is not behind them. */
static int sluice_platform_start_sdi(struct sluice_platform *platform)
{
	const struct resource *registers = platform->claims[0], *memory = platform->claims[1];
	struct sluice_sdi_place place = {
		.registers = registers->start,
		.registers_length = resource_size(registers),
		.notify = registers->start + SLUICE_SDI_PAGE_NOTIFY * SLUICE_SDI_PAGE_SIZE,
	};

	if (memory) {
		place.memory = memory->start;
		place.memory_length = resource_size(memory);
		place.memory_bar = 1;
	}
	if (!PAGE_ALIGNED(place.registers) || !sluice_sdi_is_there(&place)) {
		dev_err(platform->board->parent, "no Device Interface at 0x%llx\n",
			(u64)place.registers);
		return -ENODEV;
	}
	return sluice_board_start_sdi(platform->board, &place);
}

/* No line is no reason not to bind. */
static void sluice_platform_connect_irq(struct platform_device *pdev,
					struct sluice_platform *platform)
{
	int irq = platform_get_irq_optional(pdev, 0);
	int err;

	if (irq <= 0)
		return;
	/* A level that the board holds would come back before the controller is told. */
	if (irq_get_trigger_type(irq) & IRQ_TYPE_LEVEL_MASK)
		irq_set_status_flags(irq, IRQ_DISABLE_UNLAZY);
	platform->irq_off = true;
	err = sluice_irq_connect(platform->board, irq);
	if (err)
		dev_warn(&pdev->dev, "no interrupts: IRQ %d: %d\n", irq, err);
}

static int sluice_platform_start_plain(struct platform_device *pdev,
				       struct sluice_platform *platform)
{
	u32 i;

	for (i = 0; i < platform->n_claims; i++) {
		int err = sluice_window_add(platform->board, platform->claims[i], i);

		if (err) {
			sluice_windows_remove(platform->board);
			return err;
		}
	}
	sluice_platform_connect_irq(pdev, platform);
	return 0;
}

static int sluice_platform_probe(struct platform_device *pdev)
{
	struct sluice_platform *platform = devm_kzalloc(&pdev->dev, sizeof(*platform), GFP_KERNEL);
	int err;

	if (!platform)
		return -ENOMEM;
	/* The interrupt controller may still be to come. */
	if (platform_get_irq_optional(pdev, 0) == -EPROBE_DEFER)
		return -EPROBE_DEFER;
	err = sluice_platform_claim_all(pdev, platform);
	if (err)
		return err;
	platform->board = sluice_board_alloc(&pdev->dev, &sluice_platform_bus);
	if (IS_ERR(platform->board))
		return PTR_ERR(platform->board);
	platform_set_drvdata(pdev, platform);
	err = device_get_match_data(&pdev->dev) ? sluice_platform_start_sdi(platform) :
						  sluice_platform_start_plain(pdev, platform);
	if (!err)
		err = sluice_board_go(platform->board);
	if (err) {
		platform_set_drvdata(pdev, NULL);
		sluice_board_put(platform->board);
	}
	return err;
}

static SLUICE_REMOVE_TYPE sluice_platform_remove(struct platform_device *pdev)
{
	struct sluice_platform *platform = platform_get_drvdata(pdev);

	sluice_board_detach(platform->board);
	sluice_board_put(platform->board);
	return SLUICE_REMOVED;
}

/* Boards that have something for data have the Device Interface; all others are plain. */
static const struct of_device_id sluice_platform_compatible[] = {
	{ .compatible = "sluice,plain-board" },
	{ .compatible = "sluice,sdi-board", .data = &sluice_platform_bus },
	{ }
};
MODULE_DEVICE_TABLE(of, sluice_platform_compatible);

static const struct platform_device_id sluice_platform_ids[] = {
	{ .name = SLUICE_PLAIN_NAME },
	{ }
};

static struct platform_driver sluice_platform_driver = {
	.probe = sluice_platform_probe,
	.remove = sluice_platform_remove,
	.id_table = sluice_platform_ids,
	.driver = {
		.name = "sluice",
		.of_match_table = sluice_platform_compatible,
		/* What comes of an entry of plain= is asked for when it has been added. */
		.probe_type = PROBE_FORCE_SYNCHRONOUS,
	},
};

/* --- the module parameter ------------------------------------------------------------------ */

/* "0x10000000:4096": both in any base that C knows. An access has to be aligned on the bus, too. */
static bool sluice_plain_parse(char *text, struct sluice_range_of_plain *range)
{
	char *colon = strchr(text, ':');
	bool good;

	if (!colon)
		return false;
	*colon = '\0';
	good = !kstrtou64(text, 0, &range->start) && !kstrtou64(colon + 1, 0, &range->length);
	*colon = ':';
	return good && range->length && range->start % sizeof(u64) == 0;
}

static int sluice_plain_add(unsigned int i)
{
	struct sluice_range_of_plain range;
	struct platform_device *pdev;

	if (!sluice_plain_parse(plain[i], &range)) {
		pr_err("sluice: plain: entry %u, '%s': expected <address>:<length>, the address a multiple of 8\n",
		       i, plain[i]);
		return -EINVAL;
	}
	pdev = platform_device_register_data(NULL, SLUICE_PLAIN_NAME, i, &range, sizeof(range));
	if (IS_ERR(pdev))
		return PTR_ERR(pdev);
	sluice_plain_devices[i] = pdev;
	if (platform_get_drvdata(pdev))
		return 0;
	/* Why is what probing has just said. */
	pr_err("sluice: plain: entry %u, '%s': refused\n", i, plain[i]);
	return sluice_phys_range(range.start, range.length) ?: -EBUSY;
}

static void sluice_plain_remove_all(void)
{
	unsigned int i = n_plain;

	while (i--) {
		platform_device_unregister(sluice_plain_devices[i]);
		sluice_plain_devices[i] = NULL;
	}
}

int sluice_platform_init(void)
{
	unsigned int i;
	int err;

	if (n_plain && security_locked_down(LOCKDOWN_DEV_MEM)) {
		pr_err("sluice: plain: refused: the kernel is locked down\n");
		return -EPERM;
	}
	err = platform_driver_register(&sluice_platform_driver);
	for (i = 0; !err && i < n_plain; i++)
		err = sluice_plain_add(i);
	if (err && i) {
		sluice_plain_remove_all();
		platform_driver_unregister(&sluice_platform_driver);
	}
	return err;
}

void sluice_platform_exit(void)
{
	sluice_plain_remove_all();
	platform_driver_unregister(&sluice_platform_driver);
}
